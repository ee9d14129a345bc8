// SPDX-License-Identifier: Apache-2.0
#include "attach/published_context.hpp"

#include <cstddef>
#include <span>

#include "target/memory.hpp"
#include "target/process.hpp"

namespace loopwatch {

std::optional<ContextPayload> published_context(pid_t pid)
{
    constexpr std::size_t most_maps_bytes = 16u << 20;
    const auto maps = read_proc(pid, "maps", most_maps_bytes);
    if (!maps) return std::nullopt;
    const Memory memory(pid);
    const ReadMemory read = [&](std::uint64_t address, std::span<std::byte> to) {
        return memory.read(address, to.data(), to.size());
    };
    for (const auto address : context_mappings(*maps))
        if (auto payload = read_context_payload(address, read)) return payload;
    return std::nullopt;
}

}  // namespace loopwatch
