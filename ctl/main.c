// SPDX-License-Identifier: BSD-2-Clause
// main.c - glend: reads the command line and runs the daemon.
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/daemon.h"
#include "lib/error.h"

enum { EXIT_USAGE = 2, CPU_MAX = 1023, PARSED = -1 };

static const char help[] =
	"usage: glend [options]\n"
	"\n"
	"Runs the switches of this host: ports of processes, virtual machines, "
	"TAP\n"
	"interfaces, sockets and pcap files, all in user space. Runs as any "
	"user, in the\n"
	"foreground; ports that are kernel interfaces need CAP_NET_ADMIN. "
	"Control it with\n"
	"glenctl.\n"
	"\n"
	"  --config FILE      YAML topology to begin with; SIGHUP reads it "
	"again\n"
	"  --socket PATH      control socket (default: $GLEN_SOCKET, else for "
	"root\n"
	"                     /run/glen/glend.sock, else\n"
	"                     $XDG_RUNTIME_DIR/glen/glend.sock, else\n"
	"                     /tmp/glen-UID/glend.sock)\n"
	"  --group NAME       group of the socket\n"
	"  --mode MODE        mode of the socket, octal (default: 0600, with\n"
	"                     --group 0660)\n"
	"  --module-dir DIR   load the modules DIR/NAME.so (default:\n"
	"                     " GLEN_MODULE_DIR ",\n"
	"                     if it exists)\n"
	"  --workers N        threads that move packets, 1..64 (default: 1)\n"
	"  --cpus LIST        CPUs to pin them to, such as 2,4-5; one each\n"
	"  --poll             never sleep: least latency, a whole CPU per "
	"worker\n"
	"  --state FILE       what a restarted glend goes on from (default: "
	"the\n"
	"                     socket's path with .state appended)\n"
	"  --no-state         keep none: a restart begins empty\n"
	"  --no-netns         give up CAP_SYS_ADMIN: no ports in named\n"
	"                     network namespaces\n"
	"  --no-seccomp       run without the system call filter (debugging)\n"
	"  --log-level LEVEL  error, warning, info (default) or debug\n"
	"  --help, --version\n"
	"\n"
	"SIGTERM ends glend so that the next one goes on where it left off: "
	"clients\n"
	"resume by themselves. SIGINT (Ctrl-C) ends it for good.\n"
	"\n"
	"Examples:\n"
	"  glend                          as you, for your own processes\n"
	"  glend --config /etc/glen/glen.yaml --workers 2 --cpus 2-3\n";

static int usage(const char *text, const char *value)
{
	fprintf(stderr, "glend: %s%s%s; see glend --help\n", text,
		value ? " " : "", value ? value : "");
	return EXIT_USAGE;
}

/* A number from min to max; false: it is none. */
static bool read_number(const char *text, int base, long min, long max,
			long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, base);
	return !errno && end != text && !*end && *value >= min && *value <= max;
}

/* "2,4-5": appends each CPU. */
static int read_cpus(const char *text, struct options *o)
{
	const char *list = text;
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	while (*text) {
		char *end;
		long from = strtol(text, &end, 10), to = from;

		if (end == text)
			return usage("--cpus needs a list such as 2,4-5, not",
				     list);
		if (*end == '-') {
			text = end + 1;
			to = strtol(text, &end, 10);
		}
		if (end == text || (*end && *end != ',') || from < 0 ||
		    to < from || to > CPU_MAX)
			return usage("--cpus needs a list such as 2,4-5, not",
				     list);
		for (; from <= to; from++) {
			if (o->n_cpus == WORKERS_MAX)
				return usage("--cpus names more than 64 CPUs",
					     NULL);
			if (!CPU_ISSET(from, &set)) {
				fprintf(stderr,
					"glend: --cpus: CPU %ld does "
					"not exist or may not be used\n",
					from);
				return EXIT_USAGE;
			}
			o->cpus[o->n_cpus++] = from;
		}
		text = end + (*end == ',');
	}
	return PARSED;
}

enum option_id {
	OPT_CONFIG = 1,
	OPT_SOCKET,
	OPT_GROUP,
	OPT_MODE,
	OPT_MODULE_DIR,
	OPT_WORKERS,
	OPT_CPUS,
	OPT_POLL,
	OPT_STATE,
	OPT_NO_STATE,
	OPT_NO_NETNS,
	OPT_NO_SECCOMP,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "group", required_argument, NULL, OPT_GROUP },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "module-dir", required_argument, NULL, OPT_MODULE_DIR },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "poll", no_argument, NULL, OPT_POLL },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "no-state", no_argument, NULL, OPT_NO_STATE },
	{ "no-netns", no_argument, NULL, OPT_NO_NETNS },
	{ "no-seccomp", no_argument, NULL, OPT_NO_SECCOMP },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

/* One option. PARSED, or the exit code. */
static int read_option(int id, struct options *o)
{
	long n;

	switch (id) {
	case OPT_CONFIG:
		o->config = optarg;
		break;
	case OPT_SOCKET:
		o->socket = optarg;
		break;
	case OPT_GROUP:
		o->group = optarg;
		break;
	case OPT_MODE:
		if (!read_number(optarg, 8, 0, 0777, &n))
			return usage("--mode needs an octal number such as "
				     "0660, not",
				     optarg);
		o->mode = n;
		break;
	case OPT_MODULE_DIR:
		o->module_dir = optarg;
		break;
	case OPT_WORKERS:
		if (!read_number(optarg, 10, 1, WORKERS_MAX, &n))
			return usage("--workers needs a number from 1 to 64, "
				     "not",
				     optarg);
		o->workers = n;
		break;
	case OPT_CPUS:
		return read_cpus(optarg, o);
	case OPT_POLL:
		o->poll = true;
		break;
	case OPT_STATE:
		o->state = optarg;
		break;
	case OPT_NO_STATE:
		o->use_state = false;
		break;
	case OPT_NO_NETNS:
		o->netns = false;
		break;
	case OPT_NO_SECCOMP:
		o->seccomp = false;
		break;
	case OPT_LOG_LEVEL:
		if (!log_set_level(optarg))
			return usage("--log-level needs error, warning, info "
				     "or debug, not",
				     optarg);
		break;
	case OPT_HELP:
		fputs(help, stdout);
		return EXIT_SUCCESS;
	case OPT_VERSION:
		puts("glend " GLEN_VERSION);
		return EXIT_SUCCESS;
	default:
		fputs("See glend --help.\n", stderr); /* getopt() named it */
		return EXIT_USAGE;
	}
	return PARSED;
}

static int read_options(int argc, char **argv, struct options *o)
{
	int id, code;

	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		code = read_option(id, o);
		if (code != PARSED)
			return code;
	}
	if (optind < argc)
		return usage("there is a word too many:", argv[optind]);
	if (!o->socket)
		o->socket = glen_default_socket();
	if (!o->mode)
		o->mode = o->group ? 0660 : 0600;
	if (!o->workers)
		o->workers = o->n_cpus ? o->n_cpus : 1;
	if (o->n_cpus && o->n_cpus != o->workers)
		return usage("--cpus must name as many CPUs as --workers says",
			     NULL);
	return PARSED;
}

int main(int argc, char **argv)
{
	/* Static: what a clean end leaves for the kernel to free is still
	 * reachable then. */
	static struct daemon d;
	struct options options = { .use_state = true,
				   .netns = true,
				   .seccomp = true };
	struct glen_error error = { 0 };
	int err, code = read_options(argc, argv, &options);

	if (code != PARSED)
		return code;
	err = daemon_init(&d, &options, &error);
	if (err)
		log_error("%s", error.text);
	else
		err = daemon_run(&d);
	daemon_fini(&d);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
