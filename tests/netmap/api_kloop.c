// SPDX-License-Identifier: BSD-2-Clause
// api_kloop.c - CSB_ENABLE, the option CSB, SYNC_KLOOP_START and _STOP.
#include "csb.h"

#include <sys/eventfd.h>

POINT(csb_initial_values)
{
	static struct csb c;

	csb_up(&c, "vale%:a");
	EQ(c.option.nro_opt.nro_status, 0);
	for (int i = 0; i < 2; i++) {
		EQ(c.atok[i].head, 0);
		EQ(c.atok[i].cur, 0);
		EQ(c.atok[i].appl_need_kick, 1);
		EQ(c.atok[i].sync_flags, 1);
		EQ(c.ktoa[i].hwcur, 0);
		EQ(c.ktoa[i].hwtail, i ? 0 : 1023);
		EQ(c.ktoa[i].kern_need_kick, 1);
	}
}

POINT(csb_forbids_other_syncs)
{
	static struct csb c;

	csb_up(&c, "vale%:a");
	FAILS(EBUSY, ioctl(c.p.fd, NIOCTXSYNC, NULL));
	FAILS(EBUSY, ioctl(c.p.fd, NIOCRXSYNC, NULL));
	EQ(poll1(c.p.fd, POLLIN, WAIT_MS), POLLERR);
	EQ(poll1(c.p.fd, POLLOUT, WAIT_MS), POLLERR);
}

POINT(csb_again_elsewhere)
{
	static struct csb c, other;

	csb_up(&c, "vale%:a");
	memset(&other, 0xee, sizeof(other));
	other.p = c.p;
	WORKS(csb_enable(&other));
	EQ(other.atok[0].head, 0);
	EQ(other.ktoa[0].hwtail, 1023);
}

POINT(csb_needs_a_bound_descriptor)
{
	static struct csb c;

	c.p.fd = dev();
	FAILS(ENXIO, csb_enable(&c));
}

POINT(csb_needs_the_option)
{
	struct nm p = up_mode("vale%:a", NR_REG_ALL_NIC, NR_EXCLUSIVE);

	FAILS(EINVAL, ctrl(p.fd, NETMAP_REQ_CSB_ENABLE, "", NULL));
}

POINT(csb_needs_an_exclusive_open)
{
	static struct csb c;

	c.p = up("vale%:a");
	FAILS(EINVAL, csb_enable(&c));
	EQ(c.option.nro_opt.nro_status, EINVAL);
	txsync(&c.p);
}

POINT(csb_needs_aligned_memory)
{
	struct nm p = up_mode("vale%:a", NR_REG_ALL_NIC, NR_EXCLUSIVE);
	static char memory[4096] __attribute__((aligned(64)));
	struct nmreq_opt_csb option = csb_option(memory + 8, memory + 1024);

	FAILS(EINVAL, ctrl_opt(p.fd, NETMAP_REQ_CSB_ENABLE, "", NULL, &option));
	option = csb_option(memory, memory + 1024 + 32);
	FAILS(EINVAL, ctrl_opt(p.fd, NETMAP_REQ_CSB_ENABLE, "", NULL, &option));
	txsync(&p);
}

POINT(csb_needs_real_memory)
{
	struct nm p = up_mode("vale%:a", NR_REG_ALL_NIC, NR_EXCLUSIVE);
	static char memory[4096] __attribute__((aligned(64)));
	char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	struct nmreq_opt_csb option = csb_option(memory, hole);

	FAILS(EFAULT, ctrl_opt(p.fd, NETMAP_REQ_CSB_ENABLE, "", NULL, &option));
	option = csb_option(hole, memory);
	FAILS(EFAULT, ctrl_opt(p.fd, NETMAP_REQ_CSB_ENABLE, "", NULL, &option));
	txsync(&p);
}

POINT(csb_as_option_of_register)
{
	static struct csb c;

	c.option = csb_option(c.atok, c.ktoa);
	c.p.reg.nr_mode = NR_REG_ALL_NIC;
	FAILS(EINVAL, bind_port(&c.p, "vale%:a", &c.option));
	c.p.reg.nr_flags = NR_EXCLUSIVE;
	WORKS(bind_port(&c.p, "vale%:a", &c.option));
	EQ(c.option.nro_opt.nro_status, 0);
	EQ(c.ktoa[0].hwtail, 1023);
	FAILS(EBUSY, ioctl(c.p.fd, NIOCTXSYNC, NULL));
}

POINT(kloop_moves_packets)
{
	static struct csb c;
	struct nm b = up("vale%:b");
	struct loop l;

	csb_up(&c, "vale%:a");
	loop_up(&l, &c, NULL);
	csb_send(&c, 10);
	until(&c.ktoa[0].hwcur, 10);
	await_slots(&b, rxr(&b, 0), 10);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 0);
	put_frame(txr(&b, 0), 255, 2, 60, 7);
	txsync(&b);
	until(&c.ktoa[1].hwtail, 1);
	EQ(frame_number(
		   NETMAP_BUF(rxr(&c.p, 0), rxr(&c.p, 0)->slot[0].buf_idx)),
	   7);
	__atomic_store_n(&c.atok[1].cur, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&c.atok[1].head, 1, __ATOMIC_RELEASE);
	until(&c.ktoa[1].hwcur, 1);
	loop_down(&l);
}

POINT(kloop_wrong_calls)
{
	static struct csb c;
	struct nm p = up_mode("vale%:p", NR_REG_ALL_NIC, NR_EXCLUSIVE);

	FAILS(ENXIO, start(dev(), 10, NULL));
	FAILS(EINVAL, start(p.fd, 10, NULL)); /* no CSB */
	csb_up(&c, "vale%:a");
	FAILS(EINVAL, start(c.p.fd, 1000001, NULL));
}

POINT(kloop_one_at_a_time)
{
	static struct csb c;
	struct loop l;

	csb_up(&c, "vale%:a");
	loop_up(&l, &c, NULL);
	csb_send(&c, 1);
	until(&c.ktoa[0].hwcur, 1); /* it runs */
	FAILS(EBUSY, start(c.p.fd, 10, NULL));
	FAILS(EBUSY, csb_enable(&c));
	loop_down(&l);
}

POINT(kloop_stop_is_remembered)
{
	static struct csb c;
	struct loop l;

	csb_up(&c, "vale%:a");
	WORKS(stop(c.p.fd));
	WORKS(start(c.p.fd, 10, NULL));
	/* That was the one. */
	loop_up(&l, &c, NULL);
	csb_send(&c, 1);
	until(&c.ktoa[0].hwcur, 1);
	loop_down(&l);
}

/* The option with a pair of eventfds per ring; room for three. */
struct eventfds {
	struct nmreq_option nro_opt;
	struct {
		int32_t io, irq;
	} fds[3];
};

static void eventfds_make(struct eventfds *e, int n)
{
	*e = (struct eventfds){
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS,
			     .nro_size = 24 + (uint64_t)n * 8 }
	};
	for (int i = 0; i < n; i++) {
		e->fds[i].io = WORKS(eventfd(0, EFD_NONBLOCK));
		e->fds[i].irq = WORKS(eventfd(0, EFD_NONBLOCK));
	}
}

static void kick(int fd)
{
	uint64_t one = 1;

	EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

POINT(kloop_eventfds_count)
{
	static struct csb c;
	struct eventfds e;

	csb_up(&c, "vale%:a");
	eventfds_make(&e, 3);
	FAILS(EINVAL, start(c.p.fd, 10, &e));
	eventfds_make(&e, 1);
	FAILS(EINVAL, start(c.p.fd, 10, &e));
}

static void with_eventfds(struct csb *c, struct eventfds *e)
{
	struct nm b = up("vale%:b");
	struct loop l;
	uint64_t n;

	loop_up(&l, c, e);
	csb_send(c, 5);
	kick(e->fds[0].io);
	until(&c->ktoa[0].hwcur, 5);
	await_slots(&b, rxr(&b, 0), 5);
	put_frame(txr(&b, 0), 255, 2, 60, 7);
	txsync(&b);
	CHECK(poll1(e->fds[1].irq, POLLIN, WAIT_MS) & POLLIN);
	until(&c->ktoa[1].hwtail, 1);
	EQ(read(e->fds[1].irq, &n, sizeof(n)), sizeof(n));
	loop_down(&l);
}

POINT(kloop_eventfds)
{
	static struct csb c;
	struct eventfds e;

	csb_up(&c, "vale%:a");
	eventfds_make(&e, 2);
	with_eventfds(&c, &e);
	EQ(e.nro_opt.nro_status, 0);
}

static void direct(uint32_t mode)
{
	static struct csb c;
	struct eventfds e;
	struct nmreq_opt_sync_kloop_mode option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_MODE },
		.mode = mode,
	};

	csb_up(&c, "vale%:a");
	eventfds_make(&e, 2);
	e.nro_opt.nro_next = (uintptr_t)&option;
	with_eventfds(&c, &e);
}

POINT(kloop_direct_tx)
{
	direct(NM_OPT_SYNC_KLOOP_DIRECT_TX);
}

POINT(kloop_direct_rx)
{
	direct(NM_OPT_SYNC_KLOOP_DIRECT_RX);
}

POINT(kloop_direct_needs_eventfds)
{
	static struct csb c;
	struct eventfds e;
	struct nmreq_opt_sync_kloop_mode option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_MODE },
		.mode = NM_OPT_SYNC_KLOOP_DIRECT_TX,
	};

	csb_up(&c, "vale%:a");
	FAILS(EINVAL, start(c.p.fd, 10, &option));
	eventfds_make(&e, 2);
	e.fds[1].io = -1;
	e.nro_opt.nro_next = (uintptr_t)&option;
	FAILS(EINVAL, start(c.p.fd, 10, &e));
}

/* Without a kick: some ring has none, so the loop goes round by itself. */
POINT(kloop_without_some_ioeventfds)
{
	static struct csb c;
	struct eventfds e;
	struct loop l;

	csb_up(&c, "vale%:a");
	eventfds_make(&e, 2);
	e.fds[0].io = e.fds[1].io = -1;
	loop_up(&l, &c, &e);
	csb_send(&c, 3);
	until(&c.ktoa[0].hwcur, 3);
	loop_down(&l);
}

POINT(kloop_needs_real_eventfds)
{
	static struct csb c;
	struct eventfds e;
	int fds[2];

	csb_up(&c, "vale%:a");
	eventfds_make(&e, 2);
	WORKS(pipe(fds));
	e.fds[0].io = fds[0];
	FAILS(EINVAL, start(c.p.fd, 10, &e));
	CHECK(e.nro_opt.nro_status != 0);
	eventfds_make(&e, 2);
	e.fds[1].irq = 12345;
	FAILS(EBADF, start(c.p.fd, 10, &e));
	/* That was not held against anybody. */
	eventfds_make(&e, 2);
	with_eventfds(&c, &e);
}

/* Indexes that make no sense move nothing, until they do. */
POINT(kloop_hostile_indexes)
{
	static const uint32_t bad[] = { 1024, 0xffffffff, 0x80000000, 5000 };
	static struct csb c;
	struct nm b = up("vale%:b");
	struct loop l;

	csb_up(&c, "vale%:a");
	loop_up(&l, &c, NULL);
	for (int i = 0; i < 4; i++) {
		__atomic_store_n(&c.atok[0].cur, 3, __ATOMIC_RELEASE);
		__atomic_store_n(&c.atok[0].head, bad[i], __ATOMIC_SEQ_CST);
		/* An RX ring that is empty has nothing to give back. */
		__atomic_store_n(&c.atok[1].head, 7, __ATOMIC_SEQ_CST);
		usleep(2000);
		EQ(__atomic_load_n(&c.ktoa[0].hwcur, __ATOMIC_ACQUIRE), 0);
	}
	__atomic_store_n(&c.atok[0].head, 0, __ATOMIC_RELAXED);
	csb_send(&c, 4);
	until(&c.ktoa[0].hwcur, 4);
	await_slots(&b, rxr(&b, 0), 4);
	loop_down(&l);
}

/* Slots may lie as well: the ring is put back, and nobody is harmed. */
POINT(kloop_hostile_slots)
{
	static struct csb c;
	struct nm b = up("vale%:b");
	struct loop l;
	uint32_t good;

	csb_up(&c, "vale%:a");
	loop_up(&l, &c, NULL);
	good = txr(&c.p, 0)->slot[0].buf_idx;
	txr(&c.p, 0)->slot[0].buf_idx = 0x7fffffff;
	__atomic_store_n(&c.atok[0].cur, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&c.atok[0].head, 1, __ATOMIC_SEQ_CST);
	until(&txr(&c.p, 0)->slot[0].buf_idx, 0);
	EQ(__atomic_load_n(&c.ktoa[0].hwcur, __ATOMIC_ACQUIRE), 0);
	txr(&c.p, 0)->slot[0].buf_idx = good;
	__atomic_store_n(&c.atok[0].head, 0, __ATOMIC_RELAXED);
	csb_send(&c, 2);
	until(&c.ktoa[0].hwcur, 2);
	await_slots(&b, rxr(&b, 0), 2);
	loop_down(&l);
}

static void on_signal(int number)
{
}

static void *signal_thread(void *arg)
{
	const struct loop *l = arg;

	for (;;) {
		usleep(1000);
		pthread_kill(l->thread, SIGUSR1);
	}
	return NULL;
}

static void interrupted(uint32_t sleep_us, void *option, struct csb *c)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct loop l = { .thread = pthread_self() };
	pthread_t thread;

	WORKS(sigaction(SIGUSR1, &action, NULL));
	EQ(pthread_create(&thread, NULL, signal_thread, &l), 0);
	FAILS(EINTR, start(c->p.fd, sleep_us, option));
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

POINT(kloop_ends_with_a_signal)
{
	static struct csb c;
	struct eventfds e;

	csb_up(&c, "vale%:a");
	interrupted(1000000, NULL, &c);
	interrupted(0, NULL, &c);
	eventfds_make(&e, 2);
	interrupted(0, &e, &c);
	/* It is not running any more. */
	with_eventfds(&c, &e);
}

/* glend hangs up on a port whose RX ring names a buffer that there is not. */
static void dies(void *option)
{
	struct nm b = up("vale%:b");
	static struct csb c;
	struct loop l;

	csb_up(&c, "vale%:a");
	loop_up(&l, &c, option);
	csb_send(&c, 1);
	if (option)
		kick(((struct eventfds *)option)->fds[0].io);
	until(&c.ktoa[0].hwcur, 1);
	for (uint32_t i = 0; i < 1024; i++)
		rxr(&c.p, 0)->slot[i].buf_idx = 0x7fffffff;
	put_frame(txr(&b, 0), 255, 2, 60, 7);
	txsync(&b);
	pthread_join(l.thread, NULL);
	EQ(l.result, -1);
	EQ(l.error, ENXIO);
	FAILS(ENXIO, start(c.p.fd, 10, option));
	FAILS(ENXIO, stop(c.p.fd));
	down(&c.p);
	down(&b);
}

POINT(kloop_ends_with_its_port)
{
	struct eventfds e;

	dies(NULL);
	eventfds_make(&e, 2);
	dies(&e);
}

/* The loop's own descriptors are not a child's: the port goes with its last. */
POINT(kloop_and_fork)
{
	static struct csb c;
	struct eventfds e;
	struct loop l;
	int gate[2];
	char byte;
	pid_t pid;

	csb_up(&c, "vale%:a");
	eventfds_make(&e, 2);
	loop_up(&l, &c, &e);
	csb_send(&c, 1);
	kick(e.fds[0].io);
	until(&c.ktoa[0].hwcur, 1);
	WORKS(pipe(gate));
	pid = fork();
	if (!pid) {
		close(gate[1]);
		close(c.p.fd);
		EQ(read(gate[0], &byte, 1), 0);
		child_exit();
	}
	loop_down(&l);
	down(&c.p);
	/* With other rings it can only be a new one. */
	c.p = up_rings("vale%:a", 2, 2);
	EQ(c.p.nifp->ni_tx_rings, 2);
	close(gate[1]);
	reap(pid);
}

/* It goes on after the descriptor was closed, as an ioctl does. */
POINT(kloop_outlives_the_descriptor)
{
	static struct csb c;
	struct nm b = up("vale%:b");
	struct eventfds e;
	struct loop l;
	int other;

	csb_up(&c, "vale%:a");
	eventfds_make(&e, 2);
	loop_up(&l, &c, &e);
	csb_send(&c, 1);
	kick(e.fds[0].io);
	until(&c.ktoa[0].hwcur, 1);
	other = WORKS(dup(c.p.fd));
	for (int i = 0; i < 2; i++) {
		close(e.fds[i].io);
		close(e.fds[i].irq);
	}
	WORKS(close(c.p.fd));
	WORKS(stop(other));
	pthread_join(l.thread, NULL);
	EQ(l.result, 0);
	down(&b);
}

/* A port that is driven through a CSB, by eventfds. */
struct side {
	struct csb c;
	struct eventfds e;
	struct loop l;
	uint32_t sent, got, peer_got;
};

enum {
	PACKETS = 100000,
	IN_FLIGHT = 400, /* a switch drops what finds no room */
};

/* Queues what may go. True if there was something. */
static bool side_send(struct side *s)
{
	struct netmap_ring *tx = txr(&s->c.p, 0);
	uint32_t head = s->c.atok[0].head;
	uint32_t tail = __atomic_load_n(&s->c.ktoa[0].hwtail, __ATOMIC_ACQUIRE);
	bool any = false;

	while (head != tail && s->sent < PACKETS &&
	       s->sent - s->peer_got < IN_FLIGHT) {
		struct netmap_slot *slot = &tx->slot[head];

		slot->len = (uint16_t)frame(NETMAP_BUF(tx, slot->buf_idx), 255,
					    1, 60, s->sent++);
		slot->flags = 0;
		head = nm_ring_next(tx, head);
		any = true;
	}
	if (!any)
		return false;
	__atomic_store_n(&s->c.atok[0].cur, head, __ATOMIC_RELAXED);
	__atomic_store_n(&s->c.atok[0].head, head, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->c.ktoa[0].kern_need_kick, __ATOMIC_RELAXED))
		kick(s->e.fds[0].io);
	return true;
}

/* Checks what came, and gives it back. */
static bool side_receive(struct side *s, struct side *from)
{
	struct netmap_ring *rx = rxr(&s->c.p, 0);
	uint32_t head = s->c.atok[1].head;
	uint32_t tail = __atomic_load_n(&s->c.ktoa[1].hwtail, __ATOMIC_ACQUIRE);

	if (head == tail)
		return false;
	for (; head != tail; head = nm_ring_next(rx, head)) {
		EQ(rx->slot[head].len, 60);
		EQ(frame_number(NETMAP_BUF(rx, rx->slot[head].buf_idx)),
		   s->got);
		s->got++;
	}
	from->peer_got = s->got;
	__atomic_store_n(&s->c.atok[1].cur, head, __ATOMIC_RELAXED);
	__atomic_store_n(&s->c.atok[1].head, head, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->c.ktoa[1].kern_need_kick, __ATOMIC_RELAXED))
		kick(s->e.fds[1].io);
	return true;
}

static bool both_move(struct side *a, struct side *b)
{
	bool any = side_send(a);

	any |= side_send(b);
	any |= side_receive(b, a);
	any |= side_receive(a, b);
	return any;
}

static void want_irqs(struct side *s, uint32_t value)
{
	for (int i = 0; i < 2; i++)
		__atomic_store_n(&s->c.atok[i].appl_need_kick, value,
				 __ATOMIC_RELAXED);
}

/* Sleeps until one of the loops has news. */
static void await_irqs(struct side *a, struct side *b)
{
	struct pollfd p[4] = {
		{ .fd = a->e.fds[0].irq, .events = POLLIN },
		{ .fd = a->e.fds[1].irq, .events = POLLIN },
		{ .fd = b->e.fds[0].irq, .events = POLLIN },
		{ .fd = b->e.fds[1].irq, .events = POLLIN },
	};
	uint64_t n;

	want_irqs(a, 1);
	want_irqs(b, 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!both_move(a, b) && !WORKS(poll(p, 4, WAIT_MS)))
		FAIL("no interrupt at %u %u of %u", a->got, b->got, PACKETS);
	want_irqs(a, 0);
	want_irqs(b, 0);
	for (int i = 0; i < 4; i++)
		(void)!read(p[i].fd, &n, sizeof(n));
}

/* Packets both ways, checked one by one, each side in a loop of its own. */
static void carry(const char *one, const char *other)
{
	static struct side a, b;

	csb_up(&a.c, one);
	csb_up(&b.c, other);
	eventfds_make(&a.e, 2);
	eventfds_make(&b.e, 2);
	loop_up(&a.l, &a.c, &a.e);
	loop_up(&b.l, &b.c, &b.e);
	while (a.got < PACKETS || b.got < PACKETS)
		if (!both_move(&a, &b))
			await_irqs(&a, &b);
	loop_down(&a.l);
	loop_down(&b.l);
}

POINT(kloop_carries_both_ways)
{
	carry("vale%:a", "vale%:b");
}

POINT(kloop_carries_over_a_pipe)
{
	carry("vale%:p{1", "vale%:p}1");
}
