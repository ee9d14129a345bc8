// SPDX-License-Identifier: Apache-2.0
#include "target/modules.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "target/process.hpp"

namespace loopwatch {

namespace {

struct MapLine {
    std::uint64_t start = 0, end = 0, offset = 0, inode = 0;
    unsigned major_id = 0, minor_id = 0;
    bool executable = false;
    std::string_view range, path;
};

std::optional<MapLine> parse_map_line(std::string_view line)
{
    MapLine map;
    const auto hex = [](std::string_view text, auto& value) {
        return std::from_chars(text.data(), text.data() + text.size(), value, 16).ec == std::errc();
    };
    const auto next = [&line] {
        const auto begin = std::min(line.find_first_not_of(' '), line.size());
        const auto end = std::min(line.find(' ', begin), line.size());
        const auto field = line.substr(begin, end - begin);
        line.remove_prefix(end);
        return field;
    };
    map.range = next();
    const auto flags = next(), offset = next(), device = next(), inode = next();
    const auto dash = map.range.find('-'), colon = device.find(':');
    if (dash == std::string_view::npos || colon == std::string_view::npos || flags.size() < 4) return std::nullopt;
    map.executable = flags[2] == 'x';
    if (!hex(map.range.substr(0, dash), map.start) || !hex(map.range.substr(dash + 1), map.end) ||
        !hex(offset, map.offset) || !hex(device.substr(0, colon), map.major_id) ||
        !hex(device.substr(colon + 1), map.minor_id))
        return std::nullopt;
    std::from_chars(inode.data(), inode.data() + inode.size(), map.inode);
    const auto path = line.find_first_not_of(' ');
    if (path != std::string_view::npos) map.path = line.substr(path);
    return map;
}

// map_files leads to the very file that is mapped, also if it was deleted or replaced or lies in another mount
// namespace. It needs CAP_CHECKPOINT_RESTORE; without, the path is tried through the target's root and compared with
// device and inode. O_NONBLOCK: an open waits 45 s for whoever holds a lease on the file, and anybody may on his own.
Fd open_mapped(pid_t pid, const MapLine& map)
{
    Fd file(::open(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, map.start, map.end).c_str(),
                   O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file) return file;
    file.reset(
        ::open(fmt::format("/proc/{}/root{}", pid, map.path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    struct stat info = {};
    if (file && ::fstat(file.raw(), &info) == 0 && info.st_ino == map.inode && ::major(info.st_dev) == map.major_id &&
        ::minor(info.st_dev) == map.minor_id && S_ISREG(info.st_mode))
        return file;
    return Fd();
}

// Code that the kernel maps: the clock's, most of all. It has no file.
constexpr std::string_view vdso = "[vdso]";
constexpr std::size_t max_maps_bytes = 16u << 20;
constexpr std::size_t max_modules = 4096;

template <class Each>
void each_module(const std::string& maps, Each each)
{
    std::string_view rest = maps;
    while (!rest.empty()) {
        const auto end = std::min(rest.find('\n'), rest.size());
        const auto map = parse_map_line(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (!map || !map->executable || (map->inode == 0 && map->path != vdso)) continue;
        // What the kernel says of a file that was deleted, or replaced by a deploy, is not its name.
        constexpr std::string_view deleted = " (deleted)";
        auto named = *map;
        if (named.path.ends_with(deleted)) named.path.remove_suffix(deleted.size());
        each(named);
    }
}

std::uint64_t hash_of(const std::string& maps)
{
    std::uint64_t hash = 0;
    each_module(maps, [&](const MapLine& map) {
        hash = hash * 1099511628211u ^ map.start ^ (map.inode << 20) ^ std::hash<std::string_view>()(map.path);
    });
    return hash;
}

}  // namespace

Result<MappedModules> read_modules(pid_t pid, std::uint64_t known_hash)
{
    const auto maps = read_proc(pid, "maps", max_maps_bytes);
    if (!maps) return errno_error(ExitCode::not_permitted, "reading the maps of the process");
    MappedModules mapped;
    mapped.hash = hash_of(*maps);
    mapped.changed = known_hash == 0 || mapped.hash != known_hash;
    if (!mapped.changed) return mapped;
    each_module(*maps, [&](const MapLine& map) {
        if (mapped.modules.size() >= max_modules) return;
        const bool has_file = map.inode != 0;
        Fd file = has_file ? open_mapped(pid, map) : Fd();
        mapped.unreadable += has_file && !file;
        if (file || !has_file)
            mapped.modules.push_back({map.start, map.end, map.offset, std::string(map.path), std::move(file)});
    });
    return mapped;
}

std::uint64_t modules_hash(pid_t pid)
{
    return hash_of(read_proc(pid, "maps", max_maps_bytes).value_or(""));
}

}  // namespace loopwatch
