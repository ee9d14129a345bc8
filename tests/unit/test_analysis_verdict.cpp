// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "analysis/fingerprint.hpp"
#include "analysis/verdict.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;

Frame frame(std::string function, std::string file = {}, std::uint32_t line = 0,
            std::string module = "/srv/order_server")
{
    Frame f;
    f.function = std::move(function);
    f.file = std::move(file);
    f.line = line;
    f.module = std::move(module);
    return f;
}

const Frame sync_frame = frame("fsync", {}, 0, "/lib/x86_64-linux-gnu/libc.so.6");
const Frame flush = frame("Store::flush(int)", "/home/me/src/store.cpp", 42);

using Args = std::vector<std::pair<std::string, std::string>>;

Source source(Kind kind, std::uint64_t duration_ns, std::string call = {}, Args args = {},
              std::vector<Frame> stack = {})
{
    Source s;
    s.kind = kind;
    s.call = std::move(call);
    s.args = std::move(args);
    s.duration_ns = duration_ns;
    s.stack = std::move(stack);
    return s;
}

Source released(Source s, std::string comm, WokenBy by = WokenBy::thread)
{
    s.waker = Waker{4000, 4711, std::move(comm), {}};
    s.woken_by = by;
    return s;
}

TaskInfo save17()
{
    TaskInfo task;
    task.id = "17";
    task.name = "save";
    return task;
}

std::string verdict(std::uint64_t duration_ns, std::vector<Source> sources, std::optional<Impact> impact = std::nullopt)
{
    SlowCallback slow;
    slow.subject.pid = 4000;
    slow.duration_ns = duration_ns;
    slow.loop = {"1", "main"};
    slow.task = save17();
    slow.sources = std::move(sources);
    slow.impact = impact;
    return verdict_of(slow);
}

const Source fsync_source =
    source(Kind::file_io, 250 * ms, "fsync", {{"fd", "7"}, {"path", "/var/lib/x.db"}}, {sync_frame, flush});

}  // namespace

TEST_CASE("the verdict of the README")
{
    CHECK(verdict(312 * ms, {fsync_source, source(Kind::cpu, 40 * ms), source(Kind::run_queue, 22 * ms)},
                  Impact{14, 310 * ms, 0}) ==
          "save#17 held loop main for 312 ms: 250 ms in fsync(7 → /var/lib/x.db) at store.cpp:42 (Store::flush), 40 ms "
          "on CPU, "
          "22 ms waiting for a CPU; 14 tasks waited up to 310 ms.");
}

TEST_CASE("each kind has its words")
{
    const auto lock = source(Kind::lock, 60 * ms, "pthread_mutex_lock", {{"lock", "0x55d0"}}, {flush});
    const auto [what, text] = GENERATE_COPY(table<Source, std::string>({
        {source(Kind::sleep, 60 * ms, "usleep", {{"requested_ns", "50000000"}}, {flush}),
         "in usleep(50 ms) at store.cpp:42 (Store::flush)"},
        {source(Kind::sleep, 60 * ms, "nanosleep"), "in nanosleep"},
        {lock, "in pthread_mutex_lock(0x55d0) at store.cpp:42 (Store::flush)"},
        {released(lock, "logger"),
         "in pthread_mutex_lock(0x55d0) at store.cpp:42 (Store::flush), released by thread logger (tid 4711)"},
        {released(lock, "logger", WokenBy::irq), "in pthread_mutex_lock(0x55d0) at store.cpp:42 (Store::flush)"},
        {released(lock, ""), "in pthread_mutex_lock(0x55d0) at store.cpp:42 (Store::flush)"},
        {released(source(Kind::sleep, 60 * ms, "usleep"), "logger"), "in usleep"},
        {source(Kind::file_lock, 60 * ms, "flock", {{"fd", "3"}, {"path", "/run/x"}}), "in flock(3 → /run/x)"},
        {source(Kind::pipe, 60 * ms, "write", {{"fd", "5"}, {"target", "pipe:[9]"}, {"bytes", "9"}}),
         "in write(5 → pipe)"},
        {source(Kind::pipe, 60 * ms, "read", {{"fd", "5"}, {"target", "fifo:/tmp/f"}}), "in read(5 → /tmp/f)"},
        {source(Kind::network, 60 * ms, "connect", {{"fd", "9"}, {"peer", "10.0.0.1:5432"}}),
         "in connect(9 → 10.0.0.1:5432)"},
        {source(Kind::network, 60 * ms, "recv", {{"fd", "9"}, {"target", "socket:[4]"}}), "in recv(9 → socket)"},
        {source(Kind::dns, 60 * ms, "getaddrinfo", {{"host", "db.internal"}}), "in getaddrinfo(db.internal)"},
        {source(Kind::process, 60 * ms, "system", {{"command", "ls -l"}}), "in system(ls -l)"},
        {source(Kind::process, 60 * ms, "waitpid", {{"pid", "99"}}), "in waitpid(pid 99)"},
        {source(Kind::process, 60 * ms, "wait4", {{"pid", "-1"}}), "in wait4"},
        {source(Kind::nested_wait, 60 * ms, "poll", {{"timeout_ns", "5000000000"}}),
         "in a nested wait, poll(time-out 5 s)"},
        {source(Kind::nested_wait, 60 * ms, "read", {{"fd", "4"}, {"target", "anon_inode:[eventfd]"}}),
         "in a nested wait, read(4 → eventfd)"},
        {source(Kind::page_fault, 60 * ms, "", {}, {flush}), "in page faults at store.cpp:42 (Store::flush)"},
        {source(Kind::io_uring, 60 * ms, "io_uring_enter", {{"fd", "8"}}), "in io_uring_enter(8)"},
        {source(Kind::other, 60 * ms, "getrandom"), "in getrandom"},
        {source(Kind::other, 60 * ms), "blocked elsewhere"},
        {source(Kind::cpu, 60 * ms), "on CPU"},
        {source(Kind::cpu, 60 * ms, "", {{"share_percent", "80"}}, {flush}),
         "on CPU, mostly in Store::flush at store.cpp:42"},
        {source(Kind::cpu, 60 * ms, "", {{"share_percent", "30"}}, {flush}),
         "on CPU, much of it in Store::flush at store.cpp:42"},
        {source(Kind::cpu, 60 * ms, "", {{"share_percent", "80"}}, {frame("hash(int)")}), "on CPU, mostly in hash"},
        {released(source(Kind::pipe, 60 * ms, "read", {{"fd", "5"}, {"target", "pipe:[9]"}}), "logger"),
         "in read(5 → pipe), ended by thread logger (tid 4711)"},
        {released(source(Kind::sleep, 60 * ms, "nanosleep"), "logger"), "in nanosleep"},
        {source(Kind::run_queue, 60 * ms), "waiting for a CPU"},
        {source(Kind::run_queue, 60 * ms, "", {{"preempted_by", "ffmpeg"}, {"preempted_by_pid", "77"}}),
         "waiting for a CPU, preempted by ffmpeg (pid 77)"},
        {source(Kind::run_queue, 60 * ms, "",
                {{"preempted_by", "ffmpeg"}, {"preempted_by_pid", "77"}, {"preempted_percent", "61"}}),
         "waiting for a CPU, preempted by ffmpeg (pid 77) for 61 % of it"},
        {source(Kind::cpu_throttle, 60 * ms), "throttled by its CPU quota"},
        {source(Kind::stopped, 60 * ms), "stopped"},
    }));
    CHECK(verdict(150 * ms, {what}) == "save#17 held loop main for 150 ms: 60 ms " + text + ".");
}

TEST_CASE("what took all of the time says so")
{
    CHECK(verdict(250 * ms, {fsync_source}) ==
          "save#17 held loop main for 250 ms: all of it in fsync(7 → /var/lib/x.db) at store.cpp:42 (Store::flush).");
}

TEST_CASE("what was not the code's fault opens the sentence")
{
    CHECK(verdict(130 * ms, {source(Kind::run_queue, 118 * ms), source(Kind::cpu, 12 * ms)},
                  Impact{1, 120 * ms, 120 * ms}) ==
          "save#17 waited 118 ms for a CPU and so held loop main for 130 ms: 12 ms on CPU; 1 task waited 120 ms.");
    CHECK(verdict(1200 * ms, {source(Kind::stopped, 1200 * ms)}) ==
          "save#17 was stopped for 1.2 s and so held loop main for 1.2 s.");
    CHECK(verdict(130 * ms, {source(Kind::cpu_throttle, 100 * ms)}) ==
          "save#17 was throttled by its CPU quota for 100 ms and so held loop main for 130 ms.");
    CHECK(verdict(300 * ms, {source(Kind::run_queue, 110 * ms), source(Kind::cpu, 100 * ms)}) ==
          "save#17 held loop main for 300 ms: 110 ms waiting for a CPU, 100 ms on CPU.");
}

TEST_CASE("nothing known is said as such")
{
    CHECK(verdict(130 * ms, {}) == "save#17 held loop main for 130 ms.");
    SlowCallback slow;
    slow.duration_ns = slow.breakdown.other_ns = 130 * ms;
    slow.loop.id = "3";
    CHECK(verdict_of(slow) == "a callback held loop 3 for 130 ms: 130 ms unknown.");
    slow.loop = {};
    slow.breakdown.other_ns = 1;
    slow.task.emplace().id = "9";
    CHECK(verdict_of(slow) == "task#9 held its loop for 130 ms.");
}

TEST_CASE("many places are summed up")
{
    std::vector<Source> sources;
    for (int i = 0; i < 6; ++i) sources.push_back(source(Kind::sleep, 20 * ms, "usleep"));
    CHECK(verdict(200 * ms, sources) ==
          "save#17 held loop main for 200 ms: 20 ms in usleep, 20 ms in usleep, 20 ms in usleep, 20 ms in usleep, 40 "
          "ms in other places.");
}

TEST_CASE("a blocking call has a sentence of its own")
{
    BlockingCall blocking;
    blocking.source = fsync_source;
    blocking.loop = {"1", "main"};
    blocking.task = save17();
    CHECK(verdict_of(blocking) ==
          "save#17 blocked loop main for 250 ms in fsync(7 → /var/lib/x.db) at store.cpp:42 (Store::flush).");
    blocking.source = source(Kind::other, 20 * ms);
    blocking.task.reset();
    CHECK(verdict_of(blocking) == "a callback blocked loop main for 20 ms, where is not known.");
}

TEST_CASE("a fingerprint holds across builds and hosts")
{
    const auto one = fingerprint("slow_callback", fsync_source, save17());
    CHECK(one.size() == 16);
    CHECK(one.find_first_not_of("0123456789abcdef") == one.npos);
    // FNV-1a of "slow_callback\0file_io\0fsync\0Store::flush\0", reckoned elsewhere: others store it, so the recipe is
    // a contract.
    CHECK(one == "bc36621d4badd927");
    auto other = fsync_source;
    other.duration_ns *= 3;
    other.args = {{"fd", "9"}};
    for (auto& f : other.stack) {
        f.line += 7;
        f.offset += 0x40;
        f.build_id = "beef";
        f.file = "/elsewhere/" + f.file;
        f.module = f.module == flush.module ? "/opt/next/order_server" : f.module;
    }
    other.stack[1].function += " [clone .constprop.0]";
    CHECK(fingerprint("slow_callback", other, std::nullopt) == one);
    CHECK(fingerprint_exact("slow_callback", other, std::nullopt) !=
          fingerprint_exact("slow_callback", fsync_source, std::nullopt));
}

TEST_CASE("a fingerprint tells types, kinds, calls and functions apart")
{
    const auto of = [](std::string_view type, Kind kind, std::string call, std::vector<Frame> stack) {
        return fingerprint(type, source(kind, 1, std::move(call), {}, std::move(stack)), std::nullopt);
    };
    const auto one = of("slow_callback", Kind::file_io, "fsync", {flush});
    CHECK(of("blocking_call", Kind::file_io, "fsync", {flush}) != one);
    CHECK(of("slow_callback", Kind::pipe, "fsync", {flush}) != one);
    CHECK(of("slow_callback", Kind::file_io, "fdatasync", {flush}) != one);
    CHECK(of("slow_callback", Kind::file_io, "fsync", {frame("Store::drop(int)")}) != one);
    CHECK(of("slow_callback", Kind::file_io, "fsync", {flush, frame("save()")}) != one);
    CHECK(of("slow_callback", Kind::file_io, "fsync", {sync_frame, flush, frame("std::x()"), frame("")}) == one);
}

TEST_CASE("a fingerprint looks at five own functions and not at the loop's")
{
    const auto of = [](std::vector<Frame> stack) {
        return fingerprint("slow_callback", source(Kind::sleep, 1, "usleep", {}, std::move(stack)), std::nullopt);
    };
    const std::vector five{frame("a()"), frame("b()"), frame("c()"), frame("d()"), frame("e()")};
    auto six = five;
    six.push_back(frame("f()"));
    CHECK(of(six) == of(five));
    CHECK(of({five[0], frame("loopwatch::Loop::run()"), frame("main")}) == of({five[0]}));
}

TEST_CASE("a fingerprint leaves out the loop and what started it, unless the stack has nothing else")
{
    const auto of = [](std::vector<Frame> stack) {
        return fingerprint("slow_callback", source(Kind::sleep, 1, "usleep", {}, std::move(stack)), std::nullopt);
    };
    auto loop = frame("serve()"), main = frame("main");
    loop.of_loop = main.of_loop = true;
    CHECK(of({frame("a()"), loop, main, frame("_start")}) == of({frame("a()")}));
    CHECK(of({frame("a()"), frame("main"), frame("_start")}) == of({frame("a()")}));
    CHECK(of({loop, main, frame("_start")}) == of({loop}));
    CHECK(of({loop, main}) != of({frame("main")}));
}

TEST_CASE("what a descriptor leads to is no part of a fingerprint")
{
    const auto of = [](Kind kind, std::string call) {
        return fingerprint("blocking_call", source(kind, 1, std::move(call), {}, {flush}), std::nullopt);
    };
    CHECK(of(Kind::pipe, "write") == of(Kind::file_io, "write"));
    CHECK(of(Kind::pipe, "fgets") == of(Kind::other, "fgets"));
    CHECK(of(Kind::pipe, "splice") != of(Kind::pipe, "tee"));
    CHECK(of(Kind::sleep, "poll") != of(Kind::nested_wait, "poll"));
}

TEST_CASE("twins of a call fold into one")
{
    const auto of = [](std::string call) {
        return fingerprint("blocking_call", source(Kind::file_io, 1, std::move(call)), std::nullopt);
    };
    CHECK(of("open64") == of("open"));
    CHECK(of("open") != of("openat"));
}

TEST_CASE("without a stack the place of the resume keeps endpoints apart")
{
    auto task = save17();
    const auto starved = source(Kind::run_queue, 1);
    const auto nowhere = fingerprint("slow_callback", starved, task);
    task.resumed_at = {"save(int)", "server.cpp", 7};
    const auto resumed = fingerprint("slow_callback", starved, task);
    CHECK(resumed != nowhere);
    task.resumed_at.line = 9;
    CHECK(fingerprint("slow_callback", starved, task) == resumed);
    task.resumed_at.function = "load(int)";
    CHECK(fingerprint("slow_callback", starved, task) != resumed);
    CHECK(fingerprint_exact("slow_callback", starved, task) != fingerprint_exact("slow_callback", starved, save17()));
}

TEST_CASE("a lock that another process held names the process")
{
    auto held = source(Kind::file_lock, 60 * ms, "flock");
    held.woken_by = WokenBy::thread;
    held.waker = Waker{4001, 4002, "cron", {}};
    CHECK(verdict(150 * ms, {held}) ==
          "save#17 held loop main for 150 ms: 60 ms in flock, released by process cron (pid 4001).");
    held.longest_ns = 60 * ms;
    held.waker->runq_ns = 40 * ms;
    CHECK(verdict(150 * ms, {held}) ==
          "save#17 held loop main for 150 ms: 60 ms in flock, released by process cron (pid 4001), which waited 40 ms "
          "of it for a CPU.");
}
