// SPDX-License-Identifier: Apache-2.0
//
// Zygote: the process that the symbol workers are forked from. It is forked itself before BPF is loaded and before
// anything of a target is read, so neither it nor any worker, however late it is started, has had that in memory. It is
// a user of its own, without capabilities and under a seccomp filter, and reads one byte and one descriptor per worker.
//
// A fork and not another execution of /proc/self/exe: that would need a subcommand of its own in each program that uses
// the library (the unit tests too). What it would add is another address space layout.
#pragma once

#include <sys/types.h>

#include "stack/progress.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

class Zygote {
public:
    // `progress` is shared memory, which the workers write to.
    static Result<Zygote> start(Progress& progress);
    Zygote(Zygote&& other) noexcept;
    Zygote& operator=(Zygote&&) = delete;
    ~Zygote() { end(); }

    // A worker that serves `socket`, as a child of this process: its pid stays its own until it is waited for. Fails
    // when the zygote has ended or has not answered for 5 s; from then on always.
    Result<pid_t> fork_worker(Fd socket);

private:
    Zygote(pid_t pid, Fd socket) : pid_(pid), socket_(std::move(socket)) {}
    void end();

    pid_t pid_;
    Fd socket_;
};

}  // namespace loopwatch
