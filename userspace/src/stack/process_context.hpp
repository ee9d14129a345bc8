// SPDX-License-Identifier: Apache-2.0
//
// What a process publishes about itself for observers from outside: OpenTelemetry's process context (OTEP 4719), a
// mapping of its memory with a header that points to a protobuf of resource attributes. All of it is the process's
// word: sizes are bounded, and what is not exactly in the format yields nothing. No I/O: the caller reads the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace loopwatch {

inline constexpr std::size_t most_context_attributes = 128, longest_context_text = 256;

struct ContextAttribute {
    std::string key, value;  // valid UTF-8, at most 256 bytes each; only attributes that are texts are kept

    bool operator==(const ContextAttribute&) const = default;
};

// "service.name"; empty: there is none. Of several the first counts.
std::string_view context_attribute(const std::vector<ContextAttribute>& attributes, std::string_view key);

struct ContextHeader {
    static constexpr std::size_t bytes = 32;
    std::uint32_t payload_bytes = 0;    // at most 65,536, as the eBPF profiler reads
    std::uint64_t published_ns = 0;     // 0: it is being written
    std::uint64_t payload_address = 0;  // in the process

    bool operator==(const ContextHeader&) const = default;
};

// "[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]", "/memfd:OTEL_CTX", with or without " (deleted)".
bool is_context_mapping(std::string_view name);
// Where the mappings of that name begin, of the contents of /proc/PID/maps; at most 4: there should be one.
std::vector<std::uint64_t> context_mappings(std::string_view maps);

// None: no signature, another version than 2, no payload, or one that is too large.
std::optional<ContextHeader> parse_context_header(std::span<const std::byte> bytes);
// At most 128. None: broken protobuf. Fields that are not known are skipped, as protobuf wants it.
std::optional<std::vector<ContextAttribute>> parse_process_context(std::span<const std::byte> payload);

// Reads all of `to` from the process's memory, or nothing.
using ReadMemory = std::function<bool(std::uint64_t address, std::span<std::byte> to)>;

// What is to be parsed, which the worker can do.
struct ContextPayload {
    std::uint64_t published_ns = 0;  // changes when the process publishes anew
    std::vector<std::byte> bytes;
};
// Of the mapping at `address`. The header is read again behind the payload: if it changed, the payload may be half of
// one and half of another, and is read once more, 3 times in all. None: it is no context, or it never rested.
std::optional<ContextPayload> read_context_payload(std::uint64_t address, const ReadMemory& read);

}  // namespace loopwatch
