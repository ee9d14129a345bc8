# SPDX-License-Identifier: Apache-2.0
"""A real server under load, and a session's beginning and end."""
import re
import signal
import statistics
import tempfile
import time

from .measure import TARGET_CPU, Rounds, paired, pinned, run
from .session import Attached, Loopwatch, Server, need_command, site_memory, until_untouched
from .table import Line

RUNGS = ("multi", "perf-all", "perf-pid")
ATTACH_CALLS = "bpf,perf_event_open,ioctl,close"


class Strace(Attached):
    ready, by_stderr = "strace: Process", True

    def __init__(self, pid):
        super().__init__("strace", "-f", "-c", "-p", pid)


def load_under(tracer, target, phase_s, settle_s):
    """What target.look() says while `tracer`, a context manager, is attached and has settled: its own calibration is not what goes on."""
    with tracer:
        time.sleep(settle_s)
        return target.look(phase_s)


def loads_in_turn(target, rounds, phase_s, tracer, settle_s):
    """Pairs of (requests a second, ns of CPU a request), without and with what `tracer()` attaches."""
    alone, watched = [target.look(phase_s)], []
    for _ in range(rounds):
        watched.append(load_under(tracer(), target, phase_s, settle_s))
        time.sleep(0.1)
        alone.append(target.look(phase_s))
    return (paired(*([load[i] for load in side] for side in (alone, watched))) for i in range(2))


def server(bench):
    """order_server under wrk, attached and not; strace beside it"""
    rounds = 15 if bench.quick else 40
    with Server(bench) as target, target.loaded():
        throughput, cpu = loads_in_turn(target, rounds, bench.phase_s, lambda: Loopwatch(bench, target.pid), settle_s=0.3)
        yield Line("server", "order_server, GET /order, nobody attached", throughput.a, "req/s", noise=throughput.noise)
        yield Line("server", "attached: throughput", 100 + throughput.percent, "%", 99, least=True, noise=throughput.noise_percent)
        yield Line("server", "its CPU a request, nobody attached", cpu.a, "ns", noise=cpu.noise)
        yield Line("server", "attached: CPU a request, added", cpu.percent, "%", 1, noise=cpu.noise_percent)
        try:
            need_command("strace")
            slowed = statistics.median(load_under(Strace(target.pid), target, bench.phase_s, 0.3)[0] for _ in range(3))
            yield Line("server", "for scale, under strace -f -c: throughput", 100 * slowed / throughput.a, "%")
        except Exception as error:
            yield Line("server", "for scale, under strace -f -c", None, note=str(error))


def kernel_ms(bench, pid, rung):
    """The kernel's part of attaching and detaching: the calls that make links, and those that close them."""
    with tempfile.NamedTemporaryFile(prefix="loopwatch-bench.") as trace:
        strace = ["strace", "-f", "-T", "-e", f"trace={ATTACH_CALLS}", "-o", trace.name]
        run(*strace, bench.program("loopwatch"), "-p", pid, "--duration", "300ms", f"--attach={rung}")
        text = open(trace.name, errors="replace").read()
    attaching = re.findall(r"(?:BPF_LINK_CREATE|BPF_RAW_TRACEPOINT_OPEN|perf_event_open\(|PERF_EVENT_IOC).*<([\d.]+)>$", text, re.M)
    return 1000 * sum(map(float, attaching))


def attach_once(bench, pid, probes, rung, options):
    """ms from exec to session_start, from SIGINT until the target is as before, from SIGINT to exit."""
    with Loopwatch(bench, pid, f"--attach={rung}", *options) as session:
        time.sleep(0.3)
        began = time.monotonic_ns()
        session.process.send_signal(signal.SIGINT)
        until_untouched(pid, probes)
        free = time.monotonic_ns()
        session.process.wait(20)
        return session.start_ms, (free - began) / 1e6, (time.monotonic_ns() - began) / 1e6


def attach(bench):
    """attaching and detaching all sites, on each rung"""
    program = bench.program("bench/dispatch_bench")
    for rung in RUNGS:
        budget = 100 if rung == "multi" else None
        # A program at work, with pauses for nobody. 50 us a dispatch: 80,000 hits a second under --trace, twice of what it goes on
        # with by default.
        with Rounds(pinned(TARGET_CPU, program, 1000, 1, 0, 50_000)) as rounds:
            probes = list(site_memory.addresses(rounds.pid))
            for options in ((), ("--trace", "--max-overhead", 100)):
                starts, free, stops = zip(*(attach_once(bench, rounds.pid, probes, rung, options) for _ in range(3 if bench.quick else 7)))
                sites = "all sites" if options else "without --trace"
                for what, values, limit in (("from exec to session_start", starts, budget),
                                            ("from SIGINT until the target is as before", free, budget),
                                            ("from SIGINT to exit", stops, None)):
                    yield Line("attach", f"{rung}, {sites}: {what}", statistics.median(values), "ms", limit, noise=statistics.pstdev(values))
            try:
                need_command("strace")
                yield Line("attach", f"{rung}: of it in the kernel, making links", kernel_ms(bench, rounds.pid, rung), "ms")
            except Exception as error:
                yield Line("attach", f"{rung}: of it in the kernel", None, note=str(error))


ROWS = {"server": server, "attach": attach}
