/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap_libs.h - nm_open() and its family, in the header alone. */
#ifndef NET_NETMAP_LIBS_H
#define NET_NETMAP_LIBS_H
/*
 * Theory of operation
 *
 * These functions make a netmap port look like a capture handle of libpcap:
 * nm_open() opens, binds and maps a port, nm_inject() and nm_dispatch() copy
 * into TX rings and call back for what lies in RX rings. Neither makes a system
 * call: the caller polls, or syncs with ioctl(), in between.
 *
 * Include net/netmap_user.h with NETMAP_WITH_LIBS defined, not this file. The
 * functions use the legacy request NIOCREGIF. A descriptor and its rings are
 * used by one thread at a time.
 *
 * Names of ports:
 *
 *   netmap:NAME[rings][/flags][@N]     an interface
 *   valeX:NAME[rings][/flags][@N]      a port of switch valeX
 *
 *   rings   none: all of the NIC   -N one of them   ^ host stack   * both
 *           {N }N: the one or other end of pipe N of the port
 *   flags   x: nobody else   R T: only RX or TX rings
 *           t r: see what the port sends, receives   z: swapping (with t or r)
 *   @N      in region N
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <net/netmap_user.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nm_desc;

/* A packet; the first three members are those of pcap_pkthdr. */
struct nm_pkthdr {
	struct timeval ts; /* when its ring was synced */
	uint32_t caplen;   /* bytes at buf, one behind the other */
	uint32_t len;	   /* bytes of the packet, in all its slots */
	uint64_t flags;	   /* NM_MORE_PKTS */
	struct nm_desc *d;
	struct netmap_slot *slot; /* the first one */
	uint8_t *buf;
};

/* nm_pkthdr.flags: this call of nm_dispatch() has more packets. */
#define NM_MORE_PKTS 1

/* As pcap_stat. */
struct nm_stat {
	unsigned int ps_recv;
	unsigned int ps_drop;
	unsigned int ps_ifdrop;
};

#define NM_ERRBUF_SIZE 512

struct nm_desc {
	struct nm_desc *self; /* this struct: so it is recognised */
	int fd;
	void *mem; /* the mapped region */
	size_t memsize;
	int done_mmap; /* mem is ours to unmap */
	struct netmap_if *nifp;
	/* Bound rings, ends included; none if first > last. */
	uint16_t first_tx_ring, last_tx_ring, cur_tx_ring;
	uint16_t first_rx_ring, last_rx_ring, cur_rx_ring;
	struct nmreq req;     /* as NIOCREGIF returned it */
	struct nm_pkthdr hdr; /* of the packet in nm_dispatch() */
	/* To tell addresses of buffers from others. */
	struct netmap_ring *some_ring;
	void *buf_start;
	void *buf_end;
	/* For users that come from libpcap; not used here. */
	int snaplen;
	int promisc;
	int to_ms;
	char *errbuf;
	uint32_t if_flags;
	uint32_t if_reqcap;
	uint32_t if_curcap;
	struct nm_stat st;
	char msg[NM_ERRBUF_SIZE];
};

#define P2NMD(p) ((struct nm_desc *)(p))
/* True for what nm_open() returned, also behind another pointer's type. */
#define IS_NETMAP_DESC(d) ((d) && P2NMD(d)->self == P2NMD(d))
#define NETMAP_FD(d) (P2NMD(d)->fd)

/* Called for each packet; d is nm_pkthdr.buf. */
typedef void (*nm_cb_t)(unsigned char *arg, const struct nm_pkthdr *hdr,
			const unsigned char *d);

/*
 * Flags of nm_open(): what to take from the parent. NETMAP_NO_TX_POLL and
 * NETMAP_DO_RX_POLL may be added.
 */
enum {
	NM_OPEN_NO_MMAP = 0x040000, /* map nothing, or the parent's memory */
	NM_OPEN_IFNAME = 0x080000,  /* nr_name, nr_ringid, nr_flags */
	NM_OPEN_ARG1 = 0x100000,
	NM_OPEN_ARG2 = 0x200000,
	NM_OPEN_ARG3 = 0x400000,
	NM_OPEN_RING_CFG = 0x800000, /* numbers of rings and slots */
};

/* Room for nm_parse()'s message. */
#define MAXERRMSG 80

/* 1 if all of [s, e) may stand in a name of a switch or its port. */
static inline int nm_is_identifier(const char *s, const char *e)
{
	while (s < e && (isalnum((unsigned char)*s) || *s == '_'))
		s++;
	return s == e;
}

/* nm_parse() failed: the reason goes to err. */
static inline int nm_parse_error_(char *err, const char *why)
{
	snprintf(err, MAXERRMSG, "%s", why);
	errno = EINVAL;
	return -1;
}

/* The number at *s, which moves past it; -1: none, or above max. */
static inline long nm_parse_number_(const char **s, long max)
{
	long n = 0;

	if (!isdigit((unsigned char)**s))
		return -1;
	for (; isdigit((unsigned char)**s); ++*s) {
		n = n * 10 + (**s - '0');
		if (n > max)
			return -1;
	}
	return n;
}

/* The mode at *s, which moves past it. */
static inline int nm_parse_mode_(const char **s, struct nmreq *req, char *err)
{
	static const char modes[] = "-^*{}";
	static const uint8_t regs[] = { NR_REG_ONE_NIC, NR_REG_SW,
					NR_REG_NIC_SW, NR_REG_PIPE_MASTER,
					NR_REG_PIPE_SLAVE };
	const char *found = **s ? strchr(modes, **s) : NULL;
	long number;

	req->nr_flags = NR_REG_ALL_NIC;
	if (!found)
		return 0;
	++*s;
	req->nr_flags = regs[found - modes];
	if (*found == '^' || *found == '*')
		return 0;
	number = nm_parse_number_(s, NETMAP_RING_MASK - 1);
	if (number < 0)
		return nm_parse_error_(err, "after -, { or } a number from "
					    "0 to 4094 must follow");
	req->nr_ringid |= (uint16_t)number;
	return 0;
}

/* The flags at *s, behind the slash. */
static inline int nm_parse_flags_(const char **s, struct nmreq *req, char *err)
{
	static const char letters[] = "xtrzRT";
	static const uint32_t bits[] = { NR_EXCLUSIVE,	   NR_MONITOR_TX,
					 NR_MONITOR_RX,	   NR_ZCOPY_MON,
					 NR_RX_RINGS_ONLY, NR_TX_RINGS_ONLY };
	const char *found;

	for (; **s && **s != '@' && **s != '/'; ++*s) {
		found = strchr(letters, **s);
		if (!found)
			return nm_parse_error_(err,
					       "after / only the flags x, "
					       "t, r, z, R and T can follow");
		req->nr_flags |= bits[found - letters];
	}
	if ((req->nr_flags & NR_ZCOPY_MON) &&
	    !(req->nr_flags & (NR_MONITOR_TX | NR_MONITOR_RX)))
		return nm_parse_error_(err, "flag z needs t or r beside it");
	return 0;
}

/*
 * Fills d->req from a name as nm_open() takes it: nr_name, nr_ringid,
 * nr_flags, and nr_arg2 if a region is given. 0, or -1 with errno and a text
 * in err, which has room for MAXERRMSG bytes.
 */
static inline int nm_parse(const char *ifname, struct nm_desc *d, char *err)
{
	const char *s = ifname, *port = ifname;
	int is_vale = !strncmp(ifname, NM_BDG_NAME, 4), memory = 0;
	struct nmreq *req = &d->req;
	long number;

	if (is_vale) {
		port = strchr(ifname, ':');
		if (!port)
			return nm_parse_error_(err, "no : in the name of a "
						    "switch's port");
		if (!nm_is_identifier(ifname + 4, port))
			return nm_parse_error_(err, "a switch's name has only "
						    "letters, digits and _");
		port++;
	} else if (!strncmp(ifname, "netmap:", 7)) {
		s = port = ifname + 7;
	} else {
		return nm_parse_error_(err, "a name begins with netmap: or "
					    "vale");
	}
	port += strcspn(port, "-*^{}/@");
	if (is_vale && !nm_is_identifier(strchr(s, ':') + 1, port))
		return nm_parse_error_(err, "a port's name has only letters, "
					    "digits and _");
	if ((size_t)(port - s) >= sizeof(req->nr_name))
		return nm_parse_error_(err, "the name is longer than 15 "
					    "characters");
	memset(req->nr_name, 0, sizeof(req->nr_name));
	memcpy(req->nr_name, s, (size_t)(port - s));
	req->nr_ringid = 0;
	if (nm_parse_mode_(&port, req, err))
		return -1;
	while (*port) {
		if (*port == '/') {
			port++;
			if (nm_parse_flags_(&port, req, err))
				return -1;
			continue;
		}
		if (*port++ != '@')
			return nm_parse_error_(err, "after the rings only "
						    "/flags and @region can "
						    "follow");
		number = nm_parse_number_(&port, UINT16_MAX);
		if (number < 0 || memory++)
			return nm_parse_error_(err, "after @ one region from 0 "
						    "to 65535 must follow");
		req->nr_arg2 = (uint16_t)number;
	}
	return 0;
}

/* Unmaps, closes and frees what nm_open() returned. 0, or EINVAL. */
static inline int nm_close(struct nm_desc *d)
{
	if (!IS_NETMAP_DESC(d))
		return EINVAL;
	if (d->done_mmap && d->mem)
		munmap(d->mem, d->memsize);
	if (d->fd >= 0)
		close(d->fd);
	memset((void *)d, 0, sizeof(*d));
	free(d);
	return 0;
}

/*
 * Maps the port's region, unless it is the parent's, which is then used. 0, or
 * EINVAL with errno set. nm_open() has done it, unless told not to.
 */
static inline int nm_mmap(struct nm_desc *d, const struct nm_desc *parent)
{
	struct netmap_ring *ring;

	if (d->done_mmap)
		return 0;
	if (IS_NETMAP_DESC(parent) && parent->mem &&
	    parent->req.nr_arg2 == d->req.nr_arg2) {
		d->memsize = parent->memsize;
		d->mem = parent->mem;
	} else {
		d->memsize = d->req.nr_memsize;
		d->mem = mmap(NULL, d->memsize, PROT_READ | PROT_WRITE,
			      MAP_SHARED, d->fd, 0);
		if (d->mem == MAP_FAILED) {
			d->mem = NULL;
			return EINVAL;
		}
		d->done_mmap = 1;
	}
	d->nifp = NETMAP_IF(d->mem, d->req.nr_offset);
	if (d->first_rx_ring <= d->last_rx_ring)
		ring = NETMAP_RXRING(d->nifp, d->first_rx_ring);
	else
		ring = NETMAP_TXRING(d->nifp, d->first_tx_ring);
	d->some_ring = ring;
	d->buf_start = NETMAP_BUF(ring, 0);
	d->buf_end = (char *)d->mem + d->memsize;
	return 0;
}

/* Which rings the request has bound. */
static inline void nm_bound_rings_(struct nm_desc *d)
{
	const struct nmreq *req = &d->req;
	unsigned int tx = req->nr_tx_rings, rx = req->nr_rx_rings;
	unsigned int first_tx = 0, first_rx = 0, last_tx = 0, last_rx = 0;
	unsigned int ring;

	switch (req->nr_flags & NR_REG_MASK) {
	case NR_REG_SW:
		first_tx = last_tx = tx;
		first_rx = last_rx = rx;
		break;
	case NR_REG_ALL_NIC:
		last_tx = tx - 1;
		last_rx = rx - 1;
		break;
	case NR_REG_NIC_SW:
		last_tx = tx;
		last_rx = rx;
		break;
	case NR_REG_ONE_NIC:
		/* A direction without that ring is bound to its first one. */
		ring = req->nr_ringid & NETMAP_RING_MASK;
		first_tx = last_tx = ring < tx ? ring : 0;
		first_rx = last_rx = ring < rx ? ring : 0;
		break;
	default: /* the one ring of a pipe */
		break;
	}
	if (req->nr_flags & NR_RX_RINGS_ONLY) {
		first_tx = 1;
		last_tx = 0;
	}
	if (req->nr_flags & NR_TX_RINGS_ONLY) {
		first_rx = 1;
		last_rx = 0;
	}
	d->first_tx_ring = d->cur_tx_ring = (uint16_t)first_tx;
	d->first_rx_ring = d->cur_rx_ring = (uint16_t)first_rx;
	d->last_tx_ring = (uint16_t)last_tx;
	d->last_rx_ring = (uint16_t)last_rx;
}

/* Takes from the parent what the flags say. */
static inline void nm_inherit_(struct nmreq *req, const struct nmreq *parent,
			       uint64_t flags)
{
	if (flags & NM_OPEN_ARG1)
		req->nr_arg1 = parent->nr_arg1;
	if (flags & NM_OPEN_ARG2)
		req->nr_arg2 = parent->nr_arg2;
	if (flags & NM_OPEN_ARG3)
		req->nr_arg3 = parent->nr_arg3;
	if (flags & NM_OPEN_RING_CFG) {
		req->nr_tx_slots = parent->nr_tx_slots;
		req->nr_rx_slots = parent->nr_rx_slots;
		req->nr_tx_rings = parent->nr_tx_rings;
		req->nr_rx_rings = parent->nr_rx_rings;
	}
	if (flags & NM_OPEN_IFNAME) {
		memcpy(req->nr_name, parent->nr_name, sizeof(req->nr_name));
		req->nr_ringid = parent->nr_ringid;
		req->nr_flags = parent->nr_flags;
	}
}

/*
 * Opens, binds and maps a port. req may give the request's other members; NULL:
 * zero. parent may give members, as flags say, and its mapping, if both ports
 * are in the same region; it must then stay open. NULL with errno and a line on
 * stderr; errno is 0 and nothing is printed if the name is not one of netmap's,
 * so that a program can try it as a name of something else.
 */
static inline struct nm_desc *nm_open(const char *ifname,
				      const struct nmreq *req, uint64_t flags,
				      const struct nm_desc *parent)
{
	char err[MAXERRMSG] = "";
	struct nm_desc *d;
	int error;

	if (strncmp(ifname, "netmap:", 7) &&
	    strncmp(ifname, NM_BDG_NAME, strlen(NM_BDG_NAME))) {
		errno = 0;
		return NULL;
	}
	d = (struct nm_desc *)calloc(1, sizeof(*d));
	if (!d) {
		errno = ENOMEM;
		return NULL;
	}
	d->self = d;
	d->fd = -1;
	if (req)
		d->req = *req;
	if (nm_parse(ifname, d, err))
		goto fail;
	d->req.nr_version = NETMAP_API;
	if (IS_NETMAP_DESC(parent))
		nm_inherit_(&d->req, &parent->req, flags);
	d->req.nr_ringid |= (uint16_t)(flags &
				       (NETMAP_NO_TX_POLL | NETMAP_DO_RX_POLL));
	d->fd = open(NETMAP_DEVICE_NAME, O_RDWR);
	if (d->fd < 0) {
		snprintf(err, sizeof(err), "cannot open %s: %s",
			 NETMAP_DEVICE_NAME, strerror(errno));
		goto fail;
	}
	if (ioctl(d->fd, NIOCREGIF, &d->req)) {
		snprintf(err, sizeof(err), "cannot bind the port: %s",
			 strerror(errno));
		goto fail;
	}
	nm_bound_rings_(d);
	if ((parent || !(flags & NM_OPEN_NO_MMAP)) && nm_mmap(d, parent)) {
		snprintf(err, sizeof(err), "cannot map the region: %s",
			 strerror(errno));
		goto fail;
	}
	return d;
fail:
	error = errno;
	nm_debug_("nm_open", __LINE__, "%s: %s", ifname, err);
	nm_close(d);
	errno = error ? error : EINVAL;
	return NULL;
}

/*
 * Copies a packet into the bound TX rings' first free slots, as many as it
 * needs. Its size, or 0 if no ring has room: sync or poll and try again.
 */
static inline int nm_inject(struct nm_desc *d, const void *buf, size_t size)
{
	unsigned int n = (unsigned int)(d->last_tx_ring - d->first_tx_ring + 1);
	unsigned int ri = d->cur_tx_ring;

	if (d->first_tx_ring > d->last_tx_ring)
		return 0;
	for (; n; n--, ri = ri == d->last_tx_ring ? d->first_tx_ring : ri + 1) {
		if (!nm_ring_put_(NETMAP_TXRING(d->nifp, ri), buf, size))
			continue;
		d->cur_tx_ring = (uint16_t)ri;
		return (int)size;
	}
	return 0;
}

/* Takes the ring's next packet, all its slots, into d->hdr. */
static inline void nm_take_(struct nm_desc *d, struct netmap_ring *ring)
{
	uint32_t at = ring->head;
	struct netmap_slot *slot = &ring->slot[at];
	uint8_t *end = (uint8_t *)NETMAP_BUF(ring, slot->buf_idx);

	d->hdr.ts = ring->ts;
	d->hdr.d = d;
	d->hdr.slot = slot;
	d->hdr.buf = end;
	d->hdr.len = d->hdr.caplen = slot->len;
	end += slot->len;
	for (at = nm_ring_next(ring, at);
	     (slot->flags & NS_MOREFRAG) && at != ring->tail;
	     at = nm_ring_next(ring, at)) {
		slot = &ring->slot[at];
		d->hdr.len += slot->len;
		/* Do the bytes go on where the last slot's ended? */
		if (end == (uint8_t *)NETMAP_BUF(ring, slot->buf_idx)) {
			d->hdr.caplen += slot->len;
			end += slot->len;
		} else {
			end = NULL;
		}
	}
	ring->head = ring->cur = at;
}

/*
 * Calls cb for at most cnt packets of the bound RX rings; 0 or -1: for all that
 * are there. Returns how many. The packets' slots go back with the next sync.
 */
static inline int nm_dispatch(struct nm_desc *d, int cnt, nm_cb_t cb,
			      unsigned char *arg)
{
	unsigned int n = (unsigned int)(d->last_rx_ring - d->first_rx_ring + 1);
	unsigned int ri = d->cur_rx_ring;
	int got = 0;

	if (d->first_rx_ring > d->last_rx_ring)
		return 0;
	if (!cnt)
		cnt = -1;
	/* One packet behind, to know whether there are more. */
	for (; n && got != cnt;
	     n--, ri = ri == d->last_rx_ring ? d->first_rx_ring : ri + 1) {
		struct netmap_ring *ring = NETMAP_RXRING(d->nifp, ri);

		for (; !nm_ring_empty(ring) && got != cnt; got++) {
			if (got) {
				d->hdr.flags = NM_MORE_PKTS;
				cb(arg, &d->hdr, d->hdr.buf);
			}
			nm_take_(d, ring);
			d->cur_rx_ring = (uint16_t)ri;
		}
	}
	if (got) {
		d->hdr.flags = 0;
		cb(arg, &d->hdr, d->hdr.buf);
	}
	return got;
}

/*
 * The next slot's data and, in hdr, its time and length; NULL: there is none.
 * It stays valid until the next sync. A packet of several slots takes several
 * calls. Sets only the members of hdr that pcap_pkthdr has.
 */
static inline unsigned char *nm_nextpkt(struct nm_desc *d,
					struct nm_pkthdr *hdr)
{
	unsigned int n = (unsigned int)(d->last_rx_ring - d->first_rx_ring + 1);
	unsigned int ri = d->cur_rx_ring;

	if (d->first_rx_ring > d->last_rx_ring)
		return NULL;
	for (; n; n--, ri = ri == d->last_rx_ring ? d->first_rx_ring : ri + 1) {
		struct netmap_ring *ring = NETMAP_RXRING(d->nifp, ri);
		struct netmap_slot *slot = &ring->slot[ring->head];

		if (nm_ring_empty(ring))
			continue;
		hdr->ts = ring->ts;
		hdr->len = hdr->caplen = slot->len;
		ring->head = ring->cur = nm_ring_next(ring, ring->head);
		d->cur_rx_ring = (uint16_t)ri;
		return (unsigned char *)NETMAP_BUF(ring, slot->buf_idx);
	}
	return NULL;
}

#ifdef __cplusplus
}
#endif
#endif
