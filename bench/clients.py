# SPDX-License-Identifier: BSD-3-Clause
"""Clients of ridged and of functions, as small as they can be."""

import json
import selectors
import socket
import struct

# vfio-user: REGION_READ and VERSION, configuration space
VERSION, REGION_READ, CONFIG = 1, 9, 7
HEADER = struct.Struct("<HHIII")
ERROR = 0x20


class Control:
    """One connection to ridged, on which many requests may be under way."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.next = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def requests(self, method, each):
        """One request for each of the parameters, all at once; the results, in their order."""
        first = self.next
        out = bytearray()
        for params in each:
            out += json.dumps({"jsonrpc": "2.0", "id": self.next, "method": method,
                               "params": params}).encode() + b"\n"
            self.next += 1
        results = [None] * (self.next - first)
        left, text = len(results), b""
        self.sock.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while left:
                (_, events), = selector.select(60) or [(None, 0)]
                if not events:
                    raise TimeoutError(f"{method}: no answer for a minute")
                if events & selectors.EVENT_WRITE and out:
                    del out[:self.sock.send(out)]
                    if not out:
                        selector.modify(self.sock, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    got = self.sock.recv(1 << 20)
                    if not got:
                        raise ConnectionError(f"{method}: ridged closed the connection")
                    *lines, text = (text + got).split(b"\n")
                    for answer in map(json.loads, lines):
                        if "error" in answer:
                            raise RuntimeError(f"{method}: {answer['error']['message']}")
                        results[answer["id"] - first] = answer["result"]
                        left -= 1
        return results

    def request(self, method, **params):
        return self.requests(method, [params])[0]


class Vmm:
    """A VMM that has attached to a function: VERSION is answered."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.call(VERSION, struct.pack("<HH", 0, 0) + b'{"capabilities":{}}\0')

    def close(self):
        self.sock.close()

    def call(self, command, payload):
        """A request; the payload of its reply."""
        self.sock.sendall(HEADER.pack(1, command, HEADER.size + len(payload), 0, 0) + payload)
        _, _, size, flags, error = HEADER.unpack(self.sock.recv(HEADER.size, socket.MSG_WAITALL))
        left = size - HEADER.size
        answer = self.sock.recv(left, socket.MSG_WAITALL) if left else b""
        if flags & ERROR:
            raise OSError(error, f"vfio-user command {command}")
        return answer

    def read_config(self, offset, count):
        access = struct.pack("<QII", offset, CONFIG, count)
        return self.call(REGION_READ, access)[len(access):]
