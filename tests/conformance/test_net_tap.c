/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices/tap.c and the switch's uplink, with TAPs in a network namespace of the test's own. What
 * the kernel has on the other side is looked at through a packet socket.
 */
#include "net_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pf/switch.h"

#define SKIP_GROUP 77

/* A TAP: our end, a packet socket on the kernel's, and its index. */
struct tap_pair {
	int tap;
	int packet;
	int index;
};

struct tap_fixture {
	struct net_world w;
	struct net_switch *sw; /* of the tests that have one */
	struct tap_pair tap;
	struct net_driver n[2];
	unsigned int open;
	struct received r;
	uint8_t frame[FRAME_MAX];
	uint8_t got[FRAME_MAX];
	struct frame_info info;
	uint32_t len;
};

/* Nothing of the machine's network is touched. */
static int enter_namespace(void)
{
	return unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0 ? -1 : 0;
}

static void no_ipv6(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	assert_true(write(fd, "1", 1) == 1 || errno == EROFS);
	close(fd);
}

static void tap_pair_open(struct tap_pair *t)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
	};
	int one = 1;

	t->tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	assert_true(t->tap >= 0);
	assert_int_equal(ioctl(t->tap, TUNSETIFF, &ifr), 0);
	no_ipv6(ifr.ifr_name);
	t->packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	assert_true(t->packet >= 0);
	/* with the header that tells of offloads, as a guest's */
	assert_int_equal(setsockopt(t->packet, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	assert_int_equal(ioctl(t->packet, SIOCGIFINDEX, &ifr), 0);
	t->index = ifr.ifr_ifindex;
	to.sll_ifindex = t->index;
	ifr.ifr_flags = IFF_UP | IFF_PROMISC;
	assert_int_equal(ioctl(t->packet, SIOCSIFFLAGS, &ifr), 0);
	assert_int_equal(bind(t->packet, (struct sockaddr *)&to, sizeof(to)), 0);
}

static void tap_pair_close(struct tap_pair *t)
{
	close(t->packet);
}

/* From the kernel to us. */
static void kernel_sends(struct tap_fixture *f, const struct hdr *hdr)
{
	struct hdr none = { 0 };
	struct iovec iov[2] = { { (void *)(hdr ? hdr : &none), 10 }, { f->frame, f->len } };

	assert_int_equal(writev(f->tap.packet, iov, 2), 10 + f->len);
}

/* The next frame of ours that the kernel received; its length, or 0. */
static uint32_t kernel_got(struct tap_fixture *f, struct hdr *hdr)
{
	struct sockaddr_ll from;
	struct iovec iov[2] = { { hdr, 10 }, { f->got, sizeof(f->got) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2, .msg_name = &from };

	for (int i = 0; i < 20; i++) {
		ssize_t n;

		machine_settle(f->w.m);
		msg.msg_namelen = sizeof(from);
		n = recvmsg(f->tap.packet, &msg, 0);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			return 0;
		}
		/* what it sends is shown here as well */
		if (from.sll_pkttype != PACKET_OUTGOING)
			return (uint32_t)n - 10;
	}
	return 0;
}

static struct tap_fixture *fixture(void)
{
	struct tap_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	net_world_init(&f->w, 2);
	tap_pair_open(&f->tap);
	received_init(&f->r);
	return f;
}

static void open_function(struct tap_fixture *f, struct net_backend *be, uint64_t features)
{
	struct net_driver *n = &f->n[f->open];

	net_open(n, &f->w, ++f->open, NULL, be);
	net_start(n, N_MAC | N_CSUM | N_HOST_TSO4 | N_HOST_TSO6 | features);
}

/* One function whose backend is the TAP. */
static int setup_tap(void **state)
{
	struct tap_fixture *f = fixture();
	struct net_backend *be;

	assert_int_equal(tap_new(f->w.m->loop, f->tap.tap, &be), 0);
	open_function(f, be,
		      N_CTRL_VQ | N_CTRL_GUEST_OFFLOADS | N_GUEST_CSUM | N_GUEST_TSO4 |
			      N_MRG_RXBUF);
	*state = f;
	return 0;
}

/* Two functions on a switch whose uplink is the TAP. */
static int setup_uplink(void **state)
{
	struct tap_fixture *f = fixture();
	struct net_backend *be;

	assert_int_equal(net_switch_new(f->w.m->loop, &f->sw), 0);
	assert_int_equal(net_switch_uplink(f->sw, f->tap.tap), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(net_switch_port(f->sw, &be), 0);
		open_function(f, be, i ? 0 : N_GUEST_CSUM | N_GUEST_TSO4 | N_MRG_RXBUF);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct tap_fixture *f = *state;

	while (f->open)
		net_close(&f->n[--f->open]);
	net_switch_free(f->sw);
	tap_pair_close(&f->tap);
	net_world_fini(&f->w);
	received_fini(&f->r);
	free(f);
	return 0;
}

static void post(struct tap_fixture *f, unsigned int i)
{
	for (int b = 0; b < 8; b++)
		net_post(&f->n[i], 0, 2000);
	net_kick(&f->n[i], 0);
	machine_settle(f->w.m);
}

static const uint8_t outside[6] = { 0x02, 0xcc, 0, 0, 0, 1 };

static void make(struct tap_fixture *f, const uint8_t *src, const uint8_t *dst,
		 struct frame_params p)
{
	static uint32_t number;

	memcpy(p.src, src, 6);
	memcpy(p.dst, dst, 6);
	p.first = number++;
	f->len = frame_make(f->frame, &p, &f->info);
}

static const uint8_t *own(unsigned int i)
{
	static uint8_t mac[2][6];

	net_test_mac(mac[i], i + 1);
	return mac[i];
}

static void assert_kernel_got(struct tap_fixture *f)
{
	struct hdr hdr;

	assert_int_equal(kernel_got(f, &hdr), f->len);
	assert_memory_equal(f->got, f->frame, f->len);
	assert_int_equal(kernel_got(f, &hdr), 0);
}

static void assert_function_got(struct tap_fixture *f, unsigned int i)
{
	assert_true(net_recv(&f->n[i], 0, &f->r));
	assert_int_equal(f->r.len, f->len);
	assert_memory_equal(f->r.data, f->frame, f->len);
	assert_false(net_recv(&f->n[i], 0, &f->r));
}

/* --- a function with a TAP --- */

static void test_tap_frames_both_ways(void **state)
{
	struct tap_fixture *f = *state;

	post(f, 0);
	for (uint32_t payload = 0; payload < 1400; payload += 333) {
		make(f, own(0), outside, (struct frame_params){ .payload = payload });
		net_send(&f->n[0], NULL, f->frame, f->len);
		assert_kernel_got(f);
		make(f, outside, own(0), (struct frame_params){ .payload = payload });
		kernel_sends(f, NULL);
		assert_function_got(f, 0);
	}
}

/* Checksums and segments are not made when both sides can do without. */
static void test_tap_offloads_are_passed_through(void **state)
{
	struct tap_fixture *f = *state;
	struct frame_params p = { .payload = 9000, .partial = true, .tcp_flags = TCP_ACK };
	struct hdr hdr, got;

	make(f, own(0), outside, p);
	hdr = hdr_tso(&f->info, 1400);
	net_send(&f->n[0], &hdr, f->frame, f->len);
	assert_int_equal(kernel_got(f, &got), f->len);
	assert_memory_equal(f->got, f->frame, f->len);
	assert_int_equal(got.flags, HDR_NEEDS_CSUM);
	assert_int_equal(got.gso_type, GSO_TCPV4);
	assert_int_equal(got.gso_size, 1400);
	assert_int_equal(got.csum_start, f->info.l4);
	post(f, 0);
	make(f, outside, own(0), p);
	hdr = hdr_tso(&f->info, 1400);
	kernel_sends(f, &hdr);
	assert_function_got(f, 0);
	assert_int_equal(f->r.hdr.flags, HDR_NEEDS_CSUM);
	assert_int_equal(f->r.hdr.gso_type, GSO_TCPV4);
	assert_int_equal(f->r.hdr.gso_size, 1400);
}

/* What the function does not take any more is made before it comes. */
static void test_tap_offloads_that_are_switched_off(void **state)
{
	struct tap_fixture *f = *state;
	struct frame_params p = { .payload = 5000, .partial = true, .tcp_flags = TCP_ACK };
	struct frame_info info;
	uint64_t none = 0;
	uint32_t done = 0;
	struct hdr hdr;

	assert_int_equal(net_ctrl(&f->n[0], CTRL_OFFLOADS, 0, &none, 8), CTRL_OK);
	post(f, 0);
	make(f, outside, own(0), p);
	hdr = hdr_tso(&f->info, 1400);
	kernel_sends(f, &hdr);
	while (net_recv(&f->n[0], 0, &f->r)) {
		assert_int_equal(f->r.hdr.flags, 0);
		assert_int_equal(f->r.hdr.gso_type, GSO_NONE);
		assert_null(frame_check(f->r.data, f->r.len, &info));
		assert_true(info.len <= 1400);
		done += info.len;
	}
	assert_int_equal(done, 5000);
}

/* Without buffers nothing is read: the kernel's queue holds it. */
static void test_tap_waits_for_buffers(void **state)
{
	struct tap_fixture *f = *state;

	make(f, outside, own(0), (struct frame_params){ .payload = 100 });
	for (int i = 0; i < 5; i++)
		kernel_sends(f, NULL);
	machine_settle(f->w.m);
	assert_int_equal(CTR(&f->n[0], drop_no_buffer), 0);
	net_post(&f->n[0], 0, 2000);
	net_kick(&f->n[0], 0);
	assert_function_got(f, 0);
	post(f, 0);
	for (int i = 0; i < 4; i++)
		assert_true(net_recv(&f->n[0], 0, &f->r));
	assert_false(net_recv(&f->n[0], 0, &f->r));
	assert_int_equal(CTR(&f->n[0], drop_no_buffer), 0);
	/* the same over a reset */
	driver_reset(&f->n[0].d);
	kernel_sends(f, NULL);
	machine_settle(f->w.m);
	net_start(&f->n[0], N_MAC);
	machine_settle(f->w.m);
	post(f, 0);
	assert_function_got(f, 0);
}

/* Somebody takes the interface down, and up again: the function goes on. */
static void test_tap_that_is_down(void **state)
{
	struct tap_fixture *f = *state;
	struct ifreq ifr = { 0 };

	post(f, 0);
	ifr.ifr_ifindex = f->tap.index;
	assert_int_equal(ioctl(f->tap.packet, SIOCGIFNAME, &ifr), 0);
	ifr.ifr_flags = 0;
	assert_int_equal(ioctl(f->tap.packet, SIOCSIFFLAGS, &ifr), 0);
	make(f, own(0), outside, (struct frame_params){ .payload = 100 });
	net_send(&f->n[0], NULL, f->frame, f->len);
	assert_int_equal(CTR(&f->n[0], drop_backend), 1);
	ifr.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(f->tap.packet, SIOCSIFFLAGS, &ifr), 0);
	net_send(&f->n[0], NULL, f->frame, f->len);
	assert_int_equal(CTR(&f->n[0], drop_backend), 1);
}

/* --- an uplink --- */

static void test_uplink_is_a_port_like_others(void **state)
{
	struct tap_fixture *f = *state;
	struct hdr hdr;

	post(f, 0);
	post(f, 1);
	/* unknown: everywhere */
	make(f, own(0), outside, (struct frame_params){ .payload = 10 });
	net_send(&f->n[0], NULL, f->frame, f->len);
	assert_kernel_got(f);
	assert_function_got(f, 1);
	/* from outside to one, and learned */
	make(f, outside, own(0), (struct frame_params){ .payload = 20 });
	kernel_sends(f, NULL);
	assert_function_got(f, 0);
	assert_false(net_recv(&f->n[1], 0, &f->r));
	assert_int_equal(net_switch_addresses(f->sw), 3);
	make(f, own(0), outside, (struct frame_params){ .payload = 30 });
	net_send(&f->n[0], NULL, f->frame, f->len);
	assert_kernel_got(f);
	assert_false(net_recv(&f->n[1], 0, &f->r));
	/* between functions it stays inside */
	make(f, own(0), own(1), (struct frame_params){ .payload = 40 });
	net_send(&f->n[0], NULL, f->frame, f->len);
	assert_function_got(f, 1);
	assert_int_equal(kernel_got(f, &hdr), 0);
}

static void test_uplink_does_not_take_own_addresses(void **state)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct tap_fixture *f = *state;
	struct hdr hdr;

	post(f, 0);
	post(f, 1);
	make(f, own(1), broadcast, (struct frame_params){ .payload = 10 });
	kernel_sends(f, NULL);
	assert_function_got(f, 0);
	assert_function_got(f, 1);
	make(f, own(0), own(1), (struct frame_params){ .payload = 40 });
	net_send(&f->n[0], NULL, f->frame, f->len);
	assert_function_got(f, 1);
	assert_int_equal(kernel_got(f, &hdr), 0);
}

/* The kernel sends with offloads; who can't take them gets the work done. */
static void test_uplink_offloads(void **state)
{
	struct tap_fixture *f = *state;
	struct frame_params p = { .payload = 5000, .partial = true, .tcp_flags = TCP_ACK };
	struct frame_info info;
	uint32_t done = 0;
	struct hdr hdr;

	post(f, 0);
	post(f, 1);
	make(f, outside, own(0), p);
	hdr = hdr_tso(&f->info, 1400);
	kernel_sends(f, &hdr);
	assert_function_got(f, 0);
	assert_int_equal(f->r.hdr.gso_type, GSO_TCPV4);
	make(f, outside, own(1), p);
	hdr = hdr_tso(&f->info, 1400);
	kernel_sends(f, &hdr);
	while (net_recv(&f->n[1], 0, &f->r)) {
		assert_null(frame_check(f->r.data, f->r.len, &info));
		assert_int_equal(info.seq, done);
		done += info.len;
	}
	assert_int_equal(done, 5000);
}

#define TAP_TEST(name)    cmocka_unit_test_setup_teardown(name, setup_tap, teardown)
#define UPLINK_TEST(name) cmocka_unit_test_setup_teardown(name, setup_uplink, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAP_TEST(test_tap_frames_both_ways),
		TAP_TEST(test_tap_offloads_are_passed_through),
		TAP_TEST(test_tap_offloads_that_are_switched_off),
		TAP_TEST(test_tap_waits_for_buffers),
		TAP_TEST(test_tap_that_is_down),
		UPLINK_TEST(test_uplink_is_a_port_like_others),
		UPLINK_TEST(test_uplink_does_not_take_own_addresses),
		UPLINK_TEST(test_uplink_offloads),
	};

	if (enter_namespace())
		return SKIP_GROUP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
