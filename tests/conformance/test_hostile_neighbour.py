# SPDX-License-Identifier: BSD-3-Clause
"""A hostile VMM costs its neighbours on the same PF little of their speed, and leaves nothing.

A PF is one thread: what one VMM makes it do, the others wait for. How much that is, is the question
here; how the kernel shares two CPUs among an attacker that uses one of them, a PF that the attacker
keeps busy, and the neighbour, is not. So while it is measured the three have real-time priorities,
the neighbour the highest and the attacker the lowest: nothing else on the machine matters, and the
neighbour has a CPU whenever the PF has answered. Its requests, one after another, are counted in
short slices of time, in turn with the attacker stopped and going on: what else happens to a machine
spoils a few pairs of slices, not the median of their ratios. A bad median gets more of them; a PF
without turns by time left 0.02 to 0.1.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import socket
import statistics
import struct
import time

import pytest

import vfio_user
from test_vfio_user_hostile import use
from vfio_user import (CONFIG, DATA_EVENTFD, DATA_NONE, MSIX, NO_REPLY, PAGE, TRIGGER, Closed,
                       Memory, message, wait_for)
from virtio_guest import INDIRECT, INDIRECT_DESC, NEEDS_RESET, VERSION_1, WRITE, Irq, Modern

SHARE = 0.7     # of its speed, that a neighbour keeps
SLICE = 0.02    # s, with and without the attack
SETTLE = 0.01   # s, for what is under way to end, or to begin
PAIRS = 25
PAIRS_MAX = 100


@pytest.fixture(scope="module", autouse=True)
def small_quarantine():
    """Memory that was freed is soon free, so that what is left can be looked at."""
    before = os.environ.get("ASAN_OPTIONS")
    os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [before, "quarantine_size_mb=4"]))
    yield
    if before is None:
        del os.environ["ASAN_OPTIONS"]
    else:
        os.environ["ASAN_OPTIONS"] = before


@pytest.fixture(scope="module")
def ridge(small_quarantine, ridge):
    return ridge


@pytest.fixture(scope="module")
def victim(create):
    """The function that is attacked."""
    return create("rng", driver="vfio-pci")


@pytest.fixture(scope="module")
def neighbour(create, victim):
    function = create("rng", driver="vfio-pci")
    assert function.pid() == victim.pid()
    client, memory = function.client(), Memory()
    memory.share(client)
    transport = Modern(client, memory)
    transport.irq = transport.enable_msix(1)[0]
    transport.start(VERSION_1, vectors=[0])
    transport.area = memory.alloc(64)
    yield transport
    client.close()
    memory.close()


NEIGHBOUR, PF, ATTACKER = 3, 2, 1


@contextlib.contextmanager
def priority(process, level):
    os.sched_setscheduler(process, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(level))
    try:
        yield
    finally:
        os.sched_setscheduler(process, os.SCHED_OTHER, os.sched_param(0))


# Attacks. Each is a process of its own that goes on until it is killed.

def flood(client, data):
    """Sends data over and over, and drops what comes back."""
    client.sock.setblocking(False)
    view = memoryview(data * (1 + (1 << 16) // len(data)))
    at = 0
    while True:
        try:
            at += client.sock.send(view[at:])
            if at == len(view):
                at = 0
        except BlockingIOError:
            pass
        with contextlib.suppress(BlockingIOError):
            while client.sock.recv(1 << 20):
                pass


def posted_writes(function):
    flood(function.client(), message(
        vfio_user.REGION_WRITE, struct.pack("<QIIB", 0x3C, CONFIG, 1, 1), flags=NO_REPLY))


def large_reads(function):
    flood(function.client(), message(
        vfio_user.REGION_READ, struct.pack("<QII", 0, CONFIG, 4096)))


def write_multi(function):
    writes = [(CONFIG, 0x3C, b"\1")] * 2000
    flood(function.client(), message(
        vfio_user.REGION_WRITE_MULTI, vfio_user.write_multi(writes), flags=NO_REPLY))


def refused_commands(function):
    flood(function.client(), b"".join(message(command, bytes(24)) for command in range(2, 30)
                                      if command != vfio_user.RESET))


def resets(function):
    flood(function.client(), message(vfio_user.RESET))


def maps(function):
    flood(function.client(), b"".join(
        message(vfio_user.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, i * PAGE, PAGE))
        for i in range(64)) + b"".join(
            message(vfio_user.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, i * PAGE, PAGE))
            for i in range(64)))


def maps_with_memory(function):
    client, memory = function.client(), Memory(size=1 << 24)
    while True:
        for i in range(16):
            client.dma_map(i * 2 * PAGE, PAGE, memory.fd, i * PAGE)
        for i in range(16):
            client.dma_unmap(i * 2 * PAGE, PAGE)


def interrupts(function):
    client, irqs = function.client(), [Irq() for _ in range(2)]
    while True:
        client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 2, fds=[irq.fd for irq in irqs])


def eventfds_that_block(function):
    """Full, and blocking: to write to one waits."""
    client, irqs = function.client(), [Irq() for _ in range(2)]
    for irq in irqs:
        os.eventfd_write(irq.fd, 2**64 - 2)
    client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 2, fds=[irq.fd for irq in irqs])
    for irq in irqs:
        os.set_blocking(irq.fd, True)
    flood(client, message(vfio_user.SET_IRQS, struct.pack(
        "<IIIII", 20, DATA_NONE | TRIGGER, MSIX, 0, 2)))


def never_reads(function):
    client = function.client()
    request = message(vfio_user.REGION_READ, struct.pack("<QII", 0, CONFIG, 4096)) * 64
    client.sock.settimeout(None)
    while True:
        client.sock.sendall(request)


def half_messages(function):
    clients = [function.client()]
    clients[0].send_raw(message(vfio_user.REGION_WRITE, bytes(16), size=60000)[:30])
    time.sleep(1000)


def connections(function):
    """A storm: some are refused, some introduce themselves, some say nothing."""
    rnd = random.Random(2)
    crowd = []
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.connect(function.socket)
            if rnd.random() < 0.5:
                sock.send(message(vfio_user.VERSION, bytes(4)))
        crowd.append(sock)
        if len(crowd) > 20:
            crowd.pop(rnd.randrange(len(crowd))).close()


def descriptors(function):
    """As many with a message as the kernel lets through, which ends the connection."""
    irq = Irq()
    while True:
        with contextlib.suppress(OSError, Closed), function.client() as client:
            client.send_raw(message(vfio_user.GET_INFO, bytes(16)), [irq.fd] * 253)
            client.closed()


def long_chains(function):
    """A full ring of tables of a thousand descriptors each, again as soon as it was used."""
    client, memory = function.client(), Memory(size=1 << 21)
    memory.share(client)
    transport = Modern(client, memory)
    transport.start(VERSION_1 | INDIRECT_DESC)
    queue, area = transport.queues[0], memory.alloc(PAGE)
    table = memory.alloc(16 * 1024, 16)
    for i in range(1024):
        queue.write_desc(table, i, area + i, 1, WRITE | (1 if i < 1023 else 0), i + 1)
    for i in range(queue.size):
        queue.write_desc(queue.desc, i, table, 16 * 1024, INDIRECT, 0)
        memory.write(queue.avail + 4 + 2 * i, struct.pack("<H", i))
    while True:
        queue.avail_idx = (queue.avail_idx + queue.size) & 0xFFFF
        memory.write(queue.avail + 2, struct.pack("<H", queue.avail_idx))
        transport.kick()
        while queue.device_idx() != queue.avail_idx:
            time.sleep(0.0002)


def broken_rings(function):
    """A fault, a reset, and again."""
    client, memory = function.client(), Memory(size=1 << 24)
    memory.share(client)
    transport = Modern(client, memory)
    rnd = random.Random(3)
    while True:
        memory.used = 0
        with contextlib.suppress(AssertionError):  # it may look at rings before it has said so
            transport.start(VERSION_1)
        queue = transport.queues[0]
        bad = rnd.randrange(4)
        if bad == 0:
            memory.write(queue.avail + 2, struct.pack("<H", queue.size + 1))
        elif bad == 1:
            queue.offer(queue.size)
        elif bad == 2:
            queue.write_desc(queue.desc, 0, memory.iova, 16, WRITE | 1, 0)
            queue.offer(0)
        else:
            queue.add([(0xDEAD0000, 64, True)])
        transport.kick()


ATTACKS = [posted_writes, large_reads, write_multi, refused_commands, resets, maps,
           maps_with_memory, interrupts, eventfds_that_block, never_reads, half_messages,
           connections, descriptors, long_chains, broken_rings]


@contextlib.contextmanager
def under(attack, function):
    """The attack, a process, goes on in the block."""
    process = multiprocessing.get_context("fork").Process(target=attack, args=(function,))
    process.start()
    try:
        time.sleep(0.05)
        assert process.is_alive()
        yield process
        assert process.is_alive()
    finally:
        process.kill()
        process.join()


def registers(neighbour):
    neighbour.client.config_read(0, 4)


def requests(neighbour):
    """One entropy request, from its notification to its interrupt."""
    queue = neighbour.queues[0]
    queue.add([(neighbour.area, 64, True)])
    neighbour.kick()
    assert neighbour.irq.wait()
    assert queue.pop()


def speed(what, neighbour):
    end, count = time.monotonic() + SLICE, 0
    while time.monotonic() < end:
        what(neighbour)
        count += 1
    return count


def ratio(attack, what, neighbour, victim):
    """Of the neighbour's speed under the attack to that without: the median, and of how many."""
    ratios = []
    with under(attack, victim) as attacker, priority(attacker.pid, ATTACKER), \
            priority(victim.pid(), PF), priority(0, NEIGHBOUR):
        while len(ratios) < PAIRS or (statistics.median(ratios) < SHARE
                                      and len(ratios) < PAIRS_MAX):
            os.kill(attacker.pid, signal.SIGSTOP)
            time.sleep(SETTLE)
            alone = speed(what, neighbour)
            os.kill(attacker.pid, signal.SIGCONT)
            time.sleep(SETTLE)
            ratios.append(speed(what, neighbour) / alone)
    victim.idle()
    return statistics.median(ratios), len(ratios)


def pss(process):
    """KiB."""
    with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as rollup:
        return [int(line.split()[1]) for line in rollup if line.startswith("Pss:")][0]


def check(attack, what, neighbour, victim):
    pid = victim.pid()
    if os.geteuid() != 0:
        pytest.skip("needs real-time priorities")
    with under(attack, victim):
        time.sleep(0.3)
    victim.idle()
    descriptors_before, _, mappings = use(pid)
    memory = pss(pid)
    found, pairs = ratio(attack, what, neighbour, victim)
    print(f"ratio {attack.__name__}: {found:.2f} of {pairs}")
    assert found >= SHARE, f"a neighbour keeps {found:.2f} of its speed"
    assert victim.pid() == pid
    assert wait_for(lambda: use(pid)[0] == descriptors_before), "descriptors"
    assert use(pid)[2] < mappings + 64, "mappings"
    # What sanitizers keep of freed memory comes and goes.
    assert pss(pid) < memory + 8192, "KiB"
    with victim.client() as client:
        assert client.config_read(0, 2) == 0x1AF4
    victim.idle()


@pytest.mark.rules("vu-connection-9")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_register_accesses(attack, neighbour, victim):
    check(attack, registers, neighbour, victim)


def cpu_seconds(stat):
    with open(stat, encoding="ascii") as file:
        ticks = file.read().rsplit(") ", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def maps_large(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        return "memfd:large" in maps.read()


@pytest.mark.parametrize("last", ["map", "descriptor", "shrunk"])
def test_memory_that_nobody_else_has(victim, last):
    """To free it takes as long as it is large, and that is not the time of other functions."""
    pid = victim.pid()
    process, thread = f"/proc/{pid}/stat", f"/proc/{pid}/task/{pid}/stat"
    fds = len(os.listdir(f"/proc/{pid}/fd"))
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        available = next(int(line.split()[1]) for line in meminfo if line.startswith("MemAvail"))
    if available < 3 << 20:
        pytest.skip("needs 2 GiB of memory")
    base, size = 1 << 40, 2 << 30
    with victim.client() as client:
        memory = os.memfd_create("large")
        os.posix_fallocate(memory, 0, size)
        before = cpu_seconds(process), cpu_seconds(thread)
        if last == "map":
            client.dma_map(base, size, memory)
        elif last == "shrunk":  # and touched
            client.dma_map(base, size, memory)
            os.ftruncate(memory, size - PAGE)
            own = Memory()
            own.share(client)
            transport = Modern(client, own)
            transport.start(VERSION_1)
            transport.queues[0].add([(base + size - PAGE, 64, True)])
        else:  # one that it has no use for, and all of the message when it has the only one
            request = message(vfio_user.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0))
            client.send_raw(request[:20], [memory])
        os.close(memory)
        if last == "descriptor":
            client.send_raw(request[20:])
            client.recv()
        elif last == "shrunk":
            transport.kick()
            assert wait_for(lambda: transport.status() & NEEDS_RESET)
            own.close()
    victim.idle()
    assert wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) == fds and not maps_large(pid), 30)
    # Where pages are huge it is nothing.
    assert cpu_seconds(thread) - before[1] < max((cpu_seconds(process) - before[0]) / 2, 0.03)


@pytest.mark.parametrize("attack", [posted_writes, large_reads, long_chains],
                         ids=lambda attack: attack.__name__)
def test_virtqueue_requests(attack, neighbour, victim):
    check(attack, requests, neighbour, victim)
