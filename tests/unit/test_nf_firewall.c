// SPDX-License-Identifier: BSD-2-Clause
// test_nf_firewall.c - the firewall embedded: packets in, verdicts out.
#include "unit.h"

#include <sys/random.h>
#include <unistd.h>

#include "firewall_packet.h"
#include "nf/firewall/instance.h"
#include "nf_rig.h"

enum { QUEUE = 64 };

static struct fp queue[QUEUE];
static unsigned n_queue, n_caught, n_heard;
static int chain, lan;
static char heard[60001], path[] = "/tmp/glen-firewall-XXXXXX";
static struct glen_nf *firewall;
static struct glen_nf_thread *listener_thread;

static int feed_start(struct glen_nf *nf, const struct glen_nf_args *args,
		      struct glen_error *error)
{
	chain = glen_nf_chain(nf, "c");
	lan = glen_nf_port(nf, "lan");
	return chain < 0 ? chain : 0;
}

static bool feed_turn(struct glen_nf_thread *t)
{
	struct glen_nf_packet p[QUEUE];
	unsigned n = n_queue;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(glen_nf_alloc(t, queue[i].len, &p[i]), 0);
		memcpy(p[i].data, queue[i].data, queue[i].len);
		p[i].in = (uint16_t)lan;
		p[i].hash = 1;
		p[i].verdict = glen_nf_to_chain((unsigned)chain);
	}
	assert_int_equal(glen_nf_send(t, p, n), n);
	n_queue = 0;
	return n > 0;
}

static const struct glen_nf_program feed = {
	.size = sizeof(feed),
	.name = "feed",
	.start = feed_start,
	.packet = source_packet,
	.turn = feed_turn,
};

static uint32_t catch_packet(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	n_caught++;
	return glen_nf_drop(0);
}

static void hear(struct glen_nf_thread *t, const char *from, const void *data,
		 size_t len)
{
	assert_string_equal(from, "firewall.0");
	assert_in_range(len, 0, sizeof(heard) - 1);
	memcpy(heard, data, len);
	heard[len] = '\0';
	n_heard++;
}

static const struct glen_nf_program listener = {
	.size = sizeof(listener),
	.name = "listener",
	.reasons = sink_reasons,
	.packet = catch_packet,
	.message = hear,
};

static void write_rules(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* A group of feed, firewall and listener; more: further options, or NULL. */
static void begin(const char *rules, const char *a, const char *b)
{
	static const struct glen_nf_group_config config = { .bufs = 16384,
							    .pipe_slots = 128 };
	static const char *const services[] = { "firewall", "listener" };
	char file[64];
	const char *args[] = { file, a, a ? b : NULL, NULL };
	struct glen_nf_instance c = { .args = args };
	int fd;

	strcpy(path, "/tmp/glen-firewall-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	write_rules(rules);
	snprintf(file, sizeof(file), "rules=%s", path);
	n_queue = n_caught = n_heard = 0;
	rig_create(&config);
	rig_add(&feed, NULL);
	firewall = rig_add_as(&firewall_nf, &c);
	listener_thread = rig_add(&listener, NULL)->runners[0]->t;
	rig_chain("c", services, 2);
}

static void end(void)
{
	rig_check();
	rig_destroy();
	unlink(path);
}

static const struct nf_stats *stats(void)
{
	return &firewall->runners[0]->t->stats;
}

static void put(const struct fp *f)
{
	assert_in_range(n_queue, 0, QUEUE - 1);
	queue[n_queue++] = *f;
}

/* How many of those that were put come out. */
static unsigned run(void)
{
	unsigned before = n_caught;

	rig_settle();
	return n_caught - before;
}

static unsigned passes(struct fp f)
{
	put(fp_make(&f));
	return run();
}

static struct fp udp(unsigned from, unsigned client, unsigned server)
{
	return (struct fp){ .protocol = 17,
			    .from = from,
			    .port = { client, server } };
}

static struct fp tcp(unsigned from, unsigned flags)
{
	return (struct fp){ .protocol = 6,
			    .from = from,
			    .flags = flags,
			    .port = { 1000, 80 } };
}

static void stateless(void **state)
{
	struct fp tiny = { .len = 10 };

	begin("chain main {\n"
	      "  ip saddr 10.0.0.1 udp dport 53 accept\n"
	      "  udp dport 54 drop\n"
	      "  udp dport 55 reject\n"
	      "  iif lan udp dport 56 accept\n"
	      "  iif wan udp dport 57 accept\n"
	      "}\n",
	      "stateless", NULL);
	assert_int_equal(passes(udp(0, 1000, 53)), 1);
	assert_int_equal(passes(udp(1, 53, 1000)), 0); /* the other sends */
	assert_int_equal(passes(udp(0, 1000, 56)), 1);
	assert_int_equal(passes(udp(0, 1000, 57)), 0);
	assert_int_equal(stats()->reasons[FW_R_POLICY], 2);
	assert_int_equal(passes(udp(0, 1000, 54)), 0);
	assert_int_equal(stats()->reasons[FW_R_RULE], 1);
	assert_int_equal(passes(udp(0, 1000, 55)), 0);
	assert_int_equal(stats()->reasons[FW_R_NO_ANSWER], 1);
	put(&tiny);
	assert_int_equal(run(), 0);
	assert_int_equal(stats()->reasons[FW_R_SHORT], 1);
	assert_int_equal(stats()->counters[FW_C_ACCEPTED], 2);
	end();
}

static const char from_inside[] =
	"chain main {\n"
	"  ct state established,related accept\n"
	"  ct state invalid drop\n"
	"  ip saddr 10.0.0.1 tcp dport 80 accept\n"
	"  ip saddr 10.0.0.1 udp dport { 53, 1-9 } accept\n"
	"}\n";

static void answers_come_in(void **state)
{
	struct fp question = udp(0, 1000, 53), error = { .from = 1 };

	begin(from_inside, NULL, NULL);
	assert_int_equal(passes(udp(1, 1000, 53)), 0);
	assert_int_equal(passes(question), 1);
	assert_int_equal(passes(udp(1, 1000, 53)), 1);
	assert_int_equal(passes(udp(1, 1001, 53)), 0);
	put(fp_make_error(&error, fp_make(&question), 3));
	assert_int_equal(run(), 1);
	assert_int_equal(passes(tcp(1, FP_SYN)), 0);
	assert_int_equal(passes(tcp(0, FP_ACK)), 0);
	assert_int_equal(stats()->counters[FW_C_INVALID], 1);
	assert_int_equal(passes(tcp(0, FP_SYN)), 1);
	assert_int_equal(passes(tcp(1, FP_SYN | FP_ACK)), 1);
	assert_int_equal(passes(tcp(0, FP_ACK)), 1);
	assert_int_equal(stats()->counters[FW_C_NEW], 2);
	end();
}

/* What makes a connection and what is of it, between two turns. */
static void one_batch_is_in_order(void **state)
{
	struct fp p[] = { udp(1, 1000, 53), tcp(1, FP_SYN | FP_ACK),
			  tcp(0, FP_SYN),   tcp(1, FP_SYN | FP_ACK),
			  tcp(0, FP_ACK),   udp(0, 1000, 53),
			  udp(1, 1000, 53), tcp(1, FP_RST | FP_ACK),
			  tcp(0, FP_ACK) };

	begin(from_inside, NULL, NULL);
	for (unsigned i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		put(fp_make(&p[i]));
	/* All but the first two and what comes behind the reset. */
	assert_int_equal(run(), 6);
	assert_int_equal(stats()->in, 9);
	end();
}

static void a_full_table_refuses_new_ones(void **state)
{
	unsigned n = 0;

	begin(from_inside, "flows=4", NULL);
	for (unsigned i = 0; i < 20; i++)
		n += passes(udp(0, 2000 + i, 53));
	assert_int_equal(n, 8); /* a bucket */
	assert_int_equal(stats()->reasons[FW_R_TABLE_FULL], 12);
	assert_int_equal(passes(udp(1, 2000, 53)), 1);
	end();
}

static void ask(const char *text)
{
	unsigned before = n_heard;

	assert_int_equal(glen_nf_message(listener_thread, "firewall.0", text,
					 strlen(text)),
			 0);
	rig_settle();
	assert_int_equal(n_heard, before + 1);
}

static void reload_keeps_connections(void **state)
{
	begin(from_inside, NULL, NULL);
	assert_int_equal(passes(udp(0, 1000, 53)), 1);
	write_rules("chain main {\n ct state established accept\n}\n");
	ask("reload");
	assert_string_equal(heard, "reloaded: 1 rules, 1 entries, 1 passes");
	assert_int_equal(passes(udp(1, 1000, 53)), 1);
	assert_int_equal(passes(udp(0, 1001, 53)), 0); /* the new rules */
	write_rules("chain main {\n accept foo\n}\n");
	ask("reload");
	assert_non_null(strstr(heard, ":2:9: found 'foo', expected"));
	assert_non_null(strstr(heard, "the rules are as they were"));
	assert_int_equal(passes(udp(0, 1000, 53)), 1);
	/* A port that the start did not name. */
	write_rules("chain main {\n iif dmz accept\n}\n");
	ask("reload");
	assert_non_null(strstr(heard, "start it with port=dmz"));
	unlink(path);
	ask("reload");
	assert_non_null(strstr(heard, "cannot open"));
	assert_int_equal(stats()->counters[FW_C_RELOADS], 1);
	assert_int_equal(stats()->counters[FW_C_BAD_RELOADS], 3);
	end();
}

static void rules_are_counted(void **state)
{
	begin("chain main {\n"
	      "  udp dport 53 count comment \"names\"\n"
	      "  udp dport 50-60 accept\n"
	      "}\n",
	      "stateless", NULL);
	assert_int_equal(passes(udp(0, 1000, 53)), 1);
	assert_int_equal(passes(udp(0, 1000, 54)), 1);
	assert_int_equal(passes(udp(0, 1000, 61)), 0);
	ask("counters");
	assert_string_equal(heard, "0 line 2 packets 1 bytes 42 names\n"
				   "1 line 3 packets 2 bytes 84 \n"
				   "2 line 0 packets 1 bytes 42 policy\n");
	ask("counters 2");
	assert_string_equal(heard, "2 line 0 packets 1 bytes 42 policy\n");
	ask("counters x");
	assert_non_null(strstr(heard, "error: known are"));
	ask("foo");
	assert_non_null(strstr(heard, "error: known are"));
	end();
}

static void packets_are_logged(void **state)
{
	begin("chain main {\n"
	      "  udp dport 53 log \"dns: \" accept\n"
	      "  log\n"
	      "}\n",
	      "log=listener", "log-rate=3");
	assert_int_equal(passes(udp(0, 1000, 53)), 1);
	assert_string_equal(heard, "dns: accept line 2 in lan len 42 protocol "
				   "17 10.0.0.1 port 1000 > 10.0.0.2 port 53");
	assert_int_equal(passes(udp(0, 1000, 54)), 0);
	assert_string_equal(heard, "continue line 3 in lan len 42 protocol "
				   "17 10.0.0.1 port 1000 > 10.0.0.2 port 54");
	/* A batch is of one moment, so the rate shows. */
	for (unsigned i = 0; i < 20; i++) {
		struct fp f = udp(0, 1000, 55);

		put(fp_make(&f));
	}
	run();
	assert_int_equal(stats()->counters[FW_C_LOGGED] +
				 stats()->counters[FW_C_LOG_LOST],
			 22);
	assert_in_range(stats()->counters[FW_C_LOGGED], 3, 5);
	end();
}

static void options_are_checked(void **state)
{
	static const char *const bad[][2] = {
		{ NULL, "rules=FILE is needed" },
		{ "rules=/nonexistent", "cannot open /nonexistent" },
		{ "rules=/", "is no rule file" },
		{ "flows=0", "flows: '0' is no number from 1 to" },
		{ "tcp-timeout=-1", "tcp-timeout: '-1' is no number" },
		{ "port=a:b", "port: 'a:b' can be no port's name" },
	};

	begin(from_inside, NULL, NULL);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char file[64];
		const char *args[] = { bad[i][0], i > 2 ? file : NULL, NULL };
		struct glen_nf_instance c = { .args = args };
		struct glen_error error = { 0 };

		snprintf(file, sizeof(file), "rules=%s", path);
		assert_true(glen_nf_add(rig.group, NULL, &firewall_nf, &c,
					&error) < 0);
		if (!strstr(error.text, bad[i][1]))
			fail_msg("%s", error.text);
	}
	end();
}

/* Anything may come; all of it is accounted, and nothing else is read. */
static void hostile_packets(void **state)
{
	uint64_t seed;

	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	print_message("# seed %#llx\n", (unsigned long long)seed);
	begin("chain main {\n"
	      "  policy reject\n"
	      "  ct state established accept\n"
	      "  ct state new ip daddr 10.0.0.2 count log\n"
	      "  malformed log drop\n"
	      "  udp dport 53 accept\n"
	      "  ct state related,new count jump more\n"
	      "}\n"
	      "chain more { protocol tcp reject; protocol icmp accept }\n",
	      "port=lan", "reject-rate=1000000");
	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned k = 0; k < QUEUE; k++) {
			static const unsigned protocols[] = { 6, 17, 1, 58 };
			struct fp f = { .from = k & 1,
					.v6 = k >> 1 & 1,
					.protocol = protocols[k >> 2 & 3],
					.type = k & 2 ? 8 : 3,
					.flags = k >> 3,
					.port = { 53, 53 } };

			fp_make(&f);
			for (unsigned n = k % 7; n; n--) {
				seed = seed * 6364136223846793005ULL + 1;
				f.data[12 + (seed >> 33) % 70] ^= seed >> 50;
			}
			if (k % 5 == 0)
				f.len = 1 + (seed >> 40) % f.len;
			put(&f);
		}
		run();
	}
	assert_int_equal(stats()->in, 1000 * QUEUE);
	assert_true(stats()->counters[FW_C_REJECTED] > 0);
	assert_true(stats()->counters[FW_C_NEW] > 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stateless),
		cmocka_unit_test(answers_come_in),
		cmocka_unit_test(one_batch_is_in_order),
		cmocka_unit_test(a_full_table_refuses_new_ones),
		cmocka_unit_test(reload_keeps_connections),
		cmocka_unit_test(rules_are_counted),
		cmocka_unit_test(packets_are_logged),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(hostile_packets),
	};

	return cmocka_run_group_tests_name("nf_firewall", tests, NULL, NULL);
}
