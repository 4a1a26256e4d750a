// SPDX-License-Identifier: BSD-2-Clause
// test_tuple3.c - who gets which packet, and who may send it.
#include "unit.h"

#include <errno.h>

#include "tuple3_rig.h"

enum { A = 2, B = 3, OTHER = 4, SHARED = 1, ALONE = 9 };

static void *t;

/* A has port 80 of the shared address, B port 81, by TCP, both families. */
static int set_up(void **state)
{
	if (!batch)
		batch = aligned_alloc(64, sizeof(*batch));
	memset(batch, 0, sizeof(*batch));
	memset(isolated, 0, sizeof(isolated));
	now_s = 1000;
	t = made();
	for (int family = 4; family <= 6; family += 2)
		if (claim(t, A, family, SHARED, T3_TCP, 80) ||
		    claim(t, B, family, SHARED, T3_TCP, 81))
			return -1;
	return 0;
}

static int tear_down(void **state)
{
	ops->destroy(t);
	return 0;
}

static uint32_t tcp(unsigned port, int family, unsigned src, unsigned sport,
		    unsigned dst, unsigned dport)
{
	struct spec s = { family, src, dst, T3_TCP, sport, dport };

	return one(t, port, &s);
}

static void claims_decide_where_packets_go(void **state)
{
	for (int f = 4; f <= 6; f += 2) {
		for (unsigned from = HOST; from <= UPLINK; from++) {
			assert_int_equal(tcp(from, f, REMOTE, 5, SHARED, 80),
					 to(A));
			assert_int_equal(tcp(from, f, REMOTE, 5, SHARED, 81),
					 to(B));
		}
		/* Not claimed: another port, address, protocol. */
		assert_int_equal(tcp(UPLINK, f, REMOTE, 5, SHARED, 82),
				 to(HOST));
		assert_int_equal(tcp(UPLINK, f, REMOTE, 5, ALONE, 80),
				 to(HOST));
		assert_int_equal(one(t, UPLINK,
				     &(struct spec){ f, REMOTE, SHARED, T3_UDP,
						     5, 80 }),
				 to(HOST));
		assert_int_equal(tcp(HOST, f, SHARED, 22, REMOTE, 5),
				 to(UPLINK));
	}
}

static void claimants_send_from_their_claims_only(void **state)
{
	const uint32_t spoofed = glen_drop(T3_SPOOFED);

	for (int f = 4; f <= 6; f += 2) {
		assert_int_equal(tcp(A, f, SHARED, 80, REMOTE, 5), to(UPLINK));
		/* To each other, and to the host that shares the address. */
		assert_int_equal(tcp(A, f, SHARED, 80, SHARED, 81), to(B));
		assert_int_equal(tcp(A, f, SHARED, 80, SHARED, 22), to(HOST));
		/* Another's, nobody's, another address, another protocol. */
		assert_int_equal(tcp(A, f, SHARED, 81, REMOTE, 5), spoofed);
		assert_int_equal(tcp(A, f, SHARED, 22, REMOTE, 5), spoofed);
		assert_int_equal(tcp(A, f, ALONE, 80, REMOTE, 5), spoofed);
		assert_int_equal(one(t, A,
				     &(struct spec){ f, SHARED, REMOTE, T3_UDP,
						     80, 5 }),
				 spoofed);
		assert_int_equal(tcp(OTHER, f, ALONE, 80, REMOTE, 5), spoofed);
		/* The host and the network may not say they are A. */
		assert_int_equal(tcp(HOST, f, SHARED, 80, REMOTE, 5), spoofed);
		assert_int_equal(tcp(UPLINK, f, SHARED, 80, SHARED, 22),
				 spoofed);
	}
}

static void ends_with_the_port_and_when_released(void **state)
{
	assert_int_equal(release(t, B, 4, SHARED, T3_TCP, 80), -ENOENT);
	assert_int_equal(release(t, A, 4, SHARED, T3_TCP, 80), 0);
	assert_int_equal(release(t, A, 4, SHARED, T3_TCP, 80), -ENOENT);
	assert_int_equal(tcp(UPLINK, 4, REMOTE, 5, SHARED, 80), to(HOST));
	assert_int_equal(tcp(UPLINK, 6, REMOTE, 5, SHARED, 80), to(A));
	port_goes(t, A);
	assert_int_equal(tcp(UPLINK, 6, REMOTE, 5, SHARED, 80), to(HOST));
	assert_int_equal(tcp(UPLINK, 6, REMOTE, 5, SHARED, 81), to(B));
	assert_int_equal(claim(t, A, 4, ALONE, T3_TCP, 1), -ENOENT);
	assert_int_equal(claim(t, B, 6, SHARED, T3_TCP, 80), 0);
	assert_int_equal(tcp(UPLINK, 6, REMOTE, 5, SHARED, 80), to(B));
	port_comes(t, A);
	assert_int_equal(tcp(A, 6, SHARED, 80, REMOTE, 5),
			 glen_drop(T3_SPOOFED));
}

static void collisions_say_who_has_it(void **state)
{
	struct glen_error error;

	assert_int_equal(change(t, "tuple3.claim", B,
				claim_json(4, SHARED, T3_TCP, 80), NULL,
				&error),
			 -EADDRINUSE);
	assert_string_equal(error.text,
			    "10.0.0.1 tcp 80 is claimed by port p2 already");
	assert_int_equal(change(t, "tuple3.claim", A,
				claim_json(4, SHARED, T3_TCP, 80), NULL,
				&error),
			 -EADDRINUSE);
	assert_non_null(strstr(error.text, "p2 itself"));
	assert_int_equal(claim(t, B, 4, SHARED, T3_UDP, 80), 0);
	assert_int_equal(claim(t, B, 4, ALONE, T3_TCP, 80), 0);
}

static json_t *claims_of(unsigned owner, long *count)
{
	char name[3] = { 'p', '0' + owner, 0 };
	json_t *params = json_pack("{s:s}", "port", name), *result, *list;

	assert_int_equal(ops->command(t, "tuple3.show", params, &result, NULL),
			 0);
	*count = json_integer_value(json_object_get(result, "count"));
	list = json_incref(json_object_get(result, "claims"));
	json_decref(params);
	json_decref(result);
	return list;
}

static void all_or_nothing(void **state)
{
	json_t *params = json_pack("{s:s, s:[ooo]}", "port", "p3", "claims",
				   claim_json(4, ALONE, T3_TCP, 1),
				   claim_json(4, ALONE, T3_TCP, 2),
				   claim_json(4, SHARED, T3_TCP, 80));
	json_t *result = NULL;
	long n;

	json_decref(claims_of(B, &n));
	assert_int_equal(n, 2);
	assert_int_equal(ops->command(t, "tuple3.claim", params, &result, NULL),
			 -EADDRINUSE);
	assert_null(result);
	json_decref(claims_of(B, &n));
	assert_int_equal(n, 2);
	assert_int_equal(tcp(UPLINK, 4, REMOTE, 5, ALONE, 1), to(HOST));
	assert_int_equal(ops->command(t, "tuple3.release", params, &result,
				      NULL),
			 -ENOENT);
	json_decref(params);
}

static void port_0_is_a_free_one(void **state)
{
	json_t *result, *object;
	int port;

	for (unsigned i = 0; i < 16384; i++) {
		assert_int_equal(change(t, "tuple3.claim", A,
					claim_json(4, ALONE, T3_UDP, 0),
					&result, NULL),
				 0);
		object = json_array_get(json_object_get(result, "claims"), 0);
		port = json_integer_value(json_object_get(object, "port"));
		assert_in_range(port, i < 4536 ? 61000 : 49152, 65535);
		json_decref(result);
	}
	assert_int_equal(claim(t, A, 4, ALONE, T3_UDP, 0), -EADDRINUSE);
	assert_int_equal(one(t, UPLINK,
			     &(struct spec){ 4, REMOTE, ALONE, T3_UDP, 5,
					     50000 }),
			 to(A));
}

static void refuses_what_cannot_be_claimed(void **state)
{
	static const char *const bad[] = {
		"{\"ip\": \"0.0.0.0\", \"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"127.0.0.1\", \"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"224.0.0.1\", \"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"255.255.255.255\", \"protocol\": \"udp\"}",
		"{\"ip\": \"::\", \"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"::1\", \"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"ff02::1\", \"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"::ffff:10.0.0.1\", \"protocol\": \"tcp\"}",
		"{\"ip\": \"10.0.0\", \"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"10.0.0.1\", \"protocol\": \"icmp\", \"port\": 1}",
		"{\"ip\": \"10.0.0.1\", \"protocol\": \"tcp\", \"port\": -1}",
		"{\"ip\": \"10.0.0.1\", \"protocol\": \"udp\", \"port\": 65536}",
		"{\"ip\": \"10.0.0.1\", \"port\": 1}",
		"{\"protocol\": \"tcp\", \"port\": 1}",
		"{\"ip\": \"10.0.0.1\", \"protocol\": \"tcp\", \"x\": 1}",
		"[]",
	};
	long n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct glen_error error = { 0 };

		assert_int_equal(change(t, "tuple3.claim", A,
					json_loads(bad[i], 0, NULL), NULL,
					&error),
				 -EINVAL);
		assert_true(error.text[0]);
	}
	json_decref(claims_of(A, &n));
	assert_int_equal(n, 2);
}

static void there_is_a_limit(void **state)
{
	json_t *options = json_pack("{s:i}", "claims", 6);

	assert_int_equal(ops->set(t, options, NULL), 0);
	assert_int_equal(claim(t, A, 4, ALONE, T3_TCP, 1), 0);
	assert_int_equal(claim(t, B, 4, ALONE, T3_TCP, 2), 0);
	assert_int_equal(claim(t, B, 4, ALONE, T3_TCP, 3), -ENOSPC);
	assert_int_equal(release(t, A, 4, ALONE, T3_TCP, 1), 0);
	assert_int_equal(claim(t, B, 4, ALONE, T3_TCP, 3), 0);
	json_decref(options);
}

static void ways_out(void **state)
{
	static const struct {
		const char *options;
		uint32_t from_host, from_uplink, from_claimant, to_local;
	} rows[] = {
		{ "{}", 0, 0, 0, 0 },
		{ "{\"default\": \"drop\"}", 0, 0, 0, 0 },
		{ "{\"default\": \"p0\"}", 0, 0, HOST + 1, HOST + 1 },
		{ "{\"uplink\": \"p1\"}", 0, 0, UPLINK + 1, 0 },
		{ "{\"default\": \"p0\", \"uplink\": \"p0\"}", 0, 0, HOST + 1,
		  HOST + 1 },
		{ "{\"default\": \"p0\", \"uplink\": \"p1\"}", UPLINK + 1,
		  HOST + 1, UPLINK + 1, HOST + 1 },
		{ "{\"default\": \"gone\", \"uplink\": \"p1\"}", 0, 0,
		  UPLINK + 1, 0 },
	};
	const uint32_t nowhere = glen_drop(T3_UNCLAIMED);
	const uint32_t spoofed = glen_drop(T3_SPOOFED);

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_t *options = json_loads(rows[i].options, 0, NULL);
		bool host = strstr(rows[i].options, "p0");
		bool uplink = strstr(rows[i].options, "p1");
		uint32_t v = rows[i].from_host;

		assert_int_equal(ops->set(t, options, NULL), 0);
		json_decref(options);
		assert_int_equal(tcp(HOST, 4, ALONE, 1, REMOTE, 5),
				 !host ? spoofed :
				 v     ? to(v - 1) :
					 nowhere);
		v = rows[i].from_uplink;
		assert_int_equal(tcp(UPLINK, 4, REMOTE, 1, ALONE, 5),
				 !uplink ? spoofed :
				 v	 ? to(v - 1) :
					   nowhere);
		v = rows[i].from_claimant;
		assert_int_equal(tcp(A, 4, SHARED, 80, REMOTE, 5),
				 v ? to(v - 1) : nowhere);
		v = rows[i].to_local;
		assert_int_equal(tcp(A, 4, SHARED, 80, SHARED, 5),
				 v ? to(v - 1) : nowhere);
	}
}

static void isolated_ports_do_not_meet(void **state)
{
	isolated[A] = isolated[B] = 1;
	assert_int_equal(tcp(A, 4, SHARED, 80, SHARED, 81),
			 VERDICT_DROP | DROP_IN_ISOLATED);
	assert_int_equal(tcp(A, 4, SHARED, 80, SHARED, 82), to(HOST));
	assert_int_equal(tcp(UPLINK, 4, REMOTE, 80, SHARED, 81), to(B));
}

/* A packet to A with one byte changed, and what is said of it then. */
static uint32_t changed(int family, unsigned at, unsigned value, bool sum)
{
	struct spec s = { family, REMOTE, SHARED, T3_TCP, 5, 80 };
	uint8_t *hdr = put_packet(0, &s);

	hdr[14 + at] = value;
	if (sum)
		set_sum(hdr + 14);
	return sent(t, UPLINK);
}

static void malformed_packets_go_nowhere(void **state)
{
	struct spec udp = { 4, REMOTE, SHARED, T3_UDP, 5, 80 };
	uint8_t *hdr;

	assert_int_equal(changed(4, 1, 1, false), glen_drop(T3_BAD_CSUM));
	assert_int_equal(changed(4, 1, 1, true), to(A));
	assert_int_equal(changed(4, 0, 0x55, true), glen_drop(T3_BAD_IP));
	assert_int_equal(changed(4, 0, 0x44, true), glen_drop(T3_BAD_IP));
	assert_int_equal(changed(4, 0, 0x4b, true), glen_drop(T3_BAD_IP));
	assert_int_equal(changed(4, 3, 41, true), glen_drop(T3_BAD_IP));
	assert_int_equal(changed(4, 3, 39, true), glen_drop(T3_BAD_L4));
	assert_int_equal(changed(4, 3, 19, true), glen_drop(T3_BAD_IP));
	assert_int_equal(changed(6, 0, 0x40, false), glen_drop(T3_BAD_IP));
	assert_int_equal(changed(6, 5, 21, false), glen_drop(T3_BAD_IP));
	assert_int_equal(changed(6, 5, 19, false), glen_drop(T3_BAD_L4));
	/* Padding behind the packet is none of its bytes. */
	put_packet(0, &(struct spec){ 4, REMOTE, SHARED, T3_TCP, 5, 80 });
	batch->len[0] = batch->hdr_len[0] = 60;
	assert_int_equal(sent(t, UPLINK), to(A));
	for (int f = 4; f <= 6; f += 2) {
		unsigned l4 = f == 6 ? 54 : 34;

		udp.family = f;
		claim(t, A, f, SHARED, T3_UDP, 80);
		assert_int_equal(one(t, UPLINK, &udp), to(A));
		hdr = put_packet(0, &udp);
		hdr[l4 + 5] = 7;
		assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_L4));
		hdr = put_packet(0, &udp);
		hdr[l4 + 5] = 21;
		assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_L4));
		hdr = put_packet(0, &udp);
		hdr[l4 + 5] = 8;
		assert_int_equal(sent(t, UPLINK), to(A));
	}
	for (unsigned type = 0; type < 2; type++) {
		fresh(0, type ? TYPE_IPV6 : TYPE_IPV4, 14);
		assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_IP));
	}
}

static int set_allow(const char *text, struct glen_error *error)
{
	json_t *params = json_pack("{s:s, s:s}", "default", "p0", "uplink",
				   "p1");
	json_t *rules = json_loads(text, 0, NULL);
	int err;

	assert_non_null(rules);
	json_object_set_new(params, "allow", rules);
	err = ops->set(t, params, error);
	json_decref(params);
	return err;
}

/* Hosts are 10.0.0.n and 2001:db8::n; p2 (A) and p3 (B) are claimants. */
static void rules_say_who_may_claim(void **state)
{
	struct glen_error error = { 0 };
	json_t *result, *object;
	int port;

	claim(t, A, 4, 3, T3_TCP, 22);
	assert_int_equal(set_allow("{\"p2\": [\"10.0.0.1 tcp 80\", "
				   "\"10.0.0.1 tcp 50000-50003\", "
				   "\"2001:db8::/64 udp\"], "
				   "\"*\": [\"10.0.0.0/30\"]}",
				   &error),
			 0);
	/* What was claimed before and is not allowed now has ended. */
	assert_int_equal(claim(t, B, 4, 3, T3_TCP, 22), 0);
	assert_int_equal(claim(t, A, 4, 1, T3_TCP, 81), -EACCES);
	assert_int_equal(claim(t, A, 4, 1, T3_UDP, 80), -EACCES);
	assert_int_equal(claim(t, A, 4, 2, T3_TCP, 80), -EACCES);
	assert_int_equal(claim(t, A, 6, 9, T3_UDP, 1), 0);
	assert_int_equal(claim(t, A, 6, 9, T3_TCP, 1), -EACCES);
	/* "*" is for those that no rule names. */
	assert_int_equal(claim(t, B, 4, 3, T3_UDP, 65535), 0);
	assert_int_equal(claim(t, B, 4, 4, T3_UDP, 65535), -EACCES);
	assert_int_equal(claim(t, B, 6, 9, T3_UDP, 2), -EACCES);
	assert_int_equal(change(t, "tuple3.claim", A,
				claim_json(4, 1, T3_TCP, 22), NULL, &error),
			 -EACCES);
	assert_string_equal(error.text,
			    "port p2 may not claim 10.0.0.1 tcp 22: option "
			    "allow of module tuple3 says who may");
	/* Any: one that is allowed. */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(change(t, "tuple3.claim", A,
					claim_json(4, 1, T3_TCP, 0), &result,
					NULL),
				 0);
		object = json_array_get(json_object_get(result, "claims"), 0);
		port = json_integer_value(json_object_get(object, "port"));
		assert_in_range(port, 50000, 50003);
		json_decref(result);
	}
	assert_int_equal(claim(t, A, 4, 1, T3_TCP, 0), -EACCES);
	/* No rules are not those of "*". */
	assert_int_equal(set_allow("{\"p2\": [], \"*\": [\"10.0.0.0/30\"]}",
				   &error),
			 0);
	assert_int_equal(claim(t, A, 4, 1, T3_TCP, 80), -EACCES);
	assert_int_equal(claim(t, B, 4, 1, T3_TCP, 80), 0);
}

static void bad_rules_are_refused(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{\"p2\": \"10.0.0.1\"}",
		"{\"p2\": [1]}",
		"{\"p2\": [\"\"]}",
		"{\"p2\": [\"10.0.0\"]}",
		"{\"p2\": [\"10.0.0.1/33\"]}",
		"{\"p2\": [\"10.0.0.1/\"]}",
		"{\"p2\": [\"10.0.0.1/-1\"]}",
		"{\"p2\": [\"2001:db8::1/129\"]}",
		"{\"p2\": [\"10.0.0.1 sctp\"]}",
		"{\"p2\": [\"10.0.0.1 tcp x\"]}",
		"{\"p2\": [\"10.0.0.1 tcp 0\"]}",
		"{\"p2\": [\"10.0.0.1 tcp 5-4\"]}",
		"{\"p2\": [\"10.0.0.1 tcp 5-\"]}",
		"{\"p2\": [\"10.0.0.1 tcp 5x\"]}",
		"{\"p2\": [\"10.0.0.1 tcp 70000\"]}",
		"{\"p2\": [\"10.0.0.1 tcp 80 81\"]}",
		"{\"a-name-that-is-longer-than-names-may-be\": []}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct glen_error error = { 0 };

		if (set_allow(bad[i], &error) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(error.text, "allow"));
	}
	/* Nothing has changed. */
	assert_int_equal(claim(t, A, 4, 1, T3_TCP, 4711), 0);
}

static void options_are_read_over(void **state)
{
	struct spec s = { 4, REMOTE, SHARED, T3_TCP, 5, 80 };
	uint8_t *hdr;

	for (unsigned words = 6; words <= 15; words++) {
		hdr = fresh(0, TYPE_IPV4, 14 + words * 4 + 20);
		put_ip(hdr + 14, &s, 20);
		hdr[14] = 0x40 | words;
		put16(hdr + 16, words * 4 + 20);
		memset(hdr + 34, 1, words * 4 - 20);
		set_sum(hdr + 14);
		put_ports(hdr + 14 + words * 4, &s, 20);
		assert_int_equal(sent(t, UPLINK), to(A));
		hdr[14 + words * 4 - 1] = 0;
		assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_CSUM));
	}
	/* IPv6: destination options, n times 8 bytes. */
	s = (struct spec){ 6, REMOTE, SHARED, T3_TCP, 5, 80 };
	for (unsigned n = 1; n <= 12; n++) {
		hdr = fresh(0, TYPE_IPV6, 54 + 8 * n + 20);
		put_ip(hdr + 14, &s, 8 * n + 20);
		hdr[20] = 60;
		hdr[54] = T3_TCP;
		hdr[55] = n - 1;
		if (54 + 8 * n + 20 < HDR_SIZE)
			put_ports(hdr + 54 + 8 * n, &s, 20);
		assert_int_equal(sent(t, UPLINK),
				 54 + 8 * n + 8 <= HDR_MAX ?
					 to(A) :
					 glen_drop(T3_HEADERS));
	}
	/* A claimant may not send any. */
	s = (struct spec){ 6, SHARED, REMOTE, T3_TCP, 80, 5 };
	hdr = fresh(0, TYPE_IPV6, 54 + 8 + 20);
	put_ip(hdr + 14, &s, 28);
	hdr[20] = 60;
	hdr[54] = T3_TCP;
	put_ports(hdr + 62, &s, 20);
	assert_int_equal(sent(t, A), glen_drop(T3_HEADERS));
	/* Nor does the walk end outside the packet. */
	hdr = fresh(0, TYPE_IPV6, 54);
	put_ip(hdr + 14, &s, 0);
	hdr[20] = 0;
	assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_L4));
}

static void other_kinds_of_packets(void **state)
{
	uint8_t *hdr;

	fresh(0, 0x88cc, 60);
	assert_int_equal(sent(t, UPLINK), to(HOST));
	assert_int_equal(sent(t, HOST), to(UPLINK));
	assert_int_equal(sent(t, A), glen_drop(T3_NOT_IP));
	/* What is in a VLAN is not claimed. */
	hdr = put_packet(0, &(struct spec){ 4, SHARED, REMOTE, T3_TCP, 80, 5 });
	memmove(hdr + 16, hdr + 12, 60);
	put16(hdr + 12, 0x8100);
	put16(hdr + 14, 5);
	batch->len[0] += 4;
	batch->hdr_len[0] += 4;
	assert_int_equal(sent(t, A), glen_drop(T3_NOT_IP));
	assert_int_equal(sent(t, UPLINK), to(HOST));
	/* Protocols that have no ports. */
	one(t, A, &(struct spec){ 4, SHARED, REMOTE, 47, 0, 0 });
	assert_int_equal(batch->verdict[0], glen_drop(T3_PROTOCOL));
	one(t, UPLINK, &(struct spec){ 4, REMOTE, SHARED, 47, 0, 0 });
	assert_int_equal(batch->verdict[0], to(HOST));
}

static void a_batch_is_in_order(void **state)
{
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		struct spec s = { i & 1 ? 4 : 6, REMOTE,   SHARED,
				  T3_TCP,	 1000 + i, 80 + i % 3 };

		if (i % 7 == 5)
			fresh(i, 0x1234, 60);
		else
			put_packet(i, &s);
	}
	run(t, UPLINK, BATCH_MAX);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		static const uint32_t port[3] = { A, B, HOST };

		assert_int_equal(batch->verdict[i],
				 to(i % 7 == 5 ? HOST : port[i % 3]));
	}
}

static void a_replacement_has_the_claims(void **state)
{
	void *old = t;
	long n;

	t = made();
	ops->adopt(t, old, GLEN_ADOPT_BEFORE);
	ops->adopt(t, old, GLEN_ADOPT_AFTER);
	ops->destroy(old);
	json_decref(claims_of(A, &n));
	assert_int_equal(n, 2);
	assert_int_equal(tcp(UPLINK, 6, REMOTE, 5, SHARED, 81), to(B));
	assert_int_equal(claim(t, OTHER, 4, SHARED, T3_TCP, 80), -EADDRINUSE);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(claims_decide_where_packets_go),
		CASE(claimants_send_from_their_claims_only),
		CASE(ends_with_the_port_and_when_released),
		CASE(collisions_say_who_has_it),
		CASE(all_or_nothing),
		CASE(port_0_is_a_free_one),
		CASE(refuses_what_cannot_be_claimed),
		CASE(there_is_a_limit),
		CASE(ways_out),
		CASE(isolated_ports_do_not_meet),
		CASE(malformed_packets_go_nowhere),
		CASE(rules_say_who_may_claim),
		CASE(bad_rules_are_refused),
		CASE(options_are_read_over),
		CASE(other_kinds_of_packets),
		CASE(a_batch_is_in_order),
		CASE(a_replacement_has_the_claims),
	};

	return cmocka_run_group_tests_name("tuple3", tests, NULL, NULL);
}
