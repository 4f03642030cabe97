/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The entropy device (virtio 1.3, 5.4): fills buffers from getrandom(). A buffer may be filled in
 * part, so that no guest keeps the others waiting with a large one.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "devices/devices.h"

#define RNG_BYTES_MAX 4096 /* of one buffer */

struct rng {
	struct virtio_device dev;
};

static uint32_t fill(struct virtq_chain *chain)
{
	uint8_t data[RNG_BYTES_MAX];
	size_t len = chain->in_len < sizeof(data) ? chain->in_len : sizeof(data);
	ssize_t n = getrandom(data, len, 0);

	if (n <= 0)
		return 0;
	return (uint32_t)virtq_copy_in(chain->segs + chain->nout, chain->nin, 0, data, (size_t)n);
}

static void rng_process(struct virtio_device *dev, struct virtq *vq)
{
	struct virtq_chain chain;

	while (virtio_device_pop(dev, vq, &chain)) {
		uint32_t n = fill(&chain);

		counter_add(dev->counters, read_bytes, n);
		virtio_device_complete(dev, vq, chain.head, n, chain.segs,
				       (size_t)(chain.nout + chain.nin));
	}
}

static void rng_destroy(struct virtio_device *dev)
{
	free(container_of(dev, struct rng, dev));
}

static const struct virtio_device_ops rng_ops = {
	.process = rng_process,
	.destroy = rng_destroy,
};

int rng_create(const struct device_type *type, const struct device_params *params,
	       struct virtio_device **dev)
{
	struct rng *rng = calloc(1, sizeof(*rng));
	int err;

	if (!rng)
		return -ENOMEM;
	rng->dev.ops = &rng_ops;
	rng->dev.features = 1ull << VIRTIO_F_IN_ORDER;
	err = device_setup(&rng->dev, type, params);
	if (err) {
		free(rng);
		return err;
	}
	*dev = &rng->dev;
	return 0;
}
