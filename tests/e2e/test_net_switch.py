# SPDX-License-Identifier: BSD-3-Clause
"""Two guests whose functions are ports of one PF's embedded switch.

All pairs of functions are on the same switch at the same time, each pair with a subnet of its own:
pair N has 10.0.N.1 in the first guest and 10.0.N.2 in the second.
"""

import pytest
from net import (MSS, WAYS, GuestEnd, carrier, check_way, drops, guest_files, load_module, netdev,
                 ping, prepare, transfer, unreachable, until, wait_until)

# The way of each end, and keys of the one, of the other, of both.
PAIRS = {
    "modern-modern": ("modern", "modern", (), (), ()),
    "legacy-modern": ("legacy", "modern", (), (), ()),
    "packed-legacy": ("packed", "legacy", (), (), ()),
    "legacy-legacy": ("legacy", "legacy", ("trust=true",), (), ("mtu=1400",)),
    "packed-packed": ("packed", "packed", ("trust=true",), (), ("mtu=9000", "queues=2")),
}
CPUS = 2
SPOOFED = "02:bb:ad:00:00:01"


def mac_of(guest, number):
    return f"02:00:00:00:{guest:02x}:{number:02x}"


class Pair:
    """One pair: two ends, and their functions' names."""

    def __init__(self, number, names, ways, ends):
        self.number, self.names, self.ways, self.ends = number, names, ways, ends
        self.first, self.second = ends


class Network:
    """Two guests on a switch, and all pairs."""

    def __init__(self, ridge, new_guest):
        self.ridge = ridge
        names = ([], [])
        for number, (pair, (*ways, first, second, both)) in enumerate(PAIRS.items()):
            for side, keys in enumerate((first, second)):
                name = f"{pair}-{side}"
                ridge("create", "net", name, f"mac={mac_of(side, number)}", *WAYS[ways[side]],
                      *keys, *both)
                names[side].append(name)
        assert len({ridge("show", name)["pf"] for side in names for name in side}) == 1
        self.guests = [new_guest([ridge.device(name) for name in side], files=guest_files())
                       for side in names]
        for guest in self.guests:
            guest.argv += ["-smp", str(CPUS)]
            guest.start()
        self.pairs = {}
        for guest in self.guests:
            guest.wait_ready()
            prepare(guest)
            load_module(guest, "8021q")
        for number, (pair, (*ways, _, _, _)) in enumerate(PAIRS.items()):
            ends = [GuestEnd(guest, netdev(guest, number), f"10.0.{number}.{side + 1}")
                    for side, guest in enumerate(self.guests)]
            self.pairs[pair] = Pair(number, [side[number] for side in names], ways, ends)

    def counters(self, name):
        return self.ridge("show", name)["counters"]


@pytest.fixture(scope="module")
def network(ridge, new_guest):
    network = Network(ridge, new_guest)
    yield network
    for guest in network.guests:
        assert guest.poweroff() == 0, guest.stderr()
    for pair in network.pairs.values():
        for name in pair.names:
            shown = ridge.wait_for(name, lambda shown: shown["state"] == "idle")
            for counter in ("drop_malformed", "drop_backend", "dma_faults", "device_errors"):
                assert shown["counters"][counter] == 0, (name, counter)
        ridge("destroy", *pair.names)


@pytest.fixture(params=list(PAIRS))
def pair(request, network):
    return network.pairs[request.param]


def test_functions_are_as_they_were_made(network, pair):
    mtu = {"legacy-legacy": "1400", "packed-packed": "9000"}.get(list(PAIRS)[pair.number], "1500")
    for side, end in enumerate(pair.ends):
        check_way(end.guest, end.dev, pair.ways[side])
        seen = end.sh(f"cd /sys/class/net/{end.dev}; cat address mtu carrier; ls -d queues/tx-*")
        queues = CPUS if mtu == "9000" else 1
        assert seen.split() == [mac_of(side, pair.number), mtu, "1",
                                *(f"queues/tx-{queue}" for queue in range(queues))]


def test_ping(pair):
    ping(pair.first, pair.second.address)
    ping(pair.second, pair.first.address)
    ping(pair.first, pair.second.address, size=1372)  # a frame of 1400 bytes of IP, as it is
    ping(pair.second, pair.first.address, size=20000)  # in fragments


def test_file_over_tcp_in_both_directions(network, pair):
    """With all offloads: frames longer than any MTU, and checksums that nobody computes."""
    for sender, receiver, name in ((pair.first, pair.second, pair.names[1]),
                                   (pair.second, pair.first, pair.names[0])):
        before = network.counters(name)
        size = transfer(sender, receiver)
        after = network.counters(name)
        assert after["read_bytes"] - before["read_bytes"] >= size
        if pair.number < 3:  # an MTU of 1500
            assert (after["rx_packets"] - before["rx_packets"]) * MSS < size


@pytest.mark.parametrize("pair", ["modern-modern", "legacy-modern", "packed-legacy"], indirect=True)
def test_file_over_tcp_between_unequal_offloads(network, pair):
    """A receiver that takes no segments gets them cut; a sender may do all by itself."""
    sender, receiver = pair.ends
    try:
        receiver.sh(f"guest_net feature {receiver.dev} rx-gro-hw off")
        before = network.counters(pair.names[1])["rx_packets"]
        size = transfer(sender, receiver)
        after = network.counters(pair.names[1])["rx_packets"]
        assert (after - before) * MSS >= size
        transfer(receiver, sender)

        sender.sh(f"guest_net feature {sender.dev} tx-tcp-segmentation off && "
                  f"guest_net feature {sender.dev} tx-checksum-ip-generic off")
        transfer(sender, receiver, 1)
        receiver.sh(f"guest_net feature {receiver.dev} rx-gro-hw on")
        transfer(sender, receiver, 1)
    finally:
        sender.sh(f"guest_net feature {sender.dev} tx-checksum-ip-generic on; "
                  f"guest_net feature {sender.dev} tx-tcp-segmentation on")
        receiver.sh(f"guest_net feature {receiver.dev} rx-gro-hw on")


def test_vlan(network, pair):
    """Tagged frames go between guests on the same VLAN, and to none that is on another."""
    ends = []
    for end, other in ((pair.first, 8), (pair.second, 9)):
        end.sh(f"vconfig add {end.dev} 7 >/dev/null && vconfig add {end.dev} {other} >/dev/null")
        side = end.address.rpartition(".")[2]
        ends.append(GuestEnd(end.guest, f"{end.dev}.7", f"10.7.{pair.number}.{side}"))
        end.sh(f"ip addr add 10.8.{pair.number}.{side}/24 dev {end.dev}.{other}; "
               f"ip link set {end.dev}.{other} up")
    ping(ends[0], ends[1].address)
    transfer(*ends)
    transfer(ends[1], ends[0], 1)
    dropped = network.counters(pair.names[1])["drop_filter"]
    unreachable(pair.first.guest, f"10.8.{pair.number}.2")
    assert network.counters(pair.names[1])["drop_filter"] > dropped
    for end in pair.ends:
        end.sh(f"for vlan in 7 8 9; do [ ! -e /sys/class/net/{end.dev}.$vlan ] || "
               f"vconfig rem {end.dev}.$vlan >/dev/null; done")


def send_frames(end, source, count, to):
    # one CPU has one transmit queue: the order of the frames is kept
    end.sh(f"taskset 1 guest_net send {end.dev} {to} {source} {count}")


class Receiver:
    """Counts the frames of send_frames() that come to an end, by their source."""

    def __init__(self, end, count):
        self.end = end
        end.sh(f"rm -f /tmp/frames /tmp/frames.done; (guest_net receive {end.dev} {count} "
               ">/tmp/frames; : >/tmp/frames.done) 2>/dev/null &\n"
               + until("[ -s /tmp/frames ]"))

    def sources(self):
        return self.end.sh(until("[ -e /tmp/frames.done ]") + "; cat /tmp/frames").split()[1:]


@pytest.mark.parametrize("pair", ["modern-modern", "legacy-modern", "packed-legacy"], indirect=True)
def test_spoofed_frames_are_dropped_and_counted(network, pair):
    """trust=false: a function sends from its own address, and from no other, and keeps it."""
    own, to = mac_of(0, pair.number), mac_of(1, pair.number)
    before = network.counters(pair.names[0])["drop_spoof"]
    receiver = Receiver(pair.second, 1)
    send_frames(pair.first, SPOOFED, 5, to)
    send_frames(pair.first, to, 2, to)  # in the receiver's own name
    send_frames(pair.first, own, 1, to)
    assert receiver.sources() == [own]
    assert network.counters(pair.names[0])["drop_spoof"] == before + 7

    status, _ = pair.first.guest.result(pair.first.guest.send(
        f"ip link set {pair.first.dev} address {SPOOFED} 2>&1"))
    assert status != 0
    assert pair.first.sh(f"cat /sys/class/net/{pair.first.dev}/address").strip() == own
    ping(pair.first, pair.second.address)


@pytest.mark.parametrize("pair", ["legacy-legacy", "packed-packed"], indirect=True)
def test_trusted_function_sends_what_it_likes(network, pair):
    own, to = mac_of(0, pair.number), mac_of(1, pair.number)
    receiver = Receiver(pair.second, 6)
    send_frames(pair.first, SPOOFED, 5, to)
    send_frames(pair.first, own, 1, to)
    assert receiver.sources() == 5 * [SPOOFED] + [own]

    # another address of its own: frames to that one reach it
    pair.first.sh(f"ip link set {pair.first.dev} address {SPOOFED}")
    assert pair.first.sh(f"cat /sys/class/net/{pair.first.dev}/address").strip() == SPOOFED
    ping(pair.first, pair.second.address)
    transfer(pair.second, pair.first, 1)
    pair.first.sh(f"ip link set {pair.first.dev} address {own}")
    ping(pair.first, pair.second.address)
    assert network.counters(pair.names[0])["drop_spoof"] == 0


def test_link_goes_down_and_up(network, pair):
    """The guest sees it at once; what it sends and what is sent to it are dropped and counted."""
    guest, dev, name = pair.second.guest, pair.second.dev, pair.names[1]
    assert network.ridge("set", name, "link=down")["state"] == "connected"
    wait_until(lambda: carrier(guest, dev) == "0", "carrier lost")
    before = drops(network.ridge, name).get("drop_link", 0)
    to = mac_of(1, pair.number)
    send_frames(pair.first, mac_of(0, pair.number), 3, to)
    wait_until(lambda: drops(network.ridge, name).get("drop_link", 0) >= before + 3,
               "three frames dropped")
    assert carrier(guest, dev) == "0"

    network.ridge("set", name, "link=up")
    wait_until(lambda: carrier(guest, dev) == "1", "carrier back")
    ping(pair.first, pair.second.address)
    ping(pair.second, pair.first.address)


@pytest.mark.parametrize("pair", ["legacy-legacy"], indirect=True)
def test_frames_longer_than_the_mtu_are_dropped_and_counted(network, pair):
    """A sender that knows of no MTU reaches a function with mtu=1400 with what fits there."""
    sender = network.pairs["modern-modern"].first
    counter = lambda: network.counters(pair.names[1])["drop_mtu"]  # noqa: E731
    before = counter()
    sender.sh(f"ip route add {pair.second.address}/32 dev {sender.dev}")
    ping(sender, pair.second.address, size=1372)
    assert counter() == before
    status, answer = sender.guest.result(sender.guest.send(
        f"ping -c 3 -i 0.1 -W 1 -s 1373 {pair.second.address}"))
    assert status != 0 and " 0 packets received" in answer
    assert counter() == before + 3
    sender.sh(f"ip route del {pair.second.address}/32 dev {sender.dev}")
