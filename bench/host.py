# SPDX-License-Identifier: BSD-3-Clause
"""A thousand VFIO devices in a Linux host: the way over the normal driver, and ridge's ways.

The host is the built kernel under QEMU, with an exported net PF. Times are this machine's clock
around a command in the guest, apart for enumeration (the functions appear), probe (the normal driver
takes them; the driver core says how long each took) and bind (VFIO gets them).
"""

import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))

from guest import Guest  # noqa: E402
from harness import Result  # noqa: E402
from linux_host import APPEND, LinuxHost, exported, programs  # noqa: E402
from ridge import Ridge  # noqa: E402

CPUS = 1
NORMAL = 60    # VFs that the normal driver can have: about 200 interrupt vectors a CPU, three each
DYNAMIC = 240  # that a domain has at most
TENS = (10, 40, 60, 120, 180, DYNAMIC)  # where configuration accesses are counted
DRIVER = "vfio-pci"
ENODEV = 19  # as the driver core says it
PCI = "/sys/bus/pci"
BUS = "/sys/class/pci_bus/10000:00"
PF = f"{PCI}/devices/10000:00:00.0"
TRACE = ("vfio_region_read", "vfio_region_write")
VFS = f"$(cd {PCI}/devices; echo 10000:0[1-9]:*)"


class Timer:
    def __init__(self, host):
        self.host = host

    def __call__(self, command):
        """Milliseconds of a command in the guest."""
        begin = time.monotonic()
        self.host.sh(command, timeout=600)
        return (time.monotonic() - begin) * 1000


def over_the_normal_driver(host, timed, count):
    """Enable with autoprobe, unbind, bind: ms of enumeration, probe, unbind, bind for all."""
    host.note_probes()
    enable = timed(f"echo {count} >{PF}/sriov_numvfs")
    probes = host.probes()
    taken = [each[0] for rid, each in probes.items() if each[0][1] == 0]
    assert len(taken) == count, f"the normal driver has {len(taken)} of {count}"
    probe = sum(took for *_, took in taken) / 1000
    unbind = timed(f"for rid in {VFS}; do echo $rid >{PCI}/drivers/virtio-pci/unbind; done")
    bind = timed(f"""
        for rid in {VFS}; do
            echo {DRIVER} >{PCI}/devices/$rid/driver_override
            echo $rid >{PCI}/drivers/{DRIVER}/bind
        done""")
    host.sh(f"echo 0 >{PF}/sriov_numvfs", timeout=600)
    return enable - probe, probe, unbind, bind


def straight(host, timed, count):
    """Enable without autoprobe, then adopt: ms of enumeration and of adoption for all."""
    host.note_probes()
    host.sh(f"echo 0 >{PF}/sriov_drivers_autoprobe")
    enumeration = timed(f"echo {count} >{PF}/sriov_numvfs")
    adoption = timed(f"ridge host adopt {VFS} {DRIVER} >/dev/null")
    assert len(host.probed_by()) == count
    # The driver core takes each to the normal driver, too, and the bus refuses (ENODEV).
    normal = sum(driver != DRIVER and result != ENODEV for each in host.probes().values()
                 for driver, result, _ in each)
    host.sh(f"echo 0 >{PF}/sriov_numvfs; echo 1 >{PF}/sriov_drivers_autoprobe", timeout=600)
    return enumeration, adoption, normal


def count_accesses(guest, on):
    """Has QEMU note each access to configuration space, or no more."""
    for event in TRACE:
        guest.qmp("trace-event-set-state", name=event, enable=on)


def config_accesses(guest):
    """How many it has noted: the VMD's BAR 0 is configuration space."""
    return sum(event[0] in ("read", "write") for event in guest.bar_events(0, 0))


def one_by_one(host, ridge, count):
    """Create, rescan, adopt: ms of each for each, and configuration accesses by tens.

    The accesses are {number of functions then: those of each of the last ten}.
    """
    times = {"create": [], "rescan": [], "host adopt": []}
    accesses = {at: [] for at in sorted({min(at, count) for at in TENS})}
    host.note_probes()
    host.sh(f"echo 0 >{PCI}/drivers_autoprobe")
    for n in range(count):
        counted = [at for at in accesses if at - 10 <= n < at]
        if counted:
            count_accesses(host.guest, True)
            before = config_accesses(host.guest)
        clock = [time.monotonic()]
        made = ridge("create", "net", f"d{n}", "pf=lan", "driver=none")
        clock.append(time.monotonic())
        host.sh(f"echo 1 >{BUS}/rescan", timeout=120)
        clock.append(time.monotonic())
        host.adopt("10000:" + made["rid"], DRIVER, timeout=120)
        clock.append(time.monotonic())
        for at in counted:
            accesses[at].append(config_accesses(host.guest) - before)
        if counted:
            count_accesses(host.guest, False)
        for step, begin, end in zip(times, clock, clock[1:]):
            times[step].append((end - begin) * 1000)
    host.sh(f"echo 1 >{PCI}/drivers_autoprobe")
    normal = sum(driver != DRIVER for drivers in host.probed_by().values() for driver in drivers)
    return times, accesses, normal


def linux_host(bench):
    """1000 VFIO devices in a Linux host that has a PF of ridge's."""
    count = bench.functions
    normal_count = min(NORMAL, count)
    dynamic = min(DYNAMIC, count)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=bench.directory) as directory, \
            Ridge(directory, bench.build) as ridge:
        os.environ["RIDGE_BUILD"] = bench.build
        ridge("pf", "add", "lan", "type=net", f"max_vfs={count}")
        with Guest(directory, [exported(ridge, "lan")], kernel="built", cpus=CPUS, memory="1G",
                   append=APPEND, files=programs(), trace=TRACE) as guest:
            guest.boot()
            count_accesses(guest, False)
            host = LinuxHost(guest)
            # as any host that has been up for a while; this one would wait a second for it
            host.sh("head -c 1 /dev/random >/dev/null")
            timed = Timer(host)
            normal = over_the_normal_driver(host, timed, normal_count)
            way = straight(host, timed, count)
            times, accesses, probes = one_by_one(host, ridge, dynamic)
            guest.poweroff()
    each = [ms / normal_count for ms in normal]
    first, *later = accesses.values()
    return [
        Result(f"{normal_count} VFs: enumeration, each", [each[0]], unit="ms"),
        Result(f"{normal_count} VFs: normal probe, each", [each[1]], unit="ms"),
        Result(f"{normal_count} VFs: unbind, each", [each[2]], unit="ms"),
        Result(f"{normal_count} VFs: bind, each", [each[3]], unit="ms"),
        Result(f"{count} VFs: enumeration, each", [way[0] / count], unit="ms"),
        Result(f"{count} VFs: host adopt, each", [way[1] / count], unit="ms"),
        Result("adopt / probe + unbind + bind", [way[1] / count / sum(each[1:])], at_most=0.2),
        Result("normal probes", [way[2] + probes], unit="", at_most=0),
        *(Result(f"{dynamic} one by one: {step}, each", ms, unit="ms")
          for step, ms in times.items()),
        *(Result(f"accesses of the ten up to {at}, each", n, unit="")
          for at, n in accesses.items()),
        Result("accesses of the ten that have most / of the first ten",
               [max(map(sum, later), default=sum(first)) / sum(first)], at_most=1.5),
    ]
