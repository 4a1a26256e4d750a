// SPDX-License-Identifier: BSD-2-Clause
// test_link.c - attach, notice a dead daemon, resume, be told to go away.
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <time.h>

#include "fake_glend.h"
#include "fake_switch.h"

enum {
	HANG_MS = 10000,
	DEATHS = 20,	  /* in a row */
	RESUME_MS = 1000, /* the longest a client may take to resume, but for
			   * delayed_ms() */
	AWAY_MS = 30,	  /* how long a dead daemon does not listen */
};

static const char token[] = "0123456789abcdef0123456789abcdef";

/* The daemon under test: control connection and rings. */
static struct glend d;
static struct fake f;
static pthread_t thread;
static const char *config_wrong; /* what port.open's parameters lacked */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/*
 * Milliseconds that our threads were ready but did not run: how busy the
 * machine is decides no test.
 */
static int64_t delayed_ms(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned long long ran, waited, sum = 0;
	struct dirent *task;
	char path[300];
	FILE *file;

	while ((task = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat",
			 task->d_name);
		file = fopen(path, "r");
		if (file && fscanf(file, "%llu %llu", &ran, &waited) == 2)
			sum += waited;
		if (file)
			fclose(file);
	}
	closedir(dir);
	return (int64_t)(sum / 1000000);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static json_t *port_object(void)
{
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "port", "s:p",
			 "token", token, "rings", (int)f.l.rings, "slots",
			 (int)f.l.slots, "buf_size", (int)f.l.buf_size,
			 "extra_bufs", (int)f.l.extra_bufs, "vnet_hdr_len", 0);
}

/* Accepts a client and answers its port.open. */
static const char *serve_open(void)
{
	const int fds[] = { f.window_fd, f.bufs_fd, f.kick_fd, f.call_fd };
	const char *bad = glend_accept(&d);

	if (!bad)
		bad = glend_read(&d);
	if (!bad && strcmp(glend_method(&d), "port.open"))
		bad = "the first request is not port.open";
	if (!bad)
		glend_answer(&d, port_object(), fds, 4);
	return bad;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Accepts a client and checks its port.resume, without answering. */
static const char *await_resume(void)
{
	const char *bad = glend_accept(&d), *text;

	if (!bad)
		bad = glend_read(&d);
	if (bad)
		return bad;
	if (strcmp(glend_method(&d), "port.resume"))
		return "the request is not port.resume";
	text = json_string_value(json_object_get(glend_params(&d), "token"));
	if (!text || strcmp(text, token))
		return "the token is wrong";
	if (d.n_fds != 4 || !same_file(d.fds[0], f.window_fd) ||
	    !same_file(d.fds[1], f.bufs_fd) || !same_file(d.fds[3], f.call_fd))
		return "the descriptors are wrong";
	return NULL;
}

static const char *serve_resume(void)
{
	const char *bad = await_resume();

	if (!bad)
		glend_answer(&d, port_object(), NULL, 0);
	return bad;
}

/* Dies, stays away for a while and listens again. */
static void reincarnate(void)
{
	glend_kill(&d);
	usleep(AWAY_MS * 1000);
	glend_listen(&d);
}

static void *open_only(void *arg)
{
	return (void *)serve_open();
}

static struct glen_port *start(void *(*daemon)(void *arg), unsigned rings)
{
	struct glen_port_config c = { .socket = d.path, .slots = 16 };
	struct glen_error error = { 0 };
	struct glen_port *port;

	glend_init(&d);
	fake_init(&f, rings, 16, 2048, 0);
	pthread_create(&thread, NULL, daemon, NULL);
	if (glen_port_open(&port, "s:p", &c, &error))
		fail_msg("%s", error.text);
	return port;
}

static void join(void)
{
	void *complaint;

	pthread_join(thread, &complaint);
	if (complaint)
		fail_msg("%s", (char *)complaint);
}

static void stop(struct glen_port *port)
{
	join();
	glen_port_close(port);
	glend_fini(&d);
	fake_fini(&f);
}

static void *check_config(void *arg)
{
	const char *bad = serve_open();
	json_t *want = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:b, "
				 "s:s}",
				 "port", "s:p", "rings", 2, "slots", 64,
				 "buf_size", 512, "extra_bufs", 3,
				 "vnet_hdr_len", 12, "mtu", 1500, "isolated", 1,
				 "mac", "02:00:00:00:0a:ff");

	if (!bad && !json_equal(want, glend_params(&d)))
		config_wrong = "the parameters of port.open differ";
	json_decref(want);
	return (void *)bad;
}

static void passes_the_configuration(void **state)
{
	struct glen_port_config c = {
		.socket = d.path,
		.rings = 2,
		.slots = 64,
		.buf_size = 512,
		.extra_bufs = 3,
		.vnet_hdr_len = 12,
		.mtu = 1500,
		.isolated = true,
		.mac = { 2, 0, 0, 0, 10, 255 },
	};
	int before = count_fds();
	struct glen_port *port;

	glend_init(&d);
	fake_init(&f, 2, 64, 512, 3);
	pthread_create(&thread, NULL, check_config, NULL);
	assert_int_equal(glen_port_open(&port, "s:p", &c, NULL), 0);
	assert_int_equal(glen_port_rings(port), 2);
	assert_int_equal(glen_port_tx_ring(port, 0)->num_slots, 64);
	stop(port);
	assert_null(config_wrong);
	assert_int_equal(count_fds(), before);
}

static void *refuse(void *arg)
{
	const char *bad = glend_accept(&d);

	if (!bad)
		bad = glend_read(&d);
	if (!bad)
		glend_refuse(&d, -EBUSY, "port s:p is in use by pid 7");
	return (void *)bad;
}

static void passes_refusals_on(void **state)
{
	struct glen_port_config c = { .socket = d.path };
	struct glen_error error = { 0 };
	struct glen_port *port;
	int before = count_fds();

	glend_init(&d);
	pthread_create(&thread, NULL, refuse, NULL);
	assert_int_equal(glen_port_open(&port, "s:p", &c, &error), -EBUSY);
	assert_null(port);
	assert_string_equal(error.text, "port s:p is in use by pid 7");
	join();
	glend_fini(&d);
	assert_int_equal(glen_port_open(&port, "no-colon", &c, &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "no-colon"));
	assert_int_equal(glen_port_open(&port, "s:p", &c, &error), -ENOENT);
	assert_int_equal(count_fds(), before);
}

/* Opens a port whose daemon hands out these descriptors. */
static int bad_fds[4];
static unsigned n_bad_fds;

static void *serve_bad(void *arg)
{
	const char *bad = glend_accept(&d);

	if (!bad)
		bad = glend_read(&d);
	if (!bad)
		glend_answer(&d, port_object(), bad_fds, n_bad_fds);
	return (void *)bad;
}

static void refuses(const char *why)
{
	struct glen_port_config c = { .socket = d.path };
	struct glen_error error = { 0 };
	struct glen_port *port;
	int before;

	glend_init(&d);
	before = count_fds();
	pthread_create(&thread, NULL, serve_bad, NULL);
	assert_int_equal(glen_port_open(&port, "s:p", &c, &error), -EPROTO);
	assert_non_null(strstr(error.text, why));
	join();
	glend_hang_up(&d);
	assert_int_equal(count_fds(), before);
	glend_fini(&d);
}

static void examines_descriptors(void **state)
{
	int soft = memfd_create("soft", MFD_ALLOW_SEALING), tiny;
	char *map;

	fake_init(&f, 1, 16, 2048, 0);
	tiny = fake_memfd(LAYOUT_PAGE, &map);
	assert_int_equal(ftruncate(soft, (off_t)f.l.window_size), 0);
	memcpy(bad_fds, (int[]){ f.window_fd, f.bufs_fd, f.kick_fd, f.call_fd },
	       sizeof(bad_fds));
	n_bad_fds = 3;
	refuses("3 descriptors");
	n_bad_fds = 4;
	bad_fds[0] = soft;
	refuses("shrink");
	bad_fds[0] = tiny;
	refuses("4096 bytes");
	bad_fds[0] = f.window_fd;
	bad_fds[1] = tiny;
	refuses("buffers");
	munmap(map, LAYOUT_PAGE);
	close(soft);
	close(tiny);
	fake_fini(&f);
}

/* Dies DEATHS times; a packet follows each resurrection. */
static void *die_often(void *arg)
{
	const char *bad = serve_open();

	for (int i = 0; !bad && i < DEATHS; i++) {
		reincarnate();
		bad = serve_resume();
		if (bad)
			break;
		/* The client must have kicked, whatever it was asked. */
		for (int n = 0; !fake_kicks(&f) && !bad; n++) {
			usleep(1000);
			if (n == HANG_MS)
				bad = "no kick after resuming";
		}
		fake_fill(&f, 0, 0, &i, sizeof(i), 0);
		fake_publish(&f, 0, 1);
		/* Until it has been taken. */
		while (fake_room(&f, 0) != 15)
			usleep(500);
	}
	return (void *)bad;
}

/* Calls how() until packet i came; it must come in time. */
static void receive_one(struct glen_port *port, int i,
			void (*how)(struct glen_port *port))
{
	int64_t start = now_ms(), delayed = delayed_ms();
	struct glen_packet p;
	int n;

	while (!(n = glen_recv(port, 0, &p, 1))) {
		how(port);
		if (now_ms() - start > AWAY_MS + RESUME_MS)
			/* Less than nothing if several threads waited. */
			assert_true(now_ms() - start -
					    (delayed_ms() - delayed) <=
				    AWAY_MS + RESUME_MS);
	}
	assert_int_equal(n, 1);
	assert_memory_equal(p.data, &i, sizeof(i));
	glen_release(port, 0);
}

static void by_waiting(struct glen_port *port)
{
	assert_int_equal(glen_wait(port, GLEN_RX, HANG_MS), GLEN_RX);
}

static void by_waiting_for_a_ring(struct glen_port *port)
{
	assert_int_equal(glen_wait_ring(port, 0, GLEN_RX, HANG_MS), GLEN_RX);
}

static void by_busy_rxsync(struct glen_port *port)
{
	assert_int_equal(glen_rxsync(port, 0), 0);
}

static void by_busy_txsync(struct glen_port *port)
{
	assert_int_equal(glen_txsync(port, 0), 0);
}

static void by_poll(struct glen_port *port)
{
	struct pollfd p = { .fd = glen_port_fd(port), .events = POLLIN };

	if (!glen_arm(port, GLEN_RX))
		assert_int_equal(poll(&p, 1, HANG_MS), 1);
}

static void resumes(void (*how)(struct glen_port *port))
{
	int before = count_fds();
	struct glen_port *port = start(die_often, 1);

	for (int i = 0; i < DEATHS; i++)
		receive_one(port, i, how);
	assert_int_equal(glen_port_reconnects(port), DEATHS);
	stop(port);
	assert_int_equal(count_fds(), before);
}

static void resumes_from_wait(void **state)
{
	resumes(by_waiting);
}

static void resumes_from_wait_ring(void **state)
{
	resumes(by_waiting_for_a_ring);
}

static void resumes_from_rxsync(void **state)
{
	resumes(by_busy_rxsync);
}

static void resumes_from_txsync(void **state)
{
	resumes(by_busy_txsync);
}

static void resumes_from_poll(void **state)
{
	resumes(by_poll);
}

static _Atomic bool is_resumed;

/* What was sent while nobody was there is there for the next daemon. */
static void *die_and_look(void *arg)
{
	const char *bad = serve_open();

	if (!bad) {
		fake_arm(&f, 0);
		reincarnate();
		bad = serve_resume();
	}
	/* The new daemon happens to arm with the value of the old one. */
	f.arm--;
	fake_arm(&f, 0);
	while (!bad && (fake_pending(&f, 0) < 10 || !is_resumed))
		usleep(500);
	fake_kicks(&f);
	fake_take(&f, 0, 10);
	while (!bad && !fake_pending(&f, 0))
		usleep(500);
	/* The client kicks after it has published. */
	for (int n = 0; !bad && !fake_kicks(&f); n++) {
		usleep(1000);
		if (n == HANG_MS)
			bad = "the first packet after resuming did not kick";
	}
	return (void *)bad;
}

static void keeps_what_was_sent(void **state)
{
	struct glen_packet p = { (void *)"x", 1 };
	struct glen_port *port = start(die_and_look, 1);
	int sent = 0;
	int64_t end = now_ms() + HANG_MS;

	while (sent < 10 && now_ms() < end) {
		sent += glen_send(port, 0, &p, 1);
		usleep(1000);
		assert_int_equal(glen_txsync(port, 0), 0);
	}
	while (!glen_port_reconnects(port) && now_ms() < end)
		assert_int_equal(glen_txsync(port, 0), 0);
	is_resumed = true;
	while (nm_tx_pending(glen_port_tx_ring(port, 0)))
		assert_int_equal(glen_txsync(port, 0), 0);
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	stop(port);
}

static void *die_and_forget(void *arg)
{
	const char *bad = serve_open();

	if (!bad) {
		reincarnate();
		bad = await_resume();
	}
	if (!bad)
		glend_refuse(&d, -ENOENT, "there is no port s:p");
	return (void *)bad;
}

static void gives_up_when_unknown(void **state)
{
	struct glen_port *port = start(die_and_forget, 1);

	assert_int_equal(glen_wait(port, GLEN_RX, HANG_MS), -ENOTCONN);
	assert_non_null(strstr(glen_port_error(port), "there is no port s:p"));
	assert_int_equal(glen_txsync(port, 0), -ENOTCONN);
	stop(port);
}

static void *be_busy_first(void *arg)
{
	const char *bad = serve_open();

	if (!bad)
		reincarnate();
	for (int i = 0; !bad && i < 3; i++) {
		bad = await_resume();
		if (!bad)
			glend_refuse(&d, -EBUSY, "port s:p is in use");
		glend_hang_up(&d);
	}
	/* One that takes the request and dies without an answer. */
	if (!bad)
		bad = await_resume();
	glend_hang_up(&d);
	if (!bad)
		bad = serve_resume();
	return (void *)bad;
}

static void tries_again_when_busy(void **state)
{
	struct glen_port *port = start(be_busy_first, 1);
	int64_t end = now_ms() + HANG_MS;

	while (!glen_port_reconnects(port) && now_ms() < end)
		assert_int_equal(glen_wait(port, GLEN_RX, 50), 0);
	assert_int_equal(glen_port_reconnects(port), 1);
	stop(port);
}

static void *close_port(void *arg)
{
	const char *bad = serve_open();

	usleep(10000);
	if (!bad)
		glend_say(&d,
			  json_pack("{s:s, s:s, s:{s:s, s:s}}", "jsonrpc",
				    "2.0", "method", "port.closed", "params",
				    "port", "s:p", "reason", "a slot lies"),
			  NULL, 0);
	glend_hang_up(&d);
	return (void *)bad;
}

static void learns_why_it_was_closed(void **state)
{
	struct glen_port *port = start(close_port, 1);
	struct glen_packet p;

	assert_int_equal(glen_wait(port, GLEN_RX, HANG_MS), -ENOTCONN);
	assert_non_null(strstr(glen_port_error(port), "a slot lies"));
	assert_int_equal(glen_recv(port, 0, &p, 1), -ENOTCONN);
	assert_int_equal(glen_port_reconnects(port), 0);
	stop(port);
	/* The same without ever sleeping. */
	port = start(close_port, 1);
	while (!glen_rxsync(port, 0))
		;
	assert_non_null(strstr(glen_port_error(port), "a slot lies"));
	stop(port);
}

static void *count(void *arg)
{
	const char *bad = serve_open();

	if (!bad)
		bad = glend_read(&d);
	if (!bad && strcmp(glend_method(&d), "stats"))
		bad = "the request is not stats";
	if (!bad)
		glend_answer(
			&d,
			json_pack(
				"{s:[{s:s, s:{s:i, s:i, s:{s:i, s:i}}, s:{s:i, s:i, "
				"s:{}}}]}",
				"ports", "port", "s:p", "in", "packets", 10,
				"bytes", 600, "drops", "runt", 2, "mtu", 3,
				"out", "packets", 20, "bytes", 1200, "drops"),
			NULL, 0);
	return (void *)bad;
}

static void reads_counters(void **state)
{
	struct glen_port *port = start(count, 1);
	struct glen_port_stats s;

	assert_int_equal(glen_port_stats(port, &s), 0);
	assert_int_equal(s.in_packets, 10);
	assert_int_equal(s.in_bytes, 600);
	assert_int_equal(s.in_drops, 5);
	assert_int_equal(s.out_packets, 20);
	assert_int_equal(s.out_bytes, 1200);
	assert_int_equal(s.out_drops, 0);
	join();
	glend_hang_up(&d);
	assert_int_equal(glen_port_stats(port, &s), -EAGAIN);
	glen_port_close(port);
	glend_fini(&d);
	fake_fini(&f);
}

static _Atomic bool somebody_has_81;

/* Reads a tuple3.claim of n claims; of port 81 it has somebody else's. */
static const char *serve_claim(unsigned n)
{
	const char *bad = glend_read(&d);
	json_t *claims, *claim;
	bool taken = false;
	size_t i;

	if (bad)
		return bad;
	claims = json_object_get(glend_params(&d), "claims");
	if (strcmp(glend_method(&d), "tuple3.claim") ||
	    json_array_size(claims) != n)
		return "the request is not tuple3.claim, or of others";
	json_array_foreach(claims, i, claim)
		taken |= json_integer_value(json_object_get(claim, "port")) ==
				 81 &&
			 somebody_has_81;
	if (taken)
		glend_refuse(&d, -EADDRINUSE, "81 is claimed");
	else
		glend_answer(&d, json_pack("{s:O}", "claims", claims), NULL, 0);
	return NULL;
}

static void *claims_twice(void *arg)
{
	const char *bad = serve_open();

	bad = bad ?: serve_claim(3);
	if (bad)
		return (void *)bad;
	reincarnate();
	somebody_has_81 = true;
	bad = serve_resume();
	bad = bad ?: serve_claim(3);
	for (unsigned i = 0; i < 3 && !bad; i++)
		bad = serve_claim(1);
	return (void *)bad;
}

static void claims_are_made_again(void **state)
{
	struct glen_port *port = start(claims_twice, 1);
	struct glen_claim claims[3] = { 0 };

	for (unsigned i = 0; i < 3; i++)
		claims[i] = (struct glen_claim){ .family = AF_INET,
						 .ip = { 10, 0, 0, 1 },
						 .protocol = IPPROTO_UDP,
						 .port = 80 + i };
	assert_int_equal(glen_claim(port, claims, 3, NULL), 0);
	assert_int_equal(glen_port_claims(port), 3);
	while (!glen_port_reconnects(port))
		assert_int_equal(glen_rxsync(port, 0), 0);
	assert_int_equal(glen_port_claims(port), 2);
	join();
	glend_hang_up(&d);
	assert_int_equal(glen_claim(port, claims, 1, NULL), -EAGAIN);
	glen_port_close(port);
	glend_fini(&d);
	fake_fini(&f);
}

/* Several threads, each on a ring of its own, while the daemon dies. */
static void *wait_for_two(void *arg)
{
	struct glen_port *port = arg;
	static _Atomic unsigned next;
	unsigned ring = 1 + next++ % 3;

	while (glen_port_reconnects(port) < 2)
		if (ring == 3) {
			if (glen_txsync(port, ring))
				return "a sync failed";
		} else if (glen_wait_ring(port, ring, GLEN_RX, 20)) {
			return "a wait failed";
		}
	return NULL;
}

static void *die_twice(void *arg)
{
	const char *bad = serve_open();

	for (int i = 0; !bad && i < 2; i++) {
		reincarnate();
		bad = serve_resume();
	}
	return (void *)bad;
}

static void threads_resume_together(void **state)
{
	struct glen_port *port = start(die_twice, 4);
	pthread_t others[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&others[i], NULL, wait_for_two, port);
	while (glen_port_reconnects(port) < 2)
		assert_int_equal(glen_wait_ring(port, 0, GLEN_RX, 20), 0);
	for (int i = 0; i < 3; i++) {
		void *complaint;

		pthread_join(others[i], &complaint);
		if (complaint)
			fail_msg("%s", (char *)complaint);
	}
	stop(port);
}

static void closes_while_lost(void **state)
{
	int before = count_fds();
	struct glen_port *port = start(open_only, 1);

	join();
	glend_kill(&d);
	assert_int_equal(glen_wait(port, GLEN_RX, 50), 0);
	glen_port_close(port);
	glend_fini(&d);
	fake_fini(&f);
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_the_configuration),
		cmocka_unit_test(passes_refusals_on),
		cmocka_unit_test(examines_descriptors),
		cmocka_unit_test(resumes_from_wait),
		cmocka_unit_test(resumes_from_wait_ring),
		cmocka_unit_test(resumes_from_rxsync),
		cmocka_unit_test(resumes_from_txsync),
		cmocka_unit_test(resumes_from_poll),
		cmocka_unit_test(keeps_what_was_sent),
		cmocka_unit_test(gives_up_when_unknown),
		cmocka_unit_test(tries_again_when_busy),
		cmocka_unit_test(learns_why_it_was_closed),
		cmocka_unit_test(reads_counters),
		cmocka_unit_test(claims_are_made_again),
		cmocka_unit_test(threads_resume_together),
		cmocka_unit_test(closes_while_lost),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
