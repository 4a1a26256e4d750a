// SPDX-License-Identifier: BSD-2-Clause
// pcapng.c - write packets as pcapng, with names, directions and comments.
#include "tools/glenctl/pcapng.h"

#include <string.h>

enum {
	BLOCK_INTERFACE = 1,
	BLOCK_STATS = 5,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0a0d0d0a,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINK_ETHERNET = 1,

	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	EPB_FLAGS = 2,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	ISB_FILTERACCEPT = 6,

	BLOCK_FRAME = 12, /* type and length, length again at the end */
	OPTION_HEAD = 4,
};

static uint32_t padded(uint32_t len)
{
	return (len + 3) & ~3U;
}

/* Room that an option takes; 0 for one that is left out. */
static uint32_t option_size(uint32_t len)
{
	return len ? OPTION_HEAD + padded(len) : 0;
}

static void put(FILE *file, const void *data, uint32_t len)
{
	static const char zeros[3];

	fwrite(data, 1, len, file);
	fwrite(zeros, 1, padded(len) - len, file);
}

static void put_option(FILE *file, uint16_t code, const void *data,
		       uint16_t len)
{
	uint16_t head[2] = { code, len };

	if (!len && code != OPT_END)
		return;
	put(file, head, sizeof(head));
	if (len)
		put(file, data, len);
}

static void put_begin(FILE *file, uint32_t type, uint32_t body)
{
	uint32_t head[2] = { type, BLOCK_FRAME + body };

	put(file, head, sizeof(head));
}

static void put_end(FILE *file, uint32_t body)
{
	uint32_t len = BLOCK_FRAME + body;

	put_option(file, OPT_END, NULL, 0);
	put(file, &len, sizeof(len));
}

/* Options are limited to 16 bits; names and comments of ours are short. */
static uint16_t text_len(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len < 4096 ? len : 4096;
}

void pcapng_section(FILE *file, const char *application)
{
	struct {
		uint32_t magic;
		uint16_t major, minor;
		uint64_t length;
	} fixed = { BYTE_ORDER_MAGIC, 1, 0, UINT64_MAX };
	uint16_t len = text_len(application);
	uint32_t body = sizeof(fixed) + option_size(len) + OPTION_HEAD;

	put_begin(file, BLOCK_SECTION, body);
	put(file, &fixed, sizeof(fixed));
	put_option(file, SHB_USERAPPL, application, len);
	put_end(file, body);
}

void pcapng_interface(FILE *file, const char *name, uint32_t snaplen,
		      const char *filter)
{
	struct {
		uint16_t link, reserved;
		uint32_t snaplen;
	} fixed = { LINK_ETHERNET, 0, snaplen };
	uint8_t nanoseconds = 9;
	uint16_t name_len = text_len(name), filter_len = text_len(filter);
	char filter_text[4097];
	uint32_t body;

	/* A filter is preceded by its kind: 0 is a libpcap expression. */
	if (filter_len) {
		if (filter_len == 4096)
			filter_len--;
		filter_text[0] = 0;
		memcpy(filter_text + 1, filter, filter_len);
		filter_len++;
	}
	body = sizeof(fixed) + option_size(name_len) +
	       option_size(sizeof(nanoseconds)) + option_size(filter_len) +
	       OPTION_HEAD;
	put_begin(file, BLOCK_INTERFACE, body);
	put(file, &fixed, sizeof(fixed));
	put_option(file, IF_NAME, name, name_len);
	put_option(file, IF_TSRESOL, &nanoseconds, sizeof(nanoseconds));
	put_option(file, IF_FILTER, filter_text, filter_len);
	put_end(file, body);
}

void pcapng_packet(FILE *file, const struct pcapng_packet *packet)
{
	uint32_t fixed[5] = { packet->interface, packet->time_ns >> 32,
			      packet->time_ns, packet->cap_len,
			      packet->wire_len };
	uint32_t flags = packet->direction;
	uint16_t comment_len = text_len(packet->comment);
	uint32_t body = sizeof(fixed) + padded(packet->cap_len) +
			option_size(comment_len) + option_size(sizeof(flags)) +
			OPTION_HEAD;

	put_begin(file, BLOCK_PACKET, body);
	put(file, fixed, sizeof(fixed));
	if (packet->cap_len)
		put(file, packet->data, packet->cap_len);
	put_option(file, OPT_COMMENT, packet->comment, comment_len);
	put_option(file, EPB_FLAGS, &flags, sizeof(flags));
	put_end(file, body);
}

static void put_time(FILE *file, uint16_t code, uint64_t time_ns)
{
	uint32_t halves[2] = { time_ns >> 32, time_ns };

	put_option(file, code, halves, sizeof(halves));
}

void pcapng_stats(FILE *file, const struct pcapng_stats *stats)
{
	uint32_t fixed[3] = { stats->interface, stats->end_ns >> 32,
			      stats->end_ns };
	uint32_t body = sizeof(fixed) + 5 * option_size(sizeof(uint64_t)) +
			OPTION_HEAD;

	put_begin(file, BLOCK_STATS, body);
	put(file, fixed, sizeof(fixed));
	put_time(file, ISB_STARTTIME, stats->start_ns);
	put_time(file, ISB_ENDTIME, stats->end_ns);
	put_option(file, ISB_IFRECV, &stats->received, sizeof(uint64_t));
	put_option(file, ISB_IFDROP, &stats->missed, sizeof(uint64_t));
	put_option(file, ISB_FILTERACCEPT, &stats->accepted, sizeof(uint64_t));
	put_end(file, body);
}
