/* SPDX-License-Identifier: BSD-2-Clause */
/* libnetmap.h - open netmap ports by name, with one line per port. */
#ifndef LIBNETMAP_H_
#define LIBNETMAP_H_
/*
 * Theory of operation
 *
 *   nmport_open("netmap:eth0-2/x@share:vale0:mon")
 *     = nmport_new()       a struct nmport_d, empty
 *     + nmport_parse()     the name becomes a request with its options
 *     + nmport_register()  opens /dev/netmap and sends the request
 *     + nmport_mmap()      maps the region, unless the program has it already
 *
 * Programs that want more (extra buffers, another number of rings, options)
 * take these steps themselves and change hdr and reg in between. Each step has
 * its opposite, nmport_undo_*(), which does nothing if the step was not done.
 *
 * A port specification:
 *
 *   netmap:NAME[MODE][/FLAGS][@N][@OPTION]...      an interface or other port
 *   valeX:NAME[MODE][/FLAGS][@N][@OPTION]...       a port of switch valeX
 *
 *   NAME    as the interface is called; PARENT{ID and PARENT}ID are the two
 *           ends of a pipe. In names of switches and their ports, and in IDs:
 *           letters, digits and _.
 *   MODE    none: all rings of the NIC; -N one of them; ^ all of the host
 *           stack; ^N one of them; * NIC and host stack
 *   FLAGS   x nobody else may bind these rings; R, T only RX or TX rings;
 *           r, t see what the port receives, sends; z with them: by swapping
 *           buffers
 *   @N      in the memory region with this number
 *   OPTION  share:PORT or share=PORT
 *             in the region of another port
 *           conf:KEY=NUMBER,...
 *             of a port that this opening creates; keys: rings, tx-rings,
 *             rx-rings, host-rings, host-tx-rings, host-rx-rings, slots,
 *             tx-slots, rx-slots; the longer name wins; conf=N is rings=N
 *           extmem:file=PATH,KEY=NUMBER,...
 *             in a region that is this file; keys: if-num, if-size, ring-num,
 *             ring-size, buf-num, buf-size; extmem=PATH is file=PATH
 *           offset:initial=N,bits=N
 *             packets begin at an offset in their buffers; offset=N is
 *             initial=N. Off until nmport_enable_option("offset").
 *
 * Errors: functions that return a pointer or an int return NULL or -1, set
 * errno, and hand a sentence to the error() of their context, which prints it
 * to stderr if the program has no other.
 *
 * Threads: one port is for one thread at a time. Ports of one context may be
 * used in different threads, for the list of regions that they share has a
 * lock. A context, the default one, and the enabled options are set up before
 * there are several threads.
 */
#include <stddef.h>
#include <stdint.h>

#include <net/netmap_user.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct nmctx;
struct nmem_d;
struct nmport_cleanup_d;

/* A port. */
struct nmport_d {
	struct nmreq_header hdr; /* nr_body: reg */
	struct nmreq_register reg;

	/* From here on only the library writes. */
	struct nmem_d
		*mem;	   /* the mapped region: the same for all ports in it */
	struct nmctx *ctx; /* the default one when the port was made */
	int register_done;
	int mmap_done;
	struct nmreq_opt_extmem *extmem; /* of hdr's options, or NULL */
	int fd;				 /* of /dev/netmap; -1: not open */
	struct netmap_if *nifp;		 /* in the mapping */
	/* Bound rings, ends included; none if first > last. */
	uint16_t first_tx_ring;
	uint16_t last_tx_ring;
	uint16_t first_rx_ring;
	uint16_t last_rx_ring;
	uint16_t cur_tx_ring; /* where nmport_inject() goes on */
	uint16_t cur_rx_ring;
	struct nmport_cleanup_d *clist; /* what nmport_undo_parse() frees */
};

/* Opens the port that a specification names; close it with nmport_close(). */
struct nmport_d *nmport_open(const char *portspec);

/* Unmaps, closes and frees; NULL is fine. */
void nmport_close(struct nmport_d *d);

/*
 * Copies a packet into free slots of the bound TX rings, in as many as it
 * needs, trying one ring after the other from cur_tx_ring. Its size, or 0 if
 * no ring has room: sync or poll and try again. Makes no system call.
 */
int nmport_inject(struct nmport_d *d, const void *buf, size_t size);

/* A port of the default context, with an empty request. */
struct nmport_d *nmport_new(void);
/* Frees what nmport_new() made; the port must not be open. NULL is fine. */
void nmport_delete(struct nmport_d *d);

/*
 * Makes the request out of a specification. May ask for the region of a port to
 * share with, and map a file for option extmem. After an error d is as new.
 */
int nmport_parse(struct nmport_d *d, const char *portspec);
/* Forgets the request and frees its options. */
void nmport_undo_parse(struct nmport_d *d);

/*
 * Opens the device and sends the request. reg then holds what was given, and
 * the ring numbers are valid. EINVAL: it is registered already. If an option
 * was refused the sentence names it.
 */
int nmport_register(struct nmport_d *d);
/* Closes the device; the rings are gone. */
void nmport_undo_register(struct nmport_d *d);

/*
 * Maps the region of a registered port, or takes the mapping that another port
 * of the same context has of it.
 */
int nmport_mmap(struct nmport_d *d);
/* Gives up the mapping, which goes with its last port. */
void nmport_undo_mmap(struct nmport_d *d);

/* nmport_new() and nmport_parse(). */
struct nmport_d *nmport_prepare(const char *portspec);
/* The opposite; frees d. */
void nmport_undo_prepare(struct nmport_d *d);

/* nmport_register() and nmport_mmap(). */
int nmport_open_desc(struct nmport_d *d);
/* The opposite; d can be opened again. */
void nmport_undo_open_desc(struct nmport_d *d);

/*
 * A port with the same request, but without its options, and not open: for one
 * more descriptor of it. A port with extmem must be registered, so that its
 * region has a number (else EINVAL).
 */
struct nmport_d *nmport_clone(struct nmport_d *d);

/*
 * Between parse and register: the region shall be [base, base + size), which
 * stays the caller's and must outlive the port. EINVAL: too late, or done
 * already.
 */
int nmport_extmem(struct nmport_d *d, void *base, size_t size);

/* The same with a file that is mapped now, and unmapped by undo_parse. */
int nmport_extmem_from_file(struct nmport_d *d, const char *fname);

/* Pools of the external region: in before, out after register; NULL: none. */
struct nmreq_pools_info *nmport_extmem_getinfo(struct nmport_d *d);

/*
 * Between parse and register: packets begin at an offset in their buffers,
 * which the low bits of slot->ptr hold (0: all bits): at first initial, never
 * more than maxoff. Read and write it with NETMAP_ROFFSET() and
 * NETMAP_WOFFSET(). With a mingap never more than so many bytes are written to
 * one slot.
 */
int nmport_offset(struct nmport_d *d, uint64_t initial, uint64_t maxoff,
		  uint64_t bits, uint64_t mingap);

/* Options that the program cannot cope with: specifications that use them are
 * refused from now on. Unknown names are ignored. */
void nmport_disable_option(const char *opt);
/* The opposite. -1 with EOPNOTSUPP if there is no such option. */
int nmport_enable_option(const char *opt);

/*
 * Requests, for programs that make their own.
 */

/* All zero but the version, the type and the address of the body. */
void nmreq_header_init(struct nmreq_header *hdr, uint16_t reqtype, void *body);

/*
 * Takes "netmap:NAME" or "valeX:NAME" from *ppspec, which moves past it, to
 * hdr->nr_name. Nothing has changed after an error (EINVAL).
 */
int nmreq_header_decode(const char **ppspec, struct nmreq_header *hdr,
			struct nmctx *ctx);

/*
 * Takes MODE, /FLAGS and @N from *pmode, which moves past them, to nr_mode,
 * nr_ringid, nr_flags and nr_mem_id. Ends at the string's end, or at an @
 * before something that is no number. Nothing has changed after an error
 * (EINVAL).
 */
int nmreq_register_decode(const char **pmode, struct nmreq_register *reg,
			  struct nmctx *ctx);

/* Most keys of an option. */
#define NMREQ_OPT_MAXKEYS 16

/* What a parser's callback is given. */
struct nmreq_parse_ctx {
	struct nmctx *ctx;
	void *token; /* of nmreq_options_decode() */
	/* Value of each key, by id; NULL: not given. Freed afterwards. */
	const char *keys[NMREQ_OPT_MAXKEYS];
};

/* Acts on an option; 0, or -1 with errno set and an error reported. */
typedef int (*nmreq_opt_parser_cb)(struct nmreq_parse_ctx *parse);

struct nmreq_opt_key {
	const char *key;
	int id;		    /* index in nmreq_parse_ctx.keys */
	unsigned int flags; /* NMREQ_OPTK_* */
};

#define NMREQ_OPTK_ALLOWEMPTY (1U << 0) /* may come without =VALUE */
#define NMREQ_OPTK_MUSTSET (1U << 1)	/* must come */
#define NMREQ_OPTK_DEFAULT (1U << 2)	/* what OPTION=VALUE sets */

/* An option of specifications. */
struct nmreq_opt_parser {
	const char *prefix; /* its name */
	nmreq_opt_parser_cb parse;
	int default_key; /* id of what OPTION=VALUE sets; -1: none */
	int nr_keys;
	unsigned int flags; /* NMREQ_OPTF_* */
	struct nmreq_opt_parser *next;
	struct nmreq_opt_key keys[NMREQ_OPT_MAXKEYS];
} __attribute__((aligned(16)));

#define NMREQ_OPTF_DISABLED (1U << 0)	/* refused */
#define NMREQ_OPTF_ALLOWEMPTY (1U << 1) /* may come as its name alone */

/*
 * Reads "@OPTION...", and calls for each option the parser of that name, with
 * token, once its syntax was found right. "" is fine. What parsers did before an
 * error stays done.
 */
int nmreq_options_decode(const char *opt, struct nmreq_opt_parser *parsers,
			 void *token, struct nmctx *ctx);

/*
 * The region of the port that *portname begins with, moving past that name; -1
 * with errno if there is none. Asks the device.
 */
int32_t nmreq_get_mem_id(const char **portname, struct nmctx *ctx);

/* Puts an option in front of the header's list. It is borrowed. */
void nmreq_push_option(struct nmreq_header *hdr, struct nmreq_option *opt);
/* Takes it out again, if it is there. */
void nmreq_remove_option(struct nmreq_header *hdr, struct nmreq_option *opt);
/* The first option of a type, or NULL. */
struct nmreq_option *nmreq_find_option(struct nmreq_header *hdr,
				       uint32_t reqtype);
/* Takes out all options and gives them to free(). */
void nmreq_free_options(struct nmreq_header *hdr);
/* What a type of options is called; "unknown" if it has no name. */
const char *nmreq_option_name(uint32_t reqtype);

/* The options of header h one by one in o. */
#define nmreq_foreach_option(h, o)                                    \
	for ((o) = (struct nmreq_option *)(uintptr_t)(h)->nr_options; \
	     (o) != NULL;                                             \
	     (o) = (struct nmreq_option *)(uintptr_t)(o)->nro_next)

/*
 * Contexts: where errors and memory go, and which regions are mapped.
 */

typedef void (*nmctx_error_cb)(struct nmctx *ctx, const char *message);
typedef void *(*nmctx_malloc_cb)(struct nmctx *ctx, size_t size);
typedef void (*nmctx_free_cb)(struct nmctx *ctx, void *mem);
typedef void (*nmctx_lock_cb)(struct nmctx *ctx, int lock);

struct nmctx {
	int verbose; /* 0: errors are not reported */
	nmctx_error_cb error;
	nmctx_malloc_cb malloc;
	nmctx_free_cb free;
	nmctx_lock_cb lock; /* NULL: no lock; lock: 1 take, 0 release */
	struct nmem_d *mem_descs;
};

/* A mapped region. */
struct nmem_d {
	uint16_t mem_id;
	int refcount; /* ports */
	void *mem;
	size_t size;
	int is_extmem; /* the program's: not ours to unmap */
	struct nmem_d *next;
	struct nmem_d *prev;
};

/* The default context. */
struct nmctx *nmctx_get(void);
/* Makes ctx the default one, borrowing it; returns the one before. */
struct nmctx *nmctx_set_default(struct nmctx *ctx);
/* Gives the library's own context its lock; it has it from the start. */
void nmctx_set_threadsafe(void);

/* Reports an error: printf()'s arguments, without a newline. */
void nmctx_ferror(struct nmctx *ctx, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void *nmctx_malloc(struct nmctx *ctx, size_t size);
void nmctx_free(struct nmctx *ctx, void *mem);
void nmctx_lock(struct nmctx *ctx);
void nmctx_unlock(struct nmctx *ctx);

/* For objects compiled elsewhere, which set it. It means nothing here. */
extern int nmctx_threadsafe;

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
