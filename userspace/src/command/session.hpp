// SPDX-License-Identifier: Apache-2.0
//
// Session: one run of the engine from a command line. open() → a source is opened with its engine → begin(), detection
// is live → run() until the source is exhausted, the time is up or a signal comes → the summary. Owns nothing of how a
// finding is made (analysis) or shown (output).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collect/kernel_symbols.hpp"
#include "command/core_confinement.hpp"
#include "command/ending_signals.hpp"
#include "command/session_options.hpp"
#include "detect/engine.hpp"
#include "report/reporter.hpp"
#include "stack/symbol_worker.hpp"
#include "util/reactor.hpp"

namespace loopwatch {

class Session {
public:
    // `hub` outlives the session. The symbol worker starts here: before BPF is loaded.
    static Result<std::unique_ptr<Session>> open(SessionOptions options, Hub& hub);
    ~Session();

    SessionOptions& options() noexcept { return options_; }
    Engine& engine() noexcept { return engine_; }
    SymbolWorker& worker() noexcept { return *worker_; }
    Gate& gate() noexcept { return gate_; }
    Counts losses() const;
    // Of our processes and the kernel side, since the session began.
    Overhead overhead() const;
    KernelSymbols& kernel_symbols() noexcept { return kernel_symbols_; }

    // Reports its start, and that of the targets by now. `tiers`: that the source is known to have, beside theirs.
    void begin(TargetSource& source, std::vector<int> tiers = {});
    // To be called once targets are attached and programs started: nothing can be started afterwards.
    void drop_privileges(CoreWork rest);
    // The same, at that time: it takes 3 ms, in which a program that has just been started may come and go.
    void drop_privileges_at(std::uint64_t time_ns, CoreWork rest)
    {
        drop_at_ns_ = time_ns;
        rest_ = rest;
    }
    // Why nothing can be written; run() ends at once then, and completes the other outputs.
    const std::optional<Error>& failure() const noexcept { return reporter_.failure(); }
    // Returns done, or fail_on_matched.
    Result<ExitCode> run();
    // It was asked to end, by now.
    bool was_asked_to_end() const noexcept { return asked_to_end_; }
    // The signal that ended it, if one did.
    const std::optional<EndingSignals::Signal>& ended_by() const noexcept { return ended_by_; }
    // As session_end has it.
    const std::string& end_reason() const noexcept { return end_reason_; }

private:
    Session(SessionOptions options, Hub& hub, Gate gate, EndingSignals signals, std::unique_ptr<SymbolWorker> worker);
    Result<void> watch();
    void publish(Report&& report);
    bool turn();
    void wait(bool more, std::function<void()> then);
    void on_signal();
    void ask_to_end(const EndingSignals::Signal* signal);
    void interval(std::uint64_t now_ns);
    void finish();

    SessionOptions options_;
    Gate gate_;
    Reporter reporter_;
    std::unique_ptr<SymbolWorker> worker_;
    KernelSymbols kernel_symbols_;
    EndingSignals signals_;
    Reactor reactor_;
    Reactor::Watch answers_, signal_watch_;
    std::map<int, Reactor::Watch> outputs_;  // that take nothing at present
    Engine engine_;
    TargetSource* source_ = nullptr;

    std::vector<std::string> warnings_;  // before its start
    std::string watched_;                // its first target's name
    std::uint64_t started_ns_ = 0, next_interval_ns_ = 0;
    std::uint64_t next_step_ns_ = 0;  // of the strips; 0: an interval is no longer than one
    std::optional<EndingSignals::Signal> ended_by_;
    std::string end_reason_;
    bool asked_to_end_ = false, over_ = false;
    std::optional<CoreWork> rest_;  // privileges are to be dropped to what it takes
    std::uint64_t drop_at_ns_ = 0;
    std::uint64_t housekeeping_ns_ = 0;  // when it is due
};

}  // namespace loopwatch
