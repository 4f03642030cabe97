# SPDX-License-Identifier: BSD-3-Clause
"""What the functions of an exported PF are attached to: the PF's own device, and VFs in bulk."""

import os
import signal
import stat

import pytest

from domain import MESSAGES_AT, PF, VF1, Function, Modern
from ridge import RidgeError
from vfio_user import wait_for
from virtio_guest import VERSION_1, Blk

MIB = 1 << 20
FLUSH = 1 << 9  # virtio 1.3, 5.2.3
MAC = 1 << 5  # 5.1.3


def disk(exported, d, function):
    """A driver on a blk function: Blk with the function's MSI-X vector 1 for its queue."""
    driver = Modern(function, exported.memory_of(d))
    driver.enable_msix(2)
    driver.start(VERSION_1 | FLUSH, vectors=[1])
    return Blk(driver)


def test_the_pf_is_a_disk_itself(export, work):
    image = os.path.join(work, "pf.img")
    with open(image, "wb") as file:
        file.write(os.urandom(MIB))
    exported = export("blk", max_vfs=2, image=image)
    d = exported.attach()
    pf = disk(exported, d, Function(d, PF))
    assert pf.transport.config(0, 8) == MIB // 512
    with open(image, "rb") as file:
        assert pf.read(3, 1024) == file.read()[3 * 512:][:1024]
    assert d.wait_message() == (MESSAGES_AT, PF << 8 | 1)
    pf.write(5, b"ridge" * 102 + b"!!")
    pf.flush()
    with open(image, "rb") as file:
        assert file.read()[5 * 512:][:5] == b"ridge"
    # A disk is no VF's: the PF's own image is locked by it, local or exported.
    with pytest.raises(RidgeError, match="pf.img"):
        exported.ridge("create", "blk", "other", f"image={image}")


@pytest.fixture
def many(export, work):
    """(exported, domain, functions) of a blk PF with three VFs enabled, and images to be made."""
    pattern = os.path.join(work, "vf-%n.img")
    exported = export("blk", max_vfs=8, vf_image=pattern, vf_size="4M")
    d = exported.attach()
    bars = d.place_vf_bars()
    d.set_vfs(3)
    yield exported, d, [Function(d, VF1 + n, bars) for n in range(3)]
    for n in range(1, 9):
        if os.path.exists(pattern.replace("%n", str(n))):
            os.unlink(pattern.replace("%n", str(n)))


def test_a_vf_gets_its_image_when_it_is_used(many, work):
    exported, d, vfs = many
    disks = [disk(exported, d, vf) for vf in vfs[:2]]
    assert [one.transport.config(0, 8) for one in disks] == [4 * MIB // 512] * 2
    path = os.path.join(work, "vf-%d.img")
    assert not os.path.exists(path % 1)
    disks[0].write(7, b"\x11" * 512)
    assert os.stat(path % 1).st_size == 4 * MIB
    assert stat.S_IMODE(os.stat(path % 1).st_mode) == 0o600
    assert os.stat(path % 1).st_blocks * 512 < MIB  # sparse
    assert not os.path.exists(path % 2) and not os.path.exists(path % 3)
    disks[1].write(7, b"\x22" * 512)
    assert disks[0].read(7, 512) == b"\x11" * 512
    # What it holds outlives the VF.
    d.set_vfs(0)
    d.set_vfs(3)
    again = disk(exported, d, vfs[0])
    assert again.read(7, 512) == b"\x11" * 512
    assert again.serial().startswith("pf-")


def test_requests_wait_for_a_ridged_that_is_away(many, work):
    exported, d, vfs = many
    one = disk(exported, d, vfs[0])
    exported.ridge.kill(signal.SIGTERM)
    try:
        chain, _, status = one.prepare(Blk.OUT, 1, b"\x33" * 512)
        one.transport.queues[0].add(chain)
        one.transport.kick()
        assert d.wait_message(0.3) is None
        assert one.memory.read(status, 1) == b"\xff"
        assert not os.path.exists(os.path.join(work, "vf-1.img"))
    finally:
        exported.ridge.start()
    one.transport.queues[0].wait(20)
    assert one.memory.read(status, 1) == b"\0"
    assert one.read(1, 512) == b"\x33" * 512
    assert exported.info()["exported"] and exported.info()["peer_pid"] == os.getpid()


def test_an_image_that_cannot_be_had_is_an_error_until_the_next_reset(many, work):
    exported, d, vfs = many
    path = os.path.join(work, "vf-1.img")
    with open(path, "wb") as small:
        small.truncate(MIB)
    one = disk(exported, d, vfs[0])
    assert one.request(Blk.IN, length=512)[0] == Blk.IOERR
    assert wait_for(lambda: "vf_size is 4194304" in exported.ridge.log())
    os.unlink(path)
    assert one.request(Blk.IN, length=512)[0] == Blk.IOERR
    assert disk(exported, d, vfs[0]).read(0, 512) == b"\0" * 512


def test_a_vf_that_is_disabled_does_not_want_its_image_any_more(many):
    exported, d, vfs = many
    one = disk(exported, d, vfs[0])
    exported.ridge.kill(signal.SIGTERM)
    one.transport.queues[0].add(one.prepare(Blk.OUT, 1, b"\x33" * 512)[0])
    one.transport.kick()
    d.set_vfs(0)
    exported.ridge.start()
    d.set_vfs(3)
    assert disk(exported, d, vfs[0]).read(1, 512) == b"\0" * 512


@pytest.mark.parametrize("keys,wrong", [
    (["vf_image=/tmp/x-%n"], "vf_image without vf_size"),
    (["vf_size=1M"], "vf_size without vf_image"),
    (["vf_image=/tmp/x", "vf_size=1M"], "give a path with %n"),
    (["vf_image=/tmp/%d-%n", "vf_size=1M"], "give a path with %n"),
    (["vf_image=/tmp/%n", "vf_size=512"], "4096 or more"),
    (["vf_image=/tmp/%n", "vf_size=image"], "4096 or more"),
    (["image=/nowhere/at/all"], "No such file"),
])
def test_what_is_not_possible(ridge, keys, wrong):
    with pytest.raises(RidgeError, match=wrong):
        ridge("pf", "add", "wrong", "type=blk", *keys)
    assert not [pf for pf in ridge("pf", "list") if pf["name"] == "wrong"]


# net

class Port:
    """A net driver on a function: receive buffers posted, frames by send() and receive()."""

    def __init__(self, exported, d, function):
        self.d = d
        driver = self.driver = Modern(function, exported.memory_of(d))
        driver.start(VERSION_1 | MAC, queues=2)
        self.memory = driver.memory
        self.mac = driver.config(0, 6).to_bytes(6, "little")
        self.areas = {}
        for _ in range(16):
            area = self.memory.alloc(2048)
            self.areas[driver.queues[0].add([(area, 2048, True)])] = area
        driver.kick(0)

    def send(self, destination, payload):
        frame = bytes(12) + destination + self.mac + b"\x88\xb5" + payload
        area = self.memory.alloc(len(frame))
        self.memory.write(area, frame)
        self.driver.run([(area, len(frame), False)], index=1)

    def receive(self):
        """The next frame, or None."""
        self.d.drain()
        if (element := self.driver.queues[0].pop()) is None:
            return None
        head, length = element
        return self.memory.read(self.areas[head], length)[12:]


def test_the_pf_and_its_vfs_are_on_one_switch(export):
    exported = export("net", max_vfs=600)
    d = exported.attach()
    bars = d.place_vf_bars()
    d.set_vfs(600)
    ports = [Port(exported, d, Function(d, PF)), Port(exported, d, Function(d, VF1, bars)),
             Port(exported, d, Function(d, VF1 + 599, bars))]
    for one in ports:
        assert one.mac[0] & 3 == 2  # local, unicast
    for source, target in ((0, 1), (1, 0), (1, 2), (2, 0)):
        ports[source].send(ports[target].mac, b"%d to %d" % (source, target))
        frame = wait_for(ports[target].receive)
        assert frame[:12] == ports[target].mac + ports[source].mac
        assert frame[14:] == b"%d to %d" % (source, target)
    ports[2].send(b"\xff" * 6, b"to all")
    assert wait_for(ports[0].receive)[14:] == wait_for(ports[1].receive)[14:] == b"to all"
    assert ports[2].receive() is None


def test_addresses_are_the_same_every_time(export):
    exported = export("net", max_vfs=300)

    def addresses():
        d = exported.attach()
        bars = d.place_vf_bars()
        d.set_vfs(300)
        found = []
        for rid in [PF, *range(VF1, VF1 + 300)]:
            function = Function(d, rid, None if rid == PF else bars)
            if rid == PF:
                function.config_write(0x04, 2, 0x2)
            found.append(function.read(2, 0x2000, 6))
        d.close()
        exported.local()
        return found

    first = addresses()
    assert len(set(first)) == 301
    exported.ridge("export", exported.name)
    assert addresses() == first
