/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap.h - netmap's ABI in shared memory, version 14, in glen's words. */
#ifndef _NET_NETMAP_H_
#define _NET_NETMAP_H_
/*
 * Theory of operation
 *
 * A port is a netmap_if, a set of TX and RX rings and a pool of packet
 * buffers, all inside one mapping ("region"). Everything refers to everything
 * else by offset or index, so every process may map the region where it likes:
 *
 *   netmap_if --ring_ofs[]--> netmap_ring --slot[i].buf_idx--> buffer
 *
 * A ring is a circular array of slots with three indexes, all in
 * [0, num_slots):
 *
 *        head <= cur <= tail   (circularly; one slot always stays empty)
 *
 *   TX: [head, tail) may be filled by the application; it hands slots over by
 *       advancing head.
 *   RX: [head, tail) holds received packets; the application gives slots back
 *       by advancing head.
 *   cur is only a wake-up point: the application wants to be woken when tail
 *   moves past cur.
 *
 * In a glen port the ring header's head, cur and tail are written by the
 * client's side only (the application and libglen); glend and the client
 * exchange indexes through the CSB lines declared below, netmap's
 * "sync-kloop" arrangement. A slot of 16 bytes belongs to whoever the indexes
 * say; it is loaded and stored as whole 64-bit words by glend.
 *
 * Layouts and numbers are facts of netmap's API version 14 (x86-64 and arm64
 * little endian); the tests assert every offset.
 */
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>

#define NETMAP_API 14
#define NETMAP_MIN_API 14
#define NETMAP_MAX_API 15

/* Alignment of rings and of the parts of a ring header, in bytes. */
#define NM_CACHE_ALIGN 128
/* The longest chain of slots that makes one packet. */
#define NETMAP_MAX_FRAGS 64

struct netmap_slot {
	uint32_t buf_idx; /* buffer; 0 and 1 are reserved, 0 means none */
	uint16_t len;	  /* bytes used in the buffer */
	uint16_t flags;	  /* NS_* */
	uint64_t ptr;	  /* NS_INDIRECT: user address; offsets option */
};

/* The application exchanged buf_idx of this slot. */
#define NS_BUF_CHANGED 0x0001
/* Ask for a completion report as soon as the slot is sent. */
#define NS_REPORT 0x0002
/* Pass the packet on to the host stack / to the NIC. */
#define NS_FORWARD 0x0004
/* Do not learn this packet's source address. */
#define NS_NO_LEARN 0x0008
/* ptr holds the address of the data. */
#define NS_INDIRECT 0x0010
/* The packet goes on in the next slot. */
#define NS_MOREFRAG 0x0020
/* Seen on a TX ring (set by copy monitors). */
#define NS_TXMON 0x0040
#define NS_PORT_SHIFT 8
#define NS_PORT_MASK (0xff << NS_PORT_SHIFT)
/* On RX: how many slots the packet has. */
#define NS_RFRAGS(slot) (((slot)->flags >> 8) & 0xff)

struct netmap_ring {
	int64_t buf_ofs;      /* from this struct to buffer 0 */
	uint32_t num_slots;   /* slots in slot[] */
	uint32_t nr_buf_size; /* bytes per buffer, and buffers' stride */
	uint16_t ringid;
	uint16_t dir;	      /* 0 = TX, 1 = RX */
	uint32_t head;	      /* first slot that belongs to the user */
	uint32_t cur;	      /* wake-up point */
	uint32_t tail;	      /* first slot that does not */
	uint32_t flags;	      /* NR_* */
	struct timeval ts;    /* time of the last sync */
	uint64_t offset_mask; /* OFFSETS option: which bits of slot.ptr */
	uint64_t buf_align;
	uint8_t sem[128] __attribute__((__aligned__(NM_CACHE_ALIGN)));
	struct netmap_slot slot[]; /* num_slots of them */
} __attribute__((__aligned__(NM_CACHE_ALIGN)));

#define NR_TIMESTAMP 0x0002
#define NR_FORWARD 0x0004

struct netmap_if {
	char ni_name[16];
	uint32_t ni_version;
	uint32_t ni_flags; /* NI_* */
	uint32_t ni_tx_rings;
	uint32_t ni_rx_rings;
	uint32_t ni_bufs_head; /* list of extra buffers; next = first u32 */
	uint32_t ni_host_tx_rings;
	uint32_t ni_host_rx_rings;
	uint32_t ni_spare1[3];
	/* Offsets from this struct: TX, host TX, RX, host RX; 0 = not bound. */
	ssize_t ring_ofs[];
};

#define NI_PRIV_MEM 0x1

/*
 * CSB, application to kernel ("kernel" is glend here): one line per ring, TX
 * rings first. Only the client writes it: cur, then (release) head.
 */
struct nm_csb_atok {
	uint32_t head;
	uint32_t cur;
	/*
	 * 0: do not wake me. Anything else: wake me when the ring moved; glend
	 * kicks once per value, so a client that arms again uses a new value.
	 */
	uint32_t appl_need_kick;
	uint32_t sync_flags;
	uint32_t pad[12];
};

/* CSB, kernel to application. Only glend writes it: hwcur, then hwtail. */
struct nm_csb_ktoa {
	uint32_t hwcur;
	uint32_t hwtail;
	uint32_t kern_need_kick; /* kick the eventfd after moving head */
	uint32_t pad[13];
};

#endif
