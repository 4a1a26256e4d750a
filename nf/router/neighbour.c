// SPDX-License-Identifier: BSD-2-Clause
// router/neighbour.c - Ethernet addresses of neighbours, and who waits for one.
/*
 * ASKING -> KNOWN by an answer; KNOWN -> CHECKING when one that is used was
 * heard of CONFIRM_S ago; CHECKING -> KNOWN by an answer. Three questions
 * without one: ASKING fails, and both are forgotten. Time-outs are looked at by
 * a timer that runs only while somebody is being asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nf/router/router.h"

enum {
	ASK_MAX = 3,
	CONFIRM_S = 30,
	UNUSED_S = 60,	/* then it may go if another needs the place */
	WAITING = 4096, /* packets, for all together */
	RESERVE = 32,	/* spare buffers for questions and answers */
};

#define ASK_NS ROUTER_NS_PER_S
#define TICK_NS (ROUTER_NS_PER_S / 4)

int router_neighbours_init(struct router *r)
{
	struct router_neighbours *n = &r->neigh;

	n->n = r->neighbours;
	for (n->n_buckets = 16; n->n_buckets < n->n;)
		n->n_buckets *= 2;
	n->entry = calloc(n->n + 1, sizeof(*n->entry));
	n->bucket = calloc(n->n_buckets, sizeof(*n->bucket));
	n->waiting = calloc(WAITING + 1, sizeof(*n->waiting));
	if (!n->entry || !n->bucket || !n->waiting)
		return -ENOMEM;
	for (uint32_t i = n->n; i; i--) {
		n->entry[i].next = n->free;
		n->free = i;
	}
	for (uint32_t i = WAITING; i; i--) {
		n->waiting[i].next = n->waiting_free;
		n->waiting_free = i;
	}
	return 0;
}

void router_neighbours_fini(struct router *r)
{
	free(r->neigh.entry);
	free(r->neigh.bucket);
	free(r->neigh.waiting);
	memset(&r->neigh, 0, sizeof(r->neigh));
}

static uint32_t *bucket_of(struct router_neighbours *n, unsigned iface,
			   const struct router_ip *ip)
{
	uint64_t a, b;

	memcpy(&a, ip->a, sizeof(a));
	memcpy(&b, ip->a + 8, sizeof(b));
	a = (a ^ iface) * 0x9e3779b97f4a7c15ULL;
	b = (a ^ a >> 32 ^ b) * 0x9e3779b97f4a7c15ULL;
	return &n->bucket[b >> 32 & (n->n_buckets - 1)];
}

static struct router_neighbour *find(struct router_neighbours *n,
				     unsigned iface, const struct router_ip *ip)
{
	for (uint32_t i = *bucket_of(n, iface, ip); i; i = n->entry[i].next)
		if (n->entry[i].iface == iface &&
		    router_ip_equal(&n->entry[i].ip, ip))
			return &n->entry[i];
	return NULL;
}

static bool is_busy(const struct router_neighbour *e)
{
	return e->state == ROUTER_ASKING || e->state == ROUTER_CHECKING;
}

static void set_state(struct router_neighbours *n, struct router_neighbour *e,
		      enum router_state state)
{
	n->n_busy -= is_busy(e);
	e->state = state;
	n->n_busy += is_busy(e);
}

/* Forgets one that nobody waits for. */
static void forget(struct router_neighbours *n, struct router_neighbour *e)
{
	uint32_t number = (uint32_t)(e - n->entry);
	uint32_t *at = bucket_of(n, e->iface, &e->ip);

	while (*at != number)
		at = &n->entry[*at].next;
	*at = e->next;
	set_state(n, e, ROUTER_FREE);
	e->next = n->free;
	n->free = number;
	n->n_used--;
}

/* Makes room in a full table, at most once a second: it is walked. */
static void sweep(struct router_neighbours *n, uint64_t now)
{
	if (n->swept_ns && now - n->swept_ns < ROUTER_NS_PER_S)
		return;
	n->swept_ns = now;
	for (uint32_t i = 1; i <= n->n; i++) {
		struct router_neighbour *e = &n->entry[i];

		if (e->state == ROUTER_KNOWN &&
		    now - e->used_ns > UNUSED_S * ROUTER_NS_PER_S)
			forget(n, e);
	}
}

/* A new one, not yet asked. NULL: the table is full. */
static struct router_neighbour *make(struct router_neighbours *n,
				     unsigned iface, const struct router_ip *ip,
				     uint64_t now)
{
	struct router_neighbour *e;
	uint32_t *bucket, number;

	if (!n->free)
		sweep(n, now);
	number = n->free;
	if (!number)
		return NULL;
	e = &n->entry[number];
	n->free = e->next;
	n->n_used++;
	memset(e, 0, sizeof(*e));
	e->ip = *ip;
	e->iface = (uint8_t)iface;
	e->used_ns = now;
	bucket = bucket_of(n, iface, ip);
	e->next = *bucket;
	*bucket = number;
	return e;
}

/* Waiting packets. */

/* Takes the oldest; the neighbour has one. */
static struct glen_nf_packet take(struct router_neighbours *n,
				  struct router_neighbour *e)
{
	uint32_t number = e->first;
	struct router_waiting *w = &n->waiting[number];

	e->first = w->next;
	e->n_waiting--;
	w->next = n->waiting_free;
	n->waiting_free = number;
	return w->packet;
}

static void put(struct router_neighbours *n, struct router_neighbour *e,
		const struct glen_nf_packet *p)
{
	uint32_t number = n->waiting_free;
	struct router_waiting *w = &n->waiting[number];

	n->waiting_free = w->next;
	w->packet = *p;
	w->next = 0;
	if (e->n_waiting++)
		n->waiting[e->last].next = number;
	else
		e->first = number;
	e->last = number;
}

static void drop_oldest(struct glen_nf_thread *t, struct router_neighbours *n,
			struct router_neighbour *e, unsigned reason)
{
	struct glen_nf_packet p = take(n, e);

	p.verdict = glen_nf_drop(reason);
	router_send(t, &p);
}

/* Lets a packet wait; the verdict says whether it does. */
static uint32_t wait_for(struct glen_nf_thread *t, struct router *r,
			 struct router_neighbour *e, struct glen_nf_packet *p,
			 bool is_mine)
{
	struct router_neighbours *n = &r->neigh;
	struct glen_nf_packet mine = *p;

	if (e->n_waiting == r->queue)
		drop_oldest(t, n, e, ROUTER_R_QUEUE_FULL);
	if (!n->waiting_free)
		return glen_nf_drop(ROUTER_R_QUEUE_FULL);
	if (!is_mine &&
	    (glen_nf_spare(t) <= RESERVE || glen_nf_keep(t, p, &mine)))
		return glen_nf_drop(ROUTER_R_NO_BUFFER);
	put(n, e, &mine);
	return GLEN_NF_KEPT;
}

static void address_frame(const struct router *r,
			  const struct router_neighbour *e,
			  struct glen_nf_packet *p)
{
	const struct router_iface *i = &r->iface[e->iface];

	memcpy(p->data, e->mac, 6);
	memcpy(p->data + 6, i->mac, 6);
	p->verdict = glen_nf_out(i->port);
}

static void send_waiting(struct glen_nf_thread *t, struct router *r,
			 struct router_neighbour *e)
{
	while (e->n_waiting) {
		struct glen_nf_packet p = take(&r->neigh, e);

		address_frame(r, e, &p);
		router_send(t, &p);
	}
}

/* Nobody answered. The neighbour is forgotten first: telling the senders may
 * need others. */
static void fail(struct glen_nf_thread *t, struct router *r,
		 struct router_neighbour *e)
{
	struct router_neighbour gone = *e;

	e->n_waiting = 0;
	forget(&r->neigh, e);
	while (gone.n_waiting) {
		struct glen_nf_packet p = take(&r->neigh, &gone);

		router_error(t, r, &p, ROUTER_E_HOST, 0);
		p.verdict = glen_nf_drop(ROUTER_R_HOST_UNREACHABLE);
		router_send(t, &p);
	}
}

/* Questions. */

static void tick(struct glen_nf_thread *t, void *arg);

static void start_ticking(struct glen_nf_thread *t, struct router *r)
{
	if (!r->neigh.ticking && r->neigh.n_busy)
		r->neigh.ticking = glen_nf_timer(t, TICK_NS, tick, r) >= 0;
}

/* Those whose address is known are asked alone. */
static void ask(struct glen_nf_thread *t, struct router *r,
		struct router_neighbour *e)
{
	const uint8_t *mac = e->state == ROUTER_CHECKING ? e->mac : NULL;

	e->n_asked++;
	e->asked_ns = glen_nf_now_ns(t);
	if (e->ip.family == 4)
		router_arp_ask(t, r, e->iface, &e->ip, mac);
	else
		router_nd_ask(t, r, e->iface, &e->ip, mac);
	start_ticking(t, r);
}

static void ask_first(struct glen_nf_thread *t, struct router *r,
		      struct router_neighbour *e, enum router_state state)
{
	set_state(&r->neigh, e, state);
	e->n_asked = 0;
	ask(t, r, e);
}

static void tick_one(struct glen_nf_thread *t, struct router *r,
		     struct router_neighbour *e)
{
	if (glen_nf_now_ns(t) - e->asked_ns < ASK_NS)
		return;
	if (e->n_asked < ASK_MAX)
		ask(t, r, e);
	else
		fail(t, r, e);
}

static void tick(struct glen_nf_thread *t, void *arg)
{
	struct router *r = arg;
	struct router_neighbours *n = &r->neigh;

	n->ticking = false;
	for (uint32_t i = 1; i <= n->n && n->n_busy; i++)
		if (is_busy(&n->entry[i]))
			tick_one(t, r, &n->entry[i]);
	start_ticking(t, r);
}

uint32_t router_resolve(struct glen_nf_thread *t, struct router *r,
			struct glen_nf_packet *p, unsigned iface,
			const struct router_ip *ip, bool mine)
{
	struct router_neighbours *n = &r->neigh;
	uint64_t now = glen_nf_now_ns(t);
	struct router_neighbour *e = find(n, iface, ip);
	uint32_t verdict;

	if (!e) {
		e = make(n, iface, ip, now);
		if (!e)
			return glen_nf_drop(ROUTER_R_NEIGHBOUR_FULL);
		verdict = wait_for(t, r, e, p, mine);
		ask_first(t, r, e, ROUTER_ASKING);
		return verdict;
	}
	e->used_ns = now;
	if (e->state == ROUTER_ASKING)
		return wait_for(t, r, e, p, mine);
	if (e->state == ROUTER_KNOWN &&
	    now - e->confirmed_ns > CONFIRM_S * ROUTER_NS_PER_S)
		ask_first(t, r, e, ROUTER_CHECKING);
	address_frame(r, e, p);
	return p->verdict;
}

void router_learn(struct glen_nf_thread *t, struct router *r, unsigned iface,
		  const struct router_ip *ip, const uint8_t *mac, bool create,
		  bool change)
{
	struct router_neighbours *n = &r->neigh;
	struct router_neighbour *e = find(n, iface, ip);

	/* A quarter of the table is for those whom we want something of. */
	if (!e && create && n->n_used < n->n - n->n / 4)
		e = make(n, iface, ip, glen_nf_now_ns(t));
	if (!e)
		return;
	if ((e->state == ROUTER_KNOWN || e->state == ROUTER_CHECKING) &&
	    !change && memcmp(e->mac, mac, 6))
		return;
	memcpy(e->mac, mac, 6);
	e->confirmed_ns = glen_nf_now_ns(t);
	set_state(n, e, ROUTER_KNOWN);
	glen_nf_count(t, ROUTER_C_LEARNED, 1);
	send_waiting(t, r, e);
}
