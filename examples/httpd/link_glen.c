// SPDX-License-Identifier: BSD-2-Clause
// link_glen.c - a link that is a port of a glen switch.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"

int fail(struct glen_error *error, int code, const char *format, ...)
{
	va_list ap;

	if (error) {
		error->code = code;
		va_start(ap, format);
		vsnprintf(error->text, sizeof(error->text), format, ap);
		va_end(ap);
	}
	return code;
}

static void publish(struct netmap_ring *ring, const struct link_ring *r)
{
	ring->head = ring->cur = r->head;
}

static int glen_link_sync(struct link *link)
{
	struct netmap_ring *tx = glen_port_tx_ring(link->port, 0);
	struct netmap_ring *rx = glen_port_rx_ring(link->port, 0);
	int err;

	publish(tx, &link->tx);
	publish(rx, &link->rx);
	err = glen_txsync(link->port, 0);
	if (!err)
		err = glen_rxsync(link->port, 0);
	link->tx.tail = tx->tail;
	link->rx.tail = rx->tail;
	return err;
}

static int glen_link_wait(struct link *link, bool room, int timeout_ms)
{
	int got = glen_link_sync(link);

	if (got)
		return got;
	got = glen_wait(link->port, GLEN_RX | (room ? GLEN_TX : 0), timeout_ms);
	if (got < 0 && got != -EINTR)
		return got;
	return glen_link_sync(link);
}

static void glen_link_close(struct link *link)
{
	glen_port_close(link->port);
	free(link->spare);
	free(link);
}

static struct link_ring view(struct netmap_ring *ring)
{
	return (struct link_ring){
		.slot = ring->slot,
		.bufs = NETMAP_BUF(ring, 0),
		.buf_size = ring->nr_buf_size,
		.mask = ring->num_slots - 1,
		.head = ring->head,
		.tail = ring->tail,
	};
}

/* The extra buffers: the first word of each names the next. */
static void find_spare(struct link *link)
{
	uint32_t i = glen_port_nifp(link->port)->ni_bufs_head;

	for (; i && link->n_spare < link->n_bufs; link->n_spare++) {
		link->spare[link->n_spare] = i;
		memcpy(&i, link->rx.bufs + (size_t)i * link->rx.buf_size,
		       sizeof(i));
	}
	glen_port_nifp(link->port)->ni_bufs_head = 0;
}

int link_glen_open(struct link **out, const char *port, const char *socket,
		   unsigned slots, struct glen_error *error)
{
	const struct glen_port_config config = {
		.socket = socket,
		.slots = slots,
		.buf_size = LINK_BUF_SIZE,
		.extra_bufs = LINK_SPARE,
		.mtu = 1500,
		.connect_timeout_ms = 1000,
	};
	struct link *link = calloc(1, sizeof(*link));
	int err;

	*out = NULL;
	if (link)
		link->spare = calloc(LINK_SPARE, sizeof(*link->spare));
	if (!link || !link->spare) {
		free(link);
		return fail(error, -ENOMEM, "out of memory");
	}
	err = glen_port_open(&link->port, port, &config, error);
	if (err) {
		free(link->spare);
		free(link);
		return err;
	}
	link->tx = view(glen_port_tx_ring(link->port, 0));
	link->rx = view(glen_port_rx_ring(link->port, 0));
	link->n_bufs = LINK_SPARE;
	find_spare(link);
	link->sync = glen_link_sync;
	link->wait = glen_link_wait;
	link->close = glen_link_close;
	*out = link;
	return 0;
}
