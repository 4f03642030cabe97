# SPDX-License-Identifier: BSD-3-Clause
"""libridge: the program test_libridge.c on a ridged, and what the library exports."""

import os
import re
import subprocess

import pytest

from control import BUILD, ROOT, Daemon

HEADER = os.path.join(ROOT, "include", "ridge.h")
LIBRARY = os.path.join(BUILD, "src", "lib", "libridge.so.0")


@pytest.mark.parametrize("fake", [True, False], ids=["fake", "real"])
def test_program(fake):
    with Daemon(fake=fake) as daemon:
        done = subprocess.run([os.path.join(BUILD, "tests", "conformance", "libridge_client")],
                              env=daemon.environment, capture_output=True, text=True, timeout=60,
                              check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "passed\n", "")
        assert daemon.process.wait(20) == 0


def declared():
    with open(HEADER, encoding="utf-8") as header:
        text = re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S)
    return set(re.findall(r"\b(ridge_\w+)\(", text))


def test_exports_what_the_header_says_and_nothing_else():
    out = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True,
                         check=True).stdout
    symbols = {line.split()[2] for line in out.splitlines() if " A " not in line}
    ours = {s for s in symbols if not s.startswith(("__asan", "__ubsan", "__odr_asan"))}
    later = {"ridge_create_batch": "0.2", "ridge_pf_restart": "0.3", "ridge_export": "0.3",
             "ridge_unexport": "0.3"}
    assert ours == {f"{name}@@RIDGE_{later.get(name, '0.1')}" for name in declared()}


def test_soname():
    out = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True,
                         check=True).stdout
    assert "Library soname: [libridge.so.0]" in out


@pytest.mark.parametrize("command", [["cc", "-std=c99", "-xc"], ["c++", "-std=c++11", "-xc++"]])
def test_header_stands_alone(command, tmp_path):
    """No other header is needed, and no json-c type is in it."""
    source = tmp_path / "x"
    source.write_text('#include "ridge.h"\nint main(void) { return ridge_error_code(0); }\n')
    done = subprocess.run([*command, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
                           "-I", os.path.dirname(HEADER), str(source)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(HEADER, encoding="utf-8") as header:
        text = header.read()
    assert "json_object" not in text and "#include" not in text


def test_packaging(tmp_path):
    """meson install puts library, header and pkg-config file where programs look."""
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", str(tmp_path)],
                   capture_output=True, check=True)
    found = {os.path.relpath(os.path.join(d, f), tmp_path) for d, _, fs in os.walk(tmp_path)
             for f in fs}
    assert any(path.endswith("/include/ridge.h") for path in found)
    assert any(path.endswith("/libridge.so.0") for path in found)
    assert any(path.endswith("/bash-completion/completions/ridge") for path in found)
    pc, = [path for path in found if path.endswith("/pkgconfig/ridge.pc")]
    text = (tmp_path / pc).read_text()
    assert "-lridge" in text and "Version: " in text


def test_example_of_the_manual(tmp_path):
    """docs/libridge.md's program is compiled as the manual says, and works."""
    with open(os.path.join(ROOT, "docs", "libridge.md"), encoding="utf-8") as manual:
        program, = re.findall(r"^```c\n(.*?)^```$", manual.read(), re.M | re.S)
    (tmp_path / "x.c").write_text(program)
    sanitize = "__asan" in subprocess.run(["nm", "-D", LIBRARY], capture_output=True, text=True,
                                          check=True).stdout
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", *["-fsanitize=address,undefined"] *
                    sanitize, "-I", os.path.dirname(HEADER), str(tmp_path / "x.c"), "-o",
                    str(tmp_path / "x"), LIBRARY, "-Wl,-rpath," + os.path.dirname(LIBRARY)],
                   check=True)
    with Daemon() as daemon:
        done = subprocess.run([tmp_path / "x"], env=daemon.environment, capture_output=True,
                              text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0].startswith('{"name":"n0"') and len(lines) == 4
        assert '"function.destroyed"' in lines[-1]
