// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "findings.hpp"
#include "report/cause_sums.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;

Source source(Kind kind, const char* call, std::uint64_t duration_ms)
{
    Source source;
    source.kind = kind;
    source.call = call;
    source.duration_ns = duration_ms * ms;
    source.stack.emplace_back().function = std::string("own_") + call;
    source.stack.back().module = "/srv/server";
    return source;
}

// Held its loop for as long as the sources say.
SlowCallback slow(std::vector<Source> sources, std::uint32_t tid = 1)
{
    SlowCallback slow;
    slow.subject.pid = 4711;
    slow.subject.tid = tid;
    slow.loop = {"1", "main"};
    for (const auto& one : sources) slow.duration_ns += one.duration_ns;
    slow.fingerprint = sources.front().call;
    slow.sources = std::move(sources);
    return slow;
}

}  // namespace

TEST_CASE("bounds of histograms are eighths of an octave")
{
    CHECK(eighth_octave_below(0) == 0);
    CHECK(eighth_octave_below(1) == 1);
    CHECK(eighth_octave_below(1'024) == 1'024);
    CHECK(eighth_octave_below(1'116) == 1'024);
    CHECK(eighth_octave_below(1'117) == 1'117);  // 2^(81/8) is 1116.7
    CHECK(eighth_octave_below(1'117 * 2) == 2'234);
    for (std::uint64_t ns = 1; ns < 1ull << 40; ns = ns * 3 / 2 + 1) {
        const auto bound = eighth_octave_below(ns);
        CHECK(bound <= ns);
        CHECK(static_cast<double>(ns) < static_cast<double>(bound) * 1.0906 + 1);
    }
}

TEST_CASE("each place of a slow callback is a cause of it, with its part")
{
    CauseSums sums(1'000 * ms);
    auto first = slow({source(Kind::file_io, "fsync", 200), source(Kind::lock, "lock", 100)});
    first.impact = Impact{14, 310 * ms, 900 * ms};
    sums.add(first);
    sums.add(slow({source(Kind::file_io, "fsync", 150)}));
    const auto causes = sums.take(3'000 * ms);
    REQUIRE(causes.size() == 2);
    CHECK(causes[0].fingerprint == "fsync");
    CHECK(causes[0].count == 2);
    CHECK(causes[0].held_ns == 350 * ms);
    CHECK(causes[0].max_ns == 200 * ms);
    CHECK(causes[0].interval_ns == 2'000 * ms);
    CHECK(causes[0].hist == std::map<std::uint64_t, std::uint64_t>{{eighth_octave_below(150 * ms), 1},
                                                                   {eighth_octave_below(300 * ms), 1}});
    CHECK(causes[0].without == std::map<std::uint64_t, std::uint64_t>{{0, 1}, {eighth_octave_below(100 * ms), 1}});
    CHECK(causes[0].delayed == 14);
    CHECK(causes[0].delay_ns == 900 * ms);
    CHECK(causes[0].stack.front().function == "own_fsync");
    CHECK(causes[1].kind == Kind::lock);
    CHECK(causes[1].count == 1);
    CHECK(causes[1].held_ns == 100 * ms);
    CHECK(causes[1].delayed == 0);
    CHECK(sums.take(4'000 * ms).empty());
}

TEST_CASE("a record of a cause has the interval of the statistics of its loop")
{
    CauseSums sums(0);
    LoopStats stats;
    stats.subject.pid = 4711;
    stats.subject.tid = 2;
    stats.loop = {"1", "main"};
    stats.interval_ns = 700 * ms;
    sums.add(slow({source(Kind::sleep, "usleep", 100)}, 2));
    sums.add(stats);
    stats.interval_ns = 50 * ms;  // it stopped, and began again
    sums.add(stats);
    CHECK(sums.take(1'000 * ms).at(0).interval_ns == 750 * ms);
    sums.add(slow({source(Kind::sleep, "usleep", 100)}, 2));
    CHECK(sums.take(2'000 * ms).at(0).interval_ns == 1'000 * ms);
}

TEST_CASE("loops have causes of their own")
{
    CauseSums sums(0);
    sums.add(slow({source(Kind::sleep, "usleep", 100)}, 1));
    sums.add(slow({source(Kind::sleep, "usleep", 100)}, 2));
    CHECK(sums.take(1'000 * ms).size() == 2);
}

TEST_CASE("causes beyond the costliest are summed up as other, and none is lost")
{
    CauseSums sums(0);
    const std::size_t many = CauseSums::most_kept + 100;
    for (std::size_t i = 1; i <= many; ++i)
        sums.add(slow({source(Kind::sleep, ("call" + std::to_string(i)).c_str(), i)}));
    const auto causes = sums.take(1'000 * ms);
    REQUIRE(causes.size() == CauseSums::most_listed + 1);
    CHECK(causes[0].held_ns == CauseSums::most_kept * ms);
    const auto& other = causes.back();
    CHECK(other.fingerprint == "other");
    CHECK(other.causes == many - CauseSums::most_listed);
    std::uint64_t count = 0, held_ns = 0;
    for (const auto& cause : causes) {
        count += cause.count;
        held_ns += cause.held_ns;
    }
    CHECK(count == many);
    CHECK(held_ns == many * (many + 1) / 2 * ms);
}
