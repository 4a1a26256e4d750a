/* SPDX-License-Identifier: BSD-2-Clause */
/* nfs.h - the network functions of this folder. */
#ifndef EXAMPLES_NF_NFS_H
#define EXAMPLES_NF_NFS_H

#include <glen/nf.h>

extern const struct glen_nf_program count_nf, beat_nf;

#endif
