// SPDX-License-Identifier: Apache-2.0
//
// THE tables of the JSON output, schema loopwatch/1: which fields each record has. Fields may be added; those that are
// here keep their names and meaning.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "analysis/finding.hpp"
#include "output/json_table.hpp"

namespace loopwatch::json {

// What every record begins with.
struct Envelope {
    std::string type;
    std::string time;
    std::uint64_t mono_ns = 0;
    std::string host;
    // Of a record in a journal.
    std::optional<std::uint64_t> seq = {};
    std::optional<std::string> instance = {};
    // Of a record that the daemon has labelled: of its target.
    std::optional<std::string> service = {}, version = {}, unit = {}, container = {}, pod = {};
    std::optional<std::map<std::string, std::string>> labels = {};
};

// What a segment of a journal begins with.
struct SegmentRecord {
    std::uint64_t at_ns = 0;
    std::uint64_t realtime_ns = 0;
    std::string instance;
    std::string boot_id;
    std::uint64_t first_seq = 0;
    std::string version;
};

// A stack that later records name by its id.
struct StackRecord {
    std::uint64_t at_ns = 0;
    std::string stack_id;
    Json frames;
};

template <>
const Table<Envelope>& table_of<Envelope>();
template <>
const Table<Subject>& table_of<Subject>();
template <>
const Table<Frame>& table_of<Frame>();
template <>
const Table<Location>& table_of<Location>();
template <>
const Table<Waker>& table_of<Waker>();
template <>
const Table<Source>& table_of<Source>();
template <>
const Table<TaskInfo>& table_of<TaskInfo>();
template <>
const Table<LoopInfo>& table_of<LoopInfo>();
template <>
const Table<Breakdown>& table_of<Breakdown>();
template <>
const Table<WaitingFor>& table_of<WaitingFor>();
template <>
const Table<TaskComplaint>& table_of<TaskComplaint>();
template <>
const Table<Impact>& table_of<Impact>();
template <>
const Table<Quantiles>& table_of<Quantiles>();
template <>
const Table<Overhead>& table_of<Overhead>();
template <>
const Table<HoldStrip>& table_of<HoldStrip>();

template <>
const Table<SessionStart>& table_of<SessionStart>();
template <>
const Table<TargetStart>& table_of<TargetStart>();
template <>
const Table<SlowCallback>& table_of<SlowCallback>();
template <>
const Table<Stall>& table_of<Stall>();
template <>
const Table<BlockingCall>& table_of<BlockingCall>();
template <>
const Table<TaskEvent>& table_of<TaskEvent>();
template <>
const Table<LoopStats>& table_of<LoopStats>();
template <>
const Table<SessionStats>& table_of<SessionStats>();
template <>
const Table<TargetEnd>& table_of<TargetEnd>();
template <>
const Table<SessionEnd>& table_of<SessionEnd>();
template <>
const Table<ListedTask>& table_of<ListedTask>();
template <>
const Table<TaskListEnd>& table_of<TaskListEnd>();
template <>
const Table<Warning>& table_of<Warning>();
template <>
const Table<CauseStats>& table_of<CauseStats>();
template <>
const Table<StackRecord>& table_of<StackRecord>();
template <>
const Table<SegmentRecord>& table_of<SegmentRecord>();

// The types a TaskEvent may have, and what is known of each; null: not known this time.
struct TaskField {
    enum class Shape { text, number, location, labels, chain, stack };
    std::string_view name;
    std::string_view description;
    Shape shape = Shape::text;
};
struct TaskEventType {
    std::string_view type;
    std::string_view description;
    bool is_finding = true;  // false: a step of a task, with --trace
    std::span<const TaskField> fields;
    std::string_view words = {};  // in text; of findings: what people know from asyncio
};
std::span<const TaskEventType> task_event_types();

}  // namespace loopwatch::json
