/* SPDX-License-Identifier: BSD-2-Clause */
/* track.h - connections that the firewall knows of, of one thread. */
#ifndef NF_FIREWALL_TRACK_H
#define NF_FIREWALL_TRACK_H
/*
 * Theory of operation
 *
 * A connection is a flow of glen/nf_flow.h, both directions, or an ICMP echo's
 * addresses and identifier. It is in one of three tables, each with a time-out
 * of its own after the last packet:
 *
 *   opening  made by a packet that a rule accepted; nobody has answered yet, or
 *            a TCP handshake is not complete, or both sides have closed
 *   tcp      handshake complete
 *   other    UDP and all else that was answered
 *
 * So whoever opens connections that nobody answers fills the first table only,
 * and those that are up stay. A connection for which the first table has no
 * place is not made (its packet is dropped); one for which the second has none
 * stays in the first.
 *
 * TCP, by direction (> of the side that opened, < of the other):
 *
 *   none --SYN>--> SYN --SYN+ACK<--> ANSWERED --ACK>--> UP --FIN>FIN<--> CLOSED
 *     any of them --RST--> gone, if its number is the one that the receiver
 *     acknowledged last, or the connection is not up; SYN> in CLOSED: none
 *
 * A packet that is not one of those arrows where one is needed is invalid and
 * changes nothing, as are flags that cannot be. Sequence numbers are looked at
 * in RST only. With loose, a TCP packet of no connection is as a SYN is, and
 * its connection is up when both sides were seen.
 *
 * States: what makes a connection and is not answered yet is new; after that
 * all of it is established. ICMP errors that quote a packet of a connection and
 * go to its sender are related, others invalid. Untracked: what is not IP,
 * fragments, IPv6 extension headers, ICMP that is neither echo nor error (so
 * neighbour discovery, too). What headers contradict (CLASSIFIER_L_ODD) is
 * invalid.
 *
 * Checksums and VLAN tags are not looked at. A packet's connection moves on
 * when it is looked up, even if a rule then drops it.
 */
#include "include/glen/nf_flow.h"
#include "nf/firewall/rules.h"

struct fw_limits {
	unsigned flows; /* places of each table */
	uint64_t opening_ns, tcp_ns, other_ns;
	bool loose;
};

struct fw_track;

/* What a packet says of its connection. */
struct fw_seen {
	struct glen_nf_flow_key key;
	bool tcp;
	uint8_t flags;
	uint32_t seq, ack;
};

/* -EINVAL, -ENOMEM. */
int fw_track_create(struct fw_track **track, const struct fw_limits *limits);
void fw_track_destroy(struct fw_track *track);

/*
 * The state of a packet, whose word CLASSIFIER_L4 of its key is l4. *fresh: it
 * is new and of no connection; if it is accepted, fw_track_make() is to be
 * called with what is in *seen.
 */
enum fw_state fw_track_look(struct fw_track *track,
			    const struct glen_nf_packet *p, uint64_t l4,
			    uint64_t now_ns, struct fw_seen *seen, bool *fresh);
/* False: no place. */
bool fw_track_make(struct fw_track *track, const struct fw_seen *seen,
		   uint64_t now_ns);

#endif
