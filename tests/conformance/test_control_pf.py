# SPDX-License-Identifier: BSD-3-Clause
"""PFs, and what becomes of their processes that do not answer."""

import json
import os
import signal
import subprocess
import time

import pytest

from control import Daemon, RpcError, create, running, sockets, wait_until


def test_pf_add_list_remove(daemon):
    made = daemon("pf.add", name="p", type="rng", max_vfs=2)
    assert set(made) == {"name", "type", "rid", "pid", "state", "text", "functions", "max_vfs",
                         "exported", "socket", "peer_pid", "params", "admin_commands"}
    assert (made["name"], made["type"], made["max_vfs"]) == ("p", "rng", 2)
    assert (made["functions"], made["state"]) == (0, "ready")
    assert made["params"] == {"type": "rng", "name": "p", "max_vfs": 2}
    assert daemon("pf.add", name="p", type="rng", max_vfs="2")["pid"] == made["pid"]
    error = daemon.fails("pf.add", name="p", type="rng")
    assert error.errno == "EEXIST" and "max_vfs (have 2, asked 255)" in error.message
    create(daemon, "a", pf="p")
    create(daemon, "b", pf="p")
    error = daemon.fails("function.create", type="rng", name="c", pf="p")
    assert error.message == "create rng c: PF p has all its 2 slots in use; give another PF"
    error = daemon.fails("pf.remove", name="p")
    assert error.message == "pf remove p: it has 2 functions; destroy them first"
    daemon("function.destroy", names=["a", "b"])
    assert daemon("pf.remove", name="p") == {"name": "p"}
    assert not running(made["pid"])
    assert "p" not in [pf["name"] for pf in daemon("pf.list")]
    assert not os.path.exists(os.path.join(daemon.runtime, "pf", "p.sock"))
    assert daemon.fails("pf.remove", name="p").errno == "ENOENT"


def test_parameters_of_a_pf_can_be_seen():
    """As they were given or made up, and by an earlier ridged."""
    with Daemon(fake=False) as daemon:
        image = daemon.image("vf.img")
        daemon("pf.add", name="p", type="blk", image=image, vf_image=daemon.directory + "/%n.img",
               vf_size="1M")
        lan = daemon("pf.add", name="lan", type="net")
        want = {"type": "blk", "name": "p", "max_vfs": 255, "image": image,
                "vf_image": daemon.directory + "/%n.img", "vf_size": 1 << 20}
        assert lan["params"].pop("mac").count(":") == 5
        assert lan["params"] == {"type": "net", "name": "lan", "max_vfs": 255}
        daemon.end()
        daemon.start()
        assert [pf["params"] for pf in daemon("pf.list") if pf["name"] == "p"] == [want]
        assert json.loads(daemon.ridge("-j", "show", "p"))["params"] == want
        assert f"\n  image:            {image}\n" in daemon.ridge("show", "p")


def test_pf_of_another_type(daemon):
    daemon("pf.add", name="p", type="blk")
    error = daemon.fails("function.create", type="rng", name="a", pf="p")
    assert error.message == "create rng a: PF p is of type blk; give a PF of type rng"
    daemon("pf.remove", name="p")


def test_pf_that_refuses(fake):
    error = fake.fails("pf.add", name="refuse-p", type="rng")
    assert error.message == "pf add refuse-p: the fake does not want to be refuse-p"
    error = fake.fails("pf.add", name="exit-p", type="rng")
    assert "it exited with status 3" in error.message
    assert not [pf for pf in fake("pf.list") if pf["name"] in ("refuse-p", "exit-p")]


def test_pf_with_parameters_that_are_too_long(fake):
    """They are looked at before there is a process, of which nothing would be left."""
    def children():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == fake.process.pid:
                        found.append(pid)
            except OSError:
                pass
        return sorted(found)

    before = children()
    for _ in range(3):
        error = fake.fails("pf.add", name="long", type="blk", vf_size=4096,
                           vf_image="/" + "x" * 4050 + "%n")
        assert error.errno == "E2BIG" and "give a shorter path" in error.message
    assert children() == before
    assert not os.path.exists(os.path.join(fake.runtime, "pf", "long.sock"))


def test_pf_binary_missing():
    daemon = Daemon()
    daemon.environment["RIDGE_PF"] = "/no/such/ridge-pf"
    with daemon:
        error = daemon.fails("function.create", type="rng", name="a")
        assert error.message == "create rng a: /no/such/ridge-pf: No such file or directory; " \
                                "install ridge-pf beside ridged, or set RIDGE_PF"
        assert daemon("pf.list") == []


def test_pf_process_inherits_nothing():
    """But its socket; in a session of its own, and signals as by default."""
    daemon = Daemon()
    report = os.path.join(daemon.directory, "report")
    daemon.environment["FAKE_PF_REPORT"] = report
    with daemon:
        made = create(daemon, "a")
        with open(report, encoding="utf-8") as file:
            said = json.load(file)
        assert said["pid"] == made["pid"] == said["sid"]
        assert said["stdin"] == "/dev/null"
        # 4 is what lists them, 5 the report.
        assert [fd for fd in said["fds"] if fd > 5] == []
        status = dict(line.split(":\t", 1) for line in said["status"].splitlines())
        assert int(status["SigBlk"], 16) == 0
        # SIGPIPE (13); Python ignores SIGXFSZ (25), too.
        assert int(status["SigIgn"], 16) & ~(1 << 24) == 1 << 12


# A PF process that does not answer


def test_no_answer(own):
    """Each caller has a deadline; what comes late is put right; nobody else waits."""
    with own.connect() as hang, own.connect() as slow, own.connect() as add:
        create(own, "bystander")
        begin = time.monotonic()
        hanging = hang.start("function.create", type="rng", name="hang-1")
        slowly = slow.start("function.create", type="rng", name="slow-1")
        adding = add.start("pf.add", type="rng", name="hang-pf")
        error = own.fails("function.create", type="rng", name="hang-1")
        assert error.message == \
            "create rng hang-1: hang-1 is being created; try again when that is done"
        assert own.fails("function.destroy", name="hang-1").errno == "EBUSY"
        assert own.fails("function.show", name="hang-1").errno == "EBUSY"
        assert own.names() == ["bystander"]
        assert create(own, "other")["state"] == "idle"
        for connection, ident in ((hang, hanging), (slow, slowly), (add, adding)):
            with pytest.raises(RpcError) as raised:
                connection.finish(ident)
            assert raised.value.errno == "ETIMEDOUT"
            assert "does not answer" in raised.value.message
        assert 9 < time.monotonic() - begin < 20
        # It answers two seconds later, and then it is undone.
        wait_until(lambda: sockets(own) == ["bystander.sock", "hang-1.sock", "other.sock"])
        assert own.fails("function.create", type="rng", name="hang-1").errno == "EBUSY"
    own.note_pids()


def test_stopped_pf_process(own):
    """It is shown as it was known last, as unresponsive, and the wait for it happens once."""
    made = create(own, "a")
    other = own("function.create", type="blk", name="b", image=own.image())
    os.kill(made["pid"], signal.SIGSTOP)
    try:
        begin = time.monotonic()
        states = {f["name"]: f["state"] for f in own("function.list")}
        assert states == {"a": "unresponsive", "b": "idle"}
        assert 4 < time.monotonic() - begin < 12
        begin = time.monotonic()
        assert own("function.show", name="a")["state"] == "unresponsive"
        assert [pf["state"] for pf in own("pf.list")] == ["unresponsive", "ready"]
        assert own("function.show", name="b") == other
        assert time.monotonic() - begin < 4
        # Restarted meanwhile, ridged does not wait for it for ever, nor kill it.
        own.end()
        begin = time.monotonic()
        own.start()
        assert 4 < time.monotonic() - begin < 15
        assert {pf["name"]: pf["state"] for pf in own("pf.list")} == \
            {"rng0": "unresponsive", "blk0": "ready"}
        assert own.names() == ["b"] and sockets(own) == ["a.sock", "b.sock"]
        assert "does not answer" in \
            own.fails("function.create", type="rng", name="c", pf="rng0").message
        assert own.fails("function.create", type="rng", name="a").errno == "EEXIST"
    finally:
        os.kill(made["pid"], signal.SIGCONT)
    wait_until(lambda: "a" in own.names())
    assert own("function.show", name="a") == made


def test_shutdown_of_processes_that_do_not_end(own):
    stay = own("pf.add", name="stay-1", type="rng")
    stopped = own("pf.add", name="p", type="rng")
    os.kill(stopped["pid"], signal.SIGSTOP)
    # Not even one whose name a new ridged learns from its socket alone.
    own.end()
    own.start()
    begin = time.monotonic()
    own("system.shutdown")
    assert 4 < time.monotonic() - begin < 15
    assert not running(stay["pid"]) and not running(stopped["pid"])
    assert own.process.wait(20) == 0


# The kernel


def test_the_kernel_has_no_room_for_descriptors():
    """ETOOMANYREFS, of which no event says that it is over: the request is sent when it is."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root, to be somebody else")
    hold = ("import array, socket, sys\n"
            "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "for _ in range(5):\n"
            "    a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,\n"
            "                        array.array('i', [0] * 200))])\n"
            "print(flush=True)\n"
            "sys.stdin.read()\n")
    daemon = Daemon()
    daemon.give_to_nobody()
    daemon.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                     "prlimit", "--nofile=500:500"]
    daemon.start()
    try:
        daemon("pf.add", name="p", type="rng")
        holder = subprocess.Popen(["/usr/bin/python3", "-c", hold], user=65534, group=65534,
                                  extra_groups=[], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout.readline()
        with daemon.connect() as connection:
            made = connection.start("function.create", type="rng", name="a")
            waits = connection.silent()
            holder.communicate()
            if not waits:
                pytest.skip("this kernel has room for as many")
            assert connection.finish(made)["state"] == "idle"
            assert daemon("function.list")
    finally:
        daemon.close()
