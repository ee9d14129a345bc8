// SPDX-License-Identifier: Apache-2.0
//
// What the kernel side reports of loops without probes: where they wait, which of these waits are the loop's own, and
// what iterations between them were blocked in.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "kernel_side.hpp"
#include "util/wall_clock.hpp"

using namespace kernel_side;
using namespace loopwatch;

namespace {

UnprobedSite site_of(const WaitEvent& wait, std::uint64_t object)
{
    const auto& registers = wait.stack.registers;
    return {registers.pc(), registers.sp(), object, static_cast<std::uint32_t>(wait.syscall)};
}

UnprobedSite site_of(const SleepingThread& sleeper)
{
    return {sleeper.registers.pc(), sleeper.registers.sp(), sleeper.args[0],
            static_cast<std::uint32_t>(sleeper.syscall)};
}

// A child whose loop is known and idles at its epoll_wait.
struct Watched {
    explicit Watched(const KernelOptions& options = options_of()) : session(options)
    {
        REQUIRE(session.kernel().admit(child.pid(), thresholds));
        REQUIRE(loops().watch(child.pid()));
        own = site_of(asleep());
    }
    // Its thread, as it sleeps in its epoll_wait.
    SleepingThread asleep()
    {
        child.is_asleep(SYS_epoll_wait);
        const auto sleepers = loops().sleepers(child.pid());
        REQUIRE(sleepers.size() == 1);
        return sleepers[0];
    }
    void enter()
    {
        const KnownSite known = {own, true};
        REQUIRE(loops().enter(child.pid(), child.tid(), {&known, 1}, 0, UnprobedLoops::no_end));
    }
    UnprobedLoops& loops() { return session.unprobed(); }
    std::uint64_t seq() { return loops().seq(child.tid()).value_or(0); }

    Child child{LoopKind::plain};
    Session session;
    UnprobedSite own;
};

}  // namespace

TEST_CASE("threads of a process that sleep are listed with their call, its arguments and where they are")
{
    Watched watched;
    const auto before = watched.asleep();
    CHECK(before.tid == watched.child.tid());
    CHECK(before.syscall == SYS_epoll_wait);
    CHECK(before.state == 1);
    CHECK(before.registers.pc() != 0);
    watched.child.does(Act::nothing);
    const auto after = watched.asleep();
    CHECK(after.switches > before.switches);
    CHECK(after.registers.sp() == before.registers.sp());

    watched.child.ask(Act::thread);
    REQUIRE(watched.session.until([&] { return watched.loops().sleepers(watched.child.pid()).size() == 2; }));
    watched.child.release();
    watched.child.answered();
    CHECK(watched.loops().sleepers(0x3fffff).empty());
}

TEST_CASE("a wait of a thread that runs no known loop is asked about, once, with its stack")
{
    Watched watched;
    for (int i = 0; i < 3; ++i) {
        watched.child.does(Act::nothing);
        watched.child.is_asleep(SYS_epoll_wait);
    }
    REQUIRE(watched.session.has<WaitEvent>(watched.child.tid()));
    const auto waits = watched.session.of<WaitEvent>(watched.child.tid());
    REQUIRE(waits.size() == 1);
    CHECK(waits[0].syscall == SYS_epoll_wait);
    CHECK(waits[0].args[0] == watched.own.object);
    CHECK(waits[0].stack.registers.pc() == watched.own.ip);
    CHECK(waits[0].stack.registers.sp() == watched.own.sp);
    CHECK(waits[0].stack.bytes.size() > 100);

    const auto last = watched.loops().last_wait(watched.child.tid(), watched.own);
    REQUIRE(last);
    CHECK(last->slept);
    CHECK(last->came_ns >= waits[0].head.time_ns);
    auto elsewhere = watched.own;
    elsewhere.sp += 8;
    CHECK_FALSE(watched.loops().last_wait(watched.child.tid(), elsewhere));
    CHECK_FALSE(watched.loops().last_wait(0x3fffff, watched.own));

    watched.loops().ask_again(watched.child.tid(), watched.own);
    watched.child.does(Act::nothing);
    CHECK(watched.session.has<WaitEvent>(watched.child.tid(), 2));
}

TEST_CASE("no wait of a process is asked about that is not watched, or not any more")
{
    Child other(LoopKind::plain);
    Watched watched;
    REQUIRE(watched.loops().watch(watched.child.pid()));  // twice is once
    watched.loops().dismiss(watched.child.pid());
    watched.loops().dismiss(watched.child.pid());
    for (auto* child : {&other, &watched.child}) {
        child->does(Act::nothing);
        child->is_asleep(SYS_epoll_wait);
    }
    watched.session.drain();
    CHECK(watched.session.of<WaitEvent>(other.tid()).empty());
    CHECK(watched.session.of<WaitEvent>(watched.child.tid()).empty());
}

TEST_CASE("an iteration of a plain loop that sleeps is reported once, with its system call and how long it slept")
{
    Watched watched;
    watched.enter();
    CHECK(watched.loops().has_site(watched.child.tid(), watched.own));
    CHECK(watched.seq() % 2 == 0);
    watched.child.does(Act::nap);
    REQUIRE(watched.session.has<DispatchEvent>(watched.child.tid()));
    const auto dispatch = watched.session.of<DispatchEvent>(watched.child.tid())[0];
    CHECK(dispatch.slow);
    CHECK(dispatch.end_ns - dispatch.start_ns >= nap_ns);
    CHECK(dispatch.blocked_ns >= nap_ns);
    CHECK_FALSE(dispatch.unclear);
    CHECK(dispatch.waits.empty());
    CHECK(watched.loops().saw_begin(watched.child.tid(), dispatch.head.seq));
    CHECK_FALSE(watched.loops().undecided(watched.child.tid()));
    const auto places = watched.session.places_of(watched.child.tid());
    REQUIRE(places.size() == 1);
    CHECK(places[0].syscall == SYS_clock_nanosleep);
    CHECK(places[0].longest_ns >= nap_ns);

    const auto state = watched.loops().slot(watched.child.tid());
    REQUIRE(state);
    CHECK(state->iterations >= 1);
    CHECK(state->max_ticks >= nap_ns);
    CHECK(state->tid == watched.child.tid());
    CHECK(watched.loops().ends_at(watched.child.tid(), watched.own) >= 1);
    CHECK(watched.loops().take_awake_ns(watched.child.tid(), monotonic_ns()) >= nap_ns);
}

TEST_CASE("two naps of one callback are two places, neither lost")
{
    Watched watched;
    watched.enter();
    watched.child.does(Act::nap_twice);
    REQUIRE(watched.session.has<DispatchEvent>(watched.child.tid()));
    const auto places = watched.session.places_of(watched.child.tid());
    REQUIRE(places.size() == 2);
    CHECK(std::ranges::all_of(places, [](const SourceEvent& one) { return one.longest_ns >= nap_ns; }));
    CHECK(watched.session.of<DispatchEvent>(watched.child.tid())[0].blocked_ns >= 2 * nap_ns);
    CHECK(watched.session.kernel().losses().at("sources_overflow") == 0);
}

TEST_CASE("a poll within a callback is asked about, and counts as blocked once it is judged to be no wait of the loop")
{
    Watched watched;
    watched.enter();
    const auto tid = watched.child.tid();
    watched.child.ask(Act::poll_within);
    REQUIRE(watched.session.has<WaitEvent>(tid));
    const auto wait = watched.session.of<WaitEvent>(tid)[0];
    CHECK(wait.syscall == SYS_poll);
    CHECK(wait.polled.size() == 2);
    const auto nested = site_of(wait, 0);
    REQUIRE(watched.session.until([&] { return watched.loops().has_site(tid, nested); }));
    REQUIRE(watched.session.until([&] { return watched.loops().undecided(tid); }));
    watched.loops().judge(tid, nested, false);
    CHECK_FALSE(watched.loops().undecided(tid));
    const auto since = wait.head.time_ns;
    REQUIRE(watched.session.until([&] { return monotonic_ns() > since + nap_ns; }));
    watched.child.release();
    watched.child.answered();
    REQUIRE(watched.session.has<DispatchEvent>(tid));
    const auto dispatch = watched.session.of<DispatchEvent>(tid)[0];
    CHECK(dispatch.blocked_ns >= nap_ns);
    CHECK(dispatch.waits.empty());
    CHECK(watched.loops().ends_at(tid, nested) == 0);
}

TEST_CASE("the same poll is a wait of the loop's own if it is judged so: no iteration was as long")
{
    Watched watched;
    watched.enter();
    const auto tid = watched.child.tid();
    watched.child.ask(Act::poll_within);
    REQUIRE(watched.session.has<WaitEvent>(tid));
    const auto wait = watched.session.of<WaitEvent>(tid)[0];
    const auto nested = site_of(wait, 0);
    REQUIRE(watched.session.until([&] { return watched.loops().undecided(tid); }));
    watched.loops().judge(tid, nested, true);
    REQUIRE(watched.session.until([&] { return monotonic_ns() > wait.head.time_ns + nap_ns; }));
    watched.child.release();
    watched.child.answered();
    watched.child.is_asleep(SYS_epoll_wait);
    const auto state = watched.loops().slot(tid);
    REQUIRE(state);
    CHECK(state->idle_ticks >= nap_ns);
    CHECK(watched.session.of<SourceEvent>(tid).empty());
}

TEST_CASE("a question without an answer is asked again")
{
    Watched watched;
    watched.enter();
    const auto tid = watched.child.tid();
    for (std::size_t asked = 1; asked <= 3; ++asked) {
        if (asked > 1) watched.loops().ask_unanswered(tid);
        watched.child.ask(Act::poll_within);
        REQUIRE(watched.session.has<WaitEvent>(tid, asked));
        watched.child.release();
        watched.child.answered();
    }
    // Without that, once is enough.
    watched.child.ask(Act::poll_within);
    watched.child.release();
    watched.child.answered();
    watched.session.drain();
    CHECK(watched.session.of<WaitEvent>(tid).size() == 3);
    watched.loops().ask_again(tid, site_of(watched.session.of<WaitEvent>(tid)[0], 0));
    watched.child.ask(Act::poll_within);
    CHECK(watched.session.has<WaitEvent>(tid, 4));
    watched.child.release();
    watched.child.answered();
}

TEST_CASE("a loop that polls without sleeping has iterations as long as its polls are watched")
{
    Watched watched;
    watched.enter();
    const auto tid = watched.child.tid();
    watched.loops().await_tracepoints();
    watched.child.does(Act::spin);
    const auto iterations = [&] { return watched.loops().slot(tid) ? watched.loops().slot(tid)->iterations : 0; };
    REQUIRE(watched.loops().watch_polls(false));  // they are not
    const auto before = iterations();
    REQUIRE(watched.session.until([&] { return watched.loops().take_awake_ns(tid, monotonic_ns()) > 5 * ms; }));
    CHECK(iterations() == before);

    REQUIRE(watched.loops().watch_polls(true));
    REQUIRE(watched.loops().watch_polls(true));
    REQUIRE(watched.loops().await_polls());
    CHECK(watched.session.until([&] { return iterations() > before + 100; }));
    CHECK(watched.loops().ends_at(tid, watched.own) > 100);
    REQUIRE(watched.loops().watch_polls(false));
}

TEST_CASE("a thread that hangs when it is found has an iteration whose begin was not seen")
{
    Watched watched;
    const auto tid = watched.child.tid();
    watched.child.ask(Act::wait);
    watched.child.is_asleep(SYS_read);
    const auto found_ns = monotonic_ns();
    REQUIRE(watched.loops().enter_hanging(watched.child.pid(), tid, UnprobedLoops::no_end));
    CHECK_FALSE(watched.loops().enter_hanging(watched.child.pid(), tid, UnprobedLoops::no_end));
    CHECK(watched.loops().seq(tid) == 1);
    CHECK_FALSE(watched.loops().saw_begin(tid, 1));
    CHECK(watched.loops().saw_begin(tid, 3));
    watched.loops().set_stack_end(tid, 0x7fff'0000'0000);
    CHECK(watched.loops().slot(tid)->stack_top == loop_frame(0x7fff'0000'0000));
    REQUIRE(watched.session.until([&] { return monotonic_ns() > found_ns + nap_ns; }));
    watched.child.release();
    watched.child.answered();
    // Its wait is not judged yet, and then is: what ended there lasted since it was found.
    REQUIRE(watched.session.until([&] { return watched.loops().has_site(tid, watched.own); }));
    watched.loops().judge(tid, watched.own, true);
    watched.child.does(Act::nothing);
    REQUIRE(watched.session.has<DispatchEvent>(tid));
    const auto dispatch = watched.session.of<DispatchEvent>(tid)[0];
    CHECK(dispatch.head.seq == 1);
    CHECK(dispatch.start_ns >= found_ns);
    CHECK(dispatch.end_ns - dispatch.start_ns >= nap_ns);

    watched.loops().withdraw(tid);
    CHECK_FALSE(watched.loops().slot(tid));
    CHECK_FALSE(watched.session.kernel().ongoing(tid));
    watched.loops().withdraw(tid);
}

TEST_CASE("the first thread of a program has an iteration that counts from where its loop turns out to begin")
{
    Watched watched;
    const auto tid = watched.child.tid();
    CHECK(watched.loops().begin_at(tid, 1).runq_ns == 0);  // not entered
    watched.child.ask(Act::wait);
    watched.child.is_asleep(SYS_read);
    REQUIRE(watched.loops().enter_starting(watched.child.pid(), tid));
    const auto begun_ns = monotonic_ns();
    const auto off = watched.loops().begin_at(tid, begun_ns);
    CHECK(off.stopped_ns == 0);
    const auto state = watched.loops().slot(tid);
    REQUIRE(state);
    CHECK(state->seq == 1);
    CHECK(state->start == begun_ns);
    // It cannot begin before it was watched.
    watched.loops().begin_at(tid, 1);
    CHECK(watched.loops().slot(tid)->start == begun_ns);
    watched.child.release();
    watched.child.answered();
}

TEST_CASE("the part of an iteration that began with a coroutine's resume names its body")
{
    auto options = options_of();
    options.coroutines = true;
    Watched watched(options);
    watched.enter();
    const auto file = this_program();
    const auto links =
        watched.session.kernel().attach_coroutines(watched.child.pid(), file.raw(), {{offset_of(body()), true}});
    REQUIRE(links);
    watched.child.does(Act::resume);
    const auto tid = watched.child.tid();
    REQUIRE(watched.session.has<DispatchEvent>(tid));
    const auto dispatch = watched.session.of<DispatchEvent>(tid)[0];
    CHECK(dispatch.coroutine.function == reinterpret_cast<std::uint64_t>(body()));
    CHECK(dispatch.blocked_ns >= nap_ns);
    CHECK(watched.loops().coroutine(tid, dispatch.head.seq).function == dispatch.coroutine.function);
    CHECK(watched.loops().coroutine(tid, dispatch.head.seq + 2).function == 0);
    auto cost = watched.session.kernel().cost();
    CHECK(cost.traps_of(Frequent::coroutines) == watched.session.kernel().trap_cost().stepped_ns);
}

TEST_CASE("a plain loop beyond the table's room is not entered, and is counted")
{
    auto options = options_of();
    options.max_loops = 1;
    Watched watched(options);
    watched.enter();
    const Child other(LoopKind::plain);
    REQUIRE(watched.session.kernel().admit(other.pid(), thresholds));
    REQUIRE(watched.loops().watch(other.pid()));
    CHECK_FALSE(watched.loops().enter_hanging(other.pid(), other.tid(), UnprobedLoops::no_end));
    CHECK(watched.session.kernel().losses().at("loops_untracked") == 1);
    const auto unknown = other.tid();
    CHECK_FALSE(watched.loops().slot(unknown));
    CHECK_FALSE(watched.loops().undecided(unknown));
    CHECK_FALSE(watched.loops().has_site(unknown, watched.own));
    CHECK(watched.loops().ends_at(unknown, watched.own) == 0);
    CHECK(watched.loops().take_awake_ns(unknown, monotonic_ns()) == 0);
    CHECK(watched.loops().coroutine(unknown, 1).frame == 0);
    CHECK(watched.loops().saw_begin(unknown, 1));

    watched.loops().forget(watched.child.tid());
    CHECK_FALSE(watched.loops().seq(watched.child.tid()));
}
