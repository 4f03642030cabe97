/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio_user/server.h: what each request does, and who may attach when. */
#include "test_vfio_user_fixture.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

static void test_requests(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_device_info info = { .argsz = 16 };
	struct vfio_user_region_info region = { .argsz = 64,
						.index = VFIO_PCI_CONFIG_REGION_INDEX };
	struct vfio_user_irq_info irq = { .argsz = 16, .index = VFIO_PCI_MSIX_IRQ_INDEX };
	char data[8] = "abcdefg";
	int fd = attach(f);

	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_CONNECTED);
	assert_int_equal(vfio_user_server_peer(f->srv), getpid());
	assert_int_equal(f->counters.value[COUNTER_connections], 1);
	send_command(f, fd, VFIO_USER_DEVICE_GET_INFO, 0, &info, sizeof(info), NULL, 0);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)), 16);
	assert_int_equal(info.argsz, 16);
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, STUB_REGIONS);
	assert_int_equal(info.num_irqs, STUB_IRQS);
	send_command(f, fd, VFIO_USER_DEVICE_GET_REGION_INFO, 0, &region, sizeof(region), NULL, 0);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_GET_REGION_INFO, &region, sizeof(region)),
			 32);
	assert_int_equal(region.argsz, 32);
	assert_int_equal(region.flags, 3);
	assert_int_equal(region.size, 0x1000);
	region = (struct vfio_user_region_info){ .argsz = 32, .index = STUB_REGIONS };
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_GET_REGION_INFO, &region, sizeof(region)),
			 -EINVAL);
	send_command(f, fd, VFIO_USER_DEVICE_GET_IRQ_INFO, 0, &irq, sizeof(irq), NULL, 0);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq)), 16);
	assert_int_equal(irq.count, STUB_VECTORS);
	assert_int_equal(irq.flags, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE);

	assert_int_equal(do_access(f, fd, true, 100, 8, data), 0);
	assert_memory_equal(f->vdev->bar + 100, "abcdefg", 8);
	memset(data, 0, sizeof(data));
	assert_int_equal(do_access(f, fd, false, 101, 4, data), 0);
	assert_memory_equal(data, "bcde", 4);
	assert_int_equal(do_access(f, fd, false, STUB_BAR_SIZE - 3, 4, data), -EINVAL);
	assert_int_equal(do_access(f, fd, true, STUB_BAR_SIZE, 1, data), -EINVAL);

	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(f->vdev->resets, 1);
	assert_int_equal(command(f, fd, 999, data, 8), -ENOTSUP);
	assert_int_equal(command(f, fd, VFIO_USER_VERSION, VERSION_DATA, sizeof(VERSION_DATA)),
			 -EINVAL);
	assert_int_equal(do_access(f, fd, false, 101, 4, data), 0);
	detach(f, fd);
}

static void test_dma(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_dma_map map = { .argsz = 32, .flags = 3, .offset = 4096, .size = 0x1000 };
	struct vfio_user_dma_map rom = {
		.argsz = 32, .flags = 1, .address = 0xc0000, .size = 0x1000
	};
	struct vfio_user_dma_unmap unmap = { .argsz = 99, .size = 0x1000 };
	int mem = memfd_create("mem", MFD_CLOEXEC);
	int fd = attach(f);

	f->fds_before++;
	send_command(f, fd, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &mem, 1);
	assert_int_equal(reply(f, fd, VFIO_USER_DMA_MAP, NULL, 0), 0);
	assert_int_equal(command(f, fd, VFIO_USER_DMA_MAP, &rom, sizeof(rom)), 0);
	assert_int_equal(f->vdev->nmaps, 2);
	assert_true(f->vdev->maps[0].has_fd);
	assert_int_equal(f->vdev->maps[0].offset, 4096);
	assert_int_equal(f->vdev->maps[0].prot, PROT_READ | PROT_WRITE);
	assert_false(f->vdev->maps[1].has_fd);
	assert_int_equal(f->vdev->maps[1].prot, PROT_READ);
	send_command(f, fd, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &mem, 1);
	assert_int_equal(reply(f, fd, VFIO_USER_DMA_MAP, NULL, 0), -EEXIST);
	send_command(f, fd, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
	assert_int_equal(reply(f, fd, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), 24);
	assert_int_equal(unmap.argsz, 24);
	assert_int_equal(unmap.size, 0x1000);
	assert_int_equal(command(f, fd, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), -ENOENT);
	/* The device has its own mapping: no descriptor stays, whatever the answer was. */
	assert_int_equal(open_fds(), f->fds_before + 2);
	detach(f, fd);
	close(mem);
}

static void test_irqs(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_irq_set set = {
		.argsz = 20,
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = 1,
		.count = 3,
	};
	uint8_t bools[20 + 2];
	int events[3];
	int fd = attach(f);

	for (int i = 0; i < 3; i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	f->fds_before += 3;
	send_command(f, fd, VFIO_USER_DEVICE_SET_IRQS, 0, &set, sizeof(set), events, 3);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_SET_IRQS, NULL, 0), 0);
	assert_int_equal(f->vdev->irq_fds[0], -1);
	for (int i = 0; i < 3; i++) {
		eventfd_t value;

		assert_int_equal(eventfd_write(f->vdev->irq_fds[1 + i], 5), 0);
		assert_int_equal(eventfd_read(events[i], &value), 0);
		assert_int_equal(value, 5);
	}
	assert_int_equal(open_fds(), f->fds_before + 2 + 3);
	/* Refused by the device: nothing is kept. */
	set.start = STUB_VECTORS - 2;
	send_command(f, fd, VFIO_USER_DEVICE_SET_IRQS, 0, &set, sizeof(set), events, 3);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_SET_IRQS, NULL, 0), -EINVAL);
	/* Refused by the codec: one descriptor is missing. */
	send_command(f, fd, VFIO_USER_DEVICE_SET_IRQS, 0, &set, sizeof(set), events, 2);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_SET_IRQS, NULL, 0), -EINVAL);
	/* With a command that takes none. */
	send_command(f, fd, VFIO_USER_DEVICE_RESET, 0, NULL, 0, events, 1);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), -EINVAL);
	assert_int_equal(open_fds(), f->fds_before + 2 + 3);
	/* Unbind one, by sending none. */
	set.start = 2;
	set.count = 1;
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set)), 0);
	assert_int_equal(open_fds(), f->fds_before + 2 + 2);
	set.flags = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER;
	set.argsz = 22;
	set.count = 2;
	memcpy(bools, &set, sizeof(set));
	memcpy(bools + sizeof(set), "\1\0", 2);
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_SET_IRQS, bools, sizeof(bools)), 0);
	assert_int_equal(f->vdev->irqs.flags, set.flags);
	assert_int_equal(f->vdev->bools[0], 1);
	set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
	set.argsz = 20;
	set.start = 0;
	set.count = 0;
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set)), 0);
	assert_int_equal(open_fds(), f->fds_before + 2);
	detach(f, fd);
	for (int i = 0; i < 3; i++)
		close(events[i]);
}

/* rules: vu-header-7 */
static void test_no_reply(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_region_access a = { .offset = 3, .count = 1 };
	uint8_t w[17], out[64];
	int fd = attach(f);

	memcpy(w, &a, sizeof(a));
	w[16] = 0x99;
	send_command(f, fd, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, w, sizeof(w), NULL, 0);
	assert_int_equal(f->vdev->bar[3], 0x99);
	/* Nor for an error. */
	send_command(f, fd, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, w, 5, NULL, 0);
	send_command(f, fd, 999, VFIO_USER_FLAG_NO_REPLY, NULL, 0, NULL, 0);
	f->vdev->late_access = true;
	send_command(f, fd, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, w, sizeof(w), NULL, 0);
	stub_finish(f->vdev, 0);
	step(f);
	f->vdev->late_access = false;
	assert_int_equal(recv(fd, out, sizeof(out), 0), -1);
	assert_int_equal(do_access(f, fd, false, 3, 1, out), 0);
	assert_int_equal(out[0], 0x99);
	detach(f, fd);
}

/*
 * While an access is under way nothing that came after it is handled; then all of it is, in order.
 */
/* rules: vu-connection-2 */
static void test_late_access(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_region_access a = { .offset = 40, .count = 2 };
	uint8_t batch[512], out[64];
	int fd = attach(f);
	size_t len = 0;

	f->vdev->late_access = true;
	for (uint16_t i = 0; i < 3; i++)
		len += put(batch + len, i, VFIO_USER_REGION_READ, 0, &a, sizeof(a));
	assert_int_equal(send(fd, batch, len, 0), len);
	step(f);
	for (uint16_t i = 0; i < 4; i++) {
		if (i == 2) {
			/* More arrives: it stays in the socket, and nobody runs in circles. */
			uint64_t begin = loop_now_ns();

			len = put(batch, 3, VFIO_USER_REGION_READ, 0, &a, sizeof(a));
			assert_int_equal(send(fd, batch, len, 0), len);
			step(f);
			assert_int_equal(loop_step(f->loop, 50), 0);
			assert_true(loop_now_ns() - begin > 40000000);
		}
		assert_int_equal(f->vdev->accesses, i + 1);
		assert_int_equal(recv(fd, out, sizeof(out), 0), -1);
		f->vdev->bar[41] = (uint8_t)(i + 1);
		stub_finish(f->vdev, i == 2 ? -EIO : 0);
		f->id = i;
		if (i == 2) {
			assert_int_equal(reply(f, fd, VFIO_USER_REGION_READ, out, 64), -EIO);
		} else {
			assert_int_equal(reply(f, fd, VFIO_USER_REGION_READ, out, 64), 18);
			assert_int_equal(out[17], i + 1);
		}
		step(f);
	}
	f->vdev->late_access = false;
	assert_int_equal(do_access(f, fd, false, 41, 1, out), 0);
	detach(f, fd);
}

/* rules: vu-unmap-2 vu-reset-1 */
static void test_late_unmap_and_reset(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_dma_map map = { .argsz = 32, .flags = 1, .size = 0x1000 };
	struct vfio_user_dma_unmap unmap = { .argsz = 24, .size = 0x1000 };
	int fd = attach(f);

	f->vdev->late_unmap = true;
	f->vdev->late_reset = true;
	assert_int_equal(command(f, fd, VFIO_USER_DMA_MAP, &map, sizeof(map)), 0);
	assert_int_equal(command(f, fd, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), -EAGAIN);
	pass(f, 100);
	stub_finish(f->vdev, 0);
	unmap.size = 0;
	assert_int_equal(reply(f, fd, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)), 24);
	assert_int_equal(unmap.size, 0x1000);
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), -EAGAIN);
	stub_finish(f->vdev, 0);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	/* The time is over: the timer of the one that ended in time is not running any more. */
	pass(f, VFIO_USER_IO_WAIT_MS + 200);
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), -EAGAIN);
	f->vdev->late_close = true;
	pass(f, VFIO_USER_IO_WAIT_MS / 2);
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_CONNECTED);
	pass(f, VFIO_USER_IO_WAIT_MS / 2 + 400);
	assert_true(closed(f, fd));
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_DRAINING);
	stub_finish_close(f->vdev);
	detach(f, fd);
}

static void finish_in_work(struct loop_work *work)
{
	stub_finish(container_of(work, struct fixture, work)->vdev, 0);
}

/*
 * A write has its effect when the loop comes to it, and needs the memory that was there when it was
 * made: in one piece with the UNMAP, or if the UNMAP comes as soon as the write was answered.
 */
/* rules: vu-connection-2 */
static void test_unmap_after_write(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_dma_map map = { .argsz = 32, .flags = 1, .size = 0x1000 };
	struct vfio_user_dma_unmap unmap = { .argsz = 24, .size = 0x1000 };
	struct vfio_user_region_access a = { .count = 1 };
	uint8_t w[17] = { 0 }, batch[128];
	size_t len;
	int fd = attach(f);

	f->vdev->loop = f->loop;
	memcpy(w, &a, sizeof(a));
	for (unsigned int late = 0; late < 2; late++) {
		assert_int_equal(command(f, fd, VFIO_USER_DMA_MAP, &map, sizeof(map)), 0);
		f->vdev->late_access = late;
		len = put(batch, 1, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, w, sizeof(w));
		if (late) {
			assert_int_equal(send(fd, batch, len, 0), len);
			assert_int_equal(loop_step(f->loop, 0), 0);
			/* It is done, and has its effect in the next round of work. */
			loop_work_queue(f->loop, &f->work, finish_in_work);
			assert_int_equal(loop_step(f->loop, 0), 0);
			assert_int_equal(f->vdev->effects_pending, 1);
			len = 0;
		}
		len += put(batch + len, ++f->id, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap));
		assert_int_equal(send(fd, batch, len, 0), len);
		step(f);
		assert_int_equal(reply(f, fd, VFIO_USER_DMA_UNMAP, batch, sizeof(batch)), 24);
		assert_int_equal(f->vdev->effects, late + 1);
		assert_int_equal(f->vdev->too_early, 0);
	}
	detach(f, fd);
}

/* A region access that never ends, and one that the device gave up on. */
static void test_too_late_access(void **state)
{
	struct fixture *f = *state;
	char data[4];
	int fd = attach(f);

	f->vdev->late_access = true;
	assert_int_equal(do_access(f, fd, true, 0, 4, data), -EAGAIN);
	stub_finish(f->vdev, -ETIMEDOUT);
	assert_true(closed(f, fd));
	detach(f, fd);
	fd = attach(f);
	assert_int_equal(do_access(f, fd, true, 0, 4, data), -EAGAIN);
	pass(f, VFIO_USER_IO_WAIT_MS / 2);
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_CONNECTED);
	pass(f, VFIO_USER_IO_WAIT_MS / 2 + 400);
	assert_true(closed(f, fd));
	detach(f, fd);
}

/* The client goes while the device works for it. */
/* rules: vu-connection-6 */
static void test_gone_while_busy(void **state)
{
	struct fixture *f = *state;
	char data[4];
	int fd = attach(f);

	f->vdev->late_access = true;
	assert_int_equal(do_access(f, fd, false, 0, 4, data), -EAGAIN);
	assert_non_null(f->vdev->access);
	detach(f, fd);
	assert_null(f->vdev->access);
	f->vdev->late_access = false;
	detach(f, attach(f));
}

/* The next one comes when the last one's messages have not even been read. */
static void test_close_succession(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_region_access a = { .count = 1 };
	uint8_t w[17] = { 0 }, batch[33 * 200];
	int fd = attach(f), next;
	size_t len = 0;

	memcpy(w, &a, sizeof(a));
	for (int i = 0; i < 200; i++)
		len += put(batch + len, 1, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, w,
			   sizeof(w));
	assert_int_equal(send(fd, batch, len, 0), len);
	close(fd);
	next = attach(f);
	assert_int_equal(f->counters.value[COUNTER_refused], 0);
	/* ... and while the device is still at work for it. */
	f->vdev->late_close = true;
	assert_int_equal(send(next, batch, len, 0), len);
	close(next);
	next = client(f);
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_DRAINING);
	f->vdev->late_close = false;
	stub_finish_close(f->vdev);
	assert_int_equal(command(f, next, VFIO_USER_DEVICE_RESET, NULL, 0), -EINVAL);
	assert_int_equal(f->counters.value[COUNTER_refused], 0);
	detach(f, next);
}

static void drained(struct vfio_wait *wait, int result)
{
	struct fixture *f = container_of(wait, struct fixture, wait);

	assert_int_equal(result, 0);
	f->drained++;
}

static void test_draining(void **state)
{
	struct fixture *f = *state;
	int fd = attach(f), next;

	f->vdev->late_close = true;
	close(fd);
	step(f);
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_DRAINING);
	assert_int_equal(vfio_user_server_peer(f->srv), 0);
	/* The next one waits in the backlog and is served then. */
	next = client(f);
	send_command(f, next, VFIO_USER_VERSION, 0, VERSION_DATA, sizeof(VERSION_DATA), NULL, 0);
	assert_int_equal(reply(f, next, VFIO_USER_VERSION, NULL, 0), -EAGAIN);
	assert_int_equal(f->counters.value[COUNTER_refused], 0);
	f->wait.done = drained;
	assert_int_equal(vfio_user_server_disconnect(f->srv, "test", &f->wait), -EINPROGRESS);
	assert_int_equal(f->drained, 0);
	stub_finish_close(f->vdev);
	assert_int_equal(f->drained, 1);
	f->vdev->late_close = false;
	step(f);
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_CONNECTED);
	assert_int_equal(recv(next, (char[256]){ 0 }, 256, 0), 16 + 4 + 36);
	assert_int_equal(vfio_user_server_disconnect(f->srv, "test", &f->wait), 0);
	assert_int_equal(vfio_user_server_disconnect(f->srv, "test", &f->wait), 0);
	assert_true(closed(f, next));
	assert_int_equal(f->drained, 1);
	detach(f, next);
}

static void test_second_vmm(void **state)
{
	struct fixture *f = *state;
	int first = attach(f), fd, silent[8];
	char byte[4];

	f->fds_before += 2;
	fd = client(f);
	assert_int_equal(command(f, fd, VFIO_USER_VERSION, VERSION_DATA, sizeof(VERSION_DATA)),
			 -EBUSY);
	/* It is left to the client to close. */
	assert_false(closed(f, fd));
	close(fd);
	step(f);
	assert_int_equal(f->counters.value[COUNTER_refused], 1);
	assert_int_equal(open_fds(), f->fds_before);
	fd = client(f);
	assert_int_equal(command(f, fd, VFIO_USER_VERSION, VERSION_DATA, sizeof(VERSION_DATA)),
			 -EBUSY);
	send_command(f, fd, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	assert_true(closed(f, fd));
	close(fd);
	/* Those that say nothing hold little, and not for long. */
	for (int i = 0; i < 8; i++)
		silent[i] = client(f);
	assert_int_equal(open_fds(), f->fds_before + 8 + 4);
	pass(f, VFIO_USER_REFUSAL_MS + 200);
	assert_int_equal(open_fds(), f->fds_before + 8);
	for (int i = 0; i < 8; i++) {
		assert_true(closed(f, silent[i]));
		close(silent[i]);
	}
	assert_int_equal(f->counters.value[COUNTER_refused], 10);
	assert_int_equal(f->counters.value[COUNTER_connections], 1);
	assert_int_equal(do_access(f, first, false, 0, 4, byte), 0);
	f->fds_before -= 2;
	detach(f, first);
	/* A device that cannot be opened. */
	f->vdev->open_error = -EBUSY;
	fd = client(f);
	assert_int_equal(command(f, fd, VFIO_USER_VERSION, VERSION_DATA, sizeof(VERSION_DATA)),
			 -EBUSY);
	close(fd);
	f->vdev->open_error = 0;
	detach(f, attach(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests),
		TEST(test_dma),
		TEST(test_irqs),
		TEST(test_no_reply),
		TEST(test_late_access),
		TEST(test_late_unmap_and_reset),
		TEST(test_unmap_after_write),
		TEST(test_too_late_access),
		TEST(test_gone_while_busy),
		TEST(test_close_succession),
		TEST(test_draining),
		TEST(test_second_vmm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
