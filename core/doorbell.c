// SPDX-License-Identifier: BSD-2-Clause
// doorbell.c - signal an eventfd of a peer's without ever waiting for it.
#include "core/doorbell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/engine.h"
#include "lib/error.h"

enum { REQUESTS = 4 }; /* at a time there is one */

/* The head of the page that the kernel maps at the context's address. */
struct completions {
	uint32_t id, nr;
	_Atomic uint32_t head; /* ours */
	_Atomic uint32_t tail; /* the kernel's */
};

static int doorbell_init(struct doorbell *d, int null_fd)
{
	d->null_fd = null_fd;
	if (d->context)
		return 0;
	return syscall(SYS_io_setup, REQUESTS, &d->context) ? -errno : 0;
}

void doorbell_fini(struct doorbell *d)
{
	if (d->context)
		syscall(SYS_io_destroy, d->context);
	d->context = 0;
}

int engine_doorbells(struct engine *e, struct glen_error *error)
{
	int err = 0;

	if (e->null_fd < 0)
		e->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (e->null_fd < 0)
		return error_set(error, -errno, "cannot open /dev/null: %s",
				 strerror(errno));
	for (unsigned i = 0; i <= e->n_workers && !err; i++)
		err = doorbell_init(&e->workers[i]->doorbell, e->null_fd);
	if (err == -EAGAIN)
		return error_set(error, err,
				 "the kernel's limit for asynchronous I/O is "
				 "used up: raise it with sysctl fs.aio-max-nr");
	if (err == -ENOSYS)
		return error_set(error, err,
				 "this kernel has no asynchronous I/O "
				 "(CONFIG_AIO), which is needed to wake guests "
				 "without waiting for them");
	if (err)
		return error_set(error, err,
				 "cannot set up asynchronous I/O: %s",
				 strerror(-err));
	return 0;
}

bool doorbell_ring(struct doorbell *d, int fd)
{
	struct completions *done = (struct completions *)d->context;
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_PWRITE,
		.aio_fildes = d->null_fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = fd,
	};
	struct iocb *list[] = { &request };

	if (!done || syscall(SYS_io_submit, d->context, 1, list) != 1)
		return false;
	/* It is complete already; make room for the next one's completion. */
	atomic_store_explicit(&done->head,
			      atomic_load_explicit(&done->tail,
						   memory_order_acquire),
			      memory_order_release);
	return true;
}
