// SPDX-License-Identifier: BSD-2-Clause
// control.c - requests of programs as calls of glend's methods.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/rpc.h"
#include "netmap/preload/preload.h"

enum {
	ANSWER_MS = 20000, /* for glend to answer */
};

__thread bool in_control_call __attribute__((tls_model("initial-exec")));

/*
 * One call on a connection of its own. Nothing stays open: programs close and
 * count descriptors as they like.
 */
int control_call(const char *method, json_t *params, const int *h,
		 json_t **result, int *fds, unsigned *n_fds)
{
	struct glen_error error;
	struct rpc r;
	int err, state;

	/* A thread that is cancelled inside would leave the socket behind. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	in_control_call = true;
	err = rpc_open(&r, NULL, 0, &error);
	if (err) {
		json_decref(params);
	} else {
		err = rpc_call(&r, method, params, h, h ? 1 : 0, result,
			       ANSWER_MS, &error);
		if (!err && fds)
			*n_fds = rpc_take_fds(&r, fds, *n_fds);
	}
	rpc_close(&r);
	in_control_call = false;
	pthread_setcancelstate(state, NULL);
	if (err)
		say("%s: %s", method, error.text);
	/* What only glend's clients know is an I/O error to a program. */
	if (err == -ENOSYS)
		return -EOPNOTSUPP;
	if (err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET ||
	    err == -EPROTO || err == -ETIMEDOUT)
		return strcmp(method, "netmap.vale_list") || err != -ENOENT ?
			       -EIO :
			       err;
	return err;
}

/*
 * Is there an interface of this name, or of what stands behind the colon of
 * valeX:name, or of a pipe's parent, where the program is? Glend may be in
 * another network namespace.
 */
static bool interface_exists(const char *name)
{
	const char *colon = strchr(name, ':'), *pipe;
	char base[IFNAMSIZ];
	size_t len;

	if (colon && !strncmp(name, NM_BDG_NAME, strlen(NM_BDG_NAME)))
		name = colon + 1;
	pipe = strrchr(name, '{');
	pipe = pipe ? pipe : strrchr(name, '}');
	len = pipe ? (size_t)(pipe - name) : strlen(name);
	/* For Linux eth0:1 is eth0. */
	if (!len || len >= sizeof(base) || memchr(name, ':', len))
		return false;
	memcpy(base, name, len);
	base[len] = 0;
	return if_nametoindex(base) != 0;
}

/* The network namespace that the program is in; 0: not known. */
static uint64_t netns_inode(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) ? 0 : st.st_ino;
}

static uint64_t number(json_t *result, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(result, key));
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *register_params(const struct request *q,
			       const struct nmreq_register *reg)
{
	const char *name = q->hdr.nr_name;

	return json_pack(
		"{s:s s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o s:o s:b s:o}",
		"name", name, "mode", integer(reg->nr_mode), "ringid",
		integer(reg->nr_ringid), "flags", integer(reg->nr_flags),
		"mem_id", integer(reg->nr_mem_id), "tx_rings",
		integer(reg->nr_tx_rings), "rx_rings",
		integer(reg->nr_rx_rings), "tx_slots",
		integer(reg->nr_tx_slots), "rx_slots",
		integer(reg->nr_rx_slots), "host_tx_rings",
		integer(reg->nr_host_tx_rings), "host_rx_rings",
		integer(reg->nr_host_rx_rings), "extra_bufs",
		integer(reg->nr_extra_bufs), "interface",
		interface_exists(name), "netns", integer(netns_inode()));
}

static void offsets_params(json_t *params, const struct nmreq_opt_offsets *o)
{
	json_object_set_new(params, "offsets",
			    json_pack("{s:o s:o s:o s:o}", "max_offset",
				      integer(o->nro_max_offset),
				      "initial_offset",
				      integer(o->nro_initial_offset),
				      "offset_bits",
				      integer(o->nro_offset_bits), "min_gap",
				      integer(o->nro_min_gap)));
}

static void extmem_params(json_t *params, const struct nmreq_opt_extmem *o,
			  uint16_t mem_id)
{
	const struct nmreq_pools_info *p = &o->nro_info;

	json_object_set_new(
		params, "extmem",
		json_pack("{s:o s:o s:o s:o s:o s:o s:o s:o}", "memsize",
			  integer(p->nr_memsize), "mem_id", integer(mem_id),
			  "if_objs", integer(p->nr_if_pool_objtotal),
			  "if_objsize", integer(p->nr_if_pool_objsize),
			  "ring_objs", integer(p->nr_ring_pool_objtotal),
			  "ring_objsize", integer(p->nr_ring_pool_objsize),
			  "buf_objs", integer(p->nr_buf_pool_objtotal),
			  "buf_objsize", integer(p->nr_buf_pool_objsize)));
}

/* The numbers of a request that has them all. */
static void register_result(struct nmreq_register *reg, json_t *r)
{
	uint16_t host_tx = (uint16_t)number(r, "n_host_tx");
	uint16_t host_rx = (uint16_t)number(r, "n_host_rx");

	reg->nr_offset = number(r, "offset");
	reg->nr_memsize = number(r, "memsize");
	reg->nr_tx_slots = (uint32_t)number(r, "tx_slots");
	reg->nr_rx_slots = (uint32_t)number(r, "rx_slots");
	reg->nr_tx_rings = (uint16_t)number(r, "n_tx");
	reg->nr_rx_rings = (uint16_t)number(r, "n_rx");
	/* The netmap_if has room for one, were it a fake. */
	reg->nr_host_tx_rings = host_tx ? host_tx : 1;
	reg->nr_host_rx_rings = host_rx ? host_rx : 1;
	reg->nr_mem_id = (uint16_t)number(r, "mem_id");
	reg->nr_extra_bufs = (uint32_t)number(r, "extra_bufs");
}

/* Where there are rings, there is one for the host, were it a fake; an empty
 * name asks for a region, which has none. */
static uint16_t host_rings(uint16_t rings, json_t *r, const char *key)
{
	uint16_t n = (uint16_t)number(r, key);

	return n || !rings ? n : 1;
}

static int request_info(struct request *q, json_t *params)
{
	struct nmreq_port_info_get *info = &q->body.info;
	json_t *r = NULL;
	int err = control_call("netmap.info", params, NULL, &r, NULL, NULL);

	if (err)
		return err;
	info->nr_memsize = number(r, "memsize");
	info->nr_tx_slots = (uint32_t)number(r, "tx_slots");
	info->nr_rx_slots = (uint32_t)number(r, "rx_slots");
	info->nr_tx_rings = (uint16_t)number(r, "tx_rings");
	info->nr_rx_rings = (uint16_t)number(r, "rx_rings");
	info->nr_host_tx_rings = host_rings(info->nr_tx_rings, r,
					    "host_tx_rings");
	info->nr_host_rx_rings = host_rings(info->nr_rx_rings, r,
					    "host_rx_rings");
	info->nr_mem_id = (uint16_t)number(r, "mem_id");
	json_decref(r);
	return 0;
}

static int get_info(struct request *q)
{
	const struct nmreq_port_info_get *info = &q->body.info;
	const struct nmreq_register reg = {
		.nr_tx_slots = info->nr_tx_slots,
		.nr_rx_slots = info->nr_rx_slots,
		.nr_tx_rings = info->nr_tx_rings,
		.nr_rx_rings = info->nr_rx_rings,
		.nr_host_tx_rings = info->nr_host_tx_rings,
		.nr_host_rx_rings = info->nr_host_rx_rings,
		.nr_mem_id = info->nr_mem_id,
		.nr_mode = NR_REG_ALL_NIC,
	};

	return request_info(q, register_params(q, &reg));
}

/*
 * An option that a REGISTER does not know makes it fail at its end: what else
 * would have failed comes first.
 */
static int refuse_register(const struct request *q)
{
	struct request probe = *q;
	int err = request_info(&probe, register_params(q, &q->body.reg));

	return err ? err : -EOPNOTSUPP;
}

/* glen-run --swap: programs of its user agree to packets that move by reference
 * between ports of one region. */
static bool swap_wanted(void)
{
	const char *value = getenv("GLEN_NETMAP_SWAP");

	return value && !strcmp(value, "1");
}

static int pools_of(const char *name, struct nmreq_pools_info *p);

/* The region goes where the program wants it, who is told its shape. */
static int place_extmem(struct device *d, struct request *q)
{
	int err = extmem_place(d, q->extmem);

	return err ? err : pools_of(q->hdr.nr_name, &q->extmem->nro_info);
}

/* A region for the program's memory, which takes over what is in that, unless
 * it is this region already: *mem_id. */
static int make_extmem(const struct request *q, int fd, uint16_t *mem_id)
{
	json_t *params = json_object(), *r = NULL;
	int bufs[1] = { -1 }, err = extmem_check(q->extmem, mem_id);
	unsigned n = 1;

	if (err) {
		json_decref(params);
		return err;
	}
	extmem_params(params, q->extmem, *mem_id);
	err = control_call("netmap.extmem", params, &fd, &r, bufs, &n);
	if (err)
		return err;
	*mem_id = (uint16_t)number(r, "mem_id");
	if (n != 1)
		err = -EPROTO;
	else if (json_is_true(json_object_get(r, "fresh")))
		err = extmem_keep(q->extmem, bufs[0], number(r, "memsize"),
				  number(r, "windows"));
	if (n == 1)
		syscall(SYS_close, bufs[0]);
	json_decref(r);
	return err;
}

/* What glend has to say of it, and the program's memory. *granted: glend has
 * made something, or may have. */
static int register_steps(struct device *d, int fd, struct request *q,
			  bool *granted)
{
	struct nmreq_register *reg = &q->body.reg;
	json_t *params, *result = NULL;
	int fds[2] = { -1, -1 }, err;
	unsigned n_fds = 2;
	uint16_t mem_id = 0;

	err = q->extmem ? make_extmem(q, fd, &mem_id) : 0;
	*granted = q->extmem && mem_id;
	if (err)
		return err;
	params = register_params(q, reg);
	if (q->offsets)
		offsets_params(params, q->offsets);
	if (q->extmem)
		extmem_params(params, q->extmem, mem_id);
	if (swap_wanted())
		json_object_set_new(params, "swap", json_true());
	err = control_call("netmap.register", params, &fd, &result, fds,
			   &n_fds);
	*granted |= !err || err == -EIO;
	if (err) {
		if (q->offsets && !q->extmem)
			q->offsets->nro_opt.nro_status = (uint32_t)-err;
		return err;
	}
	err = device_set_up(d, result, fds, n_fds);
	if (!err && q->extmem)
		err = place_extmem(d, q);
	if (!err)
		register_result(reg, result);
	json_decref(result);
	return err;
}

static int register_port(struct device *d, int fd, struct request *q)
{
	struct nmreq_register *reg = &q->body.reg;
	bool granted;
	int err;

	/* Glend says the same of what another process bound. */
	if (is_bound(d))
		return -EBUSY;
	if (q->odd)
		return refuse_register(q);
	err = q->csb ? csb_wish_ok(q->csb, reg->nr_flags) : 0;
	err = err ? err : device_begin(d);
	if (err)
		return err;
	err = register_steps(d, fd, q, &granted);
	if (err && q->extmem)
		q->extmem->nro_opt.nro_status = (uint32_t)-err;
	if (!err && q->csb)
		err = csb_set_up(d, q->csb);
	device_end(d, !err);
	/* Nothing is left of it: the descriptor is unbound. */
	if (err && granted)
		control_call("netmap.unregister", NULL, &fd, NULL, NULL, NULL);
	return err;
}

static int vale_attach(struct request *q)
{
	struct nmreq_vale_attach *a = &q->body.attach;
	json_t *r = NULL;
	int err;

	err = control_call("netmap.vale_attach",
			   json_pack("{s:s s:o s:o s:o s:o s:b s:o}", "name",
				     q->hdr.nr_name, "mode",
				     integer(a->reg.nr_mode), "ringid",
				     integer(a->reg.nr_ringid), "mem_id",
				     integer(a->reg.nr_mem_id), "flags",
				     integer(a->reg.nr_flags), "interface",
				     interface_exists(q->hdr.nr_name), "netns",
				     integer(netns_inode())),
			   NULL, &r, NULL, NULL);
	if (err)
		return err;
	/* As netmap, without the number of the region. */
	a->port_index = (uint32_t)number(r, "port_index");
	json_decref(r);
	return 0;
}

/* Calls a method that takes the name, and what pack made, which is taken. */
static int call_named(const char *method, const struct request *q,
		      json_t *params, json_t **result)
{
	json_object_set_new(params, "name", json_string(q->hdr.nr_name));
	return control_call(method, params, NULL, result, NULL, NULL);
}

static int vale_list(struct request *q)
{
	struct nmreq_vale_list *l = &q->body.list;
	const char *name;
	json_t *r = NULL;
	int err;

	err = call_named("netmap.vale_list", q,
			 json_pack("{s:o s:o}", "bridge_idx",
				   integer(l->nr_bridge_idx), "port_idx",
				   integer(l->nr_port_idx)),
			 &r);
	if (err)
		return err;
	name = json_string_value(json_object_get(r, "name"));
	snprintf(q->hdr.nr_name, sizeof(q->hdr.nr_name), "%s",
		 name ? name : "");
	l->nr_bridge_idx = (uint16_t)number(r, "bridge_idx");
	l->nr_port_idx = (uint32_t)number(r, "port_idx");
	json_decref(r);
	return 0;
}

static int vale_newif(struct request *q)
{
	struct nmreq_vale_newif *n = &q->body.newif;
	json_t *r = NULL;
	int err;

	err = call_named("netmap.vale_newif", q,
			 json_pack("{s:o s:o s:o s:o s:o s:b}", "tx_slots",
				   integer(n->nr_tx_slots), "rx_slots",
				   integer(n->nr_rx_slots), "tx_rings",
				   integer(n->nr_tx_rings), "rx_rings",
				   integer(n->nr_rx_rings), "mem_id",
				   integer(n->nr_mem_id), "interface",
				   interface_exists(q->hdr.nr_name)),
			 &r);
	if (err)
		return err;
	n->nr_tx_slots = (uint32_t)number(r, "tx_slots");
	n->nr_rx_slots = (uint32_t)number(r, "rx_slots");
	n->nr_tx_rings = (uint16_t)number(r, "tx_rings");
	n->nr_rx_rings = (uint16_t)number(r, "rx_rings");
	n->nr_mem_id = (uint16_t)number(r, "mem_id");
	json_decref(r);
	return 0;
}

static int pools_of(const char *name, struct nmreq_pools_info *p)
{
	json_t *r = NULL;
	int err = control_call("netmap.pools", json_pack("{s:s}", "name", name),
			       NULL, &r, NULL, NULL);

	if (err)
		return err;
	p->nr_memsize = number(r, "memsize");
	p->nr_mem_id = (uint16_t)number(r, "mem_id");
	p->nr_if_pool_offset = number(r, "if_pool_offset");
	p->nr_if_pool_objtotal = (uint32_t)number(r, "if_pool_objtotal");
	p->nr_if_pool_objsize = (uint32_t)number(r, "if_pool_objsize");
	p->nr_ring_pool_offset = number(r, "ring_pool_offset");
	p->nr_ring_pool_objtotal = (uint32_t)number(r, "ring_pool_objtotal");
	p->nr_ring_pool_objsize = (uint32_t)number(r, "ring_pool_objsize");
	p->nr_buf_pool_offset = number(r, "buf_pool_offset");
	p->nr_buf_pool_objtotal = (uint32_t)number(r, "buf_pool_objtotal");
	p->nr_buf_pool_objsize = (uint32_t)number(r, "buf_pool_objsize");
	json_decref(r);
	return 0;
}

static int polling(struct request *q, bool enable)
{
	const struct nmreq_vale_polling *p = &q->body.polling;

	return call_named("netmap.vale_polling", q,
			  json_pack("{s:b s:o s:o s:o}", "enable", enable,
				    "mode", integer(p->nr_mode), "first_cpu_id",
				    integer(p->nr_first_cpu_id),
				    "num_polling_cpus",
				    integer(p->nr_num_polling_cpus)),
			  NULL);
}

static int port_hdr_get(struct request *q)
{
	json_t *r = NULL;
	int err = call_named("netmap.port_hdr_get", q, json_object(), &r);

	if (err)
		return err;
	q->body.port_hdr.nr_hdr_len = (uint32_t)number(r, "hdr_len");
	json_decref(r);
	return 0;
}

static int vale_detach(struct request *q)
{
	json_t *r = NULL;
	int err = call_named("netmap.vale_detach", q, json_object(), &r);

	if (err)
		return err;
	q->body.detach.port_index = (uint32_t)number(r, "port_index");
	json_decref(r);
	return 0;
}

/* Requests that change something: an option that they do not know comes first,
 * for nothing could be undone. */
static int change(struct device *d, int fd, struct request *q)
{
	if (q->odd)
		return -EOPNOTSUPP;
	switch (q->hdr.nr_reqtype) {
	case NETMAP_REQ_VALE_ATTACH:
		return vale_attach(q);
	case NETMAP_REQ_VALE_DETACH:
		return vale_detach(q);
	case NETMAP_REQ_PORT_HDR_SET:
		return call_named(
			"netmap.port_hdr_set", q,
			json_pack("{s:o}", "hdr_len",
				  integer(q->body.port_hdr.nr_hdr_len)),
			NULL);
	case NETMAP_REQ_VALE_NEWIF:
		return vale_newif(q);
	case NETMAP_REQ_VALE_DELIF:
		return call_named("netmap.vale_delif", q,
				  json_pack("{s:b}", "interface",
					    interface_exists(q->hdr.nr_name)),
				  NULL);
	case NETMAP_REQ_VALE_POLLING_ENABLE:
	case NETMAP_REQ_VALE_POLLING_DISABLE:
		return polling(q, q->hdr.nr_reqtype ==
					  NETMAP_REQ_VALE_POLLING_ENABLE);
	case NETMAP_REQ_CSB_ENABLE:
		if (!q->csb)
			return -EINVAL;
		return csb_enable(d, fd, q->csb);
	case NETMAP_REQ_SYNC_KLOOP_START:
		return kloop_start(d, fd, q);
	case NETMAP_REQ_SYNC_KLOOP_STOP:
		return kloop_stop(d, fd);
	default:
		return -EINVAL;
	}
}

/* What is said to glend is UTF-8; no port has another name. */
static bool is_text(const char *name)
{
	json_t *string = json_string(name);

	json_decref(string);
	return string;
}

int control_request(struct device *d, int fd, struct request *q)
{
	int err;

	if (!is_text(q->hdr.nr_name))
		return -ENXIO;
	switch (q->hdr.nr_reqtype) {
	case NETMAP_REQ_REGISTER:
		return register_port(d, fd, q);
	case NETMAP_REQ_PORT_INFO_GET:
		err = get_info(q);
		break;
	case NETMAP_REQ_VALE_LIST:
		err = vale_list(q);
		break;
	case NETMAP_REQ_PORT_HDR_GET:
		err = port_hdr_get(q);
		break;
	case NETMAP_REQ_POOLS_INFO_GET:
		err = pools_of(q->hdr.nr_name, &q->body.pools);
		break;
	default:
		return change(d, fd, q);
	}
	return !err && q->odd ? -EOPNOTSUPP : err;
}
