// SPDX-License-Identifier: Apache-2.0
//
// WorkerProcess: the life of the symbol worker as a process: its start, its signs of life, its end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

#include "stack/progress.hpp"
#include "stack/zygote.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

class WorkerProcess {
public:
    // Forks the zygote: before BPF is loaded and targets are opened. Fails when memory or descriptors run out.
    static Result<WorkerProcess> open();
    WorkerProcess(WorkerProcess&& other) noexcept;
    WorkerProcess& operator=(WorkerProcess&&) = delete;
    ~WorkerProcess();

    // Our end of its socket. Fails for good once the zygote has ended.
    Result<Fd> start();
    bool runs() const noexcept { return pid_ > 0; }
    pid_t pid() const noexcept { return pid_; }  // -1: none runs
    void end();

    // How much nicer than the core it is, and those that are started later.
    void set_nice(int more);

    // It is at another request.
    void begin_request();
    // Has it not shown a sign of life for too long, at this one?
    bool is_stuck();
    // The number of the file that it reads, or read when it died; 0: none.
    std::uint32_t file_being_read() const;

private:
    using Clock = std::chrono::steady_clock;

    WorkerProcess(Progress* progress, Zygote zygote) : progress_(progress), zygote_(std::move(zygote)) {}
    void show_life(Clock::time_point now);
    std::chrono::nanoseconds starved() const;

    Progress* progress_;
    Zygote zygote_;
    pid_t pid_ = -1;
    int nice_ = 0;
    Clock::time_point asked_;  // since when it is at its request
    Clock::time_point last_beat_;
    std::optional<std::chrono::nanoseconds> starved_before_;  // looked at once it is silent
    std::uint32_t beats_ = 0;
};

}  // namespace loopwatch
