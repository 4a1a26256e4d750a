// SPDX-License-Identifier: BSD-2-Clause
// firewall.c - the firewall as a program: options, instances, threads.
#include "nf/firewall/firewall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "nf/firewall/instance.h"
#include "nf/firewall/track.h"

static const struct glen_nf_option options[] = {
	{ "rules", "FILE", "the rule file (glen-nf-firewall(1))" },
	{ "stateless", NULL, "keep no connections" },
	{ "flows", "NUMBER", "connections of a thread, per table (65536)" },
	{ "opening-timeout", "SECONDS", "unanswered connections (30)" },
	{ "tcp-timeout", "SECONDS", "TCP connections (7200)" },
	{ "other-timeout", "SECONDS", "answered UDP and others (180)" },
	{ "loose", NULL, "take TCP connections over in their middle" },
	{ "port", "NAME", "reject answers packets that came by it; several" },
	{ "reject-rate", "NUMBER", "answers per second and thread (1000)" },
	{ "log", "SERVICE", "who gets log lines as messages" },
	{ "log-rate", "NUMBER", "log lines per second and thread (100)" },
	{ NULL },
};

static const char *const reasons[] = { "rule",	     "policy",	  "short",
				       "table_full", "no_answer", NULL };

static const char *const counters[] = { "accepted", "rejected",	   "logged",
					"log_lost", "new",	   "invalid",
					"reloads",  "bad_reloads", NULL };

/* An option that is a number from 1 to max. */
static int number(const struct glen_nf_args *args, const char *name,
		  unsigned usual, unsigned max, unsigned *out,
		  struct glen_error *error)
{
	const char *text = glen_nf_arg(args, name, 0);
	unsigned long n;
	char *end;

	*out = usual;
	if (!text)
		return 0;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || !n || n > max)
		return error_set(error, -EINVAL,
				 "%s: '%.60s' is no number from 1 to %u", name,
				 text, max);
	*out = (unsigned)n;
	return 0;
}

static int read_limits(struct fw_config *c, const struct glen_nf_args *args,
		       struct glen_error *error)
{
	enum { YEAR = 366 * 24 * 3600 };
	unsigned opening, tcp, other;
	int err;

	c->stateless = glen_nf_arg(args, "stateless", 0);
	c->limits.loose = glen_nf_arg(args, "loose", 0);
	err = number(args, "flows", 65536, GLEN_NF_FLOWS_MAX, &c->limits.flows,
		     error);
	err = err ?: number(args, "opening-timeout", 30, YEAR, &opening, error);
	err = err ?: number(args, "tcp-timeout", 7200, YEAR, &tcp, error);
	err = err ?: number(args, "other-timeout", 180, YEAR, &other, error);
	err = err   ?:
		      number(args, "log-rate", 100, 1000000, &c->log_rate,
			     error);
	err = err   ?:
		      number(args, "reject-rate", 1000, 1000000,
			     &c->reject_rate, error);
	if (err)
		return err;
	c->limits.opening_ns = opening * 1000000000ULL;
	c->limits.tcp_ns = tcp * 1000000000ULL;
	c->limits.other_ns = other * 1000000000ULL;
	return 0;
}

/* Ports that answers go out by: asking makes the broker lay pipes. */
static int read_ports(struct glen_nf *nf, struct fw *fw,
		      const struct glen_nf_args *args, struct glen_error *error)
{
	const char *name;

	for (unsigned i = 0; (name = glen_nf_arg(args, "port", i)); i++) {
		int port = fw_port(nf, fw, true, name);

		if (port < 0)
			return error_set(error, port,
					 "port: '%.60s' can be no port's name, "
					 "or there are too many of them",
					 name);
		fw->config.answers[port] = true;
	}
	return 0;
}

static void fw_free(struct fw *fw)
{
	if (!fw)
		return;
	fw_unload(fw);
	pthread_mutex_destroy(&fw->lock);
	for (unsigned i = 0; i < GLEN_NF_PORTS_MAX; i++)
		free(fw->port[i]);
	free(fw->config.path);
	free(fw->config.log);
	free(fw);
}

static int start(struct glen_nf *nf, const struct glen_nf_args *args,
		 struct glen_error *error)
{
	const char *path = glen_nf_arg(args, "rules", 0);
	const char *log = glen_nf_arg(args, "log", 0);
	struct fw *fw;
	int err;

	if (!path)
		return error_set(error, -EINVAL,
				 "rules=FILE is needed, the rule file");
	fw = calloc(1, sizeof(*fw));
	if (!fw)
		return error_set(error, -ENOMEM, "no memory for a firewall");
	pthread_mutex_init(&fw->lock, NULL);
	fw->config.path = strdup(path);
	fw->config.log = log ? strdup(log) : NULL;
	if (!fw->config.path || (log && !fw->config.log))
		err = error_set(error, -ENOMEM, "no memory for a firewall");
	else
		err = read_limits(&fw->config, args, error);
	err = err ?: read_ports(nf, fw, args, error);
	err = err ?: fw_load(nf, fw, true, error);
	if (err)
		fw_free(fw);
	else
		glen_nf_set_state(nf, fw);
	return err;
}

static void stop(struct glen_nf *nf)
{
	fw_free(glen_nf_state(nf));
}

static int thread_start(struct glen_nf_thread *t, struct glen_error *error)
{
	struct fw *fw = glen_nf_state(glen_nf_of(t));
	struct fw_thread *th = aligned_alloc(64, (sizeof(*th) + 63) & ~63UL);
	int err = 0;

	if (!th)
		return error_set(error, -ENOMEM, "no memory for a thread");
	memset(th, 0, sizeof(*th));
	th->fw = fw;
	th->index = glen_nf_thread_index(t);
	if (!fw->config.stateless)
		err = fw_track_create(&th->track, &fw->config.limits);
	if (err) {
		free(th);
		return error_set(error, err,
				 "no memory for %u connections; ask for fewer "
				 "with flows=",
				 fw->config.limits.flows);
	}
	fw_rules_take(th);
	glen_nf_thread_set_state(t, th);
	return 0;
}

static void thread_stop(struct glen_nf_thread *t)
{
	struct fw_thread *th = glen_nf_thread_state(t);

	if (!th)
		return;
	fw_rules_put(th->fw, th->rules);
	fw_track_destroy(th->track);
	free(th);
	glen_nf_thread_set_state(t, NULL);
}

const struct glen_nf_program firewall_nf = {
	.size = sizeof(firewall_nf),
	.name = "firewall",
	.summary = "Lets packets pass by rules and by their connections.",
	.options = options,
	.reasons = reasons,
	.counters = counters,
	.start = start,
	.stop = stop,
	.thread_start = thread_start,
	.thread_stop = thread_stop,
	.process = fw_process,
	.message = fw_message,
};
