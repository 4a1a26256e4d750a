// SPDX-License-Identifier: BSD-2-Clause
// hostile_vhost_messages.c - odd messages: facts/vm-attach.md 5.3 D.
#include "hostile_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { NO = REFUSED | HANGUP, REQUESTS = 50 };

static const uint32_t fd_requests[] = {
	FE_SET_MEM_TABLE,  FE_SET_LOG_BASE,	  FE_SET_LOG_FD,
	FE_SET_VRING_KICK, FE_SET_VRING_CALL,	  FE_SET_VRING_ERR,
	FE_ADD_MEM_REG,	   FE_SET_BACKEND_REQ_FD, FE_SET_INFLIGHT_FD,
	FE_REM_MEM_REG
};

static const uint32_t ring_requests[] = {
	FE_SET_VRING_NUM,  FE_SET_VRING_ADDR,  FE_SET_VRING_BASE,
	FE_GET_VRING_BASE, FE_SET_VRING_KICK,  FE_SET_VRING_CALL,
	FE_SET_VRING_ERR,  FE_SET_VRING_ENABLE
};

/* A header that says what it likes, and so many bytes behind it. */
static void raw(struct attack *a, uint32_t request, uint32_t flags,
		uint32_t said, uint32_t sent, const int *fds, unsigned n_fds)
{
	char bytes[12 + FE_PAYLOAD_MAX] = { 0 };
	uint32_t header[3] = { request, flags, said };

	memcpy(bytes, header, sizeof(header));
	/* glend may hang up half-way. */
	fe_raw(&a->fe, bytes, sizeof(header) + sent, fds, n_fds);
}

static void d32_sizes(struct attack *a)
{
	static const uint32_t v[][2] = { { 0, 0 },	    { 1, 1 },
					 { 7, 7 },	    { 4096, 4096 },
					 { 4097, 4096 },    { 300, 300 },
					 { UINT32_MAX, 0 }, { 1u << 31, 64 } };

	for (uint32_t request = 0; request < REQUESTS; request++) {
		for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
			life_connected(a, "a message of an odd size");
			raw(a, request, FE_VERSION, v[i][0], v[i][1], NULL, 0);
			/* What should follow would be taken for its rest, or
			 * never come. */
			if (v[i][0] != v[i][1])
				life_end(a);
			else
				survived(a);
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		life_connected(a, "a message much too large");
		raw(a, FE_SET_MEM_TABLE, FE_VERSION,
		    (uint32_t[]){ 5000, UINT32_MAX, 1u << 31 }[i], 0, NULL, 0);
		expect(a, HANGUP);
	}
}

static void d32_versions(struct attack *a)
{
	static const uint32_t flags[] = { 0,	      2,
					  3,	      FE_VERSION | FE_REPLY,
					  UINT32_MAX, 0xfffffff1 };

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		life_connected(a, "odd flags of a message");
		raw(a, FE_GET_FEATURES, flags[i], 0, 0, NULL, 0);
		survived(a);
	}
}

/* A message that comes a byte at a time, and one that ends in the middle. */
static void d32_slow(struct attack *a)
{
	uint32_t header[3] = { FE_GET_FEATURES, FE_VERSION, 0 };
	uint64_t features;
	uint32_t size = sizeof(features);

	life_connected(a, "a byte at a time");
	for (unsigned i = 0; i < sizeof(header); i++) {
		must(a, fe_raw(&a->fe, (char *)header + i, 1, NULL, 0), "raw");
		usleep(2000);
	}
	must(a, fe_reply(&a->fe, FE_GET_FEATURES, &features, &size, NULL),
	     "the answer");
	survived(a);
	for (unsigned i = 1; i < sizeof(header); i++) {
		life_connected(a, "a part of a message, and silence");
		must(a, fe_raw(&a->fe, header, i, NULL, 0), "raw");
		usleep(10000);
		life_end(a);
	}
	/* glend gives it a while, then it is over. */
	life_connected(a, "a part of a message, and silence for ever");
	must(a, fe_raw(&a->fe, header, 5, NULL, 0), "raw");
	expect(a, HANGUP);
}

static void d33_fds(struct attack *a)
{
	int fds[FE_FDS_MAX];

	for (unsigned i = 0; i < FE_FDS_MAX; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	for (uint32_t request = 0; request < REQUESTS; request++) {
		static const unsigned n[] = { 1, 2, 9, FE_FDS_MAX };

		for (unsigned i = 0; i < 4; i++) {
			life_connected(a, "descriptors nobody asked for");
			raw(a, request, FE_VERSION, 8, 8, fds, n[i]);
			survived(a);
		}
	}
	for (unsigned i = 0; i < FE_FDS_MAX; i++)
		close(fds[i]);
	for (unsigned i = 0; i < sizeof(fd_requests) / sizeof(uint32_t); i++) {
		static const uint32_t sizes[] = { 8, 16, 24, 40, 72 };

		for (unsigned k = 0; k < 5; k++) {
			life_handshaken(a, "a descriptor is missing");
			raw(a, fd_requests[i], FE_VERSION | FE_NEED_REPLY,
			    sizes[k], sizes[k], NULL, 0);
			life_end(a);
		}
	}
	/* Descriptors in the middle of a message, and on every byte. */
	for (unsigned i = 0; i < 20; i++) {
		uint32_t header[3] = { FE_SET_VRING_CALL, FE_VERSION, 8 };
		int fd = eventfd(0, EFD_CLOEXEC);
		char bytes[20] = { 0 };

		memcpy(bytes, header, sizeof(header));
		life_connected(a, "a descriptor with each byte");
		for (unsigned k = 0; k < sizeof(bytes); k++)
			if (fe_raw(&a->fe, bytes + k, 1, &fd, 1))
				break;
		close(fd);
		survived(a);
	}
}

/*
 * A TCP connection whose close() waits for an hour, unless its other end, which
 * is *end, is closed: the sender's end lingers and has more to send than fits.
 */
static int lingering(struct attack *a, int *end)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct linger linger = { 1, 3600 };
	static const char bytes[1 << 16];
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(listener, (void *)&sin, len) || listen(listener, 1) ||
	    getsockname(listener, (void *)&sin, &len) ||
	    connect(fd, (void *)&sin, len))
		must(a, -errno, "cannot connect to ourselves");
	*end = accept(listener, NULL, NULL);
	must(a, *end, "accept");
	close(listener);
	must(a, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
	     "linger");
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return fd;
}

/* Who closes it last waits, and that may be we. */
static void *close_it(void *arg)
{
	close(*(int *)arg);
	return NULL;
}

/* Descriptors that cannot be closed without waiting. */
static void d33_linger(struct attack *a)
{
	static struct fe second;

	for (unsigned i = 0; i < 12; i++) {
		int end, fd, fds[20];
		pthread_t thread;

		life_attached(a, "a socket that lingers");
		fd = lingering(a, &end);
		for (unsigned k = 0; k < 20; k++)
			fds[k] = fd;
		if (i % 3 == 0) {
			raw(a, FE_SET_LOG_FD, FE_VERSION, 0, 0, &fd, 1);
		} else if (i % 3 == 1) {
			raw(a, FE_SET_LOG_FD, FE_VERSION, 0, 0, fds, 20);
		} else {
			fe_init(&second, NULL);
			must(a, fe_connect(&second, a->path), "connect");
			fe_message(&second, FE_SET_LOG_FD, 0, NULL, 0, &fd, 1);
			fe_fini(&second);
		}
		if (pthread_create(&thread, NULL, close_it, &fd))
			fail(a, "cannot make a thread");
		life_end(a);
		/* glend is there for others while it waits. */
		life_attached(a, "after a socket that lingers");
		good(a);
		close(end);
		pthread_join(thread, NULL);
	}
}

static int odd_notifier(struct attack *a, unsigned i)
{
	int fds[2];

	switch (i) {
	case 0:
	case 1:
		must(a, pipe2(fds, O_CLOEXEC), "pipe");
		close(fds[!i]);
		return fds[i];
	case 2:
		return epoll_create1(EPOLL_CLOEXEC);
	case 3:
		return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	case 4:
		must(a, socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
		close(fds[0]);
		return fds[1];
	case 5:
		return dup(a->fe.sock);
	case 6:
		return dup(a->fd);
	case 7:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	default:
		/* A pipe with nobody to read it, and full. */
		must(a, pipe2(fds, O_CLOEXEC | O_NONBLOCK), "pipe");
		while (write(fds[1], "", 1) == 1)
			;
		fcntl(fds[1], F_SETFL, 0);
		if (i == 9)
			close(fds[0]);
		return fds[1];
	}
}

static void d34_notifiers(struct attack *a)
{
	static const uint32_t requests[] = { FE_SET_VRING_KICK,
					     FE_SET_VRING_CALL,
					     FE_SET_VRING_ERR };

	for (unsigned i = 0; i < 30; i++) {
		uint64_t index = i % 2;
		int fd;

		life_attached(a, "a notifier that is no eventfd");
		fd = odd_notifier(a, i / 3);
		must(a, fd, "cannot make it");
		refused(a, fe_set(&a->fe, requests[i % 3], &index,
				  sizeof(index), &fd, 1));
		close(fd);
		provoke(a, 64);
		expect(a, NO);
	}
}

/* The call eventfd is made blocking and full: whoever writes to it waits. */
static void d34_blocking(struct attack *a)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd;

	a->config.features &= ~FE_BIT(FE_F_EVENT_IDX);
	life_attached(a, "a call eventfd that blocks");
	for (unsigned i = 0; i < 2; i++) {
		fd = a->fe.queue[i].call_fd;
		fe_called(&a->fe.queue[i]);
		if (write(fd, &most, sizeof(most)) < 0)
			must(a, -errno, "write");
		must(a, fcntl(fd, F_SETFL, 0), "fcntl");
		/* Call for everything. */
		fe_arm(&a->fe.queue[i], true);
	}
	for (unsigned i = 0; i < scaled(a, 200, 20); i++) {
		provoke(a, 32);
		consume(a);
		/* It still takes what we send: nobody sleeps in there. */
		settle(a, fe_tx(&a->fe, 0));
	}
	for (unsigned i = 0; i < 2; i++) {
		fd = a->fe.queue[i].call_fd;
		must(a, fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
		fe_called(&a->fe.queue[i]);
	}
	good(a);
}

static void d35_order(struct attack *a)
{
	uint32_t first[] = { FE_SET_VRING_KICK,	  FE_SET_VRING_ADDR,
			     FE_SET_VRING_ENABLE, FE_GET_VRING_BASE,
			     FE_SET_STATUS,	  FE_SET_FEATURES,
			     FE_SET_VRING_CALL,	  FE_SET_VRING_BASE };

	for (unsigned i = 0; i < 8; i++) {
		struct fe_vring_addr addr = { 0 };
		int fd = eventfd(0, EFD_CLOEXEC);
		bool with_fd = first[i] == FE_SET_VRING_KICK ||
			       first[i] == FE_SET_VRING_CALL;

		life_connected(a, "a message before its time");
		fe_message(&a->fe, first[i], 0, &addr,
			   first[i] == FE_SET_VRING_ADDR ? sizeof(addr) : 8,
			   &fd, with_fd);
		close(fd);
		survived(a);
	}
	life_handshaken(a, "rings before memory");
	must(a, fe_negotiate(&a->fe), "negotiate");
	for (unsigned i = 0; i < 2; i++) {
		fe_queue_start(&a->fe, i);
		fe_enable(&a->fe, i, true);
	}
	survived(a);
	life_handshaken(a, "rings before features");
	fe_share_memory(&a->fe);
	for (unsigned i = 0; i < 2; i++) {
		fe_queue_start(&a->fe, i);
		fe_enable(&a->fe, i, true);
	}
	survived(a);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t features[] = { 0, UINT64_MAX, FE_BIT(FE_F_PACKED) };

		life_attached(a, "features change while it runs");
		fe_set_u64(&a->fe, FE_SET_FEATURES, features[i]);
		provoke(a, 64);
		survived(a);
	}
	life_attached(a, "stopped, and then packets");
	must(a, fe_stop(&a->fe), "stop");
	provoke(a, 64);
	survived(a);
}

static void d36_index(struct attack *a)
{
	static const uint32_t index[] = { 2,	      31,	 32,
					  255,	      0x10001,	 0x7fffffff,
					  0x80000000, UINT32_MAX };

	for (unsigned i = 0; i < sizeof(ring_requests) / sizeof(uint32_t); i++)
		for (unsigned k = 0; k < sizeof(index) / sizeof(uint32_t);
		     k++) {
			struct fe_vring_addr addr = { .index = index[k] };
			int fd = eventfd(0, EFD_CLOEXEC);
			uint32_t r = ring_requests[i];
			bool with_fd = r >= FE_SET_VRING_KICK &&
				       r <= FE_SET_VRING_ERR;

			life_attached(a, "an index there is no queue for");
			addr.flags = r == FE_SET_VRING_ENABLE ||
				     r == FE_SET_VRING_NUM;
			fe_message(&a->fe, r, 0, &addr,
				   r == FE_SET_VRING_ADDR ? sizeof(addr) : 8,
				   &fd, with_fd);
			close(fd);
			provoke(a, 4);
			/* A reply to GET_VRING_BASE is not what we wait for. */
			if (r == FE_GET_VRING_BASE)
				life_end(a);
			else
				survived(a);
		}
}

static void d37_unknown(struct attack *a)
{
	for (unsigned i = 0; i < 60; i++) {
		uint32_t request = i < 50 ? 41 + i : (uint32_t)rnd();

		life_handshaken(a, "an unknown request");
		raw(a, i == 50 ? 0 : request, FE_VERSION, 8, 8, NULL, 0);
		survived(a);
	}
}

static void log_of(struct attack *a, uint64_t size, uint64_t off, int fd)
{
	uint64_t base[2] = { size, off };
	uint64_t reply;
	uint32_t room = sizeof(reply);

	fe_message(&a->fe, FE_SET_LOG_BASE, 0, base, sizeof(base), &fd,
		   fd >= 0);
	if (fd >= 0)
		fe_reply(&a->fe, FE_SET_LOG_BASE, &reply, &room, NULL);
	a->fe.features |= FE_BIT(FE_F_LOG_ALL);
	fe_set_u64(&a->fe, FE_SET_FEATURES, a->fe.features);
	for (unsigned i = 0; i < 2; i++)
		fe_vring_addr(&a->fe, i, 1);
	provoke(a, 64);
}

static void d38_log(struct attack *a)
{
	static const uint64_t v[][2] = {
		{ 1, 0 },
		{ 8, 0 },
		{ 0, 0 },
		{ 4096, UINT64_MAX - 4095 },
		{ UINT64_MAX - 4095, 8192 },
		{ UINT64_MAX, 0 },
		{ 1ULL << 40, 0 },
		{ 4096, 1 },
		{ 4096, 1ULL << 40 },
	};

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		life_attached(a, "a log of an odd size");
		log_of(a, v[i][0], v[i][1], fe_memfd(&a->fe, 8192, 0));
		survived(a);
	}
	life_attached(a, "a log without a descriptor");
	log_of(a, 4096, 0, -1);
	survived(a);
	life_attached(a, "a log that is no memory");
	log_of(a, 4096, 0, a->fe.sock);
	survived(a);
	for (unsigned i = 0; i < scaled(a, 10, 2); i++) {
		life_attached(a, "a log that shrinks");
		must(a, fe_log_start(&a->fe), "log");
		exchange(a, 8);
		must(a, ftruncate(a->fe.log_fd, 0), "ftruncate");
		provoke(a, 64);
		expect(a, HANGUP);
	}
	life_attached(a, "an honest log");
	must(a, fe_log_start(&a->fe), "log");
	exchange(a, 64);
	must(a, fe_log_stop(&a->fe), "log");
	good(a);
}

static void inflight(struct attack *a)
{
	static const struct fe_inflight v[] = {
		{ 4096, 0, 65535, 256, 0 },
		{ 4096, 0, 2, 65535, 0 },
		{ 4096, 0, 65535, 65535, 0 },
		{ UINT64_MAX, 0, 2, 256, 0 },
		{ 4096, UINT64_MAX - 100, 2, 256, 0 },
		{ 1, 0, 2, 256, 0 },
		{ 0, 0, 0, 0, 0 },
	};

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		int fd;

		life_attached(a, "in-flight records of an odd size");
		fd = fe_memfd(&a->fe, 4096, 0);
		fe_message(&a->fe, FE_SET_INFLIGHT_FD, 0, &v[i], sizeof(v[i]),
			   &fd, 1);
		provoke(a, 64);
		survived(a);
	}
}

static void d39_loops(struct attack *a)
{
	unsigned n = scaled(a, 3000, 100);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	a->config.kind = FE_CLOUD;
	inflight(a);
	life_attached(a, "GET_INFLIGHT_FD without end");
	for (unsigned i = 0; i < n && a->fe.inflight_fd >= 0; i++) {
		struct fe_inflight ask = { .queues = 2, .queue_size = 256 };
		uint32_t size = sizeof(ask);

		if (fe_message(&a->fe, FE_GET_INFLIGHT_FD, 0, &ask, sizeof(ask),
			       NULL, 0) ||
		    fe_reply(&a->fe, FE_GET_INFLIGHT_FD, &ask, &size, NULL))
			break;
	}
	survived(a);
	a->config.kind = FE_QEMU7;
	life_handshaken(a, "set-up messages without end");
	must(a, fe_negotiate(&a->fe), "negotiate");
	for (unsigned i = 0; i < n; i++) {
		struct fe_vring_state num = { i % 2, 256 };
		uint64_t index = i % 2;

		fe_message(&a->fe, FE_SET_VRING_NUM, 0, &num, sizeof(num), NULL,
			   0);
		fe_message(&a->fe, FE_SET_OWNER, 0, NULL, 0, NULL, 0);
		fe_message(&a->fe, FE_SET_VRING_CALL, 0, &index, sizeof(index),
			   &fd, 1);
		fe_message(&a->fe, FE_SET_VRING_KICK, 0, &index, sizeof(index),
			   &fd, 1);
		fe_message(&a->fe, FE_SET_VRING_ERR, 0, &index, sizeof(index),
			   &fd, 1);
		fe_message(&a->fe, FE_RESET_OWNER, 0, NULL, 0, NULL, 0);
	}
	close(fd);
	must(a, fe_start(&a->fe), "start");
	good(a);
	life_attached(a, "calls and kicks change under traffic");
	for (unsigned i = 0; i < n; i++) {
		struct fe_queue *q = &a->fe.queue[i % 2];
		uint64_t index = i % 2;

		provoke(a, 4);
		must(a,
		     fe_message(&a->fe,
				i & 2 ? FE_SET_VRING_CALL : FE_SET_VRING_KICK,
				0, &index, sizeof(index),
				i & 2 ? &q->call_fd : &q->kick_fd, 1),
		     "message");
		if (i % 64 == 0)
			must(a, fe_sync(&a->fe), "sync");
		consume(a);
	}
	good(a);
}

const struct hostile_case message_cases[] = {
	{ "D32-sizes", d32_sizes, false },
	{ "D32-versions", d32_versions, false },
	{ "D32-slow", d32_slow, false },
	{ "D33-fds", d33_fds, false },
	{ "D33-linger", d33_linger, false },
	{ "D34-notifiers", d34_notifiers, false },
	{ "D34-blocking", d34_blocking, true },
	{ "D35-order", d35_order, true },
	{ "D36-index", d36_index, false },
	{ "D37-unknown", d37_unknown, false },
	{ "D38-log", d38_log, true },
	{ "D39-loops", d39_loops, true },
	{ 0 },
};
