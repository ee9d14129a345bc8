// SPDX-License-Identifier: Apache-2.0
//
// FNV-1a, 64 bit (http://www.isthe.com/chongo/tech/comp/fnv/): equal on all hosts, unlike std::hash.
#pragma once

#include <cstdint>
#include <string_view>

namespace loopwatch {

inline constexpr std::uint64_t fnv1a_begin = 0xcbf29ce484222325ull;

// Goes on from `hash`.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = fnv1a_begin)
{
    for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ull;
    return hash;
}

}  // namespace loopwatch
