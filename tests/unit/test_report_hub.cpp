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
    bool works = true;
    int closed = 0;
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
    Result<void> flush() override { return {}; }
    Result<void> close() override
    {
        ++taken_.closed;
        return {};
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
    hub.add("few", std::make_unique<FakeSink>(few), {true, {2, 10, 1}});
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
    hub.add("sink", std::make_unique<FakeSink>(taken), {true, {1, 10, 1}});
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
    REQUIRE(sink.close());
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (ssize_t count; (count = ::read(ends[0], chunk.data(), chunk.size())) > 0;)
        read.append(chunk, 0, static_cast<std::size_t>(count));
    ::close(ends[0]);
    CHECK(read.size() == (sent - sink.lost()) * 1000 + 4);
    CHECK(read.ends_with("x\nend\n"));
}
