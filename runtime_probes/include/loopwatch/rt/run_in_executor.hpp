// SPDX-License-Identifier: Apache-2.0
//
// Work that blocks belongs on another thread: run_in_executor(fn) runs it on a pool and brings back what it returned or
// threw. Cancelling does not wait for the call; with run_in_executor_to_end(fn) it does.
#pragma once

#include <atomic>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <loopwatch/rt/detail/asio.hpp>

#include <asio/post.hpp>
#include <asio/thread_pool.hpp>

#include <loopwatch/rt/detail/resources.hpp>
#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch {

// The pool used when none is named: made at its first use, min(32, CPUs + 4) threads (as in Python), joined at exit.
asio::thread_pool& default_executor();

// The pool was stopped before it came to the function.
class ExecutorStopped : public std::exception {
public:
    const char* what() const noexcept override { return "the pool was stopped before it ran the function"; }
};

namespace detail {

// Lives until both the waiting task and the pool are done with it; `waiter` belongs to the loop's thread.
template <class F>
class Job final : public Inbound {
    // queued → running → ended by the pool's thread; queued → withdrawn by the loop's.
    enum class Stage { queued, running, ended, withdrawn };

public:
    Job(F function, TaskControl& waiter) : function_(std::move(function)), waiter_(&waiter), mailbox_(waiter.mailbox())
    {
    }

    static void run(std::shared_ptr<Job> job) noexcept
    {
        if (!job->advance(Stage::running)) return;
        try {
            if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
                (*job->function_)();
                job->outcome.set_value();
            } else {
                job->outcome.set_value((*job->function_)());
            }
        } catch (...) {
            job->outcome.set_exception(std::current_exception());
        }
        send(std::move(job));
    }
    // Its pool destroys it instead of running it.
    static void drop(std::shared_ptr<Job> job) noexcept
    {
        if (!job->advance(Stage::running)) return;
        job->outcome.set_exception(std::make_exception_ptr(ExecutorStopped()));
        send(std::move(job));
    }
    void arrive(Loop* loop) noexcept override
    {
        resource_closed(this);
        const auto self = std::move(self_);
        if (loop != nullptr && waiter_ != nullptr) waiter_->wake();
    }
    void abandon() noexcept { waiter_ = nullptr; }
    // The pool has not begun it, and will not. False: it runs, or has ended.
    bool withdraw() noexcept
    {
        if (!advance(Stage::withdrawn)) return false;
        resource_closed(this);
        function_.reset();
        return true;
    }
    // Its outcome is on its way to the loop.
    bool ended() const noexcept { return stage_.load(std::memory_order_acquire) == Stage::ended; }
    // Blocks the thread until nothing of the function lives.
    void wait_for_end() const noexcept { stage_.wait(Stage::running, std::memory_order_acquire); }

    Outcome<std::invoke_result_t<F&>> outcome;

private:
    bool advance(Stage to) noexcept
    {
        Stage queued = Stage::queued;
        return stage_.compare_exchange_strong(queued, to, std::memory_order_acq_rel);
    }
    static void send(std::shared_ptr<Job> job) noexcept
    {
        job->function_.reset();
        job->stage_.store(Stage::ended, std::memory_order_release);
        job->stage_.notify_all();
        Job& sent = *job;
        const auto mailbox = sent.mailbox_;
        sent.self_ = std::move(job);
        mailbox->push(sent);
    }

    std::optional<F> function_;
    std::atomic<Stage> stage_{Stage::queued};
    TaskControl* waiter_;
    std::shared_ptr<Mailbox> mailbox_;
    std::shared_ptr<Job> self_;  // while it stands in the mailbox
};

// What the pool is given: it runs the job, or is destroyed.
template <class F>
class JobTicket {
public:
    explicit JobTicket(std::shared_ptr<Job<F>> job) noexcept : job_(std::move(job)) {}
    JobTicket(JobTicket&& other) noexcept = default;
    JobTicket& operator=(JobTicket&&) = delete;
    ~JobTicket()
    {
        if (job_ != nullptr) Job<F>::drop(std::move(job_));
    }
    void operator()() { Job<F>::run(std::move(job_)); }

private:
    std::shared_ptr<Job<F>> job_;
};

// `ToEnd`: no wait ends while the function runs.
template <class F, bool ToEnd>
class [[nodiscard]] ExecutorAwaiter final : public Suspension {
public:
    using loop_awaitable = void;
    ExecutorAwaiter(asio::thread_pool& pool, F function) : pool_(pool), function_(std::move(function)) {}
    ExecutorAwaiter(const ExecutorAwaiter&) = delete;
    ExecutorAwaiter& operator=(const ExecutorAwaiter&) = delete;
    ~ExecutorAwaiter()
    {
        if (!job_) return;
        job_->abandon();
        if constexpr (ToEnd)
            if (!job_->withdraw()) job_->wait_for_end();
    }

    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        task_ = &handle.promise().task();
        job_ = std::make_shared<Job<F>>(std::move(function_), *task_);
        if (debugged())
            resource_opened({.context = context_of(task_->loop()), .handle = job_.get(), .kind = "executor call"});
        static constexpr lw_awaited executor{LW_AWAITED_EXECUTOR, -1, 0, nullptr};
        task_->suspend(handle, *this, &executor);
        try {
            asio::post(pool_, JobTicket<F>(job_));
        } catch (...) {
            job_->abandon();
            task_->resume_at_once();
            throw;
        }
    }
    std::invoke_result_t<F&> await_resume()
    {
        if (std::exchange(interrupted_, false)) task_->deliver();
        return job_->outcome.take();
    }

private:
    void interrupt() noexcept override
    {
        if (ToEnd ? !job_->withdraw() : job_->ended()) return;  // the job wakes the task
        interrupted_ = true;
        job_->abandon();
        task_->wake();
    }

    asio::thread_pool& pool_;
    F function_;
    std::shared_ptr<Job<F>> job_;
    TaskControl* task_ = nullptr;
    bool interrupted_ = false;
};

}  // namespace detail

// Calls `function()` on a thread of `pool`; co_await gives what it returns, or throws what it throws. Errors:
// ExecutorStopped. Cancelling while the function runs ends the wait at once; the function itself runs to its end, its
// outcome is dropped: it must own what it uses (capture by value). The outcome of one that has ended by then comes
// first, and Cancelled at the next await.
template <class F>
auto run_in_executor(asio::thread_pool& pool, F function)
{
    return detail::ExecutorAwaiter<F, false>(pool, std::move(function));
}
template <class F>
auto run_in_executor(F function)
{
    return detail::ExecutorAwaiter<F, false>(default_executor(), std::move(function));
}

// The same for a function that refers to what the waiting task owns. Cancelling one that the pool has not begun ends
// the wait at once, and it is not called. One that runs is waited for: its outcome comes first, and Cancelled at the
// next await. If the loop is destroyed meanwhile, its thread blocks until the function has returned.
template <class F>
auto run_in_executor_to_end(asio::thread_pool& pool, F function)
{
    return detail::ExecutorAwaiter<F, true>(pool, std::move(function));
}
template <class F>
auto run_in_executor_to_end(F function)
{
    return detail::ExecutorAwaiter<F, true>(default_executor(), std::move(function));
}

}  // namespace loopwatch
