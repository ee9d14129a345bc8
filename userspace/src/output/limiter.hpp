// SPDX-License-Identifier: Apache-2.0
//
// How many findings may travel: a loop that stalls on every request must not fill the disk. What is over a limit is
// counted by type, never dropped in silence.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "analysis/finding.hpp"

namespace loopwatch {

class FindingLimits {
public:
    virtual ~FindingLimits() = default;
    // May this finding be written? `now_ns`: any monotonic time.
    virtual bool admit(std::string_view type, std::uint32_t pid, const std::string& fingerprint,
                       std::uint64_t duration_ns, std::uint64_t now_ns) = 0;
    // A slow callback that is admitted takes its blocking calls along.
    virtual bool keeps_together() const { return false; }
    // By JSON type, since the start.
    virtual const Counts& suppressed() const = 0;
};

struct Limits {
    std::uint64_t per_fingerprint = 100;  // a second, of each process
    std::uint64_t total = 1'000;          // a second
    std::uint64_t assured = 50;           // a second, of each process, whatever the others report
};

// Counts in windows of one second, which begin with the first finding after the last window's end. Memory: at most
// `total` fingerprints, and `assured` a process.
class Limiter final : public FindingLimits {
public:
    explicit Limiter(Limits limits = {}) : limits_(limits) {}

    bool admit(std::string_view type, std::uint32_t pid, const std::string& fingerprint, std::uint64_t duration_ns,
               std::uint64_t now_ns) override;
    const Counts& suppressed() const override { return suppressed_; }

private:
    Limits limits_;
    std::uint64_t window_start_ns_ = 0;
    std::uint64_t admitted_ = 0;
    std::map<std::pair<std::uint32_t, std::string>, std::uint64_t> admitted_by_fingerprint_;  // pid, fingerprint
    std::unordered_map<std::uint32_t, std::uint64_t> admitted_by_process_;
    Counts suppressed_;
};

}  // namespace loopwatch
