// SPDX-License-Identifier: Apache-2.0
//
// A task as its loop sees it: the published record, its place in the ready queue, how to interrupt its wait. All but
// `cancel_from`, `done` and the reference count belongs to the loop's thread.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>

#include <loopwatch/loop_state.h>
#include <loopwatch/rt/detail/mailbox.hpp>
#include <loopwatch/rt/detail/outcome.hpp>
#include <loopwatch/rt/detail/ready_queue.hpp>

namespace loopwatch {

class Loop;

namespace detail {

// std::source_location is one pointer to what lw_location mirrors (test_rt_location.cpp holds the layout).
inline const lw_location* location_of(const std::source_location& location) noexcept
{
    static_assert(sizeof(std::source_location) == sizeof(const lw_location*));
    return __builtin_bit_cast(const lw_location*, location);
}

class TaskControl;

// One wait of a task, as seen by whoever cancels it.
class Suspension {
public:
    // On the loop's thread, while the task waits: end the wait soon, by exactly one TaskControl::wake. Called once,
    // unless it calls TaskControl::await_next_cancellation.
    virtual void interrupt() noexcept = 0;

protected:
    Suspension() = default;
    ~Suspension() = default;
};

// The tasks that one task waits for together.
class AwaitedTasks {
public:
    // Null: there are no more.
    virtual const TaskControl* task_at(std::size_t index) const noexcept = 0;

protected:
    AwaitedTasks() = default;
    ~AwaitedTasks() = default;
};

// A cancellation that ended a wait without being thrown there.
struct Interruption {
    TaskControl& task;
    std::string reason;

    // Something else is thrown or returned first: the request is delivered at the task's next await.
    void put_back() const noexcept;
};

// The await of a child coroutine, which the child must not outlive.
class ChildOwner {
public:
    virtual void destroy_child() noexcept = 0;

protected:
    ~ChildOwner() = default;
};

// One activation, with what ends it.
struct FrameRecord : lw_frame {
    ChildOwner* owner;  // null: the task's own coroutine
};

// The published record, with the way back from it.
struct TaskRecord : lw_task {
    TaskControl* owner;
};

// Is it an exception, and not Cancelled?
bool failed(const std::exception_ptr& error) noexcept;

// In whose dispatch this is called; null: in none, or the probes are compiled out.
TaskControl* running_task() noexcept;

class TaskControl : public ReadyNode, public Inbound {
public:
    TaskControl(Loop& loop, std::coroutine_handle<> root, const lw_frame& frame, std::string_view name,
                const std::source_location& where);
    // Hands the task to its loop; any thread.
    void start() noexcept;
    TaskControl(const TaskControl&) = delete;
    TaskControl& operator=(const TaskControl&) = delete;

    lw_task& record() noexcept { return record_; }
    lw_u64 id() const noexcept { return record_.id; }
    Loop& loop() const noexcept { return *loop_; }
    const std::shared_ptr<Mailbox>& mailbox() const noexcept { return mailbox_; }
    bool done() const noexcept { return done_.load(std::memory_order_acquire); }

    // The task waits: `handle` is what goes on, `wait` what cancel() interrupts; `what` it waits for outlives the
    // wait.
    void suspend(std::coroutine_handle<> handle, Suspension& wait, const lw_awaited* what) noexcept
    {
        this->handle = handle;
        wait_ = &wait;
        if constexpr (published) record_.awaited = what;
        publish(LW_TASK_SUSPENDED);
    }
    // The task lets others run: ready at once, nothing to interrupt.
    void requeue(std::coroutine_handle<> handle) noexcept
    {
        this->handle = handle;
        push_ready();
    }
    // In Suspension::interrupt, of a wait that goes on: it is called for the next cancellation too.
    void await_next_cancellation(Suspension& wait) noexcept { wait_ = &wait; }
    // The wait could not begin after all.
    void resume_at_once() noexcept
    {
        wait_ = nullptr;
        publish(LW_TASK_RUNNING);
    }
    // Ends the wait: the task goes to the ready queue's end.
    void wake() noexcept;

    void publish(lw_task_state state) noexcept
    {
        if constexpr (published) record_.state = state;
    }
    void publish_leaf(const lw_frame* leaf) noexcept
    {
        if constexpr (published) record_.leaf = leaf;
    }

    // Any thread.
    void cancel_from(std::string_view reason);
    void cancel(std::string_view reason, lw_u64 by) noexcept;
    bool cancel_pending() const noexcept { return cancel_pending_; }
    const std::string& cancel_reason() const noexcept { return reason_; }
    // Throws Cancelled. To be called where an await ends that interrupt() ended, or that finds a request pending.
    [[noreturn]] void deliver();
    // The same, for who does not throw it there.
    Interruption take_cancellation();
    void put_back_cancellation() noexcept { cancel_pending_ = true; }

    // Of the root coroutine, at its final suspension: what goes on in its place, and calls end().
    std::coroutine_handle<> finish() noexcept;
    // The root coroutine is destroyed with all that it holds; then whoever waits for the task goes on.
    void end() noexcept;
    // Its loop is gone: it is done, and has no result.
    void abandon() noexcept;
    // `joiner` is woken when this task ends. Errors: std::logic_error if another one waits or it is a task of another
    // loop; std::system_error (resource_deadlock_would_occur) if this task waits for `joiner`.
    void add_joiner(TaskControl& joiner);
    void drop_joiner() noexcept;
    // If it is still that one.
    void drop_joiner(const TaskControl& joiner) noexcept
    {
        if (joiner_ == &joiner) drop_joiner();
    }
    // The task waits for a lock: for whoever `*holder` is. Null: no more.
    void hold_up(TaskControl* const* holder) noexcept { holder_ = holder; }
    // The task waits for all of them. Null: no more.
    void wait_for_all(const AwaitedTasks* tasks) noexcept { awaiting_all_ = tasks; }
    // `waiter` is about to wait for this one. Errors: std::system_error (resource_deadlock_would_occur) if this one
    // waits for it.
    void refuse_cycle(const TaskControl& waiter) const;
    // An operation that belongs to the loop's thread. In debug mode, another one is told (probe thread_violation).
    void check_thread(const char* operation) const noexcept
    {
        if (probe::debugged()) [[unlikely]]
            verify_thread(*loop_, operation);
    }
    static void verify_thread(const Loop& loop, const char* operation) noexcept;
    void set_label(std::string_view key, std::string_view value);
    // Somebody takes the outcome. Errors: std::logic_error if it was taken before.
    void retrieve();
    // What it ended with, if that is an exception other than Cancelled which was not taken yet.
    std::exception_ptr unretrieved_error() const noexcept
    {
        return done() && !retrieved_ && outcome_ == LW_OUTCOME_EXCEPTION ? error() : nullptr;
    }
    // Frees the coroutine, if it is still there.
    void destroy_root() noexcept;

    void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept;

    void arrive(Loop* loop) noexcept override;

protected:
    virtual ~TaskControl() = default;
    // Moves the outcome out of the promise; the exception if it was one.
    virtual std::exception_ptr collect() noexcept = 0;
    virtual std::exception_ptr error() const noexcept = 0;
    virtual void set_error(std::exception_ptr error) noexcept = 0;
    std::coroutine_handle<> root() const noexcept { return root_; }

private:
    friend class loopwatch::Loop;  // links the record

    class CycleSearch;

    // Of the cycle that closes if `waiter` waits for this one; 0: there is none.
    lw_u64 cycle_length(const TaskControl& waiter) const noexcept;
    void push_ready() noexcept;
    void report_end() noexcept;

    Loop* loop_;
    std::coroutine_handle<> root_;
    std::shared_ptr<Mailbox> mailbox_;
    Suspension* wait_ = nullptr;
    TaskControl* joiner_ = nullptr;         // who waits for this one
    TaskControl* awaiting_ = nullptr;       // for whom this one waits
    TaskControl* const* holder_ = nullptr;  // who holds the lock that this one waits for
    const AwaitedTasks* awaiting_all_ = nullptr;
    mutable const TaskControl* next_found_ = nullptr;  // within cycle_length()
    std::atomic<unsigned> references_{2};  // the loop's and the first JoinHandle's; those of requests under way
    std::atomic<bool> done_{false};        // set once by the loop, after which the outcome is there
    bool cancel_pending_ = false;          // requested, not yet thrown
    bool cancel_delivered_ = false;        // thrown at an await
    bool retrieved_ = false;
    bool finished_ = false;  // its coroutine came to its end
    lw_outcome outcome_ = LW_OUTCOME_RESULT;
    TaskRecord record_{};
    lw_frame last_activation_{};  // what the record leads to when the coroutine is gone
    std::string name_;
    std::string reason_;
    std::shared_ptr<const std::string> labels_;  // shared with the tasks it spawned
    std::unique_ptr<const lw_backtrace> created_stack_;
};

inline void Interruption::put_back() const noexcept
{
    task.put_back_cancellation();
}

}  // namespace detail
}  // namespace loopwatch
