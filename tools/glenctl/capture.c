// SPDX-License-Identifier: BSD-2-Clause
// capture.c - record what passes ports, with direction and drop reason.
#include <errno.h>
#include <getopt.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/packet.h"
#include "tools/glenctl/pcapng.h"
#include "tools/glenctl/reader.h"

const char capture_help[] =
	"Records what passes a port, or all ports of a switch: \"in\" from the\n"
	"port into the switch, \"out\" from the switch to the port. Packets that\n"
	"were dropped are recorded too, with the reason. Prints a line for each\n"
	"packet, or with -w writes pcapng for Wireshark: an interface per port,\n"
	"the direction in the packet's flags, the reason as its comment\n"
	"(\"dropped: out_no_room\"). Ends with ^C and then counts.\n"
	"The switch never waits for a capture: packets that find the buffer full\n"
	"are missed here, delivered all the same, and counted.\n"
	"FILTER is a libpcap expression (pcap-filter(7)).\n"
	"\nOptions:\n"
	"  -w, --write FILE    write pcapng; - is standard output\n"
	"  -c, --count N       end after N packets that pass the filter\n"
	"  -s, --snaplen N     at most N bytes of each packet (default: all)\n"
	"  -D, --drops         only packets that were dropped\n"
	"  -B, --buffer MIB    buffer per worker, 1 to 64 (default 4)\n"
	"  --json              a JSON object per packet, and one at the end\n"
	"\nExamples:\n"
	"  glenctl capture vale0:a                     look at one port\n"
	"  glenctl capture vale0 -D                    why do packets get lost\n"
	"  glenctl capture vale0 -w all.pcapng -s 128\n"
	"  glenctl capture vale0:a -w - tcp port 80 | wireshark -k -i -\n";

enum { FRAME_MAX = 262144 };

/* An interface of the pcapng file: a port by its name. */
struct interface {
	char name[CAPTURE_NAME_SIZE];
	uint64_t received, accepted;
};

struct session {
	struct ctl *ctl;
	/* Options. */
	const char *target;
	const char *file_name; /* NULL: lines */
	long count;	       /* 0: no end */
	long snaplen;	       /* 0: all */
	long buffer_mib;
	bool drops_only;
	char *filter_text; /* NULL: everything */
	/* While it runs. */
	struct bpf_program filter;
	struct reader reader;
	json_t *reasons; /* {"N": "name"} */
	FILE *file;
	struct interface *interfaces;
	unsigned n_interfaces;
	unsigned n_lines;	  /* lines of the port table seen */
	uint16_t *line_interface; /* by line; of line 0: plus 1, 0 = none */
	uint64_t captured, filtered, dropped;
	uint64_t start_ns;
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/*
 * Ports.
 */

static unsigned interface_of_name(struct session *s, const char *name)
{
	unsigned i;

	/* A port that went and came back has a new line and the old name. */
	for (i = 0; i < s->n_interfaces; i++)
		if (!strcmp(s->interfaces[i].name, name))
			return i;
	snprintf(s->interfaces[i].name, CAPTURE_NAME_SIZE, "%s", name);
	s->n_interfaces++;
	if (s->file_name)
		pcapng_interface(s->file, name,
				 s->snaplen ? s->snaplen : FRAME_MAX,
				 s->filter_text);
	return i;
}

/* Takes up lines that glend has added to the table of ports. */
static void find_new_ports(struct session *s)
{
	const char *name;

	while ((name = reader_port(&s->reader, s->n_lines)) != NULL) {
		s->line_interface[s->n_lines] = interface_of_name(s, name);
		s->n_lines++;
	}
}

/* The interface of a record; line 0 stands for all that have no line. */
static unsigned interface_of(struct session *s, unsigned line)
{
	if (line >= s->n_lines)
		find_new_ports(s);
	if (line && line < s->n_lines)
		return s->line_interface[line];
	if (!s->line_interface[0])
		s->line_interface[0] = interface_of_name(s, "switch:?") + 1;
	return s->line_interface[0] - 1;
}

static uint64_t interface_missed(const struct session *s, unsigned interface)
{
	uint64_t missed = 0;

	for (unsigned i = 1; i < s->n_lines; i++)
		if (s->line_interface[i] == interface)
			missed += reader_port_missed(&s->reader, i);
	if (s->line_interface[0] == interface + 1)
		missed += reader_port_missed(&s->reader, 0);
	return missed;
}

/*
 * Packets.
 */

static const char *reason_name(const struct session *s, unsigned reason)
{
	const char *name;
	char key[16];

	snprintf(key, sizeof(key), "%u", reason);
	name = json_string_value(json_object_get(s->reasons, key));
	return name ? name : "unknown reason";
}

static void write_pcapng(struct session *s, const struct capture_record *r,
			 const void *data, unsigned interface,
			 const char *reason)
{
	char comment[96];
	struct pcapng_packet p = {
		.interface = interface,
		.direction = r->kind == CAPTURE_IN ? PCAPNG_INBOUND :
						     PCAPNG_OUTBOUND,
		.time_ns = r->time_ns,
		.cap_len = r->cap_len,
		.wire_len = r->wire_len > r->cap_len ? r->wire_len : r->cap_len,
		.data = data,
	};

	if (reason) {
		snprintf(comment, sizeof(comment), "dropped: %s", reason);
		p.comment = comment;
	}
	pcapng_packet(s->file, &p);
}

static void write_json(struct session *s, const struct capture_record *r,
		       const void *data, const char *port, const char *reason)
{
	char *summary = NULL;
	size_t size;
	FILE *text = open_memstream(&summary, &size);
	json_t *o;

	if (text) {
		packet_print(text, data, r->cap_len, r->wire_len);
		fclose(text);
	}
	o = json_pack("{s:I, s:s, s:s, s:s?, s:I, s:I, s:s?}", "time_ns",
		      (json_int_t)r->time_ns, "port", port, "direction",
		      r->kind == CAPTURE_IN ? "in" : "out", "dropped", reason,
		      "length", (json_int_t)r->wire_len, "captured",
		      (json_int_t)r->cap_len, "summary", summary);
	json_dumpf(o, s->file, JSON_COMPACT);
	fputc('\n', s->file);
	json_decref(o);
	free(summary);
}

static void write_line(struct session *s, const struct capture_record *r,
		       const void *data, const char *port, const char *reason)
{
	time_t seconds = r->time_ns / 1000000000;
	struct tm tm;
	char text[16];

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	fprintf(s->file, "%s.%06u %s %-3s ", text,
		(unsigned)(r->time_ns % 1000000000 / 1000), port,
		r->kind == CAPTURE_IN ? "in" : "out");
	if (reason)
		fprintf(s->file, "[dropped: %s] ", reason);
	packet_print(s->file, data, r->cap_len, r->wire_len);
	fputc('\n', s->file);
}

static bool wanted(struct session *s, const struct capture_record *r,
		   const void *data)
{
	struct pcap_pkthdr header = { .caplen = r->cap_len,
				      .len = r->wire_len };

	if (s->drops_only && r->reason == CAPTURE_DELIVERED)
		return false;
	return !s->filter_text ||
	       pcap_offline_filter(&s->filter, &header, data);
}

static void handle(struct session *s, const struct capture_record *r)
{
	const void *data = r + 1;
	unsigned i = interface_of(s, r->port);
	struct interface *interface = &s->interfaces[i];
	const char *reason = NULL;

	interface->received++;
	if (!wanted(s, r, data)) {
		s->filtered++;
		return;
	}
	interface->accepted++;
	s->captured++;
	if (r->reason != CAPTURE_DELIVERED) {
		reason = reason_name(s, r->reason);
		s->dropped++;
	}
	if (s->file_name)
		write_pcapng(s, r, data, i, reason);
	else if (s->ctl->json)
		write_json(s, r, data, interface->name, reason);
	else
		write_line(s, r, data, interface->name, reason);
}

static bool is_full(const struct session *s)
{
	return s->count && s->captured >= (uint64_t)s->count;
}

/* Everything that lies in the rings now. */
static void drain(struct session *s)
{
	const struct capture_record *record;
	unsigned n = 0;

	reader_look(&s->reader);
	while (!is_full(s) && !ferror(s->file) &&
	       (record = reader_next(&s->reader)) != NULL) {
		handle(s, record);
		/* Room again early, while the workers go on. */
		if (++n % 256 == 0)
			reader_release(&s->reader);
	}
	reader_release(&s->reader);
	fflush(s->file);
}

/*
 * Begin and end.
 */

static int compile_filter(struct session *s)
{
	pcap_t *dead;
	int ret = 0;

	if (!s->filter_text)
		return 0;
	dead = pcap_open_dead(DLT_EN10MB, FRAME_MAX);
	if (!dead)
		return complain(EXIT_REFUSED, "out of memory");
	if (pcap_compile(dead, &s->filter, s->filter_text, 1,
			 PCAP_NETMASK_UNKNOWN))
		ret = bad_usage(s->ctl, "cannot read the filter \"%s\": %s",
				s->filter_text, pcap_geterr(dead));
	pcap_close(dead);
	return ret;
}

static int open_file(struct session *s)
{
	s->file = stdout;
	if (!s->file_name)
		return 0;
	if (!strcmp(s->file_name, "-")) {
		print_errors_as_json(false); /* packets go there */
		if (isatty(STDOUT_FILENO))
			return bad_usage(s->ctl,
					 "pcapng is not for a "
					 "terminal; use -w FILE or a pipe");
	} else {
		s->file = fopen(s->file_name, "we");
	}
	if (!s->file)
		return complain(EXIT_REFUSED, "cannot write %s: %s",
				s->file_name, strerror(errno));
	pcapng_section(s->file, "glenctl " GLEN_VERSION);
	return 0;
}

static int start(struct session *s)
{
	json_t *params = json_object(), *result;
	int fds[2], ret;
	unsigned n;

	json_object_set_new(params, is_port_name(s->target) ? "port" : "switch",
			    json_string(s->target));
	if (s->snaplen)
		json_object_set_new(params, "snaplen",
				    json_integer(s->snaplen));
	if (s->buffer_mib)
		json_object_set_new(params, "ring_bytes",
				    json_integer((json_int_t)s->buffer_mib
						 << 20));
	ret = call(s->ctl, "capture.start", params, CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	n = rpc_take_fds(&s->ctl->rpc, fds, 2);
	s->reasons = json_incref(json_object_get(result, "reasons"));
	s->start_ns = now_ns();
	if (n == 2) {
		ret = reader_open(&s->reader, fds[0], fds[1],
				  get_u64(result, "rings"),
				  get_u64(result, "ring_bytes"));
	} else {
		while (n)
			close(fds[--n]);
		ret = -EPROTO;
	}
	json_decref(result);
	if (ret)
		return complain(EXIT_REFUSED,
				"cannot use the capture's "
				"memory: %s",
				strerror(-ret));
	return EXIT_OK;
}

/* Something came from glend while we captured: mostly its end. */
static int read_connection(struct session *s)
{
	struct glen_error error = { 0 };
	json_t *message;
	int ret = rpc_recv(&s->ctl->rpc, &message, 0, &error);

	if (!ret)
		json_decref(message);
	if (!ret || ret == -ETIMEDOUT)
		return EXIT_OK;
	return complain(EXIT_UNREACHABLE,
			"glend has gone, the capture ends "
			"here: %s",
			error.text);
}

static int loop(struct session *s)
{
	int ret = EXIT_OK;
	bool last = false;

	while (!last) {
		/* What came before the reason to end is still taken. */
		last = stopped;
		if (reader_ended(&s->reader)) {
			ret = complain(EXIT_REFUSED,
				       "the switch of %s is "
				       "gone, the capture ends here",
				       s->target);
			last = true;
		}
		find_new_ports(s);
		drain(s);
		if (s->reader.broken)
			return complain(EXIT_REFUSED,
					"the capture's memory "
					"makes no sense; is glenctl as new as "
					"glend?");
		if (is_full(s) || ferror(s->file))
			break;
		if (!last && reader_wait(&s->reader, s->ctl->rpc.fd, 100) &&
		    (ret = read_connection(s)) != EXIT_OK)
			stopped = 1;
	}
	return ret;
}

static void write_stats(struct session *s)
{
	uint64_t end_ns = now_ns();

	/* Losses of ports that were never seen must not vanish. */
	if (reader_port_missed(&s->reader, 0))
		(void)interface_of(s, 0);
	for (unsigned i = 0; i < s->n_interfaces; i++) {
		struct pcapng_stats stats = {
			.interface = i,
			.start_ns = s->start_ns,
			.end_ns = end_ns,
			.received = s->interfaces[i].received,
			.missed = interface_missed(s, i),
			.accepted = s->interfaces[i].accepted,
		};

		pcapng_stats(s->file, &stats);
	}
	fflush(s->file);
}

static void report(const struct session *s)
{
	uint64_t missed = reader_missed(&s->reader);
	/* Standard output may be the pcapng stream. */
	FILE *to = s->file_name && !strcmp(s->file_name, "-") ? stderr : stdout;

	if (s->ctl->json) {
		json_t *o = json_pack("{s:I, s:I, s:I, s:I}", "captured",
				      (json_int_t)s->captured, "dropped",
				      (json_int_t)s->dropped, "filtered",
				      (json_int_t)s->filtered, "missed",
				      (json_int_t)missed);

		json_dumpf(o, to, JSON_COMPACT);
		fputc('\n', to);
		json_decref(o);
		return;
	}
	fprintf(stderr,
		"%llu packets captured, %llu of them dropped by the switch\n"
		"%llu packets did not pass the filter\n"
		"%llu packets missed by the capture%s\n",
		(unsigned long long)s->captured, (unsigned long long)s->dropped,
		(unsigned long long)s->filtered, (unsigned long long)missed,
		missed ? " (try -s 128, -B 64)" : "");
}

static int finish(struct session *s, int ret)
{
	bool failed, to_stdout = s->file == stdout;

	if (s->file_name)
		write_stats(s);
	failed = ferror(s->file);
	if (!to_stdout)
		failed |= fclose(s->file) != 0;
	else
		clearerr(stdout); /* said here, not once more in main() */
	s->file = NULL;
	report(s);
	/* A reader such as "| head" may leave whenever it likes. */
	if (failed && !ret && !(to_stdout && stdout_left()))
		ret = complain(EXIT_REFUSED,
			       "cannot write all of %s: is the "
			       "disk full?",
			       to_stdout ? "the output" : s->file_name);
	return ret;
}

/*
 * The command line.
 */

/* The remaining words as one expression; NULL if there are none. */
static char *join(char **words)
{
	char *text = NULL;
	size_t size;
	FILE *file;

	if (!*words)
		return NULL;
	file = open_memstream(&text, &size);
	if (!file)
		return NULL;
	for (; *words; words++)
		fprintf(file, "%s%s", *words, words[1] ? " " : "");
	fclose(file);
	return text;
}

static int parse_options(struct session *s, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "write", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'c' },
		{ "snaplen", required_argument, NULL, 's' },
		{ "drops", no_argument, NULL, 'D' },
		{ "buffer", required_argument, NULL, 'B' },
		{ 0 },
	};
	const struct ctl *ctl = s->ctl;
	int c, ret = 0;

	opterr = 0;
	while (!ret &&
	       (c = getopt_long(argc, argv, "w:c:s:DB:", longs, NULL)) != -1) {
		if (c == 'w')
			s->file_name = optarg;
		else if (c == 'c')
			ret = parse_long(ctl, "-c", optarg, 1, 1L << 62,
					 &s->count);
		else if (c == 's')
			ret = parse_long(ctl, "-s", optarg, 1, FRAME_MAX,
					 &s->snaplen);
		else if (c == 'D')
			s->drops_only = true;
		else if (c == 'B')
			ret = parse_long(ctl, "-B", optarg, 1, 64,
					 &s->buffer_mib);
		else
			return bad_option(ctl, argv);
	}
	if (!ret)
		ret = check_args(ctl, argc - optind + 1, 1, -1);
	if (ret)
		return ret;
	s->target = argv[optind];
	s->filter_text = join(argv + optind + 1);
	return compile_filter(s);
}

static int run(struct session *s)
{
	struct sigaction action = { .sa_handler = on_signal };
	int ret;

	s->interfaces = calloc(CAPTURE_PORTS + 1, sizeof(*s->interfaces));
	s->line_interface = calloc(CAPTURE_PORTS, sizeof(uint16_t));
	if (!s->interfaces || !s->line_interface)
		return complain(EXIT_REFUSED, "out of memory");
	s->n_lines = 1;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	/* In this order: a refusal must not cost an older file. */
	ret = start(s);
	if (!ret)
		ret = open_file(s);
	if (ret)
		return ret;
	find_new_ports(s);
	fprintf(stderr, "glenctl: capturing on %s; ^C ends\n", s->target);
	return finish(s, loop(s));
}

int capture_run(struct ctl *ctl, int argc, char **argv)
{
	struct session s = { .ctl = ctl, .reader = { .wake_fd = -1 } };
	int ret = parse_options(&s, argc, argv);

	if (!ret)
		ret = run(&s);
	if (s.file && s.file != stdout)
		fclose(s.file);
	reader_close(&s.reader);
	json_decref(s.reasons);
	pcap_freecode(&s.filter);
	free(s.filter_text);
	free(s.interfaces);
	free(s.line_interface);
	return ret;
}
