// SPDX-License-Identifier: BSD-2-Clause
// stats.c - counters of ports, rings and drop reasons, or their rates.
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/glenctl/counters.h"
#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

const char stats_help[] =
	"Shows what went through each port, and every packet that was not\n"
	"delivered, by its reason. \"In\" is from the port into the switch, \"out\"\n"
	"from the switch to the port. On every port, in = forwarded + in drops;\n"
	"what was offered to a port = out + out drops.\n"
	"\nOptions:\n"
	"  --rings          each ring as well\n"
	"  --rate SECONDS   the rate over so many seconds instead of counts\n"
	"\nExamples:\n"
	"  glenctl stats                  all ports\n"
	"  glenctl stats vale0            the ports of one switch\n"
	"  glenctl stats vale0:a --rings\n"
	"  glenctl stats --rate 1         packets and bits per second\n"
	"  glenctl stats --json | jq '.ports[] | {port, drops: .out.drops}'\n";

struct stats_options {
	const char *target; /* port or switch; NULL: all */
	bool rings;
	double seconds; /* 0: counts */
};

static int parse_options(const struct ctl *ctl, int argc, char **argv,
			 struct stats_options *o)
{
	static const struct option longs[] = {
		{ "rings", no_argument, NULL, 'r' },
		{ "rate", required_argument, NULL, 't' },
		{ 0 },
	};
	int c, ret = 0;

	*o = (struct stats_options){ 0 };
	opterr = 0;
	while (!ret && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == '?')
			return bad_option(ctl, argv);
		if (c == 'r')
			o->rings = true;
		else
			ret = parse_seconds(ctl, "--rate", optarg, 0.01, 86400,
					    &o->seconds);
	}
	if (!ret)
		ret = check_args(ctl, argc - optind + 1, 0, 1);
	if (!ret && optind < argc)
		o->target = argv[optind];
	return ret;
}

static int fetch(struct ctl *ctl, const struct stats_options *o,
		 json_t **result)
{
	json_t *params = json_object();

	if (o->target)
		json_object_set_new(params,
				    is_port_name(o->target) ? "port" : "switch",
				    json_string(o->target));
	if (o->rings)
		json_object_set_new(params, "rings", json_true());
	return call(ctl, "stats", params, CALL_TIMEOUT_MS, result);
}

/* Two answers and what changed between them, per second. */
static int fetch_rate(struct ctl *ctl, const struct stats_options *o,
		      json_t **result)
{
	struct timespec pause = { (time_t)o->seconds,
				  (o->seconds - (time_t)o->seconds) * 1e9 };
	json_t *before, *now;
	double seconds;
	int ret;

	ret = fetch(ctl, o, &before);
	if (ret)
		return ret;
	nanosleep(&pause, NULL);
	ret = fetch(ctl, o, &now);
	if (ret) {
		json_decref(before);
		return ret;
	}
	seconds = (counters_get(now, "now_ns") -
		   counters_get(before, "now_ns")) /
		  1e9;
	*result = counters_rate(before, now, seconds > 0 ? seconds : 1);
	json_object_set_new(*result, "seconds", json_real(seconds));
	json_decref(before);
	json_decref(now);
	return EXIT_OK;
}

static void add_number(struct table *t, double value, bool exact)
{
	char buf[UNIT_SIZE];

	if (exact)
		table_add(t, "%.0f", value);
	else
		table_add(t, "%s", human(buf, value));
}

static void add_row(struct table *t, const json_t *port, const char *name,
		    bool rate)
{
	struct port_sum s;

	counters_sum(port, &s);
	table_add(t, "%s", name);
	add_number(t, s.in_packets, !rate);
	add_number(t, rate ? s.in_bytes * 8 : s.in_bytes, false);
	add_number(t, s.in_drops, !rate);
	add_number(t, s.out_packets, !rate);
	add_number(t, rate ? s.out_bytes * 8 : s.out_bytes, false);
	add_number(t, s.out_drops, !rate);
}

static void print_ports(const json_t *ports, bool rate)
{
	static const char *const counts[] = { "PORT",	      ">IN PACKETS",
					      ">IN BYTES",    ">IN DROPS",
					      ">OUT PACKETS", ">OUT BYTES",
					      ">OUT DROPS",   NULL };
	static const char *const rates[] = { "PORT",	     ">IN PPS",
					     ">IN BPS",	     ">IN DROPS/S",
					     ">OUT PPS",     ">OUT BPS",
					     ">OUT DROPS/S", NULL };
	struct table t;
	json_t *port, *ring;
	size_t i, k;

	table_init(&t, rate ? rates : counts);
	json_array_foreach((json_t *)ports, i, port) {
		add_row(&t, port, get_str(port, "port"), rate);
		json_array_foreach(json_object_get(port, "rings"), k, ring) {
			char name[32];

			snprintf(name, sizeof(name), "  ring %llu",
				 (unsigned long long)get_u64(ring, "ring"));
			add_row(&t, ring, name, rate);
		}
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

static void add_drops(struct table *t, const json_t *port, const char *side,
		      bool rate)
{
	json_t *drops = json_object_get(json_object_get(port, side), "drops");
	const char *reason;
	json_t *n;

	json_object_foreach(drops, reason, n) {
		if (json_number_value(n) == 0)
			continue;
		table_add(t, "%s", get_str(port, "port"));
		table_add(t, "%s", reason);
		add_number(t, json_number_value(n), !rate);
		table_add(t, "%s", counters_reason_text(reason));
	}
}

static void print_drops(const json_t *ports, bool rate)
{
	static const char *const counts[] = { "PORT", "DROP REASON", ">PACKETS",
					      "MEANING", NULL };
	static const char *const rates[] = { "PORT", "DROP REASON", ">PER S",
					     "MEANING", NULL };
	struct table t;
	json_t *port;
	size_t i;

	table_init(&t, rate ? rates : counts);
	json_array_foreach((json_t *)ports, i, port) {
		add_drops(&t, port, "in", rate);
		add_drops(&t, port, "out", rate);
	}
	putchar('\n');
	if (t.n_cells > t.n_columns)
		table_print(&t, stdout, 0, 0);
	else
		puts("No drops on the ports that are there now.");
	table_fini(&t);
}

static void print_switches(const json_t *switches, bool rate)
{
	static const char *const counts[] = { "SWITCH",	     ">IN PACKETS",
					      ">REPLICATED", ">OUT PACKETS",
					      ">DROPS",	     NULL };
	static const char *const rates[] = { "SWITCH",	    ">IN PPS",
					     ">REPLICATED", ">OUT PPS",
					     ">DROPS/S",    NULL };
	struct table t;
	json_t *sw;
	size_t i;

	if (!json_array_size(switches))
		return;
	table_init(&t, rate ? rates : counts);
	json_array_foreach((json_t *)switches, i, sw) {
		table_add(&t, "%s", get_str(sw, "switch"));
		add_number(&t, counters_get(sw, "in_packets"), !rate);
		add_number(&t, counters_get(sw, "replicated"), !rate);
		add_number(&t, counters_get(sw, "out_packets"), !rate);
		add_number(&t, counters_drops(json_object_get(sw, "drops")),
			   !rate);
	}
	putchar('\n');
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

int stats_run(struct ctl *ctl, int argc, char **argv)
{
	struct stats_options o;
	const json_t *ports;
	json_t *result;
	bool rate;
	int ret;

	ret = parse_options(ctl, argc, argv, &o);
	if (ret)
		return ret;
	rate = o.seconds > 0;
	ret = rate ? fetch_rate(ctl, &o, &result) : fetch(ctl, &o, &result);
	if (ret)
		return ret;
	sort_by(json_object_get(result, "ports"), "port");
	sort_by(json_object_get(result, "switches"), "switch");
	if (ctl->json)
		return print_json(result);
	ports = json_object_get(result, "ports");
	print_ports(ports, rate);
	print_drops(ports, rate);
	print_switches(json_object_get(result, "switches"), rate);
	json_decref(result);
	return EXIT_OK;
}
