# SPDX-License-Identifier: BSD-3-Clause
"""What a host should not do with an exported PF, or not at that time. No DMA, no message is late."""

import os
import random
import struct
import threading
import time

import pytest

from domain import CTRL, MESSAGES_AT, NUM, PF, SRIOV, VF1, VFE, Domain, Function, Modern
from ridge import RidgeError
from vfio_user import BAR0, CONFIG, NO_REPLY, REGION_READ, REGION_WRITE, wait_for
from virtio_guest import VERSION_1, Blk, rng_read

MIB = 1 << 20
FLUSH = 1 << 9


class Slow:
    """A blk VF in slot 1 whose backend can hang, on an exported PF with 4 VFs; and its host."""

    def __init__(self, export, work):
        self.exported = export("blk", max_vfs=4)
        self.ridge = self.exported.ridge
        self.work, self.names = work, []
        self.name = self.create("slow", 1)
        self.image = os.path.join(work, "slow.img")
        self.d = self.exported.attach()
        self.bars = self.d.place_vf_bars()
        self.pf = Function(self.d, PF)
        self.pf.config_write(4, 2, 0x6)
        self.d.set_vfs(4)
        self.vf = Function(self.d, VF1, self.bars)
        self.memory = self.exported.memory_of(self.d)
        self.driver = Modern(self.vf, self.memory)
        self.driver.enable_msix(2)
        self.driver.start(VERSION_1 | FLUSH, vectors=[1])
        self.disk = Blk(self.driver)

    def create(self, name, slot):
        """A disk of random bytes in a slot, destroyed at the end; its name in full."""
        image = os.path.join(self.work, f"{name}.img")
        with open(image, "wb") as file:
            file.write(os.urandom(MIB))
        self.names.append(f"{name}-{self.exported.name}")
        self.ridge("create", "blk", self.names[-1], f"pf={self.exported.name}", f"slot={slot}",
                   "driver=none", f"image={image}")
        return self.names[-1]

    def neighbour(self):
        """A driver on the disk in slot 2."""
        self.create("near", 2)
        return disk_of(Function(self.d, VF1 + 1, self.bars), self.memory)

    def hang(self, on):
        self.ridge("debug", "fault", self.name, "backend-hang", str(int(on)))

    def submit(self, count=8):
        """Reads that do not end while the backend hangs."""
        self.hang(True)
        for sector in range(count):
            self.driver.queues[0].add(self.disk.prepare(Blk.IN, 8 * sector, length=4096)[0])
        self.driver.kick()
        for _ in range(count):  # a turn of the device's, which takes one at the least
            self.d.drain()

    def poison(self):
        self.memory.map[:] = b"\xa5" * self.memory.size

    def poisoned(self):
        return self.memory.map[:] == b"\xa5" * self.memory.size

    def close(self):
        self.hang(False)
        self.d.close()
        self.exported.local()
        self.ridge("destroy", *self.names)


@pytest.fixture
def slow(export, work):
    made = Slow(export, work)
    yield made
    made.close()


def silent(d, seconds):
    """Whether the server says nothing."""
    d.sock.settimeout(seconds)
    try:
        d.sock.recv(1)
    except TimeoutError:
        return True
    finally:
        d.sock.settimeout(5)
    return False


def post_config(d, rid, offset, value):
    d.send(REGION_WRITE, struct.pack("<QIIH", rid << 12 | offset, BAR0, 2, value), flags=NO_REPLY)


def test_vfs_are_gone_when_their_io_has_ended(slow):
    d = slow.d
    slow.submit()
    post_config(d, PF, SRIOV + CTRL, 0)
    ident = d.send(REGION_READ, struct.pack("<QII", 0, BAR0, 4))
    assert silent(d, 0.5)  # the host does not know yet that the VFs are gone
    slow.hang(False)
    assert d.reply_to(ident, REGION_READ).payload[16:] == b"\xf4\x1a\x42\x10"
    slow.poison()
    d.drain()
    assert slow.vf.config_read(0x2C, 4) == 0xFFFFFFFF
    d.set_vfs(4)
    assert slow.vf.config_read(0x2C, 4) == 0x00421AF4
    time.sleep(0.1)
    assert slow.poisoned() and d.drain() == []


def test_io_that_does_not_end_ends_the_connection(slow):
    d = slow.d
    slow.submit()
    post_config(d, PF, SRIOV + CTRL, 0)
    assert d.closed(10)
    info = slow.exported.info()  # it drains: still nobody else's
    assert info["exported"] and info["peer_pid"] is None
    slow.hang(False)
    assert slow.exported.local()


def test_a_function_level_reset_during_io(slow):
    d = slow.d
    slow.submit()
    slow.vf.flr()
    ignored = slow.exported.counters()["ignored"]
    assert slow.vf.config_read(4, 4) == 0xFFFFFFFF  # PCIe 6.6.2: the host waits for this to end
    assert slow.vf.read(2, 0x12, 2) == b"\xff\xff"
    slow.vf.config_write(4, 2, 0x6)
    slow.vf.write(2, 0x3000, b"\0\0")
    d.drain()
    assert slow.exported.counters()["ignored"] == ignored + 4
    assert slow.pf.config_read(0, 4) == 0x10421AF4  # others go on
    slow.hang(False)
    assert slow.vf.answers()
    slow.poison()
    assert slow.vf.config_read(4, 2) == 0
    time.sleep(0.1)
    assert slow.poisoned() and d.drain() == []


def test_the_pf_is_reset_while_a_vf_has_io(slow):
    d = slow.d
    slow.submit()
    at = slow.pf.cap(0x10) + 8
    post_config(d, PF, at, 0x8000)
    ident = d.send(REGION_READ, struct.pack("<QII", 0, BAR0, 4))
    assert silent(d, 0.3)
    slow.hang(False)
    d.reply_to(ident, REGION_READ)
    slow.poison()
    assert slow.pf.answers()
    assert slow.pf.config_read(SRIOV + CTRL, 2) == 0 and slow.pf.config_read(SRIOV + NUM, 2) == 0
    assert slow.vf.config_read(0x2C, 4) == 0xFFFFFFFF
    time.sleep(0.1)
    assert slow.poisoned() and d.drain() == []


def given_back(slow, buffers):
    """All that was taken came back, its interrupt aside, and no byte changes after that."""
    assert slow.driver.queues[0].device_idx() == 8
    slow.memory.map[buffers] = b"\xa5" * (buffers.stop - buffers.start)
    held = slow.memory.map[:]
    slow.driver.kick()
    time.sleep(0.1)
    return slow.memory.map[:] == held and slow.d.drain() == []


def goes_on(slow):
    """Bus mastering is on again: the interrupt comes."""
    assert slow.d.wait_message() == (MESSAGES_AT, VF1 << 8 | 1)
    assert sum(1 for _ in iter(slow.driver.queues[0].pop, None)) == 8


@pytest.mark.rules("pci-bus-1")
def test_bus_mastering_of_the_vmd_is_turned_off_during_io(slow):
    """The host hears that it is off when the last access to its memory was made: buffers that were
    taken have been given back, and only the interrupt is still to come."""
    d = slow.d
    begin = slow.memory.used
    slow.submit()
    buffers = slice(begin, slow.memory.used)
    d.send(REGION_WRITE, struct.pack("<QIIH", 4, CONFIG, 2, 0x2), flags=NO_REPLY)
    ident = d.send(REGION_READ, struct.pack("<QII", 0, BAR0, 4))
    assert silent(d, 0.5)
    slow.hang(False)
    d.reply_to(ident, REGION_READ)
    assert given_back(slow, buffers)
    d.config_write(4, 2, 0x6)
    goes_on(slow)


@pytest.mark.rules("pci-bus-1")
def test_bus_mastering_of_a_vf_is_turned_off_during_io(slow):
    """It may be in the hands of a guest of the host's: it alone is away until its last access to
    memory was made, for however long that takes."""
    near = slow.neighbour()
    begin = slow.memory.used
    slow.submit()
    buffers = slice(begin, slow.memory.used)
    slow.vf.config_write(4, 2, 0x2)
    for _ in range(40):  # 4 s: longer than the host is kept waiting for anything
        assert slow.vf.config_read(0x2C, 4) == 0xFFFFFFFF
        assert slow.vf.read(2, 0x12, 2) == b"\xff\xff"
        assert near.read(3, 512)
        time.sleep(0.1)
    slow.hang(False)
    assert slow.vf.answers()
    assert slow.vf.config_read(4, 2) == 0
    assert given_back(slow, buffers)
    slow.vf.config_write(4, 2, 0x6)
    goes_on(slow)


@pytest.mark.rules("pci-bus-1")
def test_bus_mastering_is_turned_off_during_io_that_ends(slow):
    """There is no DMA once the function answers, be that at once or after a while."""
    for _ in range(20):
        count = 8
        for sector in range(count):
            chain = slow.disk.prepare(Blk.IN, 8 * sector, length=4096)[0]
            slow.driver.queues[0].add(chain)
        slow.driver.kick()
        slow.vf.config_write(4, 2, 0x2)
        assert slow.vf.answers()
        held = slow.memory.map[:]
        time.sleep(0.01)
        assert slow.memory.map[:] == held
        slow.vf.config_write(4, 2, 0x6)
        for _ in range(count):
            slow.driver.queues[0].wait()


def test_bus_mastering_is_turned_on_again_during_io(slow):
    """Then nothing is waited for. However often somebody does so, others are served most of the
    time: only now and then is such a write held for 10 ms."""
    slow.submit()
    took = []
    for _ in range(50):
        begin = time.monotonic()
        slow.vf.config_write(4, 2, 0x2)
        took.append(time.monotonic() - begin)
        assert slow.vf.config_read(4, 2) == 0xFFFF
        slow.vf.config_write(4, 2, 0x6)
        assert slow.vf.config_read(4, 2) == 0x4
    assert took[0] >= 0.009
    assert min(took) < 0.009
    slow.hang(False)
    goes_on(slow)


def test_bus_mastering_is_turned_off_before_a_function_level_reset(slow):
    """As Linux does it: what it writes to the function is all ones that it read, and the bit."""
    at = slow.vf.cap(0x10) + 8
    slow.submit()
    slow.vf.config_write(4, 2, 0x2)
    assert slow.vf.config_read(at, 2) == 0xFFFF
    slow.vf.config_write(at, 2, 0xFFFF)
    slow.vf.config_write(4, 2, 0x6)  # a reset hears nothing
    assert slow.vf.config_read(4, 4) == 0xFFFFFFFF
    slow.hang(False)
    assert slow.vf.answers()
    slow.poison()
    assert slow.vf.config_read(4, 2) == 0 and slow.vf.config_read(at, 2) == 0
    assert slow.vf.read(2, 0x14, 1) == b"\0"  # the status
    time.sleep(0.1)
    assert slow.poisoned() and slow.d.drain() == []


def test_bus_mastering_of_the_vmd_is_turned_off_for_good(slow):
    """I/O that does not end is waited for as long as by everything that concerns all functions."""
    slow.submit()
    slow.d.send(REGION_WRITE, struct.pack("<QIIH", 4, CONFIG, 2, 0x2), flags=NO_REPLY)
    assert slow.d.closed(10)
    slow.hang(False)
    assert slow.exported.local()


def test_memory_is_unmapped_during_io(slow):
    d = slow.d
    slow.submit()
    ident = d.send(3, struct.pack("<IIQQ", 24, 0, slow.memory.iova, slow.memory.size))
    assert silent(d, 0.3)
    slow.hang(False)
    d.reply_to(ident, 3)
    slow.poison()
    for _ in range(5):
        slow.driver.kick()
    time.sleep(0.1)
    assert slow.poisoned()


def test_the_vmm_is_gone_during_io(slow):
    slow.submit()
    slow.d.close()
    assert wait_for(lambda: slow.exported.info()["peer_pid"] is None)
    assert slow.exported.info()["exported"]
    slow.hang(False)
    slow.exported.local()
    slow.poison()
    time.sleep(0.1)
    assert slow.poisoned()
    # Another host gets everything as new.
    slow.ridge("export", slow.exported.name)
    slow.d = Domain(slow.exported.socket)
    assert slow.d.ecam_read(PF, SRIOV + CTRL, 2) == 0


def disk_of(function, memory):
    """A driver on a blk function."""
    driver = Modern(function, memory)
    driver.start(VERSION_1 | FLUSH)
    return Blk(driver)


def test_a_function_that_is_destroyed_while_its_io_hangs(export, work):
    """It is gone for the host at once, and its RID is nobody else's before it is destroyed."""
    exported = export("blk", max_vfs=1)
    ridge = exported.ridge
    names = [f"{name}-{exported.name}" for name in ("hung", "next")]

    def create(name):
        image = os.path.join(work, f"{name}.img")
        with open(image, "wb") as file:
            file.write(bytes(MIB))
        return ridge("create", "blk", name, f"pf={exported.name}", "driver=none", f"image={image}")

    assert create(names[0])["rid"] == "00:01.0"
    d = exported.attach()
    disk = disk_of(Function(d, 1 << 3), exported.memory_of(d))
    ridge("debug", "fault", names[0], "backend-hang", "1")
    disk.transport.queues[0].add(disk.prepare(Blk.IN, 0, length=4096)[0])
    disk.transport.kick()
    d.drain()
    with pytest.raises(RidgeError, match="I/O of its backend has not ended"):
        ridge("destroy", names[0], "--force")
    assert d.ecam_read(1 << 3, 0, 4) == 0xFFFFFFFF
    with pytest.raises(RidgeError, match="pulled out to be destroyed; destroy it again"):
        ridge("set", names[0], "size=512K")
    assert create(names[1])["rid"] == "00:02.0"
    # A host that comes next finds the other alone.
    d.close()
    exported.local()
    ridge("export", exported.name)
    d = exported.attach()
    assert d.ecam_read(1 << 3, 0, 4) == 0xFFFFFFFF
    assert disk_of(Function(d, 2 << 3), exported.memory_of(d)).read(0, 512) == bytes(512)
    ridge("debug", "fault", names[0], "backend-hang", "0")
    ridge("destroy", names[0])
    assert create(names[0])["rid"] == "00:01.0"
    ridge("destroy", *names, "--force")


def test_vfs_are_enabled_and_disabled_under_load(export):
    exported = export("rng", max_vfs=16)
    d = exported.attach()
    bars = d.place_vf_bars()
    memory = exported.memory_of(d)
    for turn in range(30):
        count = 1 + turn % 16
        d.set_vfs(count)
        for n in range(0, count, 3):
            driver = Modern(Function(d, VF1 + n, bars), memory)
            driver.start(VERSION_1)
            area = memory.alloc(16 * 512)
            for i in range(16):
                driver.queues[0].add([(area + 512 * i, 512, True)])
            driver.kick()
        d.set_vfs(0)
        held = memory.map[:]
        d.drain()
        assert memory.map[:] == held
        memory.used = 0


def test_bars_are_moved_under_load(export):
    exported = export("rng", max_vfs=2)
    d = exported.attach()
    bars = d.place_vf_bars()
    d.set_vfs(2)
    driver = Modern(Function(d, VF1, bars), exported.memory_of(d))
    driver.start(VERSION_1)
    area = driver.memory.alloc(4096)
    for turn in range(50):
        head = driver.queues[0].add([(area, 4096, True)])
        driver.kick()
        address = d.allocate(bars[2][1] * 2, bars[2][1])
        at = SRIOV + 0x24 + 4 * 2
        d.ecam_write(PF, at, 4, address & 0xFFFFFFFF)
        assert driver.client.read(2, 0x12, 2) == b"\xff\xff"  # where it was
        driver.client.bars[2] = address
        assert driver.client.read(2, 0x12, 2) == b"\x01\x00"
        assert driver.queues[0].wait()[0] == head
    assert any(rng_read(driver, 64))


def test_admin_queues_are_full_when_the_pf_is_reset(export):
    """By status, and by FLR; what was in the queues is not touched afterwards."""
    exported = export("rng", max_vfs=2)
    d = exported.attach()
    memory = exported.memory_of(d)
    for flr in (False, True):
        pf = Function(d, PF)
        driver = Modern(pf, memory)
        driver.start(VERSION_1 | 1 << 37 | 1 << 41, queues=3)
        for index in (1, 2):
            for _ in range(100):
                command = memory.alloc(32)
                memory.write(command, struct.pack("<HH12xQ", 0, 1, 0))  # LIST_QUERY
                driver.queues[index].add([(command, 24, False), (memory.alloc(16), 16, True)])
            driver.notify(index)
        if flr:
            pf.flr()
            assert pf.answers()
        else:
            driver.reset()
        held = memory.map[:]
        for _ in range(10):
            d.drain()
        assert memory.map[:] == held


class Busy(Slow):
    """The same, on a PF that is a disk whose backend can hang, too, with its admin queues up."""

    def __init__(self, export, work):
        image = os.path.join(work, "busy.img")
        with open(image, "wb") as file:
            file.write(os.urandom(MIB))
        super().__init__(lambda *kind, **keys: export(*kind, image=image, **keys), work)
        self.owner = Modern(self.pf, self.memory)
        queues = self.owner.get("num_queues")
        self.owner.start(VERSION_1 | FLUSH | 1 << 37 | 1 << 41, queues=queues + 2)
        self.admin = [self.owner.queues[queues], self.owner.queues[queues + 1]]
        self.parts = queues + 1
        listed = self.command(0, b"", 8)  # LIST_QUERY, LIST_USE of all that
        self.command(1, self.memory.read(listed + 8, 8))

    def put(self, queue, opcode, data, room=0, member=1):
        """A command for the SR-IOV group, not yet notified; where its reply will be."""
        head = struct.pack("<HH12xQ", opcode, 1, member) + data
        at, reply = self.memory.alloc(len(head)), self.memory.alloc(8 + room)
        self.memory.write(at, head)
        queue.add([(at, len(head), False), (reply, 8 + room, True)])
        return reply

    def command(self, opcode, data, room=0):
        reply = self.put(self.admin[0], opcode, data, room, member=0)
        self.owner.notify(self.parts - 1)
        self.admin[0].wait()
        assert self.memory.read(reply, 2) == b"\0\0"
        return reply

    def hang_pf(self, on):
        self.ridge("debug", "fault", self.exported.name, "backend-hang", str(int(on)))

    def fill(self):
        """All queues of the PF have something that does not end; more is behind it."""
        self.submit()
        self.hang_pf(True)
        disk = Blk(self.owner)
        for sector in range(16):
            self.owner.queues[0].add(disk.prepare(Blk.IN, 8 * sector, length=4096)[0])
        self.owner.notify(0)
        self.put(self.admin[1], 0x11, b"\1")  # DEV_MODE_SET: waits for the member's reads
        self.owner.notify(self.parts)
        self.d.drain()
        time.sleep(0.05)
        assert self.owner.queues[0].pop() is None and self.admin[1].pop() is None
        while len(self.admin[1].free) >= 2:
            self.put(self.admin[1], 0x11, b"\0")
        self.owner.notify(self.parts)

    def close(self):
        self.hang_pf(False)
        super().close()


@pytest.fixture
def busy(export, work):
    made = Busy(export, work)
    yield made
    made.close()


def test_the_pf_is_reset_while_its_queues_are_full(busy):
    """By its driver: it ends what it can at once, and the VFs go on."""
    d, owner = busy.d, busy.owner
    busy.fill()
    owner.set_status(0)
    time.sleep(0.2)
    assert owner.status() != 0  # its own reads
    busy.hang_pf(False)
    assert wait_for(lambda: owner.status() == 0)
    held = busy.memory.map[:]
    for _ in range(10):
        d.drain()
    assert busy.memory.map[:] == held
    assert busy.driver.queues[0].pop() is None
    busy.hang(False)
    for _ in range(8):
        busy.driver.queues[0].wait()
    assert busy.disk.read(3, 512)


@pytest.mark.rules("pci-bus-1")
def test_bus_mastering_of_the_pf_is_turned_off_while_its_queues_are_full(busy):
    """No reply to a command is written after that, either; VFs are served meanwhile."""
    near = busy.neighbour()
    busy.fill()
    busy.pf.config_write(4, 2, 0x2)
    assert busy.pf.config_read(0, 4) == 0xFFFFFFFF  # it waits for its own reads,
    busy.hang_pf(False)
    assert near.read(3, 512)
    assert busy.pf.config_read(0, 4) == 0xFFFFFFFF  # and for its command
    busy.hang(False)
    assert busy.pf.answers()
    held = busy.memory.map[:]
    busy.d.drain()
    time.sleep(0.1)
    assert busy.memory.map[:] == held
    busy.pf.config_write(4, 2, 0x6)
    assert wait_for(busy.admin[1].pop)


def test_bus_mastering_of_the_pf_is_turned_off_during_a_legacy_reset(busy):
    """That has 5 s, more than the host waits for any answer: the PF alone is away until then."""
    near = busy.neighbour()
    busy.submit()
    busy.put(busy.admin[0], 2, b"\x12" + bytes(7) + b"\0")  # status = 0
    busy.owner.notify(busy.parts - 1)
    busy.d.drain()
    time.sleep(0.05)
    begin = time.monotonic()
    busy.pf.config_write(4, 2, 0x2)
    while busy.pf.config_read(4, 4) == 0xFFFFFFFF and time.monotonic() < begin + 20:
        assert near.read(3, 512)
        time.sleep(0.1)
    assert time.monotonic() > begin + 4
    assert busy.pf.config_read(4, 2) == 0x2
    busy.pf.config_write(4, 2, 0x6)
    assert busy.admin[0].wait()


def test_flr_of_the_pf_ends_a_legacy_reset(busy):
    """Though bus mastering was turned off before, as Linux does."""
    at = busy.pf.cap(0x10) + 8
    busy.submit()
    busy.put(busy.admin[0], 2, b"\x12" + bytes(7) + b"\0")
    busy.owner.notify(busy.parts - 1)
    busy.d.drain()
    time.sleep(0.05)
    busy.pf.config_write(4, 2, 0)
    assert busy.pf.config_read(at, 2) == 0xFFFF
    release = threading.Timer(0.3, busy.hang, (False,))
    release.start()
    busy.pf.config_write(at, 2, 0xFFFF)  # its VFs go with it
    release.join()
    assert busy.pf.answers()
    assert busy.pf.config_read(SRIOV + CTRL, 2) == 0 and busy.pf.config_read(4, 2) == 0
    busy.poison()
    time.sleep(0.1)
    assert busy.poisoned() and busy.d.drain() == []


def test_flr_of_the_pf_while_its_queues_are_full(busy):
    d = busy.d
    busy.fill()
    busy.pf.flr()
    assert d.ecam_read(PF, 0, 4) == 0xFFFFFFFF  # it waits for its own reads,
    busy.hang_pf(False)
    assert not wait_for(lambda: d.ecam_read(PF, 0, 4) != 0xFFFFFFFF, 0.3)  # and for its VFs'
    busy.hang(False)
    assert busy.pf.answers()
    busy.poison()
    assert busy.pf.config_read(SRIOV + CTRL, 2) == 0
    time.sleep(0.1)
    assert busy.poisoned() and d.drain() == []
    busy.memory.map[:] = bytes(busy.memory.size)
    busy.memory.used = 0
    with open(busy.image.replace("slow", "busy"), "rb") as file:
        assert disk_of(Function(d, PF), busy.memory).read(5, 512) == file.read()[5 * 512:][:512]


def test_unexport_while_the_queues_of_the_pf_are_full(busy):
    """It is local when all has ended, and only then."""
    busy.fill()
    unexport = threading.Thread(target=busy.ridge,
                                args=("unexport", busy.exported.name, "--force"))
    unexport.start()
    assert busy.d.closed()
    busy.hang(False)
    assert busy.exported.info()["exported"]
    busy.hang_pf(False)
    unexport.join(20)
    assert not busy.exported.info()["exported"]
    busy.poison()
    time.sleep(0.1)
    assert busy.poisoned()


@pytest.mark.parametrize("seed", range(6))
def test_a_host_that_writes_anything_anywhere(export, seed):
    """Nothing breaks: after a reset of the VMD everything is as it was."""
    chance = random.Random(seed)
    exported = export("rng", max_vfs=300)
    exported.ridge("create", "rng", f"any-{seed}", f"pf={exported.name}", "driver=none")
    d = exported.attach()
    bars = d.place_vf_bars()
    memory = exported.memory_of(d)
    d.set_vfs(300)
    functions = [Function(d, rid, bars if rid >= VF1 else None)
                 for rid in (PF, 8, VF1, VF1 + 1, VF1 + 299)]
    for function in functions:
        driver = Modern(function, memory)
        driver.enable_msix(1)
        driver.start(VERSION_1)
    for _ in range(1500):
        function = chance.choice(functions)
        value = chance.choice([0, 0xFFFFFFFF, chance.getrandbits(32), memory.iova, MESSAGES_AT])
        size = chance.choice([1, 2, 4])
        data = (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little")
        what = chance.random()
        if what < 0.4:
            offset = chance.choice([4, 0x10, 0x18, 0x20, chance.randrange(0x100),
                                    SRIOV + chance.randrange(0x40), chance.randrange(0x1000)])
            d.write(BAR0, function.rid << 12 | (offset & 0xFFF & -size), data, posted=True)
        elif what < 0.5:
            d.set_vfs(chance.choice([0, 1, 2, 300, 301, 0xFFFF]))
        elif what < 0.9:
            bar = chance.choice([2, 4])
            function.write(bar, chance.randrange(0x4000) & -size, data, posted=True)
        else:
            size = chance.choice([1, 2, 3, 4, 8, 16, 255])
            d.read(chance.choice([0, 2, 4]), chance.randrange(MIB - 256), size)
        d.messages.clear()
    counters = exported.counters()
    assert counters["ignored"] and counters["config_accesses"] and counters["mmio_accesses"]
    d.reset()
    d.place()
    assert d.ecam_read(PF, 0, 4) == d.ecam_read(8, 0, 4) == 0x10441AF4
    assert not d.ecam_read(PF, SRIOV + CTRL, 2) & VFE
    bars = d.place_vf_bars()
    d.set_vfs(300)
    memory.used = 0
    for function in (Function(d, PF), Function(d, 8), Function(d, VF1 + 299, bars)):
        driver = Modern(function, memory)
        driver.start(VERSION_1)
        assert any(rng_read(driver, 64))
    exported.ridge("destroy", f"any-{seed}", "--force")


def test_a_host_that_does_not_read_its_messages(export):
    """They are kept as pending bits, and come when it reads."""
    exported = export("rng", max_vfs=1)
    d = exported.attach()
    bars = d.place_vf_bars()
    d.set_vfs(1)
    driver = Modern(Function(d, VF1, bars), exported.memory_of(d))
    driver.enable_msix(2)
    driver.start(VERSION_1, vectors=[1])
    area = driver.memory.alloc(64)
    for _ in range(3000):
        head = driver.queues[0].add([(area, 1, True)])
        d.sock.settimeout(0.5)
        try:
            driver.notify(0)
        except TimeoutError:
            break
        if (element := wait_for(driver.queues[0].pop, 0.5)) is None:
            break  # nothing more is taken from a client that takes nothing
        assert element[0] == head
    d.sock.settimeout(5)
    messages = d.drain()
    assert messages and set(messages) == {(MESSAGES_AT, VF1 << 8 | 1)}
    while wait_for(driver.queues[0].pop, 0.2):
        d.drain()
    assert any(rng_read(driver, 16))
    assert d.wait_message() == (MESSAGES_AT, VF1 << 8 | 1)
