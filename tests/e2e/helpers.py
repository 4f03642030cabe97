# SPDX-License-Identifier: BSD-3-Clause
"""What the tests and the demo look at from both sides: disks, files, random bytes."""

import hashlib
import subprocess

# (virtio device id, transitional PCI id) of each type
VIRTIO_IDS = {"net": (1, 0x1000), "blk": (2, 0x1001), "rng": (4, 0x1005)}
VIRTIO_VENDOR = 0x1af4
VERSION_1 = 32  # the feature bit that tells modern from legacy


def modern_id(kind):
    """The PCI device id of a modern function (virtio 1.3, 4.1.2.1)."""
    return 0x1040 + VIRTIO_IDS[kind][0]


def transitional_id(kind):
    """The PCI device id of a transitional function (virtio 1.3, 4.1.2.3)."""
    return VIRTIO_IDS[kind][1]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as image:
        for block in iter(lambda: image.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def guest_sha256(guest, disk):
    """The checksum of the whole disk as the guest reads it, not from its page cache."""
    guest.sh("echo 3 >/proc/sys/vm/drop_caches")
    return guest.sh(f"sha256sum /dev/{disk}").split()[0]


def write_file_in_guest(guest, disk, name, text):
    """A new filesystem on the disk, with a file in it, unmounted again."""
    guest.sh(f"""
        mke2fs /dev/{disk} >/dev/null && mount -t ext4 /dev/{disk} /mnt &&
        printf %s '{text}' >/mnt/{name} && umount /mnt""")


def read_file_from_image(image, name):
    """A file in the filesystem on an image, read on the host without mounting it."""
    done = subprocess.run(["/usr/sbin/debugfs", "-R", f"cat /{name}", image],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return done.stdout.decode(errors="replace")


def hwrngs(guest):
    """The random number generators that the guest's kernel has, virtio's only."""
    names = guest.sh("cat /sys/class/misc/hw_random/rng_available").split()
    return [name for name in names if name.startswith("virtio_rng")]


def random_bytes(guest, rng, count=4096):
    """Bytes that the guest reads from one of its random number generators."""
    text = guest.sh(f"""
        echo {rng} >/sys/class/misc/hw_random/rng_current &&
        dd if=/dev/hwrng bs={count} count=1 iflag=fullblock status=none | xxd -p""")
    return bytes.fromhex("".join(text.split()))


def looks_random(data):
    """Whether no byte value is much too frequent: false for zeros and text."""
    expected = len(data) / 256
    return len(data) >= 4096 and max(data.count(value) for value in range(256)) < 4 * expected
