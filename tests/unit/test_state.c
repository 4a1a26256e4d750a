// SPDX-License-Identifier: BSD-2-Clause
// test_state.c - the state file survives its process, damage and strangers.
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctl/state.h"

static char dir[64], path[96], bad[96];

static int setup(void **state)
{
	strcpy(dir, "/tmp/test_state-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/state", dir);
	snprintf(bad, sizeof(bad), "%s/state.bad", dir);
	return 0;
}

static int teardown(void **state)
{
	char fresh[96];

	snprintf(fresh, sizeof(fresh), "%s/state.new", dir);
	unlink(fresh); /* of a process that survives_sigkill() killed */
	unlink(path);
	unlink(bad);
	return rmdir(dir);
}

/* Opens the file and expects no complaint. */
static struct state *open_state(void)
{
	struct glen_error warning, error;
	struct state *s;

	if (state_create(&s, path, &warning, &error))
		fail_msg("%s", error.text);
	if (warning.code)
		fail_msg("%s", warning.text);
	return s;
}

static void *open_port(struct state *s, const char *name, const char *driver,
		       bool want_resume)
{
	json_t *params = json_pack("{ss}", "for", name);
	struct glen_error error;
	void *saved;
	bool resume;

	if (state_open(s, name, driver, params, &saved, &resume, &error))
		fail_msg("%s", error.text);
	assert_int_equal(resume, want_resume);
	json_decref(params);
	return saved;
}

static void set_config(struct state *s, const char *text)
{
	json_t *config = json_pack("{ss}", "text", text);
	struct glen_error error;

	assert_int_equal(state_set_config(s, config, &error), 0);
	json_decref(config);
}

static void is_config(struct state *s, const char *text)
{
	json_t *config = state_config(s);

	assert_string_equal(json_string_value(json_object_get(config, "text")),
			    text);
	json_decref(config);
}

static void is_private_and_sparse(void **state)
{
	struct state *s = open_state();
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(st.st_blocks * 512 < 256 << 10);
	assert_null(state_config(s));
	assert_int_equal(state_n_pending(s), 0);
	state_destroy(s, true);
	assert_int_equal(access(path, F_OK), -1);
}

static void keeps_the_last_configuration(void **state)
{
	struct state *s = open_state();
	char text[20];

	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "number %d", i);
		set_config(s, text);
		is_config(s, text);
		state_destroy(s, false);
		s = open_state();
		is_config(s, text);
	}
	state_destroy(s, false);
}

/* Overwrites bytes of the file at off. */
static void scribble(off_t off, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, len, off), len);
	close(fd);
}

/* A SIGKILL in the middle of a write leaves the one before. */
static void falls_back_to_the_other_copy(void **state)
{
	struct state *s = open_state();

	set_config(s, "old");
	set_config(s, "new");
	state_destroy(s, false);
	/* The second one went to area B. */
	scribble(4096 + (4 << 20) + 20, "#", 1);
	s = open_state();
	is_config(s, "old");
	set_config(s, "newer");
	state_destroy(s, false);
	s = open_state();
	is_config(s, "newer");
	state_destroy(s, false);
}

static void says_that_no_copy_is_left(void **state)
{
	struct glen_error warning, error;
	struct state *s = open_state();

	set_config(s, "old");
	set_config(s, "new");
	state_destroy(s, false);
	scribble(4096 + 20, "#", 1);
	scribble(4096 + (4 << 20) + 20, "#", 1);
	assert_int_equal(state_create(&s, path, &warning, &error), 0);
	assert_non_null(strstr(warning.text, "damaged"));
	assert_null(state_config(s));
	state_destroy(s, true);
}

static void refuses_a_configuration_that_is_too_large(void **state)
{
	struct state *s = open_state();
	char *text = malloc(STATE_CONFIG_MAX + 1);
	struct glen_error error;
	json_t *config;

	memset(text, 'x', STATE_CONFIG_MAX);
	text[STATE_CONFIG_MAX] = '\0';
	config = json_pack("{ss}", "text", text);
	set_config(s, "small");
	assert_int_equal(state_set_config(s, config, &error), -EFBIG);
	is_config(s, "small");
	json_decref(config);
	free(text);
	state_destroy(s, false);
}

static void remembers_ports_and_what_drivers_left(void **state)
{
	struct state *s = open_state();
	char *a = open_port(s, "s:a", "shm", false);
	char *b = open_port(s, "s:b", "tap", false);
	char *gone = open_port(s, "s:gone", "shm", false);
	json_t *params;

	strcpy(a, "left by a");
	memset(b, 0x5a, PORT_SAVED_SIZE);
	state_close(s, gone);
	state_destroy(s, false);

	s = open_state();
	assert_int_equal(state_n_pending(s), 2);
	assert_true(state_pending(s, "s:a", "shm"));
	assert_false(state_pending(s, "s:a", "tap"));
	assert_false(state_pending(s, "s:gone", "shm"));
	params = state_params(s, "s:a");
	assert_string_equal(json_string_value(json_object_get(params, "for")),
			    "s:a");
	json_decref(params);
	a = open_port(s, "s:a", "shm", true);
	assert_string_equal(a, "left by a");
	b = open_port(s, "s:b", "tap", true);
	assert_int_equal(b[PORT_SAVED_SIZE - 1], 0x5a);
	assert_int_equal(state_n_pending(s), 0);
	state_destroy(s, false);
}

static void gives_zeroed_room_to_another_driver(void **state)
{
	struct state *s = open_state();
	char *a = open_port(s, "s:a", "shm", false);

	strcpy(a, "secret");
	state_destroy(s, false);
	s = open_state();
	a = open_port(s, "s:a", "tap", false);
	assert_int_equal(a[0], 0);
	assert_int_equal(state_n_pending(s), 0);
	state_destroy(s, false);
}

static void forgets_and_reopens(void **state)
{
	struct state *s = open_state();
	const char *name, *driver;
	json_t *except;
	unsigned i = 0;
	char *a;

	open_port(s, "s:a", "shm", false);
	open_port(s, "s:b", "shm", false);
	state_destroy(s, false);
	s = open_state();
	a = open_port(s, "s:a", "shm", true);
	state_reopen(s, a);
	assert_int_equal(state_n_pending(s), 2);
	a = open_port(s, "s:a", "shm", true);
	name = state_next(s, &i, &driver);
	assert_string_equal(name, "s:b");
	assert_string_equal(driver, "shm");
	i++;
	assert_null(state_next(s, &i, &driver));
	except = json_pack("{sb}", "s:b", true);
	assert_int_equal(state_forget(s, except), 0);
	assert_true(state_pending(s, "s:b", "shm"));
	json_decref(except);
	assert_int_equal(state_forget(s, NULL), 1);
	assert_int_equal(state_n_pending(s), 0);
	assert_false(state_pending(s, "s:b", "shm"));
	state_destroy(s, false);
	s = open_state();
	assert_int_equal(state_n_pending(s), 1);
	state_destroy(s, false);
}

static void changes_options_in_place(void **state)
{
	struct state *s = open_state();
	void *saved = open_port(s, "s:a", "shm", false);
	json_t *params = NULL;
	struct glen_error error;
	char *text = calloc(1, STATE_PARAMS_MAX + 1);

	for (int i = 0; i < 3; i++) {
		json_decref(params);
		params = json_pack("{si}", "mtu", i);
		assert_int_equal(state_set_params(s, saved, params, &error), 0);
	}
	json_decref(params);
	memset(text, 'y', STATE_PARAMS_MAX);
	params = json_pack("{ss}", "long", text);
	assert_int_equal(state_set_params(s, saved, params, &error), -EFBIG);
	json_decref(params);
	free(text);
	state_destroy(s, false);
	s = open_state();
	params = state_params(s, "s:a");
	assert_int_equal(json_integer_value(json_object_get(params, "mtu")), 2);
	json_decref(params);
	state_destroy(s, false);
}

/* A record whose name was damaged is left out; the others stay. */
static void drops_a_damaged_record(void **state)
{
	struct state *s = open_state();

	open_port(s, "s:a", "shm", false);
	open_port(s, "s:b", "shm", false);
	state_destroy(s, false);
	scribble(4096 + (8 << 20), "t", 1);
	s = open_state();
	assert_int_equal(state_n_pending(s), 1);
	assert_true(state_pending(s, "s:b", "shm"));
	state_destroy(s, false);
}

static void fills_up(void **state)
{
	struct state *s = open_state();
	struct glen_error error;
	char name[20];
	bool resume;
	void *saved;

	for (int i = 0; i < STATE_RECORDS; i++) {
		snprintf(name, sizeof(name), "s:%d", i);
		assert_int_equal(state_open(s, name, "shm", NULL, &saved,
					    &resume, &error),
				 0);
	}
	assert_int_equal(state_open(s, "s:x", "shm", NULL, &saved, &resume,
				    &error),
			 -ENOSPC);
	state_destroy(s, true);
}

/* Opens a file that must not be used. */
static void is_put_aside(const char *why)
{
	struct glen_error warning, error;
	struct state *s;

	assert_int_equal(state_create(&s, path, &warning, &error), 0);
	assert_int_not_equal(warning.code, 0);
	if (!strstr(warning.text, why))
		fail_msg("\"%s\" does not say \"%s\"", warning.text, why);
	assert_int_equal(access(bad, F_OK), 0);
	assert_null(state_config(s));
	state_destroy(s, true);
}

static void make(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static void puts_strange_files_aside(void **state)
{
	struct state *s;

	make("hello", 0600);
	is_put_aside("size");
	assert_int_equal(symlink("/etc/passwd", path), 0);
	is_put_aside("symbolic link");
	s = open_state();
	set_config(s, "x");
	state_destroy(s, false);
	chmod(path, 0640);
	is_put_aside("others");
	state_destroy(open_state(), false);
	scribble(0, "G", 1);
	is_put_aside("not a state file");
	state_destroy(open_state(), false);
	scribble(20, "\x7f", 1);
	is_put_aside("damaged");
}

/* Renaming it would have taken /dev/null away from everybody. */
static void leaves_what_is_no_file(void **state)
{
	struct glen_error warning, error;
	struct state *s;

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(state_create(&s, path, &warning, &error), -EINVAL);
	assert_non_null(strstr(error.text, "not a file"));
	assert_int_equal(access(bad, F_OK), -1);
	assert_int_equal(unlink(path), 0);
}

static void is_used_by_one(void **state)
{
	struct state *s = open_state(), *second;
	struct glen_error warning, error;

	assert_int_equal(state_create(&second, path, &warning, &error), -EBUSY);
	assert_non_null(strstr(error.text, path));
	state_destroy(s, false);
	state_destroy(open_state(), false);
}

static void needs_its_directory(void **state)
{
	struct glen_error warning, error;
	struct state *s;

	assert_int_equal(state_create(&s, "/nonexistent/state", &warning,
				      &error),
			 -ENOENT);
	assert_non_null(strstr(error.text, "--no-state"));
}

/* A large configuration, and the file offset of a byte near its end. */
enum { LARGE = 3 << 20, LARGE_END = 4096 + 16 + LARGE };

static void write_large(void)
{
	char *text = malloc(LARGE + 1);

	memset(text, 'a', LARGE);
	text[LARGE] = '\0';
	set_config(open_state(), text);
	pause();
}

/* Killed between the text of the very first configuration and its CRC: there
 * is none then, which is no damage. */
static void killed_in_the_first_configuration(void **state)
{
	pid_t pid = fork();
	char byte = 0;
	json_t *config;
	struct state *s;
	int fd, status;

	if (!pid)
		write_large();
	while ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		assert_int_equal(errno, ENOENT);
	while (!byte)
		assert_in_range(pread(fd, &byte, 1, LARGE_END), 0, 1);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	close(fd);
	s = open_state();
	config = state_config(s);
	/* Or it was whole already, should we have been late. */
	assert_true(!config || json_object_get(config, "text"));
	json_decref(config);
	state_destroy(s, false);
}

/*
 * A process that writes configurations as fast as it can is killed at random
 * moments; what is found then is always whole.
 */
static void survives_sigkill(void **state)
{
	unsigned seed = time(NULL) ^ getpid();

	print_message("# seed %u\n", seed);
	srand(seed);
	for (int i = 0; i < 30; i++) {
		json_t *config;
		struct state *s;
		pid_t pid = fork();
		int status;

		if (!pid) {
			char text[2000];

			s = open_state();
			for (int n = 0;; n++) {
				memset(text, 'a' + n % 26, sizeof(text));
				text[100 + rand() % 1800] = '\0';
				set_config(s, text);
				void *p = open_port(s, "s:p", "shm",
						    state_pending(s, "s:p",
								  "shm"));

				memset(p, n, PORT_SAVED_SIZE);
				state_close(s, p);
			}
		}
		usleep(1000 + rand() % 10000);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
		s = open_state();
		config = state_config(s);
		if (config) {
			const char *text = json_string_value(
				json_object_get(config, "text"));

			assert_true(strlen(text) >= 100);
			for (size_t k = 0; text[k]; k++)
				assert_int_equal(text[k], text[0]);
		}
		assert_true(state_n_pending(s) <= 1);
		json_decref(config);
		state_destroy(s, false);
	}
}

#define STATE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STATE_TEST(is_private_and_sparse),
		STATE_TEST(keeps_the_last_configuration),
		STATE_TEST(falls_back_to_the_other_copy),
		STATE_TEST(says_that_no_copy_is_left),
		STATE_TEST(refuses_a_configuration_that_is_too_large),
		STATE_TEST(remembers_ports_and_what_drivers_left),
		STATE_TEST(gives_zeroed_room_to_another_driver),
		STATE_TEST(forgets_and_reopens),
		STATE_TEST(changes_options_in_place),
		STATE_TEST(drops_a_damaged_record),
		STATE_TEST(fills_up),
		STATE_TEST(puts_strange_files_aside),
		STATE_TEST(leaves_what_is_no_file),
		STATE_TEST(is_used_by_one),
		STATE_TEST(needs_its_directory),
		STATE_TEST(killed_in_the_first_configuration),
		STATE_TEST(survives_sigkill),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
