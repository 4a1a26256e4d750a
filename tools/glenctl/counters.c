// SPDX-License-Identifier: BSD-2-Clause
// counters.c - answers of "stats" and the rates between two of them.
#include "tools/glenctl/counters.h"

#include <stdbool.h>
#include <string.h>

#include "core/drop.h"

/* Members that are numbers, but name something or are no counters. */
static bool is_constant(const char *key)
{
	static const char *const names[] = { "ring",   "worker", "cpu",
					     "now_ns", "polled", "armed" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i], key))
			return true;
	return false;
}

static bool same_name(const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "port", "switch", "worker",
					    "ring" };

	for (unsigned k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
		const json_t *name = json_object_get(a, keys[k]);

		if (name)
			return json_equal(name, json_object_get(b, keys[k]));
	}
	return false;
}

/* The element of list that has the name of element, NULL if there is none. */
static const json_t *find_twin(const json_t *list, size_t hint,
			       const json_t *element)
{
	const json_t *other = json_array_get(list, hint);
	size_t i;

	/* Mostly they come in the same order. */
	if (same_name(element, other))
		return other;
	for (i = 0; i < json_array_size(list); i++) {
		other = json_array_get(list, i);
		if (same_name(element, other))
			return other;
	}
	return NULL;
}

static json_t *rate_array(const json_t *before, const json_t *now,
			  double seconds)
{
	json_t *rates = json_array(), *element;
	size_t i;

	json_array_foreach((json_t *)now, i, element) {
		const json_t *twin = find_twin(before, i, element);

		json_array_append_new(rates,
				      counters_rate(twin, element, seconds));
	}
	return rates;
}

json_t *counters_rate(const json_t *before, const json_t *now, double seconds)
{
	json_t *rates, *value;
	const char *key;

	if (json_is_array(now))
		return rate_array(before, now, seconds);
	if (json_is_number(now)) {
		double was = json_number_value(before);
		double is = json_number_value(now);

		return json_real((is >= was ? is - was : is) / seconds);
	}
	if (!json_is_object(now))
		return json_deep_copy(now);
	rates = json_object();
	json_object_foreach((json_t *)now, key, value) {
		json_t *rate = is_constant(key) ?
				       json_incref(value) :
				       counters_rate(json_object_get(before,
								     key),
						     value, seconds);

		json_object_set_new(rates, key, rate);
	}
	return rates;
}

double counters_get(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

double counters_drops(const json_t *drops)
{
	double sum = json_number_value(drops);
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)drops, key, value)
		sum += json_number_value(value);
	return sum;
}

static void find_top_reason(const json_t *drops, double *most,
			    const char **reason)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)drops, key, value) {
		if (json_number_value(value) > *most) {
			*most = json_number_value(value);
			*reason = key;
		}
	}
}

void counters_sum(const json_t *port, struct port_sum *sum)
{
	const json_t *in = json_object_get(port, "in");
	const json_t *out = json_object_get(port, "out");
	double most = 0;

	sum->name = json_string_value(json_object_get(port, "port"));
	if (!sum->name)
		sum->name = "";
	sum->in_packets = counters_get(in, "packets");
	sum->in_bytes = counters_get(in, "bytes");
	sum->in_drops = counters_drops(json_object_get(in, "drops"));
	sum->out_packets = counters_get(out, "packets");
	sum->out_bytes = counters_get(out, "bytes");
	sum->out_drops = counters_drops(json_object_get(out, "drops"));
	sum->top_reason = NULL;
	find_top_reason(json_object_get(in, "drops"), &most, &sum->top_reason);
	find_top_reason(json_object_get(out, "drops"), &most, &sum->top_reason);
}

const char *counters_reason_text(const char *reason)
{
	for (unsigned i = 0; i < DROP_N; i++)
		if (!strcmp(drop_name(i), reason))
			return drop_text(i);
	return "";
}
