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


def row(name, executed, total):
    print(f"{name:<34} {executed:>6} {total:>6} {100 * executed / max(total, 1):>6.1f} %")


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
        executed = total = 0
        # A source without a line that was executed has no data at all where its object file was not linked.
        for name in sorted(files):
            lines = files[name]
            missed = sorted(number for number, executed_once in lines.items() if not executed_once)
            executed, total = executed + len(lines) - len(missed), total + len(lines)
            row(f"{module.name}/{name}", len(lines) - len(missed), len(lines))
            if options.lines and missed:
                print(f"    {ranges(missed)}")
        row(f"{module.name}: all files", executed, total)
        low = low or 100 * executed < options.least * total
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
