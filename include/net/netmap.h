/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap.h - netmap's ABI, version 14: shared memory and requests. */
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
 * The second half of this file is the control interface. A program opens
 * NETMAP_DEVICE_NAME, sends requests with ioctl(), maps the region of the port
 * that it registered with mmap(), and from then on works on the rings; the
 * ioctls NIOCTXSYNC and NIOCRXSYNC, and poll(), carry the indexes over.
 *
 *   nmreq_header --nr_body-----> struct of the request (nmreq_register, ...)
 *                --nr_options--> nmreq_option --nro_next--> nmreq_option ...
 *
 * A request is one ioctl, NIOCCTRL, whose argument is the header; its type
 * says what the body is. Options belong to one request each; what became of an
 * option is in its nro_status. All pointers are stored as uint64_t, so that the
 * layout is the same for all programs.
 *
 * Layouts and numbers are facts of netmap's API version 14 (x86-64 and arm64
 * little endian); tests/netmap/abi.c asserts every offset.
 */
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

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
/* On TX: if not 0, the port of the switch that the packet goes to, as VALE_LIST
 * numbers them, whatever its address. */
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

/* Orders stores before later stores: the partner is nm_ldld_barrier(). */
static inline void nm_stst_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Orders loads before later loads: the partner is nm_stst_barrier(). */
static inline void nm_ldld_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/*
 * The application's half of the CSB protocol: hands over slots up to head and
 * names the wake-up point cur. The other side loads head before cur, so it may
 * see a cur that is too new, never a head that is ahead of its cur.
 */
static inline void nm_sync_kloop_appl_write(struct nm_csb_atok *atok,
					    uint32_t cur, uint32_t head)
{
	nm_stst_barrier(); /* what lies in the slots comes first */
	__atomic_store_n(&atok->cur, cur, __ATOMIC_RELAXED);
	nm_stst_barrier();
	__atomic_store_n(&atok->head, head, __ATOMIC_RELAXED);
}

/*
 * Reads how far the other side is: *hwtail is the ring's new tail, *hwcur the
 * first slot that it has not looked at. It stores hwcur before hwtail.
 */
static inline void nm_sync_kloop_appl_read(struct nm_csb_ktoa *ktoa,
					   uint32_t *hwtail, uint32_t *hwcur)
{
	*hwtail = __atomic_load_n(&ktoa->hwtail, __ATOMIC_RELAXED);
	nm_ldld_barrier();
	*hwcur = __atomic_load_n(&ktoa->hwcur, __ATOMIC_RELAXED);
	nm_ldld_barrier(); /* slots are read after the index */
}

/* What names of ports of a VALE switch begin with. */
#define NM_BDG_NAME "vale"

/* The longest name in a request, with its 0. */
#define NETMAP_REQ_IFNAMSIZ 64
/* The longest request: header, body, name and all options, in bytes. */
#define NETMAP_REQ_MAXSIZE 4096

/* What every request begins with. */
struct nmreq_header {
	uint16_t nr_version;  /* NETMAP_MIN_API to NETMAP_MAX_API */
	uint16_t nr_reqtype;  /* NETMAP_REQ_*: what the body is */
	uint32_t nr_reserved; /* 0 */
	char nr_name[NETMAP_REQ_IFNAMSIZ]; /* of the port; 0 at its end */
	uint64_t nr_options; /* address of the first nmreq_option, 0: none */
	uint64_t nr_body;    /* address of the request's struct, 0: none */
};

/* Types of requests, and the struct that goes with each. */
enum {
	NETMAP_REQ_REGISTER = 1,	      /* nmreq_register */
	NETMAP_REQ_PORT_INFO_GET = 2,	      /* nmreq_port_info_get */
	NETMAP_REQ_VALE_ATTACH = 3,	      /* nmreq_vale_attach */
	NETMAP_REQ_VALE_DETACH = 4,	      /* nmreq_vale_detach */
	NETMAP_REQ_VALE_LIST = 5,	      /* nmreq_vale_list */
	NETMAP_REQ_PORT_HDR_SET = 6,	      /* nmreq_port_hdr */
	NETMAP_REQ_PORT_HDR_GET = 7,	      /* nmreq_port_hdr */
	NETMAP_REQ_VALE_NEWIF = 8,	      /* nmreq_vale_newif */
	NETMAP_REQ_VALE_DELIF = 9,	      /* none */
	NETMAP_REQ_VALE_POLLING_ENABLE = 10,  /* nmreq_vale_polling */
	NETMAP_REQ_VALE_POLLING_DISABLE = 11, /* nmreq_vale_polling */
	NETMAP_REQ_POOLS_INFO_GET = 12,	      /* nmreq_pools_info */
	NETMAP_REQ_SYNC_KLOOP_START = 13,     /* nmreq_sync_kloop_start */
	NETMAP_REQ_SYNC_KLOOP_STOP = 14,      /* none */
	NETMAP_REQ_CSB_ENABLE = 15,	      /* none; option CSB */
};

/* What every option begins with; the rest of its struct follows. */
struct nmreq_option {
	uint64_t nro_next;    /* address of the next option, 0: last */
	uint32_t nro_reqtype; /* NETMAP_REQ_OPT_* */
	uint32_t nro_status;  /* out: 0, or the errno value it failed with */
	/* Bytes with this header, for options of variable size; else 0. */
	uint64_t nro_size;
};

/* Types of options, and the struct that goes with each. */
enum {
	NETMAP_REQ_OPT_EXTMEM = 1,		/* nmreq_opt_extmem */
	NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS = 2, /* .._sync_kloop_eventfds */
	NETMAP_REQ_OPT_CSB = 3,			/* nmreq_opt_csb */
	NETMAP_REQ_OPT_SYNC_KLOOP_MODE = 4,	/* nmreq_opt_sync_kloop_mode */
	NETMAP_REQ_OPT_OFFSETS = 5,		/* nmreq_opt_offsets */
	NETMAP_REQ_OPT_MAX = 6,			/* one more than the last */
};

/* REGISTER: binds the descriptor to a port. In, and completed on success. */
struct nmreq_register {
	uint64_t nr_offset;  /* out: of the netmap_if in the mapping */
	uint64_t nr_memsize; /* out: bytes to map */
	/* In: wanted for a port that this request creates, 0: default. */
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_host_tx_rings;
	uint16_t nr_host_rx_rings;
	uint16_t nr_mem_id;	/* region; in: 0 = any */
	uint16_t nr_ringid;	/* of the modes for one ring */
	uint32_t nr_mode;	/* NR_REG_* */
	uint32_t nr_extra_bufs; /* in: wanted; out: got */
	uint64_t nr_flags;	/* NR_* below */
};

/* nr_mode: which rings. */
enum {
	NR_REG_DEFAULT = 0,	/* legacy: look at the bits in nr_ringid */
	NR_REG_ALL_NIC = 1,	/* all rings of the NIC */
	NR_REG_SW = 2,		/* all rings of the host stack */
	NR_REG_NIC_SW = 3,	/* both */
	NR_REG_ONE_NIC = 4,	/* ring nr_ringid of the NIC */
	NR_REG_PIPE_MASTER = 5, /* legacy: now a name with { */
	NR_REG_PIPE_SLAVE = 6,	/* legacy: now a name with } */
	NR_REG_NULL = 7,	/* no port at all: only memory */
	NR_REG_ONE_SW = 8,	/* ring nr_ringid of the host stack */
};

/* nr_flags. */
#define NR_MONITOR_TX 0x100 /* see what the port sends */
#define NR_MONITOR_RX 0x200 /* see what it receives */
#define NR_ZCOPY_MON 0x400  /* a monitor that swaps instead of copying */
#define NR_EXCLUSIVE 0x800  /* nobody else may bind these rings */
#define NR_RX_RINGS_ONLY 0x2000
#define NR_TX_RINGS_ONLY 0x4000
/* The program copes with a virtio-net header before each packet. */
#define NR_ACCEPT_VNET_HDR 0x8000
/* poll() syncs RX rings also without POLLIN. */
#define NR_DO_RX_POLL 0x10000
/* poll() syncs TX rings only with POLLOUT. */
#define NR_NO_TX_POLL 0x20000

/* PORT_INFO_GET: what a port has, without binding it. All out. */
struct nmreq_port_info_get {
	uint64_t nr_memsize;
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_host_tx_rings;
	uint16_t nr_host_rx_rings;
	uint16_t nr_mem_id; /* in, if the name is empty: a region */
	uint16_t pad[3];
};

/* VALE_ATTACH: puts the interface in "valeX:interface" on a switch. */
struct nmreq_vale_attach {
	struct nmreq_register reg; /* nr_mode: ALL_NIC or NIC_SW */
	uint32_t port_index;	   /* out */
	uint32_t pad1;
};

/* VALE_DETACH: the opposite. */
struct nmreq_vale_detach {
	uint32_t port_index; /* out */
	uint32_t pad1;
};

/*
 * VALE_LIST: with a name, its indexes; without one, the first port at or after
 * these indexes, its name going to the header.
 */
struct nmreq_vale_list {
	uint16_t nr_bridge_idx;
	uint16_t pad1;
	uint32_t nr_port_idx;
};

/* PORT_HDR_SET, PORT_HDR_GET: length of the virtio-net header: 0, 10, 12. */
struct nmreq_port_hdr {
	uint32_t nr_hdr_len;
	uint32_t pad1;
};

/* VALE_NEWIF: creates a port of a switch that stays; 0 = default. */
struct nmreq_vale_newif {
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_mem_id;
	uint16_t pad1;
};

/* VALE_POLLING_ENABLE, VALE_POLLING_DISABLE: poll an attached interface. */
struct nmreq_vale_polling {
	uint32_t nr_mode; /* NETMAP_POLLING_MODE_* */
	uint32_t nr_first_cpu_id;
	uint32_t nr_num_polling_cpus;
	uint32_t pad1;
};

#define NETMAP_POLLING_MODE_SINGLE_CPU 1 /* one thread for all rings */
#define NETMAP_POLLING_MODE_MULTI_CPU 2	 /* one per ring */

/* POOLS_INFO_GET: where things lie in a port's region. Also in EXTMEM. */
struct nmreq_pools_info {
	uint64_t nr_memsize;
	uint16_t nr_mem_id;
	uint16_t pad1[3];
	/* Offset of each pool, number of objects, bytes of each. */
	uint64_t nr_if_pool_offset;
	uint32_t nr_if_pool_objtotal;
	uint32_t nr_if_pool_objsize;
	uint64_t nr_ring_pool_offset;
	uint32_t nr_ring_pool_objtotal;
	uint32_t nr_ring_pool_objsize;
	uint64_t nr_buf_pool_offset;
	uint32_t nr_buf_pool_objtotal;
	uint32_t nr_buf_pool_objsize;
};

/*
 * SYNC_KLOOP_START: the ioctl stays in a loop that syncs all bound rings by
 * their CSB lines, until another thread sends SYNC_KLOOP_STOP.
 */
struct nmreq_sync_kloop_start {
	uint32_t sleep_us; /* between two turns, at most a second */
	uint32_t pad1;
};

/* EXTMEM: the region shall lie in memory of the program. */
struct nmreq_opt_extmem {
	struct nmreq_option nro_opt;
	uint64_t nro_usrptr;		  /* its address, of whole pages */
	struct nmreq_pools_info nro_info; /* in: 0 = default; out: real */
};

/* SYNC_KLOOP_EVENTFDS: one pair per bound ring, TX first. */
struct nmreq_opt_sync_kloop_eventfds {
	struct nmreq_option nro_opt; /* nro_size: with eventfds[] */
	struct {
		int32_t ioeventfd; /* the program's kick; < 0: poll */
		int32_t irqfd;	   /* its wake-up */
	} eventfds[];
};

/* SYNC_KLOOP_MODE: sync where the kick arrives instead of in the loop. */
struct nmreq_opt_sync_kloop_mode {
	struct nmreq_option nro_opt;
	uint32_t mode; /* NM_OPT_SYNC_KLOOP_* */
	uint32_t pad1;
};

#define NM_OPT_SYNC_KLOOP_DIRECT_TX 1
#define NM_OPT_SYNC_KLOOP_DIRECT_RX 2

/* CSB: addresses of two arrays, one line per bound ring, TX first. */
struct nmreq_opt_csb {
	struct nmreq_option nro_opt;
	uint64_t csb_atok; /* struct nm_csb_atok[] */
	uint64_t csb_ktoa; /* struct nm_csb_ktoa[] */
};

/*
 * OFFSETS: packets begin at an offset in their buffer, which is in the bits of
 * slot->ptr that ring->offset_mask names.
 */
struct nmreq_opt_offsets {
	struct nmreq_option nro_opt;
	uint64_t nro_max_offset;     /* largest that will be used */
	uint64_t nro_initial_offset; /* what all slots get at first */
	uint32_t nro_offset_bits;    /* of ptr; 0: all */
	uint32_t nro_tx_align;
	uint64_t
		nro_min_gap; /* bytes at buffers' ends that are never written */
};

/* All requests; the argument is a struct nmreq_header. */
#define NIOCCTRL _IOWR('i', 151, struct nmreq_header)
/* Sync the bound rings: no argument, never wait. */
#define NIOCTXSYNC _IO('i', 148)
#define NIOCRXSYNC _IO('i', 149)

#ifdef __cplusplus
}
#endif

#include <net/netmap_legacy.h>

#endif
