// SPDX-License-Identifier: BSD-2-Clause
// bridge.c - forwards between two ports both ways, as programs for netmap do.
/*
 * netmap_bridge PORT PORT [COUNT]
 *
 * Written with nm_open() and poll() on two descriptors, for the tests of the
 * headers and of what runs such programs. Buffers change places if both ports
 * are in one region; else packets are copied. Ends after COUNT slots, or with
 * SIGINT. The last line of the output is "forwarded N swapped N".
 */
#define NETMAP_WITH_LIBS
#include <inttypes.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <stdbool.h>

struct bridge {
	struct nm_desc *ports[2];
	bool swap; /* both are in one region */
	uint64_t forwarded, swapped;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

/* Moves what it can from one ring to another. */
static void move(struct bridge *b, struct netmap_ring *rx,
		 struct netmap_ring *tx)
{
	uint32_t n = nm_ring_space(rx), space = nm_ring_space(tx);
	uint32_t from = rx->head, to = tx->head;

	if (n > space)
		n = space;
	for (; n; n--) {
		struct netmap_slot *in = &rx->slot[from];
		struct netmap_slot *out = &tx->slot[to];

		if (b->swap) {
			uint32_t buf = out->buf_idx;

			out->buf_idx = in->buf_idx;
			in->buf_idx = buf;
			out->flags = NS_BUF_CHANGED;
			in->flags |= NS_BUF_CHANGED;
			b->swapped++;
		} else {
			nm_pkt_copy(NETMAP_BUF(rx, in->buf_idx),
				    NETMAP_BUF(tx, out->buf_idx), in->len);
			out->flags = 0;
		}
		out->len = in->len;
		out->flags |= in->flags & NS_MOREFRAG;
		from = nm_ring_next(rx, from);
		to = nm_ring_next(tx, to);
		b->forwarded++;
	}
	rx->head = rx->cur = from;
	tx->head = tx->cur = to;
}

/* Moves from all rings of one port to those of the other. */
static void forward(struct bridge *b, struct nm_desc *in, struct nm_desc *out)
{
	unsigned rx = in->first_rx_ring, tx = out->first_tx_ring;

	while (rx <= in->last_rx_ring && tx <= out->last_tx_ring) {
		struct netmap_ring *from = NETMAP_RXRING(in->nifp, rx);
		struct netmap_ring *to = NETMAP_TXRING(out->nifp, tx);

		move(b, from, to);
		if (nm_ring_empty(from))
			rx++;
		else
			tx++;
	}
}

static bool waiting(const struct nm_desc *d)
{
	for (unsigned i = d->first_rx_ring; i <= d->last_rx_ring; i++) {
		if (!nm_ring_empty(NETMAP_RXRING(d->nifp, i)))
			return true;
	}
	return false;
}

static int run(struct bridge *b, uint64_t count)
{
	struct pollfd pfds[2];

	while (!stop && (!count || b->forwarded < count)) {
		for (int i = 0; i < 2; i++) {
			pfds[i].fd = NETMAP_FD(b->ports[i]);
			pfds[i].events = 0;
			pfds[i].revents = 0;
		}
		/* Wait for room where packets are waiting for it. */
		for (int i = 0; i < 2; i++) {
			if (waiting(b->ports[i]))
				pfds[!i].events |= POLLOUT;
			else
				pfds[i].events |= POLLIN;
		}
		if (poll(pfds, 2, 2500) < 0 && !stop) {
			D("poll: %s", strerror(errno));
			return 1;
		}
		if ((pfds[0].revents | pfds[1].revents) & POLLERR) {
			D("poll says that a port is in error");
			return 1;
		}
		forward(b, b->ports[0], b->ports[1]);
		forward(b, b->ports[1], b->ports[0]);
		for (int i = 0; i < 2; i++)
			ioctl(NETMAP_FD(b->ports[i]), NIOCTXSYNC, NULL);
	}
	printf("forwarded %" PRIu64 " swapped %" PRIu64 "\n", b->forwarded,
	       b->swapped);
	return 0;
}

int main(int argc, char **argv)
{
	struct bridge b = { 0 };
	int status;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: netmap_bridge PORT PORT [COUNT]\n");
		return 2;
	}
	signal(SIGINT, on_signal);
	b.ports[0] = nm_open(argv[1], NULL, 0, NULL);
	if (!b.ports[0]) {
		D("cannot open %s", argv[1]);
		return 1;
	}
	b.ports[1] = nm_open(argv[2], NULL, NM_OPEN_NO_MMAP, b.ports[0]);
	if (!b.ports[1]) {
		D("cannot open %s", argv[2]);
		nm_close(b.ports[0]);
		return 1;
	}
	b.swap = b.ports[0]->mem == b.ports[1]->mem;
	status = run(&b, argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	nm_close(b.ports[1]);
	nm_close(b.ports[0]);
	return status;
}
