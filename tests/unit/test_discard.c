// SPDX-License-Identifier: BSD-2-Clause
// test_discard.c - descriptors that cannot be closed without waiting.
#include "unit.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/discard.h"
#include "linger.h"

static void closes_what_is_harmless_at_once(void **state)
{
	struct discard *d = discard_create(0);
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
	struct discard *d = discard_create(0);
	int end, fd = lingering(&end);

	discard_fd(d, fd);
	/* We are here, and nobody has read anything. */
	read_all(end);
	discard_destroy(d);
}

static void fills_up_while_it_waits(void **state)
{
	struct discard *d = discard_create(0);
	int end, fd = lingering(&end), last = -1;

	discard_fd(d, fd);
	for (unsigned i = 0; !discard_is_full(d); i++) {
		assert_true(i <= 4 * DISCARD_MAX);
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

/* The queue takes what a message brings, and the thread what is in it. */
static void takes_descriptors_out_of_messages(void **state)
{
	struct discard *d = discard_create(DISCARD_SCM_MAX);
	union {
		struct cmsghdr align;
		char room[DISCARD_CONTROL];
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int pair[2], end, fd = lingering(&end), before = count_open();

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	send_file(pair[0], &byte, 1, fd, DISCARD_SCM_MAX);
	close(fd);
	assert_true(discard_has_room(d, DISCARD_SCM_MAX));
	assert_int_equal(recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC), 1);
	assert_true(discard_message(d, &msg));
	assert_false(discard_has_room(d, 1));
	assert_true(discard_is_full(d));
	discard_collect(d);
	discard_destroy(d);
	close(pair[0]);
	close(pair[1]);
	/* All the same file: the last one waits for this. */
	read_all(end);
	while (count_open() > before - 2)
		usleep(1000);
}

/* Whoever closes a connection closes what nobody has read, too. */
static void does_not_wait_for_what_was_not_read(void **state)
{
	struct discard *d = discard_create(0);
	int pair[2], end, fd = lingering(&end);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	send_file(pair[0], "x", 1, fd, 1);
	close(fd);
	discard_connection(d, pair[1]);
	/* Nothing in this one: closed at once. */
	discard_connection(d, pair[0]);
	assert_false(is_open(pair[0]));
	discard_connection(d, -1);
	discard_destroy(d);
	read_all(end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closes_what_is_harmless_at_once),
		cmocka_unit_test(closes_without_a_bin),
		cmocka_unit_test(does_not_wait),
		cmocka_unit_test(fills_up_while_it_waits),
		cmocka_unit_test(takes_descriptors_out_of_messages),
		cmocka_unit_test(does_not_wait_for_what_was_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
