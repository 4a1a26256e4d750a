/* SPDX-License-Identifier: BSD-2-Clause */
/* handle.h - glen ports for programs that use libpcap, by LD_PRELOAD. */
#ifndef NETMAP_PCAP_HANDLE_H
#define NETMAP_PCAP_HANDLE_H
/*
 * Theory of operation
 *
 * libglen-pcap.so stands in front of libpcap. A device whose name begins with
 * "glen:" is a port of a glen switch, opened through libglen; every other
 * device goes to libpcap as if we were not there.
 *
 *   interpose.c  the functions of libpcap that we replace: is it ours?
 *   handle.c     struct handle: made, found, opened, closed
 *   traffic.c    packets, waiting, statistics
 *   devices.c    what pcap_findalldevs() adds
 *
 * The pcap_t that the program gets is a real one, of pcap_open_dead(), so that
 * whatever we do not replace (pcap_geterr(), pcap_datalink(), pcap_perror())
 * works on it. A dead pcap_t has its snapshot length and precision of time from
 * the start, but the program sets them later: a second one, inner, is made when
 * the handle is activated. Filters are compiled and files are written with
 * that; its errors are copied to the first.
 *
 * Finding. Which pcap_t are ours is in a hash table of HANDLES_MAX places.
 * Looking up takes no lock: pcap_breakloop() may be called by a signal handler.
 *
 * Packets. Up to BATCH packets are borrowed from the RX ring at a time, and
 * given back before the next ones are taken: what pcap_next_ex() returned stays
 * where it is until the next call. All packets of a batch have the time when
 * the batch was taken.
 *
 * Waiting. Whoever waits sleeps in libglen; an eventfd wakes him for
 * pcap_breakloop(). The selectable descriptor is an epoll descriptor with two
 * members: the port's own, which says that glend called, and an eventfd that
 * is readable while packets are known to be there. It is settled after each
 * read, from the first time on that the program asked for it.
 *
 * Threads. One handle has one thread that receives and asks for statistics.
 * Others may send, and any may call pcap_breakloop().
 */
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/glen.h"

#define PREFIX "glen:"

enum {
	BATCH = 256, /* packets borrowed at a time, at most */
	HANDLES_MAX = 1024,
	SNAPLEN_MAX = 262144, /* libpcap's */
	SLOTS_DEFAULT = 4096, /* without pcap_set_buffer_size() */
	SEND_WAIT_MS = 10000, /* for room in the TX ring */
};

struct handle {
	pcap_t *outer; /* what the program has */
	pcap_t *inner; /* NULL: not activated */
	struct glen_port *port;
	char *name; /* "SWITCH:PORT" */

	/* As set before activation. */
	int snaplen;
	int timeout_ms; /* 0: none */
	int buffer_size;
	int precision;
	bool nonblock;
	int rfmon;

	/* Of the thread that receives. */
	struct glen_packet packets[BATCH];
	unsigned at, n;		   /* next packet, packets */
	unsigned batch;		   /* how many to borrow */
	unsigned slots;		   /* of the ring */
	struct timeval stamp;	   /* of the batch; tv_usec as precision says */
	struct bpf_program filter; /* bf_insns NULL: none */
	struct pcap_pkthdr hdr;	   /* of pcap_next_ex() */
	const u_char *data;	   /* the same */
	uint64_t received;	   /* packets that passed the filter */
	bool selectable;	   /* the program has poll_fd */
	bool ready;		   /* ready_fd is readable */
	int break_fd;		   /* an eventfd: pcap_breakloop() */
	int poll_fd;		   /* epoll; -1: not made */
	int ready_fd;		   /* an eventfd in poll_fd; -1: not made */
	int broken;		   /* pcap_breakloop() was called; atomic */
	uint64_t drops, drops_base; /* last heard; of glends that are gone */
	unsigned reconnects;	    /* when last heard */

	pthread_mutex_t tx_lock; /* who uses the TX ring */
};

/* The handle of p, NULL: it is libpcap's. Any thread, and signal handlers. */
struct handle *handle_find(const pcap_t *p);

/* Is device one of ours? NULL is not. */
bool handle_is_device(const char *device);

/*
 * Makes a handle that is not activated yet for a device of ours. Returns what
 * the program gets, or NULL with a sentence in errbuf.
 */
pcap_t *handle_create(const char *device, char *errbuf);

/* Opens the port: 0 or PCAP_ERROR_*, with the reason in the handle's text. */
int handle_activate(struct handle *h);

/* Closes the port and ends the handle and its pcap_t. */
void handle_destroy(struct handle *h);

/* Writes what pcap_geterr() will say. Returns code. */
int handle_fail(struct handle *h, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* 0, or PCAP_ERROR_NOT_ACTIVATED and its sentence. */
int handle_check(struct handle *h);

/* Prepares h for packets, when the port is there. 0 or PCAP_ERROR. */
int traffic_init(struct handle *h);
void traffic_fini(struct handle *h);

/*
 * Waits for packets as the handle's timeout says and calls callback for up to
 * limit (0: one ring full at most). Returns their number, 0 when time is up,
 * PCAP_ERROR, or PCAP_ERROR_BREAK.
 */
int traffic_read(struct handle *h, int limit, pcap_handler callback,
		 u_char *user);

/* Sends one packet, waiting for room. Returns size or PCAP_ERROR. */
int traffic_inject(struct handle *h, const void *data, size_t size);

/* Ends traffic_read() soon. Async-signal-safe. */
void traffic_break(struct handle *h);

/* Copies a filter: 0 or PCAP_ERROR. */
int traffic_filter(struct handle *h, const struct bpf_program *filter);

int traffic_stats(struct handle *h, struct pcap_stat *stats);

/* The selectable descriptor, or PCAP_ERROR. */
int traffic_fd(struct handle *h);

/* Appends a device for each switch of the glend that answers. */
void devices_append(pcap_if_t **list);

#endif
