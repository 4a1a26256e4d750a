// SPDX-License-Identifier: BSD-2-Clause
// info.c - what ports and regions are like, and headers in front of packets.
#include <errno.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

static const char *const req_keys[] = {
	"name",		 "mode",       "ringid",    "flags",	"mem_id",
	"tx_rings",	 "rx_rings",   "tx_slots",  "rx_slots", "host_tx_rings",
	"host_rx_rings", "extra_bufs", "interface", "offsets",	"extmem",
	"swap",		 "netns",      NULL
};

/* The region of a request without a name; one more reference. */
static int region_only(struct nm *nm, const struct nm_req *req,
		       struct nm_mem **mem, struct glen_error *error)
{
	return nm_mem_find(nm, req->uid,
			   req->mem_id ? req->mem_id : NM_MEM_GLOBAL, mem,
			   error);
}

int nm_info(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	struct nm_mem *mem;
	struct nm_port *p;
	struct nm_req req;
	int err = nm_req_read(call, req_keys, &req, error);

	if (err)
		return err;
	if (!req.name[0]) {
		err = region_only(nm, &req, &mem, error);
		if (err)
			return err;
		call->result = json_pack("{sI si si si si si si si si}",
					 "memsize",
					 (json_int_t)nm_mem_size(mem),
					 "tx_slots", 0, "rx_slots", 0,
					 "tx_rings", 0, "rx_rings", 0,
					 "host_tx_rings", 0, "host_rx_rings", 0,
					 "mem_id", (int)mem->id, "end", 0);
		nm_mem_put(nm, mem);
		return 0;
	}
	/* All of a port is meant, wherever it is; nr_mem_id is an answer. */
	req.mode = NR_REG_ALL_NIC;
	req.mem_id = 0;
	p = nm_port_find(nm, req.name);
	err = p ? nm_port_look(nm, &req, &p, error) :
		  nm_port_get(nm, &req, &p, error);
	if (err)
		return err;
	int end = nm_pipe_end(req.name) > 0, x = end ? NMW_RX : 0;

	call->result = json_pack("{sI sI sI si si si si si}", "memsize",
				 (json_int_t)nm_mem_size(p->mem), "tx_slots",
				 (json_int_t)(end ? p->rx_slots : p->tx_slots),
				 "rx_slots",
				 (json_int_t)(end ? p->tx_slots : p->rx_slots),
				 "tx_rings", (int)p->n[NMW_TX ^ x], "rx_rings",
				 (int)p->n[NMW_RX ^ x], "host_tx_rings",
				 (int)(p->n[NMW_HOST_TX ^ x] ?: 1),
				 "host_rx_rings",
				 (int)(p->n[NMW_HOST_RX ^ x] ?: 1), "mem_id",
				 (int)p->mem->id);
	nm_port_put(p);
	return 0;
}

int nm_pools(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	uint64_t first = 0; /* window */
	struct nm_pools pools;
	struct nm_port *p;
	struct nm_req req;
	int err = nm_req_read(call, req_keys, &req, error);

	if (!err && !req.name[0])
		err = error_set(error, -EINVAL, "the name of a port is needed");
	req.mode = NR_REG_ALL_NIC;
	req.mem_id = 0;
	if (!err)
		err = nm_port_find(nm, req.name) ?
			      nm_port_look(nm, &req, &p, error) :
			      nm_port_get(nm, &req, &p, error);
	if (err)
		return err;
	pools = p->mem->pools;
	if (!pools.windows) {
		/* Each window has its own netmap_ifs and rings: the first's. */
		first = REGION_WINDOW;
		pools = (struct nm_pools){
			.if_objs = NMW_OPENS,
			.if_objsize = NMW_NIFP_SIZE,
			.ring_objs = NMW_LINES,
			.ring_objsize = sizeof(struct netmap_ring) +
					NMW_SLOTS_MAX *
						sizeof(struct netmap_slot),
		};
	}
	call->result = json_pack(
		"{sI si sI sI sI sI sI sI sI sI si}", "memsize",
		(json_int_t)nm_mem_size(p->mem), "mem_id", (int)p->mem->id,
		"if_pool_offset", (json_int_t)(first + NMW_NIFP_OFF),
		"if_pool_objtotal", (json_int_t)pools.if_objs,
		"if_pool_objsize", (json_int_t)pools.if_objsize,
		"ring_pool_offset", (json_int_t)(first + NMW_RINGS_OFF),
		"ring_pool_objtotal", (json_int_t)pools.ring_objs,
		"ring_pool_objsize", (json_int_t)pools.ring_objsize,
		"buf_pool_offset", (json_int_t)nm_mem_windows(p->mem),
		"buf_pool_objtotal", (json_int_t)p->mem->n_bufs,
		"buf_pool_objsize", (int)p->mem->buf_size);
	nm_port_put(p);
	return 0;
}

int nm_hdr_set(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = { "name", "hdr_len", NULL };
	struct nm_port *p;
	struct nm_req req;
	long len;
	int err = nm_req_read(call, keys, &req, error);

	err = err   ?:
		      params_int(call->params, "hdr_len", 0, 0, UINT32_MAX,
				 &len, error);
	if (!err && len && len != 10 && len != 12)
		err = error_set(error, -EINVAL,
				"hdr_len %ld: only 0, 10 and 12 exist", len);
	err = err ?: nm_port_look(nm, &req, &p, error);
	if (err)
		return err;
	if (p->kind == NM_VALE && p->full[0]) {
		p->hdr_len = len;
		if (p->core[0])
			netmap_port_hdr_len(p->core[0], len);
	} else {
		err = error_set(error, -ENXIO, "%s is not a port of a switch",
				p->name);
	}
	nm_port_put(p);
	call->result = json_object();
	return err;
}

int nm_hdr_get(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = { "name", NULL };
	struct nm_port *p;
	struct nm_req req;
	int err = nm_req_read(call, keys, &req, error);

	err = err ?: nm_port_look(nm, &req, &p, error);
	if (err)
		return err;
	call->result = json_pack("{si}", "hdr_len", (int)p->hdr_len);
	nm_port_put(p);
	return 0;
}
