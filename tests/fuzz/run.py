# SPDX-License-Identifier: BSD-3-Clause
"""Runs the fuzz targets of a build folder, two at a time on two cores.

    run.py BUILD [--seconds N | --dry N] [--merge] [--junit FILE] [TARGET...]

Each target first runs all inputs in corpus/TARGET, whole, and what earlier runs found, which is kept
in BUILD/fuzz/TARGET; then it makes new ones. --seconds N: for so long (default 60). --dry N: until N
seconds brought no edge of the code that was not reached before. --merge: afterwards, add to
corpus/TARGET, as found-*, the few inputs that reach all edges which it did not reach.

An input that shows an error is left in BUILD/fuzz/crash-TARGET-*, its report beside it, and the
exit status is 1.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).parent
# One input that takes longer than this is an error by itself: the targets end in milliseconds.
INPUT_SECONDS = 30
INPUT_BYTES = 1024
MERGE_BYTES_MAX = 65536  # what one merge may add to the tree, per target
NAME_LENGTH = 12  # of the hash that libFuzzer names an input by

STATUS = re.compile(r"^#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)/\S+")


def library_options(build, target):
    """What every run of a target has: no entropic schedule, which costs more than it finds here."""
    longest = max(path.stat().st_size for path in (HERE / "corpus" / target).iterdir())
    return [build / "tests" / "fuzz" / f"fuzz_{target}", "-entropic=0", "-len_control=0",
            f"-max_len={max(INPUT_BYTES, longest)}", f"-timeout={INPUT_SECONDS}", "-rss_limit_mb=4096",
            "-print_final_stats=1", f"-artifact_prefix={build}/fuzz/crash-{target}-"]


class Result:
    def __init__(self, target):
        self.target = target
        self.execs = self.coverage = self.features = self.corpus = 0
        self.new_at = 0.0
        self.seconds = 0.0
        self.failed = False

    def line(self):
        rate = self.execs / self.seconds if self.seconds else 0
        verdict = "FAILED" if self.failed else "ok"
        return (f"{self.target:10} {self.seconds:7.0f} s {self.execs:10d} {rate:8.0f}/s "
                f"{self.coverage:7d} {self.features:9d} {self.corpus:7d} "
                f"{self.seconds - self.new_at:7.0f} s  {verdict}")


HEADER = (f"{'target':10} {'time':>9} {'inputs':>10} {'rate':>10} {'edges':>7} {'features':>9} "
          f"{'corpus':>7} {'last new':>9}")


def fuzz(build, target, seconds, dry):
    result = Result(target)
    found = build / "fuzz" / target
    found.mkdir(parents=True, exist_ok=True)
    log = build / "fuzz" / f"{target}.log"
    command = library_options(build, target) + [found, HERE / "corpus" / target]
    if not dry:
        command.append(f"-max_total_time={seconds}")
    start = time.monotonic()
    coverage = 0
    stopped = False
    with open(log, "w") as out, subprocess.Popen(
            [str(word) for word in command], stderr=out, stdout=subprocess.DEVNULL,
            cwd=build / "fuzz") as process, open(log, errors="replace") as lines:
        while True:
            ended = process.poll() is not None
            result.seconds = time.monotonic() - start
            for match in filter(None, map(STATUS.match, lines.readlines())):
                result.execs = int(match[1])
                result.coverage, result.features = int(match[3]), int(match[4])
                result.corpus = int(match[5])
                if result.coverage > coverage:
                    coverage = result.coverage
                    result.new_at = result.seconds
            if ended:
                break
            if dry and result.seconds - result.new_at > dry:
                process.terminate()
                process.wait()
                stopped = True
            else:
                time.sleep(1)
    result.failed = process.returncode != 0 and not stopped
    result.seconds = time.monotonic() - start
    if result.failed:
        sys.stderr.write("".join(open(log, errors="replace").readlines()[-60:]))
    return result


def merge(build, target):
    """Adds what reaches an edge that the inputs in the tree do not: how many, and how many more there
    would be."""
    corpus = HERE / "corpus" / target
    before = {path.name for path in corpus.iterdir()}
    # Edges alone, not how often each is passed: a hundred inputs instead of a thousand.
    subprocess.run([str(word) for word in library_options(build, target)]
                   + ["-set_cover_merge=1", "-use_counters=0", str(corpus),
                      str(build / "fuzz" / target)],
                   check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    added = sorted((path for path in corpus.iterdir() if path.name not in before),
                   key=lambda path: path.stat().st_size)
    total = kept = 0
    for path in added:
        total += path.stat().st_size
        if total > MERGE_BYTES_MAX:
            path.unlink()
        else:
            path.rename(corpus / f"found-{path.name[:NAME_LENGTH]}")
            kept += 1
    return kept, len(added) - kept


def write_junit(path, results):
    suite = xml.etree.ElementTree.Element(
        "testsuite", name="fuzz", tests=str(len(results)),
        failures=str(sum(result.failed for result in results)))
    for result in results:
        case = xml.etree.ElementTree.SubElement(
            suite, "testcase", classname="fuzz", name=result.target, time=f"{result.seconds:.1f}")
        if result.failed:
            xml.etree.ElementTree.SubElement(case, "failure", message=result.line())
    xml.etree.ElementTree.ElementTree(suite).write(path)


def main():
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--dry", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--junit", type=pathlib.Path, metavar="FILE", help="write results as JUnit XML")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    args = parser.parse_intermixed_args()
    build = args.build.resolve()
    have = sorted(path.name.removeprefix("fuzz_") for path in (build / "tests" / "fuzz").iterdir()
                  if path.name.startswith("fuzz_") and os.access(path, os.X_OK) and path.is_file())
    for target in args.targets:
        if target not in have:
            parser.error(f"there is no target {target}; there are {', '.join(have)}")
    (build / "fuzz").mkdir(exist_ok=True)
    jobs = max(1, len(os.sched_getaffinity(0)))
    print(HEADER, flush=True)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(fuzz, build, target, args.seconds, args.dry)
                for target in args.targets or have]
        results = []
        for run in concurrent.futures.as_completed(runs):
            results.append(run.result())
            print(results[-1].line(), flush=True)
    if args.merge:
        for result in results:
            kept, left = merge(build, result.target)
            print(f"{result.target}: {kept} inputs added to the tree"
                  + (f", {left} would be too many" if left else ""))
    failed = sum(result.failed for result in results)
    if args.junit:
        write_junit(args.junit, results)
    print(f"fuzz: {len(results)} targets, {sum(result.execs for result in results)} inputs, "
          f"{failed} failed")
    if failed:
        print(f"fuzz: reports and inputs are in {build}/fuzz")
        sys.exit(1)


if __name__ == "__main__":
    main()
