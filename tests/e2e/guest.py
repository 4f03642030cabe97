# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest under QEMU, for tests and the demo.

Theory of operation: QEMU runs the kernel and initramfs that tests/guest/setup made. Their init
serves commands on the serial line (tests/guest/init says how); QEMU's standard input and output
are that line. A thread reads it into a buffer and a log file, and whoever waits for an answer
looks for its "@@end N STATUS" in the buffer. QMP is there for what the guest can't do to itself.

    with Guest(directory, devices=["..."]) as guest:
        guest.boot()
        print(guest.sh("cat /proc/cmdline"))
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SETUP = os.path.join(HERE, "..", "guest", "setup")

# The first of the slots on q35's root bus where functions go, in the order they are given.
FIRST_SLOT = 0x10

# The trace events that bar_events() reads.
BAR_TRACE = ("vfio_region_read", "vfio_region_write", "vfio_intx_enable", "vfio_intx_disable",
             "vfio_msix_enable", "vfio_msix_disable")

# What a boot on an emulated CPU spends a quarter of its time on, and nobody here needs.
KERNEL_OPTIONS = "quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check " \
                 "cryptomgr.notests"

# 2 cores shared with a build can make an emulated guest many times slower than its 6 s.
BOOT_TIMEOUT = float(os.environ.get("RIDGE_BOOT_TIMEOUT", "90"))
COMMAND_TIMEOUT = float(os.environ.get("RIDGE_COMMAND_TIMEOUT", "60"))


class GuestError(Exception):
    """The guest or its QEMU did not do what was asked."""


def environment():
    """RIDGE_QEMU and RIDGE_GUEST, as ./run exports them or as tests/guest/setup finds them."""
    if "RIDGE_QEMU" not in os.environ or "RIDGE_GUEST" not in os.environ:
        found = subprocess.run([SETUP, "env"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, check=False)
        if found.returncode != 0:
            raise GuestError(found.stderr.strip())
        os.environ.update(line.split("=", 1) for line in found.stdout.splitlines())
    return os.environ["RIDGE_QEMU"], os.environ["RIDGE_GUEST"]


def built_kernel():
    """RIDGE_KERNEL: the folder of the kernel that tests/guest/make-kernel made."""
    if "RIDGE_KERNEL" not in os.environ:
        found = subprocess.run([SETUP, "env"], stdout=subprocess.PIPE, text=True, check=False)
        os.environ.update(line.split("=", 1) for line in found.stdout.splitlines())
    if "RIDGE_KERNEL" not in os.environ:
        raise GuestError("there is no built kernel: run ./run setup")
    return os.environ["RIDGE_KERNEL"]


def cpio(files):
    """A newc archive of files {path: bytes} and their folders, to append to an initramfs."""
    out = bytearray()
    folders = set()

    def add(name, mode, data):
        raw = name.encode() + b"\0"
        fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        out.extend(b"070701" + b"".join(b"%08x" % field for field in fields) + raw)
        out.extend(b"\0" * (-len(out) % 4))
        out.extend(data)
        out.extend(b"\0" * (-len(out) % 4))

    for path, data in files.items():
        path = path.lstrip("/")
        parts = path.split("/")[:-1]
        for folder in ("/".join(parts[:n]) for n in range(1, len(parts) + 1)):
            if folder not in folders:
                folders.add(folder)
                add(folder, 0o40755, b"")
        add(path, 0o100755, data)
    add("TRAILER!!!", 0, b"")
    return bytes(out)


def with_libraries(path, program):
    """{path: bytes} of a program and the shared libraries that it needs, for files=."""
    needed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True, check=False).stdout  # it fails for a static one
    files = {path: program}
    files.update((name, name) for name in re.findall(r"(/\S+) \(0x", needed))
    contents = {}
    for where, name in files.items():
        with open(name, "rb") as file:
            contents[where] = file.read()
    return contents


class Guest:
    """One QEMU process and the Linux in it.

    directory  for its log, sockets and initramfs; short, as a socket's path has 108 bytes
    devices    each the JSON object of one -device; they get slots of their own from FIRST_SLOT
    hardware   each the JSON object of one more -device, as it is; they come first
    append     more for the kernel command line
    reboot     False: a reboot in the guest ends QEMU (-no-reboot)
    user       (uid, gid) to run QEMU as, None for our own
    files      {path: bytes or str} to add to the initramfs; "/script" runs instead of the
               command server, and the guest powers off at its end
    trace      QEMU trace events to write to self.trace_log
    memory     the guest's memory, and with memory_backend a QEMU object of that size for it
    cpus       how many
    kernel     True: Debian's; "built": the one of make-kernel; False: no Linux, only the BIOS,
               which reads the boot sector of its disk
    """

    def __init__(self, directory, devices=(), *, hardware=(), append="", reboot=False, user=None,
                 files=None, trace=(), memory="256M",
                 memory_backend="memory-backend-memfd,share=on", cpus=1, kernel=True,
                 name="guest"):
        self.name = name
        self.directory = directory
        self.serial_log = os.path.join(directory, f"{name}.serial.log")
        self.qemu_log = os.path.join(directory, f"{name}.qemu.log")
        self.trace_log = os.path.join(directory, f"{name}.trace.log")
        self.qmp_path = os.path.join(directory, f"{name}.qmp")
        self.process = None
        self._buffer = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._reader = None
        self._sequence = 0
        self._seen_ready = 0
        self._qmp = None

        qemu, guest = environment()
        initrd = os.path.join(guest, "initrd")
        vmlinuz = os.path.join(guest, "vmlinuz")
        files = dict(files or {})
        if kernel == "built":
            vmlinuz = os.path.join(built_kernel(), "vmlinuz")
            files.setdefault("/modules/order", "")  # the initramfs is for both kernels
        if files:
            files = {path: data.encode() if isinstance(data, str) else data
                     for path, data in files.items()}
            combined = os.path.join(directory, f"{name}.initrd")
            shutil.copyfile(initrd, combined)
            with open(combined, "ab") as out:
                out.write(cpio(files))
            initrd = combined
        self.argv = [
            qemu, "-nodefaults", "-nographic",
            "-machine", "q35,memory-backend=mem", "-accel", "tcg", "-cpu", "qemu64",
            "-smp", str(cpus), "-m", memory, "-object", f"{memory_backend},id=mem,size={memory}",
            "-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
        ]
        if kernel:
            self.argv += ["-kernel", vmlinuz, "-initrd", initrd,
                          "-append", f"console=ttyS0 {KERNEL_OPTIONS} {append}".strip()]
        if trace:
            self.argv += ["-D", self.trace_log]
        for event in trace:
            self.argv += ["-trace", event]
        if not reboot:
            self.argv.append("-no-reboot")
        self.devices = [dict(device, addr="%02x.0" % (FIRST_SLOT + index))
                        for index, device in enumerate(devices)]
        for device in [*hardware, *self.devices]:
            self.argv += ["-device", json.dumps(device)]

        # QEMU must not outlive us, whatever ends us.
        launcher = ["setpriv", "--pdeathsig", "KILL"]
        if user:
            launcher += [f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"]
            os.chown(directory, user[0], user[1])
        self.argv = launcher + self.argv

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    # QEMU, from outside

    def start(self):
        """Starts QEMU and returns at once."""
        with open(self.qemu_log, "wb") as log:
            # setpriv and the wrapper of the cache's QEMU exec: this pid becomes QEMU's
            self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log)
        self._reader = threading.Thread(target=self._read_serial, daemon=True)
        self._reader.start()

    def boot(self, timeout=BOOT_TIMEOUT):
        """Starts QEMU and waits until the guest takes commands; the seconds that took."""
        begin = time.monotonic()
        self.start()
        self.wait_ready(timeout)
        return time.monotonic() - begin

    @property
    def pid(self):
        return self.process.pid

    def kill(self, signum=signal.SIGKILL):
        """Ends QEMU as kill(1) would; its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self._reap(10)

    def wait(self, timeout=COMMAND_TIMEOUT):
        """Waits for QEMU to exit by itself; its exit status."""
        try:
            return self._reap(timeout)
        except subprocess.TimeoutExpired:
            raise GuestError(f"{self.name}: QEMU has not exited after {timeout:.0f} s\n"
                             + self.tail()) from None

    def poweroff(self):
        """Powers the guest off from inside; QEMU's exit status."""
        self.send("poweroff -f")
        return self.wait()

    def _reap(self, timeout):
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        with contextlib.suppress(BrokenPipeError):  # what it has not read
            self.process.stdin.close()
        self.process.stdout.close()
        if self._qmp:
            self._qmp.close()
            self._qmp = None
        return status

    def qmp(self, command, **arguments):
        """One QMP command; what it returns."""
        if self._qmp is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(10)
            connection.connect(self.qmp_path)
            self._qmp = connection.makefile("rw")
            connection.close()  # the file object holds the descriptor
            json.loads(self._qmp.readline())
            self.qmp("qmp_capabilities")
        self._qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._qmp.flush()
        while True:
            answer = json.loads(self._qmp.readline())
            if "error" in answer:
                raise GuestError(f"QMP {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def stderr(self):
        """What QEMU itself has said."""
        with open(self.qemu_log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def bar_events(self, index, bar):
        """What QEMU did with a BAR of the function in slot index, in order: tuples of

        "read" or "write", offset, size
        "intx" or "msix", whether it is enabled

        From QEMU's own trace, so it takes trace=BAR_TRACE.
        """
        name = re.escape("vfio-user:" + self.devices[index]["socket"]["path"])
        access = re.compile(r"vfio_region_(read|write)\s+\(%s:region%d\+0x([0-9a-f]+), "
                            r"(?:0x[0-9a-f]+, )?(\d+)\)" % (name, bar))
        switch = re.compile(r"vfio_(intx|msix)_(enable|disable)\s+\(%s\)" % name)
        events = []
        with open(self.trace_log, encoding="utf-8", errors="replace") as log:
            for line in log:
                if match := access.search(line):
                    events.append((match[1], int(match[2], 16), int(match[3])))
                elif match := switch.search(line):
                    events.append((match[1], match[2] == "enable"))
        return events

    # the serial line

    def _read_serial(self):
        with open(self.serial_log, "wb", buffering=0) as log:
            while True:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    break
                log.write(data)
                with self._changed:
                    self._buffer.extend(data)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait_for(self, find, what, timeout):
        """Waits until find(buffer) is not None and returns that."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = find(self._buffer)
                if found is not None:
                    return found
                left = deadline - time.monotonic()
                if self._ended:
                    raise GuestError(f"{self.name}: QEMU ended before {what}\n" + self.tail())
                if left <= 0:
                    raise GuestError(f"{self.name}: no {what} after {timeout:.0f} s\n"
                                     + self.tail())
                self._changed.wait(left)

    def wait_ready(self, timeout=BOOT_TIMEOUT):
        """Waits for the command server: once after start(), once more after each reboot."""
        self._seen_ready += 1
        self._wait_for(lambda buffer: True if buffer.count(b"@@ready\n") >= self._seen_ready
                       else None, "command server (boot)", timeout)

    def send(self, command):
        """Has the guest run shell commands, without waiting; a token for result()."""
        self._sequence += 1
        try:
            self.process.stdin.write(f"{command}\n@@run {self._sequence}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise GuestError(f"{self.name}: QEMU has ended\n" + self.tail()) from None
        with self._changed:
            return self._sequence, len(self._buffer), command

    def result(self, token, timeout=COMMAND_TIMEOUT):
        """(exit status, output) of what send() started."""
        number, start, command = token
        pattern = re.compile(rb"@@end %d (\d+)\n" % number)
        end = self._wait_for(lambda buffer: pattern.search(buffer, start),
                             f"answer to {command!r}", timeout)
        with self._changed:
            output = bytes(self._buffer[start:end.start()])
        return int(end[1]), output.decode(errors="replace")

    def sh(self, command, timeout=COMMAND_TIMEOUT):
        """Runs shell commands in the guest; their output. A status other than 0 is an error."""
        status, output = self.result(self.send(command), timeout)
        if status != 0:
            raise GuestError(f"{self.name}: {command!r} gave status {status}: {output}")
        return output

    def tail(self, lines=20):
        """The last lines of the serial line and of QEMU, for a message."""
        serial = self._buffer.decode(errors="replace").splitlines()[-lines:]
        return "\n".join(["--- serial:", *serial, "--- QEMU:", *self.stderr().splitlines()[-lines:]])

    # what the guest says about a device

    def pci(self, index):
        """What the guest's Linux made of the function in slot index (or at an address like
        "01:00.0"): a dict of

        vendor, device, subsystem_vendor, subsystem_device, revision, class  numbers
        driver         the PCI driver that bound, "" for none
        io_bar         whether BAR 0 is an I/O BAR with an address
        interrupts     how many MSI-X vectors are in use (0: INTx or none)
        virtio         the driver on the virtio bus, "" for none
        features       negotiated virtio features, a number
        legacy         whether virtio_pci runs it in legacy mode (no VERSION_1, bit 32)
        block          the disk's name in /dev, "" for none
        """
        address = index if isinstance(index, str) else f"00:{FIRST_SLOT + index:02x}.0"
        text = self.sh(f"""
            cd /sys/bus/pci/devices/0000:{address} || exit 1
            for file in vendor device subsystem_vendor subsystem_device revision class; do
                echo $file $(cat $file)
            done
            echo driver $(basename $(readlink driver) 2>/dev/null)
            echo resource $(head -n 1 resource)
            echo interrupts $(ls msi_irqs 2>/dev/null | wc -l)
            echo virtio $(basename $(readlink virtio*/driver) 2>/dev/null)
            echo features $(cat virtio*/features 2>/dev/null)
            echo block $(ls virtio*/block 2>/dev/null)""")
        words = {name: rest for name, _, rest in
                 (line.strip().partition(" ") for line in text.splitlines())}
        found = {name: int(words[name], 16) for name in
                 ("vendor", "device", "subsystem_vendor", "subsystem_device", "revision", "class")}
        start, _, flags = (int(word, 16) for word in words["resource"].split())
        features = sum(1 << bit for bit, digit in enumerate(words["features"]) if digit == "1")
        found.update(driver=words["driver"], virtio=words["virtio"], block=words["block"],
                     interrupts=int(words["interrupts"]), features=features,
                     legacy=bool(words["virtio"]) and not features >> 32 & 1,
                     io_bar=bool(flags & 0x100) and start != 0)  # IORESOURCE_IO
        return found

    def interrupts(self):
        """/proc/interrupts of device interrupts: [(count, controller, actions)]."""
        found = []
        for line in self.sh("cat /proc/interrupts").splitlines():
            match = re.match(r"\s*\d+:\s+(\d+)\s+(\S+)\s+\S+\s*(.*)", line)
            if match:
                found.append((int(match[1]), match[2], match[3]))
        return found
