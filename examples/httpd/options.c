// SPDX-License-Identifier: BSD-2-Clause
// options.c - options that all programs with a stack have.
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum {
	BITS_DEFAULT = 24,
};

void usage_error(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "; see %s --help\n", program);
	exit(2);
}

uint64_t number_option(const char *name, const char *text, uint64_t min,
		       uint64_t max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n < min || n > max)
		usage_error("--%s wants a number from %llu to %llu, not '%s'",
			    name, (unsigned long long)min,
			    (unsigned long long)max, text);
	return n;
}

void ip_option(const char *name, const char *text, ip4_addr_t *ip)
{
	if (inet_pton(AF_INET, text, &ip->addr) != 1)
		usage_error("--%s wants an IPv4 address, not '%s'", name, text);
}

static void address_option(struct stack_config *config, const char *text)
{
	const char *slash = strchr(text, '/');
	char ip[64];
	uint64_t bits = BITS_DEFAULT;

	snprintf(ip, sizeof(ip), "%.*s",
		 slash ? (int)(slash - text) : (int)strlen(text), text);
	ip_option("address", ip, &config->address);
	if (slash)
		bits = number_option("address (behind the '/')", slash + 1, 1,
				     32);
	if (slash || !config->netmask.addr)
		config->netmask.addr = lwip_htonl(
			(u32_t)(0xffffffffu << (32 - bits)));
}

static void memory_option(struct stack_config *config, const char *text)
{
	const char *comma = strrchr(text, ',');

	if (!comma || comma == text || strlen(comma) != 2 ||
	    (comma[1] != '0' && comma[1] != '1'))
		usage_error("--memory wants FILE,0 or FILE,1, not '%s'", text);
	config->memory = strndup(text, (size_t)(comma - text));
	config->side = (unsigned)(comma[1] - '0');
}

static void mac_option(struct stack_config *config, const char *text)
{
	unsigned m[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2],
		   &m[3], &m[4], &m[5], &end) != 6 ||
	    text[end] || m[0] & 1)
		usage_error("--mac wants the Ethernet address of one host, "
			    "such as 02:00:00:00:00:01, not '%s'",
			    text);
	for (unsigned i = 0; i < 6; i++)
		config->mac[i] = (uint8_t)m[i];
}

static void slots_option(struct stack_config *config, const char *text)
{
	config->slots = (unsigned)number_option("slots", text, GLEN_SLOTS_MIN,
						GLEN_SLOTS_MAX);
	if (config->slots & (config->slots - 1))
		usage_error("--slots wants a power of two, not %s", text);
}

bool stack_option(struct stack_config *config, int c, const char *arg)
{
	switch (c) {
	case 'a':
		config->attach = arg;
		return true;
	case 'm':
		memory_option(config, arg);
		return true;
	case 'A':
		address_option(config, arg);
		return true;
	case 'N':
		ip_option("netmask", arg, &config->netmask);
		if (!ip4_addr_netmask_valid(config->netmask.addr))
			usage_error("--netmask %s is not a netmask", arg);
		return true;
	case 'G':
		ip_option("gateway", arg, &config->gateway);
		return true;
	case 'M':
		mac_option(config, arg);
		return true;
	case 's':
		slots_option(config, arg);
		return true;
	case 'S':
		config->socket = arg;
		return true;
	}
	return false;
}

void stack_options_check(const struct stack_config *config)
{
	if (!config->attach == !config->memory)
		usage_error("give either --attach SWITCH:PORT or --memory "
			    "FILE,SIDE");
	if (!config->address.addr)
		usage_error("give an own address with --address");
	if (config->gateway.addr &&
	    !ip4_addr_netcmp(&config->gateway, &config->address,
			     &config->netmask))
		usage_error("the gateway %s is not in the network of the own "
			    "address",
			    ip4addr_ntoa(&config->gateway));
}
