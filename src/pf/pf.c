/* SPDX-License-Identifier: BSD-3-Clause */
#include "pf/pf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pf/internal.h"
#include "virtio/admin.h"

static struct pf *pf_of(struct virtio_device *dev)
{
	return container_of(dev->transport_ctx, struct pf, vp);
}

static void pf_process(struct virtio_device *dev, struct virtq *vq)
{
	struct pf *pf = pf_of(dev);

	if (vq->index >= dev->nqueues - dev->nadmin)
		pf_admin_process(pf, vq);
	else
		pf->type_ops->process(dev, vq);
}

static void pf_reset(struct virtio_device *dev)
{
	struct pf *pf = pf_of(dev);

	pf_admin_reset(pf);
	if (pf->type_ops->reset)
		pf->type_ops->reset(dev);
}

static void pf_config_written(struct virtio_pci *vp, uint16_t offset, uint8_t len)
{
	(void)len;
	if (offset >= 0x100)
		pf_sriov_written(container_of(vp, struct pf, vp));
}

/* A PF's reset clears VF Enable and so ends its VFs (PCIe 9.3.3.3.1). */
static void pf_reset_finished(struct virtio_pci *vp)
{
	pf_sriov_written(container_of(vp, struct pf, vp));
}

int pf_move(struct pf *pf, struct pci_upstream *upstream)
{
	pf->upstream->ops->gone(pf->upstream, &pf->vp.fn);
	pf->upstream = upstream;
	pf->vp.fn.upstream = upstream;
	for (uint32_t slot = 1; slot <= pf->total_vfs; slot++)
		if (pf->members[slot].vf)
			pf->members[slot].vf->fn.upstream = upstream;
	return upstream->ops->appeared(upstream, &pf->vp.fn);
}

uint16_t pf_vf_rid(const struct pf *pf, uint32_t slot)
{
	return (uint16_t)(pf->vp.fn.rid + PF_FIRST_VF_OFFSET + (slot - 1) * PF_VF_STRIDE);
}

static int create_device(struct pf *pf, const struct pf_params *p)
{
	struct device_params params = {
		.name = p->name,
		.loop = p->loop,
		.uring = p->uring,
		.counters = &pf->counters,
		.type_state = pf->state->type_state,
		.state = &pf->state->function.virtio,
		.queue_size = PF_ADMIN_QUEUE_LEN,
		.admin_queues = PF_ADMIN_QUEUES,
		.features = 1ull << VIRTIO_FEATURE_SR_IOV | 1ull << VIRTIO_FEATURE_ADMIN_VQ,
		.backend = p->backend,
		.net_backend = p->net_backend,
	};
	int err;

	memcpy(params.mac, p->mac, sizeof(params.mac));
	err = p->type->create(p->type, &params, &pf->dev);
	if (err)
		return err;
	pf->type_ops = pf->dev->ops;
	pf->ops = *pf->type_ops;
	pf->ops.process = pf_process;
	pf->ops.reset = pf_reset;
	pf->dev->ops = &pf->ops;
	err = virtio_pci_init(&pf->vp, pf->dev, p->upstream, &pf->state->function.pci, p->rid,
			      false, p->type->class_code);
	if (err)
		virtio_device_destroy(pf->dev);
	return err;
}

int pf_new(const struct pf_params *p, struct pf **out)
{
	struct pf *pf;
	int err = -ENOMEM;

	if (!p->total_vfs || p->total_vfs > PF_SLOTS_MAX)
		return -EINVAL;
	pf = calloc(1, sizeof(*pf) + (p->total_vfs + 1) * sizeof(pf->members[0]));
	if (!pf)
		return -ENOMEM;
	list_init(&pf->pending);
	pf->loop = p->loop;
	pf->upstream = p->upstream;
	pf->type = p->type;
	pf->strict = p->strict;
	pf->total_vfs = p->total_vfs;
	pf_members_init(pf);
	pf->state = calloc(1, sizeof(*pf->state));
	if (!pf->state)
		goto fail;
	err = create_device(pf, p);
	if (err)
		goto fail;
	pf->vp.config_written = pf_config_written;
	pf->vp.reset_finished = pf_reset_finished;
	pf_sriov_init(pf);
	pci_function_seal(&pf->vp.fn);
	pf_admin_reset(pf);
	err = pf->upstream->ops->appeared(pf->upstream, &pf->vp.fn);
	if (err) {
		virtio_pci_destroy(&pf->vp);
		goto fail;
	}
	*out = pf;
	return 0;
fail:
	free(pf->state);
	free(pf);
	return err;
}

void pf_free(struct pf *pf)
{
	if (!pf)
		return;
	loop_work_cancel(&pf->drop_work);
	pf->upstream->ops->gone(pf->upstream, &pf->vp.fn);
	virtio_pci_destroy(&pf->vp);
	free(pf->state);
	free(pf);
}

const struct counters *pf_counters(const struct pf *pf)
{
	return &pf->counters;
}

uint64_t pf_admin_commands(const struct pf *pf, unsigned int queue)
{
	return pf->commands[queue];
}

#ifdef RIDGE_FAULTS
void pf_fault_stall(struct pf *pf, bool stall)
{
	pf->stall = stall;
	if (!stall)
		virtio_device_resume(pf->dev);
}

int pf_fault_hang(struct pf *pf, bool hang)
{
	if (strcmp(pf->type->name, "blk"))
		return -EOPNOTSUPP;
	blk_fault_hang(pf->dev, hang);
	return 0;
}
#endif
