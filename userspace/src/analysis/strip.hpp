// SPDX-License-Identifier: Apache-2.0
//
// Strip: how long a loop was held at most in each second of an interval: 80 characters a minute.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loopwatch {

class Strip {
public:
    static constexpr std::uint64_t step_ns = 1'000'000'000;
    static constexpr std::size_t most_steps = 3600;  // of an interval: beyond, none is added

    // The step that ends: its longest hold; 0: none that is known.
    void add(std::uint64_t longest_ns);
    // The steps so far, and begins anew. Empty: there are none.
    std::string take();

private:
    std::vector<std::uint8_t> levels_;
};

// 8 a doubling, from 1 us (0, as nothing is) to 62 minutes (255): in steps of 9 %.
std::uint8_t hold_level(std::uint64_t ns);
// With padding (RFC 4648, section 4).
std::string base64(const std::vector<std::uint8_t>& bytes);

}  // namespace loopwatch
