// SPDX-License-Identifier: Apache-2.0
#include "resolve/trace_events.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "analysis/frames.hpp"
#include "collect/probe_table.hpp"
#include "resolve/captured_stack.hpp"
#include "resolve/task_view.hpp"

namespace loopwatch {

namespace {

enum class Meaning { none, task, loop, location, text, outcome, state, id, number, name };

struct Argument {
    Meaning meaning = Meaning::none;
    const char* field = "";
};

struct Row {
    std::string_view probe;
    const char* type;
    Argument arguments[4];
};

// text: carried by the record itself; name: a string of the target, read here; id: 0 is none; number: all ones is none.
constexpr Row rows[] = {
    {"task_destroyed_pending",
     "task_destroyed_pending",
     {{Meaning::task}, {Meaning::location, "created_at"}, {Meaning::location, "suspended_at"}}},
    {"coroutine_never_awaited", "coroutine_never_awaited", {{Meaning::location, "created_at"}}},
    {"exception_unretrieved",
     "exception_unretrieved",
     {{Meaning::task}, {Meaning::name, "exception"}, {Meaning::text, "what"}}},
    {"task_cancelled",
     "task_cancelled",
     {{Meaning::task}, {Meaning::id, "by"}, {Meaning::text, "reason"}, {Meaning::outcome, "outcome"}}},
    {"deadlock", "deadlock", {{Meaning::task}, {Meaning::id, "awaited"}, {Meaning::number, "length"}}},
    {"thread_violation",
     "thread_violation",
     {{Meaning::loop}, {Meaning::text, "operation"}, {Meaning::number, "owner_tid"}}},
    {"resource_leak",
     "resource_leak",
     {{Meaning::loop}, {Meaning::text, "resource"}, {Meaning::location, "opened_at"}, {Meaning::number, "fd"}}},
    {"slow_poll",
     "slow_poll",
     {{Meaning::loop}, {Meaning::number, "timeout_ns"}, {Meaning::number, "elapsed_ns"}, {Meaning::number, "events"}}},
    {"task_create",
     "task_created",
     {{Meaning::task}, {Meaning::id, "parent_id"}, {Meaning::text, "name"}, {Meaning::location, "created_at"}}},
    {"task_start", "task_started", {{Meaning::task}}},
    {"task_suspend",
     "task_suspended",
     {{Meaning::task}, {Meaning::id, "awaited"}, {Meaning::location, "suspended_at"}}},
    {"task_resume", "task_resumed", {{Meaning::task}}},
    {"task_finish", "task_finished", {{Meaning::task}, {Meaning::outcome, "outcome"}}},
    {"task_destroy", "task_destroyed", {{Meaning::task}, {Meaning::state, "state"}}},
    {"cancel_request", "cancel_requested", {{Meaning::task}, {Meaning::id, "by"}, {Meaning::text, "reason"}}},
    {"cancel_delivered", "cancel_delivered", {{Meaning::task}, {Meaning::outcome, "outcome"}}},
    {"dispatch_begin", "dispatch_begin", {{Meaning::loop}, {Meaning::task}, {Meaning::location, "resumed_at"}}},
    {"dispatch_end", "dispatch_end", {{Meaning::loop}, {Meaning::task}}},
    {"poll_begin", "poll_begin", {{Meaning::loop}, {Meaning::number, "timeout_ns"}}},
    {"poll_end", "poll_end", {{Meaning::loop}, {Meaning::number, "events"}}},
};

const char* outcome_name(TaskOutcome outcome)
{
    switch (outcome) {
        case TaskOutcome::result: return "result";
        case TaskOutcome::exception: return "exception";
        case TaskOutcome::cancelled: return "cancelled";
        case TaskOutcome::swallowed: return "swallowed";
        case TaskOutcome::unknown: break;
    }
    return "unknown";
}

void add(TaskEvent& record, const Argument& argument, std::uint64_t value, const StepEvent& event,
         WatchedProcess& target)
{
    switch (argument.meaning) {
        case Meaning::none: break;
        case Meaning::task:
            if (value) record.task_id = std::to_string(value);
            break;
        case Meaning::loop: record.loop_id = std::to_string(value); break;
        case Meaning::location:
            record.locations.emplace_back(argument.field, location_info(value, target.loops()));
            break;
        case Meaning::text: record.fields.emplace_back(argument.field, event.text.view()); break;
        case Meaning::name: record.fields.emplace_back(argument.field, target.loops().memory().text(value, 256)); break;
        case Meaning::outcome: record.fields.emplace_back(argument.field, outcome_name(task_outcome(value))); break;
        case Meaning::state:
            record.fields.emplace_back(argument.field, task_state_name(task_state(static_cast<std::uint32_t>(value))));
            break;
        case Meaning::id:
            if (value) record.fields.emplace_back(argument.field, std::to_string(value));
            break;
        case Meaning::number:
            if (value != ~0ull) record.fields.emplace_back(argument.field, std::to_string(value));
            break;
    }
}

// What the kernel side read of the task it concerns, or of the one in whose dispatch it happened.
void add_task(TaskEvent& record, const TaskSnapshot& view, Loops& loops)
{
    if (view.id == 0) return;
    auto task = task_info(view, 0, loops);
    record.await_chain = std::move(task.await_chain);
    if (task.id != record.task_id) return;
    if (!task.name.empty()) record.fields.emplace_back("name", std::move(task.name));
    const bool known = std::ranges::any_of(record.locations, [](const auto& at) { return at.first == "created_at"; });
    if (!known) record.locations.emplace_back("created_at", std::move(task.created_at));
    record.labels = std::move(task.labels);
}

// The field that says where the stack of a record comes from.
const char* place_of_stack(std::string_view type)
{
    if (type == "exception_unretrieved") return "thrown_at";
    return type == "coroutine_never_awaited" ? "called_at" : "opened_at";
}

// Where the exception was thrown, the resource opened, or the coroutine called that the record is about.
void set_stack(TaskEvent& record, std::vector<Frame> stack)
{
    const std::string field = place_of_stack(record.type);
    const bool thrown = field == "thrown_at";
    Location called;  // the coroutine itself, which makes its promise there
    for (const auto& [name, at] : record.locations)
        if (field == "called_at" && name == "created_at") called = at;
    // How it came to be told: the C++ runtime throws, ours takes down who opens.
    const auto own = std::ranges::find_if_not(stack, [&](const Frame& frame) {
        return frame.function == "__cxa_throw" || frame.function.starts_with("loopwatch::detail::") ||
               (called.known() && frame.line == called.line && frame.file == called.file);
    });
    stack.erase(stack.begin(), own);
    // g++ may give the cold part of a function that throws no line.
    const auto thrower = std::ranges::find_if(
        stack, [](const Frame& frame) { return owner_of(frame) == FrameOwner::user && !frame.function.empty(); });
    const auto* const culprit = thrown && thrower != stack.end() ? &*thrower : culprit_frame(stack);
    if (culprit != nullptr && (thrown || culprit->line != 0)) {
        std::erase_if(record.locations, [&](const auto& at) { return at.first == field; });
        record.locations.emplace_back(field, Location{culprit->function, culprit->file, culprit->line});
    }
    record.stack = std::move(stack);
}

}  // namespace

std::optional<TaskEvent> task_event(const StepEvent& event, WatchedProcess& target)
{
    const auto* probe = find_probe(event.probe);
    if (!probe) return std::nullopt;
    for (const auto& row : rows) {
        if (row.probe != probe->name) continue;
        static const Misuse none;
        const auto& misuse = event.misuse ? *event.misuse : none;
        if (misuse.location != 0)
            target.loops().remember(misuse.location, std::string(misuse.function), std::string(misuse.file),
                                    misuse.line);
        TaskEvent record;
        record.type = row.type;
        record.at_ns = event.head.time_ns;
        record.subject = target.subject(event.head.tid);
        for (std::size_t i = 0; i < std::size(row.arguments); ++i)
            add(record, row.arguments[i], event.args[i], event, target);
        if (misuse.asked_ns != 0 && misuse.asked_ns <= record.at_ns)
            record.fields.emplace_back("took_ns", std::to_string(record.at_ns - misuse.asked_ns));
        // Steps come by the hundred thousand, and by their dispatch.
        if (record.loop_id.empty() && probe->gate != ProbeGate::trace)
            if (const auto* loop = target.loop_of(event.head.tid)) record.loop_id = std::to_string(loop->id);
        add_task(record, misuse.task, target.loops());
        if (misuse.in_task != 0) record.fields.emplace_back("in_task", std::to_string(misuse.in_task));
        return record;
    }
    return std::nullopt;
}

void complete(TaskEvent event, const StepEvent& step, const ThrownEvent* thrown, SymbolWorker& worker,
              std::function<void(TaskEvent)> done)
{
    const auto pid = step.head.pid;
    auto record = std::make_shared<TaskEvent>(std::move(event));
    auto outstanding = std::make_shared<std::size_t>(1);
    const auto finish = [record, outstanding, done = std::move(done)] {
        if (--*outstanding == 0) done(std::move(*record));
    };
    const auto with_stack = [record, finish](std::vector<Frame> stack) {
        if (!stack.empty()) set_stack(*record, std::move(stack));
        finish();
    };
    for (auto& [name, value] : record->fields) {
        if (name != "exception") continue;
        ++*outstanding;
        worker.demangle_type(pid, value, [&value = value, finish](const std::vector<Frame>& type) {
            if (!type.empty() && !type[0].function.empty()) value = type[0].function;
            finish();
        });
    }
    if (thrown && thrown->head.time_ns == step.head.time_ns) {
        ++*outstanding;
        worker.unwind(captured_stack(pid, thrown->stack), with_stack);
    } else if (step.misuse && !step.misuse->calls.empty()) {
        ++*outstanding;
        const auto& calls = step.misuse->calls;
        worker.symbolize(pid, call_sites({calls.begin(), calls.size()}), with_stack);
    }
    finish();
}

}  // namespace loopwatch
