# SPDX-License-Identifier: BSD-3-Clause
"""A ridge-pf with a ridged that sends more than it waits for, by messages of src/worker/ipc.h."""

import ctypes
import os
import socket
import struct
import subprocess
import sys

from control import BUILD, ROOT, SANITIZER_WORDS

sys.path.insert(0, os.path.join(ROOT, "tests", "unit"))

from ipc_structs import load  # noqa: E402

ipc = load()


def message(kind, body=b"", seq=1, fds=()):
    size = ctypes.sizeof(ipc.ipc_header)
    header = ipc.ipc_header(magic=ipc.IPC_MAGIC, version=ipc.IPC_VERSION, type=kind, seq=seq,
                            length=size + len(bytes(body)))
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]
    return [bytes(header) + bytes(body)], ancillary if fds else []


def answers(control, seq):
    """Reads until the answer with that number: its error."""
    while True:
        header = ipc.ipc_header.from_buffer_copy(control.recv(65536))
        if header.seq == seq:
            return header.error


def test_an_export_that_does_not_wait_for_the_pf(tmp_path):
    """It was sent right behind the request that makes the PF, which ends up exported."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, \
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control, \
            socket.socket(socket.AF_UNIX) as vmm, open(tmp_path / "log", "w+b") as log:
        listener.bind(str(tmp_path / "control"))
        listener.listen()
        listener.setblocking(False)
        vmm.bind(str(tmp_path / "vmm"))
        vmm.listen()
        vmm.setblocking(False)
        with subprocess.Popen([os.path.join(BUILD, "ridge-pf"), "--name", "p", "--listen-fd",
                               str(listener.fileno())], pass_fds=[listener.fileno()],
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            try:
                control.settimeout(60)
                control.connect(str(tmp_path / "control"))
                init = ipc.ipc_pf_init(name=b"p", type=b"rng", total_vfs=4, spec=b"{}")
                control.sendmsg(*message(ipc.IPC_PF_INIT, init, 1))
                control.sendmsg(*message(ipc.IPC_PF_EXPORT, b"", 2, [vmm.fileno()]))
                assert answers(control, 1) == 0 and answers(control, 2) == 0
                control.sendmsg(*message(ipc.IPC_PF_INFO, b"", 3))
                assert answers(control, 3) == 0
                control.sendmsg(*message(ipc.IPC_SHUTDOWN, b"", 4))
                assert process.wait(60) == 0
            finally:
                process.kill()
        log.seek(0)
        text = log.read().decode()
        assert not any(word in text for word in SANITIZER_WORDS), text
