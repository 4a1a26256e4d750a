// SPDX-License-Identifier: BSD-2-Clause
// group.c - a group inside this process: memory, chains, polling, threads.
#include "lib/nf/group.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	BUFS_DEFAULT = 262144,
	BUFS_MAX = 1 << 24,
	BUF_DEFAULT = 2048,
	BUF_MIN = 256,
	BUF_MAX = 65535,
	SLOTS_DEFAULT = 1024,
	LINE = 64,
	PAGE = 4096,
	/*
	 * Windows begin this much further in their pages, one after the other,
	 * so that slots at the same place of an input and an output do not have
	 * the same low 12 bits: a processor takes a load for dependent on an
	 * earlier store if those are the same.
	 */
	COLOUR = 21 * LINE,
	STEPS = 64,	    /* of the broker in one control call */
	STEPPER_NS = 50000, /* between steps of what is pending */
	MPOL_PREFERRED_MODE = 1,
};

/* A window begins with its offset in its mapping. */
static struct pipe_window *pipe_memory(void *arg, size_t size, void **memory)
{
	struct glen_nf_group *g = arg;
	size_t offset = (size_t)g->n_windows++ * COLOUR % PAGE;
	char *p = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	*memory = p;
	return (struct pipe_window *)(p + offset);
}

static void pipe_memory_free(void *arg, struct pipe_window *w, size_t size,
			     void *memory)
{
	munmap(memory, size + PAGE);
}

static struct nf_runner *runner_of(struct broker_thread *t)
{
	return (struct nf_runner *)((char *)t - offsetof(struct nf_runner, bt));
}

static void published(void *arg, struct broker_thread *t)
{
	struct glen_nf_group *g = arg;

	if (g->started)
		pipe_kick(t->t->wake_fd);
	else if (!g->polling)
		nf_adopt(t->t);
}

static bool stop(void *arg, struct broker_thread *t)
{
	struct nf_runner *r = runner_of(t);

	if (!r->has_thread) {
		runner_end(r);
		return true;
	}
	atomic_store(&r->quit, true);
	pipe_kick(t->t->wake_fd);
	return atomic_load(&r->ended);
}

static void gone(void *arg, struct broker_thread *t)
{
	struct glen_nf_group *g = arg;
	struct nf_runner **at = &g->runners, *r = runner_of(t);

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->t->nf)
		r->t->nf->runners[r->t->index] = NULL;
	runner_gone(r);
}

static const struct broker_ops ops = {
	.pipe_memory = pipe_memory,
	.pipe_free = pipe_memory_free,
	.published = published,
	.stop = stop,
	.gone = gone,
};

/* Where the kernel shall take the region's pages from, from 1 on. */
static int place(void *base, size_t size, int node, struct glen_error *error)
{
	unsigned long mask[16] = { 0 };
	unsigned bits = 8 * sizeof(mask), at = (unsigned)node - 1;

	if (!node)
		return 0;
	if (node < 0 || at >= bits - 1)
		return error_set(error, -EINVAL, "there is no NUMA node %d",
				 node - 1);
	mask[at / (8 * sizeof(*mask))] = 1UL << at % (8 * sizeof(*mask));
	/* A kernel without NUMA has one node. */
	if (!syscall(SYS_mbind, base, size, MPOL_PREFERRED_MODE, mask,
		     (unsigned long)bits, 0) ||
	    (errno == ENOSYS && at == 0))
		return 0;
	return error_set(error, -EINVAL,
			 "cannot place memory on NUMA node %d: %s", node - 1,
			 strerror(errno));
}

/* The smallest odd number of lines: packets begin in all sets of a cache. */
static uint32_t stride_of(unsigned buf_size)
{
	uint32_t lines = (buf_size + LINE - 1) / LINE;

	return (lines | 1) * LINE;
}

static int region_make(struct glen_nf_group *g, struct nf_region *r,
		       const struct glen_nf_group_config *c,
		       struct glen_error *error)
{
	r->n = c->bufs ? c->bufs : BUFS_DEFAULT;
	r->size = c->buf_size ? c->buf_size : BUF_DEFAULT;
	if (r->n > BUFS_MAX)
		return error_set(error, -EINVAL,
				 "%u buffers: a group has at most %u", r->n,
				 BUFS_MAX);
	if (r->size < BUF_MIN || r->size > BUF_MAX)
		return error_set(error, -EINVAL,
				 "buffers of %u bytes: must be %u to %u",
				 r->size, BUF_MIN, BUF_MAX);
	r->stride = stride_of(r->size);
	g->region_size = (size_t)r->n * r->stride;
	r->bufs = mmap(NULL, g->region_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->bufs == MAP_FAILED) {
		r->bufs = NULL;
		return error_set(error, -ENOMEM,
				 "no address space for %u buffers", r->n);
	}
	/* Only a hint: fewer entries of the TLB for the same packets. */
	madvise(r->bufs, g->region_size, MADV_HUGEPAGE);
	return place(r->bufs, g->region_size, c->numa_node, error);
}

/* Recursive: an NF that ends may call control functions. */
static void lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int glen_nf_group_create(struct glen_nf_group **group,
			 const struct glen_nf_group_config *config,
			 struct glen_error *error)
{
	static const struct glen_nf_group_config defaults;
	struct glen_nf_group *g = aligned_alloc(LINE, sizeof(*g));
	struct nf_region region = { 0 };
	unsigned slots;
	int err;

	if (!g)
		return error_set(error, -ENOMEM, "out of memory");
	memset(g, 0, sizeof(*g));
	config = config ? config : &defaults;
	slots = config->pipe_slots ? config->pipe_slots : SLOTS_DEFAULT;
	if (slots < PIPE_SLOTS_MIN || slots > PIPE_SLOTS_MAX ||
	    slots & (slots - 1)) {
		err = error_set(error, -EINVAL,
				"%u slots: a pipe has a power of two of them, "
				"%d to %d",
				slots, PIPE_SLOTS_MIN, PIPE_SLOTS_MAX);
		goto err_free;
	}
	err = region_make(g, &region, config, error);
	if (err)
		goto err_unmap;
	err = broker_init(&g->broker, &ops, g, &region, slots);
	if (err) {
		error_set(error, err, "out of memory");
		goto err_unmap;
	}
	lock_init(&g->lock);
	pthread_cond_init(&g->work, NULL);
	*group = g;
	return 0;
err_unmap:
	if (region.bufs)
		munmap(region.bufs, g->region_size);
err_free:
	free(g);
	return err;
}

void group_halt(struct glen_nf_group *g)
{
	pthread_mutex_lock(&g->lock);
	g->quit = true;
	pthread_cond_broadcast(&g->work);
	pthread_mutex_unlock(&g->lock);
	if (g->started)
		pthread_join(g->stepper, NULL);
	for (struct nf_runner *r = g->runners; r; r = r->next) {
		if (!r->has_thread)
			continue;
		atomic_store(&r->quit, true);
		pipe_kick(r->t->wake_fd);
		pthread_join(r->thread, NULL);
		r->has_thread = false;
	}
	g->started = false;
}

void glen_nf_group_destroy(struct glen_nf_group *g)
{
	if (!g)
		return;
	group_halt(g);
	while (g->nfs)
		instance_free(g->nfs);
	broker_fini(&g->broker);
	munmap(g->broker.region.bufs, g->region_size);
	pthread_cond_destroy(&g->work);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void group_settle(struct glen_nf_group *g)
{
	bool pending = true;

	for (unsigned i = 0; pending && !g->polling && i < STEPS; i++)
		pending = broker_step(&g->broker);
	atomic_store(&g->pending, pending);
	pthread_cond_signal(&g->work);
}

int glen_nf_group_chain(struct glen_nf_group *g, const char *name,
			const char *const *services, unsigned n,
			const char *exit, struct glen_error *error)
{
	struct nf_chain chain = { .n = (uint16_t)n, .exit = NF_NO_PORT };
	struct broker *b = &g->broker;
	int err = 0, number;

	if (n > GLEN_NF_CHAIN_LEN_MAX)
		return error_set(error, -EINVAL,
				 "chain %s: %u services; at most %d", name, n,
				 GLEN_NF_CHAIN_LEN_MAX);
	pthread_mutex_lock(&g->lock);
	for (unsigned i = 0; !err && i < n; i++) {
		number = broker_service(b, services[i], true);
		if (number < 0)
			err = error_set(error, number,
					"chain %s: service '%s': %s", name,
					services[i], error_reason(-number));
		chain.service[i] = (uint16_t)number;
	}
	if (!err && exit && n) {
		number = broker_port(b, exit, true);
		if (number < 0)
			err = error_set(error, number,
					"chain %s: exit '%s': %s", name, exit,
					error_reason(-number));
		chain.exit = (uint16_t)number;
	}
	number = err ? err : broker_chain(b, name, true);
	if (number >= 0) {
		b->chain[number]->chain = chain;
		err = broker_update(b);
		if (err)
			error_set(error, err, "chain %s: %s", name,
				  error_reason(-err));
		group_settle(g);
	} else if (!err) {
		err = error_set(error, number, "chain '%s': %s", name,
				error_reason(-number));
	}
	pthread_mutex_unlock(&g->lock);
	return err;
}

int glen_nf_group_balance(struct glen_nf_group *g, const char *service,
			  enum glen_nf_balance balance,
			  struct glen_error *error)
{
	struct broker *b = &g->broker;
	int number, err;

	if (balance > GLEN_NF_BALANCE_LEAST_QUEUE_FLOW)
		return error_set(error, -EINVAL, "there is no balance %d",
				 (int)balance);
	pthread_mutex_lock(&g->lock);
	err = number = broker_service(b, service, true);
	if (number >= 0) {
		b->service[number]->balance = balance;
		broker_rebalance(b, b->service[number]);
		err = broker_update(b);
		group_settle(g);
	}
	pthread_mutex_unlock(&g->lock);
	return err < 0 ? error_set(error, err, "service '%s': %s", service,
				   error_reason(-err)) :
			 0;
}

unsigned glen_nf_group_poll(struct glen_nf_group *g)
{
	unsigned n = 0;
	bool again = false;

	g->polling = true;
	g->scratch.now_ns = nf_clock();
	for (struct nf_runner *r = g->runners; r; r = r->next)
		if (r->bt.state != THREAD_STOPPED)
			n += nf_turn(r->t, &g->scratch, &again);
	g->polling = false;
	if (__builtin_expect(atomic_load(&g->pending), 0)) {
		pthread_mutex_lock(&g->lock);
		for (struct nf_runner *r = g->runners; r; r = r->next)
			nf_adopt(r->t);
		group_settle(g);
		pthread_mutex_unlock(&g->lock);
	}
	return n;
}

static void *step_main(void *arg)
{
	static const struct timespec pause = { .tv_nsec = STEPPER_NS };
	struct glen_nf_group *g = arg;

	pthread_mutex_lock(&g->lock);
	while (!g->quit) {
		if (!atomic_load(&g->pending)) {
			pthread_cond_wait(&g->work, &g->lock);
			continue;
		}
		atomic_store(&g->pending, broker_step(&g->broker));
		pthread_mutex_unlock(&g->lock);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

/* "0-1,4" into g->cpus. False: it is not that. */
static bool cpus_read(struct glen_nf_group *g, const char *text)
{
	const unsigned most = sizeof(g->cpus) / sizeof(*g->cpus);
	char *end = (char *)text;

	g->n_cpus = 0;
	while (text && *text) {
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (end == text)
			return false;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
			if (end == text)
				return false;
		}
		if (first > last || last >= CPU_SETSIZE ||
		    (*end && *end != ','))
			return false;
		for (; first <= last && g->n_cpus < most; first++)
			g->cpus[g->n_cpus++] = (int)first;
		text = *end ? end + 1 : end;
	}
	return true;
}

/* From now on ends of pipes kick each other. */
static void kicks_on(struct glen_nf_group *g)
{
	for (struct broker_thread *t = g->broker.threads; t; t = t->next) {
		for (struct broker_pipe *p = t->pipes; p; p = p->next) {
			p->out.kick_fd = p->to->t->wake_fd;
			p->input.in.kick_fd = t->t->wake_fd;
		}
	}
}

int glen_nf_group_start(struct glen_nf_group *g, const char *cpus,
			struct glen_error *error)
{
	int err = 0;

	if (g->started)
		return error_set(error, -EBUSY, "the group runs already");
	if (!cpus_read(g, cpus))
		return error_set(error, -EINVAL,
				 "'%s' is not a list of processors like "
				 "\"0-1,4\"",
				 cpus);
	for (struct nf_runner *r = g->runners; r && !err; r = r->next)
		err = runner_wake_open(r);
	if (err)
		return error_set(error, err, "eventfd: %s", error_reason(-err));
	pthread_mutex_lock(&g->lock);
	kicks_on(g);
	err = -pthread_create(&g->stepper, NULL, step_main, g);
	if (err) {
		pthread_mutex_unlock(&g->lock);
		return error_set(error, err, "cannot start a thread: %s",
				 error_reason(-err));
	}
	g->started = true;
	for (struct nf_runner *r = g->runners; r && !err; r = r->next) {
		err = runner_start(r, error);
		if (!err)
			sem_post(&r->go);
	}
	pthread_mutex_unlock(&g->lock);
	return err;
}
