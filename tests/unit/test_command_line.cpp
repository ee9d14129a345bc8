// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "command/cli.hpp"
#include "command/ps.hpp"
#include "command/run.hpp"
#include "command/watch.hpp"

using namespace loopwatch;

namespace {

Result<CommandLine> parse(std::vector<const char*> arguments)
{
    arguments.insert(arguments.begin(), "loopwatch");
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

// The command of a line that is right.
template <class T = WatchCommand>
std::unique_ptr<T> command(std::vector<const char*> arguments)
{
    auto parsed = parse(std::move(arguments));
    if (!parsed) FAIL(parsed.error().what);
    REQUIRE_FALSE(parsed->text);
    REQUIRE(dynamic_cast<T*>(parsed->command.get()) != nullptr);
    return std::unique_ptr<T>(static_cast<T*>(parsed->command.release()));
}

}  // namespace

TEST_CASE("watch is the default command, and its options stand before or behind it")
{
    for (auto arguments :
         {std::vector<const char*>{"-p", "1"}, {"watch", "-p", "1"}, {"-p", "1", "watch"}, {"--pid=1"}}) {
        const auto watch = command(arguments);
        const auto& session = watch->session;
        CHECK(watch->processes.pids == std::vector<pid_t>{1});
        CHECK(session.thresholds.slow_ns == 100'000'000);
        CHECK(session.thresholds.block_ns == 10'000'000);
        CHECK(session.interval_ns == 1'000'000'000);
        CHECK(session.duration_ns == 0);
        CHECK(watch->output.files.empty());
        CHECK(watch->output.default_file == "-");
        CHECK(watch->output.default_format == "auto");
        CHECK_FALSE(session.rung);
        CHECK(session.max_overhead_percent == 2);
        CHECK(session.max_loops == 64);
        CHECK_FALSE((session.trace || session.kernel_stacks || watch->output.quiet || watch->output.no_color));
    }
    CHECK(command<PsCommand>({"-p", "7", "ps"})->listing.processes.pids == std::vector<pid_t>{7});
    CHECK(command<PsCommand>({"--interval", "2s", "ps", "-n", "ps"})->listing.processes.name == "ps");
    CHECK(command<Command>({"doctor", "-p", "7"}) != nullptr);
    CHECK(command<Command>({"schema"}) != nullptr);
}

TEST_CASE("every option arrives")
{
    const auto o = command({"-p",
                            "1,2",
                            "-p",
                            "3",
                            "-p",
                            "2",
                            "--threshold",
                            "50us",
                            "--block-threshold=1.5s",
                            "--duration",
                            "2m",
                            "--format",
                            "ndjson",
                            "-o",
                            "x",
                            "--trace",
                            "--max-overhead",
                            "0.5",
                            "--interval",
                            "200ms",
                            "--tid",
                            "5",
                            "--tid",
                            "6,7",
                            "--kernel-stacks",
                            "--fail-on",
                            "slow_callback,deadlock",
                            "--quiet",
                            "--no-color",
                            "--max-loops",
                            "9",
                            "--attach=perf-pid"});
    const auto& session = o->session;
    CHECK(o->processes.pids == std::vector<pid_t>{1, 2, 3});
    CHECK(session.tids == std::set<std::uint32_t>{5, 6, 7});
    CHECK(session.thresholds.slow_ns == 50'000);
    CHECK(session.thresholds.block_ns == 1'500'000'000);
    CHECK(session.duration_ns == 120'000'000'000);
    CHECK(session.interval_ns == 200'000'000);
    CHECK(o->output.formats == std::vector<std::string>{"ndjson"});
    CHECK(o->output.files == std::vector<OutputFile>{{"x"}});
    CHECK(session.max_overhead_percent == 0.5);
    CHECK(session.max_loops == 9);
    REQUIRE(session.gate.fail_on.size() == 2);
    CHECK(session.gate.fail_on[0].type == "slow_callback");
    CHECK(session.gate.fail_on[1].type == "deadlock");
    CHECK(!session.gate.fail_on[1].kind);
    CHECK(session.rung == AttachRung::perf_pid);
    CHECK((session.trace && session.kernel_stacks && o->output.quiet && o->output.no_color));
    CHECK(command({"-n", "order_server"})->processes.name == "order_server");
    CHECK(command<WhereCommand>({"where", "-p", "1", "save#17"})->listing.task_name == "save");
    CHECK(command<WhereCommand>({"-p", "1", "where", "17"})->listing.task == 17);
    CHECK(command<RunCommand>({"run", "--", "ps", "-p", "1"})->command_line ==
          std::vector<std::string>{"ps", "-p", "1"});
}

TEST_CASE("outputs have the order of the line, optional or not, as their formats have")
{
    const auto o = command({"-p", "1", "--optional-output", "a", "-o", "b", "--format", "text", "--optional-output=c",
                            "--format", "chrome", "--format", "ndjson"});
    CHECK(o->output.files == std::vector<OutputFile>{{"a", false}, {"b", true}, {"c", false}});
    CHECK(o->output.formats == std::vector<std::string>{"text", "chrome", "ndjson"});
}

TEST_CASE("a bad command line is one line that says what is wrong and what to write")
{
    struct Case {
        std::vector<const char*> arguments;
        const char *what, *hint;
    };
    const Case cases[] = {
        {{}, "no process given", "loopwatch -p PID"},
        {{"-p", "abc"}, "--pid: bad value \"abc\"", "ps"},
        {{"-p", "0"}, "--pid: bad value \"0\"", "ps"},
        {{"-p", "-1"}, "--pid: bad value \"-1\"", "ps"},
        {{"-p", "99999999999"}, "--pid: bad value", "ps"},
        {{"-p", "1,x"}, "--pid: bad value \"x\"", "ps"},
        {{"-p", "1 2"}, "--pid: bad value \"1 2\"", "ps"},
        {{"-p", "1,"}, "--pid: \"1,\" has an empty value", "one comma"},
        {{"-p", ",1"}, "--pid: \",1\" has an empty value", "one comma"},
        {{"-p", "1,,2"}, "--pid: \"1,,2\" has an empty value", "one comma"},
        {{"-p", ""}, "--pid: bad value \"\"", "ps"},
        {{"-p", "1", "--tid", "5,"}, "--tid: \"5,\" has an empty value", "one comma"},
        {{"-p", "1", "--fail-on", "deadlock,"}, "--fail-on: \"deadlock,\" has an empty value", "one comma"},
        {{"-p", "1", "--tid", "x"}, "--tid: bad value \"x\"", "ps"},
        {{"-p", "1", "-n", "x"}, "--name: not together with --pid", "one of them"},
        {{"-n", ""}, "--name: is empty", "name"},
        {{"-p", "1", "--threshold", "10"}, "--threshold: \"10\" has no unit", "did you mean 10ms?"},
        {{"-p", "1", "--duration", "10"}, "--duration: \"10\" has no unit", "did you mean 10s?"},
        {{"-p", "1", "--threshold", "0"}, "--threshold: \"0\" is not a positive duration", "unit"},
        {{"-p", "1", "--threshold", "-5ms"}, "--threshold: \"-5ms\" is negative", "unit"},
        {{"-p", "1", "--threshold", "abc"}, "--threshold: \"abc\" is not a duration", "unit"},
        {{"-p", "1", "--threshold", ""}, "--threshold: \"\" is not a duration", "unit"},
        {{"-p", "1", "--threshold="}, "--threshold", ""},
        {{"-p", "1", "--block-threshold", "1"}, "--block-threshold: \"1\" has no unit", "1ms"},
        {{"-p", "1", "--threshold", "1ns"}, "--threshold: \"1ns\" is too short", "at least 1us"},
        {{"-p", "1", "--threshold", "999ns"}, "--threshold: \"999ns\" is too short", "at least 1us"},
        {{"-p", "1", "--block-threshold", "1ns"}, "--block-threshold: \"1ns\" is too short", "at least 1us"},
        {{"-p", "1", "--duration", "30"}, "--duration: \"30\" has no unit", "30s"},
        {{"-p", "1", "--interval", "1ms"}, "--interval: \"1ms\" is too short", "100ms"},
        {{"-p", "1", "--format", "xml"}, "--format: bad value \"xml\"", "auto, text, ndjson, chrome"},
        {{"-p", "1", "--format", "text", "--format", "ndjson"}, "--format: 2 for 0 outputs", "each -o"},
        {{"-p", "1", "-o", "a", "-o", "b", "--format", "ndjson"}, "--format: 1 for 2 outputs", "each -o"},
        {{"-p", "1", "-o", "a", "-o", "a"}, "--output: \"a\" is given twice", "each output once"},
        {{"-p", "1", "-o", "a", "--optional-output", "a"}, "--optional-output: \"a\" is given", "each output once"},
        {{"-p", "1", "--attach", "x"}, "--attach: bad value", "perf-all"},
        {{"-p", "1", "--max-overhead", "0"}, "--max-overhead: bad value", "percent"},
        {{"ps", "-p", "1", "--lint", "--max-frame", "0"}, "--max-frame: bad value", "bytes"},
        {{"ps", "-p", "1", "--max-frame", "16384"}, "--max-frame: only --lint", "loopwatch ps --lint"},
        {{"ps", "-p", "1", "--max-frame", "9"}, "--max-frame: only --lint", "loopwatch ps --lint"},
        {{"ps", "17336"}, "17336", "did you mean -p 17336?"},
        {{"-p", "1", "--max-overhead", "nan"}, "--max-overhead: bad value", "percent"},
        {{"-p", "1", "--max-loops", "0"}, "--max-loops: bad value", "4096"},
        {{"-p", "1", "--max-loops", "99999"}, "--max-loops: bad value", "4096"},
        {{"-p", "1", "--fail-on", "slow"}, "--fail-on: \"slow\" is no finding", "slow_callback, blocking_call"},
        {{"-p", "1", "--fail-on", "loop_stats"}, "no finding", "slow_callback"},
        {{"-p"}, "--pid", "--help"},
        {{"-p", "1", "2"}, "2", "did you mean -p 2?"},
        {{"-p", "1", "--treshold", "1ms"}, "--treshold", "--help"},
        {{"-n", "a", "-n", "b"}, "--name: is given twice", "-p PID,PID"},
        {{"-p", "1", "--stacks", "interned", "--format", "text"}, "--stacks interned: no output", "--format ndjson"},
        {{"run", "--stacks", "interned", "-o", "a", "-o", "b", "--format", "text", "--format", "chrome", "--", "x"},
         "--stacks interned: no output",
         "--format ndjson"},
        {{"-p", "1", "frobnicate"}, "frobnicate", "--help"},
        {{"frobnicate"}, "\"frobnicate\" is no command", "watch, doctor, schema, ps, tree, where, run"},
        {{"-p", "1", "text"}, "\"text\" is no command", "did you mean --format text?"},
        {{"-p", "1", "-f", "text"}, "-f: no such option", "--help"},
        {{"-p", "1", "-o", ""}, "--output: is empty", "file"},
        {{"run", "-o", "", "--", "x"}, "--output: is empty", "file"},
        {{"watch", "doctor"}, "watch and doctor", "--help"},
        {{"ps", "-p", "1", "--threshold", "1ms"}, "--threshold: no option of ps", "watch, run"},
        {{"-p", "1", "--lint"}, "--lint: no option of watch", "ps"},
        {{"schema", "-p", "1"}, "-p: no option of schema", "watch, doctor, ps"},
        {{"-p", "1", "--", "x"}, "--: only run", "loopwatch run"},
        {{"run"}, "run: no program given", "--"},
        {{"run", "./x", "--port", "80"}, "--port: no such option", "put -- before the program"},
        {{"run", "-p", "1", "--", "x"}, "-p: no option of run", "watch"},
        {{"where", "-p", "1"}, "where: no task given", "ID"},
        {{"where", "-p", "1", "x#y"}, "where: bad value \"y\"", "ps shows"},
        {{"-p", "1", "--wait"}, "--wait", "-n NAME"},
        {{"-n", "x", "--wait", "--tid", "5"}, "--tid: not together with --wait", "leave out one"},
    };
    for (const Case& c : cases) {
        std::string line;
        for (const char* argument : c.arguments) line += std::string(argument) + " ";
        INFO(line);
        const auto parsed = parse(c.arguments);
        REQUIRE_FALSE(parsed);
        CAPTURE(parsed.error().what, parsed.error().hint);
        CHECK(parsed.error().code == ExitCode::usage);
        CHECK_THAT(parsed.error().what, Catch::Contains(c.what));
        CHECK_THAT(parsed.error().hint, Catch::Contains(c.hint));
        CHECK(parsed.error().what.find('\n') == std::string::npos);
        CHECK_FALSE(parsed.error().hint.empty());
    }
}

TEST_CASE("of an option that is given twice the last one counts")
{
    const auto o = command({"-p", "1", "--threshold", "1ms", "--duration", "3s", "--threshold", "2ms"});
    CHECK(o->session.thresholds.slow_ns == 2'000'000);
    CHECK(o->session.duration_ns == 3'000'000'000);
}

TEST_CASE("stacks are interned if one of the outputs is, or may be, NDJSON")
{
    CHECK(command({"-p", "1", "--stacks", "interned"})->output.interned);
    CHECK(command({"-p", "1", "--stacks", "interned", "-o", "a", "-o", "b", "--format", "text", "--format", "ndjson"})
              ->output.interned);
    auto output = command({"-p", "1", "--stacks", "interned", "-o", "/dev/null"})->output;
    CHECK(output.open(false));
    output.default_format = "text";
    output.files.clear();
    const auto opened = output.open(false);
    REQUIRE_FALSE(opened);
    CHECK_THAT(opened.error().what, Catch::Contains("--stacks interned: no output"));
}

TEST_CASE("a threshold may be as short as a microsecond, and --help says so")
{
    const auto o = command({"-p", "1", "--threshold", "1us", "--block-threshold", "1us"});
    CHECK(o->session.thresholds.slow_ns == 1'000);
    CHECK(o->session.thresholds.block_ns == 1'000);
    const auto parsed = parse({"--help"});
    REQUIRE(parsed);
    CHECK_THAT(*parsed->text, Catch::Contains("(100ms, least 1us)") && Catch::Contains("(10ms, least 1us)"));
}

TEST_CASE("what run writes among the program's own messages is for people")
{
    CHECK(command<RunCommand>({"run", "--", "x"})->output.default_file == "/dev/stderr");
    CHECK(command<RunCommand>({"run", "--", "x"})->output.default_format == "text");
}

TEST_CASE("several outputs, each with its format")
{
    const auto both = command({"-p", "1", "-o", "a,b", "--format", "ndjson", "--format", "chrome", "-o", "c"});
    CHECK(both->output.files == std::vector<OutputFile>{{"a,b"}, {"c"}});
    CHECK(both->output.formats == std::vector<std::string>{"ndjson", "chrome"});
    CHECK(command({"-p", "1", "-o", "a", "-o", "b"})->output.formats.empty());
}

TEST_CASE("help and version need nothing else and hide what is not for people")
{
    for (auto arguments : {std::vector<const char*>{"-h"}, {"--help"}, {"-p", "1", "-h"}}) {
        const auto parsed = parse(arguments);
        REQUIRE(parsed);
        REQUIRE(parsed->text);
        CHECK_THAT(*parsed->text,
                   Catch::Contains("Examples:") && Catch::Contains("--threshold") && Catch::Contains("Exit codes"));
        CHECK_THAT(*parsed->text, !Catch::Contains("--attach"));
    }
    const auto ps = parse({"ps", "--help"});
    REQUIRE(ps);
    CHECK_THAT(*ps->text,
               Catch::Contains("--lint") && Catch::Contains("Exit codes") && !Catch::Contains("--threshold"));
    const auto version = parse({"--version"});
    REQUIRE(version);
    CHECK_THAT(*version->text, Catch::StartsWith("loopwatch 0."));
}
