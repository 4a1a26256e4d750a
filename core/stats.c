// SPDX-License-Identifier: BSD-2-Clause
// stats.c - add up what the workers counted.
#include <stdio.h>
#include <string.h>

#include "core/engine.h"

void counters_add(struct counters *sum, const struct counters *c)
{
	sum->packets += count_read(&c->packets);
	sum->bytes += count_read(&c->bytes);
	sum->replicated += count_read(&c->replicated);
	sum->segments += count_read(&c->segments);
	sum->exchanged += count_read(&c->exchanged);
	sum->kicks += count_read(&c->kicks);
	for (unsigned i = 0, n = drop_count(); i < n; i++)
		sum->drops[i] += count_read(&c->drops[i]);
}

void port_counters(const struct port *port, int ring, struct counters *in,
		   struct counters *out)
{
	unsigned n = port->sw->engine->n_workers + 1;

	memset(in, 0, sizeof(*in));
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < port->n_in; i++)
		for (unsigned k = 0; k < 2; k++)
			if (ring < 0 || i == ring)
				counters_add(in, &port->in[i].counters[k]);
	for (int i = 0; i < port->n_out; i++)
		for (unsigned w = 0; w < n; w++)
			if (ring < 0 || i == ring)
				counters_add(out, &port->out[i].counters[w]);
}

static json_t *drops_show(const struct counters *c)
{
	json_t *o = json_object();

	for (unsigned i = 0, n = drop_count(); i < n; i++)
		if (c->drops[i])
			json_object_set_new(o, drop_name(i),
					    json_integer(c->drops[i]));
	return o;
}

static void sides_show(json_t *o, const struct counters *in,
		       const struct counters *out)
{
	json_object_set_new(o, "in",
			    json_pack("{s:I, s:I, s:I, s:I, s:o}", "packets",
				      (json_int_t)in->packets, "bytes",
				      (json_int_t)in->bytes, "replicated",
				      (json_int_t)in->replicated, "kicks",
				      (json_int_t)in->kicks, "drops",
				      drops_show(in)));
	json_object_set_new(o, "out",
			    json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}",
				      "packets", (json_int_t)out->packets,
				      "bytes", (json_int_t)out->bytes,
				      "segments", (json_int_t)out->segments,
				      "exchanged", (json_int_t)out->exchanged,
				      "kicks", (json_int_t)out->kicks, "drops",
				      drops_show(out)));
}

json_t *port_stats(const struct port *port, bool per_ring)
{
	char name[2 * PORT_NAME_SIZE + 1];
	int n = port->n_in > port->n_out ? port->n_in : port->n_out;
	json_t *o = json_object();
	struct counters in, out;

	snprintf(name, sizeof(name), "%s:%s", port->sw->name, port->name);
	json_object_set_new(o, "port", json_string(name));
	port_counters(port, -1, &in, &out);
	sides_show(o, &in, &out);
	if (!per_ring)
		return o;

	json_t *rings = json_array();

	for (int r = 0; r < n; r++) {
		json_t *ring = json_pack("{s:i}", "ring", r);

		port_counters(port, r, &in, &out);
		sides_show(ring, &in, &out);
		json_array_append_new(rings, ring);
	}
	json_object_set_new(o, "rings", rings);
	return o;
}
