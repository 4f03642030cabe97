/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_driver.h"

#include <endian.h>

#define SCRATCH_LEN 70000

/* --- the world --- */

void net_world_init(struct net_world *w, uint16_t vfs)
{
	memset(w, 0, sizeof(*w));
	w->m = machine_new("net", vfs, false);
	pf_driver_init(&w->pf, w->m);
	admin_use_all(&w->pf);
	pf_enable_vfs(&w->pf, vfs);
}

void net_world_fini(struct net_world *w)
{
	pf_driver_fini(&w->pf);
	machine_free(w->m);
}

/* --- the wire --- */

static struct wire *wire_of(struct net_backend *be)
{
	return container_of(be, struct wire, backend);
}

static unsigned int wire_transmit(struct net_backend *be, const struct net_frame *f)
{
	struct wire *w = wire_of(be);
	uint8_t *data;

	if (w->hook)
		w->hook(w->ctx);
	assert_true(w->count < WIRE_FRAMES);
	data = malloc(f->len);
	assert_non_null(data);
	w->sent[w->count].data = data;
	w->sent[w->count].len = f->len;
	w->sent[w->count].hdr = (struct hdr){
		.flags = f->hdr.flags,
		.gso_type = f->hdr.gso_type,
		.hdr_len = le16toh(f->hdr.hdr_len),
		.gso_size = le16toh(f->hdr.gso_size),
		.csum_start = le16toh(f->hdr.csum_start),
		.csum_offset = le16toh(f->hdr.csum_offset),
	};
	w->count++;
	assert_true(f->iov[0].iov_len >= (f->len < NET_HEAD ? f->len : NET_HEAD));
	for (unsigned int i = 0; i < f->niov; i++) {
		memcpy(data, f->iov[i].iov_base, f->iov[i].iov_len);
		data += f->iov[i].iov_len;
	}
	assert_ptr_equal(data, w->sent[w->count - 1].data + f->len);
	return 1;
}

static void wire_attach(struct net_backend *be, struct virtio_device *dev)
{
	wire_of(be)->dev = dev;
}

static void wire_changed(struct net_backend *be)
{
	wire_of(be)->changed++;
}

static void wire_destroy(struct net_backend *be)
{
	wire_clear(wire_of(be));
	wire_of(be)->destroyed = true;
}

void wire_init(struct wire *w)
{
	static const struct net_backend_ops ops = {
		.transmit = wire_transmit,
		.attach = wire_attach,
		.receiver_changed = wire_changed,
		.destroy = wire_destroy,
	};

	memset(w, 0, sizeof(*w));
	w->backend.ops = &ops;
}

void wire_clear(struct wire *w)
{
	while (w->count)
		free(w->sent[--w->count].data);
}

void wire_give_pieces(struct wire *w, const struct hdr *hdr, const void *frame, uint32_t len,
		      uint32_t piece)
{
	struct iovec *iov = calloc(len / piece + 2, sizeof(*iov));
	struct net_frame f = { .iov = iov, .len = len };
	uint32_t at = 0, n = len < NET_HEAD ? len : NET_HEAD;

	assert_non_null(iov);
	if (n < piece)
		n = piece < len ? piece : len;
	/* each in memory of its own, for the sanitizer to see */
	for (; at < len; at += n, n = len - at < piece ? len - at : piece) {
		iov[f.niov].iov_base = malloc(n);
		iov[f.niov].iov_len = n;
		memcpy(iov[f.niov++].iov_base, (const uint8_t *)frame + at, n);
	}
	if (hdr) {
		f.hdr.flags = hdr->flags;
		f.hdr.gso_type = hdr->gso_type;
		f.hdr.hdr_len = htole16(hdr->hdr_len);
		f.hdr.gso_size = htole16(hdr->gso_size);
		f.hdr.csum_start = htole16(hdr->csum_start);
		f.hdr.csum_offset = htole16(hdr->csum_offset);
	}
	net_receive(w->dev, &f);
	for (unsigned int i = 0; i < f.niov; i++)
		free(iov[i].iov_base);
	free(iov);
}

void wire_give(struct wire *w, const struct hdr *hdr, const void *frame, uint32_t len)
{
	wire_give_pieces(w, hdr, frame, len, len);
}

/* --- the driver --- */

void net_test_mac(uint8_t mac[6], uint32_t slot)
{
	static const uint8_t base[6] = { 0x52, 0x54, 0x00, 0x11, 0x22, 0x00 };

	memcpy(mac, base, 6);
	mac[5] = (uint8_t)slot;
}

void net_open(struct net_driver *n, struct net_world *w, uint32_t slot,
	      const struct device_params *params, struct net_backend *be)
{
	static const uint8_t none[6];
	struct device_params p = params ? *params : (struct device_params){ 0 };

	memset(n, 0, sizeof(*n));
	n->w = w;
	n->slot = slot;
	if (!memcmp(p.mac, none, 6))
		net_test_mac(p.mac, slot);
	if (!p.queue_size)
		p.queue_size = NET_RING;
	p.net_backend = be;
	n->member = member_new(w->m, slot, &p);
	driver_init(&n->d, w->m, n->member->pa);
	n->scratch = ram_alloc(&n->d.ram, SCRATCH_LEN, 1);
}

void net_close(struct net_driver *n)
{
	driver_fini(&n->d);
	member_free(n->member);
}

static void add_queue(struct net_driver *n, uint16_t index, struct ring *r, uint16_t vector)
{
	ring_init(r, &n->d.ram, NET_RING);
	driver_queue(&n->d, index, r, vector);
}

void net_start(struct net_driver *n, uint64_t features)
{
	uint16_t max;

	n->features = features | F_VERSION_1;
	assert_true(driver_negotiate(&n->d, n->features));
	driver_bind(&n->d, NET_VECTORS);
	set_common(&n->d, C_CONFIG_MSIX_VECTOR, 2, VEC_CONFIG);
	max = features & N_MQ ? (uint16_t)net_config(n, CFG_MAX_PAIRS, 2) : 1;
	n->header = 12;
	n->pairs = max < NET_TEST_PAIRS ? max : NET_TEST_PAIRS;
	n->ctrl_index = (uint16_t)(2 * max);
	for (uint16_t i = 0; i < n->pairs; i++) {
		add_queue(n, (uint16_t)(2 * i), &n->rx[i], i ? NO_VECTOR : VEC_RX);
		add_queue(n, (uint16_t)(2 * i + 1), &n->tx[i], i ? NO_VECTOR : VEC_TX);
	}
	if (features & N_CTRL_VQ)
		add_queue(n, n->ctrl_index, &n->ctrl, NO_VECTOR);
	driver_ok(&n->d);
}

static void add_legacy_queue(struct net_driver *n, uint16_t index, struct ring *r)
{
	struct pf_driver *pf = &n->w->pf;
	uint64_t at;

	assert_int_equal(legacy_write(pf, n->slot, L_QUEUE_SELECT, 2, index), OK);
	at = ring_init_legacy(r, &n->d.ram, (uint16_t)legacy_get(pf, n->slot, L_QUEUE_SIZE, 2));
	assert_int_equal(legacy_write(pf, n->slot, L_QUEUE_ADDRESS, 4, at >> 12), OK);
}

void net_start_legacy(struct net_driver *n, uint64_t features)
{
	struct pf_driver *pf = &n->w->pf;

	n->features = features;
	n->header = features & N_MRG_RXBUF ? 12 : 10;
	n->pairs = 1;
	n->ctrl_index = 2;
	assert_int_equal(legacy_write(pf, n->slot, L_STATUS, 1, 0), OK);
	assert_int_equal(legacy_write(pf, n->slot, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER), OK);
	assert_int_equal(legacy_write(pf, n->slot, L_DRIVER_FEATURES, 4, features), OK);
	add_legacy_queue(n, 0, &n->rx[0]);
	add_legacy_queue(n, 1, &n->tx[0]);
	if (features & N_CTRL_VQ)
		add_legacy_queue(n, 2, &n->ctrl);
	assert_int_equal(
		legacy_write(pf, n->slot, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK), OK);
}

void net_kick(struct net_driver *n, uint16_t index)
{
	reg_write(&n->d, CAP_NOTIFY, index * n->d.multiplier, 2, index);
}

uint64_t net_post_parts(struct net_driver *n, uint16_t pair, const uint32_t *lens, size_t parts)
{
	struct buf bufs[16];
	uint64_t at;
	uint32_t len = 0;

	assert_true(parts <= 16);
	for (size_t i = 0; i < parts; i++)
		len += lens[i];
	at = ram_alloc(&n->d.ram, len, 1);
	memset(ram_at(&n->d.ram, at), 0xee, len);
	len = 0;
	for (size_t i = 0; i < parts; i++) {
		bufs[i] = (struct buf){ at + len, lens[i], true };
		len += lens[i];
	}
	ring_add(&n->rx[pair], bufs, parts);
	return at;
}

uint64_t net_post(struct net_driver *n, uint16_t pair, uint32_t len)
{
	return net_post_parts(n, pair, &len, 1);
}

void received_init(struct received *r)
{
	memset(r, 0, sizeof(*r));
	r->data = malloc(FRAME_MAX);
	assert_non_null(r->data);
}

void received_fini(struct received *r)
{
	free(r->data);
}

/* Copies out the first bytes of a chain that was used. */
static void take_used(struct net_driver *n, struct ring *ring, uint32_t id, uint32_t len,
		      uint8_t *to)
{
	struct desc d = { .flags = DESC_NEXT, .next = (uint16_t)id };

	while (len) {
		uint32_t bytes;

		assert_true(d.flags & DESC_NEXT);
		memcpy(&d, ram_at(&n->d.ram, ring->desc + sizeof(d) * (uint64_t)d.next), sizeof(d));
		bytes = len < d.len ? len : d.len;
		memcpy(to, ram_at(&n->d.ram, d.addr), bytes);
		to += bytes;
		len -= bytes;
	}
}

bool net_recv(struct net_driver *n, uint16_t pair, struct received *r)
{
	machine_settle(n->w->m);
	return net_take(n, pair, r);
}

bool net_take(struct net_driver *n, uint16_t pair, struct received *r)
{
	uint8_t all[FRAME_MAX];
	uint32_t id, len, at;

	if (!ring_used(&n->rx[pair], &id, &len))
		return false;
	assert_true(len >= n->header);
	take_used(n, &n->rx[pair], id, len, all);
	memset(&r->hdr, 0, sizeof(r->hdr));
	memcpy(&r->hdr, all, n->header);
	r->buffers = 1;
	r->used[0] = len;
	at = len;
	/* All of them are there at once (5.1.6.4.1). */
	while (n->features & N_MRG_RXBUF && r->buffers < r->hdr.num_buffers) {
		assert_true(ring_used(&n->rx[pair], &id, &len));
		assert_true(at + len <= sizeof(all));
		take_used(n, &n->rx[pair], id, len, all + at);
		assert_true(r->buffers < 64);
		r->used[r->buffers++] = len;
		at += len;
	}
	r->len = at - n->header;
	memcpy(r->data, all + n->header, r->len);
	return true;
}

uint16_t net_send_parts(struct net_driver *n, const struct hdr *hdr, const void *frame,
			uint32_t len, const uint32_t *lens, size_t parts)
{
	struct hdr none = { 0 };
	struct buf bufs[32];
	uint32_t at = 0, all = n->header + len;
	uint8_t *to = ram_at(&n->d.ram, n->scratch);

	assert_true(all <= SCRATCH_LEN && parts < 32);
	memcpy(to, hdr ? hdr : &none, n->header);
	memcpy(to + n->header, frame, len);
	for (size_t i = 0; i < parts; i++) {
		bufs[i] = (struct buf){ n->scratch + at, lens[i], false };
		at += lens[i];
	}
	if (at < all)
		bufs[parts++] = (struct buf){ n->scratch + at, all - at, false };
	return ring_add(&n->tx[0], bufs, parts);
}

void net_send_on(struct net_driver *n, uint16_t pair, const struct hdr *hdr, const void *frame,
		 uint32_t len)
{
	struct hdr none = { 0 };
	uint8_t *to = ram_at(&n->d.ram, n->scratch);
	uint32_t used;
	uint16_t head;

	assert_true(n->header + len <= SCRATCH_LEN);
	memcpy(to, hdr ? hdr : &none, n->header);
	memcpy(to + n->header, frame, len);
	head = ring_add(&n->tx[pair], &(struct buf){ n->scratch, n->header + len, false }, 1);
	net_kick(n, (uint16_t)(2 * pair + 1));
	assert_int_equal(driver_used(&n->d, &n->tx[pair], &used), head);
	assert_int_equal(used, 0);
}

void net_send(struct net_driver *n, const struct hdr *hdr, const void *frame, uint32_t len)
{
	net_send_on(n, 0, hdr, frame, len);
}

uint8_t net_ctrl(struct net_driver *n, uint8_t class, uint8_t cmd, const void *data, size_t len)
{
	uint8_t *to = ram_at(&n->d.ram, n->scratch);
	struct buf bufs[3] = {
		{ n->scratch, 2, false },
		{ n->scratch + 16, (uint32_t)len, false },
		{ n->scratch + 8, 1, true },
	};
	uint32_t used;
	uint16_t head;

	to[0] = class;
	to[1] = cmd;
	to[8] = CTRL_NO_ACK;
	if (len)
		memcpy(to + 16, data, len);
	else
		bufs[1] = bufs[2];
	head = ring_add(&n->ctrl, bufs, len ? 3 : 2);
	net_kick(n, n->ctrl_index);
	assert_int_equal(driver_used(&n->d, &n->ctrl, &used), head);
	assert_int_equal(used, 1);
	return to[8];
}

uint8_t net_ctrl8(struct net_driver *n, uint8_t class, uint8_t cmd, uint8_t value)
{
	return net_ctrl(n, class, cmd, &value, 1);
}

uint8_t net_ctrl16(struct net_driver *n, uint8_t class, uint8_t cmd, uint16_t value)
{
	return net_ctrl(n, class, cmd, &value, 2);
}

uint64_t net_counter(const struct net_driver *n, enum counter counter)
{
	return n->member->counters.value[counter];
}

uint32_t net_config(struct net_driver *n, uint32_t at, uint8_t len)
{
	return (uint32_t)reg_read(&n->d, CAP_DEVICE, at, len);
}

struct hdr hdr_csum(const struct frame_info *info)
{
	return (struct hdr){
		.flags = HDR_NEEDS_CSUM,
		.csum_start = (uint16_t)info->l4,
		.csum_offset = frame_csum_offset(info),
	};
}

struct hdr hdr_tso(const struct frame_info *info, uint16_t mss)
{
	struct hdr hdr = hdr_csum(info);

	hdr.gso_type = info->v6 ? GSO_TCPV6 : GSO_TCPV4;
	hdr.gso_size = mss;
	hdr.hdr_len = (uint16_t)info->payload;
	return hdr;
}
