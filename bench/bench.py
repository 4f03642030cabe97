#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""ridge against peers and limits, by turns in one run.

What is compared is a ratio, or an amount that has a limit; each says what it must be. The exit
status is 1 if one is not, unless --report is given. Results: BUILD/bench/CASE.json.
"""

import argparse
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
from cases import CASES, needs_root  # noqa: E402


def parse():
    parser = argparse.ArgumentParser(
        prog="./run bench", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="cases:\n" + "\n".join(f"  {name:8} {case.__doc__}"
                                      for name, case in CASES.items()))
    parser.add_argument("case", nargs="*", metavar="CASE", help="all, if none is given")
    parser.add_argument("--build", default="build-release", help="a release build")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.5,
                        help="of a round of each thing compared")
    parser.add_argument("--functions", type=int, default=1000,
                        help="where many functions are made")
    parser.add_argument("--realtime", action="store_true",
                        help="before everything else on the machine, ridge as its peers (root)")
    parser.add_argument("--report", action="store_true", help="exit status 0 for any figure")
    args = parser.parse_args()
    unknown = [name for name in args.case if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if args.rounds < 1 or args.seconds <= 0 or args.functions < 1:
        parser.error("rounds, seconds and functions are more than 0")
    return args


def main():
    args = parse()
    missed = []
    print(harness.header())
    with tempfile.TemporaryDirectory(prefix="ridge-bench-") as disk, \
            tempfile.TemporaryDirectory(prefix="ridge-bench-", dir=harness.tmpfs()) as directory:
        bench = harness.Bench(args.build, directory, disk, args.rounds, args.seconds,
                              args.functions, args.realtime)
        for name in args.case or CASES:
            why = needs_root(CASES[name])
            if why:
                print(f"{name:8} left out: {why}")
                continue
            before = harness.machine()
            results = CASES[name](bench)
            bench.save(name, results, before, harness.machine())
            for result in results:
                print(harness.line(name, result), flush=True)
                if result.met is False:
                    missed.append(f"{name}: {result.what}")
    now = harness.machine()
    print(f"{now['cpu']}, {now['cpus']} CPUs, load {now['load']} at the end, "
          f"{'real-time, ' if args.realtime else ''}{args.rounds} rounds of {args.seconds:g} s, {now['date']}")
    if missed:
        print(f"missed: {'; '.join(missed)}")
    return 1 if missed and not args.report else 0


if __name__ == "__main__":
    sys.exit(main())
