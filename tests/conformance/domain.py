# SPDX-License-Identifier: BSD-3-Clause
"""An exported PF as a Linux host's PCI core and drivers see it, without a Linux.

`Domain` is a vfio_user.Client of the VMD: configuration space by ECAM, BARs in the memory windows,
messages as they come. `Function` is one function behind it, with the calls that virtio_guest.Modern
has of a client, so that the same driver runs on PFs, VFs and dynamic functions.
"""

import struct
import time

import vfio_user
import virtio_guest
from vfio_user import BAR0, BAR2, BAR4, Client, Memory, wait_for

# Where a firmware would put the BARs of the VMD.
ECAM_AT, WINDOW_AT, LOW_AT = 0x1_0000_0000, 0x2_0000_0000, 0xE000_0000

PF = 0x0000
VF1 = 0x0100  # first offset 256, stride 1

SRIOV = 0x100  # the PF's extended capability
CTRL, TOTAL, NUM, OFFSET, STRIDE, DEVICE, PAGE_SIZE = 0x08, 0x0E, 0x10, 0x14, 0x16, 0x1A, 0x20
VFE, MSE = 1, 8

MESSAGES_AT = 0xFEE00000


class Domain(Client):
    def __init__(self, path, **options):
        self.messages = []  # (address, data) of each
        self.next_bar = WINDOW_AT
        super().__init__(path, **options)
        self.place()

    def place(self):
        """Gives the VMD its BARs, as a firmware does after each reset."""
        for region, address in ((BAR0, ECAM_AT), (BAR2, WINDOW_AT), (BAR4, LOW_AT)):
            self.config_write(0x10 + 4 * region, 4, address & 0xFFFFFFFF)
            self.config_write(0x14 + 4 * region, 4, address >> 32)
        self.config_write(0x04, 2, 0x06)

    def recv(self):
        while True:
            message = super().recv()
            if message.flags & vfio_user.REPLY:
                return message
            assert message.command == vfio_user.DMA_WRITE
            assert message.flags == vfio_user.NO_REPLY
            address, count = struct.unpack_from("<QQ", message.payload)
            assert count == 4 and len(message.payload) == 20
            self.messages.append((address, struct.unpack_from("<I", message.payload, 16)[0]))

    def drain(self):
        """What has come by now; the answer to a request comes after what was sent before."""
        self.config_read(0, 4)
        found, self.messages = self.messages, []
        return found

    def wait_message(self, timeout=5.0):
        deadline = time.monotonic() + timeout
        while not self.messages and time.monotonic() < deadline:
            self.config_read(0, 4)
        return self.messages.pop(0) if self.messages else None

    # configuration space of functions

    def ecam_read(self, rid, offset, size):
        return int.from_bytes(self.read(BAR0, rid << 12 | offset, size), "little")

    def ecam_write(self, rid, offset, size, value):
        self.write(BAR0, rid << 12 | offset, value.to_bytes(size, "little"))

    # memory that functions decode

    def _place(self, address):
        if address >= WINDOW_AT:
            return BAR2, address - WINDOW_AT
        return BAR4, address - LOW_AT

    def load(self, address, size):
        region, offset = self._place(address)
        return self.read(region, offset, size)

    def store(self, address, data, posted=False):
        region, offset = self._place(address)
        self.write(region, offset, data, posted)

    def allocate(self, size, align=None):
        align = align or size
        self.next_bar = (self.next_bar + align - 1) & -align
        self.next_bar += size
        return self.next_bar - size

    # what the PF says of its VFs

    def place_vf_bars(self):
        """Gives the VF BARs room for all VFs; {bar: (address, size of each)}."""
        total = self.ecam_read(PF, SRIOV + TOTAL, 2)
        bars = {}
        for bar in range(6):
            at = SRIOV + 0x24 + 4 * bar
            if bar - 1 in bars:
                continue
            self.ecam_write(PF, at, 4, 0xFFFFFFFF)
            mask = self.ecam_read(PF, at, 4) & ~0xF
            if not mask:
                continue
            each = -mask & 0xFFFFFFFF
            address = self.allocate(each * total, each)
            self.ecam_write(PF, at, 4, address & 0xFFFFFFFF)
            self.ecam_write(PF, at + 4, 4, address >> 32)
            bars[bar] = (address, each)
        return bars

    def set_vfs(self, count, control=VFE | MSE):
        self.ecam_write(PF, SRIOV + NUM, 2, count)
        self.ecam_write(PF, SRIOV + CTRL, 2, control if count else 0)


class Function:
    """One function, its BARs placed. vf_bars: what Domain.place_vf_bars() gave."""

    def __init__(self, domain, rid, vf_bars=None):
        self.domain, self.rid = domain, rid
        if vf_bars is not None:
            self.bars = {bar: address + (rid - VF1) * each
                         for bar, (address, each) in vf_bars.items()}
            return
        self.bars = {}
        for bar in (2, 4):
            self.config_write(0x10 + 4 * bar, 4, 0xFFFFFFFF)
            size = -(self.config_read(0x10 + 4 * bar, 4) & ~0xF) & 0xFFFFFFFF
            self.move(bar, domain.allocate(size))

    def move(self, bar, address):
        self.config_write(0x10 + 4 * bar, 4, address & 0xFFFFFFFF)
        self.config_write(0x14 + 4 * bar, 4, address >> 32)
        self.bars[bar] = address

    def config_read(self, offset, size):
        return self.domain.ecam_read(self.rid, offset, size)

    def config_write(self, offset, size, value):
        self.domain.ecam_write(self.rid, offset, size, value)

    def read(self, bar, offset, size):
        return self.domain.load(self.bars[bar] + offset, size)

    def write(self, bar, offset, data, posted=False):
        self.domain.store(self.bars[bar] + offset, data, posted)

    capabilities = Client.capabilities

    def cap(self, ident):
        return dict(self.capabilities())[ident]

    def flr(self):
        at = self.cap(0x10) + 8
        self.config_write(at, 2, self.config_read(at, 2) | 0x8000)

    def answers(self, timeout=5.0):
        """Waits until it is not all ones any more, as a host does after a reset."""
        return vfio_user.wait_for(lambda: self.config_read(4, 4) != 0xFFFFFFFF, timeout)


class Modern(virtio_guest.Modern):
    """The driver, with MSI-X as the function has it: vector n sends MESSAGES_AT, rid << 8 | n."""

    def enable_msix(self, count):
        function = self.client
        for vector in range(count):
            function.write(4, 16 * vector, struct.pack("<QII", MESSAGES_AT, self.data(vector), 0))
        function.config_write(function.cap(0x11) + 2, 2, 0x8000)

    def data(self, vector):
        return self.client.rid << 8 | vector


class Exported:
    """A PF of ours, and clients for it."""

    def __init__(self, ridge, name, socket):
        self.ridge, self.name, self.socket = ridge, name, socket
        self.clients, self.memories = [], []

    def attach(self, **options):
        self.clients.append(Domain(self.socket, **options))
        return self.clients[-1]

    def memory(self, client, size=4 << 20):
        """New memory of the guest; a client can have it once."""
        self.memories.append(Memory(size))
        self.memories[-1].share(client)
        return self.memories[-1]

    def memory_of(self, client):
        """The guest's memory, for all of its functions."""
        if getattr(client, "memory", None) is None:
            client.memory = self.memory(client, 16 << 20)
        return client.memory

    def info(self):
        (info,) = [pf for pf in self.ridge("pf", "list") if pf["name"] == self.name]
        return info

    def counters(self):
        (found,) = [pf for pf in self.ridge("stats")["pfs"] if pf["name"] == self.name]
        return found["counters"]

    def local(self):
        """Waits until it is local; what pf list says then."""
        assert wait_for(lambda: not self.info()["exported"], 10)
        return self.info()

    def close(self):
        for client in self.clients:
            client.close()
        for memory in self.memories:
            memory.close()
