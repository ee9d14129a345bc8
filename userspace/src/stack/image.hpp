// SPDX-License-Identifier: Apache-2.0
//
// Image: one ELF file, with whatever names and lines can be had for it: .symtab, .dynsym, .gnu_debugdata, DWARF, a
// separate debug file. Everything is loaded on first use. Addresses are link-time addresses. Runs in the worker.
#pragma once

#include <elfutils/libdwfl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "stack/debug_lines.hpp"
#include "stack/frame.hpp"
#include "stack/imports.hpp"
#include "stack/progress.hpp"
#include "stack/segments.hpp"
#include "util/fd.hpp"

namespace loopwatch {

// What to look for when a file's debug information stands elsewhere.
struct DebugFileWanted {
    std::string build_id;   // hex
    std::string debuglink;  // file name, may be empty
};
// An open candidate, or none. The image checks that it belongs to it.
using DebugFileFinder = std::function<Fd(const DebugFileWanted&)>;

class Image {
public:
    static Result<std::unique_ptr<Image>> open(Fd file, Progress& progress);
    ~Image();
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;

    // Asked once, when names are first wanted.
    void set_finder(DebugFileFinder finder) { finder_ = std::move(finder); }
    int file() const { return file_.raw(); }
    const Segments& segments() const { return segments_; }
    const std::string& build_id() const { return build_id_; }

    // Frames of the code at this address, innermost first, all but the last inlined; never empty. `module` is left to
    // the caller.
    const std::vector<Frame>& symbolize(std::uint64_t vaddr);
    // The function of another file that the call before this address calls, as symbolize() names it; empty: none.
    const std::string& called_before(std::uint64_t return_vaddr);

private:
    struct Symbol {
        std::uint64_t vaddr = 0, size = 0;
        const char* name = nullptr;  // libdwfl's, lives as long as dwfl_
        std::uint32_t rank = 0;      // of several at one address the lowest wins
    };
    Image(Fd file, Segments segments, Progress& progress);
    static int find_debuginfo(Dwfl_Module*, void** user, const char*, Dwarf_Addr, const char*, const char* debuglink,
                              GElf_Word crc, char**);
    void load();
    void load_symbols();
    std::vector<Frame> resolve(std::uint64_t vaddr);
    const Symbol* symbol_at(std::uint64_t vaddr) const;

    Fd file_;
    Segments segments_;
    Progress& progress_;
    DebugFileFinder finder_;
    std::string build_id_;
    std::unique_ptr<Dwfl, decltype(&dwfl_end)> dwfl_{nullptr, &dwfl_end};
    Dwfl_Module* module_ = nullptr;
    bool loaded_ = false;
    std::vector<Symbol> symbols_;
    std::unique_ptr<DebugLines> lines_;
    std::unordered_map<std::uint64_t, std::vector<Frame>> cache_;
    std::optional<Imports> imports_;
    std::unordered_map<std::uint64_t, std::string> called_;
};

// Hex of the GNU build-id, empty if the file has none.
std::string read_build_id(int elf, const Segments& segments);

}  // namespace loopwatch
