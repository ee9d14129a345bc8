// SPDX-License-Identifier: Apache-2.0
//
// Segments: the program headers of a 64-bit x86 ELF file, by bounded reads of fixed size, never by mapping (a file that
// its owner truncates would raise SIGBUS). Simple enough to be used outside the worker.
#pragma once

#include <elf.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "stack/symbol_worker.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct Segments {
    bool position_independent = false;
    std::uint64_t file_size = 0;
    std::vector<Elf64_Phdr> headers;

    // Address ↔ file offset through a PT_LOAD that has all of `flags` and none of `without` (PF_X, PF_W).
    std::optional<std::uint64_t> offset_of(std::uint64_t vaddr, std::uint32_t flags, std::uint32_t without = 0) const;
    std::optional<std::uint64_t> vaddr_of(std::uint64_t offset, std::uint32_t flags) const;
    // Of the first byte of an executable mapping that begins at this offset. The kernel maps whole pages: that may be
    // before the segment's first byte.
    std::optional<std::uint64_t> link_start(std::uint64_t mapped_offset) const;
    bool contains(std::uint64_t vaddr, std::uint64_t size, std::uint32_t flags) const;
    bool has(std::uint32_t type) const;
};

// Fails on anything but a regular file with a little-endian ELF64 header for x86-64 and at most 256 program headers.
Result<Segments> read_segments(int elf);

// False: the file ends before.
bool read_exactly(int fd, void* to, std::size_t size, std::uint64_t offset);

inline constexpr std::size_t max_sites = 4096, max_coroutines = 65'536;  // of one file

// Why a tracer must not attach to this site; empty if it may. `elf` is read at the site: any opcode but a 1-byte nop is
// refused.
std::string_view refuse_site(int elf, const Segments& segments, const ProbeSite& site);

// The arguments of a site with that many of them, in the order of the calling convention: "8@%rdi 8@%rsi".
std::string_view convention_arguments(std::size_t count);

}  // namespace loopwatch
