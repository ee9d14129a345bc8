// SPDX-License-Identifier: Apache-2.0
#include "output/stack_interning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "output/json_fields.hpp"
#include "output/stack_field.hpp"
#include "util/fnv.hpp"

namespace loopwatch {

namespace {

using json::Json;

// Of the frames as they are written: of a million stacks two share an id with a chance of 3 in 10^8.
std::string id_of(const Json& frames)
{
    return fmt::format("{:016x}", fnv1a(frames.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

// An empty stack stays what it is: there is nothing to save.
bool is_stack(std::string_view name, const Json& value)
{
    return is_stack_field(name) && value.is_array() && !value.empty();
}

}  // namespace

std::vector<StackInterning::New> StackInterning::replace(Json& record)
{
    std::vector<New> fresh;
    replace(record, fresh);
    return fresh;
}

void StackInterning::replace(Json& value, std::vector<New>& fresh)
{
    if (value.is_array())
        for (auto& element : value) replace(element, fresh);
    if (!value.is_object()) return;
    const auto& members = value.get_ref<const Json::object_t&>();
    if (std::ranges::none_of(members, [](const auto& one) { return is_stack(one.first, one.second); })) {
        for (auto& element : value) replace(element, fresh);
        return;
    }
    Json replaced = Json::object();
    replaced.get_ref<Json::object_t&>().reserve(members.size());
    for (auto& [name, member] : value.items()) {
        if (is_stack(name, member)) {
            json::add_field(replaced, name + std::string(stack_id_suffix), intern(std::move(member), fresh));
            continue;
        }
        replace(member, fresh);
        json::add_field(replaced, name, std::move(member));
    }
    value = std::move(replaced);
}

std::string StackInterning::intern(Json frames, std::vector<New>& fresh)
{
    auto id = id_of(frames);
    if (known_.size() >= most_known) known_.clear();
    if (known_.insert(id).second) fresh.push_back({id, std::move(frames)});
    return id;
}

}  // namespace loopwatch
