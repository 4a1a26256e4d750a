// SPDX-License-Identifier: BSD-2-Clause
// top.c - a live table of rates per port.
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "tools/glenctl/counters.h"
#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

const char top_help[] =
	"Shows packets, bits and drops per second of every port, refreshed in\n"
	"place, busiest port first. DROPS/S adds both directions; the reason\n"
	"beside it is the most frequent one.\n"
	"Keys: q quits; t, i, o, d, n sort by total, in, out, drops, name;\n"
	"blank refreshes at once.\n"
	"\nOptions:\n"
	"  -n, --count N        stop after N tables\n"
	"  -d, --delay SECONDS  time between them (default 1)\n"
	"  -s, --sort COLUMN    total, in, out, drops or name\n"
	"  -b, --batch          print one table below the other, no keys (the\n"
	"                       default if the output is not a terminal)\n"
	"  --json               one JSON object per line instead of tables\n"
	"\nExamples:\n"
	"  glenctl top\n"
	"  glenctl top vale0 -s drops\n"
	"  glenctl top -n 1 -b          the rates over one second, for scripts\n";

struct top {
	struct ctl *ctl;
	const char *target; /* a switch or port; NULL: everything */
	long count;	    /* tables still to print; -1: no end */
	double delay;
	char sort; /* t, i, o, d, n */
	bool batch;
	json_t *before, *now; /* {"stats", "status"} */
};

/*
 * The terminal. It must be put back however glenctl ends.
 */

static struct termios saved_termios;
static volatile sig_atomic_t stopped, resized;

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else
		stopped = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
}

static bool screen_open(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved_termios))
		return false;
	raw = saved_termios;
	raw.c_lflag &= ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	/* Another screen, no cursor. */
	fputs("\033[?1049h\033[?25l", stdout);
	return true;
}

static void screen_close(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &saved_termios);
}

static void screen_size(unsigned *rows, unsigned *columns)
{
	struct winsize size;

	*rows = 24;
	*columns = 80;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row &&
	    size.ws_col) {
		*rows = size.ws_row;
		*columns = size.ws_col;
	}
}

/*
 * Rows.
 */

static int fetch(struct top *top, json_t **result)
{
	json_t *params = json_object(), *stats, *status;
	int ret;

	if (top->target)
		json_object_set_new(params,
				    is_port_name(top->target) ? "port" :
								"switch",
				    json_string(top->target));
	ret = call(top->ctl, "stats", params, CALL_TIMEOUT_MS, &stats);
	if (ret)
		return ret;
	ret = call(top->ctl, "status", NULL, CALL_TIMEOUT_MS, &status);
	if (ret) {
		json_decref(stats);
		return ret;
	}
	*result = json_pack("{s:o, s:o}", "stats", stats, "status", status);
	return EXIT_OK;
}

static char sort_column; /* for compare(); qsort() passes no context */

static double sort_key(const struct port_sum *s)
{
	switch (sort_column) {
	case 'i':
		return s->in_packets;
	case 'o':
		return s->out_packets;
	case 'd':
		return s->in_drops + s->out_drops;
	default:
		return s->in_packets + s->out_packets;
	}
}

static int compare(const void *a, const void *b)
{
	const struct port_sum *x = a, *y = b;
	double kx = sort_key(x), ky = sort_key(y);

	if (sort_column != 'n' && kx != ky)
		return kx < ky ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* The ports of rates, sorted; freed by the caller. NULL if there are none. */
static struct port_sum *sorted(const struct top *top, const json_t *ports,
			       size_t *n)
{
	struct port_sum *sums;
	json_t *port;
	size_t i;

	*n = json_array_size(ports);
	sums = calloc(*n ? *n : 1, sizeof(*sums));
	if (!sums) {
		*n = 0;
		return NULL;
	}
	json_array_foreach((json_t *)ports, i, port)
		counters_sum(port, &sums[i]);
	sort_column = top->sort;
	qsort(sums, *n, sizeof(*sums), compare);
	return sums;
}

static void fill_table(struct table *t, const struct port_sum *sums, size_t n)
{
	char a[UNIT_SIZE];

	for (size_t i = 0; i < n; i++) {
		const struct port_sum *s = &sums[i];

		table_add(t, "%s", s->name);
		table_add(t, "%s", human(a, s->in_packets));
		table_add(t, "%s", human(a, s->in_bytes * 8));
		table_add(t, "%s", human(a, s->out_packets));
		table_add(t, "%s", human(a, s->out_bytes * 8));
		table_add(t, "%s", human(a, s->in_drops + s->out_drops));
		table_add(t, "%s", s->top_reason ? s->top_reason : "");
	}
}

/*
 * One table.
 */

/* What is above the table; returns the number of lines. */
static unsigned print_header(const struct port_sum *sums, size_t n,
			     const json_t *status, const json_t *workers)
{
	double in = 0, out = 0, bits = 0, drops = 0;
	char a[UNIT_SIZE], b[UNIT_SIZE], c[UNIT_SIZE], d[UNIT_SIZE];
	unsigned lines = 2;
	json_t *w;
	size_t i;

	for (i = 0; i < n; i++) {
		in += sums[i].in_packets;
		out += sums[i].out_packets;
		bits += sums[i].out_bytes * 8;
		drops += sums[i].in_drops + sums[i].out_drops;
	}
	printf("glend %s, pid %llu, up %s, %zu ports\n",
	       get_str(status, "version"),
	       (unsigned long long)get_u64(status, "pid"),
	       human_seconds(a, get_u64(status, "uptime_s")), n);
	printf("all: in %s pps, out %s pps, %s bps, drops %s/s\n", human(a, in),
	       human(b, out), human(c, bits), human(d, drops));
	json_array_foreach((json_t *)workers, i, w) {
		double packets = counters_get(w, "packets");
		double batches = counters_get(w, "batches");

		if (i == 4) /* leave room for the ports */
			break;
		printf("worker %llu: %s pps, %.1f packets per batch, %s "
		       "sleeps/s\n",
		       (unsigned long long)get_u64(w, "worker"),
		       human(a, packets), batches > 0 ? packets / batches : 0,
		       human(b, counters_get(w, "sleeps")));
		lines++;
	}
	return lines;
}

static void print_tables(const struct top *top, const json_t *stats,
			 const json_t *workers)
{
	static const char *const titles[] = { "PORT",	  ">IN PPS",
					      ">IN BPS",  ">OUT PPS",
					      ">OUT BPS", ">DROPS/S",
					      "MOST",	  NULL };
	const json_t *status = json_object_get(top->now, "status");
	struct port_sum *sums;
	unsigned rows = 0, columns = 0, used;
	struct table t;
	size_t n;

	sums = sorted(top, json_object_get(stats, "ports"), &n);
	if (!top->batch) {
		screen_size(&rows, &columns);
		fputs("\033[H\033[2J", stdout);
	}
	used = print_header(sums, n, status, workers) + 3;
	putchar('\n');
	table_init(&t, titles);
	fill_table(&t, sums, n);
	table_print(&t, stdout, columns,
		    !rows	? 0 :
		    rows > used ? rows - used :
				  1);
	table_fini(&t);
	if (top->batch && top->count != 1)
		putchar('\n');
	fflush(stdout);
	free(sums);
}

static double seconds_between(const json_t *before, const json_t *now)
{
	double ns = counters_get(json_object_get(now, "stats"), "now_ns") -
		    counters_get(json_object_get(before, "stats"), "now_ns");

	return ns > 0 ? ns / 1e9 : 1;
}

static void print_rates(const struct top *top)
{
	double seconds = seconds_between(top->before, top->now);
	json_t *stats, *workers;

	stats = counters_rate(json_object_get(top->before, "stats"),
			      json_object_get(top->now, "stats"), seconds);
	workers = counters_rate(
		json_object_get(json_object_get(top->before, "status"),
				"workers"),
		json_object_get(json_object_get(top->now, "status"), "workers"),
		seconds);
	if (top->ctl->json) {
		json_object_set_new(stats, "seconds", json_real(seconds));
		json_object_set(stats, "workers", workers);
		json_dumpf(stats, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
	} else {
		print_tables(top, stats, workers);
	}
	json_decref(stats);
	json_decref(workers);
}

/* Handles keys until the next table is due. False: leave. */
static bool pause_and_read(struct top *top)
{
	struct pollfd pfd = { .fd = top->batch ? -1 : STDIN_FILENO,
			      .events = POLLIN };
	struct timespec now;
	int64_t end_ms, left;
	char key;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end_ms = now.tv_sec * 1000LL + now.tv_nsec / 1000000 +
		 (int64_t)(top->delay * 1000);
	while (!stopped) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = end_ms - (now.tv_sec * 1000LL + now.tv_nsec / 1000000);
		if (left <= 0)
			return true;
		if (poll(&pfd, 1, left) <= 0) {
			if (resized && top->before && !top->batch)
				print_rates(top);
			resized = 0;
			continue;
		}
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
			return false;
		if (key == ' ')
			return true;
		if (strchr("tiodn", key)) {
			top->sort = key;
			if (top->before)
				print_rates(top);
		}
	}
	return false;
}

static int loop(struct top *top)
{
	int ret = fetch(top, &top->now);

	while (!ret && top->count && pause_and_read(top)) {
		json_decref(top->before);
		top->before = top->now;
		top->now = NULL;
		ret = fetch(top, &top->now);
		if (ret)
			break;
		print_rates(top);
		if (top->count > 0)
			top->count--;
	}
	json_decref(top->before);
	json_decref(top->now);
	return ret;
}

static int parse_sort(const struct ctl *ctl, const char *text, char *sort)
{
	static const char *const names[] = { "total", "in", "out", "drops",
					     "name" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(names[i], text)) {
			*sort = *text;
			return 0;
		}
	}
	return bad_usage(ctl,
			 "cannot sort by \"%s\", but by total, in, out, "
			 "drops or name",
			 text);
}

static int parse_options(struct top *top, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "delay", required_argument, NULL, 'd' },
		{ "sort", required_argument, NULL, 's' },
		{ "batch", no_argument, NULL, 'b' },
		{ 0 },
	};
	const struct ctl *ctl = top->ctl;
	int c, ret = 0;

	opterr = 0;
	while (!ret &&
	       (c = getopt_long(argc, argv, "n:d:s:b", longs, NULL)) != -1) {
		if (c == 'n')
			ret = parse_long(ctl, "-n", optarg, 1, 1 << 30,
					 &top->count);
		else if (c == 'd')
			ret = parse_seconds(ctl, "-d", optarg, 0.05, 3600,
					    &top->delay);
		else if (c == 's')
			ret = parse_sort(ctl, optarg, &top->sort);
		else if (c == 'b')
			top->batch = true;
		else
			return bad_option(ctl, argv);
	}
	if (!ret)
		ret = check_args(ctl, argc - optind + 1, 0, 1);
	if (!ret && optind < argc)
		top->target = argv[optind];
	return ret;
}

int top_run(struct ctl *ctl, int argc, char **argv)
{
	struct top top = { .ctl = ctl, .count = -1, .delay = 1, .sort = 't' };
	int ret = parse_options(&top, argc, argv);

	if (ret)
		return ret;
	if (ctl->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		top.batch = true;
	/* The first call before the screen changes: it may fail. */
	ret = call(ctl, "version", NULL, CALL_TIMEOUT_MS, NULL);
	if (ret)
		return ret;
	catch_signals();
	if (!top.batch && !screen_open())
		top.batch = true;
	ret = loop(&top);
	if (!top.batch)
		screen_close();
	return ret;
}
