// SPDX-License-Identifier: BSD-2-Clause
// priv.c - gives up what glend does not need, raises what it does.
#include "ctl/priv.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/error.h"

enum { FILES_WANTED = 1 << 19, MEMORY_KEPT = 1 << 20 };

/*
 * Sanitizers make system calls of their own, and look for leaks with ptrace,
 * which needs a dumpable process.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
static const bool sanitized = true;
#else
static const bool sanitized;
#endif
#else
static const bool sanitized;
#endif

/* What every part of glend may do. Grouped by who needs it. */
/* clang-format off */
static const char *const allowed[] = {
	/* files: configuration, state, pcap, /proc/self/fd, /dev/net/tun */
	"access", "close", "close_range", "dup", "dup2", "dup3", "faccessat",
	"faccessat2", "fadvise64", "fallocate", "fcntl", "fdatasync", "flock",
	"fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64",
	"ioctl", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open",
	"openat", "pread64", "preadv", "pwrite64", "pwritev", "read",
	"readlink", "readlinkat", "readv", "rename", "renameat", "renameat2",
	"splice", "stat", "statfs", "statx", "unlink", "unlinkat", "vmsplice",
	"write", "writev",
	/* signals to guests, see core/doorbell.h */
	"io_destroy", "io_setup", "io_submit",
	/* memory */
	"brk", "madvise", "memfd_create", "mincore", "mlock", "mremap",
	"msync", "munlock", "munmap",
	/* waiting */
	"clock_getres", "clock_gettime", "clock_nanosleep", "epoll_create1",
	"epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2",
	"futex", "gettimeofday", "nanosleep", "pipe2", "poll", "ppoll",
	"restart_syscall", "signalfd4", "time", "timerfd_create",
	"timerfd_gettime", "timerfd_settime",
	/* sockets; socket() itself only for some families, see below */
	"accept4", "bind", "connect", "getpeername", "getsockname",
	"getsockopt", "listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg",
	"sendmsg", "sendto", "setsockopt", "shutdown",
	/* threads and signals */
	"clone", "clone3", "exit", "exit_group", "get_robust_list", "getpid",
	"gettid", "kill", "membarrier", "rseq", "rt_sigaction",
	"rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait",
	"sched_get_priority_max", "sched_get_priority_min",
	"sched_getaffinity", "sched_getparam", "sched_getscheduler",
	"sched_setaffinity", "sched_setscheduler", "sched_yield",
	"set_robust_list", "set_tid_address", "sigaltstack", "tgkill",
	/* what libraries ask about the process and the machine */
	"arch_prctl", "capget", "getcpu", "getegid", "geteuid", "getgid",
	"getppid", "getrandom", "getresgid", "getresuid", "getrlimit",
	"getrusage", "getuid", "prctl", "prlimit64", "sched_getattr",
	"sysinfo", "times", "umask", "uname",
	/* an interface in a named namespace */
	"setns", "unshare",
	/* programs on interfaces of the host */
	"bpf",
	/* for socket files and pcap files */
	"chmod", "fchmod", "fchmodat", "fchown",
	/* a guard process that is started later, see port/guard.h */
	"capset", "chdir", "seccomp", "setsid",
};
/* clang-format on */

static const int families[] = { AF_UNIX,  AF_NETLINK, AF_INET,
				AF_INET6, AF_PACKET,  AF_XDP };

/* What glend keeps of what it has. */
static const struct {
	unsigned capability;
	const char *name;
} kept[] = {
	{ CAP_NET_ADMIN, "net_admin" },
	{ CAP_NET_RAW, "net_raw" },
	{ CAP_BPF, "bpf" },
	{ CAP_IPC_LOCK, "ipc_lock" },
	{ CAP_SYS_ADMIN, "sys_admin" },
};
enum { N_KEPT = sizeof(kept) / sizeof(*kept) };

unsigned long priv_limits(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit limit, more;

	/* For memory that AF_XDP sockets share with the kernel. */
	setrlimit(RLIMIT_MEMLOCK, &none);
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	more = limit;
	if (more.rlim_max < FILES_WANTED)
		more.rlim_max = FILES_WANTED;
	more.rlim_cur = more.rlim_max;
	/* Only with CAP_SYS_RESOURCE; else what there is. */
	if (!setrlimit(RLIMIT_NOFILE, &more))
		return more.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

static int drop_capabilities(bool netns, struct glen_error *error)
{
	bool have[N_KEPT], bounds;
	int err;

	if (capng_get_caps_process())
		return error_set(error, -EINVAL,
				 "cannot read the capabilities of this "
				 "process");
	for (int i = 0; i < N_KEPT; i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED,
						kept[i].capability);
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	for (int i = 0; i < N_KEPT; i++)
		if (have[i] && (netns || kept[i].capability != CAP_SYS_ADMIN))
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				     kept[i].capability);
	/* The bounding set only matters to execve(), which is locked anyway. */
	err = bounds ? capng_apply(CAPNG_SELECT_BOUNDS) : 0;
	err = err ?: capng_apply(CAPNG_SELECT_CAPS);
	if (err)
		return error_set(error, -EPERM,
				 "cannot drop capabilities (libcap-ng error "
				 "%d)",
				 err);
	return 0;
}

/* Calls whose arguments decide. */
static int add_conditions(scmp_filter_ctx ctx)
{
	static const char *const maps[] = { "mmap", "mprotect" };
	int err = 0;

	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		err = err   ?:
			      seccomp_rule_add(ctx, SCMP_ACT_ALLOW,
					       SCMP_SYS(socket), 1,
					       SCMP_A0(SCMP_CMP_EQ,
						       families[i]));
	err = err   ?:
		      seccomp_rule_add(ctx, SCMP_ACT_ALLOW,
				       SCMP_SYS(socketpair), 1,
				       SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	for (int i = 0; i < 2; i++)
		err = err   ?:
			      seccomp_rule_add(ctx, SCMP_ACT_ALLOW,
					       seccomp_syscall_resolve_name(
						       maps[i]),
					       1,
					       SCMP_A2(SCMP_CMP_MASKED_EQ,
						       PROT_EXEC, 0));
	return err;
}

static int set_filter(struct glen_error *error)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int err = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < sizeof(allowed) / sizeof(*allowed);
	     i++) {
		int call = seccomp_syscall_resolve_name(allowed[i]);

		/* Not every machine has every one. */
		if (call < 0)
			continue;
		err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0);
	}
	if (!err)
		err = add_conditions(ctx);
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	if (err)
		return error_set(error, err,
				 "cannot load the seccomp filter: %s; "
				 "--no-seccomp goes without",
				 strerror(-err));
	return 0;
}

int priv_drop(bool netns, struct glen_error *error)
{
	if ((!sanitized && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_set(error, -errno, "prctl: %s", strerror(errno));
	return drop_capabilities(netns, error);
}

int priv_filter(struct glen_error *error)
{
	return sanitized ? 0 : set_filter(error);
}

static int set_guard_filter(void)
{
	static const char *const calls[] = {
		"clone",	  "clone3",
		"close",	  "dup3",
		"exit",		  "exit_group",
		"fcntl",	  "fork",
		"getpid",	  "gettid",
		"ioctl",	  "poll",
		"ppoll",	  "recvfrom",
		"recvmsg",	  "restart_syscall",
		"rseq",		  "rt_sigaction",
		"rt_sigreturn",	  "sendmsg",
		"sendto",	  "set_robust_list",
		"rt_sigprocmask", "futex",
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int err = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < sizeof(calls) / sizeof(*calls); i++) {
		int call = seccomp_syscall_resolve_name(calls[i]);

		if (call >= 0)
			err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0);
	}
	err = err   ?:
		      seccomp_rule_add(ctx, SCMP_ACT_ALLOW,
				       SCMP_SYS(socketpair), 1,
				       SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	err = err ?: seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}

static bool holds(const char *from, const char *to, const void *address)
{
	return (const char *)address >= from && (const char *)address < to;
}

/*
 * A guard that was started while glend had ports: what it shares with them, or
 * has a copy of, is not to stay because of it. Small memory stays, and what
 * this code needs: its stack, its variables and those of its thread.
 */
static int memory_give_up(void)
{
	static bool variable;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], *from, *to, shared;
	int name;

	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%p-%p %*3c%c %*s %*s %*s %n", (void **)&from,
			   (void **)&to, &shared, &name) != 3)
			continue;
		if (shared != 's' &&
		    (line[name] || to - from < MEMORY_KEPT ||
		     holds(from, to, line) || holds(from, to, &variable) ||
		     holds(from, to, &errno)))
			continue;
		munmap(from, to - from);
	}
	fclose(maps);
	return 0;
}

int priv_guard(void)
{
	int err = sanitized ? 0 : memory_give_up();
	bool bounds;

	if (err)
		return err;
	if ((!sanitized && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (capng_get_caps_process())
		return -EINVAL;
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
		     CAP_NET_ADMIN);
	if ((bounds && capng_apply(CAPNG_SELECT_BOUNDS)) ||
	    capng_apply(CAPNG_SELECT_CAPS))
		return -EPERM;
	return sanitized ? 0 : set_guard_filter();
}

bool priv_may_change_interfaces(void)
{
	return !capng_get_caps_process() &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN);
}

json_t *priv_show(void)
{
	json_t *list = json_array();

	if (capng_get_caps_process())
		return list;
	for (int i = 0; i < N_KEPT; i++)
		if (capng_have_capability(CAPNG_EFFECTIVE, kept[i].capability))
			json_array_append_new(list, json_string(kept[i].name));
	return list;
}
