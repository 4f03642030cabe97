# SPDX-License-Identifier: BSD-3-Clause
"""The harness of `./run bench`: its arithmetic, and a short form of each case.

Figures of a build with sanitizers on a shared machine say nothing, so only those that must be right
anywhere are looked at; what is tested is that the cases work.
"""

import json
import math
import os
import subprocess
import sys

import pytest

from control import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "bench"))

import bench  # noqa: E402
from cases import CASES, needs_root  # noqa: E402
from harness import Result, line  # noqa: E402


def run(*arguments):
    return subprocess.run([sys.executable, os.path.join(ROOT, "bench", "bench.py"), "--build",
                           BUILD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=300, check=False)


@pytest.mark.parametrize("case", CASES)
def test_short_form(case):
    if needs_root(CASES[case]):
        pytest.skip(needs_root(CASES[case]))
    done = run("--report", "--rounds", "2", "--seconds", "0.02", "--functions", "40", case)
    assert (done.returncode, done.stderr) == (0, "")
    with open(os.path.join(BUILD, "bench", case + ".json"), encoding="utf-8") as file:
        saved = json.load(file)
    assert saved["case"] == case and saved["before"]["date"] <= saved["after"]["date"]
    for result in saved["results"]:
        assert result["what"] in done.stdout
        assert result["quartile1"] <= result["median"] <= result["quartile3"]
        assert all(math.isfinite(value) for value in result["rounds"])
        if result["peer_name"]:
            assert result["ours"] > 0 and result["peer"] > 0
    if case == "idle":
        assert all(result["met"] for result in saved["results"]), done.stdout
    if case == "linux_host":
        # Times are of a busy machine, but nobody is probed on the way to VFIO.
        assert [result["median"] for result in saved["results"]
                if result["what"] == "normal probes"] == [0], done.stdout


def test_a_ratio_is_of_the_rounds_and_its_spread_their_quartiles():
    result = Result.ratio("what", [10, 30, 20, 40, 50], [10, 10, 10, 10, 10], at_most=3)
    assert (result.median, result.quartiles, result.met) == (3, (2, 4), True)
    assert (result.ours, result.peer) == (30, 10)
    # the machine was slow in the last round, and for both
    assert Result.ratio("what", [10, 100], [10, 100]).values == [1, 1]


@pytest.mark.parametrize("keys, met", [({"at_most": 2}, False), ({"at_most": 3}, True),
                                       ({"at_least": 3}, True), ({"at_least": 4}, False),
                                       ({}, None)])
def test_a_bar_is_met_or_missed_by_the_median(keys, met):
    result = Result("what", [1, 3, 100], **keys)
    assert result.met is met
    assert ("MISSED" in line("case", result)) == (met is False)


@pytest.mark.parametrize("arguments, met, status", [([], True, 0), ([], False, 1),
                                                    (["--report"], False, 0)])
def test_the_exit_status_says_whether_all_bars_are_met(monkeypatch, capsys, tmp_path, arguments,
                                                       met, status):
    def case(_):
        return [Result("a figure", [1.0], at_most=1 if met else 0.5)]

    (tmp_path / "bench").mkdir()
    monkeypatch.setattr(bench, "CASES", {"case": case})
    monkeypatch.setattr(sys, "argv", ["bench", "--build", str(tmp_path), *arguments])
    assert bench.main() == status
    assert ("missed: case: a figure" in capsys.readouterr().out) == (not met)


def test_a_case_that_is_not_there_is_a_usage_error():
    done = run("no-such-case")
    assert done.returncode == 2
    assert "no case no-such-case; there are read" in done.stderr
