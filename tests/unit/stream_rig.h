/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_rig.h - a rig with an event loop, for ports with sockets. */
#ifndef TESTS_UNIT_STREAM_RIG_H
#define TESTS_UNIT_STREAM_RIG_H
/*
 * The switch of rig.h with port 0 "near", a dummy, and room for socket ports.
 * pump() runs the switch and the control loop once each; WAIT() does that
 * until a condition holds, and fails the test if it never does.
 */
#include "rig.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/socket.h"

enum { PATIENCE_NS = 20 * 1000000000LL };

static struct loop loop;
static struct port *near_port;
static char dir[] = "/tmp/glen-test-sock-XXXXXX";
static char path[64], other_path[64];

static inline void pump(void)
{
	rig_run();
	assert_int_equal(loop_turn(&loop, 0), 0);
}

#define WAIT(condition)                                            \
	do {                                                       \
		uint64_t until = worker_clock() + PATIENCE_NS;     \
		while (!(condition)) {                             \
			pump();                                    \
			if (worker_clock() > until)                \
				fail_msg("never: %s", #condition); \
		}                                                  \
	} while (0)

static inline int rig_group_setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/a", dir);
	snprintf(other_path, sizeof(other_path), "%s/b", dir);
	return 0;
}

static inline int rig_group_teardown(void **state)
{
	unlink(path);
	unlink(other_path);
	return rmdir(dir);
}

static inline void loop_rig_open(unsigned n_workers)
{
	struct engine_config config = { .n_workers = n_workers,
					.poll = n_workers == 1,
					.loop = &loop };

	assert_int_equal(loop_init(&loop), 0);
	rig_open(&config);
	near_port = rig_port("near", "{\"slots\": 4096}");
}

static inline int loop_rig_setup(void **state)
{
	loop_rig_open(1);
	return 0;
}

static inline int loop_rig_teardown(void **state)
{
	if (engine)
		rig_close();
	loop_fini(&loop);
	return 0;
}

#define LOOP_TEST(f) \
	cmocka_unit_test_setup_teardown(f, loop_rig_setup, loop_rig_teardown)

/* Opens port name with options given as a format of JSON text. */
static inline struct port *open_port(const char *name, const char *driver,
				     const char *format, ...)
{
	struct glen_error error;
	struct port *port = NULL;
	char params[512];
	va_list args;

	va_start(args, format);
	vsnprintf(params, sizeof(params), format, args);
	va_end(args);
	if (rig_try(name, driver, params, &port, &error))
		fail_msg("%s", error.text);
	return port;
}

/* Opening fails with this errno and a text that contains part. */
static inline void refuse_port(const char *driver, int err, const char *part,
			       const char *format, ...)
{
	struct glen_error error;
	struct port *port = NULL;
	char params[512];
	va_list args;

	va_start(args, format);
	vsnprintf(params, sizeof(params), format, args);
	va_end(args);
	assert_int_equal(rig_try("bad", driver, params, &port, &error), err);
	if (!strstr(error.text, part))
		fail_msg("\"%s\" does not contain \"%s\"", error.text, part);
}

/* What port show says: a number, a boolean as 0 or 1. */
static inline long shown(struct port *port, const char *key)
{
	json_t *object = port_show(port);
	json_t *value = json_object_get(object, key);
	long number = json_is_boolean(value) ? json_is_true(value) :
					       json_integer_value(value);

	assert_non_null(value);
	json_decref(object);
	return number;
}

static inline bool shows_text(struct port *port, const char *key,
			      const char *part)
{
	json_t *object = port_show(port);
	const char *text = json_string_value(json_object_get(object, key));
	bool found = text && strstr(text, part);

	json_decref(object);
	return found;
}

/* A socket of the test's, bound to at (NULL: not). Non-blocking. */
static inline int test_socket(int type, const char *at)
{
	struct glen_error error;
	struct socket_addr a;
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (!at)
		return fd;
	assert_int_equal(socket_addr_unix(&a, "path", at, &error), 0);
	assert_int_equal(bind(fd, &a.any, a.len), 0);
	return fd;
}

static inline int connect_to(int fd, const char *to)
{
	struct glen_error error;
	struct socket_addr a;

	assert_int_equal(socket_addr_unix(&a, "path", to, &error), 0);
	return connect(fd, &a.any, a.len) ? -errno : 0;
}

#endif
