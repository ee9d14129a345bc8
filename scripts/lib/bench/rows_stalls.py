# SPDX-License-Identifier: Apache-2.0
"""How late a stall is reported, beside threads that want every CPU."""
import json
import os
import statistics
import subprocess
import sys
import time

from .measure import end
from .table import Line

THRESHOLD_NS = 100_000_000
STALL = "sleep 15 150"


class Hogs:
    """Threads that burn, two a CPU."""

    def __enter__(self):
        self._burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
        return self

    def __exit__(self, *_):
        for process in self._burning:
            end(process)


def reported(bench, loop):
    """(detected, read) of each stall: ms after its threshold. The reader and the target do not wait for the CPU, loopwatch does."""
    target = subprocess.Popen(["chrt", "-f", "10", bench.program("fixtures/any_loop"), loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    session = None
    policy = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        target.stdout.readline()
        session = subprocess.Popen([bench.program("loopwatch"), "-p", str(target.pid), "--format", "ndjson"], stdout=subprocess.PIPE, text=True)
        session.stdout.readline()
        with Hogs():
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
            target.stdin.write(f"go {STALL}\nquit\n")
            target.stdin.flush()
            for line in session.stdout:
                read_ns, record = time.monotonic_ns(), json.loads(line)
                if record["type"] == "stall":
                    late_ns = record["duration_ns"] - THRESHOLD_NS
                    yield late_ns / 1e6, (read_ns - record["mono_ns"] + late_ns) / 1e6
    finally:
        os.sched_setscheduler(0, *policy)
        for process in filter(None, (session, target)):
            end(process)


def on_time(bench):
    """stalls beside threads that burn, two a CPU: how long after the threshold they are reported"""
    late = [late for _ in range(2 if bench.quick else 6) for late in reported(bench, "uv")]
    detected, read = zip(*late)
    yield Line("on-time", f"{len(late)} stalls beside burning threads: detected, median", statistics.median(detected), "ms")
    yield Line("on-time", "at most", max(detected), "ms", 10)
    yield Line("on-time", "reported with their stacks, median", statistics.median(read), "ms")
    yield Line("on-time", "19 of 20 of them", sorted(read)[len(read) * 19 // 20], "ms", 10)
    yield Line("on-time", "at most", max(read), "ms")


ROWS = {"on-time": on_time}
