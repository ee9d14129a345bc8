// SPDX-License-Identifier: Apache-2.0
#include "attach/candidates.hpp"

#include <algorithm>

#include "target/process.hpp"
#include "util/beside.hpp"
#include "util/detached.hpp"

namespace loopwatch {

void Candidates::scan(std::uint64_t now_ns)
{
    if (!selection_) return;
    for (const pid_t pid : Process::all()) put(pid, now_ns);
}

void Candidates::born(pid_t pid, std::uint64_t now_ns)
{
    if (selection_) put(pid, now_ns + selection_->min_age_ns());
}

void Candidates::again(pid_t pid, std::uint64_t now_ns)
{
    put(pid, now_ns + look_beside_ns);
}

void Candidates::put(pid_t pid, std::uint64_t due_ns)
{
    if (waiting_.size() >= most_waiting) {
        ++missed_;
        return;
    }
    due_[pid] = due_ns;
    // Those that are due at once go first; all others are due later than those that wait already.
    const auto later = [&](const Candidate& one) { return one.due_ns <= due_ns; };
    const auto place = std::find_if(waiting_.rbegin(), waiting_.rend(), later).base();
    waiting_.insert(place, {pid, due_ns});
}

std::uint64_t Candidates::next_ns(std::uint64_t now_ns) const
{
    if (batch_) return now_ns + look_beside_ns;
    return waiting_.empty() ? 0 : waiting_.front().due_ns;
}

void Candidates::begin_batch(std::uint64_t now_ns)
{
    auto batch = std::make_shared<Batch>();
    while (!waiting_.empty() && waiting_.front().due_ns <= now_ns && batch->pids.size() < most_at_once) {
        const auto [pid, due_ns] = waiting_.front();
        waiting_.pop_front();
        const auto current = due_.find(pid);
        if (current == due_.end() || current->second != due_ns) continue;  // it has begun anew since
        due_.erase(current);
        batch->pids.push_back(pid);
    }
    if (batch->pids.empty()) return;
    looked_at_ += batch->pids.size();
    batch_ = batch;
    batch_until_ns_ = now_ns + patience_ns;
    batch_done_ = run_detached([selection = selection_, batch] {
        for (const pid_t pid : batch->pids) {
            auto choice = selection->choose(pid);
            const std::lock_guard lock(batch->mutex);
            ++batch->looked_at;
            batch->chosen.emplace_back(pid, choice);
        }
    });
}

// One of its processes may not answer: that one is left out, those behind it wait for another batch.
Candidates::Chosen Candidates::leave_batch(std::uint64_t now_ns)
{
    const auto batch = std::exchange(batch_, nullptr);
    const std::lock_guard lock(batch->mutex);
    for (std::size_t behind = batch->looked_at + 1; behind < batch->pids.size(); ++behind)
        put(batch->pids[behind], now_ns);
    missed_ += batch->looked_at < batch->pids.size();
    return std::exchange(batch->chosen, {});
}

std::vector<std::pair<pid_t, std::optional<TargetChoice>>> Candidates::take_chosen(std::uint64_t now_ns)
{
    Chosen chosen;
    if (!selection_) return chosen;
    if (batch_ && (is_ready(batch_done_) || now_ns >= batch_until_ns_)) chosen = leave_batch(now_ns);
    if (!batch_ && may_detach_another()) begin_batch(now_ns);
    return chosen;
}

}  // namespace loopwatch
