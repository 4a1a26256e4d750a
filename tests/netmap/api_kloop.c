// SPDX-License-Identifier: BSD-2-Clause
// api_kloop.c - CSB_ENABLE, the option CSB, SYNC_KLOOP_START and _STOP.
#include "nmt.h"

#include <pthread.h>
#include <sys/eventfd.h>

/* An exclusive open with one line per ring and direction. */
struct csb {
	struct nm p;
	struct nm_csb_atok atok[2] __attribute__((aligned(64)));
	struct nm_csb_ktoa ktoa[2] __attribute__((aligned(64)));
	struct nmreq_opt_csb option;
};

static struct nmreq_opt_csb csb_option(void *atok, void *ktoa)
{
	struct nmreq_opt_csb option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_CSB },
		.csb_atok = (uintptr_t)atok,
		.csb_ktoa = (uintptr_t)ktoa,
	};

	return option;
}

static int csb_enable(struct csb *c)
{
	c->option = csb_option(c->atok, c->ktoa);
	return ctrl_opt(c->p.fd, NETMAP_REQ_CSB_ENABLE, "", NULL, &c->option);
}

static void csb_up(struct csb *c, const char *name)
{
	memset(c, 0xee, sizeof(*c));
	c->p = up_mode(name, NR_REG_ALL_NIC, NR_EXCLUSIVE);
	WORKS(csb_enable(c));
}

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

POINT(csb_once)
{
	static struct csb c;

	csb_up(&c, "vale%:a");
	FAILS(EBUSY, csb_enable(&c));
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

/* A thread that is in SYNC_KLOOP_START. */
struct loop {
	int fd;
	uint32_t sleep_us;
	void *option;
	int result, error;
	pthread_t thread;
};

static int start(int fd, uint32_t sleep_us, void *option)
{
	struct nmreq_sync_kloop_start body = { .sleep_us = sleep_us };

	return ctrl_opt(fd, NETMAP_REQ_SYNC_KLOOP_START, "", &body, option);
}

static int stop(int fd)
{
	return ctrl(fd, NETMAP_REQ_SYNC_KLOOP_STOP, "", NULL);
}

static void *loop_thread(void *arg)
{
	struct loop *l = arg;

	l->result = start(l->fd, l->sleep_us, l->option);
	l->error = errno;
	return NULL;
}

static void loop_up(struct loop *l, const struct csb *c, void *option)
{
	*l = (struct loop){ .fd = c->p.fd, .sleep_us = 50, .option = option };
	EQ(pthread_create(&l->thread, NULL, loop_thread, l), 0);
}

static void loop_down(struct loop *l)
{
	WORKS(stop(l->fd));
	pthread_join(l->thread, NULL);
	if (l->result)
		FAIL("SYNC_KLOOP_START: %s", strerror(l->error));
}

static void until(const uint32_t *word, uint32_t value)
{
	for (int ms = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
	     ms++) {
		if (ms > WAIT_MS)
			FAIL("a word stayed %u and did not become %u", *word,
			     value);
		usleep(1000);
	}
}

/* Publishes n frames on the only TX ring, as a program with a CSB does. */
static void csb_send(struct csb *c, uint32_t n)
{
	struct netmap_ring *tx = txr(&c->p, 0);
	uint32_t head = c->atok[0].head;

	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *slot = &tx->slot[head];

		slot->len = (uint16_t)frame(NETMAP_BUF(tx, slot->buf_idx), 255,
					    1, 60, i);
		slot->flags = 0;
		head = nm_ring_next(tx, head);
	}
	__atomic_store_n(&c->atok[0].cur, head, __ATOMIC_RELEASE);
	__atomic_store_n(&c->atok[0].head, head, __ATOMIC_SEQ_CST);
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

POINT(kloop_stop_from_another_process)
{
	static struct csb c;
	struct loop l;
	pid_t pid;

	csb_up(&c, "vale%:a");
	loop_up(&l, &c, NULL);
	csb_send(&c, 1);
	until(&c.ktoa[0].hwcur, 1);
	pid = fork();
	if (!pid) {
		WORKS(stop(c.p.fd));
		child_exit();
	}
	reap(pid);
	pthread_join(l.thread, NULL);
	EQ(l.result, 0);
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
			     .nro_size = (uint64_t)n * 8 }
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
