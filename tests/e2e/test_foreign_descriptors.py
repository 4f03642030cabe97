# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that a VMM passes belong to file systems of its own choice, and may hang.

Without a guest: the VMM is ours.
"""

import errno
import json
import os
import time

import pytest
from control import Daemon
from vfio_user import Client, Closed, Refused, wait_for

VIRTUAL_PAGE = 4096
MSIX = 2
EVENTFD_TRIGGER = 0x04 | 0x20  # <linux/vfio.h>: DATA_EVENTFD, ACTION_TRIGGER
WAITING_MAX = 256              # base/closer.h
PASSED_MAX = 16                # descriptors in a message


@pytest.fixture(scope="module")
def fs(ridge, new_hangfs):
    return new_hangfs("foreign", size=1 << 16)


@pytest.fixture
def functions(ridge):
    shown = [ridge("create", "rng", name, "driver=vfio-pci") for name in ("hostile", "patient")]
    assert shown[0]["pf"] == shown[1]["pf"]
    yield {function["name"]: function["socket"] for function in shown}
    ridge("destroy", "--force", "hostile", "patient")


def works(client):
    """It answers, and not only when others let it."""
    start = time.monotonic()
    for _ in range(50):
        assert client.config_read(0, 2) == 0x1af4
    assert time.monotonic() - start < 3


def refused(client, call, *args, **kwargs):
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    assert caught.value.errno == errno.EINVAL
    works(client)


def test_a_file_that_hangs_is_no_interrupt_and_no_memory(fs, functions):
    handle = os.open(fs.path, os.O_RDWR)
    hostile, patient = Client(functions["hostile"]), Client(functions["patient"])
    fs.hang("getattr", "flush", "read", "write")
    try:
        refused(hostile, hostile.set_irqs, MSIX, EVENTFD_TRIGGER, 0, 1, fds=[handle])
        refused(hostile, hostile.dma_map, 0, VIRTUAL_PAGE, fd=handle)
        works(patient)
        # it was closed, and that hangs
        fs.wait(lambda count: count["held"] >= 1)
        works(hostile)
    finally:
        fs.go()
        os.close(handle)
    # ... and goes on: nobody has it any more
    hostile.close()
    patient.close()
    fs.wait(lambda count: count["open"] == 0)


def test_who_passes_too_many_of_them_waits_alone(fs, functions):
    handle = os.open(fs.path, os.O_RDWR)
    hostile, patient = Client(functions["hostile"]), Client(functions["patient"])
    fs.hang("getattr", "flush")
    try:
        with pytest.raises((Closed, ConnectionError)):
            for _ in range(4 * WAITING_MAX // PASSED_MAX):
                with pytest.raises(Refused):
                    hostile.set_irqs(MSIX, EVENTFD_TRIGGER, 0, 1, fds=[handle] * PASSED_MAX)
        works(patient)
        hostile.close()
        # it is let in again only when they are closed
        with pytest.raises(TimeoutError):
            Client(functions["hostile"], timeout=1)
        works(patient)
    finally:
        fs.go()
        os.close(handle)
    fs.wait(lambda count: count["open"] == 0)

    def attaches():
        try:
            Client(functions["hostile"], timeout=1).close()
        except (Closed, TimeoutError):
            return False
        return True
    assert wait_for(attaches, 10)
    works(patient)
    patient.close()


def test_ridged_takes_none_of_a_pf_process(fs, tmp_path):
    """One that was taken over may have such a descriptor, and others' PFs have the same ridged."""
    forges = tmp_path / "forges"
    with Daemon(environment={"FAKE_PF_FORGES": str(forges)}) as daemon:
        daemon("function.create", type="rng", name="a")
        fs.hang("flush", "getattr")
        try:
            forges.write_text(json.dumps({"attach": fs.path}))
            fs.wait(lambda count: daemon("function.list") and count["open"] == 1)
            start = time.monotonic()
            for _ in range(20):
                assert daemon("function.show", name="a")["state"] == "idle"
            assert time.monotonic() - start < 10 and fs.count()["held"] == 0
        finally:
            forges.unlink()
            fs.go()
