# SPDX-License-Identifier: Apache-2.0
"""The house's rules but for the include directions. A rule yields (where, what) for each violation; its docstring says what it holds."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess

# The probe table's published rows: (name, gate, argument count) by id. Others script against these: rows are only ever appended, arguments added
# at the end of one with a new LW_ABI.
CONTRACT = """
loop_start watch 3     loop_stop watch 1      slow_dispatch watch 5   blocking_call watch 4    task_destroyed_pending watch 4
coroutine_never_awaited watch 3               exception_unretrieved watch 5                    task_cancelled watch 4
deadlock watch 3       thread_violation debug 3                       resource_leak debug 5    slow_poll debug 4
poll_begin trace 2     poll_end trace 2       dispatch_begin trace 3  dispatch_end trace 2     task_create trace 4
task_start trace 1     task_suspend trace 3   task_resume trace 1     task_finish trace 2      task_destroy trace 2
cancel_request trace 3 cancel_delivered trace 2                       slow_iteration watch 4
"""
CODE = {".c", ".h", ".cpp", ".hpp", ".def", ".py", ".sh", ".cmake", ".map"}
PROBES = "runtime_probes/include/loopwatch/probes.def"
WIRE = "bpf/lw_event.h"
ABOVE_WIRE = ("resolve", "detect", "attach", "report", "daemon", "command")
SITES = "runtime_probes/include/loopwatch/probe.hpp"


class Tree:
    """The files under test: paths relative to `root`, their text read once."""

    def __init__(self, root, files):
        self.root, self.files, self._texts = pathlib.Path(root), list(files), {}

    def text(self, path):
        if path not in self._texts:
            try:
                self._texts[path] = (self.root / path).read_text()
            except UnicodeDecodeError:
                self._texts[path] = ""
        return self._texts[path]

    def is_code(self, path):
        name = pathlib.PurePath(path)
        return name.suffix in CODE or name.name == "CMakeLists.txt" or self.text(path).startswith("#!")

    def code(self, *folders):
        return [p for p in self.files if self.is_code(p) and (not folders or p.startswith(folders))]


def hits(tree, paths, pattern, what):
    """One violation for each line that matches."""
    for path in paths:
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            match = re.search(pattern, line)
            if match:
                yield f"{path}:{number}", what.format(match[0].strip())


def licence(tree):
    """every source names its licence: Apache-2.0, in bpf/ GPL-2.0-only OR BSD-2-Clause"""
    for path in tree.code():
        found = re.search(r"SPDX-License-Identifier: (.+?)(?: \*/)?$", "\n".join(tree.text(path).splitlines()[:3]), re.M)
        wanted = "GPL-2.0-only OR BSD-2-Clause" if re.match(r"bpf/.*\.([ch]|def)$", path) else "Apache-2.0"
        # What the kernel side includes must be usable under its licence too.
        allowed = {wanted, "Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause"} if path.startswith("runtime_probes/") else {wanted}
        if not found:
            yield f"{path}:1", "no SPDX-License-Identifier in the first three lines"
        elif found[1].strip() not in allowed:
            yield f"{path}:1", f"{found[1].strip()}, not {wanted}"


def casts(tree):
    """in the collector, bytes become records in userspace/src/collect only"""
    others = [p for p in tree.code("userspace/src/") if not p.startswith("userspace/src/collect/")]
    return hits(tree, others, r"\breinterpret_cast\b", "{} outside userspace/src/collect")


def wire_types(tree):
    """types of the wire format and the C ABI end in target/ and collect/: the collector's other folders see its own"""
    above = [p for p in tree.code(*(f"userspace/src/{folder}/" for folder in ABOVE_WIRE))]
    return hits(tree, above, r"\b(?:lw_|LW_(?!COMMANDS\b))\w*", "{} above userspace/src/collect")


def ring(tree):
    """bpf/lw_emit.bpf.h alone touches the ring buffer"""
    others = [p for p in tree.code("bpf/") if p != "bpf/lw_emit.bpf.h"]
    return hits(tree, others, r"\bbpf_ringbuf_\w+", "{} outside bpf/lw_emit.bpf.h")


def sites(tree):
    """probe.hpp alone makes probe sites"""
    others = [p for p in tree.code("runtime_probes/", "preload/", "bpf/", "userspace/") if p != SITES]
    return hits(tree, others, r"section \.note\.stapsdt|\b_?(?:STAP|DTRACE|SDT)_PROBE|sys/sdt\.h", "{} outside " + SITES)


def probe_table(tree):
    """probes.def: ids 1, 2, 3 …, the published rows unchanged, declared argument counts right"""
    text = tree.text(PROBES) if PROBES in tree.files else ""
    rows = re.findall(r"^LW_PROBE(\d)\(\s*(\d+),\s*(\w+),\s*(\w+),\s*(.*?),\s*\"", text, re.M)
    words = CONTRACT.split()
    contract = list(zip(words[::3], words[1::3], words[2::3]))
    if [int(row[1]) for row in rows] != list(range(1, len(rows) + 1)):
        yield PROBES, f"ids {[int(row[1]) for row in rows]} are not 1, 2, 3 …"
    published = [(row[3], row[2], row[0]) for row in rows[: len(contract)]]
    for wanted, found in zip(contract, published + [None] * len(contract)):
        if wanted != found:
            yield PROBES, f"published row {wanted} is {found}"
    for count, _, _, name, arguments in rows:
        if len(arguments.split(",")) != int(count):
            yield PROBES, f"{name}: LW_PROBE{count} with arguments {arguments}"


def wire(tree):
    """lw_event.h: kinds numbered 1, 2, 3 …; every named loss is counted somewhere in bpf/"""
    text = tree.text(WIRE) if WIRE in tree.files else ""
    numbers = [int(n) for n in re.findall(r"^\s*LW_EVENT_\w+ = (\d+),", text, re.M)]
    if numbers != list(range(1, len(numbers) + 1)):
        yield WIRE, f"event kinds {numbers} are not 1, 2, 3 …"
    users = "\n".join(tree.text(p) for p in tree.code("bpf/") if p != WIRE)
    for name in re.findall(r"^\s*X\((\w+), \"", text, re.M):
        if not re.search(rf"\bLW_LOSS_{name}\b", users):
            yield WIRE, f"loss {name} is never counted"


def executables(tree):
    """a script that scripts/test or a person runs has a #! line and is executable"""
    for path in tree.files:
        runs = re.fullmatch(r"tests/(contract|privileged|truth)/\w+\.sh|scripts/\w+|\.ci/run", path)
        shebang = tree.text(path).startswith("#!")
        if (runs or shebang) and not (shebang and os.access(tree.root / path, os.X_OK)):
            yield f"{path}:1", "not executable" if shebang else "no #! line"


def unfinished(tree):
    """nothing is left for later in a comment"""
    return hits(tree, tree.code(), r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b", "{}: finish it or open an issue")


def references(tree):
    """files name no document that is not here, and no path of somebody's machine"""
    names = {pathlib.PurePath(p).name for p in tree.files}
    own = [p for p in tree.code() + [p for p in tree.files if p.endswith(".md")]]
    for path in own:
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            for mention in re.findall(r"(?<![\w*{$}/])[\w./-]*\w\.md\b", line):
                if pathlib.PurePath(mention).name not in names:
                    yield f"{path}:{number}", f"{mention} is not in this repository"
    yield from hits(tree, own, r"(?<![\w.}>*)])/(?:root|work|Users)/\w+|\bDESIGN §", "{} means nothing elsewhere")


def output_of(tree, command, files):
    """What a tool prints of these files; as many processes of it as there are CPUs."""
    def one(part):
        done = subprocess.run([*command, *part], cwd=tree.root, capture_output=True, text=True)
        return done.stdout + done.stderr

    parts = [files[n :: os.cpu_count()] for n in range(os.cpu_count())]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return "".join(pool.map(one, [part for part in parts if part]))


def shell(tree):
    """shellcheck has no warning (where it is installed)"""
    scripts = [p for p in tree.code() if p.endswith(".sh") or re.match(r"#!.*\b(ba)?sh\b", tree.text(p))]
    if scripts and shutil.which("shellcheck"):
        for line in output_of(tree, ["shellcheck", "-x", "-P", "SCRIPTDIR:.", "-S", "warning", "-f", "gcc"], scripts).splitlines():
            where, _, what = line.partition(": ")
            yield where, what


def schedule(tree):
    """a test script says in its first lines whether it runs alone or beside others, and why (scripts/lib/run_tests.py)"""
    for path in tree.files:
        if re.fullmatch(r"tests/(contract|privileged|truth)/\w+\.sh", path) and not re.search(
                r"^# Runs (alone|beside others)(, \d+ s)?: \S", "\n".join(tree.text(path).splitlines()[:12]), re.M):
            yield f"{path}:1", 'no line "# Runs alone: …" or "# Runs beside others: …" with the reason'


RULES = {rule.__name__.replace("_", "-"): rule
         for rule in (licence, casts, wire_types, ring, sites, probe_table, wire, executables, unfinished, references, shell, schedule)}


def warnings(tree):
    """What a reviewer should look at and no rule forbids."""
    for path in tree.code():
        lines = tree.text(path).count("\n")
        if lines > 300:
            yield f"{path}: {lines} lines; is it two things?"
    formatter = shutil.which("clang-format")
    sources = [p for p in tree.code() if p.endswith((".cpp", ".hpp"))]
    if formatter and sources:
        unformatted = set(re.findall(r"^(\S+?):\d+:\d+: error: code should be clang-formatted", output_of(tree, [formatter, "--dry-run", "--Werror"], sources), re.M))
        if unformatted:
            yield f"{len(unformatted)} of {len(sources)} C++ files are not as clang-format would have them"
