// SPDX-License-Identifier: Apache-2.0
//
// ByteBudget: memory that the watched processes share: so much in all, of which a part is assured of each, whatever the
// others hold.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

namespace loopwatch {

class ByteBudget {
public:
    ByteBudget(std::size_t most, std::size_t assured) : most_(most), assured_(assured) {}

    bool has_room(std::uint32_t pid, std::size_t bytes) const
    {
        const auto known = of_process_.find(pid);
        const auto of_this = known == of_process_.end() ? 0 : known->second;
        return bytes <= most_ - std::min(most_, held_) || bytes <= assured_ - std::min(assured_, of_this);
    }
    // False: there is no room, and nothing is taken.
    bool take(std::uint32_t pid, std::size_t bytes)
    {
        if (!has_room(pid, bytes)) return false;
        if (bytes == 0) return true;
        of_process_[pid] += bytes;
        held_ += bytes;
        return true;
    }
    void give_back(std::uint32_t pid, std::size_t bytes)
    {
        const auto known = of_process_.find(pid);
        if (known == of_process_.end()) return;
        held_ -= bytes;
        if ((known->second -= bytes) == 0) of_process_.erase(known);
    }
    std::size_t held() const noexcept { return held_; }

private:
    std::size_t most_, assured_, held_ = 0;
    std::map<std::uint32_t, std::size_t> of_process_;
};

}  // namespace loopwatch
