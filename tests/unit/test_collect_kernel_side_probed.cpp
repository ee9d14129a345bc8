// SPDX-License-Identifier: Apache-2.0
//
// What the kernel side reports of programs with probes: real children, blocked and burning for times that are known.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <utility>

#include "collect/probe_table.hpp"
#include "kernel_side.hpp"
#include "stack/module_scan.hpp"
#include "util/wall_clock.hpp"

using namespace kernel_side;
using namespace loopwatch;

namespace {

bool is_step(const StepEvent& step, std::string_view name)
{
    return step.probe == find_probe(name)->id;
}

std::ptrdiff_t steps_of(const std::vector<StepEvent>& steps, std::string_view name)
{
    return std::ranges::count_if(steps, [&](const StepEvent& step) { return is_step(step, name); });
}

struct Site {
    Fd file;
    std::uint64_t offset;
};

// Of libstdc++, as this program has it.
Site libstdcxx_throw()
{
    Dl_info library = {};
    REQUIRE(::dladdr(::dlsym(RTLD_DEFAULT, "__cxa_throw"), &library) != 0);
    Fd file(::open(library.dli_fname, O_RDONLY | O_CLOEXEC));
    const auto scan = scan_module(file.raw());
    REQUIRE(scan);
    REQUIRE(scan->throws != 0);
    return {std::move(file), scan->throws};
}

// One nap in a callback is one slow dispatch with one place, whatever the rung.
void reports_a_nap(AttachRung rung)
{
    const Child other(LoopKind::probed);
    Child child(LoopKind::probed);
    auto options = options_of();
    options.rung = rung;
    Session session(options);
    session.watch_probed(child);
    CHECK(session.kernel().rung() == rung);
    child.does(Act::nap);
    session.drain();

    const auto dispatches = session.of<DispatchEvent>(child.tid());
    REQUIRE(dispatches.size() == 1);
    CHECK(dispatches[0].slow);
    CHECK(dispatches[0].end_ns - dispatches[0].start_ns >= nap_ns);
    CHECK(dispatches[0].blocked_ns >= nap_ns);
    CHECK(dispatches[0].head.loop_id == child.loop_id());
    CHECK(dispatches[0].head.seq % 2 == 1);
    const auto blocks = session.of<SourceEvent>(child.tid());
    // A long block is reported as it ends, with the stack that its place has no more.
    CHECK(std::ranges::count_if(blocks, &SourceEvent::single) == 1);
    CHECK(blocks[0].stack.bytes.size() > 100);
    const auto places = session.places_of(child.tid());
    REQUIRE(places.size() == 1);
    CHECK(places[0].syscall == SYS_clock_nanosleep);
    CHECK(places[0].longest_ns >= nap_ns);
    CHECK(places[0].count == 1);
    CHECK(session.of<DispatchEvent>(other.tid()).empty());
}

}  // namespace

TEST_CASE("a callback that sleeps is reported once, with its system call and how long it slept")
{
    reports_a_nap(AttachRung::multi);
}

TEST_CASE("the same by a perf event for all processes, and by one bound to the process")
{
    reports_a_nap(AttachRung::perf_all);
    reports_a_nap(AttachRung::perf_pid);
}

TEST_CASE("a process that was not admitted is not reported, though a probe for all processes is in its file")
{
    Child watched(LoopKind::probed), other(LoopKind::probed);
    auto options = options_of();
    options.rung = AttachRung::perf_all;
    Session session(options);
    session.watch_probed(watched);
    other.does(Act::nap);
    session.drain();
    CHECK(session.events.empty());
    watched.does(Act::nap);
    session.drain();
    CHECK(session.of<DispatchEvent>(watched.tid()).size() == 1);
}

TEST_CASE("each target has thresholds of its own, which may change")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child, never);
    child.does(Act::nap);
    session.drain();
    CHECK(session.of<DispatchEvent>(child.tid()).empty());

    REQUIRE(session.kernel().admit(child.pid(), thresholds));
    child.does(Act::nap);
    session.drain();
    CHECK(session.of<DispatchEvent>(child.tid()).size() == 1);
}

TEST_CASE("a process that was dismissed is not reported any more, and its loop is forgotten")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    REQUIRE(session.kernel().ongoing(child.tid()));
    session.kernel().dismiss(child.pid());
    CHECK_FALSE(session.kernel().ongoing(child.tid()));
    child.does(Act::nap);
    session.drain();
    CHECK(session.events.empty());
}

TEST_CASE("a dispatch that goes on is blocked at the place where its thread sleeps, and names who woke it")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    child.ask(Act::wait);
    REQUIRE(session.until([&] {
        const auto now = session.kernel().ongoing(child.tid());
        return now && now->off == OffCpu::blocked;
    }));
    const auto now = session.kernel().ongoing(child.tid());
    REQUIRE(now);
    REQUIRE(now->places.size() == 1);
    CHECK(now->place == 0);
    CHECK(now->places[0].syscall == SYS_read);
    CHECK(now->places[0].head.tid == child.tid());
    CHECK(now->places[0].stack.registers.pc() != 0);
    CHECK(now->off_ns != 0);
    CHECK(session.of<DispatchEvent>(child.tid()).empty());

    // As long as the threshold: known from outside, by the time that it has been off its CPU.
    REQUIRE(session.until([&] { return monotonic_ns() > now->off_ns + nap_ns; }));
    child.release();
    child.answered();
    session.drain();
    const auto places = session.of<SourceEvent>(child.tid());
    REQUIRE(!places.empty());
    CHECK(places[0].syscall == SYS_read);
    CHECK(places[0].longest_ns >= nap_ns);
    CHECK(places[0].waker.pid == static_cast<std::uint32_t>(::getpid()));
    CHECK_FALSE(session.kernel().ongoing(1));
}

TEST_CASE("a thread is sampled in its dispatch, at the code that burns")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    const auto sampling = session.kernel().sample(child.tid(), 5 * ms);
    REQUIRE(sampling);
    child.does(Act::burn);
    session.drain();
    const auto samples = session.of<SampleEvent>(child.tid());
    CHECK(samples.size() >= 2);
    CHECK(samples.size() <= nap_ns / (5 * ms) + 2);
    CHECK(std::ranges::all_of(samples, [](const SampleEvent& one) {
        return one.stands_for_ns == 5 * ms && one.head.seq % 2 == 1 && !one.stack.bytes.empty();
    }));
    const auto dispatches = session.of<DispatchEvent>(child.tid());
    REQUIRE(dispatches.size() == 1);
    CHECK(dispatches[0].blocked_ns < nap_ns);
}

TEST_CASE("a thread that is gone cannot be sampled, and the error says what failed")
{
    Session session(options_of());
    const auto sampling = session.kernel().sample(0x3fffff, 5 * ms);
    REQUIRE_FALSE(sampling);
    CHECK(sampling.error().what == "opening a cpu-clock event: No such process");
}

TEST_CASE("a loop that starts later enters by its probe, and reports what it counted when it stops")
{
    Child child(LoopKind::probed, false);
    Session session(options_of());
    REQUIRE(session.kernel().admit(child.pid(), thresholds));
    const auto links = session.attach(ProbeGate::watch, child.pid());
    child.begin();
    REQUIRE(session.has<LoopStartedEvent>(child.tid()));
    CHECK(session.of<LoopStartedEvent>(child.tid())[0].slot == child.slot());
    CHECK(session.of<LoopStartedEvent>(child.tid())[0].head.loop_id == child.loop_id());
    child.does(Act::nap);
    child.does(Act::quit);
    REQUIRE(session.has<LoopStoppedEvent>(child.tid()));
    const auto state = session.of<LoopStoppedEvent>(child.tid())[0].state;
    REQUIRE(state);
    CHECK(state->max_ticks >= nap_ns);
    CHECK(state->loop_id == child.loop_id());
}

TEST_CASE("the end of a process is reported with its status, and of its loop")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    const auto pid = child.tid();
    child.does(Act::quit);
    child.ask(Act::nothing);
    REQUIRE(session.has<EndedEvent>(pid));
    const int status = session.of<EndedEvent>(pid)[0].status;
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 7));
    CHECK(child.end() == status);

    Child killed(LoopKind::probed);
    session.watch_probed(killed);
    const auto killed_pid = killed.tid();
    ::kill(killed.pid(), SIGKILL);
    REQUIRE(session.has<EndedEvent>(killed_pid));
    CHECK(WTERMSIG(session.of<EndedEvent>(killed_pid)[0].status) == SIGKILL);
    CHECK(session.of<ExitEvent>(killed_pid).size() == 1);
}

TEST_CASE("with trace each dispatch is a step that begins and one that ends, and the rest of a batch is not lost")
{
    Child child(LoopKind::probed);
    auto options = options_of();
    options.trace = true;
    Session session(options);
    session.watch_probed(child);
    auto links = session.attach(ProbeGate::trace, child.pid());
    for (int i = 0; i < 10; ++i) child.does(Act::nothing);
    child.does(Act::spin);  // it never sleeps, and so sends no batch itself
    detach(std::move(links));
    session.drain();
    session.kernel().drain_batches([&](const Event& event) { session.events.push_back(event); });
    const auto steps = session.of<StepEvent>(child.tid());
    CHECK(steps_of(steps, "dispatch_begin") == 11);
    CHECK(steps_of(steps, "dispatch_end") == 11);
    auto cost = session.kernel().cost();
    CHECK(cost.traps_of(Frequent::trace) >= 22 * session.kernel().trap_cost().simple_ns);
    CHECK(cost.traps_of(Frequent::coroutines) == 0);
    const auto before = session.events.size();
    session.kernel().drain_batches([&](const Event& event) { session.events.push_back(event); });
    CHECK(session.events.size() == before);
}

TEST_CASE("with debug an unretrieved exception comes with the stack of its throw")
{
    Child child(LoopKind::probed);
    auto options = options_of();
    options.debug = true;
    Session session(options);
    session.watch_probed(child);
    CHECK(session.kernel().cost().traps_of(Frequent::throws) == 0);
    const auto thrower = libstdcxx_throw();
    const auto links = session.kernel().attach_throw(child.pid(), thrower.file.raw(), thrower.offset);
    REQUIRE(links);
    child.does(Act::throws);
    session.drain();
    const auto steps = session.of<StepEvent>(child.tid());
    REQUIRE(steps_of(steps, "exception_unretrieved") == 1);
    CHECK(steps[0].text.view() == "left alone");
    const auto thrown = session.of<ThrownEvent>(child.tid());
    REQUIRE(thrown.size() == 1);
    CHECK(thrown[0].stack.bytes.size() > 100);
    auto cost = session.kernel().cost();
    CHECK(cost.traps_of(Frequent::throws) == session.kernel().trap_cost().simple_ns);
}
