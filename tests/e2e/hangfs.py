# SPDX-License-Identifier: BSD-3-Clause
"""A disk image whose file system hangs when told to (hangfs.c), for tests of what that does."""

import json
import os
import subprocess
import time

from ridge import build_directory

BINARY = os.path.join("tests", "e2e", "hangfs")


def why_not():
    """Why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "mounts a file system: needs root"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if not os.path.exists(os.path.join(build_directory(), BINARY)):
        return "hangfs was not built: it needs libfuse3-dev"
    return None


class HangFs:
    """path is a file in a file system of its own, with the content of image."""

    def __init__(self, mountpoint, image):
        self.image = image
        self.mountpoint = mountpoint
        self.path = os.path.join(mountpoint, "disk")
        os.mkdir(mountpoint)
        self.process = subprocess.Popen(
            [os.path.join(build_directory(), BINARY), mountpoint, image],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "mounted\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def hang(self, *kinds):
        """Requests of these kinds hang from now on: read, write, fsync, getattr, flush."""
        assert self._ask("hang " + " ".join(kinds)) == "ok"

    def go(self):
        """What hangs goes on, and nothing hangs any more."""
        assert self._ask("go") == "ok"

    def count(self):
        """Numbers: read, write, fsync, fdatasync, getattr, flush, dsync, held, open (see hangfs.c)."""
        return json.loads(self._ask("count"))

    def wait(self, wanted, timeout=20):
        """Waits until wanted(count()) is true."""
        deadline = time.monotonic() + timeout
        while not wanted(count := self.count()):
            assert time.monotonic() < deadline, f"after {timeout} s: {count}"
            time.sleep(0.02)
        return count

    def wait_held(self, least=1, timeout=20):
        """Waits until so many requests hang."""
        return self.wait(lambda count: count["held"] >= least, timeout)

    def close(self):
        """Unmounts; what hangs ends with an error."""
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        os.rmdir(self.mountpoint)
