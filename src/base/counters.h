/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a function counts about itself. Plain numbers that only grow; both sides add to their own.
 * The names are those of the `counters` object in JSON.
 */
#ifndef RIDGE_BASE_COUNTERS_H
#define RIDGE_BASE_COUNTERS_H

#include <stdint.h>

#define COUNTERS(X)                                                                                \
	/* host side: what the VMM asked of the VFIO device */                                     \
	X(connections)     /* VMMs that attached */                                                \
	X(refused)         /* second VMMs turned away */                                           \
	X(config_accesses) /* PCI config space reads and writes */                                 \
	X(mmio_accesses)   /* memory BAR reads and writes */                                       \
	X(ignored)         /* of these: where no function is, or one that is being reset */        \
	X(io_accesses)     /* I/O BAR reads and writes, but for notifications */                   \
	X(io_fields)       /* of these: single-field accesses after splitting, each relayed */     \
	X(io_local)        /* of these: fields that the driver answered itself (ISR, undefined) */ \
	X(io_notifies)     /* notifications through the I/O BAR: they bypass the admin queue */    \
	X(admin_commands)  /* register commands relayed for the guest */                           \
	X(admin_own)       /* commands the driver issued for itself (set-up, interrupts) */        \
	X(admin_errors)    /* commands that failed; of a PF: that it was asked by its driver */    \
	X(admin_timeouts)  /* commands that were given up on at their deadline */                  \
	X(resets)          /* function level resets by the VFIO driver */                          \
	/* device side: what the guest asked of the device */                                      \
	X(notifies)       /* available buffer notifications that reached the device */             \
	X(interrupts)     /* interrupts that the device raised */                                  \
	X(requests)       /* requests completed, whatever their status */                          \
	X(request_errors) /* of these: completed with an error */                                  \
	X(read_bytes)     /* data moved to the guest */                                            \
	X(write_bytes)    /* data moved from the guest */                                          \
	X(rx_packets)     /* net: frames given to the guest */                                     \
	X(tx_packets)     /* net: frames taken from the guest */                                   \
	X(drop_no_buffer) /* net: frames that found no receive buffer, or none large enough */     \
	X(drop_mtu)       /* net: frames longer than the MTU that the guest was told */            \
	X(drop_filter)    /* net: frames that the guest's MAC and VLAN filters don't want */       \
	X(drop_spoof)     /* net: frames sent from another MAC address than the function's */      \
	X(drop_malformed) /* net: frames that are none, or whose header asks the impossible */     \
	X(drop_link)      /* net: frames while the link is down, or the guest not ready */         \
	X(drop_backend)   /* net: frames that the backend did not take */                          \
	X(dma_faults)     /* accesses to memory that is not mapped, not shared or gone */          \
	X(device_errors)  /* times the device needed a reset because of its driver */

enum counter {
#define X(name) COUNTER_##name,
	COUNTERS(X)
#undef X
		COUNTER_COUNT
};

struct counters {
	uint64_t value[COUNTER_COUNT];
};

#define counter_add(c, name, n) ((c)->value[COUNTER_##name] += (n))
#define counter_inc(c, name)    counter_add(c, name, 1)

#endif
