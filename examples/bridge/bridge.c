// SPDX-License-Identifier: BSD-2-Clause
// bridge.c - a learning bridge, as docs/writing-a-module.md explains it.
#include <errno.h>
#include <stdlib.h>

#include <glen/module.h>

struct bridge {
	_Atomic uint64_t entry[4096]; /* address << 16 | port + 1; 0: none */
};

static uint64_t address(const uint8_t *p)
{
	uint64_t address = 0;

	memcpy(&address, p, 6);
	return address;
}

static _Atomic uint64_t *entry_of(struct bridge *b, uint64_t address)
{
	return &b->entry[address * 0x9e3779b97f4a7c15 >> 52];
}

static uint32_t decide(struct bridge *b, const struct glen_lookup *ctx,
		       const uint8_t *hdr)
{
	uint64_t to = address(hdr), from = address(hdr + 6);
	uint64_t here = from << 16 | (ctx->src + 1u), there;
	uint32_t port;

	if (!(hdr[6] & 1) && *entry_of(b, from) != here)
		*entry_of(b, from) = here;
	there = *entry_of(b, to);
	port = (there & 0xffff) - 1;
	if (there >> 16 != to || port >= ctx->n_ports)
		return glen_to_set(ctx->src_isolated ? GLEN_SET_NOT_ISOLATED :
						       GLEN_SET_ALL);
	if (ctx->src_isolated && ctx->port_isolated[port])
		return glen_drop(GLEN_DROP_ISOLATED);
	return glen_to_port(port);
}

static void bridge_lookup(void *state, const struct glen_lookup *ctx,
			  struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		b->verdict[i] = decide(state, ctx, glen_batch_hdr(b, i));
}

static int bridge_create(const struct glen_module_env *env, json_t *options,
			 void **state, struct glen_error *error)
{
	static const char *const known[] = { NULL };
	int err = glen_module_param_check(env, options, known, error);

	if (err)
		return err;
	*state = calloc(1, sizeof(struct bridge));
	return *state ? 0 : glen_module_error(env, error, -ENOMEM, "no memory");
}

static void bridge_port_del(void *state, const struct glen_module_port *port)
{
	struct bridge *b = state;

	for (unsigned i = 0; i < 4096; i++)
		if ((b->entry[i] & 0xffff) == port->index + 1u)
			b->entry[i] = 0;
}

static const struct glen_module bridge = {
	GLEN_MODULE_HEAD,
	.name = "bridge",
	.version = "1.0",
	.summary = "sends packets where their destination was seen last",
	.hdr_want = GLEN_HDR_MIN,
	.create = bridge_create,
	.destroy = free,
	.port_del = bridge_port_del,
	.lookup = bridge_lookup,
};
GLEN_MODULE_EXPORT(bridge);
