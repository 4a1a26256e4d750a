// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_memory.c - guest memory: what is mapped, found and refused.
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port/vhost_user/memory.h"
#include "port/vhost_user/sigbus.h"

enum { MIB = 1 << 20 };

static struct vhost_memory *mem;
static struct glen_error error;
static _Atomic bool hit;
static int fault_fd = -1;

static struct vhost_faults faults(void)
{
	return (struct vhost_faults){ &hit, fault_fd };
}

static int setup(void **state)
{
	fault_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	hit = false;
	mem = calloc(1, sizeof(*mem));
	return 0;
}

static int teardown(void **state)
{
	vhost_memory_fini(mem);
	free(mem);
	close(fault_fd);
	return 0;
}

static int file_of(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* A region in the file; fd is not closed. */
static int add(int fd, uint64_t gpa, uint64_t size, uint64_t uva, uint64_t off)
{
	struct vhost_wire_region r = { gpa, size, uva, off };
	struct vhost_faults f = faults();

	error.text[0] = '\0';
	return vhost_memory_add(mem, &r, fd, &f, &error);
}

static void refuse(int fd, uint64_t gpa, uint64_t size, uint64_t uva,
		   uint64_t off, const char *why)
{
	unsigned before = mem->n;

	assert_true(add(fd, gpa, size, uva, off) < 0);
	if (!strstr(error.text, why))
		fail_msg("\"%s\" instead of \"%s\"", error.text, why);
	assert_int_equal(mem->n, before);
}

/* Regions in any order; addresses lead to the file's bytes. */
static void test_translate(void **state)
{
	int fd = file_of(4 * MIB);
	uint64_t last = 0xdeadbeef, gpa;
	uint32_t hint = 0;

	assert_int_equal(add(fd, 0x100000000, MIB, 0x7000000, 3 * MIB), 0);
	assert_int_equal(add(fd, 0, MIB, 0x1000000, 0), 0);
	assert_int_equal(add(fd, MIB + 0x4000, MIB, 0x3000000, MIB + 0x1000),
			 0);
	assert_int_equal(vhost_memory_seal(mem), 0);
	assert_int_equal(mem->mem->n, 3);
	for (unsigned i = 1; i < 3; i++)
		assert_true(mem->mem->region[i].gpa >
			    mem->mem->region[i - 1].gpa);
	assert_int_equal(pwrite(fd, &last, 8, 4 * MIB - 8), 8);
	assert_memory_equal(vhost_at(mem->mem, &hint, 0x100000000 + MIB - 8, 8),
			    &last, 8);
	assert_int_equal(hint, 2);
	assert_int_equal(pwrite(fd, &last, 8, MIB + 0x1000), 8);
	assert_memory_equal(vhost_at(mem->mem, &hint, MIB + 0x4000, 8), &last,
			    8);
	assert_int_equal(hint, 1);
	assert_ptr_equal(vhost_memory_uva(mem, 0x3000000, 64, 16, &gpa),
			 vhost_at(mem->mem, &hint, MIB + 0x4000, 64));
	assert_int_equal(gpa, MIB + 0x4000);
	assert_int_equal(vhost_memory_last(mem), 0x100000000 + MIB - 1);
	close(fd);
}

/* What lies not in one region whole is nowhere, wherever one looks first. */
static void test_not_there(void **state)
{
	int fd = file_of(4 * MIB);
	uint64_t wrong[][2] = {
		{ MIB - 4, 8 },		  { MIB, 1 },
		{ 2 * MIB - 1, 2 },	  { 3 * MIB, 1 },
		{ UINT64_MAX, 1 },	  { UINT64_MAX - 3, 8 },
		{ 0, UINT64_MAX },	  { 2 * MIB, UINT64_MAX - 2 * MIB + 1 },
		{ 0, (uint64_t)3 * MIB },
	};

	assert_int_equal(add(fd, 0, MIB, MIB, 0), 0);
	/* Next to the first for the guest: still two. */
	assert_int_equal(add(fd, 2 * MIB, MIB, 4 * MIB, MIB), 0);
	assert_int_equal(vhost_memory_seal(mem), 0);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		for (uint32_t first = 0; first < 2; first++) {
			uint32_t hint = first;

			assert_null(vhost_at(mem->mem, &hint, wrong[i][0],
					     wrong[i][1]));
			assert_true(hint < 2);
		}
	assert_null(vhost_memory_uva(mem, MIB + 8, 16, 16, NULL));
	assert_null(vhost_memory_uva(mem, 2 * MIB - 8, 16, 4, NULL));
	assert_null(vhost_memory_uva(mem, UINT64_MAX, 16, 1, NULL));
	assert_non_null(vhost_memory_uva(mem, 2 * MIB - 16, 16, 16, NULL));
	close(fd);
}

static void test_search_many(void **state)
{
	int fd = file_of(MIB);
	uint32_t hint = 0;

	for (unsigned i = 0; i < VHOST_REGIONS_MAX; i++)
		assert_int_equal(add(fd, (uint64_t)i * 8192, 4096,
				     (uint64_t)(i + 1) << 32, 4096 * (i % 4)),
				 0);
	refuse(fd, 1ULL << 40, 4096, 1, 0, "more than 256");
	assert_int_equal(vhost_memory_seal(mem), 0);
	for (unsigned i = 0; i < VHOST_REGIONS_MAX; i++) {
		unsigned at = i * 89 % VHOST_REGIONS_MAX;

		assert_ptr_equal(vhost_at(mem->mem, &hint,
					  (uint64_t)at * 8192 + 7, 4089),
				 mem->mem->region[at].base + 7);
		assert_int_equal(hint, at);
		assert_null(vhost_at(mem->mem, &hint,
				     (uint64_t)at * 8192 + 4096, 1));
	}
	close(fd);
}

static void test_refused(void **state)
{
	int fd = file_of(MIB), reading, pipes[2];
	char path[32];

	refuse(fd, 0, 0, 0, 0, "no size");
	refuse(fd, UINT64_MAX - 4095, 8192, 0, 0, "wraps");
	refuse(fd, 0, 8192, UINT64_MAX - 4095, 0, "wraps");
	refuse(fd, 0, 8192, 0, UINT64_MAX - 4095, "wraps");
	refuse(fd, 0, MIB + 1, 0, 0, "behind the end of its file");
	refuse(fd, 0, 4096, 0, MIB, "behind the end of its file");
	refuse(fd, 0, MIB, 0, 4096, "behind the end of its file");
	refuse(fd, 0, VHOST_BYTES_MAX + 1, 0, 0, "more than");
	assert_int_equal(add(fd, 8192, 8192, 1 << 30, 0), 0);
	refuse(fd, 0, 8193, 0, 0, "overlap");
	refuse(fd, 8192 + 8191, 1, 0, 0, "overlap");
	refuse(fd, 9000, 1, 0, 0, "overlap");
	refuse(fd, 0, 4096, (1 << 30) + 8191, 0, "overlap");
	assert_int_equal(add(fd, 0, 8192, 0, 0), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reading = open(path, O_RDONLY | O_CLOEXEC);
	refuse(reading, 1 << 30, 4096, 1 << 20, 0, "reading and writing");
	close(reading);
	assert_int_equal(pipe(pipes), 0);
	refuse(pipes[0], 1 << 30, 4096, 1 << 20, 0, "not in a memfd");
	close(pipes[0]);
	close(pipes[1]);
	reading = open("/dev/zero", O_RDWR | O_CLOEXEC);
	refuse(reading, 1 << 30, 4096, 1 << 20, 0, "not in a memfd");
	close(reading);
	reading = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	refuse(reading, 1 << 30, 4096, 1 << 20, 0, "not in a memfd");
	close(reading);
	refuse(fault_fd, 1 << 30, 4096, 1 << 20, 0, "not in a memfd");
	refuse(-1, 1 << 30, 4096, 1 << 20, 0, "not in a memfd");
	close(fd);
}

/* Behind a region one may read on, whatever lies in memory there. */
static void test_spare(void **state)
{
	int fd = file_of(4096);
	volatile uint8_t *p;

	assert_int_equal(add(fd, 0, 4096, 0, 0), 0);
	p = mem->piece[0].region.base;
	for (unsigned i = 0; i < 4096 + VHOST_SPARE; i++)
		assert_int_equal(p[i], 0);
	close(fd);
}

/* True if any mapping of this process is of a file with that name. */
static bool mapped(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	bool found = false;

	while (fgets(line, sizeof(line), maps))
		found |= strstr(line, name) != NULL;
	fclose(maps);
	return found;
}

/* What a copy shares stays as long as one of the two has it. */
static void test_copy_and_remove(void **state)
{
	struct vhost_memory *next = calloc(1, sizeof(*next));
	struct vhost_wire_region r = { 0, 4096, MIB, 0 };
	int fd = file_of(MIB);
	uint8_t *first, *second;

	assert_int_equal(add(fd, 0, 4096, MIB, 0), 0);
	assert_int_equal(add(fd, 8192, 4096, 2 * MIB, 8192), 0);
	close(fd);
	first = mem->piece[0].region.base;
	second = mem->piece[1].region.base;
	vhost_memory_copy(next, mem);
	r.size = 8192;
	assert_int_equal(vhost_memory_remove(next, &r, &error), -ENOENT);
	r.size = 4096;
	assert_int_equal(vhost_memory_remove(next, &r, &error), 0);
	assert_int_equal(vhost_memory_remove(next, &r, &error), -ENOENT);
	assert_int_equal(next->n, 1);
	first[0] = 1; /* still there: mem has it */
	vhost_memory_fini(mem);
	assert_int_equal(next->piece[0].region.gpa, 8192);
	second[0] = 1;
	assert_true(mapped("memfd:test"));
	vhost_memory_fini(next);
	assert_false(mapped("memfd:test"));
	free(next);
}

/* Memory that is cut off turns into zeros, and somebody is told. */
static void test_cut_off(void **state)
{
	int fd = file_of(MIB), other = file_of(MIB);
	volatile uint8_t *p, *q;
	uint64_t n;

	/* cmocka has its own while a test runs. */
	assert_int_equal(sigbus_init(), 0);
	assert_int_equal(add(fd, 0, MIB, 0, 0), 0);
	assert_int_equal(add(other, MIB, MIB, MIB, 0), 0);
	p = mem->piece[0].region.base;
	q = mem->piece[1].region.base;
	p[0] = q[5] = 7;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(p[0], 7); /* not all is gone */
	assert_false(hit);
	assert_int_equal(p[MIB - 1], 0);
	assert_true(hit);
	assert_int_equal(read(fault_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	p[MIB - 1] = 3; /* all of it is ours now */
	p[0] = 4;
	assert_int_equal(q[5], 7);
	close(fd);
	close(other);
}

static void test_eventfd(void **state)
{
	int pipes[2], memfd = file_of(4096);

	assert_true(vhost_is_eventfd(fault_fd));
	assert_int_equal(pipe(pipes), 0);
	assert_false(vhost_is_eventfd(pipes[1]));
	assert_false(vhost_is_eventfd(memfd));
	assert_false(vhost_is_eventfd(-1));
	close(pipes[0]);
	close(pipes[1]);
	close(memfd);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_translate),	TEST(test_not_there),
		TEST(test_search_many), TEST(test_refused),
		TEST(test_spare),	TEST(test_copy_and_remove),
		TEST(test_cut_off),	TEST(test_eventfd),
	};

	return cmocka_run_group_tests_name("vhost_memory", tests, NULL, NULL);
}
