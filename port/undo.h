/* SPDX-License-Identifier: BSD-2-Clause */
/* undo.h - what is to be put back on an interface, as data. */
#ifndef PORT_UNDO_H
#define PORT_UNDO_H
/*
 * Theory of operation
 *
 * Drivers of the host's interfaces change things that the kernel does not put
 * back by itself: an offload switched off, a filter of tc. Each such change is
 * described by a struct undo before it is made. The driver puts it back when
 * its port closes; should glend be killed first, its guard does (port/guard.h),
 * a process that holds the same descriptions and little else.
 *
 * So undo_run() allocates nothing and needs no state but its arguments: the
 * description, and a route netlink socket of the interface's namespace. That
 * socket also takes ethtool's ioctls, so nobody has to enter the namespace.
 * Interfaces are named by their number: a renamed one is still found, and one
 * that is gone is no error, since everything went with it.
 *
 * One process at a time may use a socket; who copies one to another process
 * leaves it alone from then on.
 */
#include <stdbool.h>
#include <stdint.h>

#include <linux/netlink.h>

/* Offloads of an interface that can be on (1) or off (0). */
enum netdev_setting {
	NETDEV_RXCSUM,
	NETDEV_TXCSUM,
	NETDEV_TSO,
	NETDEV_GSO,
	NETDEV_GRO,
	NETDEV_LRO,
	NETDEV_RXVLAN, /* tags are taken out of received frames */
	NETDEV_TXVLAN,
	NETDEV_SETTINGS,
};

enum undo_kind {
	UNDO_NOTHING,
	UNDO_SETTING, /* what: enum netdev_setting; value: what it was */
	UNDO_FILTER,  /* remove our filter of tc; what: its parent */
	UNDO_CLSACT,  /* remove the qdisc clsact if it has no filter left */
};

struct undo {
	uint32_t kind; /* enum undo_kind */
	uint32_t ifindex;
	uint32_t what;
	uint32_t value;
};

/* Where our filters of tc sit: one per hook of an interface. */
enum { UNDO_FILTER_PRIO = 0x676c, UNDO_FILTER_HANDLE = 1 };

/* A socket for the functions below, in the namespace of the calling thread;
 * -errno. */
int undo_socket(void);

/* Puts it back: 0, also if there is nothing left to put back, or -errno. */
int undo_run(int sock, const struct undo *undo);

/* The name of an interface, IFNAMSIZ bytes. 0 or -errno. */
int undo_ifname(int sock, unsigned ifindex, char *ifname);

/* 0 or -errno; -EOPNOTSUPP: the interface has no such switch. */
int undo_setting_get(int sock, unsigned ifindex, enum netdev_setting what,
		     uint32_t *value);
int undo_setting_set(int sock, unsigned ifindex, enum netdev_setting what,
		     uint32_t value);
/* As ethtool(8) calls it. */
const char *undo_setting_name(enum netdev_setting what);

/* Sends a route netlink request; number and NLM_F_ACK are added here. Returns
 * what the kernel answered, 0 or -errno. */
int undo_request(int sock, struct nlmsghdr *request);
/* The same; each() sees what it answers before. */
int undo_query(int sock, struct nlmsghdr *request,
	       void (*each)(const struct nlmsghdr *nh, void *arg), void *arg);

#endif
