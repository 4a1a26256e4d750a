// SPDX-License-Identifier: BSD-2-Clause
// fdb.c - the MAC addresses that a switch has learned or been told.
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

static const char show_help[] =
	"Shows which address is behind which port, for switches with the\n"
	"module learn; of one port if that is named. AGE is the time since the\n"
	"address was last seen.\n"
	"\nOptions:\n"
	"  --vlan N     only those in VLAN N; 0 is that of untagged packets at\n"
	"               ports without a mode\n"
	"  --limit N    at most N entries (default: all)\n"
	"\nExamples:\n"
	"  glenctl fdb show vale0\n"
	"  glenctl fdb show vale0:web --vlan 10\n"
	"  glenctl fdb show vale0 --json | jq .count\n";

static const char flush_help[] =
	"Forgets learned addresses of a switch, or of one of its ports.\n"
	"\nOptions:\n"
	"  --static     static entries as well\n"
	"\nExamples:\n"
	"  glenctl fdb flush vale0\n"
	"  glenctl fdb flush vale0:tap0\n";

static const char add_help[] =
	"Adds a static entry: packets to MAC go to the port, it never ages, and\n"
	"the address is not learned elsewhere.\n"
	"\nOptions:\n"
	"  --vlan N     in this VLAN (default: untagged)\n"
	"\nExample:\n"
	"  glenctl fdb add vale0:tap0 02:00:00:00:00:01\n";

static const char del_help[] =
	"Removes an entry, learned or static.\n"
	"\nOptions:\n"
	"  --vlan N     in this VLAN (default: untagged)\n"
	"\nExample:\n"
	"  glenctl fdb del vale0 02:00:00:00:00:01\n";

/* The options of all fdb commands; each allows one or two of them. */
struct fdb_options {
	long limit; /* -1: not given */
	long vlan;  /* the same */
	bool also_static;
};

static int parse_options(const struct ctl *ctl, int argc, char **argv,
			 const char *allowed, struct fdb_options *o)
{
	static const struct option longs[] = {
		{ "limit", required_argument, NULL, 'l' },
		{ "vlan", required_argument, NULL, 'v' },
		{ "static", no_argument, NULL, 's' },
		{ 0 },
	};
	int c, ret = 0;

	*o = (struct fdb_options){ .limit = -1, .vlan = -1 };
	opterr = 0;
	while (!ret && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == '?' || !strchr(allowed, c))
			return bad_option(ctl, argv);
		if (c == 'l')
			ret = parse_long(ctl, "--limit", optarg, 0, 1 << 30,
					 &o->limit);
		else if (c == 'v')
			ret = parse_long(ctl, "--vlan", optarg, 0, 4095,
					 &o->vlan);
		else
			o->also_static = true;
	}
	return ret;
}

static void print_entries(const json_t *result)
{
	static const char *const titles[] = { "MAC",  ">VLAN", "PORT",
					      ">AGE", "KIND",  NULL };
	json_t *entries = json_object_get(result, "entries"), *e;
	struct table t;
	size_t i;

	table_init(&t, titles);
	json_array_foreach(entries, i, e) {
		bool fixed = get_bool(e, "static");
		char age[UNIT_SIZE];

		table_add(&t, "%s", get_str(e, "mac"));
		table_add(&t, "%llu", (unsigned long long)get_u64(e, "vlan"));
		table_add(&t, "%s", get_str(e, "port"));
		table_add(&t, "%s",
			  fixed ? "-" :
				  human_seconds(age, get_u64(e, "age_s")));
		table_add(&t, "%s", fixed ? "static" : "learned");
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
	printf("%llu of %llu entries used\n",
	       (unsigned long long)get_u64(result, "count"),
	       (unsigned long long)get_u64(result, "capacity"));
}

/* {"switch": ...} of a switch's or port's name; for a port also "port". */
static json_t *target_params(const char *name)
{
	json_t *params = json_object();

	json_object_set_new(params, "switch",
			    json_stringn(name, strcspn(name, ":")));
	if (is_port_name(name))
		json_object_set_new(params, "port", json_string(name));
	return params;
}

static int show_run(struct ctl *ctl, int argc, char **argv)
{
	struct fdb_options o;
	json_t *params, *result;
	int ret = parse_options(ctl, argc, argv, "lv", &o);

	argc -= optind - 1;
	argv += optind - 1;
	if (!ret)
		ret = check_args(ctl, argc, 1, 1);
	if (ret)
		return ret;
	params = target_params(argv[1]);
	if (o.vlan >= 0)
		json_object_set_new(params, "vlan", json_integer(o.vlan));
	if (o.limit >= 0)
		json_object_set_new(params, "limit", json_integer(o.limit));
	ret = call(ctl, "fdb.show", params, CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	if (ctl->json)
		return print_json(result);
	print_entries(result);
	json_decref(result);
	return EXIT_OK;
}

static int flush_run(struct ctl *ctl, int argc, char **argv)
{
	struct fdb_options o;
	json_t *params, *result;
	int ret = parse_options(ctl, argc, argv, "s", &o);

	argc -= optind - 1;
	argv += optind - 1;
	if (!ret)
		ret = check_args(ctl, argc, 1, 1);
	if (ret)
		return ret;
	params = target_params(argv[1]);
	if (o.also_static)
		json_object_set_new(params, "static", json_true());
	ret = call(ctl, "fdb.flush", params, CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	if (ctl->json)
		return print_json(result);
	printf("%llu %s flushed\n",
	       (unsigned long long)get_u64(result, "flushed"),
	       get_u64(result, "flushed") == 1 ? "entry" : "entries");
	json_decref(result);
	return EXIT_OK;
}

static int add_run(struct ctl *ctl, int argc, char **argv)
{
	struct fdb_options o;
	json_t *params;
	int ret = parse_options(ctl, argc, argv, "v", &o);

	argc -= optind - 1;
	argv += optind - 1;
	if (!ret)
		ret = check_args(ctl, argc, 2, 2);
	if (ret)
		return ret;
	if (!is_port_name(argv[1]))
		return bad_usage(ctl, "\"%s\" is not SWITCH:PORT", argv[1]);
	params = target_params(argv[1]);
	json_object_set_new(params, "mac", json_string(argv[2]));
	if (o.vlan >= 0)
		json_object_set_new(params, "vlan", json_integer(o.vlan));
	return call_quiet(ctl, "fdb.add", params);
}

static int del_run(struct ctl *ctl, int argc, char **argv)
{
	struct fdb_options o;
	json_t *params;
	int ret = parse_options(ctl, argc, argv, "v", &o);

	argc -= optind - 1;
	argv += optind - 1;
	if (!ret)
		ret = check_args(ctl, argc, 2, 2);
	if (ret)
		return ret;
	params = json_pack("{s:s, s:s}", "switch", argv[1], "mac", argv[2]);
	if (o.vlan >= 0)
		json_object_set_new(params, "vlan", json_integer(o.vlan));
	return call_quiet(ctl, "fdb.del", params);
}

const struct command fdb_commands[] = {
	{ "show", "SWITCH|PORT [--vlan N] [--limit N]",
	  "addresses and their ports", show_help, show_run, NULL },
	{ "flush", "SWITCH|PORT [--static]", "forget learned addresses",
	  flush_help, flush_run, NULL },
	{ "add", "PORT MAC [--vlan N]", "a static entry", add_help, add_run,
	  NULL },
	{ "del", "SWITCH MAC [--vlan N]", "remove an entry", del_help, del_run,
	  NULL },
	{ NULL },
};
