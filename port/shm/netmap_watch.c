// SPDX-License-Identifier: BSD-2-Clause
// netmap_watch.c - which monitors see what passes a port's rings.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rcu.h"
#include "port/shm/netmap_port.h"
#include "port/shm/pump.h"

typedef _Atomic(struct shm_watch *) watch_list;

/* A list with room for so many more, and one more that is not in it yet. */
static struct shm_watch *make(const struct shm_watch *like, unsigned n)
{
	size_t size = sizeof(struct shm_watch) + n * sizeof(struct egress *);
	struct shm_watch *w = calloc(1, size);

	if (w && like)
		w->from = like->from;
	return w;
}

/* Copying ones come first. */
static void append(struct shm_watch *w, struct egress *egress, bool zcopy)
{
	unsigned at = zcopy ? w->n : w->n_copy++;

	for (unsigned i = w->n++; i > at; i--)
		w->egress[i] = w->egress[i - 1];
	w->egress[at] = egress;
}

static int add(watch_list *at, const struct netmap_port *parent,
	       struct egress *egress, bool zcopy)
{
	struct shm_watch *old = atomic_load(at);
	struct shm_watch *w = make(old, old ? old->n + 1 : 1);

	if (!w)
		return -ENOMEM;
	w->from = &parent->rings.window->member;
	for (unsigned i = 0; old && i < old->n; i++)
		append(w, old->egress[i], i >= old->n_copy);
	append(w, egress, zcopy);
	rcu_publish(at, w);
	if (old) {
		rcu_wait();
		free(old);
	}
	return 0;
}

/* Takes all rings of a monitor's port out. */
static void del(watch_list *at, const struct port *monitor)
{
	struct shm_watch *old = atomic_load(at), *w;
	unsigned n = 0;

	for (unsigned i = 0; old && i < old->n; i++)
		n += old->egress[i]->port == monitor;
	if (!n)
		return;
	w = NULL;
	/* Without memory: wait until there is some. */
	while (n < old->n && !(w = make(old, old->n - n)))
		usleep(1000);
	for (unsigned i = 0; w && i < old->n; i++)
		if (old->egress[i]->port != monitor)
			append(w, old->egress[i], i >= old->n_copy);
	rcu_publish(at, w);
	rcu_wait();
	free(old);
}

static void forget(struct netmap_port *monitor)
{
	struct netmap_port *parent = monitor->watched, **at;
	struct pump *pump = parent->pump;

	for (unsigned i = 0; i < parent->port->n_in && !pump; i++)
		del(&parent->in[i].watch, monitor->port);
	for (unsigned i = 0; i < parent->port->n_out && !pump; i++)
		del(&parent->out[i].watch, monitor->port);
	for (unsigned i = 0; pump && i < pump->n_pairs; i++) {
		del(&pump->pair[i].tx_watch, monitor->port);
		del(&pump->pair[i].rx_watch, monitor->port);
	}
	at = &parent->watchers;
	while (*at != monitor)
		at = &(*at)->next_watcher;
	*at = monitor->next_watcher;
	monitor->watched = NULL;
}

void netmap_unwatch(struct netmap_port *p)
{
	while (p->watchers)
		forget(p->watchers);
	if (p->watched)
		forget(p);
}

/* Who sees ring i of an end. */
static watch_list *list_of(struct netmap_port *p, unsigned end, bool tx,
			   unsigned i)
{
	struct pump *pump = p->pump;

	if (!pump)
		return tx ? &p->in[i].watch : &p->out[i].watch;
	/* The pair is the sender's: what one end receives the other sends. */
	i += end == tx ? pump->n_tx : 0;
	return tx ? &pump->pair[i].tx_watch : &pump->pair[i].rx_watch;
}

int netmap_watch(struct port *monitor, struct port *parent, unsigned end,
		 const struct nmw_bind *rings, bool zcopy)
{
	struct netmap_port *m = monitor->drv, *p = parent->drv;
	int err = 0;

	m->watched = p;
	m->next_watcher = p->watchers;
	p->watchers = m;
	for (unsigned i = rings->tx_first; !err && i < rings->tx_last; i++)
		err = add(list_of(p, end, true, i), p,
			  &monitor->out[i % monitor->n_out], zcopy);
	for (unsigned i = rings->rx_first; !err && i < rings->rx_last; i++)
		err = add(list_of(p, end, false, i), p,
			  &monitor->out[i % monitor->n_out], zcopy);
	if (err)
		forget(m);
	return err;
}
