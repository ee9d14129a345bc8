// SPDX-License-Identifier: Apache-2.0
#include "attach/shim_source.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "target/seccomp.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_targets = 1024;
constexpr std::uint64_t least_look_ns = 10'000'000;       // at rings and lanes: they do not wake us
constexpr std::uint64_t most_finishing_ns = 500'000'000;  // a program that ends on SIGTERM ends its session soon

// 0: not known.
std::uint64_t own_pid_namespace()
{
    struct stat info = {};
    return ::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

ShimTarget& shim_target(Target& target)
{
    return static_cast<ShimTarget&>(target);
}

}  // namespace

ShimSource::ShimSource(ShimSourceOptions options, std::vector<std::string> command, Engine& engine,
                       SymbolWorker& worker)
    : options_(options), command_(std::move(command)), engine_(engine), worker_(worker)
{
}

ShimSource::~ShimSource()
{
    engine_.abandon();
    if (directory_.empty()) return;
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory_.c_str()), ::closedir);
    while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr)
        if (entry->d_name[0] != '.') ::unlink((directory_ + "/" + entry->d_name).c_str());
    ::rmdir(directory_.c_str());
}

Result<std::unique_ptr<ShimSource>> ShimSource::open(ShimSourceOptions options, std::vector<std::string> command,
                                                     Engine& engine, SymbolWorker& worker)
{
    std::unique_ptr<ShimSource> source(new ShimSource(options, std::move(command), engine, worker));
    auto shim = find_shim();
    if (!shim) return shim.error();
    source->shim_ = std::move(*shim);
    auto program = find_program(source->command_.front());
    if (!program) return program.error();
    source->program_ = std::move(*program);
    auto why = why_no_shim(source->program_);
    if (why.empty()) why = why_shim_is_mute();
    if (!why.empty())
        return Error{ExitCode::not_permitted,
                     fmt::format("{} cannot be watched from inside: {}", source->program_, why),
                     "start it, and watch it from outside: sudo loopwatch -p PID"};
    if (auto made = source->make_directory(); !made) return made.error();
    const Fd file(::open(source->program_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    source->unreadable_ = !file && errno == EACCES;
    if (file)
        if (const auto scan = worker.scan(file.raw()); scan && brings_runtime(*scan)) source->tiers_.push_back(3);
    return source;
}

// In memory: what a disk would have to write back is read once and thrown away.
Result<void> ShimSource::make_directory()
{
    const char* const temporary = std::getenv("TMPDIR");
    for (const std::string place : {"/dev/shm", temporary ? temporary : "", "/tmp"}) {
        if (place.empty()) continue;
        auto name = place + "/loopwatch-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) continue;
        directory_ = name;
        newcomers_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (!newcomers_ || ::inotify_add_watch(newcomers_.raw(), directory_.c_str(), IN_CREATE) < 0)
            return errno_error(ExitCode::failed, "inotify");
        return {};
    }
    return errno_error(ExitCode::failed, "no directory for the shim's rings in /dev/shm, TMPDIR or /tmp");
}

Result<void> ShimSource::launch()
{
    // PID 0: whoever inherits it. The launcher passes the program its own pid.
    auto launched = Launch::start(program_, command_, shim_, [&](pid_t pid) {
        return std::vector<std::pair<std::string, std::string>>{
            {run_variable,
             fmt::format("{}:{}:{}:{}:{}", options_.follow_children ? 0 : pid, options_.thresholds.slow_ns,
                         options_.thresholds.block_ns, own_pid_namespace(), directory_)}};
    });
    if (!launched) return launched.error();
    launched_ = std::move(*launched);
    auto newcomers = engine_.reactor().watch(newcomers_.raw(), Reactor::Ready::readable, [this] { meet_newcomers(); });
    if (!newcomers) return newcomers.error();
    newcomers_watch_ = std::move(*newcomers);
    // Once it has been waited for, nothing says any more whose ring it was that came at the last moment.
    auto exit = engine_.reactor().watch(launched_->descriptor(), Reactor::Ready::readable, [this] {
        meet_newcomers();
        if (launched_->status()) exit_watch_ = {};
    });
    if (!exit) return exit.error();
    exit_watch_ = std::move(*exit);
    return {};
}

void ShimSource::meet_newcomers()
{
    alignas(inotify_event) char buffer[4096];
    while (true) {
        const ssize_t got = ::read(newcomers_.raw(), buffer, sizeof buffer);
        if (got <= 0) return;
        for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
            inotify_event event;
            std::memcpy(&event, buffer + at, sizeof event);
            if (event.mask & IN_Q_OVERFLOW) ++missed_;
            if (event.len) meet(directory_ + "/" + (buffer + at + sizeof event));
            at += static_cast<ssize_t>(sizeof event + event.len);
        }
    }
}

void ShimSource::meet(const std::string& path)
{
    const auto name = ring_name(path);
    if (name == RingName::unwatched_child) children_unwatched_ = true;
    if (name == RingName::child_elsewhere && !std::exchange(child_elsewhere_, true))
        engine_.warn("a process that it started has a PID namespace of its own, and is not watched from inside",
                     "sudo loopwatch run --follow-children, or sudo loopwatch -p PID");
    if (name != RingName::ring) return;
    auto ring = ShimRing::open(path);
    ::unlink(path.c_str());
    if (!ring) {
        ++missed_;
        return engine_.warn(ring.error().what, ring.error().hint);
    }
    if (engine_.targets().size() + arriving_.size() >= max_targets) {
        ++missed_;
        return;
    }
    const auto pid = ring->pid();
    auto target = ShimTarget::open(std::move(*ring), worker_, options_.thresholds);
    if (!target) return miss(pid, target.error());
    arriving_.push_back(std::move(*target));
}

// What is known of a process by its pid ends with what it was before: first that has to be reported.
void ShimSource::add_opened(std::uint64_t now_ns)
{
    std::set<std::uint32_t> later;  // pids
    for (auto& target : std::exchange(arriving_, {})) {
        const auto pid = target->pid();
        if (engine_.find(pid)) engine_.remove(pid, "exec");
        const bool waits = later.contains(pid) || engine_.is_ending(pid);
        const auto opened = waits ? Result<bool>(false) : target->finish_opening(now_ns);
        if (!opened) {
            miss(pid, opened.error());
        } else if (*opened) {
            met_ |= is_program(pid);
            engine_.add(std::move(target));
        } else {
            later.insert(pid);
            arriving_.push_back(std::move(target));
        }
    }
}

// Without its memory and its modules nothing that its shim reports has a name.
void ShimSource::miss(std::uint32_t pid, const Error& error)
{
    ++missed_;
    if (error.code == ExitCode::no_such_target) return;  // it lived for less than a moment
    closed_ |= is_program(pid);
    if (!is_program(pid) || !unreadable_) return engine_.warn(error.what, error.hint);
    engine_.warn(fmt::format("the file of the program is not readable, so the kernel does not let us look into the "
                             "process ({})",
                             pid),
                 "chmod u+r it, or run loopwatch with sudo");
}

bool ShimSource::drain(std::size_t most, const Observe& observe)
{
    bool all = true;
    const auto now = monotonic_ns();
    for (const auto& [pid, target] : engine_.targets())
        all &= shim_target(*target).holds_back(now) || shim_target(*target).drain(most, observe);
    return !all;
}

void ShimSource::turn(std::uint64_t now_ns)
{
    meet_newcomers();
    for (const auto& [pid, target] : engine_.targets()) shim_target(*target).go_on(now_ns);
    add_opened(now_ns);
    if (now_ns < next_look_ns_) return;
    for (const auto& [pid, target] : engine_.targets()) shim_target(*target).look(now_ns);
    next_look_ns_ = now_ns + std::clamp(options_.thresholds.slow_ns / 5, least_look_ns, 5 * least_look_ns);
}

std::uint64_t ShimSource::next_ns() const
{
    auto next_ns = next_look_ns_;
    const auto now = monotonic_ns();
    const auto or_at = [&](std::uint64_t due_ns) {
        if (due_ns) next_ns = std::min(next_ns, due_ns);
    };
    for (const auto& target : arriving_) or_at(target->next_ns(now));
    for (const auto& [pid, target] : engine_.targets()) or_at(shim_target(*target).next_ns(now));
    return next_ns;
}

bool ShimSource::exhausted()
{
    const bool children_live = options_.follow_children && !(engine_.targets().empty() && arriving_.empty());
    return launched_->wait_status() && !children_live;
}

void ShimSource::leave(Target& target, std::string_view, const Observe& observe)
{
    auto& ended = shim_target(target);
    ended.go_on(monotonic_ns());
    ended.look(monotonic_ns());
    while (!ended.drain(max_records, observe)) {
    }
    ended.check_statistics();
    ended_ += ended.counts();
    const auto more = ended.unproven();
    if (more.threads != 0 && first_unproven_.empty())
        first_unproven_ = fmt::format("{} (pid {})", ended.comm(), ended.pid());
    unproven_.threads += more.threads;
    unproven_.held += more.held;
}

// A program may have ended before its files were open.
void ShimSource::finish_arriving()
{
    const auto until_ns = monotonic_ns() + most_finishing_ns;
    while (!arriving_.empty()) {
        const auto now = monotonic_ns();
        (void)engine_.turn(now);
        if (arriving_.empty() || now >= until_ns) break;
        engine_.reactor().wait_until(std::min(next_ns(), until_ns));
        worker_.poll();
    }
    for (const auto& target : std::exchange(arriving_, {}))
        if (engine_.is_ending(target->pid()))
            ++missed_;  // behind an image whose last findings wait for names
        else
            miss(target->pid(), target->not_open(monotonic_ns()));
    while (!engine_.targets().empty()) {
        const auto& [pid, target] = *engine_.targets().begin();
        engine_.remove(pid, target->process().alive() ? "detached" : "exited");
    }
}

void ShimSource::finish()
{
    finish_arriving();
    if (!met_ && !closed_)
        engine_.warn(fmt::format("{} was never seen from inside: the shim was not loaded into it, or it ended at once",
                                 launched_->pid()));
    if (children_unwatched_) engine_.warn("it started other programs, which were not watched", "--follow-children");
    if (unproven_.threads == 0) return;
    engine_.warn(fmt::format(
        "{} waited for events fewer than three times in one place, so {} not recognised as an event "
        "loop: what held {} for longer than a threshold ({} times) is not reported",
        unproven_.threads == 1 ? "a thread of " + first_unproven_
                               : fmt::format("{} threads, the first of {},", unproven_.threads, first_unproven_),
        unproven_.threads == 1 ? "it was" : "they were", unproven_.threads == 1 ? "it" : "them", unproven_.held));
}

Counts ShimSource::losses() const
{
    auto rings = ended_;
    for (const auto& [pid, target] : engine_.targets()) rings += shim_target(*target).counts();
    Counts lost;
    lost["ring_full"] = rings.lost;
    lost["stack_budget"] = rings.stacks_left_out;
    lost["loops_untracked"] = rings.lanes_refused;
    lost["record_undecodable"] = rings.corrupt;
    lost["iteration_unproven"] = unproven_.held;
    lost["processes_missed"] = missed_;
    return lost;
}

}  // namespace loopwatch
