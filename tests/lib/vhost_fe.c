// SPDX-License-Identifier: BSD-2-Clause
// vhost_fe.c - a vhost-user front end's memory, socket and messages.
#include "vhost_fe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vhost_fe_priv.h"

enum { HEADER = 12, PAGE = 4096 };

struct header {
	uint32_t request, flags, size;
};

int fe_fail(struct fe *fe, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fe->error, sizeof(fe->error), format, args);
	va_end(args);
	return err;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Life */

void fe_init(struct fe *fe, const struct fe_config *config)
{
	memset(fe, 0, sizeof(*fe));
	if (config)
		fe->config = *config;
	if (!fe->config.features)
		fe->config.features = FE_FEATURES_PLAIN;
	if (!fe->config.pairs)
		fe->config.pairs = 1;
	if (!fe->config.queue_size)
		fe->config.queue_size = 256;
	if (!fe->config.buf_size)
		fe->config.buf_size = 2048;
	if (!fe->config.rx_chain)
		fe->config.rx_chain = 1;
	fe->timeout_ms = fe->config.timeout_ms ? fe->config.timeout_ms : 5000;
	fe->sock = fe->listener = fe->backend_sock = -1;
	fe->log_fd = fe->inflight_fd = -1;
	for (unsigned i = 0; i < FE_QUEUES_MAX; i++) {
		struct fe_queue *q = &fe->queue[i];

		q->fe = fe;
		q->index = i;
		q->kick_fd = q->call_fd = q->err_fd = -1;
	}
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void fe_fini(struct fe *fe)
{
	fe_disconnect(fe);
	close_fd(&fe->listener);
	if (fe->path[0])
		unlink(fe->path);
	fe->path[0] = 0;
	for (unsigned i = 0; i < FE_QUEUES_MAX; i++)
		fe_queue_fini(&fe->queue[i]);
	while (fe->n_regions)
		fe_region_remove(fe, fe->n_regions - 1);
	for (unsigned i = 0; i < fe->n_files; i++)
		close(fe->files[i]);
	free(fe->files);
	fe->files = NULL;
	fe->n_files = 0;
	if (fe->log)
		munmap(fe->log, fe->log_size);
	fe->log = NULL;
	close_fd(&fe->log_fd);
	close_fd(&fe->inflight_fd);
}

int fe_attach(struct fe *fe, const struct fe_config *config, const char *path)
{
	int err;

	fe_init(fe, config);
	err = fe_memory(fe, FE_MEMORY_QEMU, 32 << 20);
	if (!err)
		err = fe_connect(fe, path);
	if (!err)
		err = fe_handshake(fe);
	if (!err)
		err = fe_start(fe);
	return err;
}

/* Memory */

int fe_memfd(struct fe *fe, size_t size, int seals)
{
	int fd = memfd_create("vhost-fe",
			      MFD_CLOEXEC | (seals ? MFD_ALLOW_SEALING : 0));
	int *files;

	if (fd < 0)
		return fe_fail(fe, -errno, "memfd_create: %m");
	files = realloc(fe->files, (fe->n_files + 1) * sizeof(*files));
	if (!files) {
		close(fd);
		return fe_fail(fe, -ENOMEM, "no memory");
	}
	fe->files = files;
	if (ftruncate(fd, (off_t)size) ||
	    (seals && fcntl(fd, F_ADD_SEALS, seals))) {
		int err = -errno;

		close(fd);
		return fe_fail(fe, err, "cannot make a memfd: %m");
	}
	files[fe->n_files++] = fd;
	return fd;
}

int fe_region(struct fe *fe, int fd, uint64_t off, uint64_t size, uint64_t gpa,
	      uint64_t uva)
{
	struct fe_region *r = &fe->region[fe->n_regions];
	void *host;

	if (fe->n_regions == FE_REGIONS_MAX)
		return fe_fail(fe, -ENOSPC, "no more than %d regions",
			       FE_REGIONS_MAX);
	host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)off);
	if (host == MAP_FAILED)
		return fe_fail(fe, -errno, "mmap of a region: %m");
	*r = (struct fe_region){ .gpa = gpa,
				 .uva = uva ? uva : (uintptr_t)host,
				 .size = size,
				 .off = off,
				 .host = host,
				 .mapped = size,
				 .fd = fd };
	return (int)fe->n_regions++;
}

void fe_region_remove(struct fe *fe, unsigned index)
{
	struct fe_region *r = &fe->region[index];

	if (r->host)
		munmap(r->host, r->mapped);
	fe->n_regions--;
	memmove(r, r + 1, (fe->n_regions - index) * sizeof(*r));
}

int fe_memory(struct fe *fe, enum fe_layout layout, size_t size)
{
	const uint64_t low = 640 << 10, mib = 1 << 20;
	uint64_t high = size / 4;
	/* As QEMU seals its own. */
	int fd = fe_memfd(fe, size, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
	int err = fd;

	if (fd < 0)
		return fd;
	if (layout == FE_MEMORY_FLAT) {
		err = fe_region(fe, fd, 0, size, 0, 0);
		return err < 0 ? err : 0;
	}
	err = fe_region(fe, fd, 0, low, 0, 0);
	if (err >= 0)
		err = fe_region(fe, fd, mib, size - high - mib, mib, 0);
	if (err >= 0)
		err = fe_region(fe, fd, size - high, high, 4ULL << 30, 0);
	return err < 0 ? err : 0;
}

uint64_t fe_alloc(struct fe *fe, size_t size, size_t align)
{
	for (unsigned i = fe->n_regions; i-- > 0;) {
		struct fe_region *r = &fe->region[i];
		uint64_t at;

		/* Address 0 is for "none". */
		if (!r->gpa && !r->used)
			r->used = PAGE;
		at = (r->gpa + r->used + align - 1) / align * align - r->gpa;
		if (at > r->size || size > r->size - at)
			continue;
		r->used = at + size;
		return r->gpa + at;
	}
	return 0;
}

static const struct fe_region *find(const struct fe *fe, uint64_t gpa,
				    uint64_t len)
{
	for (unsigned i = 0; i < fe->n_regions; i++) {
		const struct fe_region *r = &fe->region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size &&
		    len <= r->size - (gpa - r->gpa))
			return r;
	}
	return NULL;
}

void *fe_at(struct fe *fe, uint64_t gpa, uint64_t len)
{
	const struct fe_region *r = find(fe, gpa, len);

	return r && r->host ? r->host + (gpa - r->gpa) : NULL;
}

uint64_t fe_uva(struct fe *fe, uint64_t gpa)
{
	const struct fe_region *r = find(fe, gpa, 1);

	return r ? r->uva + (gpa - r->gpa) : 0;
}

/* Socket */

static int address(struct fe *fe, const char *path, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sun->sun_path))
		return fe_fail(fe, -ENAMETOOLONG, "%s is too long", path);
	strcpy(sun->sun_path, path);
	return 0;
}

int fe_connect(struct fe *fe, const char *path)
{
	struct sockaddr_un sun;
	int err = address(fe, path, &sun);

	if (err)
		return err;
	fe_disconnect(fe);
	fe->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fe->sock < 0)
		return fe_fail(fe, -errno, "socket: %m");
	if (connect(fe->sock, (struct sockaddr *)&sun, sizeof(sun))) {
		err = fe_fail(fe, -errno, "connect to %s: %m", path);
		close_fd(&fe->sock);
	}
	return err;
}

int fe_listen(struct fe *fe, const char *path)
{
	struct sockaddr_un sun;
	int err = address(fe, path, &sun);

	if (err)
		return err;
	fe->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fe->listener < 0)
		return fe_fail(fe, -errno, "socket: %m");
	unlink(path);
	if (bind(fe->listener, (struct sockaddr *)&sun, sizeof(sun)) ||
	    listen(fe->listener, 1)) {
		err = fe_fail(fe, -errno, "listen on %s: %m", path);
		close_fd(&fe->listener);
		return err;
	}
	strcpy(fe->path, path);
	return 0;
}

static int wait_for(struct fe *fe, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t end = now_ms() + fe->timeout_ms;
	int n;

	do {
		int64_t left = end - now_ms();

		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	if (!n)
		return fe_fail(fe, -ETIMEDOUT, "no answer within %d ms",
			       fe->timeout_ms);
	return n < 0 ? fe_fail(fe, -errno, "poll: %m") : 0;
}

int fe_accept(struct fe *fe)
{
	int err;

	fe_disconnect(fe);
	err = wait_for(fe, fe->listener, POLLIN);
	if (err)
		return err;
	fe->sock = accept4(fe->listener, NULL, NULL, SOCK_CLOEXEC);
	return fe->sock < 0 ? fe_fail(fe, -errno, "accept: %m") : 0;
}

void fe_disconnect(struct fe *fe)
{
	close_fd(&fe->sock);
	close_fd(&fe->backend_sock);
	fe->started = false;
	for (unsigned i = 0; i < FE_QUEUES_MAX; i++) {
		struct fe_queue *q = &fe->queue[i];

		/* QEMU goes on where the used index of a split ring stands; of
		 * a packed one it knows nothing. */
		if (q->running && !q->packed)
			q->base = fe_used_idx(q);
		q->running = false;
	}
}

/* Messages */

static ssize_t send_some(struct fe *fe, const void *bytes, size_t len,
			 const int *fds, unsigned n_fds)
{
	union {
		char buf[CMSG_SPACE(FE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (n_fds) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	return sendmsg(fe->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int fe_raw(struct fe *fe, const void *bytes, size_t len, const int *fds,
	   unsigned n_fds)
{
	const char *p = bytes;

	while (len || n_fds) {
		ssize_t n = send_some(fe, p, len, fds, n_fds);

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			n_fds = 0;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return fe_fail(fe, -ECONNRESET, "backend hung up");
		if (errno != EAGAIN && errno != EINTR)
			return fe_fail(fe, -errno, "sendmsg: %m");
		if (errno == EAGAIN) {
			int err = wait_for(fe, fe->sock, POLLOUT);

			if (err)
				return err;
		}
	}
	return 0;
}

int fe_message(struct fe *fe, uint32_t request, uint32_t flags,
	       const void *payload, uint32_t size, const int *fds,
	       unsigned n_fds)
{
	struct header h = { request, FE_VERSION | flags, size };
	char bytes[HEADER + FE_PAYLOAD_MAX];

	if (size > FE_PAYLOAD_MAX)
		return fe_fail(fe, -EMSGSIZE, "payload of %u bytes", size);
	memcpy(bytes, &h, HEADER);
	if (size)
		memcpy(bytes + HEADER, payload, size);
	return fe_raw(fe, bytes, HEADER + size, fds, n_fds);
}

/* Reads len bytes; a descriptor that comes along goes to *fd. */
static int read_all(struct fe *fe, void *to, size_t len, int *fd)
{
	char *p = to;

	while (len) {
		union {
			char buf[CMSG_SPACE(8 * sizeof(int))];
			struct cmsghdr align;
		} control;
		struct iovec iov = { p, len };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.buf,
				      .msg_controllen = sizeof(control) };
		struct cmsghdr *c;
		ssize_t n;
		int err = wait_for(fe, fe->sock, POLLIN);

		if (err)
			return err;
		n = recvmsg(fe->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return fe_fail(fe, -ECONNRESET, "backend hung up");
		c = CMSG_FIRSTHDR(&msg);
		if (c && c->cmsg_type == SCM_RIGHTS) {
			int got;

			memcpy(&got, CMSG_DATA(c), sizeof(got));
			close_fd(fd);
			*fd = got;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_message(struct fe *fe, struct header *h, char *payload, int *fd)
{
	int err = read_all(fe, h, HEADER, fd);

	if (err)
		return err;
	if ((h->flags & 3) != FE_VERSION || !(h->flags & FE_REPLY))
		return fe_fail(fe, -EPROTO, "reply %u with flags %#x",
			       h->request, h->flags);
	if (h->size > FE_PAYLOAD_MAX)
		return fe_fail(fe, -EPROTO, "reply %u with %u bytes",
			       h->request, h->size);
	return read_all(fe, payload, h->size, fd);
}

int fe_reply(struct fe *fe, uint32_t request, void *payload, uint32_t *size,
	     int *fd)
{
	char bytes[FE_PAYLOAD_MAX];
	struct header h;
	int got = -1;
	int err = read_message(fe, &h, bytes, &got);

	if (!err && h.request != request)
		err = fe_fail(fe, -EPROTO, "reply to %u, not to %u", h.request,
			      request);
	if (!err && h.size > *size)
		err = fe_fail(fe, -EPROTO, "reply to %u has %u bytes, not %u",
			      request, h.size, *size);
	if (!err) {
		memcpy(payload, bytes, h.size);
		*size = h.size;
	}
	if (fd && !err)
		*fd = got;
	else
		close_fd(&got);
	return err;
}

int fe_set(struct fe *fe, uint32_t request, const void *payload, uint32_t size,
	   const int *fds, unsigned n_fds)
{
	bool ack = fe->protocol & FE_BIT(FE_P_REPLY_ACK);
	uint64_t status = 0;
	uint32_t room = sizeof(status);
	int err = fe_message(fe, request, ack ? FE_NEED_REPLY : 0, payload,
			     size, fds, n_fds);

	if (err || !ack)
		return err;
	err = fe_reply(fe, request, &status, &room, NULL);
	if (!err && room != sizeof(status))
		err = fe_fail(fe, -EPROTO, "acknowledgement of %u bytes", room);
	if (!err && status)
		err = fe_fail(fe, -EREMOTEIO, "request %u was refused (%llu)",
			      request, (unsigned long long)status);
	return err;
}

int fe_set_u64(struct fe *fe, uint32_t request, uint64_t value)
{
	return fe_message(fe, request, 0, &value, sizeof(value), NULL, 0);
}

int fe_get_u64(struct fe *fe, uint32_t request, uint64_t *value)
{
	uint32_t size = sizeof(*value);
	int err = fe_message(fe, request, 0, NULL, 0, NULL, 0);

	if (!err)
		err = fe_reply(fe, request, value, &size, NULL);
	if (!err && size != sizeof(*value))
		err = fe_fail(fe, -EPROTO, "reply to %u has %u bytes", request,
			      size);
	return err;
}

int fe_sync(struct fe *fe)
{
	uint64_t features;

	return fe_get_u64(fe, FE_GET_FEATURES, &features);
}

int fe_wait_hangup(struct fe *fe)
{
	int64_t end = now_ms() + fe->timeout_ms;
	char bytes[4096];

	for (;;) {
		struct pollfd p = { .fd = fe->sock, .events = POLLIN };
		int64_t left = end - now_ms();
		ssize_t n;

		if (poll(&p, 1, left > 0 ? (int)left : 0) == 0)
			return fe_fail(fe, -ETIMEDOUT,
				       "no hang-up within %d ms",
				       fe->timeout_ms);
		/* Whatever still comes, and its end or a reset. */
		n = recv(fe->sock, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
			return 0;
	}
}
