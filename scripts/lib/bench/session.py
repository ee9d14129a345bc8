# SPDX-License-Identifier: Apache-2.0
"""Who is attached while something is measured: loopwatch, bpftrace, a raw link; and the server with its load."""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from .measure import OTHER_CPU, TARGET_CPU, Skip, end, pinned, run, running_ns, wait_for_line

ROOT = pathlib.Path(__file__).resolve().parents[3]
INSPECT = ROOT / "tests/contract/probes/inspect_sites.py"
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


class RawLink(Attached):
    """One uprobe_multi link of an empty program on probe sites: what the kernel itself charges."""
    ready = "attached"
    signal = signal.SIGTERM

    def __init__(self, bench, pid, program, names):
        listed = [line.split() for line in run(sys.executable, INSPECT, program, "--list").splitlines()]
        sites = [f"{offset}:{semaphore}" for _, name, offset, semaphore, _ in listed if name in names]
        super().__init__(bench.program("tests/attach_site"), "--empty", pid, program, *sites)


class Bpftrace(Attached):
    """bpftrace counting the same probes. It raises semaphores in a section .probes only, and ours stand in one of their own beside a
    user's: a link on a probe of the same gate that is never hit raises them instead."""
    ready = "Attaching"
    never_hit = ("cancel_request",)

    def __init__(self, bench, pid, program, names):
        need_command("bpftrace")
        points = ",\n".join(f"usdt:{program}:loopwatch:{name}" for name in names)
        super().__init__(*pinned(OTHER_CPU, "bpftrace", "-p", pid, "-e", points + " { @ = count(); }"))
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

    def load(self, seconds, path="/order", connections=16):
        """(requests a second, ns of the server's CPU a request)"""
        before = running_ns(self.pid)
        report = run(*pinned(OTHER_CPU, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", self.url + path))
        if "Non-2xx" in report:
            raise RuntimeError(report)
        requests = int(re.search(r"(\d+) requests in", report)[1])
        return float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1]), (running_ns(self.pid) - before) / requests
