// SPDX-License-Identifier: BSD-2-Clause
// writer.c - writes what a ring holds to a capture file.
#include "port/pcap/pcap_port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	SECOND_NS = 1000000000,
	TEXT_SIZE = 200,
	ASIDE_MAX = 1000,   /* recordings of killed runs, plus 1 */
	RELEASE_EVERY = 64, /* packets */
	STREAM_BUF = 256 << 10,
};

static void write_packet(struct pcap_writer *wr, const struct pcap_desc *desc)
{
	struct pcap_pkthdr hdr = {
		.ts = { .tv_sec = desc->time_ns / SECOND_NS,
			.tv_usec = desc->time_ns % SECOND_NS },
		.caplen = desc->len,
		.len = desc->wire_len,
	};

	pcap_dump((u_char *)wr->dumper, &hdr, wr->ring.data + desc->off);
	atomic_fetch_add_explicit(&wr->n_written, 1, memory_order_relaxed);
}

/* Writes all that is ready and returns the number of the next packet. */
static uint32_t write_ready(struct pcap_writer *wr, uint32_t number)
{
	uint32_t released = number;
	struct pcap_desc *desc;

	while ((desc = pcap_ring_peek(&wr->ring, number))) {
		write_packet(wr, desc);
		number++;
		if (number - released == RELEASE_EVERY) {
			pcap_ring_release(&wr->ring, number);
			released = number;
		}
	}
	if (number != released)
		pcap_ring_release(&wr->ring, number);
	return number;
}

/* Hands everything to the kernel; a failure breaks the port. */
static void flush_file(struct pcap_writer *wr)
{
	if (!pcap_dump_flush(wr->dumper) && !ferror(pcap_dump_file(wr->dumper)))
		return;
	if (!atomic_load(&wr->error)) {
		atomic_store(&wr->error, errno ? errno : EIO);
		port_break(wr->port, "its file cannot be written: disk full?");
	}
}

static bool packet_is_ready(void *arg)
{
	struct pcap_writer *wr = arg;

	return pcap_ring_peek(&wr->ring, atomic_load(&wr->ring.tail));
}

static void *writer_run(void *arg)
{
	struct pcap_writer *wr = arg;
	uint32_t next = 0;

	for (;;) {
		bool last = pcap_ring_stopped(&wr->ring);
		uint32_t from = next;

		next = write_ready(wr, next);
		if (next != from || last)
			flush_file(wr);
		if (last && next == from)
			return NULL;
		if (next == from)
			pcap_ring_sleep(&wr->ring, packet_is_ready, wr);
	}
}

/*
 * What glend recorded before it was killed is not overwritten when the port is
 * made again: FILE becomes FILE.1, or the first number that is free.
 */
static int set_aside(const char *path, struct glen_error *error)
{
	char aside[PCAP_PATH_SIZE + 8];
	struct stat st;

	if (lstat(path, &st) || !S_ISREG(st.st_mode) || !st.st_size)
		return 0;
	for (unsigned i = 1; i < ASIDE_MAX; i++) {
		snprintf(aside, sizeof(aside), "%s.%u", path, i);
		if (!lstat(aside, &st))
			continue;
		if (!rename(path, aside))
			return 0;
		return error_set(error, -errno,
				 "cannot set the last run's %.*s aside: %s",
				 TEXT_SIZE, path, strerror(errno));
	}
	return error_set(error, -EEXIST,
			 "cannot set the last run's %.*s aside: there are %d "
			 "others already",
			 TEXT_SIZE, path, ASIDE_MAX - 1);
}

/* Only what can be written without blocking for ever may be opened. */
static int file_make(struct pcap_writer *wr, struct glen_error *error)
{
	int fd = open(wr->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK,
		      0644);
	struct stat st;
	FILE *stream;
	int err;

	if (fd < 0)
		return error_set(error, -errno, "cannot write %.*s: %s",
				 TEXT_SIZE, wr->path, strerror(errno));
	if (fstat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISCHR(st.st_mode))) {
		err = error_set(error, -EINVAL, "%.*s is not a file", TEXT_SIZE,
				wr->path);
		goto err_fd;
	}
	/* Two ports in one file would spoil it, or feed each other. */
	if (S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) &&
	    errno == EWOULDBLOCK) {
		err = error_set(error, -EBUSY,
				"%.*s is read or written by another port",
				TEXT_SIZE, wr->path);
		goto err_fd;
	}
	if (S_ISREG(st.st_mode) && ftruncate(fd, 0)) {
		err = error_set(error, -errno, "cannot empty %.*s: %s",
				TEXT_SIZE, wr->path, strerror(errno));
		goto err_fd;
	}
	stream = fdopen(fd, "wb");
	if (!stream) {
		err = error_set(error, -ENOMEM, "no memory to write %.*s",
				TEXT_SIZE, wr->path);
		goto err_fd;
	}
	setvbuf(stream, NULL, _IOFBF, STREAM_BUF);
	wr->dumper = pcap_dump_fopen(wr->dead, stream);
	if (wr->dumper && !pcap_dump_flush(wr->dumper))
		return 0;
	err = error_set(error, -EIO, "cannot write %.*s: %s", TEXT_SIZE,
			wr->path, strerror(errno));
	if (wr->dumper)
		pcap_dump_close(wr->dumper);
	else
		fclose(stream);
	return err;

err_fd:
	close(fd);
	return err;
}

int pcap_writer_open(struct pcap_writer **writer, const char *path,
		     uint32_t snaplen, bool resume, struct port *port,
		     struct glen_error *error)
{
	struct pcap_writer *wr = aligned_alloc(64, (sizeof(*wr) + 63) &
							   ~(size_t)63);
	int err;

	if (!wr)
		return error_set(error, -ENOMEM, "no memory for the port");
	memset(wr, 0, sizeof(*wr));
	wr->port = port;
	wr->snaplen = snaplen;
	err = pcap_path(path, wr->path, error);
	if (err)
		goto err_free;
	err = -ENOMEM;
	wr->dead = pcap_open_dead_with_tstamp_precision(
		DLT_EN10MB, snaplen, PCAP_TSTAMP_PRECISION_NANO);
	if (!wr->dead || pcap_ring_init(&wr->ring)) {
		error_set(error, err, "no memory to write %.*s", TEXT_SIZE,
			  wr->path);
		goto err_dead;
	}
	err = resume ? set_aside(wr->path, error) : 0;
	if (!err)
		err = file_make(wr, error);
	if (err)
		goto err_ring;
	err = pcap_thread_start(&wr->thread, "glen-pcap-write", writer_run, wr);
	if (err) {
		error_set(error, err, "cannot start a thread: %s",
			  strerror(-err));
		goto err_file;
	}
	*writer = wr;
	return 0;

err_file:
	pcap_dump_close(wr->dumper);
err_ring:
	pcap_ring_fini(&wr->ring);
err_dead:
	if (wr->dead)
		pcap_close(wr->dead);
err_free:
	free(wr);
	return err;
}

void pcap_writer_close(struct pcap_writer *wr)
{
	if (!wr)
		return;
	pcap_thread_stop(&wr->ring, wr->thread);
	pcap_dump_close(wr->dumper);
	pcap_close(wr->dead);
	pcap_ring_fini(&wr->ring);
	free(wr);
}
