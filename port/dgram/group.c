// SPDX-License-Identifier: BSD-2-Clause
// group.c - sockets that receive from a multicast group, and send to it.
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/dgram/dgram.h"

bool group_address(const struct socket_addr *a)
{
	if (a->any.sa_family == AF_INET)
		return IN_MULTICAST(ntohl(a->in.sin_addr.s_addr));
	return a->any.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

static int udp_socket(struct glen_error *error)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_set(error, -errno, "cannot make a socket: %s",
				 error_reason(errno));
	return fd;
}

static int option(int fd, int name, const void *value, socklen_t len)
{
	return setsockopt(fd, IPPROTO_IP, name, value, len) ? -errno : 0;
}

static int join_failed(const struct dgram *d, int err, struct glen_error *error)
{
	if (err == -ENODEV && !d->interface[0])
		return error_set(error, err,
				 "no route says where the group %s is: give "
				 "interface=NAME",
				 d->text);
	return error_set(error, err, "cannot join the group %s: %s", d->text,
			 strerror(-err));
}

/* Binds rx.fd to the group, as others on this host do, and joins it. */
static int join(struct dgram *d, const struct ip_mreqn *where,
		struct glen_error *error)
{
	int one = 1, all = 0, err;

	setsockopt(d->rx.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(d->rx.fd, &d->addr.any, d->addr.len))
		return error_set(error, -errno, "cannot receive at %s: %s%s",
				 d->text, strerror(errno),
				 errno == EADDRINUSE ? " (by a socket that "
						       "does not share it)" :
						       "");
	/* What others joined on other interfaces is not for us. */
	err = option(d->rx.fd, IP_MULTICAST_ALL, &all, sizeof(all));
	if (!err)
		err = option(d->rx.fd, IP_ADD_MEMBERSHIP, where,
			     sizeof(*where));
	return err ? join_failed(d, err, error) : 0;
}

int group_open(struct dgram *d, struct glen_error *error)
{
	struct ip_mreqn where = { .imr_multiaddr = d->addr.in.sin_addr };
	int one = 1, err;

	if (d->interface[0]) {
		where.imr_ifindex = if_nametoindex(d->interface);
		if (!where.imr_ifindex)
			return error_set(error, -ENODEV,
					 "there is no interface %s in glend's "
					 "network namespace",
					 d->interface);
	}
	d->rx.fd = udp_socket(error);
	if (d->rx.fd < 0)
		return d->rx.fd;
	err = join(d, &where, error);
	if (err)
		goto err_close_rx;
	d->sock.fd = udp_socket(error);
	if (d->sock.fd < 0) {
		err = d->sock.fd;
		goto err_close_rx;
	}
	/* Members on this host are to hear us. */
	err = option(d->sock.fd, IP_MULTICAST_LOOP, &one, sizeof(one));
	if (!err && where.imr_ifindex)
		err = option(d->sock.fd, IP_MULTICAST_IF, &where,
			     sizeof(where));
	if (!err)
		return 0;
	error_set(error, err, "cannot send to the group %s: %s", d->text,
		  strerror(-err));
	close(d->sock.fd);
err_close_rx:
	close(d->rx.fd);
	d->sock.fd = d->rx.fd = -1;
	return err;
}
