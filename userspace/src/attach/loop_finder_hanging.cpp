// SPDX-License-Identifier: Apache-2.0
//
// Threads that are loops although their own waits have not been seen: they hang in a callback, or have just begun.
#include <algorithm>
#include <utility>

#include "attach/loop_finder.hpp"
#include "resolve/captured_stack.hpp"
#include "target/memory.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

// Of a thread that sleeps in no wait of a loop: it may be a callback that hangs.
void LoopFinder::ask_where_it_hangs(const SleepingThread& sleeper)
{
    auto stack = stack_of(sleeper);
    if (!stack) return;
    ++asking_;
    worker_.unwind(captured_stack(static_cast<std::uint32_t>(process_.pid()), std::move(*stack)),
                   [this, sleeper, alive = std::weak_ptr(sites_)](std::vector<Frame> frames) {
                       if (alive.expired()) return;
                       --asking_;
                       if (hangs_in_a_callback(frames) && still_sleeps(sleeper)) enter_hanging(sleeper.tid, frames);
                       ask_next();
                   });
}

void LoopFinder::enter_hanging(std::uint32_t tid, const std::vector<Frame>& frames)
{
    if (stopped_ || entered_.contains(tid)) return;
    if (is_starting(tid)) return end_start_in_callback(frames, monotonic_ns());
    if (!loops_.enter_hanging(process_.pid(), tid, end_of(frames))) return;
    if (!process_.has_thread(static_cast<pid_t>(tid))) return loops_.withdraw(tid);
    convict(tid);
}

void LoopFinder::convict(std::uint32_t tid)
{
    entered_.insert(tid);
    hanging_.insert(tid);
    running_.erase(tid);
    context_.on_loop(tid, {});
}

// A thread that spins has its stack in use: only a sample tells where it is, and samples are taken of loops.
bool LoopFinder::suspect(std::uint32_t tid)
{
    if (entered_.contains(tid) || !loops_.enter_hanging(process_.pid(), tid, UnprobedLoops::no_end)) return false;
    suspects_.insert(tid);
    if (process_.has_thread(static_cast<pid_t>(tid))) return true;
    clear_suspects();
    return false;
}

// The kernel side copies no page that is not there, and libuv keeps 12 KiB of events on its stack, most of them never
// touched. Read from outside, what lies above has not changed as long as the callback has not returned.
RawStack LoopFinder::whole_stack(RawStack stack) const
{
    const auto above = copy_stack(stack.base + stack.bytes.size(), 0, Memory(process_.pid()));
    stack.bytes.insert(stack.bytes.end(), above.begin(), above.end());
    stack.bytes.resize(std::min(stack.bytes.size(), RawStack::max_bytes));
    return stack;
}

void LoopFinder::on(const SampleEvent& event)
{
    const auto tid = event.head.tid;
    if (!suspects_.contains(tid) || event.stack.bytes.empty() || asking_ >= max_asking) return;
    ++asking_;
    worker_.unwind(captured_stack(static_cast<std::uint32_t>(process_.pid()), whole_stack(event.stack)),
                   [this, tid, alive = std::weak_ptr(sites_)](std::vector<Frame> frames) {
                       if (alive.expired()) return;
                       --asking_;
                       if (hangs_in_a_callback(frames) && suspects_.erase(tid)) {
                           loops_.set_stack_end(tid, end_of(frames));
                           convict(tid);
                       }
                       ask_next();
                   });
}

void LoopFinder::clear_suspects()
{
    for (const auto tid : std::exchange(suspects_, {})) loops_.withdraw(tid);
}

void LoopFinder::watch_start()
{
    if (stopped_ || entered_.contains(first_thread()) || !loops_.enter_starting(process_.pid(), first_thread())) return;
    is_starting_ = true;
    if (!process_.alive()) give_up_start();
}

// Only by its functions: what any other loop calls differs from what was called before it by its waits alone.
void LoopFinder::look_at_start(RawStack stack, bool waits, std::uint64_t at_ns, std::function<void(bool)> answer)
{
    if (asking_ >= max_asking) return answer(false);
    ++asking_;
    worker_.unwind(
        captured_stack(static_cast<std::uint32_t>(process_.pid()), whole_stack(std::move(stack))),
        [this, waits, at_ns, answer = std::move(answer), alive = std::weak_ptr(sites_)](std::vector<Frame> frames) {
            if (alive.expired()) return;
            --asking_;
            if (is_starting_ && !stopped_ && (waits ? runs_a_loop_inside(frames) : hangs_in_a_callback(frames)))
                end_start_in_callback(frames, at_ns);
            answer(entered_.contains(first_thread()));
            ask_next();
        });
}

void LoopFinder::end_start_in_callback(const std::vector<Frame>& frames, std::uint64_t at_ns)
{
    is_starting_ = false;
    before_loop_ = loops_.begin_at(first_thread(), at_ns);
    loops_.set_stack_end(first_thread(), end_of(frames));
    convict(first_thread());
}

// It waits for events, and no callback of a known loop has been seen before: its first iteration begins behind this.
void LoopFinder::end_start(const WaitSite& site, std::uint64_t at_ns)
{
    is_starting_ = false;
    if (stopped_) return loops_.withdraw(site.tid);
    // It waited there already when it was entered; or it still does, so that no iteration has begun: the one that it was
    // entered with would go on for as long as it waits.
    if (!loops_.has_site(site.tid, without_thread(site)) || find(site).asleep == 0) {
        loops_.withdraw(site.tid);
        return enter(site);
    }
    before_loop_ = loops_.begin_at(site.tid, at_ns);
    loops_.set_stack_end(site.tid, sites_->stack_end(site));
    entered_.insert(site.tid);
    running_.erase(site.tid);
    context_.on_loop(site.tid, at_ns);
}

void LoopFinder::give_up_start()
{
    if (std::exchange(is_starting_, false)) loops_.withdraw(first_thread());
}

}  // namespace loopwatch
