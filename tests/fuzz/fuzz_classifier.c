// SPDX-License-Identifier: BSD-2-Clause
// fuzz_classifier.c - any rules and packets, against a look at every rule.
/*
 * Input: a byte, the number of rules; the bytes of which the model
 * (tests/unit/classifier_model.h) draws them; then packets, each with two bytes
 * before it: the number of its bytes, 14 at least, and how many of them are
 * visible less 14; bit 7 of the second: the packet is drawn by the model.
 */
#include "fuzz.h"

#include "../unit/classifier_model.h"

enum { RULES = 64, PACKETS = 64 };

/* Alone in memory, so that a sanitizer sees every byte too many. */
static void parse_exactly(const uint8_t *data, unsigned have, unsigned len,
			  unsigned in_port, struct classifier_key *key)
{
	uint8_t *copy = malloc(have);

	memcpy(copy, data, have);
	classifier_parse(copy, have, len, in_port, key);
	free(copy);
}

static void try_packets(struct model_source *s, const struct classifier *c,
			const struct model_rule *model, unsigned n)
{
	static struct classifier_key keys[PACKETS];
	uint32_t want[PACKETS], got[PACKETS];
	unsigned batch = 0;

	while (s->left > 2 && batch < PACKETS) {
		uint8_t packet[256] = { 0 };
		unsigned len = model_byte(s), how = model_byte(s), have;
		struct model_packet m;

		len = len < 14 ? 14 : len;
		if (how & 0x80)
			len = model_draw_packet(s, packet);
		for (unsigned i = 0; !(how & 0x80) && i < len; i++)
			packet[i] = model_byte(s);
		have = 14 + (how & 0x7f) < len ? 14 + (how & 0x7f) : len;
		model_read(packet, have, len, &m);
		parse_exactly(packet, have, len, batch % 3, &keys[batch]);
		want[batch] = model_find(model, n, &m, batch % 3);
		batch++;
	}
	classifier_find(c, keys, batch, got);
	for (unsigned i = 0; i < batch; i++)
		FUZZ_CHECK(got[i] == want[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_source s = { data, size, 0 };
	struct model_rule model[RULES];
	struct classifier_rule rules[RULES];
	unsigned wanted = model_byte(&s) % RULES, n = 0;
	struct classifier *c;

	for (unsigned i = 0; i < wanted; i++) {
		model_draw_rule(&s, &model[n]);
		n += !model_make(&model[n], &rules[n]);
	}
	FUZZ_CHECK(!classifier_build(&c, rules, n, NULL));
	try_packets(&s, c, model, n);
	classifier_free(c);
	return 0;
}
