// SPDX-License-Identifier: Apache-2.0
#include "watched_targets.hpp"

using namespace loopwatch;

TEST_CASE("an engine without a target turns, and has losses to report")
{
    Watched watched;
    watched.turn();
    CHECK(watched.engine->targets().empty());
    CHECK_FALSE(watched.engine->saw_loop());
    CHECK(watched.engine->losses()["ring_full"] == 7);
    CHECK(watched.source.watchdog_asleep);
    CHECK(watched.engine->next_ns() == 0);
}

TEST_CASE("a target that comes and goes is reported at both ends, its slow dispatch in between")
{
    Watched watched;
    const Child child;
    watched.add(child.pid());
    CHECK(watched.all<TargetStart>().size() == 1);
    watched.source.queue.push_back(dispatch(child.pid(), 41, monotonic_ns(), 250 * ms));
    watched.turn();
    const auto findings = watched.all<Findings>();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].slow->duration_ns == 250 * ms);
    watched.engine->remove(child.pid(), "detached");
    const auto ends = watched.all<TargetEnd>();
    REQUIRE(ends.size() == 1);
    CHECK(ends[0].reason == "detached");
    CHECK(ends[0].exit_status == 9);
    CHECK(watched.engine->targets().empty());
    CHECK(watched.engine->saw_loop());
}

TEST_CASE("a process that exits is removed by itself, and its neighbour is not")
{
    Watched watched;
    Child ends;
    const Child stays;
    watched.add(ends.pid());
    watched.add(stays.pid());
    watched.turn();
    CHECK(watched.all<TargetEnd>().empty());
    ends.end();
    watched.turn();
    REQUIRE(watched.all<TargetEnd>().size() == 1);
    CHECK(watched.all<TargetEnd>()[0].subject.pid == ends.pid());
    CHECK(watched.all<TargetEnd>()[0].reason == "exited");
    CHECK(watched.engine->find(stays.pid()) != nullptr);
}

TEST_CASE("what waits of a process that exits is reported before its end")
{
    Watched watched;
    Child child;
    watched.add(child.pid());
    watched.turn();
    child.end();
    for (std::uint64_t seq = 1; seq <= 2 * 4097; seq += 2)  // more than one turn takes
        watched.source.queue.push_back(dispatch(child.pid(), seq, monotonic_ns(), 150 * ms));
    watched.turn();
    CHECK(watched.all<Findings>().size() == 4097);
    REQUIRE(watched.all<TargetEnd>().size() == 1);
    CHECK(std::holds_alternative<TargetEnd>(watched.reports.back()));
}

TEST_CASE("what its source still knows of a target at its end is reported before that")
{
    Watched watched;
    const Child child;
    watched.add(child.pid());
    watched.source.last_words = dispatch(child.pid(), 5, monotonic_ns(), 150 * ms);
    watched.engine->remove(child.pid(), "exec");
    CHECK(watched.all<Findings>().size() == 1);
    CHECK(watched.source.left == std::vector<std::string>{"exec"});
    CHECK(std::holds_alternative<TargetEnd>(watched.reports.back()));
}

TEST_CASE("a target's end abandons its own dispatches, not its neighbour's")
{
    Watched watched;
    const Child ends, stays;
    watched.add(ends.pid()).sees_scheduler = false;
    watched.add(stays.pid()).sees_scheduler = false;
    CallEvent call;
    call.head = {monotonic_ns(), stays.pid(), looper + 1, 3, 7};
    call.end_ns = monotonic_ns();
    call.start_ns = call.end_ns - 30 * ms;
    call.call = BoundedText<32>("write");
    watched.source.queue.push_back(call);
    call.head.pid = ends.pid();
    call.head.tid = looper;
    watched.source.queue.push_back(call);
    watched.turn();
    watched.engine->remove(ends.pid(), "exited");
    CHECK(watched.all<Findings>().size() == 1);  // the call of the one that has ended
    auto closing = dispatch(stays.pid(), 7, monotonic_ns(), 150 * ms);
    closing.head.tid = looper + 1;
    watched.source.queue.push_back(closing);
    watched.turn();
    REQUIRE(watched.all<Findings>().size() == 2);
    CHECK(watched.all<Findings>()[1].blocking.size() == 1);
}

TEST_CASE("a dispatch that does not return is reported once, and again at twice its age")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    const auto now = watched.stall(target);
    CHECK(watched.stalls() == 1);
    watched.engine->turn(now + 20 * ms);
    CHECK(watched.stalls() == 1);
    watched.engine->turn(now + 60 * ms);
    CHECK(watched.stalls() == 2);
    CHECK(watched.source.sampled_every_ns >= 2 * ms);
    CHECK(watched.engine->losses()["sampling_failed"] > 0);
    CHECK_FALSE(watched.source.watchdog_asleep);
}

TEST_CASE("each target is judged by thresholds of its own, also once it has ended")
{
    Watched watched(true);
    const Child quick, patient;
    watched.add(quick.pid()).set_thresholds({20 * ms, 5 * ms});
    watched.add(patient.pid()).set_thresholds({400 * ms, 50 * ms});
    const auto now = monotonic_ns();
    for (const auto pid : {quick.pid(), patient.pid()})
        run(static_cast<FakeTarget&>(*watched.engine->find(pid)), 41, now - 150 * ms);
    watched.engine->turn(now);
    REQUIRE(watched.stalls() == 1);
    CHECK(watched.all<Findings>()[0].stall->subject.pid == quick.pid());
    CHECK(watched.all<Findings>()[0].stall->threshold_ns == 20 * ms);

    auto slow = dispatch(quick.pid(), 41, now, 150 * ms);
    SampleEvent sample;
    sample.head = slow.head;
    sample.stack.bytes = {1, 2, 3};
    watched.source.queue = {sample, slow};
    watched.turn();
    watched.engine->remove(quick.pid(), "exited");
    watched.engine->turn(monotonic_ns() + 6'000 * ms);
    while (watched.worker.pending()) watched.worker.poll();
    REQUIRE(watched.all<Findings>().back().slow);
    CHECK(watched.all<Findings>().back().slow->threshold_ns == 20 * ms);
}

TEST_CASE("the watchdog looks as often as the target with the least threshold needs it")
{
    Watched watched;
    watched.source.can_wake = false;
    const Child quick, patient;
    watched.add(patient.pid()).set_thresholds({400 * ms, 50 * ms});
    const auto now = monotonic_ns();
    watched.engine->turn(now);
    CHECK(watched.engine->next_ns() == now + 50 * ms);
    watched.add(quick.pid()).set_thresholds({20 * ms, 5 * ms});
    watched.engine->turn(now + 50 * ms);
    CHECK(watched.engine->next_ns() == now + 60 * ms);
    watched.engine->remove(quick.pid(), "detached");
    watched.engine->turn(now + 60 * ms);
    CHECK(watched.engine->next_ns() == now + 110 * ms);
}

TEST_CASE("the watchdog looks at the moment at which a dispatch is to be reported, at most each millisecond")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    target.set_thresholds({100 * ms, 10 * ms});
    const auto now = monotonic_ns();
    run(target, 41, now - 93 * ms);
    watched.engine->turn(now);
    CHECK(watched.engine->next_ns() == now + 7 * ms);
    watched.engine->turn(now + 7 * ms);
    CHECK(watched.stalls() == 1);
    CHECK(watched.engine->next_ns() == now + 17 * ms);
    watched.engine->turn(now + 107 * ms - 1);
    CHECK(watched.engine->next_ns() == now + 108 * ms - 1);
}

TEST_CASE("where nothing could wake the engine the watchdog goes on")
{
    Watched watched;
    watched.source.can_wake = false;
    const auto now = monotonic_ns();
    watched.engine->turn(now);
    watched.engine->turn(now + 100 * ms);
    CHECK(watched.engine->next_ns() != 0);
}

TEST_CASE("a stall whose end was lost is closed with what was seen of it, where that may happen")
{
    for (const bool lost : {false, true}) {
        Watched watched;
        const Child child;
        auto& target = watched.add(child.pid());
        target.ends_get_lost = lost;
        const auto now = watched.stall(target);
        target.slot.seq = 42;
        watched.engine->turn(now + 20 * ms);
        watched.engine->turn(now + 20 * ms + LostEnds::patience_ns);
        const auto findings = watched.all<Findings>();
        REQUIRE(findings.size() == (lost ? 2 : 1));
        if (lost) CHECK(findings[1].slow->duration_ns == 170 * ms);
    }
}

TEST_CASE("a loop takes along what is known of it: another one with its thread's number begins anew")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    const auto now = watched.stall(target);
    CHECK(watched.stalls() == 1);
    LoopStoppedEvent stopped;
    stopped.head = {now, child.pid(), looper, 3, 0};
    LoopStartedEvent started;
    started.head = {now, child.pid(), looper, 4, 0};
    watched.source.queue = {stopped, started};
    watched.engine->turn(now + 1 * ms);
    REQUIRE(target.known_loops().size() == 1);
    CHECK(target.known_loops()[0].stall.seq == 0);
    CHECK(target.known_loops()[0].statistics.open);
}

TEST_CASE("a loop that starts again under its number begins anew, though its end was lost")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid());
    const auto now = watched.stall(target);
    CHECK(target.known_loops()[0].stall.seq == 41);
    target.asleep = true;
    LoopStartedEvent started;
    started.head = {now, child.pid(), looper, 3, 0};
    watched.engine->observe(started);
    REQUIRE(target.known_loops().size() == 1);
    CHECK(target.known_loops()[0].stall.seq == 0);
}

TEST_CASE("a stall whose end was lost is closed when its target ends, if it was over by then")
{
    for (const bool over : {false, true}) {
        Watched watched;
        const Child child;
        auto& target = watched.add(child.pid());
        target.ends_get_lost = true;
        watched.stall(target);
        if (over) target.slot.seq = 42;
        watched.engine->remove(child.pid(), "exited");
        const auto findings = watched.all<Findings>();
        REQUIRE(findings.size() == (over ? 2 : 1));
        if (over) CHECK(findings[1].slow->duration_ns >= 150 * ms);
    }
}

TEST_CASE("findings of a thread that is not known to run a loop are held, and counted if it ends as that")
{
    Watched watched;
    const Child child;
    auto& target = watched.add(child.pid(), false);
    target.add_loop({.slot = 0, .id = 3, .ns_tid = looper, .tid = looper, .name = "main"});
    target.is_proven = false;
    watched.source.queue.push_back(dispatch(child.pid(), 41, monotonic_ns(), 250 * ms));
    watched.turn();
    CHECK(watched.all<Findings>().empty());
    target.is_proven = true;
    watched.turn();
    CHECK(watched.all<Findings>().size() == 1);
    target.is_proven = false;
    watched.source.queue.push_back(dispatch(child.pid(), 43, monotonic_ns(), 250 * ms));
    watched.turn();
    watched.engine->remove(child.pid(), "exited");
    CHECK(watched.engine->losses()["iteration_unproven"] == 1);
    REQUIRE(watched.all<Warning>().size() == 1);
    CHECK(watched.all<Warning>()[0].text.starts_with("1 slow iteration is not reported"));
}

TEST_CASE("an end waits for the names of its findings, and its number may not be given to another until then")
{
    Watched watched(true);
    const Child child;
    watched.add(child.pid());
    auto slow = dispatch(child.pid(), 41, monotonic_ns(), 250 * ms);
    SampleEvent sample;
    sample.head = slow.head;
    sample.stands_for_ns = 2 * ms;
    sample.stack.bytes = {1, 2, 3};
    watched.source.queue = {sample, slow};
    watched.turn();
    watched.engine->remove(child.pid(), "exec");
    CHECK(watched.all<TargetEnd>().empty());
    CHECK(watched.engine->is_ending(child.pid()));
    while (watched.worker.pending()) watched.worker.poll();
    watched.turn();
    CHECK(watched.all<Findings>().size() == 1);
    CHECK(watched.all<TargetEnd>().size() == 1);
    CHECK_FALSE(watched.engine->is_ending(child.pid()));
}

TEST_CASE("a finding whose names took longer than the end of its target could wait is reported all the same")
{
    Watched watched(true);
    const Child child;
    watched.add(child.pid());
    auto slow = dispatch(child.pid(), 41, monotonic_ns(), 250 * ms);
    SampleEvent sample;
    sample.head = slow.head;
    sample.stack.bytes = {1, 2, 3};
    watched.source.queue = {sample, slow};
    watched.turn();
    watched.engine->remove(child.pid(), "exited");
    watched.engine->turn(monotonic_ns() + 6'000 * ms);
    CHECK(watched.all<TargetEnd>().size() == 1);
    CHECK(watched.all<Findings>().empty());
    while (watched.worker.pending()) watched.worker.poll();
    CHECK(watched.all<Findings>().size() == 1);
}

TEST_CASE("the thread of a target that has ended is sampled no more, though its findings wait for names")
{
    Watched watched(true);
    const Child child;
    auto& target = watched.add(child.pid());
    const auto now = monotonic_ns();
    auto slow = dispatch(child.pid(), 39, now - 80 * ms, 250 * ms);
    SampleEvent sample;
    sample.head = slow.head;
    sample.stack.bytes = {1, 2, 3};
    watched.source.queue = {sample, slow};
    run(target, 41, now - 80 * ms);
    watched.engine->turn(now);
    CHECK(watched.source.samplings == 1);
    watched.engine->remove(child.pid(), "exec");
    CHECK(watched.engine->is_ending(child.pid()));
    CHECK(watched.source.samplings == 0);
}

TEST_CASE("targets that come and go leave nothing")
{
    Watched watched;
    const Child child;
    for (int i = 0; i < 10'000; ++i) {
        auto& target = watched.add(child.pid());
        const auto tid = looper + static_cast<std::uint32_t>(i % 100);
        SampleEvent sample;  // of a dispatch that was not slow
        sample.head = {monotonic_ns(), child.pid(), tid, 3, 5};
        sample.stack.bytes.resize(100);
        auto slow = dispatch(child.pid(), 7, monotonic_ns(), 150 * ms);
        slow.head.tid = tid;
        watched.source.queue = {sample, slow};
        target.slot.seq = 2;
        watched.engine->turn(monotonic_ns());
        watched.engine->remove(child.pid(), "exited");
        watched.reports.clear();
    }
    CHECK(watched.engine->targets().empty());
    CHECK(watched.engine->bytes() == 0);
    CHECK(watched.engine->losses()["dispatch_book"] == 0);
}
