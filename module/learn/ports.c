// SPDX-License-Identifier: BSD-2-Clause
// learn/ports.c - takes settings of ports, and tells what they have become.
#include "module/learn/ports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/port.h"
#include "lib/error.h"

enum {
	MACS_MAX = 4096, /* static addresses in one port's settings */
	MAC_TEXT_SIZE = 32,
	/* A burst in bytes takes the longest packet that there can be. */
	BURST_MIN = PACKET_LEN_MAX,
};

/* A meter as the settings want it. */
struct rate {
	uint64_t rate;
	uint64_t burst;
};

/* Settings that were read. */
struct wanted {
	struct learn_port *port;
	struct rate rate[METER_N];
	uint64_t *macs; /* keys */
	size_t n_macs;
};

static const char *const known[] = {
	"mode",
	"vlan",
	"native",
	"allowed",
	"mirror",
	"mirror_to",
	"mirror_normal",
	"guard",
	"mac_limit",
	"mac_sticky",
	"macs",
	"police_bps",
	"police_burst_bytes",
	"police_burst_packets",
	"police_pps",
	"storm_broadcast_pps",
	"storm_multicast_pps",
	"storm_unknown_pps",
	NULL,
};

/* Reading */

/* A number, or a text such as "10M" (10 000 000). */
static int read_number(json_t *settings, const char *key, uint64_t max,
		       uint64_t *n, struct glen_error *error)
{
	json_t *value = json_object_get(settings, key);
	const char *text = json_string_value(value);
	static const char units[] = "kMG";
	uint64_t unit = 1;
	char *end = NULL;
	const char *at;

	*n = 0;
	if (!value || json_is_null(value))
		return 0;
	if (json_is_integer(value) && json_integer_value(value) >= 0)
		*n = json_integer_value(value);
	else if (text && text[0] >= '0' && text[0] <= '9')
		*n = strtoull(text, &end, 10);
	else
		return error_set(error, -EINVAL,
				 "%s must be a number, or one with k, M or G "
				 "such as \"10M\"",
				 key);
	if (end && *end) {
		at = strchr(units, *end);
		if (!at || end[1])
			return error_set(error, -EINVAL,
					 "%s: '%.20s' is not a number with k, "
					 "M or G",
					 key, text);
		for (; at >= units; at--)
			unit *= 1000;
	}
	if (*n > max / unit)
		return error_set(error, -EINVAL, "%s must be at most %llu", key,
				 (unsigned long long)max);
	*n *= unit;
	return 0;
}

static int read_police(json_t *s, struct rate *rate, struct glen_error *error)
{
	struct rate *p = &rate[METER_PACKETS], *b = &rate[METER_BYTES];
	const uint64_t most = 1000000000000; /* a terabit per second */
	int err = read_number(s, "police_pps", most, &p->rate, error);

	if (!err)
		err = read_number(s, "police_bps", most, &b->rate, error);
	if (!err)
		err = read_number(s, "police_burst_packets", most, &p->burst,
				  error);
	if (!err)
		err = read_number(s, "police_burst_bytes", most, &b->burst,
				  error);
	if (err)
		return err;
	if ((p->burst && !p->rate) || (b->burst && !b->rate))
		return error_set(error, -EINVAL,
				 "police_burst_%s needs police_%s",
				 p->rate ? "bytes" : "packets",
				 p->rate ? "bps" : "pps");
	if (!p->burst)
		p->burst = p->rate < 10 ? 1 : p->rate / 10;
	if (!b->burst)
		b->burst = b->rate / 80 < BURST_MIN ? BURST_MIN : b->rate / 80;
	return 0;
}

static int read_storms(json_t *s, struct rate *rate, struct glen_error *error)
{
	static const struct {
		const char *key;
		enum port_meter which;
	} all[] = {
		{ "storm_broadcast_pps", METER_BROADCAST },
		{ "storm_multicast_pps", METER_MULTICAST },
		{ "storm_unknown_pps", METER_UNKNOWN },
	};
	int err = 0;

	for (unsigned i = 0; i < 3 && !err; i++) {
		struct rate *r = &rate[all[i].which];

		err = read_number(s, all[i].key, FLOOD_PPS_MAX, &r->rate,
				  error);
		r->burst = r->rate < 10 ? 1 : r->rate / 10;
	}
	return err;
}

/* "aa:bb:cc:dd:ee:ff" or "aa:bb:cc:dd:ee:ff@VLAN" */
static bool read_key(const char *text, uint64_t *key)
{
	char mac[18];
	unsigned long vlan = 0;
	char *end;

	if (!text || strlen(text) < 17)
		return false;
	memcpy(mac, text, 17);
	mac[17] = '\0';
	if (!learn_parse_mac(mac, key) || *key & KEY_GROUP || !*key)
		return false;
	text += 17;
	if (*text) {
		vlan = strtoul(text + 1, &end, 10);
		if (*text != '@' || text[1] < '0' || text[1] > '9' || *end ||
		    vlan > VLAN_LAST)
			return false;
	}
	*key |= (uint64_t)vlan << KEY_VLAN_SHIFT;
	return true;
}

static void write_key(uint64_t key, char text[MAC_TEXT_SIZE])
{
	unsigned vlan = key >> KEY_VLAN_SHIFT;

	learn_format_mac(key, text);
	if (vlan)
		snprintf(text + 17, MAC_TEXT_SIZE - 17, "@%u", vlan);
}

static int read_macs(json_t *s, struct wanted *w, struct glen_error *error)
{
	json_t *list = json_object_get(s, "macs"), *value;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > MACS_MAX)
		return error_set(error, -EINVAL,
				 "macs must be a list of at most %d addresses",
				 MACS_MAX);
	w->macs = calloc(json_array_size(list) + 1, sizeof(*w->macs));
	if (!w->macs)
		return error_set(error, -ENOMEM, "out of memory");
	json_array_foreach(list, i, value) {
		const char *text = json_string_value(value);

		if (!read_key(text, &w->macs[w->n_macs++]))
			return error_set(error, -EINVAL,
					 "macs: '%.40s' is not the address of "
					 "a station, such as 02:00:00:00:00:01 "
					 "or 02:00:00:00:00:01@10 (in VLAN 10)",
					 text ? text : "?");
	}
	return 0;
}

static void wanted_fini(struct wanted *w)
{
	if (w->port)
		free(w->port->guard);
	free(w->port);
	free(w->macs);
}

static uint32_t flags_of(const struct wanted *w)
{
	const struct rate *r = w->rate;
	uint32_t flags = 0;

	if (w->port->guard)
		flags |= PORT_GUARD;
	if (r[METER_PACKETS].rate || r[METER_BYTES].rate)
		flags |= PORT_POLICE;
	if (r[METER_BROADCAST].rate || r[METER_MULTICAST].rate ||
	    r[METER_UNKNOWN].rate)
		flags |= PORT_STORM;
	if (w->port->rule.limit || w->port->rule.fixed)
		flags |= PORT_MACS;
	return flags;
}

/* What is refused here is refused by port.add and a topology's check. */
static int wanted_read(json_t *s, struct wanted *w, struct glen_error *error)
{
	json_t *guard = json_object_get(s, "guard");
	uint64_t limit;
	int err = params_check(s, known, error);

	*w = (struct wanted){ 0 };
	if (err)
		return err;
	w->port = calloc(1, sizeof(*w->port));
	if (!w->port)
		return error_set(error, -ENOMEM, "out of memory");
	err = read_police(s, w->rate, error);
	if (!err)
		err = read_storms(s, w->rate, error);
	if (!err)
		err = read_number(s, "mac_limit", TABLE_CAPACITY_MAX, &limit,
				  error);
	if (!err)
		err = params_bool(s, "mac_sticky", false, &w->port->rule.fixed,
				  error);
	if (!err)
		err = read_macs(s, w, error);
	if (!err && guard && !json_is_null(guard))
		err = guard_create(guard, &w->port->guard, error);
	if (!err)
		err = vlan_read(s, &w->port->vlan, error);
	if (!err)
		err = mirror_read(s, &w->port->mirror, error);
	if (!err) {
		w->port->rule.limit = limit;
		w->port->flags = flags_of(w);
	}
	if (err)
		wanted_fini(w);
	return err;
}

/* Static addresses */

static struct table *current_table(struct learn *l)
{
	return atomic_load_explicit(&l->table, memory_order_relaxed);
}

static bool has_key(const uint64_t *keys, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i] == key)
			return true;
	return false;
}

/* The addresses that the port has now; to be freed. NULL: no memory. */
static uint64_t *slot_macs(const struct port_slot *slot, size_t *n)
{
	json_t *list = slot->macs ? slot->macs :
				    json_object_get(slot->settings, "macs");
	uint64_t *keys = calloc(json_array_size(list) + 1, sizeof(*keys));
	json_t *value;
	size_t i;

	*n = 0;
	if (keys)
		json_array_foreach(list, i, value) {
			if (read_key(json_string_value(value), &keys[*n]))
				(*n)++;
		}
	return keys;
}

/* A static address in a VLAN that the port is not in would be of no use. */
static int check_mac(const struct wanted *w, uint64_t key,
		     struct glen_error *error)
{
	char text[MAC_TEXT_SIZE];
	unsigned vid = key >> KEY_VLAN_SHIFT;

	if (vlan_way(&w->port->vlan, vid, false) != VLAN_NOT)
		return 0;
	write_key(key, text);
	return error_set(error, -EINVAL,
			 "macs: %s is in VLAN %u, in which the port is not; "
			 "write MAC@VLAN, or take it out of macs",
			 text, vid);
}

/* Another port has it for good, and would go on saying so. */
static bool is_elsewhere(const struct table *t, uint64_t key, unsigned index)
{
	uint64_t hash = table_hash(t, key);
	uint64_t val = bucket_find(table_near(t, hash), key, hash);

	if (!val)
		val = table_find_far(t, key, hash);
	return val & VAL_STATIC && (val & VAL_PORT) != index;
}

/* As table_add_static(); the ports are asked anew for theirs if one lost it. */
static int take_mac(struct learn *l, uint64_t key, unsigned index)
{
	struct table *t = current_table(l);
	bool elsewhere = is_elsewhere(t, key, index);
	int err = table_add_static(t, key, index);

	if (!err && elsewhere)
		l->ports_changed = true;
	return err;
}

/* Makes the port's static addresses those that are wanted; all or nothing. */
static int set_macs(struct learn *l, unsigned index, const struct wanted *w,
		    struct glen_error *error)
{
	struct table *t = current_table(l);
	size_t n_old, i;
	uint64_t *old = slot_macs(&l->slots[index], &n_old);
	int err = old ? 0 : error_set(error, -ENOMEM, "out of memory");

	for (i = 0; i < w->n_macs && !err; i++) {
		uint64_t key = w->macs[i];

		if (key >> KEY_VLAN_SHIFT && !t->vlan)
			err = error_set(error, -EINVAL,
					"macs: the switch ignores VLANs "
					"(module option vlan is false)");
		else if ((err = check_mac(w, key, error)))
			break;
		else if (take_mac(l, key, index))
			err = error_set(error, -ENOSPC,
					"macs: the table of addresses is full; "
					"raise the module option entries");
	}
	if (err) {
		while (i--)
			if (!has_key(old, n_old, w->macs[i]))
				table_del_static(t, w->macs[i], index);
		free(old);
		return err;
	}
	for (i = 0; i < n_old; i++)
		if (!has_key(w->macs, w->n_macs, old[i]))
			table_del_static(t, old[i], index);
	free(old);
	return 0;
}

/* A port's addresses while they are collected. */
struct collect {
	struct learn *l;
	json_t **macs; /* by port index */
};

static bool collect_entry(void *arg, const struct table_entry *e)
{
	struct collect *c = arg;
	char text[MAC_TEXT_SIZE];

	if (!e->fixed || e->port >= LEARN_PORTS)
		return true;
	if (!c->macs[e->port])
		c->macs[e->port] = json_array();
	write_key(e->key, text);
	json_array_append_new(c->macs[e->port], json_string(text));
	return true;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes the address text out of list; false: it is not there. */
static bool take_text(const char **texts, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (!texts[i] || strcasecmp(texts[i], text))
			continue;
		texts[i] = NULL;
		return true;
	}
	return false;
}

/* In the order in which they were given, then those that came to be. */
static json_t *in_order(json_t *given, json_t *found)
{
	size_t n = json_array_size(found), n_left = 0, i;
	const char **texts = calloc(n + 1, sizeof(*texts));
	json_t *list = json_array(), *value;

	for (i = 0; texts && i < n; i++)
		texts[i] = json_string_value(json_array_get(found, i));
	json_array_foreach(given, i, value) {
		if (texts && take_text(texts, n, json_string_value(value)))
			json_array_append(list, value);
	}
	for (i = 0; texts && i < n; i++)
		if (texts[i])
			texts[n_left++] = texts[i];
	if (texts)
		qsort(texts, n_left, sizeof(*texts), by_text);
	for (i = 0; i < n_left; i++)
		json_array_append_new(list, json_string(texts[i]));
	free(texts);
	return list;
}

bool ports_changed(void *state)
{
	struct learn *l = state;
	struct collect c = { .l = l };
	bool any = atomic_exchange_explicit(&l->fixed_new, false,
					    memory_order_relaxed);

	any |= l->ports_changed;
	if (!any)
		return false;
	c.macs = calloc(LEARN_PORTS, sizeof(*c.macs));
	if (!c.macs)
		return false; /* asked again in a second */
	l->ports_changed = false;
	table_each(current_table(l), l->now_s, 0, collect_entry, &c);
	for (unsigned i = 0; i < LEARN_PORTS; i++) {
		struct port_slot *slot = &l->slots[i];
		json_t *given = json_object_get(slot->settings, "macs");

		if (!c.macs[i] && !slot->macs && !given)
			continue;
		if (slot->macs)
			given = slot->macs;
		given = in_order(given, c.macs[i]);
		json_decref(slot->macs);
		slot->macs = given;
		json_decref(c.macs[i]);
	}
	free(c.macs);
	return true;
}

json_t *ports_settings(void *state, const struct glen_module_port *port)
{
	struct learn *l = state;
	struct port_slot *slot = &l->slots[port->index];
	json_t *now = slot->settings ? json_copy(slot->settings) :
				       json_object();

	if (!now || !slot->macs)
		return now;
	if (json_array_size(slot->macs))
		json_object_set_new(now, "macs", json_copy(slot->macs));
	else
		json_object_del(now, "macs");
	return now;
}

/* Settings in force */

static struct port_run *run_create(unsigned n_workers)
{
	size_t size = sizeof(struct port_run) +
		      n_workers * sizeof(struct port_share);
	struct port_run *run = aligned_alloc(64, size);

	if (run)
		memset(run, 0, size);
	return run;
}

static bool rate_changed(json_t *old, json_t *new)
{
	for (const char *const *k = known; *k; k++)
		if ((!strncmp(*k, "police", 6) || !strncmp(*k, "storm", 5)) &&
		    !json_equal(json_object_get(old, *k),
				json_object_get(new, *k)) &&
		    (json_object_get(old, *k) || json_object_get(new, *k)))
			return true;
	return false;
}

static void set_meters(struct learn *l, struct port_run *run,
		       const struct rate *rate)
{
	for (unsigned i = 0; i < METER_N; i++) {
		bool bytes = i == METER_BYTES;

		meter_set(&run->meter[i], rate[i].rate, bytes ? 8 : 1,
			  rate[i].burst,
			  bytes ? METER_GRAB_BYTES : METER_GRAB_PACKETS,
			  l->n_workers);
	}
}

static void set_flags(struct learn *l, unsigned index)
{
	const struct port_slot *slot = &l->slots[index];
	uint32_t flags = slot->now ? slot->now->flags : 0;

	if (l->aware)
		flags |= PORT_VLAN;
	if (slot->span)
		flags |= PORT_SPAN;
	atomic_store_explicit(&l->flags[index], flags, memory_order_relaxed);
}

void ports_flags(struct learn *l)
{
	for (unsigned i = 0; i < LEARN_PORTS; i++)
		set_flags(l, i);
}

enum vlan_way ports_way(const struct learn *l, unsigned index, unsigned vid)
{
	const struct port_slot *slot = &l->slots[index];

	if (slot->span)
		return VLAN_NOT;
	return slot->now ? vlan_way(&slot->now->vlan, vid, false) : VLAN_TAGGED;
}

/* From now on workers use port (NULL: none); frees the one before. */
static void publish(struct learn *l, unsigned index, struct learn_port *port)
{
	struct port_slot *slot = &l->slots[index];
	struct learn_port *old = slot->now;

	vlan_before(l, index);
	slot->now = port;
	l->n_long += (port && port->guard && port->guard->ipv6) -
		     (old && old->guard && old->guard->ipv6);
	rcu_publish(&l->port[index], port);
	set_flags(l, index);
	vlan_after(l, index);
	if (!old)
		return;
	rcu_wait();
	free(old->guard);
	free(old);
}

/* What has to be there before settings can be in force. */
static int prepare(struct learn *l, struct port_slot *slot,
		   const struct wanted *w, struct glen_error *error)
{
	if (!w->port)
		return 0;
	if (w->port->vlan.mode && !current_table(l)->vlan)
		return error_set(error, -EINVAL,
				 "mode: the switch ignores VLANs (module "
				 "option vlan is false)");
	if (w->port->mirror.what && !strcmp(w->port->mirror.to, slot->name))
		return error_set(error, -EINVAL,
				 "mirror_to: '%s' cannot be its own mirror",
				 slot->name);
	if (!slot->run)
		slot->run = run_create(l->n_workers);
	if (!slot->run ||
	    ((w->port->vlan.mode || w->port->mirror.what) && vlan_prepare(l)))
		return error_set(error, -ENOMEM, "out of memory");
	return 0;
}

static bool vlans_equal(const struct learn_port *a, const struct learn_port *b)
{
	static const struct vlan_port plain;

	return !memcmp(a ? &a->vlan : &plain, b ? &b->vlan : &plain,
		       sizeof(plain));
}

static void meet(struct port_slot *slot, const struct glen_module_port *port)
{
	slot->here = true;
	slot->name = port->name ? port->name : "";
}

int ports_set(const struct glen_module_env *env, void *state,
	      const struct glen_module_port *port, json_t *settings,
	      struct glen_error *error)
{
	struct learn *l = state;
	struct port_slot *slot;
	struct wanted w;
	bool moved;
	int err;

	if (!l || json_object_size(settings)) {
		err = wanted_read(settings, &w, error);
		if (err || !l) {
			if (!err)
				wanted_fini(&w);
			return err;
		}
	} else {
		w = (struct wanted){ 0 };
	}
	slot = &l->slots[port->index];
	if (!slot->here)
		ports_add(l, port);
	err = prepare(l, slot, &w, error);
	if (!err)
		err = set_macs(l, port->index, &w, error);
	if (err) {
		wanted_fini(&w);
		return err;
	}
	if (slot->run && rate_changed(slot->settings, settings))
		set_meters(l, slot->run, w.rate);
	if (w.port)
		w.port->run = slot->run;
	moved = !vlans_equal(slot->now, w.port);
	publish(l, port->index, w.port);
	if (moved) /* stations may be in other VLANs now */
		table_flush(current_table(l), port->index, false);
	free(w.macs);
	json_decref(slot->settings);
	json_decref(slot->macs);
	slot->macs = NULL;
	slot->settings = w.port ? json_deep_copy(settings) : NULL;
	mirror_update(l);
	return 0;
}

void ports_add(struct learn *l, const struct glen_module_port *port)
{
	struct port_slot *slot = &l->slots[port->index];

	vlan_before(l, port->index);
	meet(slot, port);
	slot->isolated = port->isolated;
	set_flags(l, port->index);
	vlan_after(l, port->index);
	mirror_update(l);
}

uint32_t ports_hdr_want(void *state)
{
	struct learn *l = state;

	return l->n_long ? HDR_MAX : HDR_MIN;
}

void ports_del(struct learn *l, unsigned index)
{
	struct port_slot *slot = &l->slots[index];

	vlan_before(l, index);
	slot->here = false;
	vlan_after(l, index);
	mirror_update(l);
	publish(l, index, NULL);
	free(slot->run);
	json_decref(slot->settings);
	json_decref(slot->macs);
	*slot = (struct port_slot){ 0 };
	set_flags(l, index);
}

int ports_init(struct learn *l)
{
	l->slots = calloc(LEARN_PORTS, sizeof(*l->slots));
	return l->slots ? 0 : -ENOMEM;
}

void ports_fini(struct learn *l)
{
	for (unsigned i = 0; i < LEARN_PORTS; i++) {
		struct port_slot *slot = &l->slots[i];

		if (slot->now)
			free(slot->now->guard);
		free(slot->now);
		free(slot->run);
		json_decref(slot->settings);
		json_decref(slot->macs);
	}
	free(l->slots);
}
