# SPDX-License-Identifier: BSD-3-Clause
"""QEMU puts many posted writes into one REGION_WRITE_MULTI when the server is behind with them."""

import os
import re
import signal
import time

from ridge import build_directory

STORES = 20000


def test_a_guest_that_is_faster_than_its_function(ridge, new_guest):
    ridge("create", "rng", "rng", "driver=vfio-pci")
    with open(os.path.join(build_directory(), "tests", "e2e", "guest_mmio"), "rb") as tool:
        guest = new_guest([ridge.device("rng")], files={"/bin/guest_mmio": tool.read()},
                          trace=("vfio_user_wrmulti",))
    guest.boot()
    folder = f"/sys/bus/pci/devices/0000:00:{guest.devices[0]['addr'][:2]}.0"
    assert guest.pci(0)["virtio"], "the function works"
    guest.sh(f"echo 0000:{folder[-7:]} > {folder}/driver/unbind && echo 1 > {folder}/enable")

    before = ridge("show", "rng")["counters"]["mmio_accesses"]
    pid = ridge.pf_pid("rng")
    os.kill(pid, signal.SIGSTOP)
    try:
        # device_feature_select: a register that keeps what it is given
        token = guest.send(f"guest_mmio {folder}/resource2 0 {STORES}")
        time.sleep(1)
    finally:
        os.kill(pid, signal.SIGCONT)
    status, output = guest.result(token)
    assert status == 0, output
    last, _ = output.split()
    assert int(last) == STORES, "in order, the load behind them"
    assert ridge("show", "rng")["counters"]["mmio_accesses"] - before == STORES + 1

    with open(guest.trace_log, encoding="utf-8") as log:
        counts = [int(count, 0) for count in re.findall(r"vfio_user_wrmulti .*?\b(0x[0-9a-f]+|\d+)$",
                                                        log.read(), re.M)]
    assert counts and max(counts) > 1, "some of them came together"

    guest.sh(f"echo 0000:{folder[-7:]} > /sys/bus/pci/drivers/virtio-pci/bind")
    assert guest.pci(0)["virtio"]
    assert guest.poweroff() == 0, guest.stderr()
    ridge.wait_for("rng", lambda shown: shown["state"] == "idle")
    ridge("destroy", "rng")
