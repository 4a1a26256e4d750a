// SPDX-License-Identifier: BSD-2-Clause
// test_stream.c - frames through stream sockets, whole and in pieces.
#include "stream_rig.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "port/stream/stream.h"

enum {
	PACKETS = 3000,
	LONGEST = 9000,
	BUFFER = 1 << 20,
	TINY = 4608, /* the least that Linux makes of SO_SNDBUF */
};

static uint64_t random_state;

static uint32_t rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % below;
}

static void seed(void)
{
	const char *text = getenv("TEST_SEED");

	random_state = text ? strtoull(text, NULL, 0) :
			      (uint64_t)time(NULL) << 20 | 1;
	print_message("# TEST_SEED=%llu\n", (unsigned long long)random_state);
}

/* A server port and a peer connected to it. */
static struct port *open_connected(int *fd)
{
	struct port *port = open_port("far", "stream", "{\"path\": \"%s\"}",
				      path);

	*fd = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(*fd, path), 0);
	WAIT(shown(port, "connected"));
	return port;
}

/* A frame with its length, for the near port. Returns its bytes. */
static uint32_t put_frame(uint8_t *p, uint32_t seq, uint32_t len)
{
	rig_put32(p, len);
	rig_build(p + STREAM_HEAD,
		  &(struct sent){ .verdict = TO(0), .seq = seq, .len = len });
	return STREAM_HEAD + len;
}

static uint32_t length_of(uint32_t seq)
{
	static const uint32_t some[] = { RIG_MIN, 60,  1514, 64,
					 252,	  256, 257,  LONGEST };

	return some[seq % 8];
}

/* Packets first..last arrive at the near port, whole and in order. */
static void expect_near(uint32_t first, uint32_t last)
{
	struct sent s;

	for (uint32_t seq = first; seq < last; seq++) {
		WAIT(dummy_pending_out(near_port, 0));
		assert_true(rig_recv(near_port, 0, &s));
		assert_int_equal(s.seq, seq);
		assert_int_equal(s.len, length_of(seq));
	}
}

static void frames_arrive_however_they_are_cut(void **state)
{
	static uint8_t buffer[BUFFER];
	uint32_t len = 0, at = 0, n = 0, next = 0;
	struct sent s;
	int fd;

	seed();
	open_connected(&fd);
	while (len < BUFFER - LONGEST - STREAM_HEAD) {
		len += put_frame(buffer + len, n, length_of(n));
		n++;
	}
	while (at < len) {
		/* Often within a length, sometimes very much at once. */
		uint32_t most = rnd(4) ? 1 + rnd(7) : 1 + rnd(200000);
		ssize_t sent = send(fd, buffer + at,
				    most < len - at ? most : len - at,
				    MSG_DONTWAIT);

		at += sent > 0 ? sent : 0;
		pump();
		while (rig_recv(near_port, 0, &s)) {
			assert_int_equal(s.seq, next);
			assert_int_equal(s.len, length_of(next));
			next++;
		}
	}
	expect_near(next, n);
	rig_check();
	close(fd);
}

static void what_came_before_the_end_is_forwarded(void **state)
{
	static uint8_t buffer[200 << 10];
	uint32_t len = 0, n = 0;
	struct port *port;
	int fd;

	port = open_connected(&fd);
	while (len < sizeof(buffer) - LONGEST - STREAM_HEAD) {
		len += put_frame(buffer + len, n, length_of(n));
		n++;
	}
	assert_int_equal(send(fd, buffer, len, 0), len);
	close(fd);
	WAIT(!shown(port, "connected"));
	assert_true(shows_text(port, "last_error", "closed the connection"));
	expect_near(0, n);
	rig_check();
}

/* Says whether the other side closed the connection, without any data. */
static bool is_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

static void bad_length(uint32_t length, const char *said)
{
	struct port *port = sw->ports[1];
	uint8_t buffer[256];
	int fd;

	fd = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(fd, path), 0);
	WAIT(shown(port, "connected"));
	put_frame(buffer, 0, RIG_MIN);
	rig_put32(buffer + STREAM_HEAD + RIG_MIN, length);
	assert_int_equal(send(fd, buffer, STREAM_HEAD + RIG_MIN + 60, 0),
			 STREAM_HEAD + RIG_MIN + 60);
	WAIT(!shown(port, "connected"));
	assert_true(shows_text(port, "last_error", said));
	assert_null(atomic_load(&port->broken));
	expect_near(0, 1); /* what came before it */
	rig_none(near_port);
	assert_true(is_closed(fd));
	close(fd);
}

static void a_length_that_cannot_be_costs_the_connection(void **state)
{
	int fd;

	open_connected(&fd);
	close(fd);
	WAIT(!shown(sw->ports[1], "connected"));
	bad_length(0, "a frame of 0 bytes");
	bad_length(STREAM_FRAME_MAX + 1, "a frame of 69633 bytes");
	bad_length(UINT32_MAX, "a frame of 4294967295 bytes");
	assert_int_equal(shown(sw->ports[1], "connections"), 4);
	rig_check();
}

static void runts_are_dropped_and_counted(void **state)
{
	uint8_t buffer[600];
	uint32_t len = 0;
	struct port *port;
	int fd;

	port = open_connected(&fd);
	for (uint32_t i = 1; i < PACKET_LEN_MIN; i++) {
		rig_put32(buffer + len, i);
		memset(buffer + len + STREAM_HEAD, i, i);
		len += STREAM_HEAD + i;
	}
	len += put_frame(buffer + len, 0, RIG_MIN);
	assert_int_equal(send(fd, buffer, len, 0), len);
	expect_near(0, 1);
	assert_int_equal(rig_in(port).drops[DROP_IN_RUNT], PACKET_LEN_MIN - 1);
	assert_int_equal(rig_in(port).packets, PACKET_LEN_MIN);
	rig_check();
	close(fd);
}

static void a_peer_that_dies_within_a_frame_is_told_apart(void **state)
{
	uint8_t buffer[200];
	struct port *port;
	int fd;

	port = open_connected(&fd);
	put_frame(buffer, 0, 100);
	assert_int_equal(send(fd, buffer, 50, 0), 50);
	close(fd);
	WAIT(!shown(port, "connected"));
	assert_true(shows_text(port, "last_error", "middle of a frame"));
	assert_int_equal(rig_in(port).drops[DROP_IN_TRUNCATED], 1);
	/* The next one starts afresh. */
	fd = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(fd, path), 0);
	put_frame(buffer, 0, RIG_MIN);
	assert_int_equal(send(fd, buffer, STREAM_HEAD + RIG_MIN, 0),
			 STREAM_HEAD + RIG_MIN);
	expect_near(0, 1);
	rig_check();
	close(fd);
}

/* The peer's side of what the switch sends. */
struct reader {
	int fd;
	uint8_t bytes[STREAM_HEAD + STREAM_FRAME_MAX];
	uint32_t len;
	uint32_t next[2]; /* no packet below this may come any more */
	uint32_t n;	  /* frames */
	bool two; /* senders: each other packet, with an order of its own */
};

/* Reads at most so many bytes; asserts that frames are whole and in order. */
static bool read_some(struct reader *r, uint32_t most)
{
	ssize_t n;

	while (most) {
		uint32_t want = STREAM_HEAD, part;

		if (r->len >= STREAM_HEAD)
			want += rig_get32(r->bytes);
		assert_true(want <= sizeof(r->bytes));
		part = want - r->len < most ? want - r->len : most;
		n = recv(r->fd, r->bytes + r->len, part, 0);
		if (n <= 0)
			return false;
		r->len += n;
		most -= n;
		if (r->len > STREAM_HEAD &&
		    r->len == STREAM_HEAD + rig_get32(r->bytes)) {
			struct sent s = rig_parse(r->bytes + STREAM_HEAD,
						  r->len - STREAM_HEAD);

			assert_true(s.seq >= r->next[r->two && s.seq % 2]);
			r->next[r->two && s.seq % 2] = s.seq + 1;
			r->n++;
			r->len = 0;
		}
	}
	return true;
}

static void a_full_socket_drops_whole_frames_only(void **state)
{
	static struct reader r;
	struct port *port;
	int fd, size = TINY;

	seed();
	memset(&r, 0, sizeof(r));
	port = open_connected(&fd);
	r.fd = fd;
	setsockopt(((struct stream *)port->drv)->conn.fd, SOL_SOCKET, SO_SNDBUF,
		   &size, sizeof(size));
	for (uint32_t i = 0; i < PACKETS; i++) {
		rig_send(near_port, 0,
			 (struct sent){ .verdict = TO(1),
					.seq = i,
					.len = RIG_MIN +
					       rnd(rnd(3) ? 200 : 60000) });
		if (!rnd(40))
			pump();
		if (!rnd(60))
			read_some(&r, 1 + rnd(100000));
	}
	/* No more traffic: the rest of the last frame has to come all the
	 * same. */
	WAIT(!dummy_pending_in(near_port, 0) && !read_some(&r, BUFFER) &&
	     !r.len && r.n == rig_out(port).packets);
	assert_true(r.n > 0);
	assert_true(rig_out(port).drops[DROP_OUT_NO_ROOM] > 0);
	assert_int_equal(r.n + rig_out(port).drops[DROP_OUT_NO_ROOM], PACKETS);
	assert_true(shown(port, "socket_full") > 0);
	rig_check();
	close(fd);
}

static void packets_of_many_segments_pass(void **state)
{
	static struct reader r;
	static uint8_t packet[60000];
	struct iovec iov[PACKET_SEGS_MAX];
	struct port *port;
	int fd;

	memset(&r, 0, sizeof(r));
	port = open_connected(&fd);
	r.fd = fd;
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t n = 1 + i * 3 % PACKET_SEGS_MAX, at = 0;
		struct sent s = { .verdict = TO(1),
				  .seq = i,
				  .len = 200 + i * 700 };

		rig_build(packet, &s);
		for (uint32_t k = 0; k < n; k++) {
			uint32_t end = k + 1 == n ? s.len : s.len * k / n;

			iov[k] = (struct iovec){ packet + at, end - at };
			at = end;
		}
		assert_int_equal(dummy_inject(near_port, 0, iov, n, NULL), 0);
		pump();
		WAIT(!read_some(&r, BUFFER) && r.n == i + 1);
	}
	assert_int_equal(rig_out(port).packets, 40);
	rig_check();
	close(fd);
}

static void too_long_frames_are_not_sent(void **state)
{
	static struct reader r;
	struct port *port;
	int fd;

	memset(&r, 0, sizeof(r));
	port = open_connected(&fd);
	r.fd = fd;
	rig_send(near_port, 0,
		 (struct sent){ .verdict = TO(1),
				.len = STREAM_FRAME_MAX + 1 });
	rig_send(near_port, 0,
		 (struct sent){ .verdict = TO(1), .len = STREAM_FRAME_MAX });
	WAIT(!read_some(&r, BUFFER) && r.n == 1);
	assert_int_equal(rig_out(port).drops[DROP_OUT_OVERSIZE], 1);
	rig_check();
	close(fd);
}

static void without_a_peer_the_link_is_down(void **state)
{
	struct port *port = open_port("far", "stream", "{\"path\": \"%s\"}",
				      path);
	int fd;

	pump();
	assert_false(port->ops->link(port));
	rig_send(near_port, 0, (struct sent){ .verdict = TO(1) });
	pump();
	assert_int_equal(rig_out(port).drops[DROP_OUT_LINK_DOWN], 1);
	fd = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(fd, path), 0);
	WAIT(port->ops->link(port));
	/* It goes while packets are on their way. */
	close(fd);
	for (uint32_t i = 0; i < 10; i++)
		rig_send(near_port, 0, (struct sent){ .verdict = TO(1) });
	WAIT(!port->ops->link(port) && !dummy_pending_in(near_port, 0));
	rig_check();
}

static void a_second_client_is_refused(void **state)
{
	struct port *port;
	uint8_t buffer[100];
	int fd, second;

	port = open_connected(&fd);
	second = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(second, path), 0);
	WAIT(is_closed(second));
	close(second);
	assert_int_equal(shown(port, "refused"), 1);
	put_frame(buffer, 0, RIG_MIN);
	assert_int_equal(send(fd, buffer, STREAM_HEAD + RIG_MIN, 0),
			 STREAM_HEAD + RIG_MIN);
	expect_near(0, 1);
	/* One that comes when the first has just hung up is welcome. */
	put_frame(buffer, 1, length_of(1));
	assert_int_equal(send(fd, buffer, STREAM_HEAD + length_of(1), 0),
			 STREAM_HEAD + length_of(1));
	close(fd);
	second = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(second, path), 0);
	/* Its connection is seen before the other's end is. */
	assert_int_equal(loop_turn(&loop, 0), 0);
	WAIT(shown(port, "connections") == 2);
	assert_int_equal(shown(port, "refused"), 1);
	expect_near(1, 2);
	put_frame(buffer, 2, RIG_MIN);
	rig_put32(buffer, RIG_MIN);
	assert_int_equal(send(second, buffer, STREAM_HEAD + RIG_MIN, 0),
			 STREAM_HEAD + RIG_MIN);
	WAIT(dummy_pending_out(near_port, 0));
	rig_expect(near_port, 0, 2);
	close(second);
	rig_check();
}

/* Connects and goes until nobody takes any more. */
static void storm(void)
{
	unsigned full = 0;

	while (full < 20) {
		int fd = test_socket(SOCK_STREAM, NULL);

		full = connect_to(fd, path) ? full + 1 : 0;
		close(fd);
		loop_turn(&loop, full ? 1 : 0);
	}
}

/* So many are turned away, then it is paused for a second. */
static void a_storm_is_slowed_down(void **state)
{
	int fd, second;
	struct port *port = open_connected(&fd);

	storm();
	assert_int_equal(shown(port, "refused"), 16);
	/* After the pause. */
	WAIT(shown(port, "refused") > 16);
	storm();
	assert_int_equal(shown(port, "refused"), 32);
	/* When the first goes, there is no pause. */
	close(fd);
	WAIT(!shown(port, "connected"));
	/* Those that wait have gone. */
	do {
		second = test_socket(SOCK_STREAM, NULL);
		if (!connect_to(second, path))
			break;
		close(second);
		loop_turn(&loop, 1);
	} while (1);
	WAIT(shown(port, "connected") && !is_closed(second));
	assert_int_equal(shown(port, "refused"), 32);
	close(second);
	rig_check();
}

static void socket_files_come_and_go(void **state)
{
	struct port *port;
	struct stat st;
	int fd = test_socket(SOCK_STREAM, path);

	close(fd); /* as a killed glend leaves it */
	port = open_port("far", "stream", "{\"path\": \"%s\"}", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	refuse_port("stream", -EADDRINUSE, path, "{\"path\": \"%s\"}", path);
	port_destroy(port);
	assert_int_equal(stat(path, &st), -1);
	port = open_port("far", "stream",
			 "{\"path\": \"%s\", \"access\": \"0606\"}", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0606);
	/* Somebody else's by now. */
	unlink(path);
	fd = test_socket(SOCK_STREAM, path);
	port_destroy(port);
	assert_int_equal(stat(path, &st), 0);
	close(fd);
	unlink(path);
}

static void a_client_keeps_trying(void **state)
{
	struct port *port =
		open_port("far", "stream",
			  "{\"path\": \"%s\", \"mode\": \"client\"}", path);
	uint8_t buffer[100];
	int listener, fd = -1;

	WAIT(shows_text(port, "last_error", "nobody listens"));
	for (uint32_t round = 0; round < 2; round++) {
		listener = test_socket(SOCK_STREAM, path);
		assert_int_equal(listen(listener, 1), 0);
		WAIT((fd = accept(listener, NULL, NULL)) >= 0);
		WAIT(shown(port, "connected"));
		put_frame(buffer, round, RIG_MIN);
		assert_int_equal(send(fd, buffer, STREAM_HEAD + RIG_MIN, 0),
				 STREAM_HEAD + RIG_MIN);
		WAIT(dummy_pending_out(near_port, 0));
		rig_expect(near_port, 0, round);
		close(fd);
		close(listener);
		unlink(path);
		WAIT(!shown(port, "connected"));
	}
	assert_int_equal(shown(port, "connections"), 2);
	rig_check();
}

/* A socket of the test's, bound to a free port of the loopback interface. */
static int tcp_socket(int family, struct socket_addr *a)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
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

/* A packet each way between the near port and the peer behind fd. */
static void exchange(struct port *port, int fd)
{
	static struct reader r;
	uint8_t buffer[100];

	memset(&r, 0, sizeof(r));
	r.fd = fd;
	rig_send(near_port, 0,
		 (struct sent){ .verdict = TO(port->index), .len = 5000 });
	WAIT(!read_some(&r, BUFFER) && r.n == 1);
	put_frame(buffer, 5, RIG_MIN);
	assert_int_equal(send(fd, buffer, STREAM_HEAD + RIG_MIN, 0),
			 STREAM_HEAD + RIG_MIN);
	WAIT(dummy_pending_out(near_port, 0));
	rig_expect(near_port, 0, 5);
	rig_check();
}

static void tcp_both_roles(int family)
{
	char text[SOCKET_TEXT_SIZE];
	struct socket_addr a;
	struct port *port;
	int listener = tcp_socket(family, &a), fd = -1;

	assert_int_equal(listen(listener, 1), 0);
	socket_addr_text(&a, text);
	port = open_port("client", "stream",
			 "{\"addr\": \"%s\", \"mode\": \"client\"}", text);
	WAIT((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	WAIT(shown(port, "connected"));
	assert_true(shows_text(port, "peer", text));
	assert_true(((struct stream *)port->drv)->rx.plain);
	exchange(port, fd);
	close(listener);
	close(fd);
	WAIT(shows_text(port, "last_error", "Connection refused"));
	port_destroy(port);

	/* Where connections still linger. */
	port = open_port("server", "stream", "{\"addr\": \"%s\"}", text);
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_true(!connect(fd, &a.any, a.len) || errno == EINPROGRESS);
	WAIT(shown(port, "connected"));
	exchange(port, fd);
	close(fd);
}

static void tcp_over_ipv4(void **state)
{
	tcp_both_roles(AF_INET);
}

static void tcp_over_ipv6(void **state)
{
	tcp_both_roles(AF_INET6);
}

static void options_are_checked(void **state)
{
	refuse_port("stream", -EINVAL, "either path", "{}");
	refuse_port("stream", -EINVAL, "either path",
		    "{\"path\": \"/tmp/x\", \"addr\": \"127.0.0.1:1\"}");
	refuse_port("stream", -EINVAL, "absolute", "{\"path\": \"x\"}");
	refuse_port("stream", -EINVAL, "ADDRESS:PORT",
		    "{\"addr\": \"localhost:5\"}");
	refuse_port("stream", -EINVAL, "server",
		    "{\"path\": \"/tmp/x\", \"mode\": \"both\"}");
	refuse_port("stream", -EINVAL, "pth", "{\"pth\": \"/tmp/x\"}");
	refuse_port("stream", -EINVAL, "mode=server",
		    "{\"addr\": \"127.0.0.1:1\", \"access\": \"0600\"}");
	refuse_port("stream", -EINVAL, "address to connect to",
		    "{\"addr\": \"*:5000\", \"mode\": \"client\"}");
	refuse_port("stream", -EINVAL, "address to connect to",
		    "{\"addr\": \"0.0.0.0:5000\", \"mode\": \"client\"}");
	refuse_port("stream", -EINVAL, "address to connect to",
		    "{\"addr\": \"[::]:5000\", \"mode\": \"client\"}");
	refuse_port("stream", -EINVAL, "octal",
		    "{\"path\": \"/tmp/x\", \"access\": \"none\"}");
	refuse_port("stream", -ENOENT, "directory",
		    "{\"path\": \"/no/such/place/x\"}");
}

/* Two workers, each with a dummy port, and a stream port with a peer. */
static struct port *open_two(struct port **second, int *fd, int size)
{
	struct port *port;

	loop_rig_teardown(NULL);
	loop_rig_open(2);
	*second = rig_port("second", "{\"slots\": 4096}");
	assert_int_equal(engine_start(engine, NULL), 0);
	port = open_port("far", "stream", "{\"path\": \"%s\"}", path);
	*fd = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(*fd, path), 0);
	while (!shown(port, "connected"))
		loop_turn(&loop, 10);
	setsockopt(((struct stream *)port->drv)->conn.fd, SOL_SOCKET, SO_SNDBUF,
		   &size, sizeof(size));
	return port;
}

static bool inject(struct port *from, uint32_t seq, uint32_t len)
{
	struct sent s = { .verdict = TO(2), .seq = seq, .len = len };
	static uint8_t buf[RIG_MAX];

	rig_build(buf, &s);
	return !dummy_inject_flat(from, 0, buf, len);
}

/* All that was injected has gone somewhere. */
static void read_all(struct reader *r, struct port *port, struct port *second)
{
	while (dummy_pending_in(near_port, 0) || dummy_pending_in(second, 0) ||
	       r->len || r->n < rig_out(port).packets) {
		read_some(r, BUFFER);
		loop_turn(&loop, 0);
	}
}

/* Two workers send into one socket at once; its reader is slow at times. */
static void workers_take_turns(void **state)
{
	static struct reader r;
	struct port *port, *second;
	uint32_t i = 0;

	memset(&r, 0, sizeof(r));
	r.two = true;
	port = open_two(&second, &r.fd, 4 * TINY);
	while (i < PACKETS) {
		i += inject(i % 2 ? second : near_port, i, length_of(i));
		read_some(&r, i % 512 ? 1000 : 60000);
		loop_turn(&loop, 0);
	}
	read_all(&r, port, second);
	assert_int_equal(r.n + rig_out(port).drops[DROP_OUT_NO_ROOM], PACKETS);
	rig_check();
	close(r.fd);
}

/* Somebody sends, and comes to no end. Workers go on: what they have for the
 * port waits for him, as far as there is room. */
static void nobody_waits_for_anothers_system_call(void **state)
{
	static struct reader r;
	struct port *port, *second;
	struct stream *s;
	uint64_t until;
	uint32_t i = 0, queued, dropped;

	memset(&r, 0, sizeof(r));
	r.two = true;
	port = open_two(&second, &r.fd, BUFFER);
	s = port->drv;
	pthread_mutex_lock(&s->tx.lock);
	until = worker_clock() + PATIENCE_NS;
	do {
		if (i < PACKETS)
			i += inject(i % 2 ? second : near_port, i, LONGEST / 9);
		queued = rig_out(port).packets;
		dropped = rig_out(port).drops[DROP_OUT_NO_ROOM];
	} while (queued + dropped < PACKETS && worker_clock() < until);
	read_some(&r, BUFFER);
	if (queued + dropped != PACKETS || queued < 500 || !dropped ||
	    r.n + r.len) {
		/* The teardown needs the lock. */
		pthread_mutex_unlock(&s->tx.lock);
		fail_msg("%u of %u queued, %u dropped, %u bytes sent: %s",
			 queued, PACKETS, dropped, (unsigned)(r.n + r.len),
			 "does a worker wait?");
	}
	/* Who has the lock sends it all, or sees to it. */
	stream_tx_unlock(s);
	read_all(&r, port, second);
	assert_int_equal(r.n, queued);
	assert_int_equal(shown(port, "handed_over"), queued);
	assert_int_equal(shown(port, "lost"), 0);
	rig_check();
	close(r.fd);
}

/* What waits in the queue when the connection ends is not for the next peer. */
static void the_next_peer_gets_nothing_old(void **state)
{
	static struct reader r;
	struct port *port, *second;
	struct stream *s;

	memset(&r, 0, sizeof(r));
	port = open_two(&second, &r.fd, BUFFER);
	s = port->drv;
	pthread_mutex_lock(&s->tx.lock);
	while (!inject(near_port, 0, 1000))
		;
	while (dummy_pending_in(near_port, 0))
		;
	s->tx.fd = -1; /* as send() would, when the peer has gone */
	stream_tx_unlock(s);
	assert_int_equal(shown(port, "lost"), 1);
	close(r.fd);
	while (shown(port, "connected"))
		loop_turn(&loop, 10);
	r.fd = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(r.fd, path), 0);
	while (!shown(port, "connected"))
		loop_turn(&loop, 10);
	while (!inject(near_port, 1, 1000))
		;
	while (dummy_pending_in(near_port, 0) || !r.n) {
		read_some(&r, BUFFER);
		loop_turn(&loop, 0);
	}
	assert_int_equal(r.n, 1);
	assert_int_equal(r.next[0], 2);
	rig_check();
	close(r.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(frames_arrive_however_they_are_cut),
		LOOP_TEST(what_came_before_the_end_is_forwarded),
		LOOP_TEST(a_length_that_cannot_be_costs_the_connection),
		LOOP_TEST(runts_are_dropped_and_counted),
		LOOP_TEST(a_peer_that_dies_within_a_frame_is_told_apart),
		LOOP_TEST(a_full_socket_drops_whole_frames_only),
		LOOP_TEST(packets_of_many_segments_pass),
		LOOP_TEST(too_long_frames_are_not_sent),
		LOOP_TEST(without_a_peer_the_link_is_down),
		LOOP_TEST(a_second_client_is_refused),
		LOOP_TEST(a_storm_is_slowed_down),
		LOOP_TEST(socket_files_come_and_go),
		LOOP_TEST(a_client_keeps_trying),
		LOOP_TEST(tcp_over_ipv4),
		LOOP_TEST(tcp_over_ipv6),
		LOOP_TEST(options_are_checked),
		LOOP_TEST(workers_take_turns),
		LOOP_TEST(nobody_waits_for_anothers_system_call),
		LOOP_TEST(the_next_peer_gets_nothing_old),
	};

	return cmocka_run_group_tests_name("stream", tests, rig_group_setup,
					   rig_group_teardown);
}
