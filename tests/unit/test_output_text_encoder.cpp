// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include <catch2/catch.hpp>

#include "output/line_sink.hpp"
#include "output/record_json.hpp"
#include "temporary_directory.hpp"
#include "text_report.hpp"

using namespace loopwatch;
using namespace loopwatch::text_report;

TEST_CASE("a blocking call is part of its slow callback")
{
    Written report;
    Findings findings;
    findings.blocking = {blocking(1, second, "call"), blocking(1, 5 * second, "call")};
    findings.slow = slow(1, 9 * second, 8 * second, "a");
    report.write(findings);
    report.write(end(21 * second));
    CHECK_FALSE(has(report.take(), "blocked"));
}

TEST_CASE("a blocking call whose dispatch was not slow is shown at once, in a line")
{
    Written report;
    report.write(blocking(1, second, "call"));
    CHECK(report.take() == "#1 00:00:01.000  blocked 1\n");
    report.write(blocking(3, 3 * second, "call"));
    report.write(blocking(5, 3 * second + ms, "call"));
    report.write(blocking(7, 3 * second + ms, "other"));
    report.write(end(3 * second + 2 * ms));
    const std::string text = report.take();
    CHECK(has(text, "more like #1, longest 12 ms\n"));
    CHECK(has(text, "#2 00:00:03.001  blocked 7\n"));
}

TEST_CASE("the summary has a line a loop, and --quiet leaves only findings")
{
    Written report;
    report.write(SessionStart{});
    report.write(tick(1 * second));
    report.write(tick(2 * second));
    report.take();
    report.write(end(3 * second));
    CHECK(has(report.take(), "loop main of server (pid 1): 2000 dispatches, 25.0 % busy, longest 20 ms"));

    auto last = tick(3 * second);
    last.open_ns = last.dispatch_ns.max = 220 * ms;
    report.write(last);
    report.write(end(3 * second));
    CHECK(has(report.take(), "3000 dispatches, 25.0 % busy, longest 220 ms, which did not end\n"));

    Written quiet(true);
    quiet.write(SessionStart{});
    quiet.write(slow(1, second, 100 * ms, "a"));
    quiet.write(slow(3, second, 100 * ms, "a"));
    CHECK(quiet.take().starts_with("#1"));
    quiet.write(end(3 * second));
    CHECK(quiet.take() == "×1 more like #1, longest 100 ms\n");
}

TEST_CASE("a loop of which only a dispatch that never ended is known has its line")
{
    Written report;
    auto only = tick(1 * second);
    only.dispatches = 0;
    only.open_ns = only.dispatch_ns.max = 220 * ms;
    report.write(only);
    auto over = end(2 * second);
    over.dispatch_ns.max = 220 * ms;
    report.write(over);
    const auto text = report.take();
    CHECK(has(text, "loop main of server (pid 1): no dispatch ended, 25.0 % busy, one ran for 220 ms\n"));
    CHECK(has(text, "  no dispatch ended: one ran for 220 ms\n"));
}

TEST_CASE("of a loop whose counters are gone the dispatches that were reported are not said not to have ended")
{
    Written report;
    auto only = tick(1 * second);
    only.dispatches = 0;
    only.open_ns.reset();
    only.dispatch_ns.max = 220 * ms;
    report.write(only);
    auto over = end(2 * second);
    over.dispatch_ns.max = 220 * ms;
    report.write(over);
    const auto text = report.take();
    CHECK(has(text, "loop main of server (pid 1): dispatches not counted, 25.0 % busy, longest 220 ms\n"));
    CHECK(has(text, "  dispatches not counted: longest 220 ms\n"));
}

TEST_CASE("what loopwatch costs is a percentage of a session that is long enough for one")
{
    Written report;
    auto over = end(second);
    over.overhead.bpf_ns = 2 * ms;
    over.overhead.bpf_ns_estimated = true;
    over.overhead.collector_cpu_ns = 90 * ms;
    over.duration_ns = 7 * ms;
    report.write(over);
    CHECK(has(report.take(), "  overhead: 2 ms of CPU time in the kernel (estimated), 90 ms in loopwatch, 0 MiB\n"));
    over.duration_ns = 10 * second;
    report.write(over);
    CHECK(has(report.take(), "in the kernel (0.02 % of a CPU, estimated), 90 ms in loopwatch (0.90 %), 0 MiB\n"));
}

TEST_CASE("what was not measured is not reported as nothing: without a kernel side it has no overhead")
{
    Written report;
    auto over = end(10 * second);
    over.duration_ns = 10 * second;
    over.overhead.collector_cpu_ns = 90 * ms;
    report.write(over);
    CHECK(has(report.take(), "  overhead: 90 ms of CPU time in loopwatch (0.90 % of a CPU), 0 MiB\n"));
    std::string lines;
    append_lines(over, {"host", ClockAnchor{0, 0}}, lines);
    CHECK_FALSE(has(lines, "bpf_"));
    CHECK_FALSE(has(lines, "map_bytes"));
}

TEST_CASE("one is one frame")
{
    Written report;
    auto one = slow(1, second, 100 * ms, "a");
    for (int frame = 0; frame < 25; ++frame) one.stack.emplace_back().function = "work";  // one more than are shown
    report.write(one);
    const auto text = report.take();
    INFO(text);
    CHECK(has(text, "… 1 more frame, of the loop"));
}

TEST_CASE("colours are for terminals that can, and for people who want them")
{
    const auto set = [](const char* name, const char* value) { value ? ::setenv(name, value, 1) : ::unsetenv(name); };
    set("TERM", "xterm");
    set("NO_COLOR", nullptr);
    CHECK(wants_colours(true, false));
    CHECK_FALSE(wants_colours(false, false));
    CHECK_FALSE(wants_colours(true, true));
    set("NO_COLOR", "1");
    CHECK_FALSE(wants_colours(true, false));
    set("NO_COLOR", "");
    CHECK(wants_colours(true, false));
    set("TERM", "dumb");
    CHECK_FALSE(wants_colours(true, false));
    set("TERM", nullptr);
    CHECK_FALSE(wants_colours(true, false));
    CHECK(TextStyle{true}.strong("x") == "\x1b[1mx\x1b[0m");
    CHECK(TextStyle{false}.strong("x") == "x");
}

TEST_CASE("a report that cannot be written is an error")
{
    TemporaryDirectory directory;
    auto output = Output::open(directory / "report");
    REQUIRE(output);
    LineSink sink(std::move(*output), std::make_unique<TextEncoder>(TextOptions{}));
    REQUIRE(sink.take(only(slow(1, second, 100 * ms, "a"))));
    REQUIRE(sink.flush());
    // The disk is full from here on.
    const int full = ::open("/dev/full", O_WRONLY);
    REQUIRE(full >= 0);
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        if (std::filesystem::read_symlink(entry, error) == directory / "report") {
            ::dup2(full, std::stoi(entry.path().filename()));
        }
    }
    ::close(full);
    REQUIRE(sink.take(only(slow(3, second, 100 * ms, "b"))));
    const auto written = sink.flush();
    REQUIRE_FALSE(written);
    CHECK_THAT(written.error().what, Catch::Contains("No space left"));
}

TEST_CASE("a gate with --quiet leaves out nothing that it may lack")
{
    SessionEnd all, some;
    some.completeness = "findings_missing";
    some.completeness_reason = "2 records that came faster than they were read (ring_full)";
    some.lost = {{"ring_full", 2}};
    Written gated(true, true), other(true, true), free(true);
    gated.write(all);
    CHECK(gated.take().empty());
    other.write(some);
    CHECK(other.take() ==
          "  report: findings missing: 2 records that came faster than they were read (ring_full)\n"
          "  lost: ring_full 2\n  over the rate limit: nothing\n");
    free.write(some);
    CHECK(free.take().empty());
}

TEST_CASE("where several processes are watched each finding says whose it is, a repeat and a blocking call too")
{
    Written written;
    TargetStart start;
    start.subject = {1, 0, 1, 0, "server"};
    written.write(start);
    written.write(blocking(1, second, "a"));
    CHECK(written.take().find("  blocked 1\n") != std::string::npos);
    start.subject = {2, 0, 2, 0, "worker"};
    written.write(start);
    auto other = blocking(3, second, "b");
    other.subject = {2, 3, 2, 3, "thread-1"};  // whose name is not its process's
    written.write(other);
    CHECK(written.take().find("  worker (pid 2): blocked 3\n") != std::string::npos);
}

TEST_CASE("how a process ended is said by name")
{
    Written written;
    TargetEnd end;
    end.subject = {1, 0, 1, 0, "server"};
    end.reason = "exited";
    end.exit_status = 11;
    written.write(end);
    CHECK(written.take() == "server (pid 1): exited, signal 11 (SIGSEGV)\n");
}
