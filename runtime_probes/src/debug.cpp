// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/debug.hpp>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>
#include <typeinfo>
#include <utility>

#include <cxxabi.h>
#include <execinfo.h>

#include <loopwatch/function_name.hpp>
#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/loop.hpp>

namespace loopwatch {

namespace {

struct Handlers {
    std::function<void(const Finding&)> finding;
    std::function<void(std::exception_ptr, const Finding&)> exception;
};
Handlers& handlers()
{
    static Handlers handlers;
    return handlers;
}

std::atomic<bool> on{false};                                 // set by set_debug
std::atomic<bool> wants_exceptions{false};                   // set by set_exception_handler
std::atomic<lw_u64> slow_callback_duration_ns{100'000'000};  // asyncio's

std::string place(const lw_location* at)
{
    return at == nullptr ? "?" : std::string(at->file) + ":" + std::to_string(at->line);
}

std::string named(const lw_task& task)
{
    const bool has_name = task.name != nullptr && *task.name != '\0';
    return std::string(has_name ? task.name : "task") + "#" + std::to_string(task.id);
}

std::string of_task(const lw_task& task)
{
    std::string text = named(task) + " created at " + place(task.created_at);
    if (task.leaf != nullptr && task.leaf->suspended_at != nullptr)
        text += ", waiting at " + place(task.leaf->suspended_at);
    for (const char* label = task.labels; label != nullptr && *label != '\0';) {
        const char* const end = std::strchr(label, '\n');
        text += (label == task.labels ? ", labels " : " ") + std::string(label, end == nullptr ? label : end);
        label = end == nullptr ? nullptr : end + 1;
    }
    return text;
}

std::string in_seconds(lw_u64 ns)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.3f s", static_cast<double>(ns) / 1e9);
    return text;
}

void deliver(Finding finding) noexcept
{
    try {
        const Handlers& to = handlers();
        if (finding.exception != nullptr && to.exception)
            to.exception(finding.exception, finding);
        else if (!on)
            return;
        else if (to.finding)
            to.finding(finding);
        else
            std::fprintf(stderr, "loopwatch: %s\n", finding.text.c_str());
    } catch (...) {
    }
}

const char* state_name(lw_u32 state) noexcept
{
    switch (state) {
        case LW_TASK_CREATED: return "created";
        case LW_TASK_RUNNING: return "running";
        case LW_TASK_SUSPENDED: return "suspended";
        case LW_TASK_READY: return "ready";
        default: return "finished";
    }
}

const lw_task* find_task(const Loop& loop, lw_u64 id) noexcept
{
    for (const lw_task* task = loop.slot().tasks; task != nullptr; task = task->next)
        if (task->id == id) return task;
    return nullptr;
}

// g++ names the place of an await after the coroutine's body; the coroutine itself has its clean name.
std::string frame_text(const lw_frame& frame)
{
    const lw_location* const at = frame.suspended_at != nullptr ? frame.suspended_at : frame.created_at;
    return (frame.created_at == nullptr ? "?" : std::string(short_function(frame.created_at->function))) + " " +
           place(at);
}

}  // namespace

void set_debug(bool wanted)
{
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    if (on == wanted) return;
#ifdef LOOPWATCH_NO_PROBES
    std::fputs("loopwatch: debug mode was asked for, but this program is built with LOOPWATCH_NO_PROBES\n", stderr);
#endif
    on = wanted;
    probe::listen(wanted, true);
}

bool debug() noexcept
{
    return on;
}

void set_finding_handler(std::function<void(const Finding&)> handler)
{
    handlers().finding = std::move(handler);
}

void set_exception_handler(std::function<void(std::exception_ptr, const Finding&)> handler)
{
    handlers().exception = std::move(handler);
    wants_exceptions = handlers().exception != nullptr;
}

void set_slow_callback_duration(std::chrono::nanoseconds duration) noexcept
{
    slow_callback_duration_ns = static_cast<lw_u64>(duration.count());
}

std::vector<TaskSnapshot> all_tasks(const Loop& loop)
{
    std::vector<TaskSnapshot> all;
    for (const lw_task* task = loop.slot().tasks; task != nullptr; task = task->next) {
        if (task->state == LW_TASK_FINISHED) continue;
        TaskSnapshot snapshot;
        snapshot.id = task->id;
        snapshot.name = task->name;
        snapshot.state = state_name(task->state);
        snapshot.created_at = place(task->created_at);
        for (const lw_frame* frame = task->leaf; frame != nullptr; frame = frame->awaiter)
            snapshot.stack.push_back(frame_text(*frame));
        all.push_back(std::move(snapshot));
    }
    return all;
}

std::vector<TaskSnapshot> all_tasks()
{
    return Loop::current() == nullptr ? std::vector<TaskSnapshot>() : all_tasks(*Loop::current());
}

bool print_stack(lw_u64 id, std::FILE* file)
{
    const lw_task* const task = Loop::current() == nullptr ? nullptr : find_task(*Loop::current(), id);
    if (task == nullptr) return false;
    std::fprintf(file, "Stack for %s (%s), most recent await last:\n", named(*task).c_str(), state_name(task->state));
    std::vector<const lw_frame*> frames;
    for (const lw_frame* frame = task->leaf; frame != nullptr; frame = frame->awaiter) frames.push_back(frame);
    for (std::size_t i = frames.size(); i-- > 0;) std::fprintf(file, "  %s\n", frame_text(*frames[i]).c_str());
    return true;
}

namespace detail {

void tell_destroyed_pending(const lw_task& task) noexcept
{
    probe::task_destroyed_pending(task.id, task.created_at, task.leaf->suspended_at);
    if (on) deliver({"task_destroyed_pending", "Task was destroyed but it is pending! " + of_task(task), task.id, {}});
}

void tell_never_awaited(const lw_frame& frame) noexcept
{
    probe::coroutine_never_awaited(frame.created_at, frame.created_at->function);
    if (!on) return;
    deliver({"coroutine_never_awaited",
             "coroutine '" + std::string(short_function(frame.created_at->function)) + "' (" + place(frame.created_at) +
                 ") was never awaited",
             0,
             {}});
}

void tell_unretrieved(const lw_task& task, std::exception_ptr error) noexcept
{
    const char* type = "";
    std::string what;
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& thrown) {
        type = typeid(thrown).name();
        what = thrown.what();
    } catch (...) {
        const std::type_info* const thrown = abi::__cxa_current_exception_type();
        if (thrown != nullptr) type = thrown->name();
    }
    probe::exception_unretrieved(task.id, type, what.c_str(), task.created_at);
    if (!on && !wants_exceptions) return;
    char* const clear = abi::__cxa_demangle(type, nullptr, nullptr, nullptr);
    std::string text = "Task exception was never retrieved: " + named(task) + " created at " + place(task.created_at) +
                       ", " + (clear == nullptr ? type : clear) + (what.empty() ? "" : ": " + what);
    std::free(clear);
    deliver({"exception_unretrieved", std::move(text), task.id, std::move(error)});
}

void tell_cancelled(const lw_task& task, lw_outcome outcome) noexcept
{
    probe::task_cancelled(task.id, task.cancelled_by, task.cancel_reason, outcome);
    if (!on) return;
    std::string text = named(task) + ": cancelled";
    if (task.cancelled_by != 0) text += " by #" + std::to_string(task.cancelled_by);
    if (task.cancel_reason != nullptr && *task.cancel_reason != '\0')
        text += std::string(" (") + task.cancel_reason + ")";
    if (outcome == LW_OUTCOME_SWALLOWED) text += ", and went on regardless";
    deliver({"task_cancelled", std::move(text), task.id, {}});
}

void tell_deadlock(const lw_task& task, const lw_task& awaited, lw_u64 length) noexcept
{
    probe::deadlock(task.id, awaited.id, length);
    if (!on) return;
    deliver({"deadlock",
             named(task) + " would wait for " + named(awaited) + ", which waits for it: a cycle of " +
                 std::to_string(length),
             task.id,
             {}});
}

void tell_thread_violation(const lw_loop_slot& slot, const char* operation) noexcept
{
    probe::thread_violation(slot.loop_id, operation, slot.tid);
    if (!on) return;
    deliver({"thread_violation",
             std::string("Non-thread-safe operation invoked on an event loop other than the current one: ") +
                 operation + " of loop " + slot.name + ", which thread " + std::to_string(slot.tid) + " runs",
             0,
             {}});
}

void tell_leak(const lw_loop_slot& slot, const char* kind, const lw_location* opened) noexcept
{
    probe::resource_leak(slot.loop_id, kind, opened);
    if (!on) return;
    deliver({"resource_leak",
             std::string("unclosed ") + kind + " of loop " + slot.name + ", opened at " + place(opened),
             0,
             {}});
}

void tell_slow_poll(const lw_loop_slot& slot, lw_u64 timeout_ns, lw_u64 elapsed_ns, lw_u64 events) noexcept
{
    probe::slow_poll(slot.loop_id, timeout_ns, elapsed_ns, events);
    if (!on || elapsed_ns - timeout_ns < slow_callback_duration_ns) return;
    deliver({"slow_poll",
             "poll " + in_seconds(timeout_ns) + " took " + in_seconds(elapsed_ns) + ": " + std::to_string(events) +
                 " events of loop " + slot.name,
             0,
             {}});
}

void tell_slow_dispatch(const lw_task* task, const lw_location* resume, lw_u64 elapsed_ns) noexcept
{
    if (!on || elapsed_ns < slow_callback_duration_ns) return;
    std::string text =
        "Executing " + (task == nullptr ? std::string("a callback") : named(*task)) + " took " + in_seconds(elapsed_ns);
    if (task != nullptr) text += ", created at " + place(task->created_at);
    if (resume != nullptr) text += ", resumed at " + place(resume);
    deliver({"slow_callback", std::move(text), task == nullptr ? 0 : task->id, {}});
}

bool exceptions_wanted() noexcept
{
    return wants_exceptions;
}

void read_debug_environment() noexcept
{
    static const bool once = [] {
        const char* const text = std::getenv("LOOPWATCH_DEBUG");
        const std::string_view value = text == nullptr ? "" : text;
        if (value == "1")
            set_debug(true);
        else if (!value.empty() && value != "0")
            std::fprintf(stderr, "loopwatch: LOOPWATCH_DEBUG=%s is not understood, debug mode stays off: 1 or 0\n",
                         text);
        return true;
    }();
    static_cast<void>(once);
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

}  // namespace detail
}  // namespace loopwatch
