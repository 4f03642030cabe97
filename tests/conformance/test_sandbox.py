# SPDX-License-Identifier: BSD-3-Clause
"""What a ridge-pf can't do, tried from inside it (src/worker/escape.c)."""

import os
import signal

import pytest

from control import BUILD, Daemon, RpcError, wait_until

SANITIZED = {"leak": "ERROR: LeakSanitizer", "overflow": "ERROR: AddressSanitizer"}

# Each ends the process.
KILLED = ["open", "socket", "connect", "exec", "fork", "ptrace", "kill", "mmap", "mprotect", "stat",
          "mount", "unshare", "seccomp", "uring-setup"]


class Sandboxed(Daemon):
    """A ridged with real PF processes."""

    def __init__(self, *arguments, **options):
        super().__init__(fake=False, arguments=arguments, **options)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()

    def disk(self, name="disk"):
        image = self.image(name)
        return self("function.create", type="blk", name=name, image=image, driver="vfio-pci")

    def pf(self, name):
        return next(pf for pf in self("pf.list") if pf["name"] == name)

    def attempt(self, name, what):
        """What an attempt in PF name got: None, or the error."""
        try:
            self("debug.fault", name=name, kind="escape", value=what)
        except RpcError as error:
            return error
        return None


@pytest.fixture(scope="module", name="daemon")
def _daemon():
    with Sandboxed() as daemon:
        daemon("pf.add", name="bystander", type="rng")
        yield daemon


@pytest.fixture(scope="module", name="free")
def _free():
    """Without the sandbox: that the attempts are what they say."""
    with Sandboxed("--no-sandbox") as daemon:
        yield daemon


def status(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines())


def test_filter_from_before_the_first_function(daemon):
    pid = daemon("pf.add", name="plain", type="rng")["pid"]
    now = status(pid)
    assert now["NoNewPrivs"] == "1" and now["Seccomp"] == "2"
    # The list, and what is forbidden from the end of the set-up on.
    assert now["Seccomp_filters"] == "2"
    daemon("pf.remove", name="plain")


@pytest.mark.parametrize("what", KILLED)
def test_attempt_ends_the_process(daemon, what):
    name = f"pf-{what}"
    daemon("pf.add", name=name, type="blk")
    bystander = daemon.pf("bystander")["pid"]
    error = daemon.attempt(name, what)
    assert error is not None and error.errno == "EPIPE", error
    assert f"PF {name} is gone: killed: it tried what its sandbox forbids" in error.message
    assert f"signal {signal.SIGSYS:d}" in error.message
    wait_until(lambda: f"PF {name} (pid" in daemon.log())
    assert daemon.pf("bystander")["pid"] == bystander


def test_ring_opens_no_file(daemon):
    daemon.disk()
    pf = daemon("function.show", name="disk")["pf"]
    pid = daemon.pf(pf)["pid"]
    error = daemon.attempt(pf, "uring-open")
    assert error.errno == "EACCES"
    assert daemon.pf(pf)["pid"] == pid, "it goes on: the ring said no"


@pytest.mark.parametrize("what", ["open", "socket", "exec", "mmap", "mprotect", "stat",
                                  "uring-setup", "uring-open"])
def test_attempt_without_the_sandbox(free, what):
    """Each does in an unprotected process what it is about; exec ends it, being another then."""
    name = f"free-{what}"
    free("pf.add", name=name, type="blk")
    error = free.attempt(name, what)
    if what == "exec":
        assert "killed" not in error.message
    elif what == "uring-open":
        assert error.errno == "EACCES", "a ring is limited with and without"
    else:
        assert error is None, error
    assert "sandbox" not in (error.message if error else "")


def test_no_sandbox_is_loud(free):
    free("pf.add", name="loud", type="rng")
    assert "ridged: NO SANDBOX (--no-sandbox)" in free.log()
    assert "ridge-pf[loud]: NO SANDBOX" in free.log()
    assert status(free.pf("loud")["pid"])["Seccomp"] == "0"


@pytest.mark.parametrize("what", sorted(SANITIZED))
def test_sanitizers_see_into_it(what):
    """A leak and a write past the end are reported, with names, from inside the sandbox."""
    with open(os.path.join(BUILD, "ridge-pf"), "rb") as program:
        if b"AddressSanitizer" not in program.read():
            pytest.skip("a build without sanitizers")
    daemon = Sandboxed()
    try:
        daemon("pf.add", name="sick", type="rng")
        daemon.attempt("sick", what)
        daemon("system.shutdown")
        daemon.process.wait(20)
        log = daemon.log()
        assert SANITIZED[what] in log and f"try_{what}" in log, log
        os.truncate(daemon.log_path, 0)
    finally:
        daemon.close()
