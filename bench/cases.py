# SPDX-License-Identifier: BSD-3-Clause
"""What is measured, and what it must be. Each case takes a Bench and returns its results."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))

from clients import Control, Vmm  # noqa: E402
from guest import GuestError, built_kernel, environment  # noqa: E402
from harness import Result, placements  # noqa: E402
from host import linux_host  # noqa: E402
from processes import cpu, pss  # noqa: E402
from ridge import Ridge  # noqa: E402

IMAGE_SIZE = 256 << 20  # more than caches of processors have
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")

MODERN_ID = bytes.fromhex("f41a4410")  # virtio 1.3, 4.1.2: vendor 1af4, device 1040 + 4


@contextlib.contextmanager
def ridged(bench):
    """A ridged of the case's own; `ridge shutdown` after it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=bench.directory) as directory, \
            Ridge(directory, bench.build) as ridge:
        yield ridge


def read(bench):
    """A 4-byte region read against an echo of messages of the same size."""
    results = []
    with ridged(bench) as ridge:
        modern = ridge("create", "rng", "modern", "driver=vfio-pci")
        legacy = ridge("create", "rng", "legacy", "driver=virtio-vfio-pci")
        for where, cpus in placements():
            ns = bench.program("bench-read", modern["socket"], legacy["socket"], ridge=ridge,
                               cpus=cpus)
            keys = {"peer": ns["echo"], "value_unit": "ns", "peer_name": "socket echo"}
            results += [
                Result.ratio(f"config space, {where}", ns["config"], at_most=1.3, **keys),
                Result.ratio(f"memory BAR, {where}", ns["memory"], at_most=1.3, **keys),
                Result.ratio(f"I/O BAR, relayed, {where}", ns["io"], **keys)]
    return results


def blk(bench):
    """Legacy blk: 4 KiB random reads from page cache, kicked through the I/O BAR."""
    image = os.path.join(bench.disk, "image")
    size = min(IMAGE_SIZE, int(bench.seconds * (1 << 30)) // 4096 * 4096)
    with open(image, "wb") as file:
        for _ in range(0, size, 4096):
            file.write(os.urandom(4096))
    results = []
    with ridged(bench) as ridge:
        made = ridge("create", "blk", "disk", "image=" + image, "readonly=true",
                     "driver=virtio-vfio-pci", "legacy=only")
        for where, cpus in placements():
            rate = bench.program("bench-blk", made["socket"], image, ridge=ridge, cpus=cpus)
            one = {"peer": rate["echo-pread"], "value_unit": "/s",
                   "peer_name": "socket echo and pread"}
            deep = {"peer": rate["uring"], "value_unit": "/s", "peer_name": "io_uring"}
            results += [
                Result.ratio(f"depth 1, {where}", rate["one"], at_least=0.6, **one),
                Result.ratio(f"depth 32, {where}", rate["deep"], at_least=0.6, **deep)]
            if cpus[0] != cpus[1]:  # KVM does not poll where somebody else wants to run
                results.append(Result.ratio(f"depth 32, {where}, halt polling", rate["deep-poll"],
                                            at_least=0.6, **deep))
    os.unlink(image)
    return results


def create(bench):
    """One create on a connection that stays open, until its socket listens, against an echo."""
    with ridged(bench) as ridge:
        ridge("pf", "add", "rng0", "type=rng")
        path = os.path.join(ridge.runtime, "functions", "bench.sock")
        results = []
        for where, cpus in placements():
            ns = bench.program("bench-create", ridge.socket, "rng0", path, ridge=ridge, cpus=cpus)
            results.append(Result.ratio(f"rng, {where}", ns["create"], ns["echo"], at_most=12,
                                        value_unit="ns", peer_name="socket echo"))
    return results


def batch(bench):
    """Many functions at once, against as many bare listening sockets."""
    with ridged(bench) as ridge, \
            tempfile.TemporaryDirectory(prefix="s-", dir=bench.directory) as directory:
        ridge("pf", "add", "rng0", "type=rng", f"max_vfs={bench.functions}")
        ns = bench.program("bench-batch", ridge.socket, "rng0", directory, bench.functions,
                           ridge=ridge)
    keys = {"peer": ns["sockets"], "value_unit": "ns", "peer_name": "bare sockets"}
    return [Result.ratio(f"{bench.functions} rng by one batch", ns["batch"], at_most=4, **keys),
            Result.ratio("the same, one by one", ns["one-by-one"], **keys)]


def make_idle(ridge, names):
    """Functions that nobody has used, next to one that was there before."""
    with Control(ridge.socket) as control:
        return control.requests("function.create",
                                [{"type": "rng", "name": name, "pf": "many"} for name in names])


def memory(bench):
    """What one more idle function takes: PSS of all processes, by many of them."""
    names = [f"f{i}" for i in range(bench.functions)]
    grown = []
    for _ in range(min(bench.rounds, 3)):
        with ridged(bench) as ridge:
            ridge("pf", "add", "many", "type=rng", f"max_vfs={bench.functions + 1}")
            make_idle(ridge, ["first"])
            before = pss(ridge.processes())
            make_idle(ridge, names)
            grown.append((pss(ridge.processes()) - before) / 1024 / len(names))
    return [Result(f"an idle function, of {len(names)}", grown, unit="KiB", at_most=32)]


def idle(bench):
    """Many functions that nobody uses: no processor time; and each of them answers."""
    names = [f"f{i}" for i in range(bench.functions)]
    seconds = 10 if bench.seconds >= 0.1 else 1
    with ridged(bench) as ridge:
        ridge("pf", "add", "many", "type=rng", f"max_vfs={bench.functions}")
        made = make_idle(ridge, names)
        time.sleep(1.5)  # what the last request left to be done later
        pids = ridge.processes()
        before = cpu(pids)
        time.sleep(seconds)
        ran, switches, ticks = (b - a for a, b in zip(before, cpu(pids)))
        answers = 0
        for function in made:
            vmm = Vmm(function["socket"])
            answers += vmm.read_config(0, 4) == MODERN_ID
            vmm.close()
    what = f"{len(names)} functions, {seconds} s"
    return [Result(f"{what}: on a CPU", [ran / 1e6], unit="ms", at_most=0),
            Result(f"{what}: clock ticks", [ticks], unit="", at_most=0),
            Result(f"{what}: switches", [switches], unit="", at_most=0),
            Result("of them answer a VMM", [answers], unit="", at_least=len(names))]


def switch(bench):
    """Frames between two functions of a switch, against a Linux bridge with two TAPs."""
    with ridged(bench) as ridge:
        sockets = [ridge("create", "net", f"n{i}", "mac=" + mac, "queue_size=1024")["socket"]
                   for i, mac in enumerate(MACS)]
        rates = bench.program("bench-switch", *sockets, *MACS, ridge=ridge)
    return [Result.ratio(load, rates["ridge " + load], rates["bridge " + load], value_unit="/s",
                         peer_name="bridge and TAPs")
            for load in ("64 bytes", "1514 bytes", "64 KiB")]


def needs_root(case):
    """Why a case cannot run here, or None."""
    if case is switch and os.geteuid() != 0:
        return "the bridge needs root"
    if case is switch and subprocess.run(["test", "-c", "/dev/net/tun"], check=False).returncode:
        return "the bridge needs /dev/net/tun"
    if case is linux_host:
        try:
            environment()
            built_kernel()
        except GuestError as error:
            return str(error)
    return None


CASES = {case.__name__: case for case in (read, blk, create, batch, memory, idle, switch,
                                            linux_host)}
