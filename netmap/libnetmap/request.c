// SPDX-License-Identifier: BSD-2-Clause
// request.c - nmreq: headers, lists of options, and what the device is asked.
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void nmreq_header_init(struct nmreq_header *hdr, uint16_t reqtype, void *body)
{
	memset(hdr, 0, sizeof(*hdr));
	hdr->nr_version = NETMAP_API;
	hdr->nr_reqtype = reqtype;
	hdr->nr_body = (uintptr_t)body;
}

int device_open(struct nmctx *ctx)
{
	/* Programs may count on a port that stays open across exec(). */
	int fd = open(NETMAP_DEVICE_NAME, O_RDWR);

	if (fd < 0)
		return fail(ctx, errno, "cannot open %s: %s",
			    NETMAP_DEVICE_NAME, strerror(errno));
	return fd;
}

int32_t nmreq_get_mem_id(const char **portname, struct nmctx *ctx)
{
	const char *rest = *portname;
	struct nmreq_port_info_get info;
	struct nmreq_header hdr;
	int fd, error;

	memset(&info, 0, sizeof(info));
	nmreq_header_init(&hdr, NETMAP_REQ_PORT_INFO_GET, &info);
	if (nmreq_header_decode(&rest, &hdr, ctx))
		return -1;
	fd = device_open(ctx);
	if (fd < 0)
		return -1;
	error = ioctl(fd, NIOCCTRL, &hdr) ? errno : 0;
	close(fd);
	if (error)
		return fail(ctx, error, "cannot ask for the region of '%s': %s",
			    hdr.nr_name, strerror(error));
	*portname = rest;
	return info.nr_mem_id;
}

void nmreq_push_option(struct nmreq_header *hdr, struct nmreq_option *opt)
{
	opt->nro_next = hdr->nr_options;
	hdr->nr_options = (uintptr_t)opt;
}

void nmreq_remove_option(struct nmreq_header *hdr, struct nmreq_option *opt)
{
	uint64_t *link = &hdr->nr_options;

	while (*link && *link != (uintptr_t)opt)
		link = &((struct nmreq_option *)(uintptr_t)*link)->nro_next;
	if (!*link)
		return;
	*link = opt->nro_next;
	opt->nro_next = 0;
}

struct nmreq_option *nmreq_find_option(struct nmreq_header *hdr,
				       uint32_t reqtype)
{
	struct nmreq_option *opt;

	nmreq_foreach_option(hdr, opt)
	{
		if (opt->nro_reqtype == reqtype)
			return opt;
	}
	return NULL;
}

void nmreq_free_options(struct nmreq_header *hdr)
{
	while (hdr->nr_options) {
		struct nmreq_option *opt = (void *)(uintptr_t)hdr->nr_options;

		hdr->nr_options = opt->nro_next;
		free(opt);
	}
}

const char *nmreq_option_name(uint32_t reqtype)
{
	static const char *const names[NETMAP_REQ_OPT_MAX] = {
		[NETMAP_REQ_OPT_EXTMEM] = "extmem",
		[NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS] = "sync-kloop-eventfds",
		[NETMAP_REQ_OPT_CSB] = "csb",
		[NETMAP_REQ_OPT_SYNC_KLOOP_MODE] = "sync-kloop-mode",
		[NETMAP_REQ_OPT_OFFSETS] = "offsets",
	};

	if (reqtype >= NETMAP_REQ_OPT_MAX || !names[reqtype])
		return "unknown";
	return names[reqtype];
}
