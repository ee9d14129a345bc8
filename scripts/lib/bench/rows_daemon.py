# SPDX-License-Identifier: Apache-2.0
"""loopwatch daemon: at rest, while a machine starts programs, and how soon it watches a new one."""
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from .measure import OTHER_CPU, cpu_seconds, end, pinned, run
from .rows_collector import Told, cpu_percent
from .rows_server import loads_in_turn
from .rows_unprobed import Redis
from .table import Line

MIN_AGE_MS = 1000
CONFIG = """[paths]
state = "{folder}/state"
run = "{folder}/run"
[defaults]
min_age = "{min_age}ms"
interval = "60s"
[[target]]
match = {{exe = ["*/any_loop", "*/redis-server", "*/redis-check-rdb"]}}
"""


class Daemon:
    """One in the background, on the CPU that targets do not have; its canary was found when this is entered."""

    def __init__(self, bench):
        self._bench = bench

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="loopwatch-bench.")
        folder = pathlib.Path(self._folder.name)
        (folder / "run").mkdir()
        (folder / "config.toml").write_text(CONFIG.format(folder=folder, min_age=MIN_AGE_MS))
        self._socket = folder / "run/control.sock"
        # As it is installed: its canary would be unwound with 100 MB of debug information otherwise.
        self._program = folder / "loopwatch"
        run("strip", "--strip-debug", "-o", self._program, self._bench.program("loopwatch"))
        self.process = subprocess.Popen(pinned(OTHER_CPU, self._program, "daemon", "--config", folder / "config.toml"))
        deadline = time.monotonic() + 30
        while not self.ask("status").get("canary", {}).get("found"):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("the daemon is not ready")
            time.sleep(0.05)
        return self

    def ask(self, what):
        answer = subprocess.run([self._program, what, "--socket", str(self._socket), "--format", "json"], capture_output=True, check=False)
        return json.loads(answer.stdout or "{}")

    def own_seconds(self):
        return cpu_seconds(self.process.pid)

    def __exit__(self, *_):
        end(self.process)
        self._folder.cleanup()


def storm(seconds):
    """Starts /bin/true as fast as it can: how many a second."""
    began, count = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        count += 1
    return count / (time.monotonic() - began)


def daemon(bench):
    """loopwatch daemon: CPU at rest and while programs start, memory, a new target, redis beside it"""
    seconds = 10 if bench.quick else 60
    with Daemon(bench) as watching:
        time.sleep(2)
        memory = watching.ask("status")["memory_bytes"]
        yield Line("daemon", "memory at rest: processes and maps, for 1,024 loops", memory["all"] / 2**20, "MiB", 128)
        yield Line("daemon", "CPU without targets", cpu_percent(watching.process.pid, seconds), "%", 0.1)
        before = watching.own_seconds()
        rate = storm(seconds / 2)
        yield Line("daemon", f"CPU while {rate:,.0f} programs a second start and end", 100 * (watching.own_seconds() - before) / (seconds / 2), "%", 5)
        late = []
        for _ in range(3 if bench.quick else 9):
            with Told(bench.program("fixtures/any_loop"), "epoll") as target:
                began = time.monotonic()
                while target.pid not in [row["pid"] for row in watching.ask("targets")["targets"]]:
                    time.sleep(0.005)
                late.append((time.monotonic() - began) * 1000 - MIN_AGE_MS)
        yield Line("daemon", "a new program is watched, after its minimum age", statistics.median(late), "ms", 200)
    rounds = 7 if bench.quick else 25
    with Redis() as target:
        target.load()
        throughput, cpu = loads_in_turn(target, rounds, bench.phase_s, lambda: Daemon(bench), 2.5)
        yield Line("daemon", "redis with the daemon: throughput", 100 + throughput.percent, "%", 98, least=True, noise=throughput.noise_percent)
        yield Line("daemon", "its CPU a request, added", cpu.percent, "%", 2, noise=cpu.noise_percent)


ROWS = {"daemon": daemon}
