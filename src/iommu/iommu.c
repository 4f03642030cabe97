/* SPDX-License-Identifier: BSD-3-Clause */
#include "iommu/iommu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommu/backing.h"

#define SPACE_BUCKETS 256

struct iommu_map {
	uint64_t iova;
	uint64_t size;
	int prot;
	struct backing *backing; /* NULL: the VMM gave no file */
	uint8_t *base;
	unsigned int pins;
	bool leaving; /* to be unmapped at the last unpin */
	bool held;    /* its file is accounted to the space */
	bool gone;    /* unmapped, but pinned: kept until the last unpin */
	struct iommu_wait *wait;
	struct iommu_space *space;
};

/* A file that a space has maps of. */
struct space_file {
	struct backing *backing;
	size_t maps;
};

struct iommu_space {
	struct list node; /* in its bucket */
	struct iommu *iommu;
	uint16_t rid;
	uint32_t pasid;
	uint64_t generation;
	struct iommu_map *last;  /* that map_lookup() found, or NULL */
	struct iommu_map **maps; /* sorted by iova */
	size_t nmaps;
	size_t capacity;
	struct space_file *files; /* IOMMU_FILES_MAX, once there is one */
	size_t nfiles;
	uint64_t file_bytes; /* of these */
	unsigned int losses_seen;
	unsigned int leaving; /* maps that are */
	struct list stays;    /* who waits until there are none */
	bool lost;
	bool freed; /* goes with the last map that is pinned */
	const char *fault;
};

struct iommu {
	struct list buckets[SPACE_BUCKETS];
	uint64_t generation; /* of all spaces, so that no value is ever used twice */
};

int iommu_new(struct iommu **out)
{
	struct iommu *iommu;
	int err;

	err = backing_init();
	if (err)
		return err;
	iommu = calloc(1, sizeof(*iommu));
	if (!iommu)
		return -ENOMEM;
	for (size_t i = 0; i < SPACE_BUCKETS; i++)
		list_init(&iommu->buckets[i]);
	*out = iommu;
	return 0;
}

void iommu_free(struct iommu *iommu)
{
	if (!iommu)
		return;
	for (size_t i = 0; i < SPACE_BUCKETS; i++) {
		struct iommu_space *s, *tmp;

		list_for_each_safe (s, tmp, &iommu->buckets[i], node)
			iommu_space_free(s);
	}
	free(iommu);
}

static struct list *bucket_of(struct iommu *iommu, uint16_t rid, uint32_t pasid)
{
	return &iommu->buckets[(rid ^ (pasid + 1)) % SPACE_BUCKETS];
}

struct iommu_space *iommu_space_find(struct iommu *iommu, uint16_t rid, uint32_t pasid)
{
	struct list *bucket = bucket_of(iommu, rid, pasid);
	struct iommu_space *s;

	list_for_each (s, bucket, node)
		if (s->rid == rid && s->pasid == pasid)
			return s;
	return NULL;
}

static void space_changed(struct iommu_space *s)
{
	s->generation = ++s->iommu->generation;
	s->last = NULL;
}

int iommu_space_new(struct iommu *iommu, uint16_t rid, uint32_t pasid, struct iommu_space **out)
{
	struct iommu_space *s;

	if (iommu_space_find(iommu, rid, pasid))
		return -EEXIST;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->iommu = iommu;
	s->rid = rid;
	s->pasid = pasid;
	s->losses_seen = backing_losses();
	list_init(&s->stays);
	space_changed(s);
	list_add_tail(bucket_of(iommu, rid, pasid), &s->node);
	*out = s;
	return 0;
}

/* Whether a space that has so much of something may have more of it. */
static bool may_have(uint64_t has, uint64_t max, uint64_t all, uint64_t scarce, uint64_t then)
{
	return has <= max && (all <= scarce || has <= then);
}

/* Accounts a map's file to its space. Returns 0 or a negative errno. */
static int file_hold(struct iommu_space *s, struct iommu_map *m)
{
	for (size_t i = 0; i < s->nfiles; i++)
		if (s->files[i].backing == m->backing) {
			s->files[i].maps++;
			m->held = true;
			return 0;
		}
	if (!may_have(s->nfiles + 1, IOMMU_FILES_MAX, backing_count(), IOMMU_FILES_SCARCE,
		      IOMMU_FILES_WHEN_SCARCE) ||
	    !may_have(s->file_bytes + m->backing->size, IOMMU_BYTES_MAX, backing_total(),
		      IOMMU_BYTES_SCARCE, IOMMU_BYTES_WHEN_SCARCE))
		return -ENOSPC;
	if (!s->files)
		s->files = calloc(IOMMU_FILES_MAX, sizeof(*s->files));
	if (!s->files)
		return -ENOMEM;
	s->files[s->nfiles++] = (struct space_file){ m->backing, 1 };
	s->file_bytes += m->backing->size;
	m->held = true;
	return 0;
}

static void file_release(struct iommu_space *s, struct iommu_map *m)
{
	size_t i = 0;

	if (!m->held)
		return;
	while (s->files[i].backing != m->backing)
		i++;
	if (--s->files[i].maps)
		return;
	s->file_bytes -= m->backing->size;
	s->files[i] = s->files[--s->nfiles];
	if (s->nfiles)
		return;
	free(s->files);
	s->files = NULL;
}

static void map_free(struct iommu_map *m)
{
	if (m->wait)
		m->wait->map = NULL;
	file_release(m->space, m);
	if (m->backing)
		backing_put(m->backing);
	free(m);
}

static void stays_done(struct iommu_space *s)
{
	while (!list_empty(&s->stays)) {
		struct iommu_stay *stay = list_first(&s->stays, struct iommu_stay, node);

		list_del(&stay->node);
		stay->done(stay);
	}
}

static void space_end(struct iommu_space *s)
{
	stays_done(s);
	free(s->maps);
	free(s);
}

void iommu_space_free(struct iommu_space *s)
{
	if (!s)
		return;
	iommu_unmap_all(s);
	for (size_t i = 0; i < s->nmaps; i++)
		if (s->maps[i]->wait)
			iommu_wait_cancel(s->maps[i]->wait);
	list_del(&s->node);
	s->freed = true;
	if (!s->nmaps)
		space_end(s);
}

const char *iommu_space_fault(const struct iommu_space *s)
{
	return s->fault;
}

size_t iommu_space_maps(const struct iommu_space *s)
{
	return s->nmaps;
}

/* Index of the first map that ends above iova. */
static size_t map_lower_bound(const struct iommu_space *s, uint64_t iova)
{
	size_t lo = 0, hi = s->nmaps;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->maps[mid]->iova + (s->maps[mid]->size - 1) < iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int map_insert(struct iommu_space *s, size_t at, struct iommu_map *m)
{
	if (s->nmaps == s->capacity) {
		size_t capacity = s->capacity ? s->capacity * 2 : 16;
		struct iommu_map **maps = realloc(s->maps, capacity * sizeof(*maps));

		if (!maps)
			return -ENOMEM;
		s->maps = maps;
		s->capacity = capacity;
	}
	memmove(&s->maps[at + 1], &s->maps[at], (s->nmaps - at) * sizeof(*s->maps));
	s->maps[at] = m;
	s->nmaps++;
	return 0;
}

int iommu_map(struct iommu_space *s, uint64_t iova, uint64_t size, int fd, uint64_t offset,
	      int prot)
{
	struct iommu_map *m;
	size_t at;
	int err;

	if (!size || (iova | size | offset) % IOMMU_PAGE || iova + (size - 1) < iova ||
	    offset > INT64_MAX || size > INT64_MAX - offset || size > SIZE_MAX / 2 || !prot ||
	    (prot & ~(PROT_READ | PROT_WRITE)))
		return -EINVAL;
	at = map_lower_bound(s, iova);
	if (at < s->nmaps && s->maps[at]->iova <= iova + (size - 1))
		return -EEXIST;
	if (s->nmaps >= IOMMU_MAPS_MAX)
		return -ENOSPC;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->space = s;
	m->iova = iova;
	m->size = size;
	m->prot = prot;
	if (fd >= 0) {
		err = backing_get(fd, offset, size, prot, &m->backing);
		if (err) {
			free(m);
			return err;
		}
		m->base = m->backing->base + offset;
	}
	err = m->backing ? file_hold(s, m) : 0;
	if (!err)
		err = map_insert(s, at, m);
	if (err) {
		map_free(m);
		return err;
	}
	space_changed(s);
	return 0;
}

static bool any_lost(const struct iommu_space *s)
{
	for (size_t i = 0; i < s->nmaps; i++)
		if (s->maps[i]->backing && s->maps[i]->backing->lost)
			return true;
	return false;
}

static void map_remove(struct iommu_map *m)
{
	struct iommu_space *s = m->space;
	size_t at = map_lower_bound(s, m->iova);
	bool lost = m->backing && m->backing->lost;

	memmove(&s->maps[at], &s->maps[at + 1], (s->nmaps - at - 1) * sizeof(*s->maps));
	s->nmaps--;
	space_changed(s);
	if (m->leaving && !--s->leaving)
		stays_done(s);
	map_free(m);
	if (lost)
		s->lost = any_lost(s);
}

int iommu_unmap(struct iommu_space *s, uint64_t iova, uint64_t size, struct iommu_wait *wait)
{
	size_t at = map_lower_bound(s, iova);
	struct iommu_map *m;

	if (at == s->nmaps)
		return -ENOENT;
	m = s->maps[at];
	if (m->iova != iova || m->size != size || m->leaving || m->gone)
		return -ENOENT;
	if (!m->pins) {
		map_remove(m);
		return 0;
	}
	m->leaving = true;
	s->leaving++;
	m->wait = wait;
	if (wait)
		wait->map = m;
	return -EINPROGRESS;
}

int iommu_last(const struct iommu_space *s, uint64_t *iova, uint64_t *size)
{
	if (!s->nmaps)
		return -ENOENT;
	*iova = s->maps[s->nmaps - 1]->iova;
	*size = s->maps[s->nmaps - 1]->size;
	return 0;
}

void iommu_unmap_all(struct iommu_space *s)
{
	space_changed(s);
	for (size_t i = s->nmaps; i-- > 0;) {
		struct iommu_map *m = s->maps[i];

		if (m->pins)
			m->gone = true;
		else
			map_remove(m);
	}
	s->fault = NULL;
	s->lost = false;
}

void iommu_wait_cancel(struct iommu_wait *wait)
{
	if (wait->map)
		wait->map->wait = NULL;
	wait->map = NULL;
}

/*
 * The map that iova is in, if it allows the access; *avail is how many bytes of it follow. A reason
 * is left for iommu_space_fault() when there is none.
 */
static struct iommu_map *map_lookup(struct iommu_space *s, uint64_t iova, int prot, uint64_t *avail)
{
	struct iommu_map *m = s->last;
	size_t at;

	/* A chain's descriptors are mostly of one map. */
	if (!m || iova - m->iova >= m->size) {
		at = map_lower_bound(s, iova);
		m = at < s->nmaps ? s->maps[at] : NULL;
		s->last = m && m->iova <= iova ? m : NULL;
	}
	if (!m || m->iova > iova || m->gone)
		s->fault = "the address is not mapped for DMA";
	else if ((m->prot & prot) != prot)
		s->fault = "the memory is not mapped for this direction";
	else if (!m->base)
		s->fault = "the VMM did not share this memory; give its memory backend share=on";
	else if (m->backing->lost)
		s->fault = "the file behind the guest's memory shrank";
	else {
		*avail = m->size - (iova - m->iova);
		return m;
	}
	return NULL;
}

/* Nothing follows the last address; least of all the first. */
static bool wraps(struct iommu_space *s, uint64_t iova, size_t len)
{
	if (!len || iova + (len - 1) >= iova)
		return false;
	s->fault = "the address is not mapped for DMA";
	return true;
}

static int copy(struct iommu_space *s, uint64_t iova, uint8_t *data, size_t len, int prot)
{
	if (wraps(s, iova, len))
		return -EFAULT;
	while (len) {
		uint64_t avail;
		struct iommu_map *m = map_lookup(s, iova, prot, &avail);
		size_t n;

		if (!m)
			return -EFAULT;
		n = len < avail ? len : avail;
		if (prot == PROT_READ)
			memcpy(data, m->base + (iova - m->iova), n);
		else
			memcpy(m->base + (iova - m->iova), data, n);
		if (m->backing->lost) {
			s->fault = "the file behind the guest's memory shrank";
			return -EFAULT;
		}
		data += n;
		iova += n;
		len -= n;
	}
	return 0;
}

int iommu_read(struct iommu_space *s, uint64_t iova, void *data, size_t len)
{
	return copy(s, iova, data, len, PROT_READ);
}

int iommu_write(struct iommu_space *s, uint64_t iova, const void *data, size_t len)
{
	return copy(s, iova, (uint8_t *)data, len, PROT_WRITE);
}

uint8_t *iommu_window_get(struct iommu_window *w, struct iommu_space *s, uint64_t iova, size_t len,
			  int prot)
{
	struct iommu_map *m;
	uint64_t avail;

	if (w->generation == s->generation && w->iova == iova && w->len == len &&
	    (w->prot & prot) == prot)
		return w->ptr;
	m = map_lookup(s, iova, prot, &avail);
	w->generation = s->generation;
	w->iova = iova;
	w->len = len;
	w->prot = m ? m->prot : prot;
	w->ptr = m && avail >= len ? m->base + (iova - m->iova) : NULL;
	return w->ptr;
}

int iommu_pin(struct iommu_space *s, uint64_t iova, size_t len, int prot, struct iommu_seg *segs,
	      size_t max)
{
	size_t n = 0;

	if (wraps(s, iova, len))
		return -EFAULT;
	while (len) {
		uint64_t avail;
		struct iommu_map *m = map_lookup(s, iova, prot, &avail);

		if (!m || n == max) {
			iommu_unpin(segs, n);
			return m ? -E2BIG : -EFAULT;
		}
		m->pins++;
		segs[n].map = m;
		segs[n].base = m->base + (iova - m->iova);
		segs[n].len = len < avail ? len : avail;
		iova += segs[n].len;
		len -= segs[n].len;
		n++;
	}
	return (int)n;
}

void iommu_unpin(struct iommu_seg *segs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct iommu_map *m = segs[i].map;
		struct iommu_space *s = m->space;
		struct iommu_wait *wait;

		if (--m->pins || !(m->leaving || m->gone))
			continue;
		wait = m->wait;
		m->wait = NULL;
		map_remove(m);
		if (s->freed && !s->nmaps)
			space_end(s);
		if (wait) {
			wait->map = NULL;
			wait->done(wait);
		}
	}
}

bool iommu_space_leaving(struct iommu_space *s, struct iommu_stay *stay)
{
	if (s->leaving && (!stay->node.next || list_empty(&stay->node)))
		list_add_tail(&s->stays, &stay->node);
	return s->leaving;
}

void iommu_stay_cancel(struct iommu_stay *stay)
{
	if (stay->node.next)
		list_del(&stay->node);
}

bool iommu_space_lost(struct iommu_space *s)
{
	if (s->losses_seen == backing_losses())
		return s->lost;
	s->losses_seen = backing_losses();
	s->lost = any_lost(s);
	if (s->lost)
		s->fault = "the file behind the guest's memory shrank";
	return s->lost;
}
