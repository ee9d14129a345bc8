#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""preload/intercepts_md.py: prints INTERCEPTS.md, made of intercepts.def and uncovered.def."""
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ["sleep", "lock", "file_io", "file_lock", "pipe", "network", "dns", "process", "nested_wait", "io_uring", "other"]


def rows(macro, columns, file):
    """The table's rows, as the preprocessor sees them."""
    source = f'#define {macro}({columns}, ...) @{columns}\n#include "{file}"\n'
    told = subprocess.run(["cpp", "-P", "-I", HERE, "-"], input=source, capture_output=True, text=True, check=True).stdout
    return [line[1:].strip() for line in told.splitlines() if line.startswith("@")]


def uncovered():
    """Symbols by their reason."""
    source = '#define LW_UNCOVERED(symbol, why) @symbol|why\n#include "uncovered.def"\n'
    told = subprocess.run(["cpp", "-P", "-I", HERE, "-"], input=source, capture_output=True, text=True, check=True).stdout
    reasons = {}
    for line in told.splitlines():
        if line.startswith("@"):
            symbol, why = line[1:].split("|", 1)
            reasons.setdefault(why.strip().strip('"'), []).append(symbol.strip())
    return reasons


def main():
    by_kind = {}
    for row in rows("LW_CALL", "kind, call, returns, symbol", "intercepts.def"):
        kind, call, _, symbol = (part.strip() for part in row.split(","))
        by_kind.setdefault(kind, {}).setdefault(call, []).append(symbol)
    count = sum(len(symbols) for calls in by_kind.values() for symbols in calls.values())
    print("# What the shim measures\n")
    print(f"Made by `preload/intercepts_md.py` of `intercepts.def` and `uncovered.def`: {count} entry points of libc and liburing. Behind a call in\nbrackets: its other names.\n")
    print("| kind | calls |\n|---|---|")
    for kind in sorted(by_kind, key=KINDS.index):
        calls = []
        for call, symbols in sorted(by_kind[kind].items()):
            others = [f"`{s}`" for s in symbols if s != call]
            calls.append(f"`{call}`" + (f" ({', '.join(others)})" if others else ""))
        print(f"| {kind} | {', '.join(calls)} |")
    print("\n## What it does not, and why\n")
    print("The kernel side sees what these wait in.\n\n| symbols | why |\n|---|---|")
    for why, symbols in uncovered().items():
        print(f"| {', '.join(f'`{s}`' for s in symbols)} | {why} |")


if __name__ == "__main__":
    main()
