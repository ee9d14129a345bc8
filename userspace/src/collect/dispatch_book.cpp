// SPDX-License-Identifier: Apache-2.0
#include "collect/dispatch_book.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace loopwatch {

namespace {

bool worth_reporting(const DispatchBundle& bundle)
{
    return !bundle.long_blocks.empty() || !bundle.calls.empty();
}

// `stack = {}` would assign an empty list, and keep the memory.
void free_stack(std::vector<std::uint8_t>& stack)
{
    stack = std::vector<std::uint8_t>();
}

}  // namespace

// A loop runs one dispatch at a time: a later one proves that earlier ones of its thread ended. Either they were
// neither slow nor held a long block, or the record that closes them was lost or, without probes, never comes.
DispatchBundle& DispatchBook::open(const lw_event& event)
{
    const Key key{event.tid, event.seq};
    for (auto older = open_.lower_bound({event.tid, 0}); older != open_.end() && older->first < key;
         older = open_.lower_bound({event.tid, 0})) {
        auto ended = take(older);
        keep(ended);
        if (worth_reporting(ended)) superseded_.push_back(std::move(ended));
    }
    if (open_.size() >= max_open && !open_.contains(key)) {
        const auto oldest = std::min_element(open_.begin(), open_.end(), [](const auto& a, const auto& b) {
            return a.second.last_ns < b.second.last_ns;
        });
        (void)take(oldest);
        ++overflow_;
    }
    auto& bundle = open_[key];
    bundle.pid = event.pid;
    bundle.tid = event.tid;
    bundle.loop_id = event.loop_id;
    bundle.seq = event.seq;
    bundle.last_ns = event.time_ns;
    return bundle;
}

// The stack goes into the bundle, if it fits.
void DispatchBook::hold(DispatchBundle& bundle, std::vector<std::uint8_t>& stack)
{
    if (stack.empty()) return;
    auto& of_process = stack_bytes_[bundle.pid];
    if (all_stack_bytes_ + stack.size() > max_stack_bytes && of_process + stack.size() > assured_stack_bytes) {
        free_stack(stack);
        ++overflow_;
        return;
    }
    bundle.stack_bytes += stack.size();
    of_process += stack.size();
    all_stack_bytes_ += stack.size();
}

void DispatchBook::drop(DispatchBundle& bundle, std::vector<std::uint8_t>& stack)
{
    bundle.stack_bytes -= stack.size();
    stack_bytes_[bundle.pid] -= stack.size();
    all_stack_bytes_ -= stack.size();
    free_stack(stack);
}

DispatchBundle DispatchBook::take(std::map<Key, DispatchBundle>::iterator open)
{
    auto bundle = std::move(open->second);
    open_.erase(open);
    all_stack_bytes_ -= bundle.stack_bytes;
    const auto of_process = stack_bytes_.find(bundle.pid);
    if (of_process != stack_bytes_.end() && (of_process->second -= bundle.stack_bytes) == 0)
        stack_bytes_.erase(of_process);
    return bundle;
}

void DispatchBook::add(SourceEvent event)
{
    auto& bundle = open(event.head.event);
    const auto& head = event.head;
    if (head.index >= LW_SOURCES) return;
    if (head.single && bundle.long_blocks.size() < max_long_blocks) {
        auto waker = take_waker(head);
        if (waker) hold(bundle, waker->stack);
        bundle.long_blocks.push_back(
            {head.index, head.block_start_ns, head.block_end_ns, head.waker, std::move(waker)});
    } else if (head.single) {
        ++overflow_;
    }
    if (bundle.places.size() <= head.index) bundle.places.resize(head.index + 1);
    auto& place = bundle.places[head.index];
    if (event.stack.empty() && !place.stack.empty()) {
        const auto stack = place.head.stack;
        place.head = head;
        place.head.stack = stack;
    } else {
        drop(bundle, place.stack);
        hold(bundle, event.stack);
        place = std::move(event);
    }
}

void DispatchBook::add(WakerEvent event)
{
    const auto tid = event.head.event.tid;
    if (wakers_.size() < max_open || wakers_.contains(tid)) wakers_.insert_or_assign(tid, std::move(event));
}

std::optional<WakerEvent> DispatchBook::take_waker(const lw_source& source)
{
    auto waker = wakers_.extract(source.event.tid);
    const bool same = !waker.empty() && waker.mapped().head.waker_tid == source.waker.tid &&
                      waker.mapped().head.event.time_ns >= source.block_start_ns;
    if (!same) return std::nullopt;
    return std::move(waker.mapped());
}

void DispatchBook::add(SampleEvent event)
{
    auto& bundle = open(event.head.event);
    if (bundle.samples.size() >= max_samples) return;
    hold(bundle, event.stack);
    bundle.samples.push_back(std::move(event));
}

void DispatchBook::add(CallEvent event)
{
    auto& bundle = open(event.head.event);
    if (bundle.calls.size() >= max_calls) {
        ++overflow_;
        return;
    }
    hold(bundle, event.stack);
    bundle.calls.push_back(std::move(event));
}

DispatchBundle DispatchBook::close(const lw_dispatch& closing)
{
    open(closing.event).closing = closing;
    return take(open_.find({closing.event.tid, closing.event.seq}));
}

void DispatchBook::keep(DispatchBundle& ended)
{
    if (ended.samples.empty()) return;
    auto& samples = recent_of(ended.tid).samples;
    for (auto& sample : ended.samples) samples.push_back(std::move(sample));
    ended.samples.clear();
    while (samples.size() > max_samples) samples.pop_front();
}

DispatchBook::Recent& DispatchBook::recent_of(std::uint32_t tid)
{
    if (recent_.size() >= max_recent && !recent_.contains(tid)) recent_.erase(recent_.begin());
    return recent_[tid];
}

void DispatchBook::found_blocked(std::uint32_t tid, SourceEvent place)
{
    auto& blocked = recent_of(tid).blocked;
    blocked.push_back(std::move(place));
    if (blocked.size() > max_samples) blocked.pop_front();
}

std::size_t DispatchBook::samples_since(std::uint32_t tid, std::uint64_t time_ns) const
{
    std::size_t count = 0;
    const auto later = [&](const SampleEvent& sample) { return sample.head.event.time_ns >= time_ns; };
    if (const auto recent = recent_.find(tid); recent != recent_.end())
        count += static_cast<std::size_t>(std::ranges::count_if(recent->second.samples, later));
    for (auto open = open_.lower_bound({tid, 0}); open != open_.end() && open->first.first == tid; ++open)
        count += static_cast<std::size_t>(std::ranges::count_if(open->second.samples, later));
    return count;
}

// Each time it was found blocked stands for as much of the time that it was.
DispatchBundle DispatchBook::close(const lw_iteration& closing)
{
    const auto tid = closing.event.tid;
    (void)open(closing.event);  // earlier ones have ended
    DispatchBundle bundle;
    bundle.pid = closing.event.pid;
    bundle.tid = tid;
    bundle.loop_id = closing.event.loop_id;
    bundle.seq = closing.event.seq;
    bundle.dispatches = closing.dispatches;
    auto last = take(open_.find({tid, closing.event.seq}));
    keep(last);
    auto recent = std::exchange(recent_[tid], {});
    recent_.erase(tid);
    const auto within = [&](std::uint64_t time_ns) { return time_ns >= closing.start_ns && time_ns <= closing.end_ns; };
    for (auto& sample : recent.samples)
        if (within(sample.head.event.time_ns)) bundle.samples.push_back(std::move(sample));
    std::erase_if(recent.blocked, [&](const SourceEvent& place) { return !within(place.head.block_start_ns); });
    for (auto& place : recent.blocked) {
        place.head.total_ns = place.head.longest_ns = closing.blocked_ns / recent.blocked.size();
        place.head.count = 1;
        bundle.places.push_back(std::move(place));
    }
    lw_dispatch sums = {};
    sums.event = closing.event;
    sums.start_ns = closing.start_ns;
    sums.end_ns = closing.end_ns;
    sums.blocked_ns = closing.blocked_ns;
    sums.runq_ns = closing.runq_ns;
    sums.throttled_ns = closing.throttled_ns;
    sums.stopped_ns = closing.stopped_ns;
    sums.entered_ns = sums.seen_ns = closing.entered_ns;
    sums.slow = 1;
    bundle.closing = sums;
    return bundle;
}

std::vector<DispatchBundle> DispatchBook::abandon(std::uint32_t tid)
{
    recent_.erase(tid);
    wakers_.erase(tid);
    std::vector<DispatchBundle> abandoned;
    for (auto open = open_.lower_bound({tid, 0}); open != open_.end() && open->first.first == tid;
         open = open_.lower_bound({tid, 0}))
        if (auto bundle = take(open); worth_reporting(bundle)) abandoned.push_back(std::move(bundle));
    return abandoned;
}

std::vector<DispatchBundle> DispatchBook::abandon_process(std::uint32_t pid)
{
    std::vector<std::uint32_t> threads;
    for (const auto& [key, bundle] : open_)
        if (bundle.pid == pid && (threads.empty() || threads.back() != key.first)) threads.push_back(key.first);
    std::vector<DispatchBundle> abandoned;
    for (const auto tid : threads) std::ranges::move(abandon(tid), std::back_inserter(abandoned));
    return abandoned;
}

std::vector<DispatchBundle> DispatchBook::take_superseded()
{
    return std::exchange(superseded_, {});
}

DispatchBundle DispatchBook::so_far(std::uint32_t tid, std::uint64_t seq) const
{
    const auto found = open_.find({tid, seq});
    if (found != open_.end()) return found->second;
    DispatchBundle bundle;
    bundle.tid = tid;
    bundle.seq = seq;
    return bundle;
}

std::size_t DispatchBook::samples_of(std::uint32_t tid, std::uint64_t seq) const
{
    const auto found = open_.find({tid, seq});
    return found == open_.end() ? 0 : found->second.samples.size();
}

}  // namespace loopwatch
