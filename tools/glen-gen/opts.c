// SPDX-License-Identifier: BSD-2-Clause
// opts.c - reads and checks glen-gen's command line.
#include "opts.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/error.h"
#include "opts_help.h"

enum {
	SEG_MAX = 65472, /* slot.len has 16 bits; a multiple of 64 */
	BATCH_LIMIT = 1024,
	DEFAULT_BATCH = 256,
	DEFAULT_BUF = 2048,
	DEFAULT_SLOTS = 1024,
	SENDS = MODE_SEND | MODE_EMBEDDED,
	RECEIVES = MODE_RECV | MODE_EMBEDDED,
	OPENS = MODE_ANY & ~MODE_EMBEDDED,
};

enum opt {
	OPT_SOCKET = 256,
	OPT_RINGS,
	OPT_SLOTS,
	OPT_BUF_SIZE,
	OPT_VNET_HDR,
	OPT_SIZE,
	OPT_FLOWS,
	OPT_FIRST_FLOW,
	OPT_SRC_MAC,
	OPT_DST_MAC,
	OPT_VLAN,
	OPT_UDP,
	OPT_SRC_IP,
	OPT_DST_IP,
	OPT_CHECK,
	OPT_NO_CHECK,
	OPT_COUNT,
	OPT_TIME,
	OPT_IDLE,
	OPT_UNTIL_END,
	OPT_RATE,
	OPT_BATCH,
	OPT_BURST,
	OPT_INTERVAL,
	OPT_TIMEOUT,
	OPT_BUSY,
	OPT_CPU,
	OPT_THREADS,
	OPT_MODULE,
	OPT_JSON,
	OPT_QUIET,
	OPT_EVERY,
	OPT_EXPECT_LOSSLESS,
	OPT_NO_ANNOUNCE,
	OPT_WAIT,
	OPT_ISOLATED,
	OPT_REGION,
	OPT_REGION_TOKEN,
	OPT_SWAP,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "wait", required_argument, NULL, OPT_WAIT },
	{ "rings", required_argument, NULL, OPT_RINGS },
	{ "slots", required_argument, NULL, OPT_SLOTS },
	{ "buf-size", required_argument, NULL, OPT_BUF_SIZE },
	{ "vnet-hdr", required_argument, NULL, OPT_VNET_HDR },
	{ "isolated", no_argument, NULL, OPT_ISOLATED },
	{ "region", required_argument, NULL, OPT_REGION },
	{ "region-token", required_argument, NULL, OPT_REGION_TOKEN },
	{ "swap", no_argument, NULL, OPT_SWAP },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "flows", required_argument, NULL, OPT_FLOWS },
	{ "first-flow", required_argument, NULL, OPT_FIRST_FLOW },
	{ "src-mac", required_argument, NULL, OPT_SRC_MAC },
	{ "dst-mac", required_argument, NULL, OPT_DST_MAC },
	{ "vlan", required_argument, NULL, OPT_VLAN },
	{ "udp", no_argument, NULL, OPT_UDP },
	{ "src-ip", required_argument, NULL, OPT_SRC_IP },
	{ "dst-ip", required_argument, NULL, OPT_DST_IP },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "no-check", no_argument, NULL, OPT_NO_CHECK },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "time", required_argument, NULL, OPT_TIME },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "until-end", no_argument, NULL, OPT_UNTIL_END },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "batch", required_argument, NULL, OPT_BATCH },
	{ "burst", required_argument, NULL, OPT_BURST },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "busy", no_argument, NULL, OPT_BUSY },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "module", required_argument, NULL, OPT_MODULE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "every", required_argument, NULL, OPT_EVERY },
	{ "expect-lossless", no_argument, NULL, OPT_EXPECT_LOSSLESS },
	{ "no-announce", no_argument, NULL, OPT_NO_ANNOUNCE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

/* In which modes an option means something; others are for all. */
static const struct {
	enum opt opt;
	unsigned modes;
} only_in[] = {
	{ OPT_SOCKET, OPENS },
	{ OPT_WAIT, OPENS },
	{ OPT_ISOLATED, OPENS },
	{ OPT_REGION, OPENS },
	{ OPT_REGION_TOKEN, OPENS },
	{ OPT_SWAP, OPENS },
	{ OPT_FIRST_FLOW, SENDS },
	{ OPT_SIZE, SENDS | MODE_PING },
	{ OPT_RATE, SENDS },
	{ OPT_BURST, SENDS },
	{ OPT_UDP, SENDS | MODE_PING },
	{ OPT_SRC_IP, SENDS | MODE_PING },
	{ OPT_DST_IP, SENDS | MODE_PING },
	{ OPT_FLOWS, SENDS | MODE_RECV },
	{ OPT_CHECK, SENDS | MODE_RECV },
	{ OPT_NO_CHECK, SENDS | MODE_RECV },
	{ OPT_UNTIL_END, MODE_RECV },
	{ OPT_IDLE, MODE_RECV | MODE_PONG },
	{ OPT_NO_ANNOUNCE, RECEIVES | MODE_PONG },
	{ OPT_INTERVAL, MODE_PING },
	{ OPT_TIMEOUT, MODE_PING },
	{ OPT_THREADS, MODE_EMBEDDED },
	{ OPT_MODULE, MODE_EMBEDDED },
	{ OPT_EXPECT_LOSSLESS, RECEIVES | MODE_PING },
};

static const struct {
	const char *name;
	enum gen_mode mode;
} modes[] = {
	{ "send", MODE_SEND },	       { "recv", MODE_RECV },
	{ "ping", MODE_PING },	       { "pong", MODE_PONG },
	{ "embedded", MODE_EMBEDDED },
};

uint32_t opts_seg_max(uint32_t buf_size)
{
	return buf_size < SEG_MAX ? buf_size : SEG_MAX;
}

static const char *opt_name(int opt)
{
	for (const struct option *o = long_options; o->name; o++)
		if (o->val == opt)
			return o->name;
	return "?";
}

static int number(const char *text, uint64_t min, uint64_t max, unsigned *to,
		  struct glen_error *error)
{
	uint64_t v;
	int r = parse_number(text, min, max, &v, error);

	if (!r)
		*to = (unsigned)v;
	return r;
}

static int one_of(const char *text, const char *const *names,
		  const char **value, struct glen_error *error)
{
	for (; *names; names++) {
		if (!strcmp(text, *names)) {
			*value = *names;
			return 0;
		}
	}
	return error_set(error, -EINVAL, "'%s' is not one of the choices",
			 text);
}

/* Options about the port. 1: not one of them. */
static int set_port_option(struct gen_opts *o, int opt, const char *arg,
			   struct glen_error *error)
{
	uint64_t ns;
	int r = 0;

	switch (opt) {
	case OPT_SOCKET:
		o->config.socket = arg;
		return 0;
	case OPT_WAIT:
		r = parse_time(arg, &ns, error);
		if (!r)
			o->config.connect_timeout_ms = (int)(ns / 1000000);
		return r;
	case OPT_RINGS:
		return number(arg, 1, GLEN_RINGS_MAX, &o->config.rings, error);
	case OPT_SLOTS:
		return number(arg, GLEN_SLOTS_MIN, GLEN_SLOTS_MAX,
			      &o->config.slots, error);
	case OPT_BUF_SIZE:
		r = number(arg, GLEN_BUF_MIN, GLEN_BUF_MAX, &o->config.buf_size,
			   error);
		if (!r && o->config.buf_size % 64)
			r = error_set(error, -EINVAL,
				      "%s is not a multiple of 64", arg);
		return r;
	case OPT_VNET_HDR:
		r = number(arg, 0, 12, &o->config.vnet_hdr_len, error);
		if (!r && o->config.vnet_hdr_len % 12 &&
		    o->config.vnet_hdr_len != 10)
			r = error_set(error, -EINVAL, "%s is not 0, 10 or 12",
				      arg);
		o->spec.vnet_len = o->config.vnet_hdr_len;
		return r;
	case OPT_ISOLATED:
		o->config.isolated = true;
		return 0;
	case OPT_REGION:
		o->config.region = arg;
		return 0;
	case OPT_REGION_TOKEN:
		o->config.region_token = arg;
		return 0;
	case OPT_SWAP:
		o->config.swap = true;
		return 0;
	}
	return 1;
}

/* Options about what frames look like. 1: not one of them. */
static int set_frame_option(struct gen_opts *o, int opt, const char *arg,
			    struct glen_error *error)
{
	unsigned v;
	int r;

	switch (opt) {
	case OPT_SIZE:
		return parse_sizes(arg, &o->sizes, error);
	case OPT_FLOWS:
		return number(arg, 1, FLOWS_MAX, &o->flows, error);
	case OPT_FIRST_FLOW:
		return number(arg, 0, FLOWS_MAX - 1, &o->first_flow, error);
	case OPT_SRC_MAC:
		return parse_mac(arg, o->spec.src, error);
	case OPT_DST_MAC:
		return parse_mac(arg, o->spec.dst, error);
	case OPT_VLAN:
		r = number(arg, 0, 4094, &v, error);
		if (!r)
			o->spec.vlan = (int)v;
		return r;
	case OPT_UDP:
		o->spec.udp = true;
		return 0;
	case OPT_SRC_IP:
		return parse_ip(arg, &o->spec.src_ip, error);
	case OPT_DST_IP:
		return parse_ip(arg, &o->spec.dst_ip, error);
	case OPT_CHECK:
		o->check = true;
		return 0;
	case OPT_NO_CHECK:
		o->check = false;
		return 0;
	}
	return 1;
}

/* Options about pace, place and end of a run. 1: not one of them. */
static int set_run_option(struct gen_opts *o, int opt, const char *arg,
			  struct glen_error *error)
{
	static const char *const module_names[] = { "learn", "static", NULL };
	unsigned v;
	int r;

	switch (opt) {
	case OPT_COUNT:
		return parse_number(arg, 1, UINT64_MAX, &o->count, error);
	case OPT_TIME:
		return parse_time(arg, &o->time, error);
	case OPT_IDLE:
		return parse_time(arg, &o->idle, error);
	case OPT_UNTIL_END:
		o->until_end = true;
		return 0;
	case OPT_RATE:
		return parse_rate(arg, &o->rate, error);
	case OPT_BATCH:
		return number(arg, 1, BATCH_LIMIT, &o->batch, error);
	case OPT_BURST:
		return number(arg, 1, 1 << 20, &o->burst, error);
	case OPT_INTERVAL:
		return parse_time(arg, &o->interval, error);
	case OPT_TIMEOUT:
		return parse_time(arg, &o->timeout, error);
	case OPT_BUSY:
		o->busy = true;
		return 0;
	case OPT_CPU:
		r = number(arg, 0, 1023, &v, error);
		if (!r)
			o->cpu = (int)v;
		return r;
	case OPT_THREADS:
		return number(arg, 1, 2, &o->threads, error);
	case OPT_MODULE:
		return one_of(arg, module_names, &o->module, error);
	}
	return 1;
}

static int set_report_option(struct gen_opts *o, int opt, const char *arg,
			     struct glen_error *error)
{
	switch (opt) {
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	case OPT_EVERY:
		return parse_time(arg, &o->every, error);
	case OPT_EXPECT_LOSSLESS:
		o->expect_lossless = true;
		return 0;
	case OPT_NO_ANNOUNCE:
		o->announce = false;
		return 0;
	}
	return error_set(error, -EINVAL, "the option is not handled");
}

static int check_mode(const struct gen_opts *o, int opt,
		      struct glen_error *error)
{
	for (unsigned i = 0; i < sizeof(only_in) / sizeof(*only_in); i++)
		if ((int)only_in[i].opt == opt && !(only_in[i].modes & o->mode))
			return error_set(error, -EINVAL,
					 "the option means nothing in this "
					 "mode (see glen-gen --help)");
	return 0;
}

static int set_option(struct gen_opts *o, int opt, const char *arg,
		      struct glen_error *error)
{
	int r = check_mode(o, opt, error);

	if (!r)
		r = set_port_option(o, opt, arg, error);
	if (r == 1)
		r = set_frame_option(o, opt, arg, error);
	if (r == 1)
		r = set_run_option(o, opt, arg, error);
	if (r == 1)
		r = set_report_option(o, opt, arg, error);
	return r;
}

static void set_defaults(struct gen_opts *o)
{
	static const uint8_t sender[6] = { 0x02, 0x67, 0x6c, 0x10, 0, 0 };
	static const uint8_t receiver[6] = { 0x02, 0x67, 0x6c, 0x20, 0, 0 };
	bool answers = o->mode == MODE_RECV || o->mode == MODE_PONG;
	struct glen_error ignored;

	memcpy(o->spec.src, answers ? receiver : sender, 6);
	memcpy(o->spec.dst, answers ? sender : receiver, 6);
	o->spec.vlan = -1;
	o->spec.src_ip = 0x0a670001; /* 10.103.0.1 */
	o->spec.dst_ip = 0x0a670101;
	parse_sizes("60", &o->sizes, &ignored);
	o->check = true;
	o->batch = DEFAULT_BATCH;
	o->timeout = 1000000000;
	o->cpu = -1;
	o->threads = 1;
	o->module = "learn";
	o->announce = true;
}

/* Fits sizes, buffers and slots together. */
static int check_frames(struct gen_opts *o, struct glen_error *error)
{
	uint32_t buf = o->config.buf_size ? o->config.buf_size : DEFAULT_BUF;
	uint32_t slots = o->config.slots ? o->config.slots : DEFAULT_SLOTS;
	uint32_t seg = opts_seg_max(buf);
	uint32_t longest = o->sizes.max + o->spec.vnet_len;
	uint32_t chain = (longest + seg - 1) / seg;
	bool carries = o->mode == MODE_PING || ((o->mode & SENDS) && o->check);
	unsigned min = frame_checked_min(&o->spec);

	if (carries && o->sizes.min < min)
		return error_set(error, -EINVAL,
				 "--size %u is too short for checked packets "
				 "of this kind: they need at least %u bytes "
				 "(or use --no-check)",
				 o->sizes.min, min);
	if ((o->mode & (SENDS | MODE_PING)) && chain > NETMAP_MAX_FRAGS)
		return error_set(error, -EINVAL,
				 "--size %u takes %u buffers of %u bytes, but "
				 "a packet may have %u: use a larger "
				 "--buf-size",
				 o->sizes.max, chain, buf, NETMAP_MAX_FRAGS);
	if ((o->mode & (SENDS | MODE_PING)) && chain >= slots)
		return error_set(error, -EINVAL,
				 "--size %u takes %u slots of a ring of %u: "
				 "use more --slots or a larger --buf-size",
				 o->sizes.max, chain, slots);
	return 0;
}

static int check_all(struct gen_opts *o, struct glen_error *error)
{
	unsigned rings = o->config.rings ? o->config.rings : 1;

	if (!o->flows)
		o->flows = rings;
	if ((o->mode & SENDS) && o->flows < rings)
		return error_set(error, -EINVAL,
				 "--flows %u is less than --rings %u: a flow "
				 "stays on one ring to keep its order",
				 o->flows, rings);
	if (o->flows > FLOWS_MAX - o->first_flow)
		return error_set(error, -EINVAL,
				 "--first-flow and --flows together exceed %d",
				 FLOWS_MAX);
	if (o->until_end && !o->check)
		return error_set(error, -EINVAL,
				 "--until-end needs --check: end markers are "
				 "not looked for otherwise");
	if (o->mode == MODE_RECV && o->expect_lossless && !o->check)
		return error_set(error, -EINVAL,
				 "--expect-lossless needs --check");
	if (!o->burst)
		o->burst = o->batch;
	return check_frames(o, error);
}

static int set_mode(struct gen_opts *o, const char *name,
		    struct glen_error *error)
{
	for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (!strcmp(modes[i].name, name)) {
			o->mode = modes[i].mode;
			return 0;
		}
	}
	return error_set(error, -EINVAL,
			 "'%s' is not a mode: send, recv, ping, pong or "
			 "embedded",
			 name);
}

static enum opts_result usage_error(const char *what,
				    const struct glen_error *error)
{
	fprintf(stderr, "glen-gen: %s%s%s\n", what, *what ? ": " : "",
		error->text);
	fprintf(stderr, "Try 'glen-gen --help'.\n");
	return OPTS_ERROR;
}

static enum opts_result parse_rest(int argc, char **argv, struct gen_opts *o)
{
	struct glen_error error = { 0 };
	char what[64];
	int opt;

	while ((opt = getopt_long(argc, argv, "hq", long_options, NULL)) !=
	       -1) {
		if (opt == OPT_HELP || opt == 'h') {
			fputs(opts_help, stdout);
			return OPTS_DONE;
		}
		if (opt == '?')
			return OPTS_ERROR; /* getopt has said it */
		if (opt == 'q')
			opt = OPT_QUIET;
		if (set_option(o, opt, optarg, &error)) {
			snprintf(what, sizeof(what), "--%s", opt_name(opt));
			return usage_error(what, &error);
		}
	}
	if (o->mode != MODE_EMBEDDED) {
		if (optind >= argc) {
			error_set(&error, -EINVAL,
				  "which port? (like glen-gen send vale0:a)");
			return usage_error("", &error);
		}
		o->port = argv[optind++];
	}
	if (optind < argc) {
		error_set(&error, -EINVAL, "unexpected argument '%s'",
			  argv[optind]);
		return usage_error("", &error);
	}
	if (check_all(o, &error))
		return usage_error("", &error);
	return OPTS_RUN;
}

enum opts_result opts_parse(int argc, char **argv, struct gen_opts *o)
{
	struct glen_error error = { 0 };

	memset(o, 0, sizeof(*o));
	if (argc < 2) {
		error_set(&error, -EINVAL,
			  "which mode? send, recv, ping, pong or embedded");
		return usage_error("", &error);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		fputs(opts_help, stdout);
		return OPTS_DONE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("glen-gen %d.%d\n", GLEN_VERSION_MAJOR,
		       GLEN_VERSION_MINOR);
		return OPTS_DONE;
	}
	if (set_mode(o, argv[1], &error))
		return usage_error("", &error);
	set_defaults(o);
	argv[1] = argv[0]; /* getopt takes it for the program's name */
	return parse_rest(argc - 1, argv + 1, o);
}
