// SPDX-License-Identifier: Apache-2.0
//
// What stands beside an event loop that joins in; see join.hpp.
#pragma once

#include <algorithm>

#include <unistd.h>

#include <loopwatch/join/promise_probes.hpp>
#include <loopwatch/join/task_probes.hpp>

namespace loopwatch {

// All of it belongs to the loop's thread. Does not move.
class alignas(64) LoopProbes {
public:
    // `name` must live as long as the loop.
    explicit LoopProbes(const char* name) noexcept { identify(slot_, name); }
    LoopProbes(const LoopProbes&) = delete;
    LoopProbes& operator=(const LoopProbes&) = delete;
    ~LoopProbes()
    {
        if (slot_.tid != 0) stop();
        withdraw(slot_);
    }

    lw_u64 id() const noexcept { return slot_.loop_id; }
    const lw_loop_slot& slot() const noexcept { return slot_; }
    // Is anybody there who wants to be told? What costs time to find out may be left out else.
    static bool attached() noexcept { return detail::followed(); }

    // This thread runs the loop from here on. Inlined, so that the frame is that of the function that loops: callbacks
    // live below it, and their stacks are read up to there.
    [[gnu::always_inline]] void start() { start(__builtin_frame_address(0)); }
    void start(void* stack_top)
    {
        detail::forked = false;
        slot_.tid = static_cast<lw_u32>(gettid());
        slot_.stack_top = reinterpret_cast<lw_u64>(stack_top);
        slot_.iteration_start = slot_.poll_since = 0;
        if constexpr (published) registry_add(slot_);
        tell_shim(&slot_);
        ++detail::loops_of_thread;
        listener_ = find_listener();
        if (listener_ != nullptr) probe::listen(true);
        probe::loop_start(slot_.loop_id, &slot_, LW_ABI);
    }
    void stop()
    {
        if (!detail::forked) probe::loop_stop(slot_.loop_id);
        if (listener_ != nullptr) probe::listen(false);
        listener_ = nullptr;
        tell_shim(nullptr);
        if constexpr (published) registry_remove(slot_);
        --detail::loops_of_thread;
        slot_.tid = 0;
    }
    // Where the next dispatch is run from, if that is not `start`'s caller: callbacks live below it.
    void set_stack_top(const void* frame) noexcept { slot_.stack_top = reinterpret_cast<lw_u64>(frame); }

    // A dispatch: of a task that is no coroutine, of a coroutine of a task, or of a callback that belongs to none.
    void begin(TaskProbes* task = nullptr) noexcept
    {
        if constexpr (!published) return;
        if (task == nullptr) return begin(nullptr, nullptr);
        if (task->queued_) --slot_.queued;  // the other begin counts it again
        task->queued_ = false;
        task->awaits_nothing();
        begin(task, task->leaf->suspended_at);
    }
    void begin(PromiseProbes& coroutine) noexcept
    {
        if constexpr (!published) return;
        if (coroutine.task_ != nullptr) coroutine.task_->leaf = &coroutine;  // of several branches, this one
        begin(coroutine.task_);
    }
    // Of a task whose record is kept by hand.
    void begin(lw_task* task, const lw_location* resume) noexcept
    {
        if constexpr (!published) return;
        ++slot_.queued;
        slot_.task = task;
        slot_.start = 0;
        if (attached()) began(task, resume);
        if (task != nullptr) {
            task->state = LW_TASK_RUNNING;
            ++task->resumes;
        }
        detail::order();
        slot_.seq = (slot_.seq + 1) | 1;  // odd, even if the last one threw past its end
        detail::order();
    }
    // Ends it, also when it threw. A record kept by hand may be gone: then say so by end(false).
    void end(bool task_lives = true) noexcept
    {
        if constexpr (!published) return;
        detail::order();
        slot_.seq = (slot_.seq | 1) + 1;
        detail::order();
        lw_task* const task = task_lives ? const_cast<lw_task*>(slot_.task) : nullptr;
        if (!task_lives) slot_.task = nullptr;
        if (slot_.start != 0) ended(task);
    }

    // About to wait; all ones: no time-out.
    void begin_poll(lw_u64 timeout_ns) noexcept
    {
        if (!attached()) return;
        const lw_u64 now = now_ns();
        if (slot_.iteration_start != 0) end_iteration(now);
        slot_.poll_since = now;
        probe::poll_begin(slot_.loop_id, timeout_ns);
    }
    void end_poll(lw_u64 events) noexcept
    {
        if (!attached()) {
            slot_.poll_since = slot_.iteration_start = 0;
            return;
        }
        const lw_u64 now = now_ns();
        if (slot_.poll_since != 0) slot_.idle_ticks += now - slot_.poll_since;
        slot_.poll_since = 0;
        ++slot_.iterations;
        probe::poll_end(slot_.loop_id, events);
        slot_.iteration_start = now;
        iteration_seq_ = slot_.seq;
    }

private:
    friend class TaskProbes;

#ifdef LOOPWATCH_NO_PROBES
    static constexpr bool published = false;  // the loop leaves no trace
#else
    static constexpr bool published = true;
#endif

    [[gnu::cold]] void began(const lw_task* task, const lw_location* resume) noexcept
    {
        slot_.start = now_ns();
        slot_.resume = resume;
        behind_ = slot_.queued - 1 - static_cast<lw_u32>((slot_.seq + 1) / 2);
        probe::dispatch_begin(slot_.loop_id, task != nullptr ? task->id : 0, resume);
        if (task == nullptr) return;
        if (task->state == LW_TASK_CREATED)
            probe::task_start(task->id);
        else
            probe::task_resume(task->id);
    }
    [[gnu::cold]] void ended(lw_task* task) noexcept
    {
        const lw_u64 start = slot_.start, end = now_ns(), lasted = end - start;
        slot_.start = 0;
        if (detail::forked) return;
        slot_.busy_ticks += lasted;
        slot_.max_ticks = std::max(slot_.max_ticks, lasted);
        ++slot_.dispatch_histogram[lw_bucket_of(lasted)];
        if (task != nullptr) {
            task->busy_ticks += lasted;
            if (task->state != LW_TASK_FINISHED)
                probe::task_suspend(task->id, task->awaited_task, task->leaf ? task->leaf->suspended_at : nullptr);
        }
        probe::dispatch_end(slot_.loop_id, task != nullptr ? task->id : 0);
        if (lasted > slot_.floor_ns) report(task, start, end);
    }
    // seq is even by then: what the report costs is charged to nobody.
    void report(const lw_task* task, lw_u64 start, lw_u64 end) noexcept
    {
        slot_.impact_seq = slot_.seq - 1;
        slot_.impact_tasks = behind_;  // who was queued when it began waited all of it; who came later is not known
        slot_.impact_max_ns = behind_ != 0 ? end - start : 0;
        slot_.impact_total_ns = behind_ * (end - start);
        probe::slow_dispatch(slot_.loop_id, task != nullptr ? task->id : 0, slot_.resume, start, end);
        if (listener_ != nullptr) listener_->slow_dispatch(&slot_, task, slot_.resume, start, end);
    }
    [[gnu::cold]] void end_iteration(lw_u64 now) noexcept
    {
        constexpr lw_u64 iteration_floors = 10;  // an iteration of quick dispatches below that is nothing to tell
        const lw_u64 start = slot_.iteration_start, dispatches = (slot_.seq - iteration_seq_) / 2;
        slot_.iteration_start = 0;
        if (now - start <= iteration_floors * slot_.floor_ns) return;
        probe::slow_iteration(slot_.loop_id, dispatches, start, now);
        if (listener_ != nullptr) listener_->slow_iteration(&slot_, dispatches, start, now);
    }

    lw_loop_slot slot_{};
    lw_u64 iteration_seq_ = 0;
    lw_u32 behind_ = 0;  // entries that wait behind the current dispatch
    const lw_listener* listener_ = nullptr;
};

inline TaskProbes::TaskProbes(LoopProbes& loop, const char* title, const lw_location* where) noexcept
    : TaskProbes(loop.slot_, title, where)
{
}

}  // namespace loopwatch
