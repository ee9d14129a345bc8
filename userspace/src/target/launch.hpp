// SPDX-License-Identifier: Apache-2.0
//
// Starting a program with the shim in it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

// The shim beside this very program (in a build or an installation), or where LOOPWATCH_PRELOAD says.
Result<std::string> find_shim();

// The program that a shell would start under this name.
Result<std::string> find_program(const std::string& name);

// Why ld.so will not load the shim into it: a static program, another machine's, another libc's, one that changes its
// user. Of a script: why not into its interpreter. Empty: it will.
std::string why_no_shim(const std::string& program);

class Launch {
public:
    // Of a process, by its own pid.
    using Environment = std::function<std::vector<std::pair<std::string, std::string>>(pid_t)>;
    // Starts `program` with these arguments (the first is its name) and this environment on top of our own; the shim is
    // preloaded before what LD_PRELOAD names already. Fails with no_such_target if it cannot be executed.
    static Result<Launch> start(const std::string& program, const std::vector<std::string>& arguments,
                                const std::string& shim, const Environment& environment);
    // The same, but the shim holds the program before its main(), with all its libraries loaded, until release(), or
    // until we are gone.
    static Result<Launch> start_held(const std::string& program, const std::vector<std::string>& arguments,
                                     const std::string& shim);
    // Readable once the program is held, or has closed its end without: it has ended. -1: it is not to be held.
    int holding() const noexcept { return hold_.raw(); }
    void release() { hold_.reset(); }

    pid_t pid() const noexcept { return pid_; }
    // Readable once it has ended.
    int descriptor() const noexcept { return pidfd_.raw(); }
    void signal(int number) const;
    // As a shell tells it: its exit status, or 128 + the signal that ended it; empty: it runs.
    std::optional<int> status();
    // As wait(2) tells it.
    std::optional<int> wait_status() const noexcept { return raw_; }

private:
    static Result<Launch> start(const std::string& program, const std::vector<std::string>& arguments,
                                const std::string& shim, const Environment& environment, Fd hold, Fd held);

    pid_t pid_ = -1;
    Fd pidfd_;
    Fd hold_;  // our end of the socket
    std::optional<int> status_, raw_;
};

}  // namespace loopwatch
