// SPDX-License-Identifier: BSD-2-Clause
// tuple3/config.c - options and ports; what a replacement takes over.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/error.h"
#include "module/tuple3/tuple3.h"

enum { NO_SET = GLEN_SETS_MAX + 1 };

const struct glen_module_drop tuple3_drops[] = {
	[T3_UNCLAIMED] = { "in_t3_unclaimed",
			   "nobody claimed where it goes to" },
	[T3_SPOOFED] = { "in_t3_spoofed",
			 "the source is not a claim of this port" },
	[T3_NOT_IP] = { "in_t3_not_ip",
			"from a claimant, and neither ARP nor untagged IP" },
	[T3_BAD_IP] = { "in_t3_bad_ip",
			"the IP header's version or lengths cannot be" },
	[T3_BAD_CSUM] = { "in_t3_bad_csum",
			  "the IPv4 header checksum is wrong" },
	[T3_BAD_L4] = { "in_t3_bad_l4",
			"too short for TCP, UDP or ICMP, or UDP's length" },
	[T3_HEADERS] = { "in_t3_headers",
			 "headers too long, or not allowed to claimants" },
	[T3_FRAGMENT] = { "in_t3_fragment",
			  "the first fragment did not come before" },
	[T3_ADDRESS] = { "in_t3_address",
			 "ARP, ND, ICMP from an address without a claim" },
	[T3_ICMP] = { "in_t3_icmp", "ICMP that claimants may not send" },
	[T3_PROTOCOL] = { "in_t3_protocol",
			  "a protocol that claimants may not send" },
	[T3_BAD_ARP] = { "in_t3_bad_arp", "no ARP of IPv4 over Ethernet" },
	[T3_DROPS] = { NULL, NULL },
};

static int read_name(json_t *params, const char *key, char name[PORT_NAME_SIZE],
		     struct glen_error *error)
{
	const char *text;
	int err = params_str(params, key, &text, error);

	name[0] = '\0';
	if (err || !text)
		return err;
	if (!text[0] || strlen(text) >= PORT_NAME_SIZE || strchr(text, ':'))
		return error_set(error, -EINVAL,
				 "%s: '%.60s' is not the name of a port of "
				 "this switch (1 to %d characters, without "
				 "the switch's name)",
				 key, text, PORT_NAME_SIZE - 1);
	strcpy(name, text);
	return 0;
}

static int read_options(json_t *params, struct t3_options *o,
			struct glen_error *error)
{
	static const char *const known[] = { "default", "uplink", "claims",
					     "allow", NULL };
	int err = params_check(params, known, error);

	err = err ?: read_name(params, "default", o->other, error);
	err = err ?: read_name(params, "uplink", o->uplink, error);
	err = err   ?:
		      params_int(params, "claims", T3_CLAIMS, 1, T3_CLAIMS_MAX,
				 &o->claims, error);
	if (!strcmp(o->other, "drop"))
		o->other[0] = '\0';
	o->allow = NULL;
	o->allow_text = json_object_get(params, "allow");
	err = err ?: t3_allow_read(o->allow_text, &o->allow, error);
	o->allow_text = err ? NULL : json_deep_copy(o->allow_text);
	return err;
}

static void free_options(struct t3_options *o)
{
	free(o->allow);
	json_decref(o->allow_text);
}

static unsigned port_by_name(const struct tuple3 *t, const char *name)
{
	for (unsigned i = 0; name[0] && i < T3_PORTS; i++)
		if (t->ports[i].name && !strcmp(t->ports[i].name, name))
			return i;
	return T3_NO_PORT;
}

/* The set of default port and uplink; without memory the uplink alone. */
static uint32_t make_both(struct tuple3 *t, unsigned other, unsigned uplink)
{
	uint32_t set;

	if (t->both != NO_SET)
		glen_module_set_destroy(t->env, t->both);
	t->both = NO_SET;
	if (other == T3_NO_PORT || uplink == T3_NO_PORT || other == uplink ||
	    glen_module_set_create(t->env, &set))
		return glen_to_port(uplink == T3_NO_PORT ? other : uplink);
	t->both = set;
	if (glen_module_set_add(t->env, set, other, NULL) ||
	    glen_module_set_add(t->env, set, uplink, NULL))
		return glen_to_port(uplink);
	return glen_to_set(set);
}

/*
 * Ports came or went, or others are named. No worker may use a set that is
 * going, so first there is none.
 */
static void find_ways(struct tuple3 *t)
{
	unsigned other = port_by_name(t, t->options.other);
	unsigned uplink = port_by_name(t, t->options.uplink);
	uint32_t ports = uplink << 16 | other, both;
	uint64_t now = atomic_load_explicit(&t->ways, memory_order_relaxed);

	if ((uint32_t)now == ports)
		return;
	both = glen_to_port(uplink == T3_NO_PORT ? other : uplink);
	atomic_store_explicit(&t->ways, (uint64_t)both << 32 | ports,
			      memory_order_release);
	both = make_both(t, other, uplink);
	atomic_store_explicit(&t->ways, (uint64_t)both << 32 | ports,
			      memory_order_release);
}

static void tuple3_destroy(void *state)
{
	struct tuple3 *t = state;

	if (!t)
		return;
	for (unsigned i = 0; i < T3_PORTS; i++)
		t3_release_all(t, i);
	t3_table_fini(&t->table);
	t3_quick_fini(&t->quick);
	free_options(&t->options);
	free(t);
}

static int tuple3_create(const struct glen_module_env *env, json_t *params,
			 void **state, struct glen_error *error)
{
	struct t3_options options;
	struct tuple3 *t;
	uint64_t seed[2];
	int err = read_options(params, &options, error);

	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	err = t ? t3_table_init(&t->table) : -ENOMEM;
	err = err ?: t3_quick_init(&t->quick);
	if (!err && getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		err = -errno;
	if (err) {
		if (t) {
			t3_table_fini(&t->table);
			t3_quick_fini(&t->quick);
		}
		free(t);
		free_options(&options);
		return error_set(error, err, "cannot make module tuple3: %s",
				 strerror(-err));
	}
	t->frags[0].seed = seed[0];
	t->frags[1].seed = seed[1];
	t->env = env;
	t->both = NO_SET;
	t->options = options;
	atomic_store_explicit(&t->ways, UINT32_MAX, memory_order_relaxed);
	*state = t;
	return 0;
}

static int tuple3_set(void *state, json_t *params, struct glen_error *error)
{
	struct tuple3 *t = state;
	struct t3_options options;
	int err = read_options(params, &options, error);

	if (err)
		return err;
	free_options(&t->options);
	t->options = options;
	t3_disallow(t);
	find_ways(t);
	return 0;
}

static json_t *tuple3_show(void *state)
{
	struct tuple3 *t = state;
	const struct t3_options *o = &t->options;

	return json_pack("{ss ss* sI sO* s{sI}}", "default",
			 o->other[0] ? o->other : "drop", "uplink",
			 o->uplink[0] ? o->uplink : NULL, "claims",
			 (json_int_t)o->claims, "allow", o->allow_text,
			 "counts", "claims", (json_int_t)t->n_claims);
}

static void tuple3_port_add(void *state, const struct glen_module_port *port)
{
	struct tuple3 *t = state;

	t->ports[port->index].name = port->name;
	find_ways(t);
}

/* The index may be another port's next time: nothing may lead there. */
static void tuple3_port_del(void *state, const struct glen_module_port *port)
{
	struct tuple3 *t = state;

	t3_release_all(t, port->index);
	t->ports[port->index].name = NULL;
	find_ways(t);
	t3_frag_forget(&t->frags[0], port->index);
	t3_frag_forget(&t->frags[1], port->index);
}

/* The claims of the old one; those that find no room end. */
static void tuple3_adopt(void *state, void *old_state, unsigned when)
{
	struct tuple3 *t = state, *old = old_state;

	if (when != GLEN_ADOPT_BEFORE)
		return;
	for (unsigned i = 0; i < T3_PORTS; i++) {
		const struct t3_entry *e = old->ports[i].claims;

		for (; e; e = e->next) {
			struct t3_claim c = { e->key, 1 /* not any */ };

			if (t->ports[i].name)
				t3_claim(t, i, &c, 1, NULL);
		}
	}
}

const struct module_builtin module_tuple3 = {
	.ops = {
	GLEN_MODULE_HEAD,
	.name = "tuple3",
	.version = "1.0",
	.state_version = 1,
	.summary = "processes share IP addresses, TCP or UDP port by port",
	.options =
		"default=PORT|drop  where packets go that nobody claimed, "
		"usually the host (drop)\n"
		"uplink=PORT        the network's port: where packets to other "
		"hosts go\n"
		"claims=N           in all, up to 1048576 (131072)\n"
		"allow={PORT: [RULE, ..], ..}  who may claim what, such as "
		"{\"web\": [\"10.0.0.1 tcp 80\"]} (all, anything)",
	.hdr_want = HDR_MAX,
	.drops = tuple3_drops,
	.create = tuple3_create,
	.destroy = tuple3_destroy,
	.set = tuple3_set,
	.show = tuple3_show,
	.port_add = tuple3_port_add,
	.port_del = tuple3_port_del,
	.command = t3_command,
	.adopt = tuple3_adopt,
	},
	.lookup = ISA_TABLE(tuple3_lookup),
};
