# SPDX-License-Identifier: BSD-3-Clause
"""ridged itself: it comes and goes, and PFs, functions and VMMs do not notice."""

import os
import signal
import socket
import subprocess
import time

import pytest

from control import BUILD, Connection, Daemon, create, running, sockets, wait_until


def everything(daemon):
    return daemon("function.list"), daemon("pf.list")


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_restart_finds_everything(fresh, signum):
    image = fresh.image()
    create(fresh, "disk0", type="blk", image=image, serial="s", slot=3)
    create(fresh, "rng0", driver="virtio-vfio-pci", legacy="only", mode="660")
    create(fresh, "idle", driver="none")
    fresh("pf.add", name="empty", type="blk", max_vfs=7)
    before = everything(fresh)
    assert fresh.end(signum) == (-signum if signum == signal.SIGKILL else 0)
    assert os.path.exists(fresh.path) == (signum == signal.SIGKILL)
    fresh.start()
    assert sorted(everything(fresh)[0], key=str) == sorted(before[0], key=str)
    assert sorted(everything(fresh)[1], key=str) == sorted(before[1], key=str)
    # The parameters came back, too: the same is still the same, and other is other.
    create(fresh, "disk0", type="blk", image=image, serial="s", slot=3)
    assert fresh.fails("function.create", type="blk", name="disk0", image=image).errno == "EEXIST"
    fresh("pf.add", name="empty", type="blk", max_vfs=7)
    # And the image is locked as before.
    assert fresh.fails("function.create", type="blk", name="x", image=image).errno == "EBUSY"
    fresh("function.bind", name="rng0", driver="none")
    fresh("function.bind", name="idle", driver="vfio-pci")
    fresh("function.destroy", names=["disk0", "rng0", "idle"])
    create(fresh, "x", type="blk", image=image)


def test_restart_does_not_disturb_a_vmm(own):
    made = create(own, "a")
    with socket.socket(socket.AF_UNIX) as vmm:
        vmm.connect(made["socket"])
        wait_until(lambda: own("function.show", name="a")["state"] == "connected")
        for _ in range(3):
            own.end()
            own.start()
            shown = own("function.show", name="a")
            assert (shown["state"], shown["peer_pid"]) == ("connected", os.getpid())
            assert shown["counters"]["connections"] == 1
        vmm.settimeout(0.2)
        with pytest.raises(socket.timeout):
            vmm.recv(1)


def test_restart_removes_what_is_dead(own):
    """A socket of a PF of which nothing is known."""
    made = create(own, "a")
    own.end(signal.SIGTERM)
    os.unlink(os.path.join(own.runtime, "pf", "rng0.json"))
    os.kill(made["pid"], signal.SIGKILL)
    wait_until(lambda: not running(made["pid"]))
    own.start()
    assert own.names() == [] and own("pf.list") == []
    assert sockets(own) == [] and os.listdir(os.path.join(own.runtime, "pf")) == []
    assert "nobody listens" in own.log()


def test_restart_again_and_again(fresh):
    """Killed at whatever moment: what a caller was told is true, and nothing is half."""
    told = set()
    for n in range(15):
        with fresh.connect() as connection:
            for m in range(10):
                connection.start("function.create", type="rng", name=f"f{n}-{m}")
            time.sleep(0.003 * n)
            fresh.process.send_signal(signal.SIGKILL)
            fresh.process.wait()
            fresh.process.stdout.close()
            try:
                while True:
                    answer = connection.line()
                    if answer is None:
                        break
                    told.add(answer["result"]["name"])
            except (ConnectionResetError, AssertionError):
                pass
        fresh.start()
        fresh.note_pids()
        assert told <= set(fresh.names())
        # What the killed one had sent may be done only now.
        wait_until(lambda: sockets(fresh) == sorted(name + ".sock" for name in fresh.names()))
    assert len({pf["pid"] for pf in fresh("pf.list")}) == len(fresh("pf.list")) <= 2


def test_restart_with_requests_under_way(fresh):
    """What the killed ridged had sent is done later than its successor asks what there is."""
    pid = create(fresh, "first")["pid"]
    names = ["first"] + [f"f{n}" for n in range(10)]
    fresh.note_pids()
    os.kill(pid, signal.SIGSTOP)
    with fresh.connect() as connection:
        for name in names[1:]:
            connection.start("function.create", type="rng", name=name)
        wait_until(lambda: len(sockets(fresh)) == len(names))
        fresh("system.info")  # the last was sent, too
        fresh.process.kill()
        fresh.process.wait()
        fresh.process.stdout.close()
    fresh.start(wait=False)
    time.sleep(0.3)
    os.kill(pid, signal.SIGCONT)
    fresh.ready()
    wait_until(lambda: sorted(fresh.names()) == sorted(names))
    assert sockets(fresh) == sorted(name + ".sock" for name in names)
    for name in names:
        assert create(fresh, name)["pid"] == pid


def test_second_ridged_in_one_directory(own):
    second = subprocess.run([os.path.join(BUILD, "ridged"), "--runtime-dir", own.runtime],
                            env=own.environment, capture_output=True, text=True, timeout=20,
                            check=False)
    assert second.returncode == 1 and second.stdout == ""
    assert second.stderr == f"ridged: {own.runtime}: a ridged (pid {own.process.pid}) uses this " \
                            "directory; stop it, or give another --runtime-dir\n"
    assert own("system.info")["pid"] == own.process.pid


def test_runtime_directory_of_others():
    for path, word in (("/tmp", "anyone may write"), ("/proc/self/nope", "No such file"),
                       ("/dev/null", "not a directory")):
        done = subprocess.run([os.path.join(BUILD, "ridged"), "--runtime-dir", path],
                              capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 1 and word in done.stderr and done.stderr.count("\n") == 1


def test_ready_notification():
    daemon = Daemon()
    path = os.path.join(daemon.directory, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(20)
        daemon.environment["NOTIFY_SOCKET"] = path
        daemon.start(wait=False)
        with daemon:
            assert notify.recv(4096) == b"READY=1"
            daemon.ready()


def test_socket_activation():
    """systemd's: a listening socket as descriptor 3."""
    daemon = Daemon()
    os.mkdir(daemon.runtime, 0o711)
    path = os.path.join(daemon.directory, "activated")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        program = ("import os, sys\n"
                   f"os.dup2({listener.fileno()}, 3)\n"
                   "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
                   "os.execv(sys.argv[1], sys.argv[1:])\n")
        daemon.process = subprocess.Popen(
            ["/usr/bin/python3", "-c", program, os.path.join(BUILD, "ridged"), "--runtime-dir",
             daemon.runtime], pass_fds=[listener.fileno()], env=daemon.environment,
            stdout=subprocess.PIPE, stderr=open(daemon.log_path, "ab"))
        with daemon:
            daemon.ready()
            with Connection(path) as connection:
                assert connection("function.create", type="rng", name="a")["name"] == "a"
                daemon.pids = {pf["pid"] for pf in connection("pf.list")}
            daemon.process.terminate()
            assert daemon.process.wait(20) == 0
            assert os.path.exists(path)


def test_shutdown_frees_the_directory(own):
    """As soon as it is answered."""
    for _ in range(5):
        create(own, "a")
        own.note_pids()
        own("system.shutdown")
        old = own.process
        own.start()
        assert old.wait(20) == 0
        old.stdout.close()
        own("system.shutdown")
        assert own.process.wait(20) == 0
        own.process.stdout.close()
        own.start()


def test_changes_are_logged(own):
    create(own, "a")
    own("function.bind", name="a", driver="none")
    own("function.destroy", name="a")
    own("pf.add", name="p", type="rng")
    own("pf.remove", name="p")
    who = f"(uid {os.geteuid()}, pid {os.getpid()})"
    for line in ("create rng a: slot 1 of PF rng0, driver vfio-pci", "bind a none", "destroy a",
                 "pf add p", "pf remove p"):
        assert f"{line} {who}" in own.log()
