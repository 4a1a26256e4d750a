// SPDX-License-Identifier: BSD-2-Clause
// party.c - play sides of a benchmark: bare loops, switches, clients.
/*
 * party SHARE SIDE:KIND[,NAME=VALUE...]...
 *
 * For bench/run; party.h says what a side is, the table below what kinds and
 * names there are. Without SHARE ("-") the one side runs alone for two seconds
 * and its rate is printed; that is for use under perf.
 */
#include "bench/party.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "bench/frame.h"
#include "bench/limit.h"

static const struct kind {
	const char *name;
	void (*open)(struct party_side *p);
} kinds[];

void party_die(const char *format, ...)
{
	va_list args;

	fputs("party: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static unsigned step_limit_send(void *state)
{
	return limit_send(state);
}

static unsigned step_limit_switch(void *state)
{
	return limit_switch(state);
}

static unsigned step_limit_receive(void *state)
{
	return limit_receive(state);
}

struct limit_round {
	struct limit_rtt *rtt;
	struct side *side;
};

static unsigned step_limit_round(void *state)
{
	struct limit_round *r = state;
	uint64_t start = share_now();

	limit_rtt_round(r->rtt);
	share_sample(r->side, share_now() - start);
	return 1;
}

static const struct layout {
	const char *name;
	unsigned n_roles;
	struct role roles[ROLES_MAX];
} layouts[] = {
	{ "one",
	  1,
	  { { .cpu = 0,
	      .counts = true,
	      .steps = { step_limit_send, step_limit_switch,
			 step_limit_receive } } } },
	{ "two",
	  2,
	  { { .cpu = 0, .steps = { step_limit_send, step_limit_switch } },
	    { .cpu = 1, .counts = true, .steps = { step_limit_receive } } } },
	{ "three",
	  3,
	  { { .cpu = 0, .yield = true, .steps = { step_limit_send } },
	    { .cpu = 1, .steps = { step_limit_switch } },
	    { .cpu = 0,
	      .yield = true,
	      .counts = true,
	      .steps = { step_limit_receive } } } },
	{ "rtt",
	  1,
	  { { .cpu = -1,
	      .blocks = true,
	      .counts = true,
	      .steps = { step_limit_round } } } },
};

static void limit_open(struct party_side *p)
{
	struct limit_geometry g = { p->opts.frame, p->opts.batch, p->opts.slots,
				    p->opts.buf };
	struct limit_round *r;

	for (unsigned i = 0; i < sizeof(layouts) / sizeof(*layouts); i++) {
		if (strcmp(layouts[i].name, p->opts.layout))
			continue;
		p->n_roles = layouts[i].n_roles;
		memcpy(p->roles, layouts[i].roles, sizeof(p->roles));
	}
	if (!p->n_roles)
		party_die("no layout '%s'", p->opts.layout);
	if (strcmp(p->opts.layout, "rtt")) {
		p->state = limit_create(&g);
	} else {
		r = malloc(sizeof(*r));
		if (!r)
			party_die("no memory");
		*r = (struct limit_round){ limit_rtt_create(), p->side };
		p->state = r->rtt ? r : NULL;
	}
	if (!p->state)
		party_die("cannot make a bare loop like this");
}

static const struct kind kinds[] = {
	{ "limit", limit_open },
	{ "embed", embed_open },
	{ "memcpy", memcpy_open },
	{ "send", client_send_open },
	{ "recv", client_recv_open },
	{ "ping", client_ping_open },
	{ "pong", client_pong_open },
	{ "idle", client_idle_open },
	{ "cores", cores_open },
	{ "nm-send", netmap_send_open },
	{ "nm-recv", netmap_recv_open },
	{ "nm-loop", netmap_loop_open },
	{ "nm-txsync", netmap_txsync_open },
	{ "nm-rxsync", netmap_rxsync_open },
	{ "getppid", getppid_open },
	{ "calls", calls_open },
	{ "nf-chain", nf_chain_open },
	{ "nf-pair", nf_pair_open },
	{ "nf-firewall", nf_firewall_open },
};

static const struct {
	const char *name;
	size_t off;
} numbers[] = {
	{ "frame", offsetof(struct party_opts, frame) },
	{ "batch", offsetof(struct party_opts, batch) },
	{ "slots", offsetof(struct party_opts, slots) },
	{ "buf", offsetof(struct party_opts, buf) },
	{ "cpu", offsetof(struct party_opts, cpu) },
	{ "ports", offsetof(struct party_opts, ports) },
	{ "addrs", offsetof(struct party_opts, addrs) },
	{ "spread", offsetof(struct party_opts, spread) },
	{ "vlan", offsetof(struct party_opts, vlan) },
	{ "rules", offsetof(struct party_opts, rules) },
	{ "flows", offsetof(struct party_opts, flows) },
	{ "ip", offsetof(struct party_opts, ip) },
	{ "out", offsetof(struct party_opts, out) },
	{ "fill", offsetof(struct party_opts, fill) },
	{ "quota", offsetof(struct party_opts, quota) },
	{ "cores", offsetof(struct party_opts, cores) },
	{ "senders", offsetof(struct party_opts, senders) },
	{ "rings", offsetof(struct party_opts, rings) },
	{ "vnet", offsetof(struct party_opts, vnet) },
	{ "lib", offsetof(struct party_opts, lib) },
	{ "poll", offsetof(struct party_opts, poll) },
	{ "take", offsetof(struct party_opts, take) },
	{ "burst", offsetof(struct party_opts, burst) },
	{ "yield", offsetof(struct party_opts, yield) },
	{ "mute", offsetof(struct party_opts, mute) },
	{ "region", offsetof(struct party_opts, region) },
	{ "nfs", offsetof(struct party_opts, nfs) },
	{ "touch", offsetof(struct party_opts, touch) },
};

static void option_read(struct party_opts *o, char *text)
{
	char *value = strchr(text, '=');

	if (!value)
		party_die("'%s' is not NAME=VALUE", text);
	*value++ = '\0';
	if (!strcmp(text, "layout"))
		o->layout = value;
	else if (!strcmp(text, "port"))
		o->port = value;
	else if (!strcmp(text, "peer"))
		o->peer = value;
	else if (!strcmp(text, "module"))
		o->module = value;
	else
		for (unsigned i = 0;; i++) {
			if (i == sizeof(numbers) / sizeof(*numbers))
				party_die("no option '%s'", text);
			if (strcmp(numbers[i].name, text))
				continue;
			*(unsigned *)((char *)o +
				      numbers[i].off) = (unsigned)atoi(value);
			break;
		}
}

/* "SIDE:KIND,NAME=VALUE,..."; text is taken apart. */
static void side_read(struct party_side *p, struct share *share, char *text)
{
	char *rest = text, *word = strsep(&rest, ","), *kind;

	p->opts = (struct party_opts){
		.layout = "one",
		.port = "bench:a",
		.peer = "bench:b",
		.module = "learn",
		.frame = 60,
		.batch = 256,
		.slots = 1024,
		.buf = 2048,
		.ports = 2,
		.addrs = 1,
		.ip = 4,
		.fill = FRAME_MAX,
		.cores = 1,
		.senders = 1,
		.rings = 1,
	};
	kind = strchr(word, ':');
	p->id = (unsigned)atoi(word);
	if (!kind || p->id >= SIDES_MAX)
		party_die("'%s' is not SIDE:KIND", word);
	kind++;
	p->share = share;
	p->side = &share->side[p->id];
	while ((word = strsep(&rest, ",")))
		option_read(&p->opts, word);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].name, kind))
			continue;
		kinds[i].open(p);
		return;
	}
	party_die("no kind '%s'", kind);
}

static inline void relax(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* One turn of one role. */
static void role_run(const struct party_side *p, const struct role *r)
{
	void *state = r->state ? r->state : p->state;

	while (share_runs(p->share, p->id)) {
		unsigned n = 0, last = 0;

		for (const party_step *s = r->steps;
		     s < r->steps + STEPS_MAX && *s; s++) {
			last = (*s)(state);
			n |= last;
		}
		if (r->counts && last)
			share_count(p->side, r->who, last);
		if (n || r->blocks)
			continue;
		if (r->yield)
			sched_yield();
		else
			relax();
	}
}

struct thread {
	struct party_side *p;
	struct role *r;
};

static void *thread_main(void *arg)
{
	struct thread t = *(struct thread *)arg;

	free(arg);
	share_pin(t.r->cpu);
	while (share_enter(t.p->share, 1U << t.p->id) >= 0) {
		role_run(t.p, t.r);
		share_leave(t.p->share);
	}
	return NULL;
}

static void threads_start(struct party_side *p)
{
	for (unsigned i = 0; i < p->n_roles; i++) {
		struct thread *t = malloc(sizeof(*t));
		pthread_t id;

		if (!t)
			party_die("no memory");
		*t = (struct thread){ p, &p->roles[i] };
		if (pthread_create(&id, NULL, thread_main, t))
			party_die("cannot start a thread");
	}
}

static void *rate_print(void *arg)
{
	struct party_side *p = arg;
	uint64_t t0, n0, ns;

	share_give(p->share, p->id + 1);
	share_sleep_ms(200);
	t0 = share_now();
	n0 = share_counted(p->side);
	share_sleep_ms(2000);
	ns = share_now() - t0;
	n0 = share_counted(p->side) - n0;
	printf("%.2f ns per packet\n", (double)ns / (double)n0);
	share_give(p->share, TURN_QUIT);
	return NULL;
}

/* A thousand ports take more than the usual 1,024. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	static struct party_side sides[SIDES_MAX];
	uint32_t mine = 0;
	unsigned n = (unsigned)argc - 2;
	bool alone = argc > 1 && !strcmp(argv[1], "-");
	struct share *share;
	pthread_t id;
	int turn;

	if (argc < 3 || n > SIDES_MAX) {
		fprintf(stderr, "usage: party SHARE SIDE:KIND[,NAME=VALUE...]"
				"...\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* bench/run is its parent */
	descriptors_raise();
	share = alone ? share_new() : share_open(argv[1]);
	for (unsigned i = 0; i < n; i++) {
		side_read(&sides[i], share, argv[i + 2]);
		if (sides[i].n_roles == 1)
			mine |= 1U << i;
		else
			threads_start(&sides[i]);
	}
	atomic_fetch_add(&share->n_ready, 1);
	if (alone && pthread_create(&id, NULL, rate_print, &sides[0]))
		party_die("cannot start a thread");
	for (;;) {
		unsigned i = 0;
		uint32_t ids = 0;

		for (i = 0; i < n; i++)
			ids |= (mine & 1U << i) ? 1U << sides[i].id : 0;
		turn = share_enter(share, ids);
		if (turn < 0)
			break;
		for (i = 0; sides[i].id != (unsigned)turn || !(mine & 1U << i);
		     i++)
			;
		share_pin(sides[i].roles[0].cpu);
		role_run(&sides[i], &sides[i].roles[0]);
		share_leave(share);
	}
	fflush(stdout);
	_exit(0); /* threads that block would not end by themselves */
}
