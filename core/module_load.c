// SPDX-License-Identifier: BSD-2-Clause
// module_load.c - modules outside the tree: from a shared object to the list.
/*
 * A module becomes part of the process, which may be root's. So before its
 * file is touched everything on the way to it, from the root directory on, must
 * be out of reach of other users: then the file that was checked is also the
 * one that dlopen() finds.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/module.h"
#include "lib/error.h"

static const char suffix[] = ".so";

/* What module_load_dir() refused; never freed, like modules. */
struct refusal {
	struct refusal *next;
	char *name; /* without suffix */
	struct glen_error why;
};

static _Atomic(struct refusal *) refusals;

/* For module_refusal(). Without memory for it the log must do. */
static void remember(const char *file, const struct glen_error *why)
{
	struct refusal *r = malloc(sizeof(*r));
	char *name = strndup(file, strlen(file) + 1 - sizeof(suffix));

	if (!r || !name) {
		free(r);
		free(name);
		return;
	}
	*r = (struct refusal){ atomic_load(&refusals), name, *why };
	while (!atomic_compare_exchange_weak(&refusals, &r->next, r))
		;
}

const char *module_refusal(const char *name)
{
	for (const struct refusal *r = atomic_load(&refusals); r; r = r->next)
		if (!strcmp(r->name, name))
			return r->why.text;
	return NULL;
}

/*
 * Nobody but root and this process's user may change what is at path. In a
 * sticky directory nobody can change what belongs to others; that is enough
 * above the directory of modules (shared), but in that one anybody could add.
 */
static int check_one(const char *path, bool shared, struct glen_error *error)
{
	struct stat st;

	if (stat(path, &st))
		return error_set(error, -errno, "cannot look at %.200s: %s",
				 path, strerror(errno));
	if (st.st_uid && st.st_uid != geteuid())
		return error_set(error, -EPERM,
				 "%.150s belongs to user %u, who could change "
				 "what is loaded from there; chown it to root",
				 path, (unsigned)st.st_uid);
	if (shared && S_ISDIR(st.st_mode) && st.st_mode & S_ISVTX)
		return 0;
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(error, -EPERM,
				 "%.150s can be written by others than its "
				 "owner, who could change what is loaded from "
				 "there; chmod go-w it",
				 path);
	return 0;
}

/* The same for a real path and every directory above it; n_own: how many names
 * at its end may not be shared. */
static int check_path(const char *real, unsigned n_own,
		      struct glen_error *error)
{
	char path[PATH_MAX];
	int err = 0;

	if (strlen(real) >= sizeof(path))
		return error_set(error, -ENAMETOOLONG, "a path is too long");
	strcpy(path, real);
	for (unsigned n = 0; !err; n++) {
		char *slash = strrchr(path, '/');

		err = check_one(*path ? path : "/", n >= n_own, error);
		if (!slash)
			break;
		*slash = '\0';
	}
	return err;
}

/* The real path of a file or directory that is safe to load from; to be freed.
 * NULL with error filled. */
static char *safe_path(const char *path, unsigned n_own,
		       struct glen_error *error)
{
	char *real = realpath(path, NULL);

	if (!real) {
		error_set(error, -errno, "cannot find %.200s: %s", path,
			  strerror(errno));
		return NULL;
	}
	if (check_path(real, n_own, error)) {
		free(real);
		return NULL;
	}
	return real;
}

/* Loads what safe_path() found; path is how it was called. */
static int load(const char *real, const char *path, struct glen_error *error)
{
	const struct glen_module *const *info;
	struct glen_error why;
	void *handle;
	int err;

	handle = dlopen(real, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return error_set(error, -ENOEXEC, "cannot load module %.250s",
				 dlerror()); /* begins with the file's name */
	info = dlsym(handle, "glen_module_info");
	if (!info || !*info) {
		err = error_set(error, -ENOEXEC,
				"%.150s is no module of glen: it has no symbol "
				"glen_module_info, which GLEN_MODULE_EXPORT() "
				"makes",
				path);
		goto err_close;
	}
	err = module_add(*info, path, &why);
	if (!err)
		return 0; /* and stays in memory until the process ends */
	error_set(error, err, "%.120s: %s", path, why.text);
err_close:
	dlclose(handle);
	return err;
}

int module_load(const char *path, struct glen_error *error)
{
	struct glen_error mine = { 0 };
	struct stat st;
	char *real;
	int err;

	if (!error)
		error = &mine;
	real = safe_path(path, 2, error);
	if (!real)
		return error->code;
	if (stat(real, &st) || !S_ISREG(st.st_mode))
		err = error_set(error, -EINVAL, "%.200s is not a file", path);
	else
		err = load(real, path, error);
	free(real);
	return err;
}

static int is_module(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len >= sizeof(suffix) &&
	       !strcmp(entry->d_name + len + 1 - sizeof(suffix), suffix);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int module_load_dir(const char *path, module_refused refused, void *arg,
		    struct glen_error *error)
{
	struct glen_error mine = { 0 };
	struct dirent **entries;
	int n, n_loaded = 0;
	char *real;

	if (!error)
		error = &mine;
	real = safe_path(path, 1, error);
	if (!real)
		return error->code;
	n = scandir(real, &entries, is_module, by_name);
	if (n < 0)
		n_loaded = error_set(error, -errno,
				     "cannot read the directory of modules "
				     "%.150s: %s",
				     path, strerror(errno));
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];
		struct glen_error why;

		snprintf(file, sizeof(file), "%s/%s", real, entries[i]->d_name);
		if (!module_load(file, &why)) {
			n_loaded++;
		} else {
			remember(entries[i]->d_name, &why);
			if (refused)
				refused(arg, &why);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	free(real);
	return n_loaded;
}
