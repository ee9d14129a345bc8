// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/detail/findings.hpp>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <typeinfo>
#include <utility>

#include <cxxabi.h>
#include <execinfo.h>

#include <loopwatch/exception_object.hpp>
#include <loopwatch/function_name.hpp>
#include <loopwatch/rt/debug.hpp>
#include <loopwatch/rt/detail/task_control.hpp>
#include <loopwatch/slot.hpp>

#include "debug_state.hpp"

namespace loopwatch::detail {

namespace {

// ", labels request=7 user=3"
std::string labels_of(const lw_task& task)
{
    std::string text;
    for (const char* label = task.labels; label != nullptr && *label != '\0';) {
        const char* const end = std::strchr(label, '\n');
        text += (label == task.labels ? ", labels " : " ") + std::string(label, end == nullptr ? label : end);
        label = end == nullptr ? nullptr : end + 1;
    }
    return text;
}

std::string of_task(const lw_task& task)
{
    std::string text = named(task) + " created at " + place(task.created_at);
    if (task.leaf != nullptr && task.leaf->suspended_at != nullptr)
        text += ", waiting at " + place(task.leaf->suspended_at);
    return text + labels_of(task);
}

std::string in_seconds(lw_u64 ns)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.3f s", static_cast<double>(ns) / 1e9);
    return text;
}

// Composes the text only if somebody within the process is to be told: in debug mode, and of an exception always, which
// would disappear otherwise. What fails or is thrown on the way disturbs nobody: this may be production.
template <class Compose>
void deliver(const char* type, lw_u64 task, Compose compose, std::exception_ptr error = nullptr) noexcept
{
    try {
        const DebugState& to = debug_state();
        if (!to.on && error == nullptr) return;
        const Finding finding{type, compose(), task, std::move(error)};
        if (finding.exception != nullptr && to.on_exception)
            to.on_exception(finding.exception, finding);
        else if (to.on_finding)
            to.on_finding(finding);
        else
            std::fprintf(stderr, "loopwatch: %s\n", finding.text.c_str());
    } catch (...) {
    }
}

}  // namespace

void tell_destroyed_pending(const lw_task& task) noexcept
{
    probe::task_destroyed_pending(task.id, task.created_at, task.leaf->suspended_at, &task);
    deliver("task_destroyed_pending", task.id,
            [&] { return "Task was destroyed but it is pending! " + of_task(task); });
}

void tell_never_awaited(const lw_frame& frame, const lw_backtrace* called_from) noexcept
{
    probe::coroutine_never_awaited(frame.created_at, frame.created_at->function, called_from);
    deliver("coroutine_never_awaited", 0, [&] {
        return "coroutine '" + std::string(short_function(frame.created_at->function)) + "' (" +
               place(frame.created_at) + ") was never awaited";
    });
}

void tell_unretrieved(const lw_task& task, std::exception_ptr error) noexcept
{
    const auto tell = [&](const char* type, const char* what) {
        if (watched()) probe::exception_unretrieved(task.id, type, what, &task, object_of(error));
        deliver(
            "exception_unretrieved", task.id,
            [&] {
                char* const clear = abi::__cxa_demangle(type, nullptr, nullptr, nullptr);
                std::string text = "Task exception was never retrieved: " + named(task) + " created at " +
                                   place(task.created_at) + ", " + (clear == nullptr ? type : clear);
                std::free(clear);
                if (*what != '\0') text.append(": ").append(what);
                return text + labels_of(task);
            },
            error);
    };
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& thrown) {
        tell(typeid(thrown).name(), thrown.what());
    } catch (...) {
        const std::type_info* const type = abi::__cxa_current_exception_type();
        tell(type == nullptr ? "" : type->name(), "");
    }
}

void tell_cancelled(const lw_task& task, lw_outcome outcome) noexcept
{
    probe::task_cancelled(task.id, task.cancelled_by, task.cancel_reason, outcome);
    deliver("task_cancelled", task.id, [&] {
        std::string text = named(task) + ": cancelled";
        if (task.cancelled_by != 0) text += " by #" + std::to_string(task.cancelled_by);
        if (task.cancel_reason != nullptr && *task.cancel_reason != '\0')
            text += std::string(" (") + task.cancel_reason + ")";
        if (outcome == LW_OUTCOME_SWALLOWED) text += ", and went on regardless";
        const lw_u64 took_ns = task.cancelled_ns == 0 ? 0 : now_ns() - task.cancelled_ns;
        if (took_ns >= 1'000'000) text += ", ended " + in_seconds(took_ns) + " later";
        return text + labels_of(task);
    });
}

void report_reuse(const char* what) noexcept
{
    TaskControl* const by = running_task();
    deliver("reuse", by == nullptr ? 0 : by->id(),
            [&] { return (by == nullptr ? std::string("a callback") : of_task(by->record())) + ": " + what; });
}

void tell_deadlock(const lw_task& task, const lw_task& awaited, lw_u64 length) noexcept
{
    probe::deadlock(task.id, awaited.id, length);
    deliver("deadlock", task.id, [&] {
        return named(task) + " would wait for " + named(awaited) + ", which waits for it: a cycle of " +
               std::to_string(length) + labels_of(task);
    });
}

void tell_thread_violation(const lw_loop_slot& slot, const char* operation) noexcept
{
    probe::thread_violation(slot.loop_id, operation, slot.tid);
    deliver("thread_violation", 0, [&] {
        return std::string("Non-thread-safe operation invoked on an event loop other than the current one: ") +
               operation + " of loop " + slot.name + ", which thread " + std::to_string(slot.tid) + " runs";
    });
}

void tell_leak(const lw_loop_slot& slot, const char* kind, const lw_location* opened, int fd,
               const lw_backtrace* stack) noexcept
{
    probe::resource_leak(slot.loop_id, kind, opened, static_cast<lw_u64>(fd), stack);
    deliver("resource_leak", 0, [&] {
        return std::string("unclosed ") + kind + (fd < 0 ? "" : " " + std::to_string(fd)) + " of loop " + slot.name +
               ", opened at " + place(opened);
    });
}

void tell_slow_poll(const lw_loop_slot& slot, lw_u64 timeout_ns, lw_u64 elapsed_ns, lw_u64 events) noexcept
{
    probe::slow_poll(slot.loop_id, timeout_ns, elapsed_ns, events);
    if (elapsed_ns - timeout_ns < debug_state().slow_callback_duration_ns) return;
    deliver("slow_poll", 0, [&] {
        return "poll " + in_seconds(timeout_ns) + " took " + in_seconds(elapsed_ns) + ": " + std::to_string(events) +
               " events of loop " + slot.name;
    });
}

void tell_slow_dispatch(const lw_task* task, const lw_location* resume, lw_u64 elapsed_ns) noexcept
{
    if (elapsed_ns < debug_state().slow_callback_duration_ns) return;
    deliver("slow_callback", task == nullptr ? 0 : task->id, [&] {
        std::string text = "Executing " + (task == nullptr ? std::string("a callback") : named(*task)) + " took " +
                           in_seconds(elapsed_ns);
        if (task != nullptr) text += ", created at " + place(task->created_at);
        if (resume != nullptr) text += ", resumed at " + place(resume);
        return task == nullptr ? text : text + labels_of(*task);
    });
}

std::unique_ptr<const lw_backtrace> capture_backtrace() noexcept
{
    std::unique_ptr<lw_backtrace> stack(new (std::nothrow) lw_backtrace{});
    if (stack == nullptr) return nullptr;
    void* addresses[LW_STACK_DEPTH];
    const int depth = backtrace(addresses, LW_STACK_DEPTH);
    stack->count = depth < 0 ? 0 : static_cast<lw_u64>(depth);
    for (int i = 0; i < depth; ++i) stack->address[i] = reinterpret_cast<lw_u64>(addresses[i]);
    return stack;
}

}  // namespace loopwatch::detail
