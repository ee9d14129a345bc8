// SPDX-License-Identifier: Apache-2.0
//
// Candidates: processes that may become targets by a Selection. They wait until they are old enough, so that a machine
// that starts a thousand processes a second costs a queue's entry for each that is gone by then. The rest are chosen
// from in batches, on a thread that is not waited for: what a process says of itself may lie on a server that does not
// answer.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "attach/selection.hpp"

namespace loopwatch {

class Candidates {
public:
    static constexpr std::size_t most_waiting = 65536, most_at_once = 256;
    static constexpr std::uint64_t look_beside_ns = 2'000'000, patience_ns = 1'000'000'000;

    // Null: there are no candidates at all.
    explicit Candidates(std::shared_ptr<const Selection> selection) : selection_(std::move(selection)) {}

    // All processes of the machine, at once.
    void scan(std::uint64_t now_ns);
    // It has begun to run a program, or was forked.
    void born(pid_t pid, std::uint64_t now_ns);
    // Is chosen again without a wait: there was no room for it.
    void again(pid_t pid, std::uint64_t now_ns);
    // When take_chosen() may have something; 0: no candidate waits.
    std::uint64_t next_ns(std::uint64_t now_ns) const;
    // What was found out of each; no value: it is no target.
    std::vector<std::pair<pid_t, std::optional<TargetChoice>>> take_chosen(std::uint64_t now_ns);
    std::uint64_t missed() const noexcept { return missed_; }
    std::uint64_t looked_at() const noexcept { return looked_at_; }

private:
    struct Candidate {
        pid_t pid = 0;
        std::uint64_t due_ns = 0;
    };
    using Chosen = std::vector<std::pair<pid_t, std::optional<TargetChoice>>>;
    struct Batch {
        std::vector<pid_t> pids;
        std::mutex mutex;  // of what follows; held for a moment, on both threads
        std::size_t looked_at = 0;
        Chosen chosen;
    };
    void put(pid_t pid, std::uint64_t due_ns);
    void begin_batch(std::uint64_t now_ns);
    Chosen leave_batch(std::uint64_t now_ns);

    std::shared_ptr<const Selection> selection_;
    std::deque<Candidate> waiting_;                 // in the order of their time, nearly: urgent ones come first
    std::unordered_map<pid_t, std::uint64_t> due_;  // of those that wait: one that executes another program waits anew
    std::shared_ptr<Batch> batch_;
    std::future<void> batch_done_;
    std::uint64_t batch_until_ns_ = 0;
    std::uint64_t missed_ = 0, looked_at_ = 0;
};

}  // namespace loopwatch
