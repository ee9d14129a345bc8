// SPDX-License-Identifier: Apache-2.0
#include "stack/worker_process.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <new>
#include <utility>

#include "util/detached.hpp"
#include "util/priority.hpp"

namespace loopwatch {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 5s;     // without a sign of life, but for what it waits for a CPU: it may be at nice 10
constexpr auto ending = 200ms;    // one that reads a file whose server holds on to the read may not end for hours
constexpr auto load_limit = 60s;  // the first look into a program with gigabytes of debug information takes a while

}  // namespace

Result<WorkerProcess> WorkerProcess::open()
{
    void* page = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno_error(ExitCode::failed, "symbol worker");
    auto* const progress = new (page) Progress;
    auto zygote = Zygote::start(*progress);
    if (zygote) return WorkerProcess(progress, std::move(*zygote));
    ::munmap(page, sizeof(Progress));
    return zygote.error();
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : progress_(std::exchange(other.progress_, nullptr)),
      zygote_(std::move(other.zygote_)),
      pid_(std::exchange(other.pid_, -1))
{
}

WorkerProcess::~WorkerProcess()
{
    end();
    if (progress_) ::munmap(progress_, sizeof(Progress));
}

Result<Fd> WorkerProcess::start()
{
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return errno_error(ExitCode::failed, "symbol worker");
    Fd ours(pair[0]), theirs(pair[1]);
    const int buffer_bytes = 1 << 20;
    ::setsockopt(ours.raw(), SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    progress_->reading(0);
    const auto pid = zygote_.fork_worker(std::move(theirs));
    if (!pid) return pid.error();
    pid_ = *pid;
    run_promptly(pid_, nice_);
    return ours;
}

void WorkerProcess::end()
{
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    const auto reap = [pid = pid_] {
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
        }
    };
    run_detached(reap).wait_for(ending);
    pid_ = -1;
}

void WorkerProcess::set_nice(int more)
{
    if (std::exchange(nice_, more) != more && pid_ > 0) run_promptly(pid_, more);
}

void WorkerProcess::begin_request()
{
    asked_ = Clock::now();
    show_life(asked_);
}

bool WorkerProcess::is_stuck()
{
    const std::uint32_t beats = progress_->beats.load(std::memory_order_relaxed);
    const auto now = Clock::now();
    if (beats != beats_) show_life(now);
    beats_ = beats;
    const auto silent = now - last_beat_;
    if (silent > 1s && !starved_before_) starved_before_ = starved();
    return (silent > patience && silent - (starved() - *starved_before_) > patience) || now - asked_ > load_limit;
}

std::uint32_t WorkerProcess::file_being_read() const
{
    return progress_->file_id.load(std::memory_order_relaxed);
}

void WorkerProcess::show_life(Clock::time_point now)
{
    last_beat_ = now;
    starved_before_.reset();
}

// How long the worker has waited for a CPU, in its life. proc_pid_schedstat: time on CPU, time on a run queue, slices.
std::chrono::nanoseconds WorkerProcess::starved() const
{
    std::ifstream file(fmt::format("/proc/{}/schedstat", pid_));
    std::uint64_t ran_ns = 0, waited_ns = 0;
    return std::chrono::nanoseconds(file >> ran_ns >> waited_ns ? waited_ns : 0);
}

}  // namespace loopwatch
