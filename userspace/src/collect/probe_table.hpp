// SPDX-License-Identifier: Apache-2.0
//
// The rows of probes.def as data.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace loopwatch {

enum class ProbeGate { watch, trace, debug };

struct ProbeRow {
    std::uint32_t id;
    ProbeGate gate;
    std::string_view name;
    unsigned arguments;
};

inline constexpr ProbeRow probe_table[] = {
#define LW_PROBE(id, gate, name, count, doc) {id, ProbeGate::gate, #name, count},
#include <loopwatch/probes.def>
};

constexpr const ProbeRow* find_probe(std::string_view name)
{
    for (const auto& row : probe_table)
        if (row.name == name) return &row;
    return nullptr;
}

constexpr const ProbeRow* find_probe(std::uint32_t id)
{
    for (const auto& row : probe_table)
        if (row.id == id) return &row;
    return nullptr;
}

}  // namespace loopwatch
