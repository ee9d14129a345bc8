#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the probe sites of a program with the probe table, through readelf.

inspect_sites.py FILE [--only NAME,NAME…]   checks; one line a difference, exit status 1 if there is one
inspect_sites.py FILE --list                one line a site: id name offset semaphore_offset argument_count (file offsets)
inspect_sites.py FILE --bytes               the bytes of the site in front of its id, for a compiler's -D
inspect_sites.py FILE --live PID            first bytes of the sites and values of the semaphores in a running process, as sets
inspect_sites.py FILE --symbol NAME         file offset of a symbol
inspect_sites.py FILE --names               provider:name/argument count, sorted, one a line
"""
import argparse
import pathlib
import re
import subprocess
from dataclasses import dataclass

TABLE = pathlib.Path(__file__).resolve().parents[3] / "runtime_probes/include/loopwatch/probes.def"
NOPS = bytes.fromhex("90 66 2e 0f 1f 84 00 00 00 00 00")  # nop, nop10: what every kernel and tool survives
ID_PREFIX = bytes.fromhex("0f 1f 80")  # a 7-byte nop whose displacement is 0x6c770000 + id
REGISTERS = ["rdi", "rsi", "rdx", "rcx", "r8"]


@dataclass
class Site:
    provider: str
    name: str
    location: int
    semaphore: int
    arguments: str


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, capture_output=True, text=True,
                          env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout


def table():
    rows = re.findall(r"^LW_PROBE(\d)\(\s*(\d+),\s*(\w+),\s*(\w+),", TABLE.read_text(), re.M)
    return {name: (int(number), gate, int(count)) for count, number, gate, name in rows}


def sites(path):
    pattern = r"Provider: (\S+)\s+Name: (\S+)\s+Location: (\w+), Base: \w+, Semaphore: (\w+)\s+Arguments:([^\n]*)"
    return [Site(p, n, int(l, 16), int(s, 16), a.strip()) for p, n, l, s, a in re.findall(pattern, readelf("-n", path))]


class Image:
    def __init__(self, path):
        self.content = pathlib.Path(path).read_bytes()
        load = r"LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+) 0x\w+ (.{3})"
        self.segments = [(int(o, 16), int(v, 16), int(z, 16), f) for o, v, z, f in re.findall(load, readelf("-l", path))]
        section = r"\] (\S+)\s+\w+\s+([0-9a-f]{16}) [0-9a-f]+ ([0-9a-f]+)"
        self.sections = {n: (int(a, 16), int(s, 16)) for n, a, s in re.findall(section, readelf("-S", path))}

    def offset(self, address, flag):
        """File offset of a link-time address in a segment with that permission; None if there is none."""
        for offset, start, size, flags in self.segments:
            if flag in flags and start <= address < start + size:
                return address - start + offset
        return None

    def in_section(self, address, name):
        start, size = self.sections.get(name, (0, 0))
        return start <= address < start + size


def symbol_offset(path, name):
    image = Image(path)
    address = int(re.search(rf"\d+: ([0-9a-f]+) .* {re.escape(name)}$", readelf("-s", path), re.M)[1], 16)
    return image.offset(address, "E") or image.offset(address, "W")


def live(path, pid):
    """What a process that runs FILE has at its sites and semaphores."""
    image, found = Image(path), [s for s in sites(path) if s.provider == "loopwatch"]
    maps = re.findall(r"^(\w+)-(\w+) \S+ (\w+) \S+ \d+ +(.*)$", pathlib.Path(f"/proc/{pid}/maps").read_text(), re.M)
    ours = [(int(a, 16), int(b, 16), int(o, 16)) for a, b, o, p in maps if p == str(pathlib.Path(path).resolve())]

    def peek(address, flag, length):
        offset = image.offset(address, flag)
        # A file offset is mapped more than once where segments share a page: the writable data comes last.
        start = [a + offset - o for a, b, o in ours if o <= offset < o + b - a][0 if flag == "E" else -1]
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(start)
            return int.from_bytes(memory.read(length), "little")

    first_bytes = {peek(s.location, "E", 1) for s in found}
    semaphores = {peek(s.semaphore, "W", 2) for s in found}
    return f"bytes {' '.join(f'{b:02x}' for b in sorted(first_bytes))} semaphores {' '.join(map(str, sorted(semaphores)))}"


def site_problems(site, image, number, gate, count, gates):
    expected = " ".join(f"8@%{r}" for r in REGISTERS[:count])
    if site.arguments != expected:
        yield f"arguments '{site.arguments}', not '{expected}'"
    offset = image.offset(site.location, "E")
    if offset is None:
        yield f"location {site.location:#x} is not executable"
        return
    found = image.content[offset:offset + 18]
    wanted = NOPS + ID_PREFIX + (0x6C770000 + number).to_bytes(4, "little")
    if found != wanted:
        yield f"bytes {found.hex(' ')}, not {wanted.hex(' ')}"
    if image.offset(site.semaphore, "W") is None:
        yield f"semaphore {site.semaphore:#x} is not writable"
    if not image.in_section(site.semaphore, ".probes.loopwatch"):
        yield f"semaphore {site.semaphore:#x} is not in .probes.loopwatch"
    if gates.setdefault(gate, site.semaphore) != site.semaphore:
        yield f"semaphore {site.semaphore:#x}, but others of gate {gate} have {gates[gate]:#x}"


def problems(path, only):
    image, gates = Image(path), {}
    ours = [s for s in sites(path) if s.provider == "loopwatch"]
    expected = {n: row for n, row in table().items() if not only or n in only}
    if sorted(s.name for s in ours) != sorted(expected):
        yield f"sites are {sorted(s.name for s in ours)}, not {sorted(expected)}"
    for site in ours:
        if site.name in expected:
            for problem in site_problems(site, image, *expected[site.name], gates):
                yield f"{site.name}: {problem}"
    if len({s.location for s in ours}) != len(ours):
        yield "two sites share an address"
    # An exported semaphore would be bound to another DSO's: code would test one, tracers would increment the other.
    exported = re.findall(r"\bloopwatch_\w*semaphores?$", readelf("--dyn-syms", path), re.M)
    if exported:
        yield f"exports {exported}"
    wanted = {row[1] for row in expected.values()}
    if set(gates) != wanted or len(set(gates.values())) != len(wanted):
        yield f"semaphores {gates}, not one for each of {sorted(wanted)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--only", type=lambda names: set(names.split(",")))
    parser.add_argument("--symbol")
    parser.add_argument("--live", type=int, metavar="PID")
    for mode in ("list", "bytes", "names"):
        parser.add_argument(f"--{mode}", action="store_true")
    options = parser.parse_args()
    image, rows, found = Image(options.file), table(), sites(options.file)
    if options.list:
        for s in found:
            if s.provider == "loopwatch":
                number, _, count = rows[s.name]
                print(number, s.name, image.offset(s.location, "E"), image.offset(s.semaphore, "W"), count)
    elif options.symbol:
        print(symbol_offset(options.file, options.symbol))
    elif options.live:
        print(live(options.file, options.live))
    elif options.bytes:
        start = image.offset(found[0].location, "E")
        print(",".join(f"{b:#04x}" for b in image.content[start:image.content.index(ID_PREFIX, start)]))
    elif options.names:
        print("\n".join(sorted(f"{s.provider}:{s.name}/{len(s.arguments.split())}" for s in found)))
    else:
        differences = list(problems(options.file, options.only))
        print("\n".join(differences))
        raise SystemExit(1 if differences else 0)


if __name__ == "__main__":
    main()
