// SPDX-License-Identifier: BSD-2-Clause
// test_preload_legacy.c - old requests as new ones, and their answers back.
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "netmap/preload/preload.h"

static struct nmreq nmr;
static struct request q;

static void ask(const char *name, uint16_t cmd)
{
	memset(&nmr, 0, sizeof(nmr));
	nmr.nr_version = NETMAP_API;
	nmr.nr_cmd = cmd;
	strcpy(nmr.nr_name, name);
}

static int convert(unsigned long cmd)
{
	return legacy_convert(&nmr, cmd, &q);
}

static void test_register(void **state)
{
	ask("vale0:a", 0);
	nmr.nr_tx_slots = 1;
	nmr.nr_rx_slots = 2;
	nmr.nr_tx_rings = 3;
	nmr.nr_rx_rings = 4;
	nmr.nr_arg2 = 5;
	nmr.nr_arg3 = 6;
	nmr.nr_flags = NR_REG_ONE_NIC | NR_EXCLUSIVE;
	nmr.nr_ringid = 7 | NETMAP_NO_TX_POLL | NETMAP_DO_RX_POLL;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.hdr.nr_version, NETMAP_API);
	assert_int_equal(q.hdr.nr_reqtype, NETMAP_REQ_REGISTER);
	assert_string_equal(q.hdr.nr_name, "vale0:a");
	assert_int_equal(q.body.reg.nr_tx_slots, 1);
	assert_int_equal(q.body.reg.nr_rx_slots, 2);
	assert_int_equal(q.body.reg.nr_tx_rings, 3);
	assert_int_equal(q.body.reg.nr_rx_rings, 4);
	assert_int_equal(q.body.reg.nr_mem_id, 5);
	assert_int_equal(q.body.reg.nr_extra_bufs, 6);
	assert_int_equal(q.body.reg.nr_mode, NR_REG_ONE_NIC);
	assert_int_equal(q.body.reg.nr_ringid, 7);
	assert_int_equal(q.body.reg.nr_flags,
			 NR_EXCLUSIVE | NR_NO_TX_POLL | NR_DO_RX_POLL);
}

static void test_mode_from_ringid(void **state)
{
	ask("eth0", 0);
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.body.reg.nr_mode, NR_REG_ALL_NIC);
	nmr.nr_ringid = NETMAP_SW_RING;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.body.reg.nr_mode, NR_REG_SW);
	nmr.nr_ringid = NETMAP_HW_RING | 3;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.body.reg.nr_mode, NR_REG_ONE_NIC);
	assert_int_equal(q.body.reg.nr_ringid, 3);
	/* nr_flags come first. */
	nmr.nr_flags = NR_REG_NIC_SW;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.body.reg.nr_mode, NR_REG_NIC_SW);
}

static void test_pipes(void **state)
{
	ask("fifteencharname", 0);
	nmr.nr_flags = NR_REG_PIPE_MASTER;
	nmr.nr_ringid = 4095;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_string_equal(q.hdr.nr_name, "fifteencharname{4095");
	assert_int_equal(q.body.reg.nr_mode, NR_REG_ALL_NIC);
	assert_int_equal(q.body.reg.nr_ringid, 0);
	nmr.nr_flags = NR_REG_PIPE_SLAVE;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_string_equal(q.hdr.nr_name, "fifteencharname}4095");
}

static void test_versions_and_names(void **state)
{
	ask("vale0:a", 0);
	nmr.nr_version = NETMAP_MIN_API - 1;
	assert_int_equal(convert(NIOCREGIF), -EINVAL);
	nmr.nr_version = NETMAP_MAX_API + 1; /* there was no upper bound */
	assert_int_equal(convert(NIOCREGIF), 0);
	memset(nmr.nr_name, 'x', sizeof(nmr.nr_name));
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(strlen(q.hdr.nr_name), 15);
	assert_int_equal(nmr.nr_name[15], 0);
}

static void test_verbs(void **state)
{
	static const struct {
		uint16_t cmd, type;
	} verbs[] = {
		{ NETMAP_BDG_ATTACH, NETMAP_REQ_VALE_ATTACH },
		{ NETMAP_BDG_DETACH, NETMAP_REQ_VALE_DETACH },
		{ NETMAP_BDG_VNET_HDR, NETMAP_REQ_PORT_HDR_SET },
		{ NETMAP_VNET_HDR_GET, NETMAP_REQ_PORT_HDR_GET },
		{ NETMAP_BDG_NEWIF, NETMAP_REQ_VALE_NEWIF },
		{ NETMAP_BDG_DELIF, NETMAP_REQ_VALE_DELIF },
		{ NETMAP_BDG_POLLING_ON, NETMAP_REQ_VALE_POLLING_ENABLE },
		{ NETMAP_BDG_POLLING_OFF, NETMAP_REQ_VALE_POLLING_DISABLE },
	};

	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		ask("vale0:a", verbs[i].cmd);
		nmr.nr_flags = NR_REG_ALL_NIC;
		nmr.nr_arg1 = 12;
		assert_int_equal(convert(NIOCREGIF), 0);
		assert_int_equal(q.hdr.nr_reqtype, verbs[i].type);
	}
	ask("vale0:a", NETMAP_PT_HOST_CREATE);
	assert_int_equal(convert(NIOCREGIF), -EINVAL);
	ask("vale0:a", NETMAP_BDG_REGOPS);
	assert_int_equal(convert(NIOCREGIF), -EINVAL);
}

static void test_verbs_bodies(void **state)
{
	ask("vale0:eth0", NETMAP_BDG_ATTACH);
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.body.attach.reg.nr_mode, NR_REG_ALL_NIC);
	nmr.nr_arg1 = NETMAP_BDG_HOST;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.body.attach.reg.nr_mode, NR_REG_NIC_SW);
	ask("vale0:eth0", NETMAP_BDG_POLLING_ON);
	nmr.nr_flags = NR_REG_ONE_NIC;
	nmr.nr_ringid = 2;
	nmr.nr_arg1 = 3;
	assert_int_equal(convert(NIOCREGIF), 0);
	assert_int_equal(q.body.polling.nr_mode, NETMAP_POLLING_MODE_MULTI_CPU);
	assert_int_equal(q.body.polling.nr_first_cpu_id, 2);
	assert_int_equal(q.body.polling.nr_num_polling_cpus, 3);
	nmr.nr_flags = NR_REG_SW;
	assert_int_equal(convert(NIOCREGIF), -EINVAL);
}

static void test_info_and_list(void **state)
{
	ask("vale0:a", 0);
	nmr.nr_arg2 = 9;
	assert_int_equal(convert(NIOCGINFO), 0);
	assert_int_equal(q.hdr.nr_reqtype, NETMAP_REQ_PORT_INFO_GET);
	assert_int_equal(q.body.info.nr_mem_id, 9);
	ask("", NETMAP_BDG_LIST);
	nmr.nr_arg1 = 1;
	nmr.nr_arg2 = 2;
	assert_int_equal(convert(NIOCGINFO), 0);
	assert_int_equal(q.hdr.nr_reqtype, NETMAP_REQ_VALE_LIST);
	q.body.list.nr_bridge_idx = 3;
	q.body.list.nr_port_idx = 4;
	strcpy(q.hdr.nr_name, "vale1:a-long-name-of-a-port");
	legacy_complete(&nmr, &q);
	assert_string_equal(nmr.nr_name, "vale1:a-long-na");
	assert_int_equal(nmr.nr_arg1, 3);
	assert_int_equal(nmr.nr_arg2, 4);
}

static void test_answer(void **state)
{
	ask("vale0:a", 0);
	assert_int_equal(convert(NIOCREGIF), 0);
	q.body.reg = (struct nmreq_register){
		.nr_offset = 1,
		.nr_memsize = 2,
		.nr_tx_slots = 3,
		.nr_rx_slots = 4,
		.nr_tx_rings = 5,
		.nr_rx_rings = 6,
		.nr_mem_id = 7,
		.nr_extra_bufs = 8,
	};
	legacy_complete(&nmr, &q);
	assert_int_equal(nmr.nr_offset, 1);
	assert_int_equal(nmr.nr_memsize, 2);
	assert_int_equal(nmr.nr_tx_slots, 3);
	assert_int_equal(nmr.nr_rx_slots, 4);
	assert_int_equal(nmr.nr_tx_rings, 5);
	assert_int_equal(nmr.nr_rx_rings, 6);
	assert_int_equal(nmr.nr_arg2, 7);
	assert_int_equal(nmr.nr_arg3, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_mode_from_ringid),
		cmocka_unit_test(test_pipes),
		cmocka_unit_test(test_versions_and_names),
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_verbs_bodies),
		cmocka_unit_test(test_info_and_list),
		cmocka_unit_test(test_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
