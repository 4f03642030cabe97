# SPDX-License-Identifier: BSD-3-Clause
"""A guest and its host: TAPs as backends of functions, and one as uplink of a PF's switch.

ridged runs in a network namespace of its own, where its TAPs are made; the test has the host's
end there. Function N has 10.1.N.2 in the guest, its TAP 10.1.N.1 in the namespace.
"""

import os

import pytest
from conftest import check_reports
from net import (MSS, WAYS, GuestEnd, Namespace, carrier, check_way, guest_files, netdev, ping, prepare,
                 wait_until)
from ridge import Ridge

# name of the function, its way, its keys, the TAP that it reaches the host by
FUNCTIONS = (
    ("tap-modern", "modern", ("backend=tap:rt0",), "rt0"),
    ("tap-packed", "packed", ("backend=tap:rt1",), "rt1"),
    ("tap-legacy", "legacy", ("backend=tap:rt2",), "rt2"),
    ("up-modern", "modern", ("pf=upl", "mtu=1500"), "rup"),
    ("up-legacy", "legacy", ("pf=upl",), "rup"),
)
NAMES = [name for name, *_ in FUNCTIONS]
UPLINK = 3  # subnet of both functions behind the uplink
SIZE = 4 << 20


@pytest.fixture(scope="module")
def namespace():
    if reason := Namespace.why_not():
        pytest.skip(reason)
    namespace = Namespace(f"ridge-{os.getpid()}")
    yield namespace
    namespace.close()


@pytest.fixture(scope="module")
def ridge(request, work, namespace):
    ridge = Ridge(work, launcher=namespace.enter)
    request.module.ridge_for_reports = ridge
    ridge.start()
    try:
        yield ridge
        ridge.shutdown()
        assert not namespace.links(), "left after `ridge shutdown`"
    finally:
        ridge.clean_up()
    check_reports(ridge)


@pytest.fixture(scope="module")
def ends(ridge, namespace, new_guest):
    """{name: the guest's end} of all functions."""
    ridge("pf", "add", "upl", "type=net", "uplink=tap:rup")
    for name, way, keys, _ in FUNCTIONS:
        ridge("create", "net", name, *WAYS[way], *keys)
    assert set(namespace.links()) == {tap for *_, tap in FUNCTIONS}
    for number, tap in enumerate(("rt0", "rt1", "rt2", "rup")):
        namespace.sh(f"ip addr add 10.1.{number}.1/24 dev {tap}; ip link set {tap} up")
    guest = new_guest([ridge.device(name) for name in NAMES], files=guest_files())
    guest.boot()
    prepare(guest)
    yield {name: GuestEnd(guest, netdev(guest, index),
                          f"10.1.{min(index, UPLINK)}.{2 + index // (UPLINK + 1)}")
           for index, name in enumerate(NAMES)}
    assert guest.poweroff() == 0, guest.stderr()
    for name in NAMES:
        shown = ridge.wait_for(name, lambda shown: shown["state"] == "idle")
        for counter in ("drop_malformed", "drop_spoof", "dma_faults", "device_errors"):
            assert shown["counters"][counter] == 0, (name, counter)
    ridge("destroy", *NAMES)
    assert set(namespace.links()) == {"rup"}
    ridge("pf", "remove", "upl")


def host_of(end):
    return end.address.rpartition(".")[0] + ".1"


@pytest.mark.parametrize("name", NAMES)
def test_guest_and_host_by_ping_and_tcp(ridge, namespace, ends, name):
    end, way = ends[name], {function: way for function, way, *_ in FUNCTIONS}[name]
    host = host_of(end)
    check_way(end.guest, end.dev, way)
    # two interfaces of the guest are in the uplink's subnet: the one that is asked about is used
    end.sh(f"ip route replace {host}/32 dev {end.dev} src {end.address}")
    ping(end, host)
    ping(end, host, size=20000)

    checksum = end.make_file(SIZE >> 20)
    before = ridge("show", name)["counters"]
    server = namespace.tcp("listen", host)
    end.connect(host)
    assert namespace.finish(server) == checksum
    middle = ridge("show", name)["counters"]
    assert middle["write_bytes"] - before["write_bytes"] >= SIZE

    end.listen()
    checksum = namespace.finish(namespace.tcp("connect", end.address, SIZE))
    assert end.received() == checksum
    after = ridge("show", name)["counters"]
    assert after["read_bytes"] - middle["read_bytes"] >= SIZE
    # segmentation and checksums are passed through: there are fewer packets than segments
    assert (middle["tx_packets"] - before["tx_packets"]) * MSS < SIZE
    assert (after["rx_packets"] - middle["rx_packets"]) * MSS < SIZE
    end.sh(f"ip route del {host}/32 dev {end.dev}")


@pytest.mark.parametrize("name", ["tap-modern", "tap-legacy"])
def test_guest_that_takes_no_segments(namespace, ends, name):
    """Without the guest's offloads the kernel does the work: TUNSETOFFLOAD follows the guest."""
    end = ends[name]
    end.sh(f"guest_net feature {end.dev} rx-gro-hw off")
    end.listen()
    checksum = namespace.finish(namespace.tcp("connect", end.address, SIZE))
    assert end.received() == checksum
    end.sh(f"guest_net feature {end.dev} rx-gro-hw on")


def test_link_of_a_function_with_a_tap(ridge, ends):
    end = ends["tap-legacy"]
    ridge("set", "tap-legacy", "link=down")
    wait_until(lambda: carrier(end.guest, end.dev) == "0", "carrier lost")
    ridge("set", "tap-legacy", "link=up")
    wait_until(lambda: carrier(end.guest, end.dev) == "1", "carrier back")
    ping(end, host_of(end))


def test_tap_is_made_and_goes_with_its_function(ridge, namespace):
    ridge("create", "net", "brief", "backend=tap:rbrief", "mtu=1400")
    assert namespace.links()["rbrief"]["mtu"] == 1400
    ridge("destroy", "brief")
    assert "rbrief" not in namespace.links()
