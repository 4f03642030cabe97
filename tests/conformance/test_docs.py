# SPDX-License-Identifier: BSD-3-Clause
"""What the documents say of the sources is so.

docs/architecture.md names files and functions: "src/a/b.c, `f()`" and "(src/a/b.c, `f()`)" claim that
f is in that file; a function that is named without a file before it has to be somewhere in src/.
docs/security.md lists what the sandbox allows. The tables of messages quote them, with "..." for what
varies.
"""

import glob
import os
import re

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")



def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


TEXT = re.sub(r"\s+", " ", read("docs", "architecture.md"))
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
    return re.search(r"^[a-z][\w \*]*\b%s\(" % function, read(path), re.M) is not None


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


def array(path, name):
    """The initializer of an array, without comments."""
    text = re.search(r"\b%s\[\] = \{\n(.*?)\n\s*\};" % name, read(path), re.S).group(1)
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def section(start, end):
    """A part of docs/security.md."""
    return read("docs", "security.md").split(start)[1].split(end)[0]


def test_security_lists_the_system_calls():
    calls = array("src/worker/sandbox_calls.c", "calls")
    table = section("| group | calls | why |", "\n\n")
    listed = "".join(row.split("|")[2] for row in table.splitlines() if row.count("|") == 4)
    flags = r"\b(?:SO|F|AT|TUN|SIO|BLK)[A-Z0-9_]*[A-Z0-9]\b"
    assert set(re.findall(r"`(\w+)`", listed)) == set(re.findall(r"CALL\w*\((\w+)", calls))
    assert set(re.findall(flags, listed)) == set(re.findall(flags, calls)) - {"SOL_SOCKET"}


def test_security_lists_the_operations_of_io_uring():
    allowed = re.findall(r"IORING_OP_(\w+)", array("src/base/uring.c", "operations"))
    listed = section("for good, to ", "(src/base/uring.c)")
    assert sorted(re.findall(r"[A-Z]+", listed)) == sorted(allowed)


def literals():
    """The string literals of src/, neighbours joined as the compiler does."""
    for path in glob.glob(os.path.join(ROOT, "src", "*", "*.[ch]")):
        for run in re.findall(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*', read(path)):
            yield "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', run))


LITERALS = list(literals())


def messages():
    """(document, message) of each row of the tables of messages, but for those of QEMU."""
    for document, title in (("README.md", "| what you see |"), ("docs/linux-host.md", "| message |")):
        table = read(document).split(title)[1].split("\n\n")[0]
        for row in table.splitlines()[2:]:
            cell = row.split("|")[1]
            if not cell.startswith((" QEMU", " a guest")):
                yield from ((document, message) for message in re.findall(r"`([^`]+)`", cell))


@pytest.mark.parametrize("document,message", messages())
def test_messages_are_what_the_programs_say(document, message):
    for piece in message.split("..."):
        assert any(piece.strip("(): ") in literal for literal in LITERALS), (document, piece)


# What goes wrong before there is anybody to tell by JSON-RPC, or in a file.
NOT_SENT = ("ridged.c", "runtime.c", "registry_file.c")


def errnos():
    """(errno, file) of what callers are told: by ridged, and by a PF process through it."""
    told = r"error_set\(\s*&?e, (E\w+)|\.err = (E\w+)|client_refuse\(c, (E\w+)"
    relayed = r"(?:request_failed\(\s*req,|probe_failed\(vvp,|wait->done\(wait,)\s*[^\"]*?-(E\w+)"
    for path, pattern in (("control/*.c", told), ("worker/*.c", relayed), ("drivers/*.c", relayed)):
        for name in glob.glob(os.path.join(ROOT, "src", path)):
            if os.path.basename(name) not in NOT_SENT:
                for match in re.findall(pattern, read(name)):
                    yield "".join(match), os.path.basename(name)


def test_json_rpc_lists_every_errno():
    table = read("docs", "json-rpc.md").split("| `data.errno` |")[1].split("\n\n")[0]
    listed = set(re.findall(r"`(E\w+)`", "".join(re.findall(r"^\|.*?\|", table, re.M))))
    sent = set(errnos())
    assert len({errno for errno, _ in sent}) > 15
    assert [place for place in sorted(sent) if place[0] not in listed] == []


@pytest.mark.parametrize("of,header,name", [
    ("a message", "jsonrpc", "JSONRPC_MESSAGE_MAX"),
    ("values in it", "jsonrpc", "JSONRPC_VALUES_MAX"),
    ("its depth", "jsonrpc", "JSONRPC_DEPTH_MAX"),
    ("requests in a JSON-RPC batch", "jsonrpc", "JSONRPC_BATCH_MAX"),
    ("answers to one batch", "jsonrpc", "JSONRPC_ANSWER_MAX"),
    ("calls under way", "jsonrpc", "JSONRPC_CALLS_MAX"),
    ("answers not read on a connection", "server", "SERVER_PENDING_HIGH"),
    ("| |", "server", "SERVER_PENDING_MAX"),
    ("answers not read on all connections", "server", "SERVER_PENDING_ALL"),
    ("time in which", "server", "SERVER_STALL_MS"),
    ("events not read", "server", "SERVER_EVENTS_MAX"),
    ("connections", "server", "SERVER_CLIENTS_MAX"),
])
def test_json_rpc_lists_the_bounds(of, header, name):
    value = re.search(r"#define %s\s+(\(.*?\)|\w+)" % name, read("src", "control", header + ".h"))
    number = eval(value.group(1).replace("u", ""))  # "(4u << 20)"
    table = read("docs", "json-rpc.md").split("| Of what |")[1].split("\n\n")[0]
    row, = re.findall(r"^(?:\| )?%s.*" % re.escape(of), table, re.M)
    amount, unit = re.fullmatch(r"(\d+) ?(MiB|s)?", row.split("|")[2].strip()).groups()
    assert int(amount) * {None: 1, "MiB": 1 << 20, "s": 1000}[unit] == number
