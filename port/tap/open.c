// SPDX-License-Identifier: BSD-2-Clause
// open.c - makes, changes and shows TAP interfaces.
#include "port/tap/tap.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/offload.h"
#include "core/switch.h"
#include "lib/error.h"

/* Linux 6.2; not in older headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
	TSO_FLAGS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
	USO_FLAGS = TUN_F_USO4 | TUN_F_USO6,
	RESUME_TRIES = 25, /* the last glend's interface may take a moment */
	RESUME_PAUSE_MS = 20,
};

#define TUN_PATH "/dev/net/tun"

/* What args->saved holds. */
struct tap_saved {
	uint8_t has_mac;
	uint8_t mac[6];
};

/* Arguments of open_queues(), which may run on another thread. */
struct open_job {
	struct port *port;
	struct tap *tap;
	bool resume;
	struct glen_error *error;
};

/* Arguments of change_look(). */
struct set_job {
	struct tap *tap;
	const char *ifname;
	const struct tap_look *to;
	struct glen_error *error;
};

static int tun_open_failed(int err, struct glen_error *error)
{
	if (err == EPERM || err == EACCES)
		return error_set(error, -EPERM,
				 "cannot open " TUN_PATH ": TAP ports need "
				 "CAP_NET_ADMIN; run glend as root");
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		return error_set(error, -ENODEV,
				 "there is no " TUN_PATH ": load the kernel "
				 "module with: modprobe tun");
	return error_set(error, -err, "cannot open " TUN_PATH ": %s",
			 error_reason(err));
}

static int tun_setiff_failed(const struct tap *t, int err,
			     struct glen_error *error)
{
	if (err == EPERM || err == EACCES)
		return error_set(error, -EPERM,
				 "making TAP interface %s needs CAP_NET_ADMIN; "
				 "run glend as root",
				 t->ifname);
	if (err == EBUSY && t->persist)
		return error_set(error, -EBUSY,
				 "interface %s is in use by another program",
				 t->ifname);
	if (err == EBUSY)
		return error_set(error, -EBUSY,
				 "there is an interface %s already: choose "
				 "another ifname, or, if nothing needs that "
				 "one, remove it first (ip link show %s)",
				 t->ifname, t->ifname);
	if (err == EINVAL)
		return error_set(error, -EINVAL,
				 "cannot make %s a TAP with %u queues: an "
				 "interface of another kind has the name",
				 t->ifname, t->n_queues);
	return error_set(error, -err, "cannot make TAP interface %s: %s",
			 t->ifname, strerror(err));
}

/* TUNSETIFF on fd. After a restart the old interface may still be dying. */
static int queue_attach(struct tap *t, int fd, bool first, bool resume)
{
	struct ifreq ifr = { 0 };
	int tries = first && resume ? RESUME_TRIES : 1;

	memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (t->n_queues > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	if (first && !t->persist)
		ifr.ifr_flags |= IFF_TUN_EXCL;
	while (ioctl(fd, TUNSETIFF, &ifr)) {
		if (errno != EBUSY || --tries <= 0)
			return -errno;
		nanosleep(&(struct timespec){ 0, RESUME_PAUSE_MS * 1000000L },
			  NULL);
	}
	/* The kernel may have been asked to choose the name. */
	memcpy(t->ifname, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

/* Opens queue i. Returns its descriptor, or -errno with error filled. */
int tap_queue_open(struct tap *t, unsigned i, bool resume,
		   struct glen_error *error)
{
	int vnet_len = TAP_VNET_LEN;
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int err;

	if (fd < 0)
		return tun_open_failed(errno, error);
	err = queue_attach(t, fd, i == 0, resume);
	if (err) {
		close(fd);
		return tun_setiff_failed(t, -err, error);
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &vnet_len)) {
		err = error_set(error, -errno,
				"the kernel refuses a vnet header: %s",
				strerror(errno));
		close(fd);
		return err;
	}
	return fd;
}

void tap_queues_close(struct tap *t)
{
	for (unsigned i = 0; i < t->n_queues; i++) {
		if (t->queues[i].fd >= 0)
			close(t->queues[i].fd);
		t->queues[i].fd = -1;
	}
}

/* Tells the kernel what may come unfinished; sets offload_flags. */
int tap_offloads_set(struct tap *t, struct glen_error *error)
{
	int fd = t->queues[0].fd;

	t->offload_flags = t->offloads ? TSO_FLAGS | USO_FLAGS : 0;
	if (!ioctl(fd, TUNSETOFFLOAD, (unsigned long)t->offload_flags))
		return 0;
	t->offload_flags = TSO_FLAGS;
	if (t->offloads &&
	    !ioctl(fd, TUNSETOFFLOAD, (unsigned long)t->offload_flags))
		return 0;
	return error_set(error, -errno, "cannot set the offloads of %s: %s",
			 t->ifname, strerror(errno));
}

static bool mac_is_zero(const uint8_t *mac)
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

/* The MAC that the kernel gave the interface of queue 0. */
static int mac_read(struct tap *t, uint8_t *mac, struct glen_error *error)
{
	struct ifreq ifr = { 0 };

	if (ioctl(t->queues[0].fd, SIOCGIFHWADDR, &ifr))
		return error_set(error, -errno, "cannot read the MAC of %s: %s",
				 t->ifname, strerror(errno));
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return 0;
}

/* In the interface's namespace: makes it, whole or not at all. */
static int open_queues(void *arg)
{
	struct open_job *job = arg;
	struct tap *t = job->tap;
	int err;

	for (unsigned i = 0; i < t->n_queues; i++) {
		t->queues[i].fd = tap_queue_open(t, i, job->resume, job->error);
		if (t->queues[i].fd < 0) {
			err = t->queues[i].fd;
			goto err_close;
		}
	}
	err = tap_offloads_set(t, job->error);
	if (err)
		goto err_close;
	t->default_mtu = look_mtu(t->ifname);
	if (mac_is_zero(t->look.mac))
		err = mac_read(t, t->look.mac, job->error);
	if (!err)
		err = look_apply(t->ifname, NULL, &t->look, t->default_mtu,
				 job->error);
	if (err)
		goto err_close;
	if (t->persist && ioctl(t->queues[0].fd, TUNSETPERSIST, 1UL)) {
		err = error_set(job->error, -errno,
				"cannot make %s persistent: %s", t->ifname,
				strerror(errno));
		goto err_close;
	}
	return 0;

err_close:
	tap_queues_close(t);
	return err;
}

static int ifname_check(const char *name, struct glen_error *error)
{
	size_t len = strlen(name);

	if (len >= IFNAMSIZ)
		return error_set(error, -EINVAL,
				 "interface name \"%s\" has more than %d "
				 "characters: give a shorter ifname",
				 name, IFNAMSIZ - 1);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i]))
			len = 0;
	if (!len || !strcmp(name, ".") || !strcmp(name, ".."))
		return error_set(
			error, -EINVAL,
			"interface name \"%s\" must be made of letters,"
			" digits and _ . -",
			name);
	return 0;
}

/* Adds "ADDRESS" or "ADDRESS,ADDRESS,...". */
static int addrs_add(struct tap_look *look, const char *text,
		     struct glen_error *error)
{
	char one[64];

	for (;;) {
		size_t len = strcspn(text, ",");
		int err;

		if (look->n_addrs == TAP_ADDRS_MAX)
			return error_set(error, -EINVAL,
					 "address: at most %d of them",
					 TAP_ADDRS_MAX);
		snprintf(one, sizeof(one), "%.*s", (int)len, text);
		err = addr_parse(one, &look->addrs[look->n_addrs], error);
		if (err)
			return err;
		look->n_addrs++;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

/* "address": a string, or an array of strings. */
static int addrs_read(json_t *params, struct tap_look *look,
		      struct glen_error *error)
{
	json_t *value = json_object_get(params, "address");
	size_t n = json_is_array(value) ? json_array_size(value) : 1;

	if (!value)
		return 0;
	look->n_addrs = 0;
	memset(look->addrs, 0, sizeof(look->addrs));
	for (size_t i = 0; i < n; i++) {
		json_t *item = json_is_array(value) ? json_array_get(value, i) :
						      value;
		int err;

		if (!json_is_string(item))
			return error_set(error, -EINVAL,
					 "address must be a string or a list "
					 "of strings");
		err = addrs_add(look, json_string_value(item), error);
		if (err)
			return err;
	}
	return 0;
}

static int options_read(struct port *port, json_t *params, struct tap *t,
			struct glen_error *error)
{
	static const char *const known[] = { "ifname",	 "netns",   "queues",
					     "up",	 "address", "persist",
					     "offloads", NULL };
	const char *ifname;
	long queues;
	int err = params_check(params, known, error);

	if (!err)
		err = params_str(params, "ifname", &ifname, error);
	if (!err && !ifname)
		ifname = port->name;
	if (!err)
		err = ifname_check(ifname, error);
	if (!err)
		err = params_int(params, "queues", 1, 1, TAP_QUEUES_MAX,
				 &queues, error);
	if (!err)
		err = params_bool(params, "up", true, &t->look.up, error);
	if (!err)
		err = params_bool(params, "persist", false, &t->persist, error);
	if (!err)
		err = params_bool(params, "offloads", true, &t->offloads,
				  error);
	if (!err)
		err = addrs_read(params, &t->look, error);
	if (!err)
		err = netns_read(params, &t->netns, error);
	if (err)
		return err;
	strncpy(t->ifname, ifname, IFNAMSIZ - 1);
	t->n_queues = queues;
	return 0;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3;
	} while (*text++);
	return hash;
}

/* A locally administered MAC from this machine's id and the port's name. */
static void mac_derive(const struct port *port, uint8_t *mac)
{
	char id[64] = "";
	uint64_t hash = 0xcbf29ce484222325;
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t n = read(fd, id, sizeof(id) - 1);

		id[n > 0 ? n : 0] = '\0';
		close(fd);
	}
	hash = hash_text(hash, id);
	hash = hash_text(hash, port->sw ? port->sw->name : "");
	hash = hash_text(hash, port->name);
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
	hash ^= hash >> 33;
	memcpy(mac, &hash, 6);
	mac[0] = (mac[0] & 0xfe) | 0x02;
}

/*
 * The MAC that was asked for, that the port had before a restart, or a
 * derived one. A persistent interface keeps its own (zero).
 */
static void mac_choose(struct port *port, struct port_args *args, struct tap *t)
{
	struct tap_saved *saved = args->saved;

	if (!mac_is_zero(port->mac))
		memcpy(t->look.mac, port->mac, 6);
	else if (args->resume && saved && saved->has_mac &&
		 !(saved->mac[0] & 1))
		memcpy(t->look.mac, saved->mac, 6);
	else if (!t->persist)
		mac_derive(port, t->look.mac);
}

void tap_rings_fini(struct tap *t)
{
	for (unsigned i = 0; i < t->n_queues; i++)
		if (t->queues[i].arena)
			munmap(t->queues[i].arena,
			       TAP_ARENA_SIZE + TAP_ARENA_SPARE);
}

int tap_rings_init(struct port *port, struct tap *t)
{
	size_t size = TAP_ARENA_SIZE + TAP_ARENA_SPARE;

	for (unsigned i = 0; i < t->n_queues; i++) {
		struct tap_queue *q = &t->queues[i];
		void *arena = mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (arena == MAP_FAILED)
			return -ENOMEM;
		q->arena = arena;
		q->port = port;
		q->fd = -1;
	}
	return 0;
}

void tap_port_fill(struct port *port, struct tap *t)
{
	for (unsigned i = 0; i < t->n_queues; i++) {
		port->in[i].drv = &t->queues[i];
		port->in[i].in_fd = t->queues[i].fd;
		port->out[i].drv = &t->queues[i];
	}
	port->n_in = port->n_out = t->n_queues;
	if (t->offload_flags & TUN_F_CSUM)
		port->caps = OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO4 |
			     OFFLOAD_CAP_TSO6 | OFFLOAD_CAP_ECN;
	if (t->offload_flags & TUN_F_USO4)
		port->caps |= OFFLOAD_CAP_USO;
	memcpy(port->mac, t->look.mac, 6);
	port->drv = t;
}

/* An interface that is up takes packets; see tun_chr_poll() in the kernel. */
void tap_link_refresh(struct tap *t)
{
	struct pollfd p = { .fd = t->queues[0].fd, .events = POLLOUT };
	bool up = poll(&p, 1, 0) > 0 && (p.revents & POLLOUT);

	atomic_store_explicit(&t->link, up, memory_order_relaxed);
}

static int tap_open(struct port *port, struct port_args *args,
		    struct glen_error *error)
{
	struct tap *t = aligned_alloc(64,
				      sizeof(*t) + 63 - (sizeof(*t) + 63) % 64);
	struct open_job job = { port, t, args->resume, error };
	struct tap_saved *saved = args->saved;
	int err;

	if (!t)
		return error_set(error, -ENOMEM, "no memory for the port");
	memset(t, 0, sizeof(*t));
	err = options_read(port, args->params, t, error);
	if (err)
		goto err_free;
	t->look.mtu = port->mtu;
	mac_choose(port, args, t);
	err = tap_rings_init(port, t);
	if (err) {
		error_set(error, err, "no memory for the port's buffers");
		goto err_rings;
	}
	err = netns_call(t->netns.path, open_queues, &job, error);
	if (err)
		goto err_rings;
	if (saved) {
		memcpy(saved->mac, t->look.mac, 6);
		saved->has_mac = 1;
	}
	tap_port_fill(port, t);
	tap_link_refresh(t);
	return 0;

err_rings:
	tap_rings_fini(t);
err_free:
	free(t);
	return err;
}

static void tap_close(struct port *port)
{
	struct tap *t = port->drv;

	tap_queues_close(t);
	tap_rings_fini(t);
	free(t);
	port->drv = NULL;
}

/* Options that only hold at open() may be given again, but not changed. */
static int unchangeable_check(struct port *port, json_t *params,
			      struct glen_error *error)
{
	static const char *const fixed[] = { "ifname", "netns", "queues",
					     "persist", "offloads" };

	for (unsigned i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
		json_t *now = json_object_get(params, fixed[i]);
		json_t *was = json_object_get(port->params, fixed[i]);

		if (now && !(was && json_equal(now, was)))
			return error_set(error, -EINVAL,
					 "%s of a TAP port cannot be changed: "
					 "delete the port and add it again",
					 fixed[i]);
	}
	return 0;
}

static int change_look(void *arg)
{
	struct set_job *job = arg;
	struct tap *t = job->tap;
	int err = look_apply(job->ifname, &t->look, job->to, t->default_mtu,
			     job->error);

	if (err) /* back, as far as it went */
		look_apply(job->ifname, job->to, &t->look, t->default_mtu,
			   NULL);
	return err;
}

/* The interface's present name: it may have been renamed. */
static int ifname_now(struct tap *t, char *name)
{
	struct ifreq ifr = { 0 };

	if (ioctl(t->queues[0].fd, TUNGETIFF, &ifr))
		return -errno;
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	name[IFNAMSIZ - 1] = '\0';
	return 0;
}

static int tap_set(struct port *port, json_t *params, struct glen_error *error)
{
	static const char *const known[] = { "ifname",	 "netns",   "queues",
					     "up",	 "address", "persist",
					     "offloads", NULL };
	struct tap *t = port->drv;
	struct tap_look look = t->look;
	char ifname[IFNAMSIZ];
	struct set_job job = { t, ifname, &look, error };
	int err = params_check(params, known, error);

	if (!err)
		err = unchangeable_check(port, params, error);
	if (!err)
		err = params_bool(params, "up", look.up, &look.up, error);
	if (!err)
		err = addrs_read(params, &look, error);
	if (err)
		return err;
	look.mtu = port->mtu;
	if (!mac_is_zero(port->mac))
		memcpy(look.mac, port->mac, 6);
	if (ifname_now(t, ifname))
		return error_set(error, -ENODEV, "interface %s was deleted",
				 t->ifname);
	err = netns_call(t->netns.path, change_look, &job, error);
	if (err)
		return err;
	t->look = look;
	tap_link_refresh(t);
	return 0;
}

static void tap_show(struct port *port, json_t *object)
{
	struct tap *t = port->drv;
	char ifname[IFNAMSIZ];

	if (ifname_now(t, ifname))
		memcpy(ifname, t->ifname, IFNAMSIZ);
	json_object_set_new(object, "ifname", json_string(ifname));
	if (t->netns.text[0])
		json_object_set_new(object, "netns",
				    json_string(t->netns.text));
	json_object_set_new(object, "queues", json_integer(t->n_queues));
	json_object_set_new(object, "up", json_boolean(t->look.up));
	json_object_set_new(object, "persist", json_boolean(t->persist));
}

static void tap_tick(struct port *port)
{
	struct tap *t = port->drv;

	tap_link_refresh(t);
	if (netns_is_gone(&t->netns))
		port_break(port, "its network namespace was deleted");
}

static bool tap_link(struct port *port)
{
	struct tap *t = port->drv;

	return atomic_load_explicit(&t->link, memory_order_relaxed);
}

const struct port_ops tap_port_ops = {
	.name = "tap",
	.summary = "a network interface of the host or of a namespace",
	.options =
		"ifname=NAME   the interface's name (the port's name)\n"
		"netns=NAME    in this namespace, as in ip netns\n"
		"queues=N      1..16, one ring pair each (1)\n"
		"up=BOOL       state of the interface (true)\n"
		"address=LIST  addresses, as 10.0.0.1/24,fd00::1/64\n"
		"persist=BOOL  the interface outlives the port, and may exist "
		"before it (false)\n"
		"offloads=BOOL checksums and TCP segmentation are left to who "
		"needs them (true)\n",
	.open = tap_open,
	.close = tap_close,
	.set = tap_set,
	.show = tap_show,
	.tick = tap_tick,
	.link = tap_link,
	.hot = ISA_SAME(&tap_hot),
};
