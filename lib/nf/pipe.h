/* SPDX-License-Identifier: BSD-2-Clause */
/* pipe.h - a ring of packets by reference: one producer, one consumer. */
#ifndef LIB_NF_PIPE_H
#define LIB_NF_PIPE_H
/*
 * Theory of operation
 *
 * A pipe is a window of memory that its two ends have, and the broker that made
 * it; nobody else. It is the same whether the ends are threads of one process
 * (anonymous memory) or two processes (a memfd).
 *
 *   line 0   struct pipe_line  only the producer writes it: head, need_kick
 *   line 1   struct pipe_line  only the consumer writes it: tail, need_kick
 *   line 2.. slots, 16 bytes each, netmap's struct netmap_slot
 *
 * head and tail count slots and wrap at 2^32; slot i is slot[i & mask]. Slots
 * tail..head-1 carry packets and are the consumer's, all others carry empty
 * buffers and are the producer's. Each end reads and writes only its own slots.
 *
 *   slot, word 0   buf_idx:32 | len:16 | flags:16 (the port it entered by)
 *   slot, word 1   struct pipe_meta: where it begins, flow, place in its chain
 *
 * Every slot always names a buffer. Packets move by exchange: the producer puts
 * the packet's buffer into a slot and takes the empty one that it finds there;
 * the consumer takes the packet's buffer out, leaving an empty one, or leaves
 * it there when the packet is done with. So a pipe of n slots names n buffers
 * for as long as it lives, and nobody allocates or frees.
 *
 * Memory order
 *
 *   producer: writes packet, slot    consumer: writes slot (empty buffer)
 *             head = h  (release)(A)           tail = t  (release)(C)
 *   consumer: reads head (acquire)   producer: reads tail (acquire)
 *             reads slot, packet               reads slot, writes its buffer
 *
 * (A) and (C) are the only order that there is: whoever sees an index sees the
 * slots below it, what their buffers hold, and that nobody else uses them any
 * more. Words of slots are loaded and stored whole.
 *
 * Sleeping: an end that will sleep stores a number other than 0 and than the
 * one before into its need_kick, full fence, looks at the other's index once
 * more. A mover stores its index, full fence, looks at need_kick; if it is a
 * number that it has not answered yet, it writes to the sleeper's eventfd. At
 * least one of them sees the other's store (lib/shm.h).
 *
 * Trust: the ends are of one trust group and believe what packets contain; an
 * index beyond the ring or a buffer that does not exist must not crash anybody:
 * an index more than the ring's size away counts as no progress, and a slot
 * that names no buffer as a packet to be dropped ("bad_slot").
 *
 * Every buffer has one holder. Say that a slot of a pipe or an entry of a
 * thread's spare array "names" a buffer. At first the broker fills every slot
 * and entry with a buffer of its own from the free pool, so each buffer is
 * named once or is free. The only thing that anyone does later is to exchange
 * the contents of two places of which both are his: an output slot of his with
 * an input slot or a spare entry of his. An exchange keeps the multiset of what
 * is named; so the invariant holds as long as exchanges are whole. They are two
 * stores. Who is killed between them leaves one buffer named twice, by two of
 * his own places, and one by nobody: the broker, once it has everything that he
 * had, marks in a bitmap over the region what is named, renames the second
 * place of the buffer named twice to the one that is missing, and the invariant
 * holds again. Both places are the dead one's, but for a slot that he had
 * published already: that is not in the middle of an exchange, because a slot
 * is published after both stores. When a pipe ends, all that its slots name
 * becomes free.
 *
 * Death of an end: the broker has the window. If the producer died, the
 * consumer takes what lies between tail and head, as ever; then the pipe is
 * freed. If the consumer died, the producer gets a route table without the
 * pipe, acknowledges, and what lies between tail and head is counted as lost,
 * by name ("lost_at_death"). The pipe is freed when the living end has
 * acknowledged that it does not have it any more.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <net/netmap.h>

#include "lib/shm.h"

enum {
	PIPE_SLOTS_MIN = 64,
	PIPE_SLOTS_MAX = 4096,
	/*
	 * Slots ahead that are prefetched: on two cores each line of slots
	 * comes from the other's cache, and without this only as many come at
	 * the same time as one core looks ahead by itself.
	 */
	PIPE_AHEAD = 32,
};

/* One end's index, and its wish to be woken. */
struct pipe_line {
	uint32_t index;
	uint32_t need_kick;
	uint32_t spare[14];
};

struct pipe_window {
	struct pipe_line producer, consumer;
	struct netmap_slot slot[];
};

/* Word 1 of a slot; bytes 16 to 23 of struct glen_nf_packet are the same. */
struct pipe_meta {
	uint16_t offset; /* of the packet's first byte in its buffer */
	uint16_t hash;
	uint16_t chain;
	uint8_t index;
	uint8_t hops;
};

/* The producer's end; its thread's own. */
struct pipe_out {
	struct pipe_window *w;
	uint32_t mask;
	uint32_t head;	    /* behind the last packet put */
	uint32_t published; /* head as the consumer sees it */
	uint32_t tail;	    /* as seen last */
	uint32_t answered;  /* the consumer's need_kick that we obeyed */
	uint32_t arm;	    /* our need_kick, last */
	int kick_fd;	    /* the consumer's eventfd; -1: it never sleeps */
	bool loop;	    /* drops when full, see broker.h */
	bool stamped;	    /* tail was read for this batch, see balance.h */
};

/* The consumer's end; its thread's own. */
struct pipe_in {
	struct pipe_window *w;
	uint32_t mask;
	uint32_t tail; /* the first slot that is not given back */
	uint32_t head; /* as seen last */
	uint32_t answered, arm;
	int kick_fd; /* the producer's eventfd; -1: it never sleeps */
};

/* Fetches a line that will be written; others lose their copies. */
static inline void pipe_prefetch_write(const void *p)
{
#if defined(__x86_64__)
	/* The compiler makes a fetch for reading of its builtin for processors
	 * that need not have this; those do nothing. */
	__asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* Bytes of a window. */
static inline size_t pipe_size(uint32_t n_slots)
{
	return sizeof(struct pipe_window) +
	       (size_t)n_slots * sizeof(struct netmap_slot);
}

/* Fills a fresh (zero) window; its slots name ids[0..n_slots). The maker. */
void pipe_init(struct pipe_window *w, uint32_t n_slots, const uint32_t *ids);

/* The two ends of a window that nothing went through yet. */
void pipe_out_init(struct pipe_out *o, struct pipe_window *w, uint32_t n_slots,
		   int kick_fd);
void pipe_in_init(struct pipe_in *i, struct pipe_window *w, uint32_t n_slots,
		  int kick_fd);

/* Wakes the other end. A system call; not for hot code, but once it asked. */
void pipe_kick(int fd);

/* Copies the buffers that all slots name to ids[]; neither end moves. */
void pipe_ids(const struct pipe_window *w, uint32_t n_slots, uint32_t *ids);

/* How many packets lie in it, as anybody may see it at any time. */
static inline uint32_t pipe_queued(const struct pipe_window *w)
{
	/* tail first: head cannot be behind it then. */
	uint32_t tail = shm_load_acquire32(&w->consumer.index);

	return shm_load_acquire32(&w->producer.index) - tail;
}

static inline void pipe_answer(const struct pipe_line *line, int fd,
			       uint32_t *answered)
{
	uint32_t need;

	if (fd < 0)
		return;
	/* Pairs with the fence in pipe_out_arm() and pipe_in_arm(). */
	shm_full_fence();
	need = shm_load32(&line->need_kick);
	if (__builtin_expect(need && need != *answered, 0)) {
		*answered = need;
		pipe_kick(fd);
	}
}

/* The producer. */

/* Sees how far the consumer got; returns the slots that are free. */
static inline uint32_t pipe_out_refresh(struct pipe_out *o)
{
	/* Pairs with (C) in pipe_in_release(). */
	uint32_t tail = shm_load_acquire32(&o->w->consumer.index);

	if (__builtin_expect(o->head - tail <= o->mask + 1, 1))
		o->tail = tail;
	return o->mask + 1 - (o->head - o->tail);
}

/* Free slots; looks at the consumer only if fewer than want are known. */
static inline uint32_t pipe_out_room(struct pipe_out *o, uint32_t want)
{
	uint32_t room = o->mask + 1 - (o->head - o->tail);

	return room >= want ? room : pipe_out_refresh(o);
}

static inline struct netmap_slot *pipe_out_slot(const struct pipe_out *o,
						uint32_t at)
{
	return &o->w->slot[at & o->mask];
}

static inline struct netmap_slot *pipe_in_slot(const struct pipe_in *i,
					       uint32_t at)
{
	return &i->w->slot[at & i->mask];
}

/* Puts a packet into a slot; returns word 0 of the empty one that was there. */
static inline uint64_t pipe_exchange(struct netmap_slot *slot, uint64_t word,
				     uint64_t meta)
{
	uint64_t empty = slot_load(slot);

	shm_store64(&slot->ptr, meta);
	slot_store(slot, word);
	return empty;
}

/* Makes what was put visible to the consumer. */
static inline void pipe_out_publish(struct pipe_out *o)
{
	if (o->head == o->published)
		return;
	/* (A), pairs with the acquire in pipe_in_refresh(). */
	shm_store_release32(&o->w->producer.index, o->head);
	o->published = o->head;
	pipe_answer(&o->w->consumer, o->kick_fd, &o->answered);
}

/* Asks to be woken when there is room. The caller fences and looks again. */
static inline void pipe_out_arm(struct pipe_out *o)
{
	if (!++o->arm)
		o->arm = 1;
	shm_store32(&o->w->producer.need_kick, o->arm);
}

static inline void pipe_out_disarm(struct pipe_out *o)
{
	shm_store32(&o->w->producer.need_kick, 0);
}

/* The consumer. */

/* Sees what there is; returns how many packets. */
static inline uint32_t pipe_in_refresh(struct pipe_in *i)
{
	/* Pairs with (A) in pipe_out_publish(). */
	uint32_t head = shm_load_acquire32(&i->w->producer.index);

	if (__builtin_expect(head - i->tail <= i->mask + 1, 1))
		i->head = head;
	return i->head - i->tail;
}

/* Packets that are there; looks anew only if fewer than want are known. */
static inline uint32_t pipe_in_ready(struct pipe_in *i, uint32_t want)
{
	uint32_t n = i->head - i->tail;

	return n >= want ? n : pipe_in_refresh(i);
}

/* Gives back the first n slots, which carry empty buffers now. */
static inline void pipe_in_release(struct pipe_in *i, uint32_t n)
{
	if (!n)
		return;
	i->tail += n;
	/* (C), pairs with the acquire in pipe_out_refresh(). */
	shm_store_release32(&i->w->consumer.index, i->tail);
	pipe_answer(&i->w->producer, i->kick_fd, &i->answered);
}

static inline void pipe_in_arm(struct pipe_in *i)
{
	if (!++i->arm)
		i->arm = 1;
	shm_store32(&i->w->consumer.need_kick, i->arm);
}

static inline void pipe_in_disarm(struct pipe_in *i)
{
	shm_store32(&i->w->consumer.need_kick, 0);
}

#endif
