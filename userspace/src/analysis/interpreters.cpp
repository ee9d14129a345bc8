// SPDX-License-Identifier: Apache-2.0
#include "analysis/interpreters.hpp"

#include <fmt/format.h>

#include <charconv>

#include "util/text.hpp"

namespace loopwatch {
namespace {

// The minor version in "python3.11", "libpython3.11.so.1.0"; -1: no such file.
int python_minor(std::string_view file)
{
    if (file.starts_with("lib")) file.remove_prefix(3);
    constexpr std::string_view start = "python3.";
    int minor = -1;
    if (!file.starts_with(start)) return -1;
    std::from_chars(file.data() + start.size(), file.data() + file.size(), minor);
    return minor;
}

}  // namespace

std::string missing_names(std::string_view module_path)
{
    constexpr int first_with_perf_map = 12;
    const auto file = base_name(module_path);
    if (file == "node" || file == "nodejs" || file.starts_with("libnode.so"))
        return "its JavaScript functions have no names: start it with node --perf-basic-prof "
               "--interpreted-frames-native-stack";
    if (file.starts_with("libjvm.so"))
        return "its Java functions have no names: jcmd PID Compiler.perfmap writes them (JDK 17 and newer)";
    const int minor = python_minor(file);
    if (minor >= first_with_perf_map) return "its Python functions have no names: start it with python3 -X perf";
    if (minor >= 0)
        return fmt::format(
            "its Python functions have no names: Python 3.{} cannot write them, 3.{} and newer can (-X perf)", minor,
            first_with_perf_map);
    return {};
}

}  // namespace loopwatch
