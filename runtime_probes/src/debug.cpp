// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/debug.hpp>

#include <cstdlib>
#include <mutex>
#include <string_view>
#include <utility>

#include <loopwatch/function_name.hpp>
#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/loop.hpp>

#include "debug_state.hpp"

namespace loopwatch {

using detail::debug_state;
using detail::named;
using detail::place;

namespace {

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
    if (debug_state().on == wanted) return;
#ifdef LOOPWATCH_NO_PROBES
    std::fputs("loopwatch: debug mode was asked for, but this program is built with LOOPWATCH_NO_PROBES\n", stderr);
#endif
    debug_state().on = wanted;
    probe::listen(wanted, true);
}

bool debug() noexcept
{
    return debug_state().on;
}

void set_finding_handler(std::function<void(const Finding&)> handler)
{
    debug_state().on_finding = std::move(handler);
}

void set_exception_handler(std::function<void(std::exception_ptr, const Finding&)> handler)
{
    debug_state().on_exception = std::move(handler);
}

void set_slow_callback_duration(std::chrono::nanoseconds duration) noexcept
{
    debug_state().slow_callback_duration_ns = static_cast<lw_u64>(duration.count());
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

void detail::read_debug_environment() noexcept
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

}  // namespace loopwatch
