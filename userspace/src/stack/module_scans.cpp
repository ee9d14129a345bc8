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

bool makes_claims(const ModuleScan& scan)
{
    return !scan.sites.empty() || !scan.coroutines.empty() || scan.throws != 0;
}

Result<ModuleScan> check_claims(int elf, ModuleScan scan)
{
    const auto segments = read_segments(elf);
    if (!segments) return segments.error();
    std::erase_if(scan.sites, [&](const ProbeSite& site) {
        const auto why = refuse_site(elf, *segments, site);
        if (!why.empty()) scan.warnings.push_back(site.name + " left out: " + std::string(why));
        return !why.empty();
    });
    std::erase_if(scan.coroutines, [&](CoroutineCode& body) {
        return !segments->vaddr_of(body.offset, PF_X) || !read_exactly(elf, body.first, sizeof body.first, body.offset);
    });
    if (scan.throws != 0 && !refuse_site(elf, *segments, {"throw", scan.throws, 0, {}}).empty()) scan.throws = 0;
    return scan;
}

}  // namespace loopwatch
