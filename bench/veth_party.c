// SPDX-License-Identifier: BSD-2-Clause
// veth_party.c - a sender at one veth and a counter at another, as a side.
/*
 * veth_party SHARE SIDE SIZE IN OUT [PID]
 *
 * Somebody forwards from the far end of interface "eth" in the network
 * namespace that IN is a file of to that of "eth" in OUT. In this side's turns
 * frames are sent into the first as fast as they go, from processor 0, and
 * those that arrive at the second are counted by its statistics: nobody has to
 * receive them, the stack drops them as an unknown protocol. Process PID, if
 * there is one, is stopped while it is not this side's turn, for forwarders
 * that poll.
 *
 * An XDP program that is run on frames made by the kernel sends them
 * (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18): a packet socket takes longer for a
 * packet than those who forward it. The veth's far end must run NAPI,
 * by an XDP program or by GRO.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "bench/share.h"

enum {
	SKIP_MS = 30, /* until frames are made and sent at full speed */
	FRAME_MAX = 1514,
	ETHERTYPE = 0x88b5,
};

static struct share *share;
static uint32_t me;
static unsigned size;
static uint8_t frame[FRAME_MAX], back[60];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "veth_party: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

/* Sends by eth of this namespace. */
static int socket_open(void)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_ifindex = (int)if_nametoindex("eth") };
	int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof(addr)))
		die("cannot send by eth");
	return sock;
}

/* A program that sends what it is run on by eth of this namespace. */
static int program_load(void)
{
	const int32_t eth = (int32_t)if_nametoindex("eth");
	const struct bpf_insn insns[] = {
		/* return bpf_redirect(eth, 0) */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, eth },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "veth_party", "Dual BSD/GPL",
			       insns, sizeof(insns) / sizeof(*insns), NULL);

	if (fd < 0)
		die("cannot load a program");
	return fd;
}

static void frame_make(uint8_t *to_fill, uint8_t from, uint8_t to)
{
	const uint8_t head[14] = { 2,
				   0,
				   0,
				   0,
				   0,
				   to,
				   2,
				   0,
				   0,
				   0,
				   0,
				   from,
				   ETHERTYPE >> 8,
				   ETHERTYPE & 0xff };

	memcpy(to_fill, head, sizeof(head));
}

/* Packets that eth received, from a file /proc/.../net/dev. */
static uint64_t received(int dev)
{
	char text[4096], *eth;
	ssize_t n = pread(dev, text, sizeof(text) - 1, 0);
	uint64_t bytes, packets;

	if (n < 0)
		die("/proc/net/dev");
	text[n] = '\0';
	eth = strstr(text, " eth:");
	if (!eth ||
	    sscanf(eth, " eth: %" SCNu64 " %" SCNu64, &bytes, &packets) != 2)
		die("no eth in /proc/net/dev");
	return packets;
}

/* In a handler the sender waits for this side's next turn. */
static void hold(int sig)
{
	int saved = errno;
	uint32_t turn;

	(void)sig;
	while ((turn = atomic_load(&share->turn)) != me + 1)
		share_wait(share, turn);
	errno = saved;
}

/* Sends until a signal comes, and again. */
static void *sender(void *arg)
{
	const int *program = arg;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = size, .repeat = INT32_MAX,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	share_pin(0);
	for (;;)
		if (bpf_prog_test_run_opts(*program, &opts) && errno != EINTR)
			die("sending (needs Linux 5.18)");
	return NULL;
}

static void slice_run(int out, int dev)
{
	struct side *side = &share->side[me];
	uint64_t n, t;

	/* Bridges learn where the counter is. */
	if (send(out, back, sizeof(back), 0) < 0)
		die("sending back");
	share_sleep_ms(SKIP_MS);
	n = received(dev);
	t = share_now();
	while (share_runs(share, me))
		share_wait(share, me + 1);
	atomic_store(&side->own_packets, received(dev) - n);
	atomic_store(&side->own_ns, share_now() - t);
}

/* Ahead of the sender, if that is a real-time thread: it hardly sleeps. */
static void get_ahead(void)
{
	struct sched_param param;

	if (sched_getscheduler(0) != SCHED_RR || sched_getparam(0, &param))
		return;
	param.sched_priority++;
	sched_setscheduler(0, SCHED_RR, &param);
}

static void turns_take(int out, int dev, pid_t pid, pthread_t id)
{
	pthread_kill(id, SIGUSR1);
	if (pid)
		kill(pid, SIGSTOP);
	atomic_fetch_add(&share->n_ready, 1);
	while (share_enter(share, 1U << me) >= 0) {
		if (pid)
			kill(pid, SIGCONT);
		slice_run(out, dev);
		pthread_kill(id, SIGUSR1);
		if (pid)
			kill(pid, SIGSTOP);
		share_leave(share);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = hold };
	int program, out, dev;
	pthread_t id;

	if (argc < 6 || argc > 7) {
		fprintf(stderr, "usage: veth_party SHARE SIDE SIZE IN OUT "
				"[PID]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	share = share_open(argv[1]);
	me = (uint32_t)atoi(argv[2]);
	size = (unsigned)atoi(argv[3]);
	if (size < 60 || size > FRAME_MAX)
		return 2;
	frame_make(frame, 1, 2);
	frame_make(back, 2, 1);
	enter(argv[5]);
	out = socket_open();
	dev = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
	if (dev < 0)
		die("/proc/net/dev");
	enter(argv[4]);
	program = program_load();
	sigaction(SIGUSR1, &action, NULL);
	if (pthread_create(&id, NULL, sender, &program))
		die("cannot start a thread");
	get_ahead();
	turns_take(out, dev, argc == 7 ? atoi(argv[6]) : 0, id);
	_exit(0);
}
