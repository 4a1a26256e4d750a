// SPDX-License-Identifier: BSD-2-Clause
// request.c - NIOCCTRL: what is copied in, checked, and copied back.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "netmap/preload/preload.h"

/*
 * A pointer from the program may be wrong. The kernel's answer to that is
 * EFAULT, so the copies are made by the kernel.
 */
static int copy(void *ours, uint64_t theirs, size_t n, bool in)
{
	struct iovec local = { ours, n };
	struct iovec remote = { (void *)(uintptr_t)theirs, n };
	ssize_t done;

	if (!n)
		return 0;
	done = in ? process_vm_readv(getpid(), &local, 1, &remote, 1, 0) :
		    process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	if (done == (ssize_t)n)
		return 0;
	if (done < 0 && (errno == ENOSYS || errno == EPERM)) {
		/* A sandbox that forbids it: trust the program. */
		if (in)
			memcpy(ours, remote.iov_base, n);
		else
			memcpy(remote.iov_base, ours, n);
		return 0;
	}
	return -EFAULT;
}

int copy_in(void *to, uint64_t from, size_t n)
{
	return copy(to, from, n, true);
}

int copy_out(uint64_t to, const void *from, size_t n)
{
	return copy((void *)from, to, n, false);
}

size_t request_body_size(unsigned type)
{
	static const size_t sizes[] = {
		[NETMAP_REQ_REGISTER] = sizeof(struct nmreq_register),
		[NETMAP_REQ_PORT_INFO_GET] = sizeof(struct nmreq_port_info_get),
		[NETMAP_REQ_VALE_ATTACH] = sizeof(struct nmreq_vale_attach),
		[NETMAP_REQ_VALE_DETACH] = sizeof(struct nmreq_vale_detach),
		[NETMAP_REQ_VALE_LIST] = sizeof(struct nmreq_vale_list),
		[NETMAP_REQ_PORT_HDR_SET] = sizeof(struct nmreq_port_hdr),
		[NETMAP_REQ_PORT_HDR_GET] = sizeof(struct nmreq_port_hdr),
		[NETMAP_REQ_VALE_NEWIF] = sizeof(struct nmreq_vale_newif),
		[NETMAP_REQ_VALE_POLLING_ENABLE] = sizeof(
			struct nmreq_vale_polling),
		[NETMAP_REQ_VALE_POLLING_DISABLE] = sizeof(
			struct nmreq_vale_polling),
		[NETMAP_REQ_POOLS_INFO_GET] = sizeof(struct nmreq_pools_info),
		[NETMAP_REQ_SYNC_KLOOP_START] = sizeof(
			struct nmreq_sync_kloop_start),
	};

	return type < sizeof(sizes) / sizeof(sizes[0]) ? sizes[type] : 0;
}

/* The bytes of an option of a type; just the header if there is no such. */
static size_t option_size(const struct nmreq_option *o)
{
	switch (o->nro_reqtype) {
	case NETMAP_REQ_OPT_EXTMEM:
		return sizeof(struct nmreq_opt_extmem);
	case NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS:
		/* The only one that says so itself. */
		return o->nro_size > sizeof(*o) ? o->nro_size : sizeof(*o);
	case NETMAP_REQ_OPT_CSB:
		return sizeof(struct nmreq_opt_csb);
	case NETMAP_REQ_OPT_SYNC_KLOOP_MODE:
		return sizeof(struct nmreq_opt_sync_kloop_mode);
	case NETMAP_REQ_OPT_OFFSETS:
		return sizeof(struct nmreq_opt_offsets);
	default:
		return sizeof(*o);
	}
}

/* Copies one option and enters it. Its status stays "not supported" until
 * somebody knows it. */
static int read_option(struct request *q, uint64_t address, size_t *total)
{
	struct nmreq_option head, *copied;
	struct option *options;
	size_t size;
	int err;

	err = copy_in(&head, address, sizeof(head));
	if (err)
		return err;
	if (head.nro_size > NETMAP_REQ_MAXSIZE)
		return -EMSGSIZE;
	size = option_size(&head);
	*total += size;
	if (*total > NETMAP_REQ_MAXSIZE)
		return -EMSGSIZE;
	options = realloc(q->options, (q->n_options + 1) * sizeof(*options));
	if (!options)
		return -ENOMEM;
	q->options = options;
	copied = malloc(size);
	if (!copied)
		return -ENOMEM;
	err = copy_in(copied, address, size);
	if (err) {
		free(copied);
		return err;
	}
	/* What was checked is what counts, should it have changed since. */
	*copied = head;
	copied->nro_status = EOPNOTSUPP;
	options[q->n_options++] = (struct option){ address, size, copied };
	return 0;
}

/* The newest option against those before it. */
static int check_option(struct request *q)
{
	struct nmreq_option *o = q->options[q->n_options - 1].opt;

	if ((int32_t)o->nro_reqtype < 1) {
		o->nro_status = EINVAL;
		return -EINVAL;
	}
	if (o->nro_reqtype >= NETMAP_REQ_OPT_MAX)
		return 0;
	for (unsigned i = 0; i + 1 < q->n_options; i++) {
		struct nmreq_option *other = q->options[i].opt;

		if (other->nro_reqtype != o->nro_reqtype)
			continue;
		other->nro_status = o->nro_status = EINVAL;
		return -EINVAL;
	}
	return 0;
}

int request_read_options(struct request *q, uint64_t address)
{
	size_t total = request_body_size(q->hdr.nr_reqtype);
	int bad = 0;

	while (address) {
		int err = read_option(q, address, &total);

		if (err)
			return err;
		err = check_option(q);
		if (err && !bad)
			bad = err;
		/* The same one again: a loop. */
		for (unsigned i = 0; bad && i + 1 < q->n_options; i++)
			if (q->options[i].address == address)
				return bad;
		address = q->options[q->n_options - 1].opt->nro_next;
	}
	return bad;
}

static void *know(struct option *o)
{
	o->opt->nro_status = 0;
	return o->opt;
}

void request_know_options(struct request *q)
{
	const unsigned type = q->hdr.nr_reqtype;
	const bool reg = type == NETMAP_REQ_REGISTER;
	const bool kloop = type == NETMAP_REQ_SYNC_KLOOP_START;

	for (unsigned i = 0; i < q->n_options; i++) {
		struct option *o = &q->options[i];

		switch (o->opt->nro_reqtype) {
		case NETMAP_REQ_OPT_EXTMEM:
			if (reg)
				q->extmem = know(o);
			break;
		case NETMAP_REQ_OPT_OFFSETS:
			if (reg)
				q->offsets = know(o);
			break;
		case NETMAP_REQ_OPT_CSB:
			if (reg || type == NETMAP_REQ_CSB_ENABLE)
				q->csb = know(o);
			break;
		case NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS:
			if (kloop)
				q->eventfds = know(o);
			break;
		case NETMAP_REQ_OPT_SYNC_KLOOP_MODE:
			if (kloop)
				q->kloop_mode = know(o);
			break;
		default:
			break;
		}
		q->odd |= o->opt->nro_status == EOPNOTSUPP;
	}
}

void request_finish_options(struct request *q, int err)
{
	for (unsigned i = 0; i < q->n_options; i++) {
		struct option *o = &q->options[i];
		uint64_t status = o->address +
				  offsetof(struct nmreq_option, nro_status);

		copy_out(status, &o->opt->nro_status,
			 sizeof(o->opt->nro_status));
		if (!err && o->size > sizeof(*o->opt))
			copy_out(o->address + sizeof(*o->opt), o->opt + 1,
				 o->size - sizeof(*o->opt));
		free(o->opt);
	}
	free(q->options);
	q->options = NULL;
	q->n_options = 0;
}

static int read_request(struct request *q)
{
	size_t size = request_body_size(q->hdr.nr_reqtype);
	int err;

	if (q->hdr.nr_version < NETMAP_MIN_API ||
	    q->hdr.nr_version > NETMAP_MAX_API || q->hdr.nr_reserved)
		return -EINVAL;
	q->hdr.nr_name[sizeof(q->hdr.nr_name) - 1] = 0;
	if (!size != !q->hdr.nr_body)
		return -EINVAL;
	err = copy_in(&q->body, q->hdr.nr_body, size);
	if (!err)
		err = request_read_options(q, q->hdr.nr_options);
	return err;
}

int request_nioctrl(struct device *d, int fd, void *arg)
{
	struct request q = { 0 };
	uint64_t body, options;
	int err;

	err = copy_in(&q.hdr, (uintptr_t)arg, sizeof(q.hdr));
	if (err)
		return err;
	body = q.hdr.nr_body;
	options = q.hdr.nr_options;
	err = read_request(&q);
	if (!err) {
		request_know_options(&q);
		err = control_request(d, fd, &q);
	}
	if (err >= 0 && body) {
		int bad = copy_out(body, &q.body,
				   request_body_size(q.hdr.nr_reqtype));

		err = bad ? bad : err;
	}
	request_finish_options(&q, err < 0 ? err : 0);
	/* Only VALE_LIST changes the name. */
	q.hdr.nr_body = body;
	q.hdr.nr_options = options;
	if (err >= 0 && q.hdr.nr_reqtype == NETMAP_REQ_VALE_LIST &&
	    copy_out((uintptr_t)arg, &q.hdr, sizeof(q.hdr)))
		err = -EFAULT;
	return err;
}
