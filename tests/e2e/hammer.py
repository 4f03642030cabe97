# SPDX-License-Identifier: BSD-3-Clause
"""I/O in a guest that does not end, and what tells that it goes on."""

import time

# Reads and writes the disk for ever past the page cache, one line of progress per round.
HAMMER = """
    : >/tmp/rounds.{disk}
    while dd if=/dev/{disk} of=/dev/null bs=64k count=8 iflag=direct status=none &&
          dd if=/dev/urandom of=/dev/{disk} bs=64k count=2 seek={seek} oflag=direct status=none
    do echo round >>/tmp/rounds.{disk}; usleep {pause}; done >/tmp/hammer.{disk} 2>&1 &"""


def start(guest, disk, ridge, name, size, pause_ms=0):
    """Has the guest read the disk's beginning and write behind its middle, and waits for that."""
    before = ridge("show", name)["counters"]["requests"]
    guest.sh(HAMMER.format(disk=disk, seek=size // 2 // 65536, pause=pause_ms * 1000))
    ridge.wait_for(name, lambda shown: shown["counters"]["requests"] > before + 20, 30)


def rounds(guest, disk):
    return int(guest.sh(f"wc -l </tmp/rounds.{disk}"))


def wait_rounds(guest, disk, more):
    """Waits until the guest has gone some rounds further."""
    wanted = rounds(guest, disk) + more
    deadline = time.monotonic() + 60
    while rounds(guest, disk) < wanted:
        assert time.monotonic() < deadline, "the guest's I/O stands still: " + \
            guest.sh(f"cat /tmp/hammer.{disk}; dmesg | tail -n 20")
        time.sleep(0.2)


def wait_requests(ridge, *names, more=20, timeout=10):
    """Waits until so many more requests of each function have ended; the seconds that took."""
    begin = time.monotonic()
    wanted = {name: ridge("show", name)["counters"]["requests"] + more for name in names}
    for name in names:
        ridge.wait_for(name, lambda shown: shown["counters"]["requests"] >= wanted[name], timeout)
    return time.monotonic() - begin
