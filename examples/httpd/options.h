/* SPDX-License-Identifier: BSD-2-Clause */
/* options.h - options that all programs with a stack have. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <getopt.h>
#include <stdint.h>

#include "stack.h"

#define STACK_OPTIONS                                        \
	{ "attach", required_argument, NULL, 'a' },          \
		{ "memory", required_argument, NULL, 'm' },  \
		{ "address", required_argument, NULL, 'A' }, \
		{ "netmask", required_argument, NULL, 'N' }, \
		{ "gateway", required_argument, NULL, 'G' }, \
		{ "mac", required_argument, NULL, 'M' },     \
		{ "slots", required_argument, NULL, 's' },   \
		{ "socket", required_argument, NULL, 'S' },  \
		{ "help", no_argument, NULL, 'h' },          \
	{                                                    \
		"version", no_argument, NULL, 'V'            \
	}

#define STACK_HELP                                                             \
	"Network:\n"                                                           \
	"  -a, --attach SWITCH:PORT   the port of glend to open\n"             \
	"  -A, --address IPV4[/BITS]  own address; /24 if BITS are left out\n" \
	"      --netmask IPV4         instead of BITS\n"                       \
	"      --gateway IPV4         router to other networks; default: "     \
	"none\n"                                                               \
	"      --mac MAC              Ethernet address; default: made from "   \
	"the\n"                                                                \
	"                             address, so that all programs with "     \
	"this\n"                                                               \
	"                             address have the same\n"                 \
	"      --slots N              slots per ring, 16..4096 (1024)\n"       \
	"      --socket PATH          of glend; default: $GLEN_SOCKET or "     \
	"glend's\n"                                                            \
	"      --memory FILE,0|1      instead of --attach: one side of a "     \
	"link in\n"                                                            \
	"                             a file that two programs map (to "       \
	"compare)\n"

/* The program's name, for messages. */
extern const char *program;

/* Says it on stderr and ends the program with status 2. */
void usage_error(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* A number of min..max, or ends the program. */
uint64_t number_option(const char *name, const char *text, uint64_t min,
		       uint64_t max);

void ip_option(const char *name, const char *text, ip4_addr_t *ip);

/* Takes option c of STACK_OPTIONS into *config; false if it is none. */
bool stack_option(struct stack_config *config, int c, const char *arg);

/* Ends the program if something is missing. */
void stack_options_check(const struct stack_config *config);

#endif
