// SPDX-License-Identifier: BSD-2-Clause
// touch.c - reads what the kernel could not, so that its owner is found.
#include "core/touch.h"

#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096 };

void touch_iov(const struct iovec *iov, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		const volatile uint8_t *p = iov[k].iov_base;
		size_t len = iov[k].iov_len;

		for (size_t off = 0; off < len; off += PAGE)
			(void)p[off];
		if (len)
			(void)p[len - 1];
	}
}
