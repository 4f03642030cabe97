# SPDX-License-Identifier: BSD-3-Clause
"""A function outlives its users: reboots, the next VMM, a VMM that dies, ridged, a new driver.

Two disks, one legacy and one modern, are handed from one guest to the next: `first` is rebooted,
reset and killed in the middle of I/O, `second` finds what it left, `third` finds other drivers.
"""

import subprocess
import types

import hammer
import pytest
from helpers import guest_sha256, hwrngs, looks_random, modern_id, random_bytes, sha256, \
    transitional_id
from ridge import RidgeError, alive

WAYS = {
    "legacy": ("driver=virtio-vfio-pci", "legacy=only"),
    "modern": ("driver=vfio-pci",),
}
DISKS = tuple(WAYS)  # functions by the way they are made, in the order of their slots
RNG = "rng"
DISK_SIZE = 8 << 20


@pytest.fixture(scope="module")
def made(ridge, new_disk):
    """The functions: their images, and the first half of each, which is never written."""
    images = {name: new_disk(f"{name}.img", DISK_SIZE) for name in DISKS}
    for name in DISKS:
        ridge("create", "blk", name, f"image={images[name]}", *WAYS[name])
    ridge("create", "rng", RNG, *WAYS["modern"])
    return types.SimpleNamespace(images=images, pid=ridge.pf_pid("legacy"),
                                 untouched={name: first_half(images[name]) for name in DISKS})


def first_half(path):
    with open(path, "rb") as image:
        return image.read(DISK_SIZE // 2)


def boot(ridge, new_guest, **options):
    guest = new_guest([ridge.device(name) for name in (*DISKS, RNG)], **options)
    guest.boot()
    return guest


def disks_of(guest):
    """{function: name of its disk in the guest}"""
    return {name: guest.pci(slot)["block"] for slot, name in enumerate(DISKS)}


def check_disks(guest, made, legacy=("legacy",)):
    """All is as on a first boot: drivers, transport, and every byte of the disks."""
    for slot, name in enumerate(DISKS):
        pci = guest.pci(slot)
        assert pci["virtio"] == "virtio_blk" and pci["legacy"] == (name in legacy), name
        assert guest_sha256(guest, pci["block"]) == sha256(made.images[name]), name
    assert looks_random(random_bytes(guest, hwrngs(guest)[0]))


def hammer_disks(guest, ridge):
    for name, disk in disks_of(guest).items():
        hammer.start(guest, disk, ridge, name, DISK_SIZE)


@pytest.fixture(scope="module")
def first(ridge, new_guest, made):
    return boot(ridge, new_guest, reboot=True)


def test_guest_reboots(first, made):
    check_disks(first, made)
    first.send("reboot -f")
    first.wait_ready()
    check_disks(first, made)


def test_guest_is_reset_in_the_middle_of_io(ridge, first, made):
    hammer_disks(first, ridge)
    first.qmp("system_reset")
    first.wait_ready()
    check_disks(first, made)
    for name in DISKS:
        counters = ridge("show", name)["counters"]
        assert counters["connections"] == 1
        assert counters["dma_faults"] == counters["device_errors"] == 0


def test_ridged_is_killed_in_the_middle_of_io(ridge, first, made):
    """SIGKILL to ridged: guests go on, and the next ridged finds and commands everything."""
    before = {name: ridge("show", name) for name in (*DISKS, RNG)}
    pids = {name: ridge.pf_pid(name) for name in (*DISKS, RNG)}
    hammer_disks(first, ridge)

    ridge.kill()
    for disk in disks_of(first).values():
        hammer.wait_rounds(first, disk, 3)
    assert looks_random(random_bytes(first, hwrngs(first)[0]))
    ridge.start()

    for name in (*DISKS, RNG):
        after = ridge("show", name)
        for key in ("name", "type", "rid", "pf", "pid", "driver", "socket", "params", "peer_pid"):
            assert after[key] == before[name][key], (name, key)
        assert after["state"] == "connected"
        assert ridge.pf_pid(name) == pids[name] and alive(pids[name])
    hammer.wait_requests(ridge, *DISKS)

    # it commands what it found: an equal create changes nothing, another is refused,
    # there is room for more
    image = f"image={made.images['legacy']}"
    assert ridge("create", "blk", "legacy", image, *WAYS["legacy"])["rid"] == \
        before["legacy"]["rid"]
    with pytest.raises(RidgeError) as differs:
        ridge("create", "blk", "legacy", image, *WAYS["modern"])
    assert "driver" in differs.value.answer
    with pytest.raises(RidgeError) as locked:
        ridge("create", "blk", "thief", image)
    assert made.images["legacy"] in locked.value.answer
    assert ridge("create", "rng", "afterwards")["pf"] == before[RNG]["pf"]
    ridge("destroy", "afterwards")
    hammer.wait_requests(ridge, *DISKS)


@pytest.fixture(scope="module")
def second(ridge, new_guest, made, first):
    """The guest after the first, whose QEMU got SIGKILL in the middle of I/O."""
    hammer_disks(first, ridge)
    first.kill()
    for name in (*DISKS, RNG):
        ridge.wait_for(name, lambda shown: shown["state"] == "idle")
    return boot(ridge, new_guest)


def test_qemu_was_killed_in_the_middle_of_io(ridge, second, made):
    check_disks(second, made)
    for name in DISKS:
        assert first_half(made.images[name]) == made.untouched[name]
        assert ridge.pf_pid(name) == made.pid and alive(made.pid)
        assert ridge("show", name)["counters"]["dma_faults"] == 0


@pytest.mark.parametrize("name", DISKS)
def test_a_second_qemu_is_turned_away(ridge, new_guest, made, second, name):
    """One VMM at a time; the one that is there doesn't notice."""
    refused = ridge("show", name)["counters"]["refused"]
    late = new_guest([ridge.device(name)])
    late.start()
    assert late.wait() != 0
    assert "Device or resource busy" in late.stderr()
    assert ridge("show", name)["counters"]["refused"] > refused
    disk = disks_of(second)[name]
    assert guest_sha256(second, disk) == sha256(made.images[name])


@pytest.mark.parametrize("name", DISKS)
def test_what_a_vmm_uses_is_not_destroyed_or_bound(ridge, second, made, name):
    for command in (["destroy", name], ["bind", name, "none"]):
        with pytest.raises(RidgeError) as refused:
            ridge(*command)
        assert refused.value.status == 1
        assert name in refused.value.answer and str(second.pid) in refused.value.answer
    assert guest_sha256(second, disks_of(second)[name]) == sha256(made.images[name])


@pytest.fixture(scope="module")
def third(ridge, new_guest, made, second):
    """The guest after the second, which was powered off, with the drivers exchanged."""
    assert second.poweroff() == 0, second.stderr()
    for name, driver in (("legacy", "vfio-pci"), ("modern", "virtio-vfio-pci")):
        ridge.wait_for(name, lambda shown: shown["state"] == "idle")
        bound = ridge("bind", name, driver)
        assert bound["driver"] == driver and bound["state"] == "idle"
        assert bound["socket"] == ridge("show", name)["socket"]
    return boot(ridge, new_guest)


def test_next_qemu_after_bind_to_another_driver(third, made):
    assert third.pci(0)["device"] == modern_id("blk")
    # legacy=only stays with the function that was made with it, so this one is legacy=auto
    assert third.pci(1)["device"] == transitional_id("blk") and third.pci(1)["io_bar"]
    check_disks(third, made, legacy=())


def test_destroy_with_force_in_the_middle_of_io(ridge, third, made):
    """The guest loses that disk, and nothing else."""
    hammer_disks(third, ridge)
    ridge("destroy", "legacy", "--force")
    assert "legacy" not in [function["name"] for function in ridge("list")]
    assert first_half(made.images["legacy"]) == made.untouched["legacy"]
    hammer.wait_requests(ridge, "modern")
    assert looks_random(random_bytes(third, hwrngs(third)[0]))
    assert ridge.pf_pid("modern") == made.pid and alive(made.pid)
    # its image and its name are free
    ridge("create", "blk", "legacy", f"image={made.images['legacy']}", "driver=none")
    ridge("destroy", "legacy")


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
    guest.start()
    assert guest.wait() != 0
    assert "No such file or directory" in guest.stderr()


def test_arguments_for_qemu_are_words_for_a_shell(ridge):
    """$(ridge qemu-args NAME), unquoted, is what a person types."""
    ridge("create", "rng", "words", "driver=vfio-pci")
    done = subprocess.run(["sh", "-c", f"printf '<%s>' $({ridge.build}/ridge qemu-args words)"],
                          env=ridge.environment, stdout=subprocess.PIPE, text=True, check=True)
    path = ridge("show", "words")["socket"]
    assert done.stdout == \
        '<-device><{"driver":"vfio-user-pci","socket":{"path":"%s","type":"unix"}}>' % path
    ridge("destroy", "words")
