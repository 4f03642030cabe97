/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Has a function open through VFIO, by nothing but its own file: the group and the container that it
 * came from are closed. guest_hold RID, until it is killed.
 */
#include <stdio.h>
#include <unistd.h>

#include "guest_vfio.h"

int main(int argc, char **argv)
{
	struct vfio v;

	if (argc != 2)
		fail("usage: guest_hold RID");
	vfio_open(&v, argv[1], false);
	close(v.group);
	close(v.container);
	puts("held");
	fflush(stdout);
	pause();
	return 0;
}
