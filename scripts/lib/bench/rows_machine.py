# SPDX-License-Identifier: Apache-2.0
"""What others pay: programs that nobody watches, the shim's guests; and asyncio's price for the same question."""
import re
import statistics
import sys
import time

from .measure import OTHER_CPU, TARGET_CPU, Rounds, in_turn, pinned, run
from .session import ROOT, Loopwatch, Server
from .table import Line


def neighbours(bench):
    """context switches and system calls of a program that nobody watches"""
    machine = bench.program("bench/machine_bench")
    with Server(bench) as target:
        for what, name, budget in (("switch", "a context switch", 100), ("syscall", "a system call", 0)):
            # Beside the watched program, not on its CPU; both ends of the pipe on one.
            with Rounds(pinned(OTHER_CPU, machine, what, 0)) as rounds:
                def attached():
                    with Loopwatch(bench, target.pid):
                        time.sleep(0.3)  # its own calibration, which is not what goes on
                        return rounds.look(bench.phase_s)

                pair = in_turn(bench.rounds, lambda: rounds.look(bench.phase_s), attached)
            if budget == 0:
                budget = max(1, pair.noise)  # nothing is attached to system calls: what is measured is the machine
            yield Line("neighbours", f"{name} of a program not watched", pair.a, "ns", noise=pair.noise)
            yield Line("neighbours", "attached to another one: added", pair.difference, "ns", budget, noise=pair.noise)


def asyncio(bench):
    """asyncio's empty loop, debug off and on"""
    script = ROOT / "tests/bench/asyncio_bench.py"

    def callback_ns(*options):
        return min(map(float, run(*pinned(TARGET_CPU, sys.executable, script, *options)).split()))

    pair = in_turn(3 if bench.quick else 7, callback_ns, lambda: callback_ns("--debug"))
    yield Line("asyncio", "asyncio's empty post-and-resume, debug off", pair.a, "ns", noise=pair.noise)
    yield Line("asyncio", "debug on: added", pair.difference, "ns", noise=pair.noise, note=f"{pair.percent:.0f} %")


def shim(bench):
    """a guest of libloopwatch_preload.so"""
    bench_program, library = bench.program("bench/shim_bench"), bench.build / "lib/libloopwatch_preload.so"
    if not library.exists():
        library = next(bench.build.rglob("libloopwatch_preload.so"))

    def report():
        text = run(*pinned(TARGET_CPU, "env", f"LD_PRELOAD={library}", bench_program))
        return [float(re.search(pattern, text)[1]) for pattern in (r"off loop threads.*\+(-?[\d.]+)", r"beyond two clock reads: (-?[\d.]+)",
                                                                         r"empty wrapper.*\+(-?[\d.]+)")]

    reports = list(zip(*(report() for _ in range(3 if bench.quick else 7))))
    off, beyond, empty = map(statistics.median, reports)
    yield Line("shim", "an empty wrapper: added to a call", empty, "ns", noise=statistics.pstdev(reports[2]))
    yield Line("shim", "off loop threads: added to a call", off, "ns", 2, noise=statistics.pstdev(reports[0]))
    yield Line("shim", "in a dispatch, attached: beyond two clock reads", beyond, "ns", 10, noise=statistics.pstdev(reports[1]))


ROWS = {"neighbours": neighbours, "asyncio": asyncio, "shim": shim}
