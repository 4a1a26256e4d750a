// SPDX-License-Identifier: BSD-2-Clause
// handle.c - which pcap_t are glen ports; open and close them.
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netmap/pcap/handle.h"
#include "netmap/pcap/real.h"

/* A place in the table; key is read by everybody, written under the lock. */
struct place {
	const pcap_t *key; /* NULL: never used; GONE: free */
	struct handle *handle;
};

static struct place places[HANDLES_MAX];
static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static const char gone;
#define GONE ((const pcap_t *)&gone)

static unsigned place_of(const pcap_t *p)
{
	uint64_t key = (uintptr_t)p / 16;

	return (unsigned)(key * 0x9e3779b97f4a7c15u >> 32) % HANDLES_MAX;
}

struct handle *handle_find(const pcap_t *p)
{
	unsigned at = place_of(p);

	for (unsigned n = 0; n < HANDLES_MAX; n++) {
		struct place *place = &places[(at + n) % HANDLES_MAX];
		/* Pairs with the release in enter(). */
		const pcap_t *key = __atomic_load_n(&place->key,
						    __ATOMIC_ACQUIRE);

		if (!key)
			return NULL;
		if (key == p)
			return place->handle;
	}
	return NULL;
}

/* False: the table is full. */
static bool enter(struct handle *h)
{
	unsigned at = place_of(h->outer);
	bool done = false;

	pthread_mutex_lock(&places_lock);
	for (unsigned n = 0; n < HANDLES_MAX && !done; n++) {
		struct place *place = &places[(at + n) % HANDLES_MAX];

		if (place->key && place->key != GONE)
			continue;
		place->handle = h;
		/* Pairs with the acquire in handle_find(). */
		__atomic_store_n(&place->key, h->outer, __ATOMIC_RELEASE);
		done = true;
	}
	pthread_mutex_unlock(&places_lock);
	return done;
}

static void leave(const pcap_t *p)
{
	unsigned at = place_of(p);

	pthread_mutex_lock(&places_lock);
	while (places[at].key != p)
		at = (at + 1) % HANDLES_MAX;
	__atomic_store_n(&places[at].key, GONE, __ATOMIC_RELEASE);
	/* Places at the end of a run are as good as never used: nobody's way
	 * leads across them. */
	while (!places[(at + 1) % HANDLES_MAX].key && places[at].key == GONE) {
		__atomic_store_n(&places[at].key, NULL, __ATOMIC_RELEASE);
		at = (at + HANDLES_MAX - 1) % HANDLES_MAX;
	}
	pthread_mutex_unlock(&places_lock);
}

bool handle_is_device(const char *device)
{
	return device && !strncmp(device, PREFIX, strlen(PREFIX));
}

int handle_fail(struct handle *h, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(REAL(pcap_geterr)(h->outer), PCAP_ERRBUF_SIZE, format, args);
	va_end(args);
	return code;
}

int handle_check(struct handle *h)
{
	if (h->inner)
		return 0;
	return handle_fail(h, PCAP_ERROR_NOT_ACTIVATED,
			   "This handle hasn't been activated yet");
}

pcap_t *handle_create(const char *device, char *errbuf)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		goto err_memory;
	h->name = strdup(device + strlen(PREFIX));
	h->outer = REAL(pcap_open_dead)(DLT_EN10MB, SNAPLEN_MAX);
	if (!h->name || !h->outer)
		goto err_free;
	h->break_fd = h->poll_fd = h->ready_fd = -1;
	h->precision = PCAP_TSTAMP_PRECISION_MICRO;
	pthread_mutex_init(&h->tx_lock, NULL);
	if (!enter(h)) {
		snprintf(errbuf, PCAP_ERRBUF_SIZE,
			 "a process can have at most %d glen ports open with "
			 "libpcap",
			 HANDLES_MAX);
		goto err_mutex;
	}
	return h->outer;

err_mutex:
	pthread_mutex_destroy(&h->tx_lock);
	REAL(pcap_close)(h->outer);
	free(h->name);
	free(h);
	return NULL;
err_free:
	if (h->outer)
		REAL(pcap_close)(h->outer);
	free(h->name);
	free(h);
err_memory:
	snprintf(errbuf, PCAP_ERRBUF_SIZE, "out of memory");
	return NULL;
}

/* Slots for as many bytes as the program wants to have buffered. */
static unsigned slots_of(int buffer_size)
{
	unsigned want = (unsigned)buffer_size / 2048, slots = GLEN_SLOTS_MIN;

	if (buffer_size <= 0)
		return SLOTS_DEFAULT;
	while (slots < want && slots < GLEN_SLOTS_MAX)
		slots *= 2;
	return slots;
}

/* How libpcap calls what libglen failed with. */
static int status_of(int err)
{
	switch (err) {
	case -EACCES:
	case -EPERM:
		return PCAP_ERROR_PERM_DENIED;
	case -EINVAL:
		return PCAP_ERROR_NO_SUCH_DEVICE;
	default:
		return PCAP_ERROR;
	}
}

int handle_activate(struct handle *h)
{
	struct glen_port_config config = { .slots = slots_of(h->buffer_size) };
	struct glen_error error;
	int err;

	if (h->inner)
		return handle_fail(h, PCAP_ERROR_ACTIVATED,
				   "this handle is activated already");
	if (h->rfmon)
		return handle_fail(h, PCAP_ERROR_RFMON_NOTSUP,
				   "a glen port has no monitor mode");
	if (!strchr(h->name, ':'))
		return handle_fail(h, PCAP_ERROR_NO_SUCH_DEVICE,
				   "'" PREFIX "%s' is not a glen port: write "
				   "'" PREFIX "SWITCH:PORT', such as "
				   "'" PREFIX "vale0:dump'",
				   h->name);
	err = glen_port_open(&h->port, h->name, &config, &error);
	if (err)
		return handle_fail(h, status_of(err), "%s", error.text);
	if (h->snaplen <= 0 || h->snaplen > SNAPLEN_MAX)
		h->snaplen = SNAPLEN_MAX;
	h->slots = config.slots;
	if (traffic_init(h))
		goto err_port;
	h->inner = REAL(
		pcap_open_dead_with_tstamp_precision)(DLT_EN10MB, h->snaplen,
						      (u_int)h->precision);
	if (!h->inner) {
		handle_fail(h, PCAP_ERROR, "out of memory");
		goto err_traffic;
	}
	return 0;

err_traffic:
	traffic_fini(h);
err_port:
	glen_port_close(h->port);
	h->port = NULL;
	return PCAP_ERROR;
}

void handle_destroy(struct handle *h)
{
	leave(h->outer);
	if (h->inner) {
		REAL(pcap_close)(h->inner);
		glen_port_close(h->port);
		traffic_fini(h);
	}
	pthread_mutex_destroy(&h->tx_lock);
	REAL(pcap_close)(h->outer);
	free(h->name);
	free(h);
}
