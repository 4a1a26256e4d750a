/* SPDX-License-Identifier: BSD-2-Clause */
/* guest.c - runs inside test guests: commands, checked TCP, NIC settings. */
/*
 * guest agent TTY                what init becomes: runs commands from a tty
 * guest sink PORT [FILE]         takes one checked stream and confirms it
 * guest send ADDR PORT BYTES [FILE [POOL]]
 *                                sends a stream, waits for the confirmation
 * guest queued PORT              bytes that wait unread in streams to PORT
 * guest offload IF NAME on|off   NAME: rx, tx, sg, tso, gso or gro
 * guest channels IF [N]          number of queue pairs in use
 *
 * A stream is a pattern in which every 8 bytes tell their offset, so that any
 * page that is stale, missing or doubled is seen. A sink with a FILE reads
 * nothing before that file exists: until then all that came stays where the
 * network interface put it, which is what tests of live migration look at. A
 * sender with a FILE ends early when the file exists. With a POOL, which is the
 * name of a new file, it sends out of the pages of that file, wherever these
 * lie, and not out of the kernel's own.
 *
 * The agent answers "READY" once, then per command: the host sends
 * "LENGTH\n" and that many bytes for sh -c; the answer is
 * "DONE STATUS LENGTH\n" and the output. It is linked statically and has no
 * libraries around it: messages go through err(3).
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define OUTPUT "/tmp/.output"
#define COMMAND_MAX 65536
#define CHUNK 65536
#define RCVBUF (256 << 20)
#define POOL (16 << 20) /* more than a connection has under way */
#define RETRY_US 50000
#define CONNECT_TRIES 600

static uint8_t chunk[CHUNK];

/* The 8 bytes at offset 8 * n of every stream (splitmix64). */
static uint64_t word_of(uint64_t n)
{
	uint64_t x = (n + 1) * 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* The len <= CHUNK bytes at an offset; they stay until the next call. */
static const uint8_t *pattern(uint64_t offset, size_t len)
{
	static uint64_t words[CHUNK / 8 + 2];
	size_t skip = offset % 8;

	for (size_t i = 0; i * 8 < skip + len; i++)
		words[i] = word_of(offset / 8 + i);
	return (const uint8_t *)words + skip;
}

/* Agent */

static void write_all(int fd, const void *buf, size_t len)
{
	const char *at = buf;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err(1, "write");
		at += n;
		len -= (size_t)n;
	}
}

static void read_all(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err(1, "read");
		at += n;
		len -= (size_t)n;
	}
}

static int open_tty(const char *path)
{
	struct termios mode;
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &mode))
		err(1, "%s", path);
	cfmakeraw(&mode);
	cfsetspeed(&mode, B115200);
	mode.c_cflag |= CLOCAL | CREAD;
	if (tcsetattr(fd, TCSANOW, &mode))
		err(1, "%s", path);
	return fd;
}

/* Runs a command; all it prints goes to a file, so that what it leaves in */
/* the background holds nothing up. Returns the shell's exit status. */
static int run(char *command)
{
	int status = 0;
	pid_t child = fork(), done;

	if (child < 0)
		err(1, "fork");
	if (child == 0) {
		int in = open("/dev/null", O_RDONLY);
		int out = open(OUTPUT, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
			       0600);

		signal(SIGPIPE, SIG_DFL);
		if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
		    dup2(out, 2) < 0)
			err(1, "%s", OUTPUT);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		err(127, "/bin/sh");
	}
	/* As process 1 it also inherits what its children left behind. */
	do
		done = waitpid(-1, &status, 0);
	while (done != child && (done > 0 || errno == EINTR));
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static void answer(int tty, int status)
{
	char head[64];
	struct stat st;
	int fd = open(OUTPUT, O_RDONLY | O_CLOEXEC);
	int n;

	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", OUTPUT);
	n = snprintf(head, sizeof(head), "DONE %d %lld\n", status,
		     (long long)st.st_size);
	write_all(tty, head, (size_t)n);
	for (off_t left = st.st_size; left > 0;) {
		size_t part = left < CHUNK ? (size_t)left : CHUNK;

		read_all(fd, chunk, part);
		write_all(tty, chunk, part);
		left -= (off_t)part;
	}
	close(fd);
	unlink(OUTPUT);
}

static void agent(const char *path)
{
	static char command[COMMAND_MAX + 1];
	int tty = open_tty(path);

	write_all(tty, "READY\n", 6);
	for (;;) {
		size_t length = 0;
		char c;

		for (read_all(tty, &c, 1); c != '\n'; read_all(tty, &c, 1)) {
			if (c < '0' || c > '9')
				errx(1, "a length should come, not %d", c);
			length = length * 10 + (size_t)(c - '0');
			if (length > COMMAND_MAX)
				errx(1, "a command of %zu bytes", length);
		}
		read_all(tty, command, length);
		command[length] = '\0';
		answer(tty, run(command));
	}
}

/* Streams */

static in_port_t port_of(const char *text)
{
	return htons((uint16_t)atoi(text));
}

static bool exists(const char *file)
{
	return file && access(file, F_OK) == 0;
}

static int accept_one(const char *port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6,
				   .sin6_port = port_of(port) };
	int one = 1, size = RCVBUF, fd, conn;

	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* Must be set before a connection comes: it decides the window. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 1))
		err(1, "listen");
	conn = accept(fd, NULL, NULL);
	if (conn < 0)
		err(1, "accept");
	close(fd);
	return conn;
}

static void check(uint64_t offset, size_t n)
{
	const uint8_t *want = pattern(offset, n);
	size_t i = 0;

	if (memcmp(chunk, want, n) == 0)
		return;
	while (chunk[i] == want[i])
		i++;
	errx(2, "wrong byte at %llu: %02x, not %02x",
	     (unsigned long long)(offset + i), chunk[i], want[i]);
}

static int sink(const char *port, const char *file)
{
	int fd = accept_one(port);
	uint64_t got = 0;
	ssize_t n;

	while (file && !exists(file))
		usleep(RETRY_US);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		check(got, (size_t)n);
		got += (uint64_t)n;
	}
	if (n < 0)
		err(1, "after %llu bytes", (unsigned long long)got);
	write_all(fd, &got, sizeof(got));
	printf("%llu\n", (unsigned long long)got);
	return 0;
}

static int connect_to(const char *address, const char *port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6,
				   .sin6_port = port_of(port) };
	char mapped[INET6_ADDRSTRLEN + 8];

	snprintf(mapped, sizeof(mapped), "%s%s",
		 strchr(address, ':') ? "" : "::ffff:", address);
	if (inet_pton(AF_INET6, mapped, &at.sin6_addr) != 1)
		errx(1, "'%s' is not an address", address);
	for (int i = 0;; i++) {
		int fd = socket(AF_INET6, SOCK_STREAM, 0);

		if (fd < 0)
			err(1, "socket");
		if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
			return fd;
		/* The sink may not be there yet. */
		if (errno != ECONNREFUSED || i == CONNECT_TRIES)
			err(1, "connect to %s", address);
		close(fd);
		usleep(RETRY_US);
	}
}

static void send_some(int fd, int pool, uint64_t offset, size_t n)
{
	off_t at = (off_t)(offset % POOL);

	if (pool < 0) {
		write_all(fd, pattern(offset, n), n);
		return;
	}
	if (pwrite(pool, pattern(offset, n), n, at) != (ssize_t)n)
		err(1, "pwrite");
	while (n > 0) {
		ssize_t sent = sendfile(fd, pool, &at, n);

		if (sent <= 0)
			err(1, "sendfile");
		n -= (size_t)sent;
	}
}

static int send_stream(const char *address, const char *port, uint64_t bytes,
		       const char *file, const char *pool_name)
{
	int fd = connect_to(address, port), pool = -1;
	uint64_t sent = 0, confirmed = 0;

	if (pool_name)
		pool = open(pool_name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (pool_name && pool < 0)
		err(1, "%s", pool_name);
	while (sent < bytes && !exists(file)) {
		size_t n = bytes - sent < CHUNK ? (size_t)(bytes - sent) :
						  CHUNK;

		send_some(fd, pool, sent, n);
		sent += n;
	}
	if (shutdown(fd, SHUT_WR))
		err(1, "shutdown");
	if (read(fd, &confirmed, sizeof(confirmed)) != sizeof(confirmed))
		errx(2, "the receiver refused the stream");
	printf("%llu\n", (unsigned long long)confirmed);
	return confirmed == sent ? 0 : 2;
}

/* The kernel lists connections, IPv4 as mapped or in a file of its own. */
static int queued(const char *port)
{
	static const char *const files[] = { "/proc/net/tcp",
					     "/proc/net/tcp6" };
	unsigned long long sum = 0;

	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(files[i], "r");
		char line[512];

		while (file && fgets(line, sizeof(line), file)) {
			unsigned int local, state, tx, rx;

			if (sscanf(line,
				   " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %x:%x",
				   &local, &state, &tx, &rx) == 4 &&
			    htons((uint16_t)local) == port_of(port) &&
			    state != 10 /* listening */)
				sum += rx;
		}
		if (file)
			fclose(file);
	}
	printf("%llu\n", sum);
	return 0;
}

/* Settings */

static void ethtool(const char *ifname, void *data)
{
	struct ifreq request = { .ifr_data = data };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (strlen(ifname) >= IFNAMSIZ)
		errx(1, "%s: no such interface", ifname);
	strcpy(request.ifr_name, ifname);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request))
		err(1, "%s", ifname);
	close(fd);
}

static int offload(const char *ifname, const char *name, const char *value)
{
	static const struct {
		const char *name;
		uint32_t set, get;
	} known[] = {
		{ "rx", ETHTOOL_SRXCSUM, ETHTOOL_GRXCSUM },
		{ "tx", ETHTOOL_STXCSUM, ETHTOOL_GTXCSUM },
		{ "sg", ETHTOOL_SSG, ETHTOOL_GSG },
		{ "tso", ETHTOOL_STSO, ETHTOOL_GTSO },
		{ "gso", ETHTOOL_SGSO, ETHTOOL_GGSO },
		{ "gro", ETHTOOL_SGRO, ETHTOOL_GGRO },
	};
	struct ethtool_value data = { .data = strcmp(value, "on") == 0 };
	uint32_t wanted = data.data;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(name, known[i].name) != 0)
			continue;
		data.cmd = known[i].set;
		ethtool(ifname, &data);
		data.cmd = known[i].get;
		ethtool(ifname, &data);
		if (data.data != wanted)
			errx(1, "%s: %s did not turn %s", ifname, name, value);
		return 0;
	}
	errx(1, "no offload '%s'", name);
}

static int channels(const char *ifname, const char *n)
{
	struct ethtool_channels data = { .cmd = ETHTOOL_GCHANNELS };

	ethtool(ifname, &data);
	if (n) {
		data.cmd = ETHTOOL_SCHANNELS;
		data.combined_count = (uint32_t)atoi(n);
		ethtool(ifname, &data);
		data.cmd = ETHTOOL_GCHANNELS;
		ethtool(ifname, &data);
	}
	printf("%u of %u\n", data.combined_count, data.max_combined);
	return 0;
}

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	if (strcmp(role, "agent") == 0 && argc == 3)
		agent(argv[2]);
	if (strcmp(role, "sink") == 0 && (argc == 3 || argc == 4))
		return sink(argv[2], argv[3]);
	if (strcmp(role, "send") == 0 && argc >= 5 && argc <= 7)
		return send_stream(argv[2], argv[3],
				   strtoull(argv[4], NULL, 10), argv[5],
				   argc == 7 ? argv[6] : NULL);
	if (strcmp(role, "queued") == 0 && argc == 3)
		return queued(argv[2]);
	if (strcmp(role, "offload") == 0 && argc == 5)
		return offload(argv[2], argv[3], argv[4]);
	if (strcmp(role, "channels") == 0 && (argc == 3 || argc == 4))
		return channels(argv[2], argv[3]);
	errx(1, "see the head of guest.c");
}
