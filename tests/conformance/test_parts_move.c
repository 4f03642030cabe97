/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function whose state goes into another while its driver works (virtio 1.4, 2.12.1.4): the
 * driver keeps its rings, and finds nothing changed. Entropy functions, for every kind of ring.
 */
#include "packed_ring.h"
#include "parts.h"
#include "random.h"

#define VFS     3
#define RING    16
#define LEN     32 /* of a buffer */
#define F_ORDER (1ull << 35)

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf[VFS];
	struct driver d; /* d.pa is the function that the driver has now */
	uint32_t at;     /* its member id */
	uint64_t features;
	struct ring split;
	struct packed_ring packed;
	struct {
		uint64_t address;
		uint32_t len;
		bool busy;
	} buf[RING];
	uint16_t posted;
	uint16_t order[RING]; /* in which buffers were posted, for VIRTIO_F_IN_ORDER */
	uint16_t first;
	uint64_t seed;
	struct parts parts;
	struct parts again;
};

static int setup(void **state)
{
	struct device_params params = { .packed = true, .queue_size = RING };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = parts_machine("rng", VFS, &f->pf);
	for (uint32_t i = 0; i < VFS; i++) {
		f->vf[i] = member_new(f->m, i + 1, &params);
		parts_objects(&f->pf, i + 1);
	}
	f->at = 1;
	driver_init(&f->d, f->m, f->vf[0]->pa);
	for (uint16_t i = 0; i < RING; i++)
		f->buf[i].address = ram_alloc(&f->d.ram, LEN, 8);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->d);
	for (int i = 0; i < VFS; i++)
		member_free(f->vf[i]);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

static unsigned int below(struct fixture *f, unsigned int n)
{
	return (unsigned int)random_below(&f->seed, n);
}

static void start(struct fixture *f, uint64_t features)
{
	f->features = features;
	if (features & F_RING_PACKED) {
		/* driver_start() is for split rings: the addresses are what differs */
		struct ring ring = { .size = RING };

		assert_true(driver_negotiate(&f->d, F_VERSION_1 | features));
		driver_bind(&f->d, 2);
		packed_ring_init(&f->packed, &f->d.ram, RING);
		ring.desc = f->packed.desc;
		ring.avail = f->packed.driver;
		ring.used = f->packed.device;
		driver_queue(&f->d, 0, &ring, 0);
		driver_ok(&f->d);
	} else {
		driver_start(&f->d, features, &f->split, RING);
	}
}

/* --- buffers --- */

static void add_split(struct fixture *f, uint16_t id, const struct buf *bufs, size_t n, bool table)
{
	/* Descriptor id is the buffer's own; two pieces are in a table. */
	if (table) {
		uint64_t at = ram_alloc(&f->d.ram, 32, 16);

		for (uint16_t i = 0; i < n; i++)
			ram_desc(&f->d.ram, at, i,
				 (struct desc){
					 bufs[i].addr, bufs[i].len,
					 (uint16_t)(DESC_WRITE | (i + 1u < n ? DESC_NEXT : 0)),
					 (uint16_t)(i + 1) });
		ring_desc(&f->split, id, (struct desc){ at, (uint32_t)n * 16, DESC_INDIRECT, 0 });
	} else {
		ring_desc(&f->split, id, (struct desc){ bufs[0].addr, bufs[0].len, DESC_WRITE, 0 });
	}
	ring_avail(&f->split, id);
}

/* Posts a free buffer; in one piece, or two in an indirect table. */
static void post(struct fixture *f)
{
	struct buf bufs[2];
	bool table = (f->features & F_INDIRECT_DESC) && below(f, 2);
	uint16_t id = (uint16_t)below(f, RING);
	size_t n = table ? 2 : 1;

	if (f->posted == RING)
		return;
	while (f->buf[id].busy)
		id = (uint16_t)((id + 1) % RING);
	f->buf[id].busy = true;
	f->buf[id].len = 2 + below(f, LEN - 1);
	memset(ram_at(&f->d.ram, f->buf[id].address), 0, LEN);
	bufs[0] = (struct buf){ f->buf[id].address, f->buf[id].len, true };
	if (table) {
		bufs[0].len = f->buf[id].len / 2;
		bufs[1] = (struct buf){ f->buf[id].address + bufs[0].len,
					f->buf[id].len - bufs[0].len, true };
	}
	f->order[(f->first + f->posted++) % RING] = id;
	if (!(f->features & F_RING_PACKED))
		add_split(f, id, bufs, n, table);
	else if (table)
		packed_add_indirect(&f->packed, id, bufs, n);
	else
		packed_add(&f->packed, id, bufs, n);
}

static void kick(struct fixture *f)
{
	driver_kick(&f->d, 0);
}

/* The next used buffer. */
static bool next_used(struct fixture *f, uint32_t *id, uint32_t *len)
{
	struct packed_desc used;

	if (!(f->features & F_RING_PACKED))
		return ring_used(&f->split, id, len);
	if (!packed_used(&f->packed, &used))
		return false;
	*id = used.id;
	*len = used.len;
	return true;
}

/* Looks at what was used: each buffer once, filled, and in order where that was agreed on. */
static void reap(struct fixture *f)
{
	uint32_t id, len;

	machine_settle(f->m);
	while (next_used(f, &id, &len)) {
		assert_true(id < RING && f->buf[id].busy);
		assert_int_equal(len, f->buf[id].len);
		if (f->features & F_ORDER)
			assert_int_equal(id, f->order[f->first]);
		f->buf[id].busy = false;
		f->posted--;
		f->first = (uint16_t)((f->first + 1) % RING);
	}
}

static void reap_all(struct fixture *f)
{
	reap(f);
	machine_wait(f->m, (reap(f), f->posted == 0));
	f->first = 0;
}

/* --- moving --- */

static void mode(struct fixture *f, uint32_t member, uint8_t flags)
{
	assert_int_equal(admin_mode(&f->pf, member, flags), OK);
}

/* The driver finds itself with another function: as a VMM would set it up before it is resumed. */
static void take_over(struct fixture *f, uint32_t to)
{
	struct pci_access *from = f->d.pa, *pa = f->vf[to - 1]->pa;

	for (uint16_t i = 0; i < 2; i++)
		from->ops->irq_bind(from, i, -1);
	from->ops->dma_unmap_all(from);
	f->d.pa = pa;
	assert_int_equal(
		pa->ops->dma_map(pa, 0xffffffff, DRIVER_IOVA, DRIVER_RAM, f->d.ram.fd, 0, 3), 0);
	cfg_write(&f->d, 4, 2, 6);
	driver_bind(&f->d, 2);
	f->at = to;
}

static void move(struct fixture *f)
{
	uint32_t from = f->at, to = from % VFS + 1;
	struct pci_access *pa = f->vf[from - 1]->pa;

	mode(f, from, MODE_STOPPED);
	reap(f); /* what was observed is written back: nothing comes any more */
	if (below(f, 2)) {
		post(f); /* a driver does not know that its device has stopped */
		kick(f);
	}
	parts_save(&f->pf, from, &f->parts);
	mode(f, to, MODE_STOPPED);
	assert_int_equal(parts_load(&f->pf, to, &f->parts), OK);
	parts_save(&f->pf, to, &f->again);
	assert_true(parts_equal(&f->parts, &f->again));
	take_over(f, to);
	mode(f, to, 0);
	assert_int_equal(pa->ops->reset(pa, NULL), 0);
}

/* A driver that posts, kicks and reaps, and whose function is another every now and then. */
static void live(struct fixture *f, uint64_t features, uint64_t seed)
{
	f->seed = seed;
	start(f, features);
	for (int i = 0; i < 400; i++) {
		switch (below(f, 8)) {
		case 0:
			move(f);
			break;
		case 1:
		case 2:
			reap(f);
			break;
		default:
			post(f);
			if (below(f, 3))
				kick(f);
		}
		if (f->d.ram.used > DRIVER_RAM - 0x10000)
			f->d.ram.used = 0x100000; /* tables that were used long ago */
	}
	kick(f);
	reap_all(f);
}

static void test_split(void **state)
{
	live(*state, 0, 1);
}

static void test_split_event_idx(void **state)
{
	live(*state, F_EVENT_IDX, 2);
}

static void test_split_indirect_in_order(void **state)
{
	live(*state, F_INDIRECT_DESC | F_ORDER, 3);
}

static void test_split_all(void **state)
{
	live(*state, F_INDIRECT_DESC | F_ORDER | F_EVENT_IDX, 4);
}

static void test_packed(void **state)
{
	live(*state, F_RING_PACKED, 5);
}

static void test_packed_event_idx(void **state)
{
	live(*state, F_RING_PACKED | F_EVENT_IDX, 6);
}

static void test_packed_indirect_in_order(void **state)
{
	live(*state, F_RING_PACKED | F_INDIRECT_DESC | F_ORDER, 7);
}

static void test_packed_all(void **state)
{
	live(*state, F_RING_PACKED | F_INDIRECT_DESC | F_ORDER | F_EVENT_IDX, 8);
}

/* Indexes wrap, in both kinds of rings. */
static void test_places_that_wrap(void **state)
{
	struct fixture *f = *state;

	for (int packed = 0; packed < 2; packed++) {
		f->seed = 9;
		start(f, packed ? F_RING_PACKED : 0);
		for (int i = 0; i < 9 * RING; i++) {
			for (unsigned int n = below(f, 5); n; n--)
				post(f);
			kick(f);
			reap_all(f);
			if (i % RING == 0)
				move(f);
		}
		kick(f);
		reap_all(f);
	}
}

/* f->again is f->parts as another maker would have it: without parts of ours. */
static void common_parts(struct fixture *f)
{
	f->again.len = 0;
	for (uint32_t at = 0; at < f->parts.len;) {
		struct part_hdr *hdr = (struct part_hdr *)(f->parts.data + at);

		if (hdr->type < 0x200)
			part_put(&f->again, hdr->type, hdr->flags, hdr->selector, hdr + 1,
				 hdr->len);
		at += 16 + hdr->len;
	}
}

/* Then a split ring says itself where it goes on. */
static void test_a_stream_with_the_common_parts_alone(void **state)
{
	struct fixture *f = *state;

	f->seed = 10;
	start(f, F_EVENT_IDX);
	for (int i = 0; i < 37; i++) {
		post(f);
		kick(f);
		reap(f);
	}
	post(f);
	mode(f, 1, MODE_STOPPED);
	parts_save(&f->pf, 1, &f->parts);
	common_parts(f);
	mode(f, 2, MODE_STOPPED);
	assert_int_equal(parts_load(&f->pf, 2, &f->again), OK);
	take_over(f, 2);
	mode(f, 2, 0);
	reap_all(f);
	post(f);
	kick(f);
	reap_all(f);
}

/* PRE_COPY and STOP_COPY: two whole records, and the last one counts. */
static void test_two_records(void **state)
{
	struct fixture *f = *state;

	f->seed = 11;
	start(f, F_RING_PACKED);
	post(f);
	kick(f);
	reap_all(f);
	parts_save(&f->pf, 1, &f->parts); /* running */
	for (int i = 0; i < 21; i++) {
		post(f);
		kick(f);
		reap_all(f);
	}
	mode(f, 1, MODE_STOPPED);
	parts_save(&f->pf, 1, &f->again);
	assert_false(parts_equal(&f->parts, &f->again));
	mode(f, 2, MODE_STOPPED);
	assert_int_equal(parts_load(&f->pf, 2, &f->parts), OK);
	assert_int_equal(parts_load(&f->pf, 2, &f->again), OK);
	take_over(f, 2);
	mode(f, 2, 0);
	post(f);
	kick(f);
	reap_all(f);
}

/* An interrupt that was due and could not be sent moves too. */
static void test_an_interrupt_that_is_pending(void **state)
{
	struct fixture *f = *state;
	uint32_t masked = 1;

	f->seed = 12;
	start(f, 0);
	f->d.pa->ops->bar_write(f->d.pa, 4, 12, &masked, 4);
	post(f);
	kick(f);
	reap_all(f);
	driver_events(&f->d, 0);
	mode(f, 1, MODE_STOPPED);
	parts_save(&f->pf, 1, &f->parts);
	mode(f, 2, MODE_STOPPED);
	assert_int_equal(parts_load(&f->pf, 2, &f->parts), OK);
	take_over(f, 2); /* its vectors are not masked */
	assert_int_equal(driver_events(&f->d, 0), 0);
	mode(f, 2, 0);
	assert_int_equal(driver_events(&f->d, 0), 1);
}

/* A device that its driver broke is as broken where it came to, until it is reset there. */
static void broken_device_moves(struct fixture *f, bool ours)
{
	start(f, 0);
	ring_set_avail_idx(&f->split, 1000);
	kick(f);
	machine_settle(f->m);
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	mode(f, 1, MODE_STOPPED);
	parts_save(&f->pf, 1, &f->parts);
	common_parts(f);
	mode(f, 2, MODE_STOPPED);
	assert_int_equal(parts_load(&f->pf, 2, ours ? &f->parts : &f->again), OK);
	take_over(f, 2);
	/* a ring that is in order again does not make it whole */
	ring_set_avail_idx(&f->split, 0);
	mode(f, 2, 0);
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	f->seed = 13;
	post(f);
	kick(f);
	machine_settle(f->m);
	assert_int_equal(ring_used_idx(&f->split), 0);
	f->posted = 0;
	for (int i = 0; i < RING; i++)
		f->buf[i].busy = false;
	start(f, 0);
	post(f);
	kick(f);
	reap_all(f);
}

static void test_a_broken_device(void **state)
{
	broken_device_moves(*state, true);
}

static void test_a_broken_device_with_the_common_parts_alone(void **state)
{
	broken_device_moves(*state, false);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_split),
		TEST(test_split_event_idx),
		TEST(test_split_indirect_in_order),
		TEST(test_split_all),
		TEST(test_packed),
		TEST(test_packed_event_idx),
		TEST(test_packed_indirect_in_order),
		TEST(test_packed_all),
		TEST(test_places_that_wrap),
		TEST(test_a_stream_with_the_common_parts_alone),
		TEST(test_two_records),
		TEST(test_an_interrupt_that_is_pending),
		TEST(test_a_broken_device),
		TEST(test_a_broken_device_with_the_common_parts_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
