// SPDX-License-Identifier: BSD-2-Clause
// legacy.c - the requests before NIOCCTRL, as those that came after.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "netmap/preload/preload.h"

/* Which rings, from nr_flags, or from the bits that were there before it. */
static uint32_t mode_of(const struct nmreq *nmr)
{
	uint32_t mode = nmr->nr_flags & NR_REG_MASK;

	if (mode != NR_REG_DEFAULT)
		return mode;
	if (nmr->nr_ringid & NETMAP_SW_RING)
		return NR_REG_SW;
	if (nmr->nr_ringid & NETMAP_HW_RING)
		return NR_REG_ONE_NIC;
	return NR_REG_ALL_NIC;
}

static int to_register(const struct nmreq *nmr, struct nmreq_header *hdr,
		       struct nmreq_register *reg)
{
	reg->nr_offset = nmr->nr_offset;
	reg->nr_memsize = nmr->nr_memsize;
	reg->nr_tx_slots = nmr->nr_tx_slots;
	reg->nr_rx_slots = nmr->nr_rx_slots;
	reg->nr_tx_rings = nmr->nr_tx_rings;
	reg->nr_rx_rings = nmr->nr_rx_rings;
	reg->nr_mem_id = nmr->nr_arg2;
	reg->nr_ringid = nmr->nr_ringid & NETMAP_RING_MASK;
	reg->nr_mode = mode_of(nmr);
	reg->nr_extra_bufs = nmr->nr_arg3;
	reg->nr_flags = nmr->nr_flags & ~(uint32_t)NR_REG_MASK;
	if (nmr->nr_ringid & NETMAP_NO_TX_POLL)
		reg->nr_flags |= NR_NO_TX_POLL;
	if (nmr->nr_ringid & NETMAP_DO_RX_POLL)
		reg->nr_flags |= NR_DO_RX_POLL;
	if (reg->nr_mode == NR_REG_PIPE_MASTER ||
	    reg->nr_mode == NR_REG_PIPE_SLAVE) {
		char c = reg->nr_mode == NR_REG_PIPE_MASTER ? '{' : '}';
		size_t len = strlen(hdr->nr_name);

		/* Names were 15 characters then, and are 63 now. */
		snprintf(hdr->nr_name + len, sizeof(hdr->nr_name) - len, "%c%u",
			 c, reg->nr_ringid);
		reg->nr_mode = NR_REG_ALL_NIC;
		reg->nr_ringid = 0;
	}
	return 0;
}

static int to_polling(const struct nmreq *nmr, struct nmreq_vale_polling *p)
{
	switch (nmr->nr_flags & NR_REG_MASK) {
	case NR_REG_ONE_NIC:
		p->nr_mode = NETMAP_POLLING_MODE_MULTI_CPU;
		break;
	case NR_REG_ALL_NIC:
		p->nr_mode = NETMAP_POLLING_MODE_SINGLE_CPU;
		break;
	default:
		return -EINVAL;
	}
	p->nr_first_cpu_id = nmr->nr_ringid & NETMAP_RING_MASK;
	p->nr_num_polling_cpus = nmr->nr_arg1;
	return 0;
}

static int convert_regif(const struct nmreq *nmr, struct request *q)
{
	switch (nmr->nr_cmd) {
	case 0:
		q->hdr.nr_reqtype = NETMAP_REQ_REGISTER;
		return to_register(nmr, &q->hdr, &q->body.reg);
	case NETMAP_BDG_ATTACH:
		q->hdr.nr_reqtype = NETMAP_REQ_VALE_ATTACH;
		to_register(nmr, &q->hdr, &q->body.attach.reg);
		q->body.attach.reg.nr_mode = nmr->nr_arg1 & NETMAP_BDG_HOST ?
						     NR_REG_NIC_SW :
						     NR_REG_ALL_NIC;
		return 0;
	case NETMAP_BDG_DETACH:
		q->hdr.nr_reqtype = NETMAP_REQ_VALE_DETACH;
		return 0;
	case NETMAP_BDG_VNET_HDR:
	case NETMAP_VNET_HDR_GET:
		q->hdr.nr_reqtype = nmr->nr_cmd == NETMAP_BDG_VNET_HDR ?
					    NETMAP_REQ_PORT_HDR_SET :
					    NETMAP_REQ_PORT_HDR_GET;
		q->body.port_hdr.nr_hdr_len = nmr->nr_arg1;
		return 0;
	case NETMAP_BDG_NEWIF:
		q->hdr.nr_reqtype = NETMAP_REQ_VALE_NEWIF;
		q->body.newif = (struct nmreq_vale_newif){
			.nr_tx_slots = nmr->nr_tx_slots,
			.nr_rx_slots = nmr->nr_rx_slots,
			.nr_tx_rings = nmr->nr_tx_rings,
			.nr_rx_rings = nmr->nr_rx_rings,
			.nr_mem_id = nmr->nr_arg2,
		};
		return 0;
	case NETMAP_BDG_DELIF:
		q->hdr.nr_reqtype = NETMAP_REQ_VALE_DELIF;
		return 0;
	case NETMAP_BDG_POLLING_ON:
	case NETMAP_BDG_POLLING_OFF:
		q->hdr.nr_reqtype = nmr->nr_cmd == NETMAP_BDG_POLLING_ON ?
					    NETMAP_REQ_VALE_POLLING_ENABLE :
					    NETMAP_REQ_VALE_POLLING_DISABLE;
		return to_polling(nmr, &q->body.polling);
	default:
		return -EINVAL;
	}
}

static void convert_ginfo(const struct nmreq *nmr, struct request *q)
{
	if (nmr->nr_cmd == NETMAP_BDG_LIST) {
		q->hdr.nr_reqtype = NETMAP_REQ_VALE_LIST;
		q->body.list.nr_bridge_idx = nmr->nr_arg1;
		q->body.list.nr_port_idx = nmr->nr_arg2;
		return;
	}
	q->hdr.nr_reqtype = NETMAP_REQ_PORT_INFO_GET;
	q->body.info = (struct nmreq_port_info_get){
		.nr_memsize = nmr->nr_memsize,
		.nr_tx_slots = nmr->nr_tx_slots,
		.nr_rx_slots = nmr->nr_rx_slots,
		.nr_tx_rings = nmr->nr_tx_rings,
		.nr_rx_rings = nmr->nr_rx_rings,
		.nr_mem_id = nmr->nr_arg2,
	};
}

int legacy_convert(struct nmreq *nmr, unsigned long cmd, struct request *q)
{
	memset(q, 0, sizeof(*q));
	nmr->nr_name[sizeof(nmr->nr_name) - 1] = 0;
	if (nmr->nr_version < NETMAP_MIN_API)
		return -EINVAL;
	q->hdr.nr_version = NETMAP_API;
	strcpy(q->hdr.nr_name, nmr->nr_name);
	if (cmd == NIOCREGIF)
		return convert_regif(nmr, q);
	convert_ginfo(nmr, q);
	return 0;
}

static void from_register(struct nmreq *nmr, const struct nmreq_register *reg)
{
	nmr->nr_offset = (uint32_t)reg->nr_offset;
	nmr->nr_memsize = (uint32_t)reg->nr_memsize;
	nmr->nr_tx_slots = reg->nr_tx_slots;
	nmr->nr_rx_slots = reg->nr_rx_slots;
	nmr->nr_tx_rings = reg->nr_tx_rings;
	nmr->nr_rx_rings = reg->nr_rx_rings;
	nmr->nr_arg2 = reg->nr_mem_id;
	nmr->nr_arg3 = reg->nr_extra_bufs;
}

void legacy_complete(struct nmreq *nmr, const struct request *q)
{
	switch (q->hdr.nr_reqtype) {
	case NETMAP_REQ_REGISTER:
		from_register(nmr, &q->body.reg);
		break;
	case NETMAP_REQ_VALE_ATTACH:
		from_register(nmr, &q->body.attach.reg);
		break;
	case NETMAP_REQ_PORT_INFO_GET:
		nmr->nr_memsize = (uint32_t)q->body.info.nr_memsize;
		nmr->nr_tx_slots = q->body.info.nr_tx_slots;
		nmr->nr_rx_slots = q->body.info.nr_rx_slots;
		nmr->nr_tx_rings = q->body.info.nr_tx_rings;
		nmr->nr_rx_rings = q->body.info.nr_rx_rings;
		nmr->nr_arg2 = q->body.info.nr_mem_id;
		break;
	case NETMAP_REQ_VALE_LIST:
		snprintf(nmr->nr_name, sizeof(nmr->nr_name), "%.15s",
			 q->hdr.nr_name);
		nmr->nr_arg1 = q->body.list.nr_bridge_idx;
		nmr->nr_arg2 = (uint16_t)q->body.list.nr_port_idx;
		break;
	case NETMAP_REQ_PORT_HDR_SET:
	case NETMAP_REQ_PORT_HDR_GET:
		nmr->nr_arg1 = (uint16_t)q->body.port_hdr.nr_hdr_len;
		break;
	case NETMAP_REQ_VALE_NEWIF:
		nmr->nr_tx_slots = q->body.newif.nr_tx_slots;
		nmr->nr_rx_slots = q->body.newif.nr_rx_slots;
		nmr->nr_tx_rings = q->body.newif.nr_tx_rings;
		nmr->nr_rx_rings = q->body.newif.nr_rx_rings;
		nmr->nr_arg2 = q->body.newif.nr_mem_id;
		break;
	default:
		break;
	}
}

int request_legacy(struct device *d, int fd, unsigned long cmd, void *arg)
{
	struct request q;
	struct nmreq nmr;
	int err;

	err = copy_in(&nmr, (uintptr_t)arg, sizeof(nmr));
	if (err)
		return err;
	err = legacy_convert(&nmr, cmd, &q);
	if (!err)
		err = control_request(d, fd, &q);
	if (!err)
		legacy_complete(&nmr, &q);
	/* Linux copies it back after errors, too. */
	if (copy_out((uintptr_t)arg, &nmr, sizeof(nmr)) && !err)
		err = -EFAULT;
	return err;
}
