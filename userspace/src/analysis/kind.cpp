// SPDX-License-Identifier: Apache-2.0
#include "analysis/kind.hpp"

namespace loopwatch {

std::string_view kind_name(Kind kind)
{
    switch (kind) {
        case Kind::cpu: return "cpu";
        case Kind::sleep: return "sleep";
        case Kind::lock: return "lock";
        case Kind::file_io: return "file_io";
        case Kind::file_lock: return "file_lock";
        case Kind::pipe: return "pipe";
        case Kind::network: return "network";
        case Kind::dns: return "dns";
        case Kind::process: return "process";
        case Kind::nested_wait: return "nested_wait";
        case Kind::page_fault: return "page_fault";
        case Kind::io_uring: return "io_uring";
        case Kind::run_queue: return "run_queue";
        case Kind::cpu_throttle: return "cpu_throttle";
        case Kind::stopped: return "stopped";
        case Kind::other: return "other";
    }
    return "other";
}

std::optional<Kind> kind_named(std::string_view name)
{
    for (int i = 0; i <= static_cast<int>(Kind::other); ++i)
        if (kind_name(static_cast<Kind>(i)) == name) return static_cast<Kind>(i);
    return std::nullopt;
}

std::vector<std::string_view> kind_names()
{
    std::vector<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(Kind::other); ++i) names.push_back(kind_name(static_cast<Kind>(i)));
    return names;
}

std::string_view woken_by_name(WokenBy woken_by)
{
    switch (woken_by) {
        case WokenBy::unknown: return "unknown";
        case WokenBy::thread: return "thread";
        case WokenBy::timer: return "timer";
        case WokenBy::irq: return "irq";
        case WokenBy::signal: return "signal";
    }
    return "unknown";
}

bool is_the_codes_doing(Kind kind)
{
    return kind != Kind::run_queue && kind != Kind::cpu_throttle && kind != Kind::stopped;
}

}  // namespace loopwatch
