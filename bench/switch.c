/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames from one function to another through a PF's switch, against a Linux bridge with two TAPs:
 * the same generator, alternating rounds in one run. What counts is what arrives.
 *
 *   bench-switch SOCKET_A SOCKET_B MAC_A MAC_B ROUNDS SECONDS
 *
 * Needs root for the bridge, which lives in a network namespace of this process. Values are frames
 * a second.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/port.h"

#define BURST 32

struct load {
	const char *name;
	size_t len;   /* bytes of a frame */
	uint16_t mss; /* 0: no segmentation asked for */
};

/* Where a load is sent, and where it must arrive. */
struct path {
	const struct load *load;
	struct port *from;
	struct port *to;
	const uint8_t *mac_from;
	const uint8_t *mac_to;
};

/* A TCP frame from A to B, so that it may be a segmentation frame. */
static void make_frame(uint8_t *frame, const struct load *l, const uint8_t *from, const uint8_t *to,
		       struct virtio_net_hdr *hdr)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons((uint16_t)(l->len - 14)),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.saddr = htonl(0x0a000001),
		.daddr = htonl(0x0a000002),
	};
	struct tcphdr tcp = {
		.source = htons(1000),
		.dest = htons(2000),
		.doff = 5,
		.ack = 1,
	};
	uint16_t words[sizeof(ip) / 2];
	uint32_t sum = 0;

	memcpy(words, &ip, sizeof(ip));
	for (size_t i = 0; i < sizeof(ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip.check = (uint16_t) ~(sum + (sum >> 16));
	memset(frame, 0, l->len);
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = 8;
	/* Headers in a frame are not aligned. */
	memcpy(frame + 14, &ip, sizeof(ip));
	memcpy(frame + 34, &tcp, sizeof(tcp));
	memset(hdr, 0, sizeof(*hdr));
	if (!l->mss)
		return;
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	hdr->hdr_len = 54;
	hdr->gso_size = l->mss;
	hdr->csum_start = 34;
	hdr->csum_offset = 16;
}

/* Both addresses become known to whatever is in between. */
static void teach(struct port *a, struct port *b, const uint8_t *mac_a, const uint8_t *mac_b)
{
	struct load l = { .len = 64 };
	struct virtio_net_hdr hdr;
	uint8_t frame[64];
	uint64_t bytes = 0;

	for (int i = 0; i < 100; i++) {
		make_frame(frame, &l, mac_b, mac_a, &hdr);
		b->ops->send(b, &hdr, frame, l.len, 1);
		make_frame(frame, &l, mac_a, mac_b, &hdr);
		a->ops->send(a, &hdr, frame, l.len, 1);
		usleep(1000);
		a->ops->receive(a, &bytes);
		b->ops->receive(b, &bytes);
	}
}

static double run(void *ctx, double seconds)
{
	static uint8_t frame[66000];
	struct path *p = ctx;
	struct virtio_net_hdr hdr;
	uint64_t frames = 0, bytes = 0, start, now;

	make_frame(frame, p->load, p->mac_from, p->mac_to, &hdr);
	usleep(20000);
	while (p->to->ops->receive(p->to, &bytes))
		;
	start = measure_now();
	do {
		for (int i = 0; i < 64; i++) {
			p->from->ops->send(p->from, &hdr, frame, p->load->len, BURST);
			frames += p->to->ops->receive(p->to, &bytes);
		}
		now = measure_now();
	} while ((double)(now - start) < seconds * 1e9);
	return (double)frames * 1e9 / (double)(now - start);
}

static void interface_up(int s, const char *name)
{
	struct ifreq ifr = { 0 };

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		measure_die(name, errno);
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		measure_die(name, errno);
}

static void make_bridge(struct port **a, struct port **b)
{
	char tap_a[IFNAMSIZ] = "a", tap_b[IFNAMSIZ] = "b", *taps[] = { tap_a, tap_b };
	struct ifreq ifr = { .ifr_name = "br" };
	int s, err;

	if (unshare(CLONE_NEWNET) < 0)
		measure_die("network namespace", errno);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = port_open_tap(tap_a, a);
	err = err ? err : port_open_tap(tap_b, b);
	if (err)
		measure_die("TAP", -err);
	if (ioctl(s, SIOCBRADDBR, "br") < 0)
		measure_die("bridge", errno);
	for (int i = 0; i < 2; i++) {
		struct ifreq tap = { 0 };

		strcpy(tap.ifr_name, taps[i]);
		if (ioctl(s, SIOCGIFINDEX, &tap) < 0)
			measure_die("TAP", errno);
		ifr.ifr_ifindex = tap.ifr_ifindex;
		if (ioctl(s, SIOCBRADDIF, &ifr) < 0)
			measure_die("bridge", errno);
		interface_up(s, taps[i]);
	}
	interface_up(s, "br");
	close(s);
}

static void parse_mac(const char *text, uint8_t *mac)
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != 6)
		measure_die(text, EINVAL);
}

int main(int argc, char **argv)
{
	static const struct load loads[] = {
		{ "64 bytes", 64, 0 },
		{ "1514 bytes", 1514, 0 },
		{ "64 KiB", 65226, 1448 },
	};
	static struct contender contenders[2 * sizeof(loads) / sizeof(loads[0])];
	static struct path paths[sizeof(contenders) / sizeof(contenders[0])];
	static char names[sizeof(contenders) / sizeof(contenders[0])][32];
	const size_t n = sizeof(contenders) / sizeof(contenders[0]);
	struct port *ours[2], *theirs[2];
	unsigned int rounds;
	double seconds;
	uint8_t mac[2][6];
	int err;

	if (argc != 7) {
		fprintf(stderr,
			"usage: bench-switch SOCKET_A SOCKET_B MAC_A MAC_B ROUNDS SECONDS\n");
		return 2;
	}
	measure_parse(argv[5], argv[6], &rounds, &seconds);
	for (int i = 0; i < 2; i++) {
		parse_mac(argv[3 + i], mac[i]);
		err = port_open_function(argv[1 + i], &ours[i]);
		if (err)
			measure_die(argv[1 + i], -err);
	}
	make_bridge(&theirs[0], &theirs[1]);
	teach(ours[0], ours[1], mac[0], mac[1]);
	teach(theirs[0], theirs[1], mac[0], mac[1]);
	for (size_t i = 0; i < n; i++) {
		struct port **ports = i % 2 ? theirs : ours;

		paths[i] = (struct path){ &loads[i / 2], ports[0], ports[1], mac[0], mac[1] };
		snprintf(names[i], sizeof(names[i]), "%s %s", i % 2 ? "bridge" : "ridge",
			 loads[i / 2].name);
		contenders[i].name = names[i];
		contenders[i].run = run;
		contenders[i].ctx = &paths[i];
	}
	measure(contenders, n, rounds, seconds);
	for (int i = 0; i < 2; i++) {
		ours[i]->ops->close(ours[i]);
		theirs[i]->ops->close(theirs[i]);
	}
	return 0;
}
