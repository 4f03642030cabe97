# SPDX-License-Identifier: BSD-3-Clause
"""What a guest sees of a blk and an rng function, under each driver, with MSI-X.

One guest with all of them; each test asks it one question. The tests run in the order of the file:
the last ones write to the disks.
"""

import pytest
import relay
from guest import BAR_TRACE
from helpers import (VIRTIO_VENDOR, VIRTIO_IDS, guest_sha256, hwrngs, looks_random, modern_id,
                     random_bytes, read_file_from_image, sha256, transitional_id,
                     write_file_in_guest)

WAYS = {
    "legacy-only": ("driver=virtio-vfio-pci", "legacy=only"),
    "legacy-auto": ("driver=virtio-vfio-pci", "legacy=auto"),
    "vfio-pci": ("driver=vfio-pci",),
}
KINDS = ("blk", "rng")
DISK_SIZE = 16 << 20


def slot_of(way, kind):
    return list(WAYS).index(way) * len(KINDS) + KINDS.index(kind)


def name_of(way, kind):
    return f"{way}-{kind}"


@pytest.fixture(scope="module")
def guest(ridge, new_guest, new_disk):
    """A guest with a function of each kind for each way, in slots of that order."""
    images = {way: new_disk(f"{way}.img", DISK_SIZE) for way in WAYS}
    for way, parameters in WAYS.items():
        ridge("create", "blk", name_of(way, "blk"), f"image={images[way]}",
              f"serial={way}-0001", *parameters)
        ridge("create", "rng", name_of(way, "rng"), *parameters)
    guest = new_guest([ridge.device(name_of(way, kind)) for way in WAYS for kind in KINDS],
                      trace=BAR_TRACE)
    guest.boot()
    guest.images = images
    yield guest
    assert guest.poweroff() == 0, guest.stderr()
    names = [name_of(way, kind) for way in WAYS for kind in KINDS]
    for name in names:
        ridge.wait_for(name, lambda shown: shown["state"] == "idle")
    ridge("destroy", *names)


class Machine:
    """The guest and its functions of one way."""

    def __init__(self, way, ridge, guest):
        self.way = way
        self.ridge = ridge
        self.guest = guest
        self.image = guest.images[way]
        self.names = {kind: name_of(way, kind) for kind in KINDS}
        self.pci = {kind: guest.pci(slot_of(way, kind)) for kind in KINDS}
        self.disk = self.pci["blk"]["block"]

    def address(self, kind):
        """The function's PCI address in the guest."""
        return f"0000:00:{0x10 + slot_of(self.way, kind):02x}.0"

    def counters(self, kind):
        return self.ridge("show", self.names[kind])["counters"]


@pytest.fixture(scope="module", params=list(WAYS))
def machine(request, ridge, guest):
    return Machine(request.param, ridge, guest)


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
        f"dmesg | grep -c '{machine.address(kind)}: virtio_pci: leaving for legacy driver' || true")
    assert int(fallbacks) == (1 if machine.way == "legacy-only" else 0)


def test_disk_is_what_was_asked_for(machine):
    words = machine.guest.sh(f"cd /sys/block/{machine.disk} && cat size ro serial").split()
    assert words == [str(DISK_SIZE // 512), "0", f"{machine.way}-0001"]
    # without SEG_MAX (feature bit 2) a guest sends a page per request
    assert machine.pci["blk"]["features"] >> 2 & 1
    assert int(machine.guest.sh(f"cat /sys/block/{machine.disk}/queue/max_segments")) > 1


def test_whole_disk_reads_the_same(machine):
    before = machine.counters("blk")["read_bytes"]
    assert guest_sha256(machine.guest, machine.disk) == sha256(machine.image)
    assert machine.counters("blk")["read_bytes"] - before >= DISK_SIZE


def test_random_bytes(machine):
    # the guest numbers them in the order of their slots
    rng = hwrngs(machine.guest)[list(WAYS).index(machine.way)]
    first = random_bytes(machine.guest, rng)
    second = random_bytes(machine.guest, rng)
    assert looks_random(first) and looks_random(second)
    assert first != second
    assert machine.counters("rng")["read_bytes"] >= len(first + second)


def test_interrupts_are_msix_and_arrive(machine):
    def count(kind):
        return sum(times for times, controller, _ in machine.guest.interrupts()
                   if controller == f"PCI-MSIX-{machine.address(kind)}")

    assert machine.pci["blk"]["interrupts"] >= 2 and machine.pci["rng"]["interrupts"] >= 2
    rng = hwrngs(machine.guest)[list(WAYS).index(machine.way)]
    before = {kind: count(kind) for kind in KINDS}
    machine.guest.sh(f"dd if=/dev/{machine.disk} of=/dev/null bs=64k count=8 iflag=direct "
                     "status=none")
    random_bytes(machine.guest, rng, 64)
    for kind in KINDS:
        assert count(kind) > before[kind], kind
    assert machine.counters("blk")["interrupts"] >= count("blk")


@pytest.mark.parametrize("kind", KINDS)
def test_relay_is_what_the_guest_did(machine, kind):
    """`ridge show` against QEMU's own record of the guest's accesses to BAR 0."""
    if machine.way == "vfio-pci":
        counters = machine.counters(kind)
        assert counters["io_accesses"] == counters["admin_commands"] == 0
        assert counters["notifies"] > 0
        return
    counters = relay.check(machine.ridge, machine.guest, slot_of(machine.way, kind),
                           machine.names[kind])
    if machine.way == "legacy-only":
        assert counters["admin_commands"] > 20
        assert counters["io_notifies"] > 0


def test_pf_has_executed_what_was_relayed(machine):
    for kind in KINDS:
        relay.check_pf(machine.ridge, machine.ridge("show", machine.names[kind])["pf"])


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
