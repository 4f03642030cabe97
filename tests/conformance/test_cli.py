# SPDX-License-Identifier: BSD-3-Clause
"""ridge: what people and scripts see of it."""

import json
import os
import re
import shlex
import socket
import subprocess

import pytest

from control import BUILD, ROOT, Daemon, wait_until

VERBS = ("create", "destroy", "list", "show", "bind", "set", "stats", "monitor", "pf add", "pf list",
         "pf restart",
         "pf remove", "export", "unexport", "qemu-args", "host adopt", "host release", "shutdown")


@pytest.fixture(name="daemon")
def _daemon(fake):
    return fake


def test_create_show_list_destroy(daemon):
    image = daemon.image("disk.img")
    path = os.path.join(daemon.runtime, "functions", "disk0.sock")
    assert daemon.ridge("create", "blk", "disk0", f"image={image}") == \
        f"disk0: blk 01:00.1 on blk0, driver vfio-pci, socket {path}\n"
    daemon.ridge("create", "rng", "r", "driver=none")
    lines = [line.split() for line in daemon.ridge("list").splitlines()]
    assert lines == [
        ["NAME", "TYPE", "RID", "PF", "DRIVER", "STATE", "SOCKET"],
        ["disk0", "blk", "01:00.1", "blk0", "vfio-pci", "idle", path],
        ["r", "rng", "01:00.1", "rng0", "none", "idle", "-"]]
    starts = {line.index(word) for line, word in
              zip(daemon.ridge("list").splitlines(), ("DRIVER", "vfio-pci", "none"))}
    assert len(starts) == 1
    shown = dict(line.strip().split(": ", 1) for line in daemon.ridge("show", "disk0").splitlines()
                 if not line.endswith(":"))
    shown = {key: value.strip() for key, value in shown.items()}
    assert (shown["name"], shown["socket"], shown["image"]) == ("disk0", path, image)
    # Nothing happened yet, so there is nothing to count.
    assert "requests" not in shown and "device" not in shown
    assert daemon.ridge("destroy", "disk0", "r") == ""
    assert daemon.ridge("list").splitlines()[1:] == []


def test_json(daemon):
    made = json.loads(daemon.ridge("-j", "create", "rng", "r"))
    for member in ("name", "type", "rid", "pf", "driver", "socket", "device", "state"):
        assert member in made
    assert json.loads(daemon.ridge("show", "r", "-j")) == made
    assert json.loads(daemon.ridge("--json", "list")) == [made]
    bound = json.loads(daemon.ridge("-j", "bind", "r", "none"))
    assert bound["driver"] == "none" and bound["socket"] is None
    daemon.ridge("bind", "r", "vfio-pci")
    arguments = json.loads(daemon.ridge("-j", "qemu-args", "r"))
    assert arguments == shlex.split(daemon.ridge("qemu-args", "r"), posix=False)
    assert json.loads(daemon.ridge("-j", "destroy", "r")) == {"destroyed": ["r"]}
    assert json.loads(daemon.ridge("-j", "pf", "add", "p", "type=rng"))["name"] == "p"
    assert "p" in [pf["name"] for pf in json.loads(daemon.ridge("-j", "pf", "list"))]
    assert json.loads(daemon.ridge("-j", "pf", "remove", "p")) == {"name": "p"}


def test_json_errors(daemon):
    error = json.loads(daemon.ridge("-j", "show", "nope", status=1))["error"]
    assert (error["code"], error["errno"]) == (-32000, "ENOENT")
    assert error["message"] == "show nope: there is no such function; there is none"
    error = json.loads(daemon.ridge("-j", "create", "rng", "x", "driver=uio", status=1))["error"]
    assert (error["code"], error["errno"]) == (-32602, "EINVAL")
    error = json.loads(daemon.ridge("-j", "frobnicate", status=2))["error"]
    assert error["code"] == -32602 and "frobnicate" in error["message"]
    error = json.loads(daemon.ridge("-j", "--frobnicate", status=2))["error"]
    assert "--frobnicate" in error["message"]
    error = json.loads(daemon.ridge("-j", "-d", "/nope", "list", status=1))["error"]
    assert error["errno"] == "ENOENT"


def test_errors_are_one_line(daemon):
    assert daemon.ridge("create", "blk", "disk0", "image=/x/y.img", status=1) == (
        "ridge: create blk disk0: image /x/y.img: No such file or directory; give an existing raw "
        "image or block device")
    for argv in (["show", "x"], ["bind", "x", "none"], ["pf", "remove", "x"], ["qemu-args", "x"],
                 ["destroy", "x", "y"], ["pf", "add", "x", "type=disk"]):
        assert "\n" not in daemon.ridge(*argv, status=1)


def test_each_failed_destruction_has_a_line(daemon):
    daemon.ridge("create", "rng", "a")
    done = subprocess.run([os.path.join(BUILD, "ridge"), "destroy", "a", "b"],
                          env=daemon.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ridge: destroy b: there is no such function; there is a\n"


@pytest.mark.parametrize("argv", [
    [], ["frobnicate"], ["create"], ["create", "rng"], ["create", "rng", "x", "driver"],
    ["create", "rng", "x", "=y"], ["create", "rng", "x", "mode=1", "mode=2"], ["destroy"],
    ["list", "x"], ["list", "--force"], ["show"], ["show", "a", "b"], ["bind", "a"], ["pf"],
    ["pf", "frobnicate"], ["pf", "add"], ["qemu-args"], ["shutdown", "now"], ["--frobnicate"],
    ["list", "-x"], ["--runtime-dir"],
    # What comes later is not there yet.
    ["set"], ["set", "a"], ["set", "a", "b"], ["set", "a", "link=up", "link=up"], ["monitor", "x"],
    ["export"], ["unexport"], ["export", "p", "mode"], ["export", "p", "--force"],
    ["migrate", "a", "--to", "p"], ["save", "a", "f"],
    ["restore", "a", "f"],
    ["host"], ["host", "adopt"], ["host", "adopt", "00:01.0"], ["host", "adopt", "r", "d"],
    ["host", "adopt", "00:01.0", "00:20.0", "vfio-pci"], ["host", "release"],
    ["host", "release", "00:01"],
])
def test_usage(daemon, argv):
    daemon.ridge(*argv, status=2)


def test_ridged_not_running(tmp_path):
    daemon = Daemon()
    try:
        line = daemon.ridge("list", status=1)
        assert line == f"ridge: ridged is not running ({daemon.path}: No such file or " \
                       "directory); start it, or give its --runtime-dir"
    finally:
        os.rmdir(daemon.directory)


def test_runtime_directory(daemon):
    environment = dict(daemon.environment)
    del environment["RIDGE_RUNTIME_DIR"]
    for argv, extra in ((["--runtime-dir", daemon.runtime], {}),
                        ([f"--runtime-dir={daemon.runtime}"], {"RIDGE_RUNTIME_DIR": "/nope"}),
                        (["-d", daemon.runtime], {}), ([], {"RIDGE_RUNTIME_DIR": daemon.runtime})):
        subprocess.run([os.path.join(BUILD, "ridge"), "list", *argv], check=True,
                       env=dict(environment, **extra), capture_output=True)


def test_relative_image(daemon):
    image = daemon.image("relative.img")
    daemon.ridge("create", "blk", "a", "image=relative.img", cwd=daemon.directory)
    assert daemon("function.show", name="a")["params"]["image"] == image


def test_qemu_args(daemon):
    daemon.ridge("create", "rng", "a")
    path = os.path.join(daemon.runtime, "functions", "a.sock")
    line = daemon.ridge("qemu-args", "a")
    assert line == '-device {"driver":"vfio-user-pci","socket":{"path":"' + path + \
        '","type":"unix"}}\n'
    # As the shell sees $(ridge qemu-args a): two words.
    assert len(line.split()) == 2
    daemon.ridge("bind", "a", "none")
    assert daemon.ridge("qemu-args", "a", status=1) == (
        "ridge: qemu-args a: driver none has no socket for a VMM; bind it to vfio-pci or "
        "virtio-vfio-pci")


def test_help(daemon):
    text = daemon.ridge("help")
    assert text == daemon.ridge("--help") == daemon.ridge("-h")
    for verb in VERBS:
        assert f"  ridge {verb}" in text
        words = verb.split()
        help_text = daemon.ridge("help", *words)
        assert help_text.startswith(f"usage: ridge {verb}")
        if "--force" in help_text.splitlines()[0]:
            assert "\n  --force " in help_text, verb
        assert help_text == daemon.ridge(*words, "--help")
    for later in ("migrate", "save", "restore", "debug"):
        assert f"ridge {later}" not in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert daemon.ridge("--version").startswith("ridge ")
    daemon.ridge("help", "frobnicate", status=2)


def test_help_of_an_object(daemon):
    text = daemon.ridge("pf", "help")
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["ridge", "pf", "add"], ["ridge", "pf", "list"], ["ridge", "pf", "remove"],
        ["ridge", "pf", "restart"]]
    assert text == daemon.ridge("help", "pf")
    text = daemon.ridge("host", "help")
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["ridge", "host", "adopt"], ["ridge", "host", "release"]]


def test_set(daemon):
    daemon.ridge("create", "net", "n")
    assert daemon.ridge("set", "n", "link=down") == ""
    assert json.loads(daemon.ridge("-j", "show", "n"))["params"]["link"] == "down"
    assert json.loads(daemon.ridge("-j", "set", "n", "link=up"))["params"]["link"] == "up"
    assert daemon.ridge("set", "n", "mac=x", status=1) == (
        "ridge: set n: mac cannot be set; of a function of type net can be set link")


def test_stats(daemon):
    made = json.loads(daemon.ridge("-j", "create", "rng", "a"))
    daemon.ridge("create", "rng", "b")
    assert [line.split() for line in daemon.ridge("stats", "a").splitlines()] == [
        ["NAME"], ["a"], [], ["PF", "TYPE", "REGISTER_COMMANDS", "PART_COMMANDS"],
        ["rng0", "rng", "5", "7"]]
    with socket.socket(socket.AF_UNIX) as vmm:
        vmm.connect(made["socket"])
        wait_until(lambda: "VMMS" in daemon.ridge("stats"))
    lines = [line.split() for line in daemon.ridge("stats").splitlines()]
    assert lines[:3] == [["NAME", "VMMS"], ["a", "1"], ["b", "0"]]
    stats = json.loads(daemon.ridge("-j", "stats", "b"))
    assert [f["name"] for f in stats["functions"]] == ["b"]
    assert [pf["name"] for pf in stats["pfs"]] == ["rng0"]
    assert daemon.ridge("stats", "a", "nope", status=1) == (
        "ridge: stats: nope: there is no such function; there is a, b")


def test_stats_of_every_counter():
    """None is left out of all columns."""
    with open(os.path.join(ROOT, "src", "base", "counters.h"), encoding="utf-8") as header:
        names = re.findall(r"^\tX\((\w+)\)", header.read(), re.M)
    with open(os.path.join(ROOT, "src", "cli", "stats.c"), encoding="utf-8") as source:
        text = source.read()
    # Of io_accesses; io_notifies is not.
    parts = {"io_fields", "io_local"}
    assert [name for name in names if not name.startswith("drop_") and name not in parts
            and f'"{name}"' not in text] == []


@pytest.mark.parametrize("options", [[], ["-j"]])
def test_monitor(daemon, options):
    daemon.ridge("create", "net", "first")  # so that there is a PF
    before = daemon.log().count("events subscribed")
    process = subprocess.Popen([os.path.join(BUILD, "ridge"), "monitor", *options],
                               env=daemon.environment, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: daemon.log().count("events subscribed") > before)
    daemon.ridge("create", "net", "m")
    daemon.ridge("set", "m", "link=down")
    daemon.ridge("bind", "m", "none")
    daemon.ridge("destroy", "m")
    lines = [process.stdout.readline() for _ in range(4)]
    if options:
        assert [json.loads(line)["event"] for line in lines] == [
            "function.created", "function.set", "function.bound", "function.destroyed"]
    else:
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} function\.created m type net rid 01:00\.\d pf "
                            r"net0 driver vfio-pci\n", lines[0])
        assert [line.split(" ", 1)[1] for line in lines[1:]] == [
            "function.set m link down\n", "function.bound m driver none\n",
            "function.destroyed m\n"]
    process.terminate()
    process.wait(20)
    process.stdout.close()


def test_monitor_ends_with_its_reader_and_with_ridged():
    daemon = Daemon()
    daemon.start()
    processes = [subprocess.Popen([os.path.join(BUILD, "ridge"), "monitor"],
                                  env=daemon.environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for _ in range(2)]
    wait_until(lambda: daemon.log().count("events subscribed") == 2)
    processes[0].stdout.close()
    assert processes[0].wait(20) == 0
    daemon.close()
    assert processes[1].wait(20) == 1
    assert processes[1].stderr.read() == "ridge: events: ridged closed the connection\n"
    for process in processes:
        process.stderr.close()
    processes[1].stdout.close()


def test_force(daemon):
    daemon.ridge("create", "rng", "a")
    daemon.ridge("destroy", "--force", "a")
    assert daemon.names() == []


def test_completion(daemon):
    """What bash offers after a line; names come from ridged."""
    daemon.ridge("create", "rng", "alpha")
    daemon.ridge("create", "blk", "beta", f"image={daemon.image()}")

    def offers(line):
        words = [w for w in line.replace("=", " = ").split(" ") if w]
        if line.endswith((" ", "=")):
            words.append("")
        program = (f"source {shlex.quote(os.path.join(ROOT, 'completions/ridge'))}\n"
                   "compopt() { :; }\n"
                   f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); "
                   f"COMP_CWORD={len(words) - 1}\n_ridge\n"
                   'printf "%s\\n" "${COMPREPLY[@]}"')
        environment = dict(daemon.environment, PATH=BUILD + ":" + os.environ["PATH"])
        return subprocess.run(["bash", "-c", program], env=environment, capture_output=True,
                              text=True, check=True).stdout.split()

    assert offers("ridge cr") == ["create"]
    assert set(offers("ridge ")) == {verb.split()[0] for verb in VERBS} | {"help"}
    assert offers("ridge create ") == ["blk", "net", "rng"]
    assert "image=" in offers("ridge create blk x ")
    assert "image=" not in offers("ridge create rng x ")
    assert "mac=" in offers("ridge create net x ")
    assert offers("ridge create net x link=") == ["up", "down"]
    assert offers("ridge create rng x driver=vi") == ["virtio-vfio-pci"]
    assert offers("ridge create rng x driver=") == ["vfio-pci", "virtio-vfio-pci", "none"]
    pfs = {pf["name"] for pf in daemon("pf.list")}
    assert set(offers("ridge show ")) == {"alpha", "beta"} | pfs
    assert offers("ridge destroy alpha b") == ["beta"]
    assert offers("ridge stats alpha b") == ["beta"]
    assert offers("ridge set alpha ") == ["link=", "size="]
    assert offers("ridge set alpha link=d") == ["down"]
    assert offers(f"ridge -d {daemon.runtime} bind alpha n") == ["none"]
    assert offers("ridge pf ") == ["add", "list", "remove", "restart"]
    assert "rng0" in offers("ridge pf restart ")
    assert "rng0" in offers("ridge pf remove ")
    assert offers("ridge pf add x type=r") == ["rng"]
    assert offers("ridge destroy --f") == ["--force"]
    assert offers("ridge create --b") == ["--batch"]
    assert os.path.join(ROOT, "README.md") in offers(f"ridge create --batch {ROOT}/READ")
    assert offers("ridge host ") == ["adopt", "release"]
    assert offers("ridge host release x --f") == ["--force"]


def test_shutdown(own):
    own.ridge("create", "rng", "a")
    own.note_pids()
    assert json.loads(own.ridge("-j", "shutdown")) == {"pid": own.process.pid}
    assert own.process.wait(20) == 0
    assert sorted(os.listdir(own.runtime)) == ["ridged.lock"]
