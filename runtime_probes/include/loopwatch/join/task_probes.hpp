// SPDX-License-Identifier: Apache-2.0
//
// The record of one task of a loop that joins in; see join.hpp.
#pragma once

#include <exception>
#include <typeinfo>
#if __has_include(<version>)
#include <version>
#endif
#ifdef __cpp_lib_source_location
#include <source_location>
#endif

#include <cxxabi.h>

#include <loopwatch/exception_object.hpp>
#include <loopwatch/probe.hpp>
#include <loopwatch/rt/registry.hpp>
#include <loopwatch/slot.hpp>

namespace loopwatch {

class LoopProbes;
class PromiseProbes;

#ifdef __cpp_lib_source_location
// One pointer, as a std::source_location is one to what lw_location mirrors. Before C++20: LW_HERE.
inline const lw_location* location_of(const std::source_location& location) noexcept
{
    static_assert(sizeof location == sizeof(const lw_location*));
    return __builtin_bit_cast(const lw_location*, location);
}
#endif

namespace detail {
// Is anybody there who wants to be told? In the child of a fork the semaphores are the parent's.
inline bool followed() noexcept
{
    return probe::attached() && !forked;
}
// Orders the slot's stores for readers on this CPU (the kernel side); x86 keeps the order for all others.
inline void order() noexcept
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
}
}  // namespace detail

// Lives in the task, does not move, belongs to the loop's thread. Let it live until the dispatch in which the task ends
// has ended: the name of a task that is gone cannot be told.
class TaskProbes : public lw_task {
public:
    // It waits to be run for the first time. `name` and `where` must live as long as the task; null: none.
    TaskProbes(LoopProbes& loop, const char* name, const lw_location* where) noexcept;
    ~TaskProbes();
    TaskProbes(const TaskProbes&) = delete;
    TaskProbes& operator=(const TaskProbes&) = delete;

    // What ran returns to the loop: the task waits at `where` (null: as its coroutine's promise has told), for `what`
    // or for another task.
    void suspended(const lw_location* where, const lw_awaited* what = nullptr, lw_u64 task_id = 0) noexcept
    {
        leave_queue();
        if (where != nullptr) activation_.created_at = activation_.suspended_at = where;  // its function is the step's
        awaited = what;
        awaited_task = task_id;
        state = LW_TASK_SUSPENDED;
    }
    // What it waited for has come: it stands in the queue.
    void ready() noexcept
    {
        enter_queue();
        awaits_nothing();
        state = LW_TASK_READY;
    }
    void finished(lw_outcome outcome) noexcept
    {
        leave_queue();
        state = LW_TASK_FINISHED;
        ++slot_.tasks_finished;
        if (outcome == LW_OUTCOME_CANCELLED) ++slot_.tasks_cancelled;
        if (!detail::followed()) return;
        probe::task_finish(id, outcome);
        const bool swallowed = cancel_delivered_ && outcome != LW_OUTCOME_CANCELLED;
        if (cancel_requests != 0)
            probe::task_cancelled(id, cancelled_by, cancel_reason, swallowed ? LW_OUTCOME_SWALLOWED : outcome);
    }

    // Somebody asks it to stop (`by`: that task's id, 0: none); `why` must live as long as the task.
    void cancel_requested(const char* why, lw_u64 by = 0) noexcept
    {
        cancel_reason = why;
        cancelled_by = by;
        if (cancel_requests == 0) cancelled_ns = now_ns();
        ++cancel_requests;
        if (detail::followed()) probe::cancel_request(id, by, why);
    }
    // And the request was thrown at it, or returned to it, where it waited.
    void cancel_delivered() noexcept
    {
        cancel_delivered_ = true;
        if (detail::followed()) probe::cancel_delivered(id, LW_OUTCOME_CANCELLED);
    }

    // It ended with an exception that nobody has looked at; `type`: its mangled name; `object`: as it was thrown, null:
    // where that was will not be told.
    void exception_unretrieved(const char* type, const char* what, const void* object = nullptr) const noexcept
    {
        if (detail::followed()) probe::exception_unretrieved(id, type, what, static_cast<const lw_task*>(this), object);
    }
#ifdef __cpp_exceptions
    void exception_unretrieved(const std::exception_ptr& error) const noexcept
    {
        if (!error || !detail::followed()) return;
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& thrown) {
            exception_unretrieved(abi::__cxa_current_exception_type()->name(), thrown.what(), object_of(error));
        } catch (...) {
            const std::type_info* const type = abi::__cxa_current_exception_type();
            exception_unretrieved(type == nullptr ? "" : type->name(), "", object_of(error));
        }
    }
#endif

private:
    friend class LoopProbes;
    friend class PromiseProbes;

    TaskProbes(lw_loop_slot& slot, const char* name, const lw_location* where) noexcept;

    void awaits_nothing() noexcept
    {
        awaited = nullptr;
        awaited_task = 0;
    }
    void enter_queue() noexcept
    {
        if (!queued_) ++slot_.queued;
        queued_ = true;
    }
    void leave_queue() noexcept
    {
        if (queued_) --slot_.queued;
        queued_ = false;
    }

    lw_loop_slot& slot_;
    lw_frame activation_{};          // its last step, if it is no coroutine or its coroutine is gone
    PromiseProbes* root_ = nullptr;  // its own coroutine
    bool queued_ = false;            // counted in slot_.queued
    bool cancel_delivered_ = false;
};

inline TaskProbes::TaskProbes(lw_loop_slot& slot, const char* title, const lw_location* where) noexcept
    : lw_task{}, slot_(slot)
{
    id = next_task_id();
    parent_id = (slot.seq & 1) != 0 && slot.task != nullptr ? slot.task->id : 0;
    name = title;
    created_at = activation_.created_at = where;
    leaf = &activation_;
    created_ns = coarse_now_ns();
    next = slot.tasks;
    detail::order();  // whoever finds the record finds it complete
    if (next != nullptr) next->prev = this;
    slot.tasks = this;
    ++slot.tasks_created;
    enter_queue();
    if (detail::followed()) probe::task_create(id, parent_id, name, created_at);
}

}  // namespace loopwatch
