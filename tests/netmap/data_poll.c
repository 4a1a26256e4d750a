// SPDX-License-Identifier: BSD-2-Clause
// data_poll.c - poll(), select() and epoll on netmap and other descriptors.
#include "nmt.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <time.h>

static void send_one(const struct nm *a, uint32_t number)
{
	put_frame(txr(a, 0), 2, 1, 60, number);
	txsync(a);
}

/* Takes all that has come and gives it back. */
static uint32_t take_all(const struct nm *b)
{
	uint32_t n;

	rxsync(b);
	n = nm_ring_space(rxr(b, 0));
	drop(rxr(b, 0), n);
	rxsync(b);
	return n;
}

/* A child that sends a frame as often as it is told to by a byte. */
struct sender {
	int go;
	pid_t pid;
};

static struct sender sender_start(const struct nm *a)
{
	struct sender s;
	int fds[2];
	char byte;

	WORKS(pipe(fds));
	s.go = fds[1];
	s.pid = fork();
	if (!s.pid) {
		close(fds[1]);
		for (uint32_t i = 0; read(fds[0], &byte, 1) == 1; i++) {
			/* So that the parent most likely sleeps; or not. */
			usleep(i % 4 * 3000);
			send_one(a, i);
		}
		child_exit();
	}
	close(fds[0]);
	return s;
}

static void sender_go(const struct sender *s)
{
	EQ(write(s->go, "x", 1), 1);
}

static void sender_end(const struct sender *s)
{
	close(s->go);
	reap(s->pid);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

POINT(poll_pollout)
{
	struct nm a = up("vale%:a");

	EQ(poll1(a.fd, POLLOUT, WAIT_MS), POLLOUT);
	EQ(poll1(a.fd, POLLIN | POLLOUT, WAIT_MS), POLLOUT);
	/* cur is what decides. */
	txr(&a, 0)->cur = txr(&a, 0)->tail;
	EQ(poll1(a.fd, POLLOUT, 0), 0);
}

POINT(poll_pollout_flushes)
{
	struct nm a, b;

	pair(&a, &b);
	while (nm_ring_space(txr(&a, 0)))
		put_frame(txr(&a, 0), 2, 1, 60, 1);
	EQ(poll1(a.fd, POLLOUT, WAIT_MS), POLLOUT);
	CHECK(nm_ring_space(txr(&a, 0)) > 0);
	await_slots(&b, rxr(&b, 0), 1);
}

POINT(poll_pollin)
{
	struct nm a, b;

	pair(&a, &b);
	EQ(poll1(b.fd, POLLIN, 0), 0);
	send_one(&a, 1);
	EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
	EQ(nm_ring_space(rxr(&b, 0)), 1);
	/* As long as it is not taken. */
	EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
	drop(rxr(&b, 0), 1);
	EQ(poll1(b.fd, POLLIN, 0), 0);
}

POINT(poll_other_names_of_events)
{
	struct nm a, b;

	pair(&a, &b);
	EQ(poll1(b.fd, POLLRDNORM, 0), 0);
	send_one(&a, 1);
	CHECK(poll1(b.fd, POLLRDNORM, WAIT_MS) & POLLRDNORM);
	CHECK(poll1(b.fd, POLLWRNORM, WAIT_MS) & POLLWRNORM);
	EQ(poll1(b.fd, 0, 0), 0);
}

POINT(poll_timeout)
{
	struct nm a = up("vale%:a");
	int64_t start = now_ms();

	EQ(poll1(a.fd, POLLIN, 100), 0);
	CHECK(now_ms() - start >= 99);
}

POINT(poll_pollin_flushes_tx)
{
	struct nm a, b;

	pair(&a, &b);
	put_frame(txr(&a, 0), 2, 1, 60, 1);
	EQ(poll1(a.fd, POLLIN, 0), 0);
	await_slots(&b, rxr(&b, 0), 1);
}

POINT(poll_no_tx_poll)
{
	struct nm a = up_mode("vale%:a", NR_REG_ALL_NIC, NR_NO_TX_POLL);
	struct nm b = up("vale%:b");

	put_frame(txr(&a, 0), 255, 1, 60, 1);
	EQ(poll1(a.fd, POLLIN, 0), 0);
	EQ(txr(&a, 0)->tail, 1023);
	txsync(&a); /* it was not sent twice */
	EQ(take_all(&b), 1);
	put_frame(txr(&a, 0), 255, 1, 60, 2);
	EQ(poll1(a.fd, POLLIN | POLLOUT, 0), POLLOUT);
	await_slots(&b, rxr(&b, 0), 1);
}

POINT(poll_do_rx_poll)
{
	struct nm b = up_mode("vale%:b", NR_REG_ALL_NIC, NR_DO_RX_POLL);
	struct nm a = up("vale%:a"), c = up("vale%:c");

	put_frame(txr(&a, 0), 255, 1, 60, 1);
	txsync(&a);
	EQ(poll1(b.fd, POLLOUT, 0), POLLOUT);
	EQ(nm_ring_space(rxr(&b, 0)), 1);
	/* Without the flag: not so. */
	EQ(poll1(c.fd, POLLOUT, 0), POLLOUT);
	EQ(nm_ring_space(rxr(&c, 0)), 0);
}

/* All RX rings are synced, also if one has something already. */
POINT(poll_syncs_all_rx_rings)
{
	struct nm b = up_rings("vale%:b", 1, 4), a = up("vale%:a");
	uint32_t n = 0, before;

	for (uint8_t i = 1; i < 30; i++)
		put_frame(txr(&a, 0), 255, i, 60, i);
	txsync(&a);
	EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
	for (unsigned i = 0; i < 4; i++)
		n += nm_ring_space(rxr(&b, i));
	EQ(n, 29);
	before = n;
	for (uint8_t i = 1; i < 30; i++)
		put_frame(txr(&a, 0), 255, i, 60, i);
	txsync(&a);
	EQ(poll1(b.fd, POLLIN, 0), POLLIN);
	for (unsigned i = n = 0; i < 4; i++)
		n += nm_ring_space(rxr(&b, i));
	EQ(n, 2 * before);
}

/* Who binds one ring is not told of others'. */
POINT(poll_of_one_ring)
{
	struct nm b = up_rings("vale%:b", 1, 2), a = up("vale%:a");
	struct nm one[2] = { { .reg.nr_ringid = 0 }, { .reg.nr_ringid = 1 } };
	uint32_t seen = 0;

	for (int i = 0; i < 2; i++) {
		WORKS(bind_mode(&one[i], "vale%:b", NR_REG_ONE_NIC,
				NR_RX_RINGS_ONLY));
		map_port(&one[i]);
	}
	for (uint8_t n = 1; n < 100; n++) {
		int at;

		put_frame(txr(&a, 0), 255, n, 60, n);
		txsync(&a);
		EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
		at = nm_ring_space(rxr(&b, 0)) ? 0 : 1;
		EQ(nm_ring_space(rxr(&b, at)), 1);
		EQ(poll1(one[at].fd, POLLIN, WAIT_MS), POLLIN);
		EQ(poll1(one[!at].fd, POLLIN, 0), 0);
		drop(rxr(&b, at), 1);
		rxsync(&b);
		seen |= 1U << at;
	}
	EQ(seen, 3);
}

POINT(poll_cur_is_the_wake_up_point)
{
	struct nm a, b;

	pair(&a, &b);
	send_one(&a, 1);
	send_one(&a, 2);
	rxsync(&b);
	rxr(&b, 0)->cur = rxr(&b, 0)->tail;
	EQ(poll1(b.fd, POLLIN, 0), 0);
	send_one(&a, 3);
	EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
	EQ(nm_ring_space(rxr(&b, 0)), 3);
}

POINT(poll_wakes_up)
{
	struct nm a, b;
	struct sender s;

	pair(&a, &b);
	s = sender_start(&a);
	for (uint32_t i = 0; i < 200; i++) {
		sender_go(&s);
		EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
		EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
		drop(rxr(&b, 0), 1);
	}
	sender_end(&s);
}

POINT(poll_for_ever_wakes_up)
{
	struct nm a, b;
	struct sender s;

	pair(&a, &b);
	s = sender_start(&a);
	for (uint32_t i = 0; i < 20; i++) {
		sender_go(&s);
		EQ(poll1(b.fd, POLLIN, -1), POLLIN);
		drop(rxr(&b, 0), 1);
	}
	sender_end(&s);
}

POINT(poll_of_a_mixture)
{
	struct pollfd p[4];
	struct sender s;
	struct nm a, b;
	int fds[2];

	pair(&a, &b);
	WORKS(pipe(fds));
	p[0] = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	p[1] = (struct pollfd){ .fd = -1, .events = POLLIN, .revents = 7 };
	p[2] = (struct pollfd){ .fd = b.fd, .events = POLLIN };
	p[3] = (struct pollfd){ .fd = fds[1], .events = POLLIN };
	EQ(poll(p, 4, 0), 0);
	EQ(p[1].revents, 0);
	/* The other one wakes. */
	EQ(write(fds[1], "x", 1), 1);
	EQ(poll(p, 4, WAIT_MS), 1);
	EQ(p[0].revents, POLLIN);
	EQ(p[2].revents, 0);
	/* Both. */
	send_one(&a, 1);
	EQ(poll(p, 4, WAIT_MS), 2);
	EQ(p[0].revents, POLLIN);
	EQ(p[2].revents, POLLIN);
	take_all(&b);
	EQ(poll(p, 4, WAIT_MS), 1);
	EQ(p[2].revents, 0);
	/* Ours wakes. */
	p[0].fd = -1;
	s = sender_start(&a);
	sender_go(&s);
	EQ(poll(p, 4, WAIT_MS), 1);
	EQ(p[2].revents, POLLIN);
	sender_end(&s);
	/* The other one is in error. */
	close(fds[0]);
	p[0].fd = fds[0];
	take_all(&b);
	CHECK(poll(p, 4, WAIT_MS) >= 1);
	EQ(p[0].revents, POLLNVAL);
	CHECK(p[3].revents & POLLERR);
}

static void *write_later(void *arg)
{
	usleep(20000);
	EQ(write(*(int *)arg, "x", 1), 1);
	return NULL;
}

POINT(poll_is_woken_by_the_other_descriptor)
{
	struct pollfd p[2];
	struct nm a, b;
	pthread_t thread;
	int fds[2];

	pair(&a, &b);
	WORKS(pipe(fds));
	p[0] = (struct pollfd){ .fd = b.fd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	EQ(pthread_create(&thread, NULL, write_later, &fds[1]), 0);
	EQ(poll(p, 2, WAIT_MS), 1);
	EQ(p[1].revents, POLLIN);
	EQ(p[0].revents, 0);
	pthread_join(thread, NULL);
}

POINT(poll_of_several_ports)
{
	struct nm a = up("vale%:a"), b = up("vale%x:b"), c = up("vale%:c");
	struct pollfd p[2] = { { .fd = b.fd, .events = POLLIN },
			       { .fd = c.fd, .events = POLLIN } };
	struct sender s = sender_start(&a);

	for (int i = 0; i < 20; i++) {
		sender_go(&s);
		EQ(poll(p, 2, WAIT_MS), 1);
		EQ(p[0].revents, 0);
		EQ(p[1].revents, POLLIN);
		EQ(take_all(&c), 1);
	}
	sender_end(&s);
}

POINT(poll_the_same_port_twice)
{
	struct nm a, b;
	struct pollfd p[2];

	pair(&a, &b);
	p[0] = (struct pollfd){ .fd = b.fd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = b.fd, .events = POLLOUT };
	EQ(poll(p, 2, WAIT_MS), 1);
	EQ(p[0].revents, 0);
	EQ(p[1].revents, POLLOUT);
	send_one(&a, 1);
	EQ(poll(p, 2, WAIT_MS), 2);
	EQ(p[0].revents, POLLIN);
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	signals++;
	(void)number;
}

POINT(poll_is_interrupted)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct nm a = up("vale%:a");
	struct pollfd p = { .fd = a.fd, .events = POLLIN };
	pid_t pid, parent = getpid();

	WORKS(sigaction(SIGUSR1, &action, NULL));
	pid = fork();
	if (!pid) {
		/* Until it has come while the parent slept. */
		for (;;) {
			usleep(10000);
			if (kill(parent, SIGUSR1) || getppid() != parent)
				_exit(0);
		}
	}
	FAILS(EINTR, poll(&p, 1, WAIT_MS));
	CHECK(signals > 0);
	kill(pid, SIGKILL);
}

POINT(ppoll_with_a_mask)
{
	struct timespec soon = { .tv_nsec = 50000000 };
	struct sigaction action = { .sa_handler = on_signal };
	struct nm a, b;
	struct pollfd p;
	sigset_t all, none;

	pair(&a, &b);
	p = (struct pollfd){ .fd = b.fd, .events = POLLIN };
	WORKS(sigaction(SIGUSR1, &action, NULL));
	sigfillset(&all);
	sigemptyset(&none);
	WORKS(sigprocmask(SIG_BLOCK, &all, NULL));
	EQ(ppoll(&p, 1, &soon, &all), 0);
	WORKS(raise(SIGUSR1));
	EQ(ppoll(&p, 1, &soon, &all), 0);
	EQ(signals, 0);
	soon.tv_sec = WAIT_MS / 1000;
	FAILS(EINTR, ppoll(&p, 1, &soon, &none));
	EQ(signals, 1);
	send_one(&a, 1);
	EQ(ppoll(&p, 1, NULL, &none), 1);
	EQ(p.revents, POLLIN);
}

POINT(select_works)
{
	struct timeval none = { 0 }, wait = { .tv_sec = WAIT_MS / 1000 };
	struct nm a, b;
	struct sender s;
	fd_set in, out;
	int fds[2];

	pair(&a, &b);
	WORKS(pipe(fds));
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(b.fd, &in);
	FD_SET(fds[0], &in);
	EQ(select(FD_SETSIZE, &in, NULL, NULL, &none), 0);
	CHECK(!FD_ISSET(b.fd, &in));
	FD_SET(b.fd, &out);
	EQ(select(FD_SETSIZE, NULL, &out, NULL, &none), 1);
	CHECK(FD_ISSET(b.fd, &out));
	s = sender_start(&a);
	for (int i = 0; i < 10; i++) {
		sender_go(&s);
		FD_ZERO(&in);
		FD_SET(b.fd, &in);
		FD_SET(fds[0], &in);
		wait.tv_sec = WAIT_MS / 1000;
		EQ(select(FD_SETSIZE, &in, NULL, NULL, &wait), 1);
		CHECK(FD_ISSET(b.fd, &in) && !FD_ISSET(fds[0], &in));
		EQ(take_all(&b), 1);
	}
	EQ(write(fds[1], "x", 1), 1);
	FD_SET(b.fd, &in);
	FD_SET(fds[0], &in);
	EQ(select(FD_SETSIZE, &in, NULL, NULL, NULL), 1);
	CHECK(!FD_ISSET(b.fd, &in) && FD_ISSET(fds[0], &in));
	sender_end(&s);
}

POINT(pselect_works)
{
	struct timespec wait = { .tv_sec = WAIT_MS / 1000 };
	struct nm a, b;
	fd_set in;

	pair(&a, &b);
	send_one(&a, 1);
	FD_ZERO(&in);
	FD_SET(b.fd, &in);
	EQ(pselect(b.fd + 1, &in, NULL, NULL, &wait, NULL), 1);
	CHECK(FD_ISSET(b.fd, &in));
}

static int epoll_with(int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };
	int ep = WORKS(epoll_create1(EPOLL_CLOEXEC));

	WORKS(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	return ep;
}

POINT(epoll_level)
{
	struct epoll_event e[4];
	struct nm a, b;
	int ep;

	pair(&a, &b);
	ep = epoll_with(b.fd, EPOLLIN, 0xabcdef0123456789);
	EQ(epoll_wait(ep, e, 4, 0), 0);
	for (int i = 0; i < 3; i++) {
		send_one(&a, 1);
		for (int again = 0; again < 3; again++) {
			EQ(epoll_wait(ep, e, 4, WAIT_MS), 1);
			EQ(e[0].events, EPOLLIN);
			EQ(e[0].data.u64, 0xabcdef0123456789);
		}
		EQ(take_all(&b), 1);
		EQ(epoll_wait(ep, e, 4, 0), 0);
	}
}

POINT(epoll_wakes_up)
{
	struct epoll_event e[4];
	struct nm a, b;
	struct sender s;
	int ep;

	pair(&a, &b);
	ep = epoll_with(b.fd, EPOLLIN, 5);
	s = sender_start(&a);
	for (uint32_t i = 0; i < 50; i++) {
		sender_go(&s);
		EQ(epoll_wait(ep, e, 4, WAIT_MS), 1);
		EQ(e[0].data.u64, 5);
		/* It syncs, as poll() does. */
		EQ(nm_ring_space(rxr(&b, 0)), 1);
		EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
		drop(rxr(&b, 0), 1);
	}
	sender_end(&s);
}

POINT(epoll_of_a_mixture)
{
	struct epoll_event e[4], add = { .events = EPOLLIN, .data.u64 = 9 };
	int event = WORKS(eventfd(0, EFD_NONBLOCK)), ep;
	uint64_t one = 1;
	struct nm a, b;

	pair(&a, &b);
	ep = epoll_with(b.fd, EPOLLIN, 5);
	WORKS(epoll_ctl(ep, EPOLL_CTL_ADD, event, &add));
	EQ(epoll_wait(ep, e, 4, 0), 0);
	EQ(write(event, &one, 8), 8);
	EQ(epoll_wait(ep, e, 4, WAIT_MS), 1);
	EQ(e[0].data.u64, 9);
	send_one(&a, 1);
	EQ(epoll_wait(ep, e, 4, WAIT_MS), 2);
	EQ(e[0].data.u64 + e[1].data.u64, 14);
	EQ(read(event, &one, 8), 8);
	EQ(epoll_pwait(ep, e, 4, WAIT_MS, NULL), 1);
	EQ(e[0].data.u64, 5);
	/* One at a time is enough for those that ask so. */
	EQ(epoll_wait(ep, e, 1, WAIT_MS), 1);
}

POINT(epoll_ctl_works)
{
	struct epoll_event e[4], change = { .events = EPOLLOUT, .data.u64 = 6 };
	struct nm a, b;
	int ep;

	pair(&a, &b);
	ep = epoll_with(b.fd, EPOLLIN, 5);
	FAILS(EEXIST, epoll_ctl(ep, EPOLL_CTL_ADD, b.fd, &change));
	send_one(&a, 1);
	WORKS(epoll_ctl(ep, EPOLL_CTL_MOD, b.fd, &change));
	EQ(epoll_wait(ep, e, 4, WAIT_MS), 1);
	EQ(e[0].events, EPOLLOUT);
	EQ(e[0].data.u64, 6);
	change.events = EPOLLIN | EPOLLONESHOT;
	WORKS(epoll_ctl(ep, EPOLL_CTL_MOD, b.fd, &change));
	EQ(epoll_wait(ep, e, 4, WAIT_MS), 1);
	EQ(epoll_wait(ep, e, 4, 0), 0);
	WORKS(epoll_ctl(ep, EPOLL_CTL_DEL, b.fd, NULL));
	EQ(epoll_wait(ep, e, 4, 0), 0);
	FAILS(ENOENT, epoll_ctl(ep, EPOLL_CTL_DEL, b.fd, NULL));
}

POINT(epoll_of_a_closed_port)
{
	struct epoll_event e[4];
	struct nm a, b;
	int ep;

	pair(&a, &b);
	ep = epoll_with(b.fd, EPOLLIN, 5);
	send_one(&a, 1);
	down(&b);
	EQ(epoll_wait(ep, e, 4, 0), 0);
}

/* An epoll descriptor is itself waited for. */
POINT(epoll_in_poll)
{
	struct epoll_event e[4];
	struct nm a, b;
	int ep;

	pair(&a, &b);
	ep = epoll_with(b.fd, EPOLLIN, 5);
	send_one(&a, 1);
	EQ(poll1(ep, POLLIN, WAIT_MS), POLLIN);
	EQ(epoll_wait(ep, e, 4, WAIT_MS), 1);
}

/* Several threads wait for one port: somebody sees each frame. */
struct waiter {
	const struct nm *b;
	uint32_t got, want;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *waiter(void *arg)
{
	struct waiter *w = arg;

	for (;;) {
		struct pollfd p = { .fd = w->b->fd, .events = POLLIN };
		bool done;

		WORKS(poll(&p, 1, 50));
		pthread_mutex_lock(&lock);
		w->got += take_all(w->b);
		done = w->got >= w->want;
		pthread_mutex_unlock(&lock);
		if (done)
			return NULL;
	}
}

POINT(threads_wait_for_one_port)
{
	pthread_t threads[4];
	struct nm a, b;
	struct waiter w = { .b = &b, .want = 1000 };

	pair(&a, &b);
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&threads[i], NULL, waiter, &w), 0);
	for (uint32_t i = 0; i < 1000; i++)
		send_one(&a, i);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	EQ(w.got, 1000);
}
