# SPDX-License-Identifier: BSD-3-Clause
"""docs/architecture.md names files and functions: the files exist, and the functions are in them.

"src/a/b.c, `f()`" and "(src/a/b.c, `f()`)" claim that f is in that file; a function that is named
without a file before it has to be somewhere in src/.
"""

import glob
import os
import re

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TEXT = re.sub(r"\s+", " ", open(os.path.join(ROOT, "docs", "architecture.md"),
                                encoding="utf-8").read())
PATH = r"src/[\w/{},-]+\.[ch]"


def expand(path):
    braces = re.search(r"\{(.*)\}", path)
    if not braces:
        return [path]
    return [path.replace(braces.group(0), part) for part in braces.group(1).split(",")]


FILES = sorted({name for path in re.findall(PATH, TEXT) for name in expand(path)})
FUNCTIONS = sorted(set(re.findall(r"`(\w+)\(\)`", TEXT)))
PLACES = sorted((path, function)
                for path, functions in re.findall(r"(%s),((?: `\w+\(\)`,?)+)" % PATH, TEXT)
                for function in re.findall(r"`(\w+)\(\)`", functions))


def defined(function, path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.search(r"^[a-z][\w \*]*\b%s\(" % function, file.read(), re.M) is not None


def test_there_is_something_to_check():
    assert len(FILES) > 30 and len(FUNCTIONS) > 30 and len(PLACES) > 20


@pytest.mark.parametrize("path", FILES)
def test_files_exist(path):
    assert os.path.exists(os.path.join(ROOT, path))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_exist(function):
    sources = glob.glob(os.path.join(ROOT, "src", "*", "*.c"))
    if function != "process":  # every type's own
        assert any(defined(function, path) for path in sources)


@pytest.mark.parametrize("path,function", PLACES)
def test_functions_are_where_the_text_says(path, function):
    assert any(defined(function, name) for name in expand(path))
