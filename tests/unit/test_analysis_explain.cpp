// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <sys/syscall.h>

#include <numeric>

#include "analysis/explain.hpp"
#include "analysis/parts.hpp"
#include "analysis/source.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;
const std::string libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
const std::string app = "/srv/order_server";

Frame frame(std::string function, std::string file = {}, std::uint32_t line = 0, std::string module = app)
{
    Frame f;
    f.function = std::move(function);
    f.file = std::move(file);
    f.line = line;
    f.module = std::move(module);
    return f;
}

Frame in_libc(std::string function)
{
    return frame(std::move(function), {}, 0, libc);
}

// `inner` on top of what every dispatch of the example server stands on.
std::vector<Frame> stack(std::vector<Frame> inner)
{
    for (const auto& outer :
         {frame("save(Order)", "/src/server.cpp", 7), frame("std::coroutine_handle<void>::resume() const"),
          frame("loopwatch::Loop::dispatch()"), frame("main", "/src/main.cpp", 3)})
        inner.push_back(outer);
    return inner;
}

const Frame flush = frame("Store::flush()", "/src/store.cpp", 42);

// A dispatch of 312 ms that began at 1 s, with nothing known of it.
DispatchFacts dispatch(std::uint64_t duration_ns = 312 * ms)
{
    DispatchFacts facts;
    facts.subject.pid = 4711;
    facts.loop = {"1", "main"};
    facts.task.emplace();
    facts.task->id = "17";
    facts.task->name = "save";
    facts.seq = 33;
    facts.start_ns = 1000 * ms;
    facts.end_ns = facts.start_ns + duration_ns;
    facts.slow = true;
    return facts;
}

// A wait `at_ns` after the dispatch's start, as the kernel reports one: summed in its place and, from 10 ms on, singly.
BlockFacts& add_block(DispatchFacts& facts, std::int64_t syscall, std::uint64_t at_ns, std::uint64_t duration_ns,
                      std::vector<Frame> at)
{
    BlockFacts block;
    block.syscall = syscall;
    block.task_state = 1;
    block.total_ns = block.longest_ns = duration_ns;
    block.count = 1;
    block.last_start_ns = facts.start_ns + at_ns;
    block.last_end_ns = block.last_start_ns + duration_ns;
    block.stack = std::move(at);
    facts.blocked_ns += duration_ns;
    if (duration_ns >= 10 * ms) {
        SingleBlock single;
        single.place = facts.blocks_by_place.size();
        single.start_ns = block.last_start_ns;
        single.end_ns = block.last_end_ns;
        facts.long_blocks.push_back(single);
    }
    return facts.blocks_by_place.emplace_back(std::move(block));
}

CallFacts& add_call(DispatchFacts& facts, std::string name, std::uint64_t at_ns, std::uint64_t duration_ns)
{
    CallFacts call;
    call.call = std::move(name);
    call.start_ns = facts.start_ns + at_ns;
    call.end_ns = call.start_ns + duration_ns;
    return facts.calls.emplace_back(std::move(call));
}

void add_fsync(DispatchFacts& facts, std::uint64_t at_ns, std::uint64_t duration_ns)
{
    auto& block = add_block(facts, SYS_fsync, at_ns, duration_ns, stack({in_libc("fsync"), flush}));
    block.args[0] = 7;
    block.fd_target = "/var/lib/x.db";
    block.task_state = 2;
}

std::uint64_t sum(const Breakdown& b)
{
    return b.cpu_ns + b.blocked_ns + b.runq_ns + b.throttled_ns + b.stopped_ns + b.other_ns;
}

std::uint64_t sum(const std::vector<Source>& sources)
{
    return std::accumulate(sources.begin(), sources.end(), std::uint64_t{0},
                           [](std::uint64_t total, const Source& source) { return total + source.duration_ns; });
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a dispatch is split into blocked, on CPU and waiting for a CPU")
{
    auto facts = dispatch();
    add_fsync(facts, 10 * ms, 250 * ms);
    facts.runq_ns = 22 * ms;
    const auto slow = explain(facts).slow.value();
    CHECK(slow.duration_ns == 312 * ms);
    CHECK(slow.end_ns == facts.end_ns);
    CHECK(slow.dispatch_seq == 33);
    CHECK(slow.threshold_ns == 100 * ms);
    CHECK(slow.breakdown.blocked_ns == 250 * ms);
    CHECK(slow.breakdown.runq_ns == 22 * ms);
    CHECK(slow.breakdown.cpu_ns == 40 * ms);
    REQUIRE(slow.sources.size() == 3);
    CHECK(slow.sources[0].kind == Kind::file_io);
    CHECK(slow.sources[0].call == "fsync");
    CHECK(slow.sources[1].kind == Kind::cpu);
    CHECK(slow.sources[2].kind == Kind::run_queue);
    CHECK(slow.stack.front().function == "fsync");
    CHECK(slow.origin == "usdt");
    CHECK(slow.seen_by == Names{"usdt", "sched"});
}

TEST_CASE("who had the CPU longest is named, with its share of what was seen")
{
    auto facts = dispatch();
    facts.runq_ns = 200 * ms;
    facts.preemptor = Waker{77, 78, "ffmpeg", {}};
    facts.preemptor_ns = 60 * ms;
    facts.preemptors_ns = 100 * ms;
    const auto slow = explain(facts).slow;
    REQUIRE(slow);
    CHECK(slow->sources[0].args == std::vector<std::pair<std::string, std::string>>{{"preempted_by", "ffmpeg"},
                                                                                    {"preempted_by_pid", "77"},
                                                                                    {"preempted_percent", "60"}});
    CHECK(slow->verdict.find("preempted by ffmpeg (pid 77) for 60 % of it") != std::string::npos);
}

TEST_CASE("a thread of the target that had the CPU is named as its own")
{
    auto facts = dispatch();
    facts.runq_ns = 200 * ms;
    facts.preemptor = Waker{4711, 4720, "worker", {}};
    facts.preemptor_ns = facts.preemptors_ns = 100 * ms;
    const auto slow = explain(facts).slow;
    REQUIRE(slow);
    CHECK(slow->sources[0].args == std::vector<std::pair<std::string, std::string>>{{"preempted_by", "worker"},
                                                                                    {"preempted_by_pid", "4711"},
                                                                                    {"preempted_by_tid", "4720"},
                                                                                    {"preempted_percent", "100"}});
    CHECK(slow->verdict.find("preempted by its own thread worker (tid 4720)") != std::string::npos);
}

TEST_CASE("who had the CPU for a moment of a long wait is not named for it")
{
    auto facts = dispatch();
    facts.runq_ns = 200 * ms;
    facts.preemptor = Waker{21, 21, "migration/1", {}};
    facts.preemptor_ns = facts.preemptors_ns = 9 * ms;
    const auto slow = explain(facts).slow;
    REQUIRE(slow);
    CHECK(slow->sources[0].args.empty());
}

TEST_CASE("a dispatch that goes on is a stall, and nothing else yet")
{
    auto facts = dispatch();
    facts.in_progress = true;
    facts.blocked_ns = 250 * ms;
    const auto findings = explain(facts);
    REQUIRE(findings.stall);
    CHECK_FALSE(findings.slow);
    CHECK(findings.blocking.empty());
    CHECK(findings.stall->duration_ns == 312 * ms);
    CHECK(findings.stall->verdict.starts_with("save#17 has been holding loop main for 312 ms: "));
    facts.in_progress = false;
    const auto ended = explain(facts);
    CHECK_FALSE(ended.stall);
    REQUIRE(ended.slow);
    CHECK(ended.slow->fingerprint != findings.stall->fingerprint);
}

TEST_CASE("what passed before the session could see it is unknown, not CPU time")
{
    auto facts = dispatch();
    facts.unseen_ns = 300 * ms;
    const auto findings = explain(facts);
    REQUIRE(findings.slow);
    CHECK(findings.slow->breakdown.other_ns == 300 * ms);
    CHECK(findings.slow->breakdown.cpu_ns == 12 * ms);
    CHECK(findings.slow->verdict.find("300 ms unknown, before the session could see it") != std::string::npos);
    CHECK(findings.slow->verdict.find("300 ms unknown,", findings.slow->verdict.find("300 ms unknown") + 1) ==
          std::string::npos);
}

TEST_CASE("a breakdown always sums to the duration")
{
    auto facts = dispatch();
    facts.blocked_ns = GENERATE(0u, 100u * ms, 312u * ms, 500u * ms);
    facts.runq_ns = GENERATE(0u, 30u * ms, 400u * ms);
    facts.stopped_ns = GENERATE(0u, 20u * ms);
    facts.scheduler_seen = GENERATE(true, false);
    const auto parts = breakdown_of(facts);
    CHECK(sum(parts) == 312 * ms);
    for (const auto part : {parts.cpu_ns, parts.blocked_ns, parts.runq_ns, parts.stopped_ns, parts.other_ns})
        CHECK(part <= 312 * ms);
}

TEST_CASE("a dispatch whose end lies before its start lasted no time")
{
    auto facts = dispatch();
    facts.end_ns = facts.start_ns - 1;
    facts.blocked_ns = 5;
    const auto slow = explain(facts).slow.value();
    CHECK(slow.duration_ns == 0);
    CHECK(sum(slow.breakdown) == 0);
}

TEST_CASE("sources do not overlap and leave out what is not worth telling")
{
    auto facts = dispatch(200 * ms);
    add_fsync(facts, 0, 193 * ms);
    facts.runq_ns = 1 * ms;
    facts.blocked_ns += 2 * ms;  // in places that were not kept
    facts.other_blocked_ns = 2 * ms;
    CHECK(explain(facts).slow->sources.size() == 1);
    facts.blocked_ns += 50 * ms;
    facts.end_ns += 100 * ms;
    const auto sources = explain(facts).slow->sources;
    REQUIRE(sources.size() == 3);
    CHECK(sources[1].kind == Kind::cpu);
    CHECK(sources[1].duration_ns == 54 * ms);
    CHECK(sources[2].kind == Kind::other);
    CHECK(sources[2].duration_ns == 52 * ms);
}

TEST_CASE("a call that the shim and the scheduler saw is one source and one blocking call")
{
    auto facts = dispatch();
    add_fsync(facts, 10 * ms, 250 * ms);
    facts.blocks_by_place[0].waker = Waker{4711, 4712, "kworker/0:1", {}};
    facts.long_blocks[0].woken_by = WokenBy::irq;
    auto& call = add_call(facts, "fsync", 9 * ms, 252 * ms);
    call.fd = 7;
    const auto found = explain(facts);
    CHECK(found.slow->sources.size() == 2);
    CHECK(found.slow->sources[0].duration_ns == 250 * ms);
    CHECK(found.slow->sources[0].stack.size() == facts.blocks_by_place[0].stack.size());
    CHECK(sum(found.slow->sources) == 312 * ms);
    CHECK(found.slow->seen_by == Names{"usdt", "sched", "preload"});
    REQUIRE(found.blocking.size() == 1);
    const auto& blocking = found.blocking[0];
    CHECK(blocking.source.duration_ns == 250 * ms);
    CHECK(blocking.origin == "sched");
    CHECK(blocking.seen_by == Names{"sched", "preload"});
    CHECK(blocking.end_ns == call.end_ns);
    CHECK(blocking.dispatch_seq == 33);
    CHECK(blocking.source.woken_by == WokenBy::irq);
    CHECK(blocking.source.args ==
          std::vector<std::pair<std::string, std::string>>{{"fd", "7"}, {"path", "/var/lib/x.db"}});
}

TEST_CASE("the scheduler's word counts where it saw more than the shim")
{
    auto facts = dispatch();
    add_fsync(facts, 10 * ms, 250 * ms);
    add_call(facts, "fsync", 20 * ms, 200 * ms);
    const auto found = explain(facts).blocking;
    REQUIRE(found.size() == 1);
    CHECK(found[0].source.duration_ns == 250 * ms);
    CHECK(found[0].origin == "sched");
}

TEST_CASE("the waits inside of one getaddrinfo are one call")
{
    auto facts = dispatch();
    add_block(facts, SYS_poll, 10 * ms, 100 * ms,
              stack({in_libc("__poll"), in_libc("getaddrinfo"), frame("lookup()", "/src/l.cpp", 5)}));
    add_block(facts, SYS_recvfrom, 120 * ms, 60 * ms,
              stack({in_libc("recvfrom"), in_libc("getaddrinfo"), frame("lookup()", "/src/l.cpp", 5)}));
    SECTION("by the stack alone, each wait of its own a blocking call")
    {
        const auto found = explain(facts);
        CHECK(found.slow->sources[0].kind == Kind::dns);
        CHECK(found.slow->sources[0].call == "getaddrinfo");
        CHECK(found.slow->sources[0].duration_ns == 160 * ms);
        CHECK(found.slow->sources[0].longest_ns == 100 * ms);
        CHECK(found.slow->sources[0].stack[0].function == "__poll");
        CHECK(found.slow->sources[0].count == 2);
        CHECK(found.slow->sources[0].args.empty());
        CHECK(found.blocking.size() == 2);
        CHECK(found.blocking[0].source.call == "getaddrinfo");
        CHECK(found.blocking[0].origin == "sched");
        CHECK(found.blocking[0].seen_by == Names{"sched"});
    }
    SECTION("with the shim one blocking call, with its host")
    {
        add_call(facts, "getaddrinfo", 5 * ms, 180 * ms).text = "db.internal";
        const auto found = explain(facts);
        CHECK(found.slow->sources[0].duration_ns == 160 * ms);
        CHECK(found.slow->sources[0].count == 2);
        REQUIRE(found.blocking.size() == 1);
        CHECK(found.blocking[0].source.duration_ns == 160 * ms);
        CHECK(found.blocking[0].verdict ==
              "save#17 blocked loop main for 160 ms in getaddrinfo(db.internal) at l.cpp:5 (lookup).");
    }
}

TEST_CASE("a call of the shim without a wait in it burned CPU, or waited for one, and blocked nobody")
{
    auto facts = dispatch(200 * ms);
    add_call(facts, "getaddrinfo", 20 * ms, 50 * ms).text = "host";
    facts.runq_ns = GENERATE(0u, 40u) * ms;
    const auto found = explain(facts);
    CHECK(found.blocking.empty());
    CHECK(found.slow->sources[0].kind == Kind::cpu);
    CHECK(found.slow->sources[0].duration_ns == 200 * ms - facts.runq_ns);
    CHECK(sum(found.slow->sources) == 200 * ms);
}

TEST_CASE("a call that began before the session could see its thread blocked as long as the shim says")
{
    auto facts = dispatch(200 * ms);
    facts.unseen_ns = 60 * ms;
    add_call(facts, "fsync", 20 * ms, 60 * ms).fd = 7;
    add_call(facts, "fsync", 90 * ms, 60 * ms).fd = 7;
    const auto found = explain(facts).blocking;
    REQUIRE(found.size() == 1);
    CHECK(found[0].source.duration_ns == 40 * ms);
    CHECK(found[0].origin == "preload");
}

// What a user saw: a handler that wrote and synced a thousand times, on a busy machine.
TEST_CASE("a place of many short waits and the calls of the shim that were long are one source")
{
    auto facts = dispatch(465 * ms);
    auto& place = add_block(facts, SYS_fsync, 450 * ms, 0, stack({in_libc("fsync"), flush}));
    place.args[0] = 8;
    place.fd_target = "/var/lib/x.db";
    place.task_state = 2;
    place.total_ns = facts.blocked_ns = 346 * ms;
    place.longest_ns = 8 * ms;
    place.count = 5959;
    facts.runq_ns = 100 * ms;
    const bool deeper = GENERATE(false, true);  // the copy of one of the stacks ends sooner
    for (int i = 0; i < 14; ++i) {
        auto& call = add_call(facts, "fsync", static_cast<std::uint64_t>(i) * 30 * ms, 12 * ms);
        call.fd = i % 2 == 0 ? 8 : 9;
        call.stack = stack({frame("lw_timed_fsync", {}, 0, "/usr/lib/libloopwatch_preload.so"), flush});
        if (deeper) call.stack.pop_back();
    }
    const auto found = explain(facts);
    REQUIRE(found.slow);
    const auto& sources = found.slow->sources;
    CHECK(std::ranges::count(sources, "fsync", &Source::call) == 1);
    CHECK(sources[0].call == "fsync");
    CHECK(sources[0].duration_ns == 346 * ms);
    CHECK(sources[0].count == 5959);
    CHECK(sources[0].longest_ns == 8 * ms);
    CHECK(sum(sources) <= 465 * ms);
    CHECK(found.blocking.empty());  // none of the waits was long
}

TEST_CASE("waits of one call at two places stay two sources under the shim")
{
    auto facts = dispatch();
    const auto other = frame("Journal::flush()", "/src/journal.cpp", 7);
    add_block(facts, SYS_fsync, 10 * ms, 9 * ms, stack({in_libc("fsync"), flush}));
    add_block(facts, SYS_fsync, 200 * ms, 50 * ms, stack({in_libc("fsync"), other}));
    add_call(facts, "fsync", 60 * ms, 12 * ms).stack = stack({other});
    const auto sources = explain(facts).slow->sources;
    REQUIRE(sources.size() == 3);
    CHECK(sources[1].duration_ns == 50 * ms);
    CHECK(sources[2].duration_ns == 9 * ms);
}

TEST_CASE("how often it waited for a CPU covers all that it waited, or is not told")
{
    auto facts = dispatch();
    facts.runq_ns = 200 * ms;
    facts.preemptions = 2;
    facts.blocks = 30;  // each ended with a wait for a CPU
    facts.longest_runq_ns = 20 * ms;
    auto source = explain(facts).slow->sources[0];
    CHECK(source.kind == Kind::run_queue);
    CHECK(source.count == 32);
    CHECK(source.longest_ns == 20 * ms);
    facts.blocks = 3;
    source = explain(facts).slow->sources[0];
    CHECK(source.count == 0);
    CHECK(source.longest_ns == 0);
}

TEST_CASE("a call with more waiting places than were kept is given what could not be placed")
{
    auto facts = dispatch(200 * ms);
    add_block(facts, SYS_poll, 10 * ms, 20 * ms, stack({in_libc("poll"), in_libc("getaddrinfo"), flush}));
    facts.blocked_ns += 100 * ms;
    facts.other_blocked_ns = 100 * ms;
    add_call(facts, "getaddrinfo", 5 * ms, 125 * ms);
    const auto sources = explain(facts).slow->sources;
    CHECK(sources[0].call == "getaddrinfo");
    CHECK(sources[0].duration_ns == 120 * ms);
    CHECK(sum(sources) == 200 * ms);
}

TEST_CASE("two calls at one place are one source, counted")
{
    auto facts = dispatch(200 * ms);
    add_fsync(facts, 60 * ms, 30 * ms);
    facts.blocks_by_place[0].total_ns = 60 * ms;
    facts.blocks_by_place[0].count = 2;
    facts.blocked_ns = 60 * ms;
    facts.long_blocks.push_back({0, facts.start_ns + 10 * ms, facts.start_ns + 40 * ms, {}, WokenBy::irq});
    for (const auto at : {9 * ms, 59 * ms}) add_call(facts, "fsync", at, 32 * ms).fd = 7;
    const auto found = explain(facts);
    CHECK(found.slow->sources[1].call == "fsync");
    CHECK(found.slow->sources[1].duration_ns == 60 * ms);
    CHECK(found.slow->sources[1].count == 2);
    CHECK(found.slow->sources[1].longest_ns == 30 * ms);
    CHECK(found.blocking.size() == 2);
    CHECK(found.blocking[0].end_ns < found.blocking[1].end_ns);
}

TEST_CASE("a place's byte counts do not split it")
{
    auto facts = dispatch();
    for (const auto bytes : {512u, 4096u}) {
        auto& block = add_block(facts, SYS_write, bytes * 10'000, 20 * ms, stack({in_libc("write"), flush}));
        block.args[2] = bytes;
        block.fd_target = "pipe:[1]";
    }
    CHECK(explain(facts).slow->sources.size() == 2);
}

TEST_CASE("a call of the shim with short waits only is no blocking call, as without the shim")
{
    auto facts = dispatch();
    add_fsync(facts, 10 * ms, 4 * ms);
    add_call(facts, "fsync", 5 * ms, 12 * ms).fd = 7;
    CHECK(explain(facts).blocking.empty());
}

TEST_CASE("a place belongs to a call even if its last wait was too short for the shim to tell")
{
    auto facts = dispatch();
    add_fsync(facts, 10 * ms, 40 * ms);
    auto& place = facts.blocks_by_place[0];
    place.last_start_ns = facts.start_ns + 90 * ms;
    place.last_end_ns = facts.start_ns + 91 * ms;
    add_call(facts, "fsync", 9 * ms, 42 * ms).fd = 7;
    CHECK(explain(facts).slow->sources.size() == 2);
}

TEST_CASE("blocking calls come in the order of their ends, whoever saw them")
{
    auto facts = dispatch();
    add_fsync(facts, 100 * ms, 20 * ms);
    add_block(facts, SYS_clock_nanosleep, 10 * ms, 50 * ms,
              stack({in_libc("clock_nanosleep"), in_libc("usleep"), flush}));
    add_call(facts, "usleep", 10 * ms, 50 * ms);
    const auto found = explain(facts).blocking;
    REQUIRE(found.size() == 2);
    CHECK(found[0].source.call == "usleep");
    CHECK(found[1].source.call == "fsync");
}

TEST_CASE("the scheduler tells what the shim could not know of a call, and does not contradict it")
{
    using Args = std::vector<std::pair<std::string, std::string>>;
    auto facts = dispatch();
    auto& read = add_block(facts, SYS_read, 10 * ms, 40 * ms, stack({in_libc("read"), flush}));
    read.args[0] = 5;
    read.fd_target = "pipe:[9]";
    add_call(facts, "read", 9 * ms, 42 * ms).fd = 5;
    auto& connect = add_block(facts, SYS_connect, 60 * ms, 20 * ms, stack({in_libc("connect"), flush}));
    connect.args[0] = 6;
    connect.fd_target = "socket:[4]";
    auto& call = add_call(facts, "connect", 59 * ms, 22 * ms);
    call.fd = 6;
    call.text = "10.0.0.3:5432";
    const auto found = explain(facts).blocking;
    REQUIRE(found.size() == 2);
    CHECK(found[0].source.kind == Kind::pipe);
    CHECK(found[0].source.args == Args{{"fd", "5"}, {"target", "pipe:[9]"}});
    CHECK(found[1].source.args == Args{{"fd", "6"}, {"peer", "10.0.0.3:5432"}});
}

TEST_CASE("a source names the waker of its longest wait")
{
    auto facts = dispatch();
    add_block(facts, SYS_futex, 10 * ms, 90 * ms, stack({in_libc("pthread_mutex_lock"), flush})).args[0] = 0x55d0;
    facts.long_blocks[0].waker = Waker{4711, 4712, "logger", {}};
    facts.long_blocks[0].woken_by = WokenBy::thread;
    facts.long_blocks.push_back({0, facts.start_ns + 110 * ms, facts.start_ns + 130 * ms, {}, WokenBy::timer});
    const auto slow = explain(facts).slow.value();
    CHECK(slow.sources[1].waker->comm == "logger");
    CHECK(slow.sources[1].woken_by == WokenBy::thread);
}

TEST_CASE("a lock is not blamed for what its holder waited for a CPU")
{
    auto facts = dispatch();
    add_block(facts, SYS_futex, 10 * ms, 14 * ms, stack({in_libc("pthread_mutex_lock"), flush})).args[0] = 0x55d0;
    facts.long_blocks[0].waker = Waker{4711, 4712, "looper", {}, 3 * ms};
    facts.long_blocks[0].woken_by = WokenBy::thread;
    CHECK(explain(facts).blocking.size() == 1);  // 11 of them are the holder's own
    facts.long_blocks[0].waker->runq_ns = 5 * ms;
    CHECK(explain(facts).blocking.empty());
}

TEST_CASE("a call that wakes others is not blamed for what they waited for a CPU")
{
    auto facts = dispatch();
    const auto* call = GENERATE("pthread_cond_signal", "pthread_cond_signal@@GLIBC_2.3.2", "__pthread_cond_broadcast");
    add_block(facts, SYS_futex, 10 * ms, 14 * ms,
              stack({in_libc("__condvar_quiesce_and_switch_g1"), in_libc(call), flush}));
    const auto found = explain(facts);
    CHECK(found.blocking.empty());
    CHECK(found.slow->sources[1].call.starts_with("pthread_cond_"));
}

TEST_CASE("different calls stay different sources")
{
    auto facts = dispatch();
    for (const auto fd : {5u, 6u}) {
        auto& block = add_block(facts, SYS_write, fd * 10 * ms, 20 * ms, stack({in_libc("write"), flush}));
        block.args[0] = fd;
        block.fd_target = "pipe:[1]";
    }
    CHECK(explain(facts).slow->sources.size() == 3);
}

TEST_CASE("blocking calls are told of dispatches that were not slow or never ended")
{
    auto facts = dispatch(50 * ms);
    add_fsync(facts, 10 * ms, 30 * ms);
    facts.slow = GENERATE(true, false);
    facts.complete = !facts.slow;
    const auto found = explain(facts);
    CHECK_FALSE(found.slow);
    CHECK(found.blocking.size() == 1);
}

TEST_CASE("a wait below the block threshold is no blocking call")
{
    auto facts = dispatch();
    add_fsync(facts, 10 * ms, 12 * ms);
    facts.thresholds.block_ns = 20 * ms;
    CHECK(explain(facts).blocking.empty());
    facts.thresholds.block_ns = 12 * ms;
    CHECK(explain(facts).blocking.size() == 1);
}

TEST_CASE("a wait whose place was not kept is told without a name")
{
    auto facts = dispatch();
    facts.long_blocks.push_back({77, facts.start_ns, facts.start_ns + 20 * ms, {}, WokenBy::unknown});
    const auto found = explain(facts).blocking;
    REQUIRE(found.size() == 1);
    CHECK(found[0].source.kind == Kind::other);
    CHECK(found[0].source.call.empty());
    CHECK(found[0].source.duration_ns == 20 * ms);
}

TEST_CASE("without the scheduler the calls say what blocked, and the rest is unknown")
{
    auto facts = dispatch(200 * ms);
    facts.scheduler_seen = false;
    add_call(facts, "fsync", 10 * ms, 150 * ms).stack = stack({in_libc("fsync"), flush});
    const auto found = explain(facts);
    CHECK(found.slow->breakdown.blocked_ns == 150 * ms);
    CHECK(found.slow->breakdown.other_ns == 50 * ms);
    CHECK(found.slow->breakdown.cpu_ns == 0);
    CHECK(found.slow->seen_by == Names{"preload"});
    CHECK(found.slow->verdict ==
          "save#17 held loop main for 200 ms: 150 ms in fsync at store.cpp:42 (Store::flush), 50 ms on CPU, "
          "waiting for one, or in short calls (without root it is not known which).");
    CHECK(found.blocking[0].origin == "preload");
}

TEST_CASE("a restarted wait is named by its stack")
{
    auto facts = dispatch();
    add_block(facts, SYS_restart_syscall, 0, 200 * ms, stack({in_libc("clock_nanosleep"), flush}));
    CHECK(explain(facts).slow->sources[0].kind == Kind::sleep);
}

TEST_CASE("waits for a child are a process's, whatever they wait in")
{
    auto facts = dispatch();
    add_block(facts, GENERATE(SYS_wait4, SYS_clone3, SYS_read), 0, 200 * ms,
              stack({in_libc(""), in_libc("system"), flush}));
    const auto source = explain(facts).slow->sources[0];
    CHECK(source.kind == Kind::process);
    CHECK(source.call == "system");
}

TEST_CASE("a page fault has no call, even inside of libc")
{
    auto facts = dispatch();
    add_block(facts, -1, 0, 200 * ms, stack({in_libc(GENERATE("memcpy", "getaddrinfo")), flush}));
    const auto source = explain(facts).slow->sources[0];
    CHECK(source.kind == Kind::page_fault);
    CHECK(source.call.empty());
}

TEST_CASE("the heaviest path is the most common way to the code that burns most")
{
    auto facts = dispatch();
    const auto parse = frame("parse_orders(int)", "/src/json.cpp", 12);
    const auto sample = [&](std::vector<Frame> inner) { facts.samples.push_back({stack(std::move(inner))}); };
    sample({frame("std::sort<int*>(int*, int*)"), parse});
    sample({frame("nlohmann::json::parse(int)"), parse});
    sample({frame("nlohmann::json::parse(int)"), parse});
    sample({in_libc("malloc"), parse});
    sample({frame("hash()", "/src/hash.cpp", 1)});
    const auto path = heaviest_path(facts.samples).value();
    CHECK(path.stack[0].function == "nlohmann::json::parse(int)");
    CHECK(path.share_percent == 80);
    const auto source = explain(facts).slow->sources[0];
    CHECK(source.kind == Kind::cpu);
    CHECK(source.count == 5);
    CHECK(source.args == std::vector<std::pair<std::string, std::string>>{{"share_percent", "80"}});
    CHECK_FALSE(heaviest_path({}));
}

TEST_CASE("a sample that stands for more of the time weighs more")
{
    auto facts = dispatch();
    const auto sample = [&](std::string_view function, std::uint64_t weight_ns) {
        facts.samples.push_back({stack({frame(std::string(function), "/src/burn.cpp", 1)}), 0, weight_ns});
    };
    for (int i = 0; i < 3; ++i) sample("first()", 2 * ms);
    sample("second()", 18 * ms);
    const auto path = heaviest_path(facts.samples).value();
    CHECK(path.stack[0].function == "second()");
    CHECK(path.share_percent == 75);
}

TEST_CASE("from inside, what is in no call was on CPU or waited for one, and what was lost is not recorded")
{
    auto facts = dispatch(100 * ms);
    facts.scheduler_seen = false;
    facts.task.reset();
    CHECK(explain(facts).slow->verdict ==
          "a callback held loop main for 100 ms: all of it on CPU, waiting for one, or in short calls (without root it "
          "is not known "
          "which).");
    facts.unrecorded_ns = 40 * ms;
    const auto slow = *explain(facts).slow;
    CHECK(slow.verdict ==
          "a callback held loop main for 100 ms: 60 ms on CPU, waiting for one, or in short calls (without root it is "
          "not known which), "
          "40 ms not recorded.");
    CHECK(slow.breakdown.blocked_ns == 40 * ms);
    facts.calls_missing = true;
    facts.end_known = false;
    const auto lost = *explain(facts).slow;
    CHECK(lost.verdict == "a callback held loop main for up to 100 ms: all of it not recorded.");
    CHECK_FALSE(lost.end_known);
    CHECK(lost.sources.size() == 1);
}

TEST_CASE("a finding has a place if functions of the program or a task's location tell it from others")
{
    auto facts = dispatch();
    facts.scheduler_seen = false;
    CHECK_FALSE(explain(facts).slow->place_known);
    facts.task->created_at.function = "serve(Socket)";
    CHECK(explain(facts).slow->place_known);
    facts.task.reset();
    CHECK_FALSE(explain(facts).slow->place_known);
    CallFacts call;
    call.call = "fsync";
    call.start_ns = facts.start_ns;
    call.end_ns = facts.end_ns;
    facts.calls.push_back(call);
    CHECK_FALSE(explain(facts).slow->place_known);
    CHECK_FALSE(explain(facts).blocking.at(0).place_known);
    facts.calls[0].stack = stack({in_libc("fsync"), flush});
    CHECK(explain(facts).slow->place_known);
    CHECK(explain(facts).blocking.at(0).place_known);
    // That a CPU was missing is the machine's doing, wherever it was.
    auto starved = dispatch();
    starved.task.reset();
    starved.runq_ns = 312 * ms;
    CHECK(explain(starved).slow->place_known);
}
