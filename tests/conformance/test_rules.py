# SPDX-License-Identifier: BSD-3-Clause
"""The table of rules and tests in docs/conformance.md is what the rules and the tests say."""

import os

import pytest

import rules

ONE = """
title = "T"
source = "S"
[[section]]
name = "N"
rules = [["a-1", "MUST", "do it"], ["a-2", "MUST", "not do it", "none", "there is no it"]]
"""


@pytest.fixture
def tree(tmp_path):
    """A tree of one rule that is implemented, proved by one test, and one that does not apply."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "one.toml").write_text(ONE)
    (tmp_path / "test_one.c").write_text(
        "/* rules: a-1 */\nstatic void test_it(void **state)\n{\n}\nTEST(test_it)\n")
    return tmp_path


def problems(tree):
    sources, found = rules.load(str(tree / "rules"))
    return found + rules.scan(str(tree), sources)


def test_table_is_up_to_date_and_every_rule_is_proved(capsys):
    assert rules.main(["--check"]) == 0, capsys.readouterr().err


def test_a_sound_tree_has_no_problems(tree):
    assert problems(tree) == []
    sources, _ = rules.load(str(tree / "rules"))
    rules.scan(str(tree), sources)
    assert "| a-1 | MUST | do it | one: `it` |" in rules.table(sources)
    assert "does not apply: there is no it" in rules.table(sources)


def test_a_rule_without_a_test_is_noticed(tree):
    (tree / "test_one.c").write_text("static void test_it(void **state)\n{\n}\nTEST(test_it)\n")
    assert problems(tree) == ["a-1: implemented, and no test proves it"]


def test_a_test_that_is_never_run_is_noticed(tree):
    (tree / "test_one.c").write_text("/* rules: a-1 */\nstatic void test_it(void **state)\n{\n}\n")
    assert problems(tree) == ["test_one.c: test_it is never run"]


def test_a_rule_that_is_not_there_is_noticed(tree):
    (tree / "test_two.py").write_text("@pytest.mark.rules('a-3')\ndef test_that():\n    pass\n")
    assert problems(tree) == ["test_two.py: test_that: there is no rule a-3"]


def test_a_proof_of_what_does_not_apply_is_noticed(tree):
    (tree / "test_two.py").write_text("@pytest.mark.rules('a-2')\ndef test_that():\n    pass\n")
    assert problems(tree) == ["test_two.py: test_that proves a-2, which does not apply"]


def test_rules_above_no_test_are_noticed(tree):
    with open(tree / "test_one.c", "a") as file:
        file.write("/*\n * rules: a-1\n * a-1\n */\nint main(void)\n")
    assert problems(tree) == ["test_one.c: rules a-1 a-1 above what is no test"]


@pytest.mark.parametrize("entry,problem", [
    ('["a-1", "MUST", "again"]', "one.toml: rule a-1 is there twice"),
    ('["a-3", "MAY", "x", "none", "y"]', "one.toml: a-3: level MAY"),
    ('["a-3", "MUST", "x", "none", ""]', "one.toml: a-3: none without a reason"),
    ('["a-3", "MUST", "x", "later", "y"]', "one.toml: a-3: later without a reason")])
def test_a_list_that_is_wrong_is_noticed(tree, entry, problem):
    (tree / "rules" / "one.toml").write_text(ONE.rstrip()[:-1] + ", " + entry + "]")
    assert problem in problems(tree)


def test_an_old_table_is_noticed(tree, monkeypatch, capsys):
    document = tree / "conformance.md"
    document.write_text("words\n" + rules.BEGIN + rules.END + "more\n")
    monkeypatch.setattr(rules, "HERE", str(tree))
    monkeypatch.setattr(rules, "TESTS", str(tree))
    monkeypatch.setattr(rules, "DOCUMENT", str(document))
    assert rules.main(["--check"]) == 1
    assert "is old" in capsys.readouterr().err
    assert rules.main([]) == 0
    assert document.read_text().startswith("words\n") and "do it" in document.read_text()
    assert document.read_text().endswith("more\n")
    assert rules.main(["--check"]) == 0
    assert os.path.exists(rules.DOCUMENT)
