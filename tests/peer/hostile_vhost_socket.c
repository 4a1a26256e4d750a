// SPDX-License-Identifier: BSD-2-Clause
// hostile_vhost_socket.c - storms and silence: facts/vm-attach.md 5.3 D.
#include "hostile_vhost.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KICKS = 1000000, CONNECTS = 10000, UNREAD = 200000 };

/* As fast as it goes, which is some millions a second. */
static void d40_kicks(struct attack *a)
{
	unsigned n = scaled(a, KICKS, KICKS / 100);

	life_attached(a, "kicks without end");
	for (unsigned i = 0; i < n; i++)
		must(a, eventfd_write(a->fe.queue[1].kick_fd, 1), "kick");
	exchange(a, 64);
	for (unsigned i = 0; i < n; i++)
		must(a, eventfd_write(a->fe.queue[i & 1].kick_fd, 1), "kick");
	/* A counter that is full. */
	for (unsigned i = 0; i < 100; i++) {
		uint64_t most = UINT64_MAX - 1;

		if (write(a->fe.queue[i & 1].kick_fd, &most, sizeof(most)) < 0)
			provoke(a, 1);
	}
	good(a);
}

static int connect_once(struct attack *a)
{
	int err;

	/* Nobody may wait for a place in the queue for ever. */
	while ((err = fe_connect(&a->fe, a->path)) == -EAGAIN ||
	       err == -ECONNREFUSED)
		usleep(100);
	return err;
}

static void d41_connects(struct attack *a)
{
	unsigned n = scaled(a, CONNECTS, 300);

	life(a, "come and go");
	for (unsigned i = 0; i < n; i++) {
		must(a, connect_once(a), "connect");
		if (i % 4 == 1)
			fe_message(&a->fe, FE_GET_FEATURES, 0, NULL, 0, NULL,
				   0);
		if (i % 4 == 2)
			fe_raw(&a->fe, "\1\0", 2, NULL, 0);
		if (i % 4 == 3)
			fe_table_message(&a->fe);
		fe_disconnect(&a->fe);
	}
	life_end(a);
	n = scaled(a, 200, 20);
	for (unsigned i = 0; i < n; i++) {
		life_attached(a, "come, send and go");
		provoke(a, 64);
		life_end(a);
	}
	life_attached(a, "after the storm");
	good(a);
}

/* What the first client has may not suffer from the second; who comes more
 * often than some times a second has to wait. */
static void d41_second(struct attack *a)
{
	static struct fe second;

	life_attached(a, "a second client");
	for (unsigned i = 0; i < scaled(a, 50, 10); i++) {
		fe_init(&second, NULL);
		second.timeout_ms = 1000;
		must(a, fe_connect(&second, a->path), "connect");
		if (i % 2)
			fe_message(&second, FE_SET_OWNER, 0, NULL, 0, NULL, 0);
		exchange(a, 4);
		fe_fini(&second);
	}
	good(a);
}

/* Asks and does not listen. Either the socket is full, or glend hangs up. */
static void d42_deaf(struct attack *a)
{
	uint32_t header[3] = { FE_GET_FEATURES, FE_VERSION, 0 };
	unsigned n = scaled(a, UNREAD, UNREAD / 10), sent = 0;

	life_attached(a, "replies that nobody reads");
	for (; sent < n; sent++)
		if (send(a->fe.sock, header, sizeof(header),
			 MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(header))
			break;
	/* The rings go on, or the port is down; glend is not stuck. */
	provoke(a, 64);
	life_end(a);
	life_attached(a, "after the deaf one");
	good(a);
}

/* Whatever bytes, as a stream and as messages. */
static void d_random(struct attack *a)
{
	unsigned n = scaled(a, 300, 30);

	for (unsigned i = 0; i < n; i++) {
		life_attached(a, "random messages");
		for (unsigned k = below(20) + 1; k; k--) {
			uint32_t words[16];
			uint32_t size = below(2) ? 8 : below(52);
			int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

			for (unsigned w = 0; w < 16; w++)
				words[w] = below(2) ? below(300) :
						      (uint32_t)rnd();
			words[0] = below(20) ? below(45) : (uint32_t)rnd();
			words[1] = FE_VERSION | (below(2) ? FE_NEED_REPLY : 0);
			words[2] = below(20) ? size : (uint32_t)rnd();
			fe_raw(&a->fe, words, 12 + size, &fd, below(4) == 0);
			close(fd);
		}
		provoke(a, 16);
		life_end(a);
	}
	life_attached(a, "after random messages");
	good(a);
}

const struct hostile_case socket_cases[] = {
	{ "D40-kicks", d40_kicks, true },
	{ "D41-connects", d41_connects, false },
	{ "D41-second", d41_second, false },
	{ "D42-deaf", d42_deaf, false },
	{ "D-random", d_random, true },
	{ 0 },
};
