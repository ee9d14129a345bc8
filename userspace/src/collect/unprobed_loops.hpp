// SPDX-License-Identifier: Apache-2.0
//
// UnprobedLoops: what the kernel side keeps of loops whose programs carry no probes: their slots, and the places where
// their threads wait, each of which somebody has to judge. watch() a process → sleepers() and WaitEvents are judged →
// enter() a thread whose wait is a loop's own → slot() while it runs → forget().
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include <lw_state.h>

#include "collect/attach.hpp"
#include "collect/observation.hpp"
#include "collect/unprobed_slot.hpp"
#include "target/memory.hpp"
#include "util/result.hpp"

struct loopwatch_bpf;

namespace loopwatch {

class LoopTable;

// May an idle thread of a pool wait so? The arguments are those of futex(2).
bool may_park(const std::array<std::uint64_t, 6>& args);

// What a thread that sleeps in a poll or select waits for, as the kernel side reads it of one that begins to wait.
std::vector<std::uint64_t> read_polled(std::int32_t syscall, const std::array<std::uint64_t, 6>& args,
                                       const Memory& memory);

class UnprobedLoops {
public:
    using KnownSite = loopwatch::KnownSite;
    // Of a stack whose end is not known: below any, so that nothing is missing above it.
    static constexpr std::uint64_t no_end = RawStack::above_loop + 1;

    // The kernel side is loaded, and outlives this.
    UnprobedLoops(loopwatch_bpf& skeleton, LoopTable& table);
    ~UnprobedLoops();
    UnprobedLoops(const UnprobedLoops&) = delete;
    UnprobedLoops& operator=(const UnprobedLoops&) = delete;

    // From here on waits of this process's threads are seen, those in which they sleep.
    Result<void> watch(pid_t pid);
    // And those in which they do not, while it is true: at a price for every system call of the machine.
    // Begins to, or ends it: that takes grace periods, a tenth of a second on a busy machine, in which a stall could be
    // neither told nor sampled. Fails, the next time, if it could not be done.
    Result<void> watch_polls(bool watch);
    // Until what that takes privileges for has been done.
    void await_tracepoints() const { tracepoint_ids_.wait(); }
    // Until what was begun is done.
    Result<void> await_polls();
    // The longest time a loop has not slept since this was asked last, up to now.
    std::uint64_t take_awake_ns(std::uint32_t tid, std::uint64_t now_ns);
    void dismiss(pid_t pid);
    // The threads of a process that sleep now, in a system call or not.
    std::vector<SleepingThread> sleepers(pid_t pid) const;

    // The thread runs a loop, which waits at these places, classified or not. `asleep`: at which of them right now.
    // `stack_end`: how far up its stack is worth copying; 0: unknown. `begun_ns`: it is in an iteration since then.
    // False: it was known, or there is no room.
    bool enter(pid_t pid, std::uint32_t tid, std::span<const KnownSite> sites, std::optional<std::uint32_t> asleep,
               std::uint64_t stack_end, std::optional<std::uint64_t> begun_ns = {});
    // The last wait for events of a thread that runs no loop as far as is known, if it was at this place: when it came
    // there, and whether it slept.
    struct LastWait {
        std::uint64_t came_ns = 0;
        bool slept = false;
    };
    std::optional<LastWait> last_wait(std::uint32_t tid, const UnprobedSite& site) const;
    // The same of a thread that hangs in a callback now, of a loop whose own waits nobody has seen.
    bool enter_hanging(pid_t pid, std::uint32_t tid, std::uint64_t stack_end);
    // The same of the first thread of a program that starts, which may never run a loop; until begin_at().
    bool enter_starting(pid_t pid, std::uint32_t tid);
    // It does: its first iteration, which goes on, began then. What its sums are by now, from before that.
    TimeOff begin_at(std::uint32_t tid, std::uint64_t begun_ns);
    void set_stack_end(std::uint32_t tid, std::uint64_t stack_end);
    // `idle`: the loop itself waits here; else something that it called does.
    void judge(std::uint32_t tid, const UnprobedSite& site, bool idle);
    // A question that could not be answered, to be put again when the thread waits there again.
    void ask_again(std::uint32_t tid, const UnprobedSite& site);
    // And those that were lost on the way; one that is being answered is put twice, no more.
    void ask_unanswered(std::uint32_t tid);
    // Does the thread sleep in a place that nobody has judged, or has it passed one for which there was no room?
    bool undecided(std::uint32_t tid) const;

    // As far as verdicts go: what began at a place that nobody has judged is no iteration yet.
    std::optional<LoopState> slot(std::uint32_t tid) const;
    // False: iteration `seq` went on already when its loop was found; its slot tells since when it was watched.
    bool saw_begin(std::uint32_t tid, std::uint64_t seq) const;
    // The coroutine whose resume part `seq` of an iteration began with; none: `frame` is 0.
    CoroutineResume coroutine(std::uint32_t tid, std::uint64_t seq) const;
    // Has the kernel side seen the thread there since it was entered?
    bool has_site(std::uint32_t tid, const UnprobedSite& site) const;
    // How many iterations have ended at this place.
    std::uint64_t ends_at(std::uint32_t tid, const UnprobedSite& site) const;
    std::optional<std::uint64_t> seq(std::uint32_t tid) const;
    void forget(std::uint32_t tid) { entered_.erase(tid); }
    // Undoes enter(): the thread has ended before it.
    void withdraw(std::uint32_t tid);

private:
    void store(std::uint32_t tid, const UnprobedSite& site, lw_verdict verdict);
    bool enter(pid_t pid, std::uint32_t tid, const lw_loop& entry, const lw_unprobed& first);
    bool enter_within(pid_t pid, std::uint32_t tid, lw_unprobed own);
    lw_unprobed* find(std::uint32_t tid) const;

    loopwatch_bpf& skeleton_;
    LoopTable& table_;
    std::shared_future<Result<std::vector<std::uint64_t>>> tracepoint_ids_;
    std::vector<Link> tracepoints_;
    std::future<Result<std::vector<Link>>> attaching_;
    std::jthread detaching_;
    std::span<lw_unprobed> loops_;  // shared with the kernel
    struct Entered {
        std::uint32_t pid, buffer;
    };
    std::map<std::uint32_t, Entered> entered_;  // by tid
    std::map<pid_t, bool> watched_;
};

}  // namespace loopwatch
