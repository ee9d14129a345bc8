# SPDX-License-Identifier: Apache-2.0
"""What the kernel side of a session keeps, in maps keyed by pid or tid, and in the counters of its filters.

kept_state.py SESSION_PID [PID…]: one JSON object. "loops", "asked", "targets" and "thrown_objects": how many entries are of
other processes than PID…. "counters": the sums of the filters' counters, of all processes. "descriptors", "mappings" (two a thread
that were not joined), "rss_kib": of the session.
"""
import json
import os
import re
import subprocess
import sys


def map_ids(pid):
    ids = set()
    for entry in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{entry}", encoding="utf-8") as file:
                ids.update(re.findall(r"^map_id:\s*(\d+)", file.read(), re.M))
        except OSError:
            continue
    return ids


def bpftool(*arguments):
    return json.loads(subprocess.run(["bpftool", "-j", *arguments], capture_output=True, check=True, text=True).stdout)


def entries(map_id):
    return [entry["formatted"] for entry in bpftool("map", "dump", "id", map_id)]


def main():
    session, spared = int(sys.argv[1]), {int(pid) for pid in sys.argv[2:]}
    maps = {bpftool("map", "show", "id", one)["name"]: one for one in map_ids(session)}
    of_others = lambda name, pid: sum(pid(entry) not in spared for entry in entries(maps[name]))
    kept = {
        "loops": of_others("loops", lambda entry: entry["value"]["pid"]),
        "asked": of_others("asked", lambda entry: entry["value"]["pid"]),
        "targets": of_others("targets", lambda entry: entry["key"]),
        "thrown_objects": of_others("thrown_objects", lambda entry: entry["key"]["pid"]),
    }
    shared = {}
    for variables in entries(next(one for name, one in maps.items() if name.endswith(".bss"))):
        for variable in variables["value"][".bss"]:
            shared.update(variable)
    total = lambda value: sum(value) if isinstance(value, list) else value
    kept["counters"] = {name: total(shared[name])
                        for name in ("crowd", "crowd_blocked", "loops_by_pid", "loops_entered", "unprobed_pids",
                                     "stacks_taken", "stacks_taken_by_pid")}
    kept["descriptors"] = len(os.listdir(f"/proc/{session}/fd"))
    with open(f"/proc/{session}/maps", encoding="utf-8") as file:
        kept["mappings"] = len(file.readlines())
    with open(f"/proc/{session}/statm", encoding="utf-8") as file:
        kept["rss_kib"] = int(file.read().split()[1]) * 4
    print(json.dumps(kept))


if __name__ == "__main__":
    main()
