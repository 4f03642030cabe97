# SPDX-License-Identifier: BSD-3-Clause
"""An exported PF in Debian's own kernel, whose modules are those that a distribution has."""

import pytest

from linux_host import LinuxHost, exported, programs

PF = "10000:00:00.0"
VFS = ["10000:01:00.0", "10000:01:00.1", "10000:01:00.2"]
DEVICES = "/sys/bus/pci/devices"


@pytest.fixture(scope="module")
def host(ridge, new_guest):
    ridge("pf", "add", "lan", "type=net", "max_vfs=64")
    guest = new_guest([exported(ridge, "lan")], memory="512M", files=programs("guest_net"))
    guest.boot()
    guest.sh("for module in $(cat /modules/vmd); do insmod /modules/$module.ko || exit 1; done")
    host = LinuxHost(guest)
    yield host
    assert guest.poweroff() == 0


def test_pf_its_vfs_and_adopt(host, ridge):
    assert host.drivers(PF) == ["virtio-pci"]
    (pf,) = ridge("pf", "list")
    # It asked for the admin commands: Debian's kernel has VIRTIO_PCI_ADMIN_LEGACY.
    assert sum(pf["admin_commands"]) >= 2
    assert host.sh("ls /sys/class/net").split() == ["eth0", "lo"]

    host.sh(f"echo 3 >{DEVICES}/{PF}/sriov_numvfs")
    assert host.drivers(*VFS) == ["virtio-pci"] * 3
    mac = {name: host.read(f"/sys/class/net/{name}/address") for name in ("eth1", "eth3")}
    host.sh("ip link set eth1 up; ip link set eth3 up")
    heard = host.sh(f"""
        guest_net receive eth1 5 >/tmp/heard &
        until grep -q ready /tmp/heard; do sleep 0.1; done
        guest_net send eth3 {mac['eth1']} {mac['eth3']} 5; wait; cat /tmp/heard""").split()
    assert heard == ["ready"] + [mac["eth3"]] * 5
    host.sh(f"echo 0 >{DEVICES}/{PF}/sriov_numvfs")

    # No VFIO is in this initramfs; any driver will do.
    host.adopt(*VFS[:2], "virtio-pci")
    assert host.drivers(*VFS[:2]) == ["virtio-pci"] * 2
    host.release(*VFS[:2])
    assert host.read(f"{DEVICES}/{PF}/sriov_numvfs") == "0"
