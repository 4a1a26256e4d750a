// SPDX-License-Identifier: BSD-2-Clause
// state.c - the file that lets a new glend go on where the last one ended.
#include "ctl/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	STATE_VERSION = 1,
	STATE_PAGE = 4096,
	BOOT_ID_SIZE = 40,
	DRIVER_SIZE = 32,
	CONFIG_AREA = 4 << 20,
	WORD_BITS = 64,
	OPEN_TRIES = 10,
};

static const char state_magic[16] = "glen state file";

/* At the start of the file. */
struct head {
	char magic[16];
	uint32_t version;
	uint32_t n_records;
	uint32_t record_size;
	uint32_t saved_size;
	uint32_t config_area;
	uint32_t crc; /* of all before */
	char boot_id[BOOT_ID_SIZE];
	_Alignas(64) _Atomic uint64_t used[STATE_RECORDS / WORD_BITS];
};

/* One of the two configurations. */
struct area {
	uint64_t generation; /* 0: never written */
	uint32_t len;
	uint32_t crc; /* of generation, len and the text */
	char text[];
};

/* One of the two copies of a port's options. */
struct params {
	uint32_t len;
	uint32_t crc;
	char text[STATE_PARAMS_MAX];
};

/* A port. */
struct record {
	char name[GLEN_NAME_MAX + 1];
	char driver[DRIVER_SIZE];
	uint32_t crc;		/* of name and driver */
	_Atomic uint32_t which; /* of params[] counts */
	struct params params[2];
	_Alignas(PORT_SAVED_SIZE) uint8_t saved[PORT_SAVED_SIZE];
};

_Static_assert(sizeof(struct head) <= STATE_PAGE, "one page");
_Static_assert(sizeof(struct record) == STATE_PAGE, "one page each");

enum { FILE_SIZE = STATE_PAGE + 2 * CONFIG_AREA + STATE_RECORDS * STATE_PAGE };

enum slot_use { SLOT_FREE, SLOT_PENDING, SLOT_OPEN };

/* What this process knows about a record without touching its page. */
struct slot {
	char name[GLEN_NAME_MAX + 1];
	char driver[DRIVER_SIZE];
	enum slot_use use;
};

struct state {
	int fd;
	char *path;
	uint8_t *map;
	unsigned n_slots; /* one more than the highest in use, since start */
	unsigned n_pending;
	int newest; /* area with the configuration; -1: none */
	struct slot slots[STATE_RECORDS];
};

/* CRC-32C, bit by bit: what is checked is small or rare. */
static uint32_t crc_add(uint32_t crc, const void *data, size_t len)
{
	static uint32_t table[256];
	const uint8_t *p = data;

	if (!table[1]) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int k = 0; k < 8; k++)
				c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1;
			table[i] = c;
		}
	}
	crc = ~crc;
	while (len--)
		crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
	return ~crc;
}

static struct head *head_of(const struct state *s)
{
	return (struct head *)s->map;
}

static struct area *area_of(const struct state *s, int i)
{
	return (struct area *)(s->map + STATE_PAGE + (size_t)i * CONFIG_AREA);
}

static struct record *record_of(const struct state *s, unsigned i)
{
	return (struct record *)(s->map + STATE_PAGE + 2 * CONFIG_AREA +
				 (size_t)i * STATE_PAGE);
}

static uint32_t head_crc(const struct head *h)
{
	return crc_add(0, h, offsetof(struct head, crc));
}

static uint32_t record_crc(const struct record *r)
{
	return crc_add(0, r, offsetof(struct record, crc));
}

static void used_set(struct state *s, unsigned i, bool used)
{
	_Atomic uint64_t *word = &head_of(s)->used[i / WORD_BITS];
	uint64_t bit = 1ull << i % WORD_BITS;

	/* What the record says is stored before (set) or after (clear). */
	if (used)
		atomic_fetch_or(word, bit);
	else
		atomic_fetch_and(word, ~bit);
}

static bool used_get(const struct state *s, unsigned i)
{
	return atomic_load(&head_of(s)->used[i / WORD_BITS]) >> i % WORD_BITS &
	       1;
}

static void read_boot_id(char *boot_id)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(boot_id, 0, BOOT_ID_SIZE);
	if (fd < 0)
		return;
	if (read(fd, boot_id, BOOT_ID_SIZE - 1) < 0)
		boot_id[0] = '\0';
	close(fd);
}

/* Makes sure that writing there cannot fail any more. */
static int allocate(struct state *s, const void *at, size_t len,
		    struct glen_error *error)
{
	off_t off = (const uint8_t *)at - s->map;

	if (!fallocate(s->fd, 0, off, len) || errno == EOPNOTSUPP ||
	    errno == ENOSYS)
		return 0;
	return error_set(error, -errno, "no room in state file %.120s: %s",
			 s->path, strerror(errno));
}

/* Configuration */

static uint32_t area_crc(const struct area *a, uint64_t generation)
{
	const struct area head = { .generation = generation, .len = a->len };
	uint32_t crc = crc_add(0, &head, offsetof(struct area, crc));

	return crc_add(crc, a->text, a->len);
}

static bool area_good(const struct area *a)
{
	return a->generation && a->len <= STATE_CONFIG_MAX &&
	       a->crc == area_crc(a, a->generation);
}

/* The area with the newest good configuration; -1: there is none. */
static int find_newest(const struct state *s)
{
	const struct area *a = area_of(s, 0), *b = area_of(s, 1);
	bool a_good = area_good(a), b_good = area_good(b);

	if (a_good && b_good)
		return a->generation > b->generation ? 0 : 1;
	if (a_good)
		return 0;
	return b_good ? 1 : -1;
}

/* Opening */

/* Why the file is not one of ours; NULL: it is. */
static const char *refuse_file(int fd)
{
	struct head h;
	struct stat st;

	if (fstat(fd, &st))
		return "it cannot be looked at";
	if (!S_ISREG(st.st_mode))
		return "it is not a regular file";
	if (st.st_uid != geteuid())
		return "it belongs to another user";
	if (st.st_mode & 077)
		return "others may read or write it";
	if (st.st_nlink != 1)
		return "it has more than one name";
	if (st.st_size != FILE_SIZE ||
	    pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		return "it has not the size of a state file";
	if (memcmp(h.magic, state_magic, sizeof(h.magic)))
		return "it is not a state file";
	if (h.crc != head_crc(&h))
		return "its header is damaged";
	if (h.version != STATE_VERSION || h.n_records != STATE_RECORDS ||
	    h.record_size != sizeof(struct record) ||
	    h.saved_size != PORT_SAVED_SIZE || h.config_area != CONFIG_AREA)
		return "it was written by another version of glend";
	return NULL;
}

/*
 * Keeps a file that cannot be used where the user finds it. What is no file,
 * /dev/null or a directory, is not ours to rename.
 */
static int put_aside(const char *path, const char *why,
		     struct glen_error *warning, struct glen_error *error)
{
	struct stat st;
	char bad[4096];

	if (!lstat(path, &st) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return error_set(error, -EINVAL,
				 "%.150s is not a file: choose another with "
				 "--state, or use --no-state",
				 path);
	if (snprintf(bad, sizeof(bad), "%s.bad", path) >= (int)sizeof(bad) ||
	    rename(path, bad))
		return error_set(error, -EEXIST,
				 "state file %.100s cannot be used, because "
				 "%s, nor be renamed: remove it, or choose "
				 "another with --state",
				 path, why);
	error_set(warning, -EBADMSG,
		  "state file %.100s was not used, because %s; it is kept as "
		  "%.100s",
		  path, why, bad);
	return 0;
}

static void write_head(struct state *s)
{
	struct head *h = head_of(s);

	memcpy(h->magic, state_magic, sizeof(h->magic));
	h->version = STATE_VERSION;
	h->n_records = STATE_RECORDS;
	h->record_size = sizeof(struct record);
	h->saved_size = PORT_SAVED_SIZE;
	h->config_area = CONFIG_AREA;
	h->crc = head_crc(h);
	read_boot_id(h->boot_id);
}

/* Finds the records of the process before. */
static void find_pending(struct state *s)
{
	char boot_id[BOOT_ID_SIZE];
	bool same_boot;

	read_boot_id(boot_id);
	same_boot = !memcmp(boot_id, head_of(s)->boot_id, BOOT_ID_SIZE);
	memcpy(head_of(s)->boot_id, boot_id, BOOT_ID_SIZE);
	for (unsigned i = 0; i < STATE_RECORDS; i++) {
		struct slot *slot = &s->slots[i];
		struct record *r;

		if (!used_get(s, i))
			continue;
		r = record_of(s, i);
		if (!same_boot || r->crc != record_crc(r) ||
		    !memchr(r->name, 0, sizeof(r->name)) ||
		    !memchr(r->driver, 0, sizeof(r->driver))) {
			used_set(s, i, false);
			continue;
		}
		memcpy(slot->name, r->name, sizeof(slot->name));
		memcpy(slot->driver, r->driver, sizeof(slot->driver));
		slot->use = SLOT_PENDING;
		s->n_pending++;
		s->n_slots = i + 1;
	}
}

static int map_file(struct state *s, struct glen_error *error)
{
	void *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 s->fd, 0);

	if (map == MAP_FAILED)
		return error_set(error, -errno, "cannot map %.150s: %s",
				 s->path, strerror(errno));
	s->map = map;
	/* A core dump has no use for it; a full one would be 40 MiB larger. */
	madvise(map, FILE_SIZE, MADV_DONTDUMP);
	return 0;
}

/* Gives the finished file its name, unless somebody else was faster. */
static int name_file(struct state *s, const char *fresh,
		     struct glen_error *error)
{
	if (!renameat2(AT_FDCWD, fresh, AT_FDCWD, s->path, RENAME_NOREPLACE))
		return 0;
	/* Not every file system knows the flag. */
	if (errno == EINVAL && !rename(fresh, s->path))
		return 0;
	return error_set(error, errno == EEXIST ? -EBUSY : -errno,
			 "cannot name state file %.120s: %s", s->path,
			 strerror(errno));
}

/* A new file of full size and with a header; it gets its name last, so that
 * nobody ever finds half of one. */
static int make_file(struct state *s, struct glen_error *error)
{
	char fresh[4096];
	int err;

	if (snprintf(fresh, sizeof(fresh), "%s.new", s->path) >=
	    (int)sizeof(fresh))
		return error_set(error, -ENAMETOOLONG,
				 "the state file's path is too long");
	unlink(fresh); /* of one that was killed just here */
	s->fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		     0600);
	if (s->fd < 0)
		return error_set(error, -errno,
				 "cannot make state file %.120s: %s; choose "
				 "another with --state, or use --no-state",
				 s->path, strerror(errno));
	if (flock(s->fd, LOCK_EX | LOCK_NB) || ftruncate(s->fd, FILE_SIZE))
		err = error_set(error, -errno, "state file %.150s: %s", s->path,
				strerror(errno));
	else
		err = map_file(s, error);
	if (!err)
		err = allocate(s, s->map, STATE_PAGE, error);
	if (!err) {
		write_head(s);
		err = name_file(s, fresh, error);
	}
	if (err)
		unlink(fresh);
	return err;
}

/* Opens the file that is there. 1: there is none that can be used. */
static int open_file(struct state *s, struct glen_error *warning,
		     struct glen_error *error)
{
	const char *why;

	s->fd = open(s->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0 && errno == ENOENT)
		return 1;
	if (s->fd < 0)
		return put_aside(s->path, errno == ELOOP ? "it is a symbolic link" : strerror(errno), warning, error) ?:
			       1;
	if (flock(s->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return error_set(error, -EBUSY,
				 "state file %.120s is in use by another "
				 "glend; choose another with --state",
				 s->path);
	why = refuse_file(s->fd);
	if (why) {
		close(s->fd);
		s->fd = -1;
		return put_aside(s->path, why, warning, error) ?: 1;
	}
	return map_file(s, error);
}

int state_create(struct state **state, const char *path,
		 struct glen_error *warning, struct glen_error *error)
{
	struct state *s = calloc(1, sizeof(*s));
	int err;

	warning->code = 0;
	if (!s)
		return error_set(error, -ENOMEM, "out of memory");
	s->fd = -1;
	s->path = strdup(path);
	if (!s->path) {
		err = error_set(error, -ENOMEM, "out of memory");
		goto err_state;
	}
	err = open_file(s, warning, error);
	if (err == 1)
		err = make_file(s, error);
	if (err)
		goto err_state;
	s->newest = find_newest(s);
	if (s->newest < 0 &&
	    (area_of(s, 0)->generation || area_of(s, 1)->generation))
		error_set(warning, -EBADMSG,
			  "the configuration in state file %.120s is damaged; "
			  "beginning without it",
			  path);
	find_pending(s);
	*state = s;
	return 0;

err_state:
	state_destroy(s, false);
	return err;
}

void state_destroy(struct state *s, bool discard)
{
	if (!s)
		return;
	if (s->map)
		munmap(s->map, FILE_SIZE);
	if (discard && s->fd >= 0)
		unlink(s->path);
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
	free(s);
}

/* Configuration in use */

json_t *state_config(const struct state *s)
{
	const struct area *a;

	if (s->newest < 0)
		return NULL;
	a = area_of(s, s->newest);
	return json_loadb(a->text, a->len, 0, NULL);
}

int state_set_config(struct state *s, json_t *config, struct glen_error *error)
{
	int last = s->newest, next = last == 0 ? 1 : 0, err = 0;
	uint64_t generation = last < 0 ? 1 : area_of(s, last)->generation + 1;
	struct area *a = area_of(s, next);
	char *text = json_dumps(config, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		err = error_set(error, -ENOMEM, "out of memory");
	else if (len > STATE_CONFIG_MAX)
		err = error_set(error, -EFBIG,
				"the configuration is too large for the state "
				"file: %zu bytes, of %d",
				len, STATE_CONFIG_MAX);
	if (!err)
		err = allocate(s, a, sizeof(*a) + len, error);
	if (!err) {
		a->generation = 0;
		/*
		 * Whoever reads this after a SIGKILL sees it in order: an area
		 * without a generation was never written, or not to the end.
		 */
		atomic_signal_fence(memory_order_seq_cst);
		memcpy(a->text, text, len);
		a->len = len;
		a->crc = area_crc(a, generation);
		atomic_signal_fence(memory_order_seq_cst);
		a->generation = generation;
		s->newest = next;
	}
	free(text);
	return err;
}

/* Records */

static int find(const struct state *s, const char *name, enum slot_use use)
{
	for (unsigned i = 0; i < s->n_slots; i++)
		if (s->slots[i].use == use && !strcmp(s->slots[i].name, name))
			return i;
	return -1;
}

bool state_pending(const struct state *s, const char *name, const char *driver)
{
	int i = find(s, name, SLOT_PENDING);

	return i >= 0 && !strcmp(s->slots[i].driver, driver);
}

static json_t *read_params(const struct record *r)
{
	const struct params *p = &r->params[atomic_load(&r->which) & 1];

	if (p->len > STATE_PARAMS_MAX || p->crc != crc_add(0, p->text, p->len))
		return NULL;
	return json_loadb(p->text, p->len, 0, NULL);
}

json_t *state_params(const struct state *s, const char *name)
{
	int i = find(s, name, SLOT_PENDING);

	return i < 0 ? NULL : read_params(record_of(s, i));
}

/* The other copy is written, then it counts. */
static int write_params(struct record *r, json_t *params,
			struct glen_error *error)
{
	uint32_t which = !(atomic_load(&r->which) & 1);
	struct params *p = &r->params[which];
	size_t len = json_dumpb(params, p->text, sizeof(p->text), JSON_COMPACT);

	if (!len || len > sizeof(p->text))
		return error_set(error, -EFBIG,
				 "options of more than %d bytes do not fit "
				 "into the state file",
				 STATE_PARAMS_MAX);
	p->len = len;
	p->crc = crc_add(0, p->text, len);
	atomic_store(&r->which, which);
	return 0;
}

static void slot_free(struct state *s, unsigned i)
{
	struct slot *slot = &s->slots[i];

	if (slot->use == SLOT_FREE)
		return;
	s->n_pending -= slot->use == SLOT_PENDING;
	slot->use = SLOT_FREE;
	used_set(s, i, false);
	memset(record_of(s, i), 0, sizeof(struct record));
	while (s->n_slots && s->slots[s->n_slots - 1].use == SLOT_FREE)
		s->n_slots--;
}

static int record_new(struct state *s, const char *name, const char *driver,
		      json_t *params, unsigned *index, struct glen_error *error)
{
	struct record *r;
	unsigned i = 0;
	int err;

	while (i < s->n_slots && s->slots[i].use != SLOT_FREE)
		i++;
	if (i == STATE_RECORDS)
		return error_set(error, -ENOSPC,
				 "the state file has room for %d ports only",
				 STATE_RECORDS);
	r = record_of(s, i);
	err = allocate(s, r, sizeof(*r), error);
	if (err)
		return err;
	memset(r, 0, sizeof(*r));
	err = write_params(r, params, error);
	if (err)
		return err;
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->driver, sizeof(r->driver), "%s", driver);
	r->crc = record_crc(r);
	memcpy(s->slots[i].name, r->name, sizeof(r->name));
	memcpy(s->slots[i].driver, r->driver, sizeof(r->driver));
	used_set(s, i, true);
	if (i >= s->n_slots)
		s->n_slots = i + 1;
	*index = i;
	return 0;
}

int state_open(struct state *s, const char *name, const char *driver,
	       json_t *params, void **saved, bool *resume,
	       struct glen_error *error)
{
	int i = find(s, name, SLOT_PENDING);
	json_t *none = NULL;
	unsigned index = 0;
	int err = 0;

	*resume = i >= 0 && !strcmp(s->slots[i].driver, driver);
	if (i >= 0 && !*resume)
		slot_free(s, i);
	if (!params)
		params = none = json_object();
	if (*resume) {
		index = i;
		s->n_pending--;
	} else {
		err = record_new(s, name, driver, params, &index, error);
	}
	json_decref(none);
	if (err)
		return err;
	s->slots[index].use = SLOT_OPEN;
	*saved = record_of(s, index)->saved;
	return 0;
}

/* Which record a driver's half belongs to. */
static unsigned index_of(const struct state *s, const void *saved)
{
	return ((const uint8_t *)saved - (uint8_t *)record_of(s, 0)) /
	       STATE_PAGE;
}

void state_close(struct state *s, void *saved)
{
	slot_free(s, index_of(s, saved));
}

void state_reopen(struct state *s, void *saved)
{
	s->slots[index_of(s, saved)].use = SLOT_PENDING;
	s->n_pending++;
}

int state_set_params(struct state *s, void *saved, json_t *params,
		     struct glen_error *error)
{
	return write_params(record_of(s, index_of(s, saved)), params, error);
}

unsigned state_n_pending(const struct state *s)
{
	return s->n_pending;
}

const char *state_next(const struct state *s, unsigned *i, const char **driver)
{
	for (; s->n_pending && *i < s->n_slots; (*i)++) {
		if (s->slots[*i].use != SLOT_PENDING)
			continue;
		*driver = s->slots[*i].driver;
		return s->slots[*i].name;
	}
	return NULL;
}

unsigned state_forget(struct state *s, json_t *except)
{
	unsigned n = 0;

	for (unsigned i = 0; s->n_pending && i < STATE_RECORDS; i++) {
		if (s->slots[i].use != SLOT_PENDING ||
		    json_object_get(except, s->slots[i].name))
			continue;
		slot_free(s, i);
		n++;
	}
	return n;
}
