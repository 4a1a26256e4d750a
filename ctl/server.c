// SPDX-License-Identifier: BSD-2-Clause
// server.c - the control socket: its file, its lock, accepting connections.
#include "ctl/server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/discard.h"
#include "ctl/conn.h"
#include "lib/error.h"

enum {
	BACKLOG = 512,
	LOCK_TRIES = 500,
	LOCK_PAUSE_MS = 10,
	ACCEPTS = 64,
};

int64_t server_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

/* The socket's directory: made if missing, and not one that others control. */
static int make_dir(const char *path, struct glen_error *error)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (!slash || slash == path)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (mkdir(dir, geteuid() ? 0700 : 0755) && errno != EEXIST)
		return error_set(error, -errno,
				 "cannot make directory %s for the control "
				 "socket: %s; choose another place with "
				 "--socket",
				 dir, strerror(errno));
	if (stat(dir, &st))
		return error_set(error, -errno, "directory %s: %s", dir,
				 strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(error, -ENOTDIR, "%s is not a directory", dir);
	if (geteuid() && st.st_uid && st.st_uid != geteuid())
		return error_set(error, -EPERM,
				 "directory %s belongs to uid %u, who could "
				 "replace the control socket; choose another "
				 "place with --socket",
				 dir, (unsigned)st.st_uid);
	return 0;
}

/* The pid in a lock file that another process holds; 0: not known. */
static long lock_holder(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return strtol(text, NULL, 10);
}

/*
 * The lock is held for a moment longer than its glend lived if that was killed
 * and its guards undo what it changed (port/guard.h).
 */
static bool only_guards_hold(int fd)
{
	struct timespec pause = { 0, LOCK_PAUSE_MS * 1000000L };
	long pid = lock_holder(fd);

	if (pid <= 0 || !kill(pid, 0) || errno != ESRCH)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

static int in_use(const char *path, long pid, struct glen_error *error)
{
	if (pid > 0)
		return error_set(error, -EADDRINUSE,
				 "process %ld listens on %s already; stop it, "
				 "or choose another place with --socket",
				 pid, path);
	return error_set(error, -EADDRINUSE,
			 "another process listens on %s already; stop it, or "
			 "choose another place with --socket",
			 path);
}

/* Locks the file beside the socket: one glend per path. */
static int take_lock(struct server *s, struct glen_error *error)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
	struct stat mine, there;
	int err;

	snprintf(path, sizeof(path), "%s.lock", s->path);
	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			      0600);

		if (fd < 0)
			return error_set(error, -errno, "cannot make %s: %s",
					 path, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			err = errno;
			if (err == EWOULDBLOCK && only_guards_hold(fd)) {
				close(fd);
				continue;
			}
			if (err == EWOULDBLOCK)
				err = -in_use(s->path, lock_holder(fd), error);
			else
				error_set(error, -err, "cannot lock %s: %s",
					  path, strerror(err));
			close(fd);
			return -err;
		}
		/* A glend that ended may just have removed this file. */
		if (!fstat(fd, &mine) && !stat(path, &there) &&
		    mine.st_ino == there.st_ino &&
		    mine.st_dev == there.st_dev) {
			s->lock_fd = fd;
			if (!ftruncate(fd, 0))
				dprintf(fd, "%ld\n", (long)getpid());
			return 0;
		}
		close(fd);
	}
	return error_set(error, -EAGAIN, "%s comes and goes", path);
}

/* Looks at what is at the path, and removes a socket nobody listens on. */
static int clear_path(const struct sockaddr_un *addr, struct glen_error *error)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	struct stat st;
	int fd, err = 0;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ?
			       0 :
			       error_set(error, -errno, "%s: %s",
					 addr->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(error, -EEXIST,
				 "%s exists and is not a socket; remove it, or "
				 "choose another place with --socket",
				 addr->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, -errno, "socket: %s", strerror(errno));
	if (!connect(fd, (const void *)addr, sizeof(*addr))) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
		err = in_use(addr->sun_path, peer.pid, error);
	} else if (errno == EAGAIN) {
		err = in_use(addr->sun_path, 0, error);
	} else if (errno != ECONNREFUSED && errno != ENOENT) {
		err = error_set(error, -errno, "%s: %s", addr->sun_path,
				strerror(errno));
	} else if (unlink(addr->sun_path) && errno != ENOENT) {
		err = error_set(error, -errno, "cannot replace %s: %s",
				addr->sun_path, strerror(errno));
	}
	close(fd);
	return err;
}

static int set_access(const struct server_config *config,
		      struct glen_error *error)
{
	struct group *group;
	char *end;
	gid_t gid;

	if (config->group) {
		gid = strtoul(config->group, &end, 10);
		if (*end || end == config->group) {
			group = getgrnam(config->group);
			if (!group)
				return error_set(error, -EINVAL,
						 "there is no group '%.60s'",
						 config->group);
			gid = group->gr_gid;
		}
		if (chown(config->path, -1, gid))
			return error_set(error, -errno,
					 "cannot give %s to group %.60s: %s",
					 config->path, config->group,
					 strerror(errno));
	}
	if (chmod(config->path, config->mode))
		return error_set(error, -errno,
				 "cannot set the mode of %s: "
				 "%s",
				 config->path, strerror(errno));
	return 0;
}

static int listen_at(struct server *s, const struct server_config *config,
		     struct glen_error *error)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mask;
	int err;

	strcpy(addr.sun_path, config->path);
	err = clear_path(&addr, error);
	if (err)
		return err;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return error_set(error, -errno, "socket: %s", strerror(errno));
	/* Nobody may connect before the mode is what it shall be. */
	mask = umask(0177);
	err = bind(s->fd, (void *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	if (err) {
		close(s->fd);
		s->fd = -1; /* what is at the path is not ours */
		return error_set(error, err, "cannot bind %s: %s", config->path,
				 strerror(-err));
	}
	err = set_access(config, error);
	if (!err && listen(s->fd, BACKLOG))
		err = error_set(error, -errno, "listen: %s", strerror(errno));
	return err;
}

enum { RESERVE_MS = 10 };

/* Listens if there is a reserve for when descriptors run out. */
static void listen_again(void *arg)
{
	struct server *s = arg;

	if (s->reserve_fd < 0)
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->reserve_fd < 0)
		loop_timer_set(&s->again, RESERVE_MS);
	loop_set(s->loop, &s->source,
		 s->reserve_fd < 0 || s->deaf ? 0 : EPOLLIN);
}

/* Out of descriptors: takes the connection with the one in reserve, says why
 * and closes it. Else it would stay readable for ever. */
static void refuse_connection(struct server *s, int err)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-24,"
		"\"message\":\"glend has no descriptor or slot left for "
		"another connection; close some, or raise its limit of open "
		"files (LimitNOFILE= in its unit, or ulimit -n before its "
		"start)\",\"data\":{\"errno\":\"EMFILE\"}}}\n";
	int fd;

	close(s->reserve_fd);
	fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		(void)!send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
		discard_connection(s->bin, fd);
	}
	/* It may be the bin's thread that closes it, a moment later. */
	s->reserve_fd = -1;
	listen_again(s);
	log_limited(&s->limit, LOG_LEVEL_WARNING, "refused a connection: %s",
		    error_reason(err));
}

bool server_is_deaf(struct server *s)
{
	if (!discard_is_full(s->bin))
		return false;
	log_limited(&s->limit, LOG_LEVEL_WARNING,
		    "no requests are read: descriptors that clients sent "
		    "cannot be closed; who serves their files must end");
	if (!s->deaf)
		loop_set(s->loop, &s->source, 0);
	s->deaf = true;
	return true;
}

/* Once a second: is there room again? */
static void hear_again(struct server *s)
{
	if (!s->deaf || discard_is_full(s->bin))
		return;
	s->deaf = false;
	listen_again(s);
	for (struct conn *c = s->conns; c; c = c->next)
		conn_update(c);
}

static void on_listen(void *arg, uint32_t events)
{
	struct server *s = arg;
	int fd;

	if (server_is_deaf(s))
		return;
	for (int i = 0; i < ACCEPTS; i++) {
		if (s->n_conns >= SERVER_CONNS_MAX) {
			refuse_connection(s, EMFILE);
			return;
		}
		fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE ||
			       errno == ENOMEM || errno == ENOBUFS))
			refuse_connection(s, errno);
		if (fd < 0)
			return;
		conn_create(s, fd);
	}
}

int server_init(struct server *s, struct loop *loop,
		const struct server_config *config,
		const struct server_ops *ops, void *arg,
		struct glen_error *error)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->fd = s->lock_fd = s->reserve_fd = s->again.source.fd = -1;
	s->loop = loop;
	s->ops = ops;
	s->arg = arg;
	if (!*config->path ||
	    strlen(config->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return error_set(error, -EINVAL,
				 "socket path must have 1 to %zu bytes: "
				 "'%.120s'",
				 sizeof(((struct sockaddr_un *)0)->sun_path) -
					 1,
				 config->path);
	s->path = strdup(config->path);
	s->bin = discard_create(0);
	if (!s->path || !s->bin)
		return error_set(error, -ENOMEM, "out of memory");
	err = make_dir(s->path, error);
	if (!err)
		err = take_lock(s, error);
	if (!err)
		err = listen_at(s, config, error);
	if (err)
		return err;
	err = loop_timer_init(loop, &s->again, listen_again, s);
	if (err)
		return error_set(error, err, "timerfd: %s", strerror(-err));
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->source = (struct loop_source){ s->fd, on_listen, s };
	err = loop_add(loop, &s->source, EPOLLIN);
	if (err)
		error_set(error, err, "epoll: %s", strerror(-err));
	return err;
}

void server_fini(struct server *s)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];

	while (s->conns)
		conn_destroy(s->conns);
	if (s->fd >= 0) {
		loop_del(s->loop, &s->source); /* if it is there */
		unlink(s->path);
		discard_fd(s->bin, s->fd);
	}
	loop_timer_fini(s->loop, &s->again);
	if (s->reserve_fd >= 0)
		close(s->reserve_fd);
	if (s->lock_fd >= 0) {
		snprintf(path, sizeof(path), "%s.lock", s->path);
		unlink(path);
		close(s->lock_fd);
	}
	discard_destroy(s->bin);
	s->bin = NULL;
	free(s->path);
	s->path = NULL;
	s->fd = s->reserve_fd = s->lock_fd = -1;
}

bool server_busy(const struct server *s)
{
	return s->any_more;
}

void server_turn(struct server *s)
{
	struct conn *next;

	if (!s->any_more)
		return;
	s->any_more = false;
	/* Work first: it may end other connections of the list. */
	for (struct conn *c = s->conns; c; c = c->next)
		if (c->more)
			conn_work(c);
	for (struct conn *c = s->conns; c; c = next) {
		next = c->next;
		if (c->fd < 0)
			conn_destroy(c);
	}
}

void server_tick(struct server *s)
{
	int64_t now = server_now_s();

	hear_again(s);
	for (struct conn *c = s->conns; c; c = c->next) {
		bool partial = c->in_len && !c->more && !c->busy && !s->deaf;

		if (c->fd < 0 || (!partial && !c->out) ||
		    now - c->moved_s < SERVER_STALL_S)
			continue;
		log_limited(&s->limit, LOG_LEVEL_WARNING,
			    "closed the connection of process %d: %s for %d s",
			    (int)c->pid,
			    c->out ? "it did not read its answers" :
				     "its request stayed incomplete",
			    SERVER_STALL_S);
		conn_kill(c);
	}
}
