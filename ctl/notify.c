// SPDX-License-Identifier: BSD-2-Clause
// notify.c - tells systemd how glend is.
#include "ctl/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/log.h"

void notify_send(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + len;
	int fd;

	if (!len || len >= sizeof(addr.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(addr.sun_path, path, len);
	/* '@' stands for the abstract name space; there the length counts. */
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL,
			     (void *)&addr, size) < 0)
		log_warning("cannot tell systemd: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}
