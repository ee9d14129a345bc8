// SPDX-License-Identifier: Apache-2.0
#include "attach/mapped_files.hpp"

#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

namespace loopwatch {

namespace {

std::atomic<int> opening;  // threads that have not returned

Result<MappedFiles> read_files(pid_t pid, std::uint32_t ns_pid, KnownFiles known)
{
    MappedFiles files;
    files.perf_map = open_perf_map(pid, ns_pid);
    const bool fresh_names = files.perf_map.file && !known.has_perf_map;
    auto mapped = read_modules(pid, fresh_names ? 0 : known.hash);
    if (!mapped) return mapped.error();
    files.changed = mapped->changed;
    files.hash = mapped->hash;
    files.modules = std::move(mapped->modules);
    files.unreadable = mapped->unreadable;
    return files;
}

template <class Task>
auto run_detached(Task task)
{
    const auto run = std::make_shared<std::packaged_task<decltype(task())()>>(std::move(task));
    auto result = run->get_future();
    ++opening;
    const auto body = [run] {
        (*run)();
        --opening;
    };
    try {
        std::thread(body).detach();
    } catch (const std::system_error&) {
        body();  // no thread is to be had
    }
    return result;
}

}  // namespace

Result<OpenedProcess> open_process(pid_t pid)
{
    auto process = Process::open(pid);
    if (!process) return process.error();
    auto files = read_files(pid, process->ns_id(pid), {});
    if (!files) {
        if (!process->alive())
            return Error{ExitCode::no_such_target, fmt::format("process {} ended while attaching", pid), ""};
        return files.error();
    }
    return OpenedProcess{std::move(*process), std::move(*files)};
}

std::future<Result<OpenedProcess>> open_process_beside(pid_t pid)
{
    return run_detached([pid] { return open_process(pid); });
}

std::future<Result<MappedFiles>> read_files_beside(pid_t pid, std::uint32_t ns_pid, KnownFiles known)
{
    return run_detached([=] { return read_files(pid, ns_pid, known); });
}

bool may_open_another()
{
    return opening < max_opening;
}

}  // namespace loopwatch
