// SPDX-License-Identifier: BSD-2-Clause
// embedded.c - a user's first program: two ports of a switch in one process.
/*
 * scripts/install compiles this outside the tree against the installed
 * headers and library. It sends one packet from port a to port b.
 */
#include <glen/switch.h>

#include <stdio.h>
#include <string.h>

static int fail(const struct glen_error *error)
{
	fprintf(stderr, "embedded: %s\n", error->text);
	return 1;
}

int main(void)
{
	unsigned char frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,
				    0,	  0,	0,    1,    0x88, 0xb5, 42 };
	struct glen_packet packet = { .data = frame, .len = sizeof(frame) };
	struct glen_error error = { 0 };
	struct glen_switch *sw;
	struct glen_port *a, *b;
	int ok;

	if (glen_switch_create(&sw, "vale0", "learn", NULL, &error) ||
	    glen_switch_port_open(sw, &a, "a", NULL, &error) ||
	    glen_switch_port_open(sw, &b, "b", NULL, &error))
		return fail(&error);
	if (glen_send(a, 0, &packet, 1) != 1)
		return 1;
	while (glen_switch_poll(sw))
		;
	ok = glen_wait(b, GLEN_RX, 0) == GLEN_RX &&
	     glen_recv(b, 0, &packet, 1) == 1 && packet.len == sizeof(frame) &&
	     !memcmp(packet.data, frame, sizeof(frame));
	glen_release(b, 0);
	glen_port_close(a);
	glen_port_close(b);
	glen_switch_destroy(sw);
	printf("one packet from a to b: %s\n", ok ? "arrived" : "lost");
	return ok ? 0 : 1;
}
