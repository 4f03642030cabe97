# SPDX-License-Identifier: BSD-3-Clause
"""One function is in trouble, and what a guest sees of that; all others go on.

`bystander` is a guest with a disk of the same PF and one of another PF, both at work all the time.
`victim` is the guest that has the trouble: an admin queue that stalls, a backend that hangs, memory
that goes away or was never shared.
"""

import contextlib
import os
import signal
import tempfile
import threading
import time

import hammer
import pytest
from guest import GuestError
from helpers import guest_sha256, sha256
from ridge import RidgeError, alive

LEGACY = ("driver=virtio-vfio-pci", "legacy=only")
MODERN = ("driver=vfio-pci",)
BIOS = {"kernel": False}  # reads the boot sector of its disk, and that is all it takes
SIZE = 4 << 20
STATUS = "cat /sys/bus/pci/devices/0000:00:10.0/virtio*/status"  # one inb from slot 0


@pytest.fixture(scope="module")
def bystander(ridge, new_guest, new_disk):
    """A guest that hammers "near", of the PF blk0, and "far", of the PF far-pf."""
    ridge("pf", "add", "blk0", "type=blk")
    ridge("pf", "add", "far-pf", "type=blk")
    ridge("create", "blk", "near", f"image={new_disk('near.img', SIZE)}", "pf=blk0", *MODERN)
    ridge("create", "blk", "far", f"image={new_disk('far.img', SIZE)}", "pf=far-pf", *LEGACY)
    guest = new_guest([ridge.device("far"), ridge.device("near")], name="bystander")
    guest.boot()
    guest.pf_pid = ridge.pf_pid("near")
    for slot, name in enumerate(("far", "near")):
        hammer.start(guest, guest.pci(slot)["block"], ridge, name, SIZE, pause_ms=20)
    yield guest
    assert alive(guest.pf_pid) and ridge.pf_pid("near") == guest.pf_pid
    for name in ("near", "far"):
        shown = ridge("show", name)
        assert shown["state"] == "connected" and shown["counters"]["connections"] == 1
        for counter in ("request_errors", "dma_faults", "device_errors", "admin_timeouts"):
            assert shown["counters"][counter] == 0, (name, counter)
    assert "I/O error" not in guest.sh("dmesg")
    assert guest.poweroff() == 0, guest.stderr()


@pytest.fixture(scope="module")
def fs(new_hangfs):
    return new_hangfs("hangs", SIZE)


@pytest.fixture(scope="module")
def victim(ridge, new_guest, new_disk, bystander, fs):
    """A guest with a legacy disk and one whose file system hangs, both of the PF blk0."""
    image = new_disk("old.img", SIZE)
    ridge("create", "blk", "old", f"image={image}", "pf=blk0", *LEGACY)
    ridge("create", "blk", "hung", f"image={fs.path}", "pf=blk0", *MODERN)
    guest = new_guest([ridge.device("old"), ridge.device("hung")], reboot=True, name="victim")
    guest.boot()
    guest.image = image
    yield guest
    fs.go()
    guest.kill()


def test_admin_queue_that_stalls(ridge, bystander, victim):
    """An inb waits for its deadline of 2 s and reads all ones; nobody else waits."""
    if ridge.run("debug", "fault", "blk0", "admin-stall", "0").returncode != 0:
        pytest.skip("a build without -Dfaults=true")
    running = int(victim.sh(STATUS), 16)
    assert running == 0x7  # ACKNOWLEDGE, DRIVER, DRIVER_OK
    before = ridge("show", "old")["counters"]
    ridge("debug", "fault", "blk0", "admin-stall", "1")

    for stalled in range(1, 6):
        begin = time.monotonic()
        reading = victim.send(STATUS)
        # a modern function of the same PF, and a legacy function of another one
        hammer.wait_requests(ridge, "near", "far", more=5)
        assert int(bystander.sh(STATUS), 16) == 0x7
        after = ridge("show", "old")["counters"]
        waited_alone = after["admin_timeouts"] < before["admin_timeouts"] + stalled
        status, output = victim.result(reading)
        assert (status, int(output, 16)) == (0, 0xff)
        assert 1.9 < time.monotonic() - begin < 6
        if waited_alone:
            break
        # or the machine was too busy for the others to do anything in 2 s: once more
    assert waited_alone, "the others got nothing done while the inb waited"
    after = ridge("show", "old")["counters"]
    assert after["admin_timeouts"] == before["admin_timeouts"] + stalled
    assert after["admin_commands"] == before["admin_commands"] + stalled

    # a disk that is set up needs no register: its I/O goes on
    disk = victim.pci(0)["block"]
    assert guest_sha256(victim, disk) == sha256(victim.image)

    ridge("debug", "fault", "blk0", "admin-stall", "0")
    assert int(victim.sh(STATUS), 16) == running
    assert guest_sha256(victim, disk) == sha256(victim.image)
    assert ridge("show", "old")["counters"]["admin_timeouts"] == after["admin_timeouts"]


def test_backend_that_hangs_and_goes_on(ridge, bystander, victim, fs):
    """The guest waits for its disk, and has lost nothing when that goes on."""
    disk = victim.pci(1)["block"]
    fs.hang("read", "getattr")
    reading = victim.send(f"sha256sum /dev/{disk}")
    fs.wait_held(1)
    hammer.wait_requests(ridge, "near", "far")
    assert ridge("show", "hung")["state"] == "connected"
    fs.go()
    status, output = victim.result(reading)
    assert status == 0 and output.split()[0] == sha256(fs.image)

    # a flush of the guest is an fdatasync of the file, and has ended when that has
    before = fs.count()["fdatasync"]
    fs.hang("fsync")
    writing = victim.send(f"dd if=/dev/urandom of=/dev/{disk} bs=4k count=1 conv=fsync 2>&1")
    fs.wait_held(1)
    with pytest.raises(GuestError, match="no answer"):
        victim.result(writing, timeout=0.5)
    fs.go()
    assert victim.result(writing)[0] == 0
    assert fs.count()["fdatasync"] > before


def reset_guest(guest):
    with contextlib.suppress(GuestError, OSError, ValueError):
        guest.qmp("system_reset")


def test_reset_while_the_backend_hangs(ridge, bystander, victim, fs):
    """The reset waits at most 3 s for that disk, then its VMM loses it.

    What then becomes of the guest is up to QEMU: 11.1 ends at the next change of the memory map, as
    it can't tell the function any more.
    """
    disk = victim.pci(1)["block"]
    fs.hang("read", "write", "fsync", "getattr")
    victim.send(f"dd if=/dev/{disk} of=/dev/null bs=64k count=4 iflag=direct &")
    fs.wait_held(1)

    begin = time.monotonic()
    # QEMU answers when it has given up on the function itself, after 5 s
    reset = threading.Thread(target=reset_guest, args=(victim,))
    reset.start()
    ridge.wait_for("hung", lambda shown: shown["state"] == "draining")
    assert 2.5 < time.monotonic() - begin < 6
    assert ("hung", "draining") in [(f["name"], f["state"]) for f in ridge("list")]
    hammer.wait_requests(ridge, "near", "far")
    reset.join()
    victim.kill()
    ridge.wait_for("old", lambda shown: shown["state"] == "idle")

    begin = time.monotonic()
    with pytest.raises(RidgeError) as draining:
        ridge("destroy", "hung", "--force")
    assert time.monotonic() - begin < 6
    assert "I/O of its backend has not ended" in draining.value.answer
    hammer.wait_requests(ridge, "near", "far")

    fs.go()
    ridge.wait_for("hung", lambda shown: shown["state"] == "idle")
    assert ridge.pf_pid("hung") == bystander.pf_pid


@pytest.fixture
def hung(ridge, bystander, victim, fs):
    """The function that hangs, without a VMM."""
    fs.go()
    victim.kill()
    ridge.wait_for("hung", lambda shown: shown["state"] == "idle")


@pytest.mark.parametrize("how", ["quit", "kill"])
def test_qemu_ends_while_the_backend_hangs(ridge, new_guest, hung, fs, how):
    """It ends at once; the function is draining until its I/O has ended, and then new."""
    fs.hang("read", "getattr")
    guest = new_guest([ridge.device("hung")], **BIOS)
    guest.start()
    fs.wait_held(1)
    begin = time.monotonic()
    if how == "quit":
        guest.qmp("quit")
        assert guest.wait(10) == 0
    else:
        guest.kill()
    assert time.monotonic() - begin < 6
    ridge.wait_for("hung", lambda shown: shown["state"] == "draining")
    hammer.wait_requests(ridge, "near", "far")
    fs.go()
    ridge.wait_for("hung", lambda shown: shown["state"] == "idle")

    again = new_guest([ridge.device("hung")], **BIOS)
    reads = fs.count()["read"]
    again.start()
    fs.wait(lambda count: count["read"] > reads)
    again.kill()
    ridge.wait_for("hung", lambda shown: shown["state"] == "idle")


@pytest.fixture
def memory_file():
    """The path of a file on tmpfs for a guest's memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="ridge-") as directory:
        yield os.path.join(directory, "memory")


def stop(pid):
    """SIGSTOP, until no thread runs any more: kill() returns before that."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while True:
        states = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as file:
                states.append(file.read().rsplit(")", 1)[1].split()[0])
        if set(states) == {"T"}:
            return
        assert time.monotonic() < deadline, states
        time.sleep(0.01)


def test_memory_that_shrinks(ridge, new_guest, bystander, hung, fs, memory_file):
    """The memory file is truncated while I/O into it is under way: that function stops.

    QEMU is stopped meanwhile, as it would not survive to be told.
    """
    before = ridge("show", "hung")["counters"]["dma_faults"]
    fs.hang("read")
    guest = new_guest([ridge.device("hung")], **BIOS,
                      memory_backend=f"memory-backend-file,mem-path={memory_file},share=on")
    guest.start()
    fs.wait_held(1)
    stop(guest.pid)
    os.truncate(memory_file, 0)
    fs.go()
    shown = ridge.wait_for("hung", lambda shown: shown["state"] == "faulted")
    assert "shrank" in shown["text"]
    assert shown["counters"]["dma_faults"] == before + 1
    assert [f["text"] for f in ridge("list") if f["name"] == "hung"] == [shown["text"]]
    hammer.wait_requests(ridge, "near", "far")
    assert alive(bystander.pf_pid)

    guest.kill()
    ridge.wait_for("hung", lambda shown: shown["state"] == "idle" and not shown["text"])
    again = new_guest([ridge.device("hung")], **BIOS)
    reads = ridge("show", "hung")["counters"]["read_bytes"]
    again.start()
    ridge.wait_for("hung", lambda shown: shown["counters"]["read_bytes"] >= reads + 512, 20)
    assert ridge("show", "hung")["state"] == "connected"
    again.kill()


@pytest.mark.parametrize("way", [LEGACY, MODERN], ids=["legacy", "modern"])
def test_memory_that_is_not_shared(ridge, new_guest, new_disk, bystander, way):
    """The function stops at the first access, and says what to do."""
    name = f"private-{'legacy' if way is LEGACY else 'modern'}"
    ridge("create", "blk", name, f"image={new_disk(f'{name}.img', 1 << 20)}", "pf=blk0", *way)
    guest = new_guest([ridge.device(name)], **BIOS, memory_backend="memory-backend-ram")
    guest.start()
    shown = ridge.wait_for(name, lambda shown: shown["state"] == "faulted", 20)
    assert "share=on" in shown["text"]
    assert shown["counters"]["dma_faults"] == 1
    assert f"{name}: stopped" in ridge.log() and "share=on" in ridge.log()
    assert "share=on" in ridge.run("show", name).stdout
    hammer.wait_requests(ridge, "near", "far")
    guest.kill()
    ridge.wait_for(name, lambda shown: shown["state"] == "idle")
    ridge("destroy", name)
