// SPDX-License-Identifier: Apache-2.0
//
// Sizes as people write them: "512MiB", "64KiB", "1.5GiB", "4096B". text.hpp's format_bytes() shows them.
#pragma once

#include <cstdint>
#include <string_view>

#include "util/result.hpp"

namespace loopwatch {

// Units: B KiB MiB GiB TiB, and kB MB GB TB of 1,000. What is less than a byte is cut off.
// Fails with ExitCode::usage: no unit, zero, negative, not a number, more than 2^63 bytes.
Result<std::uint64_t> parse_byte_size(std::string_view text);

}  // namespace loopwatch
