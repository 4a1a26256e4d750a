// SPDX-License-Identifier: BSD-2-Clause
// track.c - connections: where they are kept, and how packets move them on.
#include "nf/firewall/track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bytes.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { ICMP = 1, TCP = 6, ICMPV6 = 58 };
enum { OPENING, UP_TCP, UP_OTHER, TABLES };

enum stage {
	S_SYN,
	S_ANSWERED,
	S_UP,
	S_CLOSED,
	S_LOOSE, /* TCP taken over, only one side seen */
	S_ASKED, /* not TCP: one side seen */
	S_REPLIED,
};

struct conn {
	uint8_t stage;	   /* enum stage */
	uint8_t fins;	   /* bit 0: of who opened, bit 1: of the other */
	uint8_t table;	   /* it is in */
	uint32_t acked[2]; /* last acknowledged, by each */
};

struct fw_track {
	struct fw_limits limits;
	struct glen_nf_flow_table *table[TABLES];
};

int fw_track_create(struct fw_track **track, const struct fw_limits *limits)
{
	struct fw_track *t = calloc(1, sizeof(*t));
	struct glen_nf_flow_config c = { .max_flows = limits->flows,
					 .state_size = sizeof(struct conn),
					 .both = true };
	const uint64_t idle[TABLES] = { limits->opening_ns, limits->tcp_ns,
					limits->other_ns };
	int err = 0;

	*track = NULL;
	if (!t)
		return -ENOMEM;
	t->limits = *limits;
	for (unsigned i = 0; i < TABLES && !err; i++) {
		c.idle_ns = idle[i];
		err = glen_nf_flow_create(&t->table[i], &c);
	}
	if (err)
		fw_track_destroy(t);
	else
		*track = t;
	return err;
}

void fw_track_destroy(struct fw_track *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < TABLES; i++)
		glen_nf_flow_destroy(t->table[i]);
	free(t);
}

static void turn_key(struct glen_nf_flow_key *k)
{
	struct glen_nf_flow_key old = *k;

	memcpy(k->src, old.dst, sizeof(k->src));
	memcpy(k->dst, old.src, sizeof(k->dst));
	k->src_port = old.dst_port;
	k->dst_port = old.src_port;
}

static struct conn *find(struct fw_track *t, const struct glen_nf_flow_key *key,
			 uint64_t now_ns, bool *reverse)
{
	unsigned up = key->protocol == TCP ? UP_TCP : UP_OTHER;
	struct conn *c = glen_nf_flow_find(t->table[up], key, now_ns, false,
					   NULL, reverse);

	return c ? c :
		   glen_nf_flow_find(t->table[OPENING], key, now_ns, false,
				     NULL, reverse);
}

/* Into another table, if that has a place; its time-out begins again. */
static void move(struct fw_track *t, struct conn *c, unsigned to,
		 const struct glen_nf_flow_key *key, bool reverse,
		 uint64_t now_ns)
{
	struct glen_nf_flow_key own = *key;
	struct conn old = *c, *made;

	if (old.table == to)
		return;
	if (reverse)
		turn_key(&own);
	made = glen_nf_flow_find(t->table[to], &own, now_ns, true, NULL, NULL);
	if (!made)
		return;
	*made = old;
	made->table = (uint8_t)to;
	glen_nf_flow_remove(t->table[old.table], &own);
}

static void forget(struct fw_track *t, const struct conn *c,
		   const struct glen_nf_flow_key *key)
{
	glen_nf_flow_remove(t->table[c->table], key);
}

/* TCP */

static bool flags_can_be(unsigned flags)
{
	if (!(flags & (FIN | SYN | RST | ACK)))
		return false;
	if (flags & SYN && flags & (FIN | RST))
		return false;
	return !(flags & FIN) || (flags & ACK && !(flags & RST));
}

static enum fw_state tcp_reset(struct fw_track *t, struct conn *c,
			       const struct fw_seen *s, bool reverse)
{
	if (c->stage != S_UP || s->seq == c->acked[!reverse])
		forget(t, c, &s->key);
	return FW_ESTABLISHED;
}

/* A packet that is valid; before the connection moves. */
static void note_ack(struct conn *c, const struct fw_seen *s, bool reverse)
{
	if (s->flags & ACK)
		c->acked[reverse] = s->ack;
}

/* Neither side has acknowledged the other's data yet. */
static enum fw_state tcp_opening(struct fw_track *t, struct conn *c,
				 const struct fw_seen *s, bool reverse,
				 uint64_t now_ns)
{
	bool syn = s->flags & SYN, ack = s->flags & ACK;

	if (c->stage == S_SYN && !reverse)
		return syn && !ack ? FW_NEW : FW_INVALID;
	if (c->stage == S_LOOSE && !reverse)
		return FW_NEW;
	if (c->stage == S_SYN) {
		if (!syn || !ack)
			return FW_INVALID;
		c->stage = S_ANSWERED;
		note_ack(c, s, reverse);
		return FW_ESTABLISHED;
	}
	note_ack(c, s, reverse);
	if (c->stage == S_LOOSE || (!reverse && !syn && ack)) {
		c->stage = S_UP;
		move(t, c, UP_TCP, &s->key, reverse, now_ns);
	}
	return FW_ESTABLISHED;
}

static enum fw_state tcp_up(struct fw_track *t, struct conn *c,
			    const struct fw_seen *s, bool reverse,
			    uint64_t now_ns)
{
	if (s->flags & SYN && !(s->flags & ACK))
		return FW_INVALID;
	note_ack(c, s, reverse);
	if (s->flags & FIN)
		c->fins |= reverse ? 2 : 1;
	if (c->fins == 3) {
		c->stage = S_CLOSED;
		move(t, c, OPENING, &s->key, reverse, now_ns);
	}
	return FW_ESTABLISHED;
}

static enum fw_state tcp_none(const struct fw_track *t, const struct fw_seen *s,
			      bool *fresh)
{
	*fresh = (s->flags & (SYN | ACK)) == SYN ||
		 (t->limits.loose && !(s->flags & RST));
	return *fresh ? FW_NEW : FW_INVALID;
}

static enum fw_state tcp_step(struct fw_track *t, const struct fw_seen *s,
			      uint64_t now_ns, bool *fresh)
{
	struct conn *c;
	bool reverse;

	if (!flags_can_be(s->flags))
		return FW_INVALID;
	c = find(t, &s->key, now_ns, &reverse);
	if (c && c->stage == S_CLOSED && (s->flags & (SYN | ACK)) == SYN) {
		forget(t, c, &s->key);
		c = NULL;
	}
	if (!c)
		return tcp_none(t, s, fresh);
	if (s->flags & RST)
		return tcp_reset(t, c, s, reverse);
	if (c->stage == S_CLOSED)
		return FW_ESTABLISHED;
	return c->stage == S_UP ? tcp_up(t, c, s, reverse, now_ns) :
				  tcp_opening(t, c, s, reverse, now_ns);
}

/* All but TCP */

static enum fw_state other_step(struct fw_track *t, const struct fw_seen *s,
				uint64_t now_ns, bool can_ask, bool *fresh)
{
	bool reverse;
	struct conn *c = find(t, &s->key, now_ns, &reverse);

	if (!c) {
		*fresh = can_ask;
		return can_ask ? FW_NEW : FW_INVALID;
	}
	if (c->stage == S_ASKED && !reverse)
		return can_ask ? FW_NEW : FW_INVALID;
	if (c->stage == S_ASKED) {
		c->stage = S_REPLIED;
		move(t, c, UP_OTHER, &s->key, reverse, now_ns);
	}
	return FW_ESTABLISHED;
}

/* Where the header behind IP's lies, whose headers are known to be whole. */
static unsigned behind_ip(const struct glen_nf_packet *p, uint64_t l4)
{
	unsigned at = 14, type = load_be16(p->data + 12);

	for (int tags = 0; tags < 2; tags++) {
		if (type != 0x8100 && type != 0x88a8)
			break;
		type = load_be16(p->data + at + 2);
		at += 4;
	}
	return at + (l4 >> CLASSIFIER_L_IPV6 & 1 ? 40 : (p->data[at] & 15) * 4);
}

static bool is_error(unsigned protocol, unsigned type)
{
	if (protocol == ICMP)
		return type == 3 || type == 4 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

/* An echo's identifier stands for both ports. */
static bool echo_key(const struct glen_nf_packet *p, unsigned at,
		     struct glen_nf_flow_key *key)
{
	if (at + 8 > p->len)
		return false;
	memcpy(&key->src_port, p->data + at + 4, 2);
	key->dst_port = key->src_port;
	return true;
}

static bool is_echo(unsigned protocol, unsigned type, bool *request)
{
	*request = type == (protocol == ICMP ? 8 : 128);
	return *request || type == (protocol == ICMP ? 0 : 129);
}

/*
 * The packet that an error at "at" quotes becomes a frame of its own, so that
 * it is read as any other is. False: it is no packet that could be known.
 */
static bool quoted_key(const struct glen_nf_packet *p, unsigned at,
		       unsigned version, struct glen_nf_flow_key *key)
{
	enum { QUOTED = 14 + 60 + 8 };
	uint8_t frame[QUOTED] = { 0 };
	struct glen_nf_packet quoted = { .data = frame };
	unsigned n = p->len > at + 8 ? p->len - at - 8 : 0, in;
	bool request;

	n = n > QUOTED - 14 ? QUOTED - 14 : n;
	memcpy(frame + 14, p->data + at + 8, n);
	frame[12] = version == 4 ? 0x08 : 0x86;
	frame[13] = version == 4 ? 0x00 : 0xdd;
	quoted.len = 14 + n;
	if (!n || !glen_nf_flow_key(&quoted, key))
		return false;
	if (key->protocol != ICMP && key->protocol != ICMPV6)
		return true;
	in = version == 4 ? 14 + (frame[14] & 15) * 4 : 54;
	return in + 8 <= quoted.len &&
	       is_echo(key->protocol, frame[in], &request) &&
	       echo_key(&quoted, in, key);
}

/* Goes to who sent the quoted packet, and that was of a connection. */
static enum fw_state error_step(struct fw_track *t,
				const struct glen_nf_packet *p, unsigned at,
				const struct fw_seen *s, uint64_t now_ns)
{
	struct glen_nf_flow_key quoted;
	bool reverse;

	if (!quoted_key(p, at, s->key.version, &quoted) ||
	    memcmp(quoted.src, s->key.dst, sizeof(quoted.src)) != 0)
		return FW_INVALID;
	return find(t, &quoted, now_ns, &reverse) ? FW_RELATED : FW_INVALID;
}

static enum fw_state icmp_step(struct fw_track *t,
			       const struct glen_nf_packet *p, uint64_t l4,
			       struct fw_seen *s, uint64_t now_ns, bool *fresh)
{
	unsigned type = l4 >> CLASSIFIER_L_SPORT & 0xff, at = behind_ip(p, l4);
	bool request;

	if (is_error(s->key.protocol, type))
		return error_step(t, p, at, s, now_ns);
	if (!is_echo(s->key.protocol, type, &request))
		return FW_UNTRACKED;
	if (!echo_key(p, at, &s->key))
		return FW_INVALID;
	return other_step(t, s, now_ns, request, fresh);
}

enum fw_state fw_track_look(struct fw_track *t, const struct glen_nf_packet *p,
			    uint64_t l4, uint64_t now_ns, struct fw_seen *s,
			    bool *fresh)
{
	unsigned at;

	*fresh = false;
	s->tcp = false;
	if (l4 >> CLASSIFIER_L_ODD & 1)
		return FW_INVALID;
	if (!(l4 >> CLASSIFIER_L_IP & 1) || !glen_nf_flow_key(p, &s->key))
		return FW_UNTRACKED;
	if (l4 >> CLASSIFIER_L_ICMP & 1)
		return icmp_step(t, p, l4, s, now_ns, fresh);
	if (s->key.protocol != TCP)
		return other_step(t, s, now_ns, true, fresh);
	at = behind_ip(p, l4);
	s->tcp = true;
	s->flags = (uint8_t)(l4 >> CLASSIFIER_L_FLAGS);
	s->seq = load32(p->data + at + 4);
	s->ack = load32(p->data + at + 8);
	return tcp_step(t, s, now_ns, fresh);
}

bool fw_track_make(struct fw_track *t, const struct fw_seen *s, uint64_t now_ns)
{
	struct conn *c = glen_nf_flow_find(t->table[OPENING], &s->key, now_ns,
					   true, NULL, NULL);

	if (!c)
		return false;
	c->table = OPENING;
	c->stage = S_ASKED;
	if (s->tcp)
		c->stage = s->flags & SYN ? S_SYN : S_LOOSE;
	return true;
}
