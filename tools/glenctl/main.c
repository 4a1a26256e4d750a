// SPDX-License-Identifier: BSD-2-Clause
// main.c - glenctl: show and change what a running glend does.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"

static const struct command commands[] = {
	{ "status", "", "glend itself: version, workers, counts", status_help,
	  status_run, NULL },
	{ "switch", "", "make, remove, show switches", NULL, NULL,
	  switch_commands },
	{ "port", "", "make, change, remove, show ports", NULL, NULL,
	  port_commands },
	{ "module", "", "forwarding modules of switches", NULL, NULL,
	  module_commands },
	{ "driver", "", "kinds of ports", NULL, NULL, driver_commands },
	{ "worker", "", "threads that move packets", NULL, NULL,
	  worker_commands },
	{ "region", "", "buffers that ports share", NULL, NULL,
	  region_commands },
	{ "fdb", "", "MAC addresses a switch has learned", NULL, NULL,
	  fdb_commands },
	{ "vlan", "", "VLANs and mirrors of ports", NULL, NULL, vlan_commands },
	{ "steer", "", "packets to network functions", NULL, NULL,
	  steer_commands },
	{ "tuple3", "", "who claimed which address and port", NULL, NULL,
	  tuple3_commands },
	{ "stats", "[PORT|SWITCH] [--rings] [--rate SECONDS]",
	  "counters, every drop by its reason", stats_help, stats_run, NULL },
	{ "top", "[-n COUNT] [-d SECONDS] [-s COLUMN] [-b] [SWITCH]",
	  "live table of rates per port", top_help, top_run, NULL },
	{ "capture", "PORT|SWITCH [-w FILE|-] [-c COUNT] [-s SNAPLEN] [FILTER]",
	  "record packets, dropped ones too", capture_help, capture_run, NULL },
	{ "apply", "FILE [--dry-run]",
	  "make switches and ports equal to a file", apply_help, apply_run,
	  NULL },
	{ "save", "[FILE]", "write switches and ports as such a file",
	  save_help, save_run, NULL },
	{ "wait", "PORT [--timeout SECONDS]", "until a port is up", wait_help,
	  wait_run, NULL },
	{ "rpc", "METHOD [JSON]", "one raw call", rpc_help, rpc_run, NULL },
	{ "completion", "", "completion of words for shells", NULL, NULL,
	  completion_commands },
	{ NULL },
};

static const char global_help[] =
	"Options (anywhere on the line):\n"
	"  --socket PATH  glend's control socket. Default: $GLEN_SOCKET, else\n"
	"                 /run/glen/glend.sock (root) or\n"
	"                 $XDG_RUNTIME_DIR/glen/glend.sock, else\n"
	"                 /tmp/glen-UID/glend.sock\n"
	"  --json         print the answer as JSON\n"
	"  --help         help; also behind a command: glenctl port add --help\n"
	"  --version      version of glenctl\n";

static const char examples[] =
	"\nExamples:\n"
	"  glenctl status                       is it alive, what does it do\n"
	"  glenctl top                          where is the traffic\n"
	"  glenctl stats vale0                  where do packets get lost\n"
	"  glenctl capture vale0:a icmp         what goes through this port\n"
	"  glenctl port add vale0:tap0 tap netns=blue\n"
	"  glenctl apply lab.yaml --dry-run     what would change\n"
	"\nExit codes: 0 done, 1 refused, 2 wrong usage, 3 cannot reach glend, "
	"4 time-out\n";

static void print_list(const struct command *list)
{
	for (; list->name; list++)
		printf("  %-12s %s\n", list->name, list->summary);
}

static int print_help(const struct ctl *ctl, const struct command *command,
		      const struct command *list)
{
	if (!command) {
		printf("Usage: glenctl [OPTIONS] COMMAND ...\n"
		       "Shows and changes what a running glend does.\n\n"
		       "Commands:\n");
		print_list(list);
		printf("\n%s%s", global_help, examples);
	} else if (!command->run) {
		printf("Usage: glenctl %s COMMAND ...\n%s\n\nCommands:\n",
		       ctl->path, command->summary);
		print_list(command->sub);
		printf("\nTry: glenctl %s %s --help\n", ctl->path,
		       command->sub[0].name);
	} else {
		printf("Usage: glenctl %s%s%s\n\n%s", ctl->path,
		       *command->args ? " " : "", command->args, command->help);
		printf("\nGlobal options --socket PATH, --json: glenctl "
		       "--help\n");
	}
	return EXIT_OK;
}

/*
 * Takes the global options out of argv, wherever they stand before "--".
 * Returns the new argc, or -1 with a message.
 */
static int take_globals(struct ctl *ctl, int argc, char **argv, bool *help,
			bool *version)
{
	int n = 1;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (!strcmp(word, "--")) {
			while (i < argc)
				argv[n++] = argv[i++];
		} else if (!strcmp(word, "--json")) {
			ctl->json = true;
			print_errors_as_json(true);
		} else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			*help = true;
		} else if (!strcmp(word, "--version")) {
			*version = true;
		} else if (!strncmp(word, "--socket=", 9)) {
			ctl->socket = word + 9;
		} else if (!strcmp(word, "--socket")) {
			if (++i == argc) {
				bad_usage(ctl, "--socket needs a path");
				return -1;
			}
			ctl->socket = argv[i];
		} else {
			argv[n++] = argv[i];
		}
	}
	argv[n] = NULL;
	return n;
}

static const struct command *find(const struct command *list, const char *name)
{
	for (; list->name; list++)
		if (!strcmp(list->name, name))
			return list;
	return NULL;
}

/* Walks down the tree; *used words of argv were names. */
static int find_command(struct ctl *ctl, int argc, char **argv,
			const struct command **command, int *used)
{
	const struct command *list = commands;

	*command = NULL;
	*used = 1;
	while (list && *used < argc) {
		const struct command *next = find(list, argv[*used]);
		size_t len = strlen(ctl->path);

		if (!next)
			return bad_usage(ctl, "unknown command \"%s\"",
					 argv[*used]);
		snprintf(ctl->path + len, sizeof(ctl->path) - len, "%s%s",
			 len ? " " : "", next->name);
		*command = next;
		ctl->command = next;
		list = next->sub;
		(*used)++;
	}
	return 0;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	const struct command *command;
	bool help = false, version = false;
	int used, ret;

	argc = take_globals(ctl, argc, argv, &help, &version);
	if (argc < 0)
		return EXIT_USAGE;
	if (version) {
		printf("glenctl %s\n", GLEN_VERSION);
		return EXIT_OK;
	}
	ret = find_command(ctl, argc, argv, &command, &used);
	if (ret)
		return ret;
	if (help)
		return print_help(ctl, command, commands);
	if (!command || !command->run)
		return bad_usage(ctl, "a command is missing");
	optind = 0; /* glibc: start anew, with the permutation of words */
	return command->run(ctl, argc - used + 1, argv + used - 1);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .rpc = { .fd = -1 } };
	int ret;

	signal(SIGPIPE, SIG_IGN);
	ret = run(&ctl, argc, argv);
	rpc_close(&ctl.rpc);
	if ((fflush(stdout) || ferror(stdout)) && ret == EXIT_OK) {
		/* "| head" may leave whenever it likes. */
		if (stdout_left())
			return EXIT_REFUSED;
		ret = complain(EXIT_REFUSED,
			       "cannot write the output: is the disk full?");
	}
	return ret;
}
