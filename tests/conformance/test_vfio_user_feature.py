# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: DEVICE_FEATURE and migration data, of functions that have no features yet."""

import struct

import pytest

from vfio_user import (DEVICE_FEATURE, MIG_DATA_READ, MIG_DATA_WRITE, NO_REPLY, refused)

GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
# The features that vfio-user has (section Device Features).
MIGRATION, DEVICE_STATE, LOGGING_START, LOGGING_STOP, LOGGING_REPORT = 1, 2, 6, 7, 8


@pytest.fixture(params=["modern", "transitional"])
def client(request, functions):
    with functions("rng", request.param).client() as client:
        yield client


def feature(client, flags, data=b"", argsz=4096):
    return refused(client.command, DEVICE_FEATURE, struct.pack("<II", argsz, flags) + data)


@pytest.mark.rules("vu-feature-1", "vu-feature-2")
@pytest.mark.parametrize("index", [MIGRATION, DEVICE_STATE, LOGGING_START, LOGGING_STOP,
                                   LOGGING_REPORT, 0, 3, 9, 0xFFFF])
def test_a_feature_that_is_not_there(client, index):
    """As the kernel: ENOTTY, whether it is probed, read or set."""
    for flags in (PROBE, PROBE | GET, PROBE | SET, PROBE | GET | SET, GET, SET):
        for data in (b"", bytes(8), bytes(64)):
            assert feature(client, flags | index, data) == "ENOTTY"
    client.device_info()


@pytest.mark.rules("vu-feature-3")
def test_flags_that_make_no_sense(client):
    """GET and SET are mutually exclusive, except for use with PROBE."""
    assert feature(client, MIGRATION) == "EINVAL"
    assert feature(client, GET | SET | MIGRATION) == "EINVAL"
    for bit in range(19, 32):
        assert feature(client, GET | 1 << bit | MIGRATION) == "EINVAL"
        assert feature(client, PROBE | 1 << bit | MIGRATION) == "EINVAL"


def test_sizes(client):
    assert feature(client, PROBE | MIGRATION, argsz=7) == "EINVAL"
    assert feature(client, PROBE | MIGRATION, argsz=8) == "ENOTTY"
    for size in range(8):
        assert refused(client.command, DEVICE_FEATURE, bytes(size)) == "EINVAL"
    client.send(DEVICE_FEATURE, struct.pack("<II", 8, PROBE | MIGRATION), flags=NO_REPLY)
    client.device_info()


@pytest.mark.rules("vu-mig-1")
def test_migration_data_without_migration(client):
    assert refused(client.command, MIG_DATA_READ, struct.pack("<II", 8 + 64, 64)) == "ENOTSUP"
    assert refused(client.command, MIG_DATA_WRITE,
                   struct.pack("<II", 8, 64) + bytes(64)) == "ENOTSUP"
    for command, payload in ((MIG_DATA_READ, struct.pack("<II", 8, 64)),
                             (MIG_DATA_READ, struct.pack("<II", 4096, 0)),
                             (MIG_DATA_READ, struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)),
                             (MIG_DATA_READ, b"1234567"),
                             (MIG_DATA_WRITE, struct.pack("<II", 8, 64) + bytes(63)),
                             (MIG_DATA_WRITE, struct.pack("<II", 8, 64) + bytes(65)),
                             (MIG_DATA_WRITE, struct.pack("<II", 8, 0xFFFFFFF8)),
                             (MIG_DATA_WRITE, b"")):
        assert refused(client.command, command, payload) == "EINVAL"
    client.device_info()
