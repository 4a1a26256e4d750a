// SPDX-License-Identifier: BSD-2-Clause
// region.c - make, join and leave regions that several ports share.
#include "core/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/engine.h"
#include "lib/error.h"
#include "lib/layout.h"

enum {
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
	LOST_S = 120, /* then all who resume have resumed */
};

int region_read(json_t *params, struct region_wish *wish,
		struct glen_error *error)
{
	long n_bufs = 0;
	int err = params_str(params, "region", &wish->name, error);

	err = err ?: params_str(params, "region_token", &wish->token, error);
	err = err   ?:
		      params_int(params, "region_bufs", 0, 0, 1 << 24, &n_bufs,
				 error);
	if (err)
		return err;
	wish->n_bufs = n_bufs;
	if (wish->token &&
	    (strlen(wish->token) != 2 * REGION_TOKEN_SIZE ||
	     strspn(wish->token, "0123456789abcdef") != 2 * REGION_TOKEN_SIZE))
		return error_set(error, -EINVAL,
				 "region_token must be %d of the digits 0-9 "
				 "and a-f",
				 2 * REGION_TOKEN_SIZE);
	if (wish->name)
		return name_check("region", wish->name, error) ? 0 : -EINVAL;
	if (wish->token || wish->n_bufs)
		return error_set(error, -EINVAL,
				 "%s means nothing without region=NAME",
				 wish->token ? "region_token" : "region_bufs");
	return 0;
}

int region_swap_read(json_t *params, const struct region_wish *wish,
		     bool before, unsigned vnet_hdr_len, bool *swap,
		     struct glen_error *error)
{
	int err = params_bool(params, "swap", before, swap, error);

	if (!err && *swap && !wish->name)
		err = error_set(error, -EINVAL,
				"swap=true means nothing without region=NAME");
	if (!err && *swap && vnet_hdr_len)
		err = error_set(error, -EINVAL,
				"a port with vnet headers cannot swap");
	return err;
}

struct region *region_find(struct engine *engine, const char *name)
{
	for (struct region *r = engine->regions; r; r = r->link)
		if (!strcmp(r->name, name))
			return r;
	return NULL;
}

void region_token_text(const struct region *r, char *text)
{
	for (unsigned i = 0; i < REGION_TOKEN_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", r->token[i]);
}

static bool token_good(const struct region *r, const char *hex)
{
	char want[2 * REGION_TOKEN_SIZE + 1];
	unsigned differ = 0;

	if (!hex || strlen(hex) != 2 * REGION_TOKEN_SIZE)
		return false;
	region_token_text(r, want);
	for (unsigned i = 0; i < 2 * REGION_TOKEN_SIZE; i++)
		differ |= (unsigned char)want[i] ^ (unsigned char)hex[i];
	return !differ;
}

static void destroy(struct region *r)
{
	if (r->bufs)
		munmap(r->bufs, r->bufs_size);
	if (r->bufs_fd >= 0)
		close(r->bufs_fd);
	free(r->owner);
	free(r);
}

static int check_size(uint32_t buf_size, uint32_t n_bufs,
		      struct glen_error *error)
{
	if (buf_size < GLEN_BUF_MIN || buf_size > GLEN_BUF_MAX || buf_size % 64)
		return error_set(error, -EINVAL,
				 "buffers of %u bytes: a buffer has %u to %u "
				 "bytes, a multiple of 64",
				 buf_size, GLEN_BUF_MIN, GLEN_BUF_MAX);
	if (n_bufs <= REGION_RESERVED ||
	    (uint64_t)n_bufs * buf_size > REGION_SIZE_MAX)
		return error_set(error, -EINVAL,
				 "region_bufs=%u: a region has at least %d "
				 "buffers, and at most 2 GiB of them (%llu of "
				 "%u bytes)",
				 n_bufs, REGION_RESERVED + 1,
				 REGION_SIZE_MAX / buf_size, buf_size);
	return 0;
}

/* Buffers of this size that a region has, if nobody says how many. */
static uint32_t default_bufs(uint32_t buf_size)
{
	uint64_t most = REGION_SIZE_MAX / buf_size;

	return most < REGION_BUFS_DEFAULT ? most : REGION_BUFS_DEFAULT;
}

int region_wish_check(const struct region_wish *wish, struct glen_error *error)
{
	uint32_t size = wish->buf_size ? wish->buf_size : 2048;

	return check_size(size,
			  wish->n_bufs ? wish->n_bufs : default_bufs(size),
			  error);
}

/* A region of the given geometry, without memory. */
static struct region *alloc(const char *name, uint32_t buf_size,
			    uint32_t n_bufs)
{
	struct region *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->owner = calloc(n_bufs, sizeof(*r->owner));
	if (!r->owner) {
		free(r);
		return NULL;
	}
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->buf_size = buf_size;
	r->n_bufs = n_bufs;
	r->windows = REGION_WINDOWS;
	r->bufs_size = layout_bufs_size(n_bufs, buf_size);
	r->bufs_fd = -1;
	r->next = r->fresh = REGION_RESERVED;
	return r;
}

static int map(struct region *r, struct glen_error *error)
{
	struct stat st;
	void *map = mmap(NULL, r->bufs_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 r->bufs_fd, 0);

	if (map == MAP_FAILED || fstat(r->bufs_fd, &st))
		return error_set(error, -errno, "cannot map region %s: %s",
				 r->name, error_reason(errno));
	r->bufs = map;
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	/* A kernel without huge pages for memfds refuses; no harm done. */
	madvise(map, r->bufs_size & ~(LAYOUT_ALIGN - 1ULL), MADV_HUGEPAGE);
	return 0;
}

static unsigned digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static int make(const struct region_wish *wish, struct region **out,
		struct glen_error *error)
{
	uint32_t buf_size = wish->buf_size ? wish->buf_size : 2048;
	uint32_t n = wish->n_bufs ? wish->n_bufs : default_bufs(buf_size);
	struct region *r;
	int err;

	err = check_size(buf_size, n, error);
	if (err)
		return err;
	r = alloc(wish->name, buf_size, n);
	if (!r)
		return error_set(error, -ENOMEM, "out of memory");
	if (wish->windows) {
		r->windows = wish->windows;
		r->compact = true;
	}
	while (!wish->token && getrandom(r->token, sizeof(r->token), 0) !=
				       (ssize_t)sizeof(r->token))
		;
	for (unsigned i = 0; wish->token && i < sizeof(r->token); i++)
		r->token[i] = digit(wish->token[2 * i]) << 4 |
			      digit(wish->token[2 * i + 1]);
	r->bufs_fd = memfd_create("glen-region",
				  MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r->bufs_fd < 0 || ftruncate(r->bufs_fd, r->bufs_size) ||
	    fcntl(r->bufs_fd, F_ADD_SEALS, SEALS)) {
		err = error_set(error, -errno,
				"cannot make the memory of region %s: %s",
				r->name, error_reason(errno));
	} else {
		err = map(r, error);
	}
	if (err) {
		destroy(r);
		return err;
	}
	*out = r;
	return 0;
}

static void enter(struct region *r, unsigned id, struct region_member *m)
{
	m->region = r;
	m->id = id;
	if (!r->compact)
		m->place = (uint64_t)id * REGION_WINDOW;
	m->own = id | (m->held ? REGION_HELD : 0);
	r->extra |= m->extra;
	r->member[id] = m;
	r->n_members++;
}

static int fits(const struct region *r, const struct region_wish *wish,
		struct glen_error *error)
{
	if (!token_good(r, wish->token))
		return error_set(error, -EACCES,
				 "region %s exists already: region_token must "
				 "be the token that its first port was given",
				 r->name);
	if ((wish->buf_size && wish->buf_size != r->buf_size) ||
	    (wish->n_bufs && wish->n_bufs != r->n_bufs))
		return error_set(error, -EINVAL,
				 "region %s has %u buffers of %u bytes; leave "
				 "buf_size and region_bufs away to take those",
				 r->name, r->n_bufs, r->buf_size);
	return 0;
}

/*
 * A free number; 0: there is none. Members that come back want the ones that
 * they had, which were the lowest: a driver's, which have no window, are taken
 * from the other end, and those of new ports from the middle for a while.
 */
static unsigned free_id(const struct region *r, const struct region_member *m)
{
	bool recent = r->rejoined_ns &&
		      worker_clock() - r->rejoined_ns < LOST_S * 1000000000ULL;
	unsigned n = REGION_MEMBERS_MAX;

	for (unsigned i = 0; i < n; i++) {
		unsigned id = (i + (recent ? n / 2 : 0)) % n + 1;

		id = m->scan ? id : n - i;
		if (!r->member[id])
			return id;
	}
	return 0;
}

/* Where the windows of others leave room for one of the member's size. */
static int find_place(const struct region *r, struct region_member *m,
		      struct glen_error *error)
{
	uint64_t at = 0;

	for (unsigned id = 1; id <= REGION_MEMBERS_MAX; id++) {
		const struct region_member *o = r->member[id];

		if (!o || o->place >= at + m->window_size ||
		    at >= o->place + o->window_size)
			continue;
		/* Behind it, and then once more past all others. */
		at = o->place + o->window_size;
		id = 0;
	}
	if (at > r->windows || m->window_size > r->windows - at)
		return error_set(error, -ENOSPC,
				 "region %s has %llu bytes for rings, and no "
				 "%u of them free",
				 r->name, (unsigned long long)r->windows,
				 m->window_size);
	m->place = at;
	return 0;
}

int region_enter(struct region *r, struct region_member *m,
		 struct glen_error *error)
{
	unsigned id = free_id(r, m);

	if (id && r->compact && find_place(r, m, error))
		return -ENOSPC;
	if (!id)
		return error_set(error, -ENOSPC,
				 "region %s has %d ports, as many as it can "
				 "have",
				 r->name, REGION_MEMBERS_MAX);
	enter(r, id, m);
	return 0;
}

int region_join(struct engine *engine, const struct region_wish *wish,
		struct region_member *m, struct glen_error *error)
{
	struct region *r = region_find(engine, wish->name);
	int err = r ? fits(r, wish, error) : make(wish, &r, error);

	if (err)
		return err;
	if (!r->n_members) {
		r->engine = engine;
		r->link = engine->regions;
		engine->regions = r;
	}
	return region_enter(r, m, error);
}

static bool is_memory(const struct region_saved *s, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & SEALS) == SEALS && !fstat(fd, &st) &&
	       st.st_dev == s->dev && st.st_ino == s->ino &&
	       (uint64_t)st.st_size == layout_bufs_size(s->n_bufs, s->buf_size);
}

/* The region as it was, around the memory that a client brought. */
static int remake(const struct region_saved *s, int bufs_fd,
		  struct region **out, struct glen_error *error)
{
	struct region *r = alloc(s->name, s->buf_size, s->n_bufs);
	int err;

	if (!r)
		return error_set(error, -ENOMEM, "out of memory");
	memcpy(r->token, s->token, sizeof(r->token));
	r->bufs_fd = fcntl(bufs_fd, F_DUPFD_CLOEXEC, 0);
	err = r->bufs_fd < 0 ?
		      error_set(error, -errno, "dup: %s", error_reason(errno)) :
		      map(r, error);
	if (err) {
		destroy(r);
		return err;
	}
	*out = r;
	return 0;
}

/* What was given out before the restart, as far as nobody showed it yet. */
static void lose(struct region *r, uint32_t fresh)
{
	if (fresh > r->n_bufs)
		fresh = r->n_bufs;
	for (uint32_t i = r->fresh; i < fresh; i++)
		if (atomic_load(&r->owner[i]) == REGION_FREE)
			atomic_store(&r->owner[i], REGION_LOST);
	if (r->fresh < fresh)
		r->fresh = fresh;
}

int region_rejoin(struct engine *engine, const struct region_saved *s,
		  int bufs_fd, struct region_member *m,
		  struct glen_error *error)
{
	struct region *r = region_find(engine, s->name);
	bool new = !r;
	int err;

	if (!is_memory(s, bufs_fd) ||
	    (r && (r->dev != s->dev || r->ino != s->ino)))
		return error_set(error, -EACCES,
				 "the second descriptor is not the memory of "
				 "region %s",
				 s->name);
	if (s->id < 1 || s->id > REGION_MEMBERS_MAX || (r && r->member[s->id]))
		return error_set(error, -EBUSY,
				 "the port's place in region %s is taken",
				 s->name);
	err = new ? remake(s, bufs_fd, &r, error) : 0;
	if (err)
		return err;
	if (new) {
		r->engine = engine;
		r->link = engine->regions;
		engine->regions = r;
	}
	lose(r, s->fresh);
	r->extra |= s->extra;
	r->rejoined_ns = worker_clock();
	enter(r, s->id, m);
	return 0;
}

void region_save(const struct region_member *m, struct region_saved *s)
{
	const struct region *r = m->region;

	memset(s, 0, sizeof(*s));
	if (!r)
		return;
	memcpy(s->name, r->name, sizeof(s->name));
	memcpy(s->token, r->token, sizeof(s->token));
	s->buf_size = r->buf_size;
	s->n_bufs = r->n_bufs;
	s->fresh = r->fresh;
	s->id = m->id;
	s->extra = r->extra;
	s->dev = r->dev;
	s->ino = r->ino;
}

static void scan_all(struct region *r)
{
	for (unsigned id = 1; id <= REGION_MEMBERS_MAX; id++)
		if (r->member[id] && r->member[id]->scan)
			r->member[id]->scan(r->member[id]);
}

static void end(struct region *r)
{
	struct region **at = &r->engine->regions;

	while (*at && *at != r)
		at = &(*at)->link;
	if (*at)
		*at = r->link;
	destroy(r);
}

/* Frees the buffer if it is the member's. A worker may be moving it, if a ring
 * of another member names it too. */
static void give_up(struct region_member *m, uint32_t buf)
{
	struct region *r = m->region;
	uint16_t own = m->own;

	if (atomic_compare_exchange_strong(&r->owner[buf], &own, REGION_FREE) &&
	    buf < r->next)
		r->next = buf;
}

void region_give(struct region_member *m, uint32_t buf)
{
	if (buf >= REGION_RESERVED && buf < m->region->n_bufs)
		give_up(m, buf);
}

void region_leave(struct region_member *m)
{
	struct region *r = m->region;

	if (!r)
		return;
	r->member[m->id] = NULL;
	if (--r->n_members) {
		for (uint32_t i = REGION_RESERVED; i < r->fresh; i++)
			give_up(m, i);
		scan_all(r);
	} else {
		end(r);
	}
	m->region = NULL;
}

bool region_seen(struct region_member *m, uint32_t buf)
{
	struct region *r = m->region;
	uint16_t was;

	if (buf < REGION_RESERVED || buf >= r->fresh)
		return true;
	was = atomic_load(&r->owner[buf]);
	if (was == REGION_FREE || was == REGION_LOST) {
		atomic_store(&r->owner[buf], (uint16_t)m->id);
		return true;
	}
	return was == m->id;
}

/* Buffers that were lost with a glend, and that nobody showed since. */
static void find_lost(struct region *r)
{
	if (!r->rejoined_ns || r->extra ||
	    worker_clock() - r->rejoined_ns < LOST_S * 1000000000ULL)
		return;
	scan_all(r);
	for (uint32_t i = REGION_RESERVED; i < r->fresh; i++)
		if (atomic_load(&r->owner[i]) == REGION_LOST)
			atomic_store(&r->owner[i], REGION_FREE);
	r->next = REGION_RESERVED;
	r->rejoined_ns = 0;
}

static unsigned count(const struct region *r, uint16_t what)
{
	unsigned n = 0;

	for (uint32_t i = REGION_RESERVED; i < r->n_bufs; i++)
		n += atomic_load_explicit(&r->owner[i], memory_order_relaxed) ==
		     what;
	return n;
}

/*
 * As many free buffers as there are, but no more than n. Their number. The
 * lowest ones: after a restart of glend those below fresh are lost for a while.
 */
static uint32_t take(struct region_member *m, uint32_t n, uint32_t *ids)
{
	struct region *r = m->region;
	uint32_t k = 0;

	for (; k < n && r->next < r->n_bufs; r->next++) {
		if (atomic_load(&r->owner[r->next]) != REGION_FREE)
			continue;
		atomic_store(&r->owner[r->next], m->own);
		ids[k++] = r->next;
	}
	return k;
}

int region_take(struct region_member *m, uint32_t n, uint32_t *ids,
		struct glen_error *error)
{
	struct region *r = m->region;
	uint32_t fresh = r->fresh, k = take(m, n, ids);

	if (k < n) {
		find_lost(r);
		k += take(m, n - k, ids + k);
	}
	if (k < n) {
		for (uint32_t i = 0; i < k; i++)
			give_up(m, ids[i]);
		return error_set(error, -ENOSPC,
				 "region %s has %u buffers, and %u of them "
				 "free; %u are needed: make it with a larger "
				 "region_bufs",
				 r->name, r->n_bufs - REGION_RESERVED, k, n);
	}
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] >= fresh)
			fresh = ids[i] + 1;
	if (fresh == r->fresh)
		return 0;
	r->fresh = fresh;
	for (unsigned id = 1; id <= REGION_MEMBERS_MAX; id++)
		if (r->member[id] && r->member[id]->fresh)
			r->member[id]->fresh(r->member[id], fresh);
	return 0;
}

/* A NIC's port is a member, and each of its queues is one. */
static bool first_of_port(const struct region *r, unsigned id)
{
	for (unsigned k = 1; k < id && r->member[id]->port; k++)
		if (r->member[k] && r->member[k]->port == r->member[id]->port)
			return false;
	return true;
}

static json_t *ports_of(const struct region *r)
{
	json_t *list = json_array();

	for (unsigned id = 1; id <= REGION_MEMBERS_MAX; id++) {
		const struct port *port;

		if (!r->member[id] || !first_of_port(r, id))
			continue;
		port = r->member[id]->port;
		json_array_append_new(list,
				      port ? json_sprintf("%s:%s",
							  port->sw->name,
							  port->name) :
					     json_string(r->member[id]->name));
	}
	return list;
}

json_t *region_list(struct engine *engine)
{
	json_t *list = json_array();

	for (struct region *r = engine->regions; r; r = r->link)
		json_array_append_new(
			list,
			json_pack("{ss si si si si so}", "region", r->name,
				  "buf_size", (int)r->buf_size, "bufs",
				  (int)(r->n_bufs - REGION_RESERVED), "free",
				  (int)count(r, REGION_FREE), "lost",
				  (int)count(r, REGION_LOST), "ports",
				  ports_of(r)));
	return list;
}
