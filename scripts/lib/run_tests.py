#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a build folder and keeps the score, for scripts/test (whose usage text describes the options).

A test script says in its first lines how it runs:
    # Runs beside others: it only compiles and compares text.
    # Runs alone: it judges durations.
Those beside others begin with the longest: "Runs beside others, 40 s:" says how long one takes, for folders that do not know yet.
Exit status: 0 all passed or skipped · 1 one failed · 2 usage.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROUPS = ("contract", "privileged", "truth")
# A test that hangs must not take the others with it. The longest one takes about two minutes on two cores.
SECONDS_LIMIT = int(os.environ.get("LOOPWATCH_TEST_SECONDS", "600"))
NOTHING_TO_DO = 10  # of --check: there is nothing to build for
DECLARATION = re.compile(r"^# Runs (alone|beside others)(?:, (\d+) s)?: ([^.\n]+)", re.M)
CHECKS = re.compile(r"^(\d+) checks held, (\d+) failed, (\d+) skipped$", re.M)
CTEST = re.compile(r"^\d+% tests passed, (\d+) tests failed out of (\d+)$", re.M)
CTEST_SKIPPED = re.compile(r"^\s+\d+ - .* \(Skipped\)$", re.M)
FAILED = re.compile(r"^FAIL +(.*)\n((?: {8,}.*\n){0,12})", re.M)  # and what the check saw


class Test:
    def __init__(self, name, command, alone, why, seconds=5.0):
        self.name, self.command, self.alone, self.why, self.seconds = name, command, alone, why, seconds


class Result:
    def __init__(self, verdict, seconds, checks, log):
        self.verdict, self.seconds, self.checks, self.log = verdict, seconds, checks, log

    failed = property(lambda self: self.verdict.startswith("FAIL"))

    def sentences(self, verdict):
        """The checks that held ("ok") or did not ("FAIL"), without the figures that differ from run to run."""
        return {re.sub(r"\d+", "#", s) for s in re.findall(rf"^{verdict} +(.*)$", self.log.read_text(errors="replace"), re.M)}


def all_tests(build):
    """In the order in which they run: what runs beside others first."""
    ctest = ["ctest", "--test-dir", str(build), "--output-on-failure", "--no-tests=error"]
    yield Test("house/rules", [str(ROOT / "scripts/check")], False, "it reads files", 13.0)
    yield Test("house/self-test", [str(ROOT / "scripts/check"), "--self-test"], False, "it reads files")
    yield Test("unit/ctest", [*ctest, "-LE", "timed", "--parallel", str(os.cpu_count())], False, "what judges time is in unit/timed")
    yield Test("unit/timed", [*ctest, "-L", "timed"], True, "the runtime's tests judge durations")
    for group in GROUPS:
        for script in sorted((ROOT / "tests" / group).glob("*.sh")):
            if os.access(script, os.X_OK):
                declared = DECLARATION.search(script.read_text())  # scripts/check holds each script to have one
                alone, seconds, why = (declared[1] == "alone", declared[2], declared[3]) if declared else (True, None, "undeclared")
                yield Test(f"{group}/{script.stem}", [str(script), str(build)], alone, why, float(seconds or 5))


class Runner:
    """Runs tests, prints a line each, and keeps what it learned in BUILD/test-results.json."""

    def __init__(self, build):
        self.logs, self.file = build / "test-logs", build / "test-results.json"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.known = self._read()
        self.rows, self.failures, self.flaky, self.running = [], [], 0, set()
        self.lock = threading.Lock()

    def _read(self):
        try:
            known = json.loads(self.file.read_text())
            return {name: row for name, row in known.items() if isinstance(row["seconds"], (int, float)) and isinstance(row["verdict"], str)}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def once(self, test, log):
        """One run of it: what came of it."""
        log = self.logs / f"{log.replace('/', '_')}.log"
        began = time.monotonic()
        with open(log, "wb") as output:
            process = subprocess.Popen(["timeout", "--kill-after=20", str(SECONDS_LIMIT), *test.command], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, cwd=ROOT)
            self.running.add(process)
            status = process.wait()
            self.running.discard(process)
        text = log.read_text(errors="replace")
        cases = sum(int(n) for _, n in CTEST.findall(text)) - len(CTEST_SKIPPED.findall(text))
        checks = sum(int(held) + int(failed) for held, failed, _ in CHECKS.findall(text)) or cases or 1
        return Result(verdict_of(status, text), time.monotonic() - began, checks, log)

    def run(self, test):
        """What it holds against the truth happens on a machine that others share: one of 500 context switches is not seen by any tracer of a
        VM, and some are of the moment that counts. So a failed script runs once more, and if it passes then, that is counted as flaky and its
        first log is kept: a check that fails by itself fails twice. One of 60 checks fails at some time more often than the same one twice:
        the two runs pass together if each check held in one of them."""
        result = self.once(test, test.name)
        if result.failed:
            self.show_failure(test.name, result)
            if test.name.split("/")[0] in GROUPS:
                first = result
                first.log = first.log.rename(first.log.with_suffix(".first.log"))
                result = self.once(test, test.name)
                result.seconds += first.seconds
                if result.failed:
                    self.show_failure(test.name, result)
                    if held_once_each(first, result):
                        result.verdict = "pass"
                if result.verdict == "pass":
                    result.verdict, self.flaky = "pass, run again (flaky)", self.flaky + 1
                    self.failures += failures_in(test.name, first, "flaky")
                self.failures += failures_in(test.name, result, "FAIL" if result.failed else "flaky")
            else:
                self.failures += failures_in(test.name, result, "FAIL")
        self.keep(test.name, result)

    def show_failure(self, name, result):
        with self.lock:
            print(f"--- {name}\n{result.log.read_text(errors='replace')}---", flush=True)

    def keep(self, name, result):
        with self.lock:
            self.rows.append((name, result))
            self.known[name] = {"verdict": result.verdict, "seconds": round(result.seconds, 1)}
            new = self.file.with_suffix(".new")
            new.write_text(json.dumps(self.known, indent=1))
            new.rename(self.file)
            print(f"{name:36} {result.seconds:8.1f} s  {result.verdict}", flush=True)

    def run_all(self, tests):
        beside = sorted((t for t in tests if not t.alone), key=lambda t: -self.known.get(t.name, {"seconds": t.seconds})["seconds"])
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self.run, beside))
        for test in (t for t in tests if t.alone):
            self.run(test)

    def stop(self):
        for process in list(self.running):
            process.terminate()  # timeout passes it on


def reason_of(text):
    """Why ctest skipped cases: the last line of one of them, which --output-on-failure shows."""
    reasons = re.findall(r"^skipped: *(.*)$", text, re.M)
    return reasons[-1] if reasons else "their output has the reason"


def verdict_of(status, text):
    if status == 0:
        skipped = len(CTEST_SKIPPED.findall(text))
        return f"pass, {skipped} cases skipped ({reason_of(text)})" if skipped else "pass"
    if status == 77:
        return f"skipped ({re.sub('^skipped: *', '', (text.splitlines() or [''])[-1])})"
    return f"FAIL (not done after {SECONDS_LIMIT} s)" if status in (124, 137) else f"FAIL (status {status})"


def held_once_each(first, second):
    """Both came to their end, and no check failed that did not hold in the other."""
    runs = (first, second)
    return all(CHECKS.search(run.log.read_text(errors="replace")) and run.sentences("FAIL") for run in runs) and all(
        run.sentences("FAIL") <= other.sentences("ok") for run, other in (runs, runs[::-1]))


def failures_in(name, result, verdict):
    found = FAILED.findall(result.log.read_text(errors="replace"))
    return [f"{verdict:5} {name}: {sentence}\n{seen}" for sentence, seen in found] or ([f"{verdict:5} {name}: {result.verdict}\n"] if verdict == "FAIL" else [])


def summary(runner, seconds):
    print(f"\n{'test':36} {'seconds':>9}   result")
    for name, result in sorted(runner.rows, key=lambda row: row[0]):
        print(f"{name:36} {result.seconds:9.1f}   {result.verdict}")
    if runner.failures:
        print("\nwhat failed, and flaky: what failed once:\n" + "".join(runner.failures), end="")
    print("\nthe slowest: " + ", ".join(f"{name} {result.seconds:.0f} s" for name, result in sorted(runner.rows, key=lambda row: -row[1].seconds)[:10]))
    verdicts = [result.verdict for _, result in runner.rows]
    print(f"\n{len(verdicts)} tests with {sum(result.checks for _, result in runner.rows)} checks in {seconds:.0f} s, "
          f"{sum(v.startswith('FAIL') for v in verdicts)} failed, {sum(v.startswith('skipped') for v in verdicts)} skipped, {runner.flaky} flaky")
    return 1 if any(v.startswith("FAIL") for v in verdicts) else 0


def repeat(runner, test, times):
    """One test many times: the distribution of what failed and how long it took. No second chance."""
    results, sentences = [], {}
    for run in range(1, times + 1):
        result = runner.once(test, f"{test.name}.run-{run}")
        results.append(result)
        print(f"{test.name} {run}/{times} {result.seconds:8.1f} s  {result.verdict}", flush=True)
        for sentence in re.findall(r"^FAIL +(.*)$", result.log.read_text(errors="replace"), re.M) if result.failed else ():
            sentences[sentence] = sentences.get(sentence, 0) + 1
        if not result.failed:
            result.log.unlink()
    took, failed = sorted(r.seconds for r in results), sum(r.failed for r in results)
    print(f"\n{test.name}: {failed} of {times} runs failed; {took[0]:.1f} s at least, {statistics.median(took):.1f} s in the middle, {took[-1]:.1f} s at most")
    for sentence, count in sorted(sentences.items(), key=lambda item: -item[1]):
        print(f"{count:5} × {sentence}")
    if failed:
        print(f"the logs of failed runs: {runner.logs}/{test.name.replace('/', '_')}.run-*.log")
    return 1 if failed else 0


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/test", usage=argparse.SUPPRESS)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--only")
    parser.add_argument("--repeat", nargs=2, metavar=("N", "TEST"))
    for flag in ("--failed", "--list", "--check"):
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def selected(options, tests, known):
    """The tests that are to run. Exits with one line if there are none."""
    if sum(map(bool, (options.only, options.failed, options.repeat))) > 1:
        sys.exit(usage_error("--only, --failed and --repeat exclude each other"))
    if options.repeat:
        count, name = options.repeat
        if not re.fullmatch(r"[1-9]\d{0,5}", count):
            sys.exit(usage_error(f"--repeat needs a number of runs, not '{count}'"))
        tests = [t for t in tests if t.name == name]
        return tests or sys.exit(usage_error(f"no test is called '{name}'", "scripts/test --list"))
    if options.failed:
        tests = [t for t in tests if known.get(t.name, {"verdict": ""})["verdict"].startswith("FAIL")]
        if not tests:
            print("scripts/test: no test failed when it last ran", file=sys.stderr)
            sys.exit(NOTHING_TO_DO if options.check else 0)
        return tests
    try:
        tests = [t for t in tests if not options.only or re.search(options.only, t.name)]
    except re.error as error:
        sys.exit(usage_error(f"--only: '{options.only}' is no regular expression: {error}"))
    return tests or sys.exit(usage_error(f"no test matches '{options.only}'", "scripts/test --list"))


def usage_error(what, hint=None):
    print(f"scripts/test: {what}" + (f"\nhint: {hint}" if hint else ""), file=sys.stderr)
    return 2


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    runner = Runner(options.build)
    tests = selected(options, list(all_tests(options.build)), runner.known)
    if options.check:
        return 0
    if options.list:
        for test in tests:
            took = runner.known.get(test.name)
            print(f"{test.name:30} {'alone' if test.alone else 'beside others':13} {took['seconds'] if took else '-':>7} s  {test.why}")
        return 0
    began = time.monotonic()
    try:
        if options.repeat:
            return repeat(runner, tests[0], int(options.repeat[0]))
        runner.run_all(tests)
    except KeyboardInterrupt:
        runner.stop()
        print("scripts/test: interrupted", file=sys.stderr)
        os._exit(130)  # without waiting for what a worker thread waits for
    return summary(runner, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
