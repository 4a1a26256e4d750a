/* SPDX-License-Identifier: BSD-2-Clause */
/* instance.h - what the firewall's files share: instance and thread. */
#ifndef NF_FIREWALL_INSTANCE_H
#define NF_FIREWALL_INSTANCE_H
#include <pthread.h>
#include <stdatomic.h>

#include "nf/firewall/firewall.h"
#include "nf/firewall/rules.h"
#include "nf/firewall/track.h"

struct fw_config {
	char *path;
	char *log;			/* a service; NULL: nobody */
	unsigned log_rate, reject_rate; /* per second and thread */
	bool stateless;
	struct fw_limits limits;
	bool answers[GLEN_NF_PORTS_MAX]; /* of ports, by number */
};

/* So many in a second. */
struct fw_rate {
	uint64_t since_ns;
	unsigned n;
};

struct fw {
	struct fw_config config;
	/* By number, those that were asked for at the start; then constant. */
	char *port[GLEN_NF_PORTS_MAX];
	pthread_mutex_t lock; /* of the rules' references */
	/* Writer: the first thread, under lock. */
	_Atomic(struct fw_rules *) current;
};

/* A thread, and the batch that it is at. */
struct fw_thread {
	struct fw *fw;
	struct fw_rules *rules; /* a reference */
	unsigned index;
	struct fw_track *track; /* NULL: stateless */
	struct classifier_key key[GLEN_NF_BATCH_MAX];
	uint32_t entry[GLEN_NF_BATCH_MAX];
	uint16_t who[GLEN_NF_BATCH_MAX];   /* of each key, the packet */
	uint16_t later[GLEN_NF_BATCH_MAX]; /* packets of no connection */
	unsigned n_later;
	struct fw_rate logged, rejected;
};

/* load.c: control. Reads the file; the old rules stay if that fails. */
int fw_load(struct glen_nf *nf, struct fw *fw, bool starting,
	    struct glen_error *error);
/* load.c: a port's number; only at the start can it be one not named before.
 * -ENOENT, or what glen_nf_port() says. */
int fw_port(struct glen_nf *nf, struct fw *fw, bool starting, const char *name);
void fw_unload(struct fw *fw);
/* load.c: this thread's rules are the current ones. */
void fw_rules_take(struct fw_thread *t);
void fw_rules_put(struct fw *fw, struct fw_rules *rules);

/* process.c */
void fw_process(struct glen_nf_thread *t, struct glen_nf_packet *p, unsigned n);

/* log.c: false: so many were taken in this second already. */
bool fw_rate_take(struct fw_rate *rate, unsigned per_second, uint64_t now_ns);
/* log.c: one line, if the rate allows. */
void fw_log(struct glen_nf_thread *t, struct fw_thread *th,
	    const struct fw_action *action, const struct glen_nf_packet *p);

/* message.c: "reload", "counters". */
void fw_message(struct glen_nf_thread *t, const char *from, const void *data,
		size_t len);

/* reject.c: turns a packet into its answer. The packet's verdict. */
uint32_t fw_reject(struct glen_nf_thread *t, struct fw_thread *th,
		   struct glen_nf_packet *p);

#endif
