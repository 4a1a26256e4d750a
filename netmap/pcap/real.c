// SPDX-License-Identifier: BSD-2-Clause
// real.c - look up the functions of libpcap that we replace.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "netmap/pcap/real.h"

static const char *const names[] = {
#define REAL_NAME(name) #name,
	REAL_FUNCTIONS(REAL_NAME)
};

static void *functions[REAL_COUNT];

void *real_function(enum real_function which)
{
	void *f = __atomic_load_n(&functions[which], __ATOMIC_RELAXED);

	if (__builtin_expect(!!f, 1))
		return f;
	f = dlsym(RTLD_NEXT, names[which]);
	if (!f) {
		fprintf(stderr,
			"libglen-pcap: the libpcap of this program has no "
			"function %s()\n",
			names[which]);
		abort();
	}
	__atomic_store_n(&functions[which], f, __ATOMIC_RELAXED);
	return f;
}
