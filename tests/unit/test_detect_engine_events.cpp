// SPDX-License-Identifier: Apache-2.0
//
// What the engine makes of each kind of observation, and of the passage of an interval.
#include "collect/probe_table.hpp"
#include "watched_targets.hpp"

using namespace loopwatch;

namespace {

StepEvent step(std::uint32_t pid, std::string_view probe, decltype(StepEvent::args) args = {})
{
    StepEvent event;
    event.head = {monotonic_ns(), pid, looper, 3, 41};
    event.probe = find_probe(probe)->id;
    event.args = args;
    return event;
}

EventHead head(std::uint32_t pid, std::uint64_t seq = 0)
{
    return {monotonic_ns(), pid, looper, 3, seq};
}

// A slow dispatch whose sample waits for names.
void observe_sampled(Watched& watched, std::uint32_t pid)
{
    const auto slow = dispatch(pid, 41, monotonic_ns(), 250 * ms);
    SampleEvent sample;
    sample.head = slow.head;
    sample.stack.bytes = {1, 2, 3};
    watched.observe({sample, slow});
}

}  // namespace

TEST_CASE("how a target ended is what its source observed, if its starter does not know")
{
    EngineOptions options;
    options.wait_status = [](std::uint32_t) { return std::nullopt; };
    Watched watched(false, options);
    const Child child;
    watched.add(child.pid());
    EndedEvent ended;
    ended.head = {monotonic_ns(), child.pid(), child.pid(), 0, 0};
    ended.status = 11;
    watched.source.queue = {ended};
    watched.turn();
    watched.engine->remove(child.pid(), "exited");
    REQUIRE(watched.all<TargetEnd>().size() == 1);
    CHECK(watched.all<TargetEnd>()[0].exit_status == 11);
}

TEST_CASE("of a session for certain threads the dispatches of others are not reported")
{
    EngineOptions options;
    options.tids = {looper + 1};
    Watched watched(false, options);
    const Child child;
    auto& target = watched.add(child.pid());
    CallEvent call;
    call.head = head(child.pid(), 41);
    call.end_ns = monotonic_ns();
    call.start_ns = call.end_ns - 30 * ms;
    IterationEvent iteration;
    iteration.head = head(child.pid(), 41);
    iteration.end_ns = monotonic_ns();
    iteration.start_ns = iteration.end_ns - 200 * ms;
    watched.observe(
        {call, dispatch(child.pid(), 41, monotonic_ns(), 200 * ms), iteration, step(child.pid(), "deadlock")});
    watched.stall(target);
    CHECK(watched.all<Findings>().empty());
    CHECK(watched.all<TaskEvent>().empty());
    CHECK(watched.engine->bytes() == 0);
}

TEST_CASE("an iteration is reported as one")
{
    Watched watched;
    const Child child;
    watched.add(child.pid());
    IterationEvent iteration;
    iteration.head = head(child.pid(), 41);
    iteration.end_ns = monotonic_ns();
    iteration.start_ns = iteration.end_ns - 1'200 * ms;
    iteration.dispatches = 400;
    watched.observe({iteration});
    REQUIRE(watched.all<Findings>().size() == 1);
    REQUIRE(watched.all<Findings>()[0].slow);
    CHECK(watched.all<Findings>()[0].slow->duration_ns == 1'200 * ms);
    CHECK(watched.all<Findings>()[0].slow->dispatches == 400);
}

TEST_CASE("a dispatch that turns out to be several is reported as those")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    for (const std::uint64_t lasted : {120 * ms, 130 * ms}) {
        DispatchBundle part;
        part.pid = child.pid();
        part.tid = looper;
        part.closing = dispatch(child.pid(), 41, monotonic_ns(), lasted);
        target.parts.push_back(std::move(part));
    }
    watched.observe({dispatch(child.pid(), 41, monotonic_ns(), 300 * ms)});
    const auto findings = watched.all<Findings>();
    REQUIRE(findings.size() == 2);
    CHECK(findings[0].slow->duration_ns == 120 * ms);
    CHECK(findings[1].slow->duration_ns == 130 * ms);
}

TEST_CASE("steps of tasks are reported as they are, misuses with the rate limits of findings")
{
    Watched watched;
    const Child child;
    watched.add(child.pid());
    watched.observe({step(child.pid(), "task_resume", {7}), step(child.pid(), "deadlock", {7, 8, 2})});
    const auto events = watched.all<TaskEvent>();
    REQUIRE(events.size() == 2);
    CHECK(events[0].type == "task_resumed");
    CHECK_FALSE(events[0].limited);
    CHECK(events[1].type == "deadlock");
    CHECK(events[1].limited);
    auto unknown = step(child.pid(), "deadlock");
    unknown.probe = 4711;
    watched.observe({unknown, step(child.pid() + 1, "deadlock")});
    CHECK(watched.all<TaskEvent>().size() == 2);
}

TEST_CASE("a poll that was late by less than the threshold is not slow for this session")
{
    Watched watched;
    const Child child;
    watched.add(child.pid());
    watched.observe({step(child.pid(), "slow_poll", {3, 10 * ms, 109 * ms})});
    CHECK(watched.all<TaskEvent>().empty());
    watched.observe({step(child.pid(), "slow_poll", {3, 10 * ms, 110 * ms})});
    CHECK(watched.all<TaskEvent>().size() == 1);
}

TEST_CASE("a thread that was seen to wait is given to its target, and the watchdog looks again")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    watched.engine->turn(monotonic_ns());
    watched.engine->turn(monotonic_ns() + 100 * ms);
    REQUIRE(watched.engine->next_ns() == 0);
    WaitEvent wait;
    wait.head = head(child.pid());
    watched.engine->observe(wait);
    CHECK(target.waits == std::vector<std::uint32_t>{looper});
    CHECK(watched.engine->next_ns() != 0);
    watched.engine->turn(monotonic_ns() + 200 * ms);
    REQUIRE(watched.engine->next_ns() == 0);
    watched.engine->observe(WakeEvent{head(child.pid())});
    CHECK(watched.engine->next_ns() != 0);
}

TEST_CASE("a loop that stops has its last statistics, and is known no more")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    const auto before = watched.all<LoopStats>().size();
    LoopStoppedEvent stopped;
    stopped.head = head(child.pid());
    stopped.state = LoopState{};
    stopped.state->iterations = 12;
    watched.observe({stopped});
    CHECK(target.known_loops().empty());
    const auto stats = watched.all<LoopStats>();
    REQUIRE(stats.size() == before + 1);
    CHECK(stats.back().iterations == 12);
    watched.observe({stopped});  // of a loop that is not known
    CHECK(watched.all<LoopStats>().size() == before + 1);
}

TEST_CASE("a thread that ends leaves its calls as findings, and its loop is known no more")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    target.sees_scheduler = false;
    CallEvent call;
    call.head = head(child.pid(), 41);
    call.end_ns = monotonic_ns();
    call.start_ns = call.end_ns - 30 * ms;
    call.call = BoundedText<32>("write");
    watched.observe({call});
    CHECK(watched.all<Findings>().empty());
    watched.observe({ExitEvent{head(child.pid())}});
    CHECK(watched.all<Findings>().size() == 1);
    CHECK(target.known_loops().empty());
    CHECK(watched.engine->bytes() == 0);
}

TEST_CASE("held findings of a thread that ends are not those of the next one with its number")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid(), false);
    target.add_loop({.slot = 0, .id = 3, .ns_tid = looper, .tid = looper, .name = "main"});
    target.is_proven = false;
    watched.observe({dispatch(child.pid(), 41, monotonic_ns(), 250 * ms), ExitEvent{head(child.pid())}});
    target.is_proven = true;
    watched.turn();
    CHECK(watched.all<Findings>().empty());
}

TEST_CASE("each interval has the statistics of each loop, and drops loops whose threads have ended")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    target.add_loop({.slot = 0x2000, .id = 4, .ns_tid = looper + 1, .tid = looper + 1, .name = "second"});
    watched.engine->interval(monotonic_ns());
    watched.reports.clear();
    target.slot.iterations = 5;
    target.ended = {{looper + 1, 4}};
    watched.engine->interval(monotonic_ns());
    REQUIRE(watched.all<LoopStats>().size() == 2);
    CHECK(watched.all<LoopStats>()[0].iterations == 5);
    REQUIRE(target.known_loops().size() == 1);
    CHECK(target.known_loops()[0].tid == looper);
}

TEST_CASE("a target that cannot be read any more is warned of; one that has ended meanwhile is removed")
{
    Watched watched;
    Child child;
    watched.add(child.pid()).refreshes = false;
    watched.engine->interval(monotonic_ns());
    REQUIRE(watched.all<Warning>().size() == 1);
    CHECK(watched.all<Warning>()[0].text == "its memory cannot be read");
    CHECK(watched.all<Warning>()[0].target->pid == child.pid());
    child.end();
    watched.engine->interval(monotonic_ns());
    CHECK(watched.all<Warning>().size() == 1);
    watched.engine->turn(monotonic_ns());
    REQUIRE(watched.all<TargetEnd>().size() == 1);
    CHECK(watched.all<TargetEnd>()[0].reason == "exited");
}

TEST_CASE("what turns out about a target after its start is a warning, once")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    target.warn("it has no names");
    watched.turn();
    watched.turn();
    REQUIRE(watched.all<Warning>().size() == 1);
    CHECK(watched.all<Warning>()[0].text == "it has no names");
    CHECK(watched.all<Warning>()[0].target->pid == child.pid());
    watched.engine->warn("of no target", "a hint");
    CHECK_FALSE(watched.all<Warning>()[1].target);
    CHECK(watched.all<Warning>()[1].hint == "a hint");
}

TEST_CASE("at the end each target is reported as it is, once its findings have names")
{
    Watched watched(true);
    Child ended;
    const Child stays;
    watched.add(ended.pid());
    watched.add(stays.pid());
    observe_sampled(watched, stays.pid());
    ended.end();
    watched.engine->finish();
    CHECK(watched.all<Findings>().size() == 1);
    REQUIRE(watched.all<TargetEnd>().size() == 2);
    for (const auto& end : watched.all<TargetEnd>())
        CHECK(end.reason == (end.subject.pid == stays.pid() ? "detached" : "exited"));
    CHECK(std::holds_alternative<TargetEnd>(watched.reports.back()));
    CHECK(watched.engine->bytes() == 0);
}

TEST_CASE("what is abandoned is reported no more")
{
    Watched watched(true);
    const Child child, ending;
    watched.add(child.pid());
    watched.add(ending.pid());
    observe_sampled(watched, ending.pid());
    watched.engine->remove(ending.pid(), "exited");
    REQUIRE(watched.engine->is_ending(ending.pid()));
    const auto reported = watched.reports.size();
    watched.engine->abandon();
    CHECK(watched.engine->targets().empty());
    CHECK_FALSE(watched.engine->is_ending(ending.pid()));
    CHECK(watched.reports.size() == reported);
}

TEST_CASE("targets that are there at the start are reported by it, and watched for their end")
{
    Reactor reactor;
    LateWorker worker(false);
    KernelSymbols symbols;
    FakeSource source;
    std::vector<Report> reports;
    EngineOptions options;
    options.wait_status = [](std::uint32_t) { return std::nullopt; };
    Engine engine(options, reactor, worker, symbols, [&](Report&& report) { reports.push_back(std::move(report)); });
    Child child;
    engine.add(std::make_unique<FakeTarget>(static_cast<pid_t>(child.pid())));
    CHECK(reports.empty());
    engine.start(source, monotonic_ns());
    REQUIRE(reports.size() == 1);
    CHECK(std::holds_alternative<TargetStart>(reports[0]));
    child.end();
    reactor.wait_until(0);
    engine.turn(monotonic_ns());
    CHECK(engine.targets().empty());
}
