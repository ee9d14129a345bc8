// SPDX-License-Identifier: Apache-2.0
#include "collect/attach.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <system_error>
#include <thread>

namespace loopwatch {

namespace {

// include/uapi/linux/bpf.h of kernel 6.6; Debian 12's headers do not know it.
constexpr auto trace_uprobe_multi = static_cast<bpf_attach_type>(48);

// A forced rung makes a link a site: more threads than this would be more trouble than the wait.
constexpr std::size_t most_detaching_threads = 16;

// struct link_create of union bpf_attr with its uprobe_multi branch, zero-padded: the kernel refuses other tails.
struct UprobeMultiAttr {
    std::uint32_t prog_fd, target_fd, attach_type, flags;
    const char* path;
    const std::uint64_t* offsets;
    const std::uint64_t* ref_ctr_offsets;
    const std::uint64_t* cookies;
    std::uint32_t count, multi_flags, pid, padding;
};
static_assert(sizeof(UprobeMultiAttr) == 64);

Result<std::vector<Link>> attach_multi(const bpf_program* program, pid_t pid, const std::string& path,
                                       const std::vector<AttachPoint>& points)
{
    std::vector<std::uint64_t> offsets, semaphores, cookies;
    for (const auto& point : points) {
        offsets.push_back(point.offset);
        semaphores.push_back(point.semaphore_offset);
        cookies.push_back(point.cookie);
    }
    UprobeMultiAttr attr = {};
    attr.prog_fd = static_cast<std::uint32_t>(bpf_program__fd(program));
    attr.attach_type = trace_uprobe_multi;
    attr.path = path.c_str();
    attr.offsets = offsets.data();
    attr.ref_ctr_offsets = semaphores.data();
    attr.cookies = cookies.data();
    attr.count = static_cast<std::uint32_t>(points.size());
    attr.pid = static_cast<std::uint32_t>(pid);
    const long fd = ::syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof attr);
    if (fd < 0) return errno_error(ExitCode::failed, fmt::format("attaching {} probe sites", points.size()));
    std::vector<Link> links;
    links.emplace_back([fd] { ::close(static_cast<int>(fd)); });
    return links;
}

Result<std::vector<Link>> attach_perf(const bpf_program* program, pid_t pid, const std::string& path,
                                      const std::vector<AttachPoint>& points)
{
    std::vector<Link> links;
    for (const auto& point : points) {
        LIBBPF_OPTS(bpf_uprobe_opts, options);
        options.ref_ctr_offset = point.semaphore_offset;
        options.bpf_cookie = point.cookie;
        bpf_link* link = bpf_program__attach_uprobe_opts(program, pid, path.c_str(), point.offset, &options);
        if (!link) return errno_error(ExitCode::failed, "attaching a probe site");
        links.emplace_back([link] { bpf_link__destroy(link); });
    }
    return links;
}

}  // namespace

const char* rung_name(AttachRung rung)
{
    switch (rung) {
        case AttachRung::multi: return "multi";
        case AttachRung::perf_all: return "perf-all";
        case AttachRung::perf_pid: return "perf-pid";
        case AttachRung::none: break;
    }
    return "none";
}

AttachRung best_rung()
{
    utsname name = {};
    int major = 0, minor = 0;
    if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return AttachRung::perf_all;
    if (major < 6 || (major == 6 && minor < 10)) return AttachRung::perf_all;
    const bpf_insn nothing[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    LIBBPF_OPTS(bpf_prog_load_opts, options);
    options.expected_attach_type = trace_uprobe_multi;
    const int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "lw_multi", "GPL", nothing, std::size(nothing), &options);
    if (fd < 0) return AttachRung::perf_all;
    ::close(fd);
    return AttachRung::multi;
}

void prepare(bpf_program* program, AttachRung rung)
{
    if (rung == AttachRung::multi) bpf_program__set_expected_attach_type(program, trace_uprobe_multi);
}

Result<std::vector<Link>> attach(const bpf_program* program, AttachRung rung, pid_t pid, int file,
                                 const std::vector<AttachPoint>& points)
{
    if (points.empty() || rung == AttachRung::none) return std::vector<Link>{};
    const std::string path = fmt::format("/proc/self/fd/{}", file);
    if (rung == AttachRung::multi) return attach_multi(program, pid, path, points);
    return attach_perf(program, rung == AttachRung::perf_all ? -1 : pid, path, points);
}

// The kernel waits for grace periods, link by link: five links took 275 ms one after the other on 6.18, 80 ms together.
void detach(std::vector<Link> links)
{
    const std::size_t lanes = std::min(links.size(), most_detaching_threads);
    const auto close_lane = [&](std::size_t lane) {
        for (std::size_t i = lane; i < links.size(); i += lanes) const Link gone(std::move(links[i]));
    };
    std::vector<std::jthread> threads;
    try {
        for (std::size_t lane = 1; lane < lanes; ++lane) threads.emplace_back(close_lane, lane);
    } catch (const std::system_error&) {
        // No more threads here: what is left of `links` goes one by one.
    }
    if (lanes) close_lane(0);
}

}  // namespace loopwatch
