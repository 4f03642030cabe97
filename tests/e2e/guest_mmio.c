/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stores to a memory BAR, faster than any driver makes them. Linked statically, for the initramfs.
 *
 *   guest_mmio FILE OFFSET COUNT
 *
 * stores 1, 2, ... COUNT, 4 bytes each, to an offset in a BAR's file in sysfs, and prints what a
 * load from there gives then, and the time of it all in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	int fd = argc == 4 ? open(argv[1], O_RDWR) : -1;
	uint64_t begin, offset;
	volatile uint32_t *reg;
	uint32_t count;
	void *page;

	if (argc != 4) {
		fprintf(stderr, "usage: guest_mmio FILE OFFSET COUNT\n");
		return 2;
	}
	offset = strtoull(argv[2], NULL, 0);
	count = (uint32_t)strtoul(argv[3], NULL, 0);
	page = fd < 0 ? MAP_FAILED
		      : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			     (off_t)(offset & ~0xfffull));
	if (page == MAP_FAILED) {
		fprintf(stderr, "guest_mmio: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	reg = (volatile uint32_t *)((uint8_t *)page + (offset & 0xfff));
	begin = now_us();
	for (uint32_t i = 1; i <= count; i++)
		*reg = i;
	printf("%u", *reg);
	printf(" %llu\n", (unsigned long long)(now_us() - begin));
	return 0;
}
