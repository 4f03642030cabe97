# SPDX-License-Identifier: BSD-3-Clause
"""A guest without MSI (pci=nomsi), as old guests are: functions of two PFs share INTx.

VFs have no INTx: virtio-vfio-pci synthesises it, vfio-pci gives the function as it is.
"""

import pytest
import relay
from guest import BAR_TRACE
from helpers import guest_sha256, hwrngs, looks_random, random_bytes, sha256

WAYS = {
    "only": ("driver=virtio-vfio-pci", "legacy=only"),
    "auto": ("driver=virtio-vfio-pci", "legacy=auto"),
}


@pytest.fixture(scope="module")
def machine(ridge, new_guest, new_disk):
    names = []
    images = {}
    for way, parameters in WAYS.items():
        images[way] = new_disk(f"{way}.img", 4 << 20)
        ridge("create", "blk", f"blk-{way}", f"image={images[way]}", *parameters)
        ridge("create", "rng", f"rng-{way}", *parameters)
        names += [f"blk-{way}", f"rng-{way}"]
    ridge("create", "rng", "as-it-is", "driver=vfio-pci")
    names.append("as-it-is")
    guest = new_guest([ridge.device(name) for name in names], append="pci=nomsi", trace=BAR_TRACE)
    guest.boot()
    guest.slot = {name: index for index, name in enumerate(names)}
    guest.image = images
    yield guest
    assert guest.poweroff() == 0, guest.stderr()


def io_apic(guest, virtio):
    """How often the line has fired that a virtio device's driver listens on."""
    return sum(times for times, controller, actions in guest.interrupts()
               if controller == "IO-APIC" and virtio in actions.replace(",", " ").split())


def virtio_name(guest, slot):
    return guest.sh(f"basename /sys/bus/pci/devices/0000:00:{0x10 + slot:02x}.0/virtio*").strip()


@pytest.mark.parametrize("way", WAYS)
def test_blk_works_by_intx(machine, ridge, way):
    slot = machine.slot[f"blk-{way}"]
    pci = machine.pci(slot)
    assert pci["driver"] == "virtio-pci" and pci["virtio"] == "virtio_blk"
    assert pci["interrupts"] == 0
    assert pci["legacy"] == (way == "only")
    assert guest_sha256(machine, pci["block"]) == sha256(machine.image[way])

    virtio = virtio_name(machine, slot)
    before = io_apic(machine, virtio)
    handed = ridge("show", f"blk-{way}")["counters"]["interrupts"]
    machine.sh(f"dd if=/dev/{pci['block']} of=/dev/null bs=64k count=16 iflag=direct status=none")
    assert io_apic(machine, virtio) > before
    assert ridge("show", f"blk-{way}")["counters"]["interrupts"] > handed


@pytest.mark.parametrize("way", WAYS)
def test_rng_works_by_intx(machine, ridge, way):
    pci = machine.pci(machine.slot[f"rng-{way}"])
    assert pci["driver"] == "virtio-pci" and pci["virtio"] == "virtio_rng"
    assert pci["interrupts"] == 0
    assert pci["legacy"] == (way == "only")


def test_all_rngs_give_random_bytes(machine, ridge):
    rngs = hwrngs(machine)
    assert len(rngs) == len(WAYS)
    before = {way: ridge("show", f"rng-{way}")["counters"] for way in WAYS}
    seen = [random_bytes(machine, rng) for rng in rngs]
    assert all(looks_random(data) for data in seen)
    assert len(set(seen)) == len(seen)
    for way in WAYS:
        after = ridge("show", f"rng-{way}")["counters"]
        assert after["read_bytes"] - before[way]["read_bytes"] >= 4096
        assert after["interrupts"] > before[way]["interrupts"]


def test_no_interrupt_was_nobodys(machine):
    log = machine.sh("dmesg")
    assert "nobody cared" not in log
    assert "Disabling IRQ" not in log


@pytest.mark.parametrize("kind", ["blk", "rng"])
def test_legacy_relay_without_msix(machine, ridge, kind):
    counters = relay.check(ridge, machine, machine.slot[f"{kind}-only"], f"{kind}-only")
    assert counters["admin_commands"] > 10
    assert counters["io_local"] > 0  # the ISR
    relay.check_pf(ridge, f"{kind}0")


def test_vfio_pci_has_no_intx(machine):
    """The guest finds no interrupt pin, so its driver can't use the function."""
    pci = machine.pci(machine.slot["as-it-is"])
    assert pci["driver"] == "virtio-pci" and pci["virtio"] == ""
    address = f"0000:00:{0x10 + machine.slot['as-it-is']:02x}.0"
    assert machine.sh(f"cat /sys/bus/pci/devices/{address}/irq").strip() in ("0", "255")
