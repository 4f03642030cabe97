# SPDX-License-Identifier: BSD-3-Clause
"""function.create_batch: many functions, all of them or none, whoever dies in the middle."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from control import BUILD, Daemon, RpcError, sockets, wait_until


@pytest.fixture(name="daemon")
def _daemon(shared_daemon):
    """Each test ends with no PF left, either."""
    yield shared_daemon
    shared_daemon.clear(pfs=True)


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def rng(*names, **params):
    return [dict({"type": "rng", "name": name}, **params) for name in names]


def batch(daemon, functions):
    return daemon("function.create_batch", functions=functions)


def fails(daemon, functions):
    return daemon.fails("function.create_batch", functions=functions)


def nothing_is_left(daemon, pfs=()):
    assert daemon.names() == [] and sockets(daemon) == []
    assert [pf["name"] for pf in daemon("pf.list")] == list(pfs)
    assert all(pf["functions"] == 0 for pf in daemon("pf.list"))


def test_makes_all_in_order(daemon):
    image = daemon.image()
    made = batch(daemon, [{"type": "rng", "name": "b"}, {"type": "blk", "name": "disk", "image":
                 image, "readonly": True}, {"type": "net", "name": "n"},
                 {"type": "rng", "name": "a", "slot": 9, "driver": "none"}])
    assert [f["name"] for f in made] == ["b", "disk", "n", "a"]
    assert [f["slot"] for f in made] == [1, 1, 1, 9]
    assert [f["pf"] for f in made] == ["rng0", "blk0", "net0", "rng0"]
    shown = {f["name"]: f for f in daemon("function.list")}
    assert len(shown) == 4
    for function in made:
        assert function == {key: value for key, value in shown[function["name"]].items()
                            if key not in ("params", "counters")}
    assert sockets(daemon) == ["b.sock", "disk.sock", "n.sock"]
    for function in made[:3]:
        with socket.socket(socket.AF_UNIX) as vmm:
            vmm.connect(function["socket"])
    # They are as others are.
    daemon("function.bind", name="a", driver="vfio-pci")
    daemon("function.destroy", names=["a", "b", "disk", "n"], force=True)


def test_what_exists_counts_and_stays(daemon):
    daemon("function.create", type="rng", name="old", mode="660")
    before = daemon("function.show", name="old")
    made = batch(daemon, [*rng("new"), *rng("old", mode="0660")])
    assert [f["name"] for f in made] == ["new", "old"]
    assert batch(daemon, [*rng("new"), *rng("old", mode="0660")]) == made
    # A batch that fails takes nothing of it back.
    error = fails(daemon, [*rng("old", mode="0660"), *rng("newer"), *rng("new", driver="none")])
    assert error.message == (
        "create batch: entry 2 (new): it exists with other parameters: driver (have vfio-pci, asked "
        "none); ask for the same, destroy it first, or give another name")
    assert error.errno == "EEXIST" and error.data["index"] == 2 and error.data["name"] == "new"
    assert sorted(daemon.names()) == ["new", "old"]
    assert daemon("function.show", name="old") == before


@pytest.mark.parametrize("functions, message", [
    ([], "give functions, an array of objects as function.create takes them, and nothing else"),
    ("a", "give functions, an array of objects as function.create takes them, and nothing else"),
    ([{"type": "rng"}], "entry 0: name is missing; give name=..."),
    ([*rng("a"), {"type": "rng", "name": "b", "image": "/x"}],
     "entry 1 (b): there is no key image for a function of type rng; the keys are type, name, "
     "driver, pf, slot, queues, queue_size, packed, owner, group, mode, legacy"),
    ([*rng("a"), None], "entry 1: give an object as function.create takes it"),
    ([*rng("a"), 7], "entry 1: params: give an object with named members"),
    (rng("a", "b", "a"), "entry 2 (a): entry 0 has this name, too; give each its own"),
])
def test_params_are_looked_at_before_anything_is_done(daemon, functions, message):
    error = fails(daemon, functions)
    assert error.code == -32602 and error.message == "create batch: " + message
    where = re.match(r"entry (\d+)(?: \((.*?)\))?: ", message)
    if where:
        assert error.data["index"] == int(where[1]) and error.data.get("name") == where[2]
    nothing_is_left(daemon)


def test_other_members_are_refused(daemon):
    error = daemon.fails("function.create_batch", functions=rng("a"), force=True)
    assert error.code == -32602
    nothing_is_left(daemon)


@pytest.mark.parametrize("last, errno", [
    ({"type": "blk", "name": "z", "image": "/nowhere"}, "ENOENT"),
    ({"type": "rng", "name": "z", "pf": "nowhere"}, "ENOENT"),
    ({"type": "rng", "name": "z", "slot": 3}, "ENOSPC"),
    ({"type": "rng", "name": "z", "owner": "nobody-of-this-name"}, "ENOENT"),
])
def test_the_last_of_many_fails(daemon, last, errno):
    before = descriptors(daemon)
    if errno == "ENOSPC" and daemon.fake:
        errno = "EBUSY"
    error = fails(daemon, [*rng(*[f"f{n}" for n in range(100)]), last])
    assert error.message.startswith("create batch: entry 100 (z): ")
    assert error.errno == errno and error.data["index"] == 100
    # The PF that was made for it went, too.
    nothing_is_left(daemon)
    wait_until(lambda: descriptors(daemon) <= before)


def test_a_pf_that_was_there_stays(daemon):
    daemon("pf.add", name="tenant", type="rng", max_vfs=16)
    error = fails(daemon, rng(*[f"f{n}" for n in range(17)]))
    assert error.message == ("create batch: entry 16 (f16): PF tenant has all its 16 slots in use; "
                             "add another PF of type rng")
    nothing_is_left(daemon, ["tenant"])
    assert len(batch(daemon, rng(*[f"f{n}" for n in range(16)]))) == 16


def test_several_pfs_fill_up(daemon):
    for name in ("one", "two"):
        daemon("pf.add", name=name, type="rng", max_vfs=3)
    made = batch(daemon, rng("a", "b", "c", "d", "e"))
    assert [f["pf"] for f in made] == ["one"] * 3 + ["two"] * 2
    # What is noted of batches on several PFs is gone with their end.
    assert not [f for f in os.listdir(daemon.runtime) if f.startswith("batch-")]


def test_nobody_sees_half_of_it(daemon):
    """Functions of a batch under way are as if they were not there, but for their names."""
    with daemon.connect() as one, daemon.connect() as other:
        ident = one.start("function.create_batch", functions=rng(*[f"f{n}" for n in range(250)]))
        seen = set()
        answer = None
        one.socket.settimeout(0.001)
        while answer is None:
            seen.add(len(other("function.list")))
            try:
                answer = one.finish(ident)
            except (socket.timeout, BlockingIOError):
                pass
        seen.add(len(other("function.list")))
    assert seen <= {0, 250} and "error" not in answer


def test_events_come_when_it_is_made(daemon):
    with daemon.connect() as subscriber:
        subscriber("events.subscribe")
        fails(daemon, [*rng("a", "b"), {"type": "rng", "name": "c", "pf": "nowhere"}])
        batch(daemon, rng("d", "e"))
        events = [subscriber.line()["params"] for _ in range(5)]
        assert subscriber.silent()
    kinds = [(e["event"], e[e["event"].split(".")[0]]["name"]) for e in events]
    assert [kind for kind in kinds if kind[0].startswith("function")] == [
        ("function.created", "d"), ("function.created", "e")]


def test_client_that_goes(daemon):
    with daemon.connect() as connection:
        connection.start("function.create_batch", functions=rng(*[f"f{n}" for n in range(50)]))
        wait_until(lambda: sockets(daemon))  # of one that goes before, nothing is done
    wait_until(lambda: len(daemon.names()) == 50)


def test_batch_of_thousands(daemon):
    """A message of 4000 functions; their slots and sockets, and all gone again."""
    daemon("pf.add", name="big", type="rng", max_vfs=4094)
    names = [f"function-with-a-name-that-says-a-lot-about-what-it-is-for-{n:04}"
             for n in range(4000)]
    before = descriptors(daemon)
    with daemon.connect(timeout=180) as connection:
        made = connection("function.create_batch", functions=rng(
            *names, driver="vfio-pci", mode="0660", queue_size="256", packed=False))
        assert [f["name"] for f in made] == names
        assert sorted(f["slot"] for f in made) == list(range(1, 4001))
        assert len(sockets(daemon)) == 4000
        for name in (names[0], names[1999], names[3999]):
            with socket.socket(socket.AF_UNIX) as vmm:
                vmm.connect(os.path.join(daemon.runtime, "functions", name + ".sock"))
        # One that fails at its end takes all its functions with it, but not these.
        daemon("pf.add", name="other", type="rng", max_vfs=300)
        with pytest.raises(RpcError) as error:
            connection("function.create_batch", functions=rng(
                *[f"x{n}" for n in range(301)], pf="other"))
        assert error.value.errno == "ENOSPC" and len(connection("function.list")) == 4000
        assert len(connection("function.destroy", names=names, force=True)["destroyed"]) == 4000
    nothing_is_left(daemon, ["big", "other"])
    daemon("pf.remove", name="other")
    wait_until(lambda: descriptors(daemon) <= before)


# Processes that do wrong


def test_refused_by_the_pf_process(own):
    error = fails(own, rng("a", "b", "refuse-c", "d"))
    assert error.message == ("create batch: entry 2 (refuse-c): the fake refuses refuse-c; give "
                             "another name")
    nothing_is_left(own)


@pytest.mark.parametrize("name", ["die-c", "garbage-c", "noise-c"])
def test_pf_process_that_goes_wrong(own, name):
    own("function.create", type="blk", name="other", image=own.image())
    pid = own("pf.list")[0]["pid"]
    error = fails(own, [*rng("a", "b", name, "d"), *rng("e")])
    assert error.data["index"] in (0, 1, 2, 3, 4) and error.errno in ("EIO", "EPROTO")
    wait_until(lambda: own.names() == ["other"])
    wait_until(lambda: sockets(own) == ["other.sock"])
    assert own("pf.list")[0]["pid"] == pid
    assert len(batch(own, rng("a", "b", "d"))) == 3


def test_one_of_two_pf_processes_dies(own):
    for name in ("one", "two"):
        own("pf.add", name=name, type="rng")
    error = fails(own, [*rng("a", "b", pf="one"), *rng("c", "die-d", pf="two")])
    assert error.errno == "EIO" and error.message.startswith("create batch: entry ")
    wait_until(lambda: own.names() == [] and sockets(own) == [])
    assert own("pf.list")[0]["name"] == "one" and own("pf.list")[0]["functions"] == 0


def test_no_answer_in_time(own):
    """The call fails; what is done later all the same is undone."""
    with own.connect(timeout=60) as connection:
        start = time.monotonic()
        with pytest.raises(RpcError) as error:
            connection("function.create_batch", functions=rng("a", "slow-b", "c"))
        assert 9 < time.monotonic() - start < 30
    assert error.value.errno == "ETIMEDOUT"
    assert error.value.message.startswith("create batch: entry 1 (slow-b): ")
    assert own.names() == []
    wait_until(lambda: sockets(own) == [] and own("pf.list")[0]["functions"] == 0)


def next_ridged(own):
    own.process.wait(20)
    own.process.stdout.close()
    own.start()


def test_ridged_dies_in_the_middle(own):
    """The next one undoes what is there."""
    own("function.create", type="rng", name="old")
    own.note_pids()
    with own.connect() as connection:
        connection.start("function.create_batch", functions=rng("a", "b", "slay-c", "d"))
        assert connection.line() is None
    next_ridged(own)
    wait_until(lambda: own.names() == ["old"])
    wait_until(lambda: sockets(own) == ["old.sock"] and own("pf.list")[0]["functions"] == 1)
    assert len(batch(own, rng("a", "b", "d"))) == 3


def test_ridged_dies_at_the_end_of_a_batch(own):
    """On one PF: its process did not hear that the batch is finished, so it is not."""
    own("pf.add", name="one", type="rng")
    own.note_pids()
    with own.connect() as connection:
        connection.start("function.create_batch", functions=rng("a", "uncommitted-b"))
        assert connection.line() is None
    next_ridged(own)
    wait_until(lambda: own.names() == [] and sockets(own) == [])


def test_ridged_dies_at_the_end_of_a_batch_on_two_pfs(own):
    """One process heard that it is finished, so it is finished in both."""
    for name in ("one", "two"):
        own("pf.add", name=name, type="rng")
    own.note_pids()
    with own.connect() as connection:
        connection.start("function.create_batch", functions=[
            *rng("a", "b", pf="one"), *rng("c", "uncommitted-d", pf="two")])
        assert connection.line() is None
    assert [f for f in os.listdir(own.runtime) if f.startswith("batch-")]
    next_ridged(own)
    wait_until(lambda: sorted(own.names()) == ["a", "b", "c", "uncommitted-d"])
    assert not [f for f in os.listdir(own.runtime) if f.startswith("batch-")]
    # It told the process, so this is not undone either.
    own.end()
    own.start()
    assert sorted(own.names()) == ["a", "b", "c", "uncommitted-d"]


def test_what_cannot_be_undone(own):
    """It is said, and is there to stay, also for the next ridged."""
    error = fails(own, rng("refusedestroy-a", "b", "refusedestroy-c", "refuse-d"))
    assert error.message == (
        "create batch: entry 3 (refuse-d): the fake refuses refuse-d; give another name; "
        "refusedestroy-a and 1 more could not be undone, destroy them")
    assert error.data["stay"] == ["refusedestroy-a", "refusedestroy-c"]
    assert error.data["index"] == 3
    assert own.names() == error.data["stay"]
    own.end()
    own.start()
    assert own.names() == error.data["stay"]
    with socket.socket(socket.AF_UNIX) as vmm:
        vmm.connect(own("function.show", name="refusedestroy-a")["socket"])


def test_end_that_a_process_did_not_hear(own):
    """What the caller was told is true, though ridged dies before the process hears of it."""
    assert len(batch(own, rng("a", "refusecommit-b"))) == 2
    assert [f for f in os.listdir(own.runtime) if f.startswith("batch-")]
    own.end()
    own.start()
    assert own.names() == ["a", "refusecommit-b"]


def test_ridged_that_is_asked_to_end_in_the_middle(own):
    own.note_pids()
    with own.connect() as connection:
        connection.start("function.create_batch", functions=rng("a", "slow-b", "c"))
        wait_until(lambda: len(sockets(own)) == 3)
        assert own.end(signal.SIGTERM) == 0
    own.start()
    wait_until(lambda: own.names() == [] and sockets(own) == [])


def test_shutdown_in_the_middle(own):
    own.note_pids()
    with own.connect() as connection, own.connect() as other:
        connection.start("function.create_batch", functions=rng("a", "hang-b", "c"))
        wait_until(lambda: len(sockets(own)) == 3)
        other("system.shutdown")
        answer = connection.line()
    assert answer is None or answer["error"]["data"]["errno"] in ("EIO", "ESHUTDOWN")
    assert own.process.wait(20) == 0


# The command


def test_command(daemon, tmp_path):
    image = daemon.image("disk.img")
    functions = [{"type": "blk", "name": "d", "image": "disk.img"}, {"type": "rng", "name": "r"}]
    path = tmp_path / "batch.json"
    path.write_text(json.dumps(functions, indent=1))
    lines = daemon.ridge("create", "--batch", str(path), cwd=os.path.dirname(image)).splitlines()
    assert lines[0].startswith("d: blk ") and lines[1].startswith("r: rng ")
    assert daemon("function.show", name="d")["params"]["image"] == image
    made = json.loads(daemon.ridge("-j", "create", "--batch", str(path),
                                   cwd=os.path.dirname(image)))
    assert [f["name"] for f in made] == ["d", "r"]
    assert {"name", "type", "rid", "pf", "driver", "socket", "device", "state"} <= set(made[0])


def test_command_reads_standard_input(daemon):
    done = subprocess.run([os.path.join(BUILD, "ridge"), "-j", "create", "--batch", "-"],
                          input=json.dumps(rng("a", "b")), env=daemon.environment, text=True,
                          capture_output=True, check=True, timeout=60)
    assert [f["name"] for f in json.loads(done.stdout)] == ["a", "b"]


@pytest.mark.parametrize("text, wrong", [
    ("[", "not JSON: it ends too early"), ("", "not JSON: it ends too early"),
    ("{}", "not an array; give one of objects as function.create takes them"),
    ("[}", "unexpected character"), ("[] x", "unexpected character"),
])
def test_command_with_a_file_that_is_none(daemon, tmp_path, text, wrong):
    path = tmp_path / "batch.json"
    path.write_text(text)
    assert daemon.ridge("create", "--batch", str(path), status=1) == (
        f"ridge: create --batch {path}: {wrong}")
    nothing_is_left(daemon)


def test_command_says_which_entry(daemon, tmp_path):
    path = tmp_path / "batch.json"
    path.write_text(json.dumps(rng("a", "a")))
    assert daemon.ridge("create", "--batch", str(path), status=1) == (
        "ridge: create batch: entry 1 (a): entry 0 has this name, too; give each its own")
    error = json.loads(daemon.ridge("-j", "create", "--batch", str(path), status=1))["error"]
    assert error["code"] == -32602 and error["data"]["index"] == 1
    assert daemon.ridge("create", "--batch", "/nowhere", status=1) == (
        "ridge: create --batch /nowhere: No such file or directory; give a file that you may read, "
        "or - for standard input")
    error = json.loads(daemon.ridge("-j", "create", "--batch", "/nowhere", status=1))["error"]
    assert error["errno"] == "ENOENT"
    assert "a directory; give a file" in daemon.ridge("create", "--batch", "/", status=1)


@pytest.mark.parametrize("argv", [["create", "rng", "a", "--batch", "f"],
                                  ["list", "--batch", "f"], ["create", "--batch"]])
def test_command_usage(daemon, argv):
    daemon.ridge(*argv, status=2)


# Descriptors


@pytest.fixture
def few():
    """A ridged, and PF processes, that may have 600 descriptors."""
    with Daemon(fake=False, prefix=["prlimit", "--nofile=600:600"]) as daemon:
        yield daemon


def test_too_few_descriptors(few):
    """A clear error while all that is there goes on; and not before it has to be."""
    error = fails(few, rng(*[f"f{n}" for n in range(200)]))
    assert error.errno == "EMFILE" and 50 < error.data["index"] < 200
    assert "ridged may have 600 descriptors" in error.message
    assert "raise its limit of open files" in error.message
    nothing_is_left(few)
    made = batch(few, rng(*[f"f{n}" for n in range(error.data["index"])]))
    # A connection more or less is a few descriptors.
    with pytest.raises(RpcError) as refused:
        for n in range(20):
            few("function.create", type="rng", name=f"more{n}")
    assert refused.value.errno == "EMFILE"
    connections = [few.connect() for _ in range(200)]
    for connection in connections:
        assert connection("system.info")
        connection.close()
    for function in made:
        with socket.socket(socket.AF_UNIX) as vmm:
            vmm.connect(function["socket"])


def test_the_next_ridged_hears_of_all_in_few_descriptors():
    """Also of more than the socket takes at once, each with three, for which nothing is spare."""
    daemon = Daemon(fake=False, prefix=["prlimit", "--nofile=1200:1200"])
    daemon.start()
    try:
        image = daemon.image()
        functions = [{"type": "blk", "name": f"f{n}", "image": image, "share": True}
                     for n in range(250)]
        daemon("pf.add", name="p", type="blk", max_vfs=300)
        batch(daemon, functions)
        daemon.end()
        daemon.start()
        assert sorted(daemon.names()) == sorted(function["name"] for function in functions)
        daemon("function.destroy", names=[function["name"] for function in functions])
    finally:
        daemon.close()
