// SPDX-License-Identifier: BSD-2-Clause
// learn/mirror.c - ports whose packets are copied to another port (SPAN).
/*
 * A port names its mirror port, which may not be there (yet, any more): each
 * time that a port comes or goes or settings change, mirror_update() looks for
 * the names and tells the switch what is different (glen_module_port_mirror(),
 * which makes the copies). A port that another one names is only for copies
 * (slot.span) unless its own setting mirror_normal says that it takes part.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/port.h"
#include "core/rcu.h"
#include "lib/error.h"
#include "module/learn/ports.h"

int mirror_read(json_t *s, struct mirror *m, struct glen_error *error)
{
	const char *what, *to;
	int err = params_str(s, "mirror", &what, error);

	*m = (struct mirror){ 0 };
	if (!err)
		err = params_str(s, "mirror_to", &to, error);
	if (!err)
		err = params_bool(s, "mirror_normal", false, &m->normal, error);
	if (err)
		return err;
	if (!to)
		return what ? error_set(error, -EINVAL,
					"mirror needs mirror_to, the name of "
					"a port") :
			      0;
	if (!*to || strlen(to) >= sizeof(m->to) || strchr(to, ':'))
		return error_set(error, -EINVAL,
				 "mirror_to: '%.40s' is not the name of a port "
				 "of the same switch, which is given without "
				 "the switch's",
				 to);
	strcpy(m->to, to);
	if (!what || !strcmp(what, "both"))
		m->what = MIRROR_IN | MIRROR_OUT;
	else if (!strcmp(what, "in"))
		m->what = MIRROR_IN;
	else if (!strcmp(what, "out"))
		m->what = MIRROR_OUT;
	else
		return error_set(error, -EINVAL,
				 "mirror '%.40s' is none of in, out, both",
				 what);
	return 0;
}

static const struct mirror *mirror_of(const struct port_slot *slot)
{
	const struct learn_port *now = slot->now;

	return slot->here && now && now->mirror.what ? &now->mirror : NULL;
}

static unsigned find(const struct learn *l, const char *name)
{
	unsigned i = 0;

	while (i < LEARN_PORTS &&
	       (!l->slots[i].here || strcmp(l->slots[i].name, name)))
		i++;
	return i;
}

/* Tells the switch what it does not know yet of one direction. */
static void tell(struct learn *l, unsigned index, unsigned direction,
		 unsigned at)
{
	uint16_t *now = &l->slots[index].mirror_at[direction];
	uint16_t want = at < LEARN_PORTS ? at + 1 : 0;

	if (*now == want)
		return;
	if (!glen_module_port_mirror(l->env, index, direction,
				     want ? glen_to_port(at) :
					    GLEN_MIRROR_NONE))
		*now = want; /* else no memory: tried again in a second */
}

static void set_span(struct learn *l, unsigned index, bool span)
{
	struct port_slot *slot = &l->slots[index];
	struct table *t = atomic_load_explicit(&l->table, memory_order_relaxed);

	if (slot->span == span)
		return;
	vlan_before(l, index);
	slot->span = span;
	ports_flags(l);
	vlan_after(l, index);
	rcu_wait();
	if (span)
		table_flush(t, index, false);
}

void mirror_update(struct learn *l)
{
	uint8_t *span;
	bool any = false;

	for (unsigned i = 0; i < LEARN_PORTS && !any; i++)
		any = mirror_of(&l->slots[i]);
	if (!any && !l->mirrors)
		return;
	span = calloc(1, LEARN_PORTS);
	l->mirrors = true;
	if (!span)
		return; /* tried again in a second */
	for (unsigned i = 0; i < LEARN_PORTS; i++) {
		struct port_slot *slot = &l->slots[i];
		const struct mirror *m = mirror_of(slot);
		unsigned at = m ? find(l, m->to) : LEARN_PORTS;
		const struct learn_port *there;

		if (!slot->here)
			continue;
		for (unsigned d = 0; d < 2; d++)
			tell(l, i, d, m && m->what >> d & 1 ? at : LEARN_PORTS);
		if (at == LEARN_PORTS)
			continue;
		there = l->slots[at].now;
		span[at] = !there || !there->mirror.normal;
	}
	for (unsigned i = 0; i < LEARN_PORTS; i++)
		set_span(l, i, span[i]);
	free(span);
	l->mirrors = any;
}
