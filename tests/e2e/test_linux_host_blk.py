# SPDX-License-Identifier: BSD-3-Clause
"""An exported blk PF and a net PF in one Linux host: VFs of both at work, and migration of blk."""

import os
import random

import pytest

from helpers import sha256
from linux_host import APPEND, LinuxHost, exported, programs, take_through_migration

DEVICES = "/sys/bus/pci/devices"
NET, BLK = "10000:00:00.0", "10001:00:00.0"  # in the order of the VMDs
NET_VFS = [f"10000:01:{n >> 3:02x}.{n & 7}" for n in range(8)]
BLK_VFS = [f"10001:01:{n >> 3:02x}.{n & 7}" for n in range(8)]
VF_SIZE = 1 << 20
FRAMES = 20  # of each sender; all of them fit into the receive queue of the PF


@pytest.fixture(scope="module")
def images(work):
    """Directory of the blk PF's images: of its own, and of its VFs, each with a label."""
    path = os.path.join(work, "images")
    os.mkdir(path)
    with open(os.path.join(path, "pf"), "wb") as image:
        image.truncate(4 << 20)
    for n in (1, 2):
        with open(os.path.join(path, f"vf{n}"), "wb") as image:
            image.write(b"label-of-vf-%04d" % n)
            image.truncate(VF_SIZE)
    return path


@pytest.fixture(scope="module")
def host(ridge, images, new_guest):
    ridge("pf", "add", "lan", "type=net", "max_vfs=16")
    ridge("pf", "add", "disks", "type=blk", "max_vfs=16", f"image={images}/pf",
          f"vf_image={images}/vf%n", f"vf_size={VF_SIZE}")
    guest = new_guest([exported(ridge, "lan"), exported(ridge, "disks")], kernel="built", cpus=4,
                      memory="512M", append=APPEND,
                      files=programs("guest_net", "guest_migrate"))
    guest.boot()
    host = LinuxHost(guest)
    host.sh("echo 4 >/proc/sys/vm/nr_hugepages; ip link set eth0 up")
    yield host
    assert guest.poweroff() == 0


@pytest.fixture(autouse=True)
def no_vfs_left(host):
    yield
    for pf in (NET, BLK):
        assert host.read(f"{DEVICES}/{pf}/sriov_numvfs") == "0"


def interfaces(host):
    """{RID: interface} of the net domain."""
    found = {}
    for line in host.sh("""
            for i in /sys/class/net/eth*; do
                echo $(readlink -f $i/device/..) ${i##*/}
            done""").splitlines():
        path, name = line.split()
        found[os.path.basename(path)] = name
    return found


def disks(host):
    """{RID: disk}, likewise."""
    return {os.path.basename(os.path.dirname(path)): name for path, name in (
        line.split() for line in host.sh("""
            for i in /sys/block/vd*; do echo $(readlink -f $i/device) ${i##*/}; done""").splitlines())}


def test_sixteen_vfs_at_work(host, images):
    """All at once: each disk is filled and read back, each interface sends to the PF's and hears
    from it, the PF's own disk, too."""
    host.sh(f"echo 8 >{DEVICES}/{NET}/sriov_numvfs; echo 8 >{DEVICES}/{BLK}/sriov_numvfs")
    assert host.drivers(*NET_VFS, *BLK_VFS) == ["virtio-pci"] * 16
    ports, drives = interfaces(host), disks(host)
    assert set(ports) == {NET, *NET_VFS} and set(drives) == {BLK, *BLK_VFS}
    macs = {rid: host.read(f"/sys/class/net/{name}/address") for rid, name in ports.items()}
    assert len(set(macs.values())) == 9

    seeds = {rid: random.randrange(1 << 30) for rid in drives}
    sizes = {rid: int(host.read(f"/sys/block/{name}/size")) * 512 for rid, name in drives.items()}
    lines = ["mkdir -p /tmp/work; cd /tmp/work; rm -f *"]
    # A disk's content is a text that repeats; its checksum is made from the pipe and the disk.
    for rid, name in drives.items():
        lines.append(f"""
            ( yes "{seeds[rid]}" | head -c {sizes[rid]} | tee /dev/{name} | sha256sum >want-{name}
              echo 3 >/proc/sys/vm/drop_caches
              sha256sum </dev/{name} >have-{name} ) &""")
    for rid, name in ports.items():
        lines.append(f"ip link set {name} up")
        expected = FRAMES * 8 if rid == NET else FRAMES
        lines.append(f"( timeout 100 guest_net receive {name} {expected} >heard-{name} ) &")
    lines.append("for i in heard-*; do until grep -q ready $i; do sleep 0.1; done; done")
    for rid in NET_VFS:
        lines.append(f"guest_net send {ports[rid]} {macs[NET]} {macs[rid]} {FRAMES} &")
        lines.append(f"guest_net send {ports[NET]} {macs[rid]} {macs[NET]} {FRAMES} &")
    lines.append("wait")
    host.sh("\n".join(lines), timeout=200)

    for rid, name in drives.items():
        assert host.read(f"/tmp/work/have-{name}") == host.read(f"/tmp/work/want-{name}"), rid
    for rid, name in ports.items():
        heard = host.sh(f"grep -v ready /tmp/work/heard-{name}").split()
        senders = NET_VFS if rid == NET else [NET]
        assert sorted(heard) == sorted(macs[sender] for sender in senders
                                       for _ in range(FRAMES)), rid
    # The images have it, too.
    for rid, path in [(BLK, "pf")] + [(rid, f"vf{n + 1}") for n, rid in enumerate(BLK_VFS)]:
        want = host.read(f"/tmp/work/want-{drives[rid]}").split()[0]
        assert sha256(os.path.join(images, path)) == want, path
    for n in (1, 2):
        with open(os.path.join(images, f"vf{n}"), "r+b") as image:
            image.write(b"label-of-vf-%04d" % n)
    host.sh(f"echo 0 >{DEVICES}/{NET}/sriov_numvfs; echo 0 >{DEVICES}/{BLK}/sriov_numvfs")


@pytest.mark.parametrize("mode", ["group", "cdev"])
def test_every_arc_of_migration(host, mode):
    # The queues go from one VF to the other; what they work on is the VF's own.
    assert take_through_migration(host, mode, "blk", BLK_VFS[:2], "-") == [
        "label-of-vf-0001", "label-of-vf-0002"]
