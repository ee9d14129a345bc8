// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "target/cgroup.hpp"

using namespace loopwatch;

namespace {

const std::string id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const std::string other_id(64, 'a');
const std::string uid = "0d1fb1b6-7a5c-4c3e-9d2f-1234567890ab", systemd_uid = "0d1fb1b6_7a5c_4c3e_9d2f_1234567890ab";

}  // namespace

TEST_CASE("the path is that of the unified hierarchy, else of systemd's own")
{
    CHECK(cgroup_path("0::/system.slice/orders.service\n") == "/system.slice/orders.service");
    CHECK(cgroup_path("12:memory:/a\n1:name=systemd:/system.slice/x.service\n0::/\n") == "/system.slice/x.service");
    CHECK(cgroup_path("12:cpu,cpuacct:/docker/1\n11:memory:/docker/1\n") == "/docker/1");
    CHECK(cgroup_path("0::/\n") == "/");
    CHECK(cgroup_path("0::/a:b/c\n") == "/a:b/c");
    CHECK(cgroup_path("").empty());
    CHECK(cgroup_path("nonsense\n\n:\n").empty());
    CHECK(cgroup_path("0::/" + std::string(10'000, 'x')).size() == 4096);
}

TEST_CASE("a service is named by its unit, an instance by what is behind the @")
{
    CHECK(workload_of("/system.slice/orders.service") == Workload{"orders.service", "", "system.slice", "", "", ""});
    const auto instance = workload_of("/system.slice/system-getty.slice/getty@tty1.service");
    CHECK(instance == Workload{"getty@tty1.service", "tty1", "system.slice", "", "", ""});
    CHECK(workload_of("/system.slice/a@x\\x2dy.service").unit_instance == "x-y");
    CHECK(workload_of("/user.slice/user-1000.slice/session-2.scope").unit == "session-2.scope");
    CHECK(workload_of("/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service").unit == "shop.service");
    CHECK(workload_of("/system.slice/_cpu.service").unit == "cpu.service");
    CHECK(unit_base_name("getty@tty1.service") == "getty");
    CHECK(unit_base_name("orders.service") == "orders");
    CHECK(unit_base_name("session-2.scope") == "session-2");
}

TEST_CASE("each runtime's containers are known by the form of their name")
{
    const std::pair<std::string, const char*> scopes[] = {
        {"/system.slice/docker-" + id + ".scope", "docker"},
        {"/kubepods.slice/cri-containerd-" + id + ".scope", "containerd"},
        {"/kubepods.slice/crio-" + id + ".scope", "crio"},
        {"/machine.slice/libpod-" + id + ".scope", "podman"},
        {"/docker/" + id, "docker"},
        {"/ecs/task/" + id, ""},
        {"/machine.slice/orders.service/libpod-payload-" + id, "podman"},
        {"/system.slice/containerd.service/kubepods-burstable-pod" + systemd_uid + ".slice:cri-containerd:" + id,
         "containerd"},
        {"/../../system.slice/docker-" + id + ".scope", "docker"},
    };
    for (const auto& [path, runtime] : scopes) {
        INFO(path);
        CHECK(workload_of(path).container_id == id);
        CHECK(workload_of(path).container_runtime == runtime);
    }
    const auto machine = workload_of("/machine.slice/machine-web\\x2d1.scope");
    CHECK(machine.container_id == "web-1");
    CHECK(machine.container_runtime == "nspawn");
    CHECK(workload_of("/lxc.payload.db").container_id == "db");
}

TEST_CASE("a pod is known by its uid, of either driver")
{
    for (const auto& path : {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + systemd_uid +
                                 ".slice/cri-containerd-" + id + ".scope",
                             "/kubepods/burstable/pod" + uid + "/" + id, "/kubepods/pod" + uid + "/" + id}) {
        INFO(path);
        CHECK(workload_of(path).pod_uid == uid);
        CHECK(workload_of(path).container_id == id);
        CHECK(workload_of(path).unit.empty());
    }
    CHECK(workload_of("/kubepods/burstable/pod0123456789abcdef0123456789abcdef/" + id).pod_uid ==
          "0123456789abcdef0123456789abcdef");
}

TEST_CASE("of nested ones the innermost container and unit count, and the outermost slice")
{
    const auto nested = workload_of("/system.slice/docker-" + other_id + ".scope/system.slice/docker-" + id + ".scope");
    CHECK(nested.container_id == id);
    CHECK(nested.slice == "system.slice");
    const auto inside = workload_of("/kubepods.slice/docker-" + id + ".scope/system.slice/orders.service");
    CHECK(inside == Workload{"orders.service", "", "kubepods.slice", id, "docker", ""});
}

TEST_CASE("names that only look like a container or a pod are none")
{
    for (const auto& path : {"/system.slice/docker-" + id.substr(1) + ".scope", "/docker-" + id + "0.scope",
                             "/docker/" + std::string(64, 'G'), "/libpod-conmon-" + id + ".scope",
                             "/crio-conmon-" + id + ".scope", std::string("/machine.slice/lxc.payload.")}) {
        INFO(path);
        CHECK(workload_of(path).container_id.empty());
    }
    for (const auto& path : {"/kubepods/pod" + uid.substr(1), "/kubepods/pod" + uid + "0", std::string("/podracer"),
                             "/x-pod" + uid, "/kubepods/pod" + std::string(36, '-'), std::string("/kubepods/pod")}) {
        INFO(path);
        CHECK(workload_of(path).pod_uid.empty());
    }
    CHECK(workload_of("/.service/.scope") == Workload{});
    CHECK(workload_of("/libpod-conmon-" + id + ".scope").unit.empty());
}

TEST_CASE("hostile paths are bounded")
{
    std::string deep;
    for (int i = 0; i < 2000; ++i) deep += "/a";
    CHECK(workload_of(deep + "/late.service").unit.empty());
    CHECK(workload_of("/" + std::string(256, 'x') + ".service").unit.empty());
    std::mt19937 random(4711);
    const std::string parts[] = {"/",    "docker-",  id,    ".scope",   ".slice",  "pod", uid,
                                 "@",    "\\x2d",    "\\x", ":",        "..",      "\n",  std::string(1, '\0'),
                                 "\xff", ".service", "_",   "machine-", "kubepods"};
    for (int i = 0; i < 20'000; ++i) {
        std::string path;
        for (int part = 0; part < 12; ++part) path += parts[random() % std::size(parts)];
        const auto workload = workload_of(path);
        CHECK(workload.unit.size() + workload.container_id.size() + workload.pod_uid.size() < 800);
        cgroup_path("0:" + path);
    }
}
