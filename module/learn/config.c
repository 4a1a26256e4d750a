// SPDX-License-Identifier: BSD-2-Clause
// learn/config.c - options, ports and ageing of the learning bridge.
#include "module/learn/learn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/port.h"
#include "lib/error.h"
#include "module/learn/ports.h"

enum {
	SWEEP_TICKS = 8,       /* a large table is swept in so many ticks */
	SWEEP_MIN = 16 * 1024, /* buckets per tick at least */
};

static int read_options(json_t *params, struct learn_options *o,
			struct glen_error *error)
{
	static const char *const known[] = { "entries",	  "ageing_s",	 "vlan",
					     "flood_pps", "named_ports", NULL };
	int err = params_check(params, known, error);

	if (!err)
		err = params_int(params, "entries", 65536, 1,
				 TABLE_CAPACITY_MAX, &o->entries, error);
	if (!err)
		err = params_int(params, "ageing_s", 300, 0, AGE_MAX,
				 &o->ageing_s, error);
	if (!err)
		err = params_bool(params, "vlan", true, &o->vlan, error);
	if (!err)
		err = params_int(params, "flood_pps", 0, 0, FLOOD_PPS_MAX,
				 &o->flood_pps, error);
	if (!err)
		err = params_bool(params, "named_ports", true, &o->named_ports,
				  error);
	return err;
}

static struct table *current_table(struct learn *l)
{
	return atomic_load_explicit(&l->table, memory_order_relaxed);
}

/* Takes over what workers read as single words. */
static void apply_options(struct learn *l, const struct learn_options *o)
{
	atomic_store_explicit(&l->ageing_s, o->ageing_s, memory_order_relaxed);
	atomic_store_explicit(&l->named_ports, o->named_ports,
			      memory_order_relaxed);
	if (o->flood_pps != l->options.flood_pps)
		meter_set(&l->flood, o->flood_pps, 1,
			  o->flood_pps < 10 ? 1 : o->flood_pps / 10,
			  METER_GRAB_PACKETS, l->n_workers);
	l->options = *o;
	l->options.entries = current_table(l)->capacity;
}

static int make_table(const struct learn_options *o, struct table **t,
		      struct glen_error *error)
{
	int err = table_create(o->entries, o->vlan, t);

	if (err)
		return error_set(error, err,
				 "no memory for a table of %ld addresses; "
				 "choose fewer entries",
				 o->entries);
	return 0;
}

static void learn_destroy(void *state)
{
	struct learn *l = state;

	if (!l)
		return;
	ports_fini(l);
	vlan_fini(l);
	table_destroy(current_table(l));
	free(l->workers);
	free(l);
}

static int learn_create(const struct glen_module_env *env, json_t *params,
			void **state, struct glen_error *error)
{
	struct learn_options options;
	struct timespec now;
	struct table *t;
	struct learn *l;
	int err = read_options(params, &options, error);

	if (err)
		return err;
	err = make_table(&options, &t, error);
	if (err)
		return err;
	l = aligned_alloc(64, sizeof(*l));
	if (!l)
		goto err_table;
	memset(l, 0, sizeof(*l));
	l->env = env;
	/* Until the first tick, so that what is learnt before can be shown. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	l->now_s = now.tv_sec;
	l->n_workers = env->n_workers ?: 1;
	l->workers = aligned_alloc(64, l->n_workers * sizeof(*l->workers));
	if (!l->workers)
		goto err_free;
	for (unsigned i = 0; i < l->n_workers; i++)
		l->workers[i] = (struct learn_worker){ 0 };
	err = ports_init(l);
	if (err)
		goto err_workers;
	rcu_publish(&l->table, t);
	apply_options(l, &options);
	*state = l;
	return 0;

err_workers:
	free(l->workers);
err_free:
	free(l);
err_table:
	table_destroy(t);
	return error_set(error, -ENOMEM, "no memory for a learning bridge");
}

static bool in_vlan_0(const struct table_entry *entry)
{
	return !(entry->key >> KEY_VLAN_SHIFT);
}

/*
 * A table of another shape. When VLANs are ignored from now on, the addresses
 * of VLAN 0 are all that is kept; without VLAN ids before, nothing that was
 * learnt tells which VLAN it belongs to, so what is kept counts as VLAN 0.
 */
static int replace_table(struct learn *l, const struct learn_options *o,
			 struct glen_error *error)
{
	struct table *old = current_table(l), *t;
	int err = make_table(o, &t, error);

	if (err)
		return err;
	table_copy(t, old, o->vlan ? NULL : in_vlan_0);
	rcu_publish(&l->table, t);
	rcu_wait();
	table_destroy(old);
	l->sweep_at = 0;
	l->ports_changed = true; /* some may not have found room */
	return 0;
}

/* What the old one had learnt; what it learns in between is learnt again. */
static void learn_adopt(void *state, void *old, unsigned when)
{
	struct learn *l = state;
	struct table *t = current_table(l);

	if (when == GLEN_ADOPT_BEFORE)
		table_copy(t, current_table(old), t->vlan ? NULL : in_vlan_0);
	l->ports_changed = true;
}

static bool ports_have_modes(const struct learn *l)
{
	for (unsigned i = 0; i < LEARN_PORTS; i++)
		if (l->slots[i].now && l->slots[i].now->vlan.mode)
			return true;
	return false;
}

static int learn_set(void *state, json_t *params, struct glen_error *error)
{
	struct learn *l = state;
	struct table *t = current_table(l);
	struct learn_options o;
	int err = read_options(params, &o, error);

	if (err)
		return err;
	if (!o.vlan && ports_have_modes(l))
		return error_set(error, -EINVAL,
				 "vlan cannot be false while ports have a mode "
				 "(glenctl vlan show)");
	if (o.vlan != t->vlan || o.entries > (long)t->capacity ||
	    (o.entries <= (long)t->capacity / 2 &&
	     t->capacity > TABLE_CAPACITY_MIN)) {
		err = replace_table(l, &o, error);
		if (err)
			return err;
	}
	apply_options(l, &o);
	return 0;
}

static json_t *learn_show(void *state)
{
	struct learn *l = state;
	struct table *t = current_table(l);
	json_int_t moves = 0, not_learnt = 0;

	for (unsigned i = 0; i < l->n_workers; i++) {
		moves += __atomic_load_n(&l->workers[i].moves,
					 __ATOMIC_RELAXED);
		not_learnt += __atomic_load_n(&l->workers[i].not_learnt,
					      __ATOMIC_RELAXED);
	}
	return json_pack("{s:I, s:I, s:b, s:I, s:b, s:{s:I, s:I, s:I}}",
			 "entries", (json_int_t)t->capacity, "ageing_s",
			 (json_int_t)l->options.ageing_s, "vlan", t->vlan,
			 "flood_pps", (json_int_t)l->options.flood_pps,
			 "named_ports", l->options.named_ports, "counts",
			 "used",
			 (json_int_t)atomic_load_explicit(&t->used,
							  memory_order_relaxed),
			 "moves", moves, "not_learnt", not_learnt);
}

/* Also when the port is or is not isolated from now on. */
static void learn_port_add(void *state, const struct glen_module_port *port)
{
	ports_add(state, port);
}

/* The index may be another port's next time: nothing may lead there. */
static void learn_port_del(void *state, const struct glen_module_port *port)
{
	ports_del(state, port->index);
	table_flush(current_table(state), port->index, true);
}

static void learn_tick(void *state, uint32_t now_s)
{
	struct learn *l = state;
	struct table *t = current_table(l);
	uint64_t n = (t->mask + 1) / SWEEP_TICKS;

	l->now_s = now_s;
	vlan_tick(l);
	if (l->mirrors)
		mirror_update(l);
	n = n > SWEEP_MIN ? n : SWEEP_MIN;
	table_sweep(t, &l->sweep_at, n, now_s, l->options.ageing_s);
	if (table_fit(t))
		rcu_wait();
	table_settle(t, n);
}

const struct module_builtin module_learn = {
	.ops = {
	GLEN_MODULE_HEAD,
	.name = "learn",
	.version = "1.0",
	.state_version = 1,
	.summary = "learning bridge with VLANs, ageing and a flood limit",
	.options =
		"entries=N    addresses in the table, up to 1048576, rounded "
		"up to a power of two (65536)\n"
		"ageing_s=N   forget an address after so many seconds, 0: "
		"never (300)\n"
		"vlan=BOOL    learn per VLAN id of the outer tag (true)\n"
		"flood_pps=N  packets per second to unknown or group "
		"addresses, 0: no limit (0)\n"
		"named_ports=BOOL  senders may name the port that a packet "
		"goes to (true)",
	.hdr_want = HDR_MIN,
	.drops = learn_drops,
	.create = learn_create,
	.destroy = learn_destroy,
	.set = learn_set,
	.show = learn_show,
	.port_add = learn_port_add,
	.port_change = learn_port_add,
	.port_del = learn_port_del,
	.port_set = ports_set,
	.port_settings = ports_settings,
	.changed = ports_changed,
	.hdr_want_now = ports_hdr_want,
	.tick = learn_tick,
	.command = learn_command,
	.adopt = learn_adopt,
	},
	.lookup = ISA_TABLE(learn_lookup),
};
