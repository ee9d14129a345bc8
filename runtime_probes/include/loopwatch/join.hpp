// SPDX-License-Identifier: Apache-2.0
//
// How an event loop and a task type that are not ours join in: LoopProbes stands beside the loop, TaskProbes in the
// task, and each is told what happens. From C++17 on, header only; README.md of this folder shows a whole runtime.
//
//   LoopProbes probes("worker");
//   probes.start();                             on the thread that runs the loop
//   for (;;) {
//       probes.begin_poll(timeout_ns);
//       int events = epoll_wait(…);
//       probes.end_poll(events);
//       for (Job& job : ready) { probes.begin(&job.task); job.run(); probes.end(); }
//   }
//   probes.stop();
//
// Detached, a dispatch costs the stores to the slot; attached, two clock reads more. All of it belongs to the loop's
// thread.
#pragma once

#include <algorithm>

#include <time.h>
#include <unistd.h>

#include <loopwatch/probe.hpp>
#include <loopwatch/rt/registry.hpp>
#include <loopwatch/slot.hpp>

namespace loopwatch {

class LoopProbes;

// The record of one task; lives in it, does not move. Created ready; a loop's `ps` shows it from here on.
class TaskProbes : public lw_task {
public:
    // `name` and `created_at` must live as long as the task; null: none.
    inline TaskProbes(LoopProbes& loop, const char* name, const lw_location* created_at) noexcept;
    inline ~TaskProbes();
    TaskProbes(const TaskProbes&) = delete;
    TaskProbes& operator=(const TaskProbes&) = delete;

    // At the end of what ran in a dispatch: it waits at `where`; or for another task; or has ended.
    void suspended(const lw_location* where, const lw_awaited* what = nullptr, lw_u64 task_id = 0) noexcept
    {
        activation_.suspended_at = where;
        awaited = what;
        awaited_task = task_id;
        state = LW_TASK_SUSPENDED;
    }
    // What it waited for has come: it stands in the queue.
    void ready() noexcept
    {
        awaited_task = 0;
        state = LW_TASK_READY;
    }
    void finished(lw_outcome outcome) noexcept
    {
        state = LW_TASK_FINISHED;
        outcome_ = outcome;
    }

private:
    friend class LoopProbes;

    LoopProbes& loop_;
    lw_frame activation_{};
    lw_outcome outcome_ = LW_OUTCOME_RESULT;
};

class alignas(64) LoopProbes {
public:
    // `name` must live as long as the loop.
    explicit LoopProbes(const char* name) noexcept { identify(slot_, name); }
    LoopProbes(const LoopProbes&) = delete;
    LoopProbes& operator=(const LoopProbes&) = delete;
    ~LoopProbes()
    {
        if (slot_.tid != 0) stop();
    }

    lw_u64 id() const noexcept { return slot_.loop_id; }
    const lw_loop_slot& slot() const noexcept { return slot_; }
    // Is anybody there who wants to be told? What costs time to find out may be left out else.
    static bool attached() noexcept { return probe::attached() && !detail::forked; }

    // This thread runs the loop from here on. Callbacks live below the caller's frame.
    [[gnu::noinline]] void start() { start(__builtin_frame_address(0)); }
    void start(void* stack_top)
    {
        detail::forked = false;
        slot_.tid = static_cast<lw_u32>(gettid());
        slot_.stack_top = reinterpret_cast<lw_u64>(stack_top);
        registry_add(slot_);
        tell_shim(&slot_);
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
        registry_remove(slot_);
        slot_.tid = 0;
    }

    // A dispatch: of `task`, or of a callback that belongs to none.
    void begin(TaskProbes* task = nullptr) noexcept
    {
        begin(task, task == nullptr ? nullptr : task->activation_.suspended_at);
    }
    void begin(lw_task* task, const lw_location* resume) noexcept
    {
        slot_.task = task;
        slot_.start = 0;
        if (attached()) {
            slot_.start = now_ns();
            slot_.resume = resume;
            probe::dispatch_begin(slot_.loop_id, task != nullptr ? task->id : 0, resume);
            if (task != nullptr && task->state == LW_TASK_CREATED)
                probe::task_start(task->id);
            else if (task != nullptr)
                probe::task_resume(task->id);
        }
        if (task != nullptr) {
            task->state = LW_TASK_RUNNING;
            ++task->resumes;
        }
        order();
        slot_.seq = slot_.seq + 1;
        order();
    }
    // Ends it. The task may be gone: then say so by end(false).
    void end(bool task_lives = true) noexcept
    {
        order();
        slot_.seq = slot_.seq + 1;
        order();
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

    static lw_u64 now_ns() noexcept
    {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return static_cast<lw_u64>(now.tv_sec) * 1'000'000'000u + static_cast<lw_u64>(now.tv_nsec);
    }
    // Orders the slot's stores for readers on this CPU (the kernel side); x86 keeps the order for all others.
    static void order() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

    [[gnu::cold]] void ended(lw_task* task) noexcept
    {
        const lw_u64 start = slot_.start, end = now_ns(), lasted = end - start;
        slot_.start = 0;
        slot_.busy_ticks += lasted;
        slot_.max_ticks = std::max(slot_.max_ticks, lasted);
        ++slot_.dispatch_histogram[lw_bucket_of(lasted)];
        if (task != nullptr) {
            task->busy_ticks += lasted;
            if (task->state != LW_TASK_FINISHED)
                probe::task_suspend(task->id, task->awaited_task, task->leaf ? task->leaf->suspended_at : nullptr);
        }
        probe::dispatch_end(slot_.loop_id, task != nullptr ? task->id : 0);
        if (lasted <= slot_.floor_ns || detail::forked) return;
        slot_.impact_seq = slot_.seq - 1;  // and the rest stays 0: who waited is not known here
        probe::slow_dispatch(slot_.loop_id, task != nullptr ? task->id : 0, slot_.resume, start, end);
        if (listener_ != nullptr) listener_->slow_dispatch(&slot_, task, slot_.resume, start, end);
    }
    [[gnu::cold]] void end_iteration(lw_u64 now) noexcept
    {
        constexpr lw_u64 iteration_floors = 10;  // an iteration of quick dispatches below that is nothing to tell
        const lw_u64 start = slot_.iteration_start, dispatches = (slot_.seq - iteration_seq_) / 2;
        slot_.iteration_start = 0;
        if (now - start <= iteration_floors * slot_.floor_ns || detail::forked) return;
        probe::slow_iteration(slot_.loop_id, dispatches, start, now);
        if (listener_ != nullptr) listener_->slow_iteration(&slot_, dispatches, start, now);
    }

    lw_loop_slot slot_{};
    lw_u64 iteration_seq_ = 0;
    const lw_listener* listener_ = nullptr;
};

inline TaskProbes::TaskProbes(LoopProbes& loop, const char* title, const lw_location* where) noexcept
    : lw_task{}, loop_(loop)
{
    lw_loop_slot& slot = loop.slot_;
    id = next_task_id();
    parent_id = (slot.seq & 1) != 0 && slot.task != nullptr ? slot.task->id : 0;
    name = title;
    created_at = where;
    leaf = &activation_;
    activation_.created_at = where;
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    created_ns = static_cast<lw_u64>(now.tv_sec) * 1'000'000'000u + static_cast<lw_u64>(now.tv_nsec);
    next = slot.tasks;
    if (next != nullptr) next->prev = this;
    slot.tasks = this;
    ++slot.tasks_created;
    if (!detail::forked) probe::task_create(id, parent_id, name, created_at);
}

inline TaskProbes::~TaskProbes()
{
    lw_loop_slot& slot = loop_.slot_;
    (prev != nullptr ? prev->next : slot.tasks) = next;
    if (next != nullptr) next->prev = prev;
    ++slot.tasks_finished;
    if (slot.task == this) slot.task = nullptr;
    if (detail::forked) return;
    if (state == LW_TASK_FINISHED)
        probe::task_finish(id, outcome_);
    else
        probe::task_destroyed_pending(id, created_at, activation_.suspended_at);
    probe::task_destroy(id, state);
}

}  // namespace loopwatch
