// SPDX-License-Identifier: BSD-2-Clause
// frames.c - frames from standard input to a port, and from it to the output.
/*
 *   frames vhost PATH [WORD...]   a guest without a machine; words are:
 *     offloads   it sends and takes whatever can be left to others
 *     packed     packed rings
 *     bare       no mergeable buffers; chains of five for receiving
 *     scattered  buffers of 1100 bytes, the header in one of its own
 *   frames shm SOCKET PORT [CLAIM...]   a client of glend, with claims such as
 *                                 tcp/80/10.0.0.1 (port 0: a free one)
 *
 * A frame is preceded by its length, 4 bytes in this machine's order, and 12
 * bytes that are virtio's header, zeros where the port has none; they do not
 * count. It prints "ready" first and ends with its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glen/glen.h>

#include "vhost_fe.h"

struct record {
	uint32_t len;
	uint8_t hdr[FE_HDR_MAX];
	uint8_t data[FE_DATA_MAX];
};

static struct fe fe;
static struct glen_port *port; /* NULL: it is fe */

_Noreturn static void die(const char *what, const char *why)
{
	fprintf(stderr, "frames: %s: %s\n", what, why);
	_exit(1);
}

/* False: the input ended before the first byte. */
static bool read_all(void *to, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(STDIN_FILENO, (char *)to + done, len - done);

		if (n == 0 && done == 0)
			return false;
		if (n <= 0)
			die("standard input", "ends too early");
		done += (size_t)n;
	}
	return true;
}

static void write_all(const void *from, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(STDOUT_FILENO, (const char *)from + done,
				  len - done);

		if (n <= 0)
			_exit(1);
		done += (size_t)n;
	}
}

static void send_record(struct record *r)
{
	struct glen_packet packet = { r->data, r->len };
	int n;

	for (;;) {
		if (port)
			n = glen_send(port, 0, &packet, 1) - 1;
		else
			n = fe_send(fe_tx(&fe, 0), r->hdr, r->data, r->len);
		if (n == 0)
			return;
		if (port ? n != -1 : n != -ENOSPC)
			die("cannot send",
			    port ? glen_port_error(port) : fe.error);
		usleep(100);
	}
}

static void *send_all(void *arg)
{
	static struct record r;

	while (read_all(&r.len, sizeof(r.len))) {
		if (r.len > sizeof(r.data))
			die("standard input", "a frame is too long");
		if (!read_all(r.hdr, sizeof(r.hdr) + r.len))
			die("standard input", "ends too early");
		send_record(&r);
	}
	exit(0);
	return arg;
}

static void write_record(const uint8_t *hdr, const uint8_t *data, uint32_t len)
{
	static const uint8_t none[FE_HDR_MAX];

	write_all(&len, sizeof(len));
	write_all(hdr ? hdr : none, FE_HDR_MAX);
	write_all(data, len);
}

_Noreturn static void receive_shm(void)
{
	struct glen_packet packets[64];

	for (;;) {
		int n = glen_recv(port, 0, packets, 64);

		if (n < 0)
			die("cannot receive", glen_port_error(port));
		for (int i = 0; i < n; i++)
			write_record(NULL, packets[i].data, packets[i].len);
		if (n > 0)
			glen_release(port, 0);
		else
			glen_wait_ring(port, 0, GLEN_RX, 1000);
	}
}

_Noreturn static void receive_vhost(void)
{
	struct fe_queue *q = fe_rx(&fe, 0);
	static struct fe_packet p;

	for (;;) {
		int n = fe_receive(q, &p);

		if (n < 0)
			die("cannot receive", fe.error);
		if (n > 0) {
			write_record(p.hdr, p.data, p.len);
			continue;
		}
		if (fe_fill(q) < 0)
			die("cannot post buffers", fe.error);
		fe_wait(q, 1000);
	}
}

static void attach_vhost(const char *path, char **words)
{
	struct fe_config config = {
		.features = FE_FEATURES_PLAIN | FE_BIT(FE_F_INDIRECT),
		.queue_size = 1024,
	};

	for (; *words; words++) {
		if (!strcmp(*words, "offloads"))
			config.features |= FE_FEATURES_OFFLOADS |
					   FE_BIT(FE_F_GUEST_ECN) |
					   FE_BIT(FE_F_HOST_ECN) |
					   FE_BIT(FE_F_GUEST_UFO) |
					   FE_BIT(FE_F_HOST_UFO) |
					   FE_BIT(FE_F_GUEST_USO4) |
					   FE_BIT(FE_F_GUEST_USO6) |
					   FE_BIT(FE_F_HOST_USO);
		else if (!strcmp(*words, "packed"))
			config.features |= FE_BIT(FE_F_PACKED);
		else if (!strcmp(*words, "scattered"))
			config.split_header = true, config.buf_size = 1100;
		else if (!strcmp(*words, "bare"))
			config.rx_chain = 5;
		else
			die("no such word", *words);
	}
	if (config.rx_chain)
		config.features &= ~FE_BIT(FE_F_MRG_RXBUF);
	if (fe_attach(&fe, &config, path))
		die(path, fe.error);
	if ((fe.features & config.features) != config.features)
		die(path, "does not offer all that was asked for");
}

/* PROTOCOL/PORT/ADDRESS */
static void claim(const char *text)
{
	struct glen_claim c = { .family = strchr(text, ':') ? AF_INET6 :
							      AF_INET };
	char protocol[4], ip[INET6_ADDRSTRLEN];
	struct glen_error error;

	if (sscanf(text, "%3[a-z]/%hu/%45s", protocol, &c.port, ip) != 3 ||
	    inet_pton(c.family, ip, c.ip) != 1)
		die("no such claim", text);
	c.protocol = strcmp(protocol, "tcp") ? IPPROTO_UDP : IPPROTO_TCP;
	if (glen_claim(port, &c, 1, &error))
		die(text, error.text);
}

static void attach_shm(const char *path, const char *name)
{
	struct glen_port_config config = { .socket = path };
	struct glen_error error;

	if (glen_port_open(&port, name, &config, &error))
		die(name, error.text);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc >= 3 && !strcmp(argv[1], "vhost"))
		attach_vhost(argv[2], argv + 3);
	else if (argc >= 4 && !strcmp(argv[1], "shm"))
		attach_shm(argv[2], argv[3]);
	else
		die("usage", "frames vhost PATH [WORD...] | "
			     "shm SOCKET PORT [CLAIM...]");
	for (int i = 4; port && i < argc; i++)
		claim(argv[i]);
	write_all("ready\n", 6);
	if (pthread_create(&thread, NULL, send_all, NULL))
		die("cannot make a thread", "");
	if (port)
		receive_shm();
	receive_vhost();
}
