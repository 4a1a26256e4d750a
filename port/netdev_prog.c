// SPDX-License-Identifier: BSD-2-Clause
// netdev_prog.c - BPF programs on an interface: as links, else as tc filters.
#include "port/netdev.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/guard.h"

/* Linux 6.6; not in older headers. */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47 };

/* A qdisc that our filters of one interface hang on. */
struct clsact {
	struct clsact *next;
	uint64_t netns_ino;
	struct undo
		undo; /* its ifindex counts also if there is nothing to do */
	int guard_id;
	unsigned users; /* programs of ours */
};

static struct clsact *clsacts;

/* Arguments of attach(), which may run on another thread. */
struct attach_job {
	struct netdev *dev;
	struct netdev_prog *prog;
	int prog_fd;
	bool egress;
	unsigned to; /* interface whose way in is next; 0: the program says */
	struct glen_error *error;
};

struct tc_request {
	struct nlmsghdr nh;
	struct tcmsg tc;
	char attrs[256];
};

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

void netdev_prog_none(struct netdev_prog *prog)
{
	memset(prog, 0, sizeof(*prog));
	prog->link = -1;
}

static int load(const struct bpf_insn *insns, unsigned n_insns,
		struct glen_error *error)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = n_insns;
	attr.license = (uintptr_t) "BSD";
	memcpy(attr.prog_name, "glen", 5);
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd >= 0)
		return fd;
	if (errno == EPERM || errno == EACCES)
		return error_set(error, -EPERM,
				 "loading a BPF program needs CAP_BPF and "
				 "CAP_NET_ADMIN; run glend as root");
	if (errno == ENOSYS)
		return error_set(error, -ENOSYS,
				 "the kernel has no BPF (CONFIG_BPF_SYSCALL)");
	return error_set(error, -errno, "cannot load a BPF program: %s",
			 strerror(errno));
}

/* The kernel takes the program off when the descriptor is closed. */
static int attach_link(struct attach_job *job)
{
	union bpf_attr attr;
	int fd;

	if (job->to || getenv("GLEN_NO_TCX"))
		return -EINVAL;
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = job->prog_fd;
	attr.link_create.target_fd = job->dev->ifindex;
	attr.link_create.attach_type = job->egress ? TCX_EGRESS : TCX_INGRESS;
	fd = bpf(BPF_LINK_CREATE, &attr);
	if (fd < 0)
		return -errno;
	job->prog->link = fd;
	return 0;
}

static struct rtattr *attr_put(struct tc_request *r, unsigned type,
			       const void *data, size_t len)
{
	struct rtattr *rta = (void *)((char *)r + NLMSG_ALIGN(r->nh.nlmsg_len));

	rta->rta_type = type;
	rta->rta_len = RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(rta), data, len);
	r->nh.nlmsg_len = NLMSG_ALIGN(r->nh.nlmsg_len) +
			  RTA_ALIGN(rta->rta_len);
	return rta;
}

/* What came since is in the attribute. */
static void attr_end(struct tc_request *r, struct rtattr *rta)
{
	rta->rta_len = (char *)r + r->nh.nlmsg_len - (char *)rta;
}

static void tc_init(struct tc_request *r, unsigned type, unsigned flags,
		    unsigned ifindex, const char *kind)
{
	memset(r, 0, sizeof(*r));
	r->nh.nlmsg_len = NLMSG_LENGTH(sizeof(r->tc));
	r->nh.nlmsg_type = type;
	r->nh.nlmsg_flags = flags;
	r->tc.tcm_family = AF_UNSPEC;
	r->tc.tcm_ifindex = (int)ifindex;
	attr_put(r, TCA_KIND, kind, strlen(kind) + 1);
}

/* A description for the guards, with a socket of its own. */
static int guard_this(struct attach_job *job, const struct undo *undo)
{
	int sock = undo_socket(), id;

	if (sock < 0)
		return error_set(job->error, sock,
				 "cannot open a netlink socket: %s",
				 strerror(-sock));
	id = guard_add(sock, undo, job->error);
	close(sock); /* the guards have copies */
	return id;
}

/* Makes the qdisc that filters hang on, if there is none yet. */
static int clsact_make(struct attach_job *job, struct clsact *c)
{
	struct tc_request r;
	int err;

	c->guard_id = guard_this(job, &c->undo);
	if (c->guard_id < 0)
		return c->guard_id;
	tc_init(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, job->dev->ifindex,
		"clsact");
	r.tc.tcm_parent = TC_H_CLSACT;
	r.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	err = undo_request(job->dev->sock, &r.nh);
	if (!err)
		return 0;
	/* Not ours, then not ours to remove. */
	guard_del(c->guard_id);
	c->guard_id = 0;
	c->undo.kind = UNDO_NOTHING;
	if (err == -EEXIST)
		return 0;
	return error_set(job->error, err,
			 "cannot add a clsact qdisc to %s: %s%s",
			 job->dev->ifname, strerror(-err),
			 err == -ENOENT ? " (CONFIG_NET_SCH_INGRESS)" : "");
}

static int clsact_get(struct attach_job *job)
{
	struct clsact *c = clsacts;
	int err;

	while (c && (c->netns_ino != netdev_netns_ino(job->dev) ||
		     c->undo.ifindex != job->dev->ifindex))
		c = c->next;
	if (c) {
		c->users++;
		job->prog->clsact = c;
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return error_set(job->error, -ENOMEM, "out of memory");
	c->netns_ino = netdev_netns_ino(job->dev);
	c->undo = (struct undo){ UNDO_CLSACT, job->dev->ifindex, 0, 0 };
	c->users = 1;
	err = clsact_make(job, c);
	if (err) {
		free(c);
		return err;
	}
	c->next = clsacts;
	clsacts = c;
	job->prog->clsact = c;
	return 0;
}

static void clsact_put(struct netdev *dev, struct clsact *c)
{
	struct clsact **at = &clsacts;

	if (--c->users)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	undo_run(dev->sock, &c->undo);
	guard_del(c->guard_id);
	free(c);
}

/* The filter's action: into another interface, as if it came in there. */
static void action_put(struct tc_request *r, unsigned ifindex)
{
	const struct tc_mirred to = { .action = TC_ACT_STOLEN,
				      .eaction = TCA_INGRESS_REDIR,
				      .ifindex = ifindex };
	struct rtattr *actions = attr_put(r, TCA_BPF_ACT, NULL, 0);
	struct rtattr *first = attr_put(r, 1, NULL, 0), *options;

	attr_put(r, TCA_ACT_KIND, "mirred", 7);
	options = attr_put(r, TCA_ACT_OPTIONS, NULL, 0);
	attr_put(r, TCA_MIRRED_PARMS, &to, sizeof(to));
	attr_end(r, options);
	attr_end(r, first);
	attr_end(r, actions);
}

static int add_filter(struct attach_job *job)
{
	struct netdev_prog *prog = job->prog;
	uint32_t parent = TC_H_MAKE(TC_H_CLSACT, job->egress ?
							 TC_H_MIN_EGRESS :
							 TC_H_MIN_INGRESS);
	uint32_t fd = job->prog_fd, flags = TCA_BPF_FLAG_ACT_DIRECT;
	struct tc_request r;
	struct rtattr *nest;
	int err;

	prog->filter = (struct undo){ UNDO_FILTER, job->dev->ifindex, parent,
				      0 };
	tc_init(&r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
		job->dev->ifindex, "bpf");
	r.tc.tcm_parent = parent;
	r.tc.tcm_handle = UNDO_FILTER_HANDLE;
	r.tc.tcm_info = TC_H_MAKE(UNDO_FILTER_PRIO << 16, htons(ETH_P_ALL));
	nest = attr_put(&r, TCA_OPTIONS, NULL, 0);
	attr_put(&r, TCA_BPF_FD, &fd, sizeof(fd));
	attr_put(&r, TCA_BPF_NAME, "glen", 5);
	if (job->to)
		action_put(&r, job->to);
	else
		attr_put(&r, TCA_BPF_FLAGS, &flags, sizeof(flags));
	attr_end(&r, nest);
	prog->filter_id = guard_this(job, &prog->filter);
	err = prog->filter_id < 0 ? prog->filter_id :
				    undo_request(job->dev->sock, &r.nh);
	if (!err)
		return 0;
	prog->filter.kind = UNDO_NOTHING;
	if (prog->filter_id < 0)
		return err;
	if (err == -EEXIST)
		return error_set(job->error, -EBUSY,
				 "another port has the traffic of %s already",
				 job->dev->ifname);
	return error_set(job->error, err, "cannot add a filter to %s: %s%s",
			 job->dev->ifname, strerror(-err),
			 job->to && err == -ENOENT ?
				 " (CONFIG_NET_ACT_MIRRED)" :
				 "");
}

/* In the interface's namespace. */
static int attach(void *arg)
{
	struct attach_job *job = arg;
	int err = attach_link(job);

	if (!err)
		return 0;
	/* What a kernel without tcx says. */
	if (err != -EINVAL && err != -EOPNOTSUPP)
		return error_set(job->error, err,
				 "cannot attach a BPF program to %s: %s",
				 job->dev->ifname, strerror(-err));
	err = clsact_get(job);
	return err ? err : add_filter(job);
}

static int load_and_attach(struct attach_job job, const struct bpf_insn *insns,
			   unsigned n_insns)
{
	struct netdev *dev = job.dev;
	struct netdev_prog *prog = job.prog;
	struct glen_error *error = job.error;
	int err;

	netdev_prog_none(prog);
	job.prog_fd = load(insns, n_insns, error);
	if (job.prog_fd < 0)
		return job.prog_fd;
	err = netdev_call(dev, attach, &job, error);
	close(job.prog_fd);
	if (err)
		netdev_prog_detach(dev, prog);
	return err;
}

int netdev_prog_attach(struct netdev *dev, bool egress,
		       const struct bpf_insn *insns, unsigned n_insns,
		       struct netdev_prog *prog, struct glen_error *error)
{
	return load_and_attach((struct attach_job){ .dev = dev,
						    .prog = prog,
						    .egress = egress,
						    .error = error },
			       insns, n_insns);
}

int netdev_prog_redirect(struct netdev *dev, const struct netdev *to,
			 const struct bpf_insn *insns, unsigned n_insns,
			 struct netdev_prog *prog, struct glen_error *error)
{
	return load_and_attach((struct attach_job){ .dev = dev,
						    .prog = prog,
						    .to = to->ifindex,
						    .error = error },
			       insns, n_insns);
}

void netdev_prog_detach(struct netdev *dev, struct netdev_prog *prog)
{
	if (prog->link >= 0)
		close(prog->link);
	if (prog->filter.kind)
		undo_run(dev->sock, &prog->filter);
	guard_del(prog->filter_id);
	if (prog->clsact)
		clsact_put(dev, prog->clsact);
	netdev_prog_none(prog);
}
