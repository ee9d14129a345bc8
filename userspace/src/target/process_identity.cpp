// SPDX-License-Identifier: Apache-2.0
#include "target/process_identity.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "target/listening_ports.hpp"
#include "target/process.hpp"
#include "util/fd.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t most_cmdline_bytes = 4096, most_cgroup_bytes = 65'536, most_passwd_bytes = 1 << 20;

// Field 22 of /proc/PID/stat, counted from the last ")": comm may hold anything. 0: there is none.
std::uint64_t start_time_of(pid_t pid)
{
    const auto stat = read_proc(pid, "stat", 4096).value_or("");
    auto at = stat.rfind(')');
    for (int field = 2; field < 22 && at != stat.npos; ++field) at = stat.find(' ', at + 1);
    std::uint64_t time = 0;
    if (at != stat.npos) std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), time);
    return time;
}

std::string exe_of(pid_t pid)
{
    char target[4096];
    const auto length = ::readlink(fmt::format("/proc/{}/exe", pid).c_str(), target, sizeof target);
    std::string exe(target, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
    // Replaced by a deploy, most often: the rule means the program.
    constexpr std::string_view deleted = " (deleted)";
    if (exe.ends_with(deleted)) exe.resize(exe.size() - deleted.size());
    return exe;
}

std::string cmdline_of(pid_t pid)
{
    auto text = read_proc(pid, "cmdline", most_cmdline_bytes).value_or("");
    text.resize(std::min(text.size(), most_cmdline_bytes));
    while (!text.empty() && text.back() == '\0') text.pop_back();
    std::ranges::replace(text, '\0', ' ');
    return text;
}

std::string comm_of(pid_t pid)
{
    auto comm = read_proc(pid, "comm", 64).value_or("");
    if (comm.ends_with('\n')) comm.pop_back();
    return comm;
}

// The real user's. None: the process has ended, or this is the id of a thread that is not its process's first.
std::optional<uid_t> real_uid_of(pid_t pid)
{
    const auto status = read_proc(pid, "status", 8192).value_or("");
    const auto number = [&status](std::string_view name) -> std::optional<std::uint32_t> {
        const auto line = status.find(name);
        std::uint32_t value = 0;
        const auto* const from = status.data() + (line == status.npos ? status.size() : line + name.size());
        if (std::from_chars(from, status.data() + status.size(), value).ec != std::errc()) return std::nullopt;
        return value;
    };
    if (number("\nTgid:\t") != static_cast<std::uint32_t>(pid)) return std::nullopt;
    return number("\nUid:\t");
}

}  // namespace

std::optional<ProcessIdentity> read_identity(pid_t pid, IdentityFields fields)
{
    ProcessIdentity identity;
    identity.pid = pid;
    const auto uid = real_uid_of(pid);
    identity.start_time = start_time_of(pid);
    if (!uid || identity.start_time == 0) return std::nullopt;
    identity.uid = *uid;
    if (fields.has(IdentityField::exe)) identity.exe = exe_of(pid);
    if (fields.has(IdentityField::comm)) identity.comm = comm_of(pid);
    if (fields.has(IdentityField::cmdline)) identity.cmdline = cmdline_of(pid);
    if (fields.has(IdentityField::user)) identity.user = local_user_name(*uid);
    if (fields.has(IdentityField::cgroup) || fields.has(IdentityField::image)) {
        identity.cgroup = cgroup_path(read_proc(pid, "cgroup", most_cgroup_bytes).value_or(""));
        identity.workload = workload_of(identity.cgroup);
    }
    if (fields.has(IdentityField::ports)) identity.ports = listening_ports(pid);
    // The pid may have been given to another process meanwhile.
    if (start_time_of(pid) != identity.start_time) return std::nullopt;
    return identity;
}

std::string local_user_name(uid_t uid)
{
    Fd file(::open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    std::string text;
    char buffer[16384];
    for (ssize_t got = 0;
         file && text.size() < most_passwd_bytes && (got = ::read(file.raw(), buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(got));
    // "name:password:uid:…"
    for (std::string_view rest = text; !rest.empty();) {
        const auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        const auto name_end = line.find(':');
        const auto password_end = name_end == line.npos ? line.npos : line.find(':', name_end + 1);
        if (password_end == line.npos) continue;
        uid_t number = 0;
        const auto* const end = line.data() + line.size();
        const auto [stop, error] = std::from_chars(line.data() + password_end + 1, end, number);
        if (error == std::errc() && stop != end && *stop == ':' && number == uid)
            return std::string(line.substr(0, name_end));
    }
    return {};
}

}  // namespace loopwatch
