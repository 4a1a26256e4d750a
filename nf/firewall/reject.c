// SPDX-License-Identifier: BSD-2-Clause
// reject.c - a packet becomes the answer that it was refused.
/*
 * TCP is answered with a reset, all else with ICMP "communication
 * administratively prohibited" (RFC 1812 5.2.7.1, RFC 4443 3.1), by the port
 * that the packet came by and with its addresses and tags turned round. Never
 * answered are (RFC 1122 3.2.2, RFC 4443 2.4): ICMP but echo requests,
 * fragments, resets, what is sent from or to more than one, packets whose
 * headers contradict each other, and more per second than reject-rate.
 */
#include <arpa/inet.h>
#include <string.h>

#include "core/checksum.h"
#include "core/headers.h"
#include "nf/firewall/instance.h"

enum {
	ICMP = 1,
	TCP = 6,
	ICMPV6 = 58,
	TTL = 64,
	V6_MTU = 1280,
	FIN = 1,
	SYN = 2,
	RST = 4,
	ACK = 16,
};

/* The packet's end as its IP header has it; 0: it is not all there. */
static unsigned ip_end(const struct glen_nf_packet *p, const struct headers *h)
{
	const uint8_t *ip = p->data + h->l3;
	unsigned end = h->l3 + (h->version == 4 ? headers_get16(ip + 2) :
						  40 + headers_get16(ip + 4));

	return end <= p->len && end >= h->l4 ? end : 0;
}

static bool one_sender(const uint8_t *ip, unsigned version)
{
	static const uint8_t none[16];

	if (version == 4)
		return ip[12] != 0 && ip[12] < 224 && ip[16] < 224;
	return ip[8] != 0xff && ip[24] != 0xff &&
	       memcmp(ip + 8, none, sizeof(none)) != 0;
}

static bool may_answer(const struct glen_nf_packet *p, const struct headers *h,
		       unsigned end)
{
	const uint8_t *l4 = p->data + h->l4;

	if (!end || h->fragment || p->data[0] & 1 || p->data[6] & 1 ||
	    !one_sender(p->data + h->l3, h->version))
		return false;
	if (h->protocol == ICMP)
		return end > h->l4 && l4[0] == 8;
	if (h->protocol == ICMPV6)
		return end > h->l4 && l4[0] == 128;
	if (h->protocol == TCP)
		return end - h->l4 >= 20 && !(l4[13] & RST);
	return true;
}

static void turn_macs(uint8_t *data)
{
	uint8_t dst[6];

	memcpy(dst, data, 6);
	memcpy(data, data + 6, 6);
	memcpy(data + 6, dst, 6);
}

static void put_sum(uint8_t *at, uint64_t sum)
{
	uint16_t folded = (uint16_t)~checksum_fold(sum);

	memcpy(at, &folded, sizeof(folded));
}

/* An IP header for len bytes behind it; from, to: addresses that lie
 * elsewhere. */
static void put_ip(uint8_t *ip, unsigned version, unsigned protocol,
		   unsigned len, const uint8_t *from, const uint8_t *to)
{
	memset(ip, 0, version == 4 ? 20 : 40);
	if (version == 6) {
		ip[0] = 0x60;
		headers_put16(ip + 4, len);
		ip[6] = (uint8_t)protocol;
		ip[7] = TTL;
		memcpy(ip + 8, from, 16);
		memcpy(ip + 24, to, 16);
		return;
	}
	ip[0] = 0x45;
	headers_put16(ip + 2, 20 + len);
	ip[6] = 0x40; /* whole, so that it needs no number */
	ip[8] = TTL;
	ip[9] = (uint8_t)protocol;
	memcpy(ip + 12, from, 4);
	memcpy(ip + 16, to, 4);
	put_sum(ip + 10, checksum_best()(ip, 20));
}

/* Of the header at l4 and len bytes with the addresses of ip. */
static uint64_t sum_with_ip(const uint8_t *ip, unsigned version,
			    unsigned protocol, const uint8_t *l4, unsigned len)
{
	checksum_fn *fn = checksum_best();

	return fn(ip + (version == 4 ? 12 : 8), version == 4 ? 8 : 32) +
	       htons((uint16_t)protocol) + htons((uint16_t)len) + fn(l4, len);
}

/* What the reset's numbers must be (RFC 9293 3.10.7.1). */
static void put_reset(uint8_t *tcp, const uint8_t *old, unsigned len)
{
	uint32_t seq = headers_get32(old + 4), n = len - (old[12] >> 4) * 4u;
	bool ack = old[13] & ACK;

	memset(tcp, 0, 20);
	memcpy(tcp, old + 2, 2);
	memcpy(tcp + 2, old, 2);
	n += (old[13] & SYN ? 1 : 0) + (old[13] & FIN ? 1 : 0);
	headers_put32(tcp + 4, ack ? headers_get32(old + 8) : 0);
	headers_put32(tcp + 8, ack ? 0 : seq + n);
	tcp[12] = 5 << 4;
	tcp[13] = ack ? RST : RST | ACK;
}

static bool reset(struct glen_nf_packet *p, const struct headers *h,
		  unsigned end)
{
	bool v4 = h->version == 4;
	unsigned ip_len = v4 ? 20 : 40, address = v4 ? 4 : 16;
	unsigned data = (p->data[h->l4 + 12] >> 4) * 4u;
	uint8_t *ip = p->data + h->l3, *tcp = ip + ip_len;
	uint8_t ends[32], old[20];

	if (data < 20 || data > end - h->l4 ||
	    !glen_nf_resize(p, h->l3 + ip_len + 20))
		return false;
	memcpy(ends, ip + (v4 ? 12 : 8), 2 * address);
	memcpy(old, p->data + h->l4, sizeof(old));
	put_ip(ip, h->version, TCP, 20, ends + address, ends);
	put_reset(tcp, old, end - h->l4);
	put_sum(tcp + 16, sum_with_ip(ip, h->version, TCP, tcp, 20));
	return true;
}

/* The packet's headers and eight bytes, of IPv6 as much as may be. */
static bool prohibited(struct glen_nf_packet *p, const struct headers *h,
		       unsigned end)
{
	bool v4 = h->version == 4;
	unsigned ip_len = v4 ? 20 : 40, address = v4 ? 4 : 16;
	unsigned most = v4 ? h->l4 - h->l3 + 8u : V6_MTU - 48u;
	unsigned n = end - h->l3 < most ? end - h->l3 : most;
	uint8_t *ip = p->data + h->l3, *icmp = ip + ip_len;
	uint8_t ends[32];

	if (!glen_nf_resize(p, h->l3 + ip_len + 8 + n))
		return false;
	memcpy(ends, ip + (v4 ? 12 : 8), 2 * address);
	memmove(icmp + 8, ip, n);
	memset(icmp, 0, 8);
	icmp[0] = v4 ? 3 : 1;
	icmp[1] = v4 ? 13 : 1;
	put_ip(ip, h->version, v4 ? ICMP : ICMPV6, 8 + n, ends + address, ends);
	if (v4)
		put_sum(icmp + 2, checksum_best()(icmp, 8 + n));
	else
		put_sum(icmp + 2, sum_with_ip(ip, 6, ICMPV6, icmp, 8 + n));
	return true;
}

uint32_t fw_reject(struct glen_nf_thread *t, struct fw_thread *th,
		   struct glen_nf_packet *p)
{
	const struct fw_config *c = &th->fw->config;
	struct headers h;
	unsigned end;
	bool done;

	if (p->in >= GLEN_NF_PORTS_MAX || !c->answers[p->in] ||
	    headers_l3(p->data, p->len, &h) || !h.version)
		return glen_nf_drop(FW_R_NO_ANSWER);
	end = ip_end(p, &h);
	if (!may_answer(p, &h, end) ||
	    !fw_rate_take(&th->rejected, c->reject_rate, glen_nf_now_ns(t)))
		return glen_nf_drop(FW_R_NO_ANSWER);
	done = h.protocol == TCP ? reset(p, &h, end) : prohibited(p, &h, end);
	if (!done)
		return glen_nf_drop(FW_R_NO_ANSWER);
	turn_macs(p->data);
	glen_nf_count(t, FW_C_REJECTED, 1);
	return glen_nf_out(p->in);
}
