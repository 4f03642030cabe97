# SPDX-License-Identifier: BSD-3-Clause
"""What a guest sees of a blk and an rng function, under each driver, with MSI-X.

One boot per way to attach a function; each test asks that guest one question. The tests run in
the order of the file: the last ones write to the disk.
"""

import pytest
from guest import BAR_TRACE
from helpers import (VIRTIO_VENDOR, VIRTIO_IDS, guest_sha256, hwrngs, looks_random, modern_id,
                     random_bytes, read_file_from_image, sha256, transitional_id,
                     write_file_in_guest)

WAYS = {
    "legacy-only": ("driver=virtio-vfio-pci", "legacy=only"),
    "legacy-auto": ("driver=virtio-vfio-pci", "legacy=auto"),
    "vfio-pci": ("driver=vfio-pci",),
}
KINDS = ("blk", "rng")  # the order of their slots in the guest
DISK_SIZE = 16 << 20


class Machine:
    """A guest with one function of each kind."""

    def __init__(self, way, ridge, new_guest, new_disk):
        self.way = way
        self.ridge = ridge
        self.image = new_disk(f"{way}.img", DISK_SIZE)
        self.names = {kind: f"{way}-{kind}" for kind in KINDS}
        self.made = {
            "blk": ridge("create", "blk", self.names["blk"], f"image={self.image}",
                         "serial=ridge-e2e-0001", *WAYS[way]),
            "rng": ridge("create", "rng", self.names["rng"], *WAYS[way]),
        }
        self.guest = new_guest([ridge.device(self.names[kind]) for kind in KINDS],
                               trace=BAR_TRACE)
        self.guest.boot()
        self.pci = {kind: self.guest.pci(KINDS.index(kind)) for kind in KINDS}
        self.disk = self.pci["blk"]["block"]

    def counters(self, kind):
        return self.ridge("show", self.names[kind])["counters"]


@pytest.fixture(scope="module", params=list(WAYS))
def machine(request, ridge, new_guest, new_disk):
    machine = Machine(request.param, ridge, new_guest, new_disk)
    yield machine
    assert machine.guest.poweroff() == 0, machine.guest.stderr()
    for name in machine.names.values():
        ridge.wait_for(name, lambda shown: shown["state"] == "idle")
        ridge("destroy", name)


@pytest.mark.parametrize("kind", KINDS)
def test_pci_ids(machine, kind):
    pci = machine.pci[kind]
    assert pci["vendor"] == VIRTIO_VENDOR
    if machine.way == "vfio-pci":
        assert pci["device"] == modern_id(kind)
        assert pci["revision"] >= 1
        assert not pci["io_bar"]
    else:
        assert pci["device"] == transitional_id(kind)
        assert pci["revision"] == 0
        assert pci["subsystem_device"] == VIRTIO_IDS[kind][0]
        assert pci["io_bar"]


@pytest.mark.parametrize("kind", KINDS)
def test_transport_and_kernel_drivers(machine, kind):
    pci = machine.pci[kind]
    assert pci["driver"] == "virtio-pci"
    assert pci["virtio"] == f"virtio_{kind}"
    assert pci["legacy"] == (machine.way == "legacy-only")
    # the kernel's own words for "no modern capabilities here"
    fallbacks = machine.guest.sh(
        f"dmesg | grep -c ':1{KINDS.index(kind)}.0: virtio_pci: leaving for legacy driver' || true")
    assert int(fallbacks) == (1 if machine.way == "legacy-only" else 0)


def test_disk_is_what_was_asked_for(machine):
    words = machine.guest.sh(f"cd /sys/block/{machine.disk} && cat size ro serial").split()
    assert words == [str(DISK_SIZE // 512), "0", "ridge-e2e-0001"]
    # without SEG_MAX (feature bit 2) a guest sends a page per request
    assert machine.pci["blk"]["features"] >> 2 & 1
    assert int(machine.guest.sh(f"cat /sys/block/{machine.disk}/queue/max_segments")) > 1


def test_whole_disk_reads_the_same(machine):
    before = machine.counters("blk")["read_bytes"]
    assert guest_sha256(machine.guest, machine.disk) == sha256(machine.image)
    assert machine.counters("blk")["read_bytes"] - before >= DISK_SIZE


def test_random_bytes(machine):
    (rng,) = hwrngs(machine.guest)
    first = random_bytes(machine.guest, rng)
    second = random_bytes(machine.guest, rng)
    assert looks_random(first) and looks_random(second)
    assert first != second
    assert machine.counters("rng")["read_bytes"] >= len(first + second)


def test_interrupts_are_msix_and_arrive(machine):
    def count(slot):
        return sum(times for times, controller, _ in machine.guest.interrupts()
                   if controller == f"PCI-MSIX-0000:00:{slot}.0")

    assert machine.pci["blk"]["interrupts"] >= 2 and machine.pci["rng"]["interrupts"] >= 2
    disk, rng = count("10"), count("11")
    machine.guest.sh(f"dd if=/dev/{machine.disk} of=/dev/null bs=64k count=8 iflag=direct "
                     "status=none; dd if=/dev/hwrng of=/dev/null bs=64 count=4 status=none")
    assert count("10") > disk
    assert count("11") > rng
    assert machine.counters("blk")["interrupts"] >= count("10")


def relayed_fields(accesses):
    """How many register commands the accesses to the I/O BAR must become.

    The common registers by virtio 1.3, 4.1.4.10, with MSI-X enabled: one command for each field
    touched, except for the queue notify, which bypasses the admin queue, and the ISR, which
    belongs to the VFIO driver as it synthesises the interrupts. Device configuration: one command
    for an access.
    """
    fields = [(0, 4), (4, 4), (8, 4), (0xc, 2), (0xe, 2), (0x12, 1), (0x14, 2), (0x16, 2)]
    total = 0
    for _, offset, size in accesses:
        total += sum(1 for start, length in fields
                     if offset < start + length and start < offset + size)
        total += offset >= 0x18
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_counters_equal_what_the_guest_did(machine, kind):
    """`ridge show` against QEMU's own record of the guest's accesses to BAR 0."""
    if machine.way == "vfio-pci":
        counters = machine.counters(kind)
        assert counters["io_accesses"] == counters["admin_commands"] == 0
        assert counters["notifies"] > 0
        return
    counters = machine.counters(kind)
    accesses = machine.guest.bar_accesses(KINDS.index(kind), 0)
    notifies = [access for access in accesses if access[1] == 0x10]
    others = [access for access in accesses if access[1] != 0x10]
    assert counters["io_notifies"] == len(notifies)
    assert counters["io_accesses"] == len(others)
    assert counters["admin_commands"] == counters["io_fields"] == relayed_fields(others)
    assert counters["admin_errors"] == counters["admin_timeouts"] == 0
    if machine.way == "legacy-only":
        assert counters["admin_commands"] > 0
        assert counters["io_notifies"] > 0


def test_file_written_in_the_guest_is_in_the_image(machine):
    text = f"written under {machine.way}"
    write_file_in_guest(machine.guest, machine.disk, "hello", text)
    assert read_file_from_image(machine.image, "hello") == text
    assert guest_sha256(machine.guest, machine.disk) == sha256(machine.image)


def test_no_dma_faults_or_device_errors(machine):
    for kind in KINDS:
        shown = machine.ridge("show", machine.names[kind])
        assert shown["state"] == "connected"
        for name in ("dma_faults", "device_errors", "request_errors"):
            assert shown["counters"][name] == 0, name
