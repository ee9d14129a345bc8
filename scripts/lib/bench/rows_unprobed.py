# SPDX-License-Identifier: Apache-2.0
"""Programs without probes: redis under load beside what others would attach to it, and what that costs everybody else."""
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time

from .measure import OTHER_CPU, TARGET_CPU, Rounds, cpu_seconds, end, in_turn, paired, pinned, running_ns
from .rows_collector import cpu_percent
from .rows_server import Strace, load_under, loads_in_turn
from .session import Attached, Loopwatch, need_command
from .table import Line

# What people write by hand: the time from the return of epoll_wait to the next one.
EPOLL_GAP = """tracepoint:syscalls:sys_exit_epoll_wait /pid == {pid}/ {{ @start[tid] = nsecs; }}
tracepoint:syscalls:sys_enter_epoll_wait /pid == {pid} && @start[tid]/ {{
  $gap = nsecs - @start[tid]; if ($gap > 100000000) {{ printf("%d ms\\n", $gap / 1000000); }} delete(@start[tid]); }}"""


class PerfTrace(Attached):
    def __init__(self, pid):
        need_command("perf")
        super().__init__("perf", "trace", "-s", "-p", pid)

    def wait_ready(self):
        time.sleep(1)
        if self.process.poll() is not None:
            raise RuntimeError(self.err.read_text()[:120].strip() or "perf trace does not run here")


class EpollGap(Attached):
    ready = "Attaching"

    def __init__(self, pid):
        need_command("bpftrace")
        super().__init__(*pinned(OTHER_CPU, "bpftrace", "-e", EPOLL_GAP.format(pid=pid)))

    def wait_ready(self):
        super().wait_ready()
        time.sleep(1)


class Redis:
    """redis on one CPU, redis-benchmark GET with 50 connections on the other. `under`: what starts it."""

    def __init__(self, *under):
        self._under = under
        need_command("redis-server")
        need_command("redis-benchmark")

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = tempfile.TemporaryDirectory(prefix="loopwatch-bench.")
        server = pinned(TARGET_CPU, "redis-server", "--port", self.port, "--save", "", "--dir", self._folder.name)
        self.process = subprocess.Popen([*map(str, self._under), *server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                self._ask = socket.create_connection(("127.0.0.1", self.port))
                break
            except OSError:
                time.sleep(0.05)
        self._load = None
        self.pid = int(re.search(rb"process_id:(\d+)", self._information(b"server", b"process_id"))[1])
        return self

    def load(self):
        self._load = subprocess.Popen(pinned(OTHER_CPU, "redis-benchmark", "-p", self.port, "-t", "get", "-c", 50, "-n", 2_000_000_000, "-q"),
                                      stdout=subprocess.DEVNULL)
        self.look(1)

    def rest(self):
        if self._load:
            end(self._load, signal.SIGKILL)
        self._load = None

    def __exit__(self, *_):
        self.rest()
        self._ask.close()
        os.kill(self.pid, signal.SIGKILL)
        end(self.process, signal.SIGTERM)
        self._folder.cleanup()

    def _information(self, section, field):
        self._ask.sendall(b"INFO " + section + b"\r\n")
        answer = b""
        while field not in answer or not answer.endswith(b"\r\n"):
            answer += self._ask.recv(65536)
        return answer

    def _commands(self):
        return int(re.search(rb"total_commands_processed:(\d+)", self._information(b"stats", b"total_commands_processed"))[1])

    def look(self, seconds):
        """(GETs a second, ns of redis' CPU a GET) of the next `seconds`."""
        began, commands, running = time.monotonic(), self._commands(), running_ns(self.pid)
        time.sleep(seconds)
        commands, running, took = self._commands() - commands, running_ns(self.pid) - running, time.monotonic() - began
        return commands / took, running / commands


def redis(bench):
    """redis under redis-benchmark, no probes: attached and not; strace, perf trace and bpftrace beside it"""
    rounds = 7 if bench.quick else 25
    with Redis() as target:
        target.load()

        settle_s = 1  # its search for loops, too
        throughput, cpu = loads_in_turn(target, rounds, bench.phase_s, lambda: Loopwatch(bench, target.pid), settle_s)
        yield Line("redis", "redis, GET, 50 connections, nobody attached", throughput.a, "req/s", noise=throughput.noise)
        yield Line("redis", "attached: throughput", 100 + throughput.percent, "%", 98, least=True, noise=throughput.noise_percent)
        yield Line("redis", "its CPU a request, nobody attached", cpu.a, "ns", noise=cpu.noise)
        yield Line("redis", "attached: CPU a request, added", cpu.percent, "%", noise=cpu.noise_percent)
        for name, tracer in (("a bpftrace epoll-gap script", EpollGap), ("perf trace -s", PerfTrace), ("strace -f -c", Strace)):
            try:
                slowed = statistics.median(load_under(tracer(target.pid), target, bench.phase_s, settle_s)[0] for _ in range(3))
                yield Line("redis", f"for scale, under {name}: throughput", 100 * slowed / throughput.a, "%")
            except Exception as error:
                yield Line("redis", f"for scale, under {name}", None, note=str(error))
        with Loopwatch(bench, target.pid) as session:
            time.sleep(1.5)
            yield Line("redis", "loopwatch itself meanwhile", cpu_percent(session.process.pid, 3 if bench.quick else 15), "%", 1)


def bystanders(bench):
    """what a session on a program without probes costs programs that nobody watches"""
    machine = bench.program("bench/machine_bench")
    with Redis() as target:
        for what, name, budget in (("switch", "a context switch", 100), ("syscall", "a system call", 25)):
            with Rounds(pinned(OTHER_CPU, machine, what, 0)) as rounds:
                def attached():
                    with Loopwatch(bench, target.pid):
                        time.sleep(0.3)
                        return rounds.look(bench.phase_s)

                pair = in_turn(bench.rounds, lambda: rounds.look(bench.phase_s), attached)
            yield Line("bystanders", f"{name} of a program not watched", pair.a, "ns", noise=pair.noise)
            yield Line("bystanders", "attached to redis: added", pair.difference, "ns", budget, noise=pair.noise)
        with Loopwatch(bench, target.pid) as session:
            time.sleep(1.5)
            yield Line("bystanders", "loopwatch beside a redis without clients, which wakes 10 times a second",
                       cpu_percent(session.process.pid, 10 if bench.quick else 60), "%")


class Napper:
    """A loop without probes whose callbacks block shortly, so many times a second; on one CPU."""

    def __init__(self, bench, rate):
        self.program, self.rate = bench.program("fixtures/napper"), rate

    def __enter__(self):
        self.process = subprocess.Popen(pinned(TARGET_CPU, self.program, self.rate), stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        end(self.process, signal.SIGKILL)
        self.process.stdout.close()

    def _sleeps(self):
        status = open(f"/proc/{self.pid}/status", encoding="ascii").read()
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.M)[1])

    def look(self, seconds):
        """(sleeps a second, ns of CPU a sleep) of the next `seconds`."""
        began, sleeps, running = time.monotonic(), self._sleeps(), running_ns(self.pid)
        time.sleep(seconds)
        sleeps, running, took = self._sleeps() - sleeps, running_ns(self.pid) - running, time.monotonic() - began
        return sleeps / took, running / sleeps


def blocks(bench):
    """callbacks that block 1,000 and 10,000 times a second, without probes: attached and not"""
    for rate in (1_000, 10_000):
        with Napper(bench, rate) as target:
            _, cpu = loads_in_turn(target, 7 if bench.quick else 25, bench.phase_s, lambda: Loopwatch(bench, target.pid), settle_s=0.5)
            yield Line("blocks", f"{rate:,} short blocks a second: CPU of each, nobody attached", cpu.a, "ns", noise=cpu.noise)
            yield Line("blocks", "attached: CPU of each, added", cpu.a * cpu.percent / 100, "ns", noise=cpu.noise)
            with Loopwatch(bench, target.pid) as session:
                time.sleep(1.5)
                yield Line("blocks", "loopwatch itself meanwhile", cpu_percent(session.process.pid, 3 if bench.quick else 15), "%", 1)


def inside(bench):
    """redis started by `loopwatch run`, without a kernel side, and not"""
    rounds = 7 if bench.quick else 25
    with Redis() as alone, Redis(*pinned(OTHER_CPU, bench.program("loopwatch"), "run", "--format", "ndjson", "--")) as watched:
        def look(server):
            server.load()
            try:
                return server.look(bench.phase_s)
            finally:
                server.rest()

        without, within = [look(alone)], []
        for _ in range(rounds):
            within.append(look(watched))
            without.append(look(alone))
        throughput, cpu = (paired([load[i] for load in without], [load[i] for load in within]) for i in range(2))
        yield Line("inside", "redis, GET, 50 connections, started as it is", throughput.a, "req/s", noise=throughput.noise)
        yield Line("inside", "by loopwatch run: throughput", 100 + throughput.percent, "%", 98, least=True, noise=throughput.noise_percent)
        yield Line("inside", "its CPU a request, added", cpu.percent, "%", noise=cpu.noise_percent)
        watched.load()
        seconds = 3 if bench.quick else 15
        # redis is a child of loopwatch's here, and not of its cost.
        def own_seconds():
            return cpu_seconds(watched.process.pid) - cpu_seconds(watched.pid)

        began = own_seconds()
        time.sleep(seconds)
        yield Line("inside", "loopwatch itself meanwhile", 100 * (own_seconds() - began) / seconds, "%", 1)


ROWS = {"redis": redis, "inside": inside, "bystanders": bystanders, "blocks": blocks}
