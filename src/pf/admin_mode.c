/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stopping and resuming a member (virtio 1.4, 2.12.1.4.3.4), and commands that wait: for I/O of
 * their member to end, or for its reset to be over (2.12.1.4.5). Whatever waits has a deadline.
 */
#include <errno.h>

#include "pf/admin.h"

#define MODE_STOPPED 1u /* VIRTIO_ADMIN_CMD_DEV_MODE_F_STOPPED, bit 0 */

static void on_timeout(struct loop_timer *timer)
{
	struct admin_command *cmd = container_of(timer, struct admin_command, timer);

	admin_wait_cancel(cmd);
	admin_finish(cmd, admin_fail(VIRTIO_ADMIN_EAGAIN, VIRTIO_ADMIN_Q_TRYAGAIN));
}

static struct outcome wait_at_most(struct admin_command *cmd, uint32_t ms)
{
	if (!loop_timer_armed(&cmd->timer))
		loop_timer_set(cmd->pf->dev->loop, &cmd->timer, ms, on_timeout);
	return (struct outcome){ .pending = true };
}

struct outcome admin_hold(struct admin_command *cmd, uint32_t at_most_ms)
{
	cmd->member->busy = true;
	cmd->holds_member = true;
	return wait_at_most(cmd, at_most_ms);
}

void admin_wait_cancel(struct admin_command *cmd)
{
	/* A reset can't be taken back: its member answers no legacy driver before it is over. */
	if (VIRTIO_ADMIN_LEGACY_OPCODES >> cmd->opcode & 1)
		cmd->member->reset_late = true;
	virtio_reset_cancel(&cmd->reset);
	pci_reset_cancel(&cmd->function_reset);
	if (cmd->member && cmd->member->vf)
		virtio_device_halt_cancel(cmd->member->vf->dev, &cmd->halt);
}

static void on_reset(struct virtio_reset *reset)
{
	admin_execute_again(container_of(reset, struct admin_command, reset));
}

static void on_function_reset(struct pci_reset *reset)
{
	admin_execute_again(container_of(reset, struct admin_command, function_reset));
}

bool admin_wait_for_reset(struct admin_command *cmd)
{
	struct virtio_pci *vf = cmd->member->vf;
	int err;

	cmd->reset.done = on_reset;
	cmd->function_reset.done = on_function_reset;
	if (vf->fn.resetting)
		err = pci_function_reset(&vf->fn, &cmd->function_reset);
	else if (vf->dev->resetting)
		err = virtio_device_reset(vf->dev, &cmd->reset);
	else
		return false;
	/* The last chain may have come back already, and the reset ended now. */
	if (err != -EINPROGRESS)
		return false;
	wait_at_most(cmd, ADMIN_WAIT_MS);
	return true;
}

/* A function level reset that came before the member had stopped leaves it running. */
static void on_halted(struct virtio_halt *halt, int err)
{
	struct admin_command *cmd = container_of(halt, struct admin_command, halt);

	admin_finish(cmd,
		     err ? admin_fail(VIRTIO_ADMIN_EAGAIN, VIRTIO_ADMIN_Q_TRYAGAIN) : admin_ok());
}

struct outcome admin_mode_set(struct admin_command *cmd)
{
	struct virtio_device *dev = cmd->member->vf->dev;
	uint8_t flags = cmd->data[0];
	int err;

	if (flags & ~MODE_STOPPED)
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	if (!flags) {
		virtio_device_unhalt(dev);
		return admin_ok();
	}
	cmd->halt.done = on_halted;
	err = virtio_device_halt(dev, &cmd->halt);
	if (err == -EINPROGRESS)
		return admin_hold(cmd, ADMIN_WAIT_MS);
	return err ? admin_fail(VIRTIO_ADMIN_EAGAIN, VIRTIO_ADMIN_Q_TRYAGAIN) : admin_ok();
}
