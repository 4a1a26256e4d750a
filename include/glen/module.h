/* SPDX-License-Identifier: BSD-2-Clause */
/* glen/module.h - the contract between a glen switch and its modules. */
#ifndef GLEN_MODULE_H
#define GLEN_MODULE_H
/*
 * Theory of operation
 *
 * A switch moves packets; a module says where to. Each switch runs an instance
 * of one module. Packets come in batches of up to GLEN_BATCH_MAX from one
 * port; lookup() is called once per batch and writes a verdict for each packet:
 *
 *            +-- glen_batch_hdr(b, i): private copy of the first bytes
 *            |
 *   rings -> batch -> lookup() -> verdicts -> the switch copies -> rings
 *                                    |
 *                a port | a port and ring | a set of ports | drop, and why
 *
 * Who owns what. The batch belongs to the switch and is valid during lookup()
 * only. The headers in it are a copy that no sender can change; a module may
 * rewrite them, lengthen them in front (glen_batch_push()) and shorten them
 * (glen_batch_pop()). What lies behind them stays in the sender's memory and
 * is not shown to modules.
 *
 * Threads. lookup() runs on workers, several at the same time with different
 * batches, and must not sleep, allocate or make system calls. Every other
 * callback runs on the control thread, one at a time, while lookups go on. So:
 *
 *   - what only one worker writes is kept by worker index (ctx->worker, below
 *     env->n_workers);
 *   - what control changes is either one atomic word, or an immutable object
 *     behind one pointer: store the new pointer with release, give the old
 *     object to glen_module_defer(). A worker loads the pointer (acquire) once
 *     per lookup() and drops it when lookup() returns; what was deferred is
 *     freed when no lookup() that began before is under way any more.
 *
 * The functions glen_module_*() are for the control thread, from within a
 * callback of the same instance; glen_batch_*() and glen_to_*() are for
 * lookup(). A module must not start threads that call any of them.
 *
 * Replacement. A switch changes its module between two batches and loses no
 * packet: the new instance is created, told the ports that there are, perhaps
 * given the old one's state (adopt), and swapped in; then the old one is
 * destroyed. Code of shared objects stays loaded until the process ends.
 *
 * Trust. A module is part of the process that loads it: if it crashes, glend
 * crashes. What it writes through this interface is checked (ports, sets and
 * reasons that do not exist become named drops, lengths that cannot be too),
 * what it writes elsewhere is not.
 *
 * Versions. A module states the version it was built for. A switch runs
 * modules of the same major version whose minor version is not newer than its
 * own. Minor versions only append: members to the structs that the switch fills
 * (a module never makes one of those itself) and to those that carry a size
 * member, which the module sets to its sizeof; what a module does not know is
 * zero.
 *
 * Options and commands are jansson objects, not text: the switch has parsed
 * them already, a module needs no parser, and libjansson is one library for
 * both (same soname since 2010). A program that embeds a switch therefore must
 * link the shared libjansson.
 *
 * A shared object exports one symbol, which GLEN_MODULE_EXPORT() makes; all
 * else in it should be static or hidden.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glen/glen.h>
#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GLEN_MODULE_ABI_MAJOR 1
#define GLEN_MODULE_ABI_MINOR 2

enum {
	GLEN_BATCH_MAX = 256,	  /* packets of a batch */
	GLEN_HDR_MIN = 64,	  /* least hdr_want */
	GLEN_HDR_MAX = 128,	  /* largest hdr_want */
	GLEN_PUSH_MAX = 64,	  /* bytes that can be pushed in any case */
	GLEN_PACKET_MIN = 14,	  /* shortest packet: an Ethernet header */
	GLEN_PORTS_MAX = 4096,	  /* of a switch; port indexes are below */
	GLEN_DROPS_MAX = 32,	  /* reasons of one module */
	GLEN_DROP_NAME_MAX = 31,  /* characters of a reason's name */
	GLEN_MODULE_NAME_MAX = 31 /* characters of a module's name */
};

/* Verdicts. */

/*
 * What lookup() stores for a packet; made by the functions below. The upper
 * byte is the kind, the lower 16 bits are a port, a set or a reason. Kinds that
 * do not exist count as dropped by GLEN_DROP_MODULE.
 */
enum {
	GLEN_VERDICT_PORT = 0 << 24,
	GLEN_VERDICT_SET = 1 << 24,
	GLEN_VERDICT_DROP = 2 << 24,
	GLEN_VERDICT_KIND = 0xff << 24
};

/*
 * Reasons that every switch has, for glen_drop(). A module's own are numbered
 * from 0 in the order of struct glen_module's drops.
 */
enum {
	GLEN_DROP_RUNT = 0x100,	       /* in_runt */
	GLEN_DROP_TOO_LONG = 0x101,    /* in_too_long */
	GLEN_DROP_OVERSIZE = 0x102,    /* in_oversize */
	GLEN_DROP_NO_PORT = 0x105,     /* in_no_port */
	GLEN_DROP_SAME_PORT = 0x106,   /* in_same_port */
	GLEN_DROP_ISOLATED = 0x107,    /* in_isolated */
	GLEN_DROP_FLOOD_LIMIT = 0x108, /* in_flood_limit */
	GLEN_DROP_MODULE = 0x109       /* in_module: no more to say */
};

/* Sets that every switch has. The source port never gets its own packet. */
enum {
	GLEN_SET_ALL = 0,	   /* every port */
	GLEN_SET_NOT_ISOLATED = 1, /* every port that is not isolated */
	GLEN_SET_FIRST = 2,	   /* the least a module can have made */
	GLEN_SETS_MAX = 65535	   /* largest number of a set */
};

/* To a port; the ring is chosen by flow, so that flows keep their order. A port
 * that is not there: dropped as in_no_port; the source: in_same_port. */
static inline uint32_t glen_to_port(uint32_t port)
{
	return GLEN_VERDICT_PORT | 0xffU << 16 | (port & 0xffff);
}

/* To a ring of a port. A ring that the port has not: as glen_to_port(). */
static inline uint32_t glen_to_ring(uint32_t port, uint32_t ring)
{
	return GLEN_VERDICT_PORT | (ring < 0xff ? ring : 0xff) << 16 |
	       (port & 0xffff);
}

/* To all ports of a set but the source. An empty set: dropped as in_no_port; a
 * set that does not exist: as in_module. */
static inline uint32_t glen_to_set(uint32_t set)
{
	return GLEN_VERDICT_SET | (set & 0xffff);
}

/* Nowhere, counted under the reason's name at the source port. */
static inline uint32_t glen_drop(uint32_t reason)
{
	return GLEN_VERDICT_DROP | (reason & 0xffff);
}

/* Batches. */

/* Work that is still to be done to a packet, with the bits and numbers of
 * virtio_net_hdr (virtio 1.2, 5.1.6), in host byte order. All zero: none. */
struct glen_offload {
	uint8_t flags;	      /* 1: the checksum is to be filled in */
	uint8_t gso_type;     /* not 0: to be cut into segments */
	uint16_t hdr_len;     /* of each segment, if gso_type */
	uint16_t gso_size;    /* payload of each segment, if gso_type */
	uint16_t csum_start;  /* from the start of the packet */
	uint16_t csum_offset; /* from csum_start */
};

/*
 * What a packet's sender asks of the switch, for modules that care to do it;
 * a switch that must not trust its ports leaves it alone. Since 1.1.
 */
enum {
	GLEN_ASK_PORT_MASK = 0xffff, /* with GLEN_ASK_PORT: a port's index,
				      * which may be one that is not there */
	GLEN_ASK_PORT = 1 << 24,     /* go to that port, wherever the packet's
				      * address is */
	GLEN_ASK_NO_LEARN = 1 << 25  /* nothing is to be learnt from its source
				      * address */
};

/*
 * A mark: what goes with a packet of a group of network functions, in the upper
 * 48 bits of its slot's ptr. It comes from and goes to shared-memory ports with
 * the option marks; other ports' packets have none, and at other ports it ends.
 * Whoever has such a port can write any mark. Since 1.2.
 */
enum {
	GLEN_MARK_HASH = 0,   /* bit: 16 bits, of the packet's flow, not 0 */
	GLEN_MARK_CHAIN = 16, /* 16 bits: 0xffff: none */
	GLEN_MARK_INDEX = 32, /* 8 bits: of the service in the chain */
	GLEN_MARK_HOPS = 40,  /* 8 bits: that the packet took */
	GLEN_MARK_BITS = 48
};

/* A copy of a packet to somewhere besides its verdict. */
struct glen_copy {
	uint32_t packet; /* index in the batch */
	uint32_t to;	 /* as a verdict */
};

/*
 * Packets of one source port on their way through lookup(). Made by the
 * switch; members that are not said to be written are read-only.
 */
struct glen_batch {
	uint16_t n;	     /* packets, 1 to GLEN_BATCH_MAX */
	bool offloads;	     /* some off[i] is not zero; if false, off[] holds
			      * nothing */
	bool edited;	     /* written by glen_batch_*(): lengths changed */
	uint32_t hdr_stride; /* bytes from header to header */
	uint32_t hdr_size;   /* bytes of room for one header */
	uint8_t *hdr;	     /* headers; bytes may be written */
	uint8_t *hdr_len;    /* bytes in each; glen_batch_*() write it */
	uint32_t *len;	     /* of each packet; glen_batch_*() write it */
	uint32_t *verdict;   /* written by lookup(), for every packet */
	struct glen_offload *off;
	struct glen_copy *copy; /* written by glen_batch_copy() */
	uint32_t n_copies;	/* the same */
	uint32_t copies_max;
	/* Since 1.1. */
	bool asks;	     /* some ask[i] is not zero; if false, ask[] holds
			      * nothing */
	const uint32_t *ask; /* GLEN_ASK_* of each packet */
	/* Since 1.2. */
	bool marks;	/* the packets have marks: those of the source port
			 * came with them. lookup() may write mark[] of all
			 * packets and set this, or clear it */
	uint64_t *mark; /* GLEN_MARK_*; holds nothing if not marks */
};

/*
 * Sends a copy of packet i to to (glen_to_port(), glen_to_ring(),
 * glen_to_set()), whatever its verdict is, a drop included. It is the packet as
 * lookup() leaves it, counted as replicated at the source port; where to leads
 * nowhere, or only back to the source, nothing happens. False if the batch has
 * no room for more copies: there is room for one per packet in any case.
 */
static inline bool glen_batch_copy(struct glen_batch *b, unsigned i,
				   uint32_t to)
{
	if (b->n_copies >= b->copies_max)
		return false;
	b->copy[b->n_copies].to = to;
	b->copy[b->n_copies++].packet = i;
	return true;
}

/*
 * The private header of packet i: its first bytes, as many as the module wants
 * (hdr_want) or the packet has, whichever is less: b->hdr_len[i], and never
 * fewer than GLEN_PACKET_MIN. GLEN_HDR_MIN bytes can always be read; what lies
 * behind a short packet there is zero.
 */
static inline uint8_t *glen_batch_hdr(const struct glen_batch *b, unsigned i)
{
	return b->hdr + (size_t)i * b->hdr_stride;
}

/*
 * Makes room for n bytes (at most GLEN_PUSH_MAX) in front of packet i, for
 * example an outer header. They are zero. Returns the new start, or NULL and
 * nothing changed if there is no room: pushes of one packet that add up to
 * GLEN_PUSH_MAX always have it. Checksum and segmentation work moves along; a
 * packet that is to be segmented must still be TCP or UDP over IP behind at
 * most two VLAN tags afterwards, else it is dropped as in_bad_offload.
 */
static inline uint8_t *glen_batch_push(struct glen_batch *b, unsigned i,
				       unsigned n)
{
	uint8_t *hdr = glen_batch_hdr(b, i);
	unsigned have = b->hdr_len[i];

	if (n > GLEN_PUSH_MAX || have + n > b->hdr_size)
		return NULL;
	memmove(hdr + n, hdr, have);
	memset(hdr, 0, n);
	have += n;
	memset(hdr + have, 0, -have & 63);
	b->hdr_len[i] = (uint8_t)have;
	b->len[i] += n;
	if (b->offloads && b->off[i].flags & 1)
		b->off[i].csum_start = (uint16_t)(b->off[i].csum_start + n);
	if (b->offloads && b->off[i].gso_type)
		b->off[i].hdr_len = (uint16_t)(b->off[i].hdr_len + n);
	b->edited = true;
	return hdr;
}

/*
 * Takes n bytes off the front of packet i. Returns the new start, or NULL and
 * nothing changed if fewer bytes than GLEN_PACKET_MIN would be left in the
 * private header, or if the packet is to be segmented or its checksum filled
 * in and that work begins within those bytes. hdr_len[i] shrinks.
 */
static inline uint8_t *glen_batch_pop(struct glen_batch *b, unsigned i,
				      unsigned n)
{
	uint8_t *hdr = glen_batch_hdr(b, i);
	unsigned have = b->hdr_len[i];

	if (n + GLEN_PACKET_MIN > have)
		return NULL;
	if (b->offloads && b->off[i].flags & 1 && b->off[i].csum_start < n)
		return NULL;
	if (b->offloads && b->off[i].gso_type && b->off[i].hdr_len < n)
		return NULL;
	memmove(hdr, hdr + n, have - n);
	have -= n;
	memset(hdr + have, 0, n);
	b->hdr_len[i] = (uint8_t)have;
	b->len[i] -= n;
	if (b->offloads && b->off[i].flags & 1)
		b->off[i].csum_start = (uint16_t)(b->off[i].csum_start - n);
	if (b->offloads && b->off[i].gso_type)
		b->off[i].hdr_len = (uint16_t)(b->off[i].hdr_len - n);
	b->edited = true;
	return hdr;
}

/*
 * Puts a VLAN tag behind the addresses of packet i, outside of those that it
 * has: tpid 0x8100 or 0x88a8, tci with priority and VLAN id. False and nothing
 * changed if there is no room.
 */
static inline bool glen_batch_push_tag(struct glen_batch *b, unsigned i,
				       unsigned tpid, unsigned tci)
{
	uint8_t *hdr = glen_batch_push(b, i, 4);

	if (!hdr)
		return false;
	memmove(hdr, hdr + 4, 12);
	hdr[12] = (uint8_t)(tpid >> 8);
	hdr[13] = (uint8_t)tpid;
	hdr[14] = (uint8_t)(tci >> 8);
	hdr[15] = (uint8_t)tci;
	return true;
}

/* Takes the outer VLAN tag (0x8100 or 0x88a8) out of packet i and returns its
 * 16 bits of priority and VLAN id; -1 and nothing changed if it has none. */
static inline int glen_batch_pop_tag(struct glen_batch *b, unsigned i)
{
	uint8_t *hdr = glen_batch_hdr(b, i);
	unsigned tpid = (unsigned)hdr[12] << 8 | hdr[13];
	unsigned tci = (unsigned)hdr[14] << 8 | hdr[15];
	uint8_t mac[12];

	if ((tpid != 0x8100 && tpid != 0x88a8) || b->hdr_len[i] < 18)
		return -1;
	memcpy(mac, hdr, sizeof(mac));
	hdr = glen_batch_pop(b, i, 4);
	if (!hdr)
		return -1;
	memcpy(hdr, mac, sizeof(mac));
	return (int)tci;
}

/* What lookup() may know besides the batch. Made by the switch. */
struct glen_lookup {
	uint16_t src;	   /* index of the source port */
	bool src_isolated; /* the source port is isolated */
	uint16_t worker;   /* index of the calling worker */
	uint32_t now_s;	   /* monotonic seconds */
	uint64_t now_ns;   /* the same clock, read once per turn of the worker
			    * over all its rings */
	const uint8_t *port_isolated; /* by port index: 1 if isolated */
	uint32_t n_ports;	      /* length of port_isolated */
	/* Since 1.1. */
	uint16_t src_ring; /* which of the source port's rings all packets of
			    * the batch come from */
};

/* The environment of an instance. */

/*
 * A change of VLAN tags on the way out, done on a copy of the headers, so that
 * one packet can leave tagged at one port and untagged at another. First the
 * condition, then tags off, then tags on. A packet that has no room for more
 * tags is dropped as out_bad_offload, and so is one to be segmented that would
 * have more than two. Zero it, then set size to its sizeof.
 */
struct glen_edit {
	uint32_t size;
	uint8_t pop;	  /* outer tags to take off, 0 to 2, if it has them */
	uint8_t push;	  /* tags to put on, 0 to 2 */
	uint16_t flags;	  /* GLEN_EDIT_* */
	uint16_t vid;	  /* for GLEN_EDIT_IF_VID */
	uint16_t tpid[2]; /* of the tags put on, the outer one first: 0x8100 or
			   * 0x88a8 */
	uint16_t tci[2];  /* their priority and VLAN id */
};

enum {
	/* Only packets whose outer tag has VLAN id vid are changed at all. */
	GLEN_EDIT_IF_VID = 1,
	/* The outer tag put on takes the priority bits of the one that was
	 * the outer one before, if there was one. */
	GLEN_EDIT_KEEP_PRIORITY = 2
};

/* A port, as told to a module. Made by the switch; valid during the call. */
struct glen_module_port {
	uint16_t index;	   /* what verdicts and sets name; below
			    * GLEN_PORTS_MAX, reused after port_del() */
	uint16_t in_rings; /* rings into the switch */
	uint16_t out_rings;
	bool isolated;
	uint8_t mac[6];	    /* zero: none */
	uint32_t mtu;	    /* payload limit; 0: none */
	const char *name;   /* without the switch's; stays valid as long as the
			     * port is there */
	const char *driver; /* "shm", "tap", ... */
};

struct glen_module_host;

/* Made by the switch, one per instance, valid from create() to destroy(). */
struct glen_module_env {
	const struct glen_module_host *host;
	const char *switch_name; /* "": options are only being checked */
	uint32_t n_workers;	 /* ctx->worker is below */
	uint16_t abi_major;	 /* of the switch */
	uint16_t abi_minor;
};

/* What the switch does for its modules; called through the functions below. */
struct glen_module_host {
	int (*error)(struct glen_error *error, int code, const char *format,
		     ...) __attribute__((format(printf, 3, 4)));
	int (*param_check)(json_t *params, const char *const *known,
			   struct glen_error *error);
	int (*param_int)(json_t *params, const char *key, long def, long min,
			 long max, long *value, struct glen_error *error);
	int (*param_bool)(json_t *params, const char *key, bool def,
			  bool *value, struct glen_error *error);
	int (*param_str)(json_t *params, const char *key, const char **value,
			 struct glen_error *error);
	int (*port_get)(const struct glen_module_env *env, unsigned index,
			struct glen_module_port *port);
	int (*port_find)(const struct glen_module_env *env, const char *name,
			 struct glen_module_port *port);
	void (*defer)(const struct glen_module_env *env, void (*fn)(void *arg),
		      void *arg);
	void (*sync)(const struct glen_module_env *env);
	int (*set_create)(const struct glen_module_env *env, uint32_t *set);
	int (*set_add)(const struct glen_module_env *env, uint32_t set,
		       unsigned port, const struct glen_edit *edit);
	int (*set_remove)(const struct glen_module_env *env, uint32_t set,
			  unsigned port);
	int (*set_destroy)(const struct glen_module_env *env, uint32_t set);
	int (*port_edit)(const struct glen_module_env *env, unsigned port,
			 const struct glen_edit *edit);
	int (*port_mirror)(const struct glen_module_env *env, unsigned port,
			   unsigned direction, uint32_t to);
};

/* Says what went wrong: stores code, a negative errno, and a sentence that
 * names what was wrong and what to do. Returns code. error may be NULL. */
#define glen_module_error(env, error_, code, ...) \
	((env)->host->error(error_, code, __VA_ARGS__))

/* -EINVAL if params (NULL: none) has a member that is not in known, which ends
 * with NULL. */
static inline int glen_module_param_check(const struct glen_module_env *env,
					  json_t *params,
					  const char *const *known,
					  struct glen_error *error)
{
	return env->host->param_check(params, known, error);
}

/* The integer key of params, def if it has none; -EINVAL below min, above max
 * or if it is not an integer. */
static inline int glen_module_param_int(const struct glen_module_env *env,
					json_t *params, const char *key,
					long def, long min, long max,
					long *value, struct glen_error *error)
{
	return env->host->param_int(params, key, def, min, max, value, error);
}

/* The same for true and false. */
static inline int glen_module_param_bool(const struct glen_module_env *env,
					 json_t *params, const char *key,
					 bool def, bool *value,
					 struct glen_error *error)
{
	return env->host->param_bool(params, key, def, value, error);
}

/* The same for a text, which is borrowed from params; NULL if absent. */
static inline int glen_module_param_str(const struct glen_module_env *env,
					json_t *params, const char *key,
					const char **value,
					struct glen_error *error)
{
	return env->host->param_str(params, key, value, error);
}

/* The port with this index; -ENOENT. Not from create(). */
static inline int glen_module_port_get(const struct glen_module_env *env,
				       unsigned index,
				       struct glen_module_port *port)
{
	return env->host->port_get(env, index, port);
}

/* The port with this name; -ENOENT. Not from create(). */
static inline int glen_module_port_find(const struct glen_module_env *env,
					const char *name,
					struct glen_module_port *port)
{
	return env->host->port_find(env, name, port);
}

/*
 * Calls fn(arg) on the control thread when no lookup() that is under way now
 * is any more: after this callback returned, and before the next one of this
 * instance is called. For memory that workers may still read. Not from
 * destroy(), where nobody reads any more. If there is no memory to note it
 * down, waits and calls fn at once.
 */
static inline void glen_module_defer(const struct glen_module_env *env,
				     void (*fn)(void *arg), void *arg)
{
	env->host->defer(env, fn, arg);
}

/* Returns when no lookup() that was under way is any more: a few microseconds,
 * as long as a worker's turn. For what defer() cannot do. */
static inline void glen_module_sync(const struct glen_module_env *env)
{
	env->host->sync(env);
}

/*
 * Port sets: glen_to_set() sends a packet to all members but its source. They
 * belong to the instance and go with it; a port that goes leaves them all.
 * Workers see a change at their next batch at the latest when the callback has
 * returned. Sending to a set costs as much as its members.
 *
 * Makes an empty set and stores its number. -ENOSPC (GLEN_SETS_MAX), -ENOMEM.
 */
static inline int glen_module_set_create(const struct glen_module_env *env,
					 uint32_t *set)
{
	return env->host->set_create(env, set);
}

/*
 * Adds a port, or changes its edit if it is in the set: what is done to packets
 * that reach it through this set, before the port's own edit. NULL: nothing.
 * -ENOENT (no such set or port), -EINVAL (edit), -ENOMEM.
 */
static inline int glen_module_set_add(const struct glen_module_env *env,
				      uint32_t set, unsigned port,
				      const struct glen_edit *edit)
{
	return env->host->set_add(env, set, port, edit);
}

/* Takes a port out. -ENOENT (no such set, or not in it), -ENOMEM. */
static inline int glen_module_set_remove(const struct glen_module_env *env,
					 uint32_t set, unsigned port)
{
	return env->host->set_remove(env, set, port);
}

/* The number is free for another set when the callback has returned: no verdict
 * may lead to it. -ENOENT. */
static inline int glen_module_set_destroy(const struct glen_module_env *env,
					  uint32_t set)
{
	return env->host->set_destroy(env, set);
}

/*
 * What is done to every packet that goes to a port, whatever its verdict; NULL:
 * nothing. It ends when the port goes. -ENOENT (no such port), -EINVAL (edit),
 * -ENOMEM.
 */
static inline int glen_module_port_edit(const struct glen_module_env *env,
					unsigned port,
					const struct glen_edit *edit)
{
	return env->host->port_edit(env, port, edit);
}

/* Directions, seen from the switch. */
enum {
	GLEN_MIRROR_IN, /* what comes from the port, as it comes: before
			 * lookup(), also what will be dropped */
	GLEN_MIRROR_OUT /* what was delivered to the port, as it left: after
			 * all edits, and not what found no room */
};

/* No mirror. */
#define GLEN_MIRROR_NONE 0xffffffffU

/*
 * Copies what passes a port in one direction to another port or to a set, to
 * (glen_to_port(), glen_to_set(), GLEN_MIRROR_NONE to end it). Copies are
 * counted as replicated at the source port; they are not edited, not mirrored
 * again, and never go back to the port that sent the packet. What was copied
 * when it came is not copied to the same place again when it leaves. A mirror
 * ends when one of its ports goes. -ENOENT (no such port or set), -EINVAL
 * (direction, to itself), -ENOMEM.
 */
static inline int glen_module_port_mirror(const struct glen_module_env *env,
					  unsigned port, unsigned direction,
					  uint32_t to)
{
	return env->host->port_mirror(env, port, direction, to);
}

/* The module. */

/* A drop reason of a module's own. */
struct glen_module_drop {
	const char *name; /* as in stats: "in_" and a-z, 0-9, _; at most
			   * GLEN_DROP_NAME_MAX characters. Modules that use
			   * the same name share the counter */
	const char *text; /* what it means, in a few words */
};

/* When adopt() is called. */
enum {
	GLEN_ADOPT_BEFORE, /* the old instance still works: copy, and leave it
			    * as it is */
	GLEN_ADOPT_AFTER   /* the new one works, the old one has stopped: take
			    * what it had got in between; destroy() of the old
			    * one comes next */
};

/*
 * A module. "Control" callbacks run on the control thread. Those that return
 * int return 0 or a negative errno with *error filled (glen_module_error());
 * error is never NULL.
 */
struct glen_module {
	uint16_t abi_major;  /* GLEN_MODULE_ABI_MAJOR */
	uint16_t abi_minor;  /* GLEN_MODULE_ABI_MINOR */
	uint32_t size;	     /* sizeof(struct glen_module) */
	const char *name;    /* 1 to GLEN_MODULE_NAME_MAX of a-z 0-9 _ -; that
			       * of the file NAME.so too, and not that of an
			       * option of ports */
	const char *version; /* of the module, for people */
	const char *summary; /* one line */
	const char *options; /* in words, one option per line; NULL: none */
	uint32_t hdr_want;   /* bytes of each packet that lookup() needs,
			       * GLEN_HDR_MIN to GLEN_HDR_MAX; above
			       * GLEN_HDR_MIN every packet costs more */
	uint32_t state_version; /* of what adopt() understands; see there */
	const struct glen_module_drop *drops; /* own reasons, ended by a NULL
					       * name; NULL: none */

	/*
	 * Control. Makes an instance. options is an object or NULL, borrowed;
	 * unknown members are errors. The ports that there are are told by
	 * port_add() later. Also called, and destroyed again, to check options.
	 */
	int (*create)(const struct glen_module_env *env, json_t *options,
		      void **state, struct glen_error *error);
	/* Control. Frees it; no lookup() runs any more. */
	void (*destroy)(void *state);
	/*
	 * Control. Changes options at run time; those not named take their
	 * defaults; on error nothing changes. NULL: the instance is replaced by
	 * a new one with the new options.
	 */
	int (*set)(void *state, json_t *options, struct glen_error *error);
	/* Control. The options in force and counters, a new object. NULL:
	 * nothing to show. */
	json_t *(*show)(void *state);
	/*
	 * Control. A port came; its properties changed (isolated, mac, mtu); it
	 * went, and no worker sends to it or takes from it any more. Its index
	 * may be another port's next time: nothing may lead there. They cannot
	 * fail. NULL: of no interest.
	 */
	void (*port_add)(void *state, const struct glen_module_port *port);
	void (*port_change)(void *state, const struct glen_module_port *port);
	void (*port_del)(void *state, const struct glen_module_port *port);
	/*
	 * Control. What the user wants of this module for one port: the
	 * port's option that is named like the module, an object, borrowed;
	 * NULL: nothing. All of it, each time it changes; first after
	 * port_add() and before any packet comes from the port or goes to it.
	 * On error the old ones stay. state and port NULL: they are only
	 * checked. NULL: there are none.
	 */
	int (*port_set)(const struct glen_module_env *env, void *state,
			const struct glen_module_port *port, json_t *settings,
			struct glen_error *error);
	/*
	 * Control. Bytes of each packet that lookup() needs at present, when
	 * that depends on settings: GLEN_HDR_MIN to GLEN_HDR_MAX. Asked when
	 * ports come or go and after port_set(); for packets of a moment more
	 * hdr_len[] may be what it was before. NULL: always hdr_want.
	 */
	uint32_t (*hdr_want_now)(void *state);
	/*
	 * Control. A new object with the settings of a port as they are now,
	 * which may be more than was set (something that was learnt and is to
	 * be kept): the switch stores it as if the user had set it. Asked for
	 * when changed() says so. NULL: they never change by themselves.
	 */
	json_t *(*port_settings)(void *state,
				 const struct glen_module_port *port);
	/* Control. True if settings have changed by themselves since it was
	 * asked last. NULL: never. */
	bool (*changed)(void *state);
	/* Control. About once a second. NULL: nothing to do. */
	void (*tick)(void *state, uint32_t now_s);
	/*
	 * Control. A method of the module's own, such as "fdb.show", called
	 * over RPC or glen_switch_command() with the switch's name. params is
	 * an object, borrowed, without "switch"; *result a new value. -ENOSYS
	 * without filling error for methods it has not. NULL: it has none.
	 */
	int (*command)(void *state, const char *method, json_t *params,
		       json_t **result, struct glen_error *error);
	/*
	 * Control. This instance replaces old, an instance of a module with the
	 * same name and the same state_version, which is not 0. Called twice,
	 * see GLEN_ADOPT_*; the ports are known already. Best effort: what is
	 * not taken over is lost. NULL: it starts empty.
	 */
	void (*adopt)(void *state, void *old, unsigned when);
	/*
	 * Worker. Stores b->verdict[i] for each packet; see struct glen_batch.
	 * NULL is not allowed.
	 */
	void (*lookup)(void *state, const struct glen_lookup *ctx,
		       struct glen_batch *b);
};

/* The three members that every struct glen_module begins with. */
#define GLEN_MODULE_HEAD                    \
	.abi_major = GLEN_MODULE_ABI_MAJOR, \
	.abi_minor = GLEN_MODULE_ABI_MINOR, .size = sizeof(struct glen_module)

/* In a shared object: makes module (a struct glen_module) known. */
#define GLEN_MODULE_EXPORT(module)                                             \
	__attribute__((visibility("default"))) extern const struct glen_module \
		*const glen_module_info;                                       \
	const struct glen_module *const glen_module_info = &(module)

#ifdef __cplusplus
}
#endif
#endif
