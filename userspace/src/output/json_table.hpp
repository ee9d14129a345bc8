// SPDX-License-Identifier: Apache-2.0
//
// One table a struct says how it is written as JSON; the encoder and the schema both walk it, so they cannot drift
// apart. The rows are made with json_fields.hpp, which is heavy: only what makes JSON includes it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>

namespace loopwatch::json {

using Json = nlohmann::ordered_json;

template <class T>
struct Field {
    const char* name;
    const char* description;
    Json (*encode)(const T&);
    Json (*schema)();
    const char* constraint = "{}";  // JSON Schema keywords beside the type's
    bool required = true;           // false: left out where it is null
};

template <class T>
struct Table {
    const char* name;  // in the schema's $defs
    std::span<const Field<T>> fields;
};

// Specialized in record_fields.cpp for each struct that is written.
template <class T>
const Table<T>& table_of();

}  // namespace loopwatch::json
