/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_fe_priv.h - what the parts of the vhost-user front end share. */
#ifndef TESTS_LIB_VHOST_FE_PRIV_H
#define TESTS_LIB_VHOST_FE_PRIV_H

#include "vhost_fe.h"

/* Fills fe->error and returns err. */
__attribute__((format(printf, 3, 4))) int fe_fail(struct fe *fe, int err,
						  const char *format, ...);

#endif
