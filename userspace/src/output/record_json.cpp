// SPDX-License-Identifier: Apache-2.0
#include "output/record_json.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "output/json_fields.hpp"
#include "output/record_fields.hpp"
#include "util/text.hpp"

namespace loopwatch {
namespace {

using json::Json;
using json::TaskField;

template <class Pairs>
auto find_by_name(const Pairs& pairs, std::string_view name)
{
    return std::ranges::find_if(pairs, [&](const auto& pair) { return pair.first == name; });
}

Json number_or_null(const std::string& text)
{
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? Json(value) : Json();
}

Json task_field(const TaskEvent& event, const TaskField& field)
{
    if (field.shape == TaskField::Shape::labels) return json::Value<decltype(event.labels)>::encode(event.labels);
    if (field.shape == TaskField::Shape::chain) return json::Value<std::vector<Location>>::encode(event.await_chain);
    if (field.shape == TaskField::Shape::stack) return json::Value<std::vector<Frame>>::encode(event.stack);
    if (field.shape == TaskField::Shape::location) {
        const auto found = find_by_name(event.locations, field.name);
        const bool known = found != event.locations.end() && found->second.known();
        return known ? json::encode_fields(found->second) : Json();
    }
    const auto found = find_by_name(event.fields, field.name);
    if (found == event.fields.end()) return {};
    return field.shape == TaskField::Shape::number ? number_or_null(found->second) : Json(found->second);
}

// The table's fields first, then what the event brings beside them.
void add_task_fields(const TaskEvent& event, Json& result)
{
    const auto types = json::task_event_types();
    const auto row = std::ranges::find(types, event.type, &json::TaskEventType::type);
    const auto fields = row == types.end() ? std::span<const TaskField>() : row->fields;
    for (const TaskField& field : fields) json::add_field(result, field.name, task_field(event, field));
    const auto in_table = [&](std::string_view name) {
        return std::ranges::find(fields, name, &TaskField::name) != fields.end();
    };
    for (const auto& [name, text] : event.fields) {
        if (!in_table(name)) json::add_field(result, name, text);
    }
    for (const auto& [name, location] : event.locations) {
        if (!in_table(name)) json::add_field(result, name, json::encode_fields(location));
    }
}

constexpr std::size_t usual_fields = 24;

template <class T>
Json encode(const T& record, const json::Envelope& envelope)
{
    Json result = Json::object();
    result.get_ref<Json::object_t&>().reserve(usual_fields);
    json::add_fields(result, envelope);
    if constexpr (requires { record.subject; }) json::add_fields(result, record.subject);
    json::add_fields(result, record);
    if constexpr (std::is_same_v<T, TaskEvent>) add_task_fields(record, result);
    return result;
}

template <class T>
std::string_view type_name(const T& record)
{
    if constexpr (std::is_same_v<T, TaskEvent>)
        return record.type;
    else
        return json::table_of<T>().name;
}

template <class T>
std::uint64_t end_of(const T& record)
{
    if constexpr (requires { record.end_ns; })
        return record.end_ns;
    else
        return record.at_ns;
}

template <class T>
Json object_of(const T& record, const JsonContext& context)
{
    const std::uint64_t mono_ns = end_of(record);
    return encode(
        record, json::Envelope{std::string(type_name(record)), context.anchor.rfc3339(mono_ns), mono_ns, context.host});
}

void append_line(const Json& object, std::string& lines)
{
    lines += escape_json(object.dump(-1, ' ', false, Json::error_handler_t::replace));
    lines += '\n';
}

}  // namespace

JsonContext JsonContext::of_this_machine()
{
    char name[256] = {};
    // Cut names need not end in NUL.
    if (::gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
    return {name, ClockAnchor::now()};
}

std::uint64_t time_of(const Report& report)
{
    std::uint64_t latest_ns = 0;
    for_each_record(report, [&](const auto& record) { latest_ns = std::max(latest_ns, end_of(record)); });
    return latest_ns;
}

void append_lines(const Report& report, const JsonContext& context, std::string& lines, StackInterning* stacks)
{
    for_each_record(report, [&](const auto& record) {
        auto object = object_of(record, context);
        for (auto& [id, frames] : stacks ? stacks->replace(object) : std::vector<StackInterning::New>())
            append_line(object_of(json::StackRecord{end_of(record), id, std::move(frames)}, context), lines);
        append_line(object, lines);
    });
}

std::string segment_line(const json::SegmentRecord& record, const JsonContext& context)
{
    std::string line;
    append_line(object_of(record, context), line);
    return line;
}

}  // namespace loopwatch
