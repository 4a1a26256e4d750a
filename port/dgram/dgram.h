/* SPDX-License-Identifier: BSD-2-Clause */
/* dgram.h - a port whose frames travel as datagrams, one in each. */
#ifndef PORT_DGRAM_DGRAM_H
#define PORT_DGRAM_DGRAM_H
/*
 * Theory of operation
 *
 * The peer is a program with a datagram socket, Unix or UDP, through which
 * whole Ethernet frames travel, nothing before or behind them: QEMU's "-netdev
 * dgram", VirtualBox' UDP tunnel, vfkit, and others. Both sides bind a socket
 * and send to the other's:
 *
 *   ours (path, addr) <----- frame ----- theirs (peer)
 *                      ----- frame ---->
 *
 * Our socket is connected to theirs, so that the kernel keeps strangers out and
 * looks a Unix path up only once. Before a Unix peer is there, or when it is
 * another process by now, strangers can send all the same: rx() compares the
 * sender's name with the peer's; what does not match is counted (strangers) and
 * was never received.
 *
 * A Unix peer may come later, go, and be reborn at the same path; until it is
 * there, packets for it are dropped (out_link_down). That it went shows when we
 * send (ECONNREFUSED) or, once a second, in that another file is at its path.
 * UDP has no such thing as a peer that is there: packets count as sent, and the
 * link is up. What ICMP says of earlier ones, the kernel tells at the next call
 * to receive or to send: it is counted (unreachable), and a hint to users
 * (complaint) until something comes from the peer; the packet at hand is sent,
 * unless it happens twice in a row (out_link_down).
 *
 * A group. addr may be an IPv4 multicast group instead, without a peer: then
 * port hears whoever sends to it, and is heard by all who joined. Members on
 * one host share the group's port to receive at, and QEMU sends from there as
 * well, so that nobody can tell two of them apart by name. We send through a
 * socket of our own (sock, connected to the group; rx.fd is joined to it): what
 * comes from its name is ours, sent back by the kernel, and forgotten (own).
 *
 * Both ways a system call carries up to DGRAM_BURST frames (recvmmsg,
 * sendmmsg). Received frames up to DGRAM_SLOT bytes lie in a slot of the arena,
 * longer ones go on in a large buffer behind; only these touch it.
 * (io_uring was measured: 64 frames a time, it took 7 % off sending and 13 %
 * off receiving over Unix sockets, 1 % and 14 % over UDP; not worth what it
 * needs: a library, and a seccomp filter that does not see what it does.)
 *
 * A Unix socket's queue holds few datagrams (net.unix.max_dgram_qlen, 10 where
 * nobody changed it), whatever their size: a batch for a peer that does not
 * read at that very moment loses the rest (out_no_room). So what the queue does
 * not take waits in a backlog of ours, in order, and the control thread sends
 * it when the peer has read (EPOLLOUT). Frames in it count as sent, as those do
 * that the peer's queue holds; a peer that goes takes them with it (lost).
 *
 * Descriptors. Frames need none, and to close one that somebody else made may
 * take for ever. Where the kernel can refuse them it does; else a message that
 * holds some is dropped (in_descriptors) and the bin (core/discard.h) closes
 * them. If they come faster than that, the port is broken.
 *
 * Threads. Members of struct dgram are the control thread's unless they say
 * otherwise. rx belongs to the ring's worker; any worker sends, without a lock
 * while the backlog is empty.
 */
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/discard.h"
#include "core/loop.h"
#include "core/port.h"
#include "core/socket.h"

extern const struct port_ops dgram_port_ops;
extern const struct port_hot dgram_hot;

enum {
	DGRAM_BURST = 64,	  /* frames per system call */
	DGRAM_FRAME_MAX = 69632,  /* as QEMU's */
	DGRAM_UDP_MAX = 65507,	  /* what UDP over IPv4 takes */
	DGRAM_SLOT = 2048,	  /* the first bytes of a received frame */
	DGRAM_STRIDE = 2048 + 64, /* slots do not share cache sets */
	DGRAM_LARGE = DGRAM_FRAME_MAX - DGRAM_SLOT,
	DGRAM_SPARE = 4096, /* mapped behind it, for overreads */
	DGRAM_ARENA = DGRAM_BURST * (DGRAM_STRIDE + DGRAM_LARGE) + DGRAM_SPARE,
	DGRAM_SNDBUF = 4 << 20,
	DGRAM_RCVBUF = 4 << 20,	 /* UDP's queue is counted in bytes */
	DGRAM_BACKLOG = 1 << 20, /* bytes, with what manages them */
	DGRAM_RETRY_MS = 100,	 /* between tries to find the peer; doubles */
	DGRAM_RETRY_MAX_MS = 1000,
	DGRAM_HERE_MS = 10, /* to the next try when somebody sends */
	DGRAM_TEXT = 320,
	/* Descriptors that may come with one system call, and that may wait to
	 * be closed before the next one. */
	DGRAM_FILES = DGRAM_BURST * DISCARD_SCM_MAX,
	DGRAM_FILES_WAIT = 2 * DISCARD_MAX,
};

/* Where the kernel puts descriptors. */
union dgram_control {
	struct cmsghdr align;
	uint8_t room[DISCARD_CONTROL];
};

/* What the ring's worker works with. */
struct dgram_rx {
	struct dgram *dgram;	      /* const */
	int fd;			      /* const */
	uint8_t *arena;		      /* const: DGRAM_ARENA bytes */
	struct discard *bin;	      /* const; NULL: UDP, as the next one */
	union dgram_control *control; /* const: DGRAM_BURST of them */
	struct mmsghdr msg[DGRAM_BURST];
	struct iovec iov[DGRAM_BURST][2];
	struct sockaddr_storage from[DGRAM_BURST];
};

/* Frames that wait for room in the peer's queue; all of it under the lock. */
struct dgram_backlog {
	pthread_mutex_t lock;
	uint8_t *bytes;	    /* const: a circle of DGRAM_BACKLOG bytes */
	uint32_t head;	    /* the oldest frame; a multiple of 64 */
	uint32_t used;	    /* bytes from there on; a multiple of 64 */
	_Atomic uint32_t n; /* frames; read without the lock, too */
	uint64_t lost;	    /* frames that waited and were not sent */
};

/* The name that the peer's datagrams come from, or in a group, our own.
 * Immutable once published. */
struct dgram_name {
	struct socket_addr addr;
};

/* What workers saw and the control thread is to look at; bits. */
enum {
	DGRAM_GONE = 1, /* the peer does not take packets any more */
	DGRAM_HERE = 2, /* somebody sends who may be the peer */
	DGRAM_FILES_CAME = 4,
};

struct dgram {
	struct port *port; /* const, as all up to here */
	struct loop *loop;
	bool is_unix;
	bool group;		     /* addr is one, and so is peer: it */
	char interface[IF_NAMESIZE]; /* where it is joined; "": the kernel
					 * chooses */
	uint32_t frame_max;
	struct socket_addr addr, peer;
	char text[SOCKET_TEXT_SIZE], peer_text[SOCKET_TEXT_SIZE];
	struct socket_file file;      /* Unix: what we made */
	bool lost;		      /* it is not there any more */
	struct socket_file peer_file; /* Unix: what we connected to */

	struct loop_source sock; /* our socket; group: to send */
	struct loop_source wake; /* eventfd: seen is not 0 */
	struct loop_timer timer; /* for the next try to find the peer */
	unsigned retry_ms;
	uint64_t connections;
	char last_error[DGRAM_TEXT];
	struct dgram_name names[2];

	_Atomic(const struct dgram_name *) name; /* one of names; RCU */
	_Atomic bool connected;	      /* written by the control thread */
	_Atomic unsigned seen;	      /* DGRAM_GONE, DGRAM_HERE */
	_Atomic int error;	      /* errno of a send that nobody expects */
	_Atomic uint64_t unreachable; /* UDP: what ICMP said, how often */
	_Atomic int complaint; /* UDP: errno of the latest; 0: since then, the
				* peer was heard */
	_Atomic uint64_t strangers; /* datagrams that were not the peer's */
	_Atomic uint64_t own;	    /* group: datagrams of ours */
	_Atomic uint64_t full;	    /* how often the peer's queue was full */
	_Atomic uint64_t delayed;   /* frames that waited in the backlog */
	struct dgram_rx rx;
	_Alignas(64) struct dgram_backlog backlog;
};

/* Any thread: the control thread is to look at something. */
void dgram_tell(struct dgram *d, unsigned bit);

/*
 * group.c, control thread: makes the sockets of a port that is in a group,
 * sock.fd and rx.fd. 0 or -errno with a sentence, and nothing left open.
 */
bool group_address(const struct socket_addr *a);
int group_open(struct dgram *d, struct glen_error *error);

/*
 * backlog.c, any thread. backlog_add() appends packets list[0..n) of b as far
 * as there is room, counts them, those that do not fit as out_no_room, and has
 * the rest sent when the peer has room again. backlog_empty() sends what it
 * can and says whether nothing is left.
 */
void backlog_add(struct dgram *d, struct tx_ctx *ctx, const struct batch *b,
		 const uint16_t *list, unsigned n);
bool backlog_empty(struct dgram *d);
/* Control thread: forgets all frames, without a lock held. */
void backlog_clear(struct dgram *d);
/* Any thread: frames that waited and were never sent. */
uint64_t backlog_lost(struct dgram *d);

#endif
