/* SPDX-License-Identifier: BSD-2-Clause */
/* notify.h - tells systemd how glend is. */
#ifndef CTL_NOTIFY_H
#define CTL_NOTIFY_H

/*
 * Sends one datagram such as "READY=1" to $NOTIFY_SOCKET, systemd's sd_notify
 * protocol. Does nothing without it. Several assignments are separated by
 * newlines.
 */
void notify_send(const char *state);

#endif
