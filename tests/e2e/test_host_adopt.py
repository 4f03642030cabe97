# SPDX-License-Identifier: BSD-3-Clause
"""ridge host adopt and release in a Linux host, with devices that QEMU emulates: igb and nvme."""

import time

import pytest

from linux_host import APPEND, LinuxHost, programs

HARDWARE = [
    {"driver": "pcie-root-port", "id": "port1", "chassis": 1, "slot": 1, "addr": "2.0"},
    {"driver": "igb", "bus": "port1"},
    {"driver": "pcie-root-port", "id": "port2", "chassis": 2, "slot": 2, "addr": "3.0"},
    {"driver": "nvme-subsys", "id": "subsys"},
    {"driver": "nvme", "serial": "ridge", "subsys": "subsys", "bus": "port2", "sriov_max_vfs": 4,
     "sriov_vq_flexible": 8, "sriov_vi_flexible": 4, "max_ioqpairs": 16, "msix_qsize": 16},
]
IGB, NVME = "0000:01:00.0", "0000:02:00.0"
IGB_VFS = ["0000:01:10.0", "0000:01:10.2", "0000:01:10.4"]  # first offset 0x80, stride 2
NVME_VFS = ["0000:02:00.1", "0000:02:00.2", "0000:02:00.3", "0000:02:00.4"]
DEVICES = "/sys/bus/pci/devices"


@pytest.fixture(scope="module")
def host(new_guest):
    guest = new_guest([], hardware=HARDWARE, kernel="built", append=APPEND, files=programs("guest_hold"))
    guest.boot()
    host = LinuxHost(guest)
    assert host.drivers(IGB, NVME) == ["igb", "nvme"]
    yield host
    assert guest.poweroff() == 0


@pytest.fixture(autouse=True)
def as_before(host):
    """Each test leaves the host as it found it."""
    look = f"""
        cat /sys/bus/pci/drivers_autoprobe {DEVICES}/*/sriov_drivers_autoprobe \
            {DEVICES}/*/sriov_numvfs {DEVICES}/*/driver_override
        cd {DEVICES}; for rid in *; do echo $rid $(readlink $rid/driver); done
        ls /run/ridge/host 2>/dev/null"""
    before = host.sh(look + "; true")
    yield
    assert host.sh(look + "; true") == before


@pytest.mark.parametrize("pf, vfs, driver", [(IGB, IGB_VFS, "vfio-pci"),
                                             (NVME, NVME_VFS, "vfio-pci"),
                                             (IGB, IGB_VFS, "pci-stub"),
                                             (NVME, NVME_VFS, "pci-stub")])
def test_vfs_without_a_normal_probe(host, pf, vfs, driver):
    host.note_probes()
    adopted = host.adopt(*vfs, driver)
    assert [(one["rid"], one["driver"], one["was"], one["changed"]) for one in adopted] == \
        [(rid, driver, None, True) for rid in vfs]
    assert host.drivers(*vfs) == [driver] * len(vfs)
    assert host.probed_by() == {rid: [driver] for rid in vfs}
    assert host.read(f"{DEVICES}/{pf}/sriov_numvfs") == str(len(vfs))
    assert host.read(f"{DEVICES}/{pf}/sriov_drivers_autoprobe") == "1"
    if driver == "vfio-pci":
        assert host.sh("ls /dev/vfio/devices | wc -l").strip() == str(len(vfs))
    again = host.adopt(*vfs, driver)
    assert [one["changed"] for one in again] == [False] * len(vfs)

    host.release(*vfs[1:])
    assert host.drivers(*vfs) == [driver] + [None] * (len(vfs) - 1)
    host.release(vfs[0])
    assert host.drivers(*vfs) == ["absent"] * len(vfs)
    assert host.probed_by() == {rid: [driver] for rid in vfs}


def test_vf_of_the_normal_driver_comes_back_to_it(host):
    """The long way: what a host does without ridge, and how adopt undoes it."""
    host.note_probes()
    host.sh(f"echo 2 >{DEVICES}/{IGB}/sriov_numvfs")
    vf = IGB_VFS[1]
    assert host.drivers(vf) == ["igbvf"]
    (adopted,) = host.adopt(vf[5:], "vfio-pci")
    assert (adopted["rid"], adopted["was"]) == (vf, "igbvf")
    assert host.drivers(*IGB_VFS[:2]) == ["igbvf", "vfio-pci"]
    (adopted,) = host.adopt(vf, "pci_stub")
    assert adopted["was"] == "vfio-pci" and adopted["driver"] == "pci-stub"
    (released,) = host.release(vf)
    assert (released["was"], released["driver"]) == ("pci-stub", "igbvf")
    assert host.probed_by()[vf] == ["igbvf", "vfio-pci", "pci-stub", "igbvf"]
    # VF 3 would need another number of VFs, which Linux does not change while there are some.
    status, out = host.ridge("host", "adopt", IGB_VFS[2], "vfio-pci")
    assert status == 1 and f"it is a VF of {IGB}, which has 2 enabled" in out["error"]["message"]
    host.sh(f"echo 0 >{DEVICES}/{IGB}/sriov_numvfs")


def test_function_that_a_rescan_finds(host):
    """As with one that ridge creates in a domain: nobody probes it but the driver it is for."""
    host.sh(f"echo 1 >{DEVICES}/{NVME}/remove")
    assert host.drivers(NVME) == ["absent"]
    host.note_probes()
    (adopted,) = host.adopt(NVME, "vfio-pci")
    assert adopted["was"] is None and host.drivers(NVME) == ["vfio-pci"]
    assert host.probed_by() == {NVME: ["vfio-pci"]}
    host.release(NVME)
    assert host.drivers(NVME) == [None]
    host.sh(f"echo {NVME} >/sys/bus/pci/drivers_probe")


def test_pf_with_its_disk(host):
    (adopted,) = host.adopt(NVME, "vfio-pci")
    assert adopted["was"] == "nvme"
    host.release(NVME)
    assert host.drivers(NVME) == ["nvme"]


def test_refusal(host):
    """vfio-pci wants an IOMMU; what it refuses is as it was."""
    noiommu = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
    host.sh(f"echo N >{noiommu}")
    status, out = host.ridge("host", "adopt", NVME, "vfio-pci")
    assert status == 1 and out["error"]["errno"] == "EINVAL"
    assert out["error"]["message"] == (
        f"host adopt {NVME}: vfio-pci refuses it (Invalid argument): it has no IOMMU group: turn "
        "the IOMMU on, or set vfio.enable_unsafe_noiommu_mode=1")
    assert host.drivers(NVME) == ["nvme"]
    host.sh(f"echo Y >{noiommu}")
    status, out = host.ridge("host", "adopt", NVME, "uio_pci_generic")
    assert status == 1 and "there is no driver uio_pci_generic" in out["error"]["message"]
    status, out = host.ridge("host", "adopt", "0000:07:00.0", "vfio-pci")
    assert status == 1 and "there is no such function" in out["error"]["message"]


@pytest.mark.parametrize("holder, held", [
    ("sleep 600 <>$(echo /dev/vfio/noiommu-*) >/dev/null", "readlink /proc/$!/fd/0 | grep -q vfio"),
    ("sleep 600 <>$(echo /dev/vfio/devices/*) >/dev/null", "readlink /proc/$!/fd/0 | grep -q vfio"),
    (f"guest_hold {NVME} >/tmp/held", "grep -q held /tmp/held")])
def test_open_function_is_not_let_go(host, holder, held):
    """Its group, itself, or itself with the group closed."""
    host.adopt(NVME, "vfio-pci")
    pid = host.sh(f"""
        rm -f /tmp/held
        {holder} 2>/dev/null &
        until {held}; do sleep 0.1; done
        echo $!""").strip()
    status, out = host.ridge("host", "release", NVME)
    assert status == 1 and out["error"]["errno"] == "EBUSY"
    assert f"process {pid} has it open through vfio-pci" in out["error"]["message"]
    assert host.drivers(NVME) == ["vfio-pci"]
    host.adopt(IGB_VFS[0], "vfio-pci")
    host.release(IGB_VFS[0])  # nobody has that
    host.sh(f"kill {pid}; wait {pid} 2>/dev/null; true")
    host.release(NVME)


def test_killed_adopt_leaves_nothing(host):
    """Whenever that is: the next command, a release, puts back what there is to put back."""
    vfs = " ".join(IGB_VFS)
    start = time.monotonic()
    host.adopt(*IGB_VFS, "vfio-pci")
    whole = time.monotonic() - start
    host.release(*IGB_VFS)
    killed = 0
    for part in (3, 5, 6):
        status = host.sh(f"""
            ridge host adopt {vfs} vfio-pci >/dev/null 2>&1 &
            sleep {whole * part / 8:.3f}; kill -KILL $! 2>/dev/null; wait $! 2>/dev/null; echo $?
            ridge host release {vfs} >/dev/null 2>&1; true""").split()[-1]
        killed += status == "137"
        assert host.drivers(*IGB_VFS) == ["absent"] * len(IGB_VFS)
        assert host.read("/sys/bus/pci/drivers_autoprobe") == "1"
        assert host.read(f"{DEVICES}/{IGB}/sriov_drivers_autoprobe") == "1"
    assert killed
