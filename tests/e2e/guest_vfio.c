/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest_vfio.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/iommufd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_S 20
#define ETHERTYPE 0x88b5 /* IEEE 802: local experiments */

void fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fprintf(stderr, "failed: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

void wait_until(bool (*done)(void *ctx), void *ctx, const char *what)
{
	time_t end = time(NULL) + TIMEOUT_S;

	while (!done(ctx)) {
		if (time(NULL) > end)
			fail("%s: not after %d s", what, TIMEOUT_S);
		usleep(200);
	}
}

/* Memory */

void memory_init(struct memory *m)
{
	uint64_t entry;
	int fd;

	m->used = 0;
	m->base =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | MAP_LOCKED, -1, 0);
	if (m->base == MAP_FAILED)
		fail("no huge page (%s); set vm.nr_hugepages", strerror(errno));
	memset(m->base, 0, MEMORY_SIZE);
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)m->base / 4096 * 8)) !=
			      (ssize_t)sizeof(entry))
		fail("pagemap: %s", strerror(errno));
	close(fd);
	m->address = (entry & ((1ull << 55) - 1)) * 4096; /* bits 0 to 54: the page frame */
	if (!(entry >> 63) || !m->address)
		fail("pagemap does not say where the page is");
}

void *memory_get(struct memory *m, size_t size, size_t align)
{
	size_t start = (m->used + align - 1) & ~(align - 1);

	if (start + size > MEMORY_SIZE)
		fail("2 MiB of memory are not enough");
	m->used = start + size;
	return m->base + start;
}

uint64_t memory_address(const struct memory *m, const void *p)
{
	return m->address + (uint64_t)((const uint8_t *)p - m->base);
}

/* The device */

static void read_link(const char *rid, const char *name, char *target, size_t size)
{
	char path[128], full[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", rid, name);
	len = readlink(path, full, sizeof(full) - 1);
	if (len < 0)
		fail("%s: %s", path, strerror(errno));
	full[len] = '\0';
	snprintf(target, size, "%s", strrchr(full, '/') + 1);
}

static void open_by_group(struct vfio *v)
{
	char group[64], path[128];

	read_link(v->rid, "iommu_group", group, sizeof(group));
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%s", group);
	v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	v->group = open(path, O_RDWR | O_CLOEXEC);
	if (v->container < 0 || v->group < 0)
		fail("%s: %s", path, strerror(errno));
	if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) ||
	    ioctl(v->container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU))
		fail("%s: no-IOMMU mode: %s", path, strerror(errno));
	v->fd = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, v->rid);
	if (v->fd < 0)
		fail("%s: VFIO_GROUP_GET_DEVICE_FD: %s", v->rid, strerror(errno));
}

static void open_by_cdev(struct vfio *v)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	char path[400], name[256] = "";
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", v->rid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			snprintf(name, sizeof(name), "%s", entry->d_name);
	if (dir)
		closedir(dir);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
	v->fd = open(path, O_RDWR | O_CLOEXEC);
	v->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (!name[0] || v->fd < 0 || v->iommufd < 0)
		fail("%s: no cdev %s: %s", v->rid, path, strerror(errno));
	bind.iommufd = v->iommufd;
	if (ioctl(v->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		fail("%s: VFIO_DEVICE_BIND_IOMMUFD: %s", v->rid, strerror(errno));
}

void vfio_open(struct vfio *v, const char *rid, bool cdev)
{
	snprintf(v->rid, sizeof(v->rid), "%s", rid);
	v->container = v->group = v->iommufd = -1;
	if (cdev)
		open_by_cdev(v);
	else
		open_by_group(v);
	v->config = vfio_region(v, VFIO_PCI_CONFIG_REGION_INDEX, NULL, NULL);
}

void vfio_close(struct vfio *v)
{
	close(v->fd);
	if (v->iommufd >= 0)
		close(v->iommufd);
	if (v->group >= 0)
		close(v->group);
	if (v->container >= 0)
		close(v->container);
}

uint64_t vfio_region(const struct vfio *v, unsigned index, uint64_t *size, uint32_t *flags)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(v->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		fail("%s: region %u: %s", v->rid, index, strerror(errno));
	if (size)
		*size = info.size;
	if (flags)
		*flags = info.flags;
	return info.offset;
}

uint32_t fd_read(int fd, uint64_t offset, unsigned size)
{
	uint32_t value = 0;

	if (pread(fd, &value, size, (off_t)offset) != (ssize_t)size)
		fail("read of %u at 0x%llx: %s", size, (unsigned long long)offset, strerror(errno));
	return value;
}

void fd_write(int fd, uint64_t offset, unsigned size, uint32_t value)
{
	if (pwrite(fd, &value, size, (off_t)offset) != (ssize_t)size)
		fail("write of %u at 0x%llx: %s", size, (unsigned long long)offset,
		     strerror(errno));
}

uint32_t vfio_config_read(const struct vfio *v, unsigned offset, unsigned size)
{
	return fd_read(v->fd, v->config + offset, size);
}

void vfio_config_write(const struct vfio *v, unsigned offset, unsigned size, uint32_t value)
{
	fd_write(v->fd, v->config + offset, size, value);
}

void vfio_enable(const struct vfio *v)
{
	vfio_config_write(v, PCI_COMMAND, 2,
			  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* Frames */

void link_open(struct link *l, const char *interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE) };
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	l->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE));
	if (l->fd < 0 || ioctl(l->fd, SIOCGIFHWADDR, &ifr))
		fail("%s: %s", interface, strerror(errno));
	memcpy(l->mac, ifr.ifr_hwaddr.sa_data, 6);
	l->index = address.sll_ifindex = (int)if_nametoindex(interface);
	if (bind(l->fd, (struct sockaddr *)&address, sizeof(address)))
		fail("%s: bind: %s", interface, strerror(errno));
}

void frame_make(uint8_t frame[FRAME_SIZE], const uint8_t dst[6], const uint8_t src[6], unsigned n)
{
	memcpy(frame, dst, 6);
	memcpy(frame + 6, src, 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
	for (unsigned i = 14; i < FRAME_SIZE; i++)
		frame[i] = (uint8_t)(n * 31 + i);
}

void link_send(const struct link *l, const uint8_t dst[6], unsigned n)
{
	uint8_t frame[FRAME_SIZE];

	frame_make(frame, dst, l->mac, n);
	if (send(l->fd, frame, sizeof(frame), 0) != (ssize_t)sizeof(frame))
		fail("send: %s", strerror(errno));
}

void link_receive(const struct link *l, const uint8_t src[6], unsigned n)
{
	struct pollfd wait = { .fd = l->fd, .events = POLLIN };
	uint8_t frame[2048], wanted[FRAME_SIZE];
	ssize_t len;

	frame_make(wanted, l->mac, src, n);
	while (poll(&wait, 1, TIMEOUT_S * 1000) == 1) {
		len = recv(l->fd, frame, sizeof(frame), 0);
		if (len >= FRAME_SIZE && !memcmp(frame, wanted, FRAME_SIZE))
			return;
	}
	fail("frame %u did not arrive at the PF's interface", n);
}
