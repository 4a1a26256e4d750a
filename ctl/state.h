/* SPDX-License-Identifier: BSD-2-Clause */
/* state.h - the file that lets a new glend go on where the last one ended. */
#ifndef CTL_STATE_H
#define CTL_STATE_H
/*
 * Theory of operation
 *
 * One file of mode 0600, mapped shared and updated in place, so that SIGKILL at
 * any moment loses nothing: what was stored is in the page cache. It is not
 * meant to survive a crash of the machine, and descriptors do not survive its
 * end anyway: after a reboot only the configuration is used.
 *
 *   0          header: magic, version, sizes, boot id, bits of used records
 *   4 KiB      configuration A \  generation, length, CRC, JSON text: the one
 *   4 MiB ..   configuration B /  with the higher generation and a good CRC
 *   8 MiB ..   STATE_RECORDS records of 4 KiB: one per open port
 *
 * A new configuration is written over the older one of the two, its generation
 * last: without one an area counts as never written. A record is filled before
 * its bit is set, and the bit is cleared before it is wiped. Its second half
 * belongs to the port's driver, whose workers write it in place (struct
 * port_args.saved). Its options are kept twice, and a word says which of the
 * two counts.
 *
 *   record --bit set--> open --process ends--> pending --state_open()--> ...
 *                         \--state_close()--> free  \--state_forget()--> free
 *
 * Pending are the records of the ports of the process before. A client resumes
 * such a port (port.resume) or a configured one is opened again and finds what
 * its driver left. The others are forgotten after a while.
 *
 * The file is sparse; room is allocated before it is written to, so that a full
 * disk is an error and no SIGBUS. A lock keeps a second glend out. A file that
 * is damaged, of another version, or open to others is renamed to *.bad, and
 * glend starts without.
 *
 * Control thread, but for the drivers' halves.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/port.h"

enum {
	STATE_RECORDS = 8192,
	STATE_CONFIG_MAX = (4 << 20) - 4096 - 64, /* bytes of JSON text */
	STATE_PARAMS_MAX = 800,			  /* of a port's options */
};

struct state;

/*
 * Opens or makes the file. *warning.code is not 0 if a file that was there
 * could not be used (its text says why and where it is kept). -EBUSY: another
 * process uses it; -ENOSPC, -EACCES, ...
 */
int state_create(struct state **state, const char *path,
		 struct glen_error *warning, struct glen_error *error);

/* Unmaps and closes. discard: removes the file. NULL is fine. */
void state_destroy(struct state *state, bool discard);

/* The configuration stored last, a new object; NULL: none. */
json_t *state_config(const struct state *state);
/* Stores one; borrowed. -EFBIG, -ENOSPC; the one before stays then. */
int state_set_config(struct state *state, json_t *config,
		     struct glen_error *error);

/* True if the last process left a port of this name that nobody took over. */
bool state_pending(const struct state *state, const char *name,
		   const char *driver);
/* Its options, a new object; NULL: they are damaged or there is none. */
json_t *state_params(const struct state *state, const char *name);

/*
 * The driver's half of a port's record, PORT_SAVED_SIZE bytes: of the pending
 * one if there is one with this name and driver (*resume is true then), else of
 * a new one, zeroed. A pending one of another driver is forgotten. -ENOSPC.
 */
int state_open(struct state *state, const char *name, const char *driver,
	       json_t *params, void **saved, bool *resume,
	       struct glen_error *error);
/* The port is gone. */
void state_close(struct state *state, void *saved);
/* Makes an open record pending again: its port could not be resumed. */
void state_reopen(struct state *state, void *saved);
/* Stores changed options. */
int state_set_params(struct state *state, void *saved, json_t *params,
		     struct glen_error *error);

/* Number of pending records. */
unsigned state_n_pending(const struct state *state);
/* Name and driver of the pending record i or a later one, whose number is
 * stored in *i; NULL: there is none. Borrowed. */
const char *state_next(const struct state *state, unsigned *i,
		       const char **driver);
/* Frees all pending records but those of ports that are members of the object
 * except (NULL: all). Returns how many. */
unsigned state_forget(struct state *state, json_t *except);

#endif
