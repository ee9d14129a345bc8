// SPDX-License-Identifier: Apache-2.0
//
// What a file tells about itself: its loopwatch probes, its registry of loops, its build-id. Runs in the worker.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "stack/segments.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

// `elf` stays the caller's. Fails when it is no 64-bit x86 ELF file; a single bad site becomes a warning.
Result<ModuleScan> scan_module(int elf, ScanOptions options = {});

// One ELF note. The views end with the call.
struct Note {
    std::string_view owner;
    std::uint32_t type = 0;
    std::span<const std::uint8_t> descriptor;
    std::uint64_t descriptor_offset = 0;  // from the first byte of the notes
};

// Calls `each` for every well-formed note, stops at the first that is not. `alignment` is 4 or 8.
void parse_notes(std::span<const std::uint8_t> bytes, std::size_t alignment,
                 const std::function<void(const Note&)>& each);

}  // namespace loopwatch
