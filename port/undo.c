// SPDX-License-Identifier: BSD-2-Clause
// undo.c - puts back what was changed on an interface; allocates nothing.
#include "port/undo.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ANSWER_SIZE = 16384, ANSWER_WAIT_S = 2 };

static const struct {
	const char *name;
	uint32_t get, set;
	uint32_t flag; /* of ETHTOOL_GFLAGS; 0: a command of its own */
} settings[NETDEV_SETTINGS] = {
	[NETDEV_RXCSUM] = { "rx", ETHTOOL_GRXCSUM, ETHTOOL_SRXCSUM, 0 },
	[NETDEV_TXCSUM] = { "tx", ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0 },
	[NETDEV_TSO] = { "tso", ETHTOOL_GTSO, ETHTOOL_STSO, 0 },
	[NETDEV_GSO] = { "gso", ETHTOOL_GGSO, ETHTOOL_SGSO, 0 },
	[NETDEV_GRO] = { "gro", ETHTOOL_GGRO, ETHTOOL_SGRO, 0 },
	[NETDEV_LRO] = { "lro", ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_LRO },
	[NETDEV_RXVLAN] = { "rxvlan", ETHTOOL_GFLAGS, ETHTOOL_SFLAGS,
			    ETH_FLAG_RXVLAN },
	[NETDEV_TXVLAN] = { "txvlan", ETHTOOL_GFLAGS, ETHTOOL_SFLAGS,
			    ETH_FLAG_TXVLAN },
};

const char *undo_setting_name(enum netdev_setting what)
{
	return settings[what].name;
}

int undo_socket(void)
{
	struct timeval wait = { ANSWER_WAIT_S, 0 };
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (sock < 0)
		return -errno;
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return sock;
}

int undo_ifname(int sock, unsigned ifindex, char *ifname)
{
	struct ifreq ifr = { .ifr_ifindex = (int)ifindex };

	if (ioctl(sock, SIOCGIFNAME, &ifr))
		return -errno;
	memcpy(ifname, ifr.ifr_name, IFNAMSIZ);
	ifname[IFNAMSIZ - 1] = '\0';
	return 0;
}

static int ethtool(int sock, unsigned ifindex, struct ethtool_value *value)
{
	struct ifreq ifr = { 0 };
	int err = undo_ifname(sock, ifindex, ifr.ifr_name);

	if (err)
		return err;
	ifr.ifr_data = (void *)value;
	return ioctl(sock, SIOCETHTOOL, &ifr) ? -errno : 0;
}

int undo_setting_get(int sock, unsigned ifindex, enum netdev_setting what,
		     uint32_t *value)
{
	struct ethtool_value v = { .cmd = settings[what].get };
	int err = ethtool(sock, ifindex, &v);

	if (!err)
		*value = settings[what].flag ?
				 !!(v.data & settings[what].flag) :
				 !!v.data;
	return err;
}

int undo_setting_set(int sock, unsigned ifindex, enum netdev_setting what,
		     uint32_t value)
{
	struct ethtool_value v = { .cmd = settings[what].get };
	uint32_t flag = settings[what].flag;
	int err;

	if (flag) {
		err = ethtool(sock, ifindex, &v);
		if (err)
			return err;
		value = value ? v.data | flag : v.data & ~flag;
	}
	v.cmd = settings[what].set;
	v.data = value;
	return ethtool(sock, ifindex, &v);
}

/* A number that no other process uses at the same time on this socket. */
static uint32_t next_seq(void)
{
	static uint32_t count;

	return (uint32_t)getpid() << 12 | (++count & 0xfff);
}

/*
 * Calls each() for the messages that answer request seq, up to the last one.
 * Returns the kernel's verdict, 0 or -errno.
 */
static int answers(int sock, uint32_t seq,
		   void (*each)(const struct nlmsghdr *nh, void *arg),
		   void *arg)
{
	static union {
		struct nlmsghdr nh;
		char bytes[ANSWER_SIZE];
	} buf; /* control thread, or the guard's only one */

	for (;;) {
		ssize_t n = recv(sock, &buf, sizeof(buf), 0);
		struct nlmsghdr *nh = &buf.nh;

		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; NLMSG_OK(nh, n); nh = NLMSG_NEXT(nh, n)) {
			if (nh->nlmsg_seq != seq)
				continue;
			if (nh->nlmsg_type == NLMSG_DONE)
				return 0;
			if (nh->nlmsg_type == NLMSG_ERROR)
				return nh->nlmsg_len < NLMSG_LENGTH(
							       sizeof(int)) ?
					       -EPROTO :
					       *(int *)NLMSG_DATA(nh);
			if (each)
				each(nh, arg);
		}
	}
}

static int request_send(int sock, struct nlmsghdr *request)
{
	request->nlmsg_seq = next_seq();
	return send(sock, request, request->nlmsg_len, 0) < 0 ? -errno : 0;
}

int undo_query(int sock, struct nlmsghdr *request,
	       void (*each)(const struct nlmsghdr *nh, void *arg), void *arg)
{
	int err;

	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	err = request_send(sock, request);
	return err ? err : answers(sock, request->nlmsg_seq, each, arg);
}

int undo_request(int sock, struct nlmsghdr *request)
{
	return undo_query(sock, request, NULL, NULL);
}

struct tc_request {
	struct nlmsghdr nh;
	struct tcmsg tc;
	char attrs[16];
};

static void tc_init(struct tc_request *r, unsigned type, unsigned ifindex,
		    uint32_t parent)
{
	memset(r, 0, sizeof(*r));
	r->nh.nlmsg_len = NLMSG_LENGTH(sizeof(r->tc));
	r->nh.nlmsg_type = type;
	r->tc.tcm_family = AF_UNSPEC;
	r->tc.tcm_ifindex = (int)ifindex;
	r->tc.tcm_parent = parent;
}

static void tc_kind(struct tc_request *r, const char *kind)
{
	struct rtattr *rta = (void *)r->attrs;

	rta->rta_type = TCA_KIND;
	rta->rta_len = RTA_LENGTH(strlen(kind) + 1);
	strcpy(RTA_DATA(rta), kind);
	r->nh.nlmsg_len += RTA_ALIGN(rta->rta_len);
}

static void count_filter(const struct nlmsghdr *nh, void *arg)
{
	unsigned *n = arg;

	*n += nh->nlmsg_type == RTM_NEWTFILTER;
}

static int n_filters(int sock, unsigned ifindex, uint32_t parent, unsigned *n)
{
	struct tc_request r;
	int err;

	tc_init(&r, RTM_GETTFILTER, ifindex, parent);
	r.nh.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	err = request_send(sock, &r.nh);
	return err ? err : answers(sock, r.nh.nlmsg_seq, count_filter, n);
}

static int undo_filter(int sock, const struct undo *undo)
{
	struct tc_request r;

	tc_init(&r, RTM_DELTFILTER, undo->ifindex, undo->what);
	r.tc.tcm_handle = UNDO_FILTER_HANDLE;
	r.tc.tcm_info = TC_H_MAKE(UNDO_FILTER_PRIO << 16, htons(ETH_P_ALL));
	tc_kind(&r, "bpf");
	return undo_request(sock, &r.nh);
}

static int undo_clsact(int sock, const struct undo *undo)
{
	struct tc_request r;
	unsigned n = 0;
	int err = n_filters(sock, undo->ifindex,
			    TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), &n);

	if (!err)
		err = n_filters(sock, undo->ifindex,
				TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), &n);
	if (err || n)
		return err;
	tc_init(&r, RTM_DELQDISC, undo->ifindex, TC_H_CLSACT);
	r.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	tc_kind(&r, "clsact");
	return undo_request(sock, &r.nh);
}

int undo_run(int sock, const struct undo *undo)
{
	int err = 0;

	switch (undo->kind) {
	case UNDO_SETTING:
		if (undo->what < NETDEV_SETTINGS)
			err = undo_setting_set(sock, undo->ifindex, undo->what,
					       undo->value);
		break;
	case UNDO_FILTER:
		err = undo_filter(sock, undo);
		break;
	case UNDO_CLSACT:
		err = undo_clsact(sock, undo);
		break;
	}
	/* No interface, no qdisc, no filter: nothing is left of it. */
	if (err == -ENODEV || err == -ENXIO || err == -ENOENT ||
	    (err == -EINVAL && undo->kind == UNDO_FILTER))
		err = 0;
	return err;
}
