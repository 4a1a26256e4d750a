// SPDX-License-Identifier: BSD-2-Clause
// request.c - methods netmap.*: what they say, and who answers.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

/* Option OFFSETS. */
static int read_offsets(json_t *o, struct nm_req *req, struct glen_error *error)
{
	static const char *const keys[] = { "max_offset", "initial_offset",
					    "offset_bits", "min_gap", NULL };
	long max = 0, first = 0, bits = 0, gap = 0;
	int err;

	if (!o || json_is_null(o))
		return 0;
	err = params_check(o, keys, error);
	err = err   ?:
		      params_int(o, "max_offset", 0, 0, GLEN_BUF_MAX, &max,
				 error);
	err = err ?: params_int(o, "initial_offset", 0, 0, max, &first, error);
	err = err ?: params_int(o, "offset_bits", 0, 0, 64, &bits, error);
	err = err ?: params_int(o, "min_gap", 0, 0, GLEN_BUF_MAX, &gap, error);
	if (!err && bits && bits < 32 && max >> bits)
		err = error_set(error, -EINVAL,
				"an offset of %ld does not fit %ld bits", max,
				bits);
	req->offsets = true;
	req->offset_max = max;
	req->offset_first = first;
	req->offset_bits = bits;
	req->offset_gap = gap;
	return err;
}

int nm_req_read(const struct nm_call *call, const char *const *keys,
		struct nm_req *req, struct glen_error *error)
{
	static const char *const rings[NMW_KINDS] = {
		"tx_rings", "host_tx_rings", "rx_rings", "host_rx_rings"
	};
	const char *name = NULL;
	json_t *p = call->params;
	long mode = 0, ringid = 0, flags = 0, mem_id = 0, extra = 0;
	long tx = 0, rx = 0, netns = 0, n;
	int err = params_check(p, keys, error);

	memset(req, 0, sizeof(*req));
	req->uid = call->uid;
	req->pid = call->pid;
	err = err ?: params_str(p, "name", &name, error);
	err = err ?: params_int(p, "mode", 0, 0, UINT32_MAX, &mode, error);
	err = err ?: params_int(p, "ringid", 0, 0, UINT16_MAX, &ringid, error);
	err = err ?: params_int(p, "flags", 0, 0, INT64_MAX, &flags, error);
	err = err ?: params_int(p, "mem_id", 0, 0, UINT16_MAX, &mem_id, error);
	err = err   ?:
		      params_int(p, "extra_bufs", 0, 0, UINT32_MAX, &extra,
				 error);
	err = err ?: params_int(p, "tx_slots", 0, 0, UINT32_MAX, &tx, error);
	err = err ?: params_int(p, "rx_slots", 0, 0, UINT32_MAX, &rx, error);
	for (unsigned k = 0; k < NMW_KINDS && !err; k++) {
		err = params_int(p, rings[k], 0, 0, UINT16_MAX, &n, error);
		req->n[k] = err ? 0 : n;
	}
	err = err ?: params_bool(p, "interface", false, &req->interface, error);
	err = err ?: params_int(p, "netns", 0, 0, INT64_MAX, &netns, error);
	err = err ?: params_bool(p, "swap", false, &req->swap, error);
	if (err)
		return err;
	if (name && strlen(name) >= sizeof(req->name))
		return error_set(error, -EINVAL,
				 "name '%.16s...' is longer than %zu "
				 "characters",
				 name, sizeof(req->name) - 1);
	strcpy(req->name, name ? name : "");
	req->netns = netns;
	req->mode = mode;
	req->ringid = ringid;
	req->flags = flags;
	req->mem_id = mem_id;
	req->extra_bufs = extra;
	req->tx_slots = tx;
	req->rx_slots = rx;
	req->extmem = json_object_get(p, "extmem");
	if (req->extmem)
		err = nm_external_read(json_object_get(p, "extmem"),
				       &req->pools, error);
	if (err)
		return err;
	return read_offsets(json_object_get(p, "offsets"), req, error);
}

static const struct {
	const char *name;
	int (*run)(struct nm *nm, struct nm_call *call,
		   struct glen_error *error);
} methods[] = {
	{ "netmap.open", nm_open_make },
	{ "netmap.extmem", nm_external_make },
	{ "netmap.register", nm_register },
	{ "netmap.unregister", nm_unregister },
	{ "netmap.attach", nm_attach },
	{ "netmap.info", nm_info },
	{ "netmap.pools", nm_pools },
	{ "netmap.port_hdr_set", nm_hdr_set },
	{ "netmap.port_hdr_get", nm_hdr_get },
	{ "netmap.vale_list", nm_vale_list },
	{ "netmap.vale_newif", nm_vale_newif },
	{ "netmap.vale_delif", nm_vale_delif },
	{ "netmap.vale_attach", nm_vale_attach },
	{ "netmap.vale_detach", nm_vale_detach },
	{ "netmap.vale_polling", nm_vale_polling },
};

/* What hung up before a request came is closed before it is answered: whoever
 * closed a port and opens it again gets a new one. */
static void reap(struct nm *nm)
{
	unsigned before;

	do {
		before = nm->n_closed;
		loop_turn(&nm->loop, 0);
	} while (nm->n_closed != before);
}

static void on_loop(void *arg, uint32_t events)
{
	struct nm *nm = arg;

	loop_turn(&nm->loop, 0);
}

int nm_request(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	reap(nm);
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		int err;

		if (strcmp(methods[i].name, call->method))
			continue;
		err = methods[i].run(nm, call, error);
		if (!err && !call->result)
			err = error_set(error, -ENOMEM, "out of memory");
		if (err) {
			json_decref(call->result);
			call->result = NULL;
		}
		return err;
	}
	return -ENOSYS;
}

struct nm *nm_create(struct control *control, struct loop *loop,
		     struct discard *bin)
{
	struct nm *nm = calloc(1, sizeof(*nm));

	if (!nm)
		return NULL;
	if (loop_init(&nm->loop)) {
		free(nm);
		return NULL;
	}
	nm->source = (struct loop_source){ nm->loop.fd, on_loop, nm };
	if (loop_add(loop, &nm->source, EPOLLIN)) {
		loop_fini(&nm->loop);
		free(nm);
		return NULL;
	}
	nm->control = control;
	nm->main = loop;
	nm->bin = bin;
	while (getrandom(&nm->nonce, sizeof(nm->nonce), 0) !=
	       (ssize_t)sizeof(nm->nonce))
		;
	return nm;
}

void nm_destroy(struct nm *nm)
{
	if (!nm)
		return;
	while (nm->opens)
		nm_open_close(nm->opens);
	nm_vale_forget(nm);
	loop_del(nm->main, &nm->source);
	loop_fini(&nm->loop);
	free(nm);
}
