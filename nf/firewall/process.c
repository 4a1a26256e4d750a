// SPDX-License-Identifier: BSD-2-Clause
// process.c - a batch of packets: keys, connections, rules, verdicts.
#include "lib/classifier_find.h"
#include "lib/classifier_parse.h"
#include "nf/firewall/instance.h"
#include "nf/firewall/track.h"

enum { ETHERNET = 14 };

static void count(struct fw_thread *th, unsigned rule, unsigned len)
{
	struct fw_count *c = &th->rules->counts[th->index][rule];

	/* Others read them; only this thread writes. */
	__atomic_store_n(&c->packets, c->packets + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&c->bytes, c->bytes + len, __ATOMIC_RELAXED);
}

/* The packet met a rule, which may be one that decides nothing. */
static enum fw_verdict meet(struct glen_nf_thread *t, struct fw_thread *th,
			    struct glen_nf_packet *p, unsigned rule)
{
	const struct fw_action *a = &th->rules->action[rule];

	count(th, rule, p->len);
	if (a->log)
		fw_log(t, th, a, p);
	if (a->verdict == FW_DROP)
		p->verdict = glen_nf_drop(
			rule == th->rules->n_rules ? FW_R_POLICY : FW_R_RULE);
	else if (a->verdict == FW_REJECT)
		p->verdict = fw_reject(t, th, p);
	return a->verdict;
}

/* One pass over n keys; the keys that nothing was decided for move to the
 * front. Returns how many those are. */
static unsigned run_pass(struct glen_nf_thread *t, struct fw_thread *th,
			 const struct fw_pass *pass, struct glen_nf_packet *p,
			 unsigned n)
{
	unsigned left = 0;

	classifier_find(pass->classifier, th->key, n, th->entry);
	for (unsigned i = 0; i < n; i++) {
		uint32_t entry = th->entry[i];

		if (entry != CLASSIFIER_NONE &&
		    meet(t, th, &p[th->who[i]], pass->rule[entry]) !=
			    FW_CONTINUE)
			continue;
		if (left != i)
			th->key[left] = th->key[i];
		th->who[left++] = th->who[i];
	}
	return left;
}

/* Verdicts of the packets that th->who names, whose keys are in th->key. */
static void decide(struct glen_nf_thread *t, struct fw_thread *th,
		   struct glen_nf_packet *p, unsigned n)
{
	const struct fw_rules *r = th->rules;

	for (unsigned i = 0; n && i < r->n_passes; i++)
		n = run_pass(t, th, &r->pass[i], p, n);
	for (unsigned i = 0; i < n; i++)
		meet(t, th, &p[th->who[i]], r->n_rules);
}

static void set_state(struct classifier_key *key, enum fw_state state)
{
	key->w[CLASSIFIER_META] |= 1ULL << (CLASSIFIER_M_OWN + state);
}

/* The key of packet i joins those to be decided; its word of L4. */
static uint64_t make_key(struct fw_thread *th, const struct glen_nf_packet *p,
			 unsigned i, unsigned at)
{
	classifier_parse(p[i].data, p[i].len, p[i].len, p[i].in, &th->key[at]);
	th->who[at] = (uint16_t)i;
	return th->key[at].w[CLASSIFIER_L4];
}

/* A packet of no connection known when the batch began, behind the others. */
static void one_by_one(struct glen_nf_thread *t, struct fw_thread *th,
		       struct glen_nf_packet *p, unsigned i)
{
	uint64_t now = glen_nf_now_ns(t), l4 = make_key(th, p, i, 0);
	struct fw_seen seen;
	enum fw_state state;
	bool fresh;

	state = fw_track_look(th->track, &p[i], l4, now, &seen, &fresh);
	if (state == FW_INVALID)
		glen_nf_count(t, FW_C_INVALID, 1);
	set_state(&th->key[0], state);
	decide(t, th, p, 1);
	if (!fresh || p[i].verdict != GLEN_NF_NEXT)
		return;
	if (fw_track_make(th->track, &seen, now))
		glen_nf_count(t, FW_C_NEW, 1);
	else
		p[i].verdict = glen_nf_drop(FW_R_TABLE_FULL);
}

/* What has no state yet waits in th->later. */
static unsigned make_keys(struct glen_nf_thread *t, struct fw_thread *th,
			  struct glen_nf_packet *p, unsigned n)
{
	uint64_t now = glen_nf_now_ns(t);
	unsigned ready = 0;

	th->n_later = 0;
	for (unsigned i = 0; i < n; i++) {
		struct fw_seen seen;
		enum fw_state state;
		bool fresh;
		uint64_t l4;

		if (p[i].len < ETHERNET) {
			p[i].verdict = glen_nf_drop(FW_R_SHORT);
			continue;
		}
		l4 = make_key(th, p, i, ready);
		if (!th->track) {
			ready++;
			continue;
		}
		state = fw_track_look(th->track, &p[i], l4, now, &seen, &fresh);
		/* Of no connection: one that is to be made may be its. */
		if (fresh || state == FW_INVALID) {
			th->later[th->n_later++] = (uint16_t)i;
			continue;
		}
		set_state(&th->key[ready++], state);
	}
	return ready;
}

void fw_process(struct glen_nf_thread *t, struct glen_nf_packet *p, unsigned n)
{
	struct fw_thread *th = glen_nf_thread_state(t);
	unsigned accepted = 0;

	/* Acquire: the rules are as fw_load() made them. */
	if (th->rules !=
	    atomic_load_explicit(&th->fw->current, memory_order_acquire))
		fw_rules_take(th);
	decide(t, th, p, make_keys(t, th, p, n));
	for (unsigned i = 0; i < th->n_later; i++)
		one_by_one(t, th, p, th->later[i]);
	for (unsigned i = 0; i < n; i++)
		accepted += p[i].verdict == GLEN_NF_NEXT;
	glen_nf_count(t, FW_C_ACCEPTED, accepted);
}
