// SPDX-License-Identifier: BSD-2-Clause
// tap_blast.c - how fast packets cross TAP, Linux bridge and TAP: a reference.
/*
 * Makes a network namespace of its own with a bridge and two TAPs in it. One
 * thread writes the same frame into the first TAP over and over, the other
 * reads it from the second. Nothing is left behind: all is gone with the
 * process. Needs root, or a kernel that lets users make user namespaces, and
 * /dev/net/tun.
 *
 *   tap_blast [-s SIZE=60] [-t SECONDS=2] [-e MS] [-j]
 *     -e  prints a line every MS milliseconds, until killed if -t 0
 *     -j  prints JSON objects
 *
 * What counts is what the reader has read. A packet is one system call on
 * either side, as it is for every program that uses TAPs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
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
	FRAME_MAX = 1514,
};

static struct {
	unsigned size, seconds, every_ms;
	bool json;
	int in, out; /* TAPs */
	_Atomic uint64_t written, read;
} blast = { .size = 60, .seconds = 2 };

static void die(const char *what)
{
	fprintf(stderr, "tap_blast: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Best effort: without it the kernel's own packets are only noise. */
static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "tap_blast: %s: %s\n", path, strerror(errno));
	close(fd);
}

static void namespace_enter(void)
{
	char map[64];
	uid_t uid = geteuid();

	if (uid == 0) {
		if (unshare(CLONE_NEWNET))
			die("cannot make a network namespace");
	} else {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
			die("cannot make a namespace without root");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_file("/proc/self/uid_map", map);
	}
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

static int tap_open(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		die("cannot make a TAP (is there /dev/net/tun?)");
	return fd;
}

static void interface_up(int sock, const char *name)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(sock, SIOCGIFFLAGS, &ifr))
		die(name);
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr))
		die(name);
}

static void bridge_add(int sock, const char *bridge, const char *name)
{
	struct ifreq ifr = { .ifr_ifindex = (int)if_nametoindex(name) };
	int index = ifr.ifr_ifindex;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	ifr.ifr_ifindex = index;
	if (!index || ioctl(sock, SIOCBRADDIF, &ifr))
		die("cannot add a TAP to the bridge");
}

static void topology_make(void)
{
	int sock;

	namespace_enter();
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || ioctl(sock, SIOCBRADDBR, "br0"))
		die("cannot make a bridge");
	blast.in = tap_open("in");
	blast.out = tap_open("out");
	bridge_add(sock, "br0", "in");
	bridge_add(sock, "br0", "out");
	interface_up(sock, "br0");
	interface_up(sock, "in");
	interface_up(sock, "out");
	close(sock);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* one CPU: so be it */
}

static void frame_make(uint8_t *frame, uint8_t from, uint8_t to)
{
	static const uint8_t head[14] = { 2, 0, 0, 0, 0, 0,    2,
					  0, 0, 0, 0, 0, 0x88, 0xb5 };

	memset(frame, 0, FRAME_MAX);
	memcpy(frame, head, sizeof(head));
	frame[5] = to;
	frame[11] = from;
}

static void *writer(void *arg)
{
	uint8_t frame[FRAME_MAX];

	pin(0);
	frame_make(frame, 1, 2);
	for (;;) {
		if (write(blast.in, frame, blast.size) < 0)
			die("writing to the TAP");
		atomic_fetch_add_explicit(&blast.written, 1,
					  memory_order_relaxed);
	}
	return NULL;
}

static void *reader(void *arg)
{
	uint8_t frame[FRAME_MAX + 64];

	pin(1);
	for (;;) {
		ssize_t n = read(blast.out, frame, sizeof(frame));

		if (n < 0)
			die("reading from the TAP");
		if (n == (ssize_t)blast.size && frame[5] == 2 &&
		    frame[12] == 0x88 && frame[13] == 0xb5)
			atomic_fetch_add_explicit(&blast.read, 1,
						  memory_order_relaxed);
	}
	return NULL;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print(double seconds, uint64_t n_written, uint64_t n_read)
{
	double pps = (double)n_read / seconds;

	printf(blast.json ? "{\"name\": \"tap-bridge\", \"size\": %u, "
			    "\"seconds\": %.4f, \"written\": %" PRIu64
			    ", \"packets\": %" PRIu64
			    ", \"mpps\": %.4f, \"ns\": %.1f}\n" :
			    "%u bytes, %.3f s: %" PRIu64 " written, %" PRIu64
			    " read, %.4f Mpps, %.1f ns/packet\n",
	       blast.size, seconds, n_written, n_read, pps / 1e6, 1e9 / pps);
	fflush(stdout);
}

static void measure(void)
{
	double start = now(), last = start;
	uint64_t w0 = blast.written, r0 = blast.read, w = w0, r = r0;

	while (!blast.seconds || now() - start < blast.seconds) {
		unsigned ms = blast.every_ms ? blast.every_ms : 100;
		struct timespec nap = { ms / 1000, ms % 1000 * 1000000L };
		uint64_t nw, nr;
		double t;

		nanosleep(&nap, NULL);
		t = now();
		nw = blast.written;
		nr = blast.read;
		if (blast.every_ms)
			print(t - last, nw - w, nr - r);
		last = t;
		w = nw;
		r = nr;
	}
	if (!blast.every_ms)
		print(last - start, w - w0, r - r0);
}

static void options_read(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "s:t:e:j")) != -1) {
		switch (opt) {
		case 's':
			blast.size = (unsigned)atoi(optarg);
			break;
		case 't':
			blast.seconds = (unsigned)atoi(optarg);
			break;
		case 'e':
			blast.every_ms = (unsigned)atoi(optarg);
			break;
		case 'j':
			blast.json = true;
			break;
		default:
			exit(2);
		}
	}
	if (blast.size >= 60 && blast.size <= FRAME_MAX)
		return;
	fprintf(stderr, "tap_blast: sizes from 60 to %d are possible\n",
		FRAME_MAX);
	exit(2);
}

int main(int argc, char **argv)
{
	struct timespec nap = { 0, 200000000 };
	uint8_t frame[FRAME_MAX];
	pthread_t thread;

	options_read(argc, argv);
	topology_make();
	/* The bridge learns where the reader is. */
	frame_make(frame, 2, 1);
	if (write(blast.out, frame, 60) < 0)
		die("writing to the TAP");
	if (pthread_create(&thread, NULL, reader, NULL) ||
	    pthread_create(&thread, NULL, writer, NULL))
		die("cannot start a thread");
	nanosleep(&nap, NULL);
	measure();
	return 0;
}
