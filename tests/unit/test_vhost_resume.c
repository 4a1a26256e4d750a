// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_resume.c - glend dies behind any store while it gives back.
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vhost_rig.h"

#include "port/vhost_user/session.h"

/*
 * A child gives back, one instruction at a time; whenever the ring or the
 * record in the state file has changed, what both look like is kept: that is
 * what a glend leaves that is killed there. Then the same guest is made anew
 * for each of these, and the virtqueue goes on from there, in two ways: the
 * guest looks at it only then, or has taken back and offered again all it could
 * before that.
 */
enum {
	SIZE = 16,
	BUF = 300,
	PACKET_MAX = 600,
	PACKETS = 6, /* of a batch */
	STATES_MAX = 200,
	STEPS_MAX = 3000000,
	SENT_MAX = 10000,
	USED_BYTES = 8 + 8 * SIZE,
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* What outlives glend. */
struct state {
	uint64_t desc[2 * SIZE];
	uint8_t used[USED_BYTES];
	struct vhost_saved_queue saved;
};

struct scene {
	const char *name;
	enum vq_side side;
	unsigned descs;	 /* of a chain, at most; 1: the simple ways */
	unsigned leases; /* VQ_OUT: two, completed as they begin (1), both when
			  * the first one is (2), first the other one (3) */
};

static struct vq v;
static struct state states[STATES_MAX];
static uint8_t *data_then[STATES_MAX][GUEST_REGIONS]; /* buffers */
static unsigned n_states;
static uint32_t next_seq, expected; /* packets into the guest */
static unsigned n_empty;
static struct vhost_saved_queue start_at;
/* Packets from the guest, and how often each has been delivered. */
static uint32_t n_sent;
static uint8_t n_came[SENT_MAX];

static void add_chain(const struct scene *sc)
{
	struct guest_buf buf[3];
	/* The first one decides whether rx() takes the simple way. */
	unsigned descs = v.g.n_chains ? 1 + rnd(sc->descs) : sc->descs;
	bool indirect = descs > 1 && !rnd(3);
	bool out = sc->side == VQ_OUT;

	if (!guest_fits(&v.g, indirect ? 1 : descs))
		return;
	for (unsigned i = 0; i < descs; i++) {
		buf[i] = (struct guest_buf){ guest_alloc(&v.g, BUF, 1), BUF,
					     out };
		if (!out)
			memset(guest_ptr(&v.g, buf[i].gpa), 0, BUF);
	}
	if (!out) {
		assert_true(n_sent < SENT_MAX);
		memcpy(guest_ptr(&v.g, buf[0].gpa) + VHOST_HDR_LEN, &n_sent, 4);
		n_came[n_sent++] = 0;
	}
	guest_add(&v.g, buf, descs, indirect);
}

static void fill_ring(const struct scene *sc)
{
	for (unsigned i = 0; i < SIZE; i++)
		add_chain(sc);
	guest_show(&v.g);
}

/* A batch for the guest. */
static void make_batch(const struct scene *sc, struct batch *b,
		       uint8_t (*data)[PACKET_MAX], unsigned n)
{
	vq_batch(b);
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = sc->descs > 1 ? 100 + rnd(PACKET_MAX - 100) :
					       60 + rnd(200);

		vq_fill(data[i] + 4, len - 4, next_seq);
		memcpy(data[i], &next_seq, 4);
		next_seq++;
		vq_batch_add(b, data[i], len, sc->descs > 1 ? 2 : 1);
	}
}

static struct batch batch[2];
static uint8_t data[2][PACKETS][PACKET_MAX];

/* The other worker's batch, while the first one has reserved its lease. */
static void nested(struct lease_queue *q)
{
	vq_unlocked = NULL;
	vq_tx(&v, &batch[1]);
	raise(SIGSTOP);
}

/* Nothing is written until a lease is taken. */
static void reserved(struct lease_queue *q)
{
	vq_unlocked = NULL;
	raise(SIGSTOP);
}

/* Two leases by hand, of simple packets; the younger one is written first. */
static void crossed(unsigned order)
{
	static struct out_simple s[2];
	struct out o[2];
	uint16_t list[PACKETS / 2];

	for (unsigned i = 0; i < PACKETS / 2; i++)
		list[i] = i;
	for (unsigned k = 0; k < 2; k++) {
		unsigned n = batch[k].n;

		o[k] = (struct out){ .q = &v.q, .r = &v.r, .ctx = &v.ctx };
		lease_lock(&v.q.q);
		n = v.r.packed ? packed_take_simple(&o[k], &s[k], n, BUF) :
				 split_take_simple(&o[k], &s[k], n, BUF);
		assert_int_equal(n, batch[k].n);
		out_take(&o[k], n);
		lease_unlock(&v.q.q);
		for (unsigned p = 0; p < n; p++)
			write_simple(s[k].ptr[p], v.r.hdr_len, &batch[k], p);
	}
	raise(SIGSTOP);
	for (unsigned i = 0; i < 2; i++) {
		unsigned k = i ^ (order & 1);
		const struct batch *b = &batch[k];

		if (v.r.packed)
			packed_give_simple(&o[k], &s[k], b, list, b->n);
		for (unsigned p = 0; p < b->n && !v.r.packed; p++)
			split_give(&v.r, o[k].start + p, s[k].id[p],
				   v.r.hdr_len + b->len[p]);
		out_publish(&o[k]);
	}
}

/* Takes a batch from the guest. Returns how many packets came again. */
static unsigned receive(void)
{
	static uint8_t bytes[3 * BUF];
	unsigned again = 0;
	uint32_t number;

	vq_rx(&v);
	for (unsigned i = 0; i < v.b.slots; i++) {
		vq_packet(&v, i, bytes);
		memcpy(&number, bytes, 4);
		assert_true(number < n_sent);
		again += n_came[number]++ > 0;
	}
	return again;
}

/* The guest and what glend has taken of it, the same each time. */
static void set_scene(const struct scene *sc, const struct vq_kind *kind,
		      uint64_t seed)
{
	random_state = seed;
	next_seq = expected = n_sent = 0;
	n_empty = 0;
	vq_open(&v, sc->side, kind);
	start_at = v.saved;
	fill_ring(sc);
	if (sc->side == VQ_IN) {
		assert_int_equal(receive(), 0);
		assert_true(v.b.slots > 2);
		return;
	}
	make_batch(sc, &batch[0], data[0], PACKETS / (sc->leases ? 2 : 1));
	make_batch(sc, &batch[1], data[1], PACKETS / 2);
}

/* What is to be killed, behind a SIGSTOP. */
static void act(const struct scene *sc)
{
	if (sc->side == VQ_IN) {
		raise(SIGSTOP);
		vq_rx_done(&v);
	} else if (sc->leases < 2) {
		vq_unlocked = sc->leases ? nested : reserved;
		vq_tx(&v, &batch[0]);
	} else {
		crossed(sc->leases);
	}
}

static void keep(pid_t child)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		struct guest_area *a = &v.g.area[i];
		uint8_t *copy = malloc(a->used + 1);
		struct iovec to = { copy, a->used },
			     from = { a->base, a->used };

		assert_non_null(copy);
		assert_int_equal(process_vm_readv(child, &to, 1, &from, 1, 0),
				 a->used);
		data_then[n_states][i] = copy;
	}
	n_states++;
}

/* Looks at the child between two instructions. */
static void look(pid_t child)
{
	struct state *now = &states[n_states];
	struct iovec to[3] = {
		{ now->desc, sizeof(now->desc) },
		{ &now->saved, sizeof(now->saved) },
		{ now->used, 4 + 8 * SIZE },
	};
	struct iovec from[3] = {
		{ v.g.desc, sizeof(now->desc) },
		{ &v.saved, sizeof(now->saved) },
		{ v.g.used, 4 + 8 * SIZE },
	};
	int n = v.g.packed ? 2 : 3;

	assert_true(n_states < STATES_MAX);
	memset(now->used, 0, sizeof(now->used));
	assert_true(process_vm_readv(child, to, n, from, n, 0) > 0);
	if (!n_states || memcmp(now, now - 1, sizeof(*now)) != 0)
		keep(child);
}

/* Fills states[]. False: processes may not be traced here. */
static bool record(const struct scene *sc)
{
	pid_t child = fork();
	unsigned steps = 0;
	int status;

	assert_true(child >= 0);
	if (!child) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(77);
		act(sc);
		_exit(0);
	}
	n_states = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status))
		return false;
	for (;;) {
		look(child);
		assert_true(steps++ < STEPS_MAX);
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL),
				 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSTOPPED(status))
			break;
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

static void put_state(unsigned k)
{
	memcpy(v.g.desc, states[k].desc, sizeof(states[k].desc));
	v.saved = states[k].saved;
	if (!v.g.packed)
		memcpy(v.g.used, states[k].used, 4 + 8 * SIZE);
	for (unsigned i = 0; i < GUEST_REGIONS; i++)
		memcpy(v.g.area[i].base, data_then[k][i], v.g.area[i].used);
}

/* The guest takes back what it can see. */
static void take_all(const struct scene *sc)
{
	static uint8_t flat[PACKET_MAX + VHOST_HDR_LEN + 3 * BUF];
	uint8_t want[PACKET_MAX];
	struct guest_chain c;
	uint32_t len, total, seq, parts = 0;

	total = 0;
	while (guest_take(&v.g, &c, &len)) {
		if (sc->side == VQ_IN || !len) {
			assert_int_equal(len, 0);
			assert_int_equal(parts, 0);
			n_empty += sc->side == VQ_OUT;
			free(c.buf);
			continue;
		}
		for (unsigned i = 0; i < c.n && len; i++) {
			uint32_t n = c.buf[i].len < len ? c.buf[i].len : len;

			memcpy(flat + total, guest_ptr(&v.g, c.buf[i].gpa), n);
			total += n;
			len -= n;
		}
		free(c.buf);
		if (!parts)
			parts = flat[10] | flat[11] << 8;
		if (--parts)
			continue;
		total -= VHOST_HDR_LEN;
		memcpy(&seq, flat + VHOST_HDR_LEN, 4);
		assert_true(seq >= expected);
		expected = seq + 1;
		vq_fill(want, total - 4, seq);
		assert_memory_equal(flat + VHOST_HDR_LEN + 4, want, total - 4);
		total = 0;
	}
	assert_int_equal(parts, 0);
}

/* As queue.c does it. */
static void resume(const struct scene *sc)
{
	struct vhost_saved_queue at = start_at;

	if (!v.g.packed) {
		at.avail = at.used = v.g.used[1];
	} else if (!vhost_packed_resume(&v.r, &v.saved, sc->side == VQ_OUT,
					&at)) {
		assert_false(vhost_packed_is_worn(&v.r));
		at = start_at;
	}
	assert_int_equal(at.avail, at.used);
	assert_int_equal(at.avail_wrap, at.used_wrap);
	v.saved = at;
	vhost_queue_reset(&v.q, sc->side == VQ_OUT, &at);
	if (sc->side == VQ_OUT)
		v.q.later = v.later;
}

/* Both sides go on, several times around the ring; all must come back. */
static void go_on(const struct scene *sc)
{
	static struct batch b;
	static uint8_t bytes[2][PACKET_MAX];
	unsigned turns = 0;

	for (unsigned k = 0; k < SIZE; k++) {
		uint32_t before = expected;

		fill_ring(sc);
		if (sc->side == VQ_IN) {
			turns++;
			do {
				assert_int_equal(receive(), 0);
				vq_rx_done(&v);
			} while (v.b.slots);
			take_all(sc);
			guest_rewind(&v.g);
		} else {
			make_batch(sc, &b, bytes, 2);
			vq_tx(&v, &b);
			take_all(sc);
			turns += expected == before + 2;
		}
		assert_null(vq_reason(&v));
	}
	assert_int_equal(turns, SIZE);
	for (uint32_t i = 0; i < n_sent; i++)
		assert_true(n_came[i] > 0);
}

/*
 * The one case in which nobody can tell: a chain goes around the end, and the
 * guest has offered everything anew.
 */
static bool looks_new(void)
{
	return v.g.packed && v.g.used_idx && v.g.used_wrap &&
	       !vhost_packed_is_worn(&v.r) && v.g.desc[2 * SIZE - 1];
}

/* glend has been killed at a state and comes back. */
static void come_back(const struct scene *sc, unsigned k, bool guest_acts)
{
	bool begun;
	unsigned n;

	put_state(k);
	/* On a ring that is new the front end's word counts until then. */
	begun = v.g.packed && vhost_packed_is_worn(&v.r) &&
		(v.saved.avail != v.saved.used ||
		 v.saved.avail_wrap != v.saved.used_wrap);
	if (guest_acts) {
		take_all(sc);
		fill_ring(sc);
	}
	if (looks_new())
		return;
	resume(sc);
	take_all(sc);
	/* Neither ahead of what the guest has got back, nor behind. */
	assert_int_equal(v.q.used, v.g.used_idx);
	if (v.g.packed)
		assert_int_equal(v.q.used_wrap, v.g.used_wrap);
	if (sc->side == VQ_IN) {
		n = receive();
		vq_rx_done(&v);
		take_all(sc);
		/* What was delivered comes twice only if none of it had been
		 * given back. */
		assert_true(!n || (!begun && k < n_states - 1));
	}
	expected = next_seq > expected ? next_seq : expected;
	go_on(sc);
}

static const struct scene scenes[] = {
	{ "rx, simple", VQ_IN, 1, 0 },
	{ "rx, chains", VQ_IN, 3, 0 },
	{ "tx, simple", VQ_OUT, 1, 0 },
	{ "tx, chains", VQ_OUT, 3, 0 },
	{ "tx, simple, a lease in another", VQ_OUT, 1, 1 },
	{ "tx, chains, a lease in another", VQ_OUT, 3, 1 },
	{ "tx, leases in order", VQ_OUT, 1, 2 },
	{ "tx, leases out of order", VQ_OUT, 1, 3 },
};

static void forget(void)
{
	for (unsigned k = 0; k < n_states; k++)
		for (unsigned i = 0; i < GUEST_REGIONS; i++)
			free(data_then[k][i]);
}

static void die_in(const struct scene *sc, const struct vq_kind *kind)
{
	uint64_t seed = random_state;

	set_scene(sc, kind, seed);
	if (!record(sc)) {
		vq_close(&v);
		SKIP("a process may not trace its children here");
	}
	vq_close(&v);
	/* Each chain is at least one store. */
	assert_true(n_states > PACKETS / 2);
	for (unsigned k = 0; k < n_states; k++) {
		for (unsigned acts = 0; acts < 2; acts++) {
			set_scene(sc, kind, seed);
			come_back(sc, k, acts);
			/* Nothing is lost that was not begun. */
			if (sc->side == VQ_OUT && (!k || k == n_states - 1))
				assert_int_equal(n_empty, 0);
			vq_close(&v);
		}
	}
	forget();
}

/*
 * Of a split ring only the index counts; others' leases are as in new rings.
 * Under sanitizers there are many more instructions to stop at, and fewer
 * scenes have all that resume.c does.
 */
static bool is_dull(const struct scene *sc, const struct vq_kind *kind)
{
	if (SANITIZED && (!kind->packed || sc->descs == 1))
		return true;
	return !kind->start && (!kind->packed || sc->leases);
}

static void every_store(void **state)
{
	for (unsigned s = 0; s < sizeof(scenes) / sizeof(scenes[0]); s++) {
		print_message("# %s\n", scenes[s].name);
		for (unsigned how = 0; how < 2; how++) {
			FOR_KINDS(kind, .size = SIZE)
			{
				/* A new ring; one that ends in the batch. */
				kind.start = how ? SIZE - 3 : 0;
				kind.wrap_low = how;
				if (!is_dull(&scenes[s], &kind))
					die_in(&scenes[s], &kind);
			}
		}
	}
}

/* Records that are of another ring. */
static void not_this_ring(void **state)
{
	static const struct vhost_saved_queue bad[] = {
		{ .avail = SIZE, .used = 3, .avail_wrap = 1, .used_wrap = 1 },
		{ .avail = 3, .used = SIZE, .avail_wrap = 1, .used_wrap = 1 },
		{ .avail = 2, .used = 3, .avail_wrap = 1, .used_wrap = 1 },
		{ .avail = 9, .used = 3, .avail_wrap = 0, .used_wrap = 1 },
		/* Of which the guest has offered only a part. */
		{ .avail = 12, .used = 3, .avail_wrap = 0, .used_wrap = 0 },
	};
	struct vq_kind kind = {
		.packed = true, .size = SIZE, .start = 3, .wrap_low = true
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vhost_saved_queue at;
		uint64_t before[2 * SIZE];

		vq_open(&v, VQ_IN, &kind);
		for (unsigned k = 0; k < 5; k++)
			add_chain(&scenes[0]);
		memcpy(before, v.g.desc, sizeof(before));
		assert_false(vhost_packed_resume(&v.r, &bad[i], false, &at));
		assert_memory_equal(before, v.g.desc, sizeof(before));
		vq_close(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_store),
		cmocka_unit_test(not_this_ring),
	};

	rnd_seed();
	return cmocka_run_group_tests_name("vhost_resume", tests, NULL, NULL);
}
