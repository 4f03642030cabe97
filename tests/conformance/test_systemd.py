# SPDX-License-Identifier: BSD-3-Clause
"""The units in systemd/, and ridged as they run it."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess

import pytest

from control import BUILD, TIMEOUT, Connection, Daemon, ROOT, wait_until
from vfio_user import Client

UNITS = os.path.join(ROOT, "systemd")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def service(bindir):
    with open(os.path.join(UNITS, "ridged.service.in"), encoding="utf-8") as file:
        return file.read().replace("@bindir@", bindir)


def setting(unit, key):
    return " ".join(re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)).split()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_units_verify(tmp_path):
    unit = tmp_path / "ridged.service"
    unit.write_text(service(os.path.abspath(BUILD)))
    shutil.copy(os.path.join(UNITS, "ridged.socket"), tmp_path)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit),
                           str(tmp_path / "ridged.socket")], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0 and str(tmp_path) not in done.stderr, done.stderr
    # That it would have said something.
    unit.write_text(service("/nonexistent").replace("KillMode=process", "KillMode=nothing"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert "kill mode" in done.stderr and "/nonexistent/ridged" in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="no systemd-sysusers")
def test_group_is_made(tmp_path):
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}",
                    os.path.join(UNITS, "ridge.sysusers")], check=True, capture_output=True,
                   timeout=60)
    assert re.search("^ridge:", (tmp_path / "etc" / "group").read_text(), re.MULTILINE)
    assert "SocketGroup=ridge" in open(os.path.join(UNITS, "ridged.socket"),
                                       encoding="utf-8").read()


def bits(names):
    header = open("/usr/include/linux/capability.h", encoding="utf-8").read()
    return sum(1 << int(re.search(rf"^#define {name}\s+(\d+)", header, re.MULTILINE)[1])
               for name in names)


@needs_root
@pytest.mark.skipif(not os.path.exists("/usr/include/linux/capability.h"), reason="no headers")
def test_capabilities_are_those_of_the_unit():
    """What ridged keeps is what the unit gives, and is enough; see also test_control_net.py."""
    with Daemon(fake=False) as daemon:
        with open(f"/proc/{daemon.process.pid}/status", encoding="utf-8") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines())
        allowed = bits(setting(service(""), "CapabilityBoundingSet"))
        for kind in ("CapBnd", "CapPrm", "CapEff"):
            assert int(status[kind], 16) & ~allowed == 0, kind
        with open("/proc/self/status", encoding="utf-8") as file:
            ours = dict(line.split(":\t", 1) for line in file.read().splitlines())
        assert int(status["CapEff"], 16) == allowed & int(ours["CapEff"], 16)
        assert int(status["CapInh"], 16) == 0 and status["NoNewPrivs"] == "1"


class Manager:
    """What systemd does: holds the socket, starts ridged when somebody connects, hears READY=1."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.path = os.path.join(daemon.directory, "control.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(512)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(daemon.directory, "notify"))
        self.notify.settimeout(TIMEOUT)
        unit = service("")
        self.prefix = []
        if os.geteuid() == 0:
            names = [cap[4:].lower() for cap in setting(unit, "CapabilityBoundingSet")]
            self.prefix = ["setpriv", "--no-new-privs", "--bounding-set",
                           "-all," + ",".join("+" + name for name in names)]
        self.arguments = setting(unit, "ExecStart")[1:]
        assert self.arguments == ["--runtime-dir", "/run/ridge", "--group", "ridge"]

    def activate(self):
        """Waits for a client, starts ridged for it, and waits until that is ready."""
        assert select.select([self.listener], [], [], TIMEOUT)[0]
        program = ("import os, sys\n"
                   f"os.dup2({self.listener.fileno()}, 3)\n"
                   "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()),\n"
                   "                  LISTEN_FDNAMES='ridged.socket')\n"
                   "os.execvp(sys.argv[1], sys.argv[1:])\n")
        with open(self.daemon.log_path, "ab") as log:
            self.daemon.process = subprocess.Popen(
                ["/usr/bin/python3", "-c", program, *self.prefix, os.path.join(BUILD, "ridged"),
                 "--runtime-dir", self.daemon.runtime, "--group", "0"],
                pass_fds=[self.listener.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log,
                env=dict(self.daemon.environment,
                         NOTIFY_SOCKET=os.path.join(self.daemon.directory, "notify")))
        assert "READY=1" in self.notify.recv(4096).decode().splitlines()

    def connect(self):
        return Connection(self.path)

    def close(self):
        self.listener.close()
        self.notify.close()


def test_as_the_units_run_it():
    """Started by a connection, stopped with KillMode=process, started again: VMMs go on."""
    daemon = Daemon(fake=False)
    daemon.path = os.path.join(daemon.directory, "control.sock")
    manager = Manager(daemon)
    pids = set()
    try:
        with manager.connect() as first:
            call = first.start("function.create", type="rng", name="r", driver="vfio-pci")
            manager.activate()
            made = first.finish(call)
        daemon.pids |= {made["pid"]}
        with Client(made["socket"]) as vmm:
            for signum in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
                pids.add(daemon.process.pid)
                daemon.process.send_signal(signum)
                status = daemon.process.wait(TIMEOUT)
                daemon.process.stdout.close()
                assert status == (0 if signum == signal.SIGTERM else -signum)
                assert os.path.exists(manager.path), "it is systemd's"
                assert vmm.config_read(0, 2) == 0x1AF4, "the device does not notice"
                with manager.connect() as again:
                    call = again.start("function.show", name="r")
                    manager.activate()
                    shown = again.finish(call)
                assert shown["pid"] == made["pid"] and shown["state"] == "connected"
                assert daemon.process.pid not in pids
        wait_until(lambda: daemon("function.show", name="r")["state"] == "idle")
    finally:
        daemon.close()
        manager.close()
