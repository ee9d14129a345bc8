// SPDX-License-Identifier: Apache-2.0
//
// The loop's inner part: polls, and the dispatch path, whose cost is counted in README.md.
#include <loopwatch/rt/loop.hpp>

#include <algorithm>
#include <atomic>
#include <utility>

#include <loopwatch/probe.hpp>
#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/registry.hpp>

namespace loopwatch {

namespace {

constexpr lw_u64 no_timeout = ~0ull;
// Of the slow path's floor: an iteration of many quick dispatches is nothing to tell, and to tell costs a trap (128 of
// 1 us under load exceed the floor each time).
constexpr lw_u64 iteration_floors = 10;
constexpr int impact_entries = 1024;  // looked at one by one in a slow dispatch's impact

bool attached() noexcept
{
    return probe::attached() && !detail::forked;
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

// Out of line: Asio's own code is inlined here or not by what is around the call, which costs more than all our
// probes (51 instructions of 1,107 for a post and its resume).
[[gnu::noinline]] std::size_t Loop::run_next()
{
    return context_.run_one();
}

// Without waiting, and bounded: handlers that post each other keep io_context::poll() going for ever. poll_one() costs
// 7 ns more for each of 64 handlers that are ready at once; a marker behind them that stops the context costs each poll
// 50 ns.
[[gnu::noinline]] std::size_t Loop::run_ready()
{
    std::size_t events = 0;
    while (events < poll_interval && context_.poll_one() != 0) ++events;
    return events;
}

// It was not asked to wait: what took its time are handlers that were given to the context directly.
[[gnu::cold]] std::size_t Loop::run_ready_timed()
{
    const lw_u64 start = clock_.ticks();
    const std::size_t events = run_ready();
    const lw_u64 elapsed_ns = clock_.to_ns(clock_.ticks() - start);
    if (elapsed_ns > iteration_floors * slot_.floor_ns) detail::tell_slow_poll(slot_, 0, elapsed_ns, events);
    return events;
}

void Loop::poll(bool may_wait)
{
    const bool followed = batch_end_ != 0;
    if (followed) [[unlikely]]
        begin_poll(may_wait);
    std::size_t events = 0;
    if (may_wait && detail::debugged()) [[unlikely]] {
        // What is there already runs where its time can be told from that of waiting.
        events = run_ready_timed();
        may_wait = events == 0;
    }
    if (may_wait && mailbox_->begin_wait()) {
        if (!stopping_) events = run_next();
        mailbox_->end_wait();
    }
    events += detail::debugged() ? run_ready_timed() : run_ready();
    if (context_.stopped()) stopping_ = true;
    receive();
    if (attached() || followed) [[unlikely]]
        end_poll(events);
}

[[gnu::cold]] void Loop::begin_poll(bool may_wait) noexcept
{
    if (slot_.iteration_start != 0) end_iteration();
    slot_.poll_since = batch_end_;
    probe::poll_begin(slot_.loop_id, may_wait ? no_timeout : 0);
}

[[gnu::cold]] void Loop::end_iteration() noexcept
{
    const lw_u64 start = std::exchange(slot_.iteration_start, 0);
    if (batch_end_ - start <= clock_.to_ticks(iteration_floors * slot_.floor_ns)) return;
    const lw_u64 dispatches = (slot_.seq - iteration_seq_) / 2;
    const lw_u64 start_ns = clock_.moment_ns(start), end_ns = clock_.moment_ns(batch_end_);
    probe::slow_iteration(slot_.loop_id, dispatches, start_ns, end_ns);
    if (listener_ != nullptr) listener_->slow_iteration(&slot_, dispatches, start_ns, end_ns);
}

[[gnu::cold]] void Loop::end_poll(std::size_t events) noexcept
{
    const lw_u64 since = std::exchange(slot_.poll_since, 0);
    batch_end_ = attached() ? clock_.ticks() : 0;
    if (batch_end_ == 0) return;
    if (since != 0) slot_.idle_ticks += batch_end_ - since;
    ++slot_.iterations;
    probe::poll_end(slot_.loop_id, events);
    // After the wait, which may have been long, and before the first dispatch: moments are fresh.
    if (clock_.maintain(batch_end_)) {
        clock_changed();
        batch_end_ = clock_.ticks();
    }
    slot_.iteration_start = batch_end_;
    iteration_seq_ = slot_.seq;
}

// From nanoseconds to the TSC's ticks, once in a loop's life: what was counted so far is counted in the unit it was.
[[gnu::cold]] void Loop::clock_changed() noexcept
{
    for (lw_u64* counter : {&slot_.busy_ticks, &slot_.idle_ticks, &slot_.max_ticks})
        *counter = clock_.to_ticks(*counter);
    mark_noteworthy();
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
    for (unsigned left = poll_interval; left != 0; --left, seq += 2) {
        detail::ReadyNode* const node = ready_.pop();
        if (node == nullptr) break;
        if (attached()) [[unlikely]]
            return drain_watched(node, left, now);
        now = 0;
        dispatch(*node, seq);
    }
    batch_end_ = now;
}

// The one place where tasks and posted callbacks run.
[[gnu::always_inline]] inline void Loop::dispatch(detail::ReadyNode& node, lw_u64 seq)
{
    lw_task* const task = node.task;
    if constexpr (detail::published) {
        slot_.task = task;
        if (task != nullptr) {
            task->state = LW_TASK_RUNNING;
            ++task->resumes;
        }
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
        slot_.start = slot_.iteration_start = 0;
        batch_end_ = 0;
        throw;
    }
}

// The rest of a batch, to its end even if the last session leaves meanwhile. `now`: the poll's end, 0 if it was not
// taken. One clock read a dispatch, its end, which is the next one's start.
[[gnu::noinline]] void Loop::drain_watched(detail::ReadyNode* node, unsigned left, lw_u64 now)
{
    const bool tsc = slot_.clock == LW_CLOCK_TSC;  // changes between batches only
    const bool traced = probe::traced();
    lw_u64 seq = slot_.seq, busy = slot_.busy_ticks;
    if (now == 0) now = LoopClock::ticks(tsc);
    for (; node != nullptr; node = --left != 0 ? ready_.pop() : nullptr, seq += 2) {
        lw_task* const task = node->task;
        const lw_location* const resume = task != nullptr ? task->leaf->suspended_at : nullptr;
        const lw_u32 queued = slot_.queued;
        if (task != nullptr && node->due_ns != 0) [[unlikely]]
            count_lag(now, node->due_ns);
        slot_.start = now;
        slot_.resume = resume;
        if (traced) [[unlikely]]
            trace_begin(task, resume);
        dispatch(*node, seq);
        if (detail::forked) [[unlikely]] {
            now = 0;
            break;
        }
        const lw_u64 end = LoopClock::ticks(tsc);
        if (traced) [[unlikely]]
            trace_end(task);
        const lw_u64 lasted = end - now;
        slot_.busy_ticks = busy += lasted;
        if (task != nullptr) task->busy_ticks += lasted;
        ++slot_.dispatch_histogram[lw_bucket_of(lasted)];
        now = lasted <= noteworthy_ticks_ ? end : note({task, resume, now, end, queued});
    }
    slot_.start = 0;
    batch_end_ = now;
}

void Loop::mark_noteworthy() noexcept
{
    noteworthy_ticks_ = std::min(clock_.to_ticks(slot_.floor_ns), slot_.max_ticks);
}

// When the next dispatch begins: what the report itself cost is nobody's.
[[gnu::cold, gnu::noinline]] lw_u64 Loop::note(const Dispatch& dispatch)
{
    const lw_u64 lasted = dispatch.end - dispatch.start;
    slot_.max_ticks = std::max(slot_.max_ticks, lasted);
    mark_noteworthy();
    if (lasted <= clock_.to_ticks(slot_.floor_ns)) return dispatch.end;
    slow_path(dispatch);
    return clock_.ticks();
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
void Loop::slow_path(const Dispatch& dispatch)
{
    const lw_u64 start_ns = clock_.moment_ns(dispatch.start);
    const lw_u64 end_ns = clock_.moment_ns(dispatch.end);
    // What became ready meanwhile waited too: bring it into the queue.
    const lw_u32 behind = dispatch.queued - static_cast<lw_u32>(slot_.seq / 2);
    const lw_u32 own_end = ready_length();
    detail::debugged() ? run_ready_timed() : run_ready();
    receive();
    measure_impact(dispatch.task, start_ns, end_ns, behind, own_end);
    const lw_task* const task = dispatch.task;
    probe::slow_dispatch(slot_.loop_id, task != nullptr ? task->id : 0, dispatch.resume, start_ns, end_ns);
    if (listener_ != nullptr) listener_->slow_dispatch(&slot_, task, dispatch.resume, start_ns, end_ns);
    if (detail::debugged()) detail::tell_slow_dispatch(task, dispatch.resume, end_ns - start_ns);
}

// Entries in the ready queue, modulo 2³².
lw_u32 Loop::ready_length() const noexcept
{
    return slot_.queued - static_cast<lw_u32>((slot_.seq + 1) / 2);
}

// Who waited. What was queued when the dispatch began (the first `behind` entries) waited all of it. What the dispatch
// queued itself (entries up to `own_end`), such as whoever joins the task that it finished, waited for none of it that
// could be told. What arrived meanwhile waited from the dispatch's start on, an upper bound; of timers the moment is
// known. The task itself, whose operation may have ended by then, waited for nobody.
void Loop::measure_impact(const lw_task* own, lw_u64 start_ns, lw_u64 end_ns, lw_u32 behind, lw_u32 own_end) noexcept
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
        if ((entry >= behind && entry < own_end) || (own != nullptr && node->task == own)) continue;
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
