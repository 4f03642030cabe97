# SPDX-License-Identifier: BSD-3-Clause
"""events.subscribe: what subscribers hear, in which order, and what a slow one gets."""

import os
import signal
import socket
import time

import pytest

from control import Connection, wait_until
from virtio_guest import VERSION_1, rng_read


class Events:
    def __init__(self, daemon):
        self.connection = daemon if isinstance(daemon, Connection) else daemon.connect()
        assert self.connection("events.subscribe") == {}

    def next(self):
        message = self.connection.line()
        if message is None:
            return None
        assert set(message) == {"jsonrpc", "method", "params"}
        assert (message["jsonrpc"], message["method"]) == ("2.0", "event")
        return message["params"]

    def expect(self, *events):
        """These come next: "function.created name", as in the texts."""
        got = [self.next() for _ in events]
        for event in got:
            assert abs(event["time_ms"] / 1000 - time.time()) < 60
        assert [f'{e["event"]} {(e.get("function") or e["pf"])["name"]}' for e in got] == \
            list(events)
        return [e.get("function") or e["pf"] for e in got]

    def silent(self):
        return self.connection.silent()


def test_life_of_a_function(fresh):
    events = Events(fresh)
    made = fresh("function.create", type="net", name="n")
    pf, function = events.expect("pf.added net0", "function.created n")
    del made["counters"]
    assert function == made and pf["state"] == "ready"
    fresh("function.set", name="n", link="down")
    assert events.expect("function.set n")[0]["params"]["link"] == "down"
    fresh("function.bind", name="n", driver="none")
    assert events.expect("function.bound n")[0]["driver"] == "none"
    fresh("function.destroy", name="n")
    fresh("pf.remove", name="net0")
    events.expect("function.destroyed n", "pf.removed net0")
    assert events.silent()


def test_what_fails_is_no_event(fresh):
    fresh("pf.add", name="p", type="rng")
    events = Events(fresh)
    fresh.fails("function.create", type="rng", name="x", owner="no-such-user")
    fresh.fails("function.destroy", name="x")
    fresh("function.create", type="rng", name="x")
    events.expect("function.created x")
    fresh("function.create", type="rng", name="x")
    fresh.fails("function.set", name="x", link="up")
    fresh("function.list")
    assert events.silent()


def test_vmm_comes_and_goes(fresh):
    made = fresh("function.create", type="rng", name="x")
    events = Events(fresh)
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as vmm:
            vmm.connect(made["socket"])
            function, = events.expect("function.attached x")
            assert (function["state"], function["peer_pid"]) == ("connected", os.getpid())
        function, = events.expect("function.detached x")
        assert function["peer_pid"] is None
        wait_until(lambda: fresh("function.show", name="x")["state"] == "idle")
    assert events.silent()


def test_stopped_function(own):
    made = own("function.create", type="net", name="fault-1")
    events = Events(own)
    with socket.socket(socket.AF_UNIX) as vmm:
        vmm.connect(made["socket"])
        events.expect("function.attached fault-1")
        own("function.set", name="fault-1", link="down")
        function, = events.expect("function.faulted fault-1")
        assert (function["state"], function["text"]) == ("faulted", "the fake stopped it")
        # The answer to set has it connected again: no event of its own.
        events.expect("function.set fault-1")
    events.expect("function.detached fault-1")


def test_every_stop_of_a_function(create, attach):
    """Also when nobody asked how it was in between."""
    function = create("rng", driver="vfio-pci")
    events = Events(Connection(function.ridge.socket))
    guest = attach(function, "modern")
    events.expect(f"function.attached {function.name}")
    for _ in range(3):
        guest.transport.start(VERSION_1)
        rng_read(guest.transport, 64)
        guest.transport.queues[0].add([(0xDEAD0000, 64, True)])
        guest.transport.kick()
        shown, = events.expect(f"function.faulted {function.name}")
        assert shown["state"] == "faulted" and shown["text"]
    guest.client.close()
    events.expect(f"function.detached {function.name}")


def test_pf_dies(fresh):
    fresh("function.create", type="rng", name="a")
    fresh("function.create", type="rng", name="b")
    events = Events(fresh)
    os.kill(fresh("pf.list")[0]["pid"], signal.SIGKILL)
    events.expect("pf.died rng0", "function.restarted a", "function.restarted b",
                  "pf.restarted rng0")


def test_several_subscribers_and_calls_on_the_same_connection(fresh):
    first, second = Events(fresh), Events(fresh)
    assert first.connection("events.subscribe") == {}
    first.connection.start("function.create", type="rng", name="a")
    lines = [first.connection.line() for _ in range(3)]
    assert [line.get("method", "answer") for line in lines] == ["event", "event", "answer"]
    second.expect("pf.added rng0", "function.created a")
    second.connection.close()
    fresh("function.destroy", name="a")
    first.expect("function.destroyed a")


def test_subscriber_that_sends_no_more(fresh):
    events = Events(fresh)
    events.connection.socket.shutdown(socket.SHUT_WR)
    fresh("function.create", type="rng", name="a")
    events.expect("pf.added rng0", "function.created a")


def test_end_of_ridged_is_the_end_of_events(fresh):
    fresh("function.create", type="rng", name="a")
    events = Events(fresh)
    fresh.note_pids()
    fresh("system.shutdown")
    events.expect("function.destroyed a", "pf.removed rng0")
    assert events.next() is None
    assert fresh.process.wait(20) == 0


def test_ridged_that_ends_alone_says_nothing_of_functions(fresh):
    fresh("function.create", type="rng", name="a")
    events = Events(fresh)
    fresh.end(signal.SIGTERM)
    assert events.next() is None
    fresh.start()
    assert fresh.names() == ["a"]


def test_slow_subscriber_is_dropped_with_a_notice(own):
    name = "a" * 60
    own("function.create", type="rng", name=name, driver="none")
    events = Events(own)
    seen = 0
    # Nobody reads: what the socket holds and 1 MiB more is kept. It must not take 30 s to fill
    # that, or the connection ends without a notice.
    with own.connect() as connection:
        for n in range(6000):
            connection("function.bind", name=name, driver=("vfio-pci", "none")[n % 2])
            if n % 100 == 0 and "does not read its events" in own.log():
                break
    while True:
        event = events.next()
        if event["event"] == "dropped":
            break
        assert event["event"] == "function.bound"
        seen += 1
    assert seen > 100 and events.next() is None
    with open(f"/proc/{own.process.pid}/status", encoding="utf-8") as status:
        assert int([line.split()[1] for line in status if line.startswith("VmHWM")][0]) < 512 * 1024


def test_events_while_ridged_is_stopped(fresh):
    """A PF process keeps no more than it must; ridged catches up."""
    made = fresh("function.create", type="rng", name="a")
    if fresh.fake:
        pytest.skip("the fake keeps everything")
    events = Events(fresh)
    fresh.process.send_signal(signal.SIGSTOP)
    for _ in range(500):
        with socket.socket(socket.AF_UNIX) as vmm:
            vmm.connect(made["socket"])
    vmm = socket.socket(socket.AF_UNIX)
    vmm.connect(made["socket"])
    time.sleep(0.5)
    fresh.process.send_signal(signal.SIGCONT)
    assert wait_until(lambda: fresh("function.show", name="a")["state"] == "connected")
    last = None
    attached = 0
    while not events.silent():
        last = events.next()
        attached += last["event"] == "function.attached"
    assert last["event"] == "function.attached" and attached > 1
    vmm.close()
    events.expect("function.detached a")
