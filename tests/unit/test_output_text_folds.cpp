// SPDX-License-Identifier: Apache-2.0
//
// Repeats, and what was reported while it ran.
#include <catch2/catch.hpp>

#include "text_report.hpp"

using namespace loopwatch;
using namespace loopwatch::text_report;

TEST_CASE("a repeat that lasted twice as long is shown in full")
{
    Written report;
    report.write(slow(1, second, 100 * ms, "a"));
    report.take();
    report.write(slow(3, second, 199 * ms, "a"));
    CHECK(report.take().empty());
    report.write(slow(5, second, 200 * ms, "a"));
    CHECK(has(report.take(), "#2 00:00:01.000  slow 5 (like #1)\n"));
    report.write(slow(7, second, 399 * ms, "a"));
    CHECK(report.take().empty());
}

TEST_CASE("the first of a kind is shown in full, later ones as a count once a second")
{
    Written report;
    report.write(slow(1, 10 * second, 100 * ms, "a"));
    CHECK(has(report.take(), "#1 00:00:10.000  slow 1\n"));
    report.write(slow(3, 10 * second + 200 * ms, 190 * ms, "a"));
    report.write(slow(5, 10 * second + 400 * ms, 110 * ms, "a"));
    report.write(tick(10 * second + 999 * ms));
    CHECK(report.take() == "");
    report.write(tick(11 * second));
    CHECK(report.take() == "×2 more like #1, longest 190 ms\n");
    report.write(slow(7, 11 * second + 1 * ms, 130 * ms, "a"));
    CHECK(report.take() == "");
    report.write(tick(12 * second));
    CHECK(report.take() == "×1 more like #1, longest 130 ms\n");
    report.write(tick(14 * second));
    CHECK(report.take() == "");
}

TEST_CASE("one incident has one number, from its first report to its last")
{
    Written report;
    const auto stalled = [](std::uint64_t seq, std::uint64_t duration_ns) {
        Stall stall;
        static_cast<SlowCallback&>(stall) = slow(seq, second + duration_ns, duration_ns, "stalled");
        return stall;
    };
    report.write(stalled(1, 100 * ms));
    CHECK(has(report.take(), "#1 00:00:01.100  slow 1\n"));
    report.write(stalled(1, 200 * ms));
    CHECK(report.take() == "#1 00:00:01.200  slow 1\n");
    report.write(slow(1, second + 250 * ms, 250 * ms, "slow"));
    CHECK(has(report.take(), "#1 00:00:01.250  slow 1\n"));
    report.write(slow(3, second + 300 * ms, 100 * ms, "other"));
    CHECK(has(report.take(), "#2 "));
    // Another one of the kind is a line of its own only once it has lasted twice as long.
    report.write(stalled(5, 100 * ms));
    CHECK(report.take() == "");
    report.write(stalled(5, 200 * ms));
    CHECK(report.take() == "#3 00:00:01.200  slow 5 (like #1)\n");
    report.write(stalled(5, 400 * ms));
    CHECK(report.take() == "#3 00:00:01.400  slow 5 (like #1)\n");
    // One that ends is counted then, one that never does at the end.
    report.write(stalled(7, 100 * ms));
    report.write(slow(7, second + 410 * ms, 160 * ms, "slow"));
    report.write(stalled(9, 150 * ms));
    CHECK(report.take() == "");
    report.write(end(second + 500 * ms));
    CHECK(report.take().starts_with("×1 more like #1, longest 160 ms\n×1 more like #1, longest 150 ms\n"));
}

TEST_CASE("the stack of a stall is not shown again at its end, unless it has changed")
{
    Written report;
    const auto in = [](SlowCallback record, const char* function) {
        record.stack.emplace_back().function = function;
        return record;
    };
    for (const std::uint64_t seq : {1u, 3u}) {
        Stall stall;
        static_cast<SlowCallback&>(stall) = in(slow(seq, second, 100 * ms, "stalled"), "work");
        stall.fingerprint += std::to_string(seq);
        report.write(stall);
        CHECK(has(report.take(), "   stack    work"));
    }
    report.write(in(slow(1, second, 250 * ms, "slow"), "work"));
    const auto same = report.take();
    CHECK(has(same, "   stack    as above, while it ran\n"));
    CHECK_FALSE(has(same, "work"));
    report.write(in(slow(3, second, 250 * ms, "other"), "play"));
    CHECK(has(report.take(), "   stack    play"));
    report.write(in(slow(5, second, 250 * ms, "third"), "work"));
    CHECK(has(report.take(), "   stack    work"));
}

TEST_CASE("repeats that were not shown yet are shown at the end, and kinds are counted apart")
{
    Written report;
    report.write(slow(1, second, 100 * ms, "a"));
    report.write(slow(3, second + 1, 100 * ms, "b"));
    report.write(slow(5, second + 2, 150 * ms, "b"));
    report.write(slow(7, second + 3, 180 * ms, "a"));
    report.take();
    report.write(end(second + 4));
    const std::string text = report.take();
    CHECK(has(text, "×1 more like #2, longest 150 ms\n×1 more like #1, longest 180 ms\n"));
}

TEST_CASE("findings without a fingerprint are never folded")
{
    Written report;
    report.write(slow(1, second, 100 * ms, ""));
    report.write(slow(3, second, 100 * ms, ""));
    const std::string text = report.take();
    CHECK(has(text, "slow 1\n"));
    CHECK(has(text, "#2 00:00:01.000  slow 3\n"));
}

TEST_CASE("however many fingerprints there are, memory stays bounded and nothing is untold")
{
    Written report;
    for (std::uint64_t i = 0; i < 25'000; ++i) report.write(slow(i, second, ms, std::to_string(i)));
    report.write(slow(1, second, ms, "0"));
    CHECK(has(report.take(), "#25001 "));
}

TEST_CASE("what a process becomes by exec has numbers and loops of its own")
{
    Written report;
    const auto target = slow(1, second, second, "").subject;
    Stall stall;
    static_cast<SlowCallback&>(stall) = slow(1, second, 100 * ms, "stalled");
    report.write(stall);
    report.write(tick(second));
    CHECK(has(report.take(), "#1 "));
    report.write(TargetEnd{target, second, "exec", std::nullopt});
    TargetStart begun;
    begun.subject = target;
    report.write(begun);
    report.take();
    stall.fingerprint = "another";
    report.write(stall);
    CHECK(report.take().starts_with("#2 "));
    report.write(tick(2 * second));
    report.write(end(3 * second));
    const auto text = report.take();
    const auto first = text.find("loop main of server (pid 1, before exec): 1000 dispatches");
    CHECK(first != text.npos);
    CHECK(text.find("loop main of server (pid 1): 1000 dispatches") > first);
}

TEST_CASE("findings are folded within one process: the first of each is shown in full")
{
    Written written;
    const auto of = [](std::uint32_t pid, std::uint64_t seq, std::uint64_t duration_ns) {
        auto record = slow(seq, second, duration_ns, "a");
        record.subject.pid = pid;
        return record;
    };
    TargetEnd ended;
    ended.subject = {2, 0, 2, 0, "server"};
    ended.at_ns = second;
    ended.reason = "exited";
    written.write(of(1, 1, 100 * ms));
    written.write(of(2, 3, 110 * ms));
    const auto text = written.take();
    CHECK(has(text, "#1 00:00:01.000  slow 1\n"));
    CHECK(has(text, "#2 00:00:01.000  slow 3\n"));
    written.write(of(2, 5, 120 * ms));
    written.write(of(1, 7, 130 * ms));
    CHECK(written.take() == "");
    written.write(ended);
    CHECK(has(written.take(), "×1 more like #2, longest 120 ms\n×1 more like #1, longest 130 ms\n"));
    written.write(of(2, 9, 100 * ms));  // another process with its number
    CHECK(has(written.take(), "#3 00:00:01.000  slow 9\n"));
    written.write(of(1, 11, 140 * ms));
    written.write(end(second));
    CHECK(written.take().starts_with("×1 more like #1, longest 140 ms\n"));
}
