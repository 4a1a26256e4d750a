// SPDX-License-Identifier: BSD-2-Clause
// link_memory.c - a link between two processes that is nothing but memory.
/*
 * One file: a page of indexes, then for each direction its slots and buffers.
 * The sender fills the buffer of a slot, the receiver reads it there; one copy
 * less than a switch makes, and no checks: each side can spoil the other.
 *
 *   sender       sent   = head; full fence; wakes the receiver if asked
 *   receiver     done   = head; full fence; wakes the sender if asked
 *
 * Indexes count slots without end. A side that is about to sleep says so in
 * its word asleep, looks again, and waits for that word to change.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "link.h"

enum {
	PAGE = 4096,
	SLOTS_DEFAULT = 1024,
	SPIN_NS = 4000, /* what libglen takes on few processors */
};

/* What a side writes, in a line of its own. */
struct way {
	_Alignas(64) _Atomic uint32_t sent; /* by the sender */
	_Alignas(64) _Atomic uint32_t done; /* by the receiver */
};

struct shared {
	struct way way[2];			 /* from side 0, from 1 */
	_Alignas(64) _Atomic uint32_t asleep[2]; /* each side's */
	uint32_t slots;
};

struct memory {
	struct link link; /* first */
	struct shared *shared;
	size_t size;
	unsigned side;
	uint32_t sent, done, seen; /* endless: TX head, RX head, RX tail */
	uint32_t acked;		   /* TX slots that the other side read */
	uint64_t spin_ns;
	bool may_spin; /* there is more than one processor */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void wake(struct memory *m)
{
	_Atomic uint32_t *word = &m->shared->asleep[!m->side];

	if (atomic_load_explicit(word, memory_order_relaxed) &&
	    atomic_exchange(word, 0))
		syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static int memory_sync(struct link *link)
{
	struct memory *m = (struct memory *)link;
	struct way *out = &m->shared->way[m->side];
	struct way *in = &m->shared->way[!m->side];
	uint32_t sent = (link->tx.head - m->sent) & link->tx.mask;
	uint32_t done = (link->rx.head - m->done) & link->rx.mask;

	if (sent || done) {
		m->sent += sent;
		m->done += done;
		atomic_store_explicit(&out->sent, m->sent,
				      memory_order_release);
		atomic_store_explicit(&in->done, m->done, memory_order_release);
		/* Pairs with the fence of memory_wait(). */
		atomic_thread_fence(memory_order_seq_cst);
		wake(m);
	}
	m->acked = atomic_load_explicit(&out->done, memory_order_acquire);
	m->seen = atomic_load_explicit(&in->sent, memory_order_acquire);
	link->tx.tail = (m->acked + link->tx.mask) & link->tx.mask;
	link->rx.tail = m->seen & link->rx.mask;
	return 0;
}

static bool moved(const struct link *link, bool room)
{
	return link->rx.head != link->rx.tail ||
	       (room && link->tx.head != link->tx.tail);
}

/* As libglen spins before it sleeps: as long as it pays. */
static bool spin(struct memory *m, bool room)
{
	uint64_t start = now_ns();
	bool got;

	do {
		for (unsigned i = 0; i < 8; i++) {
			pause_cpu();
			memory_sync(&m->link);
			got = moved(&m->link, room);
			if (got)
				break;
		}
	} while (!got && now_ns() - start < m->spin_ns);
	if (got)
		m->spin_ns += m->spin_ns / 4 + 100;
	else
		m->spin_ns /= 2;
	if (m->spin_ns > SPIN_NS)
		m->spin_ns = SPIN_NS;
	return got;
}

static int memory_wait(struct link *link, bool room, int timeout_ms)
{
	struct memory *m = (struct memory *)link;
	_Atomic uint32_t *word = &m->shared->asleep[m->side];
	struct timespec t = { timeout_ms / 1000,
			      (long)(timeout_ms % 1000) * 1000000 };

	memory_sync(link);
	if (moved(link, room) || (m->may_spin && spin(m, room)))
		return 0;
	atomic_store(word, 1);
	/* Pairs with the fence of memory_sync(). */
	atomic_thread_fence(memory_order_seq_cst);
	memory_sync(link);
	if (!moved(link, room))
		syscall(SYS_futex, word, FUTEX_WAIT, 1,
			timeout_ms < 0 ? NULL : &t, NULL, 0);
	atomic_store(word, 0);
	return memory_sync(link);
}

static void memory_close(struct link *link)
{
	struct memory *m = (struct memory *)link;

	munmap(m->shared, m->size);
	free(link->spare);
	free(m);
}

/* Bytes of a direction: its slots, then its buffers. */
static size_t way_size(unsigned slots)
{
	size_t n = slots * sizeof(struct netmap_slot);

	n += (size_t)(slots + LINK_SPARE) * LINK_BUF_SIZE;
	return (n + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static struct link_ring way_ring(struct memory *m, unsigned way, unsigned slots)
{
	char *base = (char *)m->shared + PAGE + way * way_size(slots);

	return (struct link_ring){
		.slot = (struct netmap_slot *)(void *)base,
		.bufs = base + slots * sizeof(struct netmap_slot),
		.buf_size = LINK_BUF_SIZE,
		.mask = slots - 1,
	};
}

/* Goes on where the side was left; buffers in no slot are spare. */
static int take_up(struct memory *m, unsigned slots)
{
	struct link *link = &m->link;
	bool *used = calloc(slots + LINK_SPARE, sizeof(*used));

	link->spare = calloc(LINK_SPARE, sizeof(*link->spare));
	if (!used || !link->spare) {
		free(used);
		return -ENOMEM;
	}
	link->tx = way_ring(m, m->side, slots);
	link->rx = way_ring(m, !m->side, slots);
	m->sent = m->shared->way[m->side].sent;
	m->done = m->shared->way[!m->side].sent;
	m->shared->way[!m->side].done = m->done;
	link->tx.head = m->sent & link->tx.mask;
	link->rx.head = m->done & link->rx.mask;
	memory_sync(link);
	for (unsigned i = 0; i < slots; i++)
		used[link->rx.slot[i].buf_idx % (slots + LINK_SPARE)] = true;
	for (unsigned i = 0; i < slots + LINK_SPARE; i++)
		if (!used[i] && link->n_spare < LINK_SPARE)
			link->spare[link->n_spare++] = i;
	link->n_bufs = LINK_SPARE;
	free(used);
	return 0;
}

static void lay_out(struct memory *m, unsigned slots)
{
	for (unsigned way = 0; way < 2; way++) {
		struct link_ring r = way_ring(m, way, slots);

		for (unsigned i = 0; i < slots; i++)
			r.slot[i].buf_idx = i;
	}
	m->shared->slots = slots;
}

/* Maps the file, whose lock is held, and makes it if it is empty. */
static int map_file(struct memory *m, int fd, const char *path, unsigned slots,
		    struct glen_error *error)
{
	struct stat st;
	bool empty;

	if (fstat(fd, &st))
		return fail(error, -errno, "%s: %s", path, strerror(errno));
	empty = !st.st_size;
	if (empty && ftruncate(fd, (off_t)m->size))
		return fail(error, -errno, "cannot make %s %zu bytes long: %s",
			    path, m->size, strerror(errno));
	if (!empty && (size_t)st.st_size != m->size)
		return fail(error, -EINVAL,
			    "%s is not a link of %u slots: give both sides the "
			    "same --slots, or remove the file",
			    path, slots);
	m->shared = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, fd, 0);
	if (m->shared == MAP_FAILED)
		return fail(error, -errno, "cannot map %s: %s", path,
			    strerror(errno));
	if (empty)
		lay_out(m, slots);
	return 0;
}

int link_memory_open(struct link **out, const char *path, unsigned side,
		     unsigned slots, struct glen_error *error)
{
	struct memory *m = calloc(1, sizeof(*m));
	cpu_set_t cpus;
	int fd, err;

	*out = NULL;
	if (!m)
		return fail(error, -ENOMEM, "out of memory");
	if (!slots)
		slots = SLOTS_DEFAULT;
	m->side = side;
	m->may_spin = !sched_getaffinity(0, sizeof(cpus), &cpus) &&
		      CPU_COUNT(&cpus) > 1;
	m->size = PAGE + 2 * way_size(slots);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = fail(error, -errno, "cannot open %s: %s", path,
			   strerror(errno));
		goto err_free;
	}
	err = flock(fd, LOCK_EX) ? -errno : 0;
	if (!err)
		err = map_file(m, fd, path, slots, error);
	if (!err)
		err = take_up(m, slots);
	/* The mapping keeps the file open, and with it the lock. */
	flock(fd, LOCK_UN);
	close(fd);
	if (err)
		goto err_free;
	m->link.sync = memory_sync;
	m->link.wait = memory_wait;
	m->link.close = memory_close;
	*out = &m->link;
	return 0;

err_free:
	free(m->link.spare);
	free(m);
	return err;
}
