// SPDX-License-Identifier: BSD-2-Clause
// host.c - a port whose other side is the host's stack on one of its NICs.
/*
 * Theory of operation
 *
 * Port eth0 (driver packet or xdp) is what is behind interface eth0: the wire.
 * Port eth0^ is the host itself, in front of it. Both can be ports of a switch,
 * and then the host sends and receives through that switch while its addresses,
 * routes and neighbours stay on eth0:
 *
 *   host's stack --> eth0 --> tc egress: our program --> TAP --> eth0^ ingress
 *   host's stack <-- eth0 <-- tc ingress of the TAP: our program <-- TAP <--
 *                                                         eth0^ egress
 *
 * The TAP, glenh0 or the next free number, is a helper without addresses that
 * nobody else has a use for: packets cross it as on any TAP (tap.h), so TCP
 * segments and checksums are left undone both ways. bpf_redirect() puts what
 * glend writes into the TAP into eth0's way in, as if it had arrived there;
 * netdev_mark() goes with it, so that a packet port on eth0 neither drops it
 * for the stack nor takes it into the switch again.
 *
 * A generic XDP program on eth0, an xdp port's or another, would see what
 * bpf_redirect() puts there. If there is one when the port is made, a filter
 * with the action mirred does it, which such programs let pass.
 *
 * What a packet port sends out of eth0 carries the mark too, and the program on
 * the way out lets it pass. AF_XDP sends behind that program.
 *
 * Counters. eth0's are those of its wire: what came in over it, what went out
 * over it, each packet once, whoever it was from or for. What the host sent and
 * received through the switch is counted on the TAP (its rx is what the host
 * received), and on the port.
 *
 * Life. The TAP goes with its descriptor; the program on eth0's way out with
 * its link, or, before Linux 6.6, by the guards (port/guard.h). Without it the
 * host sends straight to eth0, as ever. start() takes the traffic when the port
 * can forward it, and stop() gives it back before it cannot any more.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/error.h"
#include "port/netdev.h"
#include "port/tap/tap.h"

/* Functions of the kernel by number, and a flag; the headers have an enum with
 * all. */
enum {
	HELPER_REDIRECT = BPF_FUNC_redirect,
	HELPER_CHANGE_TYPE = BPF_FUNC_skb_change_type,
	TO_INGRESS = BPF_F_INGRESS,
};

/* Packets that wait for glend; a TAP's default is 1000 for any speed. */
enum { QUEUE_LEN = 4096, HELPER_MTU = 65521 };

struct host {
	struct tap tap;	   /* first: struct tap and its queues are port->drv */
	struct netdev dev; /* the NIC */
	struct netdev helper;	   /* the TAP */
	struct netdev_prog out;	   /* on dev: to the TAP */
	struct netdev_prog inject; /* on the TAP: into dev */
	struct host *next;
};

/* Arguments of open_here(), which may run on another thread. */
struct open_job {
	struct host *h;
	struct glen_error *error;
};

/* All of them: an interface has one host side. */
static struct host *hosts;

static bool is_taken(const struct netdev *dev)
{
	for (struct host *h = hosts; h; h = h->next)
		if (netdev_is_same(&h->dev, dev))
			return true;
	return false;
}

struct link_request {
	struct nlmsghdr nh;
	struct ifinfomsg ifi;
	char attrs[128];
};

static struct rtattr *attr_put(struct link_request *r, unsigned type,
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

static void link_init(struct link_request *r, const struct netdev *dev)
{
	memset(r, 0, sizeof(*r));
	r->nh.nlmsg_len = NLMSG_LENGTH(sizeof(r->ifi));
	r->nh.nlmsg_type = RTM_NEWLINK;
	r->ifi.ifi_index = (int)dev->ifindex;
}

/* No IPv6 address of its own: the helper is not to say anything by itself. */
static void helper_mute(struct netdev *helper)
{
	const uint8_t none = 1; /* IN6_ADDR_GEN_MODE_NONE */
	struct link_request r;
	struct rtattr *spec, *inet6;

	link_init(&r, helper);
	spec = attr_put(&r, IFLA_AF_SPEC, NULL, 0);
	inet6 = attr_put(&r, AF_INET6, NULL, 0);
	attr_put(&r, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
	spec->rta_len = (char *)&r + r.nh.nlmsg_len - (char *)spec;
	inet6->rta_len = (char *)&r + r.nh.nlmsg_len - (char *)inet6;
	undo_request(helper->sock, &r.nh); /* a host without IPv6 refuses */
}

static int helper_up(struct host *h, struct glen_error *error)
{
	const uint32_t mtu = HELPER_MTU, len = QUEUE_LEN;
	struct link_request r;
	char alias[IFNAMSIZ + 32];
	int err;

	helper_mute(&h->helper);
	snprintf(alias, sizeof(alias), "glend: the host's side of %s",
		 h->dev.ifname);
	link_init(&r, &h->helper);
	r.ifi.ifi_flags = r.ifi.ifi_change = IFF_UP;
	attr_put(&r, IFLA_MTU, &mtu, sizeof(mtu));
	attr_put(&r, IFLA_TXQLEN, &len, sizeof(len));
	attr_put(&r, IFLA_IFALIAS, alias, strlen(alias));
	err = undo_request(h->helper.sock, &r.nh);
	if (err)
		error_set(error, err, "cannot bring %s up: %s",
			  h->helper.ifname, strerror(-err));
	return err;
}

/* In the interface's namespace: the TAP's descriptors. */
static int open_here(void *arg)
{
	struct open_job *job = arg;
	struct tap *t = &job->h->tap;
	int err = 0;

	strcpy(t->ifname, "glenh%d");
	for (unsigned i = 0; i < t->n_queues && err >= 0; i++)
		err = t->queues[i].fd = tap_queue_open(t, i, false, job->error);
	if (err >= 0)
		err = tap_offloads_set(t, job->error);
	if (err < 0)
		tap_queues_close(t);
	return err < 0 ? err : 0;
}

/* Some bytes as a BPF program loads them. */
static int32_t mac_part(const uint8_t *mac, size_t n)
{
	uint16_t half;
	int32_t word;

	memcpy(&half, mac, sizeof(half));
	if (n == sizeof(half))
		return half;
	memcpy(&word, mac, sizeof(word));
	return word;
}

/*
 * The same where a generic XDP program is on the NIC: it would have what
 * bpf_redirect() brings. The stack goes on with its verdict at the TAP, whose
 * MAC is another one: what is for the NIC's is for the host.
 */
static int inject_past_xdp(struct host *h, struct glen_error *error)
{
	const int16_t mark_at = offsetof(struct __sk_buff, mark);
	const int16_t data_at = offsetof(struct __sk_buff, data);
	const int16_t end_at = offsetof(struct __sk_buff, data_end);
	const int32_t mark = (int32_t)netdev_mark();
	const int32_t mac = mac_part(h->dev.mac, 4);
	const int32_t mac_tail = mac_part(h->dev.mac + 4, 2);
	const struct bpf_insn insns[] = {
		/* skb->mark = mark */
		{ BPF_ALU | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, mark },
		{ BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_2, mark_at, 0 },
		/* if (its first 6 bytes are the MAC) */
		{ BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, data_at, 0 },
		{ BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_1, end_at, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_4, BPF_REG_2, 0, 0 },
		{ BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_4, 0, 0, 6 },
		{ BPF_JMP | BPF_JGT | BPF_X, BPF_REG_4, BPF_REG_3, 6, 0 },
		{ BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_2, 0, 0 },
		{ BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_4, 0, 4, mac },
		{ BPF_LDX | BPF_MEM | BPF_H, BPF_REG_4, BPF_REG_2, 4, 0 },
		{ BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_4, 0, 2, mac_tail },
		/* bpf_skb_change_type(skb, PACKET_HOST) */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, HELPER_CHANGE_TYPE },
		/* return -1: the filter matches */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	return netdev_prog_redirect(&h->helper, &h->dev, insns,
				    sizeof(insns) / sizeof(*insns), &h->inject,
				    error);
}

/* What glend writes into the TAP goes on as if it had come in at the NIC. */
static int inject_attach(struct host *h, struct glen_error *error)
{
	const int16_t at = offsetof(struct __sk_buff, mark);
	const int32_t mark = (int32_t)netdev_mark();
	const int32_t nic = (int32_t)h->dev.ifindex;
	const struct bpf_insn insns[] = {
		/* skb->mark = mark */
		{ BPF_ALU | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, mark },
		{ BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_2, at, 0 },
		/* return bpf_redirect(nic, BPF_F_INGRESS) */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, nic },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, TO_INGRESS },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, HELPER_REDIRECT },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	if (netdev_has_generic_xdp(&h->dev))
		return inject_past_xdp(h, error);
	return netdev_prog_attach(&h->helper, false, insns,
				  sizeof(insns) / sizeof(*insns), &h->inject,
				  error);
}

/* What the host sends goes into the TAP; what glend sends goes on. */
static int host_start(struct port *port, struct glen_error *error)
{
	struct host *h = port->drv;
	const int16_t at = offsetof(struct __sk_buff, mark);
	const int32_t mark = (int32_t)netdev_mark();
	const int32_t tap = (int32_t)h->helper.ifindex;
	const struct bpf_insn insns[] = {
		/* r2 = skb->mark; if (r2 == mark) goto ours */
		{ BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, at, 0 },
		{ BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_2, 0, 4, mark },
		/* return bpf_redirect(tap, 0) */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, tap },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, HELPER_REDIRECT },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
		/* ours: skb->mark = 0; go on */
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0 },
		{ BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_2, at, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, TC_ACT_UNSPEC },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	return netdev_prog_attach(&h->dev, true, insns,
				  sizeof(insns) / sizeof(*insns), &h->out,
				  error);
}

static void host_stop(struct port *port)
{
	struct host *h = port->drv;

	netdev_prog_detach(&h->dev, &h->out);
}

static int options_read(struct host *h, json_t *params, const char **ifname,
			struct glen_error *error)
{
	static const char *const known[] = { "ifname", "netns", "queues",
					     NULL };
	long queues = 1;
	int err = params_check(params, known, error);

	if (!err)
		err = params_str(params, "ifname", ifname, error);
	if (!err && !*ifname)
		err = error_set(error, -EINVAL,
				"a host port needs ifname, the interface "
				"whose host side it is");
	if (!err)
		err = params_int(params, "queues", 1, 0, TAP_QUEUES_MAX,
				 &queues, error);
	/* Of an xdp port 0 means as many as the interface has. */
	h->tap.n_queues = queues ? queues : 1;
	h->tap.offloads = true;
	return err;
}

/* The TAP and the way from it into the host's stack. */
static int helper_make(struct host *h, json_t *params, struct glen_error *error)
{
	struct open_job job = { h, error };
	int err = netdev_call(&h->dev, open_here, &job, error);

	if (err)
		return err;
	err = netdev_open(&h->helper, h->tap.ifname, params, error);
	if (!err)
		err = inject_attach(h, error);
	if (!err)
		err = helper_up(h, error);
	return err;
}

static void host_free(struct host *h)
{
	netdev_prog_detach(&h->helper, &h->inject);
	netdev_close(&h->helper);
	tap_queues_close(&h->tap);
	tap_rings_fini(&h->tap);
	netdev_close(&h->dev);
	free(h);
}

static int host_open(struct port *port, struct port_args *args,
		     struct glen_error *error)
{
	static const uint8_t none[6];
	struct host *h = aligned_alloc(64, (sizeof(*h) + 63) & ~63UL);
	const char *ifname = NULL;
	int err;

	if (!h)
		return error_set(error, -ENOMEM, "no memory for the port");
	memset(h, 0, sizeof(*h));
	h->dev.sock = h->helper.sock = -1;
	for (unsigned i = 0; i < TAP_QUEUES_MAX; i++)
		h->tap.queues[i].fd = -1;
	netdev_prog_none(&h->out);
	netdev_prog_none(&h->inject);
	err = options_read(h, args->params, &ifname, error);
	if (!err && memcmp(port->mac, none, 6))
		err = error_set(error, -EINVAL,
				"a host port has the MAC of interface %s",
				ifname);
	if (!err && tap_rings_init(port, &h->tap))
		err = error_set(error, -ENOMEM,
				"no memory for the port's buffers");
	if (!err)
		err = netdev_open(&h->dev, ifname, args->params, error);
	if (!err && is_taken(&h->dev))
		err = error_set(error, -EBUSY,
				"another port is the host side of %s", ifname);
	if (!err)
		err = helper_make(h, args->params, error);
	if (err) {
		host_free(h);
		return err;
	}
	memcpy(h->tap.look.mac, h->dev.mac, 6);
	tap_port_fill(port, &h->tap);
	tap_link_refresh(&h->tap);
	h->next = hosts;
	hosts = h;
	return 0;
}

static void host_close(struct port *port)
{
	struct host *h = port->drv, **at = &hosts;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	host_free(h);
	port->drv = NULL;
}

static int host_set(struct port *port, json_t *params, struct glen_error *error)
{
	struct host *h = port->drv;
	const char *key;
	json_t *value;

	if (memcmp(port->mac, h->dev.mac, 6))
		return error_set(error, -EINVAL,
				 "a host port has the MAC of its interface");
	json_object_foreach(params, key, value) {
		json_t *was = json_object_get(port->params, key);

		if (!was || !json_equal(was, value))
			return error_set(error, -EINVAL,
					 "%.64s of a host port cannot be "
					 "changed: delete the port and add it "
					 "again",
					 key);
	}
	return 0;
}

static void host_show(struct port *port, json_t *object)
{
	struct host *h = port->drv;
	char ifname[IFNAMSIZ];

	if (netdev_ifname(&h->dev, ifname))
		strcpy(ifname, h->dev.ifname);
	json_object_set_new(object, "ifname", json_string(ifname));
	if (h->dev.netns.text[0])
		json_object_set_new(object, "netns",
				    json_string(h->dev.netns.text));
	if (netdev_ifname(&h->helper, ifname))
		strcpy(ifname, h->helper.ifname);
	json_object_set_new(object, "helper", json_string(ifname));
	json_object_set_new(object, "queues", json_integer(h->tap.n_queues));
}

static void host_tick(struct port *port)
{
	struct host *h = port->drv;
	char ifname[IFNAMSIZ];

	tap_link_refresh(&h->tap);
	if (netns_is_gone(&h->dev.netns))
		port_break(port, "its network namespace was deleted");
	else if (netdev_ifname(&h->dev, ifname))
		port_break(port, "its interface was deleted");
}

static bool host_link(struct port *port)
{
	struct host *h = port->drv;

	return atomic_load_explicit(&h->tap.link, memory_order_relaxed);
}

const struct port_ops host_port_ops = {
	.name = "host",
	.summary = "the host's stack on an interface that it has",
	.options = "ifname=NAME  the interface; needed\n"
		   "netns=NAME   it is in this namespace, as in ip netns\n"
		   "queues=N     1..16 ring pairs (1)\n",
	.open = host_open,
	.start = host_start,
	.stop = host_stop,
	.close = host_close,
	.set = host_set,
	.show = host_show,
	.tick = host_tick,
	.link = host_link,
	.hot = ISA_SAME(&tap_hot),
};
