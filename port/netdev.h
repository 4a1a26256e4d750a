/* SPDX-License-Identifier: BSD-2-Clause */
/* netdev.h - an interface of the host that a port uses, and its settings. */
#ifndef PORT_NETDEV_H
#define PORT_NETDEV_H
/*
 * Theory of operation
 *
 * What the drivers xdp, packet and host have in common: they take an interface
 * that exists, use it, and leave it as it was. A struct netdev is that
 * interface as one port sees it; it knows it by its number, so renaming does no
 * harm, and has a netlink socket in its namespace.
 *
 * What lasts only as long as a descriptor needs no undoing: a packet socket's
 * promiscuous mode, a BPF link. Everything else is changed through the
 * functions below, which remember how it was, for netdev_close() and, should
 * glend be killed before, for the guards (port/guard.h).
 *
 * Settings are counted: if two ports want the same offload off, the last one
 * that goes turns it on again. Two that want different things: -EBUSY.
 *
 * Programs. netdev_prog_attach() puts a BPF program on the way in (before the
 * host's stack, after packet sockets) or out of an interface. From Linux 6.6 it
 * hangs on a descriptor (tcx); before, on a filter of tc that the guards undo.
 * With GLEN_NO_TCX in the environment it always is a filter.
 *
 * Control thread only, but for netdev_mark().
 */
#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/glen.h"
#include "port/netns.h"
#include "port/undo.h"

struct netdev {
	struct netns netns;
	char ifname[IFNAMSIZ]; /* when it was opened */
	unsigned ifindex;
	uint8_t mac[6];
	int sock; /* netlink, in its namespace; -1: closed */
	uint16_t settings[NETDEV_SETTINGS]; /* times each was asked for */
};

/* Letters, digits and _ . -, fewer than IFNAMSIZ. */
int netdev_name_check(const char *ifname, struct glen_error *error);

/*
 * Finds Ethernet interface ifname in the namespace that params' netns names.
 * -ENODEV, -EINVAL (not Ethernet), ... with error filled.
 */
int netdev_open(struct netdev *dev, const char *ifname, json_t *params,
		struct glen_error *error);
/* Puts settings back. One that is not open (sock -1) is fine. */
void netdev_close(struct netdev *dev);

/* Which namespace it is in; 0: not known. */
uint64_t netdev_netns_ino(const struct netdev *dev);
/* Both are the same interface. */
bool netdev_is_same(const struct netdev *a, const struct netdev *b);

/* Runs function(arg) in the interface's namespace; see netns_call(). */
int netdev_call(struct netdev *dev, int (*function)(void *arg), void *arg,
		struct glen_error *error);

/* Its present name; -ENODEV: it was deleted or moved to another namespace. */
int netdev_ifname(const struct netdev *dev, char *ifname);
/* An XDP program sits behind its driver (generic mode). */
bool netdev_has_generic_xdp(const struct netdev *dev);
/* Flags IFF_*; 0 if it is gone. */
unsigned netdev_flags(const struct netdev *dev);
/* 0 if it is gone. */
unsigned netdev_mtu(const struct netdev *dev);

/* How many queues it has each way, at least 1. */
void netdev_queues(const struct netdev *dev, unsigned *rx, unsigned *tx);

/*
 * Sets an offload until the port closes. Nothing happens if it is so already,
 * or if the interface has no such offload and value is false. -EOPNOTSUPP: it
 * cannot be changed; -EBUSY: another port needs it otherwise.
 */
int netdev_setting_change(struct netdev *dev, enum netdev_setting what,
			  bool value, struct glen_error *error);
/* How many changes of ports are in force now; for tests. */
unsigned netdev_n_changes(void);

struct clsact;

/* A program on an interface. */
struct netdev_prog {
	int link;	       /* tcx; -1: a filter, or none */
	int filter_id;	       /* of the guards' */
	struct undo filter;    /* kind UNDO_NOTHING: none */
	struct clsact *clsact; /* what the filter hangs on; NULL: nothing */
};

struct bpf_insn;

/*
 * Loads the program (type SCHED_CLS) and attaches it to the way in or out.
 * prog, uninitialized, is filled. -EPERM, -EBUSY, ... with error filled.
 */
int netdev_prog_attach(struct netdev *dev, bool egress,
		       const struct bpf_insn *insns, unsigned n_insns,
		       struct netdev_prog *prog, struct glen_error *error);
/*
 * The same on the way in, always as a filter; packets for which the program
 * returns -1 come in at interface to next, and generic XDP programs there let
 * them pass (act_mirred; a program's own redirect they take for new ones).
 */
int netdev_prog_redirect(struct netdev *dev, const struct netdev *to,
			 const struct bpf_insn *insns, unsigned n_insns,
			 struct netdev_prog *prog, struct glen_error *error);
/* Before netdev_close(). One that is not attached (netdev_prog_none()) is
 * fine. */
void netdev_prog_detach(struct netdev *dev, struct netdev_prog *prog);
void netdev_prog_none(struct netdev_prog *prog);

/*
 * Packets that glend sends or injects on an interface whose traffic it takes
 * carry this mark (SO_MARK) while they pass our programs, which let them
 * through and wipe it. The same for all ports of a process; never 0.
 */
uint32_t netdev_mark(void);

#endif
