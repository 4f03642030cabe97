# SPDX-License-Identifier: BSD-3-Clause
"""A PF process that dies: it comes back, with its functions, and nobody else notices."""

import os
import select
import signal
import socket
import time

import pytest

from control import Locker, running, sockets, wait_until


def pf(daemon, name):
    found, = [pf for pf in daemon("pf.list") if pf["name"] == name]
    return found


def kill(daemon, name):
    """The PF's process; returns when another is there and did all that it has to."""
    pid = pf(daemon, name)["pid"]
    daemon.note_pids()
    os.kill(pid, signal.SIGKILL)

    def is_back():
        now = pf(daemon, name)
        return now["state"] == "ready" and now["pid"] != pid

    wait_until(is_back)
    daemon.note_pids()


def same(function):
    return {key: value for key, value in function.items() if key not in ("pid", "counters")}


def hold(daemon, **params):
    """A PF whose process dies whenever its function is made again."""
    made = daemon("function.create", type="rng", name="againdie-a", **params)
    daemon("function.create", type="rng", name="b", **params)
    daemon.note_pids()
    os.kill(made["pid"], signal.SIGKILL)
    wait_until(lambda: pf(daemon, made["pf"])["state"] == "held")
    return pf(daemon, made["pf"])


def test_functions_come_back_as_they_were(fresh):
    image = fresh.image()
    made = [fresh("function.create", **params) for params in (
        {"type": "blk", "name": "disk", "image": image, "serial": "S1", "slot": 7, "mode": "660"},
        {"type": "blk", "name": "old", "image": fresh.image("b"), "driver": "virtio-vfio-pci",
         "legacy": "only"},
        {"type": "blk", "name": "none", "image": fresh.image("c"), "driver": "none"})]
    other = fresh("function.create", type="rng", name="other")
    inodes = [os.stat(f["socket"]).st_ino for f in made if f["socket"]]
    kill(fresh, "blk0")
    again = [fresh("function.show", name=f["name"]) for f in made]
    assert [same(f) for f in again] == [same(f) for f in made]
    assert [os.stat(f["socket"]).st_ino for f in again if f["socket"]] == inodes
    assert all(f["pid"] != made[0]["pid"] and running(f["pid"]) for f in again)
    # Another PF was not touched.
    assert fresh("function.show", name="other") == other
    # What is made next does not get in their way.
    assert fresh("function.create", type="blk", name="new", image=fresh.image("d"))["slot"] == 3
    fresh("function.destroy", names=["disk", "old", "none", "new"])
    assert sockets(fresh) == ["other.sock"]


def test_image_stays_locked(fresh):
    image = fresh.image()
    fresh("function.create", type="blk", name="disk", image=image)
    pid = pf(fresh, "blk0")["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and pf(fresh, "blk0")["state"] != "ready":
        with pytest.raises(OSError):
            Locker(image, True)
    wait_until(lambda: pf(fresh, "blk0")["state"] == "ready")
    with pytest.raises(OSError):
        Locker(image, True)
    fresh("function.destroy", name="disk")
    Locker(image, True).close()


def test_what_was_set_is_set_again(fresh):
    fresh("function.create", type="net", name="n")
    fresh("function.set", name="n", link="down")
    fresh("function.create", type="blk", name="d", image=fresh.image())
    if fresh.fake:
        fresh("function.set", name="d", size=1 << 19)
    mac = fresh("function.show", name="n")["params"]["mac"]
    for name in ("net0", "blk0"):
        kill(fresh, name)
    params = fresh("function.show", name="n")["params"]
    assert params["link"] == "down" and params["mac"] == mac
    if fresh.fake:
        assert fresh("function.show", name="d")["params"]["size"] == 1 << 19


def test_vmm_loses_its_connection_and_the_next_is_served(fresh):
    made = fresh("function.create", type="rng", name="a")
    vmm = socket.socket(socket.AF_UNIX)
    vmm.connect(made["socket"])
    wait_until(lambda: fresh("function.show", name="a")["state"] == "connected")
    os.kill(made["pid"], signal.SIGSTOP)
    # This one waits in the backlog, and is taken by the new process.
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(made["socket"])
    with fresh.connect() as subscriber:
        subscriber("events.subscribe")
        fresh.pids.add(made["pid"])
        os.kill(made["pid"], signal.SIGKILL)
        events = []
        while not events or events[-1]["event"] != "function.attached":
            events.append(subscriber.line()["params"])
    kinds = [event["event"] for event in events]
    assert kinds[0] == "function.detached" and kinds.index("pf.died") < kinds.index(
        "function.restarted") < kinds.index("function.attached")
    readable, _, _ = select.select([vmm], [], [], 10)
    assert readable and vmm.recv(1) == b""
    wait_until(lambda: fresh("function.show", name="a")["state"] == "connected")
    vmm.close()
    waiting.close()


def test_many_functions_come_back(fresh):
    names = [f"f{n}" for n in range(250)]
    made = fresh("function.create_batch", functions=[
        {"type": "rng", "name": name} for name in names])
    kill(fresh, "rng0")
    again = {f["name"]: f["slot"] for f in fresh("function.list")}
    assert again == {f["name"]: f["slot"] for f in made}


def test_a_new_ridged_after_it(fresh):
    fresh("function.create", type="rng", name="a")
    kill(fresh, "rng0")
    made = fresh("function.show", name="a")
    fresh.end()
    fresh.start()
    assert fresh("function.show", name="a") == made


def test_two_deaths_are_not_a_loop(fresh):
    fresh("function.create", type="rng", name="a")
    kill(fresh, "rng0")
    start = time.monotonic()
    kill(fresh, "rng0")
    assert time.monotonic() - start >= 0.9
    assert fresh("function.show", name="a")["state"] == "idle"


# Loops


def test_loop_is_held_with_the_reason(own):
    held = hold(own)
    reason = ("its process died 3 times in 30 s, the last time: killed by signal 9 (Killed); look "
              "at its log, then `ridge pf restart rng0'")
    assert held["text"] == reason and held["pid"] is None and held["functions"] == 2
    shown = own("function.show", name="b")
    assert shown["state"] == "down" and shown["text"] == reason and shown["pid"] is None
    # Other PFs go on; creations here fail with the reason, wherever they are asked for.
    own("function.create", type="blk", name="disk", image=own.image())
    for params in ({}, {"pf": "rng0"}):
        error = own.fails("function.create", type="rng", name="c", **params)
        assert error.errno == "EIO"
        assert error.message == f"create rng c: PF rng0 is held: {reason}"
    assert own.fails("function.bind", name="b", driver="none").errno == "EIO"
    assert own.fails("function.create_batch", functions=[
        {"type": "rng", "name": "d"}]).errno == "EIO"
    assert own.fails("pf.remove", name="rng0").errno == "EBUSY"
    assert own("function.list") and own("function.stats")
    # A second PF takes new ones.
    own("pf.add", name="more", type="rng")
    assert own("function.create", type="rng", name="c")["pf"] == "more"
    error = own.ridge("create", "rng", "d", "pf=rng0", status=1)
    assert error == f"ridge: create rng d: PF rng0 is held: {reason}"
    assert " held " in own.ridge("pf", "list")
    # It can be removed.
    assert own("function.destroy", names=["againdie-a", "b"])["destroyed"] == ["againdie-a", "b"]
    own("pf.remove", name="rng0")
    assert sockets(own) == ["c.sock", "disk.sock"]


def test_held_is_started_again_when_asked(own):
    hold(own)
    start = time.monotonic()
    error = own.fails("pf.restart", name="rng0")
    assert error.errno == "EIO" and "died 3 times" in error.message
    assert error.message.startswith("pf restart rng0: ")
    assert time.monotonic() - start > 1
    assert pf(own, "rng0")["state"] == "held"
    # Without the one that kills it.
    own("function.destroy", name="againdie-a")
    again = own("pf.restart", name="rng0")
    assert again["state"] == "ready" and again["text"] is None and again["functions"] == 1
    assert own("function.show", name="b")["state"] == "idle"
    vmm = socket.socket(socket.AF_UNIX)
    vmm.connect(own("function.show", name="b")["socket"])
    vmm.close()
    assert own.fails("pf.restart", name="rng0").errno == "EALREADY"
    assert own.fails("pf.restart", name="nowhere").errno == "ENOENT"
    assert "it is running" in own.ridge("pf", "restart", "rng0", status=1)


def test_events_of_a_loop(own):
    own("function.create", type="rng", name="againdie-a")
    with own.connect() as subscriber:
        subscriber("events.subscribe")
        os.kill(pf(own, "rng0")["pid"], signal.SIGKILL)
        events = []
        while not events or events[-1]["event"] != "pf.held":
            events.append(subscriber.line()["params"])
    assert [event["event"] for event in events] == ["pf.died"] * 3 + ["pf.held"]
    assert events[-1]["pf"]["state"] == "held" and events[-1]["pf"]["text"]


def test_shutdown_while_held(own):
    hold(own)
    own("system.shutdown")
    assert own.process.wait(20) == 0
    assert sockets(own) == [] if os.path.exists(os.path.join(own.runtime, "functions")) else True


def test_binary_that_is_gone(own):
    """It cannot be started again: held at once, with the reason."""
    script = os.path.join(own.directory, "pf")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexec {own.environment['RIDGE_PF']} \"$@\"\n")
    os.chmod(script, 0o755)
    own.end(signal.SIGTERM)
    own.environment["RIDGE_PF"] = script
    own.start()
    own("function.create", type="rng", name="a")
    os.rename(script, script + ".away")
    os.kill(pf(own, "rng0")["pid"], signal.SIGKILL)
    wait_until(lambda: pf(own, "rng0")["state"] == "held")
    held = pf(own, "rng0")
    assert held["text"].startswith("it cannot be started again: ") and script in held["text"]
    os.rename(script + ".away", script)
    own("pf.restart", name="rng0")
    assert own("function.show", name="a")["state"] == "idle"


# Functions that do not come back


def test_function_that_is_refused_stays_down(own):
    for name in ("a", "againrefuse-b"):
        own("function.create", type="rng", name=name)
    kill(own, "rng0")
    assert own("function.show", name="a")["state"] == "idle"
    shown = own("function.show", name="againrefuse-b")
    assert shown["state"] == "down" and shown["text"] == (
        "it could not be made again: the fake refuses againrefuse-b; give another name")
    error = own.fails("function.bind", name="againrefuse-b", driver="none")
    assert error.errno == "EIO" and "ridge pf restart rng0" in error.message
    error = own.fails("function.create", type="rng", name="againrefuse-b")
    assert error.errno == "EIO" and "it is down" in error.message
    # Asked for, it is tried again, without harm to the others.
    pid = pf(own, "rng0")["pid"]
    assert own("pf.restart", name="rng0")["pid"] == pid
    assert own("function.show", name="againrefuse-b")["state"] == "down"
    own("function.destroy", name="againrefuse-b")
    assert own.names() == ["a"] and sockets(own) == ["a.sock"]


def test_process_that_hangs_is_held(own):
    """It is not waited for without end: to be killed for that is to have died."""
    own("function.create", type="rng", name="againhang-a")
    own("function.create", type="rng", name="b")
    pid = pf(own, "rng0")["pid"]
    os.kill(pid, signal.SIGKILL)
    own.pids.add(pid)
    held = wait_until(lambda: [p for p in [pf(own, "rng0")] if p["state"] == "held"], 90)[0]
    assert "died 3 times in " in held["text"] and "it does not answer" in held["text"]
    assert own("function.destroy", names=["againhang-a"])["destroyed"] == ["againhang-a"]
    assert own("pf.restart", name="rng0")["state"] == "ready"
    assert own("function.show", name="b")["state"] == "idle"


def test_connection_lost_while_a_function_is_made_again(own):
    """On a PF that goes on: the call fails, and what became of the function is found out."""
    for name in ("a", "thennoise-b"):
        own("function.create", type="rng", name=name)
    kill(own, "rng0")
    assert own("function.show", name="thennoise-b")["state"] == "down"
    pid = pf(own, "rng0")["pid"]
    error = own.fails("pf.restart", name="rng0")
    assert error.errno == "EIO" and "connection" in error.message
    wait_until(lambda: own("function.show", name="thennoise-b")["state"] == "idle")
    assert own("function.show", name="a")["pid"] == pid
    assert own.fails("pf.restart", name="rng0").errno == "EALREADY"
    own("function.destroy", names=["a", "thennoise-b"])


# Requests that are under way


@pytest.mark.parametrize("method, params", [
    ("function.create", {"type": "rng", "name": "hang-c"}),
    ("function.bind", {"name": "a", "driver": "virtio-vfio-pci"}),
    ("function.bind", {"name": "n", "driver": "vfio-pci"}),
    ("function.bind", {"name": "a", "driver": "none"}),
    ("function.destroy", {"names": ["a", "n"]}),
    ("function.create_batch", {"functions": [{"type": "rng", "name": "x"},
                                             {"type": "rng", "name": "y"}]}),
])
def test_request_under_way_fails_and_ends_consistent(own, method, params):
    own("function.create", type="rng", name="a")
    own("function.create", type="rng", name="n", driver="none")
    before = [same(f) for f in own("function.list")]
    pid = pf(own, "rng0")["pid"]
    own.pids.add(pid)
    os.kill(pid, signal.SIGSTOP)
    with own.connect() as connection:
        connection.start(method, **params)
        time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
        answer = connection.line()
    assert "is gone: killed by signal 9 (Killed)" in answer["error"]["message"]
    wait_until(lambda: pf(own, "rng0")["state"] == "ready")
    assert pf(own, "rng0")["pid"] != pid
    assert [same(f) for f in own("function.list")] == before
    assert sockets(own) == ["a.sock"]
    own("function.bind", name="n", driver="vfio-pci")
    own("function.destroy", names=["a", "n"])
    assert sockets(own) == []


def test_requests_meanwhile_are_told(own):
    wait = os.path.join(own.directory, "wait")
    script = os.path.join(own.directory, "pf")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nwhile [ -e {wait} ]; do sleep 0.1; done\n"
                   f"exec {own.environment['RIDGE_PF']} \"$@\"\n")
    os.chmod(script, 0o755)
    own.end(signal.SIGTERM)
    own.environment["RIDGE_PF"] = script
    own.start()
    own("function.create", type="rng", name="a")
    with open(wait, "w", encoding="utf-8"):
        pass
    os.kill(pf(own, "rng0")["pid"], signal.SIGKILL)
    wait_until(lambda: pf(own, "rng0")["state"] == "restarting")
    shown = own("function.show", name="a")
    assert shown["state"] == "down"
    for method, params in (("function.create", {"type": "rng", "name": "b"}),
                           ("function.bind", {"name": "a", "driver": "none"}),
                           ("function.destroy", {"name": "a"}),
                           ("pf.restart", {"name": "rng0"})):
        error = own.fails(method, **params)
        assert error.errno in ("EAGAIN", "EBUSY") and "again" in error.message
    os.unlink(wait)
    wait_until(lambda: pf(own, "rng0")["state"] == "ready")
    own("function.destroy", name="a")


def test_removed_pf_is_not_a_crash(fresh):
    fresh("pf.add", name="x", type="rng")
    with fresh.connect() as subscriber:
        subscriber("events.subscribe")
        fresh("pf.remove", name="x")
        assert subscriber.line()["params"]["event"] == "pf.removed"
    assert fresh("pf.list") == []
