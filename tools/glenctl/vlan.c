// SPDX-License-Identifier: BSD-2-Clause
// vlan.c - which VLANs ports are in, and where their packets are mirrored.
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

static const char show_help[] =
	"Shows the VLANs and mirrors of a switch's ports (module learn). MODE is\n"
	"  plain    all VLANs, packets stay as they are (no settings)\n"
	"  access   packets without tag are in VLAN\n"
	"  trunk    packets with tag, of the VLANs in ALLOWED; those without tag\n"
	"           are in VLAN, or dropped if there is none\n"
	"  qinq     whatever comes is in VLAN, its own tags are payload\n"
	"  mirror   gets copies of other ports' packets, and nothing else\n"
	"They are set with port add and port set, see docs/learn.md:\n"
	"  glenctl port set vale0:web learn.mode=access learn.vlan=10\n"
	"  glenctl port set vale0:up learn.mode=trunk learn.native=1 \\\n"
	"      learn.allowed=10,20-29\n"
	"  glenctl port set vale0:web learn.mirror=both learn.mirror_to=sniff\n"
	"\nExamples:\n"
	"  glenctl vlan show vale0\n"
	"  glenctl vlan show vale0 --json\n";

static const char *or_dash(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static void print_ports(const json_t *result)
{
	static const char *const titles[] = { "PORT",	 "MODE",   ">VLAN",
					      "ALLOWED", "MIRROR", NULL };
	json_t *ports = json_object_get(result, "ports"), *p;
	struct table t;
	size_t i;

	table_init(&t, titles);
	json_array_foreach(ports, i, p) {
		const json_t *vid = json_object_get(p, "vlan");
		const char *to = or_dash(p, "mirror_to");

		if (!vid)
			vid = json_object_get(p, "native");
		table_add(&t, "%s", get_str(p, "port"));
		table_add(&t, "%s", get_str(p, "mode"));
		if (vid)
			table_add(&t, "%lld",
				  (long long)json_integer_value(vid));
		else
			table_add(&t, "-");
		table_add(&t, "%s", or_dash(p, "allowed"));
		if (json_object_get(p, "mirror"))
			table_add(&t, "%s to %s%s", get_str(p, "mirror"), to,
				  get_bool(p, "mirrored") ?
					  "" :
					  " (no such port yet)");
		else
			table_add(&t, "-");
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

static int show_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *result;
	int ret = no_options(ctl, argc, argv, 1, 1);

	if (!ret)
		ret = call(ctl, "vlan.show", name_param("switch", argv[1]),
			   CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	sort_by(json_object_get(result, "ports"), "port");
	if (ctl->json)
		return print_json(result);
	print_ports(result);
	json_decref(result);
	return EXIT_OK;
}

const struct command vlan_commands[] = {
	{ "show", "SWITCH", "VLANs and mirrors of its ports", show_help,
	  show_run, NULL },
	{ NULL },
};
