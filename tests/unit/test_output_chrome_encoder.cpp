// SPDX-License-Identifier: Apache-2.0
//
// Traces for Perfetto: JSON that loads, slices that do not begin before the last one ended, arrows with both ends.
#include <algorithm>
#include <map>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "findings.hpp"
#include "output/chrome_encoder.hpp"

using namespace loopwatch;

namespace {

TaskEvent step(const char* type, std::uint64_t at_us, const char* task, const char* loop = "1")
{
    TaskEvent event;
    event.subject = {4711, 4712, 0, 0, "server"};
    event.at_ns = at_us * 1000;
    event.type = type;
    event.task_id = task;
    event.loop_id = loop;
    return event;
}

// A task 1 that waits for task 2, which ends.
std::vector<Report> records()
{
    auto created = step("task_created", 1, "1");
    created.fields = {{"name", "fetch\xff"}};
    auto suspended = step("task_suspended", 20, "1");
    suspended.fields = {{"awaited", "2"}};
    suspended.locations = {{"suspended_at", Location{"fetch", "/src/fetch.cpp", 12}}};
    TargetStart target;
    target.subject = {4711, 0, 0, 0, "server"};
    SessionEnd end;
    end.at_ns = 100'000;
    end.lost = {{"ring_full", 3}};
    return {target,
            created,
            step("dispatch_begin", 10, "1"),
            suspended,
            step("dispatch_end", 21, "1"),
            step("poll_begin", 22, ""),
            step("poll_end", 30, ""),
            step("dispatch_begin", 31, "2"),
            step("task_finished", 40, "2"),
            step("dispatch_end", 41, "2"),
            step("dispatch_begin", 50, "1"),
            step("dispatch_end", 60, "1"),
            step("dispatch_end", 70, "1"),  // whose beginning was lost
            end};
}

std::string written(const std::vector<Report>& list)
{
    ChromeEncoder encoder;
    std::string lines;
    for (const auto& report : list) encoder.encode(report, lines);
    return lines;
}

}  // namespace

TEST_CASE("runs and waits of a task stand on a track of its own, an arrow leads from what woke it")
{
    const auto trace = nlohmann::json::parse(written(records()));
    REQUIRE(trace.is_array());
    std::map<std::string, double> starts, lengths;
    std::map<std::string, int> phases;
    for (const auto& event : trace) {
        ++phases[event.at("ph")];
        if (event.at("ph") != "X" || event.at("pid") != 4711 + 10'000'000 || event.at("tid") != 1) continue;
        starts[event.at("name")] = event.at("ts");
        lengths[event.at("name")] = event.at("dur");
    }
    CHECK(starts.at("waits at fetch.cpp:12") == 20);
    CHECK(lengths.at("waits at fetch.cpp:12") == 30);
    CHECK(starts.at("runs") == 50);
    CHECK(phases["s"] == 1);
    CHECK(phases["f"] == 1);
    CHECK(trace.back().at("args").at("lost").at("ring_full") == 3);
}

TEST_CASE("a trace that ends in the middle loads too")
{
    auto list = records();
    list.pop_back();
    auto text = written(list);
    REQUIRE(text.ends_with(",\n"));
    text.replace(text.size() - 2, 2, "]");
    CHECK(nlohmann::json::accept(text));
}

TEST_CASE("a stall is in the trace while nothing else is: a program that hangs has no slow callback")
{
    Stall stall;
    stall.subject = {4711, 4712, 0, 0, "server"};
    stall.end_ns = 500'000;
    stall.duration_ns = 300'000;
    stall.verdict = "it hangs";
    const Warning warning{Subject{4711, 0, 0, 0, "server"}, 600'000, "less is seen", "do more"};
    const auto trace = nlohmann::json::parse(written({only(stall), warning, SessionEnd{}}));
    const auto named = [&](const char* name) {
        const auto found = std::ranges::find_if(trace, [&](const auto& event) { return event.at("name") == name; });
        REQUIRE(found != trace.end());
        return *found;
    };
    CHECK(named("stall").at("ts") == 200);
    CHECK(named("stall").at("dur") == 300);
    CHECK(named("stall").at("args").at("verdict") == "it hangs");
    CHECK(named("warning").at("args").at("text") == "less is seen");
    CHECK(named("warning").at("pid") == 4711);
}
