// SPDX-License-Identifier: BSD-2-Clause
// fuzz_vhost_split.c - split virtqueues with anything in them.
#include <stdbool.h>

#define RING_PACKED false
#include "vhost_ring.h"
