// SPDX-License-Identifier: BSD-2-Clause
// torture_fds.c - descriptors: dup, fork, SCM_RIGHTS, exec, closed behind us.
#include "nmt.h"

#include <dirent.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>

extern char **environ;

/* A frame sent with one descriptor arrives at another port. */
static void works(int fd, const struct nm *a, const struct nm *b)
{
	static uint32_t number;

	number++;
	put_frame(txr(a, 0), 255, 1, 60, number);
	WORKS(ioctl(fd, NIOCTXSYNC, NULL));
	await_slots(b, rxr(b, 0), 1);
	EQ(frame_number(peek(rxr(b, 0), NULL)), number);
	drop(rxr(b, 0), 1);
	rxsync(b);
}

/* 1 if a port of a switch is there, as all others see it. */
static int exists(const char *name)
{
	struct nmreq_vale_list list = { 0 };
	int fd = dev(), result = ctrl(fd, NETMAP_REQ_VALE_LIST, name, &list);

	WORKS(close(fd));
	return !result && list.nr_port_idx != 255;
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -1; /* the folder's own */

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

POINT(descriptor_is_the_lowest_number)
{
	struct nm a = up("vale%:a");
	int fd = a.fd, next = WORKS(dup(0));

	poll1(a.fd, POLLIN, 1);
	EQ(next, fd + 1);
	WORKS(close(next));
	WORKS(close(fd));
	EQ(dev(), fd);
}

POINT(descriptors_do_not_add_up)
{
	struct nm first = up("vale%:a");
	int before;

	down(&first);
	before = open_descriptors();
	for (int i = 0; i < 300; i++) {
		struct nm a = up("vale%:a");

		poll1(a.fd, POLLIN, 0);
		if (i % 50 == 0)
			poll1(a.fd, POLLIN, 5);
		down(&a);
	}
	CHECK(open_descriptors() <= before + 1);
}

POINT(descriptor_with_any_number)
{
	static const int numbers[] = { 0, 1, 2, 3, 100, 900 };
	struct nm a = up("vale%:a"), b = up("vale%:b");
	int out = WORKS(fcntl(1, F_DUPFD_CLOEXEC, 200)), old = a.fd, fd = old;
	struct pollfd p = { .events = POLLOUT };

	for (int i = 0; i < 6; i++) {
		fd = WORKS(dup2(fd, numbers[i]));
		if (old > 2)
			WORKS(close(old));
		old = fd;
		works(fd, &a, &b);
		p.fd = fd;
		EQ(poll(&p, 1, WAIT_MS), 1);
		EQ(p.revents, POLLOUT);
		if (fd == 2)
			fprintf(stderr, "into a port, which takes no bytes\n");
		works(fd, &a, &b);
	}
	WORKS(dup2(out, 1));
}

POINT(descriptor_0_to_2_from_the_start)
{
	int out = WORKS(fcntl(1, F_DUPFD_CLOEXEC, 200));
	struct nm a = { 0 }, b = { 0 };

	for (int i = 0; i < 3; i++)
		close(i);
	a.fd = open(DEV, O_RDWR);
	b.fd = open(DEV, O_RDWR);
	dup2(out, 2);
	a.reg.nr_mode = b.reg.nr_mode = NR_REG_ALL_NIC;
	if (a.fd || b.fd != 1) {
		dup2(out, 1);
		FAIL("open() returned %d and %d", a.fd, b.fd);
	}
	/* nmt.c takes 0 for: not open yet. */
	a.fd = WORKS(dup(0));
	if (bind_port(&a, "vale%:a", NULL) || bind_port(&b, "vale%:b", NULL)) {
		dup2(out, 1);
		FAIL("REGISTER: %s", strerror(errno));
	}
	map_port(&a);
	map_port(&b);
	works(0, &a, &b);
	works(a.fd, &a, &b);
}

POINT(descriptor_copies)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");
	int fds[5] = { WORKS(dup(a.fd)), WORKS(dup3(a.fd, 50, O_CLOEXEC)),
		       WORKS(fcntl(a.fd, F_DUPFD, 60)),
		       WORKS(fcntl(a.fd, F_DUPFD_CLOEXEC, 70)),
		       WORKS(dup2(a.fd, a.fd)) };

	EQ(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
	EQ(fcntl(fds[3], F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 5; i++)
		works(fds[i], &a, &b);
	for (int i = 0; i < 5; i++) {
		CHECK(exists("vale%:a"));
		WORKS(close(fds[i]));
		if (i < 3)
			works(fds[i + 1], &a, &b);
	}
	CHECK(!exists("vale%:a"));
}

POINT(descriptor_that_is_overwritten)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");
	int null = WORKS(open("/dev/null", O_RDWR));
	struct pollfd p = { .fd = a.fd, .events = POLLIN | POLLOUT };

	WORKS(dup2(null, a.fd));
	CHECK(!exists("vale%:a"));
	FAILS(ENOTTY, ioctl(a.fd, NIOCTXSYNC, NULL));
	EQ(poll(&p, 1, WAIT_MS), 1);
	EQ(p.revents, POLLIN | POLLOUT);
	WORKS(dup2(b.fd, a.fd));
	WORKS(ioctl(a.fd, NIOCTXSYNC, NULL));
}

POINT(fork_shares_a_port)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");
	int fds[2];
	char byte;
	pid_t pid;

	WORKS(pipe(fds));
	pid = fork();
	if (!pid) {
		close(fds[1]);
		EQ(read(fds[0], &byte, 1), 0);
		/* The parent has closed it. */
		for (int i = 0; i < 100; i++)
			works(a.fd, &a, &b);
		child_exit();
	}
	for (int i = 0; i < 100; i++)
		works(a.fd, &a, &b);
	WORKS(close(a.fd));
	WORKS(close(b.fd));
	CHECK(exists("vale%:a"));
	close(fds[1]);
	reap(pid);
	CHECK(!exists("vale%:a"));
}

POINT(fork_before_register)
{
	struct nm a = { .fd = dev() }, b = up("vale%:b");
	pid_t pid = fork();

	if (!pid) {
		WORKS(bind_mode(&a, "vale%:a", NR_REG_ALL_NIC, 0));
		child_exit();
	}
	reap(pid);
	/* The descriptor is bound, whoever did it. */
	CHECK(exists("vale%:a"));
	FAILS(EBUSY, bind_mode(&a, "vale%:c", NR_REG_ALL_NIC, 0));
	WORKS(ioctl(a.fd, NIOCTXSYNC, NULL));
	EQ(poll1(a.fd, POLLOUT, WAIT_MS), POLLOUT);
	(void)b;
}

POINT(fork_children_of_children)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");
	pid_t pid;

	for (int depth = 0; depth < 6; depth++) {
		pid = fork();
		if (pid) {
			reap(pid);
			works(a.fd, &a, &b);
			if (depth)
				child_exit();
			return;
		}
		works(a.fd, &a, &b);
		EQ(poll1(b.fd, POLLIN, 3), 0);
	}
	child_exit();
}

static void send_fd(int sock, int fd, const struct nmreq_register *reg)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)reg, sizeof(*reg) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = room,
			      .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	EQ(sendmsg(sock, &msg, 0), sizeof(*reg));
}

static struct nm receive_fd(int sock, bool by_recvmmsg)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct nm p = { 0 };
	struct iovec iov = { &p.reg, sizeof(p.reg) };
	struct mmsghdr msg = { .msg_hdr = { .msg_iov = &iov,
					    .msg_iovlen = 1,
					    .msg_control = room,
					    .msg_controllen = sizeof(room) } };
	struct cmsghdr *c;

	if (by_recvmmsg)
		EQ(recvmmsg(sock, &msg, 1, 0, NULL), 1);
	else
		EQ(recvmsg(sock, &msg.msg_hdr, 0), sizeof(p.reg));
	c = CMSG_FIRSTHDR(&msg.msg_hdr);
	CHECK(c && c->cmsg_type == SCM_RIGHTS);
	memcpy(&p.fd, CMSG_DATA(c), sizeof(p.fd));
	return p;
}

/* Uses a port that came from elsewhere, all of it. */
static void use_foreign(struct nm *a)
{
	struct nm b = up("vale%:z");

	FAILS(EBUSY, bind_mode(a, "vale%:b", NR_REG_ALL_NIC, 0));
	map_port(a);
	works(a->fd, a, &b);
	put_frame(txr(&b, 0), 255, 9, 60, 4321);
	txsync(&b);
	EQ(poll1(a->fd, POLLIN, WAIT_MS), POLLIN);
	EQ(frame_number(peek(rxr(a, 0), NULL)), 4321);
	drop(rxr(a, 0), 1);
	rxsync(a);
}

static void by_scm_rights(bool by_recvmmsg)
{
	struct nm a;
	pid_t pid;
	int socks[2];

	WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	(void)N("%"); /* the child shall use our names */
	pid = fork();
	if (!pid) {
		a = receive_fd(socks[1], by_recvmmsg);
		use_foreign(&a);
		child_exit();
	}
	a = up("vale%:a");
	send_fd(socks[0], a.fd, &a.reg);
	down(&a);
	reap(pid);
	CHECK(!exists("vale%:a"));
}

POINT(scm_rights_to_who_never_opened)
{
	by_scm_rights(false);
}

POINT(scm_rights_by_recvmmsg)
{
	by_scm_rights(true);
}

POINT(scm_rights_in_flight_keep_the_port)
{
	struct nm a = up("vale%:a"), back;
	int socks[2];

	WORKS(socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	send_fd(socks[0], a.fd, &a.reg);
	down(&a);
	CHECK(exists("vale%:a"));
	back = receive_fd(socks[1], false);
	use_foreign(&back);
	WORKS(close(back.fd));
	CHECK(!exists("vale%:a"));
	/* One that nobody takes. */
	a = up("vale%:a");
	send_fd(socks[0], a.fd, &a.reg);
	down(&a);
	WORKS(close(socks[0]));
	WORKS(close(socks[1]));
	CHECK(!exists("vale%:a"));
}

static void set_number(const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	EQ(setenv(name, text, 1), 0);
}

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);

	if (!text)
		FAIL("%s is not in the environment", name);
	return strtoull(text, NULL, 10);
}

/* Runs a role of this program as another program. */
static pid_t run_role(const char *role, bool spawned)
{
	char self[512];
	char *argv[] = { self, (char *)role, NULL };
	pid_t pid = -1;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	CHECK(n > 0);
	self[n] = 0;
	if (spawned) {
		EQ(posix_spawn(&pid, self, NULL, NULL, argv, environ), 0);
		return pid;
	}
	pid = fork();
	if (!pid) {
		execv(self, argv);
		FAIL("execv: %s", strerror(errno));
	}
	return WORKS(pid);
}

POINT(role_after_exec)
{
	struct nm a = { .fd = (int)number_of("NMT_FD") };

	a.reg.nr_memsize = number_of("NMT_SIZE");
	a.reg.nr_offset = number_of("NMT_OFFSET");
	use_foreign(&a);
}

static void after_exec(bool spawned)
{
	struct nm a = up("vale%:a");

	set_number("NMT_FD", (uint64_t)a.fd);
	set_number("NMT_SIZE", a.reg.nr_memsize);
	set_number("NMT_OFFSET", a.reg.nr_offset);
	reap(run_role("role_after_exec", spawned));
	down(&a);
}

POINT(exec_keeps_a_port)
{
	after_exec(false);
}

POINT(posix_spawn_keeps_a_port)
{
	after_exec(true);
}

POINT(exec_into_0)
{
	struct nm a = up("vale%:a");
	pid_t pid;

	set_number("NMT_FD", 0);
	set_number("NMT_SIZE", a.reg.nr_memsize);
	set_number("NMT_OFFSET", a.reg.nr_offset);
	pid = fork();
	if (!pid) {
		char self[512];
		ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

		CHECK(n > 0);
		self[n] = 0;
		WORKS(dup2(a.fd, 0));
		WORKS(dup2(a.fd, 2));
		WORKS(close(a.fd));
		/* bind_port() takes 0 for none: so the role gets 2. */
		set_number("NMT_FD", 2);
		execl(self, self, "role_after_exec", NULL);
		_exit(3);
	}
	reap(pid);
}

POINT(role_nothing)
{
	char byte;

	EQ(read((int)number_of("NMT_FD"), &byte, 1), 0);
}

POINT(exec_with_cloexec_closes)
{
	int fd = WORKS(open(DEV, O_RDWR | O_CLOEXEC)), fds[2];
	struct nm a = { .fd = fd };
	pid_t pid;

	WORKS(pipe2(fds, O_CLOEXEC));
	set_number("NMT_FD", 90);
	WORKS(bind_mode(&a, "vale%:a", NR_REG_ALL_NIC, 0));
	WORKS(dup2(fds[0], 90));
	pid = run_role("role_nothing", true);
	WORKS(close(fd));
	CHECK(!exists("vale%:a"));
	WORKS(close(fds[1]));
	reap(pid);
}

/* Closes everything from 3 on, in a way. */
static void close_all(int way)
{
	if (way == 0) {
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
	} else if (way == 1) {
		closefrom(3);
	} else if (way == 2) {
		WORKS(close_range(3, ~0U, 0));
	} else if (way == 3) {
		for (int fd = 3; fd < 1024; fd++)
			syscall(SYS_close, fd);
	} else {
		syscall(SYS_close_range, 3, ~0U, 0);
	}
}

/* In a child, as daemons do; then it uses ports of its own. */
static void all_closed(int way)
{
	struct nm a = up("vale%:a"), b = up("vale%:b"), c, d;
	int null, fds[2];
	pid_t pid = fork();
	uint64_t n = 0;

	if (!pid) {
		EQ(poll1(a.fd, POLLIN, 1), 0);
		close_all(way);
		/* A sync is no system call, and knows what libc knows. */
		if (way < 3)
			FAILS(EBADF, ioctl(a.fd, NIOCTXSYNC, NULL));
		/* These get the numbers. */
		WORKS(pipe(fds));
		EQ(fds[0], a.fd);
		EQ(poll1(fds[0], POLLIN, 0), 0);
		EQ(write(fds[1], "xy", 2), 2);
		EQ(poll1(fds[0], POLLIN, WAIT_MS), POLLIN);
		WORKS(ioctl(fds[0], FIONREAD, &n));
		EQ(n, 2);
		FAILS(ENOTTY, ioctl(fds[1], NIOCTXSYNC, NULL));
		WORKS(close(fds[0]));
		null = WORKS(open("/dev/null", O_RDWR));
		FAILS(ENOTTY, ioctl(null, NIOCTXSYNC, NULL));
		EQ(poll1(null, POLLIN, WAIT_MS), POLLIN);
		EQ(write(null, "x", 1), 1);
		c = up("vale%x:c");
		d = up("vale%x:d");
		works(c.fd, &c, &d);
		EQ(poll1(d.fd, POLLIN, 1), 0);
		close_all(way);
		CHECK(!exists("vale%x:c"));
		child_exit();
	}
	reap(pid);
	works(a.fd, &a, &b);
	CHECK(!exists("vale%x:c"));
}

POINT(close_all_one_by_one)
{
	all_closed(0);
}

POINT(close_all_by_closefrom)
{
	all_closed(1);
}

POINT(close_all_by_close_range)
{
	all_closed(2);
}

POINT(close_all_behind_libc)
{
	all_closed(3);
}

POINT(close_all_behind_libc_at_once)
{
	all_closed(4);
}

POINT(descriptors_used_up)
{
	struct rlimit limit = { 40, 40 };
	struct nm a = up("vale%:a"), b = up("vale%:b");

	WORKS(setrlimit(RLIMIT_NOFILE, &limit));
	while (dup(0) >= 0)
		;
	EQ(errno, EMFILE);
	FAILS(EMFILE, open(DEV, O_RDWR));
	works(a.fd, &a, &b);
	EQ(poll1(a.fd, POLLIN, 5), 0);
	WORKS(close(10));
	WORKS(close(11));
	WORKS(close(12));
	CHECK(open(DEV, O_RDWR) >= 0);
}

POINT(system_with_open_ports)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");

	/* The shell has no sanitizer in it, but would preload one. */
	if (getenv("SANITIZED"))
		skip("needs a shell with the sanitizer's runtime");
	EQ(system("exit 7") >> 8, 7);
	works(a.fd, &a, &b);
}
