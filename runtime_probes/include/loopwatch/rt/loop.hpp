// SPDX-License-Identifier: Apache-2.0
//
// An event loop: one asio::io_context, driven by the one thread that calls run(). Every resume of a coroutine and every
// posted callback goes through the ready queue and Loop::dispatch; completion handlers of the runtime only push to the
// queue. Asio handlers that the program gives to the context itself run while the loop polls. What the loop publishes
// about itself is in its slot (loop_state.h).
#pragma once

#include <atomic>
#include <chrono>
#include <coroutine>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include <loopwatch/rt/detail/asio.hpp>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <loopwatch/loop_state.h>
#include <loopwatch/rt/clock.hpp>
#include <loopwatch/rt/detail/mailbox.hpp>
#include <loopwatch/rt/detail/ready_queue.hpp>
#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch {

namespace detail {

// Does that context belong to a loop that was not closed yet?
bool is_of_a_loop(const void* context) noexcept;

// A callback handed to Loop::post; frees itself.
struct PostedCallback : ReadyNode, Inbound {
    virtual void run() = 0;  // and deletes itself, also if it throws
    virtual void discard() noexcept = 0;
    void arrive(Loop* loop) noexcept override;

protected:
    ~PostedCallback() = default;
};

template <class F>
struct PostedFunction final : PostedCallback {
    explicit PostedFunction(F callable) : function(std::move(callable)) {}
    void run() override
    {
        const std::unique_ptr<PostedFunction> self(this);
        function();
    }
    void discard() noexcept override { delete this; }
    F function;
};

}  // namespace detail

class alignas(64) Loop {
public:
    // Asio handlers given to the context directly (not through use_task) run while the loop polls: they are no
    // dispatches and nobody sees them being slow.
    explicit Loop(std::string name = "loop", std::source_location where = std::source_location::current());
    // Destroys the tasks still alive (probe task_destroyed_pending); the loop must not be running.
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    // Runs until no task is alive and no callback posted, or until stop(). An exception of a posted callback passes
    // through; the loop can be run again. Errors: std::logic_error if it is running already.
    void run();
    // run() returns after at most poll_interval more dispatches, even if Asio handlers keep posting each other; if the
    // loop is not running, the next run() returns immediately. Any thread.
    void stop() noexcept;
    // Cancels all tasks, those that are spawned meanwhile too, and runs until they have ended; what has not after
    // `limit` is destroyed with the loop. Errors: what posted callbacks threw meanwhile, ExceptionGroup if several did;
    // std::logic_error if the loop is running: no task is cancelled then.
    void shut_down(std::chrono::nanoseconds limit);
    // Calls `callback` in a dispatch of its own. Any thread.
    template <class F>
    void post(F callback)
    {
        post_node(*new detail::PostedFunction<F>(std::move(callback)));
    }

    // The loop that this thread runs, null if none.
    static Loop* current() noexcept { return current_; }
    asio::io_context& context() noexcept { return context_; }
    const std::string& name() const noexcept { return name_; }
    lw_u64 id() const noexcept { return slot_.loop_id; }
    // Id of the task in whose dispatch this is called on the loop's thread; 0: none, or the probes are compiled out.
    lw_u64 running_task() const noexcept;
    const lw_loop_slot& slot() const noexcept { return slot_; }
    // A dispatch longer than this fires `slow_dispatch` when somebody is attached. 100 µs, or LOOPWATCH_FLOOR ("50us",
    // "1ms").
    void set_floor(std::chrono::nanoseconds floor) noexcept;

    // Dispatches after which the loop polls although more are ready, as Tokio does after 61.
    static constexpr unsigned poll_interval = 128;

private:
    friend class detail::TaskControl;
    friend struct detail::PostedCallback;
    friend bool detail::is_of_a_loop(const void* context) noexcept;
    class RunScope;
    class Alive;
    struct EndOfTask;
    static bool is_alive(const void* context) noexcept;

    void post_node(detail::PostedCallback& callback) noexcept;
    void adopt(detail::TaskControl& task) noexcept;
    void finished(detail::TaskControl& task, lw_outcome outcome) noexcept;
    std::coroutine_handle<> ends(detail::TaskControl& task) noexcept;
    void end(detail::TaskControl& task) noexcept;
    void discard_ready() noexcept;
    void reap() noexcept;

    void receive() noexcept;
    void poll(bool may_wait);
    std::size_t run_next();
    std::size_t run_ready();
    std::size_t run_ready_timed();
    void begin_poll(bool may_wait) noexcept;
    void end_iteration() noexcept;
    void end_poll(std::size_t events) noexcept;
    void clock_changed() noexcept;

    void make_ready(detail::ReadyNode& node) noexcept
    {
        ready_.push(node);
        if constexpr (detail::published) ++slot_.queued;
    }
    void drain(lw_u64 now);
    void drain_watched(detail::ReadyNode* node, unsigned left, lw_u64 now);
    void dispatch(detail::ReadyNode& node, lw_u64 seq);
    void call(detail::PostedCallback& callback);
    void trace_begin(const lw_task* task, const lw_location* resume) noexcept;
    void trace_end(const lw_task* task) noexcept;
    // A dispatch that has ended.
    struct Dispatch {
        const lw_task* task;
        const lw_location* resume;
        lw_u64 start, end;  // ticks
        lw_u32 queued;      // slot_.queued when it began
    };
    void mark_noteworthy() noexcept;
    lw_u64 note(const Dispatch& dispatch);
    void slow_path(const Dispatch& dispatch);
    void count_lag(lw_u64 start, lw_u64 due_ns) noexcept;
    lw_u32 ready_length() const noexcept;
    void measure_impact(const lw_task* own, lw_u64 start_ns, lw_u64 end_ns, lw_u32 behind, lw_u32 own_end) noexcept;

    static thread_local constinit Loop* current_;

    lw_loop_slot slot_{};  // first: on its own cache lines, and it does not move
    detail::ReadyQueue ready_;
    lw_u64 batch_end_ = 0;      // the last clock read: a dispatch's end or a poll's, in ticks; 0: nobody was attached
    lw_u64 iteration_seq_ = 0;  // slot_.seq when slot_.iteration_start was taken
    lw_u64 noteworthy_ticks_ = 0;              // a dispatch longer than this is the longest yet, or exceeds the floor
    const lw_listener* listener_ = nullptr;    // within the process; while a thread runs this loop
    std::size_t alive_ = 0;                    // tasks not yet finished
    detail::TaskControl* finished_ = nullptr;  // ended in this batch, their records not yet released
    bool ending_all_ = false;                  // in shut_down()
    detail::TaskControl* ending_ = nullptr;    // whose coroutine is to be destroyed next
    const std::coroutine_handle<> end_of_task_;
    LoopClock clock_{slot_};
    std::atomic<bool> stopping_{false};  // set by stop(), cleared at the end of run()
    std::atomic<bool> running_{false};
    std::string name_;
    const lw_location* const created_at_;
    Loop* next_alive_ = nullptr;
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    std::shared_ptr<detail::Mailbox> mailbox_ = std::make_shared<detail::Mailbox>(context_);
};

}  // namespace loopwatch
