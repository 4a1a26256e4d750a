// SPDX-License-Identifier: BSD-2-Clause
// server.c - an HTTP/1.1 server over lwIP's raw API.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lwip/tcp.h>

#include "files.h"
#include "pattern.h"
#include "request.h"
#include "server.h"

enum {
	IN_START = 1024,   /* first size of what a client's input lies in */
	HEAD_MAX = 1536,   /* of an answer */
	PIECE_MAX = 65535, /* bytes that lwIP takes at a time */
	POLL_TICKS = 4,	   /* of 500 ms, between two polls */
	POLL_S = 2,
	IDLE_S = 60,
	ENDING_S = 10,
	BACKLOG = 255,
};

static const uint64_t GENERATED_MAX = (uint64_t)1 << 40;

enum state {
	READING,
	ANSWERING,
	ENDING,
};

struct client {
	struct client *next, **back; /* in server.clients */
	struct tcp_pcb *pcb;
	enum state state;
	bool keep_alive; /* after this answer */
	bool eof;	 /* the client sends no more */
	bool shut;	 /* our FIN is on its way */
	unsigned idle_s;

	char *in; /* received, not yet understood */
	size_t in_len, in_size;

	char head[HEAD_MAX];
	size_t head_len, head_done;
	int fd;		    /* of the body, or -1: the pattern */
	uint64_t off, left; /* of the body */
};

static struct {
	struct server_config config;
	struct server_counters counters;
	struct tcp_pcb *listener;
	struct client *clients;
	bool stopping;
} server;

/* The front of an answer: its head, and what fits of the body. */
static char front[PIECE_MAX];

const struct server_counters *server_counters(void)
{
	return &server.counters;
}

/* Clients */

static void body_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->left = 0;
}

/* Without its connection. */
static void client_free(struct client *c)
{
	if (c->state == ANSWERING)
		server.counters.broken++;
	server.counters.open--;
	if (c->next)
		c->next->back = c->back;
	*c->back = c->next;
	body_close(c);
	free(c->in);
	free(c);
}

/* lwIP calls on_error(), which frees the client. */
static err_t client_abort(struct client *c)
{
	tcp_abort(c->pcb);
	return ERR_ABRT;
}

/* Leaves what is still to be sent to lwIP. */
static err_t client_close(struct client *c)
{
	struct tcp_pcb *pcb = c->pcb;

	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
	client_free(c);
	if (tcp_close(pcb) == ERR_OK)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

/* Takes n bytes from the front of the input, and says so to the client. */
static void take_input(struct client *c, size_t n)
{
	c->in_len -= n;
	if (c->in_len)
		memmove(c->in, c->in + n, c->in_len);
	for (size_t part; n; n -= part) {
		part = n < 0xffff ? n : 0xffff;
		tcp_recved(c->pcb, (u16_t)part);
	}
}

/*
 * Ends the connection so that the last answer arrives even if the client is
 * still sending: input is thrown away until its FIN comes.
 */
static err_t client_end(struct client *c)
{
	c->state = ENDING;
	c->idle_s = 0;
	take_input(c, c->in_len);
	if (c->eof)
		return client_close(c);
	c->shut = tcp_shutdown(c->pcb, 0, 1) == ERR_OK;
	return ERR_OK;
}

/* Answers */

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 301, "Moved Permanently" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 414, "URI Too Long" },
		{ 431, "Request Header Fields Too Large" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Internal Server Error";
}

static const char *date(void)
{
	static char text[64];
	static time_t last;
	time_t now = time(NULL);
	struct tm tm;

	if (now != last) {
		last = now;
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return text;
}

/* more: further fields, each with its line end. */
static void head_write(struct client *c, int status, const char *type,
		       uint64_t len, const char *more)
{
	int n = snprintf(c->head, HEAD_MAX,
			 "HTTP/1.1 %d %s\r\n"
			 "Server: glen-httpd\r\n"
			 "Date: %s\r\n"
			 "Content-Type: %s\r\n"
			 "Content-Length: %llu\r\n"
			 "Connection: %s\r\n"
			 "%s\r\n",
			 status, reason_of(status), date(), type,
			 (unsigned long long)len,
			 c->keep_alive ? "keep-alive" : "close", more);

	c->head_len = (size_t)n;
	c->head_done = 0;
}

/* Writes path as it may appear in a URI. False: no room. */
static bool encode(const char *path, char *to, size_t size)
{
	static const char plain[] = "/-._~!$&'()*+,;=:@";
	size_t n = 0;

	for (; *path; path++) {
		unsigned char ch = (unsigned char)*path;
		bool digit = ch >= '0' && ch <= '9';
		bool letter = (ch | 0x20) >= 'a' && (ch | 0x20) <= 'z';

		if (size - n < 4)
			return false;
		if (digit || letter || strchr(plain, ch))
			to[n++] = (char)ch;
		else
			n += (size_t)sprintf(to + n, "%%%02X", ch);
	}
	to[n] = 0;
	return true;
}

/* An answer that says no more than its status. */
static void answer_status(struct client *c, int status, const struct request *r)
{
	char more[HEAD_MAX - 512] = "", path[HEAD_MAX - 540], text[64];
	int len;

	if (status == 301) {
		if (encode(r->path, path, sizeof(path)))
			snprintf(more, sizeof(more), "Location: %s/\r\n", path);
		else
			status = 414;
	} else if (status == 405) {
		strcpy(more, "Allow: GET, HEAD\r\n");
	}
	server.counters.errors += status >= 400;
	len = snprintf(text, sizeof(text), "%d %s\n", status,
		       reason_of(status));
	head_write(c, status, "text/plain; charset=utf-8", (uint64_t)len, more);
	if (r->head)
		return;
	memcpy(c->head + c->head_len, text, (size_t)len);
	c->head_len += (size_t)len;
}

/* Whether path is /bytes/N, and N. */
static bool is_generated(const char *path, uint64_t *n)
{
	static const char prefix[] = "/bytes/";
	char *end;

	if (!server.config.generated || strncmp(path, prefix, 7) ||
	    path[7] < '0' || path[7] > '9')
		return false;
	errno = 0;
	*n = strtoull(path + 7, &end, 10);
	return !*end && !errno && *n <= GENERATED_MAX;
}

static void answer(struct client *c, const struct request *r)
{
	struct file file = { .fd = -1, .type = "application/octet-stream" };
	int status = 404;

	c->keep_alive = r->keep_alive && !server.stopping;
	if (is_generated(r->path, &file.size))
		status = 200;
	else if (server.config.root >= 0)
		status = file_open(server.config.root, r->path, &file);
	if (status != 200) {
		answer_status(c, status, r);
		return;
	}
	head_write(c, 200, file.type, file.size, "");
	c->fd = file.fd;
	c->off = 0;
	c->left = file.size;
	if (r->head)
		body_close(c);
}

/*
 * The next piece of the answer, at most room bytes. Returns its length or -1 if
 * the file has become shorter or cannot be read.
 */
static ssize_t next_piece(struct client *c, size_t room, const char **data)
{
	size_t head = c->head_len - c->head_done, body, got = 0;

	if (head > room)
		head = room;
	body = c->left < room - head ? (size_t)c->left : room - head;
	if (c->fd < 0 && !head) {
		*data = pattern_at(c->off);
		return (ssize_t)body;
	}
	*data = front;
	memcpy(front, c->head + c->head_done, head);
	if (c->fd < 0) {
		memcpy(front + head, pattern_at(c->off), body);
		return (ssize_t)(head + body);
	}
	while (got < body) {
		ssize_t n = pread(c->fd, front + head + got, body - got,
				  (off_t)(c->off + got));

		if (n <= 0)
			return -1;
		got += (size_t)n;
	}
	return (ssize_t)(head + body);
}

static void piece_sent(struct client *c, size_t len)
{
	size_t head = c->head_len - c->head_done;

	if (head > len)
		head = len;
	c->head_done += head;
	c->off += len - head;
	c->left -= len - head;
	server.counters.bytes += len - head;
}

/* How much to hand over now: whole segments, but at the end. */
static size_t room_now(const struct client *c)
{
	size_t room = tcp_sndbuf(c->pcb), mss = tcp_mss(c->pcb);
	uint64_t want = c->head_len - c->head_done + c->left;

	if (room > PIECE_MAX)
		room = PIECE_MAX;
	if (want <= room)
		return (size_t)want;
	return room - room % mss;
}

/* Sends what fits of the answer; true when all of it is on its way. */
static bool send_answer(struct client *c, err_t *err)
{
	while (c->head_done < c->head_len || c->left) {
		size_t room = room_now(c);
		const char *data;
		ssize_t len;
		bool more;

		if (!room)
			return false;
		len = next_piece(c, room, &data);
		if (len < 0) {
			*err = client_abort(c);
			return false;
		}
		more = c->head_len - c->head_done + c->left > (uint64_t)len;
		if (tcp_write(c->pcb, data, (u16_t)len,
			      (u8_t)(TCP_WRITE_FLAG_COPY |
				     (more ? TCP_WRITE_FLAG_MORE : 0))))
			return false;
		piece_sent(c, (size_t)len);
	}
	return true;
}

/* Requests */

/* Starts the next answer; false if there is no whole request. */
static bool next_request(struct client *c)
{
	struct request r = { 0 };
	int n = request_parse(&r, c->in, c->in_len);

	if (!n)
		return false;
	server.counters.requests++;
	c->state = ANSWERING;
	c->idle_s = 0;
	if (n > 0) {
		take_input(c, (size_t)n);
		answer(c, &r);
	} else {
		c->keep_alive = false;
		answer_status(c, -n, &r);
	}
	return true;
}

/* Does what can be done; ERR_ABRT if the connection is gone. */
static err_t go_on(struct client *c)
{
	err_t err = ERR_OK;

	for (;;) {
		if (c->state == ENDING)
			return ERR_OK;
		if (c->state == READING && !next_request(c)) {
			bool end = c->eof || (server.stopping && !c->in_len);

			return end ? client_end(c) : ERR_OK;
		}
		if (!send_answer(c, &err))
			return err;
		body_close(c);
		c->state = READING;
		if (!c->keep_alive)
			return client_end(c);
	}
}

/* Callbacks */

/* Room for more input. What a client may send ahead its window limits. */
static bool in_grow(struct client *c, size_t more)
{
	size_t size = c->in_size ? c->in_size : IN_START;
	char *in;

	while (size < c->in_len + more)
		size *= 2;
	if (size == c->in_size)
		return true;
	in = realloc(c->in, size);
	if (!in)
		return false;
	c->in = in;
	c->in_size = size;
	return true;
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p,
			 err_t err)
{
	struct client *c = arg;

	if (!p) {
		c->eof = true;
		return c->state == ENDING ? client_close(c) : go_on(c);
	}
	if (c->state == ENDING) {
		tcp_recved(pcb, p->tot_len);
		pbuf_free(p);
		return ERR_OK;
	}
	if (!in_grow(c, p->tot_len)) {
		pbuf_free(p);
		return client_abort(c);
	}
	pbuf_copy_partial(p, c->in + c->in_len, p->tot_len, 0);
	c->in_len += p->tot_len;
	pbuf_free(p);
	return c->state == READING ? go_on(c) : ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct client *c = arg;

	c->idle_s = 0;
	return c->state == ANSWERING ? go_on(c) : ERR_OK;
}

static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
	struct client *c = arg;

	c->idle_s += POLL_S;
	if (c->state == ENDING && !c->shut)
		c->shut = tcp_shutdown(pcb, 0, 1) == ERR_OK;
	if (c->idle_s >= (c->state == ENDING ? ENDING_S : IDLE_S))
		return c->state == READING ? client_end(c) : client_abort(c);
	return c->state == ANSWERING ? go_on(c) : ERR_OK;
}

/* The connection is gone already. */
static void on_error(void *arg, err_t err)
{
	client_free(arg);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct client *c;

	if (err || !pcb)
		return ERR_VAL;
	c = server.counters.open < server.config.connections_max ?
		    calloc(1, sizeof(*c)) :
		    NULL;
	if (!c) {
		server.counters.refused++;
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	c->pcb = pcb;
	c->fd = -1;
	c->back = &server.clients;
	c->next = server.clients;
	if (c->next)
		c->next->back = &c->next;
	server.clients = c;
	server.counters.connections++;
	server.counters.open++;
	tcp_nagle_disable(pcb);
	tcp_arg(pcb, c);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_poll(pcb, on_poll, POLL_TICKS);
	return ERR_OK;
}

/* Life */

int server_start(const struct server_config *config, struct glen_error *error)
{
	struct tcp_pcb *pcb = tcp_new(), *listener = NULL;

	server.config = *config;
	pattern_init();
	if (pcb && tcp_bind(pcb, IP_ADDR_ANY, config->port) == ERR_OK)
		listener = tcp_listen_with_backlog(pcb, BACKLOG);
	if (!listener)
		return fail(error, -ENOMEM, "cannot listen: out of memory");
	server.listener = listener;
	tcp_accept(listener, on_accept);
	return 0;
}

void server_stop(void)
{
	struct client *c = server.clients, *next;

	tcp_close(server.listener);
	server.listener = NULL;
	server.stopping = true;
	for (; c; c = next) {
		next = c->next;
		if (c->state == READING && !c->in_len)
			client_end(c);
	}
}
