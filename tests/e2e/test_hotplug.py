# SPDX-License-Identifier: BSD-3-Clause
"""Functions that come into a running guest and leave it, and sixteen in one guest.

QEMU's QMP plugs them into PCIe root ports; the guest's pciehp does the rest. Fifteen functions are
there when the guest boots, and the sixteenth is the first to be plugged in.
"""

import signal
import subprocess

import pytest
from helpers import VIRTIO_VENDOR, guest_sha256, hwrngs, looks_random, modern_id, random_bytes, \
    sha256, transitional_id
from net import RING_PACKED, WAYS, prepare, wait_until

# (kind, way), 15 of them: what there is room for from slot 0x10 to 0x1e
COLD = [(kind, way) for kind in ("blk", "net") for way in 2 * list(WAYS)] + \
    [("rng", way) for way in WAYS]
PORTS = 3
DISK_SIZE = 2 << 20

# Seen with QEMU 11.1.3: when a device with MSI-X has been unplugged, vfio-user-pci takes its
# pending bits out of a BAR that is gone by then, and QEMU aborts.
QEMU_BUG = "memory_region_del_subregion: Assertion `subregion->container == mr' failed"


def root_ports():
    """QEMU arguments for PORTS empty slots."""
    # the firmware gives an empty port no I/O space unless it is asked to
    return [argument for port in range(PORTS) for argument in
            ("-device", f"pcie-root-port,id=port{port},chassis={port + 1},addr={4 + port:#x},"
                        "io-reserve=4096")]


def keys_of(kind, name, new_disk):
    return (f"image={new_disk(name + '.img', DISK_SIZE)}",) if kind == "blk" else ()


def name_of(number):
    return f"cold-{number}"


def address_of(guest, port):
    """Where the guest has the function behind a root port; "" for nowhere."""
    return guest.sh(f"cd /sys/bus/pci/devices/0000:00:{4 + port:02x}.0 && "
                    "basename $(ls -d 0000:*:00.0 2>/dev/null) 2>/dev/null || true"
                    ).strip().partition(":")[2]


def plug(ridge, guest, name, port):
    """Plugs a function in; where the guest has it once a driver runs it."""
    guest.qmp("device_add", id=f"hot{port}", bus=f"port{port}", **ridge.device(name))
    # pciehp waits for the presence of a card to be stable
    wait_until(lambda: (at := address_of(guest, port)) and guest.pci(at)["virtio"],
               f"{name} in the guest", 30)
    return address_of(guest, port)


def netdev_at(guest, address):
    return guest.sh(f"ls /sys/bus/pci/devices/0000:{address}/virtio*/net").strip()


def check_works(ridge, guest, address, kind, name, image=None):
    """A disk reads as it was written, a random number generator is random."""
    if kind == "blk":
        disk = guest.pci(address)["block"]
        guest.sh(f"dd if=/dev/urandom of=/dev/{disk} bs=64k count=8 conv=fsync,notrunc status=none")
        assert guest_sha256(guest, disk) == sha256(image)
    elif kind == "rng":
        before = ridge("show", name)["counters"]["read_bytes"]
        for rng in hwrngs(guest):
            assert looks_random(random_bytes(guest, rng))
        assert ridge("show", name)["counters"]["read_bytes"] >= before + 4096


def use(ridge, guest, address, kind, name, work):
    """The function at an address of the guest does what it is for."""
    if kind != "net":
        check_works(ridge, guest, address, kind, name, f"{work}/{name}.img")
        return
    dev = netdev_at(guest, address)
    before = ridge("show", name)["counters"]["tx_packets"]
    guest.sh(f"ip link set {dev} up && ip addr add 10.10.0.1/24 dev {dev}; "
             f"arping -c 1 -w 1 -I {dev} 10.10.0.2 >/dev/null; ip addr del 10.10.0.1/24 dev {dev}")
    assert ridge("show", name)["counters"]["tx_packets"] > before


# one of each kind, each in another way: (kind, way) by port
HOT = (("net", "legacy"), ("blk", "packed"), ("rng", "modern"))


def plug_all(ridge, guest, new_disk, prefix):
    """Creates HOT and plugs it in; [(address, kind, name)]."""
    plugged = []
    for port, (kind, way) in enumerate(HOT):
        name = f"{prefix}-{kind}"
        ridge("create", kind, name, *WAYS[way], *keys_of(kind, name, new_disk))
        address = plug(ridge, guest, name, port)
        pci = guest.pci(address)
        assert pci["device"] == (transitional_id if way == "legacy" else modern_id)(kind)
        assert pci["legacy"] == (way == "legacy") and pci["virtio"] == f"virtio_{kind}"
        assert pci["features"] >> RING_PACKED & 1 == (way == "packed")
        plugged.append((address, kind, name))
    return plugged


def test_plugged_in_used_and_removed(ridge, new_guest, new_disk, work):
    """In a guest that booted without any function: each comes, goes, comes back, is unplugged."""
    guest = new_guest([])
    guest.argv += root_ports()
    guest.boot()
    plugged = plug_all(ridge, guest, new_disk, "hot")
    for address, kind, name in plugged:
        use(ridge, guest, address, kind, name, work)

    # Linux alone removes a device and finds it again: another life of the same function
    for address, _, _ in plugged:
        guest.sh(f"echo 1 >/sys/bus/pci/devices/0000:{address}/remove")
        assert guest.sh(f"ls /sys/bus/pci/devices | grep -c {address} || true").strip() == "0"
    guest.sh("echo 1 >/sys/bus/pci/rescan")
    for address, kind, name in plugged:
        assert guest.pci(address)["virtio"] == f"virtio_{kind}"
        use(ridge, guest, address, kind, name, work)

    for port in range(PORTS):
        guest.qmp("device_del", id=f"hot{port}")
    # the guest blinks at each of them for five seconds, then they are idle again
    for _, _, name in plugged:
        shown = ridge.wait_for(name, lambda shown: shown["state"] == "idle", 40)
        for counter in ("request_errors", "dma_faults", "device_errors", "drop_malformed"):
            assert shown["counters"][counter] == 0, (name, counter)

    # and can be had by another guest, or by the same
    try:
        guest.process.wait(2)
        aborted = True
    except subprocess.TimeoutExpired:
        aborted = False
    if aborted:
        assert QEMU_BUG in guest.stderr() and guest.kill() == -signal.SIGABRT, guest.stderr()
        guest = new_guest([])
        guest.argv += root_ports()
        guest.boot()
    for port, (_, kind, name) in enumerate(plugged):
        use(ridge, guest, plug(ridge, guest, name, port), kind, name, work)
    assert guest.poweroff() == 0, guest.stderr()
    for _, _, name in plugged:
        ridge.wait_for(name, lambda shown: shown["state"] == "idle")
        ridge("destroy", name)
    if aborted:
        pytest.xfail("this QEMU aborts when a vfio-user device with MSI-X is unplugged")


@pytest.fixture(scope="module")
def guest(ridge, new_guest, new_disk):
    for number, (kind, way) in enumerate(COLD):
        ridge("create", kind, name_of(number), *WAYS[way],
              *keys_of(kind, name_of(number), new_disk))
    guest = new_guest([ridge.device(name_of(number)) for number in range(len(COLD))])
    guest.argv += ["-smp", "2"]
    guest.argv += root_ports()
    guest.boot()
    prepare(guest)
    yield guest
    assert guest.poweroff() == 0, guest.stderr()
    names = [name_of(number) for number in range(len(COLD))] + ["sixteenth"]
    for name in names:
        shown = ridge.wait_for(name, lambda shown: shown["state"] == "idle")
        for counter in ("request_errors", "dma_faults", "device_errors", "drop_malformed"):
            assert shown["counters"][counter] == 0, (name, counter)
    ridge("destroy", *names)


def test_sixteen_functions_in_one_guest(ridge, guest, new_disk, work):
    kinds = COLD + [("net", "legacy")]
    ridge("create", "net", "sixteenth", *WAYS["legacy"])
    addresses = [f"00:{0x10 + number:02x}.0" for number in range(len(COLD))]
    addresses.append(plug(ridge, guest, "sixteenth", 0))
    names = [name_of(number) for number in range(len(COLD))] + ["sixteenth"]
    assert len(names) == 16
    for (kind, way), address, name in zip(kinds, addresses, names):
        pci = guest.pci(address)
        assert pci["vendor"] == VIRTIO_VENDOR and pci["driver"] == "virtio-pci"
        assert pci["device"] == (transitional_id if way == "legacy" else modern_id)(kind)
        assert pci["virtio"] == f"virtio_{kind}" and pci["interrupts"] >= 2
        assert pci["legacy"] == (way == "legacy")
        assert pci["features"] >> RING_PACKED & 1 == (way == "packed")
        if kind != "net":
            check_works(ridge, guest, address, kind, name, f"{work}/{name}.img")

    # Each net function sends a frame of its own that all others get: each of them one from each.
    nets = [(netdev_at(guest, address), name) for (kind, _), address, name
            in zip(kinds, addresses, names) if kind == "net"]
    assert len(nets) == 7
    for dev, _ in nets:
        guest.sh(f"ip link set {dev} up")
    before = {name: ridge("show", name)["counters"]["rx_packets"] for _, name in nets}
    for dev, _ in nets:
        # nobody has this address, so it is asked for
        guest.sh(f"ip addr add 10.9.0.1/24 dev {dev}; "
                 f"arping -c 1 -w 1 -I {dev} 10.9.0.2 >/dev/null; "
                 f"ip addr del 10.9.0.1/24 dev {dev}")
    for _, name in nets:
        got = ridge("show", name)["counters"]["rx_packets"] - before[name]
        assert got >= len(nets) - 1, name
