// SPDX-License-Identifier: BSD-2-Clause
// test_guard.c - the guards' lists, deaths and end; undoing needs root (nic).
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "port/guard.h"

enum { WAIT_MS = 20000 };

static const struct undo nothing = { UNDO_NOTHING, 1, 0, 0 };
static unsigned n_logs;
static bool cannot_harden; /* for guards that are started from now on */

static void count_log(const char *text)
{
	n_logs++;
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

/* Waits for a process that is not a child of ours, or reaps itself. */
static void wait_gone(pid_t pid)
{
	for (int ms = 0; !is_gone(pid) && ms < WAIT_MS; ms++)
		poll(NULL, 0, 1);
	assert_true(is_gone(pid));
}

/* Turns the loop until n messages were logged. */
static void wait_logs(struct loop *loop, unsigned n)
{
	for (int i = 0; n_logs < n && i < WAIT_MS / 10; i++)
		loop_turn(loop, 10);
	assert_int_equal(n_logs, n);
}

static int harden(void)
{
	return cannot_harden ? -EPERM : 0;
}

static int guards_make(struct loop *loop, int hold_fd)
{
	const struct guard_config config = { loop, hold_fd, harden, count_log };
	struct glen_error error;

	n_logs = 0;
	return guard_start(&config, &error);
}

static void without_guards_nothing_is_refused(void **state)
{
	struct glen_error error;
	pid_t pids[GUARD_PIDS];

	assert_int_equal(guard_add(-1, &nothing, &error), 0);
	guard_del(0);
	guard_stop();
	assert_int_equal(guard_pids(pids), 0);
}

static void a_killed_guard_is_replaced(void **state)
{
	struct glen_error error;
	pid_t pids[GUARD_PIDS], killed;
	struct loop loop;
	int ids[4], null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(guards_make(&loop, -1), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(guard_pids(pids), 2);
		killed = pids[i % 2];
		kill(killed, SIGKILL);
		/* Noticed by the loop, or by the next one who asks. */
		if (i < 2)
			wait_logs(&loop, i + 1);
		else
			wait_gone(killed);
		ids[i] = guard_add(null, &nothing, &error);
		assert_int_equal(n_logs, i + 1);
		assert_int_equal(ids[i], i + 1);
		assert_int_equal(guard_pids(pids), 2);
		assert_int_not_equal(pids[0], killed);
		assert_int_not_equal(pids[1], killed);
	}
	for (int i = 0; i < 4; i++)
		guard_del(ids[i]);
	assert_int_equal(n_logs, 4);
	guard_stop();
	wait_gone(pids[0]);
	wait_gone(pids[1]);
	loop_fini(&loop);
	close(null);
}

static void both_kill(pid_t pids[GUARD_PIDS])
{
	assert_int_equal(guard_pids(pids), 2);
	kill(pids[0], SIGKILL);
	kill(pids[1], SIGKILL);
	wait_gone(pids[0]);
	wait_gone(pids[1]);
}

static void both_killed_are_started_again(void **state)
{
	struct glen_error error;
	pid_t pids[GUARD_PIDS], now[GUARD_PIDS];
	struct loop loop;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), id;

	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(guards_make(&loop, -1), 0);
	id = guard_add(null, &nothing, &error);
	for (unsigned i = 1; i <= 3; i++) {
		both_kill(pids);
		/* Noticed by the loop, or by the next one who asks. */
		if (i < 3)
			wait_logs(&loop, i);
		else
			assert_true(guard_add(null, &nothing, &error) > id);
		assert_int_equal(n_logs, i);
		assert_int_equal(guard_pids(now), 2);
		assert_int_not_equal(now[0], pids[0]);
		assert_int_not_equal(now[1], pids[1]);
	}
	guard_del(id);
	assert_int_equal(n_logs, 3);
	guard_stop();
	loop_fini(&loop);
	close(null);
}

static void none_that_starts_is_told_once(void **state)
{
	struct glen_error error;
	pid_t pids[GUARD_PIDS];
	struct loop loop;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(guards_make(&loop, -1), 0);
	cannot_harden = true;
	both_kill(pids);
	wait_logs(&loop, 1);
	assert_int_equal(guard_pids(pids), 0);
	assert_true(guard_add(null, &nothing, &error) > 0);
	assert_int_equal(n_logs, 1);
	assert_int_equal(guard_pids(pids), 0);
	cannot_harden = false;
	assert_true(guard_add(null, &nothing, &error) > 0);
	assert_int_equal(n_logs, 2);
	assert_int_equal(guard_pids(pids), 2);
	guard_stop();
	loop_fini(&loop);
	close(null);
}

static void the_list_has_an_end(void **state)
{
	struct glen_error error = { 0 };
	struct loop loop;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int first = 0;

	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(guards_make(&loop, -1), 0);
	for (int i = 0; i < GUARD_ITEMS_MAX; i++) {
		int id = guard_add(null, &nothing, &error);

		assert_true(id > 0);
		first = first ? first : id;
	}
	assert_int_equal(guard_add(null, &nothing, &error), -ENOSPC);
	guard_del(first);
	assert_true(guard_add(null, &nothing, &error) > 0);
	guard_stop();
	loop_fini(&loop);
	close(null);
}

/* A "glend" that starts guards and dies; signals do not end them before. */
static void play_glend(int hold_fd, int ready)
{
	struct glen_error error;
	pid_t pids[GUARD_PIDS];
	struct loop loop;

	if (loop_init(&loop) || guards_make(&loop, hold_fd) ||
	    guard_add(hold_fd, &nothing, &error) <= 0)
		_exit(1);
	guard_pids(pids);
	for (int i = 0; i < 2; i++) {
		kill(pids[i], SIGTERM);
		kill(pids[i], SIGINT);
		kill(pids[i], SIGHUP);
	}
	if (guard_add(hold_fd, &nothing, &error) <= 0 || n_logs)
		_exit(2);
	/* The rest of the test's descriptors are not in the guards. */
	if (write(ready, pids, sizeof(pids)) != sizeof(pids))
		_exit(3);
	pause();
}

static void the_lock_is_free_when_they_are_done(void **state)
{
	char path[] = "/tmp/glen-guard-XXXXXX";
	int hold = mkostemp(path, O_CLOEXEC), again, ready[2], status;
	pid_t pids[GUARD_PIDS], child;
	char byte;

	signal(SIGCHLD, SIG_DFL); /* guard_start() ignores it */
	assert_int_equal(flock(hold, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (!child)
		play_glend(hold, ready[1]);
	close(ready[1]);
	close(hold);
	assert_int_equal(read(ready[0], pids, sizeof(pids)), sizeof(pids));
	again = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(again, LOCK_EX | LOCK_NB), -1);
	/* One that is held up keeps the lock while its glend is gone. */
	kill(pids[0], SIGSTOP);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	wait_gone(pids[1]);
	assert_int_equal(flock(again, LOCK_EX | LOCK_NB), -1);
	kill(pids[0], SIGCONT);
	wait_gone(pids[0]);
	assert_int_equal(flock(again, LOCK_EX | LOCK_NB), 0);
	/* The pipe's other end was not left in a guard. */
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	close(again);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_guards_nothing_is_refused),
		cmocka_unit_test(a_killed_guard_is_replaced),
		cmocka_unit_test(both_killed_are_started_again),
		cmocka_unit_test(none_that_starts_is_told_once),
		cmocka_unit_test(the_list_has_an_end),
		cmocka_unit_test(the_lock_is_free_when_they_are_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
