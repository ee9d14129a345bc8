// SPDX-License-Identifier: Apache-2.0
#include "attach/mapped_files.hpp"

#include <fmt/format.h>

#include <utility>

#include "stack/segments.hpp"
#include "target/image_names.hpp"
#include "target/modules.hpp"
#include "util/detached.hpp"
#include "util/duration.hpp"

namespace loopwatch {

namespace {

Result<MappedFiles> read_files(pid_t pid, std::uint32_t ns_pid, KnownFiles known)
{
    MappedFiles files;
    files.perf_map = open_perf_map(pid, ns_pid);
    const bool fresh_names = files.perf_map.file && !known.has_perf_map;
    auto mapped = read_modules(pid, fresh_names ? 0 : known.hash);
    if (!mapped) return mapped.error();
    files.changed = mapped->changed;
    files.hash = mapped->hash;
    // A server may answer opens and no reads. The worker, which all targets share, is not to find that out.
    for (auto& module : mapped->modules)
        if (const auto segments = read_segments(module.file.raw()))
            module.link_start = segments->link_start(module.file_offset);
    files.modules = std::move(mapped->modules);
    files.unreadable = mapped->unreadable;
    files.of_image = known.image == 0 || runs_image(pid, known.image);
    return files;
}

}  // namespace

Result<OpenedProcess> open_process(pid_t pid, std::uint64_t image)
{
    auto process = Process::open(pid);
    if (!process) return process.error();
    auto files = read_files(pid, process->ns_id(pid), {.image = image});
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

std::future<Result<MappedFiles>> open_files_beside(pid_t pid, std::uint64_t image)
{
    return run_detached([=]() -> Result<MappedFiles> {
        auto opened = open_process(pid, image);
        if (!opened) return opened.error();
        return std::move(opened->files);
    });
}

std::future<Result<MappedFiles>> read_files_beside(pid_t pid, std::uint32_t ns_pid, KnownFiles known)
{
    return run_detached([=] { return read_files(pid, ns_pid, known); });
}

std::future<std::uint64_t> read_hash_beside(pid_t pid)
{
    return run_detached([pid] { return modules_hash(pid); });
}

Error not_opened(pid_t pid, bool has_begun, std::uint64_t after_ns)
{
    if (!has_begun)
        return {
            ExitCode::failed,
            fmt::format("the files of process {} could not be opened: {} others have not returned", pid, max_detached),
            "does the file system that they run from answer?"};
    return {
        ExitCode::failed,
        fmt::format("the files of process {} could not be opened and read within {}", pid, format_duration(after_ns)),
        "does the file system that it runs from answer?"};
}

}  // namespace loopwatch
