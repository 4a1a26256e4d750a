/* SPDX-License-Identifier: BSD-2-Clause */
/* nf_flow.h - a table of an NF's state per flow, for one thread. */
#ifndef GLEN_NF_FLOW_H
#define GLEN_NF_FLOW_H
/*
 * Theory of operation
 *
 * A flow is IPv4 or IPv6 addresses, protocol and, of TCP, UDP and SCTP, ports,
 * read behind up to two VLAN tags. What has none of that has no flow: packets
 * that are not IP, fragments, IPv6 packets with extension headers, and those
 * whose header ends early.
 *
 * The table belongs to one thread, which is enough as the packets of a flow
 * come to one thread as long as the set of instances does not change. Its size
 * is chosen once: it takes memory for all flows at the start and never grows. A
 * bucket has 8 places; a flow can be in the places of one bucket only. It ends
 * when it has not been looked up for idle_ns; nothing runs for that: its place
 * counts as free. If all places of its bucket are in use, a new flow finds no
 * place (NULL) and full is counted; nobody else's state is lost for it. There
 * are twice as many places as max_flows. That can happen long before max_flows:
 * of 500 flows in a table for 1,000 one found no place, in one for 4,000 none.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glen/nf.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum { GLEN_NF_FLOWS_MAX = 1 << 22 };

struct glen_nf_flow_key {
	uint8_t src[16], dst[16];    /* of IPv4 the first four, then 0 */
	uint16_t src_port, dst_port; /* as on the wire */
	uint8_t protocol;
	uint8_t version; /* 4, 6 */
	uint8_t zero[2];
};

struct glen_nf_flow_config {
	unsigned max_flows;  /* 1 to GLEN_NF_FLOWS_MAX */
	unsigned state_size; /* bytes of the NF's own per flow; at most 4096 */
	uint64_t idle_ns;    /* 0: flows do not end */
	bool both;	     /* both directions are one flow */
	/* A flow ended by time: its state, before somebody else's place it
	 * becomes. NULL: nobody cares. */
	void (*ended)(void *state, void *arg);
	void *arg;
};

struct glen_nf_flow_table;

/* *table is the caller's. -EINVAL, -ENOMEM. */
int glen_nf_flow_create(struct glen_nf_flow_table **table,
			const struct glen_nf_flow_config *config);
/* Calls ended() for all flows that are left. NULL is fine. */
void glen_nf_flow_destroy(struct glen_nf_flow_table *table);

/* The flow of a packet. False: it has none. */
bool glen_nf_flow_key(const struct glen_nf_packet *p,
		      struct glen_nf_flow_key *key);

/*
 * The state of a flow; NULL: it is not known, or with make: there is no place
 * for it. *fresh (if not NULL): it was made by this call, and is all zero. With
 * both, *reverse (if not NULL): the key is that of the direction opposite to
 * the one that made it. now_ns: as of glen_nf_now_ns(). Valid until the flow
 * ends.
 */
void *glen_nf_flow_find(struct glen_nf_flow_table *table,
			const struct glen_nf_flow_key *key, uint64_t now_ns,
			bool make, bool *fresh, bool *reverse);

/* Forgets a flow; ended() is not called. False: it is not known. */
bool glen_nf_flow_remove(struct glen_nf_flow_table *table,
			 const struct glen_nf_flow_key *key);

/* Flows that found no place, ever. */
uint64_t glen_nf_flow_full(const struct glen_nf_flow_table *table);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
