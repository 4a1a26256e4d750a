/* SPDX-License-Identifier: BSD-2-Clause */
/* router.h - a network function that routes IPv4 and IPv6 between ports. */
#ifndef NF_ROUTER_ROUTER_H
#define NF_ROUTER_ROUTER_H
/*
 * Theory of operation
 *
 * Each interface is a port of the group: what enters the group by that port was
 * received on the interface, and what the router sends on it leaves by the port
 * (glen_nf_out()). Interfaces, addresses and routes come from a file that is
 * read once, at the start (config.c); afterwards they do not change.
 *
 *     process() -> link header -> ARP          arp.c
 *                              -> IPv4, IPv6   ipv4.c, ipv6.c: checks
 *               -> lpm_find() of all together  router.c
 *               -> forward, local, or an error ipv4.c, ipv6.c, icmp.c, nd.c
 *               -> next hop's Ethernet address neighbour.c
 *
 * What is a route's value is a *hop*: a kind, an interface, and perhaps the
 * address of another router. An address of the router's own is a route of kind
 * LOCAL with the whole address as its prefix, so one look-up says it all.
 *
 * A *neighbour* is an address on an interface's link and what is known about
 * its Ethernet address. Packets for one that is being asked wait there: the
 * router keeps them (glen_nf_keep()), at most `queue` for each neighbour and at
 * most as many altogether as leave it some spare buffers to ask and to answer
 * with; of a neighbour's the oldest is dropped for a new one. It is asked three
 * times, a second apart; then what waits is dropped as "host_unreachable" and
 * its senders are told.
 *
 * What was read from a packet's header is copied nowhere: members of a group
 * trust each other (include/glen/nf.h). All lengths are checked against the
 * packet's before anything is read.
 *
 * Threads. The router has one thread, and a service of it one instance: the
 * answers to its questions must come to who asked. Everything here is for that
 * thread, but for start and stop.
 *
 * Limits: the enum below; neighbours and queues as the file says. Not done:
 * fragmenting (IPv4 packets that are too big are dropped and reported, with or
 * without DF), IP options (passed on unread), redirects, router advertisements,
 * VLAN tags, multicast.
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/checksum.h"
#include "include/glen/nf.h"
#include "lib/lpm.h"

enum {
	ROUTER_IFACES = 64,
	ROUTER_ADDRESSES = 16, /* of an interface, with the link-local one */
	ROUTER_NAME = 32,      /* bytes of an interface's name and its NUL */
	ROUTER_MTU_MIN = 1280,
	ROUTER_MTU_MAX = 65000,
	ROUTER_ETH = 14, /* bytes of an Ethernet header */
	ROUTER_IP6 = 40, /* of an IPv6 header */
	ROUTER_TTL = 64, /* of packets of its own */
	ROUTER_FRAME_MIN = 60,
};

#define ROUTER_NS_PER_S 1000000000ULL

/* An address; those bytes that a family does not have are 0. */
struct router_ip {
	uint8_t family; /* 4, 6; 0: none */
	uint8_t a[16];
};

enum router_kind {
	ROUTER_ON_LINK,	  /* the destination itself is the neighbour */
	ROUTER_VIA,	  /* another router is */
	ROUTER_LOCAL,	  /* an address of ours */
	ROUTER_BROADCAST, /* to all of a subnet: not passed on */
	ROUTER_BLACKHOLE, /* dropped without a word */
	ROUTER_UNREACHABLE,
	ROUTER_PROHIBIT,
};

struct router_hop {
	uint8_t kind;
	uint8_t iface;
	struct router_ip via; /* of ROUTER_VIA */
	uint32_t next;	      /* number of the next in its bucket; table.c */
};

struct router_own {
	struct router_ip ip;
	unsigned len; /* of its subnet's prefix */
};

struct router_iface {
	char name[ROUTER_NAME];
	uint8_t mac[6];
	unsigned mtu;
	unsigned port; /* number of the group's */
	unsigned n_own;
	struct router_own own[ROUTER_ADDRESSES]; /* the first: link-local */
	struct router_hop link; /* to a neighbour on this interface */
};

/* A packet that waits for a neighbour's address. */
struct router_waiting {
	struct glen_nf_packet packet;
	uint32_t next; /* number of the next one; 0: none */
};

enum router_state {
	ROUTER_FREE,
	ROUTER_ASKING,	 /* has no Ethernet address yet */
	ROUTER_KNOWN,	 /* has one */
	ROUTER_CHECKING, /* has one and is asked whether it is still so */
};

struct router_neighbour {
	struct router_ip ip;
	uint8_t iface;
	uint8_t state;
	uint8_t n_asked;
	uint8_t mac[6];
	unsigned n_waiting;
	uint32_t next;	      /* in its bucket, or of the free ones */
	uint32_t first, last; /* waiting packets, by number; 0: none */
	uint64_t confirmed_ns, asked_ns, used_ns;
};

/* Numbers begin at 1, so that 0 is nothing. */
struct router_neighbours {
	struct router_neighbour *entry;
	uint32_t *bucket;
	uint32_t n, n_used, free;
	uint32_t n_buckets; /* a power of two */
	struct router_waiting *waiting;
	uint32_t waiting_free;
	unsigned n_busy; /* being asked */
	bool ticking;	 /* the timer runs */
	uint64_t swept_ns;
};

struct router {
	struct router_iface iface[ROUTER_IFACES];
	unsigned n_ifaces;
	uint8_t by_port[GLEN_NF_PORTS_MAX]; /* number of the interface + 1 */
	struct lpm *table[2];		    /* IPv4, IPv6 */
	struct router_hop *hop; /* by number; the first is not used */
	uint32_t n_hops, size_hops;
	uint32_t hop_bucket[1024];
	/* What the file sets. */
	unsigned icmp_rate; /* errors per second; 0: none are sent */
	unsigned neighbours, queue;
	/* Running. */
	struct router_neighbours neigh;
	uint64_t icmp_credit_ns, icmp_at_ns, icmp_cost_ns;
	unsigned n_announced;
	checksum_fn *sum;
};

/* Why packets are dropped; names in reasons.c, in this order. */
enum router_reason {
	ROUTER_R_SHORT,
	ROUTER_R_BAD_ETHERNET,
	ROUTER_R_UNKNOWN_PORT,
	ROUTER_R_OTHER_STATION,
	ROUTER_R_NOT_IP,
	ROUTER_R_LINK_BROADCAST,
	ROUTER_R_BAD_IP,
	ROUTER_R_BAD_CHECKSUM,
	ROUTER_R_MARTIAN,
	ROUTER_R_MULTICAST,
	ROUTER_R_BROADCAST,
	ROUTER_R_LINK_LOCAL,
	ROUTER_R_TTL,
	ROUTER_R_NO_ROUTE,
	ROUTER_R_BLACKHOLE,
	ROUTER_R_UNREACHABLE,
	ROUTER_R_PROHIBITED,
	ROUTER_R_TOO_BIG,
	ROUTER_R_HOST_UNREACHABLE,
	ROUTER_R_NEIGHBOUR_FULL,
	ROUTER_R_QUEUE_FULL,
	ROUTER_R_NO_BUFFER,
	ROUTER_R_LOCAL,
	ROUTER_R_FRAGMENT,
	ROUTER_R_BAD_ICMP,
	ROUTER_R_BAD_ARP,
	ROUTER_R_BAD_ND,
	ROUTER_R_IGNORED,
	ROUTER_R_CONFLICT,
	ROUTER_R_CONSUMED,
};

enum router_counter {
	ROUTER_C_ARP_ASKED,
	ROUTER_C_ARP_ANSWERED,
	ROUTER_C_ND_ASKED,
	ROUTER_C_ND_ANSWERED,
	ROUTER_C_ECHO_ANSWERED,
	ROUTER_C_ERRORS_SENT,
	ROUTER_C_ERRORS_LIMITED,
	ROUTER_C_ERRORS_NO_SOURCE,
	ROUTER_C_NO_BUFFER,
	ROUTER_C_UNSENT,
	ROUTER_C_LEARNED,
	ROUTER_C_ANNOUNCED,
};

extern const struct glen_nf_program router_nf;
extern const char *const router_reasons[];
extern const char *const router_counters[];

/* config.c: what a file says. Nothing of r is used before; router_fini() is
 * the caller's, also after an error. name: of the file, for sentences. */
int router_config_read(struct router *r, const char *name, const char *text,
		       size_t len, struct glen_error *error);
/* The same with the file's contents. -errno of reading it. */
int router_config_load(struct router *r, const char *path,
		       struct glen_error *error);

/* table.c */
int router_init(struct router *r); /* -ENOMEM */
void router_fini(struct router *r);
/* Names the hop of a prefix. -EEXIST: it has one; -ENOMEM. */
int router_route_add(struct router *r, const struct router_ip *prefix,
		     unsigned len, const struct router_hop *hop);
/* One address of one interface, and what goes with it. -EEXIST, -ENOSPC,
 * -ENOMEM. */
int router_address_add(struct router *r, unsigned iface,
		       const struct router_ip *ip, unsigned len);
/* Makes the interface's link-local address of its Ethernet address. */
void router_link_local(struct router_iface *i);
/* The interface has this address. */
bool router_is_own(const struct router_iface *i, const struct router_ip *ip);
/* The address lies in a subnet of the interface. */
bool router_is_on_link(const struct router_iface *i,
		       const struct router_ip *ip);
/* Where an address leads to, seen from interface in; NULL: nowhere. */
const struct router_hop *router_lookup(const struct router *r,
				       const struct router_ip *ip, unsigned in);
/* The first len bits are those of both. */
bool router_same_prefix(const uint8_t *a, const uint8_t *b, unsigned len);
struct router_ip router_ip4(const uint8_t *bytes);
struct router_ip router_ip6(const uint8_t *bytes);
bool router_ip_equal(const struct router_ip *a, const struct router_ip *b);
bool router_is_link_local(const struct router_ip *ip);
/* The address to send from on an interface to dst; NULL: there is none. */
const struct router_ip *router_source(const struct router *r, unsigned iface,
				      const struct router_ip *dst);

/* output.c */
/*
 * What becomes of a packet that goes to a hop, which is ON_LINK or VIA; dst is
 * the packet's. mine: it is the router's, not of process()'s batch. Returns a
 * verdict; GLEN_NF_KEPT: it waits for its neighbour.
 */
uint32_t router_output(struct glen_nf_thread *t, struct router *r,
		       struct glen_nf_packet *p, const struct router_hop *hop,
		       const struct router_ip *dst, bool mine);
/* Sends a packet of the router's own by its verdict, whatever happens. */
void router_send(struct glen_nf_thread *t, struct glen_nf_packet *mine);
/* Routes and sends a packet of the router's own to dst. */
void router_send_to(struct glen_nf_thread *t, struct router *r,
		    struct glen_nf_packet *mine, const struct router_ip *dst,
		    unsigned in);
/* A packet of the router's own of len bytes, padded to a frame, with its
 * Ethernet header. NULL mac: it is filled in later. False: no buffer. */
bool router_make(struct glen_nf_thread *t, const struct router_iface *i,
		 const uint8_t *mac, unsigned type, unsigned len,
		 struct glen_nf_packet *mine);

/* neighbour.c */
int router_neighbours_init(struct router *r); /* -ENOMEM */
void router_neighbours_fini(struct router *r);
/* As router_output(). */
uint32_t router_resolve(struct glen_nf_thread *t, struct router *r,
			struct glen_nf_packet *p, unsigned iface,
			const struct router_ip *ip, bool mine);
/* Something was heard of a neighbour. make: also of one nobody asked for;
 * change: a known Ethernet address gives way to this one. */
void router_learn(struct glen_nf_thread *t, struct router *r, unsigned iface,
		  const struct router_ip *ip, const uint8_t *mac, bool make,
		  bool change);

/* arp.c; verdicts of packets that came in. */
uint32_t router_arp(struct glen_nf_thread *t, struct router *r,
		    struct glen_nf_packet *p, unsigned in);
/* mac: of the neighbour that is checked; NULL: everybody is asked. */
void router_arp_ask(struct glen_nf_thread *t, struct router *r, unsigned iface,
		    const struct router_ip *ip, const uint8_t *mac);
void router_arp_announce(struct glen_nf_thread *t, struct router *r,
			 unsigned iface, const struct router_ip *ip);

/* nd.c; ICMPv6 that is for the router, its checksum is right. */
uint32_t router_nd(struct glen_nf_thread *t, struct router *r,
		   struct glen_nf_packet *p, unsigned in);
void router_nd_ask(struct glen_nf_thread *t, struct router *r, unsigned iface,
		   const struct router_ip *ip, const uint8_t *mac);
void router_nd_announce(struct glen_nf_thread *t, struct router *r,
			unsigned iface, const struct router_ip *ip);

/*
 * ipv4.c, ipv6.c. _check: a packet as it came in, whose link address is ours or
 * a group's; true: look up its destination; false: *verdict says it all.
 * _route: what becomes of one that was looked up; hop NULL: nowhere.
 */
bool router_ipv4_check(struct glen_nf_thread *t, struct router *r,
		       struct glen_nf_packet *p, uint32_t *verdict);
uint32_t router_ipv4_route(struct glen_nf_thread *t, struct router *r,
			   struct glen_nf_packet *p,
			   const struct router_hop *hop);
bool router_ipv6_check(struct glen_nf_thread *t, struct router *r,
		       struct glen_nf_packet *p, uint32_t *verdict);
uint32_t router_ipv6_route(struct glen_nf_thread *t, struct router *r,
			   struct glen_nf_packet *p,
			   const struct router_hop *hop);

/* icmp.c: errors about packets, to who sent them, if that is allowed. */
enum router_error {
	ROUTER_E_TTL,
	ROUTER_E_NET,	     /* no route */
	ROUTER_E_HOST,	     /* the neighbour does not answer */
	ROUTER_E_PROHIBITED, /* a route says so */
	ROUTER_E_PORT,	     /* of the router itself */
	ROUTER_E_TOO_BIG,
};
/* p lies as it came in, with its IP header's checksum right; mtu: of TOO_BIG */
void router_error(struct glen_nf_thread *t, struct router *r,
		  const struct glen_nf_packet *p, enum router_error what,
		  unsigned mtu);
/* Echo requests to the router; they are turned round. */
uint32_t router_echo4(struct glen_nf_thread *t, struct router *r,
		      struct glen_nf_packet *p, unsigned in);
uint32_t router_echo6(struct glen_nf_thread *t, struct router *r,
		      struct glen_nf_packet *p, unsigned in);
/* Stores the checksum of the IPv4 header, or of ICMPv6 behind an IPv6 header
 * without extensions, len bytes. */
void router_sum_ipv4(const struct router *r, uint8_t *ip);
void router_sum_icmp6(const struct router *r, uint8_t *ip, unsigned len);
/* The header of an IPv6 packet of our own. */
void router_ipv6_header(uint8_t *ip, unsigned len, unsigned hop_limit,
			const struct router_ip *from,
			const struct router_ip *to);

/* The interface a packet came in by; it has one. */
static inline unsigned router_in(const struct router *r,
				 const struct glen_nf_packet *p)
{
	return r->by_port[p->in] - 1u;
}

#endif
