// SPDX-License-Identifier: BSD-2-Clause
// test_socket.c - addresses in text, and socket files that are stale or not.
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/socket.h"

static char dir[] = "/tmp/glen-test-socket-XXXXXX";
static char path[64];
static struct socket_addr addr;

static int make_dir(void **state)
{
	struct glen_error error;

	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return socket_addr_unix(&addr, "path", path, &error);
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void inet_text_reads_as_it_is_written(void **state)
{
	static const char *const good[] = { "192.0.2.1:5000", "0.0.0.0:1",
					    "[2001:db8::1]:65535",
					    "[fe80::1%lo]:5", "[::]:80" };
	char text[SOCKET_TEXT_SIZE];
	struct glen_error error;
	struct socket_addr a;

	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(socket_addr_inet(&a, "addr", good[i], &error),
				 0);
		socket_addr_text(&a, text);
		assert_string_equal(text, good[i]);
	}
	assert_int_equal(socket_addr_inet(&a, "addr", "*:7", &error), 0);
	socket_addr_text(&a, text);
	assert_string_equal(text, "0.0.0.0:7");
}

static void bad_inet_text_is_refused_with_an_example(void **state)
{
	static const char *const bad[] = {
		"",
		"1.2.3.4",
		":",
		"1.2.3.4:",
		"1.2.3:5",
		"1.2.3.4:0",
		"1.2.3.4:65536",
		"1.2.3.4:-1",
		"::1:5",
		"[::1]",
		"[::1:5",
		"localhost:5",
		"[::g]:5",
		"1.2.3.4:5 ",
		"1.2.3.4: 5",
		"[]:5",
		"[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:5",
	};
	struct glen_error error;
	struct socket_addr a;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(socket_addr_inet(&a, "peer", bad[i], &error),
				 -EINVAL);
		assert_non_null(strstr(error.text, "peer must be ADDRESS"));
	}
	assert_int_equal(socket_addr_inet(&a, "peer", "[fe80::1%no-such]:5",
					  &error),
			 -ENODEV);
}

static void paths_are_absolute_and_short(void **state)
{
	char text[200];
	struct glen_error error;
	struct socket_addr a;

	assert_int_equal(socket_addr_unix(&a, "path", "x/y", &error), -EINVAL);
	assert_int_equal(socket_addr_unix(&a, "path", "", &error), -EINVAL);
	memset(text, 'x', sizeof(text));
	text[0] = '/';
	text[108] = '\0';
	assert_int_equal(socket_addr_unix(&a, "path", text, &error),
			 -ENAMETOOLONG);
	assert_non_null(strstr(error.text, "108"));
	text[107] = '\0';
	assert_int_equal(socket_addr_unix(&a, "path", text, &error), 0);
	assert_string_equal(a.un.sun_path, text);
}

static void a_file_gets_exactly_its_mode(void **state)
{
	static const mode_t modes[] = { 0600, 0660, 0666, 0770 };
	struct glen_error error;
	struct socket_file file;
	struct stat st;

	for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		mode_t mask = umask(i % 2 ? 0077 : 0);
		int fd = socket_bind(&addr, SOCK_STREAM, modes[i], &file,
				     &error);

		umask(mask);
		assert_true(fd >= 0);
		assert_int_equal(lstat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, modes[i]);
		socket_unlink(&addr, &file);
		assert_int_equal(lstat(path, &st), -1);
		close(fd);
	}
}

/* Returns when a new file gets another time than one made before. */
static void next_file_time(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_REALTIME_COARSE, &start);
	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (now.tv_sec == start.tv_sec && now.tv_nsec == start.tv_nsec);
}

static void a_stale_file_is_replaced_a_live_one_is_not(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
	struct glen_error error;
	struct socket_file file, other;

	for (unsigned i = 0; i < 4; i++) {
		int fd = socket_bind(&addr, types[i / 2], 0600, &file, &error);

		assert_true(fd >= 0);
		if (types[i / 2] == SOCK_STREAM)
			assert_int_equal(listen(fd, 1), 0);
		/* A live one of this kind or the other. */
		assert_int_equal(socket_bind(&addr, types[i % 2], 0600, &other,
					     &error),
				 -EADDRINUSE);
		assert_non_null(strstr(error.text, path));
		assert_int_equal(access(path, F_OK), 0);
		/* Who lives there has not been connected to. */
		if (types[i / 2] == SOCK_STREAM)
			assert_int_equal(accept(fd, NULL, NULL), -1);
		close(fd); /* as a killed process leaves it */
		next_file_time();
		fd = socket_bind(&addr, types[i % 2], 0600, &other, &error);
		assert_true(fd >= 0);
		/* What is there now is not the first one's to remove. */
		assert_false(socket_file_same(&file, &other));
		socket_unlink(&addr, &file);
		assert_int_equal(access(path, F_OK), 0);
		socket_unlink(&addr, &other);
		assert_int_equal(access(path, F_OK), -1);
		close(fd);
	}
}

static void what_is_no_socket_stays(void **state)
{
	struct glen_error error;
	struct socket_file file;

	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(socket_bind(&addr, SOCK_STREAM, 0600, &file, &error),
			 -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void failures_name_their_cure(void **state)
{
	struct glen_error error;
	struct socket_file file;
	struct socket_addr a;

	assert_int_equal(socket_addr_unix(&a, "path", "/no/such/dir/s", &error),
			 0);
	assert_int_equal(socket_bind(&a, SOCK_STREAM, 0600, &file, &error),
			 -ENOENT);
	assert_non_null(strstr(error.text, "directory does not exist"));
	assert_int_equal(socket_addr_inet(&a, "addr", "192.0.2.1:9", &error),
			 0);
	assert_int_equal(socket_bind(&a, SOCK_DGRAM, 0, &file, &error),
			 -EADDRNOTAVAIL);
	assert_non_null(strstr(error.text, "192.0.2.1:9"));
}

static void modes_are_octal(void **state)
{
	struct glen_error error;
	mode_t mode;

	assert_int_equal(socket_mode(NULL, 0640, &mode, &error), 0);
	assert_int_equal(mode, 0640);
	assert_int_equal(socket_mode("0660", 0600, &mode, &error), 0);
	assert_int_equal(mode, 0660);
	assert_int_equal(socket_mode("", 0600, &mode, &error), -EINVAL);
	assert_int_equal(socket_mode("66x", 0600, &mode, &error), -EINVAL);
	assert_int_equal(socket_mode("1777", 0600, &mode, &error), -EINVAL);
	assert_int_equal(socket_mode("0400", 0600, &mode, &error), -EINVAL);
}

static void unix_sockets_take_files_unless_they_refuse(void **state)
{
	enum { PASSRIGHTS = 83 };
	int tcp = socket(AF_INET, SOCK_STREAM, 0), pair[2], on = 1;
	bool can = false;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(socket_takes_files(pair[0]));
	assert_false(socket_takes_files(tcp));
	can = !setsockopt(pair[0], SOL_SOCKET, PASSRIGHTS, &on, sizeof(on));
	socket_refuse_files(pair[0]);
	assert_int_equal(socket_takes_files(pair[0]), !can);
	assert_true(socket_takes_files(pair[1]));
	close(tcp);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inet_text_reads_as_it_is_written),
		cmocka_unit_test(bad_inet_text_is_refused_with_an_example),
		cmocka_unit_test(paths_are_absolute_and_short),
		cmocka_unit_test(a_file_gets_exactly_its_mode),
		cmocka_unit_test(a_stale_file_is_replaced_a_live_one_is_not),
		cmocka_unit_test(what_is_no_socket_stays),
		cmocka_unit_test(failures_name_their_cure),
		cmocka_unit_test(modes_are_octal),
		cmocka_unit_test(unix_sockets_take_files_unless_they_refuse),
	};

	return cmocka_run_group_tests_name("socket", tests, make_dir,
					   remove_dir);
}
