/* SPDX-License-Identifier: BSD-2-Clause */
/* pcap_port.h - a port that replays a capture file and writes another. */
#ifndef PORT_PCAP_PCAP_PORT_H
#define PORT_PCAP_PCAP_PORT_H
/*
 * Theory of operation
 *
 * Files are slow and may block, so no worker touches one. A thread per file
 * and a bounded ring of packets lie between:
 *
 *   file --libpcap--> reader thread --ring--> rx()   ingress, if "read"
 *   file <--libpcap-- writer thread <--ring-- tx()   egress, if "write"
 *
 * A ring has descriptors and a data area in which packets lie contiguously.
 * Whoever produces takes a descriptor and room under a lock, copies with
 * nothing held, and marks the descriptor ready; the only consumer goes on to
 * the first that is not. A ring without room drops as out_no_room (egress) or
 * makes the reader wait (ingress). All memory is ours: what lies in a ring
 * changes only by these rules.
 *
 * Time. The reader gives each packet a due time counted from the first one.
 * rx() hands out what is due; rx_arm() sets a timerfd, the ring's in_fd, to
 * the next due time. When the ring is empty because the reader lags, the
 * reader fires the timer once it has something.
 *
 *   speed recorded   due = recorded time - time of the first packet
 *   speed 2.5x       the same, divided by 2.5
 *   speed 1000pps    due = n / 1000 s
 *   speed max        due at once
 *
 * When a file is looped, the next lap starts after the mean gap of the file.
 *
 * Nothing is offloaded to a file: packets are written finished and with the
 * time at which the switch delivered them. When the writer has caught up, all
 * is in the file. If the file cannot be written (disk full) the port breaks:
 * a capture with holes is worse than none.
 *
 * Packets that cannot be replayed as they were: in_runt, in_too_long, and
 * in_truncated if the capture holds only their beginning.
 *
 * Threads: control callbacks on the control thread; rx on the ring's worker,
 * tx on any; one reader and one writer thread per port.
 */
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/port.h"
#include "lib/shm.h"

extern const struct port_ops pcap_port_ops;
extern const struct port_hot pcap_hot;

enum {
	PCAP_DESCS = 8192,	  /* packets in a ring; a power of two */
	PCAP_DATA_SIZE = 8 << 20, /* bytes in a ring; a power of two */
	PCAP_DATA_SPARE = 4096,	  /* mapped behind it, for overreads */
	PCAP_PATH_SIZE = 4096,
	PCAP_SNAPLEN_MAX = 262144,
	PCAP_SPEED_SIZE = 32,
};

/* A packet in a ring. */
struct pcap_desc {
	_Atomic uint32_t ready; /* its number plus one: contents are valid */
	uint32_t len;		/* bytes in the data area */
	uint32_t wire_len;	/* of the whole packet */
	uint32_t drop;		/* ingress: enum drop, or DROP_N to send it */
	uint64_t time_ns;	/* ingress: due; egress: wall clock */
	uint64_t off;		/* in the data area */
	uint64_t end;		/* data position after it, for release */
};

/* See above. Numbers and positions count up for ever and are masked. */
struct pcap_ring {
	struct pcap_desc *descs;
	uint8_t *data;
	/* Producers, under the lock. */
	_Alignas(64) pthread_spinlock_t lock;
	uint32_t head;
	uint64_t data_head;
	/* Written by the consumer. */
	_Alignas(64) _Atomic uint32_t tail;
	_Atomic uint64_t data_tail;
	/* The thread behind the ring sleeps on kick_fd and wants a kick. */
	_Alignas(64) _Atomic bool asleep;
	int kick_fd;
	_Atomic bool stop; /* the thread is to end */
};

/* The ingress half. */
struct pcap_reader {
	struct pcap_ring ring;
	pthread_t thread;
	pcap_t *file;
	char path[PCAP_PATH_SIZE];
	char error[PCAP_ERRBUF_SIZE]; /* valid once done */
	double factor;		      /* 0: not by recorded time */
	double pps;		      /* 0: not by rate */
	long laps;		      /* 0: for ever */
	int timer_fd;
	uint64_t start_ns;  /* worker's: due time 0; 0: not started */
	_Atomic bool armed; /* the worker waits for the reader */
	_Atomic bool done;  /* nothing more will come */
	_Atomic uint64_t n_read;
	_Atomic uint32_t n_laps;
	/* The reader thread's own. */
	uint64_t first_ts, last_ts, lap_base, last_due, n_lap;
};

/* The egress half. */
struct pcap_writer {
	struct pcap_ring ring;
	pthread_t thread;
	pcap_t *dead; /* carries link type and precision */
	pcap_dumper_t *dumper;
	char path[PCAP_PATH_SIZE];
	uint32_t snaplen;
	struct port *port;
	_Atomic int error; /* errno of the write that failed */
	_Atomic uint64_t n_written;
};

struct pcap_port {
	struct pcap_reader *reader; /* NULL: no ingress */
	struct pcap_writer *writer; /* NULL: no egress */
	char speed[PCAP_SPEED_SIZE];
};

/* Makes the ring and its kick_fd. 0 or -errno; nothing is kept on error. */
int pcap_ring_init(struct pcap_ring *r);
void pcap_ring_fini(struct pcap_ring *r);

/*
 * Takes descriptor and room for len bytes; call under r->lock. Returns NULL if
 * there is none. The caller fills *desc and the data, then marks it ready with
 * pcap_ring_ready(desc, *number).
 */
static inline struct pcap_desc *pcap_ring_reserve(struct pcap_ring *r,
						  uint32_t len,
						  uint32_t *number)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	uint64_t free_to = atomic_load_explicit(&r->data_tail,
						memory_order_acquire) +
			   PCAP_DATA_SIZE;
	uint64_t pos = r->data_head;
	uint64_t size = ((uint64_t)len + 63) & ~63ULL;
	uint64_t to_end = PCAP_DATA_SIZE - (pos & (PCAP_DATA_SIZE - 1));
	struct pcap_desc *desc;

	if (r->head - tail >= PCAP_DESCS)
		return NULL;
	if (size > to_end)
		pos += to_end;
	if (pos + size > free_to)
		return NULL;
	*number = r->head++;
	r->data_head = pos + size;
	desc = &r->descs[*number & (PCAP_DESCS - 1)];
	desc->off = pos & (PCAP_DATA_SIZE - 1);
	desc->end = pos + size;
	desc->len = len;
	return desc;
}

/* Pairs with the load in pcap_ring_peek(). */
static inline void pcap_ring_ready(struct pcap_desc *desc, uint32_t number)
{
	atomic_store_explicit(&desc->ready, number + 1, memory_order_release);
}

/* Consumer: packet number, or NULL if it is not there yet. */
static inline struct pcap_desc *pcap_ring_peek(struct pcap_ring *r,
					       uint32_t number)
{
	struct pcap_desc *desc = &r->descs[number & (PCAP_DESCS - 1)];

	if (atomic_load_explicit(&desc->ready, memory_order_acquire) !=
	    number + 1)
		return NULL;
	return desc;
}

/* Consumer: packets before number are not needed any more. */
static inline void pcap_ring_release(struct pcap_ring *r, uint32_t number)
{
	uint64_t end = r->descs[(number - 1) & (PCAP_DESCS - 1)].end;

	/* Pairs with the loads in pcap_ring_reserve(). */
	atomic_store_explicit(&r->data_tail, end, memory_order_release);
	atomic_store_explicit(&r->tail, number, memory_order_release);
}

/*
 * A worker did something the ring's thread may sleep for. Pairs with
 * pcap_ring_sleep(): either we see that it sleeps, or it sees what we did.
 */
static inline bool pcap_ring_wants_kick(struct pcap_ring *r)
{
	shm_full_fence();
	return atomic_load_explicit(&r->asleep, memory_order_relaxed) &&
	       atomic_exchange_explicit(&r->asleep, false,
					memory_order_relaxed);
}

void pcap_ring_kick(struct pcap_ring *r);

/*
 * The ring's thread: sleeps until kicked or stopped unless ready(arg) says,
 * after the wish for a kick was announced, that there is work.
 */
void pcap_ring_sleep(struct pcap_ring *r, bool (*ready)(void *arg), void *arg);

static inline bool pcap_ring_stopped(struct pcap_ring *r)
{
	return atomic_load_explicit(&r->stop, memory_order_relaxed);
}

/* Starts function(arg) with all signals blocked. 0 or -errno. */
int pcap_thread_start(pthread_t *thread, const char *name,
		      void *(*function)(void *arg), void *arg);
/* Tells the ring's thread to end, and waits for it. */
void pcap_thread_stop(struct pcap_ring *r, pthread_t thread);

/*
 * Opens a capture for replay and starts its thread. factor, pps, laps as in
 * struct pcap_reader. 0 or -errno with error filled.
 */
int pcap_reader_open(struct pcap_reader **reader, const char *path,
		     double factor, double pps, long laps,
		     struct glen_error *error);
void pcap_reader_close(struct pcap_reader *rd);

/*
 * Makes (or empties) the file and starts its thread. resume: the port was there
 * when glend died; what it recorded is set aside as FILE.1, FILE.2, ...
 */
int pcap_writer_open(struct pcap_writer **writer, const char *path,
		     uint32_t snaplen, bool resume, struct port *port,
		     struct glen_error *error);
/* Writes what the ring still holds, then closes. */
void pcap_writer_close(struct pcap_writer *wr);

/* Makes path absolute in full (PCAP_PATH_SIZE bytes), so messages name it. */
int pcap_path(const char *path, char *full, struct glen_error *error);

#endif
