/* SPDX-License-Identifier: BSD-2-Clause */
/* router_rig.h - a router between two ports, and a clock that tests turn. */
#ifndef TESTS_UNIT_ROUTER_RIG_H
#define TESTS_UNIT_ROUTER_RIG_H
/*
 * A group with a source, the router, and for each of its interfaces, named in
 * router_ports[], a sink in place of the port, which records what leaves by it.
 * Time stands still but for router_pass(). Nothing here needs cmocka: the fuzz
 * targets use it, too. What cannot fail calls abort().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/glen/nf.h"
#include "lib/nf/group.h"
#include "nf/router/router.h"

enum { ROUTER_PORTS = 2, ROUTER_OUT = 1024, ROUTER_FRAME = 2048 };

struct router_frame {
	unsigned port; /* index in router_ports[] */
	unsigned len;
	uint8_t b[ROUTER_FRAME];
};

static const char *const router_ports[ROUTER_PORTS] = { "lan", "wan" };

static const char router_file[] =
	"interface lan mac 02:00:00:00:00:01\n"
	"interface wan mac 02:00:00:00:00:02 mtu 1400\n"
	"address lan 10.0.0.1/24\n"
	"address lan 2001:db8:1::1/64\n"
	"address wan 192.0.2.1/24\n"
	"address wan 2001:db8:2::1/64\n"
	"route 198.51.100.0/24 via 192.0.2.254\n"
	"route 198.18.0.0/16 blackhole\n"
	"route 198.19.0.0/16 unreachable\n"
	"route 203.0.113.0/24 prohibit\n"
	"route 2001:db8:99::/48 via fe80::fe dev wan\n"
	"route 2001:db8:18::/48 blackhole\n"
	"route 2001:db8:19::/48 unreachable\n"
	"route 2001:db8:20::/48 prohibit\n";

static struct {
	struct glen_nf_group *group;
	struct glen_nf *nf;
	struct glen_nf_thread *router, *source;
	struct router *state;
	unsigned chain;
	unsigned threads; /* of the router to be added; 0: one */
	uint64_t now;
	unsigned n_out;
	struct router_frame out[ROUTER_OUT];
} rr;

static const char *const router_sunk[] = { "sunk", NULL };

static inline uint32_t router_record(struct glen_nf_thread *t,
				     struct glen_nf_packet *p)
{
	const char *name = glen_nf_state(glen_nf_of(t));
	struct router_frame *f = &rr.out[rr.n_out];

	if (rr.n_out < ROUTER_OUT) {
		f->port = name == router_ports[1];
		f->len = p->len;
		memcpy(f->b, p->data, p->len);
		rr.n_out++;
	}
	return glen_nf_drop(0);
}

static const struct glen_nf_program router_sink = {
	.size = sizeof(router_sink),
	.name = "recorder",
	.reasons = router_sunk,
	.packet = router_record,
};

static inline int router_source_start(struct glen_nf *nf,
				      const struct glen_nf_args *args,
				      struct glen_error *error)
{
	int chain = glen_nf_chain(nf, "c");

	rr.chain = (unsigned)chain;
	return chain < 0 ? chain : 0;
}

static const struct glen_nf_program router_source_nf = {
	.size = sizeof(router_source_nf),
	.name = "source",
	.reasons = router_sunk,
	.start = router_source_start,
	.packet = router_record,
};

/* Turns of all until nothing moves. */
static inline void router_run(void)
{
	for (unsigned idle = 0; idle < 3; idle++) {
		for (struct nf_runner *r = rr.group->runners; r; r = r->next) {
			bool again = false;

			rr.group->scratch.now_ns = rr.now;
			if (nf_turn(r->t, &rr.group->scratch, &again) || again)
				idle = 0;
		}
	}
}

/* Time passes, in quarters of seconds. */
static inline void router_pass(unsigned quarters)
{
	while (quarters--) {
		rr.now += ROUTER_NS_PER_S / 4;
		router_run();
	}
}

/* Starts the router with a file; -errno of glen_nf_add(). */
static inline int router_add(const char *text, size_t len,
			     struct glen_error *error)
{
	int fd = memfd_create("router", MFD_CLOEXEC), err;
	char config[64];
	const char *const args[] = { config, NULL };
	struct glen_nf_instance c = { .args = args, .threads = rr.threads };

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		abort();
	snprintf(config, sizeof(config), "config=/proc/self/fd/%d", fd);
	err = glen_nf_add(rr.group, &rr.nf, &router_nf, &c, error);
	close(fd);
	return err;
}

static inline void router_connect(void)
{
	static const char *const services[] = { "router" };
	static const struct glen_nf_instance one = { .service = NULL };
	struct glen_error error;
	struct glen_nf *nf;
	int number;

	for (unsigned i = 0; i < ROUTER_PORTS; i++) {
		number = glen_nf_port(rr.nf, router_ports[i]);
		if (number < 0 ||
		    instance_add(rr.group, NULL, &router_sink, &one,
				 (void *)router_ports[i], number, &error))
			abort();
	}
	if (glen_nf_add(rr.group, &nf, &router_source_nf, NULL, &error) ||
	    glen_nf_group_chain(rr.group, "c", services, 1, NULL, &error))
		abort();
	rr.source = nf->runners[0]->t;
	rr.router = rr.nf->runners[0]->t;
	rr.state = glen_nf_state(rr.nf);
	for (unsigned i = 0; i < 8; i++)
		glen_nf_group_poll(rr.group);
	rr.now = nf_clock();
}

/* A router that has announced itself once. */
static inline void router_open(const char *text)
{
	static const struct glen_nf_group_config config = { .bufs = 8192,
							    .pipe_slots = 256 };
	struct glen_error error = { 0 };

	memset(&rr, 0, sizeof(rr));
	if (glen_nf_group_create(&rr.group, &config, &error) ||
	    router_add(text, strlen(text), &error)) {
		fprintf(stderr, "%s\n", error.text);
		abort();
	}
	router_connect();
}

/* One that is silent, with nothing recorded. */
static inline void router_open_quiet(const char *text)
{
	router_open(text);
	router_pass(12);
	rr.n_out = 0;
}

/* A frame arrives, later than all before. False: no room for it. */
static inline bool router_feed(unsigned port, const uint8_t *data, unsigned len)
{
	struct glen_nf_packet p;

	if (glen_nf_alloc(rr.source, len, &p))
		return false;
	memcpy(p.data, data, len);
	p.in = (uint16_t)rr.state->iface[port].port;
	p.verdict = glen_nf_to_chain(rr.chain);
	if (glen_nf_send(rr.source, &p, 1))
		return true;
	glen_nf_free(rr.source, &p);
	return false;
}

static inline uint64_t router_dropped(enum router_reason reason)
{
	return rr.router->stats.reasons[reason];
}

static inline uint64_t router_counted(enum router_counter counter)
{
	return rr.router->stats.counters[counter];
}

static inline uint64_t router_waiting(void)
{
	const struct router_neighbours *n = &rr.state->neigh;
	uint64_t waiting = 0;

	for (uint32_t i = 1; i <= n->n; i++)
		waiting += n->entry[i].state ? n->entry[i].n_waiting : 0;
	return waiting;
}

/* Every packet is somewhere, once. */
static inline bool router_adds_up(void)
{
	const struct glen_nf_thread *t = rr.router;
	uint64_t drops = 0;

	for (unsigned i = 0; i < NF_DROP_N; i++)
		drops += t->stats.drops[i];
	for (unsigned i = 0; i < GLEN_NF_REASONS_MAX; i++)
		drops += t->stats.reasons[i];
	return t->n_spare - t->n_free == router_waiting() &&
	       t->stats.in + t->stats.made == t->stats.out + drops +
						      t->stats.freed +
						      router_waiting() &&
	       !broker_audit(&rr.group->broker);
}

static inline void router_close(void)
{
	glen_nf_group_destroy(rr.group);
	rr.group = NULL;
}

#endif
