// SPDX-License-Identifier: Apache-2.0
#include "target/cgroup.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <utility>

namespace loopwatch {

namespace {

constexpr std::size_t longest_path = 4096, longest_part = 255, most_parts = 64;
constexpr std::size_t id_digits = 64;

bool is_hex(std::string_view text)
{
    return text.find_first_not_of("0123456789abcdef") == text.npos;
}

bool is_container_id(std::string_view text)
{
    return text.size() == id_digits && is_hex(text);
}

// What precedes a container's id. crio-conmon-… and libpod-conmon-… are of the runtime's monitor, and have no id here.
constexpr std::pair<std::string_view, std::string_view> scope_prefixes[] = {
    {"docker-", "docker"}, {"cri-containerd-", "containerd"}, {"crio-", "crio"}, {"libpod-payload-", "podman"},
    {"libpod-", "podman"}, {"nerdctl-", "containerd"},
};
// cgroupfs: the directory that the id lies in.
constexpr std::pair<std::string_view, std::string_view> runtime_directories[] = {
    {"docker", "docker"}, {"libpod_parent", "podman"}, {"ecs", "ecs"}, {"crio", "crio"}, {"default", "containerd"},
};

// systemd writes what it does not want in a unit's name as \xNN. Others stay.
std::string without_escapes(std::string_view text)
{
    std::string plain;
    while (!text.empty()) {
        unsigned code = 0;
        if (text.size() >= 4 && text.starts_with("\\x") &&
            std::from_chars(text.data() + 2, text.data() + 4, code, 16).ptr == text.data() + 4 && code != 0) {
            plain += static_cast<char>(code);
            text.remove_prefix(4);
        } else {
            plain += text.front();
            text.remove_prefix(1);
        }
    }
    return plain;
}

// "pod" and the uid, which systemd's driver writes with _ for -. Empty: it is none.
std::string pod_uid_of(std::string_view part)
{
    part = part.substr(0, part.find(':'));  // "kubepods-burstable-podUID.slice:cri-containerd:ID"
    if (part.ends_with(".slice")) part.remove_suffix(6);
    const auto pod = part.starts_with("pod") ? 0 : part.rfind("-pod");
    if (pod == part.npos || (pod != 0 && !part.starts_with("kubepods"))) return {};
    std::string uid(part.substr(pod + (pod == 0 ? 3 : 4)));
    std::ranges::replace(uid, '_', '-');
    if (uid.size() == 32 && is_hex(uid)) return uid;
    std::string digits = uid;
    for (const std::size_t dash : {23, 18, 13, 8}) {
        if (digits.size() <= dash || digits[dash] != '-') return {};
        digits.erase(dash, 1);
    }
    return digits.size() == 32 && is_hex(digits) ? uid : std::string();
}

void read_scope(std::string_view part, Workload& workload)
{
    const auto name = part.substr(0, part.size() - 6);
    if (part.starts_with("machine-")) {
        workload.container_id = without_escapes(name.substr(8));
        workload.container_runtime = "nspawn";
        return;
    }
    for (const auto& [prefix, runtime] : scope_prefixes) {
        if (!name.starts_with(prefix) || !is_container_id(name.substr(prefix.size()))) continue;
        workload.container_id = name.substr(prefix.size());
        workload.container_runtime = runtime;
        return;
    }
    // The runtime's own process beside a container.
    if (name.find("-conmon-") == name.npos) workload.unit = part;
}

// Of the drivers that make plain directories. False: it is none.
bool read_container(std::string_view part, std::string_view parent, Workload& workload)
{
    if (part.starts_with("lxc.payload.") && part.size() > 12) {
        workload.container_id = part.substr(12);
        workload.container_runtime = "lxc";
        return true;
    }
    // "SLICE:cri-containerd:ID": containerd with cgroupfs below systemd's slices.
    auto id = part;
    std::string_view runtime;
    if (const auto colon = part.rfind(':'); colon != part.npos) {
        id = part.substr(colon + 1);
        runtime = part.substr(0, colon);
        runtime = runtime.substr(runtime.rfind(':') + 1) == "cri-containerd" ? "containerd" : "";
    }
    for (const auto& [prefix, name] : scope_prefixes)
        if (id.starts_with(prefix) && is_container_id(id.substr(prefix.size()))) {
            id.remove_prefix(prefix.size());
            runtime = name;
        }
    if (!is_container_id(id)) return false;
    for (const auto& [directory, name] : runtime_directories)
        if (runtime.empty() && parent == directory) runtime = name;
    workload.container_id = id;
    workload.container_runtime = runtime;
    return true;
}

void read_part(std::string_view part, std::string_view parent, Workload& workload)
{
    // systemd puts "_" before names that the kernel has files of.
    if (part.size() > 1 && part.front() == '_') part.remove_prefix(1);
    if (auto uid = pod_uid_of(part); !uid.empty()) workload.pod_uid = std::move(uid);
    if (read_container(part, parent, workload)) return;
    if (part.ends_with(".slice")) {
        if (workload.slice.empty()) workload.slice = part;
    } else if (part.ends_with(".service") && part.size() > 8) {
        workload.unit = part;
    } else if (part.ends_with(".scope") && part.size() > 6) {
        read_scope(part, workload);
    }
}

}  // namespace

std::string cgroup_path(std::string_view proc_cgroup)
{
    std::string_view unified, systemd, first;
    while (!proc_cgroup.empty()) {
        const auto line = proc_cgroup.substr(0, proc_cgroup.find('\n'));
        proc_cgroup.remove_prefix(std::min(line.size() + 1, proc_cgroup.size()));
        // "0::/path", "4:memory:/path", "1:name=systemd:/path"; a path may hold colons.
        const auto number_end = line.find(':');
        const auto controllers_end = number_end == line.npos ? line.npos : line.find(':', number_end + 1);
        if (controllers_end == line.npos) continue;
        const auto controllers = line.substr(number_end + 1, controllers_end - number_end - 1);
        const auto path = line.substr(controllers_end + 1);
        if (controllers.empty()) unified = path;
        if (controllers == "name=systemd") systemd = path;
        if (first.size() <= 1) first = path;
    }
    // On a hybrid host the unified hierarchy may be there and empty: all are at its root.
    const auto chosen = unified.size() > 1 ? unified : systemd.size() > 1 ? systemd : first.empty() ? unified : first;
    return std::string(chosen.substr(0, longest_path));
}

Workload workload_of(std::string_view path)
{
    Workload workload;
    path = path.substr(0, longest_path);
    std::string_view parent;
    for (std::size_t parts = 0; !path.empty() && parts < most_parts; ++parts) {
        const auto part = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(part.size() + 1, path.size()));
        // "..": the reader is in a control group namespace below.
        if (part.empty() || part == ".." || part.size() > longest_part) continue;
        read_part(part, parent, workload);
        parent = part;
    }
    const auto at = workload.unit.find('@');
    const auto dot = workload.unit.rfind('.');
    if (at != std::string::npos && dot != std::string::npos && at < dot)
        workload.unit_instance = without_escapes(std::string_view(workload.unit).substr(at + 1, dot - at - 1));
    return workload;
}

std::string_view unit_base_name(std::string_view unit)
{
    unit = unit.substr(0, unit.find('@'));
    for (const std::string_view suffix : {".service", ".scope"})
        if (unit.ends_with(suffix)) return unit.substr(0, unit.size() - suffix.size());
    return unit;
}

}  // namespace loopwatch
