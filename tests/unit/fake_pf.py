#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A ridge-pf without devices, for tests of ridged: speaks src/worker/ipc.h, keeps functions.

RIDGE_PF names it to ridged. It misbehaves as the names of functions (and of the PF) ask:
  refuse-*  create and PF_INIT fail with a text    refusebind-*  bind fails
  hang-*    create is never answered               slow-*        create is answered after 12 s
  die-*     the process kills itself               garbage-*     the answer makes no sense
"""

import argparse
import array
import json
import os
import re
import selectors
import signal
import socket
import struct
import time

MAGIC = 0x65676472
HEADER = struct.Struct("=IHHIIiI")
REPLY, MORE = 1, 2
PF_INIT, PF_INFO, CREATE, DESTROY, BIND, INFO, LIST, SHUTDOWN, FAULT = range(1, 10)
FD_STATE, FD_LISTEN, FD_BACKEND = 1, 2, 4

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "src/base/counters.h")) as header:
    COUNTERS = len(re.findall(r"^\tX\(", header.read(), re.M))

S_PF_INIT = struct.Struct("=64s32sI4096s")
S_PF_INFO = struct.Struct("=64s32siHHII2Q4096s")
S_CREATE = struct.Struct("=64s32sIIIHH24s4096s")
S_DESTROY = struct.Struct("=64sI")
S_BIND = struct.Struct("=64s32sI4096s")
S_INFO = struct.Struct("=64s32s32sIHHIi256s%dQ4096s" % COUNTERS)


def text(raw):
    return raw.split(b"\0")[0].decode()


class Function:
    def __init__(self, name, slot):
        self.name = name
        self.slot = slot
        self.driver = self.spec = ""
        self.fds = {}
        self.vmm = None
        self.vmm_pid = 0
        self.connections = 0


class FakePf:
    def __init__(self, name, fd):
        self.socket_name = name
        self.name = self.type = self.spec = ""
        self.total_vfs = 0
        self.functions = {}
        self.selector = selectors.DefaultSelector()
        self.later = []  # (time, function)
        self.listener = socket.socket(fileno=fd)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)

    def run(self):
        while True:
            timeout = max(0, min(at for at, _ in self.later) - time.monotonic()) \
                if self.later else None
            for key, _ in self.selector.select(timeout):
                key.data(key.fileobj)
            for item in [i for i in self.later if i[0] <= time.monotonic()]:
                self.later.remove(item)
                item[1]()

    def accept(self, listener):
        control, _ = listener.accept()
        control.setblocking(False)
        self.selector.register(control, selectors.EVENT_READ, self.message)

    def message(self, control):
        fds = array.array("i")
        try:
            data, ancillary, _, _ = control.recvmsg(8192, socket.CMSG_SPACE(8 * 4))
        except BlockingIOError:
            return
        except ConnectionResetError:
            data, ancillary = b"", []
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(raw[:len(raw) - len(raw) % fds.itemsize])
        if not data:
            self.selector.unregister(control)
            control.close()
            return
        magic, version, kind, seq, flags, error, length = HEADER.unpack_from(data)
        assert (magic, version, flags, error, length) == (MAGIC, 1, 0, 0, len(data))
        self.handle(control, kind, seq, data[HEADER.size:], list(fds))

    def reply(self, control, kind, seq, body=b"", flags=0, error=0, fds=()):
        message = HEADER.pack(MAGIC, 1, kind, seq, REPLY | flags, error,
                              HEADER.size + len(body)) + body
        control.setblocking(True)
        try:
            control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                         array.array("i", fds))] if fds else [])
        except (BrokenPipeError, OSError):
            pass
        control.setblocking(False)

    def refuse(self, control, kind, seq, errno, why):
        self.reply(control, kind, seq, why.encode()[:255].ljust(256, b"\0"), error=-errno)

    def pf_info(self):
        return S_PF_INFO.pack(self.name.encode(), self.type.encode(), os.getpid(), 0x0100, 0,
                              self.total_vfs, len(self.functions), 5, 7, self.spec.encode())

    def info(self, f):
        bits = sum(f.fds)
        counters = [0] * COUNTERS
        counters[0] = f.connections
        return S_INFO.pack(f.name.encode(), self.type.encode(), f.driver.encode(), f.slot,
                           0x0100 + f.slot, 1 if f.vmm else 0, bits, f.vmm_pid, b"", *counters,
                           f.spec.encode())

    def handle(self, control, kind, seq, body, fds):
        def answer(*args, **kwargs):
            self.reply(control, kind, seq, *args, **kwargs)

        def fail(errno, why):
            for fd in fds:
                os.close(fd)
            self.refuse(control, kind, seq, errno, why)

        if kind == PF_INIT:
            name, type_, self.total_vfs, spec = S_PF_INIT.unpack(body)
            if text(name).startswith("refuse-"):
                return fail(22, "pf add %s: the fake does not want to be %s" %
                            (text(name), text(name)))
            if text(name).startswith("hang-"):
                return None
            self.name, self.type, self.spec = text(name), text(type_), text(spec)
            return answer(self.pf_info())
        if kind == PF_INFO:
            return answer(self.pf_info())
        if kind == CREATE:
            return self.create(control, seq, body, fds, answer, fail)
        if kind == LIST:
            (flags,) = struct.unpack("=I", body)
            for f in self.functions.values():
                answer(self.info(f), MORE,
                       fds=[f.fds[bit] for bit in sorted(f.fds)] if flags & 1 else ())
            return answer()
        if kind == SHUTDOWN:
            if self.name.startswith("stay-"):
                return None
            answer()
            os._exit(0)
        if kind == FAULT:
            return answer()
        f = self.functions.get(text(body[:64]))
        if not f:
            return fail(2, "no function %s" % text(body[:64]))
        if kind == INFO:
            return answer(self.info(f))
        if kind == DESTROY:
            (_, flags) = S_DESTROY.unpack(body)
            if f.vmm and not flags & 1:
                return fail(16, "a VMM (pid %d) is connected; end it, or give --force" % f.vmm_pid)
            self.forget(f)
            return answer()
        if kind == BIND:
            _, driver, bits, spec = S_BIND.unpack(body)
            if f.name.startswith("refusebind-"):
                return fail(95, "the fake refuses to bind")
            f.driver, f.spec = text(driver), text(spec)
            if bits & FD_LISTEN:
                f.fds[FD_LISTEN] = fds[0]
                self.watch(f)
            if f.driver == "none" and FD_LISTEN in f.fds:
                self.selector.unregister(f.fds[FD_LISTEN])
                os.close(f.fds.pop(FD_LISTEN))
            return answer(self.info(f))
        return fail(38, "unknown request")

    def create(self, control, seq, body, fds, answer, fail):
        name, driver, slot, bits, _, _, _, _, spec = S_CREATE.unpack(body)
        name = text(name)
        if name.startswith("hang-"):
            return None
        if name.startswith("die-"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("refuse-"):
            return fail(95, "create %s: the fake refuses %s; give another name" % (name, name))
        if name.startswith("garbage-"):
            return answer(b"nonsense")
        taken = {f.slot for f in self.functions.values()}
        if slot in taken:
            return fail(16, "slot %d is taken; give another" % slot)
        free = [n for n in range(1, self.total_vfs + 1) if n not in taken]
        f = Function(name, slot or free[0])
        f.driver, f.spec = text(driver), text(spec)
        for bit in (FD_STATE, FD_LISTEN, FD_BACKEND):
            if bits & bit:
                f.fds[bit] = fds.pop(0)
        assert not fds
        self.functions[name] = f
        if FD_LISTEN in f.fds:
            self.watch(f)
        if name.startswith("slow-"):
            self.later.append((time.monotonic() + 12, lambda: answer(self.info(f))))
            return None
        return answer(self.info(f))

    def watch(self, f):
        def connected(_):
            listener = socket.socket(fileno=os.dup(f.fds[FD_LISTEN]))
            vmm, _ = listener.accept()
            listener.close()
            raw = vmm.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            f.vmm, f.vmm_pid = vmm, struct.unpack("3i", raw)[0]
            f.connections += 1
            self.selector.register(vmm, selectors.EVENT_READ, gone)

        def gone(vmm):
            if not vmm.recv(4096):
                self.selector.unregister(vmm)
                vmm.close()
                f.vmm, f.vmm_pid = None, 0

        self.selector.register(f.fds[FD_LISTEN], selectors.EVENT_READ, connected)

    def forget(self, f):
        if FD_LISTEN in f.fds:
            self.selector.unregister(f.fds[FD_LISTEN])
        if f.vmm:
            self.selector.unregister(f.vmm)
            f.vmm.close()
        for fd in f.fds.values():
            os.close(fd)
        del self.functions[f.name]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    args = parser.parse_args()
    if args.name.startswith("exit-"):
        raise SystemExit(3)
    # What a test wants to see of how it was started.
    if os.environ.get("FAKE_PF_REPORT"):
        with open(os.environ["FAKE_PF_REPORT"], "w") as report:
            json.dump({"fds": sorted(int(n) for n in os.listdir("/proc/self/fd")),
                       "sid": os.getsid(0), "pid": os.getpid(),
                       "stdin": os.readlink("/proc/self/fd/0"),
                       "status": open("/proc/self/status").read()}, report)
    FakePf(args.name, args.listen_fd).run()


if __name__ == "__main__":
    main()
