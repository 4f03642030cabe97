# SPDX-License-Identifier: BSD-3-Clause
"""What a ridge-pf can't do, tried from inside it (src/worker/escape.c)."""

import os
import re
import signal

import pytest

from control import BUILD, Daemon, RpcError, wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SANITIZED = {"leak": "ERROR: LeakSanitizer", "overflow": "ERROR: AddressSanitizer"}

# Each ends the process.
KILLED = ["open", "socket", "connect", "exec", "fork", "ptrace", "kill", "mmap", "mprotect", "stat",
          "mount", "unshare", "seccomp", "uring-setup"]


class Sandboxed(Daemon):
    """A ridged with real PF processes."""

    def __init__(self, *arguments, **options):
        super().__init__(fake=False, arguments=arguments, **options)

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


def namespaces(pid):
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt", "ipc", "uts")}


def confined(pid):
    """Asserts what holds for whomever it runs as."""
    ours, its = namespaces("self"), namespaces(pid)
    assert not [kind for kind in ours if ours[kind] == its[kind]]
    assert os.listdir(f"/proc/{pid}/root") == []
    assert os.statvfs(f"/proc/{pid}/root").f_flag & os.ST_RDONLY
    with open(f"/proc/{pid}/net/dev", encoding="utf-8") as file:
        assert [line.split(":")[0].strip() for line in file.read().splitlines()[2:]] == ["lo"]
    now = status(pid)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(now[kind], 16) == 0, kind
    assert now["NoNewPrivs"] == "1" and now["Seccomp"] == "2"
    with open(f"/proc/{pid}/limits", encoding="utf-8") as file:
        assert re.search(r"Max core file size\s+0\s+0", file.read())
    return now


@needs_root
def test_user_and_namespaces(daemon):
    uids = set()
    for name in ("one", "two"):
        pid = daemon("pf.add", name=name, type="blk")["pid"]
        now = confined(pid)
        assert int(now["CapBnd"], 16) == 0 and now["Groups"].split() == []
        uid = now["Uid"].split()
        assert len(set(uid)) == 1 and uid == now["Gid"].split()
        assert int(uid[0]) >= 0x70000000 or int(uid[0]) == 65534
        uids.add((uid[0], namespaces(pid)["net"]))
    assert len(uids) == 2, "they are apart from each other, too"
    daemon("pf.remove", name="one")
    daemon("pf.remove", name="two")


@needs_root
def test_user_that_is_asked_for():
    with Sandboxed("--pf-user", "nobody") as daemon:
        now = confined(daemon("pf.add", name="pf", type="rng")["pid"])
        assert now["Uid"].split() == ["65534"] * 4


@needs_root
@pytest.mark.parametrize("user", ["no-such-user", "root"])
def test_user_that_will_not_do(user):
    daemon = Daemon(arguments=["--pf-user", user])
    daemon.start(wait=False)
    assert daemon.process.wait(20) == 1
    assert f"--pf-user {user}: give the name of a user that is not root" in daemon.log()
    daemon.close()


@needs_root
def test_without_privileges():
    """The same but for the user, which ridged can't change."""
    daemon = Sandboxed(prefix=["setpriv", "--reuid", "65534", "--regid", "65534",
                               "--clear-groups"])
    daemon.give_to_nobody()
    with daemon:
        pid = daemon("function.create", type="rng", name="r", driver="vfio-pci")["pid"]
        now = confined(pid)
        assert now["Uid"].split() == ["65534"] * 4
        assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
        daemon.end(signal.SIGTERM)
        daemon.start()
        assert daemon("function.show", name="r")["pid"] == pid, "it is found and let in again"


@needs_root
def test_where_the_kernel_allows_no_namespaces():
    """seccomp is all that is left, and the log says so."""
    with Sandboxed(prefix=[
        "unshare", "--user", "--map-root-user", "sh", "-c",
        "echo 0 >/proc/sys/user/max_user_namespaces && "
        "exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"", "sh"]) as daemon:
        pid = daemon("function.create", type="rng", name="r", driver="vfio-pci")["pid"]
        assert status(pid)["Seccomp"] == "2"
        log = daemon.log()
        assert "the sandbox has no file system and network of its own: No space left" in log
        assert "the sandbox has no user of its own" in log
        assert "is gone: killed" in daemon.attempt("rng0", "open").message


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
    with Sandboxed() as daemon:
        daemon("pf.add", name="sick", type="rng")
        daemon.attempt("sick", what)
        daemon("system.shutdown")
        daemon.process.wait(20)
        log = daemon.log()
        assert SANITIZED[what] in log and f"try_{what}" in log, log
        os.truncate(daemon.log_path, 0)
