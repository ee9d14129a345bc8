# SPDX-License-Identifier: Apache-2.0
"""Who is attached while something is measured: loopwatch, bpftrace, a raw link; and the server with its load."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from .measure import OTHER_CPU, TARGET_CPU, Skip, end, pinned, run, running_ns, wait_for_line

ROOT = pathlib.Path(__file__).resolve().parents[3]
INSPECT = ROOT / "tests/contract/probes/inspect_sites.py"
sys.path[:0] = [str(INSPECT.parent), str(ROOT / "tests/privileged/lib")]
import find_loops  # noqa: E402
import site_memory  # noqa: E402

TASKS_CREATED = 160  # offset in struct lw_loop_slot, third counter of its cache line 2
TRACE_HITS = ("dispatch_begin", "dispatch_end", "task_resume", "task_suspend")  # of one resume


def need_command(name):
    if not shutil.which(name):
        raise Skip(f"needs {name}")


class Attached:
    """A tracer in the background: live when entered, gone when left. `log` has what it said."""
    ready = ""        # how its output begins once it is live
    by_stderr = False
    signal = signal.SIGINT

    def __init__(self, *command):
        self._command, self._folder = [str(part) for part in command], None

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="loopwatch-bench.")
        self.out, self.err = (pathlib.Path(self._folder.name) / name for name in ("out", "err"))
        began = time.monotonic_ns()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(self._command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        try:
            self.wait_ready()
        except Exception:
            self.__exit__()
            raise
        self.start_ms = (time.monotonic_ns() - began) / 1e6
        return self

    def wait_ready(self):
        wait_for_line(self.err if self.by_stderr else self.out, self.ready, self.process)

    def stop(self):
        if self.process.returncode is not None:
            return self.process.returncode
        began = time.monotonic_ns()
        status = end(self.process, self.signal)
        self.stop_ms = (time.monotonic_ns() - began) / 1e6
        return status

    def __exit__(self, *_):
        self.stop()
        self._folder.cleanup()


class Loopwatch(Attached):
    """A session of loopwatch, on the CPU that the target does not have."""
    ready = '{"schema"'

    def __init__(self, bench, pid, *options):
        super().__init__(*pinned(OTHER_CPU, bench.program("loopwatch"), "-p", pid, "--format", "ndjson", *options))

    def records(self):
        return [json.loads(line) for line in self.out.read_text().splitlines(keepends=True) if line.endswith("}\n")]


def until_untouched(pid, probes, seconds=20):
    """Waits until the target is as if nobody had ever been attached."""
    deadline = time.monotonic() + seconds
    while site_memory.state(pid, probes) != ({"90"}, {0}):
        if time.monotonic() > deadline:
            raise RuntimeError("the probes stay")
        time.sleep(0.0005)


class RawLink(Attached):
    """One uprobe_multi link of an empty program on probe sites: what the kernel itself charges."""
    ready = "attached"
    signal = signal.SIGTERM

    def __init__(self, bench, pid, program, names):
        listed = [line.split() for line in run(sys.executable, INSPECT, program, "--list").splitlines()]
        sites = [f"{offset}:{semaphore}" for _, name, offset, semaphore, _ in listed if name in names]
        super().__init__(bench.program("tests/attach_site"), "--empty", pid, program, *sites)


class Bpftrace(Attached):
    """bpftrace doing `action` on the same probes. It raises semaphores in a section .probes only, and ours stand in one of their own beside a
    user's: a link on a probe of the same gate that is never hit raises them instead."""
    ready = "Attaching"
    never_hit = ("cancel_request",)

    def __init__(self, bench, pid, program, names, action):
        need_command("bpftrace")
        points = ",\n".join(f"usdt:{program}:loopwatch:{name}" for name in names)
        super().__init__(*pinned(OTHER_CPU, "bpftrace", "-p", pid, "-e", points + " { " + action + " }"))
        self._pid, self._gate = pid, RawLink(bench, pid, program, self.never_hit)

    def wait_ready(self):
        super().wait_ready()
        deadline = time.monotonic() + 20
        # "Attaching" is said before it is done: the sites tell.
        while "cc" not in run(sys.executable, INSPECT, f"/proc/{self._pid}/exe", "--live", self._pid):
            if time.monotonic() > deadline:
                raise Skip("bpftrace does not attach to these probes")
            time.sleep(0.01)
        time.sleep(0.2)  # the last of a few sites
        self._gate.__enter__()

    def __exit__(self, *error):
        self._gate.__exit__()
        super().__exit__(*error)


class Server:
    """order_server on one CPU, wrk on the other."""

    def __init__(self, bench):
        need_command("wrk")
        self._bench, self._folder = bench, tempfile.TemporaryDirectory(prefix="loopwatch-bench.")

    def __enter__(self):
        output = pathlib.Path(self._folder.name) / "server"
        with output.open("wb") as out:
            self.process = subprocess.Popen(pinned(TARGET_CPU, self._bench.program("order_server"), "--port", 0), stdout=out,
                                            stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.url = "http://" + wait_for_line(output, "listening on ", self.process).split()[-1]
        return self

    def __exit__(self, *_):
        end(self.process)
        self._folder.cleanup()

    @contextlib.contextmanager
    def loaded(self, path="/order", connections=16):
        """wrk beside it for as long as the block runs: connections that come and go would be half of what one measures."""
        wrk = subprocess.Popen(pinned(OTHER_CPU, "wrk", "-t1", f"-c{connections}", "-d3600s", self.url + path), stdout=subprocess.DEVNULL)
        try:
            self._slots = [slot for *_, slot in find_loops.loops(self.pid)]
            self.look(1)
            yield self
        finally:
            end(wrk)

    def _requests(self):
        """Each request is a task: counted by its loop, whoever watches or not."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            return sum(struct.unpack("<Q", os.pread(memory.fileno(), 8, slot + TASKS_CREATED))[0] for slot in self._slots)

    def look(self, seconds):
        """(requests a second, ns of the server's CPU a request) of the next `seconds`."""
        began, requests, running = time.monotonic(), self._requests(), running_ns(self.pid)
        time.sleep(seconds)
        requests, running, took = self._requests() - requests, running_ns(self.pid) - running, time.monotonic() - began
        if requests == 0:
            raise RuntimeError("the load has ended")
        return requests / took, running / requests
