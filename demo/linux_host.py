#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""./run linux-host [TYPE] [KEY=VALUE ...]: a shell in a Linux host with a PF that is all software.

A ridged of its own, a PF with the keys of `ridge pf add`, exported, and the built kernel in QEMU
with that domain. The terminal is the guest's; the end of its shell, `poweroff -f`, or the end of
the terminal, ends all.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))

from guest import Guest, GuestError, with_libraries  # noqa: E402
from linux_host import APPEND, exported  # noqa: E402
from ridge import Ridge, RidgeError  # noqa: E402

DEFAULTS = {
    "net": ["max_vfs=64"],
    "blk": ["max_vfs=64", "image={0}/pf.img", "vf_image={0}/vf%n.img", "vf_size=64M"],
    "rng": ["max_vfs=64"],
}

# A terminal that is closed, and kill(1).
ENDS = (signal.SIGHUP, signal.SIGTERM)

# Process 1. The shell needs a session whose terminal is the serial line, or it has no ^C.
INIT = r"""#!/bin/sh
export PATH=/bin HOME=/ TERM={term}
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty sane rows {rows} cols {columns}
cat /motd
PS1='linux-host# ' setsid sh -c 'exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'
poweroff -f
"""

MOTD = """
Linux {version} with a PF of type {kind} at 10000:00:00.0. For example:

  dmesg | grep -e vmd -e 10000
  cd /sys/bus/pci/devices/10000:00:00.0
  echo 4 >sriov_numvfs                          # four VFs, with their normal drivers
  echo 0 >sriov_numvfs
  ridge host adopt 10000:01:00.0 10000:01:00.1 virtio-vfio-pci    # two VFs, straight to VFIO
  ls /dev/vfio/devices
  ridge host release 10000:01:00.0 10000:01:00.1

In another terminal, with the ridge that has the PF:

  export RIDGE_RUNTIME_DIR={runtime}
  {build}/ridge create {kind} extra pf=pf driver=none{more}
  {build}/ridge monitor

and then here, by the RID that it says: ridge host adopt 10000:00:01.0 vfio-pci
The end of this shell ends all. docs/linux-host.md says more.

"""


def files(ridge, kind, directory):
    size = shutil.get_terminal_size()
    with open(os.path.join(os.environ["RIDGE_KERNEL"], "version"), encoding="utf-8") as version:
        words = version.read().split()
    found = with_libraries("/bin/ridge", os.path.join(ridge.build, "ridge"))
    found["/init"] = INIT.format(term=os.environ.get("TERM", "linux"), rows=size.lines,
                                 columns=size.columns)
    found["/motd"] = MOTD.format(version=words[1].rstrip(","), kind=kind, runtime=ridge.runtime,
                                 build=ridge.build,
                                 more=f" image={directory}/pf.img share=true" if kind == "blk"
                                 else "")
    return found


def play(directory, kind, keys):
    given = {key.split("=", 1)[0] for key in keys}
    defaults = [key.format(directory) for key in DEFAULTS[kind]
                if key.split("=", 1)[0] not in given]
    if kind == "blk":
        with open(os.path.join(directory, "pf.img"), "wb") as image:
            image.truncate(64 << 20)
    with Ridge(directory) as ridge:
        ridge("pf", "add", "pf", f"type={kind}", *defaults, *keys)
        guest = Guest(directory, [exported(ridge, "pf")], kernel="built", cpus=2, memory="512M",
                      append=APPEND, files=files(ridge, kind, directory))
        return subprocess.run(guest.argv, check=False).returncode


def end(number, _):
    """Without this, what was started would outlive us."""
    for each in ENDS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "net"
    if kind not in DEFAULTS or any("=" not in key for key in sys.argv[2:]):
        print("usage: ./run linux-host [net|blk|rng] [KEY=VALUE ...]; the keys are those of "
              "ridge pf add", file=sys.stderr)
        return 2
    for number in ENDS:
        signal.signal(number, end)
    directory = tempfile.mkdtemp(prefix="ridge-", dir="/tmp")
    try:
        return play(directory, kind, sys.argv[2:])
    except (GuestError, RidgeError, OSError) as error:
        print(f"linux-host: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
