/* SPDX-License-Identifier: BSD-2-Clause */
/* offload.h - checksums and segmentation in software. */
#ifndef CORE_OFFLOAD_H
#define CORE_OFFLOAD_H
/*
 * Theory of operation
 *
 * A packet may travel through the switch with work left to do, described by
 * struct offload as in virtio_net_hdr: "the checksum from csum_start on is to
 * be stored at csum_start + csum_offset" and "this is TCP (or UDP) data to be
 * cut into segments of gso_size bytes". If the destination takes that work
 * (its caps) the packet passes untouched. If not, offload_segment() does it:
 *
 *   big packet  -->  out batch: one private header per segment, payload
 *                    segments pointing into the sender's memory (no copy)
 *
 * The description comes from an untrusted sender. It is checked against the
 * private header only; headers must lie within hdr_len[] (at most HDR_MAX).
 * VLAN tags (up to two) are walked. Checksums are computed over memory that
 * the sender may change meanwhile; then the checksum is wrong and nothing else.
 *
 * Checksum arithmetic: RFC 1071, RFC 1624. IPv4 identification counts up, TCP
 * flags as in RFC 9293 (CWR only on the first, FIN and PSH only on the last
 * segment). UDP segmentation as Linux' USO (OFFLOAD_GSO_UDP_L4): each segment
 * is a datagram of its own. UFO (OFFLOAD_GSO_UDP): IP fragments; gso_size is
 * rounded down to a multiple of 8 and counts the UDP header of the first one.
 *
 * Limits. A packet becomes at most OFFLOAD_SEGMENTS_MAX segments, whatever the
 * gso_size: 64 KiB at TCP's smallest segment size fit, and a sender cannot
 * have one packet turned into 65535. Headers end within HDR_MAX bytes, with
 * the fragment header that UFO over IPv6 inserts. Header bytes that lie behind
 * the private header are copied out of the segments once, and that copy is
 * checked and used. UFO over IPv6 behind a private header of more than HDR_MAX
 * - 8 bytes takes one more segment, a checksum behind HDR_MAX up to three: a
 * packet that has no room for them (PACKET_SEGS_MAX) cannot be done.
 */
#include "core/batch.h"

/* What a destination can take, as bits (struct port.caps). */
enum {
	OFFLOAD_CAP_CSUM = 1 << 0,
	OFFLOAD_CAP_TSO4 = 1 << 1,
	OFFLOAD_CAP_TSO6 = 1 << 2,
	OFFLOAD_CAP_USO = 1 << 3,
	OFFLOAD_CAP_UFO = 1 << 4,
	OFFLOAD_CAP_ECN = 1 << 5,
	OFFLOAD_CAP_ALL = 0x3f,
	OFFLOAD_CAP_NONE_HAS = 1 << 30, /* needed by unknown types */
};

enum { OFFLOAD_SEGMENTS_MAX = 2048 };

/* The caps a destination needs to take this description untouched. */
unsigned offload_needs(const struct offload *off);

/*
 * Checks a description against the private header and length of packet i, as
 * far as a receiver that takes it untouched relies on it: csum_start +
 * csum_offset + 2 within the packet, gso_type known and gso_size not zero, the
 * headers TCP/UDP over IPv4/IPv6 as gso_type says. The checksum's place must be
 * that of the TCP or UDP header, or behind it: otherwise the receiver, filling
 * it in, would rewrite addresses or ports after a module decided on them.
 * Returns false if it lies. The hdr_len of a packet to be segmented is only a
 * hint of the sender's and becomes the right one: MTUs rely on it.
 */
bool offload_valid(struct batch *b, unsigned i);

/*
 * How far offload_segment() got with one packet; start with all zero.
 * "sent" is in payload bytes (or 0/1 for a packet that only needs a checksum).
 */
struct offload_cursor {
	uint32_t sent;
	uint16_t segment;
	bool done;
	uint32_t frag_id; /* of IPv6 fragments */
};

/*
 * Appends to the batch out (which the caller emptied: n = n_segs = 0) as many
 * finished packets as fit, made from packet i of b. Call again with the same
 * cursor until cursor->done. Returns the number of packets added, or -EINVAL
 * if the packet cannot be segmented (nothing was added). gso_size decides the
 * cut. out->seg[] points into the sender's memory, rarely into hdr[] of b or
 * out; len[], hdr[], hdr_len[], seg0[], n_seg[], multi_seg are set, off[] is
 * zero, overread and offloads are false. Worker threads only.
 *
 * An emptied out always takes at least one packet, so this ends. A sender that
 * changes its memory between two calls can get -EINVAL from the second.
 */
int offload_segment(const struct batch *b, unsigned i,
		    struct offload_cursor *cursor, struct batch *out);

#endif
