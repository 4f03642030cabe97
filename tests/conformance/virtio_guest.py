# SPDX-License-Identifier: BSD-3-Clause
"""What a guest's virtio driver does, over a vfio_user.Client: for tests of both transports.

`Modern` and `Legacy` are a driver's two ways to the same device (virtio 1.3, 4.1.4 and 4.1.4.10);
`Queue` is a split virtqueue in guest memory; `Blk` and `rng_read` are requests. A test that wants
to do something wrong writes the fields itself.
"""

import os
import select
import struct
import time

import vfio_user

# Device status (virtio 1.3, 2.1)
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
VERSION_1 = 1 << 32
EVENT_IDX = 1 << 29
INDIRECT_DESC = 1 << 28
NO_VECTOR = 0xFFFF

NEXT, WRITE, INDIRECT = 1, 2, 4

NET, BLK, RNG = 1, 2, 4


class Irq:
    """An eventfd for one interrupt."""

    def __init__(self):
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wait(self, timeout=5.0):
        """Waits until it was signalled; how often, 0 after the timeout."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return 0
        return os.eventfd_read(self.fd)

    def close(self):
        os.close(self.fd)


class Queue:
    """A split virtqueue; `legacy` for its layout in one piece (virtio 1.3, 2.7.2)."""

    def __init__(self, memory, size, legacy=False):
        self.memory, self.size = memory, size
        if legacy:
            used_at = (16 * size + 6 + 2 * size + 4095) & -4096
            self.desc = memory.alloc(used_at + 6 + 8 * size, 4096)
            self.avail = self.desc + 16 * size
            self.used = self.desc + used_at
        else:
            self.desc = memory.alloc(16 * size, 16)
            self.avail = memory.alloc(6 + 2 * size, 2)
            self.used = memory.alloc(6 + 8 * size, 4)
        self.free = list(range(size))
        self.chains = {}
        self.avail_idx = self.used_idx = 0

    def write_desc(self, table, index, address, length, flags, following):
        self.memory.write(table + 16 * index, struct.pack("<QIHH", address, length, flags, following))

    def _write_chain(self, table, slots, buffers):
        for i, (address, length, write) in enumerate(buffers):
            last = i == len(buffers) - 1
            self.write_desc(table, slots[i], address, length,
                            (WRITE if write else 0) | (0 if last else NEXT),
                            0 if last else slots[i + 1])

    def add(self, buffers, indirect=False):
        """Makes a chain of (iova, length, device writes it) available; its head."""
        if indirect:
            table = self.memory.alloc(16 * len(buffers), 16)
            self._write_chain(table, range(len(buffers)), buffers)
            slots = [self.free.pop(0)]
            self.write_desc(self.desc, slots[0], table, 16 * len(buffers), INDIRECT, 0)
        else:
            slots = [self.free.pop(0) for _ in buffers]
            self._write_chain(self.desc, slots, buffers)
        self.chains[slots[0]] = slots
        self.offer(slots[0])
        return slots[0]

    def offer(self, head):
        """Puts a head into the available ring."""
        self.memory.write(self.avail + 4 + 2 * (self.avail_idx % self.size),
                          struct.pack("<H", head))
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF
        self.memory.write(self.avail + 2, struct.pack("<H", self.avail_idx))

    def device_idx(self):
        """The used ring's idx, as the device last wrote it."""
        return struct.unpack("<H", self.memory.read(self.used + 2, 2))[0]

    def pop(self):
        """The next used element, (head, length), or None."""
        if self.device_idx() == self.used_idx:
            return None
        at = self.used + 4 + 8 * (self.used_idx % self.size)
        head, length = struct.unpack("<II", self.memory.read(at, 8))
        self.used_idx = (self.used_idx + 1) & 0xFFFF
        self.free.extend(self.chains.pop(head))
        return head, length

    def wait(self, timeout=5.0):
        """As pop(), but waits for it."""
        deadline = time.monotonic() + timeout
        while (element := self.pop()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError("no used buffer")
            time.sleep(0.0005)
        return element


class Transport:
    """What both transports share: initialization in the order that 3.1.1 has."""

    legacy = False

    def __init__(self, client, memory):
        self.client, self.memory = client, memory
        self.queues = {}
        self.features = 0

    def enable_msix(self, count):
        """Binds eventfds to the first vectors and enables MSI-X; the list of Irq."""
        irqs = [Irq() for _ in range(count)]
        cap = dict(self.client.capabilities())[0x11]
        for start in range(0, count, 16):
            part = irqs[start:start + 16]
            self.client.set_irqs(vfio_user.MSIX, vfio_user.DATA_EVENTFD | vfio_user.TRIGGER,
                                 start, len(part), fds=[irq.fd for irq in part])
        self.client.config_write(cap + 2, 2, 0x8000)
        return irqs

    def enable_intx(self):
        irq = Irq()
        self.client.set_irqs(vfio_user.INTX, vfio_user.DATA_EVENTFD | vfio_user.TRIGGER, 0, 1,
                             fds=[irq.fd])
        return irq

    def unmask_intx(self):
        self.client.set_irqs(vfio_user.INTX, vfio_user.DATA_NONE | vfio_user.UNMASK, 0, 1)

    def start(self, features=0, queues=1, size=None, vectors=None, config_vector=NO_VECTOR):
        """Reset to DRIVER_OK with the first `queues` queues; vectors[i] is queue i's."""
        self.reset()
        self.set_status(ACKNOWLEDGE)
        self.set_status(ACKNOWLEDGE | DRIVER)
        self.features = features
        self.set_features(features)
        status = ACKNOWLEDGE | DRIVER
        if not self.legacy:
            status |= FEATURES_OK
            self.set_status(status)
            assert self.status() & FEATURES_OK
        if config_vector != NO_VECTOR:
            assert self.set_config_vector(config_vector) == config_vector
        for i in range(queues):
            self.setup_queue(i, size, NO_VECTOR if vectors is None else vectors[i])
        self.set_status(status | DRIVER_OK)
        assert self.status() == status | DRIVER_OK

    def kick(self, index=0):
        self.notify(index)

    def run(self, buffers, index=0, timeout=5.0, indirect=False):
        """One chain there and back; the length in its used element."""
        queue = self.queues[index]
        head = queue.add(buffers, indirect)
        self.kick(index)
        element = queue.wait(timeout)
        assert element[0] == head
        return element[1]


class Modern(Transport):
    """The structures of 4.1.4, found through the vendor-specific capabilities."""

    # Fields of the common configuration (4.1.4.3): offset, size
    FIELDS = {
        "device_feature_select": (0x00, 4), "device_feature": (0x04, 4),
        "driver_feature_select": (0x08, 4), "driver_feature": (0x0c, 4),
        "config_msix_vector": (0x10, 2), "num_queues": (0x12, 2),
        "device_status": (0x14, 1), "config_generation": (0x15, 1),
        "queue_select": (0x16, 2), "queue_size": (0x18, 2), "queue_msix_vector": (0x1a, 2),
        "queue_enable": (0x1c, 2), "queue_notify_off": (0x1e, 2), "queue_desc": (0x20, 8),
        "queue_driver": (0x28, 8), "queue_device": (0x30, 8),
    }
    COMMON, NOTIFY, ISR, CONFIG, PCI_CFG = range(1, 6)

    def __init__(self, client, memory):
        super().__init__(client, memory)
        self.caps = {}  # type: (bar, offset, length, offset of the capability)
        for cap, at in client.capabilities():
            if cap == 0x09:
                kind, bar = client.config_read(at + 3, 1), client.config_read(at + 4, 1)
                offset, length = client.config_read(at + 8, 4), client.config_read(at + 12, 4)
                self.caps.setdefault(kind, (bar, offset, length, at))
        self.multiplier = client.config_read(self.caps[self.NOTIFY][3] + 16, 4)
        self.notify_at = {}
        client.config_write(0x04, 2, 0x0406)  # memory, bus master, no INTx

    def get(self, field):
        bar, base, _, _ = self.caps[self.COMMON]
        offset, size = self.FIELDS[field]
        return int.from_bytes(self.client.read(bar, base + offset, size), "little")

    def put(self, field, value):
        bar, base, _, _ = self.caps[self.COMMON]
        offset, size = self.FIELDS[field]
        for at in range(0, size, 4):  # 64-bit fields are written in halves (4.1.3.1)
            part = (value >> (8 * at)) & ((1 << (8 * min(size, 4))) - 1)
            self.client.write(bar, base + offset + at, part.to_bytes(min(size, 4), "little"))

    def device_features(self):
        value = 0
        for half in range(2):
            self.put("device_feature_select", half)
            value |= self.get("device_feature") << (32 * half)
        return value

    def set_features(self, features):
        for half in range(2):
            self.put("driver_feature_select", half)
            self.put("driver_feature", (features >> (32 * half)) & 0xFFFFFFFF)

    def status(self):
        return self.get("device_status")

    def set_status(self, value):
        self.put("device_status", value)

    def reset(self, timeout=5.0):
        self.set_status(0)
        assert vfio_user.wait_for(lambda: self.status() == 0, timeout)
        self.queues.clear()

    def set_config_vector(self, vector):
        self.put("config_msix_vector", vector)
        return self.get("config_msix_vector")

    def setup_queue(self, index, size=None, vector=NO_VECTOR):
        self.put("queue_select", index)
        most = self.get("queue_size")
        assert most
        queue = Queue(self.memory, size or most)
        self.put("queue_size", queue.size)
        if vector != NO_VECTOR:
            self.put("queue_msix_vector", vector)
            assert self.get("queue_msix_vector") == vector
        self.put("queue_desc", queue.desc)
        self.put("queue_driver", queue.avail)
        self.put("queue_device", queue.used)
        self.notify_at[index] = self.get("queue_notify_off") * self.multiplier
        self.put("queue_enable", 1)
        self.queues[index] = queue
        return queue

    def notify(self, index):
        bar, base, _, _ = self.caps[self.NOTIFY]
        self.client.write(bar, base + self.notify_at[index], struct.pack("<H", index), posted=True)

    def isr(self):
        bar, base, _, _ = self.caps[self.ISR]
        return self.client.read(bar, base, 1)[0]

    def config(self, offset, size):
        bar, base, _, _ = self.caps[self.CONFIG]
        return int.from_bytes(self.client.read(bar, base + offset, size), "little")


class Legacy(Transport):
    """The registers of 4.1.4.10 in I/O BAR 0."""

    legacy = True
    FIELDS = {
        "device_features": (0, 4), "driver_features": (4, 4), "queue_pfn": (8, 4),
        "queue_size": (12, 2), "queue_select": (14, 2), "queue_notify": (16, 2),
        "device_status": (18, 1), "isr": (19, 1), "config_vector": (20, 2),
        "queue_vector": (22, 2),
    }

    def __init__(self, client, memory):
        super().__init__(client, memory)
        self.msix = False
        client.config_write(0x04, 2, 0x0005)  # I/O, bus master

    def get(self, field):
        offset, size = self.FIELDS[field]
        return int.from_bytes(self.client.read(vfio_user.BAR0, offset, size), "little")

    def put(self, field, value):
        offset, size = self.FIELDS[field]
        self.client.write(vfio_user.BAR0, offset, value.to_bytes(size, "little"))

    def enable_msix(self, count):
        self.msix = True
        return super().enable_msix(count)

    def device_features(self):
        return self.get("device_features")

    def set_features(self, features):
        self.put("driver_features", features)

    def status(self):
        return self.get("device_status")

    def set_status(self, value):
        self.put("device_status", value)

    def reset(self):
        self.set_status(0)
        assert self.status() == 0
        self.queues.clear()

    def set_config_vector(self, vector):
        self.put("config_vector", vector)
        return self.get("config_vector")

    def setup_queue(self, index, size=None, vector=NO_VECTOR):
        self.put("queue_select", index)
        most = self.get("queue_size")
        assert most and size in (None, most), "a legacy driver cannot choose the size"
        queue = Queue(self.memory, most, legacy=True)
        if vector != NO_VECTOR:
            self.put("queue_vector", vector)
            assert self.get("queue_vector") == vector
        self.put("queue_pfn", queue.desc >> 12)
        self.queues[index] = queue
        return queue

    def notify(self, index):
        self.put("queue_notify", index)

    def isr(self):
        return self.get("isr")

    def config(self, offset, size):
        base = 24 if self.msix else 20
        return int.from_bytes(self.client.read(vfio_user.BAR0, base + offset, size), "little")


class Blk:
    """Requests to a block device (virtio 1.3, 5.2.6) that was started."""

    IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8
    OK, IOERR, UNSUPP = 0, 1, 2

    def __init__(self, transport):
        self.transport, self.memory = transport, transport.memory

    def prepare(self, kind, sector, data=b"", length=0):
        """Buffers of one request: the chain, where the data is, where the status will be."""
        header = self.memory.alloc(16)
        self.memory.write(header, struct.pack("<IIQ", kind, 0, sector))
        status = self.memory.alloc(1)
        self.memory.write(status, b"\xff")
        size = len(data) or length
        area = self.memory.alloc(max(size, 1), 512)
        self.memory.write(area, data)
        chain = [(header, 16, False)]
        if size:
            chain.append((area, size, kind in (self.IN, self.GET_ID)))
        chain.append((status, 1, True))
        return chain, area, status

    def request(self, kind, sector=0, data=b"", length=0, **how):
        """(status, data, length in the used element) of one request."""
        chain, area, status = self.prepare(kind, sector, data, length)
        written = self.transport.run(chain, **how)
        return self.memory.read(status, 1)[0], self.memory.read(area, length), written

    def read(self, sector, length, **how):
        status, data, written = self.request(self.IN, sector, length=length, **how)
        assert status == self.OK and written == length + 1
        return data

    def write(self, sector, data, **how):
        status, _, written = self.request(self.OUT, sector, data, **how)
        assert status == self.OK and written == 1

    def flush(self):
        assert self.request(self.FLUSH)[0] == self.OK

    def serial(self):
        status, data, _ = self.request(self.GET_ID, length=20)
        assert status == self.OK
        return data.rstrip(b"\0").decode()


def rng_read(transport, length):
    """Random bytes (virtio 1.3, 5.4)."""
    area = transport.memory.alloc(length)
    written = transport.run([(area, length, True)])
    assert 0 < written <= length
    return transport.memory.read(area, written)
