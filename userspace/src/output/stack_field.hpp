// SPDX-License-Identifier: Apache-2.0
//
// Which fields of a record hold a stack, and what they are called where it is interned: "stack_id" for "stack".
#pragma once

#include <string_view>

namespace loopwatch {

inline constexpr std::string_view stack_id_suffix = "_id";

inline bool is_stack_field(std::string_view name)
{
    return name == "stack" || name.ends_with("_stack");
}

// The field whose stack this one names; empty: it is none such.
inline std::string_view field_of_stack_id(std::string_view name)
{
    if (!name.ends_with(stack_id_suffix)) return {};
    name.remove_suffix(stack_id_suffix.size());
    return is_stack_field(name) ? name : std::string_view();
}

}  // namespace loopwatch
