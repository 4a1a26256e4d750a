/* SPDX-License-Identifier: BSD-2-Clause */
/* classifier_model.h - rules and packets once more, field by field. */
#ifndef TESTS_UNIT_CLASSIFIER_MODEL_H
#define TESTS_UNIT_CLASSIFIER_MODEL_H
/*
 * A rule is a list of fields that must have certain values, a packet a
 * structure of fields, and who fits whom is found by looking at one field after
 * the other and one rule after the other. Rules and packets are drawn from a
 * source of bytes, random or a fuzzer's, out of few values, so that they meet.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/classifier_find.h"
#include "lib/classifier_parse.h"

enum { MODEL_PACKET = 160 };

/* Where bytes come from; 0 when there are none left. */
struct model_source {
	const uint8_t *data;
	size_t left;
	uint64_t random; /* not 0: random ones instead */
};

static inline unsigned model_byte(struct model_source *s)
{
	if (s->random) {
		s->random ^= s->random << 13;
		s->random ^= s->random >> 7;
		s->random ^= s->random << 17;
		return s->random >> 24 & 0xff;
	}
	if (!s->left)
		return 0;
	s->left--;
	return *s->data++;
}

static inline unsigned model_below(struct model_source *s, unsigned n)
{
	return (model_byte(s) << 8 | model_byte(s)) % n;
}

struct model_ip {
	unsigned family, len;
	uint8_t bytes[16];
};

struct model_rule {
	int in_port, type, vlan, pcp, dscp, protocol; /* -1: any */
	int untagged, fragment, odd;		      /* -1: any */
	int icmp_family, icmp_type, icmp_code;	      /* -1: any */
	int flags, flags_mask;			      /* -1: any */
	uint8_t mac[2][6], mac_mask[2][6];
	struct model_ip ip[2]; /* family 0: any */
	int low[2], high[2];   /* -1: any */
};

/* What a packet says; -1: nothing. */
struct model_packet {
	int type, vlan, pcp, dscp, protocol, flags;
	int port[2], icmp_type, icmp_code;
	bool fragment, later, odd;
	unsigned family;
	const uint8_t *mac[2], *ip[2];
};

/* Addresses that are in each other's prefixes. */
static inline void model_address(struct model_source *s, unsigned family,
				 uint8_t ip[16])
{
	static const uint8_t few[] = { 0, 1, 0x80, 0xc0, 0xff };

	for (unsigned i = 0; i < 16; i++)
		ip[i] = few[i % (family == 4 ? 2 : 8) ? 0 : model_below(s, 5)];
}

static inline int model_port(struct model_source *s)
{
	static const int few[] = { 0,	 1,	79,    80,    81,    1023,
				   1024, 32767, 32768, 65534, 65535, 53 };
	unsigned at = model_below(s, 16);

	return at < 12 ? few[at] : (int)model_below(s, 65536);
}

static inline void model_draw_l4(struct model_source *s, struct model_rule *r)
{
	unsigned kind = model_below(s, 8);

	for (unsigned end = 0; end < 2 && kind < 4; end++) {
		int a = model_port(s), b = model_port(s);

		if (model_below(s, 3) == 0)
			continue;
		b = model_below(s, 2) ? a : b;
		r->low[end] = a < b ? a : b;
		r->high[end] = a < b ? b : a;
	}
	if (kind == 4) {
		r->icmp_family = model_below(s, 2) ? 4 : 6;
		r->icmp_type = model_below(s, 4);
		r->icmp_code = (int)model_below(s, 3) - 1;
	}
	if (kind == 5) {
		r->flags_mask = model_below(s, 0x200);
		r->flags = r->flags_mask & model_below(s, 0x200);
	}
}

static inline void model_draw_rule(struct model_source *s, struct model_rule *r)
{
	static const int protocols[] = { -1, 6, 17, 132, 1, 58, 6, 17 };
	unsigned family = model_below(s, 3) ? 4 : 6, odd = model_below(s, 64);

	memset(r, 0, sizeof(*r));
	memset(r, 0xff, offsetof(struct model_rule, mac));
	r->low[0] = r->low[1] = -1;
	for (unsigned end = 0; end < 2; end++) {
		if (model_below(s, 3) == 0)
			continue;
		r->ip[end].family = family;
		r->ip[end].len = model_below(s, family == 4 ? 33 : 129);
		model_address(s, family, r->ip[end].bytes);
	}
	r->protocol = protocols[model_below(s, 8)];
	model_draw_l4(s, r);
	if (odd == 0 || odd > 58)
		r->in_port = model_below(s, 3);
	if (odd == 1)
		r->type = model_below(s, 2) ? 0x0806 : 0x0800;
	if (odd == 2)
		r->vlan = model_below(s, 3);
	if (odd == 3)
		r->pcp = model_below(s, 8);
	if (odd == 4)
		r->dscp = model_below(s, 4);
	if (odd == 5)
		r->untagged = 1;
	if (odd == 6 || odd == 7)
		r->fragment = model_below(s, 4);
	if (odd == 8)
		r->odd = model_below(s, 2);
	if (odd > 8 && odd < 16) {
		r->mac[odd % 2][5] = model_below(s, 3);
		r->mac_mask[odd % 2][5] = model_below(s, 2) ? 0xff : 1;
	}
}

static inline int model_make_l4(const struct model_rule *m,
				struct classifier_rule *r)
{
	int err = 0;

	if (m->protocol >= 0)
		err = err ?: classifier_rule_protocol(r, m->protocol);
	for (unsigned end = 0; end < 2; end++)
		if (m->low[end] >= 0)
			err = err   ?:
				      classifier_rule_ports(r, end, m->low[end],
							    m->high[end]);
	if (m->icmp_family >= 0)
		err = err   ?:
			      classifier_rule_icmp(r, m->icmp_family,
						   m->icmp_type, m->icmp_code);
	if (m->flags_mask >= 0)
		err = err   ?:
			      classifier_rule_tcp_flags(r, m->flags,
							m->flags_mask);
	return err;
}

/* -EINVAL: nothing could fit it. */
static inline int model_make(const struct model_rule *m,
			     struct classifier_rule *r)
{
	static const uint8_t none[6];
	int err = 0;

	classifier_rule_init(r);
	if (m->in_port >= 0)
		err = err ?: classifier_rule_in_port(r, m->in_port);
	if (m->type >= 0)
		err = err ?: classifier_rule_type(r, m->type);
	if (m->untagged >= 0)
		err = err ?: classifier_rule_vlan(r, -1);
	if (m->vlan >= 0)
		err = err ?: classifier_rule_vlan(r, m->vlan);
	if (m->pcp >= 0)
		err = err ?: classifier_rule_pcp(r, m->pcp);
	if (m->dscp >= 0)
		err = err ?: classifier_rule_dscp(r, m->dscp);
	if (m->fragment >= 0)
		err = err   ?:
			      classifier_rule_fragment(
				      r, (enum classifier_fragment)m->fragment);
	if (m->odd >= 0)
		err = err ?: classifier_rule_odd(r, m->odd);
	for (unsigned end = 0; end < 2; end++) {
		if (memcmp(m->mac_mask[end], none, 6))
			err = err   ?:
				      classifier_rule_mac(r, end, m->mac[end],
							  m->mac_mask[end]);
		if (m->ip[end].family)
			err = err   ?:
				      classifier_rule_ip(r, end,
							 m->ip[end].family,
							 m->ip[end].bytes,
							 m->ip[end].len);
	}
	return err ?: model_make_l4(m, r);
}

/* Packets */

static inline void model_put16(uint8_t *p, unsigned v)
{
	p[0] = v >> 8;
	p[1] = v;
}

/* An IP header at p with n bytes behind it; its length. */
static inline unsigned model_put_ip(struct model_source *s, uint8_t *p,
				    unsigned protocol, unsigned n)
{
	bool v6 = model_below(s, 3) == 0, odd = model_below(s, 16) == 0;
	unsigned options = model_below(s, 8) ? 0 : 8, len = (v6 ? 40 : 20);
	static const unsigned frags[] = { 0x2000, 1, 0x2001, 0x4000 };
	bool whole = model_below(s, 4);
	unsigned frag = whole ? 0 : frags[model_below(s, 4)];

	p[0] = v6 ? 0x60 : 0x45 + options / 4;
	p[1] = model_byte(s) & (v6 ? 0x0f : 0x0c);
	model_put16(p + (v6 ? 4 : 2), n + options + (v6 ? 0 : len));
	p[v6 ? 6 : 9] = protocol;
	if (!v6)
		model_put16(p + 6, frag);
	for (unsigned end = 0; end < 2; end++) {
		uint8_t ip[16];

		model_address(s, v6 ? 6 : 4, ip);
		memcpy(p + (v6 ? 8 + 16 * end : 12 + 4 * end), ip, v6 ? 16 : 4);
	}
	if (v6 && options) {
		static const uint8_t kinds[] = { 0, 43, 44, 60 };

		p[6] = kinds[model_below(s, 4)];
		p[40] = protocol;
		if (p[6] == 44)
			model_put16(p + 42, frag & 0x2000 ? 1 : frag << 3);
	}
	if (odd)
		p[model_below(s, 8)] ^= model_byte(s);
	return len + options;
}

/* A packet into p, zeroed; its length. */
static inline unsigned model_draw_packet(struct model_source *s, uint8_t *p)
{
	static const unsigned protocols[] = { 6, 17, 6, 17, 1, 58, 132, 50 };
	unsigned protocol = protocols[model_below(s, 8)];
	unsigned at = 12, tail = 24;

	memset(p, 0, MODEL_PACKET);
	p[5] = model_below(s, 3);
	p[11] = model_below(s, 3);
	for (unsigned tags = model_below(s, 4); tags-- > 1; at += 4) {
		model_put16(p + at, model_below(s, 2) ? 0x8100 : 0x88a8);
		model_put16(p + at + 2, model_below(s, 3) | model_below(s, 8)
								    << 13);
	}
	if (model_below(s, 10) == 0) {
		model_put16(p + at, 0x0806);
		return at + 2 + 28;
	}
	at += 2;
	{
		unsigned len = model_put_ip(s, p + at, protocol, tail);

		model_put16(p + at - 2,
			    p[at] >> 4 == 6 || len >= 40 ? 0x86dd : 0x0800);
		at += len;
	}
	if (protocol == 1 || protocol == 58) {
		p[at] = model_below(s, 4);
		p[at + 1] = model_below(s, 3);
	} else {
		model_put16(p + at, model_port(s));
		model_put16(p + at + 2, model_port(s));
		model_put16(p + at + 12, model_below(s, 0x200));
	}
	at += tail;
	return model_below(s, 16) ? at : 14 + model_below(s, at - 13);
}

static inline unsigned model_get16(const uint8_t *p)
{
	return p[0] * 256u + p[1];
}

static inline void model_read_l4(const uint8_t *p, unsigned at, unsigned end,
				 struct model_packet *m)
{
	bool has_ports = m->protocol == 6 || m->protocol == 17 ||
			 m->protocol == 132;
	bool is_icmp = m->protocol == 1 || m->protocol == 58;

	if (m->later)
		return;
	if (has_ports && at + 4 <= end)
		for (unsigned i = 0; i < 2; i++)
			m->port[i] = model_get16(p + at + 2 * i);
	if (is_icmp && at + 2 <= end) {
		m->icmp_type = p[at];
		m->icmp_code = p[at + 1];
	}
	if (m->protocol == 6 && at + 14 <= end)
		m->flags = model_get16(p + at + 12) % 512;
	m->odd |= (has_ports && m->port[0] < 0) ||
		  (is_icmp && m->icmp_type < 0) ||
		  (m->protocol == 6 && m->flags < 0);
}

static inline void model_read_ipv4(const uint8_t *p, unsigned at, unsigned have,
				   unsigned len, struct model_packet *m)
{
	unsigned total, header;

	m->odd = true;
	if (at + 20 > have)
		return;
	header = p[at] % 16 * 4;
	total = model_get16(p + at + 2);
	if (p[at] / 16 != 4 || header < 20 || total < header ||
	    at + total > len)
		return;
	m->odd = false;
	m->family = 4;
	m->dscp = p[at + 1] / 4;
	m->protocol = p[at + 9];
	m->ip[0] = p + at + 12;
	m->ip[1] = p + at + 16;
	m->later = model_get16(p + at + 6) % 8192;
	m->fragment = m->later || p[at + 6] & 0x20;
	model_read_l4(p, at + header, at + total < have ? at + total : have, m);
}

static inline void model_read_ipv6(const uint8_t *p, unsigned at, unsigned have,
				   unsigned len, struct model_packet *m)
{
	unsigned end = at + 40, n = 0;

	m->odd = true;
	if (end > have || p[at] / 16 != 6)
		return;
	end += model_get16(p + at + 4);
	if (end > len)
		return;
	m->odd = false;
	m->family = 6;
	m->dscp = (p[at] % 16 * 16 + p[at + 1] / 16) / 4;
	m->protocol = p[at + 6];
	m->ip[0] = p + at + 8;
	m->ip[1] = p + at + 24;
	end = end < have ? end : have;
	for (at += 40; !m->later; n++) {
		bool frag = m->protocol == 44;

		if (!frag && m->protocol && m->protocol != 43 &&
		    m->protocol != 60)
			break;
		if (at + 8 > end || n > 8) {
			m->odd = true;
			break;
		}
		if (frag && model_get16(p + at + 2) / 8)
			m->later = m->fragment = true;
		if (frag && p[at + 3] % 2)
			m->fragment = true;
		m->protocol = p[at];
		at += frag ? 8 : 8 + p[at + 1] * 8u;
	}
	model_read_l4(p, at, end, m);
}

static inline void model_read(const uint8_t *p, unsigned have, unsigned len,
			      struct model_packet *m)
{
	unsigned at = 12, type = model_get16(p + 12);

	memset(m, 0, sizeof(*m));
	memset(m, 0xff, offsetof(struct model_packet, fragment));
	m->mac[0] = p + 6;
	m->mac[1] = p;
	for (unsigned tags = 0; type == 0x8100 || type == 0x88a8; tags++) {
		if (tags == 2)
			break;
		if (at + 6 > have) {
			m->odd = true;
			return;
		}
		if (!tags) {
			m->vlan = model_get16(p + at + 2) % 4096;
			m->pcp = p[at + 2] / 32;
		}
		at += 4;
		type = model_get16(p + at);
	}
	m->type = type;
	if (type == 0x0800)
		model_read_ipv4(p, at + 2, have, len, m);
	if (type == 0x86dd)
		model_read_ipv6(p, at + 2, have, len, m);
}

static inline bool model_in_prefix(const struct model_ip *ip, const uint8_t *at)
{
	for (unsigned bit = 0; bit < ip->len; bit++)
		if ((ip->bytes[bit / 8] ^ at[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

static inline bool model_fits_l4(const struct model_rule *r,
				 const struct model_packet *m)
{
	for (unsigned end = 0; end < 2; end++)
		if (r->low[end] >= 0 &&
		    (m->port[end] < 0 || m->port[end] < r->low[end] ||
		     m->port[end] > r->high[end]))
			return false;
	if (r->icmp_family >= 0 &&
	    (m->icmp_type != r->icmp_type ||
	     (unsigned)r->icmp_family != m->family ||
	     m->protocol != (r->icmp_family == 4 ? 1 : 58) ||
	     (r->icmp_code >= 0 && m->icmp_code != r->icmp_code)))
		return false;
	return r->flags_mask < 0 ||
	       (m->flags >= 0 && (m->flags & r->flags_mask) == r->flags);
}

static inline bool model_fits(const struct model_rule *r,
			      const struct model_packet *m, int in_port)
{
	if ((r->in_port >= 0 && r->in_port != in_port) ||
	    (r->type >= 0 && r->type != m->type) ||
	    (r->vlan >= 0 && r->vlan != m->vlan) ||
	    (r->untagged >= 0 && m->vlan >= 0) ||
	    (r->pcp >= 0 && r->pcp != m->pcp) ||
	    (r->dscp >= 0 && r->dscp != m->dscp) ||
	    (r->protocol >= 0 && r->protocol != m->protocol) ||
	    (r->odd >= 0 && r->odd != m->odd))
		return false;
	if (r->fragment >= 0 &&
	    (m->fragment != (r->fragment != CLASSIFIER_FRAGMENT_NO) ||
	     (r->fragment == CLASSIFIER_FRAGMENT_FIRST && m->later) ||
	     (r->fragment == CLASSIFIER_FRAGMENT_LATER && !m->later)))
		return false;
	for (unsigned end = 0; end < 2; end++) {
		for (unsigned i = 0; i < 6; i++)
			if ((m->mac[end][i] ^ r->mac[end][i]) &
			    r->mac_mask[end][i])
				return false;
		if (r->ip[end].family &&
		    (r->ip[end].family != m->family ||
		     !model_in_prefix(&r->ip[end], m->ip[end])))
			return false;
	}
	return model_fits_l4(r, m);
}

/* One rule after the other. */
static inline uint32_t model_find(const struct model_rule *r, unsigned n,
				  const struct model_packet *m, int in_port)
{
	for (unsigned i = 0; i < n; i++)
		if (model_fits(&r[i], m, in_port))
			return i;
	return CLASSIFIER_NONE;
}

#endif
