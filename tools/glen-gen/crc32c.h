/* SPDX-License-Identifier: BSD-2-Clause */
/* crc32c.h - the Castagnoli checksum over packet bytes. */
#ifndef GEN_CRC32C_H
#define GEN_CRC32C_H
/*
 * CRC32C as in iSCSI and SCTP (polynomial 0x1EDC6F41, reflected). Uses the
 * instructions of SSE4.2 (part of this project's x86-64 baseline) or of arm64's
 * CRC extension if the compiler may assume them, a table otherwise. Both give
 * the same result; the tests compare them.
 *
 * Checksums chain: crc32c(crc32c(0, a), b) is the checksum of a followed by b.
 * All functions are pure and may be called from any thread.
 */
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The same with tables only. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
