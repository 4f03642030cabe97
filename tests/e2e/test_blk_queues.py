# SPDX-License-Identifier: BSD-3-Clause
"""Disks with several queues under load, discard, resize and cache mode, in one guest."""

import hashlib
import os

import pytest
from helpers import guest_sha256, sha256
from net import RING_PACKED, VERSION_1, wait_until

# name of the function: its keys
DISKS = {
    "modern": ("driver=vfio-pci", "queues=2"),
    "packed": ("driver=vfio-pci", "queues=2", "packed=true"),
    "legacy": ("driver=virtio-vfio-pci", "legacy=only", "queues=2"),
    "legacy-small": ("driver=virtio-vfio-pci", "legacy=only", "queues=2", "queue_size=16"),
}
CPUS = 2
SIZE = 32 << 20
GROWN = 48 << 20
BLK_F_MQ, BLK_F_DISCARD = 12, 13  # virtio 1.3, 5.2.3

WORKERS = 4
CHUNK = 1 << 20  # bytes that a worker has of the disk, in each round somewhere else
ROUNDS = 4

# Each worker writes and reads back its own part of the disk, again and again, in pieces of another
# size each round; what it reads must be what it wrote. All run at once, on all CPUs.
LOAD = """
    work() {{
        round=0
        while [ $round -lt {rounds} ]; do
            at=$((round * {workers} + $1))
            block=$((4096 << (round + $1) % 4))
            head -c {chunk} /dev/urandom >/tmp/$1.out &&
            dd if=/tmp/$1.out of=/dev/{disk} bs=$block seek=$((at * {chunk} / block)) \\
                oflag=direct conv=notrunc status=none &&
            dd if=/dev/{disk} of=/tmp/$1.in bs=$block skip=$((at * {chunk} / block)) \\
                count=$(({chunk} / block)) iflag=direct status=none &&
            cmp /tmp/$1.out /tmp/$1.in || return 1
            round=$((round + 1))
        done
        : >/tmp/$1.good
    }}
    worker=0
    while [ $worker -lt {workers} ]; do
        work $worker >/tmp/$worker.log 2>&1 &
        taskset -p $((1 << worker % {cpus})) $! >/dev/null
        worker=$((worker + 1))
    done
    wait
    cat /tmp/*.log
    good=$(ls /tmp/*.good | wc -l)
    rm -f /tmp/*.good /tmp/*.log /tmp/*.in /tmp/*.out
    [ $good = {workers} ]"""


@pytest.fixture(scope="module")
def guest(ridge, new_guest, work):
    for name, keys in DISKS.items():
        path = os.path.join(work, f"{name}.img")
        with open(path, "wb") as image:
            image.truncate(SIZE)
        ridge("create", "blk", name, f"image={path}", *keys)
    guest = new_guest([ridge.device(name) for name in DISKS])
    guest.argv += ["-smp", str(CPUS)]
    guest.boot()
    yield guest
    assert guest.poweroff() == 0, guest.stderr()
    for name in DISKS:
        shown = ridge.wait_for(name, lambda shown: shown["state"] == "idle")
        for counter in ("request_errors", "dma_faults", "device_errors", "admin_errors"):
            assert shown["counters"][counter] == 0, (name, counter)
    ridge("destroy", *DISKS)


class Disk:
    def __init__(self, guest, name, work):
        self.name = name
        self.image = os.path.join(work, f"{name}.img")
        self.pci = guest.pci(list(DISKS).index(name))
        self.dev = self.pci["block"]


@pytest.fixture(params=list(DISKS))
def disk(request, guest, work):
    return Disk(guest, request.param, work)


def test_disk_is_as_it_was_made(guest, disk):
    features = disk.pci["features"]
    assert disk.pci["legacy"] == disk.name.startswith("legacy")
    assert bool(features >> VERSION_1 & 1) == (not disk.pci["legacy"])
    assert bool(features >> RING_PACKED & 1) == (disk.name == "packed")
    assert features >> BLK_F_MQ & 1
    assert guest.sh(f"ls /sys/block/{disk.dev}/mq").split() == ["0", "1"]


def queue_interrupts(guest, disk):
    """How often each queue of the disk has interrupted, on all CPUs."""
    return [sum(int(word) for word in line.split()[1:1 + CPUS]) for line in guest.sh(
        f"device=$(basename $(readlink /sys/block/{disk.dev}/device)); "
        "grep $device-req /proc/interrupts").splitlines()]


def test_load_from_several_processes(guest, disk):
    before = queue_interrupts(guest, disk)
    guest.sh(LOAD.format(disk=disk.dev, workers=WORKERS, rounds=ROUNDS, chunk=CHUNK, cpus=CPUS),
             timeout=120)
    after = queue_interrupts(guest, disk)
    assert len(after) == 2 and all(now > then for now, then in zip(after, before))
    assert guest_sha256(guest, disk.dev) == sha256(disk.image)


def test_fstrim_frees_blocks_of_the_image(guest, disk):
    assert disk.pci["features"] >> BLK_F_DISCARD & 1
    written = 12 << 20
    guest.sh(f"""
        blkdiscard /dev/{disk.dev} && mke2fs /dev/{disk.dev} >/dev/null &&
        mount -t ext4 /dev/{disk.dev} /mnt &&
        dd if=/dev/urandom of=/mnt/big bs=1M count={written >> 20} status=none &&
        cp /bin/busybox /mnt/kept && sync""")
    full = os.stat(disk.image).st_blocks * 512
    assert full >= written
    guest.sh("rm /mnt/big && sync && fstrim /mnt")
    trimmed = os.stat(disk.image).st_blocks * 512
    assert full - trimmed >= written
    guest.sh("echo 3 >/proc/sys/vm/drop_caches; cmp /bin/busybox /mnt/kept && umount /mnt")
    assert guest_sha256(guest, disk.dev) == sha256(disk.image)
    guest.sh(f"blkdiscard /dev/{disk.dev}")
    assert os.stat(disk.image).st_blocks == 0
    assert guest_sha256(guest, disk.dev) == hashlib.sha256(bytes(SIZE)).hexdigest()


def test_resize_is_seen_without_reboot(ridge, guest, disk):
    sectors = lambda: guest.sh(f"cat /sys/block/{disk.dev}/size").strip()  # noqa: E731
    assert sectors() == str(SIZE // 512)
    os.truncate(disk.image, GROWN)
    ridge("set", disk.name, f"size={GROWN}")
    wait_until(lambda: sectors() == str(GROWN // 512), "the new size")
    guest.sh(f"dd if=/dev/urandom of=/dev/{disk.dev} bs=64k seek={(GROWN - CHUNK) >> 16} "
             f"count={CHUNK >> 16} oflag=direct conv=notrunc status=none")
    assert os.path.getsize(disk.image) == GROWN
    assert guest_sha256(guest, disk.dev) == sha256(disk.image)


def test_cache_mode(guest, disk):
    """Write-back is what it starts with; a driver may choose write-through, and go back."""
    cache = f"/sys/block/{disk.dev}/cache_type"
    assert guest.sh(f"cat {cache}; cat /sys/block/{disk.dev}/queue/write_cache").splitlines() == \
        ["write back", "write back"]
    for mode in ("write through", "write back"):
        assert guest.sh(f"""
            echo {mode} >{cache} && cat {cache} /sys/block/{disk.dev}/queue/write_cache &&
            dd if=/dev/urandom of=/dev/{disk.dev} bs=64k count=4 conv=fsync,notrunc status=none
            """).splitlines() == [mode, mode]
    assert guest_sha256(guest, disk.dev) == sha256(disk.image)
