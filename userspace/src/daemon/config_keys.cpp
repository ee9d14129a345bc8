// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_keys.hpp"

#include <optional>
#include <type_traits>

namespace loopwatch {

namespace {

constexpr NumberRange at_least_one = {1, 1'000'000};

// From a member to the function that stores it. Section::*member may be an optional of its type.
template <class Section, class Member, class Read>
auto storing(Member Section::*member, Read read)
{
    return [member, read](Section& section, const ConfigNode& node, ConfigProblems& problems) {
        if constexpr (requires {
                          typename Member::value_type;
                          (section.*member).has_value();
                      }) {
            typename Member::value_type value{};
            read(node, value, problems);
            section.*member = value;
        } else {
            read(node, section.*member, problems);
        }
    };
}

template <class Member, class Section>
auto duration(Member Section::*member, std::uint64_t least_ns)
{
    return storing(member, [least_ns](const ConfigNode& node, std::uint64_t& to, ConfigProblems& problems) {
        read_duration(node, least_ns, to, problems);
    });
}

template <class Section>
auto size(std::uint64_t Section::*member, std::uint64_t least_bytes)
{
    return storing(member, [least_bytes](const ConfigNode& node, std::uint64_t& to, ConfigProblems& problems) {
        read_size(node, least_bytes, to, problems);
    });
}

template <class Section>
auto count(std::uint32_t Section::*member, NumberRange range)
{
    return storing(member, [range](const ConfigNode& node, std::uint32_t& to, ConfigProblems& problems) {
        read_count(node, range, to, problems);
    });
}

template <auto read, class Section>
auto number(double Section::*member, NumberRange range)
{
    return storing(member, [range](const ConfigNode& node, double& to, ConfigProblems& problems) {
        read(node, range, to, problems);
    });
}

template <class Section>
auto match(TargetMatch Section::*member)
{
    return [member](Section& section, const ConfigNode& node, ConfigProblems& problems) {
        const auto path = problems.key();
        if (node.kind != ConfigNode::Kind::table)
            return problems.add(node.at, "is no table", "write match = {exe = \"/usr/bin/server\"}");
        if (node.entries.empty())
            return problems.add(node.at, "is empty", "write match = {exe = \"*\"} for all processes");
        read_keys(node, path, section.*member, problems);
    };
}

// A shorter one would measure loopwatch's own work.
constexpr std::uint64_t least_threshold_ns = 1'000, least_interval_ns = 1'000'000'000;
constexpr std::uint64_t mib = 1 << 20;
constexpr std::string_view duration_type = "duration", size_type = "size", glob_type = "glob or list of globs";

}  // namespace

template <>
std::span<const ConfigKey<LimitSettings>> keys_of()
{
    using S = LimitSettings;
    static const ConfigKey<S> keys[] = {
        {{"cpu", "percentage", "\"1%\"",
          "Of one CPU, for loopwatch, its kernel side and what its probes cost the targets."},
         number<read_percentage>(&S::cpu_percent, {0.01, 100})},
        {{"memory", size_type, "\"128MiB\"", "Of all processes of loopwatch and its maps in the kernel."},
         size(&S::memory_bytes, 32 * mib)},
        {{"journal", size_type, "\"512MiB\"", "On disk; the oldest records give way."},
         size(&S::journal_bytes, 16 * mib)},
        {{"journal_age", duration_type, "\"7d\"", "Older records are removed."},
         duration(&S::journal_age_ns, 60 * least_interval_ns)},
        {{"loops", "integer", "1024", "Event loops that state is kept for."}, count(&S::loops, {1, 4096})},
        {{"targets", "integer", "256", "Processes that are watched at a time."}, count(&S::targets, {1, 4096})},
        {{"findings_rate", "number", "1", "Findings a second in the long run; what is above it is counted."},
         number<read_number>(&S::findings_rate, {0.001, 1000})},
        {{"findings_burst", "integer", "60", "Findings at once."}, count(&S::findings_burst, at_least_one)},
        {{"fingerprint_interval", duration_type, "\"5m\"",
          "Between two findings of one fingerprint, but for one that took longer than all before."},
         duration(&S::fingerprint_interval_ns, least_interval_ns)},
        {{"fingerprints", "integer", "512", "Of one service; findings of others are counted together."},
         count(&S::fingerprints, at_least_one)},
    };
    return keys;
}

template <>
std::span<const ConfigKey<DefaultSettings>> keys_of()
{
    using S = DefaultSettings;
    static const ConfigKey<S> keys[] = {
        {{"threshold", duration_type, "\"100ms\"", "Report callbacks that hold the loop at least so long."},
         duration(&S::threshold_ns, least_threshold_ns)},
        {{"block_threshold", duration_type, "\"10ms\"", "Report single blocking calls from here on."},
         duration(&S::block_threshold_ns, least_threshold_ns)},
        {{"interval", duration_type, "\"60s\"", "Statistics of each loop every so often."},
         duration(&S::interval_ns, least_interval_ns)},
        {{"min_age", duration_type, "\"1s\"", "A process that is younger has no symbols read and no probes attached."},
         duration(&S::min_age_ns, 1'000'000)},
        {{"suppressions", "list of paths", "[]", "Files of rules for what is known and not to be reported."},
         storing(&S::suppressions, read_paths)},
        {{"coroutines", "boolean", "false", "Without probes: single resumes of C++20 coroutines; each costs."},
         storing(&S::coroutines, read_boolean)},
        {{"kernel_stacks", "boolean", "false", "Also the kernel's stacks, about 3 us each."},
         storing(&S::kernel_stacks, read_boolean)},
        {{"follow_children", "boolean", "true", "Also the processes that a target forks."},
         storing(&S::follow_children, read_boolean)},
        {{"deny_agents", "boolean", "true", "Never watch known observers of other processes, whatever a rule matches."},
         storing(&S::deny_agents, read_boolean)},
    };
    return keys;
}

template <>
std::span<const ConfigKey<PathSettings>> keys_of()
{
    using S = PathSettings;
    static const ConfigKey<S> keys[] = {
        {{"state", "path", "\"/var/lib/loopwatch\"", "The directory of the journal and of dumps."},
         storing(&S::state, read_path)},
        {{"run", "path", "\"/run/loopwatch\"", "The directory of the control socket."}, storing(&S::run, read_path)},
    };
    return keys;
}

template <>
std::span<const ConfigKey<TargetMatch>> keys_of()
{
    using S = TargetMatch;
    static const ConfigKey<S> keys[] = {
        {{"exe", glob_type, "", "Path of the program, as the process itself sees it."}, storing(&S::exe, read_globs)},
        {{"comm", glob_type, "", "Name of the main thread, as ps -o comm shows it."}, storing(&S::comm, read_globs)},
        {{"cmdline", "regular expression or list of them", "",
          "Found anywhere in the arguments, which have a space between them; RE2's syntax."},
         storing(&S::cmdline, read_expressions)},
        {{"cgroup", glob_type, "", "Path of the control group: /system.slice/orders.service."},
         storing(&S::cgroup, read_globs)},
        {{"unit", glob_type, "", "The systemd unit, with or without its .service."}, storing(&S::unit, read_globs)},
        {{"image", glob_type, "", "The container's image, where it is known, or its id."},
         storing(&S::image, read_globs)},
        {{"port", "integer or list of integers", "", "A TCP port that the process listens on."},
         storing(&S::port, read_ports)},
        {{"user", "text, integer or list of them", "", "The real user, by name or number."},
         storing(&S::user, read_users)},
    };
    return keys;
}

template <>
std::span<const ConfigKey<TargetRule>> keys_of()
{
    using S = TargetRule;
    static const ConfigKey<S> keys[] = {
        {{"match", "table of match keys", "", "All of its conditions must hold.", true}, match(&S::match)},
        {{"deny", "boolean", "", "Do not watch these processes."}, storing(&S::deny, read_boolean)},
        {{"threshold", duration_type, "", "As in [defaults]."}, duration(&S::threshold_ns, least_threshold_ns)},
        {{"block_threshold", duration_type, "", "As in [defaults]."},
         duration(&S::block_threshold_ns, least_threshold_ns)},
        {{"coroutines", "boolean", "", "As in [defaults]."}, storing(&S::coroutines, read_boolean)},
        {{"suppressions", "list of paths", "", "Beside those of [defaults]."}, storing(&S::suppressions, read_paths)},
        {{"labels", "table of texts", "", "Labels of each record of these processes."},
         storing(&S::labels, read_labels)},
        {{"service", "text", "", "The service's name, instead of the one that is found out."},
         storing(&S::service, read_text)},
        {{"version", "text", "", "The service's version, instead of the one that is found out."},
         storing(&S::version, read_text)},
    };
    return keys;
}

template <>
std::span<const ConfigKey<DumpRule>> keys_of()
{
    using S = DumpRule;
    static const ConfigKey<S> keys[] = {
        {{"when", "condition", "", "\"hold > 2s\": a callback held its loop; \"block > 2s\": a single call blocked.",
          true},
         [](S& rule, const ConfigNode& node, ConfigProblems& problems) { read_dump_condition(node, rule, problems); }},
        {{"keep", "integer", "20", "Dumps on disk; the oldest gives way."}, count(&S::keep, {1, 1000})},
    };
    return keys;
}

}  // namespace loopwatch
