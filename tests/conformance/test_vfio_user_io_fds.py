# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: DEVICE_GET_REGION_IO_FDS. What KVM would do with the descriptors, the tests do."""

import errno
import os
import struct

import pytest

from vfio_user import BAR0, DMA_UNMAP, PAGE, REGION_READ, Memory, message, refused, wait_for
from virtio_guest import ACKNOWLEDGE, VERSION_1, Blk, Modern

QUEUES = 3
DATAMATCH, PIO = 1, 2  # KVM_IOEVENTFD_FLAG_*


@pytest.fixture(scope="module")
def disks(create):
    """disks(variant): a blk function with several queues."""
    made = {}

    def get(variant):
        if variant not in made:
            driver = "vfio-pci" if variant == "modern" else "virtio-vfio-pci"
            made[variant] = create("blk", driver=driver, queues=QUEUES)
        made[variant].idle()
        return made[variant]

    return get


@pytest.fixture
def given():
    """Descriptors that a test was given, closed after it."""
    fds = []
    yield fds
    for fd in fds:
        os.close(fd)


def notify_region(transport):
    bar, base, _, _ = transport.caps[Modern.NOTIFY]
    return bar, base


@pytest.mark.rules("vu-iofds-2")
def test_one_for_each_queue(disks, attach, given):
    guest = attach(disks("modern"), "modern")
    bar, base = notify_region(guest.transport)
    needed, count, subs, fds = guest.client.io_fds(bar)
    given += fds
    assert needed == 16 + 40 * QUEUES and count == len(subs) == len(fds) == QUEUES
    for queue, sub in enumerate(subs):
        guest.client.write(bar, 0x16, struct.pack("<H", queue))
        off, = struct.unpack("<H", guest.client.read(bar, 0x1E, 2))
        assert sub == {"offset": base + 4 * off, "size": 0, "fd_index": queue, "type": 0,
                       "flags": 0, "padding": 0, "datamatch": 0}
        assert sub["offset"] + 2 <= guest.client.region_info(bar)["size"]
        assert os.readlink(f"/proc/self/fd/{fds[queue]}") == "anon_inode:[eventfd]"


@pytest.mark.rules("vu-iofds-2", "vu-iofds-3")
def test_the_legacy_register(disks, given):
    """One address for all queues: the value tells which (virtio 1.3, 4.1.5.2)."""
    with disks("transitional").client() as client:
        _, count, subs, fds = client.io_fds(BAR0)
        given += fds
        assert count == len(subs) == len(fds) == QUEUES
        for queue, sub in enumerate(subs):
            assert sub == {"offset": 16, "size": 2, "fd_index": queue, "type": 0,
                           "flags": DATAMATCH | PIO, "padding": 0, "datamatch": queue}


@pytest.mark.rules("vu-iofds-6")
def test_regions_without(disks):
    with disks("modern").client() as client:
        for index in range(client.device_info()["num_regions"]):
            if index != 2:
                assert client.io_fds(index) == (16, 0, [], [])
        assert refused(client.io_fds, client.device_info()["num_regions"]) == "EINVAL"
        assert refused(client.io_fds, 0xFFFFFFFF) == "EINVAL"


@pytest.mark.rules("vu-iofds-4")
def test_argsz_says_how_much_is_needed(disks, given):
    with disks("modern").client() as client:
        full = 16 + 40 * QUEUES
        assert refused(client.io_fds, 2, argsz=15) == "EINVAL"
        for argsz in (16, 55, 56, full - 1):
            assert client.io_fds(2, argsz=argsz) == (full, QUEUES, [], [])
        needed, _, subs, fds = client.io_fds(2, argsz=full)
        given += fds
        assert needed == full and len(subs) == len(fds) == QUEUES


@pytest.mark.rules("vu-iofds-5", "vu-version-7", "vu-iofds-6")
@pytest.mark.parametrize("caps,expected", [
    ({"max_msg_fds": 0}, 0), ({"max_msg_fds": 1}, 1), ({}, 1), ({"max_msg_fds": 2}, 2),
    ({"max_msg_fds": 1 << 40}, QUEUES)])
def test_no_more_descriptors_than_the_client_takes(disks, given, caps, expected):
    """More than one sub-region may share the same file descriptor."""
    with disks("modern").client(caps=caps) as client:
        _, count, subs, fds = client.io_fds(2)
        given += fds
        assert len(fds) == expected
        assert count == (QUEUES if expected else 0)
        assert [sub["fd_index"] for sub in subs] == [q % expected for q in range(count)]


@pytest.mark.parametrize("variant", ["modern", "transitional"])
def test_they_stay_the_same_and_go_with_the_client(disks, given, variant):
    function = disks(variant)
    where = f"/proc/{function.pid()}/fd"
    idle = len(os.listdir(where))
    with function.client() as client:
        before = len(os.listdir(where))
        for _ in range(10):
            _, _, _, fds = client.io_fds(2)
            given += fds
            os.eventfd_write(fds[0], 1)
            assert len(os.listdir(where)) == before + QUEUES
        if variant == "transitional":
            given += client.io_fds(BAR0)[3]
            assert len(os.listdir(where)) == before + QUEUES
        client.reset()
        given += client.io_fds(2)[3]
        assert len(os.listdir(where)) == before + QUEUES
        # A signal through any copy of it is a notification.
        now = function.counters()["notifies"]
        for count, fd in enumerate(given[::QUEUES], 1):
            os.eventfd_write(fd, 1)
            assert wait_for(lambda: function.counters()["notifies"] == now + count)
    function.idle()
    assert wait_for(lambda: len(os.listdir(where)) == idle)
    now = function.counters()["notifies"]
    os.eventfd_write(given[0], 1)
    assert function.counters()["notifies"] == now


@pytest.mark.rules("vu-iofds-7")
@pytest.mark.parametrize("variant", ["modern", "legacy"])
def test_a_disk_that_is_kicked_by_nothing_else(disks, attach, given, variant):
    function = disks("modern" if variant == "modern" else "transitional")
    guest = attach(function, variant)
    transport = guest.transport
    _, _, _, fds = guest.client.io_fds(2 if variant == "modern" else BAR0)
    given += fds
    transport.start(VERSION_1 if variant == "modern" else 0, queues=QUEUES, size=None)
    transport.notify = lambda index: os.eventfd_write(fds[index], 1)
    disk = Blk(transport)
    with open(function.image, "rb") as image:
        expected = image.read(4096)
    for queue in range(QUEUES):
        chain, data, status = disk.prepare(Blk.IN, 0, length=4096)
        transport.run(chain, index=queue)
        assert guest.memory.read(status, 1)[0] == Blk.OK
        assert guest.memory.read(data, 4096) == expected


@pytest.mark.rules("vu-unmap-2")
def test_what_was_signalled_before_an_unmap_uses_the_memory(disks, attach, given):
    guest = attach(disks("modern"), "modern")
    transport, memory, client = guest.transport, guest.memory, guest.client
    _, _, _, fds = client.io_fds(2)
    given += fds
    transport.start(VERSION_1)
    disk = Blk(transport)
    for ident in range(20):
        chain, _, status = disk.prepare(Blk.IN, 0, length=512)
        memory.write(status, b"\xff")
        transport.queues[0].add(chain)
        os.eventfd_write(fds[0], 1)
        client.send_raw(message(DMA_UNMAP, struct.pack("<IIQQ", 24, 0, memory.iova, memory.size),
                                ident=ident))
        client.reply_to(ident, DMA_UNMAP)
        assert memory.read(status, 1)[0] == Blk.OK
        assert transport.queues[0].pop() is not None
        memory.share(client)
    assert guest.function.counters()["dma_faults"] == 0


def test_an_unmap_is_answered_while_a_guest_signals_all_the_time(disks, attach, given):
    guest = attach(disks("modern"), "modern")
    _, _, _, fds = guest.client.io_fds(2)
    given += fds
    guest.transport.start(VERSION_1)
    other = Memory(size=PAGE, iova=0x1000)
    child = os.fork()
    if not child:
        while True:
            os.eventfd_write(fds[0], 1)
            os.eventfd_write(fds[1], 1)
    try:
        for _ in range(50):
            other.share(guest.client)
            other.unshare(guest.client)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        other.close()


def test_signals_between_resets(disks, attach, given):
    """A device that is not running ignores them, and a reset leaves none over."""
    guest = attach(disks("modern"), "modern")
    _, _, _, fds = guest.client.io_fds(2)
    given += fds
    for _ in range(20):
        for fd in fds:
            os.eventfd_write(fd, 1)
        guest.client.reset()
        guest.transport.reset()
        guest.transport.set_status(ACKNOWLEDGE)
        for fd in fds:
            os.eventfd_write(fd, 1)
    guest.transport.start(VERSION_1)
    assert guest.function.show()["state"] == "connected"
    assert guest.function.counters()["device_errors"] == 0


def test_descriptors_that_nobody_takes_are_few(disks, given):
    """They count for all processes of the server's user, until they are taken."""
    with disks("modern").client() as client:
        ask = struct.pack("<IIII", 65536, 0, 2, 0)
        client.send_raw(b"".join(message(6, ask, ident=i) for i in range(100)))
        replies = [client.recv() for _ in range(100)]
        given += [fd for reply in replies for fd in reply.fds]
        assert replies[0].fds and not replies[0].error
        assert {reply.error for reply in replies if not reply.fds} <= {errno.EBUSY}
        _, _, _, fds = client.io_fds(2)
        given += fds
        assert len(fds) == QUEUES


def test_descriptors_come_with_their_message(disks, given):
    """Replies around it are without."""
    with disks("modern").client() as client:
        read = struct.pack("<QII", 0, 7, 4)
        ask = struct.pack("<IIII", 65536, 0, 2, 0)
        client.send_raw(b"".join(message(6 if i % 3 == 1 else REGION_READ,
                                         ask if i % 3 == 1 else read, ident=i)
                                 for i in range(30)))
        for i in range(30):
            reply = client.reply_to(i, 6 if i % 3 == 1 else REGION_READ)
            given += reply.fds
            assert len(reply.fds) == (QUEUES if i % 3 == 1 else 0)
