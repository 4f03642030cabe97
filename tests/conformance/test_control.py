# SPDX-License-Identifier: BSD-3-Clause
"""What ridged does with functions: nothing half, nothing twice, nothing lost."""

import os
import re
import socket
import stat
import subprocess

import pytest

from control import Daemon, Locker, create, running, sockets, wait_revived, wait_until

# create


def test_create_tells_what_it_made(daemon):
    image = daemon.image("image")
    made = create(daemon, "disk0", type="blk", image=image, readonly=True)
    assert set(made) == {"name", "type", "rid", "slot", "pf", "pid", "driver", "socket", "device",
                         "state", "text", "peer_pid", "params", "counters"}
    assert made["name"] == "disk0" and made["type"] == "blk" and made["slot"] == 1
    assert re.fullmatch(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", made["rid"])
    assert made["pf"] == "blk0" and made["driver"] == "vfio-pci" and made["state"] == "idle"
    assert made["device"] is None and made["text"] is None and made["peer_pid"] is None
    assert made["socket"] == os.path.join(daemon.runtime, "functions", "disk0.sock")
    assert stat.S_ISSOCK(os.stat(made["socket"]).st_mode) and running(made["pid"])
    assert made["params"] == {
        "type": "blk", "name": "disk0", "driver": "vfio-pci", "packed": False, "mode": "0600",
        "image": image,
        "readonly": True, "direct": False, "share": False}
    assert all(isinstance(count, int) for count in made["counters"].values())
    assert daemon("function.show", name="disk0") == made
    assert daemon("function.list") == [made]


def test_create_takes_the_first_pf_of_the_type(daemon):
    first = create(daemon, "a")
    assert create(daemon, "b")["pf"] == first["pf"]
    assert create(daemon, "b")["slot"] == 2
    daemon("pf.add", name="another", type="rng")
    assert create(daemon, "c")["pf"] == first["pf"]
    assert create(daemon, "d", pf="another")["pf"] == "another"
    daemon("function.destroy", name="d")
    daemon("pf.remove", name="another")


def test_create_makes_a_pf_with_another_name(own):
    own("pf.add", name="rng0", type="blk")
    assert create(own, "a")["pf"] == "rng1"


def test_create_slots_are_taken_one_by_one(daemon):
    assert create(daemon, "a", slot=7)["slot"] == 7
    assert create(daemon, "b")["slot"] == 1
    assert create(daemon, "c", slot="2")["slot"] == 2
    assert create(daemon, "d")["slot"] == 3
    assert daemon.fails("function.create", type="rng", name="e", slot=7).code == -32000
    assert "e" not in daemon.names()
    daemon("function.destroy", name="b")
    assert create(daemon, "b")["slot"] == 1


def test_create_again_changes_nothing(daemon):
    image = daemon.image()
    params = {"type": "blk", "name": "disk0", "image": image, "serial": "abc", "queue_size": 128}
    made = daemon("function.create", **params)
    inode = os.stat(made["socket"]).st_ino
    assert daemon("function.create", **params) == made
    # The same in other words; the place may be named or not.
    assert daemon("function.create", readonly="false", driver="vfio-pci", mode="600", share=False,
                  pf=made["pf"], slot=str(made["slot"]), **dict(params, queue_size="128")) == made
    assert os.stat(made["socket"]).st_ino == inode


def test_create_again_with_other_parameters(daemon):
    image = daemon.image()
    made = create(daemon, "disk0", type="blk", image=image)
    error = daemon.fails("function.create", type="blk", name="disk0", image="/other",
                         readonly=True, driver="none")
    assert error.errno == "EEXIST"
    assert error.message == (
        "create blk disk0: it exists with other parameters: driver (have vfio-pci, asked none), "
        f"image (have {image}, asked /other), readonly (have false, asked true); ask for the "
        "same, destroy it first, or give another name")
    error = daemon.fails("function.create", type="rng", name="disk0")
    assert "type (have blk, asked rng)" in error.message
    error = daemon.fails("function.create", type="blk", name="disk0", image=image, slot=9)
    assert "slot (have 1, asked 9)" in error.message
    assert daemon("function.show", name="disk0") == made


@pytest.mark.parametrize("params,message", [
    ({"type": "disk"}, "create disk x: type=disk: there is no such type; give one of blk, net, rng"),
    ({"driver": "uio"}, "create rng x: driver=uio: there is no such driver; give one of vfio-pci, "
                        "virtio-vfio-pci, none"),
    ({"imgae": "/x"}, "create rng x: there is no key imgae for a function of type rng; the keys "
                      "are type, name, driver, pf, slot, queues, queue_size, packed, owner, group, "
                      "mode, legacy"),
    ({"legacy": "only"}, "create rng x: legacy means something only to driver virtio-vfio-pci; "
                         "leave it out, or give driver=virtio-vfio-pci"),
    ({"pf": "nope", "type": "rng"}, None),
    ({"owner": "no-such-user"}, "create rng x: there is no user no-such-user; give a user's name "
                                "or number"),
    ({"group": "no-such-group"}, None),
    ({"type": "blk", "image": "/no/such"},
     "create blk x: image /no/such: No such file or directory; give an existing raw image or "
     "block device"),
    ({"type": "blk", "image": "/tmp"},
     "create blk x: image /tmp: it is a directory; give a raw image or block device"),
    ({"type": "blk", "image": "/dev/null"},
     "create blk x: image /dev/null: it is a character device; give a raw image or block device"),
    ({"type": "blk", "image": "relative"},
     "create blk x: image=relative: give an absolute path"),
    ({"type": "blk"}, "create blk x: image is missing; give image=..."),
])
def test_create_refused_leaves_nothing(daemon, params, message):
    error = daemon.fails("function.create", **{"type": "rng", "name": "x", **params})
    if message:
        assert error.message == message
    assert daemon.names() == [] and sockets(daemon) == []


@pytest.mark.parametrize("kind, queues, right", [
    ("blk", 64, "a number from 1 to 64"), ("net", 32, "a number from 1 to 32"),
    ("rng", 1, "1, or leave it out")])
def test_create_with_as_many_queues_as_can_be(daemon, kind, queues, right):
    """What is taken is possible, and one more is refused with what would be right."""
    params = {"type": kind, "name": "x", **({"image": daemon.image()} if kind == "blk" else {})}
    error = daemon.fails("function.create", queues=queues + 1, **params)
    assert error.code == -32602
    assert error.message == f"create {kind} x: queues={queues + 1}: give {right}"
    error = daemon.fails("function.create", queue_size=2048, **params)
    assert error.message == \
        f"create {kind} x: queue_size=2048: give a power of two from 2 to 1024"
    assert create(daemon, **params, queues=queues, queue_size="1K")["state"] == "idle"


def test_create_image_that_is_no_disk(daemon):
    fifo = os.path.join(daemon.directory, "fifo")
    os.mkfifo(fifo)
    error = daemon.fails("function.create", type="blk", name="x", image=fifo)
    assert error.message == \
        f"create blk x: image {fifo}: it is a FIFO; give a raw image or block device"
    small = daemon.image("small", 511)
    error = daemon.fails("function.create", type="blk", name="x", image=small)
    assert error.message == f"create blk x: image {small}: 511 bytes are too small; give one of " \
                            "512 bytes or more"
    empty = daemon.image("empty", 0)
    assert daemon.fails("function.create", type="blk", name="x", image=empty).errno == "EINVAL"
    long = "/" + "x" * 4000
    assert daemon.fails("function.create", type="blk", name="x", image=long).code == -32000


def test_create_image_that_may_not_be_written():
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    daemon = Daemon()
    image = daemon.image()
    os.chmod(image, 0o444)
    daemon.give_to_nobody()
    # /proc/self/fd would not let an unprivileged ridged do more, either.
    daemon.process = subprocess.Popen(
        [daemon.ridged, "--runtime-dir", daemon.runtime], user=65534, group=65534,
        extra_groups=[], env=daemon.environment, stdout=subprocess.PIPE,
        stderr=open(daemon.log_path, "ab"))
    with daemon:
        daemon.ready()
        error = daemon.fails("function.create", type="blk", name="x", image=image)
        assert error.errno == "EACCES"
        assert error.message == f"create blk x: image {image}: Permission denied; give " \
                                "readonly=true, or an image that ridged may write"
        create(daemon, "x", type="blk", image=image, readonly=True)
        error = daemon.fails("function.create", type="rng", name="y", owner="root")
        assert error.errno == "EPERM" and "run ridged as root" in error.message
        assert sockets(daemon) == ["x.sock"]


def test_create_path_too_long(daemon):
    long = Daemon()
    long.runtime = os.path.join(long.directory, "d" * 60)
    long.path = os.path.join(long.runtime, "ridged.sock")
    long.environment["RIDGE_RUNTIME_DIR"] = long.runtime
    with long:
        error = long.fails("function.create", type="rng", name="n" * 63)
        assert error.errno == "ENAMETOOLONG" and "too long for a socket" in error.message
        assert long.names() == [] and sockets(long) == []


def test_create_refused_by_the_pf_process(fake):
    image = fake.image()
    error = fake.fails("function.create", type="blk", name="refuse-me", image=image)
    assert error.errno == "EOPNOTSUPP"
    assert error.message == \
        "create blk refuse-me: the fake refuses refuse-me; give another name"
    assert fake.names() == [] and sockets(fake) == []
    assert [pf["name"] for pf in fake("pf.list")] == ["blk0"]
    # The image is free again.
    create(fake, "fine", type="blk", image=image)


def test_create_when_the_answer_makes_no_sense(fake):
    assert fake.fails("function.create", type="rng", name="garbage-1").errno == "EPROTO"
    assert sockets(fake) == []


def test_create_when_the_pf_process_dies(fake):
    create(fake, "bystander")
    pid = fake("function.show", name="bystander")["pid"]
    error = fake.fails("function.create", type="rng", name="die-1")
    assert error.errno == "EIO" and "killed by signal 9 (Killed)" in error.message
    assert not running(pid)
    # The one that was there is made again; of the other nothing is left.
    wait_revived(fake, "bystander", pid)
    assert fake.names() == ["bystander"] and sockets(fake) == ["bystander.sock"]


def test_create_when_the_pf_process_sends_noise(fake):
    """The connection is made anew, and what became of the creation is found out and undone."""
    before = create(fake, "bystander")
    error = fake.fails("function.create", type="rng", name="noise-1")
    assert error.errno == "EIO" and "connection" in error.message
    wait_until(lambda: fake("function.list") == [before])
    wait_until(lambda: sockets(fake) == ["bystander.sock"])
    assert create(fake, "after")["pid"] == before["pid"]


def test_many_at_once(daemon):
    """A hundred creations without waiting for any."""
    with daemon.connect() as connection:
        ids = [connection.start("function.create", type="rng", name=f"f{n}") for n in range(100)]
        answers = [connection.line() for _ in ids]
    assert sorted(answer["id"] for answer in answers) == ids
    assert sorted(answer["result"]["slot"] for answer in answers) == list(range(1, 101))
    assert len(daemon.names()) == 100 and len(sockets(daemon)) == 100
    assert sorted(daemon("function.destroy", names=[f"f{n}" for n in range(100)])["destroyed"]) \
        == sorted(f"f{n}" for n in range(100))
    assert sockets(daemon) == []


# The socket


@pytest.mark.rules("vu-connection-10")
def test_socket_default_mode(daemon):
    info = os.stat(create(daemon, "a")["socket"])
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o600, os.geteuid())


@pytest.mark.rules("vu-connection-10")
def test_socket_owner_group_mode(daemon):
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    made = create(daemon, "a", owner="nobody", group="1", mode="660")
    info = os.stat(made["socket"])
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o660, 65534, 1)
    assert made["params"]["owner"] == "nobody" and made["params"]["mode"] == "0660"
    # That user reaches this socket, and no other and nothing else.
    program = ("import os, socket, sys\n"
               "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
               "for path in sys.argv[1:]:\n"
               "    try: socket.socket(socket.AF_UNIX).connect(path); print('connected')\n"
               "    except OSError as error: print(type(error).__name__)\n"
               "for path in ('.', 'pf', 'functions'):\n"
               "    try: print(os.listdir(os.path.dirname(sys.argv[2]) + '/' + path))\n"
               "    except OSError as error: print(type(error).__name__)\n")
    other = create(daemon, "b")
    said = subprocess.run(
        ["/usr/bin/python3", "-c", program, made["socket"], daemon.path, other["socket"],
         os.path.join(daemon.runtime, "pf", made["pf"] + ".sock")],
        capture_output=True, text=True, check=True).stdout.split()
    assert said == ["connected"] + ["PermissionError"] * 6


def test_socket_file_in_the_way(daemon):
    path = os.path.join(daemon.runtime, "functions", "a.sock")
    with open(path, "w", encoding="utf-8"):
        pass
    error = daemon.fails("function.create", type="rng", name="a")
    assert error.errno == "EEXIST" and path in error.message
    assert os.path.exists(path)
    os.unlink(path)


# Locks


def test_lock_second_writer_is_refused(daemon):
    image = daemon.image()
    create(daemon, "a", type="blk", image=image)
    for readonly in (False, True):
        error = daemon.fails("function.create", type="blk", name="b", image=image,
                             readonly=readonly)
        assert error.errno == "EBUSY" and image in error.message and "\n" not in error.message
        assert "another process" in error.message and "share=true" in error.message
    assert sockets(daemon) == ["a.sock"]
    daemon("function.destroy", name="a")
    create(daemon, "b", type="blk", image=image)


def test_lock_readers_share(daemon):
    image = daemon.image()
    create(daemon, "a", type="blk", image=image, readonly=True)
    create(daemon, "b", type="blk", image=image, readonly=True)
    assert daemon.fails("function.create", type="blk", name="c", image=image).errno == "EBUSY"
    daemon("function.destroy", names=["a", "b"])
    create(daemon, "c", type="blk", image=image)


def test_lock_share_takes_none(daemon):
    image = daemon.image()
    create(daemon, "a", type="blk", image=image)
    create(daemon, "b", type="blk", image=image, share=True)
    daemon("function.destroy", name="a")
    Locker(image, write=True).close()


@pytest.mark.parametrize("ours,theirs,together", [
    ("write", "write", False), ("write", "read", False), ("read", "write", False),
    ("read", "read", True)])
def test_lock_and_qemu(daemon, ours, theirs, together):
    image = daemon.image()
    params = {"type": "blk", "name": "a", "image": image, "readonly": ours == "read"}
    # We came first.
    daemon("function.create", **params)
    if together:
        Locker(image, write=theirs == "write").close()
    else:
        with pytest.raises(OSError):
            Locker(image, write=theirs == "write")
    daemon("function.destroy", name="a")
    # They came first.
    locker = Locker(image, write=theirs == "write")
    if together:
        daemon("function.create", **params)
    else:
        assert daemon.fails("function.create", **params).errno == "EBUSY"
    locker.close()
    daemon("function.create", **params)


def test_lock_holder_with_a_classic_lock_is_named(daemon):
    image = daemon.image()
    holder = subprocess.Popen(
        ["/usr/bin/python3", "-c",
         "import fcntl, sys\n"
         f"f = open({image!r}, 'r+b')\n"
         "fcntl.lockf(f, fcntl.LOCK_EX)\n"
         "print(flush=True)\n"
         "sys.stdin.read()\n"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    error = daemon.fails("function.create", type="blk", name="a", image=image)
    assert f"process {holder.pid} " in error.message
    holder.communicate()


# destroy


def test_destroy(daemon):
    made = create(daemon, "a")
    assert daemon("function.destroy", name="a") == {"destroyed": ["a"]}
    assert daemon.names() == [] and not os.path.exists(made["socket"])
    assert running(made["pid"])


def test_destroy_of_what_is_not_there(daemon):
    create(daemon, "a")
    error = daemon.fails("function.destroy", names=["a", "b"])
    assert error.errno == "ENOENT"
    assert error.message == "destroy b: there is no such function; there is a"
    # One that cannot be found is most likely a slip: nothing is done.
    assert daemon.names() == ["a"]
    assert daemon.fails("function.destroy", names=["a", "a"]).errno == "EBUSY"
    assert daemon("function.destroy", names=["a"]) == {"destroyed": ["a"]}


@pytest.mark.parametrize("params", [{}, {"name": 5}, {"names": "a"}, {"names": []},
                                    {"names": [5]}, {"name": "a", "force": "yes"},
                                    {"name": "a", "really": True}])
def test_destroy_params(daemon, params):
    assert daemon.fails("function.destroy", **params).code == -32602


def test_destroy_with_a_vmm(fake):
    made = create(fake, "a")
    create(fake, "b")
    with socket.socket(socket.AF_UNIX) as vmm:
        vmm.connect(made["socket"])
        shown = wait_until(lambda: [f for f in [fake("function.show", name="a")]
                                    if f["state"] == "connected"])[0]
        assert shown["peer_pid"] == os.getpid() and shown["counters"]["connections"] == 1
        error = fake.fails("function.destroy", names=["a", "b"])
        assert error.errno == "EBUSY" and "--force" in error.message
        assert error.data["destroyed"] == ["b"]
        assert [(f["name"], f["errno"]) for f in error.data["failed"]] == [("a", "EBUSY")]
        assert fake.names() == ["a"]
        assert fake("function.destroy", name="a", force=True) == {"destroyed": ["a"]}
        assert vmm.recv(1) == b""
    assert sockets(fake) == []


# bind


def test_bind_keeps_the_socket_between_drivers_that_serve_one(daemon):
    made = create(daemon, "a")
    inode = os.stat(made["socket"]).st_ino
    bound = daemon("function.bind", name="a", driver="virtio-vfio-pci")
    assert bound["driver"] == bound["params"]["driver"] == "virtio-vfio-pci"
    assert bound["params"]["legacy"] == "auto"
    assert os.stat(bound["socket"]).st_ino == inode
    assert daemon("function.bind", name="a", driver="virtio-vfio-pci") == bound
    assert daemon("function.create", type="rng", name="a", driver="virtio-vfio-pci") == bound


def test_bind_to_none_and_back(daemon):
    made = create(daemon, "a", mode="666")
    none = daemon("function.bind", name="a", driver="none")
    assert none["driver"] == "none" and none["socket"] is None and none["rid"] == made["rid"]
    assert sockets(daemon) == []
    again = daemon("function.bind", name="a", driver="vfio-pci")
    assert again["socket"] == made["socket"] and again["params"] == made["params"]
    assert stat.S_IMODE(os.stat(again["socket"]).st_mode) == 0o666


def test_bind_keeps_what_another_driver_does_not_use(daemon):
    create(daemon, "a", driver="virtio-vfio-pci", legacy="only")
    assert daemon("function.bind", name="a", driver="vfio-pci")["params"]["legacy"] == "only"
    assert daemon("function.bind", name="a", driver="virtio-vfio-pci")["params"]["legacy"] == \
        "only"


def test_bind_to_what_is_not_there(daemon):
    create(daemon, "a")
    error = daemon.fails("function.bind", name="a", driver="uio")
    assert error.code == -32602
    assert error.message == "bind a uio: driver=uio: there is no such driver; give one of " \
                            "vfio-pci, virtio-vfio-pci, none"
    error = daemon.fails("function.bind", name="b", driver="none")
    assert error.errno == "ENOENT"
    assert daemon.fails("function.bind", name="a").code == -32602


def test_bind_refused_rolls_back(fake):
    made = create(fake, "refusebind-a")
    error = fake.fails("function.bind", name="refusebind-a", driver="virtio-vfio-pci")
    assert error.message == "bind refusebind-a virtio-vfio-pci: the fake refuses to bind"
    assert fake("function.show", name="refusebind-a") == made
    create(fake, "refusebind-b", driver="none")
    fake.fails("function.bind", name="refusebind-b", driver="vfio-pci")
    assert fake("function.show", name="refusebind-b")["socket"] is None
    assert sockets(fake) == ["refusebind-a.sock"]
