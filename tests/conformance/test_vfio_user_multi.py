# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: REGION_WRITE_MULTI, on real functions and over both transports."""

import struct

import pytest

from vfio_user import (BAR0, CONFIG, DMA_UNMAP, NO_REPLY, PAGE, REGION_WRITE_MULTI, message, refused,
                       write_multi)
from virtio_guest import VERSION_1, Blk, Modern, rng_read

STATUS, QUEUE_SELECT = 18, 14  # legacy registers (virtio 1.3, 4.1.4.10)
LINE = 0x3C                    # the interrupt line: a byte that anybody may write


@pytest.fixture
def modern(functions):
    with functions("rng", "modern").client() as client:
        yield client


@pytest.mark.rules("vu-multi-1", "vu-multi-2")
def test_writes_to_several_regions_in_order(functions):
    with functions("blk", "transitional").client() as client:
        assert client.write_multi([(CONFIG, LINE, b"\x01"), (BAR0, QUEUE_SELECT, b"\x05\x00"),
                                   (CONFIG, LINE, b"\x02"), (BAR0, STATUS, b"\x01"),
                                   (BAR0, STATUS, b"\x03"), (2, 0x16, b"\x09\x00")]) == 6
        assert client.config_read(LINE, 1) == 2
        assert client.read(BAR0, STATUS, 1) == b"\x03"
        assert client.read(2, 0x16, 2) == b"\x09\x00"
        assert client.write_multi([(BAR0, STATUS, b"\x00")]) == 1
        assert client.read(BAR0, STATUS, 1) == b"\x00"


@pytest.mark.rules("vu-multi-1", "vu-multi-2")
@pytest.mark.parametrize("count", [1, 2, 64, 200, 1000])
def test_many_writes(modern, count):
    writes = [(CONFIG, LINE, bytes([i & 0xFF])) for i in range(count)]
    assert modern.write_multi(writes) == count
    assert modern.config_read(LINE, 1) == (count - 1) & 0xFF
    modern.write_multi(writes[:-1] + [(CONFIG, LINE, b"\x55")], posted=True)
    assert modern.config_read(LINE, 1) == 0x55


@pytest.mark.rules("vu-multi-3")
def test_every_size_of_a_write(modern):
    for size in range(1, 9):
        assert modern.write_multi([(2, 0x20, bytes(range(1, 9))[:size])]) == 1
    for size in (0, 9, 0xFFFFFFFF):
        entry = struct.pack("<QII8s", LINE, CONFIG, size, b"\x44")
        payload = write_multi([(CONFIG, LINE, b"\x33")], 2) + entry
        assert refused(modern.command, REGION_WRITE_MULTI, payload) == "EINVAL"
        assert modern.config_read(LINE, 1) == 0, "nothing of it was done"


@pytest.mark.rules("vu-multi-3")
def test_counts_that_do_not_fit(modern):
    two = [(CONFIG, LINE, b"\x33")] * 2
    for count in (0, 1, 3, 1 << 32, (1 << 61) + 2, (1 << 64) - 1):
        assert refused(modern.command, REGION_WRITE_MULTI, write_multi(two, count)) == "EINVAL"
    for cut in (1, 8, 23, 24, 47, 48, 49):
        assert refused(modern.command, REGION_WRITE_MULTI, write_multi(two)[:-cut]) == "EINVAL"
    assert refused(modern.command, REGION_WRITE_MULTI, write_multi([])) == "EINVAL"
    assert modern.config_read(LINE, 1) == 0


@pytest.mark.rules("vu-multi-2")
@pytest.mark.parametrize("region,offset", [(CONFIG, PAGE), (CONFIG, PAGE - 1), (9, 0), (2, 1 << 40),
                                           (0xFFFFFFFF, 0), (0, 0), (2, 0xFFFFFFFFFFFFFFF0)])
def test_a_write_that_fails_ends_it(modern, region, offset):
    """The reply says how many were completed; an error if that is none."""
    good, bad = (CONFIG, LINE, b"\x11"), (region, offset, b"\x22\x22")
    assert modern.write_multi([good, bad, (CONFIG, LINE, b"\x33")]) == 1
    assert modern.config_read(LINE, 1) == 0x11
    assert refused(modern.write_multi, [bad, good]) == "EINVAL"
    modern.write_multi([bad, (CONFIG, LINE, b"\x44")], posted=True)
    assert modern.config_read(LINE, 1) == 0x11


def test_a_reset_in_the_middle(modern):
    """Function level reset through configuration space: what follows finds the function new."""
    at = dict((cap, at) for cap, at in modern.capabilities())[0x10]
    assert modern.write_multi([(CONFIG, LINE, b"\x11"), (CONFIG, at + 8, b"\x00\x80"),
                               (CONFIG, 4, b"\x02\x00")]) == 3
    assert modern.config_read(LINE, 1) == 0
    assert modern.config_read(4, 2) & 6 == 2


def posted_kick(transport):
    if isinstance(transport, Modern):
        bar, base, _, _ = transport.caps[Modern.NOTIFY]
        at = base + transport.notify_at[0]
    else:
        bar, at = BAR0, 16
    return message(REGION_WRITE_MULTI, write_multi([(CONFIG, LINE, b"\x01")] * 100 +
                                                   [(bar, at, b"\x00\x00")]), flags=NO_REPLY)


@pytest.mark.rules("vu-unmap-2")
@pytest.mark.parametrize("variant", ["modern", "legacy"])
def test_io_that_it_started_ends_before_unmap_is_answered(functions, attach, variant):
    guest = attach(functions("blk", variant), variant)
    transport, client, memory = guest.transport, guest.client, guest.memory
    transport.start(VERSION_1 if variant == "modern" else 0)
    disk = Blk(transport)
    for round_ in range(5):
        chain, data, status = disk.prepare(Blk.IN, 0, length=512)
        memory.write(status, b"\xff")
        transport.queues[0].add(chain)
        unmap = message(DMA_UNMAP, struct.pack("<IIQQ", 24, 0, memory.iova, memory.size),
                        ident=1000 + round_)
        client.send_raw(posted_kick(transport) + unmap)
        client.reply_to(1000 + round_, DMA_UNMAP)
        assert memory.read(status, 1) == b"\x00", "done when the answer comes"
        with open(guest.function.image, "rb") as image:
            assert memory.read(data, 512) == image.read(512)
        assert transport.queues[0].pop() is not None
        memory.share(client)
    assert guest.function.counters()["dma_faults"] == 0


def test_a_guest_that_kicks_this_way(functions, attach):
    guest = attach(functions("rng", "modern"), "modern")
    guest.transport.start(VERSION_1)
    bar, base, _, _ = guest.transport.caps[Modern.NOTIFY]
    at = base + guest.transport.notify_at[0]
    guest.transport.notify = lambda index: guest.client.write_multi([(bar, at, b"\0\0")])
    assert len(set(rng_read(guest.transport, 64))) > 8
