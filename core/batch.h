/* SPDX-License-Identifier: BSD-2-Clause */
/* batch.h - a batch of packets on its way through the pipeline. */
#ifndef CORE_BATCH_H
#define CORE_BATCH_H
/*
 * Theory of operation
 *
 * A batch belongs to one worker and describes up to BATCH_MAX packets that
 * came from one ingress ring:
 *
 *   driver's rx()     fills seg[], seg0[], n_seg[], len[], off[], ask[],
 *                     mark[], buf[]
 *   gather()          copies each packet's first hdr_want bytes to hdr[] and
 *                     cuts them off the segments; fills hdr_len[]
 *   module's lookup() reads hdr[], len[]; fills verdict[]
 *   deliver()         groups by destination; the drivers' tx() write
 *                     hdr[i][0..hdr_len[i]) followed by the segments
 *
 *   packet i = hdr[i] + seg[seg0[i]] + ... + seg[seg0[i] + n_seg[i] - 1]
 *
 * Segments point into memory that the sender may still change: whoever decides
 * on a byte decides on hdr[], never on a segment. Bytes of hdr[i] from
 * hdr_len[i] up to a multiple of 64 are zero, so 64-byte copies leak nothing.
 *
 * Modules see a batch through struct glen_batch, whose pointers lead into it,
 * so that what is here may change without modules being built anew. A module
 * that changed lengths says so (view.edited), and batch_settle() brings the
 * batch back to what the steps behind it rely on.
 *
 * Nothing here is allocated per packet; a worker has one batch and one
 * scratch batch for software segmentation.
 */
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/module.h"

enum {
	BATCH_MAX = 256,      /* packets */
	PACKET_SEGS_MAX = 64, /* segments of one packet */
	BATCH_SEGS = BATCH_MAX + PACKET_SEGS_MAX,
	HDR_MIN = 64,		      /* what modules get at least */
	HDR_MAX = 128,		      /* what a module may ask for */
	HDR_SIZE = 192,		      /* with what a module may push in front */
	PACKET_LEN_MIN = 14,	      /* an Ethernet header */
	PACKET_LEN_MAX = 131072,      /* 64 slots of 2 KiB */
	BATCH_COPIES = 2 * BATCH_MAX, /* that a module may ask for */
	BATCH_BYTES_MAX = 8 << 20,
	BATCH_VNET_MAX = 12, /* bytes of a virtio_net_hdr, the longer one */
};

/* A piece of a packet in the sender's memory. */
struct seg {
	const uint8_t *ptr;
	uint32_t len;
	uint32_t unused;
};

/* Same bits and numbers as virtio_net_hdr (virtio 1.2, 5.1.6). */
enum {
	OFFLOAD_NEEDS_CSUM = 1, /* flags: checksum is to be filled in */
	OFFLOAD_DATA_VALID = 2, /* flags: checksum was checked */
	OFFLOAD_GSO_NONE = 0,
	OFFLOAD_GSO_TCPV4 = 1,
	OFFLOAD_GSO_UDP = 3,
	OFFLOAD_GSO_TCPV6 = 4,
	OFFLOAD_GSO_UDP_L4 = 5,
	OFFLOAD_GSO_ECN = 0x80,
};

/* What is still to be done to a packet; all zero: nothing. Host byte order. The
 * same as struct glen_offload, which modules see. */
struct offload {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
};

/*
 * Verdicts, as in glen/module.h: the type in the top byte; for VERDICT_PORT the
 * egress ring (RING_ANY: by flow) in the next and the port's index in the low
 * half; for VERDICT_FLOOD the set; for drops the module's reason, or one of
 * enum drop, which VERDICT_DROP | reason makes.
 */
enum {
	DROP_CORE = 0x100,
	VERDICT_PORT = GLEN_VERDICT_PORT,
	VERDICT_FLOOD = GLEN_VERDICT_SET,
	VERDICT_DROP = GLEN_VERDICT_DROP | DROP_CORE,
	VERDICT_TYPE = GLEN_VERDICT_KIND,
	VERDICT_RING_SHIFT = 16,
	RING_ANY = 0xff,
};

/* Port sets that the core keeps for flooding; the source is always left out. */
enum flood_set {
	FLOOD_ALL = GLEN_SET_ALL,
	FLOOD_NOT_ISOLATED = GLEN_SET_NOT_ISOLATED,
	FLOOD_SETS,
};

struct region_member;

struct batch {
	uint16_t n;	   /* packets */
	uint16_t n_segs;   /* used entries of seg[] */
	uint16_t hdr_want; /* bytes of header the module asked for */
	bool overread;	/* 64 bytes may be read at any seg.ptr with len > 0 */
	bool multi_seg; /* some n_seg[] is not 1 */
	bool offloads;	/* some off[] is not zero */
	bool asks;	/* some ask[] is not zero */
	bool marks;	/* mark[] holds something */
	bool identity;	/* all seg0[i] are i and all n_seg[i] are 1: who writes
			 * others clears it */
	bool took;	/* tx() took some of those, and left others */
	/* Of a region, whose buffers buf[] names and tx() may take; NULL:
	 * none. rx() sets it. */
	const struct region_member *from;
	uint8_t vnet_len; /* of the headers in vnet[]; 0: none is kept. Only
				  * rx() sets it */
	uint32_t most;	  /* no packet is longer; gather() sets it */
	uint32_t slots;	  /* driver's own: ring entries to release */
	uint32_t len[BATCH_MAX]; /* whole packet, without any vnet header */
	uint32_t verdict[BATCH_MAX];
	uint16_t seg0[BATCH_MAX];
	uint8_t n_seg[BATCH_MAX];
	uint8_t hdr_len[BATCH_MAX];
	struct offload off[BATCH_MAX]; /* valid only if offloads */
	uint32_t ask[BATCH_MAX];       /* GLEN_ASK_*; valid only if asks */
	uint64_t mark[BATCH_MAX];      /* GLEN_MARK_*; valid only if marks */
	/* Virtio-net headers as their sender wrote them; off[] is what they
	 * mean. A module that edits a batch makes them untrue. */
	uint8_t vnet[BATCH_MAX][BATCH_VNET_MAX];
	struct glen_batch view; /* what the module sees of it */
	struct glen_copy copy[BATCH_COPIES];
	struct seg seg[BATCH_SEGS];
	uint32_t buf[BATCH_SEGS]; /* which each segment lies in; if from */
	_Alignas(64) uint8_t hdr[BATCH_MAX][HDR_SIZE];
};

/* Once per batch object: view points into it. */
void batch_init(struct batch *b);

/*
 * Worker, after a lookup() that changed lengths: the drivers rely on private
 * headers of HDR_MIN bytes at least, where packets have them, and on true
 * lengths and offload descriptions. What cannot be made so gets a drop as its
 * verdict: in_runt, in_too_long, in_bad_offload, in_module (hdr_len or len make
 * no sense).
 */
void batch_settle(struct batch *b);

/* Before lookup(): the view of what gather() left. */
static inline struct glen_batch *batch_view(struct batch *b)
{
	b->view.n = b->n;
	b->view.offloads = b->offloads;
	b->view.asks = b->asks;
	b->view.marks = b->marks;
	b->view.edited = false;
	b->view.n_copies = 0;
	return &b->view;
}

/*
 * For rx(): the n packets in seg[0..n) and len[] have one segment each. The
 * arrays that say so mostly do already, from the batch before.
 */
static inline void batch_one_seg_each(struct batch *b, unsigned n)
{
	b->n = b->n_segs = n;
	if (__builtin_expect(b->identity, 1))
		return;
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		b->seg0[i] = i;
		b->n_seg[i] = 1;
	}
	b->identity = true;
}

/*
 * Bytes of VLAN tags (802.1Q, 802.1ad; at most two) in packet i's private
 * header. An MTU counts payload: tags come on top.
 */
static inline uint32_t batch_tags_len(const struct batch *b, unsigned i)
{
	const uint8_t *hdr = b->hdr[i];
	uint32_t tags = 0;

	while (tags < 8 && 16 + tags <= b->hdr_len[i]) {
		uint16_t type = hdr[12 + tags] << 8 | hdr[13 + tags];

		if (type != 0x8100 && type != 0x88a8)
			break;
		tags += 4;
	}
	return tags;
}

/* Length of the longest frame that packet i becomes on a wire; its description
 * was checked (offload_valid()). */
static inline uint32_t batch_frame_len(const struct batch *b, unsigned i)
{
	const struct offload *off = &b->off[i];
	const uint8_t *type = b->hdr[i] + 12 + batch_tags_len(b, i);
	uint32_t whole, first;

	if (!b->offloads || off->gso_type == OFFLOAD_GSO_NONE)
		return b->len[i];
	/* UFO: gso_size counts the UDP header too, which only the first
	 * fragment has; IPv6 adds a fragment header of that size. */
	whole = first = off->hdr_len + off->gso_size;
	if (off->gso_type == OFFLOAD_GSO_UDP) {
		whole -= 8;
		if (type[0] == 8 && type[1] == 0)
			first -= 8;
	}
	return b->len[i] <= whole ? b->len[i] : first;
}

#endif
