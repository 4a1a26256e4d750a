/* SPDX-License-Identifier: BSD-2-Clause */
/* rcu.h - liburcu's QSBR flavour, told to ThreadSanitizer. */
#ifndef CORE_RCU_H
#define CORE_RCU_H
/*
 * Workers read configuration through one pointer (rcu_load), pass a quiet
 * point every turn (rcu_quiet) and go off line before they sleep. The control
 * thread publishes (rcu_publish) and waits (rcu_wait) before it frees.
 *
 * liburcu orders a reader's last access before the writer's free by means that
 * ThreadSanitizer cannot see; the annotations below say the same to it.
 */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu-qsbr.h>
#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#endif
#endif

#ifdef RCU_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char rcu_tsan_token;
#define RCU_TSAN_RELEASE() __tsan_release(&rcu_tsan_token)
#define RCU_TSAN_ACQUIRE() __tsan_acquire(&rcu_tsan_token)
#else
#define RCU_TSAN_RELEASE() ((void)0)
#define RCU_TSAN_ACQUIRE() ((void)0)
#endif

/* Reads a pointer published with rcu_publish(). ptr is _Atomic. */
#define rcu_load(ptr) atomic_load_explicit(ptr, memory_order_acquire)
/* Publishes; everything written before is seen by who loads it. */
#define rcu_publish(ptr, value) \
	atomic_store_explicit(ptr, value, memory_order_release)

/* Worker: no pointer from rcu_load() is held any more. */
static inline void rcu_quiet(void)
{
	RCU_TSAN_RELEASE();
	urcu_qsbr_quiescent_state();
}

/* Worker: before sleeping / after. Between them no rcu_load(). */
static inline void rcu_offline(void)
{
	RCU_TSAN_RELEASE();
	urcu_qsbr_thread_offline();
}

static inline void rcu_online(void)
{
	urcu_qsbr_thread_online();
}

/* Control thread: returns when every worker has passed a quiet point. */
static inline void rcu_wait(void)
{
	urcu_qsbr_synchronize_rcu();
	RCU_TSAN_ACQUIRE();
}

#endif
