// SPDX-License-Identifier: BSD-2-Clause
// socket.c - packet sockets with a mapped ring, one per queue.
#include "port/packet/packet.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/error.h"

/* Linux 5.19; not in older headers. */
enum { FANOUT_FLAG_IGNORE_OUTGOING = 0x4000 };

enum { SLOTS_ALIGN = 64, BLOCK_SIZE = 64 << 10 };

static int failed(const struct packet *p, const char *what, int err,
		  struct glen_error *error)
{
	if (err == EPERM || err == EACCES)
		return error_set(error, -EPERM,
				 "port of interface %s: packet sockets need "
				 "CAP_NET_RAW; run glend as root",
				 p->dev.ifname);
	return error_set(error, -err, "cannot %s of interface %s: %s", what,
			 p->dev.ifname, strerror(err));
}

static int option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) ?
		       -errno :
		       0;
}

/*
 * Nothing; until the port is in its switch, and so that no packet comes twice
 * while a group forms.
 */
static int filter_none(int fd)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog prog = { 1, code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
			  sizeof(prog)) ?
		       -errno :
		       0;
}

/* All but what leaves the interface and what its host side injects. */
static int filter_arriving(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 (__u32)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 3, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 (__u32)(SKF_AD_OFF + SKF_AD_MARK)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, netdev_mark(), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(*code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
			  sizeof(prog)) ?
		       -errno :
		       0;
}

/* Slots hold a frame of the interface's MTU; longer ones are read. */
static void ring_layout(const struct packet *p, struct packet_queue *q,
			struct tpacket_req *req)
{
	uint32_t size = netdev_mtu(&p->dev) + 14 + 8 + PACKET_SLOT_HEAD;

	size = (size + SLOTS_ALIGN - 1) & ~(uint32_t)(SLOTS_ALIGN - 1);
	if (size < PACKET_SLOT_MIN)
		size = PACKET_SLOT_MIN;
	if (size > PACKET_SLOT_MAX)
		size = PACKET_SLOT_MAX;
	q->slot_size = size;
	q->block_size = BLOCK_SIZE;
	q->slots_per_block = BLOCK_SIZE / size;
	q->n_slots = PACKET_RING_SIZE / BLOCK_SIZE * q->slots_per_block;
	if (q->n_slots > PACKET_SLOTS)
		q->n_slots = PACKET_SLOTS / q->slots_per_block *
			     q->slots_per_block;
	req->tp_frame_size = q->slot_size;
	req->tp_frame_nr = q->n_slots;
	req->tp_block_size = q->block_size;
	req->tp_block_nr = q->n_slots / q->slots_per_block;
}

static int ring_map(struct packet *p, struct packet_queue *q,
		    struct glen_error *error)
{
	struct tpacket_req req = { 0 };
	void *ring, *arena;

	ring_layout(p, q, &req);
	if (setsockopt(q->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		return failed(p, "make the receive ring", errno, error);
	ring = mmap(NULL, (size_t)req.tp_block_size * req.tp_block_nr,
		    PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	if (ring == MAP_FAILED)
		return failed(p, "map the receive ring", errno, error);
	q->ring = ring;
	arena = mmap(NULL, PACKET_ARENA_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		return failed(p, "get memory for packets", errno, error);
	q->arena = arena;
	return 0;
}

static int promisc_on(struct packet *p, int fd)
{
	struct packet_mreq mreq = { .mr_ifindex = (int)p->dev.ifindex,
				    .mr_type = PACKET_MR_PROMISC };

	return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq,
			  sizeof(mreq)) ?
		       -errno :
		       0;
}

static int options_set(struct packet *p, int fd)
{
	int bytes = PACKET_SOCKET_BYTES;
	uint32_t mark = netdev_mark();
	int err = filter_none(fd);

	if (!err)
		err = option(fd, PACKET_VERSION, TPACKET_V2);
	if (!err)
		err = option(fd, PACKET_VNET_HDR, 1);
	if (!err)
		err = option(fd, PACKET_IGNORE_OUTGOING, 1);
	/* Whole packets that are longer than a slot; see TP_STATUS_COPY. */
	if (!err)
		err = option(fd, PACKET_COPY_THRESH, 1);
	if (!err && !p->qdisc)
		err = option(fd, PACKET_QDISC_BYPASS, 1);
	if (!err &&
	    (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) ||
	     setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes,
			sizeof(bytes)) ||
	     setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes))))
		err = -errno;
	return err;
}

static int queue_open(struct packet *p, struct packet_queue *q,
		      struct glen_error *error)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = (int)p->dev.ifindex };
	int err;

	/* Without a protocol nothing arrives before bind(). */
	q->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->fd < 0)
		return failed(p, "open a packet socket", errno, error);
	err = options_set(p, q->fd);
	if (err)
		return failed(p, "set up the packet socket", -err, error);
	err = ring_map(p, q, error);
	if (err)
		return err;
	if (bind(q->fd, (void *)&addr, sizeof(addr)))
		return failed(p, "bind the packet socket", errno, error);
	err = p->promisc ? promisc_on(p, q->fd) : 0;
	return err ? failed(p, "set promiscuous mode", -err, error) : 0;
}

/* The kernel spreads flows, both directions alike, over the sockets. */
static int fanout_join(struct packet *p, struct glen_error *error)
{
	int flags = FANOUT_FLAG_IGNORE_OUTGOING;
	int id = 0, arg, err = 0;
	socklen_t len = sizeof(arg);

	for (unsigned i = 0; !err && i < p->n_queues; i++) {
		int fd = p->queues[i].fd;
		int type = PACKET_FANOUT_HASH | flags;

		if (i == 0)
			type |= PACKET_FANOUT_FLAG_UNIQUEID;
		err = option(fd, PACKET_FANOUT, id | type << 16);
		if (err == -EINVAL && i == 0 && flags) {
			flags = 0; /* the filter does it */
			i--;
			err = 0;
			continue;
		}
		if (!err && i == 0) {
			if (getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &arg,
				       &len))
				err = -errno;
			else
				id = arg & 0xffff;
		}
	}
	return err ? failed(p, "spread the packets over the queues", -err,
			    error) :
		     0;
}

int packet_sockets_open(struct packet *p, struct glen_error *error)
{
	int err = 0;

	for (unsigned i = 0; i < PACKET_QUEUES_MAX; i++)
		p->queues[i].fd = -1;
	for (unsigned i = 0; !err && i < p->n_queues; i++)
		err = queue_open(p, &p->queues[i], error);
	if (!err && p->n_queues > 1)
		err = fanout_join(p, error);
	if (err)
		packet_sockets_close(p);
	return err;
}

int packet_sockets_start(struct packet *p, struct glen_error *error)
{
	for (unsigned i = 0; i < p->n_queues; i++) {
		int err = filter_arriving(p->queues[i].fd);

		if (err)
			return failed(p, "filter the packets", -err, error);
	}
	return 0;
}

void packet_sockets_close(struct packet *p)
{
	for (unsigned i = 0; i < p->n_queues; i++) {
		struct packet_queue *q = &p->queues[i];

		if (q->arena)
			munmap(q->arena, PACKET_ARENA_SIZE);
		if (q->ring)
			munmap(q->ring, (size_t)q->n_slots /
						q->slots_per_block *
						q->block_size);
		if (q->fd >= 0)
			close(q->fd);
		q->arena = q->ring = NULL;
		q->fd = -1;
	}
}

unsigned packet_socket_drops(struct packet_queue *q)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	if (getsockopt(q->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		return 0;
	return stats.tp_drops;
}
