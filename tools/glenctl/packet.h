/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.h - a packet in one line, in the manner of tcpdump. */
#ifndef TOOLS_GLENCTL_PACKET_H
#define TOOLS_GLENCTL_PACKET_H
#include <stdint.h>
#include <stdio.h>

/*
 * Writes a description of the Ethernet frame, of which len bytes are here and
 * wire_len were on the wire, without newline. Reads nothing beyond len.
 */
void packet_print(FILE *file, const uint8_t *data, uint32_t len,
		  uint32_t wire_len);

#endif
