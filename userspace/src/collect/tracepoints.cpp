// SPDX-License-Identifier: Apache-2.0
#include "collect/tracepoints.hpp"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <optional>

#include "util/fd.hpp"

namespace loopwatch {

namespace {

constexpr const char* mounts[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};

// The directory of all events.
Fd open_events()
{
    for (const auto* mount : mounts)
        if (Fd events(::open((std::string(mount) + "/events").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); events)
            return events;
    const Fd context(static_cast<int>(::syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC)));
    if (!context) return {};
    if (::syscall(SYS_fsconfig, context.raw(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return {};
    const Fd root(static_cast<int>(::syscall(SYS_fsmount, context.raw(), FSMOUNT_CLOEXEC, 0)));
    if (!root) return {};
    return Fd(::openat(root.raw(), "events", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

std::optional<std::uint64_t> tracepoint_id(const Fd& events, const std::string& name)
{
    const Fd file(::openat(events.raw(), (name + "/id").c_str(), O_RDONLY | O_CLOEXEC));
    char text[32] = {};
    const auto got = file ? ::read(file.raw(), text, sizeof text - 1) : -1;
    std::uint64_t id = 0;
    if (got <= 0 || std::from_chars(text, text + got, id).ec != std::errc()) return std::nullopt;
    return id;
}

// Of all processes, on whichever CPU: programs of a tracepoint run wherever it is hit.
Fd open_tracepoint(std::uint64_t id, const bpf_program* program)
{
    perf_event_attr attr = {};
    attr.type = PERF_TYPE_TRACEPOINT;
    attr.size = sizeof attr;
    attr.config = id;
    attr.sample_period = 1;
    Fd event(static_cast<int>(::syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC)));
    if (!event || ::ioctl(event.raw(), PERF_EVENT_IOC_SET_BPF, bpf_program__fd(program)) != 0 ||
        ::ioctl(event.raw(), PERF_EVENT_IOC_ENABLE, 0) != 0)
        return {};
    return event;
}

}  // namespace

Result<std::vector<std::uint64_t>> find_tracepoints(const std::vector<std::string>& names)
{
    const Fd events = open_events();
    if (!events)
        return errno_error(ExitCode::not_permitted, "opening tracefs", "mount -t tracefs tracefs /sys/kernel/tracing");
    std::vector<std::uint64_t> ids;
    for (const auto& name : names)
        if (const auto id = tracepoint_id(events, name)) ids.push_back(*id);
    if (ids.empty())
        return Error{ExitCode::not_permitted, "the kernel has no tracepoints of system calls",
                     "it needs CONFIG_FTRACE_SYSCALLS"};
    return ids;
}

Result<std::vector<Link>> attach_tracepoints(const bpf_program* program, const std::vector<std::uint64_t>& ids)
{
    std::vector<Link> attached;
    for (const auto id : ids) {
        auto event = open_tracepoint(id, program);
        if (!event) return errno_error(ExitCode::failed, "attaching to a tracepoint");
        attached.emplace_back([event = event.release()] { ::close(event); });
    }
    return attached;
}

}  // namespace loopwatch
