// SPDX-License-Identifier: Apache-2.0
//
// StartWatch: the first thread of a program that has just started, until it waits as a loop does. Its first callback
// may block before that, and a gate must not pass it. Holds what is observed of the thread until a stack has shown that
// it is of a callback: all before that was start-up.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "attach/loop_finder.hpp"
#include "attach/loop_search.hpp"
#include "collect/event.hpp"

namespace loopwatch {

class StartWatch {
public:
    static constexpr std::uint64_t most_ns = 10'000'000'000;  // from then on it counts as a program without a loop
    static constexpr std::uint64_t look_ns = 25'000'000;
    static constexpr std::uint64_t sample_period_ns = 10'000'000;
    static constexpr std::size_t most_asked = 32;  // each with a stack of up to 32 KiB
    // Where the thread is blocked now, if it is.
    using Blocked = std::function<std::optional<SourceEvent>()>;

    StartWatch(LoopFinder& finder, std::uint32_t tid, const LoopSearch::Sample& sample, Blocked blocked,
               std::uint64_t now_ns);

    // True: it is of that thread, and is held.
    bool take(const Event& event);
    void go_on(std::uint64_t now_ns);
    bool is_over() const { return !finder_.is_starting(tid_) && asked_ == 0 && shown_.empty(); }
    // What is of a callback.
    std::vector<Event> take_shown();

private:
    void look(RawStack stack, bool waits, std::uint64_t at_ns, std::shared_ptr<const Event> held);

    LoopFinder& finder_;
    std::uint32_t tid_;
    Blocked blocked_;
    std::uint64_t began_ns_, looked_ns_, looked_at_ns_ = 0;
    std::unique_ptr<Sampling> sampling_;
    std::size_t asked_ = 0;
    std::vector<Event> shown_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // an answer that comes after the end is dropped
};

}  // namespace loopwatch
