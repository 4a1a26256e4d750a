// SPDX-License-Identifier: BSD-2-Clause
// hostile_vhost_memory.c - lies about memory: facts/vm-attach.md 5.3 A.
#include "hostile_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NO = REFUSED | HANGUP, WIDE = 100 };

static void use_table(struct attack *a, bool yes)
{
	a->config.not_protocol = yes ? FE_BIT(FE_P_MEM_SLOTS) : 0;
}

/* Our own mappings of it may not be touched any more: only glend does. */
static void forget_memory(struct attack *a)
{
	for (unsigned i = 0; i < a->fe.n_regions; i++) {
		munmap(a->fe.region[i].host, a->fe.region[i].mapped);
		a->fe.region[i].host = NULL;
	}
	for (unsigned i = 0; i < 2; i++)
		a->fe.queue[i].running = false;
}

static void a1_truncate(struct attack *a)
{
	static const off_t to[] = { 0, 4096, HALF, 2 * HALF - 4096 };

	for (unsigned i = 0; i < 2 * sizeof(to) / sizeof(to[0]); i++) {
		struct fe_queue *q;
		struct lie d = { 2 * HALF - 8192, 6000, 0, 0, 0 };
		struct lie rx = { 2 * HALF - 4096, 4096, FE_WRITE, 0, 0 };
		int kick;

		life_empty(a, i % 2 ? "memory shrinks under what is received" :
				      "memory shrinks under what is sent");
		q = fe_tx(&a->fe, 0);
		if (i % 2) {
			lie(a, fe_rx(&a->fe, 0), &rx, 1, 0);
			must(a, fe_sync(&a->fe), "sync");
		}
		/* Packets that glend may be reading at this moment. */
		provoke(a, i % 2 ? 0 : 200);
		must(a, ftruncate(a->fd, to[i / 2]), "ftruncate");
		if (to[i / 2] < HALF)
			forget_memory(a);
		if (to[i / 2] > HALF) {
			/* The rings are still there. */
			if (i % 2)
				provoke(a, 4);
			else
				lie(a, q, &d, 1, 0);
		}
		kick = q->kick_fd;
		must(a, eventfd_write(kick, 1), "kick");
		must(a, eventfd_write(fe_rx(&a->fe, 0)->kick_fd, 1), "kick");
		if (to[i / 2] == HALF)
			forget_memory(a);
		expect(a, HANGUP);
	}
}

/* The header is there, what follows is not: where the receiver is a socket or a
 * TAP, the kernel notices, and tells glend by EFAULT. */
static void a1_half(struct attack *a)
{
	for (unsigned i = 0; i < 4; i++) {
		struct lie d = { 2 * HALF - 8192, 6000, 0, 0, 0 };

		life_empty(a, "half of a packet is gone");
		must(a, ftruncate(a->fd, 2 * HALF - 4096), "ftruncate");
		lie(a, fe_tx(&a->fe, 0), &d, 1, 0);
		expect(a, HANGUP);
	}
}

/* Announces the regions as they are in a->fe.region; they need not be true. */
static void announce(struct attack *a, bool table)
{
	int err = fe_negotiate(&a->fe);

	must(a, err, "negotiate");
	if (table) {
		refused(a, fe_table_message(&a->fe));
		return;
	}
	for (unsigned i = 0; i < a->fe.n_regions && !err; i++)
		err = fe_slot_message(&a->fe, FE_ADD_MEM_REG, i);
	refused(a, err);
}

static void a2_small(struct attack *a)
{
	for (int table = 0; table < 2; table++) {
		use_table(a, table);
		for (unsigned i = 0; i < 4; i++) {
			struct fe_region *r = &a->fe.region[1];

			life_handshaken(a, "a descriptor smaller than said");
			if (i == 0)
				r->size = HALF + 4096;
			else if (i == 1)
				r->off = HALF + 4096;
			else if (i == 2)
				r->off = 1ULL << 40;
			else
				r->size = 1ULL << 46;
			announce(a, table);
			expect(a, NO);
		}
	}
}

static void a3_wrap(struct attack *a)
{
	static const struct fe_region_wire v[] = {
		{ HALF, UINT64_MAX - 4095, 0x700000000000, 8192 },
		{ HALF, UINT64_MAX, 0x700000000000, 0 },
		{ HALF, HALF, 0x700000000000, UINT64_MAX - 4095 },
		{ UINT64_MAX - 4095, HALF, 0x700000000000, 0 },
		{ 1ULL << 63, 1ULL << 63, 0x700000000000, 0 },
		{ HALF, HALF, UINT64_MAX - 4095, 0 },
		{ HALF, 0, 0x700000000000, 0 },
		{ HALF, HALF, 0x700000000000, 1 },
	};

	for (int table = 0; table < 2; table++) {
		use_table(a, table);
		for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
			struct fe_region *r = &a->fe.region[1];

			life_handshaken(a, "a region that wraps");
			r->gpa = v[i].gpa;
			r->size = v[i].size;
			r->uva = v[i].uva;
			r->off = v[i].off;
			announce(a, table);
			/* An odd offset into the file may be taken. */
			if (v[i].off == 1)
				survived(a);
			else
				expect(a, NO);
		}
	}
}

static void a4_overlap(struct attack *a)
{
	for (int table = 0; table < 2; table++) {
		use_table(a, table);
		for (unsigned i = 0; i < 4; i++) {
			struct fe_region *r = a->fe.region;

			life_handshaken(a, "regions overlap");
			if (i == 0)
				r[1].gpa = HALF - 4096;
			else if (i == 1)
				r[1].gpa = r[0].gpa;
			else if (i == 2)
				r[1].uva = r[0].uva + HALF - 4096;
			else
				r[1].uva = r[0].uva;
			announce(a, table);
			expect(a, NO);
		}
	}
}

/* A table with a number of regions and descriptors of our choice. */
static void table_of(struct attack *a, uint32_t n, uint32_t size,
		     unsigned n_fds)
{
	struct {
		uint32_t n, padding;
		struct fe_region_wire region[WIDE];
	} table = { .n = n };
	int fds[WIDE];

	for (unsigned i = 0; i < WIDE; i++) {
		table.region[i] = (struct fe_region_wire){
			MIB * i, MIB, a->fe.region[0].uva + MIB * i, MIB * i
		};
		fds[i] = a->fd;
	}
	must(a, fe_negotiate(&a->fe), "negotiate");
	refused(a, fe_set(&a->fe, FE_SET_MEM_TABLE, &table,
			  (uint32_t)(8 + size * sizeof(table.region[0])), fds,
			  n_fds));
}

static void a5_many(struct attack *a)
{
	static const uint32_t v[][3] = {
		{ 9, 9, 9 },	    { 32, 32, 32 }, { 0, 0, 0 },
		{ 2, 2, 1 },	    { 2, 2, 3 },    { 2, 2, 0 },
		{ 3, 2, 3 },	    { 2, 3, 2 },    { UINT32_MAX, 8, 8 },
		{ 1u << 29, 8, 8 },
	};
	int err = 0;

	use_table(a, true);
	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		life_handshaken(a, "a table with odd numbers");
		table_of(a, v[i][0], v[i][1], v[i][2]);
		survived(a);
	}
	use_table(a, false);
	life_handshaken(a, "more regions than glend takes");
	must(a, fe_negotiate(&a->fe), "negotiate");
	for (unsigned i = 0; !err && i < FE_REGIONS_MAX; i++) {
		a->fe.region[0].gpa = 4096ULL * i;
		a->fe.region[0].uva = 0x10000000 + 4096ULL * i;
		a->fe.region[0].size = 4096;
		err = fe_slot_message(&a->fe, FE_ADD_MEM_REG, 0);
	}
	refused(a, err);
	expect(a, NO);
}

static int odd_file(struct attack *a, unsigned i)
{
	static char path[64];
	int fds[2];

	switch (i) {
	case 0:
		must(a, pipe2(fds, O_CLOEXEC), "pipe");
		close(fds[1]);
		return fds[0];
	case 1:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case 2:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 3:
		return eventfd(0, EFD_CLOEXEC);
	case 4:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case 5:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 6:
		return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	case 7:
		return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	case 8:
		return epoll_create1(EPOLL_CLOEXEC);
	case 9:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", a->fd);
		return open(path, O_PATH | O_CLOEXEC);
	default:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", a->fd);
		return open(path, O_RDONLY | O_CLOEXEC);
	}
}

static void a6_files(struct attack *a)
{
	for (unsigned i = 0; i < 22; i++) {
		int fd;

		use_table(a, i % 2);
		life_handshaken(a, "a descriptor that is no memory");
		fd = odd_file(a, i / 2);
		must(a, fd, "cannot open a file");
		a->fe.region[1].fd = fd;
		announce(a, i % 2);
		close(fd);
		/* 10: read only, which is (10) of the list. */
		expect(a, NO);
	}
}

static void a7_changes(struct attack *a)
{
	unsigned n = scaled(a, 1000, 50);

	use_table(a, true);
	life_attached(a, "the table is set again and again");
	for (unsigned i = 0; i < n; i++) {
		provoke(a, 8);
		must(a, fe_table_message(&a->fe), "table");
		consume(a);
	}
	good(a);
	use_table(a, false);
	life_attached(a, "a region comes and goes");
	must(a, fe_region(&a->fe, a->fd, 0, MIB, 1ULL << 32, 0), "region");
	for (unsigned i = 0; i < n; i++) {
		provoke(a, 8);
		must(a, fe_slot_message(&a->fe, FE_ADD_MEM_REG, 2), "add");
		provoke(a, 8);
		must(a, fe_slot_message(&a->fe, FE_REM_MEM_REG, 2), "remove");
		consume(a);
	}
	good(a);
}

static void a8_unknown(struct attack *a)
{
	for (unsigned i = 0; i < 4; i++) {
		life_attached(a, "a region goes that was never there");
		must(a, fe_region(&a->fe, a->fd, 0, MIB, 1ULL << 32, 0),
		     "region");
		if (i == 1)
			a->fe.region[2].gpa = 4096;
		if (i == 2) {
			a->fe.region[2] = a->fe.region[0];
			a->fe.region[2].host = NULL;
			a->fe.region[2].size = MIB;
		}
		if (i == 3) {
			a->fe.region[2].size = 0;
			a->fe.region[2].gpa = 0;
		}
		refused(a, fe_slot_message(&a->fe, FE_REM_MEM_REG, 2));
		expect(a, NO);
	}
}

static void a9_cycles(struct attack *a)
{
	unsigned n = scaled(a, 10000, 200);

	life_handshaken(a, "regions come and go, nothing else");
	must(a, fe_negotiate(&a->fe), "negotiate");
	for (unsigned i = 0; i < n; i++) {
		must(a, fe_slot_message(&a->fe, FE_ADD_MEM_REG, i % 2), "add");
		must(a, fe_slot_message(&a->fe, FE_REM_MEM_REG, i % 2),
		     "remove");
	}
	must(a, fe_start(&a->fe), "start");
	good(a);
}

const struct hostile_case memory_cases[] = {
	{ "A1-truncate", a1_truncate, true },
	{ "A1-half", a1_half, false },
	{ "A2-small", a2_small, false },
	{ "A3-wrap", a3_wrap, false },
	{ "A4-overlap", a4_overlap, false },
	{ "A5-many", a5_many, false },
	{ "A6-A10-files", a6_files, false },
	{ "A7-changes", a7_changes, true },
	{ "A8-unknown", a8_unknown, false },
	{ "A9-cycles", a9_cycles, false },
	{ 0 },
};
