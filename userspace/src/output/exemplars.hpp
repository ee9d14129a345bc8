// SPDX-License-Identifier: Apache-2.0
//
// Which findings are kept as examples by something that runs all the time: of each fingerprint the first, each that is
// much longer than all before, then one now and then. How often and for how long something happened is in cause_stats,
// which has no such limit. What is left out is counted by type.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "output/limiter.hpp"

namespace loopwatch {

struct ExemplarLimits {
    std::uint64_t repeat_ns = 300'000'000'000;  // between two of one fingerprint that are not longer
    double rate = 1;                            // a second, of all together, in the long run
    std::uint32_t burst = 60;                   // of all together, at once
    std::uint32_t most_fingerprints = 512;      // of a service; all others count as one
};

class Exemplars final : public FindingLimits {
public:
    static constexpr double much_longer = 1.5;

    // `service_of`: what processes that start again have in common.
    explicit Exemplars(ExemplarLimits limits, std::function<std::string(std::uint32_t pid)> service_of)
        : limits_(limits), service_of_(std::move(service_of)), tokens_(limits.burst)
    {
    }

    bool admit(std::string_view type, std::uint32_t pid, const std::string& fingerprint, std::uint64_t duration_ns,
               std::uint64_t now_ns) override;
    bool keeps_together() const override { return true; }
    const Counts& suppressed() const override { return suppressed_; }
    // A fraction of the rate and of each burst. 1: as it was made with.
    void thin_to(double share) { share_ = share; }

private:
    struct Known {
        std::uint64_t admitted_ns = 0, longest_ns = 0, seen_ns = 0;
    };
    using Fingerprints = std::unordered_map<std::string, Known>;  // with the type in front
    Known& known(const std::string& service, std::string_view type, const std::string& fingerprint,
                 std::uint64_t now_ns);
    bool take_token(std::uint64_t now_ns);

    ExemplarLimits limits_;
    std::function<std::string(std::uint32_t)> service_of_;
    double tokens_, share_ = 1;
    std::uint64_t filled_ns_ = 0;
    std::map<std::string, Fingerprints> services_;
    Counts suppressed_;
};

}  // namespace loopwatch
