// SPDX-License-Identifier: Apache-2.0
//
// A process's context for OpenTelemetry: any process may publish any bytes. The input is its header, and behind it its
// payload.
#include <algorithm>
#include <cstring>
#include <span>

#include "invariant.hpp"
#include "stack/process_context.hpp"

using namespace loopwatch;

namespace {

constexpr std::size_t most_attributes = 128, longest_text = 256, most_reads = 9;

void check(const std::vector<ContextAttribute>& attributes)
{
    hold(attributes.size() <= most_attributes, "as many attributes as allowed");
    for (const auto& [key, value] : attributes)
        hold(!key.empty() && key.size() <= longest_text && value.size() <= longest_text, "bounded texts");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto input = std::as_bytes(std::span(data, size));
    std::size_t reads = 0;
    const ReadMemory read = [&](std::uint64_t address, std::span<std::byte> to) {
        ++reads;
        const auto from = address == 1 ? input : input.subspan(std::min(input.size(), ContextHeader::bytes));
        if (from.size() < to.size()) return false;
        std::memcpy(to.data(), from.data(), to.size());
        return true;
    };
    if (const auto payload = read_context_payload(1, read))
        if (const auto attributes = parse_process_context(payload->bytes)) check(*attributes);
    hold(reads <= most_reads, "bounded reads");
    // The payload by itself, so that mutations need not keep the header's size right.
    if (const auto attributes = parse_process_context(input)) check(*attributes);
    hold(context_mappings({reinterpret_cast<const char*>(data), size}).size() <= 4, "bounded mappings");
    return 0;
}
