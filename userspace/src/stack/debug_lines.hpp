// SPDX-License-Identifier: Apache-2.0
//
// DebugLines: from a link-time address to the functions inlined there, with file and line, by DWARF. Runs in the
// worker. Indexes are own ones: clang writes no .debug_aranges, and dwarf_getscopes_die walks a whole unit for each
// address.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "stack/progress.hpp"

namespace loopwatch {

class DebugLines {
public:
    struct Place {
        std::string function;  // demangled and tidied; may lack its arguments
        std::string file;
        std::uint32_t line = 0;
    };

    // `dwarf` stays the caller's. Reads the ranges of all units.
    DebugLines(Dwarf* dwarf, Progress& progress);

    // Innermost first, the last one is the function that is really there; empty if the address is unknown to DWARF.
    std::vector<Place> places(std::uint64_t vaddr);

private:
    struct Range {
        std::uint64_t low = 0, high = 0;
        std::uint32_t index = 0;  // into units_ or Unit::functions
    };
    struct Unit {
        Dwarf_Die die = {};
        bool indexed = false;
        std::vector<Dwarf_Die> functions;
        std::vector<Range> ranges;                              // of functions, sorted
        std::vector<std::string> scopes;                        // "ns::Type::"
        std::unordered_map<Dwarf_Off, std::uint32_t> scope_of;  // a function's DIE → scopes
    };
    static void add_ranges(Dwarf_Die& die, std::uint32_t index, std::vector<Range>& ranges);
    static const Range* find(const std::vector<Range>& ranges, std::uint64_t vaddr);
    void index(Unit& unit);
    void index_children(Unit& unit, Dwarf_Die& parent, std::uint32_t scope, int depth);
    std::string name_of(Dwarf_Die& die);

    Progress& progress_;
    std::vector<Unit> units_;
    std::vector<Range> ranges_;
};

}  // namespace loopwatch
