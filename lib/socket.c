// SPDX-License-Identifier: BSD-2-Clause
// socket.c - where glend's control socket is.
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "include/glen/glen.h"

const char *glen_default_socket(void)
{
	/* Longer paths are cut here and refused by rpc_open() and glend. */
	static char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 64];
	const char *env = getenv("GLEN_SOCKET");
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (env && *env)
		snprintf(path, sizeof(path), "%s", env);
	else if (geteuid() == 0)
		snprintf(path, sizeof(path), "/run/glen/glend.sock");
	else if (run && *run)
		snprintf(path, sizeof(path), "%s/glen/glend.sock", run);
	else
		snprintf(path, sizeof(path), "/tmp/glen-%u/glend.sock",
			 (unsigned)geteuid());
	return path;
}
