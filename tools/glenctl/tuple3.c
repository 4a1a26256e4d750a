// SPDX-License-Identifier: BSD-2-Clause
// tuple3.c - which port of a switch claimed which address, protocol and port.
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

static const char show_help[] =
	"Shows the claims at a switch with the module tuple3, or those of one\n"
	"of its ports: packets to IP, PROTOCOL and PORT go to OWNER, and only\n"
	"that one sends from there. Processes make claims (glen_claim() of\n"
	"libglen), and these end with them.\n"
	"\nOptions:\n"
	"  --ip ADDRESS  only those on this address\n"
	"  --limit N     at most N claims (default: all)\n"
	"\nExamples:\n"
	"  glenctl tuple3 show vale0\n"
	"  glenctl tuple3 show vale0:web1 --ip 10.0.0.1\n"
	"  glenctl tuple3 show vale0 --json | jq .count\n";

struct show_options {
	const char *ip; /* NULL: not given */
	long limit;	/* -1: not given */
};

static int parse_options(const struct ctl *ctl, int argc, char **argv,
			 struct show_options *o)
{
	static const struct option longs[] = {
		{ "ip", required_argument, NULL, 'i' },
		{ "limit", required_argument, NULL, 'l' },
		{ 0 },
	};
	int c, ret = 0;

	*o = (struct show_options){ .limit = -1 };
	opterr = 0;
	while (!ret && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == '?')
			return bad_option(ctl, argv);
		if (c == 'i')
			o->ip = optarg;
		else
			ret = parse_long(ctl, "--limit", optarg, 0, 1 << 30,
					 &o->limit);
	}
	return ret;
}

/* By address as it is written, protocol, and port as a number. */
static int compare(const void *a, const void *b)
{
	json_t *const *x = a, *const *y = b;
	int order = strcmp(get_str(*x, "ip"), get_str(*y, "ip"));

	if (!order)
		order = strcmp(get_str(*x, "protocol"),
			       get_str(*y, "protocol"));
	if (!order)
		order = get_u64(*x, "port") < get_u64(*y, "port") ? -1 : 1;
	return order;
}

/* A new list with the same claims in order. */
static json_t *sorted(json_t *claims)
{
	size_t n = json_array_size(claims), i;
	json_t **all = calloc(n + 1, sizeof(*all)), *c;
	json_t *list = json_array();

	json_array_foreach(claims, i, c)
		all[i] = c;
	qsort(all, n, sizeof(*all), compare);
	for (i = 0; i < n; i++)
		json_array_append(list, all[i]);
	free(all);
	return list;
}

static void print_claims(const json_t *result)
{
	static const char *const titles[] = { "IP", "PROTOCOL", ">PORT",
					      "OWNER", NULL };
	json_t *claims = json_object_get(result, "claims"), *c;
	struct table t;
	size_t i;

	table_init(&t, titles);
	json_array_foreach(claims, i, c) {
		table_add(&t, "%s", get_str(c, "ip"));
		table_add(&t, "%s", get_str(c, "protocol"));
		table_add(&t, "%llu", (unsigned long long)get_u64(c, "port"));
		table_add(&t, "%s", get_str(c, "owner"));
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
	printf("%zu of %llu claims\n", json_array_size(claims),
	       (unsigned long long)get_u64(result, "count"));
}

static int show_run(struct ctl *ctl, int argc, char **argv)
{
	struct show_options o;
	json_t *params, *result;
	int ret = parse_options(ctl, argc, argv, &o);

	argc -= optind - 1;
	argv += optind - 1;
	if (!ret)
		ret = check_args(ctl, argc, 1, 1);
	if (ret)
		return ret;
	params = json_pack("{s:o}", "switch",
			   json_stringn(argv[1], strcspn(argv[1], ":")));
	if (is_port_name(argv[1]))
		json_object_set_new(params, "port", json_string(argv[1]));
	if (o.ip)
		json_object_set_new(params, "ip", json_string(o.ip));
	if (o.limit >= 0)
		json_object_set_new(params, "limit", json_integer(o.limit));
	ret = call(ctl, "tuple3.show", params, CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	json_object_set_new(result, "claims",
			    sorted(json_object_get(result, "claims")));
	if (ctl->json)
		return print_json(result);
	print_claims(result);
	json_decref(result);
	return EXIT_OK;
}

const struct command tuple3_commands[] = {
	{ "show", "SWITCH|PORT [--ip ADDRESS] [--limit N]",
	  "who claimed which address and port", show_help, show_run, NULL },
	{ NULL },
};
