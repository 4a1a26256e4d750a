// SPDX-License-Identifier: BSD-2-Clause
// link.c - what the kernel says about a network interface.
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "port/xdp/xdp.h"

enum { ANSWER_SIZE = 16384, ANSWER_WAIT_S = 2, DRAIN_MAX = 1000 };

int xdp_link_socket(unsigned groups)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK,
				    .nl_groups = groups };
	struct timeval wait = { ANSWER_WAIT_S, 0 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

bool xdp_link_drain(int fd)
{
	char buf[256]; /* the rest is cut off */
	bool any = false;

	for (unsigned i = 0; i < DRAIN_MAX; i++) {
		if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 &&
		    errno != ENOBUFS) /* some were lost: look all the same */
			break;
		any = true;
	}
	return any;
}

static void copy_text(char *dst, size_t size, const struct rtattr *rta)
{
	size_t len = RTA_PAYLOAD(rta);

	len = len < size - 1 ? len : size - 1;
	memcpy(dst, RTA_DATA(rta), len);
	dst[len] = '\0';
}

static uint32_t get_u32(const struct rtattr *rta)
{
	uint32_t value = 0;

	if (RTA_PAYLOAD(rta) >= sizeof(value))
		memcpy(&value, RTA_DATA(rta), sizeof(value));
	return value;
}

/* Of the nested attributes in rta, the one of a type; NULL: none. */
static const struct rtattr *nested(const struct rtattr *rta, unsigned type)
{
	int left = RTA_PAYLOAD(rta);

	for (rta = RTA_DATA(rta); RTA_OK(rta, left); rta = RTA_NEXT(rta, left))
		if ((rta->rta_type & ~NLA_F_NESTED) == type)
			return rta;
	return NULL;
}

static void attribute(struct xdp_link *link, const struct rtattr *rta)
{
	const struct rtattr *in;

	switch (rta->rta_type & ~NLA_F_NESTED) {
	case IFLA_IFNAME:
		copy_text(link->ifname, sizeof(link->ifname), rta);
		break;
	case IFLA_MTU:
		link->mtu = get_u32(rta);
		break;
	case IFLA_ADDRESS:
		if (RTA_PAYLOAD(rta) == sizeof(link->mac))
			memcpy(link->mac, RTA_DATA(rta), sizeof(link->mac));
		break;
	case IFLA_LINKINFO:
		in = nested(rta, IFLA_INFO_KIND);
		if (in)
			copy_text(link->kind, sizeof(link->kind), in);
		break;
	case IFLA_XDP:
		in = nested(rta, IFLA_XDP_PROG_ID);
		if (in)
			link->xdp_prog = get_u32(in);
		break;
	}
}

static int parse(const struct nlmsghdr *nh, struct xdp_link *link)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(nh);
	const struct rtattr *rta = IFLA_RTA(ifi);
	int left = IFLA_PAYLOAD(nh);

	if (nh->nlmsg_type != RTM_NEWLINK ||
	    nh->nlmsg_len < NLMSG_LENGTH(sizeof(*ifi)))
		return -EPROTO;
	link->ifindex = ifi->ifi_index;
	link->flags = ifi->ifi_flags;
	for (; RTA_OK(rta, left); rta = RTA_NEXT(rta, left))
		attribute(link, rta);
	return 0;
}

static int ask(int fd, unsigned ifindex, const char *ifname)
{
	struct {
		struct nlmsghdr nh;
		struct ifinfomsg ifi;
		struct rtattr rta;
		char name[IFNAMSIZ];
	} req = { 0 };

	req.nh.nlmsg_len = NLMSG_LENGTH(sizeof(req.ifi));
	req.nh.nlmsg_type = RTM_GETLINK;
	req.nh.nlmsg_flags = NLM_F_REQUEST;
	req.ifi.ifi_index = ifindex;
	if (!ifindex) {
		req.rta.rta_type = IFLA_IFNAME;
		req.rta.rta_len = RTA_LENGTH(strlen(ifname) + 1);
		strncpy(req.name, ifname, IFNAMSIZ - 1);
		req.nh.nlmsg_len += RTA_ALIGN(req.rta.rta_len);
	}
	return send(fd, &req, req.nh.nlmsg_len, 0) < 0 ? -errno : 0;
}

static int ethtool(int fd, const char *ifname, void *data)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, ifname, IFNAMSIZ);
	ifr.ifr_data = data;
	return ioctl(fd, SIOCETHTOOL, &ifr) ? -errno : 0;
}

/* What ethtool knows: the driver, and how many queues there are. */
static void look_closer(int fd, struct xdp_link *link)
{
	struct ethtool_drvinfo drv = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_channels ch = { .cmd = ETHTOOL_GCHANNELS };

	if (!ethtool(fd, link->ifname, &drv)) {
		memcpy(link->driver, drv.driver, sizeof(link->driver));
		link->driver[sizeof(link->driver) - 1] = '\0';
		link->card = drv.bus_info[0] && strcmp(drv.bus_info, "N/A");
	}
	link->n_rx = link->n_tx = 1;
	if (ethtool(fd, link->ifname, &ch))
		return;
	link->n_rx = ch.combined_count + ch.rx_count;
	link->n_tx = ch.combined_count + ch.tx_count;
	/* Some drivers count nothing. */
	link->n_rx = link->n_rx ? link->n_rx : 1;
	link->n_tx = link->n_tx ? link->n_tx : 1;
}

int xdp_link_get(int fd, unsigned ifindex, const char *ifname,
		 struct xdp_link *link)
{
	union {
		struct nlmsghdr nh;
		char bytes[ANSWER_SIZE];
	} buf;
	ssize_t n;
	int err = ask(fd, ifindex, ifname);

	memset(link, 0, sizeof(*link));
	if (err)
		return err;
	n = recv(fd, &buf, sizeof(buf), 0);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (!NLMSG_OK(&buf.nh, n))
		return -EPROTO;
	if (buf.nh.nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(&buf.nh);

		return e->error ? e->error : -EPROTO;
	}
	err = parse(&buf.nh, link);
	if (!err)
		look_closer(fd, link);
	return err;
}
