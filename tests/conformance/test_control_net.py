# SPDX-License-Identifier: BSD-3-Clause
"""Functions of type net: addresses, TAPs, uplinks.

What makes TAPs runs in a network namespace of its own, as root only.
"""

import json
import os
import re
import subprocess

import pytest

from control import Daemon, wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/net/tun"),
                                reason="needs to be root, and /dev/net/tun")


def ip(namespace, *argv):
    return subprocess.run(["ip", "-n", namespace, "-j", *argv], capture_output=True, text=True,
                          check=True).stdout


def links(namespace):
    return {link["ifname"]: link for link in json.loads(ip(namespace, "link"))}


@pytest.fixture(scope="module")
def namespace():
    name = f"ridge-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespace: {done.stderr.decode()}")
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture(scope="module", params=["fake", "real"])
def shared_inside(request, namespace):
    with Daemon(fake=request.param == "fake",
                prefix=["ip", "netns", "exec", namespace]) as daemon:
        yield daemon


@pytest.fixture
def inside(shared_inside):
    """In the namespace."""
    yield shared_inside
    shared_inside.clear()


def create(daemon, name, **params):
    return daemon("function.create", type="net", name=name, **params)


def test_defaults(daemon):
    params = create(daemon, "n")["params"]
    mac = params.pop("mac")
    assert params == {"type": "net", "name": "n", "driver": "vfio-pci", "packed": False,
                      "mode": "0600", "backend": "switch", "trust": False, "link": "up"}
    assert re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", mac)
    # Locally administered, and nobody's group (IEEE 802, 8.2).
    assert int(mac[:2], 16) & 3 == 2


def test_made_up_address_stays(daemon):
    first = create(daemon, "n")["params"]["mac"]
    other = create(daemon, "o")["params"]["mac"]
    assert first != other
    daemon("function.destroy", name="n")
    assert create(daemon, "n")["params"]["mac"] == first
    # Asked for again it is no difference, whether it is named or not.
    assert create(daemon, "n")["params"]["mac"] == first
    assert create(daemon, "n", mac=first.upper())["params"]["mac"] == first
    error = daemon.fails("function.create", type="net", name="n", mac="52:54:00:00:00:01")
    assert f"mac (have {first}, asked 52:54:00:00:00:01)" in error.message


def test_made_up_address_is_of_the_directory(daemon):
    first = create(daemon, "n")["params"]["mac"]
    with Daemon() as other:
        assert create(other, "n")["params"]["mac"] != first


def test_same_address_twice(daemon):
    mac = "52:54:00:00:00:01"
    create(daemon, "a", mac=mac)
    error = daemon.fails("function.create", type="net", name="b", mac=mac)
    assert error.errno == "EEXIST"
    assert error.message == (f"create net b: mac={mac}: function a on PF net0 has this address; "
                             "give another, or leave it out")
    assert daemon.names() == ["a"]
    # Another switch is another network.
    daemon("pf.add", name="other", type="net")
    create(daemon, "b", mac=mac, pf="other")
    daemon("function.destroy", names=["a", "b"])
    daemon("pf.remove", name="other")


@pytest.mark.parametrize("params,message", [
    ({"mac": "52:54:00:00:00"},
     "mac=52:54:00:00:00: give six bytes, as in 52:54:00:12:34:56"),
    ({"mac": "52:54:00:00:00:0g"}, None), ({"mac": "52-54-00-00-00-01"}, None),
    ({"mac": "52:54:00:00:00:001"}, None), ({"mac": " 2:54:00:00:00:01"}, None),
    ({"mac": "01:00:5e:00:00:01"}, "mac=01:00:5e:00:00:01: no station's address; give a unicast "
                                   "one, as in 52:54:00:12:34:56"),
    ({"mac": "00:00:00:00:00:00"}, None), ({"mac": 7}, None),
    ({"mtu": 67}, "mtu=67: give a number from 68 to 65535"), ({"mtu": 65536}, None),
    ({"queues": 33}, "queues=33: give a number from 1 to 32"), ({"queues": 0}, None),
    ({"backend": "bridge"}, "backend=bridge: give one of switch, tap:IFNAME"),
    ({"backend": "tap:"}, None), ({"backend": "tap:a/b"}, None), ({"backend": "tap:x%d"}, None),
    ({"backend": "tap:sixteen-letters-"},
     "backend=tap:sixteen-letters-: no interface has that name; give 1 to 15 characters without "
     "'/', ':', '%' and spaces"),
    ({"trust": "yes"}, "trust=yes: give true or false"),
    ({"link": "sideways"}, "link=sideways: there is no such link; give one of up, down"),
    ({"size": "1M"}, None), ({"image": "/x"}, None),
])
def test_refused(daemon, params, message):
    error = daemon.fails("function.create", type="net", name="n", **params)
    assert error.code == -32602
    if message:
        assert error.message == "create net n: " + message
    assert daemon.names() == []


def test_all_keys(daemon):
    asked = {"mac": "52:54:00:00:00:01", "mtu": 9000, "queues": 4, "queue_size": 256,
             "packed": True, "trust": True, "link": "down", "backend": "switch"}
    made = create(daemon, "n", **asked)
    assert asked.items() <= made["params"].items()
    assert create(daemon, "n", **asked) == made
    daemon("function.destroy", name="n")
    assert made["params"] == create(daemon, "n", **{k: str(v).lower() for k, v in asked.items()})[
        "params"]


def test_pf_uplink_is_of_net(daemon):
    error = daemon.fails("pf.add", name="p", type="rng", uplink="tap:x")
    assert error.message == ("pf add: there is no key uplink for a PF of type rng; the keys are "
                             "type, name, max_vfs")
    assert "give tap:IFNAME" in daemon.fails("pf.add", name="p", type="net", uplink="x").message


# TAPs


@needs_root
def test_tap_comes_and_goes(inside, namespace):
    create(inside, "n", backend="tap:ridge0", mtu=4000)
    link = links(namespace)["ridge0"]
    assert "UP" in link["flags"] and link["mtu"] == 4000
    assert create(inside, "n", backend="tap:ridge0", mtu=4000)["state"] == "idle"
    inside("function.destroy", name="n")
    assert "ridge0" not in links(namespace)


@needs_root
def test_tap_that_was_there_is_left_alone(inside, namespace):
    ip(namespace, "tuntap", "add", "dev", "mine", "mode", "tap")
    try:
        create(inside, "n", backend="tap:mine", mtu=4000)
        link = links(namespace)["mine"]
        assert "UP" not in link["flags"] and link["mtu"] == 1500
        error = inside.fails("function.create", type="net", name="o", backend="tap:mine")
        assert error.errno == "EBUSY"
        assert error.message == ("create net o: tap mine: Device or resource busy; it is in use; "
                                 "end its use there, or give another")
        inside("function.destroy", name="n")
        assert "mine" in links(namespace)
        create(inside, "o", backend="tap:mine")
        inside("function.destroy", name="o")
    finally:
        ip(namespace, "link", "del", "mine")


@needs_root
def test_tap_that_is_none(inside, namespace):
    error = inside.fails("function.create", type="net", name="n", backend="tap:lo")
    assert error.errno == "EINVAL" and "give a TAP" in error.message
    assert inside.names() == [] and "lo" in links(namespace)


@needs_root
def test_tap_survives_ridged(inside, namespace):
    create(inside, "n", backend="tap:ridge0", link="down")
    before = inside("function.show", name="n")
    inside.end()
    assert "ridge0" in links(namespace)
    inside.start()
    assert inside("function.show", name="n") == before
    inside("function.destroy", name="n")
    assert "ridge0" not in links(namespace)


@needs_root
def test_uplink(inside, namespace):
    inside("pf.add", name="up", type="net", uplink="tap:uplink0")
    assert "UP" in links(namespace)["uplink0"]["flags"]
    inside("pf.add", name="up", type="net", uplink="tap:uplink0")
    error = inside.fails("pf.add", name="up", type="net", uplink="tap:uplink1")
    assert "uplink (have tap:uplink0, asked tap:uplink1)" in error.message
    inside("pf.remove", name="up")
    wait_until(lambda: "uplink0" not in links(namespace))


@needs_root
def test_tap_without_permission(namespace):
    daemon = Daemon(prefix=["ip", "netns", "exec", namespace, "setpriv", "--reuid", "65534",
                            "--regid", "65534", "--clear-groups"])
    daemon.give_to_nobody()
    with daemon:
        error = daemon.fails("function.create", type="net", name="n", backend="tap:ridge0")
        assert error.errno in ("EPERM", "EACCES") and "run ridged as root" in error.message
        error = daemon.fails("pf.add", name="up", type="net", uplink="tap:ridge0")
        assert "run ridged as root" in error.message
        assert daemon.names() == []
        assert [pf["name"] for pf in daemon("pf.list")] == ["net0"]
