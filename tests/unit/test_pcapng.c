/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pcapng.c - the blocks that glenctl capture writes, byte by byte. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/pcapng.h"

/* What was written, and how far it has been read. */
struct reading {
	uint8_t *data;
	size_t size, at;
	FILE *file;
};

/* A block that lies in it. */
struct block {
	uint32_t type, len;
	const uint8_t *body; /* without type and lengths */
	uint32_t body_len;
};

static void begin(struct reading *r)
{
	memset(r, 0, sizeof(*r));
	r->file = open_memstream((char **)&r->data, &r->size);
	assert_non_null(r->file);
}

static void finish(struct reading *r)
{
	fclose(r->file);
}

static uint32_t word(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static struct block next(struct reading *r)
{
	struct block b;

	assert_true(r->size - r->at >= 12);
	b.type = word(r->data + r->at);
	b.len = word(r->data + r->at + 4);
	assert_int_equal(b.len % 4, 0);
	assert_true(b.len >= 12 && b.len <= r->size - r->at);
	assert_int_equal(word(r->data + r->at + b.len - 4), b.len);
	b.body = r->data + r->at + 8;
	b.body_len = b.len - 12;
	r->at += b.len;
	return b;
}

/* The value of an option behind the fixed part; NULL: there is none. */
static const uint8_t *option(const struct block *b, uint32_t fixed,
			     uint16_t code, uint16_t *len)
{
	uint32_t at = fixed;
	const uint8_t *found = NULL;

	for (;;) {
		uint16_t c, l;

		assert_true(b->body_len - at >= 4);
		memcpy(&c, b->body + at, 2);
		memcpy(&l, b->body + at + 2, 2);
		at += 4;
		if (!c)
			break;
		if (c == code) {
			found = b->body + at;
			*len = l;
		}
		at += (l + 3) & ~3U;
		assert_true(at <= b->body_len);
	}
	/* The end is the end. */
	assert_int_equal(at, b->body_len);
	return found;
}

static void assert_text(const struct block *b, uint32_t fixed, uint16_t code,
			const char *text)
{
	uint16_t len = 0;
	const uint8_t *value = option(b, fixed, code, &len);

	assert_non_null(value);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(value, text, len);
}

static void sections_and_interfaces(void **state)
{
	struct reading r;
	struct block b;
	uint16_t len;

	begin(&r);
	pcapng_section(r.file, "glenctl 1");
	pcapng_interface(r.file, "vale0:a", 128, NULL);
	pcapng_interface(r.file, "vale0:bb", 0, "tcp port 80");
	finish(&r);
	b = next(&r);
	assert_int_equal(b.type, 0x0a0d0d0a);
	assert_int_equal(word(b.body), 0x1a2b3c4d);
	assert_text(&b, 16, 4, "glenctl 1");
	b = next(&r);
	assert_int_equal(b.type, 1);
	assert_int_equal(word(b.body), 1); /* Ethernet */
	assert_int_equal(word(b.body + 4), 128);
	assert_text(&b, 8, 2, "vale0:a");
	assert_text(&b, 8, 9, "\x09");
	assert_null(option(&b, 8, 11, &len));
	b = next(&r);
	assert_text(&b, 8, 2, "vale0:bb");
	assert_int_equal(*option(&b, 8, 11, &len), 0);
	assert_int_equal(len, 1 + strlen("tcp port 80"));
	assert_int_equal(r.at, r.size);
	free(r.data);
}

static void packets_of_any_length(void **state)
{
	uint8_t data[32];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = i + 1;
	for (unsigned n = 0; n <= sizeof(data); n++) {
		struct pcapng_packet p = { .interface = 3,
					   .direction = PCAPNG_OUTBOUND,
					   .time_ns = 0x0123456789abcdefULL,
					   .cap_len = n,
					   .wire_len = n + 100,
					   .data = data };
		uint32_t fixed = 20 + ((n + 3) & ~3U);
		struct reading r;
		struct block b;
		uint16_t len;

		if (n % 2)
			p.comment = "dropped: in_runt";
		begin(&r);
		pcapng_packet(r.file, &p);
		finish(&r);
		b = next(&r);
		assert_int_equal(b.type, 6);
		assert_int_equal(word(b.body), 3);
		assert_int_equal(word(b.body + 4), 0x01234567);
		assert_int_equal(word(b.body + 8), 0x89abcdef);
		assert_int_equal(word(b.body + 12), n);
		assert_int_equal(word(b.body + 16), n + 100);
		assert_memory_equal(b.body + 20, data, n);
		assert_int_equal(word(option(&b, fixed, 2, &len)), 2);
		if (n % 2)
			assert_text(&b, fixed, 1, "dropped: in_runt");
		else
			assert_null(option(&b, fixed, 1, &len));
		assert_int_equal(r.at, r.size);
		free(r.data);
	}
}

static void statistics(void **state)
{
	const struct pcapng_stats stats = { .interface = 1,
					    .start_ns = 5,
					    .end_ns = 1ULL << 32 | 7,
					    .received = 10,
					    .missed = 1ULL << 40,
					    .accepted = 8 };
	struct reading r;
	struct block b;
	uint64_t value;
	uint16_t len;

	begin(&r);
	pcapng_stats(r.file, &stats);
	finish(&r);
	b = next(&r);
	assert_int_equal(b.type, 5);
	assert_int_equal(word(b.body), 1);
	assert_int_equal(word(b.body + 4), 1);
	assert_int_equal(word(b.body + 8), 7);
	memcpy(&value, option(&b, 12, 5, &len), 8);
	assert_int_equal(len, 8);
	assert_true(value == 1ULL << 40);
	memcpy(&value, option(&b, 12, 4, &len), 8);
	assert_int_equal(value, 10);
	memcpy(&value, option(&b, 12, 6, &len), 8);
	assert_int_equal(value, 8);
	free(r.data);
}

static void long_texts_are_cut(void **state)
{
	char *text = malloc(100000);
	struct reading r;
	struct block b;
	uint16_t len;

	memset(text, 'x', 99999);
	text[99999] = '\0';
	begin(&r);
	pcapng_interface(r.file, text, 0, text);
	finish(&r);
	b = next(&r);
	assert_non_null(option(&b, 8, 2, &len));
	assert_int_equal(len, 4096);
	assert_non_null(option(&b, 8, 11, &len));
	assert_int_equal(len, 4096);
	free(r.data);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_and_interfaces),
		cmocka_unit_test(packets_of_any_length),
		cmocka_unit_test(statistics),
		cmocka_unit_test(long_texts_are_cut),
	};

	return cmocka_run_group_tests_name("pcapng", tests, NULL, NULL);
}
