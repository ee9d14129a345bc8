// SPDX-License-Identifier: Apache-2.0
#include "target/loops.hpp"

#include <fmt/format.h>
#include <loopwatch/function_name.hpp>

#include <algorithm>
#include <bit>
#include <unordered_set>

namespace loopwatch {

namespace {

__extension__ using Wide = unsigned __int128;

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

std::vector<std::pair<std::uint64_t, lw_loop_slot>> Loops::list(std::uint64_t registry,
                                                                std::string& other_version) const
{
    std::vector<std::pair<std::uint64_t, lw_loop_slot>> loops;
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
        if (!read(next, slot)) {
            if (slot.magic == LW_SLOT_MAGIC && (slot.abi != LW_ABI || slot.size < sizeof slot))
                other_version = version_text(slot.abi, slot.size);
            break;
        }
        loops.emplace_back(next, slot);
        next = address_of(slot.next);
    }
    return loops;
}

bool Loops::read(std::uint64_t address, lw_loop_slot& slot) const
{
    for (int attempt = 0; attempt < torn_retries; ++attempt) {
        if (!memory_.read(address, &slot, sizeof slot)) return false;
        const auto again = memory_.object<std::uint64_t>(address);
        if (again && *again == slot.seq) break;
    }
    return is_loop_slot(slot);
}

LoopView Loops::view(std::uint64_t address, const lw_loop_slot& slot, std::uint32_t tid) const
{
    return {address, slot.loop_id, slot.tid, tid, memory_.text(address_of(slot.name), 64)};
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

std::uint64_t ticks_to_ns(const lw_loop_slot& slot, std::uint64_t ticks)
{
    if (slot.clock != LW_CLOCK_TSC) return ticks;
    return static_cast<std::uint64_t>((static_cast<Wide>(ticks) * slot.clock_mult) >> slot.clock_shift);
}

std::uint64_t moment_ns(const lw_loop_slot& slot, std::uint64_t ticks)
{
    if (slot.clock != LW_CLOCK_TSC) return ticks;
    if (ticks >= slot.anchor_ticks) return slot.anchor_ns + ticks_to_ns(slot, ticks - slot.anchor_ticks);
    // The counter of a machine that slept has begun anew: long before, not 2^64 ns ahead.
    const auto before_ns = ticks_to_ns(slot, slot.anchor_ticks - ticks);
    return slot.anchor_ns - std::min<std::uint64_t>(slot.anchor_ns, before_ns);
}

}  // namespace loopwatch
