// SPDX-License-Identifier: Apache-2.0
#include "target/labels.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>

#include "util/fd.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

// A label is repeated with each record: what is longer is no name.
constexpr std::size_t longest_label = 256;
constexpr std::size_t most_environ_bytes = 1 << 18;  // twice what one argument or variable may have, MAX_ARG_STRLEN
constexpr std::size_t short_build_id = 12;

struct ListedName {
    std::string_view name;
    std::string ListedEnvironment::*value;
};
constexpr ListedName listed_names[] = {
    {"OTEL_SERVICE_NAME", &ListedEnvironment::otel_service_name},
    {"DD_SERVICE", &ListedEnvironment::dd_service},
    {"DD_VERSION", &ListedEnvironment::dd_version},
    {"SERVICE_VERSION", &ListedEnvironment::service_version},
    {"POD_NAME", &ListedEnvironment::pod_name},
    {"POD_NAMESPACE", &ListedEnvironment::pod_namespace},
    {"HOSTNAME", &ListedEnvironment::hostname},
};

// Cut before a character that does not fit whole.
std::string label(std::string_view text)
{
    auto valid = sanitize_utf8(text.substr(0, longest_label));
    auto end = std::min(valid.size(), longest_label);
    while (end < valid.size() && end > 0 && (static_cast<unsigned char>(valid[end]) & 0xc0) == 0x80) --end;
    valid.resize(end);
    return valid;
}

std::string first_of(std::initializer_list<std::string_view> choices)
{
    for (const auto choice : choices)
        if (!choice.empty()) return label(choice);
    return {};
}

// "orders" of "registry.example/shop/orders:1.2@sha256:…". An id has no name in it.
std::string_view image_base_name(std::string_view image)
{
    if (image.starts_with("sha256:")) return {};
    image = image.substr(image.rfind('/') + 1);
    return image.substr(0, image.find_first_of(":@"));
}

// Of a login session or a user's manager nothing is learnt about the program in it.
std::string_view service_of(const Workload& workload)
{
    const std::string_view unit = workload.unit;
    if (!unit.ends_with(".service") || unit.starts_with("user@")) return {};
    return unit_base_name(unit);
}

}  // namespace

ListedEnvironment listed_environment(std::string_view environ)
{
    ListedEnvironment listed;
    while (!environ.empty()) {
        const auto entry = environ.substr(0, environ.find('\0'));
        environ.remove_prefix(std::min(entry.size() + 1, environ.size()));
        const auto equals = entry.find('=');
        if (equals == entry.npos) continue;
        const auto name = entry.substr(0, equals), value = entry.substr(equals + 1);
        if (name == "KUBERNETES_SERVICE_HOST") listed.in_kubernetes = true;
        // The first of several counts, as for getenv(3).
        for (const auto& known : listed_names)
            if (name == known.name && (listed.*known.value).empty()) listed.*known.value = label(value);
    }
    return listed;
}

ListedEnvironment read_listed_environment(pid_t pid)
{
    // Read to its place at once: a text that grows leaves copies behind.
    std::vector<char> bytes(most_environ_bytes);
    const Fd file(::open(fmt::format("/proc/{}/environ", pid).c_str(), O_RDONLY | O_CLOEXEC));
    std::size_t size = 0;
    for (ssize_t got = 0; size < bytes.size(); size += static_cast<std::size_t>(got))
        if ((got = ::read(file.raw(), bytes.data() + size, bytes.size() - size)) <= 0) break;
    auto listed = listed_environment({bytes.data(), size});
    ::explicit_bzero(bytes.data(), size);
    return listed;
}

TargetLabels target_labels(const ProcessIdentity& identity, const LabelSources& sources)
{
    static const ListedEnvironment none;
    const auto& environment = sources.environment != nullptr ? *sources.environment : none;
    const auto& workload = identity.workload;
    const bool is_pod = !workload.pod_uid.empty() || environment.in_kubernetes;
    TargetLabels labels;
    labels.service =
        first_of({sources.rule_service, sources.context_service, environment.otel_service_name, environment.dd_service,
                  service_of(workload), image_base_name(identity.image), base_name(identity.exe), identity.comm});
    labels.version = first_of({sources.rule_version, sources.context_version, environment.dd_version,
                               environment.service_version, sources.build_id.substr(0, short_build_id)});
    labels.instance = label(sources.context_instance);
    labels.unit = label(workload.unit);
    labels.unit_instance = label(workload.unit_instance);
    labels.slice = label(workload.slice);
    labels.container_id = label(workload.container_id);
    labels.container_runtime = label(workload.container_runtime);
    labels.image = label(identity.image);
    labels.pod_name = first_of({environment.pod_name, is_pod ? environment.hostname : std::string_view()});
    labels.pod_namespace = label(environment.pod_namespace);
    labels.pod_uid = label(workload.pod_uid);
    if (sources.rule_labels != nullptr) labels.custom = *sources.rule_labels;
    return labels;
}

}  // namespace loopwatch
