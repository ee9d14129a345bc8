// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include <catch2/catch.hpp>

#include "findings.hpp"
#include "output/line_sink.hpp"
#include "output/record_json.hpp"
#include "output/text_encoder.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t second = 1'000 * ms;

class Written {
public:
    explicit Written(bool quiet = false, bool gated = false) : encoder_({false, quiet, gated, ClockAnchor{0, 0}}) {}
    void write(const Report& report) { encoder_.encode(report, lines_); }
    template <class Finding>
    requires requires(Finding finding) { only(finding); }
    void write(const Finding& finding) { write(only(finding)); }
    // What was written since the last call.
    std::string take() { return std::exchange(lines_, {}); }

private:
    TextEncoder encoder_;
    std::string lines_;
};

SlowCallback slow(std::uint64_t seq, std::uint64_t end_ns, std::uint64_t duration_ns, std::string fingerprint)
{
    SlowCallback record;
    record.subject = {1, 1, 1, 1, "server"};
    record.loop = {"1", "main"};
    record.dispatch_seq = seq;
    record.end_ns = end_ns;
    record.duration_ns = duration_ns;
    record.fingerprint = std::move(fingerprint);
    record.verdict = "slow " + std::to_string(seq);
    return record;
}

BlockingCall blocking(std::uint64_t seq, std::uint64_t end_ns, std::string fingerprint)
{
    BlockingCall record;
    record.subject = {1, 1, 1, 1, "server"};
    record.loop = {"1", "main"};
    record.dispatch_seq = seq;
    record.end_ns = end_ns;
    record.source.duration_ns = 12 * ms;
    record.fingerprint = std::move(fingerprint);
    record.verdict = "blocked " + std::to_string(seq);
    return record;
}

LoopStats tick(std::uint64_t at_ns)
{
    LoopStats stats;
    stats.subject = {1, 1, 1, 1, "server"};
    stats.loop = {"1", "main"};
    stats.at_ns = at_ns;
    stats.interval_ns = second;
    stats.dispatches = 1'000;
    stats.busy_ns = second / 4;
    stats.dispatch_ns.max = at_ns / 100;
    return stats;
}

SessionEnd end(std::uint64_t at_ns)
{
    SessionEnd record;
    record.at_ns = at_ns;
    return record;
}

bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != text.npos;
}

}  // namespace

TEST_CASE("a repeat that lasted twice as long is told in full")
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

TEST_CASE("repeats that were not told yet are told at the end, and kinds are counted apart")
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

TEST_CASE("however many fingerprints there are, memory stays bounded and nothing is untold")
{
    Written report;
    for (std::uint64_t i = 0; i < 25'000; ++i) report.write(slow(i, second, ms, std::to_string(i)));
    report.write(slow(1, second, ms, "0"));
    CHECK(has(report.take(), "#25001 "));
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
    other.subject = {2, 2, 2, 2, "worker"};
    written.write(other);
    CHECK(written.take().find("  worker (pid 2): blocked 3\n") != std::string::npos);
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
