// SPDX-License-Identifier: BSD-2-Clause
// test_nm_open.c - nm_open() and its family, which live in a header.
#define NETMAP_WITH_LIBS
#include "unit.h"

#include <net/netmap_user.h>

#include "fake_netmap.h"

static int setup(void **state)
{
	fake_reset();
	/* nm_open() explains itself on stderr; TAP does not need it. */
	assert_non_null(freopen("/dev/null", "w", stderr));
	return 0;
}

static int nothing_left(void **state)
{
	assert_int_equal(fake_open_fds(), 0);
	return 0;
}

static const struct {
	const char *spec, *name;
	uint32_t flags;
	uint16_t ring, region;
} names[] = {
	{ "netmap:eth0", "eth0", NR_REG_ALL_NIC, 0, 0 },
	{ "netmap:eth0.1-3", "eth0.1", NR_REG_ONE_NIC, 3, 0 },
	{ "netmap:eth0^", "eth0", NR_REG_SW, 0, 0 },
	{ "netmap:eth0*", "eth0", NR_REG_NIC_SW, 0, 0 },
	{ "netmap:eth0{4094", "eth0", NR_REG_PIPE_MASTER, 4094, 0 },
	{ "netmap:eth0}2", "eth0", NR_REG_PIPE_SLAVE, 2, 0 },
	{ "vale:a", "vale:a", NR_REG_ALL_NIC, 0, 0 },
	{ "vale_1:a_2-0", "vale_1:a_2", NR_REG_ONE_NIC, 0, 0 },
	{ "netmap:eth0/x", "eth0", NR_REG_ALL_NIC | NR_EXCLUSIVE, 0, 0 },
	{ "netmap:e-1/R@3", "e", NR_REG_ONE_NIC | NR_RX_RINGS_ONLY, 1, 3 },
	{ "netmap:e@65535/T", "e", NR_REG_ALL_NIC | NR_TX_RINGS_ONLY, 0,
	  65535 },
	{ "netmap:e/rtz", "e",
	  NR_REG_ALL_NIC | NR_MONITOR_RX | NR_MONITOR_TX | NR_ZCOPY_MON, 0, 0 },
	{ "netmap:123456789012345", "123456789012345", NR_REG_ALL_NIC, 0, 0 },
};

static const struct {
	const char *spec, *said;
} bad_names[] = {
	{ "eth0", "a name begins with netmap: or vale" },
	{ "vale0", "no : in the name" },
	{ "vale-0:a", "a switch's name has only" },
	{ "vale0:a.b", "a port's name has only" },
	{ "netmap:1234567890123456", "longer than 15" },
	{ "netmap:a-", "a number from 0 to 4094" },
	{ "netmap:a{x", "a number from 0 to 4094" },
	{ "netmap:a}4095", "a number from 0 to 4094" },
	{ "netmap:a-99999999999999999999", "a number from 0 to 4094" },
	{ "netmap:a*1", "only /flags and @region" },
	{ "netmap:a^^", "only /flags and @region" },
	{ "netmap:a/y", "only the flags x, t, r, z, R and T" },
	{ "netmap:a/z", "flag z needs t or r" },
	{ "netmap:a@", "one region from 0 to 65535" },
	{ "netmap:a@65536", "one region from 0 to 65535" },
	{ "netmap:a@1@2", "one region from 0 to 65535" },
};

static void parses_names(void **state)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct nm_desc d = { .req = { .nr_ringid = 99 } };
		char err[MAXERRMSG] = "";

		assert_int_equal(nm_parse(names[i].spec, &d, err), 0);
		assert_string_equal(d.req.nr_name, names[i].name);
		assert_int_equal(d.req.nr_flags, names[i].flags);
		assert_int_equal(d.req.nr_ringid, names[i].ring);
		assert_int_equal(d.req.nr_arg2, names[i].region);
		assert_string_equal(err, "");
	}
	for (unsigned i = 0; i < sizeof(bad_names) / sizeof(*bad_names); i++) {
		char err[MAXERRMSG] = "";
		struct nm_desc d = { 0 };

		errno = 0;
		assert_int_equal(nm_parse(bad_names[i].spec, &d, err), -1);
		assert_int_equal(errno, EINVAL);
		if (!strstr(err, bad_names[i].said))
			fail_msg("'%s': '%s'", bad_names[i].spec, err);
	}
}

static void opens_and_closes(void **state)
{
	struct nmreq req = { .nr_tx_slots = 64, .nr_arg3 = 5 };
	struct nm_desc *d = nm_open("netmap:eth0", &req, NETMAP_NO_TX_POLL,
				    NULL);

	assert_non_null(d);
	assert_int_equal(fake.request, NIOCREGIF);
	assert_int_equal(fake.legacy.nr_version, 14);
	assert_string_equal(fake.legacy.nr_name, "eth0");
	assert_int_equal(fake.legacy.nr_ringid, NETMAP_NO_TX_POLL);
	assert_int_equal(fake.legacy.nr_flags, NR_REG_ALL_NIC);
	assert_int_equal(fake.legacy.nr_tx_slots, 64);
	assert_int_equal(fake.legacy.nr_arg3, 5);
	assert_int_equal(fake.legacy.nr_cmd, 0);
	assert_true(IS_NETMAP_DESC(d) && NETMAP_FD(d) >= 0 && d->done_mmap);
	assert_int_equal(d->req.nr_arg2, FAKE_REGION);
	assert_int_equal(d->memsize, FAKE_SIZE);
	assert_ptr_equal(d->nifp, (char *)d->mem + FAKE_NIFP);
	assert_ptr_equal(d->some_ring, NETMAP_RXRING(d->nifp, 0));
	assert_ptr_equal(d->buf_start, (char *)d->mem + FAKE_BUFS);
	assert_ptr_equal(d->buf_end, (char *)d->mem + FAKE_SIZE);
	assert_int_equal(nm_mmap(d, NULL), 0); /* nothing to do */
	assert_int_equal(nm_close(d), 0);
	assert_int_equal(nm_close(NULL), EINVAL);
}

static void takes_from_the_parent(void **state)
{
	struct nm_desc *a = nm_open("netmap:a-1", NULL, 0, NULL), *b;

	a->req.nr_arg1 = 3;
	a->req.nr_arg3 = 4;
	b = nm_open("netmap:b", NULL, 0, a);
	assert_string_equal(fake.legacy.nr_name, "b");
	assert_int_equal(fake.legacy.nr_arg1, 0);
	assert_int_equal(fake.legacy.nr_arg2, 0);
	assert_int_equal(fake.legacy.nr_arg3, 0);
	assert_int_equal(fake.legacy.nr_tx_slots, 0);
	assert_ptr_equal(b->mem, a->mem);
	assert_false(b->done_mmap);
	nm_close(b);
	b = nm_open("netmap:b", NULL,
		    NM_OPEN_NO_MMAP | NM_OPEN_IFNAME | NM_OPEN_ARG1 |
			    NM_OPEN_ARG2 | NM_OPEN_ARG3 | NM_OPEN_RING_CFG,
		    a);
	assert_string_equal(fake.legacy.nr_name, "a");
	assert_int_equal(fake.legacy.nr_ringid, 1);
	assert_int_equal(fake.legacy.nr_flags, NR_REG_ONE_NIC);
	assert_int_equal(fake.legacy.nr_arg1, 3);
	assert_int_equal(fake.legacy.nr_arg2, FAKE_REGION);
	assert_int_equal(fake.legacy.nr_arg3, 4);
	assert_int_equal(fake.legacy.nr_tx_slots, FAKE_SLOTS);
	assert_int_equal(fake.legacy.nr_rx_rings, 2);
	assert_ptr_equal(b->mem, a->mem);
	nm_close(b);
	b = nm_open("netmap:b@9", NULL, 0, a); /* another region */
	assert_ptr_not_equal(b->mem, a->mem);
	assert_true(b->done_mmap);
	nm_close(b);
	b = nm_open("netmap:b", NULL, NM_OPEN_NO_MMAP, NULL);
	assert_null(b->mem);
	assert_int_equal(nm_mmap(b, NULL), 0);
	assert_non_null(b->nifp);
	nm_close(b);
	nm_close(a);
}

static void knows_which_rings_are_bound(void **state)
{
	static const struct {
		const char *spec;
		uint16_t first_tx, last_tx, first_rx, last_rx;
	} cases[] = {
		{ "netmap:a", 0, 1, 0, 1 },   { "netmap:a-1", 1, 1, 1, 1 },
		{ "netmap:a^", 2, 2, 2, 2 },  { "netmap:a*", 0, 2, 0, 2 },
		{ "netmap:a{1", 0, 0, 0, 0 }, { "netmap:a}1", 0, 0, 0, 0 },
		{ "netmap:a/R", 1, 0, 0, 1 }, { "netmap:a/T", 0, 1, 1, 0 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct nm_desc *d = nm_open(cases[i].spec, NULL, 0, NULL);

		assert_int_equal(d->first_tx_ring, cases[i].first_tx);
		assert_int_equal(d->last_tx_ring, cases[i].last_tx);
		assert_int_equal(d->first_rx_ring, cases[i].first_rx);
		assert_int_equal(d->last_rx_ring, cases[i].last_rx);
		nm_close(d);
	}
}

static void binds_the_first_ring_where_there_is_no_such(void **state)
{
	struct nm_desc *d;

	fake.rx_rings = 1;
	d = nm_open("netmap:a-1", NULL, 0, NULL);
	assert_int_equal(d->first_tx_ring, 1);
	assert_int_equal(d->last_tx_ring, 1);
	assert_int_equal(d->first_rx_ring, 0);
	assert_int_equal(d->last_rx_ring, 0);
	nm_close(d);
}

static void fails_with_errno(void **state)
{
	errno = EIO;
	assert_null(nm_open("eth0", NULL, 0, NULL));
	assert_int_equal(errno, 0); /* not a name of netmap's */
	assert_null(nm_open("vale0", NULL, 0, NULL));
	assert_int_equal(errno, EINVAL);
	fake.open_error = ENOENT;
	assert_null(nm_open("netmap:a", NULL, 0, NULL));
	assert_int_equal(errno, ENOENT);
	fake.open_error = 0;
	fake.ioctl_error = EBUSY;
	assert_null(nm_open("netmap:a", NULL, 0, NULL));
	assert_int_equal(errno, EBUSY);
	assert_int_equal(fake.opens, 1);
}

static void injects(void **state)
{
	struct nm_desc *d = nm_open("netmap:a", NULL, 0, NULL);
	struct netmap_ring *r0 = NETMAP_TXRING(d->nifp, 0);
	struct netmap_ring *r1 = NETMAP_TXRING(d->nifp, 1);
	char packet[2000];

	for (unsigned i = 0; i < sizeof(packet); i++)
		packet[i] = (char)(i * 13);
	assert_int_equal(nm_inject(d, packet, 256), 256);
	assert_int_equal(r0->head, 1);
	assert_int_equal(r0->slot[0].flags, 0);
	assert_int_equal(nm_inject(d, packet, 1500), 1500);
	assert_int_equal(r0->head, 7);
	assert_int_equal(r0->slot[5].flags, NS_MOREFRAG);
	assert_int_equal(r0->slot[6].len, 220);
	assert_int_equal(r0->slot[6].flags, 0);
	assert_memory_equal(NETMAP_BUF(r0, r0->slot[6].buf_idx), packet + 1280,
			    220);
	assert_int_equal(nm_inject(d, packet, 60), 60); /* in the next ring */
	assert_int_equal(r1->head, 1);
	assert_int_equal(d->cur_tx_ring, 1);
	assert_int_equal(nm_inject(d, packet, 1793), 0);
	assert_int_equal(r1->head, 1);
	nm_close(d);
	d = nm_open("netmap:a/R", NULL, 0, NULL);
	assert_int_equal(nm_inject(d, packet, 60), 0);
	nm_close(d);
}

/* Puts a slot into an RX ring, as the device would. */
static void arrive(struct netmap_ring *ring, uint16_t len, uint16_t flags)
{
	struct netmap_slot *slot = &ring->slot[ring->tail];

	slot->len = len;
	slot->flags = flags;
	memset(NETMAP_BUF(ring, slot->buf_idx), (int)ring->tail + 'a', len);
	ring->ts.tv_sec = 1234;
	ring->tail = nm_ring_next(ring, ring->tail);
}

/* What the callback saw: "first byte:caplen/len" and + if there is more. */
static char seen[256];

static void see(unsigned char *arg, const struct nm_pkthdr *hdr,
		const unsigned char *data)
{
	size_t n = strlen(seen);

	assert_ptr_equal(arg, seen);
	assert_ptr_equal(hdr->buf, data);
	assert_int_equal(hdr->ts.tv_sec, 1234);
	assert_ptr_equal(data,
			 NETMAP_BUF(hdr->d->some_ring, hdr->slot->buf_idx));
	snprintf(seen + n, sizeof(seen) - n, "%c:%u/%u%s ", *data, hdr->caplen,
		 hdr->len, hdr->flags & NM_MORE_PKTS ? "+" : "");
}

static void dispatches(void **state)
{
	struct nm_desc *d = nm_open("netmap:a", NULL, 0, NULL);
	struct netmap_ring *r0 = NETMAP_RXRING(d->nifp, 0);
	struct netmap_ring *r1 = NETMAP_RXRING(d->nifp, 1);
	unsigned char *arg = (unsigned char *)seen;

	assert_int_equal(nm_dispatch(d, 0, see, arg), 0);
	arrive(r0, 60, 0);
	arrive(r0, 256, NS_MOREFRAG); /* these two lie side by side */
	arrive(r0, 44, 0);
	arrive(r0, 100, NS_MOREFRAG); /* these do not */
	arrive(r0, 44, 0);
	arrive(r1, 70, 0);
	arrive(r1, 71, 0);
	assert_int_equal(nm_dispatch(d, 2, see, arg), 2);
	assert_string_equal(seen, "a:60/60+ b:300/300 ");
	assert_int_equal(r0->head, 3);
	seen[0] = '\0';
	assert_int_equal(nm_dispatch(d, -1, see, arg), 3);
	assert_string_equal(seen, "d:100/144+ a:70/70+ b:71/71 ");
	assert_true(nm_ring_empty(r0) && nm_ring_empty(r1));
	assert_int_equal(r1->cur, 2);
	assert_int_equal(d->cur_rx_ring, 1);
	/* A packet whose end has not come yet does not hang it. */
	arrive(r1, 80, NS_MOREFRAG);
	seen[0] = '\0';
	assert_int_equal(nm_dispatch(d, 0, see, arg), 1);
	assert_string_equal(seen, "c:80/80 ");
	nm_close(d);
}

static void hands_out_slots(void **state)
{
	struct nm_desc *d = nm_open("netmap:a", NULL, 0, NULL);
	struct netmap_ring *r1 = NETMAP_RXRING(d->nifp, 1);
	struct nm_pkthdr hdr = { .flags = 77 };
	unsigned char *data;

	assert_null(nm_nextpkt(d, &hdr));
	arrive(r1, 60, 0);
	arrive(r1, 61, 0);
	for (unsigned i = 0; i < 2; i++) {
		data = nm_nextpkt(d, &hdr);
		assert_int_equal(*data, 'a' + i);
		assert_int_equal(hdr.len, 60 + i);
		assert_int_equal(hdr.caplen, 60 + i);
		assert_int_equal(hdr.ts.tv_sec, 1234);
		assert_int_equal(hdr.flags, 77);
		assert_int_equal(r1->head, i + 1);
	}
	assert_int_equal(d->cur_rx_ring, 1);
	assert_null(nm_nextpkt(d, &hdr));
	nm_close(d);
}

static void copies(void **state)
{
	char a[2000], b[2000];
	static const int lengths[] = { 0, -1, 1, 63, 64, 1023, 1024, 1999 };

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		int n = lengths[i] > 0 ? lengths[i] : 0;

		memset(a, 'x', sizeof(a));
		memset(b, 'y', sizeof(b));
		nm_pkt_copy(a, b, lengths[i]);
		assert_memory_equal(a, b, (size_t)n);
		assert_int_equal(b[n], 'y');
	}
}

static void talks_to_a_kloop(void **state)
{
	struct nm_csb_ktoa ktoa = { .hwcur = 3, .hwtail = 9 };
	struct nm_csb_atok atok = { 0 };
	uint32_t tail, cur;

	nm_sync_kloop_appl_write(&atok, 5, 4);
	assert_int_equal(atok.cur, 5);
	assert_int_equal(atok.head, 4);
	nm_sync_kloop_appl_read(&ktoa, &tail, &cur);
	assert_int_equal(tail, 9);
	assert_int_equal(cur, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_names),
		cmocka_unit_test(opens_and_closes),
		cmocka_unit_test(takes_from_the_parent),
		cmocka_unit_test(knows_which_rings_are_bound),
		cmocka_unit_test(binds_the_first_ring_where_there_is_no_such),
		cmocka_unit_test(fails_with_errno),
		cmocka_unit_test(injects),
		cmocka_unit_test(dispatches),
		cmocka_unit_test(hands_out_slots),
		cmocka_unit_test(copies),
		cmocka_unit_test(talks_to_a_kloop),
	};
	struct CMUnitTest all[sizeof(tests) / sizeof(*tests)];

	for (unsigned i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		all[i] = tests[i];
		all[i].setup_func = setup;
		all[i].teardown_func = nothing_left;
	}
	return cmocka_run_group_tests_name("nm_open", all, NULL, NULL);
}
