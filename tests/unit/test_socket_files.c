// SPDX-License-Identifier: BSD-2-Clause
// test_socket_files.c - file descriptors sent to stream and dgram ports.
#include "stream_rig.h"

#include "linger.h"
#include "port/dgram/dgram.h"
#include "port/stream/stream.h"

/*
 * Each of them is the last reference to a socket that nobody can close: whoever
 * did so in the switch's name, here the one thread of the test, would wait
 * until the test gives up.
 */
static int end;

static int files_teardown(void **state)
{
	if (end >= 0)
		read_all(end);
	loop_rig_teardown(state);
	unlink(other_path);
	return 0;
}

#define FILES_TEST(f) \
	cmocka_unit_test_setup_teardown(f, loop_rig_setup, files_teardown)

/* Sends it, n times, with len bytes. */
static void send_lingering(int to, const void *data, size_t len, unsigned n)
{
	int fd = lingering(&end);

	send_file(to, data, len, fd, n);
	close(fd);
}

static bool is_ended(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

static uint32_t put_packet(uint8_t *p, uint32_t seq)
{
	rig_build(p, &(struct sent){
			     .verdict = TO(0), .seq = seq, .len = RIG_MIN });
	return RIG_MIN;
}

static uint32_t put_frame(uint8_t *p, uint32_t seq)
{
	rig_put32(p, RIG_MIN);
	return STREAM_HEAD + put_packet(p + STREAM_HEAD, seq);
}

static void expect(uint32_t seq)
{
	WAIT(dummy_pending_out(near_port, 0));
	rig_expect(near_port, 0, seq);
}

static int stream_connect(struct port *port, long connections)
{
	int fd = test_socket(SOCK_STREAM, NULL);

	assert_int_equal(connect_to(fd, path), 0);
	WAIT(shown(port, "connections") == connections);
	return fd;
}

static void the_kernel_refuses_them(void **state)
{
	struct port *stream = open_port("far", "stream", "{\"path\": \"%s\"}",
					path);
	int fd = stream_connect(stream, 1);
	struct port *dgram;
	uint8_t buffer[100];

	end = -1;
	if (!allow_files(fd)) {
		close(fd);
		skip(); /* Linux before 6.16 */
	}
	/* So it need not be ready for them. */
	assert_true(((struct stream *)stream->drv)->rx.plain);
	assert_int_equal(try_send_file(fd, buffer, 10, fd, 1), -EPERM);
	assert_int_equal(send(fd, buffer, put_frame(buffer, 1), 0),
			 STREAM_HEAD + RIG_MIN);
	expect(1);
	close(fd);
	port_destroy(stream);

	dgram = open_port("far", "dgram",
			  "{\"path\": \"%s\", \"peer\": \"%s\"}", path,
			  other_path);
	fd = test_socket(SOCK_DGRAM, other_path);
	assert_int_equal(connect_to(fd, path), 0);
	assert_int_equal(try_send_file(fd, buffer, 60, fd, 1), -EPERM);
	assert_int_equal(send(fd, buffer, put_packet(buffer, 2), 0), RIG_MIN);
	expect(2);
	assert_int_equal(rig_in(dgram).packets, 1);
	rig_check();
	close(fd);
}

static void a_stream_that_sends_them_is_ended(void **state)
{
	struct port *port = open_port("far", "stream", "{\"path\": \"%s\"}",
				      path);
	struct stream *s = port->drv;
	uint8_t buffer[200];
	uint32_t len;
	int fd;

	allow_files(s->listener.fd);
	fd = stream_connect(port, 1);
	assert_false(s->rx.plain);
	len = put_frame(buffer, 0);
	assert_int_equal(send(fd, buffer, len, 0), len);
	send_lingering(fd, buffer, len, DISCARD_SCM_MAX);
	WAIT(is_ended(fd));
	assert_true(shows_text(port, "last_error", "file descriptors"));
	close(fd);
	expect(0);
	expect(0); /* what came with them */
	fd = stream_connect(port, 2);
	assert_int_equal(send(fd, buffer, put_frame(buffer, 1), 0), len);
	expect(1);
	rig_none(near_port);
	rig_check();
	close(fd);
}

static void those_that_nobody_read_go_with_the_connection(void **state)
{
	struct port *port = open_port("far", "stream", "{\"path\": \"%s\"}",
				      path);
	struct stream *s = port->drv;
	int first, second, third;

	allow_files(s->listener.fd);
	first = stream_connect(port, 1);
	second = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(second, path), 0);
	send_lingering(second, "x", 1, 1);
	WAIT(is_ended(second)); /* refused */
	assert_int_equal(shown(port, "refused"), 1);
	assert_true(shown(port, "connected"));
	read_all(end);
	/* One that waits to be accepted when the port goes. */
	third = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(third, path), 0);
	send_lingering(third, "x", 1, 1);
	port_destroy(port);
	WAIT(is_ended(first));
	close(first);
	close(second);
	close(third);
}

/* Who makes glend keep many gets no further connection. */
static void nobody_connects_while_too_many_wait(void **state)
{
	struct port *port = open_port("far", "stream", "{\"path\": \"%s\"}",
				      path);
	struct stream *s = port->drv;
	long n = 0;
	int fd;

	allow_files(s->listener.fd);
	end = -1;
	while (!discard_is_full(s->rx.bin)) {
		assert_true(n < 10);
		fd = stream_connect(port, ++n);
		if (n == 1)
			send_lingering(fd, "x", 1, 1);
		else
			send_file(fd, "x", 1, 0, DISCARD_SCM_MAX);
		WAIT(is_ended(fd));
		close(fd);
	}
	fd = test_socket(SOCK_STREAM, NULL);
	assert_int_equal(connect_to(fd, path), 0);
	WAIT(shows_text(port, "last_error", "cannot be closed"));
	assert_int_equal(shown(port, "connections"), n);
	read_all(end);
	end = -1;
	WAIT(shown(port, "connections") == n + 1);
	close(fd);
}

static struct port *open_dgram(int *fd)
{
	struct port *port;

	*fd = test_socket(SOCK_DGRAM, other_path);
	port = open_port("far", "dgram", "{\"path\": \"%s\", \"peer\": \"%s\"}",
			 path, other_path);
	allow_files(((struct dgram *)port->drv)->sock.fd);
	assert_int_equal(connect_to(*fd, path), 0);
	return port;
}

static void a_datagram_with_some_is_dropped(void **state)
{
	struct port *port;
	uint8_t buffer[100];
	int fd;

	port = open_dgram(&fd);
	put_packet(buffer, 0);
	assert_int_equal(send(fd, buffer, RIG_MIN, 0), RIG_MIN);
	send_lingering(fd, buffer, RIG_MIN, DISCARD_SCM_MAX);
	put_packet(buffer, 1);
	assert_int_equal(send(fd, buffer, RIG_MIN, 0), RIG_MIN);
	expect(0);
	expect(1);
	assert_int_equal(rig_in(port).drops[DROP_IN_DESCRIPTORS], 1);
	assert_int_equal(rig_in(port).packets, 3);
	/* The slots are in order again. */
	for (uint32_t i = 0; i < 2 * DGRAM_BURST; i++) {
		put_packet(buffer, i);
		assert_int_equal(send(fd, buffer, RIG_MIN, 0), RIG_MIN);
		expect(i);
	}
	rig_check();
	close(fd);
}

static void too_many_break_a_dgram_port(void **state)
{
	struct port *port;
	uint8_t buffer[100];
	unsigned sent = 1;
	int fd;

	port = open_dgram(&fd);
	send_lingering(fd, buffer, RIG_MIN, 1);
	WAIT(rig_in(port).packets == 1);
	while (!port_is_broken(port)) {
		assert_true(sent < 2 * DGRAM_FILES / DISCARD_SCM_MAX);
		if (!try_send_file(fd, buffer, RIG_MIN, 0, DISCARD_SCM_MAX))
			sent++;
		pump();
	}
	/* Nobody reads this one, which goes with the port. */
	assert_int_equal(try_send_file(fd, buffer, RIG_MIN, 0, DISCARD_SCM_MAX),
			 0);
	port_destroy(port);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES_TEST(the_kernel_refuses_them),
		FILES_TEST(a_stream_that_sends_them_is_ended),
		FILES_TEST(those_that_nobody_read_go_with_the_connection),
		FILES_TEST(nobody_connects_while_too_many_wait),
		FILES_TEST(a_datagram_with_some_is_dropped),
		FILES_TEST(too_many_break_a_dgram_port),
	};

	return cmocka_run_group_tests_name("socket_files", tests,
					   rig_group_setup, rig_group_teardown);
}
