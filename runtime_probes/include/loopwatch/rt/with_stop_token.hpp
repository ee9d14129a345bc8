// SPDX-License-Identifier: Apache-2.0
//
// with_stop_token: a task that is cancelled when a stop is requested of a std::stop_source, on whichever thread.
#pragma once

#include <memory>
#include <optional>
#include <source_location>
#include <stop_token>
#include <utility>

#include <loopwatch/rt/detail/charge.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/spawn.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

namespace detail {

// One request on its way to the task's loop. Made before it is needed: the thread that requests the stop cannot fail.
class StopRequest final : public Inbound {
public:
    explicit StopRequest(std::shared_ptr<Mailbox> mailbox) noexcept : mailbox_(std::move(mailbox)) {}
    StopRequest(const StopRequest&) = delete;
    StopRequest& operator=(const StopRequest&) = delete;

    // Any thread, once.
    static void send(const std::shared_ptr<StopRequest>& request, const Loop* loop) noexcept
    {
        if (Loop::current() == loop) return request->cancel();
        const auto mailbox = request->mailbox_;
        request->self_ = request;
        mailbox->push(*request);
    }
    void arrive(Loop* loop) noexcept override
    {
        const auto self = std::move(self_);
        if (loop != nullptr) cancel();
    }
    // Loop's thread. Null: the task has ended.
    void set_task(TaskControl* task) noexcept { task_ = task; }

private:
    void cancel() noexcept
    {
        if (task_ != nullptr) task_->cancel("a stop was requested", 0);
    }

    TaskControl* task_ = nullptr;  // of the loop's thread
    std::shared_ptr<Mailbox> mailbox_;
    std::shared_ptr<StopRequest> self_;  // while it stands in the mailbox
};

// Cancels a task when a stop is requested. When it is destroyed no thread is in the callback any more. Made before
// there is a task, so that nothing can fail while one runs.
class StopLink {
public:
    // `waiter`: a task of the same loop.
    explicit StopLink(const TaskControl& waiter) : request_(std::make_shared<StopRequest>(waiter.mailbox())) {}
    StopLink(const StopLink&) = delete;
    StopLink& operator=(const StopLink&) = delete;
    ~StopLink() { request_->set_task(nullptr); }

    void watch(std::stop_token token, TaskControl& task) noexcept
    {
        request_->set_task(&task);
        callback_.emplace(std::move(token), Send{request_, &task.loop()});
    }

private:
    struct Send {
        std::shared_ptr<StopRequest> request;
        const Loop* loop;
        void operator()() const noexcept { StopRequest::send(request, loop); }
    };

    std::shared_ptr<StopRequest> request_;
    std::optional<std::stop_callback<Send>> callback_;
};

}  // namespace detail

// The result of `task`, run as a task of its own, which is cancelled once a stop is requested of `token`, also if that
// was before. Errors: Cancelled if it was asked to stop and did; its own exceptions. Cancelling who waits cancels it,
// and it is waited for nevertheless: if it ends with something else than Cancelled, that comes first, and Cancelled at
// the next await. The stop may be requested when the task has ended and its loop is gone: it does nothing then.
template <class T>
Task<T> with_stop_token(std::stop_token token, Task<T> task,
                        std::source_location where = std::source_location::current())
{
    detail::StopLink link(co_await detail::ThisTask());
    const auto running = spawn(*Loop::current(), std::move(task), SpawnOptions{.name = "with_stop_token"}, where);
    link.watch(std::move(token), detail::HandleAccess::control(running));
    detail::Charge<T> charge(running);
    while (!running.done()) charge.pass_on(co_await charge.end());
    co_return charge.take();
}

}  // namespace loopwatch
