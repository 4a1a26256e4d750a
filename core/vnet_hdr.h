/* SPDX-License-Identifier: BSD-2-Clause */
/* vnet_hdr.h - struct offload to and from the bytes of a virtio_net_hdr. */
#ifndef CORE_VNET_HDR_H
#define CORE_VNET_HDR_H
/*
 * A virtio_net_hdr (virtio 1.2, 5.1.6) precedes each packet of a TAP with
 * IFF_VNET_HDR, of a shared-memory port that asked for it, and of a virtqueue.
 * It has 10 bytes, or 12 with the number of buffers at its end; all numbers
 * are little endian:
 *
 *    0      1         2        4         6           8            10
 *   flags | gso_type | hdr_len | gso_size | csum_start | csum_offset | buffers
 *
 * The caller of vnet_hdr_read() copies the bytes out of shared memory first
 * and passes the copy. Nothing is judged here: offload_valid() and
 * offload_segment() do that. Any thread.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/batch.h"

enum {
	VNET_HDR_LEN = 10,
	VNET_HDR_LEN_BUFFERS = 12, /* with the number of buffers */
};

_Static_assert((int)VNET_HDR_LEN_BUFFERS == BATCH_VNET_MAX,
	       "a batch has room for either");

static inline uint16_t vnet_hdr_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline void vnet_hdr_put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

/*
 * Reads the first 10 of the bytes at hdr, the caller's private copy. Flags we
 * do not know are dropped, and so are fields that no flag or type gives a
 * meaning, so "nothing to do" is all zero. Returns true if off is not zero
 * (then the batch's offloads must be set).
 */
static inline bool vnet_hdr_read(const uint8_t *hdr, struct offload *off)
{
	uint16_t types;

	memset(off, 0, sizeof(*off));
	memcpy(&types, hdr, sizeof(types));
	if (__builtin_expect(types == 0, 1))
		return false;
	off->flags = hdr[0] & (OFFLOAD_NEEDS_CSUM | OFFLOAD_DATA_VALID);
	off->gso_type = hdr[1];
	if (off->gso_type != OFFLOAD_GSO_NONE) {
		off->hdr_len = vnet_hdr_get16(hdr + 2);
		off->gso_size = vnet_hdr_get16(hdr + 4);
	}
	if (off->flags & OFFLOAD_NEEDS_CSUM) {
		off->csum_start = vnet_hdr_get16(hdr + 6);
		off->csum_offset = vnet_hdr_get16(hdr + 8);
	}
	return off->flags != 0 || off->gso_type != OFFLOAD_GSO_NONE;
}

/*
 * Writes hdr_len bytes (10 or 12) to dst, which may be shared memory: it is
 * only written. The number of buffers is set to 1.
 */
static inline void vnet_hdr_write(uint8_t *dst, unsigned hdr_len,
				  const struct offload *off)
{
	uint8_t hdr[VNET_HDR_LEN_BUFFERS];

	hdr[0] = off->flags;
	hdr[1] = off->gso_type;
	vnet_hdr_put16(hdr + 2, off->hdr_len);
	vnet_hdr_put16(hdr + 4, off->gso_size);
	vnet_hdr_put16(hdr + 6, off->csum_start);
	vnet_hdr_put16(hdr + 8, off->csum_offset);
	vnet_hdr_put16(hdr + 10, 1);
	memcpy(dst, hdr, VNET_HDR_LEN);
	if (hdr_len >= VNET_HDR_LEN_BUFFERS)
		memcpy(dst + VNET_HDR_LEN, hdr + VNET_HDR_LEN, 2);
}

#endif
