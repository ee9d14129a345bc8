// SPDX-License-Identifier: Apache-2.0
#include "resolve/watched_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "analysis/interpreters.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_warnings = 32;
constexpr std::size_t max_subjects = 4096;
constexpr std::uint64_t max_perf_map_bytes = 64u << 20;  // PerfMap::max_bytes, of the worker

}  // namespace

WatchedProcess::WatchedProcess(Process process)
    : process_(std::move(process)), loops_(process_), ns_pid_(process_.ns_id(process_.pid())), comm_(process_.comm())
{
}

void WatchedProcess::keep_names(ImageNames names)
{
    comm_ = names.comm;
    names_ = std::move(names);
}

const Subject& WatchedProcess::subject(std::uint32_t tid)
{
    const auto known = subjects_.find(tid);
    if (known != subjects_.end()) return known->second;
    if (subjects_.size() >= max_subjects) subjects_.clear();
    const auto thread = static_cast<pid_t>(tid);
    return subjects_[tid] = {pid(), tid, ns_pid_, process_.ns_id(thread), replaced_ ? comm_ : process_.comm(thread)};
}

std::vector<std::string> WatchedProcess::take_new_warnings()
{
    start_reported_ = true;
    const auto first =
        warnings_.begin() + static_cast<std::ptrdiff_t>(std::exchange(warnings_taken_, warnings_.size()));
    return {first, warnings_.end()};
}

Fd WatchedProcess::take_names(PerfMapFile perf_map)
{
    if (!perf_map.refused.empty()) warn(perf_map.refused, WarningAbout::names);
    if (perf_map.bytes > max_perf_map_bytes)
        warn(fmt::format("its perf map has {} MiB: names beyond the first {} MiB are not read", perf_map.bytes >> 20,
                         max_perf_map_bytes >> 20),
             WarningAbout::names);
    perf_map_ = static_cast<bool>(perf_map.file);
    return std::move(perf_map.file);
}

void WatchedProcess::set_interpreter(const std::vector<ModuleMapping>& modules)
{
    missing_names_.clear();
    for (const auto& module : modules)
        if (missing_names_.empty()) missing_names_ = missing_names(module.path);
}

void WatchedProcess::check_names()
{
    if (!perf_map_ && !missing_names_.empty()) warn(missing_names_, WarningAbout::names);
}

WarningAbout WatchedProcess::about(const std::string& warning) const
{
    const auto known = about_.find(warning);
    return known == about_.end() ? WarningAbout::sight : known->second;
}

void WatchedProcess::warn(std::string warning, WarningAbout about)
{
    if (about != WarningAbout::sight && about_.size() < max_warnings) about_[warning] = about;
    if (warnings_.size() < max_warnings && std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end())
        warnings_.push_back(std::move(warning));
}

}  // namespace loopwatch
