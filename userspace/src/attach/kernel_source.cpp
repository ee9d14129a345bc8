// SPDX-License-Identifier: Apache-2.0
#include "attach/kernel_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string_view>
#include <utility>

#include "collect/unprobed_loops.hpp"
#include "util/beside.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t calibration_ns = 200'000'000;
constexpr std::uint64_t trace_poll_ns = 20'000'000;  // trace records do not wake us
// Nor does what any process of the machine executes: it is looked at before that is old enough.
constexpr std::uint64_t least_exec_poll_ns = 50'000'000, most_exec_poll_ns = 500'000'000;

// What costs too much, and what is said of it.
struct StepDown {
    Frequent kind;
    const char* name;
    const char* then;
};
constexpr StepDown step_downs[] = {
    {Frequent::trace, "--trace", "the trace probes are detached, the rest goes on"},
    {Frequent::coroutines, "--coroutines", "from here on iterations are timed, not resumes"},
    {Frequent::throws, "--debug", "exception throw sites are no longer recorded"},
};

// The first event of the machine waits for grace periods, 10 to 22 ms, as the kernel's switch of tasks is patched.
class KernelSampling final : public Sampling {
public:
    using Opening = std::future<Result<Fd>>;
    KernelSampling(Opening opening, std::vector<Opening>& unwanted) : opening_(std::move(opening)), unwanted_(unwanted)
    {
    }
    ~KernelSampling() override
    {
        if (opening_.valid() && !is_ready(opening_)) unwanted_.push_back(std::move(opening_));
    }
    bool failed() override
    {
        if (!opening_.valid() || !is_ready(opening_)) return false;
        auto opened = opening_.get();
        if (!opened) return true;
        event_ = std::move(*opened);
        return false;
    }

private:
    Opening opening_;
    std::vector<Opening>& unwanted_;
    Fd event_;
};

}  // namespace

KernelSource::KernelSource(KernelSourceOptions options, Engine& engine, SymbolWorker& worker)
    : options_(std::move(options)),
      engine_(engine),
      worker_(worker),
      candidates_(options_.selection),
      poll_watch_(options_.from_start)
{
}

KernelSource::~KernelSource()
{
    arriving_.clear();
    engine_.abandon();  // they are attached to the kernel side, which ends
}

Result<std::unique_ptr<KernelSource>> KernelSource::open(KernelSourceOptions options, const KernelOptions& of_kernel,
                                                         Engine& engine, SymbolWorker& worker)
{
    std::unique_ptr<KernelSource> source(new KernelSource(std::move(options), engine, worker));
    auto kernel = Kernel::open(of_kernel);
    if (!kernel) return kernel.error();
    source->kernel_ = std::move(*kernel);
    auto ring = engine.reactor().watch(source->kernel_->ring_descriptor(), Reactor::Ready::readable, [] {});
    if (!ring) return ring.error();
    source->ring_ = std::move(*ring);
    return source;
}

void KernelSource::go_live(std::uint64_t now_ns)
{
    live_ = true;
    const auto cost = kernel_->cost();
    for (std::size_t kind = 0; kind < frequent_kinds; ++kind)
        limits_[kind] = {options_.max_overhead_percent, now_ns, cost.traps_ns[kind]};
    kernel_->start_calibration();
    calibrated_at_ns_ = now_ns + calibration_ns;
    if (options_.from_start) worker_.raise_priority_until(now_ns + starting_ns);
    for (const auto& event : std::exchange(early_, {})) take(event, [this](const Event& one) { engine_.observe(one); });
}

Attachments KernelSource::attachments() const
{
    Attachments all;
    for (const auto& [pid, target] : engine_.targets()) all.push_back(static_cast<Attachment*>(target.get()));
    return all;
}

Attachment* KernelSource::find(std::uint32_t pid) const
{
    return static_cast<Attachment*>(engine_.find(pid));
}

bool KernelSource::exhausted()
{
    return !follows_name() && !selects() && engine_.targets().empty() && images_.empty() && arriving_.empty();
}

// The kernel waits for grace periods when probes are detached (40 to 55 ms): others are watched meanwhile.
void KernelSource::retire(Attachment::Leaving leaving)
{
    if (leaving.empty()) return;
    retiring_ = beside([leaving = std::move(leaving), before = std::move(retiring_)]() mutable {
        leaving.detach();
        before = {};  // joined: else each would keep the thread before it
    });
}

bool KernelSource::retiring() const
{
    return retiring_.valid() && !is_ready(retiring_);
}

std::unique_ptr<Sampling> KernelSource::sample(std::uint32_t tid, std::uint64_t period_ns)
{
    return std::make_unique<KernelSampling>(
        beside([&kernel = *kernel_, tid, period_ns] { return kernel.sample(tid, period_ns); }), unwanted_);
}

bool KernelSource::drain(std::size_t most, const Observe& observe)
{
    return kernel_->drain(most, [&](const Event& event) { take(event, observe); });
}

void KernelSource::drain_present(const Observe& observe)
{
    const auto until_bytes = kernel_->drained_bytes() + kernel_->ring_bytes();
    while (drain(max_early, observe) && kernel_->drained_bytes() < until_bytes) {
    }
}

// Once nothing more comes of what has been detached.
void KernelSource::drain_all(const Observe& observe)
{
    drain_present(observe);
    kernel_->drain_batches([&](const Event& event) { take(event, observe); });
}

// Until it is known whether its thread is a loop.
bool KernelSource::is_held(const Event& event) const
{
    const auto* const sample = std::get_if<SampleEvent>(&event);
    const auto* const place = std::get_if<SourceEvent>(&event);
    if (!sample && !place) return false;
    auto* const target = find(sample ? sample->head.pid : place->head.pid);
    return target && target->take(event);
}

// What is said of processes is the source's own affair, what is observed of targets the engine's.
void KernelSource::take(const Event& event, const Observe& observe)
{
    if (const auto* const exec = std::get_if<ExecEvent>(&event)) return on(*exec);
    if (const auto* const child = std::get_if<ChildEvent>(&event)) return on(*child);
    if (const auto* const wait = std::get_if<WaitEvent>(&event); wait && !find(wait->head.pid)) images_.on(*wait);
    if (!is_held(event)) observe(event);
}

void KernelSource::on(const ExecEvent& event)
{
    const auto pid = static_cast<pid_t>(event.head.pid);
    if (selects()) return select_again(pid);
    const bool known = knows(pid);
    if (!known && !(follows_name() && has_name(pid))) return;
    // A shell starts hundreds of its name a second, most of which are gone at once.
    if (!known && images_.full()) return children_.born(pid, event.head.time_ns, true);
    begin_image(event.head.pid, monotonic_ns());
}

void KernelSource::on(const ChildEvent& event)
{
    if (selects()) return candidates_.born(static_cast<pid_t>(event.head.pid), monotonic_ns());
    if (!options_.follow_children && !follows_name()) {
        if (!std::exchange(has_children_, true))
            engine_.warn("it started other programs, which are not watched", "--follow-children");
        return;
    }
    children_.born(static_cast<pid_t>(event.head.pid), event.head.time_ns);
}

bool KernelSource::set_watchdog_asleep(bool asleep)
{
    kernel_->set_watchdog_asleep(asleep);
    return true;
}

void KernelSource::turn(std::uint64_t now_ns)
{
    adopt(now_ns);
    admit_chosen(now_ns);
    (void)go_on(now_ns);  // does not fail any more
    std::erase_if(unwanted_, [](const auto& opening) { return is_ready(opening); });
    if (calibrated_at_ns_ && now_ns >= calibrated_at_ns_) {
        kernel_->finish_calibration();
        calibrated_at_ns_ = 0;
    }
}

std::uint64_t KernelSource::next_ns() const
{
    const auto now = monotonic_ns();
    std::uint64_t next_ns = 0;
    if (options_.attachment.wants(Frequent::trace))
        next_ns = now + trace_poll_ns;
    else if (selects())
        next_ns = now + std::clamp(options_.selection->min_age_ns() / 2, least_exec_poll_ns, most_exec_poll_ns);
    const auto or_at = [&](std::uint64_t due_ns) {
        if (due_ns) next_ns = next_ns ? std::min(next_ns, due_ns) : due_ns;
    };
    for (const auto due_ns : {children_.next_ns(), candidates_.next_ns(now), images_.next_ns(), calibrated_at_ns_})
        or_at(due_ns);
    for (const auto& target : arriving_) or_at(target->next_ns(now));
    for (const auto* const target : attachments()) or_at(target->next_ns(now));
    return next_ns;
}

void KernelSource::watch_polls(std::uint64_t now_ns)
{
    if (!images_.empty()) return;  // to be attached to again, takes as long as to detach: 0.4 s on a busy machine
    const bool wanted = poll_watch_.wanted(attachments(), kernel_->unprobed(), now_ns);
    if (auto watched = kernel_->unprobed().watch_polls(wanted); watched || polls_unwatched_) return;
    polls_unwatched_ = true;
    engine_.warn(
        "non-blocking polls cannot be observed here: several iterations of a busy loop may be reported as one");
}

void KernelSource::interval(std::uint64_t now_ns)
{
    // Those whose records were lost.
    for (auto* const target : attachments())
        if (target->process().replaced())
            selects() ? select_again(target->process().pid()) : begin_image(target->pid(), now_ns);
    watch_polls(now_ns);
    limit(now_ns);
}

// Those that cost the targets too much go; the rest goes on.
void KernelSource::limit(std::uint64_t now_ns)
{
    auto cost = kernel_->cost();
    for (const auto& [kind, name, then] : step_downs) {
        const auto percent = limits_[static_cast<std::size_t>(kind)].exceeded(cost.traps_of(kind), now_ns);
        if (!percent || !options_.attachment.wants(kind)) continue;
        for (auto* const target : attachments()) target->detach(kind);
        drain_all([this](const Event& event) { engine_.observe(event); });
        options_.attachment.wants(kind) = false;
        engine_.warn(fmt::format("{} cost {:.1f} % of a CPU, more than --max-overhead {}: {}", name, *percent,
                                 options_.max_overhead_percent, then));
    }
}

void KernelSource::leave(Target& target, std::string_view reason, const Observe&)
{
    // Others of its name run loops: this one may have been held up before it could be known.
    processes_missed_ += follows_name() && !target.had_loops();
    retire(static_cast<Attachment&>(target).leave(reason == "exec" && !selects()));
}

// First of all, and at once: the targets are not to wait for what we have still to say, and steps under --trace can
// come faster than they are written.
void KernelSource::leave_all(const Observe& observe)
{
    arriving_.clear();
    for (auto* const target : attachments()) target->leave().detach();
    drain_all(observe);
    ring_ = {};
    if (calibrated_at_ns_) kernel_->finish_calibration();
    calibrated_at_ns_ = 0;
}

Counts KernelSource::losses() const
{
    Counts lost = kernel_->losses();
    if (options_.follow_children) lost["children_missed"] = children_.missed();
    if (follows_name() || selects()) lost["processes_missed"] = candidates_.missed() + processes_missed_;
    return lost;
}

std::uint64_t KernelSource::traps_ns() const
{
    const auto cost = kernel_->cost();
    return std::accumulate(cost.traps_ns.begin(), cost.traps_ns.end(), std::uint64_t(0));
}

Overhead KernelSource::overhead() const
{
    const auto cost = kernel_->cost();
    Overhead overhead;
    overhead.bpf_runs = cost.runs;
    overhead.bpf_ns = cost.ns;
    overhead.bpf_ns_estimated = true;
    overhead.map_bytes = cost.map_bytes;
    return overhead;
}

}  // namespace loopwatch
