// SPDX-License-Identifier: BSD-2-Clause
// look.c - MTU, MAC, state and addresses of a network interface.
#include "port/tap/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/error.h"

int addr_parse(const char *text, struct tap_addr *addr,
	       struct glen_error *error)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(text, '/');
	size_t host_len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits;
	char *end = NULL;

	memset(addr, 0, sizeof(*addr));
	if (host_len >= sizeof(host))
		goto err_bad;
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	addr->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(addr->family, host, addr->bytes) != 1)
		goto err_bad;
	addr->prefix_len = addr->family == AF_INET6 ? 128 : 32;
	if (!slash)
		return 0;
	bits = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end || bits > addr->prefix_len)
		goto err_bad;
	addr->prefix_len = bits;
	return 0;

err_bad:
	return error_set(error, -EINVAL,
			 "\"%s\" is not an address such as 10.0.0.1/24 or "
			 "fd00::1/64",
			 text);
}

static void request_name(struct ifreq *ifr, const char *ifname)
{
	memset(ifr, 0, sizeof(*ifr));
	strncpy(ifr->ifr_name, ifname, IFNAMSIZ - 1);
}

static int look_failed(const char *ifname, const char *what, int err,
		       struct glen_error *error)
{
	if (err == EPERM || err == EACCES)
		return error_set(error, -EPERM,
				 "setting the %s of %s needs CAP_NET_ADMIN",
				 what, ifname);
	return error_set(error, -err, "cannot set the %s of %s: %s", what,
			 ifname, strerror(err));
}

static int set_mtu(int sock, const char *ifname, unsigned mtu,
		   struct glen_error *error)
{
	struct ifreq ifr;

	request_name(&ifr, ifname);
	ifr.ifr_mtu = mtu;
	if (!ioctl(sock, SIOCSIFMTU, &ifr))
		return 0;
	if (errno == EINVAL)
		return error_set(error, -EINVAL,
				 "a TAP cannot have an MTU of %u: 68 to 65521",
				 mtu);
	return look_failed(ifname, "MTU", errno, error);
}

static int set_mac(int sock, const char *ifname, const uint8_t *mac,
		   struct glen_error *error)
{
	struct ifreq ifr;

	request_name(&ifr, ifname);
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	if (!ioctl(sock, SIOCSIFHWADDR, &ifr))
		return 0;
	if (errno == EADDRNOTAVAIL)
		return error_set(error, -EINVAL,
				 "an interface cannot have the group address "
				 "%02x:%02x:%02x:%02x:%02x:%02x as its MAC",
				 mac[0], mac[1], mac[2], mac[3], mac[4],
				 mac[5]);
	return look_failed(ifname, "MAC", errno, error);
}

static int set_up(int sock, const char *ifname, bool up,
		  struct glen_error *error)
{
	struct ifreq ifr;
	int want;

	request_name(&ifr, ifname);
	if (ioctl(sock, SIOCGIFFLAGS, &ifr))
		return look_failed(ifname, "state", errno, error);
	want = up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP;
	if (want == ifr.ifr_flags)
		return 0;
	ifr.ifr_flags = want;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr))
		return look_failed(ifname, "state", errno, error);
	return 0;
}

/* Sends one request and returns the kernel's answer, 0 or -errno. */
static int netlink_call(int sock, void *request, size_t len)
{
	struct {
		struct nlmsghdr nh;
		struct nlmsgerr err;
	} answer;
	ssize_t n;

	if (send(sock, request, len, 0) < 0)
		return -errno;
	n = recv(sock, &answer, sizeof(answer), MSG_TRUNC);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer) || answer.nh.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.err.error;
}

/* RTM_NEWADDR or RTM_DELADDR. */
static int change_addr(int sock, unsigned ifindex, const struct tap_addr *addr,
		       unsigned type)
{
	size_t size = addr->family == AF_INET6 ? 16 : 4;
	struct {
		struct nlmsghdr nh;
		struct ifaddrmsg ifa;
		uint8_t attrs[2 * (4 + 16)];
	} req = { 0 };
	uint8_t *pos = req.attrs;

	req.nh.nlmsg_type = type;
	req.nh.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	if (type == RTM_NEWADDR)
		req.nh.nlmsg_flags |= NLM_F_CREATE | NLM_F_REPLACE;
	req.ifa.ifa_family = addr->family;
	req.ifa.ifa_prefixlen = addr->prefix_len;
	req.ifa.ifa_index = ifindex;
	for (unsigned attr = IFA_ADDRESS; attr <= IFA_LOCAL; attr++) {
		struct rtattr rta = { .rta_len = 4 + size, .rta_type = attr };

		memcpy(pos, &rta, 4);
		memcpy(pos + 4, addr->bytes, size);
		pos += 4 + size;
	}
	req.nh.nlmsg_len = pos - (uint8_t *)&req;
	return netlink_call(sock, &req, req.nh.nlmsg_len);
}

static bool addr_in(const struct tap_look *look, const struct tap_addr *addr)
{
	for (unsigned i = 0; look && i < look->n_addrs; i++)
		if (!memcmp(&look->addrs[i], addr, sizeof(*addr)))
			return true;
	return false;
}

static int add_addr(int sock, const char *ifname, unsigned ifindex,
		    const struct tap_addr *addr, struct glen_error *error)
{
	char text[INET6_ADDRSTRLEN], what[INET6_ADDRSTRLEN + 16];
	int err = change_addr(sock, ifindex, addr, RTM_NEWADDR);

	if (!err)
		return 0;
	inet_ntop(addr->family, addr->bytes, text, sizeof(text));
	snprintf(what, sizeof(what), "address %s/%u", text, addr->prefix_len);
	return look_failed(ifname, what, -err, error);
}

static int set_addrs(const char *ifname, const struct tap_look *from,
		     const struct tap_look *to, struct glen_error *error)
{
	/* The kernel forgets IPv6 addresses when an interface goes down. */
	const struct tap_look *had = from && from->up ? from : NULL;
	unsigned ifindex = if_nametoindex(ifname);
	int sock, err = 0;

	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (sock < 0)
		return look_failed(ifname, "addresses", errno, error);
	for (unsigned i = 0; from && i < from->n_addrs; i++)
		if (!addr_in(to, &from->addrs[i]))
			change_addr(sock, ifindex, &from->addrs[i],
				    RTM_DELADDR);
	for (unsigned i = 0; !err && i < to->n_addrs; i++)
		if (!addr_in(had, &to->addrs[i]))
			err = add_addr(sock, ifname, ifindex, &to->addrs[i],
				       error);
	close(sock);
	return err;
}

static unsigned mtu_of(const struct tap_look *look, unsigned default_mtu)
{
	return look->mtu ? look->mtu : default_mtu;
}

int look_apply(const char *ifname, const struct tap_look *from,
	       const struct tap_look *to, unsigned default_mtu,
	       struct glen_error *error)
{
	unsigned old_mtu = from ? mtu_of(from, default_mtu) : default_mtu;
	unsigned mtu = mtu_of(to, default_mtu);
	int sock, err = 0;

	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_set(error, -errno, "cannot open a socket: %s",
				 strerror(errno));
	if (mtu != old_mtu)
		err = set_mtu(sock, ifname, mtu, error);
	if (!err && (!from || memcmp(from->mac, to->mac, 6)))
		err = set_mac(sock, ifname, to->mac, error);
	if (!err && (!from || from->up != to->up))
		err = set_up(sock, ifname, to->up, error);
	if (!err && (to->n_addrs || (from && from->n_addrs)))
		err = set_addrs(ifname, from, to, error);
	close(sock);
	return err;
}

unsigned look_mtu(const char *ifname)
{
	struct ifreq ifr;
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned mtu = 0;

	if (sock < 0)
		return 0;
	request_name(&ifr, ifname);
	if (!ioctl(sock, SIOCGIFMTU, &ifr))
		mtu = ifr.ifr_mtu;
	close(sock);
	return mtu;
}
