// SPDX-License-Identifier: Apache-2.0
#include "stack/segments.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "util/file_status.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t max_program_headers = 256;

bool matches(const Elf64_Phdr& header, std::uint32_t flags, std::uint32_t without)
{
    return header.p_type == PT_LOAD && (header.p_flags & flags) == flags && (header.p_flags & without) == 0;
}

}  // namespace

bool read_exactly(int fd, void* to, std::size_t size, std::uint64_t offset)
{
    return offset <= INT64_MAX && ::pread(fd, to, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
}

std::optional<std::uint64_t> Segments::offset_of(std::uint64_t vaddr, std::uint32_t flags, std::uint32_t without) const
{
    for (const auto& header : headers)
        if (matches(header, flags, without) && vaddr >= header.p_vaddr && vaddr - header.p_vaddr < header.p_filesz)
            return vaddr - header.p_vaddr + header.p_offset;
    return std::nullopt;
}

std::optional<std::uint64_t> Segments::vaddr_of(std::uint64_t offset, std::uint32_t flags) const
{
    for (const auto& header : headers)
        if (matches(header, flags, 0) && offset >= header.p_offset && offset - header.p_offset < header.p_filesz)
            return offset - header.p_offset + header.p_vaddr;
    return std::nullopt;
}

std::optional<std::uint64_t> Segments::link_start(std::uint64_t mapped_offset) const
{
    if (const auto vaddr = vaddr_of(mapped_offset, PF_X)) return vaddr;
    for (const auto& header : headers)
        if (matches(header, PF_X, 0) && (header.p_offset & ~4095ull) == mapped_offset) return header.p_vaddr & ~4095ull;
    return std::nullopt;
}

bool Segments::contains(std::uint64_t vaddr, std::uint64_t size, std::uint32_t flags) const
{
    return std::any_of(headers.begin(), headers.end(), [&](const Elf64_Phdr& header) {
        return matches(header, flags, 0) && vaddr >= header.p_vaddr && size <= header.p_memsz &&
               vaddr - header.p_vaddr <= header.p_memsz - size;
    });
}

bool Segments::has(std::uint32_t type) const
{
    return std::any_of(headers.begin(), headers.end(), [&](const Elf64_Phdr& header) { return header.p_type == type; });
}

Result<Segments> read_segments(int elf)
{
    const auto refused = [](const char* why) { return Error{ExitCode::not_permitted, why, {}}; };
    const auto status = known_status(elf);
    if (!status) return refused("not a regular file");
    Elf64_Ehdr file = {};
    if (!read_exactly(elf, &file, sizeof file, 0) || std::memcmp(file.e_ident, ELFMAG, SELFMAG) != 0)
        return refused("not an ELF file");
    if (file.e_ident[EI_CLASS] != ELFCLASS64 || file.e_ident[EI_DATA] != ELFDATA2LSB || file.e_machine != EM_X86_64)
        return refused("not a 64-bit x86 ELF file");
    if (file.e_type != ET_EXEC && file.e_type != ET_DYN) return refused("neither an executable nor a shared library");
    if (file.e_phentsize != sizeof(Elf64_Phdr) || file.e_phnum == 0 || file.e_phnum > max_program_headers)
        return refused("unreasonable program headers");

    Segments segments{file.e_type == ET_DYN, static_cast<std::uint64_t>(status->stx_size), {}};
    segments.headers.resize(file.e_phnum);
    if (!read_exactly(elf, segments.headers.data(), file.e_phnum * sizeof(Elf64_Phdr), file.e_phoff))
        return refused("program headers beyond the end of the file");
    std::erase_if(segments.headers, [&](const Elf64_Phdr& header) {
        return header.p_offset > segments.file_size || header.p_filesz > segments.file_size - header.p_offset ||
               header.p_vaddr > UINT64_MAX - header.p_memsz;
    });
    return segments;
}

std::string_view refuse_site(int elf, const Segments& segments, const ProbeSite& site)
{
    std::uint8_t opcode = 0;
    if (!segments.vaddr_of(site.offset, PF_X)) return "outside the executable segments";
    if (!read_exactly(elf, &opcode, 1, site.offset)) return "beyond the end of the file";
    if (opcode != 0x90) return "not a 1-byte nop: probing it may destroy the target";
    if (site.semaphore_offset != 0) {
        const auto semaphore = segments.vaddr_of(site.semaphore_offset, PF_R | PF_W);
        if (!semaphore || !segments.offset_of(*semaphore, PF_R | PF_W, PF_X))
            return "semaphore outside the data segments";
        if (site.semaphore_offset % 2 != 0) return "semaphore not aligned";
    }
    if (site.name.empty() || site.name.size() > 64 ||
        site.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
        return "not a probe's name";
    const auto count = static_cast<std::size_t>(std::count(site.arguments.begin(), site.arguments.end(), '@'));
    if (site.arguments != convention_arguments(count)) return "arguments are not in the calling convention's registers";
    return {};
}

std::string_view convention_arguments(std::size_t count)
{
    static constexpr std::string_view all = "8@%rdi 8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9";
    static constexpr std::size_t ends[] = {0, 6, 13, 20, 27, 33, 39};
    return count < std::size(ends) ? all.substr(0, ends[count]) : std::string_view("?");
}

}  // namespace loopwatch
