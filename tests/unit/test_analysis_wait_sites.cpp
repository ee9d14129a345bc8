// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <catch2/catch.hpp>

#include "analysis/wait_sites.hpp"
#include "call_stack.hpp"

using namespace loopwatch;
using namespace loopwatch::call_stack;

TEST_CASE("the first wait for events of a thread is its loop's own")
{
    WaitSites sites;
    const auto verdicts = sites.judge(at(epoll_wait, 0x8000), stack(reactor));
    REQUIRE(verdicts.size() == 1);
    CHECK(verdicts[0].idle);
    CHECK(sites.is_loop(1));
    CHECK_FALSE(sites.is_loop(2));
    CHECK(sites.stack_end(at(epoll_wait, 0x8000)) == 0xff00);
    sites.forget(1);
    CHECK_FALSE(sites.is_loop(1));
}

TEST_CASE("a poll for the epoll whose events the loop then fetches is its own, whichever is seen first, and alone too")
{
    const bool fetch_first = GENERATE(false, true), alone = GENERATE(false, true);
    const auto idle = at(poll, 0x8e00, alone ? lone_poll : 0), fetch = at(epoll_wait, 0x8000, 5);
    WaitSites sites;
    const auto judge_poll = [&] {
        sites.judge(idle, stack({{"idle", 0x51, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}}), 0x1234,
                    alone ? std::vector<std::uint64_t>{5} : std::vector<std::uint64_t>{9, 5});
    };
    const auto judge_fetch = [&] {
        return sites.judge(fetch, stack({{"fetch_events", 0x11, 0x9000},
                                         {"fetch", 0x21, 0x9800},
                                         {"run", 0x32, 0x9900},
                                         {"main", 0x41, 0x9f00}}));
    };
    if (!fetch_first) judge_poll();
    const auto verdicts = judge_fetch();
    if (fetch_first) judge_poll();
    CHECK(sites.idles_at(idle));
    CHECK(sites.idles_at(fetch));
    const bool revised =
        std::ranges::any_of(verdicts, [&](const SiteVerdict& verdict) { return verdict.site == idle && verdict.idle; });
    CHECK(revised == (alone && !fetch_first));
    // What a callback polls for is its own.
    const auto callback =
        stack({{"ask", 0x71, 0x9500}, {"callback", 0x61, 0x9700}, {"run", 0x33, 0x9900}, {"main", 0x41, 0x9f00}});
    CHECK_FALSE(sites.judge(at(poll, 0x7000), callback, 0x1234, {7, 8}).front().idle);
}

TEST_CASE("what a callback waits in is not the loop's own, by whichever call and however deep")
{
    const bool stripped = GENERATE(false, true);
    WaitSites sites;
    sites.judge(at(epoll_wait, 0x8000), stack(reactor, stripped));
    const auto wait = [&](const WaitSite& site, std::initializer_list<Call> calls) {
        return sites.judge(site, stack(calls, stripped)).front().idle;
    };
    // Its stack pointer lies above the loop's own wait: Asio keeps its events below.
    CHECK_FALSE(
        wait(at(poll, 0x8f00),
             {{"handler", 0x51, 0x9100}, {"do_run_one", 0x22, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}}));
    // A loop of the same kind, run by a callback.
    CHECK_FALSE(wait(at(epoll_wait, 0x6000, 9), {{"reactor_run", 0x11, 0x7000},
                                                 {"do_run_one", 0x21, 0x7800},
                                                 {"run", 0x31, 0x7900},
                                                 {"handler", 0x52, 0x9100},
                                                 {"do_run_one", 0x22, 0x9800},
                                                 {"run", 0x31, 0x9900},
                                                 {"main", 0x41, 0x9f00}}));
    // A condition variable.
    CHECK_FALSE(
        wait(at(futex, 0x8e00),
             {{"handler", 0x53, 0x9100}, {"do_run_one", 0x22, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}}));
}

TEST_CASE("an idle thread of a pool parks in the function that runs the loop")
{
    const bool park_first = GENERATE(false, true);
    WaitSites sites;
    const auto park = at(futex, 0x9700);
    const auto parked = stack({{"loop", 0x23, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}}, true);
    const auto polled = stack(
        {{"reactor_run", 0x11, 0x9000}, {"loop", 0x21, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}}, true);
    if (park_first) {
        CHECK_FALSE(sites.judge(park, parked).front().idle);
        const auto verdicts = sites.judge(at(epoll_wait, 0x8000), polled);
        REQUIRE(verdicts.size() == 2);
        CHECK(verdicts[1].site == park);
        CHECK(verdicts[1].idle);
    } else {
        sites.judge(at(epoll_wait, 0x8000), polled);
        CHECK(sites.judge(park, parked).front().idle);
    }
    // Another thread of the pool, which has not polled yet.
    CHECK(sites.judge(at(futex, 0x1700, 0, 2), parked).front().idle);
}

TEST_CASE("a thread that only parks is no loop, whoever else is one")
{
    WaitSites sites;
    CHECK_FALSE(sites.judge(at(futex, 0x9700), stack({{"bioProcessBackgroundJobs", 0x23, 0x9800}})).front().idle);
    sites.judge(at(epoll_wait, 0x8000, 5, 2), stack(reactor));
    // Asio's resolver runs the same scheduler, to be blocked there.
    CHECK_FALSE(sites
                    .judge(at(futex, 0x1700, 0, 3), stack({{"do_run_one", 0x23, 0x1800},
                                                           {"run", 0x31, 0x1900},
                                                           {"work_scheduler_runner", 0x91, 0x1a00},
                                                           {"start", 0x92, 0x1b00}}))
                    .front()
                    .idle);
}

TEST_CASE("a thread that parks on the lock of a pool is of that pool")
{
    WaitSites sites;
    sites.judge(at(epoll_wait, 0x8000), stack(reactor));
    const auto park = [&](const WaitSite& site, const char* runner, std::uint64_t pc, std::uint64_t lock) {
        const auto parked = stack(
            {{"do_run_one", 0x23, site.sp + 0x100}, {runner, pc, site.sp + 0x200}, {"start", pc + 1, site.sp + 0x300}});
        return sites.judge(site, parked, lock).front().idle;
    };
    REQUIRE(sites
                .judge(at(futex, 0x9700),
                       stack({{"do_run_one", 0x23, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}}), 0x5000)
                .front()
                .idle);
    CHECK(park(at(futex, 0x1700, 0, 2), "inlined_run", 0x77, 0x5004));
    CHECK_FALSE(park(at(futex, 0x1700, 0, 3), "inlined_run", 0x77, 0x6000));
}

TEST_CASE("locks of a loop and of its pool are their own, a callback's are not")
{
    constexpr std::uint64_t condition = 0x5000, waiters = condition + 40, references = condition + 16, mutex = 0x4000;
    const auto parked = stack({{"do_run_one", 0x22, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}});
    const auto in_callback = stack({{"handler", 0x51, 0x9100}, {"do_run_one", 0x23, 0x9800}, {"main", 0x41, 0x9f00}});
    WaitSites sites;
    sites.judge(at(epoll_wait, 0x8000), stack(reactor));
    sites.judge(at(futex, 0x8400), parked, waiters);
    // Inside of the condition variable, by whomever.
    CHECK(sites.is_loops_own_lock(1, futex, references, in_callback));
    CHECK_FALSE(sites.is_loops_own_lock(1, futex, condition - 40, in_callback));
    CHECK_FALSE(sites.is_loops_own_lock(1, futex, condition + 48, in_callback));
    CHECK_FALSE(sites.is_loops_own_lock(1, poll, references, in_callback));
    CHECK_FALSE(WaitSites().is_loops_own_lock(1, futex, references, in_callback));
    // The mutex that a park takes again, but not the same mutex elsewhere, nor of another thread.
    CHECK(sites.is_loops_own_lock(1, futex, mutex, parked));
    CHECK_FALSE(sites.is_loops_own_lock(1, futex, mutex, in_callback));
    CHECK_FALSE(sites.is_loops_own_lock(2, futex, mutex, parked));
    // What a loop takes that is known by its name.
    CHECK(WaitSites().is_loops_own_lock(3, futex, mutex, stack({{"uv_run", 0x22, 0x9800}, {"main", 0x41, 0x9f00}})));
}

TEST_CASE("the function that calls the wait is the loop's, and what called it")
{
    const bool stripped = GENERATE(false, true);
    WaitSites sites;
    sites.judge(at(epoll_wait, 0x8000), stack(reactor, stripped));
    auto callback = stack({{"save", 0x61, 0x8800},
                           {"handle", 0x51, 0x9800 - 0x100},
                           {"do_run_one", 0x29, 0x9800},
                           {"run", 0x31, 0x9900},
                           {"main", 0x41, 0x9f00}},
                          stripped);
    Frame inlined;
    inlined.inlined = true;
    inlined.function = "on_ready";
    callback.insert(callback.begin() + 3, inlined);
    sites.mark_loop(2, callback);
    CHECK(std::ranges::none_of(callback, &Frame::of_loop));
    sites.mark_loop(1, callback);
    const std::vector<bool> expected{false, false, false, false, true, true, true, true};
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(callback[i].of_loop == expected[i]);
    auto cut = stack({{"save", 0x61, 0x8800}, {"do_run_one", 0x29, 0}}, stripped);
    cut.pop_back();
    sites.mark_loop(1, cut);
    CHECK_FALSE(cut[1].of_loop);
    CHECK(cut[2].of_loop != stripped);
    auto elsewhere = stack({{"resume", 0x61, 0x128800}, {"start", 0x51, 0x129000}}, stripped);
    elsewhere.pop_back();
    sites.mark_loop(1, elsewhere);
    CHECK(std::ranges::none_of(elsewhere, &Frame::of_loop));
}

TEST_CASE("a stack that tells nothing is asked for again")
{
    WaitSites sites;
    CHECK(sites.judge(at(epoll_wait, 0x8000), stack({})).empty());
    CHECK_FALSE(sites.knows(at(epoll_wait, 0x8000)));
    CHECK(sites.judge(at(epoll_wait, 0x8000), stack(reactor)).front().idle);
}

TEST_CASE("a wait below getaddrinfo is never a loop's own, not even the first")
{
    WaitSites sites;
    auto frames = stack({{"handler", 0x51, 0x9100}});
    frames.insert(frames.begin() + 1, frames.front());
    frames[1].function = "getaddrinfo";
    CHECK_FALSE(sites.judge(at(poll, 0x8000), frames).front().idle);
}

TEST_CASE("the first wait that was seen may have been a callback's")
{
    WaitSites sites;
    const auto nested = at(epoll_wait, 0x6000, 9);
    const std::initializer_list<Call> inner = {{"io_poll", 0x11, 0x7000}, {"run", 0x21, 0x7800},
                                               {"spawn", 0x51, 0x8000},   {"io_poll", 0x12, 0x9000},
                                               {"run", 0x21, 0x9800},     {"main", 0x41, 0x9f00}};
    CHECK(sites.judge(nested, stack(inner)).front().idle);
    const auto verdicts = sites.judge(
        at(epoll_wait, 0x8f00, 5), stack({{"io_poll", 0x11, 0x9000}, {"run", 0x21, 0x9800}, {"main", 0x41, 0x9f00}}));
    REQUIRE(verdicts.size() == 2);
    CHECK(verdicts[0].idle);
    CHECK(verdicts[1].site == nested);
    CHECK_FALSE(verdicts[1].idle);
    CHECK_FALSE(sites.idles_at(nested));
}

TEST_CASE("a known loop that its own callback runs is nested, whoever waits first")
{
    const auto in_a_script = stack({{"", 0x11, 0x7000},
                                    {"processEventsWhileBlocked", 0x21, 0x7800},
                                    {"lua_pcall", 0x51, 0x8000},
                                    {"", 0x12, 0x9000},
                                    {"aeMain", 0x22, 0x9800},
                                    {"main", 0x41, 0x9f00}});
    WaitSites sites;
    CHECK(runs_a_loop_inside(in_a_script));
    CHECK(hangs_in_a_callback(in_a_script));
    CHECK_FALSE(sites.judge(at(epoll_wait, 0x6000, 5), in_a_script).front().idle);
    // One function of a loop calls another.
    CHECK_FALSE(runs_a_loop_inside(
        stack({{"aeProcessEvents", 0x12, 0x9000}, {"aeMain", 0x22, 0x9800}, {"main", 0x41, 0x9f00}})));
    CHECK_FALSE(runs_a_loop_inside(stack({{"QEventDispatcherUNIX::processEvents", 0x12, 0x9000},
                                          {"QEventLoop::processEvents", 0x22, 0x9400},
                                          {"QEventLoop::exec", 0x32, 0x9800}})));
}

TEST_CASE("a loop that is started again elsewhere is a loop still")
{
    WaitSites sites;
    sites.judge(at(epoll_wait, 0x8000), stack(reactor));
    CHECK(sites
              .judge(at(epoll_wait, 0x7f00), stack({{"reactor_run", 0x11, 0x8f00},
                                                    {"do_run_one", 0x21, 0x9700},
                                                    {"run", 0x31, 0x9800},
                                                    {"second_phase", 0x61, 0x9880},
                                                    {"main", 0x42, 0x9f00}}))
              .front()
              .idle);
}

TEST_CASE("glibc makes a call elsewhere once the program has threads: the same wait still")
{
    WaitSites sites;
    sites.judge(at(epoll_wait, 0x8000), stack(reactor));
    auto site = at(epoll_wait, 0x7ff8);
    site.ip += 0x43;
    CHECK(sites.judge(site, stack(reactor)).front().idle);
    CHECK(sites.idles_at(at(epoll_wait, 0x8000)));
}

TEST_CASE("a program that polls for something before its loop begins has a loop all the same")
{
    WaitSites sites;
    const auto connecting = at(poll, 0x9000);
    CHECK(sites.judge(connecting, stack({{"connect_both", 0x71, 0x9800}, {"main", 0x40, 0x9f00}})).front().idle);
    CHECK(sites.judge(at(epoll_wait, 0x8000), stack(reactor)).front().idle);
}

TEST_CASE(
    "a poll of one descriptor alone is a loop's in a function that is known to run one, or where it polls for several")
{
    const auto polled = [](const char* caller) { return stack({{caller, 0x21, 0x9800}, {"main", 0x41, 0x9f00}}); };
    CHECK_FALSE(WaitSites().judge(at(poll, 0x9700, lone_poll), polled("read_input")).front().idle);
    CHECK(WaitSites().judge(at(poll, 0x9700, lone_poll), polled("g_main_context_iteration")).front().idle);
    WaitSites sites;
    CHECK_FALSE(sites.judge(at(poll, 0x9700, lone_poll), polled("serve")).front().idle);
    const auto verdicts = sites.judge(at(poll, 0x9700), polled("serve"));
    REQUIRE(verdicts.size() == 2);
    CHECK(verdicts[0].idle);
    CHECK(verdicts[1].site == at(poll, 0x9700, lone_poll));
    CHECK(verdicts[1].idle);
    WaitSites other_order;
    other_order.judge(at(poll, 0x9700), polled("serve"));
    CHECK(other_order.judge(at(poll, 0x9700, lone_poll), polled("serve")).front().idle);
    // In a callback of it.
    CHECK_FALSE(other_order
                    .judge(at(poll, 0x9500, lone_poll),
                           stack({{"ask", 0x51, 0x9600}, {"serve", 0x25, 0x9800}, {"main", 0x41, 0x9f00}}))
                    .front()
                    .idle);
}

TEST_CASE("once its loop has returned to main, a thread is in no callback")
{
    WaitSites sites;
    sites.judge(at(epoll_wait, 0x8000), stack(reactor));
    CHECK(sites.left_loop(1, stack({{"main", 0x43, 0x9f00}})));
    CHECK(sites.left_loop(1, stack({{"shut_down", 0x81, 0x9700}, {"main", 0x44, 0x9f00}})));
    CHECK_FALSE(sites.left_loop(
        1,
        stack(
            {{"handler", 0x51, 0x9100}, {"do_run_one", 0x22, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}})));
    // Main waits for a thread to end, which is no wait of the loop's.
    auto joining = stack({{"main", 0x45, 0x9f00}});
    joining.front().function = "pthread_join";
    CHECK_FALSE(sites.judge(at(futex, 0x9e00), joining).front().idle);
    sites.judge(at(futex, 0x9e10), stack({{"main", 0x46, 0x9f00}}));
    CHECK(sites.left_loop(1, stack({{"main", 0x47, 0x9f00}})));
    // Main runs it step by step.
    sites.note_return(1);
    CHECK_FALSE(sites.left_loop(1, stack({{"main", 0x47, 0x9f00}})));
    // A loop that stands in main itself.
    WaitSites flat;
    flat.judge(at(epoll_wait, 0x8000), stack({{"main", 0x41, 0x9f00}}));
    CHECK_FALSE(flat.left_loop(1, stack({{"main", 0x42, 0x9f00}})));
}
