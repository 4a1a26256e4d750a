// SPDX-License-Identifier: BSD-2-Clause
// ring.c - rings between workers and the threads that do file I/O.
#include "port/pcap/pcap_port.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/error.h"

int pcap_ring_init(struct pcap_ring *r)
{
	void *data;

	r->kick_fd = eventfd(0, EFD_CLOEXEC);
	if (r->kick_fd < 0)
		return -errno;
	r->descs = calloc(PCAP_DESCS, sizeof(*r->descs));
	if (!r->descs)
		goto err_fd;
	data = mmap(NULL, PCAP_DATA_SIZE + PCAP_DATA_SPARE,
		    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		goto err_descs;
	r->data = data;
	pthread_spin_init(&r->lock, PTHREAD_PROCESS_PRIVATE);
	return 0;

err_descs:
	free(r->descs);
err_fd:
	close(r->kick_fd);
	r->kick_fd = -1;
	return -ENOMEM;
}

void pcap_ring_fini(struct pcap_ring *r)
{
	pthread_spin_destroy(&r->lock);
	munmap(r->data, PCAP_DATA_SIZE + PCAP_DATA_SPARE);
	free(r->descs);
	close(r->kick_fd);
}

void pcap_ring_kick(struct pcap_ring *r)
{
	eventfd_write(r->kick_fd, 1);
}

void pcap_ring_sleep(struct pcap_ring *r, bool (*ready)(void *arg), void *arg)
{
	eventfd_t value;

	atomic_store_explicit(&r->asleep, true, memory_order_relaxed);
	/* Pairs with the fence in pcap_ring_wants_kick(). */
	shm_full_fence();
	if (!ready(arg) && !pcap_ring_stopped(r))
		eventfd_read(r->kick_fd, &value);
	atomic_store_explicit(&r->asleep, false, memory_order_relaxed);
}

int pcap_thread_start(pthread_t *thread, const char *name,
		      void *(*function)(void *arg), void *arg)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(thread, NULL, function, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_setname_np(*thread, name);
	return -err;
}

void pcap_thread_stop(struct pcap_ring *r, pthread_t thread)
{
	atomic_store(&r->stop, true);
	pcap_ring_kick(r);
	pthread_join(thread, NULL);
}

int pcap_path(const char *path, char *full, struct glen_error *error)
{
	char cwd[PATH_MAX] = "";
	int n;

	if (!path[0])
		return error_set(error, -EINVAL, "the file's name is empty");
	if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return error_set(error, -errno, "%s: give an absolute path: %s",
				 path, strerror(errno));
	n = snprintf(full, PCAP_PATH_SIZE, "%s%s%s", cwd, cwd[0] ? "/" : "",
		     path);
	if (n >= PCAP_PATH_SIZE)
		return error_set(error, -ENAMETOOLONG,
				 "the file's path is too long");
	return 0;
}
