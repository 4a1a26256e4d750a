// SPDX-License-Identifier: BSD-2-Clause
// test_stream_memory.c - memory that goes while a stream port sends it.
#include "stream_rig.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "port/stream/stream.h"

/*
 * Senders' memory that goes while the kernel reads it. What was cut off becomes
 * zeros when it is touched, as port/vhost_user/sigbus.h does it; with cut_next,
 * the second piece goes just when it is found out that the first one has.
 */
enum { PIECE = 64 << 10, CUT_AT = 40 << 10, BUFFER = 1 << 18 };

static struct {
	uint8_t *at;
	int fd;
} piece[2];
static volatile unsigned hits;
static volatile bool cut_next;

static void on_bus(int signal, siginfo_t *info, void *context)
{
	unsigned k = 0;

	while (k < 2 &&
	       (uintptr_t)info->si_addr - (uintptr_t)piece[k].at >= PIECE)
		k++;
	if (k == 2)
		abort();
	hits++;
	if (cut_next)
		syscall(SYS_ftruncate, piece[1].fd, 0);
	syscall(SYS_mmap, piece[k].at, PIECE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void pieces_map(struct sigaction *before)
{
	struct sigaction action = { .sa_sigaction = on_bus,
				    .sa_flags = SA_SIGINFO };

	for (unsigned k = 0; k < 2; k++) {
		piece[k].fd = memfd_create("piece", MFD_CLOEXEC);
		assert_int_equal(ftruncate(piece[k].fd, PIECE), 0);
		piece[k].at = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
				   MAP_SHARED, piece[k].fd, 0);
		assert_ptr_not_equal(piece[k].at, MAP_FAILED);
	}
	hits = 0;
	cut_next = false;
	assert_int_equal(sigaction(SIGBUS, &action, before), 0);
}

static void pieces_unmap(const struct sigaction *before)
{
	assert_int_equal(sigaction(SIGBUS, before, NULL), 0);
	for (unsigned k = 0; k < 2; k++) {
		munmap(piece[k].at, PIECE);
		close(piece[k].fd);
	}
}

/* Sends two packets of len bytes whose data begin in these pieces. */
static struct counters send_pieces(struct port *port, unsigned first,
				   unsigned second, uint32_t len)
{
	static struct batch b;
	struct counters out = { 0 };
	struct tx_ctx ctx = { .counters = &out };
	const uint16_t list[] = { 0, 1 };
	const unsigned from[] = { first, second };

	memset(&b, 0, sizeof(b));
	b.n = b.n_segs = 2;
	for (unsigned i = 0; i < 2; i++) {
		b.len[i] = len;
		b.hdr_len[i] = HDR_MIN;
		b.seg0[i] = i;
		b.n_seg[i] = 1;
		b.seg[i] = (struct seg){ piece[from[i]].at, len - HDR_MIN };
	}
	port->out[0].hot->tx(&port->out[0], &ctx, &b, list, 2);
	return out;
}

/* Whole frames of len bytes that have come, and nothing behind them. */
static uint32_t frames_of(int fd, uint32_t len)
{
	static uint8_t bytes[BUFFER];
	uint32_t have = 0, n = 0;
	ssize_t got;

	while ((got = recv(fd, bytes + have, BUFFER - have, 0)) > 0)
		have += got;
	for (; n * (STREAM_HEAD + len) < have; n++)
		assert_int_equal(rig_get32(bytes + n * (STREAM_HEAD + len)),
				 len);
	assert_int_equal(n * (STREAM_HEAD + len), have);
	return n;
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

/* Others' packets still come, through the same connection. */
static void goes_on(struct port *port, int fd)
{
	uint8_t bytes[STREAM_HEAD + 100];

	rig_send(near_port, 0, (struct sent){ .verdict = TO(1), .len = 100 });
	WAIT(recv(fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
	assert_int_equal(rig_get32(bytes), 100);
	rig_parse(bytes + STREAM_HEAD, 100);
	assert_int_equal(shown(port, "connected"), 1);
	assert_int_equal(shown(port, "connections"), 1);
}

static void memory_that_goes_again_costs_its_packets_only(void **state)
{
	struct sigaction before;
	struct counters out;
	struct port *port;
	int fd;

	port = open_connected(&fd);
	pieces_map(&before);
	cut_next = true;
	assert_int_equal(ftruncate(piece[0].fd, 0), 0);
	out = send_pieces(port, 1, 0, 2000);
	pieces_unmap(&before);
	assert_int_equal(hits, 1);
	assert_int_equal(out.packets, 0);
	assert_int_equal(out.drops[DROP_OUT_IO_ERROR], 2);
	assert_int_equal(frames_of(fd, 2000), 0);
	goes_on(port, fd);
	close(fd);
}

/* The kernel takes what it can read, and says nothing of the rest. */
static void a_frame_whose_rest_has_gone_is_completed(void **state)
{
	struct sigaction before;
	struct counters out;
	struct port *port;
	int fd;

	port = open_connected(&fd);
	pieces_map(&before);
	assert_int_equal(ftruncate(piece[0].fd, CUT_AT), 0);
	assert_int_equal(ftruncate(piece[1].fd, 0), 0);
	out = send_pieces(port, 0, 1, 60000);
	pieces_unmap(&before);
	assert_int_equal(hits, 2); /* both are found out */
	assert_true(out.packets > 0);
	assert_int_equal(out.packets + rig_drops(&out), 2);
	assert_int_equal(frames_of(fd, 60000), out.packets);
	goes_on(port, fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(memory_that_goes_again_costs_its_packets_only),
		LOOP_TEST(a_frame_whose_rest_has_gone_is_completed),
	};

	return cmocka_run_group_tests_name("stream_memory", tests,
					   rig_group_setup, rig_group_teardown);
}
