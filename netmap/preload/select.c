// SPDX-License-Identifier: BSD-2-Clause
// select.c - select() and pselect() where some descriptors are netmap's.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>

#include "netmap/preload/real.h"

/* What the kernel means by readable, writable and exceptional. */
enum {
	MEANS_IN = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
	MEANS_OUT = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
	MEANS_EX = POLLPRI,
};

/* Programs may have larger sets than the type says: bit by bit. */
static bool is_in(int fd, const fd_set *set)
{
	const uint8_t *bytes = (const uint8_t *)set;

	return set && bytes[fd / 8] >> fd % 8 & 1;
}

static void put(int fd, fd_set *set, bool on)
{
	uint8_t *bytes = (uint8_t *)set;

	if (!set)
		return;
	if (on)
		bytes[fd / 8] |= (uint8_t)(1 << fd % 8);
	else
		bytes[fd / 8] &= (uint8_t) ~(1 << fd % 8);
}

static bool any(int n, const fd_set *in, const fd_set *out)
{
	if (likely(!had_objects()))
		return false;
	for (int fd = 0; fd < n; fd++)
		if (unlikely(fd_obj(fd) != NULL) &&
		    (is_in(fd, in) || is_in(fd, out)))
			return true;
	return false;
}

static nfds_t to_poll(int n, const fd_set *in, const fd_set *out,
		      const fd_set *ex, struct pollfd *fds)
{
	nfds_t k = 0;

	for (int fd = 0; fd < n; fd++) {
		short events = 0;

		if (is_in(fd, in))
			events |= POLLIN | POLLRDNORM;
		if (is_in(fd, out))
			events |= POLLOUT | POLLWRNORM;
		if (is_in(fd, ex))
			events |= POLLPRI;
		if (events)
			fds[k++] = (struct pollfd){ fd, events, 0 };
	}
	return k;
}

/* How many bits are set; -1 and EBADF if there is no such descriptor. */
static int from_poll(const struct pollfd *fds, nfds_t k, fd_set *in,
		     fd_set *out, fd_set *ex)
{
	int bits = 0;

	for (nfds_t i = 0; i < k; i++) {
		if (fds[i].revents & POLLNVAL) {
			errno = EBADF;
			return -1;
		}
	}
	for (nfds_t i = 0; i < k; i++) {
		const int fd = fds[i].fd;
		const bool r = is_in(fd, in) && fds[i].revents & MEANS_IN;
		const bool w = is_in(fd, out) && fds[i].revents & MEANS_OUT;
		const bool x = is_in(fd, ex) && fds[i].revents & MEANS_EX;

		put(fd, in, r);
		put(fd, out, w);
		put(fd, ex, x);
		bits += r + w + x;
	}
	return bits;
}

static int wait_select(int n, fd_set *in, fd_set *out, fd_set *ex, uint64_t end,
		       const sigset_t *mask)
{
	struct pollfd *fds = malloc(((size_t)n + 1) * sizeof(*fds));
	nfds_t k;
	int got;

	if (!fds) {
		errno = ENOMEM;
		return -1;
	}
	k = to_poll(n, in, out, ex, fds);
	got = wait_poll(fds, k, end, mask);
	if (got >= 0)
		got = from_poll(fds, k, in, out, ex);
	free(fds);
	return got;
}

EXPORT int select(int n, fd_set *in, fd_set *out, fd_set *ex,
		  struct timeval *timeout)
{
	struct timespec t, left;
	uint64_t end;
	int got;

	if (likely(!any(n, in, out)))
		return REAL(select)(n, in, out, ex, timeout);
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0)) {
		errno = EINVAL;
		return -1;
	}
	if (timeout)
		t = (struct timespec){ timeout->tv_sec,
				       timeout->tv_usec * 1000 };
	end = end_of(timeout ? &t : NULL);
	got = wait_select(n, in, out, ex, end, NULL);
	/* Linux says what is left. */
	if (timeout && left_of(end, &left)) {
		timeout->tv_sec = left.tv_sec;
		timeout->tv_usec = left.tv_nsec / 1000;
	}
	return got;
}

EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *ex,
		   const struct timespec *timeout, const sigset_t *mask)
{
	if (likely(!any(n, in, out)))
		return REAL(pselect)(n, in, out, ex, timeout, mask);
	return wait_select(n, in, out, ex, end_of(timeout), mask);
}
