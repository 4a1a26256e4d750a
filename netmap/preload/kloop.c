// SPDX-License-Identifier: BSD-2-Clause
// kloop.c - CSB_ENABLE and SYNC_KLOOP: refused as an unknown request is.
#undef _FILE_OFFSET_BITS
#include <errno.h>

#include "netmap/preload/preload.h"

int csb_enable(struct device *d, int fd, struct nmreq_opt_csb *csb)
{
	return -EOPNOTSUPP;
}

int kloop_start(struct device *d, int fd, struct request *q)
{
	return -EOPNOTSUPP;
}

int kloop_stop(struct device *d, int fd)
{
	return -EOPNOTSUPP;
}
