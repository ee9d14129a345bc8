// SPDX-License-Identifier: Apache-2.0
#include "session/reporter.hpp"

#include <utility>

namespace loopwatch {

void Reporter::publish(const Record& record)
{
    if (failure_) return;
    if (auto written = sink_.write(record); !written) failure_ = written.error();
}

void Reporter::flush()
{
    if (failure_) return;
    if (auto written = sink_.flush(); !written) failure_ = written.error();
}

// A call before its dispatch: a reader that folds them knows the call when the dispatch comes.
void Reporter::publish(Findings findings)
{
    for (auto& call : findings.blocking) {
        call.occurrence = occurrences_.add(call.fingerprint);
        publish_finding("blocking_call", call.fingerprint, call.end_ns, call);
    }
    if (auto& stall = findings.stall) {
        stall->occurrence = occurrences_.add(stall->fingerprint);
        publish_finding("stall", stall->fingerprint, stall->end_ns, *stall);
    }
    if (!findings.slow) return;
    auto& slow = *findings.slow;
    slow.occurrence = occurrences_.add(slow.fingerprint);
    publish_finding("slow_callback", slow.fingerprint, slow.end_ns, slow);
}

void Reporter::publish(const TaskEvent& misuse)
{
    publish_finding(misuse.type, misuse.type, misuse.at_ns, misuse);
}

void Reporter::publish_step(const TaskEvent& step)
{
    ++counts_[step.type];
    publish(Record(step));
}

void Reporter::publish_finding(const std::string& type, const std::string& fingerprint, std::uint64_t at_ns,
                               const Record& record)
{
    ++counts_[type];
    if (limiter_.admit(type, fingerprint, at_ns)) publish(record);
}

bool Reporter::found_any(const std::set<std::string>& types) const
{
    for (const auto& type : types)
        if (const auto count = counts_.find(type); count != counts_.end() && count->second) return true;
    return false;
}

}  // namespace loopwatch
