// SPDX-License-Identifier: Apache-2.0
//
// Parts first, then records, in the order of finding.hpp.
#include "output/record_fields.hpp"

#include <fmt/format.h>

#include "analysis/frames.hpp"
#include "analysis/kind.hpp"
#include "output/json_fields.hpp"

namespace loopwatch::json {

template <>
struct Value<Kind> {
    static Json encode(Kind kind) { return kind_name(kind); }
    static Json schema()
    {
        Json names = Json::array();
        for (int kind = 0; kind <= static_cast<int>(Kind::other); ++kind) names.push_back(kind_name(Kind(kind)));
        return {{"enum", names}};
    }
};

template <>
struct Value<WokenBy> {
    static Json encode(WokenBy woken_by) { return woken_by_name(woken_by); }
    static Json schema()
    {
        Json names = Json::array();
        for (int by = 0; by <= static_cast<int>(WokenBy::signal); ++by) names.push_back(woken_by_name(WokenBy(by)));
        return {{"enum", names}};
    }
};

std::optional<Frame> culprit_of(const CauseStats& cause)
{
    const auto* const frame = culprit_frame(cause.stack);
    return frame ? std::optional(*frame) : std::nullopt;
}

// Frames that are encoded already.
template <>
struct Value<Json> {
    static Json encode(const Json& frames) { return frames; }
    static Json schema() { return Value<std::vector<Frame>>::schema(); }
};

using Arguments = std::vector<std::pair<std::string, std::string>>;

// Descriptors, counts, sizes and durations are numbers; all else, addresses among them, strings.
template <>
struct Value<Arguments> {
    static bool is_number(std::string_view name, const std::string& value)
    {
        constexpr std::string_view names[] = {"fd", "pid", "tid", "bytes"};
        constexpr std::string_view units[] = {"_ns", "_pid", "_tid", "_percent"};
        const bool named = std::ranges::find(names, name) != std::end(names) ||
                           std::ranges::any_of(units, [&](auto unit) { return name.ends_with(unit); });
        // 18 digits fit 64 bits.
        const std::string_view digits = std::string_view(value).substr(value.starts_with('-') ? 1 : 0);
        return named && !digits.empty() && digits.size() <= 18 && digits.find_first_not_of("0123456789") == digits.npos;
    }
    static Json encode(const Arguments& arguments)
    {
        Json result = Json::object();
        for (const auto& [name, value] : arguments) {
            result[name] = is_number(name, value) ? Json(std::stoll(value)) : Json(value);
        }
        return result;
    }
    static Json schema()
    {
        return {{"type", "object"}, {"additionalProperties", {{"type", Json::array({"string", "integer"})}}}};
    }
};

namespace {

constexpr const char* hash_pattern = R"({"pattern":"^[0-9a-f]*$"})";
constexpr const char* uuid_pattern = R"({"pattern":"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"})";
constexpr const char* address_pattern = R"({"pattern":"^0x[0-9a-f]+$"})";
constexpr const char* at_least_one = R"({"minimum":1})";

// The target may live in our own PID namespace, and a record may concern the process as a whole, that is its main
// thread.
std::uint32_t tid_of(const Subject& s)
{
    return s.tid != 0 ? s.tid : s.pid;
}
std::uint32_t ns_pid_of(const Subject& s)
{
    return s.ns_pid != 0 ? s.ns_pid : s.pid;
}
std::uint32_t ns_tid_of(const Subject& s)
{
    return s.ns_tid != 0 ? s.ns_tid : s.tid != 0 ? s.tid : ns_pid_of(s);
}

std::uint64_t waits_of(const Source& source)
{
    return source.kind == Kind::cpu ? 0 : source.count;
}
std::optional<std::uint64_t> samples_of(const Source& source)
{
    return source.kind == Kind::cpu ? std::optional(source.count) : std::nullopt;
}

std::optional<std::string> known(const std::string& text)
{
    return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

#define LW_TABLE(type, name, ...)                              \
    template <>                                                \
    const Table<type>& table_of<type>()                        \
    {                                                          \
        static constexpr Field<type> fields[] = {__VA_ARGS__}; \
        static constexpr Table<type> table{name, fields};      \
        return table;                                          \
    }

// clang-format off
LW_TABLE(Envelope, "envelope",
    field<Envelope, [](const Envelope&) { return std::string("loopwatch/1"); }>("schema", "version of this format", R"({"const":"loopwatch/1"})"),
    field<Envelope, &Envelope::type>("type", "what the record is"),
    field<Envelope, &Envelope::time>("time", "when, UTC, RFC 3339 with nanoseconds", R"({"pattern":"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{9}Z$"})"),
    field<Envelope, &Envelope::mono_ns>("mono_ns", "when, CLOCK_MONOTONIC; of a finding: its end"),
    field<Envelope, &Envelope::host>("host", "name of the machine"),
    optional_field<Envelope, &Envelope::seq>("seq", "number of the record in the journal of its instance; one that is missing was lost"),
    optional_field<Envelope, &Envelope::instance>("instance", "of loopwatch, that wrote the journal: with seq it identifies the record everywhere", uuid_pattern),
    optional_field<Envelope, &Envelope::service>("service", "of the daemon: which service the target is"),
    optional_field<Envelope, &Envelope::version>("version", "its version, or the first digits of its build-id; of loopwatch in session_start and segment"),
    optional_field<Envelope, &Envelope::unit>("unit", "its systemd unit"),
    optional_field<Envelope, &Envelope::container>("container", "id of its container"),
    optional_field<Envelope, &Envelope::pod>("pod", "name of its Kubernetes pod"),
    optional_field<Envelope, &Envelope::labels>("labels", "those of its rule, and what else is known of where it runs"))

LW_TABLE(Subject, "subject",
    field<Subject, &Subject::pid>("pid", "process, in the PID namespace of loopwatch"),
    field<Subject, tid_of>("tid", "thread, in the PID namespace of loopwatch; the main thread where the whole process is meant"),
    field<Subject, &Subject::comm>("comm", "name of the thread"),
    field<Subject, ns_pid_of>("ns_pid", "process, as it sees itself"),
    field<Subject, ns_tid_of>("ns_tid", "thread, as it sees itself"))

LW_TABLE(Frame, "frame",
    field<Frame, &Frame::function>("function", "demangled; empty: unknown"),
    field<Frame, &Frame::module>("module", "path of the ELF file, as the target sees it"),
    field<Frame, &Frame::build_id>("build_id", "of the module; empty: it has none", hash_pattern),
    field<Frame, [](const Frame& f) { return fmt::format("{:#x}", f.offset); }>("offset", "in the module: what addr2line -e MODULE takes", address_pattern),
    field<Frame, &Frame::file>("file", "source file; empty: unknown"),
    field<Frame, &Frame::line>("line", "source line; 0: unknown"),
    field<Frame, &Frame::inlined>("inlined", "inlined into the next frame"),
    optional_field<Frame, [](const Frame& f) { return f.truncated ? std::optional(true) : std::nullopt; }>("truncated", "the stack goes on, but could not be read"))

LW_TABLE(Location, "location",
    field<Location, &Location::function>("function", "empty: unknown"),
    field<Location, &Location::file>("file", "empty: unknown"),
    field<Location, &Location::line>("line", "0: unknown"))

LW_TABLE(Waker, "waker",
    field<Waker, &Waker::pid>("pid", "its process"),
    field<Waker, &Waker::tid>("tid", "its thread"),
    field<Waker, &Waker::comm>("comm", "name of its thread"),
    field<Waker, &Waker::stack>("stack", "what it was doing, innermost first"),
    optional_field<Waker, [](const Waker& w) { return w.runq_ns ? std::optional(w.runq_ns) : std::nullopt; }>("runq_ns", "part of the wait for which the waker, a loop's thread too, waited for a CPU itself"))

LW_TABLE(Source, "source",
    field<Source, &Source::kind>("kind", "what the thread did"),
    field<Source, &Source::call>("call", "libc function or system call; empty: none"),
    field<Source, &Source::args>("args", "its arguments"),
    field<Source, &Source::duration_ns>("duration_ns", "all of it in this dispatch"),
    field<Source, &Source::longest_ns>("longest_ns", "the longest one; 0: not known"),
    field<Source, waits_of>("count", "how often the thread waited there; 0: not known, or of kind cpu"),
    optional_field<Source, samples_of>("samples", "of kind cpu: how many samples say what ran; absent: it is a wait"),
    field<Source, &Source::stack>("stack", "innermost first"),
    field<Source, &Source::kernel_stack>("kernel_stack", "innermost first; with --kernel-stacks"),
    field<Source, &Source::waker>("waker", "the thread that ended the wait"),
    field<Source, &Source::woken_by>("woken_by", "what ended the wait"))

LW_TABLE(TaskInfo, "task",
    field<TaskInfo, &TaskInfo::id>("id", "unique in its process"),
    field<TaskInfo, &TaskInfo::name>("name", "given by the program; empty: none"),
    field<TaskInfo, &TaskInfo::labels>("labels", "given by the program"),
    field<TaskInfo, &TaskInfo::state>("state", "when the dispatch ran"),
    field<TaskInfo, &TaskInfo::parent_id>("parent_id", "the task that spawned it"),
    field<TaskInfo, &TaskInfo::created_at>("created_at", "where it was spawned"),
    field<TaskInfo, &TaskInfo::resumed_at>("resumed_at", "the await at which this dispatch began"),
    field<TaskInfo, &TaskInfo::await_chain>("await_chain", "where each of its coroutines stands, innermost first"))

LW_TABLE(LoopInfo, "loop",
    field<LoopInfo, &LoopInfo::id>("id", "unique in its process"),
    field<LoopInfo, &LoopInfo::name>("name", "given by the program; empty: none"))

LW_TABLE(Breakdown, "breakdown",
    field<Breakdown, &Breakdown::cpu_ns>("cpu_ns", "on CPU"),
    field<Breakdown, &Breakdown::blocked_ns>("blocked_ns", "asleep of its own accord"),
    field<Breakdown, &Breakdown::runq_ns>("runq_ns", "ready, waiting for a CPU"),
    field<Breakdown, &Breakdown::throttled_ns>("throttled_ns", "held back by its cgroup's CPU limit"),
    field<Breakdown, &Breakdown::stopped_ns>("stopped_ns", "stopped by a signal or a debugger"),
    field<Breakdown, &Breakdown::other_ns>("other_ns", "not accounted for"))

LW_TABLE(TaskShare, "task_share",
    field<TaskShare, &TaskShare::id>("id", "of the task"),
    field<TaskShare, &TaskShare::name>("name", "of the task"),
    field<TaskShare, &TaskShare::percent>("percent", "of the times that the iteration was looked at"))

LW_TABLE(Impact, "impact",
    field<Impact, &Impact::tasks_delayed>("tasks_delayed", "how many waited in the ready queue"),
    field<Impact, &Impact::max_delay_ns>("max_delay_ns", "the longest wait"),
    field<Impact, &Impact::total_delay_ns>("total_delay_ns", "the sum of the waits"))

LW_TABLE(Quantiles, "quantiles",
    field<Quantiles, &Quantiles::p50>("p50", "ns"),
    field<Quantiles, &Quantiles::p90>("p90", "ns"),
    field<Quantiles, &Quantiles::p99>("p99", "ns"),
    field<Quantiles, &Quantiles::max>("max", "ns"),
    field<Quantiles, &Quantiles::buckets>("buckets", "lower bound in ns: count; empty buckets are left out"))

LW_TABLE(Overhead, "overhead",
    optional_field<Overhead, &Overhead::bpf_runs>("bpf_runs", "how often our programs ran in the kernel; absent, as what else is of the kernel: none was loaded"),
    optional_field<Overhead, &Overhead::bpf_ns>("bpf_ns", "what they cost"),
    optional_field<Overhead, &Overhead::bpf_ns_estimated>("bpf_ns_estimated", "the cost is runs times a calibrated price"),
    field<Overhead, &Overhead::collector_cpu_ns>("collector_cpu_ns", "CPU time of loopwatch itself"),
    field<Overhead, &Overhead::max_rss_bytes>("max_rss_bytes", "largest memory of loopwatch"),
    field<Overhead, &Overhead::worker_max_rss_bytes>("worker_max_rss_bytes", "largest memory of its symbol worker"),
    optional_field<Overhead, &Overhead::map_bytes>("map_bytes", "kernel memory of its BPF maps"))

LW_TABLE(SessionStart, "session_start",
    field<SessionStart, &SessionStart::version>("version", "of loopwatch"),
    field<SessionStart, &SessionStart::kernel>("kernel", "release of the kernel"),
    field<SessionStart, &SessionStart::tiers>("tiers", "what is live, 0 to 3"),
    field<SessionStart, &SessionStart::threshold_ns>("threshold_ns", "of a slow callback"),
    field<SessionStart, &SessionStart::block_threshold_ns>("block_threshold_ns", "of a blocking call"),
    field<SessionStart, &SessionStart::probes>("probes", "that are attached"),
    field<SessionStart, &SessionStart::limits>("limits", "what bounds this session"),
    field<SessionStart, &SessionStart::warnings>("warnings", "what cannot be seen, and why"))

LW_TABLE(TargetStart, "target_start",
    field<TargetStart, &TargetStart::exe>("exe", "path of the program"),
    field<TargetStart, &TargetStart::cmdline>("cmdline", "its arguments"),
    field<TargetStart, &TargetStart::build_id>("build_id", "of the program; empty: it has none", hash_pattern),
    field<TargetStart, &TargetStart::tiers>("tiers", "what it brings, 0 to 3"),
    field<TargetStart, &TargetStart::loops>("loops", "that run"),
    field<TargetStart, &TargetStart::warnings>("warnings", "what cannot be seen, and why"))

#define LW_SLOW_CALLBACK_FIELDS(T) \
    field<T, &SlowCallback::scope>("scope", "one callback or resume, or a whole iteration of the loop", R"({"enum":["dispatch","iteration"]})"), \
    field<T, &SlowCallback::duration_ns>("duration_ns", "how long it held the loop"), \
    field<T, &SlowCallback::threshold_ns>("threshold_ns", "that it reached"), \
    field<T, &SlowCallback::dispatch_seq>("dispatch_seq", "joins it with its blocking calls"), \
    field<T, &SlowCallback::loop>("loop", "that was held"), \
    field<T, &SlowCallback::task>("task", "that held it; null: a plain callback, or not known"), \
    optional_field<T, &SlowCallback::dispatches>("dispatches", "of an iteration: how many it ran, none of them slow; absent: they are not seen, or it is a dispatch"), \
    optional_field<T, &SlowCallback::tasks>("tasks", "that they were of, by how often each was met"), \
    field<T, &SlowCallback::breakdown>("breakdown", "sums to duration_ns"), \
    field<T, &SlowCallback::sources>("sources", "where the time went, by cost"), \
    field<T, &SlowCallback::impact>("impact", "who waited; null: not known"), \
    field<T, &SlowCallback::stack>("stack", "of the costliest source, innermost first"), \
    field<T, &SlowCallback::verdict>("verdict", "what happened, in a sentence"), \
    field<T, &SlowCallback::fingerprint>("fingerprint", "equal for the same cause on all hosts and builds", hash_pattern), \
    field<T, &SlowCallback::fingerprint_exact>("fingerprint_exact", "equal for the same instructions", hash_pattern), \
    field<T, &SlowCallback::occurrence>("occurrence", "of this fingerprint in this session", at_least_one), \
    field<T, &SlowCallback::origin>("origin", "who measured the duration", R"({"enum":["usdt","sched","preload","uprobe"]})"), \
    field<T, &SlowCallback::seen_by>("seen_by", "who saw it")

LW_TABLE(SlowCallback, "slow_callback", LW_SLOW_CALLBACK_FIELDS(SlowCallback),
    field<SlowCallback, &SlowCallback::end_known>("end_known", "false: the record of its end was lost, it lasted no longer than this"))

LW_TABLE(Stall, "stall", LW_SLOW_CALLBACK_FIELDS(Stall),
    field<Stall, &SlowCallback::duration_ns>("elapsed_ns", "since the dispatch began: what duration_ns says too"),
    field<Stall, &Stall::start_known>("start_known", "false: it is older, the session found it going on"),
    field<Stall, [](const Stall&) { return true; }>("in_progress", "it has not returned yet", R"({"const":true})"))
#undef LW_SLOW_CALLBACK_FIELDS

LW_TABLE(BlockingCall, "blocking_call",
    field<BlockingCall, [](const BlockingCall& b) { return b.source.call; }>("call", "libc function or system call; empty: none"),
    field<BlockingCall, [](const BlockingCall& b) { return b.source.args; }>("args", "its arguments"),
    field<BlockingCall, [](const BlockingCall& b) { return b.source.duration_ns; }>("duration_ns", "how long it took"),
    field<BlockingCall, [](const BlockingCall& b) { return b.source.kind; }>("kind", "what the thread did"),
    field<BlockingCall, &BlockingCall::threshold_ns>("threshold_ns", "that it reached"),
    field<BlockingCall, [](const BlockingCall& b) { return b.source.stack; }>("stack", "innermost first"),
    field<BlockingCall, [](const BlockingCall& b) { return b.source.kernel_stack; }>("kernel_stack", "innermost first; with --kernel-stacks"),
    field<BlockingCall, [](const BlockingCall& b) { return b.source.waker; }>("waker", "the thread that ended the wait"),
    field<BlockingCall, [](const BlockingCall& b) { return b.source.woken_by; }>("woken_by", "what ended the wait"),
    field<BlockingCall, &BlockingCall::loop>("loop", "whose thread it was"),
    field<BlockingCall, &BlockingCall::task>("task", "that called; null: a plain callback, or not known"),
    field<BlockingCall, &BlockingCall::dispatch_seq>("dispatch_seq", "joins it with its slow callback; 0: outside of a dispatch"),
    field<BlockingCall, &BlockingCall::verdict>("verdict", "what happened, in a sentence"),
    field<BlockingCall, &BlockingCall::fingerprint>("fingerprint", "equal for the same cause on all hosts and builds", hash_pattern),
    field<BlockingCall, &BlockingCall::fingerprint_exact>("fingerprint_exact", "equal for the same instructions", hash_pattern),
    field<BlockingCall, &BlockingCall::occurrence>("occurrence", "of this fingerprint in this session", at_least_one),
    field<BlockingCall, &BlockingCall::origin>("origin", "who measured the duration", R"({"enum":["usdt","sched","preload"]})"),
    field<BlockingCall, &BlockingCall::seen_by>("seen_by", "who saw it"))

LW_TABLE(TaskEvent, "task_event",
    field<TaskEvent, [](const TaskEvent& e) { return known(e.loop_id); }>("loop_id", "where it happened; null: not known"),
    field<TaskEvent, [](const TaskEvent& e) { return known(e.task_id); }>("task_id", "whom it concerns; null: no task, or not known"))

LW_TABLE(HoldStrip, "strip",
    field<HoldStrip, &HoldStrip::step_ns>("step_ns", "length of a step"),
    field<HoldStrip, &HoldStrip::max>("max", "a byte a step, in base64: the longest hold, 8 log2(ns / 1000); 0: shorter than 1 us, or none", R"({"pattern":"^[A-Za-z0-9+/]+=*$"})"))

LW_TABLE(LoopStats, "loop_stats",
    field<LoopStats, &LoopStats::loop>("loop", "that is counted"),
    field<LoopStats, &LoopStats::interval_ns>("interval_ns", "since the last one"),
    field<LoopStats, &LoopStats::iterations>("iterations", "polls in the interval"),
    field<LoopStats, &LoopStats::dispatches>("dispatches", "callbacks and resumes in the interval; 0 where the program carries no probes"),
    field<LoopStats, &LoopStats::busy_ns>("busy_ns", "in dispatches"),
    field<LoopStats, &LoopStats::idle_ns>("idle_ns", "in polls"),
    field<LoopStats, &LoopStats::utilization>("utilization", "busy part of the interval, 0 to 1", R"({"minimum":0})"),
    field<LoopStats, &LoopStats::dispatch_ns>("dispatch_ns", "durations of the dispatches or, without probes, iterations that ended in the interval; max: open_ns, if that is longer"),
    optional_field<LoopStats, &LoopStats::open_ns>("open_ns", "of the dispatch or iteration that runs at the end of the interval: how long by then, at least; absent: none does"),
    optional_field<LoopStats, &LoopStats::strip>("strip", "the longest hold of each second; absent where the interval is no longer than that"),
    optional_field<LoopStats, &LoopStats::lag_ns>("lag_ns", "from a timer's expiry to its callback; absent where timers are not seen"),
    field<LoopStats, &LoopStats::tasks_alive>("tasks_alive", "that are not finished"),
    field<LoopStats, &LoopStats::tasks_created>("tasks_created", "in the interval"),
    field<LoopStats, &LoopStats::tasks_cancelled>("tasks_cancelled", "in the interval"))

LW_TABLE(CauseStats, "cause_stats",
    field<CauseStats, &CauseStats::loop>("loop", "that was held"),
    field<CauseStats, &CauseStats::interval_ns>("interval_ns", "since the last one"),
    field<CauseStats, &CauseStats::fingerprint>("fingerprint", "of the slow_callback that this cause alone would make; other: of all that are not listed", R"({"pattern":"^([0-9a-f]{16}|other)$"})"),
    field<CauseStats, &CauseStats::kind>("kind", "what the thread did"),
    field<CauseStats, &CauseStats::call>("call", "libc function or system call; empty: none"),
    field<CauseStats, &CauseStats::count>("count", "slow callbacks that it had a part in, those over a rate limit too", at_least_one),
    field<CauseStats, &CauseStats::held_ns>("held_ns", "its part of them"),
    field<CauseStats, &CauseStats::max_ns>("max_ns", "the longest part"),
    field<CauseStats, &CauseStats::hist>("hist", "durations of these callbacks: lower bound in ns, 2^(i/8), to count"),
    field<CauseStats, &CauseStats::without>("without", "the same, less the part of this cause"),
    field<CauseStats, &CauseStats::delayed>("delayed", "tasks that waited for those callbacks of which it was the costliest part"),
    field<CauseStats, &CauseStats::delay_ns>("delay_ns", "for how long in all"),
    optional_field<CauseStats, [](const CauseStats& c) { return c.fingerprint == "other" ? std::optional(c.causes) : std::nullopt; }>("causes", "how many this sums up, at most; absent: it is one"),
    optional_field<CauseStats, [](const CauseStats& c) { return culprit_of(c); }>("culprit", "the frame of this stack that a verdict names; absent: none"),
    field<CauseStats, &CauseStats::stack>("stack", "of one of its blocks or samples, innermost first"))

LW_TABLE(StackRecord, "stack",
    field<StackRecord, &StackRecord::stack_id>("stack_id", "by which later records of this output name it", R"({"pattern":"^[0-9a-f]{16}$"})"),
    field<StackRecord, &StackRecord::frames>("frames", "innermost first"))

LW_TABLE(SegmentRecord, "segment",
    field<SegmentRecord, &SegmentRecord::realtime_ns>("realtime_ns", "CLOCK_REALTIME at mono_ns, since 1970"),
    field<SegmentRecord, &SegmentRecord::instance>("instance", "UUID of the state directory that the journal is in", uuid_pattern),
    field<SegmentRecord, &SegmentRecord::boot_id>("boot_id", "of the kernel whose mono_ns these are"),
    field<SegmentRecord, &SegmentRecord::first_seq>("first_seq", "seq of the first record in this segment"),
    field<SegmentRecord, &SegmentRecord::version>("version", "of loopwatch"))

LW_TABLE(SessionStats, "session_stats",
    field<SessionStats, &SessionStats::lost>("lost", "what could not be recorded, by reason, since the start"),
    field<SessionStats, &SessionStats::suppressed>("suppressed", "findings over the rate limit, by type, since the start"),
    field<SessionStats, &SessionStats::overhead>("overhead", "what watching costs"))

LW_TABLE(Warning, "warning",
    field<Warning, &Warning::target>("target", "the process whose report lacks something; null: the whole session's does"),
    field<Warning, &Warning::text>("text", "what cannot be seen, or no longer"),
    field<Warning, &Warning::hint>("hint", "the command or setting that mends it; empty: none"))

LW_TABLE(TargetEnd, "target_end",
    field<TargetEnd, &TargetEnd::reason>("reason", "exited, detached, exec"),
    field<TargetEnd, &TargetEnd::exit_status>("exit_status", "status word of wait(2): 256 for exit(1), 11 for SIGSEGV; null: not known"))

LW_TABLE(WaitingFor, "waiting_for",
    field<WaitingFor, &WaitingFor::kind>("kind", "timer, io, event, mutex, channel, executor, semaphore or other"),
    field<WaitingFor, &WaitingFor::name>("name", "of the operation or, given by the program, of the object; empty: none"),
    optional_field<WaitingFor, &WaitingFor::fd>("fd", "of the operation"),
    field<WaitingFor, &WaitingFor::target>("target", "what the descriptor is; empty: none, or not known"),
    field<WaitingFor, &WaitingFor::peer>("peer", "the socket's other end; empty: none, or not known"),
    field<WaitingFor, &WaitingFor::local>("local", "the socket's own address; empty: none, or not known"),
    optional_field<WaitingFor, &WaitingFor::remaining_ns>("remaining_ns", "until the timer is due"),
    field<WaitingFor, &WaitingFor::holder>("holder", "id of the task that holds the mutex; empty: none"),
    optional_field<WaitingFor, &WaitingFor::values>("values", "that stand in the channel"))

LW_TABLE(ListedTask, "task_listed",
    field<ListedTask, &ListedTask::loop>("loop", "where it runs"),
    field<ListedTask, &ListedTask::task>("task", "as it is now; resumed_at: unknown"),
    field<ListedTask, &ListedTask::age_ns>("age_ns", "since it was spawned, good to 4 ms; 0: not known"),
    field<ListedTask, &ListedTask::busy_ns>("busy_ns", "in its dispatches, while a session was attached"),
    field<ListedTask, &ListedTask::resumes>("resumes", "its dispatches so far"),
    field<ListedTask, &ListedTask::awaits>("awaits", "id of the task it waits for; empty: for none"),
    field<ListedTask, &ListedTask::waiting_for>("waiting_for", "what it waits for other than a task; null: nothing, or not known"),
    field<ListedTask, &ListedTask::cancel_requests>("cancel_requests", "how often it was asked to stop"),
    field<ListedTask, &ListedTask::cancelled_by>("cancelled_by", "id of the task that asked last; empty: none"),
    field<ListedTask, &ListedTask::cancel_reason>("cancel_reason", "of the last request"),
    optional_field<ListedTask, &ListedTask::cancelling_ns>("cancelling_ns", "since the first request"),
    field<ListedTask, &ListedTask::created_stack>("created_stack", "who spawned it, innermost first, of a task in debug mode that `where` asks for"),
    field<ListedTask, &ListedTask::frame_bytes>("frame_bytes", "size of the coroutine frames of task.await_chain; 0: not known"))

LW_TABLE(TaskComplaint, "task_complaint",
    field<TaskComplaint, &TaskComplaint::rule>("rule", "self_wake, never_yields, cannot_wake, growing_site or large_frame"),
    field<TaskComplaint, &TaskComplaint::text>("text", "what is wrong, in a sentence"),
    field<TaskComplaint, &TaskComplaint::task_id>("task_id", "whom it concerns; empty: not one"),
    field<TaskComplaint, &TaskComplaint::created_at>("created_at", "where it was spawned; of large_frame, whose frame"))

LW_TABLE(TaskListEnd, "task_list_end",
    field<TaskListEnd, &TaskListEnd::tasks>("tasks", "how many were listed"),
    field<TaskListEnd, &TaskListEnd::duration_ns>("duration_ns", "that reading them took"),
    field<TaskListEnd, &TaskListEnd::warnings>("warnings", "what is missing, and why"),
    field<TaskListEnd, &TaskListEnd::lints>("lints", "what this look and the one before show to be wrong, with --lint and --watch"))

LW_TABLE(SessionEnd, "session_end",
    field<SessionEnd, &SessionEnd::reason>("reason", "why it ended"),
    field<SessionEnd, &SessionEnd::duration_ns>("duration_ns", "of the session"),
    field<SessionEnd, &SessionEnd::completeness>("completeness", "of the report: names_missing if only names, paths or stacks of findings are missing; limited if times or counts are, or what warnings say could not be seen; findings_missing if findings may be",
                                                 R"({"enum":["complete","names_missing","limited","findings_missing","nothing_watched"]})"),
    field<SessionEnd, &SessionEnd::completeness_reason>("completeness_reason", "what is missing, in a sentence; empty: nothing"),
    field<SessionEnd, &SessionEnd::counts>("counts", "records by type"),
    field<SessionEnd, &SessionEnd::lost>("lost", "what could not be recorded, by reason"),
    field<SessionEnd, &SessionEnd::suppressed>("suppressed", "findings over the rate limit, by type"),
    field<SessionEnd, &SessionEnd::dispatches>("dispatches", "that were counted; iterations of programs without probes"),
    field<SessionEnd, &SessionEnd::dispatch_ns>("dispatch_ns", "their durations; max: also of one that was not seen to end"),
    field<SessionEnd, &SessionEnd::coverage>("coverage", "blocking calls by who saw them: scheduler and shim (both), or one (sched_only, preload_only)"),
    field<SessionEnd, &SessionEnd::overhead>("overhead", "what watching cost"))
// clang-format on

#undef LW_TABLE

}  // namespace loopwatch::json
