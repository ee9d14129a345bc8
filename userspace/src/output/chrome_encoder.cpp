// SPDX-License-Identifier: Apache-2.0
#include "output/chrome_encoder.hpp"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <variant>

#include "output/formats.hpp"
#include "output/record_json.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

using json::Json;

// Tasks are no threads, and their ids would meet those of threads: a process of their own beside the real one. Above
// all pids (2^22 at most).
constexpr std::uint32_t tasks_of(std::uint32_t pid)
{
    return pid + 10'000'000;
}

std::uint64_t number_of(const std::string& id)
{
    std::uint64_t number = 0;
    std::from_chars(id.data(), id.data() + id.size(), number);
    return number;
}

double microseconds(std::uint64_t ns)
{
    return static_cast<double>(ns) / 1e3;
}

std::string_view field_of(const TaskEvent& event, std::string_view name)
{
    for (const auto& [key, value] : event.fields)
        if (key == name) return value;
    return {};
}

std::string place_of(const TaskEvent& event)
{
    if (event.locations.empty() || !event.locations.front().second.known()) return "";
    const auto& at = event.locations.front().second;
    return at.file.empty() ? at.function : fmt::format("{}:{}", base_name(at.file), at.line);
}

}  // namespace

void ChromeEncoder::append(Json event)
{
    if (!std::exchange(begun_, true)) lines_ += "[\n";
    lines_ += event.dump(-1, ' ', false, Json::error_handler_t::replace);
    lines_ += ",\n";
}

void ChromeEncoder::name_track(std::uint32_t pid, std::uint64_t tid, const std::string& name)
{
    if (!named_.emplace(pid, tid).second) return;
    append({{"ph", "M"}, {"name", "thread_name"}, {"pid", pid}, {"tid", tid}, {"args", {{"name", name}}}});
}

void ChromeEncoder::slice(std::uint32_t pid, std::uint64_t tid, std::uint64_t start_ns, std::uint64_t end_ns,
                          const std::string& name, Json arguments)
{
    append({{"ph", "X"},
            {"name", name},
            {"pid", pid},
            {"tid", tid},
            {"ts", microseconds(start_ns)},
            {"dur", microseconds(end_ns - std::min(start_ns, end_ns))},
            {"args", std::move(arguments)}});
}

void ChromeEncoder::slice(std::uint32_t pid, std::uint64_t tid, std::uint64_t start_ns, std::uint64_t end_ns,
                          const std::string& name)
{
    slice(pid, tid, start_ns, end_ns, name, Json::object());
}

void ChromeEncoder::instant(std::uint32_t pid, std::uint64_t tid, std::uint64_t at_ns, const std::string& name,
                            Json arguments)
{
    append({{"ph", "i"},
            {"s", "t"},
            {"name", name},
            {"pid", pid},
            {"tid", tid},
            {"ts", microseconds(at_ns)},
            {"args", std::move(arguments)}});
}

void ChromeEncoder::arrow(const Key& from, std::uint64_t at_ns, const Key& to)
{
    const auto id = ++flows_;
    tasks_[to].flow_id = id;
    append({{"ph", "s"},
            {"id", id},
            {"name", "wakes"},
            {"cat", "wake"},
            {"pid", tasks_of(from.first)},
            {"tid", number_of(from.second)},
            {"ts", microseconds(at_ns)}});
}

std::string ChromeEncoder::name_of(const Key& task) const
{
    const auto known = tasks_.find(task);
    const bool named = known != tasks_.end() && !known->second.name.empty();
    return fmt::format("{}#{}", named ? known->second.name : "task", task.second);
}

void ChromeEncoder::begin_dispatch(const TaskEvent& event)
{
    const Key key{event.subject.pid, event.task_id};
    dispatches_[{event.subject.pid, event.loop_id}] = {event.at_ns,
                                                       event.task_id.empty() ? "callback" : place_of(event)};
    if (event.task_id.empty()) return;
    const auto pid = tasks_of(key.first);
    const auto tid = number_of(key.second);
    auto& task = tasks_[key];
    name_track(pid, tid, name_of(key));
    if (task.wait) slice(pid, tid, task.wait->at_ns, event.at_ns, task.wait->label, {{"awaits", task.awaited}});
    task.wait.reset();
    if (!task.awaited.empty()) awaited_by_.erase({key.first, task.awaited});
    task.awaited.clear();
    if (const auto id = std::exchange(task.flow_id, std::nullopt))
        append({{"ph", "f"},
                {"bp", "e"},
                {"id", *id},
                {"name", "wakes"},
                {"cat", "wake"},
                {"pid", pid},
                {"tid", tid},
                {"ts", microseconds(event.at_ns)}});
}

void ChromeEncoder::end_dispatch(const TaskEvent& event)
{
    const auto begun = dispatches_.find({event.subject.pid, event.loop_id});
    if (begun == dispatches_.end()) return;
    const auto [start_ns, label] = begun->second;
    dispatches_.erase(begun);
    const Key key{event.subject.pid, event.task_id};
    name_track(key.first, event.subject.tid, event.subject.comm);
    slice(key.first, event.subject.tid, start_ns, event.at_ns, event.task_id.empty() ? label : name_of(key));
    if (!event.task_id.empty())
        slice(tasks_of(key.first), number_of(key.second), start_ns, event.at_ns,
              label.empty() ? "runs" : "runs from " + label);
}

void ChromeEncoder::add(const TaskEvent& event)
{
    const Key key{event.subject.pid, event.task_id};
    const auto pid = tasks_of(key.first);
    const auto tid = number_of(key.second);
    if (event.type == "dispatch_begin") return begin_dispatch(event);
    if (event.type == "dispatch_end") return end_dispatch(event);
    if (event.type == "poll_begin") {
        polls_[{key.first, event.loop_id}] = {event.at_ns, "polls"};
        return;
    }
    if (event.type == "poll_end") {
        const auto begun = polls_.find({key.first, event.loop_id});
        if (begun == polls_.end()) return;
        slice(key.first, event.subject.tid, begun->second.at_ns, event.at_ns, "polls",
              {{"events", field_of(event, "events")}});
        polls_.erase(begun);
        return;
    }
    if (event.type == "task_suspended") {
        auto& task = tasks_[key];
        task.wait = Moment{event.at_ns, "waits at " + place_of(event)};
        task.awaited = field_of(event, "awaited");
        if (!task.awaited.empty()) awaited_by_[{key.first, task.awaited}].insert(key.second);
        return;
    }
    if (event.type == "task_started" || event.type == "task_resumed") return;  // its dispatch tells
    Json arguments = Json::object();
    for (const auto& [name, value] : event.fields) arguments[name] = value;
    for (const auto& [name, at] : event.locations)
        if (at.known()) arguments[name] = fmt::format("{} ({}:{})", at.function, at.file, at.line);
    if (event.type == "task_created") {
        tasks_[key].name = field_of(event, "name");
        name_track(pid, tid, name_of(key));
    }
    if (event.type == "task_finished")
        if (const auto waiting = awaited_by_.find(key); waiting != awaited_by_.end())
            for (const auto& other : waiting->second) arrow(key, event.at_ns, {key.first, other});
    if (event.type == "cancel_requested")
        if (const auto by = field_of(event, "by"); !by.empty()) arrow({key.first, std::string(by)}, event.at_ns, key);
    instant(event.task_id.empty() ? key.first : pid, event.task_id.empty() ? event.subject.tid : tid, event.at_ns,
            event.type, std::move(arguments));
    if (event.type == "task_destroyed") {
        tasks_.erase(key);
        awaited_by_.erase(key);
    }
}

void ChromeEncoder::add(const SlowCallback& slow)
{
    finding_slice(slow, "slow_callback");
}

// From the beginning of its dispatch to now: longer ones lie around it, the slow callback around all.
void ChromeEncoder::add(const Stall& stall)
{
    finding_slice(stall, "stall");
}

void ChromeEncoder::finding_slice(const SlowCallback& slow, const std::string& name)
{
    name_track(slow.subject.pid, slow.subject.tid, slow.subject.comm);
    slice(slow.subject.pid, slow.subject.tid, slow.end_ns - slow.duration_ns, slow.end_ns, name,
          {{"verdict", slow.verdict}, {"fingerprint", slow.fingerprint}});
}

void ChromeEncoder::add(const Warning& warning)
{
    append({{"ph", "i"},
            {"s", warning.target ? "p" : "g"},
            {"name", "warning"},
            {"pid", warning.target ? warning.target->pid : 0},
            {"tid", 0},
            {"ts", microseconds(warning.at_ns)},
            {"args", {{"text", warning.text}, {"hint", warning.hint}}}});
}

void ChromeEncoder::add(const BlockingCall& call)
{
    name_track(call.subject.pid, call.subject.tid, call.subject.comm);
    slice(call.subject.pid, call.subject.tid, call.end_ns - call.source.duration_ns, call.end_ns, call.source.call,
          {{"verdict", call.verdict}, {"fingerprint", call.fingerprint}});
}

void ChromeEncoder::add(const TargetStart& start)
{
    const auto pid = start.subject.pid;
    for (const auto& [number, name] :
         {std::pair(pid, start.subject.comm), std::pair(tasks_of(pid), "tasks of " + start.subject.comm)})
        append({{"ph", "M"}, {"name", "process_name"}, {"pid", number}, {"args", {{"name", name}}}});
}

void ChromeEncoder::add(const SessionEnd& end)
{
    Json lost = Json::object();
    for (const auto& [name, count] : end.lost) lost[name] = count;
    append({{"ph", "i"},
            {"s", "g"},
            {"name", "session_end"},
            {"pid", 0},
            {"tid", 0},
            {"ts", microseconds(end.at_ns)},
            {"args", {{"lost", std::move(lost)}}}});
    lines_.erase(lines_.size() - 2);
    lines_ += "\n]\n";
}

void ChromeEncoder::encode(const Report& report, std::string& lines)
{
    for_each_record(report, [this](const auto& record) { add(record); });
    lines += std::exchange(lines_, {});
}

std::unique_ptr<Encoder> make_chrome(const EncoderOptions&)
{
    return std::make_unique<ChromeEncoder>();
}

}  // namespace loopwatch
