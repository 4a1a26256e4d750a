// SPDX-License-Identifier: BSD-2-Clause
// csb.c - CSB_ENABLE: the rings' indexes go to arrays of the program.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/shm.h"
#include "netmap/preload/kloop.h"

unsigned csb_lines(const struct device *d)
{
	return d->tx_last - d->tx_first + (d->rx_last - d->rx_first);
}

struct nring *csb_ring(struct device *d, unsigned line)
{
	unsigned n_tx = d->tx_last - d->tx_first;

	return line < n_tx ? &d->tx[d->tx_first + line] :
			     &d->rx[d->rx_first + line - n_tx];
}

uint32_t csb_hwcur(const struct nring *r)
{
	/* What the user released is all that has happened to an RX ring. */
	return (r->tx ? shm_load32(&r->ktoa->hwcur) :
			shm_load32(&r->sync->head)) &
	       r->mask;
}

/* Could arrays of n lines be used? -EINVAL, -EFAULT. Clears the second. */
static int check(const struct nmreq_opt_csb *csb, uint64_t flags, unsigned n)
{
	struct nm_csb_atok atok;
	struct nm_csb_ktoa ktoa = { 0 };
	int err = 0;

	if (!(flags & NR_EXCLUSIVE)) {
		say("CSB mode needs NR_EXCLUSIVE");
		return -EINVAL;
	}
	if (csb->csb_atok % sizeof(atok) || csb->csb_ktoa % sizeof(ktoa)) {
		say("a CSB array is not aligned to 64 bytes");
		return -EINVAL;
	}
	for (unsigned i = 0; i < n && !err; i++) {
		err = copy_in(&atok, csb->csb_atok + i * sizeof(atok),
			      sizeof(atok));
		err = err   ?:
			      copy_out(csb->csb_ktoa + i * sizeof(ktoa), &ktoa,
				       sizeof(ktoa));
	}
	if (err)
		say("CSB arrays of %u lines are not all there", n);
	return err;
}

int csb_wish_ok(struct nmreq_opt_csb *csb, uint64_t flags)
{
	/* How many rings it will be nobody knows yet. */
	int err = check(csb, flags, 1);

	if (err)
		csb->nro_opt.nro_status = (uint32_t)-err;
	return err;
}

/* What the library and glend know of the rings, as the first indexes. */
static int write_first(struct device *d, const struct nmreq_opt_csb *csb)
{
	int err = 0;

	for (unsigned i = 0; i < csb_lines(d) && !err; i++) {
		const struct nring *r = csb_ring(d, i);
		const struct nm_csb_atok atok = {
			.head = shm_load32(&r->sync->head) & r->mask,
			.cur = shm_load32(&r->sync->cur) & r->mask,
			.appl_need_kick = 1,
			.sync_flags = 1,
		};
		const struct nm_csb_ktoa ktoa = {
			.hwcur = csb_hwcur(r),
			.hwtail = shm_load32(&r->ktoa->hwtail) & r->mask,
			.kern_need_kick = 1,
		};

		err = copy_out(csb->csb_atok + i * sizeof(atok), &atok,
			       sizeof(atok));
		err = err   ?:
			      copy_out(csb->csb_ktoa + i * sizeof(ktoa), &ktoa,
				       sizeof(ktoa));
	}
	return err;
}

static int enable(struct device *d, const struct nmreq_opt_csb *csb)
{
	struct nmw_open *open = nmw_open(d->window->base, d->open);
	struct lock_state state;
	struct csb *c, *old;
	int err;

	if (kloop_is_running(open))
		return -EBUSY;
	if (!csb_lines(d))
		return 0;
	err = check(csb, d->flags, csb_lines(d)) ?: write_first(d, csb);
	if (err)
		return err;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->atok = (void *)(uintptr_t)csb->csb_atok;
	c->ktoa = (void *)(uintptr_t)csb->csb_ktoa;
	tables_lock(&state);
	old = d->csb;
	d->csb = c;
	tables_unlock(&state);
	free(old);
	shm_store32(&open->csb, 1);
	return 0;
}

int csb_set_up(struct device *d, struct nmreq_opt_csb *csb)
{
	int err = enable(d, csb);

	csb->nro_opt.nro_status = (uint32_t)-err;
	return err;
}

int csb_enable(struct device *d, int fd, struct nmreq_opt_csb *csb)
{
	if (device_bound(d, fd))
		return csb_set_up(d, csb);
	csb->nro_opt.nro_status = ENXIO;
	return -ENXIO;
}
