// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <chrono>
#include <string>

#include "attach/target_rules.hpp"

using namespace loopwatch;
using Kind = TargetRules::Decision::Kind;

namespace {

ProcessIdentity orders()
{
    ProcessIdentity identity;
    identity.pid = 1;
    identity.exe = "/usr/bin/orders-server";
    identity.comm = "orders-server";
    identity.cmdline = "orders-server --port 8080";
    identity.uid = 33;
    identity.user = "www-data";
    identity.cgroup = "/system.slice/orders.service";
    identity.workload = workload_of(identity.cgroup);
    identity.ports = {80, 8080};
    return identity;
}

TargetRule matching(TargetMatch match, bool deny = false)
{
    TargetRule rule;
    rule.match = std::move(match);
    rule.deny = deny;
    return rule;
}

SearchPattern expression(const char* text)
{
    auto parsed = SearchPattern::parse(text);
    REQUIRE(parsed);
    return *parsed;
}

bool holds(TargetMatch match, const ProcessIdentity& identity = orders())
{
    return match.matches(identity);
}

}  // namespace

TEST_CASE("each condition holds of what it names")
{
    CHECK(holds({.exe = {"/usr/bin/*"}}));
    CHECK_FALSE(holds({.exe = {"orders-server"}}));
    CHECK(holds({.comm = {"orders*"}}));
    CHECK(holds({.cmdline = {expression("--port (80|8080)$")}}));
    CHECK_FALSE(holds({.cmdline = {expression("^--port")}}));
    CHECK(holds({.cgroup = {"/system.slice/*"}}));
    CHECK(holds({.unit = {"orders.service"}}));
    CHECK(holds({.unit = {"orders"}}));
    CHECK_FALSE(holds({.unit = {"order"}}));
    CHECK(holds({.user = {"www-data"}}));
    CHECK(holds({.user = {"33"}}));
    CHECK_FALSE(holds({.user = {"3"}}));
    CHECK(holds({.port = {8080}}));
    CHECK_FALSE(holds({.port = {8081}}));
    auto identity = orders();
    identity.image = "shop/orders:1";
    identity.workload.container_id = "0123";
    CHECK(holds({.image = {"shop/*"}}, identity));
    CHECK(holds({.image = {"01*"}}, identity));
}

TEST_CASE("of the values of a condition one must hold, of the conditions all")
{
    CHECK(holds({.exe = {"/bin/x", "/usr/bin/orders-server"}, .port = {1, 80}}));
    CHECK_FALSE(holds({.exe = {"/usr/bin/orders-server"}, .port = {1}}));
    CHECK(holds({}));
}

TEST_CASE("what is unknown matches nothing")
{
    CHECK_FALSE(holds({.image = {"*"}}));
    ProcessIdentity unknown;
    for (const auto& match : {TargetMatch{.exe = {"*"}}, TargetMatch{.unit = {"*"}}, TargetMatch{.cgroup = {"*"}},
                              TargetMatch{.port = {1}}})
        CHECK_FALSE(match.matches(unknown));
}

TEST_CASE("the first rule that matches decides")
{
    const TargetRules rules({matching({.exe = {"/opt/*"}}), matching({.port = {80}}, true), matching({.exe = {"*"}})});
    CHECK(rules.decide(orders()).kind == Kind::deny);
    CHECK(rules.decide(orders()).rule == 1);
    auto identity = orders();
    identity.ports.clear();
    CHECK(rules.decide(identity).kind == Kind::watch);
    CHECK(rules.decide(identity).rule == 2);
    identity.exe.clear();
    CHECK(rules.decide(identity).kind == Kind::no_rule);
    CHECK(TargetRules({}).decide(orders()).kind == Kind::no_rule);
}

TEST_CASE("other observers are denied before any rule, unless that is switched off; loopwatch always")
{
    const auto all = [] { return std::vector{matching({.exe = {"*"}})}; };
    for (const char* exe :
         {"/usr/bin/otelcol-contrib", "/beyla", "/obi", "/bin/parca-agent", "/usr/bin/coroot-node-agent",
          "/app/src/vizier/services/agent/pem/pem_bin", "/opt/datadog-agent/bin/agent/agent", "/usr/bin/falco",
          "/usr/bin/tetragon", "/usr/bin/bpftrace", "/usr/bin/perf", "/usr/bin/perf_6.1"}) {
        INFO(exe);
        auto identity = orders();
        identity.exe = exe;
        CHECK(TargetRules(all()).decide(identity).kind == Kind::deny_agent);
        CHECK(TargetRules(all(), false).decide(identity).kind == Kind::watch);
    }
    auto itself = orders();
    itself.exe = "/usr/bin/loopwatch";
    CHECK(TargetRules(all(), false).decide(itself).kind == Kind::deny_agent);
    for (const char* exe : {"/usr/bin/performance-server", "/usr/bin/configobi", "/opt/shop/loopwatch-demo"}) {
        INFO(exe);
        auto identity = orders();
        identity.exe = exe;
        CHECK(TargetRules(all()).decide(identity).kind == Kind::watch);
    }
}

TEST_CASE("rules need only the fields that they look at")
{
    const auto needs = [](TargetMatch match) { return TargetRules({matching(std::move(match))}).needs(); };
    CHECK(needs({}).has(IdentityField::exe));
    CHECK_FALSE(needs({.comm = {"x"}}).has(IdentityField::ports));
    CHECK(needs({.port = {1}}).has(IdentityField::ports));
    CHECK(needs({.unit = {"x"}}).has(IdentityField::cgroup));
    CHECK(needs({.image = {"x"}}).has(IdentityField::image));
    CHECK(needs({.user = {"x"}}).has(IdentityField::user));
    CHECK(needs({.cmdline = {expression("x")}}).has(IdentityField::cmdline));
    CHECK_FALSE(needs({.exe = {"x"}}).has(IdentityField::cmdline));
}

TEST_CASE("a hostile command line takes no time that grows with the expression's")
{
    const auto pattern = expression("(a+)+(a+)+(a+)+b");
    const auto before = std::chrono::steady_clock::now();
    CHECK_FALSE(pattern.found_in(std::string(4096, 'a')));
    CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(1));
}

TEST_CASE("expressions see every byte of a command line")
{
    CHECK(expression("a.*z").found_in("a\xff\n\xfe z"));
    CHECK(expression("caf\xc3\xa9").found_in("caf\xc3\xa9"));
}

TEST_CASE("an expression that is none is a usage error")
{
    for (const char* bad : {"(", "[a", "a{2,1}", "(?=x)", "(a)\\1", "((((a{100}){100}){100}){100})"}) {
        INFO(bad);
        const auto parsed = SearchPattern::parse(bad);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == ExitCode::usage);
    }
    CHECK_FALSE(SearchPattern::parse(std::string(513, 'a')));
}
