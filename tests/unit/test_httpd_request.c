// SPDX-License-Identifier: BSD-2-Clause
// test_httpd_request.c - requests, answers and files of examples/httpd.
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "reply.h"
#include "request.h"

static int parse(struct request *r, const char *text)
{
	memset(r, 0, sizeof(*r));
	return request_parse(r, text, strlen(text));
}

static void paths_are_resolved(void **state)
{
	static const struct {
		const char *target, *path; /* NULL: refused */
	} cases[] = {
		{ "/", "/" },
		{ "/a", "/a" },
		{ "/a/", "/a/" },
		{ "//a///b", "/a/b" },
		{ "/a/./b/.", "/a/b/" },
		{ "/a/../b", "/b" },
		{ "/a/b/..", "/a/" },
		{ "/a/..", "/" },
		{ "/a%2Fb", "/a/b" },
		{ "/a%2f%2e%2e%2fb", "/b" },
		{ "/...", "/..." },
		{ "/a?b/../..", "/a" },
		{ "http://host/a", "/a" },
		{ "/..", NULL },
		{ "/a/../..", NULL },
		{ "/%2e%2e/a", NULL },
		{ "/%0a", NULL },
		{ "/%", NULL },
		{ "/%g0", NULL },
		{ "http://host", NULL },
		{ "*", NULL },
	};
	char text[256];
	struct request r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n;

		snprintf(text, sizeof(text),
			 "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].target);
		n = parse(&r, text);
		if (cases[i].path) {
			assert_int_equal(n, strlen(text));
			assert_string_equal(r.path, cases[i].path);
		} else {
			assert_int_equal(n, -400);
		}
	}
}

static void connections_are_kept(void **state)
{
	struct request r;

	assert_true(parse(&r, "GET / HTTP/1.1\nHost: x\n\n") > 0);
	assert_true(r.keep_alive && !r.head);
	assert_true(parse(&r, "HEAD / HTTP/1.0\n\n") > 0);
	assert_true(!r.keep_alive && r.head);
	assert_true(parse(&r, "GET / HTTP/1.0\nconnection:Keep-Alive\n\n") > 0);
	assert_true(r.keep_alive);
	assert_true(parse(&r, "GET / HTTP/1.1\nHost:\n"
			      "Connection: x , Close\n\n") > 0);
	assert_false(r.keep_alive);
	assert_int_equal(parse(&r, "GET / HTTP/1.1\nHost: x\n"), 0);
	assert_int_equal(parse(&r, "GET / HTTP/1.1\nContent-Length: 1\n\n"),
			 -400);
	assert_int_equal(parse(&r, "PUT / HTTP/1.1\nHost: x\n\n"), -405);
	assert_int_equal(parse(&r, "GET / HTTP/3.1\nHost: x\n\n"), -505);
}

static void answers_are_read(void **state)
{
	static const char ok[] = "HTTP/1.1 206 So\r\ncontent-length:\t7\r\n"
				 "Connection: close\r\n\r\nrest";
	static const char endless[] = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
	static const char huge[] =
		"HTTP/1.1 200 OK\r\n"
		"Content-Length: 9999999999999999999\r\n\r\n";
	struct reply r;

	assert_int_equal(reply_parse(&r, ok, strlen(ok)), strlen(ok) - 4);
	assert_true(r.status == 206 && r.len == 7 && r.close);
	for (size_t n = 0; n < strlen(ok) - 4; n++)
		assert_int_equal(reply_parse(&r, ok, n), 0);
	assert_int_equal(reply_parse(&r, endless, strlen(endless)), -1);
	assert_int_equal(reply_parse(&r, huge, strlen(huge)), -1);
	assert_int_equal(reply_parse(&r, "SSH-2.0\r\n\r\n", 11), -1);
}

static void files_stay_below_the_root(void **state)
{
	char folder[] = "/tmp/glen-unit-XXXXXX";
	struct file file;
	int dir, root, fd;

	assert_non_null(mkdtemp(folder));
	dir = open(folder, O_PATH | O_DIRECTORY);
	assert_int_equal(mkdirat(dir, "root", 0755), 0);
	fd = openat(dir, "secret", O_CREAT | O_WRONLY, 0644);
	assert_int_equal(symlinkat("../secret", dir, "root/link"), 0);
	close(fd);
	root = openat(dir, "root", O_PATH | O_DIRECTORY);
	fd = openat(root, "a.html", O_CREAT | O_WRONLY, 0644);
	assert_int_equal(write(fd, "abc", 3), 3);
	close(fd);
	assert_int_equal(file_open(root, "/a.html", &file), 200);
	assert_int_equal(file.size, 3);
	assert_string_equal(file.type, "text/html; charset=utf-8");
	close(file.fd);
	assert_int_equal(file_open(root, "/link", &file), 404);
	assert_int_equal(file_open(root, "/../secret", &file), 404);
	assert_int_equal(file_open(root, "/", &file), 404);
	assert_int_equal(mkdirat(root, "sub", 0755), 0);
	assert_int_equal(file_open(root, "/sub", &file), 301);
	unlinkat(root, "sub", AT_REMOVEDIR);
	unlinkat(root, "a.html", 0);
	unlinkat(root, "link", 0);
	unlinkat(dir, "root", AT_REMOVEDIR);
	unlinkat(dir, "secret", 0);
	close(root);
	close(dir);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_resolved),
		cmocka_unit_test(connections_are_kept),
		cmocka_unit_test(answers_are_read),
		cmocka_unit_test(files_stay_below_the_root),
	};
	return cmocka_run_group_tests_name("httpd_request", tests, NULL, NULL);
}
