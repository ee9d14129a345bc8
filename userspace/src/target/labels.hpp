// SPDX-License-Identifier: Apache-2.0
//
// What a target's findings are labelled with: which service and version it is, and where it runs. The most explicit
// source wins: a rule, what the process publishes for OpenTelemetry, a few environment variables, its unit, its image.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "target/process_identity.hpp"

namespace loopwatch {

using LabelList = std::vector<std::pair<std::string, std::string>>;

// Values of the environment that a process was started with. An environment holds secrets: of all its variables only
// these are copied, and the memory it was read to is cleared. Empty: not set. At most 256 bytes each.
struct ListedEnvironment {
    std::string otel_service_name, dd_service;
    std::string dd_version, service_version;
    std::string pod_name, pod_namespace;
    std::string hostname;        // of a pod: its name
    bool in_kubernetes = false;  // KUBERNETES_SERVICE_HOST is set

    bool operator==(const ListedEnvironment&) const = default;
};
ListedEnvironment read_listed_environment(pid_t pid);
// `environ`: the contents of /proc/PID/environ, "NAME=value" with NULs between them.
ListedEnvironment listed_environment(std::string_view environ);

// Of one target. Views of what the caller keeps until target_labels() returns.
struct LabelSources {
    std::string_view rule_service, rule_version;        // empty: the rule has none
    const LabelList* rule_labels = nullptr;             // may be null
    std::string_view context_service, context_version;  // OTEL_CTX's service.name and service.version
    std::string_view context_instance;                  // service.instance.id
    const ListedEnvironment* environment = nullptr;     // may be null
    std::string_view build_id;                          // of the executable, hexadecimal
};

// Each value is valid UTF-8 and at most 256 bytes; empty: unknown.
struct TargetLabels {
    std::string service;  // the base name of the program if nothing else is known
    std::string version;  // else the first 12 digits of the build-id
    std::string instance;
    std::string unit, unit_instance, slice;
    std::string container_id, container_runtime, image;
    std::string pod_name, pod_namespace, pod_uid;
    LabelList custom;  // of the rule

    bool operator==(const TargetLabels&) const = default;
};
TargetLabels target_labels(const ProcessIdentity& identity, const LabelSources& sources);

}  // namespace loopwatch
