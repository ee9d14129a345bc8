// SPDX-License-Identifier: Apache-2.0
#include "attach/loop_search.hpp"

#include <algorithm>
#include <vector>

#include "collect/unprobed_loops.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t finding_ns = 10'000'000'000;  // how long for stacks that tell the loops
constexpr std::uint64_t settling_ns = 30'000'000;     // and for threads that are awake to wait somewhere
constexpr std::uint64_t unsettled_ns = 200'000'000;   // if by then none is known
constexpr std::size_t events_at_once = 256;
constexpr std::uint64_t answer_ns = 5'000'000;
constexpr std::size_t max_suspects = 8;                                          // threads that spin
constexpr std::uint64_t sampling_ns = 60'000'000, sample_period_ns = 5'000'000;  // for how long, and how often

bool is_awake(const Attachment* target)
{
    return target->finder() && target->finder()->awake();
}

bool is_unsettled(const Attachment* target)
{
    const auto* finder = target->finder();
    return finder && (finder->unanswered() || (finder->awake() && target->known_loops().empty()));
}

LoopFinder* finder_of(const Attachments& targets, std::uint32_t pid)
{
    const auto target = std::ranges::find(targets, pid, &Attachment::pid);
    return target == targets.end() ? nullptr : (*target)->finder();
}

void go_on(const Attachments& targets, Kernel& kernel, SymbolWorker& worker, Reactor& reactor,
           const std::function<void(const Event&)>& take)
{
    kernel.drain(events_at_once, take);
    reactor.wait_until(monotonic_ns() + answer_ns);
    worker.poll();
    for (auto* const target : targets) target->go_on();
}

// One attaches because a server hangs. Threads that have run all the while may be loops whose callback does not end.
void look_at_spinning(const Attachments& targets, Kernel& kernel, SymbolWorker& worker, Reactor& reactor,
                      const std::function<void(const Event&)>& on_event)
{
    std::vector<Fd> sampling;
    for (auto* const target : targets) {
        auto* const finder = target->finder();
        for (const auto tid : finder ? finder->never_waiting() : std::vector<std::uint32_t>()) {
            if (sampling.size() >= max_suspects || !finder->suspect(tid)) continue;
            if (auto event = kernel.sample(tid, sample_period_ns)) sampling.push_back(std::move(*event));
        }
    }
    std::vector<SampleEvent> samples;
    const auto take = [&](const Event& event) {
        const auto* sample = std::get_if<SampleEvent>(&event);
        if (!sample) return on_event(event);
        if (auto* finder = finder_of(targets, sample->head.pid)) finder->on(samples.emplace_back(*sample));
    };
    const auto start = monotonic_ns();
    for (auto now = start; !sampling.empty() && now < start + sampling_ns; now = monotonic_ns())
        go_on(targets, kernel, worker, reactor, take);
    sampling.clear();
    while (worker.pending() && monotonic_ns() < start + finding_ns) go_on(targets, kernel, worker, reactor, take);
    for (auto* const target : targets)
        if (auto* finder = target->finder()) finder->clear_suspects();
    // What is by now old enough to be told at the first look is told with its stack.
    for (const auto& sample : samples)
        if (finder_of(targets, sample.head.pid)->hangs(sample.head.tid)) on_event(sample);
}

}  // namespace

void find_loops(const Attachments& targets, Kernel& kernel, SymbolWorker& worker, Reactor& reactor,
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
        if (auto* finder = finder_of(targets, wait->head.pid)) finder->on(*wait);
    };
    for (auto now = start; !settled(now); now = monotonic_ns()) go_on(targets, kernel, worker, reactor, take);
    look_at_spinning(targets, kernel, worker, reactor, take);
    worker.stand_back();
}

}  // namespace loopwatch
