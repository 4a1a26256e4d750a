// SPDX-License-Identifier: BSD-2-Clause
// prog.c - the program at the interface: put together, loaded, linked.
/*
 *   [tag of a veth, put into the frame]
 *   [filter: to no_match if it does not]
 *   match:    to the socket of this queue; without one, to the host's stack
 *   no_match: [tag out again], to the host's stack
 *   drop:     [what should have had its tag put in and could not]
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/xdp/code.h"
#include "port/xdp/xdp.h"

#define PROG_NAME "glen_xdp"
#define TAG_FUNCTION "bpf_xdp_metadata_rx_vlan_tag"

/* Linux 6.3; not in older headers. */
#ifndef BPF_F_XDP_DEV_BOUND_ONLY
#define BPF_F_XDP_DEV_BOUND_ONLY (1U << 6)
#endif

enum { LOG_SIZE = 65536, REASON_SIZE = 120 };

/* Loads of the start and the end of the packet. */
static void add_bounds(struct bpf_code *c)
{
	code_add(c, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_8, BPF_REG_6,
		 offsetof(struct xdp_md, data), 0);
	code_add(c, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_9, BPF_REG_6,
		 offsetof(struct xdp_md, data_end), 0);
}

static void add_load(struct bpf_code *c, uint8_t size, unsigned dst,
		     unsigned src, int off)
{
	code_add(c, BPF_LDX | BPF_MEM | size, dst, src, off, 0);
}

static void add_store(struct bpf_code *c, uint8_t size, unsigned dst,
		      unsigned src, int off)
{
	code_add(c, BPF_STX | BPF_MEM | size, dst, src, off, 0);
}

static void add_adjust_head(struct bpf_code *c, int by)
{
	code_add(c, OP_MOV, BPF_REG_1, BPF_REG_6, 0, 0);
	code_add(c, OP_MOVI, BPF_REG_2, 0, 0, by);
	code_add(c, OP_CALL, 0, 0, 0, BPF_FUNC_xdp_adjust_head);
	code_jump(c, OP_JNEI, BPF_REG_0, 0, 0, LABEL_DROP);
}

/* to_drop unless the packet has n bytes. */
static void add_room(struct bpf_code *c, int n)
{
	code_add(c, OP_MOV, BPF_REG_1, BPF_REG_8, 0, 0);
	code_add(c, OP_ADDI, BPF_REG_1, 0, 0, n);
	code_jump(c, OP_JGT, BPF_REG_1, BPF_REG_9, 0, LABEL_DROP);
}

/* If the packet has a tag outside of the frame: puts it in, R7 = 1. */
static void add_tag_in(struct bpf_code *c, int function)
{
	unsigned skip;

	code_add(c, OP_MOVI, BPF_REG_7, 0, 0, 0);
	code_add(c, OP_MOVI, BPF_REG_1, 0, 0, 0);
	add_store(c, BPF_DW, BPF_REG_10, BPF_REG_1, -CODE_PROTO);
	add_store(c, BPF_DW, BPF_REG_10, BPF_REG_1, -CODE_TCI);
	code_add(c, OP_MOV, BPF_REG_1, BPF_REG_6, 0, 0);
	code_add(c, OP_MOV, BPF_REG_2, BPF_REG_10, 0, 0);
	code_add(c, OP_ADDI, BPF_REG_2, 0, 0, -CODE_PROTO);
	code_add(c, OP_MOV, BPF_REG_3, BPF_REG_10, 0, 0);
	code_add(c, OP_ADDI, BPF_REG_3, 0, 0, -CODE_TCI);
	code_add(c, OP_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, function);
	skip = c->n;
	code_add(c, OP_JNEI, BPF_REG_0, 0, 0, 0);
	add_adjust_head(c, -4);
	add_bounds(c);
	add_room(c, 18);
	add_load(c, BPF_DW, BPF_REG_1, BPF_REG_8, 4);
	add_store(c, BPF_DW, BPF_REG_8, BPF_REG_1, 0);
	add_load(c, BPF_W, BPF_REG_1, BPF_REG_8, 12);
	add_store(c, BPF_W, BPF_REG_8, BPF_REG_1, 8);
	add_load(c, BPF_H, BPF_REG_1, BPF_REG_10, -CODE_PROTO);
	add_store(c, BPF_H, BPF_REG_8, BPF_REG_1, 12);
	add_load(c, BPF_H, BPF_REG_1, BPF_REG_10, -CODE_TCI);
	code_add(c, BPF_ALU | BPF_END | BPF_TO_BE, BPF_REG_1, 0, 0, 16);
	add_store(c, BPF_H, BPF_REG_8, BPF_REG_1, 14);
	code_add(c, OP_MOVI, BPF_REG_7, 0, 0, 1);
	if (!c->overflow)
		c->insn[skip].off = c->n - skip - 1;
}

/* The stack knows of the tag that R7 says was put in: takes it out again. */
static void add_tag_out(struct bpf_code *c)
{
	unsigned skip = c->n;

	code_add(c, OP_JEQI, BPF_REG_7, 0, 0, 0);
	add_bounds(c);
	add_room(c, 18);
	add_load(c, BPF_W, BPF_REG_1, BPF_REG_8, 8);
	add_store(c, BPF_W, BPF_REG_8, BPF_REG_1, 12);
	add_load(c, BPF_DW, BPF_REG_1, BPF_REG_8, 0);
	add_store(c, BPF_DW, BPF_REG_8, BPF_REG_1, 4);
	add_adjust_head(c, 4);
	if (!c->overflow)
		c->insn[skip].off = c->n - skip - 1;
}

static int add_filter(struct bpf_code *c, const char *expression,
		      struct glen_error *error)
{
	code_add(c, OP_MOV, BPF_REG_1, BPF_REG_6, 0, 0);
	code_add(c, OP_CALL, 0, 0, 0, BPF_FUNC_xdp_get_buff_len);
	add_store(c, BPF_W, BPF_REG_10, BPF_REG_0, -CODE_LEN);
	add_bounds(c);
	return xdp_filter_add(expression, c, error);
}

static void add_verdict(struct bpf_code *c, int verdict)
{
	code_add(c, OP_MOVI, BPF_REG_0, 0, 0, verdict);
	code_add(c, OP_EXIT, 0, 0, 0, 0);
}

static int assemble(struct bpf_code *c, const char *filter, int map_fd,
		    int tag_function, struct glen_error *error)
{
	int err;

	code_add(c, OP_MOV, BPF_REG_6, BPF_REG_1, 0, 0);
	if (tag_function)
		add_tag_in(c, tag_function);
	if (filter) {
		err = add_filter(c, filter, error);
		if (err)
			return err;
	}
	code_label(c, LABEL_MATCH);
	add_load(c, BPF_W, BPF_REG_2, BPF_REG_6,
		 offsetof(struct xdp_md, rx_queue_index));
	code_add(c, BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0,
		 map_fd);
	code_add(c, 0, 0, 0, 0, 0);
	code_add(c, OP_MOVI, BPF_REG_3, 0, 0, XDP_PASS);
	code_add(c, OP_CALL, 0, 0, 0, BPF_FUNC_redirect_map);
	code_add(c, OP_EXIT, 0, 0, 0, 0);
	if (filter) {
		code_label(c, LABEL_NO_MATCH);
		if (tag_function)
			add_tag_out(c);
		add_verdict(c, XDP_PASS);
	}
	if (tag_function) {
		code_label(c, LABEL_DROP);
		add_verdict(c, XDP_DROP);
	}
	return code_resolve(c) ?
		       0 :
		       error_set(error, -E2BIG, "filter \"%.100s\" is too long",
				 filter);
}

/* Number of the kernel's function for VLAN tags; 0: it has none. */
static int tag_function_find(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int id;

	if (!btf)
		return 0;
	id = btf__find_by_name_kind(btf, TAG_FUNCTION, BTF_KIND_FUNC);
	btf__free(btf);
	return id > 0 ? id : 0;
}

static int denied(struct glen_error *error)
{
	return error_set(error, -EPERM,
			 "an xdp port needs CAP_NET_ADMIN, CAP_NET_RAW and "
			 "CAP_BPF: run glend as root, or as a service that has "
			 "them");
}

static int map_create(const struct xdp_plan *plan, struct xdp_prog *prog,
		      struct glen_error *error)
{
	unsigned n = plan->link.n_rx > plan->n_queues ? plan->link.n_rx :
							plan->n_queues;
	int fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "glen_socks", 4, 4, n,
				NULL);

	if (fd == -EPERM)
		return denied(error);
	if (fd == -ENOSYS)
		return error_set(error, fd,
				 "this kernel, or a seccomp filter around "
				 "glend, has no bpf(2): use the driver packet");
	if (fd == -EINVAL)
		return error_set(error, fd,
				 "this kernel has no AF_XDP "
				 "(CONFIG_XDP_SOCKETS): use the driver packet");
	if (fd < 0)
		return error_set(error, fd, "cannot make a map of sockets: %s",
				 strerror(-fd));
	prog->map_fd = fd;
	return 0;
}

/* The last line of a verifier's log that says something. */
static void log_reason(const char *log, char *reason)
{
	size_t end = strlen(log), start;

	for (;;) {
		while (end && log[end - 1] == '\n')
			end--;
		start = end;
		while (start && log[start - 1] != '\n')
			start--;
		if (!start || strncmp(log + start, "processed", 9))
			break;
		end = start;
	}
	snprintf(reason, REASON_SIZE, "%.*s", (int)(end - start), log + start);
}

static int load(const struct xdp_plan *plan, const struct bpf_code *code,
		bool bound, struct xdp_prog *prog, struct glen_error *error)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	char *log = calloc(1, LOG_SIZE), reason[REASON_SIZE] = "";
	int fd;

	if (plan->multi)
		opts.prog_flags |= BPF_F_XDP_HAS_FRAGS;
	if (bound) {
		opts.prog_flags |= BPF_F_XDP_DEV_BOUND_ONLY;
		opts.prog_ifindex = plan->link.ifindex;
	}
	opts.log_buf = log;
	opts.log_size = log ? LOG_SIZE : 0;
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, PROG_NAME, "Dual BSD/GPL",
			   code->insn, code->n, &opts);
	if (fd < 0 && log)
		log_reason(log, reason);
	free(log);
	if (fd == -EPERM)
		return denied(error);
	if (fd < 0)
		return error_set(error, fd,
				 "the kernel does not take the program for %s: "
				 "%s %s",
				 plan->link.ifname, strerror(-fd), reason);
	prog->prog_fd = fd;
	return 0;
}

/* With or without asking for tags. */
static int load_kind(const struct xdp_plan *plan, int tag_function,
		     struct xdp_prog *prog, struct glen_error *error)
{
	struct bpf_code *code = calloc(1, sizeof(*code));
	int err;

	if (!code)
		return error_set(error, -ENOMEM, "out of memory");
	err = assemble(code, plan->options->filter, prog->map_fd, tag_function,
		       error);
	if (!err)
		err = load(plan, code, tag_function != 0, prog, error);
	free(code);
	return err;
}

int xdp_prog_load(const struct xdp_plan *plan, bool native,
		  struct xdp_prog *prog, struct glen_error *error)
{
	int tags = 0, err;

	libbpf_set_print(NULL);
	prog->generic = !native;
	err = map_create(plan, prog, error);
	if (err)
		return err;
	/* Tags that a card took out it was told to leave in. */
	if (native && !strcmp(plan->link.kind, "veth"))
		tags = tag_function_find();
	prog->tags = tags != 0;
	err = load_kind(plan, tags, prog, error);
	if (err && err != -EPERM && tags) {
		prog->tags = false;
		err = load_kind(plan, 0, prog, error);
	}
	return err;
}

int xdp_prog_name(uint32_t id, char *name)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id), err;

	if (fd < 0)
		return fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	memcpy(name, info.name, XDP_PROG_NAME_SIZE);
	name[XDP_PROG_NAME_SIZE - 1] = '\0';
	return err;
}

static int taken(const struct xdp_plan *plan, struct glen_error *error)
{
	char name[XDP_PROG_NAME_SIZE] = "?";
	uint32_t id = plan->link.xdp_prog;

	if (!id)
		return error_set(error, -EBUSY,
				 "another XDP program is attached to %s; see: "
				 "ip link show dev %s",
				 plan->link.ifname, plan->link.ifname);
	xdp_prog_name(id, name);
	return error_set(error, -EBUSY,
			 "XDP program %s (id %u) is attached to %s: %s; see: "
			 "ip link show dev %s",
			 name, id, plan->link.ifname,
			 strcmp(name, PROG_NAME) ?
				 "end the program that holds it, or ip link "
				 "set dev IFNAME xdp off" :
				 "another glend has a port on it",
			 plan->link.ifname);
}

static int link_failed(const struct xdp_plan *plan, bool native, int err,
		       struct glen_error *error)
{
	const char *name = plan->link.ifname;

	switch (-err) {
	case EPERM:
		return denied(error);
	case EBUSY:
	case EEXIST:
		return taken(plan, error);
	case EOPNOTSUPP:
		return error_set(error, err,
				 "driver %s of %s has no native XDP%s",
				 plan->link.driver, name,
				 native ? ": use mode=generic" : "");
	case ERANGE:
		return error_set(error, err,
				 "the MTU of %s, or of its peer, is too large "
				 "for native XDP: lower it, or use "
				 "mode=generic",
				 name);
	case ENOSPC:
		return error_set(error, err,
				 "%s has fewer receive queues than its peer "
				 "transmit queues: ethtool -L %s rx N",
				 name, name);
	default:
		return error_set(error, err,
				 "driver %s of %s refuses the XDP program: %s "
				 "(often the MTU, or LRO)",
				 plan->link.driver, name, strerror(-err));
	}
}

int xdp_prog_link(const struct xdp_plan *plan, bool native,
		  struct xdp_prog *prog, struct glen_error *error)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(prog->prog_fd, plan->link.ifindex, BPF_XDP,
				 &opts);

	if (fd < 0)
		return link_failed(plan, native, fd, error);
	prog->link_fd = fd;
	return 0;
}

int xdp_prog_set_socket(const struct xdp_prog *prog, unsigned queue, int fd)
{
	return bpf_map_update_elem(prog->map_fd, &queue, &fd, 0);
}

bool xdp_prog_attached(const struct xdp_prog *prog, unsigned ifindex)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);

	return !bpf_obj_get_info_by_fd(prog->link_fd, &info, &len) &&
	       info.xdp.ifindex == ifindex;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void xdp_prog_init(struct xdp_prog *prog)
{
	*prog = (struct xdp_prog){ .link_fd = -1, .prog_fd = -1, .map_fd = -1 };
}

void xdp_prog_close(struct xdp_prog *prog)
{
	close_fd(&prog->link_fd);
	close_fd(&prog->prog_fd);
	close_fd(&prog->map_fd);
}
