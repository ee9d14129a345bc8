// SPDX-License-Identifier: Apache-2.0
//
// Rows of the tables. A row names a member (or a function of the struct), and the C++ type of what it yields decides
// the JSON type in both, the encoder and the schema.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "output/json_table.hpp"

namespace loopwatch::json {

// Appends a field. Names within a record are distinct: an ordered object would look each one up among all before it.
inline void add_field(Json& to, std::string_view name, Json value)
{
    auto& object = to.get_ref<Json::object_t&>();
    object.Json::object_t::Container::emplace_back(std::string(name), std::move(value));
}

template <class T>
void add_fields(Json& to, const T& object)
{
    for (const Field<T>& field : table_of<T>().fields) {
        Json value = field.encode(object);
        if (field.required || !value.is_null()) add_field(to, field.name, std::move(value));
    }
}

template <class T>
Json encode_fields(const T& object)
{
    Json result = Json::object();
    add_fields(result, object);
    return result;
}

// What a C++ type is in JSON. The primary template stands for structs that have a table.
template <class T>
struct Value {
    static Json encode(const T& value) { return encode_fields(value); }
    static Json schema() { return {{"$ref", std::string("#/$defs/") + table_of<T>().name}}; }
};

template <>
struct Value<bool> {
    static Json encode(bool value) { return value; }
    static Json schema() { return {{"type", "boolean"}}; }
};

template <class T>
requires std::is_integral_v<T>
struct Value<T> {
    static Json encode(T value) { return value; }
    static Json schema()
    {
        Json result{{"type", "integer"}};
        if (std::is_unsigned_v<T>) result["minimum"] = 0;
        return result;
    }
};

template <>
struct Value<double> {
    // JSON has no NaN; a ratio over an empty interval is 0.
    static Json encode(double value) { return std::isfinite(value) ? value : 0.0; }
    static Json schema() { return {{"type", "number"}}; }
};

template <>
struct Value<std::string> {
    static Json encode(const std::string& value) { return value; }
    static Json schema() { return {{"type", "string"}}; }
};

template <class T>
struct Value<std::vector<T>> {
    static Json encode(const std::vector<T>& values)
    {
        Json result = Json::array();
        for (const T& value : values) result.push_back(Value<T>::encode(value));
        return result;
    }
    static Json schema() { return {{"type", "array"}, {"items", Value<T>::schema()}}; }
};

template <class T>
struct Value<std::optional<T>> {
    static Json encode(const std::optional<T>& value) { return value ? Value<T>::encode(*value) : Json(); }
    static Json schema() { return {{"anyOf", Json::array({Value<T>::schema(), Json{{"type", "null"}}})}}; }
};

template <class Key, class T>
struct Value<std::map<Key, T>> {
    static Json encode(const std::map<Key, T>& values)
    {
        Json result = Json::object();
        for (const auto& [key, value] : values) {
            if constexpr (std::is_integral_v<Key>) {
                result[std::to_string(key)] = Value<T>::encode(value);
            } else {
                result[key] = Value<T>::encode(value);
            }
        }
        return result;
    }
    static Json schema()
    {
        Json result{{"type", "object"}, {"additionalProperties", Value<T>::schema()}};
        if (std::is_integral_v<Key>) result["propertyNames"] = {{"pattern", "^[0-9]+$"}};
        return result;
    }
};

// A row. `member`: a pointer to a member, or a function of the struct without state.
template <class T, auto member>
constexpr Field<T> field(const char* name, const char* description, const char* constraint = "{}")
{
    using Type = std::decay_t<std::invoke_result_t<decltype(member), const T&>>;
    return {name,
            description,
            [](const T& object) { return Value<Type>::encode(std::invoke(member, object)); },
            &Value<Type>::schema,
            constraint,
            true};
}

// A row that is left out where it is null.
template <class T, auto member>
constexpr Field<T> optional_field(const char* name, const char* description, const char* constraint = "{}")
{
    using Type = std::decay_t<std::invoke_result_t<decltype(member), const T&>>;
    Field<T> result = field<T, member>(name, description, constraint);
    result.schema = &Value<typename Type::value_type>::schema;
    result.required = false;
    return result;
}

}  // namespace loopwatch::json
