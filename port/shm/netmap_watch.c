// SPDX-License-Identifier: BSD-2-Clause
// netmap_watch.c - which monitors get copies of what passes a port's rings.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/rcu.h"
#include "port/shm/netmap_port.h"

/* The same with room for so many. */
static struct shm_watch *copy(const struct shm_watch *old, unsigned n)
{
	size_t size = sizeof(struct shm_watch) + n * sizeof(struct egress *);
	struct shm_watch *w = malloc(size);

	if (!w)
		return NULL;
	w->n = old ? old->n : 0;
	for (unsigned i = 0; i < w->n && i < n; i++)
		w->egress[i] = old->egress[i];
	return w;
}

static int add(_Atomic(struct shm_watch *) *at, struct egress *egress)
{
	struct shm_watch *old = atomic_load(at);
	struct shm_watch *w = copy(old, old ? old->n + 1 : 1);

	if (!w)
		return -ENOMEM;
	w->egress[w->n++] = egress;
	rcu_publish(at, w);
	if (old) {
		rcu_wait();
		free(old);
	}
	return 0;
}

/* Takes all rings of a monitor's port out. */
static void del(_Atomic(struct shm_watch *) *at, const struct port *monitor)
{
	struct shm_watch *old = atomic_load(at), *w;
	unsigned n = 0, left = 0;

	for (unsigned i = 0; old && i < old->n; i++)
		n += old->egress[i]->port == monitor;
	if (!n)
		return;
	w = NULL;
	/* Without memory: wait until there is some. */
	while (n < old->n && !(w = copy(old, old->n)))
		usleep(1000);
	for (unsigned i = 0; w && i < old->n; i++)
		if (old->egress[i]->port != monitor)
			w->egress[left++] = old->egress[i];
	if (w)
		w->n = left;
	rcu_publish(at, w);
	rcu_wait();
	free(old);
}

static void forget(struct netmap_port *monitor)
{
	struct netmap_port *parent = monitor->watched, **at;

	for (unsigned i = 0; i < parent->port->n_in; i++)
		del(&parent->in[i].watch, monitor->port);
	for (unsigned i = 0; i < parent->port->n_out; i++)
		del(&parent->out[i].watch, monitor->port);
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

int netmap_watch(struct port *monitor, struct port *parent,
		 const struct nmw_bind *rings)
{
	struct netmap_port *m = monitor->drv, *p = parent->drv;
	int err = 0;

	m->watched = p;
	m->next_watcher = p->watchers;
	p->watchers = m;
	for (unsigned i = rings->tx_first; !err && i < rings->tx_last; i++)
		err = add(&p->in[i].watch, &monitor->out[i % monitor->n_out]);
	for (unsigned i = rings->rx_first; !err && i < rings->rx_last; i++)
		err = add(&p->out[i].watch, &monitor->out[i % monitor->n_out]);
	if (err)
		forget(m);
	return err;
}
