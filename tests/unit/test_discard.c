// SPDX-License-Identifier: BSD-2-Clause
// test_discard.c - descriptors that cannot be closed without waiting.
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/discard.h"

enum { BYTES = 1 << 16 };

static char bytes[BYTES];

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* A socket whose close() waits until the other end, *end, has read all of it:
 * it lingers, and there is more to send than fits. */
static int lingering(int *end)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct linger linger = { 1, 3600 };
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (void *)&sin, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&sin, &len), 0);
	assert_int_equal(connect(fd, (void *)&sin, len), 0);
	*end = accept(listener, NULL, NULL);
	assert_true(*end >= 0);
	close(listener);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
				    sizeof(linger)),
			 0);
	while (send(fd, bytes, BYTES, MSG_DONTWAIT) > 0)
		;
	return fd;
}

/* Reads to the end, which comes when the other side has been closed. */
static void read_all(int end)
{
	while (read(end, bytes, BYTES) > 0)
		;
	close(end);
}

static void closes_what_is_harmless_at_once(void **state)
{
	struct discard *d = discard_create();
	int fds[] = { eventfd(0, EFD_CLOEXEC), memfd_create("m", MFD_CLOEXEC) };

	assert_non_null(d);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(fds[i] >= 0);
		discard_fd(d, fds[i]);
		assert_false(is_open(fds[i]));
	}
	discard_fd(d, -1);
	assert_false(discard_is_full(d));
	discard_destroy(d);
}

static void closes_without_a_bin(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	discard_fd(NULL, fd);
	assert_false(is_open(fd));
	assert_false(discard_is_full(NULL));
	discard_destroy(NULL);
}

static void does_not_wait(void **state)
{
	struct discard *d = discard_create();
	int end, fd = lingering(&end);

	discard_fd(d, fd);
	/* We are here, and nobody has read anything. */
	read_all(end);
	discard_destroy(d);
}

static void fills_up_while_it_waits(void **state)
{
	struct discard *d = discard_create();
	int end, fd = lingering(&end), last = -1;

	discard_fd(d, fd);
	for (unsigned i = 0; !discard_is_full(d); i++) {
		assert_true(i <= DISCARD_MAX);
		last = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(last >= 0);
		discard_fd(d, last);
	}
	assert_true(is_open(last));
	/* The owner goes; the thread closes all of them in its own time. */
	discard_destroy(d);
	read_all(end);
	while (is_open(last))
		usleep(1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closes_what_is_harmless_at_once),
		cmocka_unit_test(closes_without_a_bin),
		cmocka_unit_test(does_not_wait),
		cmocka_unit_test(fills_up_while_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
