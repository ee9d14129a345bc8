// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "analysis/gate.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;

Frame frame(std::string function, std::string module = "/usr/bin/server")
{
    Frame made;
    made.function = std::move(function);
    made.module = std::move(module);
    made.file = "server.cpp";
    made.line = 7;
    return made;
}

const std::vector<Frame> stack = {frame("fsync", "/lib/libc.so.6"), frame("Store::flush(unsigned long)"),
                                  frame("serve", "/opt/lib/libhttp.so.2")};

FindingView finding(Kind kind = Kind::file_io, std::string_view call = "fsync", std::uint64_t ns = 20 * ms)
{
    return {"blocking_call", kind, call, "GET /order#7", ns, &stack, "f1", "blocked", true, {}};
}

bool allows(std::string_view text, const FindingView& view = finding())
{
    std::optional<Suppressions::Problem> problem;
    auto rules = Suppressions::parse(text, "2026-11-26", problem);
    REQUIRE(!problem);
    return rules.allows(view);
}

std::string problem_of(std::string_view text)
{
    std::optional<Suppressions::Problem> problem;
    const auto rules = Suppressions::parse(text, "2026-11-26", problem);
    REQUIRE(problem);
    CHECK(rules.rules().empty());
    return std::to_string(problem->line) + ':' + std::to_string(problem->column) + ": " + problem->what;
}

}  // namespace

TEST_CASE("a rule holds if all its conditions do")
{
    CHECK(allows("allow file_io"));
    CHECK(!allows("allow lock"));
    CHECK(allows("allow call f*sync"));
    CHECK(!allows("allow call write"));
    CHECK(allows("allow inside Store::flush"));
    CHECK(allows("allow inside Store::*"));
    CHECK(allows("allow inside \"Store::flush(unsigned long)\""));
    CHECK(!allows("allow inside Store"));
    CHECK(allows("allow in libhttp.so*"));
    CHECK(allows("allow in /opt/lib/*"));
    CHECK(!allows("allow in http"));
    CHECK(allows("allow task \"GET /order*\""));
    CHECK(!allows("allow task POST*"));
    CHECK(allows("allow file_io call fsync inside serve in server task GET*"));
    CHECK(!allows("allow file_io call fsync inside nobody"));
}

TEST_CASE("a bound is the longest that is allowed, a date the last day")
{
    CHECK(allows("allow call fsync up to 20ms"));
    CHECK(!allows("allow call fsync up to 19999us"));
    CHECK(allows("allow call fsync until 2026-11-26"));
    CHECK(!allows("allow call fsync until 2026-11-25"));
}

TEST_CASE("the last rule that holds decides, and within its braces again")
{
    CHECK(!allows("allow file_io\ndeny call fsync"));
    CHECK(allows("deny call fsync\nallow file_io"));
    CHECK(!allows("allow file_io {\n  deny inside Store::flush\n}"));
    CHECK(allows("allow file_io {\n  deny inside Store::flush {\n    allow inside serve up to 1s\n  }\n}"));
    CHECK(allows("allow file_io {\n  deny inside Cache::load\n}"));
    CHECK(!allows("allow lock {\n  allow call fsync\n}"));
    CHECK(!allows(""));
    CHECK(!allows("# nothing\n\n"));
}

TEST_CASE("hits are the deciding rule's")
{
    std::optional<Suppressions::Problem> problem;
    auto rules = Suppressions::parse("allow file_io { # all\n  deny call fsync\n}\nallow lock", "2026-11-26", problem);
    REQUIRE(!problem);
    CHECK(!rules.allows(finding()));
    CHECK(rules.allows(finding(Kind::file_io, "open")));
    CHECK(rules.allows(finding(Kind::file_io, "open")));
    CHECK(rules.rules()[0].hits == 2);
    CHECK(rules.rules()[0].inner[0].hits == 1);
    CHECK(rules.rules()[1].hits == 0);
    CHECK(rules.rules()[0].text == "allow file_io");
}

TEST_CASE("what is wrong is told with its place")
{
    CHECK(problem_of("\n  allow lok") == "2:9: \"lok\" is no kind, and none of: call, inside, in, task, up to, until");
    CHECK(problem_of("alow lock") == "1:1: a rule begins with allow or deny");
    CHECK(problem_of("allow") == "1:1: the rule has no condition: it would speak of everything");
    CHECK(problem_of("allow up to 5ms") == "1:1: the rule has no condition: it would speak of everything");
    CHECK(problem_of("allow lock {\n deny call x") == "1:12: this { is not closed");
    CHECK(problem_of("allow lock\n}") == "2:1: there is no { for this }");
    CHECK(problem_of("allow call") == "1:11: what does \"call\" speak of?");
    CHECK(problem_of("allow inside \"Store") == "1:14: the quotation mark is not closed");
    CHECK(problem_of("allow lock sleep") == "1:12: a rule has one kind");
    CHECK(problem_of("allow lock up 5ms") == "1:15: write: up to 50us");
    std::string deep;
    for (int i = 0; i < 20; ++i) deep += "allow lock {\n";
    CHECK(problem_of(deep).find("more than 16 braces") != std::string::npos);
}

TEST_CASE("a gate fails on what was named, once a fingerprint")
{
    Gate gate;
    gate.fail_on = {{"blocking_call", Kind::file_io}};
    CHECK(gate.admit(finding()));
    CHECK(gate.admit(finding(Kind::file_io, "fsync", 30 * ms)));
    CHECK(gate.admit(finding(Kind::lock, "pthread_mutex_lock")));
    REQUIRE(gate.failures().size() == 1);
    CHECK(gate.failures()[0].count == 2);
    CHECK(gate.failures()[0].longest_ns == 30 * ms);
    CHECK(gate.failures()[0].kind == "file_io");
    CHECK(gate.failures()[0].file == "server.cpp");
    CHECK(gate.failed());
}

TEST_CASE("what a baseline knows fails only once it takes more than twice as long")
{
    Baseline seen;
    seen.add(finding());
    std::string what;
    auto read = Baseline::parse(seen.text(), what);
    REQUIRE(read);
    Gate gate;
    gate.fail_on = {{"blocking_call", std::nullopt}};
    gate.baseline = *read;
    gate.admit(finding(Kind::file_io, "fsync", 40 * ms));
    CHECK(!gate.failed());
    gate.admit(finding(Kind::file_io, "fsync", 42 * ms));
    CHECK(gate.failed());
    CHECK(gate.seen().size() == 1);
}

TEST_CASE("a baseline has no addresses, numbers of threads or tasks: the same finding has the same line in each run")
{
    auto locked = finding(Kind::lock, "pthread_mutex_lock");
    locked.verdict =
        "GET /order#7 blocked loop http-0 for 20 ms in pthread_mutex_lock(0x7ffd52a20090) at server+0x1f3a0, "
        "released by thread updater (tid 6113).";
    const auto line_of = [](const FindingView& one) {
        Baseline seen;
        seen.add(one);
        return seen.text();
    };
    CHECK(line_of(locked) ==
          "loopwatch-baseline 1\nf1 20000000 blocking_call lock pthread_mutex_lock in Store::flush\n");
    auto nameless = stack;
    nameless[1].function.clear();
    nameless[1].file.clear();
    nameless[1].offset = 0x1f3a0;
    locked.stack = &nameless;
    CHECK(line_of(locked) == "loopwatch-baseline 1\nf1 20000000 blocking_call lock pthread_mutex_lock in server\n");
}

TEST_CASE("a baseline that is none is refused by line")
{
    std::string what;
    CHECK(!Baseline::parse("", what));
    CHECK(!Baseline::parse("hello\n", what));
    CHECK(what == "1: no baseline: its first line is not \"loopwatch-baseline 1\"");
    CHECK(!Baseline::parse("loopwatch-baseline 2\n", what));
    CHECK(what.find("another version") != std::string::npos);
    CHECK(!Baseline::parse("loopwatch-baseline 1\nf1 many\n", what));
    CHECK(what == "2: not a fingerprint and nanoseconds");
    CHECK(Baseline::parse("loopwatch-baseline 1\nf1 20\n\nf2 30 in words\n", what)->size() == 2);
}

TEST_CASE("what has the fingerprint of other places, too, is in no baseline, and excused by none")
{
    auto placeless = finding();
    placeless.place_known = false;
    Baseline old;
    old.add(finding());
    Gate gate;
    gate.fail_on = {{"blocking_call", std::nullopt}};
    gate.baseline = old;
    gate.admit(finding());
    CHECK(!gate.failed());
    CHECK(gate.excused() == 1);
    CHECK(gate.placeless() == 0);
    gate.admit(placeless);
    CHECK(gate.failed());
    CHECK(gate.excused() == 1);
    CHECK(gate.placeless() == 1);
    CHECK(gate.seen().size() == 1);
}

TEST_CASE("findings of one dispatch are one incident")
{
    std::optional<Suppressions::Problem> problem;
    auto rules = Suppressions::parse("allow file_io", "2026-11-26", problem);
    const auto of_dispatch = [](std::string_view type, std::uint64_t seq) {
        auto one = finding();
        one.type = type;
        one.incident = Incident{1, 2, "3", seq};
        return one;
    };
    for (const std::uint64_t seq : {1, 3, 1})
        for (const auto* const type : {"stall", "stall", "blocking_call", "slow_callback"})
            CHECK(rules.allows(of_dispatch(type, seq)));
    CHECK(rules.rules()[0].hits == 2);

    Gate gate;
    gate.fail_on = {{"stall", std::nullopt}, {"blocking_call", std::nullopt}};
    for (int times = 0; times < 3; ++times) gate.admit(of_dispatch("stall", 1));
    for (int times = 0; times < 3; ++times) gate.admit(of_dispatch("blocking_call", 1));
    gate.admit(of_dispatch("stall", 3));
    REQUIRE(gate.failures().size() == 2);
    CHECK(gate.failures()[0].count == 2);
    CHECK(gate.failures()[1].count == 3);
    CHECK(gate.failures()[1].incidents.within(gate.failures()[0].incidents));
    CHECK_FALSE(gate.failures()[0].incidents.within(gate.failures()[1].incidents));
}
