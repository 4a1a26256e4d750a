// SPDX-License-Identifier: BSD-2-Clause
// router/output.c - packets leave: to a hop, and those that the router makes.
#include <string.h>

#include "core/headers.h"
#include "nf/router/router.h"

uint32_t router_output(struct glen_nf_thread *t, struct router *r,
		       struct glen_nf_packet *p, const struct router_hop *hop,
		       const struct router_ip *dst, bool mine)
{
	const struct router_ip *next = hop->kind == ROUTER_VIA ? &hop->via :
								 dst;

	return router_resolve(t, r, p, hop->iface, next, mine);
}

void router_send(struct glen_nf_thread *t, struct glen_nf_packet *mine)
{
	if (glen_nf_send(t, mine, 1))
		return;
	glen_nf_count(t, ROUTER_C_UNSENT, 1);
	glen_nf_free(t, mine);
}

void router_send_to(struct glen_nf_thread *t, struct router *r,
		    struct glen_nf_packet *mine, const struct router_ip *dst,
		    unsigned in)
{
	const struct router_hop *hop = router_lookup(r, dst, in);

	if (!hop || hop->kind > ROUTER_VIA) {
		mine->verdict = glen_nf_drop(ROUTER_R_NO_ROUTE);
	} else {
		mine->verdict = router_output(t, r, mine, hop, dst, true);
		if (mine->verdict == GLEN_NF_KEPT)
			return;
	}
	router_send(t, mine);
}

bool router_make(struct glen_nf_thread *t, const struct router_iface *i,
		 const uint8_t *mac, unsigned type, unsigned len,
		 struct glen_nf_packet *mine)
{
	unsigned frame = len < ROUTER_FRAME_MIN ? ROUTER_FRAME_MIN : len;

	if (glen_nf_alloc(t, frame, mine)) {
		glen_nf_count(t, ROUTER_C_NO_BUFFER, 1);
		return false;
	}
	memset(mine->data, 0, frame);
	if (mac)
		memcpy(mine->data, mac, 6);
	memcpy(mine->data + 6, i->mac, 6);
	headers_put16(mine->data + 12, type);
	mine->in = (uint16_t)i->port;
	mine->verdict = glen_nf_out(i->port);
	return true;
}
