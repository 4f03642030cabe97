# SPDX-License-Identifier: BSD-3-Clause
"""Who may use a function, and what a disk allows: owner=, readonly=, locks, a full disk."""

import os
import pwd
import stat
import subprocess

import pytest
from helpers import guest_sha256, hwrngs, looks_random, random_bytes, sha256
from ridge import RidgeError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes users or mounts: needs root")


@as_root
def test_unprivileged_qemu_with_owner(ridge, new_guest, new_disk):
    """QEMU as nobody uses a function that is nobody's; another function it may not open."""
    nobody = pwd.getpwnam("nobody")
    image = new_disk("nobody.img", 4 << 20)
    os.chmod(image, 0o600)  # QEMU never opens it: ridged does
    ridge("create", "blk", "theirs", f"image={image}", "driver=virtio-vfio-pci", "legacy=only",
          "owner=nobody", "mode=0600")
    ridge("create", "rng", "theirs-rng", "driver=vfio-pci", "owner=nobody", "mode=0600")
    ridge("create", "rng", "ours", "driver=vfio-pci")

    info = os.stat(ridge("show", "theirs")["socket"])
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (nobody.pw_uid, 0o600)
    info = os.stat(ridge("show", "ours")["socket"])
    assert info.st_uid == 0 and not stat.S_IMODE(info.st_mode) & 0o007

    user = (nobody.pw_uid, nobody.pw_gid)
    guest = new_guest([ridge.device("theirs"), ridge.device("theirs-rng")], user=user)
    guest.boot()
    with open(f"/proc/{guest.pid}/status", encoding="utf-8") as status:
        assert f"Uid:\t{user[0]}\t{user[0]}\t{user[0]}" in status.read()
    assert guest_sha256(guest, guest.pci(0)["block"]) == sha256(image)
    assert looks_random(random_bytes(guest, hwrngs(guest)[0]))
    assert guest.poweroff() == 0, guest.stderr()

    refused = new_guest([ridge.device("ours")], user=user)
    refused.start()
    assert refused.wait() != 0
    assert "Permission denied" in refused.stderr()


@as_root
def test_control_socket_is_not_for_everybody(ridge):
    """Somebody else's ridge is refused, in one line."""
    tried = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         os.path.join(ridge.build, "ridge"), "list"],
        env=ridge.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=30, check=False)
    assert tried.returncode == 1
    assert tried.stdout == "" and len(tried.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def small_filesystem(work):
    """A filesystem of 4 MiB."""
    path = os.path.join(work, "small")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@as_root
def test_readonly_disk_and_full_disk(ridge, new_guest, new_disk, small_filesystem):
    """One guest with a disk it can't write, and one whose image has no room left."""
    size = 16 << 20
    image = new_disk("readonly.img", 4 << 20)
    checksum = sha256(image)
    sparse = os.path.join(small_filesystem, "sparse.img")
    with open(sparse, "wb") as file:
        file.truncate(size)
    ridge("create", "blk", "readonly", f"image={image}", "readonly=true",
          "driver=virtio-vfio-pci", "legacy=only")
    ridge("create", "blk", "full", f"image={sparse}", "driver=vfio-pci")
    guest = new_guest([ridge.device("readonly"), ridge.device("full")])
    guest.boot()

    disk = guest.pci(0)["block"]
    assert guest.sh(f"cat /sys/block/{disk}/ro").strip() == "1"
    assert guest_sha256(guest, disk) == checksum
    status, _ = guest.result(guest.send(
        f"dd if=/dev/zero of=/dev/{disk} bs=4k count=1 conv=fsync"))
    assert status != 0
    assert sha256(image) == checksum

    disk = guest.pci(1)["block"]
    status, output = guest.result(guest.send(
        f"dd if=/dev/urandom of=/dev/{disk} bs=64k oflag=direct 2>&1"))
    assert status != 0 and "I/O error" in output
    errors = ridge("show", "full")["counters"]["request_errors"]
    assert errors > 0
    assert os.path.getsize(sparse) == size

    # nothing worse has happened: both disks still read, and with room it writes again
    assert guest_sha256(guest, disk) == sha256(sparse)
    subprocess.run(["mount", "-o", "remount,size=32M", small_filesystem], check=True)
    guest.sh(f"dd if=/dev/urandom of=/dev/{disk} bs=64k oflag=direct status=none count={size >> 16}")
    assert guest_sha256(guest, disk) == sha256(sparse)
    assert ridge("show", "full")["counters"]["request_errors"] == errors
    assert guest_sha256(guest, guest.pci(0)["block"]) == checksum
    assert guest.poweroff() == 0, guest.stderr()


def test_image_has_one_writer(ridge, new_disk, new_guest):
    """Neither a second function nor QEMU's own disk may write a writable image; readers share."""
    image = new_disk("locked.img", 1 << 20)
    ridge("create", "blk", "writer", f"image={image}", "driver=vfio-pci")
    with pytest.raises(RidgeError) as locked:
        ridge("create", "blk", "writer2", f"image={image}", "driver=vfio-pci")
    assert locked.value.status == 1 and image in locked.value.answer
    assert "writer2" not in [function["name"] for function in ridge("list")]

    drive = new_guest([{"driver": "virtio-blk-pci", "drive": "disk"}])
    drive.argv += ["-drive", f"file={image},if=none,id=disk,format=raw"]
    drive.start()
    assert drive.wait() != 0
    assert "lock" in drive.stderr()

    ridge("destroy", "writer")
    for name in ("reader", "reader2"):
        ridge("create", "blk", name, f"image={image}", "readonly=true", "driver=vfio-pci")
    ridge("destroy", "reader", "reader2")
