# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: DMA_MAP and DMA_UNMAP, and I/O through what was mapped, over both transports."""

import os
import struct
import threading
import time

import pytest

import vfio_user
from vfio_user import PAGE, READ, Closed, Memory, refused, wait_for
from virtio_guest import (INDIRECT, INDIRECT_DESC, NEEDS_RESET, VERSION_1, WRITE, Blk, Modern,
                          rng_read)

TRANSPORTS = ["modern", "legacy"]


@pytest.fixture
def rng(functions):
    return functions("rng", "modern")


@pytest.fixture
def client(rng):
    with rng.client() as client:
        yield client


@pytest.fixture
def memory():
    memory = Memory(size=1 << 20)
    yield memory
    memory.close()


def features(variant, *bits):
    return sum(bits) | (VERSION_1 if variant == "modern" else 0)


# DMA_MAP

@pytest.mark.rules("vu-map-2", "vu-map-7")
def test_map_argsz_and_flags(client, memory):
    def dma_map(argsz=32, flags=3, offset=0, iova=0, size=PAGE):
        return refused(client.command, vfio_user.DMA_MAP,
                       struct.pack("<IIQQQ", argsz, flags, offset, iova, size), (memory.fd,))

    assert dma_map(argsz=31) == "EINVAL"
    for flags in (0, 4, 7, 0x80000001):
        assert dma_map(flags=flags) == "EINVAL"
    assert dma_map() is None


@pytest.mark.rules("vu-map-8")
@pytest.mark.parametrize("iova,size,offset", [
    (0, 0, 0), (1, PAGE, 0), (0, 1, 0), (0, PAGE + 1, 0), (0x800, PAGE, 0), (0, PAGE, 1),
    (0, PAGE, 0x800), ((1 << 64) - PAGE, 2 * PAGE, 0), (PAGE, (1 << 64) - PAGE, 0),
    (0, PAGE, 1 << 63), (0, PAGE, (1 << 63) - PAGE), (0, (1 << 64) - PAGE, 0)])
def test_map_ranges(client, memory, iova, size, offset):
    assert refused(client.dma_map, iova, size, memory.fd, offset) == "EINVAL"


def test_map_at_the_end_of_the_space(client, memory):
    client.dma_map((1 << 64) - PAGE, PAGE, memory.fd)
    client.dma_unmap((1 << 64) - PAGE, PAGE)


@pytest.mark.rules("vu-map-6")
def test_map_over_an_existing_map(client, memory):
    """A command to map over an existing region must be failed with EEXIST."""
    base = 16 * PAGE
    client.dma_map(base, 4 * PAGE, memory.fd)
    for start, pages in ((16, 4), (16, 1), (19, 1), (15, 2), (15, 6), (19, 9), (17, 2)):
        assert refused(client.dma_map, start * PAGE, pages * PAGE, memory.fd) == "EEXIST"
        assert refused(client.dma_map, start * PAGE, pages * PAGE) == "EEXIST"
    client.dma_map(15 * PAGE, PAGE, memory.fd)
    client.dma_map(20 * PAGE, PAGE, memory.fd)


@pytest.mark.rules("vu-map-9", "vu-map-4")
def test_map_descriptors(rng, client, memory):
    fds = f"/proc/{rng.pid()}/fd"
    before = len(os.listdir(fds))
    payload = struct.pack("<IIQQQ", 32, 3, 0, 0, PAGE)
    assert refused(client.command, vfio_user.DMA_MAP, payload, (memory.fd,) * 2) == "EINVAL"
    # Not mappable at all.
    for fd in (os.open("/dev/null", os.O_RDWR), os.open("/tmp", os.O_PATH), os.eventfd(0)):
        assert refused(client.dma_map, 0, PAGE, fd) is not None
        os.close(fd)
    # Without one: recorded.
    client.dma_map(0, PAGE)
    client.dma_unmap(0, PAGE)
    assert wait_for(lambda: len(os.listdir(fds)) == before)


# DMA_UNMAP

@pytest.mark.rules("vu-unmap-1")
def test_unmap_must_match_exactly(client, memory):
    base = 1 << 32
    client.dma_map(base, 4 * PAGE, memory.fd)
    for iova, size in ((base, PAGE), (base + PAGE, 3 * PAGE), (base, 5 * PAGE),
                       (base - PAGE, 5 * PAGE), (base + 4 * PAGE, PAGE), (0, PAGE)):
        assert refused(client.dma_unmap, iova, size) == "ENOENT"
    client.dma_unmap(base, 4 * PAGE)
    assert refused(client.dma_unmap, base, 4 * PAGE) == "ENOENT"


@pytest.mark.rules("vu-unmap-3", "vu-unmap-4")
def test_unmap_fields(client, memory):
    client.dma_map(0, PAGE, memory.fd)
    for argsz, flags, iova, size in ((23, 0, 0, PAGE), (24, 4, 0, PAGE), (24, 1 << 31, 0, PAGE),
                                     (24, 2, 0, PAGE), (24, 2, PAGE, 0), (24, 6, 0, 0),
                                     (24, 0, 0, 0), (24, 0, PAGE, (1 << 64) - PAGE + 1)):
        assert refused(client.command, vfio_user.DMA_UNMAP,
                       struct.pack("<IIQQ", argsz, flags, iova, size)) == "EINVAL"
    # Dirty pages are not reported, which is not the same as a mistake.
    for flags in (1, 3):
        assert refused(client.dma_unmap, 0, PAGE, flags=flags) == "ENOTSUP"
    # The reply is the original entry of the request.
    payload = client.command(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 4096, 0, 0, PAGE))
    assert struct.unpack("<IIQQ", payload) == (24, 0, 0, PAGE)


@pytest.mark.rules("vu-unmap-4")
def test_unmap_everything(client, memory):
    """VFIO_DMA_UNMAP_FLAG_ALL: address and size are 0. With no maps there is nothing to do."""
    for count in (0, 1, 500):
        for i in range(count):
            client.dma_map(2 * i * PAGE, PAGE, memory.fd if i % 2 else None)
        payload = client.command(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, 2, 0, 0))
        assert struct.unpack("<IIQQ", payload) == (24, 2, 0, 0)
        assert refused(client.dma_unmap, 0, PAGE) == "ENOENT"
        client.dma_map(0, 1000 * PAGE)
        client.dma_unmap(0, 1000 * PAGE)


def test_many_maps(client, memory):
    for i in range(1000):
        client.dma_map(i << 20, PAGE, memory.fd if i % 2 else None, (i % 256) * PAGE)
    for i in reversed(range(1000)):
        client.dma_unmap(i << 20, PAGE)
    client.dma_map(0, memory.size, memory.fd)


# I/O

@pytest.fixture(params=TRANSPORTS)
def variant(request):
    return request.param


@pytest.fixture
def blk(functions, attach, variant):
    guest = attach(functions("blk", variant), variant)
    guest.transport.start(features(variant))
    guest.disk = Blk(guest.transport)
    return guest


def test_rng(functions, attach, variant):
    guest = attach(functions("rng", variant), variant)
    guest.transport.start(features(variant))
    one, two = rng_read(guest.transport, 512), rng_read(guest.transport, 512)
    assert one != two and len(set(one)) > 100


@pytest.mark.rules("vu-map-3")
def test_blk_reads_and_writes(blk):
    with open(blk.function.image, "rb") as image:
        content = image.read()
    assert blk.transport.config(0, 8) == len(content) // 512
    assert blk.disk.read(0, 4096) == content[:4096]
    assert blk.disk.read(2047, 512) == content[-512:]
    data = os.urandom(4096)
    blk.disk.write(8, data)
    blk.disk.flush()
    assert blk.disk.read(8, 4096) == data
    with open(blk.function.image, "rb") as image:
        image.seek(8 * 512)
        assert image.read(4096) == data
    assert blk.disk.serial() == blk.function.name


def test_blk_out_of_range(blk):
    sectors = blk.transport.config(0, 8)
    for sector, length in ((sectors, 512), (sectors - 1, 1024), (1 << 63, 512),
                           ((1 << 64) - 1, 512), (0, 100)):
        assert blk.disk.request(Blk.IN, sector, length=length)[0] == Blk.IOERR
        assert blk.disk.request(Blk.OUT, sector, data=bytes(length))[0] == Blk.IOERR
    assert blk.disk.request(77, length=512)[0] == Blk.UNSUPP
    assert os.path.getsize(blk.function.image) == sectors * 512
    blk.disk.read(0, 512)


def test_blk_indirect(functions, attach, variant):
    guest = attach(functions("blk", variant), variant)
    assert guest.transport.device_features() & INDIRECT_DESC
    guest.transport.start(features(variant, INDIRECT_DESC))
    data = Blk(guest.transport).read(0, 8192, indirect=True)
    with open(guest.function.image, "rb") as image:
        assert data == image.read(8192)


@pytest.mark.rules("vu-setirqs-5")
def test_interrupts_msix(functions, attach, variant):
    guest = attach(functions("rng", variant), variant)
    irqs = guest.transport.enable_msix(2)
    guest.transport.start(features(variant), vectors=[1], config_vector=0)
    for _ in range(10):
        rng_read(guest.transport, 64)
        assert irqs[1].wait() >= 1
    assert irqs[0].wait(0) == 0


@pytest.mark.rules("vu-setirqs-14", "vu-setirqs-7", "pci-isr-4")
def test_interrupts_intx(functions, attach):
    """Automasked: one interrupt, then none until it is unmasked; reading ISR acknowledges it."""
    guest = attach(functions("rng", "legacy"), "legacy")
    irq = guest.transport.enable_intx()
    guest.transport.start()
    for _ in range(5):
        rng_read(guest.transport, 64)
        assert irq.wait() == 1
        assert guest.client.config_read(0x06, 2) & 0x08, "interrupt status"
        rng_read(guest.transport, 64)
        assert irq.wait(0.05) == 0
        assert guest.transport.isr() == 1
        assert guest.transport.isr() == 0
        assert not guest.client.config_read(0x06, 2) & 0x08
        guest.transport.unmask_intx()
        assert irq.wait(0.05) == 0
    # Unmasked with the line still up: it comes again.
    rng_read(guest.transport, 64)
    assert irq.wait() == 1
    guest.transport.unmask_intx()
    assert irq.wait() == 1


@pytest.mark.rules("vu-map-2")
def test_read_only_memory(functions, attach, variant):
    """The device may read what was mapped readable, and a write there is a fault."""
    guest = attach(functions("rng", variant), variant)
    other = Memory(size=PAGE, iova=0x10000000)
    guest.client.dma_map(other.iova, PAGE, other.fd, flags=READ)
    guest.transport.start(features(variant))
    before = guest.function.counters().get("dma_faults", 0)
    guest.transport.queues[0].add([(other.iova, 64, True)])
    guest.transport.kick()
    assert wait_for(lambda: guest.function.counters().get("dma_faults", 0) > before)
    assert other.read(other.iova, 64) == bytes(64)
    other.close()


@pytest.mark.rules("vu-map-1")
def test_unmapped_memory_stops_the_function_only(functions, attach, variant):
    guest = attach(functions("rng", variant), variant)
    guest.transport.start(features(variant))
    rng_read(guest.transport, 64)
    guest.transport.queues[0].add([(0xDEAD0000, 64, True)])
    guest.transport.kick()
    assert wait_for(lambda: guest.function.show()["state"] == "faulted")
    if variant == "modern":
        assert guest.transport.status() & NEEDS_RESET
    # After a reset it works again.
    guest.transport.start(features(variant))
    rng_read(guest.transport, 64)
    assert guest.function.show()["state"] == "connected"


@pytest.mark.rules("vu-map-4", "vu-map-5")
def test_map_without_a_descriptor_says_what_is_missing(functions, attach):
    guest = attach(functions("rng", "modern"), "modern")
    guest.client.dma_map(0x10000000, PAGE)
    guest.transport.start(VERSION_1)
    guest.transport.queues[0].add([(0x10000000, 64, True)])
    guest.transport.kick()
    assert wait_for(lambda: guest.function.show()["state"] == "faulted")
    assert "share=on" in str(guest.function.show()) + guest.function.ridge.log()


@pytest.mark.rules("vu-unmap-2")
def test_io_after_unmap_is_a_fault(functions, attach, variant):
    guest = attach(functions("rng", variant), variant)
    other = Memory(size=PAGE, iova=0x10000000)
    other.share(guest.client)
    guest.transport.start(features(variant))
    guest.transport.run([(other.iova, 64, True)])
    assert other.read(other.iova, 64) != bytes(64)
    other.write(other.iova, bytes(64))
    other.unshare(guest.client)
    guest.transport.queues[0].add([(other.iova, 64, True)])
    guest.transport.kick()
    assert wait_for(lambda: guest.function.show()["state"] == "faulted")
    assert other.read(other.iova, 64) == bytes(64)
    other.close()


def test_memory_that_shrinks_stops_the_function_only(create, functions, attach):
    function = create("rng", driver="vfio-pci")
    guest = attach(function, "modern")
    other = Memory(size=16 * PAGE, iova=0x10000000)
    other.share(guest.client)
    guest.transport.start(VERSION_1)
    pid = function.pid()
    other.map.close()
    os.ftruncate(other.fd, 0)
    guest.transport.queues[0].add([(other.iova + 8 * PAGE, 64, True)])
    guest.transport.kick()
    assert wait_for(lambda: guest.function.show()["state"] == "faulted")
    assert function.pid() == pid
    os.close(other.fd)
    neighbour = attach(functions("rng", "modern"), "modern")
    neighbour.transport.start(VERSION_1)
    rng_read(neighbour.transport, 64)


@pytest.mark.rules("vu-connection-6", "vu-connection-7")
def test_device_stops_with_its_vmm(functions, attach, variant):
    """After a disconnect no DMA and no interrupt happen, though requests were available."""
    function = functions("rng", variant)
    guest = attach(function, variant)
    irqs = guest.transport.enable_msix(1)
    guest.transport.start(features(variant), vectors=[0])
    rng_read(guest.transport, 64)
    irqs[0].wait()
    area = guest.memory.alloc(64)
    queue = guest.transport.queues[0]
    guest.client.close()
    function.idle()
    queue.add([(area, 64, True)])
    time.sleep(0.05)
    assert guest.memory.read(area, 64) == bytes(64)
    assert irqs[0].wait(0) == 0


# I/O that does not end

@pytest.fixture
def hanging(create, attach):
    """A started blk function whose I/O does not complete, and a way to let it."""
    made = []

    def make(variant):
        function = create("blk", driver="vfio-pci" if variant == "modern" else "virtio-vfio-pci")
        guest = attach(function, variant)
        guest.transport.start(features(variant))
        guest.disk = Blk(guest.transport)
        function.fault("backend-hang", 1)
        made.append(guest)
        return guest

    yield make
    for guest in made:
        guest.function.fault("backend-hang", 0)
        guest.client.close()
        guest.function.idle()


def hang(guest, memory=None):
    """Puts a read under way into memory; where its data will be."""
    chain, area, _ = guest.disk.prepare(Blk.IN, 0, length=512)
    if memory:
        area = memory.iova
        chain[1] = (area, 512, True)
    guest.transport.queues[0].add(chain)
    guest.transport.kick()
    time.sleep(0.1)
    return area


@pytest.mark.rules("vu-unmap-2")
def test_unmap_waits_for_io(hanging, variant):
    """The server must release all references to the region before replying to an UNMAP."""
    guest = hanging(variant)
    other = Memory(size=PAGE, iova=0x10000000)
    other.share(guest.client)
    hang(guest, other)
    ident = guest.client.send(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, other.iova, PAGE))
    timer = threading.Timer(0.5, guest.function.fault, ("backend-hang", 0))
    timer.start()
    begin = time.monotonic()
    guest.client.reply_to(ident, vfio_user.DMA_UNMAP)
    assert time.monotonic() - begin > 0.4
    timer.join()
    other.close()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        ticks = stat.read().rsplit(") ", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def test_an_unmap_that_waits_costs_nothing(hanging):
    """What the guest offers meanwhile is left in its queue, and taken when the memory is gone."""
    guest = hanging("modern")
    (bell,) = guest.client.io_fds(2)[3]
    other = Memory(size=PAGE, iova=0x10000000)
    other.share(guest.client)
    hang(guest, other)
    ident = guest.client.send(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, other.iova, PAGE))
    chain, _, status = guest.disk.prepare(Blk.IN, 0, length=512)
    queue = guest.transport.queues[0]
    queue.add(chain)
    os.eventfd_write(bell, 1)
    before = cpu_seconds(guest.function.pid())
    time.sleep(1)
    assert cpu_seconds(guest.function.pid()) - before < 0.05
    assert guest.memory.read(status, 1) == b"\xff"
    guest.function.fault("backend-hang", 0)
    guest.client.reply_to(ident, vfio_user.DMA_UNMAP)
    queue.wait()
    queue.wait()
    assert guest.memory.read(status, 1)[0] == Blk.OK
    os.close(bell)
    other.close()


@pytest.mark.rules("pci-bus-1")
def test_turning_bus_mastering_off_waits_for_io(hanging, variant):
    """The guest may use the memory for something else when it reads on."""
    guest = hanging(variant)
    hang(guest)
    guest.client.send(vfio_user.REGION_WRITE, struct.pack("<QIIH", 4, vfio_user.CONFIG, 2, 0x3),
                      flags=vfio_user.NO_REPLY)
    ident = guest.client.send(vfio_user.REGION_READ, struct.pack("<QII", 4, vfio_user.CONFIG, 2))
    guest.client.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        guest.client.sock.recv(1)
    guest.client.sock.settimeout(5)
    guest.function.fault("backend-hang", 0)
    answer = guest.client.reply_to(ident, vfio_user.REGION_READ)
    assert not answer.payload[16] & 0x4
    held = guest.memory.map[:]
    time.sleep(0.1)
    assert guest.memory.map[:] == held


@pytest.mark.rules("vu-connection-5")
@pytest.mark.parametrize("what", ["unmap", "reset", "flr", "status"])
def test_waiting_for_io_is_bounded(hanging, functions, attach, variant, what):
    guest = hanging(variant)
    neighbour = attach(functions("rng", "modern"), "modern")
    neighbour.transport.start(VERSION_1)
    hang(guest)
    client = guest.client
    express = dict(client.capabilities())[0x10]
    begin = time.monotonic()
    if what == "unmap":
        client.send(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, guest.memory.iova,
                                                     guest.memory.size))
    elif what == "reset":
        client.send(vfio_user.RESET)
    elif what == "flr":
        client.send(vfio_user.REGION_WRITE,
                    struct.pack("<QIIH", express + 8, vfio_user.CONFIG, 2, 0x8000))
    elif variant == "legacy":
        client.send(vfio_user.REGION_WRITE, struct.pack("<QIIB", 18, 0, 1, 0))
    else:
        # A modern driver waits by itself, until the status reads 0 (4.1.4.3.2).
        guest.transport.set_status(0)
        time.sleep(0.2)
        assert guest.transport.status() != 0
        guest.function.fault("backend-hang", 0)
        assert wait_for(lambda: guest.transport.status() == 0)
        return
    while time.monotonic() - begin < 2:
        rng_read(neighbour.transport, 64)
        time.sleep(0.05)
    assert client.closed(timeout=15)
    assert 2.5 < time.monotonic() - begin < 15  # 3 s, of which a slow machine makes more
    assert guest.function.show()["state"] == "draining"
    guest.function.fault("backend-hang", 0)
    guest.function.idle()


def resident(pid):
    """KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return [int(line.split()[1]) for line in status if line.startswith("VmRSS:")][0]


def test_requests_under_way_take_bounded_memory(create):
    """All rings full of tables of a thousand descriptors, 164 MiB of requests, and nothing ends."""
    queues = 4
    function = create("blk", driver="vfio-pci", queues=queues, queue_size=1024)
    with function.client() as client:
        memory = Memory(size=1 << 21)
        memory.share(client)
        transport = Modern(client, memory)
        transport.start(VERSION_1 | INDIRECT_DESC, queues=queues, size=None)
        table, area = memory.alloc(16 * 1024, 16), memory.alloc(1024)
        memory.write(area, bytes(16))
        for i in range(1024):
            transport.queues[0].write_desc(table, i, area + i, 1 if i else 16,
                                           (WRITE if i else 0) | (1 if i < 1023 else 0), i + 1)
        function.fault("backend-hang", 1)
        before = resident(function.pid())
        for index, queue in transport.queues.items():
            assert queue.size == 1024
            for i in range(queue.size):
                queue.write_desc(queue.desc, i, table, 16 * 1024, INDIRECT, 0)
                queue.offer(i)
            transport.kick(index)
        assert wait_for(lambda: resident(function.pid()) > before + (24 << 10), timeout=30)
        time.sleep(0.5)
        assert resident(function.pid()) < before + (64 << 10)
        function.fault("backend-hang", 0)
        assert wait_for(lambda: all(queue.device_idx() == 1024
                                    for queue in transport.queues.values()), timeout=30)
        memory.close()
    function.idle()


@pytest.mark.rules("vu-connection-6")
def test_vmm_gone_while_io_hangs(hanging, variant):
    """Nobody gets the function before the last one's I/O has ended; then it is new."""
    guest = hanging(variant)
    hang(guest)
    guest.client.close()
    function = guest.function
    function.ridge.wait_for(function.name, lambda shown: shown["state"] == "draining")
    with function.client(caps=None) as following:
        following.send(vfio_user.VERSION, struct.pack("<HH", 0, 0))
        following.sock.settimeout(0.3)
        with pytest.raises((TimeoutError, Closed)):
            following.recv()
        function.fault("backend-hang", 0)
        following.sock.settimeout(5)
        assert following.recv().flags == vfio_user.REPLY
        assert following.device_info()["num_regions"] >= 9
