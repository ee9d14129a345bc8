// SPDX-License-Identifier: Apache-2.0
#include "report/cause_sums.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "analysis/fingerprint.hpp"

namespace loopwatch {

namespace {

constexpr const char* other = "other";

void add_to(CauseStats& sum, const CauseStats& more)
{
    sum.count += more.count;
    sum.held_ns += more.held_ns;
    sum.max_ns = std::max(sum.max_ns, more.max_ns);
    for (const auto& [bound, count] : more.hist) sum.hist[bound] += count;
    for (const auto& [bound, count] : more.without) sum.without[bound] += count;
    sum.delayed += more.delayed;
    sum.delay_ns += more.delay_ns;
    sum.causes += more.causes;
}

// Of a source whose place in the program is not known, the others of its kind share the fingerprint.
std::string fingerprint_of(const SlowCallback& slow, std::size_t source)
{
    return source == 0 ? slow.fingerprint : fingerprint("slow_callback", slow.sources[source], slow.task);
}

}  // namespace

std::uint64_t eighth_octave_below(std::uint64_t ns)
{
    if (ns == 0) return 0;
    const auto bound = [](double i) { return static_cast<std::uint64_t>(std::ceil(std::exp2(i / 8))); };
    auto i = std::floor(std::log2(static_cast<double>(ns)) * 8);
    if (bound(i) > ns) --i;  // rounded
    return bound(i);
}

void CauseSums::add(const SlowCallback& slow)
{
    const LoopKey loop{slow.subject.pid, slow.subject.tid, slow.loop.id};
    if (slow.sources.empty() || (loops_.size() >= most_loops && !loops_.contains(loop))) {
        left_out_ += !slow.sources.empty();
        return;
    }
    auto& causes = loops_[loop];
    if (causes.other.fingerprint.empty()) {
        causes.other.fingerprint = other;
        causes.other.causes = 0;
        causes.other.subject = slow.subject;
        causes.other.loop = slow.loop;
    }
    // Two places of one callback may have one fingerprint: they are one cause of it, with the sum of both.
    std::map<CauseStats*, std::uint64_t> parts;
    for (std::size_t i = 0; i < slow.sources.size(); ++i) {
        auto& cause = cause_of(causes, fingerprint_of(slow, i), slow.sources[i]);
        if (i == 0 && slow.impact) {
            cause.delayed += slow.impact->tasks_delayed;
            cause.delay_ns += slow.impact->total_delay_ns;
        }
        parts[&cause] += slow.sources[i].duration_ns;
    }
    for (const auto& [cause, part_ns] : parts) {
        ++cause->count;
        cause->held_ns += part_ns;
        cause->max_ns = std::max(cause->max_ns, part_ns);
        ++cause->hist[eighth_octave_below(slow.duration_ns)];
        ++cause->without[eighth_octave_below(slow.duration_ns - std::min(slow.duration_ns, part_ns))];
    }
}

void CauseSums::add(const LoopStats& stats)
{
    const LoopKey loop{stats.subject.pid, stats.subject.tid, stats.loop.id};
    if (intervals_.size() < most_loops || intervals_.contains(loop)) intervals_[loop] += stats.interval_ns;
}

CauseStats& CauseSums::cause_of(Causes& causes, const std::string& fingerprint, const Source& source)
{
    const auto known = causes.by_fingerprint.find(fingerprint);
    if (known != causes.by_fingerprint.end()) return known->second;
    if (causes.by_fingerprint.size() >= most_kept) {
        ++causes.other.causes;  // each time that one comes: which it is, is not kept
        return causes.other;
    }
    auto& cause = causes.by_fingerprint[fingerprint];
    cause.subject = causes.other.subject;
    cause.loop = causes.other.loop;
    cause.fingerprint = fingerprint;
    cause.kind = source.kind;
    cause.call = source.call;
    cause.stack = source.stack;
    return cause;
}

void CauseSums::list(Causes& causes, std::uint64_t now_ns, std::uint64_t interval_ns, std::vector<CauseStats>& to)
{
    std::vector<CauseStats> listed;
    for (auto& [fingerprint, cause] : causes.by_fingerprint) listed.push_back(std::move(cause));
    std::ranges::sort(listed, std::ranges::greater(), &CauseStats::held_ns);
    for (std::size_t i = most_listed; i < listed.size(); ++i) add_to(causes.other, listed[i]);
    listed.resize(std::min(listed.size(), most_listed));
    if (causes.other.count != 0) listed.push_back(std::move(causes.other));
    for (auto& cause : listed) {
        cause.at_ns = now_ns;
        cause.interval_ns = interval_ns;
        to.push_back(std::move(cause));
    }
}

std::vector<CauseStats> CauseSums::take(std::uint64_t now_ns)
{
    std::vector<CauseStats> all;
    const auto since_last_ns = now_ns - std::exchange(since_ns_, now_ns);
    const auto intervals = std::exchange(intervals_, {});
    for (auto& [key, causes] : std::exchange(loops_, {})) {
        const auto known = intervals.find(key);
        list(causes, now_ns, known == intervals.end() ? since_last_ns : known->second, all);
    }
    return all;
}

std::vector<CauseStats> CauseSums::take_of(std::uint32_t pid, std::uint64_t now_ns)
{
    std::vector<CauseStats> all;
    for (auto loop = loops_.lower_bound({pid, 0, ""}); loop != loops_.end() && std::get<0>(loop->first) == pid;) {
        const auto known = intervals_.extract(loop->first);
        list(loop->second, now_ns, known.empty() ? now_ns - since_ns_ : known.mapped(), all);
        loop = loops_.erase(loop);
    }
    return all;
}

}  // namespace loopwatch
