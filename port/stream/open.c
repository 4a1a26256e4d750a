// SPDX-License-Identifier: BSD-2-Clause
// open.c - options of stream ports, and what users see of them.
#include "port/stream/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/stream/connection.h"

/* Options as given. */
struct options {
	struct socket_addr addr;
	bool server;
	mode_t access;
};

static int options_address(json_t *params, struct options *o,
			   struct glen_error *error)
{
	const char *path, *addr;
	int err = params_str(params, "path", &path, error);

	if (!err)
		err = params_str(params, "addr", &addr, error);
	if (err)
		return err;
	if (!path == !addr)
		return error_set(error, -EINVAL,
				 "a stream port needs either path=SOCKET or "
				 "addr=ADDRESS:PORT");
	return path ? socket_addr_unix(&o->addr, "path", path, error) :
		      socket_addr_inet(&o->addr, "addr", addr, error);
}

static int options_read(json_t *params, struct options *o,
			struct glen_error *error)
{
	static const char *const known[] = { "path", "addr", "mode", "access",
					     NULL };
	const char *mode = NULL, *access = NULL;
	int err = params_check(params, known, error);

	if (!err)
		err = options_address(params, o, error);
	if (!err)
		err = params_str(params, "mode", &mode, error);
	if (!err)
		err = params_str(params, "access", &access, error);
	if (err)
		return err;
	o->server = !mode || !strcmp(mode, "server");
	if (mode && !o->server && strcmp(mode, "client"))
		return error_set(error, -EINVAL,
				 "mode must be \"server\" (listen) or "
				 "\"client\" (connect)");
	if (!o->server && socket_addr_is_any(&o->addr))
		return error_set(error, -EINVAL,
				 "mode=client needs the address to connect to: "
				 "* is any of this host, to listen at");
	if (access && (!o->server || o->addr.any.sa_family != AF_UNIX))
		return error_set(error, -EINVAL,
				 "access is the mode of the socket file that "
				 "mode=server with path makes");
	return socket_mode(access, 0660, &o->access, error);
}

static void stream_free(struct stream *s)
{
	if (s->rx.arena)
		munmap(s->rx.arena, STREAM_ARENA + STREAM_SPARE);
	pthread_mutex_destroy(&s->tx.lock);
	stream_queue_fini(&s->queue);
	discard_destroy(s->rx.bin);
	free(s->tx.rest);
	free(s);
}

/* What needs no kernel object but memory. NULL: there is none. */
static struct stream *stream_alloc(struct port *port, const struct options *o)
{
	struct stream *s = aligned_alloc(64, (sizeof(*s) + 63) & ~63UL);
	void *arena;

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->port = port;
	s->loop = port_loop(port);
	s->server = o->server;
	s->addr = o->addr;
	socket_addr_text(&s->addr, s->text);
	s->listener.fd = s->conn.fd = s->wake.fd = s->timer.source.fd = -1;
	s->rx.fd = s->tx.fd = -1;
	s->rx.stream = s;
	s->rx.over = true;
	pthread_mutex_init(&s->tx.lock, NULL);
	s->rx.bin = discard_create(STREAM_FILES);
	s->tx.rest = malloc(STREAM_HEAD + STREAM_FRAME_MAX);
	arena = mmap(NULL, STREAM_ARENA + STREAM_SPARE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena != MAP_FAILED)
		s->rx.arena = arena;
	if (!stream_queue_init(&s->queue) && s->rx.bin && s->tx.rest &&
	    s->rx.arena)
		return s;
	stream_free(s);
	return NULL;
}

static int stream_open(struct port *port, struct port_args *args,
		       struct glen_error *error)
{
	struct options o = { 0 };
	struct stream *s;
	int err = options_read(args->params, &o, error);

	if (err)
		return err;
	s = stream_alloc(port, &o);
	if (!s)
		return error_set(error, -ENOMEM, "no memory for the port");
	err = connection_init(s, o.access, error);
	if (err) {
		stream_free(s);
		return err;
	}
	port->starts_rings = true;
	port->n_in = port->n_out = 1;
	port->in[0].drv = &s->rx;
	port->out[0].drv = s;
	port->caps = 0;
	port->drv = s;
	return 0;
}

static void stream_close(struct port *port)
{
	struct stream *s = port->drv;

	connection_fini(s);
	stream_free(s);
	port->drv = NULL;
}

static void show_text(json_t *object, const char *key, const char *text)
{
	/* A socket's name may be any bytes. */
	json_t *value = json_string(text);

	json_object_set_new(object, key, value ?: json_string("?"));
}

static void stream_show(struct port *port, json_t *object)
{
	struct stream *s = port->drv;
	bool connected = atomic_load(&s->connected);

	json_object_set_new(object, "mode",
			    json_string(s->server ? "server" : "client"));
	show_text(object, s->addr.any.sa_family == AF_UNIX ? "path" : "addr",
		  s->text);
	json_object_set_new(object, "connected", json_boolean(connected));
	if (connected)
		show_text(object, "peer", s->peer);
	json_object_set_new(object, "connections",
			    json_integer(s->connections));
	if (s->server)
		json_object_set_new(object, "refused",
				    json_integer(s->refused));
	json_object_set_new(object, "socket_full",
			    json_integer(atomic_load(&s->full)));
	pthread_mutex_lock(&s->queue.lock);
	json_object_set_new(object, "handed_over",
			    json_integer(s->queue.queued));
	json_object_set_new(object, "lost", json_integer(s->queue.lost));
	pthread_mutex_unlock(&s->queue.lock);
	if (s->lost.code)
		show_text(object, "problem", s->lost.text);
	else if (connected && s->circle)
		show_text(object, "problem", stream_circle);
	if (s->last_error[0])
		show_text(object, "last_error", s->last_error);
}

static void stream_tick(struct port *port)
{
	connection_tick(port->drv);
}

static bool stream_link(struct port *port)
{
	struct stream *s = port->drv;

	return atomic_load_explicit(&s->connected, memory_order_relaxed);
}

const struct port_ops stream_port_ops = {
	.name = "stream",
	.summary = "frames through a stream socket: QEMU's -netdev stream, "
		   "passt",
	.options = "path=SOCKET   Unix socket, or\n"
		   "addr=HOST:PORT  TCP: 192.0.2.1:5000, [2001:db8::1]:5000 or "
		   "*:5000\n"
		   "mode=MODE     server: listen; client: connect, and keep "
		   "trying (server)\n"
		   "access=MODE   rights of the socket file, in octal (0660)\n",
	.open = stream_open,
	.close = stream_close,
	.show = stream_show,
	.tick = stream_tick,
	.link = stream_link,
	.hot = ISA_SAME(&stream_hot),
};
