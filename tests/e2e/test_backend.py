# SPDX-License-Identifier: BSD-3-Clause
"""A disk's image: what hangs, shrinks or is misaligned, and that a flush is one.

Without a guest: the driver is ours, so that it can hold many requests, and odd ones.
"""

import os
import subprocess
import tempfile
import threading
import time

import pytest
from ridge import RidgeError, alive
from vfio_user import QEMU_CAPS, Client, Closed
from virtio_guest import Blk

BLK_SIZE_AT = 20  # of blk_size in the device configuration (virtio 1.3, 5.2.4)


@pytest.fixture(scope="module")
def fs(ridge, new_hangfs):
    """A file system that hangs, and on one PF a function on it and one on an ordinary file."""
    return new_hangfs("hangs")


@pytest.fixture
def hung(ridge, fs, attach):
    """The function on fs, attached; after the test it is as new."""
    ridge("create", "blk", "hung", f"image={fs.path}", "driver=vfio-pci")
    attached = attach(ridge, "hung")
    yield attached
    fs.go()
    attached.client.close()
    if "hung" in [function["name"] for function in ridge("list")]:
        ridge.wait_for("hung", lambda shown: shown["state"] == "idle")
        ridge("destroy", "hung")
    # nobody has kept the image open
    fs.wait(lambda count: count["open"] == 0)


@pytest.fixture(scope="module")
def memory_directory():
    """Where a flush never waits for a disk that is busy with something else."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="ridge-") as path:
        yield path


@pytest.fixture
def free(ridge, memory_directory, attach):
    """Another function of that PF, attached."""
    path = os.path.join(memory_directory, "free.img")
    if not os.path.exists(path):
        with open(path, "wb") as image:
            image.write(os.urandom(1 << 20))
    ridge("create", "blk", "free", f"image={path}", "driver=vfio-pci")
    return attach(ridge, "free")


def works(attached, writes=True):
    """Has the function read, write and flush; the seconds that took."""
    begin = time.monotonic()
    attached.disk.read(8, 4096)
    if writes:
        attached.disk.write(16, os.urandom(4096))
    attached.disk.flush()
    return time.monotonic() - begin


@pytest.mark.parametrize("kinds, request_kind", [
    (("read",), Blk.IN),
    (("write",), Blk.OUT),
    (("getattr", "write"), Blk.OUT),
    (("fsync",), Blk.FLUSH),
], ids=["read", "write", "getattr", "fsync"])
def test_many_requests_that_hang_hold_up_no_other_function(ridge, fs, hung, free, kinds,
                                                           request_kind):
    """More than the kernel has threads for by default, and than FUSE takes at once."""
    assert ridge("show", "hung")["pf"] == ridge("show", "free")["pf"]
    count = hung.transport.queues[0].size // 3
    fs.hang(*kinds)
    statuses = hung.send(request_kind, count)
    fs.wait_held(1)
    # The kernel may put buffered writes to two files into one queue: a write that hangs may hold
    # up those to one file in 64, and no other request.
    assert works(free, writes=kinds != ("write",)) < 5
    begin = time.monotonic()
    assert ridge("show", "hung")["state"] == "connected"
    assert time.monotonic() - begin < 10  # of requests that hang for as long as they are let
    fs.go()
    assert hung.wait(statuses) == {Blk.OK}
    assert ridge("show", "hung")["counters"]["requests"] == count


@pytest.fixture
def busy_cpus():
    """What is woken up does not run at once."""
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"])
             for _ in range(2 * os.cpu_count())]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


def test_the_kernel_forgets_no_request(fs, hung, free, busy_cpus):
    """
    Linux may wake up a thread of io_uring for a request just when that thread goes to wait for a
    file that hangs: then the request has no thread until an idle one looks, 5 seconds later.
    That takes luck: with 4 busy loops on 2 CPUs it happened once in about 50 rounds.
    """
    count = hung.transport.queues[0].size // 3
    used = [(attached.memory, attached.memory.used) for attached in (hung, free)]
    for _ in range(150):
        for memory, before in used:
            memory.used = before
        fs.hang("fsync")
        statuses = hung.send(Blk.FLUSH, count)
        fs.wait_held(1)
        took = works(free)
        fs.go()
        assert hung.wait(statuses) == {Blk.OK}
        assert took < 2


def test_flush_ends_after_fdatasync(ridge, fs, hung):
    before = fs.count()["fdatasync"]
    hung.disk.write(0, os.urandom(512))
    assert fs.count()["fdatasync"] == before
    fs.hang("fsync")
    statuses = hung.send(Blk.FLUSH, 1)
    fs.wait_held(1)
    time.sleep(0.3)
    assert hung.transport.queues[0].pop() is None, "the flush ended before the fdatasync"
    fs.go()
    assert hung.wait(statuses) == {Blk.OK}
    count = fs.count()
    assert count["fdatasync"] == before + 1 and count["fsync"] == count["dsync"] == 0


def test_write_is_stable_without_flush(ridge, fs, attach):
    """A driver that did not accept FLUSH takes a completed write for a stable one (5.2.6.2)."""
    ridge("create", "blk", "writethrough", f"image={fs.path}", "driver=vfio-pci")
    attached = attach(ridge, "writethrough", features=0)
    before = fs.count()
    attached.disk.write(0, os.urandom(512))
    count = fs.count()
    assert count["write"] == before["write"] + 1 and count["dsync"] == before["dsync"] + 1
    attached.client.close()
    ridge.wait_for("writethrough", lambda shown: shown["state"] == "idle")
    ridge("destroy", "writethrough")


def test_reset_and_destroy_while_io_hangs(ridge, fs, hung, free, attach):
    """Bounded at 3 s: a reset, then its connection ends; destroy, then it says why."""
    pid = ridge.pf_pid("hung")
    fs.hang("read")
    hung.send(Blk.IN, 4)
    fs.wait_held(4)

    begin = time.monotonic()
    with pytest.raises(Closed):
        hung.client.reset()
    assert 2.5 < time.monotonic() - begin < 6
    assert ridge("show", "hung")["state"] == "draining"
    assert [(f["name"], f["state"]) for f in ridge("list") if f["name"] == "hung"] == \
        [("hung", "draining")]
    early = Client(ridge("show", "hung")["socket"], caps=None)

    for force in ([], ["--force"]):
        begin = time.monotonic()
        with pytest.raises(RidgeError) as failed:
            ridge("destroy", "hung", *force)
        assert 2.5 < time.monotonic() - begin < 6
        assert "I/O of its backend has not ended" in failed.value.answer
        assert failed.value.status == 1
        assert works(free) < 5

    fs.go()
    early.version(QEMU_CAPS)  # the next VMM had to wait, and that is all
    early.close()
    ridge.wait_for("hung", lambda shown: shown["state"] == "idle")
    again = attach(ridge, "hung")
    again.disk.read(0, 4096)
    again.client.close()
    assert ridge.pf_pid("hung") == pid and alive(pid)


def test_destroy_waits_for_io_that_ends(ridge, fs, hung, free):
    """destroy --force with a VMM attached and I/O that ends in time: it succeeds, then."""
    fs.hang("read")
    hung.send(Blk.IN, 4)
    fs.wait_held(4)
    with subprocess.Popen([os.path.join(ridge.build, "ridge"), "destroy", "hung", "--force"],
                          env=ridge.environment, stderr=subprocess.PIPE, text=True) as destroy:
        assert hung.client.closed()
        fs.go()
        assert destroy.wait(10) == 0, destroy.stderr.read()
    assert "hung" not in [function["name"] for function in ridge("list")]
    assert works(free) < 5


def test_shutdown_while_io_hangs(own_ridge, new_hangfs, attach):
    """A file system that never answers keeps neither ridged nor the PF process."""
    fs = new_hangfs("shutdown")
    own_ridge("create", "blk", "hung", f"image={fs.path}", "driver=vfio-pci")
    attached = attach(own_ridge, "hung")
    fs.hang("read", "getattr")
    attached.send(Blk.IN, 4)
    fs.wait_held(4)
    begin = time.monotonic()
    own_ridge.shutdown()
    assert time.monotonic() - begin < 8
    assert fs.count()["held"] == 4
    fs.go()


@pytest.mark.parametrize("where", ["local", "remote"])
def test_image_that_was_truncated_does_not_grow_again(ridge, work, where, request, attach):
    """Its function has I/O errors behind the end that the image has now."""
    size, less = 1 << 20, 1 << 19
    backing = os.path.join(work, f"{where}.img")
    with open(backing, "wb") as image:
        image.write(os.urandom(size))
    path = backing
    if where == "remote":
        fs = request.getfixturevalue("new_hangfs")("truncated")
        path, backing = fs.path, fs.image
    name = f"truncated-{where}"
    ridge("create", "blk", name, f"image={path}", "driver=vfio-pci")
    attached = attach(ridge, name)
    attached.disk.write(0, b"a" * 512)
    os.truncate(backing, less)
    for sector in (less // 512 - 1, less // 512, size // 512 - 2):
        assert attached.disk.request(Blk.OUT, sector, b"x" * 1024)[0] == Blk.IOERR
    assert attached.disk.request(Blk.IN, less // 512, length=512)[0] == Blk.IOERR
    assert os.path.getsize(backing) == less
    attached.disk.write(less // 512 - 1, b"b" * 512)
    assert attached.disk.read(less // 512 - 1, 512) == b"b" * 512
    assert os.path.getsize(backing) == less
    attached.client.close()
    ridge.wait_for(name, lambda shown: shown["state"] == "idle")
    ridge("destroy", name)
    os.truncate(backing, size)


@pytest.fixture
def loop_device(work):
    """A block device with blocks of 4 KiB."""
    path = os.path.join(work, "loop.img")
    with open(path, "wb") as image:
        image.write(os.urandom(1 << 20))
    made = subprocess.run(["losetup", "--find", "--show", "--sector-size", "4096", path],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if made.returncode != 0:
        pytest.skip("no loop device: " + made.stderr.strip())
    device = made.stdout.strip()
    # the last user may have left it read-only
    subprocess.run(["blockdev", "--setrw", device], check=True)
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.parametrize("block", [512, 4096])
def test_direct_io_with_odd_buffers(ridge, new_disk, request, attach, block):
    """O_DIRECT wants aligned memory; a guest may use any addresses and any pieces."""
    path = request.getfixturevalue("loop_device") if block == 4096 else \
        new_disk("direct.img", 1 << 20)
    with open(path, "rb") as image:
        content = bytearray(image.read())
    ridge("create", "blk", f"direct{block}", f"image={path}", "driver=vfio-pci", "direct=true")
    attached = attach(ridge, f"direct{block}")
    memory, transport = attached.memory, attached.transport
    assert transport.config(0, 8) == len(content) // 512
    if block == 4096:
        assert transport.config(BLK_SIZE_AT, 4) == 4096

    def odd(kind, offset, length, data=b""):
        """One request whose data lies in odd pieces at odd addresses; (status, data)."""
        chain, _, status = attached.disk.prepare(kind, offset // 512)
        pieces, left, size = [], length, 1
        while left:
            size = min(left, size)
            pieces.append((memory.alloc(size + 1, 2) + 1, size, kind == Blk.IN))
            left, size = left - size, size * 3 + 1
        for address, size, _ in pieces:
            memory.write(address, data[:size])
            data = data[size:]
        transport.run(chain[:1] + pieces + chain[1:])
        return memory.read(status, 1)[0], b"".join(memory.read(at, size) for at, size, _ in pieces)

    for offset, length in ((0, block), (5 * block, 3 * block), (len(content) - 2 * block,
                                                                2 * block)):
        assert odd(Blk.IN, offset, length) == (Blk.OK, content[offset:offset + length])
        content[offset:offset + length] = os.urandom(length)
        assert odd(Blk.OUT, offset, length, content[offset:offset + length])[0] == Blk.OK
        assert odd(Blk.IN, offset, length) == (Blk.OK, content[offset:offset + length])
    if block == 4096:  # not whole blocks: the driver's mistake, and its own only
        assert odd(Blk.OUT, 512, 512, bytes(512))[0] == Blk.IOERR
    attached.disk.flush()
    attached.client.close()
    ridge.wait_for(f"direct{block}", lambda shown: shown["state"] == "idle")
    ridge("destroy", f"direct{block}")
    with open(path, "rb") as image:
        assert image.read() == content


def test_memory_truncated_at_any_moment(ridge, free, new_disk, attach):
    """The VMM's memory file shrinks while the function works: it stops, and nothing else does."""
    pid = ridge.pf_pid("free")
    ridge("create", "blk", "shrinks", f"image={new_disk('shrinks.img', 1 << 20)}",
          "driver=vfio-pci")
    for delay in (0.0, 0.001, 0.003, 0.01, 0.03):
        attached = attach(ridge, "shrinks")
        before = ridge("show", "shrinks")["counters"]["dma_faults"]
        notify = attached.transport.notify
        # Only what does not touch our own mapping of it: one more request, again and again.
        timer = threading.Timer(delay, os.ftruncate, (attached.memory.fd, 0))
        attached.send(Blk.IN, 60, 4096)
        timer.start()
        deadline = time.monotonic() + 10
        while ridge("show", "shrinks")["state"] != "faulted":
            notify(0)
            assert time.monotonic() < deadline, ridge("show", "shrinks")
        shown = ridge("show", "shrinks")
        assert shown["counters"]["dma_faults"] == before + 1
        assert "shrank" in shown["text"]
        assert works(free) < 5
        attached.client.close()
        ridge.wait_for("shrinks", lambda shown: shown["state"] == "idle")
    assert ridge.pf_pid("shrinks") == pid and alive(pid)
    attach(ridge, "shrinks").disk.read(0, 4096)
