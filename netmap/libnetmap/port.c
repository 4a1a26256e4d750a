// SPDX-License-Identifier: BSD-2-Clause
// port.c - nmport: parses, registers, maps and closes ports.
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct nmport_d *new_port(struct nmctx *ctx)
{
	struct nmport_d *d = nmctx_malloc(ctx, sizeof(*d));

	if (!d) {
		fail(ctx, ENOMEM, "no memory for a port");
		return NULL;
	}
	memset(d, 0, sizeof(*d));
	nmreq_header_init(&d->hdr, NETMAP_REQ_REGISTER, &d->reg);
	d->ctx = ctx;
	d->fd = -1;
	return d;
}

struct nmport_d *nmport_new(void)
{
	return new_port(nmctx_get());
}

void nmport_delete(struct nmport_d *d)
{
	if (d)
		nmctx_free(d->ctx, d);
}

/* An option that lives until nmport_undo_parse(). */
struct option_cleanup {
	struct nmport_cleanup_d cleanup;
	void *map; /* to unmap; NULL: nothing */
	size_t map_size;
	union {
		struct nmreq_option opt;
		struct nmreq_opt_extmem extmem;
		struct nmreq_opt_offsets offsets;
	};
};

/* Undoes what was done since the list of clean-ups began with until. */
static void clean_up(struct nmport_d *d, const struct nmport_cleanup_d *until)
{
	while (d->clist != until) {
		struct nmport_cleanup_d *cleanup = d->clist;

		d->clist = cleanup->next;
		cleanup->undo(cleanup, d);
	}
}

static void undo_option(struct nmport_cleanup_d *cleanup, struct nmport_d *d)
{
	struct option_cleanup *c = (struct option_cleanup *)cleanup;

	nmreq_remove_option(&d->hdr, &c->opt);
	if (d->extmem == &c->extmem)
		d->extmem = NULL;
	if (c->map)
		munmap(c->map, c->map_size);
	nmctx_free(d->ctx, c);
}

/* Puts a zeroed option of a type into the request; NULL with errno. */
static struct option_cleanup *add_option(struct nmport_d *d, uint32_t reqtype)
{
	const char *name = nmreq_option_name(reqtype);
	struct option_cleanup *c;

	if (d->register_done) {
		fail(d->ctx, EINVAL,
		     "option %s: the port is registered already", name);
		return NULL;
	}
	if (nmreq_find_option(&d->hdr, reqtype)) {
		fail(d->ctx, EINVAL, "option %s is given twice", name);
		return NULL;
	}
	c = nmctx_malloc(d->ctx, sizeof(*c));
	if (!c) {
		fail(d->ctx, ENOMEM, "no memory for option %s", name);
		return NULL;
	}
	memset(c, 0, sizeof(*c));
	c->opt.nro_reqtype = reqtype;
	c->cleanup.undo = undo_option;
	c->cleanup.next = d->clist;
	d->clist = &c->cleanup;
	nmreq_push_option(&d->hdr, &c->opt);
	return c;
}

static struct option_cleanup *add_extmem(struct nmport_d *d, void *base,
					 size_t size)
{
	struct option_cleanup *c = add_option(d, NETMAP_REQ_OPT_EXTMEM);

	if (!c)
		return NULL;
	c->extmem.nro_usrptr = (uintptr_t)base;
	c->extmem.nro_info.nr_memsize = size;
	d->extmem = &c->extmem;
	return c;
}

int nmport_extmem(struct nmport_d *d, void *base, size_t size)
{
	return add_extmem(d, base, size) ? 0 : -1;
}

int nmport_extmem_from_file(struct nmport_d *d, const char *fname)
{
	struct option_cleanup *c;
	struct stat st;
	void *base;
	int fd, error;

	fd = open(fname, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(d->ctx, errno, "extmem: cannot open '%s': %s",
			    fname, strerror(errno));
	if (fstat(fd, &st)) {
		error = errno;
		close(fd);
		return fail(d->ctx, error, "extmem: '%s': %s", fname,
			    strerror(error));
	}
	if (!st.st_size) {
		close(fd);
		return fail(d->ctx, EINVAL,
			    "extmem: '%s' is empty; make it as large as the "
			    "region shall be",
			    fname);
	}
	base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	error = errno;
	close(fd);
	if (base == MAP_FAILED)
		return fail(d->ctx, error, "extmem: cannot map '%s': %s", fname,
			    strerror(error));
	c = add_extmem(d, base, (size_t)st.st_size);
	if (!c) {
		error = errno;
		munmap(base, (size_t)st.st_size);
		errno = error;
		return -1;
	}
	c->map = base;
	c->map_size = (size_t)st.st_size;
	return 0;
}

struct nmreq_pools_info *nmport_extmem_getinfo(struct nmport_d *d)
{
	return d->extmem ? &d->extmem->nro_info : NULL;
}

int nmport_offset(struct nmport_d *d, uint64_t initial, uint64_t maxoff,
		  uint64_t bits, uint64_t mingap)
{
	struct option_cleanup *c;

	if (bits > 64)
		return fail(d->ctx, EINVAL,
			    "option offsets: slots have 64 bits for it, not "
			    "%llu",
			    (unsigned long long)bits);
	c = add_option(d, NETMAP_REQ_OPT_OFFSETS);
	if (!c)
		return -1;
	c->offsets.nro_initial_offset = initial;
	c->offsets.nro_max_offset = maxoff;
	c->offsets.nro_offset_bits = (uint32_t)bits;
	c->offsets.nro_min_gap = mingap;
	return 0;
}

int nmport_parse(struct nmport_d *d, const char *portspec)
{
	const struct nmport_cleanup_d *clist = d->clist;
	struct nmreq_header hdr = d->hdr;
	struct nmreq_register reg = d->reg;
	const char *rest = portspec;
	int error;

	if (!nmreq_header_decode(&rest, &d->hdr, d->ctx) &&
	    !nmreq_register_decode(&rest, &d->reg, d->ctx) &&
	    !nmreq_options_decode(rest, port_options, d, d->ctx))
		return 0;
	error = errno;
	clean_up(d, clist);
	d->hdr = hdr;
	d->reg = reg;
	errno = error;
	return -1;
}

void nmport_undo_parse(struct nmport_d *d)
{
	clean_up(d, NULL);
	memset(&d->reg, 0, sizeof(d->reg));
	nmreq_header_init(&d->hdr, NETMAP_REQ_REGISTER, &d->reg);
}

struct nmport_d *nmport_prepare(const char *portspec)
{
	struct nmport_d *d = nmport_new();
	int error;

	if (d && nmport_parse(d, portspec)) {
		error = errno;
		nmport_delete(d);
		errno = error;
		return NULL;
	}
	return d;
}

void nmport_undo_prepare(struct nmport_d *d)
{
	if (!d)
		return;
	nmport_undo_parse(d);
	nmport_delete(d);
}

/* n rings from number first on; none: first is after last. */
static void set_range(uint16_t *first, uint16_t *last, unsigned from,
		      unsigned n)
{
	*first = (uint16_t)(n ? from : 1);
	*last = (uint16_t)(n ? from + n - 1 : 0);
}

/* A direction that has no ring of this number is bound to its first one. */
static unsigned one_of(unsigned ring, unsigned n)
{
	return ring < n ? ring : 0;
}

/* Computes which rings the registered request has bound. */
static int set_rings(struct nmport_d *d)
{
	const struct nmreq_register *reg = &d->reg;
	unsigned tx_from = 0, n_tx = reg->nr_tx_rings;
	unsigned rx_from = 0, n_rx = reg->nr_rx_rings;

	switch (reg->nr_mode) {
	case NR_REG_ALL_NIC:
	case NR_REG_NULL:
		break;
	case NR_REG_NIC_SW:
		n_tx += reg->nr_host_tx_rings;
		n_rx += reg->nr_host_rx_rings;
		break;
	case NR_REG_SW:
		tx_from = n_tx;
		rx_from = n_rx;
		n_tx = reg->nr_host_tx_rings;
		n_rx = reg->nr_host_rx_rings;
		break;
	case NR_REG_ONE_NIC:
		tx_from = one_of(reg->nr_ringid, n_tx);
		rx_from = one_of(reg->nr_ringid, n_rx);
		n_tx = n_rx = 1;
		break;
	case NR_REG_ONE_SW:
		tx_from = n_tx + one_of(reg->nr_ringid, reg->nr_host_tx_rings);
		rx_from = n_rx + one_of(reg->nr_ringid, reg->nr_host_rx_rings);
		n_tx = n_rx = 1;
		break;
	default:
		return fail(d->ctx, EINVAL,
			    "cannot register '%s': %u is no NR_REG_ mode",
			    d->hdr.nr_name, reg->nr_mode);
	}
	if (reg->nr_flags & NR_RX_RINGS_ONLY)
		n_tx = 0;
	if (reg->nr_flags & NR_TX_RINGS_ONLY)
		n_rx = 0;
	set_range(&d->first_tx_ring, &d->last_tx_ring, tx_from, n_tx);
	set_range(&d->first_rx_ring, &d->last_rx_ring, rx_from, n_rx);
	d->cur_tx_ring = d->first_tx_ring;
	d->cur_rx_ring = d->first_rx_ring;
	return 0;
}

/* Says why the device refused; returns -1. */
static int refused(struct nmport_d *d, int error)
{
	struct nmreq_option *opt;

	nmreq_foreach_option(&d->hdr, opt)
	{
		if (opt->nro_status)
			return fail(d->ctx, error,
				    "cannot register '%s': option %s: %s",
				    d->hdr.nr_name,
				    nmreq_option_name(opt->nro_reqtype),
				    strerror((int)opt->nro_status));
	}
	return fail(d->ctx, error, "cannot register '%s': %s", d->hdr.nr_name,
		    strerror(error));
}

int nmport_register(struct nmport_d *d)
{
	int error;

	if (d->register_done)
		return fail(d->ctx, EINVAL, "'%s' is registered already",
			    d->hdr.nr_name);
	d->fd = device_open(d->ctx);
	if (d->fd < 0)
		return -1;
	if (ioctl(d->fd, NIOCCTRL, &d->hdr)) {
		refused(d, errno);
		goto err_close;
	}
	if (set_rings(d))
		goto err_close;
	d->register_done = 1;
	return 0;

err_close:
	error = errno;
	close(d->fd);
	d->fd = -1;
	errno = error;
	return -1;
}

void nmport_undo_register(struct nmport_d *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	d->register_done = 0;
}

/* Finds or maps the region of d; the context is locked. NULL with errno. */
static struct nmem_d *get_memory(struct nmport_d *d)
{
	struct nmem_d *first = d->ctx->mem_descs, *m = first;

	for (; m; m = m->next == first ? NULL : m->next) {
		if (m->mem_id == d->reg.nr_mem_id)
			return m;
	}
	m = nmctx_malloc(d->ctx, sizeof(*m));
	if (!m) {
		errno = ENOMEM;
		return NULL;
	}
	memset(m, 0, sizeof(*m));
	m->mem_id = d->reg.nr_mem_id;
	if (d->extmem) {
		m->is_extmem = 1;
		m->mem = (void *)(uintptr_t)d->extmem->nro_usrptr;
		m->size = d->extmem->nro_info.nr_memsize;
	} else {
		m->size = d->reg.nr_memsize;
		m->mem = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      d->fd, 0);
		if (m->mem == MAP_FAILED) {
			int error = errno;

			nmctx_free(d->ctx, m);
			errno = error;
			return NULL;
		}
	}
	m->next = m->prev = m;
	if (first) {
		m->next = first;
		m->prev = first->prev;
		first->prev->next = m;
		first->prev = m;
	}
	d->ctx->mem_descs = m;
	return m;
}

int nmport_mmap(struct nmport_d *d)
{
	int error;

	if (!d->register_done || d->mmap_done)
		return fail(d->ctx, EINVAL, "'%s' %s", d->hdr.nr_name,
			    d->mmap_done ? "is mapped already" :
					   "is not registered yet");
	nmctx_lock(d->ctx);
	d->mem = get_memory(d);
	error = errno;
	if (d->mem)
		d->mem->refcount++;
	nmctx_unlock(d->ctx);
	if (!d->mem)
		return fail(d->ctx, error, "cannot map the region of '%s': %s",
			    d->hdr.nr_name, strerror(error));
	d->nifp = NETMAP_IF(d->mem->mem, d->reg.nr_offset);
	d->mmap_done = 1;
	return 0;
}

void nmport_undo_mmap(struct nmport_d *d)
{
	struct nmem_d *m = d->mem;

	if (!d->mmap_done)
		return;
	nmctx_lock(d->ctx);
	if (--m->refcount == 0) {
		if (d->ctx->mem_descs == m)
			d->ctx->mem_descs = m->next == m ? NULL : m->next;
		m->prev->next = m->next;
		m->next->prev = m->prev;
		if (!m->is_extmem)
			munmap(m->mem, m->size);
		nmctx_free(d->ctx, m);
	}
	nmctx_unlock(d->ctx);
	d->mem = NULL;
	d->nifp = NULL;
	d->mmap_done = 0;
}

int nmport_open_desc(struct nmport_d *d)
{
	int error;

	if (nmport_register(d))
		return -1;
	if (nmport_mmap(d)) {
		error = errno;
		nmport_undo_register(d);
		errno = error;
		return -1;
	}
	return 0;
}

void nmport_undo_open_desc(struct nmport_d *d)
{
	nmport_undo_mmap(d);
	nmport_undo_register(d);
}

struct nmport_d *nmport_open(const char *portspec)
{
	struct nmport_d *d = nmport_prepare(portspec);
	int error;

	if (d && nmport_open_desc(d)) {
		error = errno;
		nmport_undo_prepare(d);
		errno = error;
		return NULL;
	}
	return d;
}

void nmport_close(struct nmport_d *d)
{
	if (!d)
		return;
	nmport_undo_open_desc(d);
	nmport_undo_prepare(d);
}

struct nmport_d *nmport_clone(struct nmport_d *d)
{
	struct nmport_d *c;

	if (d->extmem && !d->register_done) {
		fail(d->ctx, EINVAL,
		     "cannot clone '%s': register it first, its external "
		     "region has no number yet",
		     d->hdr.nr_name);
		return NULL;
	}
	c = new_port(d->ctx);
	if (!c)
		return NULL;
	c->hdr = d->hdr;
	c->hdr.nr_options = 0;
	c->hdr.nr_body = (uintptr_t)&c->reg;
	c->reg = d->reg;
	return c;
}

int nmport_inject(struct nmport_d *d, const void *buf, size_t size)
{
	unsigned ri = d->cur_tx_ring, n = 0;

	if (d->first_tx_ring <= d->last_tx_ring)
		n = d->last_tx_ring - d->first_tx_ring + 1u;
	for (; n; n--) {
		if (nm_ring_put_(NETMAP_TXRING(d->nifp, ri), buf, size)) {
			d->cur_tx_ring = (uint16_t)ri;
			return (int)size;
		}
		ri = ri == d->last_tx_ring ? d->first_tx_ring : ri + 1;
	}
	return 0;
}
