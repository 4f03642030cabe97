# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the end-to-end tests, and what a failed one has to say.

Boots cost seconds, so a module shares one ridged, and where it can, one guest. Each guest is
powered off, and each ridged shut down, with checks: what they leave behind is an error.
"""

import glob
import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from guest import Guest, environment  # noqa: E402
from ridge import Ridge, build_directory  # noqa: E402

# In ridged's log: without log_path, or where ridge-pf may not open the file that it names.
SANITIZER_WORDS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "AddressSanitizer:DEADLYSIGNAL", "ERROR: Can't open file")


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
    reports = [line for line in ridge.log().splitlines()
               if any(word in line for word in SANITIZER_WORDS)]
    assert not reports, "a sanitizer reported:\n" + ridge.log()


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
    def make(name, size=16 << 20):
        path = os.path.join(work, name)
        with open(path, "wb") as image:
            image.write(os.urandom(size))
        return path

    return make


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    ridge = getattr(item.module, "ridge_for_reports", None)
    if report.failed and ridge is not None and os.path.exists(ridge.log_path):
        report.sections.append(("ridged", "\n".join(ridge.log().splitlines()[-40:])))
