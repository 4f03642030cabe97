/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small vfio-user client, blocking: what a VMM is to a server, for tests and benchmarks. One
 * request at a time; the server's answers come in order.
 */
#ifndef RIDGE_VFIO_USER_CLIENT_H
#define RIDGE_VFIO_USER_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct vfio_user_client {
	int fd;
	uint16_t id; /* of the last request */
};

/* Connects and negotiates. 0 or a negative errno; -EBUSY if the function has a VMM. */
int vfio_user_client_open(struct vfio_user_client *c, const char *path);
void vfio_user_client_close(struct vfio_user_client *c);

/* Each returns 0 or the negative errno of the server's reply. count is at most 8 bytes. */
int vfio_user_client_read(struct vfio_user_client *c, uint32_t region, uint64_t offset, void *data,
			  uint32_t count);
int vfio_user_client_write(struct vfio_user_client *c, uint32_t region, uint64_t offset,
			   const void *data, uint32_t count);
/* Without waiting for an answer: what QEMU does with writes to memory BARs. */
int vfio_user_client_post(struct vfio_user_client *c, uint32_t region, uint64_t offset,
			  const void *data, uint32_t count);
struct vfio_user_client_write {
	uint32_t region;
	uint32_t count; /* bytes, at most 8 */
	uint64_t offset;
	uint64_t data; /* in memory order */
};

#define VFIO_USER_CLIENT_WRITES 100u

/*
 * Up to VFIO_USER_CLIENT_WRITES writes in one message. *done (may be NULL: no answer is waited for)
 * is how many the device did.
 */
int vfio_user_client_write_multi(struct vfio_user_client *c,
				 const struct vfio_user_client_write *writes, uint32_t n,
				 uint32_t *done);
/* Maps [0, size) of the file fd at address, readable and writable. */
int vfio_user_client_map(struct vfio_user_client *c, uint64_t address, uint64_t size, int fd);
/* Routes MSI-X vectors 0..count-1 to eventfds. */
int vfio_user_client_set_msix(struct vfio_user_client *c, const int *eventfds, uint32_t count);

#endif
