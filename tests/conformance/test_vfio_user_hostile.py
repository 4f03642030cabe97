# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: peers that mean harm. Each loses its connection at most; nothing stays behind."""

import os
import random
import socket
import struct
import time

import pytest

import vfio_user
from vfio_user import (CONFIG, DATA_EVENTFD, MSIX, PAGE, TRIGGER, Closed, Memory, Refused,
                       message, refused, wait_for)
from virtio_guest import VERSION_1, Blk, Irq, Modern, rng_read

READ_CONFIG = struct.pack("<QII", 0, CONFIG, 4)


def use(process):
    """(open descriptors, resident KiB, mappings) of a process."""
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        resident = [int(line.split()[1]) for line in status if line.startswith("VmRSS")][0]
    with open(f"/proc/{process}/maps", encoding="ascii", errors="replace") as maps:
        return len(os.listdir(f"/proc/{process}/fd")), resident, len(maps.readlines())


def cpu(process):
    """Ticks of CPU time that a process has used."""
    with open(f"/proc/{process}/stat", encoding="ascii") as stat:
        return sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))


@pytest.fixture
def victim(functions):
    """A function of the same PF process as the neighbour."""
    return functions("rng", "modern")


@pytest.fixture(scope="module")
def quiet(create):
    """A function with a VMM that does nothing wrong all the time."""
    function = create("rng", driver="vfio-pci")
    client, memory = function.client(), Memory()
    memory.share(client)
    transport = Modern(client, memory)
    transport.start(VERSION_1)
    yield transport
    client.close()
    memory.close()


@pytest.fixture(autouse=True)
def neighbour(quiet):
    """Works before and after each test."""
    rng_read(quiet, 64)
    yield quiet
    rng_read(quiet, 64)


# Messages that end the connection

@pytest.mark.rules("vu-header-4")
@pytest.mark.parametrize("size", [0, 1, 8, 15, 0x200000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_impossible_sizes(victim, size):
    with victim.client() as client:
        client.send_raw(message(vfio_user.GET_INFO, bytes(16), size=size))
        assert client.closed()
    victim.idle()


@pytest.mark.rules("vu-header-5")
@pytest.mark.parametrize("kind", range(1, 16))
def test_messages_that_are_no_commands(victim, kind):
    """We sent no command, so no reply is expected; other types do not exist."""
    with victim.client() as client:
        client.send_raw(message(vfio_user.GET_INFO, bytes(16), flags=kind))
        assert client.closed()
    victim.idle()


@pytest.mark.rules("vu-connection-9")
def test_random_bytes(victim):
    rnd = random.Random(1)
    for _ in range(50):
        with victim.client() as client:
            try:
                client.send_raw(rnd.randbytes(rnd.randrange(1, 3000)))
                client.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            assert client.closed()
        victim.idle()


def test_too_many_descriptors(victim):
    with victim.client() as client:
        most = client.caps["max_msg_fds"]
        irqs = [Irq() for _ in range(most + 1)]
        fds = [irq.fd for irq in irqs]
        vectors = client.irq_info(MSIX)["count"]
        assert refused(client.set_irqs, MSIX, DATA_EVENTFD | TRIGGER, 0, most, fds=fds[:most]) == \
            (None if most <= vectors else "EINVAL")
        client.send(vfio_user.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0), fds=fds)
        assert client.closed()
    victim.idle()


def test_descriptors_with_commands_that_take_none(victim):
    irq = Irq()
    with victim.client() as client:
        before = use(victim.pid())[0]
        for command, payload in ((vfio_user.RESET, b""), (vfio_user.REGION_READ, READ_CONFIG),
                                 (vfio_user.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)),
                                 (vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, 0, PAGE)),
                                 (99, b"")):
            for count in (1, 16):
                with pytest.raises(Refused):
                    client.command(command, payload, [irq.fd] * count)
        assert use(victim.pid())[0] == before


# Pieces

@pytest.mark.rules("vu-header-4")
@pytest.mark.parametrize("cut", [1, 3, 8, 15, 16, 17, 20, 31])
def test_one_message_in_two_pieces(victim, cut):
    with victim.client() as client:
        data = message(vfio_user.REGION_READ, READ_CONFIG)
        client.send_raw(data[:cut])
        time.sleep(0.02)
        client.send_raw(data[cut:])
        assert client.recv().payload[16:18] == b"\xf4\x1a"


def test_one_byte_at_a_time(victim):
    memory = Memory()
    with victim.client() as client:
        payload = struct.pack("<IIQQQ", 32, 3, 0, 0x1000, PAGE)
        data = message(vfio_user.DMA_MAP, payload)
        for i in range(len(data)):
            client.send_raw(data[i:i + 1], (memory.fd,) if i == 20 else ())
        assert client.recv().flags == vfio_user.REPLY
        client.dma_unmap(0x1000, PAGE)
    memory.close()


@pytest.mark.parametrize("cut", [1, 15, 16, 20, 47])
def test_disconnect_in_the_middle_of_a_message(victim, cut):
    memory = Memory()
    victim.client().close()
    victim.idle()
    before = use(victim.pid())[0]
    for _ in range(5):
        client = victim.client()
        data = message(vfio_user.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, PAGE))
        client.send_raw(data[:cut], (memory.fd,) * 3)
        client.close()
        victim.idle()
    assert use(victim.pid())[0] == before
    memory.close()


def test_a_message_that_never_ends(victim):
    """It keeps a connection, as one that sends nothing does; but no more than that."""
    pid = victim.pid()
    with victim.client() as client:
        client.send_raw(message(vfio_user.REGION_WRITE, bytes(16), size=60000))
        ticks = cpu(pid)
        time.sleep(0.5)
        assert cpu(pid) - ticks <= 2
        with victim.client(caps=None) as second:
            assert refused(second.version) == "EBUSY"


@pytest.mark.rules("vu-size-4")
def test_too_large_a_write_is_refused(victim):
    """Up to the default max_data_xfer_size, which is what a client may believe in."""
    with victim.client(caps={}) as client:
        for count in (65537, 70000, 1048576):
            payload = struct.pack("<QII", 0, CONFIG, count) + bytes(count)
            assert refused(client.command, vfio_user.REGION_WRITE, payload) is not None
            assert client.config_read(0, 2) == 0x1AF4


# Floods

@pytest.mark.rules("vu-connection-9")
def test_replies_that_are_never_read(victim):
    pid = victim.pid()
    with victim.client() as client:
        size = client.region_info(CONFIG)["size"]
        request = message(vfio_user.REGION_READ, struct.pack("<QII", 0, CONFIG, size)) * 64
        before = use(pid)[1]
        client.sock.settimeout(0.3)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += client.sock.send(request)
        assert use(pid)[1] < before + 4096, "memory does not grow with what is sent"
        ticks = cpu(pid)
        time.sleep(0.5)
        assert cpu(pid) - ticks <= 2, "it waits, and does not try again and again"
    victim.idle()


def test_connections_in_a_row(victim):
    victim.client().close()
    victim.idle()
    pid = victim.pid()
    before = use(pid)
    for _ in range(300):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(5)
        wait_for(lambda: connected(sock, victim.socket))
        sock.close()
    victim.idle()
    assert use(pid)[0] == before[0]


def connected(sock, path):
    try:
        sock.connect(path)
    except BlockingIOError:
        return False
    return True


# Leaks

def mischief(rnd, client, memory, irqs):
    """One hostile thing to do; may end the connection."""
    kind = rnd.randrange(10)
    fds = [rnd.choice([memory.fd] + [irq.fd for irq in irqs]) for _ in range(rnd.randrange(4))]
    if kind == 0:
        client.send_raw(rnd.randbytes(rnd.randrange(1, 100)), fds)
    elif kind == 1:
        client.send_raw(message(rnd.randrange(20), rnd.randbytes(rnd.randrange(64))), fds)
    elif kind == 2:
        client.send_raw(message(vfio_user.DMA_MAP, bytes(32))[:rnd.randrange(1, 48)], fds)
    elif kind == 3:
        refused(client.dma_map, rnd.randrange(64) * PAGE, rnd.randrange(1, 64) * PAGE, memory.fd,
                rnd.randrange(4) * PAGE, rnd.randrange(5))
    elif kind == 4:
        refused(client.dma_unmap, rnd.randrange(64) * PAGE, rnd.randrange(1, 64) * PAGE)
    elif kind == 5:
        refused(client.set_irqs, rnd.randrange(6), rnd.randrange(64), rnd.randrange(5),
                rnd.randrange(5), fds=fds)
    elif kind == 6:
        refused(client.write, rnd.randrange(10), rnd.randrange(5000), rnd.randbytes(
            rnd.choice([1, 2, 4, 8, 100])))
    elif kind == 7:
        refused(client.read, rnd.randrange(10), rnd.randrange(5000), rnd.choice([1, 2, 4, 8, 100]))
    elif kind == 8:
        client.send(vfio_user.REGION_READ, struct.pack("<QII", rnd.randrange(64), CONFIG, 4), fds)
    else:
        refused(client.reset)


@pytest.mark.rules("vu-connection-6", "vu-connection-7", "vu-connection-9")
@pytest.mark.parametrize("kind,variant", [("rng", "modern"), ("blk", "legacy"),
                                          ("blk", "transitional")])
def test_hostile_clients_leave_nothing_behind(functions, kind, variant):
    function = functions(kind, variant)
    memory, irqs = Memory(), [Irq(), Irq()]
    pid, rnd = function.pid(), random.Random(variant)

    def hostile():
        client = function.client(caps=vfio_user.QEMU_CAPS if rnd.random() < 0.9 else None)
        client.sock.settimeout(0.3)
        try:
            for _ in range(rnd.randrange(12)):
                mischief(rnd, client, memory, irqs)
        except (OSError, Closed, AssertionError):
            pass  # closed on us, or its replies are out of step
        client.close()

    for _ in range(20):
        hostile()
    function.idle()
    before = use(pid)
    for _ in range(200):
        hostile()
    function.idle()
    after = use(pid)
    assert function.pid() == pid
    assert after[0] == before[0], "descriptors"
    # Sanitizers keep freed memory for a while: this finds what grows with every connection.
    assert after[1] < before[1] + 16384, "KiB"
    assert after[2] < before[2] + 64, "mappings"
    with function.client() as client:
        assert client.config_read(0, 2) == 0x1AF4
    memory.close()


def test_killed_in_the_middle_of_io(functions, attach):
    """The VMM goes with requests under way, again and again; the image is what was written."""
    function = functions("blk", "modern")
    pid = function.pid()
    before = None
    for i in range(20):
        guest = attach(function, "modern")
        guest.transport.start(VERSION_1)
        disk = Blk(guest.transport)
        for sector in range(16):
            chain, _, _ = disk.prepare(Blk.OUT, 8 * sector, data=bytes([i]) * 4096)
            guest.transport.queues[0].add(chain)
        guest.transport.kick()
        guest.client.close()
        function.idle()
        if i == 4:
            before = use(pid)
    assert use(pid)[0] == before[0]
    guest = attach(function, "modern")
    guest.transport.start(VERSION_1)
    for sector in range(16):
        assert len(set(Blk(guest.transport).read(8 * sector, 4096))) == 1
