// SPDX-License-Identifier: Apache-2.0
#include "daemon/flight_recorder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "output/record_json.hpp"
#include "util/fd.hpp"

namespace loopwatch {

FlightRecorder::FlightRecorder(LabelledEncoder::LabelsOf labels_of, std::uint32_t hidden_pid)
    : encoder_(std::move(labels_of), hidden_pid)
{
}

// A part begins with no stack known: those before it may be gone by the time it is written.
Result<void> FlightRecorder::take(const Report& report)
{
    if (!on_) return {};
    if (parts_.empty() || parts_.back().lines.size() >= part_bytes) {
        encoder_.forget_stacks();
        parts_.push_back({time_of(report), {}});
    }
    auto& lines = parts_.back().lines;
    const auto before = lines.size();
    encoder_.encode(report, lines);
    bytes_ += lines.size() - before;
    while (bytes_ > most_bytes && parts_.size() > 1) {
        bytes_ -= parts_.front().lines.size();
        parts_.pop_front();
    }
    return {};
}

std::string FlightRecorder::dump() const
{
    std::string all;
    all.reserve(bytes_);
    for (const auto& part : parts_) all += part.lines;
    return all;
}

namespace {

void remove_oldest(const std::string& folder, const std::string& prefix, std::size_t keep)
{
    std::vector<std::filesystem::path> dumps;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failed))
        if (entry.path().filename().string().starts_with(prefix)) dumps.push_back(entry.path());
    std::ranges::sort(dumps);
    while (dumps.size() > keep) {
        std::filesystem::remove(dumps.front(), failed);
        dumps.erase(dumps.begin());
    }
}

}  // namespace

Result<std::string> write_dump(const std::string& folder, const std::string& name, const std::string& lines,
                               std::size_t keep)
{
    if (::mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST)
        return errno_error(ExitCode::failed, "cannot create " + folder);
    timespec now = {};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::tm utc = {};
    ::gmtime_r(&now.tv_sec, &utc);
    char time[32] = {};
    std::strftime(time, sizeof time, "%Y%m%dT%H%M%S", &utc);
    const auto path = fmt::format("{}/{}-{}.{:09}.ndjson", folder, name, time, now.tv_nsec);
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640));
    if (!file) return errno_error(ExitCode::failed, "cannot write " + path);
    for (std::size_t written = 0; written < lines.size();) {
        const auto count = ::write(file.raw(), lines.data() + written, lines.size() - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            auto failure = errno_error(ExitCode::failed, "cannot write " + path);
            ::unlink(path.c_str());
            return failure;
        }
        written += static_cast<std::size_t>(count);
    }
    remove_oldest(folder, name + "-", keep);
    return path;
}

}  // namespace loopwatch
