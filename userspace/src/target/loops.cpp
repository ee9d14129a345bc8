// SPDX-License-Identifier: Apache-2.0
#include "target/loops.hpp"

#include <fmt/format.h>
#include <loopwatch/loop_state.h>
#include <loopwatch/function_name.hpp>

#include <algorithm>
#include <bit>
#include <unordered_set>

namespace loopwatch {

namespace {

constexpr std::size_t max_loops = 1024;
constexpr std::size_t max_locations = 65536;
constexpr int torn_retries = 4;

std::string version_text(std::uint32_t abi, std::uint32_t slot_bytes)
{
    if (abi > LW_ABI)
        return fmt::format("a newer version of the probes' ABI ({}, loopwatch has {}): update loopwatch", abi, LW_ABI);
    if (abi < LW_ABI)
        return fmt::format("an older version of the probes' ABI ({}, loopwatch has {}): rebuild the program", abi,
                           LW_ABI);
    return fmt::format("ABI {} with loops of {} bytes, which has {}: rebuild the program", abi, slot_bytes,
                       sizeof(lw_loop_slot));
}

}  // namespace

std::vector<std::pair<std::uint64_t, LoopState>> Loops::list(std::uint64_t registry, std::string& other_version) const
{
    std::vector<std::pair<std::uint64_t, LoopState>> loops;
    const auto head = memory_.object<lw_registry>(registry);
    if (!head || head->magic != LW_SLOT_MAGIC) return loops;
    if (head->abi != LW_ABI) {
        other_version = version_text(head->abi, 0);
        return loops;
    }
    std::uint64_t next = address_of(head->loops);
    std::unordered_set<std::uint64_t> seen;  // each costs a list of tasks: not once more if the registry goes round
    while (next != 0 && loops.size() < max_loops && seen.insert(next).second) {
        lw_loop_slot slot = {};
        const auto state = read_slot(next, slot) ? loop_state(slot) : std::nullopt;
        if (!state) {
            if (slot.magic == LW_SLOT_MAGIC && (slot.abi != LW_ABI || slot.size < sizeof slot))
                other_version = version_text(slot.abi, slot.size);
            break;
        }
        loops.emplace_back(next, *state);
        next = state->next;
    }
    return loops;
}

bool Loops::read_slot(std::uint64_t address, lw_loop_slot& slot) const
{
    for (int attempt = 0; attempt < torn_retries; ++attempt) {
        if (!memory_.read(address, &slot, sizeof slot)) return false;
        const auto again = memory_.object<std::uint64_t>(address);
        if (again && *again == slot.seq) break;
    }
    return true;
}

bool Loops::read(std::uint64_t address, LoopState& to) const
{
    lw_loop_slot slot;
    const auto state = read_slot(address, slot) ? loop_state(slot) : std::nullopt;
    if (state) to = *state;
    return state.has_value();
}

LoopView Loops::view(std::uint64_t address, const LoopState& state, std::uint32_t tid) const
{
    return {address, state.loop_id, state.tid, tid, memory_.text(state.name, 64)};
}

const TargetLocation& Loops::location(std::uint64_t address)
{
    static const TargetLocation unknown;
    if (address == 0) return unknown;
    if (const auto known = locations_.find(address); known != locations_.end()) return known->second;
    if (locations_.size() >= max_locations) return unknown;
    TargetLocation location;
    if (const auto raw = memory_.object<lw_location>(address)) {
        location.function = short_function(memory_.text(address_of(raw->function), 1024));
        location.file = memory_.text(address_of(raw->file), 1024);
        location.line = raw->line;
    }
    return locations_.emplace(address, std::move(location)).first->second;
}

void Loops::remember(std::uint64_t address, const std::string& function, std::string file, std::uint32_t line)
{
    if (!location(address).file.empty() || locations_.size() >= max_locations) return;
    locations_[address] = {std::string(short_function(function)), std::move(file), line};
}

}  // namespace loopwatch
