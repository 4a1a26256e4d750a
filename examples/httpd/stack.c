// SPDX-License-Identifier: BSD-2-Clause
// stack.c - lwIP over a link, in one thread.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#include "stack.h"

enum {
	FRAMES_MAX = 256, /* of a turn */
	FRAME_LEN_MAX = 1514,
	CLAIMS_CHECK_MS = 1000,
	EPHEMERAL = 49152,
	ASK_MS = 100,
};

/* A received frame. */
struct held {
	struct pbuf_custom custom; /* first */
	struct held *next;	   /* of the free ones */
	uint32_t buf_idx;
	bool in_slot; /* input() is running: the slot has the buffer */
	bool freed;
};

static struct {
	struct link *link;
	struct netif netif;
	struct stack_config config;
	struct held *held, *free;
	struct stack_counters counters;
	bool stalled; /* lwIP has segments that found no room */

	struct glen_claim *claims;
	unsigned n_claims, reconnects;
	bool claims_lost;
} stack;

uint64_t stack_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

const struct stack_counters *stack_counters(void)
{
	return &stack.counters;
}

const char *stack_error(void)
{
	return stack.link && stack.link->port ?
		       glen_port_error(stack.link->port) :
		       "";
}

/* Sending */

static bool has_room(void)
{
	struct link_ring *tx = &stack.link->tx;

	if (tx->head == tx->tail)
		stack.link->sync(stack.link);
	return tx->head != tx->tail;
}

static err_t send_frame(struct netif *netif, struct pbuf *p)
{
	struct link_ring *tx = &stack.link->tx;
	char *buf;

	if (p->tot_len > FRAME_LEN_MAX)
		return ERR_BUF;
	if (!has_room()) {
		stack.counters.tx_full++;
		stack.stalled = true;
		return ERR_MEM;
	}
	buf = link_buf(tx, tx->head);
	if (p->next)
		pbuf_copy_partial(p, buf, p->tot_len, 0);
	else
		memcpy(buf, p->payload, p->len);
	tx->slot[tx->head].len = p->tot_len;
	tx->slot[tx->head].flags = 0;
	tx->head = (tx->head + 1) & tx->mask;
	stack.counters.tx_frames++;
	return ERR_OK;
}

/* There is room again: all that have something to send try again. */
static void resume(void)
{
	struct link_ring *tx = &stack.link->tx;

	if (((tx->tail - tx->head) & tx->mask) < tx->mask / 4)
		return;
	stack.stalled = false;
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (pcb->unsent || pcb->flags & TF_ACK_NOW)
			tcp_output(pcb);
}

/* Receiving */

static void held_free(struct pbuf *p)
{
	struct held *h = (struct held *)(void *)p;

	h->freed = true;
	if (h->in_slot)
		return;
	stack.link->spare[stack.link->n_spare++] = h->buf_idx;
	h->next = stack.free;
	stack.free = h;
}

/* Gives slot i to lwIP, with another buffer for the ring if it keeps it. */
static void receive(uint32_t i)
{
	struct link_ring *rx = &stack.link->rx;
	struct netmap_slot *slot = &rx->slot[i];
	struct held *h = stack.free;
	struct pbuf *p;

	if (!h || !stack.link->n_spare || slot->flags & NS_MOREFRAG ||
	    slot->len > FRAME_LEN_MAX) {
		stack.counters.rx_dropped++;
		return;
	}
	stack.free = h->next;
	h->buf_idx = slot->buf_idx;
	h->in_slot = true;
	h->freed = false;
	p = pbuf_alloced_custom(PBUF_RAW, slot->len, PBUF_REF, &h->custom,
				link_buf(rx, i), slot->len);
	if (stack.netif.input(p, &stack.netif) != ERR_OK)
		pbuf_free(p);
	h->in_slot = false;
	if (h->freed) {
		h->next = stack.free;
		stack.free = h;
		return;
	}
	slot->buf_idx = stack.link->spare[--stack.link->n_spare];
	slot->flags |= NS_BUF_CHANGED;
}

static unsigned receive_all(void)
{
	struct link_ring *rx = &stack.link->rx;
	unsigned n = 0;

	for (; n < FRAMES_MAX && rx->head != rx->tail; n++) {
		uint32_t next = (rx->head + 1) & rx->mask;

		if (next != rx->tail)
			__builtin_prefetch(link_buf(rx, next));
		receive(rx->head);
		rx->head = next;
	}
	stack.counters.rx_frames += n;
	return n;
}

/* Claims */

/* Asks again for what was lost. */
static void renew_claims(void)
{
	struct glen_port *port = stack.link->port;

	/* Those that it has are refused, too: they are in use. */
	for (unsigned i = 0; i < stack.n_claims; i++) {
		int err = glen_claim(port, &stack.claims[i], 1, NULL);

		if (err && err != -EADDRINUSE)
			break;
	}
	if (glen_port_claims(port) == stack.n_claims) {
		fprintf(stderr, "all of %u ports are claimed again\n",
			stack.n_claims);
		stack.claims_lost = false;
	}
}

static void check_claims(void *arg)
{
	struct glen_port *port = stack.link->port;
	unsigned reconnects = glen_port_reconnects(port);

	sys_timeout(CLAIMS_CHECK_MS, check_claims, arg);
	if (stack.claims_lost) {
		renew_claims();
	} else if (reconnects != stack.reconnects) {
		unsigned n = glen_port_claims(port);

		stack.reconnects = reconnects;
		stack.claims_lost = n < stack.n_claims;
		if (stack.claims_lost)
			fprintf(stderr,
				"glend was restarted and somebody else has "
				"claimed %u of %u ports since; asking for them "
				"again\n",
				stack.n_claims - n, stack.n_claims);
	}
}

static void number_ports(uint16_t *ports, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!ports[i])
			ports[i] = (uint16_t)(EPHEMERAL +
					      i % (65536 - EPHEMERAL));
}

int stack_claim(uint16_t *ports, unsigned n, struct glen_error *error)
{
	struct glen_port *port = stack.link->port;
	int err;

	if (!port) {
		number_ports(ports, n);
		return 0;
	}
	stack.claims = calloc(n, sizeof(*stack.claims));
	if (!stack.claims)
		return fail(error, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < n; i++) {
		struct glen_claim *c = &stack.claims[i];

		c->family = AF_INET;
		c->protocol = IPPROTO_TCP;
		c->port = ports[i];
		memcpy(c->ip, &stack.config.address, 4);
	}
	err = glen_claim(port, stack.claims, n, error);
	if (err == -EOPNOTSUPP) {
		number_ports(ports, n);
		return 0;
	}
	if (err)
		return err;
	for (unsigned i = 0; i < n; i++)
		ports[i] = stack.claims[i].port;
	stack.n_claims = n;
	sys_timeout(CLAIMS_CHECK_MS, check_claims, NULL);
	return 0;
}

/* Life */

static err_t netif_set_up_ours(struct netif *netif)
{
	static const uint8_t none[6];
	const uint8_t *mac = stack.config.mac;

	netif->name[0] = 'g';
	netif->name[1] = 'l';
	netif->output = etharp_output;
	netif->linkoutput = send_frame;
	netif->mtu = 1500;
	netif->hwaddr_len = ETHARP_HWADDR_LEN;
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP |
		       NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
	if (memcmp(mac, none, 6)) {
		memcpy(netif->hwaddr, mac, 6);
		return ERR_OK;
	}
	/* The same for all who share the address. */
	netif->hwaddr[0] = 0x02;
	netif->hwaddr[1] = 'g';
	memcpy(netif->hwaddr + 2, &stack.config.address, 4);
	return ERR_OK;
}

static int hold(struct glen_error *error)
{
	stack.held = calloc(LINK_SPARE + 1, sizeof(*stack.held));
	if (!stack.held)
		return fail(error, -ENOMEM, "out of memory");
	for (unsigned i = 0; i <= LINK_SPARE; i++) {
		stack.held[i].custom.custom_free_function = held_free;
		stack.held[i].next = stack.free;
		stack.free = &stack.held[i];
	}
	return 0;
}

int stack_open(const struct stack_config *config, struct glen_error *error)
{
	unsigned seed = 0;
	int err;

	stack.config = *config;
	/* lwIP draws from rand(). */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = (unsigned)stack_now_ns();
	srand(seed);
	if (config->memory)
		err = link_memory_open(&stack.link, config->memory,
				       config->side, config->slots, error);
	else
		err = link_glen_open(&stack.link, config->attach,
				     config->socket, config->slots, error);
	if (!err)
		err = hold(error);
	if (err) {
		stack_close();
		return err;
	}
	lwip_init();
	netif_add(&stack.netif, &config->address, &config->netmask,
		  &config->gateway, NULL, netif_set_up_ours, ethernet_input);
	netif_set_default(&stack.netif);
	return 0;
}

void stack_up(void)
{
	netif_set_up(&stack.netif);
}

void stack_close(void)
{
	if (stack.link) {
		stack.link->sync(stack.link);
		stack.link->close(stack.link);
	}
	stack.link = NULL;
	free(stack.held);
	free(stack.claims);
	stack.held = stack.free = NULL;
	stack.claims = NULL;
}

int stack_turn(int timeout_ms)
{
	struct link *link = stack.link;
	uint32_t timer_ms;
	unsigned n;
	int err;

	err = link->sync(link);
	if (err)
		return err;
	n = receive_all();
	sys_check_timeouts();
	if (stack.stalled)
		resume();
	if (n)
		return link->sync(link);
	timer_ms = sys_timeouts_sleeptime();
	if (timer_ms < (uint32_t)timeout_ms)
		timeout_ms = (int)timer_ms;
	return link->wait(link, stack.stalled, timeout_ms);
}

int stack_find(const ip4_addr_t *ip, int timeout_ms)
{
	uint64_t now = stack_now_ns(), end, next = now;
	struct netif *netif = &stack.netif;
	const ip4_addr_t *found;
	struct eth_addr *mac;
	int err = 0;

	if (!ip4_addr_netcmp(ip, netif_ip4_addr(netif),
			     netif_ip4_netmask(netif)))
		ip = netif_ip4_gw(netif);
	end = now + (uint64_t)timeout_ms * 1000000;
	for (; now < end && !err; now = stack_now_ns()) {
		if (etharp_find_addr(netif, ip, &mac, &found) >= 0)
			return 0;
		if (now >= next) {
			etharp_query(netif, ip, NULL);
			next = now + (uint64_t)ASK_MS * 1000000;
		}
		err = stack_turn(ASK_MS);
	}
	return err ? err : -EHOSTUNREACH;
}

void stack_limit_time_wait(unsigned max)
{
	struct tcp_pcb *pcb = tcp_tw_pcbs, *next;
	unsigned n = 0;

	/* The latest is first. */
	for (; pcb; pcb = next) {
		next = pcb->next;
		if (n++ >= max)
			tcp_abort(pcb);
	}
}
