// SPDX-License-Identifier: BSD-2-Clause
// log.c - lines about packets that met a rule with log, as messages.
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/bytes.h"
#include "nf/firewall/instance.h"

enum { LINE = 400 };

static const char *verdict_name(enum fw_verdict verdict)
{
	static const char *const names[] = { "continue", "accept", "drop",
					     "reject", "jump" };

	return names[verdict];
}

/* "tcp 10.0.0.1:80 > 10.0.0.2:1024", "type 0x0806" of what is no flow. */
static void name_flow(const struct glen_nf_packet *p, char *out, size_t size)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	struct glen_nf_flow_key k;
	int family;

	if (!glen_nf_flow_key(p, &k)) {
		snprintf(out, size, "type 0x%04x", load_be16(p->data + 12));
		return;
	}
	family = k.version == 4 ? AF_INET : AF_INET6;
	inet_ntop(family, k.src, src, sizeof(src));
	inet_ntop(family, k.dst, dst, sizeof(dst));
	snprintf(out, size, "protocol %u %s port %u > %s port %u", k.protocol,
		 src, ntohs(k.src_port), dst, ntohs(k.dst_port));
}

bool fw_rate_take(struct fw_rate *r, unsigned per_second, uint64_t now_ns)
{
	if (now_ns - r->since_ns >= 1000000000) {
		r->since_ns = now_ns;
		r->n = 0;
	}
	if (r->n >= per_second)
		return false;
	r->n++;
	return true;
}

void fw_log(struct glen_nf_thread *t, struct fw_thread *th,
	    const struct fw_action *a, const struct glen_nf_packet *p)
{
	const struct fw_config *c = &th->fw->config;
	char line[LINE], flow[160];
	int n;

	if (!c->log ||
	    !fw_rate_take(&th->logged, c->log_rate, glen_nf_now_ns(t))) {
		glen_nf_count(t, FW_C_LOG_LOST, 1);
		return;
	}
	name_flow(p, flow, sizeof(flow));
	n = snprintf(line, sizeof(line), "%s%s line %u in %s len %u %s",
		     a->prefix, verdict_name(a->verdict), a->line,
		     glen_nf_port_name(glen_nf_of(t), p->in), p->len, flow);
	n = n < LINE ? n : LINE - 1;
	if (glen_nf_message(t, c->log, line, (size_t)n))
		glen_nf_count(t, FW_C_LOG_LOST, 1);
	else
		glen_nf_count(t, FW_C_LOGGED, 1);
}
