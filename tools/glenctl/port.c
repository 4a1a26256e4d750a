// SPDX-License-Identifier: BSD-2-Clause
// port.c - ports: make, change, remove, show.
#include <string.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

/* Values that look like numbers but are names. */
static const char *const port_strings[] = { "mac",  "ifname", "netns", "file",
					    "path", "bridge", NULL };

static const char port_add_help[] =
	"Makes a port SWITCH:NAME that stays until port del; the switch is made\n"
	"if it does not exist. DRIVER is the kind of port: tap (an interface of\n"
	"this host), shm (reserves the name for a program), pcap (a file), ...;\n"
	"glenctl driver list names all of them and their options.\n"
	"For every driver: mtu=BYTES (0: no limit), mac=XX:XX:XX:XX:XX:XX,\n"
	"isolated=true (exchanges nothing with other isolated ports).\n"
	"A VALUE is taken as JSON if it is a number, true, false, a [list] or\n"
	"\"quoted\"; anything else is text.\n"
	"\nExamples:\n"
	"  glenctl port add vale0:tap0 tap\n"
	"  glenctl port add vale0:tap0 tap ifname=tap0 netns=blue queues=2\n"
	"  glenctl port add vale0:guest shm mtu=1500 isolated=true\n";

static const char port_set_help[] =
	"Changes mtu, mac, isolated or the driver's options of a live port.\n"
	"\nExamples:\n"
	"  glenctl port set vale0:tap0 mtu=9000\n"
	"  glenctl port set vale0:tap0 isolated=true\n";

static const char port_del_help[] =
	"Forwards what the port has handed over, then closes it. A program\n"
	"that has it open is told so.\n"
	"\nExample:\n"
	"  glenctl port del vale0:tap0\n";

static const char port_show_help[] =
	"Shows one port with everything its driver says about it.\n"
	"\nExample:\n"
	"  glenctl port show vale0:tap0\n";

static const char port_list_help[] =
	"Lists all ports, or those of one switch. STAYS: until port del, even\n"
	"when no program has it open.\n"
	"\nExamples:\n"
	"  glenctl port list\n"
	"  glenctl port list vale0 --json | jq -r '.[] | select(.link).port'\n";

static int port_add_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *params;
	int ret = no_options(ctl, argc, argv, 2, -1);

	if (ret)
		return ret;
	if (strchr(argv[2], '='))
		return bad_usage(ctl, "the driver is missing before %s",
				 argv[2]);
	params = json_pack("{s:s, s:s}", "port", argv[1], "driver", argv[2]);
	if (add_options(ctl, params, argc - 3, argv + 3, port_strings)) {
		json_decref(params);
		return EXIT_USAGE;
	}
	return call_quiet(ctl, "port.add", params);
}

static int port_set_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *params;
	int ret = no_options(ctl, argc, argv, 2, -1);

	if (ret)
		return ret;
	params = name_param("port", argv[1]);
	if (add_options(ctl, params, argc - 2, argv + 2, port_strings)) {
		json_decref(params);
		return EXIT_USAGE;
	}
	return call_quiet(ctl, "port.set", params);
}

static int port_del_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 1, 1);

	return ret ? ret :
		     call_quiet(ctl, "port.del", name_param("port", argv[1]));
}

static int port_show_run(struct ctl *ctl, int argc, char **argv)
{
	int ret = no_options(ctl, argc, argv, 1, 1);

	return ret ? ret : show(ctl, "port.show", name_param("port", argv[1]));
}

static void port_row(struct table *t, const json_t *p)
{
	uint64_t mtu = get_u64(p, "mtu");

	table_add(t, "%s", get_str(p, "port"));
	table_add(t, "%s", get_str(p, "driver"));
	table_add(t, "%s", get_bool(p, "link") ? "up" : "down");
	table_add(t, "%llu/%llu", (unsigned long long)get_u64(p, "in_rings"),
		  (unsigned long long)get_u64(p, "out_rings"));
	table_add(t, mtu ? "%llu" : "-", (unsigned long long)mtu);
	table_add(t, "%s", *get_str(p, "mac") ? get_str(p, "mac") : "-");
	table_add(t, "%s", get_bool(p, "isolated") ? "yes" : "no");
	table_add(t, "%s", get_bool(p, "configured") ? "yes" : "no");
}

static int port_list_run(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = { "PORT",	  "DRIVER", "LINK",
					      ">IN/OUT",  ">MTU",   "MAC",
					      "ISOLATED", "STAYS",  NULL };
	json_t *params = NULL, *list, *p;
	struct table t;
	size_t i;
	int ret;

	ret = no_options(ctl, argc, argv, 0, 1);
	if (ret)
		return ret;
	if (argc > 1) {
		params = name_param("switch", argv[1]);
		/* Without it the answer would be about all switches. */
		if (!params)
			return bad_usage(ctl, "the name is not UTF-8 text");
	}
	ret = call(ctl, "port.list", params, CALL_TIMEOUT_MS, &list);
	if (ret)
		return ret;
	sort_by(list, "port");
	if (ctl->json)
		return print_json(list);
	table_init(&t, titles);
	json_array_foreach(list, i, p)
		port_row(&t, p);
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
	json_decref(list);
	return EXIT_OK;
}

const struct command port_commands[] = {
	{ "add", "SWITCH:NAME DRIVER [KEY=VALUE...]", "make a port",
	  port_add_help, port_add_run, NULL },
	{ "del", "SWITCH:NAME", "close a port", port_del_help, port_del_run,
	  NULL },
	{ "set", "SWITCH:NAME KEY=VALUE...", "change a live port",
	  port_set_help, port_set_run, NULL },
	{ "show", "SWITCH:NAME", "one port", port_show_help, port_show_run,
	  NULL },
	{ "list", "[SWITCH]", "all ports", port_list_help, port_list_run,
	  NULL },
	{ NULL },
};
