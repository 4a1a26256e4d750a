/* SPDX-License-Identifier: BSD-2-Clause */
/* drop.h - the names of everything that can happen to a packet but delivery. */
#ifndef CORE_DROP_H
#define CORE_DROP_H
/*
 * Every packet that is not delivered adds one to exactly one of these, on the
 * port where it happened: IN reasons on the port it came from, OUT reasons on
 * the port it was going to. On every port, at any quiet point:
 *
 *   in.packets  (accepted from the port)    = forwarded + sum of IN drops
 *   offered to the port                     = out.packets + sum of OUT drops
 *
 * and over a switch: sum in.packets + replicated = sum out.packets + all
 * drops, where replicated counts the extra copies that floods made.
 */
#define DROP_REASONS(X)                                                        \
	/* IN: on the port the packet came from */                             \
	X(IN_RUNT, in_runt, "shorter than an Ethernet header")                 \
	X(IN_TOO_LONG, in_too_long, "longer than a packet may be")             \
	X(IN_OVERSIZE, in_oversize, "longer than the source port's MTU")       \
	X(IN_SEGMENTS, in_segments, "more than 64 segments")                   \
	X(IN_BAD_OFFLOAD, in_bad_offload, "offload header contradicts packet") \
	X(IN_NO_PORT, in_no_port, "no port to send it to")                     \
	X(IN_SAME_PORT, in_same_port, "destination is behind the source port") \
	X(IN_ISOLATED, in_isolated, "both ports are isolated")                 \
	X(IN_FLOOD_LIMIT, in_flood_limit, "flood rate limit of the switch")    \
	X(IN_MODULE, in_module, "refused by the module")                       \
	X(IN_TRUNCATED, in_truncated, "driver saw only a part of it")          \
	X(IN_KERNEL_FULL, in_kernel_full, "the kernel had no room for it")     \
	X(IN_DESCRIPTORS, in_descriptors, "came with file descriptors")        \
	/* OUT: on the port the packet was going to */                         \
	X(OUT_NO_ROOM, out_no_room, "egress ring full")                        \
	X(OUT_OVERSIZE, out_oversize, "longer than the destination's MTU")     \
	X(OUT_BAD_OFFLOAD, out_bad_offload, "cannot be segmented in software") \
	X(OUT_SEGMENTS, out_segments, "needs more slots than a packet may")    \
	X(OUT_LINK_DOWN, out_link_down, "interface is down")                   \
	X(OUT_IO_ERROR, out_io_error, "the kernel refused it")                 \
	X(OUT_GONE, out_gone, "port was closed or broken")

enum drop {
#define X(id, name, text) DROP_##id,
	DROP_REASONS(X)
#undef X
		DROP_N,
	DROP_MAX =
		96, /* with those of modules, which drop_intern() gives out */
};

/*
 * The reason of this name, one of modules: a new one, from DROP_N on and below
 * DROP_MAX, or that which had the name before. It is an IN reason and stays for
 * the life of the process. -EINVAL (not "in_" and a-z, 0-9, _, or a name from above),
 * -ENOSPC, -ENOMEM. Any thread.
 */
int drop_intern(const char *name, const char *text);
/* One more than the highest reason there is. Any thread. */
unsigned drop_count(void);
/* The counter's name, as in glenctl stats. */
const char *drop_name(unsigned reason);
/* What it means, in a few words. */
const char *drop_text(unsigned reason);

#endif
