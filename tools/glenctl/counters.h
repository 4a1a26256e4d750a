/* SPDX-License-Identifier: BSD-2-Clause */
/* counters.h - answers of "stats" and the rates between two of them. */
#ifndef TOOLS_GLENCTL_COUNTERS_H
#define TOOLS_GLENCTL_COUNTERS_H
#include <jansson.h>
#include <stdint.h>

/*
 * The same object as now, with every counter replaced by its increase per
 * second since before (a new object). Members of arrays are matched by their
 * "port", "switch", "worker" or "ring"; what before has not counts from zero,
 * and so does what runs backwards because it was made anew.
 */
json_t *counters_rate(const json_t *before, const json_t *now, double seconds);

/* One port's (or ring's) answer in one line of numbers. */
struct port_sum {
	const char *name; /* borrowed from the object */
	double in_packets, in_bytes, in_drops;
	double out_packets, out_bytes, out_drops;
	const char *top_reason; /* of most drops; NULL: no drops. Borrowed. */
};

void counters_sum(const json_t *port, struct port_sum *sum);

/* Member as a number, 0 if there is none. */
double counters_get(const json_t *object, const char *key);

/* Sum of the members of a "drops" object, or the number that it is. */
double counters_drops(const json_t *drops);

/* What a reason means; "" for one that this glenctl does not know. */
const char *counters_reason_text(const char *reason);

#endif
