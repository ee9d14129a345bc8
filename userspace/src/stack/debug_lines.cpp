// SPDX-License-Identifier: Apache-2.0
#include "stack/debug_lines.hpp"

#include <dwarf.h>

#include <algorithm>

#include "stack/function_name.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t max_units = 100'000;
constexpr int max_depth = 64;  // of nested scopes and of inlining

const char* text_attribute(Dwarf_Die& die, unsigned name)
{
    Dwarf_Attribute attribute;
    return dwarf_formstring(dwarf_attr_integrate(&die, name, &attribute));
}

std::uint64_t number_attribute(Dwarf_Die& die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    return dwarf_formudata(dwarf_attr(&die, name, &attribute), &value) == 0 ? value : 0;
}

std::string call_file(Dwarf_Die& unit, Dwarf_Die& inlined)
{
    Dwarf_Files* files = nullptr;
    std::size_t count = 0;
    if (dwarf_getsrcfiles(&unit, &files, &count) != 0) return {};
    const char* name = dwarf_filesrc(files, number_attribute(inlined, DW_AT_call_file), nullptr, nullptr);
    return name != nullptr ? name : "";
}

// The child of `die` that covers the address: the next inlined call, or a block that may hold it.
bool descend(Dwarf_Die& die, std::uint64_t vaddr)
{
    Dwarf_Die child;
    if (dwarf_child(&die, &child) != 0) return false;
    do {
        const int tag = dwarf_tag(&child);
        const bool scope = tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
                           tag == DW_TAG_catch_block;
        if (scope && dwarf_haspc(&child, vaddr) == 1) {
            die = child;
            return true;
        }
    } while (dwarf_siblingof(&child, &child) == 0);
    return false;
}

}  // namespace

DebugLines::DebugLines(Dwarf* dwarf, Progress& progress) : progress_(progress)
{
    Dwarf_CU* cu = nullptr;
    Dwarf_Die die, split;
    std::uint8_t type = 0;
    while (units_.size() < max_units && dwarf_get_units(dwarf, cu, &cu, nullptr, &type, &die, &split) == 0) {
        progress_.beat();
        if (type != DW_UT_compile && type != DW_UT_skeleton) continue;
        add_ranges(die, static_cast<std::uint32_t>(units_.size()), ranges_);
        units_.emplace_back();
        units_.back().die = die;
    }
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.low < b.low; });
}

std::vector<DebugLines::Place> DebugLines::places(std::uint64_t vaddr)
{
    const Range* range = find(ranges_, vaddr);
    if (range == nullptr) return {};
    Unit& unit = units_[range->index];
    index(unit);

    std::vector<Dwarf_Die> chain;  // outermost first
    if (const Range* function = find(unit.ranges, vaddr)) {
        Dwarf_Die die = unit.functions[function->index];
        chain.push_back(die);
        for (int depth = 0; depth < max_depth && descend(die, vaddr); ++depth)
            if (dwarf_tag(&die) == DW_TAG_inlined_subroutine) chain.push_back(die);
    }

    Place place;
    if (Dwarf_Line* line = dwarf_getsrc_die(&unit.die, vaddr)) {
        int number = 0;
        const char* file = dwarf_linesrc(line, nullptr, nullptr);
        if (dwarf_lineno(line, &number) == 0 && number > 0) place.line = static_cast<std::uint32_t>(number);
        if (file != nullptr) place.file = file;
    }
    std::vector<Place> result;
    for (std::size_t i = chain.size(); i-- > 0;) {
        place.function = name_of(chain[i]);
        result.push_back(place);
        if (i > 0)
            place = {{},
                     call_file(unit.die, chain[i]),
                     static_cast<std::uint32_t>(number_attribute(chain[i], DW_AT_call_line))};
    }
    if (chain.empty() && !place.file.empty()) result.push_back(place);
    return result;
}

void DebugLines::add_ranges(Dwarf_Die& die, std::uint32_t index, std::vector<Range>& ranges)
{
    Dwarf_Addr base = 0, low = 0, high = 0;
    for (std::ptrdiff_t at = 0; (at = dwarf_ranges(&die, at, &base, &low, &high)) > 0;)
        if (low != 0 && low < high) ranges.push_back({low, high, index});  // 0: the linker dropped it
}

const DebugLines::Range* DebugLines::find(const std::vector<Range>& ranges, std::uint64_t vaddr)
{
    auto after = std::upper_bound(ranges.begin(), ranges.end(), vaddr,
                                  [](std::uint64_t a, const Range& r) { return a < r.low; });
    // Ranges of functions may nest: look a few further back before giving up.
    for (int tries = 0; tries < 8 && after != ranges.begin(); ++tries)
        if (vaddr < (--after)->high) return &*after;
    return nullptr;
}

void DebugLines::index(Unit& unit)
{
    if (unit.indexed) return;
    unit.indexed = true;
    unit.scopes.emplace_back();
    index_children(unit, unit.die, 0, 0);
    std::sort(unit.ranges.begin(), unit.ranges.end(), [](const Range& a, const Range& b) { return a.low < b.low; });
}

void DebugLines::index_children(Unit& unit, Dwarf_Die& parent, std::uint32_t scope, int depth)
{
    Dwarf_Die child;
    if (depth > max_depth || dwarf_child(&parent, &child) != 0) return;
    do {
        const int tag = dwarf_tag(&child);
        const bool function = tag == DW_TAG_subprogram;
        if (function) {
            progress_.beat();
            unit.scope_of.emplace(dwarf_dieoffset(&child), scope);
            add_ranges(child, static_cast<std::uint32_t>(unit.functions.size()), unit.ranges);
            unit.functions.push_back(child);
        }
        const bool type = tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
        const bool block = tag == DW_TAG_lexical_block;
        if (!(function || type || block || tag == DW_TAG_namespace) || dwarf_haschildren(&child) != 1) continue;
        std::uint32_t inner = scope;
        if (const char* name = block ? nullptr : dwarf_diename(&child); name != nullptr) {
            inner = static_cast<std::uint32_t>(unit.scopes.size());
            unit.scopes.push_back(unit.scopes[scope] + name + (function ? "()::" : "::"));
        }
        index_children(unit, child, inner, depth + 1);
    } while (dwarf_siblingof(&child, &child) == 0);
}

// A linkage name tells all; functions of internal linkage have none, and get the scopes of the DIE that declares them.
std::string DebugLines::name_of(Dwarf_Die& die)
{
    for (const unsigned attribute : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name})
        if (const char* linkage = text_attribute(die, attribute)) return demangle(linkage);
    const char* name = text_attribute(die, DW_AT_name);
    if (name == nullptr) return {};

    Dwarf_Die origin = die;
    for (int hops = 0; hops < 8; ++hops) {
        Dwarf_Attribute attribute;
        Dwarf_Attribute* link = dwarf_attr(&origin, DW_AT_abstract_origin, &attribute);
        if (link == nullptr) link = dwarf_attr(&origin, DW_AT_specification, &attribute);
        if (link == nullptr || dwarf_formref_die(link, &origin) == nullptr) break;
    }
    Dwarf_Die home;
    if (dwarf_diecu(&origin, &home, nullptr, nullptr) == nullptr) return tidy_function(name);
    for (Unit& unit : units_) {
        if (unit.die.cu != home.cu) continue;
        index(unit);
        const auto scope = unit.scope_of.find(dwarf_dieoffset(&origin));
        return tidy_function(scope == unit.scope_of.end() ? name : unit.scopes[scope->second] + name);
    }
    return tidy_function(name);
}

}  // namespace loopwatch
