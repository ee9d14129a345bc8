// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/loop.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

#include <asio/steady_timer.hpp>

#include <loopwatch/probe.hpp>
#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/detail/resources.hpp>
#include <loopwatch/rt/exception_group.hpp>
#include <loopwatch/rt/registry.hpp>
#include <loopwatch/rt/sleep.hpp>
#include <loopwatch/slot.hpp>

namespace loopwatch {

namespace {

constexpr std::string_view shut_down_reason = "its loop is shut down";
constexpr std::size_t max_shut_down_errors = 128;  // a callback that posts itself may throw each time

[[noreturn]] void throw_running()
{
    throw std::logic_error("loopwatch: the loop is running already");
}

}  // namespace

thread_local constinit Loop* Loop::current_ = nullptr;

// The loops that were not destroyed yet. Those left when the process exits were never closed.
class Loop::Alive {
public:
    static Alive& all()
    {
        static Alive alive;
        return alive;
    }
    ~Alive()
    {
        if (!detail::debugged()) return;
        for (const Loop* loop = first_; loop != nullptr; loop = loop->next_alive_)
            detail::tell_leak(loop->slot_, "event loop", loop->created_at_);
    }
    void add(Loop& loop)
    {
        const std::lock_guard lock(mutex_);
        loop.next_alive_ = std::exchange(first_, &loop);
    }
    bool has(const void* context)
    {
        const std::lock_guard lock(mutex_);
        const Loop* loop = first_;
        while (loop != nullptr && &loop->context_ != context) loop = loop->next_alive_;
        return loop != nullptr;
    }
    void remove(const Loop& loop)
    {
        const std::lock_guard lock(mutex_);
        Loop** link = &first_;
        while (*link != &loop) link = &(*link)->next_alive_;
        *link = loop.next_alive_;
    }

private:
    std::mutex mutex_;
    Loop* first_ = nullptr;
};

// Goes on in the place of a task's coroutine, which has come to its end and can be destroyed by then.
struct Loop::EndOfTask {
    struct promise_type {
        EndOfTask get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept {}
    };
    static EndOfTask of(Loop& loop)
    {
        while (true) {
            std::exchange(loop.ending_, nullptr)->end();
            co_await std::suspend_always();
        }
    }
    std::coroutine_handle<> handle;
};

Loop::Loop(std::string name, std::source_location where)
    : end_of_task_(EndOfTask::of(*this).handle), name_(std::move(name)), created_at_(detail::location_of(where))
{
    detail::read_debug_environment();
    identify(slot_, name_.c_str());
    mark_noteworthy();
    Alive::all().add(*this);
}

Loop::~Loop()
{
    Alive::all().remove(*this);
    mailbox_->close();
    reap();
    discard_ready();
    while (slot_.tasks != nullptr) end(*static_cast<detail::TaskRecord*>(slot_.tasks)->owner);
    end_of_task_.destroy();
    detail::tell_leaks(slot_, &context_);
    withdraw(slot_);
}

bool Loop::is_alive(const void* context) noexcept
{
    return Alive::all().has(context);
}

bool detail::is_of_a_loop(const void* context) noexcept
{
    return Loop::is_alive(context);
}

void Loop::set_floor(std::chrono::nanoseconds floor) noexcept
{
    slot_.floor_ns = static_cast<lw_u64>(floor.count());
    mark_noteworthy();
}

// What holds while a thread runs the loop.
class Loop::RunScope {
public:
    explicit RunScope(Loop& loop, void* frame) : loop_(loop), outer_(std::exchange(current_, &loop))
    {
        detail::forked = false;
        loop_.slot_.tid = static_cast<lw_u32>(gettid());
        loop_.slot_.stack_top = reinterpret_cast<lw_u64>(frame);
        if (loop_.clock_.maintain(loop_.clock_.ticks())) loop_.clock_changed();
        loop_.context_.restart();
        if constexpr (detail::published) registry_add(loop_.slot_);
        tell_shim(&loop_.slot_);
        ++detail::loops_of_thread;
        loop_.listener_ = find_listener();
        if (loop_.listener_ != nullptr) probe::listen(true);
        probe::loop_start(loop_.slot_.loop_id, &loop_.slot_, LW_ABI);
    }
    RunScope(const RunScope&) = delete;
    RunScope& operator=(const RunScope&) = delete;
    ~RunScope()
    {
        loop_.reap();
        if (!detail::forked) probe::loop_stop(loop_.slot_.loop_id);
        if (loop_.listener_ != nullptr) probe::listen(false);
        tell_shim(nullptr);
        --detail::loops_of_thread;
        if constexpr (detail::published) registry_remove(loop_.slot_);
        loop_.slot_.tid = 0;
        loop_.slot_.poll_since = 0;
        loop_.stopping_ = false;
        current_ = outer_;
        loop_.running_ = false;
    }

private:
    Loop& loop_;
    Loop* const outer_;
};

[[gnu::noinline]] void Loop::run()
{
    if (running_.exchange(true)) throw_running();
    const RunScope scope(*this, __builtin_frame_address(0));
    while (!stopping_.load(std::memory_order_relaxed)) {
        receive();
        if (ready_.empty() && alive_ == 0) break;
        poll(ready_.empty());
        drain(batch_end_);
        reap();
    }
}

void Loop::stop() noexcept
{
    stopping_ = true;
    // Ends a poll too, which Asio handlers that post each other would keep up for ever.
    context_.stop();
}

void Loop::post_node(detail::PostedCallback& callback) noexcept
{
    if (current_ == this)
        make_ready(callback);
    else
        mailbox_->push(callback);
}

void detail::PostedCallback::arrive(Loop* loop) noexcept
{
    if (loop != nullptr)
        loop->make_ready(*this);
    else
        discard();
}

lw_u64 Loop::running_task() const noexcept
{
    return (slot_.seq & 1) != 0 && slot_.task != nullptr ? slot_.task->id : 0;
}

void Loop::adopt(detail::TaskControl& task) noexcept
{
    task.record_.next = slot_.tasks;
    if (slot_.tasks != nullptr) slot_.tasks->prev = &task.record_;
    slot_.tasks = &task.record_;
    ++slot_.tasks_created;
    ++alive_;
    make_ready(task);
    if (ending_all_) [[unlikely]]
        task.cancel(shut_down_reason, 0);
}

void Loop::end(detail::TaskControl& task) noexcept
{
    lw_task& record = task.record_;
    (record.prev != nullptr ? record.prev->next : slot_.tasks) = record.next;
    if (record.next != nullptr) record.next->prev = record.prev;
    if (slot_.task == &record) slot_.task = nullptr;
    if (!task.done()) {
        task.destroy_root();
        discard_ready();  // whom it woke: they end too, and the queue must not lead to what is gone
        task.abandon();
    }
    task.release();
}

void Loop::discard_ready() noexcept
{
    for (detail::ReadyNode* node = ready_.pop(); node != nullptr; node = ready_.pop())
        if (node->task == nullptr) static_cast<detail::PostedCallback*>(node)->discard();
}

std::coroutine_handle<> Loop::ends(detail::TaskControl& task) noexcept
{
    ending_ = &task;
    return end_of_task_;
}

void Loop::finished(detail::TaskControl& task, lw_outcome outcome) noexcept
{
    --alive_;
    ++slot_.tasks_finished;
    if (outcome == LW_OUTCOME_CANCELLED) ++slot_.tasks_cancelled;
    task.next = finished_;
    finished_ = &task;
}

void Loop::reap() noexcept
{
    while (finished_ != nullptr) {
        detail::TaskControl& task = *finished_;
        finished_ = static_cast<detail::TaskControl*>(task.next);
        end(task);
    }
}

void Loop::shut_down(std::chrono::nanoseconds limit)
{
    if (running_) throw_running();  // before a task is cancelled
    const auto expired = std::make_shared<bool>(false);
    asio::steady_timer timer(context_, detail::deadline_after(limit));
    // Its handler may run late, in the next run().
    timer.async_wait([this, limit = std::weak_ptr<bool>(expired)](const std::error_code& error) {
        const auto flag = limit.lock();
        if (error || flag == nullptr) return;
        *flag = true;
        stop();
    });
    std::vector<std::exception_ptr> errors;
    errors.reserve(max_shut_down_errors);  // from here on nothing throws that is not caught
    ending_all_ = true;
    for (lw_task* task = slot_.tasks; task != nullptr; task = task->next)
        static_cast<detail::TaskRecord*>(task)->owner->cancel(shut_down_reason, 0);
    for (bool ended = false; !ended && !*expired && errors.size() < max_shut_down_errors;) {
        try {
            run();
            ended = true;
        } catch (...) {
            errors.push_back(std::current_exception());
        }
    }
    ending_all_ = false;
    if (errors.size() > 1) throw ExceptionGroup(std::move(errors));
    if (!errors.empty()) std::rethrow_exception(errors.front());
}

}  // namespace loopwatch
