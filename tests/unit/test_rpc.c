// SPDX-License-Identifier: BSD-2-Clause
// test_rpc.c - the JSON-RPC client, against a fake daemon.
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "fake_glend.h"
#include "lib/rpc.h"

enum { PATIENCE_MS = 10000 };

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Runs a function as the daemon while the test is the client. */
static struct glend glend;
static pthread_t thread;

static void start(void *(*daemon)(void *arg))
{
	glend_init(&glend);
	pthread_create(&thread, NULL, daemon, &glend);
}

static void stop(void)
{
	void *complaint;

	pthread_join(thread, &complaint);
	glend_fini(&glend);
	if (complaint)
		fail_msg("%s", (char *)complaint);
}

static void *answers(void *arg)
{
	const char *bad = glend_accept(arg);
	struct glend *d = arg;

	if (!bad)
		bad = glend_read(d);
	if (!bad && strcmp(glend_method(d), "version"))
		bad = "wrong method";
	if (!bad && !json_is_object(glend_params(d)))
		bad = "params is no object";
	if (!bad)
		glend_answer(d, json_pack("{s:i}", "protocol", 1), NULL, 0);
	if (!bad)
		bad = glend_read(d);
	if (!bad)
		glend_refuse(d, -ENOSPC, "table full; make it bigger");
	if (!bad)
		bad = glend_read(d);
	if (!bad)
		glend_refuse(d, -32601, "no such method");
	return (void *)bad;
}

static void calls_and_errors(void **state)
{
	struct glen_error error = { 0 };
	json_t *result = NULL;
	struct rpc r;
	int before = count_fds();

	start(answers);
	assert_int_equal(rpc_open(&r, glend.path, 0, &error), 0);
	assert_int_equal(rpc_call(&r, "version", NULL, NULL, 0, &result,
				  PATIENCE_MS, &error),
			 0);
	assert_int_equal(json_integer_value(
				 json_object_get(result, "protocol")),
			 1);
	json_decref(result);
	result = NULL;
	assert_int_equal(rpc_call(&r, "x", json_object(), NULL, 0, &result,
				  PATIENCE_MS, &error),
			 -ENOSPC);
	assert_null(result);
	assert_string_equal(error.text, "table full; make it bigger");
	assert_int_equal(rpc_call(&r, "y", NULL, NULL, 0, NULL, PATIENCE_MS,
				  NULL),
			 -ENOSYS);
	stop();
	assert_int_equal(rpc_call(&r, "z", NULL, NULL, 0, NULL, PATIENCE_MS,
				  &error),
			 -ECONNRESET);
	rpc_close(&r);
	rpc_close(&r);
	assert_int_equal(count_fds(), before);
}

static void names_what_is_missing(void **state)
{
	struct glen_error error = { 0 };
	char longer[200];
	struct rpc r;

	assert_int_equal(rpc_open(&r, "/nonexistent/sock", 0, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/sock"));
	rpc_close(&r);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(rpc_open(&r, longer, 0, &error), -ENAMETOOLONG);
	assert_int_equal(rpc_call(&r, "x", json_object(), NULL, 0, NULL, 100,
				  &error),
			 -ECONNRESET);
}

static void *listens_later(void *arg)
{
	usleep(50000);
	glend_listen(arg);
	return (void *)glend_accept(arg);
}

static void waits_for_a_listener(void **state)
{
	struct glen_error error = { 0 };
	struct rpc r;

	glend_init(&glend);
	glend_kill(&glend);
	assert_int_equal(rpc_open(&r, glend.path, 0, &error), -ECONNREFUSED);
	pthread_create(&thread, NULL, listens_later, &glend);
	assert_int_equal(rpc_open(&r, glend.path, PATIENCE_MS, &error), 0);
	rpc_close(&r);
	stop();
}

static void *sends_fds(void *arg)
{
	int fds[12], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const char *bad = glend_accept(arg);
	struct glend *d = arg;

	for (int i = 0; i < 12; i++)
		fds[i] = null;
	if (!bad)
		bad = glend_read(d);
	if (!bad && d->n_fds != 2)
		bad = "two descriptors were sent";
	if (!bad)
		glend_answer(d, json_true(), fds, 3);
	if (!bad)
		bad = glend_read(d);
	if (!bad)
		glend_answer(d, json_true(), fds, 12);
	if (!bad)
		bad = glend_read(d);
	if (!bad)
		glend_answer(d, json_true(), NULL, 0);
	close(null);
	return (void *)bad;
}

static void passes_descriptors(void **state)
{
	int before = count_fds(), got[8], two[] = { 0, 1 };
	struct rpc r;

	start(sends_fds);
	assert_int_equal(rpc_open(&r, glend.path, 0, NULL), 0);
	assert_int_equal(rpc_call(&r, "x", NULL, two, 2, NULL, PATIENCE_MS,
				  NULL),
			 0);
	/* One of three is taken; the others must not leak. */
	assert_int_equal(rpc_take_fds(&r, got, 1), 1);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	close(got[0]);
	/* More than RPC_FDS_MAX: the kernel or we drop the excess. */
	assert_int_equal(rpc_call(&r, "x", NULL, NULL, 0, NULL, PATIENCE_MS,
				  NULL),
			 0);
	/* Nobody takes these: the next call closes them. */
	assert_int_equal(rpc_call(&r, "x", NULL, NULL, 0, NULL, PATIENCE_MS,
				  NULL),
			 0);
	assert_int_equal(rpc_take_fds(&r, got, 8), 0);
	assert_int_equal(rpc_call(&r, "x", NULL, got, RPC_FDS_MAX + 1, NULL,
				  PATIENCE_MS, NULL),
			 -EINVAL);
	rpc_close(&r);
	stop();
	assert_int_equal(count_fds(), before);
}

static void *chats(void *arg)
{
	const char *bad = glend_accept(arg);
	struct glend *d = arg;
	char *big;

	if (!bad)
		bad = glend_read(d);
	if (bad)
		return (void *)bad;
	/* A late answer to somebody else, notifications, then a long line. */
	glend_say(d, json_pack("{s:i, s:b}", "id", 4711, "result", 1), NULL, 0);
	glend_say(d,
		  json_pack("{s:s, s:{s:i}}", "method", "note", "params", "n",
			    7),
		  NULL, 0);
	big = malloc(3000000);
	memset(big, 'b', 2999999);
	big[2999999] = 0;
	glend_answer(d, json_string(big), NULL, 0);
	free(big);
	glend_say(d, json_pack("{s:s}", "method", "later"), NULL, 0);
	bad = glend_read(d);
	if (!bad)
		glend_write(d, "[1]\n", 4, NULL, 0);
	return (void *)bad;
}

static int notes;

static void on_notify(void *arg, const char *method, json_t *params)
{
	if (!strcmp(method, "note"))
		notes += (int)json_integer_value(json_object_get(params, "n"));
	*(int *)arg += 1;
}

static void takes_notes_and_long_lines(void **state)
{
	json_t *result, *message, *params;
	struct glen_error error;
	int seen = 0;
	struct rpc r;

	notes = 0;
	start(chats);
	assert_int_equal(rpc_open(&r, glend.path, 0, NULL), 0);
	r.on_notify = on_notify;
	r.notify_arg = &seen;
	assert_int_equal(rpc_call(&r, "x", NULL, NULL, 0, &result, PATIENCE_MS,
				  NULL),
			 0);
	assert_int_equal(json_string_length(result), 2999999);
	json_decref(result);
	assert_int_equal(notes, 7);
	assert_int_equal(seen, 1);
	assert_int_equal(rpc_recv(&r, &message, PATIENCE_MS, &error), 0);
	assert_string_equal(rpc_notification(message, &params), "later");
	json_decref(message);
	assert_int_equal(rpc_recv(&r, &message, 0, &error), -ETIMEDOUT);
	assert_int_equal(rpc_recv(&r, &message, 20, &error), -ETIMEDOUT);
	assert_int_equal(rpc_call(&r, "x", NULL, NULL, 0, NULL, PATIENCE_MS,
				  &error),
			 -EPROTO);
	rpc_close(&r);
	stop();
}

/* The daemon reads nothing: a big request must not hang the client. */
static void *reads_nothing(void *arg)
{
	const char *bad = glend_accept(arg);

	usleep(100000);
	return (void *)bad;
}

static void does_not_hang_on_a_full_socket(void **state)
{
	char *big = malloc(4000001);
	struct rpc r;

	memset(big, 'b', 4000000);
	big[4000000] = 0;
	start(reads_nothing);
	assert_int_equal(rpc_open(&r, glend.path, 0, NULL), 0);
	assert_int_equal(rpc_call(&r, "x", json_pack("{s:s}", "big", big), NULL,
				  0, NULL, 30, NULL),
			 -ETIMEDOUT);
	rpc_close(&r);
	stop();
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_and_errors),
		cmocka_unit_test(names_what_is_missing),
		cmocka_unit_test(waits_for_a_listener),
		cmocka_unit_test(passes_descriptors),
		cmocka_unit_test(takes_notes_and_long_lines),
		cmocka_unit_test(does_not_hang_on_a_full_socket),
	};

	return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
