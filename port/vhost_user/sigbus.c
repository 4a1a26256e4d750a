// SPDX-License-Identifier: BSD-2-Clause
// sigbus.c - replaces mappings that fault by zeros, from a signal handler.
#include "port/vhost_user/sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* start is 0 while the node is free; it is written last and cleared first. */
struct sigbus_watch {
	struct sigbus_watch *next; /* const */
	_Atomic uintptr_t start, end;
	_Atomic(_Atomic bool *) hit;
	_Atomic int fd;
};

static _Atomic(struct sigbus_watch *) watches;
static struct sigaction before;
/* Set while before runs, which may call us if it was there after us. */
static __thread bool passing __attribute__((tls_model("initial-exec")));

/*
 * The fault may come from within ThreadSanitizer's part of an atomic access,
 * with a lock of its that every instrumented access and every function it
 * intercepts takes, too: the handler has none of them.
 */
#if defined(__clang__)
#define IN_HANDLER __attribute__((disable_sanitizer_instrumentation))
#else
#define IN_HANDLER __attribute__((no_sanitize_thread))
#endif

/* The watch that covers the address; in the handler. */
static IN_HANDLER struct sigbus_watch *find(uintptr_t address)
{
	struct sigbus_watch *w = atomic_load(&watches);

	for (; w; w = w->next) {
		uintptr_t start = atomic_load(&w->start);

		if (start && address >= start &&
		    address < atomic_load(&w->end) &&
		    start == atomic_load(&w->start))
			return w;
	}
	return NULL;
}

/* What would have happened without us. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	static const struct sigaction none = { .sa_handler = SIG_DFL };

	if (passing ||
	    (!(before.sa_flags & SA_SIGINFO) &&
	     (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN))) {
		sigaction(signal, &none, NULL); /* faults again, and dies */
		return;
	}
	passing = true;
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(signal, info, context);
	else
		before.sa_handler(signal);
	passing = false;
}

static IN_HANDLER void on_sigbus(int signal, siginfo_t *info, void *context)
{
	static const uint64_t one = 1;
	int saved = errno;
	/* A SIGBUS that somebody sent has no address. */
	struct sigbus_watch *w = info->si_code > 0 ?
					 find((uintptr_t)info->si_addr) :
					 NULL;
	uintptr_t start;

	if (!w) {
		pass_on(signal, info, context);
		errno = saved;
		return;
	}
	start = atomic_load(&w->start);
	if (syscall(SYS_mmap, start, atomic_load(&w->end) - start,
		    PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		    0) == -1) {
		pass_on(signal, info, context);
		errno = saved;
		return;
	}
	atomic_store(atomic_load(&w->hit), true);
	(void)!syscall(SYS_write, atomic_load(&w->fd), &one, sizeof(one));
	errno = saved;
}

int sigbus_init(void)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
	};
	struct sigaction now;

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, NULL, &now))
		return -errno;
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_sigbus)
		return 0;
	before = now;
	if (sigaction(SIGBUS, &action, NULL))
		return -errno;
	return 0;
}

struct sigbus_watch *sigbus_add(void *start, size_t size, _Atomic bool *hit,
				int fd)
{
	struct sigbus_watch *w = atomic_load(&watches);

	while (w && atomic_load(&w->start))
		w = w->next;
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return NULL;
		w->next = atomic_load(&watches);
		atomic_store(&watches, w);
	}
	atomic_store(&w->fd, fd);
	atomic_store(&w->hit, hit);
	atomic_store(&w->end, (uintptr_t)start + size);
	atomic_store(&w->start, (uintptr_t)start);
	return w;
}

void sigbus_del(struct sigbus_watch *w)
{
	if (w)
		atomic_store(&w->start, 0);
}
