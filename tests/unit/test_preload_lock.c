// SPDX-License-Identifier: BSD-2-Clause
// test_preload_lock.c - locks whose owners die, in every way.
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netmap/preload/lock.h"

/* What processes share: two locks, and how far a child is. */
struct shared {
	uint32_t word, ns;
	uint32_t outer, outer_ns;
	uint32_t step;
};

static struct shared *sh;

static int set_up(void **state)
{
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tables_init();
	return sh == MAP_FAILED;
}

static int tear_down(void **state)
{
	return munmap(sh, sizeof(*sh));
}

static bool try(uint32_t *word, uint32_t *ns)
{
	struct robust_list *before = NULL;
	bool got = lock_try(word, ns, &before);

	if (got)
		lock_drop(word, before);
	return got;
}

static void step(uint32_t n)
{
	__atomic_store_n(&sh->step, n, __ATOMIC_RELEASE);
}

static void await(uint32_t n)
{
	while (__atomic_load_n(&sh->step, __ATOMIC_ACQUIRE) < n)
		usleep(100);
}

/* A child that takes the lock and stays; or is gone at once. */
static pid_t holder(bool stays, bool both)
{
	struct robust_list *before = NULL;
	pid_t pid = fork();

	if (pid)
		return pid;
	if (both)
		lock_try(&sh->outer, &sh->outer_ns, &before);
	lock_try(&sh->word, &sh->ns, &before);
	step(1);
	while (stays)
		pause();
	syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
	_exit(0);
}

/* Until it is a zombie; it stays one. */
static void until_dead(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void test_alive(void **state)
{
	pid_t pid = holder(true, false);

	await(1);
	assert_false(try(&sh->word, &sh->ns));
	kill(pid, SIGKILL);
	until_dead(pid);
	assert_true(try(&sh->word, &sh->ns));
	waitpid(pid, NULL, 0);
	assert_int_equal(sh->word, 0);
}

/* One that is not reaped still has its number. */
static void test_zombie(void **state)
{
	pid_t pid = holder(false, false);

	until_dead(pid);
	assert_int_equal(sh->word, LOCK_OWNER_DIED);
	assert_true(try(&sh->word, &sh->ns));
	waitpid(pid, NULL, 0);
}

/* The kernel tells of the inner one only. */
static void test_two(void **state)
{
	pid_t pid = holder(true, true);

	await(1);
	assert_false(try(&sh->word, &sh->ns));
	assert_false(try(&sh->outer, &sh->outer_ns));
	kill(pid, SIGKILL);
	until_dead(pid);
	assert_int_equal(sh->outer, pid);
	assert_true(try(&sh->word, &sh->ns));
	assert_true(try(&sh->outer, &sh->outer_ns));
	waitpid(pid, NULL, 0);
}

static void *ends_inside(void *arg)
{
	struct robust_list *before = NULL;

	lock_try(&sh->word, &sh->ns, &before);
	return NULL;
}

static void test_thread(void **state)
{
	pthread_t thread;

	pthread_create(&thread, NULL, ends_inside, NULL);
	pthread_join(thread, NULL);
	assert_true(try(&sh->word, &sh->ns));
}

/* A handler of who is inside does not wait, nor takes it. */
static void test_handler(void **state)
{
	struct robust_list *before = NULL;

	assert_true(lock_try(&sh->word, &sh->ns, &before));
	assert_false(try(&sh->word, &sh->ns));
	assert_true(try(&sh->outer, &sh->outer_ns));
	assert_false(try(&sh->word, &sh->ns));
	lock_drop(&sh->word, before);
	assert_true(try(&sh->word, &sh->ns));
}

/* A fork that the C library does not see: another thread, with a list. */
static void test_bare_fork(void **state)
{
	struct robust_list *before = NULL;
	uint32_t parent = thread_id();
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid) {
		lock_try(&sh->word, &sh->ns, &before);
		step(thread_id() == parent ? 2 : 1);
		syscall(SYS_exit_group, 0);
	}
	until_dead(pid);
	waitpid(pid, NULL, 0);
	assert_int_equal(sh->step, 1);
	assert_int_equal(sh->word, LOCK_OWNER_DIED);
	assert_true(try(&sh->word, &sh->ns));
}

/*
 * Numbers of another namespace are other numbers. A child of a fresh one is 1
 * there, which is alive here; and ours are nobody there.
 */
static void test_namespaces(void **state)
{
	struct robust_list *before = NULL;
	pid_t outer = fork(), pid;
	int status;

	if (!outer) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWPID))
			_exit(77);
		pid = fork();
		if (pid) {
			await(4);
			kill(pid, SIGKILL);
			until_dead(pid);
			step(5);
			_exit(waitpid(pid, NULL, 0) != pid);
		}
		await(1);
		/* The parent has it, and lives. */
		step(try(&sh->word, &sh->ns) ? 100 : 2);
		while (!lock_try(&sh->outer, &sh->outer_ns, &before))
			;
		step(sh->step + 1);
		while (true)
			pause();
	}
	assert_true(lock_try(&sh->word, &sh->ns, &before));
	step(1);
	while (!sh->step || sh->step == 1)
		if (waitpid(outer, &status, WNOHANG) == outer) {
			lock_drop(&sh->word, before);
			SKIP("there are no pid namespaces to be had");
		}
	await(3);
	/* More: it got what it must not get. */
	assert_int_equal(sh->step, 3);
	assert_int_equal(sh->outer, 1);
	assert_false(try(&sh->outer, &sh->outer_ns));
	step(4);
	await(5);
	assert_true(try(&sh->outer, &sh->outer_ns));
	lock_drop(&sh->word, before);
	waitpid(outer, &status, 0);
	assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_alive),      TEST(test_zombie),  TEST(test_two),
		TEST(test_thread),     TEST(test_handler), TEST(test_bare_fork),
		TEST(test_namespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
