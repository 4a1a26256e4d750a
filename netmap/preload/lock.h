/* SPDX-License-Identifier: BSD-2-Clause */
/* lock.h - locks in shared memory, whose owner may die. */
#ifndef NETMAP_PRELOAD_LOCK_H
#define NETMAP_PRELOAD_LOCK_H
/*
 * Theory of operation
 *
 * A lock is a word that several processes see: 0, or the thread id of who has
 * it. Nobody waits for one: who does not get it goes on without. A thread may
 * be killed while it has one; then the next who tries takes it over.
 *
 * That it died the kernel says. Each thread has a list of robust futexes, which
 * the C library keeps. The head of that list names one word more, which its
 * owner is about to take or to give back, and we let it name ours. When the
 * thread ends, in whatever way, the kernel looks at the word, and if it holds
 * the thread's id, makes it LOCK_OWNER_DIED. It compares the id as the thread
 * itself knows it, so it does not matter that a process in a container has
 * another number outside, nor that it is not reaped yet.
 *
 * The head names one word only: of locks that are taken inside of others it is
 * the innermost. An outer one is found by asking whether its owner still lives,
 * which can be asked only within one pid namespace: whose it was is beside it.
 */
#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>

#include "netmap/preload/preload.h"

enum {
	LOCK_OWNER_DIED = FUTEX_OWNER_DIED,
};

/* What a thread knows of itself. */
struct self {
	uint32_t tid;	 /* 0: not known yet */
	unsigned inside; /* locks that it has: a handler may come in between */
	struct robust_list_head *robust;
};

extern __thread struct self self __attribute__((tls_model("initial-exec")));
/* The pid namespace of the process; 0: not known. */
extern uint32_t pid_namespace;

/* Fills self; also in the child of a fork that nobody told us of. */
void self_learn(void);
/* In the child of a fork. */
void self_forked(void);

static inline struct self *self_get(void)
{
	if (unlikely(!self.tid || was_forked()))
		self_learn();
	return &self;
}

/* A thread that is no more, or that is dead and waits for its parent. */
bool thread_is_gone(uint32_t tid);

/* The word is not free. owner_ns: the namespace of its owner, 0: not known. */
bool lock_take_over(uint32_t *word, uint32_t owner, uint32_t owner_ns);

/* Has somebody the lock who still lives? Has this thread? */
bool lock_is_held(const uint32_t *word, const uint32_t *ns);
bool lock_is_mine(const uint32_t *word, const uint32_t *ns);

static inline void lock_name(struct self *s, struct robust_list *named)
{
	__atomic_store_n(&s->robust->list_op_pending, named, __ATOMIC_RELAXED);
	/* The kernel reads it when this very thread is stopped. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * Takes a lock, or does not: false. ns: beside the word, NULL: there is none.
 * *before: what the head named, and shall name again.
 */
static inline bool lock_try(uint32_t *word, uint32_t *ns,
			    struct robust_list **before)
{
	struct self *s = self_get();
	struct robust_list *was = s->robust->list_op_pending;
	uint32_t owner = 0, own_ns;

	lock_name(s, (struct robust_list *)((char *)word -
					    s->robust->futex_offset));
	/* Pairs with the release in lock_drop(), and of a ring's lock with (D)
	 * of port/shm/pump.h. */
	if (unlikely(!__atomic_compare_exchange_n(word, &owner, s->tid, false,
						  __ATOMIC_SEQ_CST,
						  __ATOMIC_RELAXED)) &&
	    !lock_take_over(word, owner,
			    ns ? __atomic_load_n(ns, __ATOMIC_RELAXED) : 0)) {
		lock_name(s, was);
		return false;
	}
	race_acquire(word);
	*before = was;
	s->inside++;
	own_ns = __atomic_load_n(&pid_namespace, __ATOMIC_RELAXED);
	if (ns && unlikely(__atomic_load_n(ns, __ATOMIC_RELAXED) != own_ns))
		__atomic_store_n(ns, own_ns, __ATOMIC_RELAXED);
	return true;
}

/* In a child that was forked meanwhile: it is its parent's. */
static inline void lock_leave(struct robust_list *before)
{
	self.inside--;
	lock_name(&self, before);
}

static inline void lock_drop(uint32_t *word, struct robust_list *before)
{
	struct self *s = &self;

	s->inside--;
	race_release(word);
	/* Pairs with the acquire in lock_try(). */
	__atomic_store_n(word, 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	lock_name(s, before);
}

/* A ring is synced by one thread at a time, of whatever process. */
static inline bool ring_lock(struct nring *r)
{
	return lock_try(&r->sync->owner, &r->sync->owner_ns, &r->before);
}

static inline void ring_unlock(struct nring *r)
{
	lock_drop(&r->sync->owner, r->before);
}

#endif
