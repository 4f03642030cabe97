# SPDX-License-Identifier: BSD-3-Clause
"""The seeds in corpus/: one valid thing of each kind, from which libFuzzer goes on.

    seeds.py            writes them

Three kinds of inputs are in corpus/TARGET:

    seed-*              these
    regress-*           inputs that showed an error once, made by regressions() below
    found-*             the smallest ones that cover what fuzzing has reached: ./run fuzz --merge
"""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def u8(*values):
    return bytes(value & 0xff for value in values)


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


# vfio-user: messages by command, as bodies

VERSION = u16(0) + u16(0) + json.dumps({"capabilities": {
    "max_msg_fds": 16, "max_data_xfer_size": 1048576, "max_dma_maps": 65535, "pgsizes": 4096,
    "migration": {"pgsize": 4096, "max_bitmap_size": 1}, "write_multiple": True}}).encode() + b"\0"

BODIES = {
    "version": (1, VERSION),
    "map": (2, struct.pack("<IIQQQ", 32, 3, 0, 0x10000, 0x10000)),
    "unmap": (3, struct.pack("<IIQQ", 24, 0, 0x10000, 0x10000)),
    "info": (4, struct.pack("<IIII", 16, 0, 0, 0)),
    "region-info": (5, struct.pack("<IIIIQQ", 32, 0, 2, 0, 0, 0)),
    "io-fds": (6, struct.pack("<IIII", 4096, 0, 2, 0)),
    "irq-info": (7, struct.pack("<IIII", 16, 0, 2, 0)),
    "irqs-eventfd": (8, struct.pack("<IIIII", 20, 4 | 32, 2, 0, 1)),
    "irqs-none": (8, struct.pack("<IIIII", 20, 1 | 32, 2, 0, 2)),
    "irqs-bool": (8, struct.pack("<IIIII", 22, 2 | 16, 0, 0, 1) + b"\1"),
    "read": (9, struct.pack("<QII", 0x14, 2, 4)),
    "write": (10, struct.pack("<QII", 4, 7, 2) + u16(6)),
    "reset": (13, b""),
    "write-multi": (15, struct.pack("<Q", 2) + struct.pack("<QII", 0x3000, 2, 2) + u64(0)
                    + struct.pack("<QII", 0x3004, 2, 2) + u64(1)),
    "feature": (16, struct.pack("<II", 8, 0x40000 | 1)),
    "mig-read": (17, struct.pack("<II", 8, 64)),
}


def message(command, body, flags=0):
    return struct.pack("<HHIII", 1, command, 16 + len(body), flags, 0) + body


def vfio_user():
    for name, (command, body) in BODIES.items():
        fds = 1 if name in ("map", "irqs-eventfd") else 0
        yield name, u8(fds) + message(command, body)
    yield "stream", u8(0) + b"".join(
        message(command, body) for name, (command, body) in BODIES.items()
        if name not in ("map", "irqs-eventfd"))


def session():
    def op_message(name, how=0):
        command, body = BODIES[name]
        return u8(0, command, how, len(body)) + body

    def access(write, region, order, offset, data=b""):
        return u8(2, write << 7 | order << 3 | region) + u16(offset) + data

    for name in BODIES:
        yield name, u8(2) + op_message(name, 1 if name == "map" else 5)
    # A device brought up by its registers: legacy through the I/O BAR, and modern.
    yield "legacy", u8(2) + op_message("map", 1) + b"".join([
        access(1, 7, 1, 4, u16(7)), access(1, 0, 0, 0x12, u8(0)), access(1, 0, 0, 0x12, u8(3)),
        access(0, 0, 2, 0), access(1, 0, 2, 4, u32(0)), access(1, 0, 1, 0x0e, u16(0)),
        access(0, 0, 1, 0x0c), access(1, 0, 2, 8, u32(0x10)), access(1, 0, 0, 0x12, u8(7)),
        access(1, 0, 1, 0x10, u16(0)), u8(4), access(0, 0, 0, 0x13)])
    yield "modern", u8(1) + op_message("map", 1) + op_message("irqs-eventfd", 5) + b"".join([
        access(1, 7, 1, 4, u16(6)), access(1, 2, 0, 0x14, u8(0)), access(1, 2, 0, 0x14, u8(3)),
        access(1, 2, 2, 8, u32(1)), access(1, 2, 2, 12, u32(1)), access(1, 2, 0, 0x14, u8(11)),
        access(1, 2, 3, 0x20, u64(0x10000)), access(1, 2, 3, 0x28, u64(0x12000)),
        access(1, 2, 3, 0x30, u64(0x13000)), access(1, 2, 1, 0x1c, u16(1)),
        access(1, 2, 0, 0x14, u8(15)), access(1, 2, 1, 0x3000, u16(0)), u8(4),
        op_message("unmap"), u8(4), u8(5)])


def jsonrpc():
    def call(method, params, **more):
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params,
                           **more}).encode()

    create = "function.create"
    blk = {"type": "blk", "name": "disk0", "image": "/d.img", "readonly": True, "serial": "S1",
           "direct": False, "share": False, "driver": "virtio-vfio-pci", "legacy": "only",
           "mode": "0660", "owner": "root", "group": "0", "queues": 4, "queue_size": "1K"}
    net = {"type": "net", "name": "eth0", "mac": "52:54:00:12:34:56", "mtu": 1500,
           "backend": "tap:t0", "trust": "true", "link": "down", "packed": True, "slot": 7}
    yield "blk", u8(0) + call(create, blk)
    yield "net", u8(7) + call(create, net)
    yield "rng", u8(0) + call(create, {"type": "rng", "name": "r", "pf": "p", "driver": "none"})
    yield "pf", u8(0) + call("pf.add", {"type": "net", "name": "lan", "max_vfs": 16,
                                        "uplink": "tap:up0"})
    yield "batch", u8(3) + b"[" + call("a", [1, 2.5, None]) + b"," + call("ab", {}) + b"]"
    yield "later", u8(0) + call("abcd", {}) + b"\n" + call("x", {}, id="text")
    yield "broken", u8(1) + b'{"jsonrpc": \n' + call("x", []) + b'\0[[[[{"a":"\\ud800"}]]]]'


def virtqueue():
    def desc(index, address, length, flags, following):
        return u8(1, index) + u16(address) + u16(length) + u16(flags) + u8(following)

    # flags, size and the three areas
    split = u8(0x06, 3) + u16(0x1000) + u16(0x2000) + u16(0x3000)
    chain = desc(0, 0x4000, 64, 1, 1) + desc(1, 0x5000, 128, 2, 0)
    use = u8(2, 0) + u8(3) + u8(5, 0) + u16(16) + u8(9) + u8(10)
    yield "split", split + chain + use
    yield "split-in-order", u8(0x0e) + split[1:] + chain + (u8(2, 0) + u8(3)) * 3 + u8(
        6, 2, 1, 0, 6, 0, 1, 0, 7, 6, 0, 1, 0, 7)
    table = b"".join(struct.pack("<QIHH", 0x14000 + n * 0x100, 64, 1 if n < 2 else 2, n + 1)
                     for n in range(3))
    yield "indirect", split + u8(0) + u16(0x6000) + u8(len(table)) + table + desc(
        0, 0x6000, len(table), 4, 0) + use
    packed = u8(0x07, 7) + u16(0x1000) + u16(0x2000) + u16(0x3000)

    def packed_desc(index, address, length, ident, flags):
        return u8(0) + u16(0x1000 + 16 * index) + u8(16) + struct.pack(
            "<QIHH", address, length, ident, flags)

    yield "packed", packed + packed_desc(0, 0x14000, 64, 3, 0x81) + packed_desc(
        1, 0x15000, 64, 3, 0x82) + u8(3, 5, 0, 8, 0, 9, 10)
    yield "packed-indirect", packed + u8(0) + u16(0x6000) + u8(len(table)) + table + packed_desc(
        0, 0x16000, len(table), 1, 0x84) + u8(3, 4, 3, 6, 0, 8, 0, 7, 10)
    yield "unmap", split + chain + u8(2, 0, 3, 11, 4, 11, 3, 5, 0, 1, 0, 12, 4, 3, 3)


def config():
    def read(which, offset, order=2):
        return u8(0, order << 6 | which) + u16(offset)

    def write(which, offset, value, order=2):
        return u8(1, order << 6 | which) + u16(offset) + u32(value)

    def bar_write(which, bar, offset, value, order=2):
        return u8(3, order << 6 | bar << 2 | which) + u64(value) + u16(offset)

    def user(write_it, region, offset, length_code, data=b""):
        return u8(7 if write_it else 6, 0, length_code << 5 | region) + u16(offset) + data

    for kind in range(3):
        sriov = write(0, 0x108, 0, 1) + write(0, 0x110, 2, 1) + write(0, 0x108, 9, 1)
        yield f"sriov-{kind}", u8(kind) + sriov + read(2, 0) + read(1, 0) + read(0, 0x104)
        yield f"bars-{kind}", u8(kind) + write(0, 0x18, 0xffffffff) + read(0, 0x18) + write(
            2, 4, 6, 1) + bar_write(2, 2, 0x14, 3, 0) + bar_write(2, 4, 0, 0xfee00000, 3) + bar_write(
            2, 4, 8, 0, 3) + u8(4, 2, 5, 0)
        yield f"user-{kind}", u8(kind | 4) + user(1, 7, 4, 1, u16(7)) + user(1, 0, 0x12, 0, u8(3)) + user(
            0, 0, 0, 2) + user(0, 0, 0x14, 3) + user(1, 7, 0x10, 2, u32(0xffffffff)) + user(
            0, 7, 0, 7) + u8(8, 0, 32 | 1, 2, 0, 2) + user(0, 2, 0, 2)


def admin():
    def command(opcode, group, member, data=b"", out=None, room=None):
        lengths = [0, 1, 2, 4, 8, 12, 16, 24, 64, 256, 1024, 1984]
        out_code = next(n for n, size in enumerate(lengths) if size >= len(data)) if out is None else out
        in_code = 9 if room is None else room
        return u8(0, in_code << 4 | out_code, opcode, group, member) + data.ljust(
            lengths[out_code], b"\0")

    lists = command(0, 1, 0) + command(1, 1, 0, u64(0x3e7ff)) + command(0, 0, 0) + command(
        1, 0, 0, u64(0x3e7ff))
    legacy = command(3, 1, 1, u8(0), room=3) + command(2, 1, 1, u8(0x12, *[0] * 7, 3)) + command(
        5, 1, 2, u8(0), room=4) + command(4, 1, 2, u8(0, *[0] * 7, 1)) + command(6, 1, 1)
    caps = command(7, 0, 0) + command(8, 0, 0, u16(0)) + command(9, 0, 0, u16(0) + u16(0) * 3 + u8(8, 8))
    objects = b"".join(command(0xa, 1, member, u16(0) + u16(0) + u32(member) + u64(0) + u8(kind, *[0] * 7))
                       for member, kind in ((1, 0), (2, 1)))
    parts = command(0x11, 1, 1, u8(1)) + command(0xe, 1, 1, struct.pack("<HHIQ", 0, 0, 1, 0)) + command(
        0xf, 1, 1, struct.pack("<HHIQ", 0, 0, 1, 0) + u64(1), room=10) + u8(
        1, 0xaa, 0x10, 1, 2) + u16(0) + u8(0)
    for kind in range(3):
        yield f"lists-{kind}", u8(kind) + lists
        yield f"legacy-{kind}", u8(kind) + legacy + u8(6) + legacy
        yield f"parts-{kind}", u8(kind) + lists + caps + objects + parts + command(
            0xd, 1, 1, u16(0) + u16(0) + u32(1))
    yield "strict", u8(4) + lists + u8(4, 0) + lists + u8(7) + lists
    yield "members", u8(0) + u8(3, 0, 5, 3, 0, 3, 2) + legacy + u8(4, 0) + legacy + u8(2, 24, 8) + bytes(24)


def domain():
    def ecam_read(which, at, order=2):
        return u8(0, order << 6 | which) + u16(at)

    def ecam_write(which, dword, value, order=2):
        return u8(1, order << 6 | which, dword) + u32(value)

    enable = u8(2, 0, 7)
    for kind in range(2):
        yield f"enumerate-{kind}", u8(kind) + ecam_read(0, 0) + ecam_read(0, 0x100) + enable + b"".join(
            ecam_read(which, 0) for which in range(8)) + u8(2, 0, 0) + ecam_read(1, 0)
        yield f"bars-{kind}", u8(kind) + enable + ecam_write(0, 6, 0xffffffff) + ecam_read(
            0, 0x18) + u8(3, 0, 1, 3, 1, 0x42, 5, 0xc1) + u32(0x4000) + u8(6, 0x81) + u32(
            0x4014) + u64(3) + u8(5, 0x41) + u32(0x8014)
        yield f"resets-{kind}", u8(kind) + enable + ecam_write(1, 1, 6, 1) + u8(7, 0xc1, 7, 0xc2) + ecam_read(
            1, 0) + u8(9, 0, 11, 0, 8, 1, 10, 0) + ecam_read(0, 0) + u8(4, 0x81, 0x10) + u32(0xffffffff)
    # Requests of the PF, of a VF and of a dynamic function hang; what they belong to is taken away.
    for end, how in (("disabled", u8(2, 0, 0)), ("unmapped", u8(8, 0x20)), ("reset", u8(9, 0)),
                     ("master", ecam_write(1, 1, 2, 1)), ("pulled", u8(10, 0x80)),
                     ("flr", ecam_write(0, 0x12, 0x8000))):
        yield f"hang-{end}", u8(4) + enable + u8(10, 0x80) + ecam_read(1, 0) + u8(11, 0x30) + b"".join(
            u8(11, 0x80 | which) for which in (0, 1, 5)) + how + ecam_read(1, 0) + u8(11, 0x20)


def frame():
    ethernet = bytes.fromhex("525400000001525400000002")

    def with_header(offloads, flags, gso, header, size, start, offset, cuts, data):
        return u8(offloads) + struct.pack("<BBHHHH", flags, gso, header, size, start, offset) + u8(
            *cuts) + data

    tcp4 = ethernet + u16(8) + bytes.fromhex("4500") + struct.pack(">H", 1040) + bytes.fromhex(
        "00010000400600000a0000010a000002") + struct.pack(">HHIIHHHH", 1, 2, 3, 4, 0x5018, 99, 0, 0)
    tcp6 = ethernet + bytes.fromhex("86dd60000000") + struct.pack(">H", 1020) + u8(6, 64) + bytes(
        32) + struct.pack(">HHIIHHHH", 1, 2, 3, 4, 0x5018, 99, 0, 0)
    yield "plain", with_header(0, 0, 0, 0, 0, 0, 0, (0, 0, 0), ethernet + u16(8) + bytes(46))
    yield "checksum", with_header(0, 1, 0, 0, 0, 34, 16, (0, 9, 9), tcp4 + bytes(1000))
    yield "tso4", with_header(1, 1, 1, 54, 100, 34, 16, (0, 100, 0), tcp4 + bytes(1000))
    yield "tso6", with_header(1, 1, 4, 74, 100, 54, 16, (0, 3, 200), tcp6 + bytes(1000))
    vlan = tcp4[:12] + bytes.fromhex("81000005") + tcp4[12:]
    yield "vlan-tso4", with_header(0, 1, 1, 58, 64, 38, 16, (0, 0, 0), vlan + bytes(1000))


def parts():
    """The last record of each stream that ridge once saved, without the long table of VLANs."""
    streams = pathlib.Path(__file__).parent.parent / "fixture" / "streams"
    for kind, name in enumerate(("ridge-blk", "ridge-blk-queues", "ridge-net", "ridge-net-packed")):
        data = (streams / f"{name}.stream").read_bytes()
        record = data[16 + int.from_bytes(data[:8], "little") + 16:]
        short = b""
        while record:
            whole = 16 + int.from_bytes(record[12:16], "little")
            short += record[:whole] if whole < 400 else b""
            record = record[whole:]
        stream = struct.pack("<QII", len(short), 0, 0) + short
        yield name, u8(kind, 63) + stream
        yield f"{name}-two", u8(kind, 6) + struct.pack("<QII", 3, 1, 7) + b"abc" + stream + struct.pack(
            "<QII", 24, 0, 0) + short[:24]


def regressions():
    """Target, name and input of each; a new one fails before its fix."""
    ethernet = bytes.fromhex("525400000001525400000002")
    # Reading the device configuration of an rng, which has none, copied from a null pointer.
    yield "config", "config-of-none", u8(0) + u8(2, 2 << 6 | 2 << 2 | 2) + u16(0x2000)
    # A checksum that the header places over the source address made another of it.
    yield "frame", "checksum-over-address", u8(0) + struct.pack(
        "<BBHHHH", 1, 0, 0, 0, 0, 6) + bytes(3) + ethernet + u16(8) + bytes(46)
    # Segments whose checksum is not asked for were given to a receiver that takes none.
    yield "frame", "segments-without-checksum", u8(0) + struct.pack(
        "<BBHHHH", 0, 1, 54, 100, 0, 0) + bytes(3) + ethernet + u16(8) + bytes.fromhex(
        "4500022800010000400600000a0000010a000002") + struct.pack(
        ">HHIIHHHH", 1, 2, 3, 4, 0x5018, 99, 0, 0) + bytes(512)
    # Parameters by position were looked at as if they had names.
    yield "jsonrpc", "params-by-position", u8(0) + json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "pf.list", "params": [0]}).encode()


def main():
    for target in (admin, config, domain, frame, jsonrpc, parts, session, vfio_user, virtqueue):
        folder = CORPUS / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("seed-*"):
            old.unlink()
        for name, data in target():
            (folder / f"seed-{name}").write_bytes(data)
    for old in CORPUS.glob("*/regress-*"):
        old.unlink()
    for target, name, data in regressions():
        (CORPUS / target / f"regress-{name}").write_bytes(data)


if __name__ == "__main__":
    main()
