/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio/vfio.h on a real function: regions, memory, and one user after the other. The device is a
 * blk, whose I/O can be held back.
 */
#include "test_vfio_fixture.h"

static struct sigaction on_sigbus; /* the iommu's; cmocka puts its own in place */

/* --- what there is --- */

static void test_regions_and_interrupts(void **state)
{
	struct fixture *f = *state;
	struct vfio_device_info info;
	struct vfio_region_info region;
	struct vfio_irq_info irq;

	vfio_device_info(f->u->vdev, &info);
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(info.num_irqs, VFIO_PCI_NUM_IRQS);
	for (uint32_t i = 0; i < info.num_regions; i++) {
		assert_int_equal(vfio_device_region_info(f->u->vdev, i, &region), 0);
		assert_int_equal(region.index, i);
		assert_int_equal(region.size, i == 2        ? 0x4000
					      : i == 4      ? 0x1000
					      : i == CONFIG ? 4096
							    : 0);
		assert_int_equal(region.flags, region.size ? VFIO_REGION_INFO_FLAG_READ |
								     VFIO_REGION_INFO_FLAG_WRITE
							   : 0);
	}
	assert_int_equal(vfio_device_region_info(f->u->vdev, info.num_regions, &region), -EINVAL);
	for (uint32_t i = 0; i < info.num_irqs; i++) {
		assert_int_equal(vfio_device_irq_info(f->u->vdev, i, &irq), 0);
		assert_int_equal(irq.index, i);
		assert_int_equal(irq.count, i == MSIX ? 2 : 0);
	}
	assert_int_equal(vfio_device_irq_info(f->u->vdev, info.num_irqs, &irq), -EINVAL);
}

static void test_accesses_are_inside_a_region(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(user_start(f->u, 0, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, 3, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, VFIO_PCI_ROM_REGION_INDEX, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, VFIO_PCI_NUM_REGIONS, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, 0xffffffff, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0, 0, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0x4000, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0x3fff, 2, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, UINT64_MAX, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, UINT64_MAX, 2, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0x3fff, 1, false, NULL), 0);
}

/* However it is cut: the registers are those of natural size. */
static void test_a_bar_access_of_any_size(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[64];

	reg(f->u, 32, 8, 0x1122334455667780);
	assert_int_equal(user_start(f->u, REGISTERS, 0, 64, false, NULL), 0);
	memcpy(whole, f->u->data, 64);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(whole[i], user_read(f->u, REGISTERS, i, 1));
	assert_int_equal(user_start(f->u, REGISTERS, 33, 7, false, NULL), 0);
	assert_memory_equal(f->u->data, "\x77\x66\x55\x44\x33\x22\x11", 7);
}

/* --- memory --- */

static void test_memory_is_mapped_and_unmapped(void **state)
{
	struct fixture *f = *state;
	struct vfio_device *v = f->u->vdev;
	int fd = f->u->ram.fd;

	assert_int_equal(vfio_device_dma_map(v, 0, 4096, fd, 0, PROT_READ), -EEXIST);
	assert_int_equal(vfio_device_dma_map(v, USER_RAM, 0, fd, 0, PROT_READ), -EINVAL);
	assert_int_equal(vfio_device_dma_unmap(v, 0, 4096, &f->u->wait), -ENOENT);
	assert_int_equal(vfio_device_dma_map(v, USER_RAM, 4096, -1, 0, PROT_READ), 0);
	assert_int_equal(vfio_device_dma_unmap(v, USER_RAM, 4096, &f->u->wait), 0);
	start(f->u, &f->ring);
	assert_int_equal(vfio_device_dma_unmap(v, 0, USER_RAM, &f->u->wait), 0);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	assert_true(user_read(f->u, REGISTERS, STATUS, 1) & 0x40);
	assert_int_equal(f->u->member->counters.value[COUNTER_dma_faults], 1);
}

static void on_waited(struct vfio_wait *wait, int result)
{
	assert_int_equal(result, 0);
	container_of(wait, struct user, wait)->waited++;
}

/* A read that does not end before the disk is told to. */
static void start_and_hang(struct fixture *f)
{
	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
}

/* The next user, with memory as it should be, is served. */
static void reopen_and_read(struct fixture *f)
{
	user_close(f->u);
	assert_int_equal(ftruncate(f->u->ram.fd, USER_RAM), 0);
	user_open(f->u);
	f->u->ram.used = 4096;
	f->page = ram_alloc(&f->u->ram, 8192, 4096);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

/* An unmap is over when the I/O into it is, and the answer comes once. */
/* rules: vu-unmap-2 */
static void test_an_unmap_waits_for_io(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	assert_int_equal(vfio_device_dma_map(f->u->vdev, USER_RAM, 4096, f->u->ram.fd, 0x80000,
					     PROT_READ | PROT_WRITE),
			 0);
	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, USER_RAM);
	machine_settle(f->h->m);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_dma_unmap(f->u->vdev, USER_RAM, 4096, &f->u->wait),
			 -EINPROGRESS);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 0);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 1);
	/* it was done properly: the driver hears of it */
	assert_true(ring_used(&f->ring, &id, &len));
	assert_int_equal(f->u->ram.base[0x80000], 7);
	read_one(f->u, &f->ring, f->page);
}

/* Everything at once: as many waits as it takes, and one answer. */
static void test_unmap_all_waits_for_io(void **state)
{
	struct fixture *f = *state;
	struct vfio_device *v = f->u->vdev;
	int fd = f->u->ram.fd;
	uint32_t id, len;

	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(vfio_device_dma_map(v, USER_RAM + i * 8192, 4096, i & 1 ? -1 : fd,
						     0x80000 + i * 4096, PROT_READ | PROT_WRITE),
				 0);
	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	for (uint64_t i = 0; i < 6; i += 4) {
		add_read(f->u, &f->ring, f->page + 32 * i, USER_RAM + i * 8192);
		machine_settle(f->h->m);
	}
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_dma_unmap_all(v, &f->u->wait), -EINPROGRESS);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 0);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 1);
	/* Done properly; and nothing is left, so that there is nothing to wait for. */
	assert_true(ring_used(&f->ring, &id, &len));
	assert_true(ring_used(&f->ring, &id, &len));
	assert_int_equal(f->u->ram.base[0x80000], 7);
	assert_int_equal(f->u->ram.base[0x84000], 7);
	assert_int_equal(vfio_device_dma_unmap_all(v, &f->u->wait), 0);
	assert_int_equal(vfio_device_dma_unmap(v, 0, USER_RAM, &f->u->wait), -ENOENT);
	assert_int_equal(vfio_device_dma_map(v, 0, USER_RAM, fd, 0, PROT_READ | PROT_WRITE), 0);
}

/* Its user goes while everything is being unmapped. */
static void test_unmap_all_is_abandoned(void **state)
{
	struct fixture *f = *state;

	start_and_hang(f);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_dma_unmap_all(f->u->vdev, &f->u->wait), -EINPROGRESS);
	blk_fault_hang(f->u->member->vf.dev, false);
	reopen_and_read(f);
}

/* Memory that was never shared is a fault that says what to do. */
static void test_memory_without_a_descriptor_is_a_fault(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		vfio_device_dma_map(f->u->vdev, USER_RAM, 4096, -1, 0, PROT_READ | PROT_WRITE), 0);
	start(f->u, &f->ring);
	add_read(f->u, &f->ring, f->page, USER_RAM);
	machine_settle(f->h->m);
	assert_true(f->u->member->vf.dev->stopped);
	assert_non_null(strstr(f->u->member->vf.dev->stop_reason, "share=on"));
}

/* A guest's memory that shrinks stops its function, and nothing else; the next user is fine. */
static void test_memory_that_shrinks_stops_its_function_only(void **state)
{
	struct fixture *f = *state;
	struct user *b = user_new(f->h, 2, "vfio-pci", false);
	uint64_t page = ram_alloc(&b->ram, 8192, 4096);
	struct ring ring;

	start(f->u, &f->ring);
	start(b, &ring);
	read_one(f->u, &f->ring, f->page);
	read_one(b, &ring, page);
	assert_int_equal(sigaction(SIGBUS, &on_sigbus, NULL), 0);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	assert_int_equal(ftruncate(f->u->ram.fd, 0), 0);
	machine_settle(f->h->m);
	assert_true(f->u->member->vf.dev->stopped);
	assert_non_null(strstr(f->u->member->vf.dev->stop_reason, "shrank"));
	assert_int_equal(f->u->member->counters.value[COUNTER_dma_faults], 1);
	read_one(b, &ring, page);
	reopen_and_read(f);
	user_free(b);
}

/* Two guests share a file; one of them notices that it shrank. The other one's rings are fine. */
static void test_shared_memory_that_shrinks_stops_all_who_have_it(void **state)
{
	struct fixture *f = *state;
	struct user *b = user_new(f->h, 2, "vfio-pci", false);
	int shared = memfd_create("test:shared", MFD_CLOEXEC);
	struct ring ring;
	uint32_t id, len;

	assert_true(shared >= 0);
	assert_int_equal(ftruncate(shared, 4096), 0);
	assert_int_equal(vfio_device_dma_map(f->u->vdev, USER_RAM, 4096, shared, 0, 3), 0);
	assert_int_equal(vfio_device_dma_map(b->vdev, USER_RAM, 4096, shared, 0, 3), 0);
	start(f->u, &f->ring);
	start(b, &ring);
	machine_settle(f->h->m);
	assert_int_equal(sigaction(SIGBUS, &on_sigbus, NULL), 0);
	assert_int_equal(ftruncate(shared, 0), 0);
	/* b's request has its header there */
	ring_add(&ring, &(struct buf){ USER_RAM, 16, false }, 1);
	reg(b, NOTIFY_AT, 2, 0);
	machine_settle(f->h->m);
	assert_true(b->member->vf.dev->stopped);
	/* the other's request has nothing to do with it, but its memory is not what it was */
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	assert_true(f->u->member->vf.dev->stopped);
	assert_false(ring_used(&f->ring, &id, &len));
	/* nothing of either is in flight: both can be closed */
	user_free(b);
	reopen_and_read(f);
	close(shared);
}

/* --- one user after the other --- */

static void test_one_user_at_a_time(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(vfio_device_open(f->u->vdev), -EBUSY);
	user_close(f->u);
	assert_int_equal(user_start(f->u, CONFIG, 0, 4, false, NULL), -EINVAL);
	user_open(f->u);
	assert_int_equal(user_read(f->u, CONFIG, 0, 4), 0x10421af4);
}

/* rules: vu-connection-8 */
static void test_the_next_user_finds_a_new_function(void **state)
{
	struct fixture *f = *state;
	struct virtio_pci_state fresh = *f->u->member->state;

	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, f->event, 2), 0);
	user_write(f->u, CONFIG, PCI_BASE_ADDRESS_2, 4, 0xfeb00000);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	event_count(f->event[0]);
	user_close(f->u);
	assert_memory_equal(&fresh, f->u->member->state, sizeof(fresh));
	/* no memory, no interrupts of the last one */
	assert_int_equal(vfio_device_open(f->u->vdev), 0);
	assert_int_equal(user_read(f->u, CONFIG, PCI_COMMAND, 2), 0);
	assert_int_equal(user_read(f->u, CONFIG, PCI_BASE_ADDRESS_2, 4) & ~0xfull, 0);
	assert_int_equal(vfio_device_dma_unmap(f->u->vdev, 0, USER_RAM, &f->u->wait), -ENOENT);
	f->u->is_open = true;
	user_close(f->u);
	user_open(f->u);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event[0]), 0);
}

/* I/O of the last user ends before there is a next one. */
static void test_closing_waits_for_io(void **state)
{
	struct fixture *f = *state;

	start_and_hang(f);
	f->u->wait.done = on_waited;
	f->u->is_open = false;
	assert_int_equal(vfio_device_close(f->u->vdev, &f->u->wait), -EINPROGRESS);
	assert_int_equal(vfio_device_open(f->u->vdev), -EBUSY);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 0);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	assert_int_equal(f->u->waited, 1);
	user_open(f->u);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

static void test_a_reset_waits_for_io(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	start_and_hang(f);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), -EINPROGRESS);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	assert_false(ring_used(&f->ring, &id, &len));
	assert_int_equal(user_read(f->u, REGISTERS, STATUS, 1), 0);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

/* The same by the guest's own FLR: the write is answered when it is done. */
static void test_the_guests_flr_waits_for_io(void **state)
{
	struct fixture *f = *state;
	uint16_t at = (uint16_t)user_read(f->u, CONFIG, 0x34, 1), flr = PCI_EXP_DEVCTL_BCR_FLR;

	while (user_read(f->u, CONFIG, at, 1) != PCI_CAP_ID_EXP)
		at = (uint16_t)user_read(f->u, CONFIG, at + 1u, 1);
	start_and_hang(f);
	assert_int_equal(user_start(f->u, CONFIG, at + PCI_EXP_DEVCTL, 2, true, &flr),
			 -EINPROGRESS);
	machine_settle(f->h->m);
	assert_false(f->u->done);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->done);
	assert_int_equal(f->u->done_result, 0);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

/* A user that goes while its FLR waits: nobody is told, and the next one finds it done. */
static void test_closing_while_an_flr_waits(void **state)
{
	struct fixture *f = *state;

	start_and_hang(f);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), -EINPROGRESS);
	f->u->is_open = false;
	assert_int_equal(vfio_device_close(f->u->vdev, &f->u->wait), -EINPROGRESS);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 1);
	user_open(f->u);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_regions_and_interrupts),
		TEST(test_accesses_are_inside_a_region),
		TEST(test_a_bar_access_of_any_size),
		TEST(test_memory_is_mapped_and_unmapped),
		TEST(test_an_unmap_waits_for_io),
		TEST(test_unmap_all_waits_for_io),
		TEST(test_unmap_all_is_abandoned),
		TEST(test_memory_without_a_descriptor_is_a_fault),
		TEST(test_memory_that_shrinks_stops_its_function_only),
		TEST(test_shared_memory_that_shrinks_stops_all_who_have_it),
		TEST(test_one_user_at_a_time),
		TEST(test_the_next_user_finds_a_new_function),
		TEST(test_closing_waits_for_io),
		TEST(test_a_reset_waits_for_io),
		TEST(test_the_guests_flr_waits_for_io),
		TEST(test_closing_while_an_flr_waits),
	};
	struct iommu *iommu;

	if (iommu_new(&iommu) || sigaction(SIGBUS, NULL, &on_sigbus))
		return EXIT_FAILURE;
	iommu_free(iommu);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
