// SPDX-License-Identifier: Apache-2.0
#include "report/journal_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace loopwatch {

namespace {

constexpr std::string_view segment_suffix = ".lwj";
constexpr std::size_t segment_digits = 10;
constexpr std::size_t small_file_bytes = 4096;
constexpr std::int64_t ns_per_s = 1'000'000'000;

std::optional<std::uint64_t> segment_index(std::string_view name)
{
    if (name.size() != segment_digits + segment_suffix.size() || !name.ends_with(segment_suffix)) return std::nullopt;
    std::uint64_t index = 0;
    const auto* const digits_end = name.data() + segment_digits;
    const auto [end, error] = std::from_chars(name.data(), digits_end, index);
    if (error != std::errc{} || end != digits_end) return std::nullopt;
    return index;
}

template <class Take>
std::error_code for_each_segment(const std::string& state, const Take& take)
{
    std::error_code error;
    for (std::filesystem::directory_iterator file(segments_path(state), error), end; !error && file != end;
         file.increment(error))
        if (const auto index = segment_index(file->path().filename().native())) take(*index);
    return error;
}

}  // namespace

std::string segments_path(const std::string& state)
{
    return state + "/journal";
}

std::string cursors_path(const std::string& state)
{
    return state + "/cursors";
}

std::string segment_path(const std::string& state, std::uint64_t index)
{
    return fmt::format("{}/{:0{}}{}", segments_path(state), index, segment_digits, segment_suffix);
}

Result<std::vector<SegmentFile>> list_segments(const std::string& state)
{
    std::vector<SegmentFile> files;
    const auto error = for_each_segment(state, [&](std::uint64_t index) {
        struct stat status = {};
        if (::stat(segment_path(state, index).c_str(), &status) != 0) return;  // removed meanwhile
        files.push_back({index, static_cast<std::uint64_t>(status.st_size),
                         status.st_mtim.tv_sec * ns_per_s + status.st_mtim.tv_nsec});
    });
    if (error) return Error{ExitCode::failed, "cannot read " + segments_path(state) + ": " + error.message(), ""};
    std::ranges::sort(files, {}, &SegmentFile::index);
    return files;
}

std::optional<std::uint64_t> segment_from(const std::string& state, std::uint64_t from)
{
    std::optional<std::uint64_t> lowest;
    for_each_segment(state, [&](std::uint64_t index) {
        if (index >= from && (!lowest || index < *lowest)) lowest = index;
    });
    return lowest;
}

Result<std::optional<std::string>> read_small_file(const std::string& path)
{
    std::string content(small_file_bytes, '\0');
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file && errno == ENOENT) return std::optional<std::string>();
    const auto got = file ? ::read(file.raw(), content.data(), content.size()) : -1;
    if (got < 0) return errno_error(ExitCode::failed, "cannot read " + path);
    content.resize(static_cast<std::size_t>(got));
    return std::optional(std::move(content));
}

Result<void> write_all(int file, std::string_view bytes, std::uint64_t& written)
{
    while (!bytes.empty()) {
        const auto put = ::write(file, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno_error(ExitCode::failed, "cannot write");
        bytes.remove_prefix(static_cast<std::size_t>(put));
        written += static_cast<std::uint64_t>(put);
    }
    return {};
}

Result<void> sync_directory(const std::string& path)
{
    const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.raw()) != 0) return errno_error(ExitCode::failed, "cannot sync " + path);
    return {};
}

Result<void> replace_file(const std::string& directory, const std::string& name, std::string_view content)
{
    const auto path = directory + "/" + name, draft = directory + "/." + name + ".new";
    const Fd file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return errno_error(ExitCode::failed, "cannot write " + path);
    std::uint64_t written = 0;
    if (!write_all(file.raw(), content, written) || ::fsync(file.raw()) != 0 ||
        std::rename(draft.c_str(), path.c_str()) != 0) {
        auto error = errno_error(ExitCode::failed, "cannot write " + path);
        ::unlink(draft.c_str());
        return error;
    }
    return sync_directory(directory);
}

}  // namespace loopwatch
