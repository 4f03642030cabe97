#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A ridge-pf without devices, for tests of ridged: speaks src/worker/ipc.h, keeps functions.

RIDGE_PF names it to ridged. It misbehaves as the names of functions (and of the PF) ask:
  refuse-*  create and PF_INIT fail with a text    refusebind-*  bind fails
  hang-*    create is never answered               slow-*        create is answered after 12 s
  die-*     the process kills itself               garbage-*     the answer makes no sense
  noise-*   create is done, but what is sent is no message at all
  againdie-*  as die-*, and againrefuse-* as refuse-*, againhang-* as hang-*, but when the function
              has a slot already; thennoise-* as againrefuse-*, and the time after as noise-*
  slay-*  create is done and answered, and ridged is killed
  refusedestroy-*  destroy fails                   refusecommit-*  so does the end of its batch
  uncommitted-*  ridged is killed when it says that the batch is finished, which is not heard
FAKE_PF_FORGES names a file that may be there, a JSON object of what it says about itself that is
not so: pf (its spec), type, specs (of functions, by name), ghosts (specs of functions that there
are none of), no_backend (true: it sends no images), wants (a VF whose image it asks for),
attach (a file that it sends a descriptor of, with each answer), version (of the protocol, that it
speaks), shy (true: it never says what it is), event (true: it does so at once, unasked), gate (a
file that it makes when a create hangs, and without which it lists nothing).
"""

import argparse
import array
import ctypes
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ipc_structs import load  # noqa: E402

ipc = load()


def with_spec(struct, body):
    """A body is sent up to the NUL of the spec at its end."""
    return struct.from_buffer_copy(body.ljust(ctypes.sizeof(struct), b"\0"))


class Function:
    def __init__(self, name, slot):
        self.name = name
        self.slot = slot
        self.batch = 0
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
        self.lists = 0  # that were asked for: its "requests"
        self.refused = set()
        self.attached = None
        self.selector = selectors.DefaultSelector()
        self.controls = []
        self.later = []  # (time, function)
        self.ridged = os.getppid()
        self.listener = socket.socket(fileno=fd)
        self.export = None
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)

    def run(self):
        while True:
            timeout = max(0, min(at for at, _ in self.later) - time.monotonic()) \
                if self.later else None
            for key, _ in self.selector.select(timeout):
                # What came before may have closed it, and another may have its number.
                if self.selector.get_map().get(key.fd) is key:
                    key.data(key.fileobj)
            for item in [i for i in self.later if i[0] <= time.monotonic()]:
                self.later.remove(item)
                item[1]()

    def accept(self, listener):
        control, _ = listener.accept()
        control.setblocking(False)
        # As the real one: what the last ridged still asked for is done first.
        for other in list(self.controls):
            while self.message(other):
                pass
        self.controls.append(control)
        self.selector.register(control, selectors.EVENT_READ, self.message)
        if self.forged("event", False):
            self.send_event(control, ipc.IPC_PF_EVENT, self.pf_info())

    def message(self, control):
        """Takes one; False if there is none."""
        fds = array.array("i")
        if control not in self.controls:
            return False
        try:
            data, ancillary, _, _ = control.recvmsg(8192, socket.CMSG_SPACE(8 * 4))
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data, ancillary = b"", []
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(raw[:len(raw) - len(raw) % fds.itemsize])
        if not data:
            self.selector.unregister(control)
            self.controls.remove(control)
            control.close()
            return False
        header = ipc.ipc_header.from_buffer_copy(data)
        assert (header.magic, header.version) == (ipc.IPC_MAGIC, ipc.IPC_VERSION)
        if self.version() != ipc.IPC_VERSION:
            self.refuse(control, header.type, header.seq, 71, "it speaks another version")
            return True
        assert (header.flags, header.error, header.length) == (0, 0, len(data))
        self.handle(control, header.type, header.seq, data[ctypes.sizeof(header):], list(fds))
        return True

    def reply(self, control, kind, seq, body=b"", flags=0, error=0, fds=()):
        body = bytes(body)
        attach = self.forged("attach", None)
        if attach:
            if self.attached is None:
                self.attached = os.open(attach, os.O_RDONLY)
            fds = [*fds, self.attached]
        message = bytes(ipc.ipc_header(
            magic=ipc.IPC_MAGIC, version=self.version(), type=kind, seq=seq,
            flags=ipc.IPC_REPLY | flags, error=error,
            length=ctypes.sizeof(ipc.ipc_header) + len(body))) + body
        control.setblocking(True)
        try:
            control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                         array.array("i", fds))] if fds else [])
        except (BrokenPipeError, OSError):
            pass
        control.setblocking(False)

    def event(self, f, state=None, text=""):
        """Tells every ridged how a function is."""
        if state is None:
            state = ipc.IPC_STATE_CONNECTED if f.vmm else ipc.IPC_STATE_IDLE
        event = ipc.ipc_event(name=f.name.encode(), state=state, peer_pid=f.vmm_pid,
                              text=text.encode())
        for control in self.controls:
            self.send_event(control, ipc.IPC_EVENT, event)

    def send_event(self, control, kind, body):
        control.setblocking(True)
        control.send(bytes(ipc.ipc_header(
            magic=ipc.IPC_MAGIC, version=self.version(), type=kind,
            length=ctypes.sizeof(ipc.ipc_header) + ctypes.sizeof(body))) + bytes(body))
        control.setblocking(False)

    def refuse(self, control, kind, seq, errno, why):
        self.reply(control, kind, seq, ipc.ipc_failure(text=why.encode()), error=-errno)

    def forged(self, what, otherwise):
        try:
            with open(os.environ["FAKE_PF_FORGES"], encoding="utf-8") as file:
                return json.load(file).get(what, otherwise)
        except (KeyError, FileNotFoundError):
            return otherwise

    def version(self):
        return self.forged("version", ipc.IPC_VERSION)

    def pf_info(self):
        info = ipc.ipc_pf_info(
            name=self.name.encode(), type=self.forged("type", self.type).encode(),
            pid=os.getpid(), rid=0x0100, total_vfs=self.total_vfs, functions=len(self.functions),
            admin_commands=(5, 7), exported=self.export is not None,
            spec=self.forged("pf", self.spec).encode())
        info.counters[ipc.counters.index("requests")] = self.lists
        return info

    def list(self, control, answer, with_fds):
        self.lists += 1
        while not os.path.exists(self.forged("gate", "/")):
            time.sleep(0.01)
        specs = self.forged("specs", {})
        for f in self.functions.values():
            f.spec = specs.get(f.name, f.spec)
            fds = dict(f.fds)
            if self.forged("no_backend", False):
                fds.pop(ipc.IPC_FD_BACKEND, None)
            info = self.info(f)
            info.fds = sum(fds)
            answer(info, ipc.IPC_MORE, fds=[fds[bit] for bit in sorted(fds)] if with_fds else ())
        for n, (name, spec) in enumerate(self.forged("ghosts", {}).items()):
            ghost = Function(name, 200 + n)
            ghost.driver, ghost.spec = "vfio-pci", spec
            answer(self.info(ghost), ipc.IPC_MORE)
        answer()
        if self.forged("wants", 0):
            self.send_event(control, ipc.IPC_VF_WANTS, ipc.ipc_vf_wants(slot=self.forged("wants", 0)))

    def info(self, f):
        info = ipc.ipc_function_info(
            name=f.name.encode(), type=self.type.encode(), driver=f.driver.encode(), slot=f.slot,
            rid=0x0100 + f.slot, fds=sum(f.fds), peer_pid=f.vmm_pid, batch=f.batch,
            spec=f.spec.encode(),
            state=ipc.IPC_STATE_CONNECTED if f.vmm else ipc.IPC_STATE_IDLE)
        info.counters[ipc.counters.index("connections")] = f.connections
        return info

    def handle(self, control, kind, seq, body, fds):
        def answer(*args, **kwargs):
            self.reply(control, kind, seq, *args, **kwargs)

        def fail(errno, why):
            for fd in fds:
                os.close(fd)
            self.refuse(control, kind, seq, errno, why)

        if kind == ipc.IPC_PF_INIT:
            init = ipc.ipc_pf_init.from_buffer_copy(body)
            name = init.name.decode()
            if name.startswith("refuse-"):
                return fail(22, f"pf add {name}: the fake does not want to be {name}")
            if name.startswith("hang-"):
                return None
            self.name, self.type, self.spec = name, init.type.decode(), init.spec.decode()
            self.total_vfs = init.total_vfs
            if init.fds & ipc.IPC_FD_UPLINK:
                self.uplink = fds.pop(0)
            assert not fds
            return answer(self.pf_info())
        if kind == ipc.IPC_PF_INFO and self.forged("shy", False):
            return None
        if kind == ipc.IPC_PF_INFO:
            return answer(self.pf_info())
        if kind == ipc.IPC_FUNCTION_CREATE:
            return self.create(control, seq, body, fds, answer, fail)
        if kind == ipc.IPC_FUNCTION_LIST:
            flags = ipc.ipc_function_list.from_buffer_copy(body).flags
            return self.list(control, answer, bool(flags & ipc.IPC_LIST_FDS))
        if kind == ipc.IPC_SHUTDOWN:
            if self.name.startswith("stay-"):
                return None
            answer()
            os._exit(0)
        if kind == ipc.IPC_FAULT:
            return answer()
        if kind == ipc.IPC_VF_BACKEND:
            for fd in fds:
                os.close(fd)
            return answer()
        if kind == ipc.IPC_PF_EXPORT:
            self.export = fds.pop(0)
            return answer(self.pf_info())
        if kind == ipc.IPC_PF_UNEXPORT:
            os.close(self.export)
            self.export = None
            return answer(self.pf_info())
        if kind == ipc.IPC_BATCH_COMMIT:
            return self.commit(ipc.ipc_batch.from_buffer_copy(body).batch, answer, fail)
        name = ipc.ipc_function_name.from_buffer_copy(body).name.decode()
        f = self.functions.get(name)
        if not f:
            return fail(2, f"no function {name}")
        if kind == ipc.IPC_FUNCTION_INFO:
            return answer(self.info(f))
        if kind == ipc.IPC_FUNCTION_DESTROY:
            destroy = ipc.ipc_function_destroy.from_buffer_copy(body)
            if name.startswith("refusedestroy-"):
                return fail(16, f"destroy {name}: the fake keeps it")
            if f.vmm and not destroy.flags & ipc.IPC_DESTROY_FORCE:
                return fail(16, "a VMM (pid %d) is connected; end it, or give --force" % f.vmm_pid)
            self.forget(f)
            return answer()
        if kind == ipc.IPC_FUNCTION_BIND:
            bind = with_spec(ipc.ipc_function_bind, body)
            if f.name.startswith("refusebind-"):
                return fail(95, "the fake refuses to bind")
            f.driver, f.spec = bind.driver.decode(), bind.spec.decode()
            if bind.fds & ipc.IPC_FD_LISTEN:
                f.fds[ipc.IPC_FD_LISTEN] = fds[0]
                self.watch(f)
            if f.driver == "none" and ipc.IPC_FD_LISTEN in f.fds:
                self.selector.unregister(f.fds[ipc.IPC_FD_LISTEN])
                os.close(f.fds.pop(ipc.IPC_FD_LISTEN))
            return answer(self.info(f))
        if kind == ipc.IPC_FUNCTION_SET:
            return self.set(f, with_spec(ipc.ipc_function_set, body), answer, fail)
        return fail(38, "unknown request")

    def set(self, f, change, answer, fail):
        if f.name.startswith("refuseset-"):
            return fail(28, "set %s: the fake refuses" % f.name)
        # A disk of 1 MiB; a function that stops has its link set to 0.
        if change.what == ipc.IPC_SET_SIZE and change.value > 1 << 20:
            return fail(28, "set %s: the image is smaller than that; grow it first" % f.name)
        f.spec = change.spec.decode()
        if f.name.startswith("hangset-"):
            return None
        if f.name.startswith("noiseset-"):
            return self.controls[0].send(b"noise" * 100)
        if f.name.startswith("fault-"):
            self.event(f, ipc.IPC_STATE_FAULTED, "the fake stopped it")
        return answer(self.info(f))

    def kill_ridged(self):
        """The one that started this process, once."""
        if os.getppid() != self.ridged:
            return False
        os.kill(self.ridged, signal.SIGKILL)
        return True

    def commit(self, batch, answer, fail):
        if any(f.name.startswith("uncommitted-") for f in self.functions.values()):
            if self.kill_ridged():
                return None
        if any(f.name.startswith("refusecommit-") for f in self.functions.values()):
            return fail(5, "the fake does not hear of it")
        for f in self.functions.values():
            if f.batch == batch:
                f.batch = 0
        return answer()

    def create(self, control, seq, body, fds, answer, fail):
        create = with_spec(ipc.ipc_function_create, body)
        name, slot = create.name.decode(), create.slot
        if name.startswith("hang-") or (slot and name.startswith("againhang-")):
            if self.forged("gate", None):
                open(self.forged("gate", None), "w").close()
            return None
        if name.startswith("die-") or (slot and name.startswith("againdie-")):
            os.kill(os.getpid(), signal.SIGKILL)
        noise = name in self.refused
        if name.startswith("refuse-") or (slot and name.startswith("againrefuse-")) or (
                slot and name.startswith("thennoise-") and not noise):
            self.refused.add(name)
            return fail(95, "create %s: the fake refuses %s; give another name" % (name, name))
        if name.startswith("garbage-"):
            return answer(b"nonsense")
        taken = {f.slot for f in self.functions.values()}
        if slot in taken:
            return fail(16, "slot %d is taken; give another" % slot)
        free = [n for n in range(1, self.total_vfs + 1) if n not in taken]
        f = Function(name, slot or free[0])
        f.driver, f.spec = create.driver.decode(), create.spec.decode()
        f.batch = create.batch
        for bit in (ipc.IPC_FD_STATE, ipc.IPC_FD_LISTEN, ipc.IPC_FD_BACKEND):
            if create.fds & bit:
                f.fds[bit] = fds.pop(0)
        assert not fds
        f.create = create
        self.functions[name] = f
        if ipc.IPC_FD_LISTEN in f.fds:
            self.watch(f)
        if name.startswith("noise-") or noise:
            return control.send(b"noise" * 100)
        if name.startswith("slay-"):
            self.kill_ridged()
        if name.startswith("slow-"):
            self.later.append((time.monotonic() + 12, lambda: answer(self.info(f))))
            return None
        return answer(self.info(f))

    def watch(self, f):
        def connected(_):
            listener = socket.socket(fileno=os.dup(f.fds[ipc.IPC_FD_LISTEN]))
            vmm, _ = listener.accept()
            listener.close()
            raw = vmm.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            f.vmm, f.vmm_pid = vmm, struct.unpack("3i", raw)[0]
            f.connections += 1
            self.event(f)
            self.selector.register(vmm, selectors.EVENT_READ, gone)

        def gone(vmm):
            if not vmm.recv(4096):
                self.selector.unregister(vmm)
                vmm.close()
                f.vmm, f.vmm_pid = None, 0
                self.event(f)

        self.selector.register(f.fds[ipc.IPC_FD_LISTEN], selectors.EVENT_READ, connected)

    def forget(self, f):
        if ipc.IPC_FD_LISTEN in f.fds:
            self.selector.unregister(f.fds[ipc.IPC_FD_LISTEN])
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
