# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest as the SR-IOV host of an exported PF: what its own drivers make of PF and VFs.

Everything that the guest is asked is upstream's: vmd makes the PCI domain, virtio_pci binds the PF
and gets its admin queue, sriov_numvfs makes VFs, virtio_blk and virtio_net use them. The kernel is
the one of tests/guest/make-kernel, and for some tests also Debian's own.
"""

import os
import signal
import time

import pytest

from helpers import guest_sha256, hwrngs, random_bytes, sha256
from ridge import alive
from vfio_user import wait_for

MIB = 1 << 20
PF = "10000:00:00.0"
SYSFS = f"/sys/bus/pci/devices/{PF}"
VF_SIZE = 2 * MIB
# For tests of blk: in both kernels. Debian's has vmd as a module.
KERNELS = pytest.mark.parametrize("blk", ["built", "debian"], indirect=True)


class Host:
    """An exported PF, and the guest that has it."""

    def __init__(self, ridge, new_guest, name, kind, kernel="built", **keys):
        self.ridge, self.name = ridge, name
        ridge("pf", "add", name, f"type={kind}", *[f"{k}={v}" for k, v in keys.items()])
        socket = ridge("export", name)["socket"]
        self.guest = new_guest([{"driver": "vfio-user-pci",
                                 "socket": {"path": socket, "type": "unix"}}],
                               kernel="built" if kernel == "built" else True, memory="512M",
                               name=name)
        self.guest.boot()
        self.sh = self.guest.sh
        if kernel == "debian":
            self.sh("insmod /modules/vmd.ko")

    def info(self):
        (info,) = [pf for pf in self.ridge("pf", "list") if pf["name"] == self.name]
        return info

    def vfs(self, count, autoprobe=True, timeout=120):
        self.sh(f"echo {int(autoprobe)} >{SYSFS}/sriov_drivers_autoprobe; "
                f"echo {count} >{SYSFS}/sriov_numvfs", timeout)

    def functions(self):
        """RIDs in the domain, but for the PF's."""
        found = self.sh("ls /sys/bus/pci/devices").split()
        return sorted(rid for rid in found if rid.startswith("10000:") and rid != PF)

    def end(self):
        self.guest.poweroff()
        assert wait_for(lambda: not self.info()["exported"], 20)
        self.ridge("pf", "remove", self.name)


@pytest.fixture(scope="module", params=["built"])
def blk(request, ridge, new_guest, new_disk, work):
    name = f"hblk-{request.param}"
    host = Host(ridge, new_guest, name, "blk", kernel=request.param, max_vfs=1000,
                image=new_disk(f"{name}.img", 4 * MIB), vf_size=VF_SIZE,
                vf_image=os.path.join(work, f"{name}-vf%n.img"))
    host.vf_image = lambda n: os.path.join(work, f"{name}-vf{n}.img")
    yield host
    host.end()


@pytest.fixture(scope="module")
def net(ridge, new_guest):
    host = Host(ridge, new_guest, "hnet", "net", max_vfs=64)
    yield host
    host.end()


@KERNELS
def test_virtio_pci_binds_the_pf_with_its_admin_queue(blk):
    assert os.path.basename(blk.sh(f"readlink {SYSFS}/driver").strip()) == "virtio-pci"
    features = blk.sh(f"cat {SYSFS}/virtio*/features").strip()
    assert features[37] == features[41] == "1"  # SR_IOV, ADMIN_VQ
    assert sum(blk.info()["admin_commands"]) >= 2  # LIST_QUERY, LIST_USE
    assert blk.sh(f"cat {SYSFS}/sriov_totalvfs").strip() == "1000"
    assert blk.info()["peer_pid"] == blk.guest.pid


def write_all(host, names):
    """Each disk gets a pattern of its own in the background, the PF's at the same time."""
    host.sh(f"""
        for disk in {' '.join(names)}; do
            yes $disk | head -c 65536 | dd of=/dev/$disk bs=64k oflag=direct 2>/dev/null &
        done
        wait""")


@KERNELS
def test_sixteen_vfs_and_the_pf_work_at_once(blk):
    blk.vfs(16)
    disks = blk.sh("ls /sys/block").split()
    assert len(disks) == 17 and disks[0] == "vda"
    write_all(blk, disks)
    for disk in disks:
        read = blk.sh(f"dd if=/dev/{disk} bs=64k count=1 iflag=direct 2>/dev/null | uniq")
        assert read.split() == [disk]
    blk.vfs(0)
    assert blk.sh("ls /sys/block").split() == ["vda"]
    contents = set()
    for n in range(1, 17):
        assert os.path.getsize(blk.vf_image(n)) == VF_SIZE
        with open(blk.vf_image(n), "rb") as image:
            contents.add(image.read(3))
    assert contents == {disk.encode()[:3] for disk in disks[1:]}
    assert not os.path.exists(blk.vf_image(17))


@KERNELS
@pytest.mark.parametrize("count", [1, 64, 1000])
def test_vfs_are_enabled_and_disabled(blk, count):
    blk.vfs(count, autoprobe=count <= 64)
    functions = blk.functions()
    assert len(functions) == count and functions[0] == "10000:01:00.0"
    last = 256 + count - 1
    assert functions[-1] == "10000:%02x:%02x.%d" % (last >> 8, last >> 3 & 31, last & 7)
    assert blk.sh(f"ls {SYSFS} | grep -c virtfn").strip() == str(count)
    if count <= 64:
        assert len(blk.sh("ls /sys/block").split()) == count + 1
    blk.vfs(0)
    assert blk.functions() == []


def start_load(host, disks):
    """Writes to disks until they are gone, in the background."""
    host.sh(f"""
        touch /tmp/load
        for disk in {disks}; do
            (while [ -e /tmp/load -a -b /dev/$disk ]; do
                dd if=/dev/zero of=/dev/$disk bs=64k count=16 oflag=direct conv=notrunc || break
            done) >/dev/null 2>&1 &
        done
        sleep 0.3""")


def stop_load(host):
    host.sh("rm /tmp/load; while pidof dd; do sleep 0.1; done >/dev/null; "
            "find /dev -name 'vd*' -type f -exec rm {} +")


def test_vfs_are_disabled_under_load(blk):
    for _ in range(2):
        blk.vfs(8)
        start_load(blk, "vdb vdc vdd vde vdf vdg vdh vdi")
        blk.vfs(0)
        assert blk.functions() == []
        stop_load(blk)
    # The PF has gone on, and VFs come back.
    blk.vfs(1)
    assert blk.sh("dd if=/dev/vdb of=/dev/null bs=64k iflag=direct 2>&1 && echo fine").endswith("fine\n")
    blk.vfs(0)


def test_a_function_is_reset_from_under_its_load(blk):
    """Linux resets by FLR; the function answers again, and its driver is bound anew.

    Its own drivers have nothing in flight by then; FLR during I/O is test_domain_hostile.py's.
    """
    blk.vfs(1)
    assert "flr" in blk.sh("cat /sys/bus/pci/devices/10000:01:00.0/reset_method")
    start_load(blk, "vdb")
    blk.sh("""
        echo 10000:01:00.0 >/sys/bus/pci/drivers/virtio-pci/unbind
        echo 1 >/sys/bus/pci/devices/10000:01:00.0/reset
        echo 10000:01:00.0 >/sys/bus/pci/drivers/virtio-pci/bind""")
    stop_load(blk)
    assert len(blk.sh("ls /sys/block").split()) == 2
    disk = blk.sh("ls /sys/block").split()[-1]
    blk.sh(f"dd if=/dev/{disk} of=/dev/null bs=64k count=1 iflag=direct 2>/dev/null")
    blk.vfs(0)


def test_functions_one_by_one_after_a_rescan(blk, new_disk):
    path = new_disk("dynamic.img", MIB)
    made = blk.ridge("create", "blk", "dyn", f"pf={blk.name}", "driver=none", f"image={path}")
    assert made["rid"] == "00:01.0" and made["slot"] is None
    assert blk.functions() == []
    blk.sh("echo 1 >/sys/bus/pci/rescan")
    assert blk.functions() == ["10000:00:01.0"]
    disk = blk.sh("ls /sys/bus/pci/devices/10000:00:01.0/virtio*/block").strip()
    assert int(blk.sh(f"cat /sys/block/{disk}/size")) * 512 == MIB
    assert guest_sha256(blk.guest, disk) == sha256(path)
    blk.sh("echo 1 >/sys/bus/pci/devices/10000:00:01.0/remove")
    blk.ridge("destroy", "dyn")
    blk.sh("echo 1 >/sys/bus/pci/rescan")
    assert blk.functions() == []


def test_traffic_across_the_switch(net):
    """The PF and two of sixteen VFs, each in a network namespace of its own."""
    net.vfs(16)
    names = net.sh(f"""
        ls {SYSFS}/virtio*/net
        for n in 0 15; do ls {SYSFS}/virtfn$n/virtio*/net; done""").split()
    assert len(set(names)) == 3
    net.sh(f"""
        i=1
        for name in {' '.join(names)}; do
            unshare -n sleep 600 & pid=$!
            echo $pid >/tmp/ns$i
            while [ $(readlink /proc/$pid/ns/net) = $(readlink /proc/self/ns/net) ]; do :; done
            ip link set $name netns $pid
            nsenter -t $pid -n ip addr add 10.9.0.$i/24 dev $name
            nsenter -t $pid -n ip link set $name up
            i=$((i + 1))
        done""")
    for source, target in ((1, 2), (2, 3), (3, 1)):
        net.sh(f"nsenter -t $(cat /tmp/ns{source}) -n ping -c 3 -i 0.2 -W 5 10.9.0.{target}")
    net.sh("for i in 1 2 3; do kill $(cat /tmp/ns$i); done")


def test_the_vmm_is_killed(ridge, new_guest, new_disk, work):
    """While PF and VFs write to their disks. Nothing writes afterwards, and nobody has the images."""
    pattern = os.path.join(work, "kill-%n.img")
    images = [pattern.replace("%n", str(n)) for n in range(1, 9)] + [new_disk("kill.img", 4 * MIB)]
    host = Host(ridge, new_guest, "hkill", "blk", max_vfs=8, image=images[-1], vf_image=pattern,
                vf_size=VF_SIZE)
    host.vfs(8)
    start_load(host, "vda vdb vdc vdd vde vdf vdg vdh vdi")
    assert wait_for(lambda: all(os.path.exists(path) for path in images), 20)
    host.guest.kill(signal.SIGKILL)
    pid = host.info()["pid"]
    assert wait_for(lambda: not host.info()["exported"], 20)
    assert alive(pid)
    written = [os.stat(path).st_mtime_ns for path in images]
    time.sleep(0.3)
    assert [os.stat(path).st_mtime_ns for path in images] == written
    opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not set(images[:-1]) & set(opened)
    made = ridge("create", "blk", "after-kill", "pf=hkill", f"image={images[0]}")
    assert made["rid"] == "01:00.0" and made["state"] == "idle"
    ridge("destroy", "after-kill")
    ridge("pf", "remove", "hkill")


def test_random_numbers(ridge, new_guest):
    """The PF and its VFs, with Debian's own kernel."""
    host = Host(ridge, new_guest, "hrng", "rng", kernel="debian", max_vfs=8)
    host.vfs(4)
    assert len(host.functions()) == 4
    rngs = hwrngs(host.guest)
    assert len(rngs) == 5
    assert len({bytes(random_bytes(host.guest, rng, 64)) for rng in rngs}) == 5
    host.vfs(0)
    assert host.functions() == [] and len(hwrngs(host.guest)) == 1
    host.end()
