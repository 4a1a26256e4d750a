// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_later.c - what a vhost-user port cannot do now, it does later.
#include "vhost_ports.h"

#include <linux/aio_abi.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

/* Packets to a port whose guest is not there. */
static unsigned long link_down(struct port *port)
{
	unsigned long n = 0;

	pthread_mutex_lock(&lock);
	for (unsigned w = 0; w <= engine->n_workers; w++)
		n += __atomic_load_n(
			&port->out[0].counters[w].drops[DROP_OUT_LINK_DOWN],
			__ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return n;
}

/* Everything goes, a packet is sent meanwhile, and everything comes back. */
static void take_away(unsigned first, unsigned n, uint8_t number)
{
	int64_t end = now_ms() + WAIT_MS;
	unsigned long down = link_down(a);

	for (unsigned i = 0; i < n; i++)
		good(&fa, fe_slot_message(&fa, FE_REM_MEM_REG, first + i));
	wait_shown(a, "queues", "\"running\":false");
	send_one(&fa, number);
	send_one(&fb, 0);
	while (link_down(a) == down && now_ms() < end)
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	assert_int_equal(link_down(a), down + 1);
	for (unsigned i = n; i-- > 0;)
		good(&fa, fe_slot_message(&fa, FE_ADD_MEM_REG, first + i));
	expect(&fb, number);
	assert_null(strstr(shown(a, "queues"), "\"stopped\""));
}

/* Memory slots with virtqueues in them are removed, and added again. */
static void region_again(uint64_t features)
{
	unsigned rings = 0, all;

	attach(&fa, FE_QEMU7, features, 1, path_a);
	attach(&fb, FE_QEMU7, features, 1, path_b);
	all = fa.n_regions;
	for (unsigned i = 0; i < all; i++) {
		uint64_t at = fe_rx(&fa, 0)->desc_gpa - fa.region[i].gpa;

		if (at < fa.region[i].size)
			rings = i;
	}
	for (unsigned i = 0; i < 20; i++) {
		exchange(7);
		take_away(rings, 1, 2 * i);
		exchange(7);
		take_away(0, all, 2 * i + 1);
	}
	exchange(7);
	assert_string_equal(shown(a, "last_error"), "");
}

static void test_region_split(void **state)
{
	region_again(0);
}

static void test_region_packed(void **state)
{
	region_again(FE_BIT(FE_F_PACKED) | FE_BIT(FE_F_EVENT_IDX));
}

/* Asynchronous I/O of a doorbell that is all under way. */
struct clog {
	aio_context_t context;
	int fd; /* readable: all of it completes */
	unsigned n;
};

/* Takes what is left of requests on one processor. */
static void clog_here(struct clog *c)
{
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_POLL,
				.aio_fildes = c->fd,
				.aio_buf = POLLIN };
	struct iocb *list[] = { &request };

	while (syscall(SYS_io_submit, c->context, 1, list) == 1)
		c->n++;
	assert_int_equal(errno, EAGAIN);
}

/* The kernel keeps some requests for each processor. */
static void clog_up(struct clog *c, const struct worker *w)
{
	cpu_set_t all, one;

	c->context = w->doorbell.context;
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->n = 0;
	assert_true(c->fd >= 0);
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		clog_here(c);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

/* All of it is done; nobody uses the doorbell meanwhile. */
static void clog_clear(struct clog *c)
{
	static const uint64_t one = 1;
	struct io_event done;

	assert_int_equal(write(c->fd, &one, sizeof(one)), sizeof(one));
	for (; c->n; c->n--)
		assert_int_equal(syscall(SYS_io_getevents, c->context, 1, 1,
					 &done, NULL),
				 1);
	close(c->fd);
}

static bool is_called(const struct fe_queue *q, int wait_ms)
{
	struct pollfd p = { q->call_fd, POLLIN, 0 };
	uint64_t n;

	if (!poll(&p, 1, wait_ms))
		return false;
	assert_int_equal(read(q->call_fd, &n, sizeof(n)), sizeof(n));
	return true;
}

/* How often signals of a port's virtqueue were given again. */
static unsigned long late(struct port *port, unsigned i)
{
	struct vhost_port *vp = port->drv;
	unsigned long n;

	pthread_mutex_lock(&lock);
	n = vp->setup[i].late;
	pthread_mutex_unlock(&lock);
	return n;
}

static void wait_late(struct port *port, unsigned i, unsigned long more)
{
	int64_t end = now_ms() + WAIT_MS;

	while (late(port, i) < more) {
		if (now_ms() > end)
			fail_msg("nobody rings again: %lu of %lu",
				 late(port, i), more);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
}

/*
 * The guest sleeps, and the kernel has nothing left to wake it with: it is
 * woken later. First the worker cannot, then the control thread cannot either.
 */
static void call_later(uint64_t features)
{
	struct worker *worker = engine->workers[0];
	struct worker *main_worker = engine->workers[engine->n_workers];
	struct clog by_worker, by_control;

	attach(&fa, FE_QEMU7, features, 1, path_a);
	attach(&fb, FE_QEMU7, features, 1, path_b);
	exchange(3);
	while (is_called(fe_rx(&fb, 0), 20) || is_called(fe_tx(&fa, 0), 20))
		;
	clog_up(&by_worker, worker);
	send_one(&fa, 1);
	assert_true(is_called(fe_rx(&fb, 0), WAIT_MS));
	assert_true(is_called(fe_tx(&fa, 0), WAIT_MS));
	expect(&fb, 1);
	assert_int_equal(late(b, 0), 1);
	assert_int_equal(late(a, 1), 1);

	pthread_mutex_lock(&lock);
	clog_up(&by_control, main_worker);
	pthread_mutex_unlock(&lock);
	send_one(&fa, 2);
	expect(&fb, 2);
	wait_late(b, 0, 4);
	wait_late(a, 1, 4);
	assert_false(is_called(fe_rx(&fb, 0), 0));
	assert_false(is_called(fe_tx(&fa, 0), 0));
	pthread_mutex_lock(&lock);
	clog_clear(&by_control);
	pthread_mutex_unlock(&lock);
	assert_true(is_called(fe_rx(&fb, 0), WAIT_MS));
	assert_true(is_called(fe_tx(&fa, 0), WAIT_MS));
	/* As before: nothing is rung twice. */
	clog_clear(&by_worker);
	send_one(&fa, 3);
	assert_true(is_called(fe_rx(&fb, 0), WAIT_MS));
	expect(&fb, 3);
	exchange(3);
}

static void test_call_split(void **state)
{
	call_later(0);
}

static void test_call_packed(void **state)
{
	call_later(FE_BIT(FE_F_PACKED));
}

/* The part of a split virtqueue in the memory for descriptors in flight. */
struct part {
	uint64_t features;
	uint16_t version, size, last_batch_head, used_idx;
	struct {
		uint8_t inflight, unused[5];
		uint16_t next;
		uint64_t counter;
	} entry[256];
};

static uint8_t *records; /* all of that memory of fa's */

static struct part *part_of(unsigned queue)
{
	return (struct part *)(records + queue * (fa.inflight.size / 2));
}

static void records_map(void)
{
	records = mmap(NULL, fa.inflight.size, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fa.inflight_fd, 0);
	assert_ptr_not_equal(records, MAP_FAILED);
}

static uint16_t *ring16(uint8_t *ring, unsigned i)
{
	return (uint16_t *)(ring + 4) + i;
}

static uint32_t *used_id(const struct fe_queue *q, uint16_t i)
{
	return (uint32_t *)(q->used + 4 + 8 * (i % 256));
}

static uint16_t *index_of(uint8_t *ring)
{
	return (uint16_t *)(ring + 2);
}

/* The other back end takes the chain at a place of the available ring. */
static uint16_t other_takes(const struct fe_queue *q, uint16_t at,
			    uint64_t counter)
{
	struct part *part = part_of(q->index);
	uint16_t head = *ring16(q->avail, at % 256);

	part->entry[head].inflight = 1;
	part->entry[head].counter = counter;
	return head;
}

/* It gives one back, and dies before it says so if it is to. */
static void other_gives(const struct fe_queue *q, uint16_t head, bool dies)
{
	struct part *part = part_of(q->index);
	uint16_t *used = index_of(q->used);

	part->last_batch_head = head;
	used_id(q, *used)[0] = head;
	used_id(q, *used)[1] = 0;
	__atomic_store_n(used, *used + 1, __ATOMIC_RELEASE);
	if (dies)
		return;
	part->entry[head].inflight = 0;
	part->used_idx = *used;
}

static void reconnect(void)
{
	good(&fa, fe_connect(&fa, path_a));
	good(&fa, fe_handshake(&fa));
	good(&fa, fe_start(&fa));
}

/*
 * Another back end took five chains of the guest's packets and gave back the
 * second and the fourth, and took two of its buffers.
 */
static void test_inflight_split(void **state)
{
	static const uint64_t counters[] = { 10, 11, 30, 12, 20 };
	struct fe_queue *tx, *rx;
	uint16_t head[5], sent, had, taken[2];

	attach(&fa, FE_CLOUD, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	tx = fe_tx(&fa, 0);
	rx = fe_rx(&fa, 0);
	exchange(5);
	fe_disconnect(&fa);
	wait_shown(a, "connected", "false");
	records_map();
	assert_int_equal(part_of(1)->version, 1);
	fe_reclaim(tx);
	sent = part_of(1)->used_idx = *index_of(tx->used);
	had = part_of(0)->used_idx = *index_of(rx->used);
	assert_int_equal(*index_of(tx->avail), sent);
	for (unsigned i = 0; i < 5; i++) {
		send_one(&fa, 100 + i);
		head[i] = other_takes(tx, sent + i, counters[i]);
	}
	other_gives(tx, head[1], false);
	other_gives(tx, head[3], true);
	taken[0] = other_takes(rx, had, 8);
	taken[1] = other_takes(rx, had + 1, 9);

	reconnect();
	wait_shown(a, "connected", "true");
	assert_int_equal(*index_of(tx->used), (uint16_t)(sent + 5));
	assert_int_equal(*index_of(rx->used), (uint16_t)(had + 2));
	assert_int_equal(used_id(tx, sent + 2)[0], head[0]);
	assert_int_equal(used_id(tx, sent + 3)[0], head[4]);
	assert_int_equal(used_id(tx, sent + 4)[0], head[2]);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(used_id(rx, had + i)[0], taken[i]);
		assert_int_equal(used_id(rx, had + i)[1], 0);
		assert_int_equal(fe_receive(rx, &packet), 1);
		assert_int_equal(packet.len, 0);
		assert_int_equal(part_of(i)->used_idx,
				 *index_of(i ? tx->used : rx->used));
		for (unsigned k = 0; k < 256; k++)
			assert_int_equal(part_of(i)->entry[k].inflight, 0);
	}
	fe_fill(rx);
	assert_int_equal(logged("left 3 descriptor chains"), 1);
	assert_int_equal(logged("left 2 descriptor chains"), 1);
	/* Nothing is lost to the guest, and nothing comes twice. */
	fe_reclaim(tx);
	assert_int_equal(tx->n_free, 256);
	exchange(300);
	good(&fa, fe_stop(&fa));
	good(&fa, fe_start(&fa));
	exchange(3);
	assert_int_equal(logged("descriptor chains"), 2);
	munmap(records, fa.inflight.size);
}

/* The records cannot be true: the virtqueue stops, and only that. */
static void inflight_bad(const char *why)
{
	log_text[0] = '\0';
	reconnect();
	wait_shown(a, "queues", why);
	wait_shown(a, "connected", "true");
	fe_disconnect(&fa);
	wait_shown(a, "connected", "false");
}

static void test_inflight_bad(void **state)
{
	size_t size;

	attach(&fa, FE_CLOUD, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(5);
	fe_disconnect(&fa);
	wait_shown(a, "connected", "false");
	records_map();
	size = fa.inflight.size;
	/* More than the guest has offered. */
	for (unsigned i = 0; i < 256; i++)
		part_of(1)->entry[i].inflight = 1;
	part_of(1)->used_idx = *index_of(fe_tx(&fa, 0)->used);
	inflight_bad("does not fit to the ring");
	/* Of a ring that was elsewhere. */
	part_of(1)->used_idx += 5000;
	inflight_bad("does not fit to the ring");
	part_of(1)->version = 2;
	inflight_bad("of a version");
	memset(part_of(1)->entry, 0, sizeof(part_of(1)->entry));
	part_of(1)->version = 1;
	/* Made for fewer descriptors. */
	fa.inflight.queue_size = 128;
	inflight_bad("more descriptors than");
	fa.inflight.queue_size = 256;
	reconnect();
	exchange(300);
	munmap(records, size);
}

/* Where a packed ring is behind what is in flight, nobody can tell us. */
static void test_inflight_packed(void **state)
{
	attach(&fa, FE_CLOUD, FE_BIT(FE_F_PACKED), 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(5);
	fe_disconnect(&fa);
	wait_shown(a, "connected", "false");
	records_map();
	records[fa.inflight.size / 2 + 32 + 32 * 255] = 1;
	inflight_bad("of this packed virtqueue in flight");
	records[fa.inflight.size / 2 + 32 + 32 * 255] = 0;
	reconnect();
	exchange(300);
	munmap(records, fa.inflight.size);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_region_split),    TEST(test_region_packed),
		TEST(test_call_split),	    TEST(test_call_packed),
		TEST(test_inflight_split),  TEST(test_inflight_bad),
		TEST(test_inflight_packed),
	};

	return cmocka_run_group_tests_name("vhost_later", tests, NULL, NULL);
}
