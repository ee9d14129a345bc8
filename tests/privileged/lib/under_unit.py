# SPDX-License-Identifier: Apache-2.0
"""Executes a command under the system call filters that systemd makes of a unit, as systemd.exec(5) has them.

under_unit.py UNIT COMMAND [ARGUMENT…]: SystemCallFilter with its sets expanded by `systemd-analyze syscall-filter`, MemoryDenyWriteExecute,
RestrictAddressFamilies and RestrictNamespaces. under_unit.py --list UNIT: the calls that are allowed, one a line.
"""
import errno
import mmap
import os
import re
import socket
import subprocess
import sys

import seccomp

CLONE_NEW = 0x7E020080  # time, mount, cgroup, UTS, IPC, user, pid and network namespaces
SHM_EXEC = 0o100000
HIGHEST_FAMILY = 45


def settings(unit, name):
    with open(unit, encoding="utf-8") as file:
        return re.findall(rf"^{name}=(.*)$", file.read(), re.M)


def call_sets():
    text = subprocess.run(["systemd-analyze", "syscall-filter"], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    sets, current = {}, None
    for line in text.splitlines():
        if line.startswith("@"):
            current = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            current.append(line.strip())
    return sets


def expanded(names, sets):
    return {call for name in names for call in (expanded(sets[name], sets) if name.startswith("@") else [name])}


def allowed_calls(unit, sets):
    """A list that begins with what is allowed has @default too; "~" takes away what was allowed before."""
    calls = expanded(["@default"], sets)
    for words in settings(unit, "SystemCallFilter"):
        names = expanded(words.lstrip("~").split(), sets)
        calls = calls - names if words.startswith("~") else calls | names
    return calls


def refuse(rules, error, name, *conditions):
    if seccomp.resolve_syscall(seccomp.Arch(), name) >= 0:
        rules.add_rule(seccomp.ERRNO(error), name, *conditions)


def load_restrictions(unit):
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    both = mmap.PROT_WRITE | mmap.PROT_EXEC
    if settings(unit, "MemoryDenyWriteExecute") == ["yes"]:
        refuse(rules, errno.EPERM, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
        for name in ("mprotect", "pkey_mprotect"):
            refuse(rules, errno.EPERM, name, seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, mmap.PROT_EXEC))
        refuse(rules, errno.EPERM, "shmat", seccomp.Arg(2, seccomp.MASKED_EQ, SHM_EXEC, SHM_EXEC))
    families = {getattr(socket, name) for words in settings(unit, "RestrictAddressFamilies") for name in words.split()}
    if families:
        for family in set(range(HIGHEST_FAMILY + 1)) - families:
            refuse(rules, errno.EAFNOSUPPORT, "socket", seccomp.Arg(0, seccomp.EQ, family))
    if settings(unit, "RestrictNamespaces") == ["yes"]:
        refuse(rules, errno.EPERM, "unshare")
        refuse(rules, errno.EPERM, "setns")
        refuse(rules, errno.ENOSYS, "clone3")
        for bit in range(32):
            if CLONE_NEW >> bit & 1:
                refuse(rules, errno.EPERM, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, 1 << bit, 1 << bit))
    rules.load()


def load_filter(unit):
    """What systemd does not know does not exist; what it knows and does not allow is refused."""
    sets = call_sets()
    allowed = allowed_calls(unit, sets)
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    for name in sorted(expanded(sets["@known"] if "@known" in sets else [], sets) | allowed):
        if seccomp.resolve_syscall(seccomp.Arch(), name) >= 0:
            rules.add_rule(seccomp.ALLOW if name in allowed else seccomp.ERRNO(errno.EPERM), name)
    rules.load()


def main(arguments):
    if arguments[0] == "--list":
        print("\n".join(sorted(allowed_calls(arguments[1], call_sets()))))
        return
    unit, command = arguments[0], arguments[1:]
    load_restrictions(unit)
    load_filter(unit)
    os.execv(command[0], command)


main(sys.argv[1:])
