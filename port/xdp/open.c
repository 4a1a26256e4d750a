// SPDX-License-Identifier: BSD-2-Clause
// open.c - makes and shows AF_XDP ports.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/offload.h"
#include "core/worker.h"
#include "lib/error.h"
#include "port/xdp/xdp.h"

extern ISA_DECLARE(const struct port_hot, xdp_hot);

enum { BUSY_POLL_MAX = 1024 };

/* The index of text among words, NULL meaning the first; or -EINVAL. */
static int choose(json_t *params, const char *key, const char *const *words,
		  int *value, struct glen_error *error)
{
	const char *text;
	int err = params_str(params, key, &text, error);

	*value = 0;
	if (err || !text)
		return err;
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], text)) {
			*value = i;
			return 0;
		}
	return error_set(error, -EINVAL, "%s \"%.20s\": there is %s, %s and %s",
			 key, text, words[0], words[1], words[2]);
}

static const char *const modes[] = { "auto", "native", "generic", NULL };
static const char *const zcs[] = { "auto", "require", "never", NULL };
static const char *const csums[] = { "auto", "fill", "keep", NULL };

static int words_read(json_t *params, struct xdp_config *o,
		      struct glen_error *error)
{
	int mode, zc, csum;
	int err = choose(params, "mode", modes, &mode, error);

	err = err ?: choose(params, "zero_copy", zcs, &zc, error);
	err = err ?: choose(params, "checksums", csums, &csum, error);
	if (err)
		return err;
	o->mode = mode;
	o->zero_copy = zc;
	o->csum = csum;
	if (o->mode == XDP_MODE_GENERIC && o->zero_copy == XDP_ZC_ON)
		return error_set(error, -EINVAL,
				 "zero_copy=require needs native mode");
	return 0;
}

/* With its host's side the port has all that the interface receives. */
static int host_read(json_t *params, struct xdp_config *o,
		     struct glen_error *error)
{
	int err = params_bool(params, "host", false, &o->host, error);

	if (err || !o->host)
		return err;
	if (o->filter)
		return error_set(error, -EINVAL,
				 "filter leaves packets to the host, and "
				 "host=true takes all of them: use one of "
				 "them");
	return 0;
}

static int ring_read(json_t *params, struct xdp_config *o,
		     struct glen_error *error)
{
	long ring;
	int err = params_int(params, "ring", XDP_RING_DEFAULT, XDP_RING_MIN,
			     XDP_RING_MAX, &ring, error);

	if (err)
		return err;
	if (ring & (ring - 1))
		return error_set(error, -EINVAL,
				 "ring must be a power of 2, not %ld", ring);
	o->ring_size = ring;
	return 0;
}

static int filter_read(json_t *params, struct xdp_config *o,
		       struct glen_error *error)
{
	const char *filter;
	int err = params_str(params, "filter", &filter, error);

	if (err || !filter || !*filter)
		return err;
	err = xdp_filter_check(filter, error);
	if (err)
		return err;
	o->filter = strdup(filter);
	return o->filter ? 0 : error_set(error, -ENOMEM, "out of memory");
}

static int region_options(json_t *params, struct xdp_config *o,
			  struct glen_error *error)
{
	struct region_wish wish = { 0 };
	int err = region_read(params, &wish, error);

	err = err ?: params_bool(params, "swap", false, &o->swap, error);
	if (!err && o->swap && !wish.name)
		err = error_set(error, -EINVAL,
				"swap=true means nothing without region=NAME");
	if (err || !wish.name)
		return err;
	if (!wish.token)
		return error_set(error, -EINVAL,
				 "region_token is missing: the one that region "
				 "%s has, or is to have; without it no other "
				 "port could join",
				 wish.name);
	o->region = strdup(wish.name);
	o->region_token = strdup(wish.token);
	o->region_bufs = wish.n_bufs;
	if (o->region && o->region_token)
		return 0;
	return error_set(error, -ENOMEM, "out of memory");
}

static int options_read(struct port *port, json_t *params, struct xdp *x,
			struct glen_error *error)
{
	static const char *const known[] = {
		"ifname",      "netns",	    "queues", "mode",
		"zero_copy",   "filter",    "ring",   "checksums",
		"promisc",     "busy_poll", "region", "region_token",
		"region_bufs", "swap",	    "host",   NULL
	};
	struct xdp_config *o = &x->options;
	const char *ifname = NULL;
	long queues = 0, busy = 0;
	int err = params_check(params, known, error);

	err = err ?: params_str(params, "ifname", &ifname, error);
	ifname = ifname ? ifname : port->name;
	err = err ?: netdev_name_check(ifname, error);
	err = err ?: netns_read(params, &x->netns, error);
	err = err   ?:
		      params_int(params, "queues", 0, 0, XDP_QUEUES_MAX,
				 &queues, error);
	err = err   ?:
		      params_int(params, "busy_poll", 0, 0, BUSY_POLL_MAX,
				 &busy, error);
	err = err ?: params_bool(params, "promisc", true, &o->promisc, error);
	err = err ?: words_read(params, o, error);
	err = err ?: ring_read(params, o, error);
	err = err ?: filter_read(params, o, error);
	err = err ?: region_options(params, o, error);
	err = err ?: host_read(params, o, error);
	if (err)
		return err;
	strncpy(o->ifname, ifname, IFNAMSIZ - 1);
	o->queues = queues;
	o->busy_poll = busy;
	return 0;
}

static void xdp_free(struct xdp *x)
{
	region_leave(&x->member);
	free(x->options.filter);
	free(x->options.region);
	free(x->options.region_token);
	free(x);
}

static void port_fill(struct port *port, struct xdp *x)
{
	for (unsigned i = 0; i < x->n_queues; i++) {
		port->in[i].drv = &x->queues[i];
		port->in[i].in_fd = -1;
		port->out[i].drv = &x->queues[i];
	}
	port->n_in = port->n_out = x->n_queues;
	port->caps = OFFLOAD_CAP_CSUM; /* tx() computes them */
}

/* Rings for a port that has yet to see its interface. */
static unsigned queues_expected(const struct xdp *x,
				const struct xdp_saved *saved)
{
	if (x->options.queues)
		return x->options.queues;
	if (saved && saved->n_queues && saved->n_queues <= XDP_QUEUES_MAX)
		return saved->n_queues;
	return 1;
}

static const char mac_zero[6];

/* An interface has its own MAC, which is the port's. */
static int mac_take(struct port *port, const struct xdp *x,
		    struct glen_error *error)
{
	const uint8_t *mac = x->link.mac;

	if (!x->attached || !memcmp(port->mac, mac, 6))
		return 0;
	if (memcmp(port->mac, mac_zero, 6))
		return error_set(error, -EINVAL,
				 "mac: %s has %02x:%02x:%02x:%02x:%02x:%02x; "
				 "ip link set changes it",
				 x->link.ifname, mac[0], mac[1], mac[2], mac[3],
				 mac[4], mac[5]);
	memcpy(port->mac, mac, 6);
	return 0;
}

static int xdp_open(struct port *port, struct port_args *args,
		    struct glen_error *error)
{
	size_t size = (sizeof(struct xdp) + 63) & ~(size_t)63;
	struct xdp *x = aligned_alloc(64, size);
	struct xdp_saved *saved = args->saved;
	int err;

	if (!x)
		return error_set(error, -ENOMEM, "out of memory");
	memset(x, 0, size);
	x->port = port;
	for (unsigned i = 0; i < XDP_QUEUES_MAX; i++)
		x->queues[i] = (struct xdp_queue){ .port = port,
						   .link = &x->up };
	err = options_read(port, args->params, x, error);
	if (err) {
		xdp_free(x);
		return err;
	}
	port->starts_rings = true;
	x->saved = saved;
	if (args->resume && saved && saved->others)
		x->region_since_s = (int64_t)(worker_clock() / 1000000000);
	err = xdp_attach_open(x, args->resume && !x->options.host, error);
	err = err ?: mac_take(port, x, error);
	if (err) {
		xdp_attach_close(x);
		xdp_free(x);
		return err;
	}
	if (!x->n_queues)
		x->n_queues = queues_expected(x, args->resume ? saved : NULL);
	if (saved)
		saved->n_queues = x->n_queues;
	port_fill(port, x);
	port->drv = x;
	return 0;
}

/* The host's side, if there is one, has stopped: the wire is the host's again,
 * before what came in until now is taken to the switch. */
static void xdp_stop(struct port *port)
{
	struct xdp *x = port->drv;

	xdp_prog_close(&x->prog);
}

static void xdp_close(struct port *port)
{
	struct xdp *x = port->drv;

	xdp_attach_close(x);
	xdp_free(x);
	port->drv = NULL;
}

/* Only what the core did already, with mtu and isolated. */
static int xdp_set(struct port *port, json_t *params, struct glen_error *error)
{
	if (json_object_size(params))
		return error_set(error, -EINVAL,
				 "%.64s of an xdp port cannot be changed: "
				 "delete the port and add it again",
				 json_object_iter_key(
					 json_object_iter(params)));
	return mac_take(port, port->drv, error);
}

static json_t *kernel_show(const struct xdp *x)
{
	struct xdp_statistics sum = { 0 }, one;

	for (unsigned i = 0; i < x->n_queues; i++) {
		struct xdp_sock *s = atomic_load(&x->queues[i].sock);

		if (!s || xdp_sock_statistics(s, &one))
			continue;
		sum.rx_dropped += one.rx_dropped;
		sum.rx_ring_full += one.rx_ring_full;
		sum.rx_fill_ring_empty_descs += one.rx_fill_ring_empty_descs;
		sum.rx_invalid_descs += one.rx_invalid_descs;
		sum.tx_invalid_descs += one.tx_invalid_descs;
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "rx_dropped",
			 (json_int_t)sum.rx_dropped, "rx_ring_full",
			 (json_int_t)sum.rx_ring_full, "rx_fill_ring_empty",
			 (json_int_t)sum.rx_fill_ring_empty_descs, "rx_invalid",
			 (json_int_t)sum.rx_invalid_descs, "tx_invalid",
			 (json_int_t)sum.tx_invalid_descs);
}

static void attached_show(const struct xdp *x, json_t *o)
{
	const struct xdp_link *l = &x->link;

	json_object_set_new(o, "ifname", json_string(l->ifname));
	json_object_set_new(o, "mode",
			    json_string(x->prog.generic ? "generic" :
							  "native"));
	json_object_set_new(o, "zero_copy", json_boolean(x->zero_copy));
	json_object_set_new(o, "nic_driver", json_string(l->driver));
	json_object_set_new(o, "nic_mtu", json_integer(l->mtu));
	json_object_set_new(o, "nic_queues", json_integer(l->n_rx));
	json_object_set_new(o, "frame_size", json_integer(x->frame_size));
	json_object_set_new(o, "multi_frame", json_boolean(x->multi));
	json_object_set_new(o, "checksums",
			    json_string(x->fill_csum ? "fill" : "keep"));
	json_object_set_new(o, "outside_tags", json_boolean(x->prog.tags));
	if (x->note[0])
		json_object_set_new(o, "not_native", json_string(x->note));
	json_object_set_new(o, "kernel", kernel_show(x));
}

static void xdp_show(struct port *port, json_t *o)
{
	const struct xdp *x = port->drv;

	json_object_set_new(o, "ifname", json_string(x->options.ifname));
	if (x->netns.text[0])
		json_object_set_new(o, "netns", json_string(x->netns.text));
	json_object_set_new(o, "queues", json_integer(x->n_queues));
	json_object_set_new(o, "state",
			    json_string(x->attached ? "attached" : "waiting"));
	if (x->options.filter)
		json_object_set_new(o, "filter",
				    json_string(x->options.filter));
	if (x->options.busy_poll)
		json_object_set_new(o, "busy_poll",
				    json_integer(x->options.busy_poll));
	json_object_set_new(o, "host", json_boolean(x->options.host));
	if (x->options.region)
		json_object_set_new(o, "region",
				    json_string(x->options.region));
	if (x->options.region)
		json_object_set_new(o, "swap", json_boolean(x->options.swap));
	if (x->attached)
		attached_show(x, o);
	else
		json_object_set_new(o, "last_error", json_string(x->why));
}

static bool xdp_is_up(struct port *port)
{
	struct xdp *x = port->drv;

	return atomic_load_explicit(&x->up, memory_order_relaxed);
}

const struct port_ops xdp_port_ops = {
	.name = "xdp",
	.summary = "a network interface of the host, by AF_XDP",
	.options =
		"ifname=NAME     the interface (the port's name)\n"
		"netns=NAME      in this namespace, as in ip netns\n"
		"queues=N        the first N receive queues, 1..16 (all)\n"
		"mode=MODE       native: in the driver; generic: any driver; "
		"auto: what there is (auto)\n"
		"zero_copy=WHEN  require, never, or auto: where the driver can "
		"(auto)\n"
		"filter=EXPR     only packets that match, see pcap-filter(7), "
		"the rest goes to the host (all)\n"
		"checksums=HOW   fill: complete those that local senders left "
		"to the interface; keep; auto: fill unless it is a card "
		"(auto)\n"
		"host=BOOL       adds the host's side as a second port NAME^ "
		"(false)\n"
		"promisc=BOOL    packets for any address (true)\n"
		"ring=N          packets each way and queue, a power of 2, "
		"256..16384 (2048)\n"
		"region=NAME     its memory is this region's, shared with other "
		"ports (none)\n"
		"region_token=TEXT 32 hex digits; region_bufs=N if it makes "
		"the region\n"
		"swap=BOOL       what programs in the region send leaves from "
		"where it lies; they can change it until then (false)\n"
		"busy_poll=N     the worker runs the driver, N packets at a "
		"time; 0: interrupts do (0)\n",
	.host_side = "host",
	.open = xdp_open,
	.stop = xdp_stop,
	.close = xdp_close,
	.set = xdp_set,
	.show = xdp_show,
	.tick = xdp_tick,
	.link = xdp_is_up,
	.hot = ISA_TABLE_PTR(xdp_hot),
};
