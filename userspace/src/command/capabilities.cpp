// SPDX-License-Identifier: Apache-2.0
#include "command/capabilities.hpp"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace loopwatch {

namespace {

constexpr std::uint64_t mask_of(unsigned capability)
{
    return std::uint64_t(1) << capability;
}

constexpr struct {
    unsigned capability;
    std::uint64_t instead;  // any of these will do: the kernel takes them for it
    const char* name;
    bool required;
    const char* gives;    // as what is said of one that is there
    const char* without;  // and of one that is not
} capability_rows[] = {
    {CAP_BPF, mask_of(CAP_SYS_ADMIN), "CAP_BPF", true, "loads the BPF programs", "nothing can be watched from outside"},
    {CAP_PERFMON, mask_of(CAP_SYS_ADMIN), "CAP_PERFMON", true, "attaches them, samples threads",
     "nothing can be watched from outside"},
    {CAP_SYS_PTRACE, 0, "CAP_SYS_PTRACE", true, "reads memory and maps of other users' processes",
     "nothing can be watched from outside"},
    {CAP_DAC_READ_SEARCH, mask_of(CAP_DAC_OVERRIDE), "CAP_DAC_READ_SEARCH", false,
     "reads other users' programs, and tracefs",
     "other users' programs have no probes and no names, and polls that do not sleep are not seen"},
    {CAP_CHECKPOINT_RESTORE, mask_of(CAP_SYS_ADMIN), "CAP_CHECKPOINT_RESTORE", false,
     "reads files that were deleted or replaced since they were loaded",
     "files that were deleted or replaced since they were loaded have no probes and no names"},
    {CAP_SYSLOG, 0, "CAP_SYSLOG", false, "reads the kernel's symbols",
     "what ended a wait, a timer or an interrupt, is not known"},
    {CAP_SYS_NICE, 0, "CAP_SYS_NICE", false, "keeps its own priority where CPUs are busy",
     "reports come later where CPUs are busy: before Linux 6.12 all of them, else those that follow a flood"},
    {CAP_KILL, 0, "CAP_KILL", false, "ends what run started, whoever that has become",
     "run cannot end a program that has become another user"},
};

bool has_it(std::uint64_t effective, const auto& row)
{
    return effective & (mask_of(row.capability) | row.instead);
}

}  // namespace

std::uint64_t effective_capabilities()
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    ::syscall(SYS_capget, &header, data);
    return data[0].effective | std::uint64_t(data[1].effective) << 32;
}

std::string missing_privileges(std::uint64_t effective)
{
    std::string missing;
    for (const auto& row : capability_rows)
        if (row.required && !has_it(effective, row))
            missing += fmt::format("{}{}", missing.empty() ? "" : ", ", row.name);
    return missing;
}

std::vector<Check> check_capabilities(std::uint64_t effective)
{
    std::vector<Check> checks;
    for (const auto& row : capability_rows) {
        if (has_it(effective, row)) {
            checks.push_back({row.name, Verdict::ok, row.gives, ""});
            continue;
        }
        checks.push_back({row.name, row.required ? Verdict::missing : Verdict::degraded, row.without,
                          "run as root, or with this capability"});
    }
    return checks;
}

}  // namespace loopwatch
