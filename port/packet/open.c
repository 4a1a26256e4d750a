// SPDX-License-Identifier: BSD-2-Clause
// open.c - opens, shows and closes ports that are interfaces of the host.
#include "port/packet/packet.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/offload.h"
#include "lib/error.h"

/* Arguments of open_here(), which may run on another thread. */
struct open_job {
	struct packet *p;
	struct glen_error *error;
};

static int options_read(struct packet *p, json_t *params, const char **ifname,
			struct glen_error *error)
{
	static const char *const known[] = { "ifname",	  "netns", "queues",
					     "exclusive", "host",  "promisc",
					     "qdisc",	  NULL };
	long queues = 1;
	int err = params_check(params, known, error);

	if (!err)
		err = params_str(params, "ifname", ifname, error);
	if (!err)
		err = params_int(params, "queues", 1, 1, PACKET_QUEUES_MAX,
				 &queues, error);
	if (!err)
		err = params_bool(params, "exclusive", true, &p->exclusive,
				  error);
	if (!err)
		err = params_bool(params, "host", false, &p->host, error);
	if (!err)
		err = params_bool(params, "promisc", true, &p->promisc, error);
	if (!err)
		err = params_bool(params, "qdisc", true, &p->qdisc, error);
	if (!err && p->host && !p->exclusive)
		err = error_set(error, -EINVAL,
				"host=true needs exclusive=true: otherwise the "
				"host would receive each packet twice");
	p->n_queues = queues;
	return err;
}

/* In the interface's namespace. */
static int open_here(void *arg)
{
	struct open_job *job = arg;

	return packet_sockets_open(job->p, job->error);
}

static int check(struct port *port, struct packet *p, struct glen_error *error)
{
	static const uint8_t none[6];

	if (memcmp(port->mac, none, 6))
		return error_set(error, -EINVAL,
				 "a packet port has its interface's MAC: set "
				 "that with ip link set %s address",
				 p->dev.ifname);
	/* A socket bound to one that is down cannot join a group. */
	if (!(netdev_flags(&p->dev) & IFF_UP))
		return error_set(error, -ENETDOWN,
				 "interface %s is down; bring it up first: ip "
				 "link set %s up",
				 p->dev.ifname, p->dev.ifname);
	return 0;
}

/* From Linux 6.2 on a vnet header can describe UDP segmentation. */
static bool kernel_has_uso(void)
{
	struct utsname u;
	unsigned major, minor;

	return !uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 2));
}

static void port_fill(struct port *port, struct packet *p)
{
	for (unsigned i = 0; i < p->n_queues; i++) {
		p->queues[i].port = port;
		port->in[i].drv = &p->queues[i];
		port->in[i].in_fd = p->queues[i].fd;
		port->out[i].drv = &p->queues[i];
	}
	port->n_in = port->n_out = p->n_queues;
	/* Without the qdisc layer nobody would cut for a NIC that cannot. */
	if (p->qdisc)
		port->caps = OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO4 |
			     OFFLOAD_CAP_TSO6 | OFFLOAD_CAP_ECN |
			     (kernel_has_uso() ? OFFLOAD_CAP_USO : 0);
	port->drv = p;
}

static void link_refresh(struct packet *p)
{
	unsigned want = IFF_UP | IFF_RUNNING;
	bool up = (netdev_flags(&p->dev) & want) == want;

	atomic_store_explicit(&p->link, up, memory_order_relaxed);
}

static int packet_open(struct port *port, struct port_args *args,
		       struct glen_error *error)
{
	struct packet *p = aligned_alloc(64, (sizeof(*p) + 63) & ~63UL);
	struct open_job job = { p, error };
	const char *ifname = NULL;
	int err;

	if (!p)
		return error_set(error, -ENOMEM, "no memory for the port");
	memset(p, 0, sizeof(*p));
	netdev_prog_none(&p->drop);
	p->dev.sock = -1;
	err = options_read(p, args->params, &ifname, error);
	if (!err)
		err = netdev_open(&p->dev, ifname ? ifname : port->name,
				  args->params, error);
	if (err)
		goto err_free;
	err = check(port, p, error);
	if (!err)
		err = netdev_setting_change(&p->dev, NETDEV_LRO, false, error);
	if (!err)
		err = netdev_call(&p->dev, open_here, &job, error);
	if (err)
		goto err_dev;
	port_fill(port, p);
	link_refresh(p);
	return 0;

err_dev:
	netdev_close(&p->dev);
err_free:
	free(p);
	return err;
}

/* Packets come; with the program on the way in, what is not marked is not for
 * the host any more. */
static int packet_start(struct port *port, struct glen_error *error)
{
	struct packet *p = port->drv;
	const int32_t mark = (int32_t)netdev_mark();
	const int16_t at = offsetof(struct __sk_buff, mark);
	const struct bpf_insn insns[] = {
		/* r2 = skb->mark; if (r2 == mark) goto inject */
		{ BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, at, 0 },
		{ BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_2, 0, 2, mark },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, TC_ACT_SHOT },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
		/* inject: skb->mark = 0; go on */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0 },
		{ BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_2, at, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, TC_ACT_UNSPEC },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	int err = packet_sockets_start(p, error);

	if (err || !p->exclusive)
		return err;
	return netdev_prog_attach(&p->dev, false, insns,
				  sizeof(insns) / sizeof(*insns), &p->drop,
				  error);
}

static void packet_stop(struct port *port)
{
	struct packet *p = port->drv;

	netdev_prog_detach(&p->dev, &p->drop);
}

static void drops_count(struct port *port)
{
	struct packet *p = port->drv;

	for (unsigned i = 0; i < p->n_queues; i++) {
		unsigned n = packet_socket_drops(&p->queues[i]);

		if (n)
			in_drop_unseen(&port->in[i], DROP_IN_KERNEL_FULL, n);
	}
}

static void packet_close(struct port *port)
{
	struct packet *p = port->drv;

	if (port->counters)
		drops_count(port);
	packet_sockets_close(p);
	netdev_close(&p->dev);
	free(p);
	port->drv = NULL;
}

static int packet_set(struct port *port, json_t *params,
		      struct glen_error *error)
{
	struct packet *p = port->drv;
	static const uint8_t none[6];
	const char *key;
	json_t *value;

	if (memcmp(port->mac, none, 6))
		return check(port, p, error);
	json_object_foreach(params, key, value) {
		json_t *was = json_object_get(port->params, key);

		if (!was || !json_equal(was, value))
			return error_set(error, -EINVAL,
					 "%.64s of a packet port cannot be "
					 "changed: delete the port and add it "
					 "again",
					 key);
	}
	return 0;
}

static void packet_show(struct port *port, json_t *object)
{
	struct packet *p = port->drv;
	char ifname[IFNAMSIZ];

	if (netdev_ifname(&p->dev, ifname))
		strcpy(ifname, p->dev.ifname);
	json_object_set_new(object, "ifname", json_string(ifname));
	if (p->dev.netns.text[0])
		json_object_set_new(object, "netns",
				    json_string(p->dev.netns.text));
	json_object_set_new(object, "queues", json_integer(p->n_queues));
	json_object_set_new(object, "exclusive", json_boolean(p->exclusive));
	json_object_set_new(object, "host", json_boolean(p->host));
	json_object_set_new(object, "promisc", json_boolean(p->promisc));
	json_object_set_new(object, "qdisc", json_boolean(p->qdisc));
}

static void packet_tick(struct port *port)
{
	struct packet *p = port->drv;
	char ifname[IFNAMSIZ];

	drops_count(port);
	link_refresh(p);
	if (netns_is_gone(&p->dev.netns))
		port_break(port, "its network namespace was deleted");
	else if (netdev_ifname(&p->dev, ifname))
		port_break(port, "its interface was deleted");
}

static bool packet_link(struct port *port)
{
	struct packet *p = port->drv;

	return atomic_load_explicit(&p->link, memory_order_relaxed);
}

const struct port_ops packet_port_ops = {
	.name = "packet",
	.summary = "an interface of the host, by AF_PACKET",
	.options =
		"ifname=NAME     the interface (the port's name)\n"
		"netns=NAME      it is in this namespace, as in ip netns\n"
		"queues=N        1..16 ring pairs, packets spread by flow (1)\n"
		"exclusive=BOOL  what arrives goes to the switch only, not to "
		"the host's stack (true)\n"
		"host=BOOL       adds the host's side as a second port NAME^ "
		"(false)\n"
		"promisc=BOOL    take packets for all addresses (true)\n"
		"qdisc=BOOL      send through the interface's qdisc (true)\n",
	.host_side = "host",
	.open = packet_open,
	.start = packet_start,
	.stop = packet_stop,
	.close = packet_close,
	.set = packet_set,
	.show = packet_show,
	.tick = packet_tick,
	.link = packet_link,
	.hot = ISA_SAME(&packet_hot),
};
