/* SPDX-License-Identifier: BSD-2-Clause */
/* nmt.h - what the tests of netmap's API and data plane are written with. */
#ifndef NETMAP_TESTS_NMT_H
#define NETMAP_TESTS_NMT_H
/*
 * Theory of operation
 *
 * A test program is a list of points, each for one rule:
 *
 *	POINT(register_twice)
 *	{
 *		struct nm a = up("vale%:a");
 *
 *		FAILS(EBUSY, ctrl(a.fd, NETMAP_REQ_REGISTER, ...));
 *	}
 *
 * A point runs in a process of its own, which ends at the first check that
 * fails; so nothing here cleans up unless that is what is tested. A process
 * that a point forked ends with child_exit(); its parent looks with reap().
 *
 *   PROGRAM --list     the names of the points
 *   PROGRAM NAME       runs one: status 0, 1 and a line "# ...", or 77: skipped
 *   PROGRAM            runs all, each by executing itself; writes TAP
 *
 * Points whose name begins with role_ are for other tests to run; they are not
 * listed.
 *
 * In names of ports a % stands for a number that no other process uses.
 *
 * Compiled with OURS defined the programs use include/net, else raw.h.
 */
#ifdef OURS
#include <net/netmap_user.h>
#else
#include "raw.h"
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEV "/dev/netmap"

enum {
	SKIPPED = 77,
	WAIT_MS = 10000, /* for what must come; no test waits this long */
	BUF_SIZE = 2048,
};

struct point {
	const char *name;
	void (*run)(void);
	struct point *next;
};

void point_add(struct point *point);

#define POINT(name)                                                \
	static void name(void);                                    \
	__attribute__((constructor)) static void name##_add_(void) \
	{                                                          \
		static struct point point = { #name, name, NULL }; \
		point_add(&point);                                 \
	}                                                          \
	static void name(void)

/* Ends the process with status 1 and a line that says why. */
__attribute__((noreturn, format(printf, 3, 4))) void fail(const char *file,
							  int line,
							  const char *format,
							  ...);

#define FAIL(...) fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(what)                                \
	do {                                       \
		if (!(what))                       \
			FAIL("not so: %s", #what); \
	} while (0)
#define EQ(got, want)                                                         \
	do {                                                                  \
		long long got_ = (long long)(got), want_ = (long long)(want); \
		if (got_ != want_)                                            \
			FAIL("%s is %lld, not %lld (%s)", #got, got_, want_,  \
			     #want);                                          \
	} while (0)
/* The call must return something that is not negative. */
#define WORKS(call)                                             \
	({                                                      \
		__typeof__(call) got_ = (call);                 \
		if (got_ < 0)                                   \
			FAIL("%s: %s", #call, strerror(errno)); \
		got_;                                           \
	})
/* The call must fail with this errno. */
#define FAILS(error, call)                                                    \
	do {                                                                  \
		errno = 0;                                                    \
		if ((call) >= 0)                                              \
			FAIL("%s worked; wanted %s", #call,                   \
			     strerrorname_np(error));                         \
		if (errno != (error))                                         \
			FAIL("%s: errno is %s, not %s", #call,                \
			     strerrorname_np(errno), strerrorname_np(error)); \
	} while (0)
/* The call must fail; the facts do not say how. */
#define FAILS_SOMEHOW(call)                       \
	do {                                      \
		if ((call) >= 0)                  \
			FAIL("%s worked", #call); \
	} while (0)

__attribute__((noreturn)) void skip(const char *reason);
__attribute__((noreturn)) void child_exit(void);
void reap(pid_t pid); /* its status must be 0 */

/* The name with every % replaced; valid until 16 more were made. */
const char *N(const char *name);

/* A descriptor and what REGISTER said. */
struct nm {
	int fd;
	struct nmreq_register reg; /* set members before bind_port() */
	char *mem;
	struct netmap_if *nifp;
};

int dev(void); /* open("/dev/netmap") */
/* One NIOCCTRL. name: % is replaced. What ioctl() returned. */
int ctrl(int fd, int type, const char *name, void *body);
int ctrl_opt(int fd, int type, const char *name, void *body, void *option);
/* Opens, if p->fd is 0, and registers; p->reg goes in as it is. */
int bind_port(struct nm *p, const char *name, void *option);
/* REGISTER in a mode; nothing else is set. */
int bind_mode(struct nm *p, const char *name, uint32_t mode, uint64_t flags);
/* mmap() of all, and nifp. */
void map_port(struct nm *p);
/* Opens, registers (all rings), maps; must work. */
struct nm up(const char *name);
struct nm up_mode(const char *name, uint32_t mode, uint64_t flags);
struct nm up_rings(const char *name, uint16_t tx, uint16_t rx);
struct nm up_slots(const char *name, uint32_t tx, uint32_t rx);
/* The same in an existing region; mapped once more. */
struct nm up_in(const char *name, uint16_t mem_id);
void down(struct nm *p); /* close and munmap */

struct netmap_ring *txr(const struct nm *p, unsigned i);
struct netmap_ring *rxr(const struct nm *p, unsigned i);

/* A frame: destination and source 02:00:00:00:00:XX, or broadcast for 255. */
size_t frame(void *at, uint8_t to, uint8_t from, size_t len, uint32_t number);
uint32_t frame_number(const void *at);

/* Copies bytes into the ring's next slot and advances head and cur. */
void put(struct netmap_ring *ring, const void *data, size_t len,
	 uint16_t flags);
/* put() of a frame() with a number. */
void put_frame(struct netmap_ring *ring, uint8_t to, uint8_t from, size_t len,
	       uint32_t number);
/* The first unread slot's data; it must have one. */
char *peek(const struct netmap_ring *ring, struct netmap_slot **slot);
void drop(struct netmap_ring *ring, uint32_t n); /* advance head and cur */
void txsync(const struct nm *p);
void rxsync(const struct nm *p);
/* poll() for POLLIN until an RX ring has n slots. */
void await_slots(const struct nm *p, struct netmap_ring *ring, uint32_t n);
/* Teaches the switch where 02:..:id is; drops what comes of it elsewhere. */
void say_hello(struct nm *p, uint8_t id);
/* poll() of one descriptor; its revents, 0 at the timeout. */
short poll1(int fd, short events, int timeout_ms);
/* Two ports of a new switch that know each other as 1 and 2. */
void pair(struct nm *a, struct nm *b);

#endif
