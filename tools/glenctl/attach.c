// SPDX-License-Identifier: BSD-2-Clause
// attach.c - what a hypervisor has to be told to use a port of ours.
#include "tools/glenctl/attach.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"

enum {
	MTU_MIN = 68,
	HOST_MTU_MAX = 65535, /* 16 bits in virtio's configuration */
	QUEUE_SIZE = 1024,    /* QEMU's most; its default of 256 drops bursts */
};

/* One end of a socket. */
struct place {
	const char *path; /* borrowed; NULL: TCP or UDP */
	char host[80];
	char port[8];
};

/* A port object in the terms of this file; strings are borrowed. */
struct facts {
	const char *name, *driver, *model;
	bool server;		  /* glend listens */
	struct place here, there; /* there: of dgram only, unless: */
	bool group;		  /* here is one, multicast */
	unsigned queues, mtu;	  /* mtu 0: nothing to say about it */
	bool packed;
	char id[80]; /* of QEMU's objects */
	char mac[18];
};

bool attach_driver(const char *driver)
{
	return !strcmp(driver, "vhost-user") || !strcmp(driver, "stream") ||
	       !strcmp(driver, "dgram");
}

/* One that vhost-user can have, too. */
static bool is_virtio(const char *model)
{
	return !strncmp(model, "virtio-net-", 11);
}

const char *attach_lacks(unsigned queues, const json_t *packed,
			 const struct attach_options *o)
{
	if (o->packed && json_is_false(packed))
		return "it offers no packed virtqueues";
	if (o->queues > queues)
		return "it has fewer queues (option queues=)";
	return NULL;
}

const char *attach_refuses(const char *driver, const struct attach_options *o)
{
	if (!attach_driver(driver))
		return "it is not for virtual machines, so --show, "
		       "--model and the like mean nothing here";
	if (strcmp(driver, "vhost-user") && o->queues)
		return "frames that go through a socket have one queue pair: "
		       "leave --queues out, or make the port with driver "
		       "vhost-user";
	if (strcmp(driver, "vhost-user") && o->memory)
		return "the guest's memory is not shared with it: leave "
		       "--memory out";
	if (!strcmp(driver, "vhost-user") && o->model && !is_virtio(o->model))
		return "a vhost-user port is always a virtio-net card: leave "
		       "--model out, or say virtio-net-pci; for e1000, "
		       "vmxnet3 and others make the port with driver stream "
		       "or dgram";
	if (o->packed && o->model && !is_virtio(o->model))
		return "only virtio-net has packed virtqueues";
	return NULL;
}

/* FNV-1a, and a good mixer for the low bits that are used of it. */
static uint64_t hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	h ^= h >> 32;
	return h * 0x9e3779b97f4a7c15;
}

/* The port's own address, or one made of its name and host. */
static void fill_mac(struct facts *f, const json_t *port, const char *host)
{
	const char *own = get_str(port, "mac");
	uint32_t h;

	if (*own && strcmp(own, "00:00:00:00:00:00")) {
		snprintf(f->mac, sizeof(f->mac), "%s", own);
		return;
	}
	h = hash(hash(0xcbf29ce484222325, host ? host : ""), f->name) >> 32;
	snprintf(f->mac, sizeof(f->mac), "52:54:%02x:%02x:%02x:%02x", h >> 24,
		 h >> 16 & 0xff, h >> 8 & 0xff, h & 0xff);
}

/* QEMU's names may contain what names of ports may, but for the colon. */
static void fill_id(struct facts *f)
{
	snprintf(f->id, sizeof(f->id), "glen-%s", f->name);
	f->id[strcspn(f->id, ":")] = '-';
}

/*
 * "HOST:PORT", with HOST in brackets if it is IPv6. Whoever listens at all
 * addresses can be reached at the one of this host.
 */
static bool fill_address(struct place *p, const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? colon - text : 0;

	if (!colon || !colon[1] || strlen(colon) > sizeof(p->port))
		return false;
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(p->host))
		return false;
	snprintf(p->port, sizeof(p->port), "%s", colon + 1);
	snprintf(p->host, sizeof(p->host), "%.*s", (int)len, text);
	if (!*p->host || !strcmp(p->host, "*") || !strcmp(p->host, "0.0.0.0"))
		strcpy(p->host, "127.0.0.1");
	else if (!strcmp(p->host, "::"))
		strcpy(p->host, "::1");
	return true;
}

static bool fill_places(struct facts *f, const json_t *port)
{
	const char *addr = json_string_value(json_object_get(port, "addr"));
	const char *peer = json_string_value(json_object_get(port, "peer"));

	f->here.path = json_string_value(json_object_get(port, "path"));
	if (!f->here.path && !(addr && fill_address(&f->here, addr)))
		return false;
	f->group = json_is_true(json_object_get(port, "group"));
	if (strcmp(f->driver, "dgram") || f->group)
		return true;
	if (f->here.path)
		f->there.path = peer;
	return peer && (f->here.path || fill_address(&f->there, peer));
}

static bool is_vhost(const struct facts *f)
{
	return !strcmp(f->driver, "vhost-user");
}

static int fill(struct facts *f, const json_t *port,
		const struct attach_options *o, const char **why)
{
	const char *mode = get_str(port, "mode");

	*f = (struct facts){ .name = get_str(port, "port"),
			     .driver = get_str(port, "driver"),
			     .model = o->model ? o->model : "virtio-net-pci",
			     .server = strcmp(mode, "client"),
			     .packed = o->packed,
			     .queues = get_u64(port, "in_rings"),
			     .mtu = get_u64(port, "mtu") };
	*why = attach_refuses(f->driver, o);
	if (!*why)
		*why = attach_lacks(f->queues, json_object_get(port, "packed"),
				    o);
	if (!*why && !fill_places(f, port))
		*why = "glend does not say where its socket is";
	if (*why)
		return -1;
	if (o->queues || f->queues == ATTACH_QUEUES_ANY)
		f->queues = o->queues ? o->queues : 1;
	if (f->mtu < MTU_MIN || f->mtu > HOST_MTU_MAX)
		f->mtu = 0;
	fill_id(f);
	fill_mac(f, port, o->host);
	return 0;
}

/*
 * QEMU
 */

/* Appends a word; where there is no list (any more), it stays NULL. */
static void word(json_t **list, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void word(json_t **list, const char *format, ...)
{
	json_t *value;
	va_list args;

	va_start(args, format);
	value = json_vsprintf(format, args);
	va_end(args);
	if (json_array_append_new(*list, value)) {
		json_decref(*list);
		*list = NULL;
	}
}

/* A value within QEMU's option lists: a comma is written twice. */
static char *commas(const char *text)
{
	char *copy = malloc(2 * strlen(text) + 1), *at = copy;

	for (; copy && *text; text++) {
		if (*text == ',')
			*at++ = ',';
		*at++ = *text;
	}
	if (copy)
		*at = '\0';
	return copy;
}

static void qemu_memory(json_t **list, const char *size)
{
	if (size && !strcmp(size, "none"))
		return;
	word(list, "-object");
	word(list, "memory-backend-memfd,id=glen-mem,size=%s,share=on",
	     size ? size : ATTACH_SIZE);
	word(list, "-machine");
	word(list, "memory-backend=glen-mem");
}

static void qemu_device(json_t **list, const struct facts *f)
{
	char mtu[32] = "", queues[64] = "", size[64] = "";

	if (f->mtu && is_virtio(f->model))
		snprintf(mtu, sizeof(mtu), ",host_mtu=%u", f->mtu);
	/* An interrupt for each virtqueue, configuration and control. */
	if (f->queues > 1)
		snprintf(queues, sizeof(queues), ",mq=on,vectors=%u",
			 2 * f->queues + 2);
	if (is_vhost(f))
		snprintf(size, sizeof(size),
			 ",rx_queue_size=%u,tx_queue_size=%u", QUEUE_SIZE,
			 QUEUE_SIZE);
	word(list, "-device");
	word(list, "%s,netdev=%s,mac=%s%s%s%s%s", f->model, f->id, f->mac, mtu,
	     queues, f->packed ? ",packed=on" : "", size);
}

static void qemu_vhost_user(json_t **list, const struct facts *f)
{
	char *path = commas(f->here.path);

	word(list, "-chardev");
	word(list, "socket,id=%s,path=%s,%s", f->id, path ? path : "",
	     f->server ? "reconnect=1" : "server=on,wait=off");
	word(list, "-netdev");
	word(list, "vhost-user,id=%s,chardev=%s,queues=%u", f->id, f->id,
	     f->queues);
	free(path);
}

/* A place as options of -netdev, of which all begin with name. */
static char *qemu_place(const char *name, const struct place *p)
{
	char *path = p->path ? commas(p->path) : NULL;
	char *text;
	int n;

	if (p->path)
		n = asprintf(&text, "%s.type=unix,%s.path=%s", name, name,
			     path ? path : "");
	else
		n = asprintf(&text, "%s.type=inet,%s.host=%s,%s.port=%s", name,
			     name, p->host, name, p->port);
	free(path);
	return n < 0 ? NULL : text;
}

static void qemu_stream(json_t **list, const struct facts *f)
{
	char *addr = qemu_place("addr", &f->here);

	word(list, "-netdev");
	word(list, "stream,id=%s,server=%s,%s", f->id, f->server ? "off" : "on",
	     addr ? addr : "");
	free(addr);
}

static void qemu_dgram(json_t **list, const struct facts *f)
{
	char *local = f->group ? NULL : qemu_place("local", &f->there);
	char *remote = qemu_place("remote", &f->here);

	word(list, "-netdev");
	word(list, "dgram,id=%s,%s%s%s", f->id, local ? local : "",
	     local ? "," : "", remote ? remote : "");
	free(local);
	free(remote);
}

json_t *attach_qemu(const json_t *port, const struct attach_options *o,
		    const char **why)
{
	struct facts f;
	json_t *list;

	if (fill(&f, port, o, why))
		return NULL;
	list = json_array();
	if (is_vhost(&f)) {
		qemu_memory(&list, o->memory);
		qemu_vhost_user(&list, &f);
	} else if (!strcmp(f.driver, "stream")) {
		qemu_stream(&list, &f);
	} else {
		qemu_dgram(&list, &f);
	}
	qemu_device(&list, &f);
	*why = "out of memory";
	return list;
}

/* True if a shell takes the word as it is. */
static bool is_plain(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) &&
		    !strchr("%+,-./:=@_", *text))
			return false;
	return true;
}

static bool print_word(FILE *file, const char *text)
{
	if (is_plain(text)) {
		fputs(text, file);
		return false;
	}
	fputc('\'', file);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", file);
		else
			fputc(*text, file);
	}
	fputc('\'', file);
	return true;
}

bool attach_print_words(FILE *file, const json_t *words, const char *between)
{
	bool quoted = false;
	json_t *value;
	size_t i;

	json_array_foreach((json_t *)words, i, value) {
		if (i)
			fputs(i % 2 ? " " : between, file);
		quoted |= print_word(file, json_string_value(value));
	}
	return quoted;
}

/*
 * libvirt
 */

/* Between the quotes of an XML attribute. */
static void print_xml(FILE *file, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", file);
			break;
		case '<':
			fputs("&lt;", file);
			break;
		case '>':
			fputs("&gt;", file);
			break;
		case '\'':
			fputs("&apos;", file);
			break;
		case '"':
			fputs("&quot;", file);
			break;
		case '\t':
		case '\n':
		case '\r':
			/* A parser would read them as blanks. */
			fprintf(file, "&#%d;", *text);
			break;
		default:
			fputc(*text, file);
		}
	}
}

/* libvirt's word for an interface of QEMU. */
static const char *libvirt_model(const char *model)
{
	return is_virtio(model) ? "virtio" : model;
}

static void libvirt_open(FILE *file, const struct facts *f, const char *type)
{
	fprintf(file, "<interface type='%s'>\n  <mac address='%s'/>\n", type,
		f->mac);
}

static void libvirt_close(FILE *file, const struct facts *f)
{
	fputs("  <model type='", file);
	print_xml(file, libvirt_model(f->model));
	fputs("'/>\n", file);
	if (is_vhost(f))
		fprintf(file,
			"  <driver queues='%u' rx_queue_size='%u' "
			"tx_queue_size='%u'%s/>\n",
			f->queues, QUEUE_SIZE, QUEUE_SIZE,
			f->packed ? " packed='on'" : "");
	else if (f->packed)
		fputs("  <driver packed='on'/>\n", file);
	if (f->mtu && is_virtio(f->model))
		fprintf(file, "  <mtu size='%u'/>\n", f->mtu);
	fputs("</interface>\n", file);
}

static void libvirt_vhost_user(FILE *file, const struct facts *f)
{
	libvirt_open(file, f, "vhostuser");
	fputs("  <source type='unix' path='", file);
	print_xml(file, f->here.path);
	if (f->server)
		fputs("' mode='client'>\n"
		      "    <reconnect enabled='yes' timeout='1'/>\n"
		      "  </source>\n",
		      file);
	else
		fputs("' mode='server'/>\n", file);
	libvirt_close(file, f);
}

/* An address as attributes. */
static void print_place(FILE *file, const struct place *p)
{
	fputs("address='", file);
	print_xml(file, p->host);
	fputs("' port='", file);
	print_xml(file, p->port);
	fputs("'", file);
}

/* The same framing over TCP as QEMU's older -netdev socket, which this is. */
static void libvirt_stream(FILE *file, const struct facts *f)
{
	libvirt_open(file, f, f->server ? "client" : "server");
	fputs("  <source ", file);
	print_place(file, &f->here);
	fputs("/>\n", file);
	libvirt_close(file, f);
}

static void libvirt_group(FILE *file, const struct facts *f)
{
	libvirt_open(file, f, "mcast");
	fputs("  <source ", file);
	print_place(file, &f->here);
	fputs("/>\n", file);
	libvirt_close(file, f);
}

static void libvirt_dgram(FILE *file, const struct facts *f)
{
	if (f->group) {
		libvirt_group(file, f);
		return;
	}
	libvirt_open(file, f, "udp");
	fputs("  <source ", file);
	print_place(file, &f->here);
	fputs(">\n    <local ", file);
	print_place(file, &f->there);
	fputs("/>\n  </source>\n", file);
	libvirt_close(file, f);
}

/* What print writes, as a JSON string. */
static json_t *element(void (*print)(FILE *file, const struct facts *f),
		       const struct facts *f)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	json_t *value = NULL;

	if (!file)
		return NULL;
	print(file, f);
	if (!fclose(file))
		value = json_string(text);
	free(text);
	return value;
}

static void libvirt_memory(FILE *file, const struct facts *f)
{
	fputs("<memoryBacking>\n"
	      "  <source type='memfd'/>\n"
	      "  <access mode='shared'/>\n"
	      "</memoryBacking>\n",
	      file);
}

/*
 * libvirt knows none of the two drivers over Unix sockets, but hands words on
 * to QEMU.
 */
static json_t *libvirt_words(const json_t *words)
{
	char *text = NULL;
	json_t *value, *word;
	size_t size, i;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fputs("<qemu:commandline xmlns:qemu="
	      "'http://libvirt.org/schemas/domain/qemu/1.0'>\n",
	      file);
	json_array_foreach((json_t *)words, i, word) {
		fputs("  <qemu:arg value='", file);
		print_xml(file, json_string_value(word));
		fputs("'/>\n", file);
	}
	fputs("</qemu:commandline>\n", file);
	value = fclose(file) ? NULL : json_string(text);
	free(text);
	return value;
}

static int libvirt_elements(json_t *object, const struct facts *f,
			    const struct attach_options *o, const json_t *qemu)
{
	bool memory = !(o->memory && !strcmp(o->memory, "none"));

	if (is_vhost(f) && memory &&
	    json_object_set_new(object, "memoryBacking",
				element(libvirt_memory, f)))
		return -1;
	if (is_vhost(f))
		return json_object_set_new(object, "interface",
					   element(libvirt_vhost_user, f));
	if (f->here.path)
		return json_object_set_new(object, "qemu:commandline",
					   libvirt_words(qemu));
	return json_object_set_new(object, "interface",
				   element(!strcmp(f->driver, "stream") ?
						   libvirt_stream :
						   libvirt_dgram,
					   f));
}

json_t *attach_libvirt(const json_t *port, const struct attach_options *o,
		       const char **why)
{
	json_t *object, *qemu;
	struct facts f;

	if (fill(&f, port, o, why))
		return NULL;
	*why = "out of memory";
	object = json_object();
	qemu = attach_qemu(port, o, why);
	if (!qemu || libvirt_elements(object, &f, o, qemu)) {
		json_decref(object);
		object = NULL;
	}
	json_decref(qemu);
	return object;
}
