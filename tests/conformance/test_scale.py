# SPDX-License-Identifier: BSD-3-Clause
"""Many functions of one PF: what is shared, and when a slot is free again."""

import os
import resource
import time

import pytest

from ridge import RidgeError
from vfio_user import Client, Memory
from virtio_guest import VERSION_1, Blk

FUNCTIONS = 1000


def refused(ridge, *command):
    with pytest.raises(RidgeError) as error:
        ridge(*command)
    return error.value.answer


def test_a_slot_is_taken_until_its_last_io_has_ended(ridge, create, attach):
    """Its VMM is gone, the command to destroy it too; nobody else gets its slot, or its RID."""
    function = create("blk", driver="vfio-pci")
    slot, image = function.made["slot"], function.image
    guest = attach(function, "modern")
    guest.transport.start(VERSION_1)
    disk = Blk(guest.transport)
    function.fault("backend-hang", 1)
    chain, _, _ = disk.prepare(Blk.IN, 0, length=512)
    guest.transport.queues[0].add(chain)
    guest.transport.kick()
    time.sleep(0.1)

    assert "I/O of its backend has not ended" in refused(ridge, "destroy", function.name, "--force")
    guest.client.close()
    assert function.show()["state"] == "draining"
    answer = refused(ridge, "create", "blk", "thief", f"image={image}", "share=true", f"slot={slot}")
    assert f"slot {slot} of PF {function.made['pf']} is not free" in answer
    # Any other slot is another one.
    other = create("blk", driver="none")
    assert other.made["slot"] != slot and other.made["rid"] != function.made["rid"]

    function.fault("backend-hang", 0)
    function.idle()
    ridge("destroy", function.name)
    again = ridge("create", "blk", function.name, f"image={image}", f"slot={slot}")
    assert again["slot"] == slot and again["rid"] == function.made["rid"]


def test_memory_that_functions_share_is_mapped_once(ridge):
    """One VMM with a thousand functions: its memory is one mapping in the PF process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    ridge("pf", "add", "many", "type=rng", f"max_vfs={FUNCTIONS}")
    names = [f"many-{n}" for n in range(FUNCTIONS)]
    path = os.path.join(ridge.directory, "many.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write("[" + ",".join(f'{{"type": "rng", "name": "{name}", "pf": "many"}}'
                                  for name in names) + "]")
    made = ridge("create", "--batch", path)
    memory = Memory()
    clients = []
    try:
        for function in made:
            clients.append(Client(function["socket"]))
            memory.share(clients[-1])
        inode = os.fstat(memory.fd).st_ino
        with open(f"/proc/{made[0]['pid']}/maps", encoding="utf-8") as maps:
            of_memory = [line for line in maps if line.split()[4] == str(inode)]
        assert len(of_memory) == 1
    finally:
        for client in clients:
            client.close()
        memory.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ridge("destroy", "--force", *names)
    ridge("pf", "remove", "many")
