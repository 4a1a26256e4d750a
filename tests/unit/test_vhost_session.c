// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_session.c - whole vhost-user ports, with front ends in here.
#include <sys/eventfd.h>

#include "vhost_ports.h"

/* The sequences of all front ends, split and packed. */
static void test_kinds(void **state)
{
	static const uint64_t packed[] = { 0, FE_BIT(FE_F_PACKED) };

	for (enum fe_kind kind = FE_QEMU7; kind <= FE_CLOUD; kind++) {
		for (unsigned p = 0; p < 2; p++) {
			attach(&fa, kind, packed[p], 1, path_a);
			attach(&fb, kind, packed[p] | FE_BIT(FE_F_EVENT_IDX), 2,
			       path_b);
			wait_shown(a, "link", "true");
			exchange(5);
			good(&fa, fe_stop(&fa));
			good(&fa, fe_start(&fa));
			exchange(5);
			fe_fini(&fa);
			fe_fini(&fb);
			wait_shown(a, "connected", "false");
			wait_shown(b, "connected", "false");
			assert_string_equal(shown(a, "last_error"), "");
		}
	}
	assert_string_equal(shown(a, "connections"), "8");
}

/* What the port says about the guest. */
static void test_shown(void **state)
{
	attach(&fa, FE_QEMU10, FE_FEATURES_OFFLOADS, 2, path_a);
	assert_string_equal(shown(a, "in_rings"), "16");
	assert_string_equal(shown(a, "mode"), "server");
	assert_non_null(strstr(shown(a, "features"), "guest_tso6"));
	assert_null(strstr(shown(a, "features"), "ring_packed"));
	assert_non_null(strstr(shown(a, "protocol_features"), "reply_ack"));
	assert_non_null(strstr(shown(a, "status"), "driver_ok"));
	assert_non_null(strstr(shown(a, "memory"), "\"kind\":\"memfd\""));
	assert_non_null(strstr(shown(a, "offloads"), "tso4"));
	assert_null(strstr(shown(a, "offloads"), "uso"));
	assert_non_null(strstr(shown(a, "queues"), "\"queue\":3"));
	assert_string_equal(shown(a, "problem"), "");
	pthread_mutex_lock(&lock);
	assert_int_equal(a->n_out_used, 2);
	pthread_mutex_unlock(&lock);
	good(&fa, fe_enable(&fa, 2, false));
	good(&fa, fe_sync(&fa));
	pthread_mutex_lock(&lock);
	assert_int_equal(a->n_out_used, 1);
	pthread_mutex_unlock(&lock);
}

static unsigned long drops_of(const struct port *port, enum drop why)
{
	unsigned long n = 0;

	pthread_mutex_lock(&lock);
	for (unsigned w = 0; w <= engine->n_workers; w++)
		n += __atomic_load_n(&port->out[0].counters[w].drops[why],
				     __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return n;
}

static void set_mtu(struct port *port, int mtu, int want)
{
	json_t *params = json_pack("{s:i}", "mtu", mtu);
	struct glen_error error;

	pthread_mutex_lock(&lock);
	assert_int_equal(port_set(port, params, &error), want);
	pthread_mutex_unlock(&lock);
	if (want)
		assert_non_null(strstr(error.text, "68 to 65535"));
	json_decref(params);
}

/* One front end at a time; the others are sent away. */
static void test_second(void **state)
{
	struct fe second;

	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	fe_init(&second, NULL);
	good(&second, fe_connect(&second, path_a));
	good(&second, fe_wait_hangup(&second));
	fe_fini(&second);
	wait_shown(a, "refused", "1");
	exchange(3);
	/* When the first goes, the next may come at once. */
	for (unsigned i = 0; i < 50; i++) {
		fe_disconnect(&fa);
		good(&fa, fe_connect(&fa, path_a));
		good(&fa, fe_handshake(&fa));
	}
	good(&fa, fe_start(&fa));
	exchange(3);
	assert_string_equal(shown(a, "refused"), "1");
}

/* Connects and goes until nobody takes any more. */
static void storm(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	unsigned full = 0;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path_a);
	while (full < 50) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

		if (!connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
			full = 0;
		} else {
			assert_int_equal(errno, EAGAIN);
			full++;
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
		}
		close(fd);
	}
}

/* A second QEMU that keeps trying: so many are turned away in a tick. */
static void test_storm(void **state)
{
	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	storm();
	assert_string_equal(shown(a, "refused"), "16");
	assert_int_equal(logged("second connection"), 1);
	pthread_mutex_lock(&lock);
	engine_tick(engine);
	pthread_mutex_unlock(&lock);
	storm();
	assert_string_equal(shown(a, "refused"), "32");
	assert_int_equal(logged("second connection"), 2);
	exchange(3);
	/* When the first goes, the port listens, without any tick. */
	fe_disconnect(&fa);
	good(&fa, fe_connect(&fa, path_a));
	good(&fa, fe_handshake(&fa));
	good(&fa, fe_start(&fa));
	exchange(3);
	assert_string_equal(shown(a, "refused"), "32");
}

/* A new call descriptor is rung at once: the guest may have missed a call that
 * went to the old one. */
static void test_new_call(void **state)
{
	struct fe_queue *rx = fe_rx(&fa, 0);
	uint64_t index = 0;
	struct pollfd p = { .events = POLLIN };

	attach(&fa, FE_QEMU7, 0, 1, path_a);
	p.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(p.fd >= 0);
	good(&fa, fe_set(&fa, FE_SET_VRING_CALL, &index, 8, &p.fd, 1));
	close(rx->call_fd);
	rx->call_fd = p.fd;
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

/* Memory comes and goes while packets flow; other memory is not touched. */
static void test_memory(void **state)
{
	int fd, region;

	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_DPDK, 0, 1, path_b);
	exchange(2);
	fd = fe_memfd(&fa, 4 << 20, 0);
	assert_true(fd >= 0);
	region = fe_region(&fa, fd, 0, 4 << 20, 1ULL << 40, 0);
	assert_true(region >= 0);
	for (unsigned i = 0; i < 100; i++) {
		good(&fa, fe_slot_message(&fa, FE_ADD_MEM_REG, region));
		exchange(1);
		good(&fa, fe_slot_message(&fa, FE_REM_MEM_REG, region));
		exchange(1);
		good(&fb, fe_table_message(&fb));
	}
	assert_int_equal(fe_slot_message(&fa, FE_REM_MEM_REG, region),
			 -EREMOTEIO);
	exchange(2);
	/* A virtqueue whose memory goes is stopped, and says so. */
	for (unsigned i = 0; i + 1 < fa.n_regions; i++)
		good(&fa, fe_slot_message(&fa, FE_REM_MEM_REG, i));
	wait_shown(a, "queues", "no guest memory");
	wait_shown(a, "connected", "true");
	for (unsigned i = 0; i + 1 < fa.n_regions; i++)
		good(&fa, fe_slot_message(&fa, FE_ADD_MEM_REG, i));
	/* It goes on when its memory comes back, as when QEMU makes a region
	 * longer: by removing and adding it. */
	wait_shown(a, "queues", "\"was_stopped\"");
	exchange(2);
	fe_region_remove(&fa, region);
	good(&fa, fe_stop(&fa));
	good(&fa, fe_start(&fa));
	exchange(2);
}

/* Connections leave nothing behind. */
static void test_no_trace(void **state)
{
	unsigned fds, maps;

	attach(&fa, FE_CLOUD, 0, 1, path_a);
	fe_fini(&fa);
	wait_shown(a, "connected", "false");
	fds = least_fds();
	maps = count_maps("memfd:");
	for (unsigned i = 0; i < 100; i++) {
		attach(&fa, i & 1 ? FE_CLOUD : FE_QEMU7, 0, 4, path_a);
		if (i & 2)
			good(&fa, fe_log_start(&fa));
		fe_fini(&fa);
		wait_shown(a, "connected", "false");
	}
	/* One that says nothing at all. */
	for (unsigned i = 0; i < 100; i++) {
		good(&fa, fe_connect(&fa, path_a));
		fe_fini(&fa);
	}
	wait_shown(a, "connections", "201");
	wait_shown(a, "connected", "false");
	wait_fds(fds);
	assert_int_equal(count_maps("memfd:"), maps);
}

/* glend is killed, and a new one finds the guest: no packet is lost. */
static void resume(uint64_t features, bool fresh)
{
	attach(&fa, FE_QEMU7, features, 1, path_a);
	attach(&fb, FE_QEMU7, features, 1, path_b);
	/* Far enough that packed rings have gone round an odd number of times
	 * for some positions and an even one for others. */
	for (unsigned i = 0; i < 7; i++) {
		exchange(50);
		close_port(a);
		good(&fa, fe_wait_hangup(&fa));
		fe_disconnect(&fa);
		if (fresh) {
			/* The guest has been reset meanwhile. */
			fe_queue_reset(fe_rx(&fa, 0));
			fe_queue_reset(fe_tx(&fa, 0));
		}
		a = open_port("a", path_a, NULL, true, saved);
		good(&fa, fe_connect(&fa, path_a));
		good(&fa, fe_handshake(&fa));
		good(&fa, fe_start(&fa));
	}
	exchange(50);
}

static void test_resume_split(void **state)
{
	resume(0, false);
}

static void test_resume_packed(void **state)
{
	resume(FE_BIT(FE_F_PACKED), false);
}

static void test_resume_fresh(void **state)
{
	resume(FE_BIT(FE_F_PACKED), true);
}

/* A front end that stopped a packed ring says where it begins, not we. */
static void test_base_packed(void **state)
{
	const uint32_t base = 10 | 1 << 15;
	struct fe_queue *tx = &fa.queue[1];

	attach(&fa, FE_QEMU7, FE_BIT(FE_F_PACKED), 1, path_a);
	attach(&fb, FE_QEMU7, FE_BIT(FE_F_PACKED), 1, path_b);
	exchange(50);
	good(&fa, fe_stop(&fa));
	assert_int_not_equal(tx->base, base | base << 16);
	/* What is there has been used: the ring stays where it was put. */
	tx->base = base | base << 16;
	good(&fa, fe_start(&fa));
	good(&fa, fe_stop(&fa));
	assert_int_equal(tx->base, base | base << 16);
}

/* The port was deleted and made anew under a guest with packed rings. */
static void test_forgotten(void **state)
{
	attach(&fa, FE_QEMU7, FE_BIT(FE_F_PACKED), 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(30);
	close_port(a);
	good(&fa, fe_wait_hangup(&fa));
	fe_disconnect(&fa);
	a = open_port("a", path_a, NULL, false, saved);
	good(&fa, fe_connect(&fa, path_a));
	good(&fa, fe_handshake(&fa));
	good(&fa, fe_start(&fa));
	wait_shown(a, "queues", "nobody knows any more");
}

/* Other memory is another guest: what was saved is not believed. */
static void test_resume_other(void **state)
{
	attach(&fa, FE_QEMU7, FE_BIT(FE_F_PACKED), 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(30);
	close_port(a);
	fe_fini(&fa);
	a = open_port("a", path_a, NULL, true, saved);
	attach(&fa, FE_QEMU7, FE_BIT(FE_F_PACKED), 1, path_a);
	exchange(30);
}

/* A virtqueue that breaks the rules stops; nothing else does. */
static void test_failed_queue(void **state)
{
	struct fe_buf bad = { .gpa = 1ULL << 50, .len = 100 };
	uint64_t n;

	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(2);
	assert_true(fe_post(fe_tx(&fa, 0), &bad, 1, false, 0) >= 0);
	fe_publish(fe_tx(&fa, 0));
	fe_kick_always(fe_tx(&fa, 0));
	wait_shown(a, "queues", "outside of the guest's memory");
	assert_int_equal(logged("virtqueue 1 is stopped"), 1);
	assert_int_equal(read(fa.queue[1].err_fd, &n, sizeof(n)), sizeof(n));
	/* The other direction still works. */
	send_one(&fb, 200);
	expect(&fa, 200);
	/* The guest's driver is reset. */
	good(&fa, fe_stop(&fa));
	fe_queue_reset(fe_rx(&fa, 0));
	fe_queue_reset(fe_tx(&fa, 0));
	good(&fa, fe_start(&fa));
	exchange(3);
	assert_non_null(strstr(shown(a, "queues"), "\"failures\":1"));
}

/* A message, and what the port says when it hangs up. */
static void hangs_up(uint32_t request, const void *payload, uint32_t size,
		     const int *fds, unsigned n_fds, const char *why)
{
	struct fe_config config = { .not_protocol = FE_BIT(FE_P_REPLY_ACK) };

	good(&fa, fe_attach(&fa, &config, path_a));
	good(&fa, fe_message(&fa, request, 0, payload, size, fds, n_fds));
	good(&fa, fe_wait_hangup(&fa));
	if (!strstr(shown(a, "last_error"), why))
		fail_msg("\"%s\" instead of \"%s\"", shown(a, "last_error"),
			 why);
	fe_fini(&fa);
	wait_shown(a, "connected", "false");
}

static void test_bad_messages(void **state)
{
	struct vhost_wire_state far_ = { 0x10001, 1 }, huge = { 0, 65536 },
				none = { 0, 0 };
	struct vhost_wire_table many = { .n = 9 }, lacks = { .n = 1 };
	struct vhost_wire_log small = { 8, 0 };
	uint64_t features = 1ULL << 63, kick = 0, nofd = 1 << 8, mtu = 10;
	int pipes[2], zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	assert_int_equal(pipe(pipes), 0);
	hangs_up(FE_SET_FEATURES, &features, 8, NULL, 0, "features were");
	hangs_up(FE_SET_FEATURES, &features, 4, NULL, 0, "with 4 bytes");
	hangs_up(FE_SET_OWNER, NULL, 0, &zero, 1, "with 1 descriptors");
	hangs_up(FE_SET_VRING_NUM, &far_, 8, NULL, 0, "no virtqueue 65537");
	hangs_up(FE_SET_VRING_NUM, &huge, 8, NULL, 0, "65536 descriptors");
	hangs_up(FE_SET_VRING_NUM, &none, 8, NULL, 0, "0 descriptors");
	hangs_up(FE_GET_VRING_BASE, &far_, 8, NULL, 0, "no virtqueue 65537");
	hangs_up(FE_SET_VRING_ENABLE, &far_, 8, NULL, 0, "no virtqueue 65537");
	hangs_up(FE_SET_VRING_BASE, &none, 8, NULL, 0, "that runs");
	hangs_up(FE_SET_VRING_KICK, &kick, 8, NULL, 0, "0 descriptors");
	hangs_up(FE_SET_VRING_KICK, &kick, 8, &zero, 1, "not an eventfd");
	hangs_up(FE_SET_VRING_CALL, &kick, 8, pipes, 1, "not an eventfd");
	hangs_up(FE_SET_VRING_ERR, &nofd, 8, pipes, 1, "1 descriptors");
	hangs_up(FE_SET_MEM_TABLE, &many, sizeof(many), NULL, 0, "9 regions");
	hangs_up(FE_SET_MEM_TABLE, &lacks, sizeof(lacks), NULL, 0,
		 "0 descriptors");
	hangs_up(FE_SET_LOG_BASE, &small, 16, fa.files, 0, "a dirty log");
	hangs_up(FE_NET_SET_MTU, &mtu, 8, NULL, 0, "MTU");
	close(pipes[0]);
	close(pipes[1]);
	close(zero);
}

/* With need_reply the same is refused and nothing else happens. */
static void test_refused(void **state)
{
	struct vhost_wire_state far_ = { 0x10001, 1 };
	uint64_t mtu = 10, call = 0;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	assert_int_equal(fe_set(&fa, FE_NET_SET_MTU, &mtu, 8, NULL, 0),
			 -EREMOTEIO);
	assert_int_equal(fe_set(&fa, FE_SET_VRING_NUM, &far_, 8, NULL, 0),
			 -EREMOTEIO);
	assert_int_equal(fe_set(&fa, FE_SET_VRING_CALL, &call, 8, pipes, 1),
			 -EREMOTEIO);
	assert_int_equal(fe_set(&fa, 99, NULL, 0, NULL, 0), -EREMOTEIO);
	/* What is not known is ignored if nobody asks. */
	good(&fa, fe_message(&fa, 99, 0, &mtu, 8, pipes, 2));
	good(&fa, fe_set_u64(&fa, FE_NET_SET_MTU, 9000));
	wait_shown(a, "guest_mtu", "9000");
	exchange(3);
	close(pipes[0]);
	close(pipes[1]);
}

static void guest_mtu(uint64_t mtu)
{
	good(&fb, fe_set_u64(&fb, FE_NET_SET_MTU, mtu));
	good(&fb, fe_sync(&fb));
}

/* Longer than what guest and front end agreed on: not for this guest. */
static void test_mtu(void **state)
{
	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(2);
	guest_mtu(FRAME - 14 - 1);
	send_one(&fa, 1);
	assert_false(receive(&fb, 50));
	assert_int_equal(drops_of(b, DROP_OUT_OVERSIZE), 1);
	guest_mtu(FRAME - 14);
	exchange(2);
	assert_int_equal(drops_of(b, DROP_OUT_OVERSIZE), 1);
	/* The port's own is not overruled, and the next guest's is its own. */
	guest_mtu(9000);
	set_mtu(b, 1500, 0);
	assert_int_equal(atomic_load(&b->max_len), 1514);
	set_mtu(b, 65535, 0);
	assert_int_equal(atomic_load(&b->max_len), 9014);
	set_mtu(b, 65536, -EINVAL);
	assert_int_equal(b->mtu, 65535);
	fe_fini(&fb);
	wait_shown(b, "connected", "false");
	assert_int_equal(atomic_load(&b->max_len), 65549);
}

/* A guest with more memory than the port allows is refused, with the cure. */
static void test_max_memory(void **state)
{
	struct fe_config config = { .kind = FE_QEMU7,
				    .features = FE_FEATURES_PLAIN,
				    .pairs = 1 };
	char path[100];
	struct port *c;

	snprintf(path, sizeof(path), "%s/c", folder);
	c = open_port("c", path, "\"max_memory\": \"8M\"", false, NULL);
	assert_string_equal(shown(c, "max_memory"), "8388608");
	assert_true(fe_attach(&fa, &config, path) < 0);
	assert_non_null(strstr(shown(c, "last_error"), "max_memory="));
	fe_fini(&fa);
	wait_shown(c, "connected", "false");
	close_port(c);
	c = open_port("c", path, "\"max_memory\": \"1G\"", false, NULL);
	attach(&fa, FE_QEMU7, 0, 1, path);
	assert_string_equal(shown(c, "last_error"), "");
	fe_fini(&fa);
	wait_shown(c, "connected", "false");
	close_port(c);
}

/* Half a message, and then nothing: the port waits for a while only. */
static void test_stall(void **state)
{
	struct vhost_port *vp = a->drv;
	uint32_t half[] = { FE_GET_FEATURES };

	good(&fa, fe_connect(&fa, path_a));
	good(&fa, fe_raw(&fa, half, sizeof(half), NULL, 0));
	wait_shown(a, "connected", "true");
	pthread_mutex_lock(&lock);
	while (!vp->link.since_ms) {
		pthread_mutex_unlock(&lock);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
		pthread_mutex_lock(&lock);
	}
	engine_tick(engine);
	assert_true(vhost_connected(vp));
	vp->link.since_ms -= VHOST_STALL_MS;
	engine_tick(engine);
	assert_false(vhost_connected(vp));
	pthread_mutex_unlock(&lock);
	good(&fa, fe_wait_hangup(&fa));
	assert_non_null(strstr(shown(a, "last_error"), "part of a message"));
}

/* A guest whose memory is not shared: all we see of it is zeros. */
static void test_not_shared(void **state)
{
	int other;

	good(&fa, fe_memory(&fa, FE_MEMORY_FLAT, MEMORY));
	good(&fa, fe_connect(&fa, path_a));
	good(&fa, fe_handshake(&fa));
	/* As QEMU with share=off: what it maps is a copy. */
	other = fe_memfd(&fa, MEMORY, 0);
	assert_true(other >= 0);
	fa.region[0].fd = other;
	good(&fa, fe_start(&fa));
	good(&fa, fe_sync(&fa));
	assert_string_equal(shown(a, "problem"), "");
	for (unsigned i = 0; i < 5; i++)
		fe_kick_always(fe_tx(&fa, 0));
	assert_non_null(strstr(shown(a, "problem"), "share=on"));
	pthread_mutex_lock(&lock);
	engine_tick(engine);
	engine_tick(engine);
	pthread_mutex_unlock(&lock);
	assert_int_equal(logged("share=on"), 1);
}

/* Memory that is cut off ends the connection, and only that. */
static void test_cut_off(void **state)
{
	static const uint64_t one = 1;
	int fd;

	/* cmocka has a handler of its own while a test runs. */
	close_port(b);
	b = open_port("b", path_b, NULL, false, NULL);
	fd = fe_memfd(&fa, MEMORY, 0);
	assert_true(fd >= 0 && fe_region(&fa, fd, 0, MEMORY, 0, 0) >= 0);
	good(&fa, fe_connect(&fa, path_a));
	good(&fa, fe_handshake(&fa));
	good(&fa, fe_start(&fa));
	good(&fa, fe_sync(&fa));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(write(fa.queue[1].kick_fd, &one, 8), 8);
	good(&fa, fe_wait_hangup(&fa));
	assert_non_null(strstr(shown(a, "last_error"), "cut shorter"));
	/* The other cause of a SIGBUS. */
	assert_non_null(strstr(shown(a, "last_error"), "is full"));
	/* The front end looks into its own mapping, too. */
	assert_int_equal(ftruncate(fd, MEMORY), 0);
	fe_fini(&fa);
	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(3);
}

/* After a migration: three announcements of the guest's address. */
static void test_rarp(void **state)
{
	static const uint8_t mac[8] = { 0x52, 0x54, 0, 1, 2, 3 };
	uint8_t group[8] = { 0x53 };

	attach(&fa, FE_QEMU7, 0, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(1);
	good(&fa, fe_set(&fa, FE_SEND_RARP, mac, 8, NULL, 0));
	for (unsigned i = 0; i < 3; i++) {
		assert_true(receive(&fb, WAIT_MS));
		assert_memory_equal(packet.data + 6, mac, 6);
		assert_int_equal(packet.data[12] << 8 | packet.data[13],
				 0x8035);
		assert_memory_equal(packet.data + 22, mac, 6);
	}
	assert_int_equal(fe_set(&fa, FE_SEND_RARP, group, 8, NULL, 0),
			 -EREMOTEIO);
	exchange(1);
}

/* A migration's log has every page that was written to, before and after. */
static void dirty(uint64_t features)
{
	struct fe_queue *rx;

	attach(&fa, FE_QEMU7, features, 1, path_a);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	exchange(3);
	rx = fe_rx(&fa, 0);
	good(&fa, fe_log_start(&fa));
	assert_string_equal(shown(a, "migrating"), "true");
	assert_false(fe_log_dirty(&fa, rx->used_gpa + 0x10000000));
	exchange(3);
	assert_true(
		fe_log_dirty(&fa, rx->packed ? rx->desc_gpa : rx->used_gpa));
	good(&fa, fe_log_stop(&fa));
	good(&fa, fe_sync(&fa));
	assert_string_equal(shown(a, "migrating"), "false");
	exchange(3);
}

static void test_dirty_split(void **state)
{
	dirty(0);
}

static void test_dirty_packed(void **state)
{
	dirty(FE_BIT(FE_F_PACKED));
}

/* Memory for descriptors in flight that is not what it is said to be. */
static void test_inflight(void **state)
{
	struct fe_inflight in = { .queues = 2, .queue_size = 256 };
	uint32_t size = sizeof(in);
	int fd = -1;

	attach(&fa, FE_CLOUD, 0, 1, path_a);
	good(&fa,
	     fe_message(&fa, FE_GET_INFLIGHT_FD, 0, &in, sizeof(in), NULL, 0));
	good(&fa, fe_reply(&fa, FE_GET_INFLIGHT_FD, &in, &size, &fd));
	assert_true(fd >= 0);
	assert_true(in.size >= 2 * (16 + 256 * 16));
	good(&fa, fe_set(&fa, FE_SET_INFLIGHT_FD, &in, sizeof(in), &fd, 1));
	in.off = 32;
	assert_int_equal(fe_set(&fa, FE_SET_INFLIGHT_FD, &in, sizeof(in), &fd,
				1),
			 -EREMOTEIO);
	in.off = 0;
	in.queue_size = 512;
	assert_int_equal(fe_set(&fa, FE_SET_INFLIGHT_FD, &in, sizeof(in), &fd,
				1),
			 -EREMOTEIO);
	in.queues = 100;
	assert_int_equal(fe_set(&fa, FE_SET_INFLIGHT_FD, &in, sizeof(in), &fd,
				1),
			 -EREMOTEIO);
	close(fd);
}

/* glend connects: before there is anybody, and when he comes back. */
static void test_client(void **state)
{
	char path[100];
	struct port *c;
	int64_t start;

	snprintf(path, sizeof(path), "%s/c", folder);
	attach(&fb, FE_QEMU7, 0, 1, path_b);
	c = open_port("c", path, "\"mode\": \"client\"", false, NULL);
	good(&fa, fe_memory(&fa, FE_MEMORY_QEMU, MEMORY));
	good(&fa, fe_listen(&fa, path));
	for (unsigned i = 0; i < 3; i++) {
		start = now_ms();
		good(&fa, fe_accept(&fa));
		good(&fa, fe_handshake(&fa));
		good(&fa, fe_start(&fa));
		exchange(5);
		print_message("# back after %d ms\n", (int)(now_ms() - start));
		fe_disconnect(&fa);
	}
	close_port(c);
}

static void refuse(const char *params, const char *why)
{
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	struct glen_error error = { 0 };
	struct port *port;

	assert_non_null(args.params);
	pthread_mutex_lock(&lock);
	assert_true(port_create(sw, "x", "vhost-user", &args, &port, &error) <
		    0);
	pthread_mutex_unlock(&lock);
	if (!strstr(error.text, why))
		fail_msg("\"%s\" instead of \"%s\"", error.text, why);
	json_decref(args.params);
}

static void test_options(void **state)
{
	char taken[120], long_[300] = "{\"path\": \"/tmp/";
	unsigned fds = least_fds();

	memset(long_ + strlen(long_), 'x', 120);
	strcat(long_, "\"}");
	refuse("{}", "path is missing");
	refuse("{\"path\": \"\"}", "path is missing");
	refuse("{\"path\": \"relative\"}", "absolute");
	refuse(long_, "path");
	refuse("{\"path\": \"/tmp/x\", \"mode\": \"both\"}", "mode \"both\"");
	refuse("{\"path\": \"/tmp/x\", \"queues\": 0}", "queues");
	refuse("{\"path\": \"/tmp/x\", \"queues\": 17}", "queues");
	refuse("{\"path\": \"/tmp/x\", \"access\": \"9\"}", "access");
	refuse("{\"path\": \"/tmp/x\", \"mode\": \"client\", "
	       "\"access\": \"0600\"}",
	       "mode=server makes");
	refuse("{\"path\": \"/tmp/x\", \"colour\": 1}", "colour");
	refuse("{\"path\": \"/tmp/x\", \"mtu\": 70000}", "68 to 65535");
	refuse("{\"path\": \"/tmp/x\", \"max_memory\": 7}", "max_memory");
	refuse("{\"path\": \"/tmp/x\", \"max_memory\": \"64X\"}", "as 64G");
	refuse("{\"path\": \"/nowhere/x\"}", "/nowhere/x");
	wait_fds(fds);
	/* Who lives there does not notice. */
	snprintf(taken, sizeof(taken), "{\"path\": \"%s\"}", path_a);
	refuse(taken, path_a);
	good(&fb, fe_memory(&fb, FE_MEMORY_FLAT, MEMORY));
	good(&fb, fe_connect(&fb, path_a));
	good(&fb, fe_handshake(&fb));
	assert_string_equal(shown(a, "connections"), "1");
	fe_fini(&fb);
	wait_shown(a, "connected", "false");
	refuse(taken, path_a);
	assert_string_equal(shown(a, "connections"), "1");
	wait_fds(fds);
}

/* Options change what is offered. */
static void test_offered(void **state)
{
	char path[100];
	struct port *c;

	snprintf(path, sizeof(path), "%s/c", folder);
	good(&fa, fe_memory(&fa, FE_MEMORY_FLAT, MEMORY));
	c = open_port("c", path,
		      "\"queues\": 1, \"packed\": false, \"offloads\": false",
		      false, NULL);
	good(&fa, fe_connect(&fa, path));
	good(&fa, fe_handshake(&fa));
	assert_false(fa.offered & (FE_BIT(FE_F_PACKED) | FE_BIT(FE_F_MQ) |
				   FE_FEATURES_OFFLOADS));
	assert_false(fa.protocol_offered & FE_BIT(FE_P_MQ));
	/* QEMU says so if it is offered for a network card. */
	assert_false(fa.protocol_offered & FE_BIT(FE_P_CONFIG));
	close_port(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PORTS_TEST(test_kinds),	       PORTS_TEST(test_shown),
		PORTS_TEST(test_second),       PORTS_TEST(test_storm),
		PORTS_TEST(test_mtu),	       PORTS_TEST(test_max_memory),
		PORTS_TEST(test_memory),       PORTS_TEST(test_no_trace),
		PORTS_TEST(test_resume_split), PORTS_TEST(test_resume_packed),
		PORTS_TEST(test_base_packed),  PORTS_TEST(test_resume_fresh),
		PORTS_TEST(test_forgotten),    PORTS_TEST(test_resume_other),
		PORTS_TEST(test_failed_queue), PORTS_TEST(test_bad_messages),
		PORTS_TEST(test_refused),      PORTS_TEST(test_stall),
		PORTS_TEST(test_not_shared),   PORTS_TEST(test_cut_off),
		PORTS_TEST(test_rarp),	       PORTS_TEST(test_dirty_split),
		PORTS_TEST(test_dirty_packed), PORTS_TEST(test_inflight),
		PORTS_TEST(test_client),       PORTS_TEST(test_options),
		PORTS_TEST(test_offered),      PORTS_TEST(test_new_call),
	};

	return cmocka_run_group_tests_name("vhost_session", tests, NULL, NULL);
}
