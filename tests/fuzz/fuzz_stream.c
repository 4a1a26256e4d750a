// SPDX-License-Identifier: BSD-2-Clause
// fuzz_stream.c - any bytes in any pieces as the frames of a stream port.
/*
 * Input: a number of pieces, each a length (1 byte, times 16 plus 1 or, from
 * 240 on, times 1024) and, as the bytes that are sent, what follows the first
 * byte of the input over and over. A plain reader of the same bytes says which
 * frames must come.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port/stream/stream.h"

enum { SENT_MAX = 1 << 20, PIECES_MAX = 64 };

static struct stream stream = { .wake.fd = -1, .rx.stream = &stream };
static struct port port;
static struct counters counters;
static struct batch batch;
static struct ingress in = { .port = &port,
			     .drv = &stream.rx,
			     .counters = &counters };
static uint8_t sent[SENT_MAX];
static size_t n_sent, n_checked;

/* What is at sent[n_checked] by the rules; NULL: not a whole frame. */
static const uint8_t *next_frame(uint32_t *len)
{
	const uint8_t *p = sent + n_checked;

	if (n_sent - n_checked < STREAM_HEAD)
		return NULL;
	*len = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
	if (*len < 1 || *len > STREAM_FRAME_MAX ||
	    n_sent - n_checked - STREAM_HEAD < *len)
		return NULL;
	n_checked += STREAM_HEAD + *len;
	return p + STREAM_HEAD;
}

/* Packets of the batch are the next frames, without the runts. */
static uint64_t check_batch(void)
{
	uint64_t runts = 0;

	FUZZ_CHECK(batch.n <= BATCH_MAX && batch.n_segs == batch.n);
	for (unsigned i = 0; i < batch.n; i++) {
		const struct seg *seg = &batch.seg[batch.seg0[i]];
		const uint8_t *frame;
		uint32_t len;

		for (;;) {
			frame = next_frame(&len);
			FUZZ_CHECK(frame);
			if (len >= PACKET_LEN_MIN)
				break;
			runts++;
		}
		FUZZ_CHECK(batch.n_seg[i] == 1 && batch.len[i] == len);
		FUZZ_CHECK(seg->len == len && !memcmp(seg->ptr, frame, len));
		FUZZ_CHECK(seg->ptr >= stream.rx.arena &&
			   seg->ptr + len <= stream.rx.arena + STREAM_ARENA);
	}
	return runts;
}

/* Takes what there is. Returns the runts that were passed over. */
static uint64_t take(void)
{
	uint64_t runts = 0;
	unsigned used;

	do {
		batch.n = batch.n_segs = 0;
		used = stream_hot.rx(&in, &batch);
		runts += check_batch();
		stream_hot.rx_done(&in, &batch);
	} while (used);
	return runts;
}

static void piece(int fd, const uint8_t *data, size_t size, size_t len)
{
	size_t done = n_sent;

	for (size_t i = 0; i < len; i++, n_sent++)
		sent[n_sent] = data[n_sent % size];
	while (done < n_sent) {
		ssize_t n = send(fd, sent + done, n_sent - done, MSG_DONTWAIT);

		FUZZ_CHECK(n > 0);
		done += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n_pieces = size ? data[0] % PIECES_MAX : 0;
	uint64_t runts = 0;
	uint32_t len;
	int fds[2];

	if (size < 2 + n_pieces)
		return 0;
	if (!stream.rx.arena)
		stream.rx.arena = calloc(1, STREAM_ARENA + STREAM_SPARE);
	FUZZ_CHECK(stream.rx.arena);
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	stream.rx.fd = fds[0];
	stream.rx.head = stream.rx.tail = 0;
	stream.rx.over = false;
	atomic_store(&stream.end, STREAM_END_NONE);
	memset(&counters, 0, sizeof(counters));
	n_sent = n_checked = 0;
	for (size_t i = 0; i < n_pieces && !stream.rx.over; i++) {
		uint8_t code = data[1 + i];
		size_t most = code < 240 ? code * 16 + 1 : (code - 239) * 1024;

		if (most > SENT_MAX - n_sent)
			break;
		piece(fds[1], data + 1 + n_pieces, size - 1 - n_pieces, most);
		runts += take();
	}
	close(fds[1]);
	runts += take();
	/* What is left: runts, then nothing, a part, or a breach. */
	while (next_frame(&len)) {
		FUZZ_CHECK(len < PACKET_LEN_MIN);
		runts++;
	}
	FUZZ_CHECK(counters.drops[DROP_IN_RUNT] == runts);
	FUZZ_CHECK(stream.rx.over && atomic_load(&stream.end));
	if (atomic_load(&stream.end) >> 32 == STREAM_END_CLOSED)
		FUZZ_CHECK(n_checked == n_sent);
	close(fds[0]);
	return 0;
}
