// SPDX-License-Identifier: Apache-2.0
#include "stack/debug_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

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

}  // namespace

Fd open_debug_file(const DebugFileWanted& wanted, const std::string& module_path)
{
    if (is_build_id(wanted.build_id) && wanted.build_id.size() > 2) {
        const std::string& id = wanted.build_id;
        if (Fd file = open_regular(root + ".build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug")) return file;
    }
    const std::string& name = wanted.debuglink;
    const std::size_t slash = module_path.rfind('/');
    const bool plain = !name.empty() && name != ".." && name != "." && name.size() <= 255 &&
                       name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
    if (!plain || slash == std::string::npos || module_path.front() != '/' || module_path.size() > max_text_bytes ||
        (module_path + "/").find("/../") != std::string::npos || module_path.find('\0') != std::string::npos)
        return {};
    return open_regular(root + module_path.substr(1, slash) + name);
}

}  // namespace loopwatch
