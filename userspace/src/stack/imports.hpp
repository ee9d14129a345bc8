// SPDX-License-Identifier: Apache-2.0
//
// Imports: the functions that a file calls in others, by the slot of the table through which it does. So the name by
// which a caller knows what it called is known from the caller's file alone: the callee's symbols may be missing, or
// those of its debug file may be local ones that no program calls (glibc's fopen ends in a jump to __fopen_internal).
// Every byte is the target's. Runs in the worker.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "stack/progress.hpp"
#include "stack/segments.hpp"

namespace loopwatch {

class Imports {
public:
    static constexpr std::size_t max_relocations = 1'000'000, max_name_bytes = 1024;

    // `file` and `segments`, here and below: of the same file; neither is kept.
    Imports(int file, const Segments& segments, Progress& progress);
    // Mangled, without a version; empty: the instruction before this address is no call of an import.
    std::string called_before(int file, const Segments& segments, std::uint64_t return_vaddr) const;

private:
    std::map<std::uint64_t, std::uint64_t> symbols_;  // slot → its symbol
    std::uint64_t strings_ = 0, strings_bytes_ = 0;
};

}  // namespace loopwatch
