// SPDX-License-Identifier: Apache-2.0
//
// Several failures at once, and exceptions that nobody retrieves.
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

struct Unretrieved {
    Unretrieved()
    {
        set_exception_handler([this](std::exception_ptr, const Finding& finding) { texts.push_back(finding.text); });
    }
    Unretrieved(const Unretrieved&) = delete;
    Unretrieved& operator=(const Unretrieved&) = delete;
    ~Unretrieved() { set_exception_handler(nullptr); }
    std::vector<std::string> texts;
};

template <class E = std::runtime_error>
Task<int> fail(std::string what)
{
    co_await yield();
    throw E(what);
}

Task<> fail_last(std::string what)
{
    try {
        co_await sleep_for(1h);
    } catch (const Cancelled&) {
    }
    throw std::runtime_error(what);
}

Task<> nothing(Task<int> task)
{
    co_await std::move(task);
}

std::vector<std::string> texts_of(const std::vector<std::exception_ptr>& exceptions)
{
    std::vector<std::string> texts;
    for (const std::exception_ptr& exception : exceptions) {
        try {
            std::rethrow_exception(exception);
        } catch (const std::exception& thrown) {
            texts.push_back(thrown.what());
        }
    }
    return texts;
}

}  // namespace

TEST_CASE("a group throws all that its tasks failed with, the first failure first")
{
    const Unretrieved unretrieved;
    std::vector<std::string> seen;
    run([](std::vector<std::string>& seen) -> Task<> {
        TaskGroup group(*Loop::current());
        group.spawn(fail_last("spawned first"));
        group.spawn(nothing(fail("failed first")));
        group.spawn(fail_last("spawned last"));
        try {
            co_await group.join();
        } catch (const ExceptionGroup& several) {
            seen = texts_of(several.exceptions());
            seen.push_back(several.what());
        }
        co_await group.join();  // they were thrown once
    }(seen));
    CHECK(seen == std::vector<std::string>{"failed first", "spawned first", "spawned last",
                                           "3 tasks failed: failed first; spawned first; spawned last"});
    CHECK(unretrieved.texts.empty());
}

TEST_CASE("the only exception of a group is thrown as itself")
{
    std::string seen;
    run([](std::string& seen) -> Task<> {
        TaskGroup group(*Loop::current());
        group.spawn(nothing(fail("alone")));
        group.spawn([]() -> Task<> { co_await sleep_for(1h); }());
        try {
            co_await group.join();
        } catch (const std::runtime_error& error) {
            seen = error.what();
        }
    }(seen));
    CHECK(seen == "alone");
}

TEST_CASE("gather throws all that failed")
{
    const Unretrieved unretrieved;
    std::vector<std::string> seen;
    run([](std::vector<std::string>& seen) -> Task<> {
        try {
            co_await gather(fail("one"), fail<std::logic_error>("two"));
        } catch (const ExceptionGroup& several) {
            seen = texts_of(several.exceptions());
        }
    }(seen));
    CHECK(seen == std::vector<std::string>{"one", "two"});
    CHECK(unretrieved.texts.empty());
}

TEST_CASE("each of a type is handled, those of groups within groups too, and the others are left")
{
    const auto error = [](auto exception) { return std::make_exception_ptr(exception); };
    const ExceptionGroup inner({error(std::logic_error("b")), error(std::runtime_error("c"))});
    const ExceptionGroup outer({error(std::runtime_error("a")), error(inner), error(7)});
    std::string handled;
    const auto others = outer.each<std::runtime_error>([&](const std::runtime_error& e) { handled += e.what(); });
    CHECK(handled == "ac");
    REQUIRE(others.size() == 2);
    CHECK_THROWS_AS(std::rethrow_exception(others[0]), std::logic_error);
    CHECK_THROWS_AS(std::rethrow_exception(others[1]), int);
    CHECK(std::string(outer.what()) == "3 tasks failed: a; 2 tasks failed: b; c; an exception without a text");
}

TEST_CASE("an exception that nobody retrieves is a finding without debug mode")
{
    REQUIRE_FALSE(debug());
    std::vector<Finding> findings;
    set_finding_handler([&](const Finding& finding) { findings.push_back(finding); });
    run([]() -> Task<> {
        spawn(*Loop::current(), fail("dropped"), "detached");
        co_await sleep_for(1ms);
    }());
    set_finding_handler(nullptr);
    REQUIRE(findings.size() == 1);
    CHECK(std::string(findings[0].type) == "exception_unretrieved");
    CHECK_THAT(findings[0].text, Catch::StartsWith("Task exception was never retrieved: detached#"));
    CHECK_THROWS_WITH(std::rethrow_exception(findings[0].exception), "dropped");
}

TEST_CASE("each of std::exception is called with the members of groups within, and what it throws passes through")
{
    const auto error = [](auto exception) { return std::make_exception_ptr(exception); };
    const ExceptionGroup inner({error(std::logic_error("b")), error(7)});
    const ExceptionGroup outer({error(std::runtime_error("a")), error(inner), error(std::runtime_error("c"))});
    std::string handled;
    const auto others = outer.each<std::exception>([&](const std::exception& e) { handled += e.what(); });
    CHECK(handled == "abc");
    REQUIRE(others.size() == 1);
    CHECK_THROWS_AS(std::rethrow_exception(others[0]), int);
    handled.clear();
    CHECK(outer.each<ExceptionGroup>([&](const ExceptionGroup& e) { handled += e.what(); }).size() == 2);
    CHECK(handled == "2 tasks failed: b; an exception without a text");
    CHECK_THROWS_AS(outer.each<std::logic_error>([](const std::logic_error&) { throw 9; }), int);
}

TEST_CASE("of several tasks that join a group the first one throws, and the others return")
{
    std::vector<std::string> seen;
    run([](std::vector<std::string>& seen) -> Task<> {
        TaskGroup group(*Loop::current());
        group.spawn(nothing(fail("boom")));
        const auto join = [](TaskGroup& group, std::vector<std::string>& seen) -> Task<> {
            try {
                co_await group.join();
                seen.push_back("nothing");
            } catch (const std::runtime_error& error) {
                seen.push_back(error.what());
            }
        };
        const auto first = spawn(*Loop::current(), join(group, seen));
        const auto second = spawn(*Loop::current(), join(group, seen));
        co_await first;
        co_await second;
    }(seen));
    CHECK(seen == std::vector<std::string>{"boom", "nothing"});
}
