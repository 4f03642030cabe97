# SPDX-License-Identifier: BSD-3-Clause
"""An exported net PF in a Linux host, with upstream's drivers of an unmodified kernel: virtio_pci,
virtio_net, and virtio_vfio_pci, which relays legacy I/O and migrates over the admin virtqueues.
"""

import pytest

from linux_host import APPEND, LinuxHost, exported, programs, take_through_migration

DEVICES = "/sys/bus/pci/devices"
PF = "10000:00:00.0"
VFS = [f"10000:01:00.{n}" for n in range(2)]
PACKED = ["10000:01:01.6", "10000:01:01.7"]  # VFs that offer packed rings
# Frames of the VFs come from and go to a dynamic function with its normal driver.
LINK = "eth1"


@pytest.fixture(scope="module")
def host(ridge, new_guest):
    ridge("pf", "add", "lan", "type=net", "max_vfs=16")
    device = exported(ridge, "lan")
    ridge("create", "net", "link", "pf=lan", "driver=none")
    for slot in (15, 16):  # the second takes over the address of the first
        ridge("create", "net", f"packed{slot}", "pf=lan", f"slot={slot}", "driver=none",
              "packed=true", "queues=2", "mtu=1500", "trust=true")
    guest = new_guest([device], kernel="built", memory="512M", append=APPEND,
                      files=programs("guest_legacy_net", "guest_migrate"))
    guest.boot()
    host = LinuxHost(guest)
    host.sh(f"echo 4 >/proc/sys/vm/nr_hugepages; ip link set {LINK} up")
    yield host
    assert guest.poweroff() == 0


@pytest.fixture(autouse=True)
def no_vfs_left(host):
    yield
    assert host.read(f"{DEVICES}/{PF}/sriov_numvfs") == "0"


def test_pf_is_a_normal_device_with_admin_queues(host, ridge):
    assert host.drivers(PF) == ["virtio-pci"]
    assert host.sh("ls /sys/class/net").split() == ["eth0", LINK, "lo"]
    assert host.read(f"{DEVICES}/{PF}/sriov_totalvfs") == "16"
    (pf,) = ridge("pf", "list")
    # What Linux asks a PF when it starts it: LIST_QUERY and LIST_USE at least.
    assert sum(pf["admin_commands"]) >= 2


@pytest.mark.parametrize("mode", ["group", "cdev"])
def test_legacy_driver_on_the_io_bar(host, mode):
    host.note_probes()
    host.adopt(VFS[0], "virtio-vfio-pci")
    assert host.probed_by() == {VFS[0]: ["virtio_vfio_pci"]}
    lines = host.sh(f"guest_legacy_net {mode} {VFS[0]} {LINK} 2>&1").splitlines()
    assert lines == [
        "vendor 1af4 device 1000 revision 0 subsystem 1",
        "bar0 io size 32 region size 32 read write",
        "undecoded refused",
        "link up",
        "queue 0 size 256",
        "queue 1 size 256",
        "status 7",
        "isr 1 then 0",
        "status 0",
        "done"]
    host.release(VFS[0])


@pytest.mark.parametrize("mode", ["group", "cdev"])
def test_every_arc_of_migration(host, mode):
    assert take_through_migration(host, mode, "net", VFS, LINK) == []


def test_every_arc_of_migration_with_packed_rings(host):
    """Their places and wrap counters are in a part of ridge's own, which Linux' driver carries."""
    assert take_through_migration(host, "cdev", "net-packed", PACKED, LINK) == []


def test_function_made_while_the_host_runs(host, ridge):
    """A dynamic function: on bus 0, by a rescan, straight to its driver; then it is gone."""
    host.note_probes()
    made = ridge("create", "net", "extra", "pf=lan", "driver=none")
    rid = "10000:" + made["rid"]
    assert made["rid"].startswith("00:") and host.drivers(rid) == ["absent"]
    (adopted,) = host.adopt(rid, "vfio-pci")
    assert adopted["was"] is None
    assert host.probed_by() == {rid: ["vfio-pci"]}
    host.release(rid)
    ridge("destroy", "extra")
    assert host.sh(f"od -A n -t x1 -N 4 {DEVICES}/{rid}/config").split() == ["ff"] * 4
    host.sh(f"echo 1 >{DEVICES}/{rid}/remove; echo 1 >/sys/bus/pci/rescan")
    assert host.drivers(rid) == ["absent"]
