# SPDX-License-Identifier: BSD-3-Clause
"""ridged and ridge from a build folder, for tests and the demo.

    with Ridge(directory) as ridge:
        disk = ridge("create", "blk", "disk0", "image=/tmp/image", "driver=vfio-pci")
        print(disk["socket"])

Leaving the block is `ridge shutdown`, and an error if a process or a socket is left after it.
"""

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import time

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
START_TIMEOUT = 20
STOP_TIMEOUT = 20


class RidgeError(Exception):
    """A ridge command failed: status is its exit status, answer what it said."""

    def __init__(self, argv, status, answer):
        super().__init__(f"ridge {shlex.join(argv)}: exit status {status}: {answer}")
        self.status = status
        self.answer = str(answer)


def build_directory():
    """Where the binaries are: $RIDGE_BUILD, else build-test/."""
    return os.path.join(ROOT, os.environ.get("RIDGE_BUILD", "build-test"))


def listening(path):
    """Whether some process listens on the Unix socket path, without connecting to it."""
    with open("/proc/net/unix", encoding="utf-8") as sockets:
        for line in sockets:
            words = line.split(maxsplit=7)
            # flags: __SO_ACCEPTCON
            if len(words) == 8 and words[7].rstrip("\n") == path and int(words[3], 16) & 0x10000:
                return True
    return False


def alive(pid):
    """Whether a process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Ridge:
    """A ridged of one's own, in a runtime directory of its own, and its command line."""

    def __init__(self, directory, build=None, launcher=()):
        self.launcher = list(launcher)  # a command to run ridged with
        self.build = build or build_directory()
        self.directory = directory
        self.runtime = os.path.join(directory, "run")
        self.log_path = os.path.join(directory, "ridged.log")
        self.socket = os.path.join(self.runtime, "ridged.sock")
        self.process = None
        self.cwd = None  # where ridge is run; ridged stays where it is
        self.environment = dict(os.environ, RIDGE_RUNTIME_DIR=self.runtime)
        self.environment.pop("NOTIFY_SOCKET", None)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.shutdown()

    # ridged

    def start(self):
        """Starts ridged and waits for its READY=1; the seconds that took."""
        notify_path = os.path.join(self.directory, "notify")
        if os.path.exists(notify_path):
            os.unlink(notify_path)
        begin = time.monotonic()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
                open(self.log_path, "ab") as log:
            notify.bind(notify_path)
            notify.settimeout(0.1)
            self.process = subprocess.Popen(
                [*self.launcher, os.path.join(self.build, "ridged"), "--runtime-dir", self.runtime],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(self.environment, NOTIFY_SOCKET=notify_path))
            while True:
                try:
                    if "READY=1" in notify.recv(4096).decode().splitlines():
                        break
                except socket.timeout:
                    pass
                if self.process.poll() is not None:
                    raise RidgeError(["(ridged)"], self.process.returncode, self.log())
                if time.monotonic() > begin + START_TIMEOUT:
                    self.process.kill()
                    self.process.wait()
                    raise RidgeError(["(ridged)"], "none, and no READY=1", self.log())
        os.unlink(notify_path)
        return time.monotonic() - begin

    def kill(self, signum=signal.SIGKILL):
        """Ends ridged alone; functions and guests go on. Its exit status."""
        self.process.send_signal(signum)
        return self.process.wait(STOP_TIMEOUT)

    def shutdown(self):
        """`ridge shutdown`, after which no process and no socket may be left."""
        try:
            if self.process is None:
                return
            if self.process.poll() is None:
                self("shutdown")
            try:
                status = self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                raise AssertionError("ridged runs on after `ridge shutdown`") from None
            deadline = time.monotonic() + STOP_TIMEOUT
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert status == 0, f"ridged ended with status {status} after `ridge shutdown`"
            assert not self.processes(), f"left after `ridge shutdown`: {self.processes()}"
            assert not self.sockets(), f"left after `ridge shutdown`: {self.sockets()}"
        finally:
            self.clean_up()

    def clean_up(self):
        """Ends by pid whatever of ours still runs, for a run that went wrong."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process is not None:
            self.process.wait(STOP_TIMEOUT)

    def processes(self):
        """{pid: command line} of what runs from our build folder for our runtime directory."""
        found = {}
        mark = os.fsencode(self.runtime)
        for name in os.listdir("/proc"):
            if not name.isdigit() or not alive(name):
                continue
            try:
                exe = os.readlink(f"/proc/{name}/exe")
                with open(f"/proc/{name}/environ", "rb") as file:
                    environ = file.read()
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    cmdline = file.read()
            except OSError:
                continue
            if exe.startswith(self.build + "/") and mark in environ + cmdline:
                found[int(name)] = cmdline.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def sockets(self):
        """Socket files in the runtime directory, and sockets bound or connected there."""
        found = [os.path.join(path, name) for path, _, names in os.walk(self.runtime)
                 for name in names if stat.S_ISSOCK(os.lstat(os.path.join(path, name)).st_mode)]
        with open("/proc/net/unix", encoding="utf-8") as sockets:
            found += [line.split()[-1] for line in sockets if self.runtime + "/" in line]
        return sorted(set(found))

    def log(self):
        """What ridged and its ridge-pf processes have said."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    # ridge

    def run(self, *argv, timeout=30):
        """Runs ridge as a person would: subprocess.CompletedProcess with text."""
        return subprocess.run([os.path.join(self.build, "ridge"), *argv], env=self.environment,
                              cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)

    def __call__(self, *argv, timeout=30):
        """`ridge -j ARGV...`: what its JSON says; RidgeError where it failed."""
        done = self.run("-j", *argv, timeout=timeout)
        if done.returncode != 0:
            raise RidgeError(argv, done.returncode, (done.stdout + done.stderr).strip())
        return json.loads(done.stdout) if done.stdout.strip() else None

    def device(self, name):
        """The object for Guest's devices=, out of what `ridge qemu-args` prints for a person."""
        done = self.run("qemu-args", name)
        if done.returncode != 0:
            raise RidgeError(["qemu-args", name], done.returncode, done.stderr.strip())
        # as a shell does with $(ridge qemu-args NAME): it splits words and knows no quotes there
        option, value = done.stdout.split()
        assert option == "-device", done.stdout
        return json.loads(value)

    def pf_pid(self, name):
        """The pid of the ridge-pf that has a function."""
        pf = self("show", name)["pf"]
        (pid,) = [item["pid"] for item in self("pf", "list") if item["name"] == pf]
        return pid

    def wait_for(self, name, wanted, timeout=10):
        """Waits until wanted(`ridge show NAME`) is true; that object."""
        deadline = time.monotonic() + timeout
        while True:
            shown = self("show", name)
            if wanted(shown):
                return shown
            assert time.monotonic() < deadline, f"after {timeout} s {name} is still {shown}"
            time.sleep(0.02)
