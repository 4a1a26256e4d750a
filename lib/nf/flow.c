// SPDX-License-Identifier: BSD-2-Clause
// flow.c - a table of state per flow: buckets of eight places, idle time-out.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/glen/nf_flow.h"
#include "lib/bytes.h"
#include "lib/flow_hash.h"

enum { PLACES = 8, STATE_MAX = 4096, IPV4 = 0x0800, IPV6 = 0x86dd };

struct place {
	struct glen_nf_flow_key key;
	uint64_t seen_ns; /* plus 1; 0: free */
	uint8_t state[];
};

struct glen_nf_flow_table {
	struct glen_nf_flow_config config;
	size_t place_size;
	uint64_t mask; /* buckets - 1 */
	uint64_t full;
	uint8_t *places;
};

int glen_nf_flow_create(struct glen_nf_flow_table **table,
			const struct glen_nf_flow_config *c)
{
	struct glen_nf_flow_table *t;
	uint64_t buckets = 1;

	if (!c->max_flows || c->max_flows > GLEN_NF_FLOWS_MAX ||
	    c->state_size > STATE_MAX)
		return -EINVAL;
	while (buckets * PLACES < 2ULL * c->max_flows)
		buckets *= 2;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->config = *c;
	t->mask = buckets - 1;
	t->place_size = (sizeof(struct place) + c->state_size + 7) & ~(size_t)7;
	t->places = calloc(buckets * PLACES, t->place_size);
	if (!t->places) {
		free(t);
		return -ENOMEM;
	}
	*table = t;
	return 0;
}

static struct place *place_at(const struct glen_nf_flow_table *t, uint64_t i)
{
	return (struct place *)(t->places + i * t->place_size);
}

static void end(struct glen_nf_flow_table *t, struct place *p)
{
	if (t->config.ended)
		t->config.ended(p->state, t->config.arg);
	p->seen_ns = 0;
}

void glen_nf_flow_destroy(struct glen_nf_flow_table *t)
{
	if (!t)
		return;
	for (uint64_t i = 0; i < (t->mask + 1) * PLACES; i++)
		if (place_at(t, i)->seen_ns)
			end(t, place_at(t, i));
	free(t->places);
	free(t);
}

static bool key_ipv4(const uint8_t *ip, unsigned len,
		     struct glen_nf_flow_key *key)
{
	unsigned head = (ip[0] & 15u) * 4;

	if (len < 20 || ip[0] >> 4 != 4 || head < 20 || len < head ||
	    load_be16(ip + 6) & 0x3fff)
		return false;
	memcpy(key->src, ip + 12, 4);
	memcpy(key->dst, ip + 16, 4);
	key->version = 4;
	key->protocol = ip[9];
	if (!flow_hash_has_ports(ip[9]))
		return true;
	if (len < head + 4)
		return false;
	memcpy(&key->src_port, ip + head, 2);
	memcpy(&key->dst_port, ip + head + 2, 2);
	return true;
}

/* Hop-by-hop, routing, fragment, destination options. */
static bool is_extension(unsigned next)
{
	return next == 0 || next == 43 || next == 44 || next == 60;
}

static bool key_ipv6(const uint8_t *ip, unsigned len,
		     struct glen_nf_flow_key *key)
{
	if (len < 40 || ip[0] >> 4 != 6 || is_extension(ip[6]))
		return false;
	memcpy(key->src, ip + 8, 16);
	memcpy(key->dst, ip + 24, 16);
	key->version = 6;
	key->protocol = ip[6];
	if (!flow_hash_has_ports(ip[6]))
		return true;
	if (len < 44)
		return false;
	memcpy(&key->src_port, ip + 40, 2);
	memcpy(&key->dst_port, ip + 42, 2);
	return true;
}

bool glen_nf_flow_key(const struct glen_nf_packet *p,
		      struct glen_nf_flow_key *key)
{
	unsigned at = 14, type;

	memset(key, 0, sizeof(*key));
	if (p->len < at)
		return false;
	type = load_be16(p->data + 12);
	for (int tags = 0; tags < 2; tags++) {
		if ((type != 0x8100 && type != 0x88a8) || p->len < at + 4)
			break;
		type = load_be16(p->data + at + 2);
		at += 4;
	}
	if (p->len == at)
		return false;
	if (type == IPV4)
		return key_ipv4(p->data + at, p->len - at, key);
	return type == IPV6 && key_ipv6(p->data + at, p->len - at, key);
}

static struct glen_nf_flow_key turned(const struct glen_nf_flow_key *k)
{
	struct glen_nf_flow_key r = *k;

	memcpy(r.src, k->dst, sizeof(r.src));
	memcpy(r.dst, k->src, sizeof(r.dst));
	r.src_port = k->dst_port;
	r.dst_port = k->src_port;
	return r;
}

static uint64_t end_hash(const uint8_t *ip, uint16_t port)
{
	return flow_hash_mix(flow_hash_address6(ip), port);
}

/* Both directions have the same bucket. */
static uint64_t bucket_of(const struct glen_nf_flow_table *t,
			  const struct glen_nf_flow_key *k)
{
	uint64_t hash = flow_hash_ends(k->protocol,
				       end_hash(k->src, k->src_port),
				       end_hash(k->dst, k->dst_port));

	return (flow_hash_mix(hash, k->version) & t->mask) * PLACES;
}

static bool is_over(const struct glen_nf_flow_table *t, const struct place *p,
		    uint64_t now_ns)
{
	return t->config.idle_ns && now_ns + 1 > p->seen_ns &&
	       now_ns + 1 - p->seen_ns > t->config.idle_ns;
}

/* The flow's place; *free_at: one that it could have, NULL: none. */
static struct place *look(struct glen_nf_flow_table *t,
			  const struct glen_nf_flow_key *key,
			  const struct glen_nf_flow_key *back, uint64_t now_ns,
			  struct place **free_at, bool *reverse)
{
	uint64_t first = bucket_of(t, key);

	*free_at = NULL;
	for (uint64_t i = first; i < first + PLACES; i++) {
		struct place *p = place_at(t, i);

		if (p->seen_ns && is_over(t, p, now_ns))
			end(t, p);
		if (!p->seen_ns) {
			*free_at = *free_at ? *free_at : p;
			continue;
		}
		*reverse = memcmp(&p->key, key, sizeof(*key)) != 0;
		if (!*reverse ||
		    (t->config.both && !memcmp(&p->key, back, sizeof(*back))))
			return p;
	}
	*reverse = false;
	return NULL;
}

void *glen_nf_flow_find(struct glen_nf_flow_table *t,
			const struct glen_nf_flow_key *key, uint64_t now_ns,
			bool make, bool *fresh, bool *reverse)
{
	struct glen_nf_flow_key back = turned(key);
	struct place *free_at, *p;
	bool is_back;

	p = look(t, key, &back, now_ns, &free_at, &is_back);
	if (fresh)
		*fresh = !p && make && free_at;
	if (reverse)
		*reverse = is_back;
	if (!p && make && !free_at)
		t->full++;
	if (!p && (!make || !free_at))
		return NULL;
	if (!p) {
		p = free_at;
		p->key = *key;
		memset(p->state, 0, t->config.state_size);
	}
	p->seen_ns = now_ns + 1;
	return p->state;
}

bool glen_nf_flow_remove(struct glen_nf_flow_table *t,
			 const struct glen_nf_flow_key *key)
{
	struct glen_nf_flow_key back = turned(key);
	struct place *free_at, *p;
	bool is_back;

	/* At time 0 nothing is over. */
	p = look(t, key, &back, 0, &free_at, &is_back);
	if (p)
		p->seen_ns = 0;
	return p;
}

uint64_t glen_nf_flow_full(const struct glen_nf_flow_table *t)
{
	return t->full;
}
