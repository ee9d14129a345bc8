// SPDX-License-Identifier: Apache-2.0
//
// What loopwatch reports, as plain data: the records of README.md, "JSON". Analysis fills them, sinks write them;
// neither the kernel's nor the target's layouts show here. Durations and times are nanoseconds, times CLOCK_MONOTONIC.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "stack/frame.hpp"

namespace loopwatch {

struct Location {
    std::string function;
    std::string file;
    std::uint32_t line = 0;
    bool known() const { return !function.empty() || !file.empty(); }
};

// What a loop thread did while it did not serve its loop. JSON names: kind_name().
enum class Kind {
    cpu,
    sleep,
    lock,
    file_io,
    file_lock,
    pipe,
    network,
    dns,
    process,
    nested_wait,
    page_fault,
    io_uring,
    run_queue,
    cpu_throttle,
    stopped,
    other,
};

enum class WokenBy { unknown, thread, timer, irq, signal };

struct Waker {
    std::uint32_t pid = 0;
    std::uint32_t tid = 0;
    std::string comm;
    std::vector<Frame> stack;
    std::uint64_t runq_ns = 0;  // part of the wait for which it waited for a CPU itself
};

// One place in which a dispatch spent its time.
struct Source {
    Kind kind = Kind::other;
    std::string call;  // libc or syscall name; empty for cpu
    std::vector<std::pair<std::string, std::string>>
        args;  // fd, path, peer, host, lock, requested_ns … in reading order
    std::uint64_t duration_ns = 0;
    std::uint64_t longest_ns = 0;
    std::uint64_t count = 0;          // blocks, or samples for cpu
    std::vector<Frame> stack;         // innermost first
    std::vector<Frame> kernel_stack;  // with --kernel-stacks
    std::vector<Frame> shared;        // of cpu: what its samples have in common (shared_path.hpp). Not reported
    std::optional<Waker> waker;
    WokenBy woken_by = WokenBy::unknown;
};

struct TaskInfo {
    std::string id;
    std::string parent_id;
    std::string name;
    std::map<std::string, std::string> labels;
    std::string state;
    Location created_at;
    Location resumed_at;
    std::vector<Location> await_chain;  // innermost first: where each coroutine stands
};

struct LoopInfo {
    std::string id;
    std::string name;
};

// Whose record it is.
struct Subject {
    std::uint32_t pid = 0;
    std::uint32_t tid = 0;  // 0: the whole process
    std::uint32_t ns_pid = 0;
    std::uint32_t ns_tid = 0;
    std::string comm;
};

struct Breakdown {
    std::uint64_t cpu_ns = 0, blocked_ns = 0, runq_ns = 0, throttled_ns = 0, stopped_ns = 0, other_ns = 0;
};

struct Impact {
    std::uint64_t tasks_delayed = 0;
    std::uint64_t max_delay_ns = 0;
    std::uint64_t total_delay_ns = 0;
};

// One of the tasks of an iteration of many dispatches, by how often it was met.
struct TaskShare {
    std::string id, name;
    std::uint64_t percent = 0;
};

struct SlowCallback {
    Subject subject;
    std::uint64_t end_ns = 0;
    std::string scope = "dispatch";
    std::uint64_t duration_ns = 0;
    std::uint64_t threshold_ns = 0;
    std::uint64_t dispatch_seq = 0;
    LoopInfo loop;
    std::optional<TaskInfo> task;
    std::optional<std::uint64_t> dispatches;  // of an iteration whose dispatches are seen
    std::optional<std::vector<TaskShare>> tasks;
    Breakdown breakdown;          // sums to duration_ns
    std::vector<Source> sources;  // by cost
    std::optional<Impact> impact;
    std::vector<Frame> stack;  // of the costliest source
    std::string verdict;
    std::string fingerprint;
    std::string fingerprint_exact;
    std::uint64_t occurrence = 1;  // of this fingerprint in this session
    std::string origin = "usdt";
    std::vector<std::string> seen_by;
    bool end_known = true;    // false: the record of its end was lost, end_ns is when it was seen to be over
    bool place_known = true;  // false: its fingerprint is any such finding's; not a field of the record
};

// A dispatch past the threshold that has not returned: what would be said of it if it ended now.
struct Stall : SlowCallback {
    bool start_known = true;  // false: it went on already when the session began, so it is older than duration_ns
};

struct BlockingCall {
    Subject subject;
    std::uint64_t end_ns = 0;
    Source source;  // its stack is the call's
    std::uint64_t threshold_ns = 0;
    std::uint64_t dispatch_seq = 0;
    LoopInfo loop;
    std::optional<TaskInfo> task;
    std::string verdict;
    std::string fingerprint;
    std::string fingerprint_exact;
    std::uint64_t occurrence = 1;
    std::string origin = "sched";
    std::vector<std::string> seen_by;
    bool place_known = true;  // as in SlowCallback
};

// Lifecycle (--trace) and misuse (§ findings about tasks): `type` is the JSON type.
struct TaskEvent {
    Subject subject;
    std::uint64_t at_ns = 0;
    std::string type;
    std::string loop_id;
    std::string task_id;
    std::vector<std::pair<std::string, std::string>> fields;
    std::vector<std::pair<std::string, Location>> locations;
    // Of a misuse: whose it is, where that task stands, innermost first, and of an exception, where it was thrown.
    std::map<std::string, std::string> labels;
    std::vector<Location> await_chain;
    std::vector<Frame> stack;
    bool limited = false;  // a misuse, which rate limits hold for, not a step; not a field of the record
};

struct Quantiles {
    std::uint64_t p50 = 0, p90 = 0, p99 = 0, max = 0;
    std::map<std::uint64_t, std::uint64_t> buckets;  // lower bound in ns → count, sparse
};

// The longest hold of each step of an interval, as analysis/strip.hpp writes it.
struct HoldStrip {
    std::uint64_t step_ns = 0;
    std::string max;
};

struct LoopStats {
    Subject subject;
    std::uint64_t at_ns = 0;
    LoopInfo loop;
    std::uint64_t interval_ns = 0;
    std::uint64_t iterations = 0, dispatches = 0, busy_ns = 0, idle_ns = 0;
    double utilization = 0;
    Quantiles dispatch_ns;
    std::optional<Quantiles> lag_ns;  // empty: timers are not seen
    std::uint64_t tasks_alive = 0, tasks_created = 0, tasks_cancelled = 0;
    std::optional<std::uint64_t> open_ns;  // of one that still runs at the end, so far; dispatch_ns.max counts it
    std::optional<HoldStrip> strip;        // empty: the interval is too short for it
    bool probed = true;                    // false: dispatches and timers are not seen; not a field of the record
};

// What one cause has cost a loop in an interval. A cause is a place in which slow callbacks spent their time; one that
// spent it in several places counts for each of them. Exact, whatever rate limits findings.
struct CauseStats {
    Subject subject;
    std::uint64_t at_ns = 0;
    LoopInfo loop;
    std::uint64_t interval_ns = 0;
    std::string
        fingerprint;  // of a slow_callback that this cause alone would make; "other": of all that are not listed
    Kind kind = Kind::other;
    std::string call;
    std::uint64_t count = 0;                         // slow callbacks that it had a part in
    std::uint64_t held_ns = 0;                       // its part of them
    std::uint64_t max_ns = 0;                        // the longest part
    std::map<std::uint64_t, std::uint64_t> hist;     // of these callbacks: lower bound in ns → count, sparse
    std::map<std::uint64_t, std::uint64_t> without;  // and as long as they had been without it
    std::uint64_t delayed = 0, delay_ns = 0;         // impact of those of which it was the costliest part
    std::uint64_t causes = 1;                        // how many of "other"
    std::vector<Frame> stack;                        // of one of them, innermost first
};

struct Overhead {
    std::optional<std::uint64_t> bpf_runs, bpf_ns;  // none, as of map_bytes: there is no kernel side
    std::optional<bool> bpf_ns_estimated;
    std::uint64_t collector_cpu_ns = 0, max_rss_bytes = 0, worker_max_rss_bytes = 0;
    std::optional<std::uint64_t> map_bytes;
};

struct SessionStart {
    std::uint64_t at_ns = 0;
    std::string version, kernel;
    std::vector<int> tiers;
    std::uint64_t threshold_ns = 0, block_threshold_ns = 0;
    std::vector<std::string> probes;
    std::map<std::string, std::uint64_t> limits;  // floor_ns, max_loops, stack_bytes …
    std::vector<std::string> warnings;
};

struct TargetStart {
    Subject subject;
    std::uint64_t at_ns = 0;
    std::string exe;
    std::vector<std::string> cmdline;
    std::string build_id;
    std::vector<int> tiers;
    std::vector<LoopInfo> loops;
    std::vector<std::string> warnings;
    std::uint64_t name_warnings = 0, cost_warnings = 0;  // how many of them; no fields of the record
};

// What a warning is about: something that is not seen, names that are missing, only what something costs, or another
// output, whose own counts say what it lacks.
enum class WarningAbout { sight, names, cost, output };

// What cannot be seen, or no longer, and since when: whenever that turns out.
struct Warning {
    std::optional<Subject> target;  // empty: it concerns the session
    std::uint64_t at_ns = 0;
    std::string text;
    std::string hint;                          // the command or setting that mends it; empty: none
    WarningAbout about = WarningAbout::sight;  // not a field of the record
};

struct TargetEnd {
    Subject subject;
    std::uint64_t at_ns = 0;
    std::string reason;  // exited, detached, exec
    std::optional<int> exit_status;
};

// What a task waits for.
struct WaitingFor {
    std::string kind;                           // timer, io, event, mutex, channel, executor, semaphore, other
    std::string name;                           // of the operation or, given by the program, of the object
    std::optional<std::uint64_t> fd;            // io
    std::string target, peer;                   // what the descriptor is
    std::optional<std::uint64_t> remaining_ns;  // timer; 0: it is due
    std::string holder;                         // mutex: id of the task that holds it
    std::optional<std::uint64_t> values;        // channel: how many stand in it
    std::string local = {};                     // io: the socket's own address
};

// A live task, as `loopwatch ps` lists it.
struct ListedTask {
    Subject subject;
    std::uint64_t at_ns = 0;
    LoopInfo loop;
    TaskInfo task;
    std::uint64_t age_ns = 0;   // good to 4 ms
    std::uint64_t busy_ns = 0;  // in its dispatches while somebody was attached
    std::uint64_t resumes = 0;
    std::string awaits;                     // id of the task it waits for; empty: for none
    std::optional<WaitingFor> waiting_for;  // what is no task
    std::uint64_t cancel_requests = 0;
    std::string cancelled_by, cancel_reason;     // of the last request
    std::optional<std::uint64_t> cancelling_ns;  // since the first
    std::vector<Frame> created_stack;            // of debug mode, and only of a single task; innermost first
    std::vector<std::uint64_t> frame_bytes;      // as await_chain: of each coroutine's frame; 0: not known
};

// What is wrong with a task, or with a place that spawns them.
struct TaskComplaint {
    std::string rule;  // as in analysis/task_lints.hpp
    std::string text;
    std::string task_id;  // empty: not one
    Location created_at;
};

// After the last of them.
struct TaskListEnd {
    Subject subject;
    std::uint64_t at_ns = 0;
    std::uint64_t tasks = 0;
    std::uint64_t duration_ns = 0;  // that the reading took
    std::vector<std::string> warnings;
    std::vector<TaskComplaint> lints;  // with --lint and --watch
};

using Counts = std::map<std::string, std::uint64_t>;

struct SessionStats {
    std::uint64_t at_ns = 0;
    Counts lost, suppressed;
    Overhead overhead;
};

// How many say what could not be seen, and how many only what has no name.
struct WarningCounts {
    std::uint64_t of_sight = 0, of_names = 0;
};

struct SessionEnd {
    std::uint64_t at_ns = 0, duration_ns = 0;
    Counts counts, lost, suppressed;
    std::uint64_t dispatches = 0;
    Quantiles dispatch_ns;
    std::map<std::string, std::uint64_t> coverage;
    Overhead overhead;
    std::string reason;
    std::string completeness = "complete", completeness_reason;  // completeness.hpp
    // What that depends on beside lost and suppressed; no fields of the record.
    WarningCounts warnings;
    bool saw_loop = true;
};

// What one dispatch has to be reported for.
struct Findings {
    std::optional<SlowCallback> slow;    // if the dispatch was slow and has ended
    std::optional<Stall> stall;          // if it goes on: then it is alone
    std::vector<BlockingCall> blocking;  // by their end: each call of at least the block threshold, seen by whomever
};

// What a sink is given: the findings of one dispatch travel together.
using Report = std::variant<SessionStart, TargetStart, Findings, TaskEvent, LoopStats, SessionStats, TargetEnd,
                            SessionEnd, ListedTask, TaskListEnd, Warning, CauseStats>;

}  // namespace loopwatch
