// SPDX-License-Identifier: Apache-2.0
//
// What must hold on this machine before anything is loaded, each with the command that mends it. `watch` stops at the
// first that fails, `doctor` shows all.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "util/result.hpp"

namespace loopwatch {

enum class Verdict { ok, degraded, missing };

struct Check {
    std::string name;
    Verdict verdict = Verdict::ok;
    std::string finding;  // "6.18.44", "no /sys/kernel/btf/vmlinux"
    std::string cure;     // command or setting; empty when ok
};

// Cheap checks that need no rights: privileges, kernel version, BTF, PID namespace.
std::vector<Check> check_machine();
// The first check that is missing, as an error with exit code not_permitted.
Result<void> preflight();

// `loopwatch doctor`: the machine, the attach ladder, loading for real, and each process given. Prints a table to
// stdout. Returns done if a session would work, else not_permitted or what attaching to the process says.
ExitCode doctor(const std::vector<pid_t>& pids);

}  // namespace loopwatch
