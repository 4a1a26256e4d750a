// SPDX-License-Identifier: BSD-2-Clause
// policer.c - packets and their buckets: pass, wait or drop.
#include "nf/policer/policer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/glen/nf_flow.h"
#include "lib/error.h"
#include "nf/policer/bucket.h"
#include "nf/policer/queue.h"

struct policer {
	struct pl_rate rate;
	bool shape, per_flow;
	unsigned flows, queue;
	uint64_t delay; /* at most, in the bucket's time */
};

struct pl_thread {
	const struct policer *policer;
	uint64_t full; /* bucket of packets without one of their own */
	struct glen_nf_flow_table *table; /* of such numbers; NULL: none */
	struct pl_queue queue;
};

static const struct glen_nf_option options[] = {
	{ "rate", "BITS", "per second and thread; k, M, G may follow" },
	{ "burst", "BYTES", "that may pass at once (15000)" },
	{ "shape", NULL, "keep what is above the rate, and send it later" },
	{ "per-flow", NULL, "the rate is that of each flow" },
	{ "flows", "NUMBER", "of a thread, with per-flow (65536)" },
	{ "queue", "PACKETS", "of a thread that wait, with shape (128)" },
	{ "delay", "MILLISECONDS", "that they wait at most (1000)" },
	{ NULL },
};

static const char *const reasons[] = { "rate", "queue_full", "too_late",
				       "table_full", NULL };
static const char *const counters[] = { "passed", "delayed", NULL };

/* A number from 1 to max, with k, M or G behind it if units. */
static int number(const struct glen_nf_args *args, const char *name,
		  uint64_t usual, uint64_t max, bool units, uint64_t *out,
		  struct glen_error *error)
{
	const char *text = glen_nf_arg(args, name, 0);
	static const char letters[] = "kMG";
	unsigned long long n;
	const char *unit;
	char *end;
	int powers;

	*out = usual;
	if (!text)
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	unit = units && *end ? strchr(letters, *end) : NULL;
	powers = unit ? (int)(unit - letters) + 1 : 0;
	for (; powers && n <= max; powers--)
		n *= 1000;
	end += unit != NULL;
	if (errno || *end || *text < '0' || *text > '9' || !n || n > max)
		return error_set(error, -EINVAL,
				 "%s: '%.60s' is no number from 1 to %llu%s",
				 name, text, (unsigned long long)max,
				 units ? " (k, M or G may follow)" : "");
	*out = n;
	return 0;
}

static int read_options(struct policer *p, const struct glen_nf_args *args,
			struct glen_error *error)
{
	uint64_t rate, burst, flows, queue, delay;
	int err;

	if (!glen_nf_arg(args, "rate", 0))
		return error_set(error, -EINVAL,
				 "rate=BITS is needed, as rate=100M");
	err = number(args, "rate", 1, 1000000000000ULL, true, &rate, error);
	err = err   ?:
		      number(args, "burst", 15000, 1 << 30, false, &burst,
			     error);
	err = err   ?:
		      number(args, "flows", 65536, GLEN_NF_FLOWS_MAX, false,
			     &flows, error);
	err = err ?: number(args, "queue", 128, 1 << 20, false, &queue, error);
	err = err ?: number(args, "delay", 1000, 3600000, false, &delay, error);
	if (err)
		return err;
	pl_rate_init(&p->rate, rate, burst);
	p->shape = glen_nf_arg(args, "shape", 0);
	p->per_flow = glen_nf_arg(args, "per-flow", 0);
	p->flows = (unsigned)flows;
	p->queue = (unsigned)queue;
	p->delay = delay * 1000000 << PL_TIME;
	return 0;
}

static int start(struct glen_nf *nf, const struct glen_nf_args *args,
		 struct glen_error *error)
{
	struct policer *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return error_set(error, -ENOMEM, "no memory for a policer");
	err = read_options(p, args, error);
	if (err)
		free(p);
	else
		glen_nf_set_state(nf, p);
	return err;
}

static void stop(struct glen_nf *nf)
{
	free(glen_nf_state(nf));
}

/* A bucket that is full is as none: a second longer than it needs. */
static int make_table(struct pl_thread *th)
{
	const struct policer *p = th->policer;
	struct glen_nf_flow_config c = {
		.max_flows = p->flows,
		.state_size = sizeof(uint64_t),
		.idle_ns = ((p->rate.burst + p->delay) >> PL_TIME) + 1000000000,
	};

	return p->per_flow ? glen_nf_flow_create(&th->table, &c) : 0;
}

static int thread_start(struct glen_nf_thread *t, struct glen_error *error)
{
	struct pl_thread *th = calloc(1, sizeof(*th));
	int err = -ENOMEM;

	if (th) {
		th->policer = glen_nf_state(glen_nf_of(t));
		err = make_table(th);
	}
	if (!err)
		err = pl_queue_init(&th->queue, th->policer->queue);
	if (err) {
		if (th)
			glen_nf_flow_destroy(th->table);
		free(th);
		return error_set(error, err,
				 "no memory for a policer's thread");
	}
	glen_nf_thread_set_state(t, th);
	return 0;
}

static void thread_stop(struct glen_nf_thread *t)
{
	struct pl_thread *th = glen_nf_thread_state(t);

	for (unsigned i = 0; i < th->queue.n; i++)
		glen_nf_free(t, &th->queue.heap[i].packet);
	pl_queue_fini(&th->queue);
	glen_nf_flow_destroy(th->table);
	free(th);
	glen_nf_thread_set_state(t, NULL);
}

/* The packet's bucket; NULL: there is no place for it. */
static uint64_t *bucket_of(struct pl_thread *th, const struct glen_nf_packet *p,
			   uint64_t now_ns)
{
	struct glen_nf_flow_key key;

	if (!th->table || !glen_nf_flow_key(p, &key))
		return &th->full;
	return glen_nf_flow_find(th->table, &key, now_ns, true, NULL, NULL);
}

/* It waits that long; its verdict. */
static uint32_t wait_for(struct glen_nf_thread *t, struct pl_thread *th,
			 struct glen_nf_packet *p, uint64_t now, uint64_t wait)
{
	struct glen_nf_packet mine;

	if (wait > th->policer->delay)
		return glen_nf_drop(PL_R_TOO_LATE);
	if (th->queue.n == th->queue.size || glen_nf_keep(t, p, &mine))
		return glen_nf_drop(PL_R_QUEUE_FULL);
	pl_queue_put(&th->queue, &mine, now + wait);
	return GLEN_NF_KEPT;
}

static uint32_t decide(struct glen_nf_thread *t, struct pl_thread *th,
		       struct glen_nf_packet *p)
{
	uint64_t now_ns = glen_nf_now_ns(t), now = now_ns << PL_TIME;
	uint64_t *full = bucket_of(th, p, now_ns), next, wait;
	bool behind = th->queue.n && th->queue.heap[0].at <= now;
	uint32_t verdict = GLEN_NF_NEXT;

	if (!full)
		return glen_nf_drop(PL_R_TABLE_FULL);
	wait = pl_wait(&th->policer->rate, *full, now, p->len, &next);
	if (wait && !th->policer->shape)
		return glen_nf_drop(PL_R_RATE);
	/* Those that could go but found their output full come first. */
	if (wait || behind)
		verdict = wait_for(t, th, p, now, wait);
	/* What is dropped took no tokens. */
	if (verdict == GLEN_NF_NEXT || verdict == GLEN_NF_KEPT)
		*full = next;
	return verdict;
}

/* Sends what may go by now. */
static void release(struct glen_nf_thread *t, struct pl_thread *th)
{
	uint64_t now = glen_nf_now_ns(t) << PL_TIME;

	while (th->queue.n && th->queue.heap[0].at <= now) {
		/* An output is full: next time. */
		if (!glen_nf_send(t, &th->queue.heap[0].packet, 1))
			return;
		pl_queue_pop(&th->queue);
		glen_nf_count(t, PL_C_DELAYED, 1);
	}
}

static void process(struct glen_nf_thread *t, struct glen_nf_packet *p,
		    unsigned n)
{
	struct pl_thread *th = glen_nf_thread_state(t);
	unsigned passed = 0;

	/* Or what has come now would overtake them. */
	release(t, th);
	for (unsigned i = 0; i < n; i++) {
		p[i].verdict = decide(t, th, &p[i]);
		passed += p[i].verdict == GLEN_NF_NEXT;
	}
	glen_nf_count(t, PL_C_PASSED, passed);
}

static bool turn(struct glen_nf_thread *t)
{
	struct pl_thread *th = glen_nf_thread_state(t);
	release(t, th);
	return th->queue.n > 0;
}

const struct glen_nf_program policer_nf = {
	.size = sizeof(policer_nf),
	.name = "policer",
	.summary = "Holds packets to a rate, by dropping or by delaying them.",
	.options = options,
	.reasons = reasons,
	.counters = counters,
	.start = start,
	.stop = stop,
	.thread_start = thread_start,
	.thread_stop = thread_stop,
	.process = process,
	.turn = turn,
};
