# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest as a host of PCI functions: ridge in it, and what its kernel has probed.

With initcall_debug its driver core says "probe of RID with driver D returned N after T usecs" for
each probe of each function.
"""

import base64
import json
import os
import re

from guest import GuestError, with_libraries
from ridge import ROOT, build_directory

# There is no IOMMU in the guest.
APPEND = "vfio.enable_unsafe_noiommu_mode=1"


def programs(*names):
    """files= for a guest: ridge, and programs of the build folder's tests/e2e."""
    files = with_libraries("/bin/ridge", os.path.join(build_directory(), "ridge"))
    for name in names:
        files.update(with_libraries(f"/bin/{name}",
                                    os.path.join(build_directory(), "tests", "e2e", name)))
    return files


def exported(ridge, pf):
    """Exports a PF; the object for a guest's devices=."""
    return {"driver": "vfio-user-pci",
            "socket": {"path": ridge("export", pf)["socket"], "type": "unix"}}


class LinuxHost:
    """What tests ask a guest that is a host."""

    def __init__(self, guest):
        self.guest = guest
        self.sh = guest.sh

    def ridge(self, *argv, timeout=60):
        """`ridge -j ARGV` in the guest: its exit status and what its JSON says."""
        status, out = self.guest.result(
            self.guest.send("ridge -j " + " ".join(argv) + " 2>&1"), timeout)
        try:
            return status, json.loads(out)
        except ValueError:
            raise GuestError(f"ridge {argv}: status {status}: {out}") from None

    def adopt(self, *argv, timeout=60):
        """`ridge host adopt`, which must succeed: what was adopted."""
        status, out = self.ridge("host", "adopt", *argv, timeout=timeout)
        assert status == 0, out
        return out["adopted"]

    def release(self, *argv, timeout=60):
        status, out = self.ridge("host", "release", *argv, timeout=timeout)
        assert status == 0, out
        return out["released"]

    def note_probes(self):
        """From here on probes() counts."""
        self.sh("echo Y >/sys/module/kernel/parameters/initcall_debug; dmesg -c >/dev/null")

    def probes(self):
        """{RID: [(driver, what its probe returned, microseconds)]} since note_probes()."""
        found = {}
        for rid, driver, result, time in re.findall(
                r"probe of ([0-9a-f]+:[0-9a-f:.]+) with driver (\S+) returned (-?\d+) after (\d+) "
                r"usecs", self.sh("dmesg")):
            found.setdefault(rid, []).append((driver, int(result), int(time)))
        return found

    def probed_by(self):
        """{RID: [drivers that probed it]} since note_probes()."""
        return {rid: [driver for driver, *_ in each] for rid, each in self.probes().items()}

    def drivers(self, *rids):
        """The driver of each RID; None where it has none."""
        out = self.sh(f"""
            cd /sys/bus/pci/devices
            for rid in {' '.join(rids)}; do
                [ -e $rid ] || {{ echo absent; continue; }}
                driver=$(readlink $rid/driver) || driver=none
                echo ${{driver##*/}}
            done""").split()
        return [None if name == "none" else name for name in out]

    def read(self, path):
        return self.sh(f"cat {path}").strip()


def take_through_migration(host, mode, kind, vfs, link):
    """guest_migrate on two VFs, with all that it has to say checked; the labels of their disks."""
    host.adopt(*vfs, "virtio-vfio-pci")
    # What ridge saved of such a function, without any Linux, is taken by Linux' driver as well.
    with open(os.path.join(ROOT, "tests", "fixture", "streams", f"ridge-{kind}.stream"),
              "rb") as stream:
        text = base64.b64encode(stream.read()).decode()
    lines = host.sh(f"""
        echo {text} | base64 -d >/tmp/ridge.stream
        guest_migrate {mode} {kind} {vfs[0]} {vfs[1]} {link} /tmp/now /tmp/ridge.stream 2>&1""",
                    timeout=200).splitlines()
    labels = [line for line in lines if line.startswith("label")]
    saved = [line for line in lines if line.startswith("saved")]
    assert len(saved) == 2 and saved[0] == saved[1]  # parts have one size whatever the state
    assert [line for line in lines if line not in labels and line not in saved] == [
        "migration STOP_COPY P2P PRE_COPY",
        "arcs 49 refused 2",
        "silent in RUNNING_P2P",
        "silent in STOP",
        "silent in STOP_COPY",
        "restored into itself",
        "restored into the other",
        "accepted /tmp/ridge.stream",
        "done"]
    host.release(*vfs)
    return [line.split()[1] for line in labels]
