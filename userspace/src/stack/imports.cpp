// SPDX-License-Identifier: Apache-2.0
#include "stack/imports.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace loopwatch {
namespace {

constexpr std::size_t relocations_a_read = 4096, max_dynamic_entries = 512;

// Bytes read; fewer than asked for at the end of the file.
std::size_t read_at(int file, const Segments& segments, std::uint64_t vaddr, void* to, std::size_t bytes)
{
    const auto offset = segments.offset_of(vaddr, PF_R);
    if (!offset || *offset > INT64_MAX) return 0;
    const auto got = ::pread(file, to, bytes, static_cast<off_t>(*offset));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
}

std::map<std::int64_t, std::uint64_t> dynamic_entries(int file, const Segments& segments)
{
    std::map<std::int64_t, std::uint64_t> entries;
    const auto dynamic = std::ranges::find(segments.headers, PT_DYNAMIC, &Elf64_Phdr::p_type);
    if (dynamic == segments.headers.end()) return entries;
    std::vector<Elf64_Dyn> all(std::min<std::size_t>(dynamic->p_filesz / sizeof(Elf64_Dyn), max_dynamic_entries));
    const auto got = read_at(file, segments, dynamic->p_vaddr, all.data(), all.size() * sizeof(Elf64_Dyn));
    all.resize(got / sizeof(Elf64_Dyn));
    for (const auto& entry : all) {
        if (entry.d_tag == DT_NULL) break;
        entries.emplace(entry.d_tag, entry.d_un.d_val);
    }
    return entries;
}

std::uint64_t relative(std::uint64_t behind, const unsigned char* displacement)
{
    std::int32_t distance = 0;
    std::memcpy(&distance, displacement, sizeof distance);
    return behind + static_cast<std::uint64_t>(static_cast<std::int64_t>(distance));
}

// The slot through which the code at this address jumps: an entry of the procedure linkage table, of any of its kinds
// (endbr64; bnd jmp *slot(%rip)).
std::optional<std::uint64_t> slot_of_stub(int file, const Segments& segments, std::uint64_t vaddr)
{
    std::array<unsigned char, 11> code{};
    const auto bytes = read_at(file, segments, vaddr, code.data(), code.size());
    std::size_t at = 0;
    constexpr std::array<unsigned char, 4> endbr64{0xf3, 0x0f, 0x1e, 0xfa};
    if (std::equal(endbr64.begin(), endbr64.end(), code.begin())) at += endbr64.size();
    if (code[at] == 0xf2) ++at;
    if (at + 6 > bytes || code[at] != 0xff || code[at + 1] != 0x25) return std::nullopt;
    return relative(vaddr + at + 6, &code[at + 2]);
}

std::optional<std::uint64_t> slot_of_call(int file, const Segments& segments, std::uint64_t return_vaddr)
{
    std::array<unsigned char, 6> code{};
    if (return_vaddr < code.size()) return std::nullopt;
    const auto from = return_vaddr - code.size();
    if (!segments.contains(from, code.size(), PF_X)) return std::nullopt;
    if (read_at(file, segments, from, code.data(), code.size()) != code.size()) return std::nullopt;
    if (code[0] == 0xff && code[1] == 0x15) return relative(return_vaddr, &code[2]);  // -fno-plt
    if (code[1] != 0xe8) return std::nullopt;
    return slot_of_stub(file, segments, relative(return_vaddr, &code[2]));
}

}  // namespace

Imports::Imports(int file, const Segments& segments, Progress& progress)
{
    const auto entries = dynamic_entries(file, segments);
    const auto value = [&](std::int64_t tag) {
        const auto found = entries.find(tag);
        return found == entries.end() ? 0 : found->second;
    };
    strings_ = value(DT_STRTAB);
    strings_bytes_ = value(DT_STRSZ);
    const auto table = value(DT_SYMTAB);
    std::vector<Elf64_Rela> some(relocations_a_read);
    for (const auto& [first, bytes] :
         {std::pair{value(DT_JMPREL), value(DT_PLTRELSZ)}, std::pair{value(DT_RELA), value(DT_RELASZ)}}) {
        const auto count = std::min<std::uint64_t>(bytes / sizeof(Elf64_Rela), max_relocations);
        for (std::uint64_t done = 0; done < count;) {
            const auto want = std::min<std::uint64_t>(count - done, some.size());
            const auto got =
                read_at(file, segments, first + done * sizeof(Elf64_Rela), some.data(), want * sizeof(Elf64_Rela)) /
                sizeof(Elf64_Rela);
            if (got == 0) break;
            done += got;
            progress.beat();
            for (const auto& entry : std::span(some).first(got)) {
                const auto type = ELF64_R_TYPE(entry.r_info);
                if (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT)
                    symbols_.emplace(entry.r_offset, table + ELF64_R_SYM(entry.r_info) * sizeof(Elf64_Sym));
            }
        }
    }
}

std::string Imports::called_before(int file, const Segments& segments, std::uint64_t return_vaddr) const
{
    const auto slot = slot_of_call(file, segments, return_vaddr);
    const auto known = slot ? symbols_.find(*slot) : symbols_.end();
    Elf64_Sym symbol{};
    if (known == symbols_.end() || read_at(file, segments, known->second, &symbol, sizeof symbol) != sizeof symbol ||
        symbol.st_name >= strings_bytes_)
        return {};
    std::array<char, max_name_bytes> name{};
    const auto bytes = read_at(file, segments, strings_ + symbol.st_name, name.data(), name.size());
    const auto length = ::strnlen(name.data(), bytes);
    return length < bytes ? std::string(name.data(), length) : std::string();
}

}  // namespace loopwatch
