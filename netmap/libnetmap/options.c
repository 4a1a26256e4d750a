// SPDX-License-Identifier: BSD-2-Clause
// options.c - the options of specifications: share, conf, extmem, offset.
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A key's value, at most max, if it was given; else *number stays. */
static int get_number(const struct nmreq_parse_ctx *parse, int id,
		      const char *key, uint64_t max, uint64_t *number)
{
	const char *text = parse->keys[id];
	uint64_t n;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno || n > max)
		return fail(parse->ctx, EINVAL,
			    "%s: '%s' is no number from 0 to %" PRIu64, key,
			    text, max);
	*number = n;
	return 0;
}

static int parse_share(struct nmreq_parse_ctx *parse)
{
	struct nmport_d *d = parse->token;
	const char *port = parse->keys[0];
	int32_t mem_id = nmreq_get_mem_id(&port, parse->ctx);

	if (mem_id < 0)
		return -1;
	if (*port)
		return fail(parse->ctx, EINVAL,
			    "option share: '%s' follows the port's name", port);
	if (d->reg.nr_mem_id && d->reg.nr_mem_id != mem_id)
		return fail(parse->ctx, EINVAL,
			    "option share: '%s' is in region %d, but region %u "
			    "is given, too",
			    parse->keys[0], mem_id, d->reg.nr_mem_id);
	d->reg.nr_mem_id = (uint16_t)mem_id;
	return 0;
}

static struct nmreq_opt_parser share = {
	.prefix = "share",
	.parse = parse_share,
	.default_key = 0,
	.nr_keys = 1,
	.keys = { { "port", 0, NMREQ_OPTK_DEFAULT | NMREQ_OPTK_MUSTSET } },
};

/* Ids of conf's keys. */
enum {
	CONF_RINGS,
	CONF_TX_RINGS,
	CONF_RX_RINGS,
	CONF_HOST_RINGS,
	CONF_HOST_TX_RINGS,
	CONF_HOST_RX_RINGS,
	CONF_SLOTS,
	CONF_TX_SLOTS,
	CONF_RX_SLOTS,
};

/* What id says, or else what the key for both directions says. */
static int get_conf(const struct nmreq_parse_ctx *parse, int id, int both,
		    const char *key, uint64_t max, uint64_t *number)
{
	*number = 0;
	return get_number(parse, parse->keys[id] ? id : both, key, max, number);
}

static int parse_conf(struct nmreq_parse_ctx *parse)
{
	struct nmreq_register *reg = &((struct nmport_d *)parse->token)->reg;
	uint64_t tx, rx, host_tx, host_rx, tx_slots, rx_slots;

	if (get_conf(parse, CONF_TX_RINGS, CONF_RINGS, "tx-rings", UINT16_MAX,
		     &tx) ||
	    get_conf(parse, CONF_RX_RINGS, CONF_RINGS, "rx-rings", UINT16_MAX,
		     &rx) ||
	    get_conf(parse, CONF_HOST_TX_RINGS, CONF_HOST_RINGS,
		     "host-tx-rings", UINT16_MAX, &host_tx) ||
	    get_conf(parse, CONF_HOST_RX_RINGS, CONF_HOST_RINGS,
		     "host-rx-rings", UINT16_MAX, &host_rx) ||
	    get_conf(parse, CONF_TX_SLOTS, CONF_SLOTS, "tx-slots", UINT32_MAX,
		     &tx_slots) ||
	    get_conf(parse, CONF_RX_SLOTS, CONF_SLOTS, "rx-slots", UINT32_MAX,
		     &rx_slots))
		return -1;
	reg->nr_tx_rings = (uint16_t)tx;
	reg->nr_rx_rings = (uint16_t)rx;
	reg->nr_host_tx_rings = (uint16_t)host_tx;
	reg->nr_host_rx_rings = (uint16_t)host_rx;
	reg->nr_tx_slots = (uint32_t)tx_slots;
	reg->nr_rx_slots = (uint32_t)rx_slots;
	return 0;
}

static struct nmreq_opt_parser conf = {
	.prefix = "conf",
	.parse = parse_conf,
	.default_key = CONF_RINGS,
	.nr_keys = 9,
	.next = &share,
	.keys = {
		{ "rings", CONF_RINGS, NMREQ_OPTK_DEFAULT },
		{ "tx-rings", CONF_TX_RINGS, 0 },
		{ "rx-rings", CONF_RX_RINGS, 0 },
		{ "host-rings", CONF_HOST_RINGS, 0 },
		{ "host-tx-rings", CONF_HOST_TX_RINGS, 0 },
		{ "host-rx-rings", CONF_HOST_RX_RINGS, 0 },
		{ "slots", CONF_SLOTS, 0 },
		{ "tx-slots", CONF_TX_SLOTS, 0 },
		{ "rx-slots", CONF_RX_SLOTS, 0 },
	},
};

/* Ids of extmem's keys. */
enum {
	EXTMEM_FILE,
	EXTMEM_IF_NUM,
	EXTMEM_IF_SIZE,
	EXTMEM_RING_NUM,
	EXTMEM_RING_SIZE,
	EXTMEM_BUF_NUM,
	EXTMEM_BUF_SIZE,
};

static int parse_extmem(struct nmreq_parse_ctx *parse)
{
	static const char *const names[] = {
		[EXTMEM_IF_NUM] = "if-num",
		[EXTMEM_IF_SIZE] = "if-size",
		[EXTMEM_RING_NUM] = "ring-num",
		[EXTMEM_RING_SIZE] = "ring-size",
		[EXTMEM_BUF_NUM] = "buf-num",
		[EXTMEM_BUF_SIZE] = "buf-size",
	};
	uint64_t values[EXTMEM_BUF_SIZE + 1] = { 0 };
	struct nmport_d *d = parse->token;
	struct nmreq_pools_info *info;

	for (int i = EXTMEM_IF_NUM; i <= EXTMEM_BUF_SIZE; i++) {
		if (get_number(parse, i, names[i], UINT32_MAX, &values[i]))
			return -1;
	}
	if (nmport_extmem_from_file(d, parse->keys[EXTMEM_FILE]))
		return -1;
	info = nmport_extmem_getinfo(d);
	info->nr_if_pool_objtotal = (uint32_t)values[EXTMEM_IF_NUM];
	info->nr_if_pool_objsize = (uint32_t)values[EXTMEM_IF_SIZE];
	info->nr_ring_pool_objtotal = (uint32_t)values[EXTMEM_RING_NUM];
	info->nr_ring_pool_objsize = (uint32_t)values[EXTMEM_RING_SIZE];
	info->nr_buf_pool_objtotal = (uint32_t)values[EXTMEM_BUF_NUM];
	info->nr_buf_pool_objsize = (uint32_t)values[EXTMEM_BUF_SIZE];
	return 0;
}

static struct nmreq_opt_parser extmem = {
	.prefix = "extmem",
	.parse = parse_extmem,
	.default_key = EXTMEM_FILE,
	.nr_keys = 7,
	.next = &conf,
	.keys = {
		{ "file", EXTMEM_FILE, NMREQ_OPTK_DEFAULT | NMREQ_OPTK_MUSTSET },
		{ "if-num", EXTMEM_IF_NUM, 0 },
		{ "if-size", EXTMEM_IF_SIZE, 0 },
		{ "ring-num", EXTMEM_RING_NUM, 0 },
		{ "ring-size", EXTMEM_RING_SIZE, 0 },
		{ "buf-num", EXTMEM_BUF_NUM, 0 },
		{ "buf-size", EXTMEM_BUF_SIZE, 0 },
	},
};

/* Ids of offset's keys. */
enum { OFFSET_INITIAL, OFFSET_BITS };

static int parse_offset(struct nmreq_parse_ctx *parse)
{
	uint64_t initial = 0, bits = 0;

	if (get_number(parse, OFFSET_INITIAL, "initial", UINT64_MAX,
		       &initial) ||
	    get_number(parse, OFFSET_BITS, "bits", 64, &bits))
		return -1;
	return nmport_offset(parse->token, initial, initial, bits, 0);
}

static struct nmreq_opt_parser offset = {
	.prefix = "offset",
	.parse = parse_offset,
	.default_key = OFFSET_INITIAL,
	.nr_keys = 2,
	.flags = NMREQ_OPTF_DISABLED,
	.next = &extmem,
	.keys = {
		{ "initial", OFFSET_INITIAL,
		  NMREQ_OPTK_DEFAULT | NMREQ_OPTK_MUSTSET },
		{ "bits", OFFSET_BITS, 0 },
	},
};

struct nmreq_opt_parser *const port_options = &offset;

static struct nmreq_opt_parser *find_option(const char *name)
{
	struct nmreq_opt_parser *p = port_options;

	while (p && strcmp(p->prefix, name))
		p = p->next;
	return p;
}

void nmport_disable_option(const char *opt)
{
	struct nmreq_opt_parser *p = find_option(opt);

	if (p)
		p->flags |= NMREQ_OPTF_DISABLED;
}

int nmport_enable_option(const char *opt)
{
	struct nmreq_opt_parser *p = find_option(opt);

	if (!p) {
		errno = EOPNOTSUPP;
		return -1;
	}
	p->flags &= ~NMREQ_OPTF_DISABLED;
	return 0;
}
