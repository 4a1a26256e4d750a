/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_netmap.h - a /dev/netmap for tests of what programs link. */
#ifndef TESTS_UNIT_FAKE_NETMAP_H
#define TESTS_UNIT_FAKE_NETMAP_H
/*
 * The test is linked with --wrap for open() and ioctl(), so that the device is
 * a memfd: mapping and closing it are the real thing. It has one region,
 * number 7 (or the one asked for), with a port of two TX, two RX and one host
 * ring each way. The last request is kept for the test to look at, with its
 * body and a copy of its first option.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <net/netmap_user.h>

enum {
	FAKE_REGION = 7,
	FAKE_SLOTS = 8,
	FAKE_BUF_SIZE = 256,
	FAKE_NIFP = 4096,
	FAKE_RINGS = 8192,
	FAKE_RING_SIZE = 512,
	FAKE_BUFS = 16384,
	FAKE_SIZE = 65536,
	FAKE_FDS = 16,
};

static struct {
	int open_error;	       /* what the next opens fail with; 0: they work */
	int ioctl_error;       /* the same for requests */
	uint32_t option_error; /* status of the first option then */
	int opens;
	int fds[FAKE_FDS]; /* of the device; may be closed since */
	/* The last request. */
	unsigned long request;
	struct nmreq_header hdr;
	struct nmreq_register reg;
	struct nmreq legacy;
	union {
		struct nmreq_option opt;
		struct nmreq_opt_extmem extmem;
		struct nmreq_opt_offsets offsets;
	} option;
	unsigned n_options;
	unsigned rx_rings; /* how many the next port has; 0: two */
} fake;

/* The region's netmap_if, rings and slots; every slot has a buffer. */
static void fake_write(char *base)
{
	struct netmap_if *nifp = (void *)(base + FAKE_NIFP);

	memset(base, 0, FAKE_SIZE);
	nifp->ni_tx_rings = nifp->ni_rx_rings = 2;
	nifp->ni_host_tx_rings = nifp->ni_host_rx_rings = 1;
	for (unsigned i = 0; i < 6; i++) {
		uint32_t off = FAKE_RINGS + i * FAKE_RING_SIZE;
		struct netmap_ring *ring = (void *)(base + off);

		nifp->ring_ofs[i] = off - FAKE_NIFP;
		ring->buf_ofs = FAKE_BUFS - (int64_t)off;
		ring->num_slots = FAKE_SLOTS;
		ring->nr_buf_size = FAKE_BUF_SIZE;
		ring->tail = i < 3 ? FAKE_SLOTS - 1 : 0;
		for (unsigned s = 0; s < FAKE_SLOTS; s++)
			ring->slot[s].buf_idx = 2 + i * FAKE_SLOTS + s;
	}
}

static void fake_write_fd(int fd)
{
	char *base = mmap(NULL, FAKE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);

	assert_ptr_not_equal(base, MAP_FAILED);
	fake_write(base);
	munmap(base, FAKE_SIZE);
}

static int fake_register(int fd, struct nmreq_header *hdr)
{
	struct nmreq_register *reg = (void *)(uintptr_t)hdr->nr_body;
	struct nmreq_opt_extmem *extmem = NULL;
	struct nmreq_option *opt = (void *)(uintptr_t)hdr->nr_options;

	fake.reg = *reg;
	fake.n_options = 0;
	if (opt)
		memcpy(&fake.option, opt,
		       opt->nro_reqtype == NETMAP_REQ_OPT_EXTMEM ?
			       sizeof(fake.option.extmem) :
			       sizeof(fake.option.offsets));
	for (; opt; opt = (void *)(uintptr_t)opt->nro_next) {
		fake.n_options++;
		if (opt->nro_reqtype == NETMAP_REQ_OPT_EXTMEM)
			extmem = (void *)opt;
	}
	if (fake.ioctl_error) {
		opt = (void *)(uintptr_t)hdr->nr_options;
		if (opt)
			opt->nro_status = fake.option_error;
		errno = fake.ioctl_error;
		return -1;
	}
	if (extmem)
		fake_write((char *)(uintptr_t)extmem->nro_usrptr);
	else
		fake_write_fd(fd);
	reg->nr_offset = FAKE_NIFP;
	reg->nr_memsize = FAKE_SIZE;
	reg->nr_tx_rings = 2;
	reg->nr_rx_rings = (uint16_t)(fake.rx_rings ? fake.rx_rings : 2);
	reg->nr_host_tx_rings = reg->nr_host_rx_rings = 1;
	reg->nr_tx_slots = reg->nr_rx_slots = FAKE_SLOTS;
	if (!reg->nr_mem_id)
		reg->nr_mem_id = FAKE_REGION;
	return 0;
}

static int fake_legacy(int fd, struct nmreq *req)
{
	fake.legacy = *req;
	if (fake.ioctl_error) {
		errno = fake.ioctl_error;
		return -1;
	}
	fake_write_fd(fd);
	req->nr_offset = FAKE_NIFP;
	req->nr_memsize = FAKE_SIZE;
	req->nr_tx_rings = 2;
	req->nr_rx_rings = (uint16_t)(fake.rx_rings ? fake.rx_rings : 2);
	req->nr_tx_slots = req->nr_rx_slots = FAKE_SLOTS;
	if (!req->nr_arg2)
		req->nr_arg2 = FAKE_REGION;
	return 0;
}

/* Only a port called vale0:there exists; it is in region 5. */
static int fake_info(struct nmreq_header *hdr)
{
	struct nmreq_port_info_get *info = (void *)(uintptr_t)hdr->nr_body;

	if (strcmp(hdr->nr_name, "vale0:there")) {
		errno = ENXIO;
		return -1;
	}
	info->nr_mem_id = 5;
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct nmreq_header *hdr;
	va_list args;

	va_start(args, request);
	hdr = va_arg(args, void *);
	va_end(args);
	fake.request = request;
	if (request == NIOCREGIF)
		return fake_legacy(fd, (struct nmreq *)hdr);
	if (request != NIOCCTRL || hdr->nr_version != NETMAP_API) {
		errno = EINVAL;
		return -1;
	}
	fake.hdr = *hdr;
	if (hdr->nr_reqtype == NETMAP_REQ_REGISTER)
		return fake_register(fd, hdr);
	return fake_info(hdr);
}

static int fake_open(const char *path, int flags)
{
	int fd;

	if (strcmp(path, "/dev/netmap"))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
	if (fake.open_error) {
		errno = fake.open_error;
		return -1;
	}
	fd = memfd_create("netmap", 0);
	assert_true(fd >= 0 && !ftruncate(fd, FAKE_SIZE));
	assert_true(fake.opens < FAKE_FDS);
	fake.fds[fake.opens++] = fd;
	return fd;
}

int __wrap_open(const char *path, int flags, ...)
{
	return fake_open(path, flags);
}

int __wrap_open64(const char *path, int flags, ...)
{
	return fake_open(path, flags);
}

/* How many descriptors of the device are open. */
static inline unsigned fake_open_fds(void)
{
	unsigned n = 0;

	for (int i = 0; i < fake.opens; i++)
		n += fcntl(fake.fds[i], F_GETFD) >= 0;
	return n;
}

static inline void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
}

#endif
