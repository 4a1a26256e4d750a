// SPDX-License-Identifier: BSD-2-Clause
// objects.c - status, switches, modules and drivers.
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

/*
 * status
 */

const char status_help[] =
	"Shows version, uptime, what the workers do, and how many switches and\n"
	"ports there are. A worker polls rings that are busy and sleeps when\n"
	"all are armed.\n"
	"\nExamples:\n"
	"  glenctl status\n"
	"  glenctl status --json | jq .workers[0].packets\n";

static void print_workers(const json_t *workers)
{
	static const char *const titles[] = { ">WORKER", ">CPU",     ">POLLED",
					      ">ARMED",	 ">PACKETS", ">BATCHES",
					      ">AVG",	 ">SLEEPS",  ">WAKEUPS",
					      NULL };
	struct table t;
	json_t *w;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)workers, i, w) {
		uint64_t packets = get_u64(w, "packets");
		uint64_t batches = get_u64(w, "batches");
		json_int_t cpu = json_integer_value(json_object_get(w, "cpu"));
		char a[UNIT_SIZE];

		table_add(&t, "%llu", (unsigned long long)get_u64(w, "worker"));
		table_add(&t, cpu < 0 ? "any" : "%lld", (long long)cpu);
		table_add(&t, "%s", human(a, get_u64(w, "polled")));
		table_add(&t, "%s", human(a, get_u64(w, "armed")));
		table_add(&t, "%s", human(a, packets));
		table_add(&t, "%s", human(a, batches));
		table_add(&t, "%.1f", batches ? (double)packets / batches : 0);
		table_add(&t, "%s", human(a, get_u64(w, "sleeps")));
		table_add(&t, "%s", human(a, get_u64(w, "wakeups")));
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

/* Configured ports that could not be opened: why. */
static void print_missing(const json_t *list, const char *kind)
{
	json_t *entry;
	size_t i;

	json_array_foreach((json_t *)list, i, entry)
		printf("%s%s %s is not open: %s\n", i ? "" : "\n", kind,
		       get_str(entry, kind), get_str(entry, "problem"));
}

int status_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *s;
	char up[UNIT_SIZE];
	int ret;

	ret = no_options(ctl, argc, argv, 0, 0);
	if (!ret)
		ret = call(ctl, "status", NULL, CALL_TIMEOUT_MS, &s);
	if (ret)
		return ret;
	if (ctl->json)
		return print_json(s);
	printf("glend %s, pid %llu, up %s\n", get_str(s, "version"),
	       (unsigned long long)get_u64(s, "pid"),
	       human_seconds(up, get_u64(s, "uptime_s")));
	printf("socket %s, state %s, config %s\n", get_str(s, "socket"),
	       *get_str(s, "state_file") ? get_str(s, "state_file") : "none",
	       *get_str(s, "config_file") ? get_str(s, "config_file") : "none");
	printf("%llu switches, %llu ports, instruction set %s\n\n",
	       (unsigned long long)get_u64(s, "switches"),
	       (unsigned long long)get_u64(s, "ports"), get_str(s, "isa"));
	print_workers(json_object_get(s, "workers"));
	print_missing(json_object_get(s, "missing_ports"), "port");
	print_missing(json_object_get(s, "missing_switches"), "switch");
	json_decref(s);
	return EXIT_OK;
}

/*
 * switch
 */

static const char switch_add_help[] =
	"Makes a switch that stays until switch del. Without this a switch\n"
	"comes with its first port and goes with its last.\n"
	"MODULE decides where packets go (default: learn, a learning bridge);\n"
	"glenctl module list names them and their options.\n"
	"\nExamples:\n"
	"  glenctl switch add vale0\n"
	"  glenctl switch add vale0 learn entries=131072 ageing_s=60\n"
	"  glenctl switch add wire static\n";

static const char switch_set_help[] =
	"Changes the module's options (those not named keep their values), or\n"
	"replaces the module, while traffic flows. No port goes down. The same\n"
	"as module set.\n"
	"\nExamples:\n"
	"  glenctl switch set vale0 learn ageing_s=30\n"
	"  glenctl switch set vale0 static\n";

static const char switch_del_help[] =
	"Closes all ports of the switch and removes it. Programs that have a\n"
	"port open are told that it was closed.\n"
	"\nExample:\n"
	"  glenctl switch del vale0\n";

static const char switch_show_help[] =
	"Shows one switch: module, options, ports.\n"
	"\nExample:\n"
	"  glenctl switch show vale0\n";

static const char switch_list_help[] =
	"Lists all switches.\n"
	"\nExamples:\n"
	"  glenctl switch list\n"
	"  glenctl switch list --json | jq -r .[].switch\n";

/* NAME [MODULE] [KEY=VALUE...] as parameters; NULL: a message was printed. */
static json_t *switch_params(const struct ctl *ctl, int argc, char **argv)
{
	json_t *params = json_object(), *options;
	int i = 2;

	json_object_set_new(params, "switch", json_string(argv[1]));
	if (argc > 2 && !strchr(argv[2], '='))
		json_object_set_new(params, "module", json_string(argv[i++]));
	if (i == argc)
		return params;
	options = json_object();
	json_object_set_new(params, "options", options);
	if (add_options(ctl, options, argc - i, argv + i, NULL)) {
		json_decref(params);
		return NULL;
	}
	return params;
}

static int switch_add_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *params;
	int ret = no_options(ctl, argc, argv, 1, -1);

	if (ret)
		return ret;
	params = switch_params(ctl, argc, argv);
	return params ? call_quiet(ctl, "switch.add", params) : EXIT_USAGE;
}

/* The module that a switch has, for "set" without a module's name. */
static int fill_module(struct ctl *ctl, json_t *params)
{
	json_t *result;
	int ret;

	if (json_object_get(params, "module"))
		return 0;
	ret = call(ctl, "module.show",
		   json_pack("{s:O}", "switch",
			     json_object_get(params, "switch")),
		   CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	json_object_set(params, "module", json_object_get(result, "module"));
	json_decref(result);
	return 0;
}

static int set_module(struct ctl *ctl, int argc, char **argv, bool replace)
{
	json_t *params = switch_params(ctl, argc, argv);
	int ret;

	if (!params)
		return EXIT_USAGE;
	ret = fill_module(ctl, params);
	if (ret) {
		json_decref(params);
		return ret;
	}
	if (replace)
		json_object_set_new(params, "replace", json_true());
	return call_quiet(ctl, "module.set", params);
}

static int module_set_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 2, -1);

	return ret ? ret : set_module(ctl, argc, argv, false);
}

static int module_replace_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 1, -1);

	return ret ? ret : set_module(ctl, argc, argv, true);
}

static int switch_del_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 1, 1);

	return ret ? ret :
		     call_quiet(ctl, "switch.del",
				name_param("switch", argv[1]));
}

static int switch_show_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 1, 1);

	return ret ? ret :
		     show(ctl, "switch.show", name_param("switch", argv[1]));
}

static int switch_list_run(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = { "SWITCH", "MODULE",  ">PORTS",
					      "STAYS",	"OPTIONS", NULL };
	json_t *list, *s;
	struct table t;
	size_t i;
	int ret;

	ret = no_options(ctl, argc, argv, 0, 0);
	if (!ret)
		ret = call(ctl, "switch.list", NULL, CALL_TIMEOUT_MS, &list);
	if (ret)
		return ret;
	sort_by(list, "switch");
	if (ctl->json)
		return print_json(list);
	table_init(&t, titles);
	json_array_foreach(list, i, s) {
		char *options = pairs(json_object_get(s, "options"));

		table_add(&t, "%s", get_str(s, "switch"));
		table_add(&t, "%s", get_str(s, "module"));
		table_add(&t, "%llu", (unsigned long long)get_u64(s, "ports"));
		table_add(&t, "%s", get_bool(s, "configured") ? "yes" : "no");
		table_add(&t, "%s", options ? options : "");
		free(options);
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
	json_decref(list);
	return EXIT_OK;
}

const struct command switch_commands[] = {
	{ "add", "SWITCH [MODULE] [KEY=VALUE...]", "make a switch that stays",
	  switch_add_help, switch_add_run, NULL },
	{ "del", "SWITCH", "close its ports and remove it", switch_del_help,
	  switch_del_run, NULL },
	{ "set", "SWITCH [MODULE] [KEY=VALUE...]", "change module or options",
	  switch_set_help, module_set_run, NULL },
	{ "show", "SWITCH", "one switch", switch_show_help, switch_show_run,
	  NULL },
	{ "list", "", "all switches", switch_list_help, switch_list_run, NULL },
	{ NULL },
};

/*
 * module, driver, worker
 */

static const char module_list_help[] =
	"Lists the forwarding modules: where each was loaded from, the version of\n"
	"the interface it was built for, the switches that use it, and its\n"
	"options. glend loads those outside the tree when it starts (glend\n"
	"--module-dir).\n"
	"\nExamples:\n"
	"  glenctl module list\n"
	"  glenctl module list --json | jq -r '.[] | .module, .switches[]'\n";

static const char module_set_help[] =
	"Changes options of a switch's module, or replaces it by another one,\n"
	"while traffic flows. With the same module, options that are not named\n"
	"keep their values.\n"
	"\nExamples:\n"
	"  glenctl module set vale0 ageing_s=30\n"
	"  glenctl module set vale0 learn entries=262144\n"
	"  glenctl module set vale0 static\n";

static const char module_replace_help[] =
	"Puts a new instance of a module in the place of the present one, between\n"
	"two batches of packets: none is lost. Without MODULE it is the same\n"
	"module, with the options it has; a module that can hand over its state\n"
	"(learn: its addresses) does so, others begin empty.\n"
	"\nExamples:\n"
	"  glenctl module replace vale0\n"
	"  glenctl module replace vale0 bridge\n";

static const char module_show_help[] =
	"Shows a switch's module with the options that are in force.\n"
	"\nExample:\n"
	"  glenctl module show vale0\n";

static const char driver_list_help[] =
	"Lists the kinds of ports with their options for port add.\n"
	"\nExample:\n"
	"  glenctl driver list\n";

/* Where a module is from and who uses it. */
static void print_module(json_t *module)
{
	const char *path = get_str(module, "path");
	json_t *name;
	size_t i;

	printf("         version %s, ABI %s, %s%s\n",
	       get_str(module, "version"), get_str(module, "abi"),
	       *path ? "from " : "built in", path);
	printf("         used by");
	json_array_foreach(json_object_get(module, "switches"), i, name) {
		printf(" %s", json_string_value(name));
	}
	printf("%s\n", i ? "" : " no switch");
}

/* Name, summary, and the options' text indented; more prints what else there is
 * to say. */
static int list_kinds(struct ctl *ctl, const char *method, const char *key,
		      void (*more)(json_t *kind))
{
	json_t *list, *kind;
	size_t i;
	int ret = call(ctl, method, NULL, CALL_TIMEOUT_MS, &list);

	if (ret)
		return ret;
	if (ctl->json)
		return print_json(list);
	json_array_foreach(list, i, kind) {
		const char *line = get_str(kind, "options");

		printf("%s%-8s %s\n", i ? "\n" : "", get_str(kind, key),
		       get_str(kind, "summary"));
		if (more)
			more(kind);
		while (*line) {
			size_t len = strcspn(line, "\n");

			printf("         %.*s\n", (int)len, line);
			line += len + (line[len] == '\n');
		}
	}
	json_decref(list);
	return EXIT_OK;
}

static int module_list_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 0, 0);

	return ret ? ret :
		     list_kinds(ctl, "module.list", "module", print_module);
}

static int driver_list_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 0, 0);

	return ret ? ret : list_kinds(ctl, "driver.list", "driver", NULL);
}

static int module_show_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 1, 1);

	return ret ? ret :
		     show(ctl, "module.show", name_param("switch", argv[1]));
}

const struct command module_commands[] = {
	{ "list", "", "all modules and their options", module_list_help,
	  module_list_run, NULL },
	{ "set", "SWITCH [MODULE] [KEY=VALUE...]",
	  "change options or replace it", module_set_help, module_set_run,
	  NULL },
	{ "replace", "SWITCH [MODULE] [KEY=VALUE...]",
	  "put a new instance in its place", module_replace_help,
	  module_replace_run, NULL },
	{ "show", "SWITCH", "a switch's module", module_show_help,
	  module_show_run, NULL },
	{ NULL },
};

const struct command driver_commands[] = {
	{ "list", "", "all kinds of ports and their options", driver_list_help,
	  driver_list_run, NULL },
	{ NULL },
};

static const char worker_show_help[] =
	"Shows what each worker of glend did in the last second: the share of a\n"
	"processor in turns that moved packets, packets per second, what one\n"
	"cost (cycles: ticks of the time stamp counter), then the rings that it\n"
	"runs, with the share of a processor that each takes.\n"
	"Once a second glend takes rings from the busiest worker to the least\n"
	"busy one if that is worth it; flows keep their order. Rings of a port\n"
	"with the option workers=LIST stay where that says (pinned).\n"
	"\nExamples:\n"
	"  glenctl worker show\n"
	"  glenctl port set vale0:vm1 workers=1      pin it\n"
	"  glenctl port set vale0:vm1 workers=auto   and leave it to glend again\n"
	"  glenctl worker show --json | jq '.[] | {worker, busy}'\n";

/* A number in a cell; a dash where nothing is known. */
static void add_real(struct table *t, const char *format, const json_t *object,
		     const char *key, double scale)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_number(value))
		table_add(t, format, json_number_value(value) * scale);
	else
		table_add(t, "-");
}

static void add_ring(struct table *t, const json_t *w, const json_t *ring)
{
	table_add(t, "%llu", (unsigned long long)get_u64(w, "worker"));
	table_add(t, "%s", get_str(ring, "port"));
	table_add(t, "%llu", (unsigned long long)get_u64(ring, "ring"));
	add_real(t, "%.1f", ring, "load", 100);
	table_add(t, "%s", get_bool(ring, "pinned") ? "yes" : "no");
}

static void print_busy(const json_t *workers)
{
	static const char *const titles[] = { ">WORKER",    ">CPU",
					      ">BUSY %",    ">PPS",
					      ">NS/PACKET", ">CYCLES/PACKET",
					      ">RINGS",	    NULL };
	struct table t;
	json_t *w;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)workers, i, w) {
		json_int_t cpu = json_integer_value(json_object_get(w, "cpu"));
		json_t *pps = json_object_get(w, "packets_per_s");
		char a[UNIT_SIZE];

		table_add(&t, "%llu", (unsigned long long)get_u64(w, "worker"));
		table_add(&t, cpu < 0 ? "any" : "%lld", (long long)cpu);
		add_real(&t, "%.1f", w, "busy", 100);
		table_add(&t, "%s",
			  json_is_number(pps) ?
				  human(a, json_number_value(pps)) :
				  "-");
		add_real(&t, "%.1f", w, "ns_per_packet", 1);
		add_real(&t, "%.0f", w, "cycles_per_packet", 1);
		table_add(&t, "%zu",
			  json_array_size(json_object_get(w, "rings")));
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

static int worker_show_run(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = { ">WORKER", "PORT",   ">RING",
					      ">LOAD %", "PINNED", NULL };
	json_t *workers, *w, *rings, *ring;
	struct table t;
	size_t i, k;
	int ret;

	ret = no_options(ctl, argc, argv, 0, 0);
	if (!ret)
		ret = call(ctl, "worker.show", NULL, CALL_TIMEOUT_MS, &workers);
	if (ret)
		return ret;
	if (ctl->json)
		return print_json(workers);
	print_busy(workers);
	table_init(&t, titles);
	json_array_foreach(workers, i, w) {
		rings = json_object_get(w, "rings");
		sort_by(rings, "port");
		json_array_foreach(rings, k, ring)
			add_ring(&t, w, ring);
	}
	putchar('\n');
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
	json_decref(workers);
	return EXIT_OK;
}

const struct command worker_commands[] = {
	{ "show", "", "who runs which rings, how busy, at what cost",
	  worker_show_help, worker_show_run, NULL },
	{ NULL },
};

static const char region_list_help[] =
	"Shows the regions that ports share: how many buffers they have, how many\n"
	"no port has now, and how many nobody can use any more (they were on their\n"
	"way when glend was killed; they come back when the region's last port\n"
	"goes). A region of one port is not shown.\n"
	"\nExamples:\n"
	"  glenctl region list\n"
	"  glenctl port add vale0:eth0 xdp region=nf region_token=$TOKEN\n"
	"  glenctl region list --json | jq '.[] | select(.free < 1000)'\n";

static int region_list_run(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = { "REGION", ">BUFFERS", ">BYTES",
					      ">FREE",	">LOST",    "PORTS",
					      NULL };
	json_t *regions, *r, *ports, *port;
	struct table t;
	size_t i, k;
	int ret;

	ret = no_options(ctl, argc, argv, 0, 0);
	if (!ret)
		ret = call(ctl, "region.list", NULL, CALL_TIMEOUT_MS, &regions);
	if (ret)
		return ret;
	if (ctl->json)
		return print_json(regions);
	table_init(&t, titles);
	json_array_foreach(regions, i, r) {
		ports = json_object_get(r, "ports");
		json_array_foreach(ports, k, port) {
			static const char *const keys[] = { "bufs", "buf_size",
							    "free", "lost",
							    NULL };

			table_add(&t, "%s", k ? "" : get_str(r, "region"));
			for (unsigned c = 0; keys[c]; c++) {
				unsigned long long n = get_u64(r, keys[c]);

				if (k)
					table_add(&t, "%s", "");
				else
					table_add(&t, "%llu", n);
			}
			table_add(&t, "%s", json_string_value(port));
		}
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
	json_decref(regions);
	return EXIT_OK;
}

const struct command region_commands[] = {
	{ "list", "", "regions that ports share, and their buffers",
	  region_list_help, region_list_run, NULL },
	{ NULL },
};
