/* SPDX-License-Identifier: BSD-2-Clause */
/* touch.h - finds out whose memory the kernel could not read. */
#ifndef CORE_TOUCH_H
#define CORE_TOUCH_H
/*
 * Theory of operation
 *
 * Packets are sent from where their sender put them. If that is memory which
 * the sender can take away (a guest that cuts the file of its memory short),
 * our own access to it raises SIGBUS, and whose memory it is puts zeros in its
 * place and loses its peer (port/vhost_user/sigbus.h). A system call raises
 * nothing: it fails with EFAULT, and what it knows of is the descriptor that
 * it was to write to, whose port is innocent.
 *
 * So who hands foreign memory to a system call does, upon EFAULT,
 *
 *   touch_iov(): reads a byte of each page, as we would have, and
 *   calls once more: what has gone is zeros now, and the rest is there.
 *
 * Once, for memory may go again and again; then the packet is dropped, and no
 * more than that: out_io_error, at a port whose peer stays connected. A stream
 * drops the batch, of which nothing was sent; if a part was, the frame at the
 * cut is completed from a copy, which our own accesses make (zeros again), and
 * the rest is touched.
 */
#include <sys/uio.h>

/* Any thread, in a batch: the n pieces are read, wherever they lie. */
void touch_iov(const struct iovec *iov, unsigned n);

#endif
