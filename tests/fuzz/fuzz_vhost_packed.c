// SPDX-License-Identifier: BSD-2-Clause
// fuzz_vhost_packed.c - packed virtqueues with anything in them.
#include <stdbool.h>

#define RING_PACKED true
#include "vhost_ring.h"
