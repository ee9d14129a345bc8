// SPDX-License-Identifier: Apache-2.0
#include "attach/loop_finder.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <utility>

#include "analysis/task_scheduler.hpp"
#include "detect/target.hpp"
#include "resolve/captured_stack.hpp"
#include "target/memory.hpp"
#include "target/sleeper.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint32_t sleeping = 0x3;  // task state: either kind of sleep
constexpr std::size_t max_cut_stacks = 1024;
constexpr int cut_stacks_a_site = 2;
constexpr std::size_t max_ended = 1024;
constexpr std::size_t max_hanging = 256;  // threads that sleep elsewhere, looked at

WaitSite site_of(const WaitEvent& wait)
{
    const auto& registers = wait.stack.registers;
    return wait_site(wait.head.tid, static_cast<std::uint32_t>(wait.syscall), registers.pc(), registers.sp(),
                     wait.args.data());
}

WaitSite site_of(const SleepingThread& sleeper)
{
    return wait_site(sleeper.tid, static_cast<std::uint32_t>(sleeper.syscall), sleeper.registers.pc(),
                     sleeper.registers.sp(), sleeper.args.data());
}

static_assert(lone_poll == UnprobedSite::lone_poll);

bool may_be_a_loops(const SleepingThread& sleeper)
{
    const auto syscall = static_cast<std::uint32_t>(sleeper.syscall);
    if (sleeper.syscall < 0 || !(sleeper.state & sleeping)) return false;
    if (syscall == SYS_futex) return may_park(sleeper.args);
    if (syscall == SYS_poll || syscall == SYS_ppoll) return sleeper.args[1] > 0;
    return waits_for_events(syscall);
}

}  // namespace

UnprobedSite LoopFinder::without_thread(const WaitSite& site)
{
    return {site.ip, site.sp, site.object, site.syscall};
}

LoopFinder::LoopFinder(const Process& process, UnprobedLoops& loops, SymbolWorker& worker, Context context)
    : process_(process),
      loops_(loops),
      worker_(worker),
      context_(std::move(context)),
      sites_(std::make_shared<WaitSites>())
{
}

LoopFinder::~LoopFinder()
{
    for (const auto tid : entered_) loops_.forget(tid);
    if (is_starting_) loops_.forget(first_thread());
}

Result<void> LoopFinder::start()
{
    if (auto watched = loops_.watch(process_.pid()); !watched) return watched;
    auto sleepers = loops_.sleepers(process_.pid());
    // Those that poll first: a thread that only parks is a worker if its like polls too.
    std::stable_partition(sleepers.begin(), sleepers.end(), [](const SleepingThread& sleeper) {
        return waits_for_events(static_cast<std::uint32_t>(sleeper.syscall));
    });
    std::size_t elsewhere = 0;
    for (const auto& sleeper : sleepers) {
        if (sleeper.state == 0) running_[sleeper.tid] = sleeper.switches;
        if (may_be_a_loops(sleeper) || (sleeper.state & sleeping && elsewhere++ < max_hanging))
            sleepers_.push_back(sleeper);
    }
    awake_ = !running_.empty();
    ask_next();
    return {};
}

// One that has woken counts no switch until it sleeps again, but has its stack in use.
bool LoopFinder::still_sleeps(const SleepingThread& asleep) const
{
    const auto now = sleeper(process_.pid(), asleep.tid);
    return now && now->sp == asleep.registers.sp() &&
           process_.voluntary_switches(static_cast<pid_t>(asleep.tid)) == asleep.switches;
}

void LoopFinder::ask_next()
{
    while (!sleepers_.empty() && asking_ < max_asking) {
        const auto next = sleepers_.front();
        sleepers_.pop_front();
        may_be_a_loops(next) ? ask(next) : ask_where_it_hangs(next);
    }
}

void LoopFinder::on(const WaitEvent& event)
{
    went_on_.erase(event.head.tid);
    running_.erase(event.head.tid);
    if (suspects_.erase(event.head.tid)) loops_.withdraw(event.head.tid);
    ask(event);
}

// A stack that is copied while its thread goes on is of no moment: then the thread will be asked about when it waits
// again, and the start waits for that: a loop with a timer of a millisecond was missed 25 times in 60.
void LoopFinder::ask(const SleepingThread& sleeper)
{
    WaitEvent wait;
    wait.head.tid = sleeper.tid;
    wait.head.time_ns = monotonic_ns();  // it came there before that
    wait.syscall = sleeper.syscall;
    wait.args = sleeper.args;
    wait.polled = read_polled(sleeper.syscall, sleeper.args, Memory(process_.pid()));
    auto stack = stack_of(sleeper);
    if (!stack) {
        went_on_.insert(sleeper.tid);
        return loops_.ask_again(sleeper.tid, without_thread(site_of(sleeper)));
    }
    wait.stack = std::move(*stack);
    ask(std::move(wait), sleeper);
}

std::optional<RawStack> LoopFinder::stack_of(const SleepingThread& sleeper) const
{
    auto stack = copy_stack(sleeper.registers, 0, Memory(process_.pid()));
    if (!still_sleeps(sleeper)) return std::nullopt;
    return stack;
}

void LoopFinder::ask(WaitEvent wait, std::optional<SleepingThread> asleep)
{
    const auto tid = wait.head.tid;
    const auto site = site_of(wait);
    if (sites_->knows(site)) return apply(sites_->judge(site, {}), wait.head.time_ns);
    // Of a thread that runs no loop yet: when it waits again.
    if (wait.stack.bytes.empty() || (asking_ >= max_asking && !entered_.contains(tid)))
        return loops_.ask_again(tid, without_thread(site));
    ++asking_;
    auto captured = captured_stack(static_cast<std::uint32_t>(process_.pid()), wait.stack);
    worker_.unwind(std::move(captured), [this, site, wait = std::move(wait), asleep = std::move(asleep),
                                         alive = std::weak_ptr(sites_)](std::vector<Frame> frames) mutable {
        if (alive.expired()) return;
        --asking_;
        if (is_scheduled(site, frames)) return ask_next();
        if (!asleep && lacks_a_page(site, frames)) {
            went_on_.insert(site.tid);
            cut_.push_back(std::move(wait));
            return ask_next();
        }
        answer(site, wait, frames);
        if (!asleep && !entered_.contains(site.tid) && runs_a_loop_inside(frames)) enter_hanging(site.tid, frames);
        // At the start only: later a wait in a callback is nothing special.
        const bool hangs = waits_for_events(site.syscall) ? runs_a_loop_inside(frames) : hangs_in_a_callback(frames);
        if (asleep && hangs && still_sleeps(*asleep)) enter_hanging(site.tid, frames);
        ask_next();
    });
}

// A wait of no loop, and of no thread that could be one. If the thread is a loop all the same, which has called a task
// and waits for it, its callback blocks.
bool LoopFinder::is_scheduled(const WaitSite& site, const std::vector<Frame>& frames)
{
    const auto scheduler = scheduler_of(frames, context_.go_modules);
    if (!scheduler) return false;
    context_.on_scheduler(*scheduler);
    apply({{site, false}}, 0);
    return true;
}

// The kernel side copies no page that is not there, and where the system reclaims pages eagerly, one may not be: such a
// stack does not lead to the thread's start, and the next one will, most likely. Of a loop that is known a part is
// enough, and to ask again would leave what it does meanwhile undecided.
bool LoopFinder::lacks_a_page(const WaitSite& site, const std::vector<Frame>& frames)
{
    return !entered_.contains(site.tid) && !sites_->knows(site) && !reaches_the_start(frames) &&
           cut_stacks_.size() < max_cut_stacks && cut_stacks_[site]++ < cut_stacks_a_site;
}

// The code that lies between may have been loaded a moment before: a loop in a library that a script imports.
void LoopFinder::ask_cut_again(bool code_is_new)
{
    for (auto& wait : std::exchange(cut_, {})) {
        const auto site = site_of(wait);
        if (code_is_new)
            ask(std::move(wait));
        else
            loops_.ask_again(site.tid, without_thread(site));
    }
}

// A worker that died over somebody's file answers with a single frame.
void LoopFinder::answer(const WaitSite& site, const WaitEvent& wait, const std::vector<Frame>& frames)
{
    const auto verdicts =
        frames.size() > 1 ? sites_->judge(site, frames, wait.args[0], wait.polled) : std::vector<SiteVerdict>();
    if (verdicts.empty()) loops_.ask_again(site.tid, without_thread(site));
    apply(verdicts, wait.head.time_ns);
}

void LoopFinder::apply(const std::vector<SiteVerdict>& verdicts, std::uint64_t at_ns)
{
    for (const auto& verdict : verdicts) {
        if (is_starting(verdict.site.tid) && verdict.idle) end_start(verdict.site, at_ns);
        if (entered_.contains(verdict.site.tid) || is_starting(verdict.site.tid))
            loops_.judge(verdict.site.tid, without_thread(verdict.site), verdict.idle);
        else if (verdict.idle)
            enter(verdict.site);
    }
}

// Where the thread of this wait is now: it may have gone on to a place that the kernel side did not ask about, as it
// did not know the thread yet.
LoopFinder::Whereabouts LoopFinder::find(const WaitSite& site) const
{
    Whereabouts found = {{{without_thread(site), true}}, {}, {}};
    const auto now = sleeper(process_.pid(), site.tid);
    if (!now || now->syscall < 0) return found;
    const auto there = wait_site(site.tid, static_cast<std::uint32_t>(now->syscall), now->pc, now->sp, now->args);
    if (there == site) {
        found.asleep = 0;
    } else if (sites_->idles_at(there)) {
        found.sites.push_back({without_thread(there), true});
        found.asleep = 1;
    } else {
        for (const auto& one : loops_.sleepers(process_.pid()))
            if (one.tid == site.tid && may_be_a_loops(one)) found.elsewhere = one;
        if (found.elsewhere) found.sites.push_back({without_thread(site_of(*found.elsewhere)), false});
        if (found.elsewhere) found.asleep = 1;
    }
    return found;
}

void LoopFinder::enter(const WaitSite& site)
{
    if (stopped_ || !process_.has_thread(static_cast<pid_t>(site.tid))) return;
    const auto found = find(site);
    // Either it sleeps there still, or it has polled without a sleep and is in what it does since.
    auto last = loops_.last_wait(site.tid, without_thread(site));
    if (last && last->slept != (found.asleep == 0)) last.reset();
    const auto enter_with = [&](std::optional<std::uint64_t> begun_ns) {
        return loops_.enter(process_.pid(), site.tid, found.sites, found.asleep, sites_->stack_end(site), begun_ns);
    };
    if (!enter_with(last && !found.asleep ? std::optional(last->came_ns) : std::nullopt)) return;
    const auto now = loops_.last_wait(site.tid, without_thread(site));
    if (last && (!now || now->came_ns != last->came_ns)) {  // it went on meanwhile
        last.reset();
        loops_.withdraw(site.tid);
        if (!enter_with({})) return;
    }
    // The kernel side forgets a thread when it ends: not if it had ended before.
    if (!process_.has_thread(static_cast<pid_t>(site.tid))) return loops_.withdraw(site.tid);
    entered_.insert(site.tid);
    context_.on_loop(site.tid, last ? std::optional(last->came_ns) : std::nullopt);
    if (found.elsewhere) ask(*found.elsewhere);
}

// An epoll, a ring or an aio context is a loop's business. A poll or select may be anybody's: only one that recurs.
bool LoopFinder::proven(std::uint32_t tid) const
{
    if (hanging_.contains(tid) || ended_proven_.contains(tid)) return true;
    const auto idle = sites_->idle_sites(tid);
    return std::ranges::any_of(idle, [&](const WaitSite& site) {
        const bool is_a_poll = site.object == 0 || site.object == lone_poll;
        return !is_a_poll || loops_.ends_at(tid, without_thread(site)) >= Target::least_polls;
    });
}

std::vector<std::uint32_t> LoopFinder::never_waiting() const
{
    std::vector<std::uint32_t> threads;
    if (running_.empty()) return threads;
    for (const auto& now : loops_.sleepers(process_.pid())) {
        const auto before = running_.find(now.tid);
        if (before != running_.end() && now.state == 0 && now.switches == before->second) threads.push_back(now.tid);
    }
    return threads;
}

void LoopFinder::tidy()
{
    for (const auto tid : std::exchange(ended_before_, std::exchange(ended_, {}))) {
        ended_proven_.erase(tid);
        if (!entered_.contains(tid)) sites_->forget(tid);
    }
    for (const auto tid : entered_) loops_.ask_unanswered(tid);
    if (sites_->size() < WaitSites::max_sites / 2) return;
    const auto threads = process_.threads();
    sites_->keep({threads.begin(), threads.end()});
}

// What it did last is judged when its stacks have been unwound: until then its waits are known.
void LoopFinder::forget(std::uint32_t tid)
{
    if (ended_.size() < max_ended) {
        if (proven(tid)) ended_proven_.insert(tid);
        ended_.insert(tid);
    } else {
        sites_->forget(tid);
    }
    entered_.erase(tid);
    went_on_.erase(tid);
    hanging_.erase(tid);
    suspects_.erase(tid);
    if (tid == first_thread()) is_starting_ = false;
    loops_.forget(tid);
}

}  // namespace loopwatch
