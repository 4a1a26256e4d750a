/* SPDX-License-Identifier: BSD-2-Clause */
/* socket.h - addresses that drivers listen at or connect to. */
#ifndef CORE_SOCKET_H
#define CORE_SOCKET_H
/*
 * Unix sockets by path, inet sockets by "HOST:PORT". Names are never looked
 * up: that could block the control thread for a minute.
 *
 * A socket file outlives a process that was killed. Whoever binds to its path
 * asks first whether somebody lives there, who does not notice: nobody there,
 * and the file is stale and replaced; somebody there, and it is left alone.
 * The directory is locked meanwhile, so two who find the same stale file do
 * not replace each other's.
 *
 * All of it is for the control thread. Sockets are non-blocking and CLOEXEC.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "include/glen/glen.h"

enum { SOCKET_TEXT_SIZE = 128 };

struct socket_addr {
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_storage room;
	};
	socklen_t len;
};

/*
 * Which file a socket was bound to; ino 0: to none. The number of a file that
 * was removed is soon used again, so its time counts, too.
 */
struct socket_file {
	dev_t dev;
	ino_t ino;
	struct timespec made;
};

/*
 * Fills *a with the absolute path, or with "1.2.3.4:5", "[2001:db8::1]:5",
 * "[fe80::1%eth0]:5" or, for any address of this host, "*:5". key is the
 * option's name, for the message. 0 or -EINVAL, -ENAMETOOLONG.
 */
int socket_addr_unix(struct socket_addr *a, const char *key, const char *path,
		     struct glen_error *error);
int socket_addr_inet(struct socket_addr *a, const char *key, const char *text,
		     struct glen_error *error);

/* True if a stands for all addresses of this host: nothing to connect to. */
bool socket_addr_is_any(const struct socket_addr *a);

/* As a user would write it; "" for a Unix socket without a name. */
void socket_addr_text(const struct socket_addr *a, char text[SOCKET_TEXT_SIZE]);

/* "access": the mode of a socket file as octal text; absent: def. */
int socket_mode(const char *text, mode_t def, mode_t *mode,
		struct glen_error *error);

/*
 * Makes a socket of the type (SOCK_STREAM, SOCK_DGRAM) bound to a; a file gets
 * the mode, before anybody can connect, and is noted in *file. Returns the
 * descriptor, or -errno with a sentence: -EADDRINUSE if somebody lives there,
 * -EACCES, ...
 */
int socket_bind(const struct socket_addr *a, int type, mode_t mode,
		struct socket_file *file, struct glen_error *error);

/*
 * Has the kernel refuse file descriptors that somebody wants to send to a Unix
 * socket (EPERM, for the sender). Linux before 6.16 cannot: they may come.
 */
void socket_refuse_files(int fd);

/*
 * Whether descriptors may come through a connected socket: false for all but
 * Unix sockets, and for those if the kernel refuses them. Then recv() will do.
 */
bool socket_takes_files(int fd);

/* Says why nobody could be connected to at a, with errno as err; returns it. */
int socket_connect_error(const struct socket_addr *a, int err,
			 struct glen_error *error);

/* The file that is at the path of a Unix socket now; ino 0: none. */
struct socket_file socket_file_at(const struct socket_addr *a);
bool socket_file_same(const struct socket_file *a, const struct socket_file *b);

/*
 * Once a second, for a Unix socket that stays open: has somebody removed its
 * file, or put another one in its place? QEMU does, with server=on. Nobody can
 * reach the socket then.
 */
bool socket_lost(const struct socket_addr *a, const struct socket_file *file);
/*
 * socket_bind() in place of one that is lost, where nobody lives now. -errno:
 * error says what is wrong and the cure; *file stays.
 */
int socket_replace(const struct socket_addr *a, int type, mode_t mode,
		   struct socket_file *file, struct glen_error *error);

/* Removes the file of a bound Unix socket if it is still the same one. */
void socket_unlink(const struct socket_addr *a, const struct socket_file *file);

/* Asks for buffers of so many bytes, beyond the limit if glend may do so. */
void socket_buffers(int fd, int send_size, int receive_size);

#endif
