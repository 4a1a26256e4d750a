// SPDX-License-Identifier: BSD-2-Clause
// dispatch.c - do what verdicts say: find outputs, exchange slots, drop.
#include <string.h>

#include "lib/nf/route.h"
#include "lib/nf/run.h"

/*
 * A batch is dispatched in runs of packets that have the same verdict and are
 * at the same place of the same chain, which mostly is the whole batch: where
 * they go is found out once per run.
 */
struct step {
	const struct nf_target *target;
	uint32_t place; /* chain, index and hops behind the step */
};

/* A packet's chain, index and hops as one word: bytes 20 to 23. */
static inline uint32_t place_of(const struct glen_nf_packet *v)
{
	uint32_t place;

	memcpy(&place, &v->chain, sizeof(place));
	return place;
}

static inline uint32_t place_make(uint16_t chain, unsigned index, unsigned hops)
{
	struct pipe_meta m = { .chain = chain,
			       .index = (uint8_t)index,
			       .hops = (uint8_t)hops };
	uint32_t place;

	memcpy(&place, &m.chain, sizeof(place));
	return place;
}

/* How many packets from the first on are alike. */
static inline unsigned run_len(const struct glen_nf_packet *v, unsigned n)
{
	uint32_t verdict = v->verdict, place = place_of(v);
	unsigned i = 1;

	while (i < n && v[i].verdict == verdict && place_of(&v[i]) == place)
		i++;
	return i;
}

static const struct nf_target nobody[NF_DROP_N] = {
	[NF_DROP_NO_CHAIN] = { .drop = NF_DROP_NO_CHAIN },
	[NF_DROP_NO_INSTANCE] = { .drop = NF_DROP_NO_INSTANCE },
	[NF_DROP_NO_EXIT] = { .drop = NF_DROP_NO_EXIT },
	[NF_DROP_HOP_LIMIT] = { .drop = NF_DROP_HOP_LIMIT },
	[NF_DROP_BAD_VERDICT] = { .drop = NF_DROP_BAD_VERDICT },
};

static const struct nf_target *service(const struct nf_route *r, unsigned i)
{
	return i < r->n_services ? &r->service[i] :
				   &nobody[NF_DROP_NO_INSTANCE];
}

static const struct nf_target *port(const struct nf_route *r, unsigned i)
{
	return i < r->n_ports ? &r->port[i] : &nobody[NF_DROP_NO_EXIT];
}

static const struct nf_chain *chain(const struct nf_route *r, unsigned i)
{
	if (i >= r->chains->n || !r->chains->chain[i].n)
		return NULL;
	return &r->chains->chain[i];
}

/* Where packets like v go, and what is written into their slots. */
static struct step resolve(const struct nf_route *r,
			   const struct glen_nf_packet *v)
{
	unsigned value = v->verdict & 0xffffff, index = v->index;
	unsigned hops = v->hops + 1U;
	const struct nf_chain *c;
	uint16_t number = v->chain;
	struct step s;

	if (v->hops >= GLEN_NF_HOPS_MAX)
		return (struct step){ &nobody[NF_DROP_HOP_LIMIT], 0 };
	switch (v->verdict & GLEN_NF_KIND) {
	case GLEN_NF_NEXT:
		c = chain(r, number);
		index++;
		if (!c)
			s.target = &nobody[NF_DROP_NO_CHAIN];
		else if (index < c->n)
			s.target = service(r, c->service[index]);
		else
			s.target = port(r, c->exit);
		break;
	case GLEN_NF_SERVICE:
		s.target = service(r, value);
		break;
	case GLEN_NF_CHAIN:
		number = (uint16_t)value;
		index = 0;
		c = chain(r, number);
		s.target = c ? service(r, c->service[0]) :
			       &nobody[NF_DROP_NO_CHAIN];
		break;
	case GLEN_NF_OUT:
		s.target = port(r, value);
		break;
	default:
		s.target = &nobody[NF_DROP_BAD_VERDICT];
	}
	s.place = place_make(number, index, hops);
	return s;
}

static inline uint64_t meta_make(const struct glen_nf_packet *v, uint32_t place)
{
	struct pipe_meta m;
	uint64_t meta;

	memcpy(&m, &v->headroom, 4);
	memcpy((char *)&m + 4, &place, 4);
	memcpy(&meta, &m, sizeof(meta));
	return meta;
}

/*
 * Where packets come from: slots of an input, or spare entries. Only one of the
 * two is compiled into each of the functions below.
 */
struct origin {
	struct glen_nf_thread *t;
	bool own;
	uint32_t at; /* slot of the first packet, if not own */
};

/* The empty buffer that a packet was exchanged for, or its own again. */
static inline void put_back(const struct origin *o,
			    const struct glen_nf_packet *v, unsigned i,
			    uint32_t buf)
{
	if (o->own) {
		o->t->spare[v->slot] = buf;
		o->t->free_at[o->t->n_free++] = v->slot;
	} else {
		slot_store(pipe_in_slot(&o->t->from->in, o->at + i),
			   slot_word(buf, 0, 0));
	}
}

/*
 * Puts packets from v[i] on into an output that has room for n, as long as they
 * are like the first, which is looked at here as they are in the cache anyway.
 * Returns how many.
 */
static inline __attribute__((always_inline)) unsigned put(
	const struct origin *o, struct pipe_out *out,
	const struct glen_nf_packet *v, unsigned i, unsigned n, uint32_t place)
{
	uint32_t verdict = v[i].verdict, old = place_of(&v[i]);
	uint32_t head = out->head, first = head;

	for (unsigned end = i + n; i < end; i++, head++) {
		if (__builtin_expect(v[i].verdict != verdict ||
					     place_of(&v[i]) != old,
				     0))
			break;
		pipe_prefetch_write(pipe_out_slot(out, head + PIPE_AHEAD));
		uint32_t buf = o->own ? o->t->spare[v[i].slot] : v[i].slot;
		uint64_t empty = pipe_exchange(pipe_out_slot(out, head),
					       slot_word(buf,
							 (uint16_t)v[i].len,
							 v[i].in),
					       meta_make(&v[i], place));

		put_back(o, &v[i], i, slot_buf(empty));
	}
	out->head = head;
	return head - first;
}

/* Counts drops; of packets of its own the entries become free. */
static inline void drop(const struct origin *o, const struct glen_nf_packet *v,
			unsigned i, unsigned n, uint64_t *counter)
{
	nf_add(counter, n);
	if (!o->own)
		return;
	for (unsigned end = i + n; i < end; i++)
		o->t->free_at[o->t->n_free++] = v[i].slot;
}

/* Packet by packet; returns how many of the n were dealt with. */
static inline __attribute__((always_inline)) unsigned spread(
	const struct origin *o, const struct nf_balance *b,
	const struct glen_nf_packet *v, unsigned i, unsigned n, uint32_t place)
{
	uint32_t step = (uint32_t)(o->t->now_ns >> BALANCE_STEP_SHIFT);
	unsigned done = 0, put_n = 0;

	balance_begin(b);
	for (; done < n; done++) {
		struct pipe_out *out = balance_choose(b, v[i + done].hash,
						      step);

		if (out && pipe_out_room(out, 1)) {
			put(o, out, v, i + done, 1, place);
			balance_taken(b);
			put_n++;
		} else if (out && out->loop) {
			drop(o, v, i + done, 1,
			     &o->t->stats.drops[NF_DROP_LOOP_FULL]);
			balance_taken(b);
		} else {
			break;
		}
	}
	nf_add(&o->t->stats.out, put_n);
	return done;
}

/* A run, of n packets at most, to one output. False: it is full. */
static inline __attribute__((always_inline)) bool to_one(
	const struct origin *o, struct pipe_out *out,
	const struct glen_nf_packet *v, unsigned *i, unsigned n, uint32_t place)
{
	uint32_t room = pipe_out_room(out, n);
	unsigned k = 0, rest;

	if (room)
		k = put(o, out, v, *i, room < n ? room : n, place);
	nf_add(&o->t->stats.out, k);
	*i += k;
	if (__builtin_expect(k < room || k == n, 1))
		return true;
	if (!out->loop)
		return false;
	rest = run_len(&v[*i], n - k);
	drop(o, v, *i, rest, &o->t->stats.drops[NF_DROP_LOOP_FULL]);
	*i += rest;
	return true;
}

/* Verdicts that lead nowhere. False: they lead somewhere. */
static inline bool settled(const struct origin *o,
			   const struct glen_nf_packet *v, unsigned i,
			   unsigned n)
{
	struct nf_stats *s = &o->t->stats;
	unsigned value = v[i].verdict & 0xffffff;

	switch (v[i].verdict & GLEN_NF_KIND) {
	case GLEN_NF_DROP:
		drop(o, v, i, n,
		     value < GLEN_NF_REASONS_MAX ?
			     &s->reasons[value] :
			     &s->drops[NF_DROP_BAD_VERDICT]);
		return true;
	case GLEN_NF_KEPT:
		if (o->own) /* nothing of its own can be kept once more */
			drop(o, v, i, n, &s->drops[NF_DROP_BAD_VERDICT]);
		return true;
	case NF_SENT:
		drop(o, v, i, n, &s->out);
		return true;
	}
	return false;
}

static inline __attribute__((always_inline)) unsigned dispatch(
	const struct origin *o, const struct glen_nf_packet *v, unsigned n)
{
	const struct nf_route *r = o->t->route;
	unsigned i = 0;

	while (i < n) {
		unsigned len, done;
		struct step s;

		if (__builtin_expect(v[i].verdict != GLEN_NF_NEXT, 0)) {
			if ((v[i].verdict & GLEN_NF_KIND) == NF_STAY)
				break;
			len = run_len(&v[i], n - i);
			if (settled(o, v, i, len)) {
				i += len;
				continue;
			}
		}
		s = resolve(r, &v[i]);
		if (__builtin_expect(s.target->kind == NF_TO_ONE, 1)) {
			if (to_one(o, s.target->one, v, &i, n - i, s.place))
				continue;
			break;
		}
		done = len = run_len(&v[i], n - i);
		if (s.target->kind == NF_TO_SOME)
			done = spread(o, s.target->balance, v, i, len, s.place);
		else
			drop(o, v, i, len, &o->t->stats.drops[s.target->drop]);
		i += done;
		if (done < len)
			break;
	}
	if (i < n)
		o->t->blocked = true;
	return i;
}

unsigned nf_dispatch(struct glen_nf_thread *t, struct glen_nf_packet *v,
		     unsigned n)
{
	struct origin o = { t, false, t->from->in.tail };

	return dispatch(&o, v, n);
}

unsigned nf_dispatch_own(struct glen_nf_thread *t, struct glen_nf_packet *v,
			 unsigned n)
{
	struct origin o = { t, true, 0 };

	return dispatch(&o, v, n);
}

void nf_publish(struct glen_nf_thread *t)
{
	const struct nf_route *r = t->route;

	for (unsigned i = 0; i < r->n_out; i++)
		pipe_out_publish(r->out[i]);
}
