# SPDX-License-Identifier: Apache-2.0
"""Programs under measurement, and rounds of A B A B …: only differences within one run count, since the machine's speed drifts."""
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

TARGET_CPU, OTHER_CPU = 0, min(1, (os.cpu_count() or 1) - 1)


class Skip(Exception):
    """This row cannot be measured here; the text says why."""


@dataclass
class Bench:
    """Where the programs are and how thorough to be."""
    build: pathlib.Path
    quick: bool

    @property
    def rounds(self):
        return 7 if self.quick else 11

    @property
    def phase_s(self):
        """How long one side of a pair is looked at."""
        return 0.4 if self.quick else 0.8

    def program(self, name):
        path = self.build / "bin" / name
        if not path.exists():
            raise Skip(f"not built: {path}")
        return str(path)


def pinned(cpu, *command):
    return ["taskset", "-c", str(cpu), *map(str, command)]


def run(*command, **options):
    """The program's stdout. Raises if it fails."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options).stdout


def end(process, sig=None, seconds=20):
    """Asks a program to end (SIGTERM, or `sig`), insists with SIGKILL; returns its status."""
    if process.poll() is None:
        process.terminate() if sig is None else process.send_signal(sig)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def wait_for_line(path, wanted, process, seconds=20):
    """Until the file has a line that begins with `wanted`; returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith(wanted):
                return line
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}: {path.read_text(errors='replace')[-500:]}")
        time.sleep(0.002)
    raise RuntimeError(f"no line '{wanted}…' within {seconds} s in {path}")


class Rounds:
    """A program that prints "BEGIN_NS END_NS VALUE" a round until it is ended (tests/bench/rounds.hpp). Context manager."""

    def __init__(self, command, environment=None):
        self._command, self._environment, self._folder = command, environment, tempfile.TemporaryDirectory(prefix="loopwatch-bench.")
        self._output = pathlib.Path(self._folder.name) / "rounds"

    def __enter__(self):
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(self._command, stdout=output, stdin=subprocess.DEVNULL,
                                            env=os.environ | (self._environment or {}))
        self.pid = self.process.pid
        self.look(0.2)  # warm, and calibrated where the program does that
        return self

    def __exit__(self, *_):
        end(self.process)
        self._folder.cleanup()

    def look(self, seconds):
        """Median of the rounds that lie in the next `seconds` (longer if there are fewer than three)."""
        begin, deadline = time.monotonic_ns(), time.monotonic() + 30
        time.sleep(seconds)
        while time.monotonic() < deadline:
            values = [value for start, _, value in self._lines() if start >= begin]
            if len(values) >= 3:
                return statistics.median(values)
            if self.process.poll() is not None:
                raise RuntimeError(f"{self._command} ended with {self.process.returncode}")
            time.sleep(0.02)
        raise RuntimeError(f"{self._command} gives no rounds")

    def _lines(self):
        for line in self._output.read_text().splitlines(keepends=True)[-100_000:]:
            fields = line.split()
            if line.endswith("\n") and len(fields) == 3:
                yield int(fields[0]), int(fields[1]), float(fields[2])


@dataclass
class Pair:
    """Two things measured in turn: medians, of their difference too, and what A differs from A."""
    a: float
    b: float
    difference: float
    noise: float

    @property
    def percent(self):
        return 100 * self.difference / self.a

    @property
    def noise_percent(self):
        return 100 * self.noise / self.a


def in_turn(rounds, measure_a, measure_b):
    """A B A B … A: each B against the mean of the As around it; the noise is the median distance of an A from the As around it."""
    a, b = [measure_a()], []
    for _ in range(rounds):
        b.append(measure_b())
        a.append(measure_a())
    return paired(a, b)


def paired(a, b):
    """The Pair of values measured in turn: one more A than there are Bs."""
    rounds = len(b)
    differences = [b[i] - (a[i] + a[i + 1]) / 2 for i in range(rounds)]
    noise = [abs(a[i] - (a[i - 1] + a[i + 1]) / 2) for i in range(1, rounds)]
    return Pair(statistics.median(a), statistics.median(b), statistics.median(differences), statistics.median(noise))


def with_and_without(bench, rounds, attach):
    """What `attach(pid)`, a context manager, does to a program of rounds that keeps running."""
    def attached():
        with attach(rounds.pid):
            return rounds.look(bench.phase_s)
    return in_turn(bench.rounds, lambda: rounds.look(bench.phase_s), attached)


def cpu_seconds(pid):
    """User and system time of a process and its children, those that have ended too."""
    def of(process, fields):
        stat = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return sum(int(stat[field]) for field in fields) / os.sysconf("SC_CLK_TCK")
    return of(pid, (11, 12, 13, 14)) + sum(of(child, (11, 12)) for child in children(pid))


def running_ns(pid):
    """Time on a CPU of all living threads of a process, to the nanosecond: what neighbours take from it does not count."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def status_field(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise KeyError(name)


def switches(pid):
    """Context switches of all threads of a process, voluntary ones."""
    return sum(status_field(f"{pid}/task/{tid.name}", "voluntary_ctxt_switches") for tid in pathlib.Path(f"/proc/{pid}/task").iterdir())


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
