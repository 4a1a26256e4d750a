/* SPDX-License-Identifier: BSD-2-Clause */
/* tuple3/tuple3.h - user-level stacks share addresses, port by port. */
#ifndef MODULE_TUPLE3_TUPLE3_H
#define MODULE_TUPLE3_TUPLE3_H
/*
 * Theory of operation
 *
 * A claim says: packets to this IP address, protocol (TCP or UDP) and
 * destination port go to that switch port, and nobody else sends from there.
 * docs/tuple3.md is the user's view, with all rules.
 *
 *   default port   the host's stack: gets what nobody claimed
 *   uplink port    the network
 *   any other      a claimant: may send from what it claimed, nothing else
 *
 *   from       destination claimed   its address claimed    else
 *   uplink     claimant              default                default
 *   default    claimant              uplink                 uplink
 *   claimant   claimant              default                uplink, or default
 *
 * Files
 *   table.h    keys to values: the only thing that look-ups need
 *   quick.h    those of IPv4 in short, for lookup.c alone
 *   parse.h    IP packets to keys
 *   lookup.c   TCP and UDP over IP without options, on workers (hot)
 *   full.c     all the rest: ARP, ND, ICMP, fragments, options (workers)
 *   frag.c     what became of first fragments (workers)
 *   claims.c   makes and ends claims (control)
 *   config.c   options, ports, and the module itself (control)
 *   command.c  the methods tuple3.* (control)
 *
 * Three kinds of keys are in one table; meta tells them apart:
 *
 *   claim     (address, protocol, port)       value: port index + 1
 *   address   (address, protocol 0, port 0)   value: 1 << 32 | a verdict that
 *             leads to all who claimed something there: a port, or a set
 *   owner     (address, T3_OWNER, port index) value: 1; that switch port
 *             claimed something there
 *
 * Which port is the default and which the uplink is one atomic word, ways.
 *
 * Limits: option claims, in all. An address that several ports share takes a
 * port set, of which a switch has about 65,000. What is at a limit is refused
 * when it is claimed. All memory is given back when claims end.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/module.h"
#include "core/port.h"
#include "core/rcu.h"
#include "module/tuple3/frag.h"
#include "module/tuple3/quick.h"
#include "module/tuple3/table.h"

enum {
	T3_PORTS = GLEN_PORTS_MAX,
	T3_NO_PORT = 0xffff,
	T3_OWNER = 255, /* in place of a protocol */
	T3_CLAIMS = 131072,
	T3_CLAIMS_MAX = 1 << 20,
	T3_TCP = 6,
	T3_UDP = 17,
};

/* Its own drop reasons, in the order of tuple3_drops. */
enum t3_drop {
	T3_UNCLAIMED,
	T3_SPOOFED,
	T3_NOT_IP,
	T3_BAD_IP,
	T3_BAD_CSUM,
	T3_BAD_L4,
	T3_HEADERS,
	T3_FRAGMENT,
	T3_ADDRESS,
	T3_ICMP,
	T3_PROTOCOL,
	T3_BAD_ARP,
	T3_DROPS,
};

/* A claim, an address or an owner; see above. Control only. */
struct t3_entry {
	struct t3_key key;
	uint32_t port;	/* claim: index */
	uint32_t count; /* address: ports; owner: claims */
	uint32_t set;	/* address: of its ports; GLEN_SETS_MAX + 1: none */
	struct t3_entry *next, **prev; /* claim: in its port's list */
};

/* A port of the switch. Control only. */
struct t3_port {
	const char *name; /* NULL: not there */
	struct t3_entry *claims;
	uint32_t n_claims;
};

struct t3_allow;

/* What the user chose. */
struct t3_options {
	char other[PORT_NAME_SIZE];  /* default; "": drop */
	char uplink[PORT_NAME_SIZE]; /* "": none */
	long claims;
	struct t3_allow *allow; /* who may claim what; NULL: all, anything */
	json_t *allow_text;	/* as it was given, or NULL */
};

struct tuple3 {
	struct t3_table table;
	struct t3_quick quick; /* claims and addresses of IPv4, once more */
	/* default port | uplink port << 16 | verdict to both << 32: a set if
	 * there are two. Control writes. */
	_Atomic uint64_t ways;
	/* Of claimants' packets, and of the others'. */
	struct t3_frags frags[2];
	/* Control only, from here on. */
	const struct glen_module_env *env;
	struct t3_options options;
	uint32_t both; /* the set of both; GLEN_SETS_MAX + 1: none */
	uint32_t n_claims;
	struct t3_port ports[T3_PORTS];
};

/* A claim as it is asked for. */
struct t3_claim {
	struct t3_key key; /* port 0: any */
	uint16_t port;	   /* host order */
};

/* What is the same for a whole batch. */
struct t3_look {
	struct tuple3 *t;
	const struct t3_array *table;
	const struct t3_quick_array *quick;
	const struct glen_lookup *ctx;
	uint64_t own;	      /* value of the source port's claims */
	uint64_t usual;	      /* value of most sources: own, or 0 */
	uint32_t away, local; /* verdicts: see above, "else" and "address" */
	uint32_t ways;	      /* ways, without the set */
	uint32_t both;	      /* verdict to default and uplink */
	bool claimant;	      /* the source is neither */
	bool ask_local;	      /* local is not the same as away */
};

extern const struct module_builtin module_tuple3;
extern const struct glen_module_drop tuple3_drops[];

ISA_DECLARE(extern __typeof__(*(module_lookup)NULL), tuple3_lookup);

/* full.c, worker: the verdict of a packet that is not the simplest kind. */
uint32_t t3_full(const struct t3_look *l, struct glen_batch *b, unsigned i);

/* allow.c, control: reads option allow, NULL for none. *allow is the caller's,
 * to be freed. */
int t3_allow_read(json_t *object, struct t3_allow **allow,
		  struct glen_error *error);
/* The port may claim the key; its meta has a port number. */
bool t3_allowed(const struct t3_allow *allow, const char *port,
		const struct t3_key *key);

/* claims.c, control: ends claims that are not allowed any more. */
void t3_disallow(struct tuple3 *t);

/* claims.c, control. All or nothing; a port of 0 is filled in. -EADDRINUSE,
 * -EACCES (option allow), -ENOSPC, -ENOMEM; error says who has it. */
int t3_claim(struct tuple3 *t, unsigned port, struct t3_claim *claims,
	     unsigned n, struct glen_error *error);
/* All or nothing; -ENOENT: the port has no such claim. */
int t3_release(struct tuple3 *t, unsigned port, const struct t3_claim *claims,
	       unsigned n, struct glen_error *error);
/* The port has gone. */
void t3_release_all(struct tuple3 *t, unsigned port);
/* For sentences: "10.0.0.1 tcp 80". */
enum { T3_TEXT_SIZE = 64 };
const char *t3_text(const struct t3_key *key, char text[T3_TEXT_SIZE]);
/* "10.0.0.1"; the family. */
int t3_ip_text(const struct t3_key *key, char *text, size_t size);

/* command.c, control: the methods tuple3.*, see docs/control.md. */
int t3_command(void *state, const char *method, json_t *params, json_t **result,
	       struct glen_error *error);

/* A packet whose source has the value from may not come from this port: it is
 * the port's own, or, unless the port is a claimant, nobody's. */
static inline bool t3_is_spoofed(const struct t3_look *l, uint64_t from)
{
	return __builtin_expect(from != l->usual && from != l->own, 0);
}

static inline bool t3_is_local(const struct t3_look *l,
			       const struct t3_key *dst)
{
	struct t3_key key = { dst->a0, dst->a1, dst->meta & 0xff000000 };

	return t3_find(l->table, &key, t3_hash(l->table, &key)) != 0;
}

/* What becomes of a packet to dst; from is the value of its source, to that of
 * its destination. */
static inline uint32_t t3_verdict(const struct t3_look *l, uint64_t from,
				  uint64_t to, const struct t3_key *dst)
{
	if (t3_is_spoofed(l, from))
		return glen_drop(T3_SPOOFED);
	if (to)
		return glen_to_port((uint32_t)to - 1);
	if (l->ask_local && t3_is_local(l, dst))
		return l->local;
	return l->away;
}

#endif
