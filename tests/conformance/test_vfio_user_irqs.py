# SPDX-License-Identifier: BSD-3-Clause
"""vfio-user: every kind of data with every action of DEVICE_SET_IRQS, on every index."""

import itertools
import os
import select

import pytest

from vfio_user import (DATA_BOOL, DATA_EVENTFD, DATA_NONE, ERR, INTX, MASK, MSI, MSIX, REQ, TRIGGER,
                       UNMASK, refused)
from virtio_guest import VERSION_1, Irq, rng_read

EVENTFD, MASKABLE, AUTOMASKED, NORESIZE = 1, 2, 4, 8
DATA = {"none": DATA_NONE, "bool": DATA_BOOL, "eventfd": DATA_EVENTFD}
ACTIONS = {"mask": MASK, "unmask": UNMASK, "trigger": TRIGGER}


@pytest.fixture
def transitional(functions):
    with functions("rng", "transitional").client() as client:
        yield client


@pytest.fixture
def irqs():
    irqs = [Irq() for _ in range(4)]
    yield irqs
    for irq in irqs:
        irq.close()


def call(client, index, data, action, irq, value=1):
    """SET_IRQS of interrupt 0 in this form; the errno's name, or None."""
    return refused(client.set_irqs, index, DATA[data] | ACTIONS[action], 0, 1,
                   data=bytes([value]) if data == "bool" else b"",
                   fds=[irq.fd] if data == "eventfd" else [])


@pytest.mark.rules("vu-irq-3", "vu-irq-4")
def test_what_each_index_can_do(transitional):
    flags = {index: transitional.irq_info(index) for index in (INTX, MSI, MSIX, ERR, REQ)}
    assert flags[INTX]["count"] == 1
    assert flags[INTX]["flags"] == EVENTFD | MASKABLE | AUTOMASKED
    assert flags[MSIX]["count"] >= 2
    assert flags[MSIX]["flags"] == EVENTFD | MASKABLE
    for index in (MSI, ERR, REQ):
        assert flags[index]["count"] == flags[index]["flags"] == 0


@pytest.mark.rules("vu-setirqs-1", "vu-setirqs-11")
@pytest.mark.parametrize("index", [INTX, MSI, MSIX, ERR, REQ])
@pytest.mark.parametrize("data,action", itertools.product(DATA, ACTIONS))
def test_every_form(transitional, irqs, index, data, action):
    there = transitional.irq_info(index)["count"] > 0
    expected = None if there else "EINVAL"
    assert call(transitional, index, data, action, irqs[0]) == expected
    # What is behind the last one is not there.
    count = transitional.irq_info(index)["count"]
    flags = DATA[data] | ACTIONS[action]
    assert refused(transitional.set_irqs, index, flags, count, 1,
                   data=b"\1" if data == "bool" else b"",
                   fds=[irqs[1].fd] if data == "eventfd" else []) == "EINVAL"
    # A count of 0 has one meaning, of one form.
    none = None if (data, action) == ("none", "trigger") else "EINVAL"
    assert refused(transitional.set_irqs, index, flags, 0, 0) == none
    transitional.device_info()


def test_vectors_can_be_bound_in_any_order_and_number(functions, irqs):
    """Not NORESIZE: no vector needs the others disabled."""
    with functions("rng", "modern").client() as client:
        for vector in (1, 0):
            client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, vector, 1, fds=[irqs[vector].fd])
        client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 1, 1, fds=[irqs[2].fd])
        client.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, 2)
        assert [irq.wait(0) for irq in irqs] == [1, 0, 1, 0]


@pytest.mark.rules("vu-setirqs-16", "vu-setirqs-6")
def test_more_descriptors_than_fit_into_a_message(create, attach):
    """In pieces of at most max_msg_fds, each at its start."""
    client = attach(create("blk", driver="vfio-pci", queues=32), "modern").client
    count = client.irq_info(MSIX)["count"]
    assert count == 33
    irqs = [Irq() for _ in range(count)]
    fds = [irq.fd for irq in irqs]
    for start in range(0, count, 16):
        client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, start, len(fds[start:start + 16]),
                        fds=fds[start:start + 16])
    client.set_irqs(MSIX, DATA_BOOL | TRIGGER, 0, count,
                    data=bytes(i % 3 == 0 for i in range(count)))
    assert [irq.wait(0) for irq in irqs] == [int(i % 3 == 0) for i in range(count)]
    # Unbinding needs no descriptors, so it may be all at once.
    client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, count)
    client.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, count)
    assert not any(irq.wait(0) for irq in irqs)
    for irq in irqs:
        irq.close()


@pytest.fixture
def running(functions, attach):
    """(guest, its two vectors): the second is the queue's."""
    guest = attach(functions("rng", "modern"), "modern")
    vectors = guest.transport.enable_msix(2)
    guest.transport.start(VERSION_1, vectors=[1])
    yield guest, vectors
    for irq in vectors:
        irq.close()


@pytest.mark.rules("vu-setirqs-7", "vu-setirqs-15")
@pytest.mark.parametrize("how", ["none", "bool"])
def test_a_masked_vector_is_pending(running, how):
    guest, vectors = running

    def mask(action, which=1):
        if how == "none":
            guest.client.set_irqs(MSIX, DATA_NONE | action, which, 1)
        else:
            guest.client.set_irqs(MSIX, DATA_BOOL | action, 0, 2,
                                  data=bytes(i == which for i in range(2)))

    rng_read(guest.transport, 8)
    assert vectors[1].wait() == 1
    mask(MASK, which=0)
    rng_read(guest.transport, 8)
    assert vectors[1].wait() == 1, "the other vector's mask"
    mask(MASK)
    for _ in range(3):
        rng_read(guest.transport, 8)
    assert vectors[1].wait(0.05) == 0
    mask(UNMASK)
    assert vectors[1].wait() == 1, "one, however many there were"
    rng_read(guest.transport, 8)
    assert vectors[1].wait() == 1


@pytest.mark.parametrize("action", [TRIGGER, MASK, UNMASK], ids=["trigger", "mask", "unmask"])
def test_what_is_no_eventfd(transitional, action):
    """Anonymous inodes too: to close an epoll descriptor takes as long as it watches things."""
    epoll, pipe = select.epoll(), os.pipe()
    for fd in (epoll.fileno(), *pipe):
        assert refused(transitional.set_irqs, MSIX, DATA_EVENTFD | action, 0, 1,
                       fds=[fd]) == "EINVAL"
    epoll.close()
    for fd in pipe:
        os.close(fd)


@pytest.mark.rules("vu-setirqs-8")
def test_a_signal_masks_and_unmasks(running, irqs):
    """DATA_EVENTFD with MASK and UNMASK binds the action to the eventfd, as in <linux/vfio.h>."""
    guest, vectors = running
    guest.client.set_irqs(MSIX, DATA_EVENTFD | MASK, 1, 1, fds=[irqs[0].fd])
    guest.client.set_irqs(MSIX, DATA_EVENTFD | UNMASK, 1, 1, fds=[irqs[1].fd])
    for _ in range(5):
        os.eventfd_write(irqs[0].fd, 1)
        guest.client.device_info()
        rng_read(guest.transport, 8)
        assert vectors[1].wait(0.02) == 0
        os.eventfd_write(irqs[1].fd, 1)
        assert vectors[1].wait() == 1
    # Without descriptors: no more.
    guest.client.set_irqs(MSIX, DATA_EVENTFD | MASK, 0, 2)
    os.eventfd_write(irqs[0].fd, 1)
    rng_read(guest.transport, 8)
    assert vectors[1].wait() == 1
    assert irqs[0].wait(0) == 1, "nobody took it"


def test_masks_end_with_the_index(running):
    guest, vectors = running
    guest.client.set_irqs(MSIX, DATA_NONE | MASK, 0, 2)
    guest.client.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, 0)
    guest.client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 2, fds=[irq.fd for irq in vectors])
    rng_read(guest.transport, 8)
    assert vectors[1].wait() == 1


@pytest.mark.rules("vu-setirqs-7", "vu-setirqs-14")
def test_intx_forms(functions, attach, irqs):
    guest = attach(functions("rng", "transitional"), "legacy")
    line = guest.transport.enable_intx()
    client, transport = guest.client, guest.transport
    transport.start()

    def serve():
        assert transport.isr() & 1

    rng_read(transport, 8)
    assert line.wait() == 1
    serve()
    for unmask in ("none", "bool", "eventfd"):
        if unmask == "eventfd":
            client.set_irqs(INTX, DATA_EVENTFD | UNMASK, 0, 1, fds=[irqs[0].fd])
        rng_read(transport, 8)
        assert line.wait(0.05) == 0, "automasked"
        if unmask == "none":
            client.set_irqs(INTX, DATA_NONE | UNMASK, 0, 1)
        elif unmask == "bool":
            client.set_irqs(INTX, DATA_BOOL | UNMASK, 0, 1, data=b"\0")
            assert line.wait(0.05) == 0, "a false one is not done"
            client.set_irqs(INTX, DATA_BOOL | UNMASK, 0, 1, data=b"\1")
        else:
            os.eventfd_write(irqs[0].fd, 1)
        assert line.wait() == 1
        serve()
    for mask in ("none", "bool", "eventfd"):
        client.set_irqs(INTX, DATA_NONE | UNMASK, 0, 1)
        if mask == "none":
            client.set_irqs(INTX, DATA_NONE | MASK, 0, 1)
        elif mask == "bool":
            client.set_irqs(INTX, DATA_BOOL | MASK, 0, 1, data=b"\1")
        else:
            client.set_irqs(INTX, DATA_EVENTFD | MASK, 0, 1, fds=[irqs[1].fd])
            os.eventfd_write(irqs[1].fd, 1)
            client.device_info()
        rng_read(transport, 8)
        assert line.wait(0.05) == 0
        client.set_irqs(INTX, DATA_NONE | UNMASK, 0, 1)
        assert line.wait() == 1
        serve()
    client.set_irqs(INTX, DATA_NONE | TRIGGER, 0, 1)
    client.set_irqs(INTX, DATA_BOOL | TRIGGER, 0, 1, data=b"\0")
    assert line.wait() == 1
    line.close()


def test_masks_of_vectors_leave_intx_alone(functions, attach):
    """INTx is made of the member's vectors 0 and 1."""
    guest = attach(functions("rng", "transitional"), "legacy")
    line = guest.transport.enable_intx()
    guest.transport.start()
    guest.client.set_irqs(MSIX, DATA_NONE | MASK, 0, 2)
    guest.client.set_irqs(MSIX, DATA_NONE | UNMASK, 0, 2)
    guest.client.set_irqs(MSIX, DATA_NONE | MASK, 0, 2)
    rng_read(guest.transport, 8)
    assert line.wait() == 1
    line.close()


def test_descriptors_are_closed(functions, irqs):
    function = functions("rng", "modern")
    where = f"/proc/{function.pid()}/fd"
    idle = len(os.listdir(where))
    with function.client() as client:
        before = len(os.listdir(where))
        for _ in range(10):
            for action in (MASK, UNMASK, TRIGGER):
                client.set_irqs(MSIX, DATA_EVENTFD | action, 0, 2, fds=[i.fd for i in irqs[:2]])
                refused(client.set_irqs, MSIX, DATA_EVENTFD | action, 2, 2,
                        fds=[i.fd for i in irqs[:2]])
        assert len(os.listdir(where)) == before + 6
        client.set_irqs(MSIX, DATA_EVENTFD | MASK, 1, 1)
        assert len(os.listdir(where)) == before + 5
        client.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, 0)
        assert len(os.listdir(where)) == before
        client.set_irqs(MSIX, DATA_EVENTFD | UNMASK, 0, 2, fds=[i.fd for i in irqs[:2]])
    function.idle()
    assert len(os.listdir(where)) <= idle
