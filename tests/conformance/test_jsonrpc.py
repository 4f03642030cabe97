# SPDX-License-Identifier: BSD-3-Clause
"""ridged's control socket: JSON-RPC 2.0 by its sections, bounds, and who may use it.

What the methods do is in test_control*.py.
"""

import contextlib
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from control import BUILD, ROOT, Connection, Daemon, wait_until

REQUEST = '{"jsonrpc":"2.0","method":"system.info","id":%s}'


@pytest.fixture(name="daemon")
def _daemon(fake):
    return fake


@pytest.fixture
def connection(daemon):
    with daemon.connect() as connection:
        yield connection


def error_of(answer, code, ident=None):
    assert set(answer) == {"jsonrpc", "id", "error"}
    assert answer["jsonrpc"] == "2.0" and answer["id"] == ident
    assert answer["error"]["code"] == code
    assert isinstance(answer["error"]["message"], str) and "\n" not in answer["error"]["message"]
    return answer["error"]


# By section


@pytest.mark.parametrize("ident", [1, -7, 2.5, "a", "", "é\n", None])
def test_4_request_id_comes_back(connection, ident):
    answer = connection.ask(REQUEST % json.dumps(ident))
    assert set(answer) == {"jsonrpc", "id", "result"}
    assert answer["jsonrpc"] == "2.0" and answer["id"] == ident
    assert isinstance(answer["id"], type(ident))


@pytest.mark.parametrize("text", [
    '{"method":"system.info","id":1}',
    '{"jsonrpc":"1.0","method":"system.info","id":1}',
    '{"jsonrpc":2.0,"method":"system.info","id":1}',
    '{"jsonrpc":"2.0","id":1}',
    '{"jsonrpc":"2.0","method":7,"id":1}',
    '{"jsonrpc":"2.0","method":"system.info","params":7,"id":1}',
])
def test_4_invalid_request(connection, text):
    error_of(connection.ask(text), -32600, 1)


@pytest.mark.parametrize("text", ["1", '"x"', "null", "true", "{}",
                                  REQUEST % "{}", REQUEST % "[]", REQUEST % "false"])
def test_4_not_even_an_id(connection, text):
    error_of(connection.ask(text), -32600)


def test_4_1_notification_has_no_answer(daemon, connection):
    connection.send('{"jsonrpc":"2.0","method":"system.info"}\n'
                    '{"jsonrpc":"2.0","method":"no.such.method"}\n'
                    '{"jsonrpc":"2.0","method":"function.show","params":{"name":"x"}}\n')
    assert connection.ask(REQUEST % 1)["id"] == 1
    assert connection.silent()


def test_4_1_notification_is_done(daemon):
    with daemon.connect() as connection:
        connection.send('{"jsonrpc":"2.0","method":"function.create",'
                        '"params":{"type":"rng","name":"notified"}}')
    wait_until(lambda: "notified" in daemon.names())
    daemon("function.destroy", name="notified")


def test_4_2_parameters_by_name_only(connection):
    answer = connection.ask('{"jsonrpc":"2.0","method":"function.show","params":["x"],"id":1}')
    error_of(answer, -32602, 1)


def test_4_2_parameters_that_no_method_takes(daemon):
    """Whatever they are: each method says what is wrong, and nothing is done."""
    pid = daemon("system.info")["pid"]
    wrong = ['["x"]', "[0]", "[[]]", "[{}]", "[null]", '{"nonsense":1}']
    for method in documented()[0]:
        for params in wrong:
            with daemon.connect() as connection:
                answer = connection.ask(
                    '{"jsonrpc":"2.0","method":"%s","params":%s,"id":1}' % (method, params))
            assert error_of(answer, -32602, 1)["data"] == {"errno": "EINVAL"}, (method, params)
    assert daemon("system.info")["pid"] == pid


@pytest.mark.parametrize("method", ["system.info", "events.subscribe", "function.list", "pf.list"])
@pytest.mark.parametrize("params", ["[]", "{}"])
def test_4_2_no_parameters(connection, method, params):
    assert "result" in connection.ask(
        '{"jsonrpc":"2.0","method":"%s","params":%s,"id":1}' % (method, params))


def test_5_result_or_error(connection):
    assert "error" not in connection.ask(REQUEST % 1)
    error = error_of(connection.ask(
        '{"jsonrpc":"2.0","method":"function.show","params":{"name":"x"},"id":1}'), -32000, 1)
    assert error["data"] == {"errno": "ENOENT"}


def test_5_1_parse_error(connection):
    error_of(connection.ask('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]'), -32700)
    # The line after it is a request again.
    assert connection.ask(REQUEST % 2)["id"] == 2


def test_5_1_method_not_found(connection):
    error_of(connection.ask('{"jsonrpc":"2.0","method":"foobar","id":"1"}'), -32601, "1")


def test_5_1_invalid_params(connection):
    answer = connection.ask('{"jsonrpc":"2.0","method":"function.create","params":{},"id":1}')
    assert error_of(answer, -32602, 1)["data"] == {"errno": "EINVAL"}


def test_6_batch(connection):
    answers = connection.ask(
        '[' + REQUEST % 1 + ',{"jsonrpc":"2.0","method":"system.info"},{"foo":"boo"},'
        '{"jsonrpc":"2.0","method":"foo.get","id":"5"},' + REQUEST % '"9"' + ']')
    assert {answer["id"]: answer.get("error", {}).get("code") for answer in answers} == \
        {1: None, None: -32600, "5": -32601, "9": None}


def test_6_batch_that_is_empty(connection):
    error_of(connection.ask("[]"), -32600)


def test_6_batch_of_nonsense(connection):
    answers = connection.ask("[1,2,3]")
    assert len(answers) == 3
    for answer in answers:
        error_of(answer, -32600)


def test_6_batch_that_is_not_json(connection):
    error_of(connection.ask('[' + REQUEST % 1 + ',{"jsonrpc":"2.0","method"]'), -32700)


def test_6_batch_of_notifications(connection):
    connection.send('[{"jsonrpc":"2.0","method":"system.info"},'
                    '{"jsonrpc":"2.0","method":"nothing"}]\n')
    assert connection.silent()


def test_6_batch_with_slow_calls(daemon, connection):
    """Its answers come together, when all are there."""
    calls = [{"jsonrpc": "2.0", "method": "function.create", "id": n,
              "params": {"type": "rng", "name": f"batch-{n}"}} for n in range(20)]
    answers = connection.ask(json.dumps(calls))
    assert sorted(answer["result"]["name"] for answer in answers) == \
        sorted(f"batch-{n}" for n in range(20))
    assert connection("function.destroy", names=[f"batch-{n}" for n in range(20)])


# The stream


def test_messages_need_no_space_between(connection):
    connection.send(REQUEST % 1 + REQUEST % 2 + "\r\n\t " + REQUEST % 3)
    assert [connection.line()["id"] for _ in range(3)] == [1, 2, 3]


def test_message_byte_by_byte(connection):
    for byte in (REQUEST % 1).encode():
        connection.send(bytes([byte]))
    assert connection.line()["id"] == 1


def test_slow_sender_holds_up_nobody(daemon, connection):
    connection.send('{"jsonrpc":"2.0","meth')
    for n in range(10):
        assert daemon("system.info")["pid"] == daemon.process.pid
    connection.send('od":"system.info","id":1}')
    assert connection.line()["id"] == 1


def test_client_that_says_no_more_gets_its_answers(connection):
    connection.send(REQUEST % 1 + '{"jsonrpc":"2.0","method":"function.create","id":2,'
                    '"params":{"type":"rng","name":"last"}}')
    connection.socket.shutdown(socket.SHUT_WR)
    assert {connection.line()["id"] for _ in range(2)} == {1, 2}
    assert connection.line() is None


def test_client_that_goes_in_the_middle(daemon):
    for text in ("", "{", '{"jsonrpc":"2.0', "[" + REQUEST % 1 + ",", '"' + "x" * 100000,
                 REQUEST % 1, "[" * 20):
        with daemon.connect() as connection:
            connection.send(text)
    assert daemon("system.info")["pid"] == daemon.process.pid


def test_client_that_goes_during_a_call(daemon):
    """What it asked for is done."""
    for n in range(20):
        with daemon.connect() as connection:
            connection.start("function.create", type="rng", name=f"orphan-{n}")
    names = [f"orphan-{n}" for n in range(20)]
    wait_until(lambda: set(names) <= set(daemon.names()))
    daemon("function.destroy", names=names)


@pytest.mark.parametrize("garbage", [
    b"\xff\xfe\x00\x01\n", b"\0" * 1000 + b"\n", b"GET / HTTP/1.1\r\n\r\n", b"}\n", b"'a'\n",
    b'{"a":"\xc3\x28"}\n', b"[" * 100000 + b"\n", b"{\"a\":" * 50 + b"\n",
])
def test_garbage(connection, garbage):
    connection.send(garbage)
    error_of(connection.line(), -32700)
    connection.send(REQUEST % '"after"' + "\n")
    while True:
        answer = connection.line()
        if answer["id"] == "after":
            break
        error_of(answer, -32700)


def test_message_too_long(daemon, connection):
    try:
        for _ in range(128):
            connection.send(b'"' + b"x" * 65536 if _ == 0 else b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError):
        pass
    error_of(connection.line(), -32600)
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert connection.line() is not None
    daemon("system.info")


def test_message_of_the_largest_size(connection):
    head, tail = '{"jsonrpc":"2.0","id":1,"method":"', '"}'
    connection.send(head + "x" * ((4 << 20) - len(head) - len(tail)) + tail)
    error = error_of(connection.line(), -32601, 1)
    assert len(error["message"]) < 2000


def test_small_message_with_many_values(daemon, connection):
    """A megabyte of brackets would be hundreds of megabytes as a tree."""
    try:
        connection.send("[" + "[]," * 300000)
    except (BrokenPipeError, ConnectionResetError):
        pass
    error_of(connection.line(), -32600)
    with open(f"/proc/{daemon.process.pid}/status", encoding="utf-8") as status:
        resident = [line.split()[1] for line in status if line.startswith("VmHWM")]
    assert int(resident[0]) < 512 * 1024


def test_300_connections(daemon):
    """256 are served; those beyond are told so, and cost the others nothing."""
    connections = [daemon.connect() for _ in range(300)]
    try:
        served = refused = 0
        for connection in connections:
            try:
                connection.send(REQUEST % 1 + "\n")
            except BrokenPipeError:
                pass
            answer = connection.line()
            if "result" in answer:
                served += 1
            else:
                assert error_of(answer, -32000)["data"] == {"errno": "EAGAIN"}
                refused += 1
        assert (served, refused) == (256, 44)
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: "result" in daemon.connect().ask(REQUEST % 1))


def test_thousand_requests_at_once(daemon, connection):
    connection.send("".join(REQUEST % n for n in range(1000)))
    assert [connection.line()["id"] for _ in range(1000)] == list(range(1000))


@pytest.fixture(scope="module", name="many")
def _many():
    """So many functions that a list of them is more than a MiB."""
    with Daemon() as daemon:
        daemon("pf.add", name="pf", type="blk", max_vfs=1300)
        image = daemon.image("image" * 40)
        daemon("function.create_batch", functions=[
            {"type": "blk", "name": f"f{n}", "pf": "pf", "image": image, "readonly": True,
             "driver": "none"} for n in range(1300)])
        yield daemon


def lists(connection, n):
    """Reads n answers that are all functions; the bytes of them."""
    data, left = 0, n
    while left:
        part = connection.socket.recv(1 << 20)
        assert part, f"closed with {left} answers to come"
        data += len(part)
        left -= part.count(b"\n")
    return data


LIST = '{"jsonrpc":"2.0","method":"function.list","id":1}\n'


def test_long_answers_to_one_that_reads(many):
    """All of them are more than a client may be behind."""
    with many.connect() as connection:
        connection.send(LIST * 80)
        assert lists(connection, 80) > 64 << 20


def test_long_answers_to_many_that_read(many):
    """All of them are more than all clients may be behind, before any reads."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(many.connect()) for _ in range(140)]
        for connection in connections:
            connection.send(LIST * 2)
        assert many("system.info")
        assert sum(lists(connection, 2) for connection in connections) > 256 << 20


def test_client_that_never_reads(daemon):
    """It is fed no more than a bound, and others go on."""
    with daemon.connect() as connection:
        connection.socket.settimeout(3)
        sent = 0
        with pytest.raises(socket.timeout):
            while sent < 256 << 20:
                # An error with the method's name in it is longer than the request.
                connection.send(b'{"jsonrpc":"2.0","id":1,"method":"%s"}' % (b"m" * 900) * 64)
                sent += 64 * 940
        begin = time.monotonic()
        daemon("system.info")
        assert time.monotonic() - begin < 5
        with open(f"/proc/{daemon.process.pid}/status", encoding="utf-8") as status:
            resident = [line.split()[1] for line in status if line.startswith("VmHWM")]
        assert int(resident[0]) < 512 * 1024
        # It may still begin to read.
        connection.socket.settimeout(20)
        error_of(connection.line(), -32601, 1)


# Access


def as_user(uid, gid, groups, path, text):
    """Sends text from a process of that user; the answer, or the name of the error."""
    program = (
        "import os, socket, sys\n"
        f"os.setgroups({groups!r}); os.setgid({gid}); os.setuid({uid})\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        f"    s.connect({path!r})\n"
        f"    s.sendall({text!r}.encode())\n"
        "except OSError as error:\n"
        "    if type(error) is not BrokenPipeError:\n"
        "        print(type(error).__name__); sys.exit()\n"
        "print(s.recv(65536).decode())\n")
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True, timeout=20).stdout.strip()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to be others")


@needs_root
def test_access_by_file_permission(daemon):
    assert oct(os.stat(daemon.path).st_mode & 0o777) == "0o600"
    assert as_user(65534, 65534, [], daemon.path, REQUEST % 1) == "PermissionError"


@needs_root
def test_access_by_peer_credentials(daemon):
    """Somebody who made the socket accessible did not make everybody an administrator."""
    os.chmod(daemon.path, 0o666)
    try:
        answer = json.loads(as_user(65534, 65534, [], daemon.path, REQUEST % 1))
        assert error_of(answer, -32000)["data"] == {"errno": "EACCES"}
    finally:
        os.chmod(daemon.path, 0o600)


@needs_root
def test_access_by_group():
    with Daemon(arguments=["--group", "daemon"]) as daemon:
        stat = os.stat(daemon.path)
        assert (oct(stat.st_mode & 0o777), stat.st_gid) == ("0o660", 1)
        assert "result" in as_user(65534, 1, [], daemon.path, REQUEST % 1)
        assert "result" in as_user(65534, 65534, [2, 1], daemon.path, REQUEST % 1)
        assert as_user(65534, 65534, [2], daemon.path, REQUEST % 1) == "PermissionError"


@contextlib.contextmanager
def being(uid, gid):
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@needs_root
def test_members_of_the_group_leave_connections_to_others():
    """64 of each user, and never all: root, to begin with, can always say something."""
    daemon = Daemon(arguments=["--group", "daemon"])
    daemon.start()
    connections, served = [], {}
    try:
        for uid in range(65530, 65534):
            with being(uid, 1):
                connections += [(uid, daemon.connect()) for _ in range(70)]
        for uid, connection in connections:
            with contextlib.suppress(BrokenPipeError):
                connection.send(REQUEST % 1 + "\n")
            answer = connection.line()
            served[uid] = served.get(uid, 0) + ("result" in answer)
            assert "result" in answer or \
                error_of(answer, -32000)["data"] == {"errno": "EAGAIN"}
        assert list(served.values()) == [64, 64, 64, 32]
        assert daemon("pf.list") == []
    finally:
        for _, connection in connections:
            connection.close()
        wait_until(lambda: "result" in daemon.connect().ask(REQUEST % 1))
        daemon.close()


@needs_root
def test_unprivileged_ridged():
    """Without root it is its user's own."""
    directory = f"/tmp/ridge-nobody-{os.getpid()}"
    os.mkdir(directory)
    os.chown(directory, 65534, 65534)
    shutil.copy(os.path.join(BUILD, "ridged"), directory)
    process = subprocess.Popen([directory + "/ridged", "--runtime-dir", directory + "/run"],
                               user=65534, group=65534, extra_groups=[],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline().startswith(b"ridged: ready")
        path = directory + "/run/ridged.sock"
        assert "result" in as_user(65534, 65534, [], path, REQUEST % 1)
        with Connection(path) as connection:
            assert connection("system.info")["pid"] == process.pid
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()
        process.stderr.close()
        shutil.rmtree(directory)


@needs_root
def test_without_a_runtime_directory():
    """All programs say the same to a user who has none."""
    directory = f"/tmp/ridge-nowhere-{os.getpid()}"
    os.mkdir(directory)
    os.chmod(directory, 0o755)
    try:
        for argv in (["ridged"], ["ridge", "list"]):
            program = shutil.copy(os.path.join(BUILD, argv[0]), directory)
            done = subprocess.run([program, *argv[1:]], user=65534, group=65534, extra_groups=[],
                                  env={}, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 1
            assert done.stderr.endswith("no runtime directory: XDG_RUNTIME_DIR is not set; give "
                                        "--runtime-dir or set RIDGE_RUNTIME_DIR\n"), done.stderr
    finally:
        shutil.rmtree(directory)


# The manual's examples


def examples():
    """The pairs of ```json blocks in docs/json-rpc.md: a request and its answer."""
    blocks, block = [], None
    with open(os.path.join(ROOT, "docs", "json-rpc.md"), encoding="utf-8") as manual:
        for line in manual:
            if block is None and line.strip() == "```json":
                block = []
            elif block is not None and line.strip() == "```":
                blocks.append(json.loads("".join(block)))
                block = None
            elif block is not None:
                block.append(line)
    assert len(blocks) % 2 == 0
    return list(zip(blocks[::2], blocks[1::2]))


def event_examples():
    """The ```json event blocks: notifications."""
    with open(os.path.join(ROOT, "docs", "json-rpc.md"), encoding="utf-8") as manual:
        return [json.loads(text) for text in
                re.findall(r"^```json event\n(.*?)^```$", manual.read(), re.M | re.S)]


def documented():
    """The methods and events that have a place in the manual."""
    with open(os.path.join(ROOT, "docs", "json-rpc.md"), encoding="utf-8") as manual:
        text = manual.read()
    methods = set(re.findall(r"^## ([a-z]+\.[a-z_]+)$", text, re.M))
    rows = re.findall(r"^\| ((?:`(?:function|pf)\.[a-z]+`(?:, )?)+) \|", text, re.M)
    return methods, set(re.findall(r"`([a-z.]+)`", " ".join(rows)))


def test_the_manual_has_every_method_and_event():
    methods, events = documented()
    with open(os.path.join(ROOT, "src", "control", "methods.c"), encoding="utf-8") as source:
        have = set(re.findall(r'\{ "([a-z]+\.[a-z_]+)", ', source.read()))
    assert methods == have - {"debug.fault"}
    sent = set()
    for path in glob.glob(os.path.join(ROOT, "src", "control", "*.c")):
        with open(path, encoding="utf-8") as source:
            for noun, arguments in re.findall(r'events_(function|pf)\(([^;]*?)\);', source.read()):
                sent |= {f"{noun}.{what}" for what in re.findall(r'"([a-z]+)"', arguments)}
    assert events == sent


def matches(have, want, where="answer"):
    """Equality, but "..." stands for any value."""
    if want == "...":
        return
    assert type(have) is type(want), where
    if isinstance(want, dict):
        assert set(have) == set(want), where
        for key, value in want.items():
            matches(have[key], value, f"{where}.{key}")
    elif isinstance(want, list):
        assert len(have) == len(want), where
        for n, value in enumerate(want):
            matches(have[n], value, f"{where}[{n}]")
    else:
        assert have == want, where


def test_examples_of_the_manual():
    """They are one session: each is sent, and answered as the manual says."""
    with Daemon() as daemon:
        image = daemon.image("disk.img")
        seen = set()
        subscriber = daemon.connect()
        subscriber("events.subscribe")
        for request, answer in examples():
            text = json.dumps(request).replace("/srv/disk.img", image)
            want = json.loads(json.dumps(answer).replace("/srv/disk.img", image).replace(
                "/run/ridge", daemon.runtime))
            daemon.note_pids()
            with daemon.connect() as connection:
                matches(connection.ask(text), want, request["method"])
            seen.add(request["method"])
            if request["method"] == "system.shutdown":
                assert daemon.process.wait(20) == 0
        events = []
        while (event := subscriber.line()):
            events.append(event)
        for want in event_examples():
            have, = [event for event in events
                     if event["params"]["event"] == want["params"]["event"]
                     and event["params"]["pf"]["name"] == want["params"]["pf"]["name"]]
            matches(have, want, "event")
        subscriber.close()
        assert seen == documented()[0]
