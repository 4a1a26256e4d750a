// SPDX-License-Identifier: BSD-2-Clause
// load.c - reads the firewall's rule file and hands rules to its threads.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"
#include "nf/firewall/instance.h"

struct asker {
	struct glen_nf *nf;
	struct fw *fw;
	bool starting;
};

int fw_port(struct glen_nf *nf, struct fw *fw, bool starting, const char *name)
{
	int port;

	for (port = 0; port < GLEN_NF_PORTS_MAX; port++)
		if (fw->port[port] && !strcmp(fw->port[port], name))
			return port;
	/* While threads run, asking would wait for the thread that asks. */
	if (!starting)
		return -ENOENT;
	port = glen_nf_port(nf, name);
	if (port < 0)
		return port;
	fw->port[port] = strdup(name);
	return fw->port[port] ? port : -ENOMEM;
}

static int port_number(void *arg, const char *name)
{
	const struct asker *a = arg;

	return fw_port(a->nf, a->fw, a->starting, name);
}

/* Up to size bytes; what a file says that shrinks meanwhile is less. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = read(fd, text + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		at += (size_t)n;
	}
	return (ssize_t)at;
}

static int read_file(const char *path, char **text, size_t *len,
		     struct glen_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return error_set(error, -errno, "cannot open %.200s: %s", path,
				 strerror(errno));
	err = fstat(fd, &st) ? -errno : 0;
	if (!err && (!S_ISREG(st.st_mode) || st.st_size > FW_TEXT_MAX))
		err = -EINVAL;
	if (err) {
		close(fd);
		return error_set(error, err,
				 "%.200s is no rule file: it must be a regular "
				 "file of at most %d bytes",
				 path, FW_TEXT_MAX);
	}
	*text = malloc((size_t)st.st_size + 1);
	n = *text ? read_all(fd, *text, (size_t)st.st_size) : -ENOMEM;
	close(fd);
	if (n < 0) {
		free(*text);
		return error_set(error, (int)n, "cannot read %.200s: %s", path,
				 strerror((int)-n));
	}
	*len = (size_t)n;
	return 0;
}

int fw_load(struct glen_nf *nf, struct fw *fw, bool starting,
	    struct glen_error *error)
{
	struct asker asker = { nf, fw, starting };
	struct fw_read read = {
		.file = fw->config.path,
		/* They may not be counted before start() ends. */
		.n_threads = GLEN_NF_THREADS_MAX,
		.stateless = fw->config.stateless,
		.port = port_number,
		.arg = &asker
	};
	struct fw_rules *rules, *old;
	char *text = NULL;
	int err = read_file(fw->config.path, &text, &read.len, error);

	if (err)
		return err;
	read.text = text;
	err = fw_rules_read(&rules, &read, error);
	free(text);
	if (err)
		return err;
	pthread_mutex_lock(&fw->lock);
	old = atomic_load_explicit(&fw->current, memory_order_relaxed);
	/* Release: pairs with the load in fw_process(). */
	atomic_store_explicit(&fw->current, rules, memory_order_release);
	pthread_mutex_unlock(&fw->lock);
	fw_rules_put(fw, old);
	return 0;
}

void fw_unload(struct fw *fw)
{
	fw_rules_put(fw,
		     atomic_load_explicit(&fw->current, memory_order_relaxed));
}

void fw_rules_put(struct fw *fw, struct fw_rules *rules)
{
	bool last;

	if (!rules)
		return;
	pthread_mutex_lock(&fw->lock);
	last = --rules->refs == 0;
	pthread_mutex_unlock(&fw->lock);
	if (last)
		fw_rules_free(rules);
}

void fw_rules_take(struct fw_thread *t)
{
	struct fw_rules *old = t->rules;

	pthread_mutex_lock(&t->fw->lock);
	t->rules = atomic_load_explicit(&t->fw->current, memory_order_relaxed);
	t->rules->refs++;
	pthread_mutex_unlock(&t->fw->lock);
	fw_rules_put(t->fw, old);
}
