// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_message.c - messages in one piece, in many, and broken ones.
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/vhost_user/message.h"

static struct vhost_link link_;
static int peer; /* the front end's end */
static const char *why;

static int setup(void **state)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair),
			 0);
	peer = pair[1];
	vhost_link_init(&link_, pair[0], NULL);
	why = NULL;
	return 0;
}

static int teardown(void **state)
{
	vhost_link_fini(&link_);
	if (peer >= 0)
		close(peer);
	return 0;
}

struct message {
	uint32_t request, flags, size;
	uint8_t payload[600];
};

/* Sends len bytes of the message, from off on, with n_fds copies of fd. */
static void put(const struct message *m, size_t off, size_t len, int fd,
		unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (char *)m + off, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd,
			       sizeof(int));
	}
	assert_int_equal(sendmsg(peer, &msg, MSG_NOSIGNAL), len);
}

static struct message make(uint32_t request, uint32_t size)
{
	struct message m = { request, VHOST_VERSION, size, { 0 } };

	for (uint32_t i = 0; i < sizeof(m.payload); i++)
		m.payload[i] = i * 7 + 1;
	return m;
}

/* How many descriptors this process has. */
static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void expect(int result)
{
	assert_int_equal(vhost_link_read(&link_, &why), result);
}

static void test_whole(void **state)
{
	struct message m = make(VHOST_SET_FEATURES, 8);
	struct message big = make(VHOST_SET_MEM_TABLE, VHOST_PAYLOAD_MAX);
	struct message empty = make(VHOST_SET_OWNER, 0);

	expect(0);
	put(&m, 0, 20, -1, 0);
	put(&big, 0, VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX, -1, 0);
	put(&empty, 0, VHOST_HEADER_SIZE, -1, 0);
	expect(1);
	assert_int_equal(link_.in.request, VHOST_SET_FEATURES);
	assert_int_equal(link_.in.size, 8);
	assert_memory_equal(link_.in.bytes, m.payload, 8);
	/* Until it was dealt with it is there. */
	expect(1);
	vhost_link_next(&link_);
	expect(1);
	assert_memory_equal(link_.in.bytes, big.payload, VHOST_PAYLOAD_MAX);
	vhost_link_next(&link_);
	expect(1);
	assert_int_equal(link_.in.request, VHOST_SET_OWNER);
	vhost_link_next(&link_);
	expect(0);
	assert_int_equal(vhost_link_since(&link_), 0);
}

/* One byte at a time; a descriptor may come with any of them. */
static void test_pieces(void **state)
{
	struct message m = make(VHOST_ADD_MEM_REG, 40);
	unsigned before = open_fds();

	for (unsigned with = 0; with < 52; with += 17) {
		for (unsigned i = 0; i < 52; i++) {
			expect(0);
			put(&m, i, 1, peer, i == with);
		}
		expect(1);
		assert_memory_equal(link_.in.bytes, m.payload, 40);
		assert_int_equal(link_.in.n_fds, 1);
		assert_true(fcntl(link_.in.fds[0], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(open_fds(), before + 1);
		vhost_link_next(&link_);
		assert_int_equal(open_fds(), before);
	}
}

/* A descriptor that a handler took stays open. */
static void test_taken(void **state)
{
	struct message m = make(VHOST_SET_VRING_KICK, 8);
	unsigned before = open_fds();
	int fd;

	put(&m, 0, 20, peer, 3);
	expect(1);
	assert_int_equal(link_.in.n_fds, 3);
	fd = link_.in.fds[1];
	link_.in.fds[1] = -1;
	vhost_link_next(&link_);
	assert_int_equal(open_fds(), before + 1);
	close(fd);
}

static void test_many_fds(void **state)
{
	struct message m = make(VHOST_SET_MEM_TABLE, 8);
	unsigned before = open_fds();

	put(&m, 0, 20, peer, VHOST_FDS_MAX);
	expect(1);
	assert_int_equal(link_.in.n_fds, VHOST_FDS_MAX);
	vhost_link_next(&link_);
	put(&m, 0, 20, peer, VHOST_FDS_MAX + 1);
	expect(-EPROTO);
	assert_non_null(strstr(why, "more descriptors"));
	vhost_link_next(&link_);
	assert_int_equal(open_fds(), before);
}

/* As many as may come at once, again and again within one message. */
static void test_many_fds_in_pieces(void **state)
{
	struct message m = make(VHOST_SET_MEM_TABLE, 8);
	unsigned before = open_fds();

	put(&m, 0, 1, peer, VHOST_FDS_MAX);
	expect(0);
	put(&m, 1, 1, peer, 1);
	expect(-EPROTO);
	vhost_link_fini(&link_);
	assert_int_equal(open_fds(), before - 1);
}

static void refuse(uint32_t flags, uint32_t size, const char *reason)
{
	struct message m = make(VHOST_GET_FEATURES, size);

	m.flags = flags;
	put(&m, 0, VHOST_HEADER_SIZE, -1, 0);
	expect(-EPROTO);
	assert_non_null(strstr(why, reason));
	vhost_link_next(&link_);
}

static void test_bad_headers(void **state)
{
	refuse(0, 0, "version");
	refuse(2, 0, "version");
	refuse(VHOST_VERSION | VHOST_REPLY, 0, "reply");
	refuse(VHOST_VERSION, VHOST_PAYLOAD_MAX + 1, "longer");
	refuse(VHOST_VERSION, UINT32_MAX, "longer");
	refuse(VHOST_VERSION, UINT32_MAX - VHOST_HEADER_SIZE + 1, "longer");
}

static void test_hang_up(void **state)
{
	struct message m = make(VHOST_SET_FEATURES, 8);

	put(&m, 0, 20, -1, 0);
	close(peer);
	peer = -1;
	expect(1);
	vhost_link_next(&link_);
	expect(-ENOTCONN);
}

static void test_hang_up_within(void **state)
{
	struct message m = make(VHOST_SET_FEATURES, 8);

	put(&m, 0, 13, -1, 0);
	close(peer);
	peer = -1;
	expect(-ECONNRESET);
	assert_non_null(strstr(why, "within a message"));
}

static void test_reply(void **state)
{
	struct message m = make(VHOST_GET_FEATURES, 8), r;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { &r, sizeof(r) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct stat mine, theirs;
	int fd;

	m.flags |= VHOST_NEED_REPLY;
	put(&m, 0, 20, -1, 0);
	expect(1);
	link_.in.u64 = 0x1122334455667788;
	assert_int_equal(vhost_link_reply(&link_, link_.fd, &why), 0);
	assert_int_equal(recvmsg(peer, &msg, 0), 20);
	assert_int_equal(r.request, VHOST_GET_FEATURES);
	/* QEMU wants exactly these. */
	assert_int_equal(r.flags, VHOST_VERSION | VHOST_REPLY);
	assert_int_equal(r.size, 8);
	assert_int_equal(*(uint64_t *)r.payload, 0x1122334455667788);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	assert_int_equal(fstat(link_.fd, &mine), 0);
	assert_int_equal(fstat(fd, &theirs), 0);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	close(fd);
}

/* A peer that does not read: replies wait, and no more messages are read. */
static void test_reply_waits(void **state)
{
	struct message m = make(VHOST_GET_FEATURES, 8), r;
	unsigned sent = 0, got = 0;
	int small = 1;

	setsockopt(link_.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (!link_.out_len) {
		put(&m, 0, 20, -1, 0);
		expect(1);
		link_.in.u64 = sent++;
		assert_int_equal(vhost_link_reply(&link_, -1, &why), 0);
		vhost_link_next(&link_);
	}
	put(&m, 0, 20, -1, 0);
	expect(0);
	assert_true(link_.since_ms > 0);
	while (got < sent) {
		assert_int_equal(recv(peer, &r, 20, MSG_WAITALL), 20);
		assert_int_equal(*(uint64_t *)r.payload, got++);
		assert_int_equal(vhost_link_flush(&link_, &why), 0);
	}
	assert_int_equal(link_.out_len, 0);
	assert_int_equal(link_.since_ms, 0);
	expect(1);
}

static void test_names(void **state)
{
	assert_string_equal(vhost_request_name(VHOST_SET_MEM_TABLE),
			    "SET_MEM_TABLE");
	assert_null(vhost_request_name(0));
	assert_null(vhost_request_name(UINT32_MAX));
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole),
		TEST(test_pieces),
		TEST(test_taken),
		TEST(test_many_fds),
		TEST(test_many_fds_in_pieces),
		TEST(test_bad_headers),
		TEST(test_hang_up),
		TEST(test_hang_up_within),
		TEST(test_reply),
		TEST(test_reply_waits),
		TEST(test_names),
	};

	return cmocka_run_group_tests_name("vhost_message", tests, NULL, NULL);
}
