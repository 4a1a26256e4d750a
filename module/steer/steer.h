/* SPDX-License-Identifier: BSD-2-Clause */
/* steer/steer.h - packets into chains of network functions, by rules. */
#ifndef MODULE_STEER_STEER_H
#define MODULE_STEER_STEER_H
/*
 * Theory of operation
 *
 * docs/steer.md is the user's view. A packet from outside gets the target of
 * the first rule that fits it: a chain, a service, a port, or none. A chain is
 * a list of services, a service has instances, each behind a port of the
 * switch, and one of them gets the packet, with a mark that says what was
 * decided. A packet from an instance's port has a mark that says where it goes
 * on; nobody else's marks count.
 *
 *   rules.c    texts to a classifier and a list of targets (control)
 *   ways.c     targets, chains, services and ports to a table (control)
 *   config.c   options, ports, and the module itself (control)
 *   command.c  the methods steer.* (control)
 *   lookup.c   the verdicts, on workers (hot)
 *
 * Workers see one immutable struct steer_table behind a pointer; whatever
 * changes, control makes another and defers the old one. What takes long to
 * make, the classifier, is a part that several tables share.
 *
 * Limits are the enum below, rules those of lib/classifier.h. What is at one is
 * refused when it is configured.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/module.h"
#include "core/port.h"
#include "core/rcu.h"
#include "lib/classifier.h"

enum {
	STEER_PORTS = GLEN_PORTS_MAX,
	STEER_NO_PORT = 0xffff,
	STEER_BUCKETS = 4096, /* of a service; of 65,536 hashes each has 16 */
	STEER_BUCKET_SHIFT = 4,
	STEER_CHAINS_MAX = 4096,
	STEER_CHAIN_LEN_MAX = 64,
	STEER_SERVICES_MAX = 256,
	STEER_INSTANCES_MAX = 64,
	STEER_WEIGHT_MAX = 100,
	STEER_HOPS_MAX = 64,
	STEER_OUT = 0xfffe, /* in place of a chain: the hash is a port */
};

/* Its own drop reasons, in the order of steer_drops. */
enum steer_drop {
	STEER_DEFAULT,
	STEER_RULE,
	STEER_NO_CHAIN,
	STEER_NO_INSTANCE,
	STEER_NO_EXIT,
	STEER_NO_MARK,
	STEER_BAD_INDEX,
	STEER_BAD_PORT,
	STEER_HOPS,
	STEER_DROPS,
};

enum steer_kind {
	STEER_TO_DROP,
	STEER_TO_PORT,
	STEER_TO_SERVICE,
	STEER_TO_CHAIN
};

/* What a rule or the default leads to, by name. */
struct steer_target {
	enum steer_kind kind;
	char name[PORT_NAME_SIZE];
};

/* Immutable; control counts who has it. */
struct steer_rules {
	unsigned refs;
	struct classifier *classifier;
	bool by_port;	  /* some rule names an ingress port */
	uint32_t *target; /* of each rule, an index */
	unsigned n_targets;
	struct steer_target *targets;
};

/* What a target is at the moment. */
struct steer_way {
	int service;	  /* -1: the verdict is all */
	uint32_t verdict; /* a port or a drop */
	uint64_t mark;	  /* without the hash */
};

struct steer_turn {
	_Alignas(64) uint32_t n; /* one worker's */
};

struct steer_service {
	bool round_robin;
	struct steer_turn *turn;      /* by worker; round robin */
	uint16_t port[STEER_BUCKETS]; /* STEER_NO_PORT: no instance */
};

struct steer_chain {
	unsigned n;
	uint32_t exit; /* verdict behind the last one */
	int service[STEER_CHAIN_LEN_MAX];
};

enum { STEER_THERE = 1, STEER_INSTANCE = 2 };

/* All that a worker needs. Immutable but for turns. */
struct steer_table {
	struct steer_rules *rules;
	struct steer_way other; /* the default */
	struct steer_way *way;	/* by target */
	unsigned n_services;
	struct steer_service *service;
	struct steer_chain *chain[STEER_CHAINS_MAX]; /* NULL: none */
	uint8_t role[STEER_PORTS];		     /* STEER_THERE, ... */
};

/* What the user chose; checked. Objects are own. */
struct steer_config {
	json_t *rules;	  /* an array */
	json_t *chains;	  /* {name: {"services": [..], "exit", "number"}} */
	json_t *services; /* {name: {"balance", "instances": {port: weight}}} */
	json_t *other;	  /* the default; NULL: drop */
};

struct steer {
	_Atomic(struct steer_table *) table; /* RCU; control replaces it */
	/* Control only, from here on. */
	const struct glen_module_env *env;
	struct steer_config config;
	struct steer_rules *rules;
	const char *ports[STEER_PORTS]; /* names; NULL: not there */
};

extern const struct module_builtin module_steer;
extern const struct glen_module_drop steer_drops[];

ISA_DECLARE(extern __typeof__(*(module_lookup)NULL), steer_lookup);

/* rules.c, control. ports: names by index. The caller has one reference. */
int steer_rules_read(json_t *rules, const char *const *ports,
		     struct steer_rules **out, struct glen_error *error);
void steer_rules_put(struct steer_rules *rules);
/* {"chain": NAME}, {"service": NAME}, {"port": NAME} or {"drop": true}, among
 * other members of the object. */
int steer_target_read(json_t *object, struct steer_target *target,
		      struct glen_error *error);
/* A name of a port, chain or service. */
int steer_name_check(const char *what, const char *name,
		     struct glen_error *error);

/* ways.c, control. -EINVAL, -ENOSPC: what is wrong in chains or services; gives
 * chains that have no number one. */
int steer_ways_check(struct steer_config *config, struct glen_error *error);
/* A table for what config says and the ports that there are. NULL: no memory.
 */
struct steer_table *steer_table_make(const struct steer *s,
				     struct steer_rules *rules);
void steer_table_free(void *table);

/* config.c, control: takes config over and shows workers what follows, or
 * leaves all as it was and config the caller's. rules NULL: as before. */
int steer_apply(struct steer *s, struct steer_config *config,
		struct steer_rules *rules, struct glen_error *error);
void steer_config_free(struct steer_config *config);

/* command.c, control: the methods steer.*, see docs/steer.md. */
int steer_command(void *state, const char *method, json_t *params,
		  json_t **result, struct glen_error *error);

#endif
