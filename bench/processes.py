# SPDX-License-Identifier: BSD-3-Clause
"""What processes use: memory and processor time, as the kernel counts them."""

import os


def pss(pids):
    """Bytes of all of them together: each shared page counted once, memfds that are mapped too."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            for text in file:
                if text.startswith("Pss:"):
                    total += int(text.split()[1]) * 1024
    return total


def cpu(pids):
    """Of all threads together: (ns on a CPU, times they gave it up or lost it, clock ticks)."""
    ran = switches = ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime (proc(5))
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="utf-8") as file:
                ran += int(file.read().split()[0])
            with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as file:
                for text in file:
                    if "voluntary_ctxt_switches" in text:
                        switches += int(text.split()[1])
    return ran, switches, ticks
