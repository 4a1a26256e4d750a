// SPDX-License-Identifier: BSD-2-Clause
// main.c - a program with a chain of network functions inside: beat, count.
/*
 * nf-embedded PACKETS
 *
 * beat makes PACKETS packets, which go into chain "all": two instances of count
 * and out by port "out" of a switch, where the other end reads them. Prints how
 * many arrived and what glen_nf_group_show() says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glen/switch.h>

#include "examples/nf/nfs.h"

static struct glen_error error;

static void check(int err)
{
	if (err >= 0)
		return;
	fprintf(stderr, "nf-embedded: %s\n", error.text);
	exit(1);
}

static unsigned read_all(struct glen_port *port)
{
	struct glen_packet p[64];
	int n = glen_recv(port, 0, p, 64);

	if (n > 0)
		glen_release(port, 0);
	return n > 0 ? (unsigned)n : 0;
}

int main(int argc, char **argv)
{
	static const char *const services[] = { "count" };
	char packets[32];
	const char *const args[] = { packets, "chain=all", NULL };
	struct glen_nf_instance beat = { .args = args };
	unsigned want = argc > 1 ? (unsigned)atoi(argv[1]) : 1000, got = 0;
	struct glen_nf_group *group;
	struct glen_port *out, *end;
	struct glen_switch *sw;
	char *text;

	snprintf(packets, sizeof(packets), "packets=%u", want);
	check(glen_switch_create(&sw, "sw", "learn", NULL, &error));
	check(glen_switch_port_open(sw, &out, "out", NULL, &error));
	check(glen_switch_port_open(sw, &end, "end", NULL, &error));
	check(glen_nf_group_create(&group, NULL, &error));
	check(glen_nf_group_attach(group, out, NULL, &error));
	check(glen_nf_add(group, NULL, &count_nf, NULL, &error));
	check(glen_nf_add(group, NULL, &count_nf, NULL, &error));
	check(glen_nf_group_chain(group, "all", services, 1, "out", &error));
	check(glen_nf_add(group, NULL, &beat_nf, &beat, &error));
	while (got < want) {
		glen_nf_group_poll(group);
		glen_switch_poll(sw);
		got += read_all(end);
	}
	check(glen_nf_group_show(group, &text));
	printf("%u packets arrived\n%s\n", got, text);
	free(text);
	glen_nf_group_destroy(group);
	glen_port_close(end);
	glen_switch_destroy(sw);
	return 0;
}
