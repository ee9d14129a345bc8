# SPDX-License-Identifier: Apache-2.0
"""The collector: what it costs while the target is busy and while it is idle, and what it loses."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

from .measure import TARGET_CPU, children, cpu_seconds, end, pinned, run, status_field, switches, wait_for_line
from .session import Loopwatch, Server
from .table import Line


class Told:
    """A program that says "ready PID" and is told lines on its stdin."""

    def __init__(self, *command, environment=None):
        self._command, self._environment, self._folder = command, environment, tempfile.TemporaryDirectory(prefix="loopwatch-bench.")
        self._output = pathlib.Path(self._folder.name) / "out"

    def __enter__(self):
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(pinned(TARGET_CPU, *self._command), stdout=output, stdin=subprocess.PIPE, text=True,
                                            env=os.environ | (self._environment or {}))
        self.pid = int(self.answer("ready").split()[1])
        return self

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self, beginning, seconds=120):
        return wait_for_line(self._output, beginning, self.process, seconds)

    def __exit__(self, *_):
        end(self.process)
        self._folder.cleanup()


def cpu_percent(pid, seconds):
    """CPU of a process and its children, of one core."""
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - began)


def collector(bench):
    """CPU and memory of the collector, busy and idle"""
    seconds = 5 if bench.quick else 30
    with Told(bench.program("fixtures/clean_loop")) as target, Loopwatch(bench, target.pid) as session:
        time.sleep(1.5)
        busy = cpu_percent(session.process.pid, seconds)
        rss = status_field(session.process.pid, "VmHWM") / 1024
        worker = max([status_field(child, "VmHWM") / 1024 for child in children(session.process.pid)], default=0)
        time.sleep(1.1)
        stats = [r for r in session.records() if r["type"] == "loop_stats"]
        rate = sum(r["dispatches"] for r in stats) / sum(r["interval_ns"] for r in stats) * 1e6
    yield Line("collector", f"CPU at {rate:.0f} k dispatches/s", busy, "%", 1)
    yield Line("collector", "core: resident memory, at most", rss, "MiB", 64)
    yield Line("collector", "symbol worker: resident memory, at most", worker, "MiB")
    yield from idle(bench, 10 if bench.quick else 60)


def idle(bench, seconds):
    with Server(bench) as target:
        time.sleep(0.5)
        with Loopwatch(bench, target.pid) as session:
            time.sleep(1.5)
            before = switches(target.pid)
            percent = cpu_percent(session.process.pid, seconds)
            woken = switches(target.pid) - before
            gone = not children(session.process.pid)
    yield Line("collector", "CPU beside an idle target", percent, "%", 0.1)
    yield Line("collector", f"context switches of the idle target in {seconds} s", woken, "", 0)
    if seconds > 31:
        yield Line("collector", "symbol worker still there after 30 s idle", 0 if gone else 1, "", 0)


def accounted(records, finding):
    """(counted, written, suppressed, lost) of a finding, from the records and the summary."""
    summary = records[-1]
    assert summary["type"] == "session_end", summary["type"]
    written = sum(r["type"] == finding for r in records)
    return summary["counts"].get(finding, 0), written, summary["suppressed"].get(finding, 0), summary["lost"]["ring_full"]


def slow_dispatches(bench, rate, seconds):
    floor = {"LOOPWATCH_FLOOR": "40us"}
    # As a real-time program: what preempts it would make other dispatches slow than the provoked ones.
    with Told("chrt", "-f", 1, bench.program("bench/finding_bench"), rate, seconds, 50, environment=floor) as target:
        with Loopwatch(bench, target.pid, "--threshold", "40us") as session:
            target.tell("go")
            provoked, ms = re.match(r"provoked (\d+) (\d+)", target.answer("provoked")).groups()
            session.process.wait(30)  # its target has ended
            yield from balance(f"{int(provoked) / float(ms) * 1000:.0f} slow dispatches/s", int(provoked), session.records(), "slow_callback", True)


def flood(bench, count):
    with Told(bench.program("fixtures/flood")) as target:
        # The flood itself is one long dispatch: its samples, if reported, would compete for the ring.
        with Loopwatch(bench, target.pid, "--threshold", "1m") as session:
            began = time.monotonic()
            target.tell(str(count))
            target.answer("flooded")
            rate = count / (time.monotonic() - began)
            target.tell("quit")
            session.process.wait(60)
            yield from balance(f"{rate / 1000:.0f} k findings/s", count, session.records(), "coroutine_never_awaited", False)


def balance(what, provoked, records, finding, none_lost, row="loss"):
    counted, written, suppressed, lost = accounted(records, finding)
    # An interrupt can make one more dispatch slow, which is then found, rightly.
    extra = counted + lost - provoked
    yield Line(row, f"{what}: {written} written, {suppressed} suppressed: missing", max(0, -extra), "", 0,
               note=f"of {provoked}" + (f"; {extra} more were slow" if extra > 0 else ""))
    assert written + suppressed == counted, "what was counted was neither written nor suppressed"
    yield Line(row, f"{what}: lost", lost, "", 0 if none_lost else None)


def loss(bench):
    """findings by the thousand: none lost below 10,000 a second, beyond that counted"""
    seconds = 2 if bench.quick else 5
    yield from slow_dispatches(bench, 1000, seconds)
    yield from slow_dispatches(bench, 10_000, seconds)
    yield from flood(bench, 200_003 if bench.quick else 1_000_003)


def told_by_ring(bench, count, rate):
    with tempfile.TemporaryDirectory(prefix="loopwatch-bench.") as folder:
        report = pathlib.Path(folder, "report")
        text = run(bench.program("loopwatch"), "run", "--inside", "--format", "ndjson", "-o", report, "--",
                   *pinned(TARGET_CPU, bench.program("bench/ring_bench"), count, rate))
        ns = int(re.search(r"told \d+ (\d+)", text)[1])
        records = [json.loads(line) for line in report.read_text().splitlines()]
    yield from balance(f"{count / ns * 1e6:.0f} k findings/s", count, records, "slow_callback", rate != 0, "ring")


def ring(bench):
    """findings that a process tells without a kernel side"""
    yield from told_by_ring(bench, 20_011 if bench.quick else 50_021, 10_000)
    yield from told_by_ring(bench, 200_003 if bench.quick else 1_000_003, 0)


ROWS = {"collector": collector, "loss": loss, "ring": ring}
