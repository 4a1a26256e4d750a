// SPDX-License-Identifier: BSD-2-Clause
// netdev.c - an interface of the host that a port uses, and its settings.
#include "port/netdev.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/guard.h"

/* An offload that is not as it was. */
struct change {
	struct change *next;
	uint64_t netns_ino;
	int sock; /* the guards' */
	struct undo undo;
	int guard_id;
	bool value;
	unsigned users;
};

static struct change *changes;

struct open_job {
	struct netdev *dev;
	struct glen_error *error;
};

int netdev_name_check(const char *ifname, struct glen_error *error)
{
	size_t len = strlen(ifname);

	if (len >= IFNAMSIZ)
		return error_set(error, -EINVAL,
				 "interface name \"%.64s\" has more than %d "
				 "characters: give a shorter ifname",
				 ifname, IFNAMSIZ - 1);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)ifname[i]) &&
		    !strchr("_.-", ifname[i]))
			len = 0;
	if (!len || !strcmp(ifname, ".") || !strcmp(ifname, ".."))
		return error_set(error, -EINVAL,
				 "interface name \"%.64s\" must be made of "
				 "letters, digits and _ . -",
				 ifname);
	return 0;
}

static int find(struct netdev *dev, struct ifreq *ifr, struct glen_error *error)
{
	memset(ifr, 0, sizeof(*ifr));
	memcpy(ifr->ifr_name, dev->ifname, IFNAMSIZ);
	if (ioctl(dev->sock, SIOCGIFINDEX, ifr))
		return error_set(error, -ENODEV,
				 "there is no interface %s%s%s; ip link shows "
				 "those there are",
				 dev->ifname,
				 dev->netns.text[0] ? " in namespace " : "",
				 dev->netns.text);
	dev->ifindex = ifr->ifr_ifindex;
	if (ioctl(dev->sock, SIOCGIFHWADDR, ifr))
		return error_set(error, -errno, "interface %s: %s", dev->ifname,
				 strerror(errno));
	if (ifr->ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return error_set(error, -EINVAL,
				 "%s is no Ethernet interface: only those can "
				 "be ports",
				 dev->ifname);
	memcpy(dev->mac, ifr->ifr_hwaddr.sa_data, 6);
	return 0;
}

/* In the interface's namespace. */
static int open_here(void *arg)
{
	struct open_job *job = arg;
	struct netdev *dev = job->dev;
	struct ifreq ifr;
	int err;

	dev->sock = undo_socket();
	if (dev->sock < 0)
		return error_set(job->error, dev->sock,
				 "cannot open a netlink socket: %s",
				 strerror(-dev->sock));
	err = find(dev, &ifr, job->error);
	if (err) {
		close(dev->sock);
		dev->sock = -1;
	}
	return err;
}

int netdev_open(struct netdev *dev, const char *ifname, json_t *params,
		struct glen_error *error)
{
	struct open_job job = { dev, error };
	int err;

	memset(dev, 0, sizeof(*dev));
	dev->sock = -1;
	err = netdev_name_check(ifname, error);
	if (!err)
		err = netns_read(params, &dev->netns, error);
	if (err)
		return err;
	strcpy(dev->ifname, ifname);
	return netdev_call(dev, open_here, &job, error);
}

int netdev_call(struct netdev *dev, int (*function)(void *arg), void *arg,
		struct glen_error *error)
{
	return netns_call(dev->netns.path, function, arg, error);
}

int netdev_ifname(const struct netdev *dev, char *ifname)
{
	return undo_ifname(dev->sock, dev->ifindex, ifname) ? -ENODEV : 0;
}

static int query(const struct netdev *dev, unsigned long request,
		 struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	if (netdev_ifname(dev, ifr->ifr_name))
		return -ENODEV;
	return ioctl(dev->sock, request, ifr) ? -errno : 0;
}

unsigned netdev_flags(const struct netdev *dev)
{
	struct ifreq ifr;

	return query(dev, SIOCGIFFLAGS, &ifr) ? 0 : (uint16_t)ifr.ifr_flags;
}

unsigned netdev_mtu(const struct netdev *dev)
{
	struct ifreq ifr;

	return query(dev, SIOCGIFMTU, &ifr) ? 0 : (unsigned)ifr.ifr_mtu;
}

void netdev_queues(const struct netdev *dev, unsigned *rx, unsigned *tx)
{
	struct ethtool_channels ch = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq ifr = { .ifr_data = (void *)&ch };

	*rx = *tx = 1;
	if (netdev_ifname(dev, ifr.ifr_name) ||
	    ioctl(dev->sock, SIOCETHTOOL, &ifr))
		return;
	/* Some drivers count nothing. */
	*rx = ch.combined_count + ch.rx_count ?: 1;
	*tx = ch.combined_count + ch.tx_count ?: 1;
}

/* IFLA_XDP_ATTACHED among the attributes of an interface; 0: there is none. */
static unsigned xdp_attached(const struct nlmsghdr *nh)
{
	const struct rtattr *rta = IFLA_RTA(NLMSG_DATA(nh));
	int left = IFLA_PAYLOAD(nh);

	while (RTA_OK(rta, left) && (rta->rta_type & ~NLA_F_NESTED) != IFLA_XDP)
		rta = RTA_NEXT(rta, left);
	if (!RTA_OK(rta, left))
		return 0;
	left = RTA_PAYLOAD(rta);
	for (rta = RTA_DATA(rta); RTA_OK(rta, left); rta = RTA_NEXT(rta, left))
		if (rta->rta_type == IFLA_XDP_ATTACHED && RTA_PAYLOAD(rta))
			return *(const uint8_t *)RTA_DATA(rta);
	return 0;
}

static void xdp_look(const struct nlmsghdr *nh, void *arg)
{
	unsigned *attached = arg;

	if (nh->nlmsg_type == RTM_NEWLINK)
		*attached = xdp_attached(nh);
}

bool netdev_has_generic_xdp(const struct netdev *dev)
{
	struct {
		struct nlmsghdr nh;
		struct ifinfomsg ifi;
	} r = { .nh = { .nlmsg_len = NLMSG_LENGTH(sizeof(r.ifi)),
			.nlmsg_type = RTM_GETLINK },
		.ifi = { .ifi_index = (int)dev->ifindex } };
	unsigned attached = 0;

	return !undo_query(dev->sock, &r.nh, xdp_look, &attached) &&
	       (attached == XDP_ATTACHED_SKB || attached == XDP_ATTACHED_MULTI);
}

uint64_t netdev_netns_ino(const struct netdev *dev)
{
	struct stat st = { 0 };
	int fd = ioctl(dev->sock, SIOCGSKNS);

	if (fd < 0)
		return 0;
	if (fstat(fd, &st))
		st.st_ino = 0;
	close(fd);
	return st.st_ino;
}

bool netdev_is_same(const struct netdev *a, const struct netdev *b)
{
	return a->ifindex == b->ifindex &&
	       netdev_netns_ino(a) == netdev_netns_ino(b);
}

static struct change **change_find(const struct netdev *dev, uint32_t what)
{
	uint64_t ino = netdev_netns_ino(dev);
	struct change **c = &changes;

	while (*c &&
	       ((*c)->netns_ino != ino || (*c)->undo.ifindex != dev->ifindex ||
		(*c)->undo.what != what))
		c = &(*c)->next;
	return c;
}

static int socket_here(void *arg)
{
	int *sock = arg;

	*sock = undo_socket();
	return *sock < 0 ? *sock : 0;
}

static void change_free(struct change *c)
{
	guard_del(c->guard_id);
	if (c->sock >= 0)
		close(c->sock);
	free(c);
}

/* Tells the guards, then does it. */
static int change_make(struct netdev *dev, struct change *c,
		       struct glen_error *error)
{
	char ifname[IFNAMSIZ] = "?";
	int err = netdev_call(dev, socket_here, &c->sock, error);

	if (err)
		return error_set(error, err, "cannot open a socket: %s",
				 strerror(-err));
	c->guard_id = guard_add(c->sock, &c->undo, error);
	if (c->guard_id < 0)
		return c->guard_id;
	err = undo_setting_set(dev->sock, dev->ifindex, c->undo.what, c->value);
	if (!err)
		return 0;
	netdev_ifname(dev, ifname);
	return error_set(error, err, "cannot turn %s of %s %s: %s",
			 undo_setting_name(c->undo.what), ifname,
			 c->value ? "on" : "off", strerror(-err));
}

static int change_begin(struct netdev *dev, enum netdev_setting what,
			bool value, uint32_t was, struct glen_error *error)
{
	struct change *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return error_set(error, -ENOMEM, "out of memory");
	*c = (struct change){ .netns_ino = netdev_netns_ino(dev),
			      .sock = -1,
			      .undo = { UNDO_SETTING, dev->ifindex, what, was },
			      .value = value,
			      .users = 1 };
	err = change_make(dev, c, error);
	if (err) {
		change_free(c);
		return err;
	}
	c->next = changes;
	changes = c;
	dev->settings[what]++;
	return 0;
}

int netdev_setting_change(struct netdev *dev, enum netdev_setting what,
			  bool value, struct glen_error *error)
{
	struct change *c = *change_find(dev, what);
	uint32_t was;
	int err;

	if (c && c->value != value)
		return error_set(error, -EBUSY,
				 "another port needs %s of %s %s",
				 undo_setting_name(what), dev->ifname,
				 c->value ? "on" : "off");
	if (c) {
		c->users++;
		dev->settings[what]++;
		return 0;
	}
	err = undo_setting_get(dev->sock, dev->ifindex, what, &was);
	if (err == -EOPNOTSUPP && !value)
		return 0;
	if (err)
		return error_set(error, err, "cannot read %s of %s: %s",
				 undo_setting_name(what), dev->ifname,
				 strerror(-err));
	if (was == value)
		return 0;
	return change_begin(dev, what, value, was, error);
}

unsigned netdev_n_changes(void)
{
	unsigned n = 0;

	for (struct change *c = changes; c; c = c->next)
		n++;
	return n;
}

/* One user less of a setting. */
static void change_end(struct netdev *dev, uint32_t what)
{
	struct change **at = change_find(dev, what);
	struct change *c = *at;

	if (!c || --c->users)
		return;
	*at = c->next;
	undo_run(dev->sock, &c->undo);
	change_free(c);
}

void netdev_close(struct netdev *dev)
{
	if (dev->sock < 0)
		return;
	/* Last change first, in the order of the drivers' calls or not: they do
	 * not depend on each other. */
	for (unsigned what = 0; what < NETDEV_SETTINGS; what++)
		for (; dev->settings[what]; dev->settings[what]--)
			change_end(dev, what);
	close(dev->sock);
	dev->sock = -1;
}

uint32_t netdev_mark(void)
{
	static uint32_t mark;

	while (!mark)
		if (getrandom(&mark, sizeof(mark), 0) != sizeof(mark))
			mark = 0x676c656e ^ (uint32_t)getpid();
	return mark;
}
