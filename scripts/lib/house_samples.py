# SPDX-License-Identifier: Apache-2.0
"""For `scripts/check --self-test`: a small clean tree, and for each rule changes to it that exactly this rule must refuse."""
import pathlib

from house_rules import CONTRACT, PROBES, WIRE, Tree

APACHE = "SPDX-License-Identifier: Apache-2.0\n"
DUAL = "// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause\n"


def probe_rows(change=lambda rows: rows):
    words = CONTRACT.split()
    rows = [f'LW_PROBE{n}({i}, {gate}, {name}, {", ".join("abcde"[:int(n)])}, "doc")'
            for i, (name, gate, n) in enumerate(zip(words[::3], words[1::3], words[2::3]), 1)]
    return f"// {APACHE}" + "\n".join(change(rows)) + "\n"


CLEAN = {
    PROBES: probe_rows(),
    WIRE: DUAL + '    X(ring_full, "no room")\n    LW_EVENT_ONE = 1,\n    LW_EVENT_TWO = 2,\n',
    "bpf/lw_emit.bpf.h": DUAL + '#include "lw_event.h"\n// lose(LW_LOSS_ring_full); bpf_ringbuf_output();\n',
    "bpf/CMakeLists.txt": f"# {APACHE}",
    "preload/wrappers.c": f"// {APACHE}#include <loopwatch/probe.hpp>\n#include <errno.h>\n",
    "runtime_probes/include/loopwatch/rt/task.hpp": f"// {APACHE}#include <asio/io_context.hpp>\n",
    "userspace/src/util/result.hpp": f"// {APACHE}#include <string>\n",
    "userspace/src/analysis/finding.hpp": f'// {APACHE}#include "stack/frame.hpp"\n#include "util/result.hpp"\n',
    "userspace/src/collect/event.cpp": f"// {APACHE}#include <lw_event.h>\nauto x = reinterpret_cast<int*>(0);\n",
    "userspace/src/command/session.cpp": f'// {APACHE}#include "output/sink.hpp"\n// see README.md and /proc/PID/root/x\nLW_COMMANDS(X)\n',
    "tests/truth/demo.sh": f"#!/usr/bin/env bash\n# {APACHE}# Runs alone: it judges durations.\necho fine\n",
    "README.md": "See CONTRIBUTING.md.\n",
    "CONTRIBUTING.md": "",
}


def include(path, header):
    return ("includes", {path: f"// {APACHE}#include {header}\n"})


def unfinished_word(*halves):
    return ("unfinished", {"userspace/src/util/x.cpp": f"// {APACHE}// {''.join(halves)}: later\n"})


SAMPLES = [
    ("licence", {"userspace/src/util/x.cpp": "int x;\n"}),
    ("licence", {"bpf/x.bpf.c": f"// {APACHE}"}),
    ("licence", {"preload/x.c": DUAL}),
    ("licence", {"bpf/CMakeLists.txt": ""}),
    ("casts", {"userspace/src/stack/x.cpp": f"// {APACHE}auto x = reinterpret_cast<int*>(0);\n"}),
    ("wire-types", {"userspace/src/resolve/x.cpp": f"// {APACHE}lw_dispatch closing;\n"}),
    ("wire-types", {"userspace/src/attach/x.hpp": f"// {APACHE}auto x = LW_OFF_BLOCKED;\n"}),
    ("ring", {"bpf/x.bpf.c": DUAL + "bpf_ringbuf_reserve();\n"}),
    ("sites", {"preload/x.c": f'// {APACHE}asm(".pushsection .note.stapsdt");\n'}),
    ("probe-table", {PROBES: probe_rows(lambda rows: rows[1:])}),
    ("probe-table", {PROBES: probe_rows(lambda rows: [r.replace("poll_end", "poll_done") for r in rows])}),
    ("probe-table", {PROBES: probe_rows(lambda rows: [r.replace("watch, loop_stop", "trace, loop_stop") for r in rows])}),
    ("probe-table", {PROBES: probe_rows(lambda rows: rows + ['LW_PROBE1(27, watch, gap, a, "doc")'])}),
    ("probe-table", {PROBES: probe_rows(lambda rows: rows + ['LW_PROBE1(26, watch, two, a, b, "doc")'])}),
    ("wire", {WIRE: DUAL + '    X(ring_full, "no room")\n    X(forgotten, "never counted")\n'}),
    ("wire", {WIRE: DUAL + '    X(ring_full, "no room")\n    LW_EVENT_ONE = 1,\n    LW_EVENT_TWO = 3,\n'}),
    ("executables", {"tests/privileged/x.sh": f"# {APACHE}# Runs alone: it judges durations.\n# shellcheck shell=bash\ntrue\n"}),
    unfinished_word("TO", "DO"),
    unfinished_word("FIX", "ME"),
    ("references", {"userspace/src/util/x.cpp": f"// {APACHE}// see {'NOWHERE'}.md\n"}),
    ("references", {"README.md": "[it](docs/nowhere" ".md)\n"}),
    ("references", {"userspace/src/util/x.cpp": f"// {APACHE}// in /{'work'}/main/x\n"}),
    ("shell", {"scripts/lib/x.sh": f"# {APACHE}# shellcheck shell=bash\ncd elsewhere\n"}),
    ("schedule", {"tests/truth/demo.sh": f"#!/usr/bin/env bash\n# {APACHE}echo fine\n"}),
    include("userspace/src/util/x.cpp", '"stack/frame.hpp"'),
    include("userspace/src/target/x.cpp", '"collect/event.hpp"'),
    include("userspace/src/stack/x.cpp", '"analysis/finding.hpp"'),
    include("userspace/src/analysis/x.cpp", '"output/sink.hpp"'),
    include("userspace/src/analysis/x.cpp", "<bpf/libbpf.h>"),
    include("userspace/src/analysis/x.cpp", "<filesystem>"),
    include("userspace/src/analysis/x.cpp", "<unistd.h>"),
    include("userspace/src/output/x.cpp", '"command/session.hpp"'),
    include("userspace/src/output/x.cpp", "<lw_event.h>"),
    include("preload/x.c", "<loopwatch/rt/task.hpp>"),
    include("preload/x.cpp", "<string>"),
    include("runtime_probes/include/loopwatch/probe.hpp", "<asio/io_context.hpp>"),
    include("runtime_probes/include/loopwatch/rt/x.hpp", '"lw_event.h"'),
    ("includes", {"bpf/x.bpf.c": DUAL + "#include <stdio.h>\n"}),
]


def write_tree(root, changes):
    files = CLEAN | changes
    for path, text in files.items():
        target = pathlib.Path(root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755 if text.startswith("#!") else 0o644)
    return Tree(root, files)
