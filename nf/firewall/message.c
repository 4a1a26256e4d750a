// SPDX-License-Identifier: BSD-2-Clause
// message.c - what an instance is asked: to reload, and for its counters.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nf/firewall/instance.h"

enum { ANSWER_MAX = 60000, LINE_SIZE = 200 };

static void reload(struct glen_nf_thread *t, struct fw *fw, const char *from)
{
	struct glen_error error = { 0 };
	char answer[sizeof(error.text) + 100];
	const struct fw_rules *r;

	if (fw_load(glen_nf_of(t), fw, false, &error)) {
		glen_nf_count(t, FW_C_BAD_RELOADS, 1);
		snprintf(answer, sizeof(answer),
			 "error: %s; the rules are as they were", error.text);
	} else {
		glen_nf_count(t, FW_C_RELOADS, 1);
		r = atomic_load_explicit(&fw->current, memory_order_relaxed);
		snprintf(answer, sizeof(answer),
			 "reloaded: %u rules, %u entries, %u passes",
			 r->n_rules, r->n_entries, r->n_passes);
	}
	/* Who asked may be gone. */
	glen_nf_message(t, from, answer, strlen(answer));
}

/* The sum over all threads. */
static struct fw_count sum(const struct fw_rules *r, unsigned rule)
{
	struct fw_count all = { 0 };

	for (unsigned i = 0; i < r->n_threads; i++) {
		struct fw_count *c = &r->counts[i][rule];

		all.packets += __atomic_load_n(&c->packets, __ATOMIC_RELAXED);
		all.bytes += __atomic_load_n(&c->bytes, __ATOMIC_RELAXED);
	}
	return all;
}

/* A line per rule from number first on, as many as one message holds. */
static void counters(struct glen_nf_thread *t, const struct fw *fw,
		     const char *from, unsigned first)
{
	/* This thread alone stores another one here. */
	const struct fw_rules *r = atomic_load_explicit(&fw->current,
							memory_order_relaxed);
	char *answer = malloc(ANSWER_MAX + 2 * LINE_SIZE);
	size_t len = 0;
	unsigned i = first;

	if (!answer)
		return;
	answer[0] = '\0';
	for (; i <= r->n_rules && len < ANSWER_MAX; i++) {
		struct fw_count c = sum(r, i);

		len += (size_t)snprintf(answer + len, LINE_SIZE,
					"%u line %u packets %llu bytes %llu "
					"%s\n",
					i, r->action[i].line,
					(unsigned long long)c.packets,
					(unsigned long long)c.bytes,
					r->action[i].comment);
	}
	if (i <= r->n_rules)
		len += (size_t)snprintf(answer + len, LINE_SIZE, "more %u\n",
					i);
	glen_nf_message(t, from, answer, len);
	free(answer);
}

void fw_message(struct glen_nf_thread *t, const char *from, const void *data,
		size_t len)
{
	static const char unknown[] = "error: known are reload, counters and "
				      "counters NUMBER";
	struct fw *fw = glen_nf_state(glen_nf_of(t));
	char text[32], more;
	unsigned first = 0;

	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	memcpy(text, data, len);
	text[len] = '\0';
	if (!strcmp(text, "reload"))
		reload(t, fw, from);
	else if (!strcmp(text, "counters") ||
		 sscanf(text, "counters %9u%c", &first, &more) == 1)
		counters(t, fw, from, first);
	else
		glen_nf_message(t, from, unknown, sizeof(unknown) - 1);
}
