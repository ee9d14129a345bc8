// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/detail/task_control.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <loopwatch/rt/cancelled.hpp>
#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/label.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/loop_gone.hpp>
#include <loopwatch/rt/registry.hpp>
#include <loopwatch/slot.hpp>

namespace loopwatch::detail {

namespace {

lw_u64 running_task_id() noexcept
{
    const Loop* const loop = Loop::current();
    return loop == nullptr ? 0 : loop->running_task();
}

// A cancellation asked for by another thread.
struct CancelRequest final : Inbound {
    CancelRequest(TaskControl& task, std::string_view why, lw_u64 by) : task_(task), reason_(why), by_(by)
    {
        task_.add_reference();
    }
    void arrive(Loop* loop) noexcept override
    {
        const std::unique_ptr<CancelRequest> self(this);
        if (loop != nullptr) task_.cancel(reason_, by_);
        task_.release();
    }
    TaskControl& task_;
    std::string reason_;
    lw_u64 by_;
};

bool traced() noexcept
{
    return probe::traced() && !forked;
}

}  // namespace

TaskControl::TaskControl(Loop& loop, std::coroutine_handle<> root, const lw_frame& frame, std::string_view name,
                         const std::source_location& where)
    : loop_(&loop), root_(root), mailbox_(loop.mailbox_), name_(name)
{
    handle = root;
    task = &record_;
    record_.owner = this;
    record_.id = next_task_id();
    const TaskControl* const parent = running_task();
    record_.parent_id = parent == nullptr ? 0 : parent->record_.id;
    record_.name = name_.c_str();
    record_.created_at = location_of(where);
    record_.leaf = &frame;
    if constexpr (published) {
        record_.created_ns = coarse_now_ns();
        if (parent != nullptr && parent->labels_ != nullptr) {
            labels_ = parent->labels_;
            record_.labels = labels_->c_str();
        }
        if (debugged()) {
            created_stack_ = capture_backtrace();
            record_.created_stack = created_stack_.get();
        }
    }
    if (traced()) probe::task_create(record_.id, record_.parent_id, record_.name, record_.created_at);
}

void TaskControl::start() noexcept
{
    if (Loop::current() == loop_)
        loop_->adopt(*this);
    else
        mailbox_->push(*this);
}

void TaskControl::arrive(Loop* loop) noexcept
{
    if (loop != nullptr) {
        loop->adopt(*this);
    } else {
        destroy_root();
        abandon();
        release();
    }
}

void TaskControl::wake() noexcept
{
    wait_ = nullptr;
    push_ready();
}

void TaskControl::push_ready() noexcept
{
    publish(LW_TASK_READY);
    loop_->make_ready(*this);
}

void TaskControl::cancel_from(std::string_view reason)
{
    if (done()) return;
    if (Loop::current() == loop_)
        cancel(reason, running_task_id());
    else
        mailbox_->push(*new CancelRequest(*this, reason, running_task_id()));
}

void TaskControl::cancel(std::string_view reason, lw_u64 by) noexcept
{
    if (done()) return;
    record_.cancel_reason = nullptr;
    try {
        reason_.assign(reason);
    } catch (...) {  // no memory: a request without its reason is one all the same
        reason_.clear();
    }
    record_.cancel_reason = reason_.c_str();
    record_.cancelled_by = by;
    if (published && record_.cancel_requests == 0) record_.cancelled_ns = now_ns();
    ++record_.cancel_requests;
    cancel_pending_ = true;
    if (traced()) probe::cancel_request(record_.id, by, reason_.c_str());
    if (wait_ != nullptr) std::exchange(wait_, nullptr)->interrupt();
}

void TaskControl::deliver()
{
    throw Cancelled(take_cancellation().reason);
}

Interruption TaskControl::take_cancellation()
{
    Interruption taken{*this, reason_};
    cancel_pending_ = false;
    cancel_delivered_ = true;
    if (traced()) probe::cancel_delivered(record_.id, LW_OUTCOME_CANCELLED);
    return taken;
}

void TaskControl::add_joiner(TaskControl& joiner)
{
    if (joiner.loop_ != loop_) throw std::logic_error("loopwatch: a task can be joined on its own loop only");
    if (joiner_ != nullptr) throw std::logic_error("loopwatch: another task waits for this one already");
    refuse_cycle(joiner);
    joiner_ = &joiner;
    joiner.awaiting_ = this;
    joiner.record_.awaited_task = id();
}

void TaskControl::verify_thread(const Loop& loop, const char* operation) noexcept
{
    if (Loop::current() == &loop || forked) return;
    // Nobody runs it: nobody is disturbed.
    if (loop.slot().tid != 0) tell_thread_violation(loop.slot(), operation);
}

TaskControl* running_task() noexcept
{
    const Loop* const loop = Loop::current();
    if (loop == nullptr || loop->running_task() == 0) return nullptr;
    return static_cast<const TaskRecord*>(loop->slot().task)->owner;
}

void TaskControl::set_label(std::string_view key, std::string_view value)
{
    std::string line(key);
    std::replace(line.begin(), line.end(), '=', '-');
    line.append("=").append(value);
    std::replace(line.begin(), line.end(), '\n', ' ');
    const std::string_view new_key = std::string_view(line).substr(0, key.size() + 1);
    std::string all;
    std::string_view rest = labels_ == nullptr ? std::string_view() : *labels_;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
        if (!rest.starts_with(new_key)) all.append(rest.substr(0, end));
        rest.remove_prefix(end);
    }
    all.append(line).append("\n");
    // The record leads to the new ones before the old ones go.
    auto changed = std::make_shared<const std::string>(std::move(all));
    record_.labels = changed->c_str();
    labels_.swap(changed);
}

void TaskControl::drop_joiner() noexcept
{
    if (joiner_ == nullptr) return;
    joiner_->awaiting_ = nullptr;
    joiner_->record_.awaited_task = 0;
    joiner_ = nullptr;
}

namespace {

[[noreturn]] void throw_reuse(const char* what)
{
    report_reuse(what);
    throw std::logic_error(std::string("loopwatch: ") + what);
}

}  // namespace

void TaskControl::retrieve()
{
    if (std::exchange(retrieved_, true)) throw_reuse("a task's result can be taken once only");
}

std::coroutine_handle<> TaskControl::finish() noexcept
{
    if (const std::exception_ptr error = collect())
        outcome_ = failed(error) ? LW_OUTCOME_EXCEPTION : LW_OUTCOME_CANCELLED;
    finished_ = true;
    publish(LW_TASK_FINISHED);
    report_end();
    return loop_->ends(*this);
}

void TaskControl::end() noexcept
{
    if constexpr (published) {
        last_activation_ = *record_.leaf;
        record_.leaf = &last_activation_;
    }
    destroy_root();
    if (joiner_ != nullptr) {
        TaskControl& joiner = *joiner_;
        drop_joiner();
        joiner.wake();
    }
    done_.store(true, std::memory_order_release);
    loop_->finished(*this, outcome_);
}

bool failed(const std::exception_ptr& error) noexcept
{
    if (error == nullptr) return false;
    try {
        std::rethrow_exception(error);
    } catch (const Cancelled&) {
        return false;
    } catch (...) {
        return true;
    }
}

void TaskControl::abandon() noexcept
{
    if (done()) return;
    wait_ = nullptr;
    set_error(std::make_exception_ptr(LoopGone()));
    done_.store(true, std::memory_order_release);
}

void TaskControl::report_end() noexcept
{
    const bool swallowed = cancel_delivered_ && outcome_ != LW_OUTCOME_CANCELLED;
    if (traced() && swallowed) probe::cancel_delivered(record_.id, LW_OUTCOME_SWALLOWED);
    if (traced()) probe::task_finish(record_.id, outcome_);
    if (watched() && record_.cancel_requests != 0) tell_cancelled(record_, swallowed ? LW_OUTCOME_SWALLOWED : outcome_);
}

void TaskControl::destroy_root() noexcept
{
    if (!root_) return;
    if (!finished_ && watched()) tell_destroyed_pending(record_);
    if (traced()) probe::task_destroy(record_.id, record_.state);
    if constexpr (published) {
        if (!finished_) {
            // From the innermost on: one that destroys the next would need a stack as deep as they are many.
            const auto* frame = static_cast<const FrameRecord*>(record_.leaf);
            last_activation_ = {};
            record_.leaf = &last_activation_;
            while (frame->owner != nullptr) {
                const auto* const awaiter = static_cast<const FrameRecord*>(frame->awaiter);
                frame->owner->destroy_child();
                frame = awaiter;
            }
        }
    }
    std::exchange(root_, nullptr).destroy();
}

void throw_gone_task()
{
    throw_reuse("a task was awaited that had been awaited, spawned or moved away");
}

void throw_gone_handle()
{
    throw_reuse("a handle was used that had been moved away");
}

void TaskControl::release() noexcept
{
    // Whoever has the only reference is the only one who could add another: no locked instruction (6 ns) for the last.
    if (references_.load(std::memory_order_acquire) != 1 && references_.fetch_sub(1, std::memory_order_acq_rel) != 1)
        return;
    if (!retrieved_ && outcome_ == LW_OUTCOME_EXCEPTION) [[unlikely]]
        tell_unretrieved(record_, error());
    delete this;
}

}  // namespace loopwatch::detail

void loopwatch::label(std::string_view key, std::string_view value)
{
    if (detail::TaskControl* const task = detail::running_task()) task->set_label(key, value);
}
