/* SPDX-License-Identifier: BSD-2-Clause */
/* raw.h - the tests' own copy of netmap's layouts and numbers. */
#ifndef NETMAP_TESTS_RAW_H
#define NETMAP_TESTS_RAW_H
/*
 * Written from the list of offsets in netmap's ABI and from nothing of ours:
 * what works with this header works for a binary that was compiled for netmap.
 * Each program under test is compiled twice, with this and with include/net.
 * Pads are spelled out, so that a mistake here is found by tests/netmap/abi.c's
 * twin at the end: offsets are asserted once more.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>

struct netmap_slot {
	uint32_t buf_idx;
	uint16_t len, flags;
	uint64_t ptr;
};

struct netmap_ring {
	int64_t buf_ofs;
	uint32_t num_slots, nr_buf_size;
	uint16_t ringid, dir;
	uint32_t head, cur, tail, flags;
	uint32_t pad_36;
	struct timeval ts;
	uint64_t offset_mask, buf_align;
	uint8_t pad_72[56];
	uint8_t sem[128];
	struct netmap_slot slot[];
} __attribute__((__aligned__(128)));

struct netmap_if {
	char ni_name[16];
	uint32_t ni_version, ni_flags, ni_tx_rings, ni_rx_rings;
	uint32_t ni_bufs_head, ni_host_tx_rings, ni_host_rx_rings;
	uint32_t ni_spare1[3];
	int64_t ring_ofs[];
};

struct nmreq {
	char nr_name[16];
	uint32_t nr_version, nr_offset, nr_memsize, nr_tx_slots, nr_rx_slots;
	uint16_t nr_tx_rings, nr_rx_rings, nr_ringid, nr_cmd, nr_arg1, nr_arg2;
	uint32_t nr_arg3, nr_flags, spare2;
};

struct nm_ifreq {
	char nifr_name[16], data[256];
};

struct nmreq_header {
	uint16_t nr_version, nr_reqtype;
	uint32_t nr_reserved;
	char nr_name[64];
	uint64_t nr_options, nr_body;
};

struct nmreq_option {
	uint64_t nro_next;
	uint32_t nro_reqtype, nro_status;
	uint64_t nro_size;
};

struct nmreq_register {
	uint64_t nr_offset, nr_memsize;
	uint32_t nr_tx_slots, nr_rx_slots;
	uint16_t nr_tx_rings, nr_rx_rings, nr_host_tx_rings, nr_host_rx_rings;
	uint16_t nr_mem_id, nr_ringid;
	uint32_t nr_mode, nr_extra_bufs, pad_44;
	uint64_t nr_flags;
};

struct nmreq_port_info_get {
	uint64_t nr_memsize;
	uint32_t nr_tx_slots, nr_rx_slots;
	uint16_t nr_tx_rings, nr_rx_rings, nr_host_tx_rings, nr_host_rx_rings;
	uint16_t nr_mem_id, pad[3];
};

struct nmreq_vale_attach {
	struct nmreq_register reg;
	uint32_t port_index, pad_60;
};

struct nmreq_vale_detach {
	uint32_t port_index, pad_4;
};

struct nmreq_vale_list {
	uint16_t nr_bridge_idx, pad_2;
	uint32_t nr_port_idx;
};

struct nmreq_port_hdr {
	uint32_t nr_hdr_len, pad_4;
};

struct nmreq_vale_newif {
	uint32_t nr_tx_slots, nr_rx_slots;
	uint16_t nr_tx_rings, nr_rx_rings, nr_mem_id, pad_14;
};

struct nmreq_vale_polling {
	uint32_t nr_mode, nr_first_cpu_id, nr_num_polling_cpus, pad_12;
};

struct nmreq_pools_info {
	uint64_t nr_memsize;
	uint16_t nr_mem_id, pad_10[3];
	uint64_t nr_if_pool_offset;
	uint32_t nr_if_pool_objtotal, nr_if_pool_objsize;
	uint64_t nr_ring_pool_offset;
	uint32_t nr_ring_pool_objtotal, nr_ring_pool_objsize;
	uint64_t nr_buf_pool_offset;
	uint32_t nr_buf_pool_objtotal, nr_buf_pool_objsize;
};

struct nmreq_sync_kloop_start {
	uint32_t sleep_us, pad_4;
};

struct nm_csb_atok {
	uint32_t head, cur, appl_need_kick, sync_flags, pad_16[12];
};

struct nm_csb_ktoa {
	uint32_t hwcur, hwtail, kern_need_kick, pad_12[13];
};

struct nmreq_opt_sync_kloop_eventfds {
	struct nmreq_option nro_opt;
	struct {
		int32_t ioeventfd, irqfd;
	} eventfds[];
};

struct nmreq_opt_sync_kloop_mode {
	struct nmreq_option nro_opt;
	uint32_t mode, pad_28;
};

struct nmreq_opt_extmem {
	struct nmreq_option nro_opt;
	uint64_t nro_usrptr;
	struct nmreq_pools_info nro_info;
};

struct nmreq_opt_csb {
	struct nmreq_option nro_opt;
	uint64_t csb_atok, csb_ktoa;
};

struct nmreq_opt_offsets {
	struct nmreq_option nro_opt;
	uint64_t nro_max_offset, nro_initial_offset;
	uint32_t nro_offset_bits, nro_tx_align;
	uint64_t nro_min_gap;
};

enum {
	NETMAP_API = 14,
	NS_BUF_CHANGED = 0x01,
	NS_REPORT = 0x02,
	NS_FORWARD = 0x04,
	NS_NO_LEARN = 0x08,
	NS_INDIRECT = 0x10,
	NS_MOREFRAG = 0x20,
	NS_TXMON = 0x40,
	NS_PORT_SHIFT = 8,
	NR_TIMESTAMP = 2,
	NR_FORWARD = 4,
	NETMAP_REQ_REGISTER = 1,
	NETMAP_REQ_PORT_INFO_GET = 2,
	NETMAP_REQ_VALE_ATTACH = 3,
	NETMAP_REQ_VALE_DETACH = 4,
	NETMAP_REQ_VALE_LIST = 5,
	NETMAP_REQ_PORT_HDR_SET = 6,
	NETMAP_REQ_PORT_HDR_GET = 7,
	NETMAP_REQ_VALE_NEWIF = 8,
	NETMAP_REQ_VALE_DELIF = 9,
	NETMAP_REQ_VALE_POLLING_ENABLE = 10,
	NETMAP_REQ_VALE_POLLING_DISABLE = 11,
	NETMAP_REQ_POOLS_INFO_GET = 12,
	NETMAP_REQ_SYNC_KLOOP_START = 13,
	NETMAP_REQ_SYNC_KLOOP_STOP = 14,
	NETMAP_REQ_CSB_ENABLE = 15,
	NETMAP_REQ_OPT_EXTMEM = 1,
	NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS = 2,
	NETMAP_REQ_OPT_CSB = 3,
	NETMAP_REQ_OPT_SYNC_KLOOP_MODE = 4,
	NETMAP_REQ_OPT_OFFSETS = 5,
	NR_REG_DEFAULT = 0,
	NR_REG_ALL_NIC = 1,
	NR_REG_SW = 2,
	NR_REG_NIC_SW = 3,
	NR_REG_ONE_NIC = 4,
	NR_REG_PIPE_MASTER = 5,
	NR_REG_PIPE_SLAVE = 6,
	NR_REG_NULL = 7,
	NR_REG_ONE_SW = 8,
	NR_MONITOR_TX = 0x100,
	NR_MONITOR_RX = 0x200,
	NR_ZCOPY_MON = 0x400,
	NR_EXCLUSIVE = 0x800,
	NR_RX_RINGS_ONLY = 0x2000,
	NR_TX_RINGS_ONLY = 0x4000,
	NR_ACCEPT_VNET_HDR = 0x8000,
	NR_DO_RX_POLL = 0x10000,
	NR_NO_TX_POLL = 0x20000,
	NETMAP_RING_MASK = 0x0fff,
	NETMAP_NO_TX_POLL = 0x1000,
	NETMAP_SW_RING = 0x2000,
	NETMAP_HW_RING = 0x4000,
	NETMAP_DO_RX_POLL = 0x8000,
	NETMAP_BDG_ATTACH = 1,
	NETMAP_BDG_DETACH = 2,
	NETMAP_BDG_LIST = 4,
	NETMAP_BDG_VNET_HDR = 5,
	NETMAP_BDG_NEWIF = 6,
	NETMAP_BDG_DELIF = 7,
	NETMAP_PT_HOST_CREATE = 8,
	NETMAP_PT_HOST_DELETE = 9,
	NETMAP_BDG_POLLING_ON = 10,
	NETMAP_BDG_POLLING_OFF = 11,
	NETMAP_VNET_HDR_GET = 12,
	NETMAP_POLLING_MODE_SINGLE_CPU = 1,
	NETMAP_POLLING_MODE_MULTI_CPU = 2,
	NM_OPT_SYNC_KLOOP_DIRECT_TX = 1,
	NM_OPT_SYNC_KLOOP_DIRECT_RX = 2,
};

#define NIOCGINFO 0xc03c6991UL
#define NIOCREGIF 0xc03c6992UL
#define NIOCTXSYNC 0x6994UL
#define NIOCRXSYNC 0x6995UL
#define NIOCCONFIG 0xc1106996UL
#define NIOCCTRL 0xc0586997UL

#define NETMAP_IF(base, ofs) ((struct netmap_if *)((char *)(base) + (ofs)))
#define NETMAP_TXRING(nifp, i) \
	((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[i]))
#define NETMAP_RXRING(nifp, i) \
	NETMAP_TXRING(nifp,    \
		      (i) + (nifp)->ni_tx_rings + (nifp)->ni_host_tx_rings)
#define NETMAP_BUF(ring, i) \
	((char *)(ring) + (ring)->buf_ofs + (size_t)(i) * (ring)->nr_buf_size)

static inline uint32_t nm_ring_next(const struct netmap_ring *r, uint32_t i)
{
	return i + 1 == r->num_slots ? 0 : i + 1;
}

static inline uint32_t nm_ring_space(const struct netmap_ring *r)
{
	int n = (int)(r->tail - r->head);

	return (uint32_t)(n < 0 ? n + (int)r->num_slots : n);
}

#define AT_(type, member, off)                                 \
	_Static_assert(offsetof(struct type, member) == (off), \
		       #type " " #member)
#define SIZE_(type, size) _Static_assert(sizeof(struct type) == (size), #type)
SIZE_(netmap_slot, 16);
SIZE_(netmap_ring, 256);
AT_(netmap_ring, ts, 40);
AT_(netmap_ring, offset_mask, 56);
AT_(netmap_ring, sem, 128);
AT_(netmap_ring, slot, 256);
SIZE_(netmap_if, 56);
AT_(netmap_if, ring_ofs, 56);
SIZE_(nmreq, 60);
SIZE_(nm_ifreq, 272);
SIZE_(nmreq_header, 88);
AT_(nmreq_header, nr_options, 72);
SIZE_(nmreq_option, 24);
SIZE_(nmreq_register, 56);
AT_(nmreq_register, nr_mem_id, 32);
AT_(nmreq_register, nr_flags, 48);
SIZE_(nmreq_port_info_get, 32);
SIZE_(nmreq_vale_attach, 64);
SIZE_(nmreq_vale_list, 8);
SIZE_(nmreq_vale_newif, 16);
SIZE_(nmreq_vale_polling, 16);
SIZE_(nmreq_pools_info, 64);
SIZE_(nm_csb_atok, 64);
SIZE_(nm_csb_ktoa, 64);
AT_(nmreq_opt_sync_kloop_eventfds, eventfds, 24);
SIZE_(nmreq_opt_sync_kloop_mode, 32);
SIZE_(nmreq_opt_extmem, 96);
AT_(nmreq_opt_extmem, nro_info, 32);
SIZE_(nmreq_opt_csb, 40);
SIZE_(nmreq_opt_offsets, 56);
#undef AT_
#undef SIZE_

#endif
