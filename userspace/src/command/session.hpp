// SPDX-License-Identifier: Apache-2.0
//
// Session: the order of things. open (worker, kernel side, targets) → run (until the targets end, the time is up or a
// signal comes) → summary. Owns nothing of how a finding is made (analysis) or shown (output).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attach/attachment.hpp"
#include "attach/children.hpp"
#include "attach/new_images.hpp"
#include "attach/overhead_limit.hpp"
#include "attach/poll_watch.hpp"
#include "attach/watchdog.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/kernel.hpp"
#include "collect/kernel_symbols.hpp"
#include "command/ending_signals.hpp"
#include "command/session_options.hpp"
#include "command/session_records.hpp"
#include "detect/statistics.hpp"
#include "detect/unproven_iterations.hpp"
#include "report/reporter.hpp"
#include "resolve/investigation.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

class Session {
public:
    // Everything that can go wrong before detection is live goes wrong here. `hub` outlives the session.
    static Result<std::unique_ptr<Session>> open(SessionOptions options, Hub& hub);
    ~Session();
    // Returns done, or fail_on_matched.
    Result<ExitCode> run();
    // Called by run() once, when detection is live.
    void when_live(std::function<void()> then) { when_live_ = std::move(then); }
    // The signal that ended it, if one did.
    const std::optional<EndingSignals::Signal>& ended_by() const noexcept { return ended_by_; }
    // As session_end has it.
    const std::string& end_reason() const noexcept { return end_reason_; }

private:
    static constexpr std::size_t max_records = 4096;  // handled in one round

    Session(SessionOptions options, Hub& hub);
    Result<void> leave_out(pid_t pid, const Error& error);
    Result<void> leave_out_unwatchable();
    Result<void> attach_targets();
    void watch_process(pid_t pid, std::uint64_t now_ns);
    void adopt(std::uint64_t now_ns);
    void begin_image(std::uint32_t pid, std::uint64_t now_ns);
    void hurry_worker(std::uint64_t now_ns);
    void retire(std::vector<Link> links);
    bool retiring() const;
    Result<void> check_threads();
    Result<void> check_floor();
    void publish_start();

    // One round of the event loop.
    void wait();
    bool drain();
    void drain_present();
    void drain_all();
    void wait_for_worker(int timeout_ms);
    void on_event(const Event& event);
    void on(const LoopStartedEvent& event);
    void on(const LoopStoppedEvent& event);
    void on(const DispatchEvent& event);
    void on(const IterationEvent& event);
    void on(const SourceEvent& event);
    void on(const SampleEvent& event);
    void on(const CallEvent& event);
    void on(const StepEvent& event);
    void on(const WakerEvent& event);
    void on(const WaitEvent& event);
    void on(const ShimWaitEvent&) {}  // the shim sends none where the kernel side watches
    void on(const ThrownEvent& event);
    void on(const WakeEvent& event);
    void on(const ExitEvent& event);
    void on(const ExecEvent& event);
    void on(const ChildEvent& event);
    void explain_bundle(DispatchBundle bundle);
    void watch_polls(std::uint64_t now_ns);
    std::vector<DispatchFacts> iterations_of(DispatchFacts facts);
    void report_iterations(DispatchFacts facts);
    void report_proven();
    bool proven(const Subject& thread);
    void give_up_unproven(const Attachment& target);
    void tick(std::uint64_t now_ns);
    std::optional<OngoingDispatch> ongoing_of(const OverdueDispatch& overdue, Attachment& target);
    void interval(std::uint64_t now_ns);
    void limit(std::uint64_t now_ns);
    void note_loops(const Attachment& target) { saw_loop_ |= !target.known_loops().empty(); }
    void warn(std::string text);
    void end_loop(Attachment& target, std::uint32_t tid, std::uint64_t loop_id);
    void end_target(std::uint32_t pid, const char* reason);
    void report_ended(std::uint64_t now_ns);
    void await_ended();
    void finish();

    // Others may come.
    bool follows_name() const { return !options_.name.empty(); }
    bool wanted(std::uint32_t tid) const { return options_.tids.empty() || options_.tids.contains(tid); }
    Attachment* find(std::uint32_t pid);
    Attachment* find_ended(std::uint32_t pid);
    Attachment* find_judge(std::uint32_t pid);
    Counts losses() const;
    Overhead overhead() const;

    SessionOptions options_;
    AttachmentOptions attachment_options_;
    Gate gate_;
    Reporter reporter_;
    std::unique_ptr<SymbolWorker> worker_;
    std::unique_ptr<Kernel> kernel_;
    Targets targets_;
    Children children_;
    NewImages images_;
    struct Ending {
        std::unique_ptr<Attachment> target;
        const char* reason;
        std::uint64_t asked;  // of the worker, when it ended
        std::uint64_t until_ns;
    };
    std::vector<Ending> ending_;
    std::future<void> retiring_;
    std::vector<std::string> warnings_;
    std::set<pid_t> left_out_;  // cannot be watched

    KernelSymbols kernel_symbols_;
    Investigations investigations_;
    DispatchBook book_;
    std::optional<Watchdog> watchdog_;
    std::optional<PollWatch> poll_watch_;
    std::uint64_t hurried_until_ns_ = 0;  // the worker; 0: it is not
    bool polls_unwatched_ = false;
    Statistics statistics_;

    EndingSignals signals_;
    std::uint64_t unclear_iterations_ = 0, processes_missed_ = 0;
    bool has_children_ = false;  // that are not to be watched
    UnprovenIterations unproven_;
    std::optional<EndingSignals::Signal> ended_by_;
    std::string watched_;  // its first target's name
    std::string end_reason_ = "duration";
    std::uint64_t started_ns_ = 0, next_interval_ns_ = 0;
    std::array<OverheadLimit, frequent_kinds> limits_;
    std::vector<Event> early_;  // came before the session was live
    bool backlog_ = false;      // records wait; trace records do not wake us
    bool calibrating_ = false;
    std::function<void()> when_live_ = [] {};
    bool saw_loop_ = false;  // at any time, in any target
};

}  // namespace loopwatch
