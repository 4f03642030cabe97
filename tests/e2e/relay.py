# SPDX-License-Identifier: BSD-3-Clause
"""What the accesses to a legacy I/O BAR must become, worked out without ridge.

From QEMU's own record of the guest's accesses and from the specification alone: virtio 1.3,
4.1.4.10 for the registers, and of the device types the fields of their configuration.
"""

# offset, size of the common registers (4.1.4.10), and of those that MSI-X adds
COMMON = [(0x00, 4), (0x04, 4), (0x08, 4), (0x0c, 2), (0x0e, 2), (0x10, 2), (0x12, 1), (0x13, 1)]
MSIX = [(0x14, 2), (0x16, 2)]
NOTIFY, ISR = 0x10, 0x13

# sizes of the fields of the device configuration, in order: blk (5.2.4), rng has none (5.4.4)
CONFIG = {
    "blk": [8, 4, 4, 2, 1, 1, 4, 1, 1, 2, 4, 1, 1, 2, 4, 4, 4, 4, 4, 1, 1, 1, 1],
    "rng": [],
}


def registers(kind, msix):
    """(offset, size) of all that is defined, as the BAR is laid out now."""
    found = COMMON + (MSIX if msix else [])
    offset = found[-1][0] + found[-1][1]
    for size in CONFIG[kind]:
        found.append((offset, size))
        offset += size
    return found


def expected(kind, events):
    """The counters of `ridge show` that follow from Guest.bar_events(index, 0)."""
    counters = dict.fromkeys(("io_accesses", "io_notifies", "io_fields", "io_local"), 0)
    intx = msix = False
    for event in events:
        if event[0] == "intx":
            intx = event[1]
            continue
        if event[0] == "msix":
            msix = event[1]
            continue
        _, offset, size = event
        if offset == NOTIFY:
            assert size == 2
            counters["io_notifies"] += 1
            continue
        counters["io_accesses"] += 1
        undefined = set(range(offset, offset + size))
        for start, length in registers(kind, msix):
            if start >= offset + size or offset >= start + length:
                continue
            undefined -= set(range(start, start + length))
            # the ISR is the VFIO driver's as long as it makes the INTx
            counters["io_local" if start == ISR and intx else "io_fields"] += 1
        counters["io_local"] += len(undefined)
    counters["admin_commands"] = counters["io_fields"]
    return counters


def check(ridge, guest, index, name):
    """Holds the counters of a function against what its guest did; these counters."""
    shown = ridge("show", name)
    wanted = expected(shown["type"], guest.bar_events(index, 0))
    assert {key: shown["counters"][key] for key in wanted} == wanted
    assert shown["counters"]["admin_errors"] == shown["counters"]["admin_timeouts"] == 0
    return shown["counters"]


def check_pf(ridge, pf):
    """The PF has executed what its functions' drivers posted, and the owner's own."""
    posted = sum(function["counters"]["admin_commands"] + function["counters"]["admin_own"]
                 for function in ridge("list") if function["pf"] == pf)
    (shown,) = [item for item in ridge("pf", "list") if item["name"] == pf]
    # On the queue of registers LIST_QUERY and LIST_USE for the SR-IOV group; on that of parts the
    # same for the self group, DEVICE_CAP_GET and DRIVER_CAP_SET.
    assert shown["admin_commands"] == [posted + 2, 4]
