// SPDX-License-Identifier: BSD-2-Clause
// bare_tap.c - the least a TAP-to-TAP forwarder can do: the yardstick for TAP.
/*
 * Makes two TAPs, each in its network namespace, and moves packets between
 * them with one read() and one write() each, on one thread, virtio_net_hdr
 * and all, without looking at them. A switch that is as fast as this costs
 * nothing.
 *
 *   bare_tap NETNS IFNAME NETNS IFNAME [--napi]
 *
 * Namespaces are names as in "ip netns". The interfaces are brought up; the
 * caller gives them addresses. Prints "ready" and runs until SIGTERM. Reads
 * for a while before it sleeps in poll(), like a worker of glen.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	VNET_LEN = 10,
	PACKET_MAX = 65536 + 64,
	BATCH = 8,	 /* packets from one side before the other's turn */
	SPIN_NS = 20000, /* look for this long before sleeping */
};

static void die(const char *what)
{
	fprintf(stderr, "bare_tap: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void netns_enter(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

static void interface_up(struct ifreq *ifr)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (sock < 0 || ioctl(sock, SIOCGIFFLAGS, ifr))
		die(ifr->ifr_name);
	ifr->ifr_flags |= IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, ifr))
		die(ifr->ifr_name);
	close(sock);
}

static int tap_make(const char *netns, const char *ifname, bool napi)
{
	struct ifreq ifr = { 0 };
	int vnet_len = VNET_LEN;
	int fd;

	netns_enter(netns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die("/dev/net/tun");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (napi)
		ifr.ifr_flags |= IFF_NAPI;
	if (ioctl(fd, TUNSETIFF, &ifr) ||
	    ioctl(fd, TUNSETVNETHDRSZ, &vnet_len) ||
	    ioctl(fd, TUNSETOFFLOAD,
		  (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 |
				  TUN_F_TSO_ECN)))
		die(ifname);
	interface_up(&ifr);
	return fd;
}

/* Moves up to BATCH packets; returns how many. */
static unsigned forward(int from, int to, uint8_t *buf)
{
	unsigned n;

	for (n = 0; n < BATCH; n++) {
		ssize_t len = read(from, buf, PACKET_MAX);

		if (len <= 0)
			break;
		if (write(to, buf, len) < 0 && errno != EIO)
			die("write");
	}
	return n;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	static uint8_t buf[PACKET_MAX];
	bool napi = argc == 6 && !strcmp(argv[5], "--napi");
	uint64_t idle_since = 0;
	struct pollfd p[2];

	if (argc < 5 || (argc == 6 && !napi) || argc > 6) {
		fprintf(stderr, "usage: bare_tap NETNS IFNAME NETNS IFNAME "
				"[--napi]\n");
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		p[i].fd = tap_make(argv[1 + 2 * i], argv[2 + 2 * i], napi);
		p[i].events = POLLIN;
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		unsigned n = forward(p[0].fd, p[1].fd, buf) +
			     forward(p[1].fd, p[0].fd, buf);
		uint64_t now = now_ns();

		if (n) {
			idle_since = now;
		} else if (now - idle_since > SPIN_NS) {
			poll(p, 2, -1);
			idle_since = now_ns();
		}
	}
}
