# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the end-to-end tests, and what a failed one has to say.

Boots cost seconds, so a module shares one ridged, and where it can, one guest. Each guest is
powered off, and each ridged shut down, with checks: what they leave behind is an error. So is an
image whose size has changed.
"""

import glob
import os
import shutil
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
# vfio_user.py and virtio_guest.py: a guest's driver without a guest, for what takes no Linux
sys.path.insert(1, os.path.join(os.path.dirname(HERE), "conformance"))

import hangfs  # noqa: E402
from guest import Guest, environment  # noqa: E402
from ridge import Ridge, build_directory  # noqa: E402
from vfio_user import Client, Memory  # noqa: E402
from virtio_guest import VERSION_1, Blk, Modern  # noqa: E402

# In ridged's log: without log_path, or where ridge-pf may not open the file that it names.
SANITIZER_WORDS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "AddressSanitizer:DEADLYSIGNAL", "ERROR: Can't open file")

BLK_FLUSH = 1 << 9  # virtio 1.3, 5.2.3


@pytest.fixture(scope="session", autouse=True)
def have_a_build_and_a_guest():
    if not os.path.exists(os.path.join(build_directory(), "ridged")):
        pytest.exit(f"no ridged in {build_directory()}: run ./run build, or set RIDGE_BUILD", 2)
    environment()


@pytest.fixture(scope="module")
def work(request):
    """A short directory that other users can pass through; its logs are kept on failure."""
    path = tempfile.mkdtemp(prefix="ridge-", dir="/tmp")
    os.chmod(path, 0o711)
    failed = request.session.testsfailed
    yield path
    if request.session.testsfailed > failed:
        kept = os.path.join(build_directory(), "e2e-logs", request.module.__name__)
        shutil.rmtree(kept, ignore_errors=True)
        os.makedirs(kept)
        for log in glob.glob(path + "/**/*.log", recursive=True):
            shutil.copyfile(log, os.path.join(kept, os.path.relpath(log, path).replace("/", "-")))
    shutil.rmtree(path, ignore_errors=True)


def check_reports(ridge):
    reports = [line for line in ridge.log().splitlines()
               if any(word in line for word in SANITIZER_WORDS)]
    assert not reports, "a sanitizer reported:\n" + ridge.log()


@pytest.fixture(scope="module")
def ridge(request, work):
    """A ridged for the module. After it: ridge shutdown, nothing left, nothing reported."""
    ridge = Ridge(work)
    request.module.ridge_for_reports = ridge
    ridge.start()
    try:
        yield ridge
        ridge.shutdown()
    finally:
        ridge.clean_up()
    check_reports(ridge)


@pytest.fixture
def own_ridge(work):
    """A ridged for one test, which ends it."""
    directory = tempfile.mkdtemp(prefix="own-", dir=work)
    ridge = Ridge(directory)
    ridge.start()
    try:
        yield ridge
    finally:
        ridge.clean_up()
    check_reports(ridge)


@pytest.fixture(scope="module")
def new_guest(work):
    """new_guest(devices, ...) makes a Guest with a directory of its own; not started yet."""
    guests = []

    def make(devices, **options):
        directory = os.path.join(work, f"g{len(guests)}")
        os.mkdir(directory)
        guests.append(Guest(directory, devices, **options))
        return guests[-1]

    yield make
    for guest in guests:
        guest.kill()


@pytest.fixture(scope="module")
def new_disk(work):
    """new_disk(name, size) makes an image of random bytes; its path."""
    made = {}

    def make(name, size=16 << 20):
        path = os.path.join(work, name)
        with open(path, "wb") as image:
            image.write(os.urandom(size))
        made[path] = size
        return path

    yield make
    for path, size in made.items():
        assert os.path.getsize(path) == size, f"the size of {path} has changed"


@pytest.fixture(scope="module")
def new_hangfs(work, new_disk):
    """new_hangfs(name, size) makes a HangFs with an image of random bytes."""
    made = []

    def make(name, size=1 << 20):
        if reason := hangfs.why_not():
            pytest.skip(reason)
        made.append(hangfs.HangFs(os.path.join(work, name), new_disk(f"{name}.img", size)))
        return made[-1]

    yield make
    for fs in made:
        fs.close()


class Attached:
    """A driver without a guest on a modern blk function: client, memory, transport, disk."""

    def __init__(self, ridge, name, features=BLK_FLUSH, timeout=10):
        self.client = Client(ridge("show", name)["socket"], timeout=timeout)
        self.memory = Memory(4 << 20)
        self.memory.share(self.client)
        self.transport = Modern(self.client, self.memory)
        self.transport.start(VERSION_1 | features)
        self.disk = Blk(self.transport)

    def send(self, kind, count, length=512):
        """Makes so many requests available at once; where their status bytes will be."""
        statuses = []
        for sector in range(count):
            if kind == Blk.OUT:
                chain, _, status = self.disk.prepare(kind, sector, data=os.urandom(length))
            else:
                chain, _, status = self.disk.prepare(kind, sector,
                                                     length=length if kind == Blk.IN else 0)
            self.transport.queues[0].add(chain, indirect=False)
            statuses.append(status)
        self.transport.kick()
        return statuses

    def wait(self, statuses, timeout=20):
        """Waits for the requests of send(); the set of their statuses."""
        for _ in statuses:
            self.transport.queues[0].wait(timeout)
        return {self.memory.read(status, 1)[0] for status in statuses}

    def close(self):
        self.client.close()
        self.memory.close()


@pytest.fixture
def attach():
    """attach(ridge, name) is an Attached; detached after the test."""
    made = []

    def make(*args, **options):
        made.append(Attached(*args, **options))
        return made[-1]

    yield make
    for attached in made:
        attached.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    ridge = getattr(item.module, "ridge_for_reports", None)
    if report.failed and ridge is not None and os.path.exists(ridge.log_path):
        report.sections.append(("ridged", "\n".join(ridge.log().splitlines()[-40:])))
