# SPDX-License-Identifier: Apache-2.0
"""Who may include whom (CONTRIBUTING.md), file by file."""
import pathlib
import re

# The collector's straight line: a module sees itself and what stands before it.
LINE = ["util", "target", "collect", "stack", "analysis", "resolve", "detect", "attach", "output", "report", "daemon", "command"]

STANDARD = re.compile(r"[a-z_0-9]+")  # <vector>: no slash, no suffix
C_HEADERS = re.compile(r"std(?:int|def|bool|io|lib)\.h|(?:errno|string|assert|limits)\.h")
NO_IO = {"filesystem", "fstream", "iostream", "istream", "ostream", "cstdio", "thread", "mutex", "condition_variable", "future", "csignal"}
# Would allocate, lock or throw inside somebody else's process.
NOT_IN_PRELOAD = {"string", "vector", "map", "set", "unordered_map", "list", "deque", "functional", "mutex", "shared_mutex",
                  "condition_variable", "thread", "future", "iostream", "fstream", "sstream", "ostream", "filesystem", "stdexcept", "regex"}


def includes(tree, path):
    for number, line in enumerate(tree.text(path).splitlines(), 1):
        match = re.match(r"\s*#\s*include\s+([<\"])([^>\"]+)[>\"]", line)
        if match:
            yield number, match[2]


def module_of(header):
    """The collector's module a header belongs to, by how it is spelled: "analysis/finding.hpp"."""
    return header.split("/")[0] if header.split("/")[0] in LINE and header.endswith(".hpp") else None


def runtime_probes(tree, path, header):
    if header == "sys/sdt.h" or re.match(r"lw_|bpf/", header) or module_of(header):
        return "runtime_probes depends on nothing of ours"
    alone = path.endswith(("/loopwatch/probe.hpp", "/loopwatch/probes.def", "/loopwatch/loop_state.h"))
    if alone and not (STANDARD.fullmatch(header) or C_HEADERS.fullmatch(header) or header == "loopwatch/probes.def"):
        return "this header stands alone"
    return None


def preload(tree, path, header):
    if header.startswith(("loopwatch/rt/", "asio", "boost/", "fmt/", "nlohmann/", "bpf/")) or re.match(r"lw_(?!event\.h|ring\.h)", header) or module_of(header):
        return "preload sees runtime_probes' plain headers, lw_event.h and libc"
    if header in NOT_IN_PRELOAD:
        return "allocates, locks or throws in the target"
    return None


def bpf(tree, path, header):
    if re.fullmatch(r"lw_\w+(\.bpf)?\.h|lw_\w+\.def|vmlinux\.h|bpf/bpf_\w+\.h|loopwatch/(loop_state\.h|probes\.def)|stdint\.h", header):
        return None
    return "the kernel side sees lw_*.h, loop_state.h, probes.def and libbpf's headers"


def userspace(tree, path, header):
    parts = pathlib.PurePath(path).parts
    if parts[:2] != ("userspace", "src"):
        return None
    module = parts[2] if len(parts) > 3 else None  # main, cli and preflight belong to none and see all
    other = module_of(header)
    if module in LINE and other and LINE.index(other) > LINE.index(module):
        return f"{module} does not see {other}"
    kernel_side = re.match(r"lw_\w+\.h|bpf/|.*\.skel\.h", header)
    if kernel_side and module in ("util", "analysis", "output", "stack"):
        return f"{module} does not know the kernel side"
    if module == "analysis" and not other:
        pure = (STANDARD.fullmatch(header) and header not in NO_IO) or header.startswith("fmt/")
        if not pure and not (tree.root / "userspace/src" / header).exists() and not header.endswith(".def"):
            return "analysis is pure: no libbpf, no I/O, no threads"
    if module == "analysis" and header in ("util/fd.hpp", "util/log.hpp"):
        return "analysis is pure: no libbpf, no I/O, no threads"
    return None


ZONES = {"runtime_probes/include/": runtime_probes, "runtime_probes/src/": runtime_probes, "preload/": preload, "bpf/": bpf,
         "userspace/": userspace}


def include_directions(tree):
    """runtime_probes ← preload, bpf; util ← target ← collect ← stack ← analysis ← resolve ← detect ← attach ← output ← report ← daemon ← command ← main"""
    for path in tree.files:
        if pathlib.PurePath(path).suffix not in {".c", ".h", ".cpp", ".hpp", ".def"}:
            continue
        for prefix, judge in ZONES.items():
            if path.startswith(prefix):
                for number, header in includes(tree, path):
                    refused = judge(tree, path, header)
                    if refused:
                        yield f"{path}:{number}", f"includes {header}: {refused}"


RULES = {"includes": include_directions}
