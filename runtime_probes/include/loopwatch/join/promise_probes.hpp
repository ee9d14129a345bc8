// SPDX-License-Identifier: Apache-2.0
//
// One activation of a coroutine, in the promise of a coroutine type that joins in; see join.hpp.
#pragma once

#include <loopwatch/join/task_probes.hpp>
#include <loopwatch/rt/detail/sized_frame.hpp>

namespace loopwatch {

// A base of the promise, or its first member. A task is a chain of them: its own coroutine, the one that it awaits, and
// so on to the leaf, which is the one that runs or waits.
class PromiseProbes : public detail::SizedFrame, private lw_frame {
public:
    PromiseProbes() noexcept : lw_frame{} { bytes = frame_bytes(); }
    PromiseProbes(const PromiseProbes&) = delete;
    PromiseProbes& operator=(const PromiseProbes&) = delete;
    ~PromiseProbes()
    {
        if (task_ == nullptr) return;
        if (task_->leaf == this) task_->leaf = awaiter;
        if (task_->root_ != this) return;
        task_->root_ = nullptr;
        task_->activation_.created_at = created_at;
        task_->activation_.suspended_at = suspended_at;
        task_->leaf = &task_->activation_;
    }

    // In get_return_object: which function it is.
    void created(const lw_location* function) noexcept { created_at = function; }
    // Becomes a task's own coroutine.
    void attach(TaskProbes& task) noexcept
    {
        attached_ = true;
        task_ = &task;
        task.root_ = this;
        task.leaf = this;
    }
    // `parent` awaits it, and it begins to run within the same task.
    void attach(PromiseProbes& parent) noexcept
    {
        attached_ = true;
        awaiter = &parent;
        task_ = parent.task_;
        if (task_ != nullptr) task_->leaf = this;
    }
    // In await_transform, of every co_await.
    void awaits(const lw_location* where) noexcept { suspended_at = where; }
    // At its final suspension: who awaits it goes on; if it is the task's own, the task has ended.
    void returned(lw_outcome outcome) noexcept
    {
        if (task_ == nullptr) return;
        if (task_->root_ == this) return task_->finished(outcome);
        if (task_->leaf == this) task_->leaf = awaiter;
        task_ = nullptr;
    }
    // Where its owner destroys it: was it ever run?
    void report_if_never_awaited() const noexcept
    {
        if (!attached_ && created_at != nullptr && detail::followed())
            probe::coroutine_never_awaited(created_at, created_at->function, 0);
    }

    // Null: not attached.
    TaskProbes* task() const noexcept { return task_; }

private:
    friend class LoopProbes;
    friend class TaskProbes;

    TaskProbes* task_ = nullptr;
    bool attached_ = false;  // once
};

inline TaskProbes::~TaskProbes()
{
    leave_queue();
    (prev != nullptr ? prev->next : slot_.tasks) = next;
    if (next != nullptr) next->prev = prev;
    if (slot_.task == this) slot_.task = nullptr;
    if (detail::followed()) {
        if (state != LW_TASK_FINISHED)
            probe::task_destroyed_pending(id, created_at, leaf->suspended_at, static_cast<const lw_task*>(this));
        probe::task_destroy(id, state);
    }
    if (root_ == nullptr) return;
    for (const lw_frame* frame = leaf; frame != nullptr;) {  // coroutines that outlive it
        auto* const promise = static_cast<PromiseProbes*>(const_cast<lw_frame*>(frame));
        frame = frame->awaiter;
        promise->task_ = nullptr;
    }
}

}  // namespace loopwatch
