/* SPDX-License-Identifier: BSD-2-Clause */
/* preload.h - libglen-netmap.so: /dev/netmap for programs that know only it. */
#ifndef NETMAP_PRELOAD_PRELOAD_H
#define NETMAP_PRELOAD_PRELOAD_H
/*
 * Theory of operation
 *
 * The library is preloaded (glen-run does it) and stands in front of the C
 * library's functions that take descriptors. A descriptor of /dev/netmap is one
 * end of a socketpair that glend made, H for short:
 *
 *   - it is the open: fork, dup and SCM_RIGHTS carry it, and when its last copy
 *     is closed, glend closes the port. getsockname() tells that a socket is
 *     one; glend recognises it when it comes with a request.
 *   - a byte written to it wakes glend, a byte read from it is glend waking us.
 *
 * Nothing else is needed on our side but memory: the port's window
 * (lib/nm_window.h), which the library maps for itself, and the buffers. Any
 * process that has an H asks glend for both (netmap.attach) when it first uses
 * it. So state is of three kinds: what all processes must agree on lies in the
 * window, what glend decides is asked of glend, and what is here can be lost
 * and made again.
 *
 *   table.c    which descriptor numbers are ours; objects; the lock
 *   files.c    open, close, dup, fcntl, recvmsg; stream.c: FILE; stat.c
 *   io.c       read, write and all that a device refuses
 *   device.c   what is behind an H: opens, attaches, binds; ioctl()
 *   request.c  NIOCCTRL: headers, bodies, options, copying
 *   legacy.c   the requests before NIOCCTRL
 *   control.c  requests as JSON-RPC calls
 *   memory.c   windows, buffers, and what programs map of them; extmem.c
 *   lock.c     who is inside a ring, dead or alive
 *   sync.c     TX and RX sync of ports that glend moves; pipe.c: of pipes;
 *              forward.c: between a NIC and its host
 *   wait.c     poll in all its forms, select.c, epoll.c; sleep.c
 *   csb.c, kloop.c   CSB and SYNC_KLOOP_START
 *
 * Threads: everything may be called from any. Tables are changed with the lock,
 * and with all signals blocked, so that close() may be called from a signal
 * handler; they are read without. A ring is synced by one thread at a time, of
 * whatever process: nmw_sync.owner.
 *
 * Cost for programs without netmap: a load, a branch and a jump per call, see
 * real.h.
 * Messages go to the file that GLEN_NETMAP_LOG names, never to descriptor 2.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <jansson.h>
#include <net/netmap.h>

#include "lib/nm_window.h"
#include "lib/shm.h"

#define EXPORT __attribute__((visibility("default")))
/*
 * ThreadSanitizer does not look at locks and atomics inside of calls that it
 * knows to block, and for a program's poll() that is where we are; but it does
 * look at all else. So it is told what our locks and published pointers mean.
 */
#if defined(__SANITIZE_THREAD__)
#define RACES_ARE_SOUGHT 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_ARE_SOUGHT 1
#endif
#endif
#ifdef RACES_ARE_SOUGHT
void __tsan_acquire(void *word);
void __tsan_release(void *word);
#else
#define __tsan_acquire(word) ((void)(word))
#define __tsan_release(word) ((void)(word))
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum {
	FD_MAX = 1 << 20,	       /* no Linux has more by default */
	DIR_RINGS = 2 * NMW_RINGS_MAX, /* NIC and host rings of one direction */
	AUX_FD_MIN = 900, /* where descriptors of our own are put */
};

/* What was released to this word by others is seen from here on; and back. */
static inline void race_acquire(const void *word)
{
	__tsan_acquire((void *)(uintptr_t)word);
}

static inline void race_release(const void *word)
{
	__tsan_release((void *)(uintptr_t)word);
}

enum kind { KIND_VALE, KIND_PIPE, KIND_NIC, KIND_MONITOR, KIND_NULL };

/* What a descriptor number stands for. */
enum obj_type {
	OBJ_DEVICE, /* struct device */
	OBJ_EPOLL,  /* struct epoll, one with devices among its members */
};

struct obj {
	enum obj_type type;
	unsigned refs; /* descriptor numbers and calls; under the lock */
};

/* The window of a port, as this process has it mapped; see memory.c. */
struct window {
	struct window *next;
	struct region *region;
	uint64_t ino; /* of its memfd */
	char *base;   /* our mapping */
	size_t size;
	uint64_t place; /* in the region */
	unsigned refs;	/* devices */
};

/* One ring that a device binds, as this process sees it. */
struct nring {
	struct netmap_ring *ring;
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
	struct nmw_sync *sync;
	uint32_t mask;
	bool tx;
	struct robust_list *before; /* of who has the ring's lock, see lock.h */
	/* Pipes: the ring of the other end that this one is tied to. */
	struct netmap_ring *peer_ring;
	struct nm_csb_atok *peer_atok;
	struct nm_csb_ktoa *peer_ktoa;
};

/* How long it pays to spin, learned from what it led to. */
struct spin_guess {
	uint32_t ns;
	uint32_t skipped; /* waits since the last spin, if ns is 0 */
};

/* An open of /dev/netmap, whoever made it. */
struct device {
	struct obj obj;
	uint64_t ino;	     /* of H's socket */
	struct device *next; /* all that are in the table */
	/* Set once, with release, when everything below is. */
	bool bound;
	pid_t binding;	/* the process whose REGISTER is under way; 0: none */
	bool dead;	/* glend hung up */
	unsigned wakes; /* since the bytes on H were counted */
	/* From netmap.register or netmap.attach. */
	enum kind kind;
	struct window *window; /* NULL: none */
	struct nm_window layout;
	unsigned end, open;
	uint16_t mem_id;
	uint64_t memsize, offset;
	uint64_t windows; /* bytes of it before buffer 0 */
	uint32_t mode, ringid;
	uint64_t flags;
	uint64_t offset_mask;
	uint32_t offset_max; /* of what is received */
	uint32_t buf_size, n_bufs;
	char *bufs; /* buffer 0, in our own mapping */
	unsigned tx_first, tx_last, rx_first, rx_last;
	unsigned n_tx, n_rx; /* of the NIC, without host rings */
	struct nring tx[DIR_RINGS], rx[DIR_RINGS];
	struct csb *csb; /* of this process; NULL: none */
	/* How long txsync looks before it sleeps; [1]: glend was woken. */
	struct spin_guess spin[2];
};

static inline bool is_dead(const struct device *d)
{
	return __atomic_load_n(&d->dead, __ATOMIC_RELAXED);
}

static inline void device_died(struct device *d)
{
	__atomic_store_n(&d->dead, true, __ATOMIC_RELAXED);
}

/* ---- table.c */
extern struct obj *fd_table[FD_MAX];
extern bool any_objects;

/* From now on everything is looked at: any_objects is set. real.c. */
void real_slow(void);
/* Was there ever one? Else there is nothing to look for. */
static inline bool had_objects(void)
{
	return __atomic_load_n(&any_objects, __ATOMIC_RELAXED);
}

/* Is this the device's name? Compared in place: every open() comes by. */
static inline bool is_netmap(const char *path)
{
	static const char name[] = "/dev/netmap";

	for (size_t i = 0; i < sizeof(name); i++)
		if (unlikely(!path) || likely(path[i] != name[i]))
			return false;
	return true;
}

static inline struct obj *fd_obj(int fd)
{
	struct obj *o;

	if ((unsigned)fd >= FD_MAX)
		return NULL;
	/* Pairs with the release in fd_enter(). */
	o = __atomic_load_n(&fd_table[fd], __ATOMIC_ACQUIRE);
	if (o)
		race_acquire(o);
	return o;
}

static inline struct device *fd_device(int fd)
{
	struct obj *o = fd_obj(fd);

	return o && o->type == OBJ_DEVICE ? (struct device *)o : NULL;
}

/* Takes and gives back the lock of all tables, with all signals blocked. */
struct lock_state {
	uint64_t signals;
};
void tables_lock(struct lock_state *state);
void tables_unlock(const struct lock_state *state);
bool tables_held(void); /* by this thread */
/* With the lock: fd stands for o (a reference is taken), or for nothing. */
void fd_enter(int fd, struct obj *o);
/* With the lock. put: the last reference gives the object back. */
static inline void obj_get(struct obj *o)
{
	o->refs++;
}
void obj_put(struct obj *o);
/* No number above this one ever stood for anything. */
unsigned fd_highest(void);
/* Without the lock. */
void obj_hold(struct obj *o);
void obj_release(struct obj *o);
/* In a child of vfork(), which must not change its parent's tables. */
bool in_vfork_child(void);
/* In the child of a fork that went past the C library, as yet unknown. */
extern uint32_t *fork_mark;
static inline bool was_forked(void)
{
	return unlikely(fork_mark &&
			!__atomic_load_n(fork_mark, __ATOMIC_RELAXED));
}
/* In such a child, which has one thread: makes everything right. */
void tables_forked(void);
/* With the lock: a device that is open has its window in the region. */
bool region_has_device(const struct region *r);
/* Once, before anything is entered: what fork() needs. */
void tables_init(void);
uint32_t thread_id(void);
/* With the lock: a fresh device for a socket, or the one that it has. NULL: out
 * of memory. */
struct device *device_of_ino(uint64_t ino);
/* Is fd an H? Then enters it, if it was not known, and returns its device. */
struct device *device_adopt(int fd);
/* fd is about to be closed: it stands for nothing any more. */
void fd_forget(int fd);
/* Is fd still what the table says? System calls and the C library itself close
 * behind our back. If not, the table is put right. */
bool fd_is_device(int fd, const struct device *d);

/* ---- log.c: messages, at most a few hundred bytes each. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- device.c */
/* 0 and *fd, or -errno. flags: O_CLOEXEC and O_NONBLOCK count. */
int device_open(int flags, int *fd);
/* True if the device is bound; asks glend if this process does not know. */
bool device_bound(struct device *d, int fd);
/*
 * A REGISTER binds a device in steps, and until the last one all other calls
 * find it unbound. begin: -EBUSY, it is bound, or another thread is at it.
 * set_up: what netmap.register said; fds, window and buffers, are taken. end:
 * good, it is bound; else it is as it was.
 */
int device_begin(struct device *d);
int device_set_up(struct device *d, json_t *result, int *fds, unsigned n_fds);
void device_end(struct device *d, bool good);
/* The ioctl() of a device; 0 or more, or -errno. */
int device_ioctl(struct device *d, int fd, unsigned long request, void *arg);
static inline bool is_bound(const struct device *d)
{
	/* Pairs with the release in device_bind(). */
	bool bound = __atomic_load_n(&d->bound, __ATOMIC_ACQUIRE);

	race_acquire(&d->bound);
	return bound;
}

/* ---- control.c: 0 or -errno. */
/* This thread is talking to glend: what it receives is not the program's. */
extern __thread bool in_control_call __attribute__((tls_model("initial-exec")));
int control_call(const char *method, json_t *params, const int *h,
		 json_t **result, int *fds, unsigned *n_fds);
struct request;
int control_request(struct device *d, int fd, struct request *q);

/* ---- request.c */
struct request {
	struct nmreq_header hdr; /* ours */
	union {
		struct nmreq_register reg;
		struct nmreq_port_info_get info;
		struct nmreq_vale_attach attach;
		struct nmreq_vale_detach detach;
		struct nmreq_vale_list list;
		struct nmreq_port_hdr port_hdr;
		struct nmreq_vale_newif newif;
		struct nmreq_vale_polling polling;
		struct nmreq_pools_info pools;
		struct nmreq_sync_kloop_start kloop;
	} body;
	/* Options that the request knows; NULL: not given. */
	struct nmreq_opt_extmem *extmem;
	struct nmreq_opt_offsets *offsets;
	struct nmreq_opt_csb *csb;
	struct nmreq_opt_sync_kloop_eventfds *eventfds;
	struct nmreq_opt_sync_kloop_mode *kloop_mode;
	bool odd;		/* there are options that it does not know */
	struct option *options; /* all, copied */
	unsigned n_options;
};

/* One option of a request: our copy, and where it came from. */
struct option {
	uint64_t address;
	size_t size;
	struct nmreq_option *opt;
};

int request_nioctrl(struct device *d, int fd, void *arg);
/* The bytes of a request's body; 0: it has none, or there is no such type. */
size_t request_body_size(unsigned type);
/* Reads the list at address. 0, or -errno with the statuses to copy back. */
int request_read_options(struct request *q, uint64_t address);
/* Copies statuses back, and bodies if err is 0; frees the options. */
void request_finish_options(struct request *q, int err);
/* What the options are to the request: sets the pointers and odd. */
void request_know_options(struct request *q);
/* Copies from or to the program; -EFAULT instead of a signal. */
int copy_in(void *to, uint64_t from, size_t n);
int copy_out(uint64_t to, const void *from, size_t n);

/* ---- legacy.c */
/* Fills q from an old request. cmd: NIOCREGIF or NIOCGINFO. 0 or -errno. */
int legacy_convert(struct nmreq *nmr, unsigned long cmd, struct request *q);
/* Completes an old request from a new one that succeeded. */
void legacy_complete(struct nmreq *nmr, const struct request *q);
int request_legacy(struct device *d, int fd, unsigned long cmd, void *arg);

/* ---- memory.c */
/*
 * The window and the buffers behind two descriptors (borrowed), mapped. The
 * lock is held. NULL and *err.
 */
struct window_spec {
	int window_fd, bufs_fd;
	size_t window_size, bufs_size;
	uint64_t place, windows; /* of the window and of buffer 0 */
	uint16_t mem_id;
	bool pipe;
};
struct window *window_get(const struct window_spec *spec, char **bufs,
			  int *err);
void window_put(struct window *w);
/* The program maps the region of a device: an address, or MAP_FAILED and
 * errno. */
void *region_mmap(struct device *d, void *addr, size_t len, int prot, int flags,
		  off_t off);
/* With the lock: the program unmapped this, or mapped something over it. */
void region_unmapped_locked(void *addr, size_t len);
/*
 * With the lock: true if some of this memory is a region that is in use, but
 * for one that begins there, whose number is *mem_id (0: there is none).
 */
bool region_at(const void *addr, size_t len, uint16_t *mem_id);
/* With the lock: puts the region of a device in the place of what is there,
 * unless it is there already. */
int region_place(struct device *d, void *addr);

/* ---- extmem.c */
/*
 * Option EXTMEM. Can this memory of the program become a region? *mem_id is the
 * region that it is already, or 0. -EINVAL, -EFAULT, -EBUSY: some of it is
 * another region.
 */
int extmem_check(const struct nmreq_opt_extmem *o, uint16_t *mem_id);
/* Copies what is there to the buffers of a region, which is of size bytes, of
 * which those in front of windows are for rings. */
int extmem_keep(const struct nmreq_opt_extmem *o, int bufs_fd, uint64_t size,
		uint64_t windows);
/* Puts the region of a device there, unless it is there. */
int extmem_place(struct device *d, const struct nmreq_opt_extmem *o);

/* ---- sync.c */
enum {
	SYNC_BUSY = 1,	 /* somebody else is inside */
	SYNC_REINIT = 2, /* indexes or slots made no sense */
	SYNC_EIO = 4,	 /* the ring cannot be synced */
	SYNC_KICKED = 8, /* glend slept and has been woken */
};

/* Syncs one ring, and does not wait. Returns SYNC_* bits. */
unsigned ring_sync(struct device *d, int fd, struct nring *r);
/* After ring_sync(): the ring holds what its user waits for. */
bool ring_ready(const struct nring *r, unsigned sync);
/* Asks for a wake-up; a full fence is due before looking again. */
void ring_arm(struct nring *r, enum nmw_how how);
/* NIOCTXSYNC and NIOCRXSYNC. */
int device_txsync(struct device *d, int fd);
int device_rxsync(struct device *d, int fd);
void device_kick(int fd);
/* Stamps an RX ring with the time of its sync. */
void ring_stamp(struct netmap_ring *ring);
/* Pure: may head and cur follow an old head, with slots up to tail? */
static inline bool indexes_ok(uint32_t old, uint32_t head, uint32_t cur,
			      uint32_t tail, uint32_t mask)
{
	return head <= mask && cur <= mask &&
	       ((head - old) & mask) <= ((cur - old) & mask) &&
	       ((cur - old) & mask) <= ((tail - old) & mask);
}
/* netmap's cure for a ring whose user wrote nonsense. */
void ring_reinit(struct device *d, struct nring *r);
/* Does what a slot of w says lie inside its buffer? With offsets. */
static inline bool offset_ok(const struct device *d, uint64_t ptr, uint64_t w)
{
	uint32_t len = slot_len(w);

	return len <= d->buf_size &&
	       (ptr & d->offset_mask) <= d->buf_size - len;
}
/*
 * Slots [from, to) that a program hands over: do they name buffers, and are
 * their packets inside? Packets with NS_INDIRECT are copied to their buffers.
 * Of too many slots glend drops a packet, and counts it.
 */
bool slots_take(struct device *d, struct nring *r, uint32_t from, uint32_t to);

/* ---- forward.c: slots [from, to) of an RX ring are released: those with
 * NS_FORWARD go to the other side, NIC or host. With rx's lock. */
void slots_forward(struct device *d, int fd, struct nring *rx, uint32_t from,
		   uint32_t to);

/* ---- pipe.c */
unsigned pipe_sync(struct device *d, int fd, struct nring *r);
/* NIOCTXSYNC: where glend moves the packets, it has moved what finds room. */
void pipe_wait(struct device *d, int fd);

/* ---- wait.c */
enum {
	WAIT_FDS = 64, /* H's that a sleep is about; more are looked at now and
			* then */
};
/* ppoll() where some descriptors are netmap's. end_ns: of CLOCK_MONOTONIC,
 * UINT64_MAX: none. */
int wait_poll(struct pollfd *fds, nfds_t n, uint64_t end_ns,
	      const sigset_t *mask);
/* Syncs as poll() does, and says what it would. */
short device_events(struct device *d, int fd, short events);
/* Asks for wake-ups; a full fence is due. */
void device_arm(struct device *d, short events, enum nmw_how how);
uint64_t mono_ns(void);
/* Is any of them netmap's? */
bool any_of_ours(const struct pollfd *fds, nfds_t n);
/* The end of a wait, from timespec (NULL: none) or milliseconds (< 0: none). */
uint64_t end_of(const struct timespec *timeout);
uint64_t end_of_ms(int timeout_ms);
/* What is left until then: NULL if there is no end. */
const struct timespec *left_of(uint64_t end, struct timespec *left);

/* ---- sleep.c */
/* Where a thread sleeps: an epoll descriptor with H's as members. */
struct sleeper {
	int epfd;  /* -1: there is none to be had; look now and then */
	bool mine; /* the thread's, which is kept; else of this call only */
	/* All were members, so the numbers are what they were then: of a
	 * number that was closed the kernel forgets the membership. */
	bool known;
};
/* Makes these H's members. Old edges may still be there: a sleep may end at
 * once for nothing. */
void sleeper_begin(struct sleeper *s, const int *h, unsigned n);
/* Takes the edges after a sleep; marks devices that glend hung up. */
void sleeper_drain(const struct sleeper *s);
/* Sleeps until there is an edge, and takes it: 0, also at the timeout (-1:
 * none), or -1 with errno. */
int sleeper_sleep(const struct sleeper *s, int timeout_ms,
		  const sigset_t *mask);
void sleeper_end(struct sleeper *s);
/*
 * Sleeps on the futex of a device that has a window: until somebody called
 * since device_calls() said seen, which is before rings were armed. 1: that
 * may be so, 0: time is up, -1 with EINTR. Who sleeps so does not see that
 * glend hung up, nor that somebody closed the descriptor: not for long.
 */
uint32_t device_calls(const struct device *d);
int device_nap(const struct device *d, uint32_t seen, uint64_t ns);
/* In the child of a fork. */
void sleeper_forked(void);
/* Descriptors of our own, out of the way of the program's: a copy of one, and
 * an epoll descriptor. -errno. */
int aux_dup(int fd);
int aux_epoll(void);
/* Sleeps until a byte comes on h, or ns passed. */
void sleeper_nap(int h, uint64_t ns);

/* ---- csb.c and kloop.c, see kloop.h: 0 or -errno. */
/* What can be said of the option before the port is there. */
int csb_wish_ok(struct nmreq_opt_csb *csb, uint64_t flags);
/* The rings' indexes go to the program's arrays. Sets the option's status. */
int csb_enable(struct device *d, int fd, struct nmreq_opt_csb *csb);
/* The same for a REGISTER that is under way. */
int csb_set_up(struct device *d, struct nmreq_opt_csb *csb);
int kloop_start(struct device *d, int fd, struct request *q);
int kloop_stop(struct device *d, int fd);
/* In the child of a fork, with the lock: it has no loops. */
void kloop_forked(void);
/* Any process has put the rings of this open into CSB mode. */
static inline bool in_csb_mode(const struct device *d)
{
	return unlikely(
		__atomic_load_n(&nmw_open(d->window->base, d->open)->csb,
				__ATOMIC_RELAXED));
}

/* ---- epoll.c: an epoll descriptor that has devices as members. */
struct epoll;
/* Is a member ready? Syncs them. */
bool epoll_ready(struct epoll *e);
void epoll_arm(struct epoll *e);
/* Their H's, at most max; returns how many. */
unsigned epoll_members(struct epoll *e, int *h, unsigned max);
/* With the lock: the number fd is being closed. */
void epoll_closed(int fd);
/* With the lock: the epoll descriptor outer has epfd as a member. */
struct epoll_event;
void epoll_outer_has(int outer, int epfd, const struct epoll_event *event);
/* ---- epoll_outer.c. With the lock: calls it for all that have epfd. */
void epoll_outer_find(int epfd);
/* With the lock: its last number was closed. */
void epoll_free(struct obj *o);

#endif
