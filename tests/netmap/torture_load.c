// SPDX-License-Identifier: BSD-2-Clause
// torture_load.c - threads on one port, programs that lie, die and come again.
/*
 * The roles take what they need from the environment: NMT_COUNT and NMT_SEED.
 */
#include "nmt.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

static uint64_t rng;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t scaled(uint64_t n)
{
	const char *scale = getenv("GLEN_SCALE");

	n = (uint64_t)((double)n * (scale ? atof(scale) : 1));
	return n > 20 ? n : 20;
}

static void seed(void)
{
	rng = setting("NMT_SEED", 1) * 2654435761U + 88172645463325252U;
	printf("# seed %llu\n", (unsigned long long)setting("NMT_SEED", 1));
}

/* Threads that do all they can with one port at once. */
struct party {
	const struct nm *a;
	bool end;
};

/* They write over each other: that is the point, but each word is whole. */
static uint32_t get32(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void move(struct netmap_ring *ring, uint32_t to)
{
	__atomic_store_n(&ring->head, to, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->cur, to, __ATOMIC_RELAXED);
}

static void *guest(void *arg)
{
	struct party *p = arg;
	const struct nm *a = p->a;

	for (unsigned i = 0; !__atomic_load_n(&p->end, __ATOMIC_ACQUIRE); i++) {
		struct netmap_ring *tx = txr(a, 0), *rx = rxr(a, 0);

		if (get32(&tx->head) != get32(&tx->tail)) {
			uint32_t at = get32(&tx->head) % tx->num_slots;

			__atomic_store_n(&tx->slot[at].len, 60,
					 __ATOMIC_RELAXED);
			__atomic_store_n(&tx->slot[at].flags, 0,
					 __ATOMIC_RELAXED);
			move(tx, nm_ring_next(tx, at));
		}
		if (i % 3 == 0)
			WORKS(ioctl(a->fd, NIOCTXSYNC, NULL));
		if (i % 4 == 0)
			WORKS(ioctl(a->fd, NIOCRXSYNC, NULL));
		if (i % 5 == 0)
			poll1(a->fd, POLLIN | POLLOUT, i % 64 ? 0 : 1);
		move(rx, get32(&rx->tail));
	}
	return NULL;
}

POINT(threads_on_one_port)
{
	pthread_t threads[6];
	struct nm a, b;
	struct party p = { .a = &a };

	pair(&a, &b);
	for (int i = 0; i < 6; i++)
		EQ(pthread_create(&threads[i], NULL, guest, &p), 0);
	for (uint64_t i = 0; i < scaled(20000); i++) {
		if (!nm_ring_space(txr(&b, 0)))
			txsync(&b);
		put_frame(txr(&b, 0), 1, 2, 60, (uint32_t)i);
		if (i % 7 == 0)
			txsync(&b);
		rxsync(&b);
		drop(rxr(&b, 0), nm_ring_space(rxr(&b, 0)));
	}
	__atomic_store_n(&p.end, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	/* Whatever they did to the rings: it works again. */
	txsync(&a);
	rxsync(&a);
	txsync(&a);
	rxsync(&a);
	txsync(&b);
	drop(rxr(&a, 0), nm_ring_space(rxr(&a, 0)));
	rxsync(&a);
	drop(rxr(&a, 0), nm_ring_space(rxr(&a, 0)));
	rxsync(&b);
	drop(rxr(&b, 0), nm_ring_space(rxr(&b, 0)));
	rxsync(&b);
	put_frame(txr(&a, 0), 2, 1, 60, 777777);
	txsync(&a);
	await_slots(&b, rxr(&b, 0), 1);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 777777);
}

static void *poll_once(void *arg)
{
	const struct nm *a = arg;

	poll1(a->fd, POLLIN, 1);
	return NULL;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

POINT(threads_that_come_and_go)
{
	struct nm a = up("vale%:a");
	pthread_t threads[8];
	int before = 0;

	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 8; i++)
			EQ(pthread_create(&threads[i], NULL, poll_once, &a), 0);
		for (int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		if (round == 0)
			before = count_fds();
	}
	CHECK(count_fds() <= before + 8);
}

/* A thread that dies, with its process, between try-lock and unlock. */
POINT(process_killed_while_it_syncs)
{
	struct nm a, b;

	seed();
	pair(&a, &b);
	for (uint64_t round = 0; round < scaled(200); round++) {
		pid_t pid = fork();

		if (!pid) {
			for (;;) {
				ioctl(a.fd, NIOCTXSYNC, NULL);
				ioctl(a.fd, NIOCRXSYNC, NULL);
				poll1(a.fd, POLLIN, 0);
			}
		}
		usleep((useconds_t)(rnd() % 2000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		put_frame(txr(&a, 0), 2, 1, 60, (uint32_t)round);
		txsync(&a);
		rxsync(&b);
		EQ(nm_ring_space(rxr(&b, 0)), 1);
		EQ(frame_number(peek(rxr(&b, 0), NULL)), round);
		drop(rxr(&b, 0), 1);
		rxsync(&b);
	}
}

static void on_alarm(int number)
{
	(void)number;
}

POINT(signals_all_the_time)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerspec every = { .it_interval.tv_nsec = 300000,
				    .it_value.tv_nsec = 300000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGUSR1 };
	timer_t timer;
	struct nm a, b;

	/* Within a call that blocks it runs handlers at once, even amid its
	 * own work for the library's code there, with its locks held. */
	if (getenv("TSAN_OPTIONS"))
		skip("ThreadSanitizer deadlocks with itself if a handler runs "
		     "while it looks at what poll() does");
	pair(&a, &b);
	WORKS(sigaction(SIGUSR1, &action, NULL));
	WORKS(timer_create(CLOCK_MONOTONIC, &event, &timer));
	WORKS(timer_settime(timer, 0, &every, NULL));
	for (uint32_t i = 0; i < scaled(5000); i++) {
		struct pollfd p = { .fd = b.fd, .events = POLLIN };

		put_frame(txr(&a, 0), 2, 1, 60, i);
		while (ioctl(a.fd, NIOCTXSYNC, NULL))
			EQ(errno, EINTR);
		while (!nm_ring_space(rxr(&b, 0))) {
			if (poll(&p, 1, WAIT_MS) < 0)
				EQ(errno, EINTR);
		}
		EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
		drop(rxr(&b, 0), 1);
	}
}

/* One REGISTER of a random kind; the port may be anybody's by its name. */
static int random_port(struct nm *p)
{
	static const char *const names[] = {
		"valet:p%d",   "vale%%:a%d",  "t%d{1",	   "t%d}1",
		"vale%%:%d{2", "vale%%:%d}2", "valet:p%d", "valet:p%d",
	};
	unsigned kind = (unsigned)(rnd() % 8);
	char name[40];

	*p = (struct nm){ 0 };
	snprintf(name, sizeof(name), names[kind], (int)(rnd() % 8));
	if (kind == 1) {
		p->reg.nr_tx_rings = (uint16_t)(rnd() % 4);
		p->reg.nr_rx_rings = (uint16_t)(rnd() % 4);
		p->reg.nr_extra_bufs = (uint32_t)(rnd() % 100);
	} else if (kind == 6) {
		p->reg.nr_flags = NR_MONITOR_RX;
		if (rnd() & 1)
			p->reg.nr_flags |= NR_ZCOPY_MON;
	}
	p->reg.nr_tx_slots = p->reg.nr_rx_slots = 64U << rnd() % 3;
	p->reg.nr_mode = NR_REG_ALL_NIC;
	if (bind_port(p, name, NULL))
		return -1;
	/* A null port beside it, in half of the cases. */
	if (kind == 1 && rnd() & 1) {
		struct nm n = { .reg = { .nr_mode = NR_REG_NULL,
					 .nr_mem_id = p->reg.nr_mem_id,
					 .nr_tx_rings = 1 } };

		bind_port(&n, "", NULL);
	}
	return 0;
}

/* Registers ports until it ends: in a way, or because somebody kills it. */
POINT(role_cycle)
{
	uint64_t n = setting("NMT_COUNT", 10);
	struct nm p;

	seed();
	for (uint64_t i = 0; i < n; i++) {
		if (random_port(&p)) {
			WORKS(close(p.fd));
			continue;
		}
		if (rnd() & 1) {
			map_port(&p);
			if (p.nifp->ring_ofs[0] && p.reg.nr_tx_rings)
				put_frame(txr(&p, 0), 255, 1, 60, 1);
			ioctl(p.fd, NIOCTXSYNC, NULL);
			if (rnd() & 1)
				WORKS(munmap(p.mem, p.reg.nr_memsize));
		}
		/* One in eight stays open until the end. */
		if (rnd() % 8)
			WORKS(close(p.fd));
	}
}

/* Children that do so and end in all ways; says how many there were. */
POINT(role_cycles)
{
	uint64_t n = setting("NMT_COUNT", 10), each = 10;
	struct rlimit none = { 0, 0 };
	uint64_t base = setting("NMT_SEED", 1);

	setrlimit(RLIMIT_CORE, &none);
	alarm(0);
	for (uint64_t i = 0; i < n; i += each) {
		pid_t pid = fork();

		if (!pid) {
			rng = (base + i) * 2654435761U + 88172645463325252U;
			for (uint64_t k = 0; k < each; k++) {
				struct nm p;

				if (random_port(&p) || rnd() % 4)
					close(p.fd);
			}
			if (i / each % 3 == 0)
				_exit(0);
			if (i / each % 3 == 1)
				raise(SIGKILL);
			signal(SIGSEGV, SIG_DFL);
			raise(SIGSEGV);
		}
		CHECK(pid > 0);
		/* A quarter of them is killed wherever they are. */
		if (i / each % 4 == 3) {
			usleep((useconds_t)(rnd() % 3000));
			kill(pid, SIGKILL);
		}
		CHECK(waitpid(pid, NULL, 0) == pid);
	}
}

/* Writes random words where a program may write, and syncs. */
static void corrupt(const struct nm *p, bool all)
{
	uint32_t *words = (uint32_t *)(uintptr_t)p->nifp;
	static int64_t ofs[8];
	struct netmap_ring *r;

	if (!ofs[0])
		memcpy(ofs, p->nifp->ring_ofs, sizeof(ofs));
	r = (void *)((char *)p->nifp + ofs[rnd() & 1 ? 0 : 2]);
	switch (rnd() % (all ? 6 : 5)) {
	case 0: /* a ring's header */
		((uint32_t *)(uintptr_t)r)[rnd() % 64] = (uint32_t)rnd() >>
							 rnd() % 32;
		break;
	case 1: /* indexes that nearly fit */
		r->head = (uint32_t)rnd() % 1026;
		r->cur = (uint32_t)rnd() % 1026;
		break;
	case 2: /* any word of slots */
		((uint32_t *)(uintptr_t)r->slot)[rnd() % (1024 * 4)] =
			(uint32_t)rnd() >> rnd() % 32;
		break;
	case 3: /* many slots that look good but for one thing */
		for (int i = 0; i < 32; i++) {
			struct netmap_slot *s = &r->slot[rnd() % 1024];

			s->len = (uint16_t)(rnd() % 2100);
			s->flags = (uint16_t)(rnd() >> rnd() % 16);
			s->ptr = rnd() >> rnd() % 64;
			if (i == 0)
				s->buf_idx = (uint32_t)rnd() >> rnd() % 32;
		}
		break;
	case 4: /* the netmap_if */
		words[rnd() % 28] = (uint32_t)rnd();
		break;
	default: /* the whole of what lies round it */
		words = (uint32_t *)(uintptr_t)(p->mem + (p->reg.nr_offset &
							  ~((4ULL << 20) - 1)));
		words[rnd() % (64 << 10)] = (uint32_t)rnd() >> rnd() % 32;
	}
	if (rnd() % 4 == 0)
		ioctl(p->fd, NIOCTXSYNC, NULL);
	if (rnd() % 4 == 0)
		ioctl(p->fd, NIOCRXSYNC, NULL);
	if (rnd() % 16 == 0)
		poll1(p->fd, (short)(rnd() & (POLLIN | POLLOUT)), 0);
}

static void on_fault(int number)
{
	(void)number;
	_exit(0); /* it went where it sent itself: its own business */
}

static void corruptor(const char *name, bool all)
{
	uint64_t n = setting("NMT_COUNT", 100000);
	struct nm p = up(name);

	seed();
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	for (uint64_t i = 0; i < n; i++)
		corrupt(&p, all);
}

POINT(role_corrupt_rings)
{
	corruptor("valec:evil", false);
}

POINT(role_corrupt_window)
{
	corruptor("valec:evil", true);
}

POINT(role_corrupt_pipe)
{
	corruptor("pipec{1", false);
}

POINT(role_corrupt_pipe_window)
{
	corruptor("pipec{1", true);
}

/* The other end of that pipe: it must neither crash nor hang. */
POINT(role_pipe_victim)
{
	uint64_t n = setting("NMT_COUNT", 100000);
	struct nm s = up("pipec}1");

	for (uint64_t i = 0; i < n; i++) {
		struct netmap_ring *rx = rxr(&s, 0), *tx = txr(&s, 0);

		rxsync(&s);
		CHECK(rx->tail < rx->num_slots && tx->tail < tx->num_slots);
		for (uint32_t at = rx->head; at != rx->tail;
		     at = nm_ring_next(rx, at)) {
			/* What it is shown can be touched. */
			volatile char *buf = NETMAP_BUF(rx,
							rx->slot[at].buf_idx);

			CHECK(rx->slot[at].buf_idx > 1);
			buf[0]++;
		}
		rx->head = rx->cur = rx->tail;
		if (nm_ring_space(tx))
			put_frame(tx, 1, 2, 60, (uint32_t)i);
		txsync(&s);
	}
}

/* Two ports that play ball beside the liar, with frames all their own. */
POINT(role_victims)
{
	uint64_t n = setting("NMT_COUNT", 10000), served = 0;
	struct nm a = up("valec:va"), b = up("valec:vb");

	for (uint32_t i = 0; served < n; i++) {
		put_frame(txr(&a, 0), 0xb2, 0xb1, 60, i);
		txsync(&a);
		rxsync(&b);
		/* The liar's frames come, too, and may fill the ring. */
		while (nm_ring_space(rxr(&b, 0))) {
			struct netmap_slot *slot;
			const char *at = peek(rxr(&b, 0), &slot);

			served += slot->len == 60 && frame_number(at) == i;
			drop(rxr(&b, 0), 1);
		}
		rxsync(&a);
		drop(rxr(&a, 0), nm_ring_space(rxr(&a, 0)));
	}
}

/* A pipe that the liar has no part in. */
POINT(role_pipe_ball)
{
	uint64_t n = setting("NMT_COUNT", 10000);
	struct nm m = up("pipev{1"), s = up("pipev}1");

	for (uint32_t i = 0; i < n; i++) {
		put_frame(txr(&m, 0), 1, 2, 60, i);
		txsync(&m);
		rxsync(&s);
		EQ(nm_ring_space(rxr(&s, 0)), 1);
		EQ(frame_number(peek(rxr(&s, 0), NULL)), i);
		drop(rxr(&s, 0), 1);
	}
}
