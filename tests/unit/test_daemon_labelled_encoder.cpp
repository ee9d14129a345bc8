// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "daemon/flight_recorder.hpp"
#include "daemon/labelled_encoder.hpp"

using namespace loopwatch;
using nlohmann::json;

namespace {

std::shared_ptr<const TargetLabels> orders()
{
    auto labels = std::make_shared<TargetLabels>();
    labels->service = "orders \"a\"\xff";
    labels->unit = "orders.service";
    labels->custom = {{"team", "shop"}};
    return labels;
}

TargetStart started(std::uint32_t pid)
{
    TargetStart start;
    start.subject.pid = pid;
    start.build_id = "0123456789abcdef0123";
    return start;
}

Findings slow(std::uint32_t pid)
{
    SlowCallback callback;
    callback.subject.pid = pid;
    callback.stack = {Frame{"wait", "/bin/server", "ab", 1, "a.cpp", 3}};
    Findings findings;
    findings.slow = callback;
    return findings;
}

std::vector<json> records(const std::string& lines)
{
    std::vector<json> all;
    std::istringstream stream(lines);
    for (std::string line; std::getline(stream, line);) all.push_back(json::parse(line));
    return all;
}

}  // namespace

TEST_CASE("records carry the labels of their target, stacks do not, and nothing of the hidden process is written")
{
    LabelledEncoder encoder([](std::uint32_t pid) { return pid == 7 ? orders() : nullptr; }, 9);
    std::string lines;
    for (const std::uint32_t pid : {7u, 8u, 9u}) {
        encoder.encode(started(pid), lines);
        encoder.encode(slow(pid), lines);
    }
    const auto all = records(lines);
    REQUIRE(all.size() == 5);
    CHECK(all[0]["service"] == "orders \"a\"\xef\xbf\xbd");
    CHECK(all[0]["version"] == "0123456789ab");
    CHECK(all[0]["labels"]["team"] == "shop");
    CHECK(all[1]["type"] == "stack");
    CHECK_FALSE(all[1].contains("service"));
    CHECK(all[2]["type"] == "slow_callback");
    CHECK(all[2]["unit"] == "orders.service");
    CHECK(all[3]["pid"] == 8);
    CHECK_FALSE(all[3].contains("service"));
    CHECK(all[4]["stack_id"] == all[1]["stack_id"]);
}

TEST_CASE("labels hold until the target has ended, and a process of the same number has its own")
{
    auto labels = orders();
    LabelledEncoder encoder([&](std::uint32_t) { return labels; }, 0);
    std::string lines;
    encoder.encode(started(7), lines);
    labels = nullptr;
    TargetEnd end;
    end.subject.pid = 7;
    encoder.encode(slow(7), lines);
    encoder.encode(end, lines);
    encoder.encode(slow(7), lines);
    const auto all = records(lines);
    REQUIRE(all.size() == 5);
    CHECK(all[2].contains("service"));
    CHECK(all[3].contains("service"));
    CHECK_FALSE(all[4].contains("service"));
}

TEST_CASE("the flight recorder keeps the last of its bytes, and what it keeps can be read alone")
{
    FlightRecorder recorder([](std::uint32_t) { return orders(); }, 0);
    REQUIRE(recorder.take(started(7)));
    auto finding = slow(7);
    finding.slow->subject.comm = std::string(900, 'x');
    int count = 0;
    while (recorder.bytes() + 2 * FlightRecorder::part_bytes < FlightRecorder::most_bytes || count < 30'000) {
        finding.slow->end_ns = static_cast<std::uint64_t>(++count);
        REQUIRE(recorder.take(finding));
    }
    CHECK(recorder.bytes() <= FlightRecorder::most_bytes + FlightRecorder::part_bytes);
    const auto all = records(recorder.dump());
    CHECK(all.front()["type"] == "stack");
    CHECK(all.back()["mono_ns"] == count);
    recorder.record(false);
    const auto before = recorder.bytes();
    REQUIRE(recorder.take(finding));
    CHECK(recorder.bytes() == before);
}
