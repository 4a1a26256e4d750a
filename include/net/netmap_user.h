/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap_user.h - what programs written for netmap include. */
#ifndef _NET_NETMAP_USER_H_
#define _NET_NETMAP_USER_H_
/*
 * Macros for walking rings come from net/netmap_ring.h. Here are a copy for
 * packets, and the messages that programs written for netmap print. With
 * NETMAP_WITH_LIBS defined before the include, net/netmap_libs.h adds
 * nm_open() and its family; new programs had better use libnetmap.h.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <net/if.h>
#include <net/netmap_ring.h>

#define NETMAP_DEVICE_NAME "/dev/netmap"

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

/* Copies l bytes; nothing if l is not positive. */
static inline void nm_pkt_copy(const void *src, void *dst, int l)
{
	if (l > 0)
		memcpy(dst, src, (size_t)l);
}

/*
 * Copies a packet into the ring's first free slots, as many as it takes, behind
 * their offsets, and advances head and cur. 0 if it has not got so many.
 */
static inline int nm_ring_put_(struct netmap_ring *ring, const void *buf,
			       size_t size)
{
	const char *from = (const char *)buf;
	uint32_t at = ring->head;
	size_t left = size, room;
	struct netmap_slot *slot;

	do {
		if (at == ring->tail)
			return 0;
		room = ring->nr_buf_size -
		       NETMAP_ROFFSET(ring, &ring->slot[at]);
		left -= left < room ? left : room;
		at = nm_ring_next(ring, at);
	} while (left);
	for (left = size, at = ring->head;; at = nm_ring_next(ring, at)) {
		slot = &ring->slot[at];
		room = ring->nr_buf_size - NETMAP_ROFFSET(ring, slot);
		if (room > left)
			room = left;
		nm_pkt_copy(from, NETMAP_BUF_OFFSET(ring, slot), (int)room);
		slot->len = (uint16_t)room;
		slot->flags = room < left ? NS_MOREFRAG : 0;
		left -= room;
		if (!left)
			break;
		from += room;
	}
	ring->head = ring->cur = nm_ring_next(ring, at);
	return 1;
}

/* Prints a line "seconds.microseconds function [line] text" to stderr. */
__attribute__((format(printf, 3, 4))) static inline void nm_debug_(
	const char *function, int line, const char *format, ...)
{
	struct timeval now;
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	gettimeofday(&now, NULL);
	fprintf(stderr, "%03d.%06d %s [%d] %s\n", (int)(now.tv_sec % 1000),
		(int)now.tv_usec, function, line, text);
}

/* 1 if fewer than lps calls were made with these counters this second. */
static inline int nm_debug_allow_(time_t *second, int *count, int lps)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	if (*second != now.tv_sec) {
		*second = now.tv_sec;
		*count = 0;
	}
	return (*count)++ < lps;
}

/* A program that has its own ND has its own D and RD, too. */
#ifndef ND
/* A message that is not printed. */
#define ND(...) \
	do {    \
	} while (0)
/* A message that is: printf()'s arguments, without a newline. */
#define D(...) nm_debug_(__func__, __LINE__, __VA_ARGS__)
/* The same, at most lps times a second. */
#define RD(lps, ...)                                               \
	do {                                                       \
		static time_t nm_second_;                          \
		static int nm_count_;                              \
		if (nm_debug_allow_(&nm_second_, &nm_count_, lps)) \
			D(__VA_ARGS__);                            \
	} while (0)
#endif

#ifdef NETMAP_WITH_LIBS
#include <net/netmap_libs.h>
#endif

#endif
