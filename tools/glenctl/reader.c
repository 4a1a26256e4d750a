// SPDX-License-Identifier: BSD-2-Clause
// reader.c - the reading side of a capture's rings (core/capture.h).
#include "tools/glenctl/reader.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct capture_head *head_of(const struct reader *r)
{
	return (struct capture_head *)r->mem;
}

static struct capture_tail *tail_of(const struct reader *r)
{
	return (struct capture_tail *)(r->mem + CAPTURE_TAIL_OFF);
}

static struct capture_port *port_of(const struct reader *r, unsigned line)
{
	return (struct capture_port *)(r->mem + CAPTURE_PORTS_OFF) + line;
}

int reader_open(struct reader *r, int mem_fd, int wake_fd, uint64_t n_rings,
		uint64_t ring_bytes)
{
	struct stat st;
	int ret = 0;

	memset(r, 0, sizeof(*r));
	r->wake_fd = wake_fd;
	if (mem_fd < 0 || wake_fd < 0 || n_rings < 1 ||
	    n_rings > CAPTURE_RINGS_MAX || ring_bytes > CAPTURE_RING_MAX ||
	    ring_bytes < CAPTURE_PAGE || (ring_bytes & (ring_bytes - 1))) {
		ret = -EPROTO;
		goto out;
	}
	r->n_rings = n_rings;
	r->ring_bytes = ring_bytes;
	r->size = capture_size(n_rings, ring_bytes);
	if (fstat(mem_fd, &st)) {
		ret = -errno;
		goto out;
	}
	if ((uint64_t)st.st_size < r->size) {
		ret = -EPROTO;
		goto out;
	}
	r->mem = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd,
		      0);
	if (r->mem == MAP_FAILED) {
		r->mem = NULL;
		ret = -errno;
	}
out:
	if (mem_fd >= 0)
		close(mem_fd);
	return ret;
}

void reader_close(struct reader *r)
{
	if (r->mem)
		munmap(r->mem, r->size);
	if (r->wake_fd >= 0)
		close(r->wake_fd);
	r->mem = NULL;
	r->wake_fd = -1;
}

bool reader_look(struct reader *r)
{
	bool any = false;

	for (unsigned i = 0; i < r->n_rings; i++) {
		/* Pairs with the release in glend's writer_end(). */
		r->head[i] = atomic_load_explicit(&head_of(r)->rings[i].head,
						  memory_order_acquire);
		if (r->head[i] - r->tail[i] > r->ring_bytes)
			r->broken = true;
		any |= r->head[i] != r->tail[i];
	}
	return any && !r->broken;
}

/* The record at the tail of ring i, behind padding; NULL: none. */
static const struct capture_record *peek(struct reader *r, unsigned i)
{
	const uint8_t *ring = r->mem + CAPTURE_RINGS_OFF + i * r->ring_bytes;

	while (r->tail[i] != r->head[i]) {
		uint64_t at = r->tail[i] & (r->ring_bytes - 1);
		const struct capture_record *record = (const void *)(ring + at);
		uint32_t size = record->size;

		if (size < 8 || size % 8 || size > r->ring_bytes - at ||
		    size > r->head[i] - r->tail[i])
			break;
		if (record->kind == CAPTURE_PAD) {
			r->tail[i] += size;
			continue;
		}
		if (size < sizeof(*record) ||
		    record->cap_len > size - sizeof(*record))
			break;
		return record;
	}
	r->broken |= r->tail[i] != r->head[i];
	return NULL;
}

const struct capture_record *reader_next(struct reader *r)
{
	const struct capture_record *oldest = NULL;
	unsigned ring = 0;

	for (unsigned i = 0; i < r->n_rings; i++) {
		const struct capture_record *record = peek(r, i);

		if (record && (!oldest || record->time_ns < oldest->time_ns)) {
			oldest = record;
			ring = i;
		}
	}
	if (r->broken)
		return NULL;
	if (oldest)
		r->tail[ring] += oldest->size;
	return oldest;
}

void reader_release(struct reader *r)
{
	/* Pairs with the acquire in glend's writer_reserve(). */
	for (unsigned i = 0; i < r->n_rings; i++)
		atomic_store_explicit(&tail_of(r)->rings[i].tail, r->tail[i],
				      memory_order_release);
}

bool reader_wait(struct reader *r, int other_fd, int timeout_ms)
{
	struct pollfd fds[2] = { { r->wake_fd, POLLIN, 0 },
				 { other_fd, POLLIN, 0 } };
	char bytes[64];

	atomic_store_explicit(&tail_of(r)->wake_seq, ++r->wake_seq,
			      memory_order_relaxed);
	/* Pairs with the fence in glend's writer_end(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (reader_look(r) || r->broken)
		timeout_ms = 0;
	if (poll(fds, 2, timeout_ms) <= 0)
		return false;
	while (recv(r->wake_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return fds[1].revents != 0;
}

bool reader_ended(const struct reader *r)
{
	return atomic_load_explicit(&head_of(r)->ended, memory_order_acquire);
}

const char *reader_port(const struct reader *r, unsigned line)
{
	const char *name;

	if (line >= CAPTURE_PORTS)
		return NULL;
	name = port_of(r, line)->name;
	if (!name[0] || !memchr(name, '\0', CAPTURE_NAME_SIZE))
		return NULL;
	return name;
}

uint64_t reader_port_missed(const struct reader *r, unsigned line)
{
	return atomic_load_explicit(&port_of(r, line)->missed,
				    memory_order_relaxed);
}

uint64_t reader_missed(const struct reader *r)
{
	uint64_t missed = 0;

	for (unsigned i = 0; i < r->n_rings; i++)
		missed += atomic_load_explicit(&head_of(r)->rings[i].missed,
					       memory_order_relaxed);
	return missed;
}
