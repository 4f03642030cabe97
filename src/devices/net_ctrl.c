/* SPDX-License-Identifier: BSD-3-Clause */
/* The control queue (virtio 1.3, 5.1.6.5) and the receive filter that it sets. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "devices/net.h"

/* The longest command: two full tables. */
#define DATA_MAX (2 * (4 + NET_MAC_TABLE_MAX * 6))

struct command {
	struct virtio_net_ctrl_hdr hdr;
	uint8_t data[DATA_MAX];
	uint64_t len; /* of the data, as sent: may be more than fits */
	const struct virtq_chain *chain;
};

void net_set_mac(struct net *net, const uint8_t *mac)
{
	memcpy(net->config.mac, mac, sizeof(net->config.mac));
	if (!memcmp(net->state->mac, mac, sizeof(net->state->mac)))
		return;
	memcpy(net->state->mac, mac, sizeof(net->state->mac));
	if (net->backend && net->backend->ops->receiver_changed)
		net->backend->ops->receiver_changed(net->backend);
}

/* The next driver finds the address that the function was made with, and a link as it was. */
void net_control_reset(struct net *net)
{
	struct net_state *st = net->state;
	uint8_t mac[6], link_down = st->link_down;

	memcpy(mac, st->mac, sizeof(mac));
	memset(st, 0, sizeof(*st));
	memcpy(st->mac, mac, sizeof(mac));
	st->link_down = link_down;
	st->pairs = 1;
	net->config.status &= (uint16_t)~htole16(VIRTIO_NET_S_ANNOUNCE);
	net_set_mac(net, net->mac);
}

void net_negotiated(struct virtio_device *dev)
{
	net_of(dev)->state->offloads = (uint32_t)dev->state->driver_features & NET_GUEST_OFFLOADS;
}

static uint8_t rx_mode(struct net *net, const struct command *cmd)
{
	uint8_t *modes[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &net->state->promisc,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &net->state->allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &net->state->alluni,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &net->state->nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &net->state->nouni,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &net->state->nobcast,
	};
	unsigned int feature = cmd->hdr.cmd > VIRTIO_NET_CTRL_RX_ALLMULTI
				       ? VIRTIO_NET_F_CTRL_RX_EXTRA
				       : VIRTIO_NET_F_CTRL_RX;

	if (cmd->hdr.cmd >= ARRAY_LEN(modes) || cmd->len < 1 || cmd->data[0] > 1 ||
	    !virtio_device_has(&net->dev, feature))
		return VIRTIO_NET_ERR;
	*modes[cmd->hdr.cmd] = cmd->data[0];
	return VIRTIO_NET_OK;
}

/*
 * One table at offset in the command's data, which may be longer than what was copied. A table too
 * long to keep counts as all addresses. False if the command ends before it does.
 */
static bool read_table(const struct command *cmd, uint64_t *offset, uint8_t (*table)[6],
		       uint16_t *count)
{
	const struct virtq_chain *c = cmd->chain;
	uint64_t at = sizeof(cmd->hdr) + *offset, bytes;
	uint32_t entries;

	if (virtq_copy_out(c->segs, c->nout, at, &entries, sizeof(entries)) < sizeof(entries))
		return false;
	entries = le32toh(entries);
	bytes = (uint64_t)entries * 6;
	if (cmd->len - *offset - sizeof(entries) < bytes)
		return false;
	if (entries <= NET_MAC_TABLE_MAX) {
		virtq_copy_out(c->segs, c->nout, at + sizeof(entries), table, bytes);
		*count = (uint16_t)entries;
	} else {
		*count = NET_MAC_TABLE_MAX + 1;
	}
	*offset += sizeof(entries) + bytes;
	return true;
}

static uint8_t mac_tables(struct net *net, const struct command *cmd)
{
	struct net_state *st = net->state;
	uint8_t unicast[NET_MAC_TABLE_MAX][6], multicast[NET_MAC_TABLE_MAX][6];
	uint16_t nunicast, nmulticast;
	uint64_t offset = 0;

	if (!read_table(cmd, &offset, unicast, &nunicast) ||
	    !read_table(cmd, &offset, multicast, &nmulticast))
		return VIRTIO_NET_ERR;
	st->unicast = nunicast;
	st->multicast = nmulticast;
	if (nunicast <= NET_MAC_TABLE_MAX)
		memcpy(st->unicast_mac, unicast, sizeof(unicast[0]) * nunicast);
	if (nmulticast <= NET_MAC_TABLE_MAX)
		memcpy(st->multicast_mac, multicast, sizeof(multicast[0]) * nmulticast);
	return VIRTIO_NET_OK;
}

static uint8_t mac_command(struct net *net, const struct command *cmd)
{
	if (cmd->hdr.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET &&
	    virtio_device_has(&net->dev, VIRTIO_NET_F_CTRL_RX))
		return mac_tables(net, cmd);
	if (cmd->hdr.cmd != VIRTIO_NET_CTRL_MAC_ADDR_SET || cmd->len < 6 ||
	    !virtio_device_has(&net->dev, VIRTIO_NET_F_CTRL_MAC_ADDR) || (cmd->data[0] & 1))
		return VIRTIO_NET_ERR;
	/* Who may only send from its own address may not choose another. */
	if (!net->trust && memcmp(cmd->data, net->state->mac, 6))
		return VIRTIO_NET_ERR;
	net_set_mac(net, cmd->data);
	return VIRTIO_NET_OK;
}

static uint8_t vlan_command(struct net *net, const struct command *cmd)
{
	uint16_t vlan;

	if (!virtio_device_has(&net->dev, VIRTIO_NET_F_CTRL_VLAN) || cmd->len < sizeof(vlan))
		return VIRTIO_NET_ERR;
	memcpy(&vlan, cmd->data, sizeof(vlan));
	vlan = le16toh(vlan);
	if (vlan > 4095)
		return VIRTIO_NET_ERR;
	if (cmd->hdr.cmd == VIRTIO_NET_CTRL_VLAN_ADD)
		net->state->vlans[vlan / 64] |= 1ull << (vlan % 64);
	else if (cmd->hdr.cmd == VIRTIO_NET_CTRL_VLAN_DEL)
		net->state->vlans[vlan / 64] &= ~(1ull << (vlan % 64));
	else
		return VIRTIO_NET_ERR;
	return VIRTIO_NET_OK;
}

static uint8_t announce_command(struct net *net, const struct command *cmd)
{
	if (cmd->hdr.cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
	    !virtio_device_has(&net->dev, VIRTIO_NET_F_GUEST_ANNOUNCE) || !net->state->announce)
		return VIRTIO_NET_ERR;
	net->state->announce = 0;
	net->config.status &= (uint16_t)~htole16(VIRTIO_NET_S_ANNOUNCE);
	return VIRTIO_NET_OK;
}

static uint8_t mq_command(struct net *net, const struct command *cmd)
{
	uint16_t pairs;

	if (cmd->hdr.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || cmd->len < sizeof(pairs) ||
	    !virtio_device_has(&net->dev, VIRTIO_NET_F_MQ))
		return VIRTIO_NET_ERR;
	memcpy(&pairs, cmd->data, sizeof(pairs));
	pairs = le16toh(pairs);
	if (!pairs || pairs > net->max_pairs)
		return VIRTIO_NET_ERR;
	net->state->pairs = pairs;
	return VIRTIO_NET_OK;
}

static uint8_t offloads_command(struct net *net, const struct command *cmd)
{
	uint64_t offloads;

	if (cmd->hdr.cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || cmd->len < sizeof(offloads) ||
	    !virtio_device_has(&net->dev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
		return VIRTIO_NET_ERR;
	memcpy(&offloads, cmd->data, sizeof(offloads));
	offloads = le64toh(offloads);
	if (offloads & ~(net->dev.state->driver_features & NET_GUEST_OFFLOADS))
		return VIRTIO_NET_ERR;
	net->state->offloads = (uint32_t)offloads;
	if (net->backend && net->backend->ops->receiver_changed)
		net->backend->ops->receiver_changed(net->backend);
	return VIRTIO_NET_OK;
}

uint8_t net_control(struct net *net, const struct virtq_chain *chain)
{
	struct command cmd = { .chain = chain };

	if (virtq_copy_out(chain->segs, chain->nout, 0, &cmd.hdr, sizeof(cmd.hdr)) <
	    sizeof(cmd.hdr))
		return VIRTIO_NET_ERR;
	cmd.len = chain->out_len - sizeof(cmd.hdr);
	virtq_copy_out(chain->segs, chain->nout, sizeof(cmd.hdr), cmd.data, sizeof(cmd.data));
	switch (cmd.hdr.class) {
	case VIRTIO_NET_CTRL_RX:
		return rx_mode(net, &cmd);
	case VIRTIO_NET_CTRL_MAC:
		return mac_command(net, &cmd);
	case VIRTIO_NET_CTRL_VLAN:
		return vlan_command(net, &cmd);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return announce_command(net, &cmd);
	case VIRTIO_NET_CTRL_MQ:
		return mq_command(net, &cmd);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return offloads_command(net, &cmd);
	default:
		return VIRTIO_NET_ERR;
	}
}

static bool in_table(const uint8_t (*table)[6], uint16_t count, const uint8_t *mac)
{
	if (count > NET_MAC_TABLE_MAX)
		return true;
	for (uint16_t i = 0; i < count; i++)
		if (!memcmp(table[i], mac, 6))
			return true;
	return false;
}

static bool vlan_wanted(const struct net *net, const struct net_frame *f)
{
	uint16_t vlan = net_frame_vlan(f);

	/* The table is for tagged frames only. */
	if (!net_frame_tagged(f) || !virtio_device_has(&net->dev, VIRTIO_NET_F_CTRL_VLAN))
		return true;
	return net->state->vlans[vlan / 64] >> (vlan % 64) & 1;
}

bool net_filter(const struct net *net, const struct net_frame *f)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct net_state *st = net->state;
	const uint8_t *mac = net_frame_head(f);

	/* All incoming packets (5.1.6.5.1.1): of all VLANs, too. */
	if (st->promisc)
		return true;
	if (!vlan_wanted(net, f))
		return false;
	/* A driver that can't set a filter has none. */
	if (!virtio_device_has(&net->dev, VIRTIO_NET_F_CTRL_RX))
		return true;
	if (!memcmp(mac, broadcast, 6))
		return !st->nobcast;
	if (mac[0] & 1)
		return !st->nomulti &&
		       (st->allmulti || in_table(st->multicast_mac, st->multicast, mac));
	return !st->nouni && (st->alluni || !memcmp(mac, st->mac, 6) ||
			      in_table(st->unicast_mac, st->unicast, mac));
}
