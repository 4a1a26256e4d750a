// SPDX-License-Identifier: BSD-2-Clause
// main.c - glen-gen: makes packets, receives them and keeps the books.
#include "opts.h"
#include "run.h"

int main(int argc, char **argv)
{
	static struct gen_opts opts;

	switch (opts_parse(argc, argv, &opts)) {
	case OPTS_DONE:
		return 0;
	case OPTS_ERROR:
		return EXIT_USAGE;
	case OPTS_RUN:
		break;
	}
	switch (opts.mode) {
	case MODE_SEND:
		return run_send(&opts);
	case MODE_RECV:
		return run_recv(&opts);
	case MODE_PING:
		return run_ping(&opts);
	case MODE_PONG:
		return run_pong(&opts);
	default:
		return run_embedded(&opts);
	}
}
