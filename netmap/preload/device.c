// SPDX-License-Identifier: BSD-2-Clause
// device.c - opens of /dev/netmap: made, bound, asked.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netmap/preload/real.h"

/* Where open() would have put it: at the lowest free number. */
static int lowest(int fd, int flags)
{
	int low = (int)syscall(SYS_fcntl, fd,
			       flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD,
			       0L);
	int err = low < 0 ? -errno : low;

	syscall(SYS_close, fd);
	return err;
}

int device_open(int flags, int *fd)
{
	int h[1] = { -1 }, err;
	unsigned n = 1;

	tables_init();
	err = control_call("netmap.open", NULL, NULL, NULL, h, &n);
	if (err)
		return err == -EIO ? -ENXIO : err;
	if (n != 1)
		return -EIO;
	*fd = lowest(h[0], flags);
	if (*fd < 0)
		return *fd;
	if (!device_adopt(*fd)) {
		syscall(SYS_close, *fd);
		say("netmap.open: what glend sent is no descriptor of "
		    "/dev/netmap, or there is no memory");
		return -ENOMEM;
	}
	return 0;
}

static enum kind kind_of(const char *name)
{
	if (!name || !strcmp(name, "vale"))
		return KIND_VALE;
	if (!strcmp(name, "pipe"))
		return KIND_PIPE;
	if (!strcmp(name, "nic"))
		return KIND_NIC;
	return strcmp(name, "monitor") ? KIND_NULL : KIND_MONITOR;
}

/* Range of rings that an answer names, which must be there. */
static int bind_range(json_t *r, const char *first_key, const char *last_key,
		      unsigned n, unsigned *first, unsigned *last)
{
	json_int_t a = json_integer_value(json_object_get(r, first_key));
	json_int_t b = json_integer_value(json_object_get(r, last_key));

	if (a < 0 || a > b || b > n)
		return -EPROTO;
	*first = (unsigned)a;
	*last = (unsigned)b;
	return 0;
}

static void set_ring(struct device *d, struct nring *r, enum nmw_kind kind,
		     unsigned i)
{
	char *base = d->window->base;
	unsigned line = nmw_line(&d->layout, d->end, kind, i);

	r->ring = nmw_ring(&d->layout, base, line);
	r->atok = nmw_atok(base, line);
	r->ktoa = nmw_ktoa(base, line);
	r->sync = nmw_sync(base, line);
	r->mask = nmw_slots(&d->layout, d->end, kind) - 1;
	r->tx = kind < NMW_RX;
	if (d->kind != KIND_PIPE)
		return;
	line = nmw_line(&d->layout, !d->end, kind ^ NMW_RX, i);
	r->peer_ring = nmw_ring(&d->layout, base, line);
	r->peer_atok = nmw_atok(base, line);
	r->peer_ktoa = nmw_ktoa(base, line);
}

static void set_rings(struct device *d)
{
	for (unsigned i = d->tx_first; i < d->tx_last; i++)
		set_ring(d, &d->tx[i], NMW_TX, i);
	for (unsigned i = d->rx_first; i < d->rx_last; i++)
		set_ring(d, &d->rx[i], NMW_RX, i);
	/* What is forwarded to the host goes by these: forward.c. */
	if (d->kind != KIND_NIC)
		return;
	for (unsigned i = 0; i < nmw_n(&d->layout, d->end, NMW_HOST_TX); i++)
		set_ring(d, &d->tx[d->n_tx + i], NMW_TX, d->n_tx + i);
}

static uint64_t number(json_t *r, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(r, key));
}

/* Reads the answer into a device that nobody uses yet. */
static int read_answer(struct device *d, json_t *r)
{
	const char *kind = json_string_value(json_object_get(r, "kind"));
	uint16_t n[NMW_KINDS];
	struct glen_error error;
	int err;

	d->kind = kind_of(kind);
	d->end = number(r, "end") != 0;
	d->open = (unsigned)number(r, "open");
	/* A window's own numbers are those of end 0. */
	n[d->end ? NMW_RX : NMW_TX] = (uint16_t)number(r, "n_tx");
	n[d->end ? NMW_TX : NMW_RX] = (uint16_t)number(r, "n_rx");
	n[d->end ? NMW_HOST_RX : NMW_HOST_TX] = (uint16_t)number(r,
								 "n_host_tx");
	n[d->end ? NMW_HOST_TX : NMW_HOST_RX] = (uint16_t)number(r,
								 "n_host_rx");
	err = nmw_init(&d->layout, n,
		       (uint32_t)number(r, d->end ? "rx_slots" : "tx_slots"),
		       (uint32_t)number(r, d->end ? "tx_slots" : "rx_slots"),
		       (uint32_t)number(r, "buf_size"), d->kind == KIND_PIPE,
		       &error);
	if (err) {
		say("a port of glend's that cannot be: %s", error.text);
		return -EPROTO;
	}
	d->n_tx = nmw_n(&d->layout, d->end, NMW_TX);
	d->n_rx = nmw_n(&d->layout, d->end, NMW_RX);
	d->mem_id = (uint16_t)number(r, "mem_id");
	d->memsize = number(r, "memsize");
	d->offset = number(r, "offset");
	d->windows = number(r, "windows");
	d->mode = (uint32_t)number(r, "mode");
	d->ringid = (uint32_t)number(r, "ringid");
	d->flags = number(r, "flags");
	d->offset_mask = number(r, "offset_mask");
	d->offset_max = (uint32_t)number(r, "offset_max");
	d->buf_size = d->layout.buf_size;
	d->n_bufs = (uint32_t)number(r, "n_bufs");
	if (d->open >= NMW_OPENS || d->n_bufs <= 2 ||
	    d->windows > NMW_WINDOWS || d->windows > d->memsize ||
	    d->memsize - d->windows < (uint64_t)d->n_bufs * d->buf_size)
		return -EPROTO;
	err = bind_range(r, "tx_first", "tx_last",
			 d->n_tx + nmw_n(&d->layout, d->end, NMW_HOST_TX),
			 &d->tx_first, &d->tx_last);
	if (!err)
		err = bind_range(r, "rx_first", "rx_last",
				 d->n_rx +
					 nmw_n(&d->layout, d->end, NMW_HOST_RX),
				 &d->rx_first, &d->rx_last);
	return err;
}

/* With the lock: all but to say that it is bound. */
static int set_up(struct device *d, json_t *r, const int *fds)
{
	struct window_spec spec;
	int err = read_answer(d, r);

	if (err)
		return err;
	spec = (struct window_spec){
		.window_fd = fds[0],
		.bufs_fd = fds[1],
		.window_size = d->layout.size,
		.bufs_size = d->memsize - d->windows,
		.place = number(r, "place"),
		.windows = d->windows,
		.mem_id = d->mem_id,
		.pipe = d->kind == KIND_PIPE,
	};
	d->window = window_get(&spec, &d->bufs, &err);
	if (!err)
		set_rings(d);
	return err;
}

/* With the lock. */
static void commit(struct device *d)
{
	/* Pairs with the acquire in is_bound(). */
	__atomic_store_n(&d->bound, true, __ATOMIC_RELEASE);
}

/* With the lock. A child of fork() has no part in what its parent is at. */
static bool is_binding(const struct device *d)
{
	return d->binding && d->binding == getpid();
}

int device_begin(struct device *d)
{
	struct lock_state state;
	int err = 0;

	tables_lock(&state);
	if (d->bound || is_binding(d))
		err = -EBUSY;
	else
		d->binding = getpid();
	tables_unlock(&state);
	return err;
}

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		syscall(SYS_close, fds[i]);
}

static int bad_answer(int err)
{
	say("cannot use what glend said of a port: %s", strerror(-err));
	return err;
}

int device_set_up(struct device *d, json_t *r, int *fds, unsigned n_fds)
{
	struct lock_state state;
	int err = -EPROTO;

	tables_lock(&state);
	if (n_fds == 2)
		err = set_up(d, r, fds);
	tables_unlock(&state);
	close_all(fds, n_fds);
	return err ? bad_answer(err) : 0;
}

void device_end(struct device *d, bool good)
{
	struct lock_state state;

	tables_lock(&state);
	if (good) {
		commit(d);
	} else if (d->window) {
		window_put(d->window);
		d->window = NULL;
	}
	d->binding = 0;
	tables_unlock(&state);
}

/* The port that another process, or thread, bound the device to. */
static int attach(struct device *d, json_t *r, int *fds, unsigned n_fds)
{
	struct lock_state state;
	int err = n_fds == 2 ? 0 : -EPROTO;

	tables_lock(&state);
	if (is_binding(d))
		err = -EBUSY;
	/* Another thread may have been faster. */
	if (!err && !d->bound) {
		err = set_up(d, r, fds);
		if (!err)
			commit(d);
	}
	tables_unlock(&state);
	close_all(fds, n_fds);
	return err && err != -EBUSY ? bad_answer(err) : err;
}

bool device_bound(struct device *d, int fd)
{
	int fds[2] = { -1, -1 };
	json_t *r = NULL;
	unsigned n = 2;
	int err;

	if (likely(is_bound(d)))
		return true;
	if (is_dead(d) || control_call("netmap.attach", NULL, &fd, &r, fds, &n))
		return false;
	if (!json_is_true(json_object_get(r, "bound"))) {
		json_decref(r);
		return false;
	}
	err = attach(d, r, fds, n);
	json_decref(r);
	return !err;
}

int device_ioctl(struct device *d, int fd, unsigned long request, void *arg)
{
	switch (request) {
	case NIOCTXSYNC:
		return device_txsync(d, fd);
	case NIOCRXSYNC:
		return device_rxsync(d, fd);
	case NIOCCTRL:
		return request_nioctrl(d, fd, arg);
	case NIOCREGIF:
	case NIOCGINFO:
		return request_legacy(d, fd, request, arg);
	default:
		/* NIOCCONFIG is for modules that ask for it; none does. */
		return -EOPNOTSUPP;
	}
}

/* Requests that Linux answers for every kind of file. */
static bool is_generic(unsigned long request)
{
	return request == FIOCLEX || request == FIONCLEX ||
	       request == FIONBIO || request == FIOASYNC;
}

static bool is_netmaps(unsigned long request)
{
	return request == NIOCCTRL || request == NIOCREGIF ||
	       request == NIOCGINFO || request == NIOCCONFIG ||
	       request == NIOCTXSYNC || request == NIOCRXSYNC;
}

static int answer(int err)
{
	if (err >= 0)
		return err;
	errno = -err;
	return -1;
}

/* Only syncs are quick; all else can afford a look at the descriptor. */
static int slow_ioctl(struct device *d, int fd, unsigned long request,
		      void *arg)
{
	if (is_generic(request) || (d && !fd_is_device(fd, d)))
		return REAL(ioctl)(fd, request, arg);
	if (!d)
		d = device_adopt(fd);
	if (!d)
		return REAL(ioctl)(fd, request, arg);
	return answer(device_ioctl(d, fd, request, arg));
}

/* As open() in files.c, and some callers pass an int as the request, whose sign
 * goes along: 32 bits are what Linux looks at. */
EXPORT int ioctl_named(int fd, unsigned long request,
		       void *arg) __asm__("ioctl");

static __attribute__((noinline)) int ioctl_looks(int fd, unsigned long request,
						 void *arg)
{
	struct device *d = fd_device(fd);

	request = (unsigned int)request;
	if (likely(d && (request == NIOCTXSYNC || request == NIOCRXSYNC)))
		return answer(device_ioctl(d, fd, request, arg));
	if (d || is_netmaps(request))
		return slow_ioctl(d, fd, request, arg);
	return REAL(ioctl)(fd, request, arg);
}

EXPORT int ioctl_named(int fd, unsigned long request, void *arg)
{
	__typeof__(&ioctl) quick = QUICK(ioctl);

	/* All of netmap's are of one type. */
	if (likely(quick != NULL) && (request >> 8 & 0xff) != 'i')
		return quick(fd, request, arg);
	return ioctl_looks(fd, request, arg);
}
