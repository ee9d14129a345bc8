// SPDX-License-Identifier: Apache-2.0
//
// FindingWatch: what the daemon itself wants to know of findings, before any limit: how many each target has, and
// whether one asks for a dump ([[dump]]).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/config.hpp"
#include "output/sink.hpp"

namespace loopwatch {

class FindingWatch final : public Sink {
public:
    explicit FindingWatch(std::uint32_t ignored_pid) : ignored_pid_(ignored_pid) {}

    void set_rules(std::vector<DumpRule> rules) { rules_ = std::move(rules); }
    Result<void> take(const Report& report) override;
    Result<void> flush() override { return {}; }
    Result<void> close(bool) override { return {}; }

    // How many dumps to keep, if a rule has been met since the last call.
    std::optional<std::uint32_t> take_dump() { return std::exchange(dump_, std::nullopt); }
    // The target with the most findings since the last call; 0: none had any.
    std::uint32_t take_busiest();
    std::uint64_t count() const noexcept { return count_; }
    // Of the executable of a target; empty: unknown.
    std::string build_of(std::uint32_t pid) const;

private:
    std::uint32_t ignored_pid_;
    std::vector<DumpRule> rules_;
    std::optional<std::uint32_t> dump_;
    std::map<std::uint32_t, std::uint64_t> by_pid_;
    std::map<std::uint32_t, std::string> builds_;
    std::uint64_t count_ = 0;
};

}  // namespace loopwatch
