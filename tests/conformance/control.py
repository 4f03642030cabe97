# SPDX-License-Identifier: BSD-3-Clause
"""ridged as its clients see it: a daemon to start, kill and start again, and raw connections.

The PF process is the fake of tests/unit/fake_pf.py unless a test asks for the real one.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("RIDGE_BUILD", "build-test"))
FAKE_PF = os.path.join(ROOT, "tests", "unit", "fake_pf.py")
TIMEOUT = 20

SANITIZER_WORDS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "AddressSanitizer:DEADLYSIGNAL")


def running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition, timeout=TIMEOUT):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def wait_revived(daemon, name, pid):
    """Waits until the function is served by another process than pid, which died."""
    def revived():
        shown = daemon("function.show", name=name)
        return shown["state"] == "idle" and shown["pid"] not in (pid, None, 0)
    wait_until(revived)


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data", {})
        self.errno = self.data.get("errno")


class Connection:
    """Bytes to and from a control socket."""

    def __init__(self, path, timeout=TIMEOUT):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.socket.settimeout(timeout)
        self.buffer = b""
        self.id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        """The next line, decoded; None at the end."""
        while b"\n" not in self.buffer:
            data = self.socket.recv(1 << 20)
            if not data:
                assert not self.buffer
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def silent(self, seconds=0.3):
        """True if nothing comes."""
        self.socket.settimeout(seconds)
        try:
            return not self.buffer and self.socket.recv(1, socket.MSG_PEEK) is None
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(TIMEOUT)

    def ask(self, text):
        self.send(text + "\n")
        return self.line()

    def start(self, method, **params):
        """Sends a request without waiting; its id."""
        self.id += 1
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params,
                              "id": self.id}) + "\n")
        return self.id

    def finish(self, ident):
        answer = self.line()
        assert answer["jsonrpc"] == "2.0" and answer["id"] == ident
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def __call__(self, method, **params):
        return self.finish(self.start(method, **params))


class Daemon:
    """As a context manager it is started, unless it was, and closed."""

    def __init__(self, fake=True, arguments=(), environment=None, prefix=()):
        self.directory = tempfile.mkdtemp(prefix="ridge-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.runtime = os.path.join(self.directory, "run")
        self.path = os.path.join(self.runtime, "ridged.sock")
        self.log_path = os.path.join(self.directory, "log")
        self.ridged = os.path.join(BUILD, "ridged")
        self.arguments = list(arguments)
        self.prefix = list(prefix)  # a command that runs another, in its own process
        self.environment = dict(os.environ, RIDGE_RUNTIME_DIR=self.runtime,
                                PYTHONDONTWRITEBYTECODE="1", **(environment or {}))
        self.environment.pop("NOTIFY_SOCKET", None)
        self.environment.pop("RIDGE_PF", None)
        self.fake = fake
        if fake:
            self.environment["RIDGE_PF"] = FAKE_PF
        self.process = None
        self.pids = set()

    def __enter__(self):
        if not self.process:
            self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def give_to_nobody(self):
        """For a ridged of user 65534, who may not get at where this checkout is; the PF is real."""
        self.ridged = shutil.copy(self.ridged, self.directory)
        shutil.copy(os.path.join(BUILD, "ridge-pf"), self.directory)
        self.environment.pop("RIDGE_PF", None)
        self.fake = False
        os.chown(self.directory, 65534, 65534)

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.ridged, "-v", "--runtime-dir", self.runtime,
                 *self.arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=self.environment)
        if wait:
            self.ready()

    def ready(self):
        line = self.process.stdout.readline().decode()
        assert line.startswith("ridged: ready"), line + self.log()
        return line

    def end(self, signum=signal.SIGKILL):
        """Ends ridged alone."""
        self.note_pids()
        self.process.send_signal(signum)
        status = self.process.wait(TIMEOUT)
        self.process.stdout.close()
        return status

    def connect(self, **options):
        return Connection(self.path, **options)

    def __call__(self, method, **params):
        with self.connect() as connection:
            return connection(method, **params)

    def fails(self, method, **params):
        """The error with which a call fails."""
        try:
            result = self(method, **params)
        except RpcError as error:
            return error
        raise AssertionError(f"{method} succeeded: {result}")

    def names(self):
        return [function["name"] for function in self("function.list")]

    def note_pids(self):
        try:
            self.pids |= {pf["pid"] for pf in self("pf.list")}
        except OSError:
            pass

    def clear(self, pfs=False):
        """Leaves no function, and no PF if asked to."""
        if self.process.poll() is not None:
            return
        self.note_pids()
        left = self.names()
        if left:
            self("function.destroy", names=left, force=True)
        for pf in self("pf.list") if pfs else ():
            self("pf.remove", name=pf["name"])

    def ridge(self, *argv, status=0, cwd=None):
        """Runs ridge; its output, or with another status its one line of error."""
        done = subprocess.run([os.path.join(BUILD, "ridge"), *argv], env=self.environment,
                              capture_output=True, text=True, timeout=60, cwd=cwd, check=False)
        assert done.returncode == status, (argv, done.stdout, done.stderr)
        if status == 0 or "-j" in argv:
            assert done.stderr == ""
            return done.stdout
        assert done.stdout == "" and done.stderr.endswith("\n")
        assert done.stderr.startswith("ridge: ")
        return done.stderr[:-1]

    def image(self, name="image", size=1 << 20):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def close(self):
        """Ends everything, and says what was left or reported."""
        try:
            if self.process and self.process.poll() is None:
                self.note_pids()
                self("system.shutdown")
                status = self.process.wait(TIMEOUT)
                left = [pid for pid in self.pids if running(pid)]
                sockets = [os.path.join(d, f) for d, _, files in os.walk(self.runtime)
                           for f in files if f.endswith(".sock")]
                assert status == 0, self.log()
                assert not left and not sockets, (left, sockets)
        finally:
            for pid in self.pids:
                if running(pid):
                    os.kill(pid, signal.SIGKILL)
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process and self.process.stdout:
                self.process.stdout.close()
        assert not any(word in self.log() for word in SANITIZER_WORDS), self.log()
        subprocess.run(["rm", "-rf", self.directory], check=True)


def create(daemon, name, **params):
    params.setdefault("type", "rng")
    return daemon("function.create", name=name, **params)


def sockets(daemon):
    """The files of functions' sockets."""
    return sorted(os.listdir(os.path.join(daemon.runtime, "functions")))


class Locker:
    """Locks an image as QEMU's raw driver does (block/file-posix.c): shared locks on bytes."""

    READ, WRITE, RESIZE = 0, 1, 3
    F_OFD_GETLK, F_OFD_SETLK = 36, 37

    def __init__(self, path, write):
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        used = [self.READ] + ([self.WRITE, self.RESIZE] if write else [])
        unshared = [self.WRITE, self.RESIZE]
        try:
            for byte in [100 + n for n in used] + [200 + n for n in unshared]:
                fcntl.fcntl(self.fd, self.F_OFD_SETLK, self.flock(fcntl.F_RDLCK, byte))
            for byte in [200 + n for n in used] + [100 + n for n in unshared]:
                raw = fcntl.fcntl(self.fd, self.F_OFD_GETLK, self.flock(fcntl.F_WRLCK, byte))
                if struct.unpack("hhqqi4x", raw)[0] != fcntl.F_UNLCK:
                    raise BlockingIOError(byte)
        except OSError:
            self.close()
            raise

    @staticmethod
    def flock(kind, start):
        return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, 1, 0)

    def close(self):
        os.close(self.fd)
