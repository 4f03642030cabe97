#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""./run demo: a Linux guest on functions that one command each made.

Every line is something that has happened, with the time it took; the table at the end is what
was made, in the guest's own words. What is not as it should be is said, and the demo fails.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))

from guest import Guest, GuestError, environment  # noqa: E402
from helpers import (VIRTIO_VENDOR, guest_sha256, hwrngs, looks_random, modern_id,  # noqa: E402
                     random_bytes, read_file_from_image, sha256, transitional_id,
                     write_file_in_guest)
from ridge import Ridge, RidgeError, listening  # noqa: E402

WIDTH = 80
DISK_SIZE = 32 << 20

OLD = ("driver=virtio-vfio-pci", "legacy=only")
NEW = ("driver=vfio-pci",)


class Function:
    """A function to be made, and what is found out about it."""

    def __init__(self, kind, name, way, image=None):
        self.kind = kind
        self.name = name
        self.way = way
        self.image = image
        self.legacy = way is OLD
        self.made = None
        self.pci = None
        self.listening_ms = None
        self.words = {}  # the guest's rows of the table

    def command(self):
        disk = [f"image={self.image}"] if self.image else []
        return ["create", self.kind, self.name, *disk, *self.way]

    def path(self, directory):
        return os.path.join(directory, self.image)


class Demo:
    def __init__(self, directory):
        self.directory = directory
        self.wrong = []
        self.functions = [
            Function("blk", "old-disk", OLD, "old.img"),
            Function("rng", "old-rng", OLD),
            Function("blk", "new-disk", NEW, "new.img"),
            Function("rng", "new-rng", NEW),
        ]

    def check(self, right, what):
        """Notes what is not as it should be; whether it is."""
        if not right:
            self.wrong.append(what)
            print(f"  NOT AS IT SHOULD BE: {what}", flush=True)
        return right

    @contextlib.contextmanager
    def step(self, text):
        """One line: what is done, then how long it took."""
        print(f"  {text:{WIDTH - 10}}", end="", flush=True)
        begin = time.monotonic()
        yield
        print(f"{format_time(time.monotonic() - begin):>8}", flush=True)

    def run(self):
        print("\nPCI functions on demand, and an unmodified Linux guest that uses them")
        print(f"(in {self.directory}, which is removed at the end)\n")
        for function in self.functions:
            if function.image:
                with open(function.path(self.directory), "wb") as image:
                    image.write(os.urandom(DISK_SIZE))
        ridge = Ridge(self.directory)
        ridge.cwd = self.directory
        try:
            with self.step(f"ridged --runtime-dir {os.path.relpath(ridge.runtime, ridge.cwd)}"):
                ridge.start()
            for function in self.functions:
                self.create(ridge, function)
            guest = Guest(self.directory,
                          [ridge.device(function.name) for function in self.functions])
            with guest:
                self.use(guest)
            for function in self.functions:
                self.count(ridge, function)
            with self.step("ridge shutdown: no process and no socket is left"):
                ridge.shutdown()
        finally:
            ridge.clean_up()
        self.table()

    def create(self, ridge, function):
        print("  ridge " + " ".join(function.command()), flush=True)
        begin = time.monotonic()
        function.made = ridge(*function.command())
        function.listening_ms = (time.monotonic() - begin) * 1000
        path = function.made["socket"]
        self.check(listening(path), f"{function.name}: nothing listens on {path}")
        line = f"-> {function.made['rid']} of {function.made['pf']}, listening on " + \
            os.path.relpath(path, self.directory)
        print(f"     {line:{WIDTH - 13}}{format_time(function.listening_ms / 1000):>8}", flush=True)

    def use(self, guest):
        qemu, linux = environment()
        with self.step(f"boot of {version(linux)} under {version(os.path.dirname(qemu))}"):
            guest.boot()
        for index, function in enumerate(self.functions):
            self.look(function, guest.pci(index))

        disks = [function for function in self.functions if function.kind == "blk"]
        with self.step(f"the guest reads its disks: {len(disks)} of {DISK_SIZE >> 20} MiB, whole"):
            read = [guest_sha256(guest, disk.pci["block"]) for disk in disks]
        for disk, checksum in zip(disks, read):
            same = self.check(checksum == sha256(disk.path(self.directory)),
                              f"{disk.name}: the guest's sha256 is not the host's")
            disk.words["disk sha256"] = f"{checksum[:8]} {'=' if same else '!='} host"

        with self.step("the guest makes a filesystem on each and writes a file"):
            for disk in disks:
                write_file_in_guest(guest, disk.pci["block"], "hello", f"hello from {disk.name}")
        with self.step("the host looks for the files in the images"):
            found = [read_file_from_image(disk.path(self.directory), "hello") for disk in disks]
        for disk, text in zip(disks, found):
            same = self.check(text == f"hello from {disk.name}",
                              f"{disk.name}: the file in the image is {text!r}")
            disk.words["file written"] = "found in image" if same else "NOT in image"

        rngs = [function for function in self.functions if function.kind == "rng"]
        with self.step("the guest reads random bytes: 4 KiB from each generator"):
            names = hwrngs(guest)
            data = [random_bytes(guest, name) for name in names]
        # the kernel numbers them in the order it finds them: that of their slots
        self.check(len(data) == len(rngs), f"the guest has {len(data)} virtio generators: {names}")
        for rng, octets in zip(rngs, data):
            self.check(looks_random(octets), f"{rng.name}: {octets[:16].hex()}... is not random")
            rng.words["random bytes"] = octets[:5].hex(" ")

        with self.step("the guest powers off"):
            status = guest.poweroff()
        self.check(status == 0, f"QEMU ended with status {status}: {guest.stderr()}")

    def look(self, function, pci):
        """The guest's words for a function, against what it should be."""
        wanted = transitional_id(function.kind) if function.legacy else modern_id(function.kind)
        self.check((pci["vendor"], pci["device"]) == (VIRTIO_VENDOR, wanted),
                   f"{function.name}: PCI id {pci['device']:04x} instead of {wanted:04x}")
        self.check(pci["driver"] == "virtio-pci",
                   f"{function.name}: PCI driver {pci['driver']!r} instead of virtio-pci")
        self.check(pci["virtio"] == f"virtio_{function.kind}",
                   f"{function.name}: virtio driver {pci['virtio']!r}")
        self.check(pci["legacy"] == function.legacy,
                   f"{function.name}: transport is {'legacy' if pci['legacy'] else 'modern'}")
        self.check(function.kind != "blk" or pci["block"], f"{function.name}: no disk in /dev")
        function.pci = pci
        function.words["PCI id"] = f"{pci['vendor']:04x}:{pci['device']:04x} rev {pci['revision']}"
        function.words["drivers"] = f"{pci['driver']},"
        function.words[""] = pci["virtio"]
        function.words["transport"] = "legacy, I/O BAR" if pci["legacy"] else "modern"

    def count(self, ridge, function):
        counters = ridge("show", function.name)["counters"]
        relayed = counters["admin_commands"]
        self.check((relayed > 0) == function.legacy,
                   f"{function.name}: {relayed} register commands were relayed")
        function.words["I/O relayed"] = f"{relayed} commands" if relayed else ""

    def table(self):
        def row(label, values):
            print(("  " + f"{label:13}" + "".join(f"{value:16}" for value in values)).rstrip())

        print("\nWhat was made")
        row("name", [function.name for function in self.functions])
        row("type", [function.kind for function in self.functions])
        row("RID", [function.made["rid"] for function in self.functions])
        row("driver", [function.made["driver"] for function in self.functions])
        row("", ["legacy=only" if function.legacy else "" for function in self.functions])
        row("listening in", [format_time(function.listening_ms / 1000)
                             for function in self.functions])
        print("What the guest's kernel says of it")
        for label in ("PCI id", "drivers", "", "transport", "I/O relayed", "disk sha256",
                      "file written", "random bytes"):
            row(label, [function.words.get(label, "") for function in self.functions])
        print("""
'listening in' is the time of `ridge create`, at whose end the socket listens;
the first function of a type makes a PF, too. 'I/O relayed' is how many of the
guest's inb and outb became commands on the PF's admin virtqueue; kicks bypass it.
""")


def format_time(seconds):
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def version(directory):
    """What tests/guest/setup wrote down, or for somebody's own QEMU just that."""
    try:
        with open(os.path.join(directory, "version"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "QEMU"


def main():
    begin = time.monotonic()
    directory = tempfile.mkdtemp(prefix="ridge-", dir="/tmp")
    demo = Demo(directory)
    try:
        demo.run()
    except (AssertionError, GuestError, OSError, RidgeError, subprocess.SubprocessError) as error:
        demo.wrong.append(str(error))
        print(f"\n  {error}")
    except KeyboardInterrupt:
        demo.wrong.append("interrupted")
        print()
    if demo.wrong:
        log = os.path.join(directory, "ridged.log")
        if os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as file:
                print("\nThe end of ridged's log:", *file.readlines()[-20:], sep="\n  ")
        print("\nNot as it should be:", *demo.wrong, sep="\n  ")
    shutil.rmtree(directory, ignore_errors=True)
    print(f"{len(demo.functions)} functions, {time.monotonic() - begin:.1f} s in all")
    print("demo: failed" if demo.wrong else "demo: ok")
    return 1 if demo.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
