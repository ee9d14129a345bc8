// SPDX-License-Identifier: Apache-2.0
//
// Process: one target, identified by (pidfd, start time) and not by its pid, and what /proc says of it. Everything read
// here was written by a process that may be hostile and may end at any moment: reads are bounded, a vanished process is
// an Error, never a crash.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "target/module_mapping.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

// How long a thread has run, and how many times it came on a CPU.
struct ThreadRuns {
    std::uint64_t ran_ns = 0, count = 0;
};

class Process {
public:
    // Fails with no_such_target (no process, a thread id, a kernel thread, a zombie, gone meanwhile) or not_permitted
    // (another user's, or not 64-bit x86).
    static Result<Process> open(pid_t pid);
    // Whatever has become of it: also one that is ending, or has ended and was not waited for, of which its name is
    // left. Asks no file's server, and does not say whether it may be looked into.
    static Result<Process> identify(pid_t pid);
    // Pids of all processes but this one.
    static std::vector<pid_t> all();
    // Pids of all processes whose comm or executable's base name is `name`.
    static std::vector<pid_t> find(const std::string& name);
    static bool is_named(pid_t pid, const std::string& name);

    pid_t pid() const noexcept { return pid_; }
    int pidfd() const noexcept { return pidfd_.raw(); }
    bool alive() const;    // the very process that was opened
    bool stopped() const;  // by a signal or a debugger
    bool replaced()
        const;  // it runs another image by now: execve(2); of the same file too, where addresses are randomized

    std::string comm() const;
    std::string comm(pid_t tid) const;
    std::string exe() const;
    std::vector<std::string> cmdline() const;  // at most 64 arguments of 256 bytes
    std::vector<pid_t> threads() const;
    bool has_thread(pid_t tid) const;
    // Context switches a thread made of its own accord; 0: gone.
    std::uint64_t voluntary_switches(pid_t tid) const;
    // Zeros: gone.
    ThreadRuns runs(pid_t tid) const;
    // The same id as the innermost PID namespace of the target sees it.
    std::uint32_t ns_id(pid_t tid) const;
    // Executable file mappings, each with its file open. Files that cannot be opened are left out and counted in
    // `unreadable`.
    Result<std::vector<ModuleMapping>> modules(std::size_t* unreadable = nullptr) const;

private:
    pid_t pid_ = 0;
    Fd pidfd_;
    std::array<std::uint64_t, 3> image_ = {};  // device and inode of the executable, where the stack begins
    std::uint64_t start_time_ = 0;             // clock ticks since boot, /proc/PID/stat field 22
};

// The threads of a process by the ids that they have in its innermost PID namespace: where that is ours, one look each;
// else all threads are looked through, once.
class NamespaceThreads {
public:
    explicit NamespaceThreads(const Process& process);
    std::uint32_t tid(std::uint32_t ns_tid);  // in our PID namespace; 0: no such thread

private:
    const Process& process_;
    bool ours_;
    std::optional<std::unordered_map<std::uint32_t, std::uint32_t>> tids_;
};

// "/proc/PID/NAME", read up to `limit` bytes; nullopt if it cannot be read.
std::optional<std::string> read_proc(pid_t pid, const std::string& name, std::size_t limit = 1 << 20);

}  // namespace loopwatch
