// SPDX-License-Identifier: BSD-2-Clause
// lock.c - locks in shared memory, whose owner may die.
#undef _FILE_OFFSET_BITS
#include "netmap/preload/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread struct self self __attribute__((tls_model("initial-exec")));
uint32_t pid_namespace;

/* For threads whose C library has no list, or none that the kernel knows. */
static __thread struct robust_list_head own_list
	__attribute__((tls_model("initial-exec")));

static void learn_namespace(void)
{
	const char *path = "/proc/self/ns/pid";
	struct stat st;

	if (!syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0))
		__atomic_store_n(&pid_namespace, (uint32_t)st.st_ino,
				 __ATOMIC_RELAXED);
}

void self_learn(void)
{
	struct robust_list_head *head = NULL;
	size_t size;
	int saved = errno;

	if (was_forked())
		tables_forked();
	if (!__atomic_load_n(&pid_namespace, __ATOMIC_RELAXED))
		learn_namespace();
	/* A child of the system call fork() has its parent's list, which its
	 * kernel does not know. */
	if (syscall(SYS_get_robust_list, 0, &head, &size)) {
		/* It may not ask; then it cannot be told either. */
		head = &own_list;
	} else if (!head) {
		head = &own_list;
		head->list.next = &head->list;
		syscall(SYS_set_robust_list, head, sizeof(*head));
	}
	self.robust = head;
	self.tid = (uint32_t)syscall(SYS_gettid);
	errno = saved;
}

void self_forked(void)
{
	self.tid = 0;
	/* It may be in another namespace than its parent. */
	pid_namespace = 0;
}

uint32_t thread_id(void)
{
	return self_get()->tid;
}

bool thread_is_gone(uint32_t tid)
{
	char path[32], stat[512];
	int saved = errno, fd;
	const char *state;
	ssize_t n;

	if (kill((pid_t)tid, 0) < 0 && errno == ESRCH) {
		errno = saved;
		return true;
	}
	snprintf(path, sizeof(path), "/proc/%u/stat", tid);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	n = fd < 0 ? 0 : syscall(SYS_read, fd, stat, sizeof(stat) - 1);
	if (fd >= 0)
		syscall(SYS_close, fd);
	errno = saved;
	stat[n > 0 ? n : 0] = 0;
	/* Behind the name, which may have anything in it. */
	state = strrchr(stat, ')');
	return state && (state[2] == 'Z' || state[2] == 'X');
}

/* Is there nobody any more who has it? */
static bool is_lost(uint32_t owner, uint32_t owner_ns)
{
	if (owner & LOCK_OWNER_DIED)
		return true;
	/* A number of another namespace says nothing here. */
	if (!owner_ns ||
	    owner_ns != __atomic_load_n(&pid_namespace, __ATOMIC_RELAXED))
		return false;
	return owner == self.tid ? !self.inside : thread_is_gone(owner);
}

__attribute__((noinline)) bool lock_take_over(uint32_t *word, uint32_t owner,
					      uint32_t owner_ns)
{
	return is_lost(owner, owner_ns) &&
	       __atomic_compare_exchange_n(word, &owner, self.tid, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

bool lock_is_held(const uint32_t *word, const uint32_t *ns)
{
	uint32_t owner = __atomic_load_n(word, __ATOMIC_RELAXED);

	/* is_lost() needs to know who we are. */
	self_get();
	return owner && !is_lost(owner, __atomic_load_n(ns, __ATOMIC_RELAXED));
}

bool lock_is_mine(const uint32_t *word, const uint32_t *ns)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED) == self_get()->tid &&
	       __atomic_load_n(ns, __ATOMIC_RELAXED) ==
		       __atomic_load_n(&pid_namespace, __ATOMIC_RELAXED);
}
