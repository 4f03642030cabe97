/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory windows: which function's BAR a host reaches at an address. Ranges are collected from
 * the functions when they may have changed, and looked up by bisection. Where a host placed BARs on
 * top of each other the one that begins last answers, and the others do around it.
 */
#include <stdlib.h>
#include <string.h>

#include "domain/internal.h"

static int by_base(const void *a, const void *b)
{
	const struct window_range *x = a, *y = b;

	return x->range.base < y->range.base ? -1 : x->range.base > y->range.base;
}

static uint64_t last_address(const struct pci_range *r)
{
	uint64_t more = r->each * r->count - 1;

	return r->base <= UINT64_MAX - more ? r->base + more : UINT64_MAX;
}

static void collect(struct domain *d)
{
	d->nranges = 0;
	d->ranges_stale = false;
	for (uint32_t rid = 0; rid < RIDS_PER_BUS; rid++) {
		struct pci_function *fn = d->functions[rid];
		struct pci_range found[PCI_RANGES_MAX];
		unsigned int n = fn ? pci_function_decode(fn, found) : 0;

		for (unsigned int i = 0; i < n && d->nranges < WINDOW_RANGES_MAX; i++)
			d->ranges[d->nranges++] = (struct window_range){
				.range = found[i],
				.owner = fn,
				.changes = fn->changes,
			};
	}
	qsort(d->ranges, d->nranges, sizeof(d->ranges[0]), by_base);
	for (unsigned int i = 0; i < d->nranges; i++) {
		uint64_t last = last_address(&d->ranges[i].range);
		uint64_t before = i ? d->ranges[i - 1].reach : 0;

		d->ranges[i].reach = last > before ? last : before;
	}
}

/* Of the ranges that have the address, the one that begins last. */
static struct window_range *lookup(struct domain *d, uint64_t address)
{
	unsigned int lo = 0, hi = d->nranges;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (d->ranges[mid].range.base <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo-- && d->ranges[lo].reach >= address)
		if (last_address(&d->ranges[lo].range) >= address)
			return &d->ranges[lo];
	return NULL;
}

static struct pci_function *decode(struct domain *d, uint64_t address, uint8_t *bar,
				   uint64_t *offset)
{
	struct window_range *w;
	uint64_t index;

	if (d->ranges_stale)
		collect(d);
	w = lookup(d, address);
	if (w && w->changes != w->owner->changes) { /* it was reset since */
		collect(d);
		w = lookup(d, address);
	}
	if (!w)
		return NULL;
	index = (address - w->range.base) / w->range.each;
	*offset = (address - w->range.base) % w->range.each;
	*bar = w->range.bar;
	return domain_answers(d, (uint32_t)(w->range.rid + index * w->range.stride));
}

void domain_window_access(struct domain *d, struct vfio_access *access)
{
	uint64_t base = domain_vmd_bar(d, (uint8_t)access->region), offset;
	bool ignored = false;

	if (!access->write)
		memset(access->data, 0xff, access->count);
	for (uint32_t i = 0; i < access->count;) {
		uint64_t at = access->offset + i;
		struct pci_function *fn;
		uint8_t len = 8, bar;

		while (at % len || len > access->count - i)
			len /= 2;
		fn = decode(d, base + at, &bar, &offset);
		ignored |= !fn;
		if (fn && access->write)
			pci_function_bar_write(fn, bar, offset, access->data + i, len);
		else if (fn)
			pci_function_bar_read(fn, bar, offset, access->data + i, len);
		i += len;
	}
	counter_add(d->params.counters, ignored, ignored);
}
