/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device parts of a net function (virtio 1.4, 5.1.5): one for each thing that a driver sets by a
 * command of the control queue, in the format of that command's data; and one of ours for what
 * these can't say.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "devices/net.h"
#include "virtio/parts.h"

/* VIRTIO_NET_CTRL_VLAN_ADD is the whole table: a bit for each VLAN. */
#define VLANS_LEN (4096 / 8)

/* struct virtio_net_ctrl_mac: a count, and addresses. */
#define TABLE_LEN(n) (4u + 6u * (n))
#define TABLES_MAX   (2 * TABLE_LEN(NET_MAC_TABLE_MAX))

struct part_own {
	uint32_t offloads; /* VIRTIO_NET_F_GUEST_* bits in use */
	uint8_t announce;
	uint8_t flags;
	uint8_t reserved[2];
} __attribute__((packed));

#define OWN_ALL_UNICAST   0x1 /* more addresses than the table holds: all of them */
#define OWN_ALL_MULTICAST 0x2

/* What is staged: state, and which of it. */
struct staged {
	struct net_state state;
	bool all_unicast;
	bool all_multicast;
	uint32_t seen; /* enum seen */
};

enum seen {
	SEEN_RX = 0, /* and the five commands that follow */
	SEEN_TABLES = 6,
	SEEN_MAC,
	SEEN_VLANS,
	SEEN_PAIRS,
	SEEN_OWN,
};

static_assert(sizeof(struct staged) <= VIRTIO_PARTS_STAGED_LEN, "staged net parts");

static uint8_t *rx_mode(struct net_state *st, uint8_t cmd)
{
	uint8_t *modes[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &st->promisc,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &st->allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &st->alluni,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &st->nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &st->nouni,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &st->nobcast,
	};

	return cmd < ARRAY_LEN(modes) ? modes[cmd] : NULL;
}

/* --- getting --- */

static void emit(const struct virtio_part_out *out, uint8_t class, uint8_t cmd, const void *value,
		 uint32_t len)
{
	uint8_t selector[8] = { class, cmd };

	virtio_part_emit(out, VIRTIO_PART_NET_CVQ_CFG, 0, selector, value, len);
}

/* A table that ran over has no entries here: our own part says so. */
static size_t put_table(uint8_t *data, const uint8_t (*table)[6], uint16_t entries)
{
	uint32_t n = entries <= NET_MAC_TABLE_MAX ? entries : 0, count = htole32(n);

	memcpy(data, &count, sizeof(count));
	memcpy(data + sizeof(count), table, n * 6);
	return TABLE_LEN(n);
}

static void emit_tables(const struct virtio_part_out *out, const struct net_state *st)
{
	uint8_t data[TABLES_MAX];
	size_t len = put_table(data, st->unicast_mac, st->unicast);
	struct virtio_part part = {
		.type = VIRTIO_PART_NET_CVQ_CFG,
		.selector = { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET },
		.value = data,
		.len_max = TABLES_MAX,
	};

	len += put_table(data + len, st->multicast_mac, st->multicast);
	part.len = (uint32_t)len;
	out->fn(out->ctx, &part);
}

static void emit_vlans(const struct virtio_part_out *out, const struct net_state *st)
{
	uint64_t vlans[VLANS_LEN / sizeof(uint64_t)];

	for (size_t i = 0; i < VLANS_LEN / sizeof(uint64_t); i++)
		vlans[i] = htole64(st->vlans[i]);
	emit(out, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, vlans, sizeof(vlans));
}

void net_parts(struct virtio_device *dev, const struct virtio_part_out *out)
{
	struct net *net = net_of(dev);
	struct net_state *st = net->state;
	uint16_t pairs = htole16(st->pairs);
	struct part_own own = {
		.offloads = htole32(st->offloads),
		.announce = st->announce,
		.flags = (uint8_t)((st->unicast > NET_MAC_TABLE_MAX ? OWN_ALL_UNICAST : 0) |
				   (st->multicast > NET_MAC_TABLE_MAX ? OWN_ALL_MULTICAST : 0)),
	};

	for (uint8_t cmd = 0; rx_mode(st, cmd); cmd++)
		emit(out, VIRTIO_NET_CTRL_RX, cmd, rx_mode(st, cmd), 1);
	emit_tables(out, st);
	emit(out, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, st->mac, sizeof(st->mac));
	emit_vlans(out, st);
	if (net->max_pairs > 1)
		emit(out, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs,
		     sizeof(pairs));
	virtio_part_emit(out, VIRTIO_PART_RIDGE_NET, VIRTIO_PART_F_OPTIONAL, NULL, &own,
			 sizeof(own));
}

/* --- setting --- */

static bool see(struct staged *s, enum seen what)
{
	bool first = !(s->seen >> what & 1);

	s->seen |= 1u << what;
	return first;
}

static int stage_rx(struct staged *s, const struct virtio_part *part)
{
	uint8_t cmd = part->selector[1], *mode = rx_mode(&s->state, cmd);

	if (!mode)
		return -ENOENT;
	if (part->len != 1 || !see(s, SEEN_RX + cmd))
		return -EINVAL;
	*mode = *(const uint8_t *)part->value;
	return *mode <= 1 ? 0 : -EINVAL;
}

/* One table; *at is where it ends. */
static bool get_table(const struct virtio_part *part, size_t *at, uint8_t (*table)[6],
		      uint16_t *entries)
{
	const uint8_t *data = part->value;
	uint32_t count;

	if (part->len - *at < sizeof(count))
		return false;
	memcpy(&count, data + *at, sizeof(count));
	*at += sizeof(count);
	count = le32toh(count);
	if (count > NET_MAC_TABLE_MAX || (part->len - *at) / 6 < count)
		return false;
	memcpy(table, data + *at, count * 6);
	*at += count * 6;
	*entries = (uint16_t)count;
	return true;
}

static int stage_tables(struct staged *s, const struct virtio_part *part)
{
	struct net_state *st = &s->state;
	size_t at = 0;

	if (!see(s, SEEN_TABLES) || !get_table(part, &at, st->unicast_mac, &st->unicast) ||
	    !get_table(part, &at, st->multicast_mac, &st->multicast))
		return -EINVAL;
	return at == part->len ? 0 : -EINVAL;
}

/* Who may only send from its own address doesn't get another with its state. */
static int stage_mac(const struct net *net, struct staged *s, const struct virtio_part *part)
{
	uint8_t *mac = s->state.mac;

	if (part->len != sizeof(s->state.mac) || !see(s, SEEN_MAC))
		return -EINVAL;
	memcpy(mac, part->value, sizeof(s->state.mac));
	if (!net->restore_mac && memcmp(mac, net->mac, sizeof(net->mac)))
		return -EINVAL;
	return mac[0] & 1 ? -EINVAL : 0;
}

static int stage_vlans(struct staged *s, const struct virtio_part *part)
{
	if (part->len != VLANS_LEN || !see(s, SEEN_VLANS))
		return -EINVAL;
	memcpy(s->state.vlans, part->value, VLANS_LEN);
	for (size_t i = 0; i < VLANS_LEN / sizeof(uint64_t); i++)
		s->state.vlans[i] = le64toh(s->state.vlans[i]);
	return 0;
}

static int stage_pairs(struct net *net, struct staged *s, const struct virtio_part *part)
{
	uint16_t pairs;

	if (part->len != sizeof(pairs) || !see(s, SEEN_PAIRS))
		return -EINVAL;
	memcpy(&pairs, part->value, sizeof(pairs));
	s->state.pairs = le16toh(pairs);
	return s->state.pairs && s->state.pairs <= net->max_pairs ? 0 : -EINVAL;
}

static int stage_own(struct staged *s, const struct virtio_part *part)
{
	struct part_own own;

	if (part->len != sizeof(own) || !see(s, SEEN_OWN))
		return -EINVAL;
	memcpy(&own, part->value, sizeof(own));
	if ((own.flags & ~(OWN_ALL_UNICAST | OWN_ALL_MULTICAST)) || own.announce > 1 ||
	    (le32toh(own.offloads) & ~NET_GUEST_OFFLOADS))
		return -EINVAL;
	s->state.offloads = le32toh(own.offloads);
	s->state.announce = own.announce;
	s->all_unicast = own.flags & OWN_ALL_UNICAST;
	s->all_multicast = own.flags & OWN_ALL_MULTICAST;
	return 0;
}

int net_part_stage(struct virtio_device *dev, void *staged, const struct virtio_part *part)
{
	struct staged *s = staged;

	if (part->type == VIRTIO_PART_RIDGE_NET)
		return stage_own(s, part);
	if (part->type != VIRTIO_PART_NET_CVQ_CFG)
		return -ENOENT;
	switch (part->selector[0] << 8 | part->selector[1]) {
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return stage_tables(s, part);
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_ADDR_SET:
		return stage_mac(net_of(dev), s, part);
	case VIRTIO_NET_CTRL_VLAN << 8 | VIRTIO_NET_CTRL_VLAN_ADD:
		return stage_vlans(s, part);
	case VIRTIO_NET_CTRL_MQ << 8 | VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET:
		return stage_pairs(net_of(dev), s, part);
	default:
		return part->selector[0] == VIRTIO_NET_CTRL_RX ? stage_rx(s, part) : -ENOENT;
	}
}

static bool seen(const struct staged *s, enum seen what)
{
	return s->seen >> what & 1;
}

static void apply_tables(struct net_state *st, const struct staged *s)
{
	if (seen(s, SEEN_TABLES)) {
		st->unicast = s->state.unicast;
		st->multicast = s->state.multicast;
		memcpy(st->unicast_mac, s->state.unicast_mac, sizeof(st->unicast_mac));
		memcpy(st->multicast_mac, s->state.multicast_mac, sizeof(st->multicast_mac));
	}
	if (s->all_unicast)
		st->unicast = NET_MAC_TABLE_MAX + 1;
	if (s->all_multicast)
		st->multicast = NET_MAC_TABLE_MAX + 1;
}

static void apply_own(struct net *net, const struct staged *s)
{
	struct net_state *st = net->state;

	st->offloads = s->state.offloads & (uint32_t)net->dev.state->driver_features;
	st->announce = s->state.announce;
	net->config.status &= (uint16_t)~htole16(VIRTIO_NET_S_ANNOUNCE);
	if (st->announce)
		net->config.status |= htole16(VIRTIO_NET_S_ANNOUNCE);
}

void net_parts_apply(struct virtio_device *dev, const void *staged)
{
	struct net *net = net_of(dev);
	struct net_state *st = net->state;
	struct staged s;

	memcpy(&s, staged, sizeof(s));
	for (uint8_t cmd = 0; rx_mode(st, cmd); cmd++)
		if (seen(&s, SEEN_RX + cmd))
			*rx_mode(st, cmd) = *rx_mode(&s.state, cmd);
	apply_tables(st, &s);
	if (seen(&s, SEEN_VLANS))
		memcpy(st->vlans, s.state.vlans, sizeof(st->vlans));
	if (seen(&s, SEEN_PAIRS))
		st->pairs = s.state.pairs;
	if (seen(&s, SEEN_OWN))
		apply_own(net, &s);
	if (seen(&s, SEEN_MAC))
		net_set_mac(net, s.state.mac);
	if (net->backend && net->backend->ops->receiver_changed)
		net->backend->ops->receiver_changed(net->backend);
}
