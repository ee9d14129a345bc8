// SPDX-License-Identifier: Apache-2.0
#include "session/loop_search.hpp"

#include <poll.h>

#include <algorithm>

#include "collect/unprobed_loops.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t finding_ns = 10'000'000'000;  // how long for stacks that tell the loops
constexpr std::uint64_t settling_ns = 30'000'000;     // and for threads that are awake to wait somewhere
constexpr std::uint64_t unsettled_ns = 200'000'000;   // if by then none is known
constexpr std::size_t events_at_once = 256;
constexpr int answer_ms = 5;

bool is_awake(const Targets::value_type& target)
{
    return target.second->finder() && target.second->finder()->awake();
}

bool is_unsettled(const Targets::value_type& target)
{
    const auto* finder = target.second->finder();
    return finder && (finder->unanswered() || (finder->awake() && target.second->known_loops().empty()));
}

}  // namespace

void find_loops(const Targets& targets, Kernel& kernel, SymbolWorker& worker,
                const std::function<void(const Event&)>& on_event)
{
    const bool some_awake = std::ranges::any_of(targets, is_awake);
    // Threads that are awake may poll without sleeping.
    if (some_awake && kernel.unprobed().watch_polls(true)) (void)kernel.unprobed().await_polls();
    const auto start = monotonic_ns(), least = start + (some_awake ? settling_ns : 0), most = start + finding_ns;
    const auto settled = [&](std::uint64_t now) {
        const bool waits =
            worker.pending() || (now < start + unsettled_ns && std::ranges::any_of(targets, is_unsettled));
        return now >= least && (!waits || now >= most);
    };
    const auto take = [&](const Event& event) {
        const auto* wait = std::get_if<WaitEvent>(&event);
        if (!wait) return on_event(event);
        const auto target = targets.find(wait->head.event.pid);
        if (target != targets.end()) target->second->on_wait(*wait);
    };
    for (auto now = start; !settled(now); now = monotonic_ns()) {
        kernel.drain(events_at_once, take);
        pollfd answer{worker.descriptor(), POLLIN, 0};
        ::poll(&answer, 1, answer_ms);
        worker.poll();
    }
    for (const auto& [pid, target] : targets) target->warn_of_blindness();
}

}  // namespace loopwatch
