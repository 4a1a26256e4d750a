/* SPDX-License-Identifier: BSD-2-Clause */
/* priv.h - gives up what glend does not need, raises what it does. */
#ifndef CTL_PRIV_H
#define CTL_PRIV_H
/*
 * glend starts as any user. Of root's privileges (or those that systemd hands
 * it) it keeps CAP_NET_ADMIN, for TAPs and the interfaces of the host,
 * CAP_NET_RAW and CAP_BPF, to take packets from the latter, CAP_IPC_LOCK, for
 * the memory that these are in, and CAP_SYS_ADMIN,
 * which setns() asks for to reach an interface in a named network namespace;
 * --no-netns gives that up too. Ports of other kinds need nothing.
 *
 * Three more locks: not dumpable (no core dumps, no ptrace or /proc/PID/mem by
 * other processes of the user, since the tokens of ports lie in memory),
 * no_new_privs, and a seccomp filter that lets through what glend, its drivers
 * and the C library use, and answers ENOSYS to the rest: no execve, no
 * ptrace, no mount, no sockets of other families, no memory that is executable.
 *
 * All of it is inherited by threads that are started later: call these before
 * any.
 */
#include <jansson.h>
#include <stdbool.h>

#include "include/glen/glen.h"

/* Raises RLIMIT_NOFILE and RLIMIT_MEMLOCK as far as they go. Returns the first
 * limit. */
unsigned long priv_limits(void);

/* Drops capabilities; not dumpable, no_new_privs. netns: keep CAP_SYS_ADMIN. */
int priv_drop(bool netns, struct glen_error *error);

/* The seccomp filter. From now on no code can be loaded: modules in shared
 * objects must be there. */
int priv_filter(struct glen_error *error);

/* In a guard process (port/guard.h): all but CAP_NET_ADMIN, and nearly every
 * system call, is given up. 0 or -errno. */
int priv_guard(void);

/* True with CAP_NET_ADMIN, without which there is nothing to guard. */
bool priv_may_change_interfaces(void);

/* The capabilities that are left, as names in lower case; a new array. */
json_t *priv_show(void);

#endif
