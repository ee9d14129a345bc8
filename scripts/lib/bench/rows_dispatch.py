# SPDX-License-Identifier: Apache-2.0
"""The dispatch path: compiled in, watched, traced; and what others pay for the same."""
import os
import pathlib
import statistics
import subprocess
import time

from .measure import TARGET_CPU, Rounds, in_turn, pinned, run, with_and_without
from .session import TRACE_HITS, Bpftrace, Loopwatch, RawLink
from .table import Line

PROGRAM = "bench/dispatch_bench"
ENDLESS = 0


def spinning(bench, resumes=1_000_000, work_ns=0):
    return Rounds(pinned(TARGET_CPU, bench.program(PROGRAM), resumes, 1, ENDLESS, work_ns))


def one_run(bench, name, post=0):
    """ns per resume of a fresh process, the best of its rounds: layout and neighbours only ever add."""
    lines = run(*pinned(TARGET_CPU, bench.program(name), 1_000_000, 1, 15, 0, post)).splitlines()
    return min(float(line.split()[2]) for line in lines)


def clock_reads(bench):
    """ns of one read: of the clock that loops use here, and of clock_gettime."""
    def median(kind):
        return statistics.median(float(line.split()[2]) for line in run(*pinned(TARGET_CPU, bench.program("bench/machine_bench"), kind, 11)).splitlines())
    source = pathlib.Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    gettime = median("clock")
    return (median("tsc") if source == "tsc" else gettime), gettime, source


def compiled_in(bench):
    """probes compiled in, nobody attached"""
    def pair_of(post):
        return in_turn(bench.rounds, lambda: one_run(bench, PROGRAM + "_noprobes", post), lambda: one_run(bench, PROGRAM, post))

    row, queue, posted = "compiled-in", pair_of(0), pair_of(1)
    yield Line(row, "a resume from the ready queue, probes compiled out", queue.a, "ns", noise=queue.noise)
    yield Line(row, "probes compiled in, nobody attached: added", queue.difference, "ns", 1, noise=queue.noise, note=f"{queue.percent:.0f} %")
    yield Line(row, "post to Asio and resume, probes compiled out", posted.a, "ns", noise=posted.noise)
    yield Line(row, "probes compiled in, nobody attached: added", posted.percent, "%", 2, noise=posted.noise_percent)


def watched(bench):
    """a session attached to the empty loop, and at a million dispatches a second"""
    read, gettime, source = clock_reads(bench)
    yield Line("watch", f"one clock read (clock source {source})", read, "ns")
    yield Line("watch", "one clock_gettime", gettime, "ns")
    with spinning(bench) as rounds:
        pair = with_and_without(bench, rounds, lambda pid: Loopwatch(bench, pid))
    yield Line("watch", "empty post-and-resume, nobody attached", pair.a, "ns", noise=pair.noise)
    yield Line("watch", "attached: added to a dispatch", pair.difference, "ns", 1.5 * read, noise=pair.noise,
               note=f"{pair.difference / read:.2f} clock reads")
    with spinning(bench, 100_000, 1000) as rounds:
        pair = with_and_without(bench, rounds, lambda pid: Loopwatch(bench, pid))
    yield Line("watch", f"attached, {1000 / pair.a:.2g} M dispatches/s: added", pair.percent, "%", 3, noise=pair.noise_percent)


def traced(bench):
    """--trace against a raw link and against bpftrace, on the same hits"""
    hits, program = len(TRACE_HITS), bench.program(PROGRAM)
    tracers = {
        "raw": lambda pid: RawLink(bench, pid, program, TRACE_HITS),
        "trace": lambda pid: Loopwatch(bench, pid, "--trace", "--max-overhead", 100),
        "count": lambda pid: Bpftrace(bench, pid, program, TRACE_HITS, "@ = count();"),
        "time": lambda pid: Bpftrace(bench, pid, program, TRACE_HITS, "@ = max(nsecs);"),
    }
    # A dispatch of 10 us: four hits stay below the whole CPU that --max-overhead can be raised to. All three in one program and in
    # turn, each against what is just before and after it: they differ by less than the machine drifts from one to the next.
    added, noise = {name: [] for name in tracers}, []
    with spinning(bench, 10_000, 10_000) as rounds:
        before = rounds.look(bench.phase_s)
        for _ in range(bench.rounds):
            for name, attach in tracers.items():
                with attach(rounds.pid):
                    inside = rounds.look(bench.phase_s)
                after = rounds.look(bench.phase_s)
                added[name].append((inside - (before + after) / 2) / hits)
                noise.append(abs(after - before) / hits)
                before = after
    raw, trace, count, timed = (statistics.median(added[name]) for name in tracers)

    def trace_of(name):
        return 100 * statistics.median(t / o for t, o in zip(added["trace"], added[name]))

    noise = statistics.median(noise)
    yield Line("trace", "a hit of an empty program, raw uprobe_multi link", raw, "ns", noise=noise)
    yield Line("trace", "a hit under --trace", trace, "ns", noise=noise)
    yield Line("trace", "a hit under bpftrace { @ = count(); }", count, "ns", noise=noise)
    yield Line("trace", "a hit under bpftrace { @ = max(nsecs); }", timed, "ns", noise=noise)
    yield Line("trace", "--trace, of the empty program's cost", trace_of("raw"), "%", 120, noise=100 * noise / raw)
    yield Line("trace", "--trace, of what bpftrace charges to count", trace_of("count"), "%", 100, noise=100 * noise / count)
    yield Line("trace", "--trace, of what bpftrace charges to note the time", trace_of("time"), "%", 100, noise=100 * noise / timed)
    yield from steps_down(bench)


def steps_down(bench):
    with spinning(bench) as rounds, Loopwatch(bench, rounds.pid, "--trace", "--max-overhead", 2) as session:
        began = time.monotonic()
        while "trace probes are detached" not in session.err.read_text() and time.monotonic() - began < 15:
            time.sleep(0.02)
        took = time.monotonic() - began
        after = rounds.look(bench.phase_s)
    yield Line("trace", "above --max-overhead the trace probes go after", took, "s", 2.5, note=f"then {after:.1f} ns a dispatch")


def tasks_come_and_go(bench):
    """tasks created, run once and destroyed, nobody attached"""
    def one(name):
        lines = run(*pinned(TARGET_CPU, bench.program(name), 300_000, 9)).splitlines()
        return min(float(line.split()[2]) for line in lines)

    pair = in_turn(bench.rounds, lambda: one("bench/task_bench_noprobes"), lambda: one("bench/task_bench"))
    yield Line("tasks", "a task spawned, run and destroyed, no records", pair.a, "ns", noise=pair.noise)
    yield Line("tasks", "records kept, nobody attached: added", pair.difference, "ns", 15, noise=pair.noise, note=f"{pair.percent:.0f} %")


def listed(bench):
    """loopwatch ps of 100,000 tasks"""
    target = subprocess.Popen([bench.program("fixtures/tasks"), "100000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        target.stdout.readline()
        seconds, peak = [], 0
        for _ in range(bench.rounds):
            began = time.monotonic()
            ps = subprocess.Popen([bench.program("loopwatch"), "ps", "-p", str(target.pid)], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(ps.pid, 0)
            seconds.append(time.monotonic() - began)
            peak = max(peak, used.ru_maxrss / 1024)
            assert status == 0
    finally:
        target.kill()
        target.wait()
    yield Line("ps", "100,000 tasks listed", statistics.median(seconds), "s", 1, noise=max(seconds) - min(seconds))
    yield Line("ps", "in at most", peak, "MiB", 64)


ROWS = {"compiled-in": compiled_in, "tasks": tasks_come_and_go, "ps": listed, "watch": watched, "trace": traced}
