// SPDX-License-Identifier: BSD-2-Clause
// table.c - which descriptor numbers are netmap's, and the lock of all tables.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "netmap/preload/lock.h"

enum {
	GRAVES = 64, /* devices that stay mapped after their last close */
};

/* What getsockname() says of an H begins so, behind a zero. */
static const char h_prefix[] = "glen-netmap/";

struct obj *fd_table[FD_MAX];
bool any_objects;
static pthread_mutex_t tables = PTHREAD_MUTEX_INITIALIZER;
static struct device *devices; /* those that a number stands for */
static struct device *graves;  /* the others, the last one closed first */
static unsigned highest;
static pid_t our_pid;
uint32_t *fork_mark; /* a page that is zero in the child of any fork */
static __thread bool held __attribute__((tls_model("initial-exec")));

/*
 * A handler of the same thread must not wait for a lock that it interrupted, so
 * none runs meanwhile.
 */
void tables_lock(struct lock_state *state)
{
	uint64_t all = UINT64_MAX;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &state->signals,
		sizeof(all));
	if (was_forked())
		tables_forked();
	pthread_mutex_lock(&tables);
	race_acquire(&tables);
	held = true;
}

bool tables_held(void)
{
	return held;
}

void tables_unlock(const struct lock_state *state)
{
	held = false;
	race_release(&tables);
	pthread_mutex_unlock(&tables);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &state->signals, NULL,
		sizeof(state->signals));
}

static struct lock_state fork_state;

static void before_fork(void)
{
	struct lock_state state;

	tables_lock(&state);
	fork_state = state;
}

static void after_fork(void)
{
	struct lock_state state = fork_state;

	tables_unlock(&state);
}

/* With the lock, or nobody else to take it. */
static void forget_parent(void)
{
	__atomic_store_n(fork_mark, 1, __ATOMIC_RELAXED);
	our_pid = (pid_t)syscall(SYS_getpid);
	self_forked();
	sleeper_forked();
	kloop_forked();
}

static void in_child(void)
{
	forget_parent();
	after_fork();
}

/* A thread of the parent may have had the lock: what it was about to do is done
 * by halves at worst, and the child has what it had before. */
void tables_forked(void)
{
	tables = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	held = false;
	forget_parent();
}

static void init_once(void)
{
	static uint32_t never_zero = 1;
	void *page = (void *)syscall(SYS_mmap, NULL, 4096L,
				     PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

	fork_mark = &never_zero;
	if (page != MAP_FAILED && !madvise(page, 4096, MADV_WIPEONFORK)) {
		fork_mark = page;
		*fork_mark = 1;
	}
	our_pid = (pid_t)syscall(SYS_getpid);
	pthread_atfork(before_fork, after_fork, in_child);
}

void tables_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_once);
}

bool in_vfork_child(void)
{
	if (was_forked())
		tables_forked();
	return (pid_t)syscall(SYS_getpid) != our_pid;
}

void fd_enter(int fd, struct obj *o)
{
	struct obj *was;

	if ((unsigned)fd >= FD_MAX)
		return;
	was = fd_table[fd];
	if (was == o)
		return;
	if (o) {
		if (!any_objects) {
			__atomic_store_n(&any_objects, true, __ATOMIC_RELAXED);
			real_slow();
		}
		obj_get(o);
	}
	if ((unsigned)fd > highest)
		__atomic_store_n(&highest, (unsigned)fd, __ATOMIC_RELAXED);
	if (o)
		race_release(o);
	/* Pairs with the acquire in fd_obj(). */
	__atomic_store_n(&fd_table[fd], o, __ATOMIC_RELEASE);
	if (was)
		obj_put(was);
}

unsigned fd_highest(void)
{
	return __atomic_load_n(&highest, __ATOMIC_RELAXED);
}

/*
 * The last number went. A thread may still be inside a sync of it, so nothing
 * is unmapped here, but when as many others were closed since.
 */
static void bury(struct device *d)
{
	for (struct device **p = &devices; *p; p = &(*p)->next) {
		if (*p == d) {
			*p = d->next;
			break;
		}
	}
	d->next = graves;
	graves = d;
}

void obj_put(struct obj *o)
{
	if (--o->refs)
		return;
	if (o->type == OBJ_DEVICE)
		bury((struct device *)o);
	else
		epoll_free(o);
}

void obj_hold(struct obj *o)
{
	struct lock_state state;

	tables_lock(&state);
	obj_get(o);
	tables_unlock(&state);
}

void obj_release(struct obj *o)
{
	struct lock_state state;

	tables_lock(&state);
	obj_put(o);
	tables_unlock(&state);
}

bool region_has_device(const struct region *r)
{
	for (const struct device *d = devices; d; d = d->next)
		if (d->window && !is_dead(d) && d->window->region == r)
			return true;
	return false;
}

/* With the lock, and where memory may be given back: not in close(). */
static void clear_graves(void)
{
	struct device **p = &graves, *d;
	unsigned n = 0;

	while (*p && n++ < GRAVES)
		p = &(*p)->next;
	while ((d = *p)) {
		*p = d->next;
		if (d->window)
			window_put(d->window);
		free(d->csb);
		free(d);
	}
}

struct device *device_of_ino(uint64_t ino)
{
	struct device *d;

	for (d = devices; d; d = d->next)
		if (d->ino == ino)
			return d;
	clear_graves();
	d = aligned_alloc(64, (sizeof(*d) + 63) / 64 * 64);
	if (!d)
		return NULL;
	memset(d, 0, sizeof(*d));
	d->obj.type = OBJ_DEVICE;
	d->ino = ino;
	d->next = devices;
	devices = d;
	return d;
}

/* The number of an H's socket; 0: fd is none. */
static uint64_t h_ino(int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	struct stat st;

	/* Our own functions of these names do not tell what it is. */
	if (syscall(SYS_getsockname, fd, &addr, &len) ||
	    len < offsetof(struct sockaddr_un, sun_path) + sizeof(h_prefix) ||
	    addr.sun_family != AF_UNIX || addr.sun_path[0] ||
	    memcmp(addr.sun_path + 1, h_prefix, sizeof(h_prefix) - 1) ||
	    syscall(SYS_fstat, fd, &st))
		return 0;
	return st.st_ino;
}

struct device *device_adopt(int fd)
{
	struct lock_state state;
	struct device *d;
	int saved = errno;
	uint64_t ino;

	if ((unsigned)fd >= FD_MAX)
		return NULL;
	ino = h_ino(fd);
	errno = saved;
	if (!ino)
		return NULL;
	tables_init();
	tables_lock(&state);
	d = device_of_ino(ino);
	if (d)
		fd_enter(fd, &d->obj);
	tables_unlock(&state);
	return d;
}

static bool is_device(int fd, const struct device *d)
{
	int saved = errno;
	struct stat st;
	bool is = !syscall(SYS_fstat, fd, &st) && S_ISSOCK(st.st_mode) &&
		  st.st_ino == d->ino;

	errno = saved;
	return is;
}

/* Forgets all numbers that do not stand for what they did any more. */
static void sweep(void)
{
	struct lock_state state;

	tables_lock(&state);
	for (unsigned fd = 0; fd <= highest; fd++) {
		struct obj *o = fd_table[fd];

		if (!o || o->type != OBJ_DEVICE ||
		    is_device((int)fd, (struct device *)o))
			continue;
		epoll_closed((int)fd);
		fd_enter((int)fd, NULL);
	}
	tables_unlock(&state);
}

bool fd_is_device(int fd, const struct device *d)
{
	if (likely(is_device(fd, d)))
		return true;
	/* Where one was closed, others may have been. */
	if (!in_vfork_child())
		sweep();
	return false;
}
