// SPDX-License-Identifier: BSD-2-Clause
// embedded.c - a program that loads modules for a switch of its own.
/*
 * embedded DIRECTORY FILE: loads all modules of a directory, then one of them
 * once more, and sends a packet through a switch that uses "bridge".
 */
#include <stdio.h>

#include <glen/switch.h>

static int fail(const struct glen_error *error)
{
	fprintf(stderr, "embedded: %s\n", error->text);
	return 1;
}

int main(int argc, char **argv)
{
	unsigned char frame[60] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };
	struct glen_packet packet = { .data = frame, .len = sizeof(frame) };
	struct glen_error error = { 0 };
	struct glen_switch *sw;
	struct glen_port *a, *b;
	int ok;

	if (argc != 3)
		return 2;
	printf("directory: %d\n", glen_switch_module_load(argv[1], &error));
	if (glen_switch_module_load(argv[2], &error))
		printf("again: %s\n", error.text);
	if (glen_switch_module_load("/nonexistent/x.so", &error))
		printf("nothing: %s\n", error.text);
	if (glen_switch_create(&sw, "vale0", "bridge", NULL, &error) ||
	    glen_switch_port_open(sw, &a, "a", NULL, &error) ||
	    glen_switch_port_open(sw, &b, "b", NULL, &error))
		return fail(&error);
	if (glen_send(a, 0, &packet, 1) != 1)
		return 1;
	while (glen_switch_poll(sw))
		;
	ok = glen_recv(b, 0, &packet, 1) == 1;
	glen_release(b, 0);
	glen_port_close(a);
	glen_port_close(b);
	glen_switch_destroy(sw);
	printf("one packet from a to b: %s\n", ok ? "arrived" : "lost");
	return ok ? 0 : 1;
}
