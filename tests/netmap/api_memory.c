// SPDX-License-Identifier: BSD-2-Clause
// api_memory.c - mmap(), regions that ports share, EXTMEM.
#include "nmt.h"

static void *map(const struct nm *p, void *at, size_t size, int prot, int flags,
		 off_t offset)
{
	return mmap(at, size, prot, MAP_SHARED | flags, p->fd, offset);
}

POINT(mmap_limits)
{
	struct nm p = { 0 };
	size_t size;

	WORKS(bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
	size = p.reg.nr_memsize;
	CHECK(map(&p, NULL, size, PROT_READ, 0, 0) != MAP_FAILED);
	CHECK(map(&p, NULL, size + 4096, PROT_READ, 0, 0) == MAP_FAILED);
	EQ(errno, EINVAL);
	CHECK(map(&p, NULL, size, PROT_READ, 0, 4096) == MAP_FAILED);
	EQ(errno, EINVAL);
	CHECK(map(&p, NULL, 4096, PROT_READ, 0, (off_t)size) == MAP_FAILED);
	EQ(errno, EINVAL);
	CHECK(map(&p, NULL, 4096, PROT_READ, 0, (off_t)size - 4096) !=
	      MAP_FAILED);
}

POINT(mmap_twice_is_the_same_memory)
{
	struct nm p = up("vale%:a");
	char *again = map(&p, NULL, p.reg.nr_memsize, PROT_READ, 0, 0);
	struct netmap_if *nifp = NETMAP_IF(again, p.reg.nr_offset);
	uint32_t b = txr(&p, 0)->slot[0].buf_idx;

	CHECK(again != MAP_FAILED && again != p.mem);
	strcpy(NETMAP_BUF(txr(&p, 0), b), "here");
	CHECK(!strcmp(NETMAP_BUF(NETMAP_TXRING(nifp, 0), b), "here"));
	txr(&p, 0)->flags = 0x55;
	EQ(NETMAP_TXRING(nifp, 0)->flags, 0x55);
}

POINT(mmap_where_the_program_wants)
{
	struct nm p = { 0 };
	char *at, *got;

	WORKS(bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
	at = mmap(NULL, p.reg.nr_memsize, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(at != MAP_FAILED);
	got = map(&p, at, p.reg.nr_memsize, PROT_READ | PROT_WRITE, MAP_FIXED,
		  0);
	CHECK(got == at);
	EQ(NETMAP_TXRING(NETMAP_IF(at, p.reg.nr_offset), 0)->tail, 1023);
}

POINT(mmap_a_part)
{
	struct nm p = up("vale%:a");
	off_t offset = (off_t)(p.reg.nr_offset & ~4095ULL);
	struct netmap_if *nifp;
	char *part = map(&p, NULL, 4096, PROT_READ, 0, offset);

	CHECK(part != MAP_FAILED);
	nifp = NETMAP_IF(part, p.reg.nr_offset & 4095);
	EQ(nifp->ni_tx_rings, 1);
	EQ(nifp->ring_ofs[0], p.nifp->ring_ofs[0]);
}

POINT(mmap_read_only_is_read_only)
{
	struct nm p = { 0 };
	char *mem;
	pid_t pid;
	int status;

	WORKS(bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
	mem = map(&p, NULL, p.reg.nr_memsize, PROT_READ, 0, 0);
	CHECK(mem != MAP_FAILED);
	pid = fork();
	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		NETMAP_TXRING(NETMAP_IF(mem, p.reg.nr_offset), 0)->head = 1;
		_exit(0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	CHECK(status != 0);
}

POINT(mmap_outlives_the_descriptor)
{
	struct nm p = up("vale%:a");
	uint32_t b = txr(&p, 0)->slot[0].buf_idx;

	strcpy(NETMAP_BUF(txr(&p, 0), b), "still here");
	WORKS(close(p.fd));
	CHECK(!strcmp(NETMAP_BUF(txr(&p, 0), b), "still here"));
	txr(&p, 0)->head = 1;
}

/* Whoever walks all of nr_memsize meets no hole. */
POINT(mmap_has_no_holes)
{
	struct nm p = up("vale%:a");
	volatile char *mem = p.mem;
	size_t step = 1 << 20, n = 0;

	for (size_t at = 0; at < p.reg.nr_memsize; at += step)
		n += mem[at] == 77;
	CHECK(n <= p.reg.nr_memsize / step);
	n += (size_t)mem[p.reg.nr_memsize - 1];
}

POINT(region_is_shared_by_mem_id)
{
	struct nm a = up("vale%:a"), b = up_in("vale%:b", a.reg.nr_mem_id);
	struct netmap_ring *ta = txr(&a, 0), *tb = txr(&b, 0);
	uint32_t buf = ta->slot[0].buf_idx;

	EQ(b.reg.nr_mem_id, a.reg.nr_mem_id);
	EQ(b.reg.nr_memsize, a.reg.nr_memsize);
	CHECK(b.reg.nr_offset != a.reg.nr_offset);
	strcpy(NETMAP_BUF(ta, buf), "common");
	CHECK(!strcmp(NETMAP_BUF(tb, buf), "common"));
	for (uint32_t i = 0; i < ta->num_slots; i++)
		CHECK(tb->slot[i].buf_idx != ta->slot[i].buf_idx);
}

/* As nm_open() with a parent does: no second mmap(). */
POINT(region_needs_one_mapping)
{
	struct nm a = up("vale%:a"), b = { 0 };

	b.reg.nr_mem_id = a.reg.nr_mem_id;
	WORKS(bind_mode(&b, "vale%:b", NR_REG_ALL_NIC, 0));
	b.mem = a.mem;
	b.nifp = NETMAP_IF(a.mem, b.reg.nr_offset);
	EQ(b.nifp->ni_tx_rings, 1);
	put_frame(txr(&b, 0), 255, 2, 60, 9);
	txsync(&b);
	rxsync(&a);
	EQ(frame_number(peek(rxr(&a, 0), NULL)), 9);
}

POINT(region_ports_swap_buffers)
{
	struct nm a = up("vale%:a"), b = up_in("vale%x:b", a.reg.nr_mem_id);
	struct nm c = up("vale%x:c");
	struct netmap_ring *tb = txr(&b, 0);
	struct netmap_slot *from, *to = &tb->slot[tb->head];
	struct nm s = up("vale%:s");
	uint32_t buf;

	put_frame(txr(&s, 0), 255, 2, 60, 1234);
	txsync(&s);
	rxsync(&a);
	peek(rxr(&a, 0), &from);
	buf = from->buf_idx;
	from->buf_idx = to->buf_idx;
	to->buf_idx = buf;
	to->len = from->len;
	to->flags = NS_BUF_CHANGED;
	from->flags = NS_BUF_CHANGED;
	tb->head = tb->cur = nm_ring_next(tb, tb->head);
	drop(rxr(&a, 0), 1);
	txsync(&b);
	rxsync(&a);
	rxsync(&c);
	EQ(nm_ring_space(rxr(&c, 0)), 1);
	EQ(frame_number(peek(rxr(&c, 0), NULL)), 1234);
}

/* Two ports of one region; true: what one sends comes in its very buffer. */
static bool sent_by_reference(const char *from, const char *to)
{
	struct nm a = up(from), b = up_in(to, a.reg.nr_mem_id);
	struct netmap_slot *slot;
	uint32_t buf;

	say_hello(&b, 2);
	rxsync(&a);
	drop(rxr(&a, 0), nm_ring_space(rxr(&a, 0)));
	buf = txr(&a, 0)->slot[txr(&a, 0)->head].buf_idx;
	put_frame(txr(&a, 0), 2, 1, 60, 7);
	txsync(&a);
	rxsync(&b);
	EQ(frame_number(peek(rxr(&b, 0), &slot)), 7);
	/* Either it was copied, or the sender got another buffer for it. */
	EQ(txr(&a, 0)->slot[0].buf_idx == buf, slot->buf_idx != buf);
	return slot->buf_idx == buf;
}

POINT(region_ports_swap_by_themselves)
{
	CHECK(!sent_by_reference("vale%:a", "vale%:b"));
	/* What glen-run --swap does. */
	setenv("GLEN_NETMAP_SWAP", "1", 1);
	CHECK(sent_by_reference("vale%x:a", "vale%x:b"));
}

POINT(regions_are_private_by_default)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");

	CHECK(a.reg.nr_mem_id != b.reg.nr_mem_id);
	CHECK(a.reg.nr_mem_id != 1 && b.reg.nr_mem_id != 1);
}

POINT(region_goes_with_its_last_port)
{
	struct nmreq_port_info_get info = { 0 };
	struct nm a = up("vale%:a"), b = up_in("vale%:b", a.reg.nr_mem_id);

	info.nr_mem_id = a.reg.nr_mem_id;
	down(&a);
	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "", &info));
	down(&b);
	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "", &info));
}

POINT(region_one_is_for_everybody)
{
	struct nm a = up_in("vale%:a", 1), b = up_in("vale%:b", 1);

	EQ(a.reg.nr_mem_id, 1);
	EQ(b.reg.nr_mem_id, 1);
	EQ(a.reg.nr_memsize, b.reg.nr_memsize);
}

/* REGISTER with a region in memory of our own. */
static int extmem(struct nm *p, const char *name, void *memory, size_t size,
		  struct nmreq_opt_extmem *option)
{
	memset(option, 0, sizeof(*option));
	option->nro_opt.nro_reqtype = NETMAP_REQ_OPT_EXTMEM;
	option->nro_usrptr = (uintptr_t)memory;
	option->nro_info.nr_memsize = size;
	p->reg.nr_mode = NR_REG_ALL_NIC;
	return bind_port(p, name, option);
}

static void *pages(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED);
	return at;
}

POINT(extmem_is_the_region)
{
	enum { SIZE = 64 << 20 };
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm p = { 0 }, b = up("vale%:b");
	struct netmap_ring *tx;
	char *buf;

	WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
	EQ(option.nro_opt.nro_status, 0);
	CHECK(p.reg.nr_memsize <= SIZE);
	CHECK(option.nro_info.nr_buf_pool_objtotal > 2048);
	CHECK(option.nro_info.nr_memsize <= SIZE);
	map_port(&p);
	tx = txr(&p, 0);
	buf = NETMAP_BUF(tx, tx->slot[0].buf_idx);
	strcpy(buf, "seen from both sides");
	CHECK(!strcmp(memory + (buf - p.mem), "seen from both sides"));
	put_frame(tx, 255, 1, 60, 3);
	txsync(&p);
	rxsync(&b);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 3);
}

POINT(extmem_too_small)
{
	char *memory = pages(1 << 20);
	struct nmreq_opt_extmem option;
	struct nm p = { 0 };

	FAILS_SOMEHOW(extmem(&p, "vale%:a", memory, 4096, &option));
	CHECK(option.nro_opt.nro_status != 0);
	p.reg = (struct nmreq_register){ 0 };
	WORKS(bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
}

POINT(extmem_twice_is_one_region)
{
	enum { SIZE = 64 << 20 };
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm p = { 0 }, q = { 0 };

	WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
	WORKS(extmem(&q, "vale%:b", memory, SIZE, &option));
	EQ(p.reg.nr_mem_id, q.reg.nr_mem_id);
}

POINT(extmem_must_be_there)
{
	enum { SIZE = 64 << 20 };
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm p = { 0 };

	WORKS(munmap(memory, SIZE));
	FAILS_SOMEHOW(extmem(&p, "vale%:a", memory, SIZE, &option));
}

static struct netmap_if *nifp_at(struct nm *p, char *memory)
{
	p->mem = memory;
	p->nifp = NETMAP_IF(memory, p->reg.nr_offset);
	return p->nifp;
}

/* A byte of what the program had in its memory. */
static uint8_t old_byte(size_t at)
{
	return (uint8_t)(at / 4096 * 7 + at % 4096 / 64);
}

/* What was in buffers before stays in them; all else of the memory that the
 * region does not use, too. */
POINT(extmem_keeps_contents)
{
	enum { SIZE = 24 << 20, EXTRA = 50 };
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm p = { .reg.nr_extra_bufs = EXTRA };
	static bool chained[SIZE / BUF_SIZE];
	size_t from, n, checked = 0;
	uint32_t at;

	for (size_t i = 0; i < SIZE; i++)
		memory[i] = (char)old_byte(i);
	WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
	EQ(p.reg.nr_extra_bufs, EXTRA);
	nifp_at(&p, memory);
	for (at = p.nifp->ni_bufs_head; at;
	     memcpy(&at, NETMAP_BUF(txr(&p, 0), at), sizeof(at)))
		chained[at] = true;
	from = option.nro_info.nr_buf_pool_offset;
	n = option.nro_info.nr_buf_pool_objtotal;
	for (size_t i = 0; i < n; i++)
		/* The chain of extra buffers goes through their first word. */
		for (size_t b = chained[i] ? 4 : 0; b < BUF_SIZE; b++) {
			size_t byte = from + i * BUF_SIZE + b;

			if ((uint8_t)memory[byte] != old_byte(byte))
				FAIL("byte %zu of buffer %zu is new", b, i);
			checked++;
		}
	EQ(checked, n * BUF_SIZE - 4 * EXTRA);
	for (size_t i = from + n * BUF_SIZE; i < SIZE; i++)
		EQ((uint8_t)memory[i], old_byte(i));
	/* What the first region left is there for the next one. */
	at = txr(&p, 0)->slot[9].buf_idx;
	strcpy(NETMAP_BUF(txr(&p, 0), at), "left here");
	close(p.fd);
	p = (struct nm){ 0 };
	WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
	CHECK(!strcmp(memory + from + at * BUF_SIZE, "left here"));
}

/* Programs do not map such a region: they have it. */
POINT(extmem_in_place)
{
	enum { SIZE = 16 << 20 };
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm p = { 0 }, q = { 0 };

	memset(memory + SIZE - 4096, 0x77, 4096);
	WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
	WORKS(extmem(&q, "vale%:b", memory, SIZE, &option));
	EQ(nifp_at(&p, memory)->ni_tx_rings, 1);
	EQ(nifp_at(&q, memory)->ni_tx_rings, 1);
	CHECK(p.nifp != q.nifp);
	put_frame(txr(&p, 0), 255, 1, 60, 31);
	txsync(&p);
	rxsync(&q);
	EQ(frame_number(peek(rxr(&q, 0), NULL)), 31);
	put_frame(txr(&q, 0), 255, 1, 60, 32);
	txsync(&q);
	rxsync(&p);
	EQ(frame_number(peek(rxr(&p, 0), NULL)), 32);
	/* What the region does not need stays. */
	CHECK(p.reg.nr_memsize <= SIZE - 4096);
	EQ(memory[SIZE - 1], 0x77);
	/* It is memory after that as well. */
	close(p.fd);
	close(q.fd);
	memset(memory, 1, SIZE);
}

/* A program's heap, where pages are where malloc() put them. */
POINT(extmem_on_the_heap)
{
	enum { SIZE = 12 << 20 };
	struct nmreq_opt_extmem option;
	struct nm p = { 0 }, b = up("vale%:b");
	char *before = malloc(1000), *after;
	void *memory;

	strcpy(before, "before");
	EQ(posix_memalign(&memory, 4096, SIZE), 0);
	after = malloc(1000);
	strcpy(after, "after");
	for (int i = 0; i < 3; i++) {
		WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
		nifp_at(&p, memory);
		put_frame(txr(&p, 0), 255, 1, 60, (uint32_t)i);
		txsync(&p);
		rxsync(&b);
		EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
		drop(rxr(&b, 0), 1);
		close(p.fd);
		p = (struct nm){ 0 };
		memset(memory, 0xff, SIZE);
	}
	CHECK(!strcmp(before, "before") && !strcmp(after, "after"));
	free(memory);
	free(before);
	free(after);
	memory = malloc(SIZE);
	memset(memory, 1, SIZE);
	free(memory);
}

/* Sizes and numbers as the program wants them, as far as that goes. */
POINT(extmem_pools)
{
	enum { SIZE = 24 << 20 };
	struct nmreq_pools_info info = { 0 }, *said;
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_EXTMEM },
		.nro_usrptr = (uintptr_t)memory,
		.nro_info = { .nr_memsize = SIZE,
			      .nr_if_pool_objtotal = 3,
			      .nr_ring_pool_objtotal = 8,
			      .nr_ring_pool_objsize = 36864,
			      .nr_buf_pool_objtotal = 5000,
			      .nr_buf_pool_objsize = 4096 },
	};
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC };
	struct netmap_ring *tx;

	WORKS(bind_port(&p, "vale%:a", &option));
	said = &option.nro_info;
	EQ(said->nr_buf_pool_objsize, 4096);
	EQ(said->nr_buf_pool_objtotal, 5000);
	EQ(said->nr_if_pool_objtotal, 3);
	EQ(said->nr_ring_pool_objtotal, 8);
	EQ(said->nr_mem_id, p.reg.nr_mem_id);
	EQ(said->nr_memsize, p.reg.nr_memsize);
	CHECK(said->nr_buf_pool_offset + 5000ULL * 4096 <= said->nr_memsize);
	WORKS(ctrl(dev(), NETMAP_REQ_POOLS_INFO_GET, "vale%:a", &info));
	CHECK(!memcmp(&info, said, sizeof(info)));
	nifp_at(&p, memory);
	tx = txr(&p, 0);
	EQ(tx->nr_buf_size, 4096);
	CHECK(NETMAP_BUF(tx, 0) == memory + said->nr_buf_pool_offset);
	CHECK((char *)p.nifp >= memory + said->nr_if_pool_offset);
	CHECK((char *)tx + sizeof(*tx) <= memory + said->nr_buf_pool_offset);
}

POINT(extmem_hostile)
{
	enum { SIZE = 16 << 20 };
	char *memory = pages(SIZE), *hole = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm p = { 0 }, q = { 0 };
	static const uint64_t sizes[] = { 0, 4095, UINT64_MAX, UINT64_MAX / 2,
					  1ULL << 47 };

	FAILS(EINVAL, extmem(&p, "vale%:a", memory + 64, SIZE / 2, &option));
	CHECK(option.nro_opt.nro_status == EINVAL);
	FAILS(EINVAL, extmem(&p, "vale%:a", NULL, SIZE, &option));
	for (int i = 0; i < 5; i++)
		FAILS_SOMEHOW(extmem(&p, "vale%:a", memory, sizes[i], &option));
	WORKS(munmap(hole + SIZE / 2, 4096));
	FAILS(EFAULT, extmem(&p, "vale%:a", hole, SIZE, &option));
	EQ(option.nro_opt.nro_status, EFAULT);
	WORKS(mprotect(memory, 4096, PROT_READ));
	FAILS(EFAULT, extmem(&p, "vale%:a", memory, SIZE, &option));
	WORKS(mprotect(memory, 4096, PROT_READ | PROT_WRITE));
	memset(&option, 0, sizeof(option));
	option.nro_opt.nro_reqtype = NETMAP_REQ_OPT_EXTMEM;
	option.nro_usrptr = (uintptr_t)memory;
	option.nro_info.nr_memsize = SIZE;
	option.nro_info.nr_buf_pool_objtotal = UINT32_MAX;
	option.nro_info.nr_buf_pool_objsize = UINT32_MAX;
	option.nro_info.nr_ring_pool_objtotal = UINT32_MAX;
	option.nro_info.nr_ring_pool_objsize = UINT32_MAX;
	p.reg.nr_mode = NR_REG_ALL_NIC;
	FAILS(EINVAL, bind_port(&p, "vale%:a", &option));
	/* All of that left the memory and the descriptor as they were. */
	memset(memory, 3, SIZE);
	WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
	/* Another region across the first one. */
	FAILS(EBUSY,
	      extmem(&q, "vale%:b", memory + 8192, SIZE - 8192, &option));
	/* The same memory, another shape. */
	memset(&option, 0, sizeof(option));
	option.nro_opt.nro_reqtype = NETMAP_REQ_OPT_EXTMEM;
	option.nro_usrptr = (uintptr_t)memory;
	option.nro_info.nr_memsize = SIZE;
	option.nro_info.nr_buf_pool_objsize = 1024;
	FAILS(EBUSY, bind_port(&q, "vale%:b", &option));
	EQ(option.nro_opt.nro_status, EBUSY);
	EQ(nifp_at(&p, memory)->ni_rx_rings, 1);
}

/* A port that is there has its region. */
POINT(extmem_of_a_port_that_is_there)
{
	enum { SIZE = 16 << 20 };
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm a = up("vale%:a"), p = { 0 };

	memset(memory, 5, SIZE);
	FAILS(EBUSY, extmem(&p, "vale%:a", memory, SIZE, &option));
	for (size_t i = 0; i < SIZE; i += 4096)
		EQ(memory[i], 5);
	EQ(a.nifp->ni_tx_rings, 1);
}

/* More ports than windows fit: the region has no room, and is not harmed. */
POINT(extmem_full)
{
	enum { SIZE = 64 << 20 };
	char *memory = pages(SIZE);
	struct nmreq_opt_extmem option;
	struct nm p[40] = { 0 };
	char name[16];
	int n = 0;

	for (; n < 40; n++) {
		snprintf(name, sizeof(name), "vale%%:p%d", n);
		if (extmem(&p[n], name, memory, SIZE, &option))
			break;
		EQ(nifp_at(&p[n], memory)->ni_tx_rings, 1);
	}
	EQ(errno, ENOMEM);
	CHECK(n >= 1 && n < 40);
	close(p[0].fd);
	p[n].reg = (struct nmreq_register){ 0 };
	WORKS(extmem(&p[n], name, memory, SIZE, &option));
	EQ(nifp_at(&p[n], memory)->ni_tx_rings, 1);
	EQ(txr(&p[n], 0)->tail, 1023);
}

/* A mapping of huge pages; skipped where there are none. */
POINT(extmem_of_huge_pages)
{
	enum { SIZE = 16 << 20 };
	struct nmreq_opt_extmem option;
	struct nm p = { 0 }, b = up("vale%:b");
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (memory == MAP_FAILED)
		skip("there are no huge pages (vm.nr_hugepages)");
	memset(memory + SIZE - 4096, 0x66, 4096);
	WORKS(extmem(&p, "vale%:a", memory, SIZE, &option));
	nifp_at(&p, memory);
	put_frame(txr(&p, 0), 255, 1, 60, 8);
	txsync(&p);
	rxsync(&b);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 8);
	EQ(memory[SIZE - 4096], 0x66);
}
