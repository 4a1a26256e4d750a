// SPDX-License-Identifier: BSD-2-Clause
// fuzz_vhost_msg.c - a front end that says anything, with any descriptors.
/*
 * A vhost-user port whose other end is a socket pair; messages go through the
 * kernel, so that descriptors are real. A second port sends packets to it when
 * told to. Input: operations, each a byte and its arguments:
 *
 *   0..9  a message: request, flags, descriptors, size (2), payload
 *           flags        bits 0..1: xor to the version, 2: reply,
 *                        3: need_reply, 4: the size in the header is one more
 *           descriptors  low nibble: how many; high nibble: the first of them
 *                        in the list below, the others follow it
 *   10    a part of the input as it is: size
 *   11    a packet to the guest, and a turn of the switch
 *   12    kicks: which
 *   13    bytes to guest memory: offset (2), size, bytes
 *   14    the memory of the second file goes away
 *   15    hang up and come back
 *
 * Afterwards the port must be as it was, with as many descriptors open, and
 * nothing unaccounted for.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/loop.h"
#include "port/dummy/dummy.h"
#include "port/vhost_user/session.h"

enum {
	OPS_MAX = 300,
	FILE_SIZE = 1 << 20, /* of guest memory */
	SECOND_SIZE = 1 << 16,
	PAYLOAD_MAX = 300,
	FDS = 16,
};

struct reader {
	const uint8_t *data;
	size_t left;
};

static struct engine *engine;
static struct loop loop;
static struct vswitch *sw;
static struct port *gen, *guest;
static struct vhost_port *vp;
static int offered[FDS]; /* what messages may carry */
static int sock;
static uint8_t *memory;
static unsigned n_fds; /* of the process, without a session */

static uint8_t get8(struct reader *r)
{
	if (!r->left)
		return 0;
	r->left--;
	return *r->data++;
}

static uint16_t get16(struct reader *r)
{
	uint16_t high = get8(r);

	return (uint16_t)(high << 8 | get8(r));
}

/* Pipes are libFuzzer's: it talks to llvm-symbolizer. */
static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned n = 0;

	FUZZ_CHECK(dir);
	while ((entry = readdir(dir))) {
		char target[16] = "";
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target,
					 sizeof(target) - 1);

		n += len < 5 || memcmp(target, "pipe:", 5) != 0;
	}
	closedir(dir);
	return n;
}

static int make_file(off_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_CHECK(fd >= 0 && !ftruncate(fd, size));
	return fd;
}

/* Two files of memory, one read only, eventfds, and what is neither. */
static void make_offered(void)
{
	char path[40];
	int fds[2];

	offered[0] = make_file(FILE_SIZE);
	offered[1] = make_file(SECOND_SIZE);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", offered[0]);
	offered[2] = open(path, O_RDONLY | O_CLOEXEC);
	for (unsigned i = 3; i < 12; i++)
		offered[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds));
	offered[12] = fds[0];
	offered[13] = fds[1];
	offered[14] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	offered[15] = offered[0];
	for (unsigned i = 0; i < FDS; i++)
		FUZZ_CHECK(offered[i] >= 0);
	memory = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      offered[0], 0);
	FUZZ_CHECK(memory != MAP_FAILED);
}

static struct port *open_port(const char *name, const char *driver,
			      const char *params)
{
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	struct port *port;

	FUZZ_CHECK(!port_create(sw, name, driver, &args, &port, NULL));
	json_decref(args.params);
	return port;
}

static void open_all(void)
{
	struct engine_config config = { .n_workers = 1,
					.poll = true,
					.loop = &loop };
	json_t *options = json_pack("{s:{s:s, s:s}}", "map", "gen", "guest",
				    "guest", "gen");

	FUZZ_CHECK(!loop_init(&loop));
	FUZZ_CHECK(!engine_create(&engine, &config, NULL));
	FUZZ_CHECK(!switch_create(engine, "sw", "static", options, &sw, NULL));
	json_decref(options);
	gen = open_port("gen", "dummy", "{\"sink\": true}");
	/* Where nobody listens: connections come from begin(). */
	guest = open_port("guest", "vhost-user",
			  "{\"path\": \"/nowhere/glen-fuzz\", "
			  "\"mode\": \"client\", \"queues\": 2}");
	vp = guest->drv;
	make_offered();
	n_fds = count_fds();
}

static void begin(void)
{
	int pair[2];

	FUZZ_CHECK(!socketpair(AF_UNIX,
			       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			       pair));
	sock = pair[0];
	vhost_session_begin(vp, pair[1]);
}

/* Lets glend work and throws its answers away. */
static void turn(void)
{
	char bytes[4096];

	FUZZ_CHECK(!loop_turn(&loop, 0));
	engine_poll(engine);
	while (sock >= 0 && recv(sock, bytes, sizeof(bytes), 0) > 0)
		;
}

static void end(void)
{
	close(sock);
	sock = -1;
	for (unsigned i = 0; vhost_connected(vp) && i < 100; i++)
		turn();
	FUZZ_CHECK(!vhost_connected(vp));
	FUZZ_CHECK(!vp->memory.n && !vp->log);
	for (unsigned i = 0; i < VHOST_QUEUES_MAX; i++)
		FUZZ_CHECK(!atomic_load(&vp->queue[i].ring));
	/* Truncated by op 14. */
	FUZZ_CHECK(!ftruncate(offered[1], SECOND_SIZE));
}

/* Sends bytes with n descriptors, from number first of those offered on. */
static void send_bytes(const void *bytes, size_t len, unsigned first,
		       unsigned n)
{
	union {
		char room[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (n) {
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int),
			       &offered[(first + i) % FDS], sizeof(int));
	}
	(void)!sendmsg(sock, &msg, MSG_NOSIGNAL);
}

static void op_message(struct reader *r)
{
	uint8_t bytes[12 + PAYLOAD_MAX] = { 0 };
	uint32_t header[3];
	uint8_t flags, fds;
	uint32_t size;

	header[0] = get8(r);
	flags = get8(r);
	fds = get8(r);
	size = get16(r) % (PAYLOAD_MAX + 1);
	header[1] = (VHOST_VERSION ^ (flags & 3)) | (flags & 12);
	header[2] = size + (flags >> 4 & 1);
	memcpy(bytes, header, sizeof(header));
	for (uint32_t i = 0; i < size; i++)
		bytes[12 + i] = get8(r);
	send_bytes(bytes, 12 + size, fds >> 4, fds & 15);
	turn();
}

static void op_raw(struct reader *r)
{
	uint8_t bytes[255];
	uint8_t size = get8(r);

	for (unsigned i = 0; i < size; i++)
		bytes[i] = get8(r);
	send_bytes(bytes, size, 0, 0);
	turn();
}

static void op_memory(struct reader *r)
{
	uint32_t off = get16(r) * 8u;
	uint8_t size = get8(r);

	for (unsigned i = 0; i < size; i++)
		memory[off + i] = get8(r);
}

static void run_op(struct reader *r)
{
	static const uint8_t packet[60] = { 2 };
	uint64_t one = 1;

	switch (get8(r) & 15) {
	default:
		op_message(r);
		break;
	case 10:
		op_raw(r);
		break;
	case 11:
		dummy_inject_flat(gen, 0, packet, sizeof(packet));
		turn();
		break;
	case 12:
		(void)!write(offered[3 + get8(r) % 9], &one, sizeof(one));
		turn();
		break;
	case 13:
		op_memory(r);
		break;
	case 14:
		FUZZ_CHECK(!ftruncate(offered[1], 0));
		turn();
		break;
	case 15:
		end();
		begin();
	}
}

static uint64_t drops(const struct counters *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROP_N; i++)
		sum += c->drops[i];
	return sum;
}

/* What core/drop.h promises. */
static void check_counters(void)
{
	struct counters in = { 0 }, out = { 0 }, i, o;

	for (unsigned p = 0; p < SWITCH_PORTS_MAX; p++) {
		if (!sw->ports[p])
			continue;
		port_counters(sw->ports[p], -1, &i, &o);
		counters_add(&in, &i);
		counters_add(&out, &o);
	}
	FUZZ_CHECK(in.packets + in.replicated ==
		   out.packets + drops(&in) + drops(&out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r = { data, size };
	json_t *shown;

	if (!engine)
		open_all();
	memset(memory, 0, FILE_SIZE);
	begin();
	for (unsigned n = 0; r.left && n < OPS_MAX; n++)
		run_op(&r);
	shown = json_object();
	guest->ops->show(guest, shown);
	json_decref(shown);
	end();
	FUZZ_CHECK(!port_is_broken(guest));
	while (dummy_pending_in(gen, 0))
		turn();
	check_counters();
	/* A thread closes some of them (core/discard.h). */
	for (unsigned i = 0; count_fds() != n_fds; i++) {
		FUZZ_CHECK(i < 10000);
		usleep(1000);
	}
	return 0;
}
