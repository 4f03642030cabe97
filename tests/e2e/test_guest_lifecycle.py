# SPDX-License-Identifier: BSD-3-Clause
"""A function outlives its users: reboots, the next VMM, a VMM that dies, a new driver."""

import time

import pytest
from guest import GuestError
from helpers import guest_sha256, hwrngs, looks_random, modern_id, random_bytes, sha256, \
    transitional_id
from ridge import RidgeError, alive

WAYS = {
    "legacy": ("driver=virtio-vfio-pci", "legacy=only"),
    "modern": ("driver=vfio-pci",),
}
DISK_SIZE = 8 << 20

# Reads and writes the disk for ever past the page cache, one line of progress per round.
HAMMER = """
    : >/tmp/rounds
    while dd if=/dev/{disk} of=/dev/null bs=64k count=16 iflag=direct status=none &&
          dd if=/dev/urandom of=/dev/{disk} bs=64k count=2 seek={seek} oflag=direct status=none
    do echo round >>/tmp/rounds; done >/tmp/hammer 2>&1 &"""


def hammer(guest, disk, ridge, name):
    """Starts I/O that does not end, and waits until it is well under way."""
    start = ridge("show", name)["counters"]["requests"]
    guest.sh(HAMMER.format(disk=disk, seek=DISK_SIZE // 2 // 65536))
    ridge.wait_for(name, lambda shown: shown["counters"]["requests"] > start + 20, 30)


def rounds(guest):
    return int(guest.sh("wc -l </tmp/rounds"))


def wait_rounds(guest, more):
    """Waits until the hammer has gone some rounds further."""
    wanted = rounds(guest) + more
    deadline = time.monotonic() + 60
    while rounds(guest) < wanted:
        assert time.monotonic() < deadline, "the guest's I/O stands still: " + \
            guest.sh("cat /tmp/hammer; dmesg | tail -n 20")
        time.sleep(0.2)


@pytest.mark.parametrize("way", WAYS)
def test_reboot_and_use_again(ridge, new_guest, new_disk, way):
    """The guest reboots itself, then is reset in the middle of I/O, in one QEMU."""
    name = f"reboot-{way}"
    image = new_disk(f"{name}.img", DISK_SIZE)
    ridge("create", "blk", name, f"image={image}", *WAYS[way])
    ridge("create", "rng", f"{name}-rng", *WAYS[way])
    guest = new_guest([ridge.device(name), ridge.device(f"{name}-rng")], reboot=True)
    guest.boot()
    disk = guest.pci(0)["block"]
    assert guest_sha256(guest, disk) == sha256(image)

    guest.send("reboot -f")
    guest.wait_ready()
    assert guest_sha256(guest, guest.pci(0)["block"]) == sha256(image)
    assert looks_random(random_bytes(guest, hwrngs(guest)[0]))

    hammer(guest, disk, ridge, name)
    guest.qmp("system_reset")
    guest.wait_ready()
    pci = guest.pci(0)
    assert pci["virtio"] == "virtio_blk" and pci["legacy"] == (way == "legacy")
    assert guest_sha256(guest, pci["block"]) == sha256(image)
    shown = ridge("show", name)
    assert shown["counters"]["connections"] == 1
    assert shown["counters"]["dma_faults"] == 0
    assert guest.poweroff() == 0, guest.stderr()


@pytest.mark.parametrize("way", WAYS)
def test_qemu_killed_in_the_middle_of_io(ridge, new_guest, new_disk, way):
    """SIGKILL to QEMU; then the next QEMU finds a function as new, and a second one none."""
    name = f"killed-{way}"
    image = new_disk(f"{name}.img", DISK_SIZE)
    half = DISK_SIZE // 2
    with open(image, "rb") as file:
        untouched = file.read(half)
    ridge("create", "blk", name, f"image={image}", *WAYS[way])
    pf_pid = ridge.pf_pid(name)

    first = new_guest([ridge.device(name)])
    first.boot()
    hammer(first, first.pci(0)["block"], ridge, name)
    first.kill()
    ridge.wait_for(name, lambda shown: shown["state"] == "idle")

    second = new_guest([ridge.device(name)])
    second.boot()
    pci = second.pci(0)
    assert pci["legacy"] == (way == "legacy")
    assert guest_sha256(second, pci["block"]) == sha256(image)
    with open(image, "rb") as file:
        assert file.read(half) == untouched
    assert ridge.pf_pid(name) == pf_pid and alive(pf_pid)

    # one VMM at a time: a third QEMU is turned away, the second doesn't notice
    third = new_guest([ridge.device(name)])
    third.start()
    assert third.wait() != 0
    assert "vfio" in third.stderr()
    assert ridge("show", name)["counters"]["refused"] >= 1
    assert guest_sha256(second, pci["block"]) == sha256(image)

    # in use: not destroyed without --force, destroyed with
    with pytest.raises(RidgeError) as refused:
        ridge("destroy", name)
    assert refused.value.status == 1 and name in refused.value.answer
    assert guest_sha256(second, pci["block"]) == sha256(image)
    ridge("destroy", name, "--force")
    assert name not in [function["name"] for function in ridge("list")]
    second.kill()


def test_next_qemu_after_bind_to_another_driver(ridge, new_guest, new_disk):
    """One function: modern for the first QEMU, legacy for the second, modern for the third."""
    image = new_disk("bind.img", DISK_SIZE)
    ridge("create", "blk", "bound", f"image={image}", "driver=vfio-pci")
    for driver, device in (("vfio-pci", modern_id("blk")),
                           ("virtio-vfio-pci", transitional_id("blk")),
                           ("vfio-pci", modern_id("blk"))):
        bound = ridge("bind", "bound", driver)
        assert bound["driver"] == driver and bound["state"] == "idle"
        guest = new_guest([ridge.device("bound")])
        guest.boot()
        pci = guest.pci(0)
        assert pci["device"] == device and pci["virtio"] == "virtio_blk"
        assert guest_sha256(guest, pci["block"]) == sha256(image)
        with pytest.raises(RidgeError):
            ridge("bind", "bound", "none")
        assert guest.poweroff() == 0, guest.stderr()
        ridge.wait_for("bound", lambda shown: shown["state"] == "idle")
    ridge("destroy", "bound")


def test_ridged_killed_in_the_middle_of_io(ridge, new_guest, new_disk):
    """SIGKILL to ridged: guests go on, and the next ridged finds and commands everything."""
    image = new_disk("orphan.img", DISK_SIZE)
    ridge("create", "blk", "orphan", f"image={image}", *WAYS["legacy"])
    ridge("create", "rng", "orphan-rng", *WAYS["modern"])
    before = ridge("show", "orphan")
    pids = {name: ridge.pf_pid(name) for name in ("orphan", "orphan-rng")}
    guest = new_guest([ridge.device("orphan"), ridge.device("orphan-rng")])
    guest.boot()
    hammer(guest, guest.pci(0)["block"], ridge, "orphan")

    ridge.kill()
    wait_rounds(guest, 3)
    assert looks_random(random_bytes(guest, hwrngs(guest)[0]))
    ridge.start()

    after = ridge("show", "orphan")
    for key in ("name", "type", "rid", "pf", "driver", "socket"):
        assert after[key] == before[key], key
    assert after["state"] == "connected"
    assert {name: ridge.pf_pid(name) for name in pids} == pids
    assert all(alive(pid) for pid in pids.values())
    wait_rounds(guest, 3)
    assert ridge("show", "orphan")["counters"]["requests"] > after["counters"]["requests"]

    # it commands what it found: an equal create changes nothing, another is refused,
    # there is room for more, and what was there can be used again and destroyed
    assert ridge("create", "blk", "orphan", f"image={image}", *WAYS["legacy"])["rid"] == \
        before["rid"]
    with pytest.raises(RidgeError) as differs:
        ridge("create", "blk", "orphan", f"image={image}", *WAYS["modern"])
    assert "driver" in differs.value.answer
    assert ridge("create", "rng", "afterwards")["pf"] == ridge("show", "orphan-rng")["pf"]
    guest.kill()
    ridge.wait_for("orphan", lambda shown: shown["state"] == "idle")
    again = new_guest([ridge.device("orphan")])
    again.boot()
    assert guest_sha256(again, again.pci(0)["block"]) == sha256(image)
    assert again.poweroff() == 0, again.stderr()
    ridge.wait_for("orphan", lambda shown: shown["state"] == "idle")
    ridge("destroy", "orphan", "orphan-rng", "afterwards")
    assert not {"orphan", "orphan-rng", "afterwards"} & {item["name"] for item in ridge("list")}


def test_ridged_ended_by_sigterm_leaves_guests_alone(ridge):
    """A service restart must not kill guests' devices (no guest needed to see that)."""
    ridge("create", "rng", "service", "driver=vfio-pci")
    pid = ridge.pf_pid("service")
    assert ridge.kill(15) == 0
    assert alive(pid)
    ridge.start()
    assert ridge.pf_pid("service") == pid
    ridge("destroy", "service")


def test_a_qemu_without_a_function_fails_at_once(ridge, new_guest):
    """The socket goes with its function."""
    ridge("create", "rng", "gone", "driver=vfio-pci")
    device = ridge.device("gone")
    ridge("destroy", "gone")
    guest = new_guest([device])
    with pytest.raises(GuestError):
        guest.boot()
    assert guest.process.returncode not in (0, None)
