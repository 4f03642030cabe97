/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A legacy guest's virtio-blk driver and the VMM under it, in one process: registers in I/O BAR 0,
 * one ring in shared memory, an interrupt by eventfd (MSI-X, as irqfd has it).
 *
 * It does what Linux's driver and QEMU do: EVENT_IDX and indirect descriptors are negotiated, a
 * notification is a write to the I/O BAR whose reply is waited for, and before the driver sleeps it
 * asks for an interrupt and looks at the ring once more. It may wait for that as a VCPU does that
 * KVM has halted: KVM looks for an interrupt for up to halt_poll_ns before the VCPU sleeps, unless
 * somebody else wants its CPU.
 */
#ifndef RIDGE_BENCH_LEGACY_BLK_H
#define RIDGE_BENCH_LEGACY_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "vfio_user/client.h"

#define LEGACY_BLK_DEPTH_MAX 32
#define LEGACY_BLK_BLOCK     4096u

struct legacy_blk_memory;

struct legacy_blk {
	struct vfio_user_client client;
	struct legacy_blk_memory *m;
	int memfd;
	int interrupt;
	uint64_t sectors;    /* capacity, 512 bytes each */
	uint16_t size;       /* of the ring */
	uint16_t seen;       /* used index */
	uint16_t kicked;     /* available index that the device was told of */
	uint32_t free;       /* bit i: slot i is free */
	uint64_t poll_ns;    /* how long it looks for an interrupt before it sleeps */
	uint64_t kicks;      /* notifications sent ... */
	uint64_t interrupts; /* ... and waits for an interrupt */
};

/* 0 or a negative errno. */
int legacy_blk_open(struct legacy_blk *b, const char *socket);
void legacy_blk_close(struct legacy_blk *b);

/*
 * Makes a read of one block available. There must be a free slot: no more than the depth at once.
 */
void legacy_blk_read(struct legacy_blk *b, uint64_t block);
/* Notifies the device of what was made available, unless it does not want to know. */
void legacy_blk_kick(struct legacy_blk *b);
/* Takes what is done; returns how many. Ends the program if one failed. */
unsigned int legacy_blk_reap(struct legacy_blk *b);
/* Sleeps until there is something to reap. */
void legacy_blk_wait(struct legacy_blk *b);
/* What the last read reaped has read. */
const void *legacy_blk_data(const struct legacy_blk *b);

#endif
