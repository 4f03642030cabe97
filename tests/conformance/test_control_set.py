# SPDX-License-Identifier: BSD-3-Clause
"""function.set: what changes while a function exists, all of it or nothing."""

import os

import pytest

from control import BUILD, Daemon, wait_revived, wait_until


def create(daemon, name, kind="net", **params):
    return daemon("function.create", type=kind, name=name, **params)


def test_link(daemon):
    made = create(daemon, "n")
    down = daemon("function.set", name="n", link="down")
    assert down == {**made, "params": {**made["params"], "link": "down"}}
    assert daemon("function.show", name="n") == down
    assert daemon("function.set", name="n", link="down") == down
    # Not asked for means as it is; asked for is a difference.
    assert create(daemon, "n") == down
    error = daemon.fails("function.create", type="net", name="n", link="up")
    assert error.errno == "EEXIST" and "link (have down, asked up)" in error.message
    assert daemon("function.set", name="n", link="up") == made


def test_size(daemon):
    image = daemon.image()
    create(daemon, "d", "blk", image=image)
    if not daemon.fake:
        os.truncate(image, 1 << 21)
    shown = daemon("function.set", name="d", size="1M")
    assert shown["params"]["size"] == 1 << 20
    assert daemon("function.set", name="d", size=1 << 20)["params"]["size"] == 1 << 20
    assert daemon("function.set", name="d", size=0)["params"]["size"] == "image"
    assert daemon("function.set", name="d", size="image")["params"]["size"] == "image"
    error = daemon.fails("function.set", name="d", size="4M")
    assert error.errno == "ENOSPC"
    assert error.message == "set d: the image is smaller than that; grow it first"
    assert daemon("function.show", name="d")["params"]["size"] == "image"
    create(daemon, "d", "blk", image=image)


def test_size_grows_with_the_image():
    if not os.path.exists(os.path.join(BUILD, "ridge-pf")):
        pytest.skip("no ridge-pf in this build")
    with Daemon(fake=False) as daemon:
        image = daemon.image()
        create(daemon, "d", "blk", image=image)
        assert daemon.fails("function.set", name="d", size="2M").errno == "ENOSPC"
        os.truncate(image, 3 << 20)
        assert daemon("function.set", name="d", size="2M")["params"]["size"] == 2 << 20
        assert daemon("function.set", name="d", size="image")["params"]["size"] == "image"
        error = daemon.fails("function.set", name="d", size="2M")
        assert error.message == "set d: a disk does not shrink while it is in use"


def test_size_is_set_later_only(daemon):
    error = daemon.fails("function.create", type="blk", name="d", image=daemon.image(), size="1M")
    assert error.message == ("create blk d: size can be given to what exists only; leave it out, "
                             "and set it then")


@pytest.mark.parametrize("kind,params,message", [
    ("net", {}, "nothing to set; of a function of type net can be set link"),
    ("net", {"mac": "52:54:00:00:00:01"},
     "mac cannot be set; of a function of type net can be set link"),
    ("net", {"colour": "red"}, "colour cannot be set; of a function of type net can be set link"),
    ("net", {"link": "down", "size": "1M"},
     "size cannot be set; of a function of type net can be set link"),
    ("net", {"link": "sideways"}, "link=sideways: there is no such link; give one of up, down"),
    ("net", {"link": True}, "link: does not take a boolean"),
    ("rng", {"link": "up"}, "nothing of a function of type rng can be set; make another"),
    ("rng", {}, "nothing of a function of type rng can be set; make another"),
    ("blk", {"image": "/x"}, "image cannot be set; of a function of type blk can be set size"),
    ("blk", {"size": "-1"}, "size=-1: give a number of bytes (K, M, G), or image"),
    ("blk", {"size": "1T"}, None), ("blk", {"size": 1.5}, None),
    ("blk", {"size": "99999999999999999999"}, None),
])
def test_refused_changes_nothing(daemon, kind, params, message):
    extra = {"image": daemon.image()} if kind == "blk" else {}
    made = create(daemon, "x", kind, **extra)
    error = daemon.fails("function.set", name="x", **params)
    assert error.code == -32602
    if message:
        assert error.message == "set x: " + message
    assert daemon("function.show", name="x") == made


def test_unknown(daemon):
    error = daemon.fails("function.set", name="x", link="up")
    assert error.message == "set x: there is no such function; there is none"
    assert daemon.fails("function.set", link="up").code == -32602
    assert daemon.fails("function.set").code == -32602


def test_refused_by_the_pf_process(fake):
    made = create(fake, "refuseset-1")
    error = fake.fails("function.set", name="refuseset-1", link="down")
    assert (error.errno, error.message) == ("ENOSPC", "set refuseset-1: the fake refuses")
    assert fake("function.show", name="refuseset-1") == made


def test_a_new_ridged_knows(daemon):
    create(daemon, "n")
    create(daemon, "d", "blk", image=daemon.image())
    daemon("function.set", name="n", link="down")
    daemon("function.set", name="d", size="1M")
    before = daemon("function.list")
    assert [f["params"].get("link", f["params"].get("size")) for f in before].count("down") == 1
    daemon.end()
    daemon.start()
    assert daemon("function.list") == before


def test_a_name_that_is_none(fake):
    assert fake.fails("function.set", link="up").message == "set: name is missing; give name"
    assert fake.fails("function.set", name=7, link="up").message == "set: name: give a string"


def test_while_another_request_is_under_way(fake):
    create(fake, "hangset-1")
    with fake.connect() as connection:
        connection.start("function.set", name="hangset-1", link="down")
        def busy():
            return fake.fails("function.bind", name="hangset-1", driver="none")
        assert busy().errno == "EBUSY" and "is being changed" in busy().message
        assert fake.fails("function.set", name="hangset-1", link="up").errno == "EBUSY"
    # It will never be answered: only the end of its PF ends it.
    pid = fake("function.show", name="hangset-1")["pid"]
    os.kill(pid, 9)
    wait_revived(fake, "hangset-1", pid)
    assert fake("function.show", name="hangset-1")["params"]["link"] == "up"


def test_set_when_the_pf_process_sends_noise(fake):
    """What became of it is found out."""
    create(fake, "noiseset-1")
    assert fake.fails("function.set", name="noiseset-1", link="down").errno == "EIO"
    wait_until(lambda: fake("function.show", name="noiseset-1")["params"]["link"] == "down")
    assert fake("function.bind", name="noiseset-1", driver="none")["driver"] == "none"
