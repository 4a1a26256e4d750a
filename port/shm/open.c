// SPDX-License-Identifier: BSD-2-Clause
// open.c - make, resume and close the region of a shared-memory port.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/offload.h"
#include "core/switch.h"
#include "core/vnet_hdr.h"
#include "lib/error.h"
#include "lib/shm.h"
#include "port/shm/shm.h"

enum {
	FD_WINDOW,
	FD_BUFS,
	FD_KICK,
	FD_CALL,
	FD_N,
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
	FD_TICKS = 5, /* how long the client may take to fetch its fds */
};

_Static_assert(sizeof(struct shm_saved) <= PORT_SAVED_SIZE,
	       "the state file's record is large enough");

static void call(struct shm_peer *peer, struct nm_csb_atok *atok,
		 uint32_t called[2])
{
	struct shm_port *shm = (void *)peer; /* its first member */
	char old[LAYOUT_PAGE];

	(void)atok, (void)called;
	if (write(shm->call_fd, "", 1) == 1)
		return;
	/*
	 * Full: clients need not read, each byte is an edge for their epoll. A
	 * read of a page makes room for a byte, whatever the client made of
	 * the pipe; it may write as well, so do not go on until it is empty.
	 */
	(void)!read(shm->call_fd, old, sizeof(old));
	if (write(shm->call_fd, "", 1) != 1)
		__atomic_fetch_add(&shm->lost_calls, 1, __ATOMIC_RELAXED);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void shm_close(struct port *port)
{
	struct shm_port *shm = port->drv;

	region_leave(&shm->member);
	if (shm->base)
		munmap(shm->base, shm->map_size);
	close_fd(&shm->window_fd);
	close_fd(&shm->bufs_fd);
	close_fd(&shm->kick_fd);
	close_fd(&shm->call_fd);
	close_fd(&shm->called_fd);
	shm->saved->valid = 0;
	free(shm);
}

/* A sealed memfd of the given size. */
static int memfd(const char *what, uint64_t size, struct glen_error *error)
{
	int fd = memfd_create(what, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return error_set(error, -errno, "cannot make a memfd: %s",
				 error_reason(errno));
	if (ftruncate(fd, size) || fcntl(fd, F_ADD_SEALS, SEALS)) {
		int err = -errno;

		close(fd);
		return error_set(error, err,
				 "cannot make a memfd of %llu bytes: %s",
				 (unsigned long long)size, strerror(-err));
	}
	return fd;
}

/* Only the window: the buffers are mapped once for all members. */
static int map_window(struct shm_port *shm, struct glen_error *error)
{
	void *map = mmap(NULL, shm->layout.window_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, shm->window_fd, 0);

	if (map == MAP_FAILED)
		return error_set(error, -errno, "cannot map the window: %s",
				 error_reason(errno));
	shm->base = map;
	shm->map_size = shm->layout.window_size;
	shm->window = map;
	shm->bufs = shm->member.region->bufs;
	return 0;
}

static int map_all(struct shm_port *shm, struct glen_error *error)
{
	int err;

	if (shm->member.region)
		return map_window(shm, error);
	shm->map_size = shm->layout.size;
	err = layout_map(&shm->layout, shm->window_fd, shm->bufs_fd, &shm->base,
			 error);
	if (err)
		return err;
	shm->window = (uint8_t *)shm->base;
	shm->bufs = (uint8_t *)shm->base + shm->layout.bufs_off;
	return 0;
}

static void save(struct shm_port *shm)
{
	struct shm_saved *s = shm->saved;
	int fds[2] = { shm->window_fd, shm->bufs_fd };
	struct stat st;

	memset(s, 0, sizeof(*s));
	s->rings = shm->layout.rings;
	s->slots = shm->layout.slots;
	s->buf_size = shm->layout.buf_size;
	s->extra_bufs = shm->layout.extra_bufs;
	s->vnet_hdr_len = shm->vnet_hdr_len;
	for (unsigned i = 0; i < 2; i++)
		if (!fstat(fds[i], &st)) {
			s->dev[i] = st.st_dev;
			s->ino[i] = st.st_ino;
		}
	region_save(&shm->member, &s->region);
	s->swap = shm->swap;
	s->offsets = shm->layout.offsets;
	s->marks = shm->marks;
	while (getrandom(s->token, sizeof(s->token), 0) !=
	       (ssize_t)sizeof(s->token))
		;
	s->valid = 1;
}

/*
 * Our end of the call pipe, given the client's: an open file description of
 * our own, so that the client cannot make it block, for writing and, when the
 * pipe is full, for emptying it.
 */
static int open_call(int fd)
{
	char path[32], what[32];

	/* Only ever a nameless pipe: to look at or open a file of a file
	 * system that the client serves could take for ever. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, what, sizeof(what)) < 6 || memcmp(what, "pipe:[", 6))
		return -1;
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static struct shm_port *shm_of(struct region_member *m)
{
	return (void *)((char *)m - offsetof(struct shm_port, member));
}

/* region_member's: names all buffers in the port's rings. A port that is being
 * opened has none yet. */
static void scan(struct region_member *m)
{
	struct shm_port *shm = shm_of(m);

	for (unsigned i = 0; i < shm->port->n_in; i++)
		for (uint32_t s = 0; s < shm->layout.slots; s++) {
			region_seen(m,
				    slot_buf(slot_load(&shm->in[i].slots[s])));
			region_seen(m,
				    slot_buf(slot_load(&shm->out[i].slots[s])));
		}
}

static void fresh(struct region_member *m, uint32_t fresh)
{
	struct shm_port *shm = shm_of(m);

	shm->saved->region.fresh = fresh;
}

/* The port shares the buffers of its region. */
static int share(struct shm_port *shm, struct glen_error *error)
{
	const struct region_member *m = &shm->member;
	struct layout *l = &shm->layout;
	bool offsets = l->offsets;
	int err = layout_init(l, l->rings, l->slots, m->region->buf_size,
			      l->extra_bufs, error);

	l->offsets = offsets;
	return err   ?:
		       layout_share(l, m->region->n_bufs, region_bufs_off(m),
				    error);
}

static int join(struct shm_port *shm, const struct region_wish *wish,
		struct glen_error *error)
{
	int err = region_join(shm->port->sw->engine, wish, &shm->member, error);

	return err ? err : share(shm, error);
}

static int rejoin(struct shm_port *shm, int bufs_fd, struct glen_error *error)
{
	int err = region_rejoin(shm->port->sw->engine, &shm->saved->region,
				bufs_fd, &shm->member, error);

	return err ? err : share(shm, error);
}

/* Chains the extra buffers, whose numbers are any. */
static void chain_extra(struct shm_port *shm, const uint32_t *ids, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t next = i + 1 < n ? ids[i + 1] : 0;

		memcpy(shm->bufs + (size_t)ids[i] * shm->layout.buf_size, &next,
		       sizeof(next));
	}
}

/* Fills the window of a port that shares a region with buffers of that. */
static int furnish(struct shm_port *shm, struct glen_error *error)
{
	const struct layout *l = &shm->layout;
	uint32_t n = layout_own_bufs(l);
	uint32_t *ids = malloc(n * sizeof(*ids));
	int err;

	if (!ids)
		return error_set(error, -ENOMEM, "out of memory");
	err = region_take(&shm->member, n, ids, error);
	if (!err) {
		layout_write(l, shm->window, shm->port->name, ids);
		chain_extra(shm, ids + n - l->extra_bufs, l->extra_bufs);
	}
	free(ids);
	return err;
}

/* The memory of a region of one port; its member has one already. */
static int make_bufs(struct shm_port *shm, struct glen_error *error)
{
	if (shm->member.region)
		shm->bufs_fd = fcntl(shm->member.region->bufs_fd,
				     F_DUPFD_CLOEXEC, 0);
	else
		return memfd("glen-buffers", shm->layout.bufs_size, error);
	return shm->bufs_fd >= 0 ?
		       shm->bufs_fd :
		       error_set(error, -errno, "dup: %s", error_reason(errno));
}

/* A new window, and a new region unless it shares one. */
static int make(struct shm_port *shm, const struct region_wish *wish,
		struct glen_error *error)
{
	struct port *port = shm->port;
	int call[2], err = 0;

	if (wish->name)
		err = join(shm, wish, error);
	if (err)
		return err;

	shm->window_fd = memfd("glen-window", shm->layout.window_size, error);
	if (shm->window_fd < 0)
		return shm->window_fd;
	shm->bufs_fd = make_bufs(shm, error);
	if (shm->bufs_fd < 0)
		return shm->bufs_fd;
	shm->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (shm->kick_fd < 0 || pipe2(call, O_CLOEXEC | O_NONBLOCK))
		return error_set(error, -errno,
				 "cannot make an eventfd or a pipe: %s",
				 error_reason(errno));
	shm->called_fd = call[0];
	close(call[1]);
	shm->call_fd = open_call(shm->called_fd);
	if (shm->call_fd < 0)
		return error_set(error, -errno,
				 "cannot open a pipe through /proc: %s; is "
				 "/proc mounted?",
				 strerror(errno));
	fcntl(shm->call_fd, F_SETPIPE_SZ, LAYOUT_PAGE);
	err = map_all(shm, error);
	if (err)
		return err;
	if (wish->name)
		err = furnish(shm, error);
	else
		layout_write(&shm->layout, shm->window, port->name, NULL);
	save(shm);
	return err;
}

static bool is_eventfd(int fd)
{
	char path[32], what[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, what, sizeof(what));
	return n == 20 && !memcmp(what, "anon_inode:[eventfd]", 20);
}

/* True if fd is the sealed memfd that the state file remembers. */
static bool is_ours(const struct shm_saved *s, unsigned i, int fd,
		    uint64_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && !fstat(fd, &st) &&
	       st.st_dev == s->dev[i] && st.st_ino == s->ino[i] &&
	       (uint64_t)st.st_size == size;
}

static bool token_good(const struct shm_saved *s, const char *hex)
{
	unsigned differ = 0;
	char want[2 * SHM_TOKEN_SIZE + 1];

	if (!hex || strlen(hex) != 2 * SHM_TOKEN_SIZE)
		return false;
	for (unsigned i = 0; i < SHM_TOKEN_SIZE; i++)
		snprintf(want + 2 * i, 3, "%02x", s->token[i]);
	for (unsigned i = 0; i < 2 * SHM_TOKEN_SIZE; i++)
		differ |= (unsigned char)want[i] ^ (unsigned char)hex[i];
	return !differ;
}

/* The region of a client that survived the glend that made it. */
static int resume(struct shm_port *shm, struct port_args *args,
		  const char *token, struct glen_error *error)
{
	const struct shm_saved *s = shm->saved;
	int err;

	if (!s->valid || !token_good(s, token))
		return error_set(error, -EACCES,
				 "the token is not that of port %s",
				 shm->port->name);
	if (args->n_fds != FD_N)
		return error_set(error, -EINVAL,
				 "%u descriptors came with port.resume; %d are "
				 "needed",
				 args->n_fds, FD_N);
	if (s->region.name[0]) {
		err = rejoin(shm, args->fds[FD_BUFS], error);
		if (err)
			return err;
	}
	if (!is_ours(s, 0, args->fds[FD_WINDOW], shm->layout.window_size) ||
	    !is_ours(s, 1, args->fds[FD_BUFS], shm->layout.bufs_size) ||
	    !is_eventfd(args->fds[FD_KICK]))
		return error_set(error, -EINVAL,
				 "the descriptors are not those of port %s",
				 shm->port->name);
	/* What is not taken is not ours to close. */
	shm->call_fd = open_call(args->fds[FD_CALL]);
	if (shm->call_fd < 0)
		return error_set(error, -EINVAL,
				 "the fourth descriptor is not the call pipe "
				 "of port %s",
				 shm->port->name);
	shm->window_fd = args->fds[FD_WINDOW];
	shm->bufs_fd = args->fds[FD_BUFS];
	shm->kick_fd = args->fds[FD_KICK];
	shm->called_fd = args->fds[FD_CALL];
	for (unsigned i = 0; i < FD_N; i++)
		args->fds[i] = -1;
	err = map_all(shm, error);
	if (err)
		return err;
	close_fd(&shm->window_fd);
	close_fd(&shm->bufs_fd);
	close_fd(&shm->called_fd);
	return 0;
}

static void init_rings(struct shm_port *shm, unsigned i)
{
	const struct layout *l = &shm->layout;
	uint8_t *window = shm->window;
	const struct shm_common c = {
		.peer = &shm->peer,
		.member = &shm->member,
		.region = shm->member.region,
		.bufs = shm->bufs,
		.n_bufs = l->n_bufs,
		.buf_size = l->buf_size,
		.vnet_hdr_len = shm->vnet_hdr_len,
		.swap = shm->swap,
		.marks = shm->marks,
		.hdr_filled = VNET_HDR_LEN_BUFFERS,
		.offsets = l->offsets,
		.offset_max = l->offsets ? l->buf_size - 1 : 0,
		.offset_mask = l->offsets ? LAYOUT_OFFSET_MASK : 0,
	};
	struct shm_ring ring = {
		.ring = (void *)(window + layout_tx_ring(l, i)),
		.atok = (struct nm_csb_atok *)(window + LAYOUT_ATOK_OFF) + i,
		.ktoa = (struct nm_csb_ktoa *)(window + LAYOUT_KTOA_OFF) + i,
		.saved = &shm->saved->ring[i],
		.slots = l->slots,
	};

	shm_in_init(&shm->in[i], &c, &ring);
	shm->port->in[i].drv = &shm->in[i];
	shm->port->in[i].in_fd = shm->kick_fd;
	ring.ring = (void *)(window + layout_rx_ring(l, i));
	ring.atok += l->rings;
	ring.ktoa += l->rings;
	shm_out_init(&shm->out[i], &c, &ring);
	shm->port->out[i].drv = &shm->out[i];
}

/* What regards a region that several ports share. */
static int options_region(struct shm_port *shm, json_t *params,
			  struct region_wish *wish, struct glen_error *error)
{
	bool swap = false;
	int err = region_read(params, wish, error);

	err = err   ?:
		      region_swap_read(params, wish, shm->saved->swap,
				       shm->vnet_hdr_len, &swap, error);
	shm->swap = !err && swap;
	return err;
}

static int options(struct shm_port *shm, json_t *params, const char **token,
		   struct region_wish *wish, struct glen_error *error)
{
	static const char *const known[] = {
		"rings",      "slots",	      "buf_size",
		"extra_bufs", "vnet_hdr_len", "token",
		"region",     "region_token", "region_bufs",
		"swap",	      "offsets",      "marks",
		NULL
	};
	const struct shm_saved *s = shm->saved;
	long rings, slots, buf_size, extra, vnet = 0;
	bool offsets = false;
	int err = params_check(params, known, error);

	err = err   ?:
		      params_int(params, "rings", s->rings, 0, GLEN_RINGS_MAX,
				 &rings, error);
	err = err   ?:
		      params_int(params, "slots", s->slots, 0, GLEN_SLOTS_MAX,
				 &slots, error);
	err = err   ?:
		      params_int(params, "buf_size", s->buf_size, 0,
				 GLEN_BUF_MAX, &buf_size, error);
	err = err   ?:
		      params_int(params, "extra_bufs", s->extra_bufs, 0,
				 GLEN_EXTRA_BUFS_MAX, &extra, error);
	err = err   ?:
		      params_int(params, "vnet_hdr_len", s->vnet_hdr_len, 0, 12,
				 &vnet, error);
	err = err ?: params_str(params, "token", token, error);
	if (!err && vnet && vnet != 10 && vnet != 12)
		err = error_set(error, -EINVAL,
				"vnet_hdr_len %ld: only 0, 10 and 12 exist",
				vnet);
	shm->vnet_hdr_len = vnet;
	err = err ?: options_region(shm, params, wish, error);
	wish->buf_size = buf_size;
	err = err   ?:
		      params_bool(params, "offsets", s->offsets, &offsets,
				  error);
	err = err ?: params_bool(params, "marks", s->marks, &shm->marks, error);
	err = err   ?:
		      layout_init(&shm->layout, rings, slots, buf_size, extra,
				  error);
	shm->layout.offsets = !err && offsets;
	return err;
}

/* After a restart: takes the buffers that the port's slots name. One that
 * another port has too is exchanged for a copy. */
static int adopt(struct shm_port *shm, struct netmap_slot *slots,
		 struct glen_error *error)
{
	struct region_member *m = &shm->member;
	uint32_t size = shm->layout.buf_size, copy;

	for (uint32_t i = 0; i < shm->layout.slots; i++) {
		uint64_t w = slot_load(&slots[i]);
		int err;

		if (region_seen(m, slot_buf(w)))
			continue;
		err = region_take(m, 1, &copy, error);
		if (err)
			return err;
		memcpy(shm->bufs + (size_t)copy * size,
		       shm->bufs + (size_t)slot_buf(w) * size, size);
		slot_store(&slots[i],
			   slot_word(copy, slot_len(w),
				     slot_flags(w) | NS_BUF_CHANGED));
	}
	return 0;
}

static int adopt_all(struct shm_port *shm, struct glen_error *error)
{
	int err = 0;

	for (unsigned i = 0; !err && i < shm->layout.rings; i++)
		err = adopt(shm, shm->in[i].slots, error) ?:
			      adopt(shm, shm->out[i].slots, error);
	return err;
}

static int shm_open_port(struct port *port, struct port_args *args,
			 struct glen_error *error)
{
	size_t size = (sizeof(struct shm_port) + 63) & ~63UL;
	struct shm_port *shm = aligned_alloc(64, size);
	struct region_wish wish = { 0 };
	const char *token = NULL;
	int err;

	if (!shm)
		return error_set(error, -ENOMEM, "out of memory");
	memset(shm, 0, size);
	shm->peer.call = call;
	shm->port = port;
	shm->window_fd = shm->bufs_fd = shm->kick_fd = -1;
	shm->call_fd = shm->called_fd = -1;
	shm->saved = args->saved ? args->saved : &shm->own_saved;
	if (!args->resume)
		memset(shm->saved, 0, sizeof(*shm->saved));
	port->drv = shm;
	shm->member.port = port;
	shm->member.scan = scan;
	shm->member.fresh = fresh;
	err = options(shm, args->params, &token, &wish, error);
	shm->member.extra = shm->layout.extra_bufs;
	if (!err)
		err = args->resume ? resume(shm, args, token, error) :
				     make(shm, &wish, error);
	if (err)
		goto err_close;
	port->n_in = port->n_out = shm->layout.rings;
	port->caps = shm->vnet_hdr_len ? OFFLOAD_CAP_ALL : 0;
	for (unsigned i = 0; i < shm->layout.rings; i++)
		init_rings(shm, i);
	if (args->resume && shm->member.region)
		err = adopt_all(shm, error);
	if (err)
		goto err_close;
	return 0;
err_close:
	if (args->resume) {
		/* A stranger's attempt does not end the owner's claim. */
		struct shm_saved kept = *shm->saved;
		struct shm_saved *saved = shm->saved;

		shm_close(port);
		*saved = kept;
	} else {
		shm_close(port);
	}
	return err;
}

static void shm_show(struct port *port, json_t *o)
{
	const struct shm_port *shm = port->drv;

	json_object_set_new(o, "slots", json_integer(shm->layout.slots));
	json_object_set_new(o, "buf_size", json_integer(shm->layout.buf_size));
	json_object_set_new(o, "extra_bufs",
			    json_integer(shm->layout.extra_bufs));
	json_object_set_new(o, "vnet_hdr_len", json_integer(shm->vnet_hdr_len));
	if (shm->layout.offsets)
		json_object_set_new(o, "offsets", json_true());
	if (shm->marks)
		json_object_set_new(o, "marks", json_true());
	if (!shm->member.region)
		return;
	json_object_set_new(o, "region", json_string(shm->member.region->name));
	json_object_set_new(o, "swap", json_boolean(shm->swap));
}

static void shm_attach_info(struct port *port, json_t *o, int *fds,
			    unsigned *n_fds)
{
	struct shm_port *shm = port->drv;
	char token[2 * SHM_TOKEN_SIZE + 1];

	for (unsigned i = 0; i < SHM_TOKEN_SIZE; i++)
		snprintf(token + 2 * i, 3, "%02x", shm->saved->token[i]);
	json_object_set_new(o, "token", json_string(token));
	json_object_set_new(o, "rings", json_integer(shm->layout.rings));
	shm_show(port, o);
	if (shm->member.region) {
		region_token_text(shm->member.region, token);
		json_object_set_new(o, "region_token", json_string(token));
		json_object_set_new(o, "n_bufs",
				    json_integer(shm->layout.n_bufs));
		json_object_set_new(o, "bufs_off",
				    json_integer(shm->layout.bufs_off));
	}
	*n_fds = 0;
	if (shm->window_fd < 0)
		return;
	fds[FD_WINDOW] = shm->window_fd;
	fds[FD_BUFS] = shm->bufs_fd;
	fds[FD_KICK] = shm->kick_fd;
	fds[FD_CALL] = shm->called_fd;
	*n_fds = FD_N;
	shm->fd_ticks = 1;
}

/* The memfds are of no use any more once the client has them. */
static void shm_tick(struct port *port)
{
	struct shm_port *shm = port->drv;

	if (shm->fd_ticks && shm->fd_ticks++ == FD_TICKS) {
		close_fd(&shm->window_fd);
		close_fd(&shm->bufs_fd);
		close_fd(&shm->called_fd);
	}
}

extern ISA_DECLARE(const struct port_hot, shm_hot);

const struct port_ops shm_port_ops = {
	.name = "shm",
	.summary = "a process, through rings and buffers in shared memory",
	.options = "rings=N (1..16), slots=N (16..4096 per ring)\n"
		   "buf_size=BYTES (64..65536, a multiple of 64)\n"
		   "extra_bufs=N, vnet_hdr_len=0|10|12\n"
		   "region=NAME (buffers shared with its other ports)\n"
		   "region_token=TEXT (32 hex digits), region_bufs=N\n"
		   "swap=true|false (packets move by reference in it)\n"
		   "offsets=true|false (packets may begin anywhere in "
		   "buffers)\n"
		   "marks=true|false (slots carry packets' marks, for NFs)\n",
	.open = shm_open_port,
	.close = shm_close,
	.show = shm_show,
	.attach_info = shm_attach_info,
	.tick = shm_tick,
	.hot = ISA_TABLE_PTR(shm_hot),
};
