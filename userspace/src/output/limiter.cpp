// SPDX-License-Identifier: Apache-2.0
#include "output/limiter.hpp"

namespace loopwatch {

bool Limiter::admit(std::string_view type, std::uint32_t pid, const std::string& fingerprint, std::uint64_t,
                    std::uint64_t now_ns)
{
    constexpr std::uint64_t window_ns = 1'000'000'000;
    // Findings of several loops come slightly out of order; an older one belongs to the window that runs.
    if (now_ns >= window_start_ns_ + window_ns) {
        window_start_ns_ = now_ns;
        admitted_ = 0;
        admitted_by_fingerprint_.clear();
        admitted_by_process_.clear();
    }
    const auto known = admitted_by_fingerprint_.find({pid, fingerprint});
    const std::uint64_t of_this = known == admitted_by_fingerprint_.end() ? 0 : known->second;
    const auto process = admitted_by_process_.find(pid);
    const std::uint64_t of_process = process == admitted_by_process_.end() ? 0 : process->second;
    if ((admitted_ >= limits_.total && of_process >= limits_.assured) || of_this >= limits_.per_fingerprint) {
        ++suppressed_[std::string(type)];
        return false;
    }
    ++admitted_;
    admitted_by_fingerprint_[{pid, fingerprint}] = of_this + 1;
    admitted_by_process_[pid] = of_process + 1;
    return true;
}

}  // namespace loopwatch
