// SPDX-License-Identifier: BSD-2-Clause
// api_undo.c - a REGISTER that fails late leaves nothing behind.
#include "nmt.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { PAGE = 4096 };

/* The descriptor is unbound, its port is gone, and it can be bound. */
static void nothing_is_left(struct nm *p)
{
	struct nmreq_vale_list list = { 0 };

	FAILS(ENXIO, ioctl(p->fd, NIOCTXSYNC, NULL));
	EQ(poll1(p->fd, POLLIN | POLLOUT, WAIT_MS), POLLERR);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p->fd, 0) == MAP_FAILED);
	FAILS(ENOENT, ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:a", &list));
	p->reg = (struct nmreq_register){ 0 };
	WORKS(bind_mode(p, "vale%:a", NR_REG_ALL_NIC, 0));
	map_port(p);
	for (int i = 0; i < 3; i++) {
		struct nm b = up("vale%:b");

		put_frame(txr(p, 0), 255, 1, 60, 77);
		txsync(p);
		rxsync(&b);
		EQ(frame_number(peek(rxr(&b, 0), NULL)), 77);
		down(&b);
	}
}

/* Memory of size bytes that ends where nothing is. */
static char *before_a_hole(size_t size)
{
	char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED);
	WORKS(munmap(at + PAGE, PAGE));
	return at + PAGE - size;
}

static struct nmreq_opt_csb csb_at(void *atok, void *ktoa)
{
	return (struct nmreq_opt_csb){
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_CSB },
		.csb_atok = (uintptr_t)atok,
		.csb_ktoa = (uintptr_t)ktoa,
	};
}

/* Arrays of three lines, where four are needed. */
POINT(undo_csb_in_a_hole)
{
	char *good = before_a_hole(4 * 64), *bad = before_a_hole(3 * 64);
	struct nm p = { 0 };

	for (int i = 0; i < 2; i++) {
		struct nmreq_opt_csb csb = csb_at(i ? good : bad,
						  i ? bad : good);

		p.reg = (struct nmreq_register){ .nr_tx_rings = 2,
						 .nr_rx_rings = 2,
						 .nr_mode = NR_REG_ALL_NIC,
						 .nr_flags = NR_EXCLUSIVE };
		FAILS(EFAULT, bind_port(&p, "vale%:a", &csb));
		EQ(csb.nro_opt.nro_status, EFAULT);
	}
	nothing_is_left(&p);
}

/* After such a failure the option works as ever. */
POINT(undo_csb_and_again)
{
	char *good = before_a_hole(4 * 64), *other = before_a_hole(4 * 64);
	char *bad = before_a_hole(3 * 64);
	struct nmreq_opt_csb csb = csb_at(good, bad);
	const struct nmreq_register reg = { .nr_tx_rings = 2,
					    .nr_rx_rings = 2,
					    .nr_mode = NR_REG_ALL_NIC,
					    .nr_flags = NR_EXCLUSIVE };
	struct nm p = { .reg = reg };

	FAILS(EFAULT, bind_port(&p, "vale%:a", &csb));
	csb = csb_at(good, other);
	p.reg = reg;
	WORKS(bind_port(&p, "vale%:a", &csb));
	EQ(csb.nro_opt.nro_status, 0);
	FAILS(EBUSY, ioctl(p.fd, NIOCTXSYNC, NULL));
}

/* Its port was there before: it stays, and so do the others that have it. */
POINT(undo_leaves_other_opens_alone)
{
	struct nm a = up_rings("vale%:a", 2, 2), b = up("vale%:b");
	struct nmreq_opt_csb csb = csb_at(before_a_hole(64), before_a_hole(64));
	struct nm p = { .reg = { .nr_mode = NR_REG_ONE_NIC,
				 .nr_flags = NR_EXCLUSIVE } };
	struct nm one = { 0 };

	down(&a);
	a = (struct nm){
		.reg = { .nr_tx_rings = 2, .nr_rx_rings = 2, .nr_ringid = 1 }
	};
	WORKS(bind_mode(&a, "vale%:a", NR_REG_ONE_NIC, 0));
	map_port(&a);
	FAILS(EFAULT, bind_port(&p, "vale%:a", &csb));
	/* The rings that it was to have are free. */
	WORKS(bind_mode(&one, "vale%:a", NR_REG_ONE_NIC, NR_EXCLUSIVE));
	put_frame(txr(&a, 1), 255, 1, 60, 5);
	txsync(&a);
	rxsync(&b);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 5);
}

/* From here on a system call fails, in this process. */
static void forbid(unsigned number, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };

	WORKS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		skip("no seccomp filters here");
}

/* The region cannot be put where the program wants it: that memory has what it
 * had, and the descriptor is free. */
POINT(undo_extmem_without_room)
{
	enum { SIZE = 32 << 20 };
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct nmreq_opt_extmem option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_EXTMEM },
		.nro_usrptr = (uintptr_t)memory,
		.nro_info = { .nr_memsize = SIZE },
	};
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC };
	struct nmreq_vale_list list = { 0 };

	CHECK(memory != MAP_FAILED);
	for (size_t at = 0; at < SIZE; at += PAGE)
		memset(memory + at, (int)(at / PAGE % 251), PAGE);
	forbid(SYS_mremap, ENOMEM);
	FAILS(ENOMEM, bind_port(&p, "vale%:a", &option));
	EQ(option.nro_opt.nro_status, ENOMEM);
	for (size_t at = 0; at < SIZE; at++)
		if ((uint8_t)memory[at] != at / PAGE % 251)
			FAIL("byte %zu is not what it was", at);
	FAILS(ENXIO, ioctl(p.fd, NIOCTXSYNC, NULL));
	FAILS(ENOENT, ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:a", &list));
	p.reg = (struct nmreq_register){ 0 };
	WORKS(bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
}

/* The program may have no more memory: there is no room for the window. */
POINT(undo_without_address_space)
{
	struct rlimit before, tight = { 64 << 20, 64 << 20 };
	struct nm p = { 0 };

	if (getenv("SANITIZED"))
		skip("a sanitizer would have no more memory, either");
	WORKS(getrlimit(RLIMIT_AS, &before));
	tight.rlim_max = before.rlim_max;
	p.fd = dev();
	WORKS(setrlimit(RLIMIT_AS, &tight));
	FAILS(ENOMEM, bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
	WORKS(setrlimit(RLIMIT_AS, &before));
	nothing_is_left(&p);
}
