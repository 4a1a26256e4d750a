/* SPDX-License-Identifier: BSD-2-Clause */
/* payload.h - the frames that glen-gen makes and how it recognises them. */
#ifndef GEN_PAYLOAD_H
#define GEN_PAYLOAD_H
/*
 * Theory of operation
 *
 * A frame is an Ethernet header, perhaps a VLAN tag, perhaps IPv4 and UDP (to
 * port 9, discard; without UDP the Ethernet type is 0x88b5, IEEE's number for
 * local experiments), then in checked streams a struct payload, then filling:
 *
 *   0     vnet_len     head_len                                   len
 *   | vnet | Ethernet .. UDP | struct payload | filling            |
 *            ^^^^^^^^^^^^            ^ crc covers this and the rest, and
 *            without UDP also the two MAC addresses
 *
 * All lengths and sizes that users see are those of the frame: without the
 * virtio_net_hdr in front and without the 4 bytes of checksum on a wire.
 *
 * The filling comes from a table of pseudo-random bytes, from a place that
 * depends on the sequence number, so that a stale buffer with an older packet
 * of the same flow is found out.
 *
 * Flow i of a raw Ethernet stream goes from address src + i to dst + i; flow i
 * of a UDP stream keeps the addresses of the spec and varies the source port
 * and, beyond 32,768 flows, the source address.
 *
 * Multi-byte members of struct payload are in host byte order: both ends run
 * on one host.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FRAME_LEN_MIN = 14,
	FRAME_LEN_MAX = 131072 - 64, /* what a switch forwards, with room for
					a vnet header */
	FRAME_HEAD_SIZE = 64,	     /* vnet header .. UDP, padded */
	FLOWS_MAX = 1 << 20,
	FILL_STEP = 64,
	FILL_PERIOD = 65536, /* the filling repeats after so many bytes */
	FILL_SIZE = FILL_PERIOD + 131072,
	PAYLOAD_MAGIC = 0x6e656c67, /* "glen" */
};

enum payload_kind {
	PAYLOAD_DATA,
	PAYLOAD_END, /* seq = packets sent in this flow */
	PAYLOAD_PING,
	PAYLOAD_PONG,
	PAYLOAD_ANNOUNCE, /* tells switches where an address is */
};

struct payload {
	uint32_t magic;
	uint32_t crc; /* CRC32C, see above */
	uint32_t len; /* of the frame */
	uint32_t flow;
	uint32_t run;  /* differs between runs of a sender */
	uint32_t kind; /* enum payload_kind */
	uint64_t seq;
	uint64_t time; /* CLOCK_MONOTONIC at the sender, ns */
};

/* What the headers of a stream look like. */
struct frame_spec {
	uint8_t src[6], dst[6];
	int vlan; /* -1: untagged */
	bool udp;
	unsigned vnet_len;	 /* 0, 10 or 12 */
	uint32_t src_ip, dst_ip; /* host byte order */
};

/* Bytes of vnet header, Ethernet, VLAN, IPv4 and UDP header. */
unsigned frame_head_len(const struct frame_spec *spec);

/* The shortest frame that carries a struct payload. */
unsigned frame_checked_min(const struct frame_spec *spec);

/*
 * Writes the vnet header and the headers of flow's frames of len bytes to
 * head[FRAME_HEAD_SIZE]; what is left over of it is zeroed.
 */
void frame_head(const struct frame_spec *spec, uint32_t flow, uint32_t len,
		uint8_t *head);

/* Adjusts the IPv4 and UDP lengths and checksum in head to a frame of len. */
void frame_set_len(const struct frame_spec *spec, uint8_t *head, uint32_t len);

/* A table of FILL_SIZE bytes that repeats every FILL_PERIOD. */
const uint8_t *fill_table(void);
/* Where the filling of packet seq begins: for byte 0 of the frame's buffer. */
static inline const uint8_t *fill_at(const uint8_t *table, uint64_t seq)
{
	return table + seq * FILL_STEP % FILL_PERIOD;
}

/*
 * Writes p with its checksum into the frame at frame (without vnet header),
 * whose headers and filling are in place; at is the offset of struct payload.
 */
void payload_put(uint8_t *frame, uint32_t len, unsigned at, bool udp,
		 struct payload *p);

enum payload_verdict {
	PAYLOAD_OK,
	PAYLOAD_FOREIGN,   /* not a frame of glen-gen */
	PAYLOAD_TRUNCATED, /* longer or shorter than it was sent */
	PAYLOAD_CORRUPTED, /* wrong checksum or magic number */
};

/*
 * Looks at a frame that was received. On PAYLOAD_OK fills *p and *at (offset of
 * struct payload in the frame).
 */
enum payload_verdict payload_get(const uint8_t *frame, uint32_t len,
				 struct payload *p, unsigned *at);

/* Adds n to a MAC address seen as a number. */
void mac_add(uint8_t *mac, const uint8_t *base, uint32_t n);

#endif
