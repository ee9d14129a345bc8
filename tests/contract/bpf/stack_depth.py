# SPDX-License-Identifier: Apache-2.0
"""stack_depth.py OBJECT…: how much stack each program of a BPF object takes together with all it calls, as kernels before 6.13 add it up:
32 bytes at a time, 512 at most. Prints "PROGRAM BYTES" a line; exit status 1 if one is above. Reads llvm-objdump's listing: what is passed on
by a register that was made from r10 counts too."""
import re
import subprocess
import sys

MOST = 512


def functions(path):
    """Of each function: the stack it uses itself, and what it calls. A static function is called by its section's name: .text."""
    listing = subprocess.run(["llvm-objdump", "-d", "-r", "--no-show-raw-insn", path], check=True, capture_output=True, text=True).stdout
    found, section, copies = {}, "", set()
    for line in listing.splitlines():
        if match := re.match(r"Disassembly of section (\S+):", line):
            section = match[1]
        elif (match := re.match(r"[0-9a-f]+ <(\S+)>:", line)) and not match[1].startswith("LBB"):
            current, copies = found.setdefault(match[1], {"section": section, "bytes": 0, "calls": set()}), set()
        elif match := re.search(r"(r\d) = r10$", line.strip()):
            copies.add(match[1])
        elif match := re.search(r"R_BPF_64_32\s+(\S+)", line):
            current["calls"].add(match[1])
        else:
            for match in re.finditer(r"r10 - (0x[0-9a-f]+|\d+)", line):
                current["bytes"] = max(current["bytes"], int(match[1], 0))
            if (match := re.search(r"(r\d) \+= -(0x[0-9a-f]+|\d+)", line)) and match[1] in copies:
                current["bytes"] = max(current["bytes"], int(match[2], 0))
                copies.discard(match[1])
    return found


def depth(found, name, above=()):
    own = (max(found[name]["bytes"], 1) + 31) // 32 * 32
    called = []
    for callee in found[name]["calls"]:
        called += [callee] if callee in found else [n for n, f in found.items() if f["section"] == callee]
    return own + max((depth(found, c, above + (name,)) for c in called if c not in above + (name,)), default=0)


def main():
    worst = 0
    for path in sys.argv[1:]:
        found = functions(path)
        for name, function in found.items():
            if function["section"] != ".text":
                print(name, depth(found, name))
                worst = max(worst, depth(found, name))
    return worst > MOST


sys.exit(main())
