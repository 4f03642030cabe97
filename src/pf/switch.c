/* SPDX-License-Identifier: BSD-3-Clause */
#include "pf/switch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

/* No VLAN has this number: a function's own address is known in all of them. */
#define ANY_VLAN 0xffff

struct port {
	struct net_backend backend; /* of a function */
	struct list node;
	struct net_switch *sw;
	struct virtio_device *dev; /* NULL: the uplink */
	struct net_backend *tap;   /* of the uplink */
	struct address *own;       /* of a function; NULL if somebody else has it */
	unsigned int learned;
	struct list addresses; /* struct address that were learned, the one seen last at the end */
};

/* Where an address was seen. */
struct address {
	struct list bucket;
	struct list by_age;
	struct port *port;
	uint64_t seen_ns;
	uint16_t vlan;
	uint8_t mac[6];
};

struct net_switch {
	struct loop *loop;
	struct list ports;
	struct port *uplink;
	size_t count;
	struct list buckets[BUCKETS];
};

static struct list *bucket_of(struct net_switch *sw, uint16_t vlan, const uint8_t *mac)
{
	uint32_t hash = 2166136261u ^ vlan; /* FNV-1a */

	for (int i = 0; i < 6; i++)
		hash = (hash ^ mac[i]) * 16777619u;
	return &sw->buckets[hash % BUCKETS];
}

static struct address *address_new(struct port *port, uint16_t vlan, const uint8_t *mac)
{
	struct address *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->port = port;
	a->vlan = vlan;
	memcpy(a->mac, mac, sizeof(a->mac));
	list_init(&a->by_age);
	list_add_tail(bucket_of(port->sw, vlan, mac), &a->bucket);
	port->sw->count++;
	return a;
}

static void forget(struct address *a)
{
	if (a == a->port->own)
		a->port->own = NULL;
	else
		a->port->learned--;
	list_del(&a->bucket);
	list_del(&a->by_age);
	a->port->sw->count--;
	free(a);
}

static bool too_old(const struct address *a, uint64_t now)
{
	return a != a->port->own && now - a->seen_ns > SWITCH_AGE_MS * 1000000ull;
}

static struct address *find(struct net_switch *sw, uint16_t vlan, const uint8_t *mac, uint64_t now)
{
	struct list *bucket = bucket_of(sw, vlan, mac);
	struct address *a, *tmp;

	list_for_each_safe (a, tmp, bucket, bucket) {
		if (a->vlan != vlan || memcmp(a->mac, mac, 6))
			continue;
		if (!too_old(a, now))
			return a;
		forget(a);
		return NULL;
	}
	return NULL;
}

/* The port has room for one more: by what has aged, if not otherwise. */
static bool may_learn(struct port *port, uint64_t now)
{
	unsigned int share = port->dev ? SWITCH_PORT_SHARE : SWITCH_ADDRESSES / 2;
	struct address *a;

	if (port->learned < share && port->sw->count < SWITCH_ADDRESSES)
		return true;
	if (list_empty(&port->addresses))
		return false;
	a = list_first(&port->addresses, struct address, by_age);
	if (!too_old(a, now))
		return false;
	forget(a);
	return true;
}

static void learn(struct port *port, uint16_t vlan, const uint8_t *mac, uint64_t now)
{
	struct net_switch *sw = port->sw;
	struct address *a;

	/* A function's own address needs no learning, and nobody takes it from it. */
	if ((mac[0] & 1) || find(sw, ANY_VLAN, mac, now))
		return;
	a = find(sw, vlan, mac, now);
	/* It is not where it was. */
	if (a && a->port != port) {
		forget(a);
		a = NULL;
	}
	if (!a) {
		if (!may_learn(port, now))
			return;
		a = address_new(port, vlan, mac);
		if (!a)
			return;
		port->learned++;
	}
	a->seen_ns = now;
	list_del(&a->by_age);
	list_add_tail(&port->addresses, &a->by_age);
}

/*
 * What functions call their own is theirs alone, first come, first served; but one that is halted
 * gives its address up to a function that has it, too: that is where its state went.
 */
static void learn_own(struct port *port)
{
	const uint8_t *mac = net_mac(port->dev);
	struct address *a;

	if (port->own && !memcmp(port->own->mac, mac, sizeof(port->own->mac)))
		return;
	if (port->own)
		forget(port->own);
	a = find(port->sw, ANY_VLAN, mac, loop_now_ns());
	if (a && a->port->dev->state->halted) {
		forget(a);
		a = NULL;
	}
	if (!a)
		port->own = address_new(port, ANY_VLAN, mac);
}

static unsigned int port_send(struct port *to, const struct net_frame *f)
{
	return to->dev ? net_receive(to->dev, f) : to->tap->ops->transmit(to->tap, f);
}

static unsigned int flood(struct port *from, const struct net_frame *f)
{
	unsigned int copies = 0;
	struct port *to;

	list_for_each (to, &from->sw->ports, node) {
		if (to == from)
			continue;
		copies += port_send(to, f);
	}
	return copies ? copies : 1;
}

static unsigned int forward(struct port *from, const struct net_frame *f)
{
	const uint8_t *head = net_frame_head(f);
	uint16_t vlan = net_frame_vlan(f);
	uint64_t now = loop_now_ns();
	struct address *a;

	learn(from, vlan, head + 6, now);
	if (head[0] & 1)
		return flood(from, f);
	a = find(from->sw, ANY_VLAN, head, now);
	if (!a)
		a = find(from->sw, vlan, head, now);
	if (!a)
		return flood(from, f);
	return a->port != from ? port_send(a->port, f) : 1;
}

static struct port *port_of(struct net_backend *be)
{
	return container_of(be, struct port, backend);
}

static unsigned int port_transmit(struct net_backend *be, const struct net_frame *f)
{
	return forward(port_of(be), f);
}

static void port_attach(struct net_backend *be, struct virtio_device *dev)
{
	struct port *port = port_of(be);

	port->dev = dev;
	list_add_tail(&port->sw->ports, &port->node);
	learn_own(port);
}

/* A function that may change its address did, perhaps, or another address is free now. */
static void port_receiver_changed(struct net_backend *be)
{
	learn_own(port_of(be));
}

static void port_free(struct port *port)
{
	if (port->own)
		forget(port->own);
	while (!list_empty(&port->addresses))
		forget(list_first(&port->addresses, struct address, by_age));
	list_del(&port->node);
	free(port);
}

static void port_destroy(struct net_backend *be)
{
	port_free(port_of(be));
}

static const struct net_backend_ops port_ops = {
	.transmit = port_transmit,
	.attach = port_attach,
	.receiver_changed = port_receiver_changed,
	.destroy = port_destroy,
};

static struct port *port_new(struct net_switch *sw)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->backend.ops = &port_ops;
	port->sw = sw;
	list_init(&port->node);
	list_init(&port->addresses);
	return port;
}

int net_switch_port(struct net_switch *sw, struct net_backend **be)
{
	struct port *port = port_new(sw);

	if (!port)
		return -ENOMEM;
	*be = &port->backend;
	return 0;
}

static void from_uplink(void *ctx, const struct net_frame *f)
{
	forward(ctx, f);
}

int net_switch_uplink(struct net_switch *sw, int fd)
{
	struct port *port = port_new(sw);
	int err;

	if (!port)
		return -ENOMEM;
	err = tap_new_for(sw->loop, fd, from_uplink, port, &port->tap);
	if (err) {
		free(port);
		return err;
	}
	sw->uplink = port;
	list_add_tail(&sw->ports, &port->node);
	return 0;
}

bool net_switch_has_uplink(const struct net_switch *sw)
{
	return sw->uplink;
}

int net_switch_new(struct loop *loop, struct net_switch **out)
{
	struct net_switch *sw = calloc(1, sizeof(*sw));

	if (!sw)
		return -ENOMEM;
	sw->loop = loop;
	list_init(&sw->ports);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&sw->buckets[i]);
	*out = sw;
	return 0;
}

void net_switch_free(struct net_switch *sw)
{
	if (!sw)
		return;
	if (sw->uplink) {
		sw->uplink->tap->ops->destroy(sw->uplink->tap);
		port_free(sw->uplink);
	}
	free(sw);
}

size_t net_switch_addresses(const struct net_switch *sw)
{
	return sw->count;
}
