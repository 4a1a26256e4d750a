/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_ports.h - two vhost-user ports on a bridge, and front ends for them. */
#ifndef TESTS_UNIT_VHOST_PORTS_H
#define TESTS_UNIT_VHOST_PORTS_H
/*
 * A thread is the control thread and runs the loop; tests take its lock when
 * they look into a port. Two ports on a learning bridge, "a" and "b"; the
 * frames are broadcast.
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/loop.h"
#include "port/vhost_user/session.h"
#include "vhost_fe.h"

enum { FRAME = 100, WAIT_MS = 5000, MEMORY = 32 << 20 };

static struct engine *engine;
static struct vswitch *sw;
static struct loop loop;
static pthread_t control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool stop;
static char folder[64], path_a[80], path_b[80];
static struct port *a, *b;
static struct fe fa, fb;
static _Alignas(64) uint8_t saved[PORT_SAVED_SIZE];
static char log_text[8192];

static inline void *run_control(void *arg)
{
	while (!stop) {
		struct pollfd p = { loop.fd, POLLIN, 0 };

		poll(&p, 1, 5);
		pthread_mutex_lock(&lock);
		loop_turn(&loop, 0);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static inline void on_log(void *arg, struct port *port, const char *text)
{
	size_t len = strlen(log_text);

	snprintf(log_text + len, sizeof(log_text) - len, "%s: %s\n", port->name,
		 text);
}

static inline struct port *open_port(const char *name, const char *path,
				     const char *options, bool resume,
				     void *state)
{
	char text[200];
	struct port_args args = { .resume = resume, .saved = state };
	struct glen_error error = { 0 };
	struct port *port = NULL;

	snprintf(text, sizeof(text), "{\"path\": \"%s\"%s%s}", path,
		 options ? ", " : "", options ? options : "");
	args.params = json_loads(text, 0, NULL);
	assert_non_null(args.params);
	pthread_mutex_lock(&lock);
	if (port_create(sw, name, "vhost-user", &args, &port, &error))
		fail_msg("%s", error.text);
	pthread_mutex_unlock(&lock);
	json_decref(args.params);
	return port;
}

static inline void close_port(struct port *port)
{
	pthread_mutex_lock(&lock);
	port_destroy(port);
	pthread_mutex_unlock(&lock);
}

static inline int setup(void **state)
{
	const struct engine_config config = { .n_workers = 1,
					      .loop = &loop,
					      .log = on_log };
	struct glen_error error;

	strcpy(folder, "/tmp/glen-unit-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path_a, sizeof(path_a), "%s/a", folder);
	snprintf(path_b, sizeof(path_b), "%s/b", folder);
	memset(saved, 0, sizeof(saved));
	log_text[0] = '\0';
	assert_int_equal(loop_init(&loop), 0);
	if (engine_create(&engine, &config, &error) ||
	    switch_create(engine, "sw", "learn", NULL, &sw, &error) ||
	    engine_start(engine, &error))
		fail_msg("%s", error.text);
	stop = false;
	assert_int_equal(pthread_create(&control, NULL, run_control, NULL), 0);
	a = open_port("a", path_a, NULL, false, saved);
	b = open_port("b", path_b, NULL, false, NULL);
	fe_init(&fa, NULL);
	fe_init(&fb, NULL);
	return 0;
}

static inline int teardown(void **state)
{
	fe_fini(&fa);
	fe_fini(&fb);
	stop = true;
	pthread_join(control, NULL);
	engine_destroy(engine);
	loop_fini(&loop);
	assert_int_equal(rmdir(folder), 0); /* the sockets are gone */
	return 0;
}

static inline void good(struct fe *fe, int err)
{
	if (err)
		fail_msg("%s (%d); %s", fe->error, err, log_text);
}

static inline void attach(struct fe *fe, enum fe_kind kind, uint64_t features,
			  unsigned pairs, const char *path)
{
	struct fe_config config = { .kind = kind,
				    .features = FE_FEATURES_PLAIN | features,
				    .pairs = pairs };

	good(fe, fe_attach(fe, &config, path));
	good(fe, fe_sync(fe));
}

static inline int64_t now_ms(void)
{
	return vhost_now_ms();
}

/* One frame from one to the other, number in its payload. */
static inline void send_one(struct fe *from, uint8_t number)
{
	uint8_t frame[FRAME] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				 2,    0,    0,	   0,	 0,    9 };

	frame[12] = 0x88;
	frame[13] = 0xb5;
	frame[20] = number;
	good(from, fe_send(fe_tx(from, 0), NULL, frame, sizeof(frame)));
}

static struct fe_packet packet;

/* The next frame in whichever queue the flow has been given, or false after a
 * while. */
static inline bool receive(struct fe *fe, int wait_ms)
{
	int64_t end = now_ms() + wait_ms;

	do {
		for (unsigned i = 0; i < fe->config.pairs; i++) {
			int n = fe_receive(fe_rx(fe, i), &packet);

			if (n < 0)
				fail_msg("%s", fe->error);
			if (n) {
				fe_fill(fe_rx(fe, i));
				return true;
			}
		}
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	} while (now_ms() < end);
	return false;
}

static inline void expect(struct fe *to, uint8_t number)
{
	if (!receive(to, WAIT_MS))
		fail_msg("frame %u is lost; %s", number, log_text);
	assert_int_equal(packet.len, FRAME);
	assert_int_equal(packet.data[20], number);
}

static inline void exchange(unsigned n)
{
	static uint8_t number;

	for (unsigned i = 0; i < n; i++) {
		send_one(&fa, ++number);
		expect(&fb, number);
		send_one(&fb, ++number);
		expect(&fa, number);
	}
}

/* A member of port.show, as text; "" if there is none. Overwritten. */
static inline const char *shown(struct port *port, const char *key)
{
	static char text[600];
	json_t *o, *value;

	pthread_mutex_lock(&lock);
	o = port_show(port);
	value = json_object_get(json_object_get(o, "vhost"), key);
	if (!value)
		value = json_object_get(o, key);
	text[0] = '\0';
	if (json_is_string(value))
		snprintf(text, sizeof(text), "%s", json_string_value(value));
	else if (value) {
		char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

		snprintf(text, sizeof(text), "%s", dump);
		free(dump);
	}
	json_decref(o);
	pthread_mutex_unlock(&lock);
	return text;
}

/* Waits until a member contains some text. */
static inline void wait_shown(struct port *port, const char *key,
			      const char *what)
{
	int64_t end = now_ms() + WAIT_MS;

	while (!strstr(shown(port, key), what)) {
		if (now_ms() > end)
			fail_msg("%s is %s instead of %s; %s", key,
				 shown(port, key), what, log_text);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
}

/* How many times the log says something. */
static inline unsigned logged(const char *what)
{
	unsigned n = 0;

	pthread_mutex_lock(&lock);
	for (const char *at = log_text; (at = strstr(at, what)); at++)
		n++;
	pthread_mutex_unlock(&lock);
	return n;
}

static inline unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/*
 * How many there are when nothing is under way. A thread's first malloc() looks
 * in /sys how many processors there are, and a connection in which something
 * was left unread is closed by another thread (core/discard.h): for a moment
 * there is one more.
 */
static inline unsigned least_fds(void)
{
	unsigned least = UINT32_MAX;

	for (unsigned i = 0; i < 50; i++) {
		unsigned n = count_fds();

		least = n < least ? n : least;
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
	return least;
}

/* Waits until so many are open again, as above. */
static inline void wait_fds(unsigned n)
{
	int64_t end = now_ms() + WAIT_MS;

	while (count_fds() != n) {
		if (now_ms() > end)
			fail_msg("%u descriptors instead of %u", count_fds(),
				 n);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
}

static inline unsigned count_maps(const char *what)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	while (fgets(line, sizeof(line), maps))
		n += strstr(line, what) != NULL;
	fclose(maps);
	return n;
}

#define PORTS_TEST(function) \
	cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif
