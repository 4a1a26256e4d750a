// SPDX-License-Identifier: BSD-2-Clause
// offload.c - checks offload descriptions and does their work in software.
#include "core/offload.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include "core/headers.h"
#include "core/stream.h"

enum {
	TCP_CSUM = 16,
	UDP_CSUM = 6,
	UDP_LEN = 8,
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_CWR = 0x80,
	FRAG_LEN = 8, /* an IPv6 fragment header */
	FRAG_NEXT = 44,
	IPV4_MF = 0x2000,
	IP_LEN_MAX = 65535,
};

/* What is the same for all segments of a packet; lives for one call. */
struct cut {
	struct headers h;
	struct stream s; /* where the next payload byte is */
	checksum_fn *fn;
	uint32_t total; /* bytes to be cut; UFO: with what is in first */
	uint32_t piece; /* of those, per segment */
	uint32_t frag_id;
	uint16_t hdr_len;   /* of hdr */
	uint16_t first_len; /* of first */
	bool ufo;
	bool frag_hdr;	 /* hdr ends with an IPv6 fragment header */
	bool no_csum;	 /* leave the transport checksum alone */
	uint64_t l4_sum; /* TSO, USO: pseudo and transport header, without
			      * what differs between segments */
	_Alignas(64) uint8_t hdr[HDR_MAX]; /* starts every segment; then zero */
	uint8_t first[HDR_MAX]; /* UFO: follows hdr in the first fragment */
};

unsigned offload_needs(const struct offload *off)
{
	unsigned needs = off->flags & OFFLOAD_NEEDS_CSUM ? OFFLOAD_CAP_CSUM : 0;

	switch (off->gso_type & ~OFFLOAD_GSO_ECN) {
	case OFFLOAD_GSO_NONE:
		/* ECN means nothing without TCP. */
		return off->gso_type ? OFFLOAD_CAP_NONE_HAS : needs;
	case OFFLOAD_GSO_TCPV4:
		needs |= OFFLOAD_CAP_TSO4;
		break;
	case OFFLOAD_GSO_TCPV6:
		needs |= OFFLOAD_CAP_TSO6;
		break;
	case OFFLOAD_GSO_UDP_L4:
		needs |= OFFLOAD_CAP_USO;
		break;
	case OFFLOAD_GSO_UDP:
		needs |= OFFLOAD_CAP_UFO;
		break;
	default:
		return OFFLOAD_CAP_NONE_HAS;
	}
	if (off->gso_type & OFFLOAD_GSO_ECN)
		needs |= OFFLOAD_CAP_ECN;
	return needs | OFFLOAD_CAP_CSUM;
}

/*
 * Parses packet i with parse. *hdr is where the parsed bytes are: the private
 * header, or buf if they did not suffice and more were copied there.
 */
static int find_headers(const struct batch *b, unsigned i,
			int (*parse)(const uint8_t *hdr, unsigned avail,
				     struct headers *h),
			uint8_t buf[HDR_MAX], const uint8_t **hdr,
			struct headers *h)
{
	uint32_t avail = b->len[i] < HDR_MAX ? b->len[i] : HDR_MAX;
	struct stream s;
	int err = -EMSGSIZE;

	if (b->hdr_len[i] <= avail) {
		*hdr = b->hdr[i];
		err = parse(b->hdr[i], b->hdr_len[i], h);
	}
	if (err != -EMSGSIZE)
		return err;
	stream_init(&s, b, i);
	err = stream_copy(&s, buf, avail);
	if (err)
		return err;
	*hdr = buf;
	err = parse(buf, avail, h);
	return err == -EMSGSIZE ? -EINVAL : err;
}

/*
 * True if the checksum that a packet without segmentation wants lies in its
 * TCP or UDP header, or, for other protocols and for what UDP encapsulates,
 * behind the headers that modules look at.
 */
static bool csum_place_valid(const struct headers *h, const struct offload *off,
			     uint32_t len)
{
	uint32_t at = (uint32_t)off->csum_start + off->csum_offset;

	if (len < 2 || at > len - 2)
		return false;
	if (h->version == 0)
		return off->csum_start >= h->l3;
	if (h->fragment || off->csum_start < h->l4)
		return false;
	if (h->protocol == HEADERS_TCP)
		return off->csum_start == h->l4 && off->csum_offset == TCP_CSUM;
	if (h->protocol == HEADERS_UDP && off->csum_start == h->l4)
		return off->csum_offset == UDP_CSUM;
	if (h->protocol == HEADERS_UDP)
		return off->csum_start >= h->l4 + UDP_LEN;
	return true;
}

/* True if the description fits the headers, h from headers_l4(). */
static bool gso_valid(const struct headers *h, const struct offload *off,
		      uint32_t len)
{
	bool ecn = off->gso_type & OFFLOAD_GSO_ECN;
	bool tcp = h->protocol == HEADERS_TCP;

	if (off->gso_size == 0 || h->end > len)
		return false;
	switch (off->gso_type & ~OFFLOAD_GSO_ECN) {
	case OFFLOAD_GSO_TCPV4:
		if (!tcp || h->version != 4)
			return false;
		break;
	case OFFLOAD_GSO_TCPV6:
		if (!tcp || h->version != 6)
			return false;
		break;
	case OFFLOAD_GSO_UDP_L4:
	case OFFLOAD_GSO_UDP:
		if (tcp || ecn)
			return false;
		break;
	default:
		return false;
	}
	if (!(off->flags & OFFLOAD_NEEDS_CSUM))
		return true;
	return off->csum_start == h->l4 &&
	       off->csum_offset == (tcp ? TCP_CSUM : UDP_CSUM);
}

bool offload_valid(struct batch *b, unsigned i)
{
	struct offload *off = &b->off[i];
	const uint8_t *hdr;
	uint8_t buf[HDR_MAX];
	struct headers h;

	if (!b->offloads)
		return true;
	if (off->flags & ~(OFFLOAD_NEEDS_CSUM | OFFLOAD_DATA_VALID))
		return false;
	if (off->hdr_len > b->len[i])
		return false;
	if (off->gso_type != OFFLOAD_GSO_NONE) {
		if (find_headers(b, i, headers_l4, buf, &hdr, &h) ||
		    !gso_valid(&h, off, b->len[i]))
			return false;
		off->hdr_len = h.end;
		return true;
	}
	if (!(off->flags & OFFLOAD_NEEDS_CSUM))
		return true;
	return !find_headers(b, i, headers_l3, buf, &hdr, &h) &&
	       csum_place_valid(&h, off, b->len[i]);
}

/* Starts packet out->n with the first hdr_len bytes of its header in place. */
static void packet_begin(struct batch *out, unsigned hdr_len, uint32_t len)
{
	unsigned k = out->n;

	if (k == 0)
		out->multi_seg = out->offloads = false;
	/* Segments begin anywhere in the sender's, and in our headers. */
	out->overread = false;
	out->hdr_len[k] = (uint8_t)hdr_len;
	out->len[k] = len;
	out->seg0[k] = out->n_segs;
	out->n_seg[k] = 0;
	memset(&out->off[k], 0, sizeof(out->off[k]));
}

static void packet_end(struct batch *out)
{
	out->multi_seg |= out->n_seg[out->n] != 1;
	out->n++;
}

/*
 * Adds a segment to packet out->n. -ENOSPC: out is full, -EINVAL: the packet
 * would have too many segments.
 */
static int packet_add(struct batch *out, const uint8_t *ptr, uint32_t len)
{
	unsigned k = out->n;

	if (out->n_seg[k] == PACKET_SEGS_MAX)
		return -EINVAL;
	if (out->n_segs == BATCH_SEGS)
		return -ENOSPC;
	out->seg[out->n_segs++] = (struct seg){ .ptr = ptr, .len = len };
	out->n_seg[k]++;
	return 0;
}

/* Adds n bytes of the stream, summing them up unless fn is NULL. */
static int packet_add_stream(struct batch *out, struct stream *s, uint32_t n,
			     checksum_fn *fn, struct checksum *sum)
{
	for (uint32_t chunk; n > 0; n -= chunk) {
		int err;

		chunk = stream_chunk(s, n);
		if (chunk == 0)
			return -EINVAL;
		err = packet_add(out, s->ptr, chunk);
		if (err)
			return err;
		if (fn)
			checksum_piece(sum, fn, s->ptr, chunk);
		stream_advance(s, chunk);
	}
	return 0;
}

/* UDP spells a sum of zero 0xffff; for the others that is the same number. */
static uint16_t csum_finish(uint64_t sum)
{
	uint16_t folded = (uint16_t)~checksum_fold(sum);

	return folded ? folded : 0xffff;
}

/* The checksum from csum_start to the end, with what the field holds now. */
static int csum_whole(const struct batch *b, unsigned i, uint32_t start,
		      uint16_t *csum)
{
	struct checksum sum = { 0 };
	struct stream s;
	int err;

	stream_init(&s, b, i);
	err = stream_skip(&s, start);
	if (!err)
		err = stream_sum(&s, b->len[i] - start, checksum_best(), &sum);
	*csum = csum_finish(sum.sum);
	return err;
}

/*
 * Packet out->n is packet i with the checksum csum at offset at. It goes into
 * the header if that can hold it. If not, the header keeps to its first half,
 * and the checksum is a segment that lies in the second.
 */
static int csum_place(const struct batch *b, unsigned i, uint32_t at,
		      uint16_t csum, struct batch *out)
{
	uint32_t hdr_len = b->hdr_len[i], len = b->len[i];
	uint8_t *hdr = out->hdr[out->n];
	struct stream s;
	int err;

	if (at + 2 > HDR_MAX && hdr_len > HDR_MAX / 2)
		hdr_len = HDR_MAX / 2;
	else if (at + 2 <= HDR_MAX && at + 2 > hdr_len)
		hdr_len = at + 2;
	memset(hdr, 0, HDR_SIZE);
	stream_init(&s, b, i);
	err = stream_copy(&s, hdr, hdr_len);
	if (err)
		return err;
	packet_begin(out, hdr_len, len);
	if (at + 2 <= hdr_len) {
		memcpy(hdr + at, &csum, 2);
		return packet_add_stream(out, &s, len - hdr_len, NULL, NULL);
	}
	memcpy(hdr + HDR_MAX / 2, &csum, 2);
	err = packet_add_stream(out, &s, at - hdr_len, NULL, NULL);
	if (!err)
		err = packet_add(out, hdr + HDR_MAX / 2, 2);
	if (!err)
		err = stream_skip(&s, 2);
	if (!err)
		err = packet_add_stream(out, &s, len - at - 2, NULL, NULL);
	return err;
}

/* A packet that needs its checksum, or nothing. */
static int complete(const struct batch *b, unsigned i,
		    const struct offload *off, struct batch *out)
{
	uint32_t hdr_len = b->hdr_len[i];
	const uint8_t *hdr;
	uint8_t buf[HDR_MAX];
	struct headers h;
	struct stream s;
	uint16_t csum;
	int err;

	if (hdr_len > b->len[i])
		return -EINVAL;
	if (!(off->flags & OFFLOAD_NEEDS_CSUM)) {
		memset(out->hdr[out->n], 0, HDR_SIZE);
		stream_init(&s, b, i);
		err = stream_copy(&s, out->hdr[out->n], hdr_len);
		if (err)
			return err;
		packet_begin(out, hdr_len, b->len[i]);
		return packet_add_stream(out, &s, b->len[i] - hdr_len, NULL,
					 NULL);
	}
	err = find_headers(b, i, headers_l3, buf, &hdr, &h);
	if (err)
		return err;
	if (!csum_place_valid(&h, off, b->len[i]))
		return -EINVAL;
	err = csum_whole(b, i, off->csum_start, &csum);
	if (err)
		return err;
	return csum_place(b, i, (uint32_t)off->csum_start + off->csum_offset,
			  csum, out);
}

/* The pseudo header's sum without the length. */
static uint64_t pseudo_sum(const struct cut *c, const uint8_t *hdr)
{
	unsigned size = c->h.version == 4 ? 4 : 16;
	unsigned src = c->h.l3 + (c->h.version == 4 ? 12 : 8);

	return c->fn(hdr + src, size) + c->fn(hdr + c->h.dst, size) +
	       htons(c->h.protocol);
}

/* TSO and USO: the header is cleared of what is set per segment. */
static int cut_init_segments(struct cut *c, const uint8_t *hdr,
			     const struct offload *off, uint32_t len)
{
	const struct headers *h = &c->h;
	uint8_t *l4 = c->hdr + h->l4;
	uint8_t copy[HDR_MAX];

	memcpy(c->hdr, hdr, h->end);
	c->hdr_len = h->end;
	c->total = len - h->end;
	c->piece = off->gso_size;
	memcpy(copy, l4, h->end - h->l4);
	if (h->protocol == HEADERS_TCP) {
		memset(copy + 4, 0, 4);
		copy[13] = 0;
		memset(copy + TCP_CSUM, 0, 2);
	} else {
		/* UDP may go without a checksum over IPv4. */
		c->no_csum = !(off->flags & OFFLOAD_NEEDS_CSUM) &&
			     h->version == 4 &&
			     headers_get16(l4 + UDP_CSUM) == 0;
		memset(copy + 4, 0, 4);
	}
	c->l4_sum = pseudo_sum(c, hdr) + c->fn(copy, h->end - h->l4);
	return 0;
}

/* UFO: the checksum of the whole datagram, before it is cut. */
static int cut_datagram_csum(struct cut *c, const struct batch *b, unsigned i,
			     const uint8_t *hdr, uint8_t *field)
{
	uint32_t len = b->len[i] - c->h.l4;
	struct checksum sum = { 0 };
	struct stream s;
	uint16_t csum;
	int err;

	memset(field, 0, 2);
	sum.sum = pseudo_sum(c, hdr) + htons((uint16_t)len) +
		  c->fn(field - UDP_CSUM, UDP_LEN);
	stream_init(&s, b, i);
	err = stream_skip(&s, c->h.end);
	if (!err)
		err = stream_sum(&s, len - UDP_LEN, c->fn, &sum);
	csum = csum_finish(sum.sum);
	memcpy(field, &csum, 2);
	return err;
}

/* Numbers of IPv6 fragments: hard to guess at first, and never soon again. */
static uint32_t new_frag_id(void)
{
	static _Thread_local uint32_t seed, n;

	if (n++ == 0 && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = (uint32_t)(uintptr_t)&seed;
	return seed + n * 0x9e3779b1u;
}

/* Appends a fragment header to c->hdr; its offset is set per fragment. */
static void cut_add_frag_hdr(struct cut *c)
{
	uint8_t *frag = c->hdr + c->hdr_len;

	frag[0] = c->hdr[c->h.frag_next];
	c->hdr[c->h.frag_next] = FRAG_NEXT;
	headers_put32(frag + 4, c->frag_id);
	c->hdr_len += FRAG_LEN;
	c->frag_hdr = true;
}

/*
 * UFO: what is cut begins at frag_at; of that, the headers up to the UDP
 * header's end are c->first.
 */
static int cut_init_fragments(struct cut *c, const struct batch *b, unsigned i,
			      const uint8_t *hdr, const struct offload *off,
			      struct offload_cursor *cursor)
{
	const struct headers *h = &c->h;
	uint8_t *udp = c->first + (h->l4 - h->frag_at);

	memcpy(c->hdr, hdr, h->frag_at);
	memcpy(c->first, hdr + h->frag_at, h->end - h->frag_at);
	c->ufo = true;
	c->hdr_len = h->frag_at;
	c->first_len = h->end - h->frag_at;
	c->total = b->len[i] - h->frag_at;
	c->piece = off->gso_size & ~7u;
	/* Reassembled, it must be a packet; IPv6 does not count its header. */
	if (c->total + (h->frag_at - h->l3) >
		    IP_LEN_MAX + (h->version == 6 ? 40u : 0u) ||
	    headers_get16(udp + 4) != b->len[i] - h->l4)
		return -EINVAL;
	if (c->total <= off->gso_size)
		c->piece = c->total;
	if (c->piece < c->first_len)
		return -EINVAL;
	if (cursor->segment == 0)
		cursor->frag_id = new_frag_id();
	c->frag_id = cursor->frag_id;
	if (h->version == 6 && c->piece < c->total) {
		if (h->end > HDR_MAX - FRAG_LEN)
			return -EINVAL;
		cut_add_frag_hdr(c);
	}
	if (cursor->sent > 0 || !(off->flags & OFFLOAD_NEEDS_CSUM))
		return 0;
	return cut_datagram_csum(c, b, i, hdr, udp + UDP_CSUM);
}

/* Checks everything and moves to where the cursor is. */
static int cut_init(struct cut *c, const struct batch *b, unsigned i,
		    const struct offload *off, struct offload_cursor *cursor)
{
	uint32_t len = b->len[i], skip;
	const uint8_t *hdr;
	uint8_t buf[HDR_MAX];
	int err;

	memset(c, 0, offsetof(struct cut, first));
	c->fn = checksum_best();
	err = find_headers(b, i, headers_l4, buf, &hdr, &c->h);
	if (err)
		return err;
	if (!gso_valid(&c->h, off, len))
		return -EINVAL;
	if (off->gso_type == OFFLOAD_GSO_UDP)
		err = cut_init_fragments(c, b, i, hdr, off, cursor);
	else
		err = cut_init_segments(c, hdr, off, len);
	if (err)
		return err;
	if (cursor->sent > c->total ||
	    c->total > (uint64_t)c->piece * OFFLOAD_SEGMENTS_MAX)
		return -EINVAL;
	if ((c->total < c->piece ? c->total : c->piece) + c->hdr_len - c->h.l3 >
	    IP_LEN_MAX)
		return -EINVAL;
	skip = c->h.end;
	if (cursor->sent > 0)
		skip += cursor->sent - c->first_len;
	stream_init(&c->s, b, i);
	return stream_skip(&c->s, skip);
}

/* Options that only the first fragment carries become no-ops (RFC 791). */
static void drop_uncopied_options(uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != 0) {
		unsigned len = 1;

		if (*option != 1) {
			if (end - option < 2 || option[1] < 2 ||
			    option[1] > end - option)
				return;
			len = option[1];
		}
		if (!(*option & 0x80))
			memset(option, 1, len);
		option += len;
	}
}

static void finish_ipv4(const struct cut *c, uint8_t *hdr, uint32_t len,
			const struct offload_cursor *cursor, bool last)
{
	uint8_t *ip = hdr + c->h.l3;
	unsigned ip_len = (ip[0] & 15u) * 4;
	uint16_t csum;

	headers_put16(ip + 2, len - c->h.l3);
	if (!c->ufo) {
		headers_put16(ip + 4, headers_get16(ip + 4) + cursor->segment);
	} else if (c->piece < c->total) {
		headers_put16(ip + 6, cursor->sent >> 3 | (last ? 0 : IPV4_MF));
		if (cursor->sent > 0)
			drop_uncopied_options(ip + 20, ip + ip_len);
	}
	memset(ip + 10, 0, 2);
	csum = (uint16_t)~checksum_fold(c->fn(ip, ip_len));
	memcpy(ip + 10, &csum, 2);
}

static void finish_ipv6(const struct cut *c, uint8_t *hdr, uint32_t len,
			const struct offload_cursor *cursor, bool last)
{
	headers_put16(hdr + c->h.l3 + 4, len - c->h.l3 - 40);
	if (c->frag_hdr)
		headers_put16(hdr + c->hdr_len - FRAG_LEN + 2,
			      cursor->sent | (last ? 0 : 1));
}

static void finish_tcp(const struct cut *c, uint8_t *hdr, uint64_t sum,
		       const struct offload_cursor *cursor, bool last)
{
	uint8_t *tcp = hdr + c->h.l4;
	uint32_t seq = headers_get32(tcp + 4) + cursor->sent;
	uint16_t csum;

	headers_put32(tcp + 4, seq);
	if (cursor->sent > 0)
		tcp[13] &= ~TCP_CWR;
	if (!last)
		tcp[13] &= ~(TCP_FIN | TCP_PSH);
	sum += htonl(seq) + (uint64_t)htons(tcp[13]);
	csum = (uint16_t)~checksum_fold(sum);
	memcpy(tcp + TCP_CSUM, &csum, 2);
}

static void finish_udp(const struct cut *c, uint8_t *hdr, uint64_t sum,
		       uint32_t n)
{
	uint8_t *udp = hdr + c->h.l4;
	uint16_t csum;

	headers_put16(udp + 4, UDP_LEN + n);
	if (c->no_csum)
		return;
	csum = csum_finish(sum + htons((uint16_t)(UDP_LEN + n)));
	memcpy(udp + UDP_CSUM, &csum, 2);
}

/* The header is complete but for what depends on the segment: sets that. */
static void finish_segment(const struct cut *c, uint8_t *hdr, uint32_t len,
			   uint32_t n, uint64_t sum,
			   const struct offload_cursor *cursor)
{
	bool last = cursor->sent + n == c->total;

	if (c->h.version == 4)
		finish_ipv4(c, hdr, len, cursor, last);
	else
		finish_ipv6(c, hdr, len, cursor, last);
	if (c->ufo)
		return;
	sum += c->l4_sum;
	if (c->h.protocol == HEADERS_UDP) {
		finish_udp(c, hdr, sum + htons((uint16_t)(UDP_LEN + n)), n);
		return;
	}
	sum += htons((uint16_t)(c->h.end - c->h.l4 + n));
	finish_tcp(c, hdr, sum, cursor, last);
}

/*
 * Adds the segment at the cursor and moves the cursor. Payload that lies in
 * the private header goes into the segment's header if it fits there.
 */
static int cut_segment(struct cut *c, struct offload_cursor *cursor,
		       struct batch *out)
{
	uint32_t left = c->total - cursor->sent, len, n;
	uint8_t *hdr = out->hdr[out->n];
	unsigned hdr_len = c->hdr_len;
	struct checksum sum = { 0 };
	int err;

	n = left = left < c->piece ? left : c->piece;
	memcpy(hdr, c->hdr, HDR_MAX);
	if (c->ufo && cursor->sent == 0) {
		memcpy(hdr + hdr_len, c->first, c->first_len);
		hdr_len += c->first_len;
		left -= c->first_len;
	}
	len = hdr_len + left;
	if (c->s.piece == 0 && c->s.len > 0) {
		uint32_t m = c->s.len < left ? c->s.len : left;

		if (m <= HDR_MAX - hdr_len) {
			checksum_piece(&sum, c->fn, c->s.ptr, m);
			memcpy(hdr + hdr_len, c->s.ptr, m);
			stream_advance(&c->s, m);
			hdr_len += m;
			left -= m;
		}
	}
	packet_begin(out, hdr_len, len);
	err = packet_add_stream(out, &c->s, left, c->ufo ? NULL : c->fn, &sum);
	if (err)
		return err;
	finish_segment(c, hdr, len, n, sum.sum, cursor);
	packet_end(out);
	cursor->sent += n;
	cursor->segment++;
	cursor->done = cursor->sent == c->total;
	return 0;
}

static int cut_packet(const struct batch *b, unsigned i,
		      const struct offload *off, struct offload_cursor *cursor,
		      struct batch *out)
{
	struct cut c;
	int err = cut_init(&c, b, i, off, cursor);

	while (!err && !cursor->done && out->n < BATCH_MAX) {
		uint16_t n_segs = out->n_segs;

		err = cut_segment(&c, cursor, out);
		if (err)
			out->n_segs = n_segs;
	}
	return err;
}

int offload_segment(const struct batch *b, unsigned i,
		    struct offload_cursor *cursor, struct batch *out)
{
	static const struct offload none;
	const struct offload *off = b->offloads ? &b->off[i] : &none;
	uint16_t n = out->n, n_segs = out->n_segs;
	struct offload_cursor now = *cursor;
	int err = 0;

	if (now.done || n == BATCH_MAX)
		return 0;
	if (off->gso_type != OFFLOAD_GSO_NONE) {
		err = cut_packet(b, i, off, &now, out);
	} else {
		err = complete(b, i, off, out);
		if (!err) {
			packet_end(out);
			now.sent = now.segment = 1;
			now.done = true;
		}
	}
	if (err == -ENOSPC && out->n == n)
		out->n_segs = n_segs;
	if (err && err != -ENOSPC) {
		out->n = n;
		out->n_segs = n_segs;
		return err;
	}
	*cursor = now;
	return out->n - n;
}
