// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "findings.hpp"
#include "output/line_sink.hpp"
#include "report/hub.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

// What a sink was given, and whether it works.
struct Taken {
    std::vector<Report> reports;
    bool works = true;   // take()
    bool writes = true;  // flush() and close()
    int flushed = 0, closed = 0;
    bool waited_for = false;  // by close()
    std::uint64_t lost = 0;

    std::size_t findings() const
    {
        return static_cast<std::size_t>(
            std::ranges::count_if(reports, [](const Report& report) { return std::get_if<Findings>(&report); }));
    }
    const SessionEnd& end() const { return std::get<SessionEnd>(reports.back()); }
};

class FakeSink final : public Sink {
public:
    explicit FakeSink(Taken& taken) : taken_(taken) {}
    Result<void> take(const Report& report) override
    {
        if (!taken_.works) return Error{ExitCode::failed, "it does not work", ""};
        taken_.reports.push_back(report);
        return {};
    }
    Result<void> flush() override
    {
        ++taken_.flushed;
        return taken_.writes ? Result<void>() : Error{ExitCode::failed, "it is full", ""};
    }
    Result<void> close(bool wait_for_reader) override
    {
        ++taken_.closed;
        taken_.waited_for = wait_for_reader;
        return flush();
    }
    std::uint64_t lost() const override { return taken_.lost; }

private:
    Taken& taken_;
};

SlowCallback slow(const char* fingerprint)
{
    SlowCallback finding;
    finding.subject.pid = 1;
    finding.fingerprint = fingerprint;
    return finding;
}

SessionEnd end()
{
    SessionEnd end;
    end.saw_loop = true;
    return end;
}

}  // namespace

TEST_CASE("every sink gets every report, within limits of its own, and its own counts of what it lacks")
{
    Taken all, few;
    Hub hub;
    hub.add("all", std::make_unique<FakeSink>(all));
    hub.add("few", std::make_unique<FakeSink>(few), {true, std::make_shared<Limiter>(Limits{2, 10, 1})});
    for (int i = 0; i < 5; ++i) hub.take(only(slow("a")), second);
    few.lost = 7;
    hub.take(end(), second);
    hub.close();
    CHECK(all.findings() == 5);
    CHECK(all.end().suppressed.empty());
    CHECK(all.end().completeness == "complete");
    CHECK(few.findings() == 2);
    CHECK(few.end().suppressed == Counts{{"slow_callback", 3}});
    CHECK(few.end().lost.at("output_full") == 7);
    CHECK(few.end().completeness == "findings_missing");
    CHECK(hub.completeness().level == "complete");
    CHECK((all.closed == 1 && few.closed == 1));
}

TEST_CASE("findings of one dispatch are cut to what the limits admit")
{
    Taken taken;
    Hub hub;
    hub.add("sink", std::make_unique<FakeSink>(taken), {true, std::make_shared<Limiter>(Limits{1, 10, 1})});
    Findings findings;
    findings.slow = slow("slow");
    findings.blocking.resize(2);
    for (auto& call : findings.blocking) call.fingerprint = "call";
    hub.take(findings, second);
    REQUIRE(taken.findings() == 1);
    CHECK(std::get<Findings>(taken.reports[0]).blocking.size() == 1);
    CHECK(std::get<Findings>(taken.reports[0]).slow);
    hub.take(findings, second);
    CHECK(taken.findings() == 1);
    hub.take(findings, 3 * second);
    CHECK(taken.findings() == 2);
}

TEST_CASE("the failure of a required sink is the session's, and others go on")
{
    Taken broken, whole;
    broken.works = false;
    Hub hub;
    hub.add("broken", std::make_unique<FakeSink>(broken));
    hub.add("whole", std::make_unique<FakeSink>(whole));
    hub.take(only(slow("a")), second);
    hub.take(only(slow("a")), second);
    REQUIRE(hub.failure());
    CHECK(hub.failure()->what == "it does not work");
    CHECK(whole.findings() == 2);
    CHECK(hub.take_warnings().empty());
    hub.close();
    CHECK((whole.closed == 1 && broken.closed == 0));
}

TEST_CASE("an optional sink that fails is warned of once, tried again each second, and what it lacks is counted")
{
    Taken taken;
    taken.works = false;
    Hub hub;
    hub.add("/var/log/x", std::make_unique<FakeSink>(taken), {false});
    hub.take(only(slow("a")), second);
    CHECK(hub.take_warnings() == std::vector<std::string>{"/var/log/x: it does not work; it is tried again"});
    hub.take(only(slow("a")), second + 1);      // not tried
    hub.take(only(slow("a")), 2 * second + 1);  // tried, and fails
    taken.works = true;
    hub.take(only(slow("a")), 2 * second + 2);  // not tried
    CHECK(taken.reports.empty());
    hub.take(only(slow("a")), 4 * second);
    CHECK(taken.findings() == 1);
    CHECK_FALSE(hub.failure());
    CHECK(hub.take_warnings().empty());
    hub.take(end(), 4 * second);
    CHECK(taken.end().lost.at("output_failed") == 2);
}

TEST_CASE("an optional sink that takes reports but cannot write them is warned of once, until it has written")
{
    Taken taken;
    Hub hub;
    hub.add("x", std::make_unique<FakeSink>(taken), {false});
    const auto round = [&](std::uint64_t at) {
        hub.take(only(slow("a")), at);
        hub.flush(at);
        return hub.take_warnings().size();
    };
    taken.writes = false;
    CHECK(round(1 * second) == 1);
    CHECK(round(3 * second) == 0);
    CHECK(round(5 * second) == 0);
    taken.writes = true;
    CHECK(round(7 * second) == 0);
    taken.writes = false;
    CHECK(round(9 * second) == 1);
    CHECK_FALSE(hub.failure());
}

TEST_CASE("the end is given to an optional sink that has just failed, and a warning says if it cannot be written")
{
    Taken optional, required;
    Hub hub;
    hub.add("x", std::make_unique<FakeSink>(optional), {false});
    hub.add("y", std::make_unique<FakeSink>(required));
    optional.writes = false;
    hub.flush(second);
    Findings two;
    two.slow = slow("a");
    two.blocking.resize(1);
    hub.take(two, second);
    hub.take(end(), second);
    REQUIRE(optional.reports.size() == 1);
    CHECK(optional.end().lost.at("output_failed") == 2);
    CHECK(required.end().lost.at("output_failed") == 0);
    CHECK(hub.completeness().level == required.end().completeness);  // the gate's
    CHECK(hub.completeness().level != optional.end().completeness);
    hub.close();
    CHECK_FALSE(optional.waited_for);
    CHECK(required.waited_for);
    CHECK_FALSE(hub.failure());
    CHECK(hub.take_warnings() ==
          std::vector<std::string>{"x: it is full; it is tried again", "x: it is full; its report lacks the end"});
}

TEST_CASE("a sink whose reader is waited for at the end keeps no other from writing what it has")
{
    class Waiting final : public Sink {
    public:
        explicit Waiting(const Taken& other) : other_(other) {}
        Result<void> take(const Report&) override { return {}; }
        Result<void> flush() override { return {}; }
        Result<void> close(bool) override
        {
            CHECK(other_.flushed == 1);
            return {};
        }

    private:
        const Taken& other_;
    };
    Taken taken;
    Hub hub;
    hub.add("waits", std::make_unique<Waiting>(taken));
    hub.add("other", std::make_unique<FakeSink>(taken));
    hub.close();
    CHECK(taken.closed == 1);
}

TEST_CASE(
    "a reader that takes nothing keeps no one waiting: its lines queue, what is beyond is counted, what was queued "
    "comes")
{
    class Lines final : public Encoder {
    public:
        void encode(const Report& report, std::string& lines) override
        {
            lines += std::holds_alternative<SessionEnd>(report) ? "end\n" : std::string(999, 'x') + "\n";
        }
    };
    int ends[2];
    REQUIRE(::pipe2(ends, 0) == 0);
    auto output = Output::open("/dev/fd/" + std::to_string(ends[1]));
    REQUIRE(output);
    ::close(ends[1]);
    LineSink sink(std::move(*output), std::make_unique<Lines>());
    const std::size_t sent = 20'000;
    for (std::size_t i = 0; i < sent; ++i) REQUIRE(sink.take(LoopStats{}));
    REQUIRE(sink.take(SessionEnd{}));
    CHECK(sink.waits_for() >= 0);
    CHECK(sink.lost() > sent - (LineSink::most_queued + (1u << 20)) / 1000);
    std::string read, chunk(1 << 16, ' ');
    while (sink.waits_for() >= 0) {
        REQUIRE(sink.flush());
        const auto count = ::read(ends[0], chunk.data(), chunk.size());
        REQUIRE(count > 0);
        read.append(chunk, 0, static_cast<std::size_t>(count));
    }
    REQUIRE(sink.close(true));
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (ssize_t count; (count = ::read(ends[0], chunk.data(), chunk.size())) > 0;)
        read.append(chunk, 0, static_cast<std::size_t>(count));
    ::close(ends[0]);
    CHECK(read.size() == (sent - sink.lost()) * 1000 + 4);
    CHECK(read.ends_with("x\nend\n"));
}
