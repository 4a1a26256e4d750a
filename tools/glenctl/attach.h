/* SPDX-License-Identifier: BSD-2-Clause */
/* attach.h - what a hypervisor has to be told to use a port of ours. */
#ifndef TOOLS_GLENCTL_ATTACH_H
#define TOOLS_GLENCTL_ATTACH_H
/*
 * Theory of operation
 *
 * Drivers vhost-user, stream and dgram connect virtual machines. What the other
 * end of such a port is started with follows from the port's settings, as
 * port.show tells them: whoever listens here is connected to there, what we
 * bind as "path" is the "remote" there, queues and MTU are the same on both
 * sides. So these are functions of the port object and of what only the user
 * knows (the size of the guest's memory, the kind of interface).
 *
 *   attach_qemu()      words of a command line, in pairs: option, value
 *   attach_libvirt()   elements of a domain's XML, by name
 *
 * A port without a MAC address gets one here that is always the same for this
 * port on this host, and another for any other: all guests to which nobody gave
 * an address have QEMU's 52:54:00:12:34:56, and then nothing works.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct attach_options {
	const char *memory; /* size of the guest's memory, as in "2G"; NULL: not
			     * known; "none": leave the memory out, another
			     * interface of the guest has brought it */
	const char *model;  /* of the interface, as QEMU names it; NULL:
			     * virtio-net-pci */
	unsigned queues;    /* pairs, at most the port's; 0: as many as the
			     * port, but one if it leaves the number open */
	bool packed;	    /* packed virtqueues; QEMU's default is split */
	const char *host; /* what tells this host from others; for addresses */
};

/* A port's default number of queue pairs: whatever the guest has. */
enum { ATTACH_QUEUES_ANY = 16 };

/* In place of a size that is not known; QEMU does not start with it. */
#define ATTACH_SIZE "SIZE"

/* True for drivers whose ports are for virtual machines. */
bool attach_driver(const char *driver);
/* Why there cannot be such an end of a driver's port; NULL: there can. */
const char *attach_refuses(const char *driver, const struct attach_options *o);
/* Why a port with so many queue pairs, and "packed" as it says, is not enough
 * for such an end; NULL: it is. */
const char *attach_lacks(unsigned queues, const json_t *packed,
			 const struct attach_options *o);

/*
 * QEMU's arguments for the port object port: an array of strings. NULL: *why
 * says what is missing, without a full stop.
 */
json_t *attach_qemu(const json_t *port, const struct attach_options *o,
		    const char **why);
/* Elements for libvirt: an object of strings, each with a line end. */
json_t *attach_libvirt(const json_t *port, const struct attach_options *o,
		       const char **why);

/*
 * Prints words, quoted for a shell where they need it, separated by between
 * after each pair and by blanks within. Returns true if a word was quoted.
 */
bool attach_print_words(FILE *file, const json_t *words, const char *between);

#endif
