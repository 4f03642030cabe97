# SPDX-License-Identifier: BSD-3-Clause
"""What a client sends together takes effect in the order it was sent."""

import struct

import pytest
from vfio_user import DMA_UNMAP, NO_REPLY, REGION_WRITE, message
from virtio_guest import ACKNOWLEDGE, BLK, DRIVER, DRIVER_OK, FEATURES_OK, VERSION_1, Blk, Modern


def unmap(memory, ident):
    return message(DMA_UNMAP, struct.pack("<IIQQ", 24, 0, memory.iova, memory.size), ident=ident)


def posted(region, offset, data):
    return message(REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data,
                   flags=NO_REPLY)


@pytest.mark.rules("vu-connection-2")
@pytest.mark.parametrize("trigger, count", [("notify", 1), ("notify", 80), ("DRIVER_OK", 1)])
def test_unmap_right_behind_what_makes_the_device_read_its_queue(functions, attach, trigger,
                                                                 count):
    """
    QEMU sends both in one piece when a BIOS starts a disk and then changes the memory map. A device
    takes many turns for a full queue.
    """
    guest = attach(functions("blk", "modern"), "modern")
    transport, client, memory = guest.transport, guest.client, guest.memory
    assert guest.function.made["type"] == "blk" and BLK == 2
    disk = Blk(transport)
    transport.reset()
    running = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK
    transport.set_status(ACKNOWLEDGE)
    transport.set_status(ACKNOWLEDGE | DRIVER)
    transport.set_features(VERSION_1)
    transport.set_status(running & ~DRIVER_OK)
    queue = transport.setup_queue(0)
    if trigger == "notify":
        transport.set_status(running)
    statuses = []
    for _ in range(count):
        chain, _, status = disk.prepare(Blk.IN, 0, length=512)
        queue.add(chain)
        statuses.append(status)

    if trigger == "notify":
        bar, base, _, _ = transport.caps[Modern.NOTIFY]
        write = posted(bar, base + transport.notify_at[0], struct.pack("<H", 0))
    else:
        bar, base, _, _ = transport.caps[Modern.COMMON]
        write = posted(bar, base + Modern.FIELDS["device_status"][0], bytes([running]))
    client.send_raw(write + unmap(memory, 77))
    client.reply_to(77, DMA_UNMAP)
    memory.share(client)

    transport.kick()
    for _ in statuses:
        queue.wait()
    assert {memory.read(status, 1)[0] for status in statuses} == {Blk.OK}
    shown = guest.function.show()
    assert shown["state"] == "connected" and shown["counters"]["dma_faults"] == 0, shown
