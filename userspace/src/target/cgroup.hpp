// SPDX-License-Identifier: Apache-2.0
//
// What the path of a process's control group reveals: its systemd unit, container and pod. Pure functions of text. Who
// owns a cgroup names those below it as they like, so a name is a label and never a permission: each part is bounded,
// and accepted only in the exact form that its runtime writes.
#pragma once

#include <string>
#include <string_view>

namespace loopwatch {

// Where a process belongs. Each part is empty if it has none.
struct Workload {
    std::string unit;               // "orders.service", "getty@tty1.service", "session-2.scope": the innermost one
    std::string unit_instance;      // "tty1": of a template's unit, with systemd's escapes resolved
    std::string slice;              // "system.slice", "kubepods.slice": the outermost one
    std::string container_id;       // 64 hexadecimal digits, or the name of a machine: the innermost one
    std::string container_runtime;  // "docker", "containerd", "crio", "podman", "nspawn", "lxc", "ecs"; may be empty
    std::string pod_uid;            // "0d1fb1b6-…" of Kubernetes; 32 digits for a static pod

    bool operator==(const Workload&) const = default;
};

// The path in the contents of /proc/PID/cgroup: that of the unified hierarchy, of systemd's own on a hybrid or v1 host,
// else of the first controller. Empty: none. At most 4,096 bytes.
std::string cgroup_path(std::string_view proc_cgroup);

// Of the path's parts at most the 64 outermost are read, and none that is longer than 255 bytes, as no directory is.
Workload workload_of(std::string_view path);

// "orders" of "orders.service", "getty" of "getty@tty1.service", "session-2" of "session-2.scope".
std::string_view unit_base_name(std::string_view unit);

}  // namespace loopwatch
