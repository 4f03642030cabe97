/* SPDX-License-Identifier: BSD-3-Clause */
/* pci/root.h: what is at a RID, its memory and its interrupts. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "pci/root.h"
#include "test_pci_fixture.h"

#define PAGE IOMMU_PAGE
#define RW   (PROT_READ | PROT_WRITE)

struct root_fixture {
	struct fixture *f;
	struct pci_root *root;
	struct pci_access *pa;
	int event;
};

static int setup_root(void **state)
{
	struct root_fixture *r = calloc(1, sizeof(*r));
	void *f;

	assert_non_null(r);
	setup(&f);
	r->f = f;
	assert_int_equal(pci_root_new(&r->root), 0);
	r->f->fn.upstream = pci_root_upstream(r->root);
	assert_int_equal(pci_root_plug(r->root, &r->f->fn), 0);
	assert_int_equal(pci_root_open(r->root, RID, &r->pa), 0);
	r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(r->event >= 0);
	*state = r;
	return 0;
}

static int teardown_root(void **state)
{
	struct root_fixture *r = *state;
	void *f = r->f;

	pci_root_close(r->pa);
	pci_root_unplug(r->root, &r->f->fn);
	pci_root_free(r->root);
	close(r->event);
	teardown(&f);
	free(r);
	return 0;
}

static uint64_t events(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) < 0)
		assert_int_equal(errno, EAGAIN);
	return n;
}

static uint16_t msix_control(struct root_fixture *r)
{
	uint16_t at = (uint16_t)(find_cap(r->f, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS);

	return (uint16_t)r->pa->ops->config_read(r->pa, at, 2);
}

/* rules: sriov-10 */
static void test_an_empty_rid_reads_all_ones(void **state)
{
	struct root_fixture *r = *state;
	struct pci_access *pa;
	uint64_t v = 0;

	assert_int_equal(pci_root_open(r->root, RID + 1, &pa), 0);
	assert_int_equal(pa->ops->config_read(pa, 0, 4), 0xffffffff);
	pa->ops->config_write(pa, 4, 2, 0xffff);
	pa->ops->bar_read(pa, 2, 0, &v, 8);
	assert_true(v == UINT64_MAX);
	pa->ops->bar_write(pa, 2, 0, &v, 8);
	assert_int_equal(pa->ops->reset(pa, NULL), 0);
	assert_int_equal(pa->ops->irq_bind(pa, 0, r->event), -EINVAL);
	assert_int_equal(pa->ops->irq_bind(pa, PCI_MSIX_MAX, r->event), -EINVAL);
	pci_root_close(pa);
	/* and so does one whose function was taken out */
	assert_int_equal(r->pa->ops->config_read(r->pa, 0, 4), 0x10421af4);
	pci_root_unplug(r->root, &r->f->fn);
	assert_int_equal(r->pa->ops->config_read(r->pa, 0, 4), 0xffffffff);
	assert_int_equal(pci_root_plug(r->root, &r->f->fn), 0);
	assert_int_equal(r->pa->ops->config_read(r->pa, 0, 4), 0x10421af4);
	assert_int_equal(pci_root_plug(r->root, &r->f->fn), -EBUSY);
}

static void test_a_rid_has_one_user(void **state)
{
	struct root_fixture *r = *state;
	struct pci_access *pa;

	assert_int_equal(pci_root_open(r->root, RID, &pa), -EBUSY);
	pci_root_close(r->pa);
	assert_int_equal(pci_root_open(r->root, RID, &pa), 0);
	r->pa = pa;
}

static void test_memory_is_the_rids_and_ends_with_its_user(void **state)
{
	struct root_fixture *r = *state;
	struct pci_upstream *up = pci_root_upstream(r->root);
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct iommu_space *space = up->ops->dma(up, RID, IOMMU_NO_PASID);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_non_null(space);
	assert_null(up->ops->dma(up, RID + 1, IOMMU_NO_PASID));
	assert_null(up->ops->dma(up, RID, 5));
	assert_null(r->pa->ops->dma_fault(r->pa));
	assert_int_equal(iommu_read(space, 0, &byte, 1), -EFAULT);
	assert_string_equal(r->pa->ops->dma_fault(r->pa), "the address is not mapped for DMA");
	assert_int_equal(r->pa->ops->dma_map(r->pa, IOMMU_NO_PASID, 0, PAGE, fd, 0, RW), 0);
	assert_int_equal(r->pa->ops->dma_map(r->pa, 5, PAGE, PAGE, fd, 0, RW), -EOPNOTSUPP);
	assert_int_equal(iommu_read(space, 0, &byte, 1), 0);
	assert_int_equal(r->pa->ops->dma_unmap(r->pa, IOMMU_NO_PASID, 0, PAGE, NULL), 0);
	assert_int_equal(r->pa->ops->dma_unmap(r->pa, 5, PAGE, PAGE, NULL), -ENOENT);
	assert_int_equal(iommu_read(space, 0, &byte, 1), -EFAULT);
	assert_int_equal(r->pa->ops->dma_map(r->pa, IOMMU_NO_PASID, 0, PAGE, fd, 0, RW), 0);
	pci_root_close(r->pa);
	assert_null(up->ops->dma(up, RID, IOMMU_NO_PASID));
	assert_int_equal(pci_root_open(r->root, RID, &r->pa), 0);
	space = up->ops->dma(up, RID, IOMMU_NO_PASID);
	assert_int_equal(iommu_read(space, 0, &byte, 1), -EFAULT);
	close(fd);
}

static void test_a_bound_vector_signals_its_eventfd(void **state)
{
	struct root_fixture *r = *state;

	r->pa->ops->config_write(r->pa, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	r->pa->ops->irq_enable(r->pa, true);
	assert_int_equal(r->pa->ops->irq_bind(r->pa, VECTORS, r->event), -EINVAL);
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 1, r->event), 0);
	assert_int_equal(msix_control(r), PCI_MSIX_FLAGS_ENABLE | (VECTORS - 1));
	pci_function_msix_send(&r->f->fn, 0);
	assert_int_equal(events(r->event), 0);
	pci_function_msix_send(&r->f->fn, 1);
	pci_function_msix_send(&r->f->fn, 1);
	assert_int_equal(events(r->event), 2);
}

/* The legacy layout depends on it, so it is apart from what is routed. */
static void test_msix_is_enabled_when_told(void **state)
{
	struct root_fixture *r = *state;

	assert_int_equal(r->pa->ops->irq_bind(r->pa, 0, r->event), 0);
	assert_false(pci_function_msix_enabled(&r->f->fn));
	r->pa->ops->irq_enable(r->pa, true);
	assert_true(pci_function_msix_enabled(&r->f->fn));
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 0, -1), 0);
	assert_true(pci_function_msix_enabled(&r->f->fn));
	r->pa->ops->irq_enable(r->pa, false);
	assert_false(pci_function_msix_enabled(&r->f->fn));
}

static void test_an_unbound_vector_is_masked(void **state)
{
	struct root_fixture *r = *state;

	r->pa->ops->config_write(r->pa, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	r->pa->ops->irq_enable(r->pa, true);
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 0, r->event), 0);
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 1, r->event), 0);
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 1, -1), 0);
	pci_function_msix_send(&r->f->fn, 1);
	assert_int_equal(events(r->event), 0);
	/* it was pending, as in hardware */
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 1, r->event), 0);
	assert_int_equal(events(r->event), 1);
}

static void test_the_next_user_finds_no_interrupts_of_the_last(void **state)
{
	struct root_fixture *r = *state;

	r->pa->ops->config_write(r->pa, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	r->pa->ops->irq_enable(r->pa, true);
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 1, r->event), 0);
	pci_root_close(r->pa);
	pci_function_msix_send(&r->f->fn, 1);
	assert_int_equal(events(r->event), 0);
	assert_int_equal(pci_root_open(r->root, RID, &r->pa), 0);
	assert_false(pci_function_msix_enabled(&r->f->fn));
	pci_function_msix_send(&r->f->fn, 1);
	assert_int_equal(events(r->event), 0);
}

/* Only a write to the interrupt range with a number that was given out is an interrupt. */
static void test_other_messages_are_no_interrupts(void **state)
{
	struct root_fixture *r = *state;
	struct pci_upstream *up = pci_root_upstream(r->root);

	r->pa->ops->irq_enable(r->pa, true);
	assert_int_equal(r->pa->ops->irq_bind(r->pa, 1, r->event), 0);
	up->ops->msi(up, RID, 0xfee00000, 2);
	up->ops->msi(up, RID, 0xfee00000, 0xffffffff);
	up->ops->msi(up, RID, 0x1fee00000, 1);
	up->ops->msi(up, RID, 0, 1);
	up->ops->msi(up, RID + 1, 0xfee00000, 1);
	assert_int_equal(events(r->event), 0);
	up->ops->msi(up, RID, 0xfee00000, 1);
	assert_int_equal(events(r->event), 1);
}

int main(void)
{
#define TEST_ROOT(name) cmocka_unit_test_setup_teardown(name, setup_root, teardown_root)
	const struct CMUnitTest tests[] = {
		TEST_ROOT(test_an_empty_rid_reads_all_ones),
		TEST_ROOT(test_a_rid_has_one_user),
		TEST_ROOT(test_memory_is_the_rids_and_ends_with_its_user),
		TEST_ROOT(test_a_bound_vector_signals_its_eventfd),
		TEST_ROOT(test_msix_is_enabled_when_told),
		TEST_ROOT(test_an_unbound_vector_is_masked),
		TEST_ROOT(test_the_next_user_finds_no_interrupts_of_the_last),
		TEST_ROOT(test_other_messages_are_no_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
