// SPDX-License-Identifier: BSD-2-Clause
// interpose.c - libpcap's functions, for glen ports and for everything else.
/*
 * Each function asks whether the device or the pcap_t is ours and else passes
 * the call on. What they do is what pcap(3PCAP) says; the differences are in
 * docs/netmap.md.
 */
#include <string.h>

#include "netmap/pcap/handle.h"
#include "netmap/pcap/real.h"

#define EXPORT __attribute__((visibility("default")))

/* Opening and closing */

EXPORT pcap_t *pcap_create(const char *device, char *errbuf)
{
	if (!handle_is_device(device))
		return REAL(pcap_create)(device, errbuf);
	errbuf[0] = '\0';
	return handle_create(device, errbuf);
}

EXPORT int pcap_activate(pcap_t *p)
{
	struct handle *h = handle_find(p);

	return h ? handle_activate(h) : REAL(pcap_activate)(p);
}

EXPORT pcap_t *pcap_open_live(const char *device, int snaplen, int promisc,
			      int timeout_ms, char *errbuf)
{
	struct handle *h;
	pcap_t *p;

	if (!handle_is_device(device))
		return REAL(pcap_open_live)(device, snaplen, promisc,
					    timeout_ms, errbuf);
	errbuf[0] = '\0';
	p = handle_create(device, errbuf);
	if (!p)
		return NULL;
	h = handle_find(p);
	h->snaplen = snaplen;
	h->timeout_ms = timeout_ms;
	if (!handle_activate(h))
		return p;
	memcpy(errbuf, REAL(pcap_geterr)(p), PCAP_ERRBUF_SIZE);
	errbuf[PCAP_ERRBUF_SIZE - 1] = '\0';
	handle_destroy(h);
	return NULL;
}

EXPORT void pcap_close(pcap_t *p)
{
	struct handle *h = handle_find(p);

	if (h)
		handle_destroy(h);
	else
		REAL(pcap_close)(p);
}

/* Settings before activation */

static int set(struct handle *h, int *member, int value)
{
	if (h->inner)
		return handle_fail(h, PCAP_ERROR_ACTIVATED,
				   "can't perform operation on activated "
				   "capture");
	*member = value;
	return 0;
}

EXPORT int pcap_set_snaplen(pcap_t *p, int snaplen)
{
	struct handle *h = handle_find(p);

	return h ? set(h, &h->snaplen, snaplen) :
		   REAL(pcap_set_snaplen)(p, snaplen);
}

EXPORT int pcap_set_timeout(pcap_t *p, int timeout_ms)
{
	struct handle *h = handle_find(p);

	return h ? set(h, &h->timeout_ms, timeout_ms) :
		   REAL(pcap_set_timeout)(p, timeout_ms);
}

EXPORT int pcap_set_buffer_size(pcap_t *p, int size)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_set_buffer_size)(p, size);
	/* As libpcap: what makes no sense is not looked at. */
	return set(h, &h->buffer_size, size > 0 ? size : h->buffer_size);
}

/* A port is always promiscuous: what the switch sends there is seen. */
EXPORT int pcap_set_promisc(pcap_t *p, int promisc)
{
	struct handle *h = handle_find(p);
	int ignored;

	return h ? set(h, &ignored, promisc) :
		   REAL(pcap_set_promisc)(p, promisc);
}

/* Packets are always shown at once. */
EXPORT int pcap_set_immediate_mode(pcap_t *p, int immediate)
{
	struct handle *h = handle_find(p);
	int ignored;

	return h ? set(h, &ignored, immediate) :
		   REAL(pcap_set_immediate_mode)(p, immediate);
}

EXPORT int pcap_set_protocol_linux(pcap_t *p, int protocol)
{
	struct handle *h = handle_find(p);
	int ignored;

	return h ? set(h, &ignored, protocol) :
		   REAL(pcap_set_protocol_linux)(p, protocol);
}

EXPORT int pcap_can_set_rfmon(pcap_t *p)
{
	return handle_find(p) ? 0 : REAL(pcap_can_set_rfmon)(p);
}

EXPORT int pcap_set_rfmon(pcap_t *p, int rfmon)
{
	struct handle *h = handle_find(p);

	return h ? set(h, &h->rfmon, rfmon) : REAL(pcap_set_rfmon)(p, rfmon);
}

EXPORT int pcap_set_tstamp_type(pcap_t *p, int type)
{
	struct handle *h = handle_find(p);
	int ignored;

	if (!h)
		return REAL(pcap_set_tstamp_type)(p, type);
	if (!h->inner && type != PCAP_TSTAMP_HOST)
		return handle_fail(h, PCAP_WARNING_TSTAMP_TYPE_NOTSUP,
				   "a glen port has only the host's time");
	return set(h, &ignored, type);
}

EXPORT int pcap_set_tstamp_precision(pcap_t *p, int precision)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_set_tstamp_precision)(p, precision);
	if (!h->inner && precision != PCAP_TSTAMP_PRECISION_MICRO &&
	    precision != PCAP_TSTAMP_PRECISION_NANO)
		return handle_fail(h, PCAP_ERROR_TSTAMP_PRECISION_NOTSUP,
				   "time is in micro- or nanoseconds");
	return set(h, &h->precision, precision);
}

/* What depends on the settings */

EXPORT int pcap_get_tstamp_precision(pcap_t *p)
{
	struct handle *h = handle_find(p);

	return h ? h->precision : REAL(pcap_get_tstamp_precision)(p);
}

EXPORT int pcap_snapshot(pcap_t *p)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_snapshot)(p);
	return handle_check(h) ?: h->snaplen;
}

EXPORT int pcap_bufsize(pcap_t *p)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_bufsize)(p);
	return handle_check(h) ?: h->snaplen;
}

/* The program gets the reason from the pcap_t that it knows. */
static void pass_error(struct handle *h)
{
	handle_fail(h, 0, "%s", REAL(pcap_geterr)(h->inner));
}

EXPORT int pcap_compile(pcap_t *p, struct bpf_program *program,
			const char *text, int optimize, bpf_u_int32 netmask)
{
	struct handle *h = handle_find(p);
	int err;

	if (!h)
		return REAL(pcap_compile)(p, program, text, optimize, netmask);
	if (handle_check(h))
		return PCAP_ERROR;
	err = REAL(pcap_compile)(h->inner, program, text, optimize, netmask);
	if (err)
		pass_error(h);
	return err;
}

EXPORT pcap_dumper_t *pcap_dump_open(pcap_t *p, const char *name)
{
	struct handle *h = handle_find(p);
	pcap_dumper_t *d;

	if (!h)
		return REAL(pcap_dump_open)(p, name);
	if (handle_check(h))
		return NULL;
	d = REAL(pcap_dump_open)(h->inner, name);
	if (!d)
		pass_error(h);
	return d;
}

EXPORT pcap_dumper_t *pcap_dump_fopen(pcap_t *p, FILE *file)
{
	struct handle *h = handle_find(p);
	pcap_dumper_t *d;

	if (!h)
		return REAL(pcap_dump_fopen)(p, file);
	if (handle_check(h))
		return NULL;
	d = REAL(pcap_dump_fopen)(h->inner, file);
	if (!d)
		pass_error(h);
	return d;
}

EXPORT pcap_dumper_t *pcap_dump_open_append(pcap_t *p, const char *name)
{
	struct handle *h = handle_find(p);
	pcap_dumper_t *d;

	if (!h)
		return REAL(pcap_dump_open_append)(p, name);
	if (handle_check(h))
		return NULL;
	d = REAL(pcap_dump_open_append)(h->inner, name);
	if (!d)
		pass_error(h);
	return d;
}

/* Packets */

EXPORT int pcap_dispatch(pcap_t *p, int count, pcap_handler callback,
			 u_char *user)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_dispatch)(p, count, callback, user);
	return handle_check(h) ?: traffic_read(h, count, callback, user);
}

EXPORT int pcap_loop(pcap_t *p, int count, pcap_handler callback, u_char *user)
{
	struct handle *h = handle_find(p);
	int n;

	if (!h)
		return REAL(pcap_loop)(p, count, callback, user);
	n = handle_check(h);
	while (n >= 0) {
		n = traffic_read(h, count, callback, user);
		if (n < 0 || count <= 0)
			continue;
		count -= n;
		if (!count)
			return 0;
	}
	return n;
}

static void keep(u_char *user, const struct pcap_pkthdr *hdr,
		 const u_char *data)
{
	struct handle *h = (void *)user;

	h->hdr = *hdr;
	h->data = data;
}

EXPORT int pcap_next_ex(pcap_t *p, struct pcap_pkthdr **hdr,
			const u_char **data)
{
	struct handle *h = handle_find(p);
	int n;

	if (!h)
		return REAL(pcap_next_ex)(p, hdr, data);
	n = handle_check(h) ?: traffic_read(h, 1, keep, (void *)h);
	*hdr = &h->hdr;
	*data = h->data;
	return n;
}

EXPORT const u_char *pcap_next(pcap_t *p, struct pcap_pkthdr *hdr)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_next)(p, hdr);
	if (handle_check(h) || traffic_read(h, 1, keep, (void *)h) != 1)
		return NULL;
	*hdr = h->hdr;
	return h->data;
}

EXPORT void pcap_breakloop(pcap_t *p)
{
	struct handle *h = handle_find(p);

	if (h)
		traffic_break(h);
	else
		REAL(pcap_breakloop)(p);
}

EXPORT int pcap_inject(pcap_t *p, const void *data, size_t size)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_inject)(p, data, size);
	return handle_check(h) ?: traffic_inject(h, data, size);
}

EXPORT int pcap_sendpacket(pcap_t *p, const u_char *data, int size)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_sendpacket)(p, data, size);
	if (handle_check(h))
		return PCAP_ERROR;
	if (size < 0)
		return handle_fail(h, PCAP_ERROR,
				   "a packet cannot have %d bytes", size);
	return traffic_inject(h, data, (size_t)size) < 0 ? PCAP_ERROR : 0;
}

EXPORT int pcap_setfilter(pcap_t *p, struct bpf_program *program)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_setfilter)(p, program);
	return handle_check(h) ?: traffic_filter(h, program);
}

/* A switch does not send a packet back to where it came from. */
EXPORT int pcap_setdirection(pcap_t *p, pcap_direction_t direction)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_setdirection)(p, direction);
	if (handle_check(h))
		return PCAP_ERROR_NOT_ACTIVATED;
	if (direction == PCAP_D_INOUT || direction == PCAP_D_IN)
		return 0;
	return handle_fail(h, PCAP_ERROR,
			   "a glen port shows only what the switch sends to "
			   "it: direction 'in' or 'inout'");
}

EXPORT int pcap_stats(pcap_t *p, struct pcap_stat *stats)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_stats)(p, stats);
	return handle_check(h) ?: traffic_stats(h, stats);
}

/* Waiting */

EXPORT int pcap_setnonblock(pcap_t *p, int nonblock, char *errbuf)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_setnonblock)(p, nonblock, errbuf);
	h->nonblock = nonblock != 0;
	return 0;
}

EXPORT int pcap_getnonblock(pcap_t *p, char *errbuf)
{
	struct handle *h = handle_find(p);

	return h ? h->nonblock : REAL(pcap_getnonblock)(p, errbuf);
}

EXPORT int pcap_get_selectable_fd(pcap_t *p)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_get_selectable_fd)(p);
	return handle_check(h) ? PCAP_ERROR : traffic_fd(h);
}

EXPORT int pcap_fileno(pcap_t *p)
{
	struct handle *h = handle_find(p);

	if (!h)
		return REAL(pcap_fileno)(p);
	return handle_check(h) ?: traffic_fd(h);
}

/* Devices */

EXPORT int pcap_findalldevs(pcap_if_t **list, char *errbuf)
{
	int err = REAL(pcap_findalldevs)(list, errbuf);

	if (!err)
		devices_append(list);
	return err;
}

/* As for libpcap's "any": no IPv4 network in particular. */
EXPORT int pcap_lookupnet(const char *device, bpf_u_int32 *network,
			  bpf_u_int32 *mask, char *errbuf)
{
	if (!handle_is_device(device))
		return REAL(pcap_lookupnet)(device, network, mask, errbuf);
	*network = *mask = 0;
	return 0;
}
