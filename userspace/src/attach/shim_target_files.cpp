// SPDX-License-Identifier: Apache-2.0
//
// How the target of a shim is opened, and what it maps is read: beside the engine.
#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "attach/shim_target.hpp"
#include "detect/lost_ends.hpp"
#include "util/beside.hpp"
#include "util/detached.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t look_at_reading_ns = 1'000'000;
// A lane has room for 30 records with a stack, and the end of a stall whose record has not come is given up after twice
// as long.
constexpr std::uint64_t most_held_ns = LostEnds::patience_ns / 2;

}  // namespace

ShimTarget::~ShimTarget()
{
    // One that was never given to the worker may have the pid of another that still has to be unwound.
    if (modules_hash_ != 0) (void)worker_.map_process(pid(), {});
}

Result<std::unique_ptr<ShimTarget>> ShimTarget::open(ShimRing ring, SymbolWorker& worker, const Thresholds& thresholds)
{
    // At once: once it has been waited for, there is nothing left to be identified.
    auto process = Process::identify(static_cast<pid_t>(ring.pid()));
    if (!process) return process.error();
    ImageNames names{process->comm(), process->exe(), process->cmdline()};
    std::unique_ptr<ShimTarget> target(new ShimTarget(std::move(*process), std::move(ring), worker, thresholds));
    // Only if it is still there now, what was read are its names.
    if (target->look_if_replaced()) names = {target->ring_.name(), "", {}};
    target->keep_names(std::move(names));
    target->met_ns_ = monotonic_ns();
    target->read_files(target->met_ns_);
    return target;
}

// The ring's image may have executed another one, which says nothing of what is in the ring.
bool ShimTarget::look_if_replaced()
{
    if (ring_.image() != 0 && !runs_image(process_.pid(), ring_.image())) set_replaced();
    return is_replaced();
}

Result<bool> ShimTarget::finish_opening(std::uint64_t now_ns)
{
    if (!is_open_ && !reading_files_.valid()) read_files(now_ns);
    if (!is_open_ && reading_files_.valid() && is_ready(reading_files_)) {
        auto files = reading_files_.get();
        // Of one that has ended, there is its ring.
        if (!files && files.error().code != ExitCode::no_such_target) return files.error();
        is_open_ = true;
        if (files) (void)use(std::move(*files));
    }
    if (!is_open_ && now_ns >= met_ns_ + most_opening_ns) return not_open(now_ns);
    return is_open_ && !is_scanning_;
}

Error ShimTarget::not_open(std::uint64_t now_ns) const
{
    return not_opened(process_.pid(), reading_files_.valid(), now_ns - met_ns_);
}

Result<void> ShimTarget::refresh()
{
    forget_subjects();
    if (look_if_replaced()) return {};
    if (reading_files_.valid())
        reads_again_ = true;
    else
        read_files(monotonic_ns());
    return {};
}

void ShimTarget::read_files(std::uint64_t now_ns)
{
    if (!may_detach_another()) return;
    reading_since_ns_ = now_ns;
    reading_files_ = is_open_
                         ? read_files_beside(process_.pid(), ns_pid(), {modules_hash_, has_perf_map(), ring_.image()})
                         : open_files_beside(process_.pid(), ring_.image());
}

void ShimTarget::go_on(std::uint64_t now_ns)
{
    if (!reading_files_.valid() || !is_ready(reading_files_)) return;
    if (auto files = reading_files_.get()) (void)use(std::move(*files));
    if (std::exchange(reads_again_, false))
        read_files(now_ns);
    else
        was_born_ = false;
}

std::uint64_t ShimTarget::next_ns(std::uint64_t now_ns) const
{
    if (!reading_files_.valid()) return 0;
    // A file system that does not answer is looked at less and less often.
    return now_ns + std::max(look_at_reading_ns, (now_ns - reading_since_ns_) / 2);
}

bool ShimTarget::holds_back(std::uint64_t now_ns) const
{
    return was_born_ && reading_files_.valid() && now_ns < reading_since_ns_ + most_held_ns;
}

Result<void> ShimTarget::use(MappedFiles files)
{
    if (!files.of_image) {
        set_replaced();
        return {};
    }
    auto names = take_names(std::move(files.perf_map));
    if (!files.changed || files.modules.empty() || !files.modules.front().file) return {};
    modules_hash_ = files.hash;
    if (build_id_.empty()) scan_program(files.modules.front().file);
    set_interpreter(files.modules);
    return worker_.map_process(pid(), std::move(files.modules), std::move(names));
}

void ShimTarget::scan_program(const Fd& file)
{
    const auto own = std::make_shared<Fd>(::fcntl(file.raw(), F_DUPFD_CLOEXEC, 0));
    is_scanning_ = true;
    worker_.scan_ahead(own->raw(), {}, [this, own, alive = std::weak_ptr(sites_)](const std::vector<Frame>&) {
        if (alive.expired()) return;
        is_scanning_ = false;
        const auto* const scan = worker_.scanned(own->raw());
        if (!scan || !*scan) return;
        build_id_ = (*scan)->build_id;
        carries_runtime_ |= brings_runtime(**scan);
    });
}

}  // namespace loopwatch
