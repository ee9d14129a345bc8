// SPDX-License-Identifier: Apache-2.0
#include "attach/start_watch.hpp"

#include <utility>
#include <variant>

namespace loopwatch {

namespace {

bool is_a_wait(const SourceEvent& place)
{
    return place.syscall >= 0 && waits_for_events(static_cast<std::uint32_t>(place.syscall));
}

}  // namespace

StartWatch::StartWatch(LoopFinder& finder, std::uint32_t tid, const LoopSearch::Sample& sample, Blocked blocked,
                       std::uint64_t now_ns)
    : finder_(finder), tid_(tid), blocked_(std::move(blocked)), began_ns_(now_ns), looked_ns_(now_ns)
{
    finder_.watch_start();
    if (finder_.is_starting(tid_)) sampling_ = sample(tid_, sample_period_ns);
}

bool StartWatch::take(const Event& event)
{
    const auto* const sample = std::get_if<SampleEvent>(&event);
    const auto* const place = std::get_if<SourceEvent>(&event);
    if (is_over() || (!sample && !place)) return false;
    if ((sample ? sample->head : place->head).tid != tid_) return false;
    auto held = std::make_shared<const Event>(event);
    if (sample)
        look(sample->stack, false, sample->head.time_ns, std::move(held));
    else
        look(place->stack, is_a_wait(*place), place->block_start_ns, std::move(held));
    return true;
}

void StartWatch::look(RawStack stack, bool waits, std::uint64_t at_ns, std::shared_ptr<const Event> held)
{
    if (asked_ >= most_asked || stack.bytes.empty()) return;
    ++asked_;
    finder_.look_at_start(std::move(stack), waits, at_ns,
                          [this, held = std::move(held), alive = std::weak_ptr(alive_)](bool is_loop) {
                              if (alive.expired()) return;
                              --asked_;
                              if (is_loop && held) shown_.push_back(*held);
                          });
}

// A block has a record only when it is over; a callback that hangs is to be known before.
void StartWatch::go_on(std::uint64_t now_ns)
{
    if (!finder_.is_starting(tid_)) return sampling_.reset();
    if (now_ns >= began_ns_ + most_ns) return finder_.give_up_start();
    if (now_ns < looked_ns_ + look_ns) return;
    looked_ns_ = now_ns;
    auto place = blocked_();
    if (!place || place->block_start_ns == looked_at_ns_ || now_ns < place->block_start_ns + look_ns) return;
    looked_at_ns_ = place->block_start_ns;
    look(std::move(place->stack), is_a_wait(*place), place->block_start_ns, nullptr);
}

std::vector<Event> StartWatch::take_shown()
{
    return std::exchange(shown_, {});
}

}  // namespace loopwatch
