// SPDX-License-Identifier: Apache-2.0
#include "attach/kernel_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include "collect/unprobed_loops.hpp"
#include "target/descendants.hpp"
#include "util/beside.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t calibration_ns = 200'000'000;
constexpr std::uint64_t starting_ns = 2'000'000'000;  // of a program: until it is in its loop, most likely
constexpr std::uint64_t trace_poll_ns = 20'000'000;   // trace records do not wake us
constexpr std::uint64_t answer_ns = 5'000'000;
constexpr std::size_t max_early = 4096;

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
    : options_(std::move(options)), engine_(engine), worker_(worker), poll_watch_(options_.from_start)
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

// One of several processes that cannot be watched (a zombie of that name, another user's) is left out, with a warning:
// it is not to decide for the others. Fails if none is left.
Result<void> KernelSource::leave_out(pid_t pid, const Error& error)
{
    std::erase(options_.pids, pid);
    left_out_.insert(pid);
    if (options_.pids.empty() && !options_.wait) return error;
    engine_.warn(fmt::format("process {} is not watched: {}", pid, error.what));
    return {};
}

Result<void> KernelSource::attach()
{
    // What has started before the kernel side was there to report it.
    for (const pid_t pid : options_.name.empty() ? std::vector<pid_t>() : Process::find(options_.name))
        if (std::ranges::find(options_.pids, pid) == options_.pids.end() && !left_out_.contains(pid))
            options_.pids.push_back(pid);
    // All of them before the first is attached to, and could take what is for the others too.
    for (const pid_t pid : options_.pids) (void)kernel_->admit(pid, options_.attachment.thresholds);
    const auto now = monotonic_ns();
    for (const pid_t pid : options_.pids) images_.found(pid, now);
    for (const pid_t pid : options_.follow_children ? options_.pids : std::vector<pid_t>())
        for (const pid_t child : descendants(pid))
            if (!knows(child)) images_.found(child, now);
    if (auto found = await_loops(); !found) return found;
    if (!options_.from_start)
        for (auto* const target : attachments()) target->warn_of_blindness();
    if (kernel_->rung() == AttachRung::none)
        engine_.warn("probes are not attached (--attach=none): only what the scheduler shows is seen");
    if (kernel_->rung() == AttachRung::perf_pid)
        engine_.warn(
            "probes are attached one by one: about 0.2 us a site on each context switch of the target, slow to detach");
    return {};
}

// Those that wait by now and, of the rest, those that do within a moment: 10 s at most, then as far as it came.
Result<void> KernelSource::await_loops()
{
    bool polls_watched = false;
    // One whose files cannot be opened does not hold up the others.
    const auto is_searching = [this] {
        const auto targets = attachments();
        return (targets.empty() ? !images_.empty() : images_.are_coming(monotonic_ns())) || !arriving_.empty() ||
               std::ranges::any_of(targets, &Attachment::is_searching);
    };
    for (;;) {
        const auto now = monotonic_ns();
        if (auto gone_on = go_on(now); !gone_on) return gone_on;
        kernel_->drain(max_early, [this](const Event& event) { take_early(event); });
        // Threads that are awake may poll without sleeping.
        const auto may_poll = [this](const Attachment* target) {
            return target->finder() && (options_.from_start || target->finder()->awake());
        };
        if (!polls_watched && std::ranges::any_of(attachments(), may_poll)) {
            polls_watched = true;
            if (kernel_->unprobed().watch_polls(true)) (void)kernel_->unprobed().await_polls();
        }
        if (!is_searching()) break;
        engine_.reactor().wait_until(next_ns() ? std::min(next_ns(), now + answer_ns) : now + answer_ns);
        worker_.poll();
    }
    worker_.stand_back();
    return {};
}

// Before the session is live.
void KernelSource::take_early(const Event& event)
{
    const auto* const wait = std::get_if<WaitEvent>(&event);
    if (wait) {
        if (auto* const target = find(wait->head.pid)) return target->on(*wait);
        return images_.on(*wait);
    }
    if (!is_sample_of_suspect(event) && early_.size() < max_early) early_.push_back(event);
}

void KernelSource::go_live(std::uint64_t now_ns)
{
    live_ = true;
    const auto cost = kernel_->cost();
    for (std::size_t kind = 0; kind < frequent_kinds; ++kind)
        limits_[kind] = {options_.max_overhead_percent, now_ns, cost.traps_ns[kind]};
    kernel_->start_calibration();
    calibrated_at_ns_ = now_ns + calibration_ns;
    if (options_.from_start) hurry_worker(now_ns);
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

// Fails as leave_out() does, before the session is live; then one that cannot be watched, or is gone, is no failure.
Result<void> KernelSource::refuse(pid_t pid, const Error& error)
{
    kernel_->dismiss(pid);
    const bool asked_for = std::ranges::find(options_.pids, pid) != options_.pids.end();
    if (!live_ && asked_for) return leave_out(pid, error);
    if (error.code == ExitCode::no_such_target)
        processes_missed_ += follows_name();
    else
        engine_.warn(fmt::format("process {} is not watched: {}", pid, error.what));
    return {};
}

Result<void> KernelSource::watch_process(NewImages::Ready image)
{
    if (!image.process) return refuse(image.pid, image.process.error());
    auto attached =
        Attachment::attach(std::move(*image.process), *kernel_, worker_, options_.attachment,
                           [this](std::uint32_t tid, std::uint64_t period_ns) { return sample(tid, period_ns); });
    if (!attached) return refuse(image.pid, attached.error());
    if (live_ || options_.from_start) (*attached)->read_code_ahead();
    for (const auto& wait : image.waits) (*attached)->on(wait);
    arriving_.push_back(std::move(*attached));
    return {};
}

// Detection of them is live now.
Result<void> KernelSource::add_attached()
{
    auto refused = Result<void>();
    for (auto& target : std::exchange(arriving_, {})) {
        target->go_on(monotonic_ns());
        if (const auto failure = target->failure()) {
            const auto pid = target->process().pid();
            target.reset();
            if (auto left = refuse(pid, *failure); !left) refused = left;
        } else if (target->is_live()) {
            engine_.add(std::move(target));
        } else {
            arriving_.push_back(std::move(target));
        }
    }
    return refused;
}

bool KernelSource::is_arriving(pid_t pid) const
{
    return std::ranges::any_of(arriving_, [&](const auto& target) { return target->process().pid() == pid; });
}

bool KernelSource::knows(pid_t pid) const
{
    return find(static_cast<std::uint32_t>(pid)) || images_.contains(pid) || is_arriving(pid);
}

// Of one that has executed a program of this name, as far as the kernel side compares it.
bool KernelSource::has_name(pid_t pid)
{
    if (Process::is_named(pid, options_.name)) return true;
    if (!read_proc(pid, "comm", 64)) ++processes_missed_;  // it is gone
    return false;
}

bool KernelSource::exhausted()
{
    return !follows_name() && engine_.targets().empty() && images_.empty() && arriving_.empty();
}

// Attaches to children that have lived for a while, and to what targets have become by execve(2).
void KernelSource::adopt(std::uint64_t now_ns)
{
    for (const auto& [pid, has_executed, due_ns] : children_.take_grown_up(now_ns)) {
        if (knows(pid)) continue;
        const bool named = has_executed ? has_name(pid) : Process::is_named(pid, options_.name);
        if (!options_.follow_children && !named) continue;
        images_.full() ? children_.born(pid, now_ns, has_executed) : images_.begun(pid, now_ns);
    }
}

// Those of which nothing has to be waited for any more.
Result<void> KernelSource::add_ready(std::uint64_t now_ns)
{
    // Attached twice, its dispatches would count twice. And the last image's findings are judged by what is known of
    // that.
    const auto may_come = [this](pid_t pid) {
        return !retiring() && !engine_.is_ending(static_cast<std::uint32_t>(pid));
    };
    const ScanOptions scan = {options_.attachment.wants(Frequent::coroutines)};
    for (auto& image : images_.take_ready(now_ns, worker_, scan, may_come))
        if (auto watched = watch_process(std::move(image)); !watched) return watched;
    return add_attached();
}

// With what was begun.
Result<void> KernelSource::go_on(std::uint64_t now_ns)
{
    for (auto* const target : attachments()) {
        target->go_on(now_ns);
        if (target->take_found() && live_) engine_.wake(now_ns);
        for (auto& sample : target->take_hanging())
            if (live_)
                engine_.observe(sample);
            else if (early_.size() < max_early)
                early_.push_back(std::move(sample));
    }
    return add_ready(now_ns);
}

// Its forks are seen while its new image loads its libraries, too.
void KernelSource::begin_image(std::uint32_t pid, std::uint64_t now_ns)
{
    if (find(pid)) engine_.remove(pid, "exec");
    const auto process = static_cast<pid_t>(pid);
    for (auto& target : arriving_)
        if (target->process().pid() == process) retire(target->leave(true));
    std::erase_if(arriving_, [&](const auto& target) { return target->process().pid() == process; });
    images_.begun(process, now_ns);
    if (kernel_->admit(process, options_.attachment.thresholds)) (void)kernel_->unprobed().watch(process);
    hurry_worker(now_ns);
}

// A program that starts may be in its first callback before the stack of its first wait is unwound. With the niceness
// that the worker has else, that took 320 ms beside a program that burns and two compilers.
void KernelSource::hurry_worker(std::uint64_t now_ns)
{
    worker_.hurry();
    hurried_until_ns_ = now_ns + starting_ns;
}

// The kernel waits for grace periods when probes are detached (40 to 55 ms): others are watched meanwhile.
void KernelSource::retire(std::vector<Link> links)
{
    if (links.empty()) return;
    retiring_ = beside([links = std::move(links), before = std::move(retiring_)]() mutable {
        detach(std::move(links));
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

bool KernelSource::is_sample_of_suspect(const Event& event) const
{
    const auto* const sample = std::get_if<SampleEvent>(&event);
    auto* const target = sample ? find(sample->head.pid) : nullptr;
    return target && target->take(*sample);
}

// What is said of processes is the source's own affair, what is observed of targets the engine's.
void KernelSource::take(const Event& event, const Observe& observe)
{
    if (const auto* const exec = std::get_if<ExecEvent>(&event)) return on(*exec);
    if (const auto* const child = std::get_if<ChildEvent>(&event)) return on(*child);
    if (const auto* const wait = std::get_if<WaitEvent>(&event); wait && !find(wait->head.pid)) images_.on(*wait);
    if (!is_sample_of_suspect(event)) observe(event);
}

void KernelSource::on(const ExecEvent& event)
{
    const auto pid = static_cast<pid_t>(event.head.pid);
    const bool known = knows(pid);
    if (!known && !(follows_name() && has_name(pid))) return;
    // A shell starts hundreds of its name a second, most of which are gone at once.
    if (!known && images_.full()) return children_.born(pid, event.head.time_ns, true);
    begin_image(event.head.pid, monotonic_ns());
}

void KernelSource::on(const ChildEvent& event)
{
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
    (void)go_on(now_ns);  // does not fail any more
    std::erase_if(unwanted_, [](const auto& opening) { return is_ready(opening); });
    if (calibrated_at_ns_ && now_ns >= calibrated_at_ns_) {
        kernel_->finish_calibration();
        calibrated_at_ns_ = 0;
    }
}

std::uint64_t KernelSource::next_ns() const
{
    std::uint64_t next_ns = options_.attachment.wants(Frequent::trace) ? monotonic_ns() + trace_poll_ns : 0;
    const auto or_at = [&](std::uint64_t due_ns) {
        if (due_ns) next_ns = next_ns ? std::min(next_ns, due_ns) : due_ns;
    };
    for (const auto due_ns : {children_.next_ns(), images_.next_ns(), calibrated_at_ns_}) or_at(due_ns);
    const auto now = monotonic_ns();
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
        if (target->process().replaced()) begin_image(target->pid(), now_ns);
    watch_polls(now_ns);
    if (hurried_until_ns_ && now_ns >= hurried_until_ns_) {
        worker_.stand_back();
        hurried_until_ns_ = 0;
    }
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
    retire(static_cast<Attachment&>(target).leave(reason == "exec"));
}

// First of all, and at once: the targets are not to wait for what we have still to say, and steps under --trace can
// come faster than they are written.
void KernelSource::leave_all(const Observe& observe)
{
    arriving_.clear();
    for (auto* const target : attachments()) detach(target->leave());
    drain_all(observe);
    ring_ = {};
    if (calibrated_at_ns_) kernel_->finish_calibration();
    calibrated_at_ns_ = 0;
}

Counts KernelSource::losses() const
{
    Counts lost = kernel_->losses();
    if (options_.follow_children) lost["children_missed"] = children_.missed();
    if (follows_name()) lost["processes_missed"] = processes_missed_;
    return lost;
}

Overhead KernelSource::overhead() const
{
    const auto cost = kernel_->cost();
    Overhead overhead;
    overhead.bpf_runs = cost.runs;
    overhead.bpf_ns = cost.ns;
    overhead.map_bytes = cost.map_bytes;
    return overhead;
}

}  // namespace loopwatch
