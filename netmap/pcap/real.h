/* SPDX-License-Identifier: BSD-2-Clause */
/* real.h - the functions of libpcap behind those that we replace. */
#ifndef NETMAP_PCAP_REAL_H
#define NETMAP_PCAP_REAL_H
/*
 * REAL(pcap_close)(p) calls libpcap's own pcap_close(). It is looked up when
 * it is first called, by whichever thread: constructors of other libraries may
 * use libpcap before ours have run. We are not linked with libpcap, so that
 * programs that do not use it need not load it and all that it needs. A program
 * whose libpcap lacks a function could not have called it; should it happen all
 * the same, the process ends with a sentence.
 */
#define REAL_FUNCTIONS(X)             \
	X(pcap_activate)              \
	X(pcap_breakloop)             \
	X(pcap_bufsize)               \
	X(pcap_can_set_rfmon)         \
	X(pcap_close)                 \
	X(pcap_compile)               \
	X(pcap_create)                \
	X(pcap_dispatch)              \
	X(pcap_dump_fopen)            \
	X(pcap_dump_open)             \
	X(pcap_dump_open_append)      \
	X(pcap_fileno)                \
	X(pcap_findalldevs)           \
	X(pcap_get_selectable_fd)     \
	X(pcap_get_tstamp_precision)  \
	X(pcap_getnonblock)           \
	X(pcap_inject)                \
	X(pcap_lookupnet)             \
	X(pcap_loop)                  \
	X(pcap_next)                  \
	X(pcap_next_ex)               \
	X(pcap_open_live)             \
	X(pcap_sendpacket)            \
	X(pcap_set_buffer_size)       \
	X(pcap_set_immediate_mode)    \
	X(pcap_set_promisc)           \
	X(pcap_set_protocol_linux)    \
	X(pcap_set_rfmon)             \
	X(pcap_set_snaplen)           \
	X(pcap_set_timeout)           \
	X(pcap_set_tstamp_precision)  \
	X(pcap_set_tstamp_type)       \
	X(pcap_setdirection)          \
	X(pcap_setfilter)             \
	X(pcap_setnonblock)           \
	X(pcap_snapshot)              \
	X(pcap_stats)                 \
	/* Those that we only use. */ \
	X(bpf_filter)                 \
	X(bpf_validate)               \
	X(pcap_geterr)                \
	X(pcap_open_dead)             \
	X(pcap_open_dead_with_tstamp_precision)

enum real_function {
#define REAL_ENUM(name) REAL_##name,
	REAL_FUNCTIONS(REAL_ENUM)
#undef REAL_ENUM
		REAL_COUNT,
};

/* The address of libpcap's own function; never NULL. */
void *real_function(enum real_function which);

#define REAL(name) ((__typeof__(&name))real_function(REAL_##name))

#endif
