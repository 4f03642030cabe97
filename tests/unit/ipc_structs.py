# SPDX-License-Identifier: BSD-3-Clause
"""The messages of src/worker/ipc.h, read from the header: IPC_* constants and ctypes structures.

    ipc = load()
    ipc.IPC_PF_INFO, ipc.ipc_pf_info(name=b"blk0").pid
"""

import ctypes
import os
import re
import types

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src")
SCALARS = {"uint8_t": ctypes.c_uint8, "uint16_t": ctypes.c_uint16, "uint32_t": ctypes.c_uint32,
           "uint64_t": ctypes.c_uint64, "int32_t": ctypes.c_int32, "char": ctypes.c_char}


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as header:
        return re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S)


def load():
    ipc = types.SimpleNamespace()
    with open(os.path.join(SOURCE, "base/counters.h"), encoding="utf-8") as header:
        ipc.counters = re.findall(r"^\tX\((\w+)\)", header.read(), re.M)
    text = read("worker/ipc.h")
    for name, value in re.findall(r"#define (IPC_\w+)\s+(0x[0-9a-f]+|\d+)u?\s", text):
        setattr(ipc, name, int(value, 0))
    for body in re.findall(r"^enum \w+ {(.*?)^};", text, re.M | re.S):
        for name, value in re.findall(r"(IPC_\w+)\s*=\s*(\d+)", body):
            setattr(ipc, name, int(value))
    kinds = dict(SCALARS, **{"struct counters": ctypes.c_uint64 * len(ipc.counters)})
    for struct, body in re.findall(r"^struct (ipc_\w+) {\n(.*?)^};", text, re.M | re.S):
        fields = []
        for kind, name, count in re.findall(r"^\t([\w ]+?) (\w+)(?:\[(\w+)\])?;", body, re.M):
            field = kinds[kind]
            if count:
                field *= getattr(ipc, count) if count in vars(ipc) else int(count)
            fields.append((name, field))
        setattr(ipc, struct, type(struct, (ctypes.Structure,), {"_fields_": fields}))
    return ipc
