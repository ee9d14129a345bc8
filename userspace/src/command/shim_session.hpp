// SPDX-License-Identifier: Apache-2.0
//
// ShimSession: `loopwatch run` where there is no kernel side, as any user. The program is started with the shim in it;
// the shim of each process makes a ring in a directory of ours, findings are made of what the rings tell.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "analysis/completeness.hpp"
#include "attach/shim_target.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/kernel_symbols.hpp"
#include "command/ending_signals.hpp"
#include "command/session_options.hpp"
#include "detect/lost_ends.hpp"
#include "detect/statistics.hpp"
#include "report/reporter.hpp"
#include "resolve/investigation.hpp"
#include "stack/symbol_worker.hpp"
#include "target/launch.hpp"

namespace loopwatch {

class ShimSession {
public:
    // Starts the program. Everything that keeps it from being started, or from being seen, goes wrong here.
    static Result<std::unique_ptr<ShimSession>> open(SessionOptions options, std::vector<std::string> command,
                                                     Hub& hub);
    ~ShimSession();
    // Until the program ends, and with follow_children what it has started. Its exit status as a shell tells it;
    // fail_on_matched wins.
    Result<int> run();

private:
    struct Seen {  // of a loop's dispatch
        std::uint64_t seq = 0, since_ns = 0, told_ns = 0, lost = 0;
    };
    ShimSession(SessionOptions options, Hub& hub);
    Result<void> make_directory();
    void wait();
    void on_signal();
    void meet_newcomers();
    void meet(const std::string& path);
    void warn_of_closed(std::uint32_t pid, const Error& error);
    bool drain();
    void on_event(const Event& event);
    void on(const DispatchEvent& event);
    void on(const IterationEvent& event);
    void on(const CallEvent& event);
    void on(const ShimWaitEvent& event);
    template <class Other>
    void on(const Other&)
    {
    }
    void tick(std::uint64_t now_ns);
    void meet_loops(ShimTarget& target, std::uint64_t now_ns);
    void look(ShimTarget& target, const LoopView& loop, std::uint64_t now_ns);
    void interval(std::uint64_t now_ns);
    void explain_bundle(DispatchBundle bundle);
    void explain_ended(std::vector<DispatchBundle> bundles, std::uint64_t now_ns);
    void explain_lost_ends(const std::vector<LostEnds::End>& ends);
    void note_end(ShimTarget& target, const LoopView& loop, std::uint64_t now_ns);
    void end_target(std::uint32_t pid, const char* reason);
    void note_unproven(const ShimTarget& target);
    void finish();
    bool wanted(std::uint32_t tid) const { return options_.tids.empty() || options_.tids.contains(tid); }
    Counts losses() const;

    SessionOptions options_;
    Gate gate_;
    Reporter reporter_;
    std::unique_ptr<SymbolWorker> worker_;
    std::string name_;  // of the program
    std::string directory_;
    Fd newcomers_;  // inotify of the directory
    std::optional<Launch> launched_;
    std::map<std::uint32_t, std::unique_ptr<ShimTarget>> targets_;
    bool met_ = false;         // the program itself
    bool closed_ = false;      // its shim has come, but the kernel does not let us look into it
    bool unreadable_ = false;  // the file of the program
    bool children_unwatched_ = false, child_elsewhere_ = false;

    KernelSymbols kernel_symbols_;
    Investigations investigations_;
    DispatchBook book_;
    Statistics statistics_;
    std::map<std::uint32_t, Seen> seen_;  // by tid
    LostEnds lost_ends_;
    EndingSignals signals_;
    ShimRing::Counts ended_;  // of targets that are gone
    ShimTarget::Unproven unproven_;
    std::string first_unproven_;
    std::uint64_t missed_ = 0;
    std::uint64_t started_ns_ = 0, next_interval_ns_ = 0, next_tick_ns_ = 0;
    bool asked_to_end_ = false, over_ = false;
    std::string end_reason_ = "target_end";
};

}  // namespace loopwatch
