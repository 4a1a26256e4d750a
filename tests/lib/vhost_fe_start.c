// SPDX-License-Identifier: BSD-2-Clause
// vhost_fe_start.c - the sequences of messages that front ends send.
/*
 * The order of messages was recorded from QEMU 7.2 and 10.0 and read in DPDK
 * and cloud-hypervisor; facts/vm-attach.md 3.1 has the lists. QEMU treats each
 * pair of queues as a device of its own, which is why it asks the same things
 * once per pair.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_fe_priv.h"

enum {
	STATUS_ACK = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	ADDR_LOG = 1, /* flag of SET_VRING_ADDR */
	PAGE_SHIFT = 12,
};

static const uint64_t qemu_protocol = FE_BIT(FE_P_MQ) | FE_BIT(FE_P_LOG_SHMFD) |
				      FE_BIT(FE_P_RARP) |
				      FE_BIT(FE_P_REPLY_ACK) |
				      FE_BIT(FE_P_MTU) |
				      FE_BIT(FE_P_BACKEND_REQ) |
				      FE_BIT(FE_P_RESET_DEVICE) |
				      FE_BIT(FE_P_MEM_SLOTS) |
				      FE_BIT(FE_P_STATUS);
static const uint64_t dpdk_protocol = FE_BIT(FE_P_MQ) | FE_BIT(FE_P_REPLY_ACK) |
				      FE_BIT(FE_P_STATUS);
static const uint64_t cloud_protocol = FE_BIT(FE_P_MQ) |
				       FE_BIT(FE_P_LOG_SHMFD) |
				       FE_BIT(FE_P_REPLY_ACK) |
				       FE_BIT(FE_P_CONFIG) |
				       FE_BIT(FE_P_INFLIGHT) |
				       FE_BIT(FE_P_MEM_SLOTS);

static bool is_qemu(const struct fe *fe)
{
	return fe->config.kind == FE_QEMU7 || fe->config.kind == FE_QEMU10;
}

static bool has(const struct fe *fe, unsigned bit)
{
	return fe->protocol & FE_BIT(bit);
}

static int take_protocol(struct fe *fe)
{
	uint64_t wanted = fe->config.kind == FE_DPDK  ? dpdk_protocol :
			  fe->config.kind == FE_CLOUD ? cloud_protocol :
							qemu_protocol;
	int err = fe_get_u64(fe, FE_GET_PROTOCOL_FEATURES,
			     &fe->protocol_offered);

	if (err)
		return err;
	fe->protocol = fe->protocol_offered & wanted & ~fe->config.not_protocol;
	err = fe_set_u64(fe, FE_SET_PROTOCOL_FEATURES, fe->protocol);
	if (!err && has(fe, FE_P_MQ))
		err = fe_get_u64(fe, FE_GET_QUEUE_NUM, &fe->queue_num);
	if (!err && has(fe, FE_P_MQ) && fe->queue_num < fe->config.pairs)
		err = fe_fail(fe, -ENOSPC, "backend has %llu queue pairs",
			      (unsigned long long)fe->queue_num);
	if (!err && has(fe, FE_P_MEM_SLOTS) && is_qemu(fe))
		err = fe_get_u64(fe, FE_GET_MAX_MEM_SLOTS, &fe->mem_slots);
	return err;
}

static int send_backend_fd(struct fe *fe)
{
	int pair[2], err;

	if (!has(fe, FE_P_BACKEND_REQ) || fe->backend_sock >= 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return fe_fail(fe, -errno, "socketpair: %m");
	fe->backend_sock = pair[0];
	err = fe_set(fe, FE_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
	return err;
}

static int send_fd(struct fe *fe, uint32_t request, unsigned index, int fd)
{
	uint64_t value = index | (fd < 0 ? FE_NOFD : 0);

	return fe_message(fe, request, 0, &value, sizeof(value), &fd, fd >= 0);
}

static int handshake_qemu(struct fe *fe)
{
	uint64_t features;
	int err = 0;

	for (unsigned pair = 0; !err && pair < fe->config.pairs; pair++) {
		err = fe_get_u64(fe, FE_GET_FEATURES, &fe->offered);
		if (!err && (fe->offered & FE_BIT(FE_F_PROTOCOL)))
			err = take_protocol(fe);
		if (!err && !pair)
			err = send_backend_fd(fe);
		if (!err && !pair)
			err = fe_message(fe, FE_SET_OWNER, 0, NULL, 0, NULL, 0);
		if (!err)
			err = fe_get_u64(fe, FE_GET_FEATURES, &features);
		for (unsigned i = 2 * pair; !err && i < 2 * pair + 2; i++) {
			err = send_fd(fe, FE_SET_VRING_CALL, i,
				      fe->queue[i].call_fd);
			if (!err)
				err = send_fd(fe, FE_SET_VRING_ERR, i,
					      fe->queue[i].err_fd);
		}
	}
	/* Before there are rings: the backend has to remember it. */
	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
		err = fe_enable(fe, i, i < 2);
	for (int i = 0; !err && i < 2; i++)
		if (fe->config.kind == FE_QEMU10 && has(fe, FE_P_RESET_DEVICE))
			err = fe_message(fe, FE_RESET_DEVICE, 0, NULL, 0, NULL,
					 0);
	return err;
}

static int handshake_owner_first(struct fe *fe)
{
	int err = fe_message(fe, FE_SET_OWNER, 0, NULL, 0, NULL, 0);

	if (!err)
		err = fe_get_u64(fe, FE_GET_FEATURES, &fe->offered);
	if (!err && fe->config.kind == FE_CLOUD)
		err = fe_set_u64(fe, FE_SET_FEATURES,
				 fe->offered & fe->config.features);
	if (!err && (fe->offered & FE_BIT(FE_F_PROTOCOL)))
		err = take_protocol(fe);
	return err;
}

int fe_handshake(struct fe *fe)
{
	int err = 0;

	fe->protocol = 0;
	/* What is asked for before the rings are made, needs descriptors. */
	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
		if (fe->queue[i].kick_fd < 0)
			err = fe_queue_init(fe, i);
	if (err)
		return err;
	return is_qemu(fe) ? handshake_qemu(fe) : handshake_owner_first(fe);
}

/* Memory */

int fe_table_message(struct fe *fe)
{
	struct {
		uint32_t n, padding;
		struct fe_region_wire region[FE_TABLE_MAX];
	} table = { .n = fe->n_regions };
	int fds[FE_TABLE_MAX];
	uint32_t size;

	if (fe->n_regions > FE_TABLE_MAX)
		return fe_fail(fe, -E2BIG, "%u regions do not fit a table",
			       fe->n_regions);
	for (unsigned i = 0; i < fe->n_regions; i++) {
		const struct fe_region *r = &fe->region[i];

		table.region[i] = (struct fe_region_wire){ r->gpa, r->size,
							   r->uva, r->off };
		fds[i] = r->fd;
	}
	size = (uint32_t)(8 + fe->n_regions * sizeof(table.region[0]));
	return fe_set(fe, FE_SET_MEM_TABLE, &table, size, fds, fe->n_regions);
}

int fe_slot_message(struct fe *fe, uint32_t request, unsigned region)
{
	const struct fe_region *r = &fe->region[region];
	struct {
		uint64_t padding;
		struct fe_region_wire region;
	} slot = { 0, { r->gpa, r->size, r->uva, r->off } };

	/* QEMU sends the descriptor with both. */
	return fe_set(fe, request, &slot, sizeof(slot), &r->fd, 1);
}

int fe_share_memory(struct fe *fe)
{
	int err = 0;

	if (!has(fe, FE_P_MEM_SLOTS))
		return fe_table_message(fe);
	for (unsigned i = 0; !err && i < fe->n_regions; i++)
		err = fe_slot_message(fe, FE_ADD_MEM_REG, i);
	return err;
}

/* Rings */

int fe_enable(struct fe *fe, unsigned index, bool on)
{
	struct fe_vring_state state = { index, on };

	if (fe->config.kind == FE_QEMU10)
		return fe_set(fe, FE_SET_VRING_ENABLE, &state, sizeof(state),
			      NULL, 0);
	return fe_message(fe, FE_SET_VRING_ENABLE, 0, &state, sizeof(state),
			  NULL, 0);
}

int fe_vring_addr(struct fe *fe, unsigned index, uint32_t flags)
{
	const struct fe_queue *q = &fe->queue[index];
	struct fe_vring_addr addr = { .index = index,
				      .flags = flags,
				      .desc = fe_uva(fe, q->desc_gpa),
				      .used = fe_uva(fe, q->used_gpa),
				      .avail = fe_uva(fe, q->avail_gpa),
				      .log = q->used_gpa };

	return fe_message(fe, FE_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL,
			  0);
}

int fe_queue_start(struct fe *fe, unsigned index)
{
	struct fe_queue *q = &fe->queue[index];
	struct fe_vring_state num = { index, q->size };
	struct fe_vring_state base = { index, q->base };
	uint32_t flags = fe->features & FE_BIT(FE_F_LOG_ALL) ? ADDR_LOG : 0;
	int err = fe_message(fe, FE_SET_VRING_NUM, 0, &num, sizeof(num), NULL,
			     0);

	/* virtio-user knows nothing of a used index in it. */
	if (q->packed && fe->config.kind == FE_DPDK)
		base.num &= 0xffff;
	if (!err)
		err = fe_message(fe, FE_SET_VRING_BASE, 0, &base, sizeof(base),
				 NULL, 0);
	if (!err)
		err = fe_vring_addr(fe, index, flags);
	if (!err && fe->config.kind == FE_CLOUD)
		err = send_fd(fe, FE_SET_VRING_CALL, index, q->call_fd);
	if (!err)
		err = send_fd(fe, FE_SET_VRING_KICK, index, q->kick_fd);
	if (!err && is_qemu(fe))
		err = send_fd(fe, FE_SET_VRING_CALL, index, q->call_fd);
	if (!err)
		q->running = true;
	return err;
}

static int add_status(struct fe *fe, uint64_t bits)
{
	uint64_t status;
	int err;

	if (!has(fe, FE_P_STATUS))
		return 0;
	err = fe_get_u64(fe, FE_GET_STATUS, &status);
	if (err)
		return err;
	status |= bits;
	return fe_set(fe, FE_SET_STATUS, &status, sizeof(status), NULL, 0);
}

static int negotiate_dpdk(struct fe *fe)
{
	uint64_t zero = 0;
	int err = 0;

	if (has(fe, FE_P_STATUS))
		err = fe_set(fe, FE_SET_STATUS, &zero, sizeof(zero), NULL, 0);
	if (!err)
		err = add_status(fe, STATUS_ACK);
	if (!err)
		err = add_status(fe, STATUS_DRIVER);
	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
		err = send_fd(fe, FE_SET_VRING_CALL, i, fe->queue[i].call_fd);
	return err;
}

int fe_negotiate(struct fe *fe)
{
	uint64_t wanted = fe->config.features;
	int err = fe->config.kind == FE_DPDK ? negotiate_dpdk(fe) : 0;

	if (fe->config.pairs > 1)
		wanted |= FE_BIT(FE_F_MQ);
	fe->features = fe->offered & wanted;
	fe->hdr_len = fe->features & (FE_BIT(FE_F_VERSION_1) |
				      FE_BIT(FE_F_MRG_RXBUF)) ?
			      12 :
			      10;
	if (!err)
		err = fe_set_u64(fe, FE_SET_FEATURES, fe->features);
	if (!err && fe->config.kind != FE_CLOUD)
		err = add_status(fe, STATUS_FEATURES_OK);
	return err;
}

static int inflight(struct fe *fe)
{
	struct fe_inflight ask = {
		.queues = (uint16_t)(2 * fe->config.pairs),
		.queue_size = (uint16_t)fe->config.queue_size
	};
	uint32_t size = sizeof(ask);
	int err = 0;

	if (!has(fe, FE_P_INFLIGHT))
		return 0;
	if (fe->inflight_fd < 0) {
		fe->inflight = ask;
		err = fe_message(fe, FE_GET_INFLIGHT_FD, 0, &ask, sizeof(ask),
				 NULL, 0);
		if (!err)
			err = fe_reply(fe, FE_GET_INFLIGHT_FD, &fe->inflight,
				       &size, &fe->inflight_fd);
		if (!err && fe->inflight_fd < 0)
			err = fe_fail(fe, -EPROTO, "no in-flight descriptor");
	}
	if (!err)
		err = fe_set(fe, FE_SET_INFLIGHT_FD, &fe->inflight,
			     sizeof(fe->inflight), &fe->inflight_fd, 1);
	return err;
}

int fe_start(struct fe *fe)
{
	int err = fe_negotiate(fe);

	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++) {
		struct fe_queue *q = &fe->queue[i];

		/* A format that was not known before. */
		q->event_idx = fe->features & FE_BIT(FE_F_EVENT_IDX);
		if (q->packed != !!(fe->features & FE_BIT(FE_F_PACKED))) {
			q->packed = !q->packed;
			fe_queue_reset(q);
		}
	}
	if (!err)
		err = fe_share_memory(fe);
	if (!err && fe->config.kind == FE_CLOUD)
		err = inflight(fe);
	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
		err = fe_queue_start(fe, i);
	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
		err = fe_enable(fe, i, true);
	if (!err && is_qemu(fe))
		err = add_status(fe, 0xf);
	if (!err && fe->config.kind == FE_DPDK)
		err = add_status(fe, STATUS_DRIVER_OK);
	if (!err)
		err = fe_sync(fe);
	if (err)
		return err;
	fe->started = true;
	for (unsigned i = 0; i < fe->config.pairs; i++) {
		if (!fe->config.no_fill)
			fe_fill(fe_rx(fe, i));
		fe_kick_always(fe_tx(fe, i));
	}
	return 0;
}

static int queue_stop(struct fe *fe, unsigned index)
{
	struct fe_vring_state state = { index, 0 };
	uint32_t size = sizeof(state);
	int err = fe_message(fe, FE_GET_VRING_BASE, 0, &state, sizeof(state),
			     NULL, 0);

	if (!err)
		err = fe_reply(fe, FE_GET_VRING_BASE, &state, &size, NULL);
	if (!err && (size != sizeof(state) || state.index != index))
		err = fe_fail(fe, -EPROTO, "base of queue %u, not %u",
			      state.index, index);
	if (err)
		return err;
	fe->queue[index].base = state.num;
	fe->queue[index].running = false;
	return 0;
}

int fe_stop(struct fe *fe)
{
	uint64_t zero = 0;
	bool status = has(fe, FE_P_STATUS);
	int err = 0;

	fe->started = false;
	if (status && fe->config.kind == FE_QEMU7)
		err = fe_set(fe, FE_SET_STATUS, &zero, sizeof(zero), NULL, 0);
	if (fe->config.kind == FE_DPDK || fe->config.kind == FE_CLOUD)
		for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
			err = fe_enable(fe, i, false);
	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
		err = queue_stop(fe, i);
	if (!err && status && fe->config.kind != FE_QEMU7)
		err = fe_set(fe, FE_SET_STATUS, &zero, sizeof(zero), NULL, 0);
	/* Slots are given back; a table is replaced by the next one. */
	if (has(fe, FE_P_MEM_SLOTS))
		for (unsigned i = fe->n_regions; !err && i-- > 0;)
			err = fe_slot_message(fe, FE_REM_MEM_REG, i);
	return err;
}

/* Dirty log */

static int log_switch(struct fe *fe, bool on)
{
	int err;

	if (on)
		fe->features |= FE_BIT(FE_F_LOG_ALL);
	else
		fe->features &= ~FE_BIT(FE_F_LOG_ALL);
	err = fe_set_u64(fe, FE_SET_FEATURES, fe->features);
	for (unsigned i = 0; !err && i < 2 * fe->config.pairs; i++)
		err = fe_vring_addr(fe, i, on ? ADDR_LOG : 0);
	return err ? err : fe_sync(fe);
}

int fe_log_start(struct fe *fe)
{
	uint64_t end = 0, reply = 0;
	uint64_t base[2]; /* size, offset */
	uint32_t size = sizeof(reply);
	int err;

	for (unsigned i = 0; i < fe->n_regions; i++)
		if (fe->region[i].gpa + fe->region[i].size > end)
			end = fe->region[i].gpa + fe->region[i].size;
	fe->log_size = (size_t)(end >> PAGE_SHIFT) / 8 + 8;
	fe->log_fd = memfd_create("vhost-fe-log", MFD_CLOEXEC);
	if (fe->log_fd < 0 || ftruncate(fe->log_fd, (off_t)fe->log_size))
		return fe_fail(fe, -errno, "cannot make a log: %m");
	fe->log = mmap(NULL, fe->log_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fe->log_fd, 0);
	if (fe->log == MAP_FAILED) {
		fe->log = NULL;
		return fe_fail(fe, -errno, "mmap of the log: %m");
	}
	base[0] = fe->log_size;
	base[1] = 0;
	err = fe_message(fe, FE_SET_LOG_BASE, 0, base, sizeof(base),
			 &fe->log_fd, 1);
	if (!err)
		err = fe_reply(fe, FE_SET_LOG_BASE, &reply, &size, NULL);
	return err ? err : log_switch(fe, true);
}

int fe_log_stop(struct fe *fe)
{
	int err = log_switch(fe, false);

	if (fe->log)
		munmap(fe->log, fe->log_size);
	fe->log = NULL;
	if (fe->log_fd >= 0)
		close(fe->log_fd);
	fe->log_fd = -1;
	return err;
}

bool fe_log_dirty(const struct fe *fe, uint64_t gpa)
{
	uint64_t page = gpa >> PAGE_SHIFT;

	if (!fe->log || page / 8 >= fe->log_size)
		return false;
	return __atomic_load_n(&fe->log[page / 8], __ATOMIC_ACQUIRE) >>
		       (page % 8) &
	       1;
}
