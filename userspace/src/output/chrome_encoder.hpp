// SPDX-License-Identifier: Apache-2.0
//
// The trace-event format of Chrome, for ui.perfetto.dev and chrome://tracing: a track a loop with its dispatches, polls
// and findings, a track a task with its runs and waits, and arrows from what woke a task to where it went on. An array,
// written as it comes: a session that is killed leaves a file that still loads.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "output/encoder.hpp"
#include "output/json_table.hpp"

namespace loopwatch {

class ChromeEncoder final : public Encoder {
public:
    void encode(const Report& report, std::string& lines) override;

private:
    using Key = std::pair<std::uint32_t, std::string>;  // pid, id of a task or a loop
    struct Moment {
        std::uint64_t at_ns = 0;
        std::string label;
    };
    struct Task {
        std::string name;
        std::optional<Moment> wait;            // since when, at which place
        std::string awaited;                   // id of a task
        std::optional<std::uint64_t> flow_id;  // of the arrow that ends at its next run
    };

    void add(const TaskEvent& event);
    void add(const SlowCallback& slow);
    void add(const Stall& stall);
    void add(const Warning& warning);
    void add(const BlockingCall& call);
    void add(const TargetStart& start);
    void add(const SessionEnd& end);
    // Not of the trace: sums, and what belongs to no session.
    void add(const SessionStart&) {}
    void add(const LoopStats&) {}
    void add(const SessionStats&) {}
    void add(const CauseStats&) {}
    void add(const TargetEnd&) {}
    void add(const ListedTask&) {}
    void add(const TaskListEnd&) {}

    void finding_slice(const SlowCallback& slow, const std::string& name);
    void begin_dispatch(const TaskEvent& event);
    void end_dispatch(const TaskEvent& event);
    void append(json::Json event);
    void name_track(std::uint32_t pid, std::uint64_t tid, const std::string& name);
    void slice(std::uint32_t pid, std::uint64_t tid, std::uint64_t start_ns, std::uint64_t end_ns,
               const std::string& name, json::Json arguments);
    void slice(std::uint32_t pid, std::uint64_t tid, std::uint64_t start_ns, std::uint64_t end_ns,
               const std::string& name);
    void instant(std::uint32_t pid, std::uint64_t tid, std::uint64_t at_ns, const std::string& name,
                 json::Json arguments);
    // An arrow from a moment of one task to the next run of another.
    void arrow(const Key& from, std::uint64_t at_ns, const Key& to);
    std::string name_of(const Key& task) const;

    std::string lines_;
    bool begun_ = false;
    std::uint64_t flows_ = 0;
    std::set<std::pair<std::uint32_t, std::uint64_t>> named_;
    std::map<Key, Moment> dispatches_, polls_;  // begun, by loop
    std::map<Key, Task> tasks_;                 // that are not destroyed
    std::map<Key, std::set<std::string>> awaited_by_;
};

}  // namespace loopwatch
