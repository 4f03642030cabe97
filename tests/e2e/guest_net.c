/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the guest's busybox can't do to a network interface. Linked statically, for the initramfs.
 *
 *   guest_net feature IF NAME on|off   as ethtool -K, by the kernel's name of the feature
 *   guest_net send IF DST SRC COUNT    frames of 60 bytes, with any source address
 *   guest_net receive IF COUNT         "ready", then the source of each such frame that comes
 */
#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>

#define FEATURES_MAX 256
#define ETHERTYPE    0x88b5 /* IEEE 802: local experiments */

static int fail(const char *what)
{
	fprintf(stderr, "guest_net: %s: %s\n", what, strerror(errno));
	return 1;
}

static int ethtool(int fd, const char *interface, void *command)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	ifr.ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, &ifr);
}

static int feature(const char *interface, const char *name, int on)
{
	struct {
		struct ethtool_gstrings head;
		char names[FEATURES_MAX][ETH_GSTRING_LEN];
	} strings = { .head = { .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES } };
	struct {
		struct ethtool_sfeatures head;
		struct ethtool_set_features_block blocks[FEATURES_MAX / 32];
	} set = { .head = { .cmd = ETHTOOL_SFEATURES } };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint32_t i = 0, bit;

	if (fd < 0 || ethtool(fd, interface, &strings) < 0)
		return fail("ETHTOOL_GSTRINGS");
	while (i < strings.head.len && strncmp(strings.names[i], name, ETH_GSTRING_LEN) != 0)
		i++;
	if (i == strings.head.len) {
		errno = ENOENT;
		return fail(name);
	}
	bit = 1u << i % 32;
	set.head.size = (strings.head.len + 31) / 32;
	set.blocks[i / 32].valid = bit;
	set.blocks[i / 32].requested = on ? bit : 0;
	errno = EOPNOTSUPP; /* more than 0: not done as asked */
	return ethtool(fd, interface, &set) ? fail("ETHTOOL_SFEATURES") : 0;
}

static int parse_mac(const char *text, uint8_t *mac)
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3,
		      mac + 4, mac + 5) == 6
		       ? 0
		       : -1;
}

/* A socket for the frames of an interface, or -1. */
static int packet_socket(const char *interface)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	at.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	return fd;
}

static int receive_frames(const char *interface, int count)
{
	struct timeval patience = { .tv_sec = 30 };
	int fd = packet_socket(interface);
	uint8_t frame[2048];

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return fail(interface);
	printf("ready\n");
	fflush(stdout);
	while (count--) {
		const uint8_t *src = frame + 6;

		if (recv(fd, frame, sizeof(frame), 0) < 14)
			return fail("recv");
		printf("%02x:%02x:%02x:%02x:%02x:%02x\n", src[0], src[1], src[2], src[3], src[4],
		       src[5]);
	}
	return 0;
}

static int send_frames(const char *interface, const char *dst, const char *src, int count)
{
	uint8_t frame[60] = { [12] = ETHERTYPE >> 8, [13] = ETHERTYPE & 0xff };
	int fd = packet_socket(interface);

	if (fd < 0)
		return fail(interface);
	if (parse_mac(dst, frame) || parse_mac(src, frame + 6)) {
		errno = EINVAL;
		return fail("addresses");
	}
	while (count--)
		if (send(fd, frame, sizeof(frame), 0) < 0)
			return fail("send");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "feature"))
		return feature(argv[2], argv[3], !strcmp(argv[4], "on"));
	if (argc == 6 && !strcmp(argv[1], "send"))
		return send_frames(argv[2], argv[3], argv[4], atoi(argv[5]));
	if (argc == 4 && !strcmp(argv[1], "receive"))
		return receive_frames(argv[2], atoi(argv[3]));
	fprintf(stderr, "usage: guest_net feature IF NAME on|off | send IF DST SRC COUNT | "
			"receive IF COUNT\n");
	return 2;
}
