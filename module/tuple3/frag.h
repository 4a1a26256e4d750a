/* SPDX-License-Identifier: BSD-2-Clause */
/* tuple3/frag.h - later fragments follow the first one. */
#ifndef MODULE_TUPLE3_FRAG_H
#define MODULE_TUPLE3_FRAG_H
/*
 * Theory of operation
 *
 * Only the first fragment of a packet has ports. Its verdict is kept here
 * under (source port, addresses, protocol, identification), and the others
 * take it. There are FRAG_BUCKETS times FRAG_WAYS entries, each for
 * FRAG_SECONDS; a new one replaces the oldest in its bucket, which costs that
 * packet its later fragments and nothing else.
 *
 * Workers share the table. A bucket has a lock that is tried for a moment: who
 * does not get it keeps nothing, or finds nothing. Control waits for it.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	FRAG_BUCKETS = 1024,
	FRAG_WAYS = 4,
	FRAG_SECONDS = 30,
	FRAG_TRIES = 100,
};

/* What the fragments of a packet have in common. */
struct t3_frag_key {
	uint64_t src[2], dst[2];
	uint32_t id;
	uint16_t port;	   /* of the switch */
	uint16_t protocol; /* 0 with IPv6, where it is not part of it */
};

struct t3_frag {
	struct t3_frag_key key;
	uint32_t verdict;
	uint32_t until_s; /* 0: free */
};

struct t3_frags {
	uint64_t seed; /* const */
	struct {
		_Atomic bool locked;
		struct t3_frag way[FRAG_WAYS]; /* under the lock */
	} bucket[FRAG_BUCKETS];
};

/* Worker. */
void t3_frag_keep(struct t3_frags *f, const struct t3_frag_key *key,
		  uint32_t verdict, uint32_t now_s);
/* Worker: false: not known. */
bool t3_frag_find(struct t3_frags *f, const struct t3_frag_key *key,
		  uint32_t now_s, uint32_t *verdict);
/* Control: forgets what comes from a port or goes to it. */
void t3_frag_forget(struct t3_frags *f, unsigned port);

#endif
