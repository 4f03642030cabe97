/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What migrating a function needs of its device: that it stops and goes on, and that its state
 * comes out and goes in, as bytes that mean nothing to whoever carries them. How the device is
 * asked is a matter of its kind; a VF is asked through its PF (mig_pf_open()).
 *
 * One request at a time. A request ends from the loop, exactly once, at the latest at its deadline,
 * unless it is cancelled.
 */
#ifndef RIDGE_OWNER_MIG_CHANNEL_H
#define RIDGE_OWNER_MIG_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct pf_channel;

struct mig_request {
	uint32_t deadline_ms;
	void *data; /* get: room for the state; set: the state */
	size_t len; /* get: of the room, then of the state; set: of the state; size: the result */
	/*
	 * 0; -ETIMEDOUT: no answer, or I/O of the function did not end; -EIO: the device is not to
	 * be reached; -EINVAL: it is no state of this function, or the function is gone; -ENOSPC:
	 * too many functions are being migrated; -EBUSY: set while it runs; -EMSGSIZE: more than
	 * the channel carries; -ENOMEM: of the room for the state, too. A failed request has
	 * changed nothing.
	 */
	int error;
	void (*done)(struct mig_request *rq);
};

struct mig_channel;

struct mig_channel_ops {
	/* Everything in flight ends; then no DMA and no interrupt, until it is resumed. */
	void (*stop)(struct mig_channel *ch, struct mig_request *rq);
	void (*resume)(struct mig_channel *ch, struct mig_request *rq);
	/* How many bytes the state takes at the most. */
	void (*size)(struct mig_channel *ch, struct mig_request *rq);
	/*
	 * Running or stopped; what is saved of a running function is good for nothing but a guess.
	 */
	void (*get)(struct mig_channel *ch, struct mig_request *rq);
	void (*set)(struct mig_channel *ch, struct mig_request *rq);
	/* Gives up on the request under way, if there is one. */
	void (*cancel)(struct mig_channel *ch);
	void (*close)(struct mig_channel *ch);
};

struct mig_channel {
	const struct mig_channel_ops *ops;
};

static inline void mig_stop(struct mig_channel *ch, struct mig_request *rq)
{
	ch->ops->stop(ch, rq);
}

static inline void mig_resume(struct mig_channel *ch, struct mig_request *rq)
{
	ch->ops->resume(ch, rq);
}

static inline void mig_size(struct mig_channel *ch, struct mig_request *rq)
{
	ch->ops->size(ch, rq);
}

static inline void mig_get(struct mig_channel *ch, struct mig_request *rq)
{
	ch->ops->get(ch, rq);
}

static inline void mig_set(struct mig_channel *ch, struct mig_request *rq)
{
	ch->ops->set(ch, rq);
}

static inline void mig_cancel(struct mig_channel *ch)
{
	ch->ops->cancel(ch);
}

/* Cancels what is under way. Does not resume the function. */
static inline void mig_close(struct mig_channel *ch)
{
	ch->ops->close(ch);
}

/*
 * The channel of a member through its PF, by device parts. Objects at the PF are made when they are
 * needed and destroyed at the end. pf outlives it. -EOPNOTSUPP: the PF has no device parts.
 */
int mig_pf_open(struct loop *loop, struct pf_channel *pf, uint64_t member_id,
		struct mig_channel **ch);

#endif
