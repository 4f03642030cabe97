# SPDX-License-Identifier: BSD-3-Clause
"""What the cases of `./run bench` have in common: rounds, ratios, what they must be, and the report.

A *result* is one figure with its rounds. Where two things were measured in turns, its value in a
round is the ratio of the two in that round, so that what else the machine does cancels out; the
figure is the median of the rounds, the spread their quartiles.
"""

import functools
import json
import os
import statistics
import subprocess
import time


class Result:
    """One figure of one case. bar: the least or most its median may be; None: only reported."""

    def __init__(self, what, values, unit="x", at_most=None, at_least=None, ours=None, peer=None,
                 value_unit=None, peer_name=None):
        self.what = what
        self.values = [float(value) for value in values]
        self.unit = unit
        self.at_most, self.at_least = at_most, at_least
        self.ours = statistics.median(ours) if ours else None
        self.peer = statistics.median(peer) if peer else None
        self.value_unit, self.peer_name = value_unit, peer_name

    @classmethod
    def ratio(cls, what, ours, peer, **keys):
        """Of two series that were measured in turns."""
        return cls(what, [a / b for a, b in zip(ours, peer)], ours=ours, peer=peer, **keys)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def quartiles(self):
        if len(self.values) < 2:
            return self.values[0], self.values[0]
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return first, third

    @property
    def met(self):
        """True, False, or None without a bar."""
        if self.at_most is not None:
            return self.median <= self.at_most
        if self.at_least is not None:
            return self.median >= self.at_least
        return None

    def bar(self):
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return ""

    def as_json(self):
        first, third = self.quartiles
        return {"what": self.what, "unit": self.unit, "median": self.median, "quartile1": first,
                "quartile3": third, "at_most": self.at_most, "at_least": self.at_least,
                "met": self.met, "ours": self.ours, "peer": self.peer,
                "value_unit": self.value_unit, "peer_name": self.peer_name, "rounds": self.values}


def measured(value, unit):
    """A value for people: 10.4 µs, 115k/s."""
    if value is None:
        return ""
    if unit == "ns":
        for scale, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
            if value >= scale:
                return f"{value / scale:.1f} {name}"
        return f"{value:.0f} ns"
    if unit == "/s":
        return f"{value / 1000:.1f}k/s" if value >= 1000 else f"{value:.0f}/s"
    return f"{value:.2f} {unit or ''}".strip()


HEADER = ("case", "", "ridge", "peer", "figure", "quartiles", "bar", "")
FORMAT = "{:8} {:30} {:>9} {:>9} {:>11} {:>15} {:>8} {}"


def line(case, result):
    first, third = result.quartiles
    verdict = {True: "met", False: "MISSED", None: ""}[result.met]
    unit = "" if result.unit == "x" else " " + result.unit
    return FORMAT.format(
        case, result.what, measured(result.ours, result.value_unit),
        measured(result.peer, result.value_unit), f"{result.median:.2f}{unit}",
        f"{first:.2f}-{third:.2f}", result.bar(), verdict).rstrip()


def header():
    return FORMAT.format(*HEADER).rstrip()


def machine():
    """Where figures come from, as far as it matters to who compares them."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for text in file:
            if text.startswith("model name"):
                model = text.partition(":")[2].strip()
                break
    return {"date": time.strftime("%F %T"), "load": round(os.getloadavg()[0], 2),
            "cpus": len(os.sched_getaffinity(0)), "cpu": model, "kernel": os.uname().release}


def tmpfs():
    """Where a runtime directory is as in /run: of a disk's file system, its journal is measured."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def placements():
    """[(words, cpus of Bench.program())]: where two processes that wait for each other can be.

    Left to itself the scheduler moves them between these two, whose figures are not comparable: it
    takes several times longer to wake a process on a CPU that sleeps.
    """
    cpus = sorted(os.sched_getaffinity(0))
    return [("1 CPU", (cpus[-1], cpus[-1]))] + ([("2 CPUs", tuple(cpus[-2:]))] if cpus[1:] else [])


class Bench:
    """A run: where the build is, and how much is done."""

    def __init__(self, build, directory, disk, rounds, seconds, functions, realtime):
        self.build = os.path.abspath(build)
        self.directory = directory  # for runtime directories and sockets
        self.disk = disk  # for images
        self.rounds = rounds
        self.seconds = seconds
        self.functions = functions
        self.realtime = realtime

    def program(self, name, *arguments, ridge=None, cpus=None):
        """Runs one of the C programs: {thing: [value of each round]}.

        cpus: where it runs, and where its peer and the processes of ridge do.
        """
        environment = dict(os.environ)
        for pid in ridge.processes() if ridge else ():
            self._place(pid, cpus and cpus[1])
        if cpus:
            environment["BENCH_PEER_CPU"] = str(cpus[1])
        done = subprocess.run(
            [os.path.join(self.build, "bench", name), *map(str, arguments), str(self.rounds),
             str(self.seconds)], env=environment,
            preexec_fn=functools.partial(self._place, 0, cpus and cpus[0]),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: exit status {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def _place(self, pid, cpu):
        """Where a process runs, and before whom."""
        if cpu is not None:
            os.sched_setaffinity(pid, {cpu})
        if self.realtime:
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))

    def save(self, case, results, before, after, functions=None):
        """build/bench/CASE.json."""
        path = os.path.join(self.build, "bench", case + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"case": case, "before": before, "after": after,
                       "rounds": self.rounds, "seconds": self.seconds, "realtime": self.realtime,
                       "functions": functions,
                       "results": [result.as_json() for result in results]}, file, indent=1)
            file.write("\n")
        return path
