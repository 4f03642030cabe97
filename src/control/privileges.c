/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(cap) (1ull << (cap))

/* systemd/ridged.service has the same list; a test compares them. */
static const uint64_t kept = BIT(CAP_CHOWN)          /* owner= and group= of a socket */
			     | BIT(CAP_FOWNER)       /* mode= of a socket that is another's then */
			     | BIT(CAP_DAC_OVERRIDE) /* images of other users */
			     | BIT(CAP_NET_ADMIN)    /* TAPs */
			     | BIT(CAP_KILL)         /* PF processes, which are other users */
			     /* the sandbox of a ridge-pf, which gives them up: */
			     | BIT(CAP_SYS_ADMIN) /* its namespaces */
			     | BIT(CAP_SETUID)    /* its user */
			     | BIT(CAP_SETGID)    /* its group */
			     | BIT(CAP_SETPCAP);  /* its empty bounding set, and ridged's here */

int privileges_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	uint64_t permitted;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capget, &header, data))
		return -errno;
	permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(kept >> cap & 1) && (permitted & BIT(CAP_SETPCAP)) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -errno;
	permitted &= kept;
	for (unsigned int i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}
