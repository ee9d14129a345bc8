#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""coverage.py [--least PERCENT] [--lines] SOURCES MODULE…: the table of scripts/coverage.

MODULE.json is what `gcov --json-format --stdout` printed of a folder of SOURCES, a line each object file. A line counts once, however often
templates and inlining repeat it, and is executed if one of them is. Exit status: 0 at least --least percent · 1 less.
"""
import argparse
import collections
import json
import pathlib
import sys

# They load, attach and read what only a kernel has; tests/privileged tests them.
KERNEL_ONLY = {
    "collect/attach.cpp",
    "collect/attach.hpp",
    "collect/kernel.cpp",
    "collect/kernel.hpp",
    "collect/loop_table.cpp",
    "collect/loop_table.hpp",
    "collect/tracepoints.cpp",
    "collect/trap_cost.cpp",
    "collect/unprobed_loops.cpp",
    "collect/unprobed_loops.hpp",
}


def lines_of(report, folder):
    """{file name: {line: executed}} of one folder's own files."""
    files = collections.defaultdict(dict)
    for text in report.read_text().splitlines():
        for file in json.loads(text)["files"]:
            path = pathlib.Path(file["file"])
            if path.parent.name != folder.name or path.parent.parent.name != folder.parent.name:
                continue
            lines = files[path.name]
            for line in file["lines"]:
                number = line["line_number"]
                lines[number] = lines.get(number, False) or line["count"] > 0
    return files


def ranges(numbers):
    text, first, last = [], None, None
    for number in numbers + [None]:
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None:
            text.append(str(first) if first == last else f"{first}-{last}")
        first = last = number
    return " ".join(text)


def row(name, executed, total, note=""):
    print(f"{name:<34} {executed:>6} {total:>6} {100 * executed / max(total, 1):>6.1f} %  {note}".rstrip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--least", type=float, default=0)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("modules", nargs="+", type=pathlib.Path)
    options = parser.parse_args()

    low = False
    for module in options.modules:
        files = lines_of(module.with_suffix(".json"), options.sources / module.name)
        sums = {"all files": [0, 0], "without the kernel's": [0, 0]}
        # A source without a line that was executed has no data at all where its object file was not linked.
        for name in sorted(files):
            lines, path = files[name], f"{module.name}/{name}"
            kernel_only = path in KERNEL_ONLY
            missed = sorted(number for number, executed in lines.items() if not executed)
            for what, total in sums.items():
                if what == "all files" or not kernel_only:
                    total[0] += len(lines) - len(missed)
                    total[1] += len(lines)
            row(path, len(lines) - len(missed), len(lines), "kernel only" if kernel_only else "")
            if options.lines and missed and not kernel_only:
                print(f"    {ranges(missed)}")
        for what, (executed, total) in sums.items():
            row(f"{module.name}: {what}", executed, total)
        executed, total = sums["without the kernel's"]
        low = low or 100 * executed < options.least * total
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
