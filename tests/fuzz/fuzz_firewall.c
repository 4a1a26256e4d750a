// SPDX-License-Identifier: BSD-2-Clause
// fuzz_firewall.c - rule files of the firewall of any bytes, and packets.
/*
 * Input: a rule file; behind the first byte 0, if there is one, packets, each
 * with a byte before it, its length, and at most 64 of them. Every packet is
 * looked up in the connections and found in the rules.
 *
 * What must hold: an error has a place and a sentence; of rules that were read
 * every entry is of a rule, and what decides is a verdict.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "lib/classifier_find.h"
#include "lib/classifier_parse.h"
#include "nf/firewall/rules.h"
#include "nf/firewall/track.h"

enum { PACKETS = 64 };

static int port_number(void *arg, const char *name)
{
	FUZZ_CHECK(name[0]);
	return name[0] == 'x' ? -EINVAL : name[0] % 8;
}

static void find(const struct fw_rules *r, const struct classifier_key *key)
{
	for (unsigned i = 0; i < r->n_passes; i++) {
		uint32_t entry;
		enum fw_verdict verdict;

		classifier_find(r->pass[i].classifier, key, 1, &entry);
		if (entry == CLASSIFIER_NONE)
			continue;
		FUZZ_CHECK(r->pass[i].rule[entry] < r->n_rules);
		verdict = r->action[r->pass[i].rule[entry]].verdict;
		FUZZ_CHECK(verdict < FW_JUMP);
		if (verdict != FW_CONTINUE)
			return;
	}
}

/* Alone in memory, so that a sanitizer sees every byte too many. */
static void packet(const struct fw_rules *r, struct fw_track *track,
		   const uint8_t *data, unsigned len, uint64_t now_ns)
{
	uint8_t *copy = malloc(len);
	struct glen_nf_packet p = { .data = copy, .len = len };
	struct classifier_key key;
	struct fw_seen seen;
	enum fw_state state;
	bool fresh;

	memcpy(copy, data, len);
	classifier_parse(p.data, len, len, 0, &key);
	state = fw_track_look(track, &p, key.w[CLASSIFIER_L4], now_ns, &seen,
			      &fresh);
	FUZZ_CHECK(state < FW_STATES && (!fresh || state == FW_NEW));
	if (fresh)
		fw_track_make(track, &seen, now_ns);
	key.w[CLASSIFIER_META] |= 1ULL << (CLASSIFIER_M_OWN + state);
	find(r, &key);
	free(copy);
}

static void packets(const struct fw_rules *r, const uint8_t *data, size_t size)
{
	struct fw_limits limits = {
		.flows = 16, .opening_ns = 10, .tcp_ns = 100, .other_ns = 50
	};
	struct fw_track *track;

	FUZZ_CHECK(!fw_track_create(&track, &limits));
	for (unsigned i = 0; i < PACKETS && size > 1; i++) {
		unsigned len = data[0];

		data++;
		size--;
		len = len < size ? len : (unsigned)size;
		if (len >= 14)
			packet(r, track, data, len, 1 + i);
		data += len;
		size -= len;
	}
	fw_track_destroy(track);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
	size_t len = zero ? (size_t)(zero - data) : size;
	struct fw_read read = { .file = "fuzz",
				.text = (const char *)data,
				.len = len,
				.n_threads = 1,
				.port = port_number };
	struct glen_error error = { 0 };
	struct fw_rules *r;

	if (fw_rules_read(&r, &read, &error)) {
		FUZZ_CHECK(!r && error.code < 0);
		FUZZ_CHECK(!strncmp(error.text, "fuzz:", 5));
		FUZZ_CHECK(!strchr(error.text, '\n'));
		return 0;
	}
	FUZZ_CHECK(r->n_passes >= 1 && r->n_passes <= FW_PASSES_MAX);
	if (zero)
		packets(r, zero + 1, size - len - 1);
	fw_rules_free(r);
	return 0;
}
