# SPDX-License-Identifier: BSD-3-Clause
"""A PF that is exported: the VMD and the functions behind it, driven without a Linux."""

import os
import signal
import tempfile
import time

import pytest

from control import SANITIZER_WORDS, Connection
from domain import (BAR0, BAR2, BAR4, CTRL, LOW_AT, MESSAGES_AT, OFFSET, PF, SRIOV, STRIDE,
                    TOTAL, VF1, VFE, WINDOW_AT, Domain, Function, Modern)
from ridge import Ridge, RidgeError
from vfio_user import (CONFIG, DATA_NONE, MASK, PAGE, TRIGGER, UNMASK, refused, wait_for)
from virtio_guest import VERSION_1, rng_read

ONES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF}
MIB = 1 << 20


@pytest.fixture
def rng(export):
    """(exported, domain) of an rng PF with 4 VFs."""
    exported = export("rng", max_vfs=4)
    return exported, exported.attach()


# the VMD

def test_vfio_user_in_full(rng):
    """What is optional in the protocol is answered as by any function: that it has none of it."""
    exported, d = rng
    memory = exported.memory(d)
    assert refused(d.dma_map, memory.iova, PAGE) == "EEXIST"
    d.dma_unmap(0, 0, flags=2)  # everything
    assert refused(d.dma_unmap, memory.iova, memory.size) == "ENOENT"
    memory.share(d)
    for index in range(9):
        assert d.io_fds(index) == (16, 0, [], [])
    for index in range(5):
        assert d.irq_info(index)["count"] == 0
        for action in (MASK, UNMASK, TRIGGER):
            assert refused(d.set_irqs, index, DATA_NONE | action, 0, 1) == "EINVAL"
    assert d.write_multi([(CONFIG, 0x3C, b"\1"), (BAR0, 0x3C, b"\5"), (CONFIG, 0x3C, b"\2")]) == 3
    assert d.config_read(0x3C, 1) == 2


def test_the_vmd_is_what_linux_looks_for(rng):
    _, d = rng
    assert d.config_read(0x00, 4) == 0x28C08086
    assert d.config_read(0x08, 4) >> 8 == 0x010400
    assert d.capabilities() == []  # no MSI-X, no express
    assert d.config_read(0x40, 2) == 0 and d.config_read(0x70, 4) == 0
    d.config_write(0x40, 4, 0xFFFFFFFF)
    d.config_write(0x70, 4, 0xFFFFFFFF)
    assert d.config_read(0x40, 2) == 0 and d.config_read(0x70, 4) == 0
    d.config_write(0x44, 2, 0x0002)
    assert d.config_read(0x44, 2) == 0x0002
    d.reset()
    assert d.config_read(0x44, 2) == 0


@pytest.mark.parametrize("vfs,buses", [(1, 2), (256, 2), (257, 4), (1000, 8), (4094, 32)])
def test_ecam_has_room_for_the_buses_of_all_vfs(export, vfs, buses):
    d = export("rng", max_vfs=vfs).attach()
    assert d.region_info(BAR0)["size"] == buses * MIB
    assert d.region_info(BAR2)["size"] >= vfs * 0x5000
    assert d.region_info(BAR4)["size"] == MIB
    assert d.region_info(1)["size"] == 0
    # 64 bits each; the windows are told apart by being prefetchable
    assert [d.config_read(0x10 + 4 * bar, 1) & 0xF for bar in (0, 2, 4)] == [0x4, 0xC, 0x4]
    # The last VF is inside, the one behind it is nowhere.
    d.set_vfs(vfs)
    assert d.ecam_read(VF1 + vfs - 1, 0x08, 4) != 0xFFFFFFFF
    assert d.ecam_read(VF1 + vfs, 0x08, 4) == 0xFFFFFFFF if (vfs + 256) % 256 else True


def test_the_pf_and_nothing_else(rng):
    _, d = rng
    assert d.ecam_read(PF, 0, 4) == 0x10441AF4
    exp = Function(d, PF).cap(0x10)
    assert d.ecam_read(PF, exp + 2, 2) >> 4 & 0xF == 9  # root complex integrated endpoint
    for rid in [1, 7, 8, 0xF8, VF1, VF1 + 3, 0x1FF]:
        assert [d.ecam_read(rid, 0, size) for size in (1, 2, 4)] == list(ONES.values())
        d.ecam_write(rid, 4, 4, 0xFFFFFFFF)
    assert d.ecam_read(PF, SRIOV, 2) == 0x0010
    assert d.ecam_read(PF, SRIOV + TOTAL, 2) == 4
    assert d.ecam_read(PF, SRIOV + OFFSET, 2) == 256 and d.ecam_read(PF, SRIOV + STRIDE, 2) == 1
    assert d.ecam_read(PF, SRIOV + 0x24, 4) == 0
    d.ecam_write(PF, SRIOV + 0x24, 4, 0xFFFFFFFF)
    assert d.ecam_read(PF, SRIOV + 0x24, 4) == 0  # VF BAR 0 is hardwired
    # Any width, also across registers.
    assert d.read(BAR0, 1, 3) == b"\x1a\x44\x10" and d.read(BAR0, 0, 8)[:4] == b"\xf4\x1a\x44\x10"


def test_accesses_to_nothing_are_counted(rng):
    exported, d = rng

    def counted(access, *arguments):
        before = exported.counters()
        access(*arguments)
        after = exported.counters()
        assert after["config_accesses"] + after["mmio_accesses"] > \
            before["config_accesses"] + before["mmio_accesses"]
        return after["ignored"] - before["ignored"]

    assert counted(d.ecam_read, PF, 0, 4) == 0
    for rid in (1, 8, VF1, VF1 + 100):
        assert counted(d.ecam_read, rid, 0, 4) == 1
        assert counted(d.ecam_write, rid, 4, 2, 6) == 1
    assert counted(d.load, WINDOW_AT, 8) == 1  # nobody decodes memory
    assert counted(d.store, LOW_AT + 0x4000, bytes(64)) == 1
    pf = Function(d, PF)
    pf.config_write(0x04, 2, 0x2)
    assert counted(pf.read, 2, 0x12, 2) == 0
    assert counted(pf.write, 2, 0x3000, b"\0\0") == 0


def test_bars_decode_where_they_are_placed_and_while_they_are_enabled(rng):
    _, d = rng
    pf = Function(d, PF)
    queues = 0x12  # num_queues of the common configuration
    assert pf.read(2, queues, 2) == b"\xff\xff"  # memory decoding is off
    pf.config_write(0x04, 2, 0x2)
    assert pf.read(2, queues, 2) == b"\x01\x00"
    old = pf.bars[2]
    for address in (d.allocate(0x4000), LOW_AT + 0x4000):
        pf.move(2, address)
        assert pf.read(2, queues, 2) == b"\x01\x00"
        assert d.load(old + queues, 2) == b"\xff\xff"
        old = address
    # On top of one another: one of them answers, and nothing breaks.
    pf.move(4, old)
    assert pf.read(2, queues, 2) in (b"\x01\x00", b"\x00\x00")
    pf.move(4, d.allocate(0x1000))
    pf.config_write(0x04, 2, 0x0)
    assert pf.read(2, queues, 2) == b"\xff\xff"
    # Outside of both windows.
    pf.config_write(0x04, 2, 0x2)
    pf.config_write(0x1C, 4, 0x7)
    assert d.load(old + queues, 2) == b"\xff\xff"
    assert d.load(WINDOW_AT, 8) == b"\xff" * 8


def test_vfs_are_there_while_they_are_enabled(rng):
    _, d = rng
    bars = d.place_vf_bars()
    vfs = [Function(d, VF1 + n, bars) for n in range(4)]
    d.set_vfs(3)
    for vf in vfs[:3]:
        assert vf.config_read(0, 4) == 0xFFFFFFFF  # the ids are the PF's capability's
        assert vf.config_read(0x2C, 4) == 0x00441AF4
        assert vf.read(2, 0x12, 2) == b"\x01\x00"
    assert vfs[3].config_read(0x2C, 4) == 0xFFFFFFFF
    assert vfs[3].read(2, 0x12, 2) == b"\xff\xff"
    d.ecam_write(PF, SRIOV + CTRL, 2, VFE)  # VF MSE
    assert vfs[0].config_read(0x2C, 4) == 0x00441AF4
    assert vfs[0].read(2, 0x12, 2) == b"\xff\xff"
    d.set_vfs(0)
    assert vfs[0].config_read(0x2C, 4) == 0xFFFFFFFF
    d.set_vfs(4)
    assert vfs[3].config_read(0x2C, 4) == 0x00441AF4


def test_a_bar_among_those_of_vfs_hides_no_other(rng):
    _, d = rng
    bars = d.place_vf_bars()
    d.set_vfs(4)
    vfs = [Function(d, VF1 + n, bars) for n in range(4)]
    pf = Function(d, PF)
    pf.config_write(0x04, 2, 0x2)
    pf.move(4, vfs[1].bars[2])  # a page of MSI-X vectors, all of them masked
    for n in (0, 2, 3):
        assert vfs[n].read(2, 0x12, 2) == b"\x01\x00"
    assert vfs[1].read(2, 0x0C, 4) == b"\x01\0\0\0"
    assert vfs[1].read(2, 0x1000, 1) == b"\0"  # its ISR status: behind that page
    pf.move(4, d.allocate(0x1000))
    assert vfs[1].read(2, 0x12, 2) == b"\x01\x00"


def test_vfs_have_system_pages_of_their_own(rng):
    """PCIe 9.3.3.13: a VF BAR takes a page at least, whatever the host's page is."""
    _, d = rng
    assert d.ecam_read(PF, SRIOV + 0x1C, 4) == 0x553
    d.ecam_write(PF, SRIOV + 0x20, 4, 1 << 4)  # 64 KiB
    bars = d.place_vf_bars()
    assert {each for _, each in bars.values()} == {65536}
    d.set_vfs(4)
    for n in range(4):
        vf = Function(d, VF1 + n, bars)
        assert vf.read(2, 0x12, 2) == b"\x01\x00"
        assert vf.read(2, 0x4012, 2) == b"\xff\xff"
    Function(d, PF).flr()
    assert d.ecam_read(PF, SRIOV + 0x20, 4) == 1
    assert d.place_vf_bars()[2][1] == 0x4000


def start_rng(exported, d, function):
    memory = exported.memory(d)
    driver = Modern(function, memory)
    driver.enable_msix(2)
    driver.start(VERSION_1, vectors=[1])
    return driver


def test_functions_do_their_work_and_interrupt(rng):
    exported, d = rng
    bars = d.place_vf_bars()
    d.set_vfs(2)
    memory = exported.memory(d)
    for function in (Function(d, PF), Function(d, VF1, bars), Function(d, VF1 + 1, bars)):
        driver = Modern(function, memory)
        driver.enable_msix(2)
        driver.start(VERSION_1, vectors=[1])
        assert any(rng_read(driver, 64))
        assert d.wait_message() == (MESSAGES_AT, function.rid << 8 | 1)
        assert d.drain() == []
    counters = exported.counters()
    # With the commands of our own driver before the export.
    assert counters["requests"] >= 3 and counters["interrupts"] >= 3
    assert counters["connections"] == 1 and counters["config_accesses"] > 50
    assert counters["mmio_accesses"] > 50 and counters["dma_faults"] == 0


# no stale DMA, no stale message

@pytest.mark.parametrize("end", ["vf-disable", "vf-flr", "pf-flr", "vmd-reset", "status", "master"])
def test_nothing_follows_the_end(rng, end):
    exported, d = rng
    bars = d.place_vf_bars()
    pf = Function(d, PF)
    pf.config_write(0x04, 2, 0x6)
    d.set_vfs(1)
    vf = Function(d, VF1, bars)
    driver = start_rng(exported, d, vf)
    memory = driver.memory
    area = memory.alloc(32 * 4096, 4096)
    for i in range(32):
        driver.queues[0].add([(area + 4096 * i, 4096, True)])
    driver.kick()
    if end == "vf-disable":
        d.set_vfs(0)
    elif end == "vf-flr":
        vf.flr()
        vf.answers()
    elif end == "pf-flr":
        pf.flr()
        pf.answers()
        assert pf.config_read(SRIOV + CTRL, 2) == 0
    elif end == "vmd-reset":
        d.reset()
    elif end == "status":
        driver.reset()
    else:
        vf.config_write(0x04, 2, 0)
    d.drain()
    memory.map[:] = b"\xa5" * memory.size
    if end != "vmd-reset":
        for _ in range(20):
            vf.write(2, 0x3000, b"\0\0", posted=True)
    time.sleep(0.1)
    assert d.drain() == []
    assert memory.map[:] == b"\xa5" * memory.size


def test_nothing_follows_an_unmap(rng):
    exported, d = rng
    bars = d.place_vf_bars()
    d.set_vfs(1)
    driver = start_rng(exported, d, Function(d, VF1, bars))
    memory = driver.memory
    area = memory.alloc(16 * 4096, 4096)
    for i in range(16):
        driver.queues[0].add([(area + 4096 * i, 4096, True)])
    driver.kick()
    memory.unshare(d)
    memory.map[:] = b"\xa5" * memory.size
    driver.kick()
    time.sleep(0.1)
    assert memory.map[:] == b"\xa5" * memory.size


# the way there and back

def test_the_pf_is_local_again_when_the_vmm_is_gone(rng):
    exported, d = rng
    info = exported.info()
    assert info["exported"] and info["socket"] == exported.socket and info["peer_pid"] == os.getpid()
    d.set_vfs(4)
    d.ecam_read(VF1, 0x2C, 4)
    d.close()
    info = exported.local()
    assert info["socket"] is None and info["peer_pid"] is None
    assert not os.path.exists(exported.socket)
    made = exported.ridge("create", "rng", "after", f"pf={exported.name}")
    assert made["rid"] == "01:00.0" and made["driver"] == "vfio-pci"
    with pytest.raises(RidgeError, match="function after has a driver; bind it to none"):
        exported.ridge("export", exported.name)
    exported.ridge("bind", "after", "none")
    assert exported.ridge("export", exported.name)["socket"] == exported.socket
    # It keeps its slot, as a VF; another driver is not to be had now.
    with pytest.raises(RidgeError, match="is exported"):
        exported.ridge("bind", "after", "vfio-pci")
    d = exported.attach()
    d.set_vfs(1)
    assert d.ecam_read(VF1, 0x2C, 4) == 0x00441AF4
    d.close()
    exported.local()
    exported.ridge("destroy", "after")


def test_a_pf_process_that_dies_comes_back_local(rng):
    exported, d = rng
    exported.ridge("create", "rng", "dynamic", f"pf={exported.name}", "driver=none")
    os.kill(exported.info()["pid"], signal.SIGKILL)
    assert d.closed()
    assert wait_for(lambda: exported.info()["state"] == "ready" and not exported.info()["exported"],
                    20)
    assert not os.path.exists(exported.socket)
    # A function that was dynamic has a slot there.
    assert exported.ridge("show", "dynamic")["rid"] == "01:00.0"
    exported.ridge("destroy", "dynamic")
    exported.ridge("export", exported.name)
    assert exported.attach().ecam_read(PF, 0, 4) == 0x10441AF4


def test_qemu_args_of_a_pf(rng):
    exported, _ = rng
    assert exported.ridge.device(exported.name) == {
        "driver": "vfio-user-pci", "socket": {"path": exported.socket, "type": "unix"}}
    exported.ridge("unexport", exported.name, "--force")
    with pytest.raises(RidgeError, match="the PF is local; export it first"):
        exported.ridge("qemu-args", exported.name)
    with pytest.raises(RidgeError, match="there is no such function"):
        exported.ridge("qemu-args", "nobody")


def test_an_export_that_is_asked_for_before_the_pf_is_up(ridge):
    """It waits for that."""
    with Connection(ridge.socket) as one:
        for turn in range(20):
            name = f"early-{turn}"
            added = one.start("pf.add", name=name, type="rng")
            exported = one.start("pf.export", name=name)
            answers = {answer["id"]: answer for answer in (one.line(), one.line())}
            assert answers[added]["result"]["name"] == name
            assert answers[exported]["result"]["exported"], answers
            one("pf.remove", name=name)


def test_unexport(rng):
    exported, d = rng
    with pytest.raises(RidgeError, match="a VMM .* is using it"):
        exported.ridge("unexport", exported.name)
    exported.ridge("unexport", exported.name, "--force")
    assert d.closed()
    assert not exported.info()["exported"]
    assert exported.ridge("unexport", exported.name)["exported"] is False
    for _ in range(2):  # once more changes nothing
        assert exported.ridge("export", exported.name)["socket"] == exported.socket
    exported.ridge("export", exported.name, "mode=600")
    with pytest.raises(RidgeError, match=r"other parameters: mode \(have 0600, asked 0660\); ask"):
        exported.ridge("export", exported.name, "mode=660")
    exported.ridge("unexport", exported.name)
    exported.ridge("export", exported.name, "mode=660", f"group={os.getegid()}")
    exported.ridge("export", exported.name, "mode=660")
    with pytest.raises(RidgeError, match=r"mode \(have 0660, asked 0600\); ask"):
        exported.ridge("export", exported.name)
    exported.ridge("unexport", exported.name)
    with pytest.raises(RidgeError, match="no such PF"):
        exported.ridge("export", "nobody")


def test_functions_with_drivers_are_made_on_local_pfs(rng):
    exported, _ = rng
    with pytest.raises(RidgeError, match="is exported; give driver=none"):
        exported.ridge("create", "rng", "r0", f"pf={exported.name}")
    made = exported.ridge("create", "rng", "r0")
    assert made["pf"] != exported.name
    exported.ridge("destroy", "r0")


def test_dynamic_functions_come_and_go(rng):
    exported, d = rng
    rids = []
    for i in range(31):
        made = exported.ridge("create", "rng", f"dyn{i}", f"pf={exported.name}", "driver=none")
        rids.append(made["rid"])
    # The first functions of all devices, then the second ones.
    assert rids == [f"00:{device:02x}.0" for device in range(1, 31)] + ["00:01.1"]
    rid = 1 << 3
    assert d.ecam_read(rid, 0, 4) == 0x10441AF4 and d.ecam_read(rid, 0x0E, 1) == 0x80
    function = Function(d, rid)
    driver = start_rng(exported, d, function)
    assert any(rng_read(driver, 64))
    assert d.wait_message() == (MESSAGES_AT, rid << 8 | 1)
    with pytest.raises(RidgeError, match="a driver of the Linux host is using it"):
        exported.ridge("destroy", "dyn0")
    exported.ridge("destroy", "dyn0", "--force")
    assert d.ecam_read(rid, 0, 4) == 0xFFFFFFFF and function.read(2, 0x12, 2) == b"\xff\xff"
    exported.ridge("destroy", "dyn1")
    assert exported.ridge("create", "rng", "dyn0", f"pf={exported.name}",
                          "driver=none")["rid"] == "00:01.0"
    # In no domain they are nowhere, and in the next one there again.
    d.close()
    exported.local()
    with pytest.raises(RidgeError, match="no slot"):
        exported.ridge("bind", "dyn0", "vfio-pci")
    exported.ridge("export", exported.name)
    assert exported.attach().ecam_read(rid, 0, 4) == 0x10441AF4
    exported.ridge("destroy", "dyn0", *[f"dyn{i}" for i in range(2, 31)])


@pytest.mark.parametrize("kind", ["net", "rng"])
def test_a_shutdown_while_a_host_has_vfs(kind):
    """All that was made for the host is given back: nothing is left, and no leak is reported."""
    with tempfile.TemporaryDirectory(prefix="ridge-", dir="/tmp") as directory:
        with Ridge(directory) as own:
            own("pf", "add", "pf", f"type={kind}", "max_vfs=8")
            d = Domain(own("export", "pf")["socket"])
            d.set_vfs(8)
            for n in range(8):
                assert d.ecam_read(VF1 + n, 0x2C, 4) != 0xFFFFFFFF
            own.shutdown()
            assert d.closed()
            assert "ends as asked" in own.log()
            assert not [word for word in SANITIZER_WORDS if word in own.log()], own.log()


def test_4094_vfs_are_made_when_they_are_looked_at(export):
    exported = export("rng", max_vfs=4094)
    d = exported.attach()
    pid = exported.info()["pid"]

    def resident():
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    before = resident()
    d.set_vfs(4094)
    d.ecam_read(PF, 0, 4)
    assert resident() - before < MIB
    for n in range(4094):
        assert d.ecam_read(VF1 + n, 0x2C, 4) == 0x00441AF4
    d.set_vfs(0)
    assert d.ecam_read(VF1 + 4093, 0x2C, 4) == 0xFFFFFFFF
    assert not d.ecam_read(PF, SRIOV + CTRL, 2) & VFE
