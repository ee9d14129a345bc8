#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""find_loops.py PID: the loops of a process, found as loop_state.h says and with nothing else: for each mapped file, program headers →
PT_NOTE → owner "loopwatch", type 1 → registry → slots. Neither section headers nor symbols are read. Prints "module loop_id name"."""
import pathlib
import re
import struct
import sys

PT_LOAD, PT_NOTE = 1, 4
ABI = 2
LOOP_ID, NAME, NEXT = 40, 80, 88  # offsets in struct lw_loop_slot: asserted by its header, cache lines 0 and 1


def program_headers(image):
    offset, size, count = struct.unpack_from("<Q", image, 32)[0], *struct.unpack_from("<HH", image, 54)
    for i in range(count):
        kind, _, file_offset, address, _, file_size, _, _ = struct.unpack_from("<IIQQQQQQ", image, offset + i * size)
        yield kind, file_offset, address, file_size


def notes(image):
    """Link-time addresses of the descriptors of our notes."""
    for kind, offset, address, size in program_headers(image):
        at = offset
        while kind == PT_NOTE and at + 12 <= offset + size:
            owner_size, descriptor_size, note_type = struct.unpack_from("<III", image, at)
            descriptor = at + 12 + (owner_size + 3 & ~3)
            if image[at + 12:at + 12 + owner_size] == b"loopwatch\0" and note_type == 1 and descriptor_size == 16:
                yield address + descriptor - offset
            at = descriptor + (descriptor_size + 3 & ~3)


def loops(pid):
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    bases = {path: int(start, 16) for start, path in reversed(re.findall(r"^(\w+)-\w+ \S+ 0+ \S+ \d+ +(/.*)$", maps, re.M))}
    with open(f"/proc/{pid}/mem", "rb") as memory:

        def read(address, form):
            memory.seek(address)
            return struct.unpack(form, memory.read(struct.calcsize(form)))

        def text(address):
            memory.seek(address)
            return memory.read(64).split(b"\0")[0].decode()

        for path, base in sorted(bases.items()):
            image = pathlib.Path(path).read_bytes()
            if image[:4] != b"\x7fELF":
                continue
            first_page = min(address & ~0xFFF for kind, _, address, _ in program_headers(image) if kind == PT_LOAD)
            for note in notes(image):
                descriptor = base - first_page + note
                abi, _, distance = read(descriptor, "<IIq")
                magic, registry_abi, _, slot = read(descriptor + 8 + distance, "<QIIQ")
                assert abi == registry_abi == ABI, f"abi {abi}, {registry_abi}"
                assert magic.to_bytes(8, "little") == b"lwslot1\0", f"magic {magic:#x}"
                while slot:
                    yield pathlib.Path(path).name, *read(slot + LOOP_ID, "<Q"), text(*read(slot + NAME, "<Q")), slot
                    slot, = read(slot + NEXT, "<Q")


if __name__ == "__main__":
    for module, loop_id, name, _ in loops(int(sys.argv[1])):
        print(module, loop_id, name)
