// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <string>

#include "daemon/config.hpp"
#include "daemon/config_keys.hpp"
#include "daemon/config_text.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;

namespace {

LoadedConfig parsed(const std::string& text, const ConfigSources& sources = {})
{
    return parse_config(text, "f", sources);
}

Config right(const std::string& text, const ConfigSources& sources = {})
{
    const auto loaded = parsed(text, sources);
    for (const auto& problem : loaded.problems) FAIL_CHECK(problem.line());
    return loaded.config;
}

std::vector<std::string> lines(const LoadedConfig& loaded)
{
    std::vector<std::string> all;
    for (const auto& problem : loaded.problems) all.push_back(problem.line());
    return all;
}

std::string only_error(const std::string& text)
{
    const auto all = lines(parsed(text));
    INFO(text);
    for (const auto& line : all) UNSCOPED_INFO(line);
    REQUIRE(all.size() == 1);
    return all.front();
}

std::string origin_of(const LoadedConfig& loaded, const std::string& key)
{
    const auto found = std::ranges::find(loaded.settings, key, &Setting::key);
    return found == loaded.settings.end() ? "unset" : found->origin;
}

}  // namespace

TEST_CASE("without a file the defaults hold, and each is right")
{
    const auto config = right("");
    CHECK(config.limits ==
          LimitSettings{1, 128u << 20, 512u << 20, 7 * 86'400'000'000'000ull, 1024, 256, 1, 60, 300'000'000'000, 512});
    CHECK(config.defaults ==
          DefaultSettings{100'000'000, 10'000'000, 60'000'000'000, 1'000'000'000, {}, false, false, true, true});
    CHECK(config.paths == PathSettings{"/var/lib/loopwatch", "/run/loopwatch"});
    CHECK((config.targets.empty() && config.sinks.empty() && config.dumps.empty()));
}

TEST_CASE("every key arrives")
{
    const auto config = right(R"(
[limits]
cpu = "2.5%"
memory = "64MiB"
journal = "1GiB"
journal_age = "2d"
loops = 7
targets = 8
findings_rate = 0.5
findings_burst = 9
fingerprint_interval = "10s"
fingerprints = 10
[defaults]
threshold = "50ms"
block_threshold = "5ms"
interval = "10s"
min_age = "2s"
suppressions = ["/a", "/b"]
coroutines = true
kernel_stacks = true
follow_children = false
deny_agents = false
[paths]
state = "/s"
run = "/r"
[[target]]
match = {exe = "/usr/bin/*", comm = ["a", "b*"], cmdline = "--x=[0-9]+", cgroup = "/c*", unit = "u", image = "i", port = [80, 443], user = ["www-data", 33]}
threshold = "20ms"
block_threshold = "2ms"
coroutines = false
suppressions = ["/c"]
labels = {team = "shop"}
service = "orders"
version = "1"
[[target]]
match.exe = "*"
deny = true
[[sink]]
type = "file"
path = "/var/log/loopwatch.ndjson"
[[dump]]
when = "hold > 2s"
[[dump]]
when = "block>500ms"
keep = 3
)");
    CHECK(config.limits ==
          LimitSettings{2.5, 64u << 20, 1u << 30, 2 * 86'400'000'000'000ull, 7, 8, 0.5, 9, 10'000'000'000, 10});
    CHECK(
        config.defaults ==
        DefaultSettings{50'000'000, 5'000'000, 10'000'000'000, 2'000'000'000, {"/a", "/b"}, true, true, false, false});
    CHECK(config.paths == PathSettings{"/s", "/r"});
    REQUIRE(config.targets.size() == 2);
    TargetRule first;
    first.match = {{"/usr/bin/*"},     {"a", "b*"}, {*SearchPattern::parse("--x=[0-9]+")}, {"/c*"}, {"u"}, {"i"},
                   {"www-data", "33"}, {80, 443}};
    first.threshold_ns = 20'000'000;
    first.block_threshold_ns = 2'000'000;
    first.coroutines = false;
    first.suppressions = {"/c"};
    first.labels = {{"team", "shop"}};
    first.service = "orders";
    first.version = "1";
    CHECK(config.targets[0] == first);
    CHECK(config.targets[1].deny);
    CHECK_FALSE(config.targets[1].threshold_ns);
    REQUIRE(config.sinks.size() == 1);
    CHECK(config.sinks[0].option("path") == "/var/log/loopwatch.ndjson");
    CHECK(config.dumps == std::vector<DumpRule>{{DumpRule::Subject::hold, 2'000'000'000, 20},
                                                {DumpRule::Subject::block, 500'000'000, 3}});
}

TEST_CASE("each kind of error is one line with its place and what to write instead")
{
    const std::pair<const char*, const char*> cases[] = {
        {"[limits", "f:1:"},
        {"[limits]\ncpu = \"1%\"\ncpu = \"2%\"", "f:3:"},
        {"[limit]\n", "f:1:2: limit is no section (did you mean limits?)"},
        {"x = 1", "f:1:1: x is no section (one of limits, defaults, paths, target, sink, dump)"},
        {"limits = 3", "f:1:10: limits is an integer (write [limits])"},
        {"[defaults]\ntreshold = \"1s\"", "f:2:1: treshold is no key of defaults (did you mean threshold?)"},
        {"[paths]\nxyz = 1", "f:2:1: xyz is no key of paths (one of state, run)"},
        {"[defaults]\nthreshold = 100",
         "f:2:13: defaults.threshold is an integer: 100 (write a duration with its unit, such as \"100ms\")"},
        {"[defaults]\nthreshold = \"100\"", "f:2:13: defaults.threshold: \"100\" has no unit (did you mean 100ms?)"},
        {"[defaults]\nthreshold = \"1ns\"", "f:2:13: defaults.threshold: \"1ns\" is too short (at least 1 us)"},
        {"[limits]\ncpu = \"1\"", "f:2:7: limits.cpu: \"1\" is no percentage (write a number and %, such as \"1%\")"},
        {"[limits]\ncpu = 1", "f:2:7: limits.cpu is an integer: 1 (write a percentage, such as \"1%\")"},
        {"[limits]\ncpu = \"200%\"", "f:2:7: limits.cpu: \"200%\" is out of range (from 0.01% to 100%)"},
        {"[limits]\ncpu = \"nan%\"", "f:2:7: limits.cpu: \"nan%\" is out of range (from 0.01% to 100%)"},
        {"[limits]\nmemory = \"1KiB\"", "f:2:10: limits.memory: \"1KiB\" is too small (at least 32 MiB)"},
        {"[limits]\nmemory = \"128\"", "f:2:10: limits.memory: \"128\" has no unit (did you mean 128MiB?)"},
        {"[limits]\nloops = \"7\"", "f:2:9: limits.loops is a text: \"7\" (write a whole number without quotes)"},
        {"[limits]\nloops = 1.5", "f:2:9: limits.loops is a number: 1.5 (write a whole number without quotes)"},
        {"[limits]\nloops = 0", "f:2:9: limits.loops: 0 is out of range (from 1 to 4096)"},
        {"[limits]\nfindings_rate = nan", "f:2:17: limits.findings_rate: nan is out of range (from 0.001 to 1000)"},
        {"[defaults]\ncoroutines = \"yes\"",
         "f:2:14: defaults.coroutines is a text: \"yes\" (write true or false, without quotes)"},
        {"[defaults]\nsuppressions = \"/a\"",
         "f:2:16: defaults.suppressions is a text: \"/a\" (write a list of paths, such as "
         "[\"/etc/loopwatch/suppressions\"])"},
        {"[defaults]\nsuppressions = [\"a\"]",
         "f:2:17: defaults.suppressions: \"a\" is no absolute path (begin it with /)"},
        {"[paths]\nrun = \"\"", "f:2:7: paths.run is empty (write an absolute path in quotes)"},
        {"[paths]\nrun = 2026-01-01", "f:2:7: paths.run is a date or time: \"\" (write an absolute path in quotes)"},
        {"[[target]]\nservice = \"x\"", "f:1:1: target[0] has no match (All of its conditions must hold.)"},
        {"[target]\nmatch.exe = \"*\"", "f:1:2: target is a table (write [[target]], once for each)"},
        {"[[target]]\nmatch = {}", "f:2:9: target[0].match is empty (write match = {exe = \"*\"} for all processes)"},
        {"[[target]]\nmatch = \"x\"", "f:2:9: target[0].match is no table (write match = {exe = \"/usr/bin/server\"})"},
        {"[[target]]\nmatch = {exec = \"x\"}", "f:2:10: exec is no key of target[0].match (did you mean exe?)"},
        {"[[target]]\nmatch = {exe = \"[a\"}",
         "f:2:16: target[0].match.exe: \"[a\" has a [ without its ] (*, ?, [a-z] and \\)"},
        {"[[target]]\nmatch = {cmdline = \"(\"}",
         "f:2:20: target[0].match.cmdline: \"(\" is no regular expression: missing ): ( (the syntax is that of RE2: no "
         "back references, no look-around)"},
        {"[[target]]\nmatch = {port = 70000}", "f:2:17: target[0].match.port: 70000 is out of range (from 1 to 65535)"},
        {"[[target]]\nmatch = {user = true}",
         "f:2:17: target[0].match.user is a boolean: true (write the name or number of a user, or a list of them)"},
        {"[[target]]\nmatch.exe = \"*\"\nlabels = {\"a b\" = \"x\"}",
         "f:3:11: target[0].labels: \"a b\" is no name of a label (letters, digits and _, at most 64, not beginning "
         "with a digit or __)"},
        {"[[target]]\nmatch.exe = \"*\"\nlabels = {a = 1}",
         "f:3:15: target[0].labels is an integer: 1 (write a text in quotes)"},
        {"[[sink]]\npath = \"/x\"", "f:1:1: sink[0] has no type (write type = \"file\")"},
        {"[[sink]]\ntype = \"files\"", "f:2:8: \"files\" is no type of sink (the types are: file)"},
        {"[[sink]]\ntype = \"file\"",
         "f:1:1: sink[0] has no path (The file; records are appended, an object of JSON a line.)"},
        {"[[sink]]\ntype = \"file\"\npath = \"/x\"\nurl = 1", "f:4:1: url is no key of sink[0] (one of path, type)"},
        {"[[dump]]\nwhen = \"hold < 2s\"",
         "f:2:8: dump[0].when: \"hold < 2s\" is no condition (write \"hold > 2s\" or \"block > 2s\")"},
        {"[[dump]]\nwhen = \"hold > 2\"", "f:2:8: dump[0].when: \"2\" has no unit (did you mean 2ms?)"},
        {"[[dump]]\nwhen = \"hold >\"",
         "f:2:8: dump[0].when: \"\" is not a duration (write a number with a unit, such as 50us, 10ms or 1.5s)"},
    };
    for (const auto& [text, line] : cases) {
        const auto error = only_error(text);
        if (std::string(line).ends_with(':'))
            CHECK(error.starts_with(line));
        else
            CHECK(error == line);
    }
}

TEST_CASE("all errors of a file are reported at once, a hundred at most")
{
    CHECK(lines(parsed("[limits]\ncpu = 1\nlops = 2\n[paths]\nrun = \"x\"\n[[target]]\n[[sink]]\n")).size() == 5);
    std::string many = "[limits]\n";
    for (int i = 0; i < 1000; ++i) many += "x" + std::to_string(i) + " = 1\n";
    const auto all = lines(parsed(many));
    CHECK(all.size() == 100);
    CHECK(all.back() == "f: 901 more errors (mend those above first)");
}

TEST_CASE("options win over the environment, that over the file, and that over the defaults")
{
    const std::string file = "[limits]\ncpu = \"2%\"\nloops = 2\ntargets = 2\n";
    ConfigSources sources;
    sources.environment = {"LOOPWATCH_LIMITS_LOOPS=3",
                           "LOOPWATCH_LIMITS_TARGETS=3",
                           "PATH=/bin",
                           "LOOPWATCH_DEBUG=1",
                           "LOOPWATCH_DEFAULTS_SUPPRESSIONS=/a,/b",
                           "LOOPWATCH_DEFAULTS_COROUTINES=true"};
    sources.options = {{"limits.targets", "4", "--set limits.targets"}};
    const auto loaded = parsed(file, sources);
    CHECK(lines(loaded).empty());
    CHECK(loaded.config.limits.cpu_percent == 2);
    CHECK(loaded.config.limits.loops == 3);
    CHECK(loaded.config.limits.targets == 4);
    CHECK(loaded.config.defaults.suppressions == std::vector<std::string>{"/a", "/b"});
    CHECK(loaded.config.defaults.coroutines);
    CHECK(origin_of(loaded, "limits.cpu") == "f:2:1");
    CHECK(origin_of(loaded, "limits.loops") == "env LOOPWATCH_LIMITS_LOOPS");
    CHECK(origin_of(loaded, "limits.targets") == "--set limits.targets");
    CHECK(origin_of(loaded, "limits.memory") == "default");
}

TEST_CASE("what is wrong outside the file is named by where it came from")
{
    ConfigSources sources;
    sources.environment = {"LOOPWATCH_LIMITS_CPU=x", "LOOPWATCH_LIMITS_CUP=1%", "LOOPWATCH_PATHS_RUN"};
    sources.options = {{"limits.loops", "x", "--set limits.loops"}, {"limits.lops", "1", "--set limits.lops"}};
    CHECK(lines(parsed("", sources)) ==
          std::vector<std::string>{
              "env LOOPWATCH_LIMITS_CPU: limits.cpu: \"x\" is no percentage (write a number and %, such as \"1%\")",
              "env LOOPWATCH_LIMITS_CUP: is no setting (did you mean LOOPWATCH_LIMITS_CPU?)",
              "env LOOPWATCH_PATHS_RUN: paths.run is empty (write an absolute path in quotes)",
              "--set limits.loops: limits.loops is a text: \"x\" (write a whole number without quotes)",
              "--set limits.lops: \"limits.lops\" is no key (did you mean limits.loops?)"});
}

TEST_CASE("a file that is missing, too large, or no file is one error")
{
    const TemporaryDirectory directory;
    const auto error = [](const std::string& file) { return lines(load_config({file, {}, {}})); };
    CHECK(error(directory / "none") == std::vector{directory / "none: cannot be read: No such file or directory"});
    CHECK(error(directory / ".") == std::vector{directory / ".: is no regular file"});
    std::ofstream(directory / "large") << std::string((1 << 20) + 1, '#');
    CHECK(error(directory / "large") == std::vector{directory / "large: is larger than 1 MiB"});
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    CHECK(error(directory / "fifo") == std::vector{directory / "fifo: is no regular file"});
    std::ofstream(directory / "right") << "[limits]\nloops = 5\n";
    CHECK(error(directory / "right").empty());
}

TEST_CASE("files of suppressions are looked at")
{
    const TemporaryDirectory directory;
    std::ofstream(directory / "bad") << "allow dns\nfoo\n";
    auto loaded =
        parsed("[defaults]\nsuppressions = [\"" + (directory / "bad") + "\", \"" + (directory / "none") + "\"]");
    check_named_files(loaded, "2026-10-02");
    const auto all = lines(loaded);
    REQUIRE(all.size() == 2);
    CHECK(all[0].starts_with(directory / "bad:2:"));
    CHECK(all[0].ends_with("(defaults.suppressions of f:2:1)"));
    CHECK(all[1].starts_with(directory / "none: cannot be read"));
}

TEST_CASE("what is in force is written as a configuration that means the same")
{
    const std::string text =
        "[limits]\ncpu = \"2%\"\n[[target]]\nmatch = {exe = [\"/a\\\"b\\\\\\\\\", \"\\u0007\"], port = 80}\n"
        "labels = {team = \"shop\"}\n[[target]]\nmatch.unit = \"x\"\ndeny = true\n[[sink]]\ntype = \"file\"\npath = "
        "\"/x\"\n[[dump]]\nwhen = \"hold > 2s\"\n";
    const auto loaded = parsed(text);
    const auto effective = effective_text(loaded.settings);
    CHECK(effective.find("cpu = \"2%\"                                # f:2:1\n") != std::string::npos);
    CHECK(effective.find("keep = 20                                 # default\n") != std::string::npos);
    CHECK(right(effective) == loaded.config);
    const auto json = effective_json(loaded.settings);
    CHECK(json.find("\"cpu\":{\"value\":\"2%\",\"origin\":\"f:2:1\"}") != std::string::npos);
}

TEST_CASE("a reload's changes are a line each")
{
    const auto before = parsed("[limits]\nloops = 1\n[[target]]\nmatch.exe = \"a\"\n").settings;
    const auto after = parsed("[limits]\nloops = 2\n").settings;
    CHECK(config_changes(before, after) ==
          std::vector<std::string>{"limits.loops = 1 -> 2", "target[0].match = {exe = \"a\"} -> unset"});
    CHECK(config_changes(before, before).empty());
}

TEST_CASE("each key of the table is in the reference, once, with a sentence")
{
    const auto reference = config_reference();
    for (const auto& section : config_sections())
        for (const auto& key : section.keys) {
            INFO(section.name << "." << key.name);
            CHECK(reference.find("| `" + std::string(key.name) + "` |") != std::string::npos);
            CHECK(key.doc.ends_with('.'));
            CHECK(std::ranges::count(section.keys, key.name, &KeyRow::name) == 1);
        }
}
