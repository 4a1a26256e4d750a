/* SPDX-License-Identifier: BSD-2-Clause */
/* netns.h - do something in another network namespace. */
#ifndef PORT_NETNS_H
#define PORT_NETNS_H
/*
 * Drivers of kernel interfaces make their descriptors in the namespace that
 * their option netns names, and leave it at once: a descriptor stays in the
 * namespace that it was made in. That happens on a short-lived thread, so no
 * thread of ours ever has to find its way back. Control thread only.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "include/glen/glen.h"

enum { NETNS_PATH_SIZE = 256 };

struct netns {
	char path[NETNS_PATH_SIZE]; /* "": where glend runs */
	char text[NETNS_PATH_SIZE]; /* as the user wrote it */
	uint64_t ino;		    /* when it was named */
	bool watch;		    /* path is a name, gone with its owner */
};

/*
 * Turns what a user writes (a name under /run/netns, or a path) into a path
 * of at most NETNS_PATH_SIZE bytes. -EINVAL with a sentence.
 */
int netns_path(const char *text, char *path, struct glen_error *error);

/* Fills ns, all zero before, from the option netns, which may be missing. */
int netns_read(json_t *params, struct netns *ns, struct glen_error *error);

/*
 * Runs function(arg) in the network namespace at path ("": right here) on a
 * thread of its own, which ends with it. Returns what function returned, or
 * -errno with error filled when the namespace cannot be entered.
 */
int netns_call(const char *path, int (*function)(void *arg), void *arg,
	       struct glen_error *error);

/*
 * Writes what option netns must say for the namespace whose inode is ino, where
 * process pid is; "" for the one that glend runs in, which 0 stands for as
 * well. text has NETNS_PATH_SIZE bytes. -ENOENT with a sentence.
 */
int netns_find(uint64_t ino, pid_t pid, char *text, struct glen_error *error);

/* The name in /run/netns is gone, or names another namespace by now. */
bool netns_is_gone(const struct netns *ns);

#endif
