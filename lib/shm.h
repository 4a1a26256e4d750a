/* SPDX-License-Identifier: BSD-2-Clause */
/* shm.h - how words in memory that somebody else can write are accessed. */
#ifndef LIB_SHM_H
#define LIB_SHM_H
/*
 * Theory of operation
 *
 * A word that another process or a guest may write is loaded exactly once,
 * into a local, through shm_load*(); the local is checked and used. The
 * compiler may neither tear nor repeat such a load.
 *
 * Order: what was written before a shm_store_release*() is visible to whoever
 * sees that store through a shm_load_acquire*(). Nothing else is ordered, but
 * by shm_full_fence(), which belongs between "asked for a wake-up" and "looked
 * again", and its partner between "published" and "looked whether a wake-up was
 * asked for":
 *
 *   sleeper: need_kick = v;  full fence;  look at index again
 *   mover:   index = i;      full fence;  look at need_kick
 *
 * At least one of the two sees the other's store.
 */
#include <stdint.h>

#include <net/netmap.h>

static inline uint16_t shm_load16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t shm_load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t shm_load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint16_t shm_load_acquire16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint32_t shm_load_acquire32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint64_t shm_load_acquire64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void shm_store16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void shm_store32(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void shm_store64(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void shm_store_release16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline void shm_store_release64(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline void shm_store_release32(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* Orders earlier stores before later loads. */
static inline void shm_full_fence(void)
{
#if defined(__x86_64__)
	/* Cheaper than mfence, and TSan accepts it. */
	__asm__ __volatile__("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* For the body of a loop that waits for somebody else's store. */
static inline void shm_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("isb" ::: "memory");
#else
	__asm__ __volatile__("" ::: "memory");
#endif
}

/*
 * The first 8 bytes of a netmap_slot as one word, so that buffer, length and
 * flags are loaded and stored together.
 */
typedef uint64_t __attribute__((may_alias)) shm_slot_word;

static inline uint64_t slot_load(const struct netmap_slot *slot)
{
	return __atomic_load_n((const shm_slot_word *)slot, __ATOMIC_RELAXED);
}

static inline void slot_store(struct netmap_slot *slot, uint64_t word)
{
	__atomic_store_n((shm_slot_word *)slot, word, __ATOMIC_RELAXED);
}

static inline uint64_t slot_word(uint32_t buf_idx, uint16_t len, uint16_t flags)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return buf_idx | (uint64_t)len << 32 | (uint64_t)flags << 48;
#else
	return (uint64_t)buf_idx << 32 | (uint64_t)len << 16 | flags;
#endif
}

static inline uint32_t slot_buf(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (uint32_t)word;
#else
	return word >> 32;
#endif
}

static inline uint16_t slot_len(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (uint16_t)(word >> 32);
#else
	return (uint16_t)(word >> 16);
#endif
}

static inline uint16_t slot_flags(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return word >> 48;
#else
	return (uint16_t)word;
#endif
}

#endif
