# SPDX-License-Identifier: BSD-3-Clause
"""What one VMM can make a PF process hold has a bound, and its neighbour does not notice."""

import errno
import os
import socket

import pytest

from vfio_user import Client, Refused, wait_for

FILES = 128  # IOMMU_FILES_MAX
PAGE = 4096


@pytest.fixture(name="two")
def _two(ridge):
    made = [ridge("create", "rng", f"limits{n}", "driver=vfio-pci") for n in range(2)]
    yield made
    ridge("destroy", "--force", *(one["name"] for one in made))


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def maps(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return file.read().count("memfd:limits")


def memfd(size=PAGE):
    fd = os.memfd_create("limits")
    os.ftruncate(fd, size)
    return fd


def map_file(client, iova):
    fd = memfd()
    try:
        client.dma_map(iova, PAGE, fd)
    finally:
        os.close(fd)


def test_memory_of_many_files(ridge, two):
    pid = ridge.pf_pid(two[0]["name"])
    with Client(two[0]["socket"]) as greedy, Client(two[1]["socket"]) as neighbour:
        before = fds(pid)
        for n in range(FILES):
            map_file(greedy, n * PAGE)
        for n in range(FILES, 3 * FILES):
            with pytest.raises(Refused) as refused:
                map_file(greedy, n * PAGE)
            assert refused.value.errno == errno.ENOSPC
        assert maps(pid) == FILES and fds(pid) == before, "it keeps memory, and no descriptors"
        map_file(neighbour, 0)
        assert neighbour.config_read(0, 2) == greedy.config_read(0, 2) == 0x1AF4
        greedy.dma_unmap(0, PAGE)
        map_file(greedy, 1 << 30)
    assert wait_for(lambda: maps(pid) == 0)


def test_connections_that_say_nothing(ridge, two):
    """One VMM and four that are being refused: those beyond are closed at once."""
    pid = ridge.pf_pid(two[0]["name"])
    with Client(two[0]["socket"]) as vmm, Client(two[1]["socket"]) as neighbour:
        before = fds(pid)
        crowd = []
        for _ in range(64):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(5)
            try:
                sock.connect(two[0]["socket"])
            except OSError:
                pass
            crowd.append(sock)
            assert fds(pid) <= before + 5
            assert neighbour.config_read(0, 2) == 0x1AF4
        assert vmm.config_read(0, 2) == 0x1AF4
        for sock in crowd:
            sock.close()
        assert wait_for(lambda: fds(pid) == before)
