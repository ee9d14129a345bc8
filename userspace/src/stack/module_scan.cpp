// SPDX-License-Identifier: Apache-2.0
#include "stack/module_scan.hpp"

#include <fmt/format.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "stack/answers.hpp"
#include "stack/image.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t max_note_bytes = 16u << 20;
constexpr std::size_t max_scan_warnings = 64;

void warn(ModuleScan& scan, std::string text)
{
    if (scan.warnings.size() < max_scan_warnings) scan.warnings.push_back(std::move(text));
}

// A stapsdt note, version 3: the site, where .stapsdt.base was linked to, the semaphore; provider, name, arguments.
struct SiteNote {
    std::uint64_t location = 0, base = 0, semaphore = 0;
    std::string_view provider, name, arguments;
};

std::optional<SiteNote> site_note(const Note& note)
{
    if (note.owner != "stapsdt" || note.type != 3) return std::nullopt;
    SiteNote site;
    auto rest = note.descriptor;
    for (auto* word : {&site.location, &site.base, &site.semaphore}) {
        if (rest.size() < sizeof *word) return std::nullopt;
        std::memcpy(word, rest.data(), sizeof *word);
        rest = rest.subspan(sizeof *word);
    }
    std::string_view text(static_cast<const char*>(static_cast<const void*>(rest.data())), rest.size());
    for (auto* part : {&site.provider, &site.name, &site.arguments}) {
        const auto end = text.find('\0');
        if (end == text.npos) return std::nullopt;
        *part = text.substr(0, end);
        text.remove_prefix(end + 1);
    }
    return site;
}

// `moved`: how far prelink moved the file since the notes were written.
void add_site(int elf, const Segments& segments, const SiteNote& note, std::uint64_t moved, ModuleScan& scan)
{
    if (scan.sites.size() >= max_sites)
        return warn(scan, fmt::format("more than {} probe sites: the rest is left out", max_sites));
    const auto location = note.location + moved;
    const auto refuse = [&](std::string_view why) {
        warn(scan, fmt::format("{} at 0x{:x} left out: {}", clean_text(std::string(note.name)), location, why));
    };
    // The tombstone of a function that the linker dropped: 0 or 1, by the linker.
    if (note.location < 2) return;
    const auto offset = segments.offset_of(location, PF_X);
    const auto semaphore = note.semaphore ? segments.offset_of(note.semaphore + moved, PF_R | PF_W, PF_X)
                                          : std::optional(std::uint64_t{0});
    if (!offset) return refuse("outside the executable segments");
    if (!semaphore) return refuse("semaphore outside the data segments");
    ProbeSite site{std::string(note.name), *offset, *semaphore, std::string(note.arguments)};
    if (const auto why = refuse_site(elf, segments, site); !why.empty()) return refuse(why);
    scan.sites.push_back(std::move(site));
}

std::optional<Elf64_Shdr> find_section(Elf* elf, std::string_view wanted)
{
    std::size_t names = 0;
    if (elf_getshdrstrndx(elf, &names) != 0) return std::nullopt;
    for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
        const Elf64_Shdr* header = elf64_getshdr(section);
        const char* name = header != nullptr ? elf_strptr(elf, names, header->sh_name) : nullptr;
        if (name != nullptr && wanted == name) return *header;
    }
    return std::nullopt;
}

// The probe of libstdc++, as it is in every build of it: one nop, the object in rdi, its type in rsi.
void take_throw(int elf, const Segments& segments, const SiteNote& note, std::uint64_t moved, ModuleScan& scan)
{
    if (note.provider != "libstdcxx" || note.name != "throw" || note.semaphore != 0) return;
    const auto offset = segments.offset_of(note.location + moved, PF_X);
    if (!offset || note.arguments != convention_arguments(2)) return;
    const ProbeSite site{std::string(note.name), *offset, 0, std::string(note.arguments)};
    if (refuse_site(elf, segments, site).empty()) scan.throws = *offset;
}

// From the descriptor alone: BCC and libbpf open files by path, which this process may not.
void read_sections(int file, const Segments& segments, ModuleScan& scan)
{
    elf_version(EV_CURRENT);
    const std::unique_ptr<Elf, decltype(&elf_end)> elf(elf_begin(file, ELF_C_READ, nullptr), &elf_end);
    // In programs, position-independent or not, and in shared libraries, stripped or not, since Go 1.13; the note with
    // Go's build id is left out by -buildid=, and .gopclntab has another name in some.
    scan.is_go = elf && find_section(elf.get(), ".go.buildinfo");
    const auto notes = elf ? find_section(elf.get(), ".note.stapsdt") : std::nullopt;
    if (!notes || notes->sh_size > max_note_bytes) return;
    const auto base = find_section(elf.get(), ".stapsdt.base");
    std::vector<std::uint8_t> bytes(notes->sh_size);
    const ssize_t got = ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(notes->sh_offset));
    if (got != static_cast<ssize_t>(bytes.size())) return;
    parse_notes(bytes, 4, [&](const Note& note) {
        const auto site = site_note(note);
        if (!site) return;
        const auto moved = base && site->base ? base->sh_addr - site->base : 0;
        if (site->provider == "loopwatch") add_site(file, segments, *site, moved, scan);
        take_throw(file, segments, *site, moved, scan);
    });
}

// loop_state.h: u32 abi, u32 reserved, s64 distance from itself to the registry.
void take_registry(const Note& note, std::uint64_t notes_vaddr, const Segments& segments, ModuleScan& scan)
{
    if (note.owner != "loopwatch" || note.type != 1 || scan.registry_vaddr != 0) return;
    if (note.descriptor.size() < 16) return warn(scan, "loopwatch note too short: loops cannot be found");
    std::int64_t distance = 0;
    std::memcpy(&scan.registry_abi, note.descriptor.data(), sizeof scan.registry_abi);
    std::memcpy(&distance, note.descriptor.data() + 8, sizeof distance);
    const std::uint64_t vaddr = notes_vaddr + note.descriptor_offset + 8 + static_cast<std::uint64_t>(distance);
    if (!segments.contains(vaddr, 24, PF_R | PF_W)) return warn(scan, "loopwatch note leads outside the data segments");
    scan.registry_vaddr = vaddr;
}

void find_registry(int elf, const Segments& segments, ModuleScan& scan)
{
    for (const auto& header : segments.headers) {
        if (header.p_type != PT_NOTE || header.p_filesz > max_note_bytes) continue;
        std::vector<std::uint8_t> bytes(header.p_filesz);
        const ssize_t got = ::pread(elf, bytes.data(), bytes.size(), static_cast<off_t>(header.p_offset));
        if (got != static_cast<ssize_t>(bytes.size())) continue;
        parse_notes(bytes, header.p_align == 8 ? 8 : 4,
                    [&](const Note& note) { take_registry(note, header.p_vaddr, segments, scan); });
    }
}

void find_executable_segment(const Segments& segments, ModuleScan& scan)
{
    const auto found = std::ranges::find_if(
        segments.headers, [](const Elf64_Phdr& header) { return header.p_type == PT_LOAD && (header.p_flags & PF_X); });
    if (found == segments.headers.end()) return;
    scan.exec_vaddr = found->p_vaddr;
    scan.exec_offset = found->p_offset;
}

// What a compiler calls the body of a coroutine: g++ "….Frame.actor", clang "f.resume"; copies of it have a suffix
// more.
bool names_a_body(std::string_view symbol)
{
    for (const std::string_view copy : {".constprop.", ".isra."})
        if (const auto at = symbol.find(copy); at != symbol.npos) symbol = symbol.substr(0, at);
    return symbol.ends_with(".Frame.actor") || symbol.ends_with(".resume");
}

// From the descriptor alone, as read_sections().
void list_coroutines(int file, const Segments& segments, ModuleScan& scan)
{
    elf_version(EV_CURRENT);
    const std::unique_ptr<Elf, decltype(&elf_end)> elf(elf_begin(file, ELF_C_READ, nullptr), &elf_end);
    if (!elf) return;
    for (Elf_Scn* section = elf_nextscn(elf.get(), nullptr); section; section = elf_nextscn(elf.get(), section)) {
        const Elf64_Shdr* header = elf64_getshdr(section);
        if (header == nullptr || header->sh_type != SHT_SYMTAB) continue;
        const Elf_Data* data = elf_getdata(section, nullptr);
        if (data == nullptr || data->d_buf == nullptr) continue;
        const std::span symbols(static_cast<const Elf64_Sym*>(data->d_buf), data->d_size / sizeof(Elf64_Sym));
        for (const auto& symbol : symbols) {
            if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_size == 0) continue;
            const char* name = elf_strptr(elf.get(), header->sh_link, symbol.st_name);
            if (name == nullptr || !names_a_body(name)) continue;
            if (const auto offset = segments.offset_of(symbol.st_value, PF_X)) scan.coroutines.push_back({*offset, {}});
        }
    }
    auto& found = scan.coroutines;
    std::ranges::sort(found, {}, &CoroutineCode::offset);
    const auto repeated = std::ranges::unique(found, {}, &CoroutineCode::offset);
    found.erase(repeated.begin(), repeated.end());
    if (found.size() <= max_coroutines) return;
    warn(scan, fmt::format("{} coroutine bodies: those beyond {} are left out", found.size(), max_coroutines));
    found.resize(max_coroutines);
}

}  // namespace

Result<ModuleScan> scan_module(int elf, ScanOptions options)
{
    const auto segments = read_segments(elf);
    if (!segments) return segments.error();
    ModuleScan scan;
    scan.build_id = read_build_id(elf, *segments);
    scan.is_static = !segments->has(PT_INTERP);
    find_executable_segment(*segments, scan);
    find_registry(elf, *segments, scan);
    read_sections(elf, *segments, scan);
    if (options.coroutines) list_coroutines(elf, *segments, scan);
    return scan;
}

void parse_notes(std::span<const std::uint8_t> bytes, std::size_t alignment,
                 const std::function<void(const Note&)>& each)
{
    const auto padded = [&](std::uint64_t size) { return (size + alignment - 1) / alignment * alignment; };
    std::uint64_t at = 0;
    while (bytes.size() - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr header;
        std::memcpy(&header, bytes.data() + at, sizeof header);
        const std::uint64_t owner = at + sizeof header;
        const std::uint64_t descriptor = at + padded(sizeof header + header.n_namesz);
        const std::uint64_t end = descriptor + header.n_descsz;
        if (owner + header.n_namesz > bytes.size() || descriptor > bytes.size() || end > bytes.size()) return;
        std::string_view name(static_cast<const char*>(static_cast<const void*>(bytes.data() + owner)),
                              header.n_namesz);
        if (!name.empty() && name.back() == '\0') name.remove_suffix(1);
        each({name, header.n_type, bytes.subspan(descriptor, header.n_descsz), descriptor});
        const std::uint64_t next = at + padded(descriptor - at + header.n_descsz);
        if (next >= bytes.size()) return;
        at = next;
    }
}

}  // namespace loopwatch
