// SPDX-License-Identifier: Apache-2.0
//
// Which sites of a target's files are attached to, and how.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "attach/attachment.hpp"
#include "collect/probe_table.hpp"
#include "stack/segments.hpp"
#include "util/beside.hpp"
#include "util/duration.hpp"
#include "util/file_status.hpp"
#include "util/log.hpp"
#include "util/text.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr const char* shim_name = "libloopwatch_preload.so";
constexpr std::string_view shim_probe = "blocking_call";
constexpr std::size_t max_unscanned = 3;  // files that are named in warnings
// A file that is made for it takes the worker 5 s, in which others wait for names: of a target's files that take longer
// than the former, so much in all. And so many at a time.
constexpr std::uint64_t slow_read_ns = 200'000'000, max_slow_reads_ns = 10'000'000'000;
constexpr unsigned max_reads = 16;
constexpr std::size_t max_bodies = 16'384, max_bodies_one_by_one = 256;  // of coroutines, in all modules

void take_links(std::vector<Link> from, std::vector<Link>& to)
{
    std::move(from.begin(), from.end(), std::back_inserter(to));
}

Fd duplicate(const Fd& file)
{
    return Fd(::fcntl(file.raw(), F_DUPFD_CLOEXEC, 0));
}

std::shared_ptr<Fd> shared_copy(const Fd& file)
{
    return std::make_shared<Fd>(duplicate(file));
}

}  // namespace

// Those that are new. What was unloaded is forgotten, since its inode may be another file's by now; not while probes
// are attached to it, which hold the inode. One that is loaded again has its registry elsewhere.
void Attachment::attach_modules(const std::vector<ModuleMapping>& modules)
{
    std::set<FileName> mapped;
    registries_.clear();
    for (const auto& module : modules) {
        const auto status = known_status(module.file.raw());
        if (!status) continue;
        const auto device = ::makedev(status->stx_dev_major, status->stx_dev_minor);
        const auto name = *mapped.emplace(device, status->stx_ino).first;
        const auto* const scan = scanned_.contains(name) ? nullptr : scan_of(module);
        if (!scan && !scanned_.contains(name)) continue;
        auto& scanned = scanned_[name];
        if (scan) attach_module(module, *scan, scanned);
        if (scanned.registry && scanned.file_offset == module.file_offset)
            registries_.push_back(module.start + *scanned.registry);
    }
    std::erase_if(scanned_, [&](const auto& file) { return !file.second.attached && !mapped.contains(file.first); });
}

// Files that it maps later are scanned beside other things, and looked at once they have been; nullptr until then.
const Result<ModuleScan>* Attachment::scan_of(const ModuleMapping& module)
{
    if (const auto* const scan = worker_.scanned(module.file.raw(), scan_options())) return scan;
    if (reading_->slow_ns > max_slow_reads_ns) {
        warn("its files take too long to look at: probes in those that it loads from now on are not found");
        return nullptr;
    }
    modules_hash_ = 0;  // the next refresh goes on
    if (reading_->files >= max_reads) return nullptr;
    ++reading_->files;
    worker_.scan_ahead(module.file.raw(), scan_options(),
                       [reading = reading_, asked_ns = monotonic_ns()](const std::vector<Frame>&) {
                           const auto took_ns = monotonic_ns() - asked_ns;
                           if (took_ns > slow_read_ns) reading->slow_ns += took_ns;
                           --reading->files;
                           reading->some_done = true;
                       });
    return nullptr;
}

void Attachment::attach_module(const ModuleMapping& module, const Result<ModuleScan>& scan, Scanned& scanned)
{
    if (!scan) {
        warn(++unscanned_ <= max_unscanned ? fmt::format("{}: {}", module.path, scan.error().what)
                                           : "more of the files that it maps cannot be read as ELF: see the first");
        return;
    }
    for (const auto& warning : scan->warnings) warn(fmt::format("{}: {}", module.path, warning));
    if (build_id_.empty()) {
        build_id_ = scan->build_id;
        if (scan->is_static) warn("the program is statically linked: the shim cannot be loaded into it");
    }
    const bool is_shim = base_name(module.path) == shim_name;
    shim_ |= is_shim;
    if (scan->is_go) go_modules_.insert(module.path);
    scanned.file_offset = module.file_offset;
    scanned.attached = !scan->coroutines.empty() || scan->throws != 0;
    if (scan->registry_vaddr != 0) scanned.registry = registry_address(*scan, module) - module.start;

    if (!scan->coroutines.empty()) {
        auto& bodies = bodies_.emplace_back(Bodies{duplicate(module.file), module.path, {}});
        for (const auto& [offset, first] : scan->coroutines) bodies.list.push_back({offset, is_stepped(first)});
    }
    if (options_.wants(Frequent::throws) && scan->throws != 0)
        throws_.emplace_back(duplicate(module.file), scan->throws);
    auto found = scan->sites;
    // The shim has the notes of all probes, as probe.hpp makes them, but fires one. Which tier a target has depends on
    // the program's own probes.
    if (is_shim) std::erase_if(found, [](const ProbeSite& site) { return site.name != shim_probe; });
    const auto sites = check(module, found);
    std::vector<CheckedSite> watch, trace;
    for (const auto& site : sites) (find_probe(site.probe)->gate == ProbeGate::trace ? trace : watch).push_back(site);
    for (auto& [gate, found_sites] : {std::pair(ProbeGate::watch, &watch), std::pair(ProbeGate::trace, &trace)}) {
        if (found_sites->empty()) continue;
        scanned.attached = true;
        chosen_.push_back(
            {gate == ProbeGate::trace ? std::optional(Frequent::trace) : std::nullopt,
             [gate = gate, file = shared_copy(module.file), found_sites = std::move(*found_sites)](
                 Kernel& kernel, pid_t pid) { return kernel.attach_sites(gate, pid, file->raw(), found_sites); }});
    }
}

Result<std::vector<Attachment::Attached>> Attachment::attach_all(Kernel& kernel, pid_t pid,
                                                                 const std::vector<Chosen>& chosen)
{
    std::vector<Attached> all;
    for (const auto& [kind, attach] : chosen) {
        auto links = attach(kernel, pid);
        if (!links) return links.error();
        all.push_back({kind, std::move(*links)});
    }
    return all;
}

// The kernel waits for grace periods, 10 to 20 ms: beside the engine.
void Attachment::attach_chosen()
{
    if (chosen_.empty() || attaching_.valid()) return;
    attaching_ = beside([&kernel = kernel_, pid = process_.pid(), chosen = std::exchange(chosen_, {})] {
        return attach_all(kernel, pid, chosen);
    });
}

// Waits for them.
Result<void> Attachment::take_attached()
{
    auto attached = attaching_.get();
    if (!attached) return attached.error();
    for (auto& [kind, links] : *attached) take_links(std::move(links), kind ? links_of(*kind) : links_);
    for (std::size_t kind = 0; kind < frequent_kinds; ++kind)  // they were given up meanwhile
        if (!options_.frequent[kind]) loopwatch::detach(std::exchange(frequent_links_[kind], {}));
    attach_chosen();
    return {};
}

// Once all modules are known: a program that carries the runtime tells of its coroutines itself.
void Attachment::choose_coroutines()
{
    if (!options_.wants(Frequent::coroutines)) return;
    if (carries_runtime_) return warn("it carries probes, which tell more than --coroutines: that is left out");
    const auto most = kernel_.rung() == AttachRung::multi ? max_bodies : max_bodies_one_by_one;
    for (auto& [file, path, list] : std::exchange(bodies_, {})) {
        const auto room = most - std::min(most, coroutines_);
        if (list.size() > room)
            warn(fmt::format("{}: {} coroutine bodies, of which {} are watched", path, list.size(), room));
        list.resize(std::min(list.size(), room), {});
        if (list.empty()) continue;
        coroutines_ += list.size();
        state_price(path, list);
        chosen_.push_back({Frequent::coroutines, [file = std::make_shared<Fd>(std::move(file)), list = std::move(list)](
                                                     Kernel& kernel, pid_t pid) {
                               return kernel.attach_coroutines(pid, file->raw(), list);
                           }});
    }
    if (coroutines_ == 0) warn("no coroutine body has a symbol: --coroutines sees none (stripped, or it has none)");
}

// Only a program with tasks has exceptions that nobody looks at.
void Attachment::choose_throws()
{
    if (!carries_runtime_) return;
    for (auto& [file, offset] : std::exchange(throws_, {})) {
        chosen_.push_back({Frequent::throws,
                           [file = std::make_shared<Fd>(std::move(file)), offset = offset](Kernel& kernel, pid_t pid) {
                               return kernel.attach_throw(pid, file->raw(), offset);
                           }});
    }
}

// Before it is paid.
void Attachment::state_price(const std::string& path, const std::vector<CoroutineBody>& list)
{
    const auto stepped = static_cast<std::size_t>(std::ranges::count(list, true, &CoroutineBody::stepped));
    const auto& cost = kernel_.trap_cost();
    const auto simple = list.size() - stepped;
    const auto mixed =
        simple != 0 && stepped != 0 ? fmt::format(", of {} of them {}", stepped, format_duration(cost.stepped_ns)) : "";
    auto price = fmt::format("{}: each resume of its {} coroutine bodies costs it about {}{}", path, list.size(),
                             format_duration(simple != 0 ? cost.simple_ns : cost.stepped_ns), mixed);
    print_warning(price);
    warn(std::move(price), WarningAbout::cost);
}

// That each is a nop has been checked where the file was read (check_claims).
std::vector<CheckedSite> Attachment::check(const ModuleMapping& module, const std::vector<ProbeSite>& sites)
{
    std::vector<CheckedSite> checked;
    for (const auto& site : sites) {
        const auto* row = find_probe(site.name);
        if (!row || (row->gate == ProbeGate::debug && !options_.debug) ||
            (row->gate == ProbeGate::trace && !options_.wants(Frequent::trace)))
            continue;
        const bool mapped =
            site.offset >= module.file_offset && site.offset - module.file_offset < module.end - module.start;
        if (!mapped) {
            warn(fmt::format("{}: the site of probe {} is not in its code: left alone", module.path, site.name));
        } else if (site.arguments != convention_arguments(row->arguments)) {
            warn(fmt::format("{}: probe {} passes its arguments as '{}': left alone", module.path, site.name,
                             site.arguments));
        } else {
            checked.push_back({row->id, site.offset, site.semaphore_offset});
            carries_runtime_ |= site.name == "slow_dispatch";
            if (kernel_.rung() != AttachRung::none) probes_.insert(site.name);
        }
    }
    return checked;
}

Attachment::Leaving Attachment::leave(bool stays_admitted)
{
    if (!std::exchange(left_, true) && !stays_admitted) kernel_.dismiss(process_.pid());
    search_.reset();
    start_watch_.reset();
    if (finder_) finder_->stop();
    chosen_.clear();
    Leaving leaving;
    leaving.links_ = std::exchange(links_, {});
    for (auto& links : frequent_links_) take_links(std::exchange(links, {}), leaving.links_);
    leaving.attaching_ = std::exchange(attaching_, {});
    return leaving;
}

void Attachment::Leaving::detach()
{
    auto attached = attaching_.valid() ? attaching_.get() : Result<std::vector<Attached>>(std::vector<Attached>());
    if (attached)
        for (auto& one : *attached) take_links(std::move(one.links), links_);
    loopwatch::detach(std::exchange(links_, {}));
}

void Attachment::detach(Frequent kind)
{
    options_.wants(kind) = false;
    std::erase_if(chosen_, [kind](const Chosen& one) { return one.kind == kind; });
    loopwatch::detach(std::exchange(links_of(kind), {}));
}

}  // namespace loopwatch
