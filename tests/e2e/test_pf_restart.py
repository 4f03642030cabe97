# SPDX-License-Identifier: BSD-3-Clause
"""A PF process gets SIGKILL while a guest of it does I/O: it comes back, and no other guest notices."""

import os
import signal

import hammer
from helpers import guest_sha256, sha256
from ridge import alive

DISK_SIZE = 8 << 20


def test_a_killed_pf_process_comes_back(ridge, new_guest, new_disk):
    """Two PFs, a guest on each. One process dies: its guest loses the disk, the other goes on."""
    images = {name: new_disk(f"{name}.img", DISK_SIZE) for name in ("hit", "other")}
    for name, image in images.items():
        ridge("pf", "add", f"pf-{name}", "type=blk")
        ridge("create", "blk", name, f"image={image}", f"pf=pf-{name}",
              "driver=virtio-vfio-pci", "slot=5")
    ridge("create", "rng", "rng")
    guests = {}
    for name in images:
        guests[name] = new_guest([ridge.device(name)], name=name)
        guests[name].boot()
    for name, guest in guests.items():
        hammer.start(guest, "vda", ridge, name, DISK_SIZE)
    before = {name: ridge("show", name) for name in (*images, "rng")}

    os.kill(before["hit"]["pid"], signal.SIGKILL)

    back = ridge.wait_for("hit", lambda shown: shown["pid"] not in (None, before["hit"]["pid"])
                          and shown["state"] == "idle", 30)
    assert alive(back["pid"])
    for key in ("rid", "slot", "pf", "driver", "socket", "params"):
        assert back[key] == before["hit"][key], key
    # The other guest's disk did not stand still, and saw no error.
    hammer.wait_rounds(guests["other"], "vda", 3)
    after = ridge("show", "other")
    assert after["pid"] == before["other"]["pid"] and after["state"] == "connected"
    for counter in ("connections", "request_errors", "dma_faults", "device_errors", "resets"):
        assert after["counters"][counter] == before["other"]["counters"][counter], counter
    assert ridge("show", "rng") == before["rng"]

    # QEMU lost its device for good: it does not connect again. Its place is taken by the next.
    guests["hit"].kill()
    again = new_guest([ridge.device("hit")], name="again")
    again.boot()
    assert again.pci(0)["virtio"] == "virtio_blk"
    assert guest_sha256(again, "vda") == sha256(images["hit"])
    hammer.start(again, "vda", ridge, "hit", DISK_SIZE)
    hammer.wait_requests(ridge, "hit", "other")
