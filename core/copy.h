/* SPDX-License-Identifier: BSD-2-Clause */
/* copy.h - the ways bytes are copied in the hot path. */
#ifndef CORE_COPY_H
#define CORE_COPY_H
/*
 * copy64        64 bytes, no alignment needed
 * same64        are 64 bytes the same?
 * copy_header   at most 64 bytes to a 64-byte place, the rest of it zeroed
 * copy_bytes    any length; touches exactly the bytes named
 * copy_some     a few, as memcpy(); where the rest is not worth it
 *
 * A vec is what the instruction set has a register for; wider vector types
 * would be copied in pieces by way of the stack (gcc 12). copy_bytes() never
 * reads or writes outside [0, len): its source may end at the edge of a
 * mapping, and what lies before it in the destination may be a header that was
 * checked and must not be overwritten from shared memory.
 *
 * A client decides whether two workers meet in its memory, by naming a buffer
 * twice; what is copied then is any mixture, and its affair. ThreadSanitizer,
 * which would call that a race, gets copies made of atomics.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif
#if defined(__SANITIZE_THREAD__)
#define COPY_ATOMICALLY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COPY_ATOMICALLY 1
#endif
#endif

#if defined(__AVX512BW__)
enum { VEC = 64 };
#elif defined(__AVX2__)
enum { VEC = 32 };
#else
enum { VEC = 16 };
#endif

typedef uint8_t vec __attribute__((vector_size(VEC), aligned(1), may_alias));
typedef uint8_t vec16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t word64 __attribute__((aligned(1), may_alias));
typedef uint32_t word32 __attribute__((aligned(1), may_alias));
typedef uint16_t word16 __attribute__((aligned(1), may_alias));

/* n is a constant, and a multiple of VEC. */
static inline void copy_vecs(void *dst, const void *src, unsigned n)
{
	const vec *from = src;
	vec *to = dst, v[64 / VEC];

	for (unsigned i = 0; i < n / VEC; i++)
		v[i] = from[i];
	for (unsigned i = 0; i < n / VEC; i++)
		to[i] = v[i];
}

/* Without a call, which would cost more than the work. */
static inline bool same64(const void *a, const void *b)
{
	const word64 *x = a, *y = b;
	uint64_t differ = 0;

	for (unsigned i = 0; i < 8; i++)
		differ |= x[i] ^ y[i];
	return !differ;
}

#ifdef COPY_ATOMICALLY
#define COPY_AS(type, at)                                            \
	__atomic_store_n((type *)(dst + (at)),                       \
			 __atomic_load_n((const type *)(src + (at)), \
					 __ATOMIC_RELAXED),          \
			 __ATOMIC_RELAXED)

static inline void copy_atomically(uint8_t *dst, const uint8_t *src,
				   uint32_t len)
{
	uint32_t i = 0;

	if (!(((uintptr_t)dst ^ (uintptr_t)src) & 7)) {
		for (; i < len && (uintptr_t)(src + i) & 7; i++)
			COPY_AS(uint8_t, i);
		for (; i + 8 <= len; i += 8)
			COPY_AS(uint64_t, i);
	}
	for (; i < len; i++)
		COPY_AS(uint8_t, i);
}
#undef COPY_AS
#endif

static inline void copy64(void *dst, const void *src)
{
#ifdef COPY_ATOMICALLY
	copy_atomically(dst, src, 64);
#else
	copy_vecs(dst, src, 64);
#endif
}

/* Fewer than 64 bytes; the two halves of each step may overlap. */
static inline void copy_small(uint8_t *dst, const uint8_t *src, uint32_t len)
{
#if defined(COPY_ATOMICALLY)
	copy_atomically(dst, src, len);
#elif defined(__AVX512BW__)
	__mmask64 m = _bzhi_u64(~0ULL, len);

	_mm512_mask_storeu_epi8(dst, m, _mm512_maskz_loadu_epi8(m, src));
#else
	if (len >= 32) {
		copy_vecs(dst, src, 32);
		copy_vecs(dst + len - 32, src + len - 32, 32);
	} else if (len >= 16) {
		vec16 a = *(const vec16 *)src;
		vec16 z = *(const vec16 *)(src + len - 16);

		*(vec16 *)dst = a;
		*(vec16 *)(dst + len - 16) = z;
	} else if (len >= 8) {
		uint64_t a = *(const word64 *)src;
		uint64_t z = *(const word64 *)(src + len - 8);

		*(word64 *)dst = a;
		*(word64 *)(dst + len - 8) = z;
	} else if (len >= 4) {
		uint32_t a = *(const word32 *)src;
		uint32_t z = *(const word32 *)(src + len - 4);

		*(word32 *)dst = a;
		*(word32 *)(dst + len - 4) = z;
	} else if (len) {
		uint16_t z = src[len - 1];

		dst[0] = src[0];
		dst[len / 2] = src[len / 2];
		dst[len - 1] = z;
	}
#endif
}

static inline void copy_bytes(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	uint32_t i = 0;

#ifdef COPY_ATOMICALLY
	copy_atomically(dst, src, len);
	return;
#endif
	if (len < 64) {
		copy_small(dst, src, len);
		return;
	}
	if (len > 4096) {
		memcpy(dst, src, len);
		return;
	}
	for (; i + 64 <= len; i += 64)
		copy64(dst + i, src + i);
	if (i < len)
		copy64(dst + len - 64, src + len - 64);
}

static inline void copy_some(void *dst, const uint8_t *src, uint32_t len)
{
#ifdef COPY_ATOMICALLY
	copy_atomically(dst, src, len);
#else
	memcpy(dst, src, len);
#endif
}

/*
 * The first min(len, 64) bytes of src to a 64-byte place, rest zero. If
 * overread, 64 bytes may be read at src whatever len is.
 */
static inline void copy_header(uint8_t *dst, const uint8_t *src, uint32_t len,
			       bool overread)
{
#if defined(__AVX512BW__)
	__mmask64 m = len >= 64 ? ~0ULL : _bzhi_u64(~0ULL, len);

	_mm512_storeu_si512(dst, _mm512_maskz_loadu_epi8(m, src));
#else
	static const uint8_t mask[128] = {
		[0 ... 63] = 0xff,
	};

	if (len >= 64) {
		copy64(dst, src);
	} else if (overread) {
		for (unsigned i = 0; i < 64; i += VEC)
			*(vec *)(dst + i) = *(const vec *)(src + i) &
					    *(const vec *)(mask + 64 - len + i);
	} else {
		memset(dst, 0, 64);
		copy_small(dst, src, len);
	}
#endif
}

#endif
