// SPDX-License-Identifier: BSD-2-Clause
// instance.c - instances of an embedded group: start, threads, removal.
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/nf/group.h"

enum {
	SPARE_DEFAULT = 256,
	SPARE_MAX = 1 << 16,
	IDLE_TURNS = 1000, /* of a drain in poll mode, before it gives up */
	IDLE_NAPS = 10000, /* the same with threads, a second */
	NAP_NS = 100000,
};

/* process() of programs with a callback for one packet. */
static void one_by_one(struct glen_nf_thread *t, struct glen_nf_packet *p,
		       unsigned n)
{
	uint32_t (*packet)(struct glen_nf_thread * t,
			   struct glen_nf_packet * p) = t->nf->program->packet;

	for (unsigned i = 0; i < n; i++) {
		uint32_t verdict = packet(t, &p[i]);

		/* glen_nf_keep() has said it already. */
		if (p[i].verdict != GLEN_NF_KEPT)
			p[i].verdict = verdict;
	}
}

int runner_wake_open(struct nf_runner *r)
{
	if (r->t->wake_fd < 0)
		r->t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return r->t->wake_fd < 0 ? -errno : 0;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* Not allowed to: then wherever the kernel puts it. */
	sched_setaffinity(0, sizeof(set), &set);
}

int runner_begin(struct nf_runner *r)
{
	const struct glen_nf_program *p = r->t->nf->program;

	r->err = 0;
	if (!r->begun && p->thread_start)
		r->err = p->thread_start(r->t, &r->error);
	r->begun = !r->err;
	return r->err;
}

void runner_end(struct nf_runner *r)
{
	const struct glen_nf_program *p = r->t->nf->program;

	if (r->begun && p->thread_stop)
		p->thread_stop(r->t);
	r->begun = false;
}

static void *runner_main(void *arg)
{
	struct nf_runner *r = arg;
	int err;

	if (r->cpu >= 0)
		pin(r->cpu);
	err = runner_begin(r);
	sem_post(&r->ready);
	if (err)
		return NULL;
	while (sem_wait(&r->go) && errno == EINTR)
		;
	if (!atomic_load(&r->quit))
		nf_adopt(r->t);
	nf_thread_loop(r->t, &r->quit);
	runner_end(r);
	atomic_store(&r->ended, true);
	return NULL;
}

int runner_start(struct nf_runner *r, struct glen_error *error)
{
	struct glen_nf_group *g = r->t->nf->group;
	int err = runner_wake_open(r);

	r->cpu = g->n_cpus ? g->cpus[g->next_cpu++ % g->n_cpus] : -1;
	if (!err)
		err = -pthread_create(&r->thread, NULL, runner_main, r);
	if (err)
		return error_set(error, err, "%s: cannot start a thread: %s",
				 r->t->nf->name, error_reason(-err));
	while (sem_wait(&r->ready) && errno == EINTR)
		;
	r->has_thread = !r->err;
	if (!r->err)
		return 0;
	pthread_join(r->thread, NULL);
	return error_set(error, r->err, "%s: %s", r->t->nf->name,
			 r->error.text[0] ? r->error.text :
					    error_reason(-r->err));
}

void runner_gone(struct nf_runner *r)
{
	struct glen_nf_thread *t = r->t;

	if (r->has_thread)
		pthread_join(r->thread, NULL);
	nf_timers_free(t);
	nf_messages_free(t);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	sem_destroy(&r->ready);
	sem_destroy(&r->go);
	free(t->free_at);
	free(t);
	free(r);
}

static struct nf_runner *runner_create(struct glen_nf *nf, unsigned index,
				       const struct glen_nf_instance *c)
{
	struct nf_runner *r = calloc(1, sizeof(*r));
	struct glen_nf_thread *t = aligned_alloc(64, sizeof(*t));
	unsigned n = c->spare ? c->spare : SPARE_DEFAULT;

	if (!r || !t) {
		free(r);
		free(t);
		return NULL;
	}
	memset(t, 0, sizeof(*t));
	t->free_at = calloc(n, sizeof(*t->free_at));
	t->process = nf->program->process ?: one_by_one;
	t->region = nf->group->broker.region;
	t->nf = nf;
	t->index = index;
	t->wake_fd = t->extra_fd = -1;
	t->n_spare = n;
	r->t = t;
	r->bt.t = t;
	r->bt.n_spare = n;
	r->bt.weight = (uint16_t)(c->weight ? c->weight : 1);
	r->bt.port = -1;
	r->bt.wants = nf->wants;
	t->broker = &r->bt;
	sem_init(&r->ready, 0, 0);
	sem_init(&r->go, 0, 0);
	if (t->free_at)
		return r;
	runner_gone(r);
	return NULL;
}

/* "service.N" with the lowest N that is not in use. The lock is held. */
static void name_make(struct glen_nf *nf, const char *service)
{
	unsigned n = 0;

	for (bool taken = true; taken; n++) {
		snprintf(nf->name, sizeof(nf->name), "%.31s.%u", service, n);
		taken = false;
		for (struct glen_nf *o = nf->group->nfs; o; o = o->next)
			taken |= o != nf && !strcmp(o->name, nf->name);
	}
}

/* With the lock: the runner's thread joins the group. */
static int join(struct glen_nf_group *g, struct nf_runner *r,
		struct broker_service *service, int port)
{
	struct glen_nf_thread *t = r->t;
	struct nf_runner **at = &g->runners;
	int err;

	r->bt.service = service;
	r->bt.port = port;
	snprintf(r->bt.name, sizeof(r->bt.name), "%s", t->nf->name);
	if (t->index)
		snprintf(r->bt.name, sizeof(r->bt.name), "%s/%u", t->nf->name,
			 t->index);
	err = broker_thread_add(&g->broker, &r->bt);
	if (err)
		return err;
	t->id = r->bt.id;
	t->spare = r->bt.spare;
	for (unsigned i = 0; i < t->n_spare; i++)
		t->free_at[t->n_free++] = t->n_spare - 1 - i;
	while (*at)
		at = &(*at)->next;
	*at = r;
	return 0;
}

static int check(const struct glen_nf_program *p,
		 const struct glen_nf_instance *c, const char *service,
		 struct glen_error *error)
{
	if (p->size != sizeof(*p))
		return error_set(error, -EINVAL,
				 "%s: the program was built for another "
				 "version of glen/nf.h",
				 p->name);
	if (!p->process && !p->packet)
		return error_set(error, -EINVAL,
				 "%s has neither process() nor packet()",
				 p->name);
	if (c->threads > GLEN_NF_THREADS_MAX)
		return error_set(error, -EINVAL, "%s: %u threads; at most %d",
				 service, c->threads, GLEN_NF_THREADS_MAX);
	if (c->weight > GLEN_NF_WEIGHT_MAX)
		return error_set(error, -EINVAL,
				 "%s: a weight of %u; at most %d", service,
				 c->weight, GLEN_NF_WEIGHT_MAX);
	if (c->spare > SPARE_MAX)
		return error_set(error, -EINVAL,
				 "%s: %u spare buffers; at most %d", service,
				 c->spare, SPARE_MAX);
	return args_check(p, c->args, error);
}

static struct glen_nf *instance_make(struct glen_nf_group *g,
				     const struct glen_nf_program *p,
				     unsigned n_threads)
{
	struct glen_nf *nf = calloc(1, sizeof(*nf));

	if (!nf)
		return NULL;
	nf->program = p;
	nf->group = g;
	nf->wants = calloc(1, sizeof(*nf->wants));
	nf->runners = calloc(n_threads, sizeof(*nf->runners));
	if (nf->wants && nf->runners)
		return nf;
	free(nf->wants);
	free(nf->runners);
	free(nf);
	return NULL;
}

static void list_add(struct glen_nf *nf)
{
	struct glen_nf **at = &nf->group->nfs;

	while (*at)
		at = &(*at)->next;
	*at = nf;
}

static void list_remove(struct glen_nf *nf)
{
	struct glen_nf **at = &nf->group->nfs;

	while (*at && *at != nf)
		at = &(*at)->next;
	if (*at)
		*at = nf->next;
}

void instance_free(struct glen_nf *nf)
{
	for (unsigned i = 0; i < nf->n_threads; i++) {
		struct nf_runner *r = nf->runners[i];

		if (!r)
			continue;
		runner_end(r);
		/* It may have to wait for its pipes without us. */
		r->bt.wants = NULL;
		r->t->nf = NULL;
	}
	if (nf->program->stop && nf->started)
		nf->program->stop(nf);
	list_remove(nf);
	free(nf->wants);
	free(nf->runners);
	free(nf);
}

/* Makes the runners and begins their threads. They are not in the group yet. */
static int threads_make(struct glen_nf *nf, const struct glen_nf_instance *c,
			unsigned n, struct glen_error *error)
{
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++) {
		struct nf_runner *r = runner_create(nf, i, c);

		if (!r)
			return error_set(error, -ENOMEM, "out of memory");
		nf->runners[nf->n_threads++] = r;
		if (nf->group->started) {
			err = runner_start(r, error);
			continue;
		}
		err = runner_begin(r);
		if (err)
			error_set(error, err, "%s: %s", nf->name,
				  r->error.text[0] ? r->error.text :
						     error_reason(-err));
	}
	return err;
}

/* Of an instance that never was in the group, or not all of it. */
static void undo(struct glen_nf *nf)
{
	for (unsigned i = 0; i < nf->n_threads; i++) {
		struct nf_runner *r = nf->runners[i];

		if (r->has_thread) {
			atomic_store(&r->quit, true);
			sem_post(&r->go);
			pipe_kick(r->t->wake_fd);
			pthread_join(r->thread, NULL);
			r->has_thread = false;
		}
		runner_end(r);
		if (r->bt.spare) {
			r->bt.state = THREAD_STOPPED;
			continue;
		}
		runner_gone(r);
		nf->runners[i] = NULL;
	}
	instance_free(nf);
}

/* With the lock: all threads of an instance join the group. */
static int enter(struct glen_nf *nf, const char *service, int port)
{
	struct glen_nf_group *g = nf->group;
	struct broker_service *s = NULL;
	int number, err = 0;

	if (port < 0) {
		number = broker_service(&g->broker, service, true);
		if (number < 0)
			return number;
		s = g->broker.service[number];
	}
	for (unsigned i = 0; i < nf->n_threads && !err; i++)
		err = join(g, nf->runners[i], s, port);
	if (!err) {
		if (s)
			broker_rebalance(&g->broker, s);
		err = broker_update(&g->broker);
	}
	nf->live = !err;
	group_settle(g);
	return err;
}

static unsigned count_instances(const struct glen_nf_group *g,
				const char *service)
{
	size_t len = strlen(service);
	unsigned n = 0;

	for (const struct glen_nf *nf = g->nfs; nf; nf = nf->next)
		n += !strncmp(nf->name, service, len) && nf->name[len] == '.';
	return n;
}

static void go(struct glen_nf *nf)
{
	for (unsigned i = 0; i < nf->n_threads; i++)
		if (nf->runners[i]->has_thread)
			sem_post(&nf->runners[i]->go);
}

/* Calls start() and makes the threads; what it says if it failed. */
static int begin(struct glen_nf *nf, const struct glen_nf_instance *c,
		 struct glen_error *error)
{
	struct glen_nf_args args = { c->args };
	struct glen_error why = { 0 };
	int err = 0;

	if (nf->program->start)
		err = nf->program->start(nf, &args, &why);
	if (err)
		return error_set(error, err, "%s: %s", nf->name,
				 why.text[0] ? why.text : error_reason(-err));
	nf->started = true;
	return threads_make(nf, c, c->threads ? c->threads : 1, error);
}

int instance_add(struct glen_nf_group *g, struct glen_nf **out,
		 const struct glen_nf_program *program,
		 const struct glen_nf_instance *c, void *state, int port,
		 struct glen_error *error)
{
	const char *service = c->service ? c->service : program->name;
	struct glen_nf *nf;
	int err = check(program, c, service, error);

	if (err)
		return err;
	nf = instance_make(g, program, c->threads ? c->threads : 1);
	if (!nf)
		return error_set(error, -ENOMEM, "out of memory");
	nf->state = state;
	pthread_mutex_lock(&g->lock);
	if (count_instances(g, service) >= GLEN_NF_INSTANCES_MAX)
		err = error_set(error, -ENOSPC,
				"%s has %d instances already; more cannot be",
				service, GLEN_NF_INSTANCES_MAX);
	name_make(nf, service);
	list_add(nf);
	pthread_mutex_unlock(&g->lock);
	if (!err)
		err = begin(nf, c, error);
	pthread_mutex_lock(&g->lock);
	if (!err) {
		err = enter(nf, service, port);
		if (err)
			error_set(error, err, "%s: %s", nf->name,
				  err == -ENOSPC ? "the group has not enough "
						   "buffers or threads left" :
						   error_reason(-err));
	}
	if (err) {
		undo(nf);
		/* What it left behind goes as with any that ends. */
		if (!broker_update(&g->broker))
			group_settle(g);
	} else {
		go(nf);
		if (out)
			*out = nf;
	}
	pthread_mutex_unlock(&g->lock);
	return err;
}

int glen_nf_add(struct glen_nf_group *g, struct glen_nf **out,
		const struct glen_nf_program *program,
		const struct glen_nf_instance *instance,
		struct glen_error *error)
{
	static const struct glen_nf_instance defaults;

	return instance_add(g, out, program, instance ? instance : &defaults,
			    NULL, -1, error);
}

/* With the lock: no new packets for it. */
static void leave(struct glen_nf *nf, bool drain)
{
	struct glen_nf_group *g = nf->group;
	struct broker_service *service = NULL;

	nf->live = false;
	for (unsigned i = 0; i < nf->n_threads; i++) {
		struct nf_runner *r = nf->runners[i];

		if (!r || r->bt.state != THREAD_LIVE)
			continue;
		r->bt.state = THREAD_LEAVING;
		r->bt.drain = drain;
		service = r->bt.service;
	}
	if (service)
		broker_rebalance(&g->broker, service);
	broker_update(&g->broker);
	group_settle(g);
}

static bool has_ended(const struct glen_nf *nf)
{
	for (unsigned i = 0; i < nf->n_threads; i++)
		if (nf->runners[i] &&
		    nf->runners[i]->bt.state != THREAD_STOPPED)
			return false;
	return true;
}

/* Packets that its inputs have released, to see whether it goes on. */
static uint64_t progress(const struct glen_nf *nf)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < nf->n_threads; i++)
		if (nf->runners[i])
			n += __atomic_load_n(&nf->runners[i]->t->stats.in,
					     __ATOMIC_RELAXED);
	return n;
}

static void hurry(struct glen_nf *nf)
{
	for (unsigned i = 0; i < nf->n_threads; i++)
		if (nf->runners[i])
			nf->runners[i]->bt.drain = false;
}

/* With the lock: lets the others work for a while. */
static void wait_a_little(struct glen_nf_group *g)
{
	static const struct timespec nap = { .tv_nsec = NAP_NS };

	if (!g->started) {
		glen_nf_group_poll(g);
		group_settle(g);
		return;
	}
	pthread_mutex_unlock(&g->lock);
	nanosleep(&nap, NULL);
	pthread_mutex_lock(&g->lock);
	group_settle(g);
}

void glen_nf_remove(struct glen_nf *nf, bool drain)
{
	struct glen_nf_group *g = nf->group;
	unsigned idle = 0, most = g->started ? IDLE_NAPS : IDLE_TURNS;
	uint64_t before = 0, now;

	pthread_mutex_lock(&g->lock);
	leave(nf, drain);
	while (!has_ended(nf)) {
		wait_a_little(g);
		now = progress(nf);
		idle = now == before ? idle + 1 : 0;
		before = now;
		if (idle == most)
			hurry(nf);
	}
	instance_free(nf);
	group_settle(g);
	pthread_mutex_unlock(&g->lock);
}
