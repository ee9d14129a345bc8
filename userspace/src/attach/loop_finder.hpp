// SPDX-License-Identifier: Apache-2.0
//
// LoopFinder: finds the loops of a program that tells nothing about itself. Each place where one of its threads waits
// is unwound and judged once; a thread with a wait of its own is a loop from then on. start() at the attach, then a
// question at a time; answers come when the symbol worker has unwound the stack.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/wait_sites.hpp"
#include "collect/observation.hpp"
#include "collect/unprobed_loops.hpp"
#include "stack/symbol_worker.hpp"
#include "target/process.hpp"

namespace loopwatch {

class LoopFinder {
public:
    // Of a process: which of its modules Go's linker has made, what to call for each thread that turns out to be a
    // loop (`since_ns`: from when on all that it does is known; none: from now), and for each wait that the scheduler
    // of a runtime made.
    struct Context {
        const std::set<std::string>& go_modules;
        std::function<void(std::uint32_t tid, std::optional<std::uint64_t> since_ns)> on_loop;
        std::function<void(std::string_view runtime)> on_scheduler;
    };
    // All references outlive the finder.
    LoopFinder(const Process& process, UnprobedLoops& loops, SymbolWorker& worker, Context context);
    ~LoopFinder();
    LoopFinder(const LoopFinder&) = delete;
    LoopFinder& operator=(const LoopFinder&) = delete;

    // From here on waits are seen; asks about those that go on already.
    Result<void> start();
    void on(const WaitEvent& event);
    // Are there stacks that could not be unwound to their end? Unwinds them again if modules have been mapped since;
    // else their threads are asked about when they wait again.
    bool has_cut() const noexcept { return !cut_.empty(); }
    void ask_cut_again(bool code_is_new);
    // To be called now and then: repeats questions that got lost, forgets threads that have ended once there are many.
    void tidy();
    void forget(std::uint32_t tid);
    // No thread is taken for a loop any more: those of its numbers may be another image's.
    void stop() { stopped_ = true; }
    // Were there threads, at the start, that did not sleep?
    bool awake() const { return awake_; }
    // Are there threads that went on while they were asked about, and have not waited since?
    bool unanswered() const { return !went_on_.empty(); }
    // Are there stacks that have not been unwound yet?
    bool is_asking() const { return asking_ != 0 || !sleepers_.empty(); }
    // Threads that have been running since the start without one wait: if they poll, it is in a way that nobody sees.
    std::vector<std::uint32_t> never_waiting() const;
    // Takes one of those for a loop until its samples have been looked at; false: no room, or it has ended.
    bool suspect(std::uint32_t tid);
    bool suspects(std::uint32_t tid) const { return suspects_.contains(tid); }
    void on(const SampleEvent& event);
    // Those that no sample has shown in a callback are no loops, as far as is known.
    void clear_suspects();
    // The first thread of a program that starts is watched before its first wait for events, which makes it a loop:
    // until then what it does is no iteration, unless its stack shows a callback of a known loop.
    void watch_start();
    bool is_starting(std::uint32_t tid) const { return is_starting_ && tid == first_thread(); }
    // `stack`: of that thread, as it was from `at_ns` on, in a wait for events or not. `answer` gets whether it is a
    // loop by now.
    void look_at_start(RawStack stack, bool waits, std::uint64_t at_ns, std::function<void(bool)> answer);
    void give_up_start();
    // What the sums of this thread's first iteration hold of the program's start; null: nothing.
    const TimeOff* before_loop(std::uint32_t tid) const
    {
        return before_loop_ && tid == first_thread() ? &*before_loop_ : nullptr;
    }
    // Was this thread in a callback when it was found?
    bool hangs(std::uint32_t tid) const { return hanging_.contains(tid); }
    // Has this thread shown that it is a loop, beyond a single wait?
    bool proven(std::uint32_t tid) const;
    WaitSites& sites() const { return *sites_; }

private:
    static constexpr std::size_t max_asking = 64;  // stacks of 32 KiB on their way

    static UnprobedSite without_thread(const WaitSite& site);
    void ask(const SleepingThread& sleeper);
    void ask_where_it_hangs(const SleepingThread& sleeper);
    std::optional<RawStack> stack_of(const SleepingThread& sleeper) const;
    void enter_hanging(std::uint32_t tid, const std::vector<Frame>& frames);
    void convict(std::uint32_t tid);
    RawStack whole_stack(RawStack stack) const;
    std::uint32_t first_thread() const { return static_cast<std::uint32_t>(process_.pid()); }
    void end_start(const WaitSite& site, std::uint64_t at_ns);
    void end_start_in_callback(const std::vector<Frame>& frames, std::uint64_t at_ns);
    void ask(WaitEvent wait, std::optional<SleepingThread> asleep = {});
    bool still_sleeps(const SleepingThread& asleep) const;
    void ask_next();
    bool is_scheduled(const WaitSite& site, const std::vector<Frame>& frames);
    bool lacks_a_page(const WaitSite& site, const std::vector<Frame>& frames);
    void answer(const WaitSite& site, const WaitEvent& wait, const std::vector<Frame>& frames);
    // `at_ns`: when its thread came to the place that they are about.
    void apply(const std::vector<SiteVerdict>& verdicts, std::uint64_t at_ns);
    struct Whereabouts {
        std::vector<UnprobedLoops::KnownSite> sites;  // of its loop
        std::optional<std::uint32_t> asleep;          // at which of them
        std::optional<SleepingThread> elsewhere;      // in one that has not been judged
    };
    Whereabouts find(const WaitSite& site) const;
    void enter(const WaitSite& site);

    const Process& process_;
    UnprobedLoops& loops_;
    SymbolWorker& worker_;
    Context context_;
    bool awake_ = false, stopped_ = false, is_starting_ = false;
    std::optional<TimeOff> before_loop_;
    std::set<std::uint32_t> entered_, went_on_, hanging_, suspects_;
    // Threads that have ended since the last tidy() and between the two before it, and those of them that were loops.
    std::set<std::uint32_t> ended_, ended_before_, ended_proven_;
    std::map<std::uint32_t, std::uint64_t> running_;  // since the start, with as many voluntary switches
    std::vector<WaitEvent> cut_;           // stacks that could not be unwound to their end; max_asking at most
    std::map<WaitSite, int> cut_stacks_;   // how often that was so of what a thread waited in
    std::deque<SleepingThread> sleepers_;  // to be asked about
    std::size_t asking_ = 0;
    std::shared_ptr<WaitSites> sites_;  // shared: an answer that comes after the end finds nobody
};

}  // namespace loopwatch
