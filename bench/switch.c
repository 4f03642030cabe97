/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames from one function to another through a PF's switch, against a Linux bridge with two TAPs:
 * the same generator, alternating rounds in one run. What counts is what arrives.
 *
 *   bench-switch SOCKET_A SOCKET_B MAC_A MAC_B [ROUNDS [SECONDS]]
 *
 * Needs root for the bridge, which lives in a network namespace of this process. Prints JSON.
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
#include <time.h>
#include <unistd.h>

#include "bench/port.h"

#define ROUNDS_MAX 64
#define BURST      32

struct load {
	const char *name;
	size_t len;   /* bytes of a frame */
	uint16_t mss; /* 0: no segmentation asked for */
};

struct result {
	double pps[ROUNDS_MAX];
	double bps[ROUNDS_MAX];
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "bench-switch: %s: %s\n", what, strerror(err));
	exit(1);
}

/* A TCP frame from A to B, so that it may be a segmentation frame. */
static void make_frame(uint8_t *frame, const struct load *l, const uint8_t *from, const uint8_t *to,
		       struct virtio_net_hdr *hdr)
{
	struct iphdr *ip = (struct iphdr *)(frame + 14);
	struct tcphdr *tcp = (struct tcphdr *)(frame + 34);
	uint32_t sum = 0;

	memset(frame, 0, l->len);
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = 8;
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = htons((uint16_t)(l->len - 14));
	ip->ttl = 64;
	ip->protocol = IPPROTO_TCP;
	ip->saddr = htonl(0x0a000001);
	ip->daddr = htonl(0x0a000002);
	for (int i = 0; i < 10; i++)
		sum += ((uint16_t *)ip)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = (uint16_t) ~(sum + (sum >> 16));
	tcp->source = htons(1000);
	tcp->dest = htons(2000);
	tcp->doff = 5;
	tcp->ack = 1;
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

static void run(struct port *a, struct port *b, const struct load *l, const uint8_t *mac_a,
		const uint8_t *mac_b, double seconds, double *pps, double *bps)
{
	static uint8_t frame[66000];
	struct virtio_net_hdr hdr;
	uint64_t frames = 0, bytes = 0, drained = 0;
	double start, end;

	make_frame(frame, l, mac_a, mac_b, &hdr);
	usleep(20000);
	while (b->ops->receive(b, &drained))
		;
	start = now();
	do {
		for (int i = 0; i < 64; i++) {
			a->ops->send(a, &hdr, frame, l->len, BURST);
			frames += b->ops->receive(b, &bytes);
		}
		end = now();
	} while (end - start < seconds);
	*pps = (double)frames / (end - start);
	*bps = (double)bytes * 8 / (end - start);
}

static void interface_up(int s, const char *name)
{
	struct ifreq ifr = { 0 };

	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		die(name, errno);
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		die(name, errno);
}

static void make_bridge(struct port **a, struct port **b)
{
	char tap_a[IFNAMSIZ] = "a", tap_b[IFNAMSIZ] = "b", *taps[] = { tap_a, tap_b };
	struct ifreq ifr = { .ifr_name = "br" };
	int s, err;

	if (unshare(CLONE_NEWNET) < 0)
		die("network namespace", errno);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = port_open_tap(tap_a, a);
	err = err ? err : port_open_tap(tap_b, b);
	if (err)
		die("TAP", -err);
	if (ioctl(s, SIOCBRADDBR, "br") < 0)
		die("bridge", errno);
	for (int i = 0; i < 2; i++) {
		struct ifreq tap = { 0 };

		strcpy(tap.ifr_name, taps[i]);
		if (ioctl(s, SIOCGIFINDEX, &tap) < 0)
			die("TAP", errno);
		ifr.ifr_ifindex = tap.ifr_ifindex;
		if (ioctl(s, SIOCBRADDIF, &ifr) < 0)
			die("bridge", errno);
		interface_up(s, taps[i]);
	}
	interface_up(s, "br");
	close(s);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void parse_mac(const char *text, uint8_t *mac)
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != 6)
		die(text, EINVAL);
}

int main(int argc, char **argv)
{
	static const struct load loads[] = {
		{ "64 bytes", 64, 0 },
		{ "1514 bytes", 1514, 0 },
		{ "64 KiB segmentation", 65226, 1448 },
	};
	int rounds = argc > 5 ? atoi(argv[5]) : 5;
	double seconds = argc > 6 ? atof(argv[6]) : 1;
	struct port *ours[2], *theirs[2];
	uint8_t mac[2][6];
	int err;

	if (argc < 5 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr,
			"usage: bench-switch SOCKET_A SOCKET_B MAC_A MAC_B [ROUNDS [SECONDS]]\n");
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		parse_mac(argv[3 + i], mac[i]);
		err = port_open_function(argv[1 + i], &ours[i]);
		if (err)
			die(argv[1 + i], -err);
	}
	make_bridge(&theirs[0], &theirs[1]);
	teach(ours[0], ours[1], mac[0], mac[1]);
	teach(theirs[0], theirs[1], mac[0], mac[1]);
	printf("[");
	for (size_t l = 0; l < sizeof(loads) / sizeof(loads[0]); l++) {
		static struct result r[2];

		for (int i = 0; i < rounds; i++) {
			run(ours[0], ours[1], &loads[l], mac[0], mac[1], seconds, &r[0].pps[i],
			    &r[0].bps[i]);
			run(theirs[0], theirs[1], &loads[l], mac[0], mac[1], seconds, &r[1].pps[i],
			    &r[1].bps[i]);
		}
		for (int i = 0; i < 2; i++) {
			median(r[i].pps, rounds);
			median(r[i].bps, rounds);
		}
		printf("%s\n{\"load\": \"%s\", \"rounds\": %d, \"ridge_pps\": %.0f, "
		       "\"bridge_pps\": %.0f, \"ridge_bps\": %.0f, \"bridge_bps\": %.0f, "
		       "\"ridge_pps_min\": %.0f, \"ridge_pps_max\": %.0f, \"bridge_pps_min\": %.0f, "
		       "\"bridge_pps_max\": %.0f, \"ratio\": %.2f}",
		       l ? "," : "", loads[l].name, rounds, median(r[0].pps, rounds),
		       median(r[1].pps, rounds), median(r[0].bps, rounds), median(r[1].bps, rounds),
		       r[0].pps[0], r[0].pps[rounds - 1], r[1].pps[0], r[1].pps[rounds - 1],
		       median(r[0].pps, rounds) / median(r[1].pps, rounds));
		fflush(stdout);
	}
	printf("\n]\n");
	for (int i = 0; i < 2; i++) {
		ours[i]->ops->close(ours[i]);
		theirs[i]->ops->close(theirs[i]);
	}
	return 0;
}
