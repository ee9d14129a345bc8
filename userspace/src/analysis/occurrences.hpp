// SPDX-License-Identifier: Apache-2.0
//
// Occurrences: how often each fingerprint was seen in a session, in bounded memory. What was not seen for longest is
// forgotten first, and counted.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <utility>

namespace loopwatch {

class Occurrences {
public:
    explicit Occurrences(std::size_t capacity = 10'000) : capacity_(capacity == 0 ? 1 : capacity) {}

    // Counts one more and returns how many there are: 1 for the first.
    std::uint64_t add(const std::string& fingerprint);
    std::size_t size() const { return index_.size(); }
    // Fingerprints forgotten for want of room: their next occurrence counts from 1 again.
    std::uint64_t evictions() const { return evictions_; }

private:
    using Entry = std::pair<std::string, std::uint64_t>;
    std::size_t capacity_;
    std::uint64_t evictions_ = 0;
    std::list<Entry> entries_;  // last seen first
    std::unordered_map<std::string, std::list<Entry>::iterator> index_;
};

}  // namespace loopwatch
