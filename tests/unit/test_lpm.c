// SPDX-License-Identifier: BSD-2-Clause
// test_lpm.c - routes are found as a look at each of them finds them.
#include "unit.h"

#include <pthread.h>
#include <sys/random.h>

#include "lpm_model.h"

static uint64_t random_state;

static void seeded(void)
{
	assert_int_equal(getrandom(&random_state, sizeof(random_state), 0),
			 sizeof(random_state));
	random_state |= 1;
	print_message("# seed %#llx\n", (unsigned long long)random_state);
}

static unsigned below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 32) % n;
}

/* Out of few bytes, so that prefixes lie in each other. */
static void draw(uint8_t address[16])
{
	static const uint8_t few[] = { 0, 1, 127, 128, 255 };

	for (unsigned i = 0; i < 16; i++)
		address[i] = below(8) ? few[below(i < 3 ? 2 : 5)] : below(256);
}

static void compare(const struct lpm_model *m, unsigned n)
{
	uint8_t address[100][16];
	const uint8_t *at[100] = { NULL };
	uint32_t got[100];

	for (unsigned i = 0; i < n; i++) {
		draw(address[i]);
		if (m->n && below(2))
			memcpy(address[i], m->route[below(m->n)].address, 8);
		at[i] = address[i];
	}
	lpm_find(m->table, at, n, got);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(got[i], lpm_model_find(m, address[i]));
}

static void change(struct lpm_model *m, unsigned most)
{
	const struct lpm_model_route *r = &m->route[below(m->n ? m->n : 1)];
	uint8_t address[16];
	bool known = m->n && below(2);
	unsigned len;

	draw(address);
	len = known ? r->len : below(m->bits + 1);
	if (known)
		memcpy(address, r->address, 16);
	assert_true(lpm_model_change(m, address, len,
				     below(most) < m->n ? 0 : 1 + below(9)));
	if (m->n) {
		r = &m->route[below(m->n)];
		assert_int_equal(lpm_get(m->table, r->address, r->len),
				 r->value);
	}
}

static void agree(unsigned family, unsigned changes, unsigned most)
{
	struct lpm_model *m = lpm_model_new(family);

	seeded();
	for (unsigned i = 0; i < changes; i++) {
		change(m, most);
		compare(m, 1 + below(100));
	}
	while (m->n)
		assert_true(lpm_model_change(m, m->route[0].address,
					     m->route[0].len, 0));
	compare(m, 100);
	for (uint32_t i = 0; i < LPM_ROOT; i++)
		assert_int_equal(atomic_load(&m->table->root[i]), 0);
	lpm_model_free(m);
}

static void ipv4_agrees_with_a_list(void **state)
{
	agree(4, 2000, 20);
	agree(4, 600, 400);
}

static void ipv6_agrees_with_a_list(void **state)
{
	agree(6, 2000, 20);
	agree(6, 600, 400);
}

static void what_cannot_be_is_refused(void **state)
{
	static const uint8_t address[16] = { 10 };
	struct lpm_model *m = lpm_model_new(4);
	struct lpm *none;

	assert_int_equal(lpm_create(&none, 5), -EINVAL);
	assert_null(none);
	assert_int_equal(lpm_insert(m->table, address, 33, 1, lpm_model_retire,
				    m),
			 -EINVAL);
	assert_int_equal(lpm_insert(m->table, address, 8, 0, lpm_model_retire,
				    m),
			 -EINVAL);
	assert_int_equal(lpm_remove(m->table, address, 33, lpm_model_retire, m),
			 -EINVAL);
	assert_int_equal(lpm_remove(m->table, address, 8, lpm_model_retire, m),
			 -ENOENT);
	assert_int_equal(lpm_remove(m->table, address, 32, lpm_model_retire, m),
			 -ENOENT);
	lpm_model_free(m);
}

/* One thread changes what is longer than /8, others must always find one of
 * the values that are right with or without it. */
struct race {
	struct lpm_model *m;
	_Atomic bool over;
	_Atomic uint64_t looked, wrong;
};

static void *reader(void *arg)
{
	static const uint8_t inside[4][4] = { { 10, 1, 2, 3 },
					      { 10, 1, 2, 200 },
					      { 10, 1, 255, 1 },
					      { 10, 200, 0, 0 } };
	static const uint32_t most[4] = { 4, 3, 2, 1 };
	const uint8_t *at[4] = { inside[0], inside[1], inside[2], inside[3] };
	struct race *r = arg;
	uint32_t got[4];

	while (!atomic_load(&r->over)) {
		lpm_find(r->m->table, at, 4, got);
		for (unsigned i = 0; i < 4; i++)
			if (!got[i] || got[i] > most[i])
				atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->looked, 1);
	}
	return NULL;
}

static void looking_up_and_changing_go_together(void **state)
{
	static const uint8_t address[16] = { 10, 1, 2, 3 };
	static const unsigned len[] = { 16, 24, 32 };
	struct race r = { .m = lpm_model_new(4) };
	pthread_t thread;

	assert_true(lpm_model_change(r.m, address, 8, 1));
	assert_int_equal(pthread_create(&thread, NULL, reader, &r), 0);
	seeded();
	for (unsigned i = 0; i < 50000 || atomic_load(&r.looked) < 100; i++) {
		unsigned k = below(3);

		if (i < 50000)
			assert_true(lpm_model_change(r.m, address, len[k],
						     below(2) ? 0 : 2 + k));
	}
	atomic_store(&r.over, true);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&r.wrong), 0);
	lpm_model_free(r.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_agrees_with_a_list),
		cmocka_unit_test(ipv6_agrees_with_a_list),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(looking_up_and_changing_go_together),
	};

	return cmocka_run_group_tests_name("lpm", tests, NULL, NULL);
}
