// SPDX-License-Identifier: Apache-2.0
#include "sample_records.hpp"

#include "../unit/findings.hpp"

#include "output/record_fields.hpp"

using namespace std::string_literals;

namespace loopwatch::samples {
namespace {

constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t start_ns = 1'000'000'000'000;

Subject server_thread()
{
    return {.pid = 4711, .tid = 4712, .ns_pid = 7, .ns_tid = 8, .comm = "order_server"};
}
Subject server()
{
    return {.pid = 4711, .tid = 0, .ns_pid = 7, .ns_tid = 0, .comm = "order_server"};
}
LoopInfo loop()
{
    return {.id = "1", .name = "main"};
}

Frame libc_frame()
{
    return {
        .function = "fsync", .module = "/usr/lib/x86_64-linux-gnu/libc.so.6", .build_id = "8f5a2c", .offset = 0xfd2b4};
}

Frame user_frame(std::string function, std::uint32_t line, bool inlined = false)
{
    return {.function = std::move(function),
            .module = "/srv/order_server",
            .build_id = "c0ffee01",
            .offset = 0x12340 + line,
            .file = "/src/store.cpp",
            .line = line,
            .inlined = inlined};
}

std::vector<Frame> fsync_stack()
{
    return {libc_frame(), user_frame("store::Store::flush()", 42, true), user_frame("save(Order)", 91)};
}

TaskInfo task()
{
    return {.id = "17",
            .parent_id = "3",
            .name = "save",
            .labels = {{"request", "9f31"}},
            .state = "running",
            .created_at = {"accept_loop", "/src/server.cpp", 33},
            .resumed_at = {"save", "/src/store.cpp", 88},
            .await_chain = {{"save", "/src/store.cpp", 88}, {"handle", "/src/server.cpp", 51}}};
}

Source fsync_source()
{
    Source source{.kind = Kind::file_io, .call = "fsync", .args = {{"fd", "7"}, {"path", "/var/lib/x.db"}}};
    source.duration_ns = 250 * ms;
    source.longest_ns = 250 * ms;
    source.count = 1;
    source.stack = fsync_stack();
    source.kernel_stack = {{.function = "submit_bio_wait", .module = "kernel"}};
    source.woken_by = WokenBy::irq;
    return source;
}

Source lock_source()
{
    Source source{
        .kind = Kind::lock, .call = "pthread_mutex_lock", .args = {{"lock", "0x55d0c0de"}, {"timeout_ns", "500"}}};
    source.duration_ns = 40 * ms;
    source.longest_ns = 30 * ms;
    source.count = 2;
    source.stack = {user_frame("audit(Order)", 120)};
    source.stack.back().truncated = true;
    source.waker = Waker{4711, 4720, "logger", {user_frame("log::drain()", 7)}, 0};
    source.woken_by = WokenBy::thread;
    return source;
}

Source run_queue_source()
{
    Source source{.kind = Kind::run_queue,
                  .args = {{"preempted_by", "ffmpeg"}, {"preempted_by_pid", "77"}, {"preempted_percent", "61"}}};
    source.duration_ns = 22 * ms;
    source.longest_ns = 12 * ms;
    source.count = 3;
    return source;
}

SlowCallback slow_callback(std::uint64_t seq, std::uint64_t end_ns, std::uint64_t occurrence)
{
    SlowCallback slow{.subject = server_thread(), .end_ns = end_ns, .duration_ns = 312 * ms, .threshold_ns = 100 * ms};
    slow.dispatch_seq = seq;
    slow.loop = loop();
    slow.task = task();
    slow.breakdown = {.cpu_ns = 0, .blocked_ns = 290 * ms, .runq_ns = 22 * ms};
    slow.sources = {fsync_source(), lock_source(), run_queue_source()};
    slow.impact = Impact{14, 310 * ms, 2'100 * ms};
    slow.stack = fsync_stack();
    slow.verdict =
        "save#17 held loop main for 312 ms: 250 ms in fsync(7 → /var/lib/x.db) at store.cpp:42 (Store::flush), "
        "40 ms in pthread_mutex_lock, 22 ms waiting for a CPU; 14 tasks waited up to 310 ms.";
    slow.fingerprint = "5bd1e995a1b2c3d4";
    slow.fingerprint_exact = "00112233445566ff";
    slow.occurrence = occurrence;
    slow.seen_by = {"usdt", "sched"};
    return slow;
}

SlowCallback plain_callback(std::uint64_t end_ns)
{
    SlowCallback slow{.subject = server_thread(), .end_ns = end_ns, .duration_ns = 120 * ms, .threshold_ns = 100 * ms};
    slow.scope = "iteration";
    slow.dispatches = 62;
    slow.tasks = {{"17", "save", 34}, {"18", "load", 5}};
    slow.dispatch_seq = 1201;
    slow.loop = loop();
    slow.breakdown = {.cpu_ns = 120 * ms};
    slow.sources = {{.kind = Kind::cpu, .duration_ns = 120 * ms, .count = 11}};
    slow.verdict = "62 dispatches in one go, of save#17 and others, held loop main for 120 ms: 120 ms on CPU.";
    slow.fingerprint = "aa";
    slow.fingerprint_exact = "";
    return slow;
}

BlockingCall blocking_call(std::uint64_t seq, std::uint64_t end_ns)
{
    BlockingCall call{.subject = server_thread(), .end_ns = end_ns, .source = fsync_source(), .threshold_ns = 10 * ms};
    call.dispatch_seq = seq;
    call.loop = loop();
    call.task = task();
    call.verdict = "save#17 blocked loop main for 250 ms in fsync(7 → /var/lib/x.db) at store.cpp:42 (Store::flush).";
    call.fingerprint = "77aa";
    call.fingerprint_exact = "77bb";
    call.seen_by = {"sched", "preload"};
    return call;
}

Quantiles quantiles()
{
    return {2'000, 9'000, 80'000, 312 * ms, {{1'792, 40'000}, {7'168, 900}, {301'989'888, 1}}};
}
Overhead overhead()
{
    return {120'000, 41 * ms, true, 30 * ms, 24 << 20, 90 << 20, 24 << 20};
}

// Every type that has rows in the table, filled from it, so that a type cannot be forgotten here.
std::vector<Report> task_events(std::uint64_t at_ns)
{
    std::vector<Report> records;
    for (const auto& row : json::task_event_types()) {
        TaskEvent event{.subject = server_thread(), .at_ns = at_ns += ms, .type = std::string(row.type)};
        event.loop_id = "1";
        event.task_id = row.is_finding ? "17" : "18";
        for (const auto& field : row.fields) {
            using Shape = json::TaskField::Shape;
            const std::string name(field.name);
            if (field.shape == Shape::text) event.fields.emplace_back(name, "some " + name);
            if (field.shape == Shape::number) event.fields.emplace_back(name, "36610000");
            if (field.shape == Shape::location)
                event.locations.emplace_back(name, Location{"handle", "/src/server.cpp", 51});
            if (field.shape == Shape::labels) event.labels = {{"request", "7"}};
            if (field.shape == Shape::chain)
                event.await_chain = {{"read_request", "/src/session.cpp", 52}, {"handle", "/src/server.cpp", 51}};
            if (field.shape == Shape::stack) event.stack = {user_frame("read_request", 53)};
        }
        records.push_back(event);
    }
    records.push_back(TaskEvent{server_thread(), at_ns + ms, "coroutine_never_awaited", "", "", {}, {}});
    return records;
}

}  // namespace

JsonContext context()
{
    return {"db7", ClockAnchor{start_ns, 1'700'000'000'000'000'000}};
}

std::vector<Report> session()
{
    std::vector<Report> records;
    std::uint64_t now = start_ns;
    records.push_back(SessionStart{now,
                                   "0.1.0",
                                   "6.18.0",
                                   {0, 3},
                                   100 * ms,
                                   10 * ms,
                                   {"slow_dispatch", "loop_start"},
                                   {{"floor_ns", 100'000}, {"max_loops", 64}},
                                   {"the shim is not loaded: no libc arguments"}});
    records.push_back(TargetStart{server(),
                                  now += ms,
                                  "/srv/order_server",
                                  {"order_server", "--port", "8080"},
                                  "c0ffee01",
                                  {0, 3},
                                  {loop()},
                                  {}});
    for (const auto elapsed_ns : {100 * ms, 200 * ms}) {
        Stall stall{slow_callback(8'811, now, 1)};
        stall.duration_ns = elapsed_ns;
        stall.impact.reset();
        stall.verdict = "save#17 has been holding loop main for a while.";
        stall.fingerprint = "5bd1e995a1b2c3d5";
        stall.occurrence = elapsed_ns / (100 * ms);
        records.push_back(only(stall));
    }
    Findings findings;
    findings.blocking.push_back(blocking_call(8'811, now += ms));
    findings.slow = slow_callback(8'811, now, 1);
    records.push_back(findings);
    records.push_back(only(plain_callback(now += 100 * ms)));
    records.push_back(only(blocking_call(9'001, now += 50 * ms)));
    for (auto& event : task_events(now)) records.push_back(std::move(event));
    records.push_back(only(slow_callback(9'101, now += 200 * ms, 2)));
    records.push_back(only(slow_callback(9'103, now += 20 * ms, 3)));
    records.push_back(LoopStats{server_thread(), now += 600 * ms, loop(), 1'000 * ms, 9'000, 40'901, 420 * ms, 580 * ms,
                                0.42, quantiles(), Quantiles{1'000, 2'000, 3'000, 4'000, {}}, 12, 300, 1, 48 * ms,
                                HoldStrip{500 * ms, "hAA="}});
    records.push_back(CauseStats{server_thread(),
                                 now,
                                 loop(),
                                 1'000 * ms,
                                 "5bd1e995a1b2c3d4",
                                 Kind::file_io,
                                 "fsync",
                                 3,
                                 750 * ms,
                                 300 * ms,
                                 {{242'547'617, 2}, {288'434'563, 1}},
                                 {{0, 1}, {37'027'200, 2}},
                                 14,
                                 900 * ms,
                                 1,
                                 fsync_stack()});
    records.push_back(CauseStats{server_thread(),
                                 now,
                                 loop(),
                                 1'000 * ms,
                                 "other",
                                 Kind::other,
                                 "",
                                 2,
                                 20 * ms,
                                 12 * ms,
                                 {{242'547'617, 2}},
                                 {{222'413'290, 2}},
                                 0,
                                 0,
                                 2,
                                 {}});
    records.push_back(SessionStats{now, {{"ring_full", 2}}, {{"slow_callback", 5}}, overhead()});
    records.push_back(only(slow_callback(9'201, now += 300 * ms, 4)));
    records.push_back(
        Warning{server(), now, "its perf map has 70 MiB: names beyond the first 64 MiB are not read", {}});
    records.push_back(
        Warning{std::nullopt, now, "it started other programs, which were not watched", "--follow-children"});
    records.push_back(TargetEnd{server(), now, "exited", 0});
    records.push_back(TargetEnd{server(), now, "detached", std::nullopt});
    records.push_back(ListedTask{
        server(),
        now,
        loop(),
        task(),
        90 * ms,
        7 * ms,
        12,
        "18",
        WaitingFor{"io", "async_receive", 7, "socket:[12]", "127.0.0.1:5432", std::nullopt, "", std::nullopt},
        2,
        "3",
        "shutdown",
        1'200 * ms,
        fsync_stack(),
        {272}});
    records.push_back(TaskListEnd{server(),
                                  now,
                                  1,
                                  400'000,
                                  {"loop http: of its tasks 1 were read, then \x1b[31m"},
                                  {TaskComplaint{"self_wake", "poller#17 wakes itself", "17", task().created_at}}});
    records.push_back(SessionEnd{now += ms,
                                 2'000 * ms,
                                 {{"slow_callback", 5}, {"blocking_call", 2}},
                                 {{"ring_full", 2}},
                                 {{"slow_callback", 5}},
                                 40'901,
                                 quantiles(),
                                 {{"loops", 1}},
                                 overhead(),
                                 "target ended",
                                 "findings_missing",
                                 "2 records that came faster than they were read (ring_full)"});
    return records;
}

std::vector<Report> hostile()
{
    const std::string bytes =
        "\x1b[2J\xff\xc0\xaf"
        "a\u202e"
        "b\xc2\x9b"
        "31m\"\\\n\0z"s;
    SlowCallback slow = slow_callback(1, start_ns, 1);
    slow.subject.comm = bytes;
    slow.loop.name = bytes;
    slow.task->name = bytes;
    slow.task->labels = {{bytes, bytes}};
    slow.task->await_chain = {{bytes, bytes, 1}};
    slow.verdict = bytes;
    slow.stack = {{.function = bytes, .module = bytes, .file = bytes, .line = 1}};
    slow.sources[0].args = {{bytes, bytes}, {"fd", bytes}, {"requested_ns", "99999999999999999999"}};
    slow.sources[0].stack = slow.stack;
    TargetStart started{server(), start_ns, bytes, {bytes}, "", {0}, {{"1", bytes}}, {bytes}};
    TaskEvent event{server_thread(), start_ns, "task_cancelled", "1", "2", {{"reason", bytes}, {"extra", bytes}}, {}};
    return {started, only(slow), event};
}

}  // namespace loopwatch::samples
