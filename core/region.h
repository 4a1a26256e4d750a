/* SPDX-License-Identifier: BSD-2-Clause */
/* region.h - regions that several ports share: buffers of a trust group. */
#ifndef CORE_REGION_H
#define CORE_REGION_H
/*
 * Theory of operation
 *
 * A region is a trust domain. Most ports have one to themselves, which their
 * driver keeps; a port that names a region (region=NAME) shares its buffers
 * with the others that name it, its members:
 *
 *   addresses   0        4 MiB    8 MiB          REGION_WINDOWS
 *               | (none) | window | window | ... | buffers |
 *                          member 1 member 2
 *
 * In a compact region, which has to fit somewhere, windows have the size that
 * they need and lie where there is room, in region.windows bytes in front of
 * the buffers.
 *
 * Windows (rings, CSB lines) are the members' own; the buffers are one memfd
 * that all members map. So a member can spoil what is in its group's packets,
 * and nothing else. Who wants to join a region that exists brings its token.
 *
 * Between two members that both ask for it (swap=true), a packet moves by an
 * exchange of buffers: the driver's rx() says which buffer each segment lies in
 * (batch.buf), the receiver's tx() takes it and leaves one of its own there,
 * and rx_done() puts that where the sender finds it. tx() decides whether it
 * can (tx_ctx.from); floods, mirrored and edited packets are always copied.
 *
 * Whose a buffer is: owner[] is glend's own table, one word per buffer: the
 * member that glend saw with it last. A program may well move buffers between
 * rings of its ports, so nothing rests on the table but two things: buffers
 * that a driver has (REGION_HELD: the kernel's, for a NIC) are nobody else's to
 * name; and when a member goes, the buffers that it had are free for the next
 * one, unless another member's rings hold them.
 *
 * glend may die between the two halves of an exchange: the receiver's slot has
 * the buffer already, the sender's still has it. Whoever of the two is back
 * second finds that (region_seen()) and goes on with a copy in another buffer;
 * the receiver's own is lost, as is what a NIC had. Some minutes later, if
 * buffers are short, those that no ring names are found again, unless members
 * have buffers that are in no ring (extra_bufs).
 *
 * Threads: control, but for owner[], which workers store to.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "core/copy.h"
#include "core/port.h"
#include "include/glen/glen.h"

struct engine;

enum {
	REGION_MEMBERS_MAX = 255,
	REGION_NAME_SIZE = 32,
	REGION_TOKEN_SIZE = 16,
	REGION_WINDOW = 4 << 20,
	REGION_WINDOWS = (REGION_MEMBERS_MAX + 1) * REGION_WINDOW,
	REGION_BUFS_DEFAULT = 65536,
	REGION_RESERVED = 2, /* buffers 0 and 1, as in netmap */

	/* owner[]: a member's number, or one of these. */
	REGION_FREE = 0,
	REGION_LOST = 0x7fff, /* had by somebody before glend was restarted */
	REGION_HELD = 0x8000, /* or'd: with the driver, not in a ring */
};

#define REGION_SIZE_MAX (2ULL << 30) /* bytes of buffers */

struct region {
	/* Const once made; workers read. */
	uint8_t *bufs;		 /* buffer 0, in this process */
	_Atomic uint16_t *owner; /* by buffer; workers write as well */
	uint32_t buf_size;
	uint32_t n_bufs; /* with the reserved ones */

	char name[REGION_NAME_SIZE];
	uint8_t token[REGION_TOKEN_SIZE];
	uint64_t windows;   /* bytes before buffer 0 */
	bool compact;	    /* members' windows lie where there is room */
	uint64_t bufs_size; /* bytes of the memfd, with a spare page */
	int bufs_fd;
	uint64_t dev, ino; /* of the memfd */
	uint32_t fresh;	   /* buffers from here on were never given out */
	uint32_t next;	   /* no lower one is free */
	unsigned n_members;
	bool extra; /* some member has, or had, buffers in no ring */
	uint64_t
		rejoined_ns; /* the last time that somebody resumed; 0: never */
	struct region_member *member[REGION_MEMBERS_MAX + 1];
	struct engine *engine;
	struct region *link; /* the engine's list */
};

/* One port's part in a region; in the driver's state. */
struct region_member {
	const struct port *port; /* for show; NULL: name says what it is */
	const char *name;
	struct region *region; /* NULL: none */
	unsigned id;	       /* 1..REGION_MEMBERS_MAX */
	uint16_t own; /* what owner[] says of its buffers: id, and REGION_HELD
		       * if held */
	bool held;    /* a driver's: no ring names them; set before joining */
	bool extra; /* it has buffers that no ring names; set before joining */
	uint32_t window_size; /* in whole pages; set before joining a compact
			       * region */
	uint64_t place;	      /* of its window, among the region's addresses */
	/* Calls region_seen() for each buffer in the port's rings; NULL: it has
	 * no window. */
	void (*scan)(struct region_member *member);
	/* region.fresh has changed: keeps it for region_rejoin(). */
	void (*fresh)(struct region_member *member, uint32_t fresh);
};

/* What a port asks for; what is 0 or NULL takes what the region has, or the
 * default. */
struct region_wish {
	const char *name;
	const char *token; /* hex; needed if the region exists, else the
			    * region gets this one, NULL: one at random */
	uint32_t buf_size;
	uint32_t n_bufs;
	uint64_t windows; /* a compact region: bytes for windows */
};

/* What a driver keeps in its record of the state file. */
struct region_saved {
	char name[REGION_NAME_SIZE]; /* "": the port is in none */
	uint8_t token[REGION_TOKEN_SIZE];
	uint32_t buf_size, n_bufs, fresh, id, extra;
	uint64_t dev, ino;
};

/*
 * Reads region, region_token and region_bufs, which the driver lists among the
 * options that it knows. wish->name is NULL if no region is asked for; strings
 * are borrowed from params.
 */
int region_read(json_t *params, struct region_wish *wish,
		struct glen_error *error);

/*
 * Reads swap, which is before unless it is given. -EINVAL: what the port has
 * besides does not go with it.
 */
int region_swap_read(json_t *params, const struct region_wish *wish,
		     bool before, unsigned vnet_hdr_len, bool *swap,
		     struct glen_error *error);

/* -EINVAL: no region can be made of what is wished. */
int region_wish_check(const struct region_wish *wish, struct glen_error *error);

/*
 * Joins the region, or makes it; m's port, scan, fresh, held and extra are set
 * already.
 * Errors: -EACCES (it exists, and the token is not its), -EINVAL, -ENOSPC,
 * -ENOMEM, -EMFILE. What is not an error is undone by region_leave().
 */
int region_join(struct engine *engine, const struct region_wish *wish,
		struct region_member *m, struct glen_error *error);

/* Enters a region that another member of the same port is in. -ENOSPC. */
int region_enter(struct region *r, struct region_member *m,
		 struct glen_error *error);

/* The region of this name, or NULL. */
struct region *region_find(struct engine *engine, const char *name);

/*
 * The same for a port that was in it before glend was restarted. bufs_fd is
 * what its client brought, and is only looked at. -EACCES: it is not the memory
 * of that region; -EBUSY: its place is taken.
 */
int region_rejoin(struct engine *engine, const struct region_saved *saved,
		  int bufs_fd, struct region_member *m,
		  struct glen_error *error);

void region_save(const struct region_member *m, struct region_saved *saved);

/* Its buffers become free; the last one ends the region. No worker uses the
 * member's rings any more. One that has not joined is left alone. */
void region_leave(struct region_member *m);

/* n free buffers for the member, or -ENOSPC. */
int region_take(struct region_member *m, uint32_t n, uint32_t *ids,
		struct glen_error *error);

/* One of the member's buffers, which no ring of its names any more, is free
 * again; any value will do. */
void region_give(struct region_member *m, uint32_t buf);

/* From scan(), or after region_rejoin(): a slot of the member names this
 * buffer; any value will do. False: another member has it. */
bool region_seen(struct region_member *m, uint32_t buf);

/* Bytes from the member's window to buffer 0. */
static inline uint64_t region_bufs_off(const struct region_member *m)
{
	return m->region->windows - m->place;
}

/* 32 hex digits and a NUL. */
void region_token_text(const struct region *r, char *text);

/* Worker: a driver has the buffer, so no ring may name it. */
static inline bool region_held(const struct region *r, uint32_t buf)
{
	return atomic_load_explicit(&r->owner[buf], memory_order_relaxed) &
	       REGION_HELD;
}

/*
 * Worker, from tx(): a packet's buffer, which member from has, goes to where
 * owner[] says to from now on, and one of there goes back. False, and the
 * packet is to be copied: a driver has it, or nobody. What rings name twice a
 * driver must not get twice, so that half is atomic.
 */
static inline bool region_swap(const struct region_member *from, uint32_t buf,
			       uint16_t to, uint32_t back)
{
	_Atomic uint16_t *owner = from->region->owner;
	uint16_t was = atomic_load_explicit(&owner[buf], memory_order_relaxed);

	if (was != from->own &&
	    (was & REGION_HELD || was == REGION_FREE || was == REGION_LOST))
		return false;
	if (to & REGION_HELD) {
		if (!atomic_compare_exchange_strong(&owner[buf], &was, to))
			return false;
		atomic_store_explicit(&owner[back], from->own,
				      memory_order_relaxed);
		return true;
	}
	was = atomic_load_explicit(&owner[back], memory_order_relaxed);
	if (was & REGION_HELD || was == REGION_FREE || was == REGION_LOST)
		return false;
	if (!(from->own & REGION_HELD))
		atomic_store_explicit(&owner[back], from->own,
				      memory_order_relaxed);
	else if (!atomic_compare_exchange_strong(&owner[back], &was, from->own))
		return false;
	atomic_store_explicit(&owner[buf], to, memory_order_relaxed);
	return true;
}

/*
 * Worker, from tx(): packet i, which is of one segment, leaves with its buffer
 * to where owner[] says to, and *back goes to its sender; *back is the packet's
 * buffer then. Only the private header goes back to where it came from, if a
 * module rewrote it. Returns where the packet begins, in bytes from buffer 0;
 * UINT64_MAX: it is to be copied, for one if it begins more than most bytes
 * behind the start of its buffer.
 */
static inline uint64_t region_take_packet(const struct tx_ctx *ctx,
					  const struct batch *b, unsigned i,
					  uint16_t to, uint32_t *back,
					  uint32_t most)
{
	const struct region *r = ctx->from->region;
	uint32_t k = b->seg0[i], buf = ctx->taker->buf[k], h = b->hdr_len[i];
	uint8_t *start = (uint8_t *)b->seg[k].ptr - h;
	uint64_t at = (uint64_t)(start - r->bufs);

	if (at - (uint64_t)buf * r->buf_size > most ||
	    !region_swap(ctx->from, buf, to, *back))
		return UINT64_MAX;
	if (h == 64 ? !same64(start, b->hdr[i]) : memcmp(start, b->hdr[i], h))
		memcpy(start, b->hdr[i], h);
	ctx->taker->buf[k] = *back;
	ctx->taker->took = true;
	count_add(&ctx->counters->exchanged, 1);
	*back = buf;
	return at;
}

/* [{"region", "buf_size", "bufs", "free", "lost", "ports": [names]}]. */
json_t *region_list(struct engine *engine);

#endif
