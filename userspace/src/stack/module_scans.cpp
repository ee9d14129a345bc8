// SPDX-License-Identifier: Apache-2.0
#include "stack/module_scans.hpp"

#include "stack/segments.hpp"

namespace loopwatch {
namespace {

std::size_t bytes_of(const ModuleScan& scan)
{
    std::size_t bytes = sizeof scan + scan.build_id.size() + scan.coroutines.size() * sizeof scan.coroutines[0];
    for (const auto& site : scan.sites) bytes += sizeof site + site.name.size() + site.arguments.size();
    for (const auto& warning : scan.warnings) bytes += sizeof warning + warning.size();
    return bytes;
}

}  // namespace

void ModuleScans::keep(const ScanKey& key, Result<ModuleScan> scan)
{
    if (scan && bytes_of(*scan) > max_bytes) scan = Error{ExitCode::failed, "it says too much of itself", {}};
    const auto bytes = scan ? bytes_of(*scan) : sizeof scan + scan.error().what.size();
    scans_.keep(key, std::move(scan), bytes);
}

Result<ModuleScan> ModuleScans::take(const ScanKey& key, int elf)
{
    const auto* const known = scans_.find(key);
    auto result = known ? *known : Result<ModuleScan>(Error{ExitCode::failed, "the symbol worker cannot be asked", {}});
    if (!result) {
        scans_.drop(key);
        return result;
    }
    // Each time: a site goes into the kernel.
    const auto segments = read_segments(elf);
    if (!segments) return segments.error();
    std::erase_if(result->sites, [&](const ProbeSite& site) {
        const auto why = refuse_site(elf, *segments, site);
        if (!why.empty()) result->warnings.push_back(site.name + " left out: " + std::string(why));
        return !why.empty();
    });
    std::erase_if(result->coroutines,
                  [&](std::uint64_t offset) { return !segments->vaddr_of(offset, PF_X).has_value(); });
    return result;
}

}  // namespace loopwatch
