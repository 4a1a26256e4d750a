/* SPDX-License-Identifier: BSD-2-Clause */
/* server.h - the control socket and its connections. */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H
/*
 * Theory of operation
 *
 * One listening Unix stream socket; each connection is a stream of lines in
 * both directions. A line that is complete goes through jsonrpc_parse() to
 * ops->request(), which answers now or later with conn_answer() and its kind.
 *
 *   socket --conn_read()--> in --line--> ops->request()
 *   socket <--conn_flush()-- out queue <-- conn_answer(), conn_notify()
 *
 * Nobody who may connect can hurt the others:
 *   - a line is at most JSONRPC_LINE_MAX bytes; an incomplete one that makes no
 *     progress for SERVER_STALL_S, or a queue that nobody reads for as long,
 *     ends the connection with a line in the log;
 *   - while more than SERVER_OUT_PAUSE bytes wait to be read by a client, its
 *     requests are not looked at;
 *   - at most SERVER_LINES requests of one connection per turn of the loop;
 *   - all connections together hold at most SERVER_BYTES_MAX; the one that
 *     crosses the line is closed;
 *   - at most SERVER_CONNS_MAX connections; if descriptors run out, one kept in
 *     reserve serves to accept and refuse, so that the socket never sticks.
 *
 * Descriptors of a client: of what comes with some bytes the first
 * SERVER_FDS_MAX wait in conn->fds until a method takes them, or until the
 * request they came with (or all that was read with it) has been answered, or
 * others come. To close what somebody else made may take for ever, so that is
 * left to the bin (core/discard.h). While that is full nothing is read and
 * nobody can connect; packets pass, and connections that are open stay so.
 *
 * Everything here is for the control thread. A connection stays valid until
 * ops->gone() returns; ops->gone() is never called from within a function of
 * this header but server_fini() and those of the loop.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/jsonrpc.h"
#include "ctl/log.h"
#include "core/loop.h"

enum {
	SERVER_FDS_MAX = 4,
	SERVER_OUT_FDS_MAX = 8,
	SERVER_CONNS_MAX = 4096,
	SERVER_LINES = 8,
	SERVER_OUT_PAUSE = 1 << 20,
	SERVER_BYTES_MAX = 256 << 20,
	SERVER_STALL_S = 10,
};

struct discard;
struct server;

/* A line, or what is left of it, that the socket did not take. */
struct conn_out {
	struct conn_out *next;
	char *line; /* owned */
	size_t len, sent;
	int fds[SERVER_OUT_FDS_MAX]; /* owned duplicates; go with byte 0 */
	unsigned n_fds;
};

struct conn {
	struct server *server;
	struct conn *next, *prev;
	struct loop_source source;
	int fd;	   /* -1: dead, to be freed after the turn */
	pid_t pid; /* of the client, as of its connect() */
	uid_t uid;
	char *in; /* received, not yet handled */
	size_t in_len, in_size;
	size_t in_scanned;	 /* bytes of in known to hold no newline */
	int fds[SERVER_FDS_MAX]; /* received, not yet taken */
	unsigned n_fds;
	struct conn_out *out, **out_end;
	size_t out_bytes; /* not yet sent */
	int64_t moved_s;  /* when in or out last made progress */
	uint32_t events;  /* what the loop waits for */
	bool more;	  /* a whole line may lie in in[] */
	bool busy;	  /* a request waits for its answer */
	bool eof;	  /* the client sends nothing any more */
	bool hang_up;	  /* close when out is empty; no more requests */
	void *port;	  /* daemon: the port that this connection is */
	void *wait;	  /* daemon: the port.wait it is busy with */
	void *capture;	  /* daemon: its capture session */
};

struct server_ops {
	/*
	 * A request. Answer with conn_answer() or conn_refuse(); or set
	 * conn->busy and answer later: the next request is handed over when
	 * busy is false again (conn_resume()).
	 */
	void (*request)(void *arg, struct conn *conn,
			struct jsonrpc_request *r);
	/* The connection is closed; forget it. */
	void (*gone)(void *arg, struct conn *conn);
};

struct server {
	struct loop *loop;
	const struct server_ops *ops;
	void *arg;
	struct loop_source source;
	int fd;		/* listening; -1: closed */
	int lock_fd;	/* of the lock file beside the socket */
	int reserve_fd; /* given up when descriptors run out; -1: gone */
	struct loop_timer again; /* to get it back; until then nobody is
				  * accepted */
	char *path;
	struct conn *conns;
	unsigned n_conns;
	size_t bytes;  /* in all in[] and out queues */
	bool any_more; /* some connection has more set */
	bool deaf;     /* the bin is full */
	struct discard *bin;
	struct log_limit limit;
};

/* What the socket file shall be. */
struct server_config {
	const char *path;
	const char *group; /* NULL: the process's */
	unsigned mode;	   /* such as 0600 */
};

/*
 * Makes the socket's directory (0755 for root, else 0700) and the socket. One
 * that nobody listens on any more is replaced. -EADDRINUSE: another glend
 * listens there (the text names its pid if known); -EINVAL (path too long,
 * unknown group), or what the system calls said.
 */
int server_init(struct server *s, struct loop *loop,
		const struct server_config *config,
		const struct server_ops *ops, void *arg,
		struct glen_error *error);

/* Closes all connections and removes the socket file. Fine after a failed
 * server_init(). */
void server_fini(struct server *s);

/* After every loop_turn(): handles requests that had to wait their turn. */
void server_turn(struct server *s);
/* True if server_turn() has something to do at once: do not sleep. */
bool server_busy(const struct server *s);
/* About once a second: connections that are stuck. */
void server_tick(struct server *s);

/* True, and said in the log, if there is no room for what clients may send. */
bool server_is_deaf(struct server *s);

/* Answers; takes result. fds are borrowed and go along. */
void conn_answer(struct conn *c, json_t *id, json_t *result, const int *fds,
		 unsigned n_fds);
void conn_refuse(struct conn *c, json_t *id, int code, const char *text,
		 const char *where);
/* Sends a notification; takes params. */
void conn_notify(struct conn *c, const char *method, json_t *params);
/* The answer to a request that was busy has been given. */
void conn_resume(struct conn *c);
/* Closes when all answers are sent. */
void conn_hang_up(struct conn *c);
/* Closes conn->fds that nobody took. */
void conn_drop_fds(struct conn *c);

/* Monotonic seconds. */
int64_t server_now_s(void);

#endif
