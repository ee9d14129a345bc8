// SPDX-License-Identifier: Apache-2.0
//
// StateDirectory: what a daemon keeps over its restarts. One process at a time has it; it has a UUID of its own, made
// once, which makes the numbers of its records unique everywhere.
#pragma once

#include <string>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

class StateDirectory {
public:
    static constexpr unsigned version = 1;  // of the files in it; DIR/version

    // Makes it where it is missing, but not its parents. Fails if it cannot be written to, another process has it
    // (whose pid is in the error), or another version of loopwatch made it. A child that is forked meanwhile keeps the
    // lock.
    static Result<StateDirectory> open(const std::string& path);

    const std::string& path() const noexcept { return path_; }
    const std::string& instance() const noexcept { return instance_; }

private:
    StateDirectory(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    Result<void> check_version() const;
    Result<void> read_instance();

    std::string path_;
    Fd lock_;
    std::string instance_;
};

}  // namespace loopwatch
