/* SPDX-License-Identifier: BSD-2-Clause */
/* internal.h - what the files of ctl/netmap know of each other. */
#ifndef CTL_NETMAP_INTERNAL_H
#define CTL_NETMAP_INTERNAL_H
#include <net/netmap.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "ctl/control.h"
#include "ctl/netmap/netmap.h"
#include "port/shm/netmap.h"

enum {
	NM_MEM_GLOBAL = 1, /* nr_mem_id of the region of a user's NICs */
	NM_BUF_SIZE = 2048,
	/* Enough for a port with all its pipes; taken as it is used. */
	NM_BUFS = (1 << 18) + (1 << 16),
	NM_SLOTS = 1024, /* per ring, unless asked for */
	NM_EXTRA_MAX = 128 * 4096,
	NM_OPENS_MAX = 1 << 16,
	NM_PIPES_MAX = 64,   /* of one parent */
	NM_VALE_PORTS = 252, /* of one switch, as far as netmap adds to it */
	NM_VALE_PART = 15,   /* characters of the name of a port, or switch */
	NM_PUMP = 2,	     /* the first pump in nm_port.core[] */
	NM_CORES = 4,
};

#define NM_IDLE_SWITCH "netmap.idle"
#define NM_NIC_SWITCH "netmap.nic."

/* A region in the words of netmap: objects, and bytes of each. */
struct nm_pools {
	uint64_t memsize; /* that there are, or that are mapped */
	uint64_t windows; /* bytes in front of the buffers; 0: as ever */
	uint32_t if_objs, if_objsize;
	uint32_t ring_objs, ring_objsize;
	uint32_t buf_objs, buf_objsize;
	uint16_t mem_id; /* the region that is there, if it is still there */
};

/* A region, by number. */
struct nm_mem {
	struct nm_mem *next;
	uint16_t id;
	uid_t uid;
	unsigned refs;
	uint32_t buf_size, n_bufs;
	struct nm_pools pools;	       /* all 0, but of option EXTMEM */
	char region[REGION_NAME_SIZE]; /* the engine's name of it */
};

enum nm_kind { NM_VALE, NM_PIPE, NM_NIC, NM_MONITOR, NM_NULL };

struct nm_open;

struct nm_nic;

/* What a program can bind. */
struct nm_port {
	struct nm_port *next;
	struct nm *nm;
	enum nm_kind kind;
	char name[NETMAP_REQ_IFNAMSIZ]; /* of a pipe: its master's */
	/* VALE: "switch:port" in glen's names; "": attached to no switch. */
	char full[GLEN_NAME_MAX + 1];
	char attached[NETMAP_REQ_IFNAMSIZ]; /* persistent: "valeX:name" */
	uid_t uid;
	unsigned refs;	   /* opens, children and whoever looks at it now */
	bool hidden;	   /* nobody finds it: gone, or its open's own */
	bool persistent;   /* has a reference for that */
	bool made_by_pipe; /* made for its pipes, and goes with them */
	bool stopping;	   /* its ports of switches are closed by us */
	bool swap;	   /* packets move by reference in its region */
	struct nm_port *parent; /* of a pipe or monitor; referenced */
	uint64_t watches;	/* of a monitor: NR_MONITOR_*, NR_ZCOPY_MON */
	unsigned watched_end;	/* of a pipe */
	struct nm_nic *nic;	/* of a NIC */
	unsigned n_pipes;
	/* The open that made it wants offsets; all 0: none does. */
	uint32_t offset_max, offset_first, offset_gap;
	uint64_t offset_mask;
	struct nm_mem *mem;
	/* Const. */
	uint16_t n[NMW_KINDS];
	uint32_t tx_slots, rx_slots;
	uint32_t hdr_len; /* of vnet headers */
	/* While it is started. */
	struct netmap_window *window;
	struct netmap_bell bell;
	/* Of its NIC rings and host rings, then the pumps that monitors of
	 * these need; or NULL. */
	struct port *core[NM_CORES];
	struct nm_open *open[NMW_OPENS];
	unsigned n_opens;
	/* By line of the window. */
	uint16_t users[NMW_LINES];
	bool exclusive[NMW_LINES];
};

/* One open("/dev/netmap"). */
struct nm_open {
	struct nm_open *next, **at;
	struct nm *nm;
	struct loop_source source; /* P */
	int fd;
	uint64_t dev, ino;		/* of H */
	struct nm_port *port;		/* NULL: not bound */
	char name[NETMAP_REQ_IFNAMSIZ]; /* as it was asked for */
	unsigned index, end;
	struct nmw_bind bind;
	uint32_t mode, ringid;
	uint64_t flags;
	uint32_t extra_bufs;
	/* The region that option EXTMEM made before there is a port in it. */
	struct nm_mem *mem;
	struct region_member keep; /* keeps it, without a window */
};

struct nm {
	struct control *control;
	struct loop *main;
	struct loop_source source; /* of loop, in main */
	struct loop loop;	   /* of all P's */
	unsigned n_closed;	   /* opens, ever */
	struct discard *bin;
	uint64_t nonce, n_made;
	struct nm_open *opens;
	unsigned n_opens;
	struct nm_port *ports;
	struct nm_mem *mems;
	uint16_t last_mem;
	uint64_t n_odd; /* names that glen would not allow, ever */
	/* By nr_bridge_idx: names of switches, "" where there is none. */
	char bridges[SWITCHES_MAX][PORT_NAME_SIZE];
	struct nm_attached *attached;
};

/* An interface of the host that VALE_ATTACH made a port. */
struct nm_attached {
	struct nm_attached *next;
	char full[GLEN_NAME_MAX + 1];
	bool polling;
};

/* What a request says, in netmap's words. */
struct nm_req {
	char name[NETMAP_REQ_IFNAMSIZ];
	uid_t uid;
	uint32_t mode, ringid;
	uint64_t flags;
	uint16_t mem_id;
	uint16_t n[NMW_KINDS]; /* rings wished for, 0: default */
	uint32_t tx_slots, rx_slots, extra_bufs;
	bool interface; /* there is one of that name, for the caller */
	uint64_t
		netns; /* inode of the caller's network namespace; 0: glend's */
	pid_t pid;     /* the caller */
	bool extmem;
	struct nm_pools pools; /* of extmem */
	bool swap;
	bool offsets; /* and what of it */
	uint32_t offset_max, offset_first, offset_bits, offset_gap;
};

/* request.c */

/* keys: of params, NULL at the end. */
int nm_req_read(const struct nm_call *call, const char *const *keys,
		struct nm_req *req, struct glen_error *error);

/* mem.c. What is got is put. */

/* -EINVAL: there is none of this number; -EACCES: it is another user's. */
int nm_mem_find(struct nm *nm, uid_t uid, uint16_t id, struct nm_mem **mem,
		struct glen_error *error);
/* A new one. -ENOMEM. */
int nm_mem_make(struct nm *nm, uid_t uid, struct nm_mem **mem,
		struct glen_error *error);
void nm_mem_put(struct nm *nm, struct nm_mem *mem);
/* Bytes that a program maps, and those of them that are before buffer 0. */
uint64_t nm_mem_size(const struct nm_mem *mem);
uint64_t nm_mem_windows(const struct nm_mem *mem);

/* external.c */

/* Option EXTMEM's numbers. */
int nm_external_read(json_t *o, struct nm_pools *pools,
		     struct glen_error *error);
/* What glen makes of them. -EINVAL: it does not fit, or makes no sense. */
int nm_external_plan(const struct nm_pools *wish, struct nm_pools *plan,
		     struct glen_error *error);
/* The region for them, or the one that is in that memory already. -EBUSY: it
 * has another shape. */
int nm_external_get(struct nm *nm, uid_t uid, const struct nm_pools *wish,
		    struct nm_mem **mem, struct glen_error *error);
/* netmap.extmem: makes the region ahead of netmap.register. */
int nm_external_make(struct nm *nm, struct nm_call *call,
		     struct glen_error *error);
/* The open needs the region that was made for it no more, if there is one. */
void nm_external_drop(struct nm_open *o);

/* open.c */

int nm_open_make(struct nm *nm, struct nm_call *call, struct glen_error *error);
/* The open whose H came with the call, which is closed. -EBADF. */
int nm_open_of(struct nm *nm, struct nm_call *call, struct nm_open **open,
	       struct glen_error *error);
/* As it was when it was made: bound to nothing. */
void nm_open_reset(struct nm_open *o);
/* Unbinds and frees it. */
void nm_open_close(struct nm_open *o);

/* port.c */

const char *nm_kind_name(enum nm_kind kind);
/* By its name, also that on a switch, or that of the other end of a pipe. */
struct nm_port *nm_port_find(struct nm *nm, const char *name);
/* Is there one, which the caller may use? 0, -ENXIO or -EACCES. One more
 * reference. */
int nm_port_look(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		 struct glen_error *error);
/* A new port with one reference; takes mem's. */
struct nm_port *nm_port_make(struct nm *nm, enum nm_kind kind, const char *name,
			     struct nm_mem *mem);
void nm_port_put(struct nm_port *p);
/* The port that a request means, made if there is none. -ENXIO: no name. */
int nm_port_get(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error);
/* Could netmap add one more port to a switch, should it be there? -ENOMEM. */
int nm_switch_room(struct nm *nm, const char *name, struct glen_error *error);
/* "valeX:name" and no more. */
bool nm_is_vale(const char *name);
/* 0: what there is by default; what is too much becomes the most. */
uint32_t nm_bound(uint32_t value, uint32_t def, uint32_t min, uint32_t max);
/* Programs that have it open see that it is gone. */
void nm_port_hang_up(struct nm_port *p);
/* What a persistent port's netmap_if says of rings; clamps wishes. */
void nm_port_shape(struct nm_port *p, const struct nm_req *req);

/* start.c */

/* Makes window and ports of switches, or ends them. */
int nm_port_start(struct nm_port *p, struct glen_error *error);
void nm_port_stop(struct nm_port *p);
/* A port of a switch goes to another one, "": to none. Programs that have it
 * open keep their rings as they are. */
int nm_port_move(struct nm_port *p, const char *full, struct glen_error *error);
/* Puts its NIC rings (0) or host rings (1) on a switch, as a port with this
 * name. */
int nm_port_plug(struct nm_port *p, unsigned i, const char *full,
		 struct glen_error *error);
/* A pump for those, or for a pipe (0). */
int nm_port_pump(struct nm_port *p, unsigned i, const char *full,
		 struct glen_error *error);
/* Closes core[i]. */
void nm_port_unplug(struct nm_port *p, unsigned i);

/* monitor.c */

/* A port of its own for an open that watches another one. */
int nm_monitor_get(struct nm *nm, const struct nm_req *req, struct nm_mem *mem,
		   struct nm_port **port, struct glen_error *error);
/* It begins to see what passes the rings that were asked for. */
int nm_monitor_begin(struct nm_port *p, const struct nmw_bind *bind,
		     struct glen_error *error);
/* A monitor of this port is gone: so are pumps that no other needs. */
void nm_monitor_end(struct nm_port *parent);
/* The port is on another switch: its monitors go on watching it. */
void nm_monitor_again(struct nm_port *parent);

/* nic.c */

/* The port of an interface of the caller's network namespace: what there is
 * already, NULL: none; or made. Takes mem's reference, NULL: the user's global
 * region. */
int nm_nic_look(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error);
int nm_nic_get(struct nm *nm, const struct nm_req *req, struct nm_mem *mem,
	       struct nm_port **port, struct glen_error *error);
/* True if some process has the interface of this name open, in whatever
 * namespace. */
bool nm_nic_is_open(struct nm *nm, const char *ifname);
/* Takes the interface and puts the port's rings in front of it. */
int nm_nic_start(struct nm_port *p, struct glen_error *error);
/* Gives it back; the port's rings are gone already. */
void nm_nic_stop(struct nm_port *p);
/* Which of its rings are bound has changed. */
void nm_nic_bound(struct nm_port *p);
/* As if its interface were gone: nobody finds it any more. */
void nm_nic_forget(struct nm_port *p);
void nm_nic_free(struct nm_port *p);

/* pipe.c */

/* The end that a name means: 0, 1, or -1 if it is no pipe's. */
int nm_pipe_end(const char *name);
int nm_pipe_get(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error);
/* An open of an end came to a window that is there already, or the end's last
 * one went. */
void nm_pipe_first(struct nm_port *p, unsigned end);
void nm_pipe_last(struct nm_port *p, unsigned end);
/* Wakes the opens of the other end. */
void nm_pipe_relay(struct nm_open *o);

/* bind.c */

/* How many opens an end of a pipe has. */
unsigned nm_opens_of_end(const struct nm_port *p, unsigned end);
/* Binds an open; the port is started if it is its first. */
int nm_port_bind(struct nm_port *p, struct nm_open *o, const struct nm_req *req,
		 struct glen_error *error);
void nm_port_unbind(struct nm_open *o);

/* register.c */

int nm_register(struct nm *nm, struct nm_call *call, struct glen_error *error);
int nm_unregister(struct nm *nm, struct nm_call *call,
		  struct glen_error *error);
int nm_attach(struct nm *nm, struct nm_call *call, struct glen_error *error);

/* info.c */

int nm_info(struct nm *nm, struct nm_call *call, struct glen_error *error);
int nm_pools(struct nm *nm, struct nm_call *call, struct glen_error *error);
int nm_hdr_set(struct nm *nm, struct nm_call *call, struct glen_error *error);
int nm_hdr_get(struct nm *nm, struct nm_call *call, struct glen_error *error);

/* vale.c */

int nm_vale_list(struct nm *nm, struct nm_call *call, struct glen_error *error);
int nm_vale_newif(struct nm *nm, struct nm_call *call,
		  struct glen_error *error);
int nm_vale_delif(struct nm *nm, struct nm_call *call,
		  struct glen_error *error);

/* attach.c */

int nm_vale_attach(struct nm *nm, struct nm_call *call,
		   struct glen_error *error);
int nm_vale_detach(struct nm *nm, struct nm_call *call,
		   struct glen_error *error);
int nm_vale_polling(struct nm *nm, struct nm_call *call,
		    struct glen_error *error);
/* Persistent ports and attached interfaces end. */
void nm_vale_forget(struct nm *nm);
/* True if an interface of this name is attached to a switch. */
bool nm_is_attached(struct nm *nm, const char *ifname);

#endif
