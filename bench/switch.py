#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Frames between two functions of a switch, against a Linux bridge with two TAPs.

    bench/switch.py BUILD [ROUNDS [SECONDS]]

BUILD is a release build. Rounds alternate within one run; what counts is the ratio. Root, for the
bridge, which lives in a network namespace of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")


def main():
    build = os.path.abspath(sys.argv[1])
    rounds, seconds = (sys.argv[2:] + ["7", "1"][len(sys.argv) - 2:])[:2]
    with tempfile.TemporaryDirectory(prefix="ridge-bench-") as runtime:
        env = dict(os.environ, RIDGE_RUNTIME_DIR=runtime)
        ridged = subprocess.Popen([os.path.join(build, "ridged")], env=env,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        ridged.stdout.readline()
        try:
            sockets = []
            for number, mac in enumerate(MACS):
                made = subprocess.run(
                    [os.path.join(build, "ridge"), "-j", "create", "net", "n%d" % number,
                     "mac=" + mac, "queue_size=1024"],
                    env=env, stdout=subprocess.PIPE, check=True)
                sockets.append(json.loads(made.stdout)["socket"])
            out = subprocess.run(
                [os.path.join(build, "bench", "bench-switch"), *sockets, *MACS, rounds, seconds],
                stdout=subprocess.PIPE, check=True).stdout
        finally:
            subprocess.run([os.path.join(build, "ridge"), "shutdown"], env=env, check=False)
            ridged.wait()
    results = json.loads(out)
    print("%-22s %14s %14s %9s %9s %6s" % ("", "ridge", "bridge", "ridge", "bridge", "ratio"))
    print("%-22s %14s %14s %9s %9s" % ("load", "frames/s", "frames/s", "Gbit/s", "Gbit/s"))
    for r in results:
        print("%-22s %14d %14d %9.2f %9.2f %6.2f" % (
            r["load"], r["ridge_pps"], r["bridge_pps"], r["ridge_bps"] / 1e9,
            r["bridge_bps"] / 1e9, r["ratio"]))
    print("load average %.2f at the end, %s" % (os.getloadavg()[0], time.strftime("%F")))
    with open(os.path.join(build, "bench-switch.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
