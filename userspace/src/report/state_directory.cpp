// SPDX-License-Identifier: Apache-2.0
#include "report/state_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "report/journal_files.hpp"

namespace loopwatch {

namespace {

constexpr const char* other_directory = "choose another state directory";
constexpr std::size_t uuid_characters = 36;

std::string_view first_line(std::string_view text)
{
    return text.substr(0, text.find('\n'));
}

Result<void> make_directory(const std::string& path)
{
    // For its owner only: stacks and command lines of other users' programs are in it.
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
    return errno_error(ExitCode::failed, "cannot make the state directory " + path,
                       "make its parent directory, or " + std::string(other_directory));
}

Result<Fd> lock_directory(const std::string& path)
{
    const auto name = path + "/lock";
    Fd file(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return errno_error(ExitCode::failed, "cannot write to the state directory " + path, other_directory);
    if (::flock(file.raw(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return errno_error(ExitCode::failed, "cannot lock " + name);
        const auto text = read_small_file(name).value_or(std::nullopt).value_or("");
        const std::string pid(first_line(text));
        return Error{ExitCode::failed,
                     fmt::format("the state directory {} is in use by process {}", path, pid.empty() ? "?" : pid),
                     "stop that one, or " + std::string(other_directory)};
    }
    // For people and for the error above; the lock holds without it, on a full disk too.
    const auto pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(file.raw(), 0) == 0) [[maybe_unused]]
        const auto put = ::pwrite(file.raw(), pid.data(), pid.size(), 0);
    return file;
}

Result<std::string> make_uuid()
{
    std::array<std::uint8_t, 16> random = {};
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
        return errno_error(ExitCode::failed, "cannot make a UUID");
    random[6] = (random[6] & 0x0f) | 0x40;  // RFC 9562: version 4
    random[8] = (random[8] & 0x3f) | 0x80;
    std::string text;
    for (std::size_t i = 0; i < random.size(); ++i)
        text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", random[i]);
    return text;
}

bool is_uuid(std::string_view text)
{
    return text.size() == uuid_characters && text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

}  // namespace

Result<StateDirectory> StateDirectory::open(const std::string& path)
{
    if (auto made = make_directory(path); !made) return std::move(made).error();
    auto lock = lock_directory(path);
    if (!lock) return std::move(lock).error();
    StateDirectory state(path, std::move(*lock));
    if (auto checked = state.check_version(); !checked) return std::move(checked).error();
    for (const auto& part : {segments_path(path), cursors_path(path)})
        if (auto made = make_directory(part); !made) return std::move(made).error();
    if (auto read = state.read_instance(); !read) return std::move(read).error();
    return state;
}

Result<void> StateDirectory::check_version() const
{
    const auto name = path_ + "/version";
    const auto text = read_small_file(name);
    if (!text) return text.error();
    if (!*text) {
        const auto found = segment_from(path_, 0);
        if (!found) return replace_file(path_, "version", fmt::format("{}\n", version));
        return Error{ExitCode::failed, "the state directory " + path_ + " has a journal, but no file version",
                     "move it away, or " + std::string(other_directory)};
    }
    const auto line = first_line(**text);
    unsigned found = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), found);
    if (error != std::errc{} || end != line.data() + line.size())
        return Error{ExitCode::failed, name + " has no version",
                     "move the directory away, or " + std::string(other_directory)};
    if (found == version) return {};
    return Error{
        ExitCode::failed,
        fmt::format("the state directory {} is of version {}, this loopwatch knows version {}", path_, found, version),
        found > version ? "install the loopwatch that made it, or " + std::string(other_directory)
                        : "move it away, or " + std::string(other_directory)};
}

Result<void> StateDirectory::read_instance()
{
    const auto text = read_small_file(path_ + "/instance");
    if (!text) return text.error();
    if (*text) {
        instance_ = first_line(**text);
        if (is_uuid(instance_)) return {};
        return Error{ExitCode::failed, path_ + "/instance has no UUID", "remove it: a new one is made"};
    }
    auto made = make_uuid();
    if (!made) return std::move(made).error();
    instance_ = std::move(*made);
    return replace_file(path_, "instance", instance_ + "\n");
}

}  // namespace loopwatch
