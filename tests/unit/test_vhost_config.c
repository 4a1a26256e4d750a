// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_config.c - the configuration space that front ends may ask for.
#include <sys/socket.h>

#include "vhost_ports.h"

/* The card's configuration space, where it is asked for. */
static void test_config(void **state)
{
	struct {
		uint32_t offset, size, flags;
		uint8_t bytes[256];
	} ask = { 0, 12, 0, { 0 } }, bad = { 250, 12, 0, { 0 } };
	static const uint8_t want[12] = { 2, 0, 0, 0, 0,	   7,
					  1, 0, 3, 0, 9000 & 0xff, 9000 >> 8 };
	uint32_t size = sizeof(ask);
	char path[100];
	struct port *c;

	snprintf(path, sizeof(path), "%s/c", folder);
	good(&fa, fe_memory(&fa, FE_MEMORY_FLAT, MEMORY));
	fa.config.kind = FE_CLOUD;
	c = open_port("c", path,
		      "\"queues\": 3, \"config\": true, \"mtu\": 9000, "
		      "\"mac\": \"02:00:00:00:00:07\"",
		      false, NULL);
	good(&fa, fe_connect(&fa, path));
	good(&fa, fe_handshake(&fa));
	assert_true(fa.protocol & FE_BIT(FE_P_CONFIG));
	assert_true(fa.offered & 1 << VIRTIO_NET_F_MAC);
	good(&fa, fe_message(&fa, FE_GET_CONFIG, 0, &ask, 24, NULL, 0));
	good(&fa, fe_reply(&fa, FE_GET_CONFIG, &ask, &size, NULL));
	assert_int_equal(size, 24);
	assert_memory_equal(ask.bytes, want, sizeof(want));
	good(&fa, fe_message(&fa, FE_GET_CONFIG, 0, &bad, 24, NULL, 0));
	good(&fa, fe_wait_hangup(&fa));
	close_port(c);
}

static int set_port(struct port *port, json_t *params)
{
	struct glen_error error;
	int err;

	pthread_mutex_lock(&lock);
	err = port_set(port, params, &error);
	pthread_mutex_unlock(&lock);
	return err;
}

/* What a front end is told when the configuration space has changed. */
static void test_config_changed(void **state)
{
	static const uint32_t want[3] = { 2, 1, 0 };
	struct {
		uint32_t offset, size, flags;
		uint8_t bytes[256];
	} ask = { 10, 2, 0, { 0 } };
	uint32_t size = sizeof(ask), got[6];
	json_t *params = json_pack("{s:i}", "mtu", 2000);
	uint64_t protocol;
	char path[100];
	struct port *c;
	int pair[2], file;

	snprintf(path, sizeof(path), "%s/c", folder);
	good(&fa, fe_memory(&fa, FE_MEMORY_FLAT, MEMORY));
	fa.config.kind = FE_CLOUD;
	c = open_port("c", path, "\"config\": true", false, NULL);
	good(&fa, fe_connect(&fa, path));
	good(&fa, fe_handshake(&fa));
	assert_true(fa.protocol_offered & FE_BIT(FE_P_BACKEND_REQ));
	protocol = fa.protocol | FE_BIT(FE_P_BACKEND_REQ);
	good(&fa, fe_message(&fa, FE_SET_PROTOCOL_FEATURES, 0, &protocol, 8,
			     NULL, 0));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    pair),
			 0);
	good(&fa,
	     fe_message(&fa, FE_SET_BACKEND_REQ_FD, 0, NULL, 0, &pair[1], 1));
	close(pair[1]);
	/* The answer shows that what came before was handled. */
	good(&fa, fe_message(&fa, FE_GET_CONFIG, 0, &ask, 14, NULL, 0));
	good(&fa, fe_reply(&fa, FE_GET_CONFIG, &ask, &size, NULL));
	assert_int_equal(recv(pair[0], got, sizeof(got), 0), -1);
	assert_int_equal(set_port(c, params), 0);
	assert_int_equal(recv(pair[0], got, sizeof(got), 0), sizeof(want));
	assert_memory_equal(got, want, sizeof(want));
	size = sizeof(ask);
	good(&fa, fe_message(&fa, FE_GET_CONFIG, 0, &ask, 14, NULL, 0));
	good(&fa, fe_reply(&fa, FE_GET_CONFIG, &ask, &size, NULL));
	assert_int_equal(ask.bytes[0] | ask.bytes[1] << 8, 2000);
	/* One that has gone costs nothing; nor does a full socket. */
	close(pair[0]);
	json_object_set_new(params, "mtu", json_integer(3000));
	assert_int_equal(set_port(c, params), 0);
	json_decref(params);
	/* A file would have to be waited for. */
	file = open(path, O_PATH);
	assert_true(file >= 0);
	good(&fa, fe_message(&fa, FE_SET_BACKEND_REQ_FD, 0, NULL, 0, &file, 1));
	close(file);
	good(&fa, fe_wait_hangup(&fa));
	close_port(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PORTS_TEST(test_config),
		PORTS_TEST(test_config_changed),
	};

	return cmocka_run_group_tests_name("vhost_config", tests, NULL, NULL);
}
