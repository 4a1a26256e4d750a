/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_switch.h - the switch's end of one port, for tests of libglen. */
#ifndef TESTS_UNIT_FAKE_SWITCH_H
#define TESTS_UNIT_FAKE_SWITCH_H
/*
 * The smallest thing that speaks the CSB protocol: it takes packets from TX
 * rings and puts packets into RX rings, arms and kicks, with no checks and no
 * forwarding. One thread may run the fake while others use the port.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/layout.h"
#include "lib/port.h"
#include "lib/shm.h"

struct fake {
	struct layout l;
	int window_fd, bufs_fd, kick_fd;
	int call_fd;	/* the client's end of the call pipe */
	int calling_fd; /* ours */
	char *window, *bufs;
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
	uint32_t cur[2 * GLEN_RINGS_MAX];    /* own index of each ring */
	uint32_t called[2 * GLEN_RINGS_MAX]; /* last need-kick obeyed */
	uint32_t arm;			     /* last value armed with */
	unsigned n_calls;
	int closed; /* calls of on_close */
};

static inline int fake_memfd(size_t size, char **map)
{
	int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS,
			       F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 0);
	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(*map, MAP_FAILED);
	return fd;
}

/* As glend does it: small, and our end is its own file for both ways. */
static inline void fake_pipe(struct fake *f)
{
	char path[32];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	close(fds[1]);
	f->call_fd = fds[0];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	f->calling_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(f->calling_fd >= 0);
	fcntl(f->calling_fd, F_SETPIPE_SZ, LAYOUT_PAGE);
}

static inline void fake_init(struct fake *f, unsigned rings, unsigned slots,
			     unsigned buf_size, unsigned extra_bufs)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(layout_init(&f->l, rings, slots, buf_size, extra_bufs,
				     NULL),
			 0);
	f->window_fd = fake_memfd(f->l.window_size, &f->window);
	f->bufs_fd = fake_memfd(f->l.bufs_size, &f->bufs);
	f->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake_pipe(f);
	assert_true(f->kick_fd >= 0);
	f->atok = (void *)(f->window + LAYOUT_ATOK_OFF);
	f->ktoa = (void *)(f->window + LAYOUT_KTOA_OFF);
	layout_write(&f->l, f->window, "fake", NULL);
}

static inline void fake_fini(struct fake *f)
{
	munmap(f->window, f->l.window_size);
	munmap(f->bufs, f->l.bufs_size);
	close(f->window_fd);
	close(f->bufs_fd);
	close(f->kick_fd);
	close(f->call_fd);
	close(f->calling_fd);
}

static inline void fake_on_close(void *arg)
{
	((struct fake *)arg)->closed++;
}

static inline struct glen_port *fake_port(struct fake *f)
{
	struct glen_port *port;

	assert_int_equal(port_map_local(&port, "fake:p", &f->l, NULL,
					f->window_fd, f->bufs_fd, f->kick_fd,
					f->call_fd, fake_on_close, f),
			 0);
	return port;
}

static inline struct netmap_slot *fake_slot(struct fake *f, unsigned line,
					    uint32_t i)
{
	uint64_t off = f->l.rings_off + line * f->l.ring_size;
	struct netmap_ring *ring = (void *)(f->window + off);

	return &ring->slot[i & (f->l.slots - 1)];
}

static inline char *fake_buf(struct fake *f, const struct netmap_slot *slot)
{
	return f->bufs + (size_t)slot->buf_idx * f->l.buf_size;
}

/* Wakes the client if it asked; after a publication. */
static inline void fake_call(struct fake *f, unsigned line)
{
	char old[LAYOUT_PAGE];
	uint32_t need;

	shm_full_fence();
	need = shm_load32(&f->atok[line].appl_need_kick);
	if (!need || need == f->called[line])
		return;
	f->called[line] = need;
	f->n_calls++;
	if (write(f->calling_fd, "", 1) == 1)
		return;
	/* Full, because libglen does not read. */
	while (read(f->calling_fd, old, sizeof(old)) == sizeof(old))
		;
	if (write(f->calling_fd, "", 1) != 1)
		abort();
}

/* Slots that wait in TX ring i. */
static inline uint32_t fake_pending(struct fake *f, unsigned i)
{
	return (shm_load_acquire32(&f->atok[i].head) - f->cur[i]) &
	       (f->l.slots - 1);
}

/* Takes n slots (at most what is there) from TX ring i. */
static inline void fake_take(struct fake *f, unsigned i, uint32_t n)
{
	uint32_t mask = f->l.slots - 1;

	f->cur[i] = (f->cur[i] + n) & mask;
	shm_store32(&f->ktoa[i].hwcur, f->cur[i]);
	shm_store_release32(&f->ktoa[i].hwtail, (f->cur[i] - 1) & mask);
	fake_call(f, i);
}

/* Free slots in RX ring i. */
static inline uint32_t fake_room(struct fake *f, unsigned i)
{
	unsigned line = f->l.rings + i;

	return (shm_load_acquire32(&f->atok[line].head) - f->cur[line] - 1) &
	       (f->l.slots - 1);
}

/* Fills the n-th unpublished slot of RX ring i. */
static inline void fake_fill(struct fake *f, unsigned i, uint32_t n,
			     const void *data, size_t len, uint16_t flags)
{
	unsigned line = f->l.rings + i;
	struct netmap_slot *slot = fake_slot(f, line, f->cur[line] + n);

	assert_true(n < fake_room(f, i));
	memcpy(fake_buf(f, slot), data, len);
	slot->len = (uint16_t)len;
	slot->flags = flags;
}

/* Publishes n filled slots of RX ring i. */
static inline void fake_publish(struct fake *f, unsigned i, uint32_t n)
{
	unsigned line = f->l.rings + i;

	f->cur[line] = (f->cur[line] + n) & (f->l.slots - 1);
	shm_store_release32(&f->ktoa[line].hwtail, f->cur[line]);
	fake_call(f, line);
}

/* Asks for a kick on a line; the caller looks again. */
static inline void fake_arm(struct fake *f, unsigned line)
{
	if (!++f->arm)
		f->arm = 1;
	shm_store32(&f->ktoa[line].kern_need_kick, f->arm);
	shm_full_fence();
}

/* Kicks that came since the last look. */
static inline uint64_t fake_kicks(struct fake *f)
{
	uint64_t n = 0;

	if (read(f->kick_fd, &n, sizeof(n)) < 0)
		return 0;
	return n;
}

#endif
