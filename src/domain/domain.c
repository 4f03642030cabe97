/* SPDX-License-Identifier: BSD-3-Clause */
/* The root complex of an exported PF: what is plugged in, its DMA, its messages, its reset. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "domain/internal.h"

static struct domain *domain_of(struct pci_upstream *up)
{
	return container_of(up, struct domain, upstream);
}

struct pci_function *domain_function(struct domain *d, uint32_t rid)
{
	if (rid >= d->nbuses * RIDS_PER_BUS)
		return NULL;
	if (!d->functions[rid] && rid >= RIDS_PER_BUS)
		d->params.find(d->params.ctx, (uint16_t)rid);
	return d->functions[rid];
}

struct pci_function *domain_present(struct domain *d, uint32_t rid)
{
	struct pci_function *fn = domain_function(d, rid);

	if (!fn || fn->resetting || (rid == DOMAIN_OWNER_RID && d->params.busy(d->params.ctx)))
		return NULL;
	return fn;
}

struct pci_function *domain_answers(struct domain *d, uint32_t rid)
{
	struct pci_function *fn = domain_present(d, rid);

	if (fn && !pci_function_bus_master(fn) && pci_function_drain(fn, NULL))
		return NULL;
	return fn;
}

/* --- from the functions --- */

static struct iommu_space *domain_dma(struct pci_upstream *up, uint16_t rid, uint32_t pasid)
{
	struct domain *d = domain_of(up);

	if (pasid != IOMMU_NO_PASID || rid >= d->nbuses * RIDS_PER_BUS || !d->functions[rid] ||
	    !domain_vmd_bus_master(d))
		return NULL;
	return d->space;
}

static int domain_msi(struct pci_upstream *up, uint16_t rid, uint64_t address, uint32_t data)
{
	struct domain *d = domain_of(up);
	int err;

	if (rid >= d->nbuses * RIDS_PER_BUS || !d->functions[rid])
		return 0;
	err = domain_vmd_bus_master(d) ? d->params.message(d->params.ctx, address, data) : -EAGAIN;
	if (err != -EAGAIN)
		return 0; /* without a VMM there is nobody to be interrupted */
	d->stalled[rid / 64] |= 1ull << (rid % 64);
	d->any_stalled = true;
	return err;
}

void domain_room(struct domain *d)
{
	uint32_t words = d->nbuses * RIDS_PER_BUS / 64;

	if (!d->any_stalled)
		return;
	d->any_stalled = false;
	for (uint32_t word = 0; word < words; word++) {
		uint64_t bits = d->stalled[word];

		d->stalled[word] = 0;
		for (; bits; bits &= bits - 1) {
			uint32_t rid = word * 64 + (uint32_t)__builtin_ctzll(bits);

			if (d->functions[rid])
				pci_function_msix_flush(d->functions[rid]);
		}
	}
}

static int domain_appeared(struct pci_upstream *up, struct pci_function *fn)
{
	struct domain *d = domain_of(up);

	if (fn->rid >= d->nbuses * RIDS_PER_BUS)
		return -EINVAL;
	if (d->functions[fn->rid])
		return -EBUSY;
	d->functions[fn->rid] = fn;
	d->ranges_stale = true;
	return 0;
}

static void reset_work(struct loop_work *work);

static void domain_gone(struct pci_upstream *up, struct pci_function *fn)
{
	struct domain *d = domain_of(up);

	d->functions[fn->rid] = NULL;
	d->stalled[fn->rid / 64] &= ~(1ull << (fn->rid % 64));
	d->ranges_stale = true;
	if (fn->rid < RIDS_PER_BUS && !list_empty(&d->resets[fn->rid].reset.node)) {
		list_del(&d->resets[fn->rid].reset.node);
		d->resetting--;
		loop_work_queue(d->params.loop, &d->reset_work, reset_work);
	}
}

static const struct pci_upstream_ops upstream_ops = {
	.dma = domain_dma,
	.msi = domain_msi,
	.appeared = domain_appeared,
	.gone = domain_gone,
};

/* --- what takes its time --- */

/* Not where the last chain of a function ended: who waits goes on from the loop. */
static void reset_work(struct loop_work *work)
{
	struct domain *d = container_of(work, struct domain, reset_work);
	struct pci_reset *wait = d->drain_all;

	if (d->params.busy(d->params.ctx))
		return;
	if (wait && domain_drain(d, wait))
		return;
	d->drain_all = NULL;
	if (wait)
		wait->done(wait);
	if (d->held && !loop_timer_armed(&d->hold)) {
		d->held = false;
		vfio_access_done(&d->vdev, 0);
	}
	while (!d->resetting && !list_empty(&d->waiting)) {
		struct pci_reset *reset = list_first(&d->waiting, struct pci_reset, node);

		list_del(&reset->node);
		reset->done(reset);
	}
}

void domain_settled(struct domain *d)
{
	loop_work_queue(d->params.loop, &d->reset_work, reset_work);
}

static void one_reset(struct pci_reset *reset)
{
	struct domain *d = container_of(reset, struct domain_reset, reset)->domain;

	d->resetting--;
	loop_work_queue(d->params.loop, &d->reset_work, reset_work);
}

/* All functions on bus 0; those on others are the PF's VFs and end with it. */
int domain_reset(struct domain *d, struct pci_reset *reset)
{
	for (uint32_t rid = 0; rid < RIDS_PER_BUS; rid++) {
		struct pci_function *fn = d->functions[rid];

		if (!fn || !list_empty(&d->resets[rid].reset.node))
			continue;
		if (pci_function_reset(fn, &d->resets[rid].reset) == -EINPROGRESS)
			d->resetting++;
	}
	d->ranges_stale = true;
	if (!d->resetting && !d->params.busy(d->params.ctx))
		return 0;
	if (reset)
		list_add_tail(&d->waiting, &reset->node);
	return -EINPROGRESS;
}

/*
 * While a write is held no function is served: so it is for no longer than most I/O takes, and no
 * more than a tenth of the time, whatever the user of one function does.
 */
#define HOLD_MS    10
#define HOLD_SHARE 10

static void hold_end(struct domain *d)
{
	uint64_t now = loop_now_ns();

	d->hold_next = now + (HOLD_SHARE - 1) * (now - d->hold_began);
	loop_timer_cancel(&d->hold);
	pci_reset_cancel(&d->drain);
	domain_settled(d);
}

static void hold_drained(struct pci_reset *drain)
{
	hold_end(container_of(drain, struct domain, drain));
}

static void hold_timeout(struct loop_timer *timer)
{
	hold_end(container_of(timer, struct domain, hold));
}

int domain_hold(struct domain *d, struct pci_function *fn)
{
	uint64_t now = loop_now_ns();

	d->drain.done = hold_drained;
	if (now < d->hold_next || !pci_function_drain(fn, &d->drain))
		return 0;
	d->hold_began = now;
	loop_timer_set(d->params.loop, &d->hold, HOLD_MS, hold_timeout);
	return -EINPROGRESS;
}

static void one_drained(struct pci_reset *drain)
{
	domain_settled(container_of(drain, struct domain, drain));
}

int domain_drain(struct domain *d, struct pci_reset *wait)
{
	uint32_t rids = d->nbuses * RIDS_PER_BUS;

	pci_reset_cancel(&d->drain);
	d->drain.done = one_drained;
	for (uint32_t rid = 0; rid < rids; rid++) {
		struct pci_function *fn = d->functions[rid];

		if (!fn || !pci_function_drain(fn, &d->drain))
			continue;
		d->drain_all = wait;
		return -EINPROGRESS;
	}
	return 0;
}

bool domain_busy(struct domain *d, bool mark)
{
	uint32_t rids = d->nbuses * RIDS_PER_BUS;
	bool busy = false;

	for (uint32_t rid = 0; rid < rids; rid++)
		if (d->functions[rid] && pci_function_busy(d->functions[rid], mark))
			busy = true;
	return busy;
}

/* To each function it is as if its own had been turned on: what it held up goes on. */
void domain_resume(struct domain *d)
{
	uint32_t rids = d->nbuses * RIDS_PER_BUS;

	domain_room(d);
	for (uint32_t rid = 0; rid < rids; rid++) {
		struct pci_function *fn = d->functions[rid];

		if (fn && pci_function_bus_master(fn))
			pci_function_config_write(fn, PCI_COMMAND, 1,
						  fn->state->config[PCI_COMMAND]);
	}
}

/* --- from the guest --- */

static int domain_bar_access(struct vfio_device *vdev, struct vfio_access *access)
{
	struct domain *d = container_of(vdev, struct domain, vdev);

	if (access->region == VMD_BAR_ECAM)
		return domain_ecam_access(d, access);
	counter_inc(d->params.counters, mmio_accesses);
	domain_window_access(d, access);
	return 0;
}

static void domain_abandon(struct vfio_device *vdev)
{
	struct domain *d = container_of(vdev, struct domain, vdev);

	d->held = false;
	d->drain_all = NULL;
	loop_timer_cancel(&d->hold);
	pci_reset_cancel(&d->drain);
}

static const struct vfio_device_ops device_ops = {
	.bar_access = domain_bar_access,
	.abandon = domain_abandon,
};

int domain_dynamic_rid(struct domain *d)
{
	for (uint8_t function = 0; function < 8; function++)
		for (uint8_t device = 1; device <= DOMAIN_DYNAMIC_MAX / 8; device++) {
			uint16_t rid = (uint16_t)(device << 3 | function);

			if (!d->functions[rid] && !d->params.reserved(d->params.ctx, rid))
				return rid;
		}
	return -ENOSPC;
}

static uint32_t buses_for(uint16_t last_rid)
{
	uint32_t buses = 1;

	while (buses * RIDS_PER_BUS <= last_rid)
		buses *= 2;
	return buses;
}

static int allocate(struct domain *d)
{
	size_t rids = (size_t)d->nbuses * RIDS_PER_BUS;

	d->functions = calloc(rids, sizeof(d->functions[0]));
	d->stalled = calloc(rids / 64, sizeof(d->stalled[0]));
	if (!d->functions || !d->stalled)
		return -ENOMEM;
	return iommu_space_new(d->params.iommu, DOMAIN_OWNER_RID, IOMMU_NO_PASID, &d->space);
}

int domain_new(const struct domain_params *params, struct domain **out)
{
	struct domain *d = calloc(1, sizeof(*d));
	struct vfio_identity id;
	int err;

	if (!d)
		return -ENOMEM;
	d->params = *params;
	d->upstream.ops = &upstream_ops;
	d->access.ops = &domain_vmd_ops;
	d->nbuses = buses_for(params->last_rid);
	list_init(&d->waiting);
	for (uint32_t rid = 0; rid < RIDS_PER_BUS; rid++) {
		d->resets[rid].domain = d;
		d->resets[rid].reset.done = one_reset;
		list_init(&d->resets[rid].reset.node);
	}
	err = allocate(d);
	if (err) {
		domain_free(d);
		return err;
	}
	domain_vmd_init(d);
	domain_vmd_identity(d, &id);
	vfio_device_init(&d->vdev, &device_ops, params->loop, &d->access, params->counters,
			 &d->host, &id);
	*out = d;
	return 0;
}

void domain_free(struct domain *d)
{
	if (!d)
		return;
	loop_work_cancel(&d->reset_work);
	loop_timer_cancel(&d->hold);
	if (d->vdev.ops)
		vfio_device_destroy(&d->vdev);
	iommu_space_free(d->space);
	free(d->stalled);
	free(d->functions);
	free(d);
}

struct pci_upstream *domain_upstream(struct domain *d)
{
	return &d->upstream;
}

struct vfio_device *domain_device(struct domain *d)
{
	return &d->vdev;
}
