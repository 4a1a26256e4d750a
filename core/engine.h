/* SPDX-License-Identifier: BSD-2-Clause */
/* engine.h - the engine's inside, shared by the control files of core/. */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H
#include "core/switch.h"
#include "core/worker.h"

struct engine {
	struct engine_config config;
	unsigned n_workers;
	unsigned n_active; /* the first so many run and get rings */
	/* n_workers of them, and one more that the control thread runs to
	 * drain ports; its index is n_workers. */
	struct worker *workers[WORKERS_MAX + 1];
	struct vswitch *switches;
	struct region *regions;
	unsigned n_switches;
	unsigned next_worker; /* of the next ring */
	/* balance.c's: when it looked last, and whether twice already. */
	uint64_t sampled_ns, sampled_ticks;
	bool sampled;
	uint64_t moves; /* rings that it took to another worker */
	int null_fd;	/* for doorbells; -1: not yet open */
};

/* snapshot.c: builds, publishes and waits; -ENOMEM leaves the old one. */
int snapshot_update(struct vswitch *sw, struct glen_error *error);
/* For removals, which cannot fail: waits for memory. */
void snapshot_update_or_wait(struct vswitch *sw);
void snapshot_free(struct switch_snap *snap);

/* Adds what a port counted to its switch's sums. */
void counters_add(struct counters *sum, const struct counters *c);

#endif
