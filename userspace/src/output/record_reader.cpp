// SPDX-License-Identifier: Apache-2.0
#include "output/record_reader.hpp"

#include <algorithm>
#include <utility>

#include "output/json_fields.hpp"
#include "output/stack_field.hpp"

namespace loopwatch {

namespace {

using json::Json;

Error refusal(const char* what, const char* hint)
{
    return {ExitCode::failed, what, hint};
}

}  // namespace

Result<std::optional<Json>> RecordReader::read(std::string_view line)
{
    auto record = Json::parse(line, nullptr, false);
    if (!record.is_object()) return refusal("a line is no JSON object", "was it cut, or written by another program?");
    const auto text = [&](const char* name) {
        const auto found = record.find(name);
        return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    if (text("schema") != "loopwatch/1")
        return refusal("a line is no record of schema loopwatch/1", "was it written by another version?");
    if (text("type") != "stack") {
        if (!put_stacks(record))
            return refusal("a record names a stack that was not written before it",
                           "read the output from its beginning, or of a journal from that of a segment");
        return std::optional(std::move(record));
    }
    if (text("stack_id").empty() || !record.contains("frames") || !record["frames"].is_array())
        return refusal("a stack record has no stack_id or no frames", "");
    if (stacks_.size() >= most_stacks) stacks_.clear();
    stacks_[text("stack_id")] = std::move(record["frames"]);
    return std::optional<Json>();
}

// False: one is not known.
bool RecordReader::put_stacks(Json& value) const
{
    if (value.is_array()) return std::ranges::all_of(value, [this](Json& element) { return put_stacks(element); });
    if (!value.is_object()) return true;
    Json whole = Json::object();
    for (auto& [name, member] : value.items()) {
        const auto field = member.is_string() ? field_of_stack_id(name) : std::string_view();
        if (field.empty()) {
            if (!put_stacks(member)) return false;
            json::add_field(whole, name, std::move(member));
            continue;
        }
        const auto known = stacks_.find(member.get<std::string>());
        if (known == stacks_.end()) return false;
        json::add_field(whole, field, known->second);
    }
    value = std::move(whole);
    return true;
}

}  // namespace loopwatch
