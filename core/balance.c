// SPDX-License-Identifier: BSD-2-Clause
// balance.c - spreads rings over workers by what they cost.
#include "core/balance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/engine.h"
#include "lib/error.h"

enum {
	PACKET_BYTES = 1024, /* a packet costs as much as copying these */
	REST_TICKS = 5,
	MOVES_MAX = 8, /* per tick: each is a guess that time has to prove */
	TICK_MS_MIN = 200, /* less says nothing */
};

static const float busy_min = 0.5f, gap_min = 0.2f, gain_min = 0.05f;

static uint64_t time_stamp(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

/* Pins */

static int pins_refuse(const char *text, unsigned n, struct glen_error *error)
{
	return error_set(error, -EINVAL,
			 "workers \"%.64s\" is neither auto nor a list of "
			 "workers as 0 or 0,2-3; there %s %u (0 to %u)",
			 text, n == 1 ? "is" : "are", n, n - 1);
}

/* One entry, N or N-M, at *text, which moves on. */
static bool pins_entry(struct port_pins *pins, const char **text, unsigned n)
{
	char *end;
	unsigned long from, to;

	if (**text < '0' || **text > '9')
		return false;
	from = to = strtoul(*text, &end, 10);
	if (*end == '-') {
		*text = end + 1;
		if (**text < '0' || **text > '9')
			return false;
		to = strtoul(*text, &end, 10);
	}
	*text = end;
	if (from > to || to >= n || to - from + pins->n >= PORT_RINGS_MAX)
		return false;
	for (; from <= to; from++)
		pins->worker[pins->n++] = from;
	return true;
}

int pins_parse(struct port_pins *pins, json_t *value, unsigned n_workers,
	       struct glen_error *error)
{
	unsigned n = n_workers ? n_workers : WORKERS_MAX;
	struct port_pins new = { 0 };
	const char *text = json_string_value(value), *at;
	char number[24];

	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(value));
		text = number;
	}
	if (!text)
		return error_set(error, -EINVAL,
				 "workers must be a string, auto or a list of "
				 "workers as \"0,2-3\"");
	at = text;
	while (strcmp(text, "auto")) {
		if (!pins_entry(&new, &at, n))
			return pins_refuse(text, n, error);
		if (!*at)
			break;
		if (*at++ != ',')
			return pins_refuse(text, n, error);
	}
	*pins = new;
	return 0;
}

/* Where rings are */

static struct worker *pinned_to(const struct engine *e,
				const struct ingress *in)
{
	const struct port_pins *pins = &in->port->pins;

	if (!pins->n)
		return NULL;
	return e->workers[pins->worker[in->ring % pins->n] % e->n_active];
}

static void give(struct ingress *in, struct worker *w)
{
	in->worker = w;
	in->worker_idx = w->index;
}

void balance_assign(struct engine *e, struct ingress *in)
{
	struct worker *w = pinned_to(e, in);

	give(in, w ? w : e->workers[e->next_worker++ % e->n_active]);
	in->load = 0;
	in->rest = 0;
	in->seen = (struct ring_seen){ 0 };
	if (in->counters) {
		in->seen.packets = count_read(&in->counters->packets);
		in->seen.bytes = count_read(&in->counters->bytes);
	}
}

/* To another worker; stays where it is if that has no memory for it. */
static void move(struct ingress *in, struct worker *to)
{
	struct worker *from = in->worker;

	worker_del(from, in->port, in);
	if (in->armed && in->hot->rx_disarm)
		in->hot->rx_disarm(in);
	in->armed = false;
	in->idle_since_ns = 0;
	give(in, to);
	if (!worker_add(to, in, NULL))
		return;
	give(in, from);
	while (worker_add(from, in, NULL))
		usleep(1000);
}

void balance_pinned(struct port *port)
{
	struct engine *e = port->sw->engine;

	for (unsigned i = 0; i < port->n_in; i++) {
		struct ingress *in = &port->in[i];
		struct worker *to = pinned_to(e, in);

		if (in->worker && to && to != in->worker)
			move(in, to);
	}
}

/* What a second brought */

static void sample_ring(struct ingress *in)
{
	struct ring_seen now = { count_read(&in->counters->packets),
				 count_read(&in->counters->bytes) };

	in->load = (float)(now.packets - in->seen.packets) * PACKET_BYTES +
		   (float)(now.bytes - in->seen.bytes);
	in->seen = now;
	in->rest -= in->rest > 0;
}

/* load becomes the share of a processor that each ring took. */
static void sample_worker(struct worker *w, uint64_t ns, uint64_t ticks)
{
	const struct worker_set *set = atomic_load(&w->set);
	struct worker_seen now = { count_read(&w->busy_ns),
				   count_read(&w->packets) };
	float sum = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		if (!set->ring[i])
			continue;
		sample_ring(set->ring[i]);
		sum += set->ring[i]->load;
	}
	w->busy = (float)(now.busy_ns - w->seen.busy_ns) / ns;
	w->rate = (now.packets - w->seen.packets) * 1e9f / ns;
	w->ns_per_packet = w->rate > 0 ? w->busy * 1e9f / w->rate : 0;
	w->ticks_per_ns = (float)ticks / ns;
	w->seen = now;
	for (uint32_t i = 0; i < set->n && sum > 0; i++)
		if (set->ring[i])
			set->ring[i]->load *= w->busy / sum;
}

/* The ring of from that is best moved to to; NULL: none is worth it. */
static struct ingress *choose(const struct worker *from,
			      const struct worker *to)
{
	const struct worker_set *set = atomic_load(&from->set);
	float gap = from->busy - to->busy, best = gap - 2 * gain_min;
	struct ingress *found = NULL;

	for (uint32_t i = 0; i < set->n; i++) {
		struct ingress *in = set->ring[i];
		float left;

		if (!in || in->port->pins.n || in->rest)
			continue;
		/* How far apart they would be. */
		left = gap - 2 * in->load;
		left = left < 0 ? -left : left;
		if (left < best) {
			best = left;
			found = in;
		}
	}
	return found;
}

static void spread(struct engine *e)
{
	struct worker *hi = e->workers[0], *lo = hi;
	struct ingress *in;

	for (unsigned n = 0; n < MOVES_MAX; n++) {
		for (unsigned i = 0; i < e->n_active; i++) {
			struct worker *w = e->workers[i];

			hi = w->busy > hi->busy ? w : hi;
			lo = w->busy < lo->busy ? w : lo;
		}
		if (hi->busy < busy_min || hi->busy - lo->busy < gap_min)
			return;
		in = choose(hi, lo);
		if (!in)
			return;
		move(in, lo);
		hi->busy -= in->load;
		lo->busy += in->load;
		in->rest = REST_TICKS;
		e->moves++;
	}
}

void balance_tick(struct engine *e)
{
	uint64_t now = worker_clock(), ticks = time_stamp();
	uint64_t ns = now - e->sampled_ns;
	bool first = !e->sampled_ns;

	if (!first && ns < TICK_MS_MIN * 1000000ULL)
		return;
	for (unsigned i = 0; i < e->n_active; i++)
		sample_worker(e->workers[i], ns, ticks - e->sampled_ticks);
	e->sampled_ns = now;
	e->sampled_ticks = ticks;
	e->sampled = !first;
	/* What is run by the caller of engine_poll() stays there. */
	if (!first && e->workers[0]->started)
		spread(e);
}

/* For people */

static json_t *rings_show(const struct engine *e, const struct worker *w)
{
	const struct worker_set *set = atomic_load(&w->set);
	json_t *list = json_array();

	for (uint32_t i = 0; i < set->n; i++) {
		const struct ingress *in = set->ring[i];
		char name[2 * PORT_NAME_SIZE + 1];

		if (!in)
			continue;
		snprintf(name, sizeof(name), "%s:%s", in->port->sw->name,
			 in->port->name);
		json_array_append_new(
			list, json_pack("{s:s, s:i, s:o, s:b}", "port", name,
					"ring", (int)in->ring, "load",
					e->sampled ? json_real(in->load) :
						     json_null(),
					"pinned", in->port->pins.n > 0));
	}
	return list;
}

static json_t *number(bool known, double value)
{
	return known ? json_real(value) : json_null();
}

json_t *balance_show(struct engine *e)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < e->n_active; i++) {
		const struct worker *w = e->workers[i];
		bool some = e->sampled && w->rate > 0;

		json_array_append_new(
			all,
			json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o}",
				  "worker", (int)i, "cpu", w->cpu, "busy",
				  number(e->sampled, w->busy), "packets_per_s",
				  number(e->sampled, w->rate), "ns_per_packet",
				  number(some, w->ns_per_packet),
				  "cycles_per_packet",
				  number(some && w->ticks_per_ns > 0,
					 w->ns_per_packet * w->ticks_per_ns),
				  "rings", rings_show(e, w)));
	}
	return all;
}
