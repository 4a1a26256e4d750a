// SPDX-License-Identifier: BSD-2-Clause
// router/router.c - the network function: starts, and routes batches.
#include "nf/router/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/headers.h"
#include "lib/error.h"

enum {
	ARP = 0x0806,
	IPV4 = 0x0800,
	IPV6 = 0x86dd,
	ANNOUNCEMENTS = 3, /* of each address, a second apart */
};

/* Packets of one family whose destinations are looked up together. */
struct lookups {
	unsigned n;
	struct glen_nf_packet *packet[GLEN_NF_BATCH_MAX];
	const uint8_t *address[GLEN_NF_BATCH_MAX];
	uint32_t number[GLEN_NF_BATCH_MAX]; /* of the hop */
};

static const struct glen_nf_option options[] = {
	{ "config", "FILE", "interfaces, addresses and routes" },
	{ NULL },
};

/* Says all of ourselves, for neighbours that remember who was here before. */
static void announce(struct glen_nf_thread *t, void *arg)
{
	struct router *r = arg;

	for (unsigned i = 0; i < r->n_ifaces; i++)
		for (unsigned k = 0; k < r->iface[i].n_own; k++) {
			const struct router_ip *ip = &r->iface[i].own[k].ip;

			if (ip->family == 4)
				router_arp_announce(t, r, i, ip);
			else
				router_nd_announce(t, r, i, ip);
		}
	if (++r->n_announced < ANNOUNCEMENTS)
		glen_nf_timer(t, ROUTER_NS_PER_S, announce, r);
}

static int ports_number(struct glen_nf *nf, struct router *r,
			struct glen_error *error)
{
	for (unsigned i = 0; i < r->n_ifaces; i++) {
		int port = glen_nf_port(nf, r->iface[i].name);

		if (port < 0)
			return error_set(error, port, "interface %s: %s",
					 r->iface[i].name, error_reason(-port));
		r->iface[i].port = (unsigned)port;
		r->by_port[port] = (uint8_t)(i + 1);
	}
	return 0;
}

static int start(struct glen_nf *nf, const struct glen_nf_args *args,
		 struct glen_error *error)
{
	const char *path = glen_nf_arg(args, "config", 0);
	struct router *r;
	int err;

	if (!path)
		return error_set(error, -EINVAL,
				 "option config=FILE is needed");
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	err = router_init(r);
	err = err ?: router_config_load(r, path, error);
	err = err ?: router_neighbours_init(r);
	err = err ?: ports_number(nf, r, error);
	if (err) {
		router_fini(r);
		free(r);
		return err;
	}
	r->icmp_cost_ns = r->icmp_rate ? ROUTER_NS_PER_S / r->icmp_rate : 0;
	glen_nf_set_state(nf, r);
	return 0;
}

static void stop(struct glen_nf *nf)
{
	struct router *r = glen_nf_state(nf);

	router_fini(r);
	free(r);
}

static int thread_start(struct glen_nf_thread *t, struct glen_error *error)
{
	struct router *r = glen_nf_state(glen_nf_of(t));

	if (glen_nf_thread_index(t))
		return error_set(error, -EINVAL,
				 "a router has one thread; start it with one");
	return glen_nf_timer(t, 0, announce, r) < 0 ? -ENOMEM : 0;
}

/* What is wrong with the Ethernet header; -1: nothing. */
static int link_problem(const struct router *r, const struct glen_nf_packet *p)
{
	unsigned iface = p->in < GLEN_NF_PORTS_MAX ? r->by_port[p->in] : 0;

	if (!iface)
		return ROUTER_R_UNKNOWN_PORT;
	if (p->len < ROUTER_ETH)
		return ROUTER_R_SHORT;
	if (p->data[6] & 1)
		return ROUTER_R_BAD_ETHERNET;
	if (!(p->data[0] & 1) && memcmp(p->data, r->iface[iface - 1].mac, 6))
		return ROUTER_R_OTHER_STATION;
	return -1;
}

static void look_up_later(struct lookups *l, struct glen_nf_packet *p,
			  unsigned at)
{
	l->packet[l->n] = p;
	l->address[l->n++] = p->data + ROUTER_ETH + at;
}

/* Decides, or puts the packet among those to be looked up. */
static void receive(struct glen_nf_thread *t, struct router *r,
		    struct glen_nf_packet *p, struct lookups *l)
{
	int problem = link_problem(r, p);
	uint32_t verdict;

	if (problem >= 0) {
		p->verdict = glen_nf_drop((unsigned)problem);
		return;
	}
	switch (headers_get16(p->data + 12)) {
	case IPV4:
		if (router_ipv4_check(t, r, p, &verdict)) {
			look_up_later(&l[0], p, 16);
			return;
		}
		break;
	case IPV6:
		if (router_ipv6_check(t, r, p, &verdict)) {
			look_up_later(&l[1], p, 24);
			return;
		}
		break;
	case ARP:
		verdict = router_arp(t, r, p, router_in(r, p));
		break;
	default:
		verdict = glen_nf_drop(ROUTER_R_NOT_IP);
	}
	p->verdict = verdict;
}

static void process(struct glen_nf_thread *t, struct glen_nf_packet *p,
		    unsigned n)
{
	struct router *r = glen_nf_state(glen_nf_of(t));
	struct lookups l[2];

	l[0].n = l[1].n = 0;
	for (unsigned i = 0; i < n; i++)
		receive(t, r, &p[i], l);
	for (unsigned f = 0; f < 2; f++) {
		lpm_find(r->table[f], l[f].address, l[f].n, l[f].number);
		for (unsigned i = 0; i < l[f].n; i++) {
			struct glen_nf_packet *at = l[f].packet[i];
			const struct router_hop *hop = NULL;

			if (l[f].number[i])
				hop = &r->hop[l[f].number[i]];
			at->verdict = f ? router_ipv6_route(t, r, at, hop) :
					  router_ipv4_route(t, r, at, hop);
		}
	}
}

const struct glen_nf_program router_nf = {
	.size = sizeof(router_nf),
	.name = "router",
	.summary = "Routes IPv4 and IPv6 between ports.",
	.options = options,
	.reasons = router_reasons,
	.counters = router_counters,
	.start = start,
	.stop = stop,
	.thread_start = thread_start,
	.process = process,
};
