# SPDX-License-Identifier: BSD-3-Clause
"""docs/man has all that the programs say of themselves, and is well-formed."""

import glob
import os
import re
import shutil
import subprocess

import pytest

from control import BUILD, ROOT

PAGES = {name: os.path.join(ROOT, "docs", "man", name) for name in ("ridge.1", "ridged.8")}


def page(name):
    with open(PAGES[name], encoding="ascii") as file:
        return file.read()


def says(*command):
    return subprocess.run([os.path.join(BUILD, command[0]), *command[1:]], text=True, check=True,
                          stdout=subprocess.PIPE, timeout=60).stdout


def verbs():
    """But for that of builds with faults, which has no line."""
    return set(re.findall(r"^  ridge ([a-z-]+(?: [a-z]+)?)\b", says("ridge", "help"), re.M))


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z-]+", text))


def options_of(name):
    return {f"-{long}" for long in re.findall(r"\bFl (-[a-z-]+)", page(name))}


def test_ridge_has_every_verb():
    assert set(re.findall(r"^\.It Cm ([a-z-]+(?: [a-z]+)?)(?: (?!Ns)|$)", page("ridge.1"), re.M)) \
        - {"vfio-pci", "virtio-vfio-pci", "none"} == verbs()


def test_ridge_has_every_option():
    texts = [says("ridge", "help")] + [says("ridge", "help", *verb.split()) for verb in verbs()]
    assert options_of("ridge.1") == set().union(*map(options, texts))


def test_ridge_has_every_key():
    keys = set()
    for verb in verbs():
        keys |= set(re.findall(r"(?<!\w)([a-z_]+)=", says("ridge", "help", *verb.split())))
    assert set(re.findall(r"\bCm ([a-z_]+) Ns =", page("ridge.1"))) == keys


def test_ridged_has_every_option():
    assert options_of("ridged.8") == options(says("ridged", "--help"))


def test_environment():
    used, documented = set(), set()
    for path in glob.glob(os.path.join(ROOT, "src", "*", "*.[ch]")):
        with open(path, encoding="utf-8") as file:
            used |= set(re.findall(r'getenv\("(\w+)"\)', file.read()))
    for name in PAGES:
        listed = " , ".join(re.findall(r"^\.It Ev (.*)$", page(name), re.M))
        assert {"RIDGE_RUNTIME_DIR", "XDG_RUNTIME_DIR"} < set(listed.split())
        documented |= set(listed.split()) - {","}
    # Those of systemd are read by its library.
    assert documented - {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"} == used


@pytest.mark.parametrize("name", PAGES)
def test_well_formed(name):
    if shutil.which("mandoc"):
        command = ["mandoc", "-Tlint", "-Wwarning"]
    elif shutil.which("groff"):
        command = ["groff", "-mdoc", "-ww", "-z", "-Tascii"]
    else:
        pytest.skip("neither mandoc nor groff is installed")
    done = subprocess.run([*command, PAGES[name]], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
