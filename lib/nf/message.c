// SPDX-License-Identifier: BSD-2-Clause
// message.c - messages between the instances of a group.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nf/group.h"

enum {
	MESSAGE_MAX = 65536,
	MESSAGES_MAX = 256, /* that wait for one instance */
};

/*
 * Any thread: a stack that the receiver takes as a whole and turns round. Under
 * the group's lock, so that the receiver cannot end meanwhile.
 */
void nf_message_push(struct glen_nf_thread *t, struct nf_message *m)
{
	m->next = atomic_load_explicit(&t->messages, memory_order_relaxed);
	/* Release: the receiver sees what the message says. */
	while (!atomic_compare_exchange_weak_explicit(&t->messages, &m->next, m,
						      memory_order_release,
						      memory_order_relaxed))
		;
	if (t->wake_fd >= 0)
		pipe_kick(t->wake_fd);
}

/* All messages, oldest first. */
static struct nf_message *take(struct glen_nf_thread *t)
{
	struct nf_message *m = atomic_exchange_explicit(&t->messages, NULL,
							memory_order_acquire);
	struct nf_message *first = NULL;
	unsigned n = 0;

	for (; m; n++) {
		struct nf_message *next = m->next;

		m->next = first;
		first = m;
		m = next;
	}
	atomic_fetch_sub(&t->n_messages, n);
	return first;
}

void nf_messages_run(struct glen_nf_thread *t)
{
	struct nf_message *m = take(t), *next;

	for (; m; m = next) {
		next = m->next;
		if (t->nf->program->message)
			t->nf->program->message(t, m->from, m->data, m->len);
		free(m);
	}
}

void nf_messages_free(struct glen_nf_thread *t)
{
	struct nf_message *m = take(t), *next;

	for (; m; m = next) {
		next = m->next;
		free(m);
	}
}

static bool is_for(const struct glen_nf *nf, const char *to)
{
	size_t n = strlen(to);

	if (!nf->live || !nf->runners[0])
		return false;
	return !strcmp(nf->name, to) ||
	       (!strncmp(nf->name, to, n) && nf->name[n] == '.');
}

static int send(struct glen_nf *to, const char *from, const void *data,
		size_t len)
{
	struct glen_nf_thread *t = to->runners[0]->t;
	struct nf_message *m;

	if (atomic_load(&t->n_messages) >= MESSAGES_MAX)
		return -EAGAIN;
	m = malloc(sizeof(*m) + len);
	if (!m)
		return -EAGAIN;
	snprintf(m->from, sizeof(m->from), "%s", from);
	m->len = len;
	memcpy(m->data, data, len);
	atomic_fetch_add(&t->n_messages, 1);
	nf_message_push(t, m);
	return 0;
}

int glen_nf_message(struct glen_nf_thread *t, const char *to, const void *data,
		    size_t len)
{
	struct glen_nf_group *g = t->nf->group;
	int err = -ENOENT;

	if (len > MESSAGE_MAX)
		return -EMSGSIZE;
	/* Must not wait for whoever changes the group at the moment. */
	if (pthread_mutex_trylock(&g->lock))
		return -EAGAIN;
	for (struct glen_nf *nf = g->nfs; nf; nf = nf->next) {
		if (!is_for(nf, to))
			continue;
		err = send(nf, t->nf->name, data, len);
		if (err)
			break;
	}
	pthread_mutex_unlock(&g->lock);
	return err;
}
