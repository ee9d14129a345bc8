// SPDX-License-Identifier: Apache-2.0
#include "collect/dispatch_book.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "collect/thinning.hpp"

namespace loopwatch {

namespace {

bool worth_reporting(const DispatchBundle& bundle)
{
    return !bundle.long_blocks.empty() || !bundle.calls.empty();
}

// In a vector, which may have grown to twice what it needs.
template <class T>
constexpr std::size_t head_bytes = 2 * sizeof(T);

std::uint64_t duration_of(const LongBlock& block)
{
    return block.end_ns - std::min(block.start_ns, block.end_ns);
}

std::uint64_t duration_of(const CallEvent& call)
{
    return call.end_ns - std::min(call.start_ns, call.end_ns);
}

// Keeps the times of the longer one.
void add_to(CallEvent& sum, const CallEvent& more, std::uint64_t sum_ns, std::uint64_t more_ns)
{
    sum.more += 1 + more.more;
    sum.more_ns += more.more_ns + std::min(sum_ns, more_ns);
    sum.more_longest_ns = std::max({sum.more_longest_ns, more.more_longest_ns, std::min(sum_ns, more_ns)});
    if (more_ns <= sum_ns) return;
    sum.start_ns = more.start_ns;
    sum.end_ns = more.end_ns;
}

// False: there is none.
bool add_to_its_like(std::vector<CallEvent>& calls, const CallEvent& event)
{
    CallEvent* shortest = nullptr;
    for (auto& call : calls) {
        const bool same = call.caller == event.caller && call.call.view() == event.call.view();
        if (same && (!shortest || duration_of(call) < duration_of(*shortest))) shortest = &call;
    }
    if (shortest) add_to(*shortest, event, duration_of(*shortest), duration_of(event));
    return shortest != nullptr;
}

// One stands for what the other did, too.
void add_weight(SampleEvent& sample, const SampleEvent& gone)
{
    sample.stands_for_ns += gone.stands_for_ns;
}

void add_weight(SourceEvent& found_blocked, const SourceEvent& gone)
{
    found_blocked.count += gone.count;
}

// Of those since then.
std::uint64_t distance_between(const auto& samples, std::uint64_t time_ns = 0)
{
    std::uint64_t longest_ns = 0;
    for (const SampleEvent& sample : samples)
        if (sample.head.time_ns >= time_ns) longest_ns = std::max<std::uint64_t>(longest_ns, sample.stands_for_ns);
    return longest_ns;
}

// `stack = {}` would assign an empty list, and keep the memory.
void free_stack(std::vector<std::uint8_t>& stack)
{
    stack = std::vector<std::uint8_t>();
}

}  // namespace

bool is_rest(const CallEvent& event)
{
    return event.call.empty() && event.caller == 0;
}

void DispatchBundle::add_rest(const CallEvent& event)
{
    unrecorded_ns += duration_of(event) + event.more_ns;
}

// A loop runs one dispatch at a time: a later one proves that earlier ones of its thread ended. Either they were
// neither slow nor held a long block, or the record that closes them was lost or, without probes, never comes.
DispatchBundle& DispatchBook::open(const EventHead& head)
{
    const Key key{head.tid, head.seq};
    for (auto older = open_.lower_bound({head.tid, 0}); older != open_.end() && older->first < key;
         older = open_.lower_bound({head.tid, 0})) {
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
    // Its thread's number was another process's before.
    if (const auto known = open_.find(key); known != open_.end() && known->second.pid != head.pid) (void)take(known);
    auto& bundle = open_[key];
    bundle.pid = head.pid;
    bundle.tid = head.tid;
    bundle.loop_id = head.loop_id;
    bundle.seq = head.seq;
    bundle.last_ns = head.time_ns;
    return bundle;
}

// False: it does not fit, and is a loss.
bool DispatchBook::hold_head(DispatchBundle& bundle, std::size_t bytes)
{
    if (!heads_.take(bundle.pid, bytes)) {
        ++overflow_;
        return false;
    }
    bundle.head_bytes += bytes;
    return true;
}

// What does not fit is freed.
void DispatchBook::hold_stack(DispatchBundle& bundle, std::vector<std::uint8_t>& stack)
{
    if (stacks_.take(bundle.pid, stack.size())) {
        bundle.stack_bytes += stack.size();
        return;
    }
    ++overflow_;
    free_stack(stack);
}

void DispatchBook::drop_stack(DispatchBundle& bundle, std::vector<std::uint8_t>& stack)
{
    bundle.stack_bytes -= stack.size();
    stacks_.give_back(bundle.pid, stack.size());
    free_stack(stack);
}

DispatchBundle DispatchBook::take(std::map<Key, DispatchBundle>::iterator open)
{
    auto bundle = std::move(open->second);
    open_.erase(open);
    stacks_.give_back(bundle.pid, std::exchange(bundle.stack_bytes, 0));
    heads_.give_back(bundle.pid, std::exchange(bundle.head_bytes, 0));
    return bundle;
}

template <class T>
void DispatchBook::put(Last<T>& last, T event)
{
    const auto& head = event.head;
    (void)take(last, head.tid);
    if (last.size() < max_open && last_.take(head.pid, event.stack.bytes.size()))
        last.emplace(head.tid, std::move(event));
    else
        ++overflow_;
}

template <class T>
std::optional<T> DispatchBook::take(Last<T>& last, std::uint32_t tid)
{
    auto taken = last.extract(tid);
    if (taken.empty()) return std::nullopt;
    last_.give_back(taken.mapped().head.pid, taken.mapped().stack.bytes.size());
    return std::move(taken.mapped());
}

template <class T>
void DispatchBook::forget(Last<T>& last, std::uint32_t pid)
{
    for (auto at = last.begin(); at != last.end();)
        if (const auto current = at++; current->second.head.pid == pid) (void)take(last, current->first);
}

void DispatchBook::add(SourceEvent event)
{
    auto& bundle = open(event.head);
    if (event.index >= max_places) return;
    if (event.single) {
        auto waker = take_waker(event);
        if (bundle.long_blocks.size() >= max_long_blocks) {
            ++overflow_;
        } else if (hold_head(bundle, head_bytes<LongBlock>)) {
            LongBlock block{event.index, event.block_start_ns, event.block_end_ns, event.waker, {}};
            hold_waker(bundle, block, std::move(waker));
            bundle.long_blocks.push_back(std::move(block));
        }
    }
    if (bundle.places.size() <= event.index) bundle.places.resize(event.index + 1);
    auto& place = bundle.places[event.index];
    if (event.stack.bytes.empty() && !place.stack.bytes.empty()) {
        event.stack = std::move(place.stack);
    } else {
        drop_stack(bundle, place.stack.bytes);
        hold_stack(bundle, event.stack.bytes);
    }
    place = std::move(event);
}

// Where there is no room, one of a longer block takes that of the shortest.
void DispatchBook::hold_waker(DispatchBundle& bundle, LongBlock& block, std::optional<WakerEvent> waker)
{
    if (!waker) return;
    LongBlock* shortest = nullptr;
    std::size_t stacks = 0;
    for (auto& other : bundle.long_blocks) {
        if (other.place != block.place || !other.waker_stack) continue;
        ++stacks;
        if (!shortest || duration_of(other) < duration_of(*shortest)) shortest = &other;
    }
    if (shortest && (stacks >= max_waker_stacks || !stacks_.has_room(bundle.pid, waker->stack.bytes.size()))) {
        ++overflow_;
        if (duration_of(block) < duration_of(*shortest)) return;
        drop_stack(bundle, shortest->waker_stack->stack.bytes);
        shortest->waker_stack.reset();
    }
    const bool read = !waker->stack.bytes.empty();  // else its registers are all that is known
    hold_stack(bundle, waker->stack.bytes);
    if (!read || !waker->stack.bytes.empty()) block.waker_stack = std::move(waker);
}

void DispatchBook::add(WakerEvent event)
{
    put(wakers_, std::move(event));
}

std::optional<WakerEvent> DispatchBook::take_waker(const SourceEvent& block)
{
    auto waker = take(wakers_, block.head.tid);
    const bool same = waker && waker->waker_tid == block.waker.tid && waker->head.time_ns >= block.block_start_ns;
    return same ? std::move(waker) : std::nullopt;
}

void DispatchBook::add(ThrownEvent event)
{
    put(thrown_, std::move(event));
}

std::optional<ThrownEvent> DispatchBook::take_thrown(std::uint32_t tid)
{
    return take(thrown_, tid);
}

void DispatchBook::add(SampleEvent event)
{
    auto& bundle = open(event.head);
    if (bundle.samples.size() >= max_samples) thin_out(bundle);
    if (!hold_head(bundle, head_bytes<SampleEvent>)) return;
    hold_stack(bundle, event.stack.bytes);
    bundle.samples.push_back(std::move(event));
}

void DispatchBook::thin_out(DispatchBundle& bundle)
{
    const auto held = bundle.samples.size();
    thin(bundle.samples, [&](SampleEvent& kept, SampleEvent& gone) {
        add_weight(kept, gone);
        drop_stack(bundle, gone.stack.bytes);
    });
    const auto bytes = (held - bundle.samples.size()) * head_bytes<SampleEvent>;
    bundle.head_bytes -= bytes;
    heads_.give_back(bundle.pid, bytes);
}

void DispatchBook::add(CallEvent event)
{
    auto& bundle = open(event.head);
    if (is_rest(event)) return bundle.add_rest(event);
    const bool has_room = bundle.calls.size() < max_calls;
    if (has_room && hold_head(bundle, head_bytes<CallEvent>)) {
        hold_stack(bundle, event.stack.bytes);
        bundle.calls.push_back(std::move(event));
        return;
    }
    if (!has_room) ++overflow_;
    if (!add_to_its_like(bundle.calls, event)) bundle.add_rest(event);
}

DispatchBundle DispatchBook::close(const DispatchEvent& closing)
{
    auto& bundle = open(closing.head);
    bundle.closing = closing;
    bundle.unrecorded_ns += closing.unrecorded_ns;
    place_sleep(bundle);
    return take(open_.find({closing.head.tid, closing.head.seq}));
}

void DispatchBook::found_asleep(SourceEvent place)
{
    auto& bundle = open(place.head);
    if (bundle.asleep || !hold_head(bundle, sizeof(SourceEvent))) return;
    hold_stack(bundle, place.stack.bytes);
    bundle.asleep = std::move(place);
}

// The first switch that was seen of a thread that slept when its loop was entered brought it back to a CPU: until then
// it was where it was found.
void DispatchBook::place_sleep(DispatchBundle& bundle)
{
    auto& closing = *bundle.closing;
    const auto from_ns = std::max(closing.start_ns, closing.entered_ns);
    const auto until_ns = std::min(closing.seen_ns, closing.end_ns);
    if (!bundle.asleep || until_ns <= from_ns) return;
    auto place = std::move(*std::exchange(bundle.asleep, std::nullopt));
    place.index = static_cast<std::uint32_t>(bundle.places.size());
    place.count = 1;
    place.total_ns = place.longest_ns = until_ns - from_ns;
    place.block_start_ns = from_ns;
    place.block_end_ns = until_ns;
    bundle.places.push_back(std::move(place));
    closing.blocked_ns += until_ns - from_ns;
    ++closing.blocks;
    closing.seen_ns = from_ns;
}

void DispatchBook::keep(DispatchBundle& ended)
{
    if (ended.samples.empty()) return;
    auto& samples = recent_of(ended.pid, ended.tid).samples;
    for (auto& sample : ended.samples) put(samples, std::move(sample));
    ended.samples.clear();
}

DispatchBook::Recent& DispatchBook::recent_of(std::uint32_t pid, std::uint32_t tid)
{
    if (recent_.size() >= max_recent && !recent_.contains(tid)) (void)take_recent(recent_.begin()->first);
    auto& recent = recent_[tid];
    recent.pid = pid;
    return recent;
}

template <class T>
void DispatchBook::put(std::deque<T>& recent, T event)
{
    if (recent.size() >= max_samples) thin_out(recent);
    if (!stacks_.take(event.head.pid, event.stack.bytes.size())) {
        ++overflow_;
        free_stack(event.stack.bytes);
    }
    recent.push_back(std::move(event));
}

template <class T>
void DispatchBook::thin_out(std::deque<T>& recent)
{
    thin(recent, [&](T& kept, T& gone) {
        add_weight(kept, gone);
        stacks_.give_back(gone.head.pid, gone.stack.bytes.size());
        free_stack(gone.stack.bytes);
    });
}

DispatchBook::Recent DispatchBook::take_recent(std::uint32_t tid)
{
    auto taken = recent_.extract(tid);
    if (taken.empty()) return {};
    const auto give_back = [&](const auto& event) { stacks_.give_back(event.head.pid, event.stack.bytes.size()); };
    std::ranges::for_each(taken.mapped().samples, give_back);
    std::ranges::for_each(taken.mapped().blocked, give_back);
    return std::move(taken.mapped());
}

void DispatchBook::found_blocked(std::uint32_t tid, SourceEvent place)
{
    place.count = 1;
    put(recent_of(place.head.pid, tid).blocked, std::move(place));
}

std::uint64_t DispatchBook::sample_distance_since(std::uint32_t tid, std::uint64_t time_ns) const
{
    std::uint64_t longest_ns = 0;
    if (const auto recent = recent_.find(tid); recent != recent_.end())
        longest_ns = distance_between(recent->second.samples, time_ns);
    for (auto open = open_.lower_bound({tid, 0}); open != open_.end() && open->first.first == tid; ++open)
        longest_ns = std::max(longest_ns, distance_between(open->second.samples, time_ns));
    return longest_ns;
}

// Each time it was found blocked stands for as much of the time that it was.
DispatchBundle DispatchBook::close(const IterationEvent& closing)
{
    const auto tid = closing.head.tid;
    (void)open(closing.head);  // earlier ones have ended
    DispatchBundle bundle;
    bundle.pid = closing.head.pid;
    bundle.tid = tid;
    bundle.loop_id = closing.head.loop_id;
    bundle.seq = closing.head.seq;
    bundle.dispatches = closing.dispatches;
    auto last = take(open_.find({tid, closing.head.seq}));
    keep(last);
    auto recent = take_recent(tid);
    const auto within = [&](std::uint64_t time_ns) { return time_ns >= closing.start_ns && time_ns <= closing.end_ns; };
    for (auto& sample : recent.samples)
        if (within(sample.head.time_ns)) bundle.samples.push_back(std::move(sample));
    std::erase_if(recent.blocked, [&](const SourceEvent& place) { return !within(place.block_start_ns); });
    std::uint64_t times = 0;
    for (const auto& place : recent.blocked) times += place.count;
    for (auto& place : recent.blocked) {
        const auto share = static_cast<double>(place.count) / static_cast<double>(times);
        place.total_ns = static_cast<std::uint64_t>(static_cast<double>(closing.blocked_ns) * share);
        place.longest_ns = place.total_ns / place.count;
        bundle.places.push_back(std::move(place));
    }
    DispatchEvent sums = {};
    sums.head = closing.head;
    sums.start_ns = closing.start_ns;
    sums.end_ns = closing.end_ns;
    sums.blocked_ns = closing.blocked_ns;
    sums.runq_ns = closing.runq_ns;
    sums.throttled_ns = closing.throttled_ns;
    sums.stopped_ns = closing.stopped_ns;
    sums.entered_ns = sums.seen_ns = closing.entered_ns;
    sums.slow = true;
    bundle.closing = sums;
    return bundle;
}

std::vector<DispatchBundle> DispatchBook::abandon(std::uint32_t tid)
{
    (void)take_recent(tid);
    (void)take(wakers_, tid);
    (void)take(thrown_, tid);
    std::vector<DispatchBundle> abandoned;
    for (auto open = open_.lower_bound({tid, 0}); open != open_.end() && open->first.first == tid;
         open = open_.lower_bound({tid, 0})) {
        auto bundle = take(open);
        bundle.last = true;
        if (worth_reporting(bundle)) abandoned.push_back(std::move(bundle));
    }
    return abandoned;
}

std::vector<DispatchBundle> DispatchBook::abandon_process(std::uint32_t pid)
{
    std::set<std::uint32_t> threads;
    for (const auto& [key, bundle] : open_)
        if (bundle.pid == pid) threads.insert(key.first);
    for (const auto& [tid, recent] : recent_)
        if (recent.pid == pid) threads.insert(tid);
    std::vector<DispatchBundle> abandoned;
    for (const auto tid : threads) std::ranges::move(abandon(tid), std::back_inserter(abandoned));
    forget(wakers_, pid);
    forget(thrown_, pid);
    return abandoned;
}

std::vector<DispatchBundle> DispatchBook::take_superseded()
{
    return std::exchange(superseded_, {});
}

DispatchBundle DispatchBook::so_far(std::uint32_t tid, std::uint64_t seq) const
{
    DispatchBundle bundle;
    bundle.tid = tid;
    bundle.seq = seq;
    const auto found = open_.find({tid, seq});
    if (found == open_.end()) return bundle;
    const auto& known = found->second;
    bundle.pid = known.pid;
    bundle.loop_id = known.loop_id;
    bundle.last_ns = known.last_ns;
    bundle.places = known.places;
    bundle.calls = known.calls;
    bundle.unrecorded_ns = known.unrecorded_ns;
    bundle.samples = known.samples;
    bundle.asleep = known.asleep;
    bundle.long_blocks.reserve(known.long_blocks.size());
    std::array<const LongBlock*, max_places> longest = {};
    for (const auto& block : known.long_blocks) {
        bundle.long_blocks.push_back({block.place, block.start_ns, block.end_ns, block.waker, {}});
        auto& so_far = longest[block.place];
        if (!so_far || duration_of(block) >= duration_of(*so_far)) so_far = &block;
    }
    for (const auto* block : longest)
        if (block)
            bundle.long_blocks[static_cast<std::size_t>(block - known.long_blocks.data())].waker_stack =
                block->waker_stack;
    return bundle;
}

std::uint64_t DispatchBook::sample_distance_of(std::uint32_t tid, std::uint64_t seq) const
{
    const auto found = open_.find({tid, seq});
    return found == open_.end() ? 0 : distance_between(found->second.samples);
}

}  // namespace loopwatch
