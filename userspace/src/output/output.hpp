// SPDX-License-Identifier: Apache-2.0
//
// Output: where the bytes of a report go, a regular file or stdout, a whole line at a time. Root opens a path that a
// user may have prepared, so links, hard links, FIFOs, devices and other people's files in shared directories are
// refused.
#pragma once

#include <string>
#include <string_view>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

// With a reader that takes nothing. Brief: 0.7 s, which is what is left of an unlimited one when the process is asked
// to end.
enum class Patience { none, brief, unlimited };

class Output {
public:
    // `path` "-": stdout. A file is created with this mode, less the umask (under sudo, for the user who called it), or
    // overwritten. 0600: a report has paths and addresses of others' processes.
    // From the first open on, SIGPIPE and SIGXFSZ are ignored in this process: a vanished reader is an error of
    // write_lines(). Fails with ExitCode::failed.
    static constexpr const char* stderr_path = "/dev/stderr";
    static Result<Output> open(const std::string& path, mode_t mode = 0600);

    // `lines` is one line or several, each with its end, and is written whole or not at all: where a full disk cuts it
    // short, a regular file is cut back. Fails with ExitCode::failed.
    Result<void> write_lines(std::string_view lines, Patience patience = Patience::unlimited);

    // What it takes without waiting: how many bytes that were. Of a regular file all, or none. Fails as write_lines()
    // does.
    Result<std::size_t> write_some(std::string_view lines);

    // At the end of a report: one in which nothing was said replaces the last one too.
    Result<void> settle() { return write_lines(""); }

    bool is_terminal() const;
    int descriptor() const noexcept { return fd_.raw(); }

private:
    Output(Fd fd, std::string name);
    Result<std::size_t> write(std::string_view lines, Patience patience);
    Result<void> await_room(Patience patience) const;
    bool has_room() const;
    Error write_error() const;
    void cut_back(std::size_t written) const;

    Fd fd_;
    std::string name_;
    std::size_t at_once_;             // bytes
    bool keeps_last_report_ = false;  // until the first line of this one: a session that cannot start destroys nothing
};

}  // namespace loopwatch
