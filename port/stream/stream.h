/* SPDX-License-Identifier: BSD-2-Clause */
/* stream.h - a port whose frames travel through a stream socket. */
#ifndef PORT_STREAM_STREAM_H
#define PORT_STREAM_STREAM_H
/*
 * Theory of operation
 *
 * The peer is a program with a stream socket, Unix or TCP, through which each
 * frame travels behind its length:
 *
 *   | length: 4 bytes, big endian, 1..69632 | frame | length | frame | ...
 *
 * That is QEMU's "-netdev stream" (and its older "socket"), passt, and others.
 * glend listens (mode=server, one peer at a time) or connects and keeps trying
 * (mode=client). The port stays while connections come and go; its link is up
 * while there is one.
 *
 * Ingress. One recv() fills the arena, from which whole frames are handed out
 * where they lie, a batch at a time; what is left of the last one is moved to
 * the arena's start before the next recv(). A length that cannot be ends the
 * connection: there is no way to find the next frame.
 *
 * Egress. One sendmsg() takes a batch (a burst): small packets are copied one
 * behind the other, of large ones only the header. The socket may take a part
 * of it. The frame at the cut is then finished before anything else: its rest
 * is kept in tx.rest, and those behind it are dropped (out_no_room). Should no
 * further packet come, the control thread sends the rest when the socket has
 * room again; nothing is ever torn.
 *
 * One worker at a time sends, and nobody waits for another's system call: who
 * finds somebody sending leaves his frames in a queue (queue.h) and goes on.
 * Whoever sends takes along what is in the queue, before his own and again
 * after he has given the lock back, so that nothing stays; if there is no end
 * to it, the control thread takes over. Each worker's frames keep their order.
 * Frames in the queue count as sent, as those do that the socket still holds.
 * A connection that ends takes them with it (lost).
 *
 * End of a connection. Whoever sees it, the ring's worker (end of file, breach)
 * or one that sends (broken pipe), says so once with stream_end() and leaves
 * the socket alone from then on; the control thread takes the ring from its
 * worker, closes the socket, and listens or connects again. Everything that
 * the peer sent before has been read by then.
 *
 * Descriptors. Frames need none, and to close one that somebody else made may
 * take for ever. Where the kernel can refuse them it does, and recv() is all it
 * takes to receive; where it cannot, it takes a recvmsg() with room for them,
 * who sends some is disconnected, and the bin (core/discard.h) closes them. The
 * kernel is asked once per connection.
 *
 * Threads. Members of struct stream are the control thread's unless they say
 * otherwise. rx belongs to the ring's worker while the ring runs; tx to whoever
 * holds its lock. Workers only ever try to take it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/discard.h"
#include "core/loop.h"
#include "core/port.h"
#include "core/socket.h"
#include "port/stream/queue.h"

extern const struct port_ops stream_port_ops;
/* What is wrong with a connection within one switch. */
extern const char stream_circle[];
extern const struct port_hot stream_hot;

enum {
	STREAM_HEAD = 4,	  /* the length before each frame */
	STREAM_FRAME_MAX = 69632, /* QEMU's limit: 64 KiB and 4 KiB */
	STREAM_ARENA = 256 << 10, /* one recv() */
	STREAM_SPARE = 4096,	  /* mapped behind it, for overreads */
	STREAM_SNDBUF = 1 << 20,  /* of a Unix socket */
	STREAM_RETRY_MS = 100,	  /* between tries to connect; doubles */
	STREAM_RETRY_MAX_MS = 1000,
	STREAM_CONNECT_MS = 5000, /* for TCP's handshake */
	STREAM_TEXT = 320,
	STREAM_FILES = 2 * DISCARD_SCM_MAX, /* that wait to be closed */
};

/* Why a connection ended; in the high half of stream.end, with a number. */
enum stream_end {
	STREAM_END_NONE,
	STREAM_END_CLOSED, /* by the peer, between frames */
	STREAM_END_CUT,	   /* by the peer, after so many bytes of a frame */
	STREAM_END_LENGTH, /* a length that cannot be: the number */
	STREAM_END_ERROR,  /* the number is an errno */
	STREAM_END_FILES,  /* descriptors came */
};

/* What the ring's worker reads. */
struct stream_rx {
	struct stream *stream; /* const */
	struct discard *bin;   /* const; of what is sent by Unix sockets */
	uint8_t *arena;	       /* const: STREAM_ARENA bytes and the spare */
	int fd;		       /* const while the ring runs */
	bool plain;	       /* no descriptors can come; as fd */
	bool over;	       /* nothing more comes */
	bool files;	       /* descriptors came: over after these frames */
	uint32_t head, tail;   /* arena[head..tail) is not handed out yet */
};

/* Who sends, and what he left over; under the lock, held over system calls. */
struct stream_tx {
	pthread_mutex_t lock;
	int fd;		   /* -1: nobody is connected */
	uint8_t *rest;	   /* const: room for STREAM_HEAD + STREAM_FRAME_MAX */
	uint32_t rest_off; /* rest[rest_off..rest_len) goes first */
	uint32_t rest_len;
	bool waits; /* the control thread goes on when there is room */
};

struct stream {
	struct port *port; /* const, as all up to here */
	struct loop *loop;
	bool server;
	struct socket_addr addr;
	char text[SOCKET_TEXT_SIZE]; /* addr's */
	struct socket_file file;     /* server, Unix: what we made */
	mode_t access;		     /* of it */
	struct glen_error lost;	     /* why nobody can connect; code 0: they
				      * can */

	struct loop_source listener; /* fd -1: client */
	struct loop_source conn;     /* fd -1: none, not even begun */
	struct loop_source wake;     /* eventfd: stream_end() was called */
	struct loop_timer timer;     /* to connect, or to give that up; to
				      * listen again */
	unsigned retry_ms;
	int64_t begun_ms;	/* client: when the connection began, */
	uint64_t begun_packets; /* and what had come before */
	unsigned turned_away;	/* server: since the last pause */
	uint64_t connections, refused;
	char peer[SOCKET_TEXT_SIZE];
	bool circle; /* it is a port of the same switch */
	char last_error[STREAM_TEXT];

	_Atomic bool connected; /* written by the control thread */
	_Atomic uint64_t end;	/* enum stream_end << 32 | number */
	_Atomic uint64_t full;	/* how often the socket was full */
	struct stream_rx rx;
	_Alignas(64) struct stream_tx tx;
	_Alignas(64) struct stream_queue queue;
};

/* Any thread: the connection is over; the first who says so counts. */
void stream_end(struct stream *s, enum stream_end why, uint32_t number);

/*
 * send.c, all but the last with tx.lock.
 *
 * stream_rest_send() sends what is left of the rest, stream_send_waiting() that
 * and what is in the queue. They return 0 if nothing of it is left, or -errno:
 * -EAGAIN if the socket is full; then the control thread goes on when it has
 * room. -EBUSY: there is more in the queue, which must be sent before anything
 * else, but not by who asked. Others mean that the connection is over.
 */
int stream_rest_send(struct stream *s);
int stream_send_waiting(struct stream *s);
/*
 * The drop reason for what a socket did not take. A peer that has gone may
 * have left something to read: its end is for the ring's worker to see.
 */
enum drop stream_send_failed(struct stream *s, int err);
/* Gives tx.lock back, and sends what others have queued meanwhile. */
void stream_tx_unlock(struct stream *s);

#endif
