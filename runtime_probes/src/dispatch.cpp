// SPDX-License-Identifier: Apache-2.0
//
// The loop's inner part: polls, and the dispatch path, whose cost is counted in README.md.
#include <loopwatch/rt/loop.hpp>

#include <algorithm>
#include <atomic>

#include <loopwatch/probe.hpp>
#include <loopwatch/rt/registry.hpp>

namespace loopwatch {

namespace {

constexpr lw_u64 no_timeout = ~0ull;
constexpr int impact_entries = 1024;  // looked at one by one in a slow dispatch's impact

bool attached() noexcept
{
    return (probe::watched() || probe::traced()) && !detail::forked;
}

// Orders the slot's stores for readers on this CPU (the kernel side); x86 keeps the order for all others.
void publish_order() noexcept
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace

void Loop::receive() noexcept
{
    for (detail::Inbound* item = mailbox_->take(); item != nullptr;) {
        detail::Inbound* const next = item->next_inbound;
        item->arrive(this);
        item = next;
    }
}

void Loop::poll(bool may_wait)
{
    if (attached()) [[unlikely]]
        begin_poll(may_wait);
    std::size_t events = 0;
    if (may_wait && mailbox_->begin_wait()) {
        if (!stopping_) events = context_.run_one();
        mailbox_->end_wait();
    }
    events += context_.poll();
    if (context_.stopped()) stopping_ = true;
    receive();
    if (attached()) [[unlikely]] {
        batch_end_ = end_poll(events);
    } else {
        batch_end_ = 0;
        slot_.poll_since = 0;
    }
}

[[gnu::cold]] void Loop::begin_poll(bool may_wait) noexcept
{
    slot_.poll_since = batch_end_ != 0 ? batch_end_ : clock_.ticks();
    probe::poll_begin(slot_.loop_id, may_wait ? no_timeout : 0);
}

[[gnu::cold]] lw_u64 Loop::end_poll(std::size_t events) noexcept
{
    const lw_u64 now = clock_.ticks();
    if (slot_.poll_since != 0) slot_.idle_ticks += now - slot_.poll_since;
    slot_.poll_since = 0;
    ++slot_.iterations;
    probe::poll_end(slot_.loop_id, events);
    // After the wait, which may have been long, and before the first dispatch: moments are fresh.
    if (!clock_.maintain()) return now;
    clock_changed();
    return clock_.ticks();
}

// From nanoseconds to the TSC's ticks, once in a loop's life: what was counted so far is counted in the unit it was.
[[gnu::cold]] void Loop::clock_changed() noexcept
{
    for (lw_u64* counter : {&slot_.busy_ticks, &slot_.idle_ticks, &slot_.max_ticks})
        *counter = clock_.to_ticks(*counter);
    floor_ticks_ = clock_.to_ticks(slot_.floor_ns);
    for (lw_u32* histogram : {slot_.dispatch_histogram, slot_.lag_histogram}) {
        lw_u32 scaled[LW_HISTOGRAM_BUCKETS] = {};
        for (lw_u32 bucket = 0; bucket < LW_HISTOGRAM_BUCKETS; ++bucket) {
            const lw_u64 least = bucket < 4 ? bucket : (4ull + bucket % 4) << (bucket / 4 - 1);
            scaled[lw_bucket_of(clock_.to_ticks(least))] += histogram[bucket];
        }
        std::copy(std::begin(scaled), std::end(scaled), histogram);
    }
}

void Loop::drain(lw_u64 now)
{
    // Counted in a register: two increments in memory a dispatch would be the longest chain of dependencies in this
    // loop (1 ns).
    lw_u64 seq = slot_.seq;
    const bool traced = probe::traced();
    for (unsigned left = poll_interval; left != 0; --left, seq += 2) {
        detail::ReadyNode* const node = ready_.pop();
        if (node == nullptr) break;
        if (probe::watched() || traced) [[unlikely]] {
            now = dispatch_watched(*node, seq, now);
        } else {
            dispatch(*node, seq);
            now = 0;
        }
    }
    batch_end_ = now;
}

// The one place where user code runs.
[[gnu::always_inline]] inline void Loop::dispatch(detail::ReadyNode& node, lw_u64 seq)
{
    lw_task* const task = node.task;
    if constexpr (detail::published) {
        slot_.task = task;
        if (task != nullptr) task->state = LW_TASK_RUNNING;
        publish_order();
        slot_.seq = seq + 1;
        publish_order();
    }
    if (task != nullptr) {
        node.handle.resume();
    } else {
        call(static_cast<detail::PostedCallback&>(node));
    }
    if constexpr (detail::published) {
        publish_order();
        slot_.seq = seq + 2;
        publish_order();
    }
}

void Loop::call(detail::PostedCallback& callback)
{
    try {
        callback.run();
    } catch (...) {
        if constexpr (detail::published) ++slot_.seq;
        slot_.start = 0;
        batch_end_ = 0;
        throw;
    }
}

[[gnu::always_inline]] inline lw_u64 Loop::account(const lw_task* task, const lw_location* resume, lw_u64 start,
                                                   lw_u64 end)
{
    const lw_u64 lasted = end - start;
    slot_.busy_ticks += lasted;
    ++slot_.dispatch_histogram[lw_bucket_of(lasted)];
    if (lasted > slot_.max_ticks) slot_.max_ticks = lasted;
    if (lasted <= floor_ticks_) [[likely]]
        return end;
    slow_path(task, resume, start, end);
    // What the report itself cost is nobody's dispatch.
    return clock_.ticks();
}

// `now`: the end of the dispatch before, if somebody was attached then and no poll came between; else 0. Out of line,
// but not cold: cold code is compiled for size, with calls for the clock and the accounts (13.5 ns a dispatch attached,
// not 10).
[[gnu::noinline]] lw_u64 Loop::dispatch_watched(detail::ReadyNode& node, lw_u64 seq, lw_u64 now)
{
    if (detail::forked) {
        dispatch(node, seq);
        return 0;
    }
    const lw_u64 start = now != 0 ? now : clock_.ticks();
    const lw_task* const task = node.task;
    const lw_u64 task_id = task != nullptr ? task->id : 0;
    const lw_location* const resume = task != nullptr ? task->leaf->suspended_at : nullptr;
    if (task != nullptr && node.due_ns != 0) count_lag(start, node.due_ns);
    slot_.start = start;
    slot_.resume = resume;
    slot_.task_id = task_id;
    slot_.ready = ready_.pushed() - static_cast<lw_u32>(seq / 2) - 1;
    if (probe::traced()) [[unlikely]]
        trace_begin(task, resume);
    dispatch(node, seq);
    slot_.start = 0;
    if (detail::forked) return 0;
    const lw_u64 end = clock_.ticks();
    if (probe::traced()) [[unlikely]]
        trace_end(task);
    return account(task, resume, start, end);
}

void Loop::trace_begin(const lw_task* task, const lw_location* resume) noexcept
{
    probe::dispatch_begin(slot_.loop_id, task != nullptr ? task->id : 0, resume);
    if (task == nullptr) return;
    if (task->state == LW_TASK_CREATED)
        probe::task_start(task->id);
    else
        probe::task_resume(task->id);
}

// A task that did not finish has suspended: told here, where a test of the semaphore costs untraced loops nothing.
void Loop::trace_end(const lw_task* task) noexcept
{
    if (task != nullptr && task->state != LW_TASK_FINISHED)
        probe::task_suspend(task->id, task->awaited_task, task->leaf->suspended_at);
    probe::dispatch_end(slot_.loop_id, task != nullptr ? task->id : 0);
}

// Fires slow_dispatch. slot_.seq is even again by then (scheduling and shim attribute nothing of this to the dispatch);
// impact_seq is the dispatch's odd one.
[[gnu::cold, gnu::noinline]] void Loop::slow_path(const lw_task* task, const lw_location* resume, lw_u64 start,
                                                  lw_u64 end)
{
    const lw_u64 start_ns = clock_.moment_ns(start);
    const lw_u64 end_ns = clock_.moment_ns(end);
    // What became ready meanwhile waited too: bring it into the queue.
    const auto length = ready_length();
    context_.poll();
    receive();
    measure_impact(start_ns, end_ns, length);
    probe::slow_dispatch(slot_.loop_id, task != nullptr ? task->id : 0, resume, start_ns, end_ns);
}

// Entries in the ready queue, modulo 2³².
lw_u32 Loop::ready_length() const noexcept
{
    return ready_.pushed() - static_cast<lw_u32>(slot_.seq / 2);
}

// Who waited. What was queued when the dispatch began waited all of it. What the dispatch queued itself (entries up to
// `own_end`), such as whoever joins the task that it finished, waited for none of it that could be told. What arrived
// meanwhile waited from the dispatch's start on, an upper bound; of timers the moment is known.
void Loop::measure_impact(lw_u64 start_ns, lw_u64 end_ns, lw_u32 own_end) noexcept
{
    lw_u64 tasks = 0, longest_ns = 0, total_ns = 0;
    const auto count = [&](lw_u64 since_ns, lw_u64 entries) {
        tasks += entries;
        longest_ns = std::max(longest_ns, end_ns - since_ns);
        total_ns += (end_ns - since_ns) * entries;
    };
    const detail::ReadyNode* node = ready_.front();
    lw_u32 entry = 0;
    for (; node != nullptr && entry < impact_entries; ++entry, node = node->next) {
        if (entry >= slot_.ready && entry < own_end) continue;
        const lw_u64 since_ns = std::max(start_ns, node->due_ns);
        if (since_ns < end_ns) count(since_ns, 1);
    }
    if (node != nullptr) count(start_ns, ready_length() - entry);
    slot_.impact_seq = slot_.seq - 1;
    slot_.impact_tasks = tasks;
    slot_.impact_max_ns = longest_ns;
    slot_.impact_total_ns = total_ns;
}

void Loop::count_lag(lw_u64 start, lw_u64 due_ns) noexcept
{
    const lw_u64 start_ns = clock_.moment_ns(start);
    ++slot_.lag_histogram[lw_bucket_of(start_ns > due_ns ? clock_.to_ticks(start_ns - due_ns) : 0)];
}

}  // namespace loopwatch
