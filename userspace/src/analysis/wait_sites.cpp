// SPDX-License-Identifier: Apache-2.0
#include "analysis/wait_sites.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

#include "analysis/frames.hpp"
#include "analysis/function_name.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t max_patterns = 64;
constexpr std::uint64_t lock_bytes = 64;  // a condition variable has 48, two of them waited on
// From the group references of a glibc pthread_cond_t to the second word that its waiters park on.
constexpr std::uint64_t condition_bytes = 28;
constexpr std::uint32_t futex = 202;
constexpr std::uint64_t stack_bytes = 1u << 20;  // stack pointers further apart are of different stacks

enum class WaitsFor { POLL, OBJECT };

struct Wait {
    std::uint32_t syscall;
    std::string_view name;
    WaitsFor what;
};
constexpr Wait waits[] = {
#define LW_WAIT(number, name, what) {number, #name, WaitsFor::what},
#include <lw_waits.def>
#undef LW_WAIT
};

const Wait* find_wait(std::uint32_t syscall)
{
    const auto* found = std::ranges::find(waits, syscall, &Wait::syscall);
    return found == std::end(waits) ? nullptr : found;
}

bool polls(std::uint32_t syscall)
{
    const auto* wait = find_wait(syscall);
    return wait && wait->what == WaitsFor::POLL;
}

// What stands between a loop and the system call it idles in, and is nobody's callback: libc, std::condition_variable,
// and what Asio wraps around it, which optimized builds have inlined.
bool is_a_wrapper(const Frame& frame)
{
    static constexpr std::string_view wrappers[] = {"std::",
                                                    "asio::detail::posix_event::",
                                                    "asio::detail::conditionally_enabled_event::",
                                                    "asio::detail::posix_mutex::",
                                                    "asio::detail::conditionally_enabled_mutex::",
                                                    "asio::detail::scoped_lock<"};
    if (owner_of(frame) == FrameOwner::libc || frame.module.find("/libstdc++") != frame.module.npos) return true;
    std::string_view name = frame.function;
    if (name.starts_with("boost::")) name.remove_prefix(7);
    return std::ranges::any_of(wrappers, [&](auto wrapper) { return name.starts_with(wrapper); });
}

// Inlined frames are part of the next one that is real.
std::vector<Frame> real_calls(const std::vector<Frame>& stack)
{
    std::vector<Frame> calls;
    for (const auto& frame : stack)
        if (!frame.inlined && (!calls.empty() || !is_a_wrapper(frame))) calls.push_back(frame);
    return calls;
}

std::set<std::string> inlined_functions(const std::vector<Frame>& stack)
{
    std::set<std::string> names;
    for (const auto& frame : stack)
        if (frame.inlined) names.insert(frame.function);
    return names;
}

bool same_code(const Frame& a, const Frame& b)
{
    return a.offset == b.offset && a.module == b.module;
}

struct Fork {
    std::size_t ours = 0, theirs = 0;  // calls on either side within the innermost activation both share
};

// Where two stacks of a thread part: the innermost call that both are in at the same address is common for sure, and
// what it called is if it looks like one function. A place on the stack alone proves nothing: any frame may end there.
// nullopt: nothing is common to what could be read of them.
std::optional<Fork> fork_of(const std::vector<Frame>& ours, const std::vector<Frame>& theirs)
{
    const auto same_place = [](const Frame& a, const Frame& b) { return a.cfa != 0 && a.cfa == b.cfa; };
    const auto same_function = [](const Frame& a, const Frame& b) {
        return a.module == b.module && (a.function.empty() || b.function.empty() || a.function == b.function);
    };
    for (std::size_t j = 0; j < theirs.size(); ++j)
        for (std::size_t i = 0; i < ours.size(); ++i) {
            if (!same_place(ours[i], theirs[j]) || !same_code(ours[i], theirs[j])) continue;
            const bool inner =
                i > 0 && j > 0 && same_place(ours[i - 1], theirs[j - 1]) && same_function(ours[i - 1], theirs[j - 1]);
            return inner ? Fork{i - 1, j - 1} : Fork{i, j};
        }
    if (ours.empty() || theirs.empty()) return std::nullopt;
    const bool outermost = same_place(ours.back(), theirs.back()) && same_function(ours.back(), theirs.back());
    if (outermost) return Fork{ours.size() - 1, theirs.size() - 1};
    return std::nullopt;
}

// The innermost of our calls that both have in common; ours.size(): none. A copy of a stack may end in the loop's own
// function, whose end is unknown then.
std::size_t common_from(const std::vector<Frame>& ours, const std::vector<Frame>& loop)
{
    if (const auto fork = fork_of(ours, loop)) return fork->ours;
    if (ours.empty() || ours.back().cfa != 0 || ours.back().function.empty()) return ours.size();
    const auto same_function = [&](const Frame& call) {
        return call.function == ours.back().function && call.module == ours.back().module;
    };
    return std::ranges::any_of(loop, same_function) ? ours.size() - 1 : ours.size();
}

// How many of the innermost calls are the same code, run a second time: the machinery that leads to the wait.
std::size_t common_machinery(const std::vector<Frame>& a, const std::vector<Frame>& b)
{
    std::size_t common = 0;
    while (common < std::min(a.size(), b.size()) && same_code(a[common], b[common]) && a[common].cfa != b[common].cfa)
        ++common;
    return common;
}

// The thread's first function of its own: main, or what its thread was started with.
bool is_outermost(const std::vector<Frame>& calls, std::size_t at)
{
    return at + 1 >= calls.size() || owner_of(calls[at + 1]) == FrameOwner::libc;
}

enum class Relation { beside, inside, around };  // ours to theirs: of its callback, or the other way round

Relation relation_of(const WaitSite& our_site, const std::vector<Frame>& ours, const WaitSite& their_site,
                     const std::vector<Frame>& theirs)
{
    const auto fork = fork_of(ours, theirs);
    if (!fork) {
        const auto apart = std::max(our_site.sp, their_site.sp) - std::min(our_site.sp, their_site.sp);
        if (apart > stack_bytes) return Relation::beside;
        return our_site.sp < their_site.sp ? Relation::inside : Relation::around;
    }
    const auto machinery = common_machinery(ours, theirs);
    // All of the loop a second time below one call of its own: a loop run by a callback.
    if (machinery > fork->theirs) return Relation::inside;
    if (machinery > fork->ours) return Relation::around;
    // The same loop, started again elsewhere.
    if (machinery > 0) return Relation::beside;
    // Called one after the other by the thread's own first function, which is no loop: not from here.
    if (fork->theirs > 0 && fork->ours > 0 && is_outermost(theirs, fork->theirs)) return Relation::beside;
    if (fork->ours < fork->theirs) return Relation::beside;
    if (fork->ours == fork->theirs) return our_site.syscall == their_site.syscall ? Relation::beside : Relation::inside;
    // A program that polls for something before its loop begins.
    if (polls(their_site.syscall) && !polls(our_site.syscall) && fork->theirs > 0) return Relation::around;
    return Relation::inside;
}

// Functions of libraries that run a loop; what they call below its wait are callbacks. Those that call each other have
// one name here.
struct KnownLoop {
    std::string_view function, loop;
};
constexpr KnownLoop known_loops[] = {
    {"g_main_context_iteration", "g_main_context_iteration"},
    {"g_main_loop_run", "g_main_loop_run"},
    {"QEventLoop::exec", "QEventLoop::exec"},
    {"QEventDispatcherUNIX::processEvents", "QEventDispatcherUNIX::processEvents"},
    {"uv_run", "uv_run"},
    {"event_base_loop", "event_base_loop"},
    {"ev_run", "ev_run"},
    {"sd_event_run", "sd_event_run"},
    {"aeMain", "ae"},
    {"aeProcessEvents", "ae"},
    {"processEventsWhileBlocked", "ae"},
    {"ngx_process_events_and_timers", "ngx_process_events_and_timers"},
    {"asio::detail::scheduler::do_run_one", "asio"},
    {"boost::asio::detail::scheduler::do_run_one", "asio"},
};

// Empty: of none that is known.
std::string_view loop_of(const Frame& call)
{
    const auto* known = std::ranges::find(known_loops, plain_name(call.function), &KnownLoop::function);
    return known == std::end(known_loops) ? std::string_view() : known->loop;
}

bool is_a_known_loop(const Frame& call)
{
    return !loop_of(call).empty();
}

// A known loop that was run by a callback of the same one: redis serves clients from within a script that takes long.
bool is_nested(const std::vector<Frame>& calls)
{
    for (std::size_t inner = 0; inner + 2 < calls.size(); ++inner) {
        const auto loop = loop_of(calls[inner]);
        if (loop.empty() || loop_of(calls[inner + 1]) == loop) continue;
        const auto again = [&](const Frame& call) { return loop_of(call) == loop; };
        if (std::any_of(calls.begin() + static_cast<std::ptrdiff_t>(inner) + 2, calls.end(), again)) return true;
    }
    return false;
}

bool waits_for_one_thing(const std::vector<Frame>& stack)
{
    const auto entry = libc_entry(stack);
    return entry && entry->through;
}

bool waits_for_a_thread(const std::vector<Frame>& stack)
{
    const auto entry = libc_entry(stack);
    return entry && entry->call.find("join") != entry->call.npos;
}

}  // namespace

bool hangs_in_a_callback(const std::vector<Frame>& stack)
{
    const auto calls = real_calls(stack);
    if (calls.empty()) return false;
    return is_nested(calls) || (!is_a_known_loop(calls.front()) && std::ranges::any_of(calls, is_a_known_loop));
}

bool runs_a_loop_inside(const std::vector<Frame>& stack)
{
    return is_nested(real_calls(stack));
}

bool reaches_the_start(const std::vector<Frame>& stack)
{
    const auto calls = real_calls(stack);
    return std::ranges::any_of(calls, [](const Frame& call) { return owner_of(call) == FrameOwner::libc; });
}

std::uint64_t end_of(const std::vector<Frame>& stack)
{
    if (stack.empty() || owner_of(stack.back()) != FrameOwner::libc) return 0;
    std::uint64_t end = 0;
    for (const auto& call : stack) end = std::max(end, call.cfa);
    return end;
}

bool waits_for_events(std::uint32_t syscall)
{
    return find_wait(syscall) != nullptr;
}

WaitSite wait_site(std::uint32_t tid, std::uint32_t syscall, std::uint64_t ip, std::uint64_t sp,
                   const std::uint64_t* arguments)
{
    const auto* wait = find_wait(syscall);
    std::uint64_t object = wait && wait->what == WaitsFor::OBJECT ? arguments[0] : 0;
    if (wait && wait->name.ends_with("poll") && arguments[1] == 1) object = lone_poll;
    return {tid, syscall, ip, sp, object};
}

std::vector<SiteVerdict> WaitSites::judge(const WaitSite& site, const std::vector<Frame>& stack,
                                          std::uint64_t first_argument, std::vector<std::uint64_t> polled)
{
    if (const auto known = sites_.find(site); known != sites_.end()) return {{site, known->second.idle}};
    Known known{real_calls(stack), inlined_functions(stack),   first_argument,
                std::move(polled), waits_for_one_thing(stack), waits_for_a_thread(stack)};
    if (known.calls.empty()) return {};
    std::vector<SiteVerdict> verdicts;
    known.idle = waits_for_events(site.syscall) ? judge_poll(site, known, verdicts) : judge_park(site, known);
    verdicts.insert(verdicts.begin(), {site, known.idle});
    const bool learned = known.idle && learn(site, known);
    const bool idle = known.idle;
    if (sites_.size() < max_sites) sites_.emplace(site, std::move(known));
    if (idle) judge_parks_again(site.tid, learned, verdicts);
    return verdicts;
}

// Remembers what threads that only park will be compared with; false: nothing that was not known.
bool WaitSites::learn(const WaitSite& site, const Known& known)
{
    if (!waits_for_events(site.syscall)) {
        auto& locks = patterns_.locks;
        const auto near = [&](std::uint64_t lock) { return lock / lock_bytes == known.lock / lock_bytes; };
        if (known.lock == 0 || locks.size() >= max_patterns || std::ranges::any_of(locks, near)) return false;
        locks.push_back(known.lock);
        return true;
    }
    auto& polls = patterns_.polls;
    const auto same = [&](const std::vector<Frame>& calls) {
        return std::ranges::equal(calls, known.calls, same_code);
    };
    if (polls.size() >= max_patterns || std::ranges::any_of(polls, same)) return false;
    polls.push_back(known.calls);
    return true;
}

// What a park is compared with may be seen after it: of its own thread always, of others when it is new.
void WaitSites::judge_parks_again(std::uint32_t tid, bool all, std::vector<SiteVerdict>& revised)
{
    const auto first = all ? sites_.begin() : sites_.lower_bound({tid});
    for (auto at = first; at != sites_.end() && (all || at->first.tid == tid); ++at) {
        auto& [site, known] = *at;
        if (known.idle || waits_for_events(site.syscall) || !judge_park(site, known)) continue;
        known.idle = true;
        revised.push_back({site, true});
    }
}

// An idle thread of a pool waits for work in the very function that runs the loop. What a callback waits in lies
// further in.
bool WaitSites::judge_park(const WaitSite& site, const Known& known) const
{
    // Main waits for threads to end once its loop has ended: what came before was no iteration, which would end here.
    if (known.one_thing || (known.joins && has_left(site.tid, known.calls))) return false;
    bool polls_too = false;
    for (auto other = sites_.lower_bound({site.tid}); other != sites_.end() && other->first.tid == site.tid; ++other) {
        if (!other->second.idle || !waits_for_events(other->first.syscall)) continue;
        polls_too = true;
        const auto fork = fork_of(known.calls, other->second.calls);
        if (fork && (fork->ours == 0 || fork->ours < fork->theirs)) return true;
    }
    return !polls_too && is_of_a_pool(known);
}

// A thread that only parks is of a pool whose threads poll too, if it parks on the lock of one of those, or runs the
// same loop in the same way. One that merely runs the same code is not: Asio's resolver and its thread_pool are
// there to be blocked.
bool WaitSites::is_of_a_pool(const Known& park) const
{
    const auto shares = [&](std::uint64_t lock) {
        return park.lock != 0 && std::max(lock, park.lock) - std::min(lock, park.lock) < lock_bytes;
    };
    if (std::ranges::any_of(patterns_.locks, shares)) return true;
    // Two callers of its own: all threads share those that start them.
    if (park.calls.size() < 3 || is_a_wrapper(park.calls[1]) || is_a_wrapper(park.calls[2])) return false;
    return std::ranges::any_of(patterns_.polls, [&](const std::vector<Frame>& poll) {
        for (std::size_t loop = 0; loop + 2 < poll.size(); ++loop)
            if (same_code(poll[loop + 1], park.calls[1]) && same_code(poll[loop + 2], park.calls[2])) return true;
        return false;
    });
}

bool WaitSites::judge_poll(const WaitSite& site, const Known& known, std::vector<SiteVerdict>& revised)
{
    const bool lone = site.object == lone_poll;
    bool idle = !known.one_thing && !is_nested(known.calls), like_others = false;
    for (auto other = sites_.lower_bound({site.tid}); idle && other != sites_.end() && other->first.tid == site.tid;
         ++other) {
        if (!other->second.idle || !waits_for_events(other->first.syscall)) continue;
        const auto relation = polls_for(site, known, other->first, other->second)
                                  ? Relation::beside
                                  : relation_of(site, known.calls, other->first, other->second.calls);
        if (relation == Relation::inside) idle = false;
        like_others |= relation == Relation::beside;
        if (relation != Relation::around) continue;
        other->second.idle = false;
        revised.push_back({other->first, false});
    }
    // One descriptor alone is a reader's wait, unless the thread polls here for several at other times.
    if (lone && idle && !like_others) idle = std::ranges::any_of(known.calls, is_a_known_loop);
    if (!lone && idle) accept_lone_poll(site, revised);
    if (idle) accept_polls_for(site, known, revised);
    return idle;
}

bool WaitSites::polls_for(const WaitSite& site, const Known& known, const WaitSite& other, const Known& known_other)
{
    const auto polled = [](const Known& one, const WaitSite& object) {
        return !polls(object.syscall) && std::ranges::find(one.polled, object.object) != one.polled.end();
    };
    return polled(known, other) || polled(known_other, site);
}

// A poll for one descriptor alone may have been taken for a reader's before it was known what that descriptor is.
void WaitSites::accept_polls_for(const WaitSite& site, const Known& known, std::vector<SiteVerdict>& revised)
{
    for (auto other = sites_.lower_bound({site.tid}); other != sites_.end() && other->first.tid == site.tid; ++other) {
        if (other->second.idle || other->second.one_thing || !polls_for(site, known, other->first, other->second))
            continue;
        other->second.idle = true;
        revised.push_back({other->first, true});
    }
}

void WaitSites::accept_lone_poll(WaitSite site, std::vector<SiteVerdict>& revised)
{
    site.object = lone_poll;
    const auto here = sites_.find(site);
    if (here == sites_.end() || here->second.idle) return;
    here->second.idle = true;
    revised.push_back({site, true});
}

bool WaitSites::idles_at(const WaitSite& site) const
{
    const auto known = sites_.find(site);
    return known != sites_.end() && known->second.idle;
}

std::vector<WaitSite> WaitSites::idle_sites(std::uint32_t tid) const
{
    std::vector<WaitSite> idle;
    for (auto site = sites_.lower_bound({tid}); site != sites_.end() && site->first.tid == tid; ++site)
        if (site->second.idle) idle.push_back(site->first);
    return idle;
}

std::uint64_t WaitSites::stack_end(const WaitSite& site) const
{
    const auto known = sites_.find(site);
    return known == sites_.end() ? 0 : end_of(known->second.calls);
}

bool WaitSites::is_loops_own_lock(std::uint32_t tid, std::uint32_t syscall, std::uint64_t first_argument,
                                  const std::vector<Frame>& stack) const
{
    if (syscall != futex || first_argument == 0) return false;
    const auto inside = [&](std::uint64_t lock) { return lock - first_argument <= condition_bytes; };
    if (std::ranges::any_of(patterns_.locks, inside)) return true;
    const auto calls = real_calls(stack);
    if (calls.empty()) return false;
    if (is_a_known_loop(calls.front())) return true;
    // Called where the thread parks.
    for (auto site = sites_.lower_bound({tid}); site != sites_.end() && site->first.tid == tid; ++site) {
        const auto& park = site->second;
        if (park.idle && !waits_for_events(site->first.syscall) && same_code(park.calls.front(), calls.front()) &&
            park.calls.front().cfa == calls.front().cfa)
            return true;
    }
    return false;
}

bool WaitSites::is_loop(std::uint32_t tid) const
{
    return !idle_sites(tid).empty();
}

void WaitSites::mark_loop(std::uint32_t tid, std::vector<Frame>& stack) const
{
    const auto calls = real_calls(stack);
    const Known* loop = nullptr;
    auto innermost = calls.size();
    for (const auto& site : idle_sites(tid)) {
        const auto& wait = sites_.at(site);
        const auto common = waits_for_events(site.syscall) ? common_from(calls, wait.calls) : calls.size();
        if (common >= innermost) continue;
        innermost = common;
        loop = &wait;
    }
    if (!loop) return;
    auto first = stack.end();
    for (auto left = calls.size() - innermost; left != 0;)
        if (!(--first)->inlined) --left;
    std::for_each(first, stack.end(), [](Frame& frame) { frame.of_loop = true; });
    // What was inlined into it is of the loop if it is in its waits too.
    for (auto frame = first; frame != stack.begin() && std::prev(frame)->inlined; --frame)
        std::prev(frame)->of_loop = loop->inlined.contains(std::prev(frame)->function);
}

bool WaitSites::left_loop(std::uint32_t tid, const std::vector<Frame>& stack) const
{
    return !returns_.contains(tid) && has_left(tid, real_calls(stack));
}

// Where main waits for a lock, such as for a thread to end, says nothing of where the loop is that it has called.
bool WaitSites::has_left(std::uint32_t tid, const std::vector<Frame>& calls) const
{
    const auto idle = idle_sites(tid);
    const auto is_poll = [](const WaitSite& site) { return waits_for_events(site.syscall); };
    const bool polls_too = std::ranges::any_of(idle, is_poll);
    bool left = false;
    for (const auto& site : idle) {
        const auto& loop = sites_.at(site).calls;
        const auto fork = fork_of(calls, loop);
        if (!fork || (polls_too && !is_poll(site))) continue;
        if (fork->theirs == 0 || !is_outermost(loop, fork->theirs)) return false;
        left = true;
    }
    return left;
}

void WaitSites::forget(std::uint32_t tid)
{
    std::erase_if(sites_, [&](const auto& site) { return site.first.tid == tid; });
    returns_.erase(tid);
}

void WaitSites::keep(const std::set<std::uint32_t>& tids)
{
    std::erase_if(sites_, [&](const auto& site) { return !tids.contains(site.first.tid); });
    std::erase_if(returns_, [&](std::uint32_t tid) { return !tids.contains(tid); });
}

}  // namespace loopwatch
