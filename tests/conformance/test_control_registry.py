# SPDX-License-Identifier: BSD-3-Clause
"""The registry files: what is made again when ridged and PF processes died together."""

import ctypes
import json
import os
import select
import signal
import struct

import pytest

from control import Daemon, Locker, running, wait_until

IN_MOVED_TO = 0x80


def path_of(daemon, name):
    return os.path.join(daemon.runtime, "pf", name + ".json")


def registry(daemon, name):
    with open(path_of(daemon, name), encoding="utf-8") as file:
        return json.load(file)


def written(daemon, name, condition):
    """Waits until the file says so."""
    def says():
        try:
            return condition(registry(daemon, name))
        except FileNotFoundError:
            return False
    wait_until(says)


def names_in(content):
    return [function["params"]["name"] for function in content["functions"]]


def same(function):
    return {key: value for key, value in function.items() if key not in ("pid", "counters")}


def all_die(daemon):
    """ridged, then every PF process."""
    daemon.note_pids()
    pids = [pf["pid"] for pf in daemon("pf.list")]
    daemon.end()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(running(pid) for pid in pids))


def ready(daemon):
    wait_until(lambda: all(pf["state"] in ("ready", "held") for pf in daemon("pf.list")))
    daemon.note_pids()


def test_file_says_what_there_is(fresh):
    image = fresh.image()
    fresh("function.create", type="blk", name="a", image=image, slot=9)
    written(fresh, "blk0", lambda content: names_in(content) == ["a"])
    content = registry(fresh, "blk0")
    assert (content["version"], content["name"]) == (1, "blk0")
    assert content["params"] == {"type": "blk", "name": "blk0", "max_vfs": 255}
    assert content["functions"] == [{"slot": 9, "params": fresh("function.show", name="a")[
        "params"]}]
    assert os.stat(path_of(fresh, "blk0")).st_mode & 0o777 == 0o600
    fresh("function.bind", name="a", driver="none")
    written(fresh, "blk0",
            lambda content: content["functions"][0]["params"]["driver"] == "none")
    fresh("function.destroy", name="a")
    written(fresh, "blk0", lambda content: content["functions"] == [])
    fresh("pf.remove", name="blk0")
    assert not os.path.exists(path_of(fresh, "blk0"))


def test_everything_is_made_again(fresh):
    image = fresh.image()
    made = [fresh("function.create", **params) for params in (
        {"type": "blk", "name": "disk", "image": image, "slot": 7, "mode": "660"},
        {"type": "net", "name": "n", "driver": "virtio-vfio-pci", "legacy": "only"},
        {"type": "rng", "name": "r", "driver": "none"}, {"type": "rng", "name": "s"})]
    fresh("function.set", name="n", link="down")
    before = {f["name"]: same(fresh("function.show", name=f["name"])) for f in made}
    written(fresh, "rng0", lambda content: names_in(content) == ["r", "s"])
    written(fresh, "net0", lambda content: content["functions"][0]["params"]["link"] == "down")
    all_die(fresh)
    fresh.start()
    ready(fresh)
    assert {name: same(fresh("function.show", name=name)) for name in before} == before
    with pytest.raises(OSError):
        Locker(image, True)
    fresh("function.destroy", names=list(before))


def test_only_the_dead_are_made_again(fresh):
    fresh("function.create", type="rng", name="r")
    fresh("pf.add", name="other", type="rng")
    fresh("function.create", type="rng", name="o", pf="other")
    written(fresh, "other", lambda content: names_in(content) == ["o"])
    alive, dead = (fresh("function.show", name=name) for name in ("r", "o"))
    fresh.note_pids()
    fresh.end()
    os.kill(dead["pid"], signal.SIGKILL)
    wait_until(lambda: not running(dead["pid"]))
    fresh.start()
    ready(fresh)
    assert fresh("function.show", name="r") == alive
    assert same(fresh("function.show", name="o")) == same(dead)


def test_sigterm_writes_what_is_not_written(fresh):
    fresh("function.create", type="rng", name="a")
    fresh("function.create", type="rng", name="b")
    assert fresh.end(signal.SIGTERM) == 0
    assert names_in(registry(fresh, "rng0")) == ["a", "b"]
    fresh.start()


def test_the_process_is_the_authority(own):
    """A file that says something else than a process that lives is written anew."""
    own("function.create", type="rng", name="a")
    written(own, "rng0", lambda content: names_in(content) == ["a"])
    content = registry(own, "rng0")
    own.end(signal.SIGTERM)
    content["functions"][0]["params"]["name"] = "ghost"
    with open(path_of(own, "rng0"), "w", encoding="utf-8") as file:
        json.dump(content, file)
    own.start()
    assert own.names() == ["a"]
    written(own, "rng0", lambda content: names_in(content) == ["a"])


def test_what_cannot_be_made_again_is_kept_and_says_why(fresh):
    image = fresh.image()
    fresh("function.create", type="blk", name="disk", image=image)
    fresh("function.create", type="blk", name="fine", image=fresh.image("b"))
    written(fresh, "blk0", lambda content: names_in(content) == ["disk", "fine"])
    all_die(fresh)
    os.rename(image, image + ".away")
    fresh.start()
    ready(fresh)
    assert fresh("function.show", name="fine")["state"] == "idle"
    shown = fresh("function.show", name="disk")
    assert shown["state"] == "down" and "No such file or directory" in shown["text"]
    written(fresh, "blk0", lambda content: "No such file" in content["functions"][0].get(
        "down", ""))
    # Not lost with the next death either; and made when it can be.
    all_die(fresh)
    os.rename(image + ".away", image)
    fresh.start()
    ready(fresh)
    assert fresh("function.show", name="disk")["state"] == "idle"
    written(fresh, "blk0", lambda content: "down" not in content["functions"][0])


def test_a_held_pf_is_tried_again_by_the_next_ridged(own):
    own("function.create", type="rng", name="againdie-a")
    own("function.create", type="rng", name="b")
    os.kill(own("pf.list")[0]["pid"], signal.SIGKILL)
    wait_until(lambda: own("pf.list")[0]["state"] == "held")
    own.end(signal.SIGTERM)
    own.start()
    wait_until(lambda: own("pf.list")[0]["state"] == "held")
    assert sorted(own.names()) == ["againdie-a", "b"]
    own("function.destroy", name="againdie-a")
    own("pf.restart", name="rng0")
    assert own("function.show", name="b")["state"] == "idle"


def test_a_burst_is_one_write(own):
    libc = ctypes.CDLL(None, use_errno=True)
    own("pf.add", name="p", type="rng")
    written(own, "p", lambda content: content["functions"] == [])
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(os.path.join(own.runtime, "pf")),
                                  IN_MOVED_TO) >= 0
    own("function.create_batch", functions=[
        {"type": "rng", "name": f"f{n}", "pf": "p"} for n in range(250)])
    written(own, "p", lambda content: len(content["functions"]) == 250)
    writes = 0
    while select.select([watch], [], [], 0.5)[0]:
        data = os.read(watch, 65536)
        while data:
            length, = struct.unpack_from("I", data, 12)
            data = data[16 + length:]
            writes += 1
    os.close(watch)
    assert writes == 1


GOOD = {"version": 1, "name": "p", "params": {"type": "rng", "name": "p", "max_vfs": 16},
        "functions": [{"slot": 1, "params": {"type": "rng", "name": "f", "driver": "vfio-pci",
                                             "mode": "0600"}}]}


def changed(**members):
    return json.dumps({**GOOD, **members}).encode()


def function(slot=1, **params):
    return {"slot": slot, "params": {**GOOD["functions"][0]["params"], **params}}


@pytest.mark.parametrize("content", [
    b"", b"{", b"null", b"[]", b"\xff\xfe\x00", json.dumps(GOOD).encode()[:-20], b"{}" + b"x",
    b"[" * 100000, changed(version=2), changed(version="1"), changed(name="p", params={}),
    changed(params={"type": "rng", "name": "q", "max_vfs": 16}), changed(params=None),
    changed(params={"type": "nothing", "name": "p"}), changed(functions={}),
    changed(functions=[[]]), changed(functions=[{}]), changed(functions=[function(slot=99999)]),
    changed(functions=[function(slot=-1)]), changed(functions=[function(slot="1")]),
    changed(functions=[function(type="blk")]), changed(functions=[function(name="../x")]),
    changed(functions=[function(name=None)]), changed(functions=[function(), function(slot=2)]),
    changed(functions=[function(driver="nothing")]), changed(functions=[function(slot=1.5)]),
    changed(functions=[{"slot": 1, "params": {"type": "rng", "name": "x"}}]),
    b'{"version":1,"name":"p","x":"' + b"y" * (33 << 20) + b'"}',
], ids=range(28))
def test_file_that_makes_no_sense_is_set_aside(content):
    daemon = Daemon()
    os.makedirs(os.path.join(daemon.runtime, "pf"), mode=0o700)
    with open(path_of(daemon, "p"), "wb") as file:
        file.write(content)
    with daemon:
        assert daemon("pf.list") == [] and daemon.names() == []
        assert not os.path.exists(path_of(daemon, "p"))
        with open(path_of(daemon, "p") + ".bad", "rb") as file:
            assert file.read() == content
        assert f"{path_of(daemon, 'p')}: " in daemon.log() and "set aside" in daemon.log()
        daemon("function.create", type="rng", name="f")


def test_file_that_is_no_file():
    """A link, a directory and a FIFO are set aside, not followed, nor waited for."""
    daemon = Daemon()
    folder = os.path.join(daemon.runtime, "pf")
    os.makedirs(folder, mode=0o700)
    target = os.path.join(daemon.directory, "target")
    with open(target, "w", encoding="utf-8") as file:
        json.dump(GOOD, file)
    os.symlink(target, path_of(daemon, "p"))
    os.mkdir(path_of(daemon, "q"))
    os.mkfifo(path_of(daemon, "r"))
    with daemon:
        assert daemon("pf.list") == []
        assert sorted(os.listdir(folder)) == ["p.json.bad", "q.json.bad", "r.json.bad"]


def test_a_file_that_was_written_by_hand(own):
    """It is what it says, and a slot that is not possible costs that function alone."""
    own.end(signal.SIGTERM)
    with open(path_of(own, "p"), "w", encoding="utf-8") as file:
        json.dump({**GOOD, "functions": [function(slot=3), function(slot=3, name="g")]}, file)
    own.start()
    ready(own)
    assert own("function.show", name="f")["slot"] == 3
    shown = own("function.show", name="g")
    assert shown["state"] == "down" and "taken" in shown["text"]
