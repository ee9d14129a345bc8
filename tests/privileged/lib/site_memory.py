# SPDX-License-Identifier: Apache-2.0
"""What a tracer does to a process, read from its memory: the byte at each of its loopwatch probe sites, the value of each
semaphore, and whether the kernel has mapped a uprobe trampoline.

site_memory.py PID → "sites 90 semaphores 0 trampoline no", or with more than one value, each once, in order.
"""
import re
import struct
import subprocess
import sys


def notes(path):
    """(site, base, semaphore, name) of each stapsdt note of provider loopwatch; addresses as linked."""
    text = subprocess.run(["readelf", "-nW", path], capture_output=True, text=True, check=False).stdout
    pattern = (r"Provider: loopwatch\s+Name: (\S+)\s+"
               r"Location: (0x[0-9a-f]+), Base: (0x[0-9a-f]+), Semaphore: (0x[0-9a-f]+)")
    for name, site, base, semaphore in re.findall(pattern, text):
        yield int(site, 16), int(base, 16), int(semaphore, 16), name


def load_offset(path):
    """(file offset, address) of the executable segment."""
    text = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=False).stdout
    for offset, address, flags in re.findall(r"LOAD\s+(0x\w+)\s+(0x\w+)\s+0x\w+\s+0x\w+\s+0x\w+\s+(.{3})", text):
        if "E" in flags:
            return int(offset, 16), int(address, 16)
    return None


def addresses(pid):
    """(site, semaphore) of each probe in the process's memory."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            fields = line.split(None, 5)
            if len(fields) < 6 or "x" not in fields[1] or not fields[5].startswith("/"):
                continue
            start = int(fields[0].split("-")[0], 16)
            path = f"/proc/{pid}/map_files/{fields[0]}"
            segment = load_offset(path)
            if segment is None:
                continue
            bias = start - int(fields[2], 16) + segment[0] - segment[1]
            for site, _, semaphore, _ in notes(path):
                yield bias + site, bias + semaphore


def state(pid, probes):
    """(first bytes of the sites, values of the semaphores), as sets."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        def read(address, count):
            memory.seek(address)
            return memory.read(count)
        return {read(site, 1).hex() for site, _ in probes}, {struct.unpack("<H", read(semaphore, 2))[0] for _, semaphore in probes}


def main():
    pid = int(sys.argv[1])
    probes = list(addresses(pid))
    if not probes:
        sys.exit(f"no probe sites in process {pid}")
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        trampoline = "uprobes-trampoline" in maps.read()
    sites, semaphores = state(pid, probes)
    print("sites", *sorted(sites), "semaphores", *sorted(semaphores), "trampoline", "yes" if trampoline else "no")


if __name__ == "__main__":
    main()
