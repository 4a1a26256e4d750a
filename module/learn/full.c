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
	unsigned n;
	uint16_t list[BATCH_MAX];
	uint64_t vid[BATCH_MAX]; /* the VLAN's bits of keys */
};

enum { NONE = LEARN_DROPS }; /* no reason to drop it */

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

static void vlans(struct full *f)
{
	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		const uint8_t *h = glen_batch_hdr(f->b, i);
		unsigned type = h[12] << 8 | h[13];
		uint64_t vid = (h[14] << 8 | h[15]) & 0xfff;

		f->vid[i] = 0;
		if (f->table->vlan && (type == 0x8100 || type == 0x88a8))
			f->vid[i] = vid << KEY_VLAN_SHIFT;
	}
}

/* The value of key, 0 if it is not in the table. */
static uint64_t find(const struct table *t, uint64_t key)
{
	uint64_t hash = table_hash(t, key);
	uint64_t val = bucket_find(table_first(t, hash), key, hash);

	return val ? val : bucket_find(table_second(t, hash), key, hash);
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
		break;
	}
	if (rule->fixed)
		atomic_store_explicit(&f->learn->fixed_new, true,
				      memory_order_relaxed);
	return NONE;
}

/* What becomes of packets from this address. */
static int source(struct full *f, uint64_t key)
{
	uint64_t fresh = VAL_VALID | f->ctx->src |
			 (f->ctx->now_s & VAL_AGE_MASK) << VAL_AGE_SHIFT;
	uint64_t val = find(f->table, key);

	if (key & KEY_GROUP || !(key & KEY_MAC_MASK))
		return f->port->rule.limit ? LEARN_MAC_LIMIT : NONE;
	if ((val & (VAL_PORT | VAL_VALID)) == (fresh & ~VAL_AGE) &&
	    (val & VAL_STATIC ||
	     (!f->port->rule.fixed && (val & VAL_AGE) == (fresh & VAL_AGE))))
		return NONE;
	return learn_source(f, key);
}

static void sources(struct full *f)
{
	uint64_t last = ~0ULL; /* no key */
	int what = NONE;
	unsigned n = 0;

	for (unsigned k = 0; k < f->n; k++) {
		unsigned i = f->list[k];
		uint64_t key = load48(glen_batch_hdr(f->b, i) + 6) | f->vid[i];

		if (key != last)
			what = source(f, key);
		last = key;
		if (what == NONE)
			f->list[n++] = i;
		else
			drop(f, i, what);
	}
	f->n = n;
}

/* A verdict for packet i by its destination. */
static uint32_t destination(struct full *f, unsigned i)
{
	const struct glen_lookup *ctx = f->ctx;
	uint64_t key = load48(glen_batch_hdr(f->b, i)) | f->vid[i];
	uint64_t val = key & KEY_GROUP ? 0 : find(f->table, key);
	uint32_t port = val & VAL_PORT;

	if (!val || !table_alive(val, ctx->now_s, table_age_limit(f->ageing_s)))
		return glen_to_set(ctx->src_isolated ? GLEN_SET_NOT_ISOLATED :
						       GLEN_SET_ALL);
	if (ctx->src_isolated && port != ctx->src && port < ctx->n_ports &&
	    ctx->port_isolated[port])
		return glen_drop(GLEN_DROP_ISOLATED);
	return glen_to_port(port);
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
	flags = f.port->flags;
	if (flags & PORT_GUARD)
		guard(&f);
	if (flags & PORT_POLICE)
		police(&f);
	vlans(&f);
	sources(&f);
	destinations(&f);
	if (flags & PORT_STORM)
		storms(&f);
	if (meter_limits(&learn->flood))
		learn_limit_floods(learn, ctx, b);
}
