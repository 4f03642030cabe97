/* SPDX-License-Identifier: BSD-3-Clause */
/* One PCI function with a BAR of plain memory, and what it sends upstream. */
#ifndef RIDGE_TEST_PCI_FIXTURE_H
#define RIDGE_TEST_PCI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "pci/function.h"

#define RID      0x0108
#define VECTORS  3
#define BAR      2
#define BAR_SIZE 0x2000
#define MSIX_BAR 4

struct fixture {
	struct pci_function fn;
	struct pci_state state;
	struct pci_upstream upstream;
	uint8_t bar[BAR_SIZE];
	struct pci_reset wait;
	int resets;   /* ops->reset called */
	int finished; /* ops->reset_finished called */
	int waited;   /* wait.done called */
	bool busy;    /* a reset does not end at once */
	struct {
		uint16_t offset;
		uint8_t len;
	} written; /* the last ops->config_written */
	int writes;
	struct {
		uint16_t rid;
		uint64_t address;
		uint32_t data;
	} msi; /* the last one */
	int msis;
	int msi_result; /* what the upstream says to the next */
};

static inline struct fixture *of(struct pci_function *fn)
{
	return container_of(fn, struct fixture, fn);
}

static inline void fx_bar_read(struct pci_function *fn, uint8_t bar, uint64_t offset, void *data,
			       uint8_t len)
{
	assert_int_equal(bar, BAR);
	memcpy(data, of(fn)->bar + offset, len);
}

static inline void fx_bar_write(struct pci_function *fn, uint8_t bar, uint64_t offset,
				const void *data, uint8_t len)
{
	assert_int_equal(bar, BAR);
	memcpy(of(fn)->bar + offset, data, len);
}

static inline void fx_config_written(struct pci_function *fn, uint16_t offset, uint8_t len)
{
	of(fn)->written.offset = offset;
	of(fn)->written.len = len;
	of(fn)->writes++;
}

static inline int fx_reset(struct pci_function *fn)
{
	of(fn)->resets++;
	return of(fn)->busy ? -EINPROGRESS : 0;
}

static inline void fx_reset_finished(struct pci_function *fn)
{
	of(fn)->finished++;
}

static inline void fx_waited(struct pci_reset *reset)
{
	container_of(reset, struct fixture, wait)->waited++;
}

static inline int fx_msi(struct pci_upstream *up, uint16_t rid, uint64_t address, uint32_t data)
{
	struct fixture *f = container_of(up, struct fixture, upstream);

	f->msi.rid = rid;
	f->msi.address = address;
	f->msi.data = data;
	f->msis++;
	return f->msi_result;
}

static inline int setup_function(void **state, bool is_vf)
{
	static const struct pci_function_ops ops = {
		.bar_read = fx_bar_read,
		.bar_write = fx_bar_write,
		.config_written = fx_config_written,
		.reset = fx_reset,
		.reset_finished = fx_reset_finished,
	};
	static const struct pci_upstream_ops upstream_ops = { .msi = fx_msi };
	static const struct pci_identity id = {
		.vendor = 0x1af4,
		.device = 0x1042,
		.subsystem_vendor = 0x1af5,
		.subsystem = 0x0042,
		.revision = 1,
		.class_code = 0x018000,
	};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->upstream.ops = &upstream_ops;
	f->wait.done = fx_waited;
	assert_int_equal(pci_function_init(&f->fn, &ops, &f->upstream, &f->state, RID, is_vf, &id),
			 0);
	pci_function_add_pcie(&f->fn);
	pci_function_add_bar(&f->fn, BAR, BAR_SIZE);
	pci_function_add_msix(&f->fn, VECTORS, MSIX_BAR);
	pci_function_seal(&f->fn);
	*state = f;
	return 0;
}

static inline int setup(void **state)
{
	return setup_function(state, false);
}

static inline int setup_vf(void **state)
{
	return setup_function(state, true);
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	pci_function_destroy(&f->fn);
	free(f);
	return 0;
}

#define TEST(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_VF(name) cmocka_unit_test_setup_teardown(name, setup_vf, teardown)

static inline uint32_t cfg(struct fixture *f, uint16_t offset, uint8_t len)
{
	return pci_function_config_read(&f->fn, offset, len);
}

static inline void set_cfg(struct fixture *f, uint16_t offset, uint8_t len, uint32_t value)
{
	pci_function_config_write(&f->fn, offset, len, value);
}

/* Where the capability of an id is; 0 if there is none. */
static inline uint16_t find_cap(struct fixture *f, uint8_t id)
{
	uint16_t at = (uint16_t)cfg(f, PCI_CAPABILITY_LIST, 1);

	for (int i = 0; at && i < 48; i++) {
		if (cfg(f, at, 1) == id)
			return at;
		at = (uint16_t)cfg(f, (uint16_t)(at + 1), 1);
	}
	return 0;
}

#endif
