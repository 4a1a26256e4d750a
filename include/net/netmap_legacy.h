/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap_legacy.h - the requests of netmap before NIOCCTRL. */
#ifndef _NET_NETMAP_LEGACY_H_
#define _NET_NETMAP_LEGACY_H_
/*
 * Theory of operation
 *
 * Older programs describe everything in one struct nmreq: NIOCGINFO asks what
 * a port has, NIOCREGIF binds one, or does what nr_cmd says. Both are
 * translated into the requests of net/netmap.h, which includes this file. The
 * struct comes back completed, also when the request failed.
 */
#include <stdint.h>
#include <sys/ioctl.h>

struct nmreq {
	char nr_name[16]; /* IFNAMSIZ; of the port */
	uint32_t nr_version;
	uint32_t nr_offset;  /* out: of the netmap_if in the mapping */
	uint32_t nr_memsize; /* out: bytes to map */
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_ringid; /* number, and NETMAP_* bits below */
	uint16_t nr_cmd;    /* 0, or NETMAP_BDG_* */
	uint16_t nr_arg1;   /* of nr_cmd; REGIF: rings to reserve for pipes */
	uint16_t nr_arg2;   /* region; in: 0 = any */
	uint32_t nr_arg3;   /* extra buffers; in: wanted; out: got */
	uint32_t nr_flags;  /* NR_REG_* in NR_REG_MASK, and NR_* flags */
	uint32_t spare2[1];
};

/* nr_flags: the bits of the mode. */
#define NR_REG_MASK 0xf

/* nr_ringid. */
#define NETMAP_RING_MASK 0x0fff	 /* number of the ring */
#define NETMAP_NO_TX_POLL 0x1000 /* as NR_NO_TX_POLL */
#define NETMAP_SW_RING 0x2000	 /* mode 0: host rings */
#define NETMAP_HW_RING 0x4000	 /* mode 0: one ring of the NIC */
#define NETMAP_DO_RX_POLL 0x8000 /* as NR_DO_RX_POLL */

/* nr_cmd. LIST goes with NIOCGINFO, all others with NIOCREGIF. */
#define NETMAP_BDG_ATTACH 1
#define NETMAP_BDG_DETACH 2
#define NETMAP_BDG_REGOPS 3
#define NETMAP_BDG_LIST 4
#define NETMAP_BDG_VNET_HDR 5
#define NETMAP_BDG_NEWIF 6
#define NETMAP_BDG_DELIF 7
#define NETMAP_PT_HOST_CREATE 8 /* refused */
#define NETMAP_PT_HOST_DELETE 9 /* refused */
#define NETMAP_BDG_POLLING_ON 10
#define NETMAP_BDG_POLLING_OFF 11
#define NETMAP_VNET_HDR_GET 12

/* nr_arg1 of ATTACH: the host stack, too. */
#define NETMAP_BDG_HOST 1

/* Argument of NIOCCONFIG: bytes for the switch's module to interpret. */
#define NM_IFRDATA_LEN 256
struct nm_ifreq {
	char nifr_name[16]; /* IFNAMSIZ; of the port */
	char data[NM_IFRDATA_LEN];
};

#define NIOCGINFO _IOWR('i', 145, struct nmreq)
#define NIOCREGIF _IOWR('i', 146, struct nmreq)
#define NIOCCONFIG _IOWR('i', 150, struct nm_ifreq)

#endif
