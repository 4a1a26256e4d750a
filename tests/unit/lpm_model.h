/* SPDX-License-Identifier: BSD-2-Clause */
/* lpm_model.h - a list of prefixes, looked through one by one. */
#ifndef TESTS_UNIT_LPM_MODEL_H
#define TESTS_UNIT_LPM_MODEL_H
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lpm.h"

enum { LPM_MODEL_MAX = 4096, LPM_MODEL_OLD = 1 << 20 };

struct lpm_model_route {
	uint8_t address[16];
	unsigned len;
	uint32_t value;
};

/* The table and its model. */
struct lpm_model {
	struct lpm *table;
	unsigned bits; /* of an address */
	unsigned n;
	struct lpm_model_route route[LPM_MODEL_MAX];
	unsigned n_old;
	void *old[LPM_MODEL_OLD]; /* retired, freed at the end */
};

static inline void lpm_model_retire(void *arg, void *memory)
{
	struct lpm_model *m = arg;

	/* Nobody may look into it any more: a look-up that does sees that. */
	if (m->n_old == LPM_MODEL_OLD)
		abort();
	m->old[m->n_old++] = memory;
}

static inline struct lpm_model *lpm_model_new(unsigned family)
{
	struct lpm_model *m = calloc(1, sizeof(*m));

	m->bits = family == 4 ? 32 : 128;
	if (lpm_create(&m->table, family))
		abort();
	return m;
}

static inline void lpm_model_free(struct lpm_model *m)
{
	lpm_destroy(m->table);
	while (m->n_old)
		free(m->old[--m->n_old]);
	free(m);
}

static inline bool lpm_model_in(const struct lpm_model_route *r,
				const uint8_t *address)
{
	for (unsigned bit = 0; bit < r->len; bit++)
		if ((r->address[bit / 8] ^ address[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

/* The number of exactly this prefix; -1: it is not there. */
static inline int lpm_model_at(const struct lpm_model *m,
			       const uint8_t *address, unsigned len)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->route[i].len == len &&
		    lpm_model_in(&m->route[i], address))
			return (int)i;
	return -1;
}

static inline uint32_t lpm_model_find(const struct lpm_model *m,
				      const uint8_t *address)
{
	uint32_t value = 0;
	int best = -1;

	for (unsigned i = 0; i < m->n; i++)
		if ((int)m->route[i].len > best &&
		    lpm_model_in(&m->route[i], address)) {
			best = (int)m->route[i].len;
			value = m->route[i].value;
		}
	return value;
}

/* Inserts, or removes if value is 0, at both; false: they do not agree. */
static inline bool lpm_model_change(struct lpm_model *m, const uint8_t *address,
				    unsigned len, uint32_t value)
{
	int at = lpm_model_at(m, address, len), err;

	if (value && at < 0 && m->n == LPM_MODEL_MAX)
		return true;
	if (value) {
		err = lpm_insert(m->table, address, len, value,
				 lpm_model_retire, m);
		if (at < 0) {
			at = (int)m->n++;
			memcpy(m->route[at].address, address, m->bits / 8);
			m->route[at].len = len;
		}
		m->route[at].value = value;
		return !err && m->table->n == m->n;
	}
	err = lpm_remove(m->table, address, len, lpm_model_retire, m);
	if (at >= 0)
		m->route[at] = m->route[--m->n];
	return err == (at < 0 ? -ENOENT : 0) && m->table->n == m->n;
}

#endif
