// SPDX-License-Identifier: BSD-2-Clause
// reader.c - reads a capture file ahead of its replay.
#include "port/pcap/pcap_port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	SECOND_NS = 1000000000,
	LAP_GAP_NS = SECOND_NS, /* between laps of a file of one packet */
	TEXT_SIZE = 200,	/* of an error message around a path */
};

#define DUE_MAX_NS 1000000000000000000ULL /* 31 years */

/* Opens path; only regular files can be read ahead and rewound. */
static int file_open(struct pcap_reader *rd, struct glen_error *error)
{
	char why[PCAP_ERRBUF_SIZE];
	struct stat st;
	FILE *stream;
	int err, fd = open(rd->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return error_set(error, -errno, "cannot open %.*s: %s",
				 TEXT_SIZE, rd->path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		err = error_set(error, -EINVAL, "%.*s is not a file", TEXT_SIZE,
				rd->path);
		goto err_fd;
	}
	/* The writer's half of this is in file_make(). */
	if (flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK) {
		err = error_set(error, -EBUSY,
				"%.*s is being written by another port",
				TEXT_SIZE, rd->path);
		goto err_fd;
	}
	stream = fdopen(fd, "rb");
	if (!stream) {
		err = error_set(error, -ENOMEM, "no memory to read %.*s",
				TEXT_SIZE, rd->path);
		goto err_fd;
	}
	rd->file = pcap_fopen_offline_with_tstamp_precision(
		stream, PCAP_TSTAMP_PRECISION_NANO, why);
	if (rd->file)
		return 0;
	fclose(stream);
	return error_set(error, -EINVAL, "%.*s is not a capture file: %.80s",
			 TEXT_SIZE, rd->path, why);

err_fd:
	close(fd);
	return err;
}

static int file_check(struct pcap_reader *rd, struct glen_error *error)
{
	int type = pcap_datalink(rd->file);
	const char *name = pcap_datalink_val_to_name(type);

	if (type == DLT_EN10MB)
		return 0;
	return error_set(error, -EINVAL,
			 "%.*s was captured on a link of type %s, not Ethernet",
			 TEXT_SIZE, rd->path, name ? name : "unknown");
}

/* A file may claim any times: no due time leaves the range of clocks. */
static uint64_t due_limit(double due_ns)
{
	return due_ns < DUE_MAX_NS ? (uint64_t)due_ns : DUE_MAX_NS;
}

/* When the next packet, recorded at ts, is due. Never before the last. */
static uint64_t due_time(struct pcap_reader *rd, uint64_t ts)
{
	uint64_t n = rd->n_lap++;
	uint64_t due = rd->lap_base;

	if (n == 0)
		rd->first_ts = ts;
	if (rd->pps > 0)
		due += due_limit(n * (SECOND_NS / rd->pps));
	else if (rd->factor > 0 && ts > rd->first_ts)
		due += due_limit((ts - rd->first_ts) / rd->factor);
	if (due > DUE_MAX_NS)
		due = DUE_MAX_NS;
	if (due < rd->last_due)
		due = rd->last_due;
	rd->last_due = due;
	return due;
}

/* The next lap begins one mean gap after the last packet. */
static void lap_end(struct pcap_reader *rd)
{
	uint64_t took = rd->last_due - rd->lap_base;

	if (rd->pps > 0)
		rd->lap_base += due_limit(rd->n_lap * (SECOND_NS / rd->pps));
	else if (rd->factor > 0 && rd->n_lap > 1)
		rd->lap_base = rd->last_due + took / (rd->n_lap - 1);
	else if (rd->factor > 0)
		rd->lap_base = rd->last_due + LAP_GAP_NS;
	if (rd->lap_base > DUE_MAX_NS)
		rd->lap_base = DUE_MAX_NS;
	rd->n_lap = 0;
	atomic_fetch_add(&rd->n_laps, 1);
}

/* The worker may wait for what we just did. Pairs with pcap_rx_arm(). */
static void wake_worker(struct pcap_reader *rd)
{
	struct itimerspec now = { .it_value = { 0, 1 } };

	shm_full_fence();
	if (atomic_load_explicit(&rd->armed, memory_order_relaxed) &&
	    atomic_exchange(&rd->armed, false))
		timerfd_settime(rd->timer_fd, 0, &now, NULL);
}

static bool ring_has_room(void *arg)
{
	struct pcap_reader *rd = arg;
	uint32_t tail = atomic_load_explicit(&rd->ring.tail,
					     memory_order_acquire);

	return rd->ring.head - tail <= PCAP_DESCS / 2 &&
	       rd->ring.data_head - atomic_load(&rd->ring.data_tail) <=
		       PCAP_DATA_SIZE / 2;
}

static enum drop packet_fate(const struct pcap_pkthdr *hdr)
{
	if (hdr->caplen < hdr->len)
		return DROP_IN_TRUNCATED;
	if (hdr->caplen < PACKET_LEN_MIN)
		return DROP_IN_RUNT;
	if (hdr->caplen > PACKET_LEN_MAX)
		return DROP_IN_TOO_LONG;
	return DROP_N;
}

/* Waits for room. Returns false if the thread is to end. */
static bool packet_put(struct pcap_reader *rd, const struct pcap_pkthdr *hdr,
		       const uint8_t *bytes)
{
	uint64_t ts = hdr->ts.tv_sec * (uint64_t)SECOND_NS + hdr->ts.tv_usec;
	enum drop fate = packet_fate(hdr);
	uint32_t number, len = fate == DROP_N ? hdr->caplen : 0;
	struct pcap_desc *desc;

	for (;;) {
		if (pcap_ring_stopped(&rd->ring))
			return false;
		pthread_spin_lock(&rd->ring.lock);
		desc = pcap_ring_reserve(&rd->ring, len, &number);
		pthread_spin_unlock(&rd->ring.lock);
		if (desc)
			break;
		wake_worker(rd);
		pcap_ring_sleep(&rd->ring, ring_has_room, rd);
	}
	memcpy(rd->ring.data + desc->off, bytes, len);
	desc->wire_len = hdr->len;
	desc->drop = fate;
	desc->time_ns = due_time(rd, ts);
	pcap_ring_ready(desc, number);
	wake_worker(rd);
	atomic_fetch_add_explicit(&rd->n_read, 1, memory_order_relaxed);
	return true;
}

/* Reads the file once. Returns false if that is all there will be. */
static bool lap_run(struct pcap_reader *rd)
{
	struct pcap_pkthdr *hdr;
	const uint8_t *bytes;
	int got;

	while ((got = pcap_next_ex(rd->file, &hdr, &bytes)) == 1)
		if (!packet_put(rd, hdr, bytes))
			return false;
	if (got != PCAP_ERROR_BREAK) {
		snprintf(rd->error, sizeof(rd->error), "%s",
			 pcap_geterr(rd->file));
		return false;
	}
	if (rd->n_lap == 0)
		return false; /* an empty file */
	lap_end(rd);
	return rd->laps == 0 || atomic_load(&rd->n_laps) < (uint32_t)rd->laps;
}

static void *reader_run(void *arg)
{
	struct pcap_reader *rd = arg;
	struct glen_error error;

	while (lap_run(rd)) {
		pcap_close(rd->file);
		rd->file = NULL;
		if (file_open(rd, &error) || file_check(rd, &error)) {
			snprintf(rd->error, sizeof(rd->error), "%.*s",
				 PCAP_ERRBUF_SIZE - 1, error.text);
			break;
		}
	}
	atomic_store(&rd->done, true);
	wake_worker(rd);
	return NULL;
}

int pcap_reader_open(struct pcap_reader **reader, const char *path,
		     double factor, double pps, long laps,
		     struct glen_error *error)
{
	struct pcap_reader *rd = aligned_alloc(64, (sizeof(*rd) + 63) &
							   ~(size_t)63);
	int err;

	if (!rd)
		return error_set(error, -ENOMEM, "no memory for the port");
	memset(rd, 0, sizeof(*rd));
	rd->factor = factor;
	rd->pps = pps;
	rd->laps = laps;
	err = pcap_path(path, rd->path, error);
	if (!err)
		err = file_open(rd, error);
	if (err)
		goto err_free;
	err = file_check(rd, error);
	if (err)
		goto err_file;
	rd->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				      TFD_CLOEXEC | TFD_NONBLOCK);
	err = rd->timer_fd < 0 ? -errno : pcap_ring_init(&rd->ring);
	if (err)
		goto err_timer;
	err = pcap_thread_start(&rd->thread, "glen-pcap-read", reader_run, rd);
	if (err)
		goto err_ring;
	*reader = rd;
	return 0;

err_ring:
	pcap_ring_fini(&rd->ring);
err_timer:
	error_set(error, err, "cannot replay %.*s: %s", TEXT_SIZE, rd->path,
		  strerror(-err));
	if (rd->timer_fd >= 0)
		close(rd->timer_fd);
err_file:
	pcap_close(rd->file);
err_free:
	free(rd);
	return err;
}

void pcap_reader_close(struct pcap_reader *rd)
{
	if (!rd)
		return;
	pcap_thread_stop(&rd->ring, rd->thread);
	pcap_ring_fini(&rd->ring);
	close(rd->timer_fd);
	if (rd->file)
		pcap_close(rd->file);
	free(rd);
}
