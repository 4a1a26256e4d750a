// SPDX-License-Identifier: BSD-2-Clause
// netns.c - do something in another network namespace, on a thread of its own.
#include "port/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/port.h"
#include "lib/error.h"

/* A call and its result; on the caller's stack until the thread ended. */
struct call {
	const char *path;
	int fd;
	int (*function)(void *arg);
	void *arg;
	int result;
	int setns_errno; /* 0: function ran */
};

static void *call_run(void *arg)
{
	struct call *call = arg;

	if (setns(call->fd, CLONE_NEWNET))
		call->setns_errno = errno;
	else
		call->result = call->function(call->arg);
	return NULL;
}

static int open_failed(const char *path, int err, struct glen_error *error)
{
	if (err == ENOENT)
		return error_set(error, -ENOENT,
				 "there is no network namespace %s; make it "
				 "with: ip netns add NAME",
				 path);
	if (err == EACCES && !strncmp(path, "/proc/", 6))
		return error_set(error, -EACCES,
				 "glend may not open %.100s of another process;"
				 " name its namespace with: ip netns attach "
				 "NAME PID, and use netns=NAME",
				 path);
	return error_set(error, -err, "cannot open network namespace %s: %s",
			 path, strerror(err));
}

static int setns_failed(const char *path, int err, struct glen_error *error)
{
	if (err == EINVAL)
		return error_set(error, -EINVAL,
				 "%s is not a network namespace", path);
	if (err == EPERM)
		return error_set(error, -EPERM,
				 "entering network namespace %s needs "
				 "CAP_SYS_ADMIN: run glend as root",
				 path);
	return error_set(error, -err, "cannot enter network namespace %s: %s",
			 path, strerror(err));
}

int netns_call(const char *path, int (*function)(void *arg), void *arg,
	       struct glen_error *error)
{
	struct call call = { path, -1, function, arg, 0, 0 };
	pthread_t thread;
	int err;

	if (!path[0])
		return function(arg);
	call.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (call.fd < 0)
		return open_failed(path, errno, error);
	err = pthread_create(&thread, NULL, call_run, &call);
	if (err) {
		close(call.fd);
		return error_set(error, -err, "cannot start a thread: %s",
				 strerror(err));
	}
	pthread_join(thread, NULL);
	close(call.fd);
	if (call.setns_errno)
		return setns_failed(path, call.setns_errno, error);
	return call.result;
}

/* True if text is prefix, a name that is not "." or "..", and suffix. */
static bool is_name_in(const char *text, const char *prefix, const char *suffix)
{
	size_t before = strlen(prefix), len;

	if (strncmp(text, prefix, before))
		return false;
	text += before;
	len = strcspn(text, "/");
	return len && strcmp(text + len, suffix) == 0 &&
	       strspn(text, ".") < len;
}

/*
 * Only where the kernel or root puts namespaces: to open a file of a file
 * system that a user serves could take for ever, and glend waits for it.
 */
static bool is_netns_path(const char *text)
{
	return is_name_in(text, "/proc/", "/ns/net") ||
	       is_name_in(text, "/run/netns/", "") ||
	       is_name_in(text, "/var/run/netns/", "") ||
	       is_name_in(text, "/run/docker/netns/", "") ||
	       is_name_in(text, "/var/run/docker/netns/", "");
}

int netns_path(const char *text, char *path, struct glen_error *error)
{
	bool is_path = strchr(text, '/') != NULL;
	int n;

	if (!text[0] || !strcmp(text, ".") || !strcmp(text, ".."))
		return error_set(error, -EINVAL,
				 "netns must be the name of a network "
				 "namespace, not \"%s\"",
				 text);
	if (is_path && !is_netns_path(text))
		return error_set(error, -EINVAL,
				 "netns must be a name as in \"ip netns\", "
				 "/proc/PID/ns/net or /run/netns/NAME or "
				 "/run/docker/netns/NAME, not \"%.128s\"",
				 text);
	n = snprintf(path, NETNS_PATH_SIZE, "%s%s",
		     is_path ? "" : "/run/netns/", text);
	if (n >= NETNS_PATH_SIZE)
		return error_set(error, -EINVAL, "netns is too long");
	return 0;
}

int netns_read(json_t *params, struct netns *ns, struct glen_error *error)
{
	const char *text;
	struct stat st;
	int err = params_str(params, "netns", &text, error);

	if (err || !text)
		return err;
	err = netns_path(text, ns->path, error);
	if (err)
		return err;
	strncpy(ns->text, text, sizeof(ns->text) - 1);
	ns->watch = !strchr(text, '/');
	if (!stat(ns->path, &st))
		ns->ino = st.st_ino;
	return 0;
}

/* The name in /run/netns of a namespace. */
static bool named(uint64_t ino, char *text)
{
	DIR *dir = opendir("/run/netns");
	struct dirent *entry;
	struct stat st;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		found = entry->d_name[0] != '.' &&
			!fstatat(dirfd(dir), entry->d_name, &st, 0) &&
			st.st_ino == ino;
		if (found)
			snprintf(text, NETNS_PATH_SIZE, "%.255s",
				 entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

int netns_find(uint64_t ino, pid_t pid, char *text, struct glen_error *error)
{
	char name[NETNS_PATH_SIZE];
	struct stat own, st;

	text[0] = '\0';
	if (!ino || (!stat("/proc/self/ns/net", &own) && own.st_ino == ino))
		return 0;
	/* A name rather than the process, which may end before others do. */
	if (named(ino, name)) {
		strcpy(text, name);
		return 0;
	}
	snprintf(text, NETNS_PATH_SIZE, "/proc/%d/ns/net", (int)pid);
	if (!stat(text, &st) && st.st_ino == ino && !access(text, R_OK))
		return 0;
	return error_set(error, -ENOENT,
			 "glend runs in another network namespace than process "
			 "%d and cannot enter that one; a name helps: ip netns "
			 "attach NAME %d",
			 (int)pid, (int)pid);
}

bool netns_is_gone(const struct netns *ns)
{
	struct stat st;

	if (!ns->watch || !ns->ino)
		return false;
	if (stat(ns->path, &st))
		return errno == ENOENT;
	return st.st_ino != ns->ino;
}
