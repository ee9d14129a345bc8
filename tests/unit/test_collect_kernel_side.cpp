// SPDX-License-Identifier: Apache-2.0
//
// The kernel side as a whole: what it refuses, its limits and counts, what it costs, and the processes it reports.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>

#include <lw_event.h>

#include "collect/tracepoints.hpp"
#include "kernel_side.hpp"

using namespace kernel_side;
using namespace loopwatch;

namespace {

constexpr std::uint32_t invented = 0x30'0000;  // above pid_max's default of 32-bit numbers: no thread has it

std::uint64_t untracked(const Kernel& kernel)
{
    return kernel.losses().at("loops_untracked");
}

const std::vector<std::string> polls = {"syscalls/sys_enter_poll", "syscalls/sys_enter_epoll_wait"};

// In a mount namespace of its own, where tracefs is mounted nowhere.
template <class Look>
void without_tracefs(Look look)
{
    std::thread([&] {
        if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return;
        for (const auto* mount : {"/sys/kernel/debug/tracing", "/sys/kernel/tracing"})
            while (::umount2(mount, MNT_DETACH) == 0) {
            }
        ::umount2("/sys/kernel/debug", MNT_DETACH);
        look();
    }).join();
}

}  // namespace

TEST_CASE("without privileges the error is that of permissions, and its hint names what it takes")
{
    const Without nothing(all_capabilities);
    const auto kernel = Kernel::open(options_of());
    REQUIRE_FALSE(kernel);
    CHECK(kernel.error().code == ExitCode::not_permitted);
    CHECK(kernel.error().what == "loading the BPF programs: Operation not permitted");
    CHECK(kernel.error().hint == "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
}

TEST_CASE("a table of no loops cannot be made, which is no matter of permissions")
{
    auto options = options_of();
    options.max_loops = 0;
    const auto kernel = Kernel::open(options);
    REQUIRE_FALSE(kernel);
    CHECK(kernel.error().code == ExitCode::failed);
    CHECK(kernel.error().what.starts_with("loading the BPF programs: Invalid argument"));
}

TEST_CASE("1024 processes are admitted, and one more is refused with the number")
{
    Session session(options_of());
    for (pid_t pid = 1; pid <= 1024; ++pid) REQUIRE(session.kernel().admit(pid, thresholds));
    const auto more = session.kernel().admit(1025, thresholds);
    REQUIRE_FALSE(more);
    CHECK(more.error().what.starts_with("admitting a process: "));
    CHECK(more.error().hint == "at most 1024 processes can be watched at once");
    session.kernel().dismiss(1);
    CHECK(session.kernel().admit(1025, thresholds));
}

TEST_CASE("rungs have names, and the best one can be attached by")
{
    CHECK(rung_name(AttachRung::multi) == std::string("multi"));
    CHECK(rung_name(AttachRung::perf_all) == std::string("perf-all"));
    CHECK(rung_name(AttachRung::perf_pid) == std::string("perf-pid"));
    CHECK(rung_name(AttachRung::none) == std::string("none"));
    auto options = options_of();
    options.rung = best_rung();
    options.coroutines = true;
    CHECK(options.rung != AttachRung::none);
    Session session(options);
    const auto file = this_program();
    const auto links = session.kernel().attach_coroutines(::getpid(), file.raw(), {{offset_of(body()), false}});
    REQUIRE(links);
    CHECK(links->size() == 1);
}

TEST_CASE("without privileges the best rung is that of older kernels")
{
    const Without nothing(all_capabilities);
    CHECK(best_rung() == AttachRung::perf_all);
}

TEST_CASE("no site, and no rung, is attached to without an error")
{
    auto options = options_of();
    options.rung = AttachRung::none;
    Session session(options);
    const auto file = this_program();
    const auto none = session.kernel().attach_coroutines(::getpid(), file.raw(), {{offset_of(body()), false}});
    REQUIRE(none);
    CHECK(none->empty());
    CHECK(session.attach(ProbeGate::watch, ::getpid()).empty());
}

TEST_CASE("an offset beyond the file is refused, by every rung")
{
    for (const auto& [rung, error] : {std::pair(AttachRung::multi, "attaching 1 probe sites: "),
                                      std::pair(AttachRung::perf_pid, "attaching a probe site: ")}) {
        auto options = options_of();
        options.rung = rung;
        options.coroutines = true;
        Session session(options);
        const auto file = this_program();
        const auto links = session.kernel().attach_coroutines(::getpid(), file.raw(), {{1ull << 40, false}});
        REQUIRE_FALSE(links);
        CHECK(links.error().what.starts_with(error));
        // What hits of it would cost is measured by its own rung.
        CHECK(session.kernel().trap_cost().simple_ns > 0);
        CHECK(session.kernel().trap_cost().simple_ns < session.kernel().trap_cost().stepped_ns * 2);
    }
}

TEST_CASE("where nothing can be attached to, hits are taken to cost what they typically do")
{
    auto options = options_of();
    options.coroutines = true;
    options.rung = AttachRung::none;
    Session session(options);
    CHECK(session.kernel().trap_cost().simple_ns == TrapCost{}.simple_ns);
    CHECK(session.kernel().trap_cost().stepped_ns == TrapCost{}.stepped_ns);
}

TEST_CASE("a table of loops has room for as many as it was made for, and counts the others")
{
    auto options = options_of();
    options.max_loops = 4;
    Session session(options);
    auto& kernel = session.kernel();
    for (std::uint32_t loop = 0; loop < 4; ++loop) kernel.enter_loop(7, invented + loop, 0x1000, loop);
    CHECK(untracked(kernel) == 0);
    kernel.enter_loop(7, invented, 0x1000, 0);
    CHECK(untracked(kernel) == 0);
    kernel.enter_loop(7, invented + 4, 0x1000, 4);
    CHECK(untracked(kernel) == 1);
    CHECK(kernel.ongoing(invented));
    CHECK_FALSE(kernel.ongoing(invented + 4));
    kernel.count_untracked();
    CHECK(untracked(kernel) == 2);

    kernel.dismiss(7);
    CHECK_FALSE(kernel.ongoing(invented));
    kernel.enter_loop(7, invented + 4, 0x1000, 4);
    CHECK(kernel.ongoing(invented + 4));
}

TEST_CASE("of three processes none takes the room that is kept for the others' first four loops")
{
    auto options = options_of();
    options.max_loops = 32;
    Session session(options);
    auto& kernel = session.kernel();
    for (pid_t pid = 1; pid <= 3; ++pid) REQUIRE(kernel.admit(pid, thresholds));
    for (std::uint32_t loop = 0; loop < 40; ++loop) kernel.enter_loop(1, invented + loop, 0x1000, loop);
    CHECK(untracked(kernel) == 40 - (32 - 8));
    for (std::uint32_t loop = 0; loop < 4; ++loop) {
        kernel.enter_loop(2, invented + 100 + loop, 0x1000, loop);
        kernel.enter_loop(3, invented + 200 + loop, 0x1000, loop);
    }
    CHECK(kernel.ongoing(invented + 103));
    CHECK(kernel.ongoing(invented + 203));
    CHECK(untracked(kernel) == 40 - (32 - 8));
}

TEST_CASE("records are handed over as many at a time as are asked for, and their bytes are counted")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    for (int i = 0; i < 3; ++i) child.does(Act::nap);
    std::size_t records = 0;
    const auto count = [&](const Event&) { ++records; };
    CHECK(session.kernel().ring_bytes() == 8u << 20);
    CHECK(session.kernel().drained_bytes() == 0);
    CHECK(session.kernel().drain(1, count));
    CHECK(records == 1);
    const auto bytes = session.kernel().drained_bytes();
    CHECK(bytes > 0);
    CHECK_FALSE(session.kernel().drain(256, count));
    CHECK(records == 9);  // of each a block, its dispatch, and what that was blocked in
    CHECK(session.kernel().drained_bytes() > bytes);
    CHECK_FALSE(session.kernel().drain(256, count));
}

TEST_CASE("each loss has its name, and a quiet session has none")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    child.does(Act::nap);
    session.drain();
    const auto losses = session.kernel().losses();
#define X(name, doc) CHECK(losses.contains(#name));
    LW_LOSSES(X)
#undef X
    CHECK(losses.at("ring_full") == 0);
    CHECK(losses.at("record_undecodable") == 0);
    CHECK(losses.at("dispatch_stateless") == 0);
    CHECK(losses.contains("program_missed"));
}

TEST_CASE("a slow dispatch of a loop that was never entered is counted as lost")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    REQUIRE(session.kernel().admit(child.pid(), thresholds));
    const auto links = session.attach(ProbeGate::watch, child.pid());
    child.does(Act::nap);
    session.drain();
    CHECK(session.of<DispatchEvent>(child.tid()).empty());
    CHECK(session.kernel().losses().at("dispatch_stateless") == 1);
}

TEST_CASE("its cost is counted by runs, at typical prices until they are measured")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    auto& kernel = session.kernel();
    kernel.finish_calibration();  // was not begun
    for (int i = 0; i < 50; ++i) child.does(Act::nothing);
    const auto typical = kernel.cost();
    CHECK(typical.map_bytes > 1u << 20);
    CHECK(typical.runs >= 100);                 // there and back
    CHECK(typical.ns >= typical.runs * 30);     // of the cheapest program
    CHECK(typical.ns <= typical.runs * 3'000);  // and of the dearest

    kernel.start_calibration();
    for (int i = 0; i < 200; ++i) child.does(Act::nothing);
    const auto before = kernel.cost();
    CHECK(before.runs >= typical.runs + 400);
    kernel.finish_calibration();
    const auto after = kernel.cost();
    // The same runs have other prices, which those between the two do not explain: switches, at most 400 ns each.
    CHECK(after.ns > 0);
    CHECK((after.ns < before.ns || after.ns > before.ns + (after.runs - before.runs) * 400));
}

TEST_CASE("while the watchdog sleeps, a loop that runs again says so, once")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    child.does(Act::nothing);
    child.is_asleep(SYS_epoll_wait);
    session.drain();
    CHECK(session.of<WakeEvent>(child.tid()).empty());
    session.kernel().set_watchdog_asleep(true);
    for (int i = 0; i < 3; ++i) child.does(Act::nothing);
    session.drain();
    CHECK(session.of<WakeEvent>(child.tid()).size() == 1);
    session.kernel().set_watchdog_asleep(false);
    child.does(Act::nothing);
    session.drain();
    CHECK(session.of<WakeEvent>(child.tid()).size() == 1);
}

TEST_CASE("children of a watched process are reported with their parent, if they are asked for")
{
    for (const bool asked : {false, true}) {
        Child child(LoopKind::probed);
        auto options = options_of();
        options.report_children = asked;
        options.follow_children = asked;
        Session session(options);
        session.watch_probed(child);
        child.does(Act::fork);
        session.drain();
        const auto is_its_child = [&](const Event& event) {
            const auto* forked = std::get_if<ChildEvent>(&event);
            return forked && forked->head.tid == child.tid() && forked->head.pid != child.tid();
        };
        CHECK(std::ranges::count_if(session.events, is_its_child) == asked);
    }
}

TEST_CASE("a process that executes another program is reported, and has no loop any more")
{
    Child child(LoopKind::probed);
    Session session(options_of());
    session.watch_probed(child);
    const auto pid = child.tid();
    child.ask(Act::exec);
    REQUIRE(session.has<ExecEvent>(pid));
    CHECK_FALSE(session.kernel().ongoing(pid));
    REQUIRE(session.has<EndedEvent>(pid));
    CHECK(session.of<EndedEvent>(pid)[0].status == 0);
    CHECK(child.end() == 0);
}

TEST_CASE("processes of a name are reported when they begin, though none is watched")
{
    Child child(LoopKind::plain);
    auto options = options_of();
    options.name = "true";
    Session session(options);
    const auto pid = child.tid();
    child.ask(Act::exec);
    REQUIRE(session.has<ExecEvent>(pid));
    CHECK(child.end() == 0);
    session.drain();
    CHECK(session.of<EndedEvent>(pid).empty());
}

TEST_CASE("with kernel stacks a place has one, and the path that a call was given is read")
{
    Child child(LoopKind::probed);
    auto options = options_of();
    options.kernel_stacks = true;
    options.path_argument = [](std::size_t) { return std::uint8_t{0}; };
    Session session(options);
    session.watch_probed(child);
    child.ask(Act::wait);
    REQUIRE(session.until([&] {
        const auto now = session.kernel().ongoing(child.tid());
        return now && now->off == OffCpu::blocked && !now->places.empty();
    }));
    const auto now = session.kernel().ongoing(child.tid());
    REQUIRE(now);
    CHECK(now->places[0].kernel_stack.size() > 2);
    CHECK((now->places[0].file.mode & S_IFMT) == S_IFIFO);
    child.release();
    child.answered();
}

TEST_CASE("tracepoints are found by name, and those that the kernel lacks are left out")
{
    const auto both = find_tracepoints(polls);
    REQUIRE(both);
    CHECK(both->size() == 2);
    CHECK((*both)[0] != (*both)[1]);
    const auto one = find_tracepoints({"syscalls/sys_enter_nonexistent", polls[1]});
    REQUIRE(one);
    CHECK(*one == std::vector<std::uint64_t>{(*both)[1]});
    const auto none = find_tracepoints({"syscalls/sys_enter_nonexistent"});
    REQUIRE_FALSE(none);
    CHECK(none.error().hint == "it needs CONFIG_FTRACE_SYSCALLS");
}

TEST_CASE("tracepoints are found where tracefs is not mounted, with the privilege to open it")
{
    const auto here = find_tracepoints(polls);
    REQUIRE(here);
    std::optional<Result<std::vector<std::uint64_t>>> privileged, unprivileged;
    without_tracefs([&] {
        privileged.emplace(find_tracepoints(polls));
        const Without admin(1ull << CAP_SYS_ADMIN);
        unprivileged.emplace(find_tracepoints(polls));
    });
    REQUIRE(privileged);
    REQUIRE(*privileged);
    CHECK(**privileged == *here);
    REQUIRE_FALSE(*unprivileged);
    CHECK(unprivileged->error().what.starts_with("opening tracefs: "));
    CHECK(unprivileged->error().hint == "mount -t tracefs tracefs /sys/kernel/tracing");
}

TEST_CASE("a tracepoint that does not exist cannot be attached to")
{
    const auto links = attach_tracepoints(nullptr, {0xffff'ffff});
    REQUIRE_FALSE(links);
    CHECK(links.error().what.starts_with("attaching to a tracepoint: "));
}
