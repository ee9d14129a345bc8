// SPDX-License-Identifier: Apache-2.0
#include "output/schema.hpp"

#include "output/json_fields.hpp"
#include "output/record_fields.hpp"
#include "output/stack_field.hpp"

namespace loopwatch {
namespace {

using json::Json;

// Either the stack, or its id.
void add_stack_id(std::string_view field, Json& object)
{
    const auto id = std::string(field) + std::string(stack_id_suffix);
    object["properties"][id] = {
        {"type", "string"},
        {"pattern", "^[0-9a-f]{16}$"},
        {"description", "instead of " + std::string(field) + ", with --stacks interned: see stack"}};
    object["allOf"].push_back({{"oneOf", {{{"required", {field}}}, {{"required", {id}}}}}});
}

template <class T>
void add_fields(Json& object)
{
    for (const json::Field<T>& field : json::table_of<T>().fields) {
        Json property = field.schema();
        property.update(Json::parse(field.constraint));
        property["description"] = field.description;
        object["properties"][field.name] = std::move(property);
        if (is_stack_field(field.name))
            add_stack_id(field.name, object);
        else if (field.required)
            object["required"].push_back(field.name);
    }
}

class SchemaBuilder {
public:
    explicit SchemaBuilder(bool strict) : strict_(strict) {}

    template <class... T>
    void add_parts()
    {
        (add_part<T>(), ...);
    }

    template <class... T>
    void add_records()
    {
        (add(json::table_of<T>().name, record<T>(json::table_of<T>().name)), ...);
    }

    void add_task_events()
    {
        for (const json::TaskEventType& row : json::task_event_types()) {
            Json object = record<TaskEvent>(row.type);
            object["description"] = row.description;
            for (const json::TaskField& field : row.fields) {
                const std::string name(field.name);
                object["properties"][name] = nullable(field.shape);
                object["properties"][name]["description"] = field.description;
                if (field.shape == json::TaskField::Shape::stack)
                    add_stack_id(name, object);
                else
                    object["required"].push_back(name);
            }
            add(row.type, std::move(object));
        }
    }

    Json finish()
    {
        Json result{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                    {"title", "loopwatch/1"},
                    {"description",
                     "One line of loopwatch --format ndjson. Names ending in _ns are nanoseconds. Fields "
                     "may be added within loopwatch/1; known ones keep their meaning."},
                    {"type", "object"},
                    {"required", {"type"}},
                    {"properties", {{"type", {{"enum", types_}}}}},
                    {"allOf", std::move(cases_)},
                    {"$defs", std::move(definitions_)}};
        return result;
    }

private:
    static Json nullable(json::TaskField::Shape shape)
    {
        if (shape == json::TaskField::Shape::location) return json::Value<std::optional<Location>>::schema();
        if (shape == json::TaskField::Shape::labels) return json::Value<std::map<std::string, std::string>>::schema();
        if (shape == json::TaskField::Shape::chain) return json::Value<std::vector<Location>>::schema();
        if (shape == json::TaskField::Shape::stack) return json::Value<std::vector<Frame>>::schema();
        if (shape == json::TaskField::Shape::number) return json::Value<std::optional<std::uint64_t>>::schema();
        return json::Value<std::optional<std::string>>::schema();
    }

    Json empty_object() const
    {
        Json result{{"type", "object"}};
        if (strict_) result["additionalProperties"] = false;
        result["properties"] = Json::object();
        result["required"] = Json::array();
        return result;
    }

    template <class T>
    void add_part()
    {
        Json object = empty_object();
        add_fields<T>(object);
        definitions_[json::table_of<T>().name] = std::move(object);
    }

    template <class T>
    Json record(std::string_view type) const
    {
        Json object = empty_object();
        add_fields<json::Envelope>(object);
        object["properties"]["type"]["const"] = type;
        if constexpr (requires(const T& r) { r.subject; }) add_fields<Subject>(object);
        add_fields<T>(object);
        return object;
    }

    // if/then instead of oneOf: a validator then names the field that is wrong, not nine records that do not match.
    void add(std::string_view type, Json definition)
    {
        const std::string name(type);
        definitions_[name] = std::move(definition);
        types_.push_back(name);
        cases_.push_back(
            {{"if", {{"properties", {{"type", {{"const", name}}}}}}}, {"then", {{"$ref", "#/$defs/" + name}}}});
    }

    bool strict_;
    Json types_ = Json::array();
    Json cases_ = Json::array();
    Json definitions_ = Json::object();
};

}  // namespace

std::string output_schema(bool strict)
{
    SchemaBuilder builder(strict);
    builder.add_parts<Subject, Frame, Location, Waker, Source, TaskInfo, LoopInfo, TaskShare, Breakdown, Impact,
                      WaitingFor, TaskComplaint, Quantiles, Overhead, HoldStrip>();
    builder.add_records<SessionStart, TargetStart, SlowCallback, Stall, BlockingCall, LoopStats, SessionStats,
                        TargetEnd, SessionEnd, ListedTask, TaskListEnd, Warning, CauseStats, json::StackRecord,
                        json::SegmentRecord>();
    builder.add_task_events();
    return builder.finish().dump(2);
}

std::vector<std::string_view> finding_types()
{
    std::vector<std::string_view> types{json::table_of<SlowCallback>().name, json::table_of<BlockingCall>().name,
                                        json::table_of<Stall>().name};
    for (const json::TaskEventType& row : json::task_event_types()) {
        if (row.is_finding) types.push_back(row.type);
    }
    return types;
}

}  // namespace loopwatch
