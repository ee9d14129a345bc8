#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""demo_verdicts.py NDJSON HITS: holds what loopwatch reported of order_server against what was asked of it.

Each of HITS requests to a blocking endpoint must have one slow_callback that names its cause, its function and its line; requests to
anything else must have none. Prints a table; exit status 1 if something is wrong or missing.
"""
import collections
import json
import pathlib
import re
import sys

SERVER = pathlib.Path(__file__).resolve().parents[2] / "runtime_probes/examples/order_server"
# endpoint: kind, what the verdict says it was in, function, source file, the text of the line (all lines of the function: "")
EXPECTED = {
    "/fsync": ("file_io", "in fsync(", "shop::Store::flush", "store.cpp", "::fsync(file_)"),
    "/lock": ("lock", "in pthread_mutex_lock(", "shop::Catalog::fresh_price", "catalog.cpp", "lock_guard lock(mutex_)"),
    "/cpu": ("cpu", "on CPU, ", "parse_orders", "orders.cpp", ""),
    "/dns": ("dns", "in getaddrinfo", "shop::resolve_supplier", "suppliers.cpp", "= getaddrinfo("),
    "/sleep": ("sleep", "in nanosleep", "wait_for_courier", "endpoints.cpp", "this_thread::sleep_for("),
    "/log": ("pipe", "in write(", "shop::AccessLog::append", "access_log.cpp", "::write("),
}
# Whom the holder of the lock and the slow reader are.
WAKERS = {"/lock": "price-updater", "/log": "log-shipper"}
NOT_THE_CODES_DOING = {"run_queue", "cpu_throttle", "stopped"}


def lines_of(function, file, text):
    """The numbers of the function's lines that contain `text`. A definition ends at the first brace in column 1."""
    name = function.removeprefix("shop::")
    lines = (SERVER / file).read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if re.match(rf"\S.*\b{re.escape(name)}\(", line) and not line.endswith(";"))
    end = next(n for n in range(start, len(lines)) if lines[n] == "}")
    return {n + 1 for n in range(start, end + 1) if text in lines[n]}


def cause_of(finding):
    """The costliest source that is the code's doing: on a busy machine waiting for a CPU may cost more."""
    return next((s for s in finding["sources"] if s["kind"] not in NOT_THE_CODES_DOING), {"kind": "nothing", "waker": None})


def what_is_wrong(endpoint, finding):
    kind, doing, function, file, text = EXPECTED[endpoint]
    verdict, cause = finding["verdict"], cause_of(finding)
    if cause["kind"] != kind:
        yield f"its kind is {cause['kind']}, not {kind}"
    said = verdict.partition(doing)[2]
    place = re.search(r" at ([^\s:]+):(\d+)", said)
    if not said or function not in verdict:
        yield f"does not say '{doing}' and '{function}'"
    elif not place or place[1] != file or int(place[2]) not in lines_of(function, file, text):
        yield f"names {place[0].strip() if place else 'no line'}, not {file}:{sorted(lines_of(function, file, text))}"
    waker = (cause["waker"] or {}).get("comm", "")
    if waker != WAKERS.get(endpoint, waker):
        yield f"says it was woken by '{waker}', not {WAKERS[endpoint]}"


def judge(endpoint, findings, hits):
    """One row: what is wrong with the findings of this endpoint, and one of its verdicts."""
    wrong = [what for finding in findings for what in what_is_wrong(endpoint, finding)]
    if len(findings) != hits:
        wrong.append(f"{len(findings)} findings for {hits} requests")
    return list(dict.fromkeys(wrong)), findings[0]["verdict"] if findings else "nothing was found"


def main(path, hits):
    records = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    found, blameless, stray = collections.defaultdict(list), [], []
    for record in records:
        if record["type"] not in ("slow_callback", "blocking_call"):
            continue
        endpoint = ((record["task"] or {}).get("name") or "").removeprefix("GET ")
        sources = record.get("sources") or [record]
        if endpoint in EXPECTED:
            if record["type"] == "slow_callback":
                found[endpoint].append(record)
        elif sources[0]["kind"] in NOT_THE_CODES_DOING:
            blameless.append(record)
        else:
            stray.append(record)
    failed = False
    for endpoint in EXPECTED:
        wrong, verdict = judge(endpoint, found[endpoint], hits)
        failed = failed or bool(wrong)
        print(f"{'WRONG' if wrong else 'ok':5}  {endpoint:10}  {verdict}")
        for what in wrong:
            print(f"{'':19}{what}")
    for endpoint in ["/order"] + ["/ok" + endpoint for endpoint in EXPECTED]:
        of_it = [r for r in stray if (r["task"] or {}).get("name") == "GET " + endpoint]
        print(f"{'WRONG' if of_it else 'ok':5}  {endpoint:10}  {of_it[0]['verdict'] if of_it else 'nothing, as it should be'}")
    for record in stray:
        failed = True
        print(f"WRONG  nobody was asked to block: {record['verdict']}")
    for record in blameless:
        print(f"note   the machine's doing: {record['verdict']}")
    end = records[-1]
    print(f"\n{len(records)} records, {hits} requests to each blocking endpoint, {end.get('dispatches')} dispatches watched, "
          f"{sum(end.get('lost', {'': 0}).values())} lost")
    return 1 if failed or end["type"] != "session_end" else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
