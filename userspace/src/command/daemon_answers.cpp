// SPDX-License-Identifier: Apache-2.0
//
// What the daemon answers on its socket, and what a reload does.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <sstream>
#include <string>

#include "command/daemon_service.hpp"
#include "detect/target_records.hpp"
#include "util/duration.hpp"
#include "util/log.hpp"
#include "util/text.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

using Json = nlohmann::json;

constexpr double second = 1e9;
constexpr std::size_t most_smaps_bytes = 4u << 20;

// Without what it has mapped of BPF maps, which are counted by themselves.
std::uint64_t resident_bytes(pid_t pid)
{
    std::istringstream mappings(read_proc(pid, "smaps", most_smaps_bytes).value_or(""));
    std::uint64_t kib = 0;
    bool counts = false;
    for (std::string line; std::getline(mappings, line);) {
        std::uint64_t of_mapping = 0;
        if (std::sscanf(line.c_str(), "Rss: %" SCNu64, &of_mapping) == 1)
            kib += counts ? of_mapping : 0;
        else if (const auto colon = line.find(':'); colon == std::string::npos || colon > line.find('-'))
            counts = line.find("bpf-map") == std::string::npos;  // a mapping's first line
    }
    return kib * 1024;
}

Json journal_json(const JournalStats& stats)
{
    Json lost = Json::object();
    for (std::size_t reason = 0; reason < journal_losses; ++reason)
        lost[std::string(journal_loss_names[reason])] = stats.lost[reason];
    return {{"next_seq", stats.next_seq},
            {"records", stats.records},
            {"raw_bytes", stats.raw_bytes},
            {"written_bytes", stats.written_bytes},
            {"segments", stats.segments},
            {"segment_bytes", stats.segment_bytes},
            {"removed_segments", stats.removed_segments},
            {"removed_records", stats.removed_records},
            {"healed_bytes", stats.healed_bytes},
            {"queued_bytes", stats.queued_bytes},
            {"lost", std::move(lost)},
            {"last_failure", stats.last_failure}};
}

// Read once, at the start.
bool needs_restart(const std::string& change)
{
    constexpr std::string_view fixed[] = {"paths.",   "limits.loops",      "limits.journal",
                                          "limits.f", "defaults.interval", "sink["};
    return std::ranges::any_of(fixed, [&](std::string_view key) { return change.starts_with(key); });
}

}  // namespace

std::string DaemonService::why_unhealthy() const
{
    if (!canary_sink_->is_healthy(monotonic_ns()))
        return "the canary was not found: this daemon does not see what blocks";
    const auto stats = journal_->stats();
    if (!stats.last_failure.empty()) return "the journal cannot be written: " + stats.last_failure;
    if (const auto& failure = session_->session->worker().start_failure()) return failure->what;
    return "";
}

Json DaemonService::status() const
{
    const auto now = monotonic_ns();
    const auto overhead = session_->session->overhead();
    const auto& targets = session_->session->engine().targets();
    std::size_t loops = 0;
    for (const auto& [pid, target] : targets) loops += target->known_loops().size();
    const auto unhealthy = why_unhealthy();
    const std::uint64_t core = resident_bytes(::getpid()), worker = resident_bytes(session_->session->worker().pid()),
                        maps = overhead.map_bytes.value_or(0);
    Json lost = Json::object();
    for (const auto& [name, count] : session_->session->losses())
        if (count != 0) lost[name] = count;
    return {{"healthy", unhealthy.empty()},
            {"reason", unhealthy},
            {"version", LOOPWATCH_VERSION},
            {"instance", journal_->instance()},
            {"pid", ::getpid()},
            {"uptime_s", static_cast<double>(now - started_ns_) / second},
            {"config", config_options_.file.empty() ? std::string(default_config_file) : config_options_.file},
            {"targets", targets.size() - (targets.contains(static_cast<std::uint32_t>(canary_.pid())) ? 1 : 0)},
            {"loops", loops},
            {"findings", findings_->count()},
            {"effort", effort_name(budget_.effort())},
            {"cpu_percent",
             {{"limit", 100 * budget_.cpu_share()},
              {"last_minute", 100 * budget_.used_share()},
              {"at_present", 100 * budget_.recent_share()}}},
            {"memory_bytes",
             {{"limit", loaded_.config.limits.memory_bytes},
              {"all", core + worker + maps},
              {"core", core},
              {"worker", worker},
              {"maps", maps}}},
            {"canary",
             {{"pid", canary_.pid()},
              {"found", canary_sink_->found()},
              {"period_s", static_cast<double>(canary_.period_ns()) / second},
              {"last_found_s_ago", static_cast<double>(now - canary_sink_->found_ns()) / second}}},
            {"recorder_bytes", recorder_->bytes()},
            {"last_dump", last_dump_},
            {"journal", journal_json(journal_->stats())},
            {"lost", std::move(lost)}};
}

Json DaemonService::targets() const
{
    Json rows = Json::array();
    for (const auto& [pid, target] : session_->session->engine().targets()) {
        if (pid == static_cast<std::uint32_t>(canary_.pid())) continue;
        const auto labels = labels_of_(pid);
        Json loops = Json::array();
        for (const auto& loop : target->known_loops()) loops.push_back(loop.name);
        rows.push_back({{"pid", pid},
                        {"comm", target->comm()},
                        {"service", labels ? labels->service : ""},
                        {"version", labels ? labels->version : ""},
                        {"unit", labels ? labels->unit : ""},
                        {"container", labels ? labels->container_id.substr(0, 12) : ""},
                        {"threshold", format_duration(target->thresholds().slow_ns)},
                        {"block_threshold", format_duration(target->thresholds().block_ns)},
                        {"loops", std::move(loops)},
                        {"tiers", target->tiers()}});
    }
    return {{"targets", std::move(rows)}};
}

// All of it, or none.
Json DaemonService::reload()
{
    notify_.reloading();
    auto loaded = config_options_.load();
    auto errors = Json::array();
    for (const auto& problem : loaded.problems) errors.push_back(problem.line());
    if (has_default_file_ && ::access(default_config_file, F_OK) != 0)
        errors.push_back(std::string(default_config_file) + ": it is not there any more");
    const auto now = monotonic_ns();
    const auto least = least_thresholds(loaded.config), present = *session_->session->options().least;
    if (errors.empty() && (least.slow_ns < present.slow_ns || least.block_ns < present.block_ns))
        errors.push_back(fmt::format("thresholds below {} and {} take effect only at a restart",
                                     format_duration(present.slow_ns), format_duration(present.block_ns)));
    if (!errors.empty()) {
        for (const auto& error : errors) print_warning("reload: " + error.get<std::string>());
        notify_.ready("the new configuration has errors: the old one is in force");
        return {{"error",
                 fmt::format("the new configuration has {}: the old one is in force", counted(errors.size(), "error"))},
                {"errors", errors}};
    }
    const auto changes = config_changes(loaded_.settings, loaded.settings);
    auto applied = Json::array(), at_restart = Json::array();
    for (const auto& change : changes) (needs_restart(change) ? at_restart : applied).push_back(change);
    const auto paths = loaded_.config.paths;
    loaded_ = std::move(loaded);
    loaded_.config.paths = paths;  // where this daemon is, until it is started again
    selection_->replace(loaded_.config);
    suppressions_.read(loaded_.config, today());
    findings_->set_rules(loaded_.config.dumps);
    budget_.set_cpu_share(loaded_.config.limits.cpu_percent / 100);
    session_->source->select_anew(now);
    session_->session->engine().warn(
        fmt::format("the configuration was read again: {}",
                    changes.empty() ? "no change" : fmt::format("{}", fmt::join(changes, "; "))));
    notify_.ready("watching");
    return {{"ok", true},
            {"changes", std::move(applied)},
            {"at_restart", std::move(at_restart)},
            {"took_ms", static_cast<double>(monotonic_ns() - now) / 1e6}};
}

Json DaemonService::dump() const
{
    return {{"lines", recorder_->dump()}};
}

}  // namespace loopwatch
