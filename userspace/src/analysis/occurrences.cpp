// SPDX-License-Identifier: Apache-2.0
#include "analysis/occurrences.hpp"

namespace loopwatch {

std::uint64_t Occurrences::add(const std::string& fingerprint)
{
    if (const auto known = index_.find(fingerprint); known != index_.end()) {
        entries_.splice(entries_.begin(), entries_, known->second);
        return ++known->second->second;
    }
    if (entries_.size() == capacity_) {
        index_.erase(entries_.back().first);
        entries_.pop_back();
        ++evictions_;
    }
    entries_.emplace_front(fingerprint, 1);
    index_.emplace(fingerprint, entries_.begin());
    return 1;
}

}  // namespace loopwatch
