// SPDX-License-Identifier: BSD-2-Clause
// link.c - keep a port connected: notice that glend died, and resume.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/port.h"

enum {
	CHECK_MS = 10,	     /* between two looks at a quiet socket */
	CHECK_LOST_MS = 2,   /* the same, while reconnecting */
	BACKOFF_MIN_MS = 10, /* between two attempts to connect */
	BACKOFF_MAX_MS = 200,
	PATIENCE_MS = 2000, /* with a glend that took a port.resume */
	SEND_MS = 50,	    /* for room in a fresh socket */
	BUSY_MAX = 50,	    /* refusals that another try may cure */
	STATS_MS = 5000,
};

static int64_t clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int64_t now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

/* Sets the timer that all waiters watch. */
static void set_timer(struct link *link, int64_t ms)
{
	struct itimerspec t = { { 0, 0 }, { ms / 1000, ms % 1000 * 1000000 } };

	timerfd_settime(link->timer, 0, &t, NULL);
}

/* An edge for everybody who sleeps on the port: the timer fires at once. */
static void wake_all(struct link *link)
{
	const struct itimerspec now = { { 0, 0 }, { 0, 1 } };

	timerfd_settime(link->timer, 0, &now, NULL);
}

static void die(struct glen_port *port, const char *reason)
{
	if (port->link.state == LINK_DEAD)
		return;
	snprintf(port->error, sizeof(port->error), "%s", reason);
	port->link.state = LINK_DEAD;
	rpc_close(&port->link.rpc);
	/* Pairs with the acquire in port_epoch(). */
	atomic_store_explicit(&port->epoch, EPOCH_DEAD, memory_order_release);
	wake_all(&port->link);
}

void port_die(struct glen_port *port, const char *reason)
{
	pthread_mutex_lock(&port->link.lock);
	die(port, reason);
	pthread_mutex_unlock(&port->link.lock);
}

/* Closes the connection; the next attempt is in wait_ms (at least 1). */
static void lose(struct glen_port *port, unsigned wait_ms)
{
	struct link *link = &port->link;

	rpc_close(&link->rpc);
	link->state = LINK_LOST;
	link->retry_ms = now_ms() + wait_ms;
	set_timer(link, wait_ms);
}

static void lose_backoff(struct glen_port *port)
{
	struct link *link = &port->link;

	lose(port, link->backoff_ms);
	link->backoff_ms *= 2;
	if (link->backoff_ms > BACKOFF_MAX_MS)
		link->backoff_ms = BACKOFF_MAX_MS;
}

static void on_notify(void *arg, const char *method, json_t *params)
{
	struct glen_port *port = arg;
	const char *reason;
	char text[200];

	if (strcmp(method, "port.closed"))
		return;
	reason = json_string_value(json_object_get(params, "reason"));
	snprintf(text, sizeof(text), "glend closed port %s: %s", port->name,
		 reason ? reason : "no reason given");
	die(port, text);
}

/* Reads what came on a connection that is up. */
static void service_up(struct glen_port *port)
{
	struct link *link = &port->link;

	for (;;) {
		json_t *message, *params = NULL;
		const char *note;
		int err = rpc_recv(&link->rpc, &message, 0, NULL);

		if (err == -ETIMEDOUT)
			return;
		if (err) {
			link->backoff_ms = BACKOFF_MIN_MS;
			link->busy = 0;
			lose(port, 1);
			return;
		}
		note = rpc_notification(message, &params);
		if (note)
			on_notify(port, note, params);
		json_decref(message);
		if (link->state == LINK_DEAD)
			return;
	}
}

/* Connects and sends port.resume, without waiting for the answer. */
static void service_lost(struct glen_port *port)
{
	const int fds[] = { port->window_fd, port->bufs_fd, port->kick_fd,
			    port->call_fd };
	struct link *link = &port->link;
	json_t *params;

	if (now_ms() < link->retry_ms)
		return;
	if (rpc_open(&link->rpc, link->path, 0, NULL)) {
		lose_backoff(port);
		return;
	}
	params = json_pack("{s:s, s:s}", "port", port->name, "token",
			   link->token);
	if (rpc_send(&link->rpc, "port.resume", params, fds, 4, SEND_MS,
		     NULL) ||
	    waiters_watch(port)) {
		lose_backoff(port);
		return;
	}
	link->state = LINK_RESUMING;
	link->retry_ms = now_ms() + PATIENCE_MS;
	set_timer(link, PATIENCE_MS);
}

static void resumed(struct glen_port *port)
{
	struct link *link = &port->link;
	uint32_t epoch = port_epoch(port) + 1;
	uint64_t one = 1;
	ssize_t n;

	if (claims_again(port)) {
		lose_backoff(port);
		return;
	}
	link->state = LINK_UP;
	__atomic_add_fetch(&link->reconnects, 1, __ATOMIC_RELAXED);
	atomic_store_explicit(&port->epoch,
			      epoch == EPOCH_DEAD ? epoch + 1 : epoch,
			      memory_order_release);
	/* Both sides look at all rings once more. */
	n = write(port->kick_fd, &one, sizeof(one));
	(void)n; /* -EAGAIN: a kick is pending */
	wake_all(link);
}

/* Refusals that can pass: the old connection may not be gone yet. */
static bool may_pass(int err)
{
	return err == -EBUSY || err == -EAGAIN || err == -ENFILE ||
	       err == -EMFILE || err == -ENOMEM;
}

static void service_resuming(struct glen_port *port)
{
	struct link *link = &port->link;
	struct glen_error error;
	char text[sizeof(port->error)];
	json_t *message;
	bool mine;
	int err, answer;

	err = rpc_recv(&link->rpc, &message, 0, NULL);
	if (err == -ETIMEDOUT && now_ms() < link->retry_ms)
		return;
	if (err) {
		lose_backoff(port);
		return;
	}
	mine = rpc_answer(&link->rpc, message, NULL, &answer, &error);
	json_decref(message);
	if (!mine)
		return; /* the socket stays readable if there is more */
	if (!answer) {
		resumed(port);
	} else if (may_pass(answer) && ++link->busy < BUSY_MAX) {
		lose_backoff(port);
	} else {
		snprintf(text, sizeof(text),
			 "glend was restarted and does not take port %s "
			 "back: %.150s",
			 port->name, error.text);
		die(port, text);
	}
}

static void service(struct glen_port *port)
{
	struct link *link = &port->link;

	if (link->state == LINK_UP)
		service_up(port);
	if (link->state == LINK_LOST)
		service_lost(port);
	if (link->state == LINK_RESUMING)
		service_resuming(port);
	atomic_store_explicit(&link->next_check_ms,
			      now_ms() + (link->state == LINK_UP ?
						  CHECK_MS :
						  CHECK_LOST_MS),
			      memory_order_relaxed);
}

void link_service(struct glen_port *port)
{
	if (port->local)
		return;
	pthread_mutex_lock(&port->link.lock);
	service(port);
	pthread_mutex_unlock(&port->link.lock);
}

void link_idle(struct glen_port *port)
{
	struct link *link = &port->link;
	char byte;

	/* This clock may be a tick late, but is cheap. */
	if (clock_ms(CLOCK_MONOTONIC_COARSE) <
	    atomic_load_explicit(&link->next_check_ms, memory_order_relaxed))
		return;
	if (pthread_mutex_trylock(&link->lock))
		return; /* somebody is at it */
	if (link->state == LINK_UP &&
	    recv(link->rpc.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    errno == EAGAIN)
		atomic_store_explicit(&link->next_check_ms, now_ms() + CHECK_MS,
				      memory_order_relaxed);
	else
		service(port);
	pthread_mutex_unlock(&link->lock);
}

int link_init(struct glen_port *port)
{
	struct link *link = &port->link;

	pthread_mutex_init(&link->lock, NULL);
	link->state = port->local ? LINK_LOCAL : LINK_UP;
	link->rpc.fd = -1;
	atomic_store(&port->epoch, EPOCH_DEAD + 1);
	link->timer = timerfd_create(CLOCK_MONOTONIC,
				     TFD_CLOEXEC | TFD_NONBLOCK);
	return link->timer < 0 ? -errno : 0;
}

void link_fini(struct glen_port *port)
{
	struct link *link = &port->link;

	rpc_close(&link->rpc);
	if (link->timer >= 0)
		close(link->timer);
	free(link->path);
	pthread_mutex_destroy(&link->lock);
}

/* Adds up one direction of a "port statistics" object. */
static void read_side(json_t *side, uint64_t *packets, uint64_t *bytes,
		      uint64_t *drops)
{
	const char *key;
	json_t *value;

	*packets = (uint64_t)json_integer_value(
		json_object_get(side, "packets"));
	*bytes = (uint64_t)json_integer_value(json_object_get(side, "bytes"));
	*drops = 0;
	json_object_foreach(json_object_get(side, "drops"), key, value)
		*drops += (uint64_t)json_integer_value(value);
}

int link_call(struct glen_port *port, const char *method, json_t *params,
	      json_t **result, int timeout_ms, struct glen_error *error)
{
	struct link *link = &port->link;
	int err;

	*result = NULL;
	if (link->state != LINK_UP) {
		json_decref(params);
		err = link->state == LINK_DEAD ? -ENOTCONN : -EAGAIN;
		return error_set(error, err, "port %s is not connected",
				 port->name);
	}
	link->rpc.on_notify = on_notify;
	link->rpc.notify_arg = port;
	err = rpc_call(&link->rpc, method, params, NULL, 0, result, timeout_ms,
		       error);
	if (link->state == LINK_DEAD)
		err = -ENOTCONN;
	else if (err == -ECONNRESET)
		service(port);
	if (err) {
		json_decref(*result);
		*result = NULL;
	}
	return err == -ECONNRESET ? -EAGAIN : err;
}

static int ask_stats(struct glen_port *port, struct glen_port_stats *stats)
{
	json_t *result, *one;
	int err = link_call(port, "stats",
			    json_pack("{s:s}", "port", port->name), &result,
			    STATS_MS, NULL);

	if (err)
		return err;
	one = json_array_get(json_object_get(result, "ports"), 0);
	read_side(json_object_get(one, "in"), &stats->in_packets,
		  &stats->in_bytes, &stats->in_drops);
	read_side(json_object_get(one, "out"), &stats->out_packets,
		  &stats->out_bytes, &stats->out_drops);
	json_decref(result);
	return one ? 0 : -EPROTO;
}

int glen_port_stats(struct glen_port *port, struct glen_port_stats *stats)
{
	int err;

	memset(stats, 0, sizeof(*stats));
	if (port_epoch(port) == EPOCH_DEAD)
		return -ENOTCONN;
	if (port->local)
		return port->stats ? port->stats(port->arg, stats) : -ENOTSUP;
	pthread_mutex_lock(&port->link.lock);
	err = ask_stats(port, stats);
	pthread_mutex_unlock(&port->link.lock);
	return err;
}

unsigned glen_port_reconnects(const struct glen_port *port)
{
	return __atomic_load_n(&port->link.reconnects, __ATOMIC_RELAXED);
}

const char *glen_port_error(const struct glen_port *port)
{
	return port_epoch((struct glen_port *)port) == EPOCH_DEAD ?
		       port->error :
		       "";
}
