/* SPDX-License-Identifier: BSD-2-Clause */
/* parse.h - reads the values of glen-gen's options. */
#ifndef GEN_PARSE_H
#define GEN_PARSE_H
/*
 * Each function reads all of text or returns -EINVAL and writes a sentence for
 * a person into *error (never NULL).
 */
#include <stdbool.h>
#include <stdint.h>

#include <glen/glen.h>

/* A whole number in [min, max], with K, M, G (1000s) or Ki, Mi, Gi behind. */
int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value,
		 struct glen_error *error);

/* A time in seconds, or with ns, us, ms, s, m behind; to nanoseconds. */
int parse_time(const char *text, uint64_t *ns, struct glen_error *error);

/* Packets per second (1M, 250kpps) or bits per second (10Gbit, 1.5Gbit/s). */
struct rate {
	double value; /* 0: unlimited */
	bool bits;
};
int parse_rate(const char *text, struct rate *rate, struct glen_error *error);

/* Six hexadecimal bytes with colons. */
int parse_mac(const char *text, uint8_t *mac, struct glen_error *error);

/* An IPv4 address, to host byte order. */
int parse_ip(const char *text, uint32_t *ip, struct glen_error *error);

/*
 * Frame sizes: N, MIN-MAX (uniformly distributed) or "imix" (7 : 4 : 1 of 60,
 * 590 and 1514 bytes). What comes out is a sequence that is repeated for ever.
 */
enum {
	SIZES_N = 4096, /* room for the sequence */
};
struct sizes {
	uint32_t n; /* used entries of size[] */
	uint32_t min, max;
	double mean;
	uint32_t size[SIZES_N];
};
int parse_sizes(const char *text, struct sizes *sizes,
		struct glen_error *error);

#endif
