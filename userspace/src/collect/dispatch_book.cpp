// SPDX-License-Identifier: Apache-2.0
#include "collect/dispatch_book.hpp"

#include <algorithm>

namespace loopwatch {

namespace {

bool worth_reporting(const DispatchBundle& bundle)
{
    return !bundle.long_blocks.empty() || !bundle.calls.empty();
}

}  // namespace

// A loop runs one dispatch at a time: a later one proves that earlier ones of its thread ended. Either they were
// neither slow nor held a long block, or the record that closes them was lost or, without probes, never comes.
DispatchBundle& DispatchBook::open(const lw_event& event)
{
    const Key key{event.tid, event.seq};
    for (auto older = open_.lower_bound({event.tid, 0}); older != open_.end() && older->first < key;
         older = open_.erase(older))
        if (worth_reporting(older->second)) superseded_.push_back(std::move(older->second));
    if (open_.size() >= max_open && !open_.contains(key)) {
        const auto oldest = std::min_element(open_.begin(), open_.end(), [](const auto& a, const auto& b) {
            return a.second.last_ns < b.second.last_ns;
        });
        open_.erase(oldest);
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

void DispatchBook::add(SourceEvent event)
{
    auto& bundle = open(event.head.event);
    const auto& head = event.head;
    if (head.index >= LW_SOURCES) return;
    if (head.single && bundle.long_blocks.size() < max_long_blocks)
        bundle.long_blocks.push_back(
            {head.index, head.block_start_ns, head.block_end_ns, head.waker, take_waker(head)});
    else if (head.single)
        ++overflow_;
    if (bundle.places.size() <= head.index) bundle.places.resize(head.index + 1);
    auto& place = bundle.places[head.index];
    if (event.stack.empty() && !place.stack.empty()) {
        const auto stack = place.head.stack;
        place.head = head;
        place.head.stack = stack;
    } else {
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
    if (bundle.samples.size() < max_samples) bundle.samples.push_back(std::move(event));
}

void DispatchBook::add(CallEvent event)
{
    auto& bundle = open(event.head.event);
    if (bundle.calls.size() < max_calls)
        bundle.calls.push_back(std::move(event));
    else
        ++overflow_;
}

DispatchBundle DispatchBook::close(const lw_dispatch& closing)
{
    auto& bundle = open(closing.event);
    bundle.closing = closing;
    auto closed = std::move(bundle);
    open_.erase({closing.event.tid, closing.event.seq});
    return closed;
}

std::vector<DispatchBundle> DispatchBook::abandon(std::uint32_t tid)
{
    std::vector<DispatchBundle> abandoned;
    for (auto bundle = open_.lower_bound({tid, 0}); bundle != open_.end() && bundle->first.first == tid;
         bundle = open_.erase(bundle))
        if (worth_reporting(bundle->second)) abandoned.push_back(std::move(bundle->second));
    return abandoned;
}

std::vector<DispatchBundle> DispatchBook::abandon_all()
{
    std::vector<DispatchBundle> abandoned;
    for (auto& [key, bundle] : open_)
        if (worth_reporting(bundle)) abandoned.push_back(std::move(bundle));
    open_.clear();
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
