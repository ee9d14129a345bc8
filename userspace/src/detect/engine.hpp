// SPDX-License-Identifier: Apache-2.0
//
// Engine: targets that come and go, and what becomes of what is observed of them. add() a target → turn() when
// something is due → what it reports is handed to `publish` → remove() it: it is gone once its last findings have
// names. Runs with no target, too. Knows no output, no command, and not who watches (TargetSource).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "analysis/explain.hpp"
#include "analysis/finding.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/kernel_symbols.hpp"
#include "detect/lost_ends.hpp"
#include "detect/statistics.hpp"
#include "detect/target.hpp"
#include "detect/target_source.hpp"
#include "detect/unproven_iterations.hpp"
#include "detect/watchdog.hpp"
#include "resolve/investigation.hpp"
#include "stack/symbol_worker.hpp"
#include "util/reactor.hpp"

namespace loopwatch {

struct EngineOptions {
    std::set<std::uint32_t> tids;  // empty: all threads
    // As of wait(2), of a program that we have started; nothing: it is another one, or has not ended.
    std::function<std::optional<int>(std::uint32_t pid)> wait_status;
};

class Engine {
public:
    using Publish = std::function<void(Report&&)>;

    // All of these outlive it.
    Engine(EngineOptions options, Reactor& reactor, SymbolWorker& worker, KernelSymbols& kernel_symbols,
           Publish publish);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // From here on it reports; targets that were added before are part of session_start.
    void start(TargetSource& source, std::uint64_t now_ns);

    // Its pid has no other target.
    Target& add(std::unique_ptr<Target> target);
    void remove(std::uint32_t pid, const char* reason);
    Target* find(std::uint32_t pid) const;
    // The last findings of one with this pid wait for names.
    bool is_ending(std::uint32_t pid) const { return find_ending(pid) != nullptr; }
    const Targets& targets() const noexcept { return targets_; }
    Reactor& reactor() noexcept { return reactor_; }
    // Concerns no target, or one that cannot be watched.
    void warn(std::string text, std::string hint = {});

    // An observation, of whichever source.
    void observe(const Event& event);
    // What is new is looked for at once, and in each tick of the watchdog from then on.
    void wake(std::uint64_t now_ns)
    {
        if (watchdog_) watchdog_->wake(now_ns);
    }

    // Handles what waits, looks at what is due. True: more waits.
    bool turn(std::uint64_t now_ns);
    std::uint64_t next_ns() const noexcept { return watchdog_ ? watchdog_->next_ns() : 0; }
    void interval(std::uint64_t now_ns);
    // Once a step of the strips in loop_stats.
    void step(std::uint64_t now_ns);
    // Ends all targets, and waits for names, 5 s at most.
    void finish();
    // Drops all that is left of targets, unreported: who watches them ends.
    void abandon();

    bool saw_loop() const noexcept { return saw_loop_; }
    const Statistics& statistics() const noexcept { return statistics_; }
    Counts losses() const;
    // Of observations that wait for the end of their dispatch, or for names.
    std::size_t bytes() const noexcept { return book_.bytes() + investigations_.waiting.held() + unproven_.bytes(); }

private:
    static constexpr std::size_t max_records = 1024;  // handled in one turn: 3 us each, if they are misuses
    struct Ending {
        std::unique_ptr<Target> target;
        const char* reason;
        std::uint64_t asked;  // of the worker, when it ended
        std::uint64_t until_ns;
    };

    void watch_exit(Target& target);
    bool drain();
    bool wanted(const EventHead& head) const { return options_.tids.empty() || options_.tids.contains(head.tid); }
    void on(const LoopStartedEvent& event);
    void on(const LoopStoppedEvent& event);
    void on(const DispatchEvent& event);
    void on(const IterationEvent& event);
    void on(const StepEvent& event);
    void on(const ThrownEvent& event) { book_.add(event); }
    void on(const WaitEvent& event) { on_wait(event); }
    void on(const ShimWaitEvent& event) { on_wait(event); }
    void on(const WakeEvent& event) { wake(event.head.time_ns); }
    void on(const ExitEvent& event);
    void on(const ChildEvent&) {}  // the source's own
    void on(const ExecEvent&) {}
    void on(const EndedEvent& event);
    template <class Part>
    void on(const Part& event)  // of a dispatch
    {
        if (wanted(event.head)) book_.add(event);
    }
    template <class Wait>
    void on_wait(const Wait& event);

    void tick(std::uint64_t now_ns);
    void report_overdue(const OverdueDispatch& overdue);
    void explain_bundle(DispatchBundle bundle);
    void explain_bundle(DispatchBundle bundle, Target& target);
    void explain_ended(std::vector<DispatchBundle> bundles, std::uint64_t now_ns);
    void explain_lost_ends(const std::vector<LostEnds::End>& ends);
    void report_iterations(DispatchFacts facts);
    void report_proven();
    bool proven(const Subject& thread) const;
    void give_up_unproven(const Target& target);
    void report_statistics(Target& target, std::uint64_t now_ns);
    void report_warnings(Target& target);
    void report_ended(std::uint64_t now_ns);
    void await_ended();
    Target* find_ending(std::uint32_t pid) const;
    Target* find_judge(std::uint32_t pid) const;

    EngineOptions options_;
    Reactor& reactor_;
    SymbolWorker& worker_;
    KernelSymbols& kernel_symbols_;
    Publish publish_;
    TargetSource* source_ = nullptr;
    bool saw_loop_ = false;
    bool warned_of_worker_ = false;

    Targets targets_;
    std::set<std::uint32_t> exited_;  // pids, until they are removed in the same turn
    std::vector<Ending> ending_;

    Investigations investigations_;
    DispatchBook book_;
    LostEnds lost_ends_;
    UnprovenIterations unproven_;
    Statistics statistics_;
    std::optional<Watchdog> watchdog_;
    std::uint64_t unclear_iterations_ = 0;
};

}  // namespace loopwatch
