# SPDX-License-Identifier: Apache-2.0
"""Holds what loopwatch reported against what a fixture says it did. Standard library only.

judge.py case KIND --truth OUTPUT --report NDJSON --count N [--unstripped DIR] [--rows FILE]
    Every stall the fixture committed was reported once, nothing else was, and each report is right. Prints what is not, appends
    the score to FILE. Exit status: 0 all right, 1 not.
judge.py clean --truth OUTPUT --report NDJSON --dispatches N [--rows FILE]
    A healthy program: no finding but the one stall it provoked, and none of a CPU that the machine did not have, in a session that
    has counted at least N dispatches.
judge.py table ROWS JSON
    Prints the scores as a table and writes them to JSON.
"""
import argparse
import json
import os
import subprocess
import sys

# What a report must say of each kind of tests/fixtures/stall. `calls` is how many blocking_call records belong to the dispatch
# (None: depends on the disk). `woken_by` and `waker` only where there is one right answer.
EXPECTED = {
    "sleep": {"kind": "sleep", "call": "usleep", "calls": 1, "woken_by": "timer"},
    "page_edge": {"kind": "sleep", "call": "clock_nanosleep", "calls": 1, "woken_by": "timer"},
    "many_small_sleeps": {"kind": "sleep", "call": "usleep", "calls": 0, "spare": 1},
    "two_callers": {"kind": "sleep", "call": "usleep", "calls": 2, "woken_by": "timer", "also_in": "sleep_shorter"},
    "fsync": {"kind": "file_io", "call": "fsync", "calls": None, "first": False},
    "lock": {"kind": "lock", "call": "pthread_mutex_lock", "calls": 1, "woken_by": "thread", "waker": "holder"},
    "cpu": {"kind": "cpu", "call": "", "calls": 0},
    "two_burns": {"kind": "cpu", "call": "", "calls": 0},
    "pipe": {"kind": "pipe", "call": "write", "calls": 1, "woken_by": "thread", "waker": "holder"},
    "read_pipe": {"kind": "pipe", "call": "read", "calls": 1, "woken_by": "thread", "waker": "holder"},
    "network": {"kind": "network", "call": "recv", "calls": 1},
    "dns": {"kind": "dns", "call": "getaddrinfo", "calls": 1},
    "process": {"kind": "process", "call": "waitpid", "calls": 1},
    "system": {"kind": "process", "call": "system", "calls": 1, "spare": 1},
    "nested_wait": {"kind": "nested_wait", "call": "poll", "calls": 1, "woken_by": "thread", "waker": "holder"},
    "file_lock": {"kind": "file_lock", "call": "flock", "calls": 1, "woken_by": "thread", "waker": "holder"},
    "page_fault": {"kind": "page_fault", "call": "", "calls": None, "first": False},
    # Programs that are not ours; their functions are in the stack, lines need not be.
    "redis_sleep": {"kind": "sleep", "call": "nanosleep", "calls": 1, "woken_by": "timer", "foreign": True},
    "redis_script": {"kind": "cpu", "call": "", "calls": 0, "foreign": True},
    "python_sleep": {"kind": "sleep", "call": "clock_nanosleep", "calls": 1, "woken_by": "timer", "foreign": True},
    "python_burn": {"kind": "cpu", "call": "", "calls": 0, "foreign": True},
    "python_run": {"kind": "nested_wait", "call": "poll", "calls": None, "foreign": True},
    "python_wait": {"kind": "process", "call": "waitpid", "calls": None, "foreign": True},
    "python_lock": {"kind": "lock", "call": None, "calls": None, "foreign": True},
    "node_burn": {"kind": "cpu", "call": "", "calls": 0, "foreign": True},
    "node_exec": {"kind": "nested_wait", "call": "epoll_pwait", "calls": None, "foreign": True},
    "node_atomics": {"kind": "lock", "call": "pthread_cond_timedwait", "calls": 1, "foreign": True},
    "nginx_open": {"kind": "file_io", "call": None, "calls": None, "foreign": True},
    "memcached_send": {"kind": "network", "call": None, "calls": None, "foreign": True},
    "mixed": {"kind": "cpu", "call": "", "calls": 1, "also": ("sleep", "usleep")},
}
NOT_THE_CODES_DOING = {"run_queue", "cpu_throttle", "stopped"}
FINDINGS = ("slow_callback", "blocking_call", "stall", "task_destroyed_pending", "coroutine_never_awaited",
            "exception_unretrieved", "task_cancelled", "thread_violation", "resource_leak", "slow_poll", "deadlock")


def read_report(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_truth(path):
    """The fixture's lines: stall KIND task=NAME START END [until=NS] [ran=NS] function=F loop=L tid=T. Its dispatch has ended by
    `until`; `ran` is what it had of a CPU."""
    stalls = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if words[:1] != ["stall"]:
                continue
            named = dict(word.split("=", 1) for word in words if "=" in word)
            stalls.append({"kind": words[1], "task": named["task"], "start": int(words[3]), "end": int(words[4]),
                           "until": int(named.get("until", words[4])),
                           "ran": int(named["ran"]) if "ran" in named else None,
                           "function": named["function"], "loop": named["loop"], "tid": int(named["tid"])})
    return stalls


def tolerance(duration, foreign=False):
    """What others did is measured by their clients, over loopback."""
    return max(duration // 100, 2_000_000 if foreign else 500_000)


def match(truth, slow):
    """Each truth with the reports that cover its middle on its thread, and the reports that belong to none."""
    rest = list(slow)
    pairs = []
    for stall in truth:
        middle = (stall["start"] + stall["end"]) // 2
        mine = [s for s in rest if s["ns_tid"] == stall["tid"] and s["mono_ns"] - s["duration_ns"] <= middle <= s["mono_ns"]]
        rest = [s for s in rest if s not in mine]
        pairs.append((stall, mine))
    return pairs, rest


class Symbols:
    """Names of frames that loopwatch could not name, as `addr2line -e module` does it, from the unstripped twin of the module."""

    def __init__(self, directory):
        self.directory = directory
        self.known = {}

    def function(self, frame):
        if frame.get("function") or not self.directory or not frame.get("module"):
            return frame.get("function") or ""
        twin = os.path.join(self.directory, os.path.basename(frame["module"]))
        key = (twin, frame["offset"])
        if key not in self.known and os.path.exists(twin):
            answer = subprocess.run(["addr2line", "-Cfie", twin, frame["offset"]], capture_output=True, text=True, check=True)
            self.known[key] = answer.stdout.replace("\n", " ")
        return self.known.get(key, "")


class UnknownWakers:
    """A virtual machine's kernel may show a waking to no tracer at all. "unknown" is true then, a wrong waker never is: one in ten, begun
    ones too, may be unknown."""

    def __init__(self, stalls):
        self.left = (stalls + 9) // 10

    def take(self):
        self.left -= 1
        return self.left >= 0


def wrong_in(stall, report, calls, symbols, unknown_wakers, tier, coroutine, unpolled):
    """What a report says otherwise than it was. It may be too long by `unpolled`."""
    expected = EXPECTED[stall["kind"]]
    wrong = []

    def want(holds, what):
        if not holds:
            wrong.append(what)

    lasted = stall["end"] - stall["start"]
    # The fixture's clock stops just before the dispatch does; a thread preempted between the two really held its loop for longer, and
    # so did a machine that stood still (1.2 ms in 1 of 460).
    queued = report["breakdown"]["runq_ns"] + stall["until"] - stall["end"]
    within = tolerance(lasted, expected.get("foreign"))
    others = 2_000_000 if tier == 0 else 0  # what waited meanwhile is served in the same iteration
    if stall["kind"].startswith(("nginx", "memcached")):
        others = 10_000_000  # the client has its answer before the injector has let go of the rest of the iteration
    # A client is told late when it has no CPU.
    shorter = 10_000_000 if stall["kind"].startswith(("redis", "nginx", "memcached")) else within
    want(-shorter <= report["duration_ns"] - lasted <= within + queued + others + unpolled, f"lasted {lasted} ns, not {report['duration_ns']}")
    late = 1_000_000 + others
    want(-max(late, shorter) <= report["mono_ns"] - stall["end"] <= late + queued, f"ended at {stall['end']}, not {report['mono_ns']}")
    want(sum(report["breakdown"].values()) == report["duration_ns"],
         f"breakdown {report['breakdown']} does not sum to {report['duration_ns']}")
    if coroutine:
        task = report["task"] or {}
        want(task.get("name", "").endswith(coroutine), f"task is {coroutine}, not {task.get('name')}")
        want(report["scope"] == "dispatch" and report["origin"] == "uprobe", "scope or origin")
    elif tier == 0:
        want(report["task"] is None and report["scope"] == "iteration" and report["origin"] == "sched", "task, scope or origin")
    else:
        task = report["task"] or {}
        want(task.get("name") == stall["task"], f"task is {stall['task']}, not {task.get('name')}")
        want(report["scope"] == "dispatch" and report["origin"] == "usdt", "scope or origin")
    want(report["loop"]["name"] == stall["loop"], f"loop is {stall['loop']}, not {report['loop']['name']}")
    want(report["occurrence"] >= 1, "occurrence")

    sources = [s for s in report["sources"] if s["kind"] not in NOT_THE_CODES_DOING]
    if not expected.get("first", True):  # how long the disk took is not ours to say
        sources.sort(key=lambda s: s["kind"] != expected["kind"])
    if "also" in expected:
        want(any((s["kind"], s["call"]) == expected["also"] for s in sources), f"no source {expected['also']}")
    if "also_in" in expected:
        want(any(expected["also_in"] in symbols.function(frame) for s in sources for frame in s["stack"]), f"{expected['also_in']} is in no stack")
    if not sources:
        return wrong + ["no source"]
    cause = sources[0]
    want(cause["kind"] == expected["kind"], f"kind is {expected['kind']}, not {cause['kind']} ({cause['call']})")
    calls_known = (cause["call"],) if expected["call"] is None else expected["call"] if isinstance(expected["call"], tuple) else (expected["call"],)
    want(cause["call"] in calls_known, f"call is {calls_known}, not {cause['call']}")
    # One that was to burn, and waited for a CPU most of the time, did wait for a CPU; of the rest there may be no sample.
    ran = stall["ran"] if stall["ran"] is not None else lasted - report["breakdown"]["runq_ns"]
    starved = expected["kind"] == "cpu" and ran < lasted // 2
    in_stack = (starved and not cause["stack"]) or any(stall["function"] in symbols.function(frame) for frame in cause["stack"])
    want(in_stack, f"{stall['function']} is not in the stack {[f.get('function') or f.get('offset') for f in cause['stack']]}")
    if cause["stack"] and not symbols.directory and not expected.get("foreign"):
        frames = [f for f in cause["stack"] if stall["function"] in (f.get("function") or "")]
        want(any(f.get("file", "").endswith(".cpp") and f.get("line", 0) > 0 for f in frames), "no file and line")
        want(stall["function"] in report["verdict"] or starved or not expected.get("first", True), f"verdict does not name {stall['function']}: {report['verdict']}")
    if "woken_by" in expected and not (cause["woken_by"] == "unknown" and unknown_wakers.take()):
        want(cause["woken_by"] == expected["woken_by"], f"woken by {expected['woken_by']}, not {cause['woken_by']}")
        waker = (cause["waker"] or {}).get("comm")
        want(waker == expected.get("waker"), f"waker is {expected.get('waker')}, not {waker}")
        if waker == "holder" and not symbols.directory:
            did = [f.get("function") or "" for f in cause["waker"]["stack"]]
            # Draining a pipe takes a buffer that is larger than what is copied of a stack.
            want(any("HelperThread::serve" in f or "drain(" in f for f in did), f"the waker's stack is {did}")

    if expected["calls"] is not None:
        # A nap of 2 ms or a clone may really last 5 ms on a crowded machine.
        want(expected["calls"] <= len(calls) <= expected["calls"] + expected.get("spare", 0), f"{len(calls)} blocking calls, not {expected['calls']}: {[c['call'] for c in calls]}")
    return wrong


def lateness(truth, report):
    """Of the stalls told while they went on: how long after the threshold the first word of each came, and how many there were. Shown, not
    judged: it depends on the machine."""
    threshold = report[0]["threshold_ns"]
    late = []
    for stall in truth:
        told = [r["mono_ns"] for r in report if r["type"] == "stall" and r["ns_tid"] == stall["tid"] and stall["start"] <= r["mono_ns"] <= stall["end"]]
        if told:
            late.append(min(told) - stall["start"] - threshold)
    return {"stalls_told": len(late), "stall_late_ns": sorted(late)[len(late) // 2] if late else None}


def forgive(lost, tier):
    """What was lost without harm: that a split is partly a guess (durations are held all the same), and the shortest place of an iteration,
    which holds what many callbacks did."""
    lost.pop("switch_unseen", None)
    if tier == 0:
        lost.pop("sources_overflow", None)
    # A CPU sample that hits the very fault which copies the page of the stack after a fork cannot read it: 20 of 920 stalls that fork had
    # one, 3 of 23 now and then. The finding has the others.
    if lost.get("stack_unreadable", 0) <= 5:
        lost.pop("stack_unreadable", None)


def judge_case(arguments):
    report, truth = read_report(arguments.report), read_truth(arguments.truth)
    slow = [r for r in report if r["type"] == "slow_callback"]
    symbols = Symbols(arguments.unstripped)
    pairs, extra = match(truth, slow)
    problems, right, worst = [], 0, 0
    unknown_wakers = UnknownWakers(len(truth))
    forgive(report[-1]["lost"], arguments.tier)
    if EXPECTED[arguments.kind].get("foreign"):
        # An injector stops a server in each of its system calls, and memcached keeps more on its stack than is copied.
        for name in ("sources_overflow", "stack_truncated"):
            report[-1]["lost"].pop(name, None)
    if arguments.kind == "dns":
        # Behind a build, whose files are still on their way to the disk, one lookup of 23 blocked in a fifth place for a moment.
        report[-1]["lost"].pop("sources_overflow", None)
    if len(truth) != arguments.count:
        problems.append(f"the fixture committed {len(truth)} stalls, not {arguments.count}")
    for index, (stall, reports) in enumerate(pairs):
        if len(reports) != 1:
            problems.append(f"{stall['task']}: reported {len(reports)} times")
            continue
        calls = [r for r in report if r["type"] == "blocking_call" and r["tid"] == reports[0]["tid"]
                 and r["dispatch_seq"] == reports[0]["dispatch_seq"]]
        worst = max(worst, abs(reports[0]["duration_ns"] - (stall["end"] - stall["start"])))
        # A server that is busy at first polls without sleeping: its first iteration may be told a fifth of the threshold too long (README).
        unpolled = report[0]["threshold_ns"] // 5 if index == 0 and EXPECTED[arguments.kind].get("foreign") else 0
        wrong = wrong_in(stall, reports[0], calls, symbols, unknown_wakers, arguments.tier, arguments.coroutine, unpolled)
        problems += [f"{stall['task']}: {what}" for what in wrong]
        right += not wrong
    problems += [f"reported, but it was not committed: {r['verdict']}" for r in extra]
    problems += [f"lost {name}: {count}" for name, count in report[-1]["lost"].items() if count]
    found = sum(len(reports) == 1 for _, reports in pairs)
    return finish(arguments, problems, {"case": arguments.name or arguments.kind, "provoked": len(truth), "found": found,
                                        "reported": len(slow), "right": right, "worst_error_ns": worst,
                                        **lateness(truth, report)})


def told(finding):
    said = {key: finding.get(key) for key in ("type", "tid", "duration_ns", "woken_by", "breakdown", "verdict") if key in finding}
    waker = {key: value for key, value in (finding.get("waker") or {}).items() if key != "stack"}
    return json.dumps(said | {"waker": waker})


def starved(finding):
    """The machine had no CPU for the loop for most of the time: true of a healthy program, too (140 ms were seen on 2 CPUs beside a copy of files)."""
    return finding["type"] in ("slow_callback", "stall") and 2 * finding["breakdown"]["runq_ns"] > finding["duration_ns"]


def judge_clean(arguments):
    report, truth = read_report(arguments.report), read_truth(arguments.truth)
    findings = [r for r in report if r["type"] in FINDINGS and not starved(r)]
    slow = [r for r in findings if r["type"] == "slow_callback"]
    end = report[-1]
    forgive(end["lost"], arguments.tier)
    problems = []
    if end["type"] != "session_end":
        problems.append("no session_end")
    counted, timed = end["dispatches"], sum(end["dispatch_ns"]["buckets"].values())
    if min(counted, timed) < arguments.dispatches:
        problems.append(f"counted {counted} dispatches and timed {timed}, not {arguments.dispatches}")
    pairs, extra = match(truth, slow)
    found = sum(len(reports) == 1 for _, reports in pairs)
    if len(truth) != 1 or found != 1:
        problems.append(f"{len(truth)} stalls provoked, {found} of them reported")
    problems += [f"a finding about a healthy program: {told(r)}" for r in extra]
    allowed = {(r["tid"], r["dispatch_seq"]) for _, reports in pairs for r in reports}
    problems += [f"a finding about a healthy program: {told(r)}" for r in findings
                 if r["type"] != "slow_callback" and (r["tid"], r.get("dispatch_seq")) not in allowed]
    problems += [f"lost {name}: {count}" for name, count in end["lost"].items() if count]
    return finish(arguments, problems, {"case": arguments.name or "clean", "provoked": len(truth), "found": found, "reported": len(slow),
                                        "right": found if not problems else 0, "dispatches": counted})


def finish(arguments, problems, row):
    row["recall"] = row["found"] / row["provoked"] if row["provoked"] else 0
    row["precision"] = row["found"] / row["reported"] if row["reported"] else 0
    if arguments.rows:
        with open(arguments.rows, "a", encoding="utf-8") as rows:
            rows.write(json.dumps(row) + "\n")
    for problem in problems[:20]:
        print(problem)
    if len(problems) > 20:
        print(f"… and {len(problems) - 20} more")
    return 1 if problems else 0


def table(arguments):
    with open(arguments.rows, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    print(f"{'case':<20} {'provoked':>8} {'found':>6} {'reported':>8} {'right':>6} {'recall':>7} {'precision':>9} {'worst error':>12} {'stalls':>6} {'late by':>9}")
    for row in rows:
        error = f"{row['worst_error_ns'] / 1e6:.3f} ms" if "worst_error_ns" in row else ""
        late = row.get("stall_late_ns")
        late = "" if late is None else f"{late / 1e6:.1f} ms"
        print(f"{row['case']:<20} {row['provoked']:>8} {row['found']:>6} {row['reported']:>8} {row['right']:>6} "
              f"{row['recall']:>7.3f} {row['precision']:>9.3f} {error:>12} {row.get('stalls_told', ''):>6} {late:>9}")
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump({"cases": rows}, file, indent=1)
    return 0


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for name, action in (("case", judge_case), ("clean", judge_clean)):
        command = commands.add_parser(name)
        command.set_defaults(action=action)
        if name == "case":
            command.add_argument("kind", choices=EXPECTED)
            command.add_argument("--count", type=int, required=True)
            command.add_argument("--unstripped")
            command.add_argument("--coroutine", help="whose resumes they are, of a program without probes")
        else:
            command.add_argument("--dispatches", type=int, required=True)
        command.add_argument("--tier", type=int, default=3)
        command.add_argument("--name")
        command.add_argument("--truth", required=True)
        command.add_argument("--report", required=True)
        command.add_argument("--rows")
    command = commands.add_parser("table")
    command.set_defaults(action=table)
    command.add_argument("rows")
    command.add_argument("json")
    arguments = parser.parse_args()
    sys.exit(arguments.action(arguments))


if __name__ == "__main__":
    main()
