# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: connection initiation and VFIO_USER_VERSION."""

import json
import os
import struct

import pytest

import vfio_user
from vfio_user import PAGE, QEMU_CAPS, Client, Refused, refused


@pytest.fixture
def rng(functions):
    return functions("rng", "modern")


@pytest.mark.rules("vu-version-2", "vu-version-8", "vu-version-9")
def test_version_of_qemu(rng):
    with rng.client() as client:
        assert client.caps["max_msg_fds"] >= 1
        assert client.caps["pgsizes"] == 4096
        assert 0 < client.caps["max_dma_maps"] <= 65535
        assert 4096 <= client.caps["max_data_xfer_size"] <= 1048576


@pytest.mark.rules("vu-version-4", "vu-version-5")
def test_capabilities_are_a_subset_of_those_proposed(rng):
    for name in ("pgsizes", "max_msg_fds", "max_dma_maps", "max_data_xfer_size",
                 "write_multiple"):
        with rng.client(caps={name: QEMU_CAPS[name]}) as client:
            assert set(client.caps) == {name}
        rng.idle()
    with rng.client(caps={}) as client:
        assert client.caps == {}
        assert client.device_info()["num_regions"] >= 9


@pytest.mark.rules("vu-version-4", "vu-version-10")
def test_nothing_that_is_not_there_is_promised(rng):
    with rng.client(caps=dict(QEMU_CAPS, twin_socket={"supported": True}, unknown=[1])) as client:
        assert "twin_socket" not in client.caps and "unknown" not in client.caps
        assert client.caps["write_multiple"] is True


@pytest.mark.rules("vu-version-8")
def test_limits_are_the_lower_of_both(rng):
    with rng.client(caps={"max_dma_maps": 5, "max_data_xfer_size": 512}) as client:
        assert client.caps == {"max_dma_maps": 5, "max_data_xfer_size": 512}


@pytest.mark.rules("vu-version-10")
def test_write_multiple_is_for_those_who_offer_it(rng):
    for caps in ({}, {"write_multiple": False}):
        with rng.client(caps=caps) as client:
            assert client.caps == {}
            write = [(vfio_user.CONFIG, 0x3C, b"\7")]
            assert refused(client.write_multi, write) == "ENOTSUP"
            assert client.config_read(0x3C, 1) == 0
        rng.idle()


@pytest.mark.rules("vu-size-4")
@pytest.mark.rules("vu-map-10")
@pytest.mark.parametrize("most", [0, 1, 5])
def test_a_client_that_wants_few_maps(rng, most):
    with rng.client(caps={"max_dma_maps": most}) as client:
        for round_ in range(3):
            for i in range(most):
                client.dma_map(i * PAGE, PAGE)
            assert refused(client.dma_map, most * PAGE, PAGE) == "ENOSPC"
            if round_:
                client.dma_unmap(0, 0, flags=2)
            else:
                for i in range(most):
                    client.dma_unmap(i * PAGE, PAGE)
                    assert refused(client.dma_unmap, i * PAGE, PAGE) == "ENOENT"


@pytest.mark.parametrize("size", [0, 1, 4, 64])
def test_a_client_that_takes_little_data(rng, size):
    """count must not exceed the max_data_xfer_size that was agreed on."""
    with rng.client(caps={"max_data_xfer_size": size}) as client:
        assert client.caps == {"max_data_xfer_size": size}
        if size:
            assert len(client.read(vfio_user.CONFIG, 0, size)) == size
            client.write(vfio_user.CONFIG, 0, bytes(size))
        assert refused(client.read, vfio_user.CONFIG, 0, size + 1) == "EINVAL"
        assert refused(client.write, vfio_user.CONFIG, 0, bytes(size + 1)) == "EINVAL"
        assert client.device_info()["num_regions"] >= 9


@pytest.mark.rules("vu-version-5")
def test_version_data_is_optional(rng):
    with rng.client(caps=None) as client:
        assert client.version(data=b"") == {}


@pytest.mark.rules("vu-version-3")
def test_minor_is_not_above_the_proposed(rng):
    with rng.client(caps=None) as client:
        # Client.version() compares what comes back.
        client.version({}, minor=7)


@pytest.mark.rules("vu-version-2")
@pytest.mark.parametrize("major", [1, 0xFFFF])
def test_unknown_major_ends_the_connection(rng, major):
    with rng.client(caps=None) as client:
        with pytest.raises(Refused):
            client.version({}, major=major)
        assert client.closed()
    rng.idle()


@pytest.mark.parametrize("data", [
    b"x\0", b"{\0", b"{}", b"[]\0", b"{}\0{}\0", b'{"capabilities":1}\0',
    b'{"capabilities":{"max_msg_fds":"many"}}\0', b'{"capabilities":{"max_msg_fds":-1}}\0',
    b'{"capabilities":{"pgsizes":4096.5}}\0', b'{"capabilities":{"write_multiple":1}}\0',
    b'{"capabilities":{"twin_socket":[]}}\0', b'{"capabilities":{"pgsizes":16}}\0',
    b"[" * 3000 + b"\0", b'{"a":"\xff"}\0', b'{"a":"' + b"x" * 60000 + b'"}\0',
])
@pytest.mark.rules("vu-version-6", "vu-version-9")
def test_garbage_for_capabilities_ends_the_connection(rng, data):
    with rng.client(caps=None) as client:
        with pytest.raises(Refused):
            client.version(data=data)
        assert client.closed()
    rng.idle()


@pytest.mark.rules("vu-version-6")
def test_version_too_short(rng):
    with rng.client(caps=None) as client:
        assert refused(client.command, vfio_user.VERSION, b"\0\0") == "EINVAL"
        assert client.closed()
    rng.idle()


@pytest.mark.rules("vu-version-1")
@pytest.mark.parametrize("command", [vfio_user.GET_INFO, vfio_user.RESET, vfio_user.DMA_MAP, 0, 99])
def test_version_must_come_first(rng, command):
    with rng.client(caps=None) as client:
        with pytest.raises(Refused):
            client.command(command, bytes(16))
        assert client.closed()
    rng.idle()


@pytest.mark.rules("vu-version-1")
def test_version_without_reply_ends_the_connection(rng):
    with rng.client(caps=None) as client:
        client.send(vfio_user.VERSION, struct.pack("<HH", 0, 0), flags=vfio_user.NO_REPLY)
        assert client.closed()
    rng.idle()


@pytest.mark.rules("vu-version-12")
def test_version_comes_once(rng):
    with rng.client() as client:
        assert refused(client.version, QEMU_CAPS) == "EINVAL"
        client.device_info()


@pytest.mark.rules("vu-connection-9")
def test_silence_does_not_hold_the_function(rng):
    with rng.client(caps=None) as client:
        assert client.closed(timeout=8)
    rng.idle()
    rng.client().close()


@pytest.mark.rules("vu-connection-1")
def test_second_vmm_is_told_ebusy(rng):
    before = rng.counters().get("refused", 0)
    with rng.client() as first:
        for _ in range(3):
            with Client(rng.socket, caps=None) as second:
                assert refused(second.version, QEMU_CAPS) == "EBUSY"
                assert second.closed()
        first.device_info()
        assert rng.show()["state"] == "connected"
    assert rng.counters()["refused"] == before + 3
    rng.idle()
    rng.client().close()


@pytest.mark.rules("vu-connection-9")
def test_silent_second_vmms_hold_nothing(rng):
    fds = f"/proc/{rng.pid()}/fd"
    with rng.client() as first:
        before = len(os.listdir(fds))
        crowd = [Client(rng.socket, caps=None) for _ in range(40)]
        first.device_info()
        assert len(os.listdir(fds)) <= before + 8
        for one in crowd:
            assert one.closed(timeout=15)
            one.close()
        assert vfio_user.wait_for(lambda: len(os.listdir(fds)) <= before)
        first.device_info()


@pytest.mark.rules("vu-version-6")
def test_whole_capabilities_text_is_json(rng):
    with rng.client(caps=None) as client:
        data = json.dumps({"capabilities": QEMU_CAPS}, indent=8).encode() + b"\0"
        assert client.version(data=data)["pgsizes"] == 4096
