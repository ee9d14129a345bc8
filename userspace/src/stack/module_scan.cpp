// SPDX-License-Identifier: Apache-2.0
#include "stack/module_scan.hpp"

#include <bcc/bcc_usdt.h>
#include <fmt/format.h>
#include <algorithm>

#include <cstring>
#include <memory>

#include "stack/image.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t max_note_bytes = 16u << 20;
constexpr std::size_t max_warnings = 64;

struct SiteList {
    void* usdt = nullptr;
    int elf = -1;
    const Segments* segments = nullptr;
    ModuleScan* scan = nullptr;
};

// BCC's callbacks carry no context.
SiteList* current = nullptr;

void warn(ModuleScan& scan, std::string text)
{
    if (scan.warnings.size() < max_warnings) scan.warnings.push_back(std::move(text));
}

// BCC leaves out tombstones of functions that the linker dropped. It keeps one semaphore a probe, of whichever note it
// saw last: the sites of a probe share theirs (probes.def gives each probe a gate). It decodes operands; what is not a
// plain 8-byte register comes back as "?", and is refused.
std::string arguments_of(const bcc_usdt& probe, int location)
{
    static constexpr std::string_view registers[] = {"di", "si", "dx", "cx", "r8", "r9"};
    const auto count = static_cast<std::size_t>(probe.num_arguments);
    if (probe.num_arguments < 0 || count > std::size(registers)) return "?@";
    for (std::size_t i = 0; i < count; ++i) {
        bcc_usdt_argument argument = {};
        if (bcc_usdt_get_argument(current->usdt, probe.provider, probe.name, location, static_cast<int>(i),
                                  &argument) != 0)
            return "?@";
        if (argument.size != 8 || argument.valid != BCC_USDT_ARGUMENT_BASE_REGISTER_NAME) return "?@";
        if (argument.base_register_name != registers[i]) return "?@";
    }
    return std::string(convention_arguments(count));
}

void add_site(const bcc_usdt& probe, int index)
{
    const Segments& segments = *current->segments;
    ModuleScan& scan = *current->scan;
    bcc_usdt_location location = {};
    if (bcc_usdt_get_location(current->usdt, probe.provider, probe.name, index, &location) != 0) return;
    if (scan.sites.size() >= max_sites)
        return warn(scan, fmt::format("more than {} probe sites: the rest is left out", max_sites));
    const auto refuse = [&](std::string_view why) {
        warn(scan, fmt::format("{} at 0x{:x} left out: {}", probe.name, location.address, why));
    };
    const auto offset = segments.offset_of(location.address, PF_X);
    const auto semaphore = segments.offset_of(probe.semaphore, PF_R | PF_W, PF_X);
    if (!offset) return refuse("outside the executable segments");
    if (probe.semaphore != 0 && !semaphore) return refuse("semaphore outside the data segments");
    ProbeSite site{probe.name, *offset, semaphore.value_or(0), arguments_of(probe, index)};
    if (const auto why = refuse_site(current->elf, segments, site); !why.empty()) return refuse(why);
    scan.sites.push_back(std::move(site));
}

void list_sites(int elf, const Segments& segments, ModuleScan& scan)
{
    const auto path = fmt::format("/proc/self/fd/{}", elf);
    const std::unique_ptr<void, decltype(&bcc_usdt_close)> usdt(bcc_usdt_new_frompath(path.c_str()), &bcc_usdt_close);
    if (!usdt) return;
    SiteList list{usdt.get(), elf, &segments, &scan};
    current = &list;
    bcc_usdt_foreach(usdt.get(), [](bcc_usdt* probe) {
        if (std::string_view(probe->provider) != "loopwatch") return;
        for (int i = 0; i < probe->num_locations; ++i) add_site(*probe, i);
    });
    current = nullptr;
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

}  // namespace

Result<ModuleScan> scan_module(int elf)
{
    const auto segments = read_segments(elf);
    if (!segments) return segments.error();
    ModuleScan scan;
    scan.build_id = read_build_id(elf, *segments);
    scan.is_static = !segments->has(PT_INTERP);
    find_executable_segment(*segments, scan);
    find_registry(elf, *segments, scan);
    list_sites(elf, *segments, scan);
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
