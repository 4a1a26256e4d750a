// SPDX-License-Identifier: BSD-2-Clause
// pcap_program.c - a libpcap program that knows nothing of glen.
/*
 *   pcap_program send DEVICE PACKETS SIZE   inject, print packets and seconds
 *   pcap_program recv DEVICE MS             count until SIGINT; MS: time-out
 *   pcap_program CHECK DEVICE DEVICE        one of checks[] below: the first
 *                                           device sends to the second
 *
 * For checks both devices are on one wire, on which nobody else speaks. Ends
 * with 0, or 1 and what was wrong on standard error.
 */
#include <fcntl.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MUST(x)                                                                \
	do {                                                                   \
		if (!(x)) {                                                    \
			fprintf(stderr, "%s:%d: not %s\n", __func__, __LINE__, \
				#x);                                           \
			exit(1);                                               \
		}                                                              \
	} while (0)

enum {
	SIZE = 100,
	FOREVER_MS = 60000, /* no test waits so long if all is well */
};

static const char *tx_name, *rx_name;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static pcap_t *open_with(const char *name, int timeout_ms)
{
	char errbuf[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_live(name, 65535, 1, timeout_ms, errbuf);

	if (!p) {
		fprintf(stderr, "%s\n", errbuf);
		exit(1);
	}
	return p;
}

/* A packet that says its number and length. */
static void fill(uint8_t *data, size_t size, unsigned number)
{
	static const uint8_t head[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5
	};

	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + number);
	memcpy(data, head, sizeof(head));
	memcpy(data + sizeof(head), &number, sizeof(number));
}

static void send_one(pcap_t *p, unsigned number)
{
	uint8_t data[SIZE];

	fill(data, sizeof(data), number);
	MUST(pcap_inject(p, data, sizeof(data)) == SIZE);
}

static void is_packet(const struct pcap_pkthdr *hdr, const u_char *data,
		      unsigned number)
{
	uint8_t want[SIZE];

	fill(want, sizeof(want), number);
	MUST(hdr->len == SIZE && hdr->caplen == SIZE);
	MUST(!memcmp(data, want, SIZE));
}

static void expect(pcap_t *p, unsigned number)
{
	struct pcap_pkthdr *hdr;
	const u_char *data;

	MUST(pcap_next_ex(p, &hdr, &data) == 1);
	is_packet(hdr, data, number);
}

struct seen {
	unsigned next; /* number of the next packet */
	pcap_t *stop;  /* to break after stop_at packets */
	unsigned stop_at;
};

static void see(u_char *user, const struct pcap_pkthdr *hdr, const u_char *data)
{
	struct seen *seen = (void *)user;

	is_packet(hdr, data, seen->next++);
	if (seen->stop && seen->next == seen->stop_at)
		pcap_breakloop(seen->stop);
}

/* All ways to receive, in order and whole. */
static void check_receive(void)
{
	pcap_t *tx = open_with(tx_name, 1), *rx = open_with(rx_name, 0);
	struct seen seen = { 0 };
	struct pcap_pkthdr hdr;
	const u_char *data;
	int n;

	MUST(pcap_datalink(rx) == DLT_EN10MB);
	for (unsigned i = 0; i < 600; i++)
		send_one(tx, i);
	MUST(!pcap_loop(rx, 100, see, (void *)&seen) && seen.next == 100);
	while (seen.next < 400) {
		n = pcap_dispatch(rx, 7, see, (void *)&seen);
		MUST(n > 0 && n <= 7);
	}
	for (; seen.next < 500; seen.next++)
		expect(rx, seen.next);
	for (; seen.next < 600 - 10; seen.next++) {
		data = pcap_next(rx, &hdr);
		MUST(data);
		is_packet(&hdr, data, seen.next);
	}
	while (seen.next < 600)
		MUST(pcap_dispatch(rx, -1, see, (void *)&seen) > 0);
	pcap_close(rx);
	pcap_close(tx);
}

/* Nothing comes: 0 after the time-out, at once if nonblocking. */
static void check_timeout(void)
{
	char errbuf[PCAP_ERRBUF_SIZE];
	pcap_t *tx = open_with(tx_name, 1), *rx = open_with(rx_name, 50);
	struct bpf_program filter;
	struct pcap_pkthdr *hdr;
	const u_char *data;
	double start = now();

	MUST(pcap_next_ex(rx, &hdr, &data) == 0);
	MUST(now() - start >= 0.049);
	MUST(pcap_dispatch(rx, -1, see, NULL) == 0);
	/* What the filter does not want does not end the wait. */
	MUST(!pcap_compile(rx, &filter, "len > 1000", 1, 0));
	MUST(!pcap_setfilter(rx, &filter));
	pcap_freecode(&filter);
	send_one(tx, 1);
	start = now();
	MUST(pcap_next_ex(rx, &hdr, &data) == 0);
	MUST(now() - start >= 0.049);
	pcap_close(rx);

	rx = open_with(rx_name, FOREVER_MS);
	MUST(pcap_getnonblock(rx, errbuf) == 0);
	MUST(!pcap_setnonblock(rx, 1, errbuf));
	MUST(pcap_getnonblock(rx, errbuf) == 1);
	start = now();
	MUST(pcap_next_ex(rx, &hdr, &data) == 0);
	MUST(pcap_dispatch(rx, -1, see, NULL) == 0);
	MUST(now() - start < FOREVER_MS / 2000.);
	MUST(!pcap_setnonblock(rx, 0, errbuf));
	send_one(tx, 5);
	expect(rx, 5);
	pcap_close(rx);
	pcap_close(tx);
}

static pcap_t *to_break;

static void on_signal(int signal)
{
	pcap_breakloop(to_break);
}

static void *breaker(void *p)
{
	pcap_breakloop(p);
	return NULL;
}

static void break_by_threads(pcap_t *p)
{
	pthread_t thread;

	for (unsigned i = 0; i < 200; i++) {
		MUST(!pthread_create(&thread, NULL, breaker, p));
		if (i % 2)
			sched_yield();
		MUST(pcap_loop(p, -1, see, NULL) == PCAP_ERROR_BREAK);
		pthread_join(thread, NULL);
	}
}

/* From the callback, from a signal handler and from a thread. */
static void check_breakloop(void)
{
	pcap_t *tx = open_with(tx_name, 1), *rx = open_with(rx_name, 10);
	struct seen seen = { .stop = rx, .stop_at = 3 };
	struct itimerval soon = { .it_value.tv_usec = 20000 };

	for (unsigned i = 0; i < 5; i++)
		send_one(tx, i);
	MUST(pcap_loop(rx, -1, see, (void *)&seen) == PCAP_ERROR_BREAK);
	MUST(seen.next == 3);
	MUST(!pcap_loop(rx, 2, see, (void *)&seen) && seen.next == 5);
	break_by_threads(rx);
	/* Nothing is left of that. */
	send_one(tx, 5);
	MUST(!pcap_loop(rx, 1, see, (void *)&seen) && seen.next == 6);
	pcap_close(rx);

	/* No time-out ends these waits. */
	rx = to_break = open_with(rx_name, 0);
	signal(SIGALRM, on_signal); /* with SA_RESTART */
	for (unsigned i = 0; i < 5; i++) {
		setitimer(ITIMER_REAL, &soon, NULL);
		MUST(pcap_loop(rx, -1, see, NULL) == PCAP_ERROR_BREAK);
		soon.it_value.tv_usec /= 10; /* at last before the loop */
		soon.it_value.tv_usec++;
	}
	break_by_threads(rx);
	pcap_close(rx);
	pcap_close(tx);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout_ms);

	MUST(n >= 0 && !(p.revents & ~POLLIN));
	return n;
}

/* The descriptor by poll, select and epoll: readable if and only if. */
static void check_selectable(void)
{
	char errbuf[PCAP_ERRBUF_SIZE];
	pcap_t *tx = open_with(tx_name, 1), *rx = open_with(rx_name, 1);
	struct epoll_event event = { .events = EPOLLIN };
	struct seen seen = { 0 };
	int fd, epfd = epoll_create1(0);
	fd_set set;

	/* A packet that is there before the program asks. */
	send_one(tx, 0);
	fd = pcap_get_selectable_fd(rx);
	MUST(fd >= 0 && fd == pcap_fileno(rx));
	MUST(readable(fd, FOREVER_MS));
	MUST(!pcap_setnonblock(rx, 1, errbuf));
	MUST(pcap_dispatch(rx, -1, see, (void *)&seen) == 1);
	MUST(!readable(fd, 0));
	MUST(!epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event));
	for (unsigned i = 1; i < 1000; i++) {
		send_one(tx, i);
		MUST(readable(fd, FOREVER_MS));
		FD_ZERO(&set);
		FD_SET(fd, &set);
		MUST(select(fd + 1, &set, NULL, NULL, NULL) == 1);
		MUST(epoll_wait(epfd, &event, 1, FOREVER_MS) == 1);
		MUST(pcap_dispatch(rx, -1, see, (void *)&seen) == 1);
		MUST(!readable(fd, 0));
		MUST(pcap_dispatch(rx, -1, see, (void *)&seen) == 0);
	}
	/* One at a time: readable as long as there are some. */
	for (unsigned i = 0; i < 10; i++)
		send_one(tx, seen.next + i);
	while (seen.next < 1010) {
		MUST(readable(fd, FOREVER_MS));
		expect(rx, seen.next++);
	}
	MUST(!readable(fd, 0));
	pcap_close(rx);
	pcap_close(tx);
	close(epfd);
}

/* Snapshot length, packets of several buffers, filter, nanoseconds. */
static void check_settings(void)
{
	char errbuf[PCAP_ERRBUF_SIZE];
	static uint8_t big[9000];
	pcap_t *tx = open_with(tx_name, 1), *rx = pcap_create(rx_name, errbuf);
	struct bpf_program filter;
	struct pcap_pkthdr *hdr;
	const u_char *data;
	struct timespec t;
	bpf_u_int32 network = 1, mask = 1;

	MUST(!pcap_lookupnet(rx_name, &network, &mask, errbuf));
	MUST(!network && !mask);
	MUST(rx);
	MUST(pcap_compile(rx, &filter, "", 1, 0) == PCAP_ERROR);
	MUST(strstr(pcap_geterr(rx), "activated"));
	MUST(pcap_next_ex(rx, &hdr, &data) == PCAP_ERROR_NOT_ACTIVATED);
	MUST(pcap_inject(rx, big, 60) == PCAP_ERROR_NOT_ACTIVATED);
	MUST(pcap_snapshot(rx) == PCAP_ERROR_NOT_ACTIVATED);
	MUST(!pcap_set_snaplen(rx, 77) && !pcap_set_timeout(rx, 0));
	MUST(!pcap_set_promisc(rx, 1) && !pcap_set_immediate_mode(rx, 1));
	MUST(!pcap_set_buffer_size(rx, 1 << 16));
	MUST(pcap_can_set_rfmon(rx) == 0);
	MUST(pcap_set_tstamp_precision(rx, 77) ==
	     PCAP_ERROR_TSTAMP_PRECISION_NOTSUP);
	MUST(!pcap_set_tstamp_precision(rx, PCAP_TSTAMP_PRECISION_NANO));
	MUST(pcap_set_tstamp_type(rx, PCAP_TSTAMP_ADAPTER) ==
	     PCAP_WARNING_TSTAMP_TYPE_NOTSUP);
	MUST(!pcap_activate(rx));
	MUST(pcap_activate(rx) == PCAP_ERROR_ACTIVATED);
	MUST(pcap_set_snaplen(rx, 99) == PCAP_ERROR_ACTIVATED);
	MUST(pcap_set_promisc(rx, 0) == PCAP_ERROR_ACTIVATED);
	MUST(pcap_snapshot(rx) == 77);
	MUST(pcap_get_tstamp_precision(rx) == PCAP_TSTAMP_PRECISION_NANO);
	MUST(!pcap_setdirection(rx, PCAP_D_IN));
	MUST(pcap_setdirection(rx, PCAP_D_OUT) == PCAP_ERROR);
	MUST(strstr(pcap_geterr(rx), "direction"));

	MUST(pcap_compile(rx, &filter, "no such thing", 1, 0) == PCAP_ERROR);
	MUST(*pcap_geterr(rx) && !strstr(pcap_geterr(rx), "direction"));
	MUST(!pcap_compile(rx, &filter, "len > 1000", 1, 0));
	MUST(!pcap_setfilter(rx, &filter));
	pcap_freecode(&filter);
	send_one(tx, 0); /* not wanted */
	fill(big, sizeof(big), 1);
	MUST(!pcap_sendpacket(tx, big, sizeof(big)));
	MUST(pcap_next_ex(rx, &hdr, &data) == 1);
	MUST(hdr->len == sizeof(big) && hdr->caplen == 77);
	MUST(!memcmp(data, big, 77));
	/* The thousandth part of all nanoseconds could be microseconds. */
	for (int i = 0; i < 100000 && hdr->ts.tv_usec < 1000000; i++) {
		MUST(!pcap_sendpacket(tx, big, 1001));
		MUST(pcap_next_ex(rx, &hdr, &data) == 1);
	}
	clock_gettime(CLOCK_REALTIME, &t);
	MUST(hdr->ts.tv_usec >= 1000000 && hdr->ts.tv_usec < 1000000000);
	MUST(t.tv_sec - hdr->ts.tv_sec < FOREVER_MS / 1000);
	MUST(pcap_sendpacket(tx, big, -1) == PCAP_ERROR);
	pcap_close(rx);

	rx = open_with(rx_name, 0);
	MUST(!pcap_sendpacket(tx, big, sizeof(big)));
	MUST(pcap_next_ex(rx, &hdr, &data) == 1);
	MUST(hdr->caplen == sizeof(big) && !memcmp(data, big, sizeof(big)));
	MUST(hdr->ts.tv_usec < 1000000);
	pcap_close(rx);
	pcap_close(tx);
}

/* What does not fit into the ring is counted, and nothing else is lost. */
static void check_stats(void)
{
	enum { COUNT = 5000 };
	char errbuf[PCAP_ERRBUF_SIZE];
	pcap_t *tx = open_with(tx_name, 1), *rx = pcap_create(rx_name, errbuf);
	struct pcap_stat stat;
	struct seen seen = { 0 };
	int n;

	MUST(rx && !pcap_set_buffer_size(rx, 64 * 2048));
	MUST(!pcap_set_timeout(rx, 100) && !pcap_activate(rx));
	for (unsigned i = 0; i < COUNT; i++)
		send_one(tx, i);
	/* Injected packets have left when the port is closed. */
	pcap_close(tx);
	do {
		MUST(!pcap_stats(rx, &stat));
	} while (stat.ps_drop < COUNT - 64);
	while ((n = pcap_dispatch(rx, -1, see, (void *)&seen)))
		MUST(n > 0);
	MUST(!pcap_stats(rx, &stat));
	MUST(stat.ps_recv == seen.next);
	MUST(stat.ps_recv + stat.ps_drop == COUNT && stat.ps_ifdrop == 0);
	pcap_close(rx);
}

static void *echo(void *arg)
{
	struct seen seen = { 0 };

	MUST(!pcap_loop(arg, 2000, see, (void *)&seen));
	return NULL;
}

/* A thread that receives and one that sends, on the same two handles. */
static void check_threads(void)
{
	pcap_t *a = open_with(tx_name, 10), *b = open_with(rx_name, 10);
	pthread_t threads[2];

	MUST(!pcap_setdirection(a, PCAP_D_IN));
	MUST(!pcap_setdirection(b, PCAP_D_IN));

	MUST(pcap_get_selectable_fd(a) >= 0);
	MUST(!pthread_create(&threads[0], NULL, echo, a));
	MUST(!pthread_create(&threads[1], NULL, echo, b));
	for (unsigned i = 0; i < 2000; i++) {
		send_one(a, i);
		send_one(b, i);
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	pcap_close(a);
	pcap_close(b);
}

/* Handles come and go: ours, libpcap's and files, in any order. */
static void check_handles(void)
{
	enum { HANDLES = 40 };
	static pcap_t *handles[HANDLES];
	char name[64], errbuf[PCAP_ERRBUF_SIZE];
	unsigned at = 1;

	for (unsigned i = 0; i < 2000; i++) {
		at = at * 1103515245 + 12345;
		pcap_t **p = &handles[at / 65536 % HANDLES];

		if (*p) {
			pcap_close(*p);
			*p = NULL;
		} else if (i % 3) {
			snprintf(name, sizeof(name), "%sh", rx_name);
			*p = pcap_create(name, errbuf);
			MUST(*p && pcap_snapshot(*p) < 0);
		} else {
			*p = pcap_open_dead(DLT_EN10MB, (int)i + 1);
			MUST(*p && pcap_snapshot(*p) == (int)i + 1);
		}
	}
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i])
			pcap_close(handles[i]);
	/* More than there can be: a sentence, and all is well again. */
	static pcap_t *many[2000];
	unsigned n = 0;

	while (n < 2000 && (many[n] = pcap_create(rx_name, errbuf)))
		n++;
	MUST(n >= 1000 && n < 2000 && strstr(errbuf, "at most"));
	/* Those that stay are found across the gaps. */
	for (unsigned i = 0; i < n; i += 2)
		pcap_close(many[i]);
	for (unsigned i = 1; i < n; i += 2)
		MUST(pcap_snapshot(many[i]) < 0);
	for (unsigned i = 1; i < n; i += 2)
		pcap_close(many[i]);
	pcap_close(open_with(rx_name, 0));
}

static void run_send(long count, int size)
{
	pcap_t *p = open_with(tx_name, 1);
	static uint8_t data[65536];
	double start = now();

	fill(data, (size_t)size, 0);
	for (long i = 0; i < count; i++)
		if (pcap_inject(p, data, (size_t)size) != size) {
			fprintf(stderr, "%s\n", pcap_geterr(p));
			exit(1);
		}
	printf("%ld %.6f\n", count, now() - start);
	pcap_close(p);
}

static void run_recv(int timeout_ms)
{
	pcap_t *p = to_break = open_with(tx_name, timeout_ms);
	struct pcap_stat stat;
	struct pcap_pkthdr *hdr;
	const u_char *data;
	double start = 0, end = 0;
	long count = 0, bytes = 0;
	int n;

	signal(SIGINT, on_signal);
	printf("ready\n");
	fflush(stdout);
	while ((n = pcap_next_ex(p, &hdr, &data)) >= 0) {
		if (!n)
			continue;
		if (!count)
			start = now();
		/* Not each: reading the clock is not what is measured. */
		if (!(++count % 64))
			end = now();
		bytes += data[hdr->caplen - 1];
	}
	if (n != PCAP_ERROR_BREAK) {
		fprintf(stderr, "%s\n", pcap_geterr(p));
		exit(1);
	}
	MUST(!pcap_stats(p, &stat));
	printf("%ld %.6f %u %ld\n", count, end - start, stat.ps_drop, bytes);
	pcap_close(p);
}

static const struct {
	const char *name;
	void (*run)(void);
} checks[] = {
	{ "receive", check_receive },	  { "timeout", check_timeout },
	{ "breakloop", check_breakloop }, { "selectable", check_selectable },
	{ "settings", check_settings },	  { "stats", check_stats },
	{ "threads", check_threads },	  { "handles", check_handles },
};

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	tx_name = argv[2];
	rx_name = argv[3];
	if (!strcmp(argv[1], "send") && argc == 5) {
		run_send(atol(argv[3]), atoi(argv[4]));
		return 0;
	}
	if (!strcmp(argv[1], "recv")) {
		run_recv(atoi(argv[3]));
		return 0;
	}
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!strcmp(argv[1], checks[i].name)) {
			checks[i].run();
			return 0;
		}
	return 2;
}
