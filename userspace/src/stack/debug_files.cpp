// SPDX-License-Identifier: Apache-2.0
#include "stack/debug_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stack/answers.hpp"

namespace loopwatch {
namespace {

const std::string root = "/usr/lib/debug/";

Fd open_regular(const std::string& path)
{
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status = {};
    if (!file || ::fstat(file.raw(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return file;
}

// In the target's own file system, where anybody may have put it: no link, and, as root may read what the target's user
// may not, nothing that is not for all to read.
Fd open_in_target(int target_root, const std::string& path)
{
    open_how how = {};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH;
    Fd file(static_cast<int>(::syscall(SYS_openat2, target_root, path.c_str(), &how, sizeof how)));
    struct stat status = {};
    if (!file || ::fstat(file.raw(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    const bool readable = ::geteuid() != 0 || (status.st_mode & S_IROTH) != 0;
    return readable ? std::move(file) : Fd();
}

bool is_file_name(const std::string& name)
{
    return !name.empty() && name != ".." && name != "." && name.size() <= 255 && name.find('/') == std::string::npos &&
           name.find('\0') == std::string::npos;
}

bool is_plain_path(const std::string& path)
{
    return path.starts_with('/') && path.size() <= max_text_bytes && (path + "/").find("/../") == std::string::npos &&
           path.find('\0') == std::string::npos;
}

}  // namespace

Fd open_debug_file(const DebugFileWanted& wanted, const std::string& module_path, std::uint32_t pid)
{
    if (is_build_id(wanted.build_id) && wanted.build_id.size() > 2) {
        const std::string& id = wanted.build_id;
        if (Fd file = open_regular(root + ".build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug")) return file;
    }
    if (!is_file_name(wanted.debuglink) || !is_plain_path(module_path)) return {};
    const auto folder = module_path.substr(1, module_path.rfind('/'));
    if (Fd file = open_regular(root + folder + wanted.debuglink)) return file;
    if (pid == 0) return {};
    const Fd target(::open(fmt::format("/proc/{}/root", pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (Fd file = open_in_target(target.raw(), folder + wanted.debuglink)) return file;
    return open_in_target(target.raw(), folder + ".debug/" + wanted.debuglink);
}

}  // namespace loopwatch
