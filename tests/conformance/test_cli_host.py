# SPDX-License-Identifier: BSD-3-Clause
"""ridge host: what people and scripts see of it.

What it does is in tests/unit/test_host*.c, against a model of the kernel, and in tests/e2e.
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


GROUP, OTHER_GROUP, DEVICE = "/dev/vfio/7", "/dev/vfio/8", "anon_inode:[vfio-device]"
OURS, SIBLING = "/sys/devices/pci0000:00/0000:00:05.0", "/sys/devices/pci0000:00/0000:00:05.1"


@pytest.mark.parametrize("files, used", [
    ([("/dev/null", None), ("/dev/vfio/vfio", None)], False),
    ([(GROUP, None)], True),
    ([("/dev/vfio/noiommu-7", None)], True),
    ([(OTHER_GROUP, None)], False),
    ([("/dev/vfio/devices/vfio3", OURS)], True),
    ([("/dev/vfio/devices/vfio33", SIBLING)], False),
    # The group may be closed once the function is open.
    ([(DEVICE, OURS)], True),
    ([(DEVICE, SIBLING)], False),
    ([(DEVICE, SIBLING), (DEVICE, OURS)], True),
    # Others of the same group
    ([(GROUP, None), (DEVICE, SIBLING)], False),
    ([(GROUP, None), ("/dev/vfio/devices/vfio33", SIBLING)], False),
    ([(GROUP, None), (DEVICE, SIBLING), (DEVICE, OURS)], True),
    # A kernel that does not say what the file is of
    ([(DEVICE, None)], True),
    ([(OTHER_GROUP, None), (DEVICE, None)], False),
    ([(GROUP, None), (DEVICE, None)], True)])
def test_who_has_it_open(daemon, tmp_path, files, used):
    sysfs, proc = str(tmp_path / "sys"), tmp_path / "proc"
    fake_function(sysfs, "0000:00:05.0", "vfio-pci")
    os.makedirs(os.path.join(sysfs, "bus/pci/drivers/pci-stub"))
    (tmp_path / "sys/bus/pci/drivers/pci-stub/bind").touch()
    device = tmp_path / "sys" / "bus" / "pci" / "devices" / "0000:00:05.0"
    (device / "vfio-dev" / "vfio3").mkdir(parents=True)
    (device / "iommu_group").symlink_to("../../../../kernel/iommu_groups/7")
    for name in ("fd", "fdinfo"):
        (proc / "4711" / name).mkdir(parents=True)
    for number, (target, syspath) in enumerate(files):
        (proc / "4711" / "fd" / str(number)).symlink_to(target)
        (proc / "4711" / "fdinfo" / str(number)).write_text(
            "pos:\t0\n" + (f"vfio-device-syspath: {syspath}\n" if syspath else ""))
    environment = dict(daemon.environment, RIDGE_SYSFS=sysfs, RIDGE_PROC=str(proc))
    done = subprocess.run([os.path.join(BUILD, "ridge"), "host", "adopt", "0:5.0", "pci-stub"],
                          env=environment, text=True, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert ("process 4711 has it open through vfio-pci" in done.stderr) is used, done.stderr
    assert ("vfio-pci does not let go of it" in done.stderr) is not used, done.stderr


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
