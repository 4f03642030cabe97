# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: device, region and interrupt information, config space, interrupts, reset."""

import os
import struct

import pytest

import vfio_user
from vfio_user import (BAR0, CONFIG, DATA_BOOL, DATA_EVENTFD, DATA_NONE, INTX, MASK, MSI, MSIX,
                       READ, TRIGGER, UNMASK, WRITE, refused)
from virtio_guest import Irq

VARIANTS = ["modern", "transitional", "legacy"]
IDS = {"blk": (0x1001, 2), "rng": (0x1005, 4)}  # transitional PCI id, virtio device id


@pytest.fixture(params=[(kind, variant) for kind in IDS for variant in VARIANTS],
                ids=lambda p: "-".join(p))
def one(request, functions):
    """(kind, variant, client) for every kind of function."""
    kind, variant = request.param
    with functions(kind, variant).client() as client:
        yield kind, variant, client


@pytest.fixture
def modern(functions):
    with functions("rng", "modern").client() as client:
        yield client


@pytest.fixture
def legacy(functions):
    with functions("blk", "legacy").client() as client:
        yield client


# DEVICE_GET_INFO

@pytest.mark.rules("vu-info-2", "vu-info-3", "vu-size-2")
def test_device_info(one):
    _, _, client = one
    info = client.device_info()
    assert info["argsz"] == 16
    assert info["flags"] == 3  # RESET, PCI
    assert info["num_regions"] >= 9 and info["num_irqs"] >= 5


@pytest.mark.rules("vu-size-1", "vu-size-2")
def test_argsz_below_the_fixed_part(modern):
    assert refused(modern.device_info, argsz=15) == "EINVAL"
    assert refused(modern.region_info, 0, argsz=31) == "EINVAL"
    assert refused(modern.irq_info, 0, argsz=15) == "EINVAL"
    assert modern.region_info(0, argsz=4096)["argsz"] == 32


@pytest.mark.rules("vu-info-1", "vu-region-1", "vu-irq-1", "vu-iofds-1")
@pytest.mark.parametrize("command,words,index", [
    (vfio_user.GET_INFO, 4, None), (vfio_user.GET_REGION_INFO, 8, 2),
    (vfio_user.GET_REGION_IO_FDS, 4, 2),
    (vfio_user.GET_IRQ_INFO, 4, 2)])
def test_other_fields_must_be_zero(modern, command, words, index):
    for word in range(1, words):
        fields = [64] + [0] * (words - 1)
        fields[word] = 1
        got = refused(modern.command, command, struct.pack(f"<{words}I", *fields))
        assert got == (None if word == index else "EINVAL"), word


@pytest.mark.rules("vu-size-3", "vu-reset-2")
@pytest.mark.parametrize("command,size", [
    (vfio_user.GET_INFO, 16), (vfio_user.GET_REGION_INFO, 32), (vfio_user.GET_IRQ_INFO, 16),
    (vfio_user.GET_REGION_IO_FDS, 16),
    (vfio_user.RESET, 0), (vfio_user.DMA_MAP, 32), (vfio_user.DMA_UNMAP, 24),
    (vfio_user.SET_IRQS, 20), (vfio_user.REGION_READ, 16)])
def test_wrong_payload_sizes(modern, command, size):
    for wrong in {0, 1, size - 1, size + 1, size + 64} - {size, -1}:
        payload = struct.pack("<I", 256).ljust(wrong, b"\0")[:wrong]
        assert refused(modern.command, command, payload) == "EINVAL", wrong
    modern.device_info()


# DEVICE_GET_REGION_INFO

@pytest.mark.rules("vu-region-2", "vu-region-3", "vu-size-2", "vu-region-4")
def test_regions(one):
    _, variant, client = one
    count = client.device_info()["num_regions"]
    for index in range(count):
        info = client.region_info(index)
        assert info["argsz"] == 32 and info["index"] == index
        assert not info["flags"] & ~3, "no mmap, no capabilities: no descriptor comes"
        assert bool(info["size"]) == bool(info["flags"])
    assert refused(client.region_info, count) == "EINVAL"
    assert refused(client.region_info, 0xFFFFFFFF) == "EINVAL"
    assert client.region_info(CONFIG)["size"] in (256, 4096)
    assert client.region_info(CONFIG)["flags"] == READ | WRITE
    size = client.region_info(BAR0)["size"]
    assert (size == 0) if variant == "modern" else (size in (32, 64, 128))


def test_bars_are_what_config_space_says(one):
    """PCI 6.2.5.1: a BAR's size is found by writing ones; regions have the same."""
    _, _, client = one
    bar = 0
    while bar < 6:
        at = 0x10 + 4 * bar
        client.config_write(at, 4, 0xFFFFFFFF)
        value = client.config_read(at, 4)
        client.config_write(at, 4, 0)
        wide = not value & 1 and (value >> 1) & 3 == 2
        mask = value & (0xFFFFFFFC if value & 1 else 0xFFFFFFF0)
        if wide:
            client.config_write(at + 4, 4, 0xFFFFFFFF)
            mask |= client.config_read(at + 4, 4) << 32
            client.config_write(at + 4, 4, 0)
        elif mask:
            mask |= 0xFFFFFFFF00000000
        size = -mask & 0xFFFFFFFFFFFFFFFF
        assert size == client.region_info(bar)["size"]
        bar += 2 if wide else 1


# Config space

def test_identity(one):
    kind, variant, client = one
    transitional, virtio = IDS[kind]
    assert client.config_read(0x00, 2) == 0x1AF4
    assert client.config_read(0x0E, 1) & 0x7F == 0
    if variant == "modern":
        # virtio 1.3, 4.1.2.1: a non-transitional device
        assert client.config_read(0x02, 2) == 0x1040 + virtio
        assert client.config_read(0x08, 1) >= 1
        assert client.config_read(0x2E, 2) >= 0x40
    else:
        # virtio 1.3, 4.1.2.3: a transitional device
        assert client.config_read(0x02, 2) == transitional
        assert client.config_read(0x08, 1) == 0
        assert client.config_read(0x2E, 2) == virtio
        assert client.config_read(0x10, 4) & 1, "BAR 0 is I/O"


def test_interrupt_pin(one):
    """A VF has none; for a transitional function the VFIO driver makes INTx."""
    _, variant, client = one
    pin = client.config_read(0x3D, 1)
    assert pin == (0 if variant == "modern" else 1)
    assert client.irq_info(INTX)["count"] == pin
    client.config_write(0x3C, 1, 0x0B)
    assert client.config_read(0x3C, 1) == 0x0B


def test_capabilities(one):
    _, variant, client = one
    caps = client.capabilities()
    ids = [cap for cap, _ in caps]
    assert 0x11 in ids, "MSI-X"
    assert 0x10 in ids, "PCI Express"
    assert len(set(at for _, at in caps)) == len(caps)
    assert all(0x40 <= at <= 0xFC and at % 4 == 0 for _, at in caps)
    if variant == "legacy":
        assert 0x09 not in ids, "legacy=only hides the modern structures"
        return
    # virtio 1.3, 4.1.4: common, notify, ISR, PCI access; and what they point to is there.
    found = {}
    for cap, at in caps:
        if cap != 0x09:
            continue
        length, kind, bar = client.read(CONFIG, at + 2, 3)
        offset, size = struct.unpack("<II", client.read(CONFIG, at + 8, 8))
        assert length >= (20 if kind in (2, 5) else 16)
        if kind in (1, 2, 3, 4):
            assert offset + size <= client.region_info(bar)["size"]
        assert offset % (4 if kind in (1, 4) else 2 if kind == 2 else 1) == 0
        found[kind] = at
    assert {1, 2, 3, 5} <= set(found)


@pytest.mark.rules("vu-access-1")
def test_config_space_can_be_read_in_any_size(one):
    _, _, client = one
    size = client.region_info(CONFIG)["size"]
    whole = client.read(CONFIG, 0, size)
    for step in (1, 2, 3, 4, 8, 100):
        assert b"".join(client.read(CONFIG, at, min(step, 256 - at))
                        for at in range(0, 256, step)) == whole[:256]


def test_read_only_fields_stay(one):
    _, _, client = one
    before = client.read(CONFIG, 0, 4) + client.read(CONFIG, 8, 4) + client.read(CONFIG, 0x2C, 4)
    for at in (0, 8, 0x2C):
        client.config_write(at, 4, 0x5A5A5A5A)
    assert client.read(CONFIG, 0, 4) + client.read(CONFIG, 8, 4) + \
        client.read(CONFIG, 0x2C, 4) == before
    client.config_write(0x34, 1, 0)
    assert client.capabilities()


# REGION_READ, REGION_WRITE

@pytest.mark.rules("vu-access-3")
def test_accesses_outside_of_a_region(one):
    _, _, client = one
    for region in range(client.device_info()["num_regions"]):
        size = client.region_info(region)["size"]
        for offset, count in ((size, 1), (size - 1, 2), (size + 4096, 4), (1 << 63, 4),
                              (0xFFFFFFFFFFFFFFFC, 4), (0xFFFFFFFFFFFFFFFF, 2), (0, size + 1)):
            if offset < 0:
                continue
            assert refused(client.read, region, offset, count) == "EINVAL"
            assert refused(client.write, region, offset, bytes(count)) == "EINVAL"
    assert refused(client.read, client.device_info()["num_regions"], 0, 1) == "EINVAL"
    assert refused(client.read, 0xFFFFFFFF, 0, 4) == "EINVAL"
    client.read(CONFIG, client.region_info(CONFIG)["size"] - 1, 1)


@pytest.mark.rules("vu-access-4", "vu-size-4")
def test_counts(modern):
    header = struct.Struct("<QII")
    largest = modern.caps["max_data_xfer_size"]
    for count in (0, largest + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        assert refused(modern.command, vfio_user.REGION_READ,
                       header.pack(0, CONFIG, count)) == "EINVAL"
        assert refused(modern.command, vfio_user.REGION_WRITE,
                       header.pack(0, CONFIG, count) + b"1234") == "EINVAL"
    for data in (b"", b"123", b"12345"):
        assert refused(modern.command, vfio_user.REGION_WRITE,
                       header.pack(0x3C, CONFIG, 4) + data) == "EINVAL"
    modern.device_info()


@pytest.mark.rules("vu-connection-3", "vu-header-7")
def test_no_reply_is_honoured(modern):
    """Command Concurrency: an older command without reply is done before a younger one."""
    for value in range(256):
        modern.write(CONFIG, 0x3C, bytes([value]), posted=True)
        if value % 16 == 15:
            assert modern.config_read(0x3C, 1) == value
    modern.send(vfio_user.REGION_WRITE, b"short", flags=vfio_user.NO_REPLY)
    modern.send(99, flags=vfio_user.NO_REPLY)
    modern.send(vfio_user.RESET, flags=vfio_user.NO_REPLY)
    assert modern.config_read(0, 2) == 0x1AF4


@pytest.mark.rules("vu-connection-2", "vu-connection-4", "vu-header-1")
def test_pipelined_commands_are_answered_in_order(one):
    _, _, client = one
    whole = client.read(CONFIG, 0, 256)
    ids = [client.send(vfio_user.REGION_READ, struct.pack("<QII", at, CONFIG, 1))
           for at in range(256)]
    for at, ident in enumerate(ids):
        assert client.reply_to(ident, vfio_user.REGION_READ).payload[16:] == whole[at:at + 1]


@pytest.mark.rules("vu-header-1", "vu-header-2")
def test_ids_belong_to_the_client(modern):
    """Header: IDs may be re-used, even concurrently."""
    message = vfio_user.message(vfio_user.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0), ident=0xFFFF)
    modern.send_raw(message * 5)
    for _ in range(5):
        assert modern.recv().id == 0xFFFF


@pytest.mark.rules("vu-header-10", "vu-header-11", "vu-header-8", "vu-header-5")
def test_reserved_flags_of_a_command(modern):
    payload = struct.pack("<IIII", 16, 0, 0, 0)
    for bit in range(5, 32):
        modern.send_raw(vfio_user.message(vfio_user.GET_INFO, payload, flags=1 << bit))
        reply = modern.recv()
        assert reply.flags == vfio_user.REPLY | vfio_user.ERROR and reply.error == 22
    # The error field of a command is reserved: nothing is read into it.
    modern.send_raw(vfio_user.message(vfio_user.GET_INFO, payload, error=5))
    assert modern.recv().flags == vfio_user.REPLY


@pytest.mark.rules("vu-header-12", "vu-header-9")
def test_unsupported_commands(modern):
    unknown = [0, vfio_user.DMA_READ, vfio_user.DMA_WRITE, 14, 19, 20, 255, 0x8000, 0xFFFF]
    for command in unknown:
        for payload in (b"", bytes(16)):
            assert refused(modern.command, command, payload) == "ENOTSUP"
    modern.device_info()


@pytest.mark.rules("vu-header-1", "vu-header-3", "vu-header-5", "vu-header-6", "vu-header-8",
                   "vu-header-9")
def test_every_command_is_answered(modern):
    """By one reply with its ID and command; of an error, nothing but the header with an errno."""
    for command in (*range(2, 24), 255, 0x8000, 0xFFFF):
        for payload in (b"", bytes(7), bytes(32)):
            ident = modern.send(command, payload)
            reply = modern.recv()
            assert (reply.id, reply.command) == (ident, command)
            assert reply.flags in (vfio_user.REPLY, vfio_user.REPLY | vfio_user.ERROR)
            if reply.flags & vfio_user.ERROR:
                assert reply.error and not reply.payload and not reply.fds
            else:
                assert not reply.error
    modern.device_info()


@pytest.mark.rules("vu-map-7", "vu-setirqs-13", "vu-reset-2", "vu-unmap-3")
def test_replies_without_a_payload(modern):
    assert modern.command(vfio_user.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, 4096)) == b""
    assert len(modern.command(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, 0, 4096))) == 24
    assert modern.command(vfio_user.SET_IRQS,
                          struct.pack("<IIIII", 20, DATA_NONE | TRIGGER, MSIX, 0, 0)) == b""
    assert modern.command(vfio_user.RESET) == b""


@pytest.mark.rules("vu-access-1", "vu-access-2")
def test_every_region_can_be_accessed(one):
    """Read and written, with offset, region and count in the reply (Client.read() compares)."""
    _, _, client = one
    for region in range(client.device_info()["num_regions"]):
        info = client.region_info(region)
        if info["size"]:
            assert info["flags"] == READ | WRITE
            client.write(region, 0, client.read(region, 0, 1))
            assert len(client.read(region, info["size"] - 1, 1)) == 1


# DEVICE_GET_IRQ_INFO

@pytest.mark.rules("vu-irq-2", "vu-irq-3")
def test_irqs(one):
    _, _, client = one
    count = client.device_info()["num_irqs"]
    for index in range(count):
        info = client.irq_info(index)
        assert info["argsz"] == 16 and info["index"] == index
    assert refused(client.irq_info, count) == "EINVAL"
    assert client.irq_info(MSI)["count"] == 0
    vectors = client.irq_info(MSIX)
    assert vectors["flags"] & 1, "eventfd"
    at = dict(client.capabilities())[0x11]
    assert vectors["count"] == (client.config_read(at + 2, 2) & 0x7FF) + 1


@pytest.mark.rules("vu-irq-4")
def test_intx_is_automasked(legacy):
    assert legacy.irq_info(INTX)["flags"] & 7 == 7  # eventfd, maskable, automasked


# DEVICE_SET_IRQS

@pytest.mark.rules("vu-setirqs-1")
@pytest.mark.parametrize("flags", [0, DATA_NONE, TRIGGER, DATA_NONE | DATA_EVENTFD | TRIGGER,
                                   DATA_NONE | MASK | UNMASK, DATA_NONE | TRIGGER | 64,
                                   0xFFFFFFFF])
def test_set_irqs_flags(modern, flags):
    assert refused(modern.set_irqs, MSIX, flags, 0, 1) == "EINVAL"


@pytest.mark.rules("vu-setirqs-11")
def test_set_irqs_ranges(modern):
    count = modern.irq_info(MSIX)["count"]
    for index, start, number in ((MSIX, 0, count + 1), (MSIX, count, 1), (MSIX, count - 1, 2),
                                 (MSIX, 0xFFFFFFFF, 1), (MSIX, 0xFFFFFFFF, 0xFFFFFFFF),
                                 (MSIX, 1, 0xFFFFFFFF), (INTX, 0, 1), (MSI, 0, 1), (5, 0, 1),
                                 (0xFFFFFFFF, 0, 1)):
        assert refused(modern.set_irqs, index, DATA_EVENTFD | TRIGGER, start, number) == "EINVAL"
        assert refused(modern.set_irqs, index, DATA_NONE | TRIGGER, start, number) == "EINVAL"
    assert refused(modern.set_irqs, MSIX, DATA_EVENTFD | TRIGGER, 0, 0) == "EINVAL"
    assert refused(modern.set_irqs, MSIX, DATA_NONE | TRIGGER, 1, 0) == "EINVAL"


@pytest.mark.rules("vu-setirqs-2", "vu-setirqs-12")
def test_set_irqs_data_and_descriptors(modern):
    irqs = [Irq() for _ in range(3)]
    fds = [irq.fd for irq in irqs]
    event = DATA_EVENTFD | TRIGGER
    assert refused(modern.set_irqs, MSIX, event, 0, 2, fds=fds) == "EINVAL"
    assert refused(modern.set_irqs, MSIX, event, 0, 3, fds=fds[:1]) == "EINVAL"
    assert refused(modern.set_irqs, MSIX, event, 0, 1, data=b"\1") == "EINVAL"
    assert refused(modern.set_irqs, MSIX, DATA_NONE | TRIGGER, 0, 1, fds=fds[:1]) == "EINVAL"
    assert refused(modern.set_irqs, MSIX, DATA_BOOL | TRIGGER, 0, 2, data=b"\1") == "EINVAL"
    assert refused(modern.set_irqs, MSIX, DATA_BOOL | TRIGGER, 0, 2, data=b"\1\1",
                   fds=fds[:2]) == "EINVAL"
    assert refused(modern.set_irqs, MSIX, DATA_BOOL | TRIGGER, 0, 0xFFFFFFFF) == "EINVAL"


@pytest.mark.rules("vu-setirqs-3", "vu-setirqs-4", "vu-setirqs-6", "vu-setirqs-9", "vu-setirqs-10")
def test_set_irqs_trigger(modern):
    """In typical operation, step 5: a client may trigger an interrupt itself."""
    irqs = [Irq(), Irq()]
    modern.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 2, fds=[irq.fd for irq in irqs])
    modern.set_irqs(MSIX, DATA_NONE | TRIGGER, 1, 1)
    assert irqs[1].wait() == 1 and irqs[0].wait(0) == 0
    modern.set_irqs(MSIX, DATA_BOOL | TRIGGER, 0, 2, data=b"\1\0")
    assert irqs[0].wait() == 1 and irqs[1].wait(0) == 0
    # Without descriptors: unbound.
    modern.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1)
    modern.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, 2)
    assert irqs[1].wait() == 1 and irqs[0].wait(0) == 0
    # A count of 0 disables all of the index.
    modern.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, 0)
    modern.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, 2)
    assert irqs[1].wait(0.05) == 0


@pytest.mark.rules("vu-setirqs-6", "vu-connection-9")
def test_set_irqs_closes_what_it_replaces(functions):
    function = functions("rng", "modern")
    with function.client() as client:
        fds = f"/proc/{function.pid()}/fd"
        irq = Irq()
        client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1, fds=[irq.fd])
        before = len(os.listdir(fds))
        for _ in range(20):
            client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1, fds=[irq.fd])
            refused(client.set_irqs, MSIX, DATA_EVENTFD | TRIGGER, 4000, 1, fds=[irq.fd])
            refused(client.set_irqs, MSI, DATA_EVENTFD | TRIGGER, 0, 1, fds=[irq.fd])
        assert len(os.listdir(fds)) == before
        client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1)
        assert len(os.listdir(fds)) == before - 1


@pytest.mark.rules("vu-connection-9")
def test_something_that_is_no_eventfd(modern):
    """Its owner's problem only: an interrupt that reaches nobody."""
    with open("/dev/null", "rb") as null:
        got = refused(modern.set_irqs, MSIX, DATA_EVENTFD | TRIGGER, 0, 1, fds=[null.fileno()])
    assert got in (None, "EINVAL")
    modern.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, 1)
    modern.device_info()


# DEVICE_RESET

@pytest.mark.rules("vu-reset-1", "vu-reset-2")
def test_reset_puts_registers_back(one):
    _, variant, client = one
    client.config_write(0x04, 2, 0x7)
    client.config_write(0x3C, 1, 9)
    if variant != "modern":
        client.write(BAR0, 18, b"\3")
        assert client.read(BAR0, 18, 1) == b"\3"
    client.reset()
    assert client.config_read(0x04, 2) & 7 == 0
    if variant != "modern":
        assert client.read(BAR0, 18, 1) == b"\0"


@pytest.mark.rules("vu-connection-8")
def test_a_new_vmm_finds_it_new(functions):
    function = functions("blk", "legacy")
    with function.client() as client:
        client.write(BAR0, 18, b"\3")
        client.config_write(0x04, 2, 0x5)
    function.idle()
    with function.client() as client:
        assert client.read(BAR0, 18, 1) == b"\0"
        assert client.config_read(0x04, 2) & 7 == 0
