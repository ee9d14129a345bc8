// SPDX-License-Identifier: Apache-2.0
#include "attach/loop_search.hpp"

#include <utility>

namespace loopwatch {

namespace {

constexpr std::uint64_t most_ns = 10'000'000'000;    // how long for stacks that show the loops
constexpr std::uint64_t settling_ns = 30'000'000;    // and for threads that are awake to wait somewhere
constexpr std::uint64_t unsettled_ns = 200'000'000;  // if by then none is known
constexpr std::size_t max_suspects = 8;              // threads that spin
constexpr std::size_t max_samples = 256;
constexpr std::uint64_t sampling_ns = 80'000'000, sample_period_ns = 5'000'000;  // for how long, and how often

}  // namespace

LoopSearch::LoopSearch(LoopFinder& finder, Sample sample, std::uint64_t now_ns)
    : finder_(finder), sample_(std::move(sample)), began_ns_(now_ns)
{
}

bool LoopSearch::is_settled(bool knows_loop, std::uint64_t now_ns) const
{
    const auto age_ns = now_ns - began_ns_;
    if (age_ns < (finder_.awake() ? settling_ns : 0)) return false;
    const bool may_settle = finder_.unanswered() || (finder_.awake() && !knows_loop);
    const bool waits = finder_.is_asking() || (may_settle && age_ns < unsettled_ns);
    return !waits || age_ns >= most_ns;
}

void LoopSearch::go_on(bool knows_loop, std::uint64_t now_ns)
{
    if (stage_ == Stage::settling && is_settled(knows_loop, now_ns)) suspect_spinning(now_ns);
    if (stage_ == Stage::sampling && now_ns >= sampled_ns_ + sampling_ns) {
        sampling_.clear();
        stage_ = Stage::naming;
    }
    if (stage_ != Stage::naming || (finder_.is_asking() && now_ns < began_ns_ + most_ns)) return;
    finder_.clear_suspects();
    // What is by now old enough to be reported at the first look is reported with its stack.
    for (auto& sample : std::exchange(samples_, {}))
        if (finder_.hangs(sample.head.tid)) hanging_.push_back(std::move(sample));
    stage_ = Stage::over;
}

// One attaches because a server hangs. Threads that have run all the while may be loops whose callback does not end.
void LoopSearch::suspect_spinning(std::uint64_t now_ns)
{
    stage_ = Stage::naming;
    for (const auto tid : finder_.never_waiting()) {
        if (sampling_.size() >= max_suspects || !finder_.suspect(tid)) continue;
        if (auto sampling = sample_(tid, sample_period_ns)) sampling_.push_back(std::move(sampling));
    }
    if (sampling_.empty()) return;
    stage_ = Stage::sampling;
    sampled_ns_ = now_ns;
}

bool LoopSearch::take(const SampleEvent& event)
{
    const auto tid = event.head.tid;
    if (is_over() || !(finder_.suspects(tid) || finder_.hangs(tid)) || samples_.size() >= max_samples) return false;
    finder_.on(event);
    samples_.push_back(event);
    return true;
}

std::vector<SampleEvent> LoopSearch::take_hanging()
{
    return std::exchange(hanging_, {});
}

}  // namespace loopwatch
