// SPDX-License-Identifier: BSD-2-Clause
// test_shm_open.c - regions are made, resumed by their owner only, and closed.
#include "liar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* glend dies: its port is gone, without a last look at the rings. */
static struct shm_saved die(struct client *c)
{
	struct shm_saved saved = *(struct shm_saved *)c->saved;

	port_break(c->port, "glend died");
	port_destroy(c->port);
	c->port = NULL;
	return saved;
}

/* fds are dup()ed: what open() takes is its own. */
static int try_resume(struct client *c, const struct shm_saved *saved,
		      const char *token, const int *fds, unsigned n_fds,
		      struct glen_error *error)
{
	struct port_args args = { .saved = c->saved,
				  .resume = true,
				  .n_fds = n_fds };
	int err;

	memcpy(c->saved, saved, sizeof(*saved));
	for (unsigned i = 0; i < n_fds; i++)
		args.fds[i] = dup(fds[i]);
	args.params = token ? json_pack("{s:s}", "token", token) :
			      json_object();
	memset(error, 0, sizeof(*error));
	err = port_create(sw, "a", "shm", &args, &c->port, error);
	for (unsigned i = 0; i < n_fds; i++)
		if (args.fds[i] >= 0)
			close(args.fds[i]);
	json_decref(args.params);
	return err;
}

static void resumes_where_it_was(void **state)
{
	struct glen_error error;
	struct shm_saved saved;
	uint32_t in = 0, out = 0;

	open_far();
	client = client_open("a", "{\"slots\": 16, \"rings\": 2, "
				  "\"buf_size\": 256, \"extra_bufs\": 3}");
	for (unsigned life = 0; life < 40; life++) {
		unsigned ring = life % 2;

		for (unsigned i = 0; i < 3 + life % 8; i++)
			rig_send(far, 0,
				 (struct sent){ .verdict = TO_RING(1, ring),
						.seq = out + i });
		rig_run();
		/* Some are read in this life, some in the next. */
		client_expect(client, ring, out);
		client_expect(client, ring, out + 1);
		for (unsigned i = 0; i < 11; i++)
			assert_true(
				client_send(client, ring,
					    (struct sent){ .verdict = TO(0),
							   .seq = in + i }));
		saved = die(client);
		if (try_resume(client, &saved, client->token, client->fds, 4,
			       &error))
			fail_msg("%s", error.text);
		assert_int_equal(client->port->index, 1);
		assert_int_equal(client->port->n_in, 2);
		rig_run();
		for (unsigned i = 0; i < 11; i++)
			rig_expect(far, 0, in + i);
		for (unsigned i = 2; i < 3 + life % 8; i++)
			client_expect(client, ring, out + i);
		assert_int_equal(client_waiting(client, ring), 0);
		in += 11;
		out += 3 + life % 8;
	}
	rig_none(far);
	rig_check();
	client_close(client);
}

static int new_memfd(uint64_t size, unsigned seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void refuse(const struct shm_saved *saved, const char *token, int at,
		   int fd, unsigned n_fds, int want, const char *text)
{
	struct glen_error error;
	unsigned before = count_fds();
	int fds[5] = { client->fds[0], client->fds[1], client->fds[2],
		       client->fds[3], client->fds[3] };

	if (at >= 0)
		fds[at] = fd;
	assert_int_equal(try_resume(client, saved, token, fds, n_fds, &error),
			 want);
	if (!strstr(error.text, text))
		fail_msg("\"%s\" does not say \"%s\"", error.text, text);
	/* Nothing is kept, and the owner may still come. */
	assert_int_equal(count_fds(), before);
	assert_null(port_find(sw, "a"));
	assert_memory_equal(client->saved, saved, sizeof(*saved));
}

static void refuses_strangers(void **state)
{
	const unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct shm_saved saved, none = { 0 }, wrong;
	struct glen_error error;
	char token[33], fifo[] = "/tmp/glen-test-XXXXXX";
	int fd;

	open_far();
	client = client_open("a", TINY);
	saved = die(client);
	strcpy(token, client->token);
	token[31] ^= 1;
	refuse(&saved, token, -1, -1, 4, -EACCES, "token");
	refuse(&saved, "", -1, -1, 4, -EACCES, "token");
	refuse(&saved, NULL, -1, -1, 4, -EACCES, "token");
	token[31] = 0;
	refuse(&saved, token, -1, -1, 4, -EACCES, "token");
	refuse(&none, "00000000000000000000000000000000", -1, -1, 4, -EACCES,
	       "token");
	for (unsigned n = 0; n < 6; n++)
		if (n != 4)
			refuse(&saved, client->token, -1, -1, n, -EINVAL,
			       "descriptors");
	for (int at = 0; at < 2; at++) {
		uint64_t size = at ? client->l.bufs_size :
				     client->l.window_size;

		fd = new_memfd(size, seals);
		refuse(&saved, client->token, at, fd, 4, -EINVAL, "not those");
		close(fd);
		fd = new_memfd(size, 0);
		refuse(&saved, client->token, at, fd, 4, -EINVAL, "not those");
		close(fd);
		/* The other one of the two. */
		refuse(&saved, client->token, at, client->fds[!at], 4, -EINVAL,
		       "not those");
		refuse(&saved, client->token, at, client->fds[2], 4, -EINVAL,
		       "not those");
	}
	refuse(&saved, client->token, 2, client->fds[3], 4, -EINVAL,
	       "not those");
	refuse(&saved, client->token, 2, client->fds[0], 4, -EINVAL,
	       "not those");
	refuse(&saved, client->token, 3, client->fds[2], 4, -EINVAL, "pipe");
	/* A file system could stall whoever opens one of its FIFOs. */
	assert_non_null(mkdtemp(fifo));
	assert_int_equal(rmdir(fifo), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	unlink(fifo);
	refuse(&saved, client->token, 3, fd, 4, -EINVAL, "pipe");
	close(fd);
	/* The state file speaks of other sizes. */
	wrong = saved;
	wrong.buf_size = 4096;
	refuse(&wrong, client->token, -1, -1, 4, -EINVAL, "not those");
	wrong = saved;
	wrong.rings = 200;
	refuse(&wrong, client->token, -1, -1, 4, -EINVAL, "ring");
	if (try_resume(client, &saved, client->token, client->fds, 4, &error))
		fail_msg("%s", error.text);
	client_close(client);
}

/* Indexes that a client left behind for the next glend. */
static void resumes_a_liar(void **state)
{
	static const uint32_t heads[] = { 16, 12345, UINT32_MAX };
	struct glen_error error;
	struct shm_saved saved;

	open_far();
	client = client_open("a", TINY);
	for (unsigned i = 0; i < 3; i++) {
		saved = die(client);
		shm_store32(&client_atok(client, i & 1, 0)->head, heads[i]);
		if (try_resume(client, &saved, client->token, client->fds, 4,
			       &error))
			fail_msg("%s", error.text);
		breaks(i & 1 ? "head of an RX ring" : "head of a TX ring");
	}
	client_close(client);
}

static void options_are_checked(void **state)
{
	static const struct {
		const char *params, *text;
	} bad[] = {
		{ "{\"rings\": 17}", "rings" },
		{ "{\"rings\": -1}", "rings" },
		{ "{\"slots\": 15}", "slots" },
		{ "{\"slots\": 4097}", "slots" },
		{ "{\"buf_size\": 63}", "buffers" },
		{ "{\"buf_size\": 100}", "buffers" },
		{ "{\"buf_size\": 65537}", "buf_size" },
		{ "{\"extra_bufs\": 1048577}", "extra_bufs" },
		{ "{\"vnet_hdr_len\": 11}", "vnet_hdr_len" },
		{ "{\"vnet_hdr_len\": 1}", "vnet_hdr_len" },
		{ "{\"color\": 1}", "color" },
		{ "{\"slots\": \"many\"}", "slots" },
		{ "{\"mtu\": 67}", "mtu" },
		{ "{\"mac\": \"03:00:00:00:00:00\"}", "mac" },
	};
	unsigned before = count_fds();

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct glen_error error;
		struct port *port = NULL;

		assert_int_equal(rig_try("a", "shm", bad[i].params, &port,
					 &error),
				 -EINVAL);
		if (!strstr(error.text, bad[i].text))
			fail_msg("%s: %s", bad[i].params, error.text);
		assert_int_equal(count_fds(), before);
	}
	assert_int_equal(sw->n_ports, 0);
}

static void keeps_few_descriptors(void **state)
{
	unsigned before = count_fds();

	client = client_open("a", TINY);
	assert_int_equal(count_fds(), before + 5 + 4);
	for (unsigned i = 0; i < 10; i++)
		engine_tick(engine);
	/* Its ends of the kick and of the call. */
	assert_int_equal(count_fds(), before + 2 + 4);
	client_close(client);
	assert_int_equal(count_fds(), before);
}

#define GROUP                                                          \
	"\"region\": \"g\", \"region_bufs\": 1024, \"region_token\": " \
	"\"00112233445566778899aabbccddeeff\""

/* Buffers that were lost with a glend are found when they are needed, also if
 * that is for a port that has no rings yet. */
static void lost_buffers_are_found(void **state)
{
	static const char most[] = "{\"slots\": 256, " GROUP "}";
	struct port *a = NULL, *b = NULL;
	struct glen_error error;
	struct region *r;

	assert_int_equal(rig_try("a", "shm", most, &a, &error), 0);
	r = region_find(engine, "g");
	for (unsigned life = 0; life < 2; life++) {
		for (unsigned i = 512 + 2; i < 700; i++)
			atomic_store(&r->owner[i], REGION_LOST);
		r->fresh = 700;
		assert_int_equal(rig_try("b", "shm", most, &b, &error),
				 -ENOSPC);
		assert_non_null(strstr(error.text, "324 of them free"));
		r->rejoined_ns = 1; /* long ago */
		assert_int_equal(rig_try("b", "shm",
					 "{\"slots\": 512, " GROUP "}", &b,
					 &error),
				 -ENOSPC);
		assert_non_null(strstr(error.text, "510 of them free"));
		for (unsigned i = 0; i < r->n_bufs; i++)
			assert_int_equal(r->owner[i], i >= 2 && i < 512 + 2);
	}
	assert_int_equal(rig_try("b", "shm", "{\"slots\": 64, " GROUP "}", &b,
				 &error),
			 0);
	/* The same again for the next: not beyond what was ever used. */
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(r->fresh, 700);
		port_destroy(b);
		assert_int_equal(rig_try("b", "shm",
					 "{\"slots\": 64, " GROUP "}", &b,
					 &error),
				 0);
	}
	port_destroy(b);
	port_destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(resumes_where_it_was),
		RIG_TEST(refuses_strangers),
		RIG_TEST(resumes_a_liar),
		RIG_TEST(options_are_checked),
		RIG_TEST(keeps_few_descriptors),
		RIG_TEST(lost_buffers_are_found),
	};

	return cmocka_run_group_tests_name("shm_open", tests, NULL, NULL);
}
