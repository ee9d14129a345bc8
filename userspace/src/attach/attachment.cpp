// SPDX-License-Identifier: Apache-2.0
#include "attach/attachment.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <utility>

#include "collect/probe_table.hpp"
#include "collect/unprobed_loops.hpp"
#include "stack/segments.hpp"
#include "util/beside.hpp"
#include "util/duration.hpp"
#include "util/log.hpp"
#include "util/text.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr const char* shim_name = "libloopwatch_preload.so";
constexpr std::uint64_t late_ns = 20'000'000;  // between the first wait and the answer: a stall may have gone unseen
constexpr std::size_t max_unscanned = 3;       // files that are named in warnings
constexpr std::size_t max_first_waits = 4096;
// A file that is made for it takes the worker 5 s, in which others wait for names: of a target's files that take longer
// than the former, so much in all. And so many at a time.
constexpr std::uint64_t slow_read_ns = 200'000'000, max_slow_reads_ns = 10'000'000'000;
constexpr unsigned max_reads = 16;
constexpr std::uint64_t least_refresh_ns = 200'000'000;  // each opens all files of a target, which may map 200 a second
constexpr std::uint64_t look_at_attaching_ns = 1'000'000, look_at_search_ns = 5'000'000,
                        look_at_dead_files_ns = 1'000'000'000;
constexpr std::size_t max_loops = 256;  // of a process; beyond, they are counted as untracked
constexpr std::string_view shim_probe = "blocking_call";
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

bool is_nop(int file, std::uint64_t offset)
{
    std::uint8_t byte = 0;
    return ::pread(file, &byte, 1, static_cast<off_t>(offset)) == 1 && byte == 0x90;
}

}  // namespace

Attachment::Attachment(Process process, Kernel& kernel, SymbolWorker& worker, const AttachmentOptions& options)
    : Target(std::move(process), options.thresholds), kernel_(kernel), worker_(worker), options_(options)
{
}

Attachment::~Attachment()
{
    loopwatch::detach(leave());
    (void)worker_.map_process(pid(), {});
}

std::vector<Link> Attachment::leave(bool stays_admitted)
{
    if (!std::exchange(left_, true) && !stays_admitted) kernel_.dismiss(process_.pid());
    search_.reset();
    if (finder_) finder_->stop();
    chosen_.clear();
    if (attaching_.valid()) (void)take_attached();
    for (auto& links : frequent_links_) take_links(std::exchange(links, {}), links_);
    return std::exchange(links_, {});
}

void Attachment::detach(Frequent kind)
{
    options_.wants(kind) = false;
    std::erase_if(chosen_, [kind](const Chosen& one) { return one.kind == kind; });
    loopwatch::detach(std::exchange(links_of(kind), {}));
}

Result<std::unique_ptr<Attachment>> Attachment::attach(OpenedProcess opened, Kernel& kernel, SymbolWorker& worker,
                                                       const AttachmentOptions& options, LoopSearch::Sample sample)
{
    if (auto admitted = kernel.admit(opened.process.pid(), options.thresholds); !admitted) return admitted.error();
    std::unique_ptr<Attachment> attachment(new Attachment(std::move(opened.process), kernel, worker, options));
    const auto begun = [&]() -> Result<void> {
        if (auto used = attachment->use(std::move(opened.files)); !used) return used;
        return attachment->start_finder(std::move(sample));
    }();
    if (!begun && !attachment->process_.alive())
        return Error{ExitCode::no_such_target, fmt::format("process {} ended while attaching", attachment->pid()), ""};
    if (!begun) return begun.error();
    if (attachment->process_.stopped())
        attachment->warn("the process is stopped: nothing happens in it until SIGCONT, or its debugger lets it go on");
    return attachment;
}

Result<void> Attachment::start_finder(LoopSearch::Sample sample)
{
    if (carries_runtime_) {
        kernel_.unprobed().dismiss(process_.pid());  // it may have been watched while it was loaded
        return {};
    }
    finder_.emplace(process_, kernel_.unprobed(), worker_,
                    LoopFinder::Context{go_modules_,
                                        [this](std::uint32_t tid, std::optional<std::uint64_t> known_since_ns) {
                                            found_loop(tid, known_since_ns);
                                        },
                                        [this](std::string_view runtime) { found_scheduler(runtime); }});
    if (auto started = finder_->start(); !started) return started.error();
    search_.emplace(*finder_, std::move(sample), monotonic_ns());
    if (options_.wants(Frequent::trace)) warn("it carries no probes: --trace has nothing to tell of it");
    if (options_.debug) warn("it carries no probes: --debug has nothing to tell of it");
    return {};
}

bool Attachment::is_searching() const
{
    return attaching_.valid() || (search_ && !search_->is_over()) || !worker_.answered(ahead_);
}

std::vector<SampleEvent> Attachment::take_hanging()
{
    return search_ ? search_->take_hanging() : std::vector<SampleEvent>();
}

Result<void> Attachment::refresh()
{
    forget_subjects();
    if (finder_) finder_->tidy();
    if (finder_) warn_of_handover();
    scan_registries();
    read_files(monotonic_ns());
    return {};
}

void Attachment::read_files(std::uint64_t now_ns)
{
    if (reading_files_.valid() || !may_open_another()) return;
    read_ns_ = now_ns;
    reading_for_cut_ = finder_ && finder_->has_cut();
    reading_files_ = read_files_beside(process_.pid(), ns_pid(), {modules_hash_, has_perf_map()});
}

Result<void> Attachment::use(MappedFiles files)
{
    auto names = take_names(std::move(files.perf_map));
    if (!files.changed) return {};
    modules_hash_ = files.hash;
    code_starts_.clear();
    for (const auto& module : files.modules) code_starts_.push_back(module.start);
    if (files.unreadable)
        warn(fmt::format("{} mapped files could not be opened: their frames stay without names", files.unreadable),
             WarningAbout::names);
    attach_modules(files.modules);
    choose_coroutines();
    choose_throws();
    attach_chosen();
    scan_registries();
    set_interpreter(files.modules);
    return worker_.map_process(pid(), std::move(files.modules), std::move(names));
}

// Those that are new. What was unloaded is forgotten, since its inode may be another file's by now; not while probes
// are attached to it, which hold the inode. One that is loaded again has its registry elsewhere.
void Attachment::attach_modules(const std::vector<ModuleMapping>& modules)
{
    std::set<FileName> mapped;
    registries_.clear();
    for (const auto& module : modules) {
        struct stat info = {};
        if (::fstat(module.file.raw(), &info) != 0) continue;
        const auto name = *mapped.emplace(info.st_dev, info.st_ino).first;
        if (!scanned_.contains(name) && !is_read(module)) continue;
        const auto [known, fresh] = scanned_.try_emplace(name);
        auto& scanned = known->second;
        if (fresh) attach_module(module, scanned);
        if (scanned.registry && scanned.file_offset == module.file_offset)
            registries_.push_back(module.start + *scanned.registry);
    }
    std::erase_if(scanned_, [&](const auto& file) { return !file.second.attached && !mapped.contains(file.first); });
}

// Files that it maps later are read beside other things, and looked at once they have been.
bool Attachment::is_read(const ModuleMapping& module)
{
    if (!start_reported() || worker_.has_scanned(module.file.raw(), scan_options())) return true;
    if (reading_->slow_ns > max_slow_reads_ns) {
        warn("its files take too long to look at: probes in those that it loads from now on are not found");
        return false;
    }
    modules_hash_ = 0;  // the next refresh goes on
    if (reading_->files >= max_reads) return false;
    ++reading_->files;
    worker_.scan_ahead(module.file.raw(), scan_options(),
                       [reading = reading_, asked_ns = monotonic_ns()](const std::vector<Frame>&) {
                           const auto took_ns = monotonic_ns() - asked_ns;
                           if (took_ns > slow_read_ns) reading->slow_ns += took_ns;
                           --reading->files;
                           reading->some_done = true;
                       });
    return false;
}

void Attachment::attach_module(const ModuleMapping& module, Scanned& scanned)
{
    const auto scan = worker_.scan(module.file.raw(), scan_options());
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

    if (!scan->coroutines.empty()) bodies_.push_back(bodies(module, scan->coroutines));
    if (options_.wants(Frequent::throws) && scan->throws != 0)
        throws_.emplace_back(duplicate(module.file), scan->throws);
    auto found = scan->sites;
    // It has the notes of all probes, as probe.hpp makes them, and fires one. What the program brings, the program
    // tells.
    if (is_shim) std::erase_if(found, [](const ProbeSite& site) { return site.name != shim_probe; });
    const auto sites = check(module, found);
    std::vector<CheckedSite> watch, trace;
    for (const auto& site : sites) (find_probe(site.probe)->gate == ProbeGate::trace ? trace : watch).push_back(site);
    for (auto& [gate, found_sites] : {std::pair(ProbeGate::watch, &watch), std::pair(ProbeGate::trace, &trace)}) {
        if (found_sites->empty()) continue;
        scanned.attached = true;
        chosen_.push_back(
            {gate == ProbeGate::trace ? std::optional(Frequent::trace) : std::nullopt,
             [gate, file = shared_copy(module.file), found_sites = std::move(*found_sites)](Kernel& kernel, pid_t pid) {
                 return kernel.attach_sites(gate, pid, file->raw(), found_sites);
             }});
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

Attachment::Bodies Attachment::bodies(const ModuleMapping& module, const std::vector<std::uint64_t>& offsets)
{
    Bodies bodies{duplicate(module.file), module.path, {}};
    for (const auto offset : offsets) {
        std::uint8_t code[4];
        if (::pread(module.file.raw(), code, sizeof code, static_cast<off_t>(offset)) == sizeof code)
            bodies.list.push_back({offset, is_stepped(code)});
    }
    return bodies;
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
        if (!is_nop(file.raw(), offset)) continue;
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

// What the worker claims is checked again here: it parsed a file that may be crafted.
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
        if (!mapped || !is_nop(module.file.raw(), site.offset)) {
            warn(fmt::format("{}: the site of probe {} is not a 1-byte nop: left alone", module.path, site.name));
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

void Attachment::scan_registries()
{
    std::vector<std::pair<std::uint64_t, LoopState>> listed;
    std::string other_version;
    for (const auto registry : registries_)
        std::ranges::move(loops_.list(registry, other_version), std::back_inserter(listed));
    const auto shows = [](const LoopView& known) {
        return [&](const auto& entry) {
            return known.slot == entry.first && known.id == entry.second.loop_id && known.ns_tid == entry.second.tid;
        };
    };
    // Those that no thread ran, and that are there no more.
    std::erase_if(known_loops_,
                  [&](const LoopView& known) { return known.tid == 0 && std::ranges::none_of(listed, shows(known)); });
    NamespaceThreads threads(process_);
    for (const auto& entry : listed) {
        if (std::ranges::any_of(known_loops_, [&](const LoopView& known) { return shows(known)(entry); })) continue;
        const auto& [address, slot] = entry;
        const auto tid = threads.tid(slot.tid);
        if (find_loop(tid, slot.loop_id)) continue;
        if (tid) kernel_.enter_loop(process_.pid(), tid, address, slot.loop_id);
        keep_loop(loops_.view(address, slot, tid));
    }
    note_ended_threads();
    if (!other_version.empty()) warn("its loops and tasks cannot be read, for they speak " + other_version);
}

// Threads that are gone at two scans: what the kernel side reported at the end of one has been handled by then.
void Attachment::note_ended_threads()
{
    std::set<std::uint32_t> gone;
    for (const auto& loop : known_loops_)
        if (loop.tid != 0 && !process_.has_thread(static_cast<pid_t>(loop.tid))) gone.insert(loop.tid);
    for (const auto& loop : known_loops_)
        if (gone.contains(loop.tid) && gone_.contains(loop.tid)) ended_.emplace_back(loop.tid, loop.id);
    gone_ = std::move(gone);
}

void Attachment::keep_loop(LoopView loop)
{
    had_loops_ = true;
    if (known_loops_.size() < max_loops)
        known_loops_.emplace_back(std::move(loop));
    else
        kernel_.count_untracked();
}

// A loop that lived for a moment may be gone by now, and another stand in its memory.
void Attachment::on(const LoopStartedEvent& event)
{
    const auto [tid, id] = std::pair(event.head.tid, event.head.loop_id);
    LoopState slot;
    if (known_loops_.size() >= max_loops) return kernel_.count_untracked();
    if (!loops_.read(event.slot, slot) || slot.loop_id != id || find_loop(tid, id)) return;
    auto loop = loops_.view(event.slot, slot, tid);
    loop.ns_tid = process_.ns_id(static_cast<pid_t>(tid));
    keep_loop(std::move(loop));
}

void Attachment::remove_loop(std::uint32_t tid, std::uint64_t loop_id)
{
    Target::remove_loop(tid, loop_id);
    first_waits_.erase(tid);
    if (finder_) finder_->forget(tid);
}

void Attachment::on(const WaitEvent& event)
{
    if (!finder_) return;
    if (first_waits_.size() < max_first_waits) first_waits_.try_emplace(event.head.tid, event.head.time_ns);
    finder_->on(event);
}

void Attachment::go_on(std::uint64_t now_ns)
{
    if (attaching_.valid() && is_ready(attaching_)) {
        if (auto attached = take_attached(); !attached && process_.alive()) {
            if (!start_reported()) failure_ = attached.error();
            warn(fmt::format("its probes are not heard: {}", attached.error().what));
        }
        scan_registries();  // a loop may have begun meanwhile
    }
    if (search_ && !search_->is_over()) search_->go_on(!known_loops_.empty(), now_ns);
    if (reading_files_.valid() && is_ready(reading_files_)) {
        auto files = reading_files_.get();
        const bool is_new = files && files->changed;
        auto used = files ? use(std::move(*files)) : Result<void>(files.error());
        if (!used && process_.alive()) warn(used.error().what);
        if (finder_ && reading_for_cut_) finder_->ask_cut_again(is_new);
    }
    if (reading_->files != 0) return;
    const bool has_read = reading_->some_done && now_ns >= read_ns_ + least_refresh_ns;
    if (has_read) reading_->some_done = false;
    if (has_read || (finder_ && finder_->has_cut())) read_files(now_ns);
}

std::uint64_t Attachment::next_ns(std::uint64_t now_ns) const
{
    if (attaching_.valid()) return now_ns + look_at_attaching_ns;
    if (search_ && !search_->is_over()) return now_ns + look_at_search_ns;
    // A file system that does not answer is looked at less and less often.
    if (reading_files_.valid())
        return now_ns + std::clamp((now_ns - read_ns_) / 2, look_at_attaching_ns, look_at_dead_files_ns);
    return reading_->some_done && reading_->files == 0 ? read_ns_ + least_refresh_ns : 0;
}

void Attachment::read_code_ahead()
{
    if (finder_) worker_.symbolize(pid(), code_starts_, [](const std::vector<Frame>&) {});
    ahead_ = worker_.asked();
}

void Attachment::warn_of_blindness()
{
    if (!finder_) return;
    if (known_loops_.empty())
        warn("no thread of it waits as an event loop does: one that begins to is watched from then on");
    for (const auto tid : scheduled_ ? std::vector<std::uint32_t>() : finder_->never_waiting())
        warn(
            fmt::format("thread {} ({}) has not waited yet: a callback that spins, or a loop that polls without a "
                        "system call, is not seen",
                        process_.comm(static_cast<pid_t>(tid)), tid));
}

void Attachment::found_loop(std::uint32_t tid, std::optional<std::uint64_t> known_since_ns)
{
    const auto thread = static_cast<pid_t>(tid);
    const auto waits = first_waits_.extract(tid);
    found_ = true;
    const auto since_ns = known_since_ns.value_or(monotonic_ns());
    const auto took_ns = waits.empty() ? 0 : since_ns - std::min(since_ns, waits.mapped());
    // It is recognised by the stack it waits on, once that is unwound: a callback that blocks meanwhile has no
    // beginning.
    if (start_reported() && took_ns >= late_ns && !std::exchange(late_, true))
        warn(fmt::format(
            "thread {} ({}) was recognised as an event loop {} after it began to wait, and is watched from now "
            "on: what blocked it before is not reported; of later threads likewise",
            process_.comm(thread), tid, format_duration(took_ns)));
    keep_loop({0, tid, process_.ns_id(thread), tid, process_.comm(thread), start_reported() ? since_ns : 0});
}

void Attachment::found_scheduler(std::string_view runtime)
{
    scheduled_ = true;
    warn(fmt::format(
        "{}'s scheduler moves its tasks between threads and preempts them: those threads are not event loops, "
        "and nothing is reported of them",
        runtime));
}

void Attachment::warn_of_handover()
{
    std::set<std::uint32_t> loops;
    for (const auto& loop : known_loops_) loops.insert(loop.tid);
    const auto worker = handover_.look(process_, loops);
    if (!worker) return;
    const auto name = [&](std::uint32_t tid) {
        return fmt::format("{} ({})", process_.comm(static_cast<pid_t>(tid)), tid);
    };
    warn(
        fmt::format("thread {} only parks, and does the work that thread {} polls for: if it runs the event loop, what "
                    "holds it up is not seen; a thread that polls itself is watched",
                    name(*worker), name(*loops.begin())));
}

std::vector<int> Attachment::tiers() const
{
    std::vector<int> tiers;
    if (finder_) tiers.push_back(0);
    if (shim_) tiers.push_back(1);
    if (probes_.contains("slow_dispatch")) tiers.push_back(3);
    return tiers;
}

}  // namespace loopwatch
