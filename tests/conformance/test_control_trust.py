# SPDX-License-Identifier: BSD-3-Clause
"""A PF process that a guest took over: ridged opens nothing because it says so (docs/security.md)."""

import json
import os
import signal
import time

import pytest

from control import Daemon, running, wait_until
from test_control_registry import names_in, path_of, registry, written
from test_control_restart import kill, pf, sockets

HEARSAY = "is known from its "


@pytest.fixture
def forger():
    """Its PF processes say what the file .forges says."""
    daemon = Daemon()
    daemon.forges = os.path.join(daemon.directory, "forges")
    daemon.environment["FAKE_PF_FORGES"] = daemon.forges
    daemon.secret = daemon.image("secret")
    daemon.start()
    yield daemon
    daemon.close()


def forge(daemon, **what):
    with open(daemon.forges + ".new", "w", encoding="utf-8") as file:
        json.dump(what, file)
    os.rename(daemon.forges + ".new", daemon.forges)


def spec(daemon, name, **params):
    return json.dumps({"type": "blk", "name": name, "driver": "vfio-pci", "image": daemon.secret,
                       "mode": "0666", "share": True, **params})


def made(daemon, **params):
    """A function that the registry file has."""
    daemon("function.create", type="blk", name="a", image=daemon.image("a"), **params)
    written(daemon, "blk0", lambda content: names_in(content) == ["a"])


def has_open(daemon, path):
    """Whether ridged or a PF process does."""
    for pid in [daemon.process.pid] + [pf["pid"] for pf in daemon("pf.list") if pf["pid"]]:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}") == path:
                    return True
            except FileNotFoundError:
                pass
    return False


def process_of(pid, name):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"--name\0" + name.encode() + b"\0" in file.read()


def another_ridged(daemon):
    daemon.end()
    daemon.start()


def test_a_function_that_nobody_made(forger):
    """To be asked for a list is no chance to have one more."""
    made(forger)
    forge(forger, ghosts={"ghost": spec(forger, "ghost")})
    for _ in range(2):
        assert forger.names() == ["a"]
    kill(forger, "blk0")
    assert forger.names() == ["a"] and sockets(forger) == ["a.sock"]
    assert not has_open(forger, forger.secret)


def test_a_function_that_the_next_ridged_is_told_of(forger):
    """It is shown, for it may be there, but is not made again from what was said."""
    made(forger)
    forge(forger, ghosts={"ghost": spec(forger, "ghost")})
    another_ridged(forger)
    assert forger.names() == ["a", "ghost"]
    kill(forger, "blk0")
    assert forger("function.show", name="a")["state"] == "idle"
    shown = forger("function.show", name="ghost")
    assert shown["state"] == "down"
    assert shown["text"] == (
        f"it could not be made again: that it has image={forger.secret} is known from its PF "
        "process alone; destroy it, and create it again")
    assert sockets(forger) == ["a.sock"] and not has_open(forger, forger.secret)
    # Nor does it become true by being written down.
    written(forger, "blk0", lambda content: names_in(content) == ["a", "ghost"])
    os.unlink(forger.forges)
    pid = pf(forger, "blk0")["pid"]
    forger.end()
    os.kill(pid, signal.SIGKILL)
    forger.start()
    wait_until(lambda: pf(forger, "blk0")["state"] == "ready")
    assert forger("function.show", name="a")["state"] == "idle"
    assert HEARSAY in forger("function.show", name="ghost")["text"]
    assert not has_open(forger, forger.secret)


@pytest.mark.parametrize("other", [{"image": "secret"}, {"readonly": False}, {"share": True},
                                   {"mode": "0666"}, {"owner": "nobody"}])
def test_other_parameters_than_those_written_down(forger, other):
    made(forger, readonly=True)
    params = forger("function.show", name="a")["params"]
    if "image" in other:
        other = {"image": forger.secret}
    forge(forger, specs={"a": json.dumps({**params, **other})}, no_backend=True)
    another_ridged(forger)
    kill(forger, "blk0")
    shown = forger("function.show", name="a")
    assert shown["state"] == "down" and HEARSAY in shown["text"]
    assert not has_open(forger, forger.secret)


def test_what_was_written_down_is_made_again(forger):
    """Without descriptors from the process that died, and after a bind that is not written."""
    made(forger)
    params = forger("function.show", name="a")["params"]
    forge(forger, specs={"a": json.dumps({**params, "driver": "none", "size": 4096})},
          no_backend=True)
    another_ridged(forger)
    kill(forger, "blk0")
    assert forger("function.show", name="a")["state"] == "idle"
    assert "hearsay" not in json.dumps(registry(forger, "blk0"))


def test_who_may_create_may_confirm(forger):
    made(forger)
    params = forger("function.show", name="a")["params"]
    forger.end()
    os.unlink(os.path.join(forger.runtime, "pf", "blk0.json"))
    forge(forger, no_backend=True)
    forger.start()
    written(forger, "blk0", lambda content: content["functions"][0].get("hearsay"))
    assert forger("function.create", **params)["state"] == "idle"
    written(forger, "blk0", lambda content: "hearsay" not in content["functions"][0])
    kill(forger, "blk0")
    assert forger("function.show", name="a")["state"] == "idle"


def test_socket_for_others_is_not_made_by_hearsay(forger):
    """A bind of what was never written down opens no more than ridged's user may use."""
    made(forger)
    params = forger("function.show", name="a")["params"]
    ghosts = {name: json.dumps({**params, "name": name, "mode": mode})
              for name, mode in (("mine", "0600"), ("all", "0666"))}
    forge(forger, ghosts=ghosts)
    another_ridged(forger)
    error = forger.fails("function.bind", name="all", driver="virtio-vfio-pci")
    assert error.errno == "EPERM" and "mode=0666 " + HEARSAY in error.message
    assert sockets(forger) == ["a.sock"]
    forger.fails("function.bind", name="mine", driver="virtio-vfio-pci")


def test_a_name_of_another_pf(forger):
    """Whichever process answers first, the function is of the PF whose file has it."""
    made(forger)
    forger("pf.add", name="other", type="blk")
    forger("function.create", type="blk", name="b", image=forger.image("b"), pf="other")
    written(forger, "other", lambda content: names_in(content) == ["b"])
    forge(forger, ghosts={name: spec(forger, name) for name in "ab"})
    another_ridged(forger)
    assert {f["name"]: f["pf"] for f in forger("function.list")} == {"a": "blk0", "b": "other"}


def test_a_name_that_went_to_another_pf(forger):
    """Where the file of the one that had it does not say so yet."""
    made(forger)
    before = registry(forger, "blk0")
    params = forger("function.show", name="a")["params"]
    forger("pf.add", name="other", type="blk")
    forger("function.destroy", name="a")
    forger("function.create", **params, pf="other")
    forger.end()
    with open(os.path.join(forger.runtime, "pf", "blk0.json"), "w", encoding="utf-8") as file:
        json.dump(before, file)
    forger.start()
    assert [(f["name"], f["pf"]) for f in forger("function.list")] == [("a", "other")]


def two_with_one_name(daemon, name, liar):
    """PFs p and q: one has the function, of the other it is written that it says so. ridged ended."""
    for pf_name in "pq":
        daemon("pf.add", name=pf_name, type="rng")
        daemon("function.create", type="rng", pf=pf_name, driver="none",
               name=name if pf_name != liar else "own")
        written(daemon, pf_name, names_in)
    daemon.end()
    content = registry(daemon, liar)
    own, = content["functions"]
    content["functions"].append({**own, "slot": own["slot"] + 1, "hearsay": True,
                                 "params": {**own["params"], "name": name}})
    with open(path_of(daemon, liar), "w", encoding="utf-8") as file:
        json.dump(content, file)


@pytest.mark.parametrize("liar", ["p", "q"])
def test_a_name_in_the_files_of_two(forger, liar):
    """Whichever is read first, each PF has all that is its own."""
    two_with_one_name(forger, "a", liar)
    for pid in forger.pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(running(pid) for pid in forger.pids))
    forger.start()
    wait_until(lambda: {f["state"] for f in forger("pf.list")} == {"ready"})
    assert {f["name"]: f["pf"] for f in forger("function.list")} == {
        "own": liar, "a": "q" if liar == "p" else "p"}
    assert not [name for name in os.listdir(os.path.join(forger.runtime, "pf")) if "bad" in name]


def test_a_name_that_is_being_made_again(forger):
    """One PF lists it while the other, of which it is hearsay, is asked to make it."""
    two_with_one_name(forger, "againhang-a", "p")
    forge(forger, gate=os.path.join(forger.directory, "gate"))
    dead, = [pid for pid in forger.pids if process_of(pid, "p")]
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: not running(dead))
    forger.start()
    assert "PF q has a function againhang-a, and so has another PF" in forger.log()
    shown = {f["name"]: f["pf"] for f in forger("function.list")}
    assert shown == {"own": "p", "againhang-a": "p"}
    forger.note_pids()
    os.kill(pf(forger, "p")["pid"], signal.SIGKILL)
    wait_until(lambda: "PF p: started again" in forger.log().split("is gone: killed")[-1])
    forger("pf.list")


def test_a_pf_does_not_become_another(forger):
    forger("pf.add", name="p", type="blk", max_vfs=4)
    written(forger, "p", lambda content: content["params"]["max_vfs"] == 4)
    forge(forger, type="net", pf=json.dumps({"type": "net", "name": "p", "max_vfs": 4}))
    assert pf(forger, "p")["type"] == "blk"
    assert forger("function.create", type="net", name="n")["pf"] == "net0"
    another_ridged(forger)
    os.unlink(forger.forges)
    assert forger("function.create", type="net", name="m")["pf"] == "net0"


@pytest.mark.parametrize("forged", [
    {"version": 1, "event": True}, {"type": "net"}, {"type": "net", "event": True}, {"shy": True}])
def test_a_pf_that_cannot_be_understood(forger, forged):
    """As one of another version: guests keep what they have, and nothing is written of it."""
    made(forger)
    before, pid = registry(forger, "blk0"), pf(forger, "blk0")["pid"]
    forge(forger, **forged)
    another_ridged(forger)
    shown = pf(forger, "blk0")
    assert (shown["state"], shown["type"], shown["pid"]) == ("unresponsive", "blk", pid)
    if forged != {"type": "net", "event": True}:
        assert shown["text"].startswith("its answers are of no use: ")
        assert shown["text"].endswith(f"or end process {pid}, and it is made again")
        error = forger.fails("function.create", type="blk", name="b", image=forger.image("b"),
                             pf="blk0")
        assert error.errno == "EPROTO" and shown["text"] in error.message
        # To be tried again makes no noise.
        time.sleep(1.5)
        assert forger.log().count(f"ridged: PF blk0 (pid {pid}): its answers") == 1
    assert forger("function.list") == [] and sockets(forger) == ["a.sock"]
    forger.fails("pf.add", name="blk0", type="blk")
    assert registry(forger, "blk0") == before
    # The right one finds all.
    os.unlink(forger.forges)
    wait_until(lambda: pf(forger, "blk0")["state"] == "ready")
    assert pf(forger, "blk0")["pid"] == pid and pf(forger, "blk0")["text"] is None
    assert forger.names() == ["a"]
    written(forger, "blk0", lambda content: content == before)


@pytest.mark.parametrize("end", ["kill", "shutdown"])
def test_a_pf_that_cannot_be_understood_ends(forger, end):
    """Its process: it is made again. All: nothing is left, which the fixture sees to."""
    made(forger)
    pid = pf(forger, "blk0")["pid"]
    forge(forger, version=1)
    another_ridged(forger)
    if end == "kill":
        os.unlink(forger.forges)
        forger.process.send_signal(signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        forger.process.send_signal(signal.SIGCONT)
        wait_until(lambda: forger("pf.list") and pf(forger, "blk0")["state"] == "ready")
        assert forger.names() == ["a"] and pf(forger, "blk0")["pid"] != pid


@pytest.mark.parametrize("restarted", [False, True])
def test_files_of_a_pf(forger, restarted):
    """Neither the image of its own device nor those of its VFs."""
    forger("pf.add", name="p", type="blk", max_vfs=4)
    written(forger, "p", lambda content: content["params"]["max_vfs"] == 4)
    pattern = os.path.join(forger.directory, "vf-%n")
    forge(forger, wants=3, pf=json.dumps({
        "type": "blk", "name": "p", "max_vfs": 4, "image": forger.secret, "vf_image": pattern,
        "vf_size": 4096}))
    if restarted:
        another_ridged(forger)
    forger("function.list")
    wait_until(lambda: "VF 3: " in forger.log())
    assert not [name for name in os.listdir(forger.directory) if name.startswith("vf-")]
    pid = pf(forger, "p")["pid"]
    forger.note_pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pf(forger, "p")["state"] in ("held", "ready") and
               pf(forger, "p")["pid"] != pid)
    assert not has_open(forger, forger.secret)
    if restarted:
        assert f"image={forger.secret} " + HEARSAY in pf(forger, "p")["text"]
        # Who may add it may say what it was added with.
        forger("pf.remove", name="p")
        forger("pf.add", name="p", type="blk", max_vfs=4)
