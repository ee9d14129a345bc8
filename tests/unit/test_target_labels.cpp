// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>

#include "target/labels.hpp"

using namespace loopwatch;
using namespace std::string_literals;

TEST_CASE("only the listed names leave an environment")
{
    const auto listed = listed_environment(
        "PATH=/bin\0OTEL_SERVICE_NAME=orders\0DD_SERVICE=dd\0DD_VERSION=7\0SERVICE_VERSION=8\0POD_NAME=orders-1\0"
        "POD_NAMESPACE=shop\0HOSTNAME=orders-1\0AWS_SECRET_ACCESS_KEY=secret\0KUBERNETES_SERVICE_HOST=10.0.0.1\0"s);
    CHECK(listed == ListedEnvironment{"orders", "dd", "7", "8", "orders-1", "shop", "orders-1", true});
    CHECK(listed_environment("XDD_VERSION=1\0DD_VERSIONX=2\0DD_VERSION\0=x\0"s) == ListedEnvironment{});
    CHECK(listed_environment("DD_VERSION=1\0DD_VERSION=2"s).dd_version == "1");
    CHECK(listed_environment("DD_VERSION=a=b"s).dd_version == "a=b");
    CHECK(listed_environment("DD_VERSION=" + std::string(10'000, 'x')).dd_version.size() == 256);
}

TEST_CASE("a value that is no text becomes one, and is cut between characters")
{
    CHECK(listed_environment("DD_VERSION=\xff").dd_version == "\xef\xbf\xbd");
    std::string euros;
    for (int i = 0; i < 100; ++i) euros += "€";
    const auto cut = listed_environment("DD_VERSION=" + euros).dd_version;
    CHECK(cut.size() <= 256);
    CHECK(cut.substr(0, 255) == euros.substr(0, 255));
}

TEST_CASE("the service is named by the most explicit source")
{
    ProcessIdentity identity;
    CHECK(target_labels(identity, {}).service.empty());
    identity.comm = "main";
    CHECK(target_labels(identity, {}).service == "main");
    identity.exe = "/opt/shop/orders-server";
    CHECK(target_labels(identity, {}).service == "orders-server");
    identity.image = "registry.example:5000/shop/orders-image:1.2@sha256:00";
    CHECK(target_labels(identity, {}).service == "orders-image");
    identity.workload.unit = "orders-unit@7.service";
    identity.workload.unit_instance = "7";
    CHECK(target_labels(identity, {}).service == "orders-unit");
    CHECK(target_labels(identity, {}).unit_instance == "7");
    ListedEnvironment environment;
    LabelSources sources;
    sources.environment = &environment;
    environment.dd_service = "orders-dd";
    CHECK(target_labels(identity, sources).service == "orders-dd");
    environment.otel_service_name = "orders-otel";
    CHECK(target_labels(identity, sources).service == "orders-otel");
    sources.context_service = "orders-context";
    CHECK(target_labels(identity, sources).service == "orders-context");
    sources.rule_service = "orders-rule";
    CHECK(target_labels(identity, sources).service == "orders-rule");
}

TEST_CASE("the version comes from the rule, the context, the environment or the build-id")
{
    ProcessIdentity identity;
    ListedEnvironment environment;
    LabelSources sources;
    sources.environment = &environment;
    sources.build_id = "00112233445566778899aabb";
    CHECK(target_labels(identity, sources).version == "001122334455");
    environment.service_version = "1";
    CHECK(target_labels(identity, sources).version == "1");
    environment.dd_version = "2";
    CHECK(target_labels(identity, sources).version == "2");
    sources.context_version = "3";
    CHECK(target_labels(identity, sources).version == "3");
    sources.rule_version = "4";
    CHECK(target_labels(identity, sources).version == "4");
}

TEST_CASE("sessions, users' managers and ids of images name no service")
{
    ProcessIdentity identity;
    identity.exe = "/usr/bin/server";
    for (const char* unit : {"session-2.scope", "user@1000.service"}) {
        identity.workload.unit = unit;
        CHECK(target_labels(identity, {}).service == "server");
    }
    identity.image = "sha256:0123";
    CHECK(target_labels(identity, {}).service == "server");
}

TEST_CASE("a host's name is a pod's only in a pod")
{
    ProcessIdentity identity;
    ListedEnvironment environment;
    environment.hostname = "orders-1";
    LabelSources sources;
    sources.environment = &environment;
    CHECK(target_labels(identity, sources).pod_name.empty());
    environment.in_kubernetes = true;
    CHECK(target_labels(identity, sources).pod_name == "orders-1");
    environment.in_kubernetes = false;
    identity.workload.pod_uid = "0123456789abcdef0123456789abcdef";
    CHECK(target_labels(identity, sources).pod_name == "orders-1");
    environment.pod_name = "orders-2";
    CHECK(target_labels(identity, sources).pod_name == "orders-2");
}
