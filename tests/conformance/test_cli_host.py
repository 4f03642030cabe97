# SPDX-License-Identifier: BSD-3-Clause
"""ridge host: what people and scripts see of it.

What it does is in tests/unit/test_host.c, against a model of the kernel, and in tests/e2e.
"""

import fcntl
import json
import os
import shutil
import subprocess

import pytest

from control import BUILD, Daemon, TIMEOUT, wait_until


@pytest.fixture(scope="module")
def daemon():
    """Not started: ridge host needs no ridged."""
    daemon = Daemon()
    yield daemon
    shutil.rmtree(daemon.directory)


def fake_function(sysfs, rid, driver=None):
    """A PCI function as sysfs shows it, where nothing happens by itself."""
    device = os.path.join(sysfs, "bus/pci/devices", rid)
    os.makedirs(device)
    for name, text in (("vendor", "0x1af4"), ("driver_override", "(null)")):
        with open(os.path.join(device, name), "w", encoding="utf-8") as file:
            file.write(text + "\n")
    if driver:
        os.makedirs(os.path.join(sysfs, "bus/pci/drivers", driver), exist_ok=True)
        os.symlink(f"../../drivers/{driver}", os.path.join(device, "driver"))


def test_host(daemon, tmp_path):
    sysfs = str(tmp_path / "sys")
    fake_function(sysfs, "10000:01:00.0", "vfio-pci")
    fake_function(sysfs, "0000:00:05.0", "normal")
    daemon.environment["RIDGE_SYSFS"] = sysfs
    try:
        assert daemon.ridge("host", "adopt", "10000:01:00.0", "vfio-pci") == \
            "10000:01:00.0: driver vfio-pci, as before\n"
        assert json.loads(daemon.ridge("-j", "host", "adopt", "10000:01:00.0", "vfio_pci")) == {
            "adopted": [{"rid": "10000:01:00.0", "driver": "vfio-pci", "was": "vfio-pci",
                         "changed": False}]}
        assert daemon.ridge("host", "adopt", "0:1.0", "nope", status=1) == (
            "ridge: host adopt 0000:00:01.0: there is no driver nope; load its module, or name one "
            "that is in /sys/bus/pci/drivers")
        assert daemon.ridge("host", "release", "0:5.0", status=1) == (
            "ridge: host release 0000:00:05.0: it was not adopted, so there is nothing to put "
            "back; it is bound to normal")
        error = json.loads(daemon.ridge("-j", "host", "release", "0:1.0", "0:5.0", status=1))["error"]
        assert error["message"] == ("host release 0000:00:01.0: there is no such function; "
                                    "lspci -D shows what there is")
        assert error["errno"] == "ENODEV"
        assert [(one["rid"], one["errno"]) for one in error["data"]["failed"]] == [
            ("0000:00:01.0", "ENODEV"), ("0000:00:05.0", "ENOENT")]
        assert error["data"]["released"] == []
        # No attribute takes a store here, so all is as it was.
        assert "vfio-pci refuses it" not in daemon.ridge("host", "adopt", "0:5.0", "vfio-pci",
                                                         status=1)
        assert os.listdir(os.path.join(daemon.runtime, "host")) == []
    finally:
        del daemon.environment["RIDGE_SYSFS"]


def waits_for_a_lock(process):
    with open("/proc/locks", encoding="ascii") as file:
        return any(line.split()[1] == "->" and line.split()[5] == str(process.pid)
                   for line in file)


def test_one_command_at_a_time_works_on_the_bus(daemon, tmp_path):
    """Whatever runtime directory it has."""
    sysfs = str(tmp_path / "sys")
    fake_function(sysfs, "0000:00:05.0", "vfio-pci")
    probe = tmp_path / "sys" / "bus" / "pci" / "drivers_probe"
    probe.touch()
    with open(probe, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [os.path.join(BUILD, "ridge"), "-d", str(tmp_path / "run"), "host", "adopt", "0:5.0",
             "vfio-pci"], env=dict(daemon.environment, RIDGE_SYSFS=sysfs), text=True,
            stdout=subprocess.PIPE)
        wait_until(lambda: waits_for_a_lock(process) or process.poll() is not None)
        assert process.poll() is None
    assert process.communicate(timeout=TIMEOUT)[0] == "0000:00:05.0: driver vfio-pci, as before\n"
    assert process.returncode == 0


def test_host_without_a_runtime_directory(daemon):
    assert daemon.ridge("-d", "/proc/nope", "host", "release", "0:1.0", status=1) == (
        "ridge: host release 0:1.0: /proc/nope/host: No such file or directory; give a "
        "--runtime-dir where it may write")
