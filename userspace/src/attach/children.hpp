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

    struct Child {
        pid_t pid = 0;
        bool has_executed = false;  // a program of the name that is watched
        std::uint64_t due_ns = 0;
    };

    void born(pid_t pid, std::uint64_t now_ns, bool has_executed = false)
    {
        if (waiting_.size() < max_waiting)
            waiting_.push_back({pid, has_executed, now_ns + grown_up_ns});
        else
            ++missed_;
    }
    // When the next one has; 0: nobody waits.
    std::uint64_t next_ns() const { return waiting_.empty() ? 0 : waiting_.front().due_ns; }
    std::vector<Child> take_grown_up(std::uint64_t now_ns)
    {
        std::vector<Child> grown_up;
        while (!waiting_.empty() && waiting_.front().due_ns <= now_ns) {
            grown_up.push_back(waiting_.front());
            waiting_.pop_front();
        }
        return grown_up;
    }
    std::uint64_t missed() const noexcept { return missed_; }

private:
    std::deque<Child> waiting_;
    std::uint64_t missed_ = 0;
};

}  // namespace loopwatch
