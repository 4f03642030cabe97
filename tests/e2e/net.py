# SPDX-License-Identifier: BSD-3-Clause
"""Network interfaces in guests and in a network namespace, and what goes between them.

Both ends of a connection are alike: something with sh() that runs shell commands, and the verbs
listen(), connect() and received() for a file over TCP.
"""

import json
import os
import shutil
import subprocess
import sys
import time

from guest import FIRST_SLOT
from ridge import build_directory

# The ways to attach a net function, and what each must look like to the guest.
WAYS = {
    "modern": ("driver=vfio-pci",),
    "packed": ("driver=vfio-pci", "packed=true"),
    "legacy": ("driver=virtio-vfio-pci", "legacy=only"),
}
RING_PACKED = 34  # feature bits
VERSION_1 = 32

DROPS = ("drop_no_buffer", "drop_mtu", "drop_filter", "drop_spoof", "drop_malformed", "drop_link",
         "drop_backend")
MSS = 1448  # TCP over IPv4 at an MTU of 1500, with timestamps

def guest_files():
    """What the guests of these tests have besides busybox: files= of a Guest."""
    with open(os.path.join(build_directory(), "tests", "e2e", "guest_net"), "rb") as tool:
        return {"/bin/guest_net": tool.read()}


def load_module(guest, name):
    """A module that is not loaded at boot, with those it needs."""
    guest.sh(f"while read -r m; do insmod /modules/$m.ko || exit 1; done </modules/{name}")


def prepare(guest):
    """Before any interface is up: each answers for its own addresses, and sends nothing unasked."""
    guest.sh("""
        echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
        echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
        for name in all default; do
            file=/proc/sys/net/ipv6/conf/$name/disable_ipv6
            [ ! -e $file ] || echo 1 >$file
        done
        ip link set lo up""")


def features(guest, dev):
    """The virtio features of an interface, a number."""
    bits = guest.sh(f"cat /sys/class/net/{dev}/device/features").strip()
    return sum(1 << bit for bit, digit in enumerate(bits) if digit == "1")


def netdev(guest, index):
    """The name of the interface of the function in slot index."""
    slot = f"0000:00:{FIRST_SLOT + index:02x}.0"
    return guest.sh(f"ls /sys/bus/pci/devices/{slot}/virtio*/net").strip()


def check_way(guest, dev, way):
    """The interface is run as its function was made to be."""
    bits = features(guest, dev)
    assert bool(bits >> VERSION_1 & 1) == (way != "legacy")
    assert bool(bits >> RING_PACKED & 1) == (way == "packed")


def carrier(guest, dev):
    return guest.sh(f"cat /sys/class/net/{dev}/carrier").strip()


def wait_until(wanted, what, timeout=20):
    deadline = time.monotonic() + timeout
    while not wanted():
        assert time.monotonic() < deadline, f"after {timeout} s not yet: {what}"
        time.sleep(0.05)


def ping(end, address, count=3, size=56):
    """Every one is answered, and once. 10 s is for a machine that is busy, not for the network."""
    answer = end.sh(f"ping -c {count} -i 0.1 -W 10 -s {size} {address}")
    assert f"{count} packets transmitted, {count} packets received, 0% packet loss" in answer


def unreachable(guest, address):
    """Nothing answers, not even to ARP."""
    status, answer = guest.result(guest.send(f"ping -c 2 -i 0.2 -W 1 {address}"))
    assert status != 0 and " 0 packets received, 100% packet loss" in answer, answer


def until(condition):
    """Shell that waits, up to 40 s, until a condition is true."""
    return (f"i=0; until {condition}; do [ $((i += 1)) -lt 800 ] || exit 1; sleep 0.05; done")


class GuestEnd:
    """One interface of a guest, with an address."""

    def __init__(self, guest, dev, address, up=True):
        self.guest, self.dev, self.address = guest, dev, address
        self.sh = guest.sh
        if up:
            self.sh(f"ip addr add {address}/24 dev {dev} && ip link set {dev} up")

    def make_file(self, megabytes):
        """A file of random bytes to send; the checksum of it."""
        return self.sh(f"[ -e /tmp/out ] || dd if=/dev/urandom of=/tmp/out bs=1M count={megabytes} "
                       "status=none; sha256sum /tmp/out").split()[0]

    def listen(self):
        # nc would take the other side's end of sending for the end of all
        self.sh("rm -f /tmp/in /tmp/in.done; "
                "(nc -l -p 5000 -e sh -c 'cat >/tmp/in'; : >/tmp/in.done) >/dev/null 2>&1 &\n"
                + until("netstat -ltn | grep -q :5000"))

    def connect(self, address):
        # cat sends in large pieces, nc itself would in pieces shorter than a segment
        self.sh(f"timeout 40 nc {address} 5000 -e cat /tmp/out")

    def received(self):
        return self.sh(until("[ -e /tmp/in.done ]") + "; sha256sum /tmp/in").split()[0]


HOST_TCP = """
import hashlib, os, socket, sys
what, address, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
if what == "listen":
    server = socket.create_server((address, 5000))
    print("listening", flush=True)
    peer, _ = server.accept()
    digest = hashlib.sha256()
    while data := peer.recv(1 << 16):
        digest.update(data)
else:
    data = os.urandom(size)
    digest = hashlib.sha256(data)
    peer = socket.create_connection((address, 5000))
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    while peer.recv(1 << 16):
        pass
print(digest.hexdigest())
"""


class Namespace:
    """A network namespace of the host, for a ridged and for the host's ends of its TAPs."""

    def __init__(self, name):
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.enter = ["nsenter", f"--net=/run/netns/{name}"]
        self.sh("ip link set lo up")
        self.sh("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6", check=False)

    @staticmethod
    def why_not():
        if os.geteuid() != 0:
            return "makes a network namespace: needs root"
        if not shutil.which("ip") or not os.path.exists("/dev/net/tun"):
            return "needs iproute2 and /dev/net/tun"
        probe = subprocess.run(["unshare", "--net", "true"], stderr=subprocess.PIPE, check=False)
        return "no network namespaces here" if probe.returncode else None

    def sh(self, command, check=True):
        done = subprocess.run([*self.enter, "sh", "-c", command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def links(self):
        """{name: what ip says} of the interfaces but lo."""
        found = json.loads(self.sh("ip -j link"))
        return {link["ifname"]: link for link in found if link["ifname"] != "lo"}

    def tcp(self, what, address, size=0):
        """Starts the host's end of a connection; finish() is the checksum of what went over it."""
        process = subprocess.Popen([*self.enter, sys.executable, "-c", HOST_TCP, what, address,
                                    str(size)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   text=True)
        if what == "listen":
            assert process.stdout.readline() == "listening\n"
        return process

    @staticmethod
    def finish(process):
        with process:
            answer, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return answer.strip()

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], check=True)


def transfer(sender, receiver, megabytes=4):
    """A file over TCP from one guest to another arrives as it was sent; how long it was."""
    checksum = sender.make_file(megabytes)
    receiver.listen()
    sender.connect(receiver.address)
    assert receiver.received() == checksum, "the file has changed on its way"
    return megabytes << 20


def drops(ridge, name):
    """{counter: its value} of the drops that were."""
    counters = ridge("show", name)["counters"]
    return {drop: counters[drop] for drop in DROPS if counters[drop]}
