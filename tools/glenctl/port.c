// SPDX-License-Identifier: BSD-2-Clause
// port.c - ports: make, change, remove, show.
#include <ctype.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "tools/glenctl/attach.h"
#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

/* Values that look like numbers but are names. */
static const char *const port_strings[] = { "mac",  "ifname", "netns",
					    "file", "path",   "addr",
					    "peer", "access", "bridge",
					    NULL };

#define ATTACH_HELP                                                          \
	"\nOptions, for ports of virtual machines:\n"                        \
	"  --show qemu      only QEMU's arguments, in one line\n"            \
	"  --show libvirt   only elements of a libvirt domain\n"             \
	"  --memory SIZE    of the guest's memory, such as 2G. It must be\n" \
	"                   shared, so it is among the arguments. none:\n"   \
	"                   leave it out, for a guest's second interface\n"  \
	"  --queues N       queue pairs: as many as virtual processors\n"    \
	"  --packed         packed virtqueues\n"                             \
	"  --model NAME     of the interface in QEMU (virtio-net-pci)\n"

static const char port_add_help[] =
	"Makes a port SWITCH:NAME that stays until port del; the switch is made\n"
	"if it does not exist. DRIVER is the kind of port: tap (an interface of\n"
	"this host), shm (reserves the name for a program), pcap (a file), ...;\n"
	"glenctl driver list names all of them and their options.\n"
	"For every driver: mtu=BYTES (0: no limit), mac=XX:XX:XX:XX:XX:XX,\n"
	"isolated=true (exchanges nothing with other isolated ports),\n"
	"workers=0,2-3 (which workers run its rings in turn; auto: glend sees to\n"
	"it, see glenctl worker show --help).\n"
	"A VALUE is taken as JSON if it is a number, true, false, a [list] or\n"
	"\"quoted\"; anything else is text.\n"
	"\nFor a port of a virtual machine (vhost-user, stream, dgram) it prints how\n"
	"QEMU is to be started.\n" ATTACH_HELP "\nExamples:\n"
	"  glenctl port add vale0:tap0 tap\n"
	"  glenctl port add vale0:tap0 tap ifname=tap0 netns=blue queues=2\n"
	"  glenctl port add vale0:guest shm mtu=1500 isolated=true\n"
	"  glenctl port add vale0:vm1 vhost-user path=/run/glen/vm1 queues=2\n";

static const char port_set_help[] =
	"Changes mtu, mac, isolated, workers or the driver's options of a live port,\n"
	"or what the switch's module is told about it: learn.KEY=VALUE, see\n"
	"docs/learn.md (mode, vlan, native, allowed, mirror_to, police_bps,\n"
	"mac_limit, guard, ...); null takes it back. What is not named stays.\n"
	"\nExamples:\n"
	"  glenctl port set vale0:tap0 mtu=9000\n"
	"  glenctl port set vale0:tap0 isolated=true\n"
	"  glenctl port set vale0:tap0 learn.mode=access learn.vlan=10\n"
	"  glenctl port set vale0:up learn.mode=trunk learn.allowed=10,20-29\n"
	"  glenctl port set vale0:tap0 learn.mirror_to=sniff\n"
	"  glenctl port set vale0:tap0 learn.police_bps=100M learn.mac_limit=1\n"
	"  glenctl port set vale0:tap0 learn.guard='[\"02:00:00:00:00:01 "
	"10.0.0.1\"]'\n"
	"  glenctl port set vale0:tap0 learn.guard=null\n";

static const char port_del_help[] =
	"Forwards what the port has handed over, then closes it. A program\n"
	"that has it open is told so.\n"
	"\nExample:\n"
	"  glenctl port del vale0:tap0\n";

static const char port_show_help[] =
	"Shows one port with everything its driver says about it.\n" ATTACH_HELP
	"\nExamples:\n"
	"  glenctl port show vale0:tap0\n"
	"  qemu-system-x86_64 -m 2G ... \\\n"
	"    $(glenctl port show vale0:vm1 --show qemu --memory 2G)\n"
	"  glenctl port show vale0:vm1 --show libvirt\n";

static const char port_list_help[] =
	"Lists all ports, or those of one switch. STAYS: until port del, even\n"
	"when no program has it open.\n"
	"\nExamples:\n"
	"  glenctl port list\n"
	"  glenctl port list vale0 --json | jq -r '.[] | select(.link).port'\n";

/* What port add and port show are told about virtual machines. */
struct guest_options {
	enum { SHOW_ALL, SHOW_QEMU, SHOW_LIBVIRT } what;
	struct attach_options attach;
	bool given; /* any of them */
	char host[64];
};

/* What tells this host from others, so that guests' addresses differ. */
static void fill_host(struct guest_options *o)
{
	FILE *file = fopen("/etc/machine-id", "re");

	if (!file || !fgets(o->host, sizeof(o->host), file))
		gethostname(o->host, sizeof(o->host) - 1);
	if (file)
		fclose(file);
	o->attach.host = o->host;
}

/* A size as QEMU reads it, such as 2G. */
static bool is_size(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;

	return digits && (!*unit || (strchr("kKMGT", *unit) && !unit[1]));
}

static int take_option(const struct ctl *ctl, struct guest_options *o, int c,
		       char **argv)
{
	long value;

	switch (c) {
	case 's':
		if (!strcmp(optarg, "qemu"))
			o->what = SHOW_QEMU;
		else if (!strcmp(optarg, "libvirt"))
			o->what = SHOW_LIBVIRT;
		else
			return bad_usage(ctl,
					 "--show takes qemu or libvirt, not "
					 "\"%s\"",
					 optarg);
		return 0;
	case 'm':
		o->attach.memory = optarg;
		if (strcmp(optarg, "none") && !is_size(optarg))
			return bad_usage(ctl,
					 "--memory takes a size such as 2G, or "
					 "none, not \"%s\"",
					 optarg);
		return 0;
	case 'q':
		if (parse_long(ctl, "--queues", optarg, 1, 16, &value))
			return EXIT_USAGE;
		o->attach.queues = value;
		return 0;
	case 'p':
		o->attach.packed = true;
		return 0;
	case 'M':
		o->attach.model = optarg;
		if (strspn(optarg, "abcdefghijklmnopqrstuvwxyz0123456789-_") !=
			    strlen(optarg) ||
		    !*optarg)
			return bad_usage(ctl, "\"%s\" is no name of a model",
					 optarg);
		return 0;
	}
	return bad_option(ctl, argv);
}

/* The other words are argv[optind..] then. */
static int guest_options(const struct ctl *ctl, int argc, char **argv, int min,
			 int max, struct guest_options *o)
{
	static const struct option longs[] = {
		{ "show", required_argument, NULL, 's' },
		{ "memory", required_argument, NULL, 'm' },
		{ "model", required_argument, NULL, 'M' },
		{ "queues", required_argument, NULL, 'q' },
		{ "packed", no_argument, NULL, 'p' },
		{ 0 },
	};
	int c, ret = 0;

	*o = (struct guest_options){ .what = SHOW_ALL };
	opterr = 0;
	while (!ret && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		ret = take_option(ctl, o, c, argv);
		o->given = true;
	}
	if (!ret)
		ret = check_args(ctl, argc - optind + 1, min, max);
	fill_host(o);
	return ret;
}

/* Whether a port with the options params would do; what is no number of queues
 * is for glend to refuse. */
static int check_params(const struct ctl *ctl, const json_t *params,
			const struct guest_options *o)
{
	const json_t *queues = json_object_get(params, "queues");
	const char *why = attach_lacks(json_is_integer(queues) ?
					       json_integer_value(queues) :
					       ATTACH_QUEUES_ANY,
				       json_object_get(params, "packed"),
				       &o->attach);

	return why ? bad_usage(ctl, "port %s: %s", get_str(params, "port"),
			       why) :
		     0;
}

/* Whether the options, if any, fit a driver. */
static int check_driver(const struct ctl *ctl, const char *driver,
			const struct guest_options *o)
{
	const char *why = attach_refuses(driver, &o->attach);

	return o->given && why ? bad_usage(ctl, "driver %s: %s", driver, why) :
				 0;
}

static void print_libvirt(const json_t *elements)
{
	const char *name;
	json_t *text;

	json_object_foreach((json_t *)elements, name, text) {
		if (json_object_size(elements) > 1 || strcmp(name, "interface"))
			printf("<!-- in <%s> -->\n", strcmp(name, "interface") ?
							     "domain" :
							     "devices");
		fputs(json_string_value(text), stdout);
	}
}

static void print_qemu(const json_t *words)
{
	if (attach_print_words(stdout, words, " "))
		fputs("glenctl: the path is quoted for a shell: paste it, or "
		      "use eval; $(...) alone does not do\n",
		      stderr);
	putchar('\n');
}

/* What is said unasked when a port was added. */
static void print_hint(const json_t *port, const json_t *words, bool size)
{
	printf("QEMU attaches a guest to %s with\n\n  ", get_str(port, "port"));
	attach_print_words(stdout, words, " \\\n  ");
	printf("\n\n");
	if (size)
		puts("where " ATTACH_SIZE
		     " is the size of the guest's memory, as in -m "
		     "(--memory fills it in).");
	printf("For libvirt: glenctl port show %s --show libvirt\n",
	       get_str(port, "port"));
}

/*
 * Prints what the other end of the port needs; with --json the port with it.
 * Takes port. added: it is new, and a person should be told.
 */
static int print_guest(const struct ctl *ctl, json_t *port,
		       const struct guest_options *o, bool added)
{
	bool is_vhost = !strcmp(get_str(port, "driver"), "vhost-user");
	const char *memory = o->attach.memory, *why = "";
	json_t *qemu = attach_qemu(port, &o->attach, &why);
	json_t *libvirt = attach_libvirt(port, &o->attach, &why);
	int ret = EXIT_OK;

	if ((!qemu && o->what != SHOW_LIBVIRT) ||
	    (!libvirt && o->what != SHOW_QEMU)) {
		ret = complain(EXIT_REFUSED, "port %s%s: %s",
			       get_str(port, "port"),
			       added ? " was added, but" : "", why);
	} else if (ctl->json && o->what != SHOW_ALL) {
		ret = print_json(
			json_incref(o->what == SHOW_QEMU ? qemu : libvirt));
	} else if (ctl->json) {
		json_object_set(port, "qemu", qemu);
		json_object_set(port, "libvirt", libvirt);
		ret = print_json(json_incref(port));
	} else if (o->what == SHOW_QEMU) {
		print_qemu(qemu);
	} else if (o->what == SHOW_LIBVIRT) {
		print_libvirt(libvirt);
	} else if (added) {
		print_hint(port, qemu, !memory && is_vhost);
	} else {
		print_members(stdout, port);
	}
	json_decref(qemu);
	json_decref(libvirt);
	json_decref(port);
	return ret;
}

static int port_add_run(struct ctl *ctl, int argc, char **argv)
{
	struct guest_options o;
	json_t *params, *port;
	bool guest;
	int ret = guest_options(ctl, argc, argv, 2, -1, &o);

	if (ret)
		return ret;
	argc -= optind;
	argv += optind;
	if (strchr(argv[1], '='))
		return bad_usage(ctl, "the driver is missing before %s",
				 argv[1]);
	guest = attach_driver(argv[1]);
	ret = check_driver(ctl, argv[1], &o);
	if (ret)
		return ret;
	params = json_pack("{s:s, s:s}", "port", argv[0], "driver", argv[1]);
	if (add_options(ctl, params, argc - 2, argv + 2, port_strings)) {
		json_decref(params);
		return EXIT_USAGE;
	}
	if (!guest)
		return call_quiet(ctl, "port.add", params);
	ret = check_params(ctl, params, &o);
	if (ret) {
		json_decref(params);
		return ret;
	}
	ret = call(ctl, "port.add", params, CALL_TIMEOUT_MS, &port);
	return ret ? ret : print_guest(ctl, port, &o, true);
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
	struct guest_options o;
	json_t *port;
	int ret = guest_options(ctl, argc, argv, 1, 1, &o);

	if (!ret)
		ret = call(ctl, "port.show", name_param("port", argv[optind]),
			   CALL_TIMEOUT_MS, &port);
	if (ret)
		return ret;
	ret = check_driver(ctl, get_str(port, "driver"), &o);
	if (!ret && attach_driver(get_str(port, "driver")))
		return print_guest(ctl, port, &o, false);
	if (!ret && ctl->json)
		return print_json(port);
	if (!ret)
		print_members(stdout, port);
	json_decref(port);
	return ret;
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
	{ "add", "SWITCH:NAME DRIVER [KEY=VALUE...] [OPTIONS]", "make a port",
	  port_add_help, port_add_run, NULL },
	{ "del", "SWITCH:NAME", "close a port", port_del_help, port_del_run,
	  NULL },
	{ "set", "SWITCH:NAME KEY=VALUE...", "change a live port",
	  port_set_help, port_set_run, NULL },
	{ "show", "SWITCH:NAME [OPTIONS]", "one port", port_show_help,
	  port_show_run, NULL },
	{ "list", "[SWITCH]", "all ports", port_list_help, port_list_run,
	  NULL },
	{ NULL },
};
