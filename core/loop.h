/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.h - the control thread's event loop. */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H
/*
 * An epoll set of sources. A source is embedded in what it belongs to and must
 * stay in place until loop_del(). loop_turn() waits once and calls each source
 * that is ready, at most LOOP_EVENTS of them; a source that was deleted by
 * another one in the same turn is not called any more, so its memory may be
 * freed at once.
 */
#include <stdbool.h>
#include <stdint.h>

enum { LOOP_EVENTS = 64 };

struct loop_source {
	int fd; /* borrowed */
	/* events: EPOLL bits. */
	void (*ready)(void *arg, uint32_t events);
	void *arg;
};

struct loop {
	int fd; /* epoll; -1: closed */
	/* Those of this turn that are still to be called; NULL: deleted. */
	struct loop_source *pending[LOOP_EVENTS];
	int n_pending;
};

/* Returns 0 or -errno. */
int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);

/* events: EPOLLIN, EPOLLOUT; level-triggered. Returns 0 or -errno. With
 * EPOLLONESHOT it is called once, and then not before the next loop_set(). */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
/* Any thread, as long as the source stays in the loop. */
int loop_set(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_del(struct loop *loop, struct loop_source *source);

/*
 * A timer that goes off once; a source of its own. ready() is called with
 * events 0. loop_timer_init() leaves a timer that loop_timer_fini() takes, also
 * when it fails; one that is all zero but for source.fd -1 is fine, too.
 */
struct loop_timer {
	struct loop_source source; /* a timerfd */
	void (*ready)(void *arg);
	void *arg;
};

/* Returns 0 or -errno. Not running until it is set. */
int loop_timer_init(struct loop *loop, struct loop_timer *timer,
		    void (*ready)(void *arg), void *arg);
/* Goes off in_ms milliseconds from now; 0: stops it. */
void loop_timer_set(struct loop_timer *timer, unsigned in_ms);
void loop_timer_fini(struct loop *loop, struct loop_timer *timer);

/* Waits at most timeout_ms (-1: no limit). 0, or -errno if epoll fails. */
int loop_turn(struct loop *loop, int timeout_ms);

#endif
