// SPDX-License-Identifier: BSD-2-Clause
// test_learn_window.c - the learning bridge's table: where addresses live.
#include "unit.h"

#include "learn_bridge.h"

enum {
	ENTRIES = 65536, /* that a table may have, of all here */
	BUCKETS = ENTRIES / 2,
	FEW = 1000,
	STAY = 800,
	AGEING_S = 300,
};

static struct learn *l;
static struct table *t;

static void make(void)
{
	l = made(json_pack("{s:i, s:i}", "entries", ENTRIES, "ageing_s",
			   AGEING_S));
	t = atomic_load(&l->table);
}

/* Station n is at port 1 + n % 4. */
static void learn_all(uint32_t n)
{
	for (uint32_t i = 0; i < n; i += BATCH_MAX) {
		for (unsigned port = 0; port < 4; port++) {
			unsigned k = 0;

			for (uint32_t at = i + port;
			     at < n && at < i + BATCH_MAX; at += 4)
				put_packet(k++, 0xffffffff, at);
			run(l, 1 + port, k);
		}
	}
}

/* How many of n stations nothing is known of; the others are where they are. */
static unsigned unknown(uint32_t n)
{
	unsigned flooded = 0;

	for (uint32_t i = 0; i < n; i += BATCH_MAX) {
		unsigned k = 0;

		for (uint32_t at = i; at < n && at < i + BATCH_MAX; at++)
			put_packet(k++, at, 0);
		for (unsigned j = 0; j < k; j++)
			memset(batch->hdr[j] + 6, 0, 6);
		run(l, 7, k);
		for (unsigned j = 0; j < k; j++) {
			if (batch->verdict[j] == UNKNOWN)
				flooded++;
			else
				assert_int_equal(batch->verdict[j],
						 to(1 + (i + j) % 4));
		}
	}
	return flooded;
}

static uint64_t window(void)
{
	return table_window(t) / sizeof(struct bucket) + 1;
}

/* Of the first n stations, those in their near bucket. */
static unsigned n_near(uint32_t n)
{
	unsigned found = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t key = 0;

		put_mac((uint8_t *)&key, i);
		found += bucket_match(table_near(t, table_hash(t, key)), key) !=
			 0;
	}
	return found;
}

static void ticks(unsigned n)
{
	while (n--)
		ops->tick(l, now_s);
}

static void few_addresses_are_close_together(void **state)
{
	unsigned used = 0;

	make();
	learn_all(FEW);
	assert_int_equal(window(), WINDOW_MIN);
	for (unsigned i = 0; i < WINDOW_MIN * BUCKET_SLOTS; i++)
		used += t->buckets[i / BUCKET_SLOTS].key[i % BUCKET_SLOTS] != 0;
	/* Four in a bucket is the exception. */
	assert_in_range(used, FEW - FEW / 20, FEW);
	assert_int_equal(unknown(FEW), 0);
	ops->destroy(l);
}

static void a_burst_loses_nothing(void **state)
{
	unsigned lost;

	make();
	/* Control has no turn until there are as many as may be. */
	learn_all(ENTRIES);
	lost = count(l, "not_learnt");
	assert_in_range(lost, 0, 1);
	assert_int_equal(count(l, "used"), ENTRIES - lost);
	assert_int_equal(unknown(ENTRIES), lost);
	assert_int_equal(window(), BUCKETS);
	for (unsigned i = 0; i < 10; i++) {
		ticks(1);
		assert_int_equal(unknown(ENTRIES), lost);
	}
	assert_int_equal(count(l, "used"), ENTRIES - lost);
	assert_int_equal(t->left_mask, t->near_mask);
	ops->destroy(l);
}

static void a_burst_in_a_window_chosen_before(void **state)
{
	make();
	learn_all(FEW + 500);
	ticks(1);
	assert_int_equal(window(), 4 * WINDOW_MIN);
	learn_all(ENTRIES / 2);
	assert_int_equal(window(), BUCKETS);
	assert_int_equal(count(l, "used"), ENTRIES / 2);
	assert_int_equal(unknown(ENTRIES / 2), 0);
	ops->destroy(l);
}

static void the_window_follows_the_number(void **state)
{
	make();
	learn_all(FEW);
	ticks(1);
	assert_int_equal(window(), WINDOW_MIN);
	learn_all(WINDOW_MIN + 1);
	ticks(1);
	assert_int_equal(window(), 4 * WINDOW_MIN);
	learn_all(ENTRIES / 2);
	ticks(10);
	assert_int_equal(window(), BUCKETS);
	assert_in_range(n_near(ENTRIES / 2), ENTRIES / 2 * 0.97, ENTRIES / 2);
	/* Most age, one after the other is swept. */
	now_s += AGEING_S - 1;
	learn_all(STAY);
	now_s++;
	ticks(32);
	assert_int_equal(count(l, "used"), STAY);
	assert_int_equal(window(), WINDOW_MIN);
	assert_int_equal(t->left_mask, t->near_mask);
	assert_in_range(n_near(STAY), STAY - STAY / 20, STAY);
	assert_int_equal(unknown(STAY), 0);
	assert_int_equal(unknown(2 * STAY), STAY);
	ops->destroy(l);
}

/* Not to and fro where the number is about that which makes it grow. */
static void a_few_more_or_less_change_nothing(void **state)
{
	make();
	learn_all(WINDOW_MIN + 1);
	ticks(1);
	assert_int_equal(window(), 4 * WINDOW_MIN);
	for (uint32_t i = 0; i < 100; i++) {
		uint64_t key = 0;

		put_mac((uint8_t *)&key, i);
		assert_int_equal(table_del(t, key), 0);
	}
	ticks(10);
	assert_int_equal(window(), 4 * WINDOW_MIN);
	ops->destroy(l);
}

/* Without control, as where a program has a switch of its own: packets from
 * them, and packets to them. */
static void packets_bring_addresses_near(void **state)
{
	for (unsigned to_them = 0; to_them < 2; to_them++) {
		make();
		learn_all(ENTRIES / 2);
		assert_int_equal(window(), BUCKETS);
		assert_in_range(n_near(2 * WINDOW_MIN), 0, WINDOW_MIN);
		if (to_them)
			assert_int_equal(unknown(ENTRIES / 2), 0);
		else
			learn_all(ENTRIES / 2);
		assert_in_range(n_near(2 * WINDOW_MIN), 2 * WINDOW_MIN * 0.97,
				2 * WINDOW_MIN);
		assert_int_equal(unknown(ENTRIES / 2), 0);
		assert_int_equal(count(l, "used"), ENTRIES / 2);
		assert_int_equal(count(l, "moves"), 0);
		ops->destroy(l);
	}
}

/* What an entry is but for where it lives: by station. */
static struct table_entry known[2][2 * FEW];

static bool note(void *arg, const struct table_entry *e)
{
	struct table_entry *all = arg;
	uint32_t n = __builtin_bswap64(e->key) >> 16 & 0xffffffff;

	assert_in_range(n, 0, 2 * FEW - 1);
	assert_int_equal(all[n].key, 0);
	/* Members only: what is between them is compared, too. */
	all[n].key = e->key;
	all[n].age_s = e->age_s;
	all[n].port = e->port;
	all[n].fixed = e->fixed;
	return true;
}

static void note_all(unsigned which)
{
	memset(known[which], 0, sizeof(known[which]));
	assert_int_equal(table_each(t, now_s, AGEING_S, note, known[which]),
			 2 * FEW);
}

static void entries_stay_what_they_are(void **state)
{
	static const unsigned windows[] = { 16384, 256, 32768, 64, 2048, 1 };

	make();
	for (uint32_t i = 0; i < 2 * FEW; i++) {
		uint64_t key = 0;

		put_mac((uint8_t *)&key, i);
		if (i % 5 == 0)
			table_add_static(t, key, 1 + i % 4);
		else
			table_learn(t, key, 1 + i % 4, now_s - i % 100,
				    AGEING_S, NULL);
	}
	note_all(0);
	for (unsigned i = 0; i < sizeof(windows) / sizeof(*windows); i++) {
		assert_true(table_set_window(t, windows[i]));
		while (t->settling) {
			/* Nor is anything lost in between, or counted twice. */
			table_settle(t, 977);
			note_all(1);
			assert_memory_equal(known[0], known[1],
					    sizeof(known[0]));
			assert_int_equal(unknown(2 * FEW), 0);
			for (unsigned p = 1; p <= 4; p++)
				assert_int_equal(table_n_of(t, p), FEW / 2);
		}
		assert_int_equal(t->left_mask, t->near_mask);
	}
	assert_int_equal(count(l, "used"), 2 * FEW);
	ops->destroy(l);
}

/* Nothing is left behind where it would not be looked for. */
static void a_window_without_room_is_left_later(void **state)
{
	unsigned n = 0;

	l = made(json_pack("{s:i}", "entries", 4096));
	t = atomic_load(&l->table);
	learn_all(4096);
	assert_int_equal(count(l, "used") + count(l, "not_learnt"), 4096);
	while (t->left_mask != t->near_mask)
		ticks(1);
	n = unknown(4096);
	for (unsigned i = 0; i < 12; i++) {
		if (!table_set_window(t, 1ULL << i))
			continue;
		for (unsigned k = 0; k < 8; k++)
			table_settle(t, BUCKETS);
		assert_int_equal(unknown(4096), n);
	}
	ops->destroy(l);
}

/* Who walks the table sees each of these stations once, whatever is learnt or
 * comes near meanwhile. */
static uint32_t n_walked;
static uint8_t walked[ENTRIES];

static uint64_t key_of(uint32_t n)
{
	uint64_t key = 0;

	put_mac((uint8_t *)&key, n);
	return key;
}

static void walk(const struct table_entry *e)
{
	uint32_t n = __builtin_bswap64(e->key) >> 16 & 0xffffffff;

	assert_in_range(n, 0, ENTRIES - 1);
	walked[n]++;
	n_walked++;
}

static bool all_come_near(void *arg, const struct table_entry *e)
{
	if (!n_walked)
		for (uint32_t n = 0; n < FEW; n++)
			table_come_near(t, key_of(n));
	walk(e);
	return true;
}

static bool more_are_learnt(void *arg, const struct table_entry *e)
{
	if (!n_walked)
		for (uint32_t n = t->capacity / 2; n < t->capacity; n++)
			table_learn(t, key_of(n), 1, now_s, 0, NULL);
	walk(e);
	return true;
}

static void each_once(bool (*visit)(void *arg, const struct table_entry *e),
		      uint32_t n)
{
	n_walked = 0;
	memset(walked, 0, sizeof(walked));
	table_each(t, now_s, 0, visit, NULL);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(walked[i], 1);
}

static void walks_see_each_entry_once(void **state)
{
	make();
	t->near_mask = t->left_mask = t->off_mask;
	learn_all(FEW);
	/* Nothing is where it should be; there is room. */
	t->near_mask = t->left_mask = (WINDOW_MIN - 1) * sizeof(struct bucket);
	each_once(all_come_near, FEW);
	ops->destroy(l);
	l = made(json_pack("{s:i, s:i}", "entries", 16384, "ageing_s", 0));
	t = atomic_load(&l->table);
	/* So small a window that many find all their buckets full. */
	t->near_mask = t->left_mask = 0;
	for (uint32_t n = 0; n < t->capacity / 2; n++) {
		table_learn(t, key_of(n), 1, now_s, 0, NULL);
		t->near_mask = 0;
	}
	each_once(more_are_learnt, t->capacity / 2);
	ops->destroy(l);
}

/* Takes the free slots of a bucket, or gives them back. */
static void fill(struct bucket *b, bool full)
{
	const uint64_t nobody = ~0ULL;

	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		if (b->key[i] == (full ? 0 : nobody))
			b->key[i] = full ? nobody : 0;
}

/* As long as one has no other place, the window that it is in is looked at. */
static void a_window_is_not_left_by_force(void **state)
{
	uint64_t key, hash;
	uint32_t n = 0;

	make();
	do /* One that cannot stay where it is. */
		hash = table_hash(t, key = key_of(n++));
	while (!(hash & t->off_mask & ~(4 * t->near_mask + 192)) ||
	       !(hash & (4 * t->near_mask + 192) & ~t->near_mask) ||
	       table_second(t, key) == table_near(t, hash));
	table_learn(t, key, 1, now_s, AGEING_S, NULL);
	assert_true(table_set_window(t, 4 * WINDOW_MIN));
	fill(table_near(t, hash), true);
	fill(table_first(t, hash), true);
	fill(table_second(t, key), true);
	t->walking = 1; /* nobody makes room */
	for (unsigned i = 0; i < 3; i++) {
		table_settle(t, BUCKETS);
		assert_int_not_equal(t->left_mask, t->near_mask);
		assert_int_not_equal(table_find_far(t, key, hash), 0);
	}
	t->walking = 0;
	fill(table_near(t, hash), false);
	table_settle(t, BUCKETS);
	assert_int_equal(t->left_mask, t->near_mask);
	assert_int_not_equal(bucket_find(table_near(t, hash), key, hash), 0);
	ops->destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_addresses_are_close_together),
		cmocka_unit_test(a_burst_loses_nothing),
		cmocka_unit_test(a_burst_in_a_window_chosen_before),
		cmocka_unit_test(the_window_follows_the_number),
		cmocka_unit_test(a_few_more_or_less_change_nothing),
		cmocka_unit_test(packets_bring_addresses_near),
		cmocka_unit_test(entries_stay_what_they_are),
		cmocka_unit_test(a_window_without_room_is_left_later),
		cmocka_unit_test(walks_see_each_entry_once),
		cmocka_unit_test(a_window_is_not_left_by_force),
	};
	int failed;

	batch = aligned_alloc(64, sizeof(*batch));
	failed = cmocka_run_group_tests_name("learn_window", tests, NULL, NULL);
	free(batch);
	return failed;
}
