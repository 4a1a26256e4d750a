/* SPDX-License-Identifier: BSD-2-Clause */
/* pcapng.h - write packets as pcapng, with names, directions and comments. */
#ifndef TOOLS_GLENCTL_PCAPNG_H
#define TOOLS_GLENCTL_PCAPNG_H
/*
 * A small writer after draft-ietf-opsawg-pcapng: one section header, Ethernet
 * interfaces with nanoseconds, enhanced packet blocks, interface statistics.
 * (libpcap 1.10 writes neither names nor comments.)
 *
 * Functions write to the FILE and return nothing; ferror() tells. Everything
 * is in host byte order, as the format allows.
 */
#include <stdint.h>
#include <stdio.h>

enum pcapng_direction {
	PCAPNG_INBOUND = 1,
	PCAPNG_OUTBOUND = 2,
};

struct pcapng_packet {
	uint32_t interface;
	enum pcapng_direction direction;
	uint64_t time_ns; /* since 1970 */
	uint32_t cap_len; /* bytes of data */
	uint32_t wire_len;
	const void *data;
	const char *comment; /* NULL: none */
};

struct pcapng_stats {
	uint32_t interface;
	uint64_t start_ns, end_ns;
	uint64_t received; /* taken by the capture, before the filter */
	uint64_t missed;   /* found no room: isb_ifdrop */
	uint64_t accepted; /* passed the filter */
};

void pcapng_section(FILE *file, const char *application);
/* Interfaces get the numbers 0, 1, ... in order. filter may be NULL. */
void pcapng_interface(FILE *file, const char *name, uint32_t snaplen,
		      const char *filter);
void pcapng_packet(FILE *file, const struct pcapng_packet *packet);
void pcapng_stats(FILE *file, const struct pcapng_stats *stats);

#endif
