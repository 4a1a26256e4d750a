/* SPDX-License-Identifier: BSD-2-Clause */
/* share.h - turns and counters that all processes of a benchmark share. */
#ifndef BENCH_SHARE_H
#define BENCH_SHARE_H
/*
 * Theory of operation
 *
 * A benchmark compares sides: the thing measured and its references. Every
 * side is set up once and stays; then they take turns, A B A B, in slices of
 * about 100 ms. conduct gives the turns and reads the clock, party processes
 * do the work:
 *
 *   conduct            party            party
 *   turn = 0  ------>  side 0 runs      sleeps on the turn word
 *   (10 ms settle, read counters, 90 ms, read counters)
 *   turn = none ---->  n_busy-- ...     conduct waits until nobody runs
 *   probe of the core distance
 *   turn = 1  ------>  sleeps           side 1 runs
 *
 * All of it lies in one mapped file. Nobody but conduct writes the turn word,
 * so a party pays one load of a line of its own cache per batch. A counter has
 * one writer, a receiver of the side's, and only grows.
 *
 * A side that blocks instead of polling may measure its own window (own_ns) or
 * store the duration of single rounds (sample_ns); conduct then takes those.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	SIDES_MAX = 16,
	RECEIVERS_MAX = 2,     /* threads of a side that count */
	SAMPLES_MAX = 1 << 16, /* more rounds in a slice are not recorded */
	/* Values of the turn word; side i runs while it is i + 1. */
	TURN_NONE = 0,
	TURN_QUIT = SIDES_MAX + 1,
};

struct side {
	/* What the receivers got so far; each writes its own. */
	struct {
		_Alignas(64) _Atomic uint64_t packets;
	} received[RECEIVERS_MAX];
	/* A window measured by the side itself; own_ns 0: it has none. */
	_Alignas(64) _Atomic uint64_t own_packets;
	_Atomic uint64_t own_ns;
	/* Durations of single rounds in this turn; written by the side. */
	_Alignas(64) _Atomic uint32_t n_samples;
	uint32_t sample_ns[SAMPLES_MAX];
};

struct share {
	/* Whose turn it is; written by conduct. */
	_Alignas(64) _Atomic uint32_t turn;
	/* Processes that have set up their sides. */
	_Alignas(64) _Atomic uint32_t n_ready;
	/* Threads that are between seeing their turn and its end. */
	_Atomic uint32_t n_busy;
	struct side side[SIDES_MAX];
};

/* Maps the file, made by whoever comes first. Exits on failure. */
static inline struct share *share_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct share *s = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, sizeof(*s)))
		s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);
	if (s == MAP_FAILED) {
		perror(path);
		exit(1);
	}
	close(fd);
	return s;
}

/* One for a single process. */
static inline struct share *share_new(void)
{
	struct share *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return s;
}

/* True while it is the turn of side i; for the loop around every batch. */
static inline bool share_runs(struct share *s, unsigned i)
{
	return atomic_load_explicit(&s->turn, memory_order_relaxed) == i + 1;
}

/* Sleeps while the turn is the one last seen. */
static inline void share_wait(struct share *s, uint32_t seen)
{
	syscall(SYS_futex, &s->turn, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static inline void share_give(struct share *s, uint32_t turn)
{
	atomic_store(&s->turn, turn);
	syscall(SYS_futex, &s->turn, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/*
 * Sleeps until it is the turn of one of sides (a bit each) and returns it, or
 * -1 at the end. share_leave() must follow.
 */
static inline int share_enter(struct share *s, uint32_t sides)
{
	for (;;) {
		uint32_t turn = atomic_load(&s->turn);

		if (turn == TURN_QUIT)
			return -1;
		if (turn != TURN_NONE && (sides & 1U << (turn - 1))) {
			atomic_fetch_add(&s->n_busy, 1);
			if (atomic_load(&s->turn) == turn)
				return (int)turn - 1;
			atomic_fetch_sub(&s->n_busy, 1);
			continue;
		}
		share_wait(s, turn);
	}
}

static inline void share_leave(struct share *s)
{
	atomic_fetch_sub(&s->n_busy, 1);
}

static inline void share_count(struct side *side, unsigned who, uint32_t n)
{
	_Atomic uint64_t *packets = &side->received[who].packets;
	uint64_t old = atomic_load_explicit(packets, memory_order_relaxed);

	atomic_store_explicit(packets, old + n, memory_order_relaxed);
}

static inline uint64_t share_counted(struct side *side)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < RECEIVERS_MAX; i++)
		n += atomic_load(&side->received[i].packets);
	return n;
}

static inline void share_sample(struct side *side, uint64_t ns)
{
	uint32_t n = atomic_load_explicit(&side->n_samples,
					  memory_order_relaxed);

	if (n >= SAMPLES_MAX)
		return;
	side->sample_ns[n] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	atomic_store_explicit(&side->n_samples, n + 1, memory_order_release);
}

static inline uint64_t share_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static inline void share_sleep_ms(unsigned ms)
{
	struct timespec nap = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&nap, NULL);
}

/* Best effort: a machine of one processor runs everything there. */
static inline void share_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

#endif
