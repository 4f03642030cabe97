# SPDX-License-Identifier: BSD-3-Clause
"""`./run linux-host`, as somebody at a terminal has it: the shell, what its greeting says to try,
and its two ends."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from guest import BOOT_TIMEOUT, COMMAND_TIMEOUT
from ridge import ROOT, Ridge, build_directory

PROGRAM = os.path.join(ROOT, "demo", "linux_host.py")
ROWS, COLUMNS = 37, 201  # wide: no command of these wraps
PROMPT = b"linux-host# "


class Terminal:
    """A terminal of its own, and the program in it."""

    def __init__(self, *argv):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ["RIDGE_BUILD"] = build_directory()
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("<4H", ROWS, COLUMNS, 0, 0))
            os.execv(sys.executable, [sys.executable, PROGRAM, *argv])

    def expect(self, pattern, timeout=COMMAND_TIMEOUT):
        """Waits until the program has written what the pattern is; the match."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], \
                f"no {pattern} in {self.seen.decode(errors='replace')}"
            self.read()
        self.seen = self.seen[match.end():]
        return match

    def read(self):
        try:
            self.seen += os.read(self.fd, 4096)
        except OSError:  # nobody has the other end any more
            pytest.fail(f"it ended: {self.seen.decode(errors='replace')}")

    def type(self, text):
        os.write(self.fd, text.encode())

    def run(self, command):
        """At a prompt: what a command prints, which must succeed. To the next prompt."""
        self.type(f"{command}; echo @@$?@@\r")
        self.expect(rb"echo @@\$\?@@\r+\n")
        match = self.expect(rb"(?s)(.*?)@@(\d+)@@\r+\n" + PROMPT)
        assert match[2] == b"0", match[1].decode()
        return match[1].decode().replace("\r", "").strip()

    def ended(self):
        """Its exit status; None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def end(self, timeout=30):
        """Waits until it has ended; its exit status. What it still writes is read."""
        deadline = time.monotonic() + timeout
        while (status := self.ended()) is None:
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.05)
            with contextlib.suppress(OSError):
                if self.fd is not None and select.select([self.fd], [], [], 0)[0]:
                    os.read(self.fd, 4096)
        self.pid = None
        return status

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            self.end()
        if self.fd is not None:
            os.close(self.fd)


@pytest.fixture
def open_terminal():
    terminals = []

    def make(*argv):
        terminals.append(Terminal(*argv))
        return terminals[-1]

    yield make
    for terminal in terminals:
        terminal.close()


def greeted(terminal):
    """Waits for the first prompt; the runtime directory of its ridged."""
    greeting = terminal.expect(rb"(?s).*?" + PROMPT, BOOT_TIMEOUT + COMMAND_TIMEOUT)[0].decode()
    runtime = re.search(r"RIDGE_RUNTIME_DIR=(\S+)", greeting)[1]
    assert os.path.isdir(runtime)
    return runtime


def test_a_shell_in_a_linux_host(open_terminal):
    terminal = open_terminal("net", "max_vfs=9")
    runtime = greeted(terminal)
    assert terminal.run("stty size") == f"{ROWS} {COLUMNS}"
    # What the greeting says.
    pf = "/sys/bus/pci/devices/10000:00:00.0"
    assert terminal.run(f"cat {pf}/sriov_totalvfs") == "9"
    assert "10000:00:00.0" in terminal.run("dmesg | grep -e vmd -e 10000")
    terminal.run(f"echo 4 >{pf}/sriov_numvfs")
    assert terminal.run("ls /sys/class/net | grep -c eth") == "5"
    terminal.run(f"echo 0 >{pf}/sriov_numvfs")
    vfs = "10000:01:00.0 10000:01:00.1"
    assert vfs.split()[1] in terminal.run(f"ridge host adopt {vfs} virtio-vfio-pci")
    assert terminal.run("ls /dev/vfio/devices").split() == ["noiommu-vfio0", "noiommu-vfio1"]
    terminal.run(f"ridge host release {vfs}")
    # In another terminal, and here.
    ridge = [os.path.join(build_directory(), "ridge"), "create", "net", "extra", "pf=pf",
             "driver=none"]
    subprocess.run(ridge, env=dict(os.environ, RIDGE_RUNTIME_DIR=runtime), check=True)
    assert "10000:00:01.0" in terminal.run("ridge host adopt 10000:00:01.0 vfio-pci")
    # ^C is the shell's.
    terminal.type("echo began; sleep 1000\r")
    terminal.expect(rb"1000\r+\nbegan\r+\n")
    terminal.type("\x03")
    terminal.expect(PROMPT)
    terminal.type("exit\r")
    assert terminal.end() == 0
    assert not os.path.exists(runtime)


def test_a_terminal_that_is_closed(open_terminal):
    """Nothing is left: no ridged, no PF, no guest, no file."""
    terminal = open_terminal("rng")
    runtime = greeted(terminal)
    ridge = Ridge(os.path.dirname(runtime))
    assert len(ridge.processes()) == 2
    os.close(terminal.fd)
    terminal.fd = None
    assert terminal.end() != 0
    assert not ridge.processes() and not os.path.exists(ridge.directory)


@pytest.mark.parametrize("argv", [("disk",), ("net", "max_vfs")])
def test_usage(argv):
    done = subprocess.run([sys.executable, PROGRAM, *argv], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("usage: ./run linux-host [net|blk|rng] [KEY=VALUE ...]")
