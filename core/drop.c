// SPDX-License-Identifier: BSD-2-Clause
// drop.c - names and texts of the drop reasons.
#include "core/drop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_LEN_MAX = 31 };

/* The lock is for writers; a reason is complete before n counts it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned n_reasons = DROP_N;

static const char *names[DROP_MAX] = {
#define X(id, name, text) #name,
	DROP_REASONS(X)
#undef X
};

static const char *texts[DROP_MAX] = {
#define X(id, name, text) text,
	DROP_REASONS(X)
#undef X
};

static bool name_good(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && len <= NAME_LEN_MAX && !strncmp(name, "in_", 3) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* With the lock held, a name that is good and new. */
static int append(const char *name, const char *text)
{
	unsigned n = atomic_load_explicit(&n_reasons, memory_order_relaxed);

	if (n == DROP_MAX)
		return -ENOSPC;
	names[n] = strdup(name);
	texts[n] = strdup(text ? text : name);
	if (!names[n] || !texts[n]) {
		free((char *)(size_t)names[n]);
		names[n] = NULL;
		return -ENOMEM;
	}
	/* pairs with the load in drop_count() */
	atomic_store_explicit(&n_reasons, n + 1, memory_order_release);
	return n;
}

int drop_intern(const char *name, const char *text)
{
	int reason = -1;

	if (!name_good(name))
		return -EINVAL;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < drop_count() && reason == -1; i++)
		if (!strcmp(names[i], name))
			reason = i < DROP_N ? -EINVAL : (int)i;
	if (reason == -1)
		reason = append(name, text);
	pthread_mutex_unlock(&lock);
	return reason;
}

unsigned drop_count(void)
{
	/* pairs with the store in append() */
	return atomic_load_explicit(&n_reasons, memory_order_acquire);
}

const char *drop_name(unsigned reason)
{
	return names[reason];
}

const char *drop_text(unsigned reason)
{
	return texts[reason];
}
