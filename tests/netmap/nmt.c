// SPDX-License-Identifier: BSD-2-Clause
// nmt.c - points, checks, ports and frames for the tests of netmap's API.
#include "nmt.h"

#include <stdarg.h>

static struct point *points;
static struct point **points_end = &points;

void point_add(struct point *point)
{
	*points_end = point;
	points_end = &point->next;
}

void fail(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;

	printf("# %s:%d: ", base ? base + 1 : file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void skip(const char *reason)
{
	printf("# %s\n", reason);
	fflush(stdout);
	_exit(SKIPPED);
}

void child_exit(void)
{
	fflush(stdout);
	_exit(0);
}

void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		FAIL("waitpid: %s", strerror(errno));
	if (status)
		FAIL("a child ended with status %#x", (unsigned)status);
}

const char *N(const char *name)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	static char names[16][80];
	static unsigned next, self;
	/* Threads ask, too. */
	char *to = names[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % 16];
	size_t n = 0;

	/* Children use their parent's names, programs their starter's. */
	if (!self) {
		const char *given = getenv("NMT_SELF");

		self = given ? (unsigned)atoi(given) : (unsigned)getpid();
		snprintf(to, sizeof(names[0]), "%u", self);
		setenv("NMT_SELF", to, 1);
	}
	for (; *name && n < sizeof(names[0]) - 5; name++) {
		if (*name != '%') {
			to[n++] = *name;
			continue;
		}
		/* Four characters, for names have at most 15. */
		for (unsigned i = 0, left = self; i < 4; i++, left /= 36)
			to[n++] = digits[left % 36];
	}
	to[n] = 0;
	return to;
}

int dev(void)
{
	return WORKS(open(DEV, O_RDWR));
}

int ctrl_opt(int fd, int type, const char *name, void *body, void *option)
{
	struct nmreq_header hdr = { .nr_version = NETMAP_API };

	hdr.nr_reqtype = (uint16_t)type;
	snprintf(hdr.nr_name, sizeof(hdr.nr_name), "%s", N(name));
	hdr.nr_body = (uintptr_t)body;
	hdr.nr_options = (uintptr_t)option;
	return ioctl(fd, NIOCCTRL, &hdr);
}

int ctrl(int fd, int type, const char *name, void *body)
{
	return ctrl_opt(fd, type, name, body, NULL);
}

int bind_port(struct nm *p, const char *name, void *option)
{
	if (!p->fd)
		p->fd = dev();
	return ctrl_opt(p->fd, NETMAP_REQ_REGISTER, name, &p->reg, option);
}

int bind_mode(struct nm *p, const char *name, uint32_t mode, uint64_t flags)
{
	p->reg.nr_mode = mode;
	p->reg.nr_flags = flags;
	return bind_port(p, name, NULL);
}

void map_port(struct nm *p)
{
	p->mem = mmap(NULL, p->reg.nr_memsize, PROT_READ | PROT_WRITE,
		      MAP_SHARED, p->fd, 0);
	if (p->mem == MAP_FAILED)
		FAIL("mmap of %llu bytes: %s",
		     (unsigned long long)p->reg.nr_memsize, strerror(errno));
	p->nifp = NETMAP_IF(p->mem, p->reg.nr_offset);
}

static struct nm up_wish(const char *name, const struct nmreq_register *reg)
{
	struct nm p = { .reg = *reg };

	if (!p.reg.nr_mode)
		p.reg.nr_mode = NR_REG_ALL_NIC;
	if (bind_port(&p, name, NULL))
		FAIL("REGISTER %s: %s", N(name), strerror(errno));
	map_port(&p);
	return p;
}

struct nm up(const char *name)
{
	struct nmreq_register reg = { 0 };

	return up_wish(name, &reg);
}

struct nm up_mode(const char *name, uint32_t mode, uint64_t flags)
{
	struct nmreq_register reg = { .nr_mode = mode, .nr_flags = flags };

	return up_wish(name, &reg);
}

struct nm up_rings(const char *name, uint16_t tx, uint16_t rx)
{
	struct nmreq_register reg = { .nr_tx_rings = tx, .nr_rx_rings = rx };

	return up_wish(name, &reg);
}

struct nm up_slots(const char *name, uint32_t tx, uint32_t rx)
{
	struct nmreq_register reg = { .nr_tx_slots = tx, .nr_rx_slots = rx };

	return up_wish(name, &reg);
}

struct nm up_in(const char *name, uint16_t mem_id)
{
	struct nmreq_register reg = { .nr_mem_id = mem_id };

	return up_wish(name, &reg);
}

void down(struct nm *p)
{
	WORKS(munmap(p->mem, p->reg.nr_memsize));
	WORKS(close(p->fd));
	p->fd = 0;
}

struct netmap_ring *txr(const struct nm *p, unsigned i)
{
	return NETMAP_TXRING(p->nifp, i);
}

struct netmap_ring *rxr(const struct nm *p, unsigned i)
{
	return NETMAP_RXRING(p->nifp, i);
}

size_t frame(void *at, uint8_t to, uint8_t from, size_t len, uint32_t number)
{
	uint8_t *f = at;

	for (size_t i = 0; i < len; i++)
		f[i] = (uint8_t)(number + i);
	memset(f, to == 255 ? 255 : 0, 12);
	if (to != 255) {
		f[0] = 2;
		f[5] = to;
	}
	memset(f + 6, 0, 6);
	f[6] = 2;
	f[11] = from;
	f[12] = 0x88; /* an Ethernet type for experiments */
	f[13] = 0xb5;
	memcpy(f + 14, &number, sizeof(number));
	return len;
}

uint32_t frame_number(const void *at)
{
	uint32_t number;

	memcpy(&number, (const char *)at + 14, sizeof(number));
	return number;
}

void put(struct netmap_ring *ring, const void *data, size_t len, uint16_t flags)
{
	struct netmap_slot *slot = &ring->slot[ring->head];

	CHECK(nm_ring_space(ring) > 0);
	memcpy(NETMAP_BUF(ring, slot->buf_idx), data, len);
	slot->len = (uint16_t)len;
	slot->flags = flags;
	ring->head = ring->cur = nm_ring_next(ring, ring->head);
}

void put_frame(struct netmap_ring *ring, uint8_t to, uint8_t from, size_t len,
	       uint32_t number)
{
	char data[BUF_SIZE];

	put(ring, data, frame(data, to, from, len, number), 0);
}

char *peek(const struct netmap_ring *ring, struct netmap_slot **slot)
{
	const struct netmap_slot *s = &ring->slot[ring->head];

	CHECK(nm_ring_space(ring) > 0);
	if (slot)
		*slot = (struct netmap_slot *)s;
	return NETMAP_BUF(ring, s->buf_idx);
}

void drop(struct netmap_ring *ring, uint32_t n)
{
	CHECK(nm_ring_space(ring) >= n);
	ring->head = ring->cur = (ring->head + n) % ring->num_slots;
}

void txsync(const struct nm *p)
{
	WORKS(ioctl(p->fd, NIOCTXSYNC, NULL));
}

void rxsync(const struct nm *p)
{
	WORKS(ioctl(p->fd, NIOCRXSYNC, NULL));
}

short poll1(int fd, short events, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	WORKS(poll(&pfd, 1, timeout_ms));
	return pfd.revents;
}

void await_slots(const struct nm *p, struct netmap_ring *ring, uint32_t n)
{
	while (nm_ring_space(ring) < n) {
		/* Wake up only when more has come than is there. */
		ring->cur = ring->tail;
		if (!(poll1(p->fd, POLLIN, WAIT_MS) & POLLIN))
			FAIL("%u slots came, not %u, within %d ms",
			     nm_ring_space(ring), n, WAIT_MS);
		ring->cur = ring->head;
	}
}

void say_hello(struct nm *p, uint8_t id)
{
	put_frame(txr(p, 0), id, id, 60, 0);
	txsync(p);
}

void pair(struct nm *a, struct nm *b)
{
	*a = up("vale%:a");
	*b = up("vale%:b");
	say_hello(a, 1);
	say_hello(b, 2);
	for (int i = 0; i < 2; i++) {
		struct nm *p = i ? b : a;

		rxsync(p);
		drop(rxr(p, 0), nm_ring_space(rxr(p, 0)));
		rxsync(p);
	}
}

static int run_alone(const char *self, const struct point *point)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		execl(self, self, point->name, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Others run these. */
static bool is_role(const struct point *p)
{
	return !strncmp(p->name, "role_", 5);
}

static int run_all(const char *self)
{
	int n = 0, bad = 0, status;

	for (struct point *p = points; p; p = p->next)
		n += !is_role(p);
	printf("1..%d\n", n);
	n = 0;
	for (struct point *p = points; p; p = p->next) {
		if (is_role(p))
			continue;
		status = run_alone(self, p);
		bad += status && status != SKIPPED;
		printf("%sok %d - %s%s\n",
		       status && status != SKIPPED ? "not " : "", ++n, p->name,
		       status == SKIPPED ? " # SKIP" : "");
	}
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return run_all(argv[0]);
	for (struct point *p = points; p; p = p->next) {
		if (!strcmp(argv[1], "--list")) {
			if (!is_role(p))
				puts(p->name);
		} else if (!strcmp(argv[1], p->name)) {
			alarm(120); /* nothing may hang for ever */
			p->run();
			return 0;
		}
	}
	return strcmp(argv[1], "--list") ? 2 : 0;
}
