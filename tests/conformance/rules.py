#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Which rule of which specification is proved by which test: the table in docs/conformance.md.

rules/*.toml has the rules, in our words: what the specification asks of the side that ridge is. An
entry is [id, level, rule], or [id, level, rule, status, reason] where status is "none" (it does not
apply: the reason says what is not there) or "deviates" (the reason says what is done instead, and
why). Level is MUST, SHOULD or DOES (normative text without a keyword).

A test names the rules that it proves: in C by a comment right above the function,

    /* rules: admin-cmd-1 admin-cmd-2 */

in Python by a mark, @pytest.mark.rules("vu-header-1"). Running this program writes the table anew;
--check only says what is wrong. test_rules.py does that: a table that is old, a rule that is
implemented and that no test proves, a test that names a rule that is not there.
"""

import ast
import os
import re
import sys
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
DOCUMENT = os.path.join(os.path.dirname(TESTS), "docs", "conformance.md")
BEGIN = "<!-- rules: begin (written by tests/conformance/rules.py) -->\n"
END = "<!-- rules: end -->\n"
LEVELS = ("MUST", "SHOULD", "DOES")
STATUSES = ("none", "deviates")

C_RULES = re.compile(r"/\*[\s*]*rules:((?:[^*]|\*(?!/))*)\*/\s*(static void (test_\w+)\()?")


class Rule:
    def __init__(self, ident, level, text, status="implemented", reason=""):
        self.id, self.level, self.text, self.status, self.reason = ident, level, text, status, reason
        self.tests = []


def load(directory):
    """[(title, source, [(section, [Rule])])] and a list of what is wrong."""
    sources, problems, seen = [], [], set()
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".toml"):
            continue
        with open(os.path.join(directory, name), "rb") as file:
            data = tomllib.load(file)
        sections = []
        for section in data["section"]:
            rules = [Rule(*entry) for entry in section["rules"]]
            for rule in rules:
                if rule.id in seen:
                    problems.append(f"{name}: rule {rule.id} is there twice")
                if rule.level not in LEVELS:
                    problems.append(f"{name}: {rule.id}: level {rule.level}")
                if rule.status != "implemented" and (rule.status not in STATUSES or
                                                     not rule.reason):
                    problems.append(f"{name}: {rule.id}: {rule.status} without a reason")
                seen.add(rule.id)
            sections.append((section["name"], rules))
        sources.append((data["title"], data["source"], sections))
    return sources, problems


def c_tests(text):
    """(test, [rule]) of a C file; test None for a comment that stands above no test."""
    for match in C_RULES.finditer(text):
        yield match.group(3), re.sub(r"[\s*]+", " ", match.group(1)).split()


def python_tests(text):
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.rules":
                yield node.name, [argument.value for argument in mark.args]


def scan(tests, sources):
    """Gives each rule its tests; returns what is wrong with them."""
    rules = {rule.id: rule for _, _, sections in sources for _, some in sections for rule in some}
    problems = []
    for folder, _, names in sorted(os.walk(tests)):
        for name in sorted(names):
            if not name.startswith("test_") or not name.endswith((".c", ".py")):
                continue
            path = os.path.relpath(os.path.join(folder, name), tests)
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = file.read()
            for test, ids in c_tests(text) if name.endswith(".c") else python_tests(text):
                if not test:
                    problems.append(f"{path}: rules {' '.join(ids)} above what is no test")
                    continue
                if name.endswith(".c") and len(re.findall(rf"\b{test}\b", text)) < 2:
                    problems.append(f"{path}: {test} is never run")
                for ident in ids:
                    if ident not in rules:
                        problems.append(f"{path}: {test}: there is no rule {ident}")
                    elif rules[ident].status == "none":
                        problems.append(f"{path}: {test} proves {ident}, which does not apply")
                    else:
                        rules[ident].tests.append((path, test))
    problems += [f"{rule.id}: implemented, and no test proves it" for rule in rules.values()
                 if rule.status == "implemented" and not rule.tests]
    return problems


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def tests_cell(rule):
    names = []
    for path, test in rule.tests:
        stem = os.path.splitext(os.path.basename(path))[0].removeprefix("test_")
        names.append(f"{stem}: `{test.removeprefix('test_')}`")
    return "<br>".join(names)


def table(sources):
    """The text between the marks."""
    lines = ["| Source | implemented | deviates | does not apply |", "|---|---|---|---|"]
    total = {"implemented": 0, "deviates": 0, "none": 0}
    for title, _, sections in sources:
        count = dict.fromkeys(total, 0)
        for _, rules in sections:
            for rule in rules:
                count[rule.status] += 1
                total[rule.status] += 1
        lines.append(f"| {title} | {count['implemented']} | {count['deviates']} | "
                     f"{count['none']} |")
    lines.append(f"| all | {total['implemented']} | {total['deviates']} | {total['none']} |")
    for title, source, sections in sources:
        lines += ["", f"### {title}", "", source]
        for section, rules in sections:
            lines += ["", f"**{section}**", "", "| Rule | | | Proved by |", "|---|---|---|---|"]
            for rule in rules:
                what = cell(rule.text)
                if rule.status == "deviates":
                    what += f" *Deviates:* {cell(rule.reason)}"
                proof = (f"does not apply: {cell(rule.reason)}" if rule.status == "none"
                         else tests_cell(rule))
                lines.append(f"| {rule.id} | {rule.level} | {what} | {proof} |")
    return "\n" + "\n".join(lines) + "\n\n"


def renew(document, sources):
    """The document with its table written anew."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("no marks for the table")
    return before + begin + table(sources) + end + after


def main(arguments):
    sources, problems = load(os.path.join(HERE, "rules"))
    problems += scan(TESTS, sources)
    with open(DOCUMENT, encoding="utf-8") as file:
        old = file.read()
    new = renew(old, sources)
    if arguments == ["--check"]:
        if new != old:
            problems.append("docs/conformance.md is old: run tests/conformance/rules.py")
    elif arguments:
        print(__doc__)
        return 2
    else:
        with open(DOCUMENT, "w", encoding="utf-8") as file:
            file.write(new)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
