/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuration space of the functions, as BAR 0 shows it (PCIe 7.2.2). */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "domain/internal.h"

/* True if it took the function's access to memory away. */
static bool ecam_write(struct domain *d, struct pci_function *fn, uint16_t at, uint8_t len,
		       uint32_t value)
{
	bool was = pci_function_bus_master(fn);

	pci_function_config_write(fn, at, len, value);
	if (!fn->is_vf)
		d->ranges_stale = true;
	return was && !pci_function_bus_master(fn);
}

int domain_ecam_access(struct domain *d, struct vfio_access *access)
{
	struct pci_function *off = NULL;
	bool ignored = false;

	counter_inc(d->params.counters, config_accesses);
	for (uint32_t i = 0; i < access->count;) {
		uint64_t at = access->offset + i;
		uint32_t left = access->count - i, value;
		struct pci_function *fn;
		uint8_t len = at % 4 == 0 && left >= 4 ? 4 : at % 2 == 0 && left >= 2 ? 2 : 1;

		/* A reset ends what a function waits for, as does bus mastering turned on again. */
		fn = access->write ? domain_present(d, (uint32_t)(at >> 12))
				   : domain_answers(d, (uint32_t)(at >> 12));
		ignored |= !fn;
		if (!access->write) {
			value = fn ? pci_function_config_read(fn, at & 0xfff, len) : UINT32_MAX;
			value = htole32(value);
			memcpy(access->data + i, &value, len);
		} else if (fn) {
			value = 0;
			memcpy(&value, access->data + i, len);
			if (ecam_write(d, fn, at & 0xfff, len, le32toh(value)))
				off = fn;
		}
		i += len;
	}
	counter_add(d->params.counters, ignored, ignored);
	/*
	 * VFs that are gone do nothing any more before the host hears that they are. A function
	 * that may not reach memory now is waited for a little, and does not answer before.
	 */
	d->held = access->write && (d->params.busy(d->params.ctx) || (off && domain_hold(d, off)));
	return d->held ? -EINPROGRESS : 0;
}
