// SPDX-License-Identifier: BSD-2-Clause
// socket.c - addresses that drivers listen at or connect to.
#include "core/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	LOCK_TRIES = 50,
	LOCK_PAUSE_MS = 2,
	LOCK_IMPATIENT_S = 10,
	HOST_SIZE = INET6_ADDRSTRLEN + IF_NAMESIZE + 2,
};

int socket_addr_unix(struct socket_addr *a, const char *key, const char *path,
		     struct glen_error *error)
{
	size_t len = strlen(path);

	if (path[0] != '/')
		return error_set(error, -EINVAL,
				 "%s must be an absolute path, as /run/glen/x; "
				 "glend does not run where you are",
				 key);
	if (len >= sizeof(a->un.sun_path))
		return error_set(error, -ENAMETOOLONG,
				 "%s has %zu bytes, a socket's may have %zu: "
				 "choose a shorter one, or make a symbolic "
				 "link to its directory",
				 key, len, sizeof(a->un.sun_path) - 1);
	memset(a, 0, sizeof(*a));
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, path, len);
	a->len = offsetof(struct sockaddr_un, sun_path) + len + 1;
	return 0;
}

static int inet_bad(const char *key, struct glen_error *error)
{
	return error_set(error, -EINVAL,
			 "%s must be ADDRESS:PORT in numbers, as "
			 "192.0.2.1:5000, [2001:db8::1]:5000 or *:5000",
			 key);
}

/* Takes text apart at its last colon; host without brackets. 0 or -EINVAL. */
static int inet_split(const char *text, char *host, unsigned long *port)
{
	const char *colon = strrchr(text, ':');
	char *end;
	size_t len;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	*port = strtoul(colon + 1, &end, 10);
	len = colon - text;
	if (*end || *port > 65535 || *port == 0)
		return -EINVAL;
	if (text[0] == '[') {
		if (len < 2 || text[len - 1] != ']')
			return -EINVAL;
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return -EINVAL; /* IPv6 without brackets */
	}
	if (len >= HOST_SIZE)
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	return 0;
}

int socket_addr_inet(struct socket_addr *a, const char *key, const char *text,
		     struct glen_error *error)
{
	char host[HOST_SIZE], *scope;
	unsigned long port;

	memset(a, 0, sizeof(*a));
	if (inet_split(text, host, &port))
		return inet_bad(key, error);
	if (text[0] != '[') {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(port);
		a->len = sizeof(a->in);
		if (!host[0] || !strcmp(host, "*"))
			a->in.sin_addr.s_addr = htonl(INADDR_ANY);
		else if (inet_pton(AF_INET, host, &a->in.sin_addr) != 1)
			return inet_bad(key, error);
		return 0;
	}
	scope = strchr(host, '%');
	if (scope) {
		*scope++ = '\0';
		a->in6.sin6_scope_id = if_nametoindex(scope);
		if (!a->in6.sin6_scope_id)
			return error_set(error, -ENODEV,
					 "%s: there is no interface %s", key,
					 scope);
	}
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(port);
	a->len = sizeof(a->in6);
	if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) != 1)
		return inet_bad(key, error);
	return 0;
}

bool socket_addr_is_any(const struct socket_addr *a)
{
	if (a->any.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return a->any.sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) ||
		(IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr) &&
		 !a->in6.sin6_addr.s6_addr32[3]));
}

void socket_addr_text(const struct socket_addr *a, char text[SOCKET_TEXT_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "", scope[IF_NAMESIZE] = "";
	size_t start = offsetof(struct sockaddr_un, sun_path);

	text[0] = '\0';
	if (a->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(text, SOCKET_TEXT_SIZE, "%s:%u", host,
			 ntohs(a->in.sin_port));
	} else if (a->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		if (a->in6.sin6_scope_id)
			if_indextoname(a->in6.sin6_scope_id, scope);
		snprintf(text, SOCKET_TEXT_SIZE, "[%s%s%s]:%u", host,
			 scope[0] ? "%" : "", scope, ntohs(a->in6.sin6_port));
	} else if (a->any.sa_family == AF_UNIX && a->len > start) {
		snprintf(text, SOCKET_TEXT_SIZE, "%.*s", (int)(a->len - start),
			 a->un.sun_path);
	}
}

int socket_mode(const char *text, mode_t def, mode_t *mode,
		struct glen_error *error)
{
	char *end;
	unsigned long value;

	*mode = def;
	if (!text)
		return 0;
	value = strtoul(text, &end, 8);
	if (end == text || *end || value > 0777 || (value & 0600) != 0600)
		return error_set(error, -EINVAL,
				 "access must be an octal file mode with at "
				 "least 0600, as 0660");
	*mode = value;
	return 0;
}

/* Locks the directory of path, for as long as the descriptor is open. Without
 * that (no right to read it, or somebody holds it for long) it works, too. */
static int directory_lock(const char *path)
{
	/* Who has held one for long may hold many, and we have many ports: for
	 * a while nobody waits again. Control thread only. */
	static time_t impatient_until;
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');
	struct timespec pause = { 0, LOCK_PAUSE_MS * 1000000L };
	int fd;

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path) + 1, path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0; i++) {
		struct timespec now;

		if (!flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
			break;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec < impatient_until)
			break;
		if (i == LOCK_TRIES) {
			impatient_until = now.tv_sec + LOCK_IMPATIENT_S;
			break;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

/*
 * Removes a stale socket file; refuses whatever else is at the path. Who lives
 * there is not to notice: a datagram socket is never connected to a stream's,
 * and a connection between two of them is a matter of the one that asked. What
 * differs is the refusal.
 */
static int path_clear(const struct socket_addr *a, struct glen_error *error)
{
	const char *path = a->un.sun_path;
	struct stat st;
	int fd, err = 0;

	if (lstat(path, &st))
		return 0; /* bind() says it better */
	if (!S_ISSOCK(st.st_mode))
		return error_set(error, -EEXIST,
				 "%s exists and is not a socket: remove it, or "
				 "choose another path",
				 path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, -errno, "cannot make a socket: %s",
				 error_reason(errno));
	if (!connect(fd, &a->any, a->len) || errno == EPROTOTYPE ||
	    errno == EPERM) {
		err = error_set(error, -EADDRINUSE,
				"somebody lives at %s (\"ss -xap\" says who): "
				"stop it, connect to it instead, or choose "
				"another path",
				path);
	} else if (errno != ECONNREFUSED && errno != ENOENT) {
		err = error_set(error, -errno,
				"cannot see whether somebody lives at %s: %s",
				path, strerror(errno));
	} else if (unlink(path) && errno != ENOENT) {
		err = error_set(
			error, -errno,
			"nobody lives at %s, but it cannot be replaced: "
			"%s",
			path, strerror(errno));
	}
	close(fd);
	return err;
}

static int bind_failed(const struct socket_addr *a, int err,
		       struct glen_error *error)
{
	char text[SOCKET_TEXT_SIZE];

	socket_addr_text(a, text);
	if (a->any.sa_family == AF_UNIX && (err == EACCES || err == EPERM))
		return error_set(error, -EACCES,
				 "cannot make %s: glend's user (uid %u) may "
				 "not write to its directory; choose another",
				 text, (unsigned)geteuid());
	if (a->any.sa_family == AF_UNIX && err == ENOENT)
		return error_set(error, -ENOENT,
				 "cannot make %s: its directory does not exist",
				 text);
	if (a->any.sa_family == AF_UNIX && err == EROFS)
		return error_set(error, -EROFS,
				 "cannot make %s: glend sees a read-only file "
				 "system there (its systemd unit allows "
				 "/run/glen only); choose a path in /run/glen",
				 text);
	if (a->any.sa_family != AF_UNIX && err == EADDRINUSE)
		return error_set(error, -EADDRINUSE,
				 "%s is in use by another socket: choose "
				 "another port",
				 text);
	if (err == EADDRNOTAVAIL)
		return error_set(error, -EADDRNOTAVAIL,
				 "%s is no address of this host", text);
	if (err == EACCES)
		return error_set(error, -EACCES,
				 "no permission to use %s: ports below 1024 "
				 "are for the privileged",
				 text);
	return error_set(error, -err, "cannot bind to %s: %s", text,
			 strerror(err));
}

/* bind(), and for a file: gives it the mode and notes it. */
static int bind_file(int fd, const struct socket_addr *a, mode_t mode,
		     struct socket_file *file, struct glen_error *error)
{
	struct stat st;

	/* The file gets these rights, less the umask's: nobody who may not
	 * can connect before the rest is added. */
	if (fchmod(fd, mode) || bind(fd, &a->any, a->len))
		return bind_failed(a, errno, error);
	*file = socket_file_at(a);
	if (!file->ino || lstat(a->un.sun_path, &st))
		return error_set(error, -ENOENT,
				 "%s disappeared as soon as it was made",
				 a->un.sun_path);
	if ((st.st_mode & 0777) == mode || !chmod(a->un.sun_path, mode))
		return 0;
	return error_set(error, -errno, "cannot set the mode of %s: %s",
			 a->un.sun_path, strerror(errno));
}

static int bind_unix(int fd, const struct socket_addr *a, mode_t mode,
		     struct socket_file *file, struct glen_error *error)
{
	int lock = directory_lock(a->un.sun_path);
	int err = path_clear(a, error);

	if (!err)
		err = bind_file(fd, a, mode, file, error);
	if (err)
		socket_unlink(a, file);
	if (lock >= 0)
		close(lock);
	return err;
}

int socket_bind(const struct socket_addr *a, int type, mode_t mode,
		struct socket_file *file, struct glen_error *error)
{
	int fd = socket(a->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	int one = 1, err = 0;

	*file = (struct socket_file){ 0 };
	if (fd < 0)
		return error_set(error, -errno, "cannot make a socket: %s",
				 error_reason(errno));
	if (a->any.sa_family == AF_UNIX) {
		err = bind_unix(fd, a, mode, file, error);
	} else {
		/* Else a new glend could not listen for a minute where the
		 * last one's connections linger. */
		if (type == SOCK_STREAM)
			setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
				   sizeof(one));
		if (bind(fd, &a->any, a->len))
			err = bind_failed(a, errno, error);
	}
	if (!err)
		return fd;
	close(fd);
	return err;
}

enum { PASSRIGHTS = 83 }; /* SO_PASSRIGHTS; Debian 12 has no name */

void socket_refuse_files(int fd)
{
	int off = 0;

	setsockopt(fd, SOL_SOCKET, PASSRIGHTS, &off, sizeof(off));
}

bool socket_takes_files(int fd)
{
	int family = AF_UNIX, on = 1;
	socklen_t len = sizeof(family);

	if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) &&
	    family != AF_UNIX)
		return false;
	len = sizeof(on);
	return getsockopt(fd, SOL_SOCKET, PASSRIGHTS, &on, &len) || on;
}

int socket_connect_error(const struct socket_addr *a, int err,
			 struct glen_error *error)
{
	bool file = a->any.sa_family == AF_UNIX;
	char text[SOCKET_TEXT_SIZE];
	struct stat st;

	socket_addr_text(a, text);
	/* A file that is no socket refuses as a stale socket does. */
	if (file && err == ECONNREFUSED && !stat(text, &st) &&
	    !S_ISSOCK(st.st_mode))
		return error_set(error, -err, "%s is not a socket", text);
	if (file && (err == ENOENT || err == ECONNREFUSED))
		return error_set(error, -err, "nobody listens at %s", text);
	if (file && (err == EACCES || err == EPERM))
		return error_set(error, -err,
				 "no permission to connect to %s as uid %u",
				 text, (unsigned)geteuid());
	if (file && err == EAGAIN)
		return error_set(error, -err,
				 "who listens at %s does not accept "
				 "connections, others are waiting already",
				 text);
	return error_set(error, -err, "cannot connect to %s: %s", text,
			 strerror(err));
}

struct socket_file socket_file_at(const struct socket_addr *a)
{
	struct stat st;

	if (lstat(a->un.sun_path, &st))
		return (struct socket_file){ 0 };
	/* Unlike the time of the last change, a chmod() leaves this alone. */
	return (struct socket_file){ st.st_dev, st.st_ino, st.st_mtim };
}

bool socket_file_same(const struct socket_file *a, const struct socket_file *b)
{
	return a->ino == b->ino && a->dev == b->dev &&
	       a->made.tv_sec == b->made.tv_sec &&
	       a->made.tv_nsec == b->made.tv_nsec;
}

bool socket_lost(const struct socket_addr *a, const struct socket_file *file)
{
	struct socket_file now;

	if (a->any.sa_family != AF_UNIX)
		return false;
	/* The open socket keeps the number of its file, whatever its time. */
	now = socket_file_at(a);
	return now.ino != file->ino || now.dev != file->dev;
}

int socket_replace(const struct socket_addr *a, int type, mode_t mode,
		   struct socket_file *file, struct glen_error *error)
{
	struct glen_error why;
	struct socket_file made;
	int fd = socket_bind(a, type, mode, &made, &why);

	if (fd >= 0) {
		*file = made;
		return fd;
	}
	if (fd == -EADDRINUSE)
		return error_set(error, fd,
				 "somebody has put a socket in place of the "
				 "port's, %s, so nobody reaches the port: a "
				 "QEMU there must connect, without server=on "
				 "(\"ss -xap\" says who it is); when it has "
				 "gone the port makes its socket anew",
				 a->un.sun_path);
	return error_set(error, fd,
			 "the port's socket was removed, so nobody reaches "
			 "the port: %s",
			 why.text);
}

void socket_unlink(const struct socket_addr *a, const struct socket_file *file)
{
	struct socket_file now;

	if (!file->ino)
		return;
	now = socket_file_at(a);
	if (socket_file_same(&now, file))
		unlink(a->un.sun_path);
}

static void buffer_set(int fd, int option, int force, int size)
{
	if (size && setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size));
}

void socket_buffers(int fd, int send_size, int receive_size)
{
	buffer_set(fd, SO_SNDBUF, SO_SNDBUFFORCE, send_size);
	buffer_set(fd, SO_RCVBUF, SO_RCVBUFFORCE, receive_size);
}
