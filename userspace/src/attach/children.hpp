// SPDX-License-Identifier: Apache-2.0
//
// Children: processes that watched ones have forked, until they have lived long enough to be worth attaching to: a
// server's worker has, a shell command in a callback has not.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <vector>

namespace loopwatch {

class Children {
public:
    static constexpr std::uint64_t grown_up_ns = 100'000'000;
    static constexpr std::size_t max_waiting = 4096;

    void born(pid_t pid, std::uint64_t now_ns)
    {
        if (waiting_.size() < max_waiting)
            waiting_.push_back({pid, now_ns + grown_up_ns});
        else
            ++missed_;
    }
    // When the next one has; 0: nobody waits.
    std::uint64_t next_ns() const { return waiting_.empty() ? 0 : waiting_.front().due_ns; }
    std::vector<pid_t> take_grown_up(std::uint64_t now_ns)
    {
        std::vector<pid_t> pids;
        while (!waiting_.empty() && waiting_.front().due_ns <= now_ns) {
            pids.push_back(waiting_.front().pid);
            waiting_.pop_front();
        }
        return pids;
    }
    std::uint64_t missed() const noexcept { return missed_; }

private:
    struct Child {
        pid_t pid;
        std::uint64_t due_ns;
    };
    std::deque<Child> waiting_;
    std::uint64_t missed_ = 0;
};

}  // namespace loopwatch
