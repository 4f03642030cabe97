# SPDX-License-Identifier: BSD-3-Clause
"""The address of a VF of an exported PF, and what its host may bring there with a state.

One host has the PF and all of its VFs, so that it may move a state from one VF to another, address
and all; but not past the switch, to a network where others are. ridged runs in a network namespace
of its own, where the uplink is.
"""

import os
import struct

import pytest

from domain import PF, VF1, Function, Modern
from net import Namespace
from virtio_guest import VERSION_1

SR_IOV, ADMIN_VQ = 1 << 37, 1 << 41
SELF, SRIOV = 0, 1  # groups
LIST_QUERY, LIST_USE, DRIVER_CAP_SET, OBJ_CREATE, PARTS_SET, MODE_SET = 0, 1, 9, 10, 16, 17
EINVAL = 22
NET_CVQ, MAC_ADDR_SET = 0x200, 0x101  # a part's type and selector (virtio 1.4, 5.1.5)


@pytest.fixture(scope="module")
def launcher():
    if reason := Namespace.why_not():
        pytest.skip(reason)
    namespace = Namespace(f"ridge-mac-{os.getpid()}")
    yield namespace.enter
    namespace.close()


class Admin:
    """The first admin queue of an exported net PF, with what its host needs to set parts."""

    def __init__(self, pf, memory):
        self.memory = memory
        self.driver = Modern(pf, memory)
        self.driver.start(VERSION_1 | SR_IOV | ADMIN_VQ, queues=4)
        _, commands = self(LIST_QUERY, SRIOV, 0, room=8)
        assert self(LIST_USE, SRIOV, 0, commands)[0] == 0
        assert self(DRIVER_CAP_SET, SELF, 0, struct.pack("<HHIBB", 0, 0, 0, 4, 4))[0] == 0

    def __call__(self, opcode, group, member, data=b"", room=0):
        """Status of a command, and its result."""
        command = struct.pack("<HH12xQ", opcode, group, member) + data
        out, answer = self.memory.alloc(len(command)), self.memory.alloc(8 + room)
        self.memory.write(out, command)
        self.driver.run([(out, len(command), False), (answer, 8 + room, True)], index=3)
        return struct.unpack("<H", self.memory.read(answer, 2))[0], \
            self.memory.read(answer + 8, room)

    def set_mac(self, member, mac):
        """Status of DEV_PARTS_SET with that one part, of a member that has stopped."""
        assert self(OBJ_CREATE, SRIOV, member, struct.pack("<HHIQB7x", 0, 0, member, 0, 1))[0] == 0
        assert self(MODE_SET, SRIOV, member, b"\1")[0] == 0
        part = struct.pack("<HBBQI", NET_CVQ, 0, 0, MAC_ADDR_SET, 6) + mac
        status, _ = self(PARTS_SET, SRIOV, member, struct.pack("<HHI", 0, 0, member) + part)
        assert self(MODE_SET, SRIOV, member, b"\0")[0] == 0
        return status


@pytest.mark.rules("admin-parts-15")
@pytest.mark.parametrize("uplink", [False, True])
def test_a_state_brings_another_address_only_where_there_is_no_uplink(export, uplink):
    exported = export("net", max_vfs=2, **{"uplink": "tap:mac0"} if uplink else {})
    d = exported.attach()
    bars = d.place_vf_bars()
    d.set_vfs(2)
    admin = Admin(Function(d, PF), exported.memory_of(d))
    vfs = [Function(d, VF1 + n, bars) for n in range(2)]
    for vf in vfs:
        vf.config_write(0x04, 2, 0x6)
    own, other = (vf.read(2, 0x2000, 6) for vf in vfs)
    assert admin.set_mac(1, other) == (EINVAL if uplink else 0)
    assert vfs[0].read(2, 0x2000, 6) == (own if uplink else other)
    assert admin.set_mac(2, other) == 0
