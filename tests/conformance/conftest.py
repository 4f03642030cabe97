# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the conformance tests: a ridged for each module, functions made by one command.

The raw clients are in vfio_user.py, what a guest's driver does in virtio_guest.py, and ridged's
command line in ../e2e/ridge.py.
"""

import json
import os
import shutil
import socket
import sys
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(1, os.path.join(os.path.dirname(HERE), "e2e"))

from ridge import Ridge, build_directory  # noqa: E402
from control import Daemon  # noqa: E402
from domain import Exported  # noqa: E402
from vfio_user import Client, Memory  # noqa: E402
from virtio_guest import Legacy, Modern  # noqa: E402

SANITIZER_WORDS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "AddressSanitizer:DEADLYSIGNAL")

MODERN = {"driver": "vfio-pci"}
TRANSITIONAL = {"driver": "virtio-vfio-pci"}
LEGACY = {"driver": "virtio-vfio-pci", "legacy": "only"}


def pytest_configure(config):
    config.addinivalue_line("markers", "rules(*ids): what the test proves; see rules.py")


@pytest.fixture(scope="session", autouse=True)
def have_a_build():
    if not os.path.exists(os.path.join(build_directory(), "ridged")):
        pytest.exit(f"no ridged in {build_directory()}: run ./run build, or set RIDGE_BUILD", 2)


@pytest.fixture(scope="module")
def work():
    """A directory with a short name."""
    path = tempfile.mkdtemp(prefix="ridge-", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def launcher():
    """The command that the module's ridged is run with."""
    return []


@pytest.fixture(scope="module")
def ridge(request, work, launcher):
    """A ridged for the module. After it: ridge shutdown, nothing left, nothing reported."""
    ridge = Ridge(work, launcher=launcher)
    request.module.ridge_for_reports = ridge
    ridge.start()
    try:
        yield ridge
        ridge.shutdown()
    finally:
        ridge.clean_up()
    reports = [line for line in ridge.log().splitlines()
               if any(word in line for word in SANITIZER_WORDS)]
    assert not reports, "a sanitizer reported:\n" + ridge.log()


class Function:
    """A function that was created, and how to attach to it."""

    def __init__(self, ridge, name, made, image=None):
        self.ridge, self.name, self.made, self.image = ridge, name, made, image
        self.socket = made["socket"]

    def client(self, **options):
        return Client(self.socket, **options)

    def show(self):
        return self.ridge("show", self.name)

    def counters(self):
        return self.show()["counters"]

    def pid(self):
        return self.ridge.pf_pid(self.name)

    def fault(self, kind, value):
        """Breaks something on purpose: admin-stall or backend-hang, until value 0."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(self.ridge.socket)
            params = {"name": self.name, "kind": kind, "value": str(value)}
            sock.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "debug.fault",
                                     "params": params}).encode() + b"\n")
            answer = json.loads(sock.makefile().readline())
        if answer.get("error", {}).get("code") == -32601:  # method not found
            pytest.skip("needs a build with -Dfaults=true")
        assert "error" not in answer, answer

    def idle(self):
        """Waits until no VMM is attached and the last one's I/O has ended."""
        return self.ridge.wait_for(self.name, lambda shown: shown["state"] == "idle")


@pytest.fixture(scope="module")
def create(ridge, work):
    """create(type, driver=..., ...) makes a Function of its own; blk gets an image of 1 MiB."""
    names = []

    def make(kind, size=1 << 20, **keys):
        name = f"{kind}-{len(names)}"
        image = None
        if kind == "blk" and "image" not in keys:
            image = keys["image"] = os.path.join(work, name + ".img")
            with open(image, "wb") as file:
                file.write(os.urandom(size))
        made = ridge("create", kind, name, *[f"{k}={v}" for k, v in keys.items()])
        names.append(name)
        return Function(ridge, name, made, image)

    yield make
    if names:
        ridge("destroy", *names, "--force")


@pytest.fixture(scope="module")
def functions(create):
    """functions(type, variant) for tests that leave a function as they find it: made once."""
    made = {}

    def get(kind, variant):
        key = (kind, variant)
        if key not in made:
            made[key] = create(kind, **{"modern": MODERN, "transitional": TRANSITIONAL,
                                        "legacy": LEGACY}[variant])
        made[key].idle()
        return made[key]

    return get


class Guest:
    """A client with memory and a transport, as a guest's driver has them."""

    def __init__(self, function, variant):
        self.function = function
        self.client = function.client()
        self.memory = Memory()
        self.memory.share(self.client)
        self.transport = (Modern if variant == "modern" else Legacy)(self.client, self.memory)

    def close(self):
        self.client.close()
        self.memory.close()


@pytest.fixture
def attach():
    """attach(function, variant) is a Guest; closed after the test."""
    guests = []

    def make(function, variant):
        guests.append(Guest(function, variant))
        return guests[-1]

    yield make
    for guest in guests:
        guest.close()


@pytest.fixture
def export(ridge):
    """export(type, ...) adds a PF, exports it, and after the test checks that it is local again."""
    made = []

    def make(kind, **keys):
        name = f"pf-{len(made)}-{time.monotonic_ns()}"
        ridge("pf", "add", name, f"type={kind}", *[f"{k}={v}" for k, v in keys.items()])
        made.append(Exported(ridge, name, ridge("export", name)["socket"]))
        return made[-1]

    yield make
    for exported in made:
        exported.close()
        if exported.clients:
            exported.local()
        ridge("pf", "remove", exported.name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    ridge = getattr(item.module, "ridge_for_reports", None)
    if report.failed and ridge is not None and os.path.exists(ridge.log_path):
        report.sections.append(("ridged", "\n".join(ridge.log().splitlines()[-40:])))


# A ridged (control.py), with real PF processes, or with stand-ins that do wrong what the names of
# functions ask for (fake). Most tests share their module's; those that kill it, or count on what
# was there before, have their own.


@pytest.fixture(scope="module", params=["fake", "real"])
def shared_daemon(request):
    with Daemon(fake=request.param == "fake") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def shared_fake():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture
def daemon(shared_daemon):
    """The module's, of each kind; each test ends with no function left."""
    yield shared_daemon
    shared_daemon.clear()


@pytest.fixture
def fake(shared_fake):
    """The module's with stand-ins; each test ends with no function left."""
    yield shared_fake
    shared_fake.clear()


@pytest.fixture(params=["fake", "real"])
def fresh(request):
    """The test's own, of each kind."""
    with Daemon(fake=request.param == "fake") as daemon:
        yield daemon


@pytest.fixture
def own():
    """The test's own with stand-ins."""
    with Daemon() as daemon:
        yield daemon
