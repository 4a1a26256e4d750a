// SPDX-License-Identifier: BSD-2-Clause
// learn/full.c - verdicts for packets of ports that have settings.
#include <string.h>

#include "core/port.h"
#include "module/learn/ports.h"

/*
 * The features one after the other, each a pass over the packets that are left
 * (list). A packet that is dropped has its verdict and leaves the list.
 */
struct full {
	struct learn *learn;
	const struct glen_lookup *ctx;
	struct glen_batch *b;
	const struct learn_port *port;
	struct port_share *share;
	struct table *table;
	uint64_t now; /* of meters */
	uint32_t ageing_s;
	uint32_t heed; /* GLEN_ASK_* that count */
	unsigned n;
	uint16_t list[BATCH_MAX];
	uint64_t vid[BATCH_MAX];     /* the VLAN's bits of keys */
	uint64_t hash[BATCH_MAX][2]; /* of their keys */
	const struct vlan_map *map;  /* NULL: the switch is not aware */
	uint8_t form[BATCH_MAX];     /* if it is */
};

/* Bits: what a packet has in front; none: no tag that tells its VLAN. */
enum {
	FORM_TAG = 1,	   /* the tag of its VLAN */
	FORM_PRIORITY = 2, /* a tag without VLAN, in the place of that */
	FORM_STACKED = 4,  /* another tag behind that */
};

enum { TPID_C = 0x8100, TPID_S = 0x88a8, TAGGED_MIN = 18 };

enum { NONE = LEARN_DROPS }; /* no reason to drop it */
enum { DST, SRC };

const struct glen_module_drop learn_drops[] = {
	[LEARN_POLICED] = { "in_policed", "beyond the source port's rate" },
	[LEARN_STORM] = { "in_storm", "beyond the port's storm control" },
	[LEARN_MAC_LIMIT] = { "in_mac_limit",
			      "one address more than the port may have" },
	[LEARN_MAC_STATIC] = { "in_mac_static",
			       "source is static at another port" },
	[LEARN_GUARD_MAC] = { "in_guard_mac", "the port does not own the MAC" },
	[LEARN_GUARD_IP] = { "in_guard_ip", "the port does not own the IP" },
	[LEARN_GUARD_ND] = { "in_guard_nd",
			     "ARP or ND about others' addresses" },
	[LEARN_GUARD_OTHER] = { "in_guard_other", "the guard cannot judge it" },
	[LEARN_VLAN_BAD] = { "in_vlan_bad", "its VLAN tag is cut off" },
	[LEARN_VLAN_TAGGED] = { "in_vlan_tagged",
				"has a VLAN tag, at an access port" },
	[LEARN_VLAN_UNTAGGED] = { "in_vlan_untagged",
				  "no VLAN, at a trunk without native one" },
	[LEARN_VLAN_DENIED] = { "in_vlan_denied",
				"its VLAN is not allowed on the trunk" },
	[LEARN_VLAN_DEST] = { "in_vlan_dest",
			      "the destination is not in its VLAN" },
	[LEARN_VLAN_STACKED] = { "in_vlan_stacked",
				 "the tag behind its own would count there" },
	[LEARN_MIRROR_PORT] = { "in_mirror_port",
				"came from a port that is for mirrors only" },
	[LEARN_DROPS] = { NULL, NULL },
};

static const struct learn_port none;

static uint64_t load48(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v & KEY_MAC_MASK;
}

static void drop(struct full *f, unsigned i, int reason)
{
	f->b->verdict[i] = glen_drop(reason);
}

static void guard(struct full *f)
{
	static const int reasons[] = {
		[GUARD_MAC] = LEARN_GUARD_MAC,
		[GUARD_IP] = LEARN_GUARD_IP,
		[GUARD_ND] = LEARN_GUARD_ND,
		[GUARD_OTHER] = LEARN_GUARD_OTHER,
	};
	struct glen_batch *b = f->b;
	unsigned n = 0;

	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		enum guard_result r = guard_check(f->port->guard,
						  glen_batch_hdr(b, i),
						  b->hdr_len[i], b->len[i]);

		if (r == GUARD_PASS)
			f->list[n++] = i;
		else
			drop(f, i, reasons[r]);
	}
	f->n = n;
}

static void police(struct full *f)
{
	struct meter *m = f->port->run->meter;
	struct meter_share *s = f->share->meter;
	unsigned n = 0;

	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		bool packet = meter_take(&m[METER_PACKETS], &s[METER_PACKETS],
					 f->now, 1);

		if (packet && meter_take(&m[METER_BYTES], &s[METER_BYTES],
					 f->now, f->b->len[i])) {
			f->list[n++] = i;
			continue;
		}
		/* What does not pass costs nothing. */
		if (packet && meter_limits(&m[METER_PACKETS]))
			s[METER_PACKETS].tokens++;
		drop(f, i, LEARN_POLICED);
	}
	f->n = n;
}

static bool is_tag(const uint8_t *type)
{
	unsigned tpid = type[0] << 8 | type[1];

	return tpid == TPID_C || tpid == TPID_S;
}

/* VLANs tell addresses apart, and nothing else. */
static void vlan_keys(struct full *f)
{
	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		const uint8_t *h = glen_batch_hdr(f->b, i);
		uint64_t vid = (h[14] << 8 | h[15]) & 0xfff;

		f->vid[i] = 0;
		f->form[i] = 0;
		if (f->table->vlan && is_tag(h + 12))
			f->vid[i] = vid << KEY_VLAN_SHIFT;
	}
}

/* The VLAN of a packet without one of its own, and its form; or why not. */
static int vlan_default(const struct vlan_port *p, const uint8_t *h, bool tag,
			unsigned *vid, uint8_t *form)
{
	bool inner = tag && is_tag(h + 16);

	switch (p->mode) {
	case VLAN_ACCESS:
		if (tag && (inner || h[12] != TPID_C >> 8))
			return LEARN_VLAN_TAGGED;
		break;
	case VLAN_TRUNK:
		if (!p->vid)
			return LEARN_VLAN_UNTAGGED;
		break;
	}
	*vid = p->vid;
	*form = (tag ? FORM_PRIORITY : 0) | (inner ? FORM_STACKED : 0);
	return NONE;
}

static int vlan_of(const struct vlan_port *p, const uint8_t *h, unsigned have,
		   unsigned *vid, uint8_t *form)
{
	bool tag = is_tag(h + 12);
	unsigned tci = h[14] << 8 | h[15];

	if (tag && have < TAGGED_MIN)
		return LEARN_VLAN_BAD;
	if (p->mode == VLAN_QINQ) {
		*vid = p->vid;
		*form = tag ? FORM_STACKED : 0;
		return NONE;
	}
	*vid = tci & 0xfff;
	if (!tag || !*vid)
		return vlan_default(p, h, tag, vid, form);
	if (p->mode == VLAN_ACCESS)
		return LEARN_VLAN_TAGGED;
	if (vlan_way(p, *vid, false) == VLAN_NOT)
		return LEARN_VLAN_DENIED;
	*form = FORM_TAG | (is_tag(h + 16) ? FORM_STACKED : 0);
	return NONE;
}

static void vlans(struct full *f)
{
	unsigned n = 0, vid = 0;

	if (!f->map || !f->table->vlan) {
		vlan_keys(f);
		return;
	}
	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		int why = vlan_of(&f->port->vlan, glen_batch_hdr(f->b, i),
				  f->b->hdr_len[i], &vid, &f->form[i]);

		f->vid[i] = (uint64_t)vid << KEY_VLAN_SHIFT;
		if (why == NONE)
			f->list[n++] = i;
		else
			drop(f, i, why);
	}
	f->n = n;
}

/* The packet gets the tag of its VLAN. False: there is no room. */
static bool put_tag(struct full *f, unsigned i)
{
	uint8_t *h = glen_batch_hdr(f->b, i);
	unsigned vid = f->vid[i] >> KEY_VLAN_SHIFT;

	if (f->form[i] & FORM_TAG || !vid)
		return true;
	if (f->form[i] & FORM_PRIORITY) {
		h[14] = (h[14] & 0xf0) | vid >> 8;
		h[15] = vid;
		return true;
	}
	if (f->port->vlan.mode != VLAN_QINQ)
		return glen_batch_push_tag(f->b, i, TPID_C, vid);
	/* The customer's priority holds outside as well. */
	if (f->form[i] & FORM_STACKED)
		vid |= (h[14] & 0xf0) << 8;
	return glen_batch_push_tag(f->b, i, TPID_S, vid);
}

static const struct vlan_port *vlan_port(const struct learn *l, unsigned port)
{
	const struct learn_port *p = rcu_load(&l->port[port % LEARN_PORTS]);

	return p ? &p->vlan : &none.vlan;
}

/* Packets with a verdict get the tag that they need there. */
static void tags(struct full *f)
{
	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		uint32_t v = f->b->verdict[i], port = v & VAL_PORT;
		unsigned vid = f->vid[i] >> KEY_VLAN_SHIFT;
		enum vlan_way way = VLAN_TAGGED;
		bool done = true;

		if ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_DROP)
			continue;
		if ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT) {
			if (port == f->ctx->src)
				continue;
			way = vlan_way(vlan_port(f->learn, port), vid, false);
		}
		if (way == VLAN_TAGGED)
			done = put_tag(f, i);
		else if (f->form[i] & (FORM_TAG | FORM_PRIORITY))
			done = glen_batch_pop_tag(f->b, i) >= 0;
		if (!done)
			drop(f, i, LEARN_VLAN_BAD);
	}
}

static uint64_t key_of(const struct full *f, unsigned i, unsigned which)
{
	return load48(glen_batch_hdr(f->b, i) + (which == SRC ? 6 : 0)) |
	       f->vid[i];
}

/* All buckets are prefetched before the first is read, as in lookup.c. */
static void hashes(struct full *f)
{
	for (unsigned k = 0; k < f->n; k++)
		for (unsigned which = DST; which <= SRC; which++) {
			unsigned i = f->list[k];
			uint64_t hash = table_hash(f->table,
						   key_of(f, i, which));

			f->hash[i][which] = hash;
			__builtin_prefetch(table_near(f->table, hash));
		}
}

/* The value of key, 0 if it is not in the table. */
static uint64_t find(const struct table *t, uint64_t key, uint64_t hash)
{
	uint64_t val = bucket_find(table_near(t, hash), key, hash);

	return val ? val : table_find_far(t, key, hash);
}

/* Learns a source address; NONE: the packet may go on. */
static int learn_source(struct full *f, uint64_t key)
{
	const struct table_rule *rule = &f->port->rule;
	struct learn_worker *w = &f->learn->workers[f->ctx->worker];
	bool strict = f->port->flags & PORT_MACS;

	switch (table_learn(f->table, key, f->ctx->src, f->ctx->now_s,
			    f->ageing_s, rule)) {
	case LEARNT_MOVED:
		count_add(&w->moves, 1);
		break;
	case LEARNT_NO_ROOM:
		count_add(&w->not_learnt, 1);
		return rule->limit ? LEARN_MAC_LIMIT : NONE;
	case LEARNT_LIMIT:
		return LEARN_MAC_LIMIT;
	case LEARNT_ELSEWHERE:
		return strict ? LEARN_MAC_STATIC : NONE;
	case LEARNT_NOTHING:
		return NONE;
	case LEARNT_NEW:
	case LEARNT_FIXED:
		break;
	}
	if (rule->fixed)
		atomic_store_explicit(&f->learn->fixed_new, true,
				      memory_order_relaxed);
	return NONE;
}

/* What becomes of packets from this address. */
static int source(struct full *f, uint64_t key, uint64_t hash)
{
	uint64_t fresh = VAL_VALID | f->ctx->src |
			 (f->ctx->now_s & VAL_AGE_MASK) << VAL_AGE_SHIFT;
	uint64_t val = find(f->table, key, hash);

	if (key & KEY_GROUP || !(key & KEY_MAC_MASK))
		return f->port->rule.limit ? LEARN_MAC_LIMIT : NONE;
	if ((val & (VAL_PORT | VAL_VALID)) == (fresh & ~VAL_AGE) &&
	    (val & VAL_STATIC ||
	     (!f->port->rule.fixed && (val & VAL_AGE) == (fresh & VAL_AGE))))
		return NONE;
	return learn_source(f, key);
}

/* What the sender of packet i asks for, and may. */
static uint32_t asked(const struct full *f, unsigned i)
{
	return f->heed ? f->b->ask[i] & (f->heed | GLEN_ASK_PORT_MASK) : 0;
}

static void sources(struct full *f)
{
	uint64_t last = ~0ULL; /* no key */
	int what = NONE;
	unsigned n = 0;

	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		uint64_t key = key_of(f, i, SRC);

		if (asked(f, i) & GLEN_ASK_NO_LEARN) {
			f->list[n++] = i;
			continue;
		}
		if (key != last)
			what = source(f, key, f->hash[i][SRC]);
		last = key;
		if (what == NONE)
			f->list[n++] = i;
		else
			drop(f, i, what);
	}
	f->n = n;
}

static uint32_t flood(const struct full *f, unsigned i)
{
	unsigned row = f->vid[i] >> KEY_VLAN_SHIFT;

	if (!f->map)
		return glen_to_set(f->ctx->src_isolated ?
					   GLEN_SET_NOT_ISOLATED :
					   GLEN_SET_ALL);
	if (f->form[i] & FORM_STACKED)
		row += VLAN_STACKED * VLAN_IDS;
	if (f->ctx->src_isolated)
		row += VLAN_NOT_ISOLATED * VLAN_IDS;
	return glen_to_set(f->map->set[row]);
}

/* Why packet i must not leave at this port; NONE: it may. */
static int refuse(const struct full *f, unsigned i, uint32_t port)
{
	const struct vlan_port *p = vlan_port(f->learn, port);
	unsigned vid = f->vid[i] >> KEY_VLAN_SHIFT;

	if (atomic_load_explicit(&f->learn->flags[port % LEARN_PORTS],
				 memory_order_relaxed) &
		    PORT_SPAN ||
	    vlan_way(p, vid, false) == VLAN_NOT)
		return LEARN_VLAN_DEST;
	if (f->form[i] & FORM_STACKED && vlan_way(p, vid, true) == VLAN_NOT)
		return LEARN_VLAN_STACKED;
	return NONE;
}

/* A verdict for packet i to a port, which it may not be allowed to go to. */
static uint32_t to_port(struct full *f, unsigned i, uint32_t port)
{
	const struct glen_lookup *ctx = f->ctx;
	int why;

	if (ctx->src_isolated && port != ctx->src && port < ctx->n_ports &&
	    ctx->port_isolated[port])
		return glen_drop(GLEN_DROP_ISOLATED);
	if (f->map && port != ctx->src) {
		why = refuse(f, i, port);
		if (why != NONE)
			return glen_drop(why);
	}
	return glen_to_port(port);
}

/* A verdict for packet i by its destination. */
static uint32_t destination(struct full *f, unsigned i)
{
	uint32_t ask = asked(f, i);
	uint64_t key, val;

	if (ask & GLEN_ASK_PORT)
		return to_port(f, i, ask & GLEN_ASK_PORT_MASK);
	key = key_of(f, i, DST);
	val = key & KEY_GROUP ? 0 : find(f->table, key, f->hash[i][DST]);
	if (!val ||
	    !table_alive(val, f->ctx->now_s, table_age_limit(f->ageing_s)))
		return flood(f, i);
	return to_port(f, i, val & VAL_PORT);
}

static void destinations(struct full *f)
{
	for (unsigned k = 0; k < f->n; k++)
		f->b->verdict[f->list[k]] = destination(f, f->list[k]);
}

static enum port_meter storm_meter(const uint8_t *hdr)
{
	uint64_t mac = load48(hdr);

	if (mac == KEY_MAC_MASK)
		return METER_BROADCAST;
	return mac & KEY_GROUP ? METER_MULTICAST : METER_UNKNOWN;
}

static void storms(struct full *f)
{
	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		enum port_meter which;

		if ((f->b->verdict[i] & GLEN_VERDICT_KIND) != GLEN_VERDICT_SET)
			continue;
		which = storm_meter(glen_batch_hdr(f->b, i));
		if (!meter_take(&f->port->run->meter[which],
				&f->share->meter[which], f->now, 1))
			drop(f, i, LEARN_STORM);
	}
}

/* What a port's senders may ask for. A port that may have certain addresses
 * only has no other way round that. */
static uint32_t heeded(struct learn *learn, uint32_t flags)
{
	uint32_t heed = flags & PORT_MACS ? 0 : GLEN_ASK_NO_LEARN;

	if (atomic_load_explicit(&learn->named_ports, memory_order_relaxed))
		heed |= GLEN_ASK_PORT;
	return heed;
}

void learn_full(struct learn *learn, const struct glen_lookup *ctx,
		struct glen_batch *b)
{
	struct full f = { .learn = learn, .ctx = ctx, .b = b };
	uint32_t flags;

	f.port = rcu_load(&learn->port[ctx->src]);
	if (!f.port) /* its settings went just now */
		f.port = &none;
	f.table = rcu_load(&learn->table);
	f.now = meter_time(ctx->now_ns);
	f.ageing_s = atomic_load_explicit(&learn->ageing_s,
					  memory_order_relaxed);
	f.n = b->n;
	for (unsigned i = 0; i < b->n; i++)
		f.list[i] = i;
	f.share = f.port->run ? &f.port->run->share[ctx->worker] : NULL;
	/* The port's own flags come with its settings: those beside may be of
	 * what it had before, or of what it gets. */
	flags = atomic_load_explicit(&learn->flags[ctx->src],
				     memory_order_relaxed);
	flags = f.port->flags | (flags & (PORT_VLAN | PORT_SPAN));
	if (flags & PORT_SPAN) {
		for (unsigned i = 0; i < b->n; i++)
			drop(&f, i, LEARN_MIRROR_PORT);
		return;
	}
	f.map = flags & PORT_VLAN ? rcu_load(&learn->vlans) : NULL;
	if (b->asks)
		f.heed = heeded(learn, flags);
	if (flags & PORT_GUARD)
		guard(&f);
	if (flags & PORT_POLICE)
		police(&f);
	vlans(&f);
	hashes(&f);
	sources(&f);
	destinations(&f);
	if (flags & PORT_STORM)
		storms(&f);
	if (meter_limits(&learn->flood))
		learn_limit_floods(learn, ctx, b);
	if (f.map && f.table->vlan)
		tags(&f);
}
