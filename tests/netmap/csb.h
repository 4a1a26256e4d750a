/* SPDX-License-Identifier: BSD-2-Clause */
/* csb.h - ports in CSB mode, and the loops that sync them. */
#ifndef NETMAP_TESTS_CSB_H
#define NETMAP_TESTS_CSB_H
#include <pthread.h>

#include "nmt.h"

/* An exclusive open with one line per ring and direction. */
struct csb {
	struct nm p;
	struct nm_csb_atok atok[2] __attribute__((aligned(64)));
	struct nm_csb_ktoa ktoa[2] __attribute__((aligned(64)));
	struct nmreq_opt_csb option;
};

static inline struct nmreq_opt_csb csb_option(void *atok, void *ktoa)
{
	struct nmreq_opt_csb option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_CSB },
		.csb_atok = (uintptr_t)atok,
		.csb_ktoa = (uintptr_t)ktoa,
	};

	return option;
}

static inline int csb_enable(struct csb *c)
{
	c->option = csb_option(c->atok, c->ktoa);
	return ctrl_opt(c->p.fd, NETMAP_REQ_CSB_ENABLE, "", NULL, &c->option);
}

static inline void csb_up(struct csb *c, const char *name)
{
	memset(c, 0xee, sizeof(*c));
	c->p = up_mode(name, NR_REG_ALL_NIC, NR_EXCLUSIVE);
	WORKS(csb_enable(c));
}

/* A thread that is in SYNC_KLOOP_START. */
struct loop {
	int fd;
	uint32_t sleep_us;
	void *option;
	int result, error;
	pthread_t thread;
};

static inline int start(int fd, uint32_t sleep_us, void *option)
{
	struct nmreq_sync_kloop_start body = { .sleep_us = sleep_us };

	return ctrl_opt(fd, NETMAP_REQ_SYNC_KLOOP_START, "", &body, option);
}

static inline int stop(int fd)
{
	return ctrl(fd, NETMAP_REQ_SYNC_KLOOP_STOP, "", NULL);
}

static inline void *loop_thread(void *arg)
{
	struct loop *l = arg;

	l->result = start(l->fd, l->sleep_us, l->option);
	l->error = errno;
	return NULL;
}

static inline void loop_up(struct loop *l, const struct csb *c, void *option)
{
	*l = (struct loop){ .fd = c->p.fd, .sleep_us = 50, .option = option };
	EQ(pthread_create(&l->thread, NULL, loop_thread, l), 0);
}

static inline void loop_down(struct loop *l)
{
	WORKS(stop(l->fd));
	pthread_join(l->thread, NULL);
	if (l->result)
		FAIL("SYNC_KLOOP_START: %s", strerror(l->error));
}

static inline void until(const uint32_t *word, uint32_t value)
{
	for (int ms = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
	     ms++) {
		if (ms > WAIT_MS)
			FAIL("a word stayed %u and did not become %u", *word,
			     value);
		usleep(1000);
	}
}

/* Publishes n frames on the only TX ring, as a program with a CSB does. */
static inline void csb_send(struct csb *c, uint32_t n)
{
	struct netmap_ring *tx = txr(&c->p, 0);
	uint32_t head = c->atok[0].head;

	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *slot = &tx->slot[head];

		slot->len = (uint16_t)frame(NETMAP_BUF(tx, slot->buf_idx), 255,
					    1, 60, i);
		slot->flags = 0;
		head = nm_ring_next(tx, head);
	}
	__atomic_store_n(&c->atok[0].cur, head, __ATOMIC_RELEASE);
	__atomic_store_n(&c->atok[0].head, head, __ATOMIC_SEQ_CST);
}

#endif
