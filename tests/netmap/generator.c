// SPDX-License-Identifier: BSD-2-Clause
// generator.c - sends or receives numbered packets, as programs for netmap do.
/*
 * netmap_generator -i PORT [-f tx|rx] [-n COUNT] [-l LEN] [-b BATCH] [-w MS]
 *
 * Written with libnetmap and poll(), for the tests of the headers and of what
 * runs such programs. Ends after COUNT packets, or in rx when nothing came for
 * MS milliseconds (default: wait for ever). The last line of the output is
 * "sent N" or "received N lost N bad N".
 */
#include <errno.h>
#include <inttypes.h>
#include <libnetmap.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NUMBER_AT = 14 }; /* where the packet's number is, behind the MACs */

struct run {
	struct nmport_d *port;
	uint64_t count; /* 0: no end */
	uint32_t len, batch;
	int wait_ms;
	uint64_t done, lost, bad;
	uint8_t packet[2048];
};

/* Fills free slots of all bound TX rings. */
static void fill_rings(struct run *r)
{
	struct nmport_d *d = r->port;

	for (unsigned i = d->first_tx_ring; i <= d->last_tx_ring; i++) {
		struct netmap_ring *ring = NETMAP_TXRING(d->nifp, i);
		uint32_t n = nm_ring_space(ring), at = ring->head;

		if (n > r->batch)
			n = r->batch;
		if (r->count && n > r->count - r->done)
			n = (uint32_t)(r->count - r->done);
		for (; n; n--, at = nm_ring_next(ring, at)) {
			struct netmap_slot *slot = &ring->slot[at];
			char *buf = NETMAP_BUF_OFFSET(ring, slot);

			memcpy(r->packet + NUMBER_AT, &r->done,
			       sizeof(r->done));
			nm_pkt_copy(r->packet, buf, (int)r->len);
			slot->len = (uint16_t)r->len;
			slot->flags = n == 1 ? NS_REPORT : 0;
			r->done++;
		}
		ring->head = ring->cur = at;
	}
}

static int send_packets(struct run *r)
{
	struct nmport_d *d = r->port;
	struct pollfd pfd = { .fd = d->fd, .events = POLLOUT };
	bool pending = true;

	for (unsigned i = 0; i < 12; i++)
		r->packet[i] = i < 6 ? 0xff : (uint8_t)(2 + i);
	r->packet[12] = 0x88; /* an Ethernet type for experiments */
	r->packet[13] = 0xb5;
	while (!r->count || r->done < r->count) {
		if (poll(&pfd, 1, 2000) < 0 && errno != EINTR) {
			D("poll: %s", strerror(errno));
			return 1;
		}
		if (pfd.revents & POLLERR) {
			D("poll says that the port is in error");
			return 1;
		}
		fill_rings(r);
	}
	while (pending) {
		ioctl(d->fd, NIOCTXSYNC, NULL);
		pending = false;
		for (unsigned i = d->first_tx_ring; i <= d->last_tx_ring; i++)
			pending |= nm_tx_pending(NETMAP_TXRING(d->nifp, i));
		if (pending)
			usleep(100);
	}
	printf("sent %" PRIu64 "\n", r->done);
	return 0;
}

static void drain_rings(struct run *r, uint64_t *expected)
{
	struct nmport_d *d = r->port;

	for (unsigned i = d->first_rx_ring; i <= d->last_rx_ring; i++) {
		struct netmap_ring *ring = NETMAP_RXRING(d->nifp, i);

		for (; !nm_ring_empty(ring);
		     ring->head = ring->cur = nm_ring_next(ring, ring->head)) {
			struct netmap_slot *slot = &ring->slot[ring->head];
			char *buf = NETMAP_BUF_OFFSET(ring, slot);
			uint64_t number;

			if (!slot->len)
				continue; /* slots may be left empty */
			r->done++;
			memcpy(&number, buf + NUMBER_AT, sizeof(number));
			if (slot->len != r->len || number < *expected) {
				r->bad++;
				continue;
			}
			r->lost += number - *expected;
			*expected = number + 1;
		}
	}
}

static int receive_packets(struct run *r)
{
	struct pollfd pfd = { .fd = r->port->fd, .events = POLLIN };
	uint64_t expected = 0;

	while (!r->count || r->done < r->count) {
		int n = poll(&pfd, 1, r->wait_ms);

		if (n < 0 && errno != EINTR) {
			D("poll: %s", strerror(errno));
			return 1;
		}
		if (n > 0 && (pfd.revents & POLLERR)) {
			D("poll says that the port is in error");
			return 1;
		}
		if (!n)
			break;
		drain_rings(r, &expected);
	}
	/* The sender of a pipe waits for its slots. */
	ioctl(r->port->fd, NIOCRXSYNC, NULL);
	printf("received %" PRIu64 " lost %" PRIu64 " bad %" PRIu64 "\n",
	       r->done, r->lost, r->bad);
	return r->bad ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: netmap_generator -i PORT [-f tx|rx] [-n COUNT] "
			"[-l LEN] [-b BATCH] [-w MS]\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct run r = { .len = 60, .batch = 256, .wait_ms = -1 };
	const char *name = NULL, *mode = "tx";
	int opt, status;

	while ((opt = getopt(argc, argv, "i:f:n:l:b:w:")) != -1) {
		if (opt == 'i')
			name = optarg;
		else if (opt == 'f')
			mode = optarg;
		else if (opt == 'n')
			r.count = strtoull(optarg, NULL, 0);
		else if (opt == 'l')
			r.len = (uint32_t)strtoul(optarg, NULL, 0);
		else if (opt == 'b')
			r.batch = (uint32_t)strtoul(optarg, NULL, 0);
		else if (opt == 'w')
			r.wait_ms = atoi(optarg);
		else
			return usage();
	}
	if (!name || (strcmp(mode, "tx") && strcmp(mode, "rx")) ||
	    r.len < NUMBER_AT + sizeof(uint64_t) || r.len > sizeof(r.packet))
		return usage();
	r.port = nmport_open(name);
	if (!r.port)
		return 1;
	D("%s: region %u, %u TX and %u RX rings of %u and %u slots", name,
	  r.port->reg.nr_mem_id, r.port->reg.nr_tx_rings,
	  r.port->reg.nr_rx_rings, r.port->reg.nr_tx_slots,
	  r.port->reg.nr_rx_slots);
	status = *mode == 't' ? send_packets(&r) : receive_packets(&r);
	nmport_close(r.port);
	return status;
}
