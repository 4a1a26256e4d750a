// SPDX-License-Identifier: BSD-2-Clause
// guard.c - two processes that undo what glend changed, should it be killed.
#include "port/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	GUARDS = GUARD_PIDS,
	ANSWER_MS = 2000, /* a guard that takes longer counts as dead */
	FD_SOCKET = 3,	  /* a guard's descriptors; those of its list follow */
	FD_HOLD = 4,
	FD_ITEMS = 5,
};

enum message_kind {
	MSG_ADD,    /* put on the list; with a socket */
	MSG_DEL,    /* take off */
	MSG_COPY,   /* make another guard; its socket comes with the answer */
	MSG_FORGET, /* everything, and end */
	MSG_DONE,   /* answers the others, but FORGET */
};

struct message {
	uint32_t kind;
	int32_t id;
	int32_t err; /* of the answer */
	int32_t pid; /* of the answer to COPY: the copy's */
	struct undo undo;
};

/* One thing to put back. */
struct item {
	int id; /* 0: free */
	int sock;
	struct undo undo;
};

/* What is to be put back: in a guard, and in glend for guards to come. */
static struct item items[GUARD_ITEMS_MAX];

/* glend's side. */
static struct guard {
	struct guard_config config;
	struct loop_source source[GUARDS]; /* fd -1: none */
	pid_t pid[GUARDS];
	int last_id;
	bool used;   /* guard_start() was called */
	bool orphan; /* it was said that there is no guard */
} guard = { .source = { { .fd = -1 }, { .fd = -1 } } };

/* Sends a message with at most one descriptor; 0 or -errno. */
static int message_send(int sock, const struct message *m, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receives one; *fd is -1 if none came. -ECONNRESET: the other side is gone. */
static int message_receive(int sock, struct message *m, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	return n == sizeof(*m) ? 0 : -ECONNRESET;
}

static struct item *item_find(int id)
{
	for (struct item *i = items; i < items + GUARD_ITEMS_MAX; i++)
		if (i->id == id)
			return i;
	return NULL;
}

static void item_free(struct item *item)
{
	close(item->sock);
	item->id = 0;
}

/* The guard's process */

static void ignore_signals(void)
{
	static const int signals[] = { SIGINT,	SIGTERM, SIGHUP,  SIGQUIT,
				       SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM,
				       SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD };

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], SIG_IGN);
}

/* Last change first. The other guard does the same: one at a time. */
static void undo_all(void)
{
	struct flock lock = { .l_type = F_WRLCK };

	fcntl(FD_HOLD, F_SETLKW, &lock);
	for (;;) {
		struct item *last = NULL;

		for (struct item *i = items; i < items + GUARD_ITEMS_MAX; i++)
			if (i->id && (!last || i->id > last->id))
				last = i;
		if (!last)
			return;
		undo_run(last->sock, &last->undo);
		last->id = 0;
	}
}

static int item_add(const struct message *m, int *fd)
{
	struct item *item = item_find(0);

	if (m->id > 0 && item_find(m->id))
		return 0; /* this guard is a copy of one that has it */
	if (!item || *fd < 0 || m->id <= 0)
		return -ENOSPC;
	*item = (struct item){ m->id, *fd, m->undo };
	*fd = -1;
	return 0;
}

static int item_del(int id)
{
	struct item *item = id > 0 ? item_find(id) : NULL;

	if (!item)
		return -ENOENT;
	item_free(item);
	return 0;
}

/* Makes another guard; *fd becomes glend's end of its socket. */
static int copy_self(int *fd, int32_t *pid_out)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (pid == 0) {
		dup3(pair[1], FD_SOCKET, O_CLOEXEC);
		close(pair[0]);
		close(pair[1]);
		return 0;
	}
	err = pid < 0 ? -errno : 0;
	*pid_out = pid;
	close(pair[1]);
	if (err)
		close(pair[0]);
	else
		*fd = pair[0];
	return err;
}

/* True if the guard is to go on. */
static bool serve(void)
{
	struct message m, answer = { .kind = MSG_DONE };
	int fd, out = -1, err = message_receive(FD_SOCKET, &m, &fd);

	if (err) {
		undo_all();
		return false;
	}
	switch (m.kind) {
	case MSG_ADD:
		answer.err = item_add(&m, &fd);
		break;
	case MSG_DEL:
		answer.err = item_del(m.id);
		break;
	case MSG_COPY:
		answer.err = copy_self(&out, &answer.pid);
		if (!answer.err && out < 0)
			return true; /* this is the copy */
		break;
	case MSG_FORGET:
		return false;
	default:
		answer.err = -EINVAL;
	}
	if (fd >= 0)
		close(fd);
	message_send(FD_SOCKET, &answer, out);
	if (out >= 0)
		close(out);
	return true;
}

/* Does not return. sock and hold_fd may have any numbers. */
static void guard_main(int sock, int hold_fd, int (*harden)(void))
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Out of the way of the numbers that they shall have. */
	int s = fcntl(sock, F_DUPFD_CLOEXEC, FD_ITEMS);
	int h = fcntl(hold_fd >= 0 ? hold_fd : null, F_DUPFD_CLOEXEC, FD_ITEMS);

	if (null < 0 || s < 0 || h < 0)
		_exit(1);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	dup3(s, FD_SOCKET, O_CLOEXEC);
	dup3(h, FD_HOLD, O_CLOEXEC);
	close_range(FD_ITEMS, ~0U, 0);
	memset(items, 0, sizeof(items)); /* glend's */
	setsid();
	ignore_signals();
	prctl(PR_SET_NAME, "glend-guard", 0, 0, 0);
	if (chdir("/") || (harden && harden()))
		_exit(1);
	while (serve())
		;
	_exit(0);
}

/* glend's side */

static void say(const char *text)
{
	if (guard.config.log)
		guard.config.log(text);
}

static unsigned n_alive(void)
{
	return (guard.source[0].fd >= 0) + (guard.source[1].fd >= 0);
}

/* Closes the socket to guard i. One that lives all the same must not undo. */
static void let_go(unsigned i)
{
	static const struct message forget = { .kind = MSG_FORGET };
	struct loop_source *source = &guard.source[i];

	if (source->fd < 0)
		return;
	message_send(source->fd, &forget, -1);
	if (guard.config.loop)
		loop_del(guard.config.loop, source);
	close(source->fd);
	source->fd = -1;
}

/* A request and its answer; -errno if the guard is gone or refuses. */
static int call(unsigned i, const struct message *m, int fd, int *fd_back)
{
	struct pollfd p = { .fd = guard.source[i].fd, .events = POLLIN };
	struct message answer;
	int came = -1, err = message_send(p.fd, m, fd);

	if (!err && poll(&p, 1, ANSWER_MS) != 1)
		err = -ETIMEDOUT;
	if (!err)
		err = message_receive(p.fd, &answer, &came);
	if (err)
		return err;
	if (fd_back)
		*fd_back = came;
	else if (came >= 0)
		close(came);
	if (answer.pid)
		guard.pid[!i] = answer.pid; /* guard i copied itself */
	return answer.err;
}

static void on_event(void *arg, uint32_t events);

static int watch(unsigned i, int fd)
{
	guard.source[i] = (struct loop_source){ fd, on_event, NULL };
	return guard.config.loop ?
		       loop_add(guard.config.loop, &guard.source[i], EPOLLIN) :
		       0;
}

static int start_one(unsigned i)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (pid == 0)
		guard_main(pair[1], guard.config.hold_fd, guard.config.harden);
	err = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (err) {
		close(pair[0]);
		return err;
	}
	guard.pid[i] = pid;
	return watch(i, pair[0]);
}

/* Guard i, which was just started, gets the list; 0 if it has all of it. */
static int tell_all(unsigned i)
{
	struct message m = { .kind = MSG_DEL }; /* of nothing: is it there? */
	int err = call(i, &m, -1, NULL);

	if (err != -ENOENT)
		return err ? err : -EPROTO;
	m.kind = MSG_ADD;
	for (unsigned k = 0; k < GUARD_ITEMS_MAX; k++) {
		if (!items[k].id)
			continue;
		m.id = items[k].id;
		m.undo = items[k].undo;
		err = call(i, &m, items[k].sock, NULL);
		if (err)
			return err;
	}
	return 0;
}

/* Nobody is left who could make a copy. */
static void start_anew(void)
{
	char text[200];
	int err = 0;

	for (unsigned i = 0; !err && i < GUARDS; i++) {
		err = start_one(i);
		if (!err)
			err = tell_all(i);
	}
	if (!err) {
		guard.orphan = false;
		say("both guard processes had ended and were started again");
		return;
	}
	for (unsigned i = 0; i < GUARDS; i++)
		let_go(i);
	snprintf(text, sizeof(text),
		 "both guards are gone and cannot be started again: %s; should "
		 "glend be killed, settings of interfaces stay as they are; "
		 "restart glend to have new ones",
		 strerror(-err));
	if (!guard.orphan)
		say(text);
	guard.orphan = true;
}

/* Guard i is gone: the other one makes a copy of itself. */
static void replace(unsigned i)
{
	static const struct message copy = { .kind = MSG_COPY };
	unsigned other = !i;
	int fd = -1;

	let_go(i);
	if (guard.source[other].fd < 0 || call(other, &copy, -1, &fd) ||
	    fd < 0) {
		let_go(other);
		start_anew();
		return;
	}
	if (watch(i, fd)) {
		let_go(i);
		return;
	}
	say("a guard process ended and was replaced");
}

/* Nobody sends us anything unasked: it is the end. */
static void on_event(void *arg, uint32_t events)
{
	for (unsigned i = 0; i < GUARDS; i++) {
		struct pollfd p = { .fd = guard.source[i].fd,
				    .events = POLLIN };

		if (p.fd >= 0 && poll(&p, 1, 0) == 1)
			replace(i);
	}
}

/* Says m to both; those that do not answer are replaced. */
static int call_all(const struct message *m, int fd)
{
	int err = 0;

	for (unsigned i = 0; i < GUARDS; i++) {
		int result;

		if (guard.source[i].fd < 0)
			continue;
		result = call(i, m, fd, NULL);
		if (result && result != -ENOSPC && result != -ENOENT) {
			replace(i);
			/* The copy may be of one that does not know yet. */
			result = guard.source[i].fd < 0 ? 0 :
							  call(i, m, fd, NULL);
		}
		if (result && result != -ENOENT)
			err = result;
	}
	return err;
}

int guard_start(const struct guard_config *config, struct glen_error *error)
{
	int err = 0;

	guard.config = *config;
	guard.used = true;
	guard.orphan = false;
	signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
	for (unsigned i = 0; !err && i < GUARDS; i++)
		err = start_one(i);
	if (!err)
		return 0;
	guard_stop();
	return error_set(error, err, "cannot start a guard process: %s",
			 strerror(-err));
}

void guard_stop(void)
{
	for (unsigned i = 0; i < GUARDS; i++)
		let_go(i);
	for (unsigned k = 0; k < GUARD_ITEMS_MAX; k++)
		if (items[k].id)
			item_free(&items[k]);
	guard.used = false;
}

int guard_add(int sock, const struct undo *undo, struct glen_error *error)
{
	struct message m = { .kind = MSG_ADD, .undo = *undo };
	struct item *item = item_find(0);
	int own;

	if (!guard.used)
		return 0;
	if (!item || guard.last_id == INT32_MAX)
		return error_set(error, -ENOSPC,
				 "more than %d settings of interfaces are "
				 "changed; delete some ports",
				 GUARD_ITEMS_MAX);
	own = fcntl(sock, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return error_set(error, -errno, "cannot copy a socket: %s",
				 error_reason(errno));
	m.id = ++guard.last_id;
	*item = (struct item){ m.id, own, *undo };
	if (!n_alive())
		start_anew();
	if (call_all(&m, sock)) {
		guard_del(m.id);
		return error_set(error, -ENOSPC,
				 "a guard process has no room for another "
				 "setting");
	}
	return m.id;
}

void guard_del(int id)
{
	struct message m = { .kind = MSG_DEL, .id = id };
	struct item *item = id > 0 && guard.used ? item_find(id) : NULL;

	if (!item)
		return;
	item_free(item);
	call_all(&m, -1);
}

unsigned guard_pids(pid_t pids[GUARD_PIDS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < GUARDS; i++)
		if (guard.source[i].fd >= 0)
			pids[n++] = guard.pid[i];
	return n;
}
