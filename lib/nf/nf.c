// SPDX-License-Identifier: BSD-2-Clause
// nf.c - what an NF asks the runtime: state, names, numbers, time, counters.
#include <errno.h>

#include "lib/nf/group.h"
#include "lib/nf/run.h"

void glen_nf_set_state(struct glen_nf *nf, void *state)
{
	nf->state = state;
}

void *glen_nf_state(const struct glen_nf *nf)
{
	return nf->state;
}

void glen_nf_thread_set_state(struct glen_nf_thread *t, void *state)
{
	t->state = state;
}

void *glen_nf_thread_state(const struct glen_nf_thread *t)
{
	return t->state;
}

struct glen_nf *glen_nf_of(const struct glen_nf_thread *t)
{
	return t->nf;
}

unsigned glen_nf_thread_index(const struct glen_nf_thread *t)
{
	return t->index;
}

unsigned glen_nf_threads(const struct glen_nf *nf)
{
	return nf->n_threads;
}

const char *glen_nf_name(const struct glen_nf *nf)
{
	return nf->name;
}

/* One of the three kinds of numbers. */
static int number(struct glen_nf *nf, const char *name,
		  int (*find)(struct broker *b, const char *name, bool make),
		  bool *wants)
{
	struct glen_nf_group *g = nf->group;
	int n, err;

	pthread_mutex_lock(&g->lock);
	n = find(&g->broker, name, true);
	if (n >= 0 && !wants[n]) {
		wants[n] = true;
		if (nf->live) {
			err = broker_update(&g->broker);
			if (err)
				n = err;
			group_settle(g);
		}
	}
	pthread_mutex_unlock(&g->lock);
	return n;
}

int glen_nf_service(struct glen_nf *nf, const char *name)
{
	return number(nf, name, broker_service, nf->wants->service);
}

int glen_nf_chain(struct glen_nf *nf, const char *name)
{
	return number(nf, name, broker_chain, nf->wants->chain);
}

int glen_nf_port(struct glen_nf *nf, const char *name)
{
	return number(nf, name, broker_port, nf->wants->port);
}

const char *glen_nf_port_name(const struct glen_nf *nf, unsigned port)
{
	const struct broker *b = &nf->group->broker;

	return port < GLEN_NF_PORTS_MAX ? b->port[port] : "";
}

uint64_t glen_nf_now_ns(const struct glen_nf_thread *t)
{
	return t->now_ns;
}

void glen_nf_count(struct glen_nf_thread *t, unsigned counter, uint64_t n)
{
	if (counter < GLEN_NF_COUNTERS_MAX)
		nf_add(&t->stats.counters[counter], n);
}
