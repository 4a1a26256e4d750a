// SPDX-License-Identifier: BSD-2-Clause
// test_dgram.c - frames as datagrams: strangers, rebirth, short queues.
#include "stream_rig.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include "port/dgram/dgram.h"

enum {
	PACKETS = 2000,
	LONGEST = 60000,
	BUFFER = DGRAM_FRAME_MAX + 1000,
};

static uint8_t buffer[BUFFER];

/* The port at path with a peer at other_path. */
static struct port *open_dgram(void)
{
	return open_port("far", "dgram", "{\"path\": \"%s\", \"peer\": \"%s\"}",
			 path, other_path);
}

/* The same, and the peer's socket. */
static struct port *open_connected(int *fd)
{
	struct port *port;

	*fd = test_socket(SOCK_DGRAM, other_path);
	port = open_dgram();
	assert_true(port->ops->link(port));
	return port;
}

static int dgram_teardown(void **state)
{
	loop_rig_teardown(state);
	unlink(other_path);
	return 0;
}

#define DGRAM_TEST(f) \
	cmocka_unit_test_setup_teardown(f, loop_rig_setup, dgram_teardown)

/* A frame for the near port out of fd, which is bound, to our path. */
static ssize_t frame_to_us(int fd, uint32_t seq, uint32_t len)
{
	struct glen_error error;
	struct socket_addr a;

	rig_build(buffer,
		  &(struct sent){ .verdict = TO(0), .seq = seq, .len = len });
	assert_int_equal(socket_addr_unix(&a, "path", path, &error), 0);
	return sendto(fd, buffer, len, 0, &a.any, a.len) < 0 ? -errno : 0;
}

static void expect_near(uint32_t seq, uint32_t len)
{
	struct sent s;

	WAIT(dummy_pending_out(near_port, 0));
	assert_true(rig_recv(near_port, 0, &s));
	assert_int_equal(s.seq, seq);
	assert_int_equal(s.len, len);
}

static void to_far(uint32_t seq, uint32_t len)
{
	rig_send(near_port, 0,
		 (struct sent){ .verdict = TO(1), .seq = seq, .len = len });
}

/* The next datagram at fd must be this packet. */
static void expect_far(int fd, uint32_t seq, uint32_t len)
{
	struct sent s;
	ssize_t n = -1;

	WAIT((n = recv(fd, buffer, sizeof(buffer), 0)) >= 0);
	assert_int_equal(n, len);
	s = rig_parse(buffer, n);
	assert_int_equal(s.seq, seq);
}

static void frames_of_all_lengths_pass_both_ways(void **state)
{
	static const uint32_t lengths[] = { RIG_MIN, 60,   64,	 1514, 2047,
					    2048,    2049, 9014, 65549 };
	struct port *port;
	int fd;

	port = open_connected(&fd);
	for (uint32_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		assert_int_equal(frame_to_us(fd, i, lengths[i]), 0);
		expect_near(i, lengths[i]);
		to_far(i, lengths[i]);
		expect_far(fd, i, lengths[i]);
	}
	/* Long and short ones in one batch. */
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(frame_to_us(fd, i, i % 2 ? 60 : 5000), 0);
	for (uint32_t i = 0; i < 8; i++)
		expect_near(i, i % 2 ? 60 : 5000);
	assert_int_equal(shown(port, "strangers"), 0);
	rig_check();
	close(fd);
}

static void runts_and_giants_are_counted(void **state)
{
	struct port *port;
	int fd;

	port = open_connected(&fd);
	assert_int_equal(connect_to(fd, path), 0);
	for (uint32_t len = 0; len < PACKET_LEN_MIN; len++) {
		assert_int_equal(send(fd, buffer, len, 0), len);
		WAIT(rig_in(port).packets == len + 1);
	}
	assert_int_equal(rig_in(port).drops[DROP_IN_RUNT], PACKET_LEN_MIN);
	assert_int_equal(send(fd, buffer, DGRAM_FRAME_MAX + 1, 0),
			 DGRAM_FRAME_MAX + 1);
	WAIT(rig_in(port).drops[DROP_IN_TRUNCATED] == 1);
	rig_check();
	close(fd);
}

static void what_the_peers_queue_does_not_take_waits(void **state)
{
	struct port *port;
	int fd;

	port = open_connected(&fd);
	/* One batch, and nobody who sends once more. */
	for (uint32_t i = 0; i < 100; i++)
		to_far(i, 60);
	for (uint32_t i = 0; i < 100; i++)
		expect_far(fd, i, 60);
	for (uint32_t i = 0; i < PACKETS; i++)
		to_far(i, RIG_MIN + i % 100);
	WAIT(!dummy_pending_in(near_port, 0));
	assert_int_equal(rig_out(port).packets, 100 + PACKETS);
	assert_true(shown(port, "delayed") > 0);
	assert_true(shows_text(port, "problem", "max_dgram_qlen"));
	/* All of it, in order, although nothing more is sent. */
	for (uint32_t i = 0; i < PACKETS; i++)
		expect_far(fd, i, RIG_MIN + i % 100);
	rig_check();
	close(fd);
}

/* Reads from fd until nothing more comes. Returns how many. */
static uint32_t drain(int fd)
{
	uint32_t n = 0;

	while (recv(fd, buffer, sizeof(buffer), 0) >= 0)
		n++;
	return n;
}

/* Frames count as sent once they wait: those that never are have a name. */
static void what_waits_when_the_peer_goes_is_lost(void **state)
{
	uint32_t got, lost, waited;
	struct port *port;
	int fd, next;

	port = open_connected(&fd);
	for (uint32_t i = 0; i < 200; i++)
		to_far(i, 60);
	WAIT(!dummy_pending_in(near_port, 0));
	assert_int_equal(shown(port, "lost"), 0);
	assert_int_equal(rig_out(port).packets, 200);
	/* Another one at its path: what waits is not for him. */
	unlink(other_path);
	next = test_socket(SOCK_DGRAM, other_path);
	port->ops->tick(port);
	got = drain(fd);
	assert_true(got > 0 && got < 200);
	assert_int_equal(got + shown(port, "lost"), 200);
	assert_int_equal(drain(next), 0);
	/* The next one dies while frames wait for him. */
	lost = shown(port, "lost");
	waited = shown(port, "delayed");
	for (uint32_t i = 0; i < 200; i++)
		to_far(i, 60);
	WAIT(!dummy_pending_in(near_port, 0));
	assert_int_equal(recv(next, buffer, sizeof(buffer), 0), 60);
	close(next);
	WAIT(!port->ops->link(port));
	waited = shown(port, "delayed") - waited;
	assert_true(waited > 0);
	assert_int_equal(shown(port, "lost") - lost, waited);
	rig_check();
	close(fd);
}

/* Long ones: the backlog is a circle, and comes to its end. */
static void what_the_backlog_does_not_take_is_dropped(void **state)
{
	struct port *port;
	uint32_t got = 0, next = 0, rounds = 0;
	int fd;

	port = open_connected(&fd);
	for (uint32_t i = 0; i < PACKETS; i++) {
		to_far(i, 100 + i * 977 % LONGEST);
		if (i % 50)
			continue;
		pump();
		for (uint32_t k = 0; k < rounds % 40; k++) {
			ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
			struct sent s;

			if (n < 0)
				break;
			s = rig_parse(buffer, n);
			assert_int_equal(n, 100 + s.seq * 977 % LONGEST);
			assert_true(s.seq >= next);
			next = s.seq + 1;
			got++;
			pump();
		}
		rounds++;
	}
	WAIT(!dummy_pending_in(near_port, 0));
	while (got < rig_out(port).packets) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		struct sent s;

		pump();
		if (n < 0)
			continue;
		s = rig_parse(buffer, n);
		assert_true(s.seq >= next);
		next = s.seq + 1;
		got++;
	}
	assert_true(rig_out(port).drops[DROP_OUT_NO_ROOM] > 0);
	assert_int_equal(got + rig_out(port).drops[DROP_OUT_NO_ROOM], PACKETS);
	rig_check();
	close(fd);
}

static void a_peer_may_come_later_and_be_reborn(void **state)
{
	struct port *port = open_dgram();
	int fd;

	pump();
	assert_false(port->ops->link(port));
	assert_true(shows_text(port, "last_error", "nobody lives"));
	to_far(0, 60);
	pump();
	assert_int_equal(rig_out(port).drops[DROP_OUT_LINK_DOWN], 1);
	for (uint32_t round = 1; round < 4; round++) {
		fd = test_socket(SOCK_DGRAM, other_path);
		WAIT(shown(port, "connections") == round);
		to_far(round, 60);
		expect_far(fd, round, 60);
		assert_int_equal(frame_to_us(fd, round, 60), 0);
		expect_near(round, 60);
		close(fd);
		unlink(other_path);
		if (round == 3)
			break;
		/* Somebody sends, or the tick notices. */
		if (round == 1)
			to_far(9, 60);
		else
			close(test_socket(SOCK_DGRAM, other_path));
		if (round == 2)
			port->ops->tick(port);
		WAIT(!port->ops->link(port));
		unlink(other_path);
	}
	rig_check();
}

/* Another socket is at the path, and nobody has sent anything to the old. */
static void a_new_peer_at_the_same_path_is_noticed(void **state)
{
	struct port *port;
	int fd, next;

	port = open_connected(&fd);
	unlink(other_path);
	port->ops->tick(port); /* a path that is gone says nothing */
	assert_true(port->ops->link(port));
	next = test_socket(SOCK_DGRAM, other_path);
	assert_int_equal(frame_to_us(next, 1, 60), -EPERM);
	port->ops->tick(port);
	assert_int_equal(shown(port, "connections"), 2);
	assert_int_equal(frame_to_us(next, 2, 60), 0);
	expect_near(2, 60);
	/* The same one as before is not another. */
	port->ops->tick(port);
	assert_int_equal(shown(port, "connections"), 2);
	close(fd);
	close(next);
}

static void strangers_are_not_heard(void **state)
{
	struct port *port = open_dgram();
	char third[80];
	int fd, stranger;

	snprintf(third, sizeof(third), "%s/c", dir);
	stranger = test_socket(SOCK_DGRAM, third);
	assert_int_equal(frame_to_us(stranger, 1, 60), 0);
	fd = test_socket(SOCK_DGRAM, NULL); /* without a name */
	assert_int_equal(frame_to_us(fd, 2, 60), 0);
	close(fd);
	WAIT(shown(port, "strangers") == 2);
	assert_int_equal(rig_in(port).packets, 0);
	rig_none(near_port);
	fd = test_socket(SOCK_DGRAM, other_path);
	WAIT(port->ops->link(port));
	assert_int_equal(frame_to_us(stranger, 3, 60), -EPERM);
	assert_int_equal(frame_to_us(fd, 4, 60), 0);
	expect_near(4, 60);
	rig_check();
	close(fd);
	close(stranger);
	unlink(third);
}

/* A peer that speaks first is found soon, whatever the timer was set to. */
static void who_sends_is_connected_to(void **state)
{
	struct port *port = open_dgram();
	struct dgram *d = port->drv;
	int fd;

	loop_timer_set(&d->timer, 0);
	fd = test_socket(SOCK_DGRAM, NULL);
	assert_int_equal(frame_to_us(fd, 0, 60), 0);
	close(fd);
	fd = test_socket(SOCK_DGRAM, other_path);
	WAIT(port->ops->link(port));
	assert_int_equal(shown(port, "connections"), 1);
	close(fd);
}

/* A UDP socket of the test's at a free port. */
static int udp_socket(int family, struct socket_addr *a)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memset(a, 0, sizeof(*a));
	a->any.sa_family = family;
	a->len = family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
	if (family == AF_INET)
		a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a->in6.sin6_addr = in6addr_loopback;
	if (fd < 0 || bind(fd, &a->any, a->len))
		SKIP("no such address family here");
	assert_int_equal(getsockname(fd, &a->any, &a->len), 0);
	return fd;
}

static void udp(int family)
{
	char ours[SOCKET_TEXT_SIZE], theirs[SOCKET_TEXT_SIZE];
	struct socket_addr a, b, c;
	int free_fd = udp_socket(family, &a), fd = udp_socket(family, &b);
	int stranger = udp_socket(family, &c);
	struct port *port;

	socket_addr_text(&a, ours);
	socket_addr_text(&b, theirs);
	close(free_fd);
	port = open_port("far", "dgram", "{\"addr\": \"%s\", \"peer\": \"%s\"}",
			 ours, theirs);
	for (uint32_t len = RIG_MIN; len < 60000; len = len * 3 + 7) {
		to_far(len, len);
		expect_far(fd, len, len);
		rig_build(buffer, &(struct sent){ .verdict = TO(0),
						  .seq = len,
						  .len = len });
		assert_int_equal(sendto(fd, buffer, len, 0, &a.any, a.len),
				 len);
		expect_near(len, len);
	}
	/* Longer than UDP can carry. */
	to_far(0, DGRAM_UDP_MAX + 100);
	pump();
	assert_int_equal(rig_out(port).drops[DROP_OUT_OVERSIZE], 1);
	/* The kernel does not let strangers in. */
	rig_build(buffer, &(struct sent){ .verdict = TO(0), .len = 60 });
	sendto(stranger, buffer, 60, 0, &a.any, a.len);
	assert_int_equal(sendto(fd, buffer, 60, 0, &a.any, a.len), 60);
	expect_near(0, 60);
	rig_none(near_port);
	assert_int_equal(shown(port, "unreachable"), 0);
	/* Nobody there for a while: ICMP says so, the port lives on. */
	close(fd);
	for (uint32_t i = 0; i < 20; i++) {
		to_far(i, 60);
		pump();
	}
	assert_true(port->ops->link(port));
	WAIT(shown(port, "unreachable") > 0);
	assert_true(shows_text(port, "problem", "comes back"));
	assert_true(shows_text(port, "problem", theirs));
	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, &b.any, b.len), 0);
	to_far(77, 60);
	to_far(78, 60);
	expect_far(fd, 77, 60);
	expect_far(fd, 78, 60);
	/* Until the peer is heard. */
	assert_true(shows_text(port, "problem", "comes back"));
	rig_build(buffer, &(struct sent){ .verdict = TO(0), .len = 60 });
	assert_int_equal(sendto(fd, buffer, 60, 0, &a.any, a.len), 60);
	expect_near(0, 60);
	assert_false(shows_text(port, "problem", ""));
	rig_check();
	close(fd);
	close(stranger);
}

static void udp_over_ipv4(void **state)
{
	udp(AF_INET);
}

static void udp_over_ipv6(void **state)
{
	udp(AF_INET6);
}

/* A member as QEMU is one: it sends from where it receives, which others on
 * this host do as well. */
static int member(const struct socket_addr *a)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct ip_mreqn lo = { .imr_multiaddr = a->in.sin_addr,
			       .imr_ifindex = if_nametoindex("lo") };
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, &a->any, a->len), 0);
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &lo, sizeof(lo)) ||
	    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof(lo)))
		SKIP("no multicast on lo here");
	return fd;
}

/* A packet from a member that carries a verdict for each port's module. */
static void to_group(int fd, const struct socket_addr *a, uint32_t seq)
{
	rig_build(buffer,
		  &(struct sent){ .verdict = TO(0), .seq = seq, .len = 200 });
	assert_int_equal(sendto(fd, buffer, 200, 0, &a->any, a->len), 200);
}

static void a_group_hears_and_is_heard(void **state)
{
	char text[SOCKET_TEXT_SIZE];
	struct port *first, *second;
	struct socket_addr a;
	int free_fd = udp_socket(AF_INET, &a), m[2];

	/* A port that is free for now, in a group of its own. */
	a.in.sin_addr.s_addr = htonl(0xefff0000 | (getpid() & 0xff) << 8 |
				     (ntohs(a.in.sin_port) & 0xff));
	close(free_fd);
	m[0] = member(&a);
	m[1] = member(&a);
	socket_addr_text(&a, text);
	first = open_port("far", "dgram",
			  "{\"addr\": \"%s\", \"interface\": \"lo\"}", text);
	second = open_port("other", "dgram",
			   "{\"addr\": \"%s\", \"interface\": \"lo\"}", text);
	assert_true(first->ops->link(first));
	assert_true(shows_text(first, "interface", "lo"));
	/* Each member is heard by both ports, though nobody can tell them
	 * apart. Both ports send it to the near one. */
	for (uint32_t k = 0; k < 2; k++) {
		to_group(m[k], &a, k);
		WAIT(rig_in(first).packets == k + 1 &&
		     rig_in(second).packets == k + 1);
		expect_near(k, 200);
		expect_near(k, 200);
		expect_far(m[0], k, 200); /* their own, too */
		expect_far(m[1], k, 200);
	}
	/* As do the ports each other. (Sent by hand: what the switch sends to
	 * one, the other would have it send there again, for ever.) */
	rig_build(buffer,
		  &(struct sent){ .verdict = TO(0), .seq = 5, .len = 200 });
	assert_int_equal(send(((struct dgram *)first->drv)->sock.fd, buffer,
			      200, 0),
			 200);
	WAIT(shown(first, "own") == 1 && rig_in(second).packets == 3);
	expect_near(5, 200);
	expect_far(m[0], 5, 200);
	expect_far(m[1], 5, 200);
	port_destroy(second);
	/* What a port sends is heard by all others, and once. */
	for (uint32_t seq = 10; seq < 20; seq++) {
		rig_send(near_port, 0,
			 (struct sent){ .verdict = TO(first->index),
					.seq = seq,
					.len = 1000 });
		expect_far(m[0], seq, 1000);
		expect_far(m[1], seq, 1000);
		WAIT(shown(first, "own") == seq - 8);
	}
	assert_int_equal(rig_in(first).packets, 2);
	assert_int_equal(recv(m[0], buffer, sizeof(buffer), 0), -1);
	rig_check();
	close(m[0]);
	close(m[1]);
}

static void groups_are_checked(void **state)
{
	refuse_port("dgram", -EINVAL, "alone",
		    "{\"addr\": \"239.1.1.1:1\", \"peer\": \"127.0.0.1:1\"}");
	refuse_port("dgram", -EINVAL, "alone",
		    "{\"addr\": \"127.0.0.1:1\", \"peer\": \"239.1.1.1:1\"}");
	refuse_port("dgram", -EINVAL, "IPv4", "{\"addr\": \"[ff02::1234]:1\"}");
	refuse_port("dgram", -EINVAL, "needs path",
		    "{\"addr\": \"127.0.0.1:1\"}");
	refuse_port("dgram", -EINVAL, "multicast group",
		    "{\"addr\": \"127.0.0.1:1\", \"peer\": \"127.0.0.1:2\", "
		    "\"interface\": \"lo\"}");
	refuse_port("dgram", -EINVAL, "socket file",
		    "{\"addr\": \"239.1.1.1:1\", \"access\": \"0600\"}");
	refuse_port("dgram", -ENODEV, "no interface nosuch0",
		    "{\"addr\": \"239.1.1.1:1\", "
		    "\"interface\": \"nosuch0\"}");
}

static void options_are_checked(void **state)
{
	refuse_port("dgram", -EINVAL, "needs path", "{}");
	refuse_port("dgram", -EINVAL, "needs path", "{\"path\": \"/tmp/x\"}");
	refuse_port("dgram", -EINVAL, "absolute",
		    "{\"path\": \"/tmp/x\", \"peer\": \"y\"}");
	refuse_port("dgram", -EINVAL, "both",
		    "{\"addr\": \"127.0.0.1:1\", \"peer\": \"[::1]:1\"}");
	refuse_port("dgram", -EINVAL, "other side",
		    "{\"addr\": \"127.0.0.1:1\", \"peer\": \"127.0.0.1:1\"}");
	refuse_port("dgram", -EINVAL, "address to send to",
		    "{\"addr\": \"127.0.0.1:1\", \"peer\": \"*:2\"}");
	refuse_port("dgram", -EINVAL, "address to send to",
		    "{\"addr\": \"[::1]:1\", \"peer\": \"[::]:2\"}");
	refuse_port("dgram", -EINVAL, "socket file",
		    "{\"addr\": \"127.0.0.1:1\", \"peer\": \"127.0.0.1:2\", "
		    "\"access\": \"0600\"}");
	refuse_port("dgram", -EINVAL, "mode",
		    "{\"path\": \"/tmp/x\", \"peer\": \"/tmp/y\", "
		    "\"mode\": \"client\"}");
}

static void a_stream_socket_is_no_peer(void **state)
{
	int fd = test_socket(SOCK_STREAM, other_path);
	struct port *port;
	struct stat st;

	assert_int_equal(listen(fd, 1), 0);
	port = open_dgram();
	assert_true(shows_text(port, "last_error", "stream"));
	close(fd);
	port_destroy(port);
	assert_int_equal(stat(path, &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DGRAM_TEST(frames_of_all_lengths_pass_both_ways),
		DGRAM_TEST(runts_and_giants_are_counted),
		DGRAM_TEST(what_the_peers_queue_does_not_take_waits),
		DGRAM_TEST(what_waits_when_the_peer_goes_is_lost),
		DGRAM_TEST(what_the_backlog_does_not_take_is_dropped),
		DGRAM_TEST(a_peer_may_come_later_and_be_reborn),
		DGRAM_TEST(a_new_peer_at_the_same_path_is_noticed),
		DGRAM_TEST(strangers_are_not_heard),
		DGRAM_TEST(who_sends_is_connected_to),
		DGRAM_TEST(udp_over_ipv4),
		DGRAM_TEST(udp_over_ipv6),
		DGRAM_TEST(a_group_hears_and_is_heard),
		DGRAM_TEST(groups_are_checked),
		DGRAM_TEST(options_are_checked),
		DGRAM_TEST(a_stream_socket_is_no_peer),
	};

	return cmocka_run_group_tests_name("dgram", tests, rig_group_setup,
					   rig_group_teardown);
}
