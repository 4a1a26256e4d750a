/* SPDX-License-Identifier: BSD-2-Clause */
/* nm_window.h - the window of a netmap port: rings that several may open. */
#ifndef LIB_NM_WINDOW_H
#define LIB_NM_WINDOW_H
/*
 * Theory of operation
 *
 * A port that is opened through /dev/netmap has a window like that of a port
 * of libglen (lib/layout.h), but made for what netmap allows: other numbers of
 * TX than of RX rings and slots, host rings, several opens that each bind some
 * of the rings, and several processes that share one open. A pipe has one
 * window for both of its ends. Glend and the preload library compute the same
 * places from the same few numbers; neither reads them from shared memory.
 *
 *   page 0          CSB atok, a line per ring; clients write, glend reads
 *   page 1          CSB ktoa, a line per ring; glend writes, but for pipes,
 *                   where the other end does
 *   page 2          struct nmw_sync, a line per ring: what the processes that
 *                   sync a ring must know of each other
 *   page 3..18      a KiB per open: its netmap_if, and struct nmw_open, which
 *                   only clients use
 *   from page 19    rings: 256 bytes of header, then 16 per slot; not where
 *                   low address bits are those of a packet's begin
 *
 * A client that sleeps asks to be woken by a new value of appl_need_kick, and
 * says how with the same value in another word of the line (nmw_need()): by a
 * byte to its descriptor, or, if it has nothing else to wait for, by a futex:
 * a word of the first ktoa line of its end (nmw_calls()), that who wakes it
 * adds 1 to. That needs neither a socket's buffers nor an epoll, and at a pipe
 * not even glend. Both kinds may sleep at once.
 *
 * Lines and rings come in the same order: those of end 0, then those of end 1
 * (pipes only), and of an end TX, host TX, RX, host RX: that of netmap_if's
 * ring_ofs[]. What is TX of end 0 is RX of end 1, so are numbers and slots.
 *
 * The window lies in its region at region_member.place, which mostly is its
 * number times REGION_WINDOW, and buffer 0 at region.windows, mostly
 * REGION_WINDOWS (core/region.h): the addresses of netmap's
 * single mapping, with holes where other ports' windows are.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <net/netmap.h>

#include "include/glen/glen.h"

enum {
	NMW_PAGE = 4096,
	NMW_LINES = 64,	    /* rings of a window, of all kinds and ends */
	NMW_RINGS_MAX = 16, /* of one kind and end */
	NMW_ATOK_OFF = 0,
	NMW_KTOA_OFF = NMW_PAGE,
	NMW_SYNC_OFF = 2 * NMW_PAGE,
	NMW_NIFP_OFF = 3 * NMW_PAGE,
	NMW_NIFP_SIZE = 1024,
	NMW_OPEN_OFF = 640, /* of struct nmw_open, behind the netmap_if */
	NMW_OPENS = 64,
	NMW_RINGS_OFF = NMW_NIFP_OFF + NMW_OPENS * NMW_NIFP_SIZE,
	NMW_SLOTS_MIN = 16,
	NMW_SLOTS_MAX = 4096,
	/* Places in a region; core/region.h has the same. */
	NMW_WINDOW_MAX = 4 << 20,
	NMW_WINDOWS = 256 * NMW_WINDOW_MAX, /* where buffers begin */
};

/* Kinds of rings, in the order of ring_ofs[]. */
enum nmw_kind { NMW_TX, NMW_HOST_TX, NMW_RX, NMW_HOST_RX, NMW_KINDS };

/* What clients keep of a ring for each other; and for pipes that are watched,
 * what they and glend agree on (port/shm/pump.h). */
struct nmw_sync {
	uint32_t owner; /* thread id of who is inside a sync; 0: nobody; or
			 * that it died, see netmap/preload/lock.h */
	uint32_t head;	/* published last */
	uint32_t cur;
	uint32_t kicked;   /* the last kern_need_kick that was answered; pipes:
			  * the last appl_need_kick of the other end */
	uint32_t arm;	   /* the last appl_need_kick that was not 0 */
	uint32_t asked;	   /* pipes: the same of kern_need_kick */
	uint32_t watched;  /* glend's: not 0, it moves this TX ring's packets */
	uint32_t turn;	   /* the last look that was asked for */
	uint32_t looked;   /* glend's: the last one that is done */
	uint32_t owner_ns; /* pid namespace of the last owner */
	uint32_t called[2]; /* the last value of nmw_need() that was answered;
			     * pipes only */
	uint32_t spare[4];
};

/* What clients keep of an open for each other. Glend never reads it. */
struct nmw_open {
	uint32_t kloop_stop;	/* sticky: the next kloop ends at once */
	uint32_t kloop_running; /* lock of who runs a loop, of its thread */
	uint32_t kloop_ended;	/* loops, ever: a futex */
	uint32_t csb;	   /* its rings' indexes are in the program's CSB */
	uint32_t drain;	   /* lock of who makes room in the descriptor */
	uint32_t kloop_ns; /* pid namespace of the last loop */
	uint32_t spare[90];
};

/* Half-open ranges of the rings that an open binds, host rings counted behind
 * the others. */
struct nmw_bind {
	uint16_t tx_first, tx_last;
	uint16_t rx_first, rx_last;
};

struct nm_window {
	/* Chosen; of end 0. */
	uint16_t n[NMW_KINDS];
	uint32_t tx_slots, rx_slots; /* powers of two */
	uint32_t buf_size;
	bool pipe; /* has an end 1 */
	/* Computed. */
	unsigned lines;		      /* rings of both ends */
	uint32_t ring_off[NMW_LINES]; /* from the window's start */
	uint32_t size;		      /* bytes, whole pages */
	uint32_t n_bufs;	      /* that its slots begin with */
};

/*
 * Fills w from what is chosen: counts of 0 are kept, slots are rounded up to a
 * power of two. -EINVAL with a sentence: too many rings or slots, or they do
 * not fit a window.
 */
int nmw_init(struct nm_window *w, const uint16_t n[NMW_KINDS],
	     uint32_t tx_slots, uint32_t rx_slots, uint32_t buf_size, bool pipe,
	     struct glen_error *error);

/* How many rings of a kind an end has. */
static inline unsigned nmw_n(const struct nm_window *w, unsigned end,
			     enum nmw_kind kind)
{
	/* TX and RX change places, as do host TX and host RX. */
	return w->n[end ? kind ^ NMW_RX : kind];
}

/* Slots of each of them. */
static inline uint32_t nmw_slots(const struct nm_window *w, unsigned end,
				 enum nmw_kind kind)
{
	return (kind >= NMW_RX) != (end != 0) ? w->rx_slots : w->tx_slots;
}

/* The line of ring i of a kind: i may count on into the host rings behind. */
unsigned nmw_line(const struct nm_window *w, unsigned end, enum nmw_kind kind,
		  unsigned i);

/* The ring of a line, in the mapping of a window. */
static inline struct netmap_ring *nmw_ring(const struct nm_window *w,
					   void *base, unsigned line)
{
	return (struct netmap_ring *)((char *)base + w->ring_off[line]);
}

static inline struct nm_csb_atok *nmw_atok(void *base, unsigned line)
{
	return (struct nm_csb_atok *)((char *)base + NMW_ATOK_OFF) + line;
}

static inline struct nm_csb_ktoa *nmw_ktoa(void *base, unsigned line)
{
	return (struct nm_csb_ktoa *)((char *)base + NMW_KTOA_OFF) + line;
}

static inline struct nmw_sync *nmw_sync(void *base, unsigned line)
{
	return (struct nmw_sync *)((char *)base + NMW_SYNC_OFF) + line;
}

/* How who sleeps on a ring wants to be woken. */
enum nmw_how { NMW_BY_BYTE, NMW_BY_FUTEX };

/* The appl_need_kick of who armed the ring last to be woken so; 0: nobody. */
static inline uint32_t *nmw_need(struct nm_csb_atok *atok, enum nmw_how how)
{
	return &atok->pad[how];
}

/* The futex of all that sleep on rings of an end. */
static inline uint32_t *nmw_calls(const struct nm_window *w, void *base,
				  unsigned end)
{
	return &nmw_ktoa(base, nmw_line(w, end, NMW_TX, 0))->pad[0];
}

/*
 * For who wakes: what somebody stored who asked to be woken so, and has not
 * been: called, what was answered last, is another value. 0: nobody.
 */
static inline uint32_t nmw_asked(struct nm_csb_atok *atok, enum nmw_how how,
				 uint32_t called)
{
	uint32_t need = __atomic_load_n(nmw_need(atok, how), __ATOMIC_RELAXED);

	return need == called ? 0 : need;
}

/* Wakes all that sleep on a futex; a system call. */
void nmw_wake(uint32_t *calls);

/* Where the netmap_if of an open lies, from the window's start. */
static inline uint32_t nmw_nifp_off(unsigned open)
{
	return NMW_NIFP_OFF + open * NMW_NIFP_SIZE;
}

static inline struct nmw_open *nmw_open(void *base, unsigned open)
{
	return (struct nmw_open *)((char *)base + nmw_nifp_off(open) +
				   NMW_OPEN_OFF);
}

/*
 * Writes ring headers, slots and CSB lines of a fresh (zero) window. Only its
 * maker calls it. bufs_off: from the window to buffer 0. ids: w->n_bufs
 * numbers of buffers, line by line.
 */
void nmw_write(const struct nm_window *w, void *base, uint64_t bufs_off,
	       const uint32_t *ids);

/*
 * Writes the netmap_if of an open of an end, with ring_ofs[] of the rings that
 * it binds. extra: the first of its extra buffers, 0: none. flags: ni_flags.
 */
void nmw_write_open(const struct nm_window *w, void *base, unsigned open,
		    unsigned end, const char *name, const struct nmw_bind *bind,
		    uint32_t flags, uint32_t extra);

#endif
