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
#include "util/detached.hpp"
#include "util/duration.hpp"
#include "util/log.hpp"
#include "util/text.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t late_ns = 20'000'000;  // between the first wait and the answer: a stall may have gone unseen
constexpr std::size_t max_first_waits = 4096;
constexpr std::uint64_t least_refresh_ns = 200'000'000;  // each opens all files of a target, which may map 200 a second
constexpr std::uint64_t look_at_attaching_ns = 1'000'000, look_at_search_ns = 5'000'000,
                        look_at_dead_files_ns = 1'000'000'000;
constexpr std::uint64_t most_reading_ns = 10'000'000'000;
constexpr std::size_t max_loops = 256;  // of a process; beyond, they are counted as untracked

}  // namespace

Attachment::Attachment(Process process, Kernel& kernel, SymbolWorker& worker, const AttachmentOptions& options)
    : Target(std::move(process), options.thresholds), kernel_(kernel), worker_(worker), options_(options)
{
}

Attachment::~Attachment()
{
    leave().detach();
    (void)worker_.map_process(pid(), {});
}

Result<std::unique_ptr<Attachment>> Attachment::attach(OpenedProcess opened, Kernel& kernel, SymbolWorker& worker,
                                                       const AttachmentOptions& options, LoopSearch::Sample sample,
                                                       bool starts)
{
    if (auto admitted = kernel.admit(opened.process.pid(), options.thresholds); !admitted) return admitted.error();
    std::unique_ptr<Attachment> attachment(new Attachment(std::move(opened.process), kernel, worker, options));
    const auto begun = [&]() -> Result<void> {
        if (auto used = attachment->use(std::move(opened.files)); !used) return used;
        return attachment->start_finder(std::move(sample), starts);
    }();
    if (!begun && !attachment->process_.alive())
        return Error{ExitCode::no_such_target, fmt::format("process {} ended while attaching", attachment->pid()), ""};
    if (!begun) return begun.error();
    if (attachment->process_.stopped())
        attachment->warn("the process is stopped: nothing happens in it until SIGCONT, or its debugger lets it go on");
    return attachment;
}

Result<void> Attachment::start_finder(LoopSearch::Sample sample, bool starts)
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
    if (starts)
        start_watch_.emplace(
            *finder_, pid(), sample, [this] { return blocked_at(pid()); }, monotonic_ns());
    search_.emplace(*finder_, std::move(sample), monotonic_ns());
    if (options_.wants(Frequent::trace)) warn("it carries no probes: --trace has nothing to tell of it");
    if (options_.debug) warn("it carries no probes: --debug has nothing to tell of it");
    return {};
}

bool Attachment::is_searching() const
{
    return attaching_.valid() || (search_ && !search_->is_over()) || !worker_.answered(ahead_);
}

bool Attachment::take(const Event& event)
{
    if (start_watch_ && start_watch_->take(event)) return true;
    const auto* const sample = std::get_if<SampleEvent>(&event);
    return sample && search_ && search_->take(*sample);
}

std::vector<Event> Attachment::take_hanging()
{
    std::vector<Event> of_loops;
    if (search_) std::ranges::move(search_->take_hanging(), std::back_inserter(of_loops));
    if (start_watch_) std::ranges::move(start_watch_->take_shown(), std::back_inserter(of_loops));
    return of_loops;
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
    if (reading_files_.valid() || !may_detach_another()) return;
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
    if (start_watch_) start_watch_->go_on(now_ns);
    if (start_watch_ && start_watch_->is_over()) start_watch_.reset();
    if (reading_files_.valid() && is_ready(reading_files_)) {
        auto files = reading_files_.get();
        const bool is_new = files && files->changed;
        auto used = files ? use(std::move(*files)) : Result<void>(files.error());
        if (!used && process_.alive()) warn(used.error().what);
        if (finder_ && reading_for_cut_) finder_->ask_cut_again(is_new);
    }
    if (reading_files_.valid() && now_ns >= read_ns_ + most_reading_ns && !std::exchange(reads_too_long_, true)) {
        warn(fmt::format(
            "files that it has mapped since could not be opened and read within {}: what it loads from now on is not "
            "looked at",
            format_duration(most_reading_ns)));
        if (finder_) finder_->ask_cut_again(false);
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
    if (start_watch_) return now_ns + StartWatch::look_ns;
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
    if (start_reported() && took_ns >= late_ns && !std::exchange(*options_.late_told, true))
        warn(fmt::format(
            "thread {} ({}) was recognised as an event loop {} after it began to wait, and is watched from now "
            "on: what blocked it before is not reported; of later threads and processes likewise",
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
