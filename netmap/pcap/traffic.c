// SPDX-License-Identifier: BSD-2-Clause
// traffic.c - receive, send, wait and count for a pcap_t that is a glen port.
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/port.h"
#include "netmap/pcap/handle.h"
#include "netmap/pcap/real.h"

enum {
	RING = 0, /* our ports have one ring pair */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Makes an eventfd readable; async-signal-safe. */
static void event_set(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n; /* EAGAIN: it is readable */
}

static void event_clear(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n; /* EAGAIN: it was not readable */
}

/* What a call of libglen's failed with, in words. */
static int fail(struct handle *h, int err)
{
	const char *why = glen_port_error(h->port);

	return handle_fail(h, PCAP_ERROR, "%s: %s", h->name,
			   *why ? why : strerror(-err));
}

int traffic_init(struct handle *h)
{
	int err;

	h->batch = h->slots / 4 < BATCH ? h->slots / 4 : BATCH;
	h->break_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = h->break_fd < 0 ?
		      -errno :
		      waiter_wake_by(h->port, &h->port->rx[RING].waiter,
				     h->break_fd);
	if (!err)
		return 0;
	traffic_fini(h);
	return handle_fail(h, PCAP_ERROR, "cannot wait for packets of %s: %s",
			   h->name, strerror(-err));
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void traffic_fini(struct handle *h)
{
	close_fd(&h->break_fd);
	close_fd(&h->poll_fd);
	close_fd(&h->ready_fd);
	free(h->filter.bf_insns);
	h->filter.bf_insns = NULL;
}

/*
 * Gives back the packets that were borrowed and borrows others: their number,
 * or -errno.
 */
static int fetch(struct handle *h)
{
	struct timespec t;
	int n;

	if (h->n)
		glen_release(h->port, RING);
	h->at = h->n = 0;
	n = glen_recv(h->port, RING, h->packets, h->batch);
	if (n <= 0)
		return n;
	h->n = (unsigned)n;
	clock_gettime(CLOCK_REALTIME, &t);
	h->stamp.tv_sec = t.tv_sec;
	h->stamp.tv_usec = h->precision == PCAP_TSTAMP_PRECISION_NANO ?
				   t.tv_nsec :
				   t.tv_nsec / 1000;
	return n;
}

/* Fills hdr for a packet; false if the filter does not want it. */
static inline bool wanted(struct handle *h, const struct glen_packet *p,
			  struct pcap_pkthdr *hdr)
{
	const struct bpf_insn *filter = h->filter.bf_insns;

	if (filter && !REAL(bpf_filter)(filter, p->data, p->len, p->len))
		return false;
	hdr->ts = h->stamp;
	hdr->len = p->len;
	hdr->caplen = p->len < (uint32_t)h->snaplen ? p->len :
						      (uint32_t)h->snaplen;
	h->received++;
	return true;
}

/* True once after traffic_break(). break_fd may stay readable: that wakes the
 * next wait once, in vain. */
static bool take_break(struct handle *h)
{
	return __atomic_load_n(&h->broken, __ATOMIC_RELAXED) &&
	       __atomic_exchange_n(&h->broken, 0, __ATOMIC_SEQ_CST);
}

/* The batch's packets, at most limit: the number of those accepted. */
static int deliver(struct handle *h, int limit, pcap_handler callback,
		   u_char *user)
{
	struct pcap_pkthdr hdr;
	int done = 0;

	while (h->at < h->n && done < limit &&
	       !__atomic_load_n(&h->broken, __ATOMIC_RELAXED)) {
		const struct glen_packet *p = &h->packets[h->at++];

		if (!wanted(h, p, &hdr))
			continue;
		callback(user, &hdr, p->data);
		done++;
	}
	return done;
}

/* Sets *end on the first call. 1: look again, 0: time is up, or -errno. */
static int wait_packets(struct handle *h, int64_t *end)
{
	int left = -1, err;

	if (h->nonblock)
		return 0;
	if (h->timeout_ms > 0) {
		int64_t now = now_ms();

		if (!*end)
			*end = now + h->timeout_ms;
		if (now >= *end)
			return 0;
		left = (int)(*end - now);
	}
	err = glen_wait_ring(h->port, RING, GLEN_RX, left);
	/* The descriptor is cleared before the caller looks at broken, which
	 * traffic_break() sets before the descriptor: none gets lost. */
	if (err == -EINTR)
		event_clear(h->break_fd);
	return err < 0 && err != -EINTR ? err : 1;
}

/*
 * Makes the selectable descriptor tell the truth: readable if there are
 * packets or an error, else glend is asked to call.
 */
static void settle(struct handle *h)
{
	bool ready = h->at < h->n;

	if (!ready) {
		/* glen_arm() looks at the TX ring, too. */
		pthread_mutex_lock(&h->tx_lock);
		ready = glen_arm(h->port, GLEN_RX) != 0;
		pthread_mutex_unlock(&h->tx_lock);
	}
	if (ready && !h->ready)
		event_set(h->ready_fd);
	else if (!ready && h->ready)
		event_clear(h->ready_fd);
	h->ready = ready;
}

static int read_some(struct handle *h, int limit, pcap_handler callback,
		     u_char *user)
{
	int64_t end = 0;
	unsigned seen = 0;
	int done = 0, got;

	for (;;) {
		if (take_break(h))
			return PCAP_ERROR_BREAK;
		if (done == limit || (done && seen >= h->slots))
			return done;
		if (h->at == h->n) {
			got = fetch(h);
			if (!got && !done)
				got = wait_packets(h, &end);
			else if (!got)
				return done;
			if (got < 0)
				return done ? done : fail(h, got);
			if (!got)
				return 0;
			seen += h->n;
		}
		done += deliver(h, limit - done, callback, user);
	}
}

int traffic_read(struct handle *h, int limit, pcap_handler callback,
		 u_char *user)
{
	int done = read_some(h, limit > 0 ? limit : INT32_MAX, callback, user);

	if (h->selectable)
		settle(h);
	return done;
}

/* Waits until a packet may fit: 0, or -errno. */
static int wait_room(struct handle *h, int64_t end)
{
	int64_t now = now_ms();
	int err;

	if (h->nonblock)
		return -EAGAIN;
	if (now >= end)
		return -ETIMEDOUT;
	err = glen_wait_ring(h->port, RING, GLEN_TX, (int)(end - now));
	/* There is room, but not for all pieces of a long packet. */
	if (err > 0)
		sched_yield();
	return err < 0 && err != -EINTR ? err : 0;
}

int traffic_inject(struct handle *h, const void *data, size_t size)
{
	struct glen_packet packet = { (void *)(uintptr_t)data, (uint32_t)size };
	int64_t end = 0;
	int n;

	if (size > INT32_MAX)
		return fail(h, -EMSGSIZE);
	pthread_mutex_lock(&h->tx_lock);
	while (!(n = glen_send(h->port, RING, &packet, 1))) {
		if (!end)
			end = now_ms() + SEND_WAIT_MS;
		n = wait_room(h, end);
		if (n)
			break;
	}
	pthread_mutex_unlock(&h->tx_lock);
	if (n > 0)
		return (int)size;
	if (n == -ETIMEDOUT)
		return handle_fail(h, PCAP_ERROR,
				   "%s: glend took no packet for %d s; is it "
				   "running?",
				   h->name, SEND_WAIT_MS / 1000);
	errno = -n;
	return fail(h, n);
}

void traffic_break(struct handle *h)
{
	int saved = errno;

	__atomic_store_n(&h->broken, 1, __ATOMIC_SEQ_CST);
	if (h->break_fd >= 0)
		event_set(h->break_fd);
	errno = saved;
}

int traffic_filter(struct handle *h, const struct bpf_program *filter)
{
	size_t size = filter->bf_len * sizeof(struct bpf_insn);
	struct bpf_insn *copy;

	if (!REAL(bpf_validate)(filter->bf_insns, (int)filter->bf_len))
		return handle_fail(h, PCAP_ERROR, "BPF program is not valid");
	copy = malloc(size);
	if (!copy)
		return handle_fail(h, PCAP_ERROR, "out of memory");
	memcpy(copy, filter->bf_insns, size);
	free(h->filter.bf_insns);
	h->filter.bf_insns = copy;
	h->filter.bf_len = filter->bf_len;
	return 0;
}

int traffic_stats(struct handle *h, struct pcap_stat *stats)
{
	unsigned reconnects = glen_port_reconnects(h->port);
	struct glen_port_stats now;

	/* While there is no glend, what was heard last is the best answer. */
	if (!glen_port_stats(h->port, &now)) {
		if (reconnects != h->reconnects)
			h->drops_base += h->drops; /* a new glend counts anew */
		h->reconnects = reconnects;
		h->drops = now.out_drops;
	}
	memset(stats, 0, sizeof(*stats));
	stats->ps_recv = (u_int)h->received;
	stats->ps_drop = (u_int)(h->drops_base + h->drops);
	return 0;
}

static int add(int epfd, int fd)
{
	struct epoll_event e = { .events = EPOLLIN };

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

int traffic_fd(struct handle *h)
{
	int fd, err;

	if (h->selectable)
		return h->poll_fd;
	fd = glen_port_fd(h->port);
	err = fd < 0 ? fd : 0;
	if (!err) {
		h->poll_fd = epoll_create1(EPOLL_CLOEXEC);
		h->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		err = h->poll_fd < 0 || h->ready_fd < 0 ? -errno : 0;
	}
	if (!err)
		err = add(h->poll_fd, fd);
	if (!err)
		err = add(h->poll_fd, h->ready_fd);
	if (err) {
		close_fd(&h->poll_fd);
		close_fd(&h->ready_fd);
		return fail(h, err);
	}
	h->selectable = true;
	settle(h);
	return h->poll_fd;
}
