// SPDX-License-Identifier: Apache-2.0
#include "attach/target_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "util/glob.hpp"

namespace loopwatch {

namespace {

// What is unknown matches nothing, "*" neither: of a process without a container image = "*" does not hold.
bool any_glob(const std::vector<std::string>& globs, std::string_view text)
{
    return !text.empty() &&
           std::ranges::any_of(globs, [&](const std::string& glob) { return glob_matches(glob, text); });
}

// Two observers that watch each other never rest: each report is work for the other one.
bool is_itself(const ProcessIdentity& identity)
{
    return glob_matches("*/loopwatch", identity.exe);
}

bool is_agent(const ProcessIdentity& identity)
{
    return std::ranges::any_of(known_agents(), [&](std::string_view glob) { return glob_matches(glob, identity.exe); });
}

}  // namespace

IdentityFields TargetMatch::needs() const
{
    IdentityFields fields;
    if (!exe.empty()) fields.add(IdentityField::exe);
    if (!comm.empty()) fields.add(IdentityField::comm);
    if (!cmdline.empty()) fields.add(IdentityField::cmdline);
    if (!cgroup.empty() || !unit.empty()) fields.add(IdentityField::cgroup);
    if (!image.empty()) fields.add(IdentityField::image);
    if (!user.empty()) fields.add(IdentityField::user);
    if (!port.empty()) fields.add(IdentityField::ports);
    return fields;
}

bool TargetMatch::matches(const ProcessIdentity& identity) const
{
    const auto& workload_unit = identity.workload.unit;
    const auto suffix = workload_unit.rfind('.');
    const auto has_user = [&](const std::string& wanted) {
        return wanted == identity.user || wanted == fmt::format("{}", identity.uid);
    };
    const auto has_port = [&](std::uint16_t wanted) { return std::ranges::binary_search(identity.ports, wanted); };
    return (exe.empty() || any_glob(exe, identity.exe)) && (comm.empty() || any_glob(comm, identity.comm)) &&
           (cgroup.empty() || any_glob(cgroup, identity.cgroup)) &&
           (unit.empty() || any_glob(unit, workload_unit) || any_glob(unit, workload_unit.substr(0, suffix))) &&
           (image.empty() || any_glob(image, identity.image) || any_glob(image, identity.workload.container_id)) &&
           (user.empty() || std::ranges::any_of(user, has_user)) &&
           (port.empty() || std::ranges::any_of(port, has_port)) &&
           (cmdline.empty() || std::ranges::any_of(cmdline, [&](const SearchPattern& pattern) {
                return pattern.found_in(identity.cmdline);
            }));
}

TargetRules::TargetRules(std::vector<TargetRule> rules, bool deny_agents)
    : rules_(std::move(rules)), deny_agents_(deny_agents)
{
    needs_.add(IdentityField::exe);
    for (const auto& rule : rules_) needs_.bits |= rule.match.needs().bits;
}

TargetRules::Decision TargetRules::decide(const ProcessIdentity& identity) const
{
    using Kind = Decision::Kind;
    if (is_itself(identity) || (deny_agents_ && is_agent(identity))) return {Kind::deny_agent, 0};
    for (std::size_t i = 0; i < rules_.size(); ++i)
        if (rules_[i].match.matches(identity)) return {rules_[i].deny ? Kind::deny : Kind::watch, i};
    return {};
}

// From the packages and container images of these projects. By the path: comm has 15 characters, and an interpreter's
// is the script's.
const std::vector<std::string_view>& known_agents()
{
    static const std::vector<std::string_view> agents = {
        "*/otelcol*",  // OpenTelemetry collector, and its distributions
        "*/otel-collector*",
        "*/opentelemetry-collector*",
        "*/ebpf-profiler*",
        "*/beyla",  // Grafana Beyla; OpenTelemetry eBPF instrumentation
        "*/obi",
        "*/ebpf-instrument",
        "*/alloy",
        "*/parca-agent*",
        "*/pyroscope*",
        "*/coroot-node-agent*",
        "/opt/datadog-agent/*",
        "/opt/datadog-packages/*",
        "*/vizier-pem*",  // Pixie
        "*/pem_bin",
        "*/kelvin_bin",
        "*/falco",
        "*/tetragon",
        "*/tracee*",
        "*/cilium-agent",
        "*/hubble*",
        "*/ig",  // Inspektor Gadget
        "*/gadgettracermanager",
        "*/kepler",
        "*/dynolog",
        "*/systing",
        "*/wprof",
        "*/retsnoop",
        "*/bpftrace*",
        "*/bpftop",
        "*/perf",
        "*/perf_[0-9]*",  // Debian's perf is a wrapper of perf_6.1
        "*/strace",
        "*/gdb",
    };
    return agents;
}

}  // namespace loopwatch
