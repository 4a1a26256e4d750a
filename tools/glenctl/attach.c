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
	QUEUES_ANY = 16,      /* a port's default: whatever the guest has */
	QUEUE_SIZE = 1024,    /* QEMU's most; its default of 256 drops bursts */
};

/* A port object in the terms of this file; strings are borrowed. */
struct facts {
	const char *name, *driver, *model;
	bool server; /* glend listens */
	const char *path;
	unsigned queues, mtu; /* mtu 0: nothing to say about it */
	bool packed;
	char id[80]; /* of QEMU's objects */
	char mac[18];
};

/* A member of the port object: of the driver's own part, or of the port. */
static const json_t *fact(const json_t *port, const char *part, const char *key)
{
	const json_t *own = json_object_get(json_object_get(port, part), key);

	return own ? own : json_object_get(port, key);
}

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

const char *attach_refuses(const char *driver, const struct attach_options *o)
{
	if (!attach_driver(driver))
		return "it is not for virtual machines";
	if (!strcmp(driver, "vhost-user") && o->model && !is_virtio(o->model))
		return "over vhost-user guests see virtio-net only; driver "
		       "stream or dgram takes any model";
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

static int fill(struct facts *f, const json_t *port,
		const struct attach_options *o, const char **why)
{
	const json_t *packed;

	*f = (struct facts){ .name = get_str(port, "port"),
			     .driver = get_str(port, "driver"),
			     .model = o->model ? o->model : "virtio-net-pci" };
	f->path = json_string_value(fact(port, "vhost", "path"));
	f->server = !strcmp(json_string_value(fact(port, "vhost", "mode")) ?:
				    "server",
			    "server");
	f->packed = o->packed;
	packed = fact(port, "vhost", "packed");
	if (f->packed && json_is_false(packed)) {
		*why = "it offers no packed virtqueues";
		return -1;
	}
	f->queues = get_u64(port, "in_rings");
	if (o->queues > f->queues) {
		*why = "it has fewer queues (option queues=)";
		return -1;
	}
	if (o->queues || f->queues == QUEUES_ANY)
		f->queues = o->queues ? o->queues : 1;
	f->mtu = get_u64(port, "mtu");
	if (f->mtu < MTU_MIN || f->mtu > HOST_MTU_MAX)
		f->mtu = 0;
	*why = attach_refuses(f->driver, o);
	if (*why)
		return -1;
	if (!f->path) {
		*why = "glend does not say where its socket is";
		return -1;
	}
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
	char mtu[32] = "", queues[64] = "";

	if (f->mtu)
		snprintf(mtu, sizeof(mtu), ",host_mtu=%u", f->mtu);
	/* An interrupt for each virtqueue, configuration and control. */
	if (f->queues > 1)
		snprintf(queues, sizeof(queues), ",mq=on,vectors=%u",
			 2 * f->queues + 2);
	word(list, "-device");
	word(list,
	     "%s,netdev=%s,mac=%s%s%s%s,rx_queue_size=%u,"
	     "tx_queue_size=%u",
	     f->model, f->id, f->mac, mtu, queues,
	     f->packed ? ",packed=on" : "", QUEUE_SIZE, QUEUE_SIZE);
}

static void qemu_vhost_user(json_t **list, const struct facts *f)
{
	char *path = commas(f->path);

	word(list, "-chardev");
	word(list, "socket,id=%s,path=%s,%s", f->id, path ? path : "",
	     f->server ? "reconnect=1" : "server=on,wait=off");
	word(list, "-netdev");
	word(list, "vhost-user,id=%s,chardev=%s,queues=%u", f->id, f->id,
	     f->queues);
	free(path);
}

json_t *attach_qemu(const json_t *port, const struct attach_options *o,
		    const char **why)
{
	json_t *list = json_array();
	struct facts f;

	if (fill(&f, port, o, why)) {
		json_decref(list);
		return NULL;
	}
	qemu_memory(&list, o->memory);
	qemu_vhost_user(&list, &f);
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

static void libvirt_vhost_user(FILE *file, const struct facts *f)
{
	fprintf(file,
		"<interface type='vhostuser'>\n"
		"  <mac address='%s'/>\n"
		"  <source type='unix' path='",
		f->mac);
	print_xml(file, f->path);
	if (f->server)
		fputs("' mode='client'>\n"
		      "    <reconnect enabled='yes' timeout='1'/>\n"
		      "  </source>\n",
		      file);
	else
		fputs("' mode='server'/>\n", file);
	fputs("  <model type='", file);
	print_xml(file, libvirt_model(f->model));
	fprintf(file,
		"'/>\n  <driver queues='%u' rx_queue_size='%u'"
		" tx_queue_size='%u'%s/>\n",
		f->queues, QUEUE_SIZE, QUEUE_SIZE,
		f->packed ? " packed='on'" : "");
	if (f->mtu)
		fprintf(file, "  <mtu size='%u'/>\n", f->mtu);
	fputs("</interface>\n", file);
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

json_t *attach_libvirt(const json_t *port, const struct attach_options *o,
		       const char **why)
{
	json_t *object;
	struct facts f;

	if (fill(&f, port, o, why))
		return NULL;
	*why = "out of memory";
	object = json_object();
	if (!(o->memory && !strcmp(o->memory, "none")) &&
	    json_object_set_new(object, "memoryBacking",
				element(libvirt_memory, &f)))
		goto err;
	if (json_object_set_new(object, "interface",
				element(libvirt_vhost_user, &f)))
		goto err;
	return object;
err:
	json_decref(object);
	return NULL;
}
