// SPDX-License-Identifier: Apache-2.0
#include "resolve/task_view.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace loopwatch {

const char* task_state_name(TaskState state)
{
    switch (state) {
        case TaskState::created: return "created";
        case TaskState::running: return "running";
        case TaskState::suspended: return "suspended";
        case TaskState::ready: return "ready";
        case TaskState::finished: return "finished";
        case TaskState::unknown: break;
    }
    return "unknown";
}

const char* awaited_kind_name(AwaitedKind kind)
{
    switch (kind) {
        case AwaitedKind::timer: return "timer";
        case AwaitedKind::io: return "io";
        case AwaitedKind::event: return "event";
        case AwaitedKind::mutex: return "mutex";
        case AwaitedKind::channel: return "channel";
        case AwaitedKind::executor: return "executor";
        case AwaitedKind::semaphore: return "semaphore";
        case AwaitedKind::other: break;
    }
    return "other";
}

Location location_info(std::uint64_t address, Loops& loops)
{
    const auto& location = loops.location(address);
    return {location.function, location.file, location.line};
}

// Where a coroutine stands: its function, and the line of its last co_await.
Location frame_info(std::uint64_t created, std::uint64_t suspended, Loops& loops)
{
    auto where = location_info(suspended ? suspended : created, loops);
    if (const auto& coroutine = loops.location(created); !coroutine.function.empty())
        where.function = coroutine.function;
    return where;
}

// From lines "key=value"; one that was cut is dropped, if it lost its "=".
std::map<std::string, std::string> labels_of(std::string_view lines)
{
    std::map<std::string, std::string> labels;
    while (!lines.empty()) {
        const auto line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(line.size() + 1, lines.size()));
        if (const auto middle = line.find('='); middle != line.npos)
            labels.emplace(line.substr(0, middle), line.substr(middle + 1));
    }
    return labels;
}

TaskInfo task_info(const TaskSnapshot& task, std::uint64_t resume, Loops& loops)
{
    TaskView view;
    view.id = task.id;
    view.parent_id = task.parent_id;
    view.created_at = task.created_at;
    view.state = task.state;
    view.name = task.name;
    if (!task.labels.empty())
        view.extras = std::make_shared<const TaskExtras>(TaskExtras{"", std::string(task.labels.view())});
    view.frames.assign(task.frames.begin(), task.frames.end());
    auto info = task_info(view, loops);
    info.resumed_at = location_info(resume, loops);
    return info;
}

TaskInfo task_info(const TaskView& view, Loops& loops)
{
    TaskInfo task;
    task.id = std::to_string(view.id);
    task.parent_id = view.parent_id ? std::to_string(view.parent_id) : "";
    task.name = view.name;
    if (view.extras != nullptr) task.labels = labels_of(view.extras->labels);
    task.state = task_state_name(view.state);
    task.created_at = location_info(view.created_at, loops);
    for (const auto& frame : view.frames)
        task.await_chain.push_back(frame_info(frame.created_at, frame.suspended_at, loops));
    return task;
}

}  // namespace loopwatch
