# SPDX-License-Identifier: BSD-3-Clause
"""Who may use a function, and what a disk allows: owner=, readonly=, locks, a full disk."""

import os
import pwd
import shutil
import stat
import subprocess
import time

import pytest
from helpers import guest_sha256, hwrngs, looks_random, random_bytes, sha256
from ridge import RidgeError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes users or mounts: needs root")

SPARSE_SIZE = 16 << 20


@pytest.fixture(scope="module")
def small_filesystem(work):
    """A filesystem of 4 MiB."""
    path = os.path.join(work, "small")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture(scope="module")
def machine(ridge, new_guest, new_disk, small_filesystem):
    """A guest whose QEMU is nobody's: a legacy disk, one that is read-only, one whose image has
    no room left, and a random number generator."""
    nobody = pwd.getpwnam("nobody")
    images = {"theirs": new_disk("theirs.img", 4 << 20), "ro": new_disk("ro.img", 4 << 20),
              "full": os.path.join(small_filesystem, "sparse.img")}
    with open(images["full"], "wb") as file:
        file.truncate(SPARSE_SIZE)
    legacy = ("driver=virtio-vfio-pci", "legacy=only")
    for name, parameters in (("theirs", legacy), ("ro", (*legacy, "readonly=true")),
                             ("full", ("driver=vfio-pci",))):
        os.chmod(images[name], 0o600)  # QEMU never opens it: ridged does
        ridge("create", "blk", name, f"image={images[name]}", *parameters, "owner=nobody",
              "mode=0600")
    ridge("create", "rng", "rng", "driver=vfio-pci", "owner=nobody", "mode=0600")
    guest = new_guest([ridge.device(name) for name in (*images, "rng")],
                      user=(nobody.pw_uid, nobody.pw_gid))
    guest.boot()
    guest.user = nobody
    guest.images = images
    guest.disks = {name: guest.pci(slot)["block"] for slot, name in enumerate(images)}
    yield guest
    assert guest.poweroff() == 0, guest.stderr()


@as_root
def test_unprivileged_qemu_with_owner(ridge, machine):
    info = os.stat(ridge("show", "theirs")["socket"])
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (machine.user.pw_uid, 0o600)
    with open(f"/proc/{machine.pid}/status", encoding="utf-8") as status:
        uid = machine.user.pw_uid
        assert f"Uid:\t{uid}\t{uid}\t{uid}" in status.read()
    assert guest_sha256(machine, machine.disks["theirs"]) == sha256(machine.images["theirs"])
    assert looks_random(random_bytes(machine, hwrngs(machine)[0]))


@as_root
def test_unprivileged_qemu_without_owner(ridge, new_guest):
    """Another function's socket it may not open."""
    nobody = pwd.getpwnam("nobody")
    ridge("create", "rng", "ours", "driver=vfio-pci")
    info = os.stat(ridge("show", "ours")["socket"])
    assert info.st_uid == 0 and not stat.S_IMODE(info.st_mode) & 0o007
    refused = new_guest([ridge.device("ours")], user=(nobody.pw_uid, nobody.pw_gid))
    refused.start()
    assert refused.wait() != 0
    assert "Permission denied" in refused.stderr()


@as_root
def test_control_socket_is_not_for_everybody(ridge, work):
    """Somebody else's ridge is refused, in one line."""
    # where that somebody may run it
    binary = shutil.copy(os.path.join(ridge.build, "ridge"), work)
    tried = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary, "list"],
        env=ridge.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=30, check=False)
    assert tried.returncode == 1
    assert tried.stdout == "" and len(tried.stderr.splitlines()) == 1
    assert tried.stderr.startswith("ridge: ") and "Permission denied" in tried.stderr


@as_root
def test_readonly_disk(machine):
    disk, image = machine.disks["ro"], machine.images["ro"]
    checksum = sha256(image)
    assert machine.sh(f"cat /sys/block/{disk}/ro").strip() == "1"
    status, _ = machine.result(machine.send(
        f"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 conv=fsync"))
    assert status != 0
    assert guest_sha256(machine, disk) == checksum == sha256(image)


@as_root
def test_full_disk(ridge, machine, small_filesystem):
    """I/O errors while there is no room, and nothing worse."""
    disk, image = machine.disks["full"], machine.images["full"]
    status, output = machine.result(machine.send(
        f"dd if=/dev/urandom of=/dev/{disk} bs=64k oflag=direct 2>&1"))
    assert status != 0 and "Input/output error" in output
    errors = ridge("show", "full")["counters"]["request_errors"]
    assert errors > 0
    assert os.path.getsize(image) == SPARSE_SIZE
    assert guest_sha256(machine, disk) == sha256(image)

    subprocess.run(["mount", "-o", "remount,size=32M", small_filesystem], check=True)
    machine.sh(f"dd if=/dev/urandom of=/dev/{disk} bs=64k oflag=direct status=none "
               f"count={SPARSE_SIZE >> 16}")
    assert guest_sha256(machine, disk) == sha256(image)
    assert ridge("show", "full")["counters"]["request_errors"] == errors
    assert os.path.getsize(image) == SPARSE_SIZE


@pytest.fixture
def qemu_with_disk(new_guest):
    """qemu_with_disk(image, ...) makes a QEMU with a disk of its own on the image, not running."""
    def make(image, *options):
        guest = new_guest([{"driver": "virtio-blk-pci", "drive": "disk"}], kernel=False)
        guest.argv += ["-S", "-drive", ",".join((f"file={image},if=none,id=disk,format=raw",
                                                 *options))]
        return guest

    return make


def test_image_of_a_function_has_one_writer(ridge, new_disk, qemu_with_disk):
    """Neither a second function nor QEMU's own disk may write a writable image; readers share."""
    image = new_disk("locked.img", 1 << 20)
    ridge("create", "blk", "writer", f"image={image}", "driver=vfio-pci")
    for parameters in ([], ["readonly=true"]):
        with pytest.raises(RidgeError) as locked:
            ridge("create", "blk", "writer2", f"image={image}", "driver=vfio-pci", *parameters)
        assert locked.value.status == 1 and image in locked.value.answer
    assert "writer2" not in [function["name"] for function in ridge("list")]
    qemu = qemu_with_disk(image)
    qemu.start()
    assert qemu.wait() != 0
    assert "lock" in qemu.stderr()

    ridge("destroy", "writer")
    for name in ("reader", "reader2"):
        ridge("create", "blk", name, f"image={image}", "readonly=true", "driver=vfio-pci")
    with pytest.raises(RidgeError) as locked:
        ridge("create", "blk", "writer", f"image={image}", "driver=vfio-pci")
    assert image in locked.value.answer
    ridge("destroy", "reader", "reader2")


def started(qemu):
    """Starts a QEMU and waits for its QMP: its disks are open then."""
    qemu.start()
    deadline = time.monotonic() + 30
    while True:
        try:
            return qemu.qmp("query-status")
        except OSError:
            assert qemu.process.poll() is None and time.monotonic() < deadline, qemu.stderr()
            time.sleep(0.05)


def test_image_that_qemu_writes_is_not_for_a_function(ridge, new_disk, qemu_with_disk):
    image = new_disk("qemus.img", 1 << 20)
    qemu = qemu_with_disk(image)
    assert started(qemu)["status"] == "prelaunch"
    for parameters in ([], ["readonly=true"]):
        with pytest.raises(RidgeError) as locked:
            ridge("create", "blk", "late", f"image={image}", "driver=vfio-pci", *parameters)
        assert image in locked.value.answer and "QEMU" in locked.value.answer
    qemu.kill()
    ridge("create", "blk", "late", f"image={image}", "driver=vfio-pci")
    ridge("destroy", "late")


def test_image_that_qemu_reads_is_for_readers(ridge, new_disk, qemu_with_disk):
    image = new_disk("shared.img", 1 << 20)
    qemu = qemu_with_disk(image, "readonly=on")
    started(qemu)
    ridge("create", "blk", "reader", f"image={image}", "readonly=true", "driver=vfio-pci")
    with pytest.raises(RidgeError):
        ridge("create", "blk", "writer", f"image={image}", "driver=vfio-pci")
    ridge("destroy", "reader")
    qemu.kill()


def test_driver_none_has_no_socket(ridge, new_guest):
    ridge("create", "rng", "short", "driver=vfio-pci")
    device = ridge.device("short")
    ridge("bind", "short", "none")
    assert ridge("show", "short")["socket"] is None
    guest = new_guest([device])
    guest.start()
    assert guest.wait() != 0
    assert "No such file or directory" in guest.stderr()
    ridge("destroy", "short")
