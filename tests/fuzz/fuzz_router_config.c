// SPDX-License-Identifier: BSD-2-Clause
// fuzz_router_config.c - any text as a router's file.
/* Input: the file. */
#include "fuzz.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "nf/router/router.h"

/* "f:LINE:COLUMN: what", or "f: what" of the file as a whole. */
static void check_sentence(const char *text)
{
	FUZZ_CHECK(!strncmp(text, "f:", 2));
	for (text++; *text == ':' && isdigit((unsigned char)text[1]);)
		for (text++; isdigit((unsigned char)*text);)
			text++;
	FUZZ_CHECK(!strncmp(text, ": ", 2) && text[2]);
	for (; *text; text++)
		FUZZ_CHECK(*text >= ' ' && *text <= '~');
}

/* What was read leads where it says. */
static void check_router(const struct router *r)
{
	FUZZ_CHECK(r->n_ifaces && r->n_ifaces <= ROUTER_IFACES);
	for (unsigned i = 0; i < r->n_ifaces; i++) {
		const struct router_iface *f = &r->iface[i];

		FUZZ_CHECK(f->name[0] && !(f->mac[0] & 1));
		FUZZ_CHECK(f->n_own && f->n_own <= ROUTER_ADDRESSES);
		for (unsigned k = 1; k < f->n_own; k++) {
			const struct router_ip *ip = &f->own[k].ip;
			const struct router_hop *hop = router_lookup(r, ip, 0);

			FUZZ_CHECK(hop && hop->kind == ROUTER_LOCAL &&
				   hop->iface == i);
			FUZZ_CHECK(router_is_on_link(f, ip));
		}
	}
	for (uint32_t i = 1; i < r->n_hops; i++)
		FUZZ_CHECK(r->hop[i].iface < r->n_ifaces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct router r;
	struct glen_error error = { 0 };
	int err;

	FUZZ_CHECK(!router_init(&r));
	err = router_config_read(&r, "f", (const char *)data, size, &error);
	FUZZ_CHECK(!err || err == -EINVAL);
	if (err)
		check_sentence(error.text);
	else
		check_router(&r);
	router_fini(&r);
	return 0;
}
