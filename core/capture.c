// SPDX-License-Identifier: BSD-2-Clause
// capture.c - copy packets into a reader's ring, or count them as missed.
#include "core/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/rcu.h"
#include "core/switch.h"
#include "lib/error.h"

enum {
	WAKE_NS = 20000000, /* between two wake-ups from one ring */
};

/* glend's half of a ring. All but busy and missed: whoever holds busy. */
struct ring {
	_Alignas(64) atomic_flag busy;
	_Atomic uint64_t missed; /* copied to the shared header */
	uint64_t head;		 /* the truth; the shared one is a copy */
	uint64_t woken_head;	 /* head at the last wake-up */
	uint64_t woken_ns;	 /* time of the last wake-up */
	uint32_t wake_seq;	 /* the last request answered */
	uint8_t *base;		 /* const: shared, only written */
};

struct capture_session {
	struct vswitch *sw;	      /* NULL: it is gone */
	struct capture_session *next; /* in sw->captures */
	struct capture *links;	      /* one per port that is captured */
	char port[PORT_NAME_SIZE];    /* "": all ports */
	uint32_t snaplen;	      /* const */
	uint32_t n_lines;	      /* of the table of ports, with line 0 */
	unsigned n_rings;	      /* const */
	uint64_t ring_bytes;	      /* const: a power of two */
	uint8_t *mem;		      /* const: the whole memfd */
	size_t mem_size;	      /* const */
	int mem_fd;
	int wake_fd;   /* ours: non-blocking */
	int reader_fd; /* the reader's end of wake_fd */
	struct ring rings[];
};

/*
 * One session that applies to one port. Workers walk port->capture and next;
 * links of a session are also in a list of their own, for the control thread.
 */
struct capture {
	_Atomic(struct capture *) next;	 /* of the same port; RCU */
	struct capture_session *session; /* const */
	struct capture *session_next;	 /* of the same session */
	struct port *port;		 /* const */
	uint16_t line;			 /* const: in the table of ports */
};

/* A batch on its way into one ring. */
struct writer {
	const struct capture *link;
	struct capture_session *session;
	struct ring *ring;
	unsigned ring_idx;
	unsigned missed; /* packets that found no room */
	uint64_t now_ns;
};

static struct capture_head *shared_head(const struct capture_session *session)
{
	return (struct capture_head *)session->mem;
}

static struct capture_tail *shared_tail(const struct capture_session *session)
{
	return (struct capture_tail *)(session->mem + CAPTURE_TAIL_OFF);
}

static struct capture_port *shared_port(const struct capture_session *session,
					unsigned line)
{
	return (struct capture_port *)(session->mem + CAPTURE_PORTS_OFF) + line;
}

/*
 * Workers.
 */

static void count_missed(const struct capture *link, unsigned ring_idx,
			 unsigned n)
{
	struct capture_session *session = link->session;
	struct ring *ring = &session->rings[ring_idx];
	uint64_t missed = atomic_fetch_add_explicit(&ring->missed, n,
						    memory_order_relaxed);

	atomic_store_explicit(&shared_head(session)->rings[ring_idx].missed,
			      missed + n, memory_order_relaxed);
	atomic_fetch_add_explicit(&shared_port(session, link->line)->missed, n,
				  memory_order_relaxed);
}

/* False: another thread writes to the ring, which should not be. */
static bool writer_begin(struct writer *w, const struct capture *link,
			 unsigned worker)
{
	struct capture_session *session = link->session;
	struct timespec now;

	w->link = link;
	w->session = session;
	w->missed = 0;
	w->ring_idx = worker < session->n_rings ? worker : session->n_rings - 1;
	w->ring = &session->rings[w->ring_idx];
	if (atomic_flag_test_and_set_explicit(&w->ring->busy,
					      memory_order_acquire))
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	w->now_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	return true;
}

static void wake_reader(struct capture_session *session)
{
	struct iovec iov = { "", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	/* EAGAIN: it has been woken. Others: it is gone. */
	(void)!sendmsg(session->wake_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void writer_end(struct writer *w)
{
	struct capture_session *session = w->session;
	struct ring *ring = w->ring;
	uint32_t seq;

	if (w->missed)
		count_missed(w->link, w->ring_idx, w->missed);
	atomic_store_explicit(&shared_head(session)->rings[w->ring_idx].head,
			      ring->head, memory_order_release);
	/* Pairs with the fence of a reader between wake_seq and its last look
	 * at head. */
	atomic_thread_fence(memory_order_seq_cst);
	seq = atomic_load_explicit(&shared_tail(session)->wake_seq,
				   memory_order_relaxed);
	if (seq != ring->wake_seq &&
	    (ring->head - ring->woken_head >= session->ring_bytes / 4 ||
	     w->now_ns - ring->woken_ns >= WAKE_NS)) {
		ring->wake_seq = seq;
		ring->woken_head = ring->head;
		ring->woken_ns = w->now_ns;
		wake_reader(session);
	}
	atomic_flag_clear_explicit(&ring->busy, memory_order_release);
}

/* Room for need contiguous bytes (a multiple of 8) at head, or NULL. */
static uint8_t *writer_reserve(struct writer *w, uint32_t need)
{
	struct ring *ring = w->ring;
	uint64_t size = w->session->ring_bytes;
	uint64_t pos = ring->head & (size - 1);
	uint64_t pad = need > size - pos ? size - pos : 0;
	uint64_t tail, used;
	struct capture_record *record;

	/* Pairs with the reader's release: what it read may be overwritten. */
	tail = atomic_load_explicit(
		&shared_tail(w->session)->rings[w->ring_idx].tail,
		memory_order_acquire);
	used = ring->head - tail;
	if (used > size || need + pad > size - used)
		return NULL;
	if (pad) {
		/* At least 8 bytes: size and kind. */
		record = (struct capture_record *)(ring->base + pos);
		record->size = pad;
		record->port = 0;
		record->kind = CAPTURE_PAD;
		record->reason = CAPTURE_DELIVERED;
		ring->head += pad;
		pos = 0;
	}
	return ring->base + pos;
}

/* Copies the first len bytes of header and segments. */
static void copy_packet(uint8_t *to, uint32_t len, const uint8_t *hdr,
			uint32_t hdr_len, const struct seg *seg, unsigned n_seg)
{
	uint32_t part = hdr_len < len ? hdr_len : len;

	if (part)
		memcpy(to, hdr, part);
	to += part;
	len -= part;
	for (unsigned s = 0; s < n_seg && len; s++) {
		part = seg[s].len < len ? seg[s].len : len;
		if (part)
			memcpy(to, seg[s].ptr, part);
		to += part;
		len -= part;
	}
	memset(to, 0, len); /* fewer bytes than said: never old ring content */
}

/* One record. hdr may be NULL if hdr_len is 0. */
static void writer_put(struct writer *w, enum capture_kind kind, uint8_t reason,
		       uint32_t wire_len, uint32_t avail, const uint8_t *hdr,
		       uint32_t hdr_len, const struct seg *seg, unsigned n_seg)
{
	uint32_t cap_len = avail < w->session->snaplen ? avail :
							 w->session->snaplen;
	uint32_t size = sizeof(struct capture_record) + ((cap_len + 7) & ~7U);
	uint8_t *at = writer_reserve(w, size);

	if (!at) {
		w->missed++;
		return;
	}
	*(struct capture_record *)at = (struct capture_record){
		.size = size,
		.port = w->link->line,
		.kind = kind,
		.reason = reason,
		.time_ns = w->now_ns,
		.wire_len = wire_len,
		.cap_len = cap_len,
	};
	at += sizeof(struct capture_record);
	copy_packet(at, cap_len, hdr, hdr_len, seg, n_seg);
	memset(at + cap_len, 0, -cap_len & 7);
	w->ring->head += size;
}

static void put_from_batch(struct writer *w, enum capture_kind kind,
			   uint8_t reason, const struct batch *b, unsigned i)
{
	writer_put(w, kind, reason, b->len[i], b->len[i], b->hdr[i],
		   b->hdr_len[i], &b->seg[b->seg0[i]], b->n_seg[i]);
}

void capture_in(struct capture *c, unsigned worker, const struct port *port,
		const struct batch *b)
{
	struct writer w;

	for (; c; c = rcu_load(&c->next)) {
		if (!writer_begin(&w, c, worker)) {
			count_missed(c, w.ring_idx, b->n);
			continue;
		}
		for (unsigned i = 0; i < b->n; i++) {
			uint32_t v = b->verdict[i];
			bool drop = (v & VERDICT_TYPE) == GLEN_VERDICT_DROP;

			put_from_batch(&w, CAPTURE_IN,
				       drop ? v : CAPTURE_DELIVERED, b, i);
		}
		writer_end(&w);
	}
}

void capture_out(struct capture *c, unsigned worker, const struct port *port,
		 const struct batch *b, const uint16_t *list, unsigned n,
		 const struct tx_ctx *ctx)
{
	struct writer w;

	for (; c; c = rcu_load(&c->next)) {
		if (!writer_begin(&w, c, worker)) {
			count_missed(c, w.ring_idx, n);
			continue;
		}
		for (unsigned k = 0; k < n; k++) {
			unsigned i = list[k];
			bool drop = ctx &&
				    (ctx->dropped[i / 64] >> (i % 64) & 1);

			put_from_batch(&w, CAPTURE_OUT,
				       drop ? ctx->reason[i] :
					      CAPTURE_DELIVERED,
				       b, i);
		}
		writer_end(&w);
	}
}

void capture_refused(struct capture *c, const struct ingress *in,
		     enum drop reason, const struct seg *seg, unsigned n_seg,
		     uint32_t len)
{
	uint64_t avail = 0;
	struct writer w;

	for (unsigned s = 0; s < n_seg; s++)
		avail += seg[s].len;
	if (avail > PACKET_LEN_MAX)
		avail = PACKET_LEN_MAX;
	for (; c; c = rcu_load(&c->next)) {
		if (!writer_begin(&w, c, in->worker_idx)) {
			count_missed(c, w.ring_idx, 1);
			continue;
		}
		writer_put(&w, CAPTURE_IN, reason, len, avail, NULL, 0, seg,
			   n_seg);
		writer_end(&w);
	}
}

/*
 * Control: links between sessions and ports.
 */

static uint16_t line_add(struct capture_session *session,
			 const struct port *port)
{
	uint32_t i = session->n_lines;

	if (i == CAPTURE_PORTS)
		return 0;
	snprintf(shared_port(session, i)->name, CAPTURE_NAME_SIZE, "%s:%s",
		 session->sw->name, port->name);
	session->n_lines++;
	return i;
}

static int link_create(struct capture_session *session, struct port *port)
{
	struct capture *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->session = session;
	link->port = port;
	link->line = line_add(session, port);
	link->session_next = session->links;
	session->links = link;
	atomic_store_explicit(&link->next, rcu_load(&port->capture),
			      memory_order_relaxed);
	rcu_publish(&port->capture, link);
	return 0;
}

/* Out of the port's list; workers may still be on it. */
static void link_hide(struct capture *link)
{
	_Atomic(struct capture *) *at = &link->port->capture;

	while (rcu_load(at) != link)
		at = &rcu_load(at)->next;
	rcu_publish(at, rcu_load(&link->next));
}

static bool session_wants(const struct capture_session *session,
			  const struct port *port)
{
	return !session->port[0] || !strcmp(session->port, port->name);
}

void capture_port_add(struct port *port)
{
	struct capture_session *session = port->sw->captures;

	for (; session; session = session->next)
		if (session_wants(session, port))
			(void)link_create(session, port);
}

void capture_port_del(struct port *port)
{
	struct capture *link = rcu_load(&port->capture);

	rcu_publish(&port->capture, NULL);
	while (link) {
		struct capture *next = rcu_load(&link->next);
		struct capture **at = &link->session->links;

		while (*at != link)
			at = &(*at)->session_next;
		*at = link->session_next;
		free(link);
		link = next;
	}
}

void capture_switch_del(struct vswitch *sw)
{
	struct capture_session *session = sw->captures;

	for (; session; session = session->next) {
		session->sw = NULL;
		atomic_store_explicit(&shared_head(session)->ended, 1,
				      memory_order_release);
		wake_reader(session);
	}
	sw->captures = NULL;
}

/*
 * Control: sessions.
 */

static int memory_create(struct capture_session *session)
{
	size_t rings = session->n_rings * session->ring_bytes;
	uint8_t *base;

	session->mem_size = capture_size(session->n_rings, session->ring_bytes);
	session->mem_fd = memfd_create("glen-capture",
				       MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (session->mem_fd < 0 ||
	    ftruncate(session->mem_fd, session->mem_size) ||
	    fcntl(session->mem_fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	session->mem = mmap(NULL, session->mem_size, PROT_READ | PROT_WRITE,
			    MAP_SHARED, session->mem_fd, 0);
	if (session->mem == MAP_FAILED) {
		session->mem = NULL;
		return -errno;
	}
	/* Page faults now rather than in the workers. */
	base = session->mem + CAPTURE_RINGS_OFF;
	if (madvise(base, rings, MADV_POPULATE_WRITE) && errno != EINVAL)
		return -errno;
	for (unsigned i = 0; i < session->n_rings; i++)
		session->rings[i].base = base + i * session->ring_bytes;
	strcpy(shared_port(session, 0)->name, "switch:?");
	session->n_lines = 1;
	return 0;
}

static int wake_create(struct capture_session *session)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fds))
		return -errno;
	session->wake_fd = fds[0];
	session->reader_fd = fds[1];
	return 0;
}

static void session_free(struct capture_session *session)
{
	if (session->mem)
		munmap(session->mem, session->mem_size);
	if (session->mem_fd >= 0)
		close(session->mem_fd);
	if (session->wake_fd >= 0)
		close(session->wake_fd);
	if (session->reader_fd >= 0)
		close(session->reader_fd);
	free(session);
}

/* Checks the numbers; *n_rings and *ring_bytes are what is used. */
static int config_check(const struct capture_config *config, unsigned *n_rings,
			uint64_t *ring_bytes, struct glen_error *error)
{
	uint64_t want = config->ring_bytes ? config->ring_bytes :
					     CAPTURE_RING_DEFAULT;
	uint64_t size = CAPTURE_RING_MIN;

	if (want < CAPTURE_RING_MIN || want > CAPTURE_RING_MAX)
		return error_set(error, -EINVAL,
				 "ring_bytes must be %d to %d, not %llu",
				 CAPTURE_RING_MIN, CAPTURE_RING_MAX,
				 (unsigned long long)want);
	/* One more than workers: the control thread drains ports. */
	*n_rings = config->n_workers + 1;
	if (*n_rings > CAPTURE_RINGS_MAX)
		return error_set(error, -EINVAL, "at most %d workers",
				 CAPTURE_RINGS_MAX - 1);
	while (size < want)
		size *= 2;
	while (size * *n_rings > CAPTURE_BYTES_MAX)
		size /= 2;
	*ring_bytes = size;
	return 0;
}

static int session_alloc(const struct capture_config *config,
			 struct capture_session **made,
			 struct glen_error *error)
{
	struct capture_session *session;
	uint64_t ring_bytes = 0;
	unsigned n_rings = 0;
	size_t size;
	int ret;

	ret = config_check(config, &n_rings, &ring_bytes, error);
	if (ret)
		return ret;
	size = sizeof(*session) + n_rings * sizeof(session->rings[0]);
	session = aligned_alloc(64, size);
	if (!session)
		return error_set(error, -ENOMEM, "no memory for a capture");
	memset(session, 0, size);
	session->mem_fd = session->wake_fd = session->reader_fd = -1;
	session->n_rings = n_rings;
	session->ring_bytes = ring_bytes;
	session->snaplen = config->snaplen ? config->snaplen :
					     CAPTURE_SNAPLEN_DEFAULT;
	for (unsigned i = 0; i < n_rings; i++)
		atomic_flag_clear(&session->rings[i].busy);
	ret = memory_create(session);
	if (!ret)
		ret = wake_create(session);
	if (ret) {
		session_free(session);
		return error_set(error, ret,
				 "cannot make the rings of a "
				 "capture: %s",
				 strerror(-ret));
	}
	*made = session;
	return 0;
}

static int session_link(struct capture_session *session, struct vswitch *sw,
			struct glen_error *error)
{
	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
		struct port *port = sw->ports[i];

		if (port && session_wants(session, port) &&
		    link_create(session, port))
			return error_set(error, -ENOMEM,
					 "no memory for a capture");
	}
	if (session->port[0] && !session->links)
		return error_set(error, -ENOENT,
				 "there is no port %s:%s; see glenctl port "
				 "list",
				 sw->name, session->port);
	return 0;
}

int capture_create(struct vswitch *sw, const struct capture_config *config,
		   struct capture_session **made, struct glen_error *error)
{
	struct capture_session *session;
	unsigned n = 0;
	int ret;

	for (session = sw->captures; session; session = session->next)
		n++;
	if (n >= CAPTURE_SESSIONS_MAX)
		return error_set(error, -ENOSPC,
				 "%u captures run on switch %s already; stop "
				 "one first",
				 n, sw->name);
	ret = session_alloc(config, &session, error);
	if (ret)
		return ret;
	if (config->port)
		snprintf(session->port, sizeof(session->port), "%s",
			 config->port);
	session->sw = sw;
	session->next = sw->captures;
	sw->captures = session;
	ret = session_link(session, sw, error);
	if (ret) {
		capture_destroy(session);
		return ret;
	}
	*made = session;
	return 0;
}

void capture_destroy(struct capture_session *session)
{
	struct capture_session **at;

	if (!session)
		return;
	if (session->sw) {
		at = &session->sw->captures;
		while (*at != session)
			at = &(*at)->next;
		*at = session->next;
	}
	for (struct capture *l = session->links; l; l = l->session_next)
		link_hide(l);
	rcu_wait();
	while (session->links) {
		struct capture *link = session->links;

		session->links = link->session_next;
		free(link);
	}
	session_free(session);
}

json_t *capture_show(const struct capture_session *session)
{
	json_t *reasons = json_object();
	char key[16];

	for (unsigned i = 0, n = drop_count(); i < n; i++) {
		snprintf(key, sizeof(key), "%u", i);
		json_object_set_new(reasons, key, json_string(drop_name(i)));
	}
	return json_pack("{s:I, s:I, s:I, s:o}", "rings",
			 (json_int_t)session->n_rings, "ring_bytes",
			 (json_int_t)session->ring_bytes, "snaplen",
			 (json_int_t)session->snaplen, "reasons", reasons);
}

void capture_fds(const struct capture_session *session, int fds[2])
{
	fds[0] = session->mem_fd;
	fds[1] = session->reader_fd;
}
