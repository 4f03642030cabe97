# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user client for tests: every message by hand, well-formed or not.

`Client` speaks the protocol (docs/interop/vfio-user.rst of QEMU's tree, version 0.0). What a guest's
driver does with the function behind it is in virtio_guest.py.
"""

import array
import errno
import json
import mmap
import os
import socket
import struct
import time

VERSION = 1
DMA_MAP = 2
DMA_UNMAP = 3
GET_INFO = 4
GET_REGION_INFO = 5
GET_REGION_IO_FDS = 6
GET_IRQ_INFO = 7
SET_IRQS = 8
REGION_READ = 9
REGION_WRITE = 10
DMA_READ = 11
DMA_WRITE = 12
RESET = 13
REGION_WRITE_MULTI = 15
DEVICE_FEATURE = 16
MIG_DATA_READ = 17
MIG_DATA_WRITE = 18

REPLY = 0x1
NO_REPLY = 0x10
ERROR = 0x20

# <linux/vfio.h>
BAR0, BAR1, BAR2, BAR3, BAR4, BAR5, ROM, CONFIG, VGA = range(9)
INTX, MSI, MSIX, ERR, REQ = range(5)
DATA_NONE, DATA_BOOL, DATA_EVENTFD = 1, 2, 4
MASK, UNMASK, TRIGGER = 8, 16, 32
READ, WRITE = 1, 2

HEADER = struct.Struct("<HHIII")
PAGE = 4096

# What QEMU 11.1 offers.
QEMU_CAPS = {
    "pgsizes": 4096,
    "max_msg_fds": 16,
    "max_dma_maps": 65535,
    "max_data_xfer_size": 1048576,
    "migration": {"max_bitmap_size": 268435456, "pgsize": 4096},
    "write_multiple": True,
}


class Refused(OSError):
    """An error reply."""


class Closed(Exception):
    """The server closed the connection."""


class Reply:
    def __init__(self, ident, command, flags, error, payload, fds):
        self.id, self.command, self.flags, self.error = ident, command, flags, error
        self.payload, self.fds = payload, fds


def message(command, payload=b"", flags=0, ident=1, size=None, error=0):
    """The bytes of one message; `size` puts a lie into its header."""
    if size is None:
        size = HEADER.size + len(payload)
    return HEADER.pack(ident, command, size, flags, error) + payload


def write_multi(writes, count=None):
    """The payload of REGION_WRITE_MULTI; `count` puts a lie into it."""
    entries = [struct.pack("<QII8s", offset, region, len(data), data)
               for region, offset, data in writes]
    return struct.pack("<Q", len(writes) if count is None else count) + b"".join(entries)


class Client:
    """One connection. caps: what VERSION offers; None: no VERSION is sent."""

    def __init__(self, path, caps=QEMU_CAPS, timeout=5.0):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        wait_for(lambda: self._connect(str(path)), timeout)
        self.ident = 0
        self.caps = None
        if caps is not None:
            self.caps = self.version(caps)

    def _connect(self, path):
        try:
            self.sock.connect(path)
        except BlockingIOError:  # the backlog is full
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # Bytes

    def send_raw(self, data, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self.sock.sendmsg([data], ancillary)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def _recv(self, size, fds):
        data = b""
        while len(data) < size:
            try:
                chunk, received, _, _ = socket.recv_fds(self.sock, size - len(data), 64)
            except ConnectionResetError as e:
                raise Closed from e
            fds.extend(received)
            if not chunk:
                raise Closed
            data += chunk
        return data

    def recv(self):
        """The next message from the server."""
        fds = []
        ident, command, size, flags, error = HEADER.unpack(self._recv(HEADER.size, fds))
        assert size >= HEADER.size
        return Reply(ident, command, flags, error, self._recv(size - HEADER.size, fds), fds)

    def send(self, command, payload=b"", fds=(), flags=0):
        """Sends a command; returns its id."""
        self.ident = (self.ident + 1) & 0xFFFF
        self.send_raw(message(command, payload, flags, self.ident), fds)
        return self.ident

    def command(self, command, payload=b"", fds=()):
        """Sends a command, waits for its reply, and returns its payload; raises Refused."""
        ident = self.send(command, payload, fds)
        return self.reply_to(ident, command).payload

    def reply_to(self, ident, command):
        reply = self.recv()
        assert reply.id == ident and reply.command == command
        assert reply.flags & ~ERROR == REPLY
        if reply.flags & ERROR:
            assert not reply.payload, "an error reply is a header only"
            raise Refused(reply.error, os.strerror(reply.error))
        assert reply.error == 0
        return reply

    def closed(self, timeout=5.0):
        """True if the server closes the connection in time; replies before that are skipped."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    # Commands

    def version(self, caps=None, major=0, minor=0, data=None):
        if data is None:
            data = json.dumps({"capabilities": caps or {}}).encode() + b"\0"
        payload = self.command(VERSION, struct.pack("<HH", major, minor) + data)
        got_major, got_minor = struct.unpack_from("<HH", payload)
        assert got_major == major and got_minor <= minor
        assert payload[-1:] == b"\0"
        return json.loads(payload[4:-1])["capabilities"]

    def device_info(self, argsz=16):
        payload = self.command(GET_INFO, struct.pack("<IIII", argsz, 0, 0, 0))
        return dict(zip(("argsz", "flags", "num_regions", "num_irqs"),
                        struct.unpack("<IIII", payload)))

    def region_info(self, index, argsz=32):
        payload = self.command(GET_REGION_INFO,
                               struct.pack("<IIIIQQ", argsz, 0, index, 0, 0, 0))
        return dict(zip(("argsz", "flags", "index", "cap_offset", "size", "offset"),
                        struct.unpack_from("<IIIIQQ", payload)))

    def io_fds(self, index, argsz=65536):
        """(argsz, count, sub-regions, descriptors) of DEVICE_GET_REGION_IO_FDS."""
        ident = self.send(GET_REGION_IO_FDS, struct.pack("<IIII", argsz, 0, index, 0))
        reply = self.reply_to(ident, GET_REGION_IO_FDS)
        needed, flags, got, count = struct.unpack_from("<IIII", reply.payload)
        assert flags == 0 and got == index
        names = ("offset", "size", "fd_index", "type", "flags", "padding", "datamatch")
        subs = [dict(zip(names, fields)) for fields in struct.iter_unpack("<QQIIIIQ",
                                                                          reply.payload[16:])]
        return needed, count, subs, reply.fds

    def irq_info(self, index, argsz=16):
        payload = self.command(GET_IRQ_INFO, struct.pack("<IIII", argsz, 0, index, 0))
        return dict(zip(("argsz", "flags", "index", "count"), struct.unpack("<IIII", payload)))

    def set_irqs(self, index, flags, start, count, data=b"", fds=()):
        self.command(SET_IRQS,
                     struct.pack("<IIIII", 20 + len(data), flags, index, start, count) + data, fds)

    def read(self, region, offset, count):
        payload = self.command(REGION_READ, struct.pack("<QII", offset, region, count))
        assert struct.unpack_from("<QII", payload) == (offset, region, count)
        assert len(payload) == 16 + count
        return payload[16:]

    def write(self, region, offset, data, posted=False):
        request = struct.pack("<QII", offset, region, len(data)) + data
        if posted:
            self.send(REGION_WRITE, request, flags=NO_REPLY)
            return
        payload = self.command(REGION_WRITE, request)
        assert struct.unpack("<QII", payload) == (offset, region, len(data))

    def write_multi(self, writes, posted=False):
        """writes: (region, offset, data) each; how many the server says were done."""
        request = write_multi(writes)
        if posted:
            self.send(REGION_WRITE_MULTI, request, flags=NO_REPLY)
            return None
        return struct.unpack("<Q", self.command(REGION_WRITE_MULTI, request))[0]

    def reset(self):
        assert self.command(RESET) == b""

    def dma_map(self, iova, size, fd=None, offset=0, flags=READ | WRITE):
        payload = self.command(DMA_MAP, struct.pack("<IIQQQ", 32, flags, offset, iova, size),
                               () if fd is None else (fd,))
        assert payload == b""

    def dma_unmap(self, iova, size, flags=0):
        payload = self.command(DMA_UNMAP, struct.pack("<IIQQ", 24, flags, iova, size))
        assert struct.unpack("<IIQQ", payload)[2:] == (iova, size)

    # Config space

    def config_read(self, offset, size):
        return int.from_bytes(self.read(CONFIG, offset, size), "little")

    def config_write(self, offset, size, value):
        self.write(CONFIG, offset, value.to_bytes(size, "little"))

    def capabilities(self):
        """(id, offset) of each capability, in list order."""
        found = []
        offset = self.config_read(0x34, 1) if self.config_read(0x06, 2) & 0x10 else 0
        while offset and len(found) < 48:
            found.append((self.config_read(offset, 1), offset))
            offset = self.config_read(offset + 1, 1)
        return found


class Memory:
    """Guest memory: a memfd, mapped for DMA at `iova` by share(), and a heap that only grows."""

    def __init__(self, size=1 << 20, iova=0x40000000):
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        self.size, self.iova, self.used = size, iova, 0

    def share(self, client):
        client.dma_map(self.iova, self.size, self.fd)

    def unshare(self, client):
        client.dma_unmap(self.iova, self.size)

    def close(self):
        self.map.close()
        os.close(self.fd)

    def alloc(self, size, align=16):
        start = (self.used + align - 1) & -align
        assert start + size <= self.size
        self.used = start + size
        return self.iova + start

    def read(self, iova, size):
        return self.map[iova - self.iova:iova - self.iova + size]

    def write(self, iova, data):
        self.map[iova - self.iova:iova - self.iova + len(data)] = data


def wait_for(condition, timeout=5.0):
    """Waits for condition() to be true; returns what it returned last."""
    deadline = time.monotonic() + timeout
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return result


def refused(what, *args, **kwargs):
    """The errno name with which a call is refused, or None."""
    try:
        what(*args, **kwargs)
    except Refused as e:
        return errno.errorcode[e.errno]
    return None
